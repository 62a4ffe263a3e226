//! Upload ids as clients carry them: sealed for tenant, bucket and key, with the home that the upload began on.
use super::{home::physical_on, upload_checksum::UploadChecksum};
use crate::{
    admit::Admitted,
    gateway::Gateway,
    refusal::Refusal,
    upstream::{UpstreamBackend, UpstreamError, UpstreamRequest},
};
use http::Method;
use s3gateway_config::BackendId;
use s3gateway_filters::residency;
use s3gateway_s3::{ObjectKey, Operation, S3Code, S3Error, checksum::Algorithm};
use s3gateway_store::{Route, secrets::Sealer};
use std::sync::Arc;

/// An upload that the gateway has handed out to this tenant for this bucket and key.
pub(crate) struct OpenedUpload {
    /// The backend's own id.
    pub(crate) backend_upload_id: String,
    /// Where it began and where it stays.
    pub(crate) home: Arc<UpstreamBackend>,
    /// What it was asked for when it was begun.
    pub(crate) checksum: Option<UploadChecksum>,
}

/// What a sealed upload id is bound to. The bucket's id is one tenant's only.
fn context<'c>(route: &'c Route, key: &'c str) -> [&'c str; 4] {
    ["upload", route.tenant.as_str(), route.bucket.as_str(), key]
}

/// Seals a backend's upload id. The same upload always gets the same text, for clients compare them.
pub(super) fn seal(
    sealer: &Sealer,
    route: &Route,
    key: &str,
    home: &BackendId,
    backend_upload_id: &str,
    checksum: Option<UploadChecksum>,
) -> String {
    let checksum = checksum.map(|checksum| format!("\n{}", checksum.render())).unwrap_or_default();
    sealer.seal_alike(&context(route, key), &format!("{home}\n{backend_upload_id}{checksum}"))
}

/// What is sealed in an upload id.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unsealed {
    home: BackendId,
    pub(super) backend_upload_id: String,
    checksum: Option<UploadChecksum>,
}

/// Opens an upload id; `None` for whatever was not sealed for this bucket and key.
pub(super) fn open(sealer: &Sealer, route: &Route, key: &str, sealed: &str) -> Option<Unsealed> {
    let plain = sealer.open(&context(route, key), sealed)?;
    let mut lines = plain.splitn(3, '\n');
    let home = BackendId::parse(lines.next()?).ok()?;
    let backend_upload_id = lines.next()?.to_owned();
    Some(Unsealed { home, backend_upload_id, checksum: lines.next().and_then(UploadChecksum::read) })
}

/// Whether an upload that began on `began_on` may be used so while the bucket's home is `home`. Completed where the bucket
/// does not live any more, it would make an object that no one reads and that converge removes; so its parts are refused
/// as well, before a client sends them in vain. What was begun can still be looked at and ended there.
fn is_open_to(operation: Operation, began_on: &BackendId, home: &BackendId) -> bool {
    began_on == home || matches!(operation, Operation::ListParts | Operation::AbortMultipartUpload)
}

impl Gateway {
    /// Opens the request's `uploadId`.
    ///
    /// # Errors
    /// `NoSuchUpload` for one that is foreign, garbled, absent, or of a home that the bucket has left; [`Refusal::Residency`] where policy has come to deny the
    /// place that the upload began in.
    pub(crate) fn open_upload_id(&self, admitted: &Admitted) -> Result<OpenedUpload, Refusal> {
        let route = &admitted.routed()?.route;
        let sealed = admitted.request.query.get("uploadId").unwrap_or_default();
        let opened = open(&self.sealer, route, admitted.key()?.as_str(), sealed);
        let Unsealed { home, backend_upload_id, checksum } = opened.ok_or(Refusal::from(S3Code::NoSuchUpload))?;
        if route.physical_on(&home).is_none() {
            return Err(S3Code::NoSuchUpload.into());
        }
        if !is_open_to(admitted.request.operation, &home, &route.home) {
            return Err(S3Code::NoSuchUpload.into());
        }
        let home = self.backends.get(&home).ok_or(UpstreamError::OutOfService)?;
        residency::decide(&route.tenant_policy, &route.bucket_policy, home.place())?;
        Ok(OpenedUpload { backend_upload_id, home, checksum })
    }

    /// Whether an upload is still open, as far as the gateway keeps the list; other backends say so themselves.
    pub(super) async fn is_open(&self, route: &Route, upload: &OpenedUpload) -> Result<bool, Refusal> {
        if upload.home.capabilities().list_uploads {
            return Ok(true);
        }
        let open = self.metadata.uploads(&route.bucket).await?;
        Ok(open.iter().any(|o| o.upload_id == upload.backend_upload_id))
    }

    /// Passes an upload that is still open.
    ///
    /// # Errors
    /// `NoSuchUpload`.
    pub(super) async fn require_open(&self, route: &Route, upload: &OpenedUpload) -> Result<(), Refusal> {
        if self.is_open(route, upload).await? { Ok(()) } else { Err(S3Code::NoSuchUpload.into()) }
    }
}

impl OpenedUpload {
    /// By which its parts' checksums are made.
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.checksum.unwrap_or(UploadChecksum::DEFAULT).algorithm
    }

    /// Passes a part whose checksum the upload can use.
    ///
    /// # Errors
    /// `InvalidRequest` for one by another algorithm than the upload was begun with.
    pub(crate) fn check_algorithm(&self, declared: Option<Algorithm>) -> Result<(), S3Error> {
        match (self.checksum, declared) {
            (Some(asked), Some(declared)) if asked.algorithm != declared => {
                Err(S3Code::InvalidRequest.because(format!(
                    "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
                    asked.algorithm.name().to_ascii_lowercase(),
                    declared.name().to_ascii_lowercase()
                )))
            }
            _ => Ok(()),
        }
    }

    /// A request on the upload where it began.
    pub(super) fn request(&self, method: Method, route: &Route, key: &ObjectKey) -> Result<UpstreamRequest, Refusal> {
        Ok(UpstreamRequest::new(method, physical_on(route, &self.home)?, Some(key)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use s3gateway_config::ResidencyPolicy;
    use s3gateway_s3::{LogicalBucket, checksum::ChecksumType};
    use s3gateway_store::{BucketId, KeyProvider, LocalKey, TenantId};

    fn route(tenant: &str, bucket: &str) -> Route {
        let home = BackendId::parse("fi-hel").expect("an id");
        Route {
            bucket: BucketId::new(bucket),
            tenant: TenantId::new(tenant),
            name: LogicalBucket::parse("mine").expect("a name"),
            home: home.clone(),
            epoch: 1,
            draining: Vec::new(),
            arriving: None,
            unwalked: false,
            placement: vec![home],
            physical: Vec::new(),
            replica_count: 1,
            write_quorum: 1,
            tenant_policy: ResidencyPolicy::default(),
            bucket_policy: ResidencyPolicy::default(),
            location: String::new(),
            versioning: s3gateway_s3::Versioning::Never,
            created_at: 0,
            writes: s3gateway_store::Writes::Taken,
            has_moved_versions: false,
            has_stranded: false,
        }
    }

    #[test]
    fn an_upload_stays_with_the_home_that_it_began_on() {
        let [old, new] = ["fi-hel", "de-fra"].map(|id| BackendId::parse(id).expect("an id"));
        for (operation, after_a_move) in [
            (Operation::UploadPart, false),
            (Operation::UploadPartCopy, false),
            (Operation::CompleteMultipartUpload, false),
            (Operation::ListParts, true),
            (Operation::AbortMultipartUpload, true),
        ] {
            assert!(is_open_to(operation, &old, &old));
            assert_eq!(is_open_to(operation, &old, &new), after_a_move, "{operation:?}");
        }
    }

    #[tokio::test]
    async fn tr_11_an_upload_id_opens_for_its_tenant_bucket_and_key_alone() {
        let sealer = LocalKey::from_hex(&"a1".repeat(32)).expect("a key").sealer().await.expect("a sealer");
        let (mine, home) = (route("t", "b"), BackendId::parse("fi-hel").expect("an id"));
        let asked = Some(UploadChecksum { algorithm: Algorithm::Crc32, kind: ChecksumType::Composite });
        for checksum in [None, asked] {
            let sealed = seal(&sealer, &mine, "k", &home, "2~secret", checksum);
            let want = Unsealed { home: home.clone(), backend_upload_id: "2~secret".to_owned(), checksum };
            assert_eq!(open(&sealer, &mine, "k", &sealed), Some(want));
            assert_eq!(sealed, seal(&sealer, &mine, "k", &home, "2~secret", checksum), "clients compare upload ids");
        }
        let sealed = seal(&sealer, &mine, "k", &home, "2~secret", asked);
        assert!(!sealed.contains("secret"));
        for (route, key, text) in [
            (route("u", "b"), "k", sealed.clone()),
            (route("t", "c"), "k", sealed.clone()),
            (route("t", "b"), "l", sealed.clone()),
            (route("t", "b"), "k", "2~secret".to_owned()),
            (route("t", "b"), "k", String::new()),
            (route("t", "b"), "k", "../".repeat(1 << 18)),
        ] {
            assert_eq!(open(&sealer, &route, key, &text), None);
        }
    }
}
