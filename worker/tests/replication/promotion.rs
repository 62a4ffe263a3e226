//! Promotions whose backends err, for a moment or for one bucket, against real S3 servers.

use crate::forgotten::Redis;
use crate::sites::{World, create_bucket, until};
use s3gateway_store::queue::WithFallback;
use s3gateway_store::{ObjectCopy, PromotionState, Route, Writes};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A comparison of millions of keys is made of as many answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_fails_for_a_moment_does_not_end_a_promotion() {
    let world = World::embedded().await;
    for n in 0..3 {
        world.put(&format!("k{n}"), vec![n; 10]).await;
        world.clean(&format!("k{n}")).await;
    }
    for status in [500, 503] {
        let place = if status == 500 { &world.near } else { &world.home };
        place.wire.refuse(status, "list-type=2");
        let route = world.metadata.route_by_id(&world.route.bucket).await.unwrap().unwrap();
        let other = if route.home == world.home.id { &world.near.id } else { &world.home.id };
        let begun = world.metadata.begin_promotion(&route.bucket, other, route.epoch, false).await.unwrap();
        let now = async || world.metadata.promotion(&begun.id).await.unwrap();
        until("it says what it waits for", async || {
            let now = now().await;
            assert_ne!(now.state, PromotionState::Failed, "{}", now.detail);
            now.detail.contains("ListObjectsV2")
        })
        .await;
        place.wire.let_in();
        until("the home has moved", async || now().await.state == PromotionState::Done).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_errs_for_one_bucket_is_not_replaced_for_another() {
    let world = World::embedded().await;
    let well = create_bucket(&world.metadata, &world.tenant, "well", &[&world.home, &world.near]).await;
    for bucket in [&world.route.bucket, &well.bucket] {
        world.metadata.set_promote_after(bucket, Some(Duration::from_millis(100))).await.unwrap();
    }
    world.home.wire.refuse(500, &world.bucket_on(&world.home));
    until("the replica is home", async || {
        let promotions = world.metadata.promotions_of(&world.route.bucket, 1).await.unwrap();
        promotions.first().is_some_and(|promotion| promotion.state == PromotionState::Done)
    })
    .await;
    let now = world.metadata.route_by_id(&world.route.bucket).await.unwrap().unwrap();
    assert_eq!(now.home, world.near.id);
    assert_eq!(world.metadata.promotions_of(&well.bucket, 1).await.unwrap(), []);
}

/// Who begins a promotion and who verifies copies have clocks of their own.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_a_slow_clock_has_verified_meanwhile_is_looked_at_before_the_home_moves() {
    let world = World::embedded().await;
    world.put("k", b"x".to_vec()).await;
    world.clean("k").await;
    world.near.wire.hold("list-type=2");
    let (route, near) = (&world.route, &world.near.id);
    let begun = world.metadata.begin_promotion(&route.bucket, near, route.epoch, false).await.unwrap();
    let is_compared = async || world.near.wire.take_seen().iter().any(|line| line.contains("list-type=2"));
    until("the two are compared", is_compared).await;
    let minutes_ago = world.metadata.now() - 10 * 60 * 1000;
    let told = |copy: ObjectCopy| {
        let etag = if copy.backend == world.near.id { "another".to_owned() } else { copy.etag };
        ObjectCopy { etag, verified_at: minutes_ago, ..copy }
    };
    let copies: Vec<ObjectCopy> = world.copies("k").await.into_iter().map(told).collect();
    world.metadata.record_copies(&world.route.bucket, &world.dirty("k").key, &copies).await.unwrap();
    world.near.wire.let_in();
    let now = async || world.metadata.promotion(&begun.id).await.unwrap();
    let has_ended = async || now().await.state.is_over();
    until("it has ended", has_ended).await;
    let ended = now().await;
    assert_eq!(ended.state, PromotionState::Failed, "{ended:?}");
    assert!(ended.detail.contains("k is not at de-fra"), "{}", ended.detail);
}

/// By the clock of whoever has stopped the writes all claims may be over while they are not.
#[tokio::test(flavor = "multi_thread")]
async fn a_forced_promotion_that_is_taken_over_waits_for_claims_by_its_own_count() {
    const LEASE: Duration = Duration::from_millis(1500);
    let mut world = World::embedded().await;
    world.stop_worker().await;
    let (route, near) = (&world.route, &world.near.id);
    let begun = world.metadata.begin_promotion(&route.bucket, near, route.epoch, true).await.unwrap();
    let fenced = world.metadata.fence_bucket(&begun).await.unwrap();
    let lease = i64::try_from(LEASE.as_millis()).unwrap();
    let is_over = async || world.metadata.now() > fenced.fenced_at + lease;
    until("a lease is over since then by the clock", is_over).await;
    let began = Instant::now();
    world.start_worker_with(|settings| settings.lease = LEASE).await;
    let state = async || world.metadata.promotion(&begun.id).await.unwrap().state;
    until("the replica is home", async || state().await == PromotionState::Done).await;
    assert!(began.elapsed() >= LEASE, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_goes_away_while_writes_are_stopped_has_them_go_on() {
    let mut world = World::embedded().await;
    world.stop_worker().await;
    let redis = Redis::start().await;
    world.queue = Arc::new(WithFallback::new(redis.queue(&world).await, world.metadata.sql_queue()));
    let (route, near) = (&world.route, &world.near.id);
    let begun = world.metadata.begin_promotion(&route.bucket, near, route.epoch, false).await.unwrap();
    world.metadata.fence_bucket(&begun).await.unwrap();
    drop(redis);
    world.start_worker().await;
    let writes = async || world.metadata.route_by_id(&world.route.bucket).await.unwrap().unwrap().writes;
    until("writes go on", async || writes().await == Writes::Taken).await;
    let now = world.metadata.promotion(&begun.id).await.unwrap();
    assert_eq!((now.state, now.detail.contains("queue")), (PromotionState::Preparing, true), "{}", now.detail);
}

/// Its turn ends by its own clock, which may be ahead.
#[tokio::test(flavor = "multi_thread")]
async fn writes_that_a_dead_worker_has_stopped_go_on_soon() {
    const LONG: Duration = Duration::from_secs(600);
    let mut world = World::embedded().await;
    world.stop_worker().await;
    let (m, near, far_ahead) = (&world.metadata, &world.near.id, world.metadata.now() + 3_600_000);
    let stop = async |route: &Route| {
        let begun = m.begin_promotion(&route.bucket, near, route.epoch, false).await.unwrap();
        assert!(m.claim_promotion(&begun.id, 0, far_ahead).await.unwrap());
        m.fence_bucket(&begun).await.unwrap()
    };
    stop(&world.route).await;
    let moved = create_bucket(m, &world.tenant, "moved", &[&world.home, &world.near]).await;
    m.move_home(&stop(&moved).await).await.unwrap();
    let buckets = [world.route.bucket.clone(), moved.bucket];
    world.start_worker_with(|settings| settings.lease = LONG).await;
    for bucket in buckets {
        let writes = async || world.metadata.route_by_id(&bucket).await.unwrap().unwrap().writes;
        until("writes go on", async || writes().await == Writes::Taken).await;
    }
}
