//! ListObjectVersions while the home is away: from what workers have recorded of a replica that is to hold every version,
//! once no key of the bucket is dirty and its last backfill has ended. A record says all that a listing shows, in the
//! words that clients know.
use super::{
    listing::ListParameters,
    listing_lent::group_of,
    versions::{Asked, VersionPage},
};
use crate::{admit::Routed, gateway::Gateway, refusal::Refusal, upstream::UpstreamError};
use s3gateway_config::BackendId;
use s3gateway_s3::{
    ObjectKey,
    xml::{ObjectEntry, VersionEntry},
};
use s3gateway_store::{KeyCopy, Route, VersionCopy, WalkKind, WalkState};
use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

/// Versions read at once.
const BATCH: u32 = 2000;
/// Walks of a bucket that are looked through for its last backfill; the last of each kind is always kept.
const LAST_WALKS: u32 = 100;
/// Rows of current objects looked at for one batch; a key has one for each backend that holds it.
const MOST_ROWS: usize = 20_000;

impl Gateway {
    /// A page from the records of the first replica that keeps versions and is to hold all of them. `loss`: why the home
    /// does not serve it.
    ///
    /// # Errors
    /// `loss` where there is no such replica, [`Refusal::NotProvenClean`] where the records may not be all.
    pub(super) async fn versions_on_record(
        &self,
        routed: &Routed,
        asked: &Asked,
        loss: UpstreamError,
    ) -> Result<VersionPage, Refusal> {
        let route = &routed.route;
        let others = usize::try_from(route.replica_count.saturating_sub(1)).unwrap_or(usize::MAX);
        // One that is being drained loses its versions, and their records with them.
        let mut replicas = self.replicas(route).filter(|replica| route.placement.contains(replica.id())).take(others);
        let replica = replicas.find(|replica| replica.capabilities().versioning);
        let page = match replica {
            None => Err(loss.into()),
            Some(_) if asked.objects.max_keys == 0 => Ok(VersionPage::default()),
            Some(replica) => self.read_records(route, replica.id(), asked).await,
        };
        self.metrics.observe_failover(page.is_ok());
        page
    }

    async fn read_records(&self, route: &Route, replica: &BackendId, asked: &Asked) -> Result<VersionPage, Refusal> {
        // Asked before and after: what is recorded while a worker converges a key is half of it.
        self.require_clean_bucket(route).await?;
        self.require_filled(route).await?;
        let mut filling = Filling::new(&asked.objects);
        let mut from = self.find_start(route, replica, asked).await?;
        let end = [asked.objects.prefix.as_bytes(), b"\xff"].concat();
        loop {
            let first = (from.key.as_slice(), from.before);
            let rows = self.metadata.version_copies_between(&route.bucket, replica, first, &end, BATCH).await?;
            let is_last = rows.len() < BATCH as usize;
            let last = match rows.last() {
                Some((key, copy)) if !is_last => Start { key: key.as_str().as_bytes().to_vec(), before: copy.position },
                _ => Start { key: end.clone(), before: 0 },
            };
            // What was gone when this was the home.
            let rows: Vec<_> = rows.into_iter().filter(|(_, copy)| !copy.is_gone()).collect();
            let current = self.metadata.copies_between(&route.bucket, &from.key, &last.key, MOST_ROWS).await?;
            if current.len() >= MOST_ROWS || !are_recorded(&current, &rows, &from) {
                return Err(Refusal::NotProvenClean);
            }
            match filling.take_all(rows, &from) {
                _ if filling.is_full => break,
                // What else the group holds is not looked at.
                Some(group) => from = Start::behind(&group),
                None if is_last => break,
                None => from = last,
            }
        }
        self.require_clean_bucket(route).await?;
        Ok(filling.page)
    }

    async fn require_clean_bucket(&self, route: &Route) -> Result<(), Refusal> {
        match self.queue.is_bucket_clean(&route.bucket).await {
            Ok(true) => Ok(()),
            _ => Err(Refusal::NotProvenClean),
        }
    }

    /// A key that only delete markers are left of is on record once it was converged as the bucket is now: nothing else tells
    /// of it, so the walk that has all keys converged must be at its end.
    async fn require_filled(&self, route: &Route) -> Result<(), Refusal> {
        let walks = self.metadata.walks_of(&route.bucket, LAST_WALKS).await?;
        let last = walks.iter().find(|walk| walk.kind == WalkKind::Backfill);
        match last.is_none_or(|walk| walk.state == WalkState::Done) {
            true => Ok(()),
            false => Err(Refusal::NotProvenClean),
        }
    }

    /// Where the page begins in the records.
    async fn find_start(&self, route: &Route, replica: &BackendId, asked: &Asked) -> Result<Start, Refusal> {
        let (objects, after) = (&asked.objects, asked.objects.after.as_deref());
        let Some(after) = after.filter(|after| *after >= objects.prefix.as_str()) else {
            return Ok(Start::with(objects.prefix.as_bytes()));
        };
        if let Some(group) = group_of(objects, after) {
            return Ok(Start::behind(group));
        }
        // No key holds a NUL, so nothing lies between a key and this.
        let behind = Start::with([after.as_bytes(), b"\0"].concat());
        let (Some(version), Ok(key)) = (&asked.version_id_marker, ObjectKey::parse(after)) else { return Ok(behind) };
        let copies = self.metadata.copies_of_version(&route.bucket, &key, version).await?;
        let copy = copies.into_iter().find(|copy| copy.backend == *replica).ok_or(Refusal::NotProvenClean)?;
        Ok(Start { key: after.as_bytes().to_vec(), before: copy.position })
    }
}

/// The first key, and of it only the versions before a position.
struct Start {
    key: Vec<u8>,
    before: i64,
}

impl Start {
    /// With all versions of the first key.
    fn with(key: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), before: i64::MAX }
    }

    /// Behind all keys of a group.
    fn behind(group: &str) -> Self {
        Self::with([group.as_bytes(), b"\xff"].concat())
    }

    /// The first key, where its newest versions are left out.
    fn begun(&self) -> Option<&[u8]> {
        (self.before != i64::MAX).then_some(self.key.as_slice())
    }
}

/// Whether each key that has a current object has versions on record in the rows; of the first key they may be over.
fn are_recorded(current: &[KeyCopy], rows: &[(ObjectKey, VersionCopy)], from: &Start) -> bool {
    let recorded: BTreeSet<&str> = rows.iter().map(|(key, _)| key.as_str()).collect();
    let mut current = current.iter().map(|copy| copy.key.as_str());
    current.all(|key| recorded.contains(key) || from.begun() == Some(key.as_bytes()))
}

/// A page being filled from records in order.
struct Filling<'a> {
    asked: &'a ListParameters,
    page: VersionPage,
    /// One more entry than the page takes has been seen.
    is_full: bool,
    /// Where the page would end now.
    last: Option<(String, Option<String>)>,
}

impl<'a> Filling<'a> {
    fn new(asked: &'a ListParameters) -> Self {
        Self { asked, page: VersionPage::default(), is_full: false, last: None }
    }

    /// Takes rows until the page is full, or one of them begins a group, which is then given back.
    fn take_all(&mut self, rows: Vec<(ObjectKey, VersionCopy)>, from: &Start) -> Option<String> {
        let most = usize::try_from(self.asked.max_keys).unwrap_or(usize::MAX);
        let mut begun = from.begun().map(<[u8]>::to_vec);
        for (key, copy) in rows {
            if self.page.entries.len() + self.page.common_prefixes.len() >= most {
                self.is_full = true;
                self.page.next = self.last.take();
                return None;
            }
            if let Some(group) = group_of(self.asked, key.as_str()).map(str::to_owned) {
                self.page.common_prefixes.push(group.clone());
                self.last = Some((group.clone(), None));
                return Some(group);
            }
            let is_latest = begun.as_deref() != Some(key.as_str().as_bytes());
            self.page.entries.push(entry(&key, &copy, is_latest));
            self.last = Some((key.as_str().to_owned(), Some(copy.home_version.to_string())));
            begun = Some(key.as_str().as_bytes().to_vec());
        }
        None
    }
}

fn entry(key: &ObjectKey, copy: &VersionCopy, is_latest: bool) -> VersionEntry {
    let modified = Duration::from_millis(u64::try_from(copy.home_modified).unwrap_or_default());
    VersionEntry {
        object: ObjectEntry {
            key: key.as_str().to_owned(),
            last_modified: SystemTime::UNIX_EPOCH + modified,
            etag: copy.home_etag.clone(),
            checksum_algorithms: Vec::new(),
            checksum_type: None,
            size: u64::try_from(copy.size).unwrap_or_default(),
            storage_class: String::new(),
        },
        version_id: copy.home_version.to_string(),
        is_latest,
        is_delete_marker: copy.is_marker,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::version_row;
    use super::*;

    fn row(key: &str, version: &str, position: i64) -> (ObjectKey, VersionCopy) {
        version_row(key, version, "other", position)
    }

    fn rows() -> Vec<(ObjectKey, VersionCopy)> {
        vec![row("a", "m3", 3), row("a", "2", 2), row("a", "1", 1), row("b/1", "4", 1), row("c", "5", 1)]
    }

    #[test]
    fn a_page_is_filled_in_order_and_says_where_the_next_begins() {
        for (delimiter, max_keys, skipped, entries, group, next) in [
            (None, 1000, 0, vec![("m3", true), ("2", false), ("1", false), ("4", true), ("5", true)], None, None),
            (None, 2, 0, vec![("m3", true), ("2", false)], None, Some(("a", Some("2")))),
            (None, 5, 0, vec![("m3", true), ("2", false), ("1", false), ("4", true), ("5", true)], None, None),
            (None, 2, 2, vec![("1", false), ("4", true)], None, Some(("b/1", Some("4")))),
            (Some("/"), 9, 2, vec![("1", false)], Some("b/"), None),
            (Some("/"), 1, 2, vec![("1", false)], None, Some(("a", Some("1")))),
        ] {
            let asked =
                ListParameters { delimiter: delimiter.map(str::to_owned), max_keys, ..ListParameters::default() };
            let mut filling = Filling::new(&asked);
            let from = if skipped == 0 { Start::with("") } else { Start { key: b"a".to_vec(), before: 2 } };
            let got = filling.take_all(rows().into_iter().skip(skipped).collect(), &from);
            assert_eq!(got.as_deref(), group, "{delimiter:?} {max_keys}");
            let page = filling.page;
            let seen: Vec<_> = page.entries.iter().map(|e| (e.version_id.as_str(), e.is_latest)).collect();
            assert_eq!(seen, entries);
            assert_eq!(page.next.as_ref().map(|(key, version)| (key.as_str(), version.as_deref())), next);
            assert!(page.entries.iter().all(|e| e.is_delete_marker == e.version_id.starts_with('m')));
        }
    }

    #[test]
    fn a_key_without_versions_on_record_is_no_proof() {
        let current = |key: &str| KeyCopy {
            key: ObjectKey::parse(key).expect(key),
            backend: BackendId::parse("fi-hel").expect("an id"),
            home_etag: "home".to_owned(),
            verified_at: 1,
        };
        for (keys, from, want) in [
            (&["a", "c"][..], Start::with(""), true),
            (&["a", "b"], Start::with(""), false),
            (&["a0"], Start { key: b"a0".to_vec(), before: 1 }, true),
            (&["a0"], Start::with("a0"), false),
        ] {
            let current: Vec<KeyCopy> = keys.iter().map(|key| current(key)).collect();
            assert_eq!(are_recorded(&current, &rows(), &from), want, "{keys:?}");
        }
    }
}
