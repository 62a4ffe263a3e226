//! Several writers, in one process and in two.
use super::{Fixture, new_bucket, object};
use crate::{Begun, BucketId, Change, DirtyKey, Metadata, ObjectCopy, Queue};
use s3gateway_config::ResidencyPolicy;
use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;
use tokio::task::JoinSet;

pub(super) async fn changes_are_seen_in_commit_order_without_gaps(f: Fixture) {
    const EACH: usize = 25;
    let mut writers = JoinSet::new();
    for writer in ["one", "two"] {
        let metadata = f.second().await;
        writers.spawn(async move {
            for n in 0..EACH {
                let name = format!("{writer}-{n}");
                metadata.create_tenant(&name, &ResidencyPolicy::default(), &[], 1).await.unwrap();
            }
        });
    }
    let (mut at, mut seen) = (0, Vec::new());
    while seen.len() < 2 * EACH {
        for (id, change) in f.metadata.changes_since(at, 7).await.unwrap() {
            assert_eq!(id, at + 1, "no id is skipped, for what was skipped is never read");
            at = id;
            let Change::Tenant(tenant) = change else { panic!("{change:?}") };
            // What the feed tells must be readable: the reader may not cache the state from before.
            seen.push(f.metadata.tenant(&tenant).await.unwrap().name);
        }
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    for writer in ["one", "two"] {
        let own: Vec<&String> = seen.iter().filter(|name| name.starts_with(writer)).collect();
        assert_eq!(own, (0..EACH).map(|n| format!("{writer}-{n}")).collect::<Vec<_>>().iter().collect::<Vec<_>>());
    }
    assert_eq!(f.metadata.change_head().await.unwrap(), i64::try_from(2 * EACH).unwrap());
}

pub(super) async fn many_writers_of_two_processes_all_succeed(f: Fixture) {
    let tenant = f.tenant("acme").await;
    let route = f.bucket(&tenant, "photos").await;
    let processes: [Metadata; 2] = [f.metadata.clone(), f.second().await];
    let mut writers = JoinSet::new();
    for n in 0..16 {
        let (metadata, route) = (processes[n % 2].clone(), route.clone());
        writers.spawn(async move {
            for round in 0..4 {
                // The same three keys for all: the worst order for locks.
                for key in [n + round, n + round + 1, n + round + 2].map(|k| object(&format!("k{}", k % 3))) {
                    let copies: Vec<ObjectCopy> = route.placement.iter().map(copy).collect();
                    metadata.record_copies(&route.bucket, &key, &copies).await.unwrap();
                    metadata.put_tags(&route.bucket, &key, "e", &[]).await.unwrap();
                }
                let count = 1 + u32::try_from(n % 2).unwrap();
                metadata.set_replica_count(&route.bucket, count).await.unwrap();
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    assert_eq!(f.metadata.copies(&route.bucket, &object("k1")).await.unwrap().len(), 2);
}

fn copy(backend: &s3gateway_config::BackendId) -> ObjectCopy {
    ObjectCopy {
        backend: backend.clone(),
        etag: "e".into(),
        home_etag: "e".into(),
        size: 1,
        verified_how: "etag".into(),
        verified_at: 1,
    }
}

pub(super) async fn one_of_many_creators_wins(f: Fixture) {
    let tenant = f.tenant("acme").await;
    let new = new_bucket(&tenant, "photos", &[f.backend("fi-hel").await]);
    let processes: [Metadata; 2] = [f.metadata.clone(), f.second().await];
    let mut creators = JoinSet::new();
    for n in 0..10 {
        let (metadata, new) = (processes[n % 2].clone(), new.clone());
        creators.spawn(async move { metadata.begin_create_bucket(&new).await.unwrap() });
    }
    let (mut fresh, mut ids) = (0, HashSet::new());
    while let Some(begun) = creators.join_next().await {
        match begun.unwrap() {
            Begun::Created(route) => {
                fresh += 1;
                ids.insert(route.bucket);
            }
            Begun::Resumed(route) => {
                ids.insert(route.bucket);
            }
            Begun::Exists(route) => panic!("nobody activated {:?}", route.bucket),
        }
    }
    assert_eq!((fresh, ids.len()), (1, 1));
}

pub(super) async fn migrating_at_once_is_harmless(f: Fixture) {
    let mut processes = JoinSet::new();
    for _ in 0..6 {
        let metadata = f.second().await;
        processes.spawn(async move { metadata.migrate().await.unwrap() });
    }
    while let Some(done) = processes.join_next().await {
        done.unwrap();
    }
}

/// How long a future is kept: so many polls, and then dropped where it waits or, with `woken`, where it could go on.
async fn cut<F: Future>(work: F, polls: u32, woken: bool) -> Option<F::Output> {
    let (mut work, mut left) = (pin!(work), polls);
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match work.as_mut().poll(context) {
            Poll::Pending if left == 0 && !woken => Poll::Ready(None),
            other => other.map(Some),
        }
    })
    .await
}

/// A client that hangs up drops our future at any await: here at each one of them, before and after what it waits for.
pub(super) async fn dropped_futures_leave_nothing_locked(f: Fixture) {
    let queue = f.metadata.sql_queue();
    let key = DirtyKey { bucket: BucketId::new("b"), key: object("k") };
    let (mut cuts, mut rounds) = (0, 0);
    while cuts < 100 {
        assert!(rounds < 10_000, "only {cuts} of {rounds} rounds were cut");
        for woken in [false, true] {
            let name = format!("t{rounds}-{woken}");
            let work = async {
                queue.intent(&key, "r", Duration::from_secs(60)).await.unwrap();
                f.metadata.create_tenant(&name, &ResidencyPolicy::default(), &[], 1).await.unwrap();
                f.metadata.tenants().await.unwrap();
            };
            cuts += u32::from(cut(work, rounds % 16 + 1, woken).await.is_none());
        }
        rounds += 1;
    }
    let mut writers = JoinSet::new();
    for n in 0..8 {
        let (queue, key, metadata) = (queue.clone(), key.clone(), f.metadata.clone());
        writers.spawn(async move {
            queue.mark(&key, "r").await.unwrap();
            metadata.create_tenant(&format!("after-{n}"), &ResidencyPolicy::default(), &[], 1).await.unwrap();
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    // Whole transactions only: as many tenants as changes.
    let tenants = f.metadata.tenants().await.unwrap().len();
    assert_eq!(f.metadata.change_head().await.unwrap(), i64::try_from(tenants).unwrap());
    assert_eq!(f.second().await.tenants().await.unwrap().len(), tenants, "all committed");
}
