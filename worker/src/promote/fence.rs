//! While writes are stopped: until every proxy knows it, and the last writes are converged (planned) or listed (forced).
use super::{Halt, Promoter, STEP};
use crate::clock::millis;
use s3gateway_store::{Promotion, StoreError};
use std::time::{Duration, Instant, SystemTime};

/// How long writes may be stopped for a planned promotion before they go on where they were.
const STOPPED_AT_MOST: Duration = Duration::from_secs(5);
/// How long the queue may then take to name what they were stopped for.
const NAMED_WITHIN: Duration = Duration::from_millis(500);

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
        self.await_clean(promotion, until).await?;
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

    /// Waits until no key is dirty. A queue that is away stops writes for no longer than dirty keys do.
    async fn await_clean(&self, promotion: &Promotion, until: Instant) -> Result<(), Halt> {
        let clean = async {
            while !matches!(self.queue.is_bucket_clean(&promotion.bucket).await, Ok(true)) {
                tokio::time::sleep(STEP).await;
            }
        };
        if tokio::time::timeout_at(until.into(), clean).await.is_ok() {
            return Ok(());
        }
        Err(Halt::TooLong(match tokio::time::timeout(NAMED_WITHIN, self.name_dirty(promotion)).await {
            Ok(Ok(why)) => why,
            Ok(Err(error)) => format!("the queue does not tell whether keys are dirty: {error}"),
            Err(_) => "the queue does not tell in time whether keys are dirty".to_owned(),
        }))
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
