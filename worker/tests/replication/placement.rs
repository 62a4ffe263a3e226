//! Replicas that are drained, policies that tighten, and a backend that does not answer, against real S3 servers.

use crate::sites::{Site, World, create_bucket, until};
use aws_sdk_s3::primitives::ByteStream;
use s3gateway_config::{BackendId, PlaceRule, ResidencyPolicy};
use s3gateway_s3::{LogicalBucket, ObjectKey, PhysicalBucket};
use s3gateway_store::{Begun, DirtyKey, Drain, DrainReason, DrainState, Kept, NewBucket, PlacementChange};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

const KEYS: usize = 30;

async fn fill(world: &World) -> Vec<String> {
    let keys: Vec<String> = (0..KEYS).map(|n| format!("k/{n:02}")).collect();
    for key in &keys {
        world.put(key, key.clone().into_bytes()).await;
    }
    for key in &keys {
        world.clean(key).await;
    }
    keys
}

pub async fn place(world: &mut World, placement: Vec<BackendId>, replica_count: u32) {
    world.reread_route().await;
    let gone = world.route.placement.iter().filter(|id| !placement.contains(id));
    let drained = gone.map(|id| (id.clone(), DrainReason::Placement, String::new())).collect();
    let change = PlacementChange { seen: &world.route, placement, replica_count, locations: None, drained };
    world.metadata.change_placement(&change).await.unwrap();
}

pub async fn report(world: &World, site: &Site) -> Drain {
    world.metadata.drains(None, Some(&site.id), None, 10).await.unwrap().rows.remove(0)
}

pub async fn is_there(site: &Site, bucket: &str) -> bool {
    site.client().list_buckets().send().await.unwrap().buckets().iter().any(|b| b.name() == Some(bucket))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_replica_goes_once_all_it_held_is_elsewhere() {
    let mut world = World::embedded().await;
    let keys = fill(&world).await;
    let (home, near, far) = (world.home.id.clone(), world.near.id.clone(), world.far.id.clone());
    let old = world.bucket_on(&world.near);
    place(&mut world, vec![home.clone(), far.clone()], 2).await;
    until("the replica is gone", async || report(&world, &world.near).await.state == DrainState::Gone).await;
    assert!(!is_there(&world.near, &old).await);
    world.reread_route().await;
    assert_eq!((&world.route.placement, world.route.draining.len()), (&vec![home.clone(), far], 0));
    for key in &keys {
        assert_eq!(world.read(&world.far, key).await.unwrap().0, key.as_bytes(), "{key}");
        let copies = world.copies(key).await;
        assert!(copies.iter().all(|copy| copy.backend != near), "{copies:?}");
    }
    let drain = report(&world, &world.near).await;
    assert!(drain.begun_at <= drain.proven_at.unwrap() && drain.proven_at <= drain.ended_at, "{drain:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_waits_for_the_place_that_is_to_hold_the_copies() {
    let mut world = World::embedded().await;
    let keys = fill(&world).await;
    let (home, far) = (world.home.id.clone(), world.far.id.clone());
    world.far.stop().await;
    place(&mut world, vec![home, far], 2).await;
    until("a look has come to its end", async || report(&world, &world.near).await.found.is_some()).await;
    world.reread_route().await;
    for key in &keys {
        assert!(world.read(&world.near, key).await.is_some(), "{key} would have one copy only");
    }
    world.stop_worker().await;
    world.far.start().await;
    world.start_worker().await;
    until("the replica is gone", async || report(&world, &world.near).await.state == DrainState::Gone).await;
    for key in &keys {
        assert!(world.read(&world.far, key).await.is_some(), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_drained_replica_has_keeps_it() {
    let mut world = World::embedded().await;
    fill(&world).await;
    let bucket = world.bucket_on(&world.near);
    let stray = world.near.client().put_object().bucket(&bucket).key("stray").body(ByteStream::from_static(b"x"));
    stray.send().await.unwrap();
    let home = world.home.id.clone();
    place(&mut world, vec![home], 1).await;
    let strays = async || report(&world, &world.near).await.found.map(|found| (found.seen, found.strays, found.stray));
    until("only the stray is left", async || strays().await == Some((1, 1, "stray".to_owned()))).await;
    assert_eq!(report(&world, &world.near).await.state, DrainState::Draining);
    world.near.client().delete_object().bucket(&bucket).key("stray").send().await.unwrap();
    until("the replica is gone", async || report(&world, &world.near).await.state == DrainState::Gone).await;
    assert!(!is_there(&world.near, &bucket).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_aside_at_the_drained_replica_keeps_it() {
    let mut world = World::embedded().await;
    world.stop_worker().await;
    let (m, route, near) = (&world.metadata, &world.route, world.near.id.clone());
    let promotion = m.begin_promotion(&route.bucket, &near, route.epoch, true).await.unwrap();
    m.strand_keys(&promotion, &[(ObjectKey::parse("k").unwrap(), None)]).await.unwrap();
    m.fail_promotion(&promotion, "only its stranded key is wanted").await.unwrap();
    let row = m.stranded_of(&route.bucket, None, 1).await.unwrap().remove(0);
    let physical = PhysicalBucket::parse("s3gw-0123-aside").unwrap();
    let kept = Kept { backend: near, physical, etag: "e".to_owned(), size: 5 };
    assert!(m.end_stranded(&row, Some(&kept)).await.unwrap());
    let home = world.home.id.clone();
    place(&mut world, vec![home], 1).await;
    world.start_worker().await;
    let found = async || report(&world, &world.near).await.found;
    until("a look that counts has come to its end", async || found().await.is_some_and(|found| found.counts)).await;
    let drain = report(&world, &world.near).await;
    assert_eq!((drain.state, found().await.map(|found| found.aside)), (DrainState::Draining, Some(1)));
    world.metadata.drop_stranded(&row.id).await.unwrap();
    until("the replica is gone", async || report(&world, &world.near).await.state == DrainState::Gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_tightens_moves_copies_and_says_when_the_last_was_gone() {
    let mut world = World::embedded().await;
    let keys = fill(&world).await;
    let old = world.bucket_on(&world.near);
    let deny = PlaceRule { jurisdictions: vec!["EU".to_owned()], ..PlaceRule::default() };
    let policy = ResidencyPolicy { deny, ..ResidencyPolicy::default() };
    world.metadata.set_bucket_policy(&world.route.bucket, &policy).await.unwrap();
    until("the forbidden replica is gone", async || {
        let drains = world.metadata.drains(None, Some(&world.near.id), None, 1).await.unwrap().rows;
        drains.first().is_some_and(|drain| drain.state == DrainState::Gone)
    })
    .await;
    assert_eq!(report(&world, &world.near).await.reason, DrainReason::Policy);
    assert!(!is_there(&world.near, &old).await);
    let leave = world.metadata.homes_to_leave(None, 10).await.unwrap();
    assert_eq!(leave.iter().map(|home| &home.home).collect::<Vec<_>>(), [&world.home.id], "promote first");
    world.reread_route().await;
    for key in &keys {
        world.clean(key).await;
        assert!(world.read(&world.home, key).await.is_some() && world.read(&world.far, key).await.is_some(), "{key}");
    }
}

/// How long a worker that has two slots waits for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(1500);

async fn start_two_at_a_time(world: &mut World) {
    world
        .start_worker_with(|settings| {
            settings.concurrency = 2;
            settings.answer_timeout = ANSWER_TIMEOUT;
        })
        .await;
}

/// How long twenty keys of the world's bucket take from the first write until all are clean.
async fn converge_twenty(world: &World) -> Duration {
    let began = Instant::now();
    for n in 0..20 {
        world.put(&format!("free/{n}"), vec![1; 100]).await;
    }
    for n in 0..20 {
        world.clean(&format!("free/{n}")).await;
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backend_that_does_not_answer_holds_nobody_else_up() {
    const STUCK: usize = 200;
    let mut world = World::new().await;
    world.stop_worker().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", silent.local_addr().unwrap());
    let held = tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((connection, _)) = silent.accept().await {
            connections.push(connection);
        }
    });
    let site = Site::given("silent", &endpoint, "test", "testsecret");
    world.add(&site).await;
    let new = NewBucket {
        tenant: world.tenant.id.clone(),
        name: LogicalBucket::parse("stuck").unwrap(),
        placement: vec![site.id.clone()],
        replica_count: 1,
        location: String::new(),
    };
    let Begun::Created(route) = world.metadata.begin_create_bucket(&new).await.unwrap() else { panic!("it is new") };
    world.metadata.activate_bucket(&route.bucket).await.unwrap();
    for n in 0..STUCK {
        let key = DirtyKey { bucket: route.bucket.clone(), key: ObjectKey::parse(&format!("{n}")).unwrap() };
        world.queue.mark(&key, "req-stuck").await.unwrap();
    }
    start_two_at_a_time(&mut world).await;
    let took = converge_twenty(&world).await;
    // Two at a time and two tries each: without being left alone it would hold the worker for minutes.
    let alone = ANSWER_TIMEOUT * 2 * u32::try_from(STUCK).unwrap() / 2;
    assert!(took < alone / 6, "{took:?} of {alone:?}");
    let attempts = world.metadata.jobs(Some(&route.bucket), None, 1000).await.unwrap().rows;
    assert!(attempts.len() < STUCK, "{} attempts were counted", attempts.len());
    assert!(world.queue.dead_letters(None, 10).await.unwrap().is_empty());
    held.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_takes_uploads_and_does_not_answer_holds_nobody_else_up() {
    const STUCK: usize = 80;
    let mut world = World::embedded().await;
    world.stop_worker().await;
    start_two_at_a_time(&mut world).await;
    // Of a replica whose bucket is known nothing is asked before a new object is sent there.
    world.put("first", vec![1; 100]).await;
    world.clean("first").await;
    world.near.wire.hold("");
    for n in 0..STUCK {
        world.put(&format!("stuck/{n}"), vec![1; 100]).await;
    }
    let others = create_bucket(&world.metadata, &world.tenant, "others", &[&world.home, &world.far]).await;
    let stuck = std::mem::replace(&mut world.route, others);
    let took = converge_twenty(&world).await;
    let alone = ANSWER_TIMEOUT * u32::try_from(STUCK).unwrap() / 2;
    assert!(took < alone / 3, "{took:?} of {alone:?}");
    let attempts = world.metadata.jobs(Some(&stuck.bucket), None, 1000).await.unwrap().rows;
    assert!(attempts.len() < STUCK, "{} attempts were counted", attempts.len());
    world.route = stuck;
    world.near.wire.let_in();
    for n in 0..STUCK {
        world.clean(&format!("stuck/{n}")).await;
    }
    assert!(world.queue.dead_letters(None, 10).await.unwrap().is_empty());
}
