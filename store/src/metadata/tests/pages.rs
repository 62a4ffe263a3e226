//! Lists that are read page by page: what is there all the while is read once, in the same order whatever a page's size.
use super::{Fixture, now, object};
use crate::{BucketId, Cursor, DrainReason, JobRecord, NewWalk, Page, PlacementChange, StoreError, WalkKind};

/// The keys of all rows, read so many at a time.
async fn read<T>(
    limit: usize,
    page: impl AsyncFn(Option<&Cursor>, u32) -> Result<Page<T>, StoreError>,
    key: impl Fn(&T) -> String,
) -> Vec<String> {
    let (mut keys, mut after) = (Vec::new(), None);
    loop {
        let Page { rows, next } = page(after.as_ref(), limit.try_into().unwrap()).await.unwrap();
        assert!(rows.len() <= limit && next.is_some() == (rows.len() == limit), "{} of {limit}", rows.len());
        keys.extend(rows.iter().map(&key));
        if next.is_none() {
            return keys;
        }
        // As it goes through the admin API.
        after = next.map(|next| Cursor::parse(&next.to_string()).unwrap());
    }
}

async fn check<T>(
    count: usize,
    page: impl AsyncFn(Option<&Cursor>, u32) -> Result<Page<T>, StoreError>,
    key: impl Fn(&T) -> String,
) {
    let all = read(100, &page, &key).await;
    assert_eq!(all.len(), count, "{all:?}");
    for limit in [1, 2, 3, count.max(1)] {
        assert_eq!(read(limit, &page, &key).await, all, "{limit} at a time");
    }
}

pub(super) async fn jobs_are_read_page_by_page(f: Fixture) {
    let (m, at) = (&f.metadata, now());
    m.prune_jobs(at - 86_400_000, at).await.unwrap();
    // Many end in the same millisecond.
    let jobs = (0..12i64).map(|n| JobRecord {
        bucket: BucketId::new(if n % 4 == 0 { "b1" } else { "b2" }),
        key: object(&format!("k{n}")),
        outcome: "converged".into(),
        detail: String::new(),
        attempts: 1,
        request_id: String::new(),
        started_at: at,
        finished_at: at + n / 5,
    });
    m.record_jobs(&jobs.collect::<Vec<_>>()).await.unwrap();
    for (bucket, count) in [(None, 12), (Some("b1"), 3), (Some("b2"), 9), (Some("b3"), 0)] {
        let bucket = bucket.map(BucketId::new);
        let page = async |after: Option<&Cursor>, limit| m.jobs(bucket.as_ref(), after, limit).await;
        check(count, page, |job| job.key.as_str().to_owned()).await;
    }
    let place = m.jobs(None, None, 4).await.unwrap().next.unwrap();
    let behind = async || {
        let rows = m.jobs(None, Some(&place), 100).await.unwrap().rows;
        rows.iter().map(|job| (job.finished_at, job.key.as_str().to_owned())).collect::<Vec<_>>()
    };
    let left = behind().await;
    let newer = JobRecord { finished_at: at + 9, ..m.jobs(None, None, 1).await.unwrap().rows.remove(0) };
    m.record_jobs(&[newer]).await.unwrap();
    assert_eq!((left.len(), behind().await), (8, left), "what is newer moves no page");
}

pub(super) async fn walks_are_read_page_by_page(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let mut buckets = Vec::new();
    for name in ["one", "two"] {
        let bucket = f.bucket(&tenant, name).await.bucket;
        for kind in [WalkKind::Backfill, WalkKind::Reconcile, WalkKind::Deep] {
            m.begin_walk(NewWalk { bucket: bucket.clone(), kind, rate: 0, reason: "a test".into() }).await.unwrap();
        }
        buckets.push(bucket);
    }
    for (bucket, count) in [(None, 6), (buckets.first(), 3)] {
        let page = async |after: Option<&Cursor>, limit| m.walks(bucket, after, limit).await;
        check(count, page, |walk| walk.id.as_str().to_owned()).await;
    }
}

pub(super) async fn drains_are_read_page_by_page(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let mut routes = Vec::new();
    for name in ["one", "two", "three", "four"] {
        let route = f.bucket(&tenant, name).await;
        let (home, near) = (route.placement[0].clone(), route.placement[1].clone());
        let drained = vec![(near, DrainReason::Placement, String::new())];
        let (seen, replica_count) = (&route, route.replica_count);
        let change = PlacementChange { seen, placement: vec![home], replica_count, locations: None, drained };
        m.change_placement(&change).await.unwrap();
        routes.push(route);
    }
    let (bucket, [home, near]) = (&routes[0].bucket, [&routes[0].placement[0], &routes[0].placement[1]]);
    for (bucket, backend, count) in [
        (None, None, 4),
        (None, Some(near), 4),
        (None, Some(home), 0),
        (Some(bucket), None, 1),
        (Some(bucket), Some(near), 1),
    ] {
        let page = async |after: Option<&Cursor>, limit| m.drains(bucket, backend, after, limit).await;
        check(count, page, |drain| drain.id.clone()).await;
    }
}
