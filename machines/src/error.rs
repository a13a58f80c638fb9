//! Why something could not be done to a virtual machine.

use std::{io, path::Path};

use crate::qmp::QmpError;

/// Why something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This machine lacks something; says what, and how to get it.
    #[error("{0}")]
    Missing(String),
    /// The world said no.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// What was said.
        error: io::Error,
    },
    /// QEMU said no, or nothing.
    #[error("QEMU: {0}")]
    Qmp(#[from] QmpError),
    /// A tool or the guest did not do what it was told; in words.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// For `map_err`: what was tried.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| Self::Io { what, error }
    }

    /// For `map_err`: the file that was to be used.
    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        Self::io(path.display().to_string())
    }
}
