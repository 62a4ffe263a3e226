//! Intent before a write, commit after it: no write reaches a backend unmarked, and no success goes down uncommitted.
use crate::{answer::RequestId, gateway::Gateway, refusal::Refusal, upstream::UpstreamError};
use s3gateway_s3::ObjectKey;
use s3gateway_store::{DirtyKey, Route, queue::Mark};
use std::{future::Future, time::Duration};

impl Gateway {
    /// How long a mark's lease must live: the write's answer may take the whole read timeout.
    pub(crate) fn lease(&self) -> Duration {
        self.settings.upstream.read_timeout + LEASE_MARGIN
    }

    /// Marks `key` as dirty, carries out `write`, and commits the mark before its success is returned.
    ///
    /// # Errors
    /// A store error where the mark could not be made (nothing was written) or committed (the write happened, the key is
    /// dirty, the client is told to try again); else the write's own.
    ///
    /// Cancel: the key stays dirty and its lease runs out; converge finds out what happened.
    pub(crate) async fn write_marked<T>(
        &self,
        route: &Route,
        key: &ObjectKey,
        request_id: RequestId,
        write: impl Future<Output = Result<T, UpstreamError>>,
    ) -> Result<T, Refusal> {
        let dirty = DirtyKey { bucket: route.bucket.clone(), key: key.clone() };
        let mark = self.intent(&dirty, request_id).await?;
        let result = write.await;
        self.settle(&dirty, &mark, request_id, result).await
    }

    /// First half of [`Gateway::write_marked`], for a body that streams: before its last bytes are released.
    pub(crate) async fn intent(&self, dirty: &DirtyKey, request_id: RequestId) -> Result<Mark, Refusal> {
        Ok(self.queue.intent(dirty, &request_id.to_string(), self.lease()).await?)
    }

    /// Second half: commits after a success, drops the lease after a certain refusal, leaves it after anything else.
    pub(crate) async fn settle<T>(
        &self,
        dirty: &DirtyKey,
        mark: &Mark,
        request_id: RequestId,
        result: Result<T, UpstreamError>,
    ) -> Result<T, Refusal> {
        match result {
            Ok(value) => {
                self.queue.commit(dirty, mark, &request_id.to_string()).await?;
                Ok(value)
            }
            Err(error) => {
                if error.is_definite()
                    && let Err(error) = self.queue.release(dirty, mark).await
                {
                    tracing::debug!(%error, "lease of a refused write runs out by itself");
                }
                Err(error.into())
            }
        }
    }
}

/// Between the backend's last moment to answer and the end of the lease.
const LEASE_MARGIN: Duration = Duration::from_secs(15);
