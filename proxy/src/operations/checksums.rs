//! Checksums that the gateway keeps in its metadata for homes that keep none.
//! Invariant: a kept checksum counts only for the object whose ETag and size it names, so that a write that the gateway
//! did not see, or whose row is missing, never shows the checksum of the object before.
//!
//! What is kept here was verified before, and can be made anew from the object. So neither a write nor a read fails for
//! its sake: while the metadata is away, objects are written, read and deleted without it.
use super::completion::Completion;
use crate::gateway::Gateway;
use http::HeaderMap;
use s3gateway_s3::{
    ObjectKey, S3Code, S3Error, S3Request,
    checksum::{Algorithm, Checksum, ChecksumType, parse_value},
    etag::unquoted,
};
use s3gateway_store::{FinishedParts, Millis, ObjectChecksum, Route, StoreError};
use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// How long requests wait for the metadata, for the sake of what they can do without: checksums, and ids of versions.
pub(crate) struct Patience {
    limit: Duration,
    began: Instant,
    /// Milliseconds after `began` until which it is not asked again.
    rests_until: AtomicU64,
}

/// Once it could not be asked, requests go on without it for so long, so that not each of them waits.
const REST: Duration = Duration::from_secs(5);

impl Patience {
    /// For questions that should be answered within `limit`.
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, began: Instant::now(), rests_until: AtomicU64::new(0) }
    }

    /// Asks, and goes on without an answer where there is none in time.
    pub(crate) async fn ask<T>(
        &self,
        what: &'static str,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Option<T> {
        if self.elapsed() < self.rests_until.load(Ordering::Relaxed) {
            return None;
        }
        match tokio::time::timeout(self.limit, asked).await {
            Ok(Ok(found)) => return Some(found),
            Ok(Err(StoreError::Unavailable(error))) => tracing::debug!(%error, what, "left out"),
            Ok(Err(error)) => {
                tracing::debug!(%error, what, "left out");
                return None;
            }
            Err(_) => tracing::debug!(what, "left out: the metadata is slow"),
        }
        let rest = u64::try_from(REST.as_millis()).unwrap_or(u64::MAX);
        self.rests_until.store(self.elapsed().saturating_add(rest), Ordering::Relaxed);
        None
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

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
        self.checksum_writes
            .ask("a checksum to keep", self.metadata.put_checksum(&route.bucket, key, &kept, route.versioning.is_set()))
            .await;
    }

    /// The checksum kept of the object with that ETag and size.
    pub(crate) async fn kept_checksum(
        &self,
        route: &Route,
        key: &ObjectKey,
        etag: &str,
        size: u64,
    ) -> Option<Checksum> {
        self.checksum_reads.ask("a checksum", self.metadata.checksum(&route.bucket, key, unquoted(etag), size)).await?
    }

    /// Keeps what the parts of a completed upload have made. To be called as [`Gateway::keep_checksum`].
    pub(super) async fn keep_completion(
        &self,
        route: &Route,
        key: &ObjectKey,
        etag: &str,
        completion: &Completion,
        algorithm: Algorithm,
    ) {
        let Some(size) = completion.size else { return };
        if let Some(checksum) = &completion.checksum {
            self.keep_checksum(route, key, etag, size, checksum).await;
        }
        let (etag, parts) = (unquoted(etag).to_owned(), completion.parts.clone());
        let finished = FinishedParts { etag, size, algorithm, parts };
        self.checksum_writes
            .ask(
                "a checksum to keep",
                self.metadata.put_object_parts(&route.bucket, key, &finished, route.versioning.is_set()),
            )
            .await;
    }

    /// The parts that the object with that ETag and size was made of.
    pub(crate) async fn finished_parts(
        &self,
        route: &Route,
        key: &ObjectKey,
        etag: &str,
        size: u64,
    ) -> Option<FinishedParts> {
        self.checksum_reads
            .ask("a checksum", self.metadata.object_parts(&route.bucket, key, unquoted(etag), size))
            .await?
    }

    /// Forgets what was kept of an object that has just been deleted, up to the time when that began: what another write keeps
    /// since is not its. Where versions are kept, those that are left still need theirs.
    pub(super) async fn forget_checksums(&self, route: &Route, key: &ObjectKey, by: Millis) {
        if !route.versioning.is_set() {
            self.checksum_writes.ask("forget", self.metadata.delete_checksums(&route.bucket, key, by)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_that_cannot_be_asked_is_left_in_peace_for_a_while() {
        let patience = Patience::new(Duration::from_millis(1));
        let ask = |answer: Result<u8, StoreError>| patience.ask("a checksum", async { answer });
        assert_eq!(ask(Ok(1)).await, Some(1));
        assert_eq!(ask(Err(StoreError::NotFound)).await, None);
        assert_eq!(ask(Ok(2)).await, Some(2), "it has answered");
        let slow = patience.ask("a checksum", std::future::pending::<Result<u8, StoreError>>());
        assert_eq!(slow.await, None);
        assert_eq!(ask(Ok(4)).await, None, "it is not asked");
    }
}
