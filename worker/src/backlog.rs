//! How much may be dirty at a time: whoever marks many keys waits while the queue has enough to do.
//! Invariant: dead letters do not count, for nothing is done about them.
use s3gateway_store::{Queue, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// By one look at the queue at most this part of the backlog is marked, so that looks cost nothing beside the marks, and
/// workers that look at the same time mark little too much.
const PART: u64 = 8;
/// From a look at a full queue to the next.
const PAUSE: Duration = Duration::from_secs(1);

/// The queue, as those see it who mark many keys; one for all of a worker.
pub(crate) struct Backlog {
    queue: Arc<dyn Queue>,
    /// Dirty keys from which on no more are marked.
    most: u64,
    /// What may be marked before the next look.
    left: Mutex<u64>,
}

impl Backlog {
    pub(crate) fn new(queue: Arc<dyn Queue>, most: u64) -> Self {
        Self { queue, most, left: Mutex::default() }
    }

    /// Whether the queue has enough to do.
    pub(crate) async fn is_full(&self) -> Result<bool, StoreError> {
        Ok(self.room().await? == 0)
    }

    /// Whether `keys` more may be marked; no is said after a pause. Of all who wait, one looks at the queue.
    ///
    /// Cancel: safe to drop; what was admitted then is marked later.
    pub(crate) async fn admits(&self, keys: u64) -> Result<bool, StoreError> {
        let mut left = self.left.lock().await;
        if *left == 0 {
            *left = self.room().await?.min((self.most / PART).max(1));
        }
        if *left == 0 {
            tokio::time::sleep(PAUSE).await;
            return Ok(false);
        }
        *left = left.saturating_sub(keys);
        Ok(true)
    }

    async fn room(&self) -> Result<u64, StoreError> {
        let depth = self.queue.depth().await?;
        Ok(self.most.saturating_sub(depth.dirty.saturating_sub(depth.dead)))
    }
}
