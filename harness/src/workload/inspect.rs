//! Reads a message as sinks and mailboxes got it: which one it is, whether it is a DSN, and its digest.
//!
//! Comes in: a message's content, any octets at all. Goes out: [`Inspected`]. Called by the sinks, and by
//! the substrates that read mailboxes. Sans-IO; nothing here panics, whatever the octets are.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};

use super::content::MESSAGE_FIELD;
use crate::history::Digest;

/// What a message says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// Its number, from its own header section.
    pub message: Option<u32>,
    /// Its attempt, from the same field.
    pub attempt: Option<u32>,
    /// The Message-ID field's value.
    pub message_id: Option<String>,
    /// It is a delivery status notification (RFC 3464): the action of each recipient, in lower case.
    pub dsn: Option<BTreeMap<String, String>>,
    /// The number of the message that a DSN reports on, from what it returns of that message.
    pub about: Option<u32>,
    /// Received fields on top.
    pub received: u32,
    /// The digest, trace fields on top left out.
    pub digest: Digest,
}

impl Inspected {
    /// The number that the history wants: its own, or of a DSN the number of the message it reports on.
    pub fn number(&self) -> Option<u32> {
        if self.dsn.is_some() {
            self.about
        } else {
            self.message
        }
    }
}

/// Reads a message.
pub fn inspect(content: &[u8]) -> Inspected {
    let header = &content[..header_end(content)];
    let number = gauntlet_number(header);
    let report = delivery_status(content);
    let (dsn, about) = report.map_or((None, None), |report| (Some(report.actions), report.about));
    Inspected {
        message: number.map(|n| n.0),
        attempt: number.map(|n| n.1),
        message_id: field(header, "Message-ID"),
        dsn,
        about,
        received: trace_fields(header).1,
        digest: digest(content),
    }
}

/// The digest of a message: of the header section from the first field that is neither Received nor
/// Return-Path, up to and with the empty line, and of the body. A message without an empty line has no body.
pub fn digest(content: &[u8]) -> Digest {
    let (skipped, _) = trace_fields(&content[..header_end(content)]);
    let (header, body) = content.split_at(body_start(content));
    // Trace fields are part of the header section, so `skipped` never lies behind its end.
    let header = header.get(skipped..).unwrap_or_default();
    Digest {
        header: hex(&Sha256::digest(header)),
        body: hex(&Sha256::digest(body)),
        size: (header.len() + body.len()) as u64,
    }
}

/// The value of the first field of that name: unfolded, trimmed, octets that are no UTF-8 replaced.
pub(crate) fn field(header: &[u8], name: &str) -> Option<String> {
    fields(header).find(|f| f.is(name)).map(|f| f.value())
}

/// The fields of a header section in their order.
pub(crate) fn fields(header: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = header;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut end = line_end(rest);
        while matches!(rest.get(end), Some(b' ' | b'\t')) {
            end += line_end(&rest[end..]);
        }
        let (raw, after) = rest.split_at(end);
        rest = after;
        Some(Field { raw })
    })
}

/// One header field, with its folded lines and its last CRLF.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    /// All its octets.
    pub(crate) raw: &'a [u8],
}

impl Field<'_> {
    /// It has that name, in capitals or not.
    pub(crate) fn is(self, name: &str) -> bool {
        self.colon().is_some_and(|at| {
            self.raw[..at]
                .trim_ascii_end()
                .eq_ignore_ascii_case(name.as_bytes())
        })
    }

    /// Its value: unfolded, trimmed, octets that are no UTF-8 replaced.
    pub(crate) fn value(self) -> String {
        let value = self.colon().map_or(self.raw, |at| &self.raw[at + 1..]);
        String::from_utf8_lossy(value)
            .replace("\r\n", "")
            .trim()
            .to_owned()
    }

    fn colon(self) -> Option<usize> {
        self.raw.iter().position(|&o| o == b':')
    }
}

/// Where the header section ends: before the empty line, or at the end of a message that has none.
pub(crate) fn header_end(content: &[u8]) -> usize {
    if content.starts_with(b"\r\n") {
        return 0;
    }
    find(content, b"\r\n\r\n").map_or(content.len(), |at| at + 2)
}

/// Where the body begins: behind the empty line.
pub(crate) fn body_start(content: &[u8]) -> usize {
    (header_end(content) + 2).min(content.len())
}

/// Number and attempt from `X-Gauntlet-Message: <number>.<attempt>`.
fn gauntlet_number(header: &[u8]) -> Option<(u32, u32)> {
    fields(header)
        .filter(|f| f.is(MESSAGE_FIELD))
        .find_map(|f| {
            let value = f.value();
            let (number, attempt) = value.split_once('.')?;
            Some((number.parse().ok()?, attempt.parse().ok()?))
        })
}

/// Octets of the trace fields on top, and how many of them are Received.
fn trace_fields(header: &[u8]) -> (usize, u32) {
    fields(header)
        .take_while(|f| f.is("Received") || f.is("Return-Path"))
        .fold((0, 0), |(octets, received), f| {
            (octets + f.raw.len(), received + u32::from(f.is("Received")))
        })
}

struct Report {
    actions: BTreeMap<String, String>,
    about: Option<u32>,
}

/// RFC 3464 §2: `multipart/report; report-type=delivery-status`, whose second part has a block of fields on the
/// message and one on each recipient, and whose third part is the message or its header section (RFC 6522 §3).
fn delivery_status(content: &[u8]) -> Option<Report> {
    let kind = ContentType::parse(&field(&content[..header_end(content)], "Content-Type")?);
    let is_report = kind.is("multipart/report")
        && kind
            .parameter("report-type")
            .is_some_and(|r| r.eq_ignore_ascii_case("delivery-status"));
    if !is_report {
        return None;
    }
    let mut report = Report {
        actions: BTreeMap::new(),
        about: None,
    };
    for part in parts(&content[body_start(content)..], kind.parameter("boundary")?) {
        let part_kind = field(&part[..header_end(part)], "Content-Type");
        let part_kind = ContentType::parse(part_kind.as_deref().unwrap_or("text/plain"));
        let body = &part[body_start(part)..];
        if part_kind.is("message/delivery-status") || part_kind.is("message/global-delivery-status")
        {
            report.actions.extend(recipient_actions(body));
        } else if [
            "message/rfc822",
            "text/rfc822-headers",
            "message/global",
            "message/global-headers",
        ]
        .iter()
        .any(|kind| part_kind.is(kind))
        {
            let number = gauntlet_number(&body[..header_end(body)]);
            report.about = report.about.or(number.map(|n| n.0));
        }
    }
    Some(report)
}

/// Final-Recipient and Action of each recipient's block (RFC 3464 §2.3).
fn recipient_actions(body: &[u8]) -> BTreeMap<String, String> {
    let mut actions = BTreeMap::new();
    let mut rest = body;
    while !rest.is_empty() {
        let block = &rest[..header_end(rest)];
        if let (Some(recipient), Some(action)) =
            (field(block, "Final-Recipient"), field(block, "Action"))
        {
            let address = recipient
                .split_once(';')
                .map_or(recipient.as_str(), |(_, address)| address);
            // RFC 3464 §2.3.3: one word; a comment may follow.
            let action = action
                .split([' ', '(', ';'])
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase();
            actions.insert(address.trim().trim_matches(['<', '>']).to_owned(), action);
        }
        rest = &rest[body_start(rest)..];
    }
    actions
}

/// The parts of a multipart body (RFC 2046 §5.1.1); the CRLF before a delimiter belongs to the delimiter.
fn parts<'a>(body: &'a [u8], boundary: &str) -> Vec<&'a [u8]> {
    let delimiter = format!("--{boundary}");
    let mut parts = Vec::new();
    let mut begin: Option<usize> = None;
    let mut at = 0;
    while at < body.len() {
        let end = at + line_end(&body[at..]);
        if let Some(after) = body[at..end].strip_prefix(delimiter.as_bytes()) {
            let closing = after.starts_with(b"--");
            if closing || after.trim_ascii().is_empty() {
                if let Some(begin) = begin {
                    let part = &body[begin..at];
                    parts.push(part.strip_suffix(b"\r\n").unwrap_or(part));
                }
                begin = Some(end);
            }
            if closing {
                return parts;
            }
        }
        at = end;
    }
    // The closing delimiter is missing: what is there is the last part.
    parts.extend(begin.map(|begin| &body[begin..]));
    parts
}

/// A Content-Type field's value.
struct ContentType {
    kind: String,
    parameters: BTreeMap<String, String>,
}

impl ContentType {
    fn parse(value: &str) -> Self {
        let mut sections = Self::sections(value).into_iter();
        let kind = sections
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let parameters = sections
            .filter_map(|section| {
                let (name, value) = section.split_once('=')?;
                Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            })
            .collect();
        Self { kind, parameters }
    }

    fn is(&self, kind: &str) -> bool {
        self.kind == kind
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// Cuts at semicolons outside quoted strings; takes quotes, escapes and comments away.
    fn sections(value: &str) -> Vec<String> {
        let mut sections = vec![String::new()];
        let (mut quoted, mut comment) = (false, 0_u32);
        let mut chars = value.chars();
        while let Some(c) = chars.next() {
            let mut kept = None;
            match c {
                '\\' if quoted || comment > 0 => kept = chars.next(),
                '"' if comment == 0 => quoted = !quoted,
                '(' if !quoted => comment += 1,
                ')' if comment > 0 => comment -= 1,
                ';' if !quoted && comment == 0 => sections.push(String::new()),
                c => kept = Some(c),
            }
            if comment == 0
                && let (Some(c), Some(section)) = (kept, sections.last_mut())
            {
                section.push(c);
            }
        }
        sections
    }
}

/// Length of the first line with its CRLF.
fn line_end(octets: &[u8]) -> usize {
    find(octets, b"\r\n").map_or(octets.len(), |at| at + 2)
}

fn find(octets: &[u8], what: &[u8]) -> Option<usize> {
    octets.windows(what.len()).position(|window| window == what)
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|o| format!("{o:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAIL: &str =
        "X-Gauntlet-Message: 17.1\r\nMessage-ID: <a@b>\r\nSubject: folded\r\n line\r\n\r\nbody\r\n";

    const DSN: &str = "Return-Path: <>\r\nReceived: from a\r\n\tby b\r\nReceived: from c\r\nMessage-ID: <dsn@b>\r\n\
        Content-Type: multipart/report; (a comment; report-type=no) report-type=\"delivery-status\";\r\n boundary=\"=_x;y\"\r\n\r\n\
        preamble\r\n--=_x;y\r\n\r\nIt failed.\r\nX-Gauntlet-Message: 99.1\r\n\r\n\
        --=_x;y\r\nContent-Type: message/delivery-status\r\n\r\n\
        Reporting-MTA: dns; n1\r\n\r\n\
        Final-Recipient: rfc822; gone@external.example\r\nAction: Failed\r\nStatus: 5.1.1\r\n\r\n\
        Original-Recipient: rfc822;x@y\r\nFinal-Recipient: rfc822;late@external.example\r\nAction: delayed (a while)\r\n\r\n\
        --=_x;y  \r\nContent-Type: text/rfc822-headers\r\n\r\nReceived: from z\r\nX-Gauntlet-Message: 17.1\r\n\r\n--=_x;y--\r\nepilogue\r\n";

    #[test]
    fn trace_fields_on_top_change_nothing_but_their_count() {
        let plain = inspect(MAIL.as_bytes());
        assert_eq!(
            (plain.message, plain.attempt, plain.received),
            (Some(17), Some(1), 0)
        );
        assert_eq!(plain.message_id.as_deref(), Some("<a@b>"));
        assert_eq!((plain.dsn.as_ref(), plain.number()), (None, Some(17)));
        assert_eq!(plain.digest.size, MAIL.len() as u64);

        let traced = format!(
            "Return-Path: <s@t>\r\nreceived: from x\r\n\tby y\r\nReceived : from z\r\n{MAIL}"
        );
        let traced = inspect(traced.as_bytes());
        assert_eq!(
            traced,
            Inspected {
                received: 2,
                ..plain.clone()
            }
        );

        let altered = format!("Delivered-To: x@y\r\n{MAIL}");
        assert_ne!(
            digest(altered.as_bytes()).header,
            plain.digest.header,
            "no trace field"
        );
        let altered = MAIL.replace("\r\n line", " line");
        assert_ne!(
            digest(altered.as_bytes()).header,
            plain.digest.header,
            "unfolded"
        );
        let altered = format!("{MAIL}\r\n");
        assert_ne!(digest(altered.as_bytes()).body, plain.digest.body);
    }

    #[test]
    fn the_digest_is_sha256_of_the_two_parts() {
        let digest = digest(b"\r\nabc");
        assert_eq!(digest.header, hex(&Sha256::digest(b"\r\n")));
        // FIPS 180-2's own example.
        assert_eq!(
            digest.body,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digest.size, 5);
    }

    #[test]
    fn a_delivery_status_notification_is_understood() {
        let dsn = inspect(DSN.as_bytes());
        assert_eq!(
            (dsn.message, dsn.about, dsn.number(), dsn.received),
            (None, Some(17), Some(17), 2)
        );
        let actions = dsn.dsn.expect("it is a DSN");
        let actions: Vec<_> = actions
            .iter()
            .map(|(to, action)| (to.as_str(), action.as_str()))
            .collect();
        assert_eq!(
            actions,
            [
                ("gone@external.example", "failed"),
                ("late@external.example", "delayed")
            ]
        );
    }

    #[test]
    fn other_reports_and_attached_messages_are_no_dsn() {
        let receipt = DSN.replace("=\"delivery-status\"", "=disposition-notification");
        assert_eq!(inspect(receipt.as_bytes()).dsn, None);
        let mixed = DSN.replace("multipart/report", "multipart/mixed");
        let mixed = inspect(mixed.as_bytes());
        assert_eq!(
            (mixed.dsn, mixed.about, mixed.message),
            (None, None, None),
            "the attached message does not speak"
        );
    }

    #[test]
    fn a_whole_message_may_be_returned_and_the_end_may_be_missing() {
        let whole = DSN
            .replace("text/rfc822-headers", "message/rfc822")
            .replace("--=_x;y--\r\nepilogue\r\n", "");
        assert_eq!(inspect(whole.as_bytes()).about, Some(17));
        let none = DSN.replace("X-Gauntlet-Message: 17.1\r\n", "");
        let none = inspect(none.as_bytes());
        assert_eq!((none.dsn.map(|d| d.len()), none.about), (Some(2), None));
    }

    #[test]
    fn numbers_that_are_none_are_skipped() {
        let odd = b"X-Gauntlet-Message: x\r\nx-gauntlet-message: 3.2\r\n\r\n";
        assert_eq!(inspect(odd).message, Some(3));
        assert_eq!(
            inspect(b"X-Gauntlet-Message: 99999999999.1\r\n\r\n").message,
            None
        );
        assert_eq!(
            inspect(b"Subject: x\r\n\r\nX-Gauntlet-Message: 3.1\r\n").message,
            None,
            "a body"
        );
    }

    proptest! {
        #[test]
        fn any_octets_can_be_inspected(octets in proptest::collection::vec(any::<u8>(), 0..400)) {
            inspect(&octets);
        }

        #[test]
        fn any_mixture_of_a_dsns_pieces_can_be_inspected(
            pieces in proptest::collection::vec((0..DSN.len(), 0..60_usize), 0..20),
            noise in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let dsn = DSN.as_bytes();
            let mut octets = dsn[..dsn.len() / 4].to_vec();
            for (at, length) in pieces {
                octets.extend_from_slice(&dsn[at..(at + length).min(dsn.len())]);
                octets.extend_from_slice(&noise);
            }
            inspect(&octets);
        }

        #[test]
        fn trace_fields_never_change_the_digest(
            octets in proptest::collection::vec(any::<u8>(), 0..200),
            trace in 0..4_usize,
        ) {
            // A body that begins with white space would continue the trace field.
            prop_assume!(!matches!(octets.first(), Some(b' ' | b'\t')));
            let mut traced = b"Received: from x\r\n\tby y\r\n".repeat(trace);
            traced.extend_from_slice(&octets);
            prop_assert_eq!(digest(&traced), digest(&octets));
        }
    }
}
