//! Waiting for a worker: what a write has left behind at its home is at as many places as the bucket asks for once the key is
//! clean, or once a worker has recorded so many copies, or none of what is deleted. Looks grow rarer, and come to an end.
use super::held::{Told, count_gone, is_at_quorum, judge_records};
use crate::{
    admit::Routed,
    gateway::Gateway,
    metrics::QuorumOutcome,
    refusal::{QuorumLack, Refusal},
};
use s3gateway_config::BackendId;
use s3gateway_filters::{placement, residency};
use s3gateway_store::{
    DirtyKey, ObjectCopy, Route, StoreError,
    queue::{Company, Disturbance, Mark},
};
use std::time::{Duration, Instant};

/// Before the first look; a worker takes some milliseconds for a small object.
const FIRST_LOOK: Duration = Duration::from_millis(10);
/// Between two looks at most: about seventy in the default minute.
const RAREST_LOOK: Duration = Duration::from_secs(1);
/// Bytes a second at which an object comes to a replica at least.
const LEAST_BANDWIDTH: u64 = 4 << 20;

/// When to look again, and for how long.
struct Looks {
    pause: Duration,
    until: Instant,
}

impl Looks {
    fn within(patience: Duration) -> Self {
        Self { pause: FIRST_LOOK, until: Instant::now() + patience }
    }

    fn are_over(&self) -> bool {
        Instant::now() >= self.until
    }

    async fn wait(&mut self) {
        tokio::time::sleep(self.pause.mul_f64(rand::random_range(0.8..1.2))).await;
        self.pause = (self.pause * 3 / 2).min(RAREST_LOOK);
    }
}

/// Whether a write may land yet whose outcome no worker has seen: what may land at the home may come to every place.
fn has_writers(route: &Route, seen: &Disturbance) -> bool {
    seen.company == Company::Writers || seen.late.contains(&route.home)
}

impl Gateway {
    /// Waits until so many places hold what the home holds, no longer than a backend may take to answer and the object to be
    /// copied. `before`: the records before the commit; `servers`: those of the queue then; `disturbance`: what had come to the
    /// key by then beside the write's `mark`.
    pub(super) async fn await_copies(
        &self,
        routed: &Routed,
        dirty: &DirtyKey,
        servers: &[String],
        mut before: Vec<ObjectCopy>,
        mark: &Mark,
        disturbance: Disturbance,
    ) -> bool {
        let route = &routed.route;
        let others: Vec<_> = self.holders(route, route.replica_count).into_iter().cloned().collect();
        let mut looks = Looks::within(self.settings.upstream.read_timeout);
        let mut is_since = disturbance.company == Company::Nobody;
        let mut is_extended = false;
        loop {
            if looks.are_over() {
                if std::mem::replace(&mut is_extended, true) {
                    return false;
                }
                looks.until += self.time_to_copy(routed, dirty).await;
            }
            looks.wait().await;
            let is_clean = self.was_cleared(dirty, servers).await.unwrap_or(false);
            if has_writers(route, &disturbance) && !is_clean {
                // Another write may yet land over what a worker has recorded; only a clean key has none in flight.
                continue;
            }
            let Ok(now) = self.metadata.copies(&dirty.bucket, &dirty.key).await else { continue };
            if is_clean && is_at_quorum(&route.home, &others, route.write_quorum, &now) {
                return true;
            }
            match judge_records(&route.home, &others, route.write_quorum, &before, &now) {
                Told::Nothing => {}
                // Of a worker that may have looked before the commit; the next one has not.
                Told::TooFew | Told::Held if !is_since => (before, is_since) = (now, true),
                Told::TooFew => {}
                // A worker notes what it has sent and may land yet before another can have recorded this.
                Told::Held if is_clean => return true,
                Told::Held => {
                    let Ok(seen) = self.queue.disturbance(dirty, mark).await else { continue };
                    let spared: Vec<_> = others.iter().filter(|id| !seen.late.contains(id)).cloned().collect();
                    let told = judge_records(&route.home, &spared, route.write_quorum, &before, &now);
                    if !has_writers(route, &seen) && told == Told::Held {
                        return true;
                    }
                }
            }
        }
    }

    /// As [`Gateway::await_copies`], where the home has nothing any more: until so many places have no copy on record either, and no worker
    /// could bring one that looked at the home before the commit. The home's own record may tell nothing, as there may never have been
    /// one. Copies at places that are well are waited for as long as nobody has tried to delete them.
    pub(super) async fn await_gone(
        &self,
        routed: &Routed,
        dirty: &DirtyKey,
        servers: &[String],
        mut before: Vec<ObjectCopy>,
        mark: &Mark,
        disturbance: Disturbance,
    ) -> bool {
        let route = &routed.route;
        let others: Vec<_> = self.holders(route, route.replica_count).into_iter().cloned().collect();
        let is_well = |id: &BackendId| self.backends.get(id).is_some_and(|backend| backend.is_healthy());
        let mut looks = Looks::within(self.settings.upstream.read_timeout);
        let mut is_since = disturbance.company == Company::Nobody;
        let mut is_held = false;
        while !looks.are_over() {
            looks.wait().await;
            let is_clean = self.was_cleared(dirty, servers).await.unwrap_or(false);
            if has_writers(route, &disturbance) && !is_clean {
                continue;
            }
            // Before the records are read: a worker that gets it from now on finds the home as it is.
            let Ok(seen) = self.queue.disturbance(dirty, mark).await else { continue };
            let was_since = is_since;
            is_since |= matches!(seen.company, Company::Nobody | Company::Unclaimed);
            if !is_clean && (!is_since || has_writers(route, &seen)) {
                continue;
            }
            let Ok(now) = self.metadata.copies(&dirty.bucket, &dirty.key).await else { continue };
            if is_clean && is_at_quorum(&route.home, &others, route.write_quorum, &now) {
                return true;
            }
            let spared: Vec<_> = others.iter().filter(|id| !seen.late.contains(id)).cloned().collect();
            is_held = count_gone(&spared, &now) >= route.write_quorum;
            if !was_since {
                before.clone_from(&now);
            }
            let is_tried = judge_records(&route.home, &spared, route.write_quorum, &before, &now) == Told::Held;
            let is_everywhere = || spared.iter().all(|id| !is_well(id) || now.iter().all(|copy| copy.backend != *id));
            if is_held && (is_tried || is_everywhere()) {
                return true;
            }
        }
        is_held
    }

    /// Whether a worker has cleared a mark that these servers of the queue took: they know of none now, and none of them was replaced, so that
    /// they have not forgotten it. That a server before them may have forgotten others is no matter.
    async fn was_cleared(&self, dirty: &DirtyKey, servers: &[String]) -> Result<bool, StoreError> {
        Ok(!self.queue.is_marked(dirty).await? && self.queue.servers().await? == servers)
    }

    /// How long a worker may take to copy what the home holds.
    async fn time_to_copy(&self, routed: &Routed, dirty: &DirtyKey) -> Duration {
        let held = self.head_at_home(routed, &dirty.key, None).await.ok();
        let size = held.and_then(|head| head.header("content-length").parse::<u64>().ok());
        Duration::from_secs(size.unwrap_or(0) / LEAST_BANDWIDTH)
    }

    /// Passes a write for which enough places answer their probes. Before anything is written: it spares a wait that would be
    /// in vain.
    ///
    /// # Errors
    /// `Quorum`.
    pub(crate) fn require_reachable_quorum(&self, route: &Route) -> Result<(), Refusal> {
        if route.write_quorum <= 1 {
            return Ok(());
        }
        let holders = self.holders(route, route.replica_count);
        let well = holders.into_iter().filter(|id| self.backends.get(id).is_some_and(|backend| backend.is_healthy()));
        if 1 + well.count() >= usize::try_from(route.write_quorum).unwrap_or(usize::MAX) {
            return Ok(());
        }
        self.metrics.observe_quorum(QuorumOutcome::Unreachable);
        Err(QuorumLack::Unreachable.into())
    }

    /// The replicas that hold a copy where `count` are wanted, as workers choose them.
    pub(super) fn holders<'r>(&self, route: &'r Route, count: u32) -> Vec<&'r s3gateway_config::BackendId> {
        placement::replicas(&route.placement, &route.home, count, |id| {
            self.backends.get(id).is_some_and(|backend| {
                residency::decide(&route.tenant_policy, &route.bucket_policy, backend.place()).is_ok()
            })
        })
    }
}
