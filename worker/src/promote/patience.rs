//! How a promotion asks a backend: what is away, or throttles, for a moment is asked again, since a comparison of
//! millions of keys is made of as many answers, and one that fails must not have it begun anew.
use super::{Halt, Promoter};
use crate::backend::BackendError;
use s3gateway_store::Metadata;
use std::time::Duration;
use tokio::time::Instant;

/// How long one question may stay without an answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(300);
/// Between two attempts at a backend that does not say when to come again.
const PAUSE: Duration = Duration::from_secs(1);

/// A promotion that waits for answers.
#[derive(Clone, Copy)]
pub(super) struct Patience<'a> {
    promoter: &'a Promoter,
    id: &'a str,
    at_most: Duration,
}

impl<'a> Patience<'a> {
    pub(super) fn of(promoter: &'a Promoter, id: &'a str) -> Self {
        Self { promoter, id, at_most: ANSWERED_WITHIN }
    }

    /// Asks once.
    pub(super) fn none(promoter: &'a Promoter, id: &'a str) -> Self {
        Self { promoter, id, at_most: Duration::ZERO }
    }

    pub(super) fn metadata(self) -> &'a Metadata {
        &self.promoter.metadata
    }

    /// The answer, however often the backend has to be asked; the promotion says meanwhile what it waits for.
    ///
    /// # Errors
    /// `Refused` for an answer that stays as it is, and after all this time.
    pub(super) async fn ask<T, F>(self, question: impl Fn() -> F) -> Result<T, Halt>
    where
        F: Future<Output = Result<T, BackendError>>,
    {
        let (began, mut has_waited) = (Instant::now(), false);
        loop {
            let error = match question().await {
                Ok(answer) => {
                    if has_waited {
                        self.promoter.metadata.note_promotion(self.id, "").await?;
                    }
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let Some(pause) = pause_after(&error).filter(|pause| began.elapsed() + *pause < self.at_most) else {
                return Err(Halt::Refused(error.to_string()));
            };
            self.promoter.metadata.note_promotion(self.id, &format!("waits, as {error}")).await?;
            has_waited = true;
            tokio::time::sleep(pause).await;
        }
    }
}

/// When to ask again; `None` where the answer would be the same.
fn pause_after(error: &BackendError) -> Option<Duration> {
    match error {
        BackendError::Unavailable { .. } => Some(PAUSE),
        BackendError::Throttled { throttled, .. } => Some(PAUSE.max(throttled.after)),
        BackendError::Changed
        | BackendError::NoSuchBucket
        | BackendError::NotFound { .. }
        | BackendError::Refused { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::Throttled;

    #[test]
    fn only_what_passes_is_waited_for() {
        let (operation, backend) = ("Op", || "b".to_owned());
        let throttled = |after| {
            let throttled = Throttled { after, lasts: Duration::ZERO };
            BackendError::Throttled { operation, backend: backend(), throttled }
        };
        for (error, want) in [
            (BackendError::Unavailable { operation, backend: backend(), reason: String::new() }, Some(PAUSE)),
            (throttled(Duration::ZERO), Some(PAUSE)),
            (throttled(PAUSE * 20), Some(PAUSE * 20)),
            (BackendError::Changed, None),
            (BackendError::NoSuchBucket, None),
            (BackendError::NotFound { operation, code: String::new() }, None),
            (BackendError::Refused { operation, backend: backend(), status: 403, code: String::new() }, None),
        ] {
            assert_eq!(pause_after(&error), want, "{error}");
        }
    }
}
