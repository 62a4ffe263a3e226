//! The worker under load: how little it asks, who waits for whom, and what a backend that throttles does to the others.

use crate::sites::{Site, World, create_bucket, noise, until};
use s3gateway_store::{DirtyKey, ObjectCopy};
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;

/// Methods of the requests for objects, in their order.
fn methods(seen: Vec<String>) -> Vec<String> {
    let of_object = |line: &String| {
        let path = line.split_once(' ').map(|(_, path)| path.split('?').next().unwrap().trim_matches('/'));
        path.is_some_and(|path| path.contains('/'))
    };
    seen.into_iter().filter(of_object).map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_object_is_read_once_written_once_and_looked_at() {
    let mut world = World::embedded().await;
    world.put("first", noise(5000, 1)).await;
    world.clean("first").await;
    for (key, size) in [("small", 4000), ("empty", 0)] {
        world.stop_worker().await;
        world.put(key, noise(size, 2)).await;
        world.home.wire.take_seen();
        world.near.wire.take_seen();
        world.start_worker().await;
        world.clean(key).await;
        assert_eq!(methods(world.home.wire.take_seen()), ["GET"], "{key}");
        assert_eq!(methods(world.near.wire.take_seen()), ["PUT", "HEAD"], "{key}");
        let (bytes, etag) = world.read(&world.near, key).await.unwrap();
        assert_eq!((bytes, Some(etag)), (noise(size, 2), world.read(&world.home, key).await.map(|read| read.1)));
        assert!(world.copies(key).await.iter().all(|copy| copy.verified_how == "etag"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_throttles_uses_up_no_attempts_and_holds_nobody_up() {
    let mut world = World::embedded().await;
    world.put("first", noise(10, 1)).await;
    world.clean("first").await;
    world.stop_worker().await;
    world.start_worker_with(|settings| (settings.max_attempts, settings.concurrency) = (2, 4)).await;
    world.near.wire.throttle(true);
    for n in 0..40 {
        world.put(&format!("waits-{n}"), noise(1000, n)).await;
    }
    let other = create_bucket(&world.metadata, &world.tenant, "others", &[&world.home, &world.far]).await;
    let (first, began) = (std::mem::replace(&mut world.route, other), Instant::now());
    for n in 0..40 {
        world.put(&format!("goes-{n}"), noise(1000, n)).await;
    }
    for n in 0..40 {
        world.clean(&format!("goes-{n}")).await;
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    world.route = first;
    let shown = || prometheus::TextEncoder::new().encode_to_string(&world.registry.gather()).unwrap();
    let counter = "s3gateway_backend_throttled_total{backend=\"de-fra\"} ";
    let told = || shown().lines().any(|line| line.strip_prefix(counter).is_some_and(|count| count != "0"));
    until("the metrics tell", async || told()).await;
    let asked = world.near.wire.take_seen().len();
    assert!(asked < 100, "a backend that says SlowDown was asked {asked} times in some seconds");
    world.near.wire.throttle(false);
    for n in 0..40 {
        world.clean(&format!("waits-{n}")).await;
    }
    assert!(world.queue.dead_letters(None, 10).await.unwrap().is_empty());
    let attempts = async || world.metadata.jobs(None, None, 1000).await.unwrap().rows;
    until("the history is written", async || attempts().await.len() >= 81).await;
    assert!(attempts().await.iter().all(|job| job.attempts == 1), "{:?}", attempts().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_objects_do_not_wait_for_large_ones() {
    let mut world = World::embedded().await;
    world.stop_worker().await;
    for n in 0..12 {
        world.put(&format!("large-{n}"), noise(4 * MIB, n)).await;
    }
    world
        .start_worker_with(|settings| {
            (settings.concurrency, settings.large_concurrency) = (3, 1);
            (settings.large_object, settings.backend_bandwidth) = (MIB as u64, Some(2 << 20));
        })
        .await;
    until("a large object is being copied", async || !world.near.wire.take_seen().is_empty()).await;
    for n in 0..10 {
        world.put(&format!("small-{n}"), noise(2000, n)).await;
    }
    for n in 0..10 {
        world.clean(&format!("small-{n}")).await;
    }
    assert!(world.queue.depth().await.unwrap().dirty >= 8, "the large ones were not copied first");
    world.stop_worker().await;
    world.start_worker().await;
    for n in 0..12 {
        world.clean(&format!("large-{n}")).await;
        assert!(world.read(&world.near, &format!("large-{n}")).await.unwrap().0 == noise(4 * MIB, n));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absence_is_redriven_however_many_dead_letters_are_older() {
    const OLDER: u64 = 1001;
    let mut world = World::embedded().await;
    world.stop_worker().await;
    let keys: Vec<DirtyKey> = (0..OLDER).map(|n| world.dirty(&format!("hopeless-{n}"))).collect();
    world.queue.mark_all(&keys, "req-1").await.unwrap();
    bury_all(&world, "the target says no").await;
    world.put("was-away", b"x".to_vec()).await;
    bury_all(&world, "unavailable: it was away").await;
    assert_eq!(world.queue.depth().await.unwrap().dead, OLDER + 1);
    world.start_worker_with(|settings| settings.redrive_interval = Duration::from_millis(10)).await;
    world.clean("was-away").await;
    assert_eq!(world.queue.depth().await.unwrap().dead, OLDER);
}

async fn bury_all(world: &World, why: &str) {
    loop {
        let jobs = world.queue.claim("w", 100, Duration::from_secs(600)).await.unwrap();
        if jobs.is_empty() {
            return;
        }
        for job in jobs {
            world.queue.bury(&job, why).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_bucket_with_many_records_goes_to_its_last_row() {
    let mut world = World::new().await;
    world.stop_worker().await;
    let copy = |site: &Site| ObjectCopy {
        backend: site.id.clone(),
        etag: "e".to_owned(),
        home_etag: "e".to_owned(),
        size: 1,
        verified_how: "etag".to_owned(),
        verified_at: 1,
    };
    let both = || vec![copy(&world.home), copy(&world.near)];
    let copies: Vec<_> = (0..3000).map(|n| (world.dirty(&format!("k{n}")), both())).collect();
    world.metadata.put_all_copies(&copies).await.unwrap();
    let (bucket, physical) = (world.route.bucket.clone(), world.bucket_on(&world.home));
    world.metadata.begin_delete_bucket(&bucket).await.unwrap();
    world.home.client().delete_bucket().bucket(physical).send().await.unwrap();
    world.metadata.finish_delete_bucket(&bucket).await.unwrap();
    assert!(world.metadata.route_by_id(&bucket).await.unwrap().is_none());
    assert_eq!(world.copies("k999").await.len(), 2, "the last key is on a later page");
    world.start_worker().await;
    let is_gone = async || world.metadata.delete_tenant(&world.tenant.id).await.is_ok();
    until("the bucket's row is gone", is_gone).await;
    assert!(world.copies("k999").await.is_empty() && world.metadata.sweeps(10).await.unwrap().is_empty());
}
