//! How the next hop behaves: towards everybody from the greeting on ([`Manners`]), and for one message ([`Script`]).
//!
//! Comes in: what a case says. Called by [`hop`](super::hop), which does what stands here.

use std::{borrow::Cow, time::Duration};

/// What is said in place of the ordinary reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// The reply's lines without the last CRLF; nothing: no reply at all.
    pub text: Option<Cow<'static, str>>,
    /// It comes so much later.
    pub after: Duration,
    /// The connection ends with it.
    pub close: bool,
    /// Every octet goes in a packet of its own.
    pub dribbled: bool,
}

/// This reply.
pub fn say(text: impl Into<Cow<'static, str>>) -> Act {
    Act {
        text: Some(text.into()),
        after: Duration::ZERO,
        close: false,
        dribbled: false,
    }
}

/// The end of the connection.
pub fn close() -> Act {
    Act {
        text: None,
        after: Duration::ZERO,
        close: true,
        dribbled: false,
    }
}

impl Act {
    /// So much later.
    #[must_use]
    pub fn after(mut self, after: Duration) -> Self {
        self.after = after;
        self
    }

    /// And the end of the connection.
    #[must_use]
    pub fn then_close(mut self) -> Self {
        self.close = true;
        self
    }

    /// Octet by octet.
    #[must_use]
    pub fn dribbled(mut self) -> Self {
        self.dribbled = true;
        self
    }

    /// The code; 0 when there is none.
    pub fn code(&self) -> u16 {
        let digits = self.text.as_ref().and_then(|text| text.get(..3));
        digits.and_then(|code| code.parse().ok()).unwrap_or(0)
    }
}

/// A point in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The reply to MAIL.
    Mail,
    /// The reply to RCPT with the recipient of that number, from 0.
    Rcpt(usize),
    /// The reply to any RCPT.
    AnyRcpt,
    /// The reply to DATA, or to a BDAT that is not the last one.
    Data,
    /// After so many octets of content.
    Content(usize),
    /// The reply to the end of data.
    End,
    /// The reply to QUIT in a session whose last message it was.
    Quit,
}

/// How one attempt to send a message is answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    acts: Vec<(Stage, Act)>,
    /// No reply goes out before so much time, in which the client may say what it should not.
    pub pause: Duration,
    /// Replies are held back as long as commands are waiting, and go out together.
    pub held: bool,
    /// Every reply goes out octet by octet.
    pub dribbled: bool,
}

impl Script {
    /// As an ordinary server does.
    pub fn new() -> Self {
        Self::default()
    }

    /// But for this.
    #[must_use]
    pub fn on(mut self, stage: Stage, act: Act) -> Self {
        self.acts.push((stage, act));
        self
    }

    /// With so much time before each reply.
    #[must_use]
    pub fn paused(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// With replies that go out together.
    #[must_use]
    pub fn held(mut self) -> Self {
        self.held = true;
        self
    }

    /// With replies that go out octet by octet.
    #[must_use]
    pub fn dribbled(mut self) -> Self {
        self.dribbled = true;
        self
    }

    /// What it has for that.
    pub fn act(&self, stage: Stage) -> Option<&Act> {
        let matches =
            |at: Stage| at == stage || (at == Stage::AnyRcpt && matches!(stage, Stage::Rcpt(_)));
        self.acts
            .iter()
            .find(|(at, _)| matches(*at))
            .map(|(_, act)| act)
    }

    /// How many octets of content it takes before it acts, and the act.
    pub fn within_content(&self) -> Option<(usize, &Act)> {
        self.acts.iter().find_map(|(at, act)| match at {
            Stage::Content(octets) => Some((*octets, act)),
            _ => None,
        })
    }
}

/// What happens where the handshake should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// A handshake.
    Right,
    /// Octets that are no TLS, then the end of the connection.
    Garbage,
}

/// How a session goes, before anybody knows which message it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manners {
    /// The greeting, in place of `220`.
    pub greeting: Act,
    /// The reply to EHLO, in place of the offers.
    pub ehlo: Option<Act>,
    /// The reply to HELO, in place of `250`.
    pub helo: Option<Act>,
    /// Keywords with their parameters, as the reply to EHLO has them.
    pub offers: Vec<Cow<'static, str>>,
    /// Those of the reply to EHLO under TLS.
    pub offers_under_tls: Vec<Cow<'static, str>>,
    /// The reply to EHLO under TLS comes so much later.
    pub hello_under_tls_after: Duration,
    /// The reply to STARTTLS. What stands behind its first line is sent in the same packet, in plain text.
    pub starttls: Act,
    /// What follows it.
    pub handshake: Handshake,
    /// No reply goes out before so much time.
    pub pause: Duration,
    /// How many sessions behave so; later ones are ordinary ones.
    pub sessions: usize,
}

/// What an ordinary next hop offers. CHUNKING and STARTTLS are not among it: a client that uses them has no DATA, or no octets
/// that can be read.
const ORDINARY: [&str; 6] = [
    "PIPELINING",
    "SIZE 20000000",
    "8BITMIME",
    "ENHANCEDSTATUSCODES",
    "DSN",
    "SMTPUTF8",
];

impl Default for Manners {
    fn default() -> Self {
        Self::offering(&ORDINARY)
    }
}

impl Manners {
    /// An ordinary session with these extensions.
    pub fn offering(keywords: &[&'static str]) -> Self {
        Self {
            greeting: say("220 hop.gauntlet.invalid ESMTP"),
            ehlo: None,
            helo: None,
            offers: keywords.iter().map(|word| Cow::Borrowed(*word)).collect(),
            offers_under_tls: Vec::new(),
            hello_under_tls_after: Duration::ZERO,
            starttls: say("220 2.0.0 go ahead"),
            handshake: Handshake::Right,
            pause: Duration::ZERO,
            sessions: usize::MAX,
        }
    }

    /// An ordinary session without any extension.
    pub fn plain() -> Self {
        Self::offering(&[])
    }

    /// With this greeting.
    #[must_use]
    pub fn greeting(mut self, act: Act) -> Self {
        self.greeting = act;
        self
    }

    /// With this reply to EHLO.
    #[must_use]
    pub fn ehlo(mut self, act: Act) -> Self {
        self.ehlo = Some(act);
        self
    }

    /// With this reply to HELO.
    #[must_use]
    pub fn helo(mut self, act: Act) -> Self {
        self.helo = Some(act);
        self
    }

    /// For so many sessions.
    #[must_use]
    pub fn for_sessions(mut self, sessions: usize) -> Self {
        self.sessions = sessions;
        self
    }

    /// With so much time before each reply.
    #[must_use]
    pub fn paused(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Whether the keyword is offered.
    pub fn offers(&self, keyword: &str, under_tls: bool) -> bool {
        self.offered(under_tls)
            .iter()
            .any(|offer| first_word(offer).eq_ignore_ascii_case(keyword))
    }

    /// What is offered.
    pub fn offered(&self, under_tls: bool) -> &[Cow<'static, str>] {
        if under_tls {
            &self.offers_under_tls
        } else {
            &self.offers
        }
    }

    /// The limit of SIZE in octets, when there is one (RFC 1870 §4).
    pub fn size(&self, under_tls: bool) -> Option<u64> {
        let size = |offer: &Cow<'static, str>| {
            let mut words = offer.split(' ');
            let size = words.next()?.eq_ignore_ascii_case("SIZE");
            words.next().filter(|_| size)?.parse().ok()
        };
        self.offered(under_tls)
            .iter()
            .find_map(size)
            .filter(|size| *size > 0)
    }
}

fn first_word(text: &str) -> &str {
    text.split(' ').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_has_what_it_was_told() {
        let script = Script::new()
            .on(Stage::Rcpt(1), say("550 no"))
            .on(Stage::Content(10), close());
        assert_eq!(script.act(Stage::Rcpt(0)), None);
        assert_eq!(script.act(Stage::Rcpt(1)).map(Act::code), Some(550));
        assert_eq!(script.within_content(), Some((10, &close())));
        let any = Script::new().on(Stage::AnyRcpt, say("450 no"));
        assert_eq!(any.act(Stage::Rcpt(7)).map(Act::code), Some(450));
        assert_eq!(any.act(Stage::Mail), None);
    }

    #[test]
    fn a_limit_is_read_as_a_client_reads_it() {
        assert_eq!(Manners::default().size(false), Some(20_000_000));
        for offer in ["SIZE", "SIZE 0", "XSIZE 5"] {
            assert_eq!(Manners::offering(&[offer]).size(false), None, "{offer}");
        }
        assert!(Manners::offering(&["size 5"]).offers("SIZE", false));
    }
}
