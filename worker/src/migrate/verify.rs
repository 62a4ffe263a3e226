//! After the cut over: whether the new home has all that the old one had, unless a client has changed it there since.
//! Invariant: a difference is laid to a client only where metadata or the queue show that the gateway took its write.
use super::{Halt, Migrator, SOON};
use crate::backend::Remote;
use crate::object::Object;
use crate::walk::{Depth, Stored, compare_bytes};
use futures::{StreamExt, TryStreamExt, stream};
use s3gateway_s3::etag::unquoted;
use s3gateway_s3::xml::ObjectEntry;
use s3gateway_s3::{ObjectKey, PhysicalBucket};
use s3gateway_store::{DirtyKey, Migration, OldLook, PromotionState, Route};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// Objects listed at once.
const PAGE: i32 = 1000;
/// The same where they are read.
const DEEP_PAGE: i32 = 20;
/// Objects looked at alone, or read, at the same time; where they are read, so many between two notes.
const ASKED_AT_ONCE: usize = 4;
/// Pages of the new home's listing read for one of the old home's. Clients may have written any number of keys in
/// between: what lies behind these pages is asked for alone.
const PAGES_AT_HOME: usize = 16;
/// Looks at a key whose two objects differ, and the pause between two: a client's write of it may be on its way.
const LOOKS: u32 = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// Before the whole look is begun anew, after differences.
const AGAIN: Duration = Duration::from_secs(30);

/// Both homes.
pub(super) struct Scene<'a> {
    migration: &'a Migration,
    old: Arc<Remote>,
    home: Arc<Remote>,
    home_bucket: &'a PhysicalBucket,
}

/// What the old home had of a key at the cut over: ETag and size.
pub(super) type Left = (String, i64);

/// A page of the old home's objects, and what is known of them.
struct Listed {
    objects: Vec<ObjectEntry>,
    more: bool,
    left: BTreeMap<String, Left>,
    at_home: AtHome,
}

/// What the new home lists of a page of the old one's keys.
#[derive(Debug, Default)]
struct AtHome {
    listed: BTreeMap<String, ObjectEntry>,
    /// The key up to which the listing was read, where that is not to the page's end.
    until: Option<String>,
}

/// What a listing says of a key.
#[derive(Debug, PartialEq, Eq)]
enum Told<'l> {
    Listed(&'l ObjectEntry),
    NotListed,
    /// It was not read so far.
    Unknown,
}

impl AtHome {
    fn tell(&self, key: &str) -> Told<'_> {
        match self.listed.get(key) {
            Some(object) => Told::Listed(object),
            None if self.until.as_deref().is_some_and(|until| key > until) => Told::Unknown,
            None => Told::NotListed,
        }
    }
}

/// What was seen of one object of the old home.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// The new home has it, or a client has changed it there since.
    Well,
    /// It is not as it was copied, or never was.
    Stray(String),
    /// The new home has lost it.
    Differing(String),
}

impl Migrator {
    /// Goes on with the look through the old home, and decides at its end. Cancel: what was noted stands.
    pub(super) async fn verify(
        &self,
        migration: &mut Migration,
        route: &Route,
        until: Instant,
    ) -> Result<Duration, Halt> {
        let promotion = self.metadata.promotion(migration.promotion.as_deref().unwrap_or_default()).await?;
        if promotion.state != PromotionState::Done {
            return Ok(SOON);
        }
        let home_bucket = route
            .physical_on(&route.home)
            .ok_or_else(|| Halt::Waits("the bucket has no name at its home".to_owned()))?;
        let (old, home) = (self.known(&migration.former).await?, self.known(&route.home).await?);
        let seen = migration.clone();
        let scene = Scene { migration: &seen, old, home, home_bucket };
        let mut look = migration.look.clone();
        loop {
            let page = self.keep_turn(migration, self.list(&scene, &look.after)).await??;
            // Reading takes what it takes: each few objects are noted, so that no byte is read for nothing.
            let some = if migration.is_deep { ASKED_AT_ONCE } else { page.objects.len().max(1) };
            for objects in page.objects.chunks(some) {
                for seen in self.keep_turn(migration, self.look_at(&scene, &page, objects)).await?? {
                    note(&mut look, seen);
                }
                if let Some(last) = objects.last() {
                    look.after.clone_from(&last.key);
                }
                if !self.metadata.note_old_look(migration, &look).await? {
                    return Ok(SOON);
                }
                if Instant::now() >= until {
                    return Ok(Duration::ZERO);
                }
            }
            if !page.more {
                return self.judge(migration, &look).await;
            }
        }
    }

    async fn judge(&self, migration: &Migration, look: &OldLook) -> Result<Duration, Halt> {
        if look.differing > 0 {
            let why = format!(
                "{} objects of the old home are not at the new one as they were, such as {}; it is looked at again",
                look.differing, look.example
            );
            warn!(migration = migration.id, "{why}");
            self.metadata.note_old_look(migration, &OldLook::default()).await?;
            self.metadata.note_migration(migration, &why).await?;
            return Ok(AGAIN);
        }
        let verified = Migration { look: look.clone(), ..migration.clone() };
        if migration.drop_old {
            self.metadata.drop_old_home(&verified).await?;
        } else {
            let strays = match look.strays {
                0 => String::new(),
                n => format!("; {n} objects in the old home were not copied, such as {}", look.stray),
            };
            self.metadata.end_migration(&verified, &format!("verified, and the old home kept{strays}")).await?;
        }
        info!(migration = migration.id, objects = look.objects, strays = look.strays, "the new home was verified");
        Ok(SOON)
    }

    /// The objects of the old home that come after `after`.
    async fn list(&self, scene: &Scene<'_>, after: &str) -> Result<Listed, Halt> {
        let most = if scene.migration.is_deep { DEEP_PAGE } else { PAGE };
        let (objects, more) = scene.old.page_of_objects(&scene.migration.source_physical, after, most).await?;
        let (Some(first), Some(last)) = (objects.first(), objects.last()) else {
            if more {
                return Err(scene.old.unreadable("ListObjectsV2").into());
            }
            return Ok(Listed { objects, more, left: BTreeMap::new(), at_home: AtHome::default() });
        };
        let left = self.metadata.copies_left(scene.migration, &first.key, &last.key).await?;
        let at_home = scene.list_at_home(after, &objects).await?;
        Ok(Listed { objects, more, left, at_home })
    }

    /// Looks at some of a page's objects.
    async fn look_at(&self, scene: &Scene<'_>, page: &Listed, objects: &[ObjectEntry]) -> Result<Vec<Seen>, Halt> {
        let asked: Vec<_> = objects
            .iter()
            .map(|object| self.look_at_one(scene, object, page.left.get(&object.key), page.at_home.tell(&object.key)))
            .collect();
        stream::iter(asked).buffered(ASKED_AT_ONCE).try_collect().await
    }

    async fn look_at_one(
        &self,
        scene: &Scene<'_>,
        object: &ObjectEntry,
        left: Option<&Left>,
        at_home: Told<'_>,
    ) -> Result<Seen, Halt> {
        let stray = || Ok(Seen::Stray(object.key.clone()));
        let (Some(left), Ok(key)) = (left, ObjectKey::parse(&object.key)) else { return stray() };
        if !is_as(object, left) {
            return stray();
        }
        let is_as_left = match at_home {
            Told::Listed(now) => is_as(now, left),
            Told::NotListed => false,
            Told::Unknown => scene.home.head(scene.home_bucket, &key).await?.is_some_and(|now| is_same(&now, left)),
        };
        let is_there = match (is_as_left, scene.migration.is_deep) {
            (true, false) => true,
            (true, true) => match scene.compare_bytes(&key, left, object.size).await? {
                Depth::Equal => true,
                Depth::Changed => self.is_changed_since(scene, &key, left).await?,
                Depth::CorruptReplica(_) | Depth::CorruptHome(_) => false,
            },
            (false, _) => self.is_changed_since(scene, &key, left).await?,
        };
        Ok(if is_there { Seen::Well } else { Seen::Differing(object.key.clone()) })
    }

    /// Whether a client has written or deleted the key at the new home since it was the old one's.
    async fn is_changed_since(&self, scene: &Scene<'_>, key: &ObjectKey, left: &Left) -> Result<bool, Halt> {
        let bucket = &scene.migration.bucket;
        let dirty = DirtyKey { bucket: bucket.clone(), key: key.clone() };
        let mut is_dirty = false;
        for _ in 0..LOOKS {
            // A queue that may have forgotten marks excuses nothing.
            is_dirty = self.queue.is_marked(&dirty).await?;
            let known = self.metadata.copies(bucket, key).await?;
            let known = known.iter().find(|copy| copy.backend == scene.home.backend.id);
            let now = scene.home.head(scene.home_bucket, key).await?;
            let is_well = match (&now, known) {
                (Some(now), _) if is_same(now, left) => true,
                (Some(_), _) if is_dirty => true,
                (Some(now), Some(known)) => known.etag == now.etag,
                // Clean and unknown: the last thing converged was its absence.
                (None, None) => !is_dirty,
                (None, Some(_)) | (Some(_), None) => false,
            };
            if is_well {
                return Ok(true);
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        if is_dirty {
            return Err(Halt::Waits(format!("{} is being written", key.as_str())));
        }
        Ok(false)
    }
}

impl Scene<'_> {
    /// What the new home lists of these keys, which come after `after`.
    async fn list_at_home(&self, after: &str, wanted: &[ObjectEntry]) -> Result<AtHome, Halt> {
        let (mut listed, mut after) = (BTreeMap::new(), after.to_owned());
        let keys: HashSet<&str> = wanted.iter().map(|object| object.key.as_str()).collect();
        for _ in 0..PAGES_AT_HOME {
            let (objects, more) = self.home.page_of_objects(self.home_bucket, &after, PAGE).await?;
            match objects.last() {
                Some(behind) => after.clone_from(&behind.key),
                None if more => return Err(self.home.unreadable("ListObjectsV2").into()),
                None => {}
            }
            let objects = objects.into_iter().filter(|object| keys.contains(object.key.as_str()));
            listed.extend(objects.map(|object| (object.key.clone(), object)));
            if !more || wanted.last().is_none_or(|last| after >= last.key) {
                return Ok(AtHome { listed, until: None });
            }
        }
        Ok(AtHome { listed, until: Some(after) })
    }

    /// Reads the new home's bytes and, where these prove nothing by themselves, the old one's.
    async fn compare_bytes(&self, key: &ObjectKey, left: &Left, size: u64) -> Result<Depth, Halt> {
        let stored = |remote, bucket| Stored { remote, bucket, key, version: None, etag: left.0.as_str() };
        let home = stored(&*self.home, self.home_bucket);
        let old = stored(&*self.old, &self.migration.source_physical);
        Ok(compare_bytes(old, home, size).await?)
    }
}

/// Whether a listed object is the one that was known; some list no ETag, and size has to do.
pub(super) fn is_as(listed: &ObjectEntry, (etag, size): &Left) -> bool {
    let now = unquoted(&listed.etag);
    (now.is_empty() || now == etag) && i64::try_from(listed.size).is_ok_and(|now| now == *size)
}

/// Whether an object is the one that was known.
pub(super) fn is_same(now: &Object, (etag, size): &Left) -> bool {
    now.etag == *etag && i64::try_from(now.size).is_ok_and(|now| now == *size)
}

fn note(look: &mut OldLook, seen: Seen) {
    look.objects += 1;
    match seen {
        Seen::Well => {}
        Seen::Stray(key) => {
            look.strays += 1;
            look.stray = key;
        }
        Seen::Differing(key) => {
            look.differing += 1;
            look.example = key;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn what_a_listing_was_not_read_up_to_is_not_gone() {
        let object = |key: &str| ObjectEntry {
            key: key.to_owned(),
            last_modified: SystemTime::UNIX_EPOCH,
            etag: String::new(),
            checksum_algorithms: Vec::new(),
            checksum_type: None,
            size: 1,
            storage_class: String::new(),
        };
        let b = object("b");
        let listed = || BTreeMap::from([("b".to_owned(), object("b"))]);
        let (whole, cut) =
            (AtHome { listed: listed(), until: None }, AtHome { listed: listed(), until: Some("c".to_owned()) });
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
}
