//! Mailboxes over HTTP, as the reference node shows them: `/mailboxes` is a list, `/mailboxes/ADDRESS/INDEX` a message.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;

use super::Arrived;
use crate::substrate::endpoint::percent_encoded;

/// An endpoint that does not answer for so long does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// An endpoint whose messages are read once each.
#[derive(Debug)]
pub(super) struct Mailboxes {
    base: String,
    client: Client<HttpConnector, Empty<Bytes>>,
    known: BTreeMap<String, usize>,
}

#[derive(Deserialize)]
struct Mailbox {
    address: String,
    messages: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    from: String,
}

impl Mailboxes {
    pub(super) fn new(url: &str) -> Result<Self, String> {
        let base = url.trim_end_matches('/');
        let base = base.strip_suffix("/mailboxes").unwrap_or(base).to_owned();
        if !base.starts_with("http://") {
            return Err(format!("`{url}` must begin with http://"));
        }
        Ok(Self {
            base,
            client: Client::builder(TokioExecutor::new()).build_http(),
            known: BTreeMap::new(),
        })
    }

    /// The messages that have come since the last time. Mailboxes only grow.
    pub(super) async fn read(&mut self) -> Result<Vec<Arrived>, String> {
        let list = self.get("/mailboxes").await?;
        let list: Vec<Mailbox> = serde_json::from_slice(&list)
            .map_err(|error| format!("{}/mailboxes is no list of mailboxes: {error}", self.base))?;
        let mut messages = Vec::new();
        for Mailbox {
            address,
            messages: entries,
        } in list
        {
            let known = self.known.get(&address).copied().unwrap_or(0);
            let path = format!("/mailboxes/{}", percent_encoded(&address));
            for (index, entry) in entries.into_iter().enumerate().skip(known) {
                let content = self.get(&format!("{path}/{index}")).await?;
                messages.push(Arrived {
                    content: content.to_vec(),
                    from: Some(entry.from),
                    recipients: vec![address.clone()],
                });
                self.known.insert(address.clone(), index + 1);
            }
        }
        Ok(messages)
    }

    async fn get(&self, path: &str) -> Result<Bytes, String> {
        let url = format!("{}{path}", self.base);
        let uri = url.parse().map_err(|error| format!("`{url}`: {error}"))?;
        let answer = async {
            let response = self
                .client
                .get(uri)
                .await
                .map_err(|e| format!("{url}: {e}"))?;
            if !response.status().is_success() {
                return Err(format!("{url} answers {}", response.status()));
            }
            let body = response.into_body().collect().await;
            Ok(body.map_err(|e| format!("{url}: {e}"))?.to_bytes())
        };
        tokio::time::timeout(PATIENCE, answer)
            .await
            .map_err(|_| format!("{url} does not answer"))?
    }
}
