//! The SQL queue keeps the contract of [`Queue`], as the one in Redis does.
use super::{Fixture, object, until};
use crate::queue::suite::queue_suite;
use crate::queue::{Cleared, Job, SqlQueue};
use crate::{BucketId, DirtyKey, Queue};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

const LONG: Duration = Duration::from_secs(60);
/// Longer than a busy machine takes for the few statements that must come before its end.
const SHORT: Duration = Duration::from_secs(1);
const NOW: Duration = Duration::ZERO;

async fn on_postgres() -> Option<(Fixture, SqlQueue)> {
    let fixture = Fixture::postgres().await?;
    let queue = fixture.metadata.sql_queue();
    Some((fixture, queue))
}

queue_suite!(postgres, super::on_postgres);

fn dirty(key: &str) -> DirtyKey {
    DirtyKey { bucket: BucketId::new("b1"), key: object(key) }
}

async fn claim(queue: &SqlQueue) -> Vec<Job> {
    queue.claim("w1", 10, LONG).await.unwrap()
}

async fn claim_one(queue: &SqlQueue) -> Job {
    let mut jobs = claim(queue).await;
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    jobs.remove(0)
}

pub(super) async fn a_write_dirties_until_converged(f: Fixture) {
    let (queue, key) = (f.metadata.sql_queue(), dirty("a\u{0}ä//"));
    queue.ping().await.unwrap();
    assert!(queue.is_clean(&key).await.unwrap() && queue.is_bucket_clean(&key.bucket).await.unwrap());
    let mark = queue.intent(&key, "r1", LONG).await.unwrap();
    assert!(!queue.is_clean(&key).await.unwrap() && !queue.is_bucket_clean(&key.bucket).await.unwrap());
    assert!(queue.is_clean(&dirty("other")).await.unwrap());
    assert!(queue.is_bucket_clean(&BucketId::new("b2")).await.unwrap());
    assert!(claim(&queue).await.is_empty(), "nothing to find before the commit");
    queue.commit(&key, &mark, "r1").await.unwrap();
    let job = claim_one(&queue).await;
    assert_eq!((&job.key, job.attempts, job.request_id.as_str()), (&key, 0, "r1"));
    assert!(job.sequence > mark.sequence && job.dirty_since > 1_600_000_000_000);
    assert!(claim(&queue).await.is_empty(), "claimed");
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.dirty, depth.claimed, depth.delayed, depth.dead), (1, 1, 0, 0));
    assert_eq!(depth.oldest, Some(job.dirty_since));
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean, "safe to repeat");
    assert!(queue.is_clean(&key).await.unwrap());
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.dirty, depth.oldest), (0, None));
}

pub(super) async fn commit_marks_again_what_was_cleared(f: Fixture) {
    let (queue, key) = (f.metadata.sql_queue(), dirty("k"));
    let mark = queue.intent(&key, "r1", NOW).await.unwrap();
    let job = claim_one(&queue).await;
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean, "the lease had run out before the claim");
    queue.commit(&key, &mark, "r1").await.unwrap();
    assert!(!queue.is_clean(&key).await.unwrap());
    let again = claim_one(&queue).await;
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Requeued, "an old job clears no new mark");
    assert_eq!(queue.clear(&again).await.unwrap(), Cleared::Clean);
}

pub(super) async fn a_lease_stands_in_the_way_of_clear(f: Fixture) {
    let (queue, key) = (f.metadata.sql_queue(), dirty("k"));
    queue.mark(&key, "r0").await.unwrap();
    let mark = queue.intent(&key, "r1", LONG).await.unwrap();
    let job = claim_one(&queue).await;
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Requeued);
    assert!(claim(&queue).await.is_empty(), "due when the lease ends");
    queue.commit(&key, &mark, "r1").await.unwrap();
    let job = claim_one(&queue).await;
    assert_eq!(job.request_id, "r1");
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);

    // Of two writers the slower one still protects the key.
    let fast = queue.intent(&key, "r2", LONG).await.unwrap();
    let slow = queue.intent(&key, "r3", LONG).await.unwrap();
    assert_ne!(fast.lease, slow.lease);
    queue.commit(&key, &fast, "r2").await.unwrap();
    let job = claim_one(&queue).await;
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Requeued);
    queue.commit(&key, &slow, "r3").await.unwrap();
    assert_eq!(queue.clear(&claim_one(&queue).await).await.unwrap(), Cleared::Clean);
}

pub(super) async fn a_lease_that_ran_out_blocks_until_the_next_claim(f: Fixture) {
    let (queue, key) = (f.metadata.sql_queue(), dirty("k"));
    queue.mark(&key, "r0").await.unwrap();
    queue.intent(&key, "r1", SHORT).await.unwrap();
    let job = claim_one(&queue).await;
    tokio::time::sleep(SHORT * 2).await;
    assert_eq!(
        queue.clear(&job).await.unwrap(),
        Cleared::Requeued,
        "its write may have landed after the home was read"
    );
    let job = claim_one(&queue).await;
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean, "a dead writer does not keep a key dirty for ever");
}

pub(super) async fn a_write_meanwhile_requeues(f: Fixture) {
    let (queue, key) = (f.metadata.sql_queue(), dirty("k"));
    queue.mark(&key, "r0").await.unwrap();
    let job = claim_one(&queue).await;
    let mark = queue.intent(&key, "r1", LONG).await.unwrap();
    queue.commit(&key, &mark, "r1").await.unwrap();
    assert!(claim(&queue).await.is_empty(), "still the first worker's");
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Requeued);
    let again = claim_one(&queue).await;
    assert!(again.sequence > job.sequence);
    assert_eq!((again.request_id.as_str(), again.dirty_since), ("r1", job.dirty_since));
    assert_eq!(queue.clear(&again).await.unwrap(), Cleared::Clean);
}

pub(super) async fn renew_marks_again_what_was_cleared(f: Fixture) {
    let (queue, key) = (f.metadata.sql_queue(), dirty("k"));
    let mark = queue.intent(&key, "r1", NOW).await.unwrap();
    assert_eq!(queue.clear(&claim_one(&queue).await).await.unwrap(), Cleared::Clean);
    queue.renew(&key, &mark, LONG).await.unwrap();
    assert!(!queue.is_clean(&key).await.unwrap(), "the last bytes are about to go up");
    assert!(claim(&queue).await.is_empty(), "under a lease again");
    queue.commit(&key, &mark, "r1").await.unwrap();
    assert_eq!(queue.clear(&claim_one(&queue).await).await.unwrap(), Cleared::Clean);

    // A lengthened lease protects past its first end, and keeps the request's id.
    let mark = queue.intent(&key, "r2", SHORT).await.unwrap();
    queue.renew(&key, &mark, LONG).await.unwrap();
    tokio::time::sleep(SHORT * 2).await;
    assert!(claim(&queue).await.is_empty());
    queue.release(&key, &mark).await.unwrap();
    assert_eq!(claim_one(&queue).await.request_id, "r2");
}

pub(super) async fn a_released_key_stays_dirty_and_is_due(f: Fixture) {
    let (queue, key) = (f.metadata.sql_queue(), dirty("k"));
    let mark = queue.intent(&key, "r1", LONG).await.unwrap();
    queue.release(&key, &mark).await.unwrap();
    queue.release(&key, &mark).await.unwrap();
    assert!(!queue.is_clean(&key).await.unwrap());
    assert_eq!(queue.clear(&claim_one(&queue).await).await.unwrap(), Cleared::Clean);
    queue.release(&key, &mark).await.unwrap();
    assert!(queue.is_clean(&key).await.unwrap());
}

pub(super) async fn a_thousand_overwrites_make_one_job(f: Fixture) {
    let (queue, key) = (f.metadata.sql_queue(), dirty("k"));
    for n in 0..50 {
        let mark = queue.intent(&key, &format!("r{n}"), LONG).await.unwrap();
        queue.commit(&key, &mark, &format!("r{n}")).await.unwrap();
    }
    let job = claim_one(&queue).await;
    assert_eq!(job.request_id, "r49");
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
}

pub(super) async fn retries_wait_and_count(f: Fixture) {
    let (queue, key) = (f.metadata.sql_queue(), dirty("k"));
    queue.mark(&key, "r0").await.unwrap();
    let job = claim_one(&queue).await;
    queue.retry(&job, SHORT).await.unwrap();
    queue.retry(&job, LONG).await.unwrap(); // no longer this claim's
    assert_eq!(queue.depth().await.unwrap().delayed, 1);
    assert!(claim(&queue).await.is_empty());
    tokio::time::sleep(SHORT * 2).await;
    let job = claim_one(&queue).await;
    assert_eq!(job.attempts, 1);
    queue.retry(&job, LONG).await.unwrap();
    assert!(claim(&queue).await.is_empty());
    queue.mark(&key, "r1").await.unwrap();
    let job = claim_one(&queue).await;
    assert_eq!(job.attempts, 2, "what is marked is tried at once");
    queue.retry(&job, NOW).await.unwrap();
    assert_eq!(claim_one(&queue).await.attempts, 3);
}

pub(super) async fn dead_letters_are_listed_redriven_and_revived(f: Fixture) {
    let queue = f.metadata.sql_queue();
    for key in ["a", "b", "c"] {
        queue.mark(&dirty(key), "r").await.unwrap();
        queue.bury(&claim_one(&queue).await, &format!("because of {key}")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(claim(&queue).await.is_empty() && !queue.is_clean(&dirty("a")).await.unwrap());
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.dirty, depth.dead, depth.claimed), (3, 3, 0));
    let dead = queue.dead_letters(None, 2).await.unwrap();
    let seen: Vec<_> = dead.iter().map(|d| (d.key.clone(), d.reason.as_str(), d.attempts)).collect();
    assert_eq!(seen, [(dirty("a"), "because of a", 1), (dirty("b"), "because of b", 1)]);
    assert!(dead[0].since < dead[1].since);

    assert_eq!(queue.redrive(Some(&dirty("b"))).await.unwrap(), 1);
    assert_eq!(queue.redrive(Some(&dirty("b"))).await.unwrap(), 0);
    let job = claim_one(&queue).await;
    assert_eq!((job.key.clone(), job.attempts), (dirty("b"), 0));
    queue.clear(&job).await.unwrap();
    let mark = queue.intent(&dirty("c"), "new", LONG).await.unwrap();
    assert_eq!(queue.dead_letters(None, 9).await.unwrap().len(), 1, "a write revives a dead letter");
    queue.commit(&dirty("c"), &mark, "new").await.unwrap();
    let job = claim_one(&queue).await;
    assert_eq!((job.key.clone(), job.attempts), (dirty("c"), 0));
    queue.clear(&job).await.unwrap();
    assert_eq!(queue.redrive(None).await.unwrap(), 1);
    assert_eq!(claim_one(&queue).await.key, dirty("a"));
}

pub(super) async fn a_buried_key_written_meanwhile_is_queued(f: Fixture) {
    let (queue, key) = (f.metadata.sql_queue(), dirty("k"));
    queue.mark(&key, "r0").await.unwrap();
    let job = claim_one(&queue).await;
    queue.mark(&key, "r1").await.unwrap();
    queue.bury(&job, "hopeless").await.unwrap();
    assert!(queue.dead_letters(None, 9).await.unwrap().is_empty());
    let job = claim_one(&queue).await;
    let mark = queue.intent(&key, "r2", LONG).await.unwrap();
    queue.bury(&job, "hopeless").await.unwrap();
    assert!(queue.dead_letters(None, 9).await.unwrap().is_empty(), "a write is in flight");
    queue.commit(&key, &mark, "r2").await.unwrap();
    assert_eq!(queue.clear(&claim_one(&queue).await).await.unwrap(), Cleared::Clean);
}

pub(super) async fn a_dead_workers_claim_is_taken_over(f: Fixture) {
    let (queue, key) = (f.metadata.sql_queue(), dirty("k"));
    queue.mark(&key, "r0").await.unwrap();
    let lost = claim_one(&queue).await;
    assert!(queue.claim("w2", 10, LONG).await.unwrap().is_empty(), "the claim is young");
    tokio::time::sleep(SHORT).await;
    let mut jobs = queue.claim("w2", 10, SHORT / 2).await.unwrap();
    let job = jobs.remove(0);
    assert_eq!((job.key.clone(), job.attempts), (key.clone(), 1), "dying over a key is failing at it");
    assert!(!queue.extend(&lost, "w1", LONG).await.unwrap());
    assert_eq!(queue.clear(&lost).await.unwrap(), Cleared::Requeued);
    queue.retry(&lost, LONG).await.unwrap();
    queue.bury(&lost, "late").await.unwrap();
    assert!(!queue.is_clean(&key).await.unwrap() && queue.depth().await.unwrap().claimed == 1, "the second worker's");
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
}

pub(super) async fn what_a_dead_process_held_is_taken_over_at_once(f: Fixture) {
    let (queue, written, claimed, delayed) =
        (f.metadata.sql_queue(), dirty("written"), dirty("claimed"), dirty("delayed"));
    for key in [&delayed, &claimed] {
        queue.mark(key, "r1").await.unwrap();
        let job = claim_one(&queue).await;
        if key == &delayed {
            queue.retry(&job, LONG).await.unwrap();
        }
    }
    let mark = queue.intent(&written, "r2", LONG).await.unwrap();
    assert!(claim(&queue).await.is_empty(), "all of them wait");
    queue.take_over().await.unwrap();
    let mut jobs = queue.claim("w2", 10, LONG).await.unwrap();
    jobs.sort_by(|a, b| a.key.key.as_str().cmp(b.key.key.as_str()));
    let found: Vec<_> = jobs.iter().map(|job| (&job.key, job.attempts)).collect();
    assert_eq!(found, [(&claimed, 1), (&written, 0)], "a backoff goes on");
    for job in &jobs {
        assert_eq!(queue.clear(job).await.unwrap(), Cleared::Clean);
    }
    queue.commit(&written, &mark, "r2").await.unwrap();
    assert!(!queue.is_clean(&written).await.unwrap(), "a commit that comes late marks again");
}

pub(super) async fn an_extended_claim_is_not_taken_over(f: Fixture) {
    let (queue, key) = (f.metadata.sql_queue(), dirty("k"));
    queue.mark(&key, "r0").await.unwrap();
    let job = claim_one(&queue).await;
    tokio::time::sleep(SHORT * 2).await;
    assert!(queue.extend(&job, "w1", LONG).await.unwrap());
    assert!(queue.claim("w2", 10, SHORT * 2).await.unwrap().is_empty());
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
    assert!(!queue.extend(&job, "w1", LONG).await.unwrap());
}

pub(super) async fn workers_never_claim_the_same_key(f: Fixture) {
    const KEYS: usize = 60;
    let queue = f.metadata.sql_queue();
    for n in 0..KEYS {
        queue.mark(&dirty(&format!("k{n}")), "r").await.unwrap();
    }
    let mut workers = JoinSet::new();
    for n in 0..6 {
        let queue = if n % 2 == 0 { queue.clone() } else { f.second().await.sql_queue() };
        workers.spawn(async move {
            let mut mine = Vec::new();
            // Rows that another worker is locking are stepped over, so that nothing found is no end yet.
            while queue.depth().await.unwrap().claimed < u64::try_from(KEYS).unwrap() {
                mine.extend(queue.claim(&format!("w{n}"), 3, LONG).await.unwrap());
            }
            mine
        });
    }
    let mut all = Vec::new();
    while let Some(mine) = workers.join_next().await {
        all.extend(mine.unwrap());
    }
    let distinct: HashSet<&DirtyKey> = all.iter().map(|job| &job.key).collect();
    assert_eq!((all.len(), distinct.len()), (KEYS, KEYS));
}

pub(super) async fn concurrent_writers_and_workers_end_clean(f: Fixture) {
    let queue = f.metadata.sql_queue();
    let home = Arc::new([const { AtomicUsize::new(0) }; 3]);
    let replica = Arc::new([const { AtomicUsize::new(0) }; 3]);
    let mut writers = JoinSet::new();
    for writer in 0..4_usize {
        let (queue, home) = (queue.clone(), home.clone());
        writers.spawn(async move {
            for round in 0..10 {
                let n = (writer + round) % 3;
                let key = dirty(&format!("k{n}"));
                let mark = queue.intent(&key, "r", LONG).await.unwrap();
                home[n].fetch_add(1, Ordering::SeqCst);
                queue.commit(&key, &mark, "r").await.unwrap();
            }
        });
    }
    let mut workers = JoinSet::new();
    for worker in 0..2 {
        let (queue, home, replica) = (queue.clone(), home.clone(), replica.clone());
        workers.spawn(async move {
            loop {
                for job in queue.claim(&format!("w{worker}"), 2, LONG).await.unwrap() {
                    let n: usize = job.key.key.as_str()[1..].parse().unwrap();
                    let seen = home[n].load(Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    replica[n].store(seen, Ordering::SeqCst);
                    queue.clear(&job).await.unwrap();
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    until("all keys are clean", || async { queue.depth().await.unwrap().dirty == 0 }).await;
    workers.shutdown().await;
    for n in 0..3 {
        assert_eq!(replica[n].load(Ordering::SeqCst), home[n].load(Ordering::SeqCst), "a clean key is equal");
    }
}

pub(super) async fn sequences_never_repeat(f: Fixture) {
    let (queue, key) = (f.metadata.sql_queue(), dirty("k"));
    let mut seen = HashSet::new();
    for _ in 0..10 {
        queue.mark(&key, "r").await.unwrap();
        let job = claim_one(&queue).await;
        assert!(seen.insert(job.sequence), "an old job must not clear a new mark");
        assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
    }
}
