//! A running server of the organization, whatever its role.
//!
//! Comes in: a configuration and an environment. Goes out: what runs by it, and what is seen of it from outside.
//! Called by [`service`](crate::service), [`http`](crate::http), and whoever embeds a node.

use std::sync::Arc;

use crate::{
    config::{Config, Role},
    env::Environment,
    front_end::FrontEnd,
    node::{Node, StartError},
    store::StoreError,
    view::{MailboxMessage, NodeView},
};

/// See the module.
#[derive(Clone)]
pub enum Member {
    /// A transport server.
    Transport(Arc<Node>),
    /// A stateless front end (SC-15).
    FrontEnd(Arc<FrontEnd>),
}

impl Member {
    /// Starts what the configuration's role says.
    ///
    /// # Errors
    /// A database or the address cannot be used.
    pub async fn start(config: Config, env: Arc<dyn Environment>) -> Result<Self, StartError> {
        match config.role {
            Role::FrontEnd => FrontEnd::start(config, env).await.map(Self::FrontEnd),
            Role::Mailbox | Role::Edge => Node::start(config, env).await.map(Self::Transport),
        }
    }

    /// Its configuration.
    pub fn config(&self) -> &Config {
        match self {
            Self::Transport(node) => node.config(),
            Self::FrontEnd(front_end) => front_end.config(),
        }
    }

    /// The address that it receives mail on.
    pub fn address(&self) -> &str {
        match self {
            Self::Transport(node) => node.address(),
            Self::FrontEnd(front_end) => front_end.address(),
        }
    }

    /// The ID of its transport database; empty for a front end, which has none.
    pub fn database_id(&self) -> &str {
        match self {
            Self::Transport(node) => node.database_id(),
            Self::FrontEnd(_) => "",
        }
    }

    /// Why it refuses mail, if a database failed, or has no room.
    pub fn failure(&self) -> Option<&str> {
        match self {
            Self::Transport(node) => node.failure(),
            Self::FrontEnd(_) => None,
        }
    }

    /// What it holds now: nothing, for a front end.
    ///
    /// # Errors
    /// The transport database cannot be read.
    pub fn view(&self) -> Result<NodeView, StoreError> {
        match self {
            Self::Transport(node) => node.view(),
            Self::FrontEnd(_) => Ok(NodeView::default()),
        }
    }

    /// What its mailboxes show, by address.
    ///
    /// # Errors
    /// The mailbox database cannot be read.
    pub fn mailboxes(&self) -> Result<Vec<(String, Vec<MailboxMessage>)>, StoreError> {
        match self {
            Self::Transport(node) => node.mailboxes(),
            Self::FrontEnd(_) => Ok(Vec::new()),
        }
    }
}
