//! What a node shows of itself: queues, shadow queues, Safety Net, discard events, mailboxes.

use serde::Serialize;

use crate::{
    env::Timestamp,
    message::Envelope,
    node::Node,
    store::{SafetyNetRole, StoreError},
};

/// A node's queues.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NodeView {
    /// The transport database's ID.
    pub database: String,
    /// Why the node refuses mail, when a database failed.
    pub poisoned: Option<String>,
    /// Messages in its queues.
    pub queue: Vec<Held>,
    /// Shadow messages.
    pub shadow: Vec<Held>,
    /// Primary and shadow Safety Net.
    pub safety_net: Vec<Held>,
    /// Discard events that are kept for shadow servers.
    pub discard_events: Vec<DiscardEvent>,
}

/// A message that the node holds.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Held {
    /// The transport's own ID.
    pub transport_id: String,
    /// Message-ID header field.
    pub message_id: Option<String>,
    /// `primary` or `shadow`.
    pub role: &'static str,
    /// For a shadow message its primary server; for a queued one its shadow servers, joined by commas.
    pub other: String,
    /// Recipients that are not done.
    pub recipients: Vec<String>,
}

/// A discard event.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct DiscardEvent {
    /// The shadow server it is for.
    pub server: String,
    /// The message.
    pub transport_id: String,
}

/// A message that a mailbox shows.
#[derive(Debug, Clone)]
pub struct MailboxMessage {
    /// When it arrived, by the node's wall clock.
    pub delivered: Timestamp,
    /// Return path.
    pub from: String,
    /// Its octets.
    pub content: bytes::Bytes,
}

impl Node {
    /// What the node holds now.
    ///
    /// # Errors
    /// The transport database cannot be read.
    pub fn view(&self) -> Result<NodeView, StoreError> {
        let net = self.store.safety_net(self.now())?;
        let state = self.state();
        Ok(NodeView {
            database: self.database_id().to_owned(),
            poisoned: self.failure().map(str::to_owned),
            queue: state
                .queue
                .values()
                .map(|q| held(&q.envelope, "primary", q.envelope.shadows.join(",")))
                .collect(),
            shadow: state
                .shadow
                .values()
                .map(|s| held(&s.envelope, "shadow", s.primary.clone()))
                .collect(),
            safety_net: net
                .iter()
                .map(|(_, entry)| {
                    let role = match entry.role {
                        SafetyNetRole::Primary => "primary",
                        SafetyNetRole::Shadow => "shadow",
                    };
                    held(
                        &entry.envelope,
                        role,
                        entry.primary.clone().unwrap_or_default(),
                    )
                })
                .collect(),
            discard_events: state
                .discards
                .iter()
                .flat_map(|(server, events)| {
                    events.values().map(|e| DiscardEvent {
                        server: server.clone(),
                        transport_id: e.id.to_string(),
                    })
                })
                .collect(),
        })
    }

    /// What the mailboxes show, by address.
    ///
    /// # Errors
    /// The mailbox database cannot be read.
    pub fn mailboxes(&self) -> Result<Vec<(String, Vec<MailboxMessage>)>, StoreError> {
        let all = self.mailboxes.all()?;
        Ok(all
            .into_iter()
            .map(|(address, mail)| {
                let mail = mail.into_iter().map(|m| MailboxMessage {
                    delivered: m.delivered,
                    from: m.from,
                    content: m.content,
                });
                (address, mail.collect())
            })
            .collect())
    }
}

fn held(envelope: &Envelope, role: &'static str, other: String) -> Held {
    Held {
        transport_id: envelope.id.to_string(),
        message_id: envelope.message_id.clone(),
        role,
        other,
        recipients: envelope.pending().map(|(_, to)| to.path.clone()).collect(),
    }
}
