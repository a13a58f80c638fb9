//! What each command does (RFC 5321 §4.1.1, §4.1.4).

use super::super::command::{self, Command, Context, PeerCommand};
use super::super::data::Decoder;
use super::super::parameter::{Body, MailFrom, RcptTo};
use super::super::reply::Reply;
use super::input::Line;
use super::transfer::{Chunk, Mail};
use super::{Event, Hello, Owed, Peer, Phase, Session, Step, too_big};
use crate::sabotage::{self, Sabotage};

impl Session {
    pub(super) fn read_command(&mut self) -> Step {
        let line = match self.input.line(self.config.max_line) {
            None => return Step::Starved,
            Some(Line::Good(line)) => line,
            Some(Line::TooLong) => {
                self.refuse(Reply::new(500, (5, 5, 2), "the command line is too long"));
                return Step::Again;
            }
            // RFC 5321 §2.3.8, §4.1.1: a command ends with CRLF.
            Some(Line::BareLineFeed) => {
                self.refuse(Reply::new(500, (5, 5, 2), "a command line ends with CR LF"));
                return Step::Again;
            }
        };
        let smtputf8 = self.mail.as_ref().is_some_and(|mail| mail.from.smtputf8);
        match Command::parse(
            &line,
            Context {
                esmtp: self.esmtp(),
                smtputf8,
            },
        ) {
            Ok(command) => self.execute(command),
            Err(reply) => {
                self.bad_line(&command::verb(&line), reply);
                Step::Again
            }
        }
    }

    fn bad_line(&mut self, verb: &str, reply: Reply) {
        let peers_only = matches!(
            verb,
            "XSHADOW" | "XDELIVER" | "XHANDOVER" | "XQDISCARD" | "XRESUBMIT"
        );
        self.kind_refused |=
            matches!(verb, "XSHADOW" | "XDELIVER" | "XHANDOVER") && self.mail.is_none();
        if peers_only && !self.peer.may(verb) {
            self.refuse(for_peers_only(verb));
        } else {
            self.refuse(reply);
        }
    }

    fn execute(&mut self, command: Command) -> Step {
        match command {
            Command::Ehlo(name) => self.hello(name, true),
            Command::Helo(name) => self.hello(name, false),
            Command::Mail(from) => self.mail(from),
            Command::Rcpt(to) => return self.rcpt(to),
            Command::Data => self.data(),
            Command::Bdat { size, last } => self.bdat(size, last),
            // RFC 5321 §4.1.1.5
            Command::Rset => {
                self.reset();
                self.say(&Reply::ok("reset"));
            }
            Command::Noop => self.say(&Reply::ok("ok")),
            // RFC 5321 §3.5.3: 252 tells nothing.
            Command::Vrfy(_) => self.say(&Reply::new(
                252,
                (2, 5, 2),
                "not verified; send mail to find out",
            )),
            Command::Expn(_) => self.refuse(not_implemented("EXPN")),
            Command::Help => self.say(&Reply::new(
                214,
                (2, 0, 0),
                "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT; RFC 5321",
            )),
            // RFC 5321 §4.1.1.10
            Command::Quit => {
                self.say(&Reply::new(221, (2, 0, 0), "closing"));
                self.end();
            }
            // RFC 3207, RFC 4954: not offered.
            Command::StartTls => self.refuse(not_implemented("STARTTLS")),
            Command::Auth => self.refuse(not_implemented("AUTH")),
            Command::Peer(command) => return self.peer_command(command),
            Command::Unknown(_) => self.refuse(Reply::new(500, (5, 5, 2), "not a command here")),
        }
        Step::Again
    }

    /// RFC 5321 §4.1.1.1, §4.1.4: both end a transaction as RSET does.
    fn hello(&mut self, name: String, esmtp: bool) {
        self.reset();
        let host = &self.config.hostname;
        let reply = if esmtp {
            let mut text: Vec<String> = vec![
                format!("{host} greets {name}"),
                "PIPELINING".into(),
                format!("SIZE {}", self.config.max_message_size),
                "8BITMIME".into(),
                "SMTPUTF8".into(),
                "ENHANCEDSTATUSCODES".into(),
                "CHUNKING".into(),
                "BINARYMIME".into(),
                "DSN".into(),
                // RFC 5321 §4.1.1.1: commands that are not among the required ones are named.
                "HELP".into(),
            ];
            if !self.config.peer_nonce.is_empty() {
                text.push(format!("XPEER {}", self.config.peer_nonce));
            }
            if self.config.xshadow {
                text.push("XSHADOW".into());
            }
            Reply::lines(250, None, text)
        } else {
            Reply::plain(250, host.as_str())
        };
        self.hello = Some(Hello { name, esmtp });
        self.say(&reply);
    }

    /// RFC 5321 §4.1.1.2
    fn mail(&mut self, from: MailFrom) {
        if self.hello.is_none() {
            return self.refuse(Reply::bad_sequence("EHLO or HELO comes first"));
        }
        if self.mail.is_some() {
            return self.refuse(Reply::bad_sequence("a transaction is open"));
        }
        if self.kind_refused {
            return self.refuse(Reply::bad_sequence(
                "XSHADOW, XDELIVER or XHANDOVER was refused, RSET first",
            ));
        }
        if self
            .config
            .max_messages
            .is_some_and(|most| self.messages >= most)
        {
            return self.say(&Reply::new(
                421,
                (4, 7, 0),
                "too many messages in one session, closing",
            ));
        }
        let hub = self.config.xshadow && matches!(self.peer, Peer::Server(_));
        if from.xshadow.is_some() && !hub {
            return self.refuse(Reply::new(555, (5, 5, 4), "XSHADOW is for hubs only"));
        }
        // RFC 1870 §6.1
        if from.size.is_some_and(|size| self.too_big(size)) {
            return self.say(&too_big());
        }
        self.mail = Some(Mail::new(from));
        self.say(&Reply::new(250, (2, 1, 0), "sender ok"));
    }

    /// RFC 5321 §4.1.1.3
    fn rcpt(&mut self, to: RcptTo) -> Step {
        // A copy has all the recipients that its primary server took.
        let most = match self.peer {
            Peer::Server(_) => usize::MAX,
            Peer::Outside | Peer::Operator => self.config.max_recipients,
        };
        match &mut self.mail {
            None => self.refuse(Reply::bad_sequence("MAIL comes first")),
            Some(mail) if mail.chunked => self.refuse(Reply::bad_sequence("BDAT has begun")),
            // RFC 5321 §4.5.3.1.10
            Some(mail) if mail.recipients.len() >= most => {
                mail.asked = true;
                self.say(&Reply::new(452, (4, 5, 3), "too many recipients"));
            }
            Some(mail) => {
                mail.asked = true;
                self.owed = Some(Owed::Rcpt(to.clone()));
                return Step::Ask(Event::Rcpt(to));
            }
        }
        Step::Again
    }

    /// RFC 5321 §4.1.1.4
    fn data(&mut self) {
        let Some(mail) = &self.mail else {
            return self.refuse(Reply::bad_sequence("MAIL comes first"));
        };
        // RFC 3030 §2: DATA and BDAT do not mix; the transaction is lost.
        if mail.chunked {
            self.reset();
            return self.refuse(Reply::bad_sequence(
                "BDAT has begun, the transaction is reset",
            ));
        }
        // RFC 3030 §3
        if mail.from.body == Body::BinaryMime {
            return self.refuse(Reply::bad_sequence("BINARYMIME needs BDAT"));
        }
        if let Some(reply) = mail.no_recipient() {
            return self.say(&reply);
        }
        let bare_lf_ends = sabotage::active(self.config.sabotage, Sabotage::BareLfEndsData);
        self.phase = Phase::Data(Decoder::new(bare_lf_ends));
        self.say(&Reply::plain(354, "end data with <CRLF>.<CRLF>"));
    }

    /// RFC 3030 §2: the chunk is read in any case, the reply comes after it.
    fn bdat(&mut self, size: u64, last: bool) {
        let refusal = match &self.mail {
            _ if !self.esmtp() => Some(Reply::bad_sequence("BDAT needs EHLO")),
            None => Some(Reply::bad_sequence("MAIL comes first")),
            Some(mail) => mail.no_recipient(),
        };
        if let Some(mail) = self.mail.as_mut().filter(|_| refusal.is_none()) {
            mail.chunked = true;
        }
        self.phase = Phase::Chunk(Chunk {
            size,
            left: size,
            last,
            refusal,
        });
    }

    fn peer_command(&mut self, command: PeerCommand) -> Step {
        let verb = command.verb();
        let xpeer = verb == "XPEER";
        let refusal = if !self.peer.may(verb) {
            Some(for_peers_only(verb))
        } else if xpeer && self.config.peer_nonce.is_empty() {
            Some(not_implemented(verb))
        } else if !self.esmtp() {
            Some(Reply::bad_sequence("EHLO comes first"))
        } else if self.mail.is_some() {
            Some(Reply::bad_sequence("not within a transaction"))
        } else if xpeer && self.peer != Peer::Outside {
            Some(Reply::bad_sequence("XPEER succeeded already"))
        } else {
            None
        };
        match refusal {
            Some(reply) => {
                self.bad_line(verb, reply);
                Step::Again
            }
            None => {
                self.owed = Some(Owed::Peer(command.clone()));
                Step::Ask(Event::Peer(command))
            }
        }
    }
}

fn not_implemented(verb: &str) -> Reply {
    Reply::new(502, (5, 5, 1), format!("{verb} is not implemented here"))
}

fn for_peers_only(verb: &str) -> Reply {
    Reply::not_allowed(format!("{verb} is for peers of this organization only"))
}
