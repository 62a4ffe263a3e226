//! Copies of objects that were uploaded in parts, against real S3 servers: their boundaries, and what is left where one was cut short.

use crate::sites::{Site, World, noise, until};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use s3gateway_s3::ObjectKey;
use std::time::Duration;

const MIB: usize = 1 << 20;

/// Uploads to the home in parts of the given lengths.
async fn put_parts(world: &World, key: &str, body: &[u8], lengths: &[usize]) {
    let (client, bucket) = (world.home.client(), world.bucket_on(&world.home));
    let created = client.create_multipart_upload().bucket(&bucket).key(key).send().await.unwrap();
    let id = created.upload_id().unwrap();
    let (mut done, mut offset) = (CompletedMultipartUpload::builder(), 0);
    for (number, length) in (1..).zip(lengths) {
        let put = client.upload_part().bucket(&bucket).key(key).upload_id(id).part_number(number);
        let sent = put.body(ByteStream::from(body[offset..offset + length].to_vec())).send().await.unwrap();
        done = done.parts(CompletedPart::builder().part_number(number).e_tag(sent.e_tag().unwrap()).build());
        offset += length;
    }
    let complete = client.complete_multipart_upload().bucket(&bucket).key(key).upload_id(id);
    world.write(key, complete.multipart_upload(done.build()).send()).await.unwrap();
}

/// How many uploads of a key are open at the replica.
async fn open_uploads(world: &World, key: &str) -> usize {
    let list = world.near.client().list_multipart_uploads().bucket(world.bucket_on(&world.near)).prefix(key);
    list.send().await.map_or(0, |page| page.uploads().len())
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_which_only_the_ends_look_even_keep_their_etag() {
    let world = World::embedded().await;
    let lengths = [8 * MIB, 6 * MIB, 10 * MIB, 3 * MIB];
    let body = noise(lengths.iter().sum(), 21);
    put_parts(&world, "k", &body, &lengths).await;
    world.clean("k").await;
    let (at_home, copy) = (world.read(&world.home, "k").await.unwrap(), world.read(&world.near, "k").await.unwrap());
    assert!(at_home.0 == body && copy.0 == body);
    assert_eq!(copy.1, at_home.1);
    let sent = world.near.wire.take_seen().iter().filter(|line| line.contains("partNumber=")).count();
    assert_eq!(sent, 2 * lengths.len(), "once as they look, and once as they are");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_was_cut_short_ends_though_the_next_copy_is_none_by_parts() {
    let mut world = World::embedded().await;
    let lengths = [5 * MIB, MIB];
    let body = noise(6 * MIB, 22);
    // What is to become of each after its copy failed.
    world.near.wire.refuse(500, "partNumber=2");
    for key in ["overwritten", "deleted"] {
        put_parts(&world, key, &body, &lengths).await;
        until("an upload is left open", async || open_uploads(&world, key).await == 1).await;
    }
    world.put("overwritten", b"small".to_vec()).await;
    world.delete("deleted").await;
    world.near.wire.let_in();
    for key in ["overwritten", "deleted"] {
        world.clean(key).await;
        assert_eq!(open_uploads(&world, key).await, 0, "{key}");
    }
    assert_eq!(world.read(&world.near, "overwritten").await.unwrap().0, b"small");

    // A worker that dies tells nobody that its copy failed.
    world.put("crashed", b"first".to_vec()).await;
    world.clean("crashed").await;
    world.near.wire.hold("partNumber=2");
    put_parts(&world, "crashed", &body, &lengths).await;
    until("an upload is left open", async || open_uploads(&world, "crashed").await == 1).await;
    world.stop_worker().await;
    world.put("crashed", b"small".to_vec()).await;
    world.near.wire.let_in();
    world.start_worker().await;
    world.clean("crashed").await;
    assert_eq!(open_uploads(&world, "crashed").await, 0);
    assert_eq!(world.read(&world.near, "crashed").await.unwrap().0, b"small");

    // None of this costs the usual object a request.
    world.near.wire.take_seen();
    world.put("usual", b"small".to_vec()).await;
    world.clean("usual").await;
    world.put("usual", b"other".to_vec()).await;
    world.clean("usual").await;
    let asked: Vec<String> = world.near.wire.take_seen();
    assert!(!asked.iter().any(|line| line.contains("uploads")), "{asked:?}");
}

/// Begins an upload at a site and sends its first part.
async fn begin_upload(world: &World, site: &Site, key: &str, part: &[u8]) -> String {
    let (client, bucket) = (site.client(), world.bucket_on(site));
    let id = client.create_multipart_upload().bucket(&bucket).key(key).send().await.unwrap().upload_id.unwrap();
    let put = client.upload_part().bucket(&bucket).key(key).upload_id(&id).part_number(1);
    put.body(ByteStream::from(part.to_vec())).send().await.unwrap();
    id
}

/// A client's upload to the home and the replica at once, as a gateway notes it; the home's id.
async fn begin_at_both(world: &World, key: &str, part: &[u8]) -> String {
    let at_home = begin_upload(world, &world.home, key, part).await;
    let places = [(world.near.id.clone(), begin_upload(world, &world.near, key, part).await)];
    let (bucket, named) = (&world.route.bucket, ObjectKey::parse(key).unwrap());
    world.metadata.put_upload_places(bucket, &named, &world.home.id, &at_home, &places).await.unwrap();
    at_home
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_upload_at_a_replica_ends_with_the_homes_and_not_before() {
    let mut world = World::embedded().await;
    world.stop_worker().await;
    world.start_worker_with(|settings| settings.upload_look_interval = Duration::ZERO).await;
    let (lengths, body) = ([5 * MIB, MIB], noise(6 * MIB, 23));
    world.put("first", b"makes the replica's bucket".to_vec()).await;
    world.clean("first").await;
    let id = begin_at_both(&world, "k", &body[..5 * MIB]).await;
    let places = async |id: &str| world.metadata.upload_places(&world.route.bucket, id).await.unwrap().len();

    // Neither a copy by parts nor what follows it touches the client's.
    put_parts(&world, "k", &body, &lengths).await;
    world.clean("k").await;
    world.delete("k").await;
    world.clean("k").await;
    assert_eq!(open_uploads(&world, "k").await, 1);
    let looked_at = async || {
        let list = world.metadata.open_places(i64::MAX, i64::MAX, 10).await.unwrap();
        list.iter().map(|open| open.looked_at).max().unwrap()
    };
    let before = looked_at().await;
    until("it is looked at", async || looked_at().await > before).await;
    assert_eq!(open_uploads(&world, "k").await, 1, "the home has it still");

    // A home that does not answer says nothing of it.
    world.home.wire.refuse(503, "uploadId");
    let abort = |id: &str| {
        let abort = world.home.client().abort_multipart_upload().bucket(world.bucket_on(&world.home));
        abort.key("k").upload_id(id).send()
    };
    let before = looked_at().await;
    until("it is looked at", async || looked_at().await > before).await;
    assert_eq!((open_uploads(&world, "k").await, places(&id).await), (1, 1));
    world.home.wire.let_in();
    abort(&id).await.unwrap();
    until("it ends as the home's has", async || open_uploads(&world, "k").await == 0 && places(&id).await == 0).await;

    // One that was lost to the client is gone on with.
    let id = begin_at_both(&world, "lost", &body[..5 * MIB]).await;
    world.metadata.lose_upload_place(&world.route.bucket, &id, &world.near.id).await.unwrap();
    world.near.wire.take_seen();
    put_parts(&world, "lost", &body, &lengths).await;
    world.clean("lost").await;
    assert_eq!(world.read(&world.near, "lost").await.unwrap().0, body);
    let sent = world.near.wire.take_seen().iter().filter(|line| line.contains("partNumber=")).count();
    assert_eq!((sent, open_uploads(&world, "lost").await), (1, 0), "the other part was there");
}
