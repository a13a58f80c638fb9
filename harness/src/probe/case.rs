//! What a case is: an ID, how binding its clause is, the clause in our words, and a small function over a raw connection.
//!
//! A case is added in its section's file: the function, and a line of the table there.
//!
//! ```ignore
//! pub(super) const CASES: &[Case] = &[
//!     Case::must("rfc5321/4.1.1.9/noop", "NOOP is answered with 250.", |c| Box::pin(noop(c))),
//! ];
//!
//! async fn noop(c: &mut Context) -> Checked {
//!     let mut s = c.session().await?;
//!     s.ask("NOOP").await?.expect("250")
//! }
//! ```

use std::{fmt, future::Future, pin::Pin};

use gauntlet_reports::probe::Level;

use super::{context::Context, outcome::Checked};

/// What a case's function gives.
pub type Running<'a> = Pin<Box<dyn Future<Output = Checked> + Send + 'a>>;

/// What a case needs beyond a server that greets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// A way to see what was delivered. Without one the case still finds what it can, and is inconclusive where it would ask.
    Arrival,
    /// Minutes: run with `--slow` only.
    Slow,
    /// The server offers this keyword in its reply to EHLO (RFC 5321 §4.1.1.1); else there is nothing to test.
    Extension(&'static str),
    /// No other case runs meanwhile: it takes all the connections there are, or most of the server's time; or, of a case about
    /// a client, the next hop behaves so from the greeting on.
    Alone,
    /// Of a case about a client: the next hop offers no extension.
    NoExtensions,
    /// Of a case about a client: it tries again within the time that it has for that.
    Retry,
    /// Of a case about a client: what it returns to the sender comes to the probe.
    Returned,
}

/// A case: about a server by default, about a client with [`client::Context`](super::client::context::Context).
pub struct Case<C: 'static = Context> {
    /// `rfc5321/4.5.2/dot-stuffing` or `security/bare-lf-end-of-data`: stable, never positional.
    pub id: &'static str,
    /// How binding the clause is.
    pub level: Level,
    /// Where the clause stands, when the ID does not say it.
    source: Option<&'static str>,
    /// The clause, in our words.
    pub clause: &'static str,
    /// What it needs.
    pub needs: &'static [Need],
    /// The case itself.
    pub run: Run<C>,
}

type Run<C> = for<'a> fn(&'a mut C) -> Running<'a>;

impl<C> Clone for Case<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Case<C> {}

impl<C: 'static> Case<C> {
    /// A clause with MUST, or one of the grammar.
    pub const fn must(id: &'static str, clause: &'static str, run: Run<C>) -> Self {
        Self::of(Level::Must, id, clause, run)
    }

    /// A clause with SHOULD.
    pub const fn should(id: &'static str, clause: &'static str, run: Run<C>) -> Self {
        Self::of(Level::Should, id, clause, run)
    }

    /// A clause with MAY: told, never counted.
    pub const fn may(id: &'static str, clause: &'static str, run: Run<C>) -> Self {
        Self::of(Level::May, id, clause, run)
    }

    /// A weakness that can be abused. `source` is where it is described: `RFC 5321 §4.1.1.4`.
    pub const fn security(
        id: &'static str,
        source: &'static str,
        clause: &'static str,
        run: Run<C>,
    ) -> Self {
        let mut case = Self::of(Level::Security, id, clause, run);
        case.source = Some(source);
        case
    }

    /// With these needs.
    #[must_use]
    pub const fn needs(mut self, needs: &'static [Need]) -> Self {
        self.needs = needs;
        self
    }

    /// Where the clause stands, when the ID's section is not the whole of it: `RFC 5321 §4.1.1.5, §4.1.4`.
    #[must_use]
    pub const fn source(mut self, source: &'static str) -> Self {
        self.source = Some(source);
        self
    }

    const fn of(level: Level, id: &'static str, clause: &'static str, run: Run<C>) -> Self {
        Self {
            id,
            level,
            source: None,
            clause,
            needs: &[],
            run,
        }
    }

    /// `RFC 5321 §4.5.2`.
    pub fn section(&self) -> String {
        if let Some(source) = self.source {
            return source.to_owned();
        }
        let id = self.id.strip_prefix("client/").unwrap_or(self.id);
        let mut parts = id.split('/');
        let standard = parts.next().unwrap_or_default().to_uppercase();
        let number = standard.trim_start_matches("RFC");
        format!("RFC {number} §{}", parts.next().unwrap_or_default())
    }

    /// The extensions without which there is nothing to test.
    pub fn extensions(&self) -> impl Iterator<Item = &'static str> {
        self.needs.iter().filter_map(|need| match need {
            Need::Extension(keyword) => Some(*keyword),
            _ => None,
        })
    }

    /// Whether it needs that.
    pub fn has(&self, need: Need) -> bool {
        self.needs.contains(&need)
    }
}

impl<C> fmt::Debug for Case<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case")
            .field("id", &self.id)
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}
