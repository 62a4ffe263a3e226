//! What a worker does about a key that stayed behind at a former home, when that is back, against real S3 servers.

use crate::sites::{Site, World, noise, until};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use s3gateway_config::{BackendId, PlaceRule, ResidencyPolicy};
use s3gateway_s3::PhysicalBucket;
use s3gateway_store::{Kept, ObjectCopy, PromotionState, StoreError, Stranded, StrandedState, names};
use std::time::Duration;

const MIB: usize = 1 << 20;

/// Has `key` stranded: the home alone, which is away now, has its last write, and the replica has become home.
async fn strand(world: &mut World, key: &str) {
    world.put(key, b"first".to_vec()).await;
    world.clean(key).await;
    world.near.stop().await;
    world.put(key, b"second".to_vec()).await;
    world.home.stop().await;
    world.near.start().await;
    promote_near(world).await;
    assert_eq!(world.metadata.stranded(&world.route.bucket, &world.dirty(key).key).await.unwrap().len(), 1);
}

/// Has the replica take the place of a home that is away.
pub async fn promote_near(world: &World) {
    let (bucket, near) = (&world.route.bucket, &world.near.id);
    let begun = world.metadata.begin_promotion(bucket, near, world.route.epoch, true).await.unwrap();
    until("the replica is home", async || {
        world.metadata.promotion(&begun.id).await.unwrap().state == PromotionState::Done
    })
    .await;
}

/// Begins an upload with these parts; answers its id and what completes it.
async fn upload(world: &World, site: &Site, key: &str, parts: &[&[u8]]) -> (String, CompletedMultipartUpload) {
    let (client, bucket) = (site.client(), world.bucket_on(site));
    let created = client.create_multipart_upload().bucket(&bucket).key(key).send().await.unwrap();
    let id = created.upload_id().unwrap().to_owned();
    let mut done = CompletedMultipartUpload::builder();
    for (number, part) in (1..).zip(parts) {
        let put = client.upload_part().bucket(&bucket).key(key).upload_id(&id).part_number(number);
        let sent = put.body(ByteStream::from(part.to_vec())).send().await.unwrap();
        done = done.parts(CompletedPart::builder().part_number(number).e_tag(sent.e_tag().unwrap()).build());
    }
    (id, done.build())
}

async fn put_at(world: &World, site: &Site, key: &str, body: &'static [u8]) {
    let put = site.client().put_object().bucket(world.bucket_on(site)).key(key);
    put.body(ByteStream::from_static(body)).send().await.unwrap();
}

/// Whether an attempt at a key has ended with these words.
pub async fn has_said(world: &World, words: &str) -> bool {
    world.metadata.jobs(None, None, 100).await.unwrap().rows.iter().any(|job| job.detail.contains(words))
}

/// A proxy that dies between its write and its commit tells nobody; what is written then says itself when that was.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_at_the_new_home_is_the_newer_one_though_nobody_told_of_it() {
    let mut world = World::embedded().await;
    strand(&mut world, "k").await;
    let (bucket, key) = (world.route.bucket.clone(), world.dirty("k"));
    put_at(&world, &world.near, "k", b"third").await;
    world.home.start().await;
    world.queue.mark(&key, "req-2").await.unwrap();
    until("both sides were compared", async || world.metadata.stranded(&bucket, &key.key).await.unwrap().is_empty())
        .await;
    world.clean("k").await;
    for site in [&world.near, &world.home] {
        assert_eq!(world.read(site, "k").await.unwrap().0, b"third", "{}", site.id);
    }
}

/// The key's row, while it waits to be compared.
async fn waiting(world: &World, key: &str) -> Option<Stranded> {
    world.metadata.stranded(&world.route.bucket, &world.dirty(key).key).await.unwrap().pop()
}

/// As an operator gives a key up; where it is asked for next.
async fn give_up(world: &World, key: &str) -> Option<BackendId> {
    world.metadata.give_up_stranded(&waiting(world, key).await.unwrap().id).await.unwrap();
    let next = waiting(world, key).await.map(|row| row.home);
    world.queue.mark(&world.dirty(key), "stranded-drop").await.unwrap();
    next
}

/// Two of three places have acknowledged a write, and the one that was home is lost.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_replica_holds_comes_home_though_the_former_home_is_given_up() {
    let mut world = World::embedded().await;
    world.metadata.set_replica_count(&world.route.bucket, 3).await.unwrap();
    let keys = ["k", "lost", "twice"];
    for key in keys {
        world.put(key, b"first".to_vec()).await;
        world.clean(key).await;
    }
    world.near.stop().await;
    for key in keys.into_iter().chain(["new"]) {
        world.put(key, b"second".to_vec()).await;
        let etag = world.read(&world.home, key).await.unwrap().1;
        let is_at_far =
            |copy: &ObjectCopy| copy.backend == world.far.id && copy.home_etag == etag && copy.verified_at > 0;
        until("a replica has it", async || world.copies(key).await.iter().any(is_at_far)).await;
    }
    // What it has read from the home already it would bring to the other replica.
    world.stop_worker().await;
    world.home.stop().await;
    world.near.start().await;
    world.start_worker().await;
    promote_near(&world).await;
    world.far.client().delete_object().bucket(world.bucket_on(&world.far)).key("lost").send().await.unwrap();

    let row = waiting(&world, "k").await.unwrap();
    for key in ["k", "lost", "new"] {
        assert_eq!(give_up(&world, key).await.as_ref(), Some(&world.far.id), "{key}");
        until("it was compared", async || waiting(&world, key).await.is_none()).await;
    }
    for (key, body) in [("k", b"second".as_slice()), ("new", b"second"), ("lost", b"first")] {
        assert_eq!(world.read(&world.near, key).await.unwrap().0, body, "{key}");
    }
    assert_eq!(world.read(&world.far, "k").await.unwrap().0, b"second");
    let settled = world.metadata.stranded_by_id(&row.id).await.unwrap();
    assert!(matches!(settled.state, StrandedState::Kept(_)), "what was at the new home stands aside: {settled:?}");

    world.far.stop().await;
    assert_eq!(give_up(&world, "twice").await.as_ref(), Some(&world.far.id));
    assert_eq!(give_up(&world, "twice").await, None);
    assert_eq!(world.read(&world.near, "twice").await.unwrap().0, b"first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_home_that_comes_back_empty_deletes_nothing() {
    let mut world = World::embedded().await;
    world.put("other", b"x".to_vec()).await;
    world.clean("other").await;
    strand(&mut world, "k").await;
    world.stop_worker().await;
    world.home.start().await;
    let (client, home_bucket) = (world.home.client(), world.bucket_on(&world.home));
    for key in ["k", "other"] {
        client.delete_object().bucket(&home_bucket).key(key).send().await.unwrap();
    }
    client.delete_bucket().bucket(&home_bucket).send().await.unwrap();

    // Another key's copy must not make the bucket anew, which would look like one whose keys were all deleted.
    world.start_worker().await;
    put_at(&world, &world.near, "new", b"y").await;
    for key in ["new", "k"] {
        world.queue.mark(&world.dirty(key), "req-2").await.unwrap();
    }
    until("the copy is refused", async || has_said(&world, "come back without it").await).await;
    assert!(client.head_bucket().bucket(&home_bucket).send().await.is_err());

    client.create_bucket().bucket(&home_bucket).send().await.unwrap();
    until("nothing is concluded", async || has_said(&world, "that it had when it was home").await).await;
    assert_eq!(world.read(&world.near, "k").await.unwrap().0, b"first");
    let row = world.metadata.stranded(&world.route.bucket, &world.dirty("k").key).await.unwrap().remove(0);
    assert_eq!((&row.state, row.aside()), (&StrandedState::Open, None));

    world.metadata.drop_stranded(&row.id).await.unwrap();
    for (key, body) in [("k", b"first".as_slice()), ("new", b"y")] {
        world.clean(key).await;
        assert_eq!(world.read(&world.home, key).await.unwrap().0, body, "{key}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_that_stayed_behind_are_believed_of_a_home_that_is_whole() {
    let mut world = World::embedded().await;
    let keys: Vec<String> = (0..25).map(|n| format!("a{n:02}")).collect();
    world.put("last", b"x".to_vec()).await;
    for key in &keys {
        world.put(key, b"x".to_vec()).await;
    }
    for key in keys.iter().map(String::as_str).chain(["last"]) {
        world.clean(key).await;
    }
    world.near.stop().await;
    for key in &keys {
        world.delete(key).await;
    }
    world.home.stop().await;
    world.near.start().await;
    promote_near(&world).await;
    let bucket = world.route.bucket.clone();
    assert_eq!(world.metadata.stranded_of(&bucket, None, 100).await.unwrap().len(), keys.len());
    world.home.start().await;
    let waiting = async || world.metadata.count_stranded().await.unwrap().waiting;
    until("all were compared", async || waiting().await == 0).await;
    for key in &keys {
        world.clean(key).await;
        assert!(world.read(&world.near, key).await.is_none(), "{key}");
    }
    assert!(world.read(&world.near, "last").await.is_some());
}

/// What stands before the home answers for it, and the S3 client sends the request again.
#[tokio::test(flavor = "multi_thread")]
async fn a_delete_at_the_home_that_may_land_once_more_keeps_clients_away() {
    let mut world = World::embedded().await;
    for key in ["k", "last"] {
        world.put(key, b"x".to_vec()).await;
        world.clean(key).await;
    }
    world.near.stop().await;
    world.delete("k").await;
    world.home.stop().await;
    world.near.start().await;
    promote_near(&world).await;
    world.near.wire.refuse(504, "DELETE");
    world.near.wire.take_seen();
    world.home.start().await;
    let is_sent = async || world.near.wire.take_seen().iter().any(|line| line.starts_with("DELETE"));
    until("the delete is sent", is_sent).await;
    world.near.wire.let_in();
    let waiting = async || world.metadata.count_stranded().await.unwrap().waiting;
    until("it was compared", async || waiting().await == 0).await;
    let written = world.queue.intent(&world.dirty("k"), "client", Duration::from_secs(1)).await;
    assert!(matches!(written, Err(StoreError::Busy)), "{written:?}");
    world.clean("k").await;
    assert!(world.read(&world.near, "k").await.is_none());
    world.queue.intent(&world.dirty("k"), "client", Duration::from_secs(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_aside_is_kept_though_its_worker_came_no_further() {
    let mut world = World::embedded().await;
    strand(&mut world, "k").await;
    // As a worker leaves it that dies between its change of the home and its last note.
    let row = world.metadata.stranded(&world.route.bucket, &world.dirty("k").key).await.unwrap().remove(0);
    let physical = PhysicalBucket::parse("s3gw-0123-aside").unwrap();
    let kept = Kept { backend: world.near.id.clone(), physical, etag: "e".to_owned(), size: 5 };
    world.metadata.begin_keeping(&row.id, &kept).await.unwrap();
    put_at(&world, &world.near, "k", b"second").await;
    world.home.start().await;
    let settled = async || world.metadata.stranded_by_id(&row.id).await.unwrap().state;
    until("it is kept", async || settled().await == StrandedState::Kept(kept.clone())).await;
}

/// As a worker leaves it that dies just after it has brought an object home to where ETags do not survive a copy.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_brought_home_under_another_etag_is_no_newer_write() {
    let mut world = World::embedded().await;
    strand(&mut world, "k").await;
    world.stop_worker().await;
    let row = world.metadata.stranded(&world.route.bucket, &world.dirty("k").key).await.unwrap().remove(0);
    let physical = PhysicalBucket::parse("s3gw-0123-aside").unwrap();
    let kept = Kept { backend: world.near.id.clone(), physical, etag: "e".to_owned(), size: 5 };
    world.metadata.begin_keeping(&row.id, &kept).await.unwrap();
    let (id, done) = upload(&world, &world.near, "k", &[b"second"]).await;
    let (client, at_near) = (world.near.client(), world.bucket_on(&world.near));
    let complete = client.complete_multipart_upload().bucket(at_near).key("k").upload_id(id).multipart_upload(done);
    complete.send().await.unwrap();
    world.home.start().await;
    assert_ne!(world.read(&world.near, "k").await.unwrap().1, world.read(&world.home, "k").await.unwrap().1);
    world.start_worker().await;
    world.queue.mark(&world.dirty("k"), "req-2").await.unwrap();
    let settled = async || world.metadata.stranded_by_id(&row.id).await.unwrap().state;
    until("it is settled", async || matches!(settled().await, StrandedState::Kept(_))).await;
    assert_eq!(settled().await, StrandedState::Kept(kept), "what stands aside is what has lost");
    world.clean("k").await;
    for site in [&world.near, &world.home] {
        assert_eq!(world.read(site, "k").await.unwrap().0, b"second", "{}", site.id);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_home_has_corrupt_is_replaced_by_what_the_former_home_holds() {
    let mut world = World::embedded().await;
    world.put("k", b"right".to_vec()).await;
    world.clean("k").await;
    let (near, etag) = (world.near.id.clone(), world.read(&world.near, "k").await.unwrap().1);
    world.near.corrupt(b"right", b"wrong");
    world.metadata.suspect_copy(&world.route.bucket, &world.dirty("k").key, &near, &etag).await.unwrap();
    world.home.stop().await;
    promote_near(&world).await;
    assert!(waiting(&world, "k").await.is_some(), "it is not proven to be there");
    world.home.start().await;
    world.queue.mark(&world.dirty("k"), "req-2").await.unwrap();
    world.clean("k").await;
    assert_eq!(world.read(&world.near, "k").await.unwrap().0, b"right");
    assert!(!has_any_aside(&world.near).await, "wrong bytes are nobody's");
    assert!(world.copies("k").await.iter().all(|copy| copy.verified_how == "etag"), "{:?}", world.copies("k").await);
}

/// A proxy that is cut off from Redis alone marks in the database, where the worker's lease is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_no_lease_has_kept_away_is_not_replaced() {
    let mut world = World::embedded().await;
    strand(&mut world, "k").await;
    let row = waiting(&world, "k").await.unwrap();
    let aside = names::propose_aside(&PhysicalBucket::parse(&world.bucket_on(&world.near)).unwrap());
    let last_look = format!("HEAD /{}/{}", aside.for_upstream(), row.id);
    world.near.wire.hold(&last_look);
    world.near.wire.take_seen();
    world.home.start().await;
    world.queue.mark(&world.dirty("k"), "req-2").await.unwrap();
    let is_aside = async || world.near.wire.take_seen().iter().any(|line| line.contains(&last_look));
    until("what is to lose stands aside", is_aside).await;
    put_at(&world, &world.near, "k", b"third").await;
    world.metadata.overwrite_stranded(&row.bucket, &row.key).await.unwrap();
    world.near.wire.let_in();
    world.clean("k").await;
    for site in [&world.near, &world.home] {
        assert_eq!(world.read(site, "k").await.unwrap().0, b"third", "{}", site.id);
    }
    let StrandedState::Kept(kept) = world.metadata.stranded_by_id(&row.id).await.unwrap().state else { panic!() };
    let aside =
        world.near.client().get_object().bucket(kept.physical.for_upstream()).key(&row.id).send().await.unwrap();
    assert_eq!(aside.body.collect().await.unwrap().to_vec(), b"second");
}

/// What proxies see, whichever queue they mark by.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_takes_no_writes_while_it_is_brought_home_and_does_again_when_its_worker_is_dead() {
    let mut world = World::embedded().await;
    strand(&mut world, "k").await;
    // As a worker leaves it that has died, and the former home is away again.
    let row = waiting(&world, "k").await.unwrap();
    assert!(world.metadata.begin_bringing(&row, "!1").await.unwrap());
    world.queue.mark(&world.dirty("k"), "req-2").await.unwrap();
    until("it takes writes", async || !waiting(&world, "k").await.unwrap().is_changing()).await;

    let (row, path) = (waiting(&world, "k").await.unwrap(), format!("PUT /{}/k", world.bucket_on(&world.near)));
    world.near.wire.hold(&path);
    world.home.start().await;
    world.queue.mark(&world.dirty("k"), "req-3").await.unwrap();
    until("it is noted", async || waiting(&world, "k").await.unwrap().is_changing()).await;
    world.metadata.overwrite_stranded(&row.bucket, &row.key).await.unwrap();
    assert_eq!(waiting(&world, "k").await.unwrap().state, StrandedState::Open, "no write is acknowledged");
    world.near.wire.let_in();
    until("it is settled", async || waiting(&world, "k").await.is_none()).await;
    world.clean("k").await;
    assert_eq!(world.read(&world.near, "k").await.unwrap().0, b"second");
}

async fn has_any_aside(site: &Site) -> bool {
    let listed = site.client().list_buckets().send().await.unwrap();
    listed.buckets().iter().any(|bucket| bucket.name().is_some_and(|name| name.ends_with("-aside")))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stranded_comes_to_a_home_that_the_policy_denies() {
    let mut world = World::embedded().await;
    strand(&mut world, "k").await;
    let deny = PlaceRule { jurisdictions: vec!["EU".to_owned()], ..PlaceRule::default() };
    let policy = ResidencyPolicy { deny, ..ResidencyPolicy::default() };
    // A job that has begun goes by the policy that it has read.
    world.stop_worker().await;
    world.metadata.set_tenant_policy(&world.tenant.id, &policy).await.unwrap();
    world.home.start().await;
    world.start_worker().await;
    world.queue.mark(&world.dirty("k"), "req-2").await.unwrap();
    until("it is refused", async || has_said(&world, "deny.jurisdictions denies de-fra").await).await;
    assert_eq!(world.read(&world.near, "k").await.unwrap().0, b"first");
    assert!(!has_any_aside(&world.near).await);

    world.metadata.set_tenant_policy(&world.tenant.id, &ResidencyPolicy::default()).await.unwrap();
    world.queue.mark(&world.dirty("k"), "req-3").await.unwrap();
    world.clean("k").await;
    assert_eq!(world.read(&world.near, "k").await.unwrap().0, b"second");
    assert!(has_any_aside(&world.near).await);
}

/// The marks by which a worker keeps clients away are no writes that it has to look at at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranded_key_that_fails_is_put_off_and_does_not_meet_its_own_lease() {
    let mut world = World::embedded().await;
    strand(&mut world, "k").await;
    world.stop_worker().await;
    // Between a second and two after each failure.
    let delay = Duration::from_secs(2);
    world.start_worker_with(|settings| (settings.backoff_base, settings.backoff_max) = (delay, delay)).await;
    world.near.wire.refuse(403, "-aside");
    world.home.start().await;
    let refused = async || {
        let jobs = world.metadata.jobs(None, None, 100).await.unwrap().rows;
        let mut ends: Vec<i64> =
            jobs.iter().filter(|job| job.detail.contains("CreateBucket")).map(|job| job.finished_at).collect();
        ends.sort_unstable();
        ends
    };
    until("it has failed again and again", async || refused().await.len() >= 3).await;
    let ends = refused().await;
    assert!(ends.windows(2).all(|pair| pair[1] - pair[0] >= 900), "{ends:?}");
    assert!(!has_said(&world, "another write of the key").await);
    world.near.wire.let_in();
    world.clean("k").await;
    assert_eq!(world.read(&world.near, "k").await.unwrap().0, b"second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_promotion_deletes_nothing_that_the_home_has_lost() {
    let world = World::embedded().await;
    for key in ["kept", "lost"] {
        world.put(key, b"x".to_vec()).await;
        world.clean(key).await;
    }
    let promote = async || {
        let (bucket, near) = (&world.route.bucket, &world.near.id);
        let begun = world.metadata.begin_promotion(bucket, near, world.route.epoch, false).await.unwrap();
        let now = async || world.metadata.promotion(&begun.id).await.unwrap();
        until("the promotion ends", async || now().await.state.is_over()).await;
        now().await
    };
    world.home.client().delete_object().bucket(world.bucket_on(&world.home)).key("lost").send().await.unwrap();
    let ended = promote().await;
    assert!(ended.state == PromotionState::Failed && ended.detail.contains("de-fra has lost and"), "{ended:?}");
    assert!(world.read(&world.near, "lost").await.is_some());

    // Nor what somebody wrote there past the gateway.
    put_at(&world, &world.home, "lost", b"x").await;
    put_at(&world, &world.near, "strange", b"x").await;
    let ended = promote().await;
    assert!(ended.state == PromotionState::Failed && ended.detail.contains("de-fra has strange and"), "{ended:?}");
    assert!(world.read(&world.near, "strange").await.is_some());
}

/// What is brought home comes under a client's key to where clients upload.
#[tokio::test(flavor = "multi_thread")]
async fn bringing_an_object_home_leaves_the_uploads_of_clients_alone() {
    let mut world = World::embedded().await;
    world.put("k", b"first".to_vec()).await;
    world.clean("k").await;
    world.near.stop().await;
    let (first, last) = (noise(5 * MIB, 3), noise(MIB, 4));
    let (id, done) = upload(&world, &world.home, "k", &[&first, &last]).await;
    let (client, at_home) = (world.home.client(), world.bucket_on(&world.home));
    let complete = client.complete_multipart_upload().bucket(at_home).key("k").upload_id(id).multipart_upload(done);
    world.write("k", complete.send()).await.unwrap();
    world.home.stop().await;
    world.near.start().await;
    promote_near(&world).await;
    // The newer one has the very part that the copy needs.
    let (older, _) = upload(&world, &world.near, "k", &[&last]).await;
    let (newer, _) = upload(&world, &world.near, "k", &[&first]).await;
    world.home.start().await;
    world.queue.mark(&world.dirty("k"), "req-2").await.unwrap();
    world.clean("k").await;
    let want = [first.as_slice(), last.as_slice()].concat();
    for site in [&world.near, &world.home] {
        assert!(world.read(site, "k").await.unwrap().0 == want, "{}", site.id);
    }
    let (client, at_near) = (world.near.client(), world.bucket_on(&world.near));
    for (id, length) in [(older, MIB), (newer, 5 * MIB)] {
        let held = client.list_parts().bucket(&at_near).key("k").upload_id(id).send().await.unwrap();
        let lengths: Vec<Option<i64>> = held.parts().iter().map(|part| part.size()).collect();
        assert_eq!(lengths, [i64::try_from(length).ok()]);
    }
    let open = client.list_multipart_uploads().bucket(&at_near).send().await.unwrap();
    assert_eq!(open.uploads().len(), 2, "the copy's own is completed");
}
