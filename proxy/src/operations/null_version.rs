//! Writes while versioning is suspended, to a bucket that has had another home. Each takes the place of the key's `null` version; one that came
//! from the former home has an id of this one's own, so that this one does not replace it by itself.
//! Source: Amazon S3 User Guide, "Working with objects in a versioning-suspended bucket".
use crate::{admit::Routed, gateway::Gateway, refusal::Refusal};
use http::Method;
use s3gateway_s3::{ObjectKey, VersionId, Versioning};

impl Gateway {
    /// The home's own id of the `null` version that the next write of the key replaces, where the home does not do so. To be asked under the
    /// key's mark, before anything is sent.
    ///
    /// # Errors
    /// A store error.
    pub(crate) async fn null_to_replace(&self, routed: &Routed, key: &ObjectKey) -> Result<Option<VersionId>, Refusal> {
        let route = &routed.route;
        if !route.has_moved_versions || route.versioning != Versioning::Suspended {
            return Ok(None);
        }
        let null = VersionId::null();
        let own = self.metadata.own_version(&route.bucket, key, &route.home, &null).await?;
        if own.as_ref().is_some_and(VersionId::is_null) {
            // The home replaces it, and what is noted of it would be said of the next one.
            self.metadata.note_version_gone(&route.bucket, key, &route.home, (&null, &null)).await?;
            return Ok(None);
        }
        Ok(own)
    }

    /// Deletes what [`Self::null_to_replace`] has found, after the write and before its success is committed. Where this ends in the middle, a
    /// worker does the rest when it converges the key.
    ///
    /// # Errors
    /// A store error; an outage of the home.
    pub(crate) async fn replace_null(&self, routed: &Routed, key: &ObjectKey, own: &VersionId) -> Result<(), Refusal> {
        let newest = self.newest_at_home(routed, key).await?;
        // Where versioning was enabled meanwhile, the write has made a version beside it.
        if newest.is_none_or(|newest| newest.version_id != VersionId::NULL) {
            return Ok(());
        }
        let route = &routed.route;
        // First, so that whoever asks for `null` from here on finds the new one.
        self.metadata.note_version_gone(&route.bucket, key, &route.home, (&VersionId::null(), own)).await?;
        let request = routed.request(Method::DELETE, Some(key))?.query("versionId", own.as_str());
        self.ask_home(routed, request, bytes::Bytes::new()).await?;
        Ok(())
    }
}
