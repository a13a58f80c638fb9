//! How many copies an external recipient may see, and which are too many (RO-03, TC-04).
//!
//! The bound counts per owner, from the wire: a node may send a message out once for every end of data by which it
//! came to own a copy, once more for every delivery whose reply it did not get, and once more for every time that it
//! was struck, or its link was, after the first delivery. What is beyond that, nothing explains.

use super::Ledger;
use crate::{
    check::{Case, Exchange},
    history::Transaction,
};

/// A node that sent a message to a sink more often than anything explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surplus {
    /// The message.
    pub message: u32,
    /// The owner.
    pub node: String,
    /// The sink.
    pub sink: String,
    /// The recipient.
    pub recipient: String,
    /// Ends of data that it sent there.
    pub sent: usize,
    /// …and how many are explained.
    pub allowed: usize,
    /// The records that show the sends.
    pub records: Vec<u64>,
}

impl Ledger<'_> {
    /// For every message, node and external recipient: how often it was sent there, and whether that is too often. The
    /// first is the number of cases looked at.
    pub fn surplus(&self, case: &Case<'_>) -> (usize, Vec<Surplus>) {
        let mut looked_at = 0;
        let mut found = Vec::new();
        for link in case.links.keys() {
            let Some((node, sink)) = link.split_once('>') else {
                continue;
            };
            if !case.is_node(node) || !case.is_sink(sink) {
                continue;
            }
            let envelopes = self
                .entries
                .values()
                .flat_map(|e| e.accounts.keys().map(move |to| (e.message, *to)));
            for (message, recipient) in envelopes {
                let sends: Vec<&Exchange<'_>> = case
                    .exchanges_of(message)
                    .filter(|(c, e)| c.link == *link && e.kind == Transaction::Mail)
                    .map(|(_, e)| e)
                    .filter(|e| e.recipients.contains(&recipient))
                    .collect();
                let (Some(first), Some(last)) = (sends.first(), sends.last()) else {
                    continue;
                };
                looked_at += 1;
                let owned = owned(case, node, message, last);
                let unanswered = sends.iter().filter(|e| e.acked().is_none()).count();
                let struck = case
                    .faults_on(node, sink)
                    .filter(|f| f.overlaps(first.sent.t_us, case.last_us))
                    .count();
                let allowed = owned + unanswered + struck;
                if sends.len() > allowed {
                    found.push(Surplus {
                        message,
                        node: node.to_owned(),
                        sink: sink.to_owned(),
                        recipient: recipient.to_owned(),
                        sent: sends.len(),
                        allowed,
                        records: sends.iter().map(|e| e.sent.seq).collect(),
                    });
                }
            }
        }
        (looked_at, found)
    }
}

/// Ends of data by which the node came to own a copy before its last send.
fn owned(case: &Case<'_>, node: &str, message: u32, last: &Exchange<'_>) -> usize {
    case.exchanges_of(message)
        .filter(|(c, e)| c.to == node && e.sent < last.sent && e.kind != Transaction::Deliver)
        .count()
}
