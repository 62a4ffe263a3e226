//! What a worker does beside its jobs, again and again: it ends what gateways left half done, drops what deleted buckets left
//! behind, has placements follow policies and backends, and drains what has left them.
use crate::backends::Backends;
use crate::drain::Drainer;
use crate::metrics::Metrics;
use crate::recover::Recoverer;
use crate::retire::Retirer;
use crate::review::Reviewer;
use crate::settings::WorkerSettings;
use s3gateway_store::{Metadata, Queue};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Adopted buckets looked at in one round.
const ADOPTED_AT_ONCE: u32 = 100;

/// The work on buckets, as opposed to keys.
pub(crate) struct Upkeep {
    metadata: Metadata,
    recoverer: Recoverer,
    retirer: Retirer,
    reviewer: Reviewer,
    drainer: Drainer,
    interval: Duration,
}

impl Upkeep {
    pub(crate) fn new(
        metadata: Metadata,
        queue: Arc<dyn Queue>,
        backends: Arc<Backends>,
        metrics: Metrics,
        settings: &WorkerSettings,
    ) -> Self {
        let WorkerSettings { abandoned_after, lease, retire_interval: interval, .. } = *settings;
        let recoverer = Recoverer { metadata: metadata.clone(), backends: backends.clone(), abandoned_after, lease };
        let retirer =
            Retirer { metadata: metadata.clone(), backends: backends.clone(), metrics: metrics.clone(), lease };
        let reviewer = Reviewer { metadata: metadata.clone() };
        let drainer = Drainer { metadata: metadata.clone(), queue, backends, metrics, lease };
        Self { metadata, recoverer, retirer, reviewer, drainer, interval }
    }

    /// Goes on until `stop`.
    pub(crate) async fn run(&self, stop: &CancellationToken) {
        tokio::join!(self.keep_buckets(stop), self.keep_placements(stop));
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
}
