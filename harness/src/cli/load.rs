//! `gauntlet load`

use std::{
    cell::Cell,
    collections::BTreeMap,
    net::ToSocketAddrs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    str::FromStr,
    time::{Duration, SystemTime},
};

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::{Done, interrupt, output, table};
use crate::{
    error::{ExitCode, Failure},
    load::{
        self, Counts, FIGURES_VERSION, Figures, Latency, Ledger, LoadPlan, MOST_RECIPIENTS, Pace,
        Reason, SoFar, Template,
    },
    scenario::{Hello, Span},
    workload::content::EXTERNAL,
};

/// How long a load takes when nothing bounds it.
const DURATION: Duration = Duration::from_secs(10);

/// The longest message: 1 GiB.
const MOST_OCTETS: usize = 1 << 30;

#[derive(Debug, Args)]
#[command(
    after_help = "Closed loop (no --rate): each session begins its next message when the one before it is over; the message's
latency counts from its beginning. Open loop (--rate): message n is due n/RATE seconds after the start, whatever
became of those before it, and its latency counts from then, so that a server that stalls cannot hide the messages
that it kept waiting (no coordinated omission).

A load ends by itself: after --count messages, after --duration, whichever comes first. Messages that are on the way
then are waited for, each reply no longer than --timeout.

Exit codes:
  0    the load ran, and messages were acked; refused and lost ones are figures, and in the ledger
  2    the load ran, and no message was acked
  64   bad usage; the ledger's file is there already
  69   nobody could be connected to
  70   the ledger or the figures could not be written
  130  interrupted; the figures so far are printed

Examples:
  gauntlet load 127.0.0.1:2525
  gauntlet load 127.0.0.1:2525 --sessions 50 --count 100000 --size 1KiB..64KiB --ledger ledger.jsonl
  gauntlet load mx.example:25 --rate 500 --duration 5m --json figures.json
  gauntlet load 127.0.0.1:2525 --per-connection 1 --pipelining off --helo"
)]
pub(super) struct LoadArgs {
    /// Whom to send to
    #[arg(value_name = "HOST:PORT")]
    target: String,
    /// Sessions at the same time
    #[arg(long, short, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    sessions: u32,
    /// Messages per second, of all sessions together (open loop); without it as many as the server takes (closed loop)
    #[arg(long, value_name = "R", value_parser = rate)]
    rate: Option<f64>,
    /// End after so many messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    count: Option<u32>,
    /// Begin no message after this time [default: 10s, or none with --count]
    #[arg(long, value_name = "TIME")]
    duration: Option<Span>,
    /// Octets of a message with its header section: 4096, 4KiB, 1KiB..64KiB
    #[arg(long, value_name = "SIZE", default_value = "4KiB")]
    size: Sizes,
    /// Recipients of each message; more than one are numbered: name-1@…, name-2@…
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(MOST_RECIPIENTS)))]
    recipients: u32,
    /// Messages on one connection; 1: a connection for each [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    per_connection: Option<u32>,
    /// Return path; an empty one is <>
    #[arg(long, value_name = "ADDRESS", default_value = "load@gauntlet.example", value_parser = address)]
    from: String,
    /// Recipient
    #[arg(long, value_name = "ADDRESS", default_value = EXTERNAL, value_parser = recipient)]
    to: String,
    /// Say HELO instead of EHLO: no extensions
    #[arg(long)]
    helo: bool,
    /// The name to say hello with
    #[arg(long, value_name = "NAME", default_value = "load.gauntlet.example", value_parser = word)]
    name: String,
    /// Send the envelope in one piece where the server offers PIPELINING
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pipelining: Pipelining,
    /// Send content with BDAT where the server offers CHUNKING
    #[arg(long)]
    bdat: bool,
    /// How long to wait for a connection, and for each reply
    #[arg(long, value_name = "TIME", default_value = "60s")]
    timeout: Span,
    /// Threads for the sessions; one does some ten thousand messages per second
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: u32,
    /// Write what became of every message, one line of JSON each, to a new file
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Write the figures as JSON; `-` is stdout, instead of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Pipelining {
    /// Where it is offered
    Auto,
    /// Never
    Off,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Sizes(RangeInclusive<usize>);

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (least, most) = text.split_once("..").unwrap_or((text, text));
        let (least, most) = (octets(least)?, octets(most)?);
        if least > most {
            return Err(format!("{least} is more than {most}"));
        }
        Ok(Self(least..=most))
    }
}

fn octets(text: &str) -> Result<usize, String> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text[digits.len()..].trim() {
        "" | "B" => 1,
        "KiB" | "K" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" => 1 << 30,
        unit => return Err(format!("`{unit}` is no unit: write B, KiB, MiB or GiB")),
    };
    let number: usize = digits
        .parse()
        .map_err(|_| "write a number of octets, as in 4096, 4KiB or 1KiB..64KiB".to_owned())?;
    number
        .checked_mul(unit)
        .filter(|octets| *octets <= MOST_OCTETS)
        .ok_or_else(|| "a message has at most 1 GiB".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.001..=1e7).contains(&rate) => Ok(rate),
        _ => Err("write messages per second, from 0.001 to 10000000".into()),
    }
}

/// Text that stands in a command line: nothing that would end it.
fn word(text: &str) -> Result<String, String> {
    if text.is_empty() || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("a name is one word".into());
    }
    Ok(text.into())
}

fn address(text: &str) -> Result<String, String> {
    let bad = |c: char| c.is_control() || c.is_whitespace() || c == '<' || c == '>';
    // ASCII: anything else would need SMTPUTF8.
    if !text.is_ascii() || text.chars().any(bad) || text.len() > 254 {
        return Err("write an address without brackets, in ASCII, with at most 254 octets".into());
    }
    Ok(text.into())
}

fn recipient(text: &str) -> Result<String, String> {
    let good = text
        .rsplit_once('@')
        .is_some_and(|(name, domain)| !name.is_empty() && !domain.is_empty());
    if !good {
        return Err("write a recipient as name@domain".into());
    }
    address(text)
}

pub(super) fn run(args: &LoadArgs, command: &str) -> Done {
    let plan = plan(args)?;
    let ledger = match &args.ledger {
        None => Ledger::none(),
        Some(path) => Ledger::create(path, &plan).map_err(|error| {
            let code = match error.kind() {
                std::io::ErrorKind::AlreadyExists => ExitCode::Usage,
                _ => ExitCode::Harness,
            };
            Failure::text(code, format!("the ledger {}: {error}", path.display()))
        })?,
    };
    let interrupted = interrupt::token_saying(
        "interrupted: waiting a second for the replies that are due; once more to stop at once",
    )?;
    let line = ProgressLine::new(args.quiet);
    let done = load::run(&plan, &ledger, &interrupted, &mut |so_far| {
        line.tell(so_far)
    })
    .map_err(|error| Failure::text(ExitCode::Harness, error.to_string()));
    line.finish();
    let done = done?;
    ledger
        .finish(done.reason.word(), done.figures.counts)
        .map_err(|error| {
            Failure::text(
                ExitCode::Harness,
                format!("the ledger could not be written: {error}; messages were sent that are not in it"),
            )
        })?;
    let report = Report::new(&plan, &args.target, command, done.reason, &done.figures);
    tell(args, &report)?;
    match done.reason {
        Reason::Interrupted => Ok(ExitCode::Interrupted),
        Reason::Unreachable => Err(Failure::text(
            ExitCode::Missing,
            format!(
                "{}: {}",
                args.target,
                report
                    .errors
                    .keys()
                    .next()
                    .map_or("no connection", String::as_str)
            ),
        )),
        _ if done.figures.counts.acked == 0 => Ok(ExitCode::Inconclusive),
        _ => Ok(ExitCode::Holds),
    }
}

fn plan(args: &LoadArgs) -> Result<LoadPlan, Failure> {
    let usage = |message: String| Failure::text(ExitCode::Usage, message);
    if !args.target.contains(':') {
        return Err(usage(format!("{}: write HOST:PORT", args.target)));
    }
    let target = args
        .target
        .to_socket_addrs()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidInput => usage(format!("{}: {error}", args.target)),
            _ => Failure::text(ExitCode::Missing, format!("{}: {error}", args.target)),
        })?
        .next()
        .ok_or_else(|| Failure::text(ExitCode::Missing, format!("{}: no address", args.target)))?;
    let numbered = |n: u32| match args.to.rsplit_once('@') {
        Some((name, domain)) if args.recipients > 1 => format!("{name}-{n}@{domain}"),
        _ => args.to.clone(),
    };
    let plan = LoadPlan {
        target,
        sessions: args.sessions,
        threads: args.threads,
        pace: args.rate.map_or(Pace::Closed, |rate| Pace::Open { rate }),
        count: args.count,
        duration: match (args.duration, args.count) {
            (Some(span), _) => Some(span.0),
            (None, Some(_)) => None,
            (None, None) => Some(DURATION),
        },
        size: args.size.0.clone(),
        from: args.from.clone(),
        recipients: (1..=args.recipients).map(numbered).collect(),
        per_connection: args.per_connection,
        hello: if args.helo { Hello::Helo } else { Hello::Ehlo },
        name: args.name.clone(),
        pipelining: args.pipelining == Pipelining::Auto,
        bdat: args.bdat,
        patience: args.timeout.0,
        // Two loads at the same nanosecond would have the same Message-IDs, and nothing else in common.
        run: SystemTime::UNIX_EPOCH
            .elapsed()
            .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0)),
    };
    Template::new(&plan, SystemTime::UNIX_EPOCH).map_err(|small| usage(small.to_string()))?;
    Ok(plan)
}

/// The figures, as JSON has them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report<'a> {
    version: u32,
    harness: &'static str,
    command: &'a str,
    target: &'a str,
    sessions: u32,
    /// `closed` or `open`
    #[serde(rename = "loop")]
    pace: &'static str,
    rate: Option<f64>,
    latency_counts_from: &'static str,
    ended: &'static str,
    elapsed_us: u64,
    #[serde(flatten)]
    counts: Counts,
    refused_by_code: &'a BTreeMap<u16, u64>,
    recipients_refused_by_code: &'a BTreeMap<u16, u64>,
    errors: &'a BTreeMap<String, u64>,
    connections: u64,
    acked_octets: u64,
    acked_per_second: f64,
    acked_octets_per_second: f64,
    latency: Latencies,
}

/// `null`: nothing of the kind happened.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Latencies {
    connect: Option<Latency>,
    open: Option<Latency>,
    late: Option<Latency>,
    ack: Option<Latency>,
    message: Option<Latency>,
}

impl<'a> Report<'a> {
    #[expect(
        clippy::cast_precision_loss,
        reason = "rates are read, not counted with"
    )]
    fn new(
        plan: &LoadPlan,
        target: &'a str,
        command: &'a str,
        reason: Reason,
        figures: &'a Figures,
    ) -> Self {
        let secs = figures.elapsed.as_secs_f64();
        let per_second = |n: u64| if secs > 0.0 { n as f64 / secs } else { 0.0 };
        let (pace, rate, from) = match plan.pace {
            Pace::Closed => ("closed", None, "its beginning"),
            Pace::Open { rate } => ("open", Some(rate), "the time at which it was due"),
        };
        Self {
            version: FIGURES_VERSION,
            harness: env!("CARGO_PKG_VERSION"),
            command,
            target,
            sessions: plan.sessions,
            pace,
            rate,
            latency_counts_from: from,
            ended: reason.word(),
            elapsed_us: u64::try_from(figures.elapsed.as_micros()).unwrap_or(u64::MAX),
            counts: figures.counts,
            refused_by_code: &figures.refused,
            recipients_refused_by_code: &figures.recipients_refused,
            errors: &figures.errors,
            connections: figures.connections,
            acked_octets: figures.octets,
            acked_per_second: per_second(figures.counts.acked),
            acked_octets_per_second: per_second(figures.octets),
            latency: Latencies {
                connect: figures.connect.summary(),
                open: figures.opened.summary(),
                late: rate.and_then(|_| figures.late.summary()),
                ack: figures.ack.summary(),
                message: figures.message.summary(),
            },
        }
    }

    /// What people read.
    fn text(&self) -> String {
        let counted = |n: u64, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        let mut text = format!(
            "{}: {} of {} acked in {:.2} s: {:.0} messages/s, {:.1} MB/s ({}, {})\n\n",
            self.target,
            self.counts.acked,
            counted(self.counts.begun(), "message"),
            Duration::from_micros(self.elapsed_us).as_secs_f64(),
            self.acked_per_second,
            self.acked_octets_per_second / 1e6,
            counted(self.sessions.into(), "session"),
            counted(self.connections, "connection"),
        );
        let codes = |codes: &BTreeMap<u16, u64>| {
            let codes: Vec<_> = codes.iter().map(|(c, n)| format!("{c}: {n}")).collect();
            codes.join(", ")
        };
        let row = |name: &str, n: u64, note: String| vec![name.into(), n.to_string(), note];
        let mut rows = vec![
            row("acked", self.counts.acked, String::new()),
            row("refused", self.counts.refused, codes(self.refused_by_code)),
            row("indeterminate", self.counts.indeterminate, String::new()),
            row("unsent", self.counts.unsent, String::new()),
        ];
        if self.rate.is_some() {
            let note = "due, and no session was free in time".into();
            rows.push(row("never begun", self.counts.never_begun, note));
        }
        if !self.recipients_refused_by_code.is_empty() {
            let refused = self.recipients_refused_by_code;
            rows.push(row(
                "recipients refused",
                refused.values().sum(),
                codes(refused),
            ));
        }
        let width = output::width();
        text.push_str(&table::table(&["outcome", "messages", ""], &rows, width));
        text.push('\n');
        let ms = |us: u64| format!("{:.3}", Duration::from_micros(us).as_secs_f64() * 1e3);
        let latencies = [
            ("connect", &self.latency.connect),
            ("open", &self.latency.open),
            ("late", &self.latency.late),
            ("ack", &self.latency.ack),
            ("message", &self.latency.message),
        ];
        let rows: Vec<Vec<String>> = latencies
            .into_iter()
            .filter_map(|(name, latency)| Some((name, latency.as_ref()?)))
            .map(|(name, l)| {
                let of = [l.min_us, l.p50_us, l.p90_us, l.p99_us, l.p999_us, l.max_us];
                [name.to_owned(), l.count.to_string()]
                    .into_iter()
                    .chain(of.map(ms))
                    .collect()
            })
            .collect();
        if !rows.is_empty() {
            let headings = [
                "latency, ms",
                "count",
                "min",
                "p50",
                "p90",
                "p99",
                "p99.9",
                "max",
            ];
            text.push_str(&table::table(&headings, &rows, width));
            text.push_str(&format!(
                "\n{} loop: a message's latency counts from {}.\n",
                if self.rate.is_some() {
                    "Open"
                } else {
                    "Closed"
                },
                self.latency_counts_from
            ));
        }
        for (error, count) in self.errors {
            text.push_str(&format!("{count} × {error}\n"));
        }
        text
    }
}

/// Prints the table, writes the JSON.
fn tell(args: &LoadArgs, report: &Report<'_>) -> Result<(), Failure> {
    let failed = |path: &Path, error: String| {
        let message = format!("cannot write the figures to {}: {error}", path.display());
        Failure::text(ExitCode::Harness, message)
    };
    let Some(path) = &args.json else {
        return output::print(&report.text());
    };
    let mut json =
        serde_json::to_string_pretty(report).map_err(|error| failed(path, error.to_string()))?;
    json.push('\n');
    if path.as_os_str() == "-" {
        return output::print(&json);
    }
    std::fs::write(path, json).map_err(|error| failed(path, error.to_string()))?;
    output::print(&report.text())
}

/// A line on stderr that shows how far a load is; nothing when stderr is no terminal.
struct ProgressLine {
    bar: ProgressBar,
    last: Cell<(Duration, u64)>,
}

impl ProgressLine {
    fn new(quiet: bool) -> Self {
        // indicatif draws nothing when stderr is no terminal.
        let target = if quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        // A constant: it is a good template.
        if let Ok(style) = ProgressStyle::with_template("{wide_msg} {elapsed}") {
            bar.set_style(style);
        }
        Self {
            bar,
            last: Cell::default(),
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate that is read at a glance"
    )]
    fn tell(&self, so_far: SoFar) {
        let Counts {
            acked,
            refused,
            indeterminate,
            unsent,
            ..
        } = so_far.counts;
        let (then, before) = self.last.replace((so_far.elapsed, acked));
        let secs = so_far.elapsed.saturating_sub(then).as_secs_f64().max(1e-3);
        let rate = acked.saturating_sub(before) as f64 / secs;
        let mut message = format!("{acked} acked, {rate:.0}/s");
        for (count, word) in [
            (refused, "refused"),
            (indeterminate, "indeterminate"),
            (unsent, "unsent"),
        ] {
            if count > 0 {
                message.push_str(&format!(", {count} {word}"));
            }
        }
        self.bar.set_message(message);
        self.bar.tick();
    }

    /// Takes the line away.
    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
