//! Walks that are held back: by a queue that has enough to do, or by their rate, which an operator changes while they run.

use crate::sites::{World, create_bucket, until};
use aws_sdk_s3::primitives::ByteStream;
use s3gateway_s3::ObjectKey;
use s3gateway_store::queue::Mark;
use s3gateway_store::{BucketId, DirtyKey, NewWalk, Walk, WalkKind, WalkState};
use s3gateway_worker::WorkerSettings;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Past the gateway: nothing is marked.
async fn put_behind(world: &World, bucket: &str, key: &str) {
    let put = world.home.client().put_object().bucket(bucket).key(key);
    put.body(ByteStream::from(key.as_bytes().to_vec())).send().await.unwrap();
}

async fn begin(world: &World, bucket: &BucketId, kind: WalkKind, rate: u32) -> Walk {
    let new = NewWalk { bucket: bucket.clone(), kind, rate, reason: "a test".to_owned() };
    world.metadata.begin_walk(new).await.unwrap()
}

async fn look(world: &World, walk: &Walk) -> Walk {
    world.metadata.walk(&walk.id).await.unwrap()
}

async fn reach(world: &World, walk: &Walk, state: WalkState) -> Walk {
    until(state.as_str(), async || {
        let now = look(world, walk).await;
        assert!(now.state == state || !now.state.is_final(), "{now:?}");
        now.state == state
    })
    .await;
    look(world, walk).await
}

/// Keys `k00`, `k01`, … with both copies in place.
async fn fill(world: &World, count: usize) {
    let keys: Vec<String> = (0..count).map(|n| format!("k{n:02}")).collect();
    for key in &keys {
        world.put(key, key.clone().into_bytes()).await;
    }
    for key in &keys {
        world.clean(key).await;
    }
}

/// Shards that no worker walks.
async fn free_shards(world: &World) -> usize {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    world.metadata.free_shards(i64::try_from(now).unwrap(), 100, None).await.unwrap().len()
}

/// Writes of a bucket's keys that are in flight.
async fn begin_writes(world: &World, bucket: &BucketId, count: usize) -> Vec<(DirtyKey, Mark)> {
    let mut writes = Vec::new();
    for n in 0..count {
        let key = DirtyKey { bucket: bucket.clone(), key: ObjectKey::parse(&format!("busy-{n}")).unwrap() };
        let mark = world.queue.intent(&key, "req-1", Duration::from_secs(600)).await.unwrap();
        writes.push((key, mark));
    }
    writes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_waits_while_the_queue_has_enough_to_do_and_keeps_nothing_else_waiting() {
    let mut world = World::embedded().await;
    fill(&world, 28).await;
    world.stop_worker().await;
    let other = create_bucket(&world.metadata, &world.tenant, "others", &[&world.home, &world.far]).await;
    let writes = begin_writes(&world, &other.bucket, 10).await;
    // Five shards of five keys and one of three, one step each; of two at a time one may be a backfill's.
    world
        .start_worker_with(|settings| {
            (settings.backlog, settings.shard_keys, settings.walk_shards) = (10, 5, 2);
            settings.lease = Duration::from_secs(1);
        })
        .await;
    let bucket = world.route.bucket.clone();
    let shown = || prometheus::TextEncoder::new().encode_to_string(&world.registry.gather()).unwrap();
    let walk = begin(&world, &bucket, WalkKind::Backfill, 0).await;
    until("it is walked", async || shown().contains("s3gateway_walk_running_shards 1")).await;
    // A comparison of another bucket finds and marks a key all the same.
    put_behind(&world, other.physical_on(&world.home.id).unwrap().for_upstream(), "new").await;
    let reconcile = begin(&world, &other.bucket, WalkKind::Reconcile, 0).await;
    assert_eq!(reach(&world, &reconcile, WalkState::Done).await.marked, 1);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let held = look(&world, &walk).await;
    assert_eq!((held.state, held.note.as_str(), held.attempts, held.marked), (WalkState::Running, "", 0, 0));
    // Longer than the lease has lasted.
    assert_eq!(free_shards(&world).await, 5, "its claim stands");

    world.metadata.cancel_walk(&walk.id).await.unwrap();
    until("the shard is let go", async || shown().contains("s3gateway_walk_running_shards 0")).await;
    let next = begin(&world, &bucket, WalkKind::Backfill, 0).await;
    until("it is walked", async || shown().contains("s3gateway_walk_running_shards 1")).await;
    tokio::time::timeout(Duration::from_secs(10), world.stop_worker()).await.unwrap();
    for (key, mark) in &writes {
        world.queue.release(key, mark).await.unwrap();
    }
    world.start_worker_with(|settings| settings.backlog = 10).await;
    assert_eq!(reach(&world, &next, WalkState::Done).await.marked, 28, "it goes on as the queue empties");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_backend_that_is_away_holds_no_other_bucket_back() {
    let mut world = World::embedded().await;
    fill(&world, 28).await;
    world.stop_worker().await;
    world.near.stop().await;
    let backlog = |settings: &mut WorkerSettings| {
        (settings.backlog, settings.shard_keys, settings.walk_shards) = (10, 5, 2);
        settings.backoff_max = Duration::from_secs(2);
    };
    world.start_worker_with(backlog).await;
    let walk = begin(&world, &world.route.bucket, WalkKind::Backfill, 0).await;
    until("it says why it waits", async || look(&world, &walk).await.note.contains("worker.backlog")).await;
    let other = create_bucket(&world.metadata, &world.tenant, "others", &[&world.home, &world.far]).await;
    for n in 0..25 {
        put_behind(&world, other.physical_on(&world.home.id).unwrap().for_upstream(), &format!("k{n:02}")).await;
    }
    let elsewhere = begin(&world, &other.bucket, WalkKind::Backfill, 0).await;
    assert_eq!(reach(&world, &elsewhere, WalkState::Done).await.marked, 25);
    let held = look(&world, &walk).await;
    assert!((10..=25).contains(&held.marked) && !held.state.is_final(), "{held:?}");
    world.near.start().await;
    assert_eq!(reach(&world, &walk, WalkState::Done).await.marked, 28, "it goes on as the backend is back");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_hold_no_walk_back() {
    let mut world = World::embedded().await;
    fill(&world, 3).await;
    world.stop_worker().await;
    let other = create_bucket(&world.metadata, &world.tenant, "others", &[&world.home, &world.near]).await;
    for n in 0..20 {
        let key = ObjectKey::parse(&format!("dead-{n}")).unwrap();
        world.queue.mark(&DirtyKey { bucket: other.bucket.clone(), key }, "req-1").await.unwrap();
    }
    while let [job, ..] = &world.queue.claim("test", 1, Duration::from_secs(30)).await.unwrap()[..] {
        world.queue.bury(job, "for the test").await.unwrap();
    }
    assert_eq!(world.queue.depth().await.unwrap().dead, 20);
    world.start_worker_with(|settings| settings.backlog = 10).await;
    let walk = begin(&world, &world.route.bucket, WalkKind::Backfill, 0).await;
    assert_eq!(reach(&world, &walk, WalkState::Done).await.marked, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_that_runs_is_slowed_and_hastened() {
    let mut world = World::embedded().await;
    let bucket = world.bucket_on(&world.home);
    for n in 0..200 {
        put_behind(&world, &bucket, &format!("k{n:03}")).await;
    }
    world.stop_worker().await;
    world.start_worker_with(|settings| settings.backfill_rate = 40).await;
    let walk = begin(&world, &world.route.bucket, WalkKind::Backfill, 0).await;
    until("some steps", async || look(&world, &walk).await.done >= 40).await;
    assert_eq!(look(&world, &walk).await.rate, 40, "the worker's own, as none was given");
    world.metadata.set_walk_rate(&walk.id, 1).await.unwrap();
    until("it has seen that", async || look(&world, &walk).await.done >= 80).await;
    // What it has taken at the new rate would have it wait for more than half a minute.
    let (slow, began) = (look(&world, &walk).await, Instant::now());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let done = look(&world, &walk).await.done;
    assert!(done <= slow.done + 40 && done < 200, "{done} after {}", slow.done);
    world.metadata.set_walk_rate(&walk.id, 0).await.unwrap();
    assert_eq!(reach(&world, &walk, WalkState::Done).await.done, 200);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn walks_that_wait_for_a_backend_ask_it_seldom_and_keep_no_other_waiting() {
    const WALKS: usize = 60;
    let mut world = World::embedded().await;
    world.stop_worker().await;
    let mut stuck = Vec::new();
    for n in 0..WALKS {
        let sites = [&world.home, &world.far];
        let route = create_bucket(&world.metadata, &world.tenant, &format!("stuck-{n}"), &sites).await;
        stuck.push(begin(&world, &route.bucket, WalkKind::Reconcile, 0).await);
    }
    world.home.wire.take_seen();
    world.home.wire.refuse(500, "list-type=2");
    world.start_worker().await;
    for walk in &stuck {
        until("it says why it waits", async || !look(&world, walk).await.note.is_empty()).await;
    }
    let other = create_bucket(&world.metadata, &world.tenant, "others", &[&world.near, &world.far]).await;
    let other = begin(&world, &other.bucket, WalkKind::Reconcile, 0).await;
    reach(&world, &other, WalkState::Done).await;
    let asked = world.home.wire.take_seen().iter().filter(|line| line.contains("list-type=2")).count();
    assert!((1..WALKS / 2).contains(&asked), "asked {asked} times");
    world.home.wire.let_in();
    for walk in &stuck {
        reach(&world, walk, WalkState::Done).await;
    }
}
