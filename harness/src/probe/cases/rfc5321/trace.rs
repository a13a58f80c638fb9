//! RFC 5321 §4.4, §6.3: trace fields.

use std::sync::Arc;

use super::super::steps::own_fields;
use crate::probe::{
    arrival::Source,
    case::{Case, Need},
    context::{Context, HELLO},
    message::{Arrived, Token, stuffed},
    outcome::{Checked, Stop},
};

pub(super) const CASES: &[Case] = &[
    Case::must(
        "rfc5321/4.4/received-is-added",
        "A server that takes a message puts a Received field on top of it.",
        |c| Box::pin(received_is_added(c)),
    )
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/4.4/received-form",
        "The Received field has a FROM and a BY clause, and a date after a semicolon.",
        |c| Box::pin(received_form(c)),
    )
    .needs(&[Need::Arrival]),
    Case::should(
        "rfc5321/4.4/received-names-the-client",
        "The FROM clause has the name that the client gave in EHLO.",
        |c| Box::pin(received_names_the_client(c)),
    )
    .needs(&[Need::Arrival]),
    Case::should(
        "rfc5321/4.4/received-has-the-address",
        "The FROM clause has an address literal with the client's address.",
        |c| Box::pin(received_has_the_address(c)),
    )
    .needs(&[Need::Arrival]),
    Case::should(
        "rfc5321/4.4/received-date-has-an-offset",
        "The date of the Received field has an explicit offset (+0000), not a time zone's name, and a year of four digits.",
        |c| Box::pin(received_date(c)),
    )
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/4.4/received-fields-stay",
        "Received fields that a message has already are neither changed nor moved, and the new one stands above them.",
        |c| Box::pin(received_fields_stay(c)),
    )
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/4.4/return-path",
        "At final delivery a Return-Path field is put on top, with the return path of MAIL.",
        |c| Box::pin(return_path(c, false)),
    )
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/4.4/null-return-path",
        "At final delivery the Return-Path field of a notification is <>.",
        |c| Box::pin(return_path(c, true)),
    )
    .needs(&[Need::Arrival]),
    Case::should(
        "rfc5321/4.4/one-return-path",
        "A delivered message has exactly one Return-Path field, even when it came with one.",
        |c| Box::pin(one_return_path(c)),
    )
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/4.4/return-path-is-passed-on",
        "The return path of MAIL is that of the delivered message.",
        |c| Box::pin(passed_on(c)),
    )
    .source("RFC 5321 §4.4, §3.6.3")
    .needs(&[Need::Arrival]),
    Case::should(
        "rfc5321/6.3/hundred-received-fields",
        "A message with fewer than 100 Received fields is not taken for a loop.",
        |c| Box::pin(many_received(c)),
    ),
];

/// A message that went through, as it was delivered.
async fn delivered(c: &Context, fields: &str) -> Result<Arc<Arrived>, Stop> {
    let token = c.token();
    let content = format!("{fields}{}body\r\n", token.header(c.from(), c.to()));
    let mut s = c.session().await?;
    c.send(&mut s, content.as_bytes()).await?;
    s.quit().await;
    c.arrived(&token).await
}

/// The Received field that the server put on top: the last of those above the message's own fields.
fn added(arrived: &Arrived, first_own: &str) -> Result<String, Stop> {
    let all = arrived.fields();
    let own = own_fields(arrived, first_own).len();
    let above = &all[..all.len() - own];
    above
        .iter()
        .rev()
        .find(|(name, _)| name.eq_ignore_ascii_case("Received"))
        .map(|(_, value)| value.clone())
        .ok_or_else(|| {
            let names: Vec<&str> = above.iter().map(|(name, _)| name.as_str()).collect();
            Stop::failed(
                "a Received field above the message's own fields",
                format!("above them: {names:?}"),
            )
        })
}

async fn received_is_added(c: &mut Context) -> Checked {
    added(&*delivered(c, "").await?, "From").map(|_| ())
}

/// What cannot be judged without the field is another case's failure.
async fn received(c: &Context) -> Result<String, Stop> {
    added(&*delivered(c, "").await?, "From").map_err(Stop::in_preparation)
}

async fn received_form(c: &mut Context) -> Checked {
    let field = received(c).await?;
    let words: Vec<String> = field.split_whitespace().map(str::to_lowercase).collect();
    let by = words.iter().position(|word| word == "by");
    let date = field.rsplit_once(';').map(|(_, date)| date.trim());
    let good = words.first().is_some_and(|word| word == "from")
        && by.is_some_and(|by| by > 1)
        && date.is_some_and(is_date);
    if good {
        Ok(())
    } else {
        Err(Stop::failed("from … by … ; date", field))
    }
}

/// RFC 5322 §3.3, without the obsolete forms: `[day ","] 1 Jan 2024 00:00[:00] zone`.
fn is_date(text: &str) -> bool {
    let text = text.split('(').next().unwrap_or_default();
    let text = text.split_once(',').map_or(text, |(_, rest)| rest);
    let words: Vec<&str> = text.split_whitespace().collect();
    let digits = |text: &str, count: std::ops::RangeInclusive<usize>| {
        count.contains(&text.len()) && text.bytes().all(|o| o.is_ascii_digit())
    };
    match words.as_slice() {
        [day, month, year, time, zone] => {
            let months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec";
            digits(day, 1..=2)
                && months.split(' ').any(|m| m.eq_ignore_ascii_case(month))
                && digits(year, 4..=4)
                && time.split(':').all(|part| digits(part, 2..=2))
                && !zone.is_empty()
        }
        _ => false,
    }
}

async fn received_names_the_client(c: &mut Context) -> Checked {
    let field = received(c).await?;
    if field.contains(HELLO) {
        Ok(())
    } else {
        Err(Stop::failed(format!("{HELLO} in the FROM clause"), field))
    }
}

async fn received_has_the_address(c: &mut Context) -> Checked {
    // Another name than the address, so that the address is the server's own finding.
    let token = c.token();
    let mut s = c.greeted().await?;
    s.ehlo("probe.gauntlet.invalid").await?;
    c.send(&mut s, &c.message(&token, "who sent it?\r\n"))
        .await?;
    s.quit().await;
    let arrived = c.arrived(&token).await?;
    let field = added(&arrived, "From").map_err(Stop::in_preparation)?;
    let clause = field.split(" by ").next().unwrap_or_default();
    let literal = clause
        .split('[')
        .skip(1)
        .filter_map(|rest| rest.split(']').next())
        .any(|literal| {
            let address = literal
                .get(..5)
                .filter(|tag| tag.eq_ignore_ascii_case("IPv6:"));
            let address = address.map_or(literal, |_| &literal[5..]);
            address.parse::<std::net::IpAddr>().is_ok()
        });
    if literal {
        Ok(())
    } else {
        Err(Stop::failed("[address] in the FROM clause", field))
    }
}

async fn received_date(c: &mut Context) -> Checked {
    let field = received(c).await?;
    let date = field.rsplit_once(';').map_or("", |(_, date)| date.trim());
    let zone = date
        .split('(')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .next_back();
    let offset = zone.is_some_and(|zone| {
        zone.len() == 5
            && zone.starts_with(['+', '-'])
            && zone[1..].bytes().all(|o| o.is_ascii_digit())
    });
    if offset && is_date(date) {
        Ok(())
    } else {
        Err(Stop::failed("a date with an explicit offset", date))
    }
}

async fn received_fields_stay(c: &mut Context) -> Checked {
    let old = "Received: from b.gauntlet.invalid by c.gauntlet.invalid with SMTP id 2;\r\n\tTue, 02 Jan 2024 00:00:00 -0700\r\n\
               Received: from a.gauntlet.invalid (odd  spacing) by b.gauntlet.invalid; Mon, 1 Jan 2024 00:00:00 +0000\r\n";
    let arrived = delivered(c, &format!("X-Above: here\r\n{old}")).await?;
    let (header, _) = arrived.parts();
    let unchanged = format!("X-Above: here\n{}", old.replace("\r\n", "\n"));
    if !header.contains(&unchanged) {
        return Err(Stop::failed(
            "the Received fields as they were, where they were",
            crate::probe::dialogue::visible(header.as_bytes()),
        ));
    }
    added(&arrived, "X-Above").map(|_| ())
}

/// The sink is a next hop: what reaches it was not finally delivered.
fn final_delivery(c: &Context) -> Checked {
    match c.arrivals()?.source() {
        Source::Sink(_) => Err(Stop::skipped("what a sink gets was not finally delivered")),
        Source::Maildir(_) | Source::Mailboxes(_) => Ok(()),
    }
}

async fn delivered_from(
    c: &Context,
    from: &str,
    fields: &str,
) -> Result<(Token, Arc<Arrived>), Stop> {
    let token = c.token();
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{from}>"), "250").await?;
    s.prepare(format!("RCPT TO:<{}>", c.to()), "250|251")
        .await?;
    s.prepare("DATA", "354").await?;
    s.owe("the end of data");
    let content = format!("{fields}{}body\r\n", token.header(c.from(), c.to()));
    s.send(stuffed(content.as_bytes())).await;
    s.prepared("250").await?;
    s.quit().await;
    let arrived = c.arrived(&token).await?;
    Ok((token, arrived))
}

async fn return_path(c: &mut Context, null: bool) -> Checked {
    final_delivery(c)?;
    let from = if null { "" } else { c.from() }.to_owned();
    let (_, arrived) = delivered_from(c, &from, "").await?;
    let all = arrived.fields();
    let first = all
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("Return-Path"))
        .map(|(_, value)| value.split_whitespace().collect::<String>());
    let wanted = format!("<{from}>");
    match first {
        Some(value) if value.eq_ignore_ascii_case(&wanted) => Ok(()),
        Some(value) => Err(Stop::failed(format!("Return-Path: {wanted}"), value)),
        None => Err(Stop::failed(
            format!("Return-Path: {wanted}"),
            "no such field",
        )),
    }
}

async fn one_return_path(c: &mut Context) -> Checked {
    final_delivery(c)?;
    let from = c.from().to_owned();
    let old = "Return-Path: <old@gauntlet.invalid>\r\n";
    let (_, arrived) = delivered_from(c, &from, old).await?;
    match arrived.field("Return-Path").as_slice() {
        [_] => Ok(()),
        several => Err(Stop::failed(
            "one Return-Path field",
            format!("{several:?}"),
        )),
    }
}

async fn passed_on(c: &mut Context) -> Checked {
    let from = c.from().to_owned();
    let (_, arrived) = delivered_from(c, &from, "").await?;
    match &arrived.from {
        None => Err(Stop::inconclusive(
            "the proof of arrival shows no return path",
        )),
        Some(seen) if *seen == from => Ok(()),
        Some(seen) => Err(Stop::failed(format!("<{from}>"), format!("<{seen}>"))),
    }
}

async fn many_received(c: &mut Context) -> Checked {
    let field = "Received: from a.gauntlet.invalid by b.gauntlet.invalid; Mon, 1 Jan 2024 00:00:00 +0000\r\n";
    // With the server's own one there are 99, and those of a further server behind it.
    let content = format!(
        "{}{}body\r\n",
        field.repeat(95),
        c.token().header(c.from(), c.to())
    );
    let mut s = c.session().await?;
    c.taken(&mut s, content.as_bytes()).await
}

#[cfg(test)]
mod tests {
    use super::is_date;

    #[test]
    fn dates_of_trace_fields() {
        for good in [
            "Mon, 1 Jan 2024 00:00:00 +0000",
            "01 Jan 2024 00:00 -0700 (MST)",
            "Mon,  1 Jan 2024 00:00:00 GMT",
        ] {
            assert!(is_date(good), "{good}");
        }
        for bad in [
            "",
            "yesterday",
            "Mon, 1 Jan 24 00:00:00 +0000",
            "1 Foo 2024 00:00:00 +0000",
        ] {
            assert!(!is_date(bad), "{bad}");
        }
    }
}
