//! The versions that replicas hold.
use super::{Fixture, in_a_minute, object};
use crate::{BucketId, Millis, Route, StoreError, VersionCopy};
use s3gateway_s3::{ObjectKey, VersionId, Versioning};

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
    let mut noted = m.retagged(&bucket, &key, Millis::MAX).await.unwrap();
    noted.sort();
    assert_eq!(noted, [version("A"), version("a")]);
    assert!(m.retagged(&bucket, &key, in_a_minute() - 120_000).await.unwrap().is_empty(), "none was noted before that");
    m.forget_retagged(&bucket, &key, in_a_minute() - 120_000).await.unwrap();
    assert_eq!(m.retagged(&bucket, &key, Millis::MAX).await.unwrap().len(), 2, "they are younger");
    m.forget_retagged(&bucket, &key, in_a_minute()).await.unwrap();
    assert!(m.retagged(&bucket, &key, Millis::MAX).await.unwrap().is_empty());
    assert_eq!(m.retagged(&bucket, &object("K"), Millis::MAX).await.unwrap(), [version("b")], "another key");
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

pub(super) async fn a_homes_own_versions_are_noted_by_their_copies(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = f.bucket(&tenant, "photos").await;
    let (bucket, home, near) = (&route.bucket, &route.placement[0], &route.placement[1]);
    let (key, other) = (object("k"), object("l"));
    m.set_versioning(bucket, 1, Versioning::Enabled).await.unwrap();
    let suspect = VersionCopy { verified_how: "suspect".into(), ..copy(&route, 1, "c", 1) };
    for (key, copy) in [(&key, copy(&route, 1, "a", 1)), (&key, copy(&route, 1, "null", 2)), (&other, suspect)] {
        m.put_version_copy(bucket, key, &copy).await.unwrap();
    }
    // What a promotion that failed has left.
    for gone in [&key, &object("z")] {
        m.put_version_copy(bucket, gone, &copy(&route, 0, "deleted", 7)).await.unwrap();
    }
    let lacking = async |of, by| m.keys_lacking_versions(bucket, of, by, None).await.unwrap();
    assert_eq!(lacking(near, home).await, (vec![key.clone(), other.clone()], Some(other.clone())));
    let failing = m.begin_promotion(bucket, near, 1, false).await.unwrap();
    for _ in 0..2 {
        assert_eq!(m.note_versions_at_home(&failing, None).await.unwrap(), Some(other.clone()));
        assert_eq!(m.note_versions_at_home(&failing, Some(&other)).await.unwrap(), None);
    }
    let all_on = async |backend| {
        let found = m.version_copies_between(bucket, backend, (b"", i64::MAX), b"zz", 10).await.unwrap();
        let shown = |(key, copy): (_, VersionCopy)| {
            format!("{} {}={} {}", ObjectKey::as_str(&key), copy.home_version, copy.version, copy.position)
        };
        found.into_iter().map(shown).collect::<Vec<_>>()
    };
    assert_eq!(all_on(home).await, ["k null=null 2", "k a=a 1", "l c=c 1"]);
    let at_home = m.version_copies(bucket, &other, home, 10).await.unwrap();
    let is_as_at_home = |copy: &VersionCopy| (copy.etag.as_str(), copy.verified_how.as_str()) == ("h", "etag");
    assert!(at_home.iter().all(is_as_at_home), "{at_home:?}");
    assert_eq!(lacking(near, home).await.0, []);
    for is_running in [true, false] {
        for after in [None, Some(&other)] {
            m.forget_versions_at_home(bucket, home, near, after).await.unwrap();
        }
        assert_eq!(all_on(home).await.len(), if is_running { 3 } else { 0 }, "those of a promotion that runs stay");
        m.fail_promotion(&failing, "").await.unwrap();
    }

    // Keys that are recorded while a promotion runs follow before the home moves.
    let begun = m.begin_promotion(bucket, near, 1, false).await.unwrap();
    for after in [None, Some(&other)] {
        m.note_versions_at_home(&begun, after).await.unwrap();
    }
    m.put_version_copy(bucket, &key, &copy(&route, 1, "new", 3)).await.unwrap();
    m.delete_version_copy(bucket, &other, &copy(&route, 1, "c", 1)).await.unwrap();
    assert_eq!(m.settle_promotion_keys(&begun, None).await.unwrap(), Some(other.clone()));
    assert_eq!(all_on(home).await, ["k new=new 3", "k null=null 2", "k a=a 1"]);
    assert_eq!(m.unequal_promotion_key(bucket, home, near).await.unwrap(), Some(key.clone()), "its ETag is another");
    let moved = m.move_home(&m.fence_bucket(&begun).await.unwrap()).await.unwrap();
    m.finish_promotion(&moved, "").await.unwrap();

    // The home has ids of its own now: these rows stay, in the order of the replica's.
    m.put_version_copy(bucket, &key, &copy(&route, 0, "null", 9)).await.unwrap();
    m.put_version_copy(bucket, &key, &copy(&route, 0, "later", 10)).await.unwrap();
    for after in [None, Some(&key)] {
        m.forget_versions_at_home(bucket, near, home, after).await.unwrap();
    }
    let back = m.begin_promotion(bucket, home, 2, false).await.unwrap();
    for after in [None, Some(&key)] {
        m.note_versions_at_home(&back, after).await.unwrap();
    }
    assert_eq!(all_on(near).await, ["k later=later 10", "k null=1-null 9", "k new=1-new 3", "k a=1-a 1"]);
    let ids = async |id: &str| {
        let id = version(id);
        let own = m.own_version(bucket, &key, near, &id).await.unwrap().map(|id| id.to_string());
        (own, m.shown_version(bucket, &key, near, &id).await.unwrap().map(|id| id.to_string()))
    };
    let some = |id: &str| Some(id.to_owned());
    for (id, want) in [
        ("null", (some("1-null"), None)),
        ("1-null", (None, some("null"))),
        ("later", (some("later"), some("later"))),
        ("1-NULL", (None, None)),
    ] {
        assert_eq!(ids(id).await, want, "{id}");
    }

    // Of what is gone nothing is said but by its ids, for as long as it is kept.
    let gone = VersionCopy { verified_how: VersionCopy::GONE.into(), verified_at: 100, ..copy(&route, 1, "later", 10) };
    m.put_version_copy(bucket, &key, &gone).await.unwrap();
    let current = m.current_version_copies(bucket, &key).await.unwrap();
    let current = current.iter().find(|copy| copy.backend == *near).unwrap();
    assert_eq!(current.home_version, version("null"));
    let by_id = m.copies_of_version(bucket, &key, &version("later")).await.unwrap();
    let walked = m.version_copies_after(bucket, "", "", 100).await.unwrap();
    assert!(by_id.iter().chain(walked.iter().map(|(_, copy)| copy)).all(|copy| !copy.is_gone()));
    assert_eq!(ids("later").await.0, some("1-later"));
    assert_eq!(m.prune_gone_versions(100, 10).await.unwrap(), 0);
    assert_eq!(m.prune_gone_versions(101, 10).await.unwrap(), 1);
    assert_eq!(ids("later").await, (None, None));
}

pub(super) async fn a_null_version_that_has_gone_hides_no_other(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = f.bucket(&tenant, "photos").await;
    let (bucket, first, home, key) = (&route.bucket, &route.placement[0], &route.placement[1], object("k"));
    m.set_versioning(bucket, 1, Versioning::Enabled).await.unwrap();
    let begun = m.begin_promotion(bucket, home, 1, false).await.unwrap();
    let moved = m.move_home(&m.fence_bucket(&begun).await.unwrap()).await.unwrap();
    m.finish_promotion(&moved, "").await.unwrap();
    let own = async |id: &str| m.own_version(bucket, &key, home, &version(id)).await.unwrap();
    for (backend, id) in [(1, "null"), (0, "null"), (1, "a")] {
        m.put_version_copy(bucket, &key, &copy(&route, backend, id, 1)).await.unwrap();
    }
    m.note_null_over(bucket, &key, home, &version("another"), VersionCopy::REPLACED).await.unwrap();
    assert_eq!(own("null").await, Some(version("1-null")), "another one is replaced");
    m.note_null_over(bucket, &key, home, &version("1-null"), VersionCopy::REPLACED).await.unwrap();
    assert_eq!((own("null").await, own("a").await), (None, Some(version("1-a"))));
    let null = async || m.null_version(bucket, &key, home).await.unwrap();
    assert_eq!(null().await, Some((version("1-null"), true)));
    assert_eq!(m.null_version(bucket, &key, first).await.unwrap(), Some((version("0-null"), false)));
    assert_eq!(m.shown_version(bucket, &key, home, &version("1-null")).await.unwrap(), None);
    let counted = m.count_version_copies(bucket, &key).await.unwrap();
    assert_eq!(counted, [(home.clone(), 1), (first.clone(), 1)]);

    // Where the home moves, what it calls `null` by now is noted as that; but what may still have to go is not forgotten.
    let begun = m.begin_promotion(bucket, first, 2, false).await.unwrap();
    assert_eq!(m.prune_gone_versions(Millis::MAX, 10).await.unwrap(), 0);
    let noted = async || {
        m.note_versions_at_home(&begun, None).await.unwrap();
        let of_null = m.version_copies(bucket, &key, home, 10).await.unwrap().into_iter();
        of_null.filter(|copy| copy.home_version.is_null()).map(|copy| (copy.version, copy.home_etag)).next()
    };
    m.note_promotion_keys(bucket, std::slice::from_ref(&key)).await.unwrap();
    assert_eq!(noted().await, Some((version("1-null"), "h".to_owned())));
    m.note_null_over(bucket, &key, home, &version("1-null"), VersionCopy::GONE).await.unwrap();
    assert_eq!(null().await, None);
    assert_eq!(noted().await, Some((VersionId::null(), "e".to_owned())));
    // It is replaced by the home itself, and its copy follows.
    let next = VersionCopy { home_etag: "h2".into(), home_modified: 9, ..copy(&route, 0, "null", 2) };
    m.put_version_copy(bucket, &key, &next).await.unwrap();
    m.settle_promotion_keys(&begun, None).await.unwrap();
    let at_home = m.version_copies(bucket, &key, home, 10).await.unwrap();
    let of_null = at_home.iter().find(|copy| copy.home_version.is_null()).unwrap();
    assert_eq!((of_null.etag.as_str(), of_null.home_modified, own("null").await), ("h2", 9, Some(VersionId::null())));
    m.fail_promotion(&begun, "").await.unwrap();

    assert!(!m.calls_another_null(bucket, home).await.unwrap());
    let called_null = VersionCopy { version: VersionId::null(), ..copy(&route, 1, "b", 2) };
    m.put_version_copy(bucket, &key, &called_null).await.unwrap();
    assert!(m.calls_another_null(bucket, home).await.unwrap() && !m.calls_another_null(bucket, first).await.unwrap());
    m.delete_version_copy(bucket, &key, &called_null).await.unwrap();
    assert!(!m.calls_another_null(bucket, home).await.unwrap());
}
