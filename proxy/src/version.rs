//! Versions on a request's way: which one is meant at the home, and which the client hears of.
//! Invariant: clients know a version for ever by the id that it got where it was written, whatever home the bucket has by
//! now; no replica's own is ever shown.
use crate::{admit::Routed, gateway::Gateway, operations::Patience, refusal::Refusal, upstream::UpstreamError};
use http::HeaderName;
use moka::future::Cache;
use s3gateway_s3::{ObjectKey, Operation, S3Code, S3Error, VersionId, Versioning};
use s3gateway_store::{BucketId, Route, StoreError};
use std::time::Duration;

pub(crate) const VERSION_ID: HeaderName = HeaderName::from_static("x-amz-version-id");
pub(crate) const DELETE_MARKER: HeaderName = HeaderName::from_static("x-amz-delete-marker");

/// A version by what clients know it by and by what its home does: two ids, where another home has given it its first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NamedVersion {
    shown: VersionId,
    /// `None`: the same.
    own: Option<VersionId>,
}

impl NamedVersion {
    /// One that the home knows as clients do.
    pub(crate) fn same(id: VersionId) -> Self {
        Self { shown: id, own: None }
    }

    /// What clients and metadata know it by.
    pub(crate) fn shown(&self) -> &VersionId {
        &self.shown
    }

    /// As [`NamedVersion::shown`].
    pub(crate) fn into_shown(self) -> VersionId {
        self.shown
    }

    /// What its home is asked for.
    pub(crate) fn own(&self) -> &VersionId {
        self.own.as_ref().unwrap_or(&self.shown)
    }

    fn of(shown: VersionId, own: VersionId) -> Self {
        Self { own: Some(own).filter(|own| *own != shown), shown }
    }
}

/// What the home's own ids stand for, of versions read lately, by the bucket's epoch: as long as that stands it never changes, unless one is `null`.
pub(crate) struct KnownVersions {
    held: Cache<(BucketId, i64, ObjectKey, VersionId), NamedVersion>,
    /// For asking the store: an answer can do without it.
    reads: Patience,
}

/// Versions remembered, of some hundred bytes each, at most four KiB.
const KNOWN_VERSIONS: u64 = 10_000;

impl KnownVersions {
    pub(crate) fn new() -> Self {
        let held = Cache::builder().max_capacity(KNOWN_VERSIONS).build();
        Self { held, reads: Patience::new(Duration::from_secs(2)) }
    }
}

/// The version that a request is about; `None`: the current one. Where the home keeps no versions, each object is its own
/// `null` version.
pub(crate) fn meant(keeps_versions: bool, asked: Option<VersionId>) -> Result<Option<VersionId>, S3Error> {
    match asked {
        Some(version) if !keeps_versions && version.is_null() => Ok(None),
        Some(version) if !keeps_versions => Err(VersionId::invalid(version.as_str())),
        asked => Ok(asked),
    }
}

impl Gateway {
    /// The version of a key that a client names; `None`: the current one. The home's own id of it will do as well.
    ///
    /// # Errors
    /// `InvalidArgument` or `NoSuchVersion` for one that no object there can have; `Stranded` for one that a former home may have, or have
    /// replaced, which is away; a store error.
    pub(crate) async fn named_version(
        &self,
        routed: &Routed,
        key: &ObjectKey,
        asked: Option<VersionId>,
    ) -> Result<Option<NamedVersion>, Refusal> {
        let Some(asked) = meant(routed.home.capabilities().keeps_versions(), asked)? else { return Ok(None) };
        let route = &routed.route;
        if !route.has_moved_versions {
            return Ok(Some(NamedVersion::same(asked)));
        }
        Ok(Some(Box::pin(self.moved_version(routed, key, asked)).await?))
    }

    async fn moved_version(&self, routed: &Routed, key: &ObjectKey, asked: VersionId) -> Result<NamedVersion, Refusal> {
        let Route { bucket, home, .. } = &*routed.route;
        // At the former home another one may have taken its place.
        if asked.is_null() {
            self.require_settled(routed, key).await?;
        }
        if let Some(own) = self.metadata.own_version(bucket, key, home, &asked).await? {
            return Ok(NamedVersion::of(asked, own));
        }
        // Clients know by another id what the home calls `null`, and mean another version by this.
        if asked.is_null() && self.metadata.shown_version(bucket, key, home, &asked).await?.is_some() {
            return Err(S3Code::NoSuchVersion.into());
        }
        let named = NamedVersion::same(asked);
        if self.is_waiting(routed, key).await? && self.is_missed(routed, key, &named).await {
            return Err(Refusal::Stranded);
        }
        Ok(named)
    }

    /// Whether the home says that it has no such version.
    pub(crate) async fn is_missed(&self, routed: &Routed, key: &ObjectKey, named: &NamedVersion) -> bool {
        let head = self.head_at_home(routed, key, Some(named)).await;
        matches!(head, Err(Refusal::S3(error)) if error.code == S3Code::NoSuchVersion)
    }

    /// The version in the home's answer to a write, which has made it or was about it.
    pub(crate) async fn written_version(
        &self,
        routed: &Routed,
        key: &ObjectKey,
        answered: &str,
    ) -> Option<NamedVersion> {
        let own = self.own_version(routed, answered).await?;
        Some(self.new_version(routed, key, own).await)
    }

    /// As [`Gateway::written_version`] for an object that was put, which has a version where versions are kept.
    pub(crate) async fn put_version(&self, routed: &Routed, key: &ObjectKey, answered: &str) -> Option<NamedVersion> {
        let own = self.own_version_or_null(routed, answered).await?;
        Some(self.new_version(routed, key, own).await)
    }

    /// The version that the home has just given an id: only `null` may have been another one's before.
    pub(crate) async fn new_version(&self, routed: &Routed, key: &ObjectKey, own: VersionId) -> NamedVersion {
        match own.is_null() {
            true => self.found_version(routed, key, None, own).await,
            false => NamedVersion::same(own),
        }
    }

    /// The version in the home's answer to a read of `named`, or of the current one.
    pub(crate) async fn read_version(
        &self,
        routed: &Routed,
        key: &ObjectKey,
        named: Option<&NamedVersion>,
        answered: &str,
    ) -> Option<NamedVersion> {
        let own = self.own_version_or_null(routed, answered).await?;
        Some(self.found_version(routed, key, named, own).await)
    }

    /// The version that the home has found: `named`, where one was, else by its own id. While the store cannot be asked it
    /// is shown by that, which requests may name as well.
    pub(crate) async fn found_version(
        &self,
        routed: &Routed,
        key: &ObjectKey,
        named: Option<&NamedVersion>,
        own: VersionId,
    ) -> NamedVersion {
        match named {
            _ if !routed.route.has_moved_versions => NamedVersion::same(own),
            Some(named) => named.clone(),
            None => Box::pin(self.recall_version(routed, key, own)).await,
        }
    }

    async fn recall_version(&self, routed: &Routed, key: &ObjectKey, own: VersionId) -> NamedVersion {
        let KnownVersions { held, reads } = &self.known_versions;
        let at = (routed.route.bucket.clone(), routed.route.epoch, key.clone(), own.clone());
        if let Some(known) = held.get(&at).await {
            return known;
        }
        match reads.ask("a version's id", self.noted_version(routed, key, own.clone())).await {
            None => NamedVersion::same(own),
            Some(known) => {
                if !own.is_null() {
                    held.insert(at, known.clone()).await;
                }
                known
            }
        }
    }

    /// The version in the home's answer about the current object, for a note in the metadata.
    ///
    /// # Errors
    /// A store error.
    pub(crate) async fn require_version(
        &self,
        routed: &Routed,
        key: &ObjectKey,
        answered: &str,
    ) -> Result<Option<NamedVersion>, StoreError> {
        match self.own_version_or_null(routed, answered).await {
            Some(own) if routed.route.has_moved_versions => {
                Box::pin(self.noted_version(routed, key, own)).await.map(Some)
            }
            own => Ok(own.map(NamedVersion::same)),
        }
    }

    async fn noted_version(
        &self,
        routed: &Routed,
        key: &ObjectKey,
        own: VersionId,
    ) -> Result<NamedVersion, StoreError> {
        let route = &routed.route;
        let shown = self.metadata.shown_version(&route.bucket, key, &route.home, &own).await?;
        Ok(shown.map_or_else(|| NamedVersion::same(own.clone()), |shown| NamedVersion::of(shown, own.clone())))
    }

    /// The home's own id in its answer, where the client is to hear of versions. One that the route held here does not
    /// expect may stem from a change that this proxy has yet to hear of: then the store is asked.
    async fn own_version(&self, routed: &Routed, answered: &str) -> Option<VersionId> {
        if !routed.home.capabilities().keeps_versions() {
            return None;
        }
        let version = VersionId::parse(answered).ok()?;
        let shown = routed.route.versioning.is_set() || Box::pin(self.is_versioned_now(routed)).await;
        shown.then_some(version)
    }

    /// As [`Gateway::own_version`] for an answer about one object, which has a version where versions are kept: servers
    /// leave the id out for the version that has none of its own.
    async fn own_version_or_null(&self, routed: &Routed, answered: &str) -> Option<VersionId> {
        let version = self.own_version(routed, answered).await;
        version.or_else(|| routed.route.versioning.is_set().then(VersionId::null))
    }

    /// Whether the store says of the bucket that it keeps versions.
    async fn is_versioned_now(&self, routed: &Routed) -> bool {
        self.versioning_now(routed).await.is_some_and(Versioning::is_set)
    }

    /// The bucket's state by the store; `None` where that cannot be asked.
    async fn versioning_now(&self, routed: &Routed) -> Option<Versioning> {
        let route = &routed.route;
        let now = self.routes.ask(&self.metadata, &route.tenant, &route.name).await.ok()?;
        (now.bucket == route.bucket).then_some(now.versioning)
    }

    /// Passes a write to a bucket whose home keeps versions as it was told to. A home that has forgotten it would replace
    /// or delete for good what the client believes to be kept, and one that was suspended past the gateway what it has called `null` before.
    ///
    /// # Errors
    /// An outage of the home.
    pub(crate) async fn require_versions(&self, routed: &Routed, operation: Operation) -> Result<(), UpstreamError> {
        use Operation::*;
        let replaces =
            matches!(operation, PutObject | CopyObject | CompleteMultipartUpload | DeleteObject | DeleteObjects);
        if !replaces || !routed.route.versioning.is_set() {
            return Ok(());
        }
        let physical = routed.route.physical_on(routed.home.id()).ok_or(UpstreamError::OutOfService)?;
        let state = Box::pin(self.client.require_versions(&routed.home, physical)).await?;
        let keeps_less = state == Versioning::Suspended && routed.route.versioning == Versioning::Enabled;
        if !keeps_less || Box::pin(self.versioning_now(routed)).await != Some(Versioning::Enabled) {
            return Ok(());
        }
        // It may have been enabled since it was asked.
        self.client.forget_versions(&routed.home, physical).await;
        match Box::pin(self.client.require_versions(&routed.home, physical)).await? {
            Versioning::Enabled => Ok(()),
            _ => Err(UpstreamError::LOST_VERSIONS),
        }
    }
}

/// What a home's refusal means where a version was named.
pub(crate) fn of_version(error: UpstreamError, version: Option<&NamedVersion>) -> Refusal {
    match (&error, version) {
        (UpstreamError::Refused(refused), Some(_)) if refused.status == 404 => S3Code::NoSuchVersion.into(),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests;
