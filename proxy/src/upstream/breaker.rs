//! A circuit breaker: closed lets traffic pass, open stops it, half-open lets one request try.
use crate::settings::BreakerSettings;
use std::time::Instant;

/// What a request or a probe told about a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, whatever it answered.
    Answered,
    /// It could not be reached, broke off or failed with 5xx.
    Failed,
}

/// State of a breaker; [`Breaker::step`] makes every transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Traffic passes.
    Closed {
        /// Failures in a row.
        failures: u32,
    },
    /// Traffic is stopped until then.
    Open {
        /// When one request may try again.
        until: Instant,
        /// Trips in a row; each doubles the time.
        trips: u32,
    },
    /// One request is trying.
    HalfOpen {
        /// Trips in a row.
        trips: u32,
        /// When the trial counts as lost, so that a request that never reported cannot hold the breaker.
        until: Instant,
    },
}

/// A breaker with its settings.
#[derive(Debug)]
pub struct Breaker {
    state: parking_lot::Mutex<BreakerState>,
    settings: BreakerSettings,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(settings: BreakerSettings) -> Self {
        Self { state: parking_lot::Mutex::new(BreakerState::Closed { failures: 0 }), settings }
    }

    /// Whether a request may pass now. A due open breaker turns half-open and lets this one pass.
    pub fn admit(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        match *state {
            BreakerState::Closed { .. } => true,
            BreakerState::Open { until, trips } | BreakerState::HalfOpen { until, trips } if until <= now => {
                *state = BreakerState::HalfOpen { trips, until: now + self.settings.open_for };
                true
            }
            BreakerState::Open { .. } | BreakerState::HalfOpen { .. } => false,
        }
    }

    /// Lets an open breaker's next request try at once. Its trips stay counted: if the trial fails, the wait grows on.
    pub fn make_due(&self, now: Instant) {
        let mut state = self.state.lock();
        if let BreakerState::Open { trips, .. } = *state
            && trips <= TRUSTED_TRIPS
        {
            *state = BreakerState::Open { until: now, trips };
        }
    }

    /// Takes an outcome in; whether the breaker has just opened or closed.
    pub fn report(&self, outcome: Outcome, now: Instant) -> Option<BreakerState> {
        let mut state = self.state.lock();
        let next = step(*state, outcome, now, &self.settings);
        let changed = std::mem::discriminant(&next) != std::mem::discriminant(&*state);
        *state = next;
        changed.then_some(next)
    }

    /// The state now.
    pub fn state(&self) -> BreakerState {
        *self.state.lock()
    }
}

/// Trips in a row up to which a healthy probe is believed; a backend that passes probes and fails every trial waits longer.
const TRUSTED_TRIPS: u32 = 3;

/// The next state after an outcome.
fn step(state: BreakerState, seen: Outcome, now: Instant, settings: &BreakerSettings) -> BreakerState {
    let open = |trips: u32| {
        let wait = settings.open_for.saturating_mul(1 << trips.min(16)).min(settings.open_at_most);
        BreakerState::Open { until: now + wait, trips: trips.saturating_add(1) }
    };
    match (state, seen) {
        (_, Outcome::Answered) => BreakerState::Closed { failures: 0 },
        (BreakerState::Closed { failures }, Outcome::Failed) if failures + 1 >= settings.failures => open(0),
        (BreakerState::Closed { failures }, Outcome::Failed) => BreakerState::Closed { failures: failures + 1 },
        (BreakerState::HalfOpen { trips, .. }, Outcome::Failed) => open(trips),
        (BreakerState::Open { .. }, Outcome::Failed) => state,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn breaker() -> (Breaker, Instant) {
        let settings =
            BreakerSettings { failures: 2, open_for: Duration::from_secs(1), open_at_most: Duration::from_secs(3) };
        (Breaker::new(settings), Instant::now())
    }

    #[test]
    fn opens_after_the_set_failures_in_a_row_and_not_before() {
        let (breaker, now) = breaker();
        breaker.report(Outcome::Failed, now);
        breaker.report(Outcome::Answered, now);
        breaker.report(Outcome::Failed, now);
        assert!(breaker.admit(now), "one success in between starts the count anew");
        breaker.report(Outcome::Failed, now);
        assert!(!breaker.admit(now));
    }

    #[test]
    fn lets_one_request_try_when_due_and_closes_on_its_success() {
        let (breaker, now) = breaker();
        breaker.report(Outcome::Failed, now);
        breaker.report(Outcome::Failed, now);
        let due = now + Duration::from_secs(1);
        assert!(breaker.admit(due));
        assert!(!breaker.admit(due), "only one at a time");
        breaker.report(Outcome::Answered, due);
        assert!(breaker.admit(due));
    }

    #[test]
    fn waits_longer_at_each_trip_up_to_the_limit() {
        let (breaker, mut now) = breaker();
        breaker.report(Outcome::Failed, now);
        breaker.report(Outcome::Failed, now);
        for wait in [1, 2, 3, 3] {
            assert!(!breaker.admit(now + Duration::from_secs(wait) - Duration::from_millis(1)));
            now += Duration::from_secs(wait);
            assert!(breaker.admit(now));
            breaker.report(Outcome::Failed, now);
        }
    }

    #[test]
    fn a_healthy_probe_makes_the_trial_due_until_trials_have_failed_too_often() {
        let (breaker, now) = breaker();
        breaker.report(Outcome::Failed, now);
        breaker.report(Outcome::Failed, now);
        for _ in 0..TRUSTED_TRIPS {
            breaker.make_due(now);
            assert!(breaker.admit(now));
            breaker.report(Outcome::Failed, now);
        }
        breaker.make_due(now);
        assert!(!breaker.admit(now), "it passes its probes and fails its requests");
    }

    #[test]
    fn a_trial_that_never_reports_does_not_hold_the_breaker() {
        let (breaker, now) = breaker();
        breaker.report(Outcome::Failed, now);
        breaker.report(Outcome::Failed, now);
        assert!(breaker.admit(now + Duration::from_secs(1)));
        assert!(breaker.admit(now + Duration::from_secs(2)));
    }
}
