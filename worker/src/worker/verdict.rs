//! How a job ends: what the queue is told of it, and what the history and the figures say.
use crate::metrics::Outcome;
use std::time::Duration;

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
