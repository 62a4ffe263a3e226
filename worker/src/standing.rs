//! How a backend stands with this worker: one that errs, does not answer or answers slowly several times in a row is left alone for
//! a while, longer each time, so that what needs it waits without a slot while everything else goes on.
//! Fed by all requests that are sent to the backend; one trial at a time finds out whether it is back.
use crate::backend::is_failure;
use s3gateway_config::BackendId;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{info, warn};

/// Failures in a row after which a backend is left alone: fewer may be the network's.
const FAILURES: u32 = 4;
/// How long it is left alone at first; doubles with each trial that fails.
const FIRST_REST: Duration = Duration::from_secs(1);
/// How long a trial may take before another one is made.
const TRIAL: Duration = Duration::from_secs(10);

/// One backend's standing, shared by all that ask it for something.
#[derive(Debug)]
pub(crate) struct Standing {
    backend: BackendId,
    longest_rest: Duration,
    state: Mutex<State>,
}

/// A backend is not to be asked now.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{} is left alone, as it erred or did not answer lately", .backend.real())]
pub(crate) struct Resting {
    pub(crate) backend: BackendId,
    /// For how long yet.
    pub(crate) rest: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is used.
    Fair { failures: u32 },
    /// It is left alone.
    Resting { until: Instant, rest: Duration },
    /// One caller finds out whether it is back.
    OnTrial { until: Instant, rest: Duration },
}

/// What an answer says of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Answered,
    Failed,
}

impl State {
    fn step(self, seen: Seen, now: Instant, longest: Duration) -> Self {
        match (self, seen) {
            (_, Seen::Answered) => Self::Fair { failures: 0 },
            (Self::Fair { failures }, Seen::Failed) if failures + 1 < FAILURES => Self::Fair { failures: failures + 1 },
            (Self::Fair { .. }, Seen::Failed) => Self::Resting { until: now + FIRST_REST, rest: FIRST_REST },
            // What was on its way when the rest began says nothing new.
            (Self::Resting { .. }, Seen::Failed) => self,
            (Self::OnTrial { rest, .. }, Seen::Failed) => {
                let rest = rest.saturating_mul(2).min(longest);
                Self::Resting { until: now + rest, rest }
            }
        }
    }

    /// How long the backend is to be left alone from now on.
    fn rest(self, now: Instant) -> Option<Duration> {
        match self {
            Self::Resting { until, .. } | Self::OnTrial { until, .. } if now < until => Some(until - now),
            _ => None,
        }
    }

    /// Whether the backend may be asked now, else how long it is to be left alone.
    fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        if let Some(rest) = self.rest(now) {
            return Err(rest);
        }
        if let Self::Resting { rest, .. } | Self::OnTrial { rest, .. } = *self {
            *self = Self::OnTrial { until: now + TRIAL, rest };
        }
        Ok(())
    }
}

impl Standing {
    /// Of a backend of which nothing is known yet.
    pub(crate) fn new(backend: &BackendId, longest_rest: Duration) -> Arc<Self> {
        let state = Mutex::new(State::Fair { failures: 0 });
        Arc::new(Self { backend: backend.clone(), longest_rest, state })
    }

    /// Whose it is.
    pub(crate) fn backend(&self) -> &BackendId {
        &self.backend
    }

    /// How long it is to be left alone from now on. Unlike [`Self::admit`] it gives no leave to try it.
    pub(crate) fn rest(&self, now: Instant) -> Option<Duration> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).rest(now)
    }

    /// Passes a backend that may be asked now.
    ///
    /// # Errors
    /// How long it is to be left alone.
    pub(crate) fn admit(&self, now: Instant) -> Result<(), Duration> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).admit(now)
    }

    fn report(&self, seen: Seen, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, after) = (*state, state.step(seen, now, self.longest_rest));
        *state = after;
        drop(state);
        match (before, after) {
            (State::Fair { .. }, State::Resting { .. }) => warn!(backend = %self.backend, "backend is left alone"),
            (State::Resting { .. } | State::OnTrial { .. }, State::Fair { .. }) => {
                info!(backend = %self.backend, "backend is back");
            }
            _ => {}
        }
    }

    /// Takes in how a request ended: the status of its answer, if there was one; `was_slow`: an answer that comes soon by its
    /// nature did not.
    pub(crate) fn note(&self, status: Option<u16>, was_slow: bool) {
        if let Some(seen) = judge(status, was_slow) {
            self.report(seen, Instant::now());
        }
    }
}

/// What the end of a request says; `None` for nothing, as where a backend asks for patience: that is no failure of its own.
fn judge(status: Option<u16>, was_slow: bool) -> Option<Seen> {
    match status {
        Some(429 | 503) => None,
        None => Some(Seen::Failed),
        Some(status) if is_failure(status) => Some(Seen::Failed),
        Some(_) if was_slow => Some(Seen::Failed),
        Some(_) => Some(Seen::Answered),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(3);

    #[test]
    fn a_backend_rests_longer_each_time_and_comes_back_at_once() {
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        let standing = Standing::new(&BackendId::parse("b").unwrap(), LONGEST);
        for _ in 1..FAILURES {
            standing.report(Seen::Failed, begin);
        }
        assert_eq!(standing.admit(begin), Ok(()));
        standing.report(Seen::Answered, begin);
        for _ in 0..FAILURES {
            assert_eq!(standing.admit(begin), Ok(()), "an answer in between counts");
            standing.report(Seen::Failed, begin);
        }
        assert_eq!(standing.admit(begin), Err(Duration::from_secs(1)));
        assert_eq!((standing.rest(begin), standing.rest(at(1000))), (Some(Duration::from_secs(1)), None));
        standing.report(Seen::Failed, at(900));
        assert_eq!(standing.admit(at(900)), Err(Duration::from_millis(100)), "what was on its way is nothing new");
        assert_eq!(standing.admit(at(1000)), Ok(()), "a trial");
        assert_eq!(standing.admit(at(1000)), Err(TRIAL), "one at a time");
        standing.report(Seen::Failed, at(1100));
        assert_eq!(standing.admit(at(1100)), Err(Duration::from_secs(2)));
        assert_eq!(standing.admit(at(3100)), Ok(()));
        standing.report(Seen::Failed, at(3100));
        assert_eq!(standing.admit(at(3100)), Err(LONGEST));
        assert_eq!(standing.admit(at(6100)), Ok(()));
        assert_eq!(standing.admit(at(16_100)), Ok(()), "a trial that nobody heard of again");
        standing.report(Seen::Answered, at(16_100));
        assert_eq!(standing.admit(at(16_100)), Ok(()));
        assert_eq!(standing.admit(at(16_100)), Ok(()));
    }

    #[test]
    fn what_an_answer_says() {
        for (status, was_slow, want) in [
            (Some(200), false, Some(Seen::Answered)),
            (Some(200), true, Some(Seen::Failed)),
            (Some(404), false, Some(Seen::Answered)),
            (Some(403), false, Some(Seen::Answered)),
            (Some(500), false, Some(Seen::Failed)),
            (Some(502), false, Some(Seen::Failed)),
            (Some(504), false, Some(Seen::Failed)),
            (Some(408), false, Some(Seen::Failed)),
            (Some(507), false, Some(Seen::Failed)),
            (Some(529), false, Some(Seen::Failed)),
            (Some(501), false, Some(Seen::Answered)),
            (Some(503), false, None),
            (Some(503), true, None),
            (Some(429), false, None),
            (None, false, Some(Seen::Failed)),
        ] {
            assert_eq!(judge(status, was_slow), want, "{status:?} {was_slow}");
        }
    }
}
