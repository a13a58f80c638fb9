//! The trace field that a server puts on top of what it takes (RFC 5321 §4.4): by it a loop is noticed (TC-09).
//!
//! Comes in: a transaction and whom it came from. Goes out: the content with a Received field on top. Called
//! where a message is accepted, and where a peer delivers to mailboxes. A shadow copy gets none: it is what the
//! primary server sends on, octet for octet.

use crate::{env::Timestamp, message::header_date, smtp::Transaction};

/// Where a message came from.
pub(crate) struct Trace {
    /// The client's address.
    pub(crate) from: String,
    /// `SMTP`, `ESMTP`, …
    pub(crate) protocol: &'static str,
}

impl Trace {
    /// The content, taken out of the transaction, below a Received field of server `by`, which names it `id`. It is not
    /// copied where its allocation has room: a large message must not be in memory twice.
    pub(crate) fn on_top(
        &self,
        transaction: &mut Transaction,
        by: &str,
        id: &str,
        now: Timestamp,
    ) -> Vec<u8> {
        let field = trace_field(
            &transaction.helo,
            &self.from,
            by,
            self.protocol,
            Some(id),
            now,
        );
        let mut content = std::mem::take(&mut transaction.content);
        content.reserve_exact(field.len());
        content.splice(0..0, field.into_bytes());
        content
    }
}

/// The field that whoever takes a message puts on top (RFC 5321 §4.4).
pub(crate) fn trace_field(
    helo: &str,
    from: &str,
    by: &str,
    with: &str,
    id: Option<&str>,
    now: Timestamp,
) -> String {
    let helo = if helo.is_empty() { "unknown" } else { helo };
    let id = id.map(|id| format!(" id {id}")).unwrap_or_default();
    let date = header_date(now);
    format!("Received: from {helo} ({from})\r\n\tby {by} with {with}{id};\r\n\t{date}\r\n")
}
