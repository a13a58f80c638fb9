//! A small SMTP server for tests of the cases: right by default, and wrong in exactly the ways that it is told.
//!
//! It offers every extension that has cases, delivers into a maildir, and never uses the code that it tests.

mod flaw;
mod session;
mod transaction;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::{Mutex, OwnedMutexGuard},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};
use tokio_util::task::AbortOnDropHandle;

pub(crate) use flaw::Flaw;

/// A server that runs until it is dropped.
pub(crate) struct Server {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    maildir: TempDir,
    _task: AbortOnDropHandle<()>,
}

/// What its sessions share.
struct Shared {
    flaws: Vec<Flaw>,
    maildir: PathBuf,
    delivered: AtomicUsize,
    connected: AtomicUsize,
    one_at_a_time: Arc<Mutex<()>>,
    tls: TlsAcceptor,
}

impl Shared {
    fn has(&self, flaw: Flaw) -> bool {
        self.flaws.contains(&flaw)
    }

    /// Delivers by rename, so that nobody sees half a message.
    fn deliver(&self, message: &[u8]) {
        let mut message = message.to_vec();
        for flaw in &self.flaws {
            if let Flaw::Delivery(from, to) = flaw {
                message = replaced(&message, from.as_bytes(), to.as_bytes());
            }
        }
        let name = self.delivered.fetch_add(1, Ordering::SeqCst).to_string();
        let (tmp, new) = (
            self.maildir.join("tmp").join(&name),
            self.maildir.join("new").join(&name),
        );
        std::fs::write(&tmp, message).expect("a maildir");
        std::fs::rename(tmp, new).expect("a maildir");
    }
}

fn replaced(octets: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    let mut rest = octets;
    while let Some(at) = find(rest, from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// Where `needle` begins first.
fn find(octets: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(octets, needle)
}

impl Server {
    /// A server with these flaws.
    pub(crate) async fn start(flaws: &[Flaw]) -> Self {
        let maildir = tempfile::tempdir().expect("a directory");
        for name in ["tmp", "new", "cur"] {
            std::fs::create_dir(maildir.path().join(name)).expect("a maildir");
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            flaws: flaws.to_vec(),
            maildir: maildir.path().to_owned(),
            delivered: AtomicUsize::new(0),
            connected: AtomicUsize::new(0),
            one_at_a_time: Arc::default(),
            tls: acceptor(),
        });
        let task = tokio::spawn(async move {
            let mut sessions = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let shared = shared.clone();
                let count = shared.connected.fetch_add(1, Ordering::SeqCst);
                // So many at once, and it is of no use to anybody any more.
                if shared.has(Flaw::DiesOfConnections) && count > 60 {
                    return;
                }
                sessions.spawn(async move {
                    let alone: Option<OwnedMutexGuard<()>> =
                        match shared.has(Flaw::OneClientAtATime) {
                            true => Some(shared.one_at_a_time.clone().lock_owned().await),
                            false => None,
                        };
                    session::Session::new(Box::new(stream), shared.clone())
                        .serve()
                        .await;
                    drop(alone);
                    shared.connected.fetch_sub(1, Ordering::SeqCst);
                });
                while sessions.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            maildir,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Where it delivers.
    pub(crate) fn maildir(&self) -> PathBuf {
        self.maildir.path().to_owned()
    }
}

/// A certificate that nobody would trust.
fn acceptor() -> TlsAcceptor {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .expect("its own key");
    TlsAcceptor::from(Arc::new(config))
}
