//! Placements that change, replicas that are drained, backends that are retired.
use super::{Fixture, in_a_minute, object};
use crate::{
    Adoption, BackendUse, Change, DrainLook, DrainReason, DrainState, Kept, MappingState, PlacementChange, Retirement,
    Route, StoreError,
};
use s3gateway_config::{BackendId, ResidencyPolicy};
use s3gateway_s3::{LogicalBucket, PhysicalBucket, Versioning};

fn change<'a>(seen: &'a Route, placement: &[&BackendId], drained: &[&BackendId]) -> PlacementChange<'a> {
    PlacementChange {
        seen,
        placement: placement.iter().map(|id| (*id).clone()).collect(),
        replica_count: seen.replica_count,
        locations: None,
        drained: drained.iter().map(|id| ((*id).clone(), DrainReason::Placement, "a remark".to_owned())).collect(),
    }
}

async fn reread(f: &Fixture, route: &Route) -> Route {
    f.metadata.route_by_id(&route.bucket).await.unwrap().unwrap()
}

pub(super) async fn a_replica_leaves_through_a_drain(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let (far, route) = (f.backend("us-iad").await, f.bucket(&tenant, "photos").await);
    let (home, near) = (route.placement[0].clone(), route.placement[1].clone());
    let head = m.change_head().await.unwrap();
    let placement =
        PlacementChange { locations: Some("fi-hel,us-iad".into()), ..change(&route, &[&home, &far], &[&near]) };
    m.change_placement(&placement).await.unwrap();
    let now = reread(&f, &route).await;
    assert_eq!((&now.placement, &now.draining), (&vec![home.clone(), far.clone()], &vec![near.clone()]));
    assert_eq!(now.physical_on(&near), route.physical_on(&near), "its name is still known");
    assert!(now.physical_on(&far).is_some());
    let told = m.changes_since(head, 10).await.unwrap();
    assert_eq!(told, [(head + 1, Change::Bucket(tenant.id.clone(), "photos".into()))]);
    assert_eq!(m.walks_of(&route.bucket, 10).await.unwrap().len(), 1, "its keys are walked over");
    assert_eq!(m.locations(&route.bucket).await.unwrap(), "fi-hel,us-iad");
    assert_eq!(now.location, route.location, "what the client gave stays");

    let drain = m.open_drains(in_a_minute(), 10).await.unwrap().remove(0);
    assert_eq!((drain.tenant.as_str(), drain.name.as_str(), &drain.backend), ("acme", "photos", &near));
    assert_eq!(
        (drain.reason, drain.state, drain.remark.as_str()),
        (DrainReason::Placement, DrainState::Draining, "a remark")
    );
    assert!(m.claim_drain(&drain, in_a_minute()).await.unwrap());
    assert!(!m.claim_drain(&drain, in_a_minute()).await.unwrap(), "another worker has it");
    assert!(m.open_drains(drain.free_from, 10).await.unwrap().is_empty());
    let look =
        DrainLook { since: 1, counts: true, after: "k\u{0}ä".into(), seen: 5, strays: 1, stray: "k".into(), aside: 1 };
    m.note_look(&drain, &look).await.unwrap();
    assert_eq!(m.drains_of(&route.bucket).await.unwrap()[0].look, look);
    m.end_look(&drain, &look).await.unwrap();
    m.end_look(&drain, &DrainLook { seen: 2, ..look.clone() }).await.unwrap();
    let drain = m.drains_of(&route.bucket).await.unwrap().remove(0);
    assert_eq!((drain.look, drain.keys), (DrainLook::default(), Some(5)), "what it held at first");
    assert_eq!(drain.found.as_ref().map(|found| found.seen), Some(2));

    let drain = m.drains_of(&route.bucket).await.unwrap().remove(0);
    m.drop_physical(&route.bucket, &near).await.unwrap();
    assert_eq!(
        reread(&f, &route).await.draining,
        std::slice::from_ref(&near),
        "nothing is dropped before it was proven"
    );
    assert!(m.prove_drain(&drain).await.unwrap());
    assert!(!m.prove_drain(&drain).await.unwrap());
    let now = reread(&f, &route).await;
    assert!(now.draining.is_empty() && now.physical_on(&near).is_none());
    let again = change(&now, &[&home, &far, &near], &[]);
    assert!(matches!(m.change_placement(&again).await, Err(StoreError::Conflict(_))), "it is being dropped");
    assert!(m.doubt_drain(&drain).await.unwrap());
    assert_eq!(m.drains_of(&route.bucket).await.unwrap()[0].proven_at, None);
    assert!(m.prove_drain(&drain).await.unwrap());
    m.drop_physical(&route.bucket, &near).await.unwrap();
    assert!(m.drains_of(&route.bucket).await.unwrap().is_empty() && !m.doubt_drain(&drain).await.unwrap());
    let report = m.drains(Some(&route.bucket), Some(&near), None, 10).await.unwrap().rows.remove(0);
    assert_eq!(report.state, DrainState::Gone);
    assert!(report.proven_at.is_some() && report.ended_at.is_some());
    m.change_placement(&again).await.unwrap();
    m.change_placement(&change(&reread(&f, &route).await, &[&home, &near, &far], &[])).await.unwrap();
    assert_eq!(reread(&f, &route).await.placement, [home, near, far], "and back, in another order");
}

pub(super) async fn a_drain_is_called_off(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = f.bucket(&tenant, "photos").await;
    let (home, near) = (route.placement[0].clone(), route.placement[1].clone());
    m.change_placement(&change(&route, &[&home], &[&near])).await.unwrap();
    let drained = reread(&f, &route).await;
    m.change_placement(&change(&drained, &[&home, &near], &[])).await.unwrap();
    let now = reread(&f, &route).await;
    assert_eq!((&now.placement, &now.physical), (&route.placement, &route.physical));
    let report = m.drains(None, None, None, 10).await.unwrap().rows.remove(0);
    assert_eq!((report.state, report.proven_at), (DrainState::CalledOff, None));
    assert!(!m.prove_drain(&report).await.unwrap(), "too late");
    assert_eq!(m.mappings(&route.bucket).await.unwrap()[1].state, MappingState::Active);

    m.change_placement(&change(&now, &[&home], &[&near])).await.unwrap();
    m.begin_delete_bucket(&route.bucket).await.unwrap();
    m.finish_delete_bucket(&route.bucket).await.unwrap();
    assert!(m.open_drains(in_a_minute(), 10).await.unwrap().is_empty(), "a deleted bucket is emptied anyway");
    assert_eq!(m.retiring_buckets(10).await.unwrap()[0].physical.len(), 1);
    m.drop_physical(&route.bucket, &near).await.unwrap();
    assert_eq!(
        m.drains(None, None, None, 1).await.unwrap().rows[0].state,
        DrainState::Gone,
        "the report outlives the bucket"
    );
}

pub(super) async fn bad_placements_are_refused(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let (far, route) = (f.backend("us-iad").await, f.bucket(&tenant, "photos").await);
    let (home, near) = (route.placement[0].clone(), route.placement[1].clone());
    let unknown = BackendId::parse("mars").unwrap();
    for bad in [
        change(&route, &[&near, &home], &[]),
        change(&route, &[&home], &[]),
        change(&route, &[&home, &near], &[&near]),
        change(&route, &[&home, &near, &unknown], &[]),
        change(&route, &[&home, &near, &near], &[]),
        PlacementChange { replica_count: 2, ..change(&route, &[&home], &[&near]) },
        PlacementChange { replica_count: 0, ..change(&route, &[&home], &[&near]) },
    ] {
        assert!(matches!(m.change_placement(&bad).await, Err(StoreError::Invalid(_))), "{bad:?}");
    }
    m.change_placement(&change(&route, &[&home, &near, &far], &[])).await.unwrap();
    let stale = m.change_placement(&change(&route, &[&home, &near, &far], &[])).await;
    assert!(matches!(stale, Err(StoreError::Conflict(_))), "decided on what is no more");
    let now = reread(&f, &route).await;
    m.retire_backend(&far).await.unwrap();
    m.change_placement(&change(&now, &[&home, &far, &near], &[])).await.unwrap();
    m.change_placement(&change(&reread(&f, &route).await, &[&home, &near], &[&far])).await.unwrap();
    let drain = m.drains_of(&route.bucket).await.unwrap().remove(0);
    assert!(m.prove_drain(&drain).await.unwrap());
    m.drop_physical(&route.bucket, &far).await.unwrap();
    let retired = m.change_placement(&change(&reread(&f, &route).await, &[&home, &near, &far], &[])).await;
    assert!(matches!(retired, Err(StoreError::Invalid(_))), "{retired:?}");
    let new = super::new_bucket(&tenant, "other", &[home, far]);
    assert!(matches!(m.begin_create_bucket(&new).await, Err(StoreError::Invalid(_))));
}

pub(super) async fn reviews_come_due_and_end(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = f.bucket(&tenant, "photos").await;
    let (home, near) = (route.placement[0].clone(), route.placement[1].clone());
    assert!(m.buckets_to_review(10).await.unwrap().is_empty());
    m.set_tenant_policy(&tenant.id, &ResidencyPolicy::default()).await.unwrap();
    let (bucket, due) = m.buckets_to_review(10).await.unwrap().remove(0);
    assert_eq!(bucket, route.bucket);
    m.reviewed(&route, due - 1, true).await.unwrap();
    assert_eq!(m.buckets_to_review(10).await.unwrap().len(), 1, "due again since");
    assert_eq!(m.homes_to_leave(None, 10).await.unwrap()[0].home, home);
    m.reviewed(&route, due, false).await.unwrap();
    assert!(m.buckets_to_review(10).await.unwrap().is_empty() && m.homes_to_leave(None, 10).await.unwrap().is_empty());
    m.set_bucket_policy(&route.bucket, &ResidencyPolicy::default()).await.unwrap();
    let due = m.buckets_to_review(10).await.unwrap()[0].1;
    m.reviewed(&route, due, false).await.unwrap();

    assert_eq!(m.retirements().await.unwrap(), []);
    assert!(matches!(m.retire_backend(&BackendId::parse("mars").unwrap()).await, Err(StoreError::NotFound)));
    m.retire_backend(&near).await.unwrap();
    m.retire_backend(&near).await.unwrap();
    let Retirement { backend, is_used, .. } = m.retirements().await.unwrap().remove(0);
    assert_eq!((&backend, is_used), (&near, true));
    assert_eq!(m.backend_use(&near).await.unwrap(), BackendUse { replica: 1, ..BackendUse::default() });
    assert_eq!(m.backend_use(&home).await.unwrap(), BackendUse { home: 1, ..BackendUse::default() });
    let due = m.buckets_to_review(10).await.unwrap()[0].1;
    m.change_placement(&change(&route, &[&home], &[&near])).await.unwrap();
    m.reviewed(&route, due, false).await.unwrap();
    assert_eq!(m.backend_use(&near).await.unwrap(), BackendUse { draining: 1, ..BackendUse::default() });
    let drain = m.drains_of(&route.bucket).await.unwrap().remove(0);
    m.prove_drain(&drain).await.unwrap();
    assert!(matches!(m.delete_backend(&near).await, Err(StoreError::Conflict(_))), "not before it was dropped");
    m.drop_physical(&route.bucket, &near).await.unwrap();
    assert!(!m.retirements().await.unwrap()[0].is_used, "retired");
    m.unretire_backend(&near).await.unwrap();
    assert!(matches!(m.unretire_backend(&near).await, Err(StoreError::NotFound)));
    m.retire_backend(&near).await.unwrap();
    m.delete_backend(&near).await.unwrap();
    assert_eq!(m.retirements().await.unwrap(), []);
}

pub(super) async fn what_is_kept_of_a_stranded_key_keeps_its_backend(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let (far, route) = (f.backend("us-iad").await, f.bucket(&tenant, "photos").await);
    let promotion = m.begin_promotion(&route.bucket, &route.placement[1], 1, true).await.unwrap();
    m.strand_keys(&promotion, &[(object("a"), None), (object("b"), None)]).await.unwrap();
    m.retire_backend(&far).await.unwrap();
    assert!(!m.retirements().await.unwrap()[0].is_used);
    let stranded = m.stranded_of(&route.bucket, None, 10).await.unwrap();
    let physical = PhysicalBucket::parse("s3gw-0123-aside").unwrap();
    let kept = Kept { backend: far.clone(), physical, etag: "e".into(), size: 7 };
    for row in &stranded {
        assert!(m.end_stranded(row, Some(&kept)).await.unwrap());
    }
    for row in &stranded {
        assert!(m.retirements().await.unwrap()[0].is_used, "its retirement is not done");
        assert_eq!(m.backend_use(&far).await.unwrap(), BackendUse { aside: 1, ..BackendUse::default() });
        let refused = m.delete_backend(&far).await;
        assert!(matches!(refused, Err(StoreError::Conflict(what)) if what.contains("stranded key")), "{refused:?}");
        m.drop_stranded(&row.id).await.unwrap();
    }
    assert!(!m.retirements().await.unwrap()[0].is_used);
    m.delete_backend(&far).await.unwrap();
}

pub(super) async fn what_is_kept_of_a_stranded_key_holds_the_proof_of_its_drain_up(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let (route, other) = (f.bucket(&tenant, "photos").await, f.bucket(&tenant, "other").await);
    let (home, near) = (&route.placement[0], &route.placement[1]);
    let kept = |backend: &BackendId| {
        let physical = PhysicalBucket::parse("s3gw-0123-aside").unwrap();
        Kept { backend: backend.clone(), physical, etag: "e".into(), size: 7 }
    };
    for route in [&route, &other] {
        let promotion = m.begin_promotion(&route.bucket, near, 1, true).await.unwrap();
        m.strand_keys(&promotion, &[(object("a"), None), (object("b"), None)]).await.unwrap();
        m.fail_promotion(&promotion, "no").await.unwrap();
    }
    let [a, b] = &m.stranded_of(&route.bucket, None, 10).await.unwrap()[..] else { panic!() };
    let elsewhere = m.stranded_of(&other.bucket, None, 1).await.unwrap().remove(0);
    for (row, on) in [(a, near), (b, home), (&elsewhere, near)] {
        assert!(m.end_stranded(row, Some(&kept(on))).await.unwrap());
    }
    m.change_placement(&change(&route, &[home], &[near])).await.unwrap();
    let drain = m.drains_of(&route.bucket).await.unwrap().remove(0);
    assert_eq!(m.count_aside(&route.bucket, near).await.unwrap(), 1);
    assert!(!m.prove_drain(&drain).await.unwrap());
    assert_eq!(m.drains_of(&route.bucket).await.unwrap()[0].state, DrainState::Draining);
    m.drop_stranded(&a.id).await.unwrap();
    assert_eq!(m.count_aside(&route.bucket, near).await.unwrap(), 0);
    assert!(m.prove_drain(&drain).await.unwrap());
}

pub(super) async fn an_adopted_bucket_is_given_back_as_it_was(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let (home, near) = (f.backend("fi-hel").await, f.backend("de-fra").await);
    let adoption = Adoption {
        tenant: tenant.id.clone(),
        name: LogicalBucket::parse("old").unwrap(),
        backend: home.clone(),
        physical: PhysicalBucket::parse("legacy").unwrap(),
        stays: true,
        versioning: Versioning::Enabled,
    };
    let route = m.adopt_bucket(&adoption).await.unwrap();
    assert_eq!((&route.home, &route.placement, route.replica_count), (&home, &vec![home.clone()], 1));
    assert_eq!((route.physical_on(&home).unwrap().for_upstream(), route.versioning), ("legacy", Versioning::Enabled));
    assert!(route.unwalked && m.route(&tenant.id, &adoption.name).await.unwrap().is_some(), "served at once");
    assert_eq!(m.walks_of(&route.bucket, 10).await.unwrap().len(), 1);
    assert!(matches!(m.adopt_bucket(&adoption).await, Err(StoreError::Conflict(_))), "the name");
    let other = Adoption { name: LogicalBucket::parse("other").unwrap(), ..adoption.clone() };
    assert!(matches!(m.adopt_bucket(&other).await, Err(StoreError::Conflict(_))), "the physical bucket");
    assert_eq!(m.note_walked(10).await.unwrap(), 0, "nothing was walked over");

    assert!(m.is_adopted(&route.bucket, &home).await.unwrap());
    m.change_placement(&change(&route, &[&home, &near], &[])).await.unwrap();
    assert!(!m.is_adopted(&route.bucket, &near).await.unwrap());
    m.begin_delete_bucket(&route.bucket).await.unwrap();
    m.finish_delete_bucket(&route.bucket).await.unwrap();
    let left = m.retiring_buckets(10).await.unwrap();
    assert_eq!(
        left[0].physical.iter().map(|(id, _)| id).collect::<Vec<_>>(),
        [&near],
        "the adopted one is nobody's now"
    );
    let again = m.adopt_bucket(&Adoption { stays: false, ..adoption }).await.unwrap();
    assert!(!m.is_adopted(&again.bucket, &home).await.unwrap());
}
