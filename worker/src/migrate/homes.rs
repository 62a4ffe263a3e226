//! Both homes as they are looked at after the cut over: what the old one lists and was recorded to have then, and what the new one lists of
//! the same keys. Invariant: what a listing was not read up to is unknown, and never absent.
use super::Halt;
use crate::backend::Remote;
use crate::object::Object;
use crate::versions::Listed;
use crate::walk::{Held, Listing, Reach};
use s3gateway_s3::{ObjectKey, PhysicalBucket, VersionId};
use s3gateway_store::{Metadata, Migration, VersionCopy};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Keys listed at once, or versions.
pub(super) const PAGE: i32 = 1000;
/// Pages of the new home's listing read for one of the old home's. Clients may have written any number of keys in
/// between: what lies behind these pages is asked for alone.
const PAGES_AT_HOME: usize = 16;

/// What the old home still has as it was copied: an object, or, where versions were moved, a version or a delete marker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Copied {
    pub(super) key: ObjectKey,
    /// Which version it is.
    pub(super) version: Option<CopiedVersion>,
    is_marker: bool,
    /// Without quotes, as it was recorded: some list none.
    pub(super) etag: String,
    /// Bytes.
    pub(super) size: u64,
}

/// A version of the old home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CopiedVersion {
    /// As the old home calls it.
    pub(super) own: VersionId,
    /// As clients do.
    pub(super) shown: VersionId,
}

impl Copied {
    #[cfg(test)]
    pub(super) fn for_test(key: &str, version: Option<&str>) -> Self {
        let own = version.map(|id| VersionId::parse(id).unwrap());
        let version = own.map(|own| CopiedVersion { shown: own.clone(), own });
        Self { key: ObjectKey::parse(key).unwrap(), version, is_marker: false, etag: "e".to_owned(), size: 1 }
    }

    /// Whether there are bytes to be read.
    pub(super) fn is_object(&self) -> bool {
        !self.is_marker
    }

    /// Whether what is listed now is the same; some list no ETag, and size has to do.
    pub(super) fn is_as(&self, now: &Listed) -> bool {
        let has_etag = now.etag.is_empty() || now.etag == self.etag;
        now.is_marker == self.is_marker && has_etag && now.size == self.size
    }

    /// Whether an object is the same.
    pub(super) fn is_same(&self, now: &Object) -> bool {
        now.etag == self.etag && now.size == self.size
    }

    /// Whether it is what the old home lists.
    fn is_still(&self, now: &Listed) -> bool {
        self.version.as_ref().is_none_or(|version| version.own == now.id) && self.is_as(now)
    }
}

/// A key of the old home.
pub(super) struct OldKey {
    pub(super) key: String,
    pub(super) copied: Vec<Copied>,
    /// How much of it is not as it was copied, or never was: written past the gateway.
    pub(super) strays: u64,
}

/// Keys by so many that at least `most` of what was copied is in them; the last have what is left.
pub(super) fn some_at_a_time(keys: &[OldKey], most: usize) -> Vec<&[OldKey]> {
    let (mut chunks, mut rest) = (Vec::new(), keys);
    while !rest.is_empty() {
        let mut count = 0usize;
        let enough = rest.iter().position(|key| {
            count = count.saturating_add(key.copied.len());
            count >= most
        });
        let (some, behind) = rest.split_at(enough.map_or(rest.len(), |last| last + 1));
        chunks.push(some);
        rest = behind;
    }
    chunks
}

/// The old home's keys behind one.
pub(super) struct OldPage {
    pub(super) keys: Vec<OldKey>,
    pub(super) more: bool,
}

/// The old home.
pub(super) struct OldHome<'a> {
    metadata: &'a Metadata,
    migration: &'a Migration,
    listing: Listing,
}

impl<'a> OldHome<'a> {
    /// `page`: keys listed at once, where versions are not.
    pub(super) fn new(
        metadata: &'a Metadata,
        migration: &'a Migration,
        remote: Arc<Remote>,
        versions: bool,
        page: i32,
    ) -> Self {
        let bucket = migration.source_physical.clone();
        Self { metadata, migration, listing: Listing { remote, bucket, versions, may_lack: false, page } }
    }

    pub(super) fn remote(&self) -> &Remote {
        &self.listing.remote
    }

    pub(super) fn bucket(&self) -> &PhysicalBucket {
        &self.listing.bucket
    }

    /// What it has behind a key.
    pub(super) async fn page(&self, after: &str) -> Result<OldPage, Halt> {
        let page = self.listing.page(after).await?;
        let more = page.reach != Reach::End;
        let (Some((first, _)), Some((last, _))) = (page.entries.first(), page.entries.last()) else {
            return Ok(OldPage { keys: Vec::new(), more });
        };
        let mut left = match self.listing.versions {
            true => self.versions_left(first, last).await?,
            false => self.objects_left(first, last).await?,
        };
        let keys = page.entries.into_iter().map(|(key, held)| {
            let left = left.remove(&key).unwrap_or_default();
            let (copied, strays) = still_there(&left, held);
            OldKey { key, copied, strays }
        });
        Ok(OldPage { keys: keys.collect(), more })
    }

    /// The objects that it had at the cut over.
    async fn objects_left(&self, first: &str, last: &str) -> Result<BTreeMap<String, Vec<Copied>>, Halt> {
        let rows = self.metadata.copies_left(self.migration, first, last).await?;
        let copied = rows.into_iter().filter_map(|(name, (etag, size))| {
            let key = ObjectKey::parse(&name).ok()?;
            let size = u64::try_from(size).ok()?;
            Some((name, vec![Copied { key, version: None, is_marker: false, etag, size }]))
        });
        Ok(copied.collect())
    }

    /// The versions that it had at the cut over. Of its twin the records tell what that holds, and of the old home itself by what clients know:
    /// it had given all ids.
    async fn versions_left(&self, first: &str, last: &str) -> Result<BTreeMap<String, Vec<Copied>>, Halt> {
        let Migration { bucket, former, .. } = self.migration;
        let rows = self.metadata.version_copies_of_keys(bucket, former, first, last).await?;
        let is_twins = former.is_twin();
        let copied = |key: &ObjectKey, copy: VersionCopy| {
            let (own, etag) = match is_twins {
                true => (copy.home_version.clone(), copy.home_etag),
                false => (copy.version, copy.etag),
            };
            let version = Some(CopiedVersion { own, shown: copy.home_version });
            let size = u64::try_from(copy.size).ok()?;
            Some(Copied { key: key.clone(), version, is_marker: copy.is_marker, etag, size })
        };
        let keys = rows.into_iter().filter_map(|(name, copies)| {
            let key = ObjectKey::parse(&name).ok()?;
            let there = copies.into_iter().filter(|copy| !copy.is_gone());
            Some((name, there.filter_map(|copy| copied(&key, copy)).collect()))
        });
        Ok(keys.collect())
    }
}

/// What is listed of a key and was copied, and how much besides is listed.
fn still_there(left: &[Copied], held: Held) -> (Vec<Copied>, u64) {
    let Some(listed) = listed(held) else { return (Vec::new(), 1) };
    let by_own: HashMap<Option<&VersionId>, &Copied> =
        left.iter().map(|copied| (copied.version.as_ref().map(|version| &version.own), copied)).collect();
    let (mut copied, mut strays) = (Vec::new(), 0);
    for listed in &listed {
        let left = by_own.get(&Some(&listed.id)).or_else(|| by_own.get(&None));
        match left.filter(|left| left.is_still(listed)) {
            Some(left) => copied.push((*left).clone()),
            None => strays += 1,
        }
    }
    (copied, strays)
}

/// What a listing shows of a key, the oldest first; `None` where it is more than is followed.
fn listed(held: Held) -> Option<Vec<Listed>> {
    match held {
        Held::Object { etag, size, modified } => {
            Some(vec![Listed { id: VersionId::null(), is_marker: false, etag, size, modified }])
        }
        Held::Versions(all) => Some(all),
        Held::TooManyVersions => None,
    }
}

/// The new home.
pub(super) struct NewHome<'a> {
    metadata: &'a Metadata,
    migration: &'a Migration,
    listing: Listing,
}

/// What the new home is known to have of a page of the old one's keys.
#[derive(Debug, Default)]
pub(super) struct AtHome {
    listed: BTreeMap<String, Vec<Listed>>,
    /// The key up to which the listing was read, where that is not to the page's end.
    until: Option<String>,
    /// What is recorded of its versions.
    recorded: BTreeMap<String, Vec<VersionCopy>>,
}

/// What a listing says of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told<'l> {
    Listed(&'l [Listed]),
    NotListed,
    /// It was not read so far.
    Unknown,
}

impl<'a> NewHome<'a> {
    pub(super) fn new(
        metadata: &'a Metadata,
        migration: &'a Migration,
        remote: Arc<Remote>,
        bucket: PhysicalBucket,
        versions: bool,
    ) -> Self {
        Self { metadata, migration, listing: Listing { remote, bucket, versions, may_lack: false, page: PAGE } }
    }

    pub(super) fn remote(&self) -> &Remote {
        &self.listing.remote
    }

    pub(super) fn bucket(&self) -> &PhysicalBucket {
        &self.listing.bucket
    }

    /// What it has of these keys, which come behind `after`.
    pub(super) async fn look_for(&self, after: &str, wanted: &[OldKey]) -> Result<AtHome, Halt> {
        let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else { return Ok(AtHome::default()) };
        let mut at_home = AtHome::default();
        if self.listing.versions {
            at_home.recorded = self.recorded(&first.key, &last.key).await?;
        }
        let (keys, mut after): (HashSet<&str>, _) =
            (wanted.iter().map(|key| key.key.as_str()).collect(), after.to_owned());
        for _ in 0..PAGES_AT_HOME {
            let page = self.listing.page(&after).await?;
            let known = page.entries.into_iter().filter(|(key, _)| keys.contains(key.as_str()));
            at_home.listed.extend(known.filter_map(|(key, held)| Some((key, listed(held)?))));
            match page.reach {
                Reach::To(key) if key < last.key => after = key,
                Reach::To(_) | Reach::End => return Ok(at_home),
            }
        }
        at_home.until = Some(after);
        Ok(at_home)
    }

    /// What is recorded of its versions of the keys from `first` to `last`.
    pub(super) async fn recorded(&self, first: &str, last: &str) -> Result<BTreeMap<String, Vec<VersionCopy>>, Halt> {
        let (bucket, id) = (&self.migration.bucket, &self.listing.remote.backend.id);
        Ok(self.metadata.version_copies_of_keys(bucket, id, first, last).await?)
    }
}

impl AtHome {
    pub(super) fn tell(&self, key: &str) -> Told<'_> {
        match self.listed.get(key) {
            Some(listed) => Told::Listed(listed),
            None if self.until.as_deref().is_some_and(|until| key > until) => Told::Unknown,
            None => Told::NotListed,
        }
    }

    /// What is recorded of a version of the key.
    pub(super) fn recorded(&self, key: &str, shown: &VersionId) -> Option<&VersionCopy> {
        record_of(self.recorded.get(key).map_or(&[], Vec::as_slice), shown)
    }
}

/// What is recorded of the version that clients know by `shown`.
pub(super) fn record_of<'r>(recorded: &'r [VersionCopy], shown: &VersionId) -> Option<&'r VersionCopy> {
    recorded.iter().find(|copy| copy.home_version == *shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(id: &str, etag: &str) -> Listed {
        Listed { id: VersionId::parse(id).unwrap(), is_marker: false, etag: etag.to_owned(), size: 1, modified: 5 }
    }

    #[test]
    fn what_a_listing_was_not_read_up_to_is_not_gone() {
        let b = vec![listed("null", "")];
        let of = |until: Option<&str>| AtHome {
            listed: BTreeMap::from([("b".to_owned(), b.clone())]),
            until: until.map(str::to_owned),
            recorded: BTreeMap::new(),
        };
        let (whole, cut) = (of(None), of(Some("c")));
        for (at_home, key, want) in [
            (&whole, "a", Told::NotListed),
            (&whole, "b", Told::Listed(&b)),
            (&whole, "d", Told::NotListed),
            (&cut, "a", Told::NotListed),
            (&cut, "b", Told::Listed(&b)),
            (&cut, "c", Told::NotListed),
            (&cut, "d", Told::Unknown),
        ] {
            assert_eq!(at_home.tell(key), want, "{key}");
        }
    }

    #[test]
    fn a_few_at_a_time_are_whole_keys() {
        let key = |n: usize| OldKey { key: n.to_string(), copied: vec![Copied::for_test("k", None); n], strays: 0 };
        for (counts, few) in
            [(&[][..], &[][..]), (&[1, 1, 1, 1, 1], &[4, 1]), (&[0, 9, 1, 3, 2], &[2, 2, 1]), (&[1, 0], &[2])]
        {
            let keys: Vec<OldKey> = counts.iter().copied().map(key).collect();
            let lengths = |most| some_at_a_time(&keys, most).iter().map(|some| some.len()).collect::<Vec<_>>();
            assert_eq!(lengths(4), few, "{counts:?}");
            assert_eq!(lengths(usize::MAX).iter().sum::<usize>(), keys.len());
        }
    }

    #[test]
    fn only_what_is_as_it_was_copied_is_no_stray() {
        let object = |etag: &str, size| Held::Object { etag: etag.to_owned(), size, modified: 9 };
        for (held, strays) in [(object("e", 1), 0), (object("", 1), 0), (object("f", 1), 1), (object("e", 2), 1)] {
            let (copied, found) = still_there(&[Copied::for_test("k", None)], held.clone());
            assert_eq!((copied.len(), found), (1 - usize::try_from(strays).unwrap(), strays), "{held:?}");
        }
        let marker = Listed { is_marker: true, etag: String::new(), size: 0, ..listed("v1", "") };
        for (now, strays) in [
            (vec![listed("null", "e"), listed("v1", "e")], 0),
            (vec![listed("null", "e"), listed("v2", "e")], 1),
            (vec![listed("null", "f"), listed("v1", "e")], 1),
            (vec![marker], 1),
        ] {
            let left = [Copied::for_test("k", Some("null")), Copied::for_test("k", Some("v1"))];
            let (copied, found) = still_there(&left, Held::Versions(now.clone()));
            assert_eq!((copied.len() as u64 + found, found), (now.len() as u64, strays), "{now:?}");
        }
        assert_eq!(still_there(&[Copied::for_test("k", Some("v1"))], Held::TooManyVersions), (Vec::new(), 1));
        assert_eq!(still_there(&[], Held::Versions(vec![listed("v1", "e")])), (Vec::new(), 1));
    }
}
