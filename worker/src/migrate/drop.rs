//! Lets an old home go after it was verified: deletes what is still as it was copied, then the bucket if nothing is left in it.
//! Invariant: what was written past the gateway stays, and the bucket with it.
use super::homes::{Copied, OldHome, OldKey, some_at_a_time};
use super::{Halt, LATER, Migrator, SOON};
use crate::backend::{BackendError, Remote};
use crate::contents::is_empty;
use crate::multipart::{Upload, UploadIds};
use crate::retire::drop_bucket;
use futures::{StreamExt, stream};
use s3gateway_s3::{ObjectKey, PhysicalBucket, VersionId};
use s3gateway_store::{Migration, OldLook, Route, Writes};
use std::time::{Duration, Instant};
use tracing::info;

/// Keys listed at once, where versions are not.
const PAGE: i32 = 500;
/// Deletes between two notes of how far it is.
const DELETES_AT_MOST: usize = 200;
/// Keys of which something is deleted at the same time.
const DELETES_AT_ONCE: usize = 8;

impl Migrator {
    /// Goes on with emptying the old home, and deletes it at the end. Cancel: what was noted stands.
    pub(super) async fn drop_old(
        &self,
        migration: &Migration,
        route: &Route,
        until: Instant,
    ) -> Result<Duration, Halt> {
        self.require_home(route).await?;
        let remote = self.known(&migration.former).await?;
        let old = OldHome::new(&self.metadata, migration, remote.clone(), route.has_moved_versions, PAGE);
        let mut look = migration.look.clone();
        loop {
            let page = match old.page(&look.after).await {
                // It went in the turn that did not come to write it down.
                Err(Halt::Backend(BackendError::NoSuchBucket)) => return self.end_dropped(migration, &look).await,
                page => page?,
            };
            for keys in some_at_a_time(&page.keys, DELETES_AT_MOST) {
                let deletes: Vec<_> = keys.iter().map(|key| delete_copied(&old, key, until)).collect();
                let done: Vec<Dropped> = stream::iter(deletes).buffered(DELETES_AT_ONCE).collect().await;
                let ended = note(&mut look, keys, done);
                if !self.metadata.note_old_look(migration, &look).await? {
                    return Ok(SOON);
                }
                if !ended? || Instant::now() >= until {
                    return Ok(Duration::ZERO);
                }
            }
            if !page.more {
                break;
            }
        }
        if !self.metadata.note_old_look(migration, &look).await? {
            return Ok(SOON);
        }
        let emptied = Migration { look: look.clone(), ..migration.clone() };
        if look.strays > 0 {
            let detail = format!(
                "verified; {} objects were deleted from the old home, which is kept with {} that were not copied, such as {}",
                look.dropped, look.strays, look.stray
            );
            self.metadata.end_migration(&emptied, &detail).await?;
            return Ok(SOON);
        }
        self.delete_old(&emptied, &remote).await
    }

    /// Passes a new home that is there: while it is away, or is being replaced, the old one may be all that there is.
    async fn require_home(&self, route: &Route) -> Result<(), Halt> {
        let home = self.known(&route.home).await?;
        let is_there = match route.physical_on(&route.home) {
            Some(bucket) if route.writes == Writes::Taken => home.has_bucket(bucket).await?,
            _ => false,
        };
        is_there
            .then_some(())
            .ok_or_else(|| Halt::Waits("the new home is being replaced, or has lost its bucket".to_owned()))
    }

    /// Deletes the empty bucket; what has turned up in it is looked at.
    async fn delete_old(&self, migration: &Migration, old: &Remote) -> Result<Duration, Halt> {
        let bucket = &migration.source_physical;
        for (key, id) in UploadIds::open(old, bucket, "").await?.into_all() {
            let Ok(key) = ObjectKey::parse(&key) else { continue };
            Upload { remote: old, bucket, key: &key, id: &id }.abort().await?;
        }
        let dropped = match is_empty(old, bucket).await? {
            true => drop_bucket(old, bucket).await,
            false => Err(old.refused("DeleteBucket", 409, "BucketNotEmpty")),
        };
        match dropped {
            Err(BackendError::Refused { status: 409, .. }) => {
                let look = OldLook { after: String::new(), ..migration.look.clone() };
                self.metadata.note_old_look(migration, &look).await?;
                Ok(LATER)
            }
            // It is another owner's, who let the gateway use it.
            Err(BackendError::Refused { status: 403, .. }) => {
                let detail = format!(
                    "verified; {} objects were deleted from the old home, whose owner alone can delete it",
                    migration.look.dropped
                );
                self.metadata.end_migration(migration, &detail).await?;
                Ok(SOON)
            }
            done => {
                done?;
                self.end_dropped(migration, &migration.look).await
            }
        }
    }

    async fn end_dropped(&self, migration: &Migration, look: &OldLook) -> Result<Duration, Halt> {
        let dropped = Migration { look: look.clone(), ..migration.clone() };
        let detail = format!("verified, and the old home dropped with {} objects", look.dropped);
        self.metadata.end_migration(&dropped, &detail).await?;
        info!(migration = migration.id, objects = look.dropped, "old home dropped");
        Ok(SOON)
    }
}

/// What has come of deleting a key's versions, or its object.
struct Dropped {
    gone: u64,
    /// Whether it came to the end of the key.
    ended: Result<bool, Halt>,
}

/// Deletes of a key what is still as it was copied, until `until`. One version after the other: some servers lose their way in two at once.
async fn delete_copied(old: &OldHome<'_>, key: &OldKey, until: Instant) -> Dropped {
    let mut gone = 0;
    for copied in &key.copied {
        if Instant::now() >= until {
            return Dropped { gone, ended: Ok(false) };
        }
        match delete_as_copied(old.remote(), old.bucket(), copied).await {
            Ok(is_gone) => gone += u64::from(is_gone),
            Err(halt) => return Dropped { gone, ended: Err(halt) },
        }
    }
    Dropped { gone, ended: Ok(true) }
}

/// Adds up what has gone, and comes to the last key before the first that did not end; whether all have.
fn note(look: &mut OldLook, keys: &[OldKey], done: Vec<Dropped>) -> Result<bool, Halt> {
    let mut all = Ok(true);
    for (key, Dropped { gone, ended }) in keys.iter().zip(done) {
        look.dropped += gone;
        if !matches!(all, Ok(true)) {
            continue;
        }
        all = ended;
        if matches!(all, Ok(true)) {
            let strays = (key.copied.len() as u64 + key.strays).saturating_sub(gone);
            look.strays += strays;
            if strays > 0 {
                look.stray.clone_from(&key.key);
            }
            look.after.clone_from(&key.key);
        }
    }
    all
}

/// Deletes it if it is still the one that was copied: of an object a listing may show no ETag that would tell, and that one, or a `null` version,
/// can be written again. Any other version is what it was.
async fn delete_as_copied(old: &Remote, bucket: &PhysicalBucket, copied: &Copied) -> Result<bool, Halt> {
    let (key, own) = (&copied.key, copied.version.as_ref().map(|version| &version.own));
    if own.is_none_or(VersionId::is_null) {
        let is_still = match copied.is_object() {
            true => old.head_version(bucket, key, own).await?.map(|now| copied.is_same(&now)),
            false => {
                let now = old.versions(bucket, key).await?;
                now.iter().find(|now| now.id.is_null()).map(|now| copied.is_as(now))
            }
        };
        match is_still {
            Some(true) => {}
            Some(false) => return Ok(false),
            None => return Ok(true),
        }
    }
    match own {
        Some(own) => old.delete_version(bucket, key.as_str(), own.as_str()).await?,
        None => old.delete(bucket, key.as_str()).await?,
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::canned::canned;

    #[tokio::test]
    async fn what_was_written_since_it_was_copied_is_not_deleted() {
        let bucket = PhysicalBucket::parse("some-bucket").unwrap();
        let versions = [None, Some("null"), Some("v1")];
        let looks = [("e", 1, true), ("other", 1, false), ("e", 2, false)];
        for (version, (etag, size, goes)) in versions.into_iter().flat_map(|id| looks.map(|look| (id, look))) {
            let (old, asked) = canned(|line| match line.starts_with("HEAD") {
                true => (200, "\"e\"", "x".to_owned()),
                false => (204, "", String::new()),
            });
            let mut copied = Copied::for_test("k", version);
            (copied.etag, copied.size) = (etag.to_owned(), size);
            // Its id tells that it is the same.
            let goes = goes || version == Some("v1");
            assert_eq!(delete_as_copied(&old, &bucket, &copied).await.ok(), Some(goes), "{copied:?}");
            let deletes = asked.lock().unwrap().iter().filter(|line| line.starts_with("DELETE")).count();
            assert_eq!(deletes, usize::from(goes), "{copied:?}");
        }
    }

    #[test]
    fn a_look_stands_before_the_first_key_that_did_not_end() {
        let key = |name: &str, copied: usize, strays| OldKey {
            key: name.to_owned(),
            copied: vec![Copied::for_test(name, None); copied],
            strays,
        };
        let keys = [key("a", 2, 1), key("b", 5, 1), key("c", 1, 1)];
        let failed = || Err(Halt::Waits("no".to_owned()));
        let done = |gone, ended| Dropped { gone, ended };
        for (of_b, all, after, strays) in [
            (done(5, Ok(true)), Some(true), "c", 3),
            (done(3, Ok(false)), Some(false), "a", 1),
            (done(3, failed()), None, "a", 1),
        ] {
            let (mut look, dropped) = (OldLook::default(), 2 + of_b.gone + 1);
            let ended = note(&mut look, &keys, vec![done(2, Ok(true)), of_b, done(1, Ok(true))]);
            assert_eq!((ended.ok(), look.after.as_str(), look.strays, look.dropped), (all, after, strays, dropped));
        }
    }
}
