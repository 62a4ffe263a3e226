//! Promotions step by step, the views that they wait for, and stranded keys.
use super::{Fixture, created, in_a_minute, new_bucket, object};
use crate::{
    Change, Clocks, Conductor, Deletion, DirtyKey, DrainReason, Kept, MergeWriting, Merging, Millis, ObjectCopy,
    PlacementChange, PromotionState, Route, StoreError, StrandedCount, StrandedState, Writes,
};
use async_trait::async_trait;
use s3gateway_config::BackendId;
use s3gateway_s3::{ObjectKey, PhysicalBucket, VersionId, Versioning};
use std::sync::Arc;
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(60);

fn near(route: &Route) -> BackendId {
    route.placement[1].clone()
}

fn dirty(route: &Route, key: &str) -> DirtyKey {
    DirtyKey { bucket: route.bucket.clone(), key: object(key) }
}

fn verified(backend: &BackendId, etag: &str) -> ObjectCopy {
    let (etag, home_etag) = (etag.to_owned(), etag.to_owned());
    let verified_how = "etag".to_owned();
    ObjectCopy { backend: backend.clone(), etag, home_etag, size: 1, verified_how, verified_at: in_a_minute() }
}

async fn read(f: &Fixture, route: &Route) -> Route {
    f.metadata.route_by_id(&route.bucket).await.unwrap().unwrap()
}

pub(super) async fn a_promotion_goes_step_by_step(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = f.bucket(&tenant, "photos").await;
    let begun = m.begin_promotion(&route.bucket, &near(&route), 1, false).await.unwrap();
    assert_eq!((begun.state, &begun.source, begun.epoch), (PromotionState::Preparing, &route.home, 1));
    let again = m.begin_promotion(&route.bucket, &near(&route), 1, true).await;
    assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
    assert!(matches!(m.move_home(&begun).await, Err(StoreError::Invalid(_))), "writes are still taken");
    assert_eq!(read(&f, &route).await.writes, Writes::Taken);

    let fenced = m.fence_bucket(&begun).await.unwrap();
    assert_eq!((fenced.state, read(&f, &route).await.writes), (PromotionState::Fencing, Writes::Stopped));
    let told = m.changes_since(fenced.fence - 1, 10).await.unwrap();
    assert_eq!(told, [(fenced.fence, Change::Bucket(tenant.id.clone(), "photos".into()))]);
    assert_eq!(m.fence_bucket(&begun).await.unwrap(), fenced, "done already");
    assert!(matches!(m.begin_delete_bucket(&route.bucket).await, Err(StoreError::Busy)));
    assert!(m.epoch_stands(&route.bucket, 1).await.unwrap(), "workers go on");
    let lifted = m.lift_fence(&fenced, "in flight").await.unwrap();
    assert_eq!((lifted.state, lifted.detail.as_str()), (PromotionState::Preparing, "in flight"));
    assert_eq!(read(&f, &route).await.writes, Writes::Taken);

    let again = m.fence_bucket(&lifted).await.unwrap();
    assert!(matches!(m.move_home(&fenced).await, Err(StoreError::Invalid(_))), "that fence was lifted");
    let places = [(near(&route), "place".to_owned())];
    m.put_upload_places(&route.bucket, &object("k"), &route.home, "upload", &places).await.unwrap();
    let moved = m.move_home(&again).await.unwrap();
    let open = m.open_places(0, 0, 10).await.unwrap();
    assert!(matches!(&open[..], [lost] if lost.upload_id == "upload"), "it is ended at once: {open:?}");
    let now = read(&f, &route).await;
    assert_eq!((&now.home, now.epoch, now.writes), (&near(&route), 2, Writes::Stopped));
    assert_eq!(now.placement, [near(&route), route.home.clone()], "home first");
    assert!(moved.fence > fenced.fence);
    let late = m.strand_keys(&again, &[(object("k"), None)]).await;
    assert!(matches!(late, Err(StoreError::Conflict(_))), "by a worker that stood still: {late:?}");
    assert!(!m.epoch_stands(&route.bucket, 1).await.unwrap() && m.epoch_stands(&route.bucket, 2).await.unwrap());
    assert!(matches!(m.fail_promotion(&fenced, "too late").await, Err(StoreError::Invalid(_))), "it has moved");
    let done = m.finish_promotion(&moved, "all is well").await.unwrap();
    assert_eq!((done.state, read(&f, &route).await.writes), (PromotionState::Done, Writes::Taken));
    assert!(done.ended_at > 0 && m.running_promotions(10).await.unwrap().is_empty());
    assert_eq!(m.promotions_of(&route.bucket, 10).await.unwrap(), [done]);
    m.begin_promotion(&route.bucket, &route.home, 2, false).await.unwrap();
}

pub(super) async fn a_replica_that_becomes_the_home_is_not_drained(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = f.bucket(&tenant, "photos").await;
    let (near, far) = (near(&route), f.backend("us-iad").await);
    let drain = async || {
        let seen = &read(&f, &route).await;
        let (placement, replica_count) = (vec![route.home.clone(), far.clone()], seen.replica_count);
        let drained = vec![(near.clone(), DrainReason::Policy, String::new())];
        m.change_placement(&PlacementChange { seen, placement, replica_count, locations: None, drained }).await
    };
    let fenced = m.fence_bucket(&m.begin_promotion(&route.bucket, &near, 1, true).await.unwrap()).await.unwrap();
    let refused = drain().await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "writes are stopped: {refused:?}");
    m.lift_fence(&fenced, "in flight").await.unwrap();
    drain().await.unwrap();
    let [ended] = &m.promotions_of(&route.bucket, 10).await.unwrap()[..] else { panic!() };
    assert_eq!((ended.state, ended.detail.as_str()), (PromotionState::Failed, "its target leaves the placement"));
    assert!(m.begin_promotion(&route.bucket, &near, 1, true).await.is_err(), "it is no replica any more");
    assert_eq!(read(&f, &route).await.writes, Writes::Taken);
}

pub(super) async fn a_promotion_that_fails_leaves_the_home(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = f.bucket(&tenant, "photos").await;
    for (target, epoch) in [(route.home.clone(), 1), (near(&route), 2), (BackendId::parse("nowhere").unwrap(), 1)] {
        let refused = m.begin_promotion(&route.bucket, &target, epoch, false).await;
        assert!(matches!(refused, Err(StoreError::Invalid(_))), "{target} {epoch}: {refused:?}");
    }
    let begun = m.begin_promotion(&route.bucket, &near(&route), 1, true).await.unwrap();
    assert!(m.claim_promotion(&begun.id, 0, 7).await.unwrap());
    assert!(!m.claim_promotion(&begun.id, 0, 8).await.unwrap(), "another was faster");
    let fenced = m.fence_bucket(&begun).await.unwrap();
    assert_eq!(read(&f, &route).await.writes, Writes::Fenced, "the home is away");
    assert!(!m.epoch_stands(&route.bucket, 1).await.unwrap(), "workers stop, too");
    let failed = m.fail_promotion(&fenced, "no").await.unwrap();
    assert_eq!((failed.state, failed.detail.as_str()), (PromotionState::Failed, "no"));
    let now = read(&f, &route).await;
    assert_eq!((now.home, now.epoch, now.writes), (route.home.clone(), 1, Writes::Taken));
    assert!(!m.claim_promotion(&begun.id, 7, 9).await.unwrap(), "it is over");

    assert_eq!(m.promote_after(&route.bucket).await.unwrap(), None);
    m.set_promote_after(&route.bucket, Some(LEASE)).await.unwrap();
    assert_eq!(m.promote_after(&route.bucket).await.unwrap(), Some(LEASE));
    assert_eq!(m.self_promoting_buckets().await.unwrap(), [(route.bucket.clone(), LEASE)]);
    m.set_promote_after(&route.bucket, None).await.unwrap();
    assert!(m.self_promoting_buckets().await.unwrap().is_empty());
}

pub(super) async fn a_bucket_that_keeps_versions_moves_with_them(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = f.bucket(&tenant, "photos").await;
    let (bucket, near) = (&route.bucket, &near(&route));
    m.set_versioning(bucket, 1, Versioning::Enabled).await.unwrap();
    m.set_versioning(bucket, 1, Versioning::Suspended).await.unwrap();

    let begun = m.begin_promotion(bucket, near, 1, false).await.unwrap();
    m.set_versioning(bucket, 1, Versioning::Suspended).await.unwrap();
    let changed = m.set_versioning(bucket, 1, Versioning::Enabled).await;
    assert!(matches!(changed, Err(StoreError::Conflict(_))), "{changed:?}");
    let fenced = m.fence_bucket(&begun).await.unwrap();
    assert!(!read(&f, &route).await.has_moved_versions);
    let moved = m.move_home(&fenced).await.unwrap();
    m.finish_promotion(&moved, "").await.unwrap();
    let now = read(&f, &route).await;
    assert!(now.has_moved_versions && now.home == *near && now.versioning == Versioning::Suspended);
    let stale = m.set_versioning(bucket, 1, Versioning::Enabled).await;
    assert!(matches!(stale, Err(StoreError::Conflict(_))), "its home has not been told: {stale:?}");
    let begun = m.begin_promotion(bucket, &route.home, 2, true).await.unwrap();
    let moved = m.move_home(&m.fence_bucket(&begun).await.unwrap()).await.unwrap();
    m.finish_promotion(&moved, "").await.unwrap();
    let now = read(&f, &route).await;
    assert_eq!((now.epoch, now.versioning), (3, Versioning::Enabled), "by force");
    m.set_versioning(bucket, 3, Versioning::Suspended).await.unwrap();

    // One that has never kept any has none that could have moved.
    let plain = f.bucket(&tenant, "plain").await;
    let begun = m.begin_promotion(&plain.bucket, near, 1, false).await.unwrap();
    m.move_home(&m.fence_bucket(&begun).await.unwrap()).await.unwrap();
    assert!(!read(&f, &plain).await.has_moved_versions);
}

pub(super) async fn views_hold_a_change_up_until_they_know_it_or_run_out(f: Fixture) {
    let m = &f.metadata;
    let behind = async |head| -> Vec<String> {
        m.views_behind(head).await.unwrap().into_iter().map(|(viewer, _)| viewer).collect()
    };
    assert!(behind(5).await.is_empty());
    m.note_view("a", 4, LEASE, LEASE).await.unwrap();
    m.note_view("b", 5, LEASE, LEASE).await.unwrap();
    m.note_view("c", 1, Duration::from_secs(1), LEASE).await.unwrap();
    assert_eq!(behind(5).await, ["a", "c"]);
    m.note_view("a", 5, LEASE, LEASE).await.unwrap();
    assert_eq!(behind(5).await, ["c"], "it lives half of its lease longer");
    super::until("the lease of c runs out", || async { behind(5).await.is_empty() }).await;
    assert_eq!(behind(6).await, ["a", "b"]);
}

pub(super) async fn stranded_keys_are_listed_until_they_are_settled(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = f.bucket(&tenant, "photos").await;
    let promotion = m.begin_promotion(&route.bucket, &near(&route), 1, true).await.unwrap();
    let (a, b) = (object("a"), object("b/ä\u{0}"));
    let newest = VersionId::parse("v7").unwrap();
    for _ in 0..2 {
        m.strand_keys(&promotion, &[(a.clone(), None), (b.clone(), Some(newest.clone()))]).await.unwrap();
    }
    assert!(read(&f, &route).await.has_stranded);
    let all = m.stranded_of(&route.bucket, None, 10).await.unwrap();
    assert_eq!(all.len(), 2, "listing twice is once");
    assert_eq!(m.count_stranded().await.unwrap(), StrandedCount { waiting: 2, kept: 0 });
    assert_eq!(m.count_running_promotions().await.unwrap(), 1);
    assert_eq!(m.stranded_of(&route.bucket, Some(&all[0].id), 10).await.unwrap(), all[1..]);
    let state = async |key| m.stranded(&route.bucket, key).await.unwrap().pop().map(|row| row.state);
    m.overwrite_stranded(&route.bucket, &b).await.unwrap();
    assert_eq!((state(&a).await, state(&b).await), (Some(StrandedState::Open), Some(StrandedState::Overwritten)));
    assert_eq!(m.stranded(&route.bucket, &b).await.unwrap()[0].newest, Some(newest.clone()));
    let merging = async || m.stranded(&route.bucket, &b).await.unwrap().remove(0).merging;
    let former = [newest.clone(), VersionId::null()];
    let (id, since) = (&all[1].id, [VersionId::parse("v8").unwrap()]);
    assert!(!m.begin_merge_writing(id, &former, &since).await.unwrap(), "nobody has begun");
    m.begin_merging(id).await.unwrap();
    assert_eq!((state(&b).await, merging().await), (Some(StrandedState::Open), Some(Merging::Begun)));
    m.overwrite_stranded(&route.bucket, &b).await.unwrap();
    assert_eq!(state(&b).await, Some(StrandedState::Open), "no client's write is newer");
    assert!(m.begin_merge_writing(id, &former, &since).await.unwrap());
    assert!(!m.begin_merge_writing(id, &[], &[]).await.unwrap(), "another was faster");
    m.begin_merging(id).await.unwrap();
    let mut writing = MergeWriting { former: former.to_vec(), since: since.to_vec(), is_given_up: false };
    assert_eq!(merging().await, Some(Merging::Writing(writing.clone())));
    m.give_up_stranded(id).await.unwrap();
    m.give_up_stranded(id).await.unwrap();
    writing.is_given_up = true;
    assert_eq!(merging().await, Some(Merging::Writing(writing)), "a worker ends it");
    assert_eq!(m.stranded_waiting("", 1).await.unwrap(), (vec![dirty(&route, "a")], Some(all[0].id.clone())));
    assert_eq!(m.stranded_waiting(id, 9).await.unwrap(), (vec![], None));
    assert_eq!(m.witness(&all[0]).await.unwrap(), None);
    let refused = m.set_versioning(&route.bucket, 1, Versioning::Enabled).await;
    assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");

    let before = m.change_head().await.unwrap();
    let physical = PhysicalBucket::parse("s3gw-0123-aside").unwrap();
    let kept = Kept { backend: near(&route), physical, etag: "e".into(), size: 7 };
    m.begin_keeping(&all[1].id, &kept).await.unwrap();
    let begun = m.stranded(&route.bucket, &b).await.unwrap().remove(0);
    assert_eq!((&begun.state, begun.aside()), (&StrandedState::Open, Some(&kept)), "not settled yet");
    assert!(m.is_awaited(&route.bucket, &route.home).await.unwrap());
    assert!(!m.is_awaited(&route.bucket, &near(&route)).await.unwrap());
    assert!(m.end_stranded(&begun, Some(&kept)).await.unwrap());
    let settled = m.stranded_by_id(&all[1].id).await.unwrap();
    assert_eq!((settled.aside(), &settled.state), (Some(&kept), &StrandedState::Kept(kept.clone())));
    assert_eq!(state(&b).await, None, "compared");
    assert_eq!(m.count_stranded().await.unwrap(), StrandedCount { waiting: 1, kept: 1 });
    assert_eq!(m.change_head().await.unwrap(), before, "another is open");
    m.give_up_stranded(&all[0].id).await.unwrap();
    m.drop_stranded(&all[0].id).await.unwrap();
    assert!(!read(&f, &route).await.has_stranded);
    assert_eq!(m.change_head().await.unwrap(), before + 1, "proxies need not ask any more");
    assert!(matches!(m.stranded_by_id(&all[0].id).await, Err(StoreError::NotFound)));
    assert!(!m.is_awaited(&route.bucket, &route.home).await.unwrap());

    // What stands aside is nowhere else, and its row goes with the bucket's.
    m.fail_promotion(&promotion, "a test").await.unwrap();
    assert_eq!(m.begin_delete_bucket(&route.bucket).await.unwrap(), Deletion::Stranded);
    assert!(m.route(&tenant.id, &route.name).await.unwrap().is_some(), "in service");
    m.drop_stranded(&all[1].id).await.unwrap();
    assert_eq!(m.begin_delete_bucket(&route.bucket).await.unwrap(), Deletion::Begun { epoch: 1 });
}

/// A worker whose clock is four minutes slow.
#[derive(Debug)]
struct Slow;

const DATABASE_TIME: Millis = 1_800_000_000_000;

#[async_trait]
impl Conductor for Slow {
    async fn turn(&self) -> Result<Box<dyn Send>, StoreError> {
        Ok(Box::new(()))
    }
    fn clocks(&self) -> Clocks {
        Clocks { database: DATABASE_TIME, process: DATABASE_TIME - 240_000 }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_stranded_by_the_clock_that_all_share() {
    let f = Fixture::sqlite().await.unwrap();
    let route = f.bucket(&f.tenant("acme").await, "photos").await;
    let begun = f.metadata.begin_promotion(&route.bucket, &near(&route), 1, true).await.unwrap();
    let slow = f.metadata.conducted(Arc::new(Slow));
    slow.strand_keys(&begun, &[(object("k"), None)]).await.unwrap();
    let row = f.metadata.stranded(&route.bucket, &object("k")).await.unwrap().remove(0);
    assert_eq!(row.stranded_at, DATABASE_TIME);
}

pub(super) async fn a_key_that_is_brought_home_is_noted_as_what_nobody_writes(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = f.bucket(&tenant, "photos").await;
    let (b, promotion) = (&route.bucket, m.begin_promotion(&route.bucket, &near(&route), 1, true).await.unwrap());
    let keys = ["k", "overwritten"].map(object);
    m.strand_keys(&promotion, &keys.clone().map(|key| (key, None))).await.unwrap();
    let now = async |key: &ObjectKey| m.stranded(b, key).await.unwrap().remove(0);
    let [k, overwritten] = &keys;
    let before = now(overwritten).await;
    m.overwrite_stranded(b, overwritten).await.unwrap();
    assert!(!m.begin_bringing(&before, "!1").await.unwrap(), "a client was faster");
    assert!(!m.begin_bringing(&now(overwritten).await, "!1").await.unwrap());
    assert!(!m.end_stranded(&before, None).await.unwrap(), "it is another by now");
    assert!(m.end_stranded(&now(overwritten).await, None).await.unwrap());

    let before = now(k).await;
    assert!(!before.is_changing());
    assert!(m.begin_bringing(&before, "!1").await.unwrap());
    let first = now(k).await;
    assert!(first.is_changing() && first.merging == Some(Merging::Begun) && first.state == StrandedState::Open);
    m.overwrite_stranded(b, k).await.unwrap();
    assert_eq!(now(k).await, first, "no client's write is newer");
    assert!(matches!(m.give_up_stranded(&first.id).await, Err(StoreError::Busy)));
    // Another worker goes on, and the first was only slow.
    assert!(m.begin_bringing(&first, "!2").await.unwrap());
    let second = now(k).await;
    assert!(!m.begin_bringing(&before, "!1").await.unwrap());
    m.end_bringing(&before, "!1").await.unwrap();
    assert_eq!(now(k).await, second, "the note is the other's");
    for seen in [&before, &first] {
        assert!(!m.end_stranded(seen, None).await.unwrap(), "{seen:?}");
    }
    // A third finds the former home away.
    m.end_bringing(&second, "!3").await.unwrap();
    assert_eq!(now(k).await, before);
    assert!(m.begin_bringing(&before, "!4").await.unwrap());
    assert!(m.end_stranded(&now(k).await, None).await.unwrap());
    assert!(!read(&f, &route).await.has_stranded);
}

pub(super) async fn what_is_given_up_is_asked_for_where_else_it_is_known_to_be(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let mut placement = Vec::new();
    for id in ["fi-hel", "de-fra", "us-iad", "se-sto"] {
        placement.push(f.backend(id).await);
    }
    let [home, near, far, last] = &placement[..] else { panic!() };
    let in_service = async |name: &str| {
        let route = created(m.begin_create_bucket(&new_bucket(&tenant, name, &placement)).await.unwrap());
        m.activate_bucket(&route.bucket).await.unwrap();
        route
    };
    let copy = |backend: &BackendId, etag: &str, verified_at| ObjectCopy { verified_at, ..verified(backend, etag) };
    let stranded = async |route: &Route, key: &str, copies: &[ObjectCopy]| {
        m.record_copies(&route.bucket, &object(key), copies).await.unwrap();
        m.stranded(&route.bucket, &object(key)).await.unwrap().pop()
    };
    let move_home = async |route: &Route, keys: &[&str]| {
        let begun = m.begin_promotion(&route.bucket, near, 1, true).await.unwrap();
        let keys: Vec<_> = keys.iter().map(|key| (object(key), None)).collect();
        m.strand_keys(&begun, &keys).await.unwrap();
        let moved = m.move_home(&m.fence_bucket(&begun).await.unwrap()).await.unwrap();
        m.finish_promotion(&moved, "").await.unwrap();
    };

    let route = in_service("photos").await;
    let held = copy(home, "e", 9);
    let size = ObjectCopy { size: 2, ..copy(far, "e", 5) };
    let cases = [
        ("held", vec![held.clone(), copy(near, "d", 1), copy(far, "e", 5), copy(last, "c", 7)], vec![last, far]),
        ("even", vec![held.clone(), copy(near, "d", 1), copy(far, "e", 5), copy(last, "e", 5)], vec![last, far]),
        ("another-size", vec![held.clone(), copy(near, "e", 1), size], vec![far]),
        ("as-the-home", vec![held.clone(), copy(near, "e", 1), copy(far, "e", 5)], vec![]),
        ("home-begun", vec![held.clone(), copy(near, "e", 0), copy(far, "e", 5)], vec![far]),
        ("not-at-home", vec![held.clone(), copy(far, "e", 5)], vec![far]),
        ("begun", vec![held.clone(), copy(near, "d", 1), copy(far, "e", 0)], vec![]),
        ("nowhere-else", vec![held.clone(), copy(near, "d", 1)], vec![]),
        ("deleted", vec![copy(near, "d", 1), copy(far, "e", 5)], vec![]),
    ];
    let names: Vec<&str> = cases.iter().map(|(key, ..)| *key).chain(["suspect", "overwritten"]).collect();
    move_home(&route, &names).await;
    let physical = PhysicalBucket::parse("s3gw-0123-aside").unwrap();
    let kept = Kept { backend: near.clone(), physical, etag: "e".into(), size: 7 };
    for (key, copies, want) in cases {
        let row = stranded(&route, key, &copies).await.unwrap();
        assert!(m.was_home(&row).await.unwrap(), "{key}");
        m.begin_keeping(&row.id, &kept).await.unwrap();
        for place in want {
            m.give_up_stranded(&row.id).await.unwrap();
            let row = m.stranded_by_id(&row.id).await.unwrap();
            assert_eq!((&row.home, &row.state, row.aside()), (place, &StrandedState::Open, None), "{key}");
            assert!(!m.was_home(&row).await.unwrap(), "{key}");
        }
        m.give_up_stranded(&row.id).await.unwrap();
        assert!(matches!(m.stranded_by_id(&row.id).await, Err(StoreError::NotFound)), "{key}");
    }
    let elsewhere = [held.clone(), copy(near, "d", 1), copy(far, "e", 5)];
    let suspect = stranded(&route, "suspect", &elsewhere).await.unwrap();
    m.suspect_copy(&route.bucket, &suspect.key, far, "e").await.unwrap();
    let overwritten = stranded(&route, "overwritten", &elsewhere).await.unwrap();
    m.overwrite_stranded(&route.bucket, &overwritten.key).await.unwrap();
    let versioned = in_service("versioned").await;
    m.set_versioning(&versioned.bucket, 1, Versioning::Enabled).await.unwrap();
    move_home(&versioned, &["k"]).await;
    let versioned = stranded(&versioned, "k", &elsewhere).await.unwrap();
    for row in [suspect, overwritten, versioned] {
        m.give_up_stranded(&row.id).await.unwrap();
        assert!(matches!(m.stranded_by_id(&row.id).await, Err(StoreError::NotFound)), "{row:?}");
    }
}

pub(super) async fn what_a_replica_lacks_is_known_by_the_records(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = f.bucket(&tenant, "photos").await;
    let copy = |backend: &BackendId, etag: &str, home_etag: &str, verified_at| ObjectCopy {
        backend: backend.clone(),
        etag: etag.into(),
        home_etag: home_etag.into(),
        size: 1,
        verified_how: "etag".into(),
        verified_at,
    };
    let (home, other, at) = (route.home.clone(), near(&route), in_a_minute());
    for (key, copies) in [
        ("equal", vec![copy(&home, "e", "e", at), copy(&other, "e", "e", at)]),
        ("renamed", vec![copy(&home, "e", "e", at), copy(&other, "f", "e", at)]),
        ("pending", vec![copy(&home, "e", "e", at), copy(&other, "e", "e", 0)]),
        ("old", vec![copy(&home, "e", "e", at), copy(&other, "d", "d", at)]),
        ("alone", vec![copy(&home, "e", "e", at)]),
        ("elsewhere", vec![copy(&other, "e", "e", at)]),
    ] {
        m.record_copies(&route.bucket, &object(key), &copies).await.unwrap();
    }
    let names = |keys: Vec<ObjectKey>| keys.iter().map(|key| key.as_str().to_owned()).collect::<Vec<_>>();
    let (lacking, next) = m.keys_lacking(&route.bucket, &home, &other, None).await.unwrap();
    assert_eq!((names(lacking), next), (vec!["alone".into(), "old".into(), "pending".into()], None));
    let (lacking, _) = m.keys_lacking(&route.bucket, &home, &other, Some(&object("alone"))).await.unwrap();
    assert_eq!(names(lacking), ["old", "pending"]);
}

pub(super) async fn what_a_replica_lacks_is_read_in_pages(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = f.bucket(&tenant, "photos").await;
    let (home, other) = (route.home.clone(), near(&route));
    let of_keys: Vec<_> = (0..4100).map(|n| (dirty(&route, &format!("k{n:04}")), vec![verified(&home, "e")])).collect();
    m.record_all_copies(&of_keys).await.unwrap();
    let (mut lacking, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let (keys, next) = m.keys_lacking(&route.bucket, &home, &other, after.as_ref()).await.unwrap();
        lacking.extend(keys);
        pages += 1;
        after = next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(pages, 3);
    assert_eq!(lacking, of_keys.into_iter().map(|(dirty, _)| dirty.key).collect::<Vec<_>>());
}

/// What was compared before holds of all keys but those that workers have recorded since.
pub(super) async fn what_is_recorded_during_a_promotion_is_looked_at_again(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let route = f.bucket(&tenant, "photos").await;
    let (b, home, other) = (&route.bucket, route.home.clone(), near(&route));
    let record = async |key: &str, etags: &[(&BackendId, &str)]| {
        let copies: Vec<_> = etags.iter().map(|(id, etag)| verified(id, etag)).collect();
        m.record_copies(b, &object(key), &copies).await.unwrap();
    };
    let unequal = async || m.unequal_promotion_key(b, &home, &other).await.unwrap().map(|key| key.as_str().to_owned());
    record("before", &[(&home, "e")]).await;
    let promotion = m.begin_promotion(b, &other, route.epoch, false).await.unwrap();
    let settle = async |after: Option<&str>| {
        let next = m.settle_promotion_keys(&promotion, after.map(object).as_ref()).await.unwrap();
        next.map(|key| key.as_str().to_owned())
    };
    assert_eq!((unequal().await, settle(None).await), (None, None), "nothing was recorded since it began");
    record("equal", &[(&home, "e"), (&other, "e")]).await;
    m.put_all_copies(&[(dirty(&route, "added"), vec![verified(&home, "e")])]).await.unwrap();
    assert_eq!(unequal().await.as_deref(), Some("added"));
    record("added", &[]).await;
    m.note_promotion_keys(b, &[object("excused")]).await.unwrap();
    record("renamed", &[(&home, "e"), (&other, "f")]).await;
    record("too-few", &[(&home, "e")]).await;
    record("gone", &[]).await;
    record("elsewhere", &[(&other, "e")]).await;
    assert_eq!(unequal().await.as_deref(), Some("renamed"));
    assert_eq!(settle(None).await.as_deref(), Some("too-few"));
    assert_eq!(settle(Some("too-few")).await, None);
    record("renamed", &[(&home, "f"), (&other, "f")]).await;
    assert_eq!(unequal().await.as_deref(), Some("too-few"));
    record("too-few", &[]).await;
    assert_eq!(unequal().await, None, "deleted everywhere");
    record("equal", &[(&home, "e")]).await;
    assert_eq!(unequal().await.as_deref(), Some("equal"), "noted anew");
    m.put_all_copies(&[(dirty(&route, "equal"), vec![verified(&other, "e")])]).await.unwrap();
    assert_eq!(settle(None).await.as_deref(), Some("too-few"), "the last that was noted");
    assert_eq!(settle(None).await, None, "all that were noted are equal or gone");
    record("equal", &[(&home, "e")]).await;

    assert!(!m.forget_promotion_keys(b).await.unwrap());
    assert_eq!(unequal().await.as_deref(), Some("equal"), "the promotion runs");
    m.fail_promotion(&promotion, "a test").await.unwrap();
    assert!(!m.forget_promotion_keys(b).await.unwrap());
    record("equal", &[(&home, "e")]).await;
    assert_eq!(unequal().await, None);
}
