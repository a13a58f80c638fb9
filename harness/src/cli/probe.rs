//! `gauntlet probe`

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::{ArgGroup, Args};
use gauntlet_reports::{
    Conclusion, Style,
    probe::{self as report, ProbeReport},
};

use super::{Done, interrupt, output, probe_client::ClientArgs, progress, table};
use crate::{
    error::{ExitCode, Failure},
    probe::{
        self, Probe,
        arrival::Source,
        case::{Case, Need},
        cases, expected,
        run::Login,
        select::select,
        target::Target,
    },
    run_directory,
    scenario::spelling,
};

/// A command line is seen by everybody on the machine; the environment is not.
const PASSWORD: &str = "GAUNTLET_PROBE_PASSWORD";

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes:
  0    every case that counts holds
  1    a MUST or security case failed (a SHOULD with --strict), a case passed that is expected to fail, or the server is gone
  2    nothing failed, but something that counts could not be told
  69   the target cannot be reached

Examples:
  gauntlet probe 127.0.0.1:2525 --from a@example.test --to b@example.test
  gauntlet probe localhost:25 --from a@example.test --to b@example.test --strict --junit probe.xml --only rfc5321/4.5.2
  gauntlet probe localhost:25 --from a@example.test --to b@example.test --sink 127.0.0.1:2600
  gauntlet probe --list
  gauntlet probe --untestable
  gauntlet probe --client --listen 127.0.0.1:2526 --submit 127.0.0.1:2525 --from a@example.test --to b@example.net
  gauntlet probe --client --list",
    group(ArgGroup::new("proof").args(["sink", "maildir", "mailbox_url"]))
)]
pub(super) struct ProbeArgs {
    /// The server: localhost:25, 127.0.0.1:2525, [::1]:25
    #[arg(value_name = "HOST:PORT", required_unless_present_any = ["list", "untestable", "client"], conflicts_with = "client")]
    target: Option<Target>,
    /// A return path that the server takes
    #[arg(long, value_name = "ADDRESS", required_unless_present_any = ["list", "untestable"], value_parser = address)]
    pub(super) from: Option<String>,
    /// A recipient that the server takes; may be given several times
    #[arg(long, value_name = "ADDRESS", required_unless_present_any = ["list", "untestable"], value_parser = address)]
    pub(super) to: Vec<String>,
    #[command(flatten)]
    pub(super) client: ClientArgs,
    /// SHOULD counts as MUST does
    #[arg(long)]
    pub(super) strict: bool,
    /// Run only these cases: an ID, or the beginning of one; may be given several times
    #[arg(long, value_name = "ID")]
    only: Vec<String>,
    /// Do not run these cases
    #[arg(long, value_name = "ID")]
    skip: Vec<String>,
    /// List the cases, and run none
    #[arg(long)]
    list: bool,
    /// List the clauses that cannot be tested from outside, with the reasons, and run nothing
    #[arg(long, conflicts_with = "list")]
    untestable: bool,
    /// Cases that are known to fail, with a reason each (TOML)
    #[arg(long, value_name = "FILE")]
    expected: Option<PathBuf>,
    /// Run the cases that take minutes, too
    #[arg(long)]
    pub(super) slow: bool,
    /// Proof of arrival: be the server's next hop on this address
    #[arg(long, value_name = "ADDRESS:PORT")]
    sink: Option<String>,
    /// Proof of arrival: the maildir, or a directory of them, that the server delivers to
    #[arg(long, value_name = "DIRECTORY")]
    maildir: Option<PathBuf>,
    /// Proof of arrival: a mailbox endpoint, as the reference node has it (http://127.0.0.1:8025)
    #[arg(long, value_name = "URL")]
    mailbox_url: Option<String>,
    /// A user that the server takes, for the cases of AUTH that need one; the password is read from the environment variable
    /// GAUNTLET_PROBE_PASSWORD. Both stand in the report's dialogues, in base64
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Cases that run side by side
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(super) jobs: u16,
    /// How long a reply may take
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    pub(super) timeout: Duration,
    /// How long a message may take to arrive
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = duration)]
    pub(super) arrival_timeout: Duration,
    /// Write the report as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as an HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print every case with its dialogue
    #[arg(long, short)]
    verbose: bool,
}

pub(super) fn run(args: &ProbeArgs, line: &str) -> Done {
    if args.untestable {
        return untestable(args.client.client);
    }
    if args.client.client {
        return super::probe_client::run(args, line);
    }
    let all = cases::all();
    let selected = args.selected(&all)?;
    if args.list {
        return list(&selected);
    }
    let (Some(target), Some(from)) = (args.target.clone(), args.from.clone()) else {
        // clap requires them without --list.
        return Err(Failure::text(
            ExitCode::Usage,
            "HOST:PORT and --from are needed",
        ));
    };
    args.files_can_be_written()?;
    let probe = Probe {
        target,
        from,
        to: args.to.clone(),
        timeout: args.timeout,
        arrival_timeout: args.arrival_timeout,
        jobs: usize::from(args.jobs),
        strict: args.strict,
        slow: args.slow,
        proof: args.proof(),
        login: args.login()?,
        expected: args.expected(&all)?,
        command: line.to_owned(),
    };
    let report = execute(probe, selected)?;
    args.show(&report)
}

impl ProbeArgs {
    /// The cases that `--only` and `--skip` leave.
    pub(super) fn selected<C>(
        &self,
        all: &[&'static Case<C>],
    ) -> Result<Vec<&'static Case<C>>, Failure> {
        select(all, &self.only, &self.skip).map_err(|message| {
            let words = self.only.iter().chain(&self.skip);
            let near = words
                .filter(|word| !all.iter().any(|case| probe::select::selects(word, case.id)))
                .find_map(|word| spelling::nearest(word, all.iter().map(|case| case.id)));
            let help = near.map_or("see `gauntlet probe --list`".to_owned(), |near| {
                format!("did you mean `{near}`?")
            });
            Failure::with_help(ExitCode::Usage, message, help)
        })
    }

    /// Whether the cases are only listed.
    pub(super) fn lists(&self) -> bool {
        self.list
    }

    pub(super) fn files_can_be_written(&self) -> Result<(), Failure> {
        let files = [&self.junit, &self.json, &self.html];
        files.into_iter().flatten().try_for_each(writable)
    }

    /// Writes the report's files, prints it, and says what it comes to.
    pub(super) fn show(&self, report: &ProbeReport) -> Done {
        self.write(report)?;
        let style = Style {
            color: output::has_color(),
            width: output::width(),
            verbose: self.verbose,
        };
        output::print(&report::terminal(report, &style))?;
        Ok(exit_code(report))
    }

    fn proof(&self) -> Option<Source> {
        let sink = self.sink.clone().map(Source::Sink);
        let maildir = || self.maildir.clone().map(Source::Maildir);
        let mailboxes = || self.mailbox_url.clone().map(Source::Mailboxes);
        sink.or_else(maildir).or_else(mailboxes)
    }

    fn login(&self) -> Result<Option<Login>, Failure> {
        let Some(user) = self.user.clone() else {
            return Ok(None);
        };
        let password = std::env::var(PASSWORD).map_err(|_| {
            Failure::with_help(
                ExitCode::Usage,
                format!("`--user` needs a password in the environment variable {PASSWORD}"),
                format!("{PASSWORD}=… gauntlet probe …"),
            )
        })?;
        Ok(Some(Login { user, password }))
    }

    pub(super) fn expected<C>(
        &self,
        all: &[&'static Case<C>],
    ) -> Result<expected::Expected, Failure> {
        let Some(path) = &self.expected else {
            return Ok(expected::Expected::new());
        };
        let text = run_directory::read(path)
            .map_err(|error| Failure::text(ExitCode::Usage, error.to_string()))?;
        expected::parse(&path.display().to_string(), &text, all)
            .map_err(|error| Failure::new(ExitCode::Usage, error))
    }

    fn write(&self, report: &ProbeReport) -> Result<(), Failure> {
        let failed = |error: gauntlet_reports::ReportError| {
            Failure::text(ExitCode::Harness, error.to_string())
        };
        let put = |path: &PathBuf, text: &str| {
            run_directory::write(path, text)
                .map_err(|error| Failure::text(ExitCode::Missing, error.to_string()))
        };
        if let Some(path) = &self.junit {
            put(path, &report::junit(report).map_err(failed)?)?;
        }
        if let Some(path) = &self.json {
            put(path, &report::json(report).map_err(failed)?)?;
        }
        if let Some(path) = &self.html {
            put(path, &report::html(report))?;
        }
        Ok(())
    }
}

fn execute(probe: Probe, selected: Vec<&'static Case>) -> Result<ProbeReport, Failure> {
    let cancel = interrupt::token()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Failure::text(ExitCode::Harness, format!("cannot start: {e}")))?;
    let line = Arc::new(progress::Line::new(selected.len(), false, false));
    let told = line.clone();
    let report = runtime.block_on(probe::run(probe, selected, cancel, move |id| told.step(id)));
    line.finish();
    runtime.shutdown_background();
    report.map_err(|error| {
        let help = "give an address that the server's next hop may have, a directory that exists, or the node's `http` address";
        Failure::with_help(ExitCode::Missing, error.to_string(), help)
    })
}

fn exit_code(report: &ProbeReport) -> ExitCode {
    if report.interrupted {
        return ExitCode::Interrupted;
    }
    match report.conclusion() {
        Conclusion::AllHold => ExitCode::Holds,
        Conclusion::Violated => ExitCode::Violated,
        Conclusion::Inconclusive => ExitCode::Inconclusive,
        Conclusion::Failed => ExitCode::Missing,
    }
}

pub(super) fn list<C>(selected: &[&'static Case<C>]) -> Done {
    let rows: Vec<Vec<String>> = selected
        .iter()
        .map(|case| {
            let needs: Vec<String> = case
                .needs
                .iter()
                .filter_map(|need| match need {
                    Need::Arrival => Some("arrival".into()),
                    Need::Slow => Some("slow".into()),
                    Need::Extension(keyword) => Some((*keyword).to_owned()),
                    Need::Retry => Some("retry".into()),
                    Need::Returned => Some("return path".into()),
                    Need::Alone | Need::NoExtensions => None,
                })
                .collect();
            let level = case.level.word().to_owned();
            vec![
                case.id.to_owned(),
                level,
                needs.join(", "),
                case.clause.to_owned(),
            ]
        })
        .collect();
    output::print(&table::table(
        &["case", "level", "needs", "clause"],
        &rows,
        160,
    ))?;
    output::note(&format!("{} cases", selected.len()));
    Ok(ExitCode::Holds)
}

fn untestable(client: bool) -> Done {
    let clauses = match client {
        true => probe::untestable::about_clients(),
        false => probe::untestable::clauses(),
    };
    let clauses = clauses
        .map_err(|error| Failure::text(ExitCode::Harness, format!("untestable.toml: {error}")))?;
    let rows: Vec<Vec<String>> = clauses
        .into_iter()
        .map(|clause| {
            vec![
                clause.section,
                format!("{} — {}", clause.clause, clause.reason),
            ]
        })
        .collect();
    output::print(&table::table(
        &["section", "clause"],
        &rows,
        output::width(),
    ))?;
    Ok(ExitCode::Holds)
}

/// Fails now rather than after the probe.
fn writable(path: &PathBuf) -> Result<(), Failure> {
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map(|_| ())
        .map_err(|error| {
            Failure::text(
                ExitCode::Usage,
                format!("cannot write {}: {error}", path.display()),
            )
        })
}

/// A mailbox that can stand in a path as it is: what a case needs to vary, it varies itself.
fn address(text: &str) -> Result<String, String> {
    let good = text.rsplit_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && !domain.is_empty()
            && text
                .bytes()
                .all(|octet| octet.is_ascii_graphic() && !matches!(octet, b'<' | b'>' | b'"'))
    });
    if good {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is no address such as ann@example.test"))
    }
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(format!("`{text}` is no duration such as 10s or 500ms")),
    }
}
