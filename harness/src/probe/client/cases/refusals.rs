//! RFC 5321 §3.3, §3.6.3, §4.2.1, §4.5.4.1: what becomes of a message, or of a recipient, that was refused.

use std::time::Duration;

use super::steps::{holds, same_content};
use crate::probe::{
    case::{Case, Need},
    client::{
        context::{Context, Sent},
        manners::{Script, Stage, say},
    },
    dialogue::visible,
    outcome::{Checked, Stop},
};

pub(super) const CASES: &[Case<Context>] = &[
    Case::must(
        "client/rfc5321/4.5.4.1/retry-after-4yz-to-mail",
        "A message whose MAIL was answered with 4yz stays in the queue and is tried again, later.",
        |c| Box::pin(retried(c, Stage::Mail, "451 4.3.0 later")),
    )
    .needs(&[Need::Retry]),
    Case::must(
        "client/rfc5321/4.5.4.1/retry-after-4yz-to-rcpt",
        "A message whose RCPT was answered with 4yz stays in the queue and is tried again, later.",
        |c| Box::pin(retried(c, Stage::AnyRcpt, "450 4.2.1 later")),
    )
    .needs(&[Need::Retry]),
    Case::must(
        "client/rfc5321/4.5.4.1/retry-after-4yz-to-data",
        "A message whose DATA was answered with 4yz stays in the queue and is tried again, later.",
        |c| Box::pin(retried(c, Stage::Data, "451 4.3.0 later")),
    )
    .needs(&[Need::Retry]),
    Case::must(
        "client/rfc5321/4.5.4.1/retry-after-4yz-to-content",
        "A message whose content was answered with 4yz stays in the queue and is tried again, later.",
        |c| Box::pin(retried(c, Stage::End, "452 4.3.1 no room")),
    )
    .source("RFC 5321 §4.2.5, §4.5.4.1")
    .needs(&[Need::Retry]),
    Case::must(
        "client/rfc5321/4.5.4.1/retry-is-delayed",
        "The next attempt is not made at once.",
        |c| Box::pin(delayed(c)),
    )
    .needs(&[Need::Retry]),
    Case::must(
        "client/rfc5321/3.6.3/returned-after-5yz-to-mail",
        "A message whose MAIL was answered with 5yz is returned to its sender.",
        |c| Box::pin(returned(c, Stage::Mail, "550 5.7.1 no")),
    )
    .source("RFC 5321 §3.6.3, §4.2.5")
    .needs(&[Need::Returned]),
    Case::must(
        "client/rfc5321/3.6.3/returned-after-5yz-to-rcpt",
        "A message whose RCPT was answered with 5yz is returned to its sender.",
        |c| Box::pin(returned(c, Stage::AnyRcpt, "550 5.1.1 no such user")),
    )
    .source("RFC 5321 §3.6.3, §4.2.5")
    .needs(&[Need::Returned]),
    Case::must(
        "client/rfc5321/3.6.3/returned-after-5yz-to-data",
        "A message whose DATA was answered with 5yz is returned to its sender.",
        |c| Box::pin(returned(c, Stage::Data, "554 5.7.1 no")),
    )
    .source("RFC 5321 §3.6.3, §4.2.5")
    .needs(&[Need::Returned]),
    Case::must(
        "client/rfc5321/3.6.3/returned-after-5yz-to-content",
        "A message whose content was answered with 5yz is returned to its sender.",
        |c| Box::pin(returned(c, Stage::End, "554 5.6.0 no")),
    )
    .source("RFC 5321 §3.6.3, §4.2.5")
    .needs(&[Need::Returned]),
    Case::should(
        "client/rfc5321/4.2.1/no-retry-after-5yz-to-mail",
        "What was answered with 5yz is not tried again.",
        |c| Box::pin(not_retried(c, Stage::Mail, "550 5.7.1 no")),
    ),
    Case::should(
        "client/rfc5321/4.2.1/no-retry-after-5yz-to-rcpt",
        "A recipient that was answered with 5yz is not tried again.",
        |c| Box::pin(not_retried(c, Stage::AnyRcpt, "553 5.1.3 no")),
    ),
    Case::should(
        "client/rfc5321/4.2.5/no-retry-after-5yz-to-content",
        "Content that was answered with 5yz is not sent again.",
        |c| Box::pin(not_retried(c, Stage::End, "550 5.7.1 no")),
    ),
    Case::must(
        "client/rfc5321/3.6.3/notification-from-nobody",
        "A notification has a null return path.",
        |c| Box::pin(from_nobody(c)),
    )
    .source("RFC 5321 §3.6.3, §4.5.5")
    .needs(&[Need::Returned]),
    Case::must(
        "client/rfc5321/4.5.5/no-notification-to-nobody",
        "Nothing is returned of a message with a null return path, not to an address of its header section either.",
        |c| Box::pin(to_nobody(c)),
    )
    .source("RFC 5321 §3.6.3, §4.5.4, §4.5.5"),
    Case::must(
        "client/rfc5321/3.3/refused-recipient-beside-others",
        "A recipient that is refused does not keep the message from the others.",
        |c| Box::pin(beside_others(c, "550 5.1.1 no such user")),
    ),
    Case::must(
        "client/rfc5321/3.6.3/returned-for-the-refused-one",
        "The notification is about the recipient that was refused, and about no other one.",
        |c| Box::pin(for_the_refused_one(c)),
    )
    .needs(&[Need::Returned]),
    Case::must(
        "client/rfc5321/4.5.4.1/retry-for-who-is-left",
        "After 4yz to one of several recipients the others have the message, and the next attempt is for that one only.",
        |c| Box::pin(who_is_left(c)),
    )
    .source("RFC 5321 §4.2.5, §4.5.4.1")
    .needs(&[Need::Retry]),
    Case::should(
        "client/rfc5321/4.5.3.1.10/552-to-rcpt-is-transient",
        "552 to RCPT means too many recipients: the recipient is tried again.",
        |c| Box::pin(too_many(c)),
    )
    .needs(&[Need::Retry]),
];

async fn refused(c: &mut Context, stage: Stage, reply: &'static str) -> Result<Sent, Stop> {
    let script = Script::new().on(stage, say(reply));
    let sent = c
        .mail(|draft| draft.body("refused\r\n").answered(script))
        .await?;
    sent.attempt().await?;
    Ok(sent)
}

async fn retried(c: &mut Context, stage: Stage, reply: &'static str) -> Checked {
    let sent = refused(c, stage, reply).await?;
    sent.again(1).await?;
    let transaction = sent
        .accepted("the message is sent at another attempt")
        .await?;
    same_content(&sent, &transaction)
}

/// What is at once, and not later.
const AT_ONCE: Duration = Duration::from_millis(100);

async fn delayed(c: &mut Context) -> Checked {
    let sent = refused(c, Stage::AnyRcpt, "450 4.2.1 later").await?;
    let next = sent.again(1).await?;
    let before = sent.attempt().await?.ended;
    let pause = next.began.saturating_duration_since(before);
    holds(
        pause >= AT_ONCE,
        "another attempt, 100 ms later at the earliest",
        || format!("after {} ms", pause.as_millis()),
    )
}

async fn returned(c: &mut Context, stage: Stage, reply: &'static str) -> Checked {
    let sent = refused(c, stage, reply).await?;
    sent.returned().await.map(|_| ())
}

async fn not_retried(c: &mut Context, stage: Stage, reply: &'static str) -> Checked {
    let sent = refused(c, stage, reply).await?;
    sent.never_again("what was answered with 5yz is not tried again");
    Ok(())
}

async fn from_nobody(c: &mut Context) -> Checked {
    let sent = refused(c, Stage::AnyRcpt, "550 5.1.1 no such user").await?;
    let notice = sent.returned().await?;
    let null = notice.mail.to_ascii_uppercase().starts_with("FROM:<>");
    holds(null, "MAIL FROM:<>", || format!("MAIL {}", notice.mail))
}

async fn to_nobody(c: &mut Context) -> Checked {
    let (tokens, mut draft) = c.draft();
    draft.from = String::new();
    draft.scripts = vec![Script::new().on(Stage::AnyRcpt, say("550 5.1.1 no such user"))];
    let sent = c.send(&tokens, draft).await?;
    sent.attempt().await?;
    sent.never_returned("nothing is returned to nobody");
    Ok(())
}

async fn three(c: &mut Context, reply: &'static str) -> Result<(Sent, Vec<String>), Stop> {
    let (tokens, mut draft) = c.draft();
    let to = c.addresses().1;
    draft.to = (0..3).map(|number| tokens.recipient(to, number)).collect();
    let all = draft.to.clone();
    let draft = draft
        .body("for some\r\n")
        .answered(Script::new().on(Stage::Rcpt(1), say(reply)));
    let sent = c.send(&tokens, draft).await?;
    Ok((sent, all))
}

/// The recipients that have the message by now.
fn served(sent: &Sent) -> Vec<String> {
    let attempts = sent.mail.attempts();
    attempts
        .iter()
        .filter(|one| one.end == crate::probe::client::seen::End::Accepted)
        .flat_map(|one| one.recipients.iter())
        .filter(|to| to.code / 100 == 2)
        .map(|to| to.path())
        .collect()
}

async fn beside_others(c: &mut Context, reply: &'static str) -> Checked {
    let (sent, all) = three(c, reply).await?;
    let both = || {
        let served = served(&sent);
        (served.contains(&all[0]) && served.contains(&all[2])).then_some(())
    };
    let done = c.until(both).await;
    holds(done.is_some(), "the message for the other two", || {
        format!("it went to: {}", served(&sent).join(", "))
    })
}

async fn for_the_refused_one(c: &mut Context) -> Checked {
    let (sent, all) = three(c, "550 5.1.1 no such user").await?;
    let notice = sent.returned().await?;
    let content = notice.content.clone().unwrap_or_default();
    // The message itself may be in the notification; the recipients of its envelope are not in it.
    let names = |path: &String| memchr::memmem::find(&content, path.as_bytes()).is_some();
    let named: Vec<bool> = all.iter().map(names).collect();
    holds(
        named == [false, true, false],
        &format!("{} and no other one", all[1]),
        || visible(&content),
    )
}

async fn who_is_left(c: &mut Context) -> Checked {
    let (sent, all) = three(c, "450 4.2.1 later").await?;
    let first = sent.attempt().await?;
    if first.recipients.len() != 3 {
        return Err(Stop::inconclusive(
            "the recipients did not share a transaction",
        ));
    }
    let next = sent.again(1).await?;
    let paths: Vec<String> = next.recipients.iter().map(|to| to.path()).collect();
    holds(
        paths == [all[1].clone()],
        &format!("RCPT for {} only", all[1]),
        || paths.join(", "),
    )
}

async fn too_many(c: &mut Context) -> Checked {
    let (sent, all) = three(c, "552 5.5.3 too many recipients").await?;
    sent.attempt().await?;
    let next = sent.again(1).await?;
    let again = next.recipients.iter().any(|to| to.path() == all[1]);
    holds(again, "the recipient is tried again", || next.mail.clone())
}
