//! What a physical bucket lists, whether it keeps versions or not.
//! Invariant: a bucket that is not there holds nothing; any other failure is one.
use crate::backend::{BackendError, Remote};
use s3gateway_s3::PhysicalBucket;

/// Keys of which anything is in the bucket (an object, an old version, a delete marker) after `after`, in order, and whether
/// there are more.
pub(crate) async fn page_of_keys(
    remote: &Remote,
    bucket: &PhysicalBucket,
    after: &str,
) -> Result<(Vec<String>, bool), BackendError> {
    let page = match remote.backend.capabilities.keeps_versions() {
        true => page_with_versions(remote, bucket, after).await,
        false => page_of_objects(remote, bucket, after).await,
    };
    match page {
        Err(BackendError::NoSuchBucket) => Ok((Vec::new(), false)),
        page => page,
    }
}

/// Whether nothing is in the bucket.
pub(crate) async fn is_empty(remote: &Remote, bucket: &PhysicalBucket) -> Result<bool, BackendError> {
    let (keys, more) = page_of_keys(remote, bucket, "").await?;
    Ok(keys.is_empty() && !more)
}

async fn page_with_versions(
    remote: &Remote,
    bucket: &PhysicalBucket,
    after: &str,
) -> Result<(Vec<String>, bool), BackendError> {
    let mut after = (!after.is_empty()).then(|| (after.to_owned(), String::new()));
    loop {
        let (entries, next) = remote.page_of_versions(bucket, "", after).await?;
        let mut keys: Vec<String> = entries.into_iter().map(|entry| entry.object.key).collect();
        keys.dedup();
        if !keys.is_empty() || next.is_none() {
            return Ok((keys, next.is_some()));
        }
        after = next;
    }
}

async fn page_of_objects(
    remote: &Remote,
    bucket: &PhysicalBucket,
    after: &str,
) -> Result<(Vec<String>, bool), BackendError> {
    let list = remote.control.list_objects_v2().bucket(bucket.for_upstream());
    let list = list.set_start_after((!after.is_empty()).then(|| after.to_owned()));
    let page = list.send().await.map_err(|e| remote.classify("ListObjectsV2", &e))?;
    let keys = page.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect();
    Ok((keys, page.is_truncated == Some(true)))
}
