//! How long to wait before a key is tried again that has failed, or whose backend is not to be asked. Pure: the random number is
//! an argument.
use crate::converge::NotNow;
use std::time::Duration;

/// A key whose backend is not to be asked waits up to this share of the time that it has waited already,
const WAITED_SHARE: u32 = 4;
/// and at most so many times as long as a failing key waits at most.
const LONGEST_REST: u32 = 4;

/// Doubles `base` with each attempt up to `max`, then takes between half and all of it; `unit` is random in 0..1.
/// Jitter keeps the keys of one outage from coming back as one wave.
pub(crate) fn decide_delay(attempts: u32, base: Duration, max: Duration, unit: f64) -> Duration {
    let full = base.saturating_mul(2u32.saturating_pow(attempts.min(31))).min(max);
    full.mul_f64(0.5 + unit.clamp(0.0, 1.0) / 2.0)
}

/// When to look again at a key that has `waited` and whose backend is not to be asked now. Where that is left alone, the later the
/// longer the key has waited, so that a million of them are no work while the backend is away; where it throttles likewise, but as
/// soon as it takes requests where it has not done so for long. `max`: what a failing key waits at most; `unit` is random in 0..1.
pub(crate) fn decide_rest(not_now: NotNow, waited: Duration, max: Duration, unit: f64) -> Duration {
    let counted = match not_now {
        NotNow::InFlight(_) => Duration::ZERO,
        NotNow::Throttled(throttled) => waited.min(throttled.lasts),
        NotNow::Resting(_) => waited,
    };
    not_now.rest() + (counted / WAITED_SHARE).min(max.saturating_mul(LONGEST_REST)).mul_f64(unit.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::Throttled;

    #[test]
    fn doubles_up_to_the_maximum_and_jitters_down_by_half_at_most() {
        let (base, max) = (Duration::from_millis(500), Duration::from_secs(60));
        for (attempts, unit, want) in [
            (0, 1.0, 500),
            (0, 0.0, 250),
            (1, 1.0, 1000),
            (3, 1.0, 4000),
            (3, 0.5, 3000),
            (7, 1.0, 60_000),
            (u32::MAX, 1.0, 60_000),
            (u32::MAX, 0.0, 30_000),
        ] {
            assert_eq!(decide_delay(attempts, base, max, unit), Duration::from_millis(want), "{attempts} {unit}");
        }
    }

    #[test]
    fn a_key_rests_longer_the_longer_it_waits_for_what_is_away_for_long() {
        let seconds = Duration::from_secs;
        let throttled = |lasts| NotNow::Throttled(Throttled { after: seconds(30), lasts: seconds(lasts) });
        let (resting, in_flight) = (NotNow::Resting(seconds(30)), NotNow::InFlight(seconds(30)));
        for (not_now, waited, unit, want) in [
            (resting, 0, 1.0, 30),
            (resting, 40, 1.0, 40),
            (resting, 40, 0.0, 30),
            (resting, 100_000, 1.0, 270),
            (throttled(0), 100_000, 1.0, 30),
            (throttled(8), 100_000, 1.0, 32),
            (throttled(100_000), 8, 1.0, 32),
            (throttled(100_000), 100_000, 0.5, 150),
            (throttled(100_000), 100_000, 1.0, 270),
            (in_flight, 100_000, 1.0, 30),
        ] {
            let rest = decide_rest(not_now, seconds(waited), seconds(60), unit);
            assert_eq!(rest, seconds(want), "{not_now:?} {waited} {unit}");
        }
    }
}
