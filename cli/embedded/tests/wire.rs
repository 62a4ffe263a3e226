//! The server as a stock client sees it, and what a kill leaves of it. What S3 documents of each operation is in the
//! conformance suite of `e2e`; here is what only this store has: its files, and that rows and files never disagree.
// Helpers of tests fail as tests do.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]
mod server;

use aws_sdk_s3::{
    primitives::ByteStream,
    types::{
        BucketVersioningStatus, ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart,
        VersioningConfiguration,
    },
};
use server::{Server, contents};
use std::time::Duration;

/// Until the task that unlinks has caught up.
async fn until_contents_are(server: &Server, wanted: usize) {
    for _ in 0..200 {
        if contents(server.folder.path()) == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    assert_eq!(contents(server.folder.path()), wanted, "content files");
}

async fn read(server: &Server, key: &str) -> Vec<u8> {
    let got =
        server.client.get_object().bucket("bucket").key(key).checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
    got.body.collect().await.unwrap().to_vec()
}

async fn put(server: &Server, key: &str, body: &[u8]) {
    let body = ByteStream::from(body.to_vec());
    server.client.put_object().bucket("bucket").key(key).body(body).send().await.unwrap();
}

#[tokio::test]
async fn any_key_is_kept_and_listed_in_the_order_of_its_bytes() {
    let server = Server::start().await;
    server.bucket("bucket").await;
    let long = "k".repeat(1024);
    let mut keys = vec![
        "a//b",
        "../x",
        "a/./b",
        "ä +%&<>",
        "a/",
        "/lead",
        "tab\there",
        "\u{1}",
        ".",
        "..",
        "con",
        "A",
        "a",
        &long,
    ];
    for key in &keys {
        put(&server, key, key.as_bytes()).await;
    }
    keys.sort_unstable();
    let listed = server.client.list_objects_v2().bucket("bucket").encoding_type("url".into()).send().await.unwrap();
    let found: Vec<String> = listed
        .contents()
        .iter()
        .map(|object| percent_encoding::percent_decode_str(object.key().unwrap()).decode_utf8().unwrap().into_owned())
        .collect();
    assert_eq!(found, keys);
    for key in keys {
        assert_eq!(read(&server, key).await, key.as_bytes(), "{key}");
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_found_by_the_next_server_and_nothing_else_is() {
    let server = Server::start().await;
    server.bucket("bucket").await;
    put(&server, "kept", b"kept").await;
    put(&server, "replaced", b"old").await;
    put(&server, "replaced", b"new").await;
    let upload = server.client.create_multipart_upload().bucket("bucket").key("big").send().await.unwrap();
    let upload = upload.upload_id().unwrap();
    let part = server.client.upload_part().bucket("bucket").key("big").upload_id(upload).part_number(1);
    part.body(ByteStream::from_static(b"part")).send().await.unwrap();
    until_contents_are(&server, 3).await;
    // What a kill between the file and its row leaves.
    std::fs::write(server.folder.path().join("content/0123456789abcdef"), b"orphan").unwrap();
    let folder = server.folder.clone();
    drop(server);
    let server = Server::start_in(folder).await;
    assert_eq!(contents(server.folder.path()), 3, "the orphan is swept");
    assert_eq!((read(&server, "kept").await, read(&server, "replaced").await), (b"kept".to_vec(), b"new".to_vec()));
    let parts = server.client.list_parts().bucket("bucket").key("big").upload_id(upload).send().await.unwrap();
    let part = CompletedPart::builder().part_number(1).e_tag(parts.parts()[0].e_tag().unwrap()).build();
    let listed = CompletedMultipartUpload::builder().parts(part).build();
    let complete = server.client.complete_multipart_upload().bucket("bucket").key("big").upload_id(upload);
    complete.multipart_upload(listed).send().await.unwrap();
    assert_eq!(read(&server, "big").await, b"part");
    assert_eq!(contents(server.folder.path()), 3);
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing() {
    use tokio::{io::AsyncWriteExt, net::TcpStream};
    let server = Server::start().await;
    server.bucket("bucket").await;
    put(&server, "k", b"before").await;
    let config = aws_sdk_s3::presigning::PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
    let url = server.client.put_object().bucket("bucket").key("k").presigned(config).await.unwrap().uri().to_owned();
    let (host, path) = url.trim_start_matches("http://").split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).await.unwrap();
    let head = format!("PUT /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n\r\nonly this");
    stream.write_all(head.as_bytes()).await.unwrap();
    until_contents_are(&server, 2).await;
    drop(stream);
    until_contents_are(&server, 1).await;
    assert_eq!(read(&server, "k").await, b"before");
}

#[tokio::test]
async fn content_goes_with_the_last_row_that_names_it() {
    let server = Server::start().await;
    let client = server.bucket("bucket").await;
    put(&server, "a", b"shared").await;
    client.copy_object().bucket("bucket").key("b").copy_source("bucket/a").send().await.unwrap();
    assert_eq!(contents(server.folder.path()), 1, "a copy names the same content");
    client.delete_object().bucket("bucket").key("a").send().await.unwrap();
    assert_eq!(read(&server, "b").await, b"shared");
    client.delete_object().bucket("bucket").key("b").send().await.unwrap();
    until_contents_are(&server, 0).await;
    client.delete_bucket().bucket("bucket").send().await.unwrap();
}

#[tokio::test]
async fn a_read_that_has_begun_ends_though_its_object_is_deleted() {
    let server = Server::start().await;
    let client = server.bucket("bucket").await;
    let body: Vec<u8> = (0..16 << 20).map(|n: u32| n.to_le_bytes()[1]).collect();
    put(&server, "k", &body).await;
    let mut reading = client.get_object().bucket("bucket").key("k").send().await.unwrap().body;
    let mut got = reading.next().await.unwrap().unwrap().to_vec();
    client.delete_object().bucket("bucket").key("k").send().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    while let Some(bytes) = reading.next().await {
        got.extend_from_slice(&bytes.unwrap());
    }
    assert!(got == body, "other bytes");
    until_contents_are(&server, 0).await;
}

#[tokio::test]
async fn versions_can_be_paged_while_they_are_deleted() {
    let server = Server::start().await;
    let client = server.bucket("bucket").await;
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    client.put_bucket_versioning().bucket("bucket").versioning_configuration(enabled).send().await.unwrap();
    for n in 0..5 {
        put(&server, "k", &[n]).await;
    }
    client.delete_object().bucket("bucket").key("k").send().await.unwrap();
    let (mut key_marker, mut id_marker, mut gone) = (None, None, 0);
    loop {
        let page = client.list_object_versions().bucket("bucket").max_keys(2);
        let page = page.set_key_marker(key_marker).set_version_id_marker(id_marker).send().await.unwrap();
        let ids = page.versions().iter().map(|version| version.version_id());
        for id in ids.chain(page.delete_markers().iter().map(|marker| marker.version_id())) {
            client.delete_object().bucket("bucket").key("k").version_id(id.unwrap()).send().await.unwrap();
            gone += 1;
        }
        if page.is_truncated() != Some(true) {
            break;
        }
        (key_marker, id_marker) =
            (page.next_key_marker().map(str::to_owned), page.next_version_id_marker().map(str::to_owned));
    }
    assert_eq!(gone, 6);
    client.delete_bucket().bucket("bucket").send().await.unwrap();
}

#[tokio::test]
async fn every_checksum_of_the_sdk_is_verified_and_shown() {
    let server = Server::start().await;
    let client = server.bucket("bucket").await;
    for algorithm in [
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc32C,
        ChecksumAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Sha1,
        ChecksumAlgorithm::Sha256,
    ] {
        // From a file the SDK sends the checksum as a trailer.
        let file = server.folder.path().join("body");
        std::fs::write(&file, algorithm.as_str()).unwrap();
        let body = ByteStream::from_path(&file).await.unwrap();
        let put = client.put_object().bucket("bucket").key("k").checksum_algorithm(algorithm.clone()).body(body);
        let put = put.send().await.unwrap();
        let head =
            client.head_object().bucket("bucket").key("k").checksum_mode(ChecksumMode::Enabled).send().await.unwrap();
        let of = [
            (put.checksum_crc32(), head.checksum_crc32()),
            (put.checksum_crc32_c(), head.checksum_crc32_c()),
            (put.checksum_crc64_nvme(), head.checksum_crc64_nvme()),
            (put.checksum_sha1(), head.checksum_sha1()),
            (put.checksum_sha256(), head.checksum_sha256()),
        ];
        assert!(of.iter().all(|(put, head)| put == head), "{algorithm}: {of:?}");
        assert_eq!(of.iter().filter(|(put, _)| put.is_some()).count(), 1, "{algorithm}");
        assert_eq!(head.content_encoding(), None, "{algorithm}");
        assert_eq!(read(&server, "k").await, algorithm.as_str().as_bytes());
    }
}
