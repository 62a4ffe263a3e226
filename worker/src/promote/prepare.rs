//! Before writes are stopped: whether the target may and can be home, and whether it holds all that the home holds.
use super::{
    Halt, Promoter, STEP,
    compare::{Compared, Held, compare, held_at},
    patience::Patience,
};
use crate::backend::{Created, Remote};
use s3gateway_config::BackendId;
use s3gateway_filters::residency;
use s3gateway_s3::ObjectKey;
use s3gateway_store::{DirtyKey, Promotion, Route, StoreError, WalkKind, WalkState};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the target may take to be brought up to date.
const PREPARING_AT_MOST: Duration = Duration::from_secs(3600);
/// Dirty keys up to which writes may be stopped: so many are converged in a second or two.
const FEW: usize = 100;
/// Walks of a bucket among which its last backfill is looked for.
const WALKS: u32 = 100;
/// Comparisons of the two before what differs still is what hinders.
const COMPARISONS: u32 = 3;

impl Promoter {
    /// Passes a promotion that can be fenced now.
    pub(super) async fn prepare(&self, promotion: &Promotion, is_compared: bool) -> Result<(), Halt> {
        let route = self.metadata.route_by_id(&promotion.bucket).await?;
        let route = route.ok_or_else(|| Halt::Refused("the bucket is not in service".to_owned()))?;
        let until = Instant::now() + PREPARING_AT_MOST;
        // Before the two are compared nothing is lost by giving up, and whoever asked for it hears at once that a
        // backend is away.
        let patience = match is_compared {
            true => Patience::of(self, &promotion.id),
            false => Patience::none(self, &promotion.id),
        };
        let target = self.require_able(promotion, &route, patience).await?;
        let keeps_versions = route.versioning.is_set();
        // Of versions below the current ones nobody knows which a backend lacks that need not have any.
        if keeps_versions || !promotion.forced {
            require_counted(promotion, &route)?;
        }
        if promotion.forced && keeps_versions {
            if !self.is_walked(&route).await? {
                let why =
                    "not all of its keys have been walked over, and of versions that nobody has looked at nobody knows";
                return Err(Halt::Refused(why.to_owned()));
            }
            self.note_versions(promotion).await?;
        }
        if promotion.forced {
            return Ok(());
        }
        // A proxy that is dead or stands still would hold the stop up: better before it than during it.
        self.await_views(promotion, Some(until)).await?;
        let source = self.known(&promotion.source).await?;
        if !is_compared {
            self.bring_up_to_date(promotion, &route, &source, &target, until).await?;
            if keeps_versions {
                self.note_versions(promotion).await?;
            }
        }
        self.await_trust(promotion, until).await?;
        self.await_few_dirty(promotion, until).await?;
        // So that there are few to look at while writes are stopped.
        Ok(self.settle_keys(promotion).await?)
    }

    /// Forgets noted keys that are alike by the records.
    pub(super) async fn settle_keys(&self, promotion: &Promotion) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            after = self.metadata.settle_promotion_keys(promotion, after.as_ref()).await?;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Passes a target that policy allows and that answers; its bucket is made where it is missing.
    async fn require_able(
        &self,
        promotion: &Promotion,
        route: &Route,
        patience: Patience<'_>,
    ) -> Result<Arc<Remote>, Halt> {
        let target = self.known(&promotion.target).await?;
        residency::decide(&route.tenant_policy, &route.bucket_policy, &target.backend.place)
            .map_err(|denied| Halt::Refused(denied.message()))?;
        let Some(physical) = route.physical_on(&promotion.target) else {
            return Err(Halt::Refused(format!("{} is not in the bucket's placement", promotion.target)));
        };
        // Which versions were written since they were stranded is known by the home's own ids.
        if (promotion.forced || route.versioning.is_set()) && route.has_stranded {
            let why = "keys are stranded since the last promotion; they must be settled or dropped first";
            return Err(Halt::Refused(why.to_owned()));
        }
        if self.metadata.is_awaited(&promotion.bucket, &promotion.target).await?
            && !patience.ask(|| target.has_bucket(physical)).await?
        {
            let why = format!("{} has come back without the bucket, and keys are stranded there", promotion.target);
            return Err(Halt::Refused(why));
        }
        if let Created::Strangers = patience.ask(|| target.create_bucket(physical)).await? {
            return Err(Halt::Refused(format!("a stranger holds the bucket's name on {}", promotion.target)));
        }
        if route.versioning.is_set() {
            if !target.backend.capabilities.keeps_versions() {
                return Err(Halt::Refused(format!("{} keeps no versions, and the bucket does", promotion.target)));
            }
            patience.ask(|| target.enable_versioning(physical)).await?;
        }
        Ok(target)
    }

    /// Whether a worker has looked at each key of the bucket once: a key whose newest version is a delete marker is on no record before.
    pub(super) async fn is_walked(&self, route: &Route) -> Result<bool, StoreError> {
        let walks = self.metadata.walks_of(&route.bucket, WALKS).await?;
        let last = walks.iter().find(|walk| walk.kind == WalkKind::Backfill);
        Ok(!route.unwalked && last.is_none_or(|last| last.state == WalkState::Done))
    }

    pub(super) async fn known(&self, id: &s3gateway_config::BackendId) -> Result<Arc<Remote>, Halt> {
        self.backends.get(id).await?.ok_or_else(|| Halt::Refused(format!("backend {id} is not known")))
    }

    /// Marks what differs though it should not, and waits until it has been converged.
    async fn bring_up_to_date(
        &self,
        promotion: &Promotion,
        route: &Route,
        source: &Remote,
        target: &Remote,
        until: Instant,
    ) -> Result<(), Halt> {
        let (patience, mut comparison) = (Patience::of(self, &promotion.id), 1);
        loop {
            if Instant::now() > until {
                return Err(Halt::Refused("too many keys of the bucket stay dirty or differ".to_owned()));
            }
            let Compared { differing, is_whole } = compare(patience, route, source, target).await?;
            let differing = self.clean_ones(patience, route, source, target, differing).await?;
            let Some(example) = differing.first() else {
                if is_whole {
                    return Ok(());
                }
                // What comes behind so many dirty keys was not looked at.
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            };
            comparison += u32::from(is_whole);
            if comparison > COMPARISONS {
                let id = &target.backend.id;
                let why = format!(
                    "{} keys are not at {id} as they are at home, such as {}",
                    differing.len(),
                    example.as_str()
                );
                return Err(Halt::Refused(why));
            }
            for key in &differing {
                self.queue.mark(&dirty(route, key), "promotion").await?;
            }
            for key in &differing {
                while self.queue.is_marked(&dirty(route, key)).await? {
                    if Instant::now() > until {
                        return Err(Halt::Refused(format!("{} could not be converged in time", key.as_str())));
                    }
                    tokio::time::sleep(STEP * 5).await;
                }
            }
        }
    }

    /// Notes which versions the home has, under the ids that it has given them: it is to be a replica.
    async fn note_versions(&self, promotion: &Promotion) -> Result<(), Halt> {
        let mut after = None;
        loop {
            after = self.metadata.note_versions_at_home(promotion, after.as_ref()).await?;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Those that are clean and differ. Dirty keys differ rightly, and are looked at once they are clean; one that was
    /// written and converged while it was listed is looked at again. One that the target alone has is not converged, which would
    /// delete it: whether it was deleted, the home has lost it or it was never the gateway's, a walk tells.
    async fn clean_ones(
        &self,
        patience: Patience<'_>,
        route: &Route,
        source: &Remote,
        target: &Remote,
        keys: Vec<ObjectKey>,
    ) -> Result<Vec<ObjectKey>, Halt> {
        let mut clean = Vec::new();
        for key in keys {
            match self.look_at(patience, route, source, target, &key).await? {
                Held::Alike => {}
                Held::Otherwise => clean.push(key),
                // Its delete may have been converged between the two questions.
                Held::AtTargetAlone => match self.look_at(patience, route, source, target, &key).await? {
                    Held::Alike => {}
                    Held::Otherwise => clean.push(key),
                    Held::AtTargetAlone => {
                        let (id, key) = (&target.backend.id, key.as_str());
                        let why =
                            format!("{id} has {key} and the home has not; a reconcile tells what there is of these");
                        return Err(Halt::Refused(why));
                    }
                },
            }
        }
        Ok(clean)
    }

    /// How a key stands at both. What is dirty counts as alike: it is converged anyway, and looked at once more before the home moves,
    /// as its worker may have recorded it before this promotion began.
    async fn look_at(
        &self,
        patience: Patience<'_>,
        route: &Route,
        source: &Remote,
        target: &Remote,
        key: &ObjectKey,
    ) -> Result<Held, Halt> {
        let dirty = dirty(route, key);
        let mut is_marked = self.queue.is_marked(&dirty).await?;
        let held = match is_marked {
            true => Held::Alike,
            false => held_at(patience, route, source, target, key).await?,
        };
        is_marked |= !matches!(held, Held::Alike) && self.queue.is_marked(&dirty).await?;
        if !is_marked {
            return Ok(held);
        }
        self.metadata.note_promotion_keys(&route.bucket, std::slice::from_ref(key)).await?;
        Ok(Held::Alike)
    }

    /// Writes that are stopped would wait for a walk over all keys otherwise.
    async fn await_trust(&self, promotion: &Promotion, until: Instant) -> Result<(), Halt> {
        const WAITS: &str = "Redis may have forgotten marks: the bucket is walked over first";
        while !self.queue.proves(&promotion.bucket).await? {
            if Instant::now() > until {
                return Err(Halt::Refused(WAITS.to_owned()));
            }
            self.metadata.note_promotion(&promotion.id, WAITS).await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    }

    async fn await_few_dirty(&self, promotion: &Promotion, until: Instant) -> Result<(), Halt> {
        loop {
            let (mut count, mut from) = (0, None);
            loop {
                let page = self.queue.dirty_keys(&promotion.bucket, from.as_deref()).await?;
                count += page.keys.len();
                from = page.next;
                if from.is_none() || count > FEW {
                    break;
                }
            }
            if count <= FEW {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(Halt::Refused("too many keys of the bucket stay dirty".to_owned()));
            }
            self.metadata.note_promotion(&promotion.id, "keys of the bucket are still being converged").await?;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Passes a target that the bucket's replica count reaches, or that a migration fills: others hold nothing.
fn require_counted(promotion: &Promotion, route: &Route) -> Result<(), Halt> {
    if route.arriving.as_ref() == Some(&promotion.target) || is_counted(route, &promotion.target) {
        return Ok(());
    }
    Err(Halt::Refused(format!("a replica count of {} leaves {} without copies", route.replica_count, promotion.target)))
}

/// Whether the bucket's replica count reaches a backend of its placement.
pub(super) fn is_counted(route: &Route, id: &BackendId) -> bool {
    let others = route.placement.iter().filter(|other| **other != route.home);
    let place = others.take_while(|other| *other != id).count();
    place < usize::try_from(route.replica_count).unwrap_or(usize::MAX).saturating_sub(1)
}

fn dirty(route: &Route, key: &ObjectKey) -> DirtyKey {
    DirtyKey { bucket: route.bucket.clone(), key: key.clone() }
}
