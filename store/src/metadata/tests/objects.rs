//! Tags, uploads, copies and job history.
use super::{Fixture, now, object};
use crate::{BucketId, DirtyKey, JobRecord, ObjectCopy, OpenUpload, StoreError};

/// Keys that a text column, a locale or a pattern would mix up.
const ODD_KEYS: [&str; 8] = ["a", "A", "a ", "ä", "a\u{308}", "a\u{0}b", "../x//", "\u{10FFFF}"];

pub(super) async fn tags_uploads_and_copies_are_kept_by_bytes(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let bucket = f.bucket(&tenant, "photos").await.bucket;
    for key in ODD_KEYS {
        m.put_tags(&bucket, &object(key), "etag", &[("key".into(), key.replace('\0', "0"))]).await.unwrap();
        let upload =
            OpenUpload { key: object(key), upload_id: format!("up-{key}").replace('\0', "0"), initiated_at: 5 };
        m.put_upload(&bucket, &upload).await.unwrap();
    }
    for key in ODD_KEYS {
        let (etag, tags) = m.tags(&bucket, &object(key)).await.unwrap().unwrap();
        assert_eq!((etag.as_str(), tags), ("etag", vec![("key".to_owned(), key.replace('\0', "0"))]), "{key:?}");
    }
    let keys = ODD_KEYS.map(|key| DirtyKey { bucket: bucket.clone(), key: object(key) });
    let mut asked = keys.to_vec();
    asked.push(DirtyKey { bucket: bucket.clone(), key: object("none") });
    let all = m.tags_of_all(&asked).await.unwrap();
    for (of, key) in all.iter().zip(ODD_KEYS) {
        assert_eq!(*of, m.tags(&bucket, &object(key)).await.unwrap(), "{key:?}");
    }
    assert_eq!((all.len(), all.last()), (asked.len(), Some(&None)));
    m.put_tags(&bucket, &object("a"), "other", &[]).await.unwrap();
    assert_eq!(m.tags(&bucket, &object("a")).await.unwrap(), Some(("other".into(), vec![])));
    m.delete_tags(&bucket, &object("a")).await.unwrap();
    m.delete_tags(&bucket, &object("a")).await.unwrap();
    assert_eq!(m.tags(&bucket, &object("a")).await.unwrap(), None);

    let earlier = OpenUpload { key: object("ä"), upload_id: "zz".into(), initiated_at: 3 };
    m.put_upload(&bucket, &earlier).await.unwrap();
    let uploads = m.uploads(&bucket).await.unwrap();
    let mut sorted: Vec<&str> = ODD_KEYS.iter().copied().chain(["ä"]).collect();
    sorted.sort_unstable();
    assert_eq!(uploads.iter().map(|u| u.key.as_str()).collect::<Vec<_>>(), sorted, "S3 lists by bytes");
    let of_key: Vec<&str> = uploads.iter().filter(|u| u.key == object("ä")).map(|u| u.upload_id.as_str()).collect();
    assert_eq!(of_key, ["zz", "up-ä"], "then by when they began");
    m.delete_upload(&bucket, "zz").await.unwrap();
    m.delete_upload(&bucket, "zz").await.unwrap();
    assert_eq!(m.uploads(&bucket).await.unwrap().len(), ODD_KEYS.len());

    let route = m.route_by_id(&bucket).await.unwrap().unwrap();
    let copy = |n: usize| ObjectCopy {
        backend: route.placement[n].clone(),
        etag: format!("e{n}"),
        home_etag: "e0".into(),
        size: 5 << 40,
        verified_how: "etag".into(),
        verified_at: 7,
    };
    assert!(!m.has_copies_on(&bucket, &route.placement[0]).await.unwrap());
    let begun = ObjectCopy { verified_how: "pending".into(), ..copy(0) };
    m.record_copies(&bucket, &object("ä"), &[begun]).await.unwrap();
    assert!(!m.has_verified_on(&bucket, &route.placement[0]).await.unwrap(), "it may never have come there");
    m.record_copies(&bucket, &object("ä"), &[copy(0), copy(1)]).await.unwrap();
    assert!(m.has_copies_on(&bucket, &route.placement[0]).await.unwrap());
    assert!(!m.has_copies_on(&bucket, &route.placement[0].twin()).await.unwrap());
    assert!(m.has_verified_on(&bucket, &route.placement[0]).await.unwrap());
    assert!(!m.has_verified_on(&bucket, &route.placement[0].twin()).await.unwrap());
    assert_eq!(m.copies(&bucket, &object("ä")).await.unwrap(), [copy(1), copy(0)], "by backend");
    assert!(m.copies(&bucket, &object("a\u{308}")).await.unwrap().is_empty(), "another key");
    let between = async |first: &str, last: &[u8], limit| {
        let rows = m.copies_between(&bucket, first.as_bytes(), last, limit).await.unwrap();
        rows.into_iter().map(|row| (row.key.as_str().to_owned(), row.backend, row.home_etag)).collect::<Vec<_>>()
    };
    let row = |key: &str, n: usize| (key.to_owned(), route.placement[n].clone(), "e0".to_owned());
    m.record_copies(&bucket, &object("a"), &[copy(0)]).await.unwrap();
    assert_eq!(between("", b"\xff", 10).await, [row("a", 0), row("ä", 1), row("ä", 0)], "by key, then by backend");
    assert_eq!(between("a\0", "ä".as_bytes(), 1).await, [row("ä", 1)], "a range, and no more than asked for");
    assert_eq!(between("b", b"c\xff", 10).await, []);
    m.record_copies(&bucket, &object("ä"), &[copy(1)]).await.unwrap();
    assert_eq!(m.copies(&bucket, &object("ä")).await.unwrap(), [copy(1)]);
    let of = |name: &str, copies: Vec<ObjectCopy>| (DirtyKey { bucket: bucket.clone(), key: object(name) }, copies);
    let later = ObjectCopy { verified_at: 8, ..copy(0) };
    m.put_all_copies(&[of("ä", vec![copy(0)]), of("b", vec![copy(1)]), of("ä", vec![later.clone()])]).await.unwrap();
    assert_eq!(
        m.copies(&bucket, &object("ä")).await.unwrap(),
        [copy(1), later],
        "beside what was known; the last counts"
    );
    assert_eq!(m.copies(&bucket, &object("b")).await.unwrap(), [copy(1)]);
    m.record_copies(&bucket, &object("ä"), &[]).await.unwrap();
    assert!(m.copies(&bucket, &object("ä")).await.unwrap().is_empty());

    let nowhere = BucketId::new("nowhere");
    assert!(matches!(m.put_tags(&nowhere, &object("a"), "e", &[]).await, Err(StoreError::NotFound)));
    assert!(matches!(m.put_upload(&nowhere, &earlier).await, Err(StoreError::NotFound)));
    assert!(matches!(m.record_copies(&nowhere, &object("a"), &[copy(0)]).await, Err(StoreError::NotFound)));
    let strange = [(DirtyKey { bucket: nowhere, key: object("a") }, vec![copy(0)])];
    assert!(matches!(m.put_all_copies(&strange).await, Err(StoreError::NotFound)));
}

pub(super) async fn what_a_deleted_bucket_leaves_behind(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = f.bucket(&tenant, "photos").await;
    let (bucket, key) = (&route.bucket, object("k"));
    let copy = |n: usize| ObjectCopy {
        backend: route.placement[n].clone(),
        etag: "e".into(),
        home_etag: "e".into(),
        size: 1,
        verified_how: "etag".into(),
        verified_at: 7,
    };
    m.put_tags(bucket, &key, "e", &[]).await.unwrap();
    m.put_upload(bucket, &OpenUpload { key: key.clone(), upload_id: "u".into(), initiated_at: 1 }).await.unwrap();
    m.record_copies(bucket, &key, &[copy(0), copy(1)]).await.unwrap();
    m.begin_delete_bucket(bucket).await.unwrap();
    m.finish_delete_bucket(bucket).await.unwrap();
    assert!(m.tags(bucket, &key).await.unwrap().is_none() && m.uploads(bucket).await.unwrap().is_empty());
    assert_eq!(m.copies(bucket, &key).await.unwrap(), [copy(1)], "still there until the replica is emptied");
    m.drop_physical(bucket, &route.placement[1]).await.unwrap();
    assert!(m.copies(bucket, &key).await.unwrap().is_empty());
}

pub(super) async fn job_history_is_newest_first(f: Fixture) {
    const DAY: i64 = 24 * 3600 * 1000;
    let m = &f.metadata;
    let today = now() / DAY * DAY;
    let job = |bucket: &str, n: i64| JobRecord {
        bucket: BucketId::new(bucket),
        key: object(&format!("k\u{0}{n}")),
        outcome: "converged".into(),
        detail: "copied to \"de-fra\"".into(),
        attempts: n,
        request_id: format!("r{n}"),
        started_at: today - (4 - n) * DAY,
        finished_at: today - (4 - n) * DAY + 5,
    };
    m.prune_jobs(today - 7 * DAY, now()).await.unwrap();
    m.record_jobs(&[]).await.unwrap();
    m.record_jobs(&[job("b1", 1), job("b2", 2)]).await.unwrap();
    m.record_jobs(&[job("b1", 3)]).await.unwrap();
    let read = m.jobs(None, None, 10).await.unwrap().rows;
    assert_eq!(read.iter().map(|j| j.attempts).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!((&read[0].key, read[0].request_id.as_str()), (&object("k\u{0}3"), "r3"));
    assert_eq!((read[0].detail.as_str(), read[0].finished_at), ("copied to \"de-fra\"", today - DAY + 5));
    assert_eq!(m.jobs(None, None, 1).await.unwrap().rows.len(), 1);
    let of_bucket = m.jobs(Some(&BucketId::new("b1")), None, 10).await.unwrap().rows;
    assert_eq!(of_bucket.iter().map(|j| j.attempts).collect::<Vec<_>>(), [3, 1]);
    m.prune_jobs(today - 2 * DAY, now()).await.unwrap();
    assert_eq!(m.jobs(None, None, 10).await.unwrap().rows.len(), 2);
    let ahead = JobRecord { finished_at: now() + 2 * DAY, ..job("b1", 4) };
    let many: Vec<JobRecord> = (0..2500).map(|_| job("b1", 3)).chain([ahead]).collect();
    m.record_jobs(&many).await.unwrap();
    m.prune_jobs(today, now()).await.unwrap();
    m.prune_jobs(today, now()).await.unwrap();
    assert_eq!(m.jobs(None, None, 10).await.unwrap().rows.len(), 1, "only what is yet to come");
}
