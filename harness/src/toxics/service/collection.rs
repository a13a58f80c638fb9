//! Proxies by name: what there is, and what is done to them.

use std::{
    collections::BTreeMap,
    fmt::Write,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, atomic::Ordering},
};

use rand_chacha::rand_core::Rng;
use serde::Serialize;
use tokio::{
    net::{TcpListener, lookup_host},
    sync::Mutex,
};

use super::{
    ApiError,
    input::{ProxyInput, ToxicInput},
};
use crate::{
    scenario,
    tap::{Direction, LinkState, Proxy, Target, Traffic},
    toxics::{Toxic, ToxicList},
};

/// All proxies of a service.
#[derive(Debug)]
pub struct Collection {
    proxies: Mutex<BTreeMap<String, Named>>,
    /// What toxics leave to chance comes from it.
    seed: u64,
}

/// A proxy, as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProxyView {
    /// Its name.
    pub name: String,
    /// Where it listens; the port is the one that it was given when 0 was asked for.
    pub listen: String,
    /// Where its connections go.
    pub upstream: String,
    /// It listens.
    pub enabled: bool,
    /// Its toxics.
    pub toxics: Vec<Toxic>,
}

/// A proxy, running or not.
#[derive(Debug)]
struct Named {
    name: String,
    listen: String,
    upstream: String,
    toxics: ToxicList,
    traffic: Arc<Traffic>,
    running: Option<Proxy>,
}

impl Collection {
    /// Without proxies.
    pub fn new(seed: u64) -> Self {
        Self {
            proxies: Mutex::default(),
            seed,
        }
    }

    /// All proxies, by name.
    pub async fn all(&self) -> BTreeMap<String, ProxyView> {
        let proxies = self.proxies.lock().await;
        let views = proxies
            .values()
            .map(|named| (named.name.clone(), named.view()));
        views.collect()
    }

    /// Makes proxies from JSON as [`Self::populate_with`] does; what the config file has, too.
    ///
    /// # Errors
    /// As Toxiproxy's `POST /populate`; some of the proxies may have been made.
    pub async fn populate(&self, json: &[u8]) -> (Vec<ProxyView>, Result<(), ApiError>) {
        match super::input::body(json) {
            Ok(proxies) => self.populate_with(proxies).await,
            Err(error) => (Vec::new(), Err(error)),
        }
    }

    /// Makes or replaces proxies. One that is there with the same addresses stays untouched.
    async fn populate_with(
        &self,
        inputs: Vec<ProxyInput>,
    ) -> (Vec<ProxyView>, Result<(), ApiError>) {
        let mut made = Vec::new();
        let mut named = Vec::new();
        for (n, input) in inputs.iter().enumerate() {
            match Named::new(input, &format!(" at proxy {}", n + 1)) {
                Ok(one) => named.push((one, input.enabled.unwrap_or(true))),
                Err(error) => return (made, Err(error)),
            }
        }
        let mut proxies = self.proxies.lock().await;
        for (mut one, enabled) in named {
            if let Some(there) = proxies.get_mut(&one.name) {
                match there.differs(&one.listen, &one.upstream).await {
                    Ok(false) => {
                        made.push(there.view());
                        continue;
                    }
                    Ok(true) => there.stop().await,
                    Err(error) => return (made, Err(error)),
                }
            }
            if enabled && let Err(error) = one.start(self.seed).await {
                return (made, Err(error));
            }
            made.push(one.view());
            proxies.insert(one.name.clone(), one);
        }
        (made, Ok(()))
    }

    pub(super) async fn create(&self, input: &ProxyInput) -> Result<ProxyView, ApiError> {
        let mut named = Named::new(input, "")?;
        let mut proxies = self.proxies.lock().await;
        if proxies.contains_key(&named.name) {
            return Err(ApiError::proxy_exists());
        }
        if input.enabled.unwrap_or(true) {
            named.start(self.seed).await?;
        }
        let view = named.view();
        proxies.insert(named.name.clone(), named);
        Ok(view)
    }

    pub(super) async fn show(&self, name: &str) -> Result<ProxyView, ApiError> {
        self.with(name, |named| Ok(named.view())).await
    }

    pub(super) async fn update(
        &self,
        name: &str,
        input: &ProxyInput,
    ) -> Result<ProxyView, ApiError> {
        let mut proxies = self.proxies.lock().await;
        let named = proxies
            .get_mut(name)
            .ok_or_else(ApiError::proxy_not_found)?;
        let enabled = input.enabled.unwrap_or(named.running.is_some());
        let listen = input.listen.as_deref().unwrap_or(&named.listen).to_owned();
        let upstream = input.upstream.as_deref().unwrap_or(&named.upstream);
        let upstream = upstream.to_owned();
        if named.differs(&listen, &upstream).await? {
            named.stop().await;
            (named.listen, named.upstream) = (listen, upstream);
        }
        match enabled {
            true => named.start(self.seed).await?,
            false => named.stop().await,
        }
        Ok(named.view())
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), ApiError> {
        let removed = self.proxies.lock().await.remove(name);
        let mut named = removed.ok_or_else(ApiError::proxy_not_found)?;
        named.stop().await;
        Ok(())
    }

    /// Enables all proxies, and removes all toxics.
    pub(super) async fn reset(&self) -> Result<(), ApiError> {
        for named in self.proxies.lock().await.values_mut() {
            named.start(self.seed).await?;
            named.change_toxics(ToxicList::clear);
        }
        Ok(())
    }

    pub(super) async fn toxics(&self, proxy: &str) -> Result<Vec<Toxic>, ApiError> {
        self.with(proxy, |named| Ok(named.toxics.all().cloned().collect()))
            .await
    }

    pub(super) async fn toxic(&self, proxy: &str, toxic: &str) -> Result<Toxic, ApiError> {
        self.with(proxy, |named| {
            let found = named.toxics.find(toxic).cloned();
            found.ok_or_else(ApiError::toxic_not_found)
        })
        .await
    }

    pub(super) async fn add_toxic(&self, proxy: &str, toxic: &[u8]) -> Result<Toxic, ApiError> {
        self.with(proxy, |named| {
            let toxic = super::input::body::<ToxicInput>(toxic)?.toxic()?;
            named
                .change_toxics(|toxics| toxics.add(toxic.clone()))
                .map_err(|_| ApiError::toxic_exists())?;
            Ok(toxic)
        })
        .await
    }

    pub(super) async fn change_toxic(
        &self,
        proxy: &str,
        toxic: &str,
        json: &[u8],
    ) -> Result<Toxic, ApiError> {
        self.with(proxy, |named| {
            let found = named.toxics.find(toxic);
            let found = found.ok_or_else(ApiError::toxic_not_found)?;
            let changed = super::input::body::<ToxicInput>(json)?.change(found)?;
            named.change_toxics(|toxics| {
                toxics.change(toxic, |toxic| toxic.clone_from(&changed));
            });
            Ok(changed)
        })
        .await
    }

    pub(super) async fn remove_toxic(&self, proxy: &str, toxic: &str) -> Result<(), ApiError> {
        self.with(proxy, |named| {
            let removed = named.change_toxics(|toxics| toxics.remove(toxic));
            removed.then_some(()).ok_or_else(ApiError::toxic_not_found)
        })
        .await
    }

    /// What passed, in Prometheus's text format.
    pub(super) async fn metrics(&self) -> String {
        let proxies = self.proxies.lock().await;
        let mut text = String::new();
        for (metric, help) in [
            (
                "received",
                "Total bytes received on a given proxy link in a given direction",
            ),
            (
                "sent",
                "Total bytes sent on a given proxy link in a given direction",
            ),
        ] {
            let name = format!("toxiproxy_proxy_{metric}_bytes_total");
            // Writing to a string does not fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} counter\n");
            for named in proxies.values() {
                for (direction, stream) in [
                    (Direction::ToClient, "downstream"),
                    (Direction::ToServer, "upstream"),
                ] {
                    let counters = named.traffic.of(direction);
                    let count = match metric {
                        "received" => &counters.received,
                        _ => &counters.sent,
                    };
                    let _ = writeln!(
                        text,
                        "{name}{{direction=\"{stream}\",listener=\"{}\",proxy=\"{}\",upstream=\"{}\"}} {}",
                        label(&named.listen),
                        label(&named.name),
                        label(&named.upstream),
                        count.load(Ordering::Relaxed)
                    );
                }
            }
        }
        text
    }

    /// Ends all proxies.
    pub async fn stop(&self) {
        for named in self.proxies.lock().await.values_mut() {
            named.stop().await;
        }
    }

    async fn with<T>(
        &self,
        name: &str,
        act: impl FnOnce(&mut Named) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let mut proxies = self.proxies.lock().await;
        act(proxies
            .get_mut(name)
            .ok_or_else(ApiError::proxy_not_found)?)
    }
}

/// A label's value, with what would end it escaped.
fn label(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

impl Named {
    fn new(input: &ProxyInput, place: &str) -> Result<Self, ApiError> {
        let given = |field: &Option<String>, name: &str| {
            let field = field.clone().filter(|text| !text.is_empty());
            field.ok_or_else(|| ApiError::missing_field(format_args!("{name}{place}")))
        };
        let mut toxics = ToxicList::default();
        let (name, upstream) = (
            given(&input.name, "name")?,
            given(&input.upstream, "upstream")?,
        );
        for toxic in input.toxics.iter().flatten() {
            toxics
                .add(toxic.toxic()?)
                .map_err(|_| ApiError::toxic_exists())?;
        }
        Ok(Self {
            name,
            upstream,
            listen: input.listen.clone().unwrap_or_default(),
            toxics,
            traffic: Arc::default(),
            running: None,
        })
    }

    fn view(&self) -> ProxyView {
        ProxyView {
            name: self.name.clone(),
            listen: self.listen.clone(),
            upstream: self.upstream.clone(),
            enabled: self.running.is_some(),
            toxics: self.toxics.all().cloned().collect(),
        }
    }

    async fn differs(&self, listen: &str, upstream: &str) -> Result<bool, ApiError> {
        if self.upstream != upstream {
            return Ok(true);
        }
        if self.listen == listen {
            return Ok(false);
        }
        let resolved = async |address: &str| {
            let resolved = resolve(address).await;
            resolved.map_err(|error| ApiError::listen(address, error))
        };
        Ok(resolved(listen).await? != resolved(&self.listen).await?)
    }

    /// Starts it, unless it runs.
    async fn start(&mut self, seed: u64) -> Result<(), ApiError> {
        if self.running.is_some() {
            return Ok(());
        }
        let failed = |error: io::Error| ApiError::listen(&self.listen, error);
        let listener = listen(&self.listen).await.map_err(failed)?;
        let target = match self.upstream.parse() {
            Ok(address) => Target::Address(address),
            Err(_) => Target::Name(self.upstream.clone()),
        };
        let state = LinkState::with_toxics(self.toxics.clone());
        let seed = scenario::stream(seed, &format!("toxics {}", self.name)).next_u64();
        let proxy = Proxy::unobserved(listener, target, state, self.traffic.clone(), seed)
            .map_err(failed)?;
        self.listen = proxy.address().to_string();
        self.running = Some(proxy);
        Ok(())
    }

    async fn stop(&mut self) {
        if let Some(proxy) = self.running.take() {
            proxy.stop().await;
        }
    }

    /// Changes the toxics, those of open connections as well.
    fn change_toxics<T>(&mut self, change: impl FnOnce(&mut ToxicList) -> T) -> T {
        let changed = change(&mut self.toxics);
        if let Some(proxy) = &self.running {
            proxy.change(|state| state.toxics.clone_from(&self.toxics));
        }
        changed
    }
}

/// The addresses that are meant by `host:port`; those of IPv4 first, as in Go. Nothing at all is any port of loopback.
async fn resolve(address: &str) -> io::Result<Vec<SocketAddr>> {
    if address.is_empty() {
        return Ok(vec![(Ipv4Addr::LOCALHOST, 0).into()]);
    }
    if let Ok(address) = address.parse() {
        return Ok(vec![address]);
    }
    // No host: every address of this machine.
    let named = match address.strip_prefix(':') {
        Some(port) => format!("[::]:{port}"),
        None => address.to_owned(),
    };
    let mut addresses: Vec<SocketAddr> = lookup_host(named).await?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    Ok(addresses)
}

async fn listen(address: &str) -> io::Result<TcpListener> {
    TcpListener::bind(&resolve(address).await?[..]).await
}
