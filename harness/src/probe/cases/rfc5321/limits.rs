//! RFC 5321 §4.5.3.1: what every server must be able to take.

use super::super::steps::{body_arrives, understood};
use crate::probe::{
    case::{Case, Need},
    context::Context,
    outcome::{Checked, Stop},
};

pub(super) const CASES: &[Case] = &[
    Case::must(
        "rfc5321/4.5.3.1.1/local-part",
        "A local part may have 64 octets.",
        |c| Box::pin(local_part(c)),
    ),
    Case::must(
        "rfc5321/4.5.3.1.2/domain",
        "A domain name may have 255 octets: 253 in dotted form.",
        |c| Box::pin(domain(c)),
    ),
    Case::must(
        "rfc5321/4.5.3.1.3/path",
        "A path may have 256 octets, its punctuation counted.",
        |c| Box::pin(path(c)),
    ),
    Case::must(
        "rfc5321/4.5.3.1.4/command-line",
        "A command line may have 512 octets, its CRLF counted.",
        |c| Box::pin(command_line(c)),
    )
    .source("RFC 5321 §4.5.3.1.4, §4.3.2"),
    Case::must(
        "rfc5321/4.5.3.1.6/text-line",
        "A text line may have 1,000 octets, its CRLF counted, and arrives as it was sent.",
        |c| Box::pin(text_line(c, b"")),
    )
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/4.5.3.1.6/text-line-with-a-dot",
        "The dot that is added for transparency does not count for a text line's 1,000 octets.",
        |c| Box::pin(text_line(c, b".")),
    )
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/4.5.3.1.7/message-content",
        "A message may have 64K octets, and arrives whole.",
        |c| Box::pin(content(c)),
    )
    .needs(&[Need::Arrival]),
    Case::must(
        "rfc5321/4.5.3.1.8/hundred-recipients",
        "A transaction may have 100 recipients.",
        |c| Box::pin(hundred_recipients(c)),
    ),
    Case::should(
        "rfc5321/4.5.3.1.10/too-many-recipients",
        "A recipient above the server's limit is answered with 452.",
        |c| Box::pin(too_many_recipients(c)),
    ),
    Case::must(
        "rfc5321/4.5.3.1.10/accepted-recipients-stay",
        "When there are too many recipients, those that were accepted before get the message.",
        |c| Box::pin(accepted_recipients_stay(c)),
    )
    .source("RFC 5321 §4.5.3.1.8, §4.5.3.1.10"),
];

/// A domain of so many octets below `.gauntlet.invalid`, in labels of at most 63.
fn long_domain(octets: usize) -> String {
    let suffix = ".gauntlet.invalid";
    let own = octets - suffix.len();
    let label = |at: usize| match at % 61 {
        // A dot at the end would make an empty label.
        60 if at + 1 < own => '.',
        _ => 'd',
    };
    (0..own).map(label).collect::<String>() + suffix
}

async fn local_part(c: &mut Context) -> Checked {
    let path = format!("{}@{}", "l".repeat(64), c.to_parts().1);
    let mut s = c.session().await?;
    understood(&s.ask(format!("MAIL FROM:<{path}>")).await?)?;
    s.prepare("RSET", "250").await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    understood(&s.ask(format!("RCPT TO:<{path}>")).await?)
}

async fn domain(c: &mut Context) -> Checked {
    let mut s = c.greeted().await?;
    let reply = s.ask(format!("EHLO {}", long_domain(253))).await?;
    reply.refuse(
        "500|501|502|503|504",
        "no complaint about a domain of 253 octets",
    )
}

async fn path(c: &mut Context) -> Checked {
    // Brackets and @ are punctuation of the path.
    let path = format!("{}@{}", "l".repeat(20), long_domain(256 - 2 - 1 - 20));
    let mut s = c.session().await?;
    understood(&s.ask(format!("MAIL FROM:<{path}>")).await?)?;
    s.prepare("RSET", "250").await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    understood(&s.ask(format!("RCPT TO:<{path}>")).await?)
}

async fn command_line(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    if s.ask("NOOP x").await?.code != 250 {
        return Err(Stop::skipped(
            "the server takes no argument of NOOP, by which a line could be made long",
        ));
    }
    let line = format!("NOOP {}", "x".repeat(512 - 2 - 5));
    s.ask(line).await?.expect("250")
}

async fn text_line(c: &mut Context, first: &[u8]) -> Checked {
    let line = [first, &vec![b'x'; 998 - first.len()][..], b"\r\n"].concat();
    let body = [&line[..], b"a short one\r\n", &line[..]].concat();
    body_arrives(c, &body).await
}

async fn content(c: &mut Context) -> Checked {
    let line = [&[b'c'; 70][..], b"\r\n"].concat();
    body_arrives(c, &line.repeat(64 * 1024 / line.len() + 1)).await
}

async fn hundred_recipients(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    for number in 1..=100 {
        s.ask(format!("RCPT TO:<{}>", c.recipient(number - 1)))
            .await?
            .expect("250|251")
            .map_err(|stop| stop.with(&format!("recipient {number} of 100")))?;
    }
    Ok(())
}

/// More than any server is known to take by default.
const MANY: usize = 1100;

async fn too_many_recipients(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    for number in 0..MANY {
        let reply = s.ask(format!("RCPT TO:<{}>", c.recipient(number))).await?;
        if !reply.is("250|251") {
            return reply
                .expect("452")
                .map_err(|stop| stop.with(&format!("recipient {}", number + 1)));
        }
    }
    Err(Stop::skipped(format!("the server takes {MANY} recipients")))
}

async fn accepted_recipients_stay(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    for number in 0..MANY {
        let reply = s.ask(format!("RCPT TO:<{}>", c.recipient(number))).await?;
        if !reply.is("250|251") {
            reply.expect("4yz|5yz")?;
            return s.ask("DATA").await?.expect("354");
        }
    }
    Err(Stop::skipped(format!("the server takes {MANY} recipients")))
}

#[cfg(test)]
mod tests {
    use super::long_domain;

    #[test]
    fn long_domains_are_well_formed() {
        for octets in [60, 100, 200, 233, 253] {
            let domain = long_domain(octets);
            assert_eq!(domain.len(), octets, "{domain}");
            assert!(
                domain
                    .split('.')
                    .all(|label| (1..=63).contains(&label.len())),
                "{domain}"
            );
        }
    }
}
