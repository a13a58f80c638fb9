//! The test's server: parameters, content, and what is delivered.

use super::{Flaw, Shared, find};

/// A transaction.
#[derive(Debug, Default, Clone)]
pub(super) struct Mail {
    pub(super) from: String,
    pub(super) binary: bool,
    pub(super) smtputf8: bool,
    pub(super) envid: Option<String>,
    pub(super) recipients: Vec<Recipient>,
    pub(super) spoilt: bool,
    pub(super) chunked: bool,
    pub(super) content: Vec<u8>,
}

/// A recipient.
#[derive(Debug, Default, Clone)]
pub(super) struct Recipient {
    pub(super) address: String,
    pub(super) success: bool,
    pub(super) orcpt: Option<String>,
}

pub(super) const LIMIT: usize = 1_000_000;

/// `<path> parameters` → the path and the parameters; the path may have a quoted string.
fn path(text: &str) -> Option<(&str, Vec<&str>)> {
    let inner = text.strip_prefix('<')?;
    let mut quoted = false;
    let end = inner.char_indices().find_map(|(at, c)| {
        if c == '"' {
            quoted = !quoted;
        }
        (c == '>' && !quoted).then_some(at)
    })?;
    let rest = &inner[end + 1..];
    if !rest.is_empty() && !rest.starts_with(' ') {
        return None;
    }
    Some((
        &inner[..end],
        rest.split(' ').filter(|word| !word.is_empty()).collect(),
    ))
}

fn good_path(path: &str, utf8: bool) -> Result<(), &'static str> {
    if path.len() > 254 {
        return Err("501 5.1.3 the path is too long");
    }
    if !path.is_ascii() && !utf8 {
        return Err("553 5.6.7 SMTPUTF8 is needed");
    }
    if path.contains(' ') && !path.contains('"') {
        return Err("501 5.1.3 a space in the path");
    }
    Ok(())
}

/// `KEYWORD=value`, each once.
fn parameters<'a>(words: &[&'a str]) -> Result<Vec<(String, Option<&'a str>)>, &'static str> {
    let mut seen: Vec<(String, Option<&str>)> = Vec::new();
    for word in words {
        let (keyword, value) = match word.split_once('=') {
            Some((keyword, value)) => (keyword, Some(value)),
            None => (*word, None),
        };
        if value == Some("") {
            return Err("501 5.5.4 an empty value");
        }
        let keyword = keyword.to_ascii_uppercase();
        if seen.iter().any(|(known, _)| *known == keyword) {
            return Err("501 5.5.4 a parameter twice");
        }
        seen.push((keyword, value));
    }
    Ok(seen)
}

const BAD: &str = "501 5.5.4 a bad value";
const UNKNOWN: &str = "555 5.5.4 a parameter that is not known";

/// What stands after `MAIL FROM:`.
pub(super) fn mail(shared: &Shared, text: &str) -> Result<Mail, &'static str> {
    let (path, words) = path(text).ok_or("501 5.1.7 the path is wrong")?;
    let mut mail = Mail {
        from: path.to_owned(),
        ..Mail::default()
    };
    for (keyword, value) in parameters(&words)? {
        match (keyword.as_str(), value) {
            ("SMTPUTF8", None) => mail.smtputf8 = true,
            ("SMTPUTF8", Some(_)) => return Err(BAD),
            ("SIZE", Some(value)) if value.bytes().all(|o| o.is_ascii_digit()) => {
                let size: u128 = value.parse().map_err(|_| BAD)?;
                if size > LIMIT as u128 {
                    return Err("552 5.3.4 too big");
                }
            }
            ("BODY", Some(value)) => match value.to_ascii_uppercase().as_str() {
                "7BIT" | "8BITMIME" => {}
                "BINARYMIME" => mail.binary = true,
                _ => return Err(BAD),
            },
            ("RET", Some(value)) => match value.to_ascii_uppercase().as_str() {
                "FULL" | "HDRS" => {}
                _ => return Err(BAD),
            },
            ("ENVID", Some(value)) => mail.envid = Some(xtext(shared, value).ok_or(BAD)?),
            ("AUTH", Some("<>")) => {}
            ("AUTH", Some(value)) => drop(xtext(shared, value).ok_or(BAD)?),
            _ => return Err(UNKNOWN),
        }
    }
    good_path(path, mail.smtputf8)?;
    Ok(mail)
}

/// What stands after `RCPT TO:`.
pub(super) fn recipient(
    shared: &Shared,
    text: &str,
    smtputf8: bool,
) -> Result<Recipient, &'static str> {
    let (path, words) = path(text).ok_or("501 5.1.3 the path is wrong")?;
    if path.is_empty() {
        return Err("501 5.1.3 the path is empty");
    }
    let mut recipient = Recipient {
        address: path.to_owned(),
        ..Recipient::default()
    };
    for (keyword, value) in parameters(&words)? {
        match (keyword.as_str(), value) {
            ("NOTIFY", Some(value)) => {
                let value = value.to_ascii_uppercase();
                let listed = |word: &str| matches!(word, "SUCCESS" | "FAILURE" | "DELAY");
                if value != "NEVER" && !value.split(',').all(listed) {
                    return Err(BAD);
                }
                recipient.success = value.split(',').any(|word| word == "SUCCESS");
            }
            ("ORCPT", Some(value)) => {
                let (kind, address) = value.split_once(';').ok_or(BAD)?;
                let address = xtext(shared, address).ok_or(BAD)?;
                recipient.orcpt = Some(format!("{kind};{address}"));
            }
            _ => return Err(UNKNOWN),
        }
    }
    good_path(path, smtputf8)?;
    Ok(recipient)
}

/// What an xtext stands for: printable text.
fn xtext(shared: &Shared, text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('+') {
        out.push_str(&rest[..at]);
        let octet = u8::from_str_radix(rest.get(at + 1..at + 3)?, 16).ok()?;
        if !(32..127).contains(&octet) && !shared.has(Flaw::AnyXtext) {
            return None;
        }
        out.push(char::from(octet));
        rest = &rest[at + 3..];
    }
    out.push_str(rest);
    Some(out)
}

/// Where content ends in these octets, and how many octets it has with its end.
pub(super) fn end_of_data(shared: &Shared, input: &[u8], piece: usize) -> Option<(usize, usize)> {
    let mut ends = Vec::new();
    if input.starts_with(b".\r\n") {
        ends.push((0, 3));
    }
    // The first CRLF belongs to the content.
    if let Some(at) = find(input, b"\r\n.\r\n") {
        let in_one_piece = at >= input.len() - piece.min(input.len());
        if in_one_piece || !shared.has(Flaw::EndOfDataInOnePiece) {
            ends.push((at + 2, at + 5));
        }
    }
    for flaw in &shared.flaws {
        match flaw {
            Flaw::EndOfData(sequence) => {
                if let Some(at) = find(input, sequence) {
                    let mut end = at + sequence.len();
                    // It ends with half a CRLF that may be a whole one.
                    if sequence.ends_with(b"\r") && input.get(end) == Some(&b'\n') {
                        end += 1;
                    }
                    ends.push((at, end));
                }
            }
            Flaw::CutsContentLines(size) => {
                let mut from = 0;
                while let Some(length) = find(&input[from..], b"\r\n") {
                    if length == size + 1 && input[from + length - 1] == b'.' {
                        ends.push((from + size, from + length + 2));
                        break;
                    }
                    from += length + 2;
                }
            }
            _ => {}
        }
    }
    ends.into_iter().min()
}

/// Without the dots that were added.
pub(super) fn unstuffed(content: &[u8]) -> Vec<u8> {
    let content = super::replaced(content, b"\r\n.", b"\r\n");
    content.strip_prefix(b".").unwrap_or(&content).to_vec()
}

/// Delivers a message, and its notification.
pub(super) fn deliver(shared: &Shared, mail: &Mail, protocol: &str) {
    let mut content = mail.content.clone();
    if shared.has(Flaw::CutsAtNul)
        && let Some(at) = content.iter().position(|octet| *octet == 0)
    {
        content.truncate(at);
    }
    if shared.has(Flaw::StripsHighBits) {
        content.iter_mut().for_each(|octet| *octet &= 0x7f);
    }
    if shared.has(Flaw::ConvertsBareLineEnds) {
        content = super::replaced(&content, b"\r\n", b"\n");
        content = super::replaced(&content, b"\r", b"\n");
        content = super::replaced(&content, b"\n", b"\r\n");
    }
    let trace = format!(
        "Return-Path: <{}>\r\nReceived: from probe by fake.example with {protocol};\r\n\tThu, 1 Jan 2026 00:00:00 +0000\r\n",
        mail.from
    );
    shared.deliver(&[trace.as_bytes(), &content].concat());
    let notify = |recipient: &&Recipient| recipient.success || shared.has(Flaw::AlwaysNotifies);
    let recipients: Vec<&Recipient> = mail.recipients.iter().filter(notify).collect();
    if !recipients.is_empty() && !mail.from.is_empty() && !shared.has(Flaw::NoNotification) {
        shared.deliver(&notification(shared, mail, &recipients, &content));
    }
}

fn notification(
    shared: &Shared,
    mail: &Mail,
    recipients: &[&Recipient],
    content: &[u8],
) -> Vec<u8> {
    let mut text = format!(
        "Return-Path: <>\r\nFrom: <postmaster@fake.example>\r\nTo: <{}>\r\nSubject: delivered\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nIt was delivered.\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; fake.example\r\n",
        mail.from
    );
    if let Some(envid) = &mail.envid {
        text.push_str(&format!("Original-Envelope-Id: {envid}\r\n"));
    }
    for recipient in recipients {
        text.push_str("\r\n");
        if let Some(orcpt) = &recipient.orcpt {
            text.push_str(&format!("Original-Recipient: {orcpt}\r\n"));
        }
        text.push_str(&format!(
            "Final-Recipient: rfc822; {}\r\nAction: delivered\r\nStatus: 2.0.0\r\n",
            recipient.address
        ));
    }
    text.push_str("\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\n");
    let header = find(content, b"\r\n\r\n").map_or(content.len(), |at| at + 2);
    let returned = if shared.has(Flaw::ReturnsBody) {
        content
    } else {
        &content[..header]
    };
    [text.as_bytes(), returned, b"\r\n--b--\r\n"].concat()
}
