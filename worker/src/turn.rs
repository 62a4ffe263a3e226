//! How long a worker may take a claim for its own; and one worker's turn at a bucket that is not in service, as two deletes of one bucket at
//! once confuse some backends.
use crate::clock::millis;
use s3gateway_store::{BucketId, Metadata, Millis, StoreError};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;
use tracing::debug;

/// A claim that is prolonged while it is worked by, and when it was last known to be ours.
pub(crate) struct Kept {
    /// What it is on, for the log.
    on: &'static str,
    lease: Duration,
    confirmed: Instant,
}

impl Kept {
    /// One that was taken right now, for `lease`.
    pub(crate) fn new(on: &'static str, lease: Duration) -> Self {
        Self { on, lease, confirmed: Instant::now() }
    }

    /// Until it is to be prolonged again.
    pub(crate) async fn pause(&self) {
        tokio::time::sleep(self.lease / 3).await;
    }

    /// Why it is ours no longer, after an attempt to prolong it: another worker has it, or it could not be confirmed for as long as it stands.
    pub(crate) fn lost_by(&mut self, prolonged: Result<bool, StoreError>) -> Option<StoreError> {
        match prolonged {
            Ok(true) => self.confirmed = Instant::now(),
            Ok(false) => return Some(StoreError::Conflict("another worker's turn")),
            Err(error) if self.confirmed.elapsed() >= self.lease => return Some(error),
            Err(error) => debug!(on = self.on, %error, "a claim could not be prolonged"),
        }
        None
    }
}

/// Whose turn it could be.
pub(crate) struct Turn<'a> {
    pub(crate) metadata: &'a Metadata,
    pub(crate) bucket: &'a BucketId,
    /// How long a claim stands without a sign of life.
    pub(crate) lease: Duration,
    /// How old the bucket's state must be before a worker may have a turn; a claim counts as younger until it ends.
    pub(crate) age: Duration,
}

impl Turn<'_> {
    /// Works on the bucket, whose state was `seen` to be so since then, as long as it is ours; `None` where another
    /// worker has it, also if that came about meanwhile. Cancel: the claim runs out by itself.
    pub(crate) async fn take<T>(&self, seen: Millis, work: impl Future<Output = T>) -> Result<Option<T>, StoreError> {
        let mut until = seen;
        if !self.claim(&mut until, self.lease).await? {
            return Ok(None);
        }
        let done = tokio::select! {
            done = work => done,
            () = self.keep(&mut until) => return Ok(None),
        };
        if let Err(error) = self.claim(&mut until, Duration::ZERO).await {
            debug!(bucket = self.bucket.as_str(), %error, "the claim on a bucket was not given back");
        }
        Ok(Some(done))
    }

    /// Prolongs the claim; ends when it is lost or could not be prolonged in time.
    async fn keep(&self, until: &mut Millis) {
        let mut kept = Kept::new("a bucket", self.lease);
        loop {
            kept.pause().await;
            if kept.lost_by(self.claim(until, self.lease).await).is_some() {
                return;
            }
        }
    }

    /// Moves the claim's end from `until` to `lease` from now; false where it is another's.
    async fn claim(&self, until: &mut Millis, lease: Duration) -> Result<bool, StoreError> {
        let longer = millis((SystemTime::now() + lease).checked_sub(self.age).unwrap_or(SystemTime::UNIX_EPOCH));
        let ours = self.metadata.claim_bucket(self.bucket, *until, longer).await?;
        if ours {
            *until = longer;
        }
        Ok(ours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use s3gateway_config::{BackendId, Capabilities, Place, ResidencyPolicy, Secret};
    use s3gateway_s3::LogicalBucket;
    use s3gateway_store::{Backend, Begun, LocalKey, NewBucket};
    use std::sync::Arc;

    /// A store in `folder` with one bucket that is being made, and since when.
    async fn half_made(folder: &std::path::Path) -> (Metadata, BucketId, Millis) {
        let secrets = Arc::new(LocalKey::from_hex(&"5".repeat(64)).unwrap());
        let url = format!("sqlite:{}", folder.join("metadata.db").display());
        let metadata = Metadata::connect(&url, 3, secrets).await.unwrap();
        metadata.migrate().await.unwrap();
        let word = || "x".to_owned();
        let place = Place {
            zone: word(),
            region: word(),
            country: word(),
            jurisdiction: word(),
            provider: word(),
            certifications: Vec::new(),
        };
        let id = BackendId::parse("fi-hel").unwrap();
        let backend = Backend {
            id: id.clone(),
            place,
            endpoint: "http://127.0.0.1:1".to_owned(),
            region: word(),
            access_key: word(),
            secret_key: Arc::new(Secret::new(word())),
            capabilities: Capabilities::default(),
            position: 0,
        };
        metadata.put_backend(&backend).await.unwrap();
        let tenant = metadata.create_tenant("acme", &ResidencyPolicy::default(), &[], 1).await.unwrap().id;
        let name = LogicalBucket::parse("photos").unwrap();
        let new = NewBucket { tenant, name, placement: vec![id], replica_count: 1, location: String::new() };
        let Begun::Created(route) = metadata.begin_create_bucket(&new).await.unwrap() else {
            panic!("the name is new")
        };
        let since = since(&metadata).await;
        (metadata, route.bucket, since)
    }

    async fn since(metadata: &Metadata) -> Millis {
        metadata.unfinished_buckets(Millis::MAX, 1).await.unwrap().remove(0).since
    }

    #[tokio::test]
    async fn a_turn_shuts_others_out_and_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let (metadata, bucket, seen) = half_made(folder.path()).await;
        let (lease, age) = (Duration::from_secs(600), Duration::from_secs(300));
        let turn = Turn { metadata: &metadata, bucket: &bucket, lease, age };
        let work = async {
            assert_eq!(turn.take(seen, async { panic!("it is taken") }).await.unwrap(), None::<()>);
            let before = millis(SystemTime::now().checked_sub(age).unwrap());
            assert!(metadata.unfinished_buckets(before, 1).await.unwrap().is_empty(), "too young for the others");
        };
        assert_eq!(turn.take(seen, work).await.unwrap(), Some(()));
        let before = millis(SystemTime::now().checked_sub(age).unwrap());
        assert!(since(&metadata).await <= before, "free at once");
    }

    #[tokio::test]
    async fn work_goes_on_while_the_claim_is_prolonged_and_ends_when_it_is_lost() {
        const OTHER: Millis = Millis::MAX - 1;
        let folder = tempfile::tempdir().unwrap();
        let (metadata, bucket, seen) = half_made(folder.path()).await;
        let (lease, age) = (Duration::from_millis(60), Duration::ZERO);
        let turn = Turn { metadata: &metadata, bucket: &bucket, lease, age };
        let work = async {
            let first = since(&metadata).await;
            let mut now = first;
            while now == first {
                now = since(&metadata).await;
            }
            // Another worker, to which the claim looks as if it had run out; the claim may move on before it gets it.
            while !metadata.claim_bucket(&bucket, since(&metadata).await, OTHER).await.unwrap() {}
            std::future::pending::<()>().await
        };
        assert_eq!(turn.take(seen, work).await.unwrap(), None);
        assert_eq!(since(&metadata).await, OTHER, "the other's");
    }
}
