//! A worker's hold on one job while it works, under the epoch in which it looked at the bucket.
//! Invariant: by a claim that was not confirmed within its lease no change is sent to a backend, and what is being
//! copied ends short of its last bytes.
use s3gateway_config::BackendId;
use s3gateway_store::queue::{Holder, Job, Lane, Mark};
use s3gateway_store::{Metadata, Queue, StoreError};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tracing::debug;

/// A claim stands for its lease from the moment that it was asked for, so that one as young as this needs no question.
const YOUNG: Duration = Duration::from_secs(1);

/// A worker's hold on one job.
pub(crate) struct Claim {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) metadata: Metadata,
    pub(crate) job: Job,
    pub(crate) consumer: String,
    pub(crate) lease: Duration,
    pub(crate) standing: Standing,
    /// Leave to copy large objects; few of the worker's jobs have it at a time, so that small ones go on.
    pub(crate) lane: Arc<Semaphore>,
    pub(crate) leave: Mutex<Option<OwnedSemaphorePermit>>,
    /// The key's sequence by the marks that the job made itself; 0 before.
    pub(crate) marked: AtomicI64,
}

/// Why a job is given up half way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Another worker has taken it over, or nobody could say otherwise for too long.
    Claim,
    /// Another backend becomes or has become the bucket's home.
    Epoch,
}

tokio::task_local! {
    /// The claim that a running job sends its requests by.
    static SENT_BY: Option<Standing>;
}

/// Another worker may be at the key by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the claim was not confirmed in time")]
pub(crate) struct ClaimRanOut;

/// When a claim was confirmed last; shared with the bodies that are copied by it.
#[derive(Clone, Debug)]
pub(crate) struct Standing(Arc<Confirmed>);

#[derive(Debug)]
struct Confirmed {
    began: Instant,
    lease: Duration,
    /// Since `began`.
    millis: AtomicU64,
    /// In which the bucket was looked at; 0 before.
    epoch: AtomicI64,
    /// Where changes of an object were sent and not answered for certain, one by one.
    unanswered: Mutex<Vec<BackendId>>,
}

impl Standing {
    /// Confirmed at `asked`, before the queue gave the job.
    pub(crate) fn since(asked: Instant, lease: Duration) -> Self {
        let (millis, epoch, unanswered) = (AtomicU64::new(0), AtomicI64::new(0), Mutex::default());
        Self(Arc::new(Confirmed { began: asked, lease, millis, epoch, unanswered }))
    }

    /// Runs a job by this claim: nothing of what it sends to change a backend leaves after the claim has run out.
    pub(crate) async fn run<F: Future>(&self, job: F) -> F::Output {
        SENT_BY.scope(Some(self.clone()), job).await
    }

    /// Sends what may be sent without any claim.
    pub(crate) async fn unbound<F: Future>(sends: F) -> F::Output {
        SENT_BY.scope(None, sends).await
    }

    /// The claim that the current task sends a request by, if it is a job.
    pub(crate) fn of_request() -> Option<Self> {
        SENT_BY.try_with(Clone::clone).ok().flatten()
    }

    /// Whether it was confirmed within its lease.
    pub(crate) fn stands(&self) -> bool {
        let at = Duration::from_millis(self.0.millis.load(Ordering::Relaxed));
        self.0.began.elapsed().saturating_sub(at) < self.0.lease
    }

    /// A change of an object is sent to a backend. Until it is answered for certain it may land at any time, whoever waits for it or
    /// has sent it again meanwhile.
    pub(crate) fn note_sent(&self, to: &BackendId) {
        self.0.unanswered.lock().unwrap_or_else(PoisonError::into_inner).push(to.clone());
    }

    /// A change that was sent to a backend has been carried out, or never will be.
    pub(crate) fn note_answered(&self, by: &BackendId) {
        let mut unanswered = self.0.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = unanswered.iter().position(|id| id == by) {
            unanswered.swap_remove(at);
        }
    }

    /// The backends where a change of an object that was sent by the claim may land yet.
    pub(crate) fn unanswered(&self) -> Vec<BackendId> {
        let mut backends = self.0.unanswered.lock().unwrap_or_else(PoisonError::into_inner).clone();
        backends.sort_unstable();
        backends.dedup();
        backends
    }

    /// It holds as of when it was asked for, not of when the answer came.
    fn confirm(&self, asked: Duration) {
        self.0.millis.store(u64::try_from(asked.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Claim {
    /// From here on the bucket's epoch must be this one.
    pub(crate) fn set_epoch(&self, epoch: i64) {
        self.standing.0.epoch.store(epoch, Ordering::Relaxed);
    }

    /// Where something may land yet that any worker has sent for the key.
    pub(crate) async fn late_places(&self) -> Result<Vec<BackendId>, StoreError> {
        // No write of its own is left out.
        let mark = Mark { sequence: self.job.sequence, lease: String::new(), holder: Holder::Redis };
        Ok(self.queue.disturbance(&self.job.key, &mark).await?.late)
    }

    /// Confirms that no other worker has taken the job over and that the epoch stands; asked before everything that
    /// changes a backend. `None` where it holds. A young claim needs no question: it cannot be stale yet, and a promotion
    /// that began since waits until it has been cleared or its lease is over.
    pub(crate) async fn check(&self) -> Result<Option<Lost>, StoreError> {
        let asked = self.standing.0.began.elapsed();
        if asked < YOUNG.min(self.lease / 10) {
            return Ok(None);
        }
        if !self.queue.extend(&self.job, &self.consumer, self.lease).await? {
            return Ok(Some(Lost::Claim));
        }
        let epoch = self.standing.0.epoch.load(Ordering::Relaxed);
        if epoch > 0 && !self.metadata.epoch_stands(&self.job.key.bucket, epoch).await? {
            return Ok(Some(Lost::Epoch));
        }
        self.standing.confirm(asked);
        Ok(None)
    }

    /// Whether it was confirmed within its lease.
    pub(crate) fn stands(&self) -> bool {
        self.standing.stands()
    }

    /// Notes a mark of the key that the job made itself.
    pub(crate) fn note_own(&self, holder: Holder, sequence: i64) {
        // The other queue counts its own sequences.
        if holder == self.job.holder {
            self.marked.fetch_max(sequence, Ordering::Relaxed);
        }
    }

    /// The job as it is put off or given up: what it marked itself is no write that came meanwhile.
    pub(crate) fn job_to_put_back(&self) -> Job {
        let sequence = self.job.sequence.max(self.marked.load(Ordering::Relaxed));
        Job { sequence, ..self.job.clone() }
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

    /// Whether it holds leave to copy a large object, which comes free with it.
    pub(crate) fn has_leave(&self) -> bool {
        self.leave.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Keeps the claim alive; ends when it is lost, or when nobody could say so for as long as it lasts.
    pub(crate) async fn keep(&self) -> Lost {
        loop {
            tokio::time::sleep(self.lease / 3).await;
            match self.check().await {
                Ok(None) => {}
                Ok(Some(lost)) => return lost,
                Err(_) if !self.standing.stands() => return Lost::Claim,
                Err(failed) => debug!(error = %failed, "the claim could not be extended"),
            }
        }
    }
}
