//! Checksums of objects.
use super::{Fixture, object};
use crate::{BucketId, ObjectChecksum, StoreError};
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
