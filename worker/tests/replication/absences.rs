//! Places that are away beside places that say no, against real S3 servers.

use crate::sites::{World, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_was_away_gets_its_copy_though_another_can_never_hold_the_key() {
    let mut world = World::embedded().await;
    world.metadata.set_replica_count(&world.route.bucket, 3).await.unwrap();
    world.near.stop().await;
    // No name of a file can be as long as this.
    let key = "k".repeat(110);
    world.put(&key, b"x".to_vec()).await;
    until("an attempt has failed", async || !world.metadata.jobs(None, None, 1).await.unwrap().rows.is_empty()).await;
    assert!(world.queue.dead_letters(None, 10).await.unwrap().is_empty(), "it waits for the place that is away");
    world.near.start().await;
    until("the copy is there", async || world.read(&world.near, &key).await.is_some()).await;
    // Then nothing is left but what will never be.
    until("it is given up", async || !world.queue.dead_letters(None, 10).await.unwrap().is_empty()).await;
    let letter = world.queue.dead_letters(None, 10).await.unwrap().remove(0);
    assert!(letter.reason.contains("us-iad: the target cannot hold this key"), "{}", letter.reason);
}
