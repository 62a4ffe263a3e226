//! The part of the queue's suite that is about what a worker has sent and has no answer to.
use super::suite::{LONG, SHORT, assert_no_job, await_cleared, await_job, claim_one, key, write};
use super::{Cleared, Company, Queue};
use s3gateway_config::BackendId;

fn backend(id: &str) -> BackendId {
    BackendId::parse(id).unwrap()
}

pub(crate) async fn what_may_land_late_blocks_clear_and_nothing_else(queue: &dyn Queue) {
    let (k, at) = (key("a"), [backend("b")]);
    write(queue, &k, "r1").await;
    let job = claim_one(queue, "w1").await;
    queue.note_late(&k, &at, LONG).await.unwrap();
    queue.retry(&job, SHORT).await.unwrap();
    let again = await_job(queue, "w1", LONG).await;
    assert_eq!((again.attempts, again.sequence), (1, job.sequence), "it is no write");

    let alone = queue.intent_alone(&k, "r2", LONG).await.unwrap();
    let beside = key("b");
    let mark = queue.intent(&beside, "r3", LONG).await.unwrap();
    queue.note_late(&beside, &at, LONG).await.unwrap();
    queue.release(&beside, &mark).await.unwrap();
    queue.commit(&k, &alone, "r2").await.unwrap();
    queue.retry(&again, LONG).await.unwrap();

    let jobs = queue.claim("w1", 10, LONG).await.unwrap();
    assert_eq!(jobs.len(), 2, "both may be worked on at once: {jobs:?}");
    for job in &jobs {
        assert_eq!(queue.clear(job).await.unwrap(), Cleared::Requeued);
        assert!(queue.is_marked(&job.key).await.unwrap());
    }
    assert_no_job(queue).await;

    queue.mark(&k, "").await.unwrap();
    let job = claim_one(queue, "w1").await;
    queue.bury(&job, "why").await.unwrap();
    assert_eq!(queue.depth().await.unwrap().dead, 1, "it may be given up");
    queue.redrive(None).await.unwrap();
    let job = claim_one(queue, "w1").await;
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Requeued, "and is not clean");
}

pub(crate) async fn what_may_land_late_disturbs_where_it_may_land(queue: &dyn Queue) {
    let k = key("a");
    let mark = queue.intent(&k, "r1", LONG).await.unwrap();
    queue.note_late(&k, &[backend("b"), backend("c").twin()], LONG).await.unwrap();
    assert_eq!(queue.renew(&k, &mark, LONG).await.unwrap(), mark.sequence, "nothing has come to the key itself");
    let mut seen = queue.disturbance(&k, &mark).await.unwrap();
    seen.late.sort();
    assert_eq!((seen.company, &seen.late[..]), (Company::Nobody, &[backend("b"), backend("c").twin()][..]));
    assert!(seen.spares(&[backend("c"), backend("d")]) && seen.spares(&[]));
    assert!(!seen.spares(&[backend("d"), backend("b")]));

    queue.note_late(&k, &[backend("d")], SHORT).await.unwrap();
    let other = queue.intent(&k, "r2", LONG).await.unwrap();
    let seen = queue.disturbance(&k, &other).await.unwrap();
    assert_eq!((seen.company, seen.late.len()), (Company::Writers, 3));
    assert!(!seen.spares(&[]));
}

pub(crate) async fn what_may_land_late_makes_a_clean_key_dirty(queue: &dyn Queue) {
    let (k, at) = (key("a"), [backend("b")]);
    queue.note_late(&k, &at, SHORT * 2).await.unwrap();
    queue.note_late(&k, &at, SHORT).await.unwrap();
    assert!(!queue.is_clean(&k).await.unwrap());
    assert_no_job(queue).await;
    // One that was claimed before has looked before.
    queue.mark(&k, "").await.unwrap();
    let early = claim_one(queue, "w1").await;
    tokio::time::sleep(SHORT * 2).await;
    assert_eq!(queue.clear(&early).await.unwrap(), Cleared::Requeued);
    await_cleared(queue, "a claim from after that clears it").await;
    assert!(queue.is_clean(&k).await.unwrap());
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.dirty, depth.claimed, depth.delayed, depth.dead, depth.oldest), (0, 0, 0, 0, None));
}
