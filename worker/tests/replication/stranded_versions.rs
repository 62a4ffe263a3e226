//! Versions that stayed behind at a former home, when that is back, against real S3 servers.

use crate::sites::{World, noise, until};
use crate::stranded::{has_said, promote_near};
use crate::versions::{Written, assert_kept, delete, delete_version, listed, put, rows, set_versioning, versioned};
use aws_sdk_s3::primitives::ByteStream;
use s3gateway_s3::Versioning;
use s3gateway_store::{Merging, StrandedState};

/// Has the replica become home while the home is away, which alone has what `write` has written. The two change their places in the world.
async fn strand<T>(world: &mut World, write: impl AsyncFnOnce(&World) -> T) -> T {
    world.near.stop().await;
    let written = write(world).await;
    world.home.stop().await;
    world.near.start().await;
    promote_near(world).await;
    std::mem::swap(&mut world.home, &mut world.near);
    world.reread_route().await;
    assert_eq!(world.metadata.stranded(&world.route.bucket, &world.dirty("k").key).await.unwrap().len(), 1);
    written
}

/// A client's write at the new home, as a proxy takes it.
async fn put_since(world: &World, body: &[u8]) -> Written {
    let written = put(world, "k", body).await;
    world.metadata.overwrite_stranded(&world.route.bucket, &world.dirty("k").key).await.unwrap();
    written
}

async fn settle(world: &World) {
    let (bucket, key) = (&world.route.bucket, world.dirty("k"));
    world.queue.mark(&key, "req-2").await.unwrap();
    until("it is settled", async || world.metadata.stranded(bucket, &key.key).await.unwrap().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_over_it_leaves_nothing_that_is_taken_for_a_clients() {
    let mut world = versioned().await;
    let first = put(&world, "k", b"one").await;
    world.clean("k").await;
    let mut want = vec![first];
    let left = strand(&mut world, async |world| {
        [put(world, "k", &noise(300_000, 1)).await, delete(world, "k").await, put(world, "k", b"three").await]
    });
    want.extend(left.await);
    want.push(put_since(&world, b"since").await);
    want.push(delete(&world, "k").await);
    want.push(put_since(&world, b"since again").await);
    let newest = want.last().unwrap().0.clone();

    // What is copied is not recorded, and its worker begins once more each time.
    world.home.wire.refuse(500, "tagging&versionId");
    world.near.start().await;
    world.queue.mark(&world.dirty("k"), "req-2").await.unwrap();
    let count = async || listed(&world, &world.home, "k").await.0.len();
    until("a copy is left", async || count().await > 4).await;
    world.stop_worker().await;
    let row = world.metadata.stranded(&world.route.bucket, &world.dirty("k").key).await.unwrap().remove(0);
    assert!(row.merging.is_some() && row.state == StrandedState::Open, "nobody reads it, nobody writes it: {row:?}");
    // Then all is copied, and nothing of before goes.
    world.home.wire.refuse(500, &format!("DeleteObject&versionId={newest}"));
    world.start_worker().await;
    until("all are recorded", async || rows(&world, &world.home, "k").await.len() == want.len()).await;
    world.stop_worker().await;
    world.home.wire.let_in();
    world.start_worker().await;
    settle(&world).await;
    for site in [&world.home, &world.near] {
        assert_kept(&world, site, "k", &want).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_come_home_stays_where_the_rest_is_given_up() {
    let mut world = versioned().await;
    let mut want = vec![put(&world, "k", b"one").await];
    world.clean("k").await;
    let left = strand(&mut world, async |world| {
        [put(world, "k", b"two").await, delete(world, "k").await, put(world, "k", b"three").await]
    });
    let [two, marker, (three, _)] = left.await;
    want.extend([two, marker, put_since(&world, b"since").await, put_since(&world, b"since again").await]);
    world.near.wire.refuse(500, &three);
    world.near.start().await;
    world.queue.mark(&world.dirty("k"), "req-2").await.unwrap();
    until("two have come home", async || rows(&world, &world.home, "k").await.len() == 3).await;
    world.near.stop().await;
    let (bucket, key) = (&world.route.bucket, world.dirty("k").key);
    let row = world.metadata.stranded(bucket, &key).await.unwrap().remove(0);
    assert!(matches!(row.merging, Some(Merging::Writing(_))), "{row:?}");
    world.metadata.give_up_stranded(&row.id).await.unwrap();
    settle(&world).await;
    assert_eq!(listed(&world, &world.home, "k").await.0.len(), want.len());
    world.near.wire.let_in();
    world.near.start().await;
    for site in [&world.home, &world.near] {
        assert_kept(&world, site, "k", &want).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_former_home_has_deleted_goes_and_what_it_has_lost_does_not() {
    let mut world = versioned().await;
    put(&world, "other", b"x").await;
    let mut want =
        vec![put(&world, "k", b"one").await, put(&world, "k", b"two").await, put(&world, "k", b"three").await];
    for key in ["k", "other"] {
        world.clean(key).await;
    }
    let (gone, _) = want.remove(1);
    strand(&mut world, async |world| delete_version(world, "k", &gone).await).await;
    // It lists less than it has.
    world.near.wire.hide(&[&want[0].0]);
    world.near.start().await;
    world.queue.mark(&world.dirty("k"), "req-2").await.unwrap();
    until("it is not believed", async || has_said(&world, "a version that it does not list").await).await;
    assert_eq!(listed(&world, &world.home, "k").await.0.len(), 3, "nothing has gone");
    world.near.wire.hide(&[]);
    settle(&world).await;
    for site in [&world.home, &world.near] {
        assert_kept(&world, site, "k", &want).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_null_version_that_was_replaced_at_the_former_home_is_replaced_here() {
    let mut world = versioned().await;
    let mut want = vec![put(&world, "k", b"one").await];
    set_versioning(&mut world, Versioning::Suspended).await;
    let replaced = put(&world, "k", b"the first null version").await;
    world.clean("k").await;
    want.push(strand(&mut world, async |world| put(world, "k", b"the null version").await).await);
    assert_eq!((replaced.0.as_str(), want[1].0.as_str()), ("null", "null"));
    assert_eq!(world.route.versioning, Versioning::Enabled, "by force");
    want.push(put_since(&world, b"since").await);
    assert_ne!(want[2].0, "null");
    world.near.start().await;
    settle(&world).await;
    for site in [&world.home, &world.near] {
        assert_kept(&world, site, "k", &want).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_null_version_of_the_former_home_that_is_given_up_is_not_taken_for_the_one_before_it() {
    let mut world = versioned().await;
    set_versioning(&mut world, Versioning::Suspended).await;
    let want = [put(&world, "k", b"one").await];
    world.clean("k").await;
    // The same bytes otherwise described: nothing that is listed tells it from the one before.
    strand(&mut world, async |world| {
        let put =
            world.home.client().put_object().bucket(world.bucket_on(&world.home)).key("k").content_type("text/html");
        world.write("k", put.body(ByteStream::from_static(b"one")).send()).await.unwrap();
    })
    .await;
    let key = world.dirty("k").key;
    let row = world.metadata.stranded(&world.route.bucket, &key).await.unwrap().remove(0);
    world.metadata.give_up_stranded(&row.id).await.unwrap();
    world.near.start().await;
    settle(&world).await;
    for site in [&world.home, &world.near] {
        assert_kept(&world, site, "k", &want).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_kept_where_a_former_home_comes_back_empty() {
    let mut world = versioned().await;
    let want = [put(&world, "k", b"one").await, put(&world, "k", b"two").await];
    put(&world, "other", b"x").await;
    for key in ["k", "other"] {
        world.clean(key).await;
    }
    strand(&mut world, async |world| put(world, "k", b"three").await).await;
    world.stop_worker().await;
    world.near.start().await;
    let (client, bucket) = (world.near.client(), world.bucket_on(&world.near));
    for (key, site) in [("k", &world.near), ("other", &world.near)] {
        for version in listed(&world, site, key).await.0 {
            client.delete_object().bucket(&bucket).key(key).version_id(version).send().await.unwrap();
        }
    }
    world.start_worker().await;
    world.queue.mark(&world.dirty("k"), "req-2").await.unwrap();
    until("nothing is concluded", async || has_said(&world, "that it had when it was home").await).await;
    assert_eq!(listed(&world, &world.home, "k").await.0.len(), want.len());
    // Given up, it is what the new home has.
    let row = world.metadata.stranded(&world.route.bucket, &world.dirty("k").key).await.unwrap().remove(0);
    world.metadata.give_up_stranded(&row.id).await.unwrap();
    world.queue.mark(&world.dirty("k"), "req-3").await.unwrap();
    for site in [&world.home, &world.near] {
        assert_kept(&world, site, "k", &want).await;
    }
}
