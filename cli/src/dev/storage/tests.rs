//! Kills, races and odd requests before the storage: no object is half one write and half another.
use super::*;
use s3s::S3ErrorCode;
use std::time::{Duration, SystemTime};

/// A bucket `photos` in a folder of its own.
async fn storage() -> (tempfile::TempDir, Storage) {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open(folder.path()).await.unwrap();
    let input = CreateBucketInput::builder().bucket("photos".into()).build().unwrap();
    storage.create_bucket(request(input)).await.unwrap();
    (folder, storage)
}
fn request<T>(input: T) -> S3Request<T> {
    S3Request {
        input,
        method: http::Method::PUT,
        uri: http::Uri::from_static("/"),
        headers: http::HeaderMap::new(),
        extensions: http::Extensions::new(),
        credentials: None,
        region: None,
        service: None,
        trailing_headers: None,
    }
}
fn blob(bytes: &[u8]) -> StreamingBlob {
    StreamingBlob::from(s3s::Body::from(bytes.to_vec()))
}
async fn put(storage: &Storage, bucket: &str, key: &str, bytes: &[u8]) -> Result<String, S3ErrorCode> {
    let input =
        PutObjectInput::builder().bucket(bucket.into()).key(key.into()).body(Some(blob(bytes))).build().unwrap();
    let answer = storage.put_object(request(input)).await.map_err(|error| error.code().clone())?;
    Ok(answer.output.e_tag.unwrap().into_value())
}
async fn get(storage: &Storage, key: &str) -> Result<(Vec<u8>, String), S3ErrorCode> {
    let input = GetObjectInput::builder().bucket("photos".into()).key(key.into()).build().unwrap();
    let output = storage.get_object(request(input)).await.map_err(|error| error.code().clone())?.output;
    let mut body = output.body.unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece.unwrap());
    }
    Ok((bytes, output.e_tag.unwrap().into_value()))
}
async fn delete(storage: &Storage, key: &str) {
    let input = DeleteObjectInput::builder().bucket("photos".into()).key(key.into()).build().unwrap();
    storage.delete_object(request(input)).await.unwrap();
}
async fn delete_bucket(storage: &Storage) -> Result<(), S3ErrorCode> {
    let input = DeleteBucketInput::builder().bucket("photos".into()).build().unwrap();
    storage.delete_bucket(request(input)).await.map(drop).map_err(|error| error.code().clone())
}
fn md5(bytes: &[u8]) -> String {
    hex::encode(<s3s::crypto::Md5 as s3s::crypto::Checksum>::checksum(bytes))
}

#[tokio::test]
async fn bodies_of_any_size_come_back() {
    let (_folder, storage) = storage().await;
    for size in [0, 1, IN_MEMORY, IN_MEMORY + 1, 3 * IN_MEMORY] {
        let bytes: Vec<u8> = (0..size).map(|n| u8::try_from(n % 251).unwrap()).collect();
        assert_eq!(put(&storage, "photos", "k", &bytes).await.unwrap(), md5(&bytes));
        assert_eq!(get(&storage, "k").await.unwrap(), (bytes, md5(&vec_of(size))));
    }
    fn vec_of(size: usize) -> Vec<u8> {
        (0..size).map(|n| u8::try_from(n % 251).unwrap()).collect()
    }
    assert_eq!(std::fs::read_dir(storage.0.layout.root().parent().unwrap().join("spool")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_body_that_breaks_off_changes_nothing() {
    let (_folder, storage) = storage().await;
    put(&storage, "photos", "k", b"whole").await.unwrap();
    let pieces = [Ok(bytes::Bytes::from_static(b"ha")), Err(std::io::Error::other("cut"))];
    let body = StreamingBlob::wrap(futures::stream::iter(pieces));
    let input = PutObjectInput::builder().bucket("photos".into()).key("k".into()).body(Some(body)).build().unwrap();
    assert!(storage.put_object(request(input)).await.is_err());
    assert_eq!(get(&storage, "k").await.unwrap(), (b"whole".to_vec(), md5(b"whole")));
}

#[tokio::test]
async fn folders_are_no_objects_and_give_way_when_empty() {
    let (_folder, storage) = storage().await;
    put(&storage, "photos", "a/b/c", b"1").await.unwrap();
    for key in ["a", "a/b", "a/b/c/d", "a/", "../photos/a/b/c", ""] {
        assert_eq!(get(&storage, key).await.unwrap_err(), S3ErrorCode::NoSuchKey, "{key}");
        delete(&storage, key).await;
    }
    for key in
        ["a", "a/b", "a/b/c/d", "a/", "/a", "x//y", "x/../y", "x\u{1}", "x\ty", &"x/".repeat(60), &"k".repeat(130)]
    {
        assert_eq!(put(&storage, "photos", key, b"2").await.unwrap_err(), S3ErrorCode::InvalidArgument, "{key}");
    }
    assert_eq!(get(&storage, "a/b/c").await.unwrap().0, b"1");
    delete(&storage, "a/b/c").await;
    put(&storage, "photos", "a", b"3").await.unwrap();
    assert_eq!(get(&storage, "a").await.unwrap().0, b"3");
    put(&storage, "photos", &"k".repeat(129), b"4").await.unwrap();
}

#[tokio::test]
async fn buckets_are_neither_made_by_puts_nor_dropped_with_objects() {
    let (_folder, storage) = storage().await;
    assert_eq!(put(&storage, "other", "k", b"1").await.unwrap_err(), S3ErrorCode::NoSuchBucket);
    put(&storage, "photos", "a/k", b"1").await.unwrap();
    assert_eq!(delete_bucket(&storage).await.unwrap_err(), S3ErrorCode::BucketNotEmpty);
    delete(&storage, "a/k").await;
    delete_bucket(&storage).await.unwrap();
    assert_eq!(get(&storage, "a/k").await.unwrap_err(), S3ErrorCode::NoSuchBucket);
}

#[tokio::test]
async fn writers_that_meet_leave_one_whole_write() {
    let (_folder, storage) = storage().await;
    for _ in 0..20 {
        let writers = (0..8u8).map(|n| {
            let storage = storage.clone();
            tokio::spawn(async move { put(&storage, "photos", "k", &[n; 1000]).await })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap().unwrap();
        }
        let (bytes, etag) = get(&storage, "k").await.unwrap();
        assert_eq!(etag, md5(&bytes));
    }
}

#[tokio::test]
async fn a_kill_between_bytes_and_etag_is_repaired() {
    let (folder, storage) = storage().await;
    put(&storage, "photos", "a/k", b"old bytes").await.unwrap();
    put(&storage, "photos", "other", b"untouched").await.unwrap();
    drop(storage);
    // What s3s-fs leaves when it dies after renaming the new bytes into place.
    let file = folder.path().join("data/photos/a/k");
    std::fs::write(&file, b"new bytes").unwrap();
    std::fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(SystemTime::now() + Duration::from_secs(1))
        .unwrap();
    let storage = Storage::open(folder.path()).await.unwrap();
    assert_eq!(get(&storage, "a/k").await.unwrap(), (b"new bytes".to_vec(), md5(b"new bytes")));
    assert_eq!(get(&storage, "other").await.unwrap().1, md5(b"untouched"));
}

async fn upload(storage: &Storage, parts: &[(i32, &[u8])]) -> String {
    let input = CreateMultipartUploadInput::builder().bucket("photos".into()).key("k".into()).build().unwrap();
    let id = storage.create_multipart_upload(request(input)).await.unwrap().output.upload_id.unwrap();
    for (number, bytes) in parts {
        let input = UploadPartInput::builder()
            .bucket("photos".into())
            .key("k".into())
            .upload_id(id.clone())
            .part_number(*number)
            .body(Some(blob(bytes)))
            .build()
            .unwrap();
        storage.upload_part(request(input)).await.unwrap();
    }
    id
}
async fn complete(storage: &Storage, id: &str, parts: &[(i32, &str)]) -> Result<(), S3ErrorCode> {
    let parts = parts.iter().map(|(number, etag)| CompletedPart {
        part_number: Some(*number),
        e_tag: Some(ETag::Strong((*etag).to_owned())),
        ..CompletedPart::default()
    });
    let input = CompleteMultipartUploadInput::builder()
        .bucket("photos".into())
        .key("k".into())
        .upload_id(id.into())
        .multipart_upload(Some(CompletedMultipartUpload { parts: Some(parts.collect()) }))
        .build()
        .unwrap();
    storage.complete_multipart_upload(request(input)).await.map(drop).map_err(|error| error.code().clone())
}

#[tokio::test]
async fn a_completion_is_checked_before_it_changes_anything() {
    let (_folder, storage) = storage().await;
    put(&storage, "photos", "k", b"before").await.unwrap();
    let big = vec![7; 5 << 20];
    let id = upload(&storage, &[(2, &big), (3, b"unnamed"), (5, b"tail")]).await;
    let (first, last) = (md5(&big), md5(b"tail"));
    for (parts, want) in [
        (&[][..], S3ErrorCode::MalformedXML),
        (&[(5, last.as_str()), (2, &first)], S3ErrorCode::InvalidPartOrder),
        (&[(2, &last), (5, &last)], S3ErrorCode::InvalidPart),
        (&[(2, &first), (4, &last)], S3ErrorCode::InvalidPart),
        (&[(3, &md5(b"unnamed")), (5, &last)], S3ErrorCode::EntityTooSmall),
    ] {
        assert_eq!(complete(&storage, &id, parts).await.unwrap_err(), want, "{parts:?}");
        assert_eq!(get(&storage, "k").await.unwrap().0, b"before");
    }
    complete(&storage, &id, &[(2, &first), (5, &last)]).await.unwrap();
    let (bytes, etag) = get(&storage, "k").await.unwrap();
    assert_eq!((bytes.len(), etag.ends_with("-2")), (big.len() + 4, true), "{etag}");
    assert_eq!(complete(&storage, &id, &[(2, &first)]).await.unwrap_err(), S3ErrorCode::NoSuchUpload);
    let left = std::fs::read_dir(storage.0.layout.root())
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().contains("upload"));
    assert_eq!(left.count(), 0, "no part stays");
}

#[tokio::test]
async fn parts_are_listed_in_order_and_pages() {
    let (_folder, storage) = storage().await;
    let id = upload(&storage, &[(10, b"ten"), (2, b"two"), (1, b"one")]).await;
    let list = async |marker: i32, most: i32| {
        let input = ListPartsInput::builder()
            .bucket("photos".into())
            .key("k".into())
            .upload_id(id.clone())
            .part_number_marker(Some(marker))
            .max_parts(Some(most))
            .build()
            .unwrap();
        let output = storage.list_parts(request(input)).await.unwrap().output;
        let parts: Vec<_> = output
            .parts
            .unwrap()
            .into_iter()
            .map(|p| (p.part_number.unwrap(), p.e_tag.unwrap().into_value()))
            .collect();
        (parts, output.is_truncated.unwrap(), output.next_part_number_marker)
    };
    assert_eq!(list(0, 2).await, (vec![(1, md5(b"one")), (2, md5(b"two"))], true, Some(2)));
    assert_eq!(list(2, 2).await, (vec![(10, md5(b"ten"))], false, None));
}
