//! The next hop's commands.

use super::{
    super::{
        hub::Owner,
        manners::{Act, Handshake, Script, Stage, say},
        seen::{Command, End, Event, Recipient, value},
    },
    Gone, Hop, Open,
};
use tokio::time::{Instant, timeout};

/// A handshake takes no longer.
const HANDSHAKE: std::time::Duration = std::time::Duration::from_secs(20);

impl Hop {
    /// Answers a command.
    pub(super) async fn obey(&mut self, command: &Command) -> Result<(), Gone> {
        match command.verb().as_str() {
            "EHLO" => self.ehlo().await,
            "HELO" => self.helo().await,
            "MAIL" => self.mail(command).await,
            "RCPT" => self.rcpt(command).await,
            "DATA" => self.data().await,
            "BDAT" if self.offers("CHUNKING") => self.bdat(command).await,
            "STARTTLS" if self.offers("STARTTLS") && !self.tls => self.starttls().await,
            "RSET" => {
                self.finish(End::Abandoned);
                self.reply(&say("250 2.0.0 ok")).await
            }
            "NOOP" => self.reply(&say("250 2.0.0 ok")).await,
            "VRFY" => self.reply(&say("252 2.1.5 perhaps")).await,
            "QUIT" => self.quit().await,
            _ => self.reply(&say("500 5.5.1 what?")).await,
        }
    }

    pub(super) fn offers(&self, keyword: &str) -> bool {
        self.log.manners.offers(keyword, self.tls)
    }

    async fn ehlo(&mut self) -> Result<(), Gone> {
        self.finish(End::Abandoned);
        let manners = self.log.manners.clone();
        if let Some(act) = &manners.ehlo {
            self.greeted(act.code());
            return self.act(act).await;
        }
        self.hello = true;
        if self.tls {
            // Who does not wait for this reply goes by one that came without TLS.
            self.wait(manners.hello_under_tls_after).await?;
        }
        let mut lines = vec!["hop.gauntlet.invalid".to_owned()];
        lines.extend(
            manners
                .offered(self.tls)
                .iter()
                .map(|offer| offer.to_string()),
        );
        let last = lines.len() - 1;
        let text: Vec<String> = lines
            .into_iter()
            .enumerate()
            .map(|(at, line)| format!("250{}{line}", if at == last { ' ' } else { '-' }))
            .collect();
        self.reply(&say(text.join("\r\n"))).await
    }

    async fn helo(&mut self) -> Result<(), Gone> {
        self.finish(End::Abandoned);
        let act = self.log.manners.helo.clone();
        let act = act.unwrap_or_else(|| say("250 hop.gauntlet.invalid"));
        self.greeted(act.code());
        self.act(&act).await
    }

    fn greeted(&mut self, code: u16) {
        self.hello |= code / 100 == 2;
        self.turned_down |= code / 100 != 2;
    }

    async fn mail(&mut self, command: &Command) -> Result<(), Gone> {
        // Who was refused a hello has no session; who said none is let in, and seen.
        if self.turned_down && !self.hello || self.open.is_some() {
            return self.reply(&say("503 5.5.1 not now")).await;
        }
        let argument = command.argument();
        let mail = self.hub.by_reverse_path(&argument);
        let script = mail.as_ref().map(|mail| mail.begin()).unwrap_or_default();
        self.open = Some(Open {
            owner: mail.map_or(Owner::Nobody, Owner::Mail),
            script,
            first_event: self.log.len() - 1,
            mail: argument.clone(),
            recipients: Vec::new(),
            taken: 0,
            wire: Vec::new(),
            content: None,
            early_content: false,
            chunks: Vec::new(),
            began: Instant::now(),
        });
        let refusal = self.bad_mail(&argument);
        match self.scripted(Stage::Mail).or(refusal) {
            Some(act) => self.answer(Stage::Mail, act).await,
            None => self.reply(&say("250 2.1.0 ok")).await,
        }
    }

    /// What a right server has against it. Parameters that were not offered are the cases' matter, not the next hop's.
    fn bad_mail(&self, argument: &str) -> Option<Act> {
        let parameters = super::super::seen::parameters(argument);
        let size: Option<u64> = value(&parameters, "SIZE").and_then(|size| size.parse().ok());
        let limit = self.log.manners.size(self.tls);
        match (size, limit) {
            (Some(size), Some(limit)) if size > limit => Some(say("552 5.3.4 too big")),
            _ => None,
        }
    }

    async fn rcpt(&mut self, command: &Command) -> Result<(), Gone> {
        let argument = command.argument();
        let owner = self.hub.by_forward_path(&argument);
        let Some(open) = self.open.as_mut() else {
            return self.reply(&say("503 5.5.1 not now")).await;
        };
        // A null reverse-path tells nothing: its recipients do.
        if matches!(open.owner, Owner::Nobody) {
            if let Owner::Mail(mail) = &owner {
                open.script = mail.begin();
            }
            open.owner = owner;
        }
        let place = match &open.owner {
            Owner::Mail(mail) => place(&argument, &mail.token),
            _ => None,
        };
        let act = place.and_then(|place| open.script.act(Stage::Rcpt(place)).cloned());
        let act = act.unwrap_or_else(|| say("250 2.1.5 ok"));
        let code = act.code();
        open.taken += usize::from(code / 100 == 2);
        open.recipients.push(Recipient { argument, code });
        match code {
            0 | 421 => self.answer(Stage::AnyRcpt, act).await,
            _ => self.act(&act).await,
        }
    }

    /// A reply of the script; one that ends the transaction ends it.
    pub(super) async fn answer(&mut self, stage: Stage, act: Act) -> Result<(), Gone> {
        let code = act.code();
        if code == 421 {
            self.wait(act.after).await?;
            self.reply(&act).await?;
            self.finish(End::Refused(stage, code));
            if act.close {
                return Err(Gone::Hop);
            }
            return self.linger().await;
        }
        self.act(&act).await?;
        if code / 100 > 3 {
            self.finish(End::Refused(stage, code));
        }
        Ok(())
    }

    async fn starttls(&mut self) -> Result<(), Gone> {
        let manners = self.log.manners.clone();
        let go_on = manners.starttls.code() / 100 == 2;
        self.act(&manners.starttls).await?;
        if !go_on {
            return Ok(());
        }
        // What came along in plain text is no part of the handshake, and nobody's command.
        if !self.input.is_empty() {
            let note = format!("{} octets before the handshake", self.input.len());
            self.log.record.event(self.number, &note);
            if self.input.first() != Some(&0x16) {
                self.input.clear();
            }
        }
        if manners.handshake == Handshake::Garbage {
            self.output.extend_from_slice(b"this is no TLS\r\n");
            self.flush().await?;
            let _ = self.wait(std::time::Duration::from_millis(200)).await;
            self.log
                .add(Event::NotSecured("the probe sent no TLS".into()));
            return Err(Gone::Hop);
        }
        let begun = std::mem::take(&mut self.input);
        let Some(io) = self.io.take() else {
            return Err(Gone::Hop);
        };
        let io = super::content::Begun { begun, inner: io };
        match timeout(HANDSHAKE, self.hub.tls.accept(io)).await {
            Ok(Ok(stream)) => {
                self.io = Some(Box::new(stream));
                self.log.record.event(self.number, "TLS from here on");
                self.log.add(Event::Secured);
                (self.tls, self.hello, self.last) = (true, false, Script::new());
                Ok(())
            }
            failed => {
                let why = match failed {
                    Ok(Err(error)) => error.to_string(),
                    _ => "the handshake took too long".to_owned(),
                };
                self.log.record.event(self.number, &why);
                self.log.add(Event::NotSecured(why));
                Err(Gone::Client(None))
            }
        }
    }
}

/// `bob+TOKEN.1@…`: 1.
fn place(argument: &str, token: &str) -> Option<usize> {
    let argument = argument.to_ascii_lowercase();
    let behind = &argument[argument.find(token)? + token.len()..];
    let digits: String = behind
        .strip_prefix('.')?
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().ok()
}
