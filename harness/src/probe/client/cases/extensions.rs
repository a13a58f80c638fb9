//! RFC 1870, RFC 3461, RFC 6152, RFC 6531: extensions that were offered, and how they are used.

use super::steps::{body_of, holds, own_part};
use crate::probe::{
    case::{Case, Need},
    client::{
        context::{Context, Sent},
        manners::Manners,
        seen::{Transaction, value},
    },
    outcome::{Checked, Stop},
};

pub(super) const CASES: &[Case<Context>] = &[
    Case::should(
        "client/rfc1870/4/limit",
        "A message that is larger than the limit that was announced is not sent.",
        |c| Box::pin(limit(c)),
    )
    .source("RFC 1870 §4, §6.1")
    .needs(&[Need::Alone]),
    Case::must(
        "client/rfc1870/4/larger-than-the-limit-is-returned",
        "A message that cannot be sent for its size is returned to its sender.",
        |c| Box::pin(limit_returned(c)),
    )
    .source("RFC 1870 §6.1, RFC 5321 §3.6.3")
    .needs(&[Need::Alone, Need::Returned]),
    Case::must(
        "client/rfc1870/4/zero-is-no-limit",
        "SIZE 0 announces no limit.",
        |c| Box::pin(sent_although(c, "SIZE 0")),
    )
    .needs(&[Need::Alone]),
    Case::must(
        "client/rfc1870/4/no-number-is-no-limit",
        "SIZE without a number announces no limit.",
        |c| Box::pin(sent_although(c, "SIZE")),
    )
    .needs(&[Need::Alone]),
    Case::must(
        "client/rfc1870/3/size-value",
        "SIZE has a number of at most 20 digits, and the message is hardly larger than that.",
        |c| Box::pin(size_value(c)),
    )
    .source("RFC 1870 §3, §5"),
    Case::must(
        "client/rfc6152/2/8-bit-is-declared",
        "Content with octets above 127 is sent with BODY=8BITMIME only.",
        |c| Box::pin(eight_bit(c)),
    )
    .source("RFC 6152 §2, §3"),
    Case::must(
        "client/rfc6531/3.4/utf8-address-is-declared",
        "MAIL has SMTPUTF8 when an address needs it.",
        |c| Box::pin(utf8_address(c)),
    ),
    Case::must(
        "client/rfc6531/3.4/utf8-header-is-declared",
        "MAIL has SMTPUTF8 when the header section needs it.",
        |c| Box::pin(utf8_header(c)),
    ),
    Case::must(
        "client/rfc6531/3.2/utf8-address-kept",
        "An address with octets above 127 is sent as it is where SMTPUTF8 was offered.",
        |c| Box::pin(utf8_kept(c)),
    ),
    Case::must(
        "client/rfc3461/5.2.1/notify-passed-on",
        "NOTIFY is passed on to a next hop that offers DSN.",
        |c| Box::pin(of_rcpt(c, "NOTIFY", "FAILURE,DELAY")),
    ),
    Case::must(
        "client/rfc3461/5.2.1/orcpt-passed-on",
        "ORCPT is passed on, as it is, to a next hop that offers DSN.",
        |c| Box::pin(of_rcpt(c, "ORCPT", "rfc822;Bob+2Bx@example.test")),
    ),
    Case::must(
        "client/rfc3461/5.2.1/ret-passed-on",
        "RET is passed on to a next hop that offers DSN.",
        |c| Box::pin(of_mail(c, "RET", "HDRS")),
    ),
    Case::must(
        "client/rfc3461/5.2.1/envid-passed-on",
        "ENVID is passed on, as it is, to a next hop that offers DSN.",
        |c| Box::pin(of_mail(c, "ENVID", "Probe+2B1")),
    ),
];

/// The message is not sent whole: MAIL says how large it is and is refused, or nothing comes and it is returned.
pub(super) async fn not_sent(c: &Context, sent: &Sent) -> Checked {
    let over = || {
        let first = sent.mail.attempts().first().cloned().map(Some);
        first.or_else(|| (!sent.mail.notices().is_empty()).then_some(None))
    };
    let first = c
        .until(over)
        .await
        .ok_or_else(|| Stop::inconclusive("the message neither came nor was returned"))?;
    let content = first.filter(|transaction| transaction.has_content());
    holds(content.is_none(), "no content", || {
        content.map_or_else(String::new, |one| {
            format!("{} octets of content", one.wire.len())
        })
    })
}

async fn too_large(c: &mut Context) -> Result<Sent, Stop> {
    // One session only: the notification about it may be larger, too.
    let manners = Manners::offering(&["SIZE 5000", "8BITMIME"]);
    c.behave(manners.for_sessions(1)).await;
    c.mail(|draft| draft.body(body_of(20_000))).await
}

async fn limit(c: &mut Context) -> Checked {
    let sent = too_large(c).await?;
    not_sent(c, &sent).await
}

async fn limit_returned(c: &mut Context) -> Checked {
    let sent = too_large(c).await?;
    sent.returned().await.map(|_| ())
}

async fn sent_although(c: &mut Context, offer: &'static str) -> Checked {
    c.behave(Manners::offering(&[offer])).await;
    let sent = c.mail(|draft| draft.body(body_of(20_000))).await?;
    sent.accepted("the message is sent").await.map(|_| ())
}

async fn size_value(c: &mut Context) -> Checked {
    let sent = c.mail(|draft| draft.body(body_of(50_000))).await?;
    let transaction = sent.attempt().await?;
    let Some(size) = transaction.parameter("SIZE") else {
        return Err(Stop::skipped("the client declares no size"));
    };
    let digits = (1..=20).contains(&size.len()) && size.bytes().all(|octet| octet.is_ascii_digit());
    let declared: u64 = size.parse().unwrap_or(0);
    let octets = transaction.content.as_ref().map_or(0, Vec::len);
    // It is an estimate: half of it would mislead every server that has a limit.
    let enough = declared.saturating_mul(2) >= u64::try_from(octets).unwrap_or(u64::MAX);
    holds(
        digits && enough,
        &format!("SIZE={octets}, or near it"),
        || format!("SIZE={size}"),
    )
}

const EIGHT_BIT: &str = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n";

async fn eight_bit(c: &mut Context) -> Checked {
    let sent = c
        .mail(|draft| {
            draft
                .parameter("8BITMIME", "BODY=8BITMIME")
                .fields(EIGHT_BIT)
                .body("Gr\u{fc}\u{df}e\r\n")
        })
        .await?;
    let transaction = sent.accepted("the message is sent").await?;
    if transaction.wire.is_ascii() {
        return Err(Stop::skipped("the client converts it to 7 bits"));
    }
    let declared = transaction
        .parameter("BODY")
        .is_some_and(|body| body.eq_ignore_ascii_case("8BITMIME"));
    holds(declared, "BODY=8BITMIME", || {
        format!("MAIL {}", transaction.mail)
    })
}

fn declares(transaction: &Transaction) -> Checked {
    let declared = transaction.parameter("SMTPUTF8").is_some();
    holds(declared, "SMTPUTF8", || {
        format!("MAIL {}", transaction.mail)
    })
}

async fn utf8_recipient(c: &mut Context) -> Result<(Sent, String), Stop> {
    let (tokens, draft) = c.draft();
    let mut draft = draft.parameter("SMTPUTF8", "SMTPUTF8").body("ASCII\r\n");
    draft.to = vec![format!("\u{fc}ser+{}", draft.to[0])];
    let to = draft.to[0].clone();
    Ok((c.send(&tokens, draft).await?, to))
}

async fn utf8_address(c: &mut Context) -> Checked {
    let (sent, _) = utf8_recipient(c).await?;
    declares(&*sent.attempt().await?)
}

async fn utf8_kept(c: &mut Context) -> Checked {
    let (sent, to) = utf8_recipient(c).await?;
    let transaction = sent.attempt().await?;
    let kept = transaction
        .recipients
        .iter()
        .any(|known| known.path() == to);
    holds(kept, &format!("RCPT TO:<{to}>"), || {
        transaction
            .recipients
            .iter()
            .map(|to| to.argument.clone())
            .collect::<Vec<_>>()
            .join(", ")
    })
}

async fn utf8_header(c: &mut Context) -> Checked {
    let sent = c
        .mail(|draft| {
            draft
                .parameter("SMTPUTF8", "SMTPUTF8")
                .fields("Comments: Gr\u{fc}\u{df}e\r\n")
                .body("ASCII\r\n")
        })
        .await?;
    let transaction = sent.accepted("the message is sent").await?;
    let content = transaction.content.as_deref().unwrap_or_default();
    if own_part(&sent, content).is_some_and(<[u8]>::is_ascii) {
        return Err(Stop::skipped("the client converts the header section"));
    }
    declares(&transaction)
}

async fn of_rcpt(c: &mut Context, name: &str, wanted: &str) -> Checked {
    let parameter = format!("{name}={wanted}");
    let sent = c
        .mail(|draft| draft.recipient_parameter("DSN", &parameter).body("DSN\r\n"))
        .await?;
    let transaction = sent.attempt().await?;
    let all = transaction
        .recipients
        .first()
        .map(|to| to.parameters())
        .unwrap_or_default();
    let seen = value(&all, name).unwrap_or_default();
    holds(same(name, &seen, wanted), &parameter, || all.join(" "))
}

async fn of_mail(c: &mut Context, name: &str, wanted: &str) -> Checked {
    let parameter = format!("{name}={wanted}");
    let sent = c
        .mail(|draft| draft.parameter("DSN", &parameter).body("DSN\r\n"))
        .await?;
    let transaction = sent.attempt().await?;
    let seen = transaction.parameter(name).unwrap_or_default();
    holds(same(name, &seen, wanted), &parameter, || {
        format!("MAIL {}", transaction.mail)
    })
}

/// Keywords in any case and order; what is an identifier as it is.
fn same(name: &str, seen: &str, wanted: &str) -> bool {
    match name {
        "NOTIFY" | "RET" => {
            let words = |text: &str| {
                let mut words: Vec<String> = text
                    .to_ascii_uppercase()
                    .split(',')
                    .map(str::to_owned)
                    .collect();
                words.sort();
                words
            };
            words(seen) == words(wanted)
        }
        "ORCPT" => {
            let parts = |text: &str| {
                text.split_once(';')
                    .map(|(kind, rest)| (kind.to_ascii_lowercase(), rest.to_owned()))
            };
            parts(seen) == parts(wanted)
        }
        _ => seen == wanted,
    }
}
