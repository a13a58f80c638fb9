//! `gauntlet proxy`: the fault proxy alone, with Toxiproxy's HTTP API.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Done, interrupt, output};
use crate::{
    error::{ExitCode, Failure},
    toxics::service::{self, ApiError, Collection, ProxyView},
};

/// Clients that are being answered when Ctrl-C comes have so long.
const LAST_ANSWERS: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gauntlet proxy
  gauntlet proxy --config toxiproxy.json --api 127.0.0.1:8474
  gauntlet proxy --config toxiproxy.json --api 127.0.0.1:0 --seed 7

Prints `api ADDRESS` once clients can come, and `proxy NAME ADDRESS -> UPSTREAM` for each proxy of the config file; where
port 0 was asked for, the one that was given. Ends on SIGINT or SIGTERM.")]
pub(super) struct ProxyArgs {
    /// Proxies to begin with: Toxiproxy's JSON, an array of `name`, `listen`, `upstream`, `enabled`, `toxics`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the HTTP API listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8474")]
    api: SocketAddr,
    /// What jitter, slices and toxicity are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

pub(super) fn run(args: &ProxyArgs) -> Done {
    let config = args.config.as_deref().map(|file| {
        std::fs::read(file).map_err(|error| {
            let message = format!("cannot read {}: {error}", file.display());
            Failure::text(ExitCode::Usage, message)
        })
    });
    let config = config.transpose()?;
    let cancel = interrupt::token()?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| {
        let message = format!("the system gives no threads: {error}");
        Failure::text(ExitCode::Harness, message)
    })?;
    let served = runtime.block_on(serve(args, config.as_deref(), cancel));
    // Name look-ups that hang are not waited for.
    runtime.shutdown_background();
    served
}

async fn serve(args: &ProxyArgs, config: Option<&[u8]>, cancel: CancellationToken) -> Done {
    let listener = TcpListener::bind(args.api).await.map_err(|error| {
        let message = format!("cannot listen on {}: {error}", args.api);
        let help = "choose another address with `--api`; port 0 takes a free one";
        Failure::with_help(ExitCode::Missing, message, help)
    })?;
    let address = listener.local_addr().map_err(|error| {
        Failure::text(
            ExitCode::Harness,
            format!("no address to listen on: {error}"),
        )
    })?;
    let proxies = Arc::new(Collection::new(args.seed));
    let mut begun = Vec::new();
    if let Some(config) = config {
        let (made, done) = proxies.populate(config).await;
        done.map_err(|error| config_failure(args, &error))?;
        begun = made;
    }
    let text = begun.iter().map(line).collect::<String>();
    output::print(&format!("{text}api {address}\n"))?;

    let stopping = cancel.clone();
    let api = axum::serve(listener, service::router(proxies.clone()))
        .with_graceful_shutdown(async move { stopping.cancelled().await });
    let served = tokio::select! {
        served = api.into_future() => served,
        () = async {
            cancel.cancelled().await;
            tokio::time::sleep(LAST_ANSWERS).await;
        } => Ok(()),
    };
    proxies.stop().await;
    served
        .map(|()| ExitCode::Holds)
        .map_err(|error| Failure::text(ExitCode::Harness, format!("the API ended: {error}")))
}

fn line(proxy: &ProxyView) -> String {
    let ProxyView {
        name,
        listen,
        upstream,
        enabled,
        ..
    } = proxy;
    let disabled = if *enabled { "" } else { " (disabled)" };
    format!("proxy {name} {listen} -> {upstream}{disabled}\n")
}

/// What is wrong with the file is its writer's; an address in use is the machine's.
fn config_failure(args: &ProxyArgs, error: &ApiError) -> Failure {
    let file = args.config.as_deref().unwrap_or("".as_ref());
    let why = error.message.trim_start_matches("bad request body: ");
    let message = format!("{}: {why}", file.display());
    if error.status >= 500 {
        return Failure::text(ExitCode::Missing, message);
    }
    let help = "the file is an array, as in [{ \"name\": \"mx\", \"listen\": \"127.0.0.1:2525\", \"upstream\": \"127.0.0.1:25\" }]";
    Failure::with_help(ExitCode::Usage, message, help)
}
