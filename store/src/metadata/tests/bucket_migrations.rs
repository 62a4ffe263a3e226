//! Migrations step by step, what they exclude, and what of the old home stays known.
use super::{Fixture, object};
use crate::{
    Adoption, Migration, MigrationState, NewMigration, ObjectCopy, PlacementChange, Promotion, PromotionState, Route,
    StoreError, Tenant, VersionCopy, WalkState,
};
use s3gateway_config::BackendId;
use s3gateway_s3::{LogicalBucket, PhysicalBucket, VersionId, Versioning};

async fn adopted(f: &Fixture, tenant: &Tenant, name: &str) -> Result<Route, StoreError> {
    let adoption = Adoption {
        tenant: tenant.id.clone(),
        name: LogicalBucket::parse(name).unwrap(),
        backend: f.backend("fi-hel").await,
        physical: PhysicalBucket::parse("legacy-photos").unwrap(),
        stays: true,
        versioning: Versioning::Never,
    };
    f.metadata.adopt_bucket(&adoption).await
}

fn to<'a>(seen: &'a Route, to: &BackendId) -> NewMigration<'a> {
    NewMigration { seen, to: to.clone(), drop_old: false, is_deep: false, asked_by: "127.0.0.1".to_owned() }
}

async fn read(f: &Fixture, route: &Route) -> Route {
    f.metadata.route_by_id(&route.bucket).await.unwrap().unwrap()
}

async fn again(f: &Fixture, migration: &Migration) -> Migration {
    f.metadata.migration(&migration.id).await.unwrap()
}

fn copy(backend: &BackendId, etag: &str) -> ObjectCopy {
    ObjectCopy {
        backend: backend.clone(),
        etag: etag.into(),
        home_etag: etag.into(),
        size: 1,
        verified_how: "etag".into(),
        verified_at: 1,
    }
}

fn is_in_the_way<T: std::fmt::Debug>(refused: Result<T, StoreError>, what: &str) {
    assert!(matches!(&refused, Err(StoreError::Conflict(text)) if text.contains(what)), "{what}: {refused:?}");
}

/// Cuts over as a promoter does.
async fn move_home(f: &Fixture, migration: &Migration) {
    let promotion = f.metadata.promote_migration(migration).await.unwrap();
    let moved = f.metadata.move_home(&f.metadata.fence_bucket(&promotion).await.unwrap()).await.unwrap();
    assert_eq!(f.metadata.finish_promotion(&moved, "").await.unwrap().state, PromotionState::Done);
}

pub(super) async fn a_bucket_gets_its_hashed_name_on_the_same_backend(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = adopted(&f, &tenant, "photos").await.unwrap();
    let (home, twin, near) = (route.home.clone(), route.home.twin(), f.backend("de-fra").await);
    let begun = m.begin_migration(&to(&route, &home)).await.unwrap();
    assert_eq!(
        (begun.state, &begun.source, &begun.target, &begun.former),
        (MigrationState::Filling, &home, &twin, &twin)
    );
    assert_eq!(read(&f, &route).await.arriving, None, "its physical bucket is still to be made");
    assert!(m.backends().await.unwrap().iter().all(|backend| !backend.id.is_twin()), "nobody chooses a twin");

    is_in_the_way(m.begin_migration(&to(&route, &near)).await, "migration");
    is_in_the_way(m.begin_promotion(&route.bucket, &twin, 1, false).await, "migration");
    is_in_the_way(m.begin_delete_bucket(&route.bucket).await, "migration");
    is_in_the_way(m.delete_backend(&home).await, "a bucket");

    assert!(m.claim_migration(&begun.id, 0, 7).await.unwrap() && !m.claim_migration(&begun.id, 0, 8).await.unwrap());
    is_in_the_way(m.fill_migration(&begun).await, "another change");
    m.rename_migration_target(&again(&f, &begun).await).await.unwrap();
    let renamed = again(&f, &begun).await;
    assert_ne!(renamed.target_physical, begun.target_physical);
    m.fill_migration(&renamed).await.unwrap();
    let filling = again(&f, &begun).await;
    assert_eq!(m.walk(filling.walk.as_ref().unwrap()).await.unwrap().state, WalkState::Waiting);
    let filled = read(&f, &route).await;
    assert_eq!(
        (&filled.arriving, &filled.placement),
        (&Some(twin.clone()), &route.placement),
        "it is no place of the bucket"
    );
    assert_eq!(filled.physical_on(&twin), Some(&renamed.target_physical));
    is_in_the_way(m.rename_migration_target(&filling).await, "another change");
    for name in ["a", "b"] {
        m.record_copies(&route.bucket, &object(name), &[copy(&home, "one"), copy(&twin, "one")]).await.unwrap();
    }

    move_home(&f, &filling).await;
    let moved = again(&f, &begun).await;
    let now = read(&f, &route).await;
    assert_eq!((&now.home, now.epoch, &now.arriving, &now.placement), (&home, 2, &None, &route.placement));
    assert_eq!(now.physical_on(&home), Some(&renamed.target_physical));
    assert!(
        !m.is_adopted(&route.bucket, &home).await.unwrap()
            && moved.state == MigrationState::Verifying
            && moved.moved_at > 0
    );
    is_in_the_way(adopted(&f, &tenant, "second").await, "that physical bucket");

    m.record_copies(&route.bucket, &object("a"), &[copy(&home, "two")]).await.unwrap();
    m.record_copies(&route.bucket, &object("b"), &[]).await.unwrap();
    assert_eq!(m.copies(&route.bucket, &object("a")).await.unwrap(), [copy(&home, "two")]);
    assert!(m.copies(&route.bucket, &object("b")).await.unwrap().is_empty(), "what is left behind is no copy");
    let left = m.copies_left(&moved, "a", "b").await.unwrap();
    assert_eq!(left.into_values().collect::<Vec<_>>(), vec![("one".to_owned(), 1); 2], "and stays known");

    m.drop_old_home(&moved).await.unwrap();
    let dropping = again(&f, &begun).await;
    is_in_the_way(m.end_migration(&moved, "").await, "another change");
    m.end_migration(&dropping, "dropped").await.unwrap();
    let done = again(&f, &begun).await;
    assert_eq!((done.state, done.detail.as_str()), (MigrationState::Done, "dropped"));
    assert!(done.ended_at > 0 && m.copies_left(&done, "a", "b").await.unwrap().is_empty());
    assert!(m.migrations_due(i64::MAX, 10).await.unwrap().is_empty());
    is_in_the_way(m.begin_migration(&to(&now, &home)).await, "hashed name");
    assert_eq!(
        adopted(&f, &tenant, "second").await.unwrap().physical_on(&home),
        route.physical_on(&home),
        "it is nobody's"
    );
}

fn version(backend: &BackendId, shown: &str, own: &str, position: i64) -> VersionCopy {
    VersionCopy {
        backend: backend.clone(),
        home_version: VersionId::parse(shown).unwrap(),
        version: VersionId::parse(own).unwrap(),
        position,
        is_marker: false,
        etag: "e".into(),
        home_etag: "e".into(),
        size: 1,
        home_modified: 5,
        verified_how: "etag".into(),
        verified_at: 9,
    }
}

/// What is recorded of the versions on a backend, as `KEY SHOWN=OWN`, with those that are gone.
async fn versions_on(f: &Fixture, route: &Route, backend: &BackendId) -> Vec<String> {
    let rows = f.metadata.version_copies_of_keys(&route.bucket, backend, "", "zz").await.unwrap();
    let shown = |key: &str, copy: &VersionCopy| {
        format!("{key} {}={}{}", copy.home_version, copy.version, if copy.is_gone() { " gone" } else { "" })
    };
    rows.iter().flat_map(|(key, copies)| copies.iter().map(move |copy| shown(key, copy))).collect()
}

pub(super) async fn versions_move_to_the_hashed_name(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = adopted(&f, &tenant, "photos").await.unwrap();
    let (bucket, home, twin) = (&route.bucket, route.home.clone(), route.home.twin());
    m.set_versioning(bucket, 1, Versioning::Enabled).await.unwrap();
    let begun = m.begin_migration(&to(&read(&f, &route).await, &home)).await.unwrap();
    m.fill_migration(&begun).await.unwrap();
    for (name, copy) in [("a", version(&twin, "null", "t1", 1)), ("a", version(&twin, "v2", "t2", 2))] {
        m.put_version_copy(bucket, &object(name), &copy).await.unwrap();
    }
    m.put_version_copy(bucket, &object("b"), &version(&twin, "v3", "t3", 1)).await.unwrap();
    let note = async |promotion: &Promotion| {
        let mut after = None;
        loop {
            after = m.note_versions_at_home(promotion, after.as_ref()).await.unwrap();
            if after.is_none() {
                return;
            }
        }
    };
    // The first attempt fails while its worker stands still.
    let failed = m.promote_migration(&again(&f, &begun).await).await.unwrap();
    note(&failed).await;
    assert_eq!(versions_on(&f, &route, &home).await, ["a null=t1", "a v2=t2", "b v3=t3"]);
    m.fail_promotion(&failed, "not yet").await.unwrap();
    m.refill_migration(&again(&f, &begun).await, "not yet").await.unwrap();
    m.delete_version_copy(bucket, &object("b"), &version(&twin, "v3", "t3", 1)).await.unwrap();
    m.put_version_copy(bucket, &object("a"), &version(&twin, "v2", "t4", 2)).await.unwrap();

    let promotion = m.promote_migration(&again(&f, &begun).await).await.unwrap();
    note(&promotion).await;
    // It goes on, wherever it stood.
    m.forget_versions_at_home(bucket, &home, &twin, None).await.unwrap();
    for late in [m.note_versions_at_home(&failed, None).await, m.settle_promotion_keys(&failed, None).await] {
        is_in_the_way(late, "later step");
    }
    assert_eq!(versions_on(&f, &route, &home).await, ["a null=t1", "a v2=t4"]);
    // What is recorded until writes are stopped follows.
    let gone = VersionCopy { verified_how: VersionCopy::GONE.into(), ..version(&twin, "null", "t1", 1) };
    m.put_version_copy(bucket, &object("a"), &gone).await.unwrap();
    m.put_version_copy(bucket, &object("c"), &version(&twin, "v5", "t5", 1)).await.unwrap();
    assert_eq!(m.settle_promotion_keys(&promotion, None).await.unwrap(), Some(object("c")));
    m.move_home(&m.fence_bucket(&promotion).await.unwrap()).await.unwrap();
    is_in_the_way(m.note_versions_at_home(&promotion, None).await, "later step");

    let now = read(&f, &route).await;
    assert!(now.has_moved_versions && now.home == home && now.physical_on(&home) == Some(&begun.target_physical));
    let want = ["a null=t1 gone", "a v2=t4", "c v5=t5"];
    assert_eq!(versions_on(&f, &route, &home).await, want, "the new bucket's ids are the home's");
    let own = m.own_version(bucket, &object("a"), &home, &VersionId::parse("v2").unwrap()).await.unwrap();
    assert_eq!(own, VersionId::parse("t4").ok());
    assert_eq!(versions_on(&f, &route, &twin).await, want, "and of the old one it is known which it had");
    m.cancel_migration(&begun.id, "kept").await.unwrap();
    assert_eq!((versions_on(&f, &route, &twin).await, versions_on(&f, &route, &home).await.len()), (vec![], 3));
    let now = read(&f, &route).await;
    is_in_the_way(m.begin_migration(&to(&now, &home)).await, "another home's id");
}

pub(super) async fn a_bucket_moves_to_another_backend(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = adopted(&f, &tenant, "photos").await.unwrap();
    let (home, near) = (route.home.clone(), f.backend("de-fra").await);
    let begun = m.begin_migration(&to(&route, &near)).await.unwrap();
    assert_eq!((&begun.target, &begun.former), (&near, &home));
    let seen = read(&f, &route).await;
    let placement = vec![home.clone(), near.clone()];
    let change = PlacementChange { seen: &seen, placement, replica_count: 1, locations: None, drained: Vec::new() };
    is_in_the_way(m.change_placement(&change).await, "migration");
    move_home(&f, &begun).await;
    let now = read(&f, &route).await;
    assert_eq!((&now.home, &now.placement, now.epoch), (&near, &vec![near.clone()], 2));
    assert_eq!(now.physical_on(&home), None, "nothing is done there any more");
    m.end_migration(&again(&f, &begun).await, "kept").await.unwrap();
    assert_eq!(m.migrations_of(&route.bucket, 10).await.unwrap().len(), 1);
}

pub(super) async fn a_migration_is_called_off(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = adopted(&f, &tenant, "photos").await.unwrap();
    let (home, twin) = (route.home.clone(), route.home.twin());
    let begun = m.begin_migration(&to(&route, &home)).await.unwrap();
    m.record_copies(&route.bucket, &object("a"), &[copy(&home, "one"), copy(&twin, "one")]).await.unwrap();
    let promotion = m.promote_migration(&begun).await.unwrap();
    assert_eq!(m.cancel_migration(&begun.id, "no").await.unwrap().state, MigrationState::Cancelling);
    assert_eq!(m.promotion(&promotion.id).await.unwrap().state, PromotionState::Failed);
    assert!(matches!(m.fence_bucket(&promotion).await, Err(StoreError::Invalid(_))), "the promoter comes too late");
    assert_eq!(read(&f, &route).await.arriving, None);
    m.end_migration(&again(&f, &begun).await, "no").await.unwrap();
    assert_eq!(again(&f, &begun).await.state, MigrationState::Cancelled);
    assert_eq!(m.copies(&route.bucket, &object("a")).await.unwrap(), [copy(&home, "one")]);
    is_in_the_way(m.cancel_migration(&begun.id, "no").await, "end");

    let second = m.begin_migration(&to(&route, &home)).await.unwrap();
    let promotion = m.promote_migration(&second).await.unwrap();
    let failed = m.fail_promotion(&promotion, "not yet").await.unwrap();
    m.refill_migration(&again(&f, &second).await, &failed.detail).await.unwrap();
    let promotion = m.promote_migration(&again(&f, &second).await).await.unwrap();
    let fenced = m.fence_bucket(&promotion).await.unwrap();
    is_in_the_way(m.cancel_migration(&second.id, "no").await, "cut over");
    let moved = m.move_home(&fenced).await.unwrap();
    m.finish_promotion(&moved, "").await.unwrap();
    let kept = m.cancel_migration(&second.id, "no").await.unwrap();
    assert_eq!(kept.state, MigrationState::Done, "the home has moved; what is left is kept");
    assert_eq!(read(&f, &route).await.physical_on(&home), Some(&second.target_physical));
}

pub(super) async fn what_cannot_be_migrated(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let (far, ours) = (f.backend("us-iad").await, f.bucket(&tenant, "ours").await);
    is_in_the_way(m.begin_migration(&to(&ours, &ours.home)).await, "hashed name");
    is_in_the_way(m.begin_migration(&to(&ours, &ours.placement[1])).await, "replica");
    let kept = m.begin_migration(&to(&ours, &far)).await;
    assert!(matches!(&kept, Err(StoreError::Invalid(why)) if why.starts_with("drop_old: ")), "{kept:?}");
    let route = adopted(&f, &tenant, "photos").await.unwrap();
    let stale = Route { epoch: 2, ..route.clone() };
    is_in_the_way(m.begin_migration(&to(&stale, &far)).await, "another change");
    m.retire_backend(&far).await.unwrap();
    assert!(matches!(m.begin_migration(&to(&route, &far)).await, Err(StoreError::Invalid(_))));
    m.set_versioning(&route.bucket, 1, Versioning::Suspended).await.unwrap();
    m.begin_migration(&to(&read(&f, &route).await, &route.home)).await.unwrap();
    m.begin_promotion(&ours.bucket, &ours.placement[1], 1, false).await.unwrap();
    let drop_old = NewMigration { drop_old: true, ..to(&ours, &ours.home) };
    is_in_the_way(m.begin_migration(&drop_old).await, "promotion");
}
