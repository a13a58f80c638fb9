//! The transfer of content: DATA and BDAT up to the event with the complete message.

use super::super::data::{BareLineEnds, has_bare_line_end};
use super::super::parameter::{Body, MailFrom, RcptTo};
use super::super::reply::Reply;
use super::{Event, Owed, Phase, Session, Step, Transaction, too_big};
use crate::sabotage::{self, Sabotage};

/// A transaction that is under way.
#[derive(Debug)]
pub(super) struct Mail {
    pub(super) from: MailFrom,
    pub(super) recipients: Vec<RcptTo>,
    /// A RCPT was well formed, whatever the answer was.
    pub(super) asked: bool,
    /// BDAT has begun.
    pub(super) chunked: bool,
    content: Vec<u8>,
    /// The content passed the limit, and what had come of it is dropped.
    over: bool,
}

/// A chunk that is under way.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) size: u64,
    pub(super) left: u64,
    pub(super) last: bool,
    /// The answer that waits until the chunk is read.
    pub(super) refusal: Option<Reply>,
}

impl Mail {
    pub(super) fn new(from: MailFrom) -> Self {
        Self {
            from,
            recipients: Vec::new(),
            asked: false,
            chunked: false,
            content: Vec::new(),
            over: false,
        }
    }

    /// RFC 5321 §3.3: content needs a recipient.
    pub(super) fn no_recipient(&self) -> Option<Reply> {
        match (self.recipients.is_empty(), self.asked) {
            (false, _) => None,
            (true, false) => Some(Reply::bad_sequence("RCPT comes first")),
            (true, true) => Some(Reply::new(554, (5, 5, 1), "no valid recipients")),
        }
    }

    /// Octets of content in memory.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.content.len()
    }

    /// Adds content; drops all of it as soon as it passes `limit` (0 for none).
    fn push(&mut self, octets: &[u8], limit: u64) {
        let size = u64::try_from(self.content.len() + octets.len()).unwrap_or(u64::MAX);
        if self.over || limit != 0 && size > limit {
            self.over = true;
            self.content = Vec::new();
        } else {
            self.content.extend_from_slice(octets);
        }
    }
}

impl Session {
    pub(super) fn read_data(&mut self) -> Step {
        let limit = self.limit();
        let (Phase::Data(decoder), Some(mail)) = (&mut self.phase, &mut self.mail) else {
            self.phase = Phase::Commands;
            return Step::Again;
        };
        let progress = decoder.decode(self.input.rest(), |octets| mail.push(octets, limit));
        self.input.consume(progress.used);
        if progress.ended {
            self.finish_message()
        } else {
            self.starved_in_content()
        }
    }

    pub(super) fn read_chunk(&mut self) -> Step {
        let limit = self.limit();
        let Phase::Chunk(chunk) = &mut self.phase else {
            return Step::Again;
        };
        let rest = self.input.rest();
        let take = usize::try_from(chunk.left)
            .unwrap_or(usize::MAX)
            .min(rest.len());
        if chunk.refusal.is_none()
            && let Some(mail) = &mut self.mail
        {
            mail.push(&rest[..take], limit);
        }
        self.input.consume(take);
        chunk.left -= take as u64;
        if chunk.left > 0 {
            return if chunk.refusal.is_none() {
                self.starved_in_content()
            } else {
                Step::Starved
            };
        }
        let (size, last, refusal) = (chunk.size, chunk.last, chunk.refusal.take());
        self.phase = Phase::Commands;
        match refusal {
            // That all recipients were refused is no error of the client's.
            Some(reply) if reply.code == 554 => {
                self.say(&reply);
                Step::Again
            }
            Some(reply) => {
                self.refuse(reply);
                Step::Again
            }
            None if last => self.finish_message(),
            None if self.mail.as_ref().is_some_and(|mail| mail.over) => {
                // RFC 3030 §2: chunks that follow get 503, as there is no transaction any more.
                self.reset();
                self.say(&too_big());
                Step::Again
            }
            None => {
                self.say(&Reply::ok(format!("{size} octets received")));
                Step::Again
            }
        }
    }

    /// TC-03: content without its end is no message.
    fn starved_in_content(&mut self) -> Step {
        if self.input_ended && sabotage::active(self.config.sabotage, Sabotage::DeliverCutData) {
            return self.finish_message();
        }
        Step::Starved
    }

    /// The end of data, or of the last chunk: an event, or the refusal.
    fn finish_message(&mut self) -> Step {
        self.phase = Phase::Commands;
        let kind = self.kind.clone();
        let mail = self.mail.take();
        self.reset();
        let Some(mail) = mail else { return Step::Again };
        let bare_ends = self.config.bare_line_ends == BareLineEnds::Refuse
            && mail.from.body != Body::BinaryMime
            && has_bare_line_end(&mail.content);
        if mail.over {
            self.say(&too_big());
            return Step::Again;
        }
        // RFC 5321 §2.3.8
        if bare_ends {
            self.say(&Reply::new(
                554,
                (5, 6, 0),
                "the content has a CR or LF of its own",
            ));
            return Step::Again;
        }
        self.messages = self.messages.saturating_add(1);
        self.owed = Some(Owed::Message {
            smtputf8: mail.from.smtputf8,
        });
        Step::Ask(Event::Message(Box::new(Transaction {
            kind,
            from: mail.from,
            recipients: mail.recipients,
            content: mail.content,
            helo: self.client_name().to_owned(),
            esmtp: self.esmtp(),
        })))
    }
}
