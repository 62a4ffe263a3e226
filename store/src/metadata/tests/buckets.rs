//! The life of buckets and their physical names.
use super::{Fixture, created, in_a_minute, new_bucket, now, object};
use crate::{Begun, BucketId, NewBucket, ObjectCopy, StoreError};
use s3gateway_config::{BackendId, PlaceRule, ResidencyPolicy};
use s3gateway_s3::{LogicalBucket, Versioning};
use std::collections::HashSet;

fn name(name: &str) -> LogicalBucket {
    LogicalBucket::parse(name).unwrap()
}

pub(super) async fn a_bucket_lives_and_dies(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let placement = vec![f.backend("fi-hel").await, f.backend("de-fra").await];
    let new = NewBucket { replica_count: 2, ..new_bucket(&tenant, "photos", &placement) };
    let route = created(m.begin_create_bucket(&new).await.unwrap());
    assert_eq!((&route.home, &route.placement, route.replica_count), (&placement[0], &placement, 2));
    assert_eq!((route.location.as_str(), route.epoch), ("fi-hel,de-fra", 1));
    let on_home = route.physical_on(&placement[0]).unwrap();
    assert_ne!(on_home, route.physical_on(&placement[1]).unwrap());
    assert_eq!(*on_home, crate::names::propose(tenant.id.as_str(), "fi-hel", &new.name, &placement[0], 0));
    assert!(m.route(&tenant.id, &new.name).await.unwrap().is_none(), "not in service yet");
    assert!(m.route_by_id(&route.bucket).await.unwrap().is_none());
    assert!(m.buckets(&tenant.id, "", None, 10).await.unwrap().is_empty());
    assert!(matches!(m.begin_delete_bucket(&route.bucket).await, Err(StoreError::NotFound)));

    m.activate_bucket(&route.bucket).await.unwrap();
    m.activate_bucket(&route.bucket).await.unwrap();
    let read = m.route(&tenant.id, &new.name).await.unwrap().unwrap();
    assert_eq!((&read.bucket, &read.physical), (&route.bucket, &route.physical));
    assert_eq!(m.route_by_id(&route.bucket).await.unwrap().unwrap().name, new.name);
    assert!(matches!(m.begin_create_bucket(&new).await.unwrap(), Begun::Exists(r) if r.bucket == route.bucket));
    assert!(matches!(m.abandon_bucket(&route.bucket).await, Err(StoreError::Conflict(_))));
    assert!(matches!(m.finish_delete_bucket(&route.bucket).await, Err(StoreError::Conflict(_))));

    m.begin_delete_bucket(&route.bucket).await.unwrap();
    m.begin_delete_bucket(&route.bucket).await.unwrap();
    assert!(m.route(&tenant.id, &new.name).await.unwrap().is_none(), "hidden");
    assert!(matches!(m.begin_create_bucket(&new).await, Err(StoreError::Conflict(_))), "the home may still be there");
    m.cancel_delete_bucket(&route.bucket).await.unwrap();
    assert!(m.route(&tenant.id, &new.name).await.unwrap().is_some(), "back in service");
    m.begin_delete_bucket(&route.bucket).await.unwrap();
    m.finish_delete_bucket(&route.bucket).await.unwrap();
    m.finish_delete_bucket(&route.bucket).await.unwrap();
    assert!(matches!(m.cancel_delete_bucket(&route.bucket).await, Err(StoreError::NotFound)), "too late");
    let retiring = m.retiring_buckets(10).await.unwrap();
    assert_eq!(retiring.len(), 1);
    assert_eq!(retiring[0].physical, [route.physical[1].clone()], "only the replica is left");
    m.drop_physical(&route.bucket, &placement[0]).await.unwrap();
    assert_eq!(m.retiring_buckets(10).await.unwrap().len(), 1, "the home had gone before");
    m.drop_physical(&route.bucket, &placement[1]).await.unwrap();
    m.drop_physical(&route.bucket, &placement[1]).await.unwrap();
    assert!(m.retiring_buckets(10).await.unwrap().is_empty());
    m.delete_backend(&placement[1]).await.unwrap();
}

pub(super) async fn a_crash_while_creating_is_resumed(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let placement = vec![f.backend("fi-hel").await];
    let new = new_bucket(&tenant, "photos", &placement);
    let route = created(m.begin_create_bucket(&new).await.unwrap());
    let Begun::Resumed(again) = f.second().await.begin_create_bucket(&new).await.unwrap() else {
        panic!("expected to resume")
    };
    assert_eq!((again.bucket, &again.physical), (route.bucket.clone(), &route.physical));
    m.abandon_bucket(&route.bucket).await.unwrap();
    m.abandon_bucket(&route.bucket).await.unwrap();
    assert!(matches!(m.activate_bucket(&route.bucket).await, Err(StoreError::NotFound)));
    let fresh = created(m.begin_create_bucket(&new).await.unwrap());
    assert_ne!(fresh.bucket, route.bucket);
    assert_eq!(fresh.physical, route.physical, "the name that it may have made already");
}

pub(super) async fn a_name_is_reused_while_the_old_replica_retires(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let mut names = HashSet::new();
    let mut old = Vec::new();
    for _ in 0..3 {
        let route = f.bucket(&tenant, "photos").await;
        assert!(names.insert(route.physical[1].1.clone()), "the replica's name is still in use");
        m.begin_delete_bucket(&route.bucket).await.unwrap();
        m.finish_delete_bucket(&route.bucket).await.unwrap();
        old.push(route);
    }
    assert_eq!(old[0].physical[0], old[1].physical[0], "the home's name was free again");
    assert_eq!(m.retiring_buckets(10).await.unwrap().len(), 3);
    assert_eq!(
        m.retiring_buckets(2).await.unwrap().iter().map(|r| &r.bucket).collect::<Vec<_>>(),
        [&old[0].bucket, &old[1].bucket]
    );
    let de_fra = BackendId::parse("de-fra").unwrap();
    m.drop_physical(&old[0].bucket, &de_fra).await.unwrap();
    let route = f.bucket(&tenant, "photos").await;
    assert_eq!(route.physical[1], old[0].physical[1], "free again");
    m.drop_physical(&route.bucket, &de_fra).await.unwrap();
    assert_eq!(m.route_by_id(&route.bucket).await.unwrap().unwrap().physical.len(), 2, "in use: never dropped");
}

pub(super) async fn one_worker_has_a_bucket_that_is_to_be_ended(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = f.bucket(&tenant, "photos").await;
    for since in route.created_at..=now() {
        assert!(!m.claim_bucket(&route.bucket, since, 7).await.unwrap(), "in service");
    }
    m.begin_delete_bucket(&route.bucket).await.unwrap();
    let unfinished = async || m.unfinished_buckets(i64::MAX, 10).await.unwrap().remove(0).since;
    let seen = unfinished().await;
    let other = f.second().await;
    let (a, b) = tokio::join!(m.claim_bucket(&route.bucket, seen, 7), other.claim_bucket(&route.bucket, seen, 7));
    assert!(a.unwrap() != b.unwrap(), "one of two");
    assert_eq!(unfinished().await, 7, "all see until when it is taken");
    assert!(m.claim_bucket(&route.bucket, 7, 9).await.unwrap(), "prolonged");
    assert!(!other.claim_bucket(&route.bucket, 7, 8).await.unwrap(), "that claim is no more");
    m.finish_delete_bucket(&route.bucket).await.unwrap();
    assert!(!m.claim_bucket(&route.bucket, 9, 10).await.unwrap(), "the deletion's claim is not the retirement's");
    let free = m.retiring_buckets(10).await.unwrap().remove(0).free_from;
    assert!(m.claim_bucket(&route.bucket, free, 10).await.unwrap());
    assert_eq!(m.retiring_buckets(10).await.unwrap().remove(0).free_from, 10);
}

pub(super) async fn a_stranger_raises_the_name_once(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let placement = vec![f.backend("fi-hel").await, f.backend("de-fra").await];
    let new = new_bucket(&tenant, "photos", &placement);
    let route = created(m.begin_create_bucket(&new).await.unwrap());
    for backend in &placement {
        let seen = route.physical_on(backend).unwrap();
        let first = m.raise_physical_name_from(&route.bucket, backend, seen).await.unwrap();
        let second = m.raise_physical_name_from(&route.bucket, backend, seen).await.unwrap();
        assert_ne!(&first, seen);
        assert_eq!(first, second, "both met the same stranger");
        let third = m.raise_physical_name(&route.bucket, backend).await.unwrap();
        assert_eq!(HashSet::from([seen, &first, &third]).len(), 3);
        let Begun::Resumed(read) = m.begin_create_bucket(&new).await.unwrap() else { panic!("expected to resume") };
        assert_eq!(read.physical_on(backend), Some(&third));
    }
    m.activate_bucket(&route.bucket).await.unwrap();
    let home = m.raise_physical_name(&route.bucket, &route.home).await;
    assert!(matches!(home, Err(StoreError::Conflict(_))), "its objects would be lost from sight");
    m.raise_physical_name(&route.bucket, &placement[1]).await.unwrap();
    let elsewhere = f.backend("us-iad").await;
    assert!(matches!(m.raise_physical_name(&route.bucket, &elsewhere).await, Err(StoreError::NotFound)));
    assert!(matches!(m.raise_physical_name(&BucketId::new("x"), &route.home).await, Err(StoreError::NotFound)));
}

pub(super) async fn unfinished_buckets_are_found(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let placement = vec![f.backend("fi-hel").await, f.backend("de-fra").await];
    f.bucket(&tenant, "in-service").await;
    let creating = created(m.begin_create_bucket(&new_bucket(&tenant, "aaa", &placement)).await.unwrap());
    let deleting = f.bucket(&tenant, "bbb").await;
    m.begin_delete_bucket(&deleting.bucket).await.unwrap();
    assert!(m.unfinished_buckets(0, 10).await.unwrap().is_empty(), "young ones are somebody's work");
    let found = m.unfinished_buckets(in_a_minute(), 10).await.unwrap();
    let seen: Vec<_> = found.iter().map(|u| (&u.route.bucket, u.deleting, u.route.placement.len())).collect();
    assert_eq!(seen, [(&creating.bucket, false, 2), (&deleting.bucket, true, 2)]);
    assert_eq!(m.unfinished_buckets(in_a_minute(), 1).await.unwrap().len(), 1);
}

pub(super) async fn listing_is_by_bytes_in_pages(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    // A locale would put '-' and '.' elsewhere than their bytes do.
    for bucket in ["b-c", "b.c", "b0c", "bac", "a.b-1", "ab1", "a-b1"] {
        f.bucket(&tenant, bucket).await;
    }
    let list = async |prefix: &str, after: Option<&str>, limit: u32| -> Vec<String> {
        let listed = m.buckets(&tenant.id, prefix, after, limit).await.unwrap();
        listed.iter().map(|b| b.name.as_str().to_owned()).collect()
    };
    let all = ["a-b1", "a.b-1", "ab1", "b-c", "b.c", "b0c", "bac"];
    assert_eq!(list("", None, 100).await, all);
    assert_eq!(list("", Some("ab1"), 2).await, ["b-c", "b.c"]);
    assert_eq!(list("b", None, 100).await, all[3..]);
    assert_eq!(list("b", Some("b.c"), 1).await, ["b0c"]);
    assert_eq!(list("b.", None, 100).await, ["b.c"]);
    assert!(list("B", None, 100).await.is_empty(), "case counts");
    assert!(list("b%", None, 100).await.is_empty() && list("b_", None, 100).await.is_empty(), "nothing is a pattern");
    let routes = m.all_buckets(Some(&tenant.id)).await.unwrap();
    assert_eq!(routes.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), all);
    assert!(routes.iter().all(|r| r.placement.len() == 2));
}

pub(super) async fn tenants_do_not_see_each_other(f: Fixture) {
    let (m, one, two) = (&f.metadata, f.tenant("one").await, f.tenant("two").await);
    let (mine, theirs) = (f.bucket(&one, "photos").await, f.bucket(&two, "photos").await);
    f.bucket(&two, "secret").await;
    assert_ne!(mine.physical[0].1, theirs.physical[0].1);
    assert_eq!(m.route(&one.id, &name("photos")).await.unwrap().unwrap().bucket, mine.bucket);
    assert!(m.route(&one.id, &name("secret")).await.unwrap().is_none());
    assert_eq!(m.buckets(&one.id, "", None, 10).await.unwrap().len(), 1);
    assert_eq!(m.all_buckets(Some(&one.id)).await.unwrap().len(), 1);
    assert_eq!(m.all_buckets(None).await.unwrap().len(), 3);
}

pub(super) async fn bad_buckets_are_refused(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let home = f.backend("fi-hel").await;
    let unknown = BackendId::parse("nowhere").unwrap();
    let good = new_bucket(&tenant, "photos", std::slice::from_ref(&home));
    for (placement, replica_count, what) in [
        (vec![], 1, "no place"),
        (vec![home.clone(), home.clone()], 1, "a place twice"),
        (vec![home.clone()], 0, "no copy"),
        (vec![home.clone()], 2, "more copies than places"),
        (vec![home.clone(), unknown], 1, "an unknown backend"),
    ] {
        let bad = NewBucket { placement, replica_count, ..good.clone() };
        assert!(matches!(m.begin_create_bucket(&bad).await, Err(StoreError::Invalid(_))), "{what}");
    }
    let stranger = NewBucket { tenant: crate::TenantId::new("nobody"), ..good.clone() };
    assert!(matches!(m.begin_create_bucket(&stranger).await, Err(StoreError::NotFound)));
    created(m.begin_create_bucket(&good).await.unwrap());
}

pub(super) async fn policy_and_count_change(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = f.bucket(&tenant, "photos").await;
    let policy = ResidencyPolicy {
        allow: PlaceRule { countries: vec!["FI".into()], ..PlaceRule::default() },
        ..ResidencyPolicy::default()
    };
    m.set_bucket_policy(&route.bucket, &policy).await.unwrap();
    m.set_tenant_policy(&tenant.id, &policy).await.unwrap();
    m.set_replica_count(&route.bucket, 2).await.unwrap();
    let read = m.route_by_id(&route.bucket).await.unwrap().unwrap();
    assert_eq!((&read.bucket_policy, &read.tenant_policy, read.replica_count), (&policy, &policy, 2));
    for count in [0, 3, u32::MAX] {
        assert!(matches!(m.set_replica_count(&route.bucket, count).await, Err(StoreError::Invalid(_))), "{count}");
    }
    for quorum in [0, 3] {
        assert!(matches!(m.set_write_quorum(&route.bucket, quorum).await, Err(StoreError::Invalid(_))), "{quorum}");
    }
    m.set_write_quorum(&route.bucket, 2).await.unwrap();
    assert_eq!(m.route_by_id(&route.bucket).await.unwrap().unwrap().write_quorum, 2);
    assert!(matches!(m.set_replica_count(&route.bucket, 1).await, Err(StoreError::Invalid(_))), "below the quorum");
    let (key, [known, new]) = (object("k"), [0, 1].map(|n| route.placement[n].clone()));
    let copy = ObjectCopy {
        backend: known.clone(),
        etag: "e".into(),
        home_etag: "e".into(),
        size: 1,
        verified_how: "etag".into(),
        verified_at: 7,
    };
    m.record_copies(&route.bucket, &key, std::slice::from_ref(&copy)).await.unwrap();
    for _ in 0..2 {
        m.note_pending(&route.bucket, &key, &[known.clone(), new.clone()]).await.unwrap();
        let copies = m.copies(&route.bucket, &key).await.unwrap();
        assert!(copies.contains(&copy), "what is known stays: {copies:?}");
        let begun = copies.iter().find(|copy| copy.backend == new).unwrap();
        assert_eq!((begun.verified_how.as_str(), begun.verified_at), ("pending", 0));
    }
    m.set_write_quorum(&route.bucket, 1).await.unwrap();
    m.set_versioning(&route.bucket, 1, Versioning::Enabled).await.unwrap();
    assert!(matches!(m.set_write_quorum(&route.bucket, 2).await, Err(StoreError::Invalid(_))), "it keeps versions");
    m.set_write_quorum(&route.bucket, 1).await.unwrap();
    assert!(matches!(m.set_write_quorum(&BucketId::new("x"), 1).await, Err(StoreError::NotFound)));
    assert!(matches!(m.set_bucket_policy(&BucketId::new("x"), &policy).await, Err(StoreError::NotFound)));
    assert!(matches!(m.set_replica_count(&BucketId::new("x"), 1).await, Err(StoreError::NotFound)));
}

pub(super) async fn tags_go_with_the_bucket(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = f.bucket(&tenant, "photos").await;
    let tags =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
    let (first, second) = (tags(&[("team", "blau ä"), ("a", ""), ("A", "\u{10FFFF}")]), tags(&[("only", "this")]));
    assert_eq!(m.bucket_tags(&route.bucket).await.unwrap(), []);
    m.set_bucket_tags(&route.bucket, &first).await.unwrap();
    assert_eq!(f.second().await.bucket_tags(&route.bucket).await.unwrap(), first, "as given, in order");
    m.set_bucket_tags(&route.bucket, &second).await.unwrap();
    assert_eq!(m.bucket_tags(&route.bucket).await.unwrap(), second, "replaced, not merged");
    let other = f.bucket(&tenant, "other").await;
    assert_eq!(m.bucket_tags(&other.bucket).await.unwrap(), []);

    m.begin_delete_bucket(&route.bucket).await.unwrap();
    assert!(matches!(m.set_bucket_tags(&route.bucket, &first).await, Err(StoreError::NotFound)), "out of service");
    assert!(matches!(m.bucket_tags(&route.bucket).await, Err(StoreError::NotFound)));
    m.cancel_delete_bucket(&route.bucket).await.unwrap();
    assert_eq!(m.bucket_tags(&route.bucket).await.unwrap(), second, "back with the bucket");
    m.begin_delete_bucket(&route.bucket).await.unwrap();
    m.finish_delete_bucket(&route.bucket).await.unwrap();
    let again = f.bucket(&tenant, "photos").await;
    assert_eq!(m.bucket_tags(&again.bucket).await.unwrap(), [], "another bucket of the same name");
    assert!(matches!(m.bucket_tags(&BucketId::new("nowhere")).await, Err(StoreError::NotFound)));
}

pub(super) async fn versioning_goes_with_the_bucket(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = f.bucket(&tenant, "photos").await;
    assert_eq!(route.versioning, Versioning::Never);
    for state in [Versioning::Enabled, Versioning::Suspended, Versioning::Enabled] {
        let head = m.change_head().await.unwrap();
        m.set_versioning(&route.bucket, 1, state).await.unwrap();
        assert_eq!(m.change_head().await.unwrap(), head + 1, "every proxy hears of it");
        let read = f.second().await.route(&tenant.id, &route.name).await.unwrap().unwrap();
        assert_eq!(read.versioning, state);
    }
    m.begin_delete_bucket(&route.bucket).await.unwrap();
    assert!(matches!(m.set_versioning(&route.bucket, 1, Versioning::Suspended).await, Err(StoreError::NotFound)));
    m.finish_delete_bucket(&route.bucket).await.unwrap();
    assert_eq!(f.bucket(&tenant, "photos").await.versioning, Versioning::Never, "another bucket of the same name");
    assert!(matches!(m.set_versioning(&BucketId::new("x"), 1, Versioning::Enabled).await, Err(StoreError::NotFound)));
}
