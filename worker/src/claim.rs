//! A worker's hold on one job while it works.
use s3gateway_store::queue::{Job, Lane};
use s3gateway_store::{Queue, StoreError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::debug;

/// A claim stands for its lease from the moment that it was asked for, so that one as young as this needs no question.
const YOUNG: Duration = Duration::from_secs(1);

/// A worker's hold on one job.
pub(crate) struct Claim {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) job: Job,
    pub(crate) consumer: String,
    pub(crate) lease: Duration,
    /// Before the queue gave the job.
    pub(crate) asked: Instant,
    /// Leave to copy large objects; few of the worker's jobs have it at a time, so that small ones go on.
    pub(crate) lane: Arc<Semaphore>,
    pub(crate) leave: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Claim {
    /// Whether no other worker has taken the job over; asked before everything that changes a backend.
    pub(crate) async fn is_held(&self) -> Result<bool, StoreError> {
        if self.asked.elapsed() < YOUNG.min(self.lease / 10) {
            return Ok(true);
        }
        self.queue.extend(&self.job, &self.consumer, self.lease).await
    }

    /// Whether the job may copy a large object now; it may from then on.
    pub(crate) fn may_be_large(&self) -> bool {
        let mut leave = self.leave.lock().unwrap_or_else(PoisonError::into_inner);
        if leave.is_none() {
            *leave = self.lane.clone().try_acquire_owned().ok();
        }
        // One of the lane of large jobs was only claimed because there was leave.
        leave.is_some() || self.job.lane == Lane::Large
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
