//! Checksums that the gateway keeps in its metadata for homes that keep none.
//! Invariant: a kept checksum counts only for the object whose ETag and size it names, so that a write that the gateway
//! did not see, or whose row is missing, never shows the checksum of the object before.
//!
//! What is kept here was verified before, and can be made anew from the object. So neither a write nor a read fails for
//! its sake: while the metadata is away, objects are written, read and deleted without it.
use crate::gateway::Gateway;
use http::HeaderMap;
use s3gateway_s3::{
    ObjectKey, S3Code, S3Error, S3Request,
    checksum::{Algorithm, Checksum, ChecksumType, parse_value},
    etag::unquoted,
};
use s3gateway_store::{ObjectChecksum, Route, StoreError};
use std::{future::Future, time::Duration};

/// What a request waits for the metadata, for a checksum's sake.
const PATIENCE: Duration = Duration::from_millis(500);

/// The algorithm that `x-amz-checksum-algorithm` asks for.
///
/// # Errors
/// `InvalidRequest` for one that is not known here.
pub(super) fn parse_algorithm(request: &S3Request) -> Result<Option<Algorithm>, S3Error> {
    let Some(value) = request.value("x-amz-checksum-algorithm") else { return Ok(None) };
    let known = value.to_str().ok().and_then(Algorithm::from_name);
    known.map(Some).ok_or_else(|| {
        let names = Algorithm::ALL.map(Algorithm::name).join(", ");
        S3Code::InvalidRequest.because(format!(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [{names}]"
        ))
    })
}

/// The checksum of an object's bytes that a backend's head shows.
pub(super) fn shown_checksum(headers: &HeaderMap) -> Option<Checksum> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if text("x-amz-checksum-type").is_some_and(|kind| kind != ChecksumType::FullObject.name()) {
        return None;
    }
    Algorithm::ALL.into_iter().find_map(|algorithm| {
        let value = text(algorithm.header())?;
        parse_value(algorithm, value).map(|_| Checksum::full_object(algorithm, value.to_owned()))
    })
}

impl Gateway {
    /// Keeps the checksum of an object that has just been written. To be called after the backend's success and before
    /// the commit.
    pub(crate) async fn keep_checksum(
        &self,
        route: &Route,
        key: &ObjectKey,
        etag: &str,
        size: u64,
        checksum: &Checksum,
    ) {
        let kept = ObjectChecksum { etag: unquoted(etag).to_owned(), size, checksum: checksum.clone() };
        patiently("keep", self.metadata.put_checksum(&route.bucket, key, &kept)).await;
    }

    /// The checksum kept of the object with that ETag and size.
    pub(crate) async fn kept_checksum(
        &self,
        route: &Route,
        key: &ObjectKey,
        etag: &str,
        size: u64,
    ) -> Option<Checksum> {
        let kept = patiently("read", self.metadata.checksum(&route.bucket, key)).await??;
        (kept.etag == unquoted(etag) && kept.size == size).then_some(kept.checksum)
    }

    /// Forgets the checksum of an object that has just been deleted.
    pub(crate) async fn forget_checksum(&self, route: &Route, key: &ObjectKey) {
        patiently("forget", self.metadata.delete_checksum(&route.bucket, key)).await;
    }
}

async fn patiently<T>(what: &'static str, asked: impl Future<Output = Result<T, StoreError>>) -> Option<T> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(found)) => Some(found),
        Ok(Err(error)) => {
            tracing::debug!(%error, what, "a checksum is left out");
            None
        }
        Err(_) => {
            tracing::debug!(what, "a checksum is left out: the metadata is slow");
            None
        }
    }
}
