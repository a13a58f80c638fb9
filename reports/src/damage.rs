//! What unsupported operations did to acked mail, phase by phase, with and without the detection of regressions: the table
//! that tells an operator what a backup policy costs.
//!
//! Comes in: the [`Damage`] of `measured` verdicts. Goes out: a [`DamageTable`] for each operation, over all scenarios of a run,
//! and its rendering for a terminal, Markdown and HTML. Called by the reports.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::{RunReport, Status};

/// Where a message was in its life, as its primary server had it, when the state was kept that was gone back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LifePhase {
    /// It came afterwards.
    NotBegun,
    /// It was being taken in, and no other server had it.
    BeforeTheCopy,
    /// A shadow server had confirmed its copy, and the sender was not answered.
    BetweenCopyAndAck,
    /// It was acked, and a recipient had not got it.
    Queued,
    /// Its recipients had it, and its shadow server had not been told.
    DeliveredNotDiscarded,
    /// Its shadow server had been told.
    Discarded,
    /// Another server had taken it in.
    Elsewhere,
}

impl LifePhase {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::NotBegun => "not begun",
            Self::BeforeTheCopy => "before the copy",
            Self::BetweenCopyAndAck => "between copy and ack",
            Self::Queued => "acked and queued",
            Self::DeliveredNotDiscarded => "delivered and not yet discarded",
            Self::Discarded => "discarded",
            Self::Elsewhere => "taken in by another node",
        }
    }
}

/// The operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// A saved state is resumed (VZ-04).
    SavedState,
    /// A disk goes back to a snapshot (VZ-05).
    SnapshotRevert,
}

impl Operation {
    /// What it does to mail, as a heading.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::SavedState => "What resuming a saved state did to acked mail (VZ-04)",
            Self::SnapshotRevert => "What going back to a snapshot did to acked mail (VZ-05)",
        }
    }
}

/// What became of messages that were in one phase.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Toll {
    /// Acked messages.
    pub acked: u64,
    /// …of which a recipient never got its copy.
    pub lost: u64,
    /// …that came later than a heartbeat after the server was up again.
    pub late: u64,
    /// …that an external recipient got more than once.
    pub twice_outside: u64,
    /// …that a mailbox shows more than once.
    pub twice_inside: u64,
}

impl Toll {
    /// Both together.
    pub fn add(&mut self, other: Self) {
        self.acked += other.acked;
        self.lost += other.lost;
        self.late += other.late;
        self.twice_outside += other.twice_outside;
        self.twice_inside += other.twice_inside;
    }

    fn cells(self) -> [u64; 5] {
        [
            self.acked,
            self.lost,
            self.late,
            self.twice_outside,
            self.twice_inside,
        ]
    }
}

/// What one operation did to the mail of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// The operation.
    pub operation: Operation,
    /// All nodes noticed databases that went back (HB-13).
    pub detection: bool,
    /// By phase, in the order of a message's life.
    pub phases: Vec<PhaseToll>,
}

/// A phase, and what became of the messages that were in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseToll {
    /// The phase.
    pub phase: LifePhase,
    /// What became of them.
    #[serde(flatten)]
    pub toll: Toll,
}

impl Damage {
    /// Adds what the same operation did in another run.
    pub fn add(&mut self, other: &Self) {
        for more in &other.phases {
            match self
                .phases
                .iter_mut()
                .find(|known| known.phase == more.phase)
            {
                Some(known) => known.toll.add(more.toll),
                None => self.phases.push(*more),
            }
        }
        self.phases.sort_by_key(|known| known.phase);
    }
}

/// What one operation did over all scenarios: a row per phase, with detection off and on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamageTable {
    /// The operation.
    pub operation: Operation,
    /// The rows, in the order of a message's life; `None` where no run of that kind had such a message.
    pub rows: Vec<(LifePhase, Option<Toll>, Option<Toll>)>,
}

/// The columns of each half.
const COLUMNS: [&str; 5] = ["acked", "lost", "late", "2× out", "2× in"];

/// Says what the columns are.
const LEGEND: &str = "late: more than a heartbeat after the server was up again; 2×: delivered more than once, out of the \
                      organization or in a mailbox of it; detection: StateRegressionDetection";

const WHERE: &str = "the kept state had the message";

impl RunReport {
    /// A table for each operation whose damage was measured.
    pub fn damage_tables(&self) -> Vec<DamageTable> {
        let mut tables: Vec<DamageTable> = Vec::new();
        for scenario in &self.scenarios {
            for verdict in &scenario.verdicts {
                let Some(damage) = &verdict.damage else {
                    continue;
                };
                if scenario.status_of(verdict) != Status::Measured {
                    continue;
                }
                let place = tables.iter().position(|t| t.operation == damage.operation);
                let place = place.unwrap_or_else(|| {
                    tables.push(DamageTable {
                        operation: damage.operation,
                        rows: Vec::new(),
                    });
                    tables.len() - 1
                });
                tables[place].add(damage);
            }
        }
        tables.sort_by_key(|table| table.operation);
        tables
    }
}

fn sum(mut tolls: impl Iterator<Item = Toll>) -> Option<Toll> {
    let mut sum = tolls.next()?;
    tolls.for_each(|toll| sum.add(toll));
    Some(sum)
}

impl DamageTable {
    fn add(&mut self, damage: &Damage) {
        for PhaseToll { phase, toll } in &damage.phases {
            let known = self.rows.iter().position(|(of, ..)| of == phase);
            let place = known.unwrap_or_else(|| {
                self.rows.push((*phase, None, None));
                self.rows.len() - 1
            });
            let (_, off, on) = &mut self.rows[place];
            let half = if damage.detection { on } else { off };
            half.get_or_insert_default().add(*toll);
        }
        self.rows.sort_by_key(|(phase, ..)| *phase);
    }

    fn total(&self) -> (Option<Toll>, Option<Toll>) {
        let off = sum(self.rows.iter().filter_map(|(_, off, _)| *off));
        (off, sum(self.rows.iter().filter_map(|(.., on)| *on)))
    }

    /// All rows and the total, with their names.
    fn named(&self) -> Vec<(&'static str, Option<Toll>, Option<Toll>)> {
        let (off, on) = self.total();
        let rows = self
            .rows
            .iter()
            .map(|(phase, off, on)| (phase.words(), *off, *on));
        rows.chain([("together", off, on)]).collect()
    }

    /// For a terminal.
    pub(crate) fn terminal(&self) -> String {
        const FIRST: usize = 34;
        const GAP: &str = "   ";
        let mut text = String::new();
        let half: usize = COLUMNS.iter().map(|name| name.chars().count() + 1).sum();
        // A string takes every write.
        let _ = writeln!(text, "{}", self.operation.heading());
        let _ = writeln!(
            text,
            "{:FIRST$}{:<half$}{GAP}  detection on",
            "", "  detection off"
        );
        let names: String = COLUMNS.iter().map(|name| format!(" {name}")).collect();
        let _ = writeln!(text, "{WHERE:FIRST$}{names}{GAP}{names}");
        let cells = |toll: Option<Toll>| -> String {
            let values = toll.map(Toll::cells);
            let cell = |(i, name): (usize, &&str)| {
                let width = name.chars().count();
                match values {
                    Some(values) => format!(" {:>width$}", values[i]),
                    None => format!(" {:>width$}", "–"),
                }
            };
            COLUMNS.iter().enumerate().map(cell).collect()
        };
        for (name, off, on) in self.named() {
            let _ = writeln!(text, "{name:FIRST$}{}{GAP}{}", cells(off), cells(on));
        }
        text
    }

    /// For Markdown.
    pub(crate) fn markdown(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n## {}\n", self.operation.heading())?;
        write!(f, "| {WHERE} |")?;
        for half in ["off", "on"] {
            for (i, name) in COLUMNS.iter().enumerate() {
                match i {
                    0 => write!(f, " detection {half}: {name} |")?,
                    _ => write!(f, " {name} |")?,
                }
            }
        }
        writeln!(f, "\n|---|{}", "--:|".repeat(2 * COLUMNS.len()))?;
        for (name, off, on) in self.named() {
            write!(f, "| {name} |")?;
            for toll in [off, on] {
                for i in 0..COLUMNS.len() {
                    match toll.map(Toll::cells) {
                        // Only what is lost is bad whatever one thinks of the rest.
                        Some(values) if i == 1 && values[i] > 0 => {
                            write!(f, " **{}** |", values[i])?
                        }
                        Some(values) => write!(f, " {} |", values[i])?,
                        None => write!(f, " – |")?,
                    }
                }
            }
            writeln!(f)?;
        }
        writeln!(f, "\n{LEGEND}.")
    }

    /// For a browser.
    pub(crate) fn html(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "<section class=\"damage\">\n<h2>{}</h2>\n<div class=\"scroll\">\n<table>\n<thead>",
            self.operation.heading()
        )?;
        let span = COLUMNS.len();
        writeln!(
            f,
            "<tr><th rowspan=\"2\" scope=\"col\">{WHERE}</th><th colspan=\"{span}\" scope=\"colgroup\">detection off</th>\
             <th colspan=\"{span}\" scope=\"colgroup\">detection on</th></tr>\n<tr>"
        )?;
        for _ in 0..2 {
            for name in COLUMNS {
                write!(f, "<th scope=\"col\">{name}</th>")?;
            }
        }
        writeln!(f, "</tr>\n</thead>\n<tbody>")?;
        for (name, off, on) in self.named() {
            write!(f, "<tr><th scope=\"row\">{name}</th>")?;
            for toll in [off, on] {
                for i in 0..span {
                    match toll.map(Toll::cells) {
                        Some(values) if i == 1 && values[i] > 0 => {
                            write!(f, "<td class=\"lost\">{}</td>", values[i])?;
                        }
                        Some(values) => write!(f, "<td>{}</td>", values[i])?,
                        None => write!(f, "<td>–</td>")?,
                    }
                }
            }
            writeln!(f, "</tr>")?;
        }
        writeln!(
            f,
            "</tbody>\n</table>\n</div>\n<p class=\"legend\">{LEGEND}.</p>\n</section>"
        )
    }
}

/// The legend under a table for a terminal.
pub(crate) fn legend() -> &'static str {
    LEGEND
}
