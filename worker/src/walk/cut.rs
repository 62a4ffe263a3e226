//! Cuts walks into shards, before workers walk them.
//! Invariant: the claim on a walk is moved on while it is cut, by compare-and-set, so that of two workers one begins it.
use super::ground::{admit, listing};
use super::merge::Reach;
use super::{UnderWay, WalkError, Walker};
use s3gateway_store::{Millis, Route, StoreError, Walk, WalkId, WalkKind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// Failures in a row after which a listing is given up, to be begun anew: it may have come far.
const TRIES: u32 = 10;
/// When a walk is looked at again for which there was no leave to list; those behind it are seen meanwhile.
const LATER: Duration = Duration::from_secs(5);

/// Where a bucket's keys are cut, and how many they are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) bounds: Vec<String>,
    pub(super) total: u64,
}

/// A worker's hold on a walk that it cuts.
struct Claim {
    walker: Arc<Walker>,
    id: WalkId,
    until: Millis,
    /// What was asked for last: where the answer was lost, the claim may stand until then.
    tried: Millis,
}

impl Walker {
    /// Has a walk cut that has not begun, if no other worker does so and not too many are being cut.
    pub(super) async fn begin_cut(
        self: &Arc<Self>,
        walk: Walk,
        under_way: &mut UnderWay,
        stop: &CancellationToken,
    ) -> Result<(), StoreError> {
        let route = self.metadata.route_by_id(&walk.bucket).await?;
        let lists = route.as_ref().is_some_and(|route| route.unwalked);
        let leave = if lists { &under_way.lists } else { &under_way.reads };
        let Ok(leave) = leave.clone().try_acquire_owned() else {
            if lists {
                self.metadata.claim_walk(&walk.id, walk.due_at, self.in_time(LATER)).await?;
            }
            return Ok(());
        };
        let until = self.claim_end();
        if !self.metadata.claim_walk(&walk.id, walk.due_at, until).await? {
            return Ok(());
        }
        let Some(route) = route else {
            return self.metadata.fail_walk(&walk.id, &WalkError::Gone.to_string()).await;
        };
        let claim = Claim { walker: self.clone(), id: walk.id.clone(), until, tried: until };
        under_way.cuts.spawn(self.clone().cut(walk, route, claim, leave, stop.clone()));
        Ok(())
    }

    async fn cut(
        self: Arc<Self>,
        walk: Walk,
        route: Route,
        claim: Claim,
        leave: OwnedSemaphorePermit,
        stop: CancellationToken,
    ) {
        if let Err(error) = self.cut_claimed(&walk, &route, claim, &stop).await {
            warn!(walk = walk.id.as_str(), %error, "the walk cannot begin");
            let noted = match &error {
                // Its claim runs out.
                WalkError::Store(_) => Ok(()),
                _ => self.suspend(&walk.id, &error).await,
            };
            if let Err(error) = noted {
                warn!(%error, "why the walk cannot begin could not be written down");
            }
        }
        drop(leave);
    }

    async fn cut_claimed(
        &self,
        walk: &Walk,
        route: &Route,
        mut claim: Claim,
        stop: &CancellationToken,
    ) -> Result<(), WalkError> {
        let Cut { bounds, total } = {
            let mut found = pin!(self.find_cut(route));
            loop {
                tokio::select! {
                    // In an order that a simulation can repeat.
                    biased;
                    cut = &mut found => break cut?,
                    () = stop.cancelled() => return Ok(claim.give_back().await?),
                    () = tokio::time::sleep(self.lease() / 3) => {}
                }
                match claim.prolong().await {
                    Ok(true) => {}
                    Ok(false) => return Ok(()),
                    // As long as no other worker takes the walk, it is ours.
                    Err(error) => debug!(%error, "the claim on a walk could not be prolonged"),
                }
            }
        };
        let rate = self.settings.backfill_rate;
        if self.metadata.cut_walk(&walk.id, claim.until, route.epoch, &bounds, total, rate).await? {
            let (kind, shards) = (walk.kind.as_str(), bounds.len() + 1);
            info!(walk = walk.id.as_str(), kind, shards, total, reason = walk.reason, "walk begun");
        }
        Ok(())
    }

    /// Where a bucket's keys are best cut.
    pub(super) async fn find_cut(&self, route: &Route) -> Result<Cut, WalkError> {
        // Of a bucket that was adopted, what metadata does not know says nothing.
        if route.unwalked { self.cut_by_listing(route).await } else { self.cut_by_metadata(route).await }
    }

    /// By what the home lists, read once from beginning to end.
    async fn cut_by_listing(&self, route: &Route) -> Result<Cut, WalkError> {
        let remote = self.backends.get(&route.home).await?;
        let remote = remote.ok_or_else(|| WalkError::Waits(format!("backend {} is not known", route.home)))?;
        let listing = listing(route, &remote, WalkKind::Backfill, 0, false)?;
        admit([&listing])?;
        let (mut cut, mut after, mut failures) = (Cut::default(), String::new(), 0);
        loop {
            let page = match listing.page(&after).await {
                Ok(page) => page,
                Err(error) if !after.is_empty() && failures < TRIES => {
                    debug!(%error, "the home cannot be listed on");
                    tokio::time::sleep(self.decide_delay(failures)).await;
                    failures += 1;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            failures = 0;
            for (key, _) in page.entries {
                cut.count(key, self.settings.shard_keys);
            }
            match page.reach {
                Reach::To(last) => after = last,
                Reach::End => return Ok(cut),
            }
        }
    }

    /// By the keys that metadata knows at the home.
    async fn cut_by_metadata(&self, route: &Route) -> Result<Cut, WalkError> {
        let (mut cut, mut after, size) = (Cut::default(), String::new(), self.settings.shard_keys);
        while let Some(bound) = self.metadata.walk_bound(&route.bucket, &route.home, &after, size).await? {
            cut.total += u64::from(size);
            cut.bounds.push(bound.clone());
            after = bound;
        }
        cut.total += self.metadata.count_to_bound(&route.bucket, &route.home, &after, size).await?;
        Ok(cut)
    }
}

impl Cut {
    /// Counts the next key, with which a part ends where it has `size` of them.
    fn count(&mut self, key: String, size: u32) {
        self.total += 1;
        if self.total.is_multiple_of(u64::from(size.max(1))) {
            self.bounds.push(key);
        }
    }
}

impl Claim {
    /// Moves its end on; false where the walk is another worker's, or has ended.
    async fn prolong(&mut self) -> Result<bool, StoreError> {
        let next = self.walker.claim_end();
        let may_stand_until = [self.until, std::mem::replace(&mut self.tried, next)];
        for seen in may_stand_until {
            if self.walker.metadata.claim_walk(&self.id, seen, next).await? {
                self.until = next;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Another worker may cut it at once.
    async fn give_back(self) -> Result<(), StoreError> {
        let now = self.walker.metadata.now();
        self.walker.metadata.claim_walk(&self.id, self.until, now).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_have_so_many_keys_each_and_the_last_has_the_rest() {
        for (keys, size, bounds) in
            [("", 2, ""), ("a", 2, ""), ("ab", 2, "b"), ("abc", 2, "b"), ("abcd", 2, "bd"), ("ab", 1, "ab")]
        {
            let mut cut = Cut::default();
            keys.chars().for_each(|key| cut.count(key.to_string(), size));
            assert_eq!((cut.bounds.concat().as_str(), cut.total), (bounds, keys.len() as u64), "{keys} by {size}");
        }
    }
}
