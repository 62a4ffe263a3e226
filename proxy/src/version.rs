//! Versions on a request's way: which one is meant at the home, and which the client hears of.
//! Invariant: a version is named by the home's id; no replica's own is ever shown.
use crate::{admit::Routed, gateway::Gateway, refusal::Refusal, upstream::UpstreamError};
use http::HeaderName;
use s3gateway_s3::{Operation, S3Code, S3Error, VersionId};

pub(crate) const VERSION_ID: HeaderName = HeaderName::from_static("x-amz-version-id");
pub(crate) const DELETE_MARKER: HeaderName = HeaderName::from_static("x-amz-delete-marker");

impl Routed {
    /// The version to ask the home for; `None`: the current one. Where the home keeps no versions, each object is its own
    /// `null` version.
    ///
    /// # Errors
    /// `InvalidArgument` for one that no object there can have.
    pub(crate) fn version(&self, asked: Option<VersionId>) -> Result<Option<VersionId>, S3Error> {
        meant(self.home.capabilities().keeps_versions(), asked)
    }
}

/// As [`Routed::version`], by whether the home keeps versions.
pub(crate) fn meant(keeps_versions: bool, asked: Option<VersionId>) -> Result<Option<VersionId>, S3Error> {
    match asked {
        Some(version) if !keeps_versions && version.is_null() => Ok(None),
        Some(version) if !keeps_versions => Err(VersionId::invalid(version.as_str())),
        asked => Ok(asked),
    }
}

impl Gateway {
    /// The version id in an answer of the home, as the client is to see it. One that the route held here does not expect
    /// may stem from a change that this proxy has yet to hear of: then the store is asked.
    pub(crate) async fn answered_version(&self, routed: &Routed, answered: &str) -> Option<VersionId> {
        if !routed.home.capabilities().keeps_versions() {
            return None;
        }
        let version = VersionId::parse(answered).ok()?;
        let shown = routed.route.versioning.is_set() || Box::pin(self.is_versioned_now(routed)).await;
        shown.then_some(version)
    }

    /// As [`Gateway::answered_version`] for an answer about one object, which has a version where versions are kept:
    /// servers leave the id out for the version that has none of its own.
    pub(crate) async fn shown_version(&self, routed: &Routed, answered: &str) -> Option<VersionId> {
        let version = self.answered_version(routed, answered).await;
        version.or_else(|| routed.route.versioning.is_set().then(VersionId::null))
    }

    /// Whether the store says of the bucket that it keeps versions.
    async fn is_versioned_now(&self, routed: &Routed) -> bool {
        let route = &routed.route;
        let now = self.routes.ask(&self.metadata, &route.tenant, &route.name).await;
        now.is_ok_and(|now| now.bucket == route.bucket && now.versioning.is_set())
    }

    /// Passes a write to a bucket whose home keeps versions as it was told to. A home that has forgotten it would replace
    /// or delete for good what the client believes to be kept.
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
        Box::pin(self.client.require_versions(&routed.home, physical)).await
    }
}

/// What a home's refusal means where a version was named.
pub(crate) fn of_version(error: UpstreamError, version: Option<&VersionId>) -> Refusal {
    match (&error, version) {
        (UpstreamError::Refused(refused), Some(_)) if refused.status == 404 => S3Code::NoSuchVersion.into(),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_object_is_its_own_null_version_where_none_are_kept() {
        let id = |text: &str| VersionId::parse(text).expect(text);
        for (keeps, asked, want) in [
            (false, None, Ok(None)),
            (false, Some("null"), Ok(None)),
            (false, Some("7"), Err(S3Code::InvalidArgument)),
            (true, None, Ok(None)),
            (true, Some("null"), Ok(Some(id("null")))),
            (true, Some("7"), Ok(Some(id("7")))),
        ] {
            assert_eq!(meant(keeps, asked.map(id)).map_err(|e| e.code), want, "{keeps} {asked:?}");
        }
    }

    #[test]
    fn a_version_that_is_missed_is_no_key_that_is_missed() {
        let id = VersionId::parse("7").expect("an id");
        for (status, code, version, want) in [
            (404, "NoSuchKey", Some(&id), S3Code::NoSuchVersion),
            (404, "NoSuchKey", None, S3Code::NoSuchKey),
            (405, "MethodNotAllowed", Some(&id), S3Code::MethodNotAllowed),
            (503, "SlowDown", Some(&id), S3Code::SlowDown),
        ] {
            let refusal = of_version(UpstreamError::from_answer(status, code), version);
            assert_eq!(refusal.to_s3().code, want, "{status} {code}");
        }
    }
}
