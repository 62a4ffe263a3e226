//! What a worker takes for gone, done or a stranger's, against real S3 servers behind something that answers in their place.

use crate::sites::wire::error;
use crate::sites::{Site, World, noise, until};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use s3gateway_store::{DrainReason, DrainState, PlacementChange};
use std::sync::Mutex;

const MIB: usize = 1 << 20;

/// Two embedded backends that both hold an object.
async fn world_with(key: &str) -> World {
    let world = World::embedded().await;
    world.put(key, b"x".to_vec()).await;
    world.clean(key).await;
    assert!(world.read(&world.near, key).await.is_some());
    world.near.wire.take_seen();
    world
}

/// Waits until so many requests have come to a site that have this in their method and path.
async fn asked(site: &Site, what: &str, times: usize) {
    let seen = Mutex::new(0);
    until(&format!("{what} is asked {times} times"), async || {
        let now = site.wire.take_seen().iter().filter(|line| line.contains(what)).count();
        let mut seen = seen.lock().unwrap();
        *seen += now;
        *seen >= times
    })
    .await;
}

/// From now on the replica lists no bucket as ours.
fn disown(world: &World) {
    let nothing = "<ListAllMyBucketsResult><Buckets></Buckets></ListAllMyBucketsResult>";
    world.near.wire.answer(200, "x-id=ListBuckets", nothing);
}

/// From now on the replica is asked with keys of another account than has its bucket.
fn estrange(world: &World) {
    disown(world);
    world.near.wire.answer(403, &format!("/{}", world.bucket_on(&world.near)), &error("AccessDenied"));
}

async fn is_there(site: &Site, bucket: &str) -> bool {
    site.client().list_buckets().send().await.unwrap().buckets().iter().any(|b| b.name() == Some(bucket))
}

/// Whether a copy on the replica is recorded.
async fn is_known(world: &World, key: &str) -> bool {
    world.copies(key).await.iter().any(|copy| copy.backend == world.near.id)
}

/// Deletes the bucket though its replica still holds what the home held.
async fn delete_bucket(world: &World, key: &str) {
    let (home, bucket) = (world.home.client(), world.bucket_on(&world.home));
    home.delete_object().bucket(&bucket).key(key).send().await.unwrap();
    world.metadata.begin_delete_bucket(&world.route.bucket).await.unwrap();
    home.delete_bucket().bucket(&bucket).send().await.unwrap();
    world.metadata.finish_delete_bucket(&world.route.bucket).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_not_gone_by_a_404_that_is_not_the_replicas() {
    let world = world_with("k").await;
    let at_near = format!("/{}/k", world.bucket_on(&world.near));
    world.near.wire.answer(404, &at_near, "");
    world.delete("k").await;
    asked(&world.near, &format!("HEAD {at_near}"), 2).await;
    assert!(is_known(&world, "k").await, "what may be there stays known");
    world.near.wire.let_in();
    world.clean("k").await;
    assert!(world.read(&world.near, "k").await.is_none());
    assert!(world.copies("k").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_bucket_is_not_dropped_by_a_404_that_is_not_its_backends() {
    let world = world_with("k").await;
    let bucket = world.bucket_on(&world.near);
    let deletes = format!("DELETE /{bucket}");
    world.near.wire.answer(404, &deletes, "");
    delete_bucket(&world, "k").await;
    asked(&world.near, &deletes, 3).await;
    world.near.wire.let_in();
    until("the replica bucket is gone", async || !is_there(&world.near, &bucket).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_not_gone_because_the_keys_of_its_backend_are_anothers() {
    let world = world_with("k").await;
    estrange(&world);
    world.delete("k").await;
    asked(&world.near, &format!("HEAD /{}/k", world.bucket_on(&world.near)), 2).await;
    assert!(is_known(&world, "k").await, "what may be there stays known");
    world.near.wire.let_in();
    world.clean("k").await;
    assert!(world.read(&world.near, "k").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_may_not_be_looked_into_is_not_proven_empty() {
    let mut world = world_with("k").await;
    let bucket = world.bucket_on(&world.near);
    world.reread_route().await;
    estrange(&world);
    let placement = vec![world.home.id.clone()];
    let gone = world.route.placement.iter().filter(|id| **id != world.home.id);
    let drained = gone.map(|id| (id.clone(), DrainReason::Placement, String::new())).collect();
    let change = PlacementChange { seen: &world.route, placement, replica_count: 1, locations: None, drained };
    world.metadata.change_placement(&change).await.unwrap();
    // As nothing but a drain lists a bucket that never kept versions.
    asked(&world.near, "?versions", 2).await;
    world.near.wire.let_in();
    let state =
        async || world.metadata.drains(None, Some(&world.near.id), None, 10).await.unwrap().rows.remove(0).state;
    until("the replica is gone", async || state().await == DrainState::Gone).await;
    assert!(!is_there(&world.near, &bucket).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_bucket_is_not_forgotten_because_the_keys_of_its_backend_are_anothers() {
    let world = world_with("k").await;
    let bucket = world.bucket_on(&world.near);
    estrange(&world);
    delete_bucket(&world, "k").await;
    asked(&world.near, "x-id=ListBuckets", 2).await;
    world.near.wire.let_in();
    until("the replica bucket is gone", async || !is_there(&world.near, &bucket).await).await;
    until("nothing is retiring", async || world.metadata.retiring_buckets(10).await.unwrap().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_with_copies_is_not_left_for_one_of_another_name() {
    let mut world = world_with("k").await;
    // One that does not know the bucket yet.
    world.stop_worker().await;
    let bucket = world.bucket_on(&world.near);
    let makes = format!("PUT /{bucket}");
    world.near.wire.answer(409, &makes, &error("BucketAlreadyExists"));
    disown(&world);
    world.start_worker().await;
    world.put("new", b"y".to_vec()).await;
    asked(&world.near, &makes, 2).await;
    world.near.wire.let_in();
    world.clean("new").await;
    world.reread_route().await;
    assert_eq!(world.bucket_on(&world.near), bucket);
    assert!(world.read(&world.near, "new").await.is_some());
}

/// Some backends do not tell the ETag of what an upload has become.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_before_an_upload_is_not_taken_for_it() {
    let world = World::embedded().await;
    let (first, last) = (noise(5 * MIB, 3), noise(MIB, 4));
    upload(&world, "k", &[&first, &last]).await;
    world.clean("k").await;
    world.near.wire.take_seen();
    let completes = format!("POST /{}/k?uploadId=", world.bucket_on(&world.near));
    let unsaid = "<CompleteMultipartUploadResult></CompleteMultipartUploadResult>";
    world.near.wire.answer(200, &completes, unsaid);
    let (first, last) = (noise(5 * MIB, 5), noise(MIB, 6));
    upload(&world, "k", &[&first, &last]).await;
    asked(&world.near, &completes, 2).await;
    world.near.wire.let_in();
    world.clean("k").await;
    let (held, _) = world.read(&world.near, "k").await.unwrap();
    assert!(held == [first, last].concat(), "the older object of the same size is still there");
}

async fn upload(world: &World, key: &str, parts: &[&[u8]]) {
    let (client, bucket) = (world.home.client(), world.bucket_on(&world.home));
    let id = client.create_multipart_upload().bucket(&bucket).key(key).send().await.unwrap().upload_id.unwrap();
    let mut done = CompletedMultipartUpload::builder();
    for (number, part) in (1..).zip(parts) {
        let body = ByteStream::from(part.to_vec());
        let put = client.upload_part().bucket(&bucket).key(key).upload_id(&id).part_number(number).body(body);
        let etag = put.send().await.unwrap().e_tag;
        done = done.parts(CompletedPart::builder().part_number(number).set_e_tag(etag).build());
    }
    let complete = client.complete_multipart_upload().bucket(&bucket).key(key).upload_id(id);
    world.write(key, complete.multipart_upload(done.build()).send()).await.unwrap();
}
