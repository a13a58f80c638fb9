//! A guest that echoes what it is sent, and what a test needs around it.

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    path::Path,
    sync::OnceLock,
    time::{Duration, Instant},
};

use gauntlet_machines::{
    disk::Disk,
    guest::{Accelerator, Place, Running, Spec, Stopped},
    image::{self, Image, KernelSource, Recipe},
    stack::Stack,
    switch::{Host, Switch},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

pub(crate) const GUEST: Host = Host(1);
pub(crate) const OTHER: Host = Host(2);
const PORT: u16 = 7;

/// What this machine lacks for guests; on CI that is an error.
pub(crate) fn image() -> Option<&'static Image> {
    static IMAGE: OnceLock<Option<Image>> = OnceLock::new();
    let made = IMAGE.get_or_init(|| {
        let recipe = Recipe {
            program: "/bin/busybox".into(),
            kernel: KernelSource::Package,
            cache: None,
        };
        let built = gauntlet_machines::guest::qemu_version()
            .and_then(|_| image::build(&recipe, &mut |line| eprintln!("{line}")));
        match built {
            Ok(image) => Some(image),
            Err(error) if std::env::var_os("CI").is_some() => panic!("{error}"),
            Err(error) => {
                eprintln!("skipped: {error}");
                None
            }
        }
    });
    made.as_ref()
}

/// A guest's network and files.
pub(crate) struct Home {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) switch: Switch,
    pub(crate) stack: Stack,
}

impl Home {
    pub(crate) fn new() -> Self {
        let switch = Switch::new(1);
        let mac = [0x52, 0x54, 0, 0x77, 0, 1];
        let address = Ipv4Addr::new(10, 77, 0, 1);
        Self {
            directory: tempfile::tempdir().expect("a directory"),
            stack: Stack::start(&switch, OTHER, mac, address, 16),
            switch,
        }
    }

    /// A guest that echoes.
    pub(crate) fn guest(&self, image: &Image) -> Stopped {
        let file = |name: &str| self.directory.path().join(name);
        let spec = Spec {
            name: "g1".into(),
            image: image.clone(),
            accelerator: Accelerator::probe(image).0,
            memory_mib: 128,
            vcpus: 1,
            disk: Disk::at(file("data.img"), 64 << 20),
            directory: self.directory.path().to_owned(),
            console: file("console.log"),
            output_name: "log".into(),
            output: file("output"),
            address: *GUEST_ADDRESS.ip(),
            prefix: 16,
            mac: [0x52, 0x54, 0, 0x77, 0, 11],
            files: vec![("greeting".into(), b"hello".to_vec())],
            arguments: ["nc", "-ll", "-p", "7", "-e", "/bin/busybox", "cat"]
                .map(String::from)
                .to_vec(),
            environment: Vec::new(),
            autostart: true,
            forward: None,
            register: None,
        };
        let switch = self.switch.clone();
        Stopped::new(
            spec,
            Place {
                switch,
                host: GUEST,
            },
        )
    }

    pub(crate) fn door(&self) -> SocketAddr {
        self.stack.door(GUEST_ADDRESS).expect("a door")
    }
}

const GUEST_ADDRESS: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 11), PORT);

/// Boots it, and waits until it echoes.
pub(crate) async fn boot(home: &Home, guest: Stopped) -> (Running, TcpStream) {
    let begun = Instant::now();
    let running = guest.boot().map_err(|(_, error)| error).expect("it boots");
    let stream = echoing(home).await;
    eprintln!("from QEMU's start to the first echo: {:?}", begun.elapsed());
    (running, stream)
}

/// A connection to the guest that echoes.
pub(crate) async fn echoing(home: &Home) -> TcpStream {
    let door = home.door();
    for _ in 0..600 {
        let mut stream = TcpStream::connect(door).await.expect("a door");
        let answer = async {
            stream.write_all(b"x").await?;
            stream.read_u8().await
        };
        if let Ok(Ok(b'x')) = timeout(Duration::from_secs(5), answer).await {
            return stream;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let console = std::fs::read_to_string(home.directory.path().join("console.log"));
    panic!("the guest does not echo; its console: {console:?}");
}

/// It echoes on this connection.
pub(crate) async fn echoes(stream: &mut TcpStream, text: &str) {
    let answer = async {
        stream.write_all(text.as_bytes()).await?;
        let mut octets = vec![0; text.len()];
        stream.read_exact(&mut octets).await?;
        std::io::Result::Ok(octets)
    };
    let octets = timeout(Duration::from_secs(30), answer).await;
    let octets = octets.expect("in time").expect("on the same connection");
    assert_eq!(octets, text.as_bytes());
}

pub(crate) fn exists(process: u32) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}
