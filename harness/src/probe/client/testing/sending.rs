//! The test's server: its sending side. A message is tried until every recipient is served or refused.

use std::{borrow::Cow, sync::Arc, time::Duration};

use super::{
    Flaw, Mail, RETRY, Shared,
    session::{Lost, Session},
};
use crate::workload::dialogue::stuff;

/// What became of a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Served,
    Later,
    /// And whether the sender is told, and whether it is tried again.
    Refused {
        told: bool,
        again: bool,
    },
}

const REFUSED: Fate = Fate::Refused {
    told: true,
    again: false,
};

/// Sends it, and what it leads to.
pub(super) async fn send(shared: Arc<Shared>, mut mail: Mail) {
    if !mail.own {
        prepare(&shared, &mut mail);
    }
    // No retries without end in a test.
    for _ in 0..60 {
        let mut fates = Vec::new();
        let groups: Vec<Mail> = match shared.has(Flaw::OneByOne) {
            true => mail
                .to
                .iter()
                .map(|to| Mail {
                    to: vec![to.clone()],
                    ..mail.clone()
                })
                .collect(),
            false => vec![mail.clone()],
        };
        for group in &groups {
            fates.extend(attempt(&shared, group).await);
        }
        let told: Vec<String> = mail
            .to
            .iter()
            .zip(&fates)
            .filter(|(_, fate)| matches!(fate, Fate::Refused { told: true, .. }))
            .map(|((path, _), _)| path.clone())
            .collect();
        if !told.is_empty() && !mail.own {
            Box::pin(notify(shared.clone(), &mail, &told)).await;
        }
        let later = |fate: &Fate| matches!(fate, Fate::Later | Fate::Refused { again: true, .. });
        if !fates.iter().any(later) {
            return;
        }
        if !shared.has(Flaw::RetriesForAll) {
            let mut left = fates.iter().map(later);
            mail.to.retain(|_| left.next().unwrap_or(false));
        }
        if shared.has(Flaw::ResumesContent) && mail.content.len() > 50_000 {
            mail.content.drain(..30_000);
        }
        if !shared.has(Flaw::RetriesAtOnce) {
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// What a relay does to a message; and what it should not.
fn prepare(shared: &Shared, mail: &mut Mail) {
    let mut content = String::from_utf8(mail.content.clone()).map_err(|e| e.into_bytes());
    for flaw in &shared.flaws {
        match (flaw, &mut content) {
            (Flaw::Content(from, to), Ok(text)) => *text = text.replace(from, to),
            (Flaw::WrapsLines(most), Ok(text)) => *text = wrapped(text, *most),
            (Flaw::CutsContent(most), Ok(text)) if text.len() > *most => {
                text.truncate(*most);
                text.push_str("\r\n");
            }
            (Flaw::LosesRecipientsAfter(most), _) => mail.to.truncate(*most),
            (Flaw::NullBecomesPostmaster, _) if mail.from.is_empty() => {
                mail.from = "postmaster@test.example".into();
            }
            (Flaw::Path(from, to), _) => {
                mail.from = mail.from.replace(from, to);
                for (path, _) in &mut mail.to {
                    *path = path.replace(from, to);
                }
            }
            (Flaw::LowersLocalParts, _) => {
                for (path, _) in &mut mail.to {
                    *path = path.to_lowercase();
                }
            }
            (Flaw::ManglesUtf8, _) => {
                for (path, _) in &mut mail.to {
                    *path = path.replace(|c: char| !c.is_ascii(), "?");
                }
            }
            _ => {}
        }
    }
    let content = content.map_or_else(|octets| octets, String::into_bytes);
    let mut trace = String::from(
        "Received: from x.example\r\n\tby test.example; Mon, 01 Jan 2024 00:00:03 +0000\r\n",
    );
    if shared.has(Flaw::BareLfInTrace) {
        trace = trace.replacen("\r\n", "\n", 1);
    }
    if shared.has(Flaw::NoTrace) {
        trace.clear();
    }
    for flaw in &shared.flaws {
        if let Flaw::AddsField(field) = flaw {
            trace.push_str(field);
        }
    }
    mail.content = [trace.into_bytes(), content].concat();
}

fn wrapped(text: &str, most: usize) -> String {
    let mut out = String::new();
    for line in text.split_inclusive("\r\n") {
        let mut rest = line;
        while rest.len() > most + 2 && rest.is_char_boundary(most) {
            out.push_str(&rest[..most]);
            out.push_str("\r\n");
            rest = &rest[most..];
        }
        out.push_str(rest);
    }
    out
}

/// Tells the sender.
async fn notify(shared: Arc<Shared>, mail: &Mail, told: &[String]) {
    let mut to = mail.from.clone();
    if to.is_empty() {
        if !shared.has(Flaw::NotifiesNobody) {
            return;
        }
        let header = String::from_utf8_lossy(&mail.content).into_owned();
        to = header
            .split("From: <")
            .nth(1)
            .and_then(|rest| rest.split('>').next())
            .unwrap_or_default()
            .to_owned();
    }
    let all: Vec<String> = mail.to.iter().map(|(path, _)| path.clone()).collect();
    let named = if shared.has(Flaw::NamesAllRecipients) {
        &all
    } else {
        told
    };
    let named: Vec<String> = named
        .iter()
        .map(|path| path.replace(|c: char| !c.is_ascii(), "?"))
        .collect();
    let end = memchr::memmem::find(&mail.content, b"\r\n\r\n").map_or(0, |at| at + 2);
    let header =
        String::from_utf8_lossy(&mail.content[..end]).replace(|c: char| !c.is_ascii(), "?");
    let text = format!(
        "From: <postmaster@test.example>\r\nTo: <{to}>\r\nSubject: returned\r\n\r\nnot delivered to {}\r\n\r\n{header}",
        named.join(", ")
    );
    let from = match shared.has(Flaw::NotifiesAsPostmaster) {
        true => "postmaster@test.example",
        false => "",
    };
    let notice = Mail {
        from: from.to_owned(),
        parameters: Vec::new(),
        to: vec![(to, Vec::new())],
        content: text.into_bytes(),
        own: true,
    };
    send(shared, notice).await;
}

/// One attempt: what becomes of each recipient.
async fn attempt(shared: &Shared, mail: &Mail) -> Vec<Fate> {
    let all = |fate: Fate| vec![fate; mail.to.len()];
    match Box::pin(session(shared, mail)).await {
        Ok(fates) => fates,
        Err(Lost) if shared.has(Flaw::LostIsPermanent) => all(REFUSED),
        Err(Lost) => all(Fate::Later),
    }
}

/// What a code that is no success means.
fn fate(shared: &Shared, verb: &'static str, code: u16) -> Fate {
    if code == 421 && shared.has(Flaw::ClosingIsPermanent) {
        return REFUSED;
    }
    let (transient, permanent) = (code / 100 == 4, code / 100 == 5);
    if permanent && code == 552 && verb == "RCPT" && !shared.has(Flaw::TooManyIsPermanent) {
        return Fate::Later;
    }
    if transient && shared.has(Flaw::TransientIsPermanent(verb)) {
        return REFUSED;
    }
    if permanent && shared.has(Flaw::PermanentIsTransient(verb)) {
        return Fate::Later;
    }
    match permanent {
        true => Fate::Refused {
            told: !shared.has(Flaw::DropsRefused(verb)),
            again: shared.has(Flaw::ReturnsAndRetries(verb)),
        },
        false => Fate::Later,
    }
}

const KEYWORDS: [&str; 9] = [
    "PIPELINING",
    "SIZE",
    "8BITMIME",
    "ENHANCEDSTATUSCODES",
    "DSN",
    "SMTPUTF8",
    "CHUNKING",
    "BINARYMIME",
    "STARTTLS",
];

/// EHLO, or HELO: the code, and the offers.
async fn hello(s: &mut Session<'_>) -> Result<u16, Lost> {
    let name = s.shared.flaws.iter().find_map(|flaw| match flaw {
        Flaw::Name(name) => Some(*name),
        _ => None,
    });
    let name = name.unwrap_or("test.example");
    if s.has(Flaw::HeloFirst) {
        s.ask(&format!("HELO {name}")).await?;
    }
    let (code, text) = match s.has(Flaw::SpeaksFirst) && s.offers.is_empty() {
        // It was said already.
        true => s.reply().await?,
        false => s.ask(&format!("EHLO {name}")).await?,
    };
    if code / 100 == 2 {
        s.offers = text
            .lines()
            .skip(1)
            .filter_map(|line| line.get(4..))
            .map(str::to_owned)
            .collect();
        let first = |offer: &String| {
            offer
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_ascii_uppercase()
        };
        let strange = s
            .offers
            .iter()
            .any(|offer| !KEYWORDS.contains(&first(offer).as_str()));
        let more = s
            .offers
            .iter()
            .any(|offer| offer.contains(' ') && first(offer) != "SIZE" && !strange);
        if (strange && s.has(Flaw::KnownKeywordsOnly) && s.offers.len() < 50)
            || (more && s.has(Flaw::BareKeywordsOnly))
            || (s.offers.len() > 50 && s.has(Flaw::FewKeywords))
        {
            return Err(Lost);
        }
        return Ok(code);
    }
    if code == 421 || s.has(Flaw::NoHelo) {
        return Ok(code);
    }
    s.offers.clear();
    if s.has(Flaw::SizeAfterHelo) {
        s.offers.push("SIZE".into());
    }
    Ok(s.ask(&format!("HELO {name}")).await?.0)
}

async fn session(shared: &Shared, mail: &Mail) -> Result<Vec<Fate>, Lost> {
    let all = |fate: Fate| Ok(vec![fate; mail.to.len()]);
    let mut s = Session::open(shared).await?;
    if shared.has(Flaw::SpeaksFirst) {
        s.say(b"EHLO test.example\r\n").await?;
    }
    match s.reply().await {
        Ok((220, _)) => {}
        Ok(_) | Err(Lost) if shared.has(Flaw::IgnoresGreeting) => {}
        Ok((code, _)) => {
            if shared.has(Flaw::GoesOnAfter421("greeting")) && code == 421 {
                let _ =
                    tokio::time::timeout(Duration::from_millis(200), s.ask("MAIL FROM:<>")).await;
            }
            quit(&mut s).await;
            return all(match code {
                421 if shared.has(Flaw::ClosingIsPermanent) => REFUSED,
                _ => Fate::Later,
            });
        }
        Err(Lost) => return Err(Lost),
    }
    if !shared.has(Flaw::NoHello) {
        let code = hello(&mut s).await?;
        if code / 100 != 2 && !shared.has(Flaw::IgnoresHello) {
            quit(&mut s).await;
            return all(match code {
                421 if shared.has(Flaw::ClosingIsPermanent) => REFUSED,
                _ => Fate::Later,
            });
        }
    }
    let fates = match secured(&mut s).await? {
        true => transaction(&mut s, mail).await?,
        false => vec![Fate::Served; mail.to.len()],
    };
    quit(&mut s).await;
    Ok(fates)
}

/// STARTTLS where it is offered. False when the message is given up with it.
async fn secured(s: &mut Session<'_>) -> Result<bool, Lost> {
    if !s.offers("STARTTLS") {
        return Ok(true);
    }
    if s.has(Flaw::NoopWithStarttls) {
        s.say(b"STARTTLS\r\nNOOP\r\n").await?;
    } else {
        s.say(b"STARTTLS\r\n").await?;
    }
    if s.reply().await?.0 != 220 {
        return Ok(!s.has(Flaw::DropsWithoutTls));
    }
    if s.handshake().await.is_err() {
        return match s.has(Flaw::DropsWithoutTls) {
            true => Ok(false),
            false => Err(Lost),
        };
    }
    let before = std::mem::take(&mut s.offers);
    if !s.has(Flaw::NoHelloUnderTls) {
        s.offers.push("under TLS".into());
        hello(s).await?;
    }
    if s.has(Flaw::KeepsOffers) {
        s.offers = before;
    }
    if s.has(Flaw::TlsTwice) && s.offers("STARTTLS") {
        s.ask("STARTTLS").await?;
    }
    Ok(true)
}

async fn quit(s: &mut Session<'_>) {
    if s.closing || s.has(Flaw::NoQuit) {
        return s.close().await;
    }
    if s.has(Flaw::ClosesWithQuit) {
        let _ = s.say(b"QUIT\r\n").await;
        return s.close().await;
    }
    let _ = s.ask("QUIT").await;
    if s.has(Flaw::NoopAfterQuit) {
        let _ = s.say(b"NOOP\r\n").await;
    }
    s.close().await;
}

/// The commands of MAIL and RCPT; nothing when the message cannot go there.
fn commands(s: &Session<'_>, mail: &Mail) -> Option<Vec<String>> {
    let has = |name: &str| {
        mail.parameters
            .iter()
            .find(|parameter| parameter.starts_with(name))
    };
    let end = memchr::memmem::find(&mail.content, b"\r\n\r\n").unwrap_or(mail.content.len());
    let (header, body) = mail.content.split_at(end);
    let utf8_path = !mail.from.is_ascii() || mail.to.iter().any(|(path, _)| !path.is_ascii());
    let binary = has("BODY=BINARYMIME").is_some();
    let mut parameters = Vec::new();
    if s.limit().is_some_and(|limit| mail.content.len() > limit) {
        return None;
    }
    if s.offers("SIZE") && !s.has(Flaw::NoLimit) {
        let size = s.shared.flaws.iter().find_map(|flaw| match flaw {
            Flaw::SizeValue(value) => Some((*value).to_owned()),
            _ => None,
        });
        parameters.push(format!(
            "SIZE={}",
            size.unwrap_or(mail.content.len().to_string())
        ));
    }
    if utf8_path && !s.offers("SMTPUTF8") && !s.has(Flaw::Utf8AddressAnywhere) {
        return None;
    }
    if !header.is_ascii() && !s.offers("SMTPUTF8") && !s.has(Flaw::Utf8HeaderAnywhere) {
        return None;
    }
    let eight = !body.is_ascii() && !binary;
    if eight && !s.offers("8BITMIME") && !s.has(Flaw::EightBitAnywhere) {
        return None;
    }
    if binary {
        if !(s.offers("CHUNKING") && (s.offers("BINARYMIME") || s.has(Flaw::Assumes("CHUNKING")))) {
            return None;
        }
        parameters.push("BODY=BINARYMIME".into());
    } else if s.offers("8BITMIME") && (eight || has("BODY=8BITMIME").is_some()) {
        parameters.push("BODY=8BITMIME".into());
    }
    if s.offers("SMTPUTF8") && has("SMTPUTF8").is_some() {
        parameters.push("SMTPUTF8".into());
    }
    if s.offers("DSN") {
        parameters.extend(has("RET=").cloned());
        parameters.extend(has("ENVID=").cloned());
    }
    let left = |parameters: Vec<String>| -> String {
        let left_out = |parameter: &&String| {
            s.shared
                .flaws
                .iter()
                .any(|flaw| matches!(flaw, Flaw::LeavesOut(name) if parameter.starts_with(name)))
        };
        parameters
            .iter()
            .filter(|one| !left_out(one))
            .map(|one| format!(" {one}"))
            .collect()
    };
    let mut commands = vec![format!("MAIL FROM:<{}>{}", mail.from, left(parameters))];
    for (path, parameters) in &mail.to {
        let parameters = if s.offers("DSN") {
            parameters.clone()
        } else {
            Vec::new()
        };
        commands.push(format!("RCPT TO:<{path}>{}", left(parameters)));
    }
    Some(commands)
}

async fn transaction(s: &mut Session<'_>, mail: &Mail) -> Result<Vec<Fate>, Lost> {
    let all = |fate: Fate| Ok(vec![fate; mail.to.len()]);
    let Some(mut lines) = commands(s, mail) else {
        return all(Fate::Refused {
            told: !s.has(Flaw::DropsWhatCannotBeSent),
            again: false,
        });
    };
    let chunked = lines[0].contains("BINARYMIME")
        || (mail.parameters.iter().any(|p| p == "BODY=BINARYMIME") && s.offers("CHUNKING"));
    if !chunked {
        lines.push("DATA".into());
    }
    if s.has(Flaw::RcptFirst) {
        let first = lines[1].clone();
        s.ask(&first).await?;
    }
    let mut replies = Vec::new();
    if s.offers("PIPELINING") || s.has(Flaw::PipelinesAlways) {
        let mut group: Vec<String> = lines.iter().map(|line| s.line(line)).collect();
        let noop = s.has(Flaw::NoopInGroup);
        if noop {
            group.insert(1, "NOOP\r\n".into());
        }
        if s.has(Flaw::ContentWithData) && !chunked {
            group.push(String::from_utf8_lossy(&stuff(&mail.content)).into_owned() + ".\r\n");
        }
        s.say(group.concat().as_bytes()).await?;
        for at in 0..lines.len() + usize::from(noop) {
            let reply = s.reply().await?.0;
            if !(noop && at == 1) {
                replies.push(reply);
            }
        }
    } else {
        for line in &lines {
            if s.has(Flaw::ContentWithData) && line == "DATA" {
                let content = String::from_utf8_lossy(&stuff(&mail.content)).into_owned();
                s.say(format!("DATA\r\n{content}.\r\n").as_bytes()).await?;
                replies.push(s.reply().await?.0);
                continue;
            }
            let (code, _) = s.ask(line).await?;
            replies.push(code);
            if code == 421 || (line.starts_with("MAIL") && code / 100 != 2) {
                break;
            }
            let refused = replies.len() == mail.to.len() + 1
                && !replies[1..].iter().any(|code| code / 100 == 2);
            if refused && !s.has(Flaw::ContentForNobody) {
                break;
            }
        }
    }
    if let Some(at) = replies.iter().position(|code| *code == 421) {
        let verb = ["MAIL", "RCPT", "DATA"][if at == 0 {
            0
        } else if at <= mail.to.len() {
            1
        } else {
            2
        }];
        if s.has(Flaw::GoesOnAfter421(verb)) {
            let _ = tokio::time::timeout(Duration::from_millis(200), s.ask("MAIL FROM:<>")).await;
        }
        return all(fate(s.shared, verb, 421));
    }
    if replies[0] / 100 != 2 && !(s.has(Flaw::IgnoresMailReply) && replies.len() > 1) {
        return all(fate(s.shared, "MAIL", replies[0]));
    }
    let mut fates: Vec<Option<Fate>> = replies[1..]
        .iter()
        .take(mail.to.len())
        .map(|code| (code / 100 != 2).then(|| fate(s.shared, "RCPT", *code)))
        .collect();
    if s.has(Flaw::LastReplyForAll) {
        let last = fates.last().copied().flatten();
        fates.fill(last);
    }
    if s.has(Flaw::OneRefusedAllRefused)
        && let Some(refused) = fates.iter().copied().flatten().next()
    {
        fates.fill(Some(refused));
    }
    let nobody = fates.iter().all(Option::is_some);
    let data = replies.get(mail.to.len() + 1).copied();
    if nobody && !(data == Some(354) && s.has(Flaw::ContentForNobody)) {
        if data == Some(354) {
            s.say(b".\r\n").await?;
            s.reply().await?;
        } else if s.has(Flaw::MailWithinTransaction) {
            s.ask("MAIL FROM:<>").await?;
        } else {
            s.ask("RSET").await?;
        }
        return Ok(fates.into_iter().flatten().collect());
    }
    let served = |end: Fate| Ok(fates.iter().map(|fate| fate.unwrap_or(end)).collect());
    if let Some(code) = data
        && code != 354
        && (!s.has(Flaw::IgnoresDataReply) || s.has(Flaw::ContentWithData))
    {
        return served(match code / 100 {
            2 | 3 => Fate::Later,
            _ => fate(s.shared, "DATA", code),
        });
    }
    let wire = content(s, mail, chunked);
    let sent = s.has(Flaw::ContentWithData) && !chunked;
    let written = match sent {
        true => Ok(()),
        false => s.say(&wire).await,
    };
    if chunked && s.has(Flaw::DataAfterChunks) {
        s.ask("DATA").await?;
    }
    let end = match written {
        Ok(()) => s.reply().await,
        Err(Lost) => return Err(Lost),
    };
    let code = match end {
        Ok((code, _)) => code,
        Err(Lost) if s.has(Flaw::LostIsTaken) => 250,
        Err(Lost) => return Err(Lost),
    };
    if code == 421 && s.has(Flaw::GoesOnAfter421("END")) {
        let _ = tokio::time::timeout(Duration::from_millis(200), s.ask("MAIL FROM:<>")).await;
    }
    served(match code / 100 {
        2 => Fate::Served,
        _ => fate(s.shared, "END", code),
    })
}

/// The content as it goes over the wire.
fn content<'a>(s: &Session<'_>, mail: &'a Mail, chunked: bool) -> Cow<'a, [u8]> {
    if chunked {
        let size = mail.content.len() - usize::from(s.has(Flaw::ShortChunkSize));
        let command = format!("BDAT {size} LAST\r\n");
        return [command.as_bytes(), &mail.content].concat().into();
    }
    let stuffed = match s.has(Flaw::NoStuffing) {
        true => mail.content.clone(),
        false => stuff(&mail.content),
    };
    [&stuffed, &b".\r\n"[..]].concat().into()
}
