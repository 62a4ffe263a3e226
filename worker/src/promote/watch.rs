//! Promotes by itself where the operator allows it: once a bucket's home has been away for the set time, as this worker sees it,
//! the replica that lacks least of those that answer takes its place.
//! Invariant: a bucket is judged by what its home says of it; of what its home says of others only where that says
//! nothing at all.
use super::{Promoter, prepare::is_counted};
use crate::backend::{BackendError, Remote};
use futures::{StreamExt, TryStreamExt, future, stream};
use s3gateway_config::BackendId;
use s3gateway_filters::residency;
use s3gateway_store::{Backend, BucketId, DirtyKey, ObjectCopy, Route, StoreError};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// Between two looks at the homes.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// After so long without a look nobody knows whether a home has been back meanwhile.
const MOST_GAP: Duration = Duration::from_secs(10);
/// Buckets that a home is asked for in one look, each time others: where all of them go without an answer it is away
/// for all.
const SAMPLE: usize = 16;
/// Dirty keys by which replicas are compared, and pages of the queue that these are looked for in.
const LOOKED_AT: usize = 1000;
const LOOKED_AT_PAGES: u32 = 64;

/// Since when homes do not answer.
pub(crate) struct Watch {
    promoter: Arc<Promoter>,
    away_since: HashMap<BucketId, Instant>,
    /// When the last look ended that has seen all.
    looked: Option<Instant>,
    looks: usize,
}

/// A bucket whose replicas may be promoted once its home is away for so long.
struct Watched {
    route: Route,
    after: Duration,
}

impl Watch {
    pub(crate) fn new(promoter: Arc<Promoter>) -> Self {
        Self { promoter, away_since: HashMap::new(), looked: None, looks: 0 }
    }

    /// Looks until stopped.
    pub(crate) async fn follow(mut self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            match self.look().await {
                Ok(()) => self.looked = Some(Instant::now()),
                Err(error) => debug!(%error, "homes are not watched"),
            }
            let _ = tokio::time::timeout(LOOK_EVERY, stop.cancelled()).await;
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        self.looks = self.looks.wrapping_add(1);
        if is_gap(self.looked, Instant::now()) {
            self.away_since.clear();
        }
        let mut homes: BTreeMap<BackendId, Vec<Watched>> = BTreeMap::new();
        for (bucket, after) in self.promoter.metadata.self_promoting_buckets().await? {
            let Some(route) = self.promoter.metadata.route_by_id(&bucket).await? else { continue };
            homes.entry(route.home.clone()).or_default().push(Watched { route, after });
        }
        let asked: Vec<_> = homes.values().map(|watched| self.find_away(watched)).collect();
        let away: Vec<&Watched> = future::try_join_all(asked).await?.into_iter().flatten().collect();
        let now = Instant::now();
        // What is not away now, or not watched, may come and go unseen.
        let since = |bucket: &BucketId| self.away_since.get(bucket).copied().unwrap_or(now);
        let away_since = away.iter().map(|watched| (watched.route.bucket.clone(), since(&watched.route.bucket)));
        self.away_since = away_since.collect();
        for Watched { route, after } in away {
            if self.away_since.get(&route.bucket).is_some_and(|since| since.elapsed() >= *after) {
                self.promote(&route.bucket, route).await?;
            }
        }
        Ok(())
    }

    /// Those of one home's buckets that it says nothing of. Each is asked for that did not answer last time. Others are
    /// as long as it answers for some; else it is away for them as well, and not asked for each.
    async fn find_away<'w>(&self, watched: &'w [Watched]) -> Result<Vec<&'w Watched>, StoreError> {
        let chosen = choose(watched.len(), self.looks);
        let sample: Vec<&Watched> =
            watched.iter().zip(&chosen).filter(|(_, chosen)| **chosen).map(|(w, _)| w).collect();
        let mut away = self.ask(&sample).await?;
        if away.len() == sample.len() {
            return Ok(watched.iter().collect());
        }
        let is_suspect = |watched: &Watched| self.away_since.contains_key(&watched.route.bucket);
        let rest = watched.iter().zip(&chosen).filter(|(watched, chosen)| !**chosen && is_suspect(watched));
        let rest: Vec<&Watched> = rest.map(|(watched, _)| watched).collect();
        away.extend(self.ask(&rest).await?);
        Ok(away)
    }

    /// Those of which their home says nothing.
    async fn ask<'w>(&self, watched: &[&'w Watched]) -> Result<Vec<&'w Watched>, StoreError> {
        let questions: Vec<_> =
            watched.iter().map(|watched| self.answers(&watched.route, &watched.route.home)).collect();
        let answers: Vec<bool> = stream::iter(questions).buffered(SAMPLE).try_collect().await?;
        Ok(watched.iter().zip(answers).filter(|(_, answers)| !answers).map(|(watched, _)| *watched).collect())
    }

    /// Whether a backend says anything about the bucket; what it says is no matter here.
    async fn answers(&self, route: &Route, id: &BackendId) -> Result<bool, StoreError> {
        let Some(remote) = self.promoter.backends.get(id).await? else { return Ok(false) };
        Ok(match route.physical_on(id) {
            Some(physical) => !matches!(remote.has_bucket(physical).await, Err(BackendError::Unavailable { .. })),
            None => false,
        })
    }

    async fn promote(&self, bucket: &BucketId, route: &Route) -> Result<(), StoreError> {
        if route.versioning.is_set() && !self.promoter.is_walked(route).await? {
            info!(
                bucket = bucket.as_str(),
                "not promoted: not all keys of a bucket that keeps versions have been walked over"
            );
            return Ok(());
        }
        let Some(id) = self.find_fullest(route).await? else { return Ok(()) };
        match self.promoter.metadata.begin_promotion(bucket, id, route.epoch, true).await {
            Ok(_) => {
                warn!(bucket = bucket.as_str(), home = %route.home, target = %id, "home is away, a replica is promoted")
            }
            // Another worker was faster, or the bucket is none that can be promoted.
            Err(StoreError::Conflict(why)) => debug!(bucket = bucket.as_str(), why, "not promoted"),
            Err(StoreError::Invalid(why)) => info!(bucket = bucket.as_str(), why, "cannot be promoted"),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Of the replicas that may be home and answer the one that lacks least, as far as it is looked at; the first of the placement of those
    /// that are even.
    async fn find_fullest<'r>(&self, route: &'r Route) -> Result<Option<&'r BackendId>, StoreError> {
        let replicas: Vec<&BackendId> = route.placement.iter().filter(|id| **id != route.home).collect();
        let able = future::try_join_all(replicas.iter().map(|id| self.is_able(route, id))).await?;
        let able: Vec<&BackendId> =
            replicas.into_iter().zip(able).filter(|(_, able)| *able).map(|(id, _)| id).collect();
        if able.len() < 2 {
            return Ok(able.first().copied());
        }
        let of_keys = self.promoter.metadata.copies_of_all(&self.some_dirty(route).await).await?;
        let lacks = |id: &&BackendId| (!is_counted(route, id), count_lacking(&route.home, id, &of_keys));
        Ok(able.into_iter().min_by_key(lacks))
    }

    async fn is_able(&self, route: &Route, id: &BackendId) -> Result<bool, StoreError> {
        match self.promoter.backends.get(id).await? {
            Some(remote) => Ok(may_be_home(route, &remote) && self.answers(route, id).await?),
            None => Ok(false),
        }
    }

    /// Some keys that are dirty: others are wherever they are wanted. None where the queue does not tell.
    async fn some_dirty(&self, route: &Route) -> Vec<DirtyKey> {
        let (mut keys, mut from) = (Vec::new(), None);
        for _ in 0..LOOKED_AT_PAGES {
            let page = match self.promoter.queue.dirty_keys(&route.bucket, from.as_deref()).await {
                Ok(page) => page,
                Err(error) => {
                    debug!(%error, "what replicas lack is not known");
                    break;
                }
            };
            keys.extend(page.keys.into_iter().map(|key| DirtyKey { bucket: route.bucket.clone(), key }));
            from = page.next;
            if from.is_none() || keys.len() >= LOOKED_AT {
                break;
            }
        }
        keys.truncate(LOOKED_AT);
        keys
    }
}

/// Of how many keys a replica is not known to hold what the home had, as far as that is known.
fn count_lacking(home: &BackendId, id: &BackendId, of_keys: &[Vec<ObjectCopy>]) -> usize {
    let lacks = |copies: &&Vec<ObjectCopy>| {
        let of = |id: &BackendId| copies.iter().find(|copy| copy.backend == *id);
        match (of(home), of(id)) {
            (Some(held), Some(copy)) => copy.verified_at == 0 || copy.home_etag != held.home_etag,
            (Some(_), None) => true,
            // The home has deleted it, or what has just been begun there is on no other record yet.
            (None, Some(copy)) => copy.verified_at > 0,
            (None, None) => false,
        }
    };
    of_keys.iter().filter(lacks).count()
}

fn may_be_home(route: &Route, remote: &Remote) -> bool {
    let Backend { id, place, capabilities, .. } = &remote.backend;
    let keeps = !route.versioning.is_set() || (capabilities.keeps_versions() && is_counted(route, id));
    keeps && residency::decide(&route.tenant_policy, &route.bucket_policy, place).is_ok()
}

/// Whether what was away at the last look may have been back since.
fn is_gap(looked: Option<Instant>, now: Instant) -> bool {
    looked.is_none_or(|looked| now.saturating_duration_since(looked) > MOST_GAP)
}

/// Which of a home's buckets it is asked for in a look: each look others, so that a few that are ill together do not
/// pass for all.
fn choose(count: usize, look: usize) -> Vec<bool> {
    let first = if count > SAMPLE { look.wrapping_mul(SAMPLE) % count } else { 0 };
    (0..count).map(|at| (at + count - first) % count < SAMPLE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_absences_with_time_unseen_between_them_are_not_one() {
        let begin = Instant::now();
        for (looked, now, want) in [
            (None, begin, true),
            (Some(begin), begin + LOOK_EVERY, false),
            (Some(begin), begin + MOST_GAP, false),
            (Some(begin), begin + MOST_GAP + Duration::from_millis(1), true),
            (Some(begin + LOOK_EVERY), begin, false),
        ] {
            assert_eq!(is_gap(looked, now), want, "{looked:?} {now:?}");
        }
    }

    #[test]
    fn a_replica_lacks_what_is_not_known_to_be_there_as_the_home_had_it() {
        let [home, near] = ["home", "near"].map(|id| BackendId::parse(id).unwrap());
        let copy = |backend: &BackendId, home_etag: &str, verified_at| ObjectCopy {
            backend: backend.clone(),
            etag: "own".into(),
            home_etag: home_etag.into(),
            size: 1,
            verified_how: String::new(),
            verified_at,
        };
        for (copies, want) in [
            (vec![], 0),
            (vec![copy(&home, "e", 1)], 1),
            (vec![copy(&home, "e", 1), copy(&near, "e", 1)], 0),
            (vec![copy(&home, "e", 1), copy(&near, "d", 1)], 1),
            (vec![copy(&home, "e", 1), copy(&near, "e", 0)], 1),
            (vec![copy(&near, "e", 1)], 1),
            (vec![copy(&near, "", 0)], 0),
        ] {
            assert_eq!(count_lacking(&home, &near, std::slice::from_ref(&copies)), want, "{copies:?}");
        }
    }

    #[test]
    fn a_home_is_asked_for_some_buckets_at_a_time_and_in_the_end_for_all() {
        for (count, look, want) in [
            (0, 5, vec![]),
            (3, 7, vec![0, 1, 2]),
            (SAMPLE, 2, (0..SAMPLE).collect()),
            (40, 0, (0..16).collect()),
            (40, 1, (16..32).collect()),
            (40, 2, (0..8).chain(32..40).collect()),
        ] {
            let chosen = choose(count, look);
            let chosen: Vec<usize> = (0..count).filter(|at| chosen[*at]).collect();
            assert_eq!(chosen, want, "{count} {look}");
        }
    }
}
