//! Walks: begun, shared, cut, guarded, paced and ended.
use super::{Fixture, in_a_minute, now, object, until};
use crate::{
    Admission, BucketId, DeleteGuard, FindingKind, Metadata, NewWalk, ObjectCopy, Route, Step, StoreError, Walk,
    WalkFinding, WalkKind, WalkShard, WalkState,
};
use s3gateway_config::BackendId;
use s3gateway_s3::Versioning;
use std::time::Duration;

const GUARD: DeleteGuard = DeleteGuard { percent: 10, at_least: 2 };

fn new(bucket: &BucketId, kind: WalkKind, rate: u32) -> NewWalk {
    NewWalk { bucket: bucket.clone(), kind, rate, reason: "a test".into() }
}

async fn route(f: &Fixture) -> Route {
    let tenant = f.tenant("acme").await;
    f.bucket(&tenant, "photos").await
}

/// A walk that has begun, cut at `bounds`.
async fn begun(m: &Metadata, bucket: &BucketId, bounds: &[&str], total: u64, rate: u32) -> Walk {
    let walk = m.begin_walk(new(bucket, WalkKind::Reconcile, rate)).await.unwrap();
    let claim = in_a_minute();
    assert!(m.claim_walk(&walk.id, walk.due_at, claim).await.unwrap());
    let bounds: Vec<String> = bounds.iter().map(|b| (*b).to_owned()).collect();
    assert!(m.cut_walk(&walk.id, claim, 1, &bounds, total, 0).await.unwrap());
    m.walk(&walk.id).await.unwrap()
}

async fn claimed(m: &Metadata) -> Vec<WalkShard> {
    let mut shards = m.free_shards(now(), 10, None).await.unwrap();
    for shard in &mut shards {
        assert!(m.claim_shard(shard, in_a_minute()).await.unwrap());
    }
    shards
}

fn step(walked_to: &str, is_last: bool) -> Step {
    Step { walked_to: walked_to.into(), is_last, done: 10, marked: 3, findings: Vec::new() }
}

fn finding(kind: FindingKind, key: &str) -> WalkFinding {
    WalkFinding { kind, key: object(key), backend: "de-fra".into(), detail: String::new(), found_at: 5 }
}

pub(super) async fn whoever_asks_before_it_begins_shares_a_walk(f: Fixture) {
    let (m, bucket) = (&f.metadata, route(&f).await.bucket);
    let first = m.begin_walk(new(&bucket, WalkKind::Backfill, 5)).await.unwrap();
    assert_eq!((first.state, first.begun_at, first.rate), (WalkState::Waiting, 0, 5));
    let shared = m.begin_walk(new(&bucket, WalkKind::Backfill, 9)).await.unwrap();
    assert_eq!((&shared.id, shared.rate), (&first.id, 9), "as fast as the hastiest wants it");
    assert_eq!(m.begin_walk(new(&bucket, WalkKind::Backfill, 0)).await.unwrap().rate, 0);
    assert_eq!(m.begin_walk(new(&bucket, WalkKind::Backfill, 3)).await.unwrap().rate, 0);
    let other = m.begin_walk(new(&bucket, WalkKind::Reconcile, 0)).await.unwrap();
    assert_ne!(other.id, first.id);
    // Being prepared is not yet being begun, and once begun it may have passed a key.
    let claim = in_a_minute();
    assert!(m.claim_walk(&first.id, 0, claim - 1).await.unwrap());
    assert!(m.claim_walk(&first.id, claim - 1, claim).await.unwrap(), "prolonged while it is cut");
    assert!(!f.second().await.claim_walk(&first.id, 0, claim + 1).await.unwrap(), "another worker");
    assert_eq!(m.begin_walk(new(&bucket, WalkKind::Backfill, 0)).await.unwrap().id, first.id);
    assert!(!m.cut_walk(&first.id, claim + 1, 1, &[], 0, 0).await.unwrap(), "not with a claim that is not its own");
    assert!(m.cut_walk(&first.id, claim, 1, &[], 0, 0).await.unwrap());
    let next = m.begin_walk(new(&bucket, WalkKind::Backfill, 0)).await.unwrap();
    assert_ne!(next.id, first.id);
    let due = m.walks_due(now(), 10).await.unwrap();
    assert_eq!(due.iter().map(|w| &w.id).collect::<Vec<_>>(), [&other.id], "the next one waits for the first");
    m.cancel_walk(&first.id).await.unwrap();
    assert_eq!(m.walks_due(now(), 10).await.unwrap().len(), 2);
    let ids: Vec<_> = m.walks_of(&bucket, 10).await.unwrap().into_iter().map(|w| w.id).collect();
    assert_eq!(ids, [next.id, other.id, first.id], "newest first");
    assert!(matches!(m.begin_walk(new(&BucketId::new("x"), WalkKind::Deep, 0)).await, Err(StoreError::NotFound)));
}

pub(super) async fn a_walk_is_cut_and_walked_by_one_worker_a_shard(f: Fixture) {
    let (m, route) = (&f.metadata, route(&f).await);
    for key in ["a", "b", "c", "d", "ä"] {
        let copy = |backend: usize| ObjectCopy {
            backend: route.placement[backend].clone(),
            etag: "e".into(),
            home_etag: "e".into(),
            size: 1,
            verified_how: "etag".into(),
            verified_at: 1,
        };
        m.record_copies(&route.bucket, &object(key), &[copy(0), copy(1)]).await.unwrap();
    }
    for (after, bound, left) in [("", Some("b"), 2), ("b", Some("d"), 2), ("d", None, 1), ("ä", None, 0)] {
        let found = m.walk_bound(&route.bucket, &route.home, after, 2).await.unwrap();
        let rest = m.count_to_bound(&route.bucket, &route.home, after, 2).await.unwrap();
        assert_eq!((found.as_deref(), rest), (bound, left), "{after}");
    }
    let walk = begun(m, &route.bucket, &["b", "d"], 5, 0).await;
    let free = m.free_shards(now(), 10, None).await.unwrap();
    let ranges: Vec<_> = free.iter().map(|s| (s.walked_to.as_str(), s.up_to.as_str())).collect();
    assert_eq!(ranges, [("", "b"), ("b", "d"), ("d", "")]);

    let (mut ours, mut theirs) = (free[0].clone(), free[0].clone());
    assert!(m.claim_shard(&mut ours, in_a_minute()).await.unwrap());
    assert!(!m.claim_shard(&mut theirs, in_a_minute() + 1).await.unwrap());
    assert_eq!(m.free_shards(now(), 10, None).await.unwrap().len(), 2);
    assert!(!m.take_step(&theirs, &step("a", false)).await.unwrap(), "nor may it go on");
    assert!(!m.keep_shard(&theirs, in_a_minute()).await.unwrap());
    assert_eq!(m.admit_step(&theirs, 1, 0, GUARD).await.unwrap(), Admission::Stop);
    assert!(matches!(m.admit_step(&ours, 1, 0, GUARD).await.unwrap(), Admission::Go { .. }));
    let findings = vec![finding(FindingKind::Missing, "ä\u{1}"), finding(FindingKind::Missing, "b")];
    assert!(m.take_step(&ours, &Step { findings, ..step("a", false) }).await.unwrap());
    // A dead worker's shard goes on from where it stopped.
    assert!(m.keep_shard(&ours, 1).await.unwrap());
    assert_eq!(m.free_shards(now(), 10, None).await.unwrap()[0].walked_to, "a");
    for shard in claimed(m).await {
        assert!(m.take_step(&shard, &step("z", true)).await.unwrap());
        assert!(!m.take_step(&shard, &step("z", true)).await.unwrap(), "it is over");
    }
    assert_eq!(m.finish_walks().await.unwrap(), 1);
    let walk = m.walk(&walk.id).await.unwrap();
    assert_eq!((walk.state, walk.total, walk.done, walk.marked), (WalkState::Done, 5, 40, 12));
    assert_eq!(m.walk_counts(&walk.id).await.unwrap(), [(FindingKind::Missing, 2)].into());
    let found = [finding(FindingKind::Missing, "ä\u{1}"), finding(FindingKind::Missing, "b")];
    assert_eq!(m.walk_findings(&walk.id).await.unwrap(), found);
}

pub(super) async fn the_guard_counts_what_all_shards_would_delete(f: Fixture) {
    let (m, bucket) = (&f.metadata, route(&f).await.bucket);
    let walk = begun(m, &bucket, &["m"], 50, 0).await;
    let shards = claimed(m).await;
    let allowed = |admitted| matches!(admitted, Admission::Go { .. });
    for _ in 0..3 {
        assert!(allowed(m.admit_step(&shards[0], 9, 3, GUARD).await.unwrap()), "asked for again after a crash");
    }
    assert!(allowed(m.admit_step(&shards[1], 9, 2, GUARD).await.unwrap()));
    assert!(m.take_step(&shards[0], &step("a", false)).await.unwrap());
    assert!(allowed(m.admit_step(&shards[0], 9, 0, GUARD).await.unwrap()), "five of fifty are a tenth");
    assert!(!allowed(m.admit_step(&shards[0], 9, 1, GUARD).await.unwrap()));
    let guarded = m.walk(&walk.id).await.unwrap();
    assert_eq!((guarded.state, guarded.deletes), (WalkState::Guarded, 3));
    assert!(guarded.note.contains("6 keys or more of 50"), "{}", guarded.note);
    assert!(!allowed(m.admit_step(&shards[1], 9, 0, GUARD).await.unwrap()), "the others stop, too");
    assert!(m.free_shards(in_a_minute() * 2, 10, None).await.unwrap().is_empty());
    m.approve_walk(&walk.id).await.unwrap();
    assert_eq!(m.walk(&walk.id).await.unwrap().state, WalkState::Running);
    assert!(allowed(m.admit_step(&shards[0], 9, 40, GUARD).await.unwrap()));
}

pub(super) async fn a_walk_waits_resumes_restarts_and_ends(f: Fixture) {
    let (m, bucket) = (&f.metadata, route(&f).await.bucket);
    let walk = begun(m, &bucket, &[], 50, 0).await;
    let shards = claimed(m).await;
    let until = in_a_minute();
    m.suspend_walk(&walk.id, "the home is away", until, Some("fi-hel")).await.unwrap();
    assert_eq!(m.admit_step(&shards[0], 1, 0, GUARD).await.unwrap(), Admission::Stop);
    assert_eq!(m.resume_walks(until - 1, 10).await.unwrap(), 0);
    let waiting = m.walk(&walk.id).await.unwrap();
    assert_eq!((waiting.state, waiting.note.as_str(), waiting.attempts), (WalkState::Waiting, "the home is away", 1));
    for (backend, resumed) in [("se-sto", 1), ("fi-hel", 0)] {
        m.suspend_walk(&walk.id, "the home is away", until, Some("fi-hel")).await.unwrap();
        m.postpone_walks(&BackendId::parse(backend).unwrap(), until, until + 1).await.unwrap();
        assert_eq!(m.resume_walks(until, 0).await.unwrap(), 0, "not more than were asked for");
        assert_eq!(m.resume_walks(until, 10).await.unwrap(), resumed, "{backend}");
    }
    assert_eq!(m.resume_walks(until + 1, 10).await.unwrap(), 1);
    assert!(matches!(m.admit_step(&shards[0], 1, 0, GUARD).await.unwrap(), Admission::Go { .. }));
    let now_runs = m.walk(&walk.id).await.unwrap();
    assert_eq!((now_runs.state, now_runs.note.as_str(), now_runs.attempts), (WalkState::Running, "", 0));

    assert!(m.take_step(&shards[0], &step("a", false)).await.unwrap());
    assert!(!m.restart_walk(&walk.id, 7, 8, &[], 1).await.unwrap(), "it began with another epoch");
    m.approve_walk(&walk.id).await.unwrap();
    assert!(m.walk(&walk.id).await.unwrap().approved);
    assert!(m.restart_walk(&walk.id, 1, 2, &["x".to_owned()], 60).await.unwrap());
    assert!(!m.walk(&walk.id).await.unwrap().approved, "what the home before had lost");
    assert!(!m.take_step(&shards[0], &step("b", false)).await.unwrap(), "of the home before");
    assert_eq!(m.free_shards(now(), 10, None).await.unwrap().iter().filter(|s| s.walked_to != "a").count(), 2);

    m.cancel_walk(&walk.id).await.unwrap();
    assert!(matches!(m.cancel_walk(&walk.id).await, Err(StoreError::Conflict(_))));
    assert!(matches!(m.approve_walk(&walk.id).await, Err(StoreError::Conflict(_))));
    assert!(matches!(m.fail_walk(&crate::WalkId::new("x"), "").await, Err(StoreError::NotFound)));
    assert!(m.free_shards(in_a_minute() * 2, 10, None).await.unwrap().is_empty());
    assert_eq!(m.prune_walks(in_a_minute()).await.unwrap(), 0, "the last of its kind stays");
    begun(m, &bucket, &[], 0, 0).await;
    assert_eq!(m.prune_walks(in_a_minute()).await.unwrap(), 1);
}

pub(super) async fn steps_keep_to_the_rate(f: Fixture) {
    let (m, bucket) = (&f.metadata, route(&f).await.bucket);
    begun(m, &bucket, &["m"], 0, 100).await;
    let shards = claimed(m).await;
    let before = now();
    let mut times = Vec::new();
    for shard in [&shards[0], &shards[1], &shards[0]] {
        let Admission::Go { at, .. } = m.admit_step(shard, 50, 0, GUARD).await.unwrap() else { panic!("it runs") };
        times.push(at);
    }
    assert!(times[0] >= before && times[1] >= times[0] + 500 && times[2] >= times[1] + 500, "{times:?}");
}

pub(super) async fn an_operator_slows_and_hastens_a_walk(f: Fixture) {
    let (m, bucket) = (&f.metadata, route(&f).await.bucket);
    let walk = begun(m, &bucket, &["m"], 0, 1).await;
    let shards = claimed(m).await;
    let admit = async |shard: &WalkShard| match m.admit_step(shard, 50, 0, GUARD).await.unwrap() {
        Admission::Go { at, rate } => (at - now(), rate),
        Admission::Stop => panic!("it runs"),
    };
    admit(&shards[0]).await;
    let (wait, rate) = admit(&shards[1]).await;
    assert!(wait > 40_000 && rate == 1, "{wait}");
    m.set_walk_rate(&walk.id, 0).await.unwrap();
    let (wait, rate) = admit(&shards[0]).await;
    assert!(wait <= 0 && rate == 0, "{wait}: what was used up ahead is void");
    m.set_walk_rate(&walk.id, 2).await.unwrap();
    admit(&shards[0]).await;
    let (wait, rate) = admit(&shards[1]).await;
    assert!(wait > 15_000 && rate == 2, "{wait}");
    assert_eq!(m.walk(&walk.id).await.unwrap().rate, 2);
    m.cancel_walk(&walk.id).await.unwrap();
    assert!(matches!(m.set_walk_rate(&walk.id, 5).await, Err(StoreError::Conflict(_))));
    assert!(matches!(m.set_walk_rate(&crate::WalkId::new("x"), 5).await, Err(StoreError::NotFound)));
}

pub(super) async fn a_backfill_without_a_rate_is_given_one_when_it_begins(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    for (name, kind, rate, want) in [
        ("one", WalkKind::Backfill, 0, 7),
        ("two", WalkKind::Backfill, 9, 9),
        ("three", WalkKind::Reconcile, 0, 0),
        ("four", WalkKind::Deep, 0, 0),
    ] {
        let walk = m.begin_walk(new(&f.bucket(&tenant, name).await.bucket, kind, rate)).await.unwrap();
        let claim = in_a_minute();
        assert!(m.claim_walk(&walk.id, walk.due_at, claim).await.unwrap());
        assert!(m.cut_walk(&walk.id, claim, 1, &[], 0, 7).await.unwrap());
        assert_eq!(m.walk(&walk.id).await.unwrap().rate, want, "{name}");
    }
}

pub(super) async fn a_long_walk_keeps_no_other_waiting(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let long = begun(m, &f.bucket(&tenant, "long").await.bucket, &["b", "c", "d"], 0, 0).await;
    let short = begun(m, &f.bucket(&tenant, "short").await.bucket, &["b"], 0, 0).await;
    let free = async || m.free_shards(now(), 10, None).await.unwrap();
    let mut first = free().await.remove(0);
    assert_eq!((&first.walk, first.position), (&long.id, 0), "the oldest, where none is walked");
    assert!(m.claim_shard(&mut first, in_a_minute()).await.unwrap());
    let order: Vec<_> = free().await.into_iter().map(|s| (s.walk == short.id, s.position)).collect();
    assert_eq!(order, [(true, 0), (true, 1), (false, 1), (false, 2), (false, 3)]);
    assert_eq!(m.free_shards(now(), 10, Some(WalkKind::Backfill)).await.unwrap().len(), 5);
    assert!(m.free_shards(now(), 10, Some(WalkKind::Reconcile)).await.unwrap().is_empty());
    assert!(m.keep_shard(&first, 0).await.unwrap());
    assert_eq!(free().await[0].walk, long.id, "a claim that was given back counts no longer");
    m.suspend_walk(&long.id, "the home is away", now(), None).await.unwrap();
    assert_eq!(m.resume_walks(in_a_minute(), 10).await.unwrap(), 1);
    assert_eq!(free().await[0].walk, short.id, "one that was stopped lately may be stopped again");
}

pub(super) async fn changes_that_concern_every_key_begin_a_backfill(f: Fixture) {
    let (m, bucket) = (&f.metadata, route(&f).await.bucket);
    let kinds = async || m.walks_of(&bucket, 10).await.unwrap().into_iter().map(|w| w.reason).collect::<Vec<_>>();
    m.set_replica_count(&bucket, 1).await.unwrap();
    assert!(kinds().await.is_empty(), "it was so before");
    m.set_replica_count(&bucket, 2).await.unwrap();
    assert_eq!(kinds().await, ["the replica count was 1 and is 2"]);
    m.cancel_walk(&m.walks_of(&bucket, 1).await.unwrap()[0].id).await.unwrap();
    m.set_versioning(&bucket, 1, Versioning::Enabled).await.unwrap();
    assert_eq!(kinds().await.len(), 2);
    m.cancel_walk(&m.walks_of(&bucket, 1).await.unwrap()[0].id).await.unwrap();
    m.set_versioning(&bucket, 1, Versioning::Suspended).await.unwrap();
    assert_eq!(kinds().await.len(), 2, "its objects were versions before");
}

pub(super) async fn buckets_take_their_turn_at_being_reconciled(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let mut buckets = Vec::new();
    for name in ["one", "two", "three"] {
        buckets.push(f.bucket(&tenant, name).await.bucket);
    }
    assert_eq!(m.begin_periodic(now() - 60_000, 5, 9, 0).await.unwrap(), 0, "none is old enough");
    assert_eq!(m.begin_periodic(in_a_minute(), 2, 9, 7).await.unwrap(), 2);
    assert_eq!(m.begin_periodic(in_a_minute(), 2, 9, 7).await.unwrap(), 0, "two at a time");
    let walks = m.walks(None, None, 10).await.unwrap().rows;
    assert!(walks.iter().all(|w| w.rate == 7 && w.kind == WalkKind::Reconcile && w.bucket != buckets[2]), "{walks:?}");
    m.cancel_walk(&walks[0].id).await.unwrap();
    assert_eq!(m.begin_periodic(in_a_minute(), 2, 9, 7).await.unwrap(), 1);
    assert_eq!(m.walks(None, None, 1).await.unwrap().rows[0].bucket, buckets[2], "whoever has waited longest");

    let fourth = f.bucket(&tenant, "four").await.bucket;
    let made = now();
    assert!(m.oldest_reconcile().await.unwrap().is_some_and(|oldest| oldest <= made));
    until("the clock has gone on", || async { now() > made }).await;
    m.begin_walk(new(&fourth, WalkKind::Deep, 0)).await.unwrap();
    assert_eq!(m.begin_periodic(made + 1, 10, 9, 7).await.unwrap(), 3, "a deep walk is a reconcile, too");
    assert!(m.oldest_reconcile().await.unwrap().is_some_and(|oldest| oldest > made), "each was asked for anew");
    let stuck = m.walks_of(&buckets[2], 1).await.unwrap().remove(0);
    m.suspend_walk(&stuck.id, "the home is away", now(), None).await.unwrap();
    assert_eq!(m.begin_periodic(in_a_minute(), 10, 0, 7).await.unwrap(), 0, "more would get stuck as well");
    assert_eq!(m.begin_periodic(in_a_minute(), 10, 1, 7).await.unwrap(), 4);
}

pub(super) async fn what_waits_for_an_operator_keeps_no_other_bucket_waiting(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let (lost, other) = (f.bucket(&tenant, "lost").await.bucket, f.bucket(&tenant, "other").await.bucket);
    let walk = begun(m, &lost, &[], 50, 0).await;
    let shard = claimed(m).await.remove(0);
    assert_eq!(m.admit_step(&shard, 50, 50, GUARD).await.unwrap(), Admission::Stop);
    assert_eq!(m.walk(&walk.id).await.unwrap().state, WalkState::Guarded);
    // Its successor waits for it, and for nothing that another bucket's walk would need.
    m.begin_walk(new(&lost, WalkKind::Reconcile, 0)).await.unwrap();
    assert!(m.walks_due(in_a_minute(), 10).await.unwrap().is_empty());
    assert_eq!(m.begin_periodic(in_a_minute(), 2, 9, 0).await.unwrap(), 2, "both are the others'");
    assert_eq!(m.walks_due(in_a_minute(), 10).await.unwrap().remove(0).bucket, other);
}

async fn settle(m: &Metadata) {
    let asked = m.queue_servers_due().await.unwrap().unwrap();
    m.settle_queue_servers(asked).await.unwrap();
}

async fn walk_to_the_end(m: &Metadata, walk: &Walk) {
    let claim = in_a_minute();
    assert!(m.claim_walk(&walk.id, walk.due_at, claim).await.unwrap());
    assert!(m.cut_walk(&walk.id, claim, 1, &[], 0, 0).await.unwrap());
    for shard in claimed(m).await {
        assert!(m.take_step(&shard, &step("", true)).await.unwrap());
    }
    m.finish_walks().await.unwrap();
    assert_eq!(m.walk(&walk.id).await.unwrap().state, WalkState::Done);
}

pub(super) async fn a_bucket_is_suspect_until_it_was_walked_over(f: Fixture) {
    let (m, other) = (&f.metadata, f.second().await);
    let tenant = f.tenant("acme").await;
    let proves = async |server: &str, bucket: &BucketId| m.queue_server_proves(server, bucket).await.unwrap();
    let servers = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert!(m.has_new_queue_server(&servers(&["one"])).await.unwrap());
    assert!(
        !m.note_queue_servers(&servers(&["one", "two"]), Duration::ZERO).await.unwrap(),
        "no bucket was there before them"
    );
    assert!(!other.note_queue_servers(&servers(&["two", "one"]), Duration::ZERO).await.unwrap());
    let (early, late) = (f.bucket(&tenant, "early").await.bucket, f.bucket(&tenant, "late").await.bucket);
    assert!(!proves("other", &early).await, "nobody has heard of it");
    assert!(proves("one", &early).await && proves("two", &late).await);
    assert_eq!(m.begin_suspect_walks(10, 0, &mut None).await.unwrap(), 0);

    // A walk that began before the server was seen may have passed keys that it then forgot.
    let before = begun(m, &early, &[], 0, 0).await;
    assert!(!m.has_new_queue_server(&servers(&["two", "one"])).await.unwrap());
    assert!(m.has_new_queue_server(&servers(&["one", "three"])).await.unwrap());
    assert!(m.note_queue_servers(&servers(&["one", "three"]), Duration::ZERO).await.unwrap());
    assert!(!other.note_queue_servers(&servers(&["three"]), Duration::ZERO).await.unwrap(), "told once");
    assert!(!m.has_new_queue_server(&servers(&["one", "three"])).await.unwrap());
    assert!(proves("one", &early).await && !proves("three", &early).await && !proves("three", &late).await);
    let new = f.bucket(&tenant, "new").await.bucket;
    assert!(proves("three", &new).await, "it was made under this server");
    assert_eq!(m.begin_suspect_walks(10, 0, &mut None).await.unwrap(), 0, "it has not settled");
    settle(m).await;
    assert_eq!(m.queue_servers_due().await.unwrap(), None);
    assert_eq!(m.begin_suspect_walks(1, 0, &mut None).await.unwrap(), 0, "as many as may be are under way");
    m.suspend_walk(&before.id, "the home is away", now(), None).await.unwrap();
    assert_eq!(
        m.begin_suspect_walks(1, 0, &mut None).await.unwrap(),
        1,
        "one that cannot go on keeps no other waiting"
    );
    assert_eq!(m.resume_walks(now(), 10).await.unwrap(), 1);
    for shard in claimed(m).await {
        assert!(m.take_step(&shard, &step("", true)).await.unwrap());
    }
    assert_eq!(m.finish_walks().await.unwrap(), 1);
    assert_eq!(m.walk(&before.id).await.unwrap().state, WalkState::Done);
    assert!(!proves("three", &early).await);
    // A backfill passes over keys that were deleted at the home.
    let new_walk = NewWalk { bucket: late.clone(), kind: WalkKind::Backfill, rate: 0, reason: "a test".to_owned() };
    let backfill = m.begin_walk(new_walk).await.unwrap();
    walk_to_the_end(m, &backfill).await;
    assert!(!proves("three", &late).await);
    assert_eq!(m.begin_suspect_walks(10, 0, &mut None).await.unwrap(), 1, "each bucket once");
    assert_eq!(m.begin_suspect_walks(10, 0, &mut None).await.unwrap(), 0);
    assert!(m.walks_of(&new, 10).await.unwrap().is_empty());
    for bucket in [&early, &late] {
        let walk = m.walks_of(bucket, 1).await.unwrap().remove(0);
        assert!(!proves("three", bucket).await);
        walk_to_the_end(m, &walk).await;
        assert!(proves("three", bucket).await);
    }
    assert_eq!(m.begin_suspect_walks(10, 0, &mut None).await.unwrap(), 0);
    assert!(proves("three", &BucketId::new("any")).await, "it is believed about everything");
}

/// What only an earlier server knew of may land after a walk has passed its key.
pub(super) async fn a_walk_of_a_suspect_bucket_waits_for_what_may_yet_land(f: Fixture) {
    const HOUR: Duration = Duration::from_secs(3600);
    let m = &f.metadata;
    let tenant = f.tenant("acme").await;
    let bucket = f.bucket(&tenant, "early").await.bucket;
    let server = |name: &str| [name.to_owned()];
    let walk_over = async || {
        begun(m, &bucket, &[], 0, 0).await;
        for shard in claimed(m).await {
            assert!(m.take_step(&shard, &step("", true)).await.unwrap());
        }
        assert_eq!(m.finish_walks().await.unwrap(), 1);
    };
    assert!(m.note_queue_servers(&server("one"), Duration::ZERO).await.unwrap());
    settle(m).await;
    // A copy of a worker.
    assert!(m.note_queue_servers(&server("two"), HOUR).await.unwrap());
    assert_eq!(m.begin_suspect_walks(10, 0, &mut None).await.unwrap(), 1, "because of the first");
    walk_over().await;
    assert!(m.has_suspect_queue_server().await.unwrap());
    assert_eq!(m.queue_servers_due().await.unwrap(), None);
    assert!(m.queue_server_proves("one", &bucket).await.unwrap());
    assert!(!m.queue_server_proves("two", &bucket).await.unwrap());
    assert_eq!(m.begin_suspect_walks(10, 0, &mut None).await.unwrap(), 0);
    // A write of a proxy.
    m.note_view("proxy", 0, Duration::ZERO, HOUR).await.unwrap();
    assert!(m.note_queue_servers(&server("three"), Duration::ZERO).await.unwrap());
    walk_over().await;
    assert_eq!(m.queue_servers_due().await.unwrap(), None);
    assert!(!m.queue_server_proves("three", &bucket).await.unwrap());
    assert_eq!(m.begin_suspect_walks(10, 0, &mut None).await.unwrap(), 0);
}

pub(super) async fn the_first_server_seen_may_have_forgotten_what_was_there_before(f: Fixture) {
    let m = &f.metadata;
    let tenant = f.tenant("acme").await;
    let early = f.bucket(&tenant, "early").await.bucket;
    let server = ["one".to_owned()];
    assert!(m.note_queue_servers(&server, Duration::ZERO).await.unwrap(), "another may have taken marks before it");
    assert!(!m.queue_server_proves("one", &early).await.unwrap());
    let late = f.bucket(&tenant, "late").await.bucket;
    assert!(m.queue_server_proves("one", &late).await.unwrap());
    settle(m).await;
    assert_eq!(m.begin_suspect_walks(10, 0, &mut None).await.unwrap(), 1);
    assert_eq!(m.walks(None, None, 10).await.unwrap().rows[0].bucket, early);
}
