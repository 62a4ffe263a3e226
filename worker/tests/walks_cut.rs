//! Walks as they are cut into shards: however long that takes, one worker does it, and nothing else waits for it.
// Helpers of tests fail as tests do.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
// Each test binary uses its own part of the helpers.
#[allow(dead_code)]
mod sites;

use s3gateway_s3::ObjectKey;
use s3gateway_store::{BucketId, NewWalk, ObjectCopy, Walk, WalkKind};
use sites::{World, until};
use std::time::Duration;

async fn begin(world: &World, bucket: &BucketId, kind: WalkKind) -> Walk {
    let new = NewWalk { bucket: bucket.clone(), kind, rate: 0, reason: "a test".to_owned() };
    world.metadata.begin_walk(new).await.unwrap()
}

async fn look(world: &World, walk: &Walk) -> Walk {
    world.metadata.walk(&walk.id).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_of_many_bounds_is_cut_though_that_outlasts_its_claim() {
    const KEYS: u64 = 3000;
    let mut world = World::embedded().await;
    world.stop_worker().await;
    for n in 0..KEYS {
        let copy = ObjectCopy {
            backend: world.home.id.clone(),
            etag: "e".to_owned(),
            home_etag: "e".to_owned(),
            size: 1,
            verified_how: "etag".to_owned(),
            verified_at: 1,
        };
        let key = ObjectKey::parse(&format!("k{n:04}")).unwrap();
        world.metadata.record_copies(&world.route.bucket, &key, &[copy]).await.unwrap();
    }
    let walk = begin(&world, &world.route.bucket, WalkKind::Backfill).await;
    world.start_worker_with(|settings| (settings.lease, settings.shard_keys) = (Duration::from_millis(300), 1)).await;
    until("it has begun", async || look(&world, &walk).await.begun_at > 0).await;
    assert_eq!(look(&world, &walk).await.total, KEYS);
    world.metadata.cancel_walk(&walk.id).await.unwrap();
}
