//! Target files: what the harness must know of a mail transfer agent to start it, send it mail, and read its queue.
//!
//! Comes in: `postfix`, or the path of a `target.toml`. Goes out: a [`Target`], every word of which is checked. Called by
//! `gauntlet run --on container`, `gauntlet certify` and `gauntlet list targets`.
//!
//! Reading order: [`model`] for the file's fields, [`parse`](self::parse) for its errors, `shipped` for the files that are
//! part of the binary.

mod model;
mod parse;
mod shipped;
mod words;

pub use model::{
    Capability, Configured, Container, Delivery, DeliveryTo, Image, Limits, NodeKind, Queue,
    SmartHost, Smtp, Spool, Target, TimeScale, Version,
};
pub use parse::{TargetError, parse};
pub use shipped::{names, shipped};
pub use words::{ContainerPath, Duration, Mode, Name, Program, Template};

use std::path::{Path, PathBuf};

/// Where the files beside a target file are: its Dockerfile and what that copies.
#[derive(Debug, Clone)]
pub enum Context {
    /// Part of this binary.
    Embedded(&'static include_dir::Dir<'static>),
    /// A directory.
    Directory(PathBuf),
}

impl Target {
    /// The shipped target of that name, or the target file at that path: `postfix`, `./my-mta.toml`, a directory with a
    /// `target.toml` in it.
    ///
    /// # Errors
    /// There is no such target or file, or the file is no target file; with place and remedy.
    pub fn load(name_or_path: &str) -> Result<Self, TargetError> {
        if let Some(target) = shipped::find(name_or_path)? {
            return Ok(target);
        }
        let path = Path::new(name_or_path);
        let file = if path.is_dir() {
            path.join("target.toml")
        } else {
            path.to_path_buf()
        };
        let looks_like_a_file =
            name_or_path.contains('/') || path.extension().is_some_and(|of| of == "toml");
        if !looks_like_a_file && !file.is_file() {
            return Err(TargetError::Unknown {
                name: name_or_path.to_owned(),
                help: format!(
                    "shipped are {}; a target file of your own is given as a path (docs/targets.md)",
                    names().collect::<Vec<_>>().join(", ")
                ),
            });
        }
        let text = std::fs::read_to_string(&file).map_err(|source| TargetError::Read {
            path: file.clone(),
            source,
        })?;
        let directory = match file.parent() {
            Some(parent) if parent != Path::new("") => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        parse(
            &file.display().to_string(),
            &text,
            Context::Directory(directory),
        )
    }
}

/// The JSON schema of target files, with a final newline, for editors.
pub fn schema() -> String {
    let schema = schemars::schema_for!(Target).to_value();
    // `:#` is indented; a JSON value is always written.
    format!("{schema:#}\n")
}
