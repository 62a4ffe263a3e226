//! The versions that replicas hold.
use super::{Fixture, in_a_minute, object};
use crate::{BucketId, Route, StoreError, VersionCopy};
use s3gateway_s3::VersionId;

fn version(text: &str) -> VersionId {
    VersionId::parse(text).unwrap()
}

fn copy(route: &Route, backend: usize, home_version: &str, position: i64) -> VersionCopy {
    VersionCopy {
        backend: route.placement[backend].clone(),
        home_version: version(home_version),
        version: version(&format!("{backend}-{home_version}")),
        position,
        is_marker: false,
        etag: "e".into(),
        home_etag: "h".into(),
        size: 5 << 40,
        home_modified: 7,
        verified_how: "etag".into(),
        verified_at: 8,
    }
}

pub(super) async fn versions_are_mapped_in_their_order(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = f.bucket(&tenant, "photos").await;
    let (bucket, key, near) = (&route.bucket, object("ä\u{0}b"), &route.placement[1]);
    let ids = |copies: &[VersionCopy]| copies.iter().map(|c| c.home_version.as_str().to_owned()).collect::<Vec<_>>();
    // Ids that differ in case only are two, and neither their order nor that of their writing is the versions'.
    let marker = VersionCopy { is_marker: true, etag: String::new(), ..copy(&route, 1, "A", 3) };
    for copy in [&copy(&route, 1, "null", 2), &marker, &copy(&route, 1, "a", 1), &copy(&route, 0, "a", 9)] {
        m.put_version_copy(bucket, &key, copy).await.unwrap();
    }
    assert_eq!(ids(&m.version_copies(bucket, &key, near, 10).await.unwrap()), ["a", "null", "A"]);
    assert_eq!(ids(&m.version_copies(bucket, &key, near, 2).await.unwrap()), ["a", "null"], "no more than asked for");
    assert_eq!(m.current_version_copies(bucket, &key).await.unwrap(), [marker.clone(), copy(&route, 0, "a", 9)]);
    let both = [copy(&route, 1, "a", 1), copy(&route, 0, "a", 9)];
    assert_eq!(m.copies_of_version(bucket, &key, &version("a")).await.unwrap(), both);
    let counts = [(near.clone(), 3), (route.placement[0].clone(), 1)];
    assert_eq!(m.count_version_copies(bucket, &key).await.unwrap(), counts);
    for other in [object("ä"), object("Ä\u{0}b")] {
        assert!(m.current_version_copies(bucket, &other).await.unwrap().is_empty());
        assert!(m.count_version_copies(bucket, &other).await.unwrap().is_empty());
    }

    let other = object("b");
    m.put_version_copy(bucket, &other, &copy(&route, 1, "c", 1)).await.unwrap();
    for (first, position, last, limit, want) in [
        ("", i64::MAX, "\u{10ffff}", 10, &["c", "A", "null", "a"][..]),
        ("", i64::MAX, "\u{10ffff}", 2, &["c", "A"]),
        ("ä\u{0}b", 2, "\u{10ffff}", 10, &["a"]),
        ("a", 0, "b", 10, &["c"]),
        ("b\u{0}", i64::MAX, "c", 10, &[]),
    ] {
        let found = m.version_copies_between(bucket, near, (first.as_bytes(), position), last.as_bytes(), limit).await;
        let copies: Vec<VersionCopy> = found.unwrap().into_iter().map(|(_, copy)| copy).collect();
        assert_eq!(ids(&copies), want, "{first:?} {position} {last:?}");
    }
    m.delete_version_copy(bucket, &other, &copy(&route, 1, "c", 1)).await.unwrap();

    // The home's `null` was replaced: one row, now the current one.
    let replaced = VersionCopy { version: version("new"), home_etag: "h2".into(), ..copy(&route, 1, "null", 4) };
    m.put_version_copy(bucket, &key, &replaced).await.unwrap();
    assert_eq!(ids(&m.version_copies(bucket, &key, near, 10).await.unwrap()), ["a", "A", "null"]);
    m.delete_version_copy(bucket, &key, &copy(&route, 1, "null", 2)).await.unwrap();
    assert_eq!(m.current_version_copies(bucket, &key).await.unwrap()[0], replaced, "what was noted anew stays");
    m.delete_version_copy(bucket, &key, &replaced).await.unwrap();
    m.delete_version_copy(bucket, &key, &replaced).await.unwrap();
    assert_eq!(m.current_version_copies(bucket, &key).await.unwrap()[0], marker);

    let nowhere = BucketId::new("nowhere");
    assert!(matches!(m.put_version_copy(&nowhere, &key, &marker).await, Err(StoreError::NotFound)));
}

pub(super) async fn changes_of_tags_are_noted_until_they_are_old(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let (bucket, key) = (f.bucket(&tenant, "photos").await.bucket, object("k"));
    for id in ["a", "A", "a"] {
        m.note_retagged(&bucket, &key, &version(id)).await.unwrap();
    }
    m.note_retagged(&bucket, &object("K"), &version("b")).await.unwrap();
    let mut noted = m.retagged(&bucket, &key).await.unwrap();
    noted.sort();
    assert_eq!(noted, [version("A"), version("a")]);
    m.forget_retagged(&bucket, &key, in_a_minute() - 120_000).await.unwrap();
    assert_eq!(m.retagged(&bucket, &key).await.unwrap().len(), 2, "they are younger");
    m.forget_retagged(&bucket, &key, in_a_minute()).await.unwrap();
    assert!(m.retagged(&bucket, &key).await.unwrap().is_empty());
    assert_eq!(m.retagged(&bucket, &object("K")).await.unwrap(), [version("b")], "another key");
    let nowhere = BucketId::new("nowhere");
    assert!(matches!(m.note_retagged(&nowhere, &key, &version("a")).await, Err(StoreError::NotFound)));
}

pub(super) async fn mapped_versions_go_with_their_replica(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = f.bucket(&tenant, "photos").await;
    let (bucket, key) = (&route.bucket, object("k"));
    m.put_version_copy(bucket, &key, &copy(&route, 1, "a", 1)).await.unwrap();
    m.begin_delete_bucket(bucket).await.unwrap();
    m.finish_delete_bucket(bucket).await.unwrap();
    assert_eq!(m.current_version_copies(bucket, &key).await.unwrap().len(), 1, "until the replica is emptied");
    m.drop_physical(bucket, &route.placement[1]).await.unwrap();
    assert!(m.current_version_copies(bucket, &key).await.unwrap().is_empty());
}
