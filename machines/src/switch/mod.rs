//! The Ethernet switch between guests.
//!
//! Comes in: frames of guests, each QEMU with a pair of Unix datagram sockets (`-netdev dgram`), and of the harness's own
//! [stacks](crate::stack). Goes out: the frames where they are to go. What the switch decides stands in [`Core`], without
//! IO; here are its sockets and its clock. A frame that its receiver does not take in time is dropped, as by any switch.

mod core;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    net::UnixDatagram,
    sync::mpsc,
    task::{AbortHandle, JoinHandle},
};

pub use self::core::{Core, Counts, Effect, Gap, Host, Leaves, Mac, PortId, RuleId};

/// Frames that wait for a receiver; a guest that is frozen takes none.
const QUEUE: usize = 1024;

/// The longest frame: an MTU of 1500, and the header; more than that no guest is told to send.
const FRAME: usize = 2048;

/// A switch. Clones are the same switch.
#[derive(Debug, Clone)]
pub struct Switch {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    begun: Instant,
    state: Mutex<State>,
    runtime: tokio::runtime::Handle,
}

#[derive(Debug)]
struct State {
    core: Core,
    queues: BTreeMap<PortId, mpsc::Sender<Vec<u8>>>,
}

/// A port with a QEMU behind it. Dropped, it is unplugged.
#[derive(Debug)]
pub struct Plug {
    switch: Switch,
    port: PortId,
    socket: Arc<UnixDatagram>,
    /// Where QEMU is to bind its end.
    theirs: PathBuf,
    ours: PathBuf,
    tasks: Vec<AbortHandle>,
}

/// A port with a stack of the harness's own behind it. Dropped, it is unplugged.
#[derive(Debug)]
pub struct Cable {
    switch: Switch,
    port: PortId,
    frames: mpsc::Receiver<Vec<u8>>,
}

/// A rule in effect. Dropped, it ends.
#[derive(Debug)]
pub struct Rule {
    switch: Switch,
    id: RuleId,
}

impl Switch {
    /// A switch without ports. What is lost by chance comes from `seed`. Must be called inside a tokio runtime with more
    /// than one thread, or at least one that never blocks.
    pub fn new(seed: u64) -> Self {
        let state = State {
            core: Core::new(seed),
            queues: BTreeMap::new(),
        };
        Self {
            inner: Arc::new(Inner {
                begun: Instant::now(),
                state: Mutex::new(state),
                runtime: tokio::runtime::Handle::current(),
            }),
        }
    }

    /// A port for a QEMU, whose sockets are made in this directory under this name. A path of a socket may have 107 octets.
    ///
    /// # Errors
    /// The socket cannot be bound.
    pub fn plug(&self, host: Host, directory: &Path, name: &str) -> io::Result<Plug> {
        let ours = directory.join(format!("{name}-s"));
        let theirs = directory.join(format!("{name}-g"));
        let _inside = self.inner.runtime.enter();
        let socket = Arc::new(UnixDatagram::bind(&ours)?);
        let (port, queue) = self.attach(host);
        let receiving = self
            .inner
            .runtime
            .spawn(receive(self.clone(), port, socket.clone()));
        let mut plug = Plug {
            switch: self.clone(),
            port,
            socket,
            theirs,
            ours,
            tasks: vec![receiving.abort_handle()],
        };
        plug.tasks.push(plug.send(queue).abort_handle());
        Ok(plug)
    }

    /// A port for a stack of the harness's own.
    pub(crate) fn cable(&self, host: Host) -> Cable {
        let (port, frames) = self.attach(host);
        Cable {
            switch: self.clone(),
            port,
            frames,
        }
    }

    fn attach(&self, host: Host) -> (PortId, mpsc::Receiver<Vec<u8>>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let mut state = self.state();
        let port = state.core.attach(host);
        state.queues.insert(port, sender);
        (port, receiver)
    }

    fn detach(&self, port: PortId) {
        let mut state = self.state();
        state.core.detach(port);
        state.queues.remove(&port);
    }

    /// Lets a rule be in effect until it is dropped.
    #[must_use]
    pub fn rule(&self, from: Host, to: Host, effect: Effect) -> Rule {
        let id = self.state().core.begin(from, to, effect);
        Rule {
            switch: self.clone(),
            id,
        }
    }

    /// Begins to look for the longest time without a frame from that host.
    pub fn watch(&self, host: Host) {
        let now = self.now();
        self.state().core.watch(host, now);
    }

    /// …and ends; `None` when there was no watch.
    pub fn unwatch(&self, host: Host) -> Option<Gap> {
        let now = self.now();
        self.state().core.unwatch(host, now)
    }

    /// Where its tasks run.
    pub(crate) fn runtime(&self) -> &tokio::runtime::Handle {
        &self.inner.runtime
    }

    fn now(&self) -> Duration {
        self.inner.begun.elapsed()
    }

    /// A frame came in on that port.
    fn frame(&self, from: PortId, frame: Vec<u8>) {
        let now = self.now();
        let mut state = self.state();
        let leaving = state.core.frame(from, &frame, now);
        for Leaves { port, after } in leaving {
            let Some(queue) = state.queues.get(&port) else {
                continue;
            };
            if after.is_zero() {
                // A queue that is full loses it.
                let _ = queue.try_send(frame.clone());
            } else {
                let (queue, frame) = (queue.clone(), frame.clone());
                self.inner.runtime.spawn(async move {
                    tokio::time::sleep(after).await;
                    let _ = queue.try_send(frame);
                });
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic runs under this lock.
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

async fn receive(switch: Switch, port: PortId, socket: Arc<UnixDatagram>) {
    let mut frame = vec![0; FRAME];
    loop {
        match socket.recv(&mut frame).await {
            Ok(length) => switch.frame(port, frame[..length].to_vec()),
            // The QEMU at the other end has ended; its port is unplugged soon.
            Err(_gone) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

impl Plug {
    fn send(&self, mut queue: mpsc::Receiver<Vec<u8>>) -> JoinHandle<()> {
        let (socket, theirs) = (self.socket.clone(), self.theirs.clone());
        self.switch.inner.runtime.spawn(async move {
            let mut connected = false;
            while let Some(frame) = queue.recv().await {
                // Only a connected socket says when its receiver has room. Before QEMU has made its end frames are lost.
                connected = connected || socket.connect(&theirs).is_ok();
                if connected {
                    let _ = socket.send(&frame).await;
                }
            }
        })
    }

    /// QEMU's `-netdev` for this port, with that id.
    pub fn netdev(&self, id: &str) -> String {
        format!(
            "dgram,id={id},local.type=unix,local.path={},remote.type=unix,remote.path={}",
            self.theirs.display(),
            self.ours.display()
        )
    }

    /// Frames so far.
    pub fn counts(&self) -> Counts {
        let counts = self.switch.state().core.counts(self.port);
        counts.unwrap_or_default()
    }
}

impl Drop for Plug {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
        self.switch.detach(self.port);
        for path in [&self.ours, &self.theirs] {
            // QEMU's is there only when it was killed.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Cable {
    /// The next frame for the stack.
    pub(crate) async fn receive(&mut self) -> Option<Vec<u8>> {
        self.frames.recv().await
    }

    /// One more, if it is there.
    pub(crate) fn try_receive(&mut self) -> Option<Vec<u8>> {
        self.frames.try_recv().ok()
    }

    /// A frame of the stack's.
    pub(crate) fn send(&self, frame: Vec<u8>) {
        self.switch.frame(self.port, frame);
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.switch.detach(self.port);
    }
}

impl Drop for Rule {
    fn drop(&mut self) {
        self.switch.state().core.end(self.id);
    }
}
