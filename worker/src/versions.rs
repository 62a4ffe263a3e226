//! Buckets that keep versions, as the worker uses them: the state, the versions of a key in their order, deletes by id.
use crate::backend::{BackendError, Remote};
use crate::clock::millis;
use aws_sdk_s3::config::interceptors::AfterDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::types::{BucketVersioningStatus, EncodingType, VersioningConfiguration};
use bytes::Bytes;
use s3gateway_s3::etag::unquoted;
use s3gateway_s3::xml::{ListBucketResult, ListVersion, ListVersionsResult, ObjectEntry, VersionEntry};
use s3gateway_s3::{ObjectKey, PhysicalBucket, VersionId, Versioning};
use s3gateway_store::{Millis, VersionCopy};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Most versions of one key that replicas follow. While a key is worked on, the home's list is in memory, some 200 bytes for
/// each version, and for each replica its own list and what is recorded of it, some 600: 40 MB for a key with this many and
/// one replica.
pub(crate) const MOST_VERSIONS: usize = 50_000;
/// Entries asked for at once, S3's most.
pub(crate) const PAGE: i32 = 1000;

/// A version or delete marker of a key, as its backend lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) id: VersionId,
    pub(crate) is_marker: bool,
    /// Without quotes; empty for a delete marker.
    pub(crate) etag: String,
    /// Bytes.
    pub(crate) size: u64,
    pub(crate) modified: Millis,
}

impl Listed {
    pub(crate) fn parse(entry: VersionEntry) -> Option<Self> {
        let is_marker = entry.is_delete_marker;
        Some(Self {
            id: VersionId::parse(&entry.version_id).ok()?,
            is_marker,
            etag: if is_marker { String::new() } else { unquoted(&entry.object.etag).to_owned() },
            size: if is_marker { 0 } else { entry.object.size },
            modified: millis(entry.object.last_modified),
        })
    }
}

/// Which of a home's own versions are those that clients know by another id, as another home has given it. All others go by one id.
#[derive(Debug, Default)]
pub(crate) struct MovedVersions {
    own_by_shown: HashMap<VersionId, VersionId>,
    /// The id that clients know, and when the version was written to the home that gave it.
    shown_by_own: HashMap<VersionId, (VersionId, Millis)>,
}

impl MovedVersions {
    /// By what is recorded of the home's versions of a key.
    pub(crate) fn of<'c>(recorded: impl IntoIterator<Item = &'c VersionCopy>) -> Self {
        let mut moved = Self::default();
        for copy in recorded {
            moved.own_by_shown.insert(copy.home_version.clone(), copy.version.clone());
            moved.shown_by_own.insert(copy.version.clone(), (copy.home_version.clone(), copy.home_modified));
        }
        moved
    }

    /// The home's own id of a version.
    pub(crate) fn own<'v>(&'v self, shown: &'v VersionId) -> &'v VersionId {
        self.own_by_shown.get(shown).unwrap_or(shown)
    }

    /// Names what the home lists as clients do.
    pub(crate) fn show(&self, listed: &mut [Listed]) {
        for listed in listed {
            if let Some((shown, modified)) = self.shown_by_own.get(&listed.id) {
                (listed.id, listed.modified) = (shown.clone(), *modified);
            }
        }
    }
}

/// Where a page of versions begins: behind this version of this key, or, where it is empty, behind all of the key's.
type After = Option<(String, String)>;

impl Remote {
    /// GetBucketVersioning.
    pub(crate) async fn versioning(&self, bucket: &PhysicalBucket) -> Result<Versioning, BackendError> {
        let sent = self.control.get_bucket_versioning().bucket(bucket.for_upstream()).send().await;
        let answer = sent.map_err(|e| self.classify("GetBucketVersioning", &e))?;
        match answer.status() {
            None => Ok(Versioning::Never),
            Some(status) => {
                Versioning::from_status(status.as_str()).ok_or_else(|| self.unreadable("GetBucketVersioning"))
            }
        }
    }

    /// Has a bucket keep versions, and makes sure that it has heard.
    pub(crate) async fn enable_versioning(&self, bucket: &PhysicalBucket) -> Result<(), BackendError> {
        self.set_versioning(bucket, Versioning::Enabled, BucketVersioningStatus::Enabled).await
    }

    /// Has each write to a bucket replace the `null` version, and makes sure that it has heard.
    pub(crate) async fn suspend_versioning(&self, bucket: &PhysicalBucket) -> Result<(), BackendError> {
        self.set_versioning(bucket, Versioning::Suspended, BucketVersioningStatus::Suspended).await
    }

    async fn set_versioning(
        &self,
        bucket: &PhysicalBucket,
        state: Versioning,
        status: BucketVersioningStatus,
    ) -> Result<(), BackendError> {
        if self.versioning(bucket).await? == state {
            return Ok(());
        }
        let configuration = VersioningConfiguration::builder().status(status).build();
        let put = self.control.put_bucket_versioning().bucket(bucket.for_upstream());
        let sent = put.versioning_configuration(configuration).send().await;
        sent.map_err(|e| self.classify("PutBucketVersioning", &e))?;
        match self.versioning(bucket).await? == state {
            true => Ok(()),
            false => Err(self.refused("PutBucketVersioning", 200, "and does not do so")),
        }
    }

    /// All versions and delete markers of a key, the oldest first.
    ///
    /// # Errors
    /// `NoSuchBucket`; `Refused` where there are more than [`MOST_VERSIONS`].
    pub(crate) async fn versions(&self, bucket: &PhysicalBucket, key: &ObjectKey) -> Result<Vec<Listed>, BackendError> {
        let mut all = Vec::new();
        let mut after = None;
        loop {
            // The key sorts before all others of which it is a prefix.
            let (entries, next) = self.page_of_versions(bucket, key.as_str(), after).await?;
            for entry in entries.into_iter().filter(|entry| entry.object.key == key.as_str()) {
                all.push(Listed::parse(entry).ok_or_else(|| self.unreadable("ListObjectVersions"))?);
            }
            if all.len() > MOST_VERSIONS {
                return Err(self.refused("ListObjectVersions", 200, "more versions than replicas follow"));
            }
            after = next.filter(|(next, _)| next == key.as_str());
            if after.is_none() {
                all.reverse();
                return Ok(all);
            }
        }
    }

    /// A page of a bucket's versions, by key and the newest first, and where the next one begins. Behind a key and an empty
    /// version it begins with the next key.
    pub(crate) async fn page_of_versions(
        &self,
        bucket: &PhysicalBucket,
        prefix: &str,
        after: After,
    ) -> Result<(Vec<VersionEntry>, After), BackendError> {
        self.some_versions(bucket, prefix, after, PAGE).await
    }

    /// The newest version or delete marker of a key, whichever it is; `None` where there is none.
    pub(crate) async fn newest_version(
        &self,
        bucket: &PhysicalBucket,
        key: &ObjectKey,
    ) -> Result<Option<VersionId>, BackendError> {
        // The key sorts before all others of which it is a prefix.
        let (entries, _) = self.some_versions(bucket, key.as_str(), None, 1).await?;
        let newest = entries.into_iter().find(|entry| entry.object.key == key.as_str());
        let id = newest.map(|newest| VersionId::parse(&newest.version_id)).transpose();
        id.map_err(|_| self.unreadable("ListObjectVersions"))
    }

    async fn some_versions(
        &self,
        bucket: &PhysicalBucket,
        prefix: &str,
        after: After,
        most: i32,
    ) -> Result<(Vec<VersionEntry>, After), BackendError> {
        let captured = Captured::default();
        let (key_marker, version_marker) = after.unzip();
        let told = key_marker.clone().filter(|_| version_marker.as_ref().is_some_and(String::is_empty));
        let list = self.control.list_object_versions().bucket(bucket.for_upstream()).prefix(prefix).max_keys(most);
        let version_marker = version_marker.filter(|version| !version.is_empty());
        let list = list.set_key_marker(key_marker).set_version_id_marker(version_marker);
        let list = list.encoding_type(EncodingType::Url).customize().interceptor(captured.clone());
        let sent = list.send().await;
        let page = match captured.take().map(|body| ListVersionsResult::parse(&body)) {
            Some(Ok(page)) => page,
            _ => {
                sent.map_err(|e| self.classify("ListObjectVersions", &e))?;
                return Err(self.unreadable("ListObjectVersions"));
            }
        };
        let mut entries = page.entries;
        // One server begins with a key's other versions, where one of them is `null`.
        let is_behind = |entry: &VersionEntry| told.as_ref() != Some(&entry.object.key);
        if !page.is_truncated {
            entries.retain(is_behind);
            return Ok((entries, None));
        }
        // One server skips what follows a `null` delete marker that a page is to begin behind: the next one begins with it.
        let ends_badly = entries.last().is_some_and(|last| last.is_delete_marker && last.version_id == VersionId::NULL);
        if ends_badly && entries.len() > 1 {
            entries.pop();
        }
        let last = entries.last().map(|last| (last.object.key.clone(), last.version_id.clone()));
        // A listing that could not be gone on with would pass for a short one.
        let next = last.ok_or_else(|| self.unreadable("ListObjectVersions"))?;
        entries.retain(is_behind);
        Ok((entries, Some(next)))
    }

    /// A page of a bucket's current objects behind a key, and whether more follow.
    pub(crate) async fn page_of_objects(
        &self,
        bucket: &PhysicalBucket,
        after: &str,
        most: i32,
    ) -> Result<(Vec<ObjectEntry>, bool), BackendError> {
        let captured = Captured::default();
        let list = self.control.list_objects_v2().bucket(bucket.for_upstream()).max_keys(most);
        let list = list.set_start_after((!after.is_empty()).then(|| after.to_owned()));
        // Others may announce the encoding and not do it.
        let encoding = self.backend.capabilities.exact_listing.then_some(EncodingType::Url);
        let sent = list.set_encoding_type(encoding).customize().interceptor(captured.clone()).send().await;
        match captured.take().map(|body| ListBucketResult::parse(ListVersion::V2, &body)) {
            Some(Ok(page)) => Ok((page.contents, page.is_truncated)),
            _ => {
                sent.map_err(|e| self.classify("ListObjectsV2", &e))?;
                Err(self.unreadable("ListObjectsV2"))
            }
        }
    }

    /// DeleteObject of one version or delete marker; one that is not there is as good as deleted.
    pub(crate) async fn delete_version(
        &self,
        bucket: &PhysicalBucket,
        key: &str,
        version: &str,
    ) -> Result<(), BackendError> {
        let delete = self.control.delete_object().bucket(bucket.for_upstream()).key(key).version_id(version);
        match delete.send().await.map_err(|e| self.classify("DeleteObject", &e)) {
            Ok(_) => Ok(()),
            Err(error) => self.allow_gone(error),
        }
    }

    /// DeleteObject without a version: a delete marker becomes current. Answers its id.
    pub(crate) async fn put_marker(&self, bucket: &PhysicalBucket, key: &ObjectKey) -> Result<VersionId, BackendError> {
        let sent = self.control.delete_object().bucket(bucket.for_upstream()).key(key.as_str()).send().await;
        let answer = sent.map_err(|e| self.classify("DeleteObject", &e))?;
        let id = answer.version_id().and_then(|id| VersionId::parse(id).ok());
        id.ok_or_else(|| self.unreadable("DeleteObject"))
    }
}

/// Keeps the body of an answer: the SDK's own types tell versions and delete markers apart, and so lose their order.
#[derive(Clone, Debug, Default)]
struct Captured(Arc<Mutex<Option<Bytes>>>);

impl Captured {
    fn take(&self) -> Option<Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Intercept for Captured {
    fn name(&self) -> &'static str {
        "captured body"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        let body = response.body().bytes().filter(|_| response.status().is_success()).map(Bytes::copy_from_slice);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = body;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use s3gateway_config::BackendId;

    #[test]
    fn a_version_that_has_moved_goes_by_the_id_that_clients_know() {
        let id = |text: &str| VersionId::parse(text).unwrap();
        let copy = |home_version: &str, version: &str| VersionCopy {
            backend: BackendId::parse("b").unwrap(),
            home_version: id(home_version),
            version: id(version),
            position: 1,
            is_marker: false,
            etag: "e".to_owned(),
            home_etag: "e".to_owned(),
            size: 1,
            home_modified: 5,
            verified_how: "etag".to_owned(),
            verified_at: 9,
        };
        let listed = |id: VersionId, modified| Listed { id, is_marker: false, etag: "e".to_owned(), size: 1, modified };
        let moved = MovedVersions::of(&[copy("null", "x"), copy("old", "y"), copy("gone", "z")]);
        let mut list = [listed(id("x"), 7), listed(id("y"), 8), listed(id("new"), 9)];
        moved.show(&mut list);
        assert_eq!(list, [listed(id("null"), 5), listed(id("old"), 5), listed(id("new"), 9)]);
        for (shown, own) in [("null", "x"), ("old", "y"), ("new", "new"), ("y", "y")] {
            assert_eq!(moved.own(&id(shown)).as_str(), own, "{shown}");
        }
    }
}
