//! Ctrl-C: the first one ends the run in good order, the second one ends the program.

use tokio_util::sync::CancellationToken;

use super::output;
use crate::error::{ExitCode, Failure};

/// A token that Ctrl-C (or SIGTERM) cancels. A second Ctrl-C exits at once.
///
/// # Errors
/// The system gives no thread, or takes no signal handler.
pub(super) fn token() -> Result<CancellationToken, Failure> {
    token_saying("interrupted: taking every fault back and stopping; once more to stop at once")
}

/// The same, which says this when it is cancelled.
///
/// # Errors
/// As [`token`].
pub(super) fn token_saying(said: &'static str) -> Result<CancellationToken, Failure> {
    let failed = |error: std::io::Error| {
        Failure::text(
            ExitCode::Harness,
            format!("cannot listen for Ctrl-C: {error}"),
        )
    };
    let token = CancellationToken::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    // The handlers stand before this returns.
    let mut signals = {
        let _guard = runtime.enter();
        Signals::new().map_err(failed)?
    };
    let cancelled = token.clone();
    std::thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            runtime.block_on(async {
                signals.next().await;
                cancelled.cancel();
                output::note(said);
                signals.next().await;
            });
            std::process::exit(ExitCode::Interrupted as i32);
        })
        .map_err(failed)?;
    Ok(token)
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        // Without a handler there is nothing to wait for, and Ctrl-C ends the program anyway.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
