//! Listings of whole buckets, page by page behind a key: of current objects, or of all versions of each key.
//! Invariant: a page that is out of order, or that says that more follow and not behind what, is an error and never a short one.
use super::compare::Held;
use super::merge::{Page, Reach};
use crate::backend::{BackendError, Remote};
use crate::clock::millis;
use crate::versions::{Listed, MOST_VERSIONS};
use s3gateway_s3::{PhysicalBucket, etag::unquoted, xml::ObjectEntry};
use std::sync::Arc;

/// A bucket on one backend, as it is listed.
#[derive(Clone)]
pub(super) struct Listing {
    pub(super) remote: Arc<Remote>,
    pub(super) bucket: PhysicalBucket,
    /// Whether versions are listed, rather than current objects.
    pub(super) versions: bool,
    /// Whether a bucket that is not there is an empty one: at a replica it may not have been made yet.
    pub(super) may_lack: bool,
    /// Keys asked for at once.
    pub(super) page: i32,
}

impl Listing {
    /// The keys behind `after`.
    pub(super) async fn page(&self, after: &str) -> Result<Page<Held>, BackendError> {
        let page = match self.versions {
            true => self.page_of_versions(after).await,
            false => self.page_of_objects(after).await,
        };
        match page {
            Err(BackendError::NoSuchBucket) if self.may_lack => {}
            // Somebody else may hold the bucket's name there; then none of our copies is in it.
            Err(BackendError::Refused { status: 403, .. })
                if self.may_lack && !self.remote.owns_bucket(&self.bucket).await? => {}
            page => return self.in_order(after, page?),
        }
        Ok(Page { entries: Vec::new(), reach: Reach::End })
    }

    fn in_order(&self, after: &str, page: Page<Held>) -> Result<Page<Held>, BackendError> {
        let mut last = after;
        for (key, _) in &page.entries {
            if key.as_str() <= last {
                return Err(self.remote.unavailable("listing", "keys are not in their order"));
            }
            last = key;
        }
        Ok(page)
    }

    async fn page_of_objects(&self, after: &str) -> Result<Page<Held>, BackendError> {
        let (objects, is_truncated) = self.remote.page_of_objects(&self.bucket, after, self.page).await?;
        let held = |object: ObjectEntry| {
            let (etag, modified) = (unquoted(&object.etag).to_owned(), millis(object.last_modified));
            (object.key, Held::Object { etag, size: object.size, modified })
        };
        let entries: Vec<_> = objects.into_iter().map(held).collect();
        let reach = match entries.last() {
            Some((last, _)) if is_truncated => Reach::To(last.clone()),
            None if is_truncated => return Err(self.remote.unreadable("ListObjectsV2")),
            _ => Reach::End,
        };
        Ok(Page { entries, reach })
    }

    async fn page_of_versions(&self, after: &str) -> Result<Page<Held>, BackendError> {
        let mut marker = (!after.is_empty()).then(|| (after.to_owned(), String::new()));
        let mut keys: Vec<(String, Vec<Listed>)> = Vec::new();
        loop {
            let (entries, next) = self.remote.page_of_versions(&self.bucket, "", marker).await?;
            for entry in entries {
                let key = entry.object.key.clone();
                let listed = Listed::parse(entry).ok_or_else(|| self.remote.unreadable("ListObjectVersions"))?;
                match keys.last_mut() {
                    Some((last, all)) if *last == key => all.push(listed),
                    _ => keys.push((key, vec![listed])),
                }
            }
            let is_end = next.is_none();
            if !is_end && keys.len() < 2 {
                // All of a key's versions are needed to judge it.
                if keys.first().is_some_and(|(_, all)| all.len() > MOST_VERSIONS) {
                    return Err(self.remote.refused("ListObjectVersions", 200, "more versions than replicas follow"));
                }
                marker = next;
                continue;
            }
            if !is_end {
                keys.pop();
            }
            let reach = match keys.last() {
                Some((last, _)) if !is_end => Reach::To(last.clone()),
                _ => Reach::End,
            };
            let oldest_first = |(key, mut all): (String, Vec<Listed>)| {
                all.reverse();
                (key, Held::Versions(all))
            };
            return Ok(Page { entries: keys.into_iter().map(oldest_first).collect(), reach });
        }
    }
}
