//! What became of the mail of a run: per message and recipient, and per kind of fault that it was put to.
//!
//! Comes in: numbers that the harness reads off a history. Goes out: sums of them, for reports and certificates.

use serde::{Deserialize, Serialize};

/// The mail of a run, message by message and recipient by recipient.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct MailLedger {
    /// Messages that were submitted.
    pub messages: u64,
    /// …that no submission of which was acked.
    pub never_acked: u64,
    /// Deliveries that were promised: a message that was acked, and one recipient of it. The next seven are parts of these.
    pub promised: u64,
    /// …that arrived.
    pub delivered: u64,
    /// …that came to an end with a DSN to the sender.
    pub bounced: u64,
    /// …that were acked and lost, or are held long after they were due. Each is a violation.
    pub lost: u64,
    /// …of which the history does not tell, or which left the guarantee's conditions.
    pub undecided: u64,
    /// …that arrived, but later than every retry after the last trouble explains.
    pub late: u64,
    /// …that arrived more than once.
    pub duplicated: u64,
    /// Copies beyond the first of these.
    pub copies_too_many: u64,
    /// The most copies of one message that one recipient had.
    pub most_copies: u64,
    /// Arrivals of what was refused, or never sent. Each is a violation.
    pub phantoms: u64,
    /// What the mail was put to, by kind.
    pub exposure: Vec<Exposure>,
}

/// What the mail of a run was put to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Exposure {
    /// The kind: `process killed`, `next hop down`…
    pub kind: String,
    /// How many times it happened.
    pub happened: u64,
    /// Messages that were acked in the runs in which it happened.
    pub acked: u64,
}

impl MailLedger {
    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.never_acked += other.never_acked;
        self.promised += other.promised;
        self.delivered += other.delivered;
        self.bounced += other.bounced;
        self.lost += other.lost;
        self.undecided += other.undecided;
        self.late += other.late;
        self.duplicated += other.duplicated;
        self.copies_too_many += other.copies_too_many;
        self.most_copies = self.most_copies.max(other.most_copies);
        self.phantoms += other.phantoms;
        for exposure in &other.exposure {
            match self.exposure.iter_mut().find(|e| e.kind == exposure.kind) {
                Some(known) => {
                    known.happened += exposure.happened;
                    known.acked += exposure.acked;
                }
                None => self.exposure.push(exposure.clone()),
            }
        }
        self.exposure.sort_by(|a, b| a.kind.cmp(&b.kind));
    }

    /// How often this happened, and to how many acked messages.
    pub fn exposed_to(&self, kind: &str) -> (u64, u64) {
        let found = self.exposure.iter().find(|e| e.kind == kind);
        found.map_or((0, 0), |e| (e.happened, e.acked))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(kind: &str, happened: u64, most_copies: u64) -> MailLedger {
        let exposure = Exposure {
            kind: kind.into(),
            happened,
            acked: 10,
        };
        MailLedger {
            promised: 5,
            most_copies,
            exposure: vec![exposure],
            ..MailLedger::default()
        }
    }

    #[test]
    fn runs_are_added_up_by_kind() {
        let mut sum = ledger("process killed", 3, 1);
        sum.add(&ledger("power lost", 1, 4));
        sum.add(&ledger("process killed", 2, 2));
        assert_eq!((sum.promised, sum.most_copies), (15, 4));
        assert_eq!(sum.exposed_to("process killed"), (5, 20));
        assert_eq!(sum.exposed_to("power lost"), (1, 10));
        assert_eq!(sum.exposed_to("disk full"), (0, 0));
    }
}
