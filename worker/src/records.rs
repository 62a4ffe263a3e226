//! What the worker asks and tells the metadata of keys, many jobs' at once.
use crate::batch::{Ask, Batch};
use async_trait::async_trait;
use s3gateway_store::{BucketId, DirtyKey, LentTags, Metadata, ObjectCopy, Route, StoreError};
use std::collections::HashMap;

/// The metadata as jobs use it.
pub(crate) struct Records {
    routes: Batch<Routes>,
    copies: Batch<Copies>,
    tags: Batch<Lent>,
    added: Batch<Record>,
    replaced: Batch<Record>,
}

struct Routes(Metadata);
struct Copies(Metadata);
struct Lent(Metadata);

struct Record {
    metadata: Metadata,
    /// Whether what is known of other backends goes.
    replaces: bool,
}

impl Records {
    pub(crate) fn new(metadata: &Metadata) -> Self {
        Self {
            routes: Batch::new(Routes(metadata.clone())),
            copies: Batch::new(Copies(metadata.clone())),
            tags: Batch::new(Lent(metadata.clone())),
            added: Batch::new(Record { metadata: metadata.clone(), replaces: false }),
            replaced: Batch::new(Record { metadata: metadata.clone(), replaces: true }),
        }
    }

    /// The bucket's route, read after this call.
    pub(crate) async fn route(&self, bucket: &BucketId) -> Result<Option<Route>, StoreError> {
        self.routes.ask(bucket.clone()).await
    }

    /// What is known of a key's copies.
    pub(crate) async fn copies(&self, key: &DirtyKey) -> Result<Vec<ObjectCopy>, StoreError> {
        self.copies.ask(key.clone()).await
    }

    /// The tags that the gateway keeps for an object.
    pub(crate) async fn tags(&self, key: &DirtyKey) -> Result<Option<LentTags>, StoreError> {
        self.tags.ask(key.clone()).await
    }

    /// Records copies of a key beside what is known of other backends.
    pub(crate) async fn add(&self, key: DirtyKey, copies: Vec<ObjectCopy>) -> Result<(), StoreError> {
        self.added.ask((key, copies)).await
    }

    /// Replaces what was `known` of a key's copies.
    pub(crate) async fn replace(
        &self,
        key: DirtyKey,
        known: &[ObjectCopy],
        copies: Vec<ObjectCopy>,
    ) -> Result<(), StoreError> {
        let stays = |known: &ObjectCopy| copies.iter().any(|copy| copy.backend == known.backend);
        match known.iter().all(stays) {
            true => self.add(key, copies).await,
            false => self.replaced.ask((key, copies)).await,
        }
    }
}

#[async_trait]
impl Ask for Routes {
    type Question = BucketId;
    type Answer = Option<Route>;

    async fn ask(&self, buckets: &[BucketId]) -> Result<Vec<Option<Route>>, StoreError> {
        let mut routes: HashMap<&BucketId, Option<Route>> = HashMap::new();
        for bucket in buckets {
            if !routes.contains_key(bucket) {
                routes.insert(bucket, self.0.route_by_id(bucket).await?);
            }
        }
        Ok(buckets.iter().map(|bucket| routes.get(bucket).cloned().flatten()).collect())
    }
}

#[async_trait]
impl Ask for Copies {
    type Question = DirtyKey;
    type Answer = Vec<ObjectCopy>;

    async fn ask(&self, keys: &[DirtyKey]) -> Result<Vec<Vec<ObjectCopy>>, StoreError> {
        match keys {
            [key] => Ok(vec![self.0.copies(&key.bucket, &key.key).await?]),
            keys => self.0.copies_of_all(keys).await,
        }
    }
}

#[async_trait]
impl Ask for Lent {
    type Question = DirtyKey;
    type Answer = Option<LentTags>;

    async fn ask(&self, keys: &[DirtyKey]) -> Result<Vec<Option<LentTags>>, StoreError> {
        match keys {
            [key] => Ok(vec![self.0.tags(&key.bucket, &key.key).await?]),
            keys => self.0.tags_of_all(keys).await,
        }
    }
}

#[async_trait]
impl Ask for Record {
    type Question = (DirtyKey, Vec<ObjectCopy>);
    type Answer = ();

    async fn ask(&self, of_keys: &[(DirtyKey, Vec<ObjectCopy>)]) -> Result<Vec<()>, StoreError> {
        match self.replaces {
            true => self.metadata.record_all_copies(of_keys).await?,
            false => self.metadata.put_all_copies(of_keys).await?,
        }
        Ok(vec![(); of_keys.len()])
    }
}
