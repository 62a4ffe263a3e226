//! DeleteObject and DeleteObjects. Deletes are writes: marked before they reach the home, so that replicas follow.
use super::{
    conditions::WriteConditions,
    home::explain,
    lending::{Became, Lending, ObjectWrite},
    null_version::MadeVersion,
};
use crate::{
    admit::{Admitted, Routed},
    answer::Answer,
    gateway::Gateway,
    refusal::Refusal,
    upstream::{UpstreamError, UpstreamRequest},
    version::{DELETE_MARKER, NamedVersion, VERSION_ID, meant},
};
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::{Method, StatusCode};
use s3gateway_s3::{
    ObjectKey, S3Code, S3Error, S3Request, VersionId, checksum,
    xml::{Delete, DeleteError, DeleteResult, DeletedObject, ObjectToDelete},
};
use std::collections::{BTreeMap, HashMap};

/// Keys of one DeleteObjects that are worked on at once at the home.
const CONCURRENT_DELETES: usize = 8;

/// What a delete has come to, as the client hears of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Deleted {
    /// The version that was removed, or the delete marker that was made.
    version: Option<VersionId>,
    /// A delete marker was made, or removed where a version was named.
    is_marker: bool,
}

/// One object of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Target<'k> {
    key: &'k ObjectKey,
    /// The version that is to go, as the client names it; `None`: whatever a delete without a version does.
    version: Option<VersionId>,
    /// The ETag that it must have.
    etag: Option<&'k str>,
}

type Outcomes<'k> = HashMap<Target<'k>, Result<Deleted, Refusal>>;

impl Gateway {
    pub(super) async fn delete_object(&self, admitted: &Admitted) -> Result<Answer, Refusal> {
        let key = admitted.key()?;
        let (asked, conditions) = (admitted.request.version_id()?, WriteConditions::parse(&admitted.request)?);
        let deleted = self.delete_named(admitted, key, asked, conditions).await?;
        let answer = Answer::empty(StatusCode::NO_CONTENT).with_some(VERSION_ID, deleted.version);
        Ok(answer.with_some(DELETE_MARKER, deleted.is_marker.then_some("true")))
    }

    pub(super) async fn delete_objects(&self, admitted: &Admitted, body: &Bytes) -> Result<Answer, Refusal> {
        require_integrity(&admitted.request)?;
        let delete = Delete::parse(body)?;
        let keeps_versions = admitted.routed()?.home.capabilities().keeps_versions();
        let mut by_key: BTreeMap<&ObjectKey, Vec<Target<'_>>> = BTreeMap::new();
        for object in &delete.objects {
            if let Ok(target) = judge_object(keeps_versions, object) {
                let targets = by_key.entry(target.key).or_default();
                // The same twice is one delete.
                if !targets.contains(&target) {
                    targets.push(target);
                }
            }
        }
        let mut deletes = Vec::with_capacity(by_key.len());
        for targets in by_key.into_values() {
            deletes.push(self.delete_in_turn(admitted, targets));
        }
        let outcomes: Vec<_> = stream::iter(deletes).buffer_unordered(CONCURRENT_DELETES).collect().await;
        let outcomes = outcomes.into_iter().flatten().collect();
        Ok(Answer::xml(render_outcomes(keeps_versions, &delete, &outcomes).render()))
    }

    /// The deletes of a batch that are about one key, one after the other: two at once would race at the backend.
    async fn delete_in_turn<'k>(
        &self,
        admitted: &Admitted,
        targets: Vec<Target<'k>>,
    ) -> Vec<(Target<'k>, Result<Deleted, Refusal>)> {
        let mut outcomes = Vec::with_capacity(targets.len());
        for target in targets {
            let deleted = self.delete_target(admitted, &target).await;
            outcomes.push((target, deleted));
        }
        outcomes
    }

    async fn delete_target(&self, admitted: &Admitted, target: &Target<'_>) -> Result<Deleted, Refusal> {
        let conditions = target.etag.map(WriteConditions::on_etag).transpose()?.unwrap_or_default();
        self.delete_named(admitted, target.key, target.version.clone(), conditions).await
    }

    /// Deletes what a client names; what goes by no such id is deleted already.
    async fn delete_named(
        &self,
        admitted: &Admitted,
        key: &ObjectKey,
        asked: Option<VersionId>,
        conditions: WriteConditions,
    ) -> Result<Deleted, Refusal> {
        let routed = admitted.routed()?;
        if asked.is_some() && routed.route.versioning.is_set() {
            self.require_settled(routed, key).await?;
        }
        let version = match self.named_version(routed, key, asked.clone()).await {
            Err(Refusal::S3(error)) if error.code == S3Code::NoSuchVersion => {
                return Ok(Deleted { version: asked, is_marker: false });
            }
            version => version?,
        };
        if asked.as_ref().is_some_and(VersionId::is_null) {
            self.finish_replacing(routed, key).await?;
        }
        let conditions = conditions.of_version(version.as_ref());
        self.delete_key(admitted, key, version.as_ref(), &conditions).await
    }

    /// Deletes one key or version at its home; one that is not there, or cannot be, is deleted already.
    async fn delete_key(
        &self,
        admitted: &Admitted,
        key: &ObjectKey,
        version: Option<&NamedVersion>,
        conditions: &WriteConditions,
    ) -> Result<Deleted, Refusal> {
        let routed = admitted.routed()?;
        if !routed.holds(key) {
            self.decide_conditions(routed, key, conditions).await?;
            return Ok(Deleted::default());
        }
        let request = routed.request(Method::DELETE, Some(key))?.version(version);
        let request = conditions.put_on(routed.home.capabilities(), request);
        let began = self.metadata.now();
        let write = async {
            let deleted = self.delete_at_home(routed, key, version, request).await?;
            self.forget_checksums(&routed.route, key, began).await;
            Ok(deleted)
        };
        let object = ObjectWrite { key, conditions, lending: Lending::Deleted, tags_follow: false, elsewhere: None };
        let made = |deleted: &Deleted| match &deleted.version {
            Some(made) if version.is_some() || !made.is_null() => MadeVersion::Other,
            _ => MadeVersion::Untold,
        };
        self.write_lending(admitted, object, write, |deleted| Became { etag: "", version: made(deleted) }).await
    }

    async fn delete_at_home(
        &self,
        routed: &Routed,
        key: &ObjectKey,
        version: Option<&NamedVersion>,
        request: UpstreamRequest,
    ) -> Result<Deleted, UpstreamError> {
        match self.client.send(&routed.home, request, Bytes::new()).await.map_err(explain) {
            Ok(answer) => {
                let id = answer.header(VERSION_ID.as_str());
                // A delete marker is a version, and servers may leave out the id `null`.
                let answered = match version {
                    Some(_) => self.written_version(routed, key, id).await,
                    None => self.put_version(routed, key, id).await,
                };
                if answered.is_none() && !routed.route.versioning.is_set() {
                    return Ok(Deleted::default());
                }
                let is_marker = answer.header(DELETE_MARKER.as_str()) == "true" || version.is_none();
                Ok(Deleted { version: version.cloned().or(answered).map(NamedVersion::into_shown), is_marker })
            }
            Err(error) if matches!(error.refused_code(), Some("NoSuchKey" | "NoSuchVersion")) => {
                Ok(Deleted { version: version.map(|version| version.shown().clone()), is_marker: false })
            }
            Err(error) => Err(error),
        }
    }
}

/// A DeleteObjects must prove its body, by Content-MD5 or by a checksum, which the verifier has compared by now.
fn require_integrity(request: &S3Request) -> Result<(), S3Error> {
    let by_header = request.headers.contains_key("content-md5") || checksum::from_headers(&request.headers)?.is_some();
    let by_trailer = request
        .header("x-amz-trailer")
        .is_some_and(|names| names.split(',').any(|name| checksum::Algorithm::from_header(name.trim()).is_some()));
    match by_header || by_trailer {
        true => Ok(()),
        false => {
            Err(S3Code::InvalidRequest
                .because("Missing required header for this request: Content-MD5 OR x-amz-checksum-*"))
        }
    }
}

/// What is to be deleted for one object of a batch, or why nothing is.
fn judge_object(keeps_versions: bool, object: &ObjectToDelete) -> Result<Target<'_>, S3Error> {
    if object.last_modified_time.is_some() || object.size.is_some() {
        // S3 knows them in directory buckets only.
        return Err(S3Code::NotImplemented.because("LastModifiedTime and Size are no conditions of this bucket."));
    }
    let asked = object.version_id.as_deref().map(VersionId::parse).transpose()?;
    Ok(Target { key: &object.key, version: meant(keeps_versions, asked)?, etag: object.etag.as_deref() })
}

/// One entry for each object of the request, in its order; in quiet mode only what failed.
fn render_outcomes(keeps_versions: bool, delete: &Delete, outcomes: &Outcomes<'_>) -> DeleteResult {
    let mut result = DeleteResult::default();
    for object in &delete.objects {
        let outcome = match judge_object(keeps_versions, object) {
            Err(error) => Err(error),
            Ok(target) => match outcomes.get(&target) {
                Some(Ok(deleted)) => Ok(deleted),
                Some(Err(refusal)) => Err(refusal.to_s3()),
                None => Err(S3Code::InternalError.error()),
            },
        };
        let (key, version_id) = (object.key.as_str().to_owned(), object.version_id.clone());
        match outcome {
            Err(error) => {
                let (code, message) = (error.code.name().to_owned(), error.message.into_owned());
                result.errors.push(DeleteError { key, version_id, code, message });
            }
            Ok(deleted) if !delete.quiet => result.deleted.push(DeletedObject {
                key,
                version_id,
                delete_marker: deleted.is_marker.then_some(true),
                delete_marker_version_id: deleted
                    .version
                    .as_ref()
                    .filter(|_| deleted.is_marker)
                    .map(ToString::to_string),
            }),
            Ok(_) => {}
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    fn request(headers: &[(&'static str, &'static str)]) -> S3Request {
        testing::request(Method::POST, "/mine?delete", headers)
    }

    #[test]
    fn xm_06_integrity_is_required() {
        for (headers, ok) in [
            (&[][..], false),
            (&[("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")], true),
            (&[("x-amz-checksum-crc32", "AAAAAA==")], true),
            (&[("x-amz-trailer", "x-amz-checksum-crc64nvme")], true),
            (&[("x-amz-trailer", "x-amz-meta-a")], false),
            (&[("x-amz-checksum-algorithm", "CRC32")], false),
        ] {
            assert_eq!(require_integrity(&request(headers)).is_ok(), ok, "{headers:?}");
        }
    }

    fn object(key: &str, version_id: Option<&str>) -> ObjectToDelete {
        ObjectToDelete {
            version_id: version_id.map(str::to_owned),
            ..ObjectToDelete::new(ObjectKey::parse(key).expect(key))
        }
    }

    #[test]
    fn each_object_gets_its_own_outcome() {
        let objects =
            vec![object("gone", None), object("stuck", None), object("gone", Some("null")), object("old", Some("7"))];
        let (gone, stuck) = (ObjectKey::parse("gone").expect("a key"), ObjectKey::parse("stuck").expect("a key"));
        let target = |key| Target { key, version: None, etag: None };
        let outcomes = HashMap::from([
            (target(&gone), Ok(Deleted::default())),
            (target(&stuck), Err(Refusal::from(UpstreamError::OutOfService))),
        ]);
        let delete = Delete { objects, quiet: false };
        let result = render_outcomes(false, &delete, &outcomes);
        assert_eq!(result.deleted.iter().map(|d| d.key.as_str()).collect::<Vec<_>>(), ["gone", "gone"]);
        let errors: Vec<_> = result.errors.iter().map(|e| (e.key.as_str(), e.code.as_str())).collect();
        assert_eq!(errors, [("stuck", "ServiceUnavailable"), ("old", "InvalidArgument")]);
        let quiet = render_outcomes(false, &Delete { quiet: true, ..delete }, &outcomes);
        assert!(quiet.deleted.is_empty());
        assert_eq!(quiet.errors.len(), 2);
    }

    #[test]
    fn versions_and_markers_are_told_apart() {
        let id = |text: &str| VersionId::parse(text).expect(text);
        let key = ObjectKey::parse("k").expect("a key");
        let target = |version: Option<&str>| Target { key: &key, version: version.map(id), etag: None };
        let deleted = |version, is_marker| Ok(Deleted { version: Some(id(version)), is_marker });
        let outcomes = HashMap::from([
            (target(None), deleted("3", true)),
            (target(Some("1")), deleted("1", false)),
            (target(Some("2")), deleted("2", true)),
        ]);
        let objects = vec![object("k", None), object("k", Some("1")), object("k", Some("2")), object("k", Some("a b"))];
        let result = render_outcomes(true, &Delete { objects, quiet: false }, &outcomes);
        let told: Vec<_> = result
            .deleted
            .iter()
            .map(|d| (d.version_id.as_deref(), d.delete_marker, d.delete_marker_version_id.as_deref()))
            .collect();
        assert_eq!(told, [(None, Some(true), Some("3")), (Some("1"), None, None), (Some("2"), Some(true), Some("2"))]);
        assert_eq!(result.errors.iter().map(|e| e.code.as_str()).collect::<Vec<_>>(), ["InvalidArgument"]);
    }
}
