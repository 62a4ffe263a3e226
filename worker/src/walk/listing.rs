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
pub(crate) struct Listing {
    pub(crate) remote: Arc<Remote>,
    pub(crate) bucket: PhysicalBucket,
    /// Whether versions are listed, rather than current objects.
    pub(crate) versions: bool,
    /// Whether a bucket that is not there is an empty one: at a replica it may not have been made yet.
    pub(crate) may_lack: bool,
    /// Keys asked for at once.
    pub(crate) page: i32,
}

impl Listing {
    /// The keys behind `after`.
    pub(crate) async fn page(&self, after: &str) -> Result<Page<Held>, BackendError> {
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
                if keys.first().is_none_or(|(_, all)| all.len() <= MOST_VERSIONS) {
                    marker = next;
                    continue;
                }
            } else if !is_end {
                keys.pop();
            }
            let reach = match keys.last() {
                Some((last, _)) if !is_end => Reach::To(last.clone()),
                _ => Reach::End,
            };
            let oldest_first = |(key, mut all): (String, Vec<Listed>)| match all.len() > MOST_VERSIONS {
                true => (key, Held::TooManyVersions),
                false => {
                    all.reverse();
                    (key, Held::Versions(all))
                }
            };
            return Ok(Page { entries: keys.into_iter().map(oldest_first).collect(), reach });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::canned::canned;

    /// A bucket of three keys, the second of which has one version after the other, as many as `versions`.
    fn bucket_with(versions: usize) -> Listing {
        let entry = |key: &str, version: usize| {
            format!(
                "<Version><Key>{key}</Key><VersionId>v{version}</VersionId><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
                 <ETag>e</ETag><Size>1</Size></Version>"
            )
        };
        let (remote, _) = canned(move |line| {
            let marker = |name: &str| {
                let query = line.split_once('?').map_or("", |(_, query)| query);
                query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
            };
            let (mut body, last) = (String::new(), marker("version-id-marker").and_then(|id| id.strip_prefix('v')));
            let from = match (marker("key-marker"), last) {
                (_, Some(last)) => last.parse::<usize>().unwrap() + 1,
                (Some("b"), None) => versions,
                _ => 0,
            };
            if marker("key-marker").is_none() {
                body += &entry("a", 0);
            }
            let to = versions.min(from + 1000);
            (from..to).for_each(|version| body += &entry("b", version));
            if to == versions {
                body += &entry("c", 0);
            }
            let is_truncated = to < versions;
            (
                200,
                "",
                format!("<ListVersionsResult><IsTruncated>{is_truncated}</IsTruncated>{body}</ListVersionsResult>"),
            )
        });
        let bucket = PhysicalBucket::parse("some-bucket").unwrap();
        Listing { remote: Arc::new(remote), bucket, versions: true, may_lack: false, page: 1000 }
    }

    #[tokio::test]
    async fn a_server_that_begins_with_the_rest_of_its_markers_key_tells_nothing_twice() {
        let entry = |key: &str, id: &str| {
            format!(
                "<Version><Key>{key}</Key><VersionId>{id}</VersionId><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
                 <ETag>e</ETag><Size>1</Size></Version>"
            )
        };
        for (more, keys, reach) in [("", &[][..], Reach::End), ("c", &["c"], Reach::End)] {
            let (remote, _) = canned(move |line| {
                assert!(line.contains("key-marker=b"), "{line}");
                let next = if more.is_empty() { String::new() } else { entry(more, "null") };
                let body = entry("b", "v1") + &entry("b", "null") + &next;
                (200, "", format!("<ListVersionsResult><IsTruncated>false</IsTruncated>{body}</ListVersionsResult>"))
            });
            let bucket = PhysicalBucket::parse("some-bucket").unwrap();
            let listing = Listing { remote: Arc::new(remote), bucket, versions: true, may_lack: false, page: 1000 };
            let page = listing.page("b").await.unwrap();
            let found: Vec<&str> = page.entries.iter().map(|(key, _)| key.as_str()).collect();
            assert_eq!((&found[..], page.reach), (keys, reach));
        }
    }

    #[tokio::test]
    async fn a_listing_goes_on_behind_a_key_with_too_many_versions_and_shows_it() {
        for (versions, is_too_many) in [(2500, false), (MOST_VERSIONS, false), (MOST_VERSIONS + 1500, true)] {
            let (listing, mut after, mut seen) = (bucket_with(versions), String::new(), Vec::new());
            loop {
                let page = listing.page(&after).await.unwrap();
                seen.extend(page.entries);
                match page.reach {
                    Reach::End => break,
                    Reach::To(key) => after = key,
                }
            }
            let shown = |held: &Held| match held {
                Held::Versions(all) => all.len(),
                Held::Object { .. } | Held::TooManyVersions => 0,
            };
            let seen: Vec<_> = seen.iter().map(|(key, held)| (key.as_str(), shown(held))).collect();
            assert_eq!(seen, [("a", 1), ("b", if is_too_many { 0 } else { versions }), ("c", 1)]);
        }
    }
}
