//! The queue of dirty keys: intent, commit and clear, and what a worker needs to converge them.
//! Invariant: a key whose write may have reached a backend is dirty until a worker has seen all its copies equal.
mod connection;
mod fallback;
mod letters;
#[cfg(test)]
mod model;
#[cfg(test)]
mod model_promotion;
#[cfg(test)]
mod model_promotion_state;
mod redis;
#[cfg(test)]
mod redis_scale_tests;
#[cfg(test)]
mod redis_tests;
mod scripts;
mod sql;
#[cfg(test)]
pub(crate) mod suite;
#[cfg(test)]
mod suite_alone;
#[cfg(test)]
mod suite_late;
#[cfg(test)]
mod suite_scale;
#[cfg(test)]
pub(crate) mod testing;

pub use fallback::WithFallback;
pub use letters::LetterCursor;
pub use redis::RedisQueue;
pub use sql::SqlQueue;
pub(crate) use sql::now as database_now;

use crate::{BucketId, StoreError};
use async_trait::async_trait;
use s3gateway_config::BackendId;
use s3gateway_s3::ObjectKey;
use serde::Serialize;
use std::time::Duration;

/// A key whose replicas may differ from its home.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DirtyKey {
    /// Which bucket.
    pub bucket: BucketId,
    /// Which key.
    pub key: ObjectKey,
}

/// Which of the two queues holds a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Holder {
    /// Redis.
    Redis,
    /// The metadata store's `dirty_keys`.
    Sql,
}

/// Proof that a write in flight is noted as dirty; hand it back to [`Queue::commit`] or [`Queue::release`].
#[derive(Clone, Debug)]
pub struct Mark {
    /// Where it stands.
    pub holder: Holder,
    /// The key's sequence when marked.
    pub sequence: i64,
    /// Names this writer's lease among those of other writers of the key.
    pub lease: String,
}

impl Mark {
    /// Whether no other write of the key may be in flight beside this one.
    pub fn is_alone(&self) -> bool {
        self.lease.starts_with(ALONE)
    }
}

/// Who may be at a key beside one write of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// Nobody: it was in nobody's hands when it was marked, clean or put off. Until the write's lease ends, no worker gets it
    /// and no other write has begun, so that the write has the key's replicas to itself.
    Nobody,
    /// Nobody, but a worker may get it any time, and may have had it since the mark.
    Unclaimed,
    /// A worker has it.
    Worker,
    /// Another write is noted.
    Writers,
}

/// What has come to a key beside one write of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disturbance {
    /// Who may be at it.
    pub company: Company,
    /// Where something may land yet that a worker has sent.
    pub late: Vec<BackendId>,
}

impl Disturbance {
    /// Whether the write has the key at these places to itself.
    pub fn spares(&self, places: &[BackendId]) -> bool {
        self.company == Company::Nobody && !self.late.iter().any(|late| places.contains(late))
    }
}

/// Begins the names of leases that allow no other beside them.
const ALONE: char = '!';
/// Begins the name of the lease of whatever a worker has sent that may land yet; where follows.
const LATE: char = '~';

/// The backend in the name of such a lease, without what begins it.
fn parse_late(backend: &str) -> Result<BackendId, StoreError> {
    BackendId::parse_kept(backend).map_err(|_| StoreError::Corrupt("a lease's backend"))
}

/// Which jobs a claim asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lane {
    /// All but those set aside.
    #[default]
    Small,
    /// Those that a worker has found to be large ([`Queue::set_aside`]).
    Large,
}

/// A dirty key claimed by one worker.
#[derive(Clone, Debug)]
pub struct Job {
    /// What to converge.
    pub key: DirtyKey,
    /// The sequence read when claimed; only if it still stands may the mark be cleared.
    pub sequence: i64,
    /// Failed attempts so far.
    pub attempts: u32,
    /// The client request that made the key dirty last.
    pub request_id: String,
    /// When the key became dirty (milliseconds since the Unix epoch).
    pub dirty_since: i64,
    /// Where it stands.
    pub holder: Holder,
    /// Which lane it was claimed from.
    pub lane: Lane,
    /// The queue's own handle (claim number or token).
    pub handle: String,
}

/// What [`Queue::clear`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleared {
    /// The key is clean.
    Clean,
    /// It was written meanwhile, or something is noted that may land; it is queued again.
    Requeued,
}

/// Some of a bucket's dirty keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirtyPage {
    /// The keys.
    pub keys: Vec<ObjectKey>,
    /// When the first of these became dirty (milliseconds since the Unix epoch).
    pub oldest: Option<i64>,
    /// Where to go on.
    pub next: Option<String>,
}

/// Figures for operators and metrics.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Depth {
    /// Dirty keys in all.
    pub dirty: u64,
    /// Of these, claimed by a worker.
    pub claimed: u64,
    /// Of these, waiting for a retry.
    pub delayed: u64,
    /// Of these, dead letters.
    pub dead: u64,
    /// When the oldest dirty key became dirty (milliseconds since the Unix epoch).
    pub oldest: Option<i64>,
}

/// A key given up after too many attempts; it stays dirty until redriven or written again.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Which key.
    pub key: DirtyKey,
    /// Why, one line.
    pub reason: String,
    /// Failed attempts.
    pub attempts: u32,
    /// Since when (milliseconds since the Unix epoch).
    pub since: i64,
}

/// Some dead letters.
#[derive(Clone, Debug, Default)]
pub struct DeadPage {
    /// The letters.
    pub letters: Vec<DeadLetter>,
    /// Where to go on.
    pub next: Option<String>,
}

/// The contract that Redis and SQL both keep. Every method is safe to repeat.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Notes the key as dirty with the next sequence, takes a lease for the write in flight, and queues a job if the
    /// key was clean (or a dead letter). Must be done before the last bytes of a write are released to the home.
    ///
    /// # Errors
    /// `Busy` while a write that must be alone is in flight.
    async fn intent(&self, key: &DirtyKey, request_id: &str, lease: Duration) -> Result<Mark, StoreError>;
    /// As [`Queue::intent`], for a write that depends on what stands at the key: from here to its commit, release or the
    /// lease's end no other write of the key is in flight.
    ///
    /// # Errors
    /// `Busy` while any other write of the key is in flight.
    async fn intent_alone(&self, key: &DirtyKey, request_id: &str, lease: Duration) -> Result<Mark, StoreError>;
    /// Lengthens a lease; used before releasing the last bytes of a long upload. The key's sequence, which is the mark's
    /// only where nothing has come to the key since.
    ///
    /// # Errors
    /// `Busy` where the lease ran out and another write has begun beside which this one may not be, or may have: a lease that is alone
    /// and is not noted any more is not taken anew.
    async fn renew(&self, key: &DirtyKey, mark: &Mark, lease: Duration) -> Result<i64, StoreError>;
    /// What has come to the key beside the write that has so marked it.
    ///
    /// # Errors
    /// `Unavailable` also where the queue that would know of other writes is away.
    async fn disturbance(&self, key: &DirtyKey, mark: &Mark) -> Result<Disturbance, StoreError>;
    /// Raises the sequence and drops the lease, marking the key again if it is no longer dirty. No commit, no success answer.
    async fn commit(&self, key: &DirtyKey, mark: &Mark, request_id: &str) -> Result<(), StoreError>;
    /// Drops the lease of a write that the backend refused for certain; the key stays dirty until converged.
    async fn release(&self, key: &DirtyKey, mark: &Mark) -> Result<(), StoreError>;
    /// Notes that something may land at these backends within so long, which a worker has sent for the key and has no answer to: the key
    /// is dirty, and no claim from before that time is over clears it. It keeps no write away, and is no write; anybody may
    /// note it, whoever has claimed the key.
    async fn note_late(&self, key: &DirtyKey, at: &[BackendId], within: Duration) -> Result<(), StoreError>;
    /// Notes a key as dirty with no write in flight (policy change, repair, missing copy), and brings forward what was put off.
    async fn mark(&self, key: &DirtyKey, request_id: &str) -> Result<(), StoreError> {
        self.mark_all(std::slice::from_ref(key), request_id).await
    }
    /// As [`Queue::mark`], for many keys at once. An error may leave any of them marked.
    async fn mark_all(&self, keys: &[DirtyKey], request_id: &str) -> Result<(), StoreError>;
    /// Whether a mark of the key is known.
    async fn is_marked(&self, key: &DirtyKey) -> Result<bool, StoreError>;
    /// Whether the key is proven clean: no mark is known, and none can have been forgotten.
    async fn is_clean(&self, key: &DirtyKey) -> Result<bool, StoreError> {
        Ok(!self.is_marked(key).await?)
    }
    /// Whether what is not known of the bucket is proven not to be: no mark of its keys can have been forgotten.
    async fn proves(&self, _bucket: &BucketId) -> Result<bool, StoreError> {
        Ok(true)
    }
    /// Whether a mark that was made may be forgotten, by a server that was restarted or replaced.
    fn may_forget(&self) -> bool {
        false
    }
    /// Has whoever has claimed a key look at it once more before it is clean, and queues dead letters again: since their look something
    /// may have landed of which the servers did not know.
    async fn settle(&self) -> Result<(), StoreError> {
        Ok(())
    }
    /// Run ids of the servers that hold the queue, where one can be replaced by another that knows less.
    async fn servers(&self) -> Result<Vec<String>, StoreError> {
        Ok(Vec::new())
    }
    /// Whether no key of the bucket is dirty, proven as by [`Queue::is_clean`].
    async fn is_bucket_clean(&self, bucket: &BucketId) -> Result<bool, StoreError>;
    /// How many keys of the bucket are dirty, dead letters among them.
    async fn count_dirty(&self, bucket: &BucketId) -> Result<u64, StoreError>;
    /// Some of a bucket's dirty keys, and where to go on; none where the answer bears them all. A key that is dirty from the
    /// first call to the last is among them, perhaps more than once.
    async fn dirty_keys(&self, bucket: &BucketId, from: Option<&str>) -> Result<DirtyPage, StoreError>;
    /// Claims up to `limit` jobs for `consumer`: due retries, jobs of workers whose claim is older than `lease`, new jobs.
    async fn claim(&self, consumer: &str, limit: usize, lease: Duration) -> Result<Vec<Job>, StoreError> {
        self.claim_in(Lane::Small, consumer, limit, lease).await
    }
    /// As [`Queue::claim`], from one lane. Stale claims come back in whichever lane the queue likes.
    async fn claim_in(&self, lane: Lane, consumer: &str, limit: usize, lease: Duration)
    -> Result<Vec<Job>, StoreError>;
    /// Gives the consumer its share of the queue's shards among all consumers that attend, until `hold` has passed without
    /// another call: it is asked for jobs of these first. How many it has. Only order and speed depend on it: whoever
    /// does not attend may claim anything, and a queue without shards has nothing to share.
    async fn attend(&self, _consumer: &str, _hold: Duration) -> Result<usize, StoreError> {
        Ok(0)
    }
    /// Gives the shards back at once.
    async fn leave(&self, _consumer: &str) -> Result<(), StoreError> {
        Ok(())
    }
    /// Keeps a claim alive during a long copy; `false` where another worker has taken over.
    async fn extend(&self, job: &Job, consumer: &str, lease: Duration) -> Result<bool, StoreError>;
    /// Clears the mark if the sequence is unchanged and nothing is noted that may land; else queues the key again (after the lease).
    async fn clear(&self, job: &Job) -> Result<Cleared, StoreError>;
    /// Queues the job again after `delay`, one attempt more; at once, as if new, where its key was marked since it was
    /// claimed.
    async fn retry(&self, job: &Job, delay: Duration) -> Result<(), StoreError>;
    /// As [`Queue::retry`] with no attempt counted: the job is not to blame.
    async fn put_off(&self, job: &Job, delay: Duration) -> Result<(), StoreError>;
    /// Queues the job again in [`Lane::Large`], with no attempt counted, until its key is written again.
    async fn set_aside(&self, job: &Job) -> Result<(), StoreError>;
    /// Makes it a dead letter.
    async fn bury(&self, job: &Job, reason: &str) -> Result<(), StoreError>;
    /// Whether the queue answers, and can be used as it is configured; costs no more than that.
    async fn ping(&self) -> Result<(), StoreError>;
    /// Figures.
    async fn depth(&self) -> Result<Depth, StoreError>;
    /// Dead letters behind `after`, oldest first.
    async fn dead_letters(&self, after: Option<&LetterCursor>, limit: usize) -> Result<Vec<DeadLetter>, StoreError>;
    /// Some dead letters, and where to go on; none where these were the last. One that is dead from the first call to
    /// the last is among them, perhaps more than once.
    async fn dead_page(&self, from: Option<&str>) -> Result<DeadPage, StoreError>;
    /// A dead letter of the bucket, if it has any.
    async fn dead_letter_of(&self, bucket: &BucketId) -> Result<Option<DeadLetter>, StoreError> {
        let mut from = None;
        loop {
            let DeadPage { letters, next } = self.dead_page(from.as_deref()).await?;
            let found = letters.into_iter().find(|letter| letter.key.bucket == *bucket);
            if found.is_some() || next.is_none() {
                return Ok(found);
            }
            from = next;
        }
    }
    /// Queues dead letters again, all or one; how many.
    async fn redrive(&self, only: Option<&DirtyKey>) -> Result<u64, StoreError>;
}
