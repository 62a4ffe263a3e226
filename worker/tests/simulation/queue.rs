//! The queue as one process of a schedule has it: the one that ships, seen by the judge, with answers lost on their way.
use super::seat::{self, away};
use super::world::{Flaw, World};
use async_trait::async_trait;
use s3gateway_config::BackendId;
use s3gateway_store::queue::{
    Cleared, DeadLetter, DeadPage, Depth, DirtyPage, Disturbance, Job, Lane, LetterCursor, Mark, SqlQueue,
};
use s3gateway_store::{BucketId, DirtyKey, Metadata, Queue, StoreError};
use std::sync::Arc;
use std::time::Duration;

/// One process's queue.
pub struct Watched {
    pub world: Arc<World>,
    pub actor: String,
    inner: Arc<dyn Queue>,
    /// What stands in for Redis, for the judge to look into.
    fallback: Option<SqlQueue>,
    /// Whether the weather is of no concern to it.
    is_sheltered: bool,
}

impl Watched {
    /// `metadata`: the process's own; `unconducted`: the same database as nobody conducts it.
    pub fn new(
        world: &Arc<World>,
        actor: String,
        metadata: &Metadata,
        unconducted: &Metadata,
        is_sheltered: bool,
    ) -> Self {
        let inner = seat::queue(world, metadata, is_sheltered);
        let fallback = world.redis.is_some().then(|| unconducted.sql_queue());
        Self { world: world.clone(), actor, inner, fallback, is_sheltered }
    }

    /// Whether the key is marked in what stands in for Redis.
    fn is_in_fallback(&self, key: &DirtyKey) -> bool {
        let Some(fallback) = &self.fallback else { return false };
        futures::executor::block_on(tokio::task::unconstrained(fallback.is_marked(key))).unwrap()
    }

    fn note(&self, what: &str, key: &DirtyKey) {
        self.world.stage.note(&format!("{} {what} {}", self.actor, key.key.as_str()));
    }

    /// What is done, and perhaps not heard of.
    fn heard<T>(&self, answer: T) -> Result<T, StoreError> {
        if !self.is_sheltered && self.world.stage.happens(self.world.weather().store_mute) {
            self.world.stage.note(&format!("{} hears nothing of it", self.actor));
            return Err(away());
        }
        Ok(answer)
    }
}

#[async_trait]
impl Queue for Watched {
    async fn intent(&self, key: &DirtyKey, request_id: &str, lease: Duration) -> Result<Mark, StoreError> {
        let mark = self.inner.intent(key, request_id, lease).await?;
        self.note("intends", key);
        self.world.marked(&key.key);
        self.heard(mark)
    }

    async fn intent_alone(&self, key: &DirtyKey, request_id: &str, lease: Duration) -> Result<Mark, StoreError> {
        let mark = self.inner.intent_alone(key, request_id, lease).await?;
        self.note("intends alone", key);
        self.world.marked(&key.key);
        self.heard(mark)
    }

    async fn renew(&self, key: &DirtyKey, mark: &Mark, lease: Duration) -> Result<i64, StoreError> {
        let sequence = self.inner.renew(key, mark, lease).await?;
        self.note("renews", key);
        self.world.marked(&key.key);
        self.heard(sequence)
    }

    async fn commit(&self, key: &DirtyKey, mark: &Mark, request_id: &str) -> Result<(), StoreError> {
        self.inner.commit(key, mark, request_id).await?;
        self.note("commits", key);
        self.world.marked(&key.key);
        self.heard(())
    }

    async fn release(&self, key: &DirtyKey, mark: &Mark) -> Result<(), StoreError> {
        self.inner.release(key, mark).await?;
        self.note("releases", key);
        self.heard(())
    }

    async fn note_late(&self, key: &DirtyKey, at: &[BackendId], within: Duration) -> Result<(), StoreError> {
        if self.world.flaw == Flaw::ForgottenSends {
            return Ok(());
        }
        let from = self.world.clocks().database;
        self.inner.note_late(key, at, within).await?;
        self.note("awaits what may land on", key);
        self.world.awaited(&key.key, &self.actor, from + i64::try_from(within.as_millis()).unwrap());
        self.heard(())
    }

    async fn mark_all(&self, keys: &[DirtyKey], request_id: &str) -> Result<(), StoreError> {
        self.inner.mark_all(keys, request_id).await?;
        for key in keys {
            self.note("marks", key);
            self.world.marked(&key.key);
        }
        self.heard(())
    }

    async fn disturbance(&self, key: &DirtyKey, mark: &Mark) -> Result<Disturbance, StoreError> {
        self.inner.disturbance(key, mark).await
    }

    async fn is_marked(&self, key: &DirtyKey) -> Result<bool, StoreError> {
        self.inner.is_marked(key).await
    }

    async fn is_clean(&self, key: &DirtyKey) -> Result<bool, StoreError> {
        self.inner.is_clean(key).await
    }

    fn may_forget(&self) -> bool {
        self.inner.may_forget()
    }

    async fn proves(&self, bucket: &BucketId) -> Result<bool, StoreError> {
        self.inner.proves(bucket).await
    }

    async fn settle(&self) -> Result<(), StoreError> {
        self.inner.settle().await
    }

    async fn servers(&self) -> Result<Vec<String>, StoreError> {
        self.inner.servers().await
    }

    async fn attend(&self, consumer: &str, hold: Duration) -> Result<usize, StoreError> {
        self.inner.attend(consumer, hold).await
    }

    async fn leave(&self, consumer: &str) -> Result<(), StoreError> {
        self.inner.leave(consumer).await
    }

    async fn count_dirty(&self, bucket: &BucketId) -> Result<u64, StoreError> {
        self.inner.count_dirty(bucket).await
    }

    async fn is_bucket_clean(&self, bucket: &BucketId) -> Result<bool, StoreError> {
        self.inner.is_bucket_clean(bucket).await
    }

    async fn dirty_keys(&self, bucket: &BucketId, from: Option<&str>) -> Result<DirtyPage, StoreError> {
        self.inner.dirty_keys(bucket, from).await
    }

    async fn claim_in(
        &self,
        lane: Lane,
        consumer: &str,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<Job>, StoreError> {
        let jobs = self.inner.claim_in(lane, consumer, limit, lease).await?;
        for job in &jobs {
            self.note(&format!("claims (attempts {})", job.attempts), &job.key);
            self.world.claimed(&job.key.key, &self.actor);
        }
        self.heard(jobs)
    }

    async fn extend(&self, job: &Job, consumer: &str, lease: Duration) -> Result<bool, StoreError> {
        let holds = self.inner.extend(job, consumer, lease).await?;
        if !holds {
            self.note("has lost", &job.key);
        }
        self.heard(holds)
    }

    async fn clear(&self, job: &Job) -> Result<Cleared, StoreError> {
        let mut job = job.clone();
        if self.world.flaw == Flaw::ForgottenSequence {
            // Two marks that leave nothing behind but the sequence that now stands.
            let mark = self.inner.intent(&job.key, "", Duration::from_secs(1)).await?;
            self.inner.release(&job.key, &mark).await?;
            job.sequence = mark.sequence;
        }
        let cleared = self.inner.clear(&job).await?;
        self.note(&format!("clears: {cleared:?}"), &job.key);
        match cleared {
            Cleared::Clean if !self.is_in_fallback(&job.key) => self.world.cleared(&job.key.key, &self.actor),
            _ => self.world.given_back(&job.key.key, &self.actor),
        }
        self.heard(cleared)
    }

    async fn retry(&self, job: &Job, delay: Duration) -> Result<(), StoreError> {
        self.inner.retry(job, delay).await?;
        self.note(&format!("retries in {} ms", delay.as_millis()), &job.key);
        self.world.given_back(&job.key.key, &self.actor);
        self.heard(())
    }

    async fn put_off(&self, job: &Job, delay: Duration) -> Result<(), StoreError> {
        self.inner.put_off(job, delay).await?;
        self.note(&format!("puts off for {} ms", delay.as_millis()), &job.key);
        self.world.given_back(&job.key.key, &self.actor);
        self.heard(())
    }

    async fn set_aside(&self, job: &Job) -> Result<(), StoreError> {
        self.inner.set_aside(job).await?;
        self.note("sets aside", &job.key);
        self.world.given_back(&job.key.key, &self.actor);
        self.heard(())
    }

    async fn bury(&self, job: &Job, reason: &str) -> Result<(), StoreError> {
        self.inner.bury(job, reason).await?;
        self.note(&format!("gives up ({reason})"), &job.key);
        self.world.buried(&job.key.key, reason);
        self.world.given_back(&job.key.key, &self.actor);
        self.heard(())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }

    async fn depth(&self) -> Result<Depth, StoreError> {
        self.inner.depth().await
    }

    async fn dead_letters(&self, after: Option<&LetterCursor>, limit: usize) -> Result<Vec<DeadLetter>, StoreError> {
        self.inner.dead_letters(after, limit).await
    }

    async fn dead_page(&self, from: Option<&str>) -> Result<DeadPage, StoreError> {
        self.inner.dead_page(from).await
    }

    async fn redrive(&self, only: Option<&DirtyKey>) -> Result<u64, StoreError> {
        self.inner.redrive(only).await
    }
}
