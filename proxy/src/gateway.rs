//! What all requests of a proxy process share, and the tasks that keep it current.
use crate::{
    feed,
    keys::Keys,
    metrics::Metrics,
    operations::Patience,
    routes::Routes,
    settings::ProxySettings,
    upstream::{Backends, Client, WATCH_INTERVAL, Watch},
    version::KnownVersions,
};
use s3gateway_store::{Metadata, Queue, StoreError, secrets::Sealer};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Shared state of one proxy process.
pub struct Gateway {
    /// As configured.
    pub settings: ProxySettings,
    /// The control plane's store.
    pub metadata: Metadata,
    /// The queue of dirty keys.
    pub queue: Arc<dyn Queue>,
    /// Seals upload ids and continuation tokens that clients carry.
    pub sealer: Sealer,
    /// Access keys and signing keys in memory.
    pub keys: Keys,
    /// Routes in memory.
    pub routes: Routes,
    /// Backends in memory.
    pub backends: Backends,
    /// For requests that the gateway makes itself.
    pub client: Client,
    /// Figures.
    pub metrics: Metrics,
    /// How fresh the view of the control plane is.
    pub view: feed::View,
    /// Streamed requests at backends.
    pub(crate) watch: Arc<Watch>,
    /// For reading kept checksums: one that is missing can be asked for again.
    pub(crate) checksum_reads: Patience,
    /// For keeping them: one that is left out is lost.
    pub(crate) checksum_writes: Patience,
    /// Versions of buckets that have had another home.
    pub(crate) known_versions: KnownVersions,
    tasks: TaskTracker,
    stop: CancellationToken,
    stopping: AtomicBool,
}

/// What a proxy is made from.
pub struct ProxyParts {
    /// As configured.
    pub settings: ProxySettings,
    /// The control plane's store.
    pub metadata: Metadata,
    /// The queue of dirty keys.
    pub queue: Arc<dyn Queue>,
    /// From the master key.
    pub sealer: Sealer,
    /// Where figures are registered.
    pub registry: prometheus::Registry,
}

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The control plane cannot be read; a proxy does not start blind.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A figure's name is registered already.
    #[error("the metrics cannot be registered")]
    Metrics(#[from] prometheus::Error),
}

impl Gateway {
    /// Loads backends, starts the change feed and the health probes on the current tokio runtime.
    ///
    /// # Errors
    /// Where the control plane cannot be read or the metrics cannot be registered.
    pub async fn start(parts: ProxyParts) -> Result<Arc<Self>, StartError> {
        let ProxyParts { settings, metadata, queue, sealer, registry } = parts;
        let head = metadata.change_head().await?;
        let records = metadata.backends().await?;
        let gateway = Arc::new(Self {
            keys: Keys::new(settings.cache_entries),
            routes: Routes::new(settings.cache_entries),
            backends: Backends::new(settings.clone()),
            client: Client::new(&settings.upstream),
            metrics: Metrics::register(&registry)?,
            view: feed::View::now(settings.view_lease),
            watch: Watch::new(),
            checksum_reads: Patience::new(Duration::from_secs(2)),
            checksum_writes: Patience::new(Duration::from_secs(6)),
            known_versions: KnownVersions::new(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            stopping: AtomicBool::new(false),
            settings,
            metadata,
            queue,
            sealer,
        });
        gateway.backends.replace(records).await;
        feed::announce(&gateway, head).await?;
        gateway.tasks.spawn(feed::follow(gateway.clone(), head, gateway.stop.clone()));
        gateway.tasks.spawn(probe(gateway.clone(), gateway.stop.clone()));
        gateway.tasks.spawn(observe(gateway.clone(), gateway.stop.clone()));
        gateway.tasks.spawn(watch(gateway.clone(), gateway.stop.clone()));
        Ok(gateway)
    }

    /// From here on each HTTP/1.1 connection is closed after its answer, so that clients come back elsewhere.
    pub fn begin_stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether the process is about to end.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Goes on with work beside the request that it is for, until it is done or the process stops.
    pub(crate) fn carry_on(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = work => {}
                () = stop.cancelled() => {}
            }
        });
    }

    /// Ends the background tasks and waits for them.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Probes all backends at the configured interval.
async fn probe(gateway: Arc<Gateway>, stop: CancellationToken) {
    let mut interval = tokio::time::interval(gateway.settings.upstream.probe_interval);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while tokio::select! { _ = interval.tick() => true, () = stop.cancelled() => false } {
        gateway.backends.probe().await;
        gateway.metrics.observe_backends(&gateway.backends.all());
    }
}

/// How often the queue's figures are taken for the metrics.
const OBSERVE_INTERVAL: Duration = Duration::from_secs(5);

async fn observe(gateway: Arc<Gateway>, stop: CancellationToken) {
    let mut interval = tokio::time::interval(OBSERVE_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while tokio::select! { _ = interval.tick() => true, () = stop.cancelled() => false } {
        if let Ok(depth) = gateway.queue.depth().await {
            gateway.metrics.observe_queue(&depth);
        }
    }
}

async fn watch(gateway: Arc<Gateway>, stop: CancellationToken) {
    let mut interval = tokio::time::interval(WATCH_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while tokio::select! { _ = interval.tick() => true, () = stop.cancelled() => false } {
        gateway.watch.look();
    }
}
