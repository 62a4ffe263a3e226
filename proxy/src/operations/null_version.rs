//! Writes while versioning is suspended, to a bucket that has had another home. Each takes the place of the key's `null` version; one that came
//! from the former home has an id of this one's own, so that this one does not replace it by itself.
//! Source: Amazon S3 User Guide, "Working with objects in a versioning-suspended bucket".
use crate::{admit::Routed, gateway::Gateway, refusal::Refusal, version::NamedVersion};
use bytes::Bytes;
use http::Method;
use s3gateway_s3::{ObjectKey, VersionId};

impl Gateway {
    /// Lets the version go whose place a write has taken that made the home's own `null` version; to be called before its success is committed.
    /// Where this ends in the middle, a worker does the rest when it converges the key.
    ///
    /// # Errors
    /// `HomeChanges`; a store error; an outage of the home.
    pub(crate) async fn replace_null(&self, routed: &Routed, key: &ObjectKey) -> Result<(), Refusal> {
        match routed.route.has_moved_versions {
            true => Box::pin(self.replace_moved_null(routed, key)).await,
            false => Ok(()),
        }
    }

    async fn replace_moved_null(&self, routed: &Routed, key: &ObjectKey) -> Result<(), Refusal> {
        let (route, null) = (&routed.route, VersionId::null());
        let Some(own) = self.metadata.own_version(&route.bucket, key, &route.home, &null).await? else { return Ok(()) };
        // So that the row was of this epoch, in which the write has landed.
        self.require_same_epoch(routed).await?;
        // First, so that whoever asks for `null` from here on finds the new one.
        self.metadata.note_version_replaced(&route.bucket, key, &route.home, &own).await?;
        if !own.is_null() {
            let request = routed.request(Method::DELETE, Some(key))?.version(Some(&NamedVersion::same(own.clone())));
            self.ask_home(routed, request, Bytes::new()).await?;
        }
        Ok(self.metadata.note_replaced_gone(&route.bucket, key, &route.home, &own).await?)
    }
}

/// Whether what was written is a `null` version, where versions are kept: servers may leave out its id.
pub(super) fn is_null(version: Option<&NamedVersion>) -> bool {
    version.is_none_or(|version| version.own().is_null())
}

/// As [`is_null`], by the id in the home's answer to a write.
pub(crate) fn is_null_id(answered: &str) -> bool {
    matches!(answered, "" | VersionId::NULL)
}
