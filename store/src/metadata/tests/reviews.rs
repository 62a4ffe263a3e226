//! Reviews of many buckets, which come due in pages.
use super::super::reviews::BUCKETS;
use super::Fixture;
use crate::metadata::db::Columns;
use crate::{Metadata, TenantId};
use s3gateway_config::{BackendId, ResidencyPolicy};

/// Buckets of each tenant: two pages, and some.
const MANY: i64 = 2 * BUCKETS + 100;

/// Buckets in service of a tenant, on one backend alone.
async fn fill(f: &Fixture, tenant: &TenantId, home: &BackendId) {
    let tenant = tenant.as_str();
    let numbers =
        format!("with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < {MANY})");
    let id = format!("'{home}-' || cast(100000 + n as text)");
    for text in [
        format!(
            "{numbers} insert into buckets (id, tenant, name, state, state_since, home, epoch, replica_count, location, \
             policy, created_at) select {id}, '{tenant}', {id}, 'active', 1, '{home}', 1, 1, '', '{{}}', 1 from numbers"
        ),
        format!(
            "{numbers} insert into bucket_backends (bucket, backend, physical, n, position, state) \
             select {id}, '{home}', {id}, 0, 0, 'active' from numbers"
        ),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(text)).execute(f.metadata.db.pool()).await.unwrap();
    }
}

/// How many of the buckets on a backend are to be reviewed.
async fn due(f: &Fixture, home: &BackendId) -> i64 {
    let text = format!("select count(*) as found from buckets where home = '{home}' and review_due > 0");
    let row = sqlx::query(sqlx::AssertSqlSafe(text)).fetch_one(f.metadata.db.pool()).await.unwrap();
    row.int("found").unwrap()
}

async fn review_all(f: &Fixture) {
    let text = "update buckets set review_due = 0";
    sqlx::query(text).execute(f.metadata.db.pool()).await.unwrap();
}

/// Takes all pages, each as a process that begins anew; how many.
async fn make_all_due(f: &Fixture) -> usize {
    for taken in 0..10 {
        if !f.second().await.make_reviews_due().await.unwrap() {
            return taken;
        }
    }
    panic!("it goes on and on");
}

async fn two_tenants(f: &Fixture) -> ([TenantId; 2], [BackendId; 2]) {
    let tenants = [f.tenant("one").await.id, f.tenant("two").await.id];
    let backends = [f.backend("fi-hel").await, f.backend("de-fra").await];
    for (tenant, backend) in tenants.iter().zip(&backends) {
        fill(f, tenant, backend).await;
    }
    (tenants, backends)
}

pub(super) async fn a_retirement_makes_the_reviews_of_many_buckets_due(f: Fixture) {
    let (m, (_, [home, other])) = (&f.metadata, two_tenants(&f).await);
    m.retire_backend(&home).await.unwrap();
    assert_eq!(due(&f, &home).await, BUCKETS, "a page at once");
    assert_eq!(m.buckets_to_review(10).await.unwrap().len(), 10, "which workers can begin with");
    assert!(m.make_reviews_due().await.unwrap());
    assert_eq!(due(&f, &home).await, 2 * BUCKETS);
    assert_eq!(make_all_due(&f).await, 1);
    assert_eq!((due(&f, &home).await, due(&f, &other).await), (MANY, 0));

    // Taken back halfway: those that were reviewed as being retired are so again.
    review_all(&f).await;
    m.retire_backend(&home).await.unwrap();
    assert!(m.make_reviews_due().await.unwrap());
    review_all(&f).await;
    m.unretire_backend(&home).await.unwrap();
    make_all_due(&f).await;
    assert_eq!((due(&f, &home).await, due(&f, &other).await), (MANY, 0));
}

pub(super) async fn a_tenants_policy_makes_the_reviews_of_its_many_buckets_due(f: Fixture) {
    let (m, ([tenant, _], [home, other])) = (&f.metadata, two_tenants(&f).await);
    m.set_tenant_policy(&tenant, &ResidencyPolicy::default()).await.unwrap();
    assert_eq!(due(&f, &home).await, BUCKETS, "a page at once");
    m.retire_backend(&other).await.unwrap();
    let pages = |m: Metadata| async move { while m.make_reviews_due().await.unwrap() {} };
    tokio::join!(pages(f.second().await), pages(f.second().await));
    assert_eq!((due(&f, &home).await, due(&f, &other).await), (MANY, MANY), "by two workers at once");
    assert!(!m.make_reviews_due().await.unwrap());
}
