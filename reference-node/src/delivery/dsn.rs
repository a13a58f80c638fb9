//! Delivery status notifications (RFC 3464), as multipart/report (RFC 6522).
//!
//! A notification about an internationalized message goes by servers that know nothing of it, too: addresses and header
//! sections are encoded in ASCII (RFC 6533).

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    env::Timestamp,
    message::{Envelope, header_date, header_section},
    smtp::{Notify, Ret, decode_xtext},
};

/// What happened to a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It will never be delivered.
    Failed,
    /// It is not delivered yet.
    Delayed,
    /// It is in the mailbox.
    Delivered,
    /// It was handed to a server that sends no notifications.
    Relayed,
}

impl Action {
    /// The word of RFC 3464 §2.3.3.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Delayed => "delayed",
            Self::Delivered => "delivered",
            Self::Relayed => "relayed",
        }
    }
}

/// One recipient's part of a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its index in the envelope.
    pub recipient: usize,
    /// What happened.
    pub action: Action,
    /// Enhanced status code, e.g. `5.1.1`.
    pub status: String,
    /// The other side's words, if there were any.
    pub diagnostic: Option<String>,
    /// Until when it is tried, where it is late (RFC 3464 §2.3.9).
    pub retried_until: Option<Timestamp>,
}

/// Whether the sender wants to hear of it (RFC 3461 §4.1).
pub fn wanted(notify: Notify, action: Action) -> bool {
    match (notify, action) {
        (Notify::Never, _) => false,
        (Notify::Unspecified, action) => action == Action::Failed,
        (Notify::When { failure, .. }, Action::Failed) => failure,
        (Notify::When { delay, .. }, Action::Delayed) => delay,
        (Notify::When { success, .. }, Action::Delivered | Action::Relayed) => success,
    }
}

/// Writes the notification: a header section and a body, CRLF line ends. `boundary` is random.
pub fn compose(
    envelope: &Envelope,
    reports: &[Report],
    content: &[u8],
    hostname: &str,
    now: Timestamp,
    boundary: &str,
) -> Vec<u8> {
    let any = |action| reports.iter().any(|r| r.action == action);
    let failed = any(Action::Failed);
    let (subject, what) = if failed {
        (
            "Undeliverable mail",
            "Your message could not be delivered to:",
        )
    } else if any(Action::Delayed) {
        (
            "Mail is delayed",
            "Your message could not be delivered yet, and will be tried again, to:",
        )
    } else {
        ("Mail was delivered", "Your message was delivered to:")
    };
    let mut text = String::new();
    let mut line = |l: &str| {
        text.push_str(l);
        text.push_str("\r\n");
    };
    line(&format!(
        "From: Mail Delivery System <postmaster@{hostname}>"
    ));
    line(&format!("To: <{}>", envelope.from.path));
    line(&format!("Subject: {subject}"));
    line(&format!("Date: {}", header_date(now)));
    line(&format!("Message-ID: <{boundary}@{hostname}>"));
    line("Auto-Submitted: auto-replied");
    line("MIME-Version: 1.0");
    line(&format!(
        "Content-Type: multipart/report; report-type=delivery-status; boundary=\"{boundary}\""
    ));
    line("");
    line(&format!("--{boundary}"));
    line("Content-Type: text/plain; charset=us-ascii");
    line("");
    line(what);
    line("");
    for report in reports {
        let said = report
            .diagnostic
            .as_deref()
            .unwrap_or("no further information");
        line(&format!(
            "  <{}>: {}",
            in_ascii(path(envelope, report)),
            in_ascii(said)
        ));
    }
    line("");
    line(&format!("--{boundary}"));
    line("Content-Type: message/delivery-status");
    line("");
    line(&format!("Reporting-MTA: dns; {hostname}"));
    if let Some(envid) = &envelope.from.envid {
        // RFC 3461 §4.4, RFC 3464 §2.2.1: what it stands for, without the encoding.
        let decoded = decode_xtext(envid);
        let envid = decoded.as_ref().unwrap_or(envid);
        line(&format!("Original-Envelope-Id: {envid}"));
    }
    line(&format!("Arrival-Date: {}", header_date(envelope.received)));
    for report in reports {
        line("");
        if let Some(orcpt) = envelope
            .recipients
            .get(report.recipient)
            .and_then(|r| r.to.orcpt.as_ref())
        {
            line(&format!("Original-Recipient: {}", decoded_recipient(orcpt)));
        }
        line(&format!(
            "Final-Recipient: {}",
            typed_address(path(envelope, report))
        ));
        line(&format!("Action: {}", report.action.word()));
        line(&format!("Status: {}", report.status));
        if let Some(diagnostic) = &report.diagnostic {
            line(&format!("Diagnostic-Code: smtp; {}", in_ascii(diagnostic)));
        }
        if let Some(until) = report.retried_until {
            line(&format!("Will-Retry-Until: {}", header_date(until)));
        }
    }
    line("");
    line(&format!("--{boundary}"));
    // RFC 3461 §4.3: the whole message only where it was asked for, and only of a failure.
    let whole = failed && envelope.from.ret == Some(Ret::Full);
    let header = header_section(content);
    // RFC 6533 §5, §6: what has UTF-8 in its header section has types of its own, which may be encoded.
    let international = !header.is_ascii();
    line(match (whole, international) {
        (true, false) => "Content-Type: message/rfc822",
        (false, false) => "Content-Type: text/rfc822-headers",
        (true, true) => "Content-Type: message/global",
        (false, true) => "Content-Type: message/global-headers",
    });
    if international {
        line("Content-Transfer-Encoding: base64");
    }
    line("");
    let mut notification = text.into_bytes();
    let original = if whole { content } else { header };
    if international {
        notification.extend_from_slice(&in_base64(original));
    } else {
        notification.extend_from_slice(original);
    }
    if !notification.ends_with(b"\r\n") {
        notification.extend_from_slice(b"\r\n");
    }
    notification.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    notification
}

/// `type;xtext` with what the xtext stands for (RFC 3461 §4.2, RFC 3464 §2.3.1), in ASCII.
fn decoded_recipient(orcpt: &str) -> String {
    let decoded = orcpt
        .split_once(';')
        .and_then(|(kind, address)| Some(format!("{kind};{}", decode_xtext(address)?)));
    in_ascii(&decoded.unwrap_or_else(|| orcpt.to_owned()))
}

/// RFC 6533 §3: an address with other than ASCII has the type `utf-8`, and its own encoding.
fn typed_address(path: &str) -> String {
    if path.is_ascii() {
        return format!("rfc822; {path}");
    }
    let mut encoded = String::from("utf-8; ");
    for c in path.chars() {
        if matches!(c, '+' | '=' | '\\') {
            encoded.push_str(&code_point(c));
        } else {
            encoded.push_str(&in_ascii(c.encode_utf8(&mut [0; 4])));
        }
    }
    encoded
}

/// Whatever is not ASCII as the number of its character (RFC 6533 §3).
fn in_ascii(text: &str) -> String {
    let encoded = |c: char| match c.is_ascii() {
        true => c.to_string(),
        false => code_point(c),
    };
    text.chars().map(encoded).collect()
}

fn code_point(c: char) -> String {
    format!("\\x{{{:02X}}}", u32::from(c))
}

/// In lines of 76 octets (RFC 2045 §6.8).
fn in_base64(octets: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(octets);
    let lines = text.as_bytes().chunks(76);
    lines.flat_map(|line| [line, b"\r\n"].concat()).collect()
}

fn path<'a>(envelope: &'a Envelope, report: &Report) -> &'a str {
    envelope
        .recipients
        .get(report.recipient)
        .map_or("", |r| r.to.path.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        message::{Origin, Progress, Recipient, TransportId},
        smtp::{MailFrom, RcptTo},
    };

    #[test]
    fn tc_06_a_failure_report() {
        let envelope = Envelope {
            id: TransportId::new("n1", &"0".repeat(32), 1),
            from: MailFrom {
                path: "a@x.example".into(),
                envid: Some("E+201".into()),
                ..MailFrom::default()
            },
            recipients: vec![Recipient {
                to: RcptTo {
                    path: "b@y.example".into(),
                    orcpt: Some("rfc822;b+2Bx@y.example".into()),
                    ..RcptTo::default()
                },
                progress: Progress::Failed,
            }],
            received: Timestamp(1_767_225_600_000),
            submit_time: Timestamp(0),
            message_id: None,
            size: 10,
            origin: Origin::Received,
            shadows: vec![],
            side_effects: 0,
            delay_told: false,
        };
        let report = Report {
            recipient: 0,
            action: Action::Failed,
            status: "5.1.1".into(),
            diagnostic: Some("550 5.1.1 no such user".into()),
            retried_until: None,
        };
        let dsn = compose(
            &envelope,
            &[report],
            b"Subject: x\r\n\r\nbody\r\n",
            "n1",
            Timestamp(1_767_225_660_000),
            "b1",
        );
        insta::assert_snapshot!(String::from_utf8_lossy(&dsn).replace("\r\n", "\n"), @r#"
        From: Mail Delivery System <postmaster@n1>
        To: <a@x.example>
        Subject: Undeliverable mail
        Date: Thu, 1 Jan 2026 00:01:00 +0000
        Message-ID: <b1@n1>
        Auto-Submitted: auto-replied
        MIME-Version: 1.0
        Content-Type: multipart/report; report-type=delivery-status; boundary="b1"

        --b1
        Content-Type: text/plain; charset=us-ascii

        Your message could not be delivered to:

          <b@y.example>: 550 5.1.1 no such user

        --b1
        Content-Type: message/delivery-status

        Reporting-MTA: dns; n1
        Original-Envelope-Id: E 1
        Arrival-Date: Thu, 1 Jan 2026 00:00:00 +0000

        Original-Recipient: rfc822;b+x@y.example
        Final-Recipient: rfc822; b@y.example
        Action: failed
        Status: 5.1.1
        Diagnostic-Code: smtp; 550 5.1.1 no such user

        --b1
        Content-Type: text/rfc822-headers

        Subject: x


        --b1--
        "#);
    }

    #[test]
    fn an_internationalized_message_is_told_of_in_ascii() {
        assert_eq!(typed_address("b@y.example"), "rfc822; b@y.example");
        assert_eq!(
            typed_address("\u{fc}+\\\u{20ac}@y"),
            "utf-8; \\x{FC}\\x{2B}\\x{5C}\\x{20AC}@y"
        );
        assert_eq!(decoded_recipient("rfc822;b+2Bx@y"), "rfc822;b+x@y");
        assert_eq!(decoded_recipient("utf-8;\u{fc}@y"), "utf-8;\\x{FC}@y");
        let lines = in_base64(&[b'x'; 100]);
        assert!(
            lines
                .split(|octet| *octet == b'\n')
                .all(|line| line.len() <= 77)
        );
        assert!(lines.ends_with(b"\r\n"));
    }

    #[test]
    fn notify_decides() {
        let never_success = Notify::When {
            success: false,
            failure: true,
            delay: false,
        };
        assert!(
            wanted(Notify::Unspecified, Action::Failed)
                && !wanted(Notify::Unspecified, Action::Delivered)
        );
        assert!(!wanted(Notify::Never, Action::Failed) && wanted(never_success, Action::Failed));
        assert!(!wanted(never_success, Action::Relayed));
        let delay = Notify::When {
            success: false,
            failure: false,
            delay: true,
        };
        assert!(wanted(delay, Action::Delayed) && !wanted(delay, Action::Failed));
        assert!(!wanted(never_success, Action::Delayed));
        assert!(!wanted(Notify::Unspecified, Action::Delayed));
    }
}
