//! Buckets as a whole, against real S3 servers: what workers end that is being deleted, retired or was left half done.

use crate::sites::{World, until};
use s3gateway_s3::LogicalBucket;
use s3gateway_store::{Begun, BucketId, NewBucket};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_bucket_leaves_nothing_on_its_replicas() {
    let world = World::new().await;
    for i in 0..5 {
        world.put(&format!("k{i}"), b"x".to_vec()).await;
    }
    for i in 0..5 {
        world.clean(&format!("k{i}")).await;
    }
    let bucket = world.bucket_on(&world.home);
    world.metadata.begin_delete_bucket(&world.route.bucket).await.unwrap();
    world.home.client().delete_bucket().bucket(bucket).send().await.unwrap();
    world.metadata.finish_delete_bucket(&world.route.bucket).await.unwrap();
    let near = (world.near.client(), world.bucket_on(&world.near));
    until("the replica bucket is gone", async || near.0.head_bucket().bucket(&near.1).send().await.is_err()).await;
    until("nothing is retiring", async || world.metadata.retiring_buckets(10).await.unwrap().is_empty()).await;
    // A key that was still dirty is let go.
    world.queue.mark(&world.dirty("k0"), "req-2").await.unwrap();
    world.clean("k0").await;
    assert!(near.0.head_bucket().bucket(&near.1).send().await.is_err(), "the replica bucket must not rise again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retiring_bucket_that_another_worker_has_is_left_to_it() {
    let mut world = World::new().await;
    world.put("k", b"x".to_vec()).await;
    world.clean("k").await;
    world.stop_worker().await;
    let metadata = world.metadata.clone();
    let delete = async |bucket: &BucketId| {
        metadata.begin_delete_bucket(bucket).await.unwrap();
        metadata.finish_delete_bucket(bucket).await.unwrap();
    };
    delete(&world.route.bucket).await;
    let retiring = async || metadata.retiring_buckets(10).await.unwrap();
    let seen = retiring().await.remove(0).free_from;
    let claimed_until = seen + 600_000;
    assert!(metadata.claim_bucket(&world.route.bucket, seen, claimed_until).await.unwrap());
    let near = (world.near.client(), world.bucket_on(&world.near));
    // Two more buckets, one after the other: when both are gone, a whole round has passed the claimed one over.
    let mut others = Vec::new();
    for name in ["second", "third"] {
        let new = NewBucket {
            tenant: world.tenant.id.clone(),
            name: LogicalBucket::parse(name).unwrap(),
            placement: vec![world.home.id.clone(), world.near.id.clone()],
            replica_count: 1,
            location: String::new(),
        };
        let Begun::Created(route) = metadata.begin_create_bucket(&new).await.unwrap() else {
            panic!("the name is new")
        };
        metadata.activate_bucket(&route.bucket).await.unwrap();
        others.push(route.bucket);
    }
    let (second, third) = (others.remove(0), others.remove(0));
    delete(&second).await;
    world.start_worker().await;
    let is_left = async |bucket: &BucketId| retiring().await.iter().any(|left| left.bucket == *bucket);
    until("the second is gone", async || !is_left(&second).await).await;
    delete(&third).await;
    until("the third is gone", async || !is_left(&third).await).await;
    near.0.head_bucket().bucket(&near.1).send().await.unwrap();
    assert!(metadata.claim_bucket(&world.route.bucket, claimed_until, seen).await.unwrap());
    until("the first is gone too", async || !is_left(&world.route.bucket).await).await;
    assert!(near.0.head_bucket().bucket(&near.1).send().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_gateway_left_half_done_is_ended_and_no_object_is_lost_by_it() {
    let mut world = World::new().await;
    world.put("kept", b"x".to_vec()).await;
    world.clean("kept").await;
    world.stop_worker().await;
    // A deletion that never got to the backend, of a bucket with an object, and a creation that never came into service.
    world.metadata.begin_delete_bucket(&world.route.bucket).await.unwrap();
    let new = NewBucket {
        tenant: world.tenant.id.clone(),
        name: LogicalBucket::parse("half-made").unwrap(),
        placement: vec![world.home.id.clone()],
        replica_count: 1,
        location: String::new(),
    };
    let Begun::Created(half) = world.metadata.begin_create_bucket(&new).await.unwrap() else {
        panic!("the name is new")
    };
    let half_made = half.physical_on(&world.home.id).unwrap().for_upstream().to_owned();
    world.home.client().create_bucket().bucket(&half_made).send().await.unwrap();

    world.start_worker_with(|settings| settings.abandoned_after = Duration::ZERO).await;
    let unfinished = async || world.metadata.unfinished_buckets(i64::MAX, 10).await.unwrap();
    until("nothing is half done", async || unfinished().await.is_empty()).await;
    assert!(world.metadata.route_by_id(&world.route.bucket).await.unwrap().is_some(), "a bucket with an object stays");
    assert!(world.read(&world.home, "kept").await.is_some());
    assert!(world.metadata.route_by_id(&half.bucket).await.unwrap().is_none());
    assert!(world.home.client().head_bucket().bucket(&half_made).send().await.is_err(), "an empty one is dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_bucket_outlives_its_deletion_though_the_gateway_died_in_it() {
    let mut world = World::new().await;
    world.stop_worker().await;
    world.home.client().create_bucket().bucket("legacy").send().await.unwrap();
    let route = world.adopt("legacy").await;
    world.metadata.begin_delete_bucket(&route.bucket).await.unwrap();
    world.start_worker_with(|settings| settings.abandoned_after = Duration::ZERO).await;
    let unfinished = async || world.metadata.unfinished_buckets(i64::MAX, 10).await.unwrap();
    until("nothing is half done", async || unfinished().await.is_empty()).await;
    assert!(world.metadata.route_by_id(&route.bucket).await.unwrap().is_none());
    world.home.client().head_bucket().bucket("legacy").send().await.unwrap();
}
