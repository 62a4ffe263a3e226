//! The part of the queue's suite that is about writers which must be alone.
use super::suite::{LONG, SHORT, await_cleared, claim_one, key, write};
use super::testing::until;
use super::{Cleared, Company, DirtyKey, Mark, Queue};
use crate::StoreError;
use std::sync::atomic::{AtomicUsize, Ordering};

fn is_busy<T>(answer: Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Busy))
}

pub(crate) async fn a_writer_that_is_alone_keeps_others_away(queue: &dyn Queue) {
    let (k, other) = (key("a"), key("b"));
    let alone = queue.intent_alone(&k, "r1", LONG).await.unwrap();
    assert!(alone.is_alone());
    assert!(is_busy(queue.intent(&k, "r2", LONG).await));
    assert!(is_busy(queue.intent_alone(&k, "r3", LONG).await));
    queue.renew(&k, &alone, LONG).await.unwrap();
    assert!(is_busy(queue.intent(&k, "r2", LONG).await), "a lease may be renewed and is alone still");
    assert!(!queue.intent(&other, "r4", LONG).await.unwrap().is_alone());
    queue.commit(&k, &alone, "r1").await.unwrap();
    let next = queue.intent(&k, "r2", LONG).await.unwrap();
    assert!(next.sequence > alone.sequence);
    queue.release(&k, &next).await.unwrap();
    let job = claim_one(queue, "w1").await;
    assert_eq!((&job.key, queue.clear(&job).await.unwrap()), (&k, Cleared::Clean));
}

pub(crate) async fn others_keep_away_who_must_be_alone(queue: &dyn Queue) {
    let k = key("a");
    let slow = queue.intent(&k, "r1", SHORT).await.unwrap();
    assert!(is_busy(queue.intent_alone(&k, "r2", LONG).await));
    // A lease that has run out keeps nobody away: its write has landed or never will.
    let alone = until("the first lease runs out", || async { queue.intent_alone(&k, "r2", LONG).await.ok() }).await;
    assert!(is_busy(queue.renew(&k, &slow, LONG).await), "it comes back too late");
    queue.release(&k, &alone).await.unwrap();
    queue.renew(&k, &slow, LONG).await.unwrap();
    assert!(is_busy(queue.renew(&k, &alone, LONG).await), "and so does this one");
    queue.commit(&k, &slow, "r1").await.unwrap();
    let job = claim_one(queue, "w1").await;
    assert_eq!(queue.clear(&job).await.unwrap(), Cleared::Clean);
}

/// Another write may have begun and ended since it ran out.
pub(crate) async fn a_lease_that_is_alone_and_gone_is_not_taken_anew(queue: &dyn Queue) {
    let k = key("a");
    let alone = queue.intent_alone(&k, "r", SHORT).await.unwrap();
    await_cleared(queue, "the lease runs out and the key is cleared").await;
    assert!(is_busy(queue.renew(&k, &alone, LONG).await));
    assert!(queue.is_clean(&k).await.unwrap());
}

pub(crate) async fn of_many_that_must_be_alone_one_at_a_time_is(queue: &dyn Queue) {
    let k = key("hot");
    let inside = AtomicUsize::new(0);
    let writers = (0..16).map(|n| {
        let (k, inside) = (&k, &inside);
        async move {
            let id = format!("r{n}");
            let mark = until("its turn", || async { queue.intent_alone(k, &id, LONG).await.ok() }).await;
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at once");
            tokio::task::yield_now().await;
            inside.fetch_sub(1, Ordering::SeqCst);
            queue.commit(k, &mark, &id).await.unwrap();
        }
    });
    futures::future::join_all(writers).await;
    assert_eq!(queue.depth().await.unwrap().dirty, 1);
}

pub(crate) async fn a_write_has_its_key_to_itself_until_something_comes(queue: &dyn Queue) {
    let seen = async |key: &DirtyKey, mark: &Mark| queue.disturbance(key, mark).await.unwrap().company;
    let clean = key("clean");
    let mark = queue.intent(&clean, "r1", LONG).await.unwrap();
    assert_eq!(seen(&clean, &mark).await, Company::Nobody);
    assert!(queue.claim("w1", 8, LONG).await.unwrap().is_empty(), "no worker gets it while that is so");
    assert_eq!(queue.renew(&clean, &mark, LONG).await.unwrap(), mark.sequence);
    assert_eq!(seen(&clean, &mark).await, Company::Nobody, "a lease that is lengthened in time is still the same");
    let other = queue.intent(&clean, "r2", LONG).await.unwrap();
    assert_eq!(seen(&clean, &mark).await, Company::Writers);
    assert_eq!(seen(&clean, &other).await, Company::Writers);
    assert_ne!(queue.renew(&clean, &mark, LONG).await.unwrap(), mark.sequence, "another write has come");
    queue.commit(&clean, &other, "r2").await.unwrap();
    assert_eq!(seen(&clean, &mark).await, Company::Unclaimed, "one may have it by now");

    let marked = key("marked");
    let mark = queue.intent(&marked, "r3", LONG).await.unwrap();
    queue.mark(&marked, "walk").await.unwrap();
    assert_eq!(seen(&marked, &mark).await, Company::Unclaimed, "a walk has marked it");
    assert!(queue.renew(&marked, &mark, LONG).await.unwrap() > mark.sequence);
    assert_eq!(seen(&marked, &mark).await, Company::Unclaimed, "and has done so still");

    let dirty = key("dirty");
    write(queue, &dirty, "r4").await;
    let mark = queue.intent(&dirty, "r5", LONG).await.unwrap();
    assert_eq!(seen(&dirty, &mark).await, Company::Unclaimed, "it was waiting for one");
    queue.commit(&dirty, &mark, "r5").await.unwrap();
    let claimed = || async { queue.claim("w1", 8, LONG).await.unwrap().into_iter().find(|job| job.key == dirty) };
    let job = until("a worker has it", claimed).await;
    assert_eq!(seen(&dirty, &mark).await, Company::Worker);
    let next = queue.intent(&dirty, "r6", LONG).await.unwrap();
    assert_eq!(seen(&dirty, &next).await, Company::Worker, "a mark takes it from none");
    queue.release(&dirty, &next).await.unwrap();
    queue.retry(&job, LONG).await.unwrap();
    assert_eq!(seen(&dirty, &mark).await, Company::Unclaimed, "it has let go of it");
    let job = until("it is written, so not put off", claimed).await;
    queue.retry(&job, LONG).await.unwrap();
    let mark = queue.intent(&dirty, "r7", LONG).await.unwrap();
    assert_eq!(seen(&dirty, &mark).await, Company::Nobody, "it was put off, so nobody has it");
    queue.commit(&dirty, &mark, "r7").await.unwrap();
    assert!(until("a write ends the pause", claimed).await.attempts > 0);

    let late = key("late");
    let mark = queue.intent(&late, "r6", SHORT).await.unwrap();
    let over = || async { (seen(&late, &mark).await == Company::Unclaimed).then_some(()) };
    until("the lease runs out", over).await;
    assert!(queue.renew(&late, &mark, SHORT).await.unwrap() > mark.sequence);
    assert_eq!(seen(&late, &mark).await, Company::Unclaimed, "a worker may have had it before");
    until("and so again", over).await;
    let next = queue.intent(&late, "r8", LONG).await.unwrap();
    assert_eq!(seen(&late, &next).await, Company::Writers, "a lease that nobody has dropped counts");
}
