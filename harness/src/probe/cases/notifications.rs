//! RFC 3461 §5, §6, RFC 6522 (once 3462), RFC 3464: what a notification of success looks like, when one was asked for.
//!
//! The message's return path is its own recipient: what arrives there can be seen, and so can its notification.

use std::sync::Arc;

use super::rfc3461::DSN;
use crate::probe::{
    case::{Case, Need},
    context::{Context, EARLY},
    dialogue::visible,
    message::{Arrived, Token, stuffed},
    outcome::{Checked, Stop},
};

const DSN_ARRIVAL: &[Need] = &[Need::Extension("DSN"), Need::Arrival];

pub(super) const CASES: &[Case] = &[
    Case::must(
        "rfc3461/5.2.2/success-is-told",
        "A recipient with NOTIFY=SUCCESS whose message was delivered, or relayed to a server without DSN, causes a notification.",
        |c| Box::pin(success_is_told(c)),
    )
    .needs(DSN_ARRIVAL)
    .source("RFC 3461 §5.2.2, §5.2.3"),
    Case::must(
        "rfc3461/5.2/success-is-not-told-unasked",
        "A recipient without NOTIFY=SUCCESS causes no notification when its message was delivered.",
        |c| Box::pin(not_told_unasked(c)),
    )
    .needs(DSN_ARRIVAL)
    .source("RFC 3461 §4.1, §5.2"),
    Case::must(
        "rfc3461/6.1/null-return-path",
        "A notification is sent with the null return path.",
        |c| Box::pin(null_return_path(c)),
    )
    .needs(DSN_ARRIVAL),
    Case::should(
        "rfc3461/4.3/header-section-only",
        "A notification without a failure returns the header section only.",
        |c| Box::pin(header_section_only(c)),
    )
    .needs(DSN_ARRIVAL),
    Case::must(
        "rfc3461/6.3/original-envelope-id",
        "A notification has the envelope identifier that ENVID stood for, without the encoding.",
        |c| Box::pin(original_envelope_id(c)),
    )
    .needs(DSN_ARRIVAL)
    .source("RFC 3461 §4.4, §6.3, RFC 3464 §2.2.1"),
    Case::must(
        "rfc3461/6.3/original-recipient",
        "A notification has the original recipient that ORCPT stood for, without the encoding.",
        |c| Box::pin(original_recipient(c)),
    )
    .needs(DSN_ARRIVAL)
    .source("RFC 3461 §4.2, §6.3, RFC 3464 §2.3.1"),
    Case::must(
        "rfc3462/1/report-type",
        "A notification is a multipart/report with the report-type delivery-status.",
        |c| Box::pin(report_type(c)),
    )
    .needs(DSN_ARRIVAL)
    .source("RFC 3464 §2, RFC 6522 §3 (RFC 3462 §1)"),
    Case::must(
        "rfc3464/2/delivery-status-is-second",
        "The second part of a notification is a message/delivery-status.",
        |c| Box::pin(delivery_status_is_second(c)),
    )
    .needs(DSN_ARRIVAL),
    Case::must(
        "rfc3464/2.2.2/reporting-mta",
        "The fields of the message have one Reporting-MTA, with a type and a name.",
        |c| Box::pin(reporting_mta(c)),
    )
    .needs(DSN_ARRIVAL),
    Case::must(
        "rfc3464/2.3.2/final-recipient",
        "The fields of the recipient have one Final-Recipient, with a type and the address.",
        |c| Box::pin(final_recipient(c)),
    )
    .needs(DSN_ARRIVAL),
    Case::must(
        "rfc3464/2.3.3/action",
        "The fields of a recipient that was served have one Action: delivered, relayed or expanded.",
        |c| Box::pin(action(c)),
    )
    .needs(DSN_ARRIVAL),
    Case::must(
        "rfc3464/2.3.4/status",
        "The fields of a recipient that was served have one Status, of class 2.",
        |c| Box::pin(status(c)),
    )
    .needs(DSN_ARRIVAL),
    Case::security(
        "security/crlf-in-original-recipient",
        "RFC 3461 §4.2",
        "A line end within the xtext of ORCPT is refused, or at least makes no field of its own in a notification.",
        |c| Box::pin(crlf_in_xtext(c, false)),
    )
    .needs(DSN),
    Case::security(
        "security/crlf-in-envelope-id",
        "RFC 3461 §4.4",
        "A line end within the xtext of ENVID is refused, or at least makes no field of its own in a notification.",
        |c| Box::pin(crlf_in_xtext(c, true)),
    )
    .needs(DSN),
];

/// What an xtext may have in it that is written otherwise: a space and a plus.
const SUFFIX: (&str, &str) = ("+20+2Bx", " +x");

/// Sends a message to its own return path, with these parameters; the reply to RCPT is the case's subject only where it says so.
async fn send(c: &Context, token: &Token, mail: &str, rcpt: &str) -> Checked {
    let mut s = c.session().await?;
    let to = c.to();
    s.prepare(format!("MAIL FROM:<{to}> {mail}"), "250").await?;
    s.prepare(format!("RCPT TO:<{to}> {rcpt}"), "250|251")
        .await?;
    s.prepare("DATA", "354").await?;
    s.owe("the end of data");
    s.send(stuffed(&token.message(to, to, "BODY-OF-THE-ORIGINAL\r\n")))
        .await;
    s.prepared("250").await?;
    s.quit().await;
    Ok(())
}

/// Whether it is about the message of that token, and is not that message.
fn is_about(message: &Arrived, token: &Token) -> bool {
    message.mentions(token) && !message.is(token)
}

/// The notification about a message with NOTIFY=SUCCESS, and the token of the message.
async fn notification(c: &Context) -> Result<(Arc<Arrived>, Token), Stop> {
    c.arrivals()?;
    let token = c.token();
    let orcpt = format!("rfc822;{token}{}@example.com", SUFFIX.0);
    let envid = format!("{token}{}", SUFFIX.0);
    send(
        c,
        &token,
        &format!("RET=HDRS ENVID={envid}"),
        &format!("NOTIFY=SUCCESS ORCPT={orcpt}"),
    )
    .await?;
    let notification = c
        .arrived_where(&token, "a notification of success arrives", |message| {
            is_about(message, &token)
        })
        .await?;
    Ok((notification, token))
}

/// The notification that a case looks into; whether there is one is another case's subject.
async fn given(c: &Context) -> Result<(Arc<Arrived>, Token), Stop> {
    notification(c).await.map_err(Stop::in_preparation)
}

async fn success_is_told(c: &mut Context) -> Checked {
    notification(c).await.map(|_| ())
}

async fn not_told_unasked(c: &mut Context) -> Checked {
    let arrivals = c.arrivals()?;
    let (plain, failure) = (c.token(), c.token());
    send(c, &plain, &format!("ENVID={plain}"), "").await?;
    send(c, &failure, &format!("ENVID={failure}"), "NOTIFY=FAILURE").await?;
    // One that was asked for comes behind them.
    given(c).await?;
    tokio::time::sleep(EARLY).await;
    for (token, said) in [(&plain, "no NOTIFY"), (&failure, "NOTIFY=FAILURE")] {
        if !arrivals.all(|message| is_about(message, token)).is_empty() {
            return Err(Stop::failed(
                format!("no notification of success with {said}"),
                format!("a message about {token} arrived"),
            ));
        }
    }
    Ok(())
}

async fn null_return_path(c: &mut Context) -> Checked {
    let (notification, _) = given(c).await?;
    match notification.from.as_deref() {
        None => Err(Stop::inconclusive(
            "the proof of arrival does not show the return path",
        )),
        Some("") => Ok(()),
        Some(from) => Err(Stop::failed(
            "a notification with the return path <>",
            format!("<{from}>"),
        )),
    }
}

async fn header_section_only(c: &mut Context) -> Checked {
    let (notification, _) = given(c).await?;
    let text = String::from_utf8_lossy(&notification.content).into_owned();
    if text.contains("BODY-OF-THE-ORIGINAL") {
        return Err(Stop::failed(
            "the header section of the original",
            "its body as well",
        ));
    }
    Ok(())
}

async fn original_envelope_id(c: &mut Context) -> Checked {
    let (notification, token) = given(c).await?;
    let groups = status_fields(&notification)?;
    let expected = format!("{token}{}", SUFFIX.1);
    one_field(&groups[..1], "Original-Envelope-Id", |value| {
        value == expected
    })
    .map_err(|stop| stop.with(&format!("`{expected}`")))
}

async fn original_recipient(c: &mut Context) -> Checked {
    let (notification, token) = given(c).await?;
    let groups = status_fields(&notification)?;
    let expected = format!("{token}{}@example.com", SUFFIX.1);
    one_field(&groups[1..], "Original-Recipient", |value| {
        typed(value).is_some_and(|(kind, address)| {
            kind.eq_ignore_ascii_case("rfc822") && address == expected
        })
    })
    .map_err(|stop| stop.with(&format!("`rfc822;{expected}`")))
}

async fn report_type(c: &mut Context) -> Checked {
    let (notification, _) = given(c).await?;
    let content_type = notification.field("Content-Type").join(", ");
    let lower = content_type.to_ascii_lowercase();
    let is_report = lower.starts_with("multipart/report");
    if is_report
        && lower
            .replace(['"', ' '], "")
            .contains("report-type=delivery-status")
    {
        return Ok(());
    }
    Err(Stop::failed(
        "multipart/report with report-type=delivery-status",
        format!("Content-Type: {content_type}"),
    ))
}

async fn delivery_status_is_second(c: &mut Context) -> Checked {
    let (notification, _) = given(c).await?;
    let types = part_types(&notification);
    match types.get(1) {
        Some(second) if second.starts_with("message/delivery-status") => Ok(()),
        _ => Err(Stop::failed(
            "a message/delivery-status as the second part",
            format!("the parts {types:?}"),
        )),
    }
}

async fn reporting_mta(c: &mut Context) -> Checked {
    let (notification, _) = given(c).await?;
    let groups = status_fields(&notification)?;
    one_field(&groups[..1], "Reporting-MTA", |value| {
        typed(value).is_some()
    })
}

async fn final_recipient(c: &mut Context) -> Checked {
    let (notification, _) = given(c).await?;
    let groups = status_fields(&notification)?;
    let to = c.to().to_owned();
    one_field(&groups[1..], "Final-Recipient", |value| {
        typed(value).is_some_and(|(_, address)| address.eq_ignore_ascii_case(&to))
    })
    .map_err(|stop| stop.with(&format!("of <{to}>")))
}

async fn action(c: &mut Context) -> Checked {
    let (notification, _) = given(c).await?;
    let groups = status_fields(&notification)?;
    one_field(&groups[1..], "Action", |value| {
        ["delivered", "relayed", "expanded"]
            .iter()
            .any(|word| word.eq_ignore_ascii_case(value))
    })
}

async fn status(c: &mut Context) -> Checked {
    let (notification, _) = given(c).await?;
    let groups = status_fields(&notification)?;
    one_field(&groups[1..], "Status", |value| {
        let code = value.split([' ', '(']).next().unwrap_or_default();
        let parts: Vec<&str> = code.split('.').collect();
        let number =
            |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|o| o.is_ascii_digit());
        matches!(parts.as_slice(), ["2", _, _]) && parts.iter().all(number)
    })
}

async fn crlf_in_xtext(c: &mut Context, in_envid: bool) -> Checked {
    let token = c.token();
    let injected = "+0D+0AX-Injected:+20yes";
    let (mail, rcpt) = if in_envid {
        (
            format!("ENVID={token}{injected}"),
            "NOTIFY=SUCCESS".to_owned(),
        )
    } else {
        (
            format!("ENVID={token}"),
            format!("NOTIFY=SUCCESS ORCPT=rfc822;bob{injected}"),
        )
    };
    let mut s = c.session().await?;
    let to = c.to();
    for command in [
        format!("MAIL FROM:<{to}> {mail}"),
        format!("RCPT TO:<{to}> {rcpt}"),
    ] {
        let reply = s.ask(command).await?;
        if reply.is("5yz") {
            s.quit().await;
            return Ok(());
        }
        reply.expect("250|251")?;
    }
    s.prepare("DATA", "354").await?;
    s.owe("the end of data");
    s.send(stuffed(&token.message(to, to, "x\r\n"))).await;
    s.prepared("250").await?;
    s.quit().await;
    let notification = c
        .arrived_where(&token, "a notification of success arrives", |message| {
            is_about(message, &token)
        })
        .await
        .map_err(Stop::in_preparation)?;
    let text = String::from_utf8_lossy(&notification.content).into_owned();
    match text.lines().find(|line| line.starts_with("X-Injected:")) {
        Some(line) => Err(Stop::failed("no field of our making", line)),
        None => Ok(()),
    }
}

/// `dns; mx.example` → its type and its value.
fn typed(value: &str) -> Option<(&str, &str)> {
    let (kind, value) = value.split_once(';')?;
    let (kind, value) = (kind.trim(), value.trim());
    (!kind.is_empty() && !value.is_empty()).then_some((kind, value))
}

/// Exactly one of these groups' fields has this name, and a value that is good.
fn one_field(groups: &[Fields], name: &str, good: impl Fn(&str) -> bool) -> Checked {
    let values: Vec<&str> = groups
        .iter()
        .flatten()
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
        .collect();
    match values.as_slice() {
        [value] if good(value) => Ok(()),
        _ => Err(Stop::failed(
            format!("one good field {name}:"),
            format!("{values:?}"),
        )),
    }
}

type Fields = Vec<(String, String)>;

/// The parts of a multipart: the boundary's lines cut it.
fn parts(message: &Arrived) -> Vec<String> {
    let content_type = message.field("Content-Type").join(" ");
    let boundary = content_type
        .split("boundary=")
        .nth(1)
        .map(|rest| match rest.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next().unwrap_or_default(),
            None => rest.split([';', ' ']).next().unwrap_or_default(),
        })
        .unwrap_or_default()
        .to_owned();
    let (_, body) = message.parts();
    let body = String::from_utf8_lossy(&body).into_owned();
    if boundary.is_empty() {
        return Vec::new();
    }
    let (open, close) = (format!("--{boundary}"), format!("--{boundary}--"));
    let mut parts = Vec::new();
    for line in body.lines() {
        let line = line.trim_end();
        if line == close {
            break;
        }
        match parts.last_mut() {
            _ if line == open => parts.push(String::new()),
            None => {}
            Some(part) => {
                part.push_str(line);
                part.push('\n');
            }
        }
    }
    parts
}

/// A part as a message of its own.
fn part(text: &str) -> Arrived {
    // A part may have no header section at all: then it begins with the empty line.
    let content = if text.starts_with('\n') {
        format!("X: \n{text}")
    } else {
        text.to_owned()
    };
    Arrived {
        content: content.into_bytes(),
        from: None,
        recipients: Vec::new(),
    }
}

fn part_types(message: &Arrived) -> Vec<String> {
    parts(message)
        .iter()
        .map(|text| {
            part(text)
                .field("Content-Type")
                .join(" ")
                .to_ascii_lowercase()
        })
        .collect()
}

/// The groups of fields of the delivery status: the message's, then each recipient's (RFC 3464 §2.1). At least two.
fn status_fields(message: &Arrived) -> Result<Vec<Fields>, Stop> {
    let parts = parts(message);
    let status = parts.iter().map(|text| part(text)).find(|part| {
        part.field("Content-Type")
            .join(" ")
            .to_ascii_lowercase()
            .starts_with("message/delivery-status")
    });
    let Some(status) = status else {
        return Err(Stop::inconclusive(
            "the notification has no message/delivery-status to look into",
        ));
    };
    let (_, body) = status.parts();
    let text = String::from_utf8_lossy(&body).into_owned();
    let groups: Vec<Fields> = text
        .split("\n\n")
        .map(|group| group.trim_matches('\n'))
        .filter(|group| !group.is_empty())
        .map(|group| part(&format!("{group}\n\n")).fields())
        .collect();
    if groups.len() < 2 {
        return Err(Stop::failed(
            "fields of the message and of a recipient, with an empty line between",
            visible(&body),
        ));
    }
    Ok(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_status_is_read() {
        let text = "Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"b 1\"\r\n\r\npreamble\r\n\
                    --b 1\r\n\r\nyour mail\r\n--b 1\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\n\
                    Final-Recipient: rfc822;\r\n a@b\r\nAction: delivered\r\n\r\n--b 1\r\nContent-Type: text/rfc822-headers\r\n\r\n\
                    Subject: y\r\n--b 1--\r\nafter\r\n";
        let message = Arrived {
            content: text.into(),
            from: None,
            recipients: Vec::new(),
        };
        assert_eq!(
            part_types(&message),
            ["", "message/delivery-status", "text/rfc822-headers"]
        );
        let groups = status_fields(&message).expect("a status");
        assert_eq!(groups.len(), 2);
        assert!(
            one_field(&groups[..1], "reporting-mta", |v| typed(v)
                == Some(("dns", "x")))
            .is_ok()
        );
        assert!(one_field(&groups[1..], "Final-Recipient", |v| v == "rfc822; a@b").is_ok());
        assert!(one_field(&groups[1..], "Reporting-MTA", |_| true).is_err());
    }
}
