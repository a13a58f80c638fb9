//! A client of Toxiproxy's API: proxies at a Toxiproxy that runs elsewhere, which may be `gauntlet proxy`.
//!
//! Comes in: what a link should be like. Goes out: calls that make it so. Calls block: each is one exchange on loopback,
//! with a limit of time.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};

use super::Toxic;
use crate::host::registry::{Entry, Resource};

/// How long one call may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Nobody listens there: where a link leads whose target is not known yet.
const NOWHERE: &str = "127.0.0.1:1";

/// What went wrong between us and the Toxiproxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Toxiproxy at {api}: {what}")]
pub struct RemoteError {
    api: String,
    what: String,
}

/// A Toxiproxy.
#[derive(Debug)]
pub struct Remote {
    /// `host:port` of its API.
    api: String,
    address: SocketAddr,
    proxies: AtomicU32,
}

/// A proxy of ours at it. Dropped, it is deleted there.
#[derive(Debug)]
pub struct RemoteProxy {
    remote: Arc<Remote>,
    name: String,
    listen: SocketAddr,
    state: RemoteState,
    /// Crossed out when the proxy is deleted.
    _entry: Entry,
}

/// What a proxy is like.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RemoteState {
    /// Where its connections go; `None`: it refuses them.
    pub target: Option<SocketAddr>,
    /// Its toxics.
    pub toxics: Vec<Toxic>,
}

impl Remote {
    /// The Toxiproxy with this API, as `http://127.0.0.1:8474` or `127.0.0.1:8474`.
    ///
    /// # Errors
    /// There is none, or it has another API than version 2.
    pub fn find(url: &str) -> Result<Arc<Self>, RemoteError> {
        let api = url.strip_prefix("http://").unwrap_or(url);
        let api = api.trim_end_matches('/').to_owned();
        let failed = |what: String| RemoteError {
            api: api.clone(),
            what,
        };
        let address = api
            .to_socket_addrs()
            .map_err(|error| failed(error.to_string()))?
            .next()
            .ok_or_else(|| failed("no such address".into()))?;
        let remote = Self {
            api: api.clone(),
            address,
            proxies: AtomicU32::new(0),
        };
        let version = remote.call("GET", "/version", None)?;
        // A Toxiproxy that was built from its sources calls itself `git`.
        match version["version"].as_str() {
            Some(version) if version.starts_with("2.") || version == "git" => Ok(Arc::new(remote)),
            _ => Err(failed(format!("its API is not version 2, but {version}"))),
        }
    }

    /// `host:port` of its API.
    pub fn api(&self) -> &str {
        &self.api
    }

    /// Makes a proxy on a free port, for this link. It refuses connections until it is told where they go.
    ///
    /// # Errors
    /// The Toxiproxy does not answer, or not with a proxy.
    pub fn create(self: &Arc<Self>, link: &str) -> Result<RemoteProxy, RemoteError> {
        let number = self.proxies.fetch_add(1, Ordering::Relaxed);
        let hosts = link.replace('>', "-to-");
        // Two harnesses may use one Toxiproxy.
        let name = format!("gauntlet-{}-{number}-{hosts}", std::process::id());
        let entry = Entry::new(&Resource::RemoteProxy {
            api: self.api.clone(),
            name: name.clone(),
        });
        let entry = entry.map_err(|error| self.failed(format!("write {name} down: {error}")))?;
        let body = json!({ "name": name, "listen": "127.0.0.1:0", "upstream": NOWHERE });
        let made = self.call("POST", "/proxies", Some(&body))?;
        let listen = made["listen"].as_str().and_then(|text| text.parse().ok());
        let listen = listen.ok_or_else(|| self.failed(format!("no address in {made}")))?;
        let proxy = RemoteProxy {
            remote: self.clone(),
            name,
            listen,
            state: RemoteState::default(),
            _entry: entry,
        };
        proxy.update(&json!({ "enabled": false }))?;
        Ok(proxy)
    }

    /// It has a proxy of that name.
    ///
    /// # Errors
    /// It does not answer.
    pub(crate) fn has(&self, name: &str) -> Result<bool, RemoteError> {
        let all = self.call("GET", "/proxies", None)?;
        Ok(all.get(name).is_some())
    }

    /// Deletes a proxy.
    ///
    /// # Errors
    /// There is none of that name, or the Toxiproxy does not answer.
    pub(crate) fn delete(&self, name: &str) -> Result<(), RemoteError> {
        self.call("DELETE", &format!("/proxies/{name}"), None)
            .map(drop)
    }

    fn failed(&self, what: impl Into<String>) -> RemoteError {
        RemoteError {
            api: self.api.clone(),
            what: what.into(),
        }
    }

    /// One call, and its answer.
    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, RemoteError> {
        let exchange = || {
            let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            let body = body.map(Value::to_string).unwrap_or_default();
            // HTTP/1.0: the answer comes in one piece, and ends with the connection.
            let head = format!(
                "{method} {path} HTTP/1.0\r\nHost: {}\r\nUser-Agent: gauntlet\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                self.api,
                body.len()
            );
            stream.write_all((head + &body).as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer: String =
            exchange().map_err(|error: std::io::Error| self.failed(error.to_string()))?;
        let parts = answer.split_once("\r\n\r\n").and_then(|(head, body)| {
            let status: u16 = head.split(' ').nth(1)?.parse().ok()?;
            Some((status, body))
        });
        let (status, body) = parts.ok_or_else(|| self.failed("it does not speak HTTP"))?;
        let value: Value = serde_json::from_str(body).unwrap_or(Value::Null);
        if (200..300).contains(&status) {
            return Ok(value);
        }
        let why = value["error"].as_str().unwrap_or(body.trim());
        Err(self.failed(format!("{method} {path}: {status} {why}")))
    }
}

impl RemoteProxy {
    /// Where the link's `from` connects to.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// Makes it so. Open connections are closed when the target changes.
    ///
    /// # Errors
    /// The Toxiproxy refuses something, or does not answer.
    pub fn become_this(&mut self, wanted: RemoteState) -> Result<(), RemoteError> {
        let path = format!("/proxies/{}/toxics", self.name);
        for gone in self
            .state
            .toxics
            .iter()
            .filter(|t| !wanted.toxics.contains(t))
        {
            self.remote
                .call("DELETE", &format!("{path}/{}", gone.name), None)?;
        }
        for new in wanted
            .toxics
            .iter()
            .filter(|t| !self.state.toxics.contains(t))
        {
            self.remote.call("POST", &path, Some(&json!(new)))?;
        }
        self.state.toxics = wanted.toxics;
        if wanted.target != self.state.target {
            self.update(&match wanted.target {
                Some(target) => json!({ "upstream": target.to_string(), "enabled": true }),
                None => json!({ "enabled": false }),
            })?;
            self.state.target = wanted.target;
        }
        Ok(())
    }

    fn update(&self, change: &Value) -> Result<(), RemoteError> {
        // POST is what every version 2 understands.
        let path = format!("/proxies/{}", self.name);
        self.remote.call("POST", &path, Some(change)).map(drop)
    }
}

impl Drop for RemoteProxy {
    fn drop(&mut self) {
        // A Toxiproxy that has gone has taken it along.
        let _ = self.remote.delete(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toxics::{
        Kind, Stream,
        service::{self, Collection},
    };

    /// Our own service, on its own runtime: calls block.
    fn served() -> (tokio::runtime::Runtime, SocketAddr, Arc<Collection>) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("threads");
        let proxies = Arc::new(Collection::new(1));
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let router = service::router(proxies.clone());
        runtime.spawn(async move { axum::serve(listener, router).await });
        (runtime, address, proxies)
    }

    #[test]
    fn a_proxy_becomes_what_is_wanted_and_is_deleted_when_it_is_dropped() {
        let (runtime, address, proxies) = served();
        let remote = Remote::find(&format!("http://{address}/")).expect("it is there");
        let mut proxy = remote.create("n1>n2").expect("made");
        let view = || {
            let all = runtime.block_on(proxies.all());
            all.into_values().next()
        };
        assert!(!view().expect("it is there").enabled);
        let toxic = Toxic::new(Kind::SlowClose { delay: 5 }, Stream::Upstream);
        let target = Some(address);
        proxy
            .become_this(RemoteState {
                target,
                toxics: vec![toxic.clone()],
            })
            .expect("done");
        let now = view().expect("it is there");
        assert!(now.enabled && now.toxics == [toxic]);
        assert_eq!(now.listen, proxy.address().to_string());
        assert_eq!(now.upstream, address.to_string());
        let toxics = Vec::new();
        proxy
            .become_this(RemoteState { target, toxics })
            .expect("done");
        assert!(view().expect("it is there").toxics.is_empty());
        proxy.become_this(RemoteState::default()).expect("done");
        assert!(!view().expect("it is there").enabled);
        drop(proxy);
        assert_eq!(view(), None);
    }

    #[test]
    fn what_is_no_toxiproxy_is_told() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound").to_string();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n");
        });
        let error = Remote::find(&address)
            .expect_err("no Toxiproxy")
            .to_string();
        assert_eq!(
            error,
            format!("Toxiproxy at {address}: it does not speak HTTP")
        );
        assert!(Remote::find(&address).is_err(), "nobody listens");
        assert!(Remote::find("nowhere").is_err(), "no port");
    }
}
