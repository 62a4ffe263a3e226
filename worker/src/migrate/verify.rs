//! After the cut over: whether the new home has all that the old one had, unless a client has changed it there since.
//! Invariant: a difference is laid to a client only where metadata or the queue show that the gateway took its write.
use super::{Halt, Migrator, SOON};
use crate::backend::Remote;
use crate::walk::{Depth, Stored, compare_bytes};
use futures::{StreamExt, TryStreamExt, stream};
use s3gateway_s3::etag::unquoted;
use s3gateway_s3::xml::ObjectEntry;
use s3gateway_s3::{ObjectKey, PhysicalBucket};
use s3gateway_store::{DirtyKey, Migration, OldLook, PromotionState, Route};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// Objects looked at between two notes of how far the look is.
const PAGE: i32 = 1000;
/// The same where they are read.
const DEEP_PAGE: i32 = 20;
/// Objects looked at alone, or read, at the same time.
const ASKED_AT_ONCE: usize = 4;
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
type Left = (String, i64);

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
    /// Goes on with the look through the old home, and decides at its end.
    pub(super) async fn verify(&self, migration: &Migration, route: &Route, until: Instant) -> Result<Duration, Halt> {
        let promotion = self.metadata.promotion(migration.promotion.as_deref().unwrap_or_default()).await?;
        if promotion.state != PromotionState::Done {
            return Ok(SOON);
        }
        let home_bucket = route
            .physical_on(&route.home)
            .ok_or_else(|| Halt::Waits("the bucket has no name at its home".to_owned()))?;
        let (old, home) = (self.known(&migration.former).await?, self.known(&route.home).await?);
        let scene = Scene { migration, old, home, home_bucket };
        let mut look = migration.look.clone();
        let page = if migration.is_deep { DEEP_PAGE } else { PAGE };
        loop {
            let (objects, more) = scene.old.page_of_objects(&migration.source_physical, &look.after, page).await?;
            for seen in self.look_at(&scene, &look.after, &objects).await? {
                note(&mut look, seen);
            }
            match objects.last() {
                Some(last) => look.after.clone_from(&last.key),
                None if more => return Err(scene.old.unreadable("ListObjectsV2").into()),
                None => {}
            }
            if !self.metadata.note_old_look(migration, &look).await? {
                return Ok(SOON);
            }
            if !more {
                return self.judge(migration, &look).await;
            }
            if Instant::now() >= until {
                return Ok(Duration::ZERO);
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

    /// Looks at some objects of the old home, which come after `after`.
    async fn look_at(&self, scene: &Scene<'_>, after: &str, objects: &[ObjectEntry]) -> Result<Vec<Seen>, Halt> {
        let (Some(first), Some(last)) = (objects.first(), objects.last()) else { return Ok(Vec::new()) };
        let left = self.metadata.copies_left(scene.migration, &first.key, &last.key).await?;
        let at_home = scene.listed_at_home(after, &last.key).await?;
        let asked: Vec<_> = objects
            .iter()
            .map(|object| self.look_at_one(scene, object, left.get(&object.key), at_home.get(&object.key)))
            .collect();
        stream::iter(asked).buffered(ASKED_AT_ONCE).try_collect().await
    }

    async fn look_at_one(
        &self,
        scene: &Scene<'_>,
        object: &ObjectEntry,
        left: Option<&Left>,
        at_home: Option<&ObjectEntry>,
    ) -> Result<Seen, Halt> {
        let stray = || Ok(Seen::Stray(object.key.clone()));
        let (Some(left), Ok(key)) = (left, ObjectKey::parse(&object.key)) else { return stray() };
        if !is_as(object, left) {
            return stray();
        }
        let is_listed = at_home.is_some_and(|now| is_as(now, left));
        let is_there = match (is_listed, scene.migration.is_deep) {
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
                (Some(now), _) if now.etag == left.0 && i64::try_from(now.size).is_ok_and(|size| size == left.1) => {
                    true
                }
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
    /// What the new home lists behind `after`, up to `last`.
    async fn listed_at_home(&self, after: &str, last: &str) -> Result<BTreeMap<String, ObjectEntry>, Halt> {
        let (mut listed, mut after) = (BTreeMap::new(), after.to_owned());
        loop {
            let (objects, more) = self.home.page_of_objects(self.home_bucket, &after, PAGE).await?;
            match objects.last() {
                Some(behind) => after.clone_from(&behind.key),
                None if more => return Err(self.home.unreadable("ListObjectsV2").into()),
                None => {}
            }
            listed.extend(objects.into_iter().map(|object| (object.key.clone(), object)));
            if !more || after.as_str() >= last {
                return Ok(listed);
            }
        }
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
