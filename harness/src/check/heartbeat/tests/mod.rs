//! Hand-written histories for the checkers of heartbeats, recovery and Safety Net: a broken one, a kept one and a thin
//! one for each guarantee.

mod expiry;
mod notifications;
mod regression;
mod retention;
mod sessions;
mod side_effects;
mod takeover;

use crate::{
    check::testing::{EXTERNAL, MAILBOX, Story, reply},
    history::{DiscardEvent, Held, NodeView, Transaction, Wire},
    scenario::{SinkBehaviour, Step},
};

/// A run in which n1's database is the one that the stories' transport IDs name.
pub(in crate::check) fn story() -> Story {
    let mut story = Story::new();
    story.up("n1", "db");
    story
}

/// The transport ID of message `n`.
pub(in crate::check) fn id(n: u32) -> String {
    format!("n1/db/{n}")
}

/// Message `n`, as a node of that role holds it.
pub(in crate::check) fn held(n: u32, role: &str) -> Held {
    Held {
        transport_id: id(n),
        message_id: None,
        role: role.into(),
        other: String::new(),
        recipients: Vec::new(),
    }
}

/// A view with these messages in the shadow queue.
pub(in crate::check) fn shadows(numbers: &[u32]) -> NodeView {
    NodeView {
        shadow: numbers.iter().map(|n| held(*n, "shadow")).collect(),
        ..NodeView::default()
    }
}

/// A view with these messages in the queue.
pub(in crate::check) fn queued(numbers: &[u32]) -> NodeView {
    NodeView {
        queue: numbers.iter().map(|n| held(*n, "primary")).collect(),
        ..NodeView::default()
    }
}

/// A view with these messages in the Safety Net of that role.
pub(in crate::check) fn safe(numbers: &[u32], role: &str) -> NodeView {
    NodeView {
        safety_net: numbers.iter().map(|n| held(*n, role)).collect(),
        ..NodeView::default()
    }
}

/// A view with discard events for `server`.
pub(in crate::check) fn discards(numbers: &[u32], server: &str) -> NodeView {
    let event = |n: &u32| DiscardEvent {
        server: server.into(),
        transport_id: id(*n),
    };
    NodeView {
        discard_events: numbers.iter().map(event).collect(),
        ..NodeView::default()
    }
}

impl Story {
    /// Message `n`, for an external recipient only: submitted, copied, acked.
    pub(in crate::check) fn external(&mut self, n: u32, node: &str, shadow: &str) -> &mut Self {
        self.only(n, node, shadow, EXTERNAL)
    }

    /// Message `n`, for a mailbox only: submitted, copied, acked.
    pub(in crate::check) fn boxed(&mut self, n: u32, node: &str, shadow: &str) -> &mut Self {
        self.only(n, node, shadow, MAILBOX)
    }

    fn only(&mut self, n: u32, node: &str, shadow: &str, to: &str) -> &mut Self {
        self.submit_as(n, node, |s| s.recipients = vec![to.into()])
            .end_of_data(n)
            .copy(n, &format!("{node}>{shadow}"))
            .ack(n)
    }

    /// A session to a peer begins, which tells its database and log position.
    pub(in crate::check) fn greet(
        &mut self,
        link: &str,
        database: &str,
        position: u64,
    ) -> &mut Self {
        let primary = link.split_once('>').map_or("", |(_, to)| to);
        self.connect(link).command(link, "EHLO peer", 250);
        self.wire(
            link,
            Wire::Command {
                verb: "XPEER".into(),
                line: "XPEER peer 00 00".into(),
            },
        );
        let text = format!("2.0.0 {primary} {database} {position} 00");
        self.wire(
            link,
            Wire::Reply {
                verb: "XPEER".into(),
                reply: reply(250, &text),
            },
        )
    }

    /// XQDISCARD, and an answer that names these messages.
    pub(in crate::check) fn discard(&mut self, link: &str, told: &[u32]) -> &mut Self {
        self.wire(
            link,
            Wire::Command {
                verb: "XQDISCARD".into(),
                line: "XQDISCARD 0 100".into(),
            },
        );
        let mut text: Vec<_> = told
            .iter()
            .map(|n| format!("2.0.0 {} delivered", id(*n)))
            .collect();
        text.push("2.0.0 cursor=9".into());
        self.wire(
            link,
            Wire::Reply {
                verb: "XQDISCARD".into(),
                reply: reply(250, &text.join("\n")),
            },
        )
    }

    /// The session ends in good order.
    pub(in crate::check) fn quit(&mut self, link: &str) -> &mut Self {
        self.command(link, "QUIT", 221).close(link, "client")
    }

    /// A whole heartbeat: the answer names these messages, and then that nothing is left.
    pub(in crate::check) fn ask(&mut self, link: &str, told: &[u32]) -> &mut Self {
        self.greet(link, "db", 7);
        if !told.is_empty() {
            self.discard(link, told);
        }
        self.discard(link, &[]).quit(link)
    }

    /// So many heartbeats without a notification, each after that time.
    pub(in crate::check) fn asks(&mut self, link: &str, times: u32, every: &str) -> &mut Self {
        for _ in 0..times {
            self.after(every).ask(link, &[]);
        }
        self
    }

    /// `node` hands message `n` to the mailboxes of n3, and they show it if it is the first time.
    pub(in crate::check) fn handed(&mut self, n: u32, node: &str) -> &mut Self {
        let link = format!("{node}>n3");
        let attempt = Some(self.submission(n).attempt);
        self.greet(&link, "db-n3-1", 1)
            .command(&link, &format!("XDELIVER {} 0", id(n)), 250)
            .command(&link, "MAIL FROM:<s@x>", 250)
            .command(&link, &format!("RCPT TO:<{MAILBOX}>"), 250)
            .command(&link, "DATA", 354);
        let (kind, message, transport_id) = (Transaction::Deliver, Some(n), Some(id(n)));
        self.wire(
            &link,
            Wire::EndOfData {
                kind,
                message,
                attempt,
                transport_id: transport_id.clone(),
            },
        );
        self.wire(
            &link,
            Wire::FinalReply {
                kind,
                reply: reply(250, "taken"),
                message,
                attempt,
                transport_id,
            },
        )
        .quit(&link)
    }

    /// `node` sends message `n` to sink-1 for this recipient, a member of a group.
    fn member_at_sink(&mut self, n: u32, node: &str, to: &str) -> &mut Self {
        let link = format!("{node}>sink-1");
        let (kind, message, attempt) = (Transaction::Mail, Some(n), Some(1));
        self.connect(&link)
            .command(&link, "MAIL FROM:<s@x>", 250)
            .command(&link, &format!("RCPT TO:<{to}>"), 250)
            .command(&link, "DATA", 354);
        self.wire(
            &link,
            Wire::EndOfData {
                kind,
                message,
                attempt,
                transport_id: None,
            },
        );
        self.wire(
            &link,
            Wire::FinalReply {
                kind,
                reply: reply(250, "taken"),
                message,
                attempt,
                transport_id: None,
            },
        )
    }

    /// The sink behaves so from now on.
    pub(in crate::check) fn sink_is(&mut self, behaviour: SinkBehaviour) -> &mut Self {
        self.step(Step::Sink {
            sink: "sink-1".into(),
            behaviour,
            count: None,
        })
    }
}
