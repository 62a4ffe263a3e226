//! Checksums and parts of objects and uploads.
use super::{Fixture, in_a_minute, object};
use crate::metadata::db::Columns;
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
    let of = async |key: &str, kept: &ObjectChecksum| {
        m.checksum(&bucket, &object(key), &kept.etag, kept.size).await.unwrap()
    };
    assert_eq!(of("k", &whole).await, None);
    for key in ["k", "K", "k ", "k\u{0}"] {
        m.put_checksum(&bucket, &object(key), &whole, false).await.unwrap();
    }
    m.put_checksum(&bucket, &object("k"), &composite, false).await.unwrap();
    assert_eq!(of("k", &composite).await, Some(composite.checksum.clone()));
    assert_eq!(of("k", &whole).await, Some(whole.checksum.clone()), "of two writes at once either may stand");
    let longer = ObjectChecksum { size: 1, ..whole.clone() };
    assert_eq!(of("k", &longer).await, None);
    let again = kept("a", ChecksumType::FullObject, "BBBBBB==");
    m.put_checksum(&bucket, &object("k"), &again, false).await.unwrap();
    assert_eq!(of("k", &whole).await, Some(again.checksum));
    m.delete_checksums(&bucket, &object("k"), 1).await.unwrap();
    assert!(of("k", &whole).await.is_some(), "it was kept since");
    m.delete_checksums(&bucket, &object("k"), in_a_minute()).await.unwrap();
    m.delete_checksums(&bucket, &object("k"), in_a_minute()).await.unwrap();
    assert!(of("k", &whole).await.is_none() && of("k", &composite).await.is_none());
    assert_eq!(of("K", &whole).await, Some(whole.checksum.clone()), "another key");
    let unknown = m.put_checksum(&BucketId::new("nowhere"), &object("k"), &whole, false).await;
    assert!(matches!(unknown, Err(StoreError::NotFound)), "{unknown:?}");

    m.begin_delete_bucket(&bucket).await.unwrap();
    m.finish_delete_bucket(&bucket).await.unwrap();
    assert_eq!(of("K", &whole).await, None, "gone with the bucket");
}

pub(super) async fn of_versions_each_keeps_its_checksum_and_of_others_the_last(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let bucket = f.bucket(&tenant, "photos").await.bucket;
    let (old, new) = (kept("a", ChecksumType::FullObject, "AAAAAA=="), kept("b", ChecksumType::FullObject, "BBBBBB=="));
    for (key, keeps_versions) in [("versions", true), ("current", false)] {
        m.put_checksum(&bucket, &object(key), &old, keeps_versions).await.unwrap();
        let age = "update object_checksums set kept_at = 1 where object_key = $1";
        sqlx::query(age).bind(key.as_bytes()).execute(m.db.pool()).await.unwrap();
        m.put_checksum(&bucket, &object(key), &new, keeps_versions).await.unwrap();
        let kept = m.checksum(&bucket, &object(key), &old.etag, old.size).await.unwrap();
        assert_eq!(kept.is_some(), keeps_versions, "{key}");
        assert!(m.checksum(&bucket, &object(key), &new.etag, new.size).await.unwrap().is_some());
    }
    for n in 0..1100 {
        m.put_checksum(&bucket, &object("many"), &kept(&format!("e{n}"), ChecksumType::FullObject, "AAAAAA=="), true)
            .await
            .unwrap();
    }
    let count = "select count(*) as n from object_checksums where object_key = $1";
    let row = sqlx::query(count).bind("many".as_bytes()).fetch_one(m.db.pool()).await.unwrap();
    let left = row.int("n").unwrap();
    assert!((1000..1100).contains(&left), "those of one millisecond go together: {left}");
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
    let parts = async || m.object_parts(&bucket, &object("k"), &finished.etag, finished.size).await.unwrap();
    assert_eq!(parts().await, None);
    m.put_object_parts(&bucket, &object("k"), &finished, false).await.unwrap();
    assert_eq!(parts().await, Some(finished.clone()));
    m.delete_checksums(&bucket, &object("k"), in_a_minute()).await.unwrap();
    assert_eq!(parts().await, None, "gone with the object");
}
