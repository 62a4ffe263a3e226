//! Redis with the metadata store behind it: a mark always stands in at least one of the two, and Redis alone ends it.
//! Invariant: a mark in SQL is cleared only after the key was marked in Redis. Else two workers could converge one key
//! at once, one by each queue, and the slower could put an old copy over a new one after both marks are gone.
use super::letters;
use super::{
    Cleared, Company, DeadLetter, DeadPage, Depth, DirtyKey, DirtyPage, Disturbance, Holder, Job, Lane, LetterCursor,
    Mark, Queue,
};
use crate::{BucketId, StoreError};
use async_trait::async_trait;
use s3gateway_config::BackendId;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How long a primary that failed is left alone; then one caller tries it while the others still pass it by.
const LEFT_ALONE: Duration = Duration::from_secs(1);
/// Marks moved from the fallback by one poll; a round trip each, so a poll stays well under a second.
const MOVED_AT_ONCE: usize = 64;
/// Milliseconds between two looks into the fallback while the primary answers.
const DRAIN_PAUSE: u64 = 100;

/// Begin the places of a listing: which queue it is in.
const IN_FALLBACK: char = 'f';
const IN_PRIMARY: char = 'p';

/// A primary queue and the one that takes its marks while it is away.
pub struct WithFallback<P, F> {
    primary: P,
    fallback: F,
    circuit: Circuit,
    /// When each lane of the fallback was last looked at, in the circuit's time.
    drained: [AtomicU64; 2],
}

impl<P: Queue, F: Queue> WithFallback<P, F> {
    /// Marks go to `primary`, or to `fallback` while it is away. Jobs and marks of `primary` are held by
    /// [`Holder::Redis`], those of `fallback` by [`Holder::Sql`].
    pub fn new(primary: P, fallback: F) -> Self {
        Self { primary, fallback, circuit: Circuit::new(), drained: Default::default() }
    }

    /// The primary's answer, or at once `Unavailable` while it is left alone.
    async fn primary<T>(&self, asking: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        if !self.circuit.may_try() {
            return Err(StoreError::Unavailable("the primary queue failed a moment ago".into()));
        }
        let answer = asking.await;
        self.circuit.note(matches!(answer, Err(StoreError::Unavailable(_))));
        answer
    }

    async fn holder_commit(&self, key: &DirtyKey, mark: &Mark, request_id: &str) -> Result<(), StoreError> {
        match mark.holder {
            Holder::Redis => self.primary(self.primary.commit(key, mark, request_id)).await,
            Holder::Sql => self.fallback.commit(key, mark, request_id).await,
        }
    }

    async fn other_mark(&self, key: &DirtyKey, mark: &Mark, request_id: &str) -> Result<(), StoreError> {
        match mark.holder {
            Holder::Redis => self.fallback.mark(key, request_id).await,
            Holder::Sql => self.primary(self.primary.mark(key, request_id)).await,
        }
    }

    /// Moves what stands in the fallback over to the primary. Gives back what could not be moved, to be worked on as it is.
    async fn drain_fallback(&self, lane: Lane, consumer: &str, lease: Duration) -> Vec<Job> {
        // A busy worker claims hundreds of times a second, and each look is a question to the database.
        let [small, large] = &self.drained;
        let drained = if lane == Lane::Small { small } else { large };
        let (now, last) = (self.circuit.now(), drained.load(Ordering::Relaxed));
        if last != 0 && now < last + DRAIN_PAUSE {
            return Vec::new();
        }
        drained.store(now.max(1), Ordering::Relaxed);
        let jobs = match self.fallback.claim_in(lane, consumer, MOVED_AT_ONCE, lease).await {
            Ok(jobs) => jobs,
            Err(error) => {
                tracing::debug!(%error, "marks in the fallback stay there for now");
                return Vec::new();
            }
        };
        let mut left = Vec::new();
        for job in jobs.into_iter().map(held_by_fallback) {
            match self.primary(self.primary.mark(&job.key, &job.request_id)).await {
                // Not cleared: a write is in flight, or the fallback went away; it will be moved again.
                Ok(()) => drop(self.fallback.clear(&job).await),
                Err(_) => left.push(job),
            }
        }
        left
    }
}

#[async_trait]
impl<P: Queue, F: Queue> Queue for WithFallback<P, F> {
    async fn intent(&self, key: &DirtyKey, request_id: &str, lease: Duration) -> Result<Mark, StoreError> {
        match self.primary(self.primary.intent(key, request_id, lease)).await {
            Err(StoreError::Unavailable(_)) => {
                self.fallback.intent(key, request_id, lease).await.map(|mark| Mark { holder: Holder::Sql, ..mark })
            }
            answer => answer.map(|mark| Mark { holder: Holder::Redis, ..mark }),
        }
    }

    /// By the primary alone: two queues could not keep two writers apart. What was marked in the fallback may still be
    /// in flight until the key has been moved from there.
    async fn intent_alone(&self, key: &DirtyKey, request_id: &str, lease: Duration) -> Result<Mark, StoreError> {
        if !self.fallback.is_clean(key).await? {
            return Err(StoreError::Busy);
        }
        let mark = self.primary(self.primary.intent_alone(key, request_id, lease)).await?;
        Ok(Mark { holder: Holder::Redis, ..mark })
    }

    /// Where the holder is away the other one notes a lease of its own; nobody commits it, so it only delays cleanness.
    async fn renew(&self, key: &DirtyKey, mark: &Mark, lease: Duration) -> Result<i64, StoreError> {
        let renewed = match mark.holder {
            Holder::Redis => self.primary(self.primary.renew(key, mark, lease)).await,
            Holder::Sql => self.fallback.renew(key, mark, lease).await,
        };
        match (renewed, mark.holder) {
            (answer, _) if mark.is_alone() => answer,
            (Err(StoreError::Unavailable(_)), Holder::Redis) => {
                self.fallback.intent(key, "", lease).await.map(|mark| mark.sequence)
            }
            (Err(StoreError::Unavailable(_)), Holder::Sql) => {
                self.primary(self.primary.intent(key, "", lease)).await.map(|mark| mark.sequence)
            }
            (answer, _) => answer,
        }
    }

    /// By the primary: the fallback does not know what else is noted there. What is in the fallback as well may be worked on
    /// by it.
    async fn disturbance(&self, key: &DirtyKey, mark: &Mark) -> Result<Disturbance, StoreError> {
        if mark.holder == Holder::Sql {
            return Err(StoreError::Unavailable("the primary queue was away when the key was marked".into()));
        }
        if self.fallback.is_marked(key).await? {
            return Ok(Disturbance { company: Company::Writers, late: Vec::new() });
        }
        self.primary(self.primary.disturbance(key, mark)).await
    }

    /// Where the holder is away the key is marked in the other one; the holder's lease runs out by itself.
    async fn commit(&self, key: &DirtyKey, mark: &Mark, request_id: &str) -> Result<(), StoreError> {
        match self.holder_commit(key, mark, request_id).await {
            Err(StoreError::Unavailable(_)) => self.other_mark(key, mark, request_id).await,
            answer => answer,
        }
    }

    /// A holder that is away is no error: the lease runs out by itself.
    async fn release(&self, key: &DirtyKey, mark: &Mark) -> Result<(), StoreError> {
        let released = match mark.holder {
            Holder::Redis => self.primary(self.primary.release(key, mark)).await,
            Holder::Sql => self.fallback.release(key, mark).await,
        };
        match released {
            Err(StoreError::Unavailable(_)) => Ok(()),
            answer => answer,
        }
    }

    async fn note_late(&self, key: &DirtyKey, at: &[BackendId], within: Duration) -> Result<(), StoreError> {
        match self.primary(self.primary.note_late(key, at, within)).await {
            Err(StoreError::Unavailable(_)) => self.fallback.note_late(key, at, within).await,
            answer => answer,
        }
    }

    async fn mark_all(&self, keys: &[DirtyKey], request_id: &str) -> Result<(), StoreError> {
        match self.primary(self.primary.mark_all(keys, request_id)).await {
            Err(StoreError::Unavailable(_)) => self.fallback.mark_all(keys, request_id).await,
            answer => answer,
        }
    }

    /// The fallback is asked first: a mark on its way to the primary is then seen in one of the two.
    async fn is_marked(&self, key: &DirtyKey) -> Result<bool, StoreError> {
        Ok(self.fallback.is_marked(key).await? || self.primary(self.primary.is_marked(key)).await?)
    }

    async fn is_clean(&self, key: &DirtyKey) -> Result<bool, StoreError> {
        Ok(self.fallback.is_clean(key).await? && self.primary(self.primary.is_clean(key)).await?)
    }

    fn may_forget(&self) -> bool {
        self.primary.may_forget() || self.fallback.may_forget()
    }

    async fn proves(&self, bucket: &BucketId) -> Result<bool, StoreError> {
        self.primary(self.primary.proves(bucket)).await
    }

    async fn settle(&self) -> Result<(), StoreError> {
        self.primary(self.primary.settle()).await
    }

    async fn servers(&self) -> Result<Vec<String>, StoreError> {
        self.primary(self.primary.servers()).await
    }

    async fn is_bucket_clean(&self, bucket: &BucketId) -> Result<bool, StoreError> {
        Ok(self.fallback.is_bucket_clean(bucket).await? && self.primary(self.primary.is_bucket_clean(bucket)).await?)
    }

    async fn count_dirty(&self, bucket: &BucketId) -> Result<u64, StoreError> {
        Ok(self.fallback.count_dirty(bucket).await? + self.primary(self.primary.count_dirty(bucket)).await?)
    }

    /// The fallback is listed first: a mark on its way to the primary is then seen in one of the two.
    async fn dirty_keys(&self, bucket: &BucketId, from: Option<&str>) -> Result<DirtyPage, StoreError> {
        match Place::parse(from) {
            Place::InFallback(from) => {
                let page = self.fallback.dirty_keys(bucket, from).await?;
                Ok(DirtyPage { next: Some(Place::after_fallback(page.next)), ..page })
            }
            Place::InPrimary(from) => {
                let page = self.primary(self.primary.dirty_keys(bucket, from)).await?;
                Ok(DirtyPage { next: page.next.map(Place::after_primary), ..page })
            }
        }
    }

    /// Jobs of the fallback are handed out as they are only while the primary is away.
    async fn claim_in(
        &self,
        lane: Lane,
        consumer: &str,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Job>, StoreError> {
        let mut jobs = match self.primary(self.primary.claim_in(lane, consumer, limit, lease)).await {
            Err(StoreError::Unavailable(_)) => {
                let jobs = self.fallback.claim_in(lane, consumer, limit, lease).await?;
                return Ok(jobs.into_iter().map(held_by_fallback).collect());
            }
            answer => answer?,
        };
        let left = self.drain_fallback(lane, consumer, lease).await;
        let room = limit.saturating_sub(jobs.len());
        jobs.extend(left.into_iter().take(room));
        Ok(jobs)
    }

    /// A fallback has no shards.
    async fn attend(&self, consumer: &str, hold: Duration) -> Result<usize, StoreError> {
        self.primary(self.primary.attend(consumer, hold)).await
    }

    async fn leave(&self, consumer: &str) -> Result<(), StoreError> {
        self.primary(self.primary.leave(consumer)).await
    }

    async fn extend(&self, job: &Job, consumer: &str, lease: Duration) -> Result<bool, StoreError> {
        match job.holder {
            Holder::Redis => self.primary(self.primary.extend(job, consumer, lease)).await,
            Holder::Sql => self.fallback.extend(job, consumer, lease).await,
        }
    }

    async fn clear(&self, job: &Job) -> Result<Cleared, StoreError> {
        if job.holder == Holder::Redis {
            return self.primary(self.primary.clear(job)).await;
        }
        match self.primary(self.primary.mark(&job.key, &job.request_id)).await {
            // The primary has it now and will have it converged once more, alone.
            Ok(()) => self.fallback.clear(job).await.map(|_| Cleared::Requeued),
            // The claim runs out; whoever claims the key next tries again.
            Err(StoreError::Unavailable(_)) => Ok(Cleared::Requeued),
            Err(error) => Err(error),
        }
    }

    async fn retry(&self, job: &Job, delay: Duration) -> Result<(), StoreError> {
        match job.holder {
            Holder::Redis => self.primary(self.primary.retry(job, delay)).await,
            Holder::Sql => self.fallback.retry(job, delay).await,
        }
    }

    async fn put_off(&self, job: &Job, delay: Duration) -> Result<(), StoreError> {
        match job.holder {
            Holder::Redis => self.primary(self.primary.put_off(job, delay)).await,
            Holder::Sql => self.fallback.put_off(job, delay).await,
        }
    }

    async fn set_aside(&self, job: &Job) -> Result<(), StoreError> {
        match job.holder {
            Holder::Redis => self.primary(self.primary.set_aside(job)).await,
            Holder::Sql => self.fallback.set_aside(job).await,
        }
    }

    async fn bury(&self, job: &Job, reason: &str) -> Result<(), StoreError> {
        match job.holder {
            Holder::Redis => self.primary(self.primary.bury(job, reason)).await,
            Holder::Sql => self.fallback.bury(job, reason).await,
        }
    }

    /// The primary: whether the fallback answers is the metadata store's to say.
    async fn ping(&self) -> Result<(), StoreError> {
        self.primary(self.primary.ping()).await
    }

    async fn depth(&self) -> Result<Depth, StoreError> {
        let (one, other) = (self.fallback.depth().await?, self.primary(self.primary.depth()).await?);
        Ok(Depth {
            dirty: one.dirty + other.dirty,
            claimed: one.claimed + other.claimed,
            delayed: one.delayed + other.delayed,
            dead: one.dead + other.dead,
            oldest: one.oldest.into_iter().chain(other.oldest).min(),
        })
    }

    async fn dead_letters(&self, after: Option<&LetterCursor>, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
        let mut letters = self.fallback.dead_letters(after, limit).await?;
        letters.extend(self.primary(self.primary.dead_letters(after, limit)).await?);
        Ok(letters::oldest(letters, after, limit))
    }

    /// In the order of [`Queue::dirty_keys`].
    async fn dead_page(&self, from: Option<&str>) -> Result<DeadPage, StoreError> {
        match Place::parse(from) {
            Place::InFallback(from) => {
                let page = self.fallback.dead_page(from).await?;
                Ok(DeadPage { next: Some(Place::after_fallback(page.next)), ..page })
            }
            Place::InPrimary(from) => {
                let page = self.primary(self.primary.dead_page(from)).await?;
                Ok(DeadPage { next: page.next.map(Place::after_primary), ..page })
            }
        }
    }

    async fn redrive(&self, only: Option<&DirtyKey>) -> Result<u64, StoreError> {
        Ok(self.fallback.redrive(only).await? + self.primary(self.primary.redrive(only)).await?)
    }
}

fn held_by_fallback(job: Job) -> Job {
    Job { holder: Holder::Sql, ..job }
}

/// Where a listing of both queues goes on, in that queue's own words.
enum Place<'a> {
    InFallback(Option<&'a str>),
    InPrimary(Option<&'a str>),
}

impl<'a> Place<'a> {
    fn parse(from: Option<&'a str>) -> Self {
        match from.and_then(|from| from.strip_prefix(IN_PRIMARY)) {
            None => Self::InFallback(from.and_then(|from| from.strip_prefix(IN_FALLBACK))),
            Some(from) => Self::InPrimary(Some(from).filter(|from| !from.is_empty())),
        }
    }

    fn after_fallback(next: Option<String>) -> String {
        next.map_or_else(|| IN_PRIMARY.to_string(), |next| format!("{IN_FALLBACK}{next}"))
    }

    fn after_primary(next: String) -> String {
        format!("{IN_PRIMARY}{next}")
    }
}

/// Keeps callers off a queue that just failed. Milliseconds since `started`; 0 while closed.
struct Circuit {
    started: Instant,
    open_until: AtomicU64,
}

impl Circuit {
    fn new() -> Self {
        Self { started: Instant::now(), open_until: AtomicU64::new(0) }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn after_pause(&self) -> u64 {
        self.now().saturating_add(u64::try_from(LEFT_ALONE.as_millis()).unwrap_or(u64::MAX)).max(1)
    }

    /// While open, one caller in each pause is let through.
    fn may_try(&self) -> bool {
        let until = self.open_until.load(Ordering::Acquire);
        until == 0
            || (self.now() >= until
                && self
                    .open_until
                    .compare_exchange(until, self.after_pause(), Ordering::AcqRel, Ordering::Acquire)
                    .is_ok())
    }

    fn note(&self, failed: bool) {
        let until = if failed { self.after_pause() } else { 0 };
        let before = self.open_until.swap(until, Ordering::AcqRel);
        if failed && before == 0 {
            tracing::warn!("primary queue is away, marks go to the fallback");
        } else if !failed && before != 0 {
            tracing::info!("primary queue answers again");
        }
    }
}
