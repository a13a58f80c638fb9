//! What a container writes to standard output and standard error, in a file.
//!
//! Comes in: a container that was just started, and a file. Goes out: its lines, until it ends. Called by
//! [`container`](super::container) at each start.

use std::{
    fs::OpenOptions,
    io::Write,
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use bollard::{Docker, query_parameters::LogsOptionsBuilder};
use futures_util::StreamExt;

/// Follows a container's log from now on. The log is for people: a run goes on without it.
pub(super) async fn follow(docker: Docker, container: String, file: PathBuf) {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let since = i32::try_from(since.as_secs()).unwrap_or(0);
    let Ok(mut file) = OpenOptions::new().create(true).append(true).open(file) else {
        return;
    };
    let options = LogsOptionsBuilder::new()
        .follow(true)
        .stdout(true)
        .stderr(true)
        .since(since)
        .build();
    let mut lines = docker.logs(&container, Some(options));
    while let Some(Ok(line)) = lines.next().await {
        if file.write_all(&line.into_bytes()).is_err() {
            return;
        }
    }
}
