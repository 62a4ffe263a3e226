//! Carries migrations of buckets out, one worker at a time each: fills the new home, has a promotion cut over, compares the old
//! home with it, and lets the old one go. Any worker may take over at any step: what has been done stands in the migration's row.
//! Invariant: from the cut over on nothing is written to the old home; only dropping deletes there, and only what was copied.
mod drop;
mod homes;
mod verify;

use crate::backend::{BackendError, Created, Remote};
use crate::backends::Backends;
use crate::clock::millis;
use crate::contents::is_empty;
use crate::retire::{drop_bucket, empty};
use crate::settled::is_settled;
use crate::strangers::require_not_ours;
use crate::turn::Kept;
use crate::turns::take_turns;
use crate::walk::WalkError;
use s3gateway_config::BackendId;
use s3gateway_filters::residency;
use s3gateway_store::{
    Metadata, Migration, MigrationState, PromotionState, Queue, Route, StoreError, WalkId, WalkState,
};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

/// Migrations that one worker looks at.
const AT_ONCE: u32 = 16;
/// Before the next look at something that is under way.
const SOON: Duration = Duration::from_millis(500);
/// Before the next attempt at something that did not work.
const LATER: Duration = Duration::from_secs(5);

/// Dirty keys on the queue's first page up to which a promotion may begin; it waits for the rest itself.
const FEW: usize = 100;
/// Before another cut over after one for which writes were stopped in vain.
const AFTER_STOP: Duration = Duration::from_secs(300);
/// How long a cancelled migration waits for workers that may still copy, in milliseconds; one that comes later finds no bucket.
const SETTLED_AT_MOST: i64 = 60_000;

/// What migrating needs.
pub(crate) struct Migrator {
    pub(crate) metadata: Metadata,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) backends: Arc<Backends>,
    /// How long a worker's turn at a migration lasts.
    pub(crate) lease: Duration,
    /// Between two looks for migrations that nobody carries out.
    pub(crate) look_interval: Duration,
}

/// Why a migration does not go on now.
#[derive(Debug, thiserror::Error)]
enum Halt {
    /// It waits for what the operator reads.
    #[error("{0}")]
    Waits(String),
    /// It goes on from where it was.
    #[error("a step took longer than a turn, and is gone on with")]
    CutOff,
    /// A backend is away or says no.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Reading bytes has failed.
    #[error(transparent)]
    Reading(#[from] WalkError),
    /// A store could not be asked, or another worker is at it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Migrator {
    /// Takes its turns until stopped; what is left then is taken over by another worker.
    pub(crate) async fn follow(self: Arc<Self>, stop: &CancellationToken) {
        let list = || self.metadata.migrations_due(millis(SystemTime::now()), AT_ONCE);
        let take = |migration| self.clone().take_turn(migration);
        take_turns(self.look_interval, stop, list, |migration: &Migration| &migration.id, take).await;
    }

    /// Takes a step. Cancel: the turn runs out by itself.
    async fn take_turn(self: Arc<Self>, seen: Migration) {
        let until = millis(SystemTime::now() + self.lease);
        let id = seen.id.clone();
        if !matches!(self.metadata.claim_migration(&id, seen.turn, until).await, Ok(true)) {
            return;
        }
        let mut migration = Migration { turn: until, ..seen };
        let budget = Instant::now() + self.lease / 2;
        let pause = match self.advance(&mut migration, budget).await {
            Ok(pause) => pause,
            Err(halt) => {
                debug!(migration = id, error = %halt, "migration waits");
                if let Err(error) = self.metadata.note_migration(&migration, &halt.to_string()).await {
                    debug!(%error, "why a migration waits could not be written down");
                }
                if matches!(halt, Halt::Waits(_)) { SOON } else { LATER }
            }
        };
        let next = millis(SystemTime::now() + pause);
        if let Err(error) = self.metadata.claim_migration(&id, migration.turn, next).await {
            debug!(%error, "the turn at a migration was not given back");
        }
    }

    /// One step; when to take the next.
    async fn advance(&self, migration: &mut Migration, until: Instant) -> Result<Duration, Halt> {
        let Some(route) = self.metadata.route_by_id(&migration.bucket).await? else { return Ok(LATER) };
        let has_moved_on = matches!(migration.state, MigrationState::Verifying | MigrationState::Dropping)
            && route.epoch != migration.epoch.saturating_add(1);
        if has_moved_on {
            // What the new home was proven to have says nothing of the one that has taken its place.
            self.metadata.cancel_migration(&migration.id, "the home has moved again").await?;
            return Ok(SOON);
        }
        match migration.state {
            MigrationState::Filling => self.within_turn(self.fill(migration, &route)).await,
            MigrationState::Moving => self.within_turn(self.await_cut_over(migration)).await,
            MigrationState::Verifying => self.verify(migration, &route, until).await,
            MigrationState::Dropping => self.within_turn(self.drop_old(migration, &route, until)).await,
            MigrationState::Cancelling => self.within_turn(self.clear_target(migration)).await,
            MigrationState::Done | MigrationState::Cancelled => Ok(LATER),
        }
    }

    /// Has a step end before the turn does. What one that is cut off has done stands; the next turn goes on behind it.
    async fn within_turn(&self, step: impl Future<Output = Result<Duration, Halt>>) -> Result<Duration, Halt> {
        tokio::time::timeout(self.lease * 3 / 4, step).await.unwrap_or(Err(Halt::CutOff))
    }

    /// What a piece of work comes to that may take longer than a turn, which is prolonged meanwhile. The work itself
    /// must not go by the turn.
    async fn keep_turn<T>(&self, migration: &mut Migration, work: impl Future<Output = T>) -> Result<T, Halt> {
        tokio::pin!(work);
        let mut kept = Kept::new("a migration", self.lease);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                () = kept.pause() => {}
            }
            let until = millis(SystemTime::now() + self.lease);
            let prolonged = self.metadata.claim_migration(&migration.id, migration.turn, until).await;
            if matches!(prolonged, Ok(true)) {
                migration.turn = until;
            }
            if let Some(lost) = kept.lost_by(prolonged) {
                return Err(lost.into());
            }
        }
    }

    /// Makes the new home, has every key walked over, and begins the promotion once those are converged.
    async fn fill(&self, migration: &Migration, route: &Route) -> Result<Duration, Halt> {
        let target = self.backends.get(&migration.target).await?;
        let keeps_versions = target.is_none_or(|target| target.backend.capabilities.keeps_versions());
        let hindrance = match (route.epoch == migration.epoch, route.versioning.is_set()) {
            (false, _) => Some("the bucket was promoted meanwhile"),
            (true, true) if !keeps_versions => Some("the bucket keeps versions now, and the new home would not"),
            (true, _) => None,
        };
        if let Some(why) = hindrance {
            self.metadata.cancel_migration(&migration.id, why).await?;
            return Ok(SOON);
        }
        let target = self.known(&migration.target).await?;
        residency::decide(&route.tenant_policy, &route.bucket_policy, &target.backend.place)
            .map_err(|denied| Halt::Waits(denied.message()))?;
        let Some(walk) = &migration.walk else {
            self.make_target(migration, &target).await?;
            return Ok(SOON);
        };
        if !self.is_walked(migration, walk).await? {
            return Ok(SOON);
        }
        let dirty = self.queue.dirty_keys(&migration.bucket, None).await?.keys.len();
        if dirty > FEW {
            return Err(Halt::Waits("keys are still being copied".to_owned()));
        }
        // One that was given up stays dirty, and the promotion would stop writes for nothing.
        if let Some(dead) = self.queue.dead_letter_of(&migration.bucket).await? {
            return Err(Halt::Waits(format!("{} was given up: {}", dead.key.key.as_str(), dead.reason)));
        }
        let promotion = self.metadata.promote_migration(migration).await?;
        info!(migration = migration.id, promotion = promotion.id, "migration cuts over");
        Ok(SOON)
    }

    /// Makes the new home's physical bucket, under another name where a stranger holds it or something is in it.
    async fn make_target(&self, migration: &Migration, target: &Remote) -> Result<(), Halt> {
        let physical = &migration.target_physical;
        let is_ours = target.create_bucket(physical).await? == Created::Ours;
        if is_ours && is_empty(target, physical).await? {
            match self.metadata.fill_migration(migration).await {
                Err(StoreError::Conflict(what)) => return Err(Halt::Waits(format!("{what} is in the way"))),
                filled => filled?,
            }
            info!(migration = migration.id, target = %migration.target, "migration fills the new home");
        } else {
            self.metadata.rename_migration_target(migration).await?;
        }
        Ok(())
    }

    /// Whether every key has been walked over; a walk that cannot end is begun anew.
    async fn is_walked(&self, migration: &Migration, walk: &WalkId) -> Result<bool, Halt> {
        let walk = match self.metadata.walk(walk).await {
            Err(StoreError::NotFound) => None,
            walk => Some(walk?),
        };
        match walk {
            Some(walk) if walk.state == WalkState::Done => Ok(true),
            Some(walk) if !matches!(walk.state, WalkState::Failed | WalkState::Cancelled) => {
                let why = if walk.note.is_empty() { String::new() } else { format!(": {}", walk.note) };
                Err(Halt::Waits(format!("{} of about {} keys were walked over{why}", walk.done, walk.total)))
            }
            Some(_) | None => {
                self.metadata.fill_migration(migration).await?;
                Ok(false)
            }
        }
    }

    /// Looks at the promotion, in whose step the migration goes on by itself; one that has failed is tried again.
    async fn await_cut_over(&self, migration: &Migration) -> Result<Duration, Halt> {
        let id = migration.promotion.as_deref().unwrap_or_default();
        let promotion = self.metadata.promotion(id).await?;
        if promotion.state == PromotionState::Failed {
            let why = format!("the cut over is tried again, as it failed: {}", promotion.detail);
            self.metadata.refill_migration(migration, &why).await?;
            return Ok(if promotion.fenced_at > 0 { AFTER_STOP } else { LATER });
        }
        self.metadata.note_migration(migration, &promotion.detail).await?;
        Ok(SOON)
    }

    /// Takes away what was made at a target that does not become home.
    async fn clear_target(&self, migration: &Migration) -> Result<Duration, Halt> {
        let waited = millis(SystemTime::now()).saturating_sub(migration.since);
        if waited < SETTLED_AT_MOST && !is_settled(&*self.queue, &migration.bucket, migration.since).await? {
            return Err(Halt::Waits("a worker may still be copying there".to_owned()));
        }
        let target = self.known(&migration.target).await?;
        let physical = &migration.target_physical;
        // Without a walk it may be somebody's, or hold what was there before.
        if migration.walk.is_some() && target.owns_bucket(physical).await? {
            empty(&target, physical).await?;
            drop_bucket(&target, physical).await?;
        } else if target.owns_bucket(physical).await? {
            if is_empty(&target, physical).await? {
                drop_bucket(&target, physical).await?;
            }
        } else {
            require_not_ours::<Halt>(&self.metadata, &target, &migration.bucket, physical).await?;
        }
        self.metadata.end_migration(migration, &migration.detail).await?;
        info!(migration = migration.id, "migration cancelled");
        Ok(SOON)
    }

    async fn known(&self, id: &BackendId) -> Result<Arc<Remote>, Halt> {
        let remote = self.backends.get(id).await?;
        let remote = remote.ok_or_else(|| Halt::Waits(format!("backend {} is not known", id.real())))?;
        remote.admit().map_err(|resting| Halt::Waits(resting.to_string()))?;
        Ok(remote)
    }
}
