//! How long to wait before a failed key is tried again. Pure: the random number is an argument.
use std::time::Duration;

/// Doubles `base` with each attempt up to `max`, then takes between half and all of it; `unit` is random in 0..1.
/// Jitter keeps the keys of one outage from coming back as one wave.
pub(crate) fn decide_delay(attempts: u32, base: Duration, max: Duration, unit: f64) -> Duration {
    let full = base.saturating_mul(2u32.saturating_pow(attempts.min(31))).min(max);
    full.mul_f64(0.5 + unit.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
