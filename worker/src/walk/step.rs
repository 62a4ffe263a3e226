//! Walks one shard: step by step it reads what the listings and the metadata say of some keys, judges them, and marks what is
//! not as it should be.
//! Invariants: keys are marked before the step that marks them is written down, so that a stop leaves none out; a key, or a
//! version of it, counts as gone only after its home was asked for it alone, and its bucket has answered with something.
use super::compare::{Held, Place, Recorded, Verdict, compare, mark_known};
use super::deep::{Carried, Depth, Stored, compare_bytes, compare_carried};
use super::ground::Ground;
use super::listing::Listing;
use super::merge::{Page, Reach, Row, Side, common_reach, merge};
use super::wait::{self, Room};
use super::{WalkError, Walker, recorded};
use crate::clock::millis;
use crate::version_plan::{Kept, plan_versions};
use futures::future::try_join_all;
use futures::{StreamExt, TryStreamExt, stream};
use s3gateway_config::BackendId;
use s3gateway_s3::{ObjectKey, VersionId};
use s3gateway_store::{Admission, DirtyKey, FindingKind, Route, Step, VersionCopy, WalkFinding, WalkKind, WalkShard};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Questions about single keys that are asked at the same time.
const ASKED_AT_ONCE: usize = 16;
/// Objects that a deep walk reads at the same time in one shard.
const READ_AT_ONCE: usize = 4;

/// A shard is walked for so long at a time: one that its rate, or what it reads, holds up for hours is not to keep others from a place.
const TURN: Duration = Duration::from_secs(60);
/// What a shard of a comparison marks without asking whether the queue has room: the little that differs is not to wait for
/// keys that a backend which is away keeps dirty.
const FEW_MARKS: u64 = 1000;

/// One shard on its way.
pub(super) struct ShardWalk<'a> {
    walker: &'a Walker,
    shard: &'a WalkShard,
    ground: Ground,
    walked_to: String,
    /// The home's listing, then the replicas'.
    listings: Vec<Side<Held>>,
    recorded: Side<Recorded>,
    /// The walk's keys a second, as of the last step.
    rate: u32,
    /// Keys of the shard that were marked.
    marked: u64,
}

/// What is wrong, where, and more of it.
type Found = (FindingKind, BackendId, &'static str);

/// A key with what was found of it.
struct Judged {
    key: ObjectKey,
    row: Row<Held, Recorded>,
    verdict: Verdict,
}

impl<'a> ShardWalk<'a> {
    /// Begins where the shard was left.
    pub(super) async fn begin(walker: &'a Walker, shard: &'a WalkShard) -> Result<Self, WalkError> {
        let ground = Ground::survey(&walker.metadata, &walker.backends, shard, shard.rate).await?;
        ground.admit()?;
        let mut walk = Self {
            walker,
            shard,
            ground,
            walked_to: shard.walked_to.clone(),
            listings: Vec::new(),
            recorded: Side::new(""),
            rate: shard.rate,
            marked: shard.marked,
        };
        walk.read_anew();
        Ok(walk)
    }

    /// Walks to the shard's end, or to where it is stopped or its turn is over.
    pub(super) async fn run(&mut self) -> Result<(), WalkError> {
        let until = Instant::now() + TURN;
        loop {
            if self.shard.kind == WalkKind::Backfill || self.marked >= FEW_MARKS {
                let keys = u64::try_from(self.ground.home.page).unwrap_or(1);
                match wait::for_room(self.walker, self.shard, keys, until).await? {
                    Room::AtOnce => {}
                    Room::Later => self.read_anew(),
                    Room::Stopped => return Ok(()),
                }
            }
            let now = Ground::survey(&self.walker.metadata, &self.walker.backends, self.shard, self.rate).await?;
            let is_same = self.ground.is_same(&now);
            self.ground = now;
            if !is_same {
                self.read_anew();
            }
            let limit = Reach::up_to(&self.shard.up_to);
            let bound = self.read_on(&limit).await?;
            let Some(step) = self.take(&bound, bound == limit).await? else { return Ok(()) };
            if !self.walker.metadata.take_step(self.shard, &step).await? || step.is_last || Instant::now() >= until {
                return Ok(());
            }
            self.walked_to = step.walked_to;
            self.marked += step.marked;
        }
    }

    fn read_anew(&mut self) {
        let side = || Side::new(&self.walked_to);
        self.listings = (0..=self.ground.replicas.len()).map(|_| side()).collect();
        self.recorded = Side::new(&self.walked_to);
    }

    /// Reads every side on that has been given away; how far all have got.
    async fn read_on(&mut self, limit: &Reach) -> Result<Reach, WalkError> {
        let listed = std::iter::once(&self.ground.home).chain(&self.ground.replicas).zip(&self.listings);
        let pages = listed.map(|(listing, side)| {
            let after = side.next_after(&self.walked_to).map(str::to_owned);
            async move {
                match after {
                    Some(after) => listing.page(&after).await.map(Some),
                    None => Ok(None),
                }
            }
        });
        let pages = try_join_all(pages).await?;
        for (side, page) in self.listings.iter_mut().zip(pages) {
            if let Some(page) = page {
                side.take(page);
            }
        }
        if self.shard.kind == WalkKind::Backfill && !self.ground.home.versions {
            self.recorded.take(Page { entries: Vec::new(), reach: Reach::End });
        } else if let Some(after) = self.recorded.next_after(&self.walked_to) {
            let versions = self.ground.route.versioning.is_set();
            let (metadata, shard) = (&self.walker.metadata, self.shard);
            let page = recorded::page(metadata, &self.ground.route, after, &shard.up_to, versions).await?;
            self.recorded.take(page);
        }
        let reaches = self.listings.iter().map(Side::reach).chain([self.recorded.reach()]);
        Ok(common_reach(reaches, limit))
    }

    /// Judges and marks the keys up to `bound`; `None` where the walk was stopped.
    async fn take(&mut self, bound: &Reach, is_last: bool) -> Result<Option<Step>, WalkError> {
        let mut rows = merge(&mut self.listings, &mut self.recorded, bound);
        let Route { home, has_moved_versions, .. } = &self.ground.route;
        for row in rows.values_mut() {
            match has_moved_versions {
                true => row.show_versions(home),
                // A promotion is noting them, or has failed over it.
                false => row.recorded.versions.retain(|copy| copy.backend != *home),
            }
        }
        let done = rows.values().filter(|row| row.held.first().is_some_and(Option::is_some)).count();
        if done == 0 && !self.shard.approved {
            self.require_that_home_lists().await?;
        }
        // A name that is no key cannot be asked for, nor can one that its home may show for another.
        let home_rule = self.ground.home.remote.backend.capabilities.keys;
        let looks_at = |row: &Row<Held, Recorded>| {
            self.shard.kind != WalkKind::Backfill || row.held.first().is_some_and(Option::is_some)
        };
        let rows = rows.into_iter().filter(|(_, row)| looks_at(row));
        let rows = rows.filter_map(|(key, row)| Some((ObjectKey::parse(&key).ok()?, row)));
        let rows = rows.filter(|(key, _)| home_rule.holds(key.as_str()));
        let judged = rows.map(|(key, row)| Judged { verdict: self.judge(&key, &row), key, row });
        let is_too_long = |one: &Judged| matches!(one.row.held.first(), Some(Some(Held::TooManyVersions)));
        let is_doubtful = |one: &Judged| one.verdict.is_delete || !one.verdict.findings.is_empty() || is_too_long(one);
        let (doubtful, equal): (Vec<_>, Vec<_>) = judged.partition(is_doubtful);
        let mut judged = self.confirm(doubtful).await?;
        judged.extend(equal);
        let deletes = judged.iter().filter(|one| one.verdict.is_delete).count() as u64;
        let (keys, guard) = (judged.len() as u64, self.walker.settings.delete_guard);
        let at = match self.walker.metadata.admit_step(self.shard, keys, deletes, guard).await? {
            Admission::Go { at, rate } => {
                self.rate = rate;
                at
            }
            Admission::Stop => return Ok(None),
        };
        if !wait::for_rate(self.walker, self.shard, at, self.rate).await? {
            return Ok(None);
        }
        self.look_closer(&mut judged).await?;
        let marked: Vec<DirtyKey> =
            judged.iter().filter(|one| one.verdict.marks).map(|one| self.dirty(&one.key)).collect();
        self.walker.queue.mark_all(&marked, self.shard.walk.as_str()).await.map_err(WalkError::Queue)?;
        let findings: Vec<WalkFinding> = judged.into_iter().flat_map(Judged::into_findings).collect();
        self.walker.metrics.walked(done as u64, marked.len() as u64, &findings);
        let walked_to = match bound {
            Reach::To(key) => key.clone(),
            Reach::End => String::new(),
        };
        Ok(Some(Step { walked_to, is_last, done: done as u64, marked: marked.len() as u64, findings }))
    }

    fn judge(&self, key: &ObjectKey, row: &Row<Held, Recorded>) -> Verdict {
        match (self.shard.kind, row.held.split_first()) {
            (WalkKind::Backfill, home) => {
                let Route { placement, draining, arriving, .. } = &self.ground.route;
                let kept = placement.iter().chain(draining).chain(arriving).filter(|id| **id != self.ground.route.home);
                let is_kept = |id: &BackendId| kept.clone().any(|kept| kept == id);
                mark_known(home.and_then(|(home, _)| home.as_ref()), &row.recorded, is_kept)
            }
            (_, Some((home, held))) => {
                let replicas = &self.ground.replicas;
                let holds = |id: &BackendId| {
                    let replica = replicas.iter().find(|replica| replica.remote.backend.id == *id);
                    replica.is_some_and(|replica| replica.remote.backend.capabilities.keys.holds(key.as_str()))
                };
                compare(&self.ground.route.home, home.as_ref(), &self.ground.places, held, &row.recorded, holds)
            }
            (_, None) => Verdict::default(),
        }
    }

    /// Drops the doubts about keys that are dirty, which are converged anyway, and about those of which only a glance between
    /// two writes made it look as if the home did not have them, or versions of them.
    async fn confirm(&self, doubtful: Vec<Judged>) -> Result<Vec<Judged>, WalkError> {
        let asked: Vec<_> = doubtful.into_iter().map(|one| self.confirm_one(one)).collect();
        stream::iter(asked).buffered(ASKED_AT_ONCE).try_collect().await
    }

    async fn confirm_one(&self, mut one: Judged) -> Result<Judged, WalkError> {
        if one.verdict.is_delete {
            self.ask_for_versions(&mut one).await?;
        }
        let is_at_home = one.row.held.first().is_some_and(Option::is_some);
        let is_marked = self.walker.queue.is_marked(&self.dirty(&one.key)).await.map_err(WalkError::Queue)?;
        if self.shard.kind == WalkKind::Backfill {
            one.verdict.is_delete &= !is_marked;
        } else if is_marked || (!is_at_home && !self.is_still_so(&one).await?) {
            one.verdict = Verdict::default();
        }
        Ok(one)
    }

    /// Judges a key again, of which versions seem to be gone, by what the home says of it alone.
    async fn ask_for_versions(&self, one: &mut Judged) -> Result<(), WalkError> {
        let (home, Judged { key, row, verdict }) = (&self.ground.home, one);
        if let Some(held @ Some(Held::Versions(_))) = row.held.first_mut() {
            let versions = home.remote.versions(&home.bucket, key).await?;
            *held = (!versions.is_empty()).then_some(Held::Versions(versions));
            row.show_versions(&self.ground.route.home);
            *verdict = self.judge(key, row);
        }
        Ok(())
    }

    /// Whether the home still does not have the key, and metadata still knows of no copy where one is foreign.
    async fn is_still_so(&self, one: &Judged) -> Result<bool, WalkError> {
        let home = &self.ground.home;
        let is_there = match home.versions {
            true => !home.remote.versions(&home.bucket, &one.key).await?.is_empty(),
            false => home.remote.head(&home.bucket, &one.key).await?.is_some(),
        };
        if is_there {
            return Ok(false);
        }
        let (metadata, bucket) = (&self.walker.metadata, &self.shard.bucket);
        let mut known: Vec<BackendId> =
            metadata.copies(bucket, &one.key).await?.into_iter().map(|copy| copy.backend).collect();
        known.extend(metadata.count_version_copies(bucket, &one.key).await?.into_iter().map(|(backend, _)| backend));
        let is_foreign = |(kind, backend, _): &Found| *kind != FindingKind::Foreign || !known.contains(backend);
        Ok(one.verdict.findings.iter().all(is_foreign))
    }

    /// A home that lists nothing at all has lost its keys, or is not what it was; nothing is concluded from that.
    async fn require_that_home_lists(&self) -> Result<(), WalkError> {
        let known = self.walker.metadata.copies_after(&self.shard.bucket, "", "", 1).await?;
        if known.is_empty() || !self.ground.home.page("").await?.entries.is_empty() {
            return Ok(());
        }
        Err(WalkError::Waits("the home lists nothing, though keys are known".to_owned()))
    }

    /// Looks at the copies that look right: a deep walk reads them, a reconcile compares the headers of those that are older.
    async fn look_closer(&self, judged: &mut [Judged]) -> Result<(), WalkError> {
        let found: Vec<Vec<Found>> = match self.shard.kind {
            WalkKind::Backfill => return Ok(()),
            WalkKind::Reconcile => {
                let found: Vec<_> = judged.iter().map(|one| self.compare_headers(one)).collect();
                stream::iter(found).buffered(ASKED_AT_ONCE).try_collect().await?
            }
            WalkKind::Deep => {
                let found: Vec<_> = judged.iter().map(|one| self.read_key(one)).collect();
                stream::iter(found).buffered(READ_AT_ONCE).try_collect().await?
            }
        };
        for (one, found) in judged.iter_mut().zip(found) {
            one.verdict.marks |= found.iter().any(|(_, backend, _)| *backend != self.ground.route.home);
            one.verdict.findings.extend(found);
        }
        Ok(())
    }

    async fn compare_headers(&self, one: &Judged) -> Result<Vec<Found>, WalkError> {
        let mut found = Vec::new();
        // What is marked is converged anyway.
        for number in one.verdict.older.iter().filter(|_| !one.verdict.marks) {
            let Some((place, replica, pairs)) = self.pairs_of(one, *number) else { continue };
            for pair in &pairs {
                found.extend(self.judge_carried(one, place, replica, pair).await?);
            }
        }
        Ok(found)
    }

    async fn read_key(&self, one: &Judged) -> Result<Vec<Found>, WalkError> {
        let mut found = Vec::new();
        for number in &one.verdict.equal {
            let Some((place, replica, pairs)) = self.pairs_of(one, *number) else { continue };
            for pair in pairs {
                let stored_home = stored(&self.ground.home, &one.key, &pair.own_version, &pair.home_etag);
                let stored_copy = stored(replica, &one.key, &pair.version, &pair.etag);
                match compare_bytes(stored_home, stored_copy, pair.size).await? {
                    Depth::Equal => found.extend(self.judge_carried(one, place, replica, &pair).await?),
                    Depth::Changed => {}
                    Depth::CorruptHome(why) => {
                        found.push((FindingKind::Corrupt, self.ground.route.home.clone(), why));
                    }
                    Depth::CorruptReplica(why) => {
                        self.suspect(&one.key, &place.id, &pair).await?;
                        found.push((FindingKind::Corrupt, place.id.clone(), why));
                    }
                }
            }
        }
        Ok(found)
    }

    /// A place by number, its listing, and what the key's copies there are to be compared with.
    fn pairs_of(&self, one: &Judged, number: usize) -> Option<(&Place, &Listing, Vec<Pair>)> {
        let (place, replica) = (self.ground.places.get(number)?, self.ground.replicas.get(number)?);
        let home = one.row.held.first()?.as_ref()?;
        let held = one.row.held.get(number + 1)?.as_ref()?;
        Some((place, replica, pairs(home, held, &one.row.recorded, &self.ground.route.home, &place.id)))
    }

    /// The finding that a copy's headers or tags differ; none of a key that is dirty, which is converged anyway.
    async fn judge_carried(
        &self,
        one: &Judged,
        place: &Place,
        replica: &Listing,
        pair: &Pair,
    ) -> Result<Option<Found>, WalkError> {
        let stored_home = stored(&self.ground.home, &one.key, &pair.own_version, &pair.home_etag);
        let stored_copy = stored(replica, &one.key, &pair.version, &pair.etag);
        let carried = compare_carried(stored_home, stored_copy).await?;
        if carried == Carried::Equal
            || self.walker.queue.is_marked(&self.dirty(&one.key)).await.map_err(WalkError::Queue)?
        {
            return Ok(None);
        }
        // Converging looks at all of a current object; of a version it has to be told where to look.
        match (carried, &pair.home_version) {
            (Carried::OtherTags, Some(version)) => {
                self.walker.metadata.note_retagged(&self.shard.bucket, &one.key, version).await?;
            }
            (Carried::OtherHeaders, Some(_)) => self.suspect(&one.key, &place.id, pair).await?,
            _ => {}
        }
        Ok(Some((FindingKind::Different, place.id.clone(), "its headers or tags are not the home's")))
    }

    /// Has converging copy it anew.
    async fn suspect(&self, key: &ObjectKey, backend: &BackendId, pair: &Pair) -> Result<(), WalkError> {
        let (metadata, bucket) = (&self.walker.metadata, &self.shard.bucket);
        match &pair.version {
            Some(version) => metadata.suspect_version(bucket, key, backend, version).await?,
            None => metadata.suspect_copy(bucket, key, backend, &pair.etag).await?,
        }
        Ok(())
    }

    fn dirty(&self, key: &ObjectKey) -> DirtyKey {
        DirtyKey { bucket: self.shard.bucket.clone(), key: key.clone() }
    }
}

impl Row<Held, Recorded> {
    /// Names the home's versions as clients do.
    fn show_versions(&mut self, home: &BackendId) {
        if let Some(Some(Held::Versions(listed))) = self.held.first_mut() {
            self.recorded.moved_versions(home).show(listed);
        }
    }
}

impl Judged {
    fn into_findings(self) -> impl Iterator<Item = WalkFinding> {
        let (key, found_at) = (self.key, millis(SystemTime::now()));
        self.verdict.findings.into_iter().map(move |(kind, backend, detail)| WalkFinding {
            kind,
            key: key.clone(),
            backend: backend.to_string(),
            detail: detail.to_owned(),
            found_at,
        })
    }
}

/// An object of the home and the copy of it at a replica.
struct Pair {
    /// As clients know it.
    home_version: Option<VersionId>,
    /// As the home does.
    own_version: Option<VersionId>,
    home_etag: String,
    version: Option<VersionId>,
    etag: String,
    size: u64,
}

fn stored<'a>(listing: &'a Listing, key: &'a ObjectKey, version: &'a Option<VersionId>, etag: &'a str) -> Stored<'a> {
    Stored { remote: &listing.remote, bucket: &listing.bucket, key, version: version.as_ref(), etag }
}

/// What is to be compared byte by byte.
fn pairs(home: &Held, held: &Held, recorded: &Recorded, home_id: &BackendId, place: &BackendId) -> Vec<Pair> {
    if let (Held::Versions(home), Held::Versions(held)) = (home, held) {
        let known: Vec<VersionCopy> = recorded.versions.iter().filter(|copy| copy.backend == *place).cloned().collect();
        let plan = plan_versions(home, held, &known);
        let moved = recorded.moved_versions(home_id);
        let objects = plan.kept.iter().filter(|kept| !kept.home.is_marker);
        let pair = |kept: &Kept<'_>| Pair {
            home_version: Some(kept.home.id.clone()),
            own_version: Some(moved.own(&kept.home.id).clone()),
            home_etag: kept.home.etag.clone(),
            version: Some(kept.held.id.clone()),
            etag: kept.held.etag.clone(),
            size: kept.home.size,
        };
        return objects.map(pair).collect();
    }
    let (Some((home_etag, size)), Some((etag, _))) = (home.current(), held.current()) else { return Vec::new() };
    // Some list no ETags; what was verified last stands for those.
    let known = |id: &BackendId| recorded.copy_on(id).map(|copy| copy.etag.clone()).unwrap_or_default();
    let home_etag = if home_etag.is_empty() { known(home_id) } else { home_etag.to_owned() };
    let etag = if etag.is_empty() { known(place) } else { etag.to_owned() };
    vec![Pair { home_version: None, own_version: None, home_etag, version: None, etag, size }]
}
