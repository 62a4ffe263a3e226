//! Ends uploads at replicas when the upload at the home that they belong to is over: aborted, completed, or forgotten by its client and
//! ended by the home's own lifecycle.
//! Invariant: only the home's word, in S3's own terms, says that an upload is over, or that the home has become another one.
use crate::backend::BackendError;
use crate::backends::Backends;
use crate::multipart::Upload;
use crate::standing::Resting;
use s3gateway_store::{DirtyKey, Metadata, Millis, OpenPlace, Queue, Route, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// Uploads looked at in one round.
const UPLOADS_AT_ONCE: u32 = 100;
/// Between two looks at one that is lost at most: it has perhaps ended already, and was kept by a dirty key or a backend that was away.
const LOST_INTERVAL: Duration = Duration::from_secs(60);

/// What looking after open uploads needs.
pub(crate) struct OpenUploads {
    pub(crate) metadata: Metadata,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) backends: Arc<Backends>,
    /// Between two looks at one.
    pub(crate) interval: Duration,
}

/// Why an upload is looked at again later.
#[derive(Debug, thiserror::Error)]
enum UploadError {
    #[error(transparent)]
    Resting(#[from] Resting),
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OpenUploads {
    /// One round over the uploads whose turn it is; what fails has its turn again after the interval.
    pub(crate) async fn round(&self, stop: &CancellationToken) {
        let before =
            |interval: Duration| self.metadata.now() - Millis::try_from(interval.as_millis()).unwrap_or(Millis::MAX);
        let (since, lost_since) = (before(self.interval), before(self.interval.min(LOST_INTERVAL)));
        let open = match self.metadata.open_places(since, lost_since, UPLOADS_AT_ONCE).await {
            Ok(open) => open,
            Err(error) => return warn!(%error, "uploads that are open at replicas cannot be read"),
        };
        for open in open {
            if stop.is_cancelled() {
                return;
            }
            let bucket = open.bucket.as_str();
            match self.look(&open).await {
                Ok(true) => {
                    info!(bucket, backend = %open.backend, "an upload at a replica has ended, as the home's has")
                }
                Ok(false) => {}
                Err(error) => debug!(bucket, backend = %open.backend, %error, "an upload at a replica stays for now"),
            }
        }
    }

    /// Whether it has ended.
    async fn look(&self, open: &OpenPlace) -> Result<bool, UploadError> {
        let OpenPlace { bucket, key, backend, .. } = open;
        if !self.metadata.claim_open_place(open).await? {
            return Ok(false);
        }
        // What a deleted bucket leaves goes with it.
        let Some(route) = self.metadata.route_by_id(bucket).await? else { return Ok(false) };
        if !self.is_over(open, &route).await? {
            return Ok(false);
        }
        let dirty = DirtyKey { bucket: bucket.clone(), key: key.clone() };
        // A worker may be going on with its parts.
        if self.queue.is_marked(&dirty).await? {
            return Ok(false);
        }
        if let (Some(remote), Some(physical)) = (self.backends.get(backend).await?, route.physical_on(backend)) {
            remote.admit()?;
            Upload { remote: &remote, bucket: physical, key, id: &open.place_upload_id }.abort().await?;
        }
        self.metadata.delete_upload_place(bucket, &open.upload_id, backend).await?;
        Ok(true)
    }

    /// Whether the home has the upload no more; nobody can go on with one of a former home.
    async fn is_over(&self, open: &OpenPlace, route: &Route) -> Result<bool, UploadError> {
        if open.home != route.home {
            return Ok(true);
        }
        let (Some(bucket), Some(remote)) = (route.physical_on(&route.home), self.backends.get(&route.home).await?)
        else {
            return Ok(false);
        };
        remote.admit()?;
        let upload = Upload { remote: &remote, bucket, key: &open.key, id: &open.upload_id };
        Ok(!upload.is_open().await?)
    }
}
