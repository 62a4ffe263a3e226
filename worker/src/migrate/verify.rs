//! After the cut over: whether the new home has all that the old one had, unless a client has changed it there since.
//! Invariant: a difference is laid to a client only where metadata or the queue show that the gateway took its write.
use super::homes::{AtHome, Copied, NewHome, OldHome, OldKey, PAGE, Told, record_of, some_at_a_time};
use super::{Halt, Migrator, SOON};
use crate::clock::millis;
use crate::upkeep::GONE_KEPT;
use crate::versions::Listed;
use crate::walk::{Depth, Stored, compare_bytes};
use futures::{StreamExt, TryStreamExt, stream};
use s3gateway_s3::VersionId;
use s3gateway_store::{DirtyKey, Migration, Millis, OldLook, PromotionState, Route, VersionCopy};
use std::time::{Duration, Instant, SystemTime};
use tracing::{info, warn};

/// Keys listed at once where they are read.
const DEEP_PAGE: i32 = 20;
/// Objects looked at alone, or read, at the same time; where they are read, keys with so many between two notes.
const ASKED_AT_ONCE: usize = 4;
/// Looks at a key whose two objects differ, and the pause between two: a client's write of it may be on its way.
const LOOKS: u32 = 20;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// Before the whole look is begun anew, after differences.
const AGAIN: Duration = Duration::from_secs(30);

/// Both homes.
struct Scene<'a> {
    migration: &'a Migration,
    old: OldHome<'a>,
    home: NewHome<'a>,
}

/// What was seen of one object or version of the old home.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// The new home has it, or a client has changed it there since.
    Well,
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
        let (seen, versions) = (migration.clone(), route.has_moved_versions);
        // Reading takes what it takes: each few objects are noted, so that no byte is read for nothing.
        let (page, most) = if migration.is_deep { (DEEP_PAGE, ASKED_AT_ONCE) } else { (PAGE, usize::MAX) };
        let scene = Scene {
            migration: &seen,
            old: OldHome::new(&self.metadata, &seen, old, versions, page),
            home: NewHome::new(&self.metadata, &seen, home, home_bucket.clone(), versions),
        };
        let mut look = migration.look.clone();
        loop {
            let listing = async {
                let page = scene.old.page(&look.after).await?;
                let at_home = scene.home.look_for(&look.after, &page.keys).await?;
                Ok::<_, Halt>((page, at_home))
            };
            let (page, at_home) = self.keep_turn(migration, listing).await??;
            for keys in some_at_a_time(&page.keys, most) {
                let seen = self.keep_turn(migration, self.look_at(&scene, &at_home, keys)).await??;
                note(&mut look, keys, seen);
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

    /// Looks at what was copied of some keys.
    async fn look_at(&self, scene: &Scene<'_>, at_home: &AtHome, keys: &[OldKey]) -> Result<Vec<Seen>, Halt> {
        let copied = keys.iter().flat_map(|key| &key.copied);
        let asked: Vec<_> = copied.map(|copied| self.look_at_one(scene, at_home, copied)).collect();
        stream::iter(asked).buffered(ASKED_AT_ONCE).try_collect().await
    }

    async fn look_at_one(&self, scene: &Scene<'_>, at_home: &AtHome, copied: &Copied) -> Result<Seen, Halt> {
        let key = copied.key.as_str();
        let shown = copied.version.as_ref().map(|version| &version.shown);
        let recorded = shown.and_then(|shown| at_home.recorded(key, shown));
        // Under which id it would be there; none where it goes by its key, or where nothing is recorded of it.
        let own = recorded.map(|recorded| &recorded.version);
        let is_known = shown.is_none() || own.is_some();
        let is_as_left = match at_home.tell(key) {
            Told::Listed(now) => {
                is_known && now.iter().any(|now| own.is_none_or(|own| now.id == *own) && copied.is_as(now))
            }
            Told::NotListed => false,
            Told::Unknown if copied.is_object() && is_known => {
                let now = scene.home.remote().head_version(scene.home.bucket(), &copied.key, own).await?;
                now.is_some_and(|now| copied.is_same(&now))
            }
            Told::Unknown => false,
        };
        let is_there = match is_as_left {
            true if scene.migration.is_deep && copied.is_object() => match scene.compare_bytes(copied, own).await? {
                Depth::Equal => true,
                Depth::Changed => self.is_changed_since(scene, copied).await?,
                Depth::CorruptReplica(_) | Depth::CorruptHome(_) => false,
            },
            true => true,
            false => self.is_changed_since(scene, copied).await?,
        };
        Ok(if is_there { Seen::Well } else { Seen::Differing(key.to_owned()) })
    }

    /// Whether a client has written or deleted it at the new home since it was the old one's.
    async fn is_changed_since(&self, scene: &Scene<'_>, copied: &Copied) -> Result<bool, Halt> {
        let dirty = DirtyKey { bucket: scene.migration.bucket.clone(), key: copied.key.clone() };
        let mut is_dirty = false;
        for _ in 0..LOOKS {
            // A queue that may have forgotten marks excuses nothing.
            is_dirty = self.queue.is_marked(&dirty).await?;
            let is_well = match &copied.version {
                Some(version) => scene.is_version_well(copied, &version.shown, is_dirty).await?,
                None => self.is_object_well(scene, copied, is_dirty).await?,
            };
            if is_well {
                return Ok(true);
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        if is_dirty {
            return Err(Halt::Waits(format!("{} is being written", copied.key.as_str())));
        }
        Ok(false)
    }

    async fn is_object_well(&self, scene: &Scene<'_>, copied: &Copied, is_dirty: bool) -> Result<bool, Halt> {
        let known = self.metadata.copies(&scene.migration.bucket, &copied.key).await?;
        let known = known.iter().find(|copy| copy.backend == scene.home.remote().backend.id);
        let now = scene.home.remote().head(scene.home.bucket(), &copied.key).await?;
        Ok(match (&now, known) {
            (Some(now), _) if copied.is_same(now) => true,
            (Some(_), _) if is_dirty => true,
            (Some(now), Some(known)) => known.etag == now.etag,
            // Clean and unknown: the last thing converged was its absence.
            (None, None) => !is_dirty,
            (None, Some(_)) | (Some(_), None) => false,
        })
    }
}

impl Scene<'_> {
    /// Whether the new home has the version, or has none of it any more as it was deleted by its id.
    async fn is_version_well(&self, copied: &Copied, shown: &VersionId, is_dirty: bool) -> Result<bool, Halt> {
        let key = copied.key.as_str();
        let all = self.home.recorded(key, key).await?.remove(key).unwrap_or_default();
        let recorded = record_of(&all, shown);
        let moved_at = self.migration.moved_at;
        let gone = is_gone(recorded, is_dirty, millis(SystemTime::now()).saturating_sub(moved_at));
        let (home, bucket) = (self.home.remote(), self.home.bucket());
        let is_there = match recorded {
            Some(recorded) if copied.is_object() => {
                let now = home.head_version(bucket, &copied.key, Some(&recorded.version)).await?;
                now.map(|now| copied.is_same(&now))
            }
            Some(recorded) => {
                let now = home.versions(bucket, &copied.key).await?;
                now.iter().find(|now| now.id == recorded.version).map(|now| copied.is_as(now))
            }
            // It may have come there under an id that nobody has noted: then its own is lost, and not deleted.
            None if gone && copied.is_object() => {
                let now = home.versions(bucket, &copied.key).await?;
                let is_noted = |now: &Listed| all.iter().any(|recorded| recorded.version == now.id);
                let is_it = |now: &Listed| now.modified <= moved_at && copied.is_as(now) && !is_noted(now);
                now.iter().any(is_it).then_some(false)
            }
            None => None,
        };
        Ok(is_there.unwrap_or(gone))
    }

    /// Reads the new home's bytes and, where these prove nothing by themselves, the old one's.
    async fn compare_bytes(&self, copied: &Copied, own: Option<&VersionId>) -> Result<Depth, Halt> {
        let Copied { key, etag, size, .. } = copied;
        let (old, home) = (&self.old, &self.home);
        let version = copied.version.as_ref().map(|version| &version.own);
        let old = Stored { remote: old.remote(), bucket: old.bucket(), key, version, etag };
        let home = Stored { remote: home.remote(), bucket: home.bucket(), key, version: own, etag };
        Ok(compare_bytes(old, home, *size).await?)
    }
}

fn note(look: &mut OldLook, keys: &[OldKey], seen: Vec<Seen>) {
    for OldKey { key, copied, strays } in keys {
        look.objects += copied.len() as u64 + strays;
        if *strays > 0 {
            look.strays += strays;
            look.stray.clone_from(key);
        }
        look.after.clone_from(key);
    }
    for seen in seen {
        if let Seen::Differing(key) = seen {
            look.differing += 1;
            look.example = key;
        }
    }
}

/// What has become of a version that the new home does not have, by what is recorded of it there: that a client has deleted it is noted when
/// a worker has converged its key, and forgotten after a while. `since`: milliseconds since the cut over.
fn is_gone(recorded: Option<&VersionCopy>, is_dirty: bool, since: Millis) -> bool {
    match recorded {
        Some(recorded) => recorded.is_gone(),
        None => !is_dirty && since > i64::try_from(GONE_KEPT.as_millis()).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version_plan::tests::{copy, listed};

    #[test]
    fn a_version_is_gone_by_a_record_or_by_none_after_a_while() {
        let there = copy(&listed("v1"), &listed("t1"), 1);
        let gone = VersionCopy { verified_how: VersionCopy::GONE.to_owned(), ..there.clone() };
        let (minute, days) = (60_000, 3 * 86_400_000);
        for (recorded, is_dirty, since, want) in [
            (Some(&there), false, days, false),
            (Some(&gone), false, minute, true),
            // It was deleted, whatever else is written of its key.
            (Some(&gone), true, minute, true),
            (None, false, minute, false),
            (None, false, days, true),
            (None, true, days, false),
        ] {
            assert_eq!(is_gone(recorded, is_dirty, since), want, "{recorded:?} {is_dirty} {since}");
        }
    }
}
