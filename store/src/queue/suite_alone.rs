//! The part of the queue's suite that is about writers which must be alone.
use super::suite::{LONG, SHORT, claim_one, key};
use super::testing::until;
use super::{Cleared, Queue};
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
