//! Starting a node: its configuration, its guest, and the wait until it takes mail.
//!
//! Comes in: a node's name, and which transport database it is to have. Goes out: a running node that its taps reach, or
//! why there is none. A node whose guest runs is started in it; else the guest boots.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use gauntlet_machines::guest::next_second;
use tokio::{io::AsyncReadExt, net::TcpStream, task::spawn_blocking, time::timeout};

use super::{
    cluster::{Inner, SECRET, io_error},
    measure,
    network::SMTP,
    node::{Node, State, failed},
};
use crate::{
    scenario::Database,
    substrate::{ClusterError, NodePlace, node_config},
};

/// A node that does not take mail after so long has not started.
const START_PATIENCE: Duration = Duration::from_secs(120);

/// How often a guest that boots is asked whether it is there.
const PAUSE: Duration = Duration::from_millis(20);

/// The node's HTTP endpoint is on loopback only; the guest passes this port on to it.
pub(super) const HTTP: (u16, u16) = (8025, 8024);

/// The transport database within `/data`.
const TRANSPORT_DATABASE: &str = "transport.redb";

/// What is to be done for a node to run.
struct Begun {
    incarnation: u32,
    /// Its guest boots: another boot than that one's.
    boots: bool,
}

impl Inner {
    pub(super) async fn start(
        self: Arc<Self>,
        name: String,
        database: Database,
    ) -> Result<(), ClusterError> {
        let begun = Instant::now();
        let started = self.try_start(&name, database).await?;
        let taking = match timeout(START_PATIENCE, self.serving(&name, &started, database)).await {
            Ok(taking) => taking,
            Err(_late) => Err(ClusterError::Io {
                what: format!("start {name}"),
                error: format!("it does not take mail within {START_PATIENCE:?}"),
            }),
        };
        if let Err(error) = taking {
            let inner = self.clone();
            let console = self.with_node(&name, |node| {
                if node.incarnation == started.incarnation {
                    inner.stop(&name, node);
                }
                Ok(node.end_of_console())
            })?;
            return Err(match error {
                ClusterError::Io { what, error } => ClusterError::Io {
                    what,
                    error: format!("{error}; its console ends with:\n{console}"),
                },
                other => other,
            });
        }
        if started.boots {
            let proof = self.with_node(&name, |node| {
                let id = node.running(&name)?.boot_id();
                id.map_err(failed(format!("ask {name} for its boot")))
            })?;
            let proof = format!("a new QEMU process, boot {proof}, 220 in its greeting");
            measure::record(self.board.recorder(), &name, "boot", begun.elapsed(), proof);
        }
        Ok(())
    }

    async fn try_start(
        self: &Arc<Self>,
        name: &str,
        database: Database,
    ) -> Result<Begun, ClusterError> {
        let (inner, owned) = (self.clone(), name.to_owned());
        let begun = spawn_blocking(move || inner.begin_start(&owned, database)).await;
        begun.unwrap_or_else(|_panic| Err(ClusterError::State(format!("{name} cannot be started"))))
    }

    fn begin_start(&self, name: &str, database: Database) -> Result<Begun, ClusterError> {
        let config = self.config(name)?;
        self.with_node(name, |node| {
            if let State::Running(running) = &mut node.state {
                if node.serves && running.lives() {
                    return Err(ClusterError::State(format!("{name} is running")));
                }
                if !node.serves && running.lives() {
                    node.incarnation += 1;
                    restart(running, database)
                        .map_err(failed(format!("start {name} in its guest")))?;
                    node.serves = true;
                    return Ok(Begun {
                        incarnation: node.incarnation,
                        boots: false,
                    });
                }
            }
            self.stop(name, node);
            node.incarnation += 1;
            std::fs::write(node.directory.join("node.toml"), &config)
                .map_err(io_error(format!("write the configuration of {name}")))?;
            node.spec.files = vec![("node.toml".into(), config.clone().into_bytes())];
            match node.anew().boot() {
                Ok(running) => node.state = State::Running(Box::new(running)),
                Err((stopped, error)) => {
                    node.state = State::Stopped(stopped);
                    return Err(failed(format!("boot {name}"))(error));
                }
            }
            node.starve_new()
                .map_err(io_error(format!("starve {name}")))?;
            Ok(Begun {
                incarnation: node.incarnation,
                boots: true,
            })
        })
    }

    /// Until the node greets. The lock is held for moments only: the guest may be struck while it boots.
    async fn serving(
        self: &Arc<Self>,
        name: &str,
        begun: &Begun,
        database: Database,
    ) -> Result<(), ClusterError> {
        let what = || format!("start {name}");
        if begun.boots {
            while !self.own(name, begun, |node| {
                let up = node.running(name)?.is_up(PAUSE);
                up.map_err(failed(what()))
            })? {
                tokio::time::sleep(PAUSE).await;
            }
            // Its hardware clock has whole seconds, and began one when QEMU did.
            tokio::time::sleep(next_second(0).1.saturating_sub(PAUSE)).await;
            self.own(name, begun, |node| {
                let running = node.running(name)?;
                let done = running
                    .set_clock(0)
                    .and_then(|()| restart(running, database));
                node.serves = true;
                done.map_err(failed(what()))
            })?;
        }
        let door = self.network.door(name, SMTP).map_err(io_error(what()))?;
        while let Err(refused) = greeting(door).await {
            if refused.kind() == io::ErrorKind::InvalidData {
                return Err(io_error(what())(refused));
            }
            let lives = self.own(name, begun, |node| {
                // One that stands still says nothing; its start waits.
                let running = node.running(name)?;
                let stands = !running.is_running().map_err(failed(what()))?;
                Ok(stands || running.program_lives().map_err(failed(what()))?)
            })?;
            if !lives {
                let ended = io::Error::other("the node has ended");
                return Err(io_error(what())(ended));
            }
            tokio::time::sleep(PAUSE).await;
        }
        let http = self.network.door(name, HTTP.0).map_err(io_error(what()))?;
        self.own(name, begun, |node| {
            node.http = Some(http);
            let guest = SocketAddr::V4(self.network.guest(name, SMTP));
            self.links.set_target(None, name, Some(guest));
            Ok(())
        })
    }

    /// Does something with a node whose start is still under way.
    fn own<T>(
        &self,
        name: &str,
        begun: &Begun,
        act: impl FnOnce(&mut Node) -> Result<T, ClusterError>,
    ) -> Result<T, ClusterError> {
        self.with_node(name, |node| {
            if node.incarnation != begun.incarnation || !matches!(node.state, State::Running(_)) {
                return Err(ClusterError::State(format!(
                    "{name} was ended while it started"
                )));
            }
            act(node)
        })
    }

    /// The node's configuration, in which it reaches everybody at their stand-ins.
    fn config(&self, node: &str) -> Result<String, ClusterError> {
        let data = Path::new("/data");
        let place = NodePlace {
            data: data.to_str().unwrap_or_default(),
            listen: "0.0.0.0:25",
            http: Some("127.0.0.1:8024"),
            secret: SECRET,
            sabotage: self.options.sabotage.as_deref(),
            real_time: true,
        };
        let address = |_: &str, to: &str| self.network.address_for_guests(to).to_string();
        Ok(node_config(
            &self.scenario,
            node,
            &place,
            address,
            |documented| self.scaled(documented),
        ))
    }
}

/// Starts the program in a guest that runs.
fn restart(
    running: &mut gauntlet_machines::guest::Running,
    database: Database,
) -> Result<(), gauntlet_machines::Error> {
    if database == Database::New {
        running.remove(TRANSPORT_DATABASE)?;
    }
    running.start_program()
}

/// Reads a greeting that says 220; `InvalidData` when it says something else.
async fn greeting(door: SocketAddr) -> io::Result<()> {
    let read = async {
        let mut stream = TcpStream::connect(door).await?;
        let mut code = [0; 3];
        stream.read_exact(&mut code).await?;
        io::Result::Ok(code)
    };
    // A guest that has no time for a greeting is asked again.
    match timeout(Duration::from_secs(10), read).await?? {
        [b'2', b'2', b'0'] => Ok(()),
        other => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("its greeting begins with {}", other.escape_ascii()),
        )),
    }
}
