//! Bounds the time in which a client of HTTP/1.1 sends the head of a request as a whole: Pingora bounds each read alone,
//! which a byte now and then keeps going. One clock for a connection, so that a request costs two stores and no timer.
use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::{Duration, Instant},
};

tokio::task_local! {
    static CLOCK: Arc<HeadClock>;
}

/// When the head that is awaited must be there.
pub(super) struct HeadClock {
    started: Instant,
    /// Milliseconds after the start; [`NONE_DUE`] while a request is served.
    due: AtomicU64,
    limit: Duration,
}

const NONE_DUE: u64 = u64::MAX;

/// How often a connection looks again: its next head may be due before the one that the timer was set for.
const TICK: Duration = Duration::from_secs(5);

/// The head of the current connection's request is complete.
pub(crate) fn head_is_read() {
    let _ = CLOCK.try_with(|clock| clock.due.store(NONE_DUE, Ordering::Relaxed));
}

/// The current connection is through with a request. The next may begin `idle` later.
pub(crate) fn head_is_awaited(idle: Duration) {
    let _ = CLOCK.try_with(|clock| {
        let due = clock.started.elapsed() + idle + clock.limit;
        clock.due.store(millis(due), Ordering::Relaxed);
    });
}

impl HeadClock {
    /// A clock for a connection that has just begun.
    pub(super) fn new(limit: Duration) -> Arc<Self> {
        Arc::new(Self { started: Instant::now(), due: AtomicU64::new(millis(limit)), limit })
    }

    /// Serves a connection; `None` once a head has taken too long. What was being served then is dropped, which is nothing
    /// but the head. The timer is looked at only while a head is awaited, and a request's own waiting wakes nothing else.
    pub(super) async fn watch<T>(self: Arc<Self>, served: impl Future<Output = T>) -> Option<T> {
        let clock = self.clone();
        let watched = async {
            let (mut served, mut overdue) = (pin!(served), pin!(clock.overdue()));
            poll_fn(|cx| match served.as_mut().poll(cx) {
                Poll::Ready(done) => Poll::Ready(Some(done)),
                Poll::Pending if clock.due.load(Ordering::Relaxed) == NONE_DUE => Poll::Pending,
                Poll::Pending => overdue.as_mut().poll(cx).map(|()| None),
            })
            .await
        };
        CLOCK.scope(self, watched).await
    }

    async fn overdue(&self) {
        loop {
            let due = Duration::from_millis(self.due.load(Ordering::Relaxed));
            let left = due.saturating_sub(self.started.elapsed());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(TICK)).await;
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NONE_DUE - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(40);

    #[tokio::test]
    async fn a_head_that_does_not_come_ends_the_connection() {
        let stalled = std::future::pending::<()>();
        assert!(HeadClock::new(LIMIT).watch(stalled).await.is_none());
    }

    #[tokio::test]
    async fn a_request_may_take_longer_than_its_head() {
        let slow = async {
            head_is_read();
            tokio::time::sleep(LIMIT * 3).await;
        };
        assert!(HeadClock::new(LIMIT).watch(slow).await.is_some());
    }

    #[tokio::test]
    async fn the_next_head_has_a_limit_again() {
        let stalled = async {
            head_is_read();
            head_is_awaited(LIMIT);
            std::future::pending::<()>().await;
        };
        let began = Instant::now();
        assert!(HeadClock::new(LIMIT).watch(stalled).await.is_none());
        assert!(began.elapsed() >= LIMIT * 2);
    }
}
