//! Watches for a Redis that was replaced or restarted, and has every bucket walked over whose marks it may have forgotten.
use crate::settings::WorkerSettings;
use s3gateway_store::{Metadata, Queue, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Between two looks: a failover read of a suspect bucket is refused for as long.
const INTERVAL: Duration = Duration::from_secs(2);
/// Such walks under way at the same time, in all workers together.
const WALKS_AT_ONCE: u32 = 16;

/// What it needs.
pub(crate) struct Suspects {
    metadata: Metadata,
    queue: Arc<dyn Queue>,
    rate: u32,
}

impl Suspects {
    pub(crate) fn new(metadata: Metadata, queue: Arc<dyn Queue>, settings: &WorkerSettings) -> Self {
        Self { metadata, queue, rate: settings.reconcile_rate }
    }

    /// Goes on until `stop`.
    pub(crate) async fn watch(&self, stop: &CancellationToken) {
        let mut noted = Vec::new();
        while !stop.is_cancelled() {
            if let Err(error) = self.look(&mut noted).await {
                warn!(%error, "it cannot be told whether Redis has forgotten marks");
            }
            let _ = tokio::time::timeout(INTERVAL, stop.cancelled()).await;
        }
    }

    async fn look(&self, noted: &mut Vec<String>) -> Result<(), StoreError> {
        let servers = match self.queue.servers().await {
            // While it is away it is not asked for marks either.
            Err(StoreError::Unavailable(_)) => noted.clone(),
            servers => servers?,
        };
        if servers != *noted {
            if self.metadata.note_queue_servers(&servers).await? {
                warn!("Redis was restarted or replaced and may have forgotten marks: its buckets are walked over");
            }
            *noted = servers;
        }
        let begun = self.metadata.begin_suspect_walks(WALKS_AT_ONCE, self.rate).await?;
        if begun > 0 {
            info!(begun, "walks of suspect buckets asked for");
        }
        Ok(())
    }
}
