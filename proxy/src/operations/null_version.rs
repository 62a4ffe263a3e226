//! Writes while versioning is suspended, to a bucket that has had another home. Each takes the place of the key's `null` version; one that came
//! from the former home has an id of this one's own, so that this one does not replace it by itself.
//! Source: Amazon S3 User Guide, "Working with objects in a versioning-suspended bucket".
use crate::{admit::Routed, gateway::Gateway, refusal::Refusal, version::NamedVersion};
use bytes::Bytes;
use http::Method;
use s3gateway_s3::{ObjectKey, VersionId};
use s3gateway_store::VersionCopy;

/// Which version a write has made, by the home's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MadeVersion {
    /// None, or one with an id of its own.
    Other,
    /// The one that the home calls `null`.
    Null,
    /// The answer does not say: servers may leave out the id `null`, and after some writes any.
    Untold,
}

impl MadeVersion {
    /// By the id in the home's answer.
    pub(crate) fn of_answer(id: &str) -> Self {
        match id {
            "" => Self::Untold,
            VersionId::NULL => Self::Null,
            _ => Self::Other,
        }
    }

    /// By the version that the answer was found to be about.
    pub(super) fn of(version: Option<&NamedVersion>) -> Self {
        Self::of_answer(version.map_or("", |version| version.own().as_str()))
    }
}

impl Gateway {
    /// Lets the version go whose place a write has taken that made the home's own `null` version; to be called before its success is committed.
    /// Where this ends in the middle, a worker does the rest when it converges the key.
    ///
    /// # Errors
    /// `HomeChanges`; a store error; an outage of the home.
    pub(crate) async fn replace_null(
        &self,
        routed: &Routed,
        key: &ObjectKey,
        made: MadeVersion,
    ) -> Result<(), Refusal> {
        match routed.route.has_moved_versions && made != MadeVersion::Other {
            true => Box::pin(self.replace_moved_null(routed, key, made)).await,
            false => Ok(()),
        }
    }

    async fn replace_moved_null(&self, routed: &Routed, key: &ObjectKey, made: MadeVersion) -> Result<(), Refusal> {
        let route = &routed.route;
        let Some((own, is_replaced)) = self.metadata.null_version(&route.bucket, key, &route.home).await? else {
            return Ok(());
        };
        // So that the row was of this epoch, in which the write has landed.
        self.require_same_epoch(routed).await?;
        // What stays where the write has made a version beside it is not touched.
        if made == MadeVersion::Untold && !is_replaced && !self.is_null_newest(routed, key).await? {
            return Ok(());
        }
        if !is_replaced {
            // First, so that whoever asks for `null` from here on finds the new one.
            self.metadata.note_null_over(&route.bucket, key, &route.home, &own, VersionCopy::REPLACED).await?;
        }
        self.drop_replaced(routed, key, own).await
    }

    /// Drops what was replaced and is still there, so that it does not become the current version when the `null` version above it is deleted.
    ///
    /// # Errors
    /// As [`Self::replace_null`].
    pub(super) async fn finish_replacing(&self, routed: &Routed, key: &ObjectKey) -> Result<(), Refusal> {
        let route = &routed.route;
        if !route.has_moved_versions {
            return Ok(());
        }
        match self.metadata.null_version(&route.bucket, key, &route.home).await? {
            Some((own, true)) => {
                self.require_same_epoch(routed).await?;
                self.drop_replaced(routed, key, own).await
            }
            _ => Ok(()),
        }
    }

    async fn drop_replaced(&self, routed: &Routed, key: &ObjectKey, own: VersionId) -> Result<(), Refusal> {
        let route = &routed.route;
        if !own.is_null() {
            let request = routed.request(Method::DELETE, Some(key))?.version(Some(&NamedVersion::same(own.clone())));
            match self.ask_home(routed, request, Bytes::new()).await {
                // Another write was faster.
                Err(error) if matches!(error.refused_code(), Some("NoSuchKey" | "NoSuchVersion")) => {}
                done => drop(done?),
            }
        }
        Ok(self.metadata.note_null_over(&route.bucket, key, &route.home, &own, VersionCopy::GONE).await?)
    }

    /// Whether the key's newest version is what the home calls `null`.
    async fn is_null_newest(&self, routed: &Routed, key: &ObjectKey) -> Result<bool, Refusal> {
        let newest = self.newest_at_home(routed, key).await?;
        Ok(newest.is_some_and(|newest| newest.version_id == VersionId::NULL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_told_is_taken_for_null() {
        let named = |id: &str| NamedVersion::same(VersionId::parse(id).unwrap());
        for (id, want) in [("", MadeVersion::Untold), ("null", MadeVersion::Null), ("a1", MadeVersion::Other)] {
            assert_eq!(MadeVersion::of_answer(id), want, "{id}");
            let version = (!id.is_empty()).then(|| named(id));
            assert_eq!(MadeVersion::of(version.as_ref()), want, "{id}");
        }
    }
}
