//! What can go wrong at a backend, cut by what the gateway does about it.
use pingora_core::ErrorType;

/// An error answer of a backend, with nothing of its text but the code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendError {
    /// HTTP status.
    pub status: u16,
    /// S3's `<Code>`, empty where the answer had none.
    pub code: String,
}

/// Why a backend gave no usable answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UpstreamError {
    /// Its breaker is open or no address of it is healthy.
    #[error("backend is out of service")]
    OutOfService,
    /// No connection.
    #[error("backend cannot be reached: {0}")]
    Unreachable(String),
    /// Connection lost or timed out before the answer was complete; a write may have happened.
    #[error("connection to the backend broke: {0}")]
    Broken(String),
    /// 5xx apart from NotImplemented; a write may have happened.
    #[error("backend failed with status {}", .0.status)]
    Failed(BackendError),
    /// It asks for fewer requests: 503 SlowDown, 429.
    #[error("backend asks to slow down")]
    SlowDown,
    /// It rejects the gateway's own credentials or rights.
    #[error("backend refuses the gateway's credentials: {}", .0.code)]
    OurCredentials(BackendError),
    /// A client's error as S3 knows it: the request was not carried out.
    #[error("backend refused: {}", .0.code)]
    Refused(BackendError),
    /// An answer that is not S3.
    #[error("backend answered nonsense: {0}")]
    Malformed(&'static str),
}

impl UpstreamError {
    /// A mapped bucket that its backend does not know is the operator's trouble, not the client's mistake.
    pub const LOST_BUCKET: Self = Self::Malformed("the backend does not know a bucket that is mapped to it");

    /// A home that keeps no versions of a bucket that it was told to: a write would destroy what must stay.
    pub const LOST_VERSIONS: Self = Self::Malformed("the backend keeps no versions of a bucket that it was told to");

    /// Sorts an answer that is not a success.
    pub fn from_answer(status: u16, code: &str) -> Self {
        let error = BackendError { status, code: code.to_owned() };
        match (status, code) {
            (401 | 403, _) => Self::OurCredentials(error),
            (429, _) | (503, "SlowDown") => Self::SlowDown,
            (501, _) => Self::Refused(error),
            (500.., _) => Self::Failed(error),
            (
                400,
                "ExpiredToken"
                | "InvalidToken"
                | "AuthorizationHeaderMalformed"
                | "XAmzContentSHA256Mismatch"
                | "RequestTimeTooSkewed",
            ) => Self::OurCredentials(error),
            (300..=399, _) if status != 304 => Self::Malformed("redirect"),
            (0..=299, _) => Self::Malformed("success where an error was expected"),
            _ => Self::Refused(error),
        }
    }

    /// Whether the write was certainly not carried out, so that its lease can go at once.
    pub fn is_definite(&self) -> bool {
        match self {
            // Of something in between, behind which the request may go on.
            Self::Refused(error) if error.status == 408 => false,
            Self::OutOfService | Self::Unreachable(_) | Self::OurCredentials(_) | Self::Refused(_) | Self::SlowDown => {
                true
            }
            Self::Broken(_) | Self::Failed(_) | Self::Malformed(_) => false,
        }
    }

    /// Whether another backend may well answer where this one did not.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::OutOfService
            | Self::Unreachable(_)
            | Self::Broken(_)
            | Self::Failed(_)
            | Self::SlowDown
            | Self::OurCredentials(_)
            | Self::Malformed(_) => true,
            Self::Refused(_) => false,
        }
    }

    /// Whether, on a pooled connection, this may only mean that the backend had closed it while it was idle. A timeout
    /// does not: that write may still land, and undo whatever followed its repetition.
    pub fn may_be_stale(&self) -> bool {
        match self {
            Self::Broken(kind) => kind != ErrorType::ReadTimedout.as_str() && kind != ErrorType::WriteTimedout.as_str(),
            _ => false,
        }
    }

    /// The backend's S3 code, where it refused the request as a client's error.
    pub fn refused_code(&self) -> Option<&str> {
        match self {
            Self::Refused(error) => Some(&error.code),
            _ => None,
        }
    }
}

/// The `<Code>` of a backend's error document, empty where it has none. Its message names buckets and hosts: never used.
pub fn error_code(document: &[u8]) -> String {
    s3gateway_s3::xml::ErrorDocument::parse(document).map(|error| error.code).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_has_certainly_not_happened_by_the_backends_own_word() {
        for (status, code, definite) in [
            (400, "BadDigest", true),
            (400, "RequestTimeout", true),
            (403, "AccessDenied", true),
            (404, "NoSuchUpload", true),
            (408, "", false),
            (412, "PreconditionFailed", true),
            (429, "", true),
            (500, "InternalError", false),
            (501, "NotImplemented", true),
            (502, "", false),
            (503, "SlowDown", true),
            (503, "", false),
            (504, "", false),
            (522, "", false),
        ] {
            assert_eq!(UpstreamError::from_answer(status, code).is_definite(), definite, "{status} {code}");
        }
    }
}
