//! How a job ends: what the queue is told of it, and what the history and the figures say.
use crate::converge::{ConvergeError, Converged};
use crate::metrics::Outcome;
use s3gateway_store::StoreError;
use std::time::Duration;
use tracing::warn;

/// How a job ends.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    Clear(String),
    Retry(String, Duration),
    /// No attempt: a backend is not to be asked now.
    PutOff(String, Duration),
    /// No attempt: the object is large.
    SetAside,
    Bury(String),
    MarkAgain,
}

impl Verdict {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Clear(_) => Outcome::Converged,
            Self::Retry(..) => Outcome::Retried,
            Self::PutOff(..) => Outcome::PutOff,
            Self::SetAside => Outcome::Aside,
            Self::Bury(_) => Outcome::Dead,
            Self::MarkAgain => Outcome::Lost,
        }
    }

    pub(super) fn detail(&self) -> &str {
        match self {
            Self::Clear(detail) | Self::Retry(detail, _) | Self::PutOff(detail, _) | Self::Bury(detail) => detail,
            Self::SetAside => "large objects have their turn",
            Self::MarkAgain => "the claim was taken over",
        }
    }
}

/// An error with its causes on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        source = cause.source();
    }
    line
}

/// Tells the queue until it takes it, or until the worker stops, whose end is the end of its jobs.
pub(super) async fn until_taken<T: Future<Output = Result<(), StoreError>>>(
    tell: impl Fn() -> T,
    pause: impl Fn(u32) -> Duration,
) {
    let mut failures = 0;
    while let Err(failed) = tell().await {
        warn!(error = %failed, "the queue did not take what it was told; it is told again");
        tokio::time::sleep(pause(failures)).await;
        failures = failures.saturating_add(1);
    }
}

/// What a job has come to whose claim stands or has run out. By one that has run out nothing is put off, given up or cleared:
/// another may have cleared the key meanwhile, and what this job has sent or recorded may have landed after that.
pub(super) fn held_to_claim(
    result: Result<Converged, ConvergeError>,
    stands: bool,
) -> Result<Converged, ConvergeError> {
    if stands { result } else { Err(ConvergeError::LostClaim) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::time::Instant;

    #[test]
    fn whatever_is_done_by_a_claim_that_has_run_out_is_a_lost_claim() {
        let away = || Err(ConvergeError::Unavailable("it is away".to_owned()));
        let is_lost = |result| matches!(result, Err(ConvergeError::LostClaim));
        assert!(is_lost(held_to_claim(away(), false)));
        assert!(is_lost(held_to_claim(Err(ConvergeError::Impossible("never".to_owned())), false)));
        assert!(!is_lost(held_to_claim(away(), true)));
        // Its records may have replaced those of another, who has cleared the key.
        assert!(is_lost(held_to_claim(Ok(Converged::Done("near copy".to_owned())), false)));
        assert!(held_to_claim(Ok(Converged::NoBucket), true).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_mark_is_made_until_the_queue_takes_it() {
        let told = AtomicU32::new(0);
        let tell = || async {
            match told.fetch_add(1, Ordering::Relaxed) {
                0 | 1 => Err(StoreError::Busy),
                _ => Ok(()),
            }
        };
        let began = Instant::now();
        until_taken(tell, |failures| Duration::from_secs(1 + u64::from(failures))).await;
        assert_eq!((told.load(Ordering::Relaxed), began.elapsed()), (3, Duration::from_secs(3)));
    }
}
