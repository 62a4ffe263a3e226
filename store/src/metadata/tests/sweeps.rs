//! Rows that are removed in pages: of deleted buckets, of replicas that were let go, of migrations that have ended.
use super::super::sweeps::ROWS;
use super::{Fixture, object};
use crate::metadata::db::{Columns, Kind};
use crate::{
    Adoption, BucketId, DrainReason, MigrationState, NewMigration, PlacementChange, Route, StoreError, Sweep, Tenant,
};
use s3gateway_config::BackendId;
use s3gateway_s3::{LogicalBucket, PhysicalBucket, Versioning};

/// Rows of each table: two pages, and some.
const MANY: i64 = 2 * ROWS + 500;
/// Tables with rows about a bucket's keys and uploads that its clients see, and their columns.
const LENT: [(&str, &str); 9] = [
    ("object_tags", "object_key, etag, tags) select '{b}', {key}, 'e', '[]'"),
    (
        "object_checksums",
        "object_key, etag, size, algorithm, kind, value) select '{b}', {key}, 'e', 1, 'CRC32', 'FULL_OBJECT', 'v'",
    ),
    ("object_parts", "object_key, etag, size, algorithm, parts) select '{b}', {key}, 'e', 1, 'CRC32', '[]'"),
    ("retagged_versions", "object_key, version, noted_at) select '{b}', {key}, 'v', 1"),
    ("unlisted_writes", "object_key, noted_at) select '{b}', {key}, 1"),
    ("uploads", "upload_id, object_key, initiated_at) select '{b}', {name}, {key}, 1"),
    ("upload_checksums", "upload_id, algorithm, kind) select '{b}', {name}, 'CRC32', 'COMPOSITE'"),
    ("upload_parts", "upload_id, part_number, etag, size, value) select '{b}', {name}, 1, 'e', 1, 'v'"),
    (
        "upload_places",
        "upload_id, backend, place_upload_id, object_key, home, looked_at) select '{b}', {name}, 'de-fra', 'u', {key}, 'fi-hel', 1",
    ),
];
/// How many those are.
const TABLES: i64 = LENT.len() as i64;
const STRANDED: (&str, &str) = (
    "stranded_keys",
    "id, object_key, home, epoch, state, stranded_at, kept_on, kept_in, etag, size) \
     select '{b}', '{b}' || {name}, {key}, 'fi-hel', 1, 'open', 1, '', '', '', 0",
);
const NOTED: (&str, &str) = ("promotion_keys", "object_key, noted) select '{b}', {key}, 1");
const COPIES: [(&str, &str); 2] = [
    (
        "object_copies",
        "object_key, backend, etag, home_etag, size, verified_how, verified_at) select '{b}', {key}, '{on}', 'e', 'e', 1, 'etag', 1",
    ),
    (
        "version_copies",
        "object_key, backend, home_version, version, position, is_marker, etag, home_etag, size, home_modified, verified_how, \
         verified_at) select '{b}', {key}, '{on}', 'h', 'v', 1, 0, 'e', 'e', 1, 1, 'etag', 1",
    ),
];

async fn run(f: &Fixture, text: String) {
    sqlx::query(sqlx::AssertSqlSafe(text)).execute(f.metadata.db.pool()).await.unwrap();
}

async fn fill(f: &Fixture, bucket: &BucketId, (table, columns): (&str, &str), backend: &str) {
    let name = "'k' || cast(100000 + n as text)";
    let key = match f.metadata.db.kind() {
        Kind::Postgres => format!("convert_to({name}, 'UTF8')"),
        Kind::Sqlite => format!("cast({name} as blob)"),
    };
    let columns = columns.replace("{b}", bucket.as_str()).replace("{key}", &key).replace("{name}", name);
    let columns = columns.replace("{on}", backend);
    run(
        f,
        format!(
            "with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < {MANY}) \
             insert into {table} (bucket, {columns} from numbers"
        ),
    )
    .await;
}

/// Rows in every table but that of stranded keys, of copies on each of these backends.
async fn fill_all(f: &Fixture, bucket: &BucketId, backends: &[&BackendId]) {
    for table in LENT {
        fill(f, bucket, table, "").await;
    }
    for backend in backends {
        for table in COPIES {
            fill(f, bucket, table, backend.as_str()).await;
        }
    }
}

async fn count(f: &Fixture, table: &str, bucket: &BucketId, condition: &str) -> i64 {
    let text = format!("select count(*) as found from {table} where bucket = '{}'{condition}", bucket.as_str());
    let row = sqlx::query(sqlx::AssertSqlSafe(text)).fetch_one(f.metadata.db.pool()).await.unwrap();
    row.int("found").unwrap()
}

async fn count_on(f: &Fixture, bucket: &BucketId, backend: &BackendId) -> [i64; 2] {
    let on = format!(" and backend = '{backend}'");
    [count(f, COPIES[0].0, bucket, &on).await, count(f, COPIES[1].0, bucket, &on).await]
}

/// How many rows the tables have of what was lent, together, and of stranded keys.
async fn count_lent(f: &Fixture, bucket: &BucketId) -> (i64, i64) {
    let mut lent = 0;
    for (table, _) in LENT {
        lent += count(f, table, bucket, "").await;
    }
    (lent, count(f, STRANDED.0, bucket, "").await)
}

async fn sweeps(f: &Fixture) -> Vec<Sweep> {
    f.metadata.sweeps(10).await.unwrap()
}

/// Removes rows until none are left to be removed, each page as a process that begins anew.
async fn sweep_all(f: &Fixture) {
    for _ in 0..20 {
        let Some(first) = sweeps(f).await.into_iter().next() else { return };
        f.second().await.sweep_page(&first).await.unwrap();
    }
    panic!("it goes on and on");
}

async fn read(f: &Fixture, route: &Route) -> Route {
    f.metadata.route_by_id(&route.bucket).await.unwrap().unwrap()
}

pub(super) async fn a_deleted_bucket_goes_page_by_page(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let (route, other) = (f.bucket(&tenant, "photos").await, f.bucket(&tenant, "other").await);
    let (home, near) = (&route.placement[0], &route.placement[1]);
    fill_all(&f, &route.bucket, &[home, near]).await;
    fill_all(&f, &other.bucket, &[home, near]).await;
    m.begin_delete_bucket(&route.bucket).await.unwrap();
    assert_eq!(count_lent(&f, &route.bucket).await, (TABLES * MANY, 0), "it may yet come back into service");
    m.finish_delete_bucket(&route.bucket).await.unwrap();
    fill(&f, &route.bucket, STRANDED, "").await;
    fill(&f, &route.bucket, NOTED, "").await;
    let (lent, _) = count_lent(&f, &route.bucket).await;
    assert!(lent < TABLES * MANY && lent > TABLES * ROWS, "a page: {lent} are left");

    // The name is free at once, and the bucket that gets it is another one.
    let again = f.bucket(&tenant, "photos").await;
    fill_all(&f, &again.bucket, &[home]).await;
    let seen = sweeps(&f).await.remove(0);
    m.sweep_page(&seen).await.unwrap();
    let left = (count_lent(&f, &route.bucket).await, count_on(&f, &route.bucket, home).await);
    m.sweep_page(&seen).await.unwrap();
    let now = (count_lent(&f, &route.bucket).await, count_on(&f, &route.bucket, home).await);
    assert_eq!(now, left, "another was faster");
    sweep_all(&f).await;
    assert_eq!(count_lent(&f, &route.bucket).await, (0, MANY));
    assert_eq!(count_on(&f, &route.bucket, home).await, [0, 0]);
    assert_eq!(count_on(&f, &route.bucket, near).await, [MANY, MANY], "until the replica is emptied");
    assert_eq!(m.retiring_buckets(10).await.unwrap().len(), 1);

    m.drop_physical(&route.bucket, near).await.unwrap();
    assert!(m.retiring_buckets(10).await.unwrap().is_empty());
    assert!(count_on(&f, &route.bucket, near).await[0] > 0, "a page");
    let noted = count(&f, NOTED.0, &route.bucket, "").await;
    assert!(noted < MANY && noted > 0, "a page: {noted} are left");
    sweep_all(&f).await;
    assert_eq!(count_lent(&f, &route.bucket).await, (0, 0));
    assert_eq!(count_on(&f, &route.bucket, near).await, [0, 0]);
    assert!(matches!(m.raise_physical_name(&route.bucket, near).await, Err(StoreError::NotFound)), "its row is gone");
    for (bucket, backends) in [(&other.bucket, vec![home, near]), (&again.bucket, vec![home])] {
        assert_eq!(count_lent(&f, bucket).await, (TABLES * MANY, 0));
        for backend in backends {
            assert_eq!(count_on(&f, bucket, backend).await, [MANY, MANY]);
        }
    }
}

pub(super) async fn a_deleted_bucket_without_replicas_is_there_until_its_last_page(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let home = f.backend("fi-hel").await;
    let route = adopted(&f, &tenant).await;
    fill_all(&f, &route.bucket, &[&home]).await;
    m.begin_delete_bucket(&route.bucket).await.unwrap();
    m.finish_delete_bucket(&route.bucket).await.unwrap();
    assert!(m.retiring_buckets(10).await.unwrap().is_empty(), "nothing is to be emptied");
    for refused in [m.delete_tenant(&tenant.id).await, m.delete_backend(&home).await] {
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
    }
    sweep_all(&f).await;
    assert_eq!((count_lent(&f, &route.bucket).await, count_on(&f, &route.bucket, &home).await), ((0, 0), [0, 0]));
    m.delete_tenant(&tenant.id).await.unwrap();
    m.delete_backend(&home).await.unwrap();
}

pub(super) async fn a_replica_comes_back_once_its_old_records_are_gone(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = f.bucket(&tenant, "photos").await;
    let (home, near) = (route.placement[0].clone(), route.placement[1].clone());
    for backend in [&home, &near] {
        fill(&f, &route.bucket, COPIES[0], backend.as_str()).await;
        fill(&f, &route.bucket, COPIES[1], backend.as_str()).await;
    }
    let drained = vec![(near.clone(), DrainReason::Placement, String::new())];
    let leave =
        PlacementChange { seen: &route, placement: vec![home.clone()], replica_count: 1, locations: None, drained };
    m.change_placement(&leave).await.unwrap();
    assert!(m.prove_drain(&m.drains_of(&route.bucket).await.unwrap().remove(0)).await.unwrap());
    m.drop_physical(&route.bucket, &near).await.unwrap();
    let now = read(&f, &route).await;
    let placement = vec![home.clone(), near.clone()];
    let back = PlacementChange { seen: &now, placement, replica_count: 1, locations: None, drained: Vec::new() };
    let refused = m.change_placement(&back).await;
    assert!(matches!(refused, Err(StoreError::Conflict(what)) if what.starts_with("a removal of")), "{refused:?}");
    sweep_all(&f).await;
    m.change_placement(&back).await.unwrap();
    assert_eq!(count_on(&f, &route.bucket, &near).await, [0, 0], "nothing is said to be there that is not");
    assert_eq!(count_on(&f, &route.bucket, &home).await, [MANY, MANY]);
}

async fn adopted(f: &Fixture, tenant: &Tenant) -> Route {
    let adoption = Adoption {
        tenant: tenant.id.clone(),
        name: LogicalBucket::parse("photos").unwrap(),
        backend: f.backend("fi-hel").await,
        physical: PhysicalBucket::parse("legacy-photos").unwrap(),
        stays: true,
        versioning: Versioning::Never,
    };
    f.metadata.adopt_bucket(&adoption).await.unwrap()
}

pub(super) async fn a_migration_ends_at_once_and_the_next_waits_for_its_records(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = adopted(&f, &tenant).await;
    let (home, twin) = (route.home.clone(), route.home.twin());
    let new = NewMigration { seen: &route, to: home.clone(), drop_old: false, is_deep: false, asked_by: String::new() };
    let begun = m.begin_migration(&new).await.unwrap();
    m.fill_migration(&begun).await.unwrap();
    for backend in [&home, &twin] {
        fill(&f, &route.bucket, COPIES[0], backend.as_str()).await;
    }
    m.cancel_migration(&begun.id, "no").await.unwrap();
    m.end_migration(&m.migration(&begun.id).await.unwrap(), "no").await.unwrap();
    assert_eq!(m.migration(&begun.id).await.unwrap().state, MigrationState::Cancelled);
    assert!(!sweeps(&f).await.is_empty());

    let next = m.begin_migration(&new).await.unwrap();
    let early = m.fill_migration(&next).await;
    assert!(matches!(early, Err(StoreError::Conflict(what)) if what.starts_with("a removal of")), "{early:?}");
    sweep_all(&f).await;
    m.fill_migration(&next).await.unwrap();
    assert_eq!(count_on(&f, &route.bucket, &twin).await, [0, 0]);
    assert_eq!(count_on(&f, &route.bucket, &home).await, [MANY, 0]);
    assert_eq!(m.copies(&route.bucket, &object("k100001")).await.unwrap().len(), 1, "at its home");
}
