//! Migrations of buckets, against real S3 servers.

use crate::sites::{Site, World, until};
use crate::versions::{delete, delete_version, listed, put, rows, set_versioning};
use s3gateway_s3::{LogicalBucket, Versioning};
use s3gateway_store::{Begun, Migration, MigrationState, NewBucket, NewMigration, PromotionState};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

/// A world whose bucket is in these places, with a copy in each.
async fn world_in(places: impl Fn(&World) -> Vec<&Site>) -> World {
    let mut world = World::embedded().await;
    world.stop_worker().await;
    world.start_worker_with(|settings| settings.lease = Duration::from_millis(1500)).await;
    let placement: Vec<_> = places(&world).into_iter().map(|site| site.id.clone()).collect();
    let new = NewBucket {
        tenant: world.tenant.id.clone(),
        name: LogicalBucket::parse("moves").unwrap(),
        replica_count: u32::try_from(placement.len()).unwrap(),
        placement,
        location: String::new(),
    };
    let Begun::Created(route) = world.metadata.begin_create_bucket(&new).await.unwrap() else { panic!("it is new") };
    world.route = route;
    world.home.client().create_bucket().bucket(world.bucket_on(&world.home)).send().await.unwrap();
    world.metadata.activate_bucket(&world.route.bucket).await.unwrap();
    world.reread_route().await;
    world
}

/// Begins to move the bucket to the near site and to drop what it leaves.
async fn migrate(world: &World, is_deep: bool) -> Migration {
    let asked = NewMigration {
        seen: &world.route,
        to: world.near.id.clone(),
        drop_old: true,
        is_deep,
        asked_by: "test".to_owned(),
    };
    world.metadata.begin_migration(&asked).await.unwrap()
}

/// A proxy's view that knows all changes up to `head`.
async fn view(world: &World, head: i64) {
    const LONG: Duration = Duration::from_secs(600);
    world.metadata.note_view("proxy", head, LONG, LONG).await.unwrap();
}

/// Migrates, and stays where the home has just moved: a proxy does not know of it yet, so that nothing of the old home is looked at.
async fn migrate_and_stay(world: &mut World, is_deep: bool) -> Migration {
    view(world, 0).await;
    let begun = migrate(world, is_deep).await;
    until("the home has moved", async || {
        let last = world.metadata.promotions_of(&world.route.bucket, 1).await.unwrap().pop();
        let Some(last) = last else { return false };
        let has_moved = last.state == PromotionState::Moved;
        if !has_moved {
            view(world, last.fence).await;
        }
        has_moved
    })
    .await;
    world.reread_route().await;
    begun
}

/// As clients of the moved bucket see it: the near site is its home.
fn at_the_new_home(world: &mut World) {
    std::mem::swap(&mut world.home, &mut world.near);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_the_new_home_has_lost_keeps_the_old_one() {
    let mut world = world_in(|world| vec![&world.home]).await;
    set_versioning(&mut world, Versioning::Enabled).await;
    let (one, _) = put(&world, "k", b"one").await;
    put(&world, "k", b"two").await;
    world.clean("k").await;
    let (physical, old) = (world.bucket_on(&world.home), listed(&world, &world.home, "k").await.0);
    let begun = migrate_and_stay(&mut world, false).await;
    let own = rows(&world, &world.near, "k").await[0].version.to_string();
    assert_ne!(own, one);
    let lost = world.near.client().delete_object().bucket(world.bucket_on(&world.near)).key("k").version_id(&own);
    lost.send().await.unwrap();
    view(&world, i64::MAX).await;
    let now = async || world.metadata.migration(&begun.id).await.unwrap();
    until("it is missed", async || now().await.detail.contains("not at the new one")).await;
    assert!(now().await.detail.contains("such as k;"), "{}", now().await.detail);
    assert_eq!(now().await.state, MigrationState::Verifying);
    world.metadata.cancel_migration(&begun.id, "no").await.unwrap();
    let page = world.home.client().list_object_versions().bucket(physical).send().await.unwrap();
    let left: BTreeSet<_> = page.versions().iter().map(|version| version.version_id().unwrap()).collect();
    assert_eq!(left, old.iter().map(String::as_str).collect(), "nothing was deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_of_a_version_that_are_others_at_the_new_home_keep_the_old_one() {
    let mut world = world_in(|world| vec![&world.home]).await;
    set_versioning(&mut world, Versioning::Enabled).await;
    put(&world, "k", b"first bytes").await;
    put(&world, "k", b"second").await;
    world.clean("k").await;
    let begun = migrate_and_stay(&mut world, true).await;
    world.near.corrupt(b"first bytes", b"other bytes");
    view(&world, i64::MAX).await;
    let now = async || world.metadata.migration(&begun.id).await.unwrap();
    until("it is found", async || now().await.detail.contains("not at the new one")).await;
    assert_eq!(now().await.state, MigrationState::Verifying);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_do_with_versions_at_the_new_home_is_no_difference() {
    let mut world = world_in(|world| vec![&world.home]).await;
    let null = put(&world, "k", b"from before").await;
    set_versioning(&mut world, Versioning::Enabled).await;
    for body in [b"one", b"two"] {
        put(&world, "k", body).await;
        put(&world, "other", body).await;
    }
    delete(&world, "other").await;
    world.clean("k").await;
    world.clean("other").await;
    let old = world.bucket_on(&world.home);
    let begun = migrate_and_stay(&mut world, true).await;
    let at_home = rows(&world, &world.near, "k").await;
    assert_eq!(at_home[0].home_version.as_str(), null.0);
    assert_eq!((at_home.len(), rows(&world, &world.near, "other").await.len()), (3, 3));
    at_the_new_home(&mut world);
    for gone in &at_home[..2] {
        delete_version(&world, "k", gone.version.as_str()).await;
    }
    put(&world, "k", b"newer").await;
    delete(&world, "other").await;
    world.clean("k").await;
    world.clean("other").await;
    assert_eq!(rows(&world, &world.home, "k").await.len(), 1);
    view(&world, i64::MAX).await;
    let now = async || world.metadata.migration(&begun.id).await.unwrap();
    until("the old home is gone", async || now().await.state == MigrationState::Done).await;
    let done = now().await;
    assert_eq!((done.look.objects, done.look.dropped, done.look.strays), (6, 6, 0), "{done:?}");
    assert!(world.near.client().head_bucket().bucket(old).send().await.is_err());
    assert_eq!(rows(&world, &world.near, "k").await, [], "nothing is known of it any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_dropped_once_the_home_has_moved_again() {
    let mut world = world_in(|world| vec![&world.home, &world.far]).await;
    world.put("k", vec![7; 1000]).await;
    world.clean("k").await;
    let old = world.bucket_on(&world.home);
    let begun = migrate_and_stay(&mut world, false).await;
    // Nothing is looked at while the new home does not list it, which then does not come back.
    world.near.wire.refuse(503, "list-type");
    view(&world, i64::MAX).await;
    let now = async || world.metadata.migration(&begun.id).await.unwrap();
    let last = async || world.metadata.promotions_of(&world.route.bucket, 1).await.unwrap().pop().unwrap();
    until("it is verified", async || last().await.state == PromotionState::Done).await;
    let (bucket, far, epoch) = (&world.route.bucket, &world.far.id, world.route.epoch);
    world.metadata.begin_promotion(bucket, far, epoch, true).await.unwrap();
    until("the migration ends", async || now().await.state == MigrationState::Done).await;
    assert!(now().await.detail.contains("moved again"), "{}", now().await.detail);
    assert!(world.home.client().head_object().bucket(old).key("k").send().await.is_ok(), "the old home is kept");
}

/// What is read takes what it takes, and is not read for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_takes_longer_than_a_turn_to_read_is_read_once() {
    const KEYS: usize = 3;
    let mut world = world_in(|world| vec![&world.home]).await;
    for n in 0..KEYS {
        world.put(&format!("k{n}"), vec![7; 1000]).await;
        world.clean(&format!("k{n}")).await;
    }
    world.reread_route().await;
    world.near.wire.hold("x-id=GetObject");
    let begun = migrate(&world, true).await;
    let now = async || world.metadata.migration(&begun.id).await.unwrap();
    let reads = Mutex::new(Vec::new());
    let count_reads = || {
        let mut reads = reads.lock().unwrap();
        reads.extend(world.near.wire.take_seen().into_iter().filter(|line| line.contains("x-id=GetObject")));
        reads.len()
    };
    until("the new home is read", async || count_reads() > 0).await;
    let turns = Mutex::new(BTreeSet::new());
    until("several turns have passed", async || {
        let turn = now().await.turn;
        let mut turns = turns.lock().unwrap();
        turns.insert(turn);
        turns.len() > 4
    })
    .await;
    world.near.wire.let_in();
    until("the old home is gone", async || now().await.state == MigrationState::Done).await;
    assert_eq!(count_reads(), KEYS, "{:?}", reads.lock().unwrap());
    assert_eq!(now().await.look.objects, KEYS as u64);
}
