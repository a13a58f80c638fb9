//! RFC 3463: enhanced status codes, what they look like and what they mean.

use super::rfc2034::ENHANCED;
use crate::probe::{
    case::Case,
    context::Context,
    outcome::{Checked, Stop},
    reply::Reply,
};

pub(super) const CASES: &[Case] = &[
    Case::must(
        "rfc3463/2/form",
        "A status code is a class of 2, 4 or 5, a subject and a detail of up to three digits without leading zeros, and nothing in between but dots.",
        |c| Box::pin(form(c)),
    )
    .needs(ENHANCED),
    Case::may(
        "rfc3463/3.2/valid-destination",
        "A recipient that is accepted gets the status code 2.1.5: the address is valid.",
        |c| Box::pin(valid_destination(c)),
    )
    .needs(ENHANCED),
    Case::may(
        "rfc3463/3.6/unknown-command",
        "A command that is not known gets a status code of subject 5, mail delivery protocol.",
        |c| Box::pin(protocol(c, "GAUNTLET")),
    )
    .needs(ENHANCED),
    Case::may(
        "rfc3463/3.6/bad-order",
        "A command out of order gets the status code 5.5.1.",
        |c| Box::pin(bad_order(c)),
    )
    .needs(ENHANCED),
    Case::may(
        "rfc3463/3.6/bad-arguments",
        "Arguments of the wrong form get a status code of subject 5, or of subject 1, addressing.",
        |c| Box::pin(bad_arguments(c)),
    )
    .needs(ENHANCED),
];

/// Whatever begins like a status code must be one: digits and dots up to the first space.
fn is_well_formed(text: &[u8]) -> bool {
    let word = text.split(|o| *o == b' ').next().unwrap_or_default();
    let begins_like_one = word.len() >= 2 && word[0].is_ascii_digit() && word[1] == b'.';
    if !begins_like_one {
        return true;
    }
    let Ok(word) = std::str::from_utf8(word) else {
        return false;
    };
    let parts: Vec<&str> = word.split('.').collect();
    let number = |part: &&str| {
        (1..=3).contains(&part.len())
            && part.bytes().all(|o| o.is_ascii_digit())
            && (*part == "0" || !part.starts_with('0'))
    };
    matches!(parts.as_slice(), ["2" | "4" | "5", _, _]) && parts[1..].iter().all(number)
}

async fn form(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    let commands = [
        format!("MAIL FROM:<{}>", c.from()),
        format!("RCPT TO:<{}>", c.to()),
        "RCPT TO:<>".to_owned(),
        "MAIL FROM:<again@example.com>".to_owned(),
        "GAUNTLET".to_owned(),
        "RSET".to_owned(),
        "DATA".to_owned(),
        "VRFY postmaster".to_owned(),
        "NOOP".to_owned(),
        "QUIT".to_owned(),
    ];
    for command in commands {
        let reply = s.ask(command).await?;
        if let Some(line) = reply.lines.iter().find(|line| !is_well_formed(line)) {
            return Err(Stop::failed(
                "status codes of the form that RFC 3463 has",
                format!("{} in {reply}", line.escape_ascii()),
            ));
        }
    }
    Ok(())
}

async fn valid_destination(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    s.prepare(format!("MAIL FROM:<{}>", c.from()), "250")
        .await?;
    let reply = s
        .prepare(format!("RCPT TO:<{}>", c.to()), "250|251")
        .await?;
    s.quit().await;
    code(&reply, "2.1.5", |code| code == (2, 1, 5))
}

async fn protocol(c: &mut Context, command: &str) -> Checked {
    let mut s = c.session().await?;
    let reply = s.ask(command).await?;
    s.quit().await;
    code(&reply, "5.5.x", |(class, subject, _)| {
        (class, subject) == (5, 5)
    })
}

async fn bad_order(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    let reply = s.ask(format!("RCPT TO:<{}>", c.to())).await?;
    s.quit().await;
    code(&reply, "5.5.1", |code| code == (5, 5, 1))
}

async fn bad_arguments(c: &mut Context) -> Checked {
    let mut s = c.session().await?;
    let reply = s.ask("MAIL FROM:<a b@example.com").await?;
    s.quit().await;
    code(&reply, "5.5.x or 5.1.x", |(class, subject, _)| {
        class == 5 && matches!(subject, 1 | 5)
    })
}

fn code(reply: &Reply, words: &str, good: impl Fn((u16, u16, u16)) -> bool) -> Checked {
    if reply.enhanced(0).is_some_and(good) {
        Ok(())
    } else {
        Err(reply.unexpected(&format!("the status code {words} in the reply")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for good in ["2.1.5 ok", "5.999.0 x", "hello", "2 ok", "", "250 ok"] {
            assert!(is_well_formed(good.as_bytes()), "{good}");
        }
        for bad in [
            "2.01.5 ok",
            "3.0.0 go",
            "2.1 ok",
            "2.1.5.6 x",
            "2.1.5: ok",
            "2.1.1234",
            "2..1",
        ] {
            assert!(!is_well_formed(bad.as_bytes()), "{bad}");
        }
    }
}
