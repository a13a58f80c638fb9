//! The message tracking log: one JSON object per line, with Exchange's documented event names.

use std::sync::Arc;

use serde::Serialize;

use crate::{
    env::Environment,
    message::{Envelope, TransportId},
};

/// What happened to a message (documented names of the message tracking log).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TrackingEvent {
    /// Taken from a client.
    Receive,
    /// A shadow copy was taken from its primary server.
    HaReceive,
    /// A shadow copy was made on another server.
    HaRedirect,
    /// No copy could be made, and the message was refused.
    HaRedirectFail,
    /// A shadow message was discarded after its primary server's notification.
    HaDiscard,
    /// Put into a mailbox.
    Deliver,
    /// Not put into a mailbox, because it is there.
    DuplicateDeliver,
    /// Taken over by the next hop.
    Send,
    /// Will be tried again.
    Defer,
    /// Given up for a recipient.
    Fail,
    /// A notification was made.
    Dsn,
    /// Its groups were replaced by their members.
    Expand,
    /// A notification that nobody could deliver was not made.
    BadMail,
    /// Waited too long.
    Expire,
    /// Submitted again: promoted, or from Safety Net.
    Resubmit,
}

/// The tracking log.
pub(crate) struct Tracking {
    env: Arc<dyn Environment>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Line<'a> {
    time: String,
    event: TrackingEvent,
    source: &'a str,
    transport_id: &'a TransportId,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<&'a str>,
    sender: &'a str,
    recipients: Vec<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    info: &'a str,
}

impl Tracking {
    pub(crate) fn new(env: Arc<dyn Environment>) -> Self {
        Self { env }
    }

    /// Writes a line about a message and all its recipients.
    pub(crate) fn event(
        &self,
        event: TrackingEvent,
        source: &str,
        envelope: &Envelope,
        info: &str,
    ) {
        let recipients = envelope
            .recipients
            .iter()
            .map(|r| r.to.path.as_str())
            .collect();
        self.event_for(event, source, envelope, recipients, info);
    }

    /// …and these recipients.
    pub(crate) fn event_for(
        &self,
        event: TrackingEvent,
        source: &str,
        envelope: &Envelope,
        recipients: Vec<&str>,
        info: &str,
    ) {
        let line = Line {
            time: self.env.wall_clock().to_string(),
            event,
            source,
            transport_id: &envelope.id,
            message_id: envelope.message_id.as_deref(),
            sender: &envelope.from.path,
            recipients,
            info,
        };
        // A structure of strings always has a JSON form.
        if let Ok(line) = serde_json::to_string(&line) {
            self.env.track(&line);
        }
    }
}
