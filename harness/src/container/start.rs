//! Starting a node: its container, what it is told, and the wait until it greets with 220.
//!
//! Comes in: a node's name, and which transport database it is to have. Goes out: a running node that its taps reach, or
//! why there is none.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use gauntlet_docker::engine::{Container, ContainerOptions as Options, EngineError};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use super::{
    cluster::{Inner, SECRET, SUBSTRATE},
    door::Door,
    spool::{RUN, Spool},
};
use crate::{
    history::Fault,
    scenario::Database,
    substrate::{ClusterError, NodePlace, node_config},
};

/// Where a reference node takes mail in its container.
const REFERENCE_PORT: u16 = 2525;

/// Its endpoint's socket, in a directory that the harness sees.
const SOCKET: &str = "http";

/// A connection that does not greet within this time is tried again.
const GREETING: Duration = Duration::from_secs(10);

/// Pause between two looks whether a node takes mail.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Inner {
    /// Starts a stopped node, and waits until it takes mail.
    pub(super) async fn start(&self, name: &str, database: Database) -> Result<(), ClusterError> {
        let (incarnation, spool, before) = self.with_node(name, |node| {
            if node.running {
                return Err(ClusterError::State(format!("{name} is running")));
            }
            node.incarnation += 1;
            node.running = true;
            Ok((node.incarnation, node.spool.clone(), node.container.clone()))
        })?;
        // The host has power again, whether the node comes up or not.
        self.links.end(&Fault::HostCrash { node: name.into() });
        let started = self
            .bring_up(name, incarnation, &spool, before, database)
            .await;
        if let Err(error) = started {
            // It was killed while it started, or it did not come up; then nothing of it is to run.
            self.with_node(name, |node| {
                if node.incarnation == incarnation {
                    self.links.set_target(None, name, None);
                    node.running = false;
                    node.door = None;
                    if let Some(container) = &node.container {
                        container.kill().map_err(refused)?;
                    }
                }
                Ok(())
            })?;
            return Err(error);
        }
        Ok(())
    }

    async fn bring_up(
        &self,
        name: &str,
        incarnation: u32,
        spool: &Spool,
        before: Option<Arc<Container>>,
        database: Database,
    ) -> Result<(), ClusterError> {
        let engine = &self.options.engine;
        spool.prepare(engine, &self.labels, database).await?;
        let options = self.container_options(name, spool)?;
        let container = match before {
            Some(container) => {
                container.start_again().await.map_err(refused)?;
                container
            }
            None => {
                let made = engine.start(options, &self.labels).await;
                made.map_err(refused)?
            }
        };
        let struck = self.with_node(name, |node| {
            node.container = Some(container.clone());
            if node.incarnation != incarnation || !node.running {
                // A fault struck while it started, and found no container to kill.
                container.kill().map_err(refused)?;
                return Ok(true);
            }
            if let Some(percent) = node.starved {
                container.limit_processor(Some(percent)).map_err(refused)?;
            }
            Ok(false)
        })?;
        if struck {
            return Err(ClusterError::State(format!(
                "{name} was ended while it started"
            )));
        }
        let target = &self.options.target;
        let port = match target.is_reference_node() {
            true => REFERENCE_PORT,
            false => target.smtp.port,
        };
        let failed = |error: String| ClusterError::Io {
            what: format!("start {name}"),
            error,
        };
        let address = container
            .address()
            .ok_or_else(|| failed("the engine gave it no address".into()))?;
        self.until_greeted(name, incarnation, &container, (address, port).into())
            .await
            .map_err(|error| {
                failed(format!(
                    "{error}; the end of its log:\n{}",
                    self.end_of_log(name)
                ))
            })?;
        self.with_node(name, |node| {
            if node.incarnation != incarnation || !node.running {
                return Err(ClusterError::State(format!(
                    "{name} was ended while it started"
                )));
            }
            if target.is_reference_node() {
                let door = Door::open(self.run_directory(name).join(SOCKET));
                let door =
                    door.map_err(|error| failed(format!("open a way to its endpoint: {error}")))?;
                node.door = Some(door);
            }
            self.links
                .set_target(None, name, Some((address, port).into()));
            Ok(())
        })
    }

    /// Ready is who has said 220: before that a port may be open, and nobody behind it.
    async fn until_greeted(
        &self,
        name: &str,
        incarnation: u32,
        container: &Arc<Container>,
        at: SocketAddr,
    ) -> Result<(), String> {
        let patience = self.options.target.smtp.ready_within.0;
        let begun = Instant::now();
        let mut last = String::new();
        while begun.elapsed() < patience {
            match timeout(GREETING, greeting(at)).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => last = error.to_string(),
                Err(_) => last = format!("it does not greet within {} s", GREETING.as_secs()),
            }
            let current = self.with_node(name, |node| {
                Ok(node.incarnation == incarnation && node.running)
            });
            if !current.unwrap_or(false) {
                return Err("it was ended while it started".into());
            }
            if !container
                .is_running()
                .await
                .map_err(|error| error.to_string())?
            {
                return Err("its container ended by itself".into());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(format!(
            "it does not take mail after {} s ({last})",
            patience.as_secs()
        ))
    }

    /// What its container is to be.
    fn container_options(&self, name: &str, spool: &Spool) -> Result<Options, ClusterError> {
        let target = &self.options.target;
        let directory = self.node_directory(name);
        fs::create_dir_all(&directory)
            .map_err(io_error(format!("make the directory of {name}")))?;
        let run = self.run_directory(name);
        fs::create_dir_all(&run).map_err(io_error(format!("make the directory of {name}")))?;
        let mut environment: Vec<(String, String)> = target
            .container
            .environment
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let mut arguments: Vec<String> = Vec::new();
        let mut user = None;
        if target.is_reference_node() {
            let config = directory.join("node.toml");
            fs::write(&config, self.reference_config(name, spool)?)
                .map_err(io_error(format!("write {}", config.display())))?;
            arguments.extend(self.options.node_arguments.iter().cloned());
            arguments.push("--config".into());
            arguments.push(config.to_string_lossy().into_owned());
            // Its files are ours, and so is its socket.
            user = Some(format!(
                "{}:{}",
                nix::unistd::geteuid(),
                nix::unistd::getegid()
            ));
        } else {
            let (host, port) = self.smart_host(name)?;
            let host = host.to_string();
            let told = &target.smart_host;
            let variables = told
                .environment
                .iter()
                .map(|(name, value)| (name.clone(), value.fill(&host, port)));
            environment.extend(variables);
            arguments.extend(
                told.arguments
                    .iter()
                    .map(|argument| argument.fill(&host, port)),
            );
        }
        Ok(Options {
            name: format!("gauntlet-{}-{name}", self.labels.run),
            image: self.options.image.name.clone(),
            network: self.network.name().to_owned(),
            hostname: target
                .container
                .hostname
                .clone()
                .unwrap_or_else(|| name.to_owned()),
            environment,
            arguments,
            mounts: spool.mounts(&run, &directory)?,
            user,
            log: directory.join("node.log"),
        })
    }

    /// The tap to the first sink: where all mail of a target goes.
    fn smart_host(&self, node: &str) -> Result<(Ipv4Addr, u16), ClusterError> {
        let sinks = &self.scenario.cluster.sinks;
        let sink = sinks.first().ok_or_else(|| ClusterError::NotApplicable {
            fault: "mail without a next hop".into(),
            substrate: SUBSTRATE,
            reason: format!(
                "{} sends all mail to a smart host",
                self.options.target.name
            ),
        })?;
        let tap = self
            .links
            .address(node, sink)
            .map_err(io_error(format!("open a tap from {node} to {sink}")))?;
        match tap {
            SocketAddr::V4(tap) => Ok((*tap.ip(), tap.port())),
            SocketAddr::V6(tap) => Err(ClusterError::State(format!("{tap} is no IPv4 address"))),
        }
    }

    /// A reference node's configuration, in which it reaches everybody through taps.
    fn reference_config(&self, node: &str, spool: &Spool) -> Result<String, ClusterError> {
        let Spool::Files(files) = spool else {
            return Err(ClusterError::State(format!("{node} has no files")));
        };
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
            listen: &format!("0.0.0.0:{REFERENCE_PORT}"),
            http: Some(&format!("unix:{RUN}/{SOCKET}")),
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

    /// `nodes/<name>/`, absolute.
    pub(super) fn node_directory(&self, name: &str) -> PathBuf {
        self.nodes_directory.join(name)
    }

    /// A directory with a short path, for sockets: their paths have an end.
    fn run_directory(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn end_of_log(&self, name: &str) -> String {
        let text = fs::read(self.node_directory(name).join("node.log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// Connects, and reads a greeting that says 220.
async fn greeting(at: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(at).await?;
    let mut code = [0; 3];
    stream.read_exact(&mut code).await?;
    match code {
        [b'2', b'2', b'0'] => Ok(()),
        other => Err(io::Error::other(format!(
            "its greeting begins with {}",
            other.escape_ascii()
        ))),
    }
}

pub(super) fn refused(error: EngineError) -> ClusterError {
    match error {
        EngineError::Missing(_) => ClusterError::Missing(error.to_string()),
        EngineError::Refused { what, said } => ClusterError::Io { what, error: said },
        EngineError::Image(error) => ClusterError::Io {
            what: "make an image".into(),
            error,
        },
    }
}

pub(super) fn io_error(what: String) -> impl FnOnce(io::Error) -> ClusterError {
    move |error| ClusterError::Io {
        what,
        error: error.to_string(),
    }
}
