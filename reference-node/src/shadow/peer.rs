//! A session to another server of the organization: XPEER first, then copies, deliveries, hand-overs, XQDISCARD
//! (PROTOCOL.md).

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    client::{Broken, Client, ClientError, Transacted},
    config::{Config, Server},
    env::{BoxStream, Environment, Timestamp},
    message::{Envelope, TransportId},
    sabotage::{Sabotage, active},
    shadow::{
        mark::{EpochEnd, Mark, epochs_text, read_ends},
        proof::{client_proof, equal, server_proof},
    },
    smtp::{RcptTo, Reply},
    store::DiscardKind,
};

/// A discard notification, as a shadow server receives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The message.
    pub id: TransportId,
    /// What is to become of its shadow.
    pub kind: DiscardKind,
}

/// The answer to XQDISCARD.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notifications {
    /// The notifications.
    pub list: Vec<Notification>,
    /// What to ask with next time.
    pub cursor: u64,
}

/// A session in which both sides have proven who they are.
#[derive(Debug)]
pub struct PeerSession {
    client: Client,
    /// The other server's name.
    pub server: String,
    /// The ID of its transport database.
    pub database: String,
    /// The position of that database's log (HB-13).
    pub position: u64,
    /// The epoch of that database.
    pub epoch: u64,
    /// How far that database came in the epochs that it was asked about.
    pub ends: Vec<(u64, EpochEnd)>,
    /// When it was asked for that position.
    pub asked: Instant,
}

/// What a transaction with a peer is for.
enum Verb<'a> {
    Copy(&'a Mark),
    Deliver,
}

/// Most notifications in one answer.
pub const MOST_NOTIFICATIONS: u32 = 1000;

impl PeerSession {
    /// Opens a session to `server`, and asks how far its database came in `epochs`. No single wait lasts longer than
    /// `patience`.
    ///
    /// # Errors
    /// It cannot be reached, or is not the peer that it should be.
    pub async fn open(
        env: &dyn Environment,
        config: &Config,
        server: &Server,
        epochs: &[u64],
        patience: Duration,
    ) -> Result<Self, ClientError> {
        let patience = if active(config.sabotage, Sabotage::ImpatientSessions) {
            patience.min(Duration::from_millis(35))
        } else {
            patience
        };
        let client = Client::connect(env, &server.address, &config.name, patience).await?;
        let nonce = format!("{:016x}{:016x}", env.random(), env.random());
        Self::prove(
            client,
            &config.secret,
            &config.name,
            Some(&server.name),
            nonce,
            epochs,
        )
        .await
    }

    /// A tool's session, as `operator`, on an open stream.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn operator(
        stream: BoxStream,
        secret: &str,
        nonce: String,
        patience: Duration,
    ) -> Result<Self, ClientError> {
        let client = Client::greet(stream, "operator", patience).await?;
        Self::prove(client, secret, "operator", None, nonce, &[]).await
    }

    async fn prove(
        mut client: Client,
        secret: &str,
        own: &str,
        expected: Option<&str>,
        nonce: String,
        epochs: &[u64],
    ) -> Result<Self, ClientError> {
        let Some(server_nonce) = client.extensions().xpeer.clone() else {
            return Err(ClientError::NotPeer("it offers no XPEER"));
        };
        let proof = client_proof(secret, own, &server_nonce, &nonce);
        let asked = Instant::now();
        let reply = client
            .command(&format!(
                "XPEER {own} {nonce} {proof} {}\r\n",
                epochs_text(epochs)
            ))
            .await?;
        if !reply.is_positive() {
            return Err(ClientError::Refused(reply));
        }
        let text = reply.text.first().map(String::as_str).unwrap_or_default();
        let mut words = text.split(' ');
        let mut next = || {
            let incomplete = ClientError::NotPeer("its answer to XPEER is incomplete");
            words.next().ok_or(incomplete)
        };
        let (name, database, position) = (next()?, next()?, next()?);
        let (epoch, ends, proof) = (next()?, next()?, next()?);
        let state = format!("{position} {epoch} {ends}");
        let (Ok(position), Ok(epoch), Some(ends)) = (
            position.parse(),
            u64::from_str_radix(epoch, 16),
            read_ends(ends),
        ) else {
            return Err(ClientError::NotPeer("its log position cannot be read"));
        };
        if expected.is_some_and(|e| e != name) {
            return Err(ClientError::NotPeer("it has another name"));
        }
        if !equal(
            proof,
            &server_proof(secret, name, &nonce, &server_nonce, database, &state),
        ) {
            return Err(ClientError::NotPeer("its proof is wrong"));
        }
        // A message that a node took, its trace field on top, is not too big for another node.
        client.ignore_size();
        Ok(Self {
            server: name.to_owned(),
            database: database.to_owned(),
            position,
            epoch,
            ends,
            asked,
            client,
        })
    }

    /// XQDISCARD: what comes after `cursor`.
    ///
    /// # Errors
    /// The session is lost, or the answer cannot be read.
    pub async fn ask(&mut self, cursor: u64) -> Result<Notifications, ClientError> {
        let reply = self.client.command(&ask_line(cursor)).await?;
        if !reply.is_positive() {
            return Err(ClientError::Refused(reply));
        }
        read_notifications(&reply)
    }

    /// A name for the epoch of the other server's database: cursors belong to it.
    pub fn life(&self) -> String {
        format!("{}/{:x}", self.database, self.epoch)
    }

    /// Sends a shadow copy (XSHADOW) of a message that stands at `mark` in this node's log. With `ask`, XQDISCARD goes along (HB-01), and its answer comes back.
    ///
    /// # Errors
    /// The session broke; the other side may have the copy.
    pub async fn copy(
        &mut self,
        envelope: &Envelope,
        content: &[u8],
        mark: &Mark,
        ask: Option<u64>,
    ) -> Result<(Transacted, Option<Notifications>), Broken> {
        // All that are not done: what a promoted message's former owner delivered already is not delivered again.
        let recipients: Vec<&RcptTo> = envelope.pending().map(|(_, to)| to).collect();
        let verb = Verb::Copy(mark);
        self.transact(&verb, envelope, &recipients, content, ask)
            .await
    }

    /// Delivers to the other server's mailboxes (XDELIVER).
    ///
    /// # Errors
    /// The session broke; the other side may have the message.
    pub async fn deliver(
        &mut self,
        envelope: &Envelope,
        recipients: &[&RcptTo],
        content: &[u8],
        ask: Option<u64>,
    ) -> Result<(Transacted, Option<Notifications>), Broken> {
        self.transact(&Verb::Deliver, envelope, recipients, content, ask)
            .await
    }

    /// Hands a message over to the other server's boundary (XHANDOVER, SC-13).
    ///
    /// # Errors
    /// The session broke; the other side may have the message.
    pub async fn hand_over(
        &mut self,
        envelope: &Envelope,
        recipients: &[&RcptTo],
        content: &[u8],
    ) -> Result<Transacted, Broken> {
        let prefix = [format!("XHANDOVER {}\r\n", envelope.submit_time.0)];
        self.client
            .transact(
                &prefix,
                &mut Vec::new(),
                &envelope.from,
                recipients,
                content,
            )
            .await
    }

    /// The other side is a 2010-style hub, which reports what it has delivered of [`Self::hand_on`].
    pub fn is_hub(&self) -> bool {
        self.client.extensions().xshadow
    }

    /// Hands a message on to a hub that is as this one: ordinary mail, whose MAIL names the shadow that stays here.
    ///
    /// # Errors
    /// The session broke; the other side may have the message.
    pub async fn hand_on(
        &mut self,
        envelope: &Envelope,
        recipients: &[&RcptTo],
        content: &[u8],
        shadow: &TransportId,
    ) -> Result<Transacted, Broken> {
        let mut from = envelope.from.clone();
        from.xshadow = Some(shadow.to_string());
        self.client
            .transact(&[], &mut Vec::new(), &from, recipients, content)
            .await
    }

    async fn transact(
        &mut self,
        verb: &Verb<'_>,
        envelope: &Envelope,
        recipients: &[&RcptTo],
        content: &[u8],
        ask: Option<u64>,
    ) -> Result<(Transacted, Option<Notifications>), Broken> {
        let mut prefix: Vec<String> = ask.map(ask_line).into_iter().collect();
        let (id, time) = (&envelope.id, envelope.submit_time.0);
        prefix.push(match verb {
            Verb::Copy(mark) => format!("XSHADOW {id} {time} {mark}\r\n"),
            Verb::Deliver => format!("XDELIVER {id} {time}\r\n"),
        });
        let mut replies = Vec::new();
        let done = self
            .client
            .transact(&prefix, &mut replies, &envelope.from, recipients, content)
            .await?;
        // An unreadable answer to XQDISCARD is asked for again at the next heartbeat.
        let notifications = ask
            .and_then(|_| replies.first())
            .and_then(|r| read_notifications(r).ok());
        Ok((done, notifications))
    }

    /// XRESUBMIT: how many messages were resubmitted.
    ///
    /// # Errors
    /// The session is lost, or the request was refused.
    pub async fn resubmit(&mut self, from: Timestamp, to: Timestamp) -> Result<u64, ClientError> {
        let reply = self
            .client
            .command(&format!("XRESUBMIT {} {}\r\n", from.0, to.0))
            .await?;
        if !reply.is_positive() {
            return Err(ClientError::Refused(reply));
        }
        reply
            .text
            .first()
            .and_then(|text| text.strip_prefix("resubmitted="))
            .and_then(|n| n.trim().parse().ok())
            .ok_or(ClientError::NotPeer(
                "its answer to XRESUBMIT cannot be read",
            ))
    }

    /// Ends the session.
    pub async fn quit(self) {
        self.client.quit().await;
    }
}

fn ask_line(cursor: u64) -> String {
    format!("XQDISCARD {cursor} {MOST_NOTIFICATIONS}\r\n")
}

/// Reads the answer to XQDISCARD.
fn read_notifications(reply: &Reply) -> Result<Notifications, ClientError> {
    let unreadable = || ClientError::NotPeer("its answer to XQDISCARD cannot be read");
    let (last, lines) = reply.text.split_last().ok_or_else(unreadable)?;
    let cursor = last
        .strip_prefix("cursor=")
        .and_then(|n| n.trim().parse().ok())
        .ok_or_else(unreadable)?;
    let list = lines
        .iter()
        .map(|line| {
            let (id, kind) = line.split_once(' ').ok_or_else(unreadable)?;
            let kind = match kind.trim() {
                "delivered" => DiscardKind::Delivered,
                "abandoned" => DiscardKind::Abandoned,
                _ => return Err(unreadable()),
            };
            Ok(Notification {
                id: id.parse().map_err(|_| unreadable())?,
                kind,
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(Notifications { list, cursor })
}

/// Writes the answer to XQDISCARD.
pub fn notifications_reply(list: &[Notification], cursor: u64) -> Reply {
    let mut text: Vec<String> = list
        .iter()
        .map(|n| {
            let kind = match n.kind {
                DiscardKind::Delivered => "delivered",
                DiscardKind::Abandoned => "abandoned",
            };
            format!("{} {kind}", n.id)
        })
        .collect();
    text.push(format!("cursor={cursor}"));
    Reply::lines(250, Some((2, 0, 0)), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notifications_come_back_as_they_were_written() {
        let list = vec![
            Notification {
                id: TransportId::new("n1", &"0".repeat(32), 1),
                kind: DiscardKind::Delivered,
            },
            Notification {
                id: TransportId::new("n1", &"0".repeat(32), 9),
                kind: DiscardKind::Abandoned,
            },
        ];
        let read = read_notifications(&notifications_reply(&list, 9)).expect("readable");
        assert_eq!(read, Notifications { list, cursor: 9 });
        assert!(read_notifications(&Reply::ok("what?")).is_err());
    }
}
