//! Lets an old home go after it was verified: deletes what is still as it was copied, then the bucket if nothing is left in it.
//! Invariant: what was written past the gateway stays, and the bucket with it.
use super::verify::{Left, is_as, is_same};
use super::{Halt, LATER, Migrator, SOON};
use crate::backend::{BackendError, Remote};
use crate::contents::is_empty;
use crate::multipart::{Upload, UploadIds};
use crate::retire::drop_bucket;
use futures::{StreamExt, TryStreamExt, stream};
use s3gateway_s3::xml::ObjectEntry;
use s3gateway_s3::{ObjectKey, PhysicalBucket};
use s3gateway_store::{Migration, OldLook};
use std::time::{Duration, Instant};
use tracing::info;

/// Objects between two notes of how far it is.
const PAGE: i32 = 500;
/// Deletes in flight.
const DELETES_AT_ONCE: usize = 8;

impl Migrator {
    /// Goes on with emptying the old home, and deletes it at the end.
    pub(super) async fn drop_old(&self, migration: &Migration, until: Instant) -> Result<Duration, Halt> {
        let old = self.known(&migration.former).await?;
        let bucket = &migration.source_physical;
        let mut look = migration.look.clone();
        loop {
            let (objects, more) = match old.page_of_objects(bucket, &look.after, PAGE).await {
                // It went in the turn that did not come to write it down.
                Err(BackendError::NoSuchBucket) => return self.end_dropped(migration, &look).await,
                page => page?,
            };
            if let (Some(first), Some(last)) = (objects.first(), objects.last()) {
                let left = self.metadata.copies_left(migration, &first.key, &last.key).await?;
                let as_copied = |object: &ObjectEntry| left.get(&object.key).filter(|left| is_as(object, left));
                let strays: Vec<_> = objects.iter().filter(|object| as_copied(object).is_none()).collect();
                let copied = objects.iter().filter_map(|object| Some((object, as_copied(object)?)));
                let deletes: Vec<_> =
                    copied.map(|(object, left)| delete_as_copied(&old, bucket, &object.key, left)).collect();
                let done: Vec<bool> = stream::iter(deletes).buffered(DELETES_AT_ONCE).try_collect().await?;
                let gone = done.iter().filter(|done| **done).count();
                look.dropped += u64::try_from(gone).unwrap_or(u64::MAX);
                look.strays += u64::try_from(objects.len() - gone).unwrap_or(u64::MAX);
                if let Some(stray) = strays.last() {
                    look.stray.clone_from(&stray.key);
                }
                look.after.clone_from(&last.key);
            } else if more {
                return Err(old.unreadable("ListObjectsV2").into());
            }
            if !self.metadata.note_old_look(migration, &look).await? {
                return Ok(SOON);
            }
            if !more {
                break;
            }
            if Instant::now() >= until {
                return Ok(Duration::ZERO);
            }
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
        self.delete_old(&emptied, &old).await
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

/// Deletes an object if it is still the one that was copied; a listing may show no ETag that would tell.
async fn delete_as_copied(old: &Remote, bucket: &PhysicalBucket, key: &str, left: &Left) -> Result<bool, Halt> {
    let Ok(key) = ObjectKey::parse(key) else { return Ok(false) };
    match old.head(bucket, &key).await? {
        Some(now) if is_same(&now, left) => {}
        Some(_) => return Ok(false),
        None => return Ok(true),
    }
    old.delete(bucket, key.as_str()).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::canned::canned;

    #[tokio::test]
    async fn what_was_written_since_it_was_copied_is_not_deleted() {
        let bucket = PhysicalBucket::parse("some-bucket").unwrap();
        for (etag, size, goes) in [("e", 1, true), ("other", 1, false), ("e", 2, false)] {
            let (old, asked) = canned(|line| match line.starts_with("HEAD") {
                true => (200, "\"e\"", "x".to_owned()),
                false => (204, "", String::new()),
            });
            let left = (etag.to_owned(), size);
            assert_eq!(delete_as_copied(&old, &bucket, "k", &left).await.ok(), Some(goes), "{left:?}");
            let deletes = asked.lock().unwrap().iter().filter(|line| line.starts_with("DELETE")).count();
            assert_eq!(deletes, usize::from(goes), "{left:?}");
        }
    }
}
