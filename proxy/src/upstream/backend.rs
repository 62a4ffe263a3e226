//! The backends a proxy knows: identity, addresses, health and breaker of each, as one snapshot that the change feed replaces.
use super::{Breaker, BreakerState, Outcome, discovery::Resolver, pool::Pool, signer::Signer};
use crate::settings::{ProxySettings, UpstreamSettings};
use arc_swap::{ArcSwap, ArcSwapOption};
use futures::future::join_all;
use http::HeaderValue;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_load_balancing::{
    Backends as Addresses, LoadBalancer, health_check::HttpHealthCheck, selection::RoundRobin,
};
use s3gateway_config::{BackendId, Capabilities, Place};
use s3gateway_s3::checksum::Algorithm;
use s3gateway_store::Backend;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use url::Url;

/// One backend as the proxy uses it.
pub struct UpstreamBackend {
    record: Backend,
    host: HeaderValue,
    sni: String,
    tls: bool,
    signer: Signer,
    addresses: LoadBalancer<RoundRobin>,
    /// The address where there is exactly one, so that there is nothing to choose from.
    only: ArcSwapOption<SocketAddr>,
    breaker: Breaker,
    pool: Arc<Pool>,
    settings: UpstreamSettings,
}

/// All backends, by id; cheap to read, replaced as a whole.
pub struct Backends {
    snapshot: ArcSwap<Snapshot>,
    settings: ProxySettings,
}

/// In order of creation. They are few: one is found faster by looking at each than by hashing its id.
type Snapshot = Vec<Arc<UpstreamBackend>>;

impl UpstreamBackend {
    /// Takes a record in and resolves its addresses. `None` where the endpoint is no usable URL.
    async fn connect(record: Backend, settings: &ProxySettings) -> Option<Self> {
        let url = Url::parse(&record.endpoint).ok()?;
        let tls = url.scheme() == "https";
        let name = url.host_str()?.to_owned();
        let authority = format!("{name}:{}", url.port_or_known_default()?);
        let host = url.port().map_or_else(|| name.clone(), |port| format!("{name}:{port}"));
        let allow = settings.upstream.allow_networks.clone();
        let resolver = Resolver { authority, allow };
        let mut addresses = LoadBalancer::from_backends(Addresses::new(Box::new(resolver)));
        let mut probe = HttpHealthCheck::new(&host, tls);
        probe.consecutive_failure = 2;
        probe.peer_template.options.connection_timeout = Some(PROBE_TIMEOUT);
        probe.peer_template.options.read_timeout = Some(PROBE_TIMEOUT);
        probe.reuse_connection = true;
        // Any answer shows that it is alive; an unsigned request is refused by a healthy backend.
        probe.validator = Some(Box::new(|answer| {
            if answer.status.as_u16() < 500 {
                Ok(())
            } else {
                pingora_core::Error::e_explain(
                    pingora_core::ErrorType::HTTPStatus(answer.status.as_u16()),
                    "probing a backend",
                )
            }
        }));
        addresses.set_health_check(Box::new(probe));
        let backend = Self {
            host: HeaderValue::try_from(host).ok()?,
            sni: name,
            tls,
            signer: Signer::new(&record.access_key, &record.secret_key, &record.region),
            addresses,
            only: ArcSwapOption::empty(),
            breaker: Breaker::new(settings.breaker.clone()),
            pool: Arc::new(Pool::new(settings.upstream.pool_size, settings.upstream.idle_timeout)),
            settings: settings.upstream.clone(),
            record,
        };
        // A name that does not resolve now is tried again by each probe round.
        let _ = backend.resolve().await;
        Some(backend)
    }

    /// The operator's name for it.
    pub fn id(&self) -> &BackendId {
        &self.record.id
    }
    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.record.place
    }
    /// What it does.
    pub fn capabilities(&self) -> &Capabilities {
        &self.record.capabilities
    }
    /// Whether it keeps a checksum of that kind itself; else the gateway keeps it.
    pub(crate) fn keeps_checksum(&self, algorithm: Algorithm) -> bool {
        self.record.capabilities.trailing_checksums && algorithm.is_widespread()
    }
    /// Value of the `Host` header.
    pub(super) fn host(&self) -> &HeaderValue {
        &self.host
    }
    /// The region that requests are signed for.
    pub(crate) fn region(&self) -> &str {
        &self.record.region
    }
    /// What requests are signed with.
    pub(super) fn signer(&self) -> &Signer {
        &self.signer
    }
    /// The breaker's state, for metrics and operators.
    pub fn breaker_state(&self) -> BreakerState {
        self.breaker.state()
    }
    /// Whether at least one address passed its last probe.
    pub fn is_healthy(&self) -> bool {
        self.addresses.select_with(b"", MAX_ADDRESSES, |_, healthy| healthy).is_some()
    }

    /// Where to connect now; `None` while the breaker is open. Addresses that pass their probes come first; where none
    /// does, one is tried all the same: a probe that came too late must not take a slow backend off the air.
    pub fn admit(&self, now: Instant) -> Option<SocketAddr> {
        let address = match &*self.only.load() {
            Some(only) => **only,
            None => self.choose_address()?,
        };
        self.breaker.admit(now).then_some(address)
    }

    /// How to connect to one of its addresses.
    pub(crate) fn peer_at(&self, address: SocketAddr) -> Box<HttpPeer> {
        let mut peer = Box::new(HttpPeer::new(address, self.tls, self.sni.clone()));
        peer.options.connection_timeout = Some(self.settings.connect_timeout);
        peer.options.total_connection_timeout = Some(self.settings.connect_timeout);
        (peer.options.read_timeout, peer.options.write_timeout) = self.timeouts();
        peer.options.idle_timeout = Some(self.settings.idle_timeout);
        peer
    }

    /// How long a read and a write on one of its connections may take.
    pub(super) fn timeouts(&self) -> (Option<Duration>, Option<Duration>) {
        (Some(self.settings.read_timeout), Some(self.settings.write_timeout))
    }

    /// Its idle connections, apart from those of streamed uploads, which are Pingora's.
    pub(super) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    fn choose_address(&self) -> Option<SocketAddr> {
        let healthy = self.addresses.select(b"", MAX_ADDRESSES);
        let address = healthy.or_else(|| self.addresses.select_with(b"", MAX_ADDRESSES, |_, _| true))?;
        address.addr.as_inet().copied()
    }

    /// Asks for the addresses behind the name. An error leaves those that are known.
    async fn resolve(&self) -> pingora_core::Result<()> {
        self.addresses.update().await?;
        let found = self.addresses.backends().get_backend();
        let only = found.first().filter(|_| found.len() == 1).and_then(|backend| backend.addr.as_inet());
        self.only.store(only.map(|address| Arc::new(*address)));
        Ok(())
    }

    /// Feeds the breaker from live traffic.
    pub fn report(&self, outcome: Outcome, now: Instant) {
        if let Some(state) = self.breaker.report(outcome, now) {
            tracing::warn!(backend = %self.record.id, ?state, "breaker changed");
        }
    }

    /// Resolves and probes once. A failed probe counts as a failed request; a healthy one makes an open breaker's trial
    /// due at once, and traffic closes it.
    async fn probe(&self) {
        self.pool.sweep();
        if let Err(error) = self.resolve().await {
            tracing::warn!(backend = %self.record.id, %error, "backend's name does not resolve");
        }
        self.addresses.backends().run_health_check(true).await;
        if self.is_healthy() {
            self.breaker.make_due(Instant::now());
        } else {
            self.report(Outcome::Failed, Instant::now());
        }
    }

    fn is_same(&self, record: &Backend) -> bool {
        let mine = &self.record;
        mine.endpoint == record.endpoint
            && mine.region == record.region
            && mine.access_key == record.access_key
            && mine.secret_key.expose() == record.secret_key.expose()
            && mine.place == record.place
            && mine.capabilities == record.capabilities
            && mine.position == record.position
    }
}

/// For connecting and for the answer of a probe, each: enough for a backend that is busy and not gone.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// Addresses looked at when one is chosen; a backend with more is served by the first healthy ones.
const MAX_ADDRESSES: usize = 16;

impl Backends {
    /// An empty set; fill it with [`Backends::replace`].
    pub fn new(settings: ProxySettings) -> Self {
        Self { snapshot: ArcSwap::default(), settings }
    }

    /// The backend with that id.
    pub fn get(&self, id: &BackendId) -> Option<Arc<UpstreamBackend>> {
        find(&self.snapshot.load(), id).cloned()
    }

    /// All backends in order of creation.
    pub fn all(&self) -> Vec<Arc<UpstreamBackend>> {
        Snapshot::clone(&self.snapshot.load())
    }

    /// Ids and places in order of creation, as placements are resolved against.
    pub fn places(&self) -> Vec<(BackendId, Place)> {
        self.snapshot.load().iter().map(|b| (b.id().clone(), b.place().clone())).collect()
    }

    /// Takes the stored set in; a backend that did not change keeps its breaker and health.
    pub async fn replace(&self, records: Vec<Backend>) {
        let before = self.snapshot.load_full();
        let mut next = Snapshot::with_capacity(records.len());
        for record in records {
            let id = record.id.clone();
            let backend = match find(&before, &id) {
                Some(known) if known.is_same(&record) => known.clone(),
                _ => match UpstreamBackend::connect(record, &self.settings).await {
                    Some(backend) => Arc::new(backend),
                    None => {
                        tracing::error!(backend = %id, "backend has no usable endpoint and is left out");
                        continue;
                    }
                },
            };
            next.push(backend);
        }
        self.snapshot.store(Arc::new(next));
    }

    /// A backend as it would be used, without taking it in. `None` where its endpoint is no usable URL.
    pub(crate) async fn try_out(&self, record: Backend) -> Option<Arc<UpstreamBackend>> {
        UpstreamBackend::connect(record, &self.settings).await.map(Arc::new)
    }

    /// Probes every backend once, at the same time.
    pub async fn probe(&self) {
        let backends = self.all();
        join_all(backends.iter().map(|backend| backend.probe())).await;
    }
}

fn find<'s>(snapshot: &'s Snapshot, id: &BackendId) -> Option<&'s Arc<UpstreamBackend>> {
    snapshot.iter().find(|backend| backend.id() == id)
}
