//! The one place that turns what went wrong into S3's code, message and status.
use crate::upstream::UpstreamError;
use crate::version::{DELETE_MARKER, VERSION_ID};
use http::{HeaderName, header};
use s3gateway_filters::residency::Denied;
use s3gateway_s3::{S3Code, S3Error, VersionId};
use s3gateway_store::StoreError;
use std::time::SystemTime;

/// Why a request is not served.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// S3's own answer to what the client sent.
    #[error(transparent)]
    S3(#[from] S3Error),
    /// A residency policy forbids it.
    #[error("residency policy refuses")]
    Residency(Box<Denied>),
    /// A backend gave no usable answer.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// A store cannot be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Replicas exist, but none is proven to hold what the home holds, so nothing current can be served.
    #[error("nothing is proven to be current on a replica")]
    NotProvenClean,
    /// A delete marker stands where an object is to be read.
    #[error("a delete marker")]
    DeleteMarker(Box<MetMarker>),
    /// The view of the control plane is older than its lease.
    #[error("the view of the control plane is too old for writes")]
    ViewExpired,
    /// Another backend becomes the bucket's home.
    #[error("the bucket's home changes")]
    HomeChanges,
    /// The key's last write may be at a home that was replaced while it was away.
    #[error("the key is stranded at a former home")]
    Stranded,
    /// Fewer places hold a write than the bucket asks for.
    #[error(transparent)]
    Quorum(#[from] QuorumLack),
    /// The client has the object as it is. With what the answer says of it.
    #[error("not modified")]
    NotModified(Vec<(HeaderName, String)>),
    /// The client's connection is gone or its framing is in doubt: there is no one to answer.
    #[error("the client is gone")]
    ClientGone,
}

/// Why a write is not at as many places as its bucket asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuorumLack {
    /// Too few can be reached; nothing was written.
    #[error("too few places can be reached for the write quorum")]
    Unreachable,
    /// One was lost on the way; the home may have the write.
    #[error("a place of the write quorum was lost")]
    Lost,
    /// The home has the write, and no worker has seen in time that enough others have it.
    #[error("too few places are proven to hold the write")]
    Unproven,
}

/// A delete marker that a read has met.
#[derive(Debug)]
pub struct MetMarker {
    /// Its id.
    pub version: VersionId,
    /// When it was made.
    pub modified: SystemTime,
    /// Whether it was itself to be read, which nothing but a delete is allowed on.
    pub is_named: bool,
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Self {
        Self::Residency(Box::new(denied))
    }
}

impl From<S3Code> for Refusal {
    fn from(code: S3Code) -> Self {
        Self::S3(code.error())
    }
}

impl Refusal {
    /// What of the gateway's own stood in the way, with its causes, for the log; `None` for what the client asked.
    pub fn cause(&self) -> Option<String> {
        if !matches!(
            self,
            Self::Store(_) | Self::Upstream(_) | Self::NotProvenClean | Self::ViewExpired | Self::Quorum(_)
        ) {
            return None;
        }
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        Some(text)
    }

    /// The error that the client gets. Text of a backend or a store never goes into it.
    pub fn to_s3(&self) -> S3Error {
        match self {
            Self::S3(error) => error.clone(),
            Self::Residency(denied) => S3Code::AccessDenied.because(denied.message()),
            Self::Upstream(error) => upstream_to_s3(error),
            Self::Store(StoreError::NotFound) => S3Code::NoSuchBucket.error(),
            Self::Store(StoreError::Conflict(_)) => S3Code::OperationAborted.error(),
            Self::Store(StoreError::Busy) => S3Code::SlowDown.error(),
            Self::Store(StoreError::Invalid(_)) => S3Code::InvalidArgument.error(),
            Self::Store(StoreError::Unavailable(_)) => S3Code::ServiceUnavailable.error(),
            Self::Store(StoreError::Corrupt(_)) => S3Code::InternalError.error(),
            Self::NotProvenClean => S3Code::ServiceUnavailable.because(
                "The bucket's home is out of service and no replica is proven to be current. Please try again.",
            ),
            Self::HomeChanges => S3Code::ServiceUnavailable.because("The bucket is being moved. Please try again."),
            Self::Quorum(_) => S3Code::ServiceUnavailable.because(
                "Too few places of the bucket can hold this write now, and it is not acknowledged. Please try again.",
            ),
            Self::Stranded => S3Code::ServiceUnavailable.because(
                "The last write of this key is at a place that is out of service. It can be read again once that place is \
                 back or the key is written anew.",
            ),
            Self::DeleteMarker(marker) if marker.is_named => S3Code::MethodNotAllowed.error(),
            Self::DeleteMarker(_) => S3Code::NoSuchKey.error(),
            Self::NotModified(_) => S3Code::NotModified.error(),
            Self::ViewExpired | Self::ClientGone => S3Code::ServiceUnavailable.error(),
        }
    }

    /// What the answer carries besides the error (Amazon S3 User Guide, "Working with delete markers").
    pub fn headers(&self) -> Vec<(HeaderName, String)> {
        match self {
            Self::HomeChanges => vec![(header::RETRY_AFTER, "1".to_owned())],
            Self::NotModified(headers) => headers.clone(),
            Self::DeleteMarker(marker) => {
                let mut headers = vec![(DELETE_MARKER, "true".to_owned()), (VERSION_ID, marker.version.to_string())];
                if marker.is_named {
                    headers.push((header::ALLOW, "DELETE".to_owned()));
                    headers.push((header::LAST_MODIFIED, httpdate::fmt_http_date(marker.modified)));
                }
                headers
            }
            _ => Vec::new(),
        }
    }
}

fn upstream_to_s3(error: &UpstreamError) -> S3Error {
    match error {
        UpstreamError::SlowDown => S3Code::SlowDown.error(),
        UpstreamError::OutOfService
        | UpstreamError::Unreachable(_)
        | UpstreamError::Broken(_)
        | UpstreamError::Failed(_)
        | UpstreamError::OurCredentials(_)
        | UpstreamError::Malformed(_) => S3Code::ServiceUnavailable.error(),
        UpstreamError::Refused(refused) => match known_code(&refused.code) {
            Some(code) => code.error(),
            None => by_status(refused.status).error(),
        },
    }
}

/// Codes of a backend that mean to our client what they mean to us; everything else goes by status.
fn known_code(code: &str) -> Option<S3Code> {
    use S3Code::*;
    [
        BadDigest,
        BucketNotEmpty,
        EntityTooLarge,
        EntityTooSmall,
        IncompleteBody,
        InvalidArgument,
        InvalidDigest,
        InvalidPart,
        InvalidPartOrder,
        InvalidRange,
        InvalidRequest,
        InvalidTag,
        KeyTooLongError,
        MalformedXML,
        MetadataTooLarge,
        NoSuchKey,
        NoSuchTagSet,
        NoSuchUpload,
        NoSuchVersion,
        NotImplemented,
        OperationAborted,
        PreconditionFailed,
        InvalidObjectState,
        RequestTimeout,
    ]
    .into_iter()
    .find(|known| known.name() == code)
}

/// For an answer without a code that we know, such as one to HEAD.
pub fn by_status(status: u16) -> S3Code {
    match status {
        304 => S3Code::NotModified,
        404 => S3Code::NoSuchKey,
        405 => S3Code::MethodNotAllowed,
        408 => S3Code::RequestTimeout,
        409 => S3Code::OperationAborted,
        411 => S3Code::MissingContentLength,
        412 => S3Code::PreconditionFailed,
        416 => S3Code::InvalidRange,
        400..=499 => S3Code::InvalidRequest,
        501 => S3Code::NotImplemented,
        _ => S3Code::ServiceUnavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_that_ran_out_of_patience_is_asked_again() {
        for (status, code, want) in [
            (400, "RequestTimeout", S3Code::RequestTimeout),
            (408, "RequestTimeout", S3Code::RequestTimeout),
            (408, "", S3Code::RequestTimeout),
            (400, "", S3Code::InvalidRequest),
        ] {
            let error = Refusal::from(UpstreamError::from_answer(status, code)).to_s3();
            assert_eq!((error.code, error.status()), (want, 400), "{status} {code}");
        }
    }
}
