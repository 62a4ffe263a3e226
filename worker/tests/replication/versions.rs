//! Versions against real S3 servers: a replica's list of a key is the home's, whatever was written, deleted, lost or left half done.

use crate::sites::{Site, World, noise, until};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, CompletedMultipartUpload, CompletedPart, VersioningConfiguration};
use s3gateway_s3::{LogicalBucket, ObjectKey, VersionId, Versioning};
use s3gateway_store::{Begun, NewBucket, VersionCopy};
use std::time::Duration;

/// A version as the home named it, with its content; `None` for a delete marker.
pub type Written = (String, Option<Vec<u8>>);

/// Tells the home and notes it, as a proxy does.
pub async fn set_versioning(world: &mut World, state: Versioning) {
    let status = BucketVersioningStatus::from(state.status().unwrap());
    let configuration = VersioningConfiguration::builder().status(status).build();
    let put = world.home.client().put_bucket_versioning().bucket(world.bucket_on(&world.home));
    put.versioning_configuration(configuration).send().await.unwrap();
    world.metadata.set_versioning(&world.route.bucket, world.route.epoch, state).await.unwrap();
    world.reread_route().await;
}

pub async fn versioned() -> World {
    let mut world = World::embedded().await;
    set_versioning(&mut world, Versioning::Enabled).await;
    world
}

pub async fn put(world: &World, key: &str, body: &[u8]) -> Written {
    let put = world.home.client().put_object().bucket(world.bucket_on(&world.home)).key(key);
    let put = put.content_type("text/plain").metadata("length", body.len().to_string()).tagging("n=1");
    let done = world.write(key, put.body(ByteStream::from(body.to_vec())).send()).await.unwrap();
    (done.version_id().unwrap_or("null").to_owned(), Some(body.to_vec()))
}

pub async fn delete(world: &World, key: &str) -> Written {
    let delete = world.home.client().delete_object().bucket(world.bucket_on(&world.home)).key(key);
    let done = world.write(key, delete.send()).await.unwrap();
    assert_eq!(done.delete_marker(), Some(true));
    (done.version_id().unwrap().to_owned(), None)
}

pub async fn delete_version(world: &World, key: &str, version: &str) {
    let delete = world.home.client().delete_object().bucket(world.bucket_on(&world.home)).key(key).version_id(version);
    world.write(key, delete.send()).await.unwrap();
}

/// Ids of what a site lists of a key, the oldest first, and the current one. Embedded ids begin with their place in the
/// order, but for `null`, which goes by its time.
pub async fn listed(world: &World, site: &Site, key: &str) -> (Vec<String>, Option<String>) {
    let page = site.client().list_object_versions().bucket(world.bucket_on(site)).prefix(key).send().await.unwrap();
    let versions = page.versions().iter().map(|v| (v.key(), v.version_id(), v.is_latest(), v.last_modified()));
    let markers = page.delete_markers().iter().map(|v| (v.key(), v.version_id(), v.is_latest(), v.last_modified()));
    let mut mine: Vec<_> = versions.chain(markers).filter(|(of, ..)| *of == Some(key)).collect();
    mine.sort_by_key(|(_, id, _, modified)| (modified.map(|modified| modified.to_millis().unwrap()), *id));
    let latest = mine.iter().find(|(_, _, latest, _)| *latest == Some(true)).map(|(_, id, ..)| id.unwrap().to_owned());
    (mine.iter().map(|(_, id, ..)| id.unwrap().to_owned()).collect(), latest)
}

pub async fn rows(world: &World, site: &Site, key: &str) -> Vec<VersionCopy> {
    let key = ObjectKey::parse(key).unwrap();
    let rows = world.metadata.version_copies(&world.route.bucket, &key, &site.id, 100_000).await.unwrap();
    rows.into_iter().filter(|row| row.verified_how != "gone").collect()
}

/// The replica's list, read directly, is what was written at home and in its order, and each entry is mapped to its own.
pub async fn assert_kept(world: &World, site: &Site, key: &str, want: &[Written]) {
    world.clean(key).await;
    let rows = rows(world, site, key).await;
    let mapped: Vec<&str> = rows.iter().map(|row| row.home_version.as_str()).collect();
    let ids: Vec<&str> = want.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(mapped, ids, "{key}: what is mapped");
    let (held, latest) = listed(world, site, key).await;
    assert_eq!(rows.iter().map(|row| row.version.as_str()).collect::<Vec<_>>(), held, "{key}: what is held");
    assert_eq!(latest.as_ref(), held.last(), "{key}: what is current");
    for (row, (id, content)) in rows.iter().zip(want) {
        assert_eq!(row.is_marker, content.is_none(), "{key} {id}");
        let Some(content) = content else { continue };
        let get = site.client().get_object().bucket(world.bucket_on(site)).key(key).version_id(row.version.as_str());
        let got = get.send().await.unwrap();
        assert_eq!(got.content_type(), Some("text/plain"), "{key} {id}");
        assert_eq!(got.metadata().unwrap().get("length"), Some(&content.len().to_string()), "{key} {id}");
        assert_eq!(got.tag_count(), Some(1), "{key} {id}");
        assert!(got.body.collect().await.unwrap().to_vec() == *content, "{key} {id}: bytes differ");
        assert_eq!((row.size, row.etag.as_str()), (i64::try_from(content.len()).unwrap(), row.home_etag.as_str()));
    }
    let copy = world.copies(key).await.into_iter().find(|copy| copy.backend == site.id);
    let current = want.last().and_then(|(_, content)| content.as_ref());
    assert_eq!(copy.map(|copy| copy.verified_how), current.map(|_| "etag".to_owned()), "{key}: the current object");
}

fn actions(world: &World, action: &str) -> u64 {
    let text = prometheus::TextEncoder::new().encode_to_string(&world.registry.gather()).unwrap();
    let name = format!("s3gateway_converge_actions_total{{action=\"{action}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |n| n.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_and_marker_follows_in_its_order() {
    let world = versioned().await;
    world.metadata.set_replica_count(&world.route.bucket, 3).await.unwrap();
    let key = "a/ä b+.txt";
    let mut want = vec![put(&world, key, b"one").await];
    assert_kept(&world, &world.near, key, &want).await;
    let state = world.near.client().get_bucket_versioning().bucket(world.bucket_on(&world.near)).send().await.unwrap();
    assert_eq!(state.status(), Some(&BucketVersioningStatus::Enabled));
    want.push(put(&world, key, &noise(300_000, 1)).await);
    want.push(put(&world, key, b"").await);
    want.push(delete(&world, key).await);
    want.push(delete(&world, key).await);
    want.push(put(&world, key, b"one").await);
    // A key of which this one is the beginning.
    let other = [put(&world, "a/ä b+.txt2", b"other").await];
    assert_kept(&world, &world.near, key, &want).await;
    assert_kept(&world, &world.near, "a/ä b+.txt2", &other).await;
    assert_eq!(
        world.read(&world.far, key).await.unwrap().0,
        b"one",
        "what cannot keep versions has the current object"
    );
    assert!(rows(&world, &world.far, key).await.is_empty());

    // By id: one in the middle, a marker below another, the current one.
    for gone in [1, 2, 3] {
        delete_version(&world, key, &want.remove(gone).0).await;
        assert_kept(&world, &world.near, key, &want).await;
    }
    assert_eq!(world.read(&world.far, key).await, None, "the current one is a delete marker");
    for _ in 0..3 {
        let (id, _) = want.pop().unwrap();
        delete_version(&world, key, &id).await;
        assert_kept(&world, &world.near, key, &want).await;
    }
    assert!(listed(&world, &world.near, key).await.0.is_empty() && world.copies(key).await.is_empty());
    // A marker on a key that never was.
    let marker = [delete(&world, "never").await];
    assert_kept(&world, &world.near, "never", &marker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_before_and_what_is_written_while_suspended_is_the_null_version() {
    let mut world = World::embedded().await;
    let old = put(&world, "k", b"old").await;
    world.clean("k").await;
    assert_eq!((old.0.as_str(), rows(&world, &world.near, "k").await.len()), ("null", 0));
    set_versioning(&mut world, Versioning::Enabled).await;
    let mut want = vec![old, put(&world, "k", b"new").await];
    assert_kept(&world, &world.near, "k", &want).await;
    assert_eq!(rows(&world, &world.near, "k").await[0].version.as_str(), "null", "taken over as it is");

    set_versioning(&mut world, Versioning::Suspended).await;
    want.remove(0);
    for body in [&b"null one"[..], b"null one", b"null two"] {
        want.retain(|(id, _)| id != "null");
        want.push(put(&world, "k", body).await);
        assert_kept(&world, &world.near, "k", &want).await;
    }
    want.pop();
    want.push(delete(&world, "k").await);
    assert_eq!(want[1].0, "null");
    assert_kept(&world, &world.near, "k", &want).await;
    set_versioning(&mut world, Versioning::Enabled).await;
    want.push(put(&world, "k", b"last").await);
    assert_kept(&world, &world.near, "k", &want).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_versions_keep_their_etag() {
    let world = versioned().await;
    let (client, bucket, body) = (world.home.client(), world.bucket_on(&world.home), noise(9 << 20, 3));
    let first = put(&world, "big", b"small").await;
    let created = client.create_multipart_upload().bucket(&bucket).key("big").content_type("text/plain");
    let created = created.metadata("length", body.len().to_string()).tagging("n=1").send().await.unwrap();
    let id = created.upload_id().unwrap();
    let mut parts = Vec::new();
    for (number, part) in (1..).zip(body.chunks(7 << 20)) {
        let put = client.upload_part().bucket(&bucket).key("big").upload_id(id).part_number(number);
        let sent = put.body(ByteStream::from(part.to_vec())).send().await.unwrap();
        parts.push(CompletedPart::builder().part_number(number).e_tag(sent.e_tag().unwrap()).build());
    }
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let complete = client.complete_multipart_upload().bucket(&bucket).key("big").upload_id(id).multipart_upload(parts);
    let done = world.write("big", complete.send()).await.unwrap();
    let second = (done.version_id().unwrap().to_owned(), Some(body));
    let third = put(&world, "big", b"small again").await;
    assert_kept(&world, &world.near, "big", &[first, second, third]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_attempt_left_unrecorded_is_taken_over_or_removed_and_never_doubled() {
    let mut world = versioned().await;
    let mut want = vec![put(&world, "k", b"one").await, put(&world, "k", b"two").await];
    assert_kept(&world, &world.near, "k", &want).await;
    let near = (world.near.client(), world.bucket_on(&world.near));
    world.stop_worker().await;
    want.push(put(&world, "k", b"three").await);
    // Killed after the write and before the record.
    let half = near.0.put_object().bucket(&near.1).key("k").content_type("text/plain").metadata("length", "5");
    let half = half.body(ByteStream::from_static(b"three")).send().await.unwrap();
    world.start_worker().await;
    assert_kept(&world, &world.near, "k", &want).await;
    assert_eq!(rows(&world, &world.near, "k").await[2].version.as_str(), half.version_id().unwrap(), "taken over");

    // The same bytes with other metadata, other bytes, and a delete marker: none of them is the home's.
    world.stop_worker().await;
    want.push(put(&world, "k", b"four").await);
    near.0.put_object().bucket(&near.1).key("k").body(ByteStream::from_static(b"four")).send().await.unwrap();
    near.0.put_object().bucket(&near.1).key("k").body(ByteStream::from_static(b"forged")).send().await.unwrap();
    near.0.delete_object().bucket(&near.1).key("k").send().await.unwrap();
    world.start_worker().await;
    assert_kept(&world, &world.near, "k", &want).await;

    // Nothing recorded at all, as after a loss of the metadata: nothing is written again.
    world.stop_worker().await;
    let before = rows(&world, &world.near, "k").await;
    for row in &before {
        world.metadata.delete_version_copy(&world.route.bucket, &ObjectKey::parse("k").unwrap(), row).await.unwrap();
    }
    world.queue.mark(&world.dirty("k"), "req-2").await.unwrap();
    world.start_worker().await;
    assert_kept(&world, &world.near, "k", &want).await;
    let ids = |rows: &[VersionCopy]| rows.iter().map(|row| row.version.clone()).collect::<Vec<VersionId>>();
    assert_eq!(ids(&rows(&world, &world.near, "k").await), ids(&before));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_replica_has_lost_is_written_again_in_its_place() {
    let world = versioned().await;
    let mut want = Vec::new();
    for n in 0..5 {
        want.push(put(&world, "k", format!("version {n}").as_bytes()).await);
    }
    want.push(delete(&world, "k").await);
    want.push(put(&world, "k", b"newest").await);
    assert_kept(&world, &world.near, "k", &want).await;
    for lost in [6, 2, 0] {
        let id = rows(&world, &world.near, "k").await[lost].version.to_string();
        let delete = world.near.client().delete_object().bucket(world.bucket_on(&world.near)).key("k").version_id(id);
        delete.send().await.unwrap();
        world.queue.mark(&world.dirty("k"), "req-2").await.unwrap();
        assert_kept(&world, &world.near, "k", &want).await;
    }
    // Nothing to be done is nothing done.
    let before = rows(&world, &world.near, "k").await;
    world.queue.mark(&world.dirty("k"), "req-3").await.unwrap();
    assert_kept(&world, &world.near, "k", &want).await;
    assert_eq!(rows(&world, &world.near, "k").await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_more_versions_than_a_page_holds() {
    let mut world = versioned().await;
    let mut want = vec![put(&world, "k", b"first").await];
    assert_kept(&world, &world.near, "k", &want).await;
    world.stop_worker().await;
    // On both sides, so that they need only be told apart and recorded: their order alone says which is which.
    let near = (world.near.client(), world.bucket_on(&world.near));
    for _ in 0..1_005 {
        want.push(delete(&world, "k").await);
        near.0.delete_object().bucket(&near.1).key("k").send().await.unwrap();
    }
    world.start_worker().await;
    for gone in [1_003, 1] {
        world.clean("k").await;
        let mapped: Vec<_> =
            rows(&world, &world.near, "k").await.iter().map(|row| row.home_version.to_string()).collect();
        assert_eq!(mapped, want.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>());
        delete_version(&world, "k", &want.remove(gone).0).await;
    }
    want.push(put(&world, "k", b"last").await);
    world.clean("k").await;
    let kept = rows(&world, &world.near, "k").await;
    assert_eq!((kept.len(), kept[1_004].home_version.as_str()), (1_005, want[1_004].0.as_str()));
    assert_eq!(world.read(&world.near, "k").await.unwrap().0, b"last");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_current_versions_replica_count_counts_for_all() {
    let world = versioned().await;
    let mut want = vec![put(&world, "k", b"one").await];
    assert_kept(&world, &world.near, "k", &want).await;
    let put_counted = |count: &str| {
        let put = world.home.client().put_object().bucket(world.bucket_on(&world.home)).key("k");
        let put = put.content_type("text/plain").metadata("length", "3").tagging(format!("replica-count={count}"));
        put.body(ByteStream::from_static(b"two")).send()
    };
    let alone = world.write("k", put_counted("1")).await.unwrap();
    world.clean("k").await;
    assert!(listed(&world, &world.near, "k").await.0.is_empty() && rows(&world, &world.near, "k").await.is_empty());
    let again = world.write("k", put_counted("2")).await.unwrap();
    for done in [alone, again] {
        want.push((done.version_id().unwrap().to_owned(), Some(b"two".to_vec())));
    }
    assert_kept(&world, &world.near, "k", &want).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_an_older_version_follow() {
    let world = versioned().await;
    let want = [put(&world, "k", b"one").await, put(&world, "k", b"two").await];
    assert_kept(&world, &world.near, "k", &want).await;
    let tag = aws_sdk_s3::types::Tag::builder().key("n").value("other").build().unwrap();
    let tagging = aws_sdk_s3::types::Tagging::builder().tag_set(tag).build().unwrap();
    let set = world.home.client().put_object_tagging().bucket(world.bucket_on(&world.home)).key("k");
    let version = VersionId::parse(&want[0].0).unwrap();
    world.metadata.note_retagged(&world.route.bucket, &ObjectKey::parse("k").unwrap(), &version).await.unwrap();
    world.write("k", set.version_id(&want[0].0).tagging(tagging).send()).await.unwrap();
    assert_kept(&world, &world.near, "k", &want).await;
    let rows = rows(&world, &world.near, "k").await;
    let get = world.near.client().get_object_tagging().bucket(world.bucket_on(&world.near)).key("k");
    let tags = get.version_id(rows[0].version.as_str()).send().await.unwrap().tag_set;
    assert_eq!(tags.iter().map(|tag| tag.value()).collect::<Vec<_>>(), ["other"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_cannot_say_deletes_nothing() {
    let mut world = versioned().await;
    let want = [put(&world, "k", b"one").await, put(&world, "k", b"two").await];
    assert_kept(&world, &world.near, "k", &want).await;
    until("the history is written", async || !world.metadata.jobs(None, None, 1).await.unwrap().rows.is_empty()).await;
    let waits = async |world: &World, why: &str| {
        let before = world.metadata.jobs(None, None, 1).await.unwrap().rows[0].finished_at;
        world.queue.mark(&world.dirty("k"), "req-2").await.unwrap();
        until("an attempt has failed", async || {
            let jobs = world.metadata.jobs(None, None, 1).await.unwrap().rows;
            jobs[0].outcome == "retried" && jobs[0].finished_at > before && jobs[0].detail.contains(why)
        })
        .await;
        assert_eq!(listed(world, &world.near, "k").await.0.len(), 2);
    };
    world.home.stop().await;
    waits(&world, "").await;
    world.home.start().await;
    assert_kept(&world, &world.near, "k", &want).await;
    // A home whose bucket was made anew behind our back is empty, and does not know that it kept versions.
    let (client, bucket) = (world.home.client(), world.bucket_on(&world.home));
    for (id, _) in &want {
        client.delete_object().bucket(&bucket).key("k").version_id(id).send().await.unwrap();
    }
    client.delete_bucket().bucket(&bucket).send().await.unwrap();
    client.create_bucket().bucket(&bucket).send().await.unwrap();
    waits(&world, "keeps no versions").await;
}

/// Without any time that it stays noted anyway.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_tags_that_is_noted_while_a_worker_looks_stays_noted() {
    let mut world = versioned().await;
    world.stop_worker().await;
    world.start_worker_with(|settings| settings.retagged_kept = Duration::ZERO).await;
    let mut versions = Vec::new();
    for body in [b"one".as_slice(), b"two", b"three"] {
        versions.push(VersionId::parse(&put(&world, "k", body).await.0).unwrap());
    }
    world.clean("k").await;
    let (bucket, key) = (world.route.bucket.clone(), world.dirty("k"));
    world.near.wire.hold("tagging");
    world.near.wire.take_seen();
    world.metadata.note_retagged(&bucket, &key.key, &versions[0]).await.unwrap();
    world.queue.mark(&key, "req-2").await.unwrap();
    let looks = || world.near.wire.take_seen().iter().any(|line| line.contains("tagging"));
    until("its tags are being looked at", async || looks()).await;
    world.metadata.note_retagged(&bucket, &key.key, &versions[1]).await.unwrap();
    world.near.wire.let_in();
    world.clean("k").await;
    let noted = world.metadata.retagged(&bucket, &key.key, i64::MAX).await.unwrap();
    assert!(noted.contains(&versions[1]), "{noted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_in_the_middle_of_a_list_is_followed_by_another() {
    let mut world = versioned().await;
    let mut want = Vec::new();
    for n in 0..12 {
        want.push(put(&world, "k", &noise(700_000, n + 1)).await);
        if n % 3 == 2 {
            want.push(delete(&world, "k").await);
            world.stop_worker().await;
            world.start_worker().await;
        }
    }
    assert_kept(&world, &world.near, "k", &want).await;
    assert!(actions(&world, "versions") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_bucket_leaves_no_versions_on_its_replicas() {
    let world = versioned().await;
    let want = [put(&world, "k", b"one").await, put(&world, "k", b"two").await, delete(&world, "k").await];
    assert_kept(&world, &world.near, "k", &want).await;
    let (client, bucket) = (world.home.client(), world.bucket_on(&world.home));
    for (id, _) in &want {
        client.delete_object().bucket(&bucket).key("k").version_id(id).send().await.unwrap();
    }
    world.metadata.begin_delete_bucket(&world.route.bucket).await.unwrap();
    client.delete_bucket().bucket(bucket).send().await.unwrap();
    world.metadata.finish_delete_bucket(&world.route.bucket).await.unwrap();
    let near = (world.near.client(), world.bucket_on(&world.near));
    until("the replica bucket is gone", async || near.0.head_bucket().bucket(&near.1).send().await.is_err()).await;
    until("nothing is retiring", async || world.metadata.retiring_buckets(10).await.unwrap().is_empty()).await;
    assert!(rows(&world, &world.near, "k").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_version_or_a_marker_keeps_a_bucket_whose_deletion_was_left_half_done() {
    let mut world = versioned().await;
    world.stop_worker().await;
    let (client, bucket) = (world.home.client(), world.bucket_on(&world.home));
    let half_deleted = async |world: &World| {
        world.metadata.begin_delete_bucket(&world.route.bucket).await.unwrap();
    };
    let version = put(&world, "k", b"one").await.0;
    let marker = delete(&world, "k").await.0;
    for left in [&version, &marker] {
        half_deleted(&world).await;
        world.start_worker_with(|settings| settings.abandoned_after = Duration::ZERO).await;
        let unfinished = async || world.metadata.unfinished_buckets(i64::MAX, 10).await.unwrap();
        until("nothing is half done", async || unfinished().await.is_empty()).await;
        world.stop_worker().await;
        assert!(world.metadata.route_by_id(&world.route.bucket).await.unwrap().is_some(), "it holds {left}");
        client.head_bucket().bucket(&bucket).send().await.unwrap();
        client.delete_object().bucket(&bucket).key("k").version_id(left).send().await.unwrap();
    }
    half_deleted(&world).await;
    let new = NewBucket {
        tenant: world.tenant.id.clone(),
        name: LogicalBucket::parse("other").unwrap(),
        placement: vec![world.home.id.clone()],
        replica_count: 1,
        location: String::new(),
    };
    assert!(matches!(world.metadata.begin_create_bucket(&new).await.unwrap(), Begun::Created(_)));
    world.start_worker_with(|settings| settings.abandoned_after = Duration::ZERO).await;
    until("the empty one is gone", async || client.head_bucket().bucket(&bucket).send().await.is_err()).await;
}
