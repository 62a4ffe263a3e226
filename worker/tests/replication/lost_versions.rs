//! Versions that a home lists no more, and copies of versions that are not as the home's: what becomes of them at a replica.

use crate::sites::walking::{begin, found, reach, walk};
use crate::sites::{Site, World, until};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use s3gateway_s3::{ObjectKey, VersionId, Versioning};
use s3gateway_store::{DeleteGuard, VersionCopy, WalkKind, WalkState};

/// A bucket that keeps versions, with its first backfill behind it.
async fn versioned() -> World {
    let mut world = World::embedded().await;
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    let put = world.home.client().put_bucket_versioning().bucket(world.bucket_on(&world.home));
    put.versioning_configuration(enabled).send().await.unwrap();
    world.metadata.set_versioning(&world.route.bucket, world.route.epoch, Versioning::Enabled).await.unwrap();
    world.reread_route().await;
    for walk in world.metadata.walks_of(&world.route.bucket, 9).await.unwrap() {
        reach(&world, &walk, WalkState::Done).await;
    }
    world
}

/// Ids of what a site lists of a key, the newest first.
async fn listed(world: &World, site: &Site, key: &str) -> Vec<String> {
    let page = site.client().list_object_versions().bucket(world.bucket_on(site)).prefix(key).send().await.unwrap();
    let mine = page.versions().iter().filter(|version| version.key() == Some(key));
    mine.map(|version| version.version_id().unwrap().to_owned()).collect()
}

/// Deletes a version past the gateway: nothing is marked.
async fn delete_behind(world: &World, site: &Site, key: &str, version: &str) {
    let delete = site.client().delete_object().bucket(world.bucket_on(site)).key(key).version_id(version);
    delete.send().await.unwrap();
}

async fn rows(world: &World, key: &str) -> Vec<VersionCopy> {
    let key = ObjectKey::parse(key).unwrap();
    world.metadata.version_copies(&world.route.bucket, &key, &world.near.id, 100).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_has_lost_older_versions_stops_a_walk_until_it_is_approved() {
    let mut world = versioned().await;
    let keys: Vec<String> = (0..20).map(|n| format!("k{n:02}")).collect();
    for key in &keys {
        for body in ["old", "new"] {
            world.put(key, format!("{body} {key}").into_bytes()).await;
        }
    }
    for key in &keys {
        world.clean(key).await;
        assert_eq!(listed(&world, &world.near, key).await.len(), 2, "{key}");
    }
    world.stop_worker().await;
    world.start_worker_with(|settings| settings.delete_guard = DeleteGuard { percent: 10, at_least: 3 }).await;
    let clean = walk(&world, WalkKind::Reconcile).await;
    assert_eq!((clean.marked, clean.deletes), (0, 0), "{:?}", found(&world, &clean).await);
    for key in &keys[..10] {
        let oldest = listed(&world, &world.home, key).await.pop().unwrap();
        delete_behind(&world, &world.home, key, &oldest).await;
    }
    let reconcile = begin(&world, WalkKind::Reconcile, 0).await;
    // A backfill would have them converged, too, though it looks at no replica.
    let backfill = begin(&world, WalkKind::Backfill, 0).await;
    for walk in [&reconcile, &backfill] {
        let guarded = reach(&world, walk, WalkState::Guarded).await;
        assert_eq!((guarded.marked, guarded.total), (0, 20));
        assert!(guarded.note.contains("10 keys or more of 20"), "{}", guarded.note);
    }
    assert!(world.queue.is_bucket_clean(&world.route.bucket).await.unwrap());
    for key in &keys {
        assert_eq!(listed(&world, &world.near, key).await.len(), 2, "{key}");
    }
    world.metadata.cancel_walk(&backfill.id).await.unwrap();
    world.metadata.approve_walk(&reconcile.id).await.unwrap();
    let done = reach(&world, &reconcile, WalkState::Done).await;
    assert_eq!((done.marked, done.deletes), (10, 10));
    let want: Vec<String> = keys[..10].iter().map(|key| format!("different {key} de-fra")).collect();
    assert_eq!(found(&world, &reconcile).await, want);
    for (number, key) in keys.iter().enumerate() {
        world.clean(key).await;
        assert_eq!(listed(&world, &world.near, key).await.len(), if number < 10 { 1 } else { 2 }, "{key}");
        assert_eq!(world.read(&world.near, key).await.unwrap().0, format!("new {key}").into_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_lists_less_than_it_has_deletes_nothing() {
    let world = versioned().await;
    for body in [&b"one"[..], b"two", b"three"] {
        world.put("k", body.to_vec()).await;
    }
    world.clean("k").await;
    let at_home = listed(&world, &world.home, "k").await;
    let before = listed(&world, &world.near, "k").await;
    assert_eq!((at_home.len(), before.len()), (3, 3));
    let all: Vec<&str> = at_home.iter().map(String::as_str).collect();
    // An older version; and every one, though the current object is served as before.
    for (hidden, why) in [(&all[1..2], "has a version that it does not list"), (&all[..], "changed")] {
        let last =
            async || world.metadata.jobs(None, None, 1).await.unwrap().rows.first().map_or(0, |job| job.finished_at);
        let then = last().await;
        world.home.wire.hide(hidden);
        world.queue.mark(&world.dirty("k"), "req-2").await.unwrap();
        until(why, async || {
            let jobs = world.metadata.jobs(None, None, 1).await.unwrap().rows;
            jobs.iter().any(|job| job.outcome == "retried" && job.finished_at > then && job.detail.contains(why))
        })
        .await;
        assert_eq!(listed(&world, &world.near, "k").await, before);
        world.home.wire.hide(&[]);
        world.clean("k").await;
    }
    assert_eq!(listed(&world, &world.near, "k").await, before);
    // What is gone is gone: the home says so of the version itself.
    let delete = world.home.client().delete_object().bucket(world.bucket_on(&world.home)).key("k");
    world.write("k", delete.version_id(all[1]).send()).await.unwrap();
    world.clean("k").await;
    assert_eq!(listed(&world, &world.near, "k").await, [before[0].clone(), before[2].clone()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deep_walk_has_a_version_with_other_headers_written_anew() {
    let mut world = versioned().await;
    for body in [&b"one"[..], b"two"] {
        world.put("k", body.to_vec()).await;
    }
    world.clean("k").await;
    world.stop_worker().await;
    // As a backend would show them that has changed them: the same bytes, known for the home's, with other headers.
    let (near, bucket, key) = (world.near.client(), world.bucket_on(&world.near), ObjectKey::parse("k").unwrap());
    let mut known = rows(&world, "k").await;
    for (row, body) in known.iter_mut().zip([&b"one"[..], b"two"]) {
        delete_behind(&world, &world.near, "k", row.version.as_str()).await;
        let put = near.put_object().bucket(&bucket).key("k").body(ByteStream::from(body.to_vec()));
        let put = if body == b"one" { put.content_type("text/forged") } else { put };
        row.version = VersionId::parse(put.send().await.unwrap().version_id().unwrap()).unwrap();
        world.metadata.put_version_copy(&world.route.bucket, &key, row).await.unwrap();
    }
    world.start_worker().await;
    let reconcile = walk(&world, WalkKind::Reconcile).await;
    assert!(found(&world, &reconcile).await.is_empty(), "no listing shows headers");
    let deep = walk(&world, WalkKind::Deep).await;
    assert_eq!(found(&world, &deep).await, ["different k de-fra"]);
    world.clean("k").await;
    let versions = listed(&world, &world.near, "k").await;
    assert_eq!(versions.len(), 2);
    let head = near.head_object().bucket(&bucket).key("k").version_id(&versions[1]).send().await.unwrap();
    assert_ne!(head.content_type(), Some("text/forged"));
    assert_eq!(head.content_length(), Some(3));
    assert!(rows(&world, "k").await.iter().all(|row| row.verified_how == "etag"));
    let deep = walk(&world, WalkKind::Deep).await;
    assert!(found(&world, &deep).await.is_empty());
}
