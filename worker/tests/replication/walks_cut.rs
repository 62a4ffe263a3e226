//! Walks as they are cut into shards: however long that takes, one worker does it, and nothing else waits for it.

use crate::sites::{World, create_bucket, until};
use aws_sdk_s3::primitives::ByteStream;
use futures::future::join_all;
use s3gateway_s3::ObjectKey;
use s3gateway_store::{BucketId, NewWalk, ObjectCopy, Walk, WalkKind, WalkState};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A bucket of so many keys that was there before the gateway, and the backfill that its adoption has begun.
async fn adopt(world: &World, keys: usize) -> Walk {
    let client = world.home.client();
    client.create_bucket().bucket("legacy").send().await.unwrap();
    let names: Vec<String> = (0..keys).map(|n| format!("k{n:04}")).collect();
    for some in names.chunks(16) {
        let put =
            |key: &String| client.put_object().bucket("legacy").key(key).body(ByteStream::from_static(b"x")).send();
        for put in join_all(some.iter().map(put)).await {
            put.unwrap();
        }
    }
    let route = world.adopt("legacy").await;
    world.metadata.walks_of(&route.bucket, 1).await.unwrap().remove(0)
}

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Requests for the adopted bucket's list, from its beginning or from further on.
fn lists(seen: &[String], further: bool) -> usize {
    let of_list = seen.iter().filter(|line| line.contains("/legacy") && line.contains("list-type=2"));
    of_list.filter(|line| line.contains("start-after") == further).count()
}

async fn begin(world: &World, bucket: &BucketId, kind: WalkKind) -> Walk {
    let new = NewWalk { bucket: bucket.clone(), kind, rate: 0, reason: "a test".to_owned() };
    world.metadata.begin_walk(new).await.unwrap()
}

async fn look(world: &World, walk: &Walk) -> Walk {
    world.metadata.walk(&walk.id).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_of_many_bounds_is_cut_though_that_outlasts_its_claim() {
    const KEYS: u64 = 4000;
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
    world.start_worker_with(|settings| (settings.lease, settings.shard_keys) = (Duration::from_millis(400), 1)).await;
    until("it has begun", async || look(&world, &walk).await.begun_at > 0).await;
    assert_eq!(look(&world, &walk).await.total, KEYS);
    world.metadata.cancel_walk(&walk.id).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adopted_bucket_is_cut_by_what_its_home_lists() {
    let mut world = World::embedded().await;
    world.stop_worker().await;
    // More than one page of a listing.
    let walk = adopt(&world, 1003).await;
    let set =
        |settings: &mut s3gateway_worker::WorkerSettings| (settings.shard_keys, settings.backfill_rate) = (250, 50);
    world.start_worker_with(set).await;
    until("some steps", async || look(&world, &walk).await.done > 0).await;
    world.stop_worker().await;
    let begun = look(&world, &walk).await;
    assert_eq!((begun.state, begun.total, begun.rate), (WalkState::Running, 1003, 50), "{begun:?}");
    assert!(begun.left(now()).is_some_and(|left| left > 0), "when it is done can be told: {begun:?}");
    let shards = world.metadata.free_shards(now(), 100, None).await.unwrap();
    let bounds: Vec<&str> = shards.iter().map(|shard| shard.up_to.as_str()).collect();
    assert_eq!(bounds, ["k0249", "k0499", "k0749", "k0999", ""]);
    world.metadata.set_walk_rate(&walk.id, 0).await.unwrap();
    world.start_worker().await;
    until("it is done", async || look(&world, &walk).await.state == WalkState::Done).await;
    let done = look(&world, &walk).await;
    assert_eq!((done.done, done.marked), (1003, 1003), "{done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_lists_slowly_keeps_its_walk_with_one_worker_and_no_other_waiting() {
    let mut world = World::embedded().await;
    world.stop_worker().await;
    let walk = adopt(&world, 7).await;
    world.home.wire.take_seen();
    world.home.wire.hold("list-type=2");
    let brief = |settings: &mut s3gateway_worker::WorkerSettings| settings.lease = Duration::from_secs(1);
    world.start_worker_with(brief).await;
    let waiting = async || world.metadata.walks_due(i64::MAX, 10).await.unwrap().iter().any(|due| due.due_at > 0);
    until("it is being cut", waiting).await;
    let other = create_bucket(&world.metadata, &world.tenant, "others", &[&world.near, &world.far]).await;
    let other = begin(&world, &other.bucket, WalkKind::Reconcile).await;
    until("another is walked meanwhile", async || look(&world, &other).await.state == WalkState::Done).await;
    // Several times as long as a claim that is not prolonged stands.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(look(&world, &walk).await.begun_at, 0);
    assert_eq!(lists(&world.home.wire.take_seen(), false), 1, "nobody else has begun to cut it");
    tokio::time::timeout(Duration::from_secs(10), world.stop_worker()).await.unwrap();
    world.home.wire.let_in();
    world.start_worker_with(|settings| settings.shard_keys = 3).await;
    until("it is done", async || look(&world, &walk).await.state == WalkState::Done).await;
    let done = look(&world, &walk).await;
    assert_eq!((done.total, done.done, done.marked), (7, 7, 7), "{done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_fails_on_its_way_goes_on_and_one_that_cannot_begin_is_told_of() {
    let mut world = World::embedded().await;
    world.stop_worker().await;
    let walk = adopt(&world, 1003).await;
    world.home.wire.refuse(403, "/legacy");
    world.start_worker().await;
    until("it says why it waits", async || !look(&world, &walk).await.note.is_empty()).await;
    let waits = look(&world, &walk).await;
    assert_eq!((waits.state, waits.begun_at), (WalkState::Waiting, 0), "{waits:?}");
    world.stop_worker().await;
    world.home.wire.refuse(500, "start-after");
    world.home.wire.take_seen();
    world.start_worker().await;
    let seen = Mutex::new(Vec::new());
    let lists_seen = |further| {
        let mut seen = seen.lock().unwrap();
        seen.extend(world.home.wire.take_seen());
        lists(&seen, further)
    };
    // More often than one request is tried.
    until("its second page is refused", async || lists_seen(true) >= 5).await;
    world.home.wire.let_in();
    until("it is done", async || look(&world, &walk).await.state == WalkState::Done).await;
    let done = look(&world, &walk).await;
    assert_eq!(lists_seen(false), 2, "to cut it, and to walk it");
    assert_eq!((done.total, done.done, done.attempts), (1003, 1003, 0), "{done:?}");
}
