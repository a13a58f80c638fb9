//! RFC 2920 §3.1: groups of commands, and their replies.

use super::steps::{holds, same_content};
use crate::probe::{
    case::{Case, Need},
    client::{
        context::{Context, EARLY},
        manners::{Script, Stage, say},
        seen::{Command, End},
    },
    outcome::Checked,
};

pub(super) const CASES: &[Case<Context>] = &[
    Case::must(
        "client/rfc2920/3.1/groups",
        "Only MAIL, RCPT and RSET are followed by a command before their replies; EHLO, DATA, NOOP and QUIT end a group.",
        |c| Box::pin(groups(c)),
    ),
    Case::must(
        "client/rfc2920/3.1/content-waits",
        "Content waits for the reply to DATA, in a group as well.",
        |c| Box::pin(content_waits(c)),
    )
    .source("RFC 5321 §3.3, RFC 2920 §3.1"),
    Case::must(
        "client/rfc2920/3.1/replies-octet-by-octet",
        "Replies may come octet by octet.",
        |c| Box::pin(paced(c, Script::new().dribbled())),
    ),
    Case::must(
        "client/rfc2920/3.1/replies-at-once",
        "The replies to a group may come in one piece.",
        |c| Box::pin(paced(c, Script::new().held().paused(EARLY))),
    ),
    Case::must(
        "client/rfc2920/3.1/every-reply-is-checked",
        "Each reply of a group is taken for its own command: a refused recipient among others is told of.",
        |c| Box::pin(every_reply(c)),
    )
    .needs(&[Need::Returned]),
    Case::should(
        "client/rfc2920/3.1/no-content-for-nobody",
        "When DATA is answered with 354 although every recipient was refused, a dot alone is sent.",
        |c| Box::pin(for_nobody(c)),
    ),
    Case::must(
        "client/rfc2920/3.1/refused-mail-ends-it",
        "When MAIL is refused, what the rest of the group is answered with does not matter: the message is not sent.",
        |c| Box::pin(refused_mail(c)),
    )
    .needs(&[Need::Retry]),
];

async fn groups(c: &mut Context) -> Checked {
    let script = Script::new().paused(EARLY);
    let sent = c
        .mail(|draft| draft.body("groups\r\n").answered(script))
        .await?;
    let transaction = sent.attempt().await?;
    let commands = transaction.commands();
    let wrong = |two: &&[Command]| {
        two[1].early && !matches!(two[0].verb().as_str(), "MAIL" | "RCPT" | "RSET" | "BDAT")
    };
    let wrong = commands.windows(2).find(wrong);
    holds(
        wrong.is_none(),
        "a command that waits for the replies to its group",
        || {
            wrong
                .map(|two| format!("{} before the reply to {}", two[1], two[0]))
                .unwrap_or_default()
        },
    )
}

async fn content_waits(c: &mut Context) -> Checked {
    let script = Script::new().on(Stage::Data, say("354 go on").after(2 * EARLY));
    let sent = c
        .mail(|draft| draft.body("too early\r\n").answered(script))
        .await?;
    let transaction = sent.attempt().await?;
    holds(!transaction.early_content, "no content before 354", || {
        "content came while DATA was not answered".into()
    })
}

async fn paced(c: &mut Context, script: Script) -> Checked {
    let sent = c
        .mail(|draft| draft.body("paced\r\n").answered(script))
        .await?;
    let transaction = sent.accepted("the message is sent").await?;
    same_content(&sent, &transaction)
}

async fn every_reply(c: &mut Context) -> Checked {
    let (tokens, mut draft) = c.draft();
    let to = c.addresses().1;
    draft.to = (0..3).map(|number| tokens.recipient(to, number)).collect();
    let refused = draft.to[1].clone();
    let script = Script::new()
        .held()
        .on(Stage::Rcpt(1), say("550 5.1.1 no such user"));
    let sent = c
        .send(&tokens, draft.body("each\r\n").answered(script))
        .await?;
    sent.accepted("the message is sent to the others").await?;
    let notice = sent.returned().await?;
    let notice = notice.content.clone().unwrap_or_default();
    let named = memchr::memmem::find(&notice, refused.as_bytes()).is_some();
    holds(named, &format!("a notification about {refused}"), || {
        crate::probe::dialogue::visible(&notice)
    })
}

async fn for_nobody(c: &mut Context) -> Checked {
    let script = Script::new()
        .on(Stage::AnyRcpt, say("550 5.1.1 no such user"))
        .on(Stage::Data, say("354 go on, for nobody"))
        .on(Stage::End, say("554 5.5.1 no recipients"));
    let sent = c
        .mail(|draft| draft.body("for nobody\r\n").answered(script))
        .await?;
    let transaction = sent.attempt().await?;
    let wire = &transaction.wire;
    let nothing = wire.is_empty() || wire == b".\r\n" || wire == b"\r\n.\r\n";
    holds(nothing, "a dot alone", || {
        format!("{} octets of content", wire.len())
    })
}

async fn refused_mail(c: &mut Context) -> Checked {
    let script = Script::new().on(Stage::Mail, say("451 4.3.0 later"));
    let sent = c
        .mail(|draft| draft.body("refused\r\n").answered(script))
        .await?;
    sent.attempt().await?;
    sent.again(1).await?;
    let transaction = sent
        .accepted("the message is sent at another attempt")
        .await?;
    let first = sent.attempt().await?;
    holds(
        first.end != End::Accepted && transaction.content.is_some(),
        "no content after a refused MAIL",
        || "content".into(),
    )
}
