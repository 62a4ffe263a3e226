//! Walks against real S3 servers: what they find and mark, what they leave alone, and where they stop.

use crate::sites::walking::{begin, found, reach, walk};
use crate::sites::{Site, World, create_bucket, until};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, Tag, Tagging, VersioningConfiguration};
use s3gateway_config::{PlaceRule, ResidencyPolicy};
use s3gateway_s3::Versioning;
use s3gateway_store::{BucketId, DeleteGuard, FindingKind, WalkKind, WalkState};
use std::time::{Duration, Instant};

/// Past the gateway: nothing is marked.
async fn put_behind(world: &World, site: &Site, key: &str, body: &[u8]) {
    let put = site.client().put_object().bucket(world.bucket_on(site)).key(key);
    put.body(ByteStream::from(body.to_vec())).send().await.unwrap();
}

async fn delete_behind(world: &World, site: &Site, key: &str) {
    site.client().delete_object().bucket(world.bucket_on(site)).key(key).send().await.unwrap();
}

/// Keys `k00`, `k01`, … with both copies in place.
async fn filled(world: &World, count: usize) -> Vec<String> {
    let keys: Vec<String> = (0..count).map(|n| format!("k{n:02}")).collect();
    for key in &keys {
        world.put(key, key.clone().into_bytes()).await;
    }
    for key in &keys {
        world.clean(key).await;
    }
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backfill_brings_every_key_to_a_new_replica() {
    let world = World::embedded().await;
    world.metadata.set_replica_count(&world.route.bucket, 1).await.unwrap();
    let keys = filled(&world, 12).await;
    put_behind(&world, &world.home, "a/ä b+&%", b"adopted").await;
    assert!(world.read(&world.near, "k00").await.is_none());
    world.metadata.set_replica_count(&world.route.bucket, 2).await.unwrap();
    let walks = world.metadata.walks_of(&world.route.bucket, 1).await.unwrap();
    let done = reach(&world, &walks[0], WalkState::Done).await;
    assert_eq!((done.done, done.marked, done.deletes, done.total), (13, 13, 0, 12));
    for key in keys.iter().map(String::as_str).chain(["a/ä b+&%"]) {
        world.clean(key).await;
        assert_eq!(world.read(&world.near, key).await, world.read(&world.home, key).await, "{key}");
    }
    assert!(found(&world, &done).await.is_empty());
    let text = prometheus::TextEncoder::new().encode_to_string(&world.registry.gather()).unwrap();
    assert!(text.contains("s3gateway_walk_running_shards 0"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconcile_finds_what_differs_and_marks_only_what_is_the_homes_to_say() {
    let world = World::embedded().await;
    filled(&world, 6).await;
    let clean = walk(&world, WalkKind::Reconcile).await;
    assert_eq!((clean.done, clean.marked), (6, 0), "{:?}", found(&world, &clean).await);

    delete_behind(&world, &world.near, "k00").await;
    put_behind(&world, &world.near, "k01", b"forged").await;
    put_behind(&world, &world.home, "k02", b"written past the gateway").await;
    put_behind(&world, &world.home, "new", b"written past the gateway").await;
    delete_behind(&world, &world.home, "k03").await;
    put_behind(&world, &world.near, "foreign", b"somebody's").await;
    // A key of the home, with a copy where none is wanted nor known.
    let bucket = world.bucket_on(&world.far);
    world.far.client().create_bucket().bucket(bucket).send().await.unwrap();
    put_behind(&world, &world.far, "k04", b"somebody's, too").await;

    let walk = walk(&world, WalkKind::Reconcile).await;
    let want = [
        "adopted k02 fi-hel",
        "adopted new fi-hel",
        "deleted k03 fi-hel",
        "different k01 de-fra",
        "different k02 de-fra",
        "foreign foreign de-fra",
        "foreign k04 us-iad",
        "missing k00 de-fra",
        "missing new de-fra",
    ];
    assert_eq!(found(&world, &walk).await, want);
    assert_eq!((walk.marked, walk.deletes), (5, 1));
    for key in ["k00", "k01", "k02", "k03", "new"] {
        world.clean(key).await;
        assert_eq!(world.read(&world.near, key).await, world.read(&world.home, key).await, "{key}");
    }
    assert!(world.read(&world.near, "k03").await.is_none());
    assert_eq!(world.read(&world.near, "foreign").await.unwrap().0, b"somebody's");
    assert_eq!(world.read(&world.far, "k04").await.unwrap().0, b"somebody's, too");
    let counts = world.metadata.walk_counts(&walk.id).await.unwrap();
    assert_eq!(counts[&FindingKind::Foreign], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn surplus_and_forbidden_copies_are_found() {
    let mut world = World::embedded().await;
    world.metadata.set_replica_count(&world.route.bucket, 3).await.unwrap();
    filled(&world, 3).await;
    for walk in world.metadata.walks_of(&world.route.bucket, 9).await.unwrap() {
        reach(&world, &walk, WalkState::Done).await;
    }
    // With its only review behind it, the worker begins no drain of the forbidden place before the walk.
    world.stop_worker().await;
    world.metadata.set_tenant_policy(&world.tenant.id, &ResidencyPolicy::default()).await.unwrap();
    world.start_worker_with(|settings| settings.retire_interval = Duration::from_secs(3600)).await;
    until("the policy is reviewed", async || world.metadata.buckets_to_review(9).await.unwrap().is_empty()).await;
    let deny = PlaceRule { jurisdictions: vec!["US".to_owned()], ..PlaceRule::default() };
    let policy = ResidencyPolicy { deny, ..ResidencyPolicy::default() };
    world.metadata.set_tenant_policy(&world.tenant.id, &policy).await.unwrap();
    let first = walk(&world, WalkKind::Reconcile).await;
    assert_eq!(found(&world, &first).await, ["misplaced k00 us-iad", "misplaced k01 us-iad", "misplaced k02 us-iad"]);
    for key in ["k00", "k01", "k02"] {
        world.clean(key).await;
        assert!(world.read(&world.far, key).await.is_none() && world.read(&world.near, key).await.is_some(), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deep_walk_finds_changed_bytes_and_has_them_written_anew() {
    let world = World::embedded().await;
    filled(&world, 3).await;
    world.near.corrupt(b"k01", b"k0!");
    let shallow = walk(&world, WalkKind::Reconcile).await;
    assert!(found(&world, &shallow).await.is_empty(), "a listing cannot tell");
    let deep = walk(&world, WalkKind::Deep).await;
    assert_eq!(found(&world, &deep).await, ["corrupt k01 de-fra"]);
    world.clean("k01").await;
    assert_eq!(world.read(&world.near, "k01").await, world.read(&world.home, "k01").await);
    let copies = world.copies("k01").await;
    assert!(copies.iter().all(|copy| copy.verified_how == "etag" && copy.verified_at > 0), "{copies:?}");
    assert!(found(&world, &walk(&world, WalkKind::Deep).await).await.is_empty());

    // The home's bytes are not taken for right where only the copy's make the ETag.
    world.home.corrupt(b"k02", b"k0!");
    walk(&world, WalkKind::Deep).await;
    assert_eq!(world.read(&world.near, "k02").await.unwrap().0, b"k02");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deep_walk_keeps_to_the_bandwidth() {
    let mut world = World::embedded().await;
    world.put("k", vec![1; 4 << 20]).await;
    world.clean("k").await;
    world.stop_worker().await;
    world.start_worker_with(|settings| settings.backend_bandwidth = Some(2 << 20)).await;
    let began = Instant::now();
    walk(&world, WalkKind::Deep).await;
    assert!(began.elapsed() > Duration::from_millis(1500), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspect_copy_stays_so_whatever_is_recorded_meanwhile() {
    let mut world = World::embedded().await;
    filled(&world, 1).await;
    world.stop_worker().await;
    let (bucket, key) = (world.route.bucket.clone(), world.dirty("k00").key);
    let before = world.copies("k00").await;
    let near = before.iter().find(|copy| copy.backend == world.near.id).unwrap();
    world.metadata.suspect_copy(&bucket, &key, &world.near.id, "another").await.unwrap();
    assert_eq!(world.copies("k00").await, before, "it was overwritten meanwhile");
    world.metadata.suspect_copy(&bucket, &key, &world.near.id, &near.etag).await.unwrap();
    world.metadata.record_copies(&bucket, &key, &before).await.unwrap();
    let after = world.copies("k00").await;
    let near = after.iter().find(|copy| copy.backend == world.near.id).unwrap();
    assert_eq!((near.verified_how.as_str(), near.verified_at), ("suspect", 0), "nor is anything read from it");
    world.near.corrupt(b"k00", b"k0!");
    world.queue.mark(&world.dirty("k00"), "req-2").await.unwrap();
    world.start_worker().await;
    world.clean("k00").await;
    assert_eq!(world.read(&world.near, "k00").await.unwrap().0, b"k00");
    assert_eq!(world.copies("k00").await.iter().filter(|copy| copy.verified_how == "etag").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guard_stops_a_walk_until_it_is_approved() {
    let mut world = World::embedded().await;
    let keys = filled(&world, 20).await;
    world.stop_worker().await;
    world.start_worker_with(|settings| settings.delete_guard = DeleteGuard { percent: 10, at_least: 3 }).await;
    for key in &keys[..10] {
        delete_behind(&world, &world.home, key).await;
    }
    let walk = begin(&world, WalkKind::Reconcile, 0).await;
    let guarded = reach(&world, &walk, WalkState::Guarded).await;
    assert_eq!((guarded.marked, guarded.total), (0, 20));
    assert!(guarded.note.contains("10 keys or more of 20"), "{}", guarded.note);
    assert!(world.queue.is_bucket_clean(&world.route.bucket).await.unwrap());
    assert!(world.read(&world.near, &keys[0]).await.is_some());
    world.metadata.approve_walk(&walk.id).await.unwrap();
    let done = reach(&world, &walk, WalkState::Done).await;
    assert_eq!((done.marked, done.deletes), (10, 10));
    for (number, key) in keys.iter().enumerate() {
        world.clean(key).await;
        assert_eq!(world.read(&world.near, key).await.is_some(), number >= 10, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_lists_nothing_or_is_gone_deletes_nothing() {
    let world = World::embedded().await;
    let keys = filled(&world, 3).await;
    for key in &keys {
        delete_behind(&world, &world.home, key).await;
    }
    let walk = begin(&world, WalkKind::Reconcile, 0).await;
    let waiting = async |why: &str| {
        until(why, async || {
            let now = world.metadata.walk(&walk.id).await.unwrap();
            assert!(!now.state.is_final() && now.marked == 0, "{now:?}");
            now.note.contains(why)
        })
        .await;
    };
    waiting("the home lists nothing").await;
    let bucket = world.bucket_on(&world.home);
    world.home.client().delete_bucket().bucket(&bucket).send().await.unwrap();
    waiting("the bucket does not exist").await;
    world.home.client().create_bucket().bucket(&bucket).send().await.unwrap();
    waiting("the home lists nothing").await;
    assert!(world.queue.is_bucket_clean(&world.route.bucket).await.unwrap());
    world.metadata.approve_walk(&walk.id).await.unwrap();
    assert_eq!(reach(&world, &walk, WalkState::Done).await.deletes, 3);
    for key in &keys {
        world.clean(key).await;
        assert!(world.read(&world.near, key).await.is_none(), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_outlives_its_worker_and_its_home_and_is_walked_once() {
    let mut world = World::embedded().await;
    filled(&world, 40).await;
    let walk = begin(&world, WalkKind::Backfill, 10).await;
    let id = walk.id.clone();
    let done = async |world: &World| world.metadata.walk(&id).await.unwrap().done;
    until("some steps", async || done(&world).await >= 10).await;
    world.stop_worker().await;
    let left = done(&world).await;
    assert!((10..40).contains(&left), "{left}");
    world.start_worker().await;
    until("it goes on", async || done(&world).await > left).await;
    world.home.stop().await;
    let waiting = reach(&world, &walk, WalkState::Waiting).await;
    assert!(waiting.note.contains("fi-hel") && waiting.attempts > 0 && waiting.done < 40, "{waiting:?}");
    world.home.start().await;
    let walk = reach(&world, &walk, WalkState::Done).await;
    assert_eq!((walk.done, walk.marked, walk.note.as_str()), (40, 40, ""), "no key twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_walk_stops() {
    let world = World::embedded().await;
    filled(&world, 20).await;
    let walk = begin(&world, WalkKind::Reconcile, 2).await;
    until("a step", async || world.metadata.walk(&walk.id).await.unwrap().done > 0).await;
    world.metadata.cancel_walk(&walk.id).await.unwrap();
    let next = begin(&world, WalkKind::Reconcile, 0).await;
    reach(&world, &next, WalkState::Done).await;
    let walk = world.metadata.walk(&walk.id).await.unwrap();
    assert_eq!(walk.state, WalkState::Cancelled);
    assert!(walk.done < 20, "{walk:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_walked_too() {
    let mut world = World::embedded().await;
    filled(&world, 1).await;
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    let put = world.home.client().put_bucket_versioning().bucket(world.bucket_on(&world.home));
    put.versioning_configuration(enabled).send().await.unwrap();
    world.metadata.set_versioning(&world.route.bucket, world.route.epoch, Versioning::Enabled).await.unwrap();
    world.reread_route().await;
    let first = world.metadata.walks_of(&world.route.bucket, 1).await.unwrap().remove(0);
    reach(&world, &first, WalkState::Done).await;
    world.clean("k00").await;
    for body in [&b"one"[..], b"two", b"three"] {
        world.put("v", body.to_vec()).await;
    }
    world.put("gone", b"x".to_vec()).await;
    world.delete("gone").await;
    for key in ["v", "gone"] {
        world.clean(key).await;
    }
    let clean = walk(&world, WalkKind::Reconcile).await;
    assert_eq!((clean.done, clean.marked), (3, 0), "{:?}", found(&world, &clean).await);

    let listed = world.near.client().list_object_versions().bucket(world.bucket_on(&world.near)).prefix("v");
    let oldest = listed.send().await.unwrap().versions().last().unwrap().version_id().unwrap().to_owned();
    let delete = world.near.client().delete_object().bucket(world.bucket_on(&world.near)).key("v");
    delete.version_id(oldest).send().await.unwrap();
    put_behind(&world, &world.near, "foreign", b"somebody's").await;
    let reconcile = walk(&world, WalkKind::Reconcile).await;
    assert_eq!(found(&world, &reconcile).await, ["different v de-fra", "foreign foreign de-fra"]);
    world.clean("v").await;

    world.near.corrupt(b"two", b"tw!");
    let deep = walk(&world, WalkKind::Deep).await;
    assert_eq!(found(&world, &deep).await, ["corrupt v de-fra", "foreign foreign de-fra"]);
    world.clean("v").await;
    let listed = world.near.client().list_object_versions().bucket(world.bucket_on(&world.near)).prefix("v");
    let mut bodies = Vec::new();
    for version in listed.send().await.unwrap().versions() {
        let get = world.near.client().get_object().bucket(world.bucket_on(&world.near)).key("v");
        let got = get.version_id(version.version_id().unwrap()).send().await.unwrap();
        bodies.push(got.body.collect().await.unwrap().to_vec());
    }
    assert_eq!(bodies, [&b"three"[..], b"two", b"one"]);
    tags_of_an_older_version_are_put_right(&world).await;
    // A backfill of a bucket with versions marks what only delete markers are left of.
    let backfill = walk(&world, WalkKind::Backfill).await;
    assert_eq!((backfill.done, backfill.marked), (3, 3));
}

/// Tags of a version were changed at the replica, past the gateway.
async fn tags_of_an_older_version_are_put_right(world: &World) {
    let (near, bucket) = (world.near.client(), world.bucket_on(&world.near));
    let listed = near.list_object_versions().bucket(&bucket).prefix("v").send().await.unwrap();
    let oldest = listed.versions().last().unwrap().version_id().unwrap();
    let tag = Tag::builder().key("n").value("forged").build().unwrap();
    let tagging = Tagging::builder().tag_set(tag).build().unwrap();
    let set = near.put_object_tagging().bucket(&bucket).key("v").version_id(oldest);
    set.tagging(tagging).send().await.unwrap();
    let reconcile = walk(world, WalkKind::Reconcile).await;
    assert_eq!(found(world, &reconcile).await, ["foreign foreign de-fra"], "no listing shows tags");
    let deep = walk(world, WalkKind::Deep).await;
    assert_eq!(found(world, &deep).await, ["different v de-fra", "foreign foreign de-fra"]);
    world.clean("v").await;
    let get = near.get_object_tagging().bucket(&bucket).key("v").version_id(oldest);
    assert!(get.send().await.unwrap().tag_set.is_empty(), "as at home");
    let deep = walk(world, WalkKind::Deep).await;
    assert_eq!((found(world, &deep).await, deep.marked), (vec!["foreign foreign de-fra".to_owned()], 0));
}

/// A pass over many small buckets must not last as many minutes.
#[tokio::test(flavor = "multi_thread")]
async fn one_reconcile_after_the_other_goes_through_many_small_buckets() {
    const BUCKETS: usize = 24;
    let mut world = World::embedded().await;
    let mut buckets = Vec::new();
    for n in 0..BUCKETS {
        let name = format!("small-{n}");
        let route = create_bucket(&world.metadata, &world.tenant, &name, &[&world.home, &world.near]).await;
        buckets.push(route.bucket);
    }
    world.stop_worker().await;
    world.start_worker_with(|settings| settings.reconcile_interval = Duration::from_millis(1)).await;
    let is_reconciled = async |bucket: &BucketId| {
        let walks = world.metadata.walks_of(bucket, 10).await.unwrap();
        walks.iter().any(|walk| walk.kind == WalkKind::Reconcile && walk.state == WalkState::Done)
    };
    until("every bucket was reconciled", async || {
        for bucket in &buckets {
            if !is_reconciled(bucket).await {
                return false;
            }
        }
        true
    })
    .await;
}
