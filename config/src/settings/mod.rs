//! The configuration of `proxy` and `worker`: one TOML file and the environment, checked once, whole or not at all.
//! Invariant: nothing downstream checks again; a [`Settings`] that exists is one that a process can start with.
mod check;
mod environment;
mod fault;
mod reader;
#[cfg(test)]
mod tests;

use crate::{Place, Secret};
use ipnet::IpNet;
use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

pub use environment::{Environment, VARIABLES};
pub use fault::{Fault, Faults};

/// The documented example; it parses and shows every default.
pub const EXAMPLE: &str = include_str!("../../examples/s3gateway.toml");

/// Everything that a process of the gateway is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `[metadata]`
    pub metadata: MetadataSettings,
    /// `[queue]`
    pub queue: QueueSettings,
    /// `[secrets]`
    pub secrets: SecretsSettings,
    /// `[backends]`
    pub backends: BackendSettings,
    /// `[proxy]`
    pub proxy: ProxySettings,
    /// `[admin]`; `None` where the section is missing: no admin API is served.
    pub admin: Option<AdminSettings>,
    /// `[worker]`
    pub worker: WorkerSettings,
    /// `[log]`
    pub log: LogSettings,
}

/// `[metadata]`: where the control plane's rows are.
#[derive(Clone, Debug)]
pub struct MetadataSettings {
    /// `postgres://…` or `sqlite://PATH`; may hold a password.
    pub url: Secret<String>,
    /// Connections at most. Default 16.
    pub max_connections: NonZeroU32,
}

/// `[queue]`: where the names of dirty keys are.
#[derive(Clone, Debug)]
pub struct QueueSettings {
    /// `redis://…`, or all `rediss://…` for TLS; several are nodes of one Redis Cluster. Empty: the queue lives in the
    /// metadata store.
    pub redis: Vec<Secret<String>>,
    /// From `ca_file`, in PEM: whom `rediss://…` servers are believed by, instead of the system's CAs.
    pub ca: Option<Vec<u8>>,
    /// Before every Redis key. Default `s3gateway`.
    pub prefix: String,
    /// Number of shards; fixed for the life of a queue. Default 64.
    pub shards: NonZeroU32,
}

/// Where the master key comes from; exactly one of them.
#[derive(Clone, Debug)]
pub enum SecretsSettings {
    /// `secrets.master_key_file`: 64 hexadecimal digits, mode 0600.
    File(PathBuf),
    /// `S3GATEWAY_MASTER_KEY`: 64 hexadecimal digits.
    Hex(Secret<String>),
}

/// `[backends]`: what `proxy`, `worker` and the admin API hold all backends to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackendSettings {
    /// Loopback, private and link-local networks that backends may be in; all others of these are refused.
    pub allow_networks: Vec<IpNet>,
}

/// `[proxy]`: the S3 side.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// Plain HTTP listeners.
    pub listen: Vec<SocketAddr>,
    /// TLS listeners.
    pub tls: Vec<TlsListener>,
    /// Host names under which `bucket.domain` names a bucket; lower-case, without port.
    pub domains: Vec<String>,
    /// Regions in whose credential scope clients may sign, the preferred one first. Default `us-east-1`.
    pub signing_regions: Vec<String>,
    /// Where this gateway stands; needed only where a policy forbids transit outside.
    pub place: Option<Place>,
    /// `[proxy.upstream]`
    pub upstream: UpstreamSettings,
    /// `[proxy.breaker]`
    pub breaker: BreakerSettings,
    /// `[proxy.view]`
    pub view: ViewSettings,
    /// `[proxy.limits]`
    pub limits: LimitSettings,
}

/// One TLS listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsListener {
    /// Where to listen.
    pub listen: SocketAddr,
    /// PEM file, leaf first.
    pub certificate: PathBuf,
    /// PEM file of its private key.
    pub key: PathBuf,
}

/// `[proxy.upstream]`: bounds towards backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// TCP and TLS establishment together. Default 3s.
    pub connect_timeout: Duration,
    /// To the first byte of an answer and between two reads; must outlast the slowest CompleteMultipartUpload. Default 60s.
    pub read_timeout: Duration,
    /// For one write. Default 60s.
    pub write_timeout: Duration,
    /// How long a pooled connection may lie idle. Default 50s.
    pub idle_timeout: Duration,
    /// Idle connections that a process keeps to each backend. Default 512.
    pub pool_size: NonZeroU32,
    /// Between two health probes of a backend. Default 2s.
    pub probe_interval: Duration,
}

/// `[proxy.breaker]`: when a backend is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Consecutive failures that open it. Default 5.
    pub failures: NonZeroU32,
    /// How long it stays open the first time; doubles at each further trip. Default 1s.
    pub open_for: Duration,
    /// The longest that it stays open. Default 30s.
    pub open_at_most: Duration,
}

/// `[proxy.view]`: how old a proxy's view of the control plane may get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewSettings {
    /// Writes are refused, and reads marked as stale, once the change feed could not be read for this long. Default 60s.
    pub lease: Duration,
    /// How often the change feed is polled. Default 500ms.
    pub poll_interval: Duration,
    /// Routes and access keys kept in memory, each. Default 100000.
    pub cache_entries: NonZeroU32,
}

/// `[proxy.limits]`: bounds towards clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// How long a client connection may lie idle between requests. Default 75s.
    pub keepalive: Duration,
    /// How long a client may take between two pieces of a request or an answer. Default 60s.
    pub idle: Duration,
    /// After how long a copy or completion begins its answer, and how often it then shows that it goes on. Default 5s.
    pub progress: Duration,
    /// After a stop signal, how long everything is still served while `/readyz` says no already. Default 5s.
    pub drain_delay: Duration,
    /// How long in-flight requests get after that. Default 30s.
    pub grace: Duration,
    /// Threads that serve connections. Default: one a core.
    pub threads: Option<NonZeroU32>,
}

/// `[admin]`: the admin API.
#[derive(Clone, Debug)]
pub struct AdminSettings {
    /// Where to listen; never the S3 listener.
    pub listen: SocketAddr,
    /// The bearer token: from `token_file` or `S3GATEWAY_ADMIN_TOKEN`, at least 32 characters.
    pub token: Secret<String>,
}

/// `[worker]`: converging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerSettings {
    /// Where `/healthz`, `/readyz` and `/metrics` are served. Default `127.0.0.1:9102`.
    pub listen: SocketAddr,
    /// Keys converged at a time. Default 128.
    pub concurrency: NonZeroU32,
    /// Of these, such whose objects are large. Default 8.
    pub large_concurrency: NonZeroU32,
    /// Objects of so many MiB count as large. Default 8.
    pub large_object_mib: NonZeroU32,
    /// Requests in flight to one backend at most, half of them uploads; fewer while it throttles. Default 128.
    pub backend_concurrency: NonZeroU32,
    /// MiB of objects a second to and from one backend at most; fewer while it throttles. Default 0: no limit.
    pub backend_bandwidth_mib: u32,
    /// How long a claim on a job stands without a sign of life. Default 60s.
    pub lease: Duration,
    /// Between two looks at an empty queue. Default 200ms.
    pub poll_interval: Duration,
    /// Failed attempts after which a key becomes a dead letter. Default 12.
    pub max_attempts: NonZeroU32,
    /// The first retry's delay; doubles, with jitter. Default 500ms.
    pub retry_after: Duration,
    /// The longest delay between two attempts. Default 1m.
    pub retry_at_most: Duration,
    /// Job history is kept this long. Default 7d.
    pub history: Duration,
    /// How long running jobs get after a stop signal. Default 25s.
    pub grace: Duration,
    /// How often every bucket's home and replicas are compared; `0s`: only when asked for. Default 24h.
    pub reconcile_interval: Duration,
    /// Keys a second of each such comparison, 0 for no bound. Default 1000.
    pub reconcile_rate: u32,
    /// Keys a second of each backfill that is given no rate of its own, 0 for no bound. Default 0.
    pub backfill_rate: u32,
    /// Dirty keys, dead letters aside, from which on walks and drains mark no more for now. Default 20000.
    pub backlog: NonZeroU32,
    /// Percent of a bucket's keys that a walk may mark as deleted before an operator is asked; 100 keys may always be. Default 10.
    pub delete_guard: u32,
}

/// `[log]`: standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// Default `json`.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, `trace`, or a tracing filter such as `info,s3gateway_proxy=debug`. Default `info`.
    pub level: String,
}

/// What a log line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For a person at a terminal.
    Human,
}

impl Settings {
    /// Reads and checks a file and the environment.
    ///
    /// # Errors
    /// Every fault found, not only the first.
    pub fn load(path: &std::path::Path, environment: &Environment) -> Result<Self, Faults> {
        let name = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&name, &text, environment),
            Err(error) => Err(Faults(vec![Fault {
                file: name,
                line: None,
                key: String::new(),
                problem: format!("cannot be read: {error}"),
                remedy: "give the path of a readable TOML file with --config".into(),
            }])),
        }
    }

    /// Checks the text of a file; `name` stands in the faults.
    ///
    /// # Errors
    /// Every fault found, not only the first.
    pub fn parse(name: &str, text: &str, environment: &Environment) -> Result<Self, Faults> {
        check::check(name, text, environment)
    }
}
