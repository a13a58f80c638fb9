//! What is done to guests and to their network.
//!
//! Comes in: faults. Goes out: guests that are killed, frozen, saved, moved, shut down, reverted, starved; what each took, and
//! by what it is known that it took effect, in the history. What takes its time begins at once (a guest that is saved stops
//! before `inject` returns) and goes on on a thread of its own, which the next call for this guest waits for.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use gauntlet_machines::guest::{Running, next_second};

use super::{
    cluster::{Inner, MEMORY_MIB, io_error},
    measure,
    node::{Node, State, failed, not_running},
};
use crate::{
    check,
    history::Fault,
    host::cgroup::{self, Cgroup},
    links::LinkError,
    scenario::ResumedClock,
    substrate::ClusterError,
};

/// How long a guest may take to shut down, or to give up memory.
const PATIENCE: Duration = Duration::from_secs(60);

/// A guest that is resumed needs so long to be there; its clock is to be set right after that.
const RESUMING: Duration = Duration::from_millis(150);

impl Inner {
    pub(super) fn inject(&self, fault: &Fault) -> Result<(), ClusterError> {
        match fault {
            Fault::ProcessCrash { node: name } => self.with_node(name, |node| {
                let running = node.running(name)?;
                let killed = running.kill_program();
                killed.map_err(failed(format!("kill {name} in its guest")))?;
                self.links.set_target(None, name, None);
                node.http = None;
                node.serves = false;
                Ok(())
            }),
            Fault::HostCrash { node: name } => self.with_node(name, |node| {
                if self.stop(name, node) {
                    Ok(())
                } else {
                    Err(not_running(name))
                }
            }),
            Fault::Destroy { node: name } => self.with_node(name, |node| {
                self.stop(name, node);
                let destroyed = node.spec.disk.destroy();
                destroyed.map_err(failed(format!("remove the disk of {name}")))
            }),
            Fault::Freeze { node: name } => self.with_node(name, |node| {
                let frozen = node.running(name)?.freeze();
                frozen.map_err(failed(format!("stop {name}")))
            }),
            Fault::Revert { node: name } => self.with_node(name, |node| {
                let snapshot = node.snapshot();
                if !snapshot.exists() {
                    return Err(ClusterError::State(format!(
                        "there is no snapshot of {name}"
                    )));
                }
                self.stop(name, node);
                let reverted = node.spec.disk.put_back(&snapshot);
                reverted.map_err(failed(format!("put the disk of {name} back")))
            }),
            Fault::Save { node: name } => self.with_node(name, |node| self.save(name, node)),
            Fault::Migration { node: name } => self.with_node(name, |node| {
                let mut running = node.take_running(name)?;
                let moving = move || {
                    let moved = running.migrate();
                    (*running, moved)
                };
                node.state = State::Moving(thread::spawn(moving));
                Ok(())
            }),
            Fault::Shutdown { node: name } => self.with_node(name, |node| self.press(name, node)),
            Fault::Ballooned {
                node: name,
                megabytes,
            } => self.with_node(name, |node| {
                let left = MEMORY_MIB.saturating_sub(*megabytes);
                self.balloon(name, node, Some(left))
            }),
            Fault::ClockJump {
                node: name,
                offset_ms,
            } => self.jump(name, *offset_ms),
            Fault::CpuStarved {
                node: name,
                percent,
            } => self.with_node(name, |node| starve(name, node, *percent)),
            Fault::DiskFull { node } => Err(not_applicable("a full disk", node)),
            Fault::DiskReadOnly { node } => Err(not_applicable("a read-only disk", node)),
            Fault::Partition { a, b, .. } => {
                self.check_host(a)?;
                self.check_host(b)?;
                self.network.begin(fault);
                Ok(())
            }
            Fault::BlackHole { link, .. }
            | Fault::Delay { link, .. }
            | Fault::Reset { link }
            | Fault::Toxic { link, .. }
            | Fault::Down { link }
            | Fault::Garble { link }
            | Fault::DelayReply { link, .. } => {
                let unknown = || ClusterError::Unknown(format!("link {link}"));
                let (from, to) = link.split_once('>').ok_or_else(unknown)?;
                self.check_host(from)?;
                self.check_host(to)?;
                self.begin(fault)
            }
        }
    }

    pub(super) fn heal(&self, fault: &Fault) -> Result<(), ClusterError> {
        let ended = match fault {
            Fault::Freeze { node: name } => {
                return self.with_node(name, |node| {
                    node.running(name)?;
                    // The guest's time stood still; whoever lets it go on tells it what time it is, as hypervisors do.
                    thread::sleep(next_second(0).1.saturating_sub(RESUMING));
                    let thawed = node.running(name)?.thaw();
                    thawed.map_err(failed(format!("continue {name}")))?;
                    self.correct(name, node)
                });
            }
            Fault::Save { node: name } => return self.resume(name),
            Fault::Ballooned { node: name, .. } => {
                return self.with_node(name, |node| self.balloon(name, node, None));
            }
            Fault::ClockJump { node: name, .. } => return self.jump(name, 0),
            Fault::CpuStarved { node: name, .. } => {
                return self.with_node(name, |node| {
                    let fed = node.starved.take().map(Cgroup::remove).unwrap_or(Ok(()));
                    fed.map_err(io_error(format!("feed {name}")))
                });
            }
            Fault::Partition { .. } => self.network.end(fault),
            _ => self.links.end(fault),
        };
        if ended {
            Ok(())
        } else {
            let reason = "nothing of this kind is in effect";
            Err(ClusterError::State(reason.into()))
        }
    }

    /// Waits until a migration or a shutdown is over.
    pub(super) async fn finished(
        self: std::sync::Arc<Self>,
        fault: Fault,
    ) -> Result<(), ClusterError> {
        let waiting = tokio::task::spawn_blocking(move || match &fault {
            Fault::Migration { node: name } => self.with_node(name, |node| self.moved(name, node)),
            Fault::Shutdown { node: name } => self.with_node(name, |node| self.ended(name, node)),
            _ => Ok(()),
        });
        waiting
            .await
            .unwrap_or_else(|_panic| Err(ClusterError::State("it came to nothing".into())))
    }

    pub(super) fn snapshot(&self, name: &str) -> Result<(), ClusterError> {
        self.with_node(name, |node| {
            let to = node.snapshot();
            let copied = match &mut node.state {
                State::Running(running) => running.copy_disk(&to),
                _ => node
                    .spec
                    .disk
                    .ensure()
                    .and_then(|()| node.spec.disk.copy_to(&to)),
            };
            copied.map_err(failed(format!("copy the disk of {name}")))
        })
    }

    pub(super) fn set_clock(&self, name: &str, clock: ResumedClock) -> Result<(), ClusterError> {
        self.with_node(name, |node| {
            node.resumed_clock = clock;
            if clock == ResumedClock::Corrected && node.is_stale {
                self.correct(name, node)?;
            }
            Ok(())
        })
    }

    /// Stops it at once; the rest takes half a second and needs nobody.
    fn save(&self, name: &str, node: &mut Node) -> Result<(), ClusterError> {
        let what = || failed(format!("save {name}"));
        let mut running = node.take_running(name)?;
        if let Err(error) = running.freeze() {
            node.state = State::Running(running);
            return Err(what()(error));
        }
        self.links.set_target(None, name, None);
        node.http = None;
        let file = node.saved_memory();
        node.state = State::Saving(thread::spawn(move || running.save(&file)));
        Ok(())
    }

    /// Lets a saved guest go on. Where its clock is to be right, it goes on shortly before a second begins.
    fn resume(&self, name: &str) -> Result<(), ClusterError> {
        self.with_node(name, |node| {
            let thread = match std::mem::replace(&mut node.state, State::Taken) {
                State::Saving(thread) => thread,
                other => {
                    node.state = other;
                    return Err(ClusterError::State(format!("{name} is not saved")));
                }
            };
            let lost = || ClusterError::State(format!("the saved state of {name} is lost"));
            let saved = thread.join().map_err(|_panic| lost());
            let saved = match saved.and_then(|saved| saved.map_err(failed(format!("save {name}"))))
            {
                Ok(saved) => saved,
                Err(error) => {
                    node.kill();
                    return Err(error);
                }
            };
            let size = std::fs::metadata(node.saved_memory()).map_or(0, |file| file.len() >> 20);
            let proof = format!("QEMU has ended; {size} MiB of state");
            measure::record(self.board.recorder(), name, "save", saved.took, proof);
            if node.resumed_clock == ResumedClock::Corrected {
                let wait = next_second(0).1;
                thread::sleep(wait.saturating_sub(RESUMING));
            }
            let resuming = Instant::now();
            let mut running = match saved.resume() {
                Ok(running) => running,
                Err((saved, error)) => {
                    node.state = State::Stopped(saved.discard());
                    return Err(failed(format!("resume {name}"))(error));
                }
            };
            let took = resuming.elapsed();
            let proof = told(&mut running).map_err(failed(format!("resume {name}")))?;
            node.state = State::Running(Box::new(running));
            node.starve_new()
                .map_err(io_error(format!("starve {name}")))?;
            measure::record(self.board.recorder(), name, "resume", took, proof);
            node.is_stale = true;
            if node.resumed_clock == ResumedClock::Corrected {
                self.correct(name, node)?;
            }
            self.reachable(name, node)
        })
    }

    /// Taps lead to a guest whose node runs.
    fn reachable(&self, name: &str, node: &mut Node) -> Result<(), ClusterError> {
        use super::{network::SMTP, start::HTTP};
        if node.serves {
            let door = self.network.door(name, HTTP.0);
            node.http = Some(door.map_err(io_error(format!("open a way to {name}")))?);
            let guest = self.network.guest(name, SMTP);
            self.links.set_target(None, name, Some(guest.into()));
        }
        Ok(())
    }

    /// Sets the clock of a guest right that has that of an earlier moment.
    fn correct(&self, name: &str, node: &mut Node) -> Result<(), ClusterError> {
        let begun = Instant::now();
        let ahead_ms = node.ahead_ms;
        let running = node.running(name)?;
        let corrected = running.clock_ahead().and_then(|before| {
            running.set_clock(ahead_ms)?;
            Ok((before, running.clock_ahead()?))
        });
        let (before, after) = corrected.map_err(failed(format!("set the clock of {name}")))?;
        node.is_stale = false;
        let proof = format!("it was {before:.3} s ahead, and is {after:.3} s ahead");
        measure::record(self.board.recorder(), name, "clock", begun.elapsed(), proof);
        Ok(())
    }

    fn jump(&self, name: &str, documented_ms: i64) -> Result<(), ClusterError> {
        let ahead_ms = documented_ms / i64::from(self.options.time_scale.max(1));
        self.with_node(name, |node| {
            node.ahead_ms = ahead_ms;
            self.correct(name, node)
        })
    }

    fn moved(&self, name: &str, node: &mut Node) -> Result<(), ClusterError> {
        let thread = match std::mem::replace(&mut node.state, State::Taken) {
            State::Moving(thread) => thread,
            other => {
                // Whoever needed it meanwhile has waited for it.
                node.state = other;
                return Ok(());
            }
        };
        let (mut running, moved) = match thread.join() {
            Ok(moved) => moved,
            Err(_panic) => {
                node.kill();
                return Err(ClusterError::State(format!("{name} is lost on its way")));
            }
        };
        let proof = told(&mut running);
        node.state = State::Running(Box::new(running));
        let what = || failed(format!("move {name}"));
        let moved = moved.map_err(what())?;
        node.starve_new()
            .map_err(io_error(format!("starve {name}")))?;
        let proof = format!(
            "{}; QEMU counts {} ms; {} frames meanwhile",
            proof.map_err(what())?,
            moved.downtime.as_millis(),
            moved.blackout.frames
        );
        measure::migration(self.board.recorder(), name, &moved, proof);
        Ok(())
    }

    /// Presses the power button.
    fn press(&self, name: &str, node: &mut Node) -> Result<(), ClusterError> {
        if !node.running(name)?.is_running().unwrap_or(false) {
            return Err(ClusterError::State(format!("{name} stands still")));
        }
        let running = node.take_running(name)?;
        node.http = None;
        let begun = Instant::now();
        let ending = move || {
            let ended = running.shut_down(PATIENCE);
            (begun.elapsed(), ended)
        };
        node.state = State::Ending(thread::spawn(ending));
        Ok(())
    }

    fn ended(&self, name: &str, node: &mut Node) -> Result<(), ClusterError> {
        let thread = match std::mem::replace(&mut node.state, State::Taken) {
            State::Ending(thread) => thread,
            other => {
                node.state = other;
                return Ok(());
            }
        };
        let ended = thread.join();
        self.links.set_target(None, name, None);
        node.serves = false;
        node.tail.follow(self.board.recorder());
        match ended {
            Ok((took, Ok(stopped))) => {
                node.state = State::Stopped(stopped);
                let proof = "the guest has shut down by itself, and QEMU has ended".into();
                measure::record(self.board.recorder(), name, "shutdown", took, proof);
                Ok(())
            }
            // One that does not end in an orderly way is ended all the same.
            Ok((_, Err((running, error)))) => {
                node.state = State::Stopped(running.kill());
                Err(failed(format!("shut {name} down"))(error))
            }
            Err(_panic) => {
                node.kill();
                Err(ClusterError::State(format!(
                    "{name} is lost in its shutdown"
                )))
            }
        }
    }

    /// `None`: all that it was made with.
    fn balloon(&self, name: &str, node: &mut Node, mib: Option<u32>) -> Result<(), ClusterError> {
        let running = node.running(name)?;
        let changed = running
            .balloon(mib.unwrap_or(MEMORY_MIB), PATIENCE)
            .and_then(|took| Ok((took, running.memory()?)));
        let (took, memory) = changed.map_err(failed(format!("change the memory of {name}")))?;
        node.ballooned = mib;
        let proof = format!(
            "the guest counts {} KiB, of which {} KiB are to be had",
            memory.total_kib, memory.available_kib
        );
        measure::record(self.board.recorder(), name, "balloon", took, proof);
        Ok(())
    }

    fn begin(&self, fault: &Fault) -> Result<(), ClusterError> {
        self.links.begin(fault).map_err(|error| match error {
            LinkError::ToxicExists => ClusterError::State(error.to_string()),
            LinkError::NotApplicable(reason) => ClusterError::NotApplicable {
                fault: format!("this fault ({})", check::evidence::fault(fault)),
                substrate: "vm",
                reason: reason.into(),
            },
            LinkError::Remote(error) => ClusterError::Io {
                what: "change a link".into(),
                error: error.to_string(),
            },
        })
    }
}

/// What a guest says that is the same one: the boot that it is of, and how long it runs.
fn told(running: &mut Running) -> Result<String, gauntlet_machines::Error> {
    let (process, id, uptime) = (running.process(), running.boot_id()?, running.uptime()?);
    let seconds = uptime.as_secs_f64();
    Ok(format!(
        "QEMU {process}; boot {id} goes on, up {seconds:.2} s"
    ))
}

fn starve(name: &str, node: &mut Node, percent: u32) -> Result<(), ClusterError> {
    cgroup::available().map_err(|reason| ClusterError::NotApplicable {
        fault: format!("a starved processor of {name}"),
        substrate: "vm",
        reason,
    })?;
    let starve = |node: &mut Node| -> io::Result<()> {
        // A second time it gets another share.
        if let Some(before) = node.starved.take() {
            before.remove()?;
        }
        node.starved = Some(Cgroup::new(name, percent)?);
        node.starve_new()
    };
    starve(node).map_err(io_error(format!("starve {name}")))
}

fn not_applicable(fault: &str, node: &str) -> ClusterError {
    ClusterError::NotApplicable {
        fault: format!("{fault} of {node}"),
        substrate: "vm",
        reason: "a guest's disk is a file of a fixed size, and nothing here lets QEMU refuse a write (substrate `process` can)"
            .into(),
    }
}
