//! S3's error codes with their statuses, and the error that a client gets.
use crate::{BucketNameError, KeyError, ObjectKey, xml::Writer};
use std::borrow::Cow;
use strum::{EnumIter, IntoEnumIterator as _, IntoStaticStr};

/// An error as S3 names it (Amazon S3 API Reference, "Error responses").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, EnumIter)]
#[allow(missing_docs)] // the names are S3's own and documented there
pub enum S3Code {
    AccessDenied,
    AccessControlListNotSupported,
    AuthorizationHeaderMalformed,
    AuthorizationQueryParametersError,
    BadDigest,
    BadRequest,
    BucketAlreadyExists,
    BucketAlreadyOwnedByYou,
    BucketNotEmpty,
    ConditionalRequestConflict,
    EntityTooLarge,
    EntityTooSmall,
    IllegalLocationConstraintException,
    IncompleteBody,
    InternalError,
    InvalidAccessKeyId,
    InvalidArgument,
    InvalidBucketName,
    InvalidBucketState,
    InvalidChunkSizeError,
    InvalidDigest,
    InvalidEncryptionAlgorithmError,
    InvalidLocationConstraint,
    InvalidObjectState,
    InvalidPart,
    InvalidPartNumber,
    InvalidPartOrder,
    InvalidRange,
    InvalidRequest,
    InvalidStorageClass,
    InvalidTag,
    InvalidToken,
    InvalidURI,
    KeyTooLongError,
    MalformedTrailerError,
    MalformedXML,
    MaxMessageLengthExceeded,
    MetadataTooLarge,
    MethodNotAllowed,
    MissingContentLength,
    MissingRequestBodyError,
    NoSuchBucket,
    NoSuchKey,
    NoSuchTagSet,
    NoSuchUpload,
    NoSuchVersion,
    NotImplemented,
    NotModified,
    OperationAborted,
    PreconditionFailed,
    QuotaExceeded,
    RequestHeaderSectionTooLarge,
    RequestTimeTooSkewed,
    RequestTimeout,
    ServiceUnavailable,
    SignatureDoesNotMatch,
    SlowDown,
    TooManyBuckets,
    XAmzContentSHA256Mismatch,
}

/// An error answer: code, message and the extra elements that S3 adds for some codes.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: {message}", .code.name())]
pub struct S3Error {
    /// The code; gives the status.
    pub code: S3Code,
    /// For people. Never holds a secret, a physical name or a backend's host.
    pub message: Cow<'static, str>,
    /// Further elements of `<Error>`, for example `("Region", "fi-hel")`, `("HeadersNotSigned", "x-amz-acl")`.
    pub extra: Vec<(&'static str, String)>,
}

impl S3Code {
    /// The code as it stands in `<Code>`.
    pub fn name(self) -> &'static str {
        self.into()
    }
    /// The HTTP status that S3 sends with it.
    pub fn status(self) -> u16 {
        use S3Code::*;
        match self {
            NotModified => 304,
            AccessDenied
            | InvalidAccessKeyId
            | InvalidObjectState
            | QuotaExceeded
            | RequestTimeTooSkewed
            | SignatureDoesNotMatch => 403,
            NoSuchBucket | NoSuchKey | NoSuchTagSet | NoSuchUpload | NoSuchVersion => 404,
            MethodNotAllowed => 405,
            BucketAlreadyExists
            | BucketAlreadyOwnedByYou
            | BucketNotEmpty
            | ConditionalRequestConflict
            | InvalidBucketState
            | OperationAborted => 409,
            MissingContentLength => 411,
            PreconditionFailed => 412,
            InvalidPartNumber | InvalidRange => 416,
            InternalError => 500,
            NotImplemented => 501,
            ServiceUnavailable | SlowDown => 503,
            AccessControlListNotSupported
            | AuthorizationHeaderMalformed
            | AuthorizationQueryParametersError
            | BadDigest
            | BadRequest
            | EntityTooLarge
            | EntityTooSmall
            | IllegalLocationConstraintException
            | IncompleteBody
            | InvalidArgument
            | InvalidBucketName
            | InvalidChunkSizeError
            | InvalidDigest
            | InvalidEncryptionAlgorithmError
            | InvalidLocationConstraint
            | InvalidPart
            | InvalidPartOrder
            | InvalidRequest
            | InvalidStorageClass
            | InvalidTag
            | InvalidToken
            | InvalidURI
            | KeyTooLongError
            | MalformedTrailerError
            | MalformedXML
            | MaxMessageLengthExceeded
            | MetadataTooLarge
            | MissingRequestBodyError
            | RequestHeaderSectionTooLarge
            | RequestTimeout
            | TooManyBuckets
            | XAmzContentSHA256Mismatch => 400,
        }
    }
    /// This code with S3's usual message.
    pub fn error(self) -> S3Error {
        S3Error { code: self, message: Cow::Borrowed(self.default_message()), extra: Vec::new() }
    }
    /// This code with a message of one's own.
    pub fn because(self, message: impl Into<Cow<'static, str>>) -> S3Error {
        S3Error { code: self, message: message.into(), extra: Vec::new() }
    }
    /// S3's usual message for the code.
    pub fn default_message(self) -> &'static str {
        use S3Code::*;
        match self {
            AccessDenied => "Access Denied",
            AccessControlListNotSupported => "The bucket does not allow ACLs",
            AuthorizationHeaderMalformed => "The authorization header that you provided is not valid.",
            AuthorizationQueryParametersError => "The authorization query parameters that you provided are not valid.",
            BadDigest => "The Content-MD5 or checksum value that you specified did not match what the server received.",
            BadRequest => "Bad Request",
            BucketAlreadyExists => "The requested bucket name is not available. Select a different name and try again.",
            BucketAlreadyOwnedByYou => "The bucket that you tried to create already exists, and you own it.",
            ConditionalRequestConflict => {
                "Other requests are writing this resource, so that its condition cannot be decided. Please try again."
            }
            BucketNotEmpty => "The bucket that you tried to delete is not empty",
            EntityTooLarge => "Your proposed upload exceeds the maximum allowed size",
            EntityTooSmall => "Your proposed upload is smaller than the minimum allowed size",
            IllegalLocationConstraintException => "The specified location constraint is not allowed here.",
            IncompleteBody => "The request body terminated unexpectedly",
            InternalError => "We encountered an internal error. Please try again.",
            InvalidAccessKeyId => "The access key ID that you provided does not exist in our records.",
            InvalidArgument => "Invalid Argument",
            InvalidBucketName => "The specified bucket is not valid.",
            InvalidBucketState => "The request is not valid with the current state of the bucket.",
            InvalidChunkSizeError => "Only the last chunk is allowed to have a size less than 8192 bytes",
            InvalidDigest => "The Content-MD5 or checksum value that you specified is not valid.",
            InvalidEncryptionAlgorithmError => "The encryption request that you specified is not valid.",
            InvalidLocationConstraint => "The specified location-constraint is not valid",
            InvalidObjectState => "The operation is not valid for the current state of the object.",
            InvalidPart => {
                "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."
            }
            InvalidPartOrder => "The list of parts was not in ascending order. Parts must be ordered by part number.",
            InvalidPartNumber => "The requested partnumber is not satisfiable",
            InvalidRange => "The requested range is not satisfiable",
            InvalidRequest => "Invalid Request",
            InvalidStorageClass => "The storage class you specified is not valid",
            InvalidTag => "The tag provided was not a valid tag.",
            InvalidToken => "The provided token is malformed or otherwise invalid.",
            InvalidURI => "Couldn't parse the specified URI.",
            KeyTooLongError => "Your key is too long",
            MalformedTrailerError => {
                "The request contained trailing data that was not well-formed or did not conform to our published schema."
            }
            MalformedXML => "The XML you provided was not well-formed or did not validate against our published schema",
            MaxMessageLengthExceeded => "Your request was too big.",
            MetadataTooLarge => "Your metadata headers exceed the maximum allowed metadata size",
            MethodNotAllowed => "The specified method is not allowed against this resource.",
            MissingContentLength => "You must provide the Content-Length HTTP header.",
            MissingRequestBodyError => "Request Body is empty",
            NoSuchBucket => "The specified bucket does not exist",
            NoSuchKey => "The specified key does not exist.",
            NoSuchTagSet => "The TagSet does not exist",
            NoSuchUpload => {
                "The specified multipart upload does not exist. The upload ID might be invalid, or the multipart upload might have been aborted or completed."
            }
            NoSuchVersion => "The specified version does not exist.",
            NotImplemented => "A header, query parameter or operation that you asked for is not implemented.",
            NotModified => "Not Modified",
            OperationAborted => {
                "A conflicting conditional operation is currently in progress against this resource. Please try again."
            }
            PreconditionFailed => "At least one of the pre-conditions you specified did not hold",
            QuotaExceeded => "The quota of this account is used up.",
            RequestHeaderSectionTooLarge => "Your request header section exceeds the maximum allowed size.",
            RequestTimeTooSkewed => "The difference between the request time and the current time is too large.",
            RequestTimeout => {
                "Your socket connection to the server was not read from or written to within the timeout period."
            }
            ServiceUnavailable => "Service is unable to handle request. Please try again.",
            SignatureDoesNotMatch => {
                "The request signature that the server calculated does not match the signature that you provided. Check your secret access key and signing method."
            }
            SlowDown => "Please reduce your request rate.",
            TooManyBuckets => "You have attempted to create more buckets than allowed",
            XAmzContentSHA256Mismatch => "The provided 'x-amz-content-sha256' header does not match what was computed.",
        }
    }
    /// The code of that name, as it stands in a backend's `<Code>`; `None` for one that is not known here.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::iter().find(|code| code.name() == name)
    }
}

impl S3Error {
    /// Adds an element to the `<Error>` document.
    pub fn with(mut self, element: &'static str, value: impl Into<String>) -> Self {
        self.extra.push((element, value.into()));
        self
    }

    /// The HTTP status that goes with it.
    pub fn status(&self) -> u16 {
        self.code.status()
    }

    /// The `<Error>` document. `resource`: the path with the logical bucket; characters that XML cannot hold are
    /// percent-encoded in it and in the message, so that the document is always well-formed.
    pub fn render_xml(&self, resource: &str, request_id: &str) -> String {
        let mut out = Writer::document();
        out.open("Error");
        out.text("Code", self.code.name());
        out.text_lossy("Message", &self.message);
        for (element, value) in &self.extra {
            out.text_lossy(element, value);
        }
        out.text_lossy("Resource", resource);
        out.text_lossy("RequestId", request_id);
        out.close("Error");
        out.finish()
    }
}

impl From<BucketNameError> for S3Error {
    fn from(_: BucketNameError) -> Self {
        S3Code::InvalidBucketName.error()
    }
}

impl From<KeyError> for S3Error {
    fn from(fault: KeyError) -> Self {
        match fault {
            KeyError::Empty => S3Code::InvalidArgument.because("The object key is empty."),
            KeyError::TooLong => {
                S3Code::KeyTooLongError.error().with("MaxSizeAllowed", ObjectKey::MAX_BYTES.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::ErrorDocument;

    #[test]
    fn every_code_has_an_error_status_and_a_message() {
        for code in S3Code::iter() {
            assert!((300..600).contains(&code.status()), "{code:?}");
            assert!(!code.default_message().is_empty(), "{code:?}");
            assert_eq!(S3Code::from_name(code.name()), Some(code));
        }
        assert_eq!(S3Code::from_name("NoSuchThing"), None);
    }

    #[test]
    fn the_document_is_well_formed_whatever_the_key() {
        let error = S3Code::NoSuchKey.error().with("Key", "a<&>\"'\u{1}");
        let xml = error.render_xml("/b/\u{0}\u{1b}[31m\u{ffff}\r\n ä", "id-1");
        assert!(xml.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>"), "{xml}");
        assert!(xml.contains("<Key>a&lt;&amp;&gt;&quot;&apos;%01</Key>"), "{xml}");
        assert!(xml.contains("<Resource>/b/%00%1B[31m%EF%BF%BF&#13;&#10; ä</Resource>"), "{xml}");
        let parsed = ErrorDocument::parse(xml.as_bytes()).unwrap();
        assert_eq!((parsed.code.as_str(), parsed.message.as_str()), ("NoSuchKey", S3Code::NoSuchKey.default_message()));
        assert_eq!(parsed.request_id.as_deref(), Some("id-1"));
    }
}
