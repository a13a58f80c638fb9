//! A node as a process: what `reference-node` and `gauntlet node` do.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use miette::{IntoDiagnostic as _, WrapErr as _, miette};
use serde::Serialize;
use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, UnixListener},
};

use crate::{
    config::{Config, Role},
    http,
    member::Member,
    production::Production,
};

/// Command line of a node.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The configuration file (TOML); reference-node/README.md lists every parameter
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Check the configuration, say what is wrong with it, and exit
    #[arg(long)]
    pub check: bool,
    /// Exit when standard input ends, so that a node never outlives who started it
    #[arg(long)]
    pub exit_with_parent: bool,
    /// A file that says by how many milliseconds the node's wall clock is ahead (or, negative, behind); for tests
    #[arg(long, value_name = "FILE")]
    pub clock_offset: Option<PathBuf>,
}

/// What a node prints, on one line, once it takes mail.
#[derive(Serialize)]
struct Listening<'a> {
    listening: &'a str,
    http: Option<String>,
    /// Empty for a front end, which has none.
    database: &'a str,
}

/// Runs a node until it is told to stop (SIGINT, SIGTERM, end of standard input).
///
/// # Errors
/// The configuration, a database or an address cannot be used.
pub fn run(arguments: &Arguments) -> miette::Result<()> {
    let name = arguments.config.display().to_string();
    let text = std::fs::read_to_string(&arguments.config).map_err(|e| {
        miette!(
            help = "give the path of a configuration: --config node.toml",
            "{name} cannot be read: {e}"
        )
    })?;
    let config = Config::parse_named(&name, &text)?;
    if arguments.check {
        println!("{name}: ok");
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .into_diagnostic()?;
    let outcome = runtime.block_on(serve(config, arguments));
    // Blocked threads (standard input) must not keep a stopped node.
    runtime.shutdown_background();
    outcome
}

async fn serve(config: Config, arguments: &Arguments) -> miette::Result<()> {
    let env = match config.role {
        Role::FrontEnd => Production::without_files(),
        Role::Mailbox | Role::Edge => Production::new(&config.data)
            .map_err(|e| miette!("data directory {}: {e}", config.data.display()))?,
    }
    .with_clock_offset(arguments.clock_offset.clone());
    let http_address = config.http.clone();
    let node = Member::start(config, Arc::new(env))
        .await
        .into_diagnostic()?;
    let http_bound = match &http_address {
        None => None,
        Some(address) => Some(serve_http(&node, address).await?),
    };
    let line = Listening {
        listening: node.address(),
        http: http_bound,
        database: node.database_id(),
    };
    println!("{}", serde_json::to_string(&line).into_diagnostic()?);

    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .into_diagnostic()?;
    tokio::select! {
        biased;
        result = tokio::signal::ctrl_c() => result.into_diagnostic(),
        _ = terminate.recv() => Ok(()),
        () = parent_gone(), if arguments.exit_with_parent => Ok(()),
    }
}

/// Serves the read-only endpoint where only this host's users get at it: on a loopback address, or on a Unix socket
/// (`unix:/path`), which can be seen from outside of a container.
async fn serve_http(node: &Member, address: &str) -> miette::Result<String> {
    let cannot = || format!("cannot listen on {address} (http)");
    if let Some(path) = address.strip_prefix("unix:") {
        // One that a killed node has left answers nobody.
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).into_diagnostic().wrap_err_with(cannot);
            }
            _ => {}
        }
        let listener = UnixListener::bind(path)
            .into_diagnostic()
            .wrap_err_with(cannot)?;
        tokio::spawn(http::serve(node.clone(), listener));
        return Ok(address.to_owned());
    }
    let listener = TcpListener::bind(address)
        .await
        .into_diagnostic()
        .wrap_err_with(cannot)?;
    let bound = listener.local_addr().into_diagnostic()?;
    if !bound.ip().is_loopback() {
        return Err(miette!(
            help = "use a loopback address, e.g. 127.0.0.1:8025, or a Unix socket, e.g. unix:/run/node/http",
            "http = \"{address}\" is not on loopback: mail would be readable by anyone"
        ));
    }
    tokio::spawn(http::serve(node.clone(), listener));
    Ok(bound.to_string())
}

async fn parent_gone() {
    let mut input = tokio::io::stdin();
    let mut buffer = [0; 64];
    while matches!(input.read(&mut buffer).await, Ok(1..)) {}
}
