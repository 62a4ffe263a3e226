//! GetBucketVersioning and PutBucketVersioning: the home keeps the versions, the gateway's metadata notes that it does, so
//! that every proxy knows without asking it.
//! Source: Amazon S3 API Reference, "GetBucketVersioning" and "PutBucketVersioning".
use super::home::unreadable;
use crate::{
    admit::{Admitted, Routed},
    answer::Answer,
    gateway::Gateway,
    refusal::Refusal,
    upstream::{UpstreamAnswer, UpstreamError, versioning_question},
};
use bytes::Bytes;
use http::{Method, StatusCode};
use s3gateway_s3::{
    S3Code, S3Error, Versioning,
    checksum::{Md5, render_value},
    xml::VersioningConfiguration,
};
use s3gateway_store::{Route, StoreError};

impl Gateway {
    /// The state by what the home says, and by what is noted while it is away.
    pub(super) async fn bucket_versioning(&self, admitted: &Admitted) -> Result<Answer, Refusal> {
        let routed = admitted.routed()?;
        let noted = routed.route.versioning;
        let state = match noted.is_set() {
            false => noted,
            true => match self.versioning_at_home(routed).await {
                Ok(Versioning::Never) => return Err(UpstreamError::LOST_VERSIONS.into()),
                Ok(state) => state,
                Err(Refusal::Upstream(error)) if error.is_outage() => noted,
                Err(refusal) => return Err(refusal),
            },
        };
        Ok(Answer::xml(VersioningConfiguration(state).render()))
    }

    /// Tells the home, makes sure that it has heard, and only then notes it: what is noted is always so. The first time that
    /// also begins a walk that marks every key, for the bucket's objects are versions by that, and replicas are to know them
    /// as such.
    ///
    /// Cancel: the home may keep versions that nobody knows of until the state is set again.
    pub(super) async fn put_bucket_versioning(&self, admitted: &Admitted, body: &Bytes) -> Result<Answer, Refusal> {
        let routed = admitted.routed()?;
        let wanted = VersioningConfiguration::parse_request(body)?;
        if !routed.home.capabilities().keeps_versions() {
            return Err(not_offered().into());
        }
        if routed.route.write_quorum > 1 {
            return Err(S3Code::OperationAborted.because(AT_QUORUM).into());
        }
        self.require_settable(&routed.route, wanted.0).await?;
        self.require_same_epoch(routed).await?;
        match self.tell_home(routed, &wanted).await? {
            Err(error) if matches!(&error, UpstreamError::Refused(refused) if matches!(refused.status, 405 | 501)) => {
                return Err(not_offered().into());
            }
            told => drop(told?),
        }
        match self.versioning_at_home(routed).await? {
            state if state == wanted.0 => {}
            Versioning::Never => return Err(not_offered().into()),
            // Another request has set it meanwhile, and may note it after this one.
            _ => return Err(S3Code::OperationAborted.into()),
        }
        let route = &routed.route;
        if let Err(error) = self.metadata.set_versioning(&route.bucket, route.epoch, wanted.0).await {
            let is_refused = matches!(error, StoreError::Conflict(_));
            // A home that keeps less than is noted would replace what must stay. One that is none any more is a replica, which keeps all.
            let is_home = !matches!(self.require_same_epoch(routed).await, Err(Refusal::HomeChanges));
            let may_be_noted = !is_refused && route.versioning != Versioning::Enabled;
            if route.versioning.is_set() && is_home && !may_be_noted {
                self.tell_home(routed, &VersioningConfiguration(route.versioning)).await??;
            }
            return Err(match is_refused {
                true => S3Code::OperationAborted.because(BEING_MOVED).into(),
                false => error.into(),
            });
        }
        self.routes.forget(&route.tenant, &route.name, std::time::Instant::now());
        Ok(Answer::empty(StatusCode::OK))
    }

    async fn tell_home(
        &self,
        routed: &Routed,
        state: &VersioningConfiguration,
    ) -> Result<Result<UpstreamAnswer, UpstreamError>, Refusal> {
        let document = Bytes::from(state.render());
        let mut md5 = Md5::new();
        md5.update(&document);
        let request = routed.request(Method::PUT, None)?.query("versioning", "");
        let request = request.header("content-md5", render_value(&md5.finalize()));
        Ok(self.ask_home(routed, request.header("content-type", "application/xml"), document).await)
    }

    /// Passes a state that the store will take, as far as is known before the home is told.
    ///
    /// # Errors
    /// `OperationAborted`, `InvalidBucketState`; a store error.
    async fn require_settable(&self, route: &Route, wanted: Versioning) -> Result<(), Refusal> {
        let last = self.metadata.promotions_of(&route.bucket, 1).await?;
        let is_promoted = last.iter().any(|last| !last.state.is_over());
        let is_moving = is_promoted || route.has_stranded;
        if is_moving && route.versioning != wanted {
            return Err(S3Code::OperationAborted.because(BEING_MOVED).into());
        }
        let is_suspended = wanted == Versioning::Suspended && route.has_moved_versions;
        if is_suspended && self.metadata.calls_another_null(&route.bucket, &route.home).await? {
            return Err(S3Code::InvalidBucketState.because(CALLED_NULL).into());
        }
        Ok(())
    }

    async fn versioning_at_home(&self, routed: &Routed) -> Result<Versioning, Refusal> {
        let request = versioning_question(super::home::physical_on(&routed.route, &routed.home)?);
        let answer = self.ask_home(routed, request, Bytes::new()).await?;
        Ok(VersioningConfiguration::parse(&answer.body).map_err(unreadable)?.0)
    }
}

const AT_QUORUM: &str = "Writes to this bucket wait for several places, which is not offered together with versioning.";

const CALLED_NULL: &str =
    "A version that came from another home has the id `null` at this one, and the next write would replace it.";
const BEING_MOVED: &str = "The bucket is being moved to another home, or keys of it wait for a former one. Please try again once that is over.";

fn not_offered() -> S3Error {
    S3Code::NotImplemented.because(
        "The backend at this bucket's home cannot keep versions. Create a bucket whose LocationConstraint names a place with one that can.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::testing::Versioned;

    #[tokio::test]
    async fn a_bucket_is_not_suspended_where_a_write_would_replace_what_clients_know_by_an_id() {
        let bucket = Versioned::start().await;
        let gateway = &bucket.gateway;
        bucket.note("k", "null", "b1", 1).await;
        for (called_null, want) in [(false, None), (true, Some(S3Code::InvalidBucketState))] {
            if called_null {
                bucket.note("k", "a2", "null", 2).await;
            }
            for (wanted, want) in [(Versioning::Suspended, want), (Versioning::Enabled, None)] {
                let refused = gateway.require_settable(&bucket.moved.route, wanted).await.err();
                assert_eq!(refused.map(|refusal| refusal.to_s3().code), want, "{called_null} {wanted:?}");
            }
            assert!(gateway.require_settable(&bucket.routed.route, Versioning::Suspended).await.is_ok());
        }
        let mut moving = (*bucket.routed.route).clone();
        moving.has_stranded = true;
        let refused = gateway.require_settable(&moving, Versioning::Suspended).await.unwrap_err();
        assert_eq!(refused.to_s3().code, S3Code::OperationAborted);
        assert!(gateway.require_settable(&moving, Versioning::Enabled).await.is_ok(), "it is so already");
        gateway.stop().await;
    }
}
