//! Intent before a write, commit after it: no write reaches a backend unmarked, and no success goes down uncommitted.
use crate::{answer::RequestId, gateway::Gateway, refusal::Refusal, upstream::UpstreamError};
use s3gateway_store::{DirtyKey, queue::Mark};
use std::{
    future::Future,
    time::{Duration, Instant},
};

impl Gateway {
    /// How long a mark's lease must live: longer than a write may take from its last bytes to its answer, so that no
    /// write lands after its lease.
    pub(crate) fn lease(&self) -> Duration {
        let upstream = &self.settings.upstream;
        upstream.connect_timeout + upstream.write_timeout + upstream.read_timeout + LEASE_MARGIN
    }

    /// Before a write: notes the key as dirty and takes a lease for the write in flight.
    pub(crate) async fn intent(&self, dirty: &DirtyKey, request_id: RequestId) -> Result<Mark, Refusal> {
        Ok(self.queue.intent(dirty, &request_id.to_string(), self.lease()).await?)
    }

    /// Carries out a write that may take longer than a lease, such as the copy of a large object between backends: the
    /// lease is renewed meanwhile, and a write that has lost it is broken off before it could land unmarked.
    pub(crate) async fn while_marked<T>(
        &self,
        dirty: &DirtyKey,
        mark: &Mark,
        write: impl Future<Output = Result<T, UpstreamError>>,
    ) -> Result<T, UpstreamError> {
        let renewed = async {
            let mut since = Instant::now();
            while since.elapsed() < self.lease() / 2 {
                tokio::time::sleep(self.lease() / 8).await;
                match self.queue.renew(dirty, mark, self.lease()).await {
                    Ok(()) => since = Instant::now(),
                    Err(error) => tracing::warn!(%error, "the lease of a write cannot be renewed"),
                }
            }
        };
        tokio::select! {
            result = write => result,
            () = renewed => Err(UpstreamError::Broken("the write's lease could not be renewed".to_owned())),
        }
    }

    /// After a write: commits a success, drops the lease of a certain refusal, leaves it to run out after anything else,
    /// when the write may have happened.
    ///
    /// Cancel: the key stays dirty and its lease runs out; converge finds out what happened.
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

/// Age up to which a lease is used as it is, and more: an older one is renewed before the last bytes leave.
const LEASE_MARGIN: Duration = Duration::from_secs(15);
