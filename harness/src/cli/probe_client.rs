//! `gauntlet probe --client`

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use gauntlet_reports::probe::ProbeReport;

use super::{
    Done, interrupt, output,
    probe::{ProbeArgs, duration, list},
    progress,
};
use crate::{
    error::{ExitCode, Failure},
    probe::{
        client::{
            self, ClientProbe,
            submit::{ByHand, Way},
        },
        target::Target,
    },
};

#[derive(Debug, Args)]
#[command(next_help_heading = "Options of --client")]
pub(super) struct ClientArgs {
    /// Probe the server's sending side: the probe is its next hop, and mail is put into it
    #[arg(long)]
    pub(super) client: bool,
    /// Be the server's next hop on this address; port 0 takes a free one, and tells it
    #[arg(long, value_name = "ADDRESS:PORT", requires = "client")]
    listen: Option<String>,
    /// Where the server takes mail from the probe. Without it the messages are written to a directory, and it is told how to send
    /// each
    #[arg(long, value_name = "HOST:PORT", requires = "client")]
    submit: Option<Target>,
    /// Where the messages are written that are to be sent by hand
    #[arg(
        long,
        value_name = "DIRECTORY",
        requires = "client",
        conflicts_with = "submit"
    )]
    messages: Option<PathBuf>,
    /// How long a message that is sent by hand may take to come
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration)]
    wait: Duration,
    /// The server tries again within this time: a message that was not, counts as given up. Without it 60s are waited for, and
    /// where no case sees a retry the cases about retries are inconclusive
    #[arg(long, value_name = "DURATION", requires = "client", value_parser = duration)]
    retry_within: Option<Duration>,
}

pub(super) fn run(args: &ProbeArgs, line: &str) -> Done {
    let all = client::cases::all();
    let selected = args.selected(&all)?;
    if args.lists() {
        return list(&selected);
    }
    let usage = |message: &str, help: &str| {
        Failure::with_help(ExitCode::Usage, message.to_owned(), help.to_owned())
    };
    let listen = args.client.listen.clone().ok_or_else(|| {
        usage(
            "`--client` needs `--listen ADDRESS:PORT`",
            "the address that the server has as its next hop: --listen 127.0.0.1:2526",
        )
    })?;
    let (Some(from), [to]) = (args.from.clone(), args.to.as_slice()) else {
        return Err(usage(
            "`--client` needs one `--from` and one `--to`",
            "the probe makes the addresses of its messages of them: ann@… becomes ann+TOKEN@…",
        ));
    };
    args.files_can_be_written()?;
    let probe = ClientProbe {
        listen,
        way: args.client.way()?,
        from,
        to: to.clone(),
        timeout: args.timeout,
        arrival_timeout: args.arrival_timeout,
        retry_within: args.client.retry_within,
        jobs: usize::from(args.jobs),
        strict: args.strict,
        slow: args.slow,
        expected: args.expected(&all)?,
        command: line.to_owned(),
    };
    args.show(&execute(probe, selected)?)
}

impl ClientArgs {
    fn way(&self) -> Result<Way, Failure> {
        if let Some(target) = &self.submit {
            return Ok(Way::Submit(target.clone()));
        }
        let Some(directory) = &self.messages else {
            return Err(Failure::with_help(
                ExitCode::Usage,
                "`--client` needs `--submit HOST:PORT` or `--messages DIRECTORY`".to_owned(),
                "with --messages the probe writes its messages there, and says how to send each"
                    .to_owned(),
            ));
        };
        std::fs::create_dir_all(directory).map_err(|error| {
            Failure::text(
                ExitCode::Usage,
                format!("cannot make {}: {error}", directory.display()),
            )
        })?;
        Ok(Way::ByHand(ByHand {
            directory: directory.clone(),
            wait: self.wait,
            tell: Arc::new(output::note),
        }))
    }
}

fn execute(
    probe: ClientProbe,
    selected: Vec<&'static crate::probe::case::Case<client::context::Context>>,
) -> Result<ProbeReport, Failure> {
    let cancel = interrupt::token()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Failure::text(ExitCode::Harness, format!("cannot start: {e}")))?;
    let line = Arc::new(progress::Line::new(selected.len(), false, false));
    let told = line.clone();
    let listening = |address: &str| output::note(&format!("the next hop listens on {address}"));
    let report = runtime.block_on(client::run(probe, selected, cancel, listening, move |id| {
        told.step(id)
    }));
    line.finish();
    runtime.shutdown_background();
    report.map_err(|error| {
        let help = "give an address of this machine with a port that is free; port 0 takes any";
        Failure::with_help(ExitCode::Missing, error.to_string(), help)
    })
}
