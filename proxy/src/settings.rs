//! What the proxy is told by its configuration, already checked.
use ipnet::IpNet;
use s3gateway_config::Place;
use std::time::Duration;

/// Settings of one proxy process.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// Host names under which `bucket.domain` names a bucket; lower-case, without port.
    pub domains: Vec<String>,
    /// Regions in whose credential scope clients may sign; the first is the one named to a client that errs.
    pub signing_regions: Vec<String>,
    /// Where this gateway stands, if bytes may only pass through certain places.
    pub place: Option<Place>,
    /// Bounds towards backends.
    pub upstream: UpstreamSettings,
    /// When a backend's breaker opens and for how long.
    pub breaker: BreakerSettings,
    /// How old the view of the control plane may be before writes are refused, and reads are marked as stale.
    pub view_lease: Duration,
    /// How often the change feed is polled.
    pub feed_interval: Duration,
    /// Routes and access keys kept in memory, each.
    pub cache_entries: u64,
    /// How long a client connection may stay idle between requests.
    pub downstream_keepalive: Duration,
    /// How long a client may take between two pieces of a request or an answer.
    pub downstream_idle: Duration,
    /// After how long a copy or completion begins its answer, and how often it then shows that it goes on.
    pub downstream_progress: Duration,
    /// After a stop signal, how long everything is still served while readiness says no, for load balancers to see it.
    pub drain_delay: Duration,
    /// How long in-flight requests get after that.
    pub grace: Duration,
    /// Threads that serve connections.
    pub threads: usize,
}

/// Time and size bounds towards backends.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// TCP and TLS establishment together.
    pub connect_timeout: Duration,
    /// From request sent to first byte of the answer, and between two reads; must outlast the slowest
    /// CompleteMultipartUpload.
    pub read_timeout: Duration,
    /// For one write.
    pub write_timeout: Duration,
    /// How long an idle pooled connection is kept.
    pub idle_timeout: Duration,
    /// Idle connections kept to each backend.
    pub pool_size: usize,
    /// Between two health probes of a backend.
    pub probe_interval: Duration,
    /// Loopback, private and link-local networks that backends may be in; every other address must be public.
    pub allow_networks: Vec<IpNet>,
}

impl UpstreamSettings {
    /// From a request that is sent to the end of the answer's head, which may come in several pieces.
    pub fn head_timeout(&self) -> Duration {
        self.read_timeout * 2
    }
}

/// When a breaker opens.
#[derive(Clone, Debug)]
pub struct BreakerSettings {
    /// Consecutive failures that open it.
    pub failures: u32,
    /// How long it stays open the first time; doubles at each further trip.
    pub open_for: Duration,
    /// The longest it stays open.
    pub open_at_most: Duration,
}

impl Default for ProxySettings {
    fn default() -> Self {
        Self {
            domains: Vec::new(),
            signing_regions: vec!["us-east-1".into()],
            place: None,
            upstream: UpstreamSettings::default(),
            breaker: BreakerSettings::default(),
            view_lease: Duration::from_secs(60),
            feed_interval: Duration::from_millis(500),
            cache_entries: 100_000,
            downstream_keepalive: Duration::from_secs(75),
            downstream_idle: Duration::from_secs(60),
            downstream_progress: Duration::from_secs(5),
            drain_delay: Duration::from_secs(5),
            grace: Duration::from_secs(30),
            threads: std::thread::available_parallelism().map_or(2, usize::from),
        }
    }
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3),
            read_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(50),
            pool_size: 512,
            probe_interval: Duration::from_secs(2),
            allow_networks: Vec::new(),
        }
    }
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self { failures: 5, open_for: Duration::from_secs(1), open_at_most: Duration::from_secs(30) }
    }
}
