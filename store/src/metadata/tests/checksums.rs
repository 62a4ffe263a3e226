//! Checksums and parts of objects and uploads.
use super::{Fixture, object};
use crate::{BucketId, FinishedPart, FinishedParts, ObjectChecksum, StoreError, UploadedPart};
use s3gateway_s3::checksum::{Algorithm, Checksum, ChecksumType};

fn kept(etag: &str, kind: ChecksumType, value: &str) -> ObjectChecksum {
    let checksum = Checksum { algorithm: Algorithm::Crc32c, kind, value: value.to_owned() };
    ObjectChecksum { etag: etag.to_owned(), size: 5 << 40, checksum }
}

pub(super) async fn checksums_are_kept_replaced_and_forgotten(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let bucket = f.bucket(&tenant, "photos").await.bucket;
    let (whole, composite) =
        (kept("a", ChecksumType::FullObject, "AAAAAA=="), kept("b-2", ChecksumType::Composite, "AAAAAA==-2"));
    assert_eq!(m.checksum(&bucket, &object("k")).await.unwrap(), None);
    for key in ["k", "K", "k ", "k\u{0}"] {
        m.put_checksum(&bucket, &object(key), &whole).await.unwrap();
    }
    m.put_checksum(&bucket, &object("k"), &composite).await.unwrap();
    assert_eq!(m.checksum(&bucket, &object("k")).await.unwrap(), Some(composite));
    assert_eq!(m.checksum(&bucket, &object("K")).await.unwrap(), Some(whole.clone()), "another key");
    m.delete_checksum(&bucket, &object("k")).await.unwrap();
    m.delete_checksum(&bucket, &object("k")).await.unwrap();
    assert_eq!(m.checksum(&bucket, &object("k")).await.unwrap(), None);
    let unknown = m.put_checksum(&BucketId::new("nowhere"), &object("k"), &whole).await;
    assert!(matches!(unknown, Err(StoreError::NotFound)), "{unknown:?}");

    m.begin_delete_bucket(&bucket).await.unwrap();
    m.finish_delete_bucket(&bucket).await.unwrap();
    assert_eq!(m.checksum(&bucket, &object("K")).await.unwrap(), None, "gone with the bucket");
}

pub(super) async fn parts_of_uploads_become_those_of_objects(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let bucket = f.bucket(&tenant, "photos").await.bucket;
    let part = |number: u32, etag: &str| UploadedPart {
        number,
        etag: etag.to_owned(),
        size: 5 << 20,
        value: "AAAAAA==".to_owned(),
    };
    m.put_upload_checksum(&bucket, "u", Algorithm::Sha256, ChecksumType::Composite).await.unwrap();
    m.put_upload_checksum(&bucket, "v", Algorithm::Crc32, ChecksumType::Composite).await.unwrap();
    m.put_upload_checksum(&bucket, "v", Algorithm::Crc32, ChecksumType::FullObject).await.unwrap();
    for (upload, number, etag) in [("u", 10_000, "c"), ("u", 2, "a"), ("u", 2, "b"), ("v", 1, "d")] {
        m.put_upload_part(&bucket, upload, &part(number, etag)).await.unwrap();
    }
    let asked = m.upload_checksums(&bucket).await.unwrap();
    assert_eq!(asked.get("u"), Some(&(Algorithm::Sha256, ChecksumType::Composite)));
    assert_eq!(asked.get("v"), Some(&(Algorithm::Crc32, ChecksumType::FullObject)));
    assert_eq!(m.upload_parts(&bucket, "u").await.unwrap(), [part(2, "b"), part(10_000, "c")], "by number");
    m.delete_upload_checksums(&bucket, "u").await.unwrap();
    assert!(m.upload_parts(&bucket, "u").await.unwrap().is_empty());
    assert_eq!(m.upload_parts(&bucket, "v").await.unwrap(), [part(1, "d")], "another upload");
    assert_eq!(m.upload_checksums(&bucket).await.unwrap().len(), 1);

    let finished = FinishedParts {
        etag: "a-2".to_owned(),
        size: 5 << 40,
        algorithm: Algorithm::Sha256,
        parts: vec![FinishedPart(2, 5 << 20, "AAAA".to_owned()), FinishedPart(10_000, 0, String::new())],
    };
    assert_eq!(m.object_parts(&bucket, &object("k")).await.unwrap(), None);
    m.put_object_parts(&bucket, &object("k"), &finished).await.unwrap();
    assert_eq!(m.object_parts(&bucket, &object("k")).await.unwrap(), Some(finished));
    m.delete_checksum(&bucket, &object("k")).await.unwrap();
    assert_eq!(m.object_parts(&bucket, &object("k")).await.unwrap(), None, "gone with the object");
}
