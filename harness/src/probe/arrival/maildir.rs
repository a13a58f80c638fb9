//! A maildir, or a directory of them.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use super::Arrived;

/// The directories below the one that is given are searched for mailboxes so deep: `root/domain/user/new`.
const DEPTH: usize = 3;

/// A directory whose messages are read once each.
#[derive(Debug)]
pub(super) struct Maildir {
    root: PathBuf,
    known: BTreeSet<PathBuf>,
}

impl Maildir {
    /// What is there already is known.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        if !fs::metadata(root)?.is_dir() {
            return Err(io::Error::other("it is no directory"));
        }
        let mut maildir = Self {
            root: root.to_owned(),
            known: BTreeSet::new(),
        };
        maildir.read()?;
        Ok(maildir)
    }

    /// The messages that have come since the last time.
    pub(super) fn read(&mut self) -> io::Result<Vec<Arrived>> {
        let mut files = Vec::new();
        find(&self.root, DEPTH, &mut files)?;
        let mut messages = Vec::new();
        for file in files {
            // A message that is moved from `new` to `cur` keeps the part of its name before the colon.
            if self.known.contains(&unique(&file)) {
                continue;
            }
            match fs::read(&file) {
                Ok(content) => messages.push(with_envelope(content)),
                // It was moved meanwhile; it is found next time.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            self.known.insert(unique(&file));
        }
        Ok(messages)
    }
}

fn unique(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let mailbox = file
        .parent()
        .and_then(Path::parent)
        .unwrap_or(Path::new(""));
    mailbox.join(name.split(':').next().unwrap_or_default())
}

fn find(directory: &Path, depth: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if !path.is_dir() {
            continue;
        }
        match entry.file_name().to_str() {
            Some("new" | "cur") => {
                for file in fs::read_dir(&path)?.flatten() {
                    files.push(file.path());
                }
            }
            Some("tmp") => {}
            _ if depth > 0 => find(&path, depth - 1, files)?,
            _ => {}
        }
    }
    files.sort();
    Ok(())
}

/// Fields in which delivery agents write the return path, and the recipient.
const FROM: [&str; 2] = ["Return-Path", "X-MailFrom"];
const TO: [&str; 4] = ["Delivered-To", "X-Original-To", "Envelope-To", "X-RcptTo"];

/// The message, with what delivery wrote of its envelope (RFC 5321 §4.4).
fn with_envelope(content: Vec<u8>) -> Arrived {
    let mut message = Arrived {
        content,
        from: None,
        recipients: Vec::new(),
    };
    let path = |value: String| value.trim().trim_matches(['<', '>']).to_owned();
    message.from = FROM
        .iter()
        .find_map(|name| message.field(name).into_iter().next())
        .map(path);
    message.recipients = TO
        .iter()
        .flat_map(|name| message.field(name))
        .flat_map(|value| {
            value
                .split(',')
                .map(|one| path(one.to_owned()))
                .collect::<Vec<_>>()
        })
        .collect();
    message
}
