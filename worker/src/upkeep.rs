//! What a worker does beside its jobs, again and again: it ends what gateways left half done, drops what deleted buckets left
//! behind, ends uploads at replicas that no client goes on with, has placements follow policies and backends, drains what has left
//! them, and removes rows that are of no use any more.
use crate::backends::Backends;
use crate::backlog::Backlog;
use crate::clock::millis;
use crate::drain::Drainer;
use crate::metrics::Metrics;
use crate::open_uploads::OpenUploads;
use crate::recover::Recoverer;
use crate::retire::Retirer;
use crate::review::Reviewer;
use crate::settings::WorkerSettings;
use s3gateway_store::{Metadata, Queue, StoreError, Sweep};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Adopted buckets looked at in one round.
const ADOPTED_AT_ONCE: u32 = 100;
/// Sweeps of which a page is taken in turn.
const SWEEPS_AT_ONCE: u32 = 100;
/// How long a client may go on with the id of a version that is gone, to list what is behind it.
pub(crate) const GONE_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Rows of such versions removed at once.
const GONE_AT_ONCE: u32 = 1000;

/// The work on buckets, as opposed to keys.
pub(crate) struct Upkeep {
    metadata: Metadata,
    recoverer: Recoverer,
    retirer: Retirer,
    reviewer: Reviewer,
    drainer: Drainer,
    open_uploads: OpenUploads,
    interval: Duration,
}

impl Upkeep {
    pub(crate) fn new(
        metadata: Metadata,
        queue: Arc<dyn Queue>,
        backends: Arc<Backends>,
        backlog: Arc<Backlog>,
        metrics: Metrics,
        settings: &WorkerSettings,
    ) -> Self {
        let WorkerSettings { abandoned_after, lease, retire_interval: interval, .. } = *settings;
        let recoverer = Recoverer { metadata: metadata.clone(), backends: backends.clone(), abandoned_after, lease };
        let retirer =
            Retirer { metadata: metadata.clone(), backends: backends.clone(), metrics: metrics.clone(), lease };
        let reviewer = Reviewer { metadata: metadata.clone() };
        let (m, q, b) = (metadata.clone(), queue.clone(), backends.clone());
        let open_uploads = OpenUploads { metadata: m, queue: q, backends: b, interval: settings.upload_look_interval };
        let drainer = Drainer { metadata: metadata.clone(), queue, backends, backlog, metrics, lease };
        Self { metadata, recoverer, retirer, reviewer, drainer, open_uploads, interval }
    }

    /// Goes on until `stop`.
    pub(crate) async fn run(&self, stop: &CancellationToken) {
        tokio::join!(
            self.keep_buckets(stop),
            self.keep_uploads(stop),
            self.keep_placements(stop),
            self.keep_rows(stop)
        );
    }

    async fn keep_buckets(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let round = async {
                self.recoverer.round(SystemTime::now(), stop).await;
                self.retirer.round(SystemTime::now(), stop).await;
            };
            tokio::select! {
                () = round => {}
                () = stop.cancelled() => return,
            }
            let _ = tokio::time::timeout(self.interval, stop.cancelled()).await;
        }
    }

    async fn keep_uploads(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = self.open_uploads.round(stop) => {}
                () = stop.cancelled() => return,
            }
            let _ = tokio::time::timeout(self.interval, stop.cancelled()).await;
        }
    }

    async fn keep_placements(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let round = async {
                self.reviewer.round(stop).await;
                if let Err(error) = self.metadata.note_walked(ADOPTED_AT_ONCE).await {
                    warn!(%error, "adopted buckets cannot be read");
                }
                self.drainer.round(stop).await;
            };
            tokio::select! {
                () = round => {}
                () = stop.cancelled() => return,
            }
            let _ = tokio::time::timeout(self.interval, stop.cancelled()).await;
        }
    }

    async fn keep_rows(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                swept = self.sweep() => {
                    if let Err(error) = swept {
                        warn!(%error, "rows that are of no use any more cannot be read");
                    }
                }
                () = stop.cancelled() => return,
            }
            let _ = tokio::time::timeout(self.interval, stop.cancelled()).await;
        }
    }

    /// Removes rows until none are left to be removed, but those where that fails: they wait for the next round, and keep no
    /// others waiting. Cancel: the page that was being removed is removed by the next round.
    async fn sweep(&self) -> Result<(), StoreError> {
        let before = millis(SystemTime::now().checked_sub(GONE_KEPT).unwrap_or(SystemTime::UNIX_EPOCH));
        while self.metadata.prune_gone_versions(before, GONE_AT_ONCE).await? == u64::from(GONE_AT_ONCE) {}
        let mut failed: Vec<Sweep> = Vec::new();
        loop {
            let mut sweeps = self.metadata.sweeps(SWEEPS_AT_ONCE).await?;
            sweeps.retain(|sweep| !failed.contains(sweep));
            if sweeps.is_empty() {
                return Ok(());
            }
            for sweep in sweeps {
                if let Err(error) = self.metadata.sweep_page(&sweep).await {
                    warn!(bucket = sweep.bucket.as_str(), %error, "rows that are of no use any more stay for now");
                    failed.push(sweep);
                }
            }
        }
    }
}
