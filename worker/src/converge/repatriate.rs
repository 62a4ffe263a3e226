//! Brings home what stayed behind at a former home: compares a stranded key there with what the home holds now, has the newer
//! one stand at the home, and sets the other aside, where an operator can download it.
//! Invariant: what loses is set aside, verified and noted, before anything takes its place; and no client writes the key meanwhile.
mod versions;

use super::{ConvergeError, Converger, NotNow, Scene, physical_on, versions::HomeVersions};
use crate::backend::{Created, Remote};
use crate::claim::Claim;
use crate::copy::Copying;
use crate::layout::Digest16;
use crate::multipart::Uploaders;
use crate::object::Object;
use crate::plan::{self, Home, SUSPECT};
use http_body_util::BodyExt;
use md5::{Digest, Md5};
use s3gateway_filters::residency::{self, Denied};
use s3gateway_s3::{ObjectKey, PhysicalBucket};
use s3gateway_store::queue::{Company, Mark};
use s3gateway_store::{Backend, Kept, Merging, ObjectCopy, Route, StoreError, Stranded, StrandedState, names};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::{debug, info};
use versions::Waiting;

/// How far a backend's clock may be behind the store's. Copies of the ended epoch are older by a claim's lease at least.
const CLOCKS_APART: i64 = 2_000;
/// Other keys that are asked for at a former home before its absence of one is believed.
const WITNESSES: u32 = 20;

/// What becomes of the two sides of a stranded key.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing stayed behind, or the same stands at both.
    Settled,
    /// The home's stays; the former home's is set aside, converge replaces it.
    HomeWins,
    /// The former home's write is the newer one; what the home holds is set aside, if it holds anything.
    FormerWins,
    /// An attempt before this has brought the former home's object home, under an ETag of its own, and may not have come to its
    /// end. What has lost stands aside already.
    Brought,
    /// The former home's delete is the newer one.
    FormerDeleted,
}

/// One side: where, and what stands there.
struct Side {
    remote: Arc<Remote>,
    bucket: PhysicalBucket,
    object: Option<Object>,
}

/// The lease under which nobody else writes the key, and whether a change of the key at its home was sent under it.
struct Alone {
    mark: Mark,
    is_changing: AtomicBool,
}

impl Alone {
    /// Right before a change is sent: where the lease is gone, as Redis may have forgotten it, a client may have written since.
    async fn begin_change(&self, claim: &Claim) -> Result<(), ConvergeError> {
        let sequence = claim.queue.renew(&claim.job.key, &self.mark, claim.lease).await?;
        claim.note_own(self.mark.holder, sequence);
        self.is_changing.store(true, Ordering::Relaxed);
        Ok(())
    }
}

impl Converger {
    /// Settles all that is stranded of a key.
    pub(super) async fn repatriate(&self, route: &Route, key: &ObjectKey, claim: &Claim) -> Result<(), ConvergeError> {
        for row in self.metadata.stranded(&route.bucket, key).await? {
            self.settle_stranded(route, &row, claim).await?;
        }
        Ok(())
    }

    /// Compares and acts while no client's write of the key is in flight, as this writes to the home itself.
    async fn settle_stranded(&self, route: &Route, row: &Stranded, claim: &Claim) -> Result<(), ConvergeError> {
        // A promotion that has failed had listed it.
        if row.home == route.home && row.begun.is_none() {
            return Ok(self.metadata.drop_stranded(&row.id).await?);
        }
        // Asked first: while the former home is away, no client is to wait. Where one does since a worker died, what that has noted is to go.
        if !is_given_up(row) && !row.is_changing() {
            self.side(route, &row.home, &row.key).await?;
        }
        let (queue, key) = (&claim.queue, &claim.job.key);
        let mark = match queue.intent_alone(key, "", claim.lease).await {
            // A client's, or one of the attempt before this, whose lease runs out.
            Err(busy @ StoreError::Busy) => {
                return Err(ConvergeError::NotNow(busy.to_string(), NotNow::InFlight(claim.lease / 3)));
            }
            marked => marked?,
        };
        claim.note_own(mark.holder, mark.sequence);
        let alone = Alone { mark, is_changing: AtomicBool::new(false) };
        let mark = &alone.mark;
        let lost = async {
            loop {
                tokio::time::sleep(claim.lease / 3).await;
                match queue.renew(key, mark, claim.lease).await {
                    Ok(sequence) => claim.note_own(mark.holder, sequence),
                    Err(error) => return error,
                }
            }
        };
        let settled = tokio::select! {
            settled = self.compare_and_settle(route, &row.id, claim, &alone) => settled,
            error = lost => Err(error.into()),
        };
        // What was sent to the home may land yet after a failure, and after a success if the S3 client had to send it twice: then the lease
        // keeps clients away until it cannot, and runs out by itself.
        let may_land = settled.is_err() || !claim.standing.unanswered().is_empty();
        if may_land && alone.is_changing.load(Ordering::Relaxed) {
            if let Err(error) = queue.renew(key, mark, claim.lease).await {
                debug!(%error, "a lease at a home was not renewed");
            }
            return settled;
        }
        if settled.is_err()
            && !route.versioning.is_set()
            && let Err(error) = self.metadata.end_bringing(row, &mark.lease).await
        {
            debug!(%error, "a key that is not changed at its home takes no writes until it is looked at again");
        }
        let released = queue.release(key, mark).await;
        settled?;
        Ok(released?)
    }

    async fn compare_and_settle(
        &self,
        route: &Route,
        id: &str,
        claim: &Claim,
        alone: &Alone,
    ) -> Result<(), ConvergeError> {
        // As it is now: a write that has ended since the first look may have overwritten it.
        let stranded = self.metadata.stranded(&route.bucket, &claim.job.key.key).await?;
        let Some(row) = &stranded.into_iter().find(|row| row.id == id) else { return Ok(()) };
        let home = self.side(route, &route.home, &row.key).await?;
        let former = match is_given_up(row) {
            true => None,
            false => Some(self.side(route, &row.home, &row.key).await?),
        };
        let was_home = route.versioning.is_set() || self.metadata.was_home(row).await?;
        let held = former.as_ref().and_then(|former| former.object.as_ref());
        if was_home && held.is_some_and(|object| is_of_before(row, object.modified)) {
            self.metadata.note_witness(row).await?;
        }
        let waiting = Waiting { route, row, former: former.as_ref(), home: &home, claim, alone };
        match &former {
            _ if route.versioning.is_set() => {
                self.merge_versions(&waiting).await?;
                confirm(claim).await?;
                Ok(self.metadata.drop_stranded(&row.id).await?)
            }
            Some(former) => self.settle_object(&waiting, former, was_home).await,
            None => Ok(()),
        }
    }

    /// Settles a key of a bucket that keeps no versions. `was_home`: the row's home was the bucket's.
    async fn settle_object(&self, waiting: &Waiting<'_>, former: &Side, was_home: bool) -> Result<(), ConvergeError> {
        let Waiting { route, row, home, claim, .. } = waiting;
        let recorded = self.metadata.copies(&route.bucket, &row.key).await?;
        let recorded = recorded.iter().find(|copy| copy.backend == route.home);
        let verdict = match decide(row, was_home, recorded, former.object.as_ref(), home.object.as_ref()) {
            Verdict::HomeWins | Verdict::FormerWins if was_brought(row, former, home).await? => Verdict::Brought,
            verdict => verdict,
        };
        if verdict != Verdict::Settled {
            require_allowed(route, home)?;
        }
        info!(key = row.key.as_str(), former = %row.home, ?verdict, "stranded key compared");
        if !was_home && former.object.is_none() && self.metadata.pass_stranded(row).await? {
            return Err(ConvergeError::Changed);
        }
        let mut seen = Stranded::clone(row);
        let kept = match verdict {
            // Whoever has begun may have come this far.
            Verdict::Settled => row.begun.clone(),
            Verdict::HomeWins => self.set_aside(row, former, home, claim).await?,
            Verdict::FormerWins | Verdict::Brought => {
                let kept = match verdict {
                    Verdict::FormerWins if !is_suspect(recorded) => self.set_aside(row, home, home, claim).await?,
                    // It stands aside already, or its bytes are wrong and would verify nowhere.
                    _ => row.begun.clone(),
                };
                seen = self.begin_bringing(waiting).await?;
                self.bring_home(route, row, former, home, claim).await?;
                if is_suspect(recorded) {
                    self.metadata.trust_copy(&route.bucket, &row.key, &route.home).await?;
                }
                kept
            }
            Verdict::FormerDeleted => {
                require_whole(row, self.is_whole(row, former).await?)?;
                let kept = match is_suspect(recorded) {
                    true => row.begun.clone(),
                    false => self.set_aside(row, home, home, claim).await?,
                };
                confirm(claim).await?;
                seen = self.begin_bringing(waiting).await?;
                home.remote.delete(&home.bucket, row.key.as_str()).await?;
                kept
            }
        };
        confirm(claim).await?;
        match self.metadata.end_stranded(&seen, kept.as_ref()).await? {
            true => Ok(()),
            false => Err(ConvergeError::Changed),
        }
    }

    /// Right before the key is changed at its home: notes that in the row, which no proxy acknowledges a write over, and gives the row as it
    /// is then. Those that mark by Redis wait for the lease. One that is cut off from Redis alone marks in the database before it looks at the
    /// row: either its mark is seen here, or it sees the note.
    async fn begin_bringing(&self, waiting: &Waiting<'_>) -> Result<Stranded, ConvergeError> {
        let Waiting { row, home, claim, alone, .. } = waiting;
        let mark = &alone.mark;
        if !self.metadata.begin_bringing(row, &mark.lease).await? {
            return Err(ConvergeError::Changed);
        }
        if claim.queue.disturbance(&claim.job.key, mark).await?.company == Company::Writers {
            return Err(ConvergeError::NotNow(StoreError::Busy.to_string(), NotNow::InFlight(claim.lease / 3)));
        }
        // What was acknowledged before the note has overwritten the row; what was not is set aside all the same.
        let shown = |object: Option<&Object>| object.map(|object| (object.etag.clone(), object.size, object.modified));
        let now = home.remote.head(&home.bucket, &row.key).await?;
        if shown(now.as_ref()) != shown(home.object.as_ref()) {
            return Err(ConvergeError::Changed);
        }
        alone.begin_change(claim).await?;
        Ok(Stranded { merging: Some(Merging::Begun), lease: mark.lease.clone(), ..Stranded::clone(row) })
    }

    /// Whether a former home still has something of what it had: one that was emptied has deleted nothing. `None` where nothing is known that could
    /// be asked for.
    async fn is_whole(&self, row: &Stranded, former: &Side) -> Result<Option<bool>, ConvergeError> {
        let Side { remote, bucket, .. } = former;
        let witnesses = self.metadata.verified_beside(row, WITNESSES).await?;
        for key in &witnesses {
            if remote.head(bucket, key).await?.is_some() {
                return Ok(Some(true));
            }
        }
        if !witnesses.is_empty() {
            return Ok(Some(false));
        }
        // Where all keys are stranded, none but those is left to tell; and what came there since is a copy.
        let Some(key) = self.metadata.witness(row).await? else { return Ok(None) };
        let object = remote.head(bucket, &key).await?;
        if object.is_some_and(|object| is_of_before(row, object.modified)) {
            return Ok(Some(true));
        }
        if !remote.backend.capabilities.keeps_versions() {
            return Ok(Some(false));
        }
        Ok(Some(remote.versions(bucket, &key).await?.iter().any(|listed| is_of_before(row, listed.modified))))
    }

    async fn side(
        &self,
        route: &Route,
        id: &s3gateway_config::BackendId,
        key: &ObjectKey,
    ) -> Result<Side, ConvergeError> {
        let remote = self.known_backend(id).await?;
        let bucket = physical_on(route, id)?.clone();
        let (seen, _) = self.observe_home(route, &remote, &bucket, key).await?;
        let object = match seen {
            Home::Unknown(why) => return Err(ConvergeError::Unavailable(why)),
            Home::Absent => None,
            Home::Present(object) => Some(object),
        };
        Ok(Side { remote, bucket, object })
    }

    /// Copies what has lost into a bucket of its own on the home, where policy allows it to be.
    async fn set_aside(
        &self,
        row: &Stranded,
        loser: &Side,
        home: &Side,
        claim: &Claim,
    ) -> Result<Option<Kept>, ConvergeError> {
        let Some(object) = &loser.object else { return Ok(None) };
        let id = &home.remote.backend.id;
        let physical = names::propose_aside(&home.bucket);
        let target_key = ObjectKey::parse(&row.id).map_err(|error| ConvergeError::Impossible(error.to_string()))?;
        confirm(claim).await?;
        if home.remote.create_bucket(&physical).await? == Created::Strangers {
            return Err(ConvergeError::Refused(format!(
                "a stranger holds the name of the bucket for what stands aside on {id}"
            )));
        }
        let copying = Copying {
            source: &loser.remote,
            source_bucket: &loser.bucket,
            target: &home.remote,
            target_bucket: &physical,
            key: &row.key,
            target_key: &target_key,
            standing: &claim.standing,
            version: None,
            object,
            opened: None,
            uploaders: Uploaders::Workers(&[]),
            settings: &self.settings,
            metrics: &self.metrics,
        };
        let acknowledged = copying.copy(plan::decide_method(object, self.settings.multipart_threshold)).await?;
        if home.remote.backend.capabilities.tagging && !object.tags.is_empty() {
            home.remote.set_tags(&physical, &target_key, &object.tags).await?;
        }
        let is_kept = |aside: &Object| aside.size == object.size && acknowledged.verify(aside, object).is_some();
        let aside = home.remote.head(&physical, &target_key).await?.filter(is_kept);
        let aside = aside.ok_or_else(|| ConvergeError::Refused(format!("{id} does not have what was set aside")))?;
        let size = i64::try_from(aside.size).unwrap_or(i64::MAX);
        let kept = Kept { backend: id.clone(), physical, etag: aside.etag, size };
        self.metadata.begin_keeping(&row.id, &kept).await?;
        Ok(Some(kept))
    }

    /// Copies what stands at the former home to the home.
    async fn bring_home(
        &self,
        route: &Route,
        row: &Stranded,
        former: &Side,
        home: &Side,
        claim: &Claim,
    ) -> Result<(), ConvergeError> {
        let Some(object) = &former.object else { return Ok(()) };
        let scene = Scene {
            route,
            key: &row.key,
            home: former.remote.clone(),
            home_bucket: former.bucket.clone(),
            object: Some(object.clone()),
            opened: None,
            versions: HomeVersions::default(),
            retagged: Vec::new(),
            retagged_before: 0,
            claim,
        };
        let method = plan::decide_method(object, self.settings.multipart_threshold);
        let copy = self.copy(&scene, &home.remote, object, method).await?;
        if !home.remote.backend.capabilities.tagging && !object.tags.is_empty() {
            let tags: Vec<(String, String)> = object.tags.clone().into_iter().collect();
            self.metadata.put_tags(&route.bucket, &row.key, &copy.etag, &tags).await?;
        }
        Ok(())
    }
}

/// Passes a former home that was seen to be whole, before what it says is gone is deleted.
fn require_whole(row: &Stranded, is_whole: Option<bool>) -> Result<(), ConvergeError> {
    match is_whole {
        Some(true) => Ok(()),
        Some(false) | None => Err(ConvergeError::Unavailable(format!(
            "{} has neither this key nor others that it had when it was home; drop what is stranded there if it was emptied",
            row.home
        ))),
    }
}

/// Whether the former home has had something since before it was replaced, as far as its clock can tell.
fn is_of_before(row: &Stranded, modified: i64) -> bool {
    modified < row.stranded_at
}

/// Whether nothing more is to come from the former home.
fn is_given_up(row: &Stranded) -> bool {
    matches!(&row.merging, Some(Merging::Writing(writing)) if writing.is_given_up)
}

async fn confirm(claim: &Claim) -> Result<(), ConvergeError> {
    match claim.check().await? {
        None => Ok(()),
        Some(lost) => Err(lost.into()),
    }
}

/// Newer wins: a write that the gateway has taken at the new home, or that this one dates after the promotion; else what the
/// former home holds, which was the authority until then. A replica that is asked in its place was none: it wins by what it holds
/// unless the new home's copy is of later, and what it lacks says nothing. `recorded`: the new home's copy; one that is suspect has lost
/// unless it was written since.
fn decide(
    row: &Stranded,
    was_home: bool,
    recorded: Option<&ObjectCopy>,
    former: Option<&Object>,
    home: Option<&Object>,
) -> Verdict {
    let is_later = home.is_some_and(|object| object.modified + CLOCKS_APART > row.stranded_at);
    let is_written_since = row.state == StrandedState::Overwritten || is_later;
    let recorded = recorded.filter(|_| !is_written_since);
    let is_later_copy = !was_home && home.zip(former).is_some_and(|(home, former)| home.modified > former.modified);
    let home_is_newer = is_written_since || (is_later_copy && !is_suspect(recorded));
    match (former, home) {
        (None, None) => Verdict::Settled,
        (None, Some(_)) if home_is_newer || !was_home => Verdict::Settled,
        (None, Some(_)) => Verdict::FormerDeleted,
        (Some(former), Some(home)) if is_same(former, home, recorded) => Verdict::Settled,
        (Some(_), _) if home_is_newer => Verdict::HomeWins,
        (Some(_), _) => Verdict::FormerWins,
    }
}

fn is_suspect(recorded: Option<&ObjectCopy>) -> bool {
    recorded.is_some_and(|copy| copy.verified_how == SUSPECT)
}

/// Passes a home where the policy allows what is copied there: what comes, and what is set aside.
fn require_allowed(route: &Route, home: &Side) -> Result<(), ConvergeError> {
    let Backend { id, place, .. } = &home.remote.backend;
    let refused = |denied: Denied| {
        ConvergeError::Refused(format!("{} denies {id}, where what is stranded would be copied to", denied.rule))
    };
    residency::decide(&route.tenant_policy, &route.bucket_policy, place).map(drop).map_err(refused)
}

/// Whether what the home holds is what an attempt before this has brought there, whatever ETag and time it has: what has lost
/// to that must not be replaced where it stands aside. An acknowledged write since would have been told of.
async fn was_brought(row: &Stranded, former: &Side, home: &Side) -> Result<bool, ConvergeError> {
    match (&row.begun, &row.state, &former.object, &home.object) {
        (Some(_), StrandedState::Open, Some(one), Some(other)) if one.size == other.size => {
            let (one, other) = futures::try_join!(former.digest(&row.key, one), home.digest(&row.key, other))?;
            Ok(one == other)
        }
        _ => Ok(false),
    }
}

impl Side {
    /// The MD5 of an object's bytes, read for it.
    async fn digest(&self, key: &ObjectKey, object: &Object) -> Result<Digest16, ConvergeError> {
        let mut body = self.remote.read(&self.bucket, key, None, &object.etag, None).await?;
        let mut md5 = Md5::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| self.remote.unavailable("GetObject", "the stream broke"))?;
            if let Some(bytes) = frame.data_ref() {
                md5.update(bytes);
                self.remote.pace.pass(bytes.len()).await;
            }
        }
        Ok(md5.finalize().into())
    }
}

/// Bytes, headers and tags.
fn is_same(former: &Object, home: &Object, recorded: Option<&ObjectCopy>) -> bool {
    plan::is_same_content(former, home, recorded)
        && home.headers.equal_home(&former.headers)
        && former.tags == home.tags
}

#[cfg(test)]
mod tests {
    use super::*;
    use s3gateway_config::BackendId;
    use s3gateway_store::BucketId;

    const PROMOTED: i64 = 1_000_000;

    fn row(state: StrandedState) -> Stranded {
        Stranded {
            id: "1".to_owned(),
            bucket: BucketId::new("b"),
            key: ObjectKey::parse("k").unwrap(),
            home: BackendId::parse("fi-hel").unwrap(),
            epoch: 1,
            state,
            begun: None,
            stranded_at: PROMOTED,
            newest: None,
            merging: None,
            lease: String::new(),
        }
    }

    fn object(etag: &str, modified: i64) -> Object {
        Object { etag: etag.into(), size: 1, modified, ..Object::default() }
    }

    #[test]
    fn the_newer_side_wins() {
        let (open, overwritten) = (row(StrandedState::Open), row(StrandedState::Overwritten));
        let (before, after) = (PROMOTED - 60_000, PROMOTED + 1);
        let (old, same) = (object("old", before), object("old", before));
        let tagged = Object { tags: [("colour".to_owned(), "red".to_owned())].into(), ..old.clone() };
        let (copy, new) = (object("copy", before), object("new", after));
        for (row, former, home, want) in [
            (&open, None, None, Verdict::Settled),
            (&open, None, Some(&copy), Verdict::FormerDeleted),
            (&open, None, Some(&new), Verdict::Settled),
            (&overwritten, None, Some(&copy), Verdict::Settled),
            (&open, Some(&old), None, Verdict::FormerWins),
            (&overwritten, Some(&old), None, Verdict::HomeWins),
            (&open, Some(&old), Some(&same), Verdict::Settled),
            (&open, Some(&tagged), Some(&tagged), Verdict::Settled),
            (&open, Some(&tagged), Some(&same), Verdict::FormerWins),
            (&overwritten, Some(&tagged), Some(&same), Verdict::HomeWins),
            (&open, Some(&old), Some(&copy), Verdict::FormerWins),
            (&open, Some(&old), Some(&new), Verdict::HomeWins),
            (&overwritten, Some(&old), Some(&copy), Verdict::HomeWins),
        ] {
            assert_eq!(decide(row, true, None, former, home), want, "{row:?} {former:?} {home:?}");
        }
    }

    #[test]
    fn a_suspect_copy_has_lost_unless_it_was_written_since() {
        let (open, overwritten) = (row(StrandedState::Open), row(StrandedState::Overwritten));
        let at = |etag: &str, before: i64| object(etag, PROMOTED - before);
        let (former, copy, since) = (at("e", 90_000), at("e", 60_000), at("e", -1));
        let recorded = |how: &str| ObjectCopy {
            backend: BackendId::parse("de-fra").unwrap(),
            etag: "e".to_owned(),
            home_etag: "e".to_owned(),
            size: 1,
            verified_how: how.to_owned(),
            verified_at: 0,
        };
        for (row, was_home, how, home, want) in [
            (&open, true, "etag", &copy, Verdict::Settled),
            (&open, true, SUSPECT, &copy, Verdict::FormerWins),
            (&open, false, SUSPECT, &copy, Verdict::FormerWins),
            (&open, true, SUSPECT, &since, Verdict::Settled),
            (&overwritten, true, SUSPECT, &copy, Verdict::Settled),
        ] {
            let got = decide(row, was_home, Some(&recorded(how)), Some(&former), Some(home));
            assert_eq!(got, want, "{row:?} {was_home} {how} {home:?}");
        }
    }

    #[test]
    fn a_replica_that_is_asked_in_place_of_a_home_wins_by_what_it_holds_alone() {
        let (open, overwritten) = (row(StrandedState::Open), row(StrandedState::Overwritten));
        let at = |etag: &str, before: i64| object(etag, PROMOTED - before);
        let (older, newer, since) = (at("older", 90_000), at("newer", 60_000), at("since", -1));
        for (row, replica, home, want) in [
            (&open, None, None, Verdict::Settled),
            (&open, None, Some(&older), Verdict::Settled),
            (&open, Some(&older), None, Verdict::FormerWins),
            (&open, Some(&newer), Some(&older), Verdict::FormerWins),
            (&open, Some(&at("other", 60_000)), Some(&newer), Verdict::FormerWins),
            (&open, Some(&older), Some(&newer), Verdict::HomeWins),
            (&open, Some(&newer), Some(&since), Verdict::HomeWins),
            (&open, Some(&newer), Some(&newer), Verdict::Settled),
            (&overwritten, Some(&newer), Some(&older), Verdict::HomeWins),
        ] {
            assert_eq!(decide(row, false, None, replica, home), want, "{row:?} {replica:?} {home:?}");
        }
    }
}
