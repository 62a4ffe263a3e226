//! The first half of a request's way, steps 1 to 6 of the design, one call a step; what comes out is proof that it may be served.
use crate::{answer::RequestId, gateway::Gateway, refusal::Refusal, upstream::UpstreamBackend};
use s3gateway_config::BackendId;
use s3gateway_filters::{headers, residency, sigv2, sigv4};
use s3gateway_s3::{Access, LogicalBucket, ObjectKey, Operation, S3Code, S3Request};
use s3gateway_store::{Route, TenantId, Writes};
use std::{sync::Arc, time::SystemTime};

/// A request that has passed authentication, ownership and residency.
pub struct Admitted {
    /// As parsed; the only source of what the client said.
    pub request: S3Request,
    /// Proof of who asks, and how the payload is protected.
    pub verified: sigv4::Verified,
    /// Whose request it is.
    pub tenant: TenantId,
    /// The bucket's route, for operations on an existing bucket.
    pub route: Option<Routed>,
    /// Names the request in answer, logs and job.
    pub request_id: RequestId,
    /// Whether the client's connection to this process is encrypted.
    pub tls: bool,
    /// Whether what is read may be older than what was acknowledged. Never of a write.
    pub is_stale: bool,
}

/// A route whose home residency allows to serve it.
#[derive(Clone)]
pub struct Routed {
    /// Where the bucket lives.
    pub route: Arc<Route>,
    /// The authority; allowed by policy.
    pub home: Arc<UpstreamBackend>,
}

impl Admitted {
    /// The bucket's route.
    ///
    /// # Errors
    /// `NoSuchBucket`, which an admitted operation on a bucket never meets.
    pub fn routed(&self) -> Result<&Routed, Refusal> {
        self.route.as_ref().ok_or(Refusal::S3(S3Code::NoSuchBucket.error()))
    }
    /// The key.
    ///
    /// # Errors
    /// `InvalidRequest`, which an admitted operation on an object never meets.
    pub fn key(&self) -> Result<&ObjectKey, Refusal> {
        self.request.key.as_ref().ok_or(Refusal::S3(S3Code::InvalidRequest.error()))
    }
    /// The bucket's logical name.
    ///
    /// # Errors
    /// `InvalidRequest`, which an admitted operation on a bucket never meets.
    pub fn bucket(&self) -> Result<&LogicalBucket, Refusal> {
        self.request.bucket.as_ref().ok_or(Refusal::S3(S3Code::InvalidRequest.error()))
    }
}

impl Gateway {
    /// Judges a request by its head alone; no byte of its body has been asked for yet.
    pub(crate) async fn admit(
        &self,
        request: S3Request,
        request_id: RequestId,
        tls: bool,
        now: SystemTime,
    ) -> Result<Admitted, Refusal> {
        let (tenant, verified) = self.authenticate(&request, now).await?;
        if !request.operation.is_implemented() {
            return Err(S3Code::NotImplemented.into());
        }
        headers::refuse_unsupported(&request)?;
        // Before the route is taken: the view may be fresh by then, and the route still be that of before.
        let is_fresh = self.view.is_fresh();
        if request.operation.access() == Access::Write && !is_fresh {
            return Err(Refusal::ViewExpired);
        }
        let route = match (&request.bucket, request.operation) {
            (None, _) | (_, Operation::CreateBucket) => None,
            // Whether a bucket is there, or keeps versions, is asked right after that has changed, maybe through another proxy.
            (Some(bucket), operation) if looks_at_the_bucket(operation) => {
                Some(self.admit_route(self.routes.ask(&self.metadata, &tenant, bucket).await?)?)
            }
            (Some(bucket), operation) => {
                let routed = self.resolve(&tenant, bucket).await?;
                self.require_versions(&routed, operation).await?;
                Some(routed)
            }
        };
        if let Some(routed) = &route {
            if request.operation.access() == Access::Write && routed.route.writes != Writes::Taken {
                return Err(Refusal::HomeChanges);
            }
            if let Some(key) = request.key.as_ref().filter(|_| looks_at_the_object(request.operation)) {
                self.require_no_stranded(routed, key).await?;
            }
        }
        let is_stale =
            route.as_ref().is_some_and(|routed| may_be_stale(request.operation, is_fresh, routed.route.has_stranded));
        Ok(Admitted { request, verified, tenant, route, request_id, tls, is_stale })
    }

    /// Whose request it is, by the one way in which it is signed.
    async fn authenticate(&self, request: &S3Request, now: SystemTime) -> Result<(TenantId, sigv4::Verified), Refusal> {
        if let Some(id) = sigv2::access_key_id(request)? {
            // A key that is not known is answered as one whose tenant does not take this version.
            let known = self.keys.access_key(&self.metadata, id).await?;
            let key = known.filter(|key| key.signature_v2).ok_or_else(sigv2::not_accepted)?;
            let verified = sigv2::verify(request, &key.secret, now)?;
            return Ok((key.tenant.clone(), verified));
        }
        let claim = sigv4::parse_claim(request, &self.settings.signing_regions, now)?;
        let (tenant, signing_key) = self.keys.signing_key(&self.metadata, &claim).await?;
        let verified = sigv4::verify(request, &claim, &signing_key)?;
        Ok((tenant, verified))
    }

    /// Resolves a bucket of a tenant, whose home residency must allow.
    ///
    /// # Errors
    /// `NoSuchBucket`; [`Refusal::Residency`] where policy denies the home; a store error.
    pub(crate) async fn resolve(&self, tenant: &TenantId, bucket: &LogicalBucket) -> Result<Routed, Refusal> {
        self.admit_route(self.routes.resolve(&self.metadata, tenant, bucket).await?)
    }

    fn admit_route(&self, route: Arc<Route>) -> Result<Routed, Refusal> {
        let home = self.backends.get(&route.home).ok_or(crate::upstream::UpstreamError::OutOfService)?;
        residency::decide(&route.tenant_policy, &route.bucket_policy, home.place())?;
        if let Some(here) = &self.settings.place {
            residency::decide_transit(&route.tenant_policy, &route.bucket_policy, here)?;
        }
        Ok(Routed { route, home })
    }

    /// The other backends of a placement that policy allows, in placement order, and behind them those being drained. None of
    /// a bucket that was adopted and not walked over yet: what a replica lacks and metadata does not know may be at home.
    pub(crate) fn replicas<'r>(&'r self, route: &'r Route) -> impl Iterator<Item = Arc<UpstreamBackend>> + 'r {
        let placement: &[BackendId] = if route.unwalked { &[] } else { &route.placement };
        let others = placement.iter().chain(&route.draining).filter(|id| **id != route.home);
        let others = others.filter_map(|id| self.backends.get(id));
        others.filter(|other| residency::decide(&route.tenant_policy, &route.bucket_policy, other.place()).is_ok())
    }
}

/// Operations whose outcome depends on what stands at the key.
fn looks_at_the_object(operation: Operation) -> bool {
    use Operation::*;
    matches!(
        operation,
        GetObject | HeadObject | GetObjectAttributes | GetObjectTagging | PutObjectTagging | DeleteObjectTagging
    )
}

/// Whether what an operation reads of a bucket may be older than what was acknowledged.
fn may_be_stale(operation: Operation, is_fresh: bool, has_stranded: bool) -> bool {
    use Operation::*;
    let lists = matches!(operation, ListObjects | ListObjectsV2 | ListObjectVersions);
    // No promotion waits for a view that has run out. Where keys wait, the home may lack what was last written to them; reads of these are
    // refused, which a listing cannot be.
    operation.access() == Access::Read && (!is_fresh || (lists && has_stranded))
}

/// Operations that are about the bucket as it is now.
fn looks_at_the_bucket(operation: Operation) -> bool {
    use Operation::*;
    matches!(operation, HeadBucket | DeleteBucket | GetBucketVersioning | PutBucketVersioning | ListObjectVersions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_old_is_read_by_an_old_view_or_listed_while_keys_wait() {
        use Operation::*;
        // Each row: by a fresh view, while keys wait, by an old view, both.
        for (operation, want) in [
            (GetObject, [false, false, true, true]),
            (HeadObject, [false, false, true, true]),
            (GetObjectTagging, [false, false, true, true]),
            (ListObjects, [false, true, true, true]),
            (ListObjectsV2, [false, true, true, true]),
            (ListObjectVersions, [false, true, true, true]),
            (ListMultipartUploads, [false, false, true, true]),
            (PutObject, [false; 4]),
            (CopyObject, [false; 4]),
        ] {
            let got = [(true, false), (true, true), (false, false), (false, true)]
                .map(|(is_fresh, has_stranded)| may_be_stale(operation, is_fresh, has_stranded));
            assert_eq!(got, want, "{}", operation.name());
        }
    }
}
