//! Compares what two backends hold of a bucket, as clients would see it: keys, sizes and ETags, where the bucket keeps versions of each of
//! them, and whether it is known which version of the one each of the other's is.
use super::Halt;
use super::patience::Patience;
use crate::backend::Remote;
use crate::object::unquote;
use crate::version_plan::plan_versions;
use crate::versions::{Listed, MOST_VERSIONS, MovedVersions};
use s3gateway_config::BackendId;
use s3gateway_s3::{ObjectKey, PhysicalBucket, VersionId};
use s3gateway_store::{Route, VersionCopy};
use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};

/// Differences at which a comparison ends: they are dealt with first.
const MOST: usize = 1000;
/// Keys of one page.
const PAGE: i32 = 1000;

/// What is held of one key: its versions, the oldest first; where none are kept the one object there is.
struct Entry {
    key: String,
    versions: Vec<Listed>,
}

/// A listing, a page at a time.
struct Listing<'a> {
    patience: Patience<'a>,
    remote: &'a Remote,
    bucket: &'a PhysicalBucket,
    keeps_versions: bool,
    page: VecDeque<Entry>,
    /// Where the next page begins: behind this key, and there behind this version.
    after: (String, String),
    is_over: bool,
}

/// What is recorded of the versions on one backend, for the keys that a comparison has come to.
struct Recorded<'a> {
    patience: Patience<'a>,
    route: &'a Route,
    backend: &'a BackendId,
    keys: BTreeMap<String, Vec<VersionCopy>>,
    /// All up to this key have been read.
    up_to: String,
}

/// What a comparison has found.
pub(super) struct Compared {
    /// Keys that the two do not hold alike, in byte order.
    pub(super) differing: Vec<ObjectKey>,
    /// Whether it came to the end of both, rather than to the most that are dealt with at once.
    pub(super) is_whole: bool,
}

/// Compares the two key by key.
pub(super) async fn compare(
    patience: Patience<'_>,
    route: &Route,
    home: &Remote,
    other: &Remote,
) -> Result<Compared, Halt> {
    let (at_home, at_other) = (physical(route, home)?, physical(route, other)?);
    let keeps = route.versioning.is_set();
    let (mut left, mut right) =
        (Listing::of(patience, home, at_home, keeps), Listing::of(patience, other, at_other, keeps));
    let mut recorded = [home, other].map(|remote| Recorded::of(patience, route, &remote.backend.id));
    let (mut mine, mut theirs) = (left.next().await?, right.next().await?);
    let mut differing = Vec::new();
    while differing.len() < MOST {
        let order = match (&mine, &theirs) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(mine), Some(theirs)) => mine.key.as_bytes().cmp(theirs.key.as_bytes()),
        };
        let is_alike = match (&mine, &theirs) {
            (Some(mine), Some(theirs)) if order == Ordering::Equal && keeps => {
                let last = left.last_of_page().max(mine.key.as_str()).to_owned();
                let [moved, copies] = recorded_of(route, &mut recorded, &mine.key, &last).await?;
                are_versions_alike(mine.versions.clone(), &theirs.versions, &moved, &copies)
            }
            (Some(mine), Some(theirs)) if order == Ordering::Equal => mine.versions == theirs.versions,
            _ => false,
        };
        if !is_alike {
            let key = if order == Ordering::Greater { &theirs } else { &mine };
            differing.extend(key.as_ref().and_then(|entry| ObjectKey::parse(&entry.key).ok()));
        }
        if order != Ordering::Greater {
            mine = left.next().await?;
        }
        if order != Ordering::Less {
            theirs = right.next().await?;
        }
    }
    Ok(Compared { is_whole: differing.len() < MOST, differing })
}

/// How one key stands at the home and at the target.
pub(super) enum Held {
    /// The same at both, or nothing.
    Alike,
    /// Something else, or at the home alone.
    Otherwise,
    /// At the target alone.
    AtTargetAlone,
}

/// How the two hold one key.
pub(super) async fn held_at(
    patience: Patience<'_>,
    route: &Route,
    home: &Remote,
    target: &Remote,
    key: &ObjectKey,
) -> Result<Held, Halt> {
    let (mine, theirs) = (held(patience, route, home, key).await?, held(patience, route, target, key).await?);
    let is_alike = match route.versioning.is_set() {
        true => {
            let mut recorded = [home, target].map(|remote| Recorded::of(patience, route, &remote.backend.id));
            let [moved, copies] = recorded_of(route, &mut recorded, key.as_str(), key.as_str()).await?;
            are_versions_alike(mine.clone(), &theirs, &moved, &copies)
        }
        false => mine == theirs,
    };
    Ok(match is_alike {
        true => Held::Alike,
        false if mine.is_empty() => Held::AtTargetAlone,
        false => Held::Otherwise,
    })
}

/// What one backend holds of a key.
async fn held(patience: Patience<'_>, route: &Route, remote: &Remote, key: &ObjectKey) -> Result<Vec<Listed>, Halt> {
    let bucket = physical(route, remote)?;
    if route.versioning.is_set() {
        return patience.ask(|| remote.versions(bucket, key)).await;
    }
    let object = patience.ask(|| remote.head(bucket, key)).await?;
    Ok(object.map(|object| only(object.etag, object.size)).into_iter().collect())
}

/// The one object of a key whose versions are not kept.
fn only(etag: String, size: u64) -> Listed {
    Listed { id: VersionId::null(), is_marker: false, etag, size, modified: 0 }
}

/// Whether the target holds each version of the home, and no other, in their order and under the same ETag, and it is on record which is which:
/// clients will ask for them by the ids that they know. `moved`: what is recorded of the home's own; `copies`: of the target's.
fn are_versions_alike(mut home: Vec<Listed>, target: &[Listed], moved: &[VersionCopy], copies: &[VersionCopy]) -> bool {
    MovedVersions::of(moved).show(&mut home);
    let plan = plan_versions(&home, target, copies);
    plan.is_settled() && plan.kept.iter().all(|kept| kept.home.etag == kept.held.etag)
}

/// What is recorded of a key's versions on the home, where any have moved there, and on the target. `last`: the last key that will be asked
/// for soon.
async fn recorded_of(
    route: &Route,
    [home, target]: &mut [Recorded<'_>; 2],
    key: &str,
    last: &str,
) -> Result<[Vec<VersionCopy>; 2], Halt> {
    let moved = if route.has_moved_versions { home.take(key, last).await? } else { Vec::new() };
    Ok([moved, target.take(key, last).await?])
}

fn physical<'r>(route: &'r Route, remote: &Remote) -> Result<&'r PhysicalBucket, Halt> {
    let id = &remote.backend.id;
    route.physical_on(id).ok_or_else(|| Halt::Refused(format!("the bucket has no name on {id}")))
}

impl<'a> Listing<'a> {
    fn of(patience: Patience<'a>, remote: &'a Remote, bucket: &'a PhysicalBucket, keeps_versions: bool) -> Self {
        let (page, after) = (VecDeque::new(), (String::new(), String::new()));
        Self { patience, remote, bucket, keeps_versions, page, after, is_over: false }
    }

    async fn next(&mut self) -> Result<Option<Entry>, Halt> {
        // The last of a page may have more versions on the next one.
        while self.page.len() <= usize::from(self.keeps_versions) && !self.is_over {
            match self.keeps_versions {
                true => self.read_versions().await?,
                false => self.read_objects().await?,
            }
        }
        let mut next = self.page.pop_front();
        if let Some(entry) = next.as_mut().filter(|_| self.keeps_versions) {
            entry.versions.reverse();
        }
        Ok(next)
    }

    /// The last key that has been read.
    fn last_of_page(&self) -> &str {
        &self.after.0
    }

    async fn read_objects(&mut self) -> Result<(), Halt> {
        let (remote, bucket, after) = (self.remote, self.bucket, self.after.0.as_str());
        let page = || async move {
            let (objects, more) = remote.page_of_objects(bucket, after, PAGE).await?;
            if more && objects.is_empty() { Err(remote.unreadable("ListObjectsV2")) } else { Ok((objects, more)) }
        };
        let (objects, more) = self.patience.ask(page).await?;
        if let Some(last) = objects.last() {
            self.after.0.clone_from(&last.key);
        }
        self.page.extend(objects.into_iter().map(|object| Entry {
            versions: vec![only(unquote(&object.etag).to_owned(), object.size)],
            key: object.key,
        }));
        self.is_over = !more;
        Ok(())
    }

    async fn read_versions(&mut self) -> Result<(), Halt> {
        let (remote, bucket, after) = (self.remote, self.bucket, &self.after);
        let begin = || Some(after.clone()).filter(|(key, _)| !key.is_empty());
        let page = || async move {
            let (entries, next) = remote.page_of_versions(bucket, "", begin()).await?;
            let listed = entries.into_iter().map(|entry| {
                let key = entry.object.key.clone();
                Listed::parse(entry).map(|listed| (key, listed)).ok_or_else(|| remote.unreadable("ListObjectVersions"))
            });
            Ok((listed.collect::<Result<Vec<_>, _>>()?, next))
        };
        let (entries, next) = self.patience.ask(page).await?;
        for (key, listed) in entries {
            match self.page.back_mut() {
                Some(last) if last.key == key && last.versions.len() >= MOST_VERSIONS => {
                    return Err(Halt::Refused(format!("{key} has more versions than replicas follow")));
                }
                Some(last) if last.key == key => last.versions.push(listed),
                _ => self.page.push_back(Entry { key, versions: vec![listed] }),
            }
        }
        self.is_over = next.is_none();
        if let Some(next) = next {
            self.after = next;
        } else if let Some(last) = self.page.back() {
            self.after.0.clone_from(&last.key);
        }
        Ok(())
    }
}

impl<'a> Recorded<'a> {
    fn of(patience: Patience<'a>, route: &'a Route, backend: &'a BackendId) -> Self {
        Self { patience, route, backend, keys: BTreeMap::new(), up_to: String::new() }
    }

    /// What is recorded of a key, which comes behind those that were asked for before; all up to `last` are read with it.
    async fn take(&mut self, key: &str, last: &str) -> Result<Vec<VersionCopy>, Halt> {
        if self.up_to.as_str() < key {
            let (metadata, bucket) = (self.patience.metadata(), &self.route.bucket);
            self.keys = metadata.version_copies_of_keys(bucket, self.backend, key, last).await?;
            self.up_to = last.to_owned();
        }
        let mut copies = self.keys.remove(key).unwrap_or_default();
        copies.retain(|copy| !copy.is_gone());
        Ok(copies)
    }
}
