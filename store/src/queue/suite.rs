//! What every queue must do. One trait, one suite: `queue_suite!(name, fixture)` runs it on an implementation, where
//! `fixture().await` gives an empty queue and whatever must live as long, or nothing where the machine has no server for it.
pub(crate) use super::suite_alone::*;
pub(crate) use super::suite_late::*;
pub(crate) use super::suite_scale::*;
use super::testing::until;
use super::{Cleared, DirtyKey, Job, Queue};
use crate::BucketId;
use s3gateway_s3::ObjectKey;
use std::collections::HashSet;
use std::time::Duration;

/// Longer than any test runs.
pub(crate) const LONG: Duration = Duration::from_secs(600);
/// Waited out by tests.
pub(crate) const SHORT: Duration = Duration::from_millis(300);

macro_rules! queue_suite {
    ($name:ident, $fixture:expr) => {
        queue_suite!(@cases $name, $fixture,
            committed_write_is_claimed_once_and_cleared, overwrites_make_one_job, write_during_converge_is_converged_again,
            live_lease_blocks_clear, lease_that_ran_out_since_the_claim_blocks_clear, dead_writers_key_is_converged,
            released_write_is_looked_at_and_cleared, several_writers_hold_their_own_leases, stale_claim_is_taken_over,
            extended_claim_is_kept, retry_waits_and_counts, dead_letter_is_kept_until_redriven,
            dead_letter_is_revived_by_a_write, key_written_since_its_claim_is_not_buried, any_key_and_request_id_come_back,
            buckets_are_told_apart, claimers_never_share_a_job, late_commit_marks_again, renewed_lease_marks_again,
            everything_may_be_repeated, a_writer_that_is_alone_keeps_others_away, others_keep_away_who_must_be_alone,
            a_lease_that_is_alone_and_gone_is_not_taken_anew, of_many_that_must_be_alone_one_at_a_time_is, a_write_has_its_key_to_itself_until_something_comes,
            what_may_land_late_blocks_clear_and_nothing_else, what_may_land_late_disturbs_where_it_may_land,
            what_may_land_late_makes_a_clean_key_dirty,
            many_keys_are_marked_at_once, a_job_that_is_put_off_counts_no_attempt,
            what_was_put_off_comes_at_once_when_its_key_is_marked,
            large_jobs_queue_apart_until_written_again, a_burst_of_one_bucket_is_drained_in_order,
            bursts_of_one_tenant_keep_no_other_waiting,
            workers_that_attend_share_all_jobs, dead_letters_are_listed_to_the_last);
    };
    (@cases $name:ident, $fixture:expr, $($case:ident),+) => {
        mod $name {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let fixture = $fixture;
                match fixture().await {
                    Some((_alive, queue)) => crate::queue::suite::$case(&queue).await,
                    None => eprintln!("skipped: no server found"),
                }
            })+
        }
    };
}
pub(crate) use queue_suite;

pub(crate) fn key_in(bucket: &str, key: &str) -> DirtyKey {
    DirtyKey { bucket: BucketId::new(bucket), key: ObjectKey::parse(key).unwrap() }
}

pub(crate) fn key(name: &str) -> DirtyKey {
    key_in("0199-bucket", name)
}

pub(crate) async fn write(queue: &dyn Queue, key: &DirtyKey, request: &str) {
    let mark = queue.intent(key, request, LONG).await.unwrap();
    queue.commit(key, &mark, request).await.unwrap();
}

/// The only job to be had, now.
pub(crate) async fn claim_one(queue: &dyn Queue, consumer: &str) -> Job {
    let mut jobs = queue.claim(consumer, 10, LONG).await.unwrap();
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    jobs.remove(0)
}

pub(crate) async fn await_job(queue: &dyn Queue, consumer: &str, lease: Duration) -> Job {
    until("a job is to be had", || async { queue.claim(consumer, 1, lease).await.unwrap().pop() }).await
}

/// Works until the only key is clean.
pub(crate) async fn await_cleared(queue: &dyn Queue, what: &str) {
    until(what, || async {
        let job = queue.claim("w1", 1, LONG).await.unwrap().pop()?;
        (queue.clear(&job).await.unwrap() == Cleared::Clean).then_some(())
    })
    .await;
}

pub(crate) async fn assert_no_job(queue: &dyn Queue) {
    let jobs = queue.claim("nobody", 10, LONG).await.unwrap();
    assert!(jobs.is_empty(), "{jobs:?}");
}

pub(crate) async fn committed_write_is_claimed_once_and_cleared(queue: &dyn Queue) {
    let k = key("a");
    assert!(queue.is_clean(&k).await.unwrap());
    assert_no_job(queue).await;
    let mark = queue.intent(&k, "req-1", LONG).await.unwrap();
    assert!(!queue.is_clean(&k).await.unwrap());
    assert!(!queue.is_bucket_clean(&k.bucket).await.unwrap());
    queue.commit(&k, &mark, "req-1").await.unwrap();
    let job = claim_one(queue, "w1").await;
    assert_eq!((&job.key, job.request_id.as_str(), job.attempts), (&k, "req-1", 0));
    assert!(job.sequence > mark.sequence);
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.dirty, depth.claimed, depth.oldest), (1, 1, Some(job.dirty_since)));
    assert_no_job(queue).await;
    assert!(!queue.is_clean(&k).await.unwrap());
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
    assert!(queue.is_clean(&k).await.unwrap());
    assert!(queue.is_bucket_clean(&k.bucket).await.unwrap());
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.dirty, depth.claimed, depth.delayed, depth.dead, depth.oldest), (0, 0, 0, 0, None));
}

pub(crate) async fn overwrites_make_one_job(queue: &dyn Queue) {
    let k = key("hot");
    for n in 0..1000 {
        write(queue, &k, &format!("req-{n}")).await;
    }
    assert_eq!(queue.depth().await.unwrap().dirty, 1);
    let job = claim_one(queue, "w1").await;
    assert_eq!(job.request_id, "req-999");
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
    assert_no_job(queue).await;
}

pub(crate) async fn write_during_converge_is_converged_again(queue: &dyn Queue) {
    let k = key("a");
    write(queue, &k, "one").await;
    let first = claim_one(queue, "w1").await;
    write(queue, &k, "two").await;
    assert_eq!(queue.clear(&first).await.unwrap(), Cleared::Requeued);
    let second = claim_one(queue, "w2").await;
    assert!(second.sequence > first.sequence);
    assert_eq!((second.request_id.as_str(), second.dirty_since), ("two", first.dirty_since));
    assert_eq!(queue.clear(&first).await.unwrap(), Cleared::Requeued, "a claim of the past clears nothing");
    assert_eq!(queue.clear(&second).await.unwrap(), Cleared::Clean);
}

pub(crate) async fn live_lease_blocks_clear(queue: &dyn Queue) {
    let k = key("a");
    let mark = queue.intent(&k, "r", LONG).await.unwrap();
    queue.mark(&k, "r").await.unwrap();
    let job = claim_one(queue, "w1").await;
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Requeued);
    assert!(!queue.is_clean(&k).await.unwrap());
    assert_no_job(queue).await;
    queue.commit(&k, &mark, "r").await.unwrap();
    let job = claim_one(queue, "w1").await;
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
}

/// The writer may have died after its write landed, and the write may have landed after the worker looked.
pub(crate) async fn lease_that_ran_out_since_the_claim_blocks_clear(queue: &dyn Queue) {
    let k = key("a");
    queue.intent(&k, "r", Duration::from_secs(1)).await.unwrap();
    queue.mark(&k, "r").await.unwrap();
    let job = claim_one(queue, "w1").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Requeued);
    let job = claim_one(queue, "w1").await;
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
}

pub(crate) async fn dead_writers_key_is_converged(queue: &dyn Queue) {
    let k = key("a");
    queue.intent(&k, "r", SHORT).await.unwrap();
    await_cleared(queue, "the lease runs out and the key is cleared").await;
    assert!(queue.is_clean(&k).await.unwrap());
}

pub(crate) async fn released_write_is_looked_at_and_cleared(queue: &dyn Queue) {
    let k = key("a");
    let mark = queue.intent(&k, "r", LONG).await.unwrap();
    queue.release(&k, &mark).await.unwrap();
    assert!(!queue.is_clean(&k).await.unwrap());
    let job = claim_one(queue, "w1").await;
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
}

pub(crate) async fn several_writers_hold_their_own_leases(queue: &dyn Queue) {
    let k = key("a");
    let one = queue.intent(&k, "one", LONG).await.unwrap();
    let two = queue.intent(&k, "two", LONG).await.unwrap();
    let three = queue.intent(&k, "three", LONG).await.unwrap();
    assert_ne!(one.lease, two.lease);
    queue.commit(&k, &one, "one").await.unwrap();
    let job = claim_one(queue, "w1").await;
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Requeued, "two writers are left");
    queue.commit(&k, &two, "two").await.unwrap();
    let job = claim_one(queue, "w1").await;
    queue.release(&k, &three).await.unwrap();
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
}

pub(crate) async fn stale_claim_is_taken_over(queue: &dyn Queue) {
    let k = key("a");
    write(queue, &k, "r").await;
    let lost = claim_one(queue, "w1").await;
    assert!(queue.extend(&lost, "w1", SHORT).await.unwrap());
    let taken = await_job(queue, "w2", SHORT).await;
    assert_eq!((&taken.key, taken.sequence), (&k, lost.sequence));
    assert!(!queue.extend(&lost, "w1", SHORT).await.unwrap());
    assert_eq!(queue.clear(&lost).await.unwrap(), Cleared::Requeued);
    queue.retry(&lost, Duration::ZERO).await.unwrap();
    queue.bury(&lost, "too late").await.unwrap();
    assert!(queue.dead_letters(None, 10).await.unwrap().is_empty());
    assert!(!queue.is_clean(&k).await.unwrap());
    assert_no_job(queue).await;
    assert_eq!(queue.clear(&taken).await.unwrap(), Cleared::Clean);
    assert!(queue.is_clean(&k).await.unwrap());
}

pub(crate) async fn extended_claim_is_kept(queue: &dyn Queue) {
    let lease = Duration::from_secs(2);
    write(queue, &key("a"), "r").await;
    let job = queue.claim("w1", 1, lease).await.unwrap().remove(0);
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(queue.extend(&job, "w1", lease).await.unwrap());
        assert!(queue.claim("w2", 1, lease).await.unwrap().is_empty());
    }
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
    assert!(!queue.extend(&job, "w1", lease).await.unwrap());
}

pub(crate) async fn retry_waits_and_counts(queue: &dyn Queue) {
    let k = key("a");
    write(queue, &k, "r").await;
    let job = claim_one(queue, "w1").await;
    queue.retry(&job, Duration::from_secs(1)).await.unwrap();
    assert_no_job(queue).await;
    assert_eq!(queue.depth().await.unwrap().delayed, 1);
    let job = await_job(queue, "w2", LONG).await;
    assert_eq!((job.attempts, queue.depth().await.unwrap().delayed), (1, 0));
    queue.retry(&job, Duration::ZERO).await.unwrap();
    let job = await_job(queue, "w2", LONG).await;
    assert_eq!((job.attempts, &job.key), (2, &k));
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
}

pub(crate) async fn dead_letter_is_kept_until_redriven(queue: &dyn Queue) {
    let keys = ["a", "b", "c"].map(key);
    for k in &keys {
        write(queue, k, "r").await;
        let job = claim_one(queue, "w1").await;
        queue.bury(&job, "the target says no").await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_no_job(queue).await;
    let letters = queue.dead_letters(None, 2).await.unwrap();
    assert_eq!(letters.iter().map(|letter| &letter.key).collect::<Vec<_>>(), [&keys[0], &keys[1]]);
    assert_eq!((letters[0].reason.as_str(), letters[0].attempts), ("the target says no", 1));
    let place = letters[0].cursor();
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.dirty, depth.dead, depth.claimed), (3, 3, 0));
    assert!(!queue.is_clean(&keys[0]).await.unwrap());
    assert_eq!(queue.redrive(Some(&keys[0])).await.unwrap(), 1);
    assert_eq!(queue.redrive(Some(&keys[0])).await.unwrap(), 0);
    assert_eq!(queue.redrive(Some(&key("never seen"))).await.unwrap(), 0);
    let job = claim_one(queue, "w1").await;
    assert_eq!((&job.key, job.attempts), (&keys[0], 0));
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
    let behind = queue.dead_letters(Some(&place), 10).await.unwrap();
    assert!(behind.iter().map(|letter| &letter.key).eq(&keys[1..]), "behind one that is gone");
    assert_eq!(queue.redrive(None).await.unwrap(), 2);
    assert_eq!(queue.claim("w1", 10, LONG).await.unwrap().len(), 2);
    assert!(queue.dead_letters(None, 10).await.unwrap().is_empty());
}

pub(crate) async fn dead_letter_is_revived_by_a_write(queue: &dyn Queue) {
    let k = key("a");
    write(queue, &k, "r").await;
    let job = claim_one(queue, "w1").await;
    queue.bury(&job, "no").await.unwrap();
    write(queue, &k, "again").await;
    assert!(queue.dead_letters(None, 10).await.unwrap().is_empty());
    let job = claim_one(queue, "w1").await;
    assert_eq!((job.request_id.as_str(), job.attempts), ("again", 0));
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
}

pub(crate) async fn key_written_since_its_claim_is_not_buried(queue: &dyn Queue) {
    let k = key("a");
    write(queue, &k, "r").await;
    let job = claim_one(queue, "w1").await;
    write(queue, &k, "newer").await;
    queue.bury(&job, "the older write fails").await.unwrap();
    assert!(queue.dead_letters(None, 10).await.unwrap().is_empty());
    let job = await_job(queue, "w1", LONG).await;
    assert_eq!(job.request_id, "newer");
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
}

pub(crate) async fn any_key_and_request_id_come_back(queue: &dyn Queue) {
    let longest = "ä".repeat(512);
    let names =
        ["a b", "a\0b", "\0", "a\nb", "a/b//c/", "/", "../x", "%41", "{s3gw:1}", "*", "\u{10ffff}", "'\"\\", &longest];
    for (n, name) in names.iter().enumerate() {
        let k = key(name);
        let request = ["", "with space", "with\nline and 7 digits"][n % 3];
        write(queue, &k, request).await;
        let job = claim_one(queue, "w 1").await;
        assert_eq!((&job.key, job.request_id.as_str()), (&k, request));
        queue.bury(&job, "why\n\"so\"").await.unwrap();
        let letter = queue.dead_letters(None, 1).await.unwrap().remove(0);
        assert_eq!((&letter.key, letter.reason.as_str()), (&k, "why\n\"so\""));
        assert_eq!(queue.redrive(Some(&k)).await.unwrap(), 1);
        let job = claim_one(queue, "w 1").await;
        assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
        assert!(queue.is_clean(&k).await.unwrap());
    }
}

pub(crate) async fn buckets_are_told_apart(queue: &dyn Queue) {
    for k in ["x", "y", "z"] {
        write(queue, &key_in("b1", k), "r").await;
        write(queue, &key_in("b1", k), "r").await;
    }
    write(queue, &key_in("b2", "x"), "r").await;
    assert!(queue.is_bucket_clean(&BucketId::new("b3")).await.unwrap());
    assert!(queue.is_clean(&key_in("b2", "y")).await.unwrap());
    assert_eq!(dirty_keys(queue, "b1").await, ["x", "y", "z"]);
    assert_eq!(dirty_keys(queue, "b2").await, ["x"]);
    let oldest = async |bucket| oldest_dirty(queue, bucket).await;
    assert_eq!(oldest("b1").await, queue.depth().await.unwrap().oldest);
    assert!(oldest("b2").await >= oldest("b1").await && oldest("b3").await.is_none());
    let counted = async |bucket| queue.count_dirty(&BucketId::new(bucket)).await.unwrap();
    assert_eq!((counted("b1").await, counted("b2").await, counted("b").await), (3, 1, 0));
    assert!(dirty_keys(queue, "b").await.is_empty());
    let jobs = queue.claim("w1", 10, LONG).await.unwrap();
    assert_eq!(jobs.len(), 4);
    let (b1, b2): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|job| job.key.bucket == BucketId::new("b1"));
    for job in &b1[..2] {
        queue.clear(job).await.unwrap();
    }
    assert!(!queue.is_bucket_clean(&BucketId::new("b1")).await.unwrap());
    assert_eq!(counted("b1").await, 1);
    queue.clear(&b1[2]).await.unwrap();
    assert!(queue.is_bucket_clean(&BucketId::new("b1")).await.unwrap());
    assert!(!queue.is_bucket_clean(&BucketId::new("b2")).await.unwrap());
    queue.clear(&b2[0]).await.unwrap();
    assert!(queue.is_bucket_clean(&BucketId::new("b2")).await.unwrap());
}

async fn dirty_keys(queue: &dyn Queue, bucket: &str) -> Vec<String> {
    let (mut keys, mut from) = (std::collections::BTreeSet::new(), None);
    loop {
        let page = queue.dirty_keys(&BucketId::new(bucket), from.as_deref()).await.unwrap();
        keys.extend(page.keys.iter().map(|key| key.as_str().to_owned()));
        from = page.next;
        if from.is_none() {
            return keys.into_iter().collect();
        }
    }
}

async fn oldest_dirty(queue: &dyn Queue, bucket: &str) -> Option<i64> {
    let (mut oldest, mut from): (Option<i64>, Option<String>) = (None, None);
    loop {
        let page = queue.dirty_keys(&BucketId::new(bucket), from.as_deref()).await.unwrap();
        oldest = oldest.into_iter().chain(page.oldest).min();
        from = page.next;
        if from.is_none() {
            return oldest;
        }
    }
}

pub(crate) async fn claimers_never_share_a_job(queue: &dyn Queue) {
    for n in 0..150 {
        queue.mark(&key(&format!("k{n}")), "r").await.unwrap();
    }
    let claimer = |name: &'static str, limit: usize| async move {
        let mut mine = Vec::new();
        loop {
            let jobs = queue.claim(name, limit, LONG).await.unwrap();
            assert!(jobs.len() <= limit);
            if jobs.is_empty() {
                return mine;
            }
            mine.extend(jobs);
        }
    };
    let (a, b, c) = tokio::join!(claimer("w1", 1), claimer("w2", 7), claimer("w3", 40));
    let all: Vec<Job> = a.into_iter().chain(b).chain(c).collect();
    let distinct: HashSet<&DirtyKey> = all.iter().map(|job| &job.key).collect();
    assert_eq!((all.len(), distinct.len()), (150, 150));
    assert_eq!(queue.depth().await.unwrap().claimed, 150);
    assert!(queue.claim("w1", 0, LONG).await.unwrap().is_empty());
}

pub(crate) async fn late_commit_marks_again(queue: &dyn Queue) {
    let k = key("a");
    let mark = queue.intent(&k, "slow", SHORT).await.unwrap();
    await_cleared(queue, "the key is cleared under the slow writer").await;
    queue.commit(&k, &mark, "slow").await.unwrap();
    assert!(!queue.is_clean(&k).await.unwrap());
    let job = claim_one(queue, "w1").await;
    assert_eq!(job.request_id, "slow");
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
}

pub(crate) async fn renewed_lease_marks_again(queue: &dyn Queue) {
    let k = key("a");
    let mark = queue.intent(&k, "long", SHORT).await.unwrap();
    await_cleared(queue, "the key is cleared under the long upload").await;
    let raised = queue.renew(&k, &mark, LONG).await.unwrap();
    assert!(raised > mark.sequence, "{raised}");
    assert!(!queue.is_clean(&k).await.unwrap());
    queue.mark(&k, "r").await.unwrap();
    let job = claim_one(queue, "w1").await;
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Requeued, "the renewed lease is alive");
    queue.commit(&k, &mark, "long").await.unwrap();
    let job = claim_one(queue, "w1").await;
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
}

pub(crate) async fn everything_may_be_repeated(queue: &dyn Queue) {
    let k = key("a");
    let mark = queue.intent(&k, "r", LONG).await.unwrap();
    for _ in 0..2 {
        queue.renew(&k, &mark, LONG).await.unwrap();
    }
    for _ in 0..2 {
        queue.commit(&k, &mark, "r").await.unwrap();
    }
    let job = claim_one(queue, "w1").await;
    for _ in 0..2 {
        queue.retry(&job, Duration::ZERO).await.unwrap();
    }
    let job = await_job(queue, "w1", LONG).await;
    assert_eq!(job.attempts, 1);
    for _ in 0..2 {
        queue.bury(&job, "no").await.unwrap();
    }
    assert_eq!(queue.dead_letters(None, 10).await.unwrap().len(), 1);
    assert_eq!(queue.redrive(None).await.unwrap(), 1);
    assert_eq!(queue.redrive(None).await.unwrap(), 0);
    let job = claim_one(queue, "w1").await;
    for _ in 0..2 {
        assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
    }
    for _ in 0..2 {
        queue.release(&k, &mark).await.unwrap();
    }
    assert!(queue.is_clean(&k).await.unwrap());
    assert_eq!(queue.depth().await.unwrap().dirty, 0);
}
