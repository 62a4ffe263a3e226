//! Converging against real S3 servers: what a key looks like everywhere after each kind of write and each absence.

use crate::sites::{Site, World, noise, until};
use aws_sdk_s3::primitives::{ByteStream, DateTime};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use s3gateway_config::{KeyRule, PlaceRule, ResidencyPolicy};
use s3gateway_s3::ObjectKey;
use std::time::Duration;

const MIB: usize = 1 << 20;

/// Uploads to the home in parts of the given lengths.
async fn put_parts(world: &World, key: &str, body: &[u8], lengths: &[usize]) {
    let (client, bucket) = (world.home.client(), world.bucket_on(&world.home));
    let created =
        client.create_multipart_upload().bucket(&bucket).key(key).content_type("video/mp4").send().await.unwrap();
    let id = created.upload_id().unwrap();
    let (mut done, mut offset) = (Vec::new(), 0);
    for (number, length) in (1..).zip(lengths) {
        let part = ByteStream::from(body[offset..offset + length].to_vec());
        let sent = client
            .upload_part()
            .bucket(&bucket)
            .key(key)
            .upload_id(id)
            .part_number(number)
            .body(part)
            .send()
            .await
            .unwrap();
        done.push(CompletedPart::builder().part_number(number).e_tag(sent.e_tag().unwrap()).build());
        offset += length;
    }
    let parts = CompletedMultipartUpload::builder().set_parts(Some(done)).build();
    let complete = client.complete_multipart_upload().bucket(&bucket).key(key).upload_id(id).multipart_upload(parts);
    world.write(key, complete.send()).await.unwrap();
}

async fn assert_copied(world: &World, key: &str, body: &[u8], how: &str) {
    world.clean(key).await;
    let at_home = world.read(&world.home, key).await.unwrap();
    let copy = world.read(&world.near, key).await.unwrap();
    assert!(at_home.0 == body && copy.0 == body, "{key}: bytes differ");
    if how == "etag" {
        assert_eq!(copy.1, at_home.1, "{key}");
    }
    let may_be_far = KeyRule::FilePath.holds(key);
    assert!(!may_be_far || world.read(&world.far, key).await.is_none(), "{key}: a third copy");
    let copies = world.copies(key).await;
    let seen: Vec<(&str, &str, &str)> =
        copies.iter().map(|c| (c.backend.as_str(), c.home_etag.as_str(), c.verified_how.as_str())).collect();
    let mut want = vec![("fi-hel", at_home.1.as_str(), "etag"), ("de-fra", at_home.1.as_str(), how)];
    want.sort_unstable();
    let mut seen = seen;
    seen.sort_unstable();
    assert_eq!(seen, want, "{key}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_created_overwritten_and_deleted_everywhere() {
    let world = World::new().await;
    let client = world.home.client();
    let put = client
        .put_object()
        .bucket(world.bucket_on(&world.home))
        .key("a/ä b+.txt")
        .body(ByteStream::from_static(b"hello"))
        .content_type("text/plain")
        .cache_control("max-age=60")
        .content_disposition("attachment; filename=x")
        .content_language("fi")
        .expires(DateTime::from_secs(2_000_000_000))
        .metadata("color", "blue")
        .checksum_crc32("NhCmhg==");
    world.write("a/ä b+.txt", put.send()).await.unwrap();
    assert_copied(&world, "a/ä b+.txt", b"hello", "etag").await;
    let head =
        world.near.client().head_object().bucket(world.bucket_on(&world.near)).key("a/ä b+.txt").send().await.unwrap();
    assert_eq!(head.content_type(), Some("text/plain"));
    assert_eq!(head.cache_control(), Some("max-age=60"));
    assert_eq!(head.content_disposition(), Some("attachment; filename=x"));
    assert_eq!(head.content_language(), Some("fi"));
    assert_eq!(head.expires_string(), Some("Wed, 18 May 2033 03:33:20 GMT"));
    assert_eq!(head.metadata().unwrap().get("color").map(String::as_str), Some("blue"));
    assert_eq!(head.checksum_crc32(), Some("NhCmhg=="));

    world.put("a/ä b+.txt", noise(300_000, 1)).await;
    assert_copied(&world, "a/ä b+.txt", &noise(300_000, 1), "etag").await;

    world.delete("a/ä b+.txt").await;
    world.clean("a/ä b+.txt").await;
    assert!(world.read(&world.near, "a/ä b+.txt").await.is_none());
    assert!(world.copies("a/ä b+.txt").await.is_empty());
    // What is left there is a folder; its name as a key is a write that never came.
    world.write("a", async {}).await;
    world.clean("a").await;

    let jobs = world.metadata.jobs(Some(&world.route.bucket), None, 10).await.unwrap().rows;
    assert!(jobs.iter().any(|job| job.outcome == "converged" && job.request_id == "req-1"), "{jobs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_and_empty_objects_converge() {
    let world = World::new().await;
    world.put("empty", Vec::new()).await;
    assert_copied(&world, "empty", b"", "etag").await;
    let put = |color: &str| {
        let put = world.home.client().put_object().bucket(world.bucket_on(&world.home)).key("m");
        put.body(ByteStream::from_static(b"same")).metadata("color", color).send()
    };
    for color in ["blue", "red"] {
        world.write("m", put(color)).await.unwrap();
        assert_copied(&world, "m", b"same", "etag").await;
        let head =
            world.near.client().head_object().bucket(world.bucket_on(&world.near)).key("m").send().await.unwrap();
        assert_eq!(head.metadata().unwrap().get("color").map(String::as_str), Some(color));
    }
    let text = prometheus::TextEncoder::new().encode_to_string(&world.registry.gather()).unwrap();
    assert!(text.contains("s3gateway_converge_actions_total{action=\"copy_metadata\"} 1"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn multipart_objects_keep_their_etag_whatever_their_parts_were() {
    let world = World::new().await;
    for (key, lengths, how) in [
        ("common", vec![8 * MIB, 8 * MIB, 4 * MIB], "etag"),
        // 9 MiB in two parts looks like 8 and 1: found by reading once more.
        ("odd", vec![7 * MIB, 2 * MIB], "etag"),
        ("single", vec![3 * MIB], "etag"),
        // No rule gives these: the copy is proven part by part.
        ("irregular", vec![6 * MIB, 8 * MIB, MIB], "md5"),
    ] {
        let body = noise(lengths.iter().sum(), 3);
        put_parts(&world, key, &body, &lengths).await;
        assert_copied(&world, key, &body, how).await;
        let head =
            world.near.client().head_object().bucket(world.bucket_on(&world.near)).key(key).send().await.unwrap();
        assert_eq!(head.content_type(), Some("video/mp4"), "{key}");
    }
    // A copy whose ETag cannot be equal is known by the pair of ETags, and not copied again.
    world.queue.mark(&world.dirty("irregular"), "req-2").await.unwrap();
    world.clean("irregular").await;
    let left = async || {
        let jobs = world.metadata.jobs(Some(&world.route.bucket), None, 1).await.unwrap().rows;
        jobs[0].request_id == "req-2" && jobs[0].detail.contains("de-fra leave")
    };
    until("the copy was left as it is", left).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tag_replica_count_moves_copies_in_and_out() {
    let world = World::new().await;
    world.put("k", b"tagged".to_vec()).await;
    assert_copied(&world, "k", b"tagged", "etag").await;
    let etag = world.read(&world.home, "k").await.unwrap().1;
    let key = ObjectKey::parse("k").unwrap();
    for (count, near, far) in [("3", true, true), ("1", false, false), ("2", true, false), ("junk", true, false)] {
        let tags = [("replica-count".to_owned(), count.to_owned())];
        world.write("k", world.metadata.put_tags(&world.route.bucket, &key, &etag, &tags)).await.unwrap();
        world.clean("k").await;
        assert_eq!(world.read(&world.near, "k").await.is_some(), near, "{count}");
        assert_eq!(world.read(&world.far, "k").await.is_some(), far, "{count}");
        assert_eq!(world.copies("k").await.len(), 1 + usize::from(near) + usize::from(far), "{count}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_place_gets_nothing_and_loses_what_it_had() {
    let world = World::new().await;
    world.metadata.set_replica_count(&world.route.bucket, 3).await.unwrap();
    world.put("k", b"data".to_vec()).await;
    world.clean("k").await;
    assert!(world.read(&world.far, "k").await.is_some());
    let deny = PlaceRule { jurisdictions: vec!["US".to_owned()], ..PlaceRule::default() };
    let policy = ResidencyPolicy { deny, ..ResidencyPolicy::default() };
    world.metadata.set_tenant_policy(&world.tenant.id, &policy).await.unwrap();
    world.queue.mark(&world.dirty("k"), "req-2").await.unwrap();
    world.put("new", b"data".to_vec()).await;
    for key in ["k", "new"] {
        world.clean(key).await;
        assert!(world.read(&world.far, key).await.is_none(), "{key}");
        assert!(world.read(&world.near, key).await.is_some(), "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_home_deletes_nothing_and_absences_end() {
    let mut world = World::new().await;
    world.put("kept", b"kept".to_vec()).await;
    world.clean("kept").await;

    world.home.stop().await;
    world.queue.mark(&world.dirty("kept"), "req-2").await.unwrap();
    let bucket = world.route.bucket.clone();
    until("a failed attempt", async || {
        world.metadata.jobs(Some(&bucket), None, 1).await.unwrap().rows.iter().any(|job| job.outcome == "retried")
    })
    .await;
    assert!(world.read(&world.near, "kept").await.is_some(), "a home that is away is no reason to delete");
    assert!(!world.queue.is_clean(&world.dirty("kept")).await.unwrap());
    world.home.start().await;
    world.clean("kept").await;

    // A home that has lost its bucket says 404 too.
    let (lost, client) = (world.bucket_on(&world.home), world.home.client());
    client.delete_bucket().bucket(&lost).send().await.unwrap();
    world.queue.mark(&world.dirty("kept"), "req-3").await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(world.read(&world.near, "kept").await.is_some(), "a home without its bucket is no reason to delete");
    client.create_bucket().bucket(&lost).send().await.unwrap();
    world.put("kept", b"again".to_vec()).await;
    assert_copied(&world, "kept", b"again", "etag").await;

    world.near.stop().await;
    world.put("late", noise(100_000, 5)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!world.queue.is_clean(&world.dirty("late")).await.unwrap());
    world.near.start().await;
    assert_copied(&world, "late", &noise(100_000, 5), "etag").await;

    // A place that holds nothing and is to hold nothing may be away.
    world.far.stop().await;
    world.put("without-far", b"x".to_vec()).await;
    world.clean("without-far").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_in_the_middle_is_followed_by_another() {
    let mut world = World::new().await;
    let body = noise(40 * MIB, 9);
    put_parts(&world, "big", &body, &[8 * MIB; 5]).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.stop_worker().await;
    world.start_worker().await;
    assert_copied(&world, "big", &body, "etag").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_stays_dirty_however_long_a_deletion_lasts_that_is_called_off() {
    let world = World::new().await;
    world.metadata.begin_delete_bucket(&world.route.bucket).await.unwrap();
    world.put("k", b"x".to_vec()).await;
    let looks = || {
        let families = world.registry.gather();
        let durations = families.iter().find(|family| family.name() == "s3gateway_converge_duration_seconds");
        let put_off = |metric: &&prometheus::proto::Metric| metric.get_label().iter().any(|l| l.value() == "put_off");
        let metric = durations.and_then(|family| family.get_metric().iter().find(put_off));
        metric.map_or(0, |metric| metric.get_histogram().get_sample_count())
    };
    until("it was looked at again and again", async || looks() >= 5).await;
    assert!(!world.queue.is_clean(&world.dirty("k")).await.unwrap());
    world.metadata.cancel_delete_bucket(&world.route.bucket).await.unwrap();
    assert_copied(&world, "k", b"x", "etag").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn be_07_a_key_waits_while_its_backends_are_at_no_allowed_address() {
    let mut world = World::new().await;
    world.stop_worker().await;
    // Each attempt is the last one here: the key must come back all the same.
    world
        .start_worker_with(|settings| {
            settings.allow_networks.clear();
            settings.max_attempts = 1;
        })
        .await;
    world.put("k", b"x".to_vec()).await;
    let reasons = async || -> Vec<String> {
        world.metadata.jobs(None, None, 1).await.unwrap().rows.into_iter().map(|job| job.detail).collect()
    };
    until("an attempt has failed", async || !reasons().await.is_empty()).await;
    let reason = reasons().await.remove(0);
    assert!(reason.starts_with("unavailable: ") && reason.contains("backends.allow_networks"), "{reason}");
    assert!(!world.queue.is_clean(&world.dirty("k")).await.unwrap());
    world.stop_worker().await;
    world.start_worker_with(|settings| settings.redrive_interval = Duration::ZERO).await;
    assert_copied(&world, "k", b"x", "etag").await;
}

/// Needs a Ceph RGW: `S3GATEWAY_TEST_RGW` names a JSON file with `endpoint` and two `users` (`access_key`, `secret_key`).
#[tokio::test(flavor = "multi_thread")]
async fn ceph_rgw_converges_with_tags_resumed_parts_and_strangers() {
    let Ok(ready) = std::env::var("S3GATEWAY_TEST_RGW") else {
        println!("skipped: S3GATEWAY_TEST_RGW is not set");
        return;
    };
    let ready: serde_json::Value = serde_json::from_slice(&std::fs::read(ready).unwrap()).unwrap();
    let site = |id: &str, user: usize| {
        let (endpoint, user) = (ready["endpoint"].as_str().unwrap(), &ready["users"][user]);
        Site::given(id, endpoint, user["access_key"].as_str().unwrap(), user["secret_key"].as_str().unwrap())
    };
    let mut world = World::given(site("fi-hel", 0), site("de-fra", 1)).await;

    // The replica's name is taken by a stranger (here the home's own user): another one is used.
    let taken = world.bucket_on(&world.near);
    world.home.client().create_bucket().bucket(&taken).send().await.unwrap();
    world.put("first", b"1".to_vec()).await;
    world.clean("first").await;
    world.reread_route().await;
    assert_ne!(world.bucket_on(&world.near), taken);
    assert_copied(&world, "first", b"1", "etag").await;
    let stolen = world.home.client().list_objects_v2().bucket(&taken).send().await.unwrap();
    assert_eq!(stolen.contents().len(), 0, "nothing of ours goes to a stranger");

    tags_follow_the_home(&world).await;
    interrupted_uploads_are_resumed_where_they_are_proven(&world).await;
    for key in ["a//b", "/lead", "x/../y", "ä +%25&<>?", "tab\there", "end/"] {
        world.put(key, key.as_bytes().to_vec()).await;
        assert_copied(&world, key, key.as_bytes(), "etag").await;
        world.delete(key).await;
        world.clean(key).await;
        assert!(world.read(&world.near, key).await.is_none(), "{key}");
    }
    let put =
        world.home.client().put_object().bucket(world.bucket_on(&world.home)).key("utf8").metadata("nimi", "pöytä");
    world.write("utf8", put.body(ByteStream::from_static(b"x")).send()).await.unwrap();
    assert_copied(&world, "utf8", b"x", "etag").await;
    let metadata = |site: &Site| site.client().head_object().bucket(world.bucket_on(site)).key("utf8").send();
    let (ours, theirs) = (metadata(&world.home).await.unwrap(), metadata(&world.near).await.unwrap());
    assert_eq!(ours.metadata(), theirs.metadata());

    let home_bucket = world.bucket_on(&world.home);
    world.metadata.begin_delete_bucket(&world.route.bucket).await.unwrap();
    world.metadata.finish_delete_bucket(&world.route.bucket).await.unwrap();
    let near = (world.near.client(), world.bucket_on(&world.near));
    until("the replica bucket is gone", async || near.0.head_bucket().bucket(&near.1).send().await.is_err()).await;
    world.home.client().head_bucket().bucket(home_bucket).send().await.unwrap();
    world.home.client().head_bucket().bucket(taken).send().await.unwrap();
}

async fn tags_follow_the_home(world: &World) {
    let near_tags = async || {
        let get = world.near.client().get_object_tagging().bucket(world.bucket_on(&world.near)).key("t");
        let mut tags: Vec<_> = get.send().await.unwrap().tag_set.into_iter().map(|t| (t.key, t.value)).collect();
        tags.sort();
        tags
    };
    let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    let (client, bucket) = (world.home.client(), world.bucket_on(&world.home));
    let put =
        client.put_object().bucket(&bucket).key("t").tagging("a=1&b=%C3%A4%20%2B").body(ByteStream::from_static(b"t"));
    world.write("t", put.send()).await.unwrap();
    assert_copied(world, "t", b"t", "etag").await;
    assert_eq!(near_tags().await, [pair("a", "1"), pair("b", "ä +")]);
    let tag = aws_sdk_s3::types::Tag::builder().key("replica-count").value("2").build().unwrap();
    let tagging = aws_sdk_s3::types::Tagging::builder().tag_set(tag).build().unwrap();
    let put = client.put_object_tagging().bucket(&bucket).key("t").tagging(tagging);
    world.write("t", put.send()).await.unwrap();
    world.clean("t").await;
    assert_eq!(near_tags().await, [pair("replica-count", "2")]);
    world.write("t", client.delete_object_tagging().bucket(&bucket).key("t").send()).await.unwrap();
    world.clean("t").await;
    assert_eq!(near_tags().await, []);
}

async fn interrupted_uploads_are_resumed_where_they_are_proven(world: &World) {
    let (client, bucket) = (world.near.client(), world.bucket_on(&world.near));
    let resumed = || {
        let text = prometheus::TextEncoder::new().encode_to_string(&world.registry.gather()).unwrap();
        let line = text.lines().find(|l| l.starts_with("s3gateway_resumed_parts_total ")).unwrap().to_owned();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    let body = noise(20 * MIB, 11);
    for (key, first, reused) in [("right", body[..8 * MIB].to_vec(), 1.0), ("wrong", noise(8 * MIB, 12), 0.0)] {
        let before = resumed();
        let created = client.create_multipart_upload().bucket(&bucket).key(key).send().await.unwrap();
        let part = client.upload_part().bucket(&bucket).key(key).upload_id(created.upload_id().unwrap()).part_number(1);
        part.body(ByteStream::from(first)).send().await.unwrap();
        put_parts(world, key, &body, &[8 * MIB, 8 * MIB, 4 * MIB]).await;
        assert_copied(world, key, &body, "etag").await;
        assert_eq!(resumed() - before, reused, "{key}");
    }
    let open = client.list_multipart_uploads().bucket(&bucket).send().await.unwrap();
    assert!(open.uploads().is_empty(), "{open:?}");
}
