//! What is wrong with a key, by what listings and metadata say of it. Pure; the tables below are the specification.
use crate::plan::{PENDING, SUSPECT, Wanted};
use crate::version_plan::{lists_too_little, plan_versions};
use crate::versions::{Listed, MovedVersions};
use s3gateway_config::BackendId;
use s3gateway_store::{FindingKind, ObjectCopy, VersionCopy};

/// What a listing says of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// The current object; when it was written, in milliseconds since the Unix epoch, or 0.
    Object { etag: String, size: u64, modified: i64 },
    /// Versions and delete markers, the oldest first; never none.
    Versions(Vec<Listed>),
    /// More versions than replicas follow.
    TooManyVersions,
}

impl Held {
    /// ETag and size of the current object; `None` where a delete marker hides what there was.
    pub(super) fn current(&self) -> Option<(&str, u64)> {
        match self {
            Self::Object { etag, size, .. } => Some((etag, *size)),
            Self::Versions(all) => {
                all.last().filter(|last| !last.is_marker).map(|last| (last.etag.as_str(), last.size))
            }
            Self::TooManyVersions => None,
        }
    }

    /// Whether the current object was written after its copy, as far as the backends' clocks can tell. Lists of versions need
    /// no clock: what was put again is another version, or goes by its time as `null` does.
    fn is_later_than(&self, copy: &Self) -> bool {
        let are_lists = matches!((self, copy), (Self::Versions(_), Self::Versions(_)));
        match (self.modified(), copy.modified()) {
            (Some(modified), Some(copied)) => !are_lists && copied > 0 && modified > copied,
            _ => false,
        }
    }

    /// When the current object was written.
    fn modified(&self) -> Option<i64> {
        match self {
            Self::Object { modified, .. } => Some(*modified),
            Self::Versions(all) => all.last().filter(|last| !last.is_marker).map(|last| last.modified),
            Self::TooManyVersions => None,
        }
    }
}

/// What metadata says of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Recorded {
    pub(super) copies: Vec<ObjectCopy>,
    /// On replicas that keep versions, and on a home some of whose versions have moved there.
    pub(super) versions: Vec<VersionCopy>,
}

impl Recorded {
    pub(super) fn copy_on(&self, backend: &BackendId) -> Option<&ObjectCopy> {
        self.copies.iter().find(|copy| copy.backend == *backend)
    }

    fn versions_on(&self, backend: &BackendId) -> Vec<VersionCopy> {
        self.versions.iter().filter(|copy| copy.backend == *backend).cloned().collect()
    }

    /// What is recorded of the home's own versions.
    pub(super) fn moved_versions(&self, home: &BackendId) -> MovedVersions {
        MovedVersions::of(self.versions.iter().filter(|copy| copy.backend == *home))
    }

    fn knows(&self, backend: &BackendId) -> bool {
        self.copy_on(backend).is_some() || self.versions.iter().any(|copy| copy.backend == *backend)
    }
}

/// A backend of the placement other than the home.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) id: BackendId,
    pub(super) wanted: Wanted,
    /// Whether versions are compared there, rather than current objects.
    pub(super) versions: bool,
}

/// What was found of one key.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// What, where, and more of it.
    pub(super) findings: Vec<(FindingKind, BackendId, &'static str)>,
    /// Whether the key is to be converged.
    pub(super) marks: bool,
    /// Whether converging it deletes copies of what the home has no more: of the key, or of versions of it.
    pub(super) is_delete: bool,
    /// Places, by number, whose copy is right as far as a listing can tell.
    pub(super) equal: Vec<usize>,
    /// Those of them whose copy is older than the home's object, so that other headers or tags may have come with the same bytes.
    pub(super) older: Vec<usize>,
}

impl Verdict {
    fn find(&mut self, kind: FindingKind, place: &BackendId, detail: &'static str) {
        self.findings.push((kind, place.clone(), detail));
        self.marks |= kind != FindingKind::Foreign;
    }
}

/// Judges one key. `held` has one entry for each of `places`; `holds_key` says whether a place can hold it at all.
pub(super) fn compare(
    home_id: &BackendId,
    home: Option<&Held>,
    places: &[Place],
    held: &[Option<Held>],
    recorded: &Recorded,
    holds_key: impl Fn(&BackendId) -> bool,
) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(home) = home else {
        judge_gone(&mut verdict, home_id, places, held, recorded);
        return verdict;
    };
    if *home == Held::TooManyVersions {
        // Its job is given up, so that nobody takes the key for clean.
        verdict.marks = true;
        return verdict;
    }
    if let Some((etag, size)) = home.current() {
        match recorded.copy_on(home_id) {
            Some(copy) if is_listed(etag, &copy.etag) && is_size(copy, size) => {}
            Some(_) => verdict.find(FindingKind::Adopted, home_id, "it is another than the one that is known"),
            None => verdict.find(FindingKind::Adopted, home_id, "it was not known"),
        }
    }
    for (number, (place, held)) in places.iter().zip(held).enumerate() {
        let id = &place.id;
        match (place.wanted, held) {
            (Wanted::Yes, None) if !place.versions && home.current().is_none() => {}
            (Wanted::Yes, None) if holds_key(id) => verdict.find(FindingKind::Missing, id, ""),
            // Converging has refused it for good.
            (Wanted::Yes | Wanted::Denied, None) => {}
            // Its object has asked for more copies than its bucket does.
            (Wanted::Surplus, None) if recorded.knows(id) && (place.versions || home.current().is_some()) => {
                verdict.find(FindingKind::Missing, id, "");
            }
            (Wanted::Surplus, None) => {}
            (Wanted::Yes, Some(held)) => match judge_copy(home, held, id, recorded) {
                None => {
                    verdict.equal.push(number);
                    verdict.older.extend(home.is_later_than(held).then_some(number));
                }
                Some((kind, detail)) => verdict.find(kind, id, detail),
            },
            (Wanted::Denied, Some(_)) => verdict.find(FindingKind::Misplaced, id, ""),
            (Wanted::Surplus, Some(held)) if recorded.knows(id) => {
                verdict.find(FindingKind::Extra, id, "");
                // It may stay, where its object asks for it.
                verdict.equal.extend(judge_copy(home, held, id, recorded).is_none().then_some(number));
            }
            (Wanted::Surplus, Some(_)) => verdict.find(FindingKind::Foreign, id, "no copy is known there"),
        }
    }
    verdict.is_delete = verdict.marks && loses_versions(home, places, held, recorded);
    verdict
}

/// What a backfill does with a key: it has it converged, and looks at the home alone. So all counts as held that is recorded
/// where the bucket `is_kept`.
pub(super) fn mark_known(home: Option<&Held>, recorded: &Recorded, is_kept: impl Fn(&BackendId) -> bool) -> Verdict {
    let is_delete = match home {
        Some(Held::Versions(home)) => {
            let kept: Vec<VersionCopy> = recorded.versions.iter().filter(|c| is_kept(&c.backend)).cloned().collect();
            lists_too_little(home, &kept)
        }
        Some(Held::Object { .. } | Held::TooManyVersions) => false,
        None => true,
    };
    Verdict { marks: true, is_delete, ..Verdict::default() }
}

/// Whether converging deletes, at any place, a recorded copy of a version that the home has no more.
fn loses_versions(home: &Held, places: &[Place], held: &[Option<Held>], recorded: &Recorded) -> bool {
    let Held::Versions(home) = home else { return false };
    let is_lost_at = |(place, held): (&Place, &Option<Held>)| match held {
        Some(Held::Versions(held)) => {
            let stays = if place.wanted == Wanted::Yes { home.as_slice() } else { &[] };
            !plan_versions(stays, held, &recorded.versions_on(&place.id)).lost(home).is_empty()
        }
        // A place that keeps no versions has a copy as long as the home has a current object.
        Some(Held::Object { .. }) if home.last().is_some_and(|last| last.is_marker) => {
            let is_listed = |copy: &ObjectCopy| {
                home.iter().any(|listed| !listed.is_marker && is_listed(&listed.etag, &copy.home_etag))
            };
            recorded.copy_on(&place.id).is_some_and(|copy| !is_listed(copy))
        }
        Some(Held::Object { .. } | Held::TooManyVersions) | None => false,
    };
    places.iter().zip(held).any(is_lost_at)
}

/// The home has it no more. Where any place holds what nobody knows of there, converging the key would delete that.
fn judge_gone(verdict: &mut Verdict, home: &BackendId, places: &[Place], held: &[Option<Held>], recorded: &Recorded) {
    let holders = places.iter().zip(held).filter(|(_, held)| held.is_some()).map(|(place, _)| &place.id);
    for id in holders.filter(|id| !recorded.knows(id)) {
        verdict.find(FindingKind::Foreign, id, "the home does not have it, and no copy is known there");
    }
    let is_known = !recorded.copies.is_empty() || !recorded.versions.is_empty();
    if verdict.findings.is_empty() && is_known {
        verdict.find(FindingKind::Deleted, home, "");
        verdict.is_delete = true;
    }
}

/// What is wrong with the copy at one place that should have one.
fn judge_copy(home: &Held, held: &Held, id: &BackendId, recorded: &Recorded) -> Option<(FindingKind, &'static str)> {
    if let (Held::Versions(home), Held::Versions(held)) = (home, held) {
        let known = recorded.versions_on(id);
        let plan = plan_versions(home, held, &known);
        let detail = match plan.lost(home).is_empty() {
            true => "its versions are not the home's",
            false => "it holds versions that the home has no more",
        };
        return (!plan.is_settled()).then_some((FindingKind::Different, detail));
    }
    let (Some((etag, size)), Some((copy_etag, copy_size))) = (home.current(), held.current()) else {
        let differ = home.current().is_some() || held.current().is_some();
        return differ.then_some((FindingKind::Different, "one of the two is a delete marker"));
    };
    let Some(copy) = recorded.copy_on(id) else { return Some((FindingKind::Adopted, "the copy was not known")) };
    if copy.verified_how == SUSPECT {
        return Some((FindingKind::Different, "it was found corrupt before"));
    }
    if size != copy_size {
        return Some((FindingKind::Different, "its size is not the home's"));
    }
    let verified = copy.verified_how != PENDING && is_listed(etag, &copy.home_etag) && is_listed(copy_etag, &copy.etag);
    let is_same = (!etag.is_empty() && etag == copy_etag) || verified;
    (!is_same).then_some((FindingKind::Different, "its ETag is not the one that was verified"))
}

/// Whether what a listing says is the ETag that was verified; some list none, and size has to do.
fn is_listed(listed: &str, verified: &str) -> bool {
    listed.is_empty() || listed == verified
}

fn is_size(copy: &ObjectCopy, size: u64) -> bool {
    u64::try_from(copy.size).is_ok_and(|known| known == size)
}

#[cfg(test)]
mod tests;
