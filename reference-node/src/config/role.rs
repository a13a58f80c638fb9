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

/// The documents that a server's shadow redundancy behaves by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Compatibility {
    /// Exchange 2013: a copy is made before the ack.
    #[default]
    #[serde(rename = "2013")]
    Y2013,
    /// Exchange 2010: whoever sends a message keeps it until the next hop has reported its delivery (SC-19).
    #[serde(rename = "2010")]
    Y2010,
}

impl Server {
    /// It may hold copies for this kind of server, and be asked for discard notifications: a transport server that
    /// behaves by the same documents (SC-15, SC-18).
    pub fn is_peer(&self, compatibility: Compatibility) -> bool {
        self.is_transport() && self.compatibility == compatibility
    }

    /// A 2010-style hub.
    pub fn is_hub_2010(&self) -> bool {
        self.is_peer(Compatibility::Y2010)
    }

    /// It has queues and a transport database: it can be primary server and shadow server.
    pub fn is_transport(&self) -> bool {
        self.role != Role::FrontEnd
    }
}

/// What is wrong with the roles of a node and of the servers that it knows, and the remedy.
pub(super) fn misfit(
    own: &str,
    role: Role,
    compatibility: Compatibility,
    servers: &[Server],
) -> Option<(String, &'static str)> {
    let hub = compatibility == Compatibility::Y2010;
    if hub && role == Role::FrontEnd {
        let message = "a front end that is a 2010-style hub".to_owned();
        return Some((message, "choose one: a front end has no queues"));
    }
    let own_server = servers.iter().find(|s| s.name == own);
    if own_server.is_some_and(|s| s.compatibility != compatibility) {
        let message = format!("`{own}` has another compatibility in its own [[server]]");
        let remedy = "`compatibility = \"2010\"` stands in both places, or in neither";
        return Some((message, remedy));
    }
    let listed = servers.iter().find(|s| s.name == own);
    let front_end = role == Role::FrontEnd;
    if listed.is_some_and(|s| s.is_transport() == front_end) {
        let message = format!("`{own}` has another role in its own [[server]]");
        return Some((
            message,
            "`role = \"front-end\"` stands in both places, or in neither",
        ));
    }
    let behind = |s: &Server| s.is_peer(Compatibility::Y2013);
    (front_end && !servers.iter().any(behind)).then(|| {
        (
            "a front end without a transport server behind it".into(),
            "add a [[server]] for each transport server that it may pass mail on to",
        )
    })
}
