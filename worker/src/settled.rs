//! Whether what was dirty at some time has been converged since, so that no worker acts any more on what it knew then.
use s3gateway_store::{BucketId, Millis, Queue, StoreError};

/// How far the clocks of gateways, workers and queue may be apart.
const SKEW: Millis = 5_000;
/// Dirty keys of a bucket that are looked at one by one.
const MOST: u64 = 5_000;

/// Whether all of the bucket that was dirty before `since` has been converged.
pub(crate) async fn is_settled(queue: &dyn Queue, bucket: &BucketId, since: Millis) -> Result<bool, StoreError> {
    if queue.is_bucket_clean(bucket).await? {
        return Ok(true);
    }
    // Of what the queue may have forgotten nobody knows when it became dirty.
    if !queue.proves(bucket).await? {
        return Ok(false);
    }
    // A bucket that is written to all the time is never clean; then what is dirty must have become so later.
    let is_later = |oldest: Option<Millis>| oldest.is_none_or(|oldest| oldest > since.saturating_add(SKEW));
    if is_later(queue.depth().await?.oldest) {
        return Ok(true);
    }
    // What is older may be others' alone: dead letters, or keys that wait for a backend of theirs.
    if queue.count_dirty(bucket).await? > MOST {
        return Ok(false);
    }
    let mut from = None;
    loop {
        let page = queue.dirty_keys(bucket, from.as_deref()).await?;
        if !is_later(page.oldest) {
            return Ok(false);
        }
        from = page.next;
        if from.is_none() {
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use s3gateway_s3::ObjectKey;
    use s3gateway_store::{DirtyKey, LocalKey, Metadata};
    use std::sync::Arc;
    use std::time::Duration;

    async fn queue_in(folder: &std::path::Path) -> impl Queue {
        let secrets = Arc::new(LocalKey::from_hex(&"5".repeat(64)).unwrap());
        let url = format!("sqlite:{}", folder.join("metadata.db").display());
        let metadata = Metadata::connect(&url, 3, secrets).await.unwrap();
        metadata.migrate().await.unwrap();
        metadata.sql_queue()
    }

    /// Marks a key later than all that are dirty by now; when that was.
    async fn mark(queue: &impl Queue, bucket: &BucketId) -> Millis {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let key = DirtyKey { bucket: bucket.clone(), key: ObjectKey::parse("k").unwrap() };
        queue.mark(&key, "r").await.unwrap();
        queue.dirty_keys(bucket, None).await.unwrap().oldest.unwrap()
    }

    #[tokio::test]
    async fn what_other_buckets_wait_for_holds_none_up() {
        let folder = tempfile::tempdir().unwrap();
        let queue = queue_in(folder.path()).await;
        let [dead, waiting, ours] = ["dead", "waiting", "ours"].map(BucketId::new);
        let oldest = mark(&queue, &dead).await;
        let job = queue.claim("w", 1, Duration::from_secs(60)).await.unwrap().remove(0);
        queue.bury(&job, "hopeless").await.unwrap();
        let older = mark(&queue, &waiting).await;
        let at = mark(&queue, &ours).await;
        for (since, want) in [(oldest - 1, true), (oldest, true), (older, true), (at - 1, true), (at, false)] {
            assert_eq!(
                is_settled(&queue, &ours, since - SKEW).await.unwrap(),
                want,
                "{since} of {oldest} {older} {at}"
            );
        }
        assert!(!is_settled(&queue, &dead, oldest - SKEW).await.unwrap(), "its own dead letter");
        let job = queue.claim("w", 10, Duration::from_secs(60)).await.unwrap();
        for job in job.iter().filter(|job| job.key.bucket == ours) {
            queue.clear(job).await.unwrap();
        }
        assert!(is_settled(&queue, &ours, at).await.unwrap(), "it is clean");
    }

    #[tokio::test]
    async fn of_a_bucket_with_too_many_dirty_keys_the_whole_queue_counts() {
        let folder = tempfile::tempdir().unwrap();
        let queue = queue_in(folder.path()).await;
        let (other, ours) = (BucketId::new("other"), BucketId::new("ours"));
        let older = mark(&queue, &other).await;
        let at = mark(&queue, &ours).await;
        let key = |n| DirtyKey { bucket: ours.clone(), key: ObjectKey::parse(&format!("{n}")).unwrap() };
        queue.mark_all(&(0..MOST - 1).map(key).collect::<Vec<_>>(), "r").await.unwrap();
        assert!(is_settled(&queue, &ours, at - 1 - SKEW).await.unwrap());
        queue.mark(&key(MOST), "r").await.unwrap();
        assert!(!is_settled(&queue, &ours, at - 1 - SKEW).await.unwrap());
        assert!(is_settled(&queue, &ours, older - 1 - SKEW).await.unwrap());
    }
}
