//! What every queue must do with many keys, many workers and large objects; the cases are listed in `suite`.
use super::suite::{LONG, SHORT, assert_no_job, await_job, claim_one, key, key_in, write};
use super::testing::until;
use super::{Cleared, DirtyKey, Job, Lane, LetterCursor, Queue};
use std::collections::HashSet;
use std::time::{Duration, Instant};

pub(crate) async fn many_keys_are_marked_at_once(queue: &dyn Queue) {
    let keys: Vec<DirtyKey> = (0..700).map(|n| key(&format!("k{n}\0 ä"))).collect();
    queue.mark_all(&[], "nothing").await.unwrap();
    write(queue, &keys[3], "earlier").await;
    let earlier = claim_one(queue, "w").await;
    for _ in 0..2 {
        queue.mark_all(&keys, "many").await.unwrap();
    }
    assert_eq!(queue.depth().await.unwrap().dirty, 700);
    assert_eq!(queue.clear(&earlier).await.unwrap(), Cleared::Requeued, "it was marked again");
    let mut seen = HashSet::new();
    loop {
        let jobs = queue.claim("w", 100, LONG).await.unwrap();
        if jobs.is_empty() {
            break;
        }
        for job in jobs {
            assert_eq!(job.request_id, "many");
            assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
            assert!(seen.insert(job.key));
        }
    }
    assert_eq!(seen, keys.into_iter().collect());
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.dirty, depth.claimed, depth.oldest), (0, 0, None));
}

pub(crate) async fn a_job_that_is_put_off_counts_no_attempt(queue: &dyn Queue) {
    let k = key("a");
    write(queue, &k, "r").await;
    let first = claim_one(queue, "w").await;
    queue.put_off(&first, Duration::from_secs(1)).await.unwrap();
    assert_no_job(queue).await;
    assert_eq!(queue.depth().await.unwrap().delayed, 1);
    let second = await_job(queue, "w", LONG).await;
    assert_eq!((second.attempts, second.dirty_since), (0, first.dirty_since));
    queue.put_off(&first, Duration::ZERO).await.unwrap();
    assert_no_job(queue).await;
    assert_eq!(queue.clear(&second).await.unwrap(), Cleared::Clean);
}

/// It was put off for what stood there before.
pub(crate) async fn what_was_put_off_comes_at_once_when_its_key_is_marked(queue: &dyn Queue) {
    let k = key("a");
    write(queue, &k, "r").await;
    queue.put_off(&claim_one(queue, "w").await, LONG).await.unwrap();
    queue.mark(&k, "again").await.unwrap();
    let job = claim_one(queue, "w").await;
    assert_eq!((job.attempts, job.request_id.as_str()), (0, "again"));
    queue.retry(&job, LONG).await.unwrap();
    write(queue, &k, "r").await;
    let job = claim_one(queue, "w").await;
    // Meanwhile, so that the worker may have seen what stood there before.
    write(queue, &k, "r").await;
    queue.put_off(&job, LONG).await.unwrap();
    let job = claim_one(queue, "w").await;
    queue.mark(&k, "").await.unwrap();
    queue.retry(&job, LONG).await.unwrap();
    let job = claim_one(queue, "w").await;
    assert_eq!((job.attempts, queue.depth().await.unwrap().delayed), (0, 0), "as if new");
    queue.retry(&job, LONG).await.unwrap();
    assert_no_job(queue).await;
    let mark = queue.intent(&k, "r", LONG).await.unwrap();
    assert_no_job(queue).await;
    queue.release(&k, &mark).await.unwrap();
    assert_eq!(queue.clear(&claim_one(queue, "w").await).await.unwrap(), Cleared::Clean);
}

pub(crate) async fn large_jobs_queue_apart_until_written_again(queue: &dyn Queue) {
    let k = key("large");
    write(queue, &k, "r").await;
    let small = claim_one(queue, "w").await;
    assert_eq!(small.lane, Lane::Small);
    queue.set_aside(&small).await.unwrap();
    assert_no_job(queue).await;
    let mut jobs = queue.claim_in(Lane::Large, "w", 10, LONG).await.unwrap();
    let large = jobs.pop().unwrap();
    assert!(jobs.is_empty());
    assert_eq!((&large.key, large.lane, large.attempts, large.sequence), (&k, Lane::Large, 0, small.sequence));
    queue.set_aside(&small).await.unwrap();
    assert!(
        queue.claim_in(Lane::Large, "w", 10, LONG).await.unwrap().is_empty(),
        "the claim of the past moves nothing"
    );
    queue.retry(&large, Duration::ZERO).await.unwrap();
    let large = until("the retry is in its lane", || async {
        assert_no_job(queue).await;
        queue.claim_in(Lane::Large, "w", 1, LONG).await.unwrap().pop()
    })
    .await;
    assert_eq!(large.attempts, 1);
    write(queue, &k, "what is written now may be small").await;
    assert_eq!(queue.clear(&large).await.unwrap(), Cleared::Requeued);
    let job = await_job(queue, "w", LONG).await;
    assert_eq!((job.lane, job.attempts), (Lane::Small, 0));
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
    assert_eq!(queue.depth().await.unwrap().dirty, 0);
}

/// In order of age, as far as shards allow: whatever is claimed last did not wait while much younger keys went.
pub(crate) async fn a_burst_of_one_bucket_is_drained_in_order(queue: &dyn Queue) {
    for hundred in 0..5 {
        let keys: Vec<DirtyKey> = (0..100).map(|n| key(&format!("{hundred}-{n}"))).collect();
        queue.mark_all(&keys, "r").await.unwrap();
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    let mut order = Vec::new();
    loop {
        let jobs = queue.claim("w", 10, LONG).await.unwrap();
        if jobs.is_empty() {
            break;
        }
        for job in jobs {
            order.push(job.key.key.as_str().split('-').next().unwrap().parse::<i32>().unwrap());
            queue.clear(&job).await.unwrap();
        }
    }
    assert_eq!(order.len(), 500);
    let mut newest = 0;
    for hundred in &order {
        assert!(*hundred >= newest - 1, "a key of the {hundred}th hundred came after the {newest}th");
        newest = newest.max(*hundred);
    }
}

/// New, come back or large: what another tenant has of it is had long before the bursts are over.
pub(crate) async fn bursts_of_one_tenant_keep_no_other_waiting(queue: &dyn Queue) {
    const MOST: usize = 200;
    let burst = |bucket: usize| (0..100).map(move |n| key_in(&format!("burst-{bucket}-0000"), &format!("{n:03}")));
    queue.mark_all(&(0..12).flat_map(burst).collect::<Vec<_>>(), "r").await.unwrap();
    let others = ["other-1-0002", "other-2-0002"];
    let few: Vec<DirtyKey> = others.iter().flat_map(|bucket| (0..3).map(|n| key_in(bucket, &n.to_string()))).collect();
    queue.mark_all(&few, "r").await.unwrap();

    let claim_until_few = async |lane: Lane| {
        let (mut taken, mut found, began) = (Vec::new(), Vec::new(), Instant::now());
        while found.len() < few.len() && taken.len() <= MOST && began.elapsed() < LONG / 10 {
            let jobs = queue.claim_in(lane, "w", 30, LONG).await.unwrap();
            let (ours, others): (Vec<Job>, Vec<Job>) = jobs.into_iter().partition(|job| few.contains(&job.key));
            found.extend(ours);
            taken.extend(others);
        }
        assert_eq!(found.len(), few.len(), "{lane:?}: {} of the bursts went first", taken.len());
        (taken, found)
    };
    let (mut bursts, mut found) = claim_until_few(Lane::Small).await;
    while bursts.len() < 2 * MOST {
        let jobs = queue.claim("w", 50, LONG).await.unwrap();
        assert!(!jobs.is_empty(), "{} of the bursts were to be had", bursts.len());
        bursts.extend(jobs);
    }
    let back = bursts.split_off(MOST);
    for job in back.iter().chain(&found) {
        queue.retry(job, Duration::ZERO).await.unwrap();
    }
    (_, found) = claim_until_few(Lane::Small).await;
    for job in bursts.iter().chain(&found) {
        queue.set_aside(job).await.unwrap();
    }
    claim_until_few(Lane::Large).await;
}

/// Leases of shards speed workers up and are needed for nothing: jobs of a worker that went silent are had by the others.
pub(crate) async fn workers_that_attend_share_all_jobs(queue: &dyn Queue) {
    for worker in ["a", "b", "silent"] {
        queue.attend(worker, LONG).await.unwrap();
    }
    let keys: Vec<DirtyKey> = (0..120).map(|n| key(&format!("k{n}"))).collect();
    queue.mark_all(&keys, "r").await.unwrap();
    let lost = queue.claim("silent", 20, LONG).await.unwrap();
    for job in &lost {
        assert!(queue.extend(job, "silent", SHORT).await.unwrap());
    }
    assert!(!lost.is_empty());
    until("two workers have worked on all keys", || async {
        let mut jobs: Vec<Job> = queue.claim("a", 5, SHORT).await.unwrap();
        jobs.extend(queue.claim("b", 5, SHORT).await.unwrap());
        for job in &jobs {
            queue.clear(job).await.unwrap();
        }
        (queue.depth().await.unwrap().dirty == 0).then_some(())
    })
    .await;
    for worker in ["a", "b", "silent", "never seen"] {
        queue.leave(worker).await.unwrap();
    }
}

pub(crate) async fn dead_letters_are_listed_to_the_last(queue: &dyn Queue) {
    let mut keys: HashSet<DirtyKey> = (0..1100).map(|n| key(&format!("a/{n} ä"))).collect();
    let last = key_in("last", "k");
    assert!(queue.dead_letter_of(&last.bucket).await.unwrap().is_none());
    queue.mark_all(&keys.iter().cloned().collect::<Vec<_>>(), "r").await.unwrap();
    bury_all(queue, "the target says no").await;
    queue.mark(&last, "r").await.unwrap();
    bury_all(queue, "it is away").await;
    let found = queue.dead_letter_of(&last.bucket).await.unwrap().unwrap();
    assert_eq!((&found.key, found.reason.as_str(), found.attempts), (&last, "it is away", 1));
    keys.insert(last);
    let all = queue.dead_letters(None, 2000).await.unwrap();
    assert_eq!(all.iter().map(|letter| letter.key.clone()).collect::<HashSet<_>>(), keys);
    assert!(all.is_sorted_by_key(|letter| letter.since), "oldest first");
    for limit in [7, 300, 1101] {
        let (mut read, mut after) = (Vec::new(), None);
        loop {
            let letters = queue.dead_letters(after.as_ref(), limit).await.unwrap();
            assert!(letters.len() <= limit);
            after = letters.last().map(|last| LetterCursor::parse(&last.cursor().to_string()).unwrap());
            read.extend(letters.into_iter().map(|letter| letter.key));
            if after.is_none() {
                break;
            }
        }
        assert!(read.iter().eq(all.iter().map(|letter| &letter.key)), "{limit} at a time");
    }
    let (mut seen, mut from) = (HashSet::new(), None);
    loop {
        let page = queue.dead_page(from.as_deref()).await.unwrap();
        for letter in page.letters {
            // What goes meanwhile hides no other.
            queue.redrive(Some(&letter.key)).await.unwrap();
            seen.insert(letter.key);
        }
        from = page.next;
        if from.is_none() {
            break;
        }
    }
    assert_eq!(seen, keys);
    assert_eq!(queue.depth().await.unwrap().dead, 0);
}

async fn bury_all(queue: &dyn Queue, why: &str) {
    loop {
        let jobs = queue.claim("w", 100, LONG).await.unwrap();
        if jobs.is_empty() {
            return;
        }
        for job in jobs {
            queue.bury(&job, why).await.unwrap();
        }
    }
}
