//! Carries promotions out, one worker at a time each: writes are stopped, the last ones converged or listed as stranded, the
//! home moves, writes go on. Any worker may take over at any step: what has been done stands in the promotion's row.
mod compare;
mod fence;
mod patience;
mod prepare;
mod strand;
mod turns;
mod watch;

use crate::backends::Backends;
use crate::clock::millis;
use crate::turn::Kept;
use crate::turns::take_turns;
use patience::Patience;
use s3gateway_s3::Versioning;
use s3gateway_store::{DirtyKey, Metadata, Millis, Promotion, PromotionState, Queue, Route, StoreError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use turns::SeenTurns;

pub(crate) use watch::Watch;

/// Promotions that one worker looks at.
const AT_ONCE: u32 = 100;
/// Between two looks at what a step waits for.
const STEP: Duration = Duration::from_millis(20);
/// How often the writes of one bucket are stopped before its promotion is given up.
const FENCES: u32 = 5;
/// Between two of these, at least;
const BREATH: Duration = Duration::from_secs(2);
/// and this part of a lease: what a worker has sent and may land for a lease is over before the last.
const BREATHS_OF_LEASE: u32 = 4;

/// What promotions need.
pub(crate) struct Promoter {
    pub(crate) metadata: Metadata,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) backends: Arc<Backends>,
    /// How long a worker's claim stands without a sign of life, on a key or on a promotion.
    pub(crate) lease: Duration,
    /// Between two looks for promotions that nobody carries out.
    pub(crate) look_interval: Duration,
}

/// Why a promotion does not go on.
#[derive(Debug, thiserror::Error)]
enum Halt {
    /// It cannot be, for the reason that the operator reads.
    #[error("{0}")]
    Refused(String),
    /// Writes were stopped for as long as they may be.
    #[error("{0}")]
    TooLong(String),
    /// A store could not be asked; it goes on when it can.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Promoter {
    /// Takes its turn at every promotion that runs, until stopped; what is left then is taken over by another worker.
    pub(crate) async fn follow(self: Arc<Self>, stop: &CancellationToken) {
        let seen = Mutex::new(SeenTurns::default());
        let list = || async {
            let mut running = self.metadata.running_promotions(AT_ONCE).await?;
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.retain_free(&mut running, self.lease, Instant::now());
            Ok(running)
        };
        let take = |promotion| {
            let promoter = self.clone();
            async move { promoter.take(promotion).await }
        };
        take_turns(self.look_interval, stop, list, |promotion: &Promotion| &promotion.id, take).await;
    }

    /// Carries one out while it is ours. Cancel: the turn runs out by itself.
    async fn take(&self, promotion: Promotion) {
        let mut turn = promotion.turn;
        if !matches!(self.claim(&promotion.id, &mut turn).await, Ok(true)) {
            return;
        }
        let id = promotion.id.clone();
        let done = tokio::select! {
            done = self.carry_out(promotion) => done,
            () = self.keep(&id, &mut turn) => return,
        };
        match done {
            // Nobody has a turn at one that has ended.
            Ok(ended) => {
                if let Err(error) = self.clean_up(&ended).await {
                    warn!(promotion = id, %error, "what a promotion has noted stays");
                }
                return;
            }
            Err(error) => warn!(promotion = id, %error, "the promotion goes on later"),
        }
        if let Err(error) = self.metadata.claim_promotion(&id, turn, turns::NOBODYS).await {
            debug!(promotion = id, %error, "the turn at a promotion was not given back");
        }
    }

    /// Takes the turn that was seen so, or shows that whoever has it is alive.
    async fn claim(&self, id: &str, turn: &mut Millis) -> Result<bool, StoreError> {
        let next = millis(SystemTime::now() + self.lease);
        let ours = self.metadata.claim_promotion(id, *turn, next).await?;
        if ours {
            *turn = next;
        }
        Ok(ours)
    }

    /// Keeps the turn; ends when it is lost or could not be confirmed for a lease.
    async fn keep(&self, id: &str, turn: &mut Millis) {
        let mut kept = Kept::new("a promotion", self.lease);
        loop {
            tokio::time::sleep(turns::pause(self.lease)).await;
            if kept.lost_by(self.claim(id, turn).await).is_some() {
                return;
            }
        }
    }

    /// Step by step to its end, as which it is returned.
    async fn carry_out(&self, mut promotion: Promotion) -> Result<Promotion, StoreError> {
        let (mut fences, mut is_compared, mut fenced) = (0, false, Instant::now());
        loop {
            let step = match promotion.state {
                PromotionState::Preparing => {
                    let prepared = self.prepare(&promotion, is_compared).await;
                    is_compared = true;
                    match prepared {
                        Ok(()) => self.metadata.fence_bucket(&promotion).await.map_err(Halt::from),
                        // Nothing is stopped that would have to go on.
                        Err(Halt::TooLong(why)) => Err(Halt::Refused(why)),
                        Err(halt) => Err(halt),
                    }
                }
                PromotionState::Fencing => match self.settle_writes(&promotion, fenced).await {
                    Ok(()) => self.metadata.move_home(&promotion).await.map_err(Halt::from),
                    Err(halt) => Err(halt),
                },
                PromotionState::Moved => {
                    if let Err(fence::WaitedInVain::Store(error)) = self.await_views(&promotion, None).await {
                        return Err(error);
                    }
                    let remark = self.tell_versioning(&promotion).await?;
                    let stopped = millis(SystemTime::now()).saturating_sub(promotion.fenced_at);
                    let detail = format!("writes were stopped for {stopped} ms{remark}");
                    self.metadata.finish_promotion(&promotion, &detail).await.map_err(Halt::from)
                }
                PromotionState::Done | PromotionState::Failed => {
                    let (id, state, detail) = (&promotion.id, promotion.state.as_str(), &promotion.detail);
                    info!(promotion = id, source = %promotion.source, target = %promotion.target, state, detail, "promotion ended");
                    return Ok(promotion);
                }
            };
            promotion = match step {
                Ok(next) => {
                    if next.state == PromotionState::Fencing {
                        fenced = Instant::now();
                    }
                    next
                }
                Err(Halt::TooLong(why)) if fences < FENCES => {
                    fences += 1;
                    let lifted = self.metadata.lift_fence(&promotion, &why).await?;
                    tokio::time::sleep(BREATH.max(self.lease / BREATHS_OF_LEASE)).await;
                    lifted
                }
                Err(Halt::TooLong(why) | Halt::Refused(why) | Halt::Store(StoreError::Invalid(why))) => {
                    self.metadata.fail_promotion(&promotion, &why).await?
                }
                Err(Halt::Store(error)) => {
                    // It may have been called off, or have gone on while this worker stood still.
                    let now = self.metadata.promotion(&promotion.id).await?;
                    return if now.state.is_over() { Ok(now) } else { Err(error) };
                }
            };
        }
    }

    /// Tells the new home, before it takes writes, to keep no more than the bucket does: it kept all copies. One that does not let itself be told
    /// keeps too much. What the operator is to know, also of a bucket that keeps all from here on.
    async fn tell_versioning(&self, promotion: &Promotion) -> Result<String, StoreError> {
        let Some(route) = self.metadata.route_by_id(&promotion.bucket).await? else { return Ok(String::new()) };
        match route.versioning {
            Versioning::Suspended => self.suspend_versioning(promotion, &route).await,
            Versioning::Enabled if promotion.forced => {
                Ok("; versioning is Enabled now, also if it was Suspended".to_owned())
            }
            Versioning::Enabled | Versioning::Never => Ok(String::new()),
        }
    }

    async fn suspend_versioning(&self, promotion: &Promotion, route: &Route) -> Result<String, StoreError> {
        let told = async {
            let home = self.known(&route.home).await?;
            let physical = route.physical_on(&route.home).ok_or_else(|| Halt::Refused("it has no name".to_owned()))?;
            let tell = || async {
                match self.metadata.promotion(&promotion.id).await {
                    Ok(now) if now.state == PromotionState::Moved => home.suspend_versioning(physical).await,
                    // Another worker has, and the client may have set it again.
                    Ok(_) => Ok(()),
                    Err(_) => {
                        Err(home.unavailable("PutBucketVersioning", "the metadata cannot be asked whether it is to be"))
                    }
                }
            };
            Patience::of(self, &promotion.id).ask(tell).await
        };
        match told.await {
            Ok(()) => Ok(String::new()),
            Err(Halt::Store(error)) => Err(error),
            Err(Halt::Refused(why) | Halt::TooLong(why)) => {
                Ok(format!("; the new home makes a version of each write until versioning is set again: {why}"))
            }
        }
    }

    /// Forgets what was noted for its sake. After a move of a bucket that keeps versions: has keys converged of which the former home has one that
    /// was not noted as its own, as another worker stood still meanwhile. What this misses, as the worker dies, a reconcile finds.
    async fn clean_up(&self, promotion: &Promotion) -> Result<(), StoreError> {
        while self.metadata.forget_promotion_keys(&promotion.bucket).await? {}
        if promotion.state == PromotionState::Failed {
            return self.forget_versions(promotion).await;
        }
        let Promotion { bucket, source, target, .. } = promotion;
        let route = self.metadata.route_by_id(bucket).await?;
        // What a migration leaves is no place of the bucket.
        if !route.is_some_and(|route| route.has_moved_versions && route.placement.contains(source)) {
            return Ok(());
        }
        let mut after = None;
        loop {
            let (keys, next) = self.metadata.keys_lacking_versions(bucket, target, source, after.as_ref()).await?;
            let dirty = keys.into_iter().map(|key| DirtyKey { bucket: bucket.clone(), key });
            self.queue.mark_all(&dirty.collect::<Vec<_>>(), "promotion").await?;
            match next {
                Some(_) => after = next,
                None => return Ok(()),
            }
        }
    }

    /// Forgets which versions the home holds, where it knows all of them as clients do.
    async fn forget_versions(&self, promotion: &Promotion) -> Result<(), StoreError> {
        let (Promotion { bucket, source, target, .. }, mut after) = (promotion, None);
        loop {
            after = self.metadata.forget_versions_at_home(bucket, source, target, after.as_ref()).await?;
            if after.is_none() {
                return Ok(());
            }
        }
    }
}
