//! The messages of a run: self-describing, and the same octets for the same seed and number.
//!
//! Comes in: an [`Order`]: a test message's name or `generated`, the run's seed, the message's number. Goes
//! out: [`Content`]. Called by the runner's submit steps. Sans-IO.

use std::{
    ops::Range,
    time::{Duration, SystemTime},
};

use lettre::message::{
    Mailbox, Message, MultiPart, SinglePart,
    header::{ContentType, Date, Headers},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{
    dialogue,
    inspect::{body_start, field, fields, header_end},
};
use crate::scenario::{MessageIdChoice, Transfer};

/// The field that says which message this is: `<number>.<attempt>`. A resend repeats the first attempt's octets,
/// so the attempt is always 1; attempts are told apart by the order of submissions.
pub const MESSAGE_FIELD: &str = "X-Gauntlet-Message";

/// The word `mailbox` among a step's recipients: the first of the mailboxes that every cluster has.
pub const MAILBOX: &str = "user-1@mailbox.example";

/// The word `external` among a step's recipients.
pub const EXTERNAL: &str = "someone@external.example";

/// A smuggled message has the number of the message that carried it plus this: nobody submitted it.
pub const SMUGGLED: u32 = 900_000;

/// The wall clock at which every run begins, in seconds since the Unix epoch: 2026-01-01 00:00:00 UTC.
pub const WALL_CLOCK_START_SECS: u64 = 1_767_225_600;

/// A generated message that has gone round for long.
pub const LOOPED: &str = "looped";

/// Its Received fields: more than the threshold of any server. RFC 5321 §6.3 wants it to be at least 100.
pub const LOOPED_FIELDS: u32 = 120;

/// Octets of a generated body; with its header section a message has 0.5 to 8 KiB.
const BODY_OCTETS: Range<usize> = 300..7_200;

/// What a message is made from.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The run's seed.
    pub seed: u64,
    /// The message's number, from 1.
    pub number: u32,
    /// `generated`, or the name of a test message.
    pub source: &'a str,
    /// Its Message-ID.
    pub message_id: MessageIdChoice,
    /// The number of the step's first message, from which a shared Message-ID is made.
    pub first_of_step: u32,
    /// Return path, without brackets; empty for `<>`.
    pub from: &'a str,
    /// Envelope recipients.
    pub recipients: &'a [String],
    /// Octets that look like an end of data and are none, put into the body as they are.
    pub smuggle: Option<&'a str>,
    /// How it will travel: decides what smuggled octets mean.
    pub transfer: Transfer,
}

/// A message's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// What a receiver that follows RFC 5321 takes it for. Always ends with CRLF, because DATA cannot carry
    /// anything else (§4.1.1.4).
    pub octets: Vec<u8>,
    /// With smuggled octets and DATA: what is written to the wire, without the final `.<CRLF>`. It is written as
    /// it is, with no dot added for transparency.
    pub on_wire: Option<Vec<u8>>,
    /// The Message-ID field's value.
    pub message_id: Option<String>,
    /// The Date field's value.
    pub date: String,
    /// `generated`, or the test message's name.
    pub source: String,
}

/// Why a message cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentError {
    /// No test message has that name.
    #[error("there is no test message `{0}`")]
    Unknown(String),
    /// lettre's builder said no.
    #[error("message {number} cannot be built: {reason}")]
    Builder {
        /// The message's number.
        number: u32,
        /// Why.
        reason: String,
    },
}

/// The sources of a step's messages in turn: `message` for each of `count` messages; for `all` every test
/// message at least once.
pub fn sources(message: &str, count: u32) -> Vec<String> {
    if message != "all" {
        return (0..count).map(|_| message.to_owned()).collect();
    }
    let names: Vec<_> = gauntlet_suites::messages()
        .iter()
        .map(|m| m.name.to_owned())
        .collect();
    let count = names.len().max(count as usize);
    names.into_iter().cycle().take(count).collect()
}

/// The addresses that a step's recipients stand for.
pub fn recipients(words: &[String]) -> Vec<String> {
    let address = |word: &String| match word.as_str() {
        "mailbox" => MAILBOX.to_owned(),
        "external" => EXTERNAL.to_owned(),
        _ => word.clone(),
    };
    words.iter().map(address).collect()
}

impl Content {
    /// Makes the message.
    pub fn build(order: &Order<'_>) -> Result<Self, ContentError> {
        let sent_at = SystemTime::UNIX_EPOCH
            + Duration::from_secs(WALL_CLOCK_START_SECS + u64::from(order.number));
        let date = date_value(sent_at);
        let message_id = match order.message_id {
            MessageIdChoice::Own => Some(format!(
                "<{}.{:016x}@gauntlet.example>",
                order.number, order.seed
            )),
            MessageIdChoice::Shared => Some(format!(
                "<shared-{}.{:016x}@gauntlet.example>",
                order.first_of_step, order.seed
            )),
            MessageIdChoice::None => None,
        };
        let message = if order.source == "generated" {
            generate(order, sent_at, message_id.clone())?
        } else if order.source == LOOPED {
            let mut looped = received_fields(&date);
            looped.extend(generate(order, sent_at, message_id.clone())?);
            looped
        } else {
            let file = gauntlet_suites::message(order.source);
            let file = file.ok_or_else(|| ContentError::Unknown(order.source.to_owned()))?;
            with_identity(file.bytes, message_id.as_deref(), &date)
        };
        let mut octets = format!("{MESSAGE_FIELD}: {}.1\r\n", order.number).into_bytes();
        octets.extend_from_slice(&message);
        if !octets.ends_with(b"\r\n") {
            octets.extend_from_slice(b"\r\n");
        }
        let source = order.source.to_owned();
        let content = Self {
            octets,
            on_wire: None,
            message_id,
            date,
            source,
        };
        Ok(match order.smuggle {
            Some(smuggle) => content.with_smuggled(order, smuggle),
            None => content,
        })
    }

    /// An octet above 127 is in it: it wants 8BITMIME (RFC 6152).
    pub fn is_eight_bit(&self) -> bool {
        !self.octets.is_ascii()
    }

    /// …in its header section: it wants SMTPUTF8 (RFC 6531).
    pub fn has_utf8_header(&self) -> bool {
        !self.octets[..header_end(&self.octets)].is_ascii()
    }

    fn with_smuggled(mut self, order: &Order<'_>, smuggle: &str) -> Self {
        let number = order.number.saturating_add(SMUGGLED);
        let to = order.recipients.first().map_or(MAILBOX, String::as_str);
        let smuggled = format!(
            "MAIL FROM:<smuggler@external.example>\r\nRCPT TO:<{to}>\r\nDATA\r\n\
             {MESSAGE_FIELD}: {number}.1\r\nMessage-ID: <{number}.{:016x}@gauntlet.example>\r\nDate: {}\r\n\
             From: <smuggler@external.example>\r\nTo: <{to}>\r\nSubject: smuggled\r\n\r\n\
             Whoever reads this as a message of its own found an end of data where none was.\r\n",
            order.seed, self.date
        );
        // The smuggled octets stand behind text, so that they follow no CRLF but one of their own.
        self.octets
            .extend_from_slice(b"The data does not end here:");
        match order.transfer {
            Transfer::Bdat => {
                self.octets.extend_from_slice(smuggle.as_bytes());
                self.octets.extend_from_slice(smuggled.as_bytes());
            }
            Transfer::Data => {
                let mut on_wire = dialogue::stuff(&self.octets);
                on_wire.extend_from_slice(smuggle.as_bytes());
                on_wire.extend_from_slice(smuggled.as_bytes());
                self.octets = dialogue::unstuff(&on_wire);
                self.on_wire = Some(on_wire);
            }
        }
        self
    }
}

/// The trace of a message that two servers have sent to each other all the time.
fn received_fields(date: &str) -> Vec<u8> {
    let hosts = ["east.example", "west.example"];
    let field = |round: u32| {
        let (from, by) = (hosts[round as usize % 2], hosts[(round as usize + 1) % 2]);
        format!("Received: from {from} by {by} with ESMTP id round{round};\r\n {date}\r\n")
    };
    let fields: String = (1..=LOOPED_FIELDS).rev().map(field).collect();
    fields.into_bytes()
}

/// The value of a Date field, as lettre writes it.
pub(crate) fn date_value(at: SystemTime) -> String {
    let mut headers = Headers::new();
    headers.set(Date::new(at));
    // What was set is there.
    headers.get_raw("Date").unwrap_or_default().to_owned()
}

/// Puts Message-ID and Date into a test message, where these fields stand already, or on top.
fn with_identity(message: &[u8], message_id: Option<&str>, date: &str) -> Vec<u8> {
    let header = &message[..header_end(message)];
    let mut out = Vec::with_capacity(message.len() + 200);
    let mut missing = vec![("Message-ID", message_id), ("Date", Some(date))];
    missing.retain(|(name, value)| match value {
        Some(value) if field(header, name).is_none() => {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            false
        }
        _ => true,
    });
    for part in fields(header) {
        let Some(at) = ["Message-ID", "Date"].iter().position(|name| part.is(name)) else {
            out.extend_from_slice(part.raw);
            continue;
        };
        let name = ["Message-ID", "Date"][at];
        // A second field of that name finds nothing left to put in, and goes.
        if let Some(at) = missing.iter().position(|m| m.0 == name)
            && let (_, Some(value)) = missing.remove(at)
        {
            out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(&message[body_start(message)..]);
    out
}

/// A message of 0.5 to 8 KiB: plain text, or text and an attachment.
fn generate(
    order: &Order<'_>,
    sent_at: SystemTime,
    message_id: Option<String>,
) -> Result<Vec<u8>, ContentError> {
    let failed = |reason: String| ContentError::Builder {
        number: order.number,
        reason,
    };
    let mut rng = ChaCha8Rng::seed_from_u64(order.seed);
    rng.set_stream(u64::from(order.number));

    let from = if order.from.is_empty() {
        "postmaster@external.example"
    } else {
        order.from
    };
    let from: Mailbox = from
        .parse()
        .map_err(|e| failed(format!("return path {from}: {e}")))?;
    let subject = format!("Message {}: {}", order.number, words(&mut rng, 5));
    let mut builder = Message::builder().date(sent_at).from(from.clone());
    // The envelope rules; an address that lettre cannot write in a field is left out of it.
    let to: Vec<Mailbox> = order
        .recipients
        .iter()
        .filter_map(|r| r.parse().ok())
        .collect();
    builder = if to.is_empty() {
        builder.to(from)
    } else {
        to.into_iter().fold(builder, |b, to| b.to(to))
    };
    builder = builder.subject(subject);
    if let Some(id) = message_id {
        builder = builder.message_id(Some(id));
    }

    let size = rng.random_range(BODY_OCTETS);
    let built = if rng.random_range(0..3) < 2 {
        builder
            .header(ContentType::TEXT_PLAIN)
            .body(text(&mut rng, size))
    } else {
        let attachment: Vec<u8> = (0..size / 2).map(|_| rng.random()).collect();
        let kind =
            ContentType::parse("application/octet-stream").map_err(|e| failed(e.to_string()))?;
        let parts = MultiPart::builder()
            .kind(lettre::message::MultiPartKind::Mixed)
            .boundary(format!("=_gauntlet-{:016x}", rng.random::<u64>()))
            .singlepart(SinglePart::plain(text(&mut rng, size / 4)))
            .singlepart(SinglePart::builder().content_type(kind).body(attachment));
        builder.multipart(parts)
    };
    Ok(built.map_err(|e| failed(e.to_string()))?.formatted())
}

/// Lines of words, at least `size` octets; some begin with a dot, and one is a dot alone.
fn text(rng: &mut ChaCha8Rng, size: usize) -> String {
    let mut text = String::with_capacity(size + 80);
    while text.len() < size {
        match rng.random_range(0..12) {
            0 => text.push_str(".."),
            1 => text.push('.'),
            2 => text.push_str("\r\n"),
            _ => {}
        }
        let count = rng.random_range(3..10);
        text.push_str(&words(rng, count));
        text.push_str("\r\n");
    }
    text.push_str(".\r\n");
    text
}

fn words(rng: &mut ChaCha8Rng, count: usize) -> String {
    const WORDS: [&str; 16] = [
        "queue", "shadow", "mail", "relay", "promise", "of", "the", "next", "hop", "holds",
        "until", "every", "copy", "is", "safe", "again",
    ];
    let words: Vec<_> = (0..count)
        .map(|_| WORDS[rng.random_range(0..WORDS.len())])
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::inspect::inspect;

    fn order<'a>(number: u32, source: &'a str, to: &'a [String]) -> Order<'a> {
        Order {
            seed: 7,
            number,
            source,
            message_id: MessageIdChoice::Own,
            first_of_step: 3,
            from: "sender@external.example",
            recipients: to,
            smuggle: None,
            transfer: Transfer::Data,
        }
    }

    fn both() -> Vec<String> {
        recipients(&["mailbox".into(), "external".into()])
    }

    #[test]
    fn generated_messages_follow_from_seed_and_number() {
        let to = both();
        let mut multipart = 0;
        for number in 1..200 {
            let content =
                Content::build(&order(number, "generated", &to)).expect("it can be built");
            assert_eq!(
                content,
                Content::build(&order(number, "generated", &to)).expect("it can be built")
            );
            let size = content.octets.len();
            assert!((512..=8192).contains(&size), "{number} has {size} octets");
            assert!(content.octets.ends_with(b"\r\n"));
            assert!(content.octets.is_ascii());
            let seen = inspect(&content.octets);
            assert_eq!(
                (seen.message, seen.attempt, seen.dsn),
                (Some(number), Some(1), None)
            );
            assert_eq!(seen.message_id, content.message_id);
            multipart +=
                u32::from(String::from_utf8_lossy(&content.octets).contains("multipart/mixed"));
        }
        assert!(
            (20..180).contains(&multipart),
            "both kinds: {multipart} of 199 have parts"
        );
        let other = Content::build(&Order {
            seed: 8,
            ..order(1, "generated", &to)
        })
        .expect("it can be built");
        assert_ne!(
            other,
            Content::build(&order(1, "generated", &to)).expect("it can be built")
        );
    }

    #[test]
    fn a_generated_header_section_reads_like_one() {
        let to = both();
        let content = Content::build(&order(2, "generated", &to)).expect("it can be built");
        let header = String::from_utf8_lossy(&content.octets[..header_end(&content.octets)])
            .replace("\r\n", "\n");
        insta::assert_snapshot!(header, @"
        X-Gauntlet-Message: 2.1
        Date: Thu, 01 Jan 2026 00:00:02 +0000
        From: sender@external.example
        To: user-1@mailbox.example, someone@external.example
        Subject: Message 2: holds promise promise the next
        Message-ID: <2.0000000000000007@gauntlet.example>
        Content-Type: text/plain; charset=utf-8
        Content-Transfer-Encoding: 7bit
        ");
    }

    #[test]
    fn test_messages_keep_all_but_their_identity() {
        let to = both();
        for name in sources("all", 1) {
            let content = Content::build(&order(5, &name, &to)).expect("it can be built");
            let file = gauntlet_suites::message(&name).expect("it is there").bytes;
            let others = |octets: &[u8]| -> Vec<Vec<u8>> {
                let ours = ["Message-ID", "Date", MESSAGE_FIELD];
                fields(&octets[..header_end(octets)])
                    .filter(|f| !ours.iter().any(|name| f.is(name)))
                    .map(|f| f.raw.to_vec())
                    .collect()
            };
            assert_eq!(others(&content.octets), others(file), "{name}");
            let mut body = file[body_start(file)..].to_vec();
            if !body.is_empty() && !body.ends_with(b"\r\n") {
                body.extend_from_slice(b"\r\n");
            }
            assert_eq!(
                &content.octets[body_start(&content.octets)..],
                body,
                "{name}"
            );
            let header = &content.octets[..header_end(&content.octets)];
            assert_eq!(
                field(header, "Message-ID").as_deref(),
                Some("<5.0000000000000007@gauntlet.example>"),
                "{name}"
            );
            assert_eq!(
                field(header, "Date").as_deref(),
                Some("Thu, 01 Jan 2026 00:00:05 +0000"),
                "{name}"
            );
            assert_eq!(
                fields(header).next().map(|f| f.value()).as_deref(),
                Some("5.1"),
                "{name}"
            );
        }
    }

    #[test]
    fn a_message_id_can_be_missing_or_shared() {
        let to = both();
        for source in ["generated", "plain"] {
            let none = Order {
                message_id: MessageIdChoice::None,
                ..order(4, source, &to)
            };
            let none = Content::build(&none).expect("it can be built");
            assert_eq!(
                (inspect(&none.octets).message_id, none.message_id),
                (None, None),
                "{source}"
            );
            let shared = |number| {
                let order = Order {
                    message_id: MessageIdChoice::Shared,
                    ..order(number, source, &to)
                };
                Content::build(&order).expect("it can be built")
            };
            let (a, b) = (shared(4), shared(5));
            assert_eq!(a.message_id, b.message_id, "{source}");
            assert_ne!(a.date, b.date, "{source}");
        }
    }

    #[test]
    fn second_fields_of_a_replaced_name_go() {
        let message = b"Date: a\r\nSubject: x\r\nmessage-id: <a>\r\nDATE: b\r\n c\r\nMessage-ID: <b>\r\n\r\nbody\r\n";
        let text = String::from_utf8(with_identity(message, Some("<n>"), "now")).expect("ASCII");
        assert_eq!(
            text,
            "Date: now\r\nSubject: x\r\nMessage-ID: <n>\r\n\r\nbody\r\n"
        );
        let text = String::from_utf8(with_identity(b"\r\nbody", None, "now")).expect("ASCII");
        assert_eq!(text, "Date: now\r\n\r\nbody");
    }

    #[test]
    fn smuggled_octets_go_as_they_are() {
        let to = both();
        for (octets, arrives) in [("\n.\n", "here:\n.\nMAIL"), ("\r\n.\n", "here:\r\n\nMAIL")] {
            let smuggling = Order {
                smuggle: Some(octets),
                ..order(6, "plain", &to)
            };
            let content = Content::build(&smuggling).expect("it can be built");
            let wire = String::from_utf8(content.on_wire.expect("it differs")).expect("ASCII");
            assert!(
                wire.contains(&format!(
                    "here:{octets}MAIL FROM:<smuggler@external.example>\r\n"
                )),
                "{wire}"
            );
            assert!(
                wire.contains("\r\nX-Gauntlet-Message: 900006.1\r\n"),
                "{wire}"
            );
            let text = String::from_utf8(content.octets.clone()).expect("ASCII");
            assert!(text.contains(arrives), "{text}");
            assert_eq!(inspect(&content.octets).message, Some(6));
        }
    }

    #[test]
    fn an_unknown_message_is_an_error() {
        let to = both();
        assert_eq!(
            Content::build(&order(1, "nonesuch", &to)),
            Err(ContentError::Unknown("nonesuch".into()))
        );
    }
}
