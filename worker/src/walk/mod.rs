//! The walk: workers go over the keys of a bucket in shards and mark those that are not as they should be. It changes nothing
//! itself; converging does.
//! Invariant: of two workers that hold the same shard only one goes on, and what one has left is walked from there on.
mod compare;
mod cut;
mod deep;
mod ground;
mod listing;
mod merge;
mod recorded;
mod step;
mod wait;

use crate::backend::BackendError;
use crate::backends::Backends;
use crate::backlog::Backlog;
use crate::backoff::decide_delay;
use crate::metrics::Metrics;
use crate::settings::WorkerSettings;
use crate::standing::Resting;
use crate::turn::Kept;
use rand::Rng;
use rand::rngs::StdRng;
use s3gateway_store::{BucketId, Metadata, Millis, Queue, StoreError, WalkId, WalkKind, WalkShard};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use step::ShardWalk;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, info, info_span, warn};

pub(crate) use compare::Held;
pub(crate) use deep::{Depth, Stored, compare_bytes};
pub(crate) use listing::Listing;
pub(crate) use merge::Reach;

/// Longest claim on a shard: a step is soon taken, and what a dead worker has left should soon go on.
const CLAIM: Duration = Duration::from_secs(15);
/// Of the shards that a worker walks at the same time, this part at most is of backfills: they wait for the queue, and comparisons,
/// after which reads may be served by replicas again, are not to wait for them.
const BACKFILLS_PART: usize = 2;
/// Walks begun in one round,
const WALKS_AT_ONCE: u32 = 100;
/// and walks that go on after a wait: no more than can soon be walked, for what they waited for may still be away.
const RESUMED_AT_ONCE: u32 = 16;
/// Periodic walks under way at the same time, in all workers together.
const PERIODIC_AT_ONCE: u32 = 4;
/// Walks of buckets under way, in all workers together, of which Redis may have forgotten marks: no replica answers for them meanwhile.
const SUSPECT_AT_ONCE: u32 = 16;
/// Periodic walks that wait for a backend, up to which the next is begun as soon as one has ended;
const FEW_STUCK: u32 = 64;
/// with more, some are begun each time this has passed: buckets of a backend that is away only add to those that wait.
const SLOW_INTERVAL: Duration = Duration::from_secs(60);
/// Walks that one worker cuts at the same time by what metadata knows,
const CUTS_AT_ONCE: usize = 16;
/// and by listing their homes, which may take hours.
const LISTED_AT_ONCE: usize = 2;

/// What walking needs, shared by all shards of a worker.
pub(crate) struct Walker {
    pub(crate) metadata: Metadata,
    pub(crate) backends: Arc<Backends>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) backlog: Arc<Backlog>,
    pub(crate) settings: WorkerSettings,
    pub(crate) metrics: Metrics,
    pub(crate) jitter: Mutex<StdRng>,
}

/// Why a shard cannot be walked on now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WalkError {
    /// A backend is away or says no.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// A backend is left alone.
    #[error(transparent)]
    Resting(#[from] Resting),
    /// It has to wait, and the text says for what.
    #[error("{0}")]
    Waits(String),
    /// The queue does not answer.
    #[error("the queue does not answer")]
    Queue(#[source] StoreError),
    /// The metadata store does not answer, so that nothing can be written down either.
    #[error("the metadata store does not answer")]
    Store(#[from] StoreError),
    /// The bucket is not in service any more.
    #[error("the bucket is gone")]
    Gone,
    /// The bucket has another home than the one that the walk began with.
    #[error("the bucket has another home")]
    Moved,
}

/// What a worker is walking.
struct UnderWay {
    shards: JoinSet<()>,
    /// Leave to walk shards of backfills.
    backfills: Arc<Semaphore>,
    /// Walks that are being cut.
    cuts: JoinSet<()>,
    /// Leave to cut by what metadata knows.
    reads: Arc<Semaphore>,
    /// Leave to cut by the home's listing.
    lists: Arc<Semaphore>,
    /// When periodic walks were last begun whatever others wait for.
    slow: Instant,
    /// The last suspect bucket for which a walk was begun.
    suspect: Option<BucketId>,
}

impl WalkError {
    /// The backend that is away.
    fn away(&self) -> Option<&str> {
        match self {
            Self::Backend(error) => error.away(),
            Self::Resting(resting) => Some(resting.backend.as_str()),
            Self::Waits(_) | Self::Queue(_) | Self::Store(_) | Self::Gone | Self::Moved => None,
        }
    }
}

impl UnderWay {
    fn new(most_shards: usize) -> Self {
        Self {
            shards: JoinSet::new(),
            backfills: Arc::new(Semaphore::new(most_shards.div_ceil(BACKFILLS_PART))),
            cuts: JoinSet::new(),
            reads: Arc::new(Semaphore::new(CUTS_AT_ONCE)),
            lists: Arc::new(Semaphore::new(LISTED_AT_ONCE)),
            slow: Instant::now(),
            suspect: None,
        }
    }
}

impl Walker {
    /// Cuts and walks whatever there is to be walked, until stopped.
    pub(crate) async fn run(self: Arc<Self>, stop: &CancellationToken) {
        let mut under_way = UnderWay::new(self.settings.walk_shards);
        while !stop.is_cancelled() {
            if let Err(error) = self.round(&mut under_way, stop).await {
                debug!(%error, "walks cannot be read");
            }
            // A shard that has come to its end makes room for the next one at once, and a walk that was cut can be walked.
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                Some(ended) = under_way.shards.join_next(), if !under_way.shards.is_empty() => note_end(ended),
                Some(ended) = under_way.cuts.join_next(), if !under_way.cuts.is_empty() => note_end(ended),
                () = tokio::time::sleep(self.settings.walk_interval) => {}
            }
        }
        while let Some(ended) = under_way.shards.join_next().await {
            note_end(ended);
        }
        while let Some(ended) = under_way.cuts.join_next().await {
            note_end(ended);
        }
    }

    async fn round(self: &Arc<Self>, under_way: &mut UnderWay, stop: &CancellationToken) -> Result<(), StoreError> {
        let now = self.metadata.now();
        self.metadata.finish_walks().await?;
        // What has ended makes room for the next, so that many small buckets are done as fast as they end.
        let most_stuck = if under_way.slow.elapsed() < SLOW_INTERVAL { FEW_STUCK } else { u32::MAX };
        if most_stuck == u32::MAX {
            under_way.slow = Instant::now();
        }
        if let Err(error) = self.begin_periodic(most_stuck).await {
            warn!(%error, "no periodic walk can be begun");
        }
        if self.queue.may_forget() {
            let rate = self.settings.reconcile_rate;
            self.metadata.begin_suspect_walks(SUSPECT_AT_ONCE, rate, &mut under_way.suspect).await?;
        }
        // What would find it away has others go first.
        for (backend, rest) in self.backends.resting() {
            self.metadata.postpone_walks(&backend, now, self.in_time(rest)).await?;
        }
        for walk in self.metadata.walks_due(now, WALKS_AT_ONCE).await? {
            self.begin_cut(walk, under_way, stop).await?;
        }
        self.metadata.resume_walks(now, RESUMED_AT_ONCE).await?;
        self.claim_shards(under_way, stop).await
    }

    async fn claim_shards(
        self: &Arc<Self>,
        under_way: &mut UnderWay,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let room = self.settings.walk_shards.saturating_sub(under_way.shards.len());
        let room = u32::try_from(room).unwrap_or(u32::MAX);
        if room == 0 {
            return Ok(());
        }
        let but = (under_way.backfills.available_permits() == 0).then_some(WalkKind::Backfill);
        for mut shard in self.metadata.free_shards(self.metadata.now(), room, but).await? {
            let leave = match shard.kind {
                WalkKind::Backfill => match under_way.backfills.clone().try_acquire_owned() {
                    Ok(leave) => Some(leave),
                    Err(_) => continue,
                },
                WalkKind::Reconcile | WalkKind::Deep => None,
            };
            if self.metadata.claim_shard(&mut shard, self.claim_end()).await? {
                under_way.shards.spawn(self.clone().walk(shard, leave, stop.clone()));
            }
        }
        Ok(())
    }

    fn claim_end(&self) -> Millis {
        self.in_time(self.lease())
    }

    /// When so much time will have passed.
    fn in_time(&self, time: Duration) -> Millis {
        self.metadata.now().saturating_add(Millis::try_from(time.as_millis()).unwrap_or(Millis::MAX))
    }

    fn lease(&self) -> Duration {
        self.settings.lease.min(CLAIM)
    }

    /// One shard from claim to its end, or to where it is stopped; what is left of it is free at once.
    async fn walk(self: Arc<Self>, shard: WalkShard, leave: Option<OwnedSemaphorePermit>, stop: CancellationToken) {
        let span = info_span!("walk", walk = shard.walk.as_str(), shard = shard.position);
        async {
            self.metrics.walking.inc();
            let walked = async { ShardWalk::begin(&self, &shard).await?.run().await };
            let walked = async {
                match walked.await {
                    Err(WalkError::Moved) => self.restart(&shard).await,
                    ended => ended,
                }
            };
            let ended = tokio::select! {
                // In an order that a simulation can repeat.
                biased;
                ended = walked => ended,
                () = self.keep(&shard) => Ok(()),
                () = stop.cancelled() => Ok(()),
            };
            if let Err(error) = ended {
                self.note_failure(&shard, error).await;
            }
            if let Err(error) = self.metadata.keep_shard(&shard, 0).await {
                debug!(%error, "the shard was not given back; its claim runs out");
            }
            self.metrics.walking.dec();
        }
        .instrument(span)
        .await;
        drop(leave);
    }

    /// Prolongs the claim; ends when it is lost or could not be prolonged in time.
    async fn keep(&self, shard: &WalkShard) {
        let mut kept = Kept::new("a shard", self.lease());
        loop {
            kept.pause().await;
            if kept.lost_by(self.metadata.keep_shard(shard, self.claim_end()).await).is_some() {
                return;
            }
        }
    }

    /// Has the walk wait or end, as the failure asks for.
    async fn note_failure(&self, shard: &WalkShard, error: WalkError) {
        let noted = match &error {
            WalkError::Backend(_) | WalkError::Resting(_) | WalkError::Waits(_) | WalkError::Queue(_) => {
                self.suspend(&shard.walk, &error).await
            }
            WalkError::Gone => self.metadata.fail_walk(&shard.walk, &error.to_string()).await,
            WalkError::Store(_) | WalkError::Moved => Ok(()),
        };
        warn!(%error, "the walk has stopped");
        if let Err(error) = noted {
            warn!(%error, "why the walk has stopped could not be written down");
        }
    }

    async fn suspend(&self, id: &WalkId, why: &WalkError) -> Result<(), StoreError> {
        let until = self.in_time(self.decide_delay(self.metadata.walk(id).await?.attempts));
        self.metadata.suspend_walk(id, &why.to_string(), until, why.away()).await
    }

    fn decide_delay(&self, attempts: u32) -> Duration {
        let unit = self.jitter.lock().unwrap_or_else(PoisonError::into_inner).random::<f64>();
        decide_delay(attempts, self.settings.backoff_base, self.settings.backoff_max, unit)
    }

    /// Cuts a walk anew whose bucket has another home by now.
    async fn restart(&self, shard: &WalkShard) -> Result<(), WalkError> {
        let Some(route) = self.metadata.route_by_id(&shard.bucket).await? else { return Err(WalkError::Gone) };
        let cut::Cut { bounds, total } = self.find_cut(&route).await?;
        if self.metadata.restart_walk(&shard.walk, shard.epoch, route.epoch, &bounds, total).await? {
            info!(shards = bounds.len() + 1, total, "walk begun anew: the bucket has another home");
        }
        Ok(())
    }

    async fn begin_periodic(&self, most_stuck: u32) -> Result<(), StoreError> {
        let interval = self.settings.reconcile_interval;
        if interval.is_zero() {
            return Ok(());
        }
        let before = self.metadata.now().saturating_sub(Millis::try_from(interval.as_millis()).unwrap_or(Millis::MAX));
        let rate = self.settings.reconcile_rate;
        let begun = self.metadata.begin_periodic(before, PERIODIC_AT_ONCE, most_stuck, rate).await?;
        if begun > 0 {
            debug!(begun, "periodic walks asked for");
        }
        Ok(())
    }
}

fn note_end(ended: Result<(), tokio::task::JoinError>) {
    if let Err(failed) = ended {
        error!(error = %failed, "a shard ended without a word; its claim runs out");
    }
}
