//! A node's read-only HTTP endpoint: its view and its mailboxes.
//!
//! Comes in: the endpoint's address. Goes out: [`NodeView`], and messages as the history has them; `None`
//! when the node does not answer, or not in this form.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    history::{MailboxMessage, NodeView},
    workload::inspect,
};

/// A node that does not answer for so long does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A client for all nodes.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    client: Client<HttpConnector, Empty<Bytes>>,
}

#[derive(Deserialize)]
struct Mailbox {
    address: String,
    messages: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    /// Milliseconds since the Unix epoch, by the node's clock.
    delivered_at_ms: i64,
    from: String,
}

impl Endpoint {
    pub(crate) fn new() -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// What the node says of its queues.
    pub(crate) async fn view(&self, node: SocketAddr) -> Option<NodeView> {
        self.json(node, "/view").await
    }

    /// What its mailboxes show. `epoch_us` is the Unix time at which the history's clock began, in microseconds.
    pub(crate) async fn mailboxes(
        &self,
        node: SocketAddr,
        epoch_us: i64,
    ) -> Option<crate::substrate::Mailboxes> {
        let list: Vec<Mailbox> = self.json(node, "/mailboxes").await?;
        let mut mailboxes = Vec::new();
        for Mailbox { address, messages } in list {
            let path = format!("/mailboxes/{}", percent_encoded(&address));
            let mut shown = Vec::new();
            for (index, entry) in messages.into_iter().enumerate() {
                let content = self.get(node, &format!("{path}/{index}")).await?;
                shown.push(message(entry, &content, epoch_us));
            }
            mailboxes.push((address, shown));
        }
        Some(mailboxes)
    }

    async fn json<T: DeserializeOwned>(&self, node: SocketAddr, path: &str) -> Option<T> {
        serde_json::from_slice(&self.get(node, path).await?).ok()
    }

    async fn get(&self, node: SocketAddr, path: &str) -> Option<Bytes> {
        let request = self
            .client
            .get(format!("http://{node}{path}").parse().ok()?);
        let answer = async {
            let response = request.await.ok()?;
            if !response.status().is_success() {
                return None;
            }
            Some(response.into_body().collect().await.ok()?.to_bytes())
        };
        tokio::time::timeout(PATIENCE, answer).await.ok()?
    }
}

fn message(entry: Entry, content: &[u8], epoch_us: i64) -> MailboxMessage {
    let seen = inspect::inspect(content);
    MailboxMessage {
        t_us: entry
            .delivered_at_ms
            .saturating_mul(1000)
            .saturating_sub(epoch_us),
        message: seen.number(),
        attempt: seen.attempt,
        dsn: seen.dsn.is_some(),
        from: entry.from,
        message_id: seen.message_id,
        digest: seen.digest,
    }
}

/// RFC 3986 §2.1, for one segment of a path.
pub(crate) fn percent_encoded(segment: &str) -> String {
    segment.bytes().fold(String::new(), |mut text, octet| {
        if octet.is_ascii_alphanumeric() || b"-._~@".contains(&octet) {
            text.push(char::from(octet));
        } else {
            text.push_str(&format!("%{octet:02X}"));
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_path_segments() {
        assert_eq!(
            percent_encoded("a.b@mailbox.example"),
            "a.b@mailbox.example"
        );
        assert_eq!(percent_encoded("a/b?é %@x"), "a%2Fb%3F%C3%A9%20%25@x");
    }
}
