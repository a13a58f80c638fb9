//! A host of the harness's own on the switch, which passes TCP connections between it and loopback.
//!
//! Comes in: connections of guests to an [exposed](Stack::expose) port, and connections of the harness to a
//! [door](Stack::door). Goes out: the same connections on the other side. So what observes TCP on loopback observes guests
//! too. A half-closed connection stays half closed, and a reset is a reset on the other side ([`bridge`]).
//!
//! smoltcp is driven here and not through tokio-smoltcp: that shows a reset as an end, sends none itself, and has one
//! handshake at a time in a listener, so that a second connection in that time is refused.

mod bridge;
mod device;
mod pulse;

pub(crate) use self::pulse::Pulse;

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use smoltcp::{
    iface::{Config, Interface, SocketHandle, SocketSet},
    socket::tcp,
    time::{Duration as StackDuration, Instant},
    wire::{EthernetAddress, IpAddress, IpCidr},
};
use tokio::{
    net::TcpListener,
    sync::Notify,
    task::{AbortHandle, JoinHandle},
};

use self::device::Device;
use crate::switch::{Cable, Host, Mac, Switch};

/// Octets that wait in each direction of a connection.
const BUFFER: usize = 64 * 1024;

/// Sockets that listen on a port; one is taken at a time, and replaced at once.
const BACKLOG: usize = 2;

/// A host that does not answer a connection for so long is unreachable: as long as Linux asks for its Ethernet address.
const UNREACHABLE: Duration = Duration::from_secs(3);

/// How long what is closed may take to say so to a peer that does not answer.
const LINGER: StackDuration = StackDuration::from_secs(60);

/// Where connections of a guest to an exposed port go; `None`: they are reset.
pub type Route = Arc<dyn Fn(Ipv4Addr) -> Option<SocketAddr> + Send + Sync>;

/// A host. Dropped, it is gone with its connections.
pub struct Stack {
    shared: Arc<Shared>,
    runtime: tokio::runtime::Handle,
    driver: AbortHandle,
    doors: Mutex<Vec<AbortHandle>>,
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stack")
    }
}

struct Shared {
    state: Mutex<State>,
    /// Something changed: the driver is to look.
    changed: Notify,
}

struct State {
    interface: Interface,
    sockets: SocketSet<'static>,
    device: Device,
    exposed: Vec<Exposed>,
    /// Connections that have come, and that nobody holds yet.
    accepted: Vec<(SocketHandle, Route)>,
    /// Nobody holds them any more; they are removed when their peers know.
    retired: Vec<SocketHandle>,
    last_port: u16,
}

struct Exposed {
    port: u16,
    listening: Vec<SocketHandle>,
    route: Route,
}

impl Stack {
    /// Plugs a host with these addresses into a switch.
    pub fn start(switch: &Switch, host: Host, mac: Mac, address: Ipv4Addr, prefix: u8) -> Self {
        let mut device = Device::default();
        let mut config = Config::new(EthernetAddress(mac).into());
        // Sequence numbers need to differ between hosts, not to be secret: nobody else is on this network.
        config.random_seed = u64::from(u32::from(address)) << 16 | u64::from(std::process::id());
        let mut interface = Interface::new(config, &mut device, now());
        interface.update_ip_addrs(|addresses| {
            // The list is empty, and has room for one.
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(address), prefix));
        });
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                interface,
                sockets: SocketSet::new(Vec::new()),
                device,
                exposed: Vec::new(),
                accepted: Vec::new(),
                retired: Vec::new(),
                last_port: 20_000,
            }),
            changed: Notify::new(),
        });
        let runtime = switch.runtime().clone();
        let driver = runtime.spawn(drive(shared.clone(), switch.cable(host)));
        Self {
            shared,
            runtime,
            driver: driver.abort_handle(),
            doors: Mutex::default(),
        }
    }

    /// Takes connections to a port, and passes them on to where `route` says.
    pub fn expose(&self, port: u16, route: Route) {
        let mut state = self.shared.state();
        let listening = (0..BACKLOG).map(|_| state.listen(port)).collect();
        state.exposed.push(Exposed {
            port,
            listening,
            route,
        });
    }

    /// A loopback port whose connections go to that port of a host on the switch. A host that does not answer resets them
    /// after three seconds.
    ///
    /// # Errors
    /// No loopback port is free.
    pub fn door(&self, to: SocketAddrV4) -> io::Result<SocketAddr> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let _inside = self.runtime.enter();
        let listener = TcpListener::from_std(listener)?;
        let shared = self.shared.clone();
        let door: JoinHandle<()> = self.runtime.spawn(async move {
            // A connection that was broken off before it was taken ends nothing here.
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(bridge::outward(shared.clone(), stream, to));
                } else {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        });
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        doors.push(door.abort_handle());
        Ok(address)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.driver.abort();
        let doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        doors.iter().for_each(AbortHandle::abort);
    }
}

/// Moves frames and time until the stack is dropped.
async fn drive(shared: Arc<Shared>, mut cable: Cable) {
    loop {
        let (frames, accepted, wait) = shared.state().turn();
        for frame in frames {
            cable.send(frame);
        }
        for (socket, route) in accepted {
            tokio::spawn(bridge::inward(shared.clone(), socket, route));
        }
        let wait = wait.map_or(Duration::from_secs(60), Duration::from);
        let mut next = tokio::select! {
            frame = cable.receive() => frame,
            () = shared.changed.notified() => None,
            () = tokio::time::sleep(wait) => None,
        };
        let mut state = shared.state();
        // One by one: each may be a handshake, and the next must find a socket that listens.
        while let Some(frame) = next {
            state.take(frame);
            next = cable.try_receive();
        }
    }
}

/// smoltcp's time.
fn now() -> Instant {
    Instant::now()
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic of smoltcp under this lock would end its task; the others find connections that do not answer.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A frame has come.
    fn take(&mut self, frame: Vec<u8>) {
        self.device.received.push_back(frame);
        self.interface
            .poll_ingress_single(now(), &mut self.device, &mut self.sockets);
        let accepted = self.accepted();
        self.accepted.extend(accepted);
    }

    /// One turn: what is to be sent, which connections have come, and when the next turn is due.
    #[expect(
        clippy::type_complexity,
        reason = "three things, named where they are taken"
    )]
    fn turn(
        &mut self,
    ) -> (
        Vec<Vec<u8>>,
        Vec<(SocketHandle, Route)>,
        Option<StackDuration>,
    ) {
        let now = now();
        self.interface
            .poll(now, &mut self.device, &mut self.sockets);
        let more = self.accepted();
        self.accepted.extend(more);
        let accepted = std::mem::take(&mut self.accepted);
        self.bury();
        let wait = self.interface.poll_delay(now, &self.sockets);
        let frames = self.device.sent.drain(..).collect();
        (frames, accepted, wait)
    }

    /// Sockets that have a peer now, each replaced by another that listens.
    fn accepted(&mut self) -> Vec<(SocketHandle, Route)> {
        let mut accepted = Vec::new();
        let mut exposed = std::mem::take(&mut self.exposed);
        for one in &mut exposed {
            for place in &mut one.listening {
                if self.sockets.get::<tcp::Socket<'_>>(*place).is_listening() {
                    continue;
                }
                let socket = std::mem::replace(place, self.listen(one.port));
                accepted.push((socket, one.route.clone()));
            }
        }
        self.exposed = exposed;
        accepted
    }

    /// Removes what is closed on both sides.
    fn bury(&mut self) {
        let sockets = &mut self.sockets;
        self.retired.retain(|handle| {
            let socket = sockets.get::<tcp::Socket<'_>>(*handle);
            // A reset that was not yet sent has its addresses still.
            let over = match socket.state() {
                tcp::State::Closed => socket.remote_endpoint().is_none(),
                tcp::State::TimeWait | tcp::State::Listen => true,
                _ => false,
            };
            if over {
                sockets.remove(*handle);
            }
            !over
        });
    }

    fn socket(&mut self) -> tcp::Socket<'static> {
        let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        socket
    }

    fn listen(&mut self, port: u16) -> SocketHandle {
        let mut socket = self.socket();
        // A new socket can listen, and the port is not 0.
        let _ = socket.listen(port);
        self.sockets.add(socket)
    }

    /// Begins a handshake with that host.
    fn connect(&mut self, to: SocketAddrV4) -> Result<SocketHandle, tcp::ConnectError> {
        self.last_port = match self.last_port {
            60_000.. => 20_001,
            port => port + 1,
        };
        let from = self.last_port;
        let mut socket = self.socket();
        let remote = (IpAddress::Ipv4(*to.ip()), to.port());
        socket.connect(self.interface.context(), remote, from)?;
        Ok(self.sockets.add(socket))
    }

    /// Nobody holds the socket any more. What it has to say is said.
    fn retire(&mut self, handle: SocketHandle) {
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
        socket.set_timeout(Some(LINGER));
        self.retired.push(handle);
    }
}
