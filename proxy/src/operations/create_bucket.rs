//! CreateBucket: placement from the location, residency before anything is made, then the physical bucket at the home.
use super::home::physical_on;
use crate::{
    admit::Admitted,
    answer::Answer,
    gateway::Gateway,
    refusal::Refusal,
    upstream::{UpstreamBackend, UpstreamError, UpstreamRequest},
};
use bytes::Bytes;
use http::{Method, StatusCode, header};
use s3gateway_config::{BackendId, ResidencyPolicy};
use s3gateway_filters::{placement, residency};
use s3gateway_s3::{PhysicalBucket, S3Code, S3Error, xml::CreateBucketConfiguration};
use s3gateway_store::{Begun, NewBucket, Retirement, Route, StoreError, Tenant};

/// Physical names tried when strangers hold them. Hashes do not collide by chance, so more would be an attack.
const NAMES_TRIED: u32 = 8;

/// What a backend answered to the creation of a physical bucket.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// It stands, and it is the gateway's.
    Ours,
    /// A stranger has the name.
    Taken,
}

impl Gateway {
    /// Creates a bucket.
    ///
    /// Cancel: the bucket may stay half made; creating it again takes it up where it was left.
    pub(super) async fn create_bucket(&self, admitted: &Admitted, body: &Bytes) -> Result<Answer, Refusal> {
        let name = admitted.bucket()?;
        let constraint = CreateBucketConfiguration::parse(body)?.location_constraint.unwrap_or_default();
        let tenant = self.metadata.tenant(&admitted.tenant).await?;
        let retired = self.metadata.retirements().await?;
        let (location, placement) = self.decide_placement(&tenant, &constraint, &retired)?;
        let places = u32::try_from(placement.len()).unwrap_or(u32::MAX);
        let new = NewBucket {
            tenant: tenant.id.clone(),
            name: name.clone(),
            placement,
            replica_count: tenant.default_replica_count.clamp(1, places.max(1)),
            location,
        };
        let (route, is_new) = self.begin(&new).await?;
        if let Err(refusal) = self.make_at_home(&route, is_new).await {
            // What may exist at the backend keeps its row, so that the next attempt finds it.
            let certain = matches!(&refusal, Refusal::Upstream(error) if error.is_definite());
            if is_new && certain {
                self.metadata.abandon_bucket(&route.bucket).await?;
            }
            return Err(refusal);
        }
        self.metadata.activate_bucket(&route.bucket).await?;
        self.routes.forget(&route.tenant, &route.name, std::time::Instant::now());
        Ok(Answer::empty(StatusCode::OK).with(header::LOCATION, format!("/{}", name.as_str())))
    }

    /// The location to remember and the backends that it stands for, all of them allowed by the tenant's policy.
    /// Backends that are being retired are left out.
    fn decide_placement(
        &self,
        tenant: &Tenant,
        constraint: &str,
        retired: &[Retirement],
    ) -> Result<(String, Vec<BackendId>), Refusal> {
        let mut places = self.backends.places();
        let known = places.iter().any(|(_, place)| place.is_in(constraint));
        places.retain(|(id, _)| !retired.iter().any(|retired| retired.backend == *id));
        let signing = self.settings.signing_regions.iter().any(|region| region == constraint);
        // Clients put the region that they sign for into the document by themselves; it is no wish for a place.
        let open = constraint.is_empty() || (!known && (constraint == "us-east-1" || signing));
        let (location, asked) = match open {
            true => (String::new(), tenant.default_placement.join(",")),
            false => (constraint.to_owned(), constraint.to_owned()),
        };
        let placement = placement::resolve(&asked, &places)
            .map_err(|error| invalid_location(open, constraint, &error.to_string()))?;
        let bucket = ResidencyPolicy::default();
        for (id, place) in &places {
            if placement.contains(id) {
                residency::decide(&tenant.policy, &bucket, place)?;
            }
        }
        if let Some(here) = &self.settings.place {
            residency::decide_transit(&tenant.policy, &bucket, here)?;
        }
        Ok((location, placement))
    }

    /// Records the bucket as being created; `true` where no earlier attempt had begun it.
    async fn begin(&self, new: &NewBucket) -> Result<(Route, bool), Refusal> {
        match self.metadata.begin_create_bucket(new).await? {
            Begun::Created(route) => Ok((route, true)),
            Begun::Resumed(route) if route.placement == new.placement && route.location == new.location => {
                Ok((route, false))
            }
            Begun::Resumed(route) => {
                // An attempt that was left behind asked for other places: those of this request count.
                self.metadata.abandon_bucket(&route.bucket).await?;
                match self.metadata.begin_create_bucket(new).await? {
                    Begun::Created(route) => Ok((route, true)),
                    Begun::Resumed(_) | Begun::Exists(_) => Err(S3Code::OperationAborted.into()),
                }
            }
            Begun::Exists(_) => {
                Err(S3Code::BucketAlreadyOwnedByYou.error().with("BucketName", new.name.as_str()).into())
            }
        }
    }

    /// Makes the physical bucket, under another name as long as strangers hold it. `is_new`: no earlier attempt can have
    /// made it, so one that holds objects is a stranger's.
    async fn make_at_home(&self, route: &Route, is_new: bool) -> Result<(), Refusal> {
        let home = self.backends.get(&route.home).ok_or(UpstreamError::OutOfService)?;
        let mut physical = physical_on(route, &home)?.clone();
        for _ in 0..NAMES_TRIED {
            let ours = match (self.make_physical(&home, &physical).await?, is_new) {
                (Made::Ours, true) => self.holds_no_object(&home, &physical).await?,
                (Made::Ours, false) => true,
                (Made::Taken, true) => false,
                // Some servers say the same of a bucket that is one's own; only those of strangers cannot be listed.
                (Made::Taken, false) => match self.holds_no_object(&home, &physical).await {
                    Ok(_) => true,
                    Err(UpstreamError::OurCredentials(_)) => false,
                    Err(error) => return Err(error.into()),
                },
            };
            if ours {
                return Ok(());
            }
            tracing::warn!(backend = %route.home, bucket = route.bucket.as_str(), "physical name is taken");
            physical = match self.metadata.raise_physical_name_from(&route.bucket, &route.home, &physical).await {
                // Another request has put the bucket into service meanwhile; its name stays.
                Err(StoreError::Conflict(_)) => return Ok(()),
                raised => raised?,
            };
        }
        Err(S3Code::OperationAborted.into())
    }

    /// Makes a bucket on a backend, in the region that the backend insists on.
    pub(crate) async fn make_physical(
        &self,
        home: &UpstreamBackend,
        physical: &PhysicalBucket,
    ) -> Result<Made, UpstreamError> {
        self.make_as_asked(home, UpstreamRequest::new(Method::PUT, physical, None)).await
    }

    /// As [`Gateway::make_physical`], by a request that may ask for more than the bucket.
    pub(crate) async fn make_as_asked(
        &self,
        home: &UpstreamBackend,
        request: UpstreamRequest,
    ) -> Result<Made, UpstreamError> {
        let plain = self.client.send(home, request.clone(), Bytes::new()).await.map(|_| ());
        let wants_location = matches!(&plain, Err(error) if matches!(
            error.refused_code(),
            Some("IllegalLocationConstraintException" | "InvalidLocationConstraint")
        ));
        if !wants_location {
            return judge(plain);
        }
        let configuration = CreateBucketConfiguration { location_constraint: Some(home.region().to_owned()) };
        let request = request.header("content-type", "application/xml");
        judge(self.client.send(home, request, Bytes::from(configuration.render())).await.map(|_| ()))
    }
}

/// Sorts a backend's answer to the creation of a bucket.
fn judge(result: Result<(), UpstreamError>) -> Result<Made, UpstreamError> {
    match result {
        Ok(()) => Ok(Made::Ours),
        Err(error) => match error.refused_code() {
            Some("BucketAlreadyOwnedByYou") => Ok(Made::Ours),
            Some("BucketAlreadyExists") => Ok(Made::Taken),
            // What else a backend refuses here is between the operator and it, and no fault of the client's.
            Some(_) => Err(UpstreamError::Malformed("the backend refuses to create a bucket")),
            None => Err(error),
        },
    }
}

/// `InvalidLocationConstraint` in the words of what was wrong.
fn invalid_location(is_default: bool, constraint: &str, reason: &str) -> S3Error {
    let message = match is_default {
        true => format!("The default placement cannot be used ({reason}); name a location."),
        false => format!("The specified location-constraint is not valid: {reason}."),
    };
    S3Code::InvalidLocationConstraint.because(message).with("LocationConstraint", constraint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_a_physical_bucket_is() {
        assert_eq!(judge(Ok(())).ok(), Some(Made::Ours));
        for (status, code, want) in [
            (409, "BucketAlreadyOwnedByYou", Some(Made::Ours)),
            (409, "BucketAlreadyExists", Some(Made::Taken)),
            (400, "TooManyBuckets", None),
            (403, "AccessDenied", None),
            (500, "InternalError", None),
        ] {
            assert_eq!(judge(Err(UpstreamError::from_answer(status, code))).ok(), want, "{code}");
        }
    }
}
