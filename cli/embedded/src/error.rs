//! How failures become S3 errors: what broke inside is logged by s3s and told to nobody.
use http::StatusCode;
use s3s::{S3Error, S3ErrorCode, S3Result};

/// Whatever fails inside is an InternalError.
pub trait Internal<T> {
    /// The value, or `InternalError` with the cause for the log.
    fn internal(self) -> S3Result<T>;
}

impl<T, E: std::error::Error + Send + Sync + 'static> Internal<T> for Result<T, E> {
    fn internal(self) -> S3Result<T> {
        self.map_err(S3Error::internal_error)
    }
}

/// A 400 with a code that s3s has no name for.
pub fn refusal(code: &'static str, message: &'static str) -> S3Error {
    with_status(code, StatusCode::BAD_REQUEST, message)
}

/// An error with a code that s3s has no name for.
pub fn with_status(code: &'static str, status: StatusCode, message: &'static str) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message);
    error.set_status_code(status);
    error
}
