//! What a worker does about a key that stayed behind at a former home, when that is back, against real S3 servers.
// Helpers of tests fail as tests do.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
// Each test binary uses its own part of the helpers.
#[allow(dead_code)]
mod sites;

use aws_sdk_s3::primitives::ByteStream;
use s3gateway_store::PromotionState;
use sites::{World, until};

/// A proxy that dies between its write and its commit tells nobody; what is written then says itself when that was.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_at_the_new_home_is_the_newer_one_though_nobody_told_of_it() {
    let mut world = World::embedded().await;
    world.put("k", b"first".to_vec()).await;
    world.clean("k").await;
    world.near.stop().await;
    world.put("k", b"second".to_vec()).await;
    world.home.stop().await;
    world.near.start().await;
    let (bucket, near) = (world.route.bucket.clone(), world.near.id.clone());
    let begun = world.metadata.begin_promotion(&bucket, &near, world.route.epoch, true).await.unwrap();
    until("the replica is home", async || {
        world.metadata.promotion(&begun.id).await.unwrap().state == PromotionState::Done
    })
    .await;
    let key = world.dirty("k");
    assert_eq!(world.metadata.stranded(&bucket, &key.key).await.unwrap().len(), 1);
    let put = world.near.client().put_object().bucket(world.bucket_on(&world.near)).key("k");
    put.body(ByteStream::from_static(b"third")).send().await.unwrap();
    world.home.start().await;
    world.queue.mark(&key, "req-2").await.unwrap();
    until("both sides were compared", async || world.metadata.stranded(&bucket, &key.key).await.unwrap().is_empty())
        .await;
    world.clean("k").await;
    for site in [&world.near, &world.home] {
        assert_eq!(world.read(site, "k").await.unwrap().0, b"third", "{}", site.id);
    }
}
