//! Starting a node: its configuration, the process, and the wait until it takes mail.
//!
//! Comes in: a node's name, and which transport database it is to have. Goes out: a running node that its taps
//! reach, or why there is none.

use std::{collections::BTreeMap, io, net::SocketAddr, time::Duration};

use tokio::{io::AsyncReadExt, net::TcpStream, sync::oneshot, time::timeout};

use super::{
    cluster::{Inner, SECRET, io_error},
    disk::NodeFiles,
    node::Announcement,
};
use crate::{
    history::Fault,
    scenario::Database,
    substrate::{ClusterError, NodePlace, node_config},
};

/// Nodes choose their ports, and tell them.
const ANY_PORT: &str = "127.0.0.1:0";

/// A node that does not take mail after so long has not started.
const START_PATIENCE: Duration = Duration::from_secs(60);

impl Inner {
    /// Starts a stopped node, and waits until it greets with 220.
    pub(super) async fn start(&self, name: &str, database: Database) -> Result<(), ClusterError> {
        let (incarnation, announced) = self.spawn(name, database)?;
        let failed = |error: String| ClusterError::Io {
            what: format!("start {name}"),
            error,
        };
        let started = match timeout(START_PATIENCE, announced).await {
            Ok(Ok(announcement)) => {
                self.reachable(name, incarnation, &announcement)?;
                greeting(self.connect(name, announcement.listening))
                    .await
                    .map_err(|error| format!("it does not greet: {error}"))
            }
            Ok(Err(_)) => self.with_node(name, |node| {
                Ok(Err(format!("it ended: {}", node.files.end_of_log())))
            })?,
            Err(_) => Err(format!(
                "it does not take mail after {} s",
                START_PATIENCE.as_secs()
            )),
        };
        if started.is_err() {
            self.with_node(name, |node| {
                if node.incarnation == incarnation {
                    self.stop(name, node);
                }
                Ok(())
            })?;
        }
        started.map_err(failed)
    }

    fn spawn(
        &self,
        name: &str,
        database: Database,
    ) -> Result<(u32, oneshot::Receiver<Announcement>), ClusterError> {
        self.with_node(name, |node| {
            if node
                .running
                .as_mut()
                .is_some_and(|running| !running.has_ended())
            {
                return Err(ClusterError::State(format!("{name} is running")));
            }
            let (stopped, _) = self.stop(name, node);
            // The host has power again, whether the node comes up or not.
            self.links.end(&Fault::HostCrash { node: name.into() });
            let config = self.config(name, &node.files)?;
            if database == Database::New {
                stopped
                    .files()
                    .forget_transport_database()
                    .map_err(io_error(format!("remove the transport database of {name}")))?;
            }
            node.incarnation += 1;
            let program = self.options.command.program().display();
            let namespace = self.namespaces.as_ref().and_then(|all| all.of(name));
            let command = match namespace {
                Some(namespace) => self.options.command.clone().within(&namespace.path()),
                None => self.options.command.clone(),
            };
            let (running, announced) = stopped
                .spawn(&command, &config, node.own_clock)
                .map_err(|(_, error)| io_error(format!("start {name} with {program}"))(error))?;
            node.running = Some(running);
            node.starve_new()
                .map_err(io_error(format!("starve {name}")))?;
            Ok((node.incarnation, announced))
        })
    }

    /// Connects to a port of a node, wherever it is.
    async fn connect(&self, name: &str, target: SocketAddr) -> io::Result<TcpStream> {
        match self.namespaces.as_ref().and_then(|all| all.of(name)) {
            Some(namespace) => namespace.connect(target).await,
            None => TcpStream::connect(target).await,
        }
    }

    /// The node takes mail, unless it was killed meanwhile.
    fn reachable(
        &self,
        name: &str,
        incarnation: u32,
        announcement: &Announcement,
    ) -> Result<(), ClusterError> {
        self.with_node(name, |node| {
            if node.incarnation != incarnation || node.running.is_none() {
                return Err(ClusterError::State(format!(
                    "{name} was ended while it started"
                )));
            }
            node.http = announcement.http;
            if let (Some(all), Some(http)) = (&self.namespaces, announcement.http) {
                let door = all
                    .door(name, http)
                    .map_err(io_error(format!("open a way to {name}")))?;
                node.http = Some(door.address());
                node.door = Some(door);
            }
            self.links
                .set_target(None, name, Some(announcement.listening));
            Ok(())
        })
    }

    /// The node's configuration, in which it reaches everybody through taps.
    fn config(&self, node: &str, files: &NodeFiles) -> Result<String, ClusterError> {
        let cluster = &self.scenario.cluster;
        let mut addresses = BTreeMap::new();
        for to in cluster.nodes.iter().chain(&cluster.sinks) {
            let address = self
                .links
                .address(node, to)
                .map_err(io_error(format!("open a tap from {node} to {to}")))?;
            addresses.insert(to.as_str(), address.to_string());
        }
        let data = files.data();
        let data = data
            .to_str()
            .ok_or_else(|| ClusterError::State(format!("{} is no UTF-8", data.display())))?;
        let place = NodePlace {
            data,
            listen: ANY_PORT,
            http: Some(ANY_PORT),
            secret: SECRET,
            sabotage: self.options.sabotage.as_deref(),
            real_time: true,
        };
        // The closure is asked for nodes and sinks only.
        let address = |_: &str, to: &str| addresses.get(to).cloned().unwrap_or_default();
        Ok(node_config(
            &self.scenario,
            node,
            &place,
            address,
            |documented| self.scaled(documented),
        ))
    }
}

/// Waits for a greeting that says 220.
async fn greeting(connecting: impl Future<Output = io::Result<TcpStream>>) -> io::Result<()> {
    let read = async {
        let mut stream = connecting.await?;
        let mut code = [0; 3];
        stream.read_exact(&mut code).await?;
        io::Result::Ok(code)
    };
    match timeout(START_PATIENCE, read).await?? {
        [b'2', b'2', b'0'] => Ok(()),
        other => Err(io::Error::other(format!(
            "its greeting begins with {}",
            other.escape_ascii()
        ))),
    }
}
