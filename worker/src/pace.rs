//! How fast a backend takes requests and bytes: limits that fall when it says SlowDown and rise again while it does not.
//! Invariant: a backend that throttles holds nobody up for longer than [`PATIENCE`]; who cannot start is told to come later.
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// One of so many requests at a time may be an upload: what is asked about them, and of others, is not to wait for those that are slow.
const UPLOADS_PART: usize = 2;
/// Answers of one burst are one event: the limits fall once in this time.
const ONE_EVENT: Duration = Duration::from_secs(1);
/// After the first event nothing is sent for this long, then twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The least that is left of the bandwidth, in bytes a second.
const LEAST_RATE: f64 = 256.0 * 1024.0;
/// What a stream may run ahead of the bandwidth.
const BURST: Duration = Duration::from_millis(100);

/// A request was not sent, because its backend throttles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("throttled")]
pub(crate) struct Throttled {
    /// When it is worth another attempt.
    pub(crate) after: Duration,
    /// For how long it has done nothing but that.
    pub(crate) lasts: Duration,
}

/// One backend's limits.
#[derive(Debug)]
pub(crate) struct Pace {
    state: Mutex<State>,
    freed: Notify,
    /// Room for uploads.
    uploads: Arc<Semaphore>,
    throttled: AtomicU64,
}

/// What is shown of a [`Pace`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shown {
    pub(crate) concurrency: usize,
    /// Bytes a second; `None` without a limit.
    pub(crate) bandwidth: Option<f64>,
    pub(crate) throttled: u64,
}

#[derive(Debug)]
struct State {
    requests: Requests,
    bytes: Bytes,
    running: usize,
}

/// Leave to send one request; given back when dropped.
pub(crate) struct Turn(Arc<Pace>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.state().running -= 1;
        self.0.freed.notify_one();
    }
}

impl Pace {
    /// At most `concurrency` requests at a time and `bandwidth` bytes a second.
    pub(crate) fn new(concurrency: usize, bandwidth: Option<u64>) -> Arc<Self> {
        let most = u32::try_from(concurrency.max(1)).unwrap_or(u32::MAX);
        let requests = Requests::new(f64::from(most));
        let state = State { requests, bytes: Bytes::new(bandwidth.map(approximate)), running: 0 };
        let uploads = Arc::new(Semaphore::new(concurrency.div_ceil(UPLOADS_PART).clamp(1, Semaphore::MAX_PERMITS)));
        Arc::new(Self { state: Mutex::new(state), freed: Notify::new(), uploads, throttled: AtomicU64::new(0) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for leave to send a request; refused at once while the backend wants none.
    ///
    /// Cancel: safe to drop.
    pub(crate) async fn enter(self: &Arc<Self>) -> Result<Turn, Throttled> {
        let waiting = async {
            loop {
                // Registered before the look, so that no turn that becomes free in between is missed.
                let freed = self.freed.notified();
                {
                    let mut state = self.state();
                    if let Some(throttled) = state.requests.closed(Instant::now()) {
                        return Err(throttled);
                    }
                    if state.requests.admits(state.running) {
                        state.running += 1;
                        return Ok(Turn(self.clone()));
                    }
                }
                freed.await;
            }
        };
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| Err(self.no_room()))
    }

    /// Waits for room for an upload.
    ///
    /// Cancel: safe to drop.
    pub(crate) async fn enter_upload(&self) -> Result<OwnedSemaphorePermit, Throttled> {
        let room = timeout(PATIENCE, self.uploads.clone().acquire_owned()).await;
        room.ok().and_then(Result::ok).ok_or_else(|| self.no_room())
    }

    fn no_room(&self) -> Throttled {
        Throttled { after: ONE_EVENT, lasts: self.state().requests.lasts(Instant::now()) }
    }

    /// How long the backend wants nothing; `None` where it takes requests.
    pub(crate) fn closed(&self) -> Option<Throttled> {
        self.state().requests.closed(Instant::now())
    }

    /// Takes in an answer's status, and what the backend says of when to come again.
    pub(crate) fn note(&self, status: u16, retry_after: Option<Duration>) {
        let now = Instant::now();
        let mut state = self.state();
        if matches!(status, 429 | 503) {
            self.throttled.fetch_add(1, Ordering::Relaxed);
            if state.requests.throttled(now, retry_after) {
                state.bytes.throttled(now);
            }
        } else {
            state.requests.answered(now);
        }
    }

    /// Takes in bytes that have gone over; how long to wait before the next ones.
    pub(crate) fn spend(&self, bytes: usize) -> Duration {
        self.state().bytes.spend(bytes as u64, Instant::now())
    }

    /// Takes in bytes that have gone over; returns once the next ones may.
    pub(crate) async fn pass(&self, bytes: usize) {
        let rest = self.spend(bytes);
        if !rest.is_zero() {
            tokio::time::sleep(rest).await;
        }
    }

    pub(crate) fn shown(&self) -> Shown {
        let state = self.state();
        Shown {
            concurrency: state.requests.whole(),
            bandwidth: state.bytes.limit,
            throttled: self.throttled.load(Ordering::Relaxed),
        }
    }
}

/// Requests at a time. Halved by an event, one more after each round of answers.
#[derive(Debug)]
struct Requests {
    limit: f64,
    most: f64,
    cut: Option<Instant>,
    closed: Option<Instant>,
    /// Events since the last answer.
    strikes: u32,
    /// The first of them.
    since: Option<Instant>,
}

impl Requests {
    fn new(most: f64) -> Self {
        Self { limit: most, most, cut: None, closed: None, strikes: 0, since: None }
    }

    fn whole(&self) -> usize {
        (1..).take_while(|n| f64::from(*n) <= self.limit).count().max(1)
    }

    fn admits(&self, running: usize) -> bool {
        u32::try_from(running).is_ok_and(|running| f64::from(running) < self.limit.max(1.0).floor())
    }

    fn closed_for(&self, now: Instant) -> Option<Duration> {
        self.closed.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    fn lasts(&self, now: Instant) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    fn closed(&self, now: Instant) -> Option<Throttled> {
        self.closed_for(now).map(|after| Throttled { after, lasts: self.lasts(now) })
    }

    /// Whether it is an event of its own.
    fn throttled(&mut self, now: Instant, retry_after: Option<Duration>) -> bool {
        if self.cut.is_some_and(|at| now.saturating_duration_since(at) < ONE_EVENT) {
            return false;
        }
        let pause = FIRST_PAUSE.saturating_mul(2u32.saturating_pow(self.strikes.min(16)));
        self.closed = Some(now + retry_after.unwrap_or(pause).min(LONGEST_PAUSE));
        self.strikes = self.strikes.saturating_add(1);
        self.since.get_or_insert(now);
        self.limit = (self.limit / 2.0).max(1.0);
        self.cut = Some(now);
        true
    }

    fn answered(&mut self, now: Instant) {
        if self.closed_for(now).is_none() {
            (self.strikes, self.since) = (0, None);
            self.limit = (self.limit + 1.0 / self.limit).min(self.most);
        }
    }
}

/// Bytes a second. Cut below what was seen to go over, a tenth more each second, no limit again at twice what was cut.
#[derive(Debug)]
struct Bytes {
    configured: Option<f64>,
    limit: Option<f64>,
    /// At the last cut.
    ceiling: f64,
    /// Until when what has gone over is paid for.
    paid: Option<Instant>,
    second: Option<Instant>,
    in_second: f64,
    /// In the last full second.
    seen: f64,
}

impl Bytes {
    fn new(configured: Option<f64>) -> Self {
        Self { configured, limit: configured, ceiling: 0.0, paid: None, second: None, in_second: 0.0, seen: 0.0 }
    }

    fn throttled(&mut self, now: Instant) {
        self.turn_second(now);
        let carried = self.limit.unwrap_or(f64::INFINITY).min(self.seen.max(self.in_second));
        if carried > 0.0 {
            self.ceiling = carried;
            self.limit = Some((carried * 0.7).max(LEAST_RATE));
        }
    }

    fn turn_second(&mut self, now: Instant) {
        let began = *self.second.get_or_insert(now);
        let passed = now.saturating_duration_since(began);
        if passed < Duration::from_secs(1) {
            return;
        }
        (self.seen, self.in_second, self.second) = (self.in_second / passed.as_secs_f64(), 0.0, Some(now));
        if let Some(limit) = self.limit {
            let raised = limit * 1.1;
            let is_free = self.configured.is_none() && raised > 2.0 * self.ceiling;
            self.limit = if is_free { None } else { Some(raised.min(self.configured.unwrap_or(f64::INFINITY))) };
        }
    }

    fn spend(&mut self, bytes: u64, now: Instant) -> Duration {
        self.turn_second(now);
        let bytes = approximate(bytes);
        self.in_second += bytes;
        let Some(limit) = self.limit else { return Duration::ZERO };
        let from = self.paid.filter(|paid| *paid > now).unwrap_or(now);
        let paid = from + Duration::from_secs_f64(bytes / limit.max(1.0));
        self.paid = Some(paid);
        paid.saturating_duration_since(now).saturating_sub(BURST)
    }
}

#[allow(clippy::cast_precision_loss)] // a rate need not be exact
fn approximate(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn requests_fall_by_half_once_an_event_and_rise_one_a_round() {
        let mut now = Instant::now();
        let mut requests = Requests::new(64.0);
        let began = now;
        assert!(requests.throttled(now, None));
        for _ in 0..100 {
            assert!(!requests.throttled(now + Duration::from_millis(500), None), "the same event");
        }
        assert_eq!((requests.whole(), requests.closed_for(now)), (32, Some(FIRST_PAUSE)));
        assert!(requests.admits(31) && !requests.admits(32));
        for (strike, pause) in [(2, 500), (3, 1000), (4, 2000)] {
            now += Duration::from_secs(10);
            assert!(requests.throttled(now, None));
            assert_eq!((requests.strikes, requests.closed_for(now)), (strike, Some(Duration::from_millis(pause))));
            assert_eq!(requests.lasts(now), now - began, "since the first event");
        }
        assert_eq!(requests.whole(), 4);
        for _ in 0..20 {
            now += Duration::from_secs(60);
            requests.throttled(now, Some(Duration::from_secs(3600)));
        }
        assert_eq!((requests.whole(), requests.closed_for(now)), (1, Some(LONGEST_PAUSE)), "one is always let through");
        requests.answered(now);
        assert_eq!(requests.whole(), 1, "what was on its way says nothing");
        now += LONGEST_PAUSE;
        for _ in 0..4000 {
            requests.answered(now);
        }
        assert_eq!((requests.whole(), requests.strikes, requests.lasts(now)), (64, 0, Duration::ZERO));
    }

    #[test]
    fn bytes_keep_to_the_limit_that_was_set() {
        let mut now = Instant::now();
        let began = now;
        let mut bytes = Bytes::new(Some(approximate(10 * MIB)));
        for _ in 0..100 {
            now += bytes.spend(MIB, now);
        }
        let took = now.duration_since(began).as_secs_f64();
        assert!((9.5..=10.5).contains(&took), "100 MiB at 10 MiB/s took {took} s");
    }

    #[test]
    fn bytes_are_cut_below_what_went_over_and_are_free_again_in_time() {
        let mut now = Instant::now();
        let mut bytes = Bytes::new(None);
        for _ in 0..30 {
            assert_eq!(bytes.spend(10 * MIB, now), Duration::ZERO);
            now += Duration::from_millis(100);
        }
        bytes.throttled(now);
        let cut = bytes.limit.unwrap() / approximate(MIB);
        assert!((60.0..=75.0).contains(&cut), "{cut} MiB/s of 100");
        for _ in 0..15 {
            now += Duration::from_secs(1);
            bytes.spend(1, now);
        }
        assert_eq!(bytes.limit, None);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_reads_waits_for_the_bandwidth() {
        let (limited, free, began) = (Pace::new(1, Some(10 * MIB)), Pace::new(1, None), Instant::now());
        for _ in 0..100 {
            free.pass(1 << 20).await;
        }
        assert!(began.elapsed().is_zero());
        for _ in 0..100 {
            limited.pass(1 << 20).await;
        }
        assert!((9.5..=10.5).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn uploads_leave_room_for_what_is_asked_beside_them() {
        let pace = Pace::new(4, None);
        let uploads = [pace.enter_upload().await.unwrap(), pace.enter_upload().await.unwrap()];
        let _turns = [pace.enter().await.unwrap(), pace.enter().await.unwrap()];
        let began = Instant::now();
        assert_eq!(pace.enter_upload().await.unwrap_err().after, ONE_EVENT);
        assert_eq!(began.elapsed(), PATIENCE);
        assert!(pace.enter().await.is_ok());
        drop(uploads);
        assert!(pace.enter_upload().await.is_ok() && Pace::new(1, None).enter_upload().await.is_ok());
    }

    #[tokio::test]
    async fn who_has_no_turn_waits_for_one_and_is_refused_while_the_backend_wants_none() {
        let pace = Pace::new(1, None);
        let turn = pace.enter().await.unwrap();
        let (next, ()) = tokio::join!(pace.enter(), async {
            tokio::task::yield_now().await;
            drop(turn);
        });
        drop(next.unwrap());
        pace.note(503, Some(Duration::from_secs(20)));
        let refused = pace.enter().await.err().unwrap();
        assert!(refused.after > Duration::from_secs(19));
        assert_eq!(pace.shown(), Shown { concurrency: 1, bandwidth: None, throttled: 1 });
    }
}
