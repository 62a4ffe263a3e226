//! While writes are stopped: until every proxy knows it, and the last writes are converged (planned) or listed (forced).
use super::{Halt, Promoter, STEP, patience::Patience};
use crate::{backend::Remote, clock::millis};
use futures::{StreamExt, TryStreamExt, stream};
use s3gateway_s3::{ObjectKey, PhysicalBucket};
use s3gateway_store::{DirtyKey, Promotion, StoreError};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// How long writes may be stopped for a planned promotion before they go on where they were.
const STOPPED_AT_MOST: Duration = Duration::from_secs(5);
/// Keys listed as stranded by one transaction.
const STRANDED_AT_ONCE: usize = 500;
/// Keys that the target is asked for at the same time.
const ASKED_AT_ONCE: usize = 16;
/// Rows of copies read at once.
const ROWS: u32 = 4000;

/// Where the versions are that the new home has of what is stranded.
struct Versions {
    remote: Arc<Remote>,
    bucket: PhysicalBucket,
}

impl Promoter {
    /// Passes a promotion whose bucket has no write in flight or on its way to a replica, or has them all listed.
    /// `fenced`: when this worker saw the writes stopped.
    pub(super) async fn settle_writes(&self, promotion: &Promotion, fenced: Instant) -> Result<(), Halt> {
        if promotion.forced {
            self.await_views(promotion, None).await?;
            self.await_claims(fenced).await;
            return self.strand(promotion).await;
        }
        let left = left_of(promotion.fenced_at, STOPPED_AT_MOST);
        let until = Instant::now() + left;
        self.await_views(promotion, Some(until)).await?;
        while !self.queue.is_bucket_clean(&promotion.bucket).await? {
            if Instant::now() > until {
                return Err(Halt::TooLong(self.name_dirty(promotion).await?));
            }
            tokio::time::sleep(STEP).await;
        }
        // The versions that came last.
        let late = || Halt::TooLong("the records of copies could not be compared in time".to_owned());
        tokio::time::timeout_at(until.into(), self.settle_keys(promotion)).await.map_err(|_| late())??;
        // What was written since the comparison may have asked for fewer copies, or have an ETag that the target cannot keep.
        let unequal = self.metadata.unequal_promotion_key(&promotion.bucket, &promotion.source, &promotion.target);
        let unequal = tokio::time::timeout_at(until.into(), unequal).await.map_err(|_| late())??;
        match unequal {
            Some(key) => {
                Err(Halt::Refused(format!("{} is not at {} as it is at home", key.as_str(), promotion.target)))
            }
            None => Ok(()),
        }
    }

    /// Waits until each proxy knows of the last step, or takes no writes because it could not read the feed for its lease.
    pub(super) async fn await_views(&self, promotion: &Promotion, until: Option<Instant>) -> Result<(), WaitedInVain> {
        let mut told = None;
        loop {
            let behind = self.metadata.views_behind(promotion.fence).await?;
            let Some((viewer, ago)) = behind.first() else { return Ok(()) };
            if until.is_some_and(|until| Instant::now() > until) {
                return Err(WaitedInVain::For(format!(
                    "{viewer} does not know of it and was seen {} s ago",
                    ago.as_secs()
                )));
            }
            if told.is_none_or(|at: Instant| at.elapsed() > Duration::from_secs(1)) {
                told = Some(Instant::now());
                let waits = format!("waits for {viewer}, seen {} s ago", ago.as_secs());
                self.metadata.note_promotion(&promotion.id, &waits).await?;
            }
            tokio::time::sleep(STEP).await;
        }
    }

    /// A worker begins nothing in a fenced bucket. It sees so when it next confirms its claim, at the latest after a third of a lease; what it
    /// has sent by then lands within a lease. By this worker's own count, as another's clock may be ahead.
    async fn await_claims(&self, fenced: Instant) {
        tokio::time::sleep((self.lease + self.lease / 3).saturating_sub(fenced.elapsed())).await;
    }

    /// Lists every key whose last write the target may not have, and has it compared as soon as the old home is back.
    async fn strand(&self, promotion: &Promotion) -> Result<(), Halt> {
        let route = self.metadata.route_by_id(&promotion.bucket).await?;
        let route = route.ok_or_else(|| Halt::Refused("the bucket is not in service".to_owned()))?;
        let versions = match route.physical_on(&promotion.target).filter(|_| route.versioning.is_set()) {
            Some(bucket) => {
                // What workers have recorded since the promotion began.
                self.settle_keys(promotion).await?;
                Some(Versions { remote: self.known(&promotion.target).await?, bucket: bucket.clone() })
            }
            None => None,
        };
        if !self.queue.proves(&promotion.bucket).await? {
            return self.strand_all(promotion, versions.as_ref()).await;
        }
        let (bucket, mut from) = (&promotion.bucket, None);
        loop {
            let page = self.queue.dirty_keys(bucket, from.as_deref()).await?;
            self.strand_and_mark(promotion, versions.as_ref(), page.keys).await?;
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        let mut after: Option<ObjectKey> = None;
        loop {
            let (source, target) = (&promotion.source, &promotion.target);
            let (keys, next) = self.metadata.keys_lacking(bucket, source, target, after.as_ref()).await?;
            self.strand_and_mark(promotion, versions.as_ref(), keys).await?;
            if next.is_none() {
                return Ok(());
            }
            after = next;
        }
    }

    /// Lists every key of which anything is recorded or dirty: marks may be forgotten, and to find out of which keys takes the old home.
    async fn strand_all(&self, promotion: &Promotion, versions: Option<&Versions>) -> Result<(), Halt> {
        let (bucket, mut from) = (&promotion.bucket, None);
        loop {
            let page = self.queue.dirty_keys(bucket, from.as_deref()).await?;
            self.strand_and_mark(promotion, versions, page.keys).await?;
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        let mut after = String::new();
        loop {
            let rows = self.metadata.copies_after(bucket, &after, "", ROWS).await?;
            let Some(last) = self.strand_recorded(promotion, versions, rows).await? else { break };
            after = last;
        }
        if versions.is_none() {
            return Ok(());
        }
        // Those of which a delete marker is the newest have no other rows.
        let mut after = String::new();
        loop {
            let rows = self.metadata.version_copies_after(bucket, &after, "", ROWS).await?;
            let Some(last) = self.strand_recorded(promotion, versions, rows).await? else { return Ok(()) };
            after = last;
        }
    }

    /// Lists the keys of a page of records; the last one, if there is any.
    async fn strand_recorded<T>(
        &self,
        promotion: &Promotion,
        versions: Option<&Versions>,
        rows: Vec<(ObjectKey, T)>,
    ) -> Result<Option<String>, Halt> {
        let mut keys: Vec<ObjectKey> = rows.into_iter().map(|(key, _)| key).collect();
        keys.dedup();
        let last = keys.last().map(|key| key.as_str().to_owned());
        self.strand_and_mark(promotion, versions, keys).await?;
        Ok(last)
    }

    /// A dead letter is driven again by the mark.
    async fn strand_and_mark(
        &self,
        promotion: &Promotion,
        versions: Option<&Versions>,
        keys: Vec<ObjectKey>,
    ) -> Result<(), Halt> {
        let patience = Patience::of(self, &promotion.id);
        let newest = |key: ObjectKey| async move {
            let newest = match versions {
                Some(Versions { remote, bucket }) => patience.ask(|| remote.newest_version(bucket, &key)).await?,
                None => None,
            };
            Ok::<_, Halt>((key, newest))
        };
        let keys: Vec<_> = stream::iter(keys).map(newest).buffered(ASKED_AT_ONCE).try_collect().await?;
        for some in keys.chunks(STRANDED_AT_ONCE) {
            self.metadata.strand_keys(promotion, some).await?;
        }
        let dirty = |(key, _): &(ObjectKey, _)| DirtyKey { bucket: promotion.bucket.clone(), key: key.clone() };
        Ok(self.queue.mark_all(&keys.iter().map(dirty).collect::<Vec<_>>(), "promotion").await?)
    }

    async fn name_dirty(&self, promotion: &Promotion) -> Result<String, StoreError> {
        let mut from = None;
        loop {
            let page = self.queue.dirty_keys(&promotion.bucket, from.as_deref()).await?;
            if let Some(key) = page.keys.first() {
                return Ok(format!("{} is still being written or converged", key.as_str()));
            }
            from = page.next;
            if from.is_none() {
                return Ok("keys were still being converged".to_owned());
            }
        }
    }
}

/// Why a wait for the proxies ended without them.
#[derive(Debug)]
pub(super) enum WaitedInVain {
    For(String),
    Store(StoreError),
}

impl From<StoreError> for WaitedInVain {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<WaitedInVain> for Halt {
    fn from(waited: WaitedInVain) -> Self {
        match waited {
            WaitedInVain::For(why) => Self::TooLong(why),
            WaitedInVain::Store(error) => Self::Store(error),
        }
    }
}

/// What is left of a time that began at `since`.
fn left_of(since: i64, at_most: Duration) -> Duration {
    let passed = u64::try_from(millis(SystemTime::now()).saturating_sub(since)).unwrap_or(0);
    at_most.saturating_sub(Duration::from_millis(passed))
}
