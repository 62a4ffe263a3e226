//! A worker's hold on one job while it works.
use s3gateway_store::queue::Job;
use s3gateway_store::{Queue, StoreError};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::debug;

/// A worker's hold on one job.
pub(crate) struct Claim {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) job: Job,
    pub(crate) consumer: String,
    pub(crate) lease: Duration,
}

impl Claim {
    /// Whether no other worker has taken the job over; asked before everything that changes a backend.
    pub(crate) async fn is_held(&self) -> Result<bool, StoreError> {
        self.queue.extend(&self.job, &self.consumer, self.lease).await
    }

    /// Keeps the claim alive; ends when it is lost, or when nobody could say so for as long as it lasts.
    pub(crate) async fn keep(&self) {
        let mut confirmed = Instant::now();
        loop {
            tokio::time::sleep(self.lease / 3).await;
            match self.queue.extend(&self.job, &self.consumer, self.lease).await {
                Ok(true) => confirmed = Instant::now(),
                Ok(false) => return,
                Err(_) if confirmed.elapsed() >= self.lease => return,
                Err(failed) => debug!(error = %failed, "the claim could not be extended"),
            }
        }
    }
}
