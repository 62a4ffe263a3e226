//! What a backend call came to when it did not do what it was asked for, cut by what the worker can do about it.
use super::{HttpResponse, Remote};
use crate::claim::ClaimRanOut;
use crate::egress::NotAllowed;
use crate::pace::Throttled;
use crate::paced::find_cause;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use std::time::Duration;

/// Why a backend call did not do what it was asked for. Texts carry no bucket and no secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum BackendError {
    /// No connection, no answer in time, or 5xx: try again later.
    #[error("{operation} at {backend}: {reason}")]
    Unavailable { operation: &'static str, backend: String, reason: String },
    /// It takes fewer requests than there are: try again when it says, and blame nobody.
    #[error("{operation} at {backend}: throttled")]
    Throttled { operation: &'static str, backend: String, throttled: Throttled },
    /// The object is no longer the one that was looked at.
    #[error("the object changed meanwhile")]
    Changed,
    /// 404 without a bucket.
    #[error("the bucket does not exist")]
    NoSuchBucket,
    /// 404 otherwise.
    #[error("{operation}: not found")]
    NotFound { operation: &'static str, code: String },
    /// The backend says no.
    #[error("{operation} at {backend} was answered {status} {code}")]
    Refused { operation: &'static str, backend: String, status: u16, code: String },
}

impl BackendError {
    /// The backend that is away; `None` where one bucket or object is the matter.
    pub(crate) fn away(&self) -> Option<&str> {
        match self {
            Self::Unavailable { backend, .. } | Self::Throttled { backend, .. } => Some(backend),
            Self::Changed | Self::NoSuchBucket | Self::NotFound { .. } | Self::Refused { .. } => None,
        }
    }
}

impl Remote {
    fn throttled(&self, operation: &'static str, throttled: Option<Throttled>) -> BackendError {
        // What was on its way as the pace fell comes back a moment after it is taken again.
        let soon = Throttled { after: Duration::from_millis(250), lasts: Duration::ZERO };
        let throttled = throttled.or_else(|| self.pace.closed()).unwrap_or(soon);
        BackendError::Throttled { operation, backend: self.backend.id.to_string(), throttled }
    }

    /// An answer without what S3 always gives.
    pub(crate) fn unreadable(&self, operation: &'static str) -> BackendError {
        self.unavailable(operation, "an unreadable answer")
    }

    pub(crate) fn unavailable(&self, operation: &'static str, reason: &str) -> BackendError {
        BackendError::Unavailable { operation, backend: self.backend.id.to_string(), reason: reason.to_owned() }
    }

    /// Passes the failure of a delete where the backend says in S3's words that nothing is there. A 404 in other words may be that
    /// of whatever stands before it, which has asked nobody.
    pub(crate) fn allow_gone(&self, error: BackendError) -> Result<(), BackendError> {
        match error {
            BackendError::NoSuchBucket => Ok(()),
            BackendError::NotFound { code, .. } if matches!(code.as_str(), "NoSuchKey" | "NoSuchVersion") => Ok(()),
            BackendError::NotFound { operation, .. } => Err(self.not_of_s3(operation)),
            error => Err(error),
        }
    }

    /// A 404 that is not S3's.
    pub(crate) fn not_of_s3(&self, operation: &'static str) -> BackendError {
        self.unavailable(operation, "a 404 that is not S3's")
    }

    fn erred(&self, operation: &'static str, status: u16, code: &str) -> BackendError {
        self.unavailable(operation, &format!("answered {status} {}", printable(code)))
    }

    pub(crate) fn refused(&self, operation: &'static str, status: u16, code: &str) -> BackendError {
        BackendError::Refused { operation, backend: self.backend.id.to_string(), status, code: code.to_owned() }
    }

    /// Sorts an SDK error into the worker's classes.
    pub(crate) fn classify<E: ProvideErrorMetadata>(
        &self,
        operation: &'static str,
        error: &SdkError<E, HttpResponse>,
    ) -> BackendError {
        if let SdkError::DispatchFailure(failure) = error
            && let Some(error) = failure.as_connector_error()
        {
            if let Some(throttled) = find_cause::<Throttled>(error) {
                return self.throttled(operation, Some(*throttled));
            }
            if let Some(ran_out) = find_cause::<ClaimRanOut>(error) {
                return self.unavailable(operation, &ran_out.to_string());
            }
        }
        match error {
            SdkError::ServiceError(answer) => {
                self.classify_answer(operation, answer.raw().status().as_u16(), answer.err().code().unwrap_or_default())
            }
            SdkError::ResponseError(answer) => self.classify_answer(operation, answer.raw().status().as_u16(), ""),
            SdkError::TimeoutError(_) => self.unavailable(operation, "no answer in time"),
            SdkError::DispatchFailure(failure) if failure.is_timeout() => {
                self.unavailable(operation, "no answer in time")
            }
            SdkError::DispatchFailure(failure) if failure.is_io() => {
                let refused = failure.as_connector_error().and_then(|error| find_cause::<NotAllowed>(error));
                self.unavailable(operation, &refused.map_or_else(|| "no connection".to_owned(), ToString::to_string))
            }
            SdkError::ConstructionFailure(_) => self.refused(operation, 0, "cannot be expressed as a request"),
            _ => self.unavailable(operation, "the connection failed"),
        }
    }

    fn classify_answer(&self, operation: &'static str, status: u16, code: &str) -> BackendError {
        match (status, code) {
            (412, _) | (409, "ConditionalRequestConflict") => BackendError::Changed,
            (_, "NoSuchBucket") => BackendError::NoSuchBucket,
            (404, _) => BackendError::NotFound { operation, code: code.to_owned() },
            (429 | 503, _) | (_, "SlowDown") => self.throttled(operation, None),
            (_, "RequestTimeout" | "RequestTimeTooSkewed") => self.erred(operation, status, code),
            _ if is_failure(status) => self.erred(operation, status, code),
            (200..=299, _) => self.unreadable(operation),
            _ => self.refused(operation, status, &printable(code)),
        }
    }
}

/// Whether a status says that the backend, or what stands before it, is unwell: no word on the request itself. Gateways
/// and networks of caches have 520 to 530 for what is behind them, and 507 is a disk that somebody will clear. 501
/// stays as it is.
pub(crate) fn is_failure(status: u16) -> bool {
    status == 408 || (status != 501 && (500..=599).contains(&status))
}

/// An error code from a backend goes into logs and the job history: letters and digits only, and not many.
fn printable(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tests::remote;
    use super::*;

    #[test]
    fn answers_are_sorted_by_what_can_be_done() {
        let remote = remote();
        let class = |status, code| match remote.classify_answer("Op", status, code) {
            BackendError::Unavailable { .. } => "unavailable",
            BackendError::Throttled { .. } => "throttled",
            BackendError::Changed => "changed",
            BackendError::NoSuchBucket => "no bucket",
            BackendError::NotFound { .. } => "not found",
            BackendError::Refused { .. } => "refused",
        };
        for (status, code, want) in [
            (412, "PreconditionFailed", "changed"),
            (404, "NoSuchBucket", "no bucket"),
            (404, "NoSuchKey", "not found"),
            (404, "", "not found"),
            (403, "AccessDenied", "refused"),
            (400, "RequestTimeout", "unavailable"),
            (400, "EntityTooSmall", "refused"),
            (429, "", "throttled"),
            (500, "InternalError", "unavailable"),
            (501, "NotImplemented", "refused"),
            (408, "", "unavailable"),
            (502, "", "unavailable"),
            (504, "", "unavailable"),
            (507, "", "unavailable"),
            (507, "InsufficientStorage", "unavailable"),
            (520, "", "unavailable"),
            (529, "", "unavailable"),
            (530, "", "unavailable"),
            (404, "NoSuchUpload", "not found"),
            (503, "SlowDown", "throttled"),
            (503, "", "throttled"),
            (400, "SlowDown", "throttled"),
            (200, "", "unavailable"),
        ] {
            assert_eq!(class(status, code), want, "{status} {code}");
        }
    }

    #[test]
    fn codes_from_a_backend_are_kept_short_and_plain() {
        assert_eq!(printable("NoSuch\r\nKey: x"), "NoSuchKeyx");
        assert_eq!(printable(&"a".repeat(1000)).len(), 64);
    }
}
