//! Migrations of buckets, against real S3 servers.

use crate::sites::{World, until};
use s3gateway_s3::LogicalBucket;
use s3gateway_store::{Begun, MigrationState, NewBucket, NewMigration};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

/// What is read takes what it takes, and is not read for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_takes_longer_than_a_turn_to_read_is_read_once() {
    const KEYS: usize = 3;
    let mut world = World::embedded().await;
    world.stop_worker().await;
    world.start_worker_with(|settings| settings.lease = Duration::from_millis(1500)).await;
    let new = NewBucket {
        tenant: world.tenant.id.clone(),
        name: LogicalBucket::parse("moves").unwrap(),
        placement: vec![world.home.id.clone()],
        replica_count: 1,
        location: String::new(),
    };
    let Begun::Created(route) = world.metadata.begin_create_bucket(&new).await.unwrap() else { panic!("it is new") };
    world.route = route;
    world.home.client().create_bucket().bucket(world.bucket_on(&world.home)).send().await.unwrap();
    world.metadata.activate_bucket(&world.route.bucket).await.unwrap();
    for n in 0..KEYS {
        world.put(&format!("k{n}"), vec![7; 1000]).await;
        world.clean(&format!("k{n}")).await;
    }
    world.reread_route().await;
    world.near.wire.hold("x-id=GetObject");
    let asked = NewMigration {
        seen: &world.route,
        to: world.near.id.clone(),
        drop_old: true,
        is_deep: true,
        asked_by: "test".to_owned(),
    };
    let begun = world.metadata.begin_migration(&asked).await.unwrap();
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
