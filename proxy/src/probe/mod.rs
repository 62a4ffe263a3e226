//! Measures what a backend really does, in a scratch bucket of its own that is emptied and dropped afterwards.
//! Each capability has one check; what a check cannot tell, because the backend is away or gives other errors than S3's,
//! is left open rather than guessed.
mod checks;
mod observations;
mod scratch;
mod sweep;

use crate::{
    gateway::Gateway,
    upstream::{UpstreamBackend, UpstreamError},
};
use s3gateway_config::{Capabilities, KeyRule};
use s3gateway_store::{Backend, Finding};
use scratch::Scratch;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// There are some sixty requests; one that takes longer than four seconds each is no backend to be used.
const MEASURED_WITHIN: Duration = Duration::from_secs(240);
/// The longest that a probe takes.
pub(crate) const AT_MOST: Duration = MEASURED_WITHIN.saturating_add(sweep::AT_MOST);

/// Why a backend could not be probed at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    /// No scratch bucket can be made there.
    #[error("no scratch bucket could be made: {0}")]
    NoBucket(UpstreamError),
    /// Its answers come too late to go by.
    #[error("it was not measured within {} s", MEASURED_WITHIN.as_secs())]
    TooSlow,
}

impl Gateway {
    /// Measures every capability of a backend, be it in use or not. Takes some fifty small requests; the names of its
    /// scratch buckets begin with `s3gw-probe-`.
    ///
    /// Cancel: a scratch bucket may stay; a later probe drops it.
    ///
    /// # Errors
    /// [`ProbeError`] where nothing could be measured.
    pub(crate) async fn probe(&self, record: Backend) -> Result<Vec<Finding>, ProbeError> {
        let unusable = ProbeError::NoBucket(UpstreamError::Malformed("the endpoint is no usable URL"));
        let backend = self.backends.try_out(record).await.ok_or(unusable)?;
        let findings = timeout(MEASURED_WITHIN, self.measure(&backend)).await.unwrap_or(Err(ProbeError::TooSlow))?;
        sweep::sweep(self, &backend).await;
        Ok(findings)
    }

    async fn measure(&self, backend: &Arc<UpstreamBackend>) -> Result<Vec<Finding>, ProbeError> {
        let mut scratch = Scratch::make(self, backend).await?;
        let [versioning, gone_markers] = self.probe_versioning(backend).await?;
        let mut findings = vec![
            checks::tagging(&scratch).await,
            checks::tag_count(&scratch).await,
            versioning,
            gone_markers,
            checks::trailing_checksums(&scratch).await,
            checks::list_uploads(&scratch).await,
            checks::conditional_writes(&scratch).await,
            checks::quoted_if_match(&scratch).await,
            checks::server_side_copy(&scratch).await,
            checks::exact_listing(&scratch).await,
            checks::multipart_etag(&scratch).await,
            checks::any_key(&scratch).await,
            observations::range(&scratch).await,
            observations::part_number(&scratch).await,
            observations::payload_hash(&scratch).await,
            self.probe_object_lock(backend).await,
        ];
        // The last, since one answer to it is that the bucket is gone.
        findings.push(checks::refuses_nonempty_delete(&mut scratch).await);
        scratch.leave().await;
        Ok(findings)
    }
}

impl Gateway {
    /// In a bucket of its own, since one that has kept versions never stops.
    async fn probe_versioning(&self, backend: &Arc<UpstreamBackend>) -> Result<[Finding; 2], ProbeError> {
        let scratch = Scratch::make(self, backend).await?;
        let findings = [checks::versioning(&scratch).await, checks::gone_markers(&scratch).await];
        scratch.leave().await;
        Ok(findings)
    }

    /// In a bucket of its own, since it has to be made with it.
    async fn probe_object_lock(&self, backend: &Arc<UpstreamBackend>) -> Finding {
        let made = Scratch::make_with(self, backend, &[("x-amz-bucket-object-lock-enabled", "true")]).await;
        match made {
            Ok(scratch) => {
                let finding = observations::object_lock(Ok(&scratch)).await;
                scratch.leave().await;
                finding
            }
            Err(ProbeError::NoBucket(error)) => observations::object_lock(Err(&error)).await,
            Err(ProbeError::TooSlow) => observations::object_lock(Err(&UpstreamError::OutOfService)).await,
        }
    }
}

/// The capabilities as measured; what was not measured stays as it was declared.
pub(crate) fn measured(findings: &[Finding], declared: &Capabilities) -> Capabilities {
    let mut capabilities = declared.clone();
    for finding in findings {
        let Some(holds) = finding.measured else { continue };
        match finding.capability.as_str() {
            "tagging" => capabilities.tagging = holds,
            "tag_count" => capabilities.tag_count = holds,
            "versioning" => capabilities.versioning = holds,
            "trailing_checksums" => capabilities.trailing_checksums = holds,
            "list_uploads" => capabilities.list_uploads = holds,
            "conditional_writes" => capabilities.conditional_writes = holds,
            "quoted_if_match" => capabilities.quoted_if_match = holds,
            "server_side_copy" => capabilities.server_side_copy = holds,
            "exact_listing" => capabilities.exact_listing = holds,
            "gone_markers" => capabilities.gone_markers = holds,
            "multipart_etag" => capabilities.multipart_etag = holds,
            "any_key" => capabilities.keys = if holds { KeyRule::Any } else { KeyRule::FilePath },
            "refuses_nonempty_delete" => capabilities.refuses_nonempty_delete = holds,
            _ => {}
        }
    }
    capabilities
}

/// What was declared of the capability that a finding is about.
pub(crate) fn declared(capability: &str, capabilities: &Capabilities) -> Option<bool> {
    Some(match capability {
        "tagging" => capabilities.tagging,
        "tag_count" => capabilities.tag_count,
        "versioning" => capabilities.versioning,
        "trailing_checksums" => capabilities.trailing_checksums,
        "list_uploads" => capabilities.list_uploads,
        "conditional_writes" => capabilities.conditional_writes,
        "quoted_if_match" => capabilities.quoted_if_match,
        "server_side_copy" => capabilities.server_side_copy,
        "exact_listing" => capabilities.exact_listing,
        "gone_markers" => capabilities.gone_markers,
        "multipart_etag" => capabilities.multipart_etag,
        "any_key" => capabilities.keys == KeyRule::Any,
        "refuses_nonempty_delete" => capabilities.refuses_nonempty_delete,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_replaces_what_was_declared() {
        let all = [
            "tagging",
            "tag_count",
            "versioning",
            "trailing_checksums",
            "list_uploads",
            "conditional_writes",
            "quoted_if_match",
            "server_side_copy",
            "exact_listing",
            "gone_markers",
            "multipart_etag",
            "any_key",
            "refuses_nonempty_delete",
        ];
        let finding = |capability: &str, measured| Finding {
            capability: capability.to_owned(),
            measured,
            evidence: String::new(),
        };
        let before = Capabilities::default();
        for name in all {
            for holds in [true, false] {
                let after = measured(&[finding(name, Some(holds))], &before);
                assert_eq!(declared(name, &after), Some(holds), "{name}");
                let others = all.iter().filter(|other| **other != name);
                assert!(others.into_iter().all(|other| declared(other, &after) == declared(other, &before)), "{name}");
            }
            assert_eq!(measured(&[finding(name, None)], &before), before, "{name}: left as it was");
        }
        assert_eq!(measured(&[finding("levitation", Some(true))], &before), before);
        assert_eq!(declared("levitation", &before), None);
    }
}
