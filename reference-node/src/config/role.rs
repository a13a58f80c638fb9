//! What a server is: its role, and the documents that it behaves by.
//!
//! Comes in: the names in a configuration file, and the list of servers. Goes out: [`Role`],
//! [`Compatibility`], or why they do not fit together. Called by [`Config`](super::Config)'s parser.

use serde::Deserialize;

use super::Server;

/// A server's role. It decides the receive connector's defaults, and whether there are queues at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A transport server inside.
    #[default]
    Mailbox,
    /// A transport server at the edge.
    Edge,
    /// No transport server: passes sessions on to one, and keeps nothing (SC-15).
    FrontEnd,
}

impl Server {
    /// It has queues and a transport database: it can be primary server and shadow server.
    pub fn is_transport(&self) -> bool {
        self.role != Role::FrontEnd
    }
}

/// What is wrong with the roles of a node and of the servers that it knows, and the remedy.
pub(super) fn misfit(own: &str, role: Role, servers: &[Server]) -> Option<(String, &'static str)> {
    let listed = servers.iter().find(|s| s.name == own);
    let front_end = role == Role::FrontEnd;
    if listed.is_some_and(|s| s.is_transport() == front_end) {
        let message = format!("`{own}` has another role in its own [[server]]");
        return Some((
            message,
            "`role = \"front-end\"` stands in both places, or in neither",
        ));
    }
    (front_end && !servers.iter().any(Server::is_transport)).then(|| {
        (
            "a front end without a transport server behind it".into(),
            "add a [[server]] for each transport server that it may pass mail on to",
        )
    })
}
