//! How the gateway and its buckets stand at a backend: whether a bucket is there, keeps versions, and whether the gateway
//! itself is let in. Asked where an answer does not say what it is that was refused.
use super::{Client, UpstreamBackend, UpstreamError, UpstreamRequest};
use bytes::Bytes;
use http::{Method, StatusCode};
use s3gateway_s3::{PhysicalBucket, Versioning, xml::VersioningConfiguration};

impl Client {
    /// Passes a bucket that its backend knows. Asks at most once in a while for each bucket, whoever wants to know.
    ///
    /// # Errors
    /// [`UpstreamError::Malformed`] for a bucket that the backend has lost; as [`Client::send`].
    pub async fn require_bucket(
        &self,
        backend: &UpstreamBackend,
        bucket: &PhysicalBucket,
    ) -> Result<(), UpstreamError> {
        let look = async {
            match self.send(backend, UpstreamRequest::new(Method::HEAD, bucket, None), Bytes::new()).await {
                Err(UpstreamError::Refused(refused)) if refused.status == 404 => Err(UpstreamError::LOST_BUCKET),
                other => other.map(|_| ()),
            }
        };
        let seen = self.seen.try_get_with((backend.id().clone(), bucket.clone()), look);
        Box::pin(seen).await.map_err(|error| (*error).clone())
    }

    /// Whether the backend refuses the gateway itself: a HeadBucket asks for nothing that a client could have got wrong.
    /// To be asked where a 400 does not say yet whom it means.
    pub async fn is_refused(&self, backend: &UpstreamBackend, bucket: &PhysicalBucket) -> bool {
        match self.send(backend, UpstreamRequest::new(Method::HEAD, bucket, None), Bytes::new()).await {
            Err(UpstreamError::OurCredentials(_)) => true,
            Err(UpstreamError::Refused(refused)) => refused.status == StatusCode::BAD_REQUEST.as_u16(),
            _ => false,
        }
    }

    /// The state of a bucket of which its backend keeps versions, or has kept some. Asks at most once in a while for each bucket.
    ///
    /// # Errors
    /// [`UpstreamError::LOST_VERSIONS`]; as [`Client::send`].
    pub async fn require_versions(
        &self,
        backend: &UpstreamBackend,
        bucket: &PhysicalBucket,
    ) -> Result<Versioning, UpstreamError> {
        let look = async {
            let answer = self.send(backend, versioning_question(bucket), Bytes::new()).await?;
            match VersioningConfiguration::parse(&answer.body) {
                Ok(VersioningConfiguration(state)) if state.is_set() => Ok(state),
                Ok(_) => Err(UpstreamError::LOST_VERSIONS),
                Err(_) => Err(UpstreamError::Malformed("no state of versioning")),
            }
        };
        let seen = self.versioned.try_get_with((backend.id().clone(), bucket.clone()), look);
        Box::pin(seen).await.map_err(|error| (*error).clone())
    }

    /// Has [`Client::require_versions`] ask anew.
    pub async fn forget_versions(&self, backend: &UpstreamBackend, bucket: &PhysicalBucket) {
        self.versioned.invalidate(&(backend.id().clone(), bucket.clone())).await;
    }
}

/// Asks a backend whether it keeps versions of a bucket.
pub(crate) fn versioning_question(bucket: &PhysicalBucket) -> UpstreamRequest {
    UpstreamRequest::new(Method::GET, bucket, None).query("versioning", "")
}
