//! Which replicas may serve a read that the home does not: those that are proven to hold what the home held last.
//! Invariant: what a replica calls a version never reaches a client; it is asked for by its own id and shown under the one that clients know.
use crate::{
    admit::Routed,
    gateway::Gateway,
    refusal::{MetMarker, Refusal},
    upstream::UpstreamBackend,
    version::NamedVersion,
};
use s3gateway_s3::{ObjectKey, S3Code, VersionId};
use s3gateway_store::{DirtyKey, ObjectCopy, VersionCopy};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// A replica, and what it holds of the object that is asked for.
pub(super) struct Replica {
    pub(super) backend: Arc<UpstreamBackend>,
    pub(super) copy: ServedCopy,
}

/// A copy that a worker has verified.
pub(super) struct ServedCopy {
    pub(super) copy: ObjectCopy,
    /// Which version it is. `None` where the replica holds current objects only.
    version: Option<ServedVersion>,
}

/// A version as clients know it, and as the replica does.
struct ServedVersion {
    shown: VersionId,
    stored: VersionId,
    modified: SystemTime,
}

impl ServedCopy {
    /// The version that the replica is asked for.
    pub(super) fn stored_version(&self) -> Option<&VersionId> {
        self.version.as_ref().map(|version| &version.stored)
    }

    /// The version that the client hears of.
    pub(super) fn shown_version(&self) -> Option<&VersionId> {
        self.version.as_ref().map(|version| &version.shown)
    }

    /// When it was made, as the home says. Of what is no version only the replica's time is known, which is a later one.
    pub(super) fn home_modified(&self) -> Option<SystemTime> {
        self.version.as_ref().map(|version| version.modified)
    }

    /// Whether the replica can be asked about conditions: it knows the object as the home does.
    pub(super) fn has_the_homes_words(&self) -> bool {
        self.version.is_none() && self.copy.etag == self.copy.home_etag
    }

    #[cfg(test)]
    pub(super) fn for_test(copy: ObjectCopy, modified: Option<SystemTime>) -> Self {
        let id = VersionId::null;
        Self { copy, version: modified.map(|modified| ServedVersion { shown: id(), stored: id(), modified }) }
    }

    fn of_version(mapped: &VersionCopy) -> Self {
        Self {
            copy: ObjectCopy {
                backend: mapped.backend.clone(),
                etag: mapped.etag.clone(),
                home_etag: mapped.home_etag.clone(),
                size: mapped.size,
                verified_how: mapped.verified_how.clone(),
                verified_at: mapped.verified_at,
            },
            version: Some(ServedVersion {
                shown: mapped.home_version.clone(),
                stored: mapped.version.clone(),
                modified: modified_at_home(mapped),
            }),
        }
    }
}

/// Replicas that hold the version, or the current object, as the home held it: the key is clean, and a worker has verified
/// their copy. `None` where no replica can tell.
///
/// # Errors
/// What the home would say of a delete marker, of a version that is not there, and of a key without any object;
/// `NotProvenClean`.
pub(super) async fn replicas_of(
    gateway: &Gateway,
    routed: &Routed,
    key: &ObjectKey,
    version: Option<&NamedVersion>,
) -> Result<Option<VecDeque<Replica>>, Refusal> {
    let bucket = &routed.route.bucket;
    let replicas: Vec<_> = gateway.replicas(&routed.route).collect();
    if replicas.is_empty() {
        return Ok(None);
    }
    let dirty = DirtyKey { bucket: bucket.clone(), key: key.clone() };
    // Asked before and after: what is recorded of a key that is written meanwhile is half of what a worker is about to record.
    require_clean(gateway, &dirty).await?;
    let (mut mapped, copies) = match version {
        Some(version) => (gateway.metadata.copies_of_version(bucket, key, version.shown()).await?, Vec::new()),
        None => {
            (gateway.metadata.current_version_copies(bucket, key).await?, gateway.metadata.copies(bucket, key).await?)
        }
    };
    // Of the home itself there are rows where versions have moved, and of one that was left until it is dropped.
    mapped.retain(|copy| copy.backend != routed.route.home && routed.route.physical_on(&copy.backend).is_some());
    let lists = match version {
        Some(_) if mapped.is_empty() => gateway.metadata.current_version_copies(bucket, key).await?,
        _ => Vec::new(),
    };
    require_clean(gateway, &dirty).await?;
    if let Some(marker) = replicas.iter().filter_map(|replica| on(replica, &mapped)).find(|copy| copy.is_marker) {
        return Err(Refusal::DeleteMarker(Box::new(met(marker, version.is_some()))));
    }
    if replicas.iter().any(|replica| on(replica, &lists).is_some()) {
        return Err(S3Code::NoSuchVersion.into());
    }
    if version.is_none() && copies.is_empty() && mapped.is_empty() {
        // Clean and without any copy: the last thing converged was its absence.
        return Err(S3Code::NoSuchKey.into());
    }
    let copy_on = |backend: Arc<UpstreamBackend>| {
        let copy = match on(&backend, &mapped) {
            Some(mapped) => ServedCopy::of_version(mapped),
            None => {
                // One that a worker has only begun is none.
                let copy = copies.iter().find(|copy| copy.backend == *backend.id() && copy.verified_at > 0)?;
                ServedCopy { copy: copy.clone(), version: None }
            }
        };
        Some(Replica { backend, copy })
    };
    let found: VecDeque<Replica> = replicas.into_iter().filter_map(copy_on).collect();
    Ok(Some(found).filter(|found| !found.is_empty()))
}

/// What is recorded of a replica that keeps versions.
fn on<'a>(replica: &UpstreamBackend, recorded: &'a [VersionCopy]) -> Option<&'a VersionCopy> {
    let keeps_versions = replica.capabilities().keeps_versions();
    recorded.iter().find(|copy| keeps_versions && copy.backend == *replica.id())
}

async fn require_clean(gateway: &Gateway, dirty: &DirtyKey) -> Result<(), Refusal> {
    match gateway.queue.is_clean(dirty).await {
        Ok(true) => Ok(()),
        _ => Err(Refusal::NotProvenClean),
    }
}

fn met(marker: &VersionCopy, is_named: bool) -> MetMarker {
    MetMarker { version: marker.home_version.clone(), modified: modified_at_home(marker), is_named }
}

fn modified_at_home(version: &VersionCopy) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(version.home_modified).unwrap_or(0))
}
