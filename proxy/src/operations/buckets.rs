//! ListBuckets, HeadBucket, GetBucketLocation and DeleteBucket: what the gateway knows of buckets by itself.
use super::{
    home::{explain, physical_on, unreadable},
    parameters::{invalid, parse_number, parse_text},
};
use crate::{
    admit::{Admitted, Routed},
    answer::{Answer, BUCKET_REGION},
    gateway::Gateway,
    refusal::Refusal,
    upstream::{UpstreamError, UpstreamRequest},
};
use bytes::Bytes;
use http::{Method, StatusCode};
use s3gateway_s3::{
    S3Code, S3Error, S3Request,
    xml::{
        BucketEntry, ListAllMyBucketsResult, ListBucketResult, ListVersion, ListVersionsResult, LocationConstraint,
        Owner,
    },
};
use s3gateway_store::{Deletion, Millis, Route, TenantId};
use std::time::{Duration, SystemTime};

/// Buckets on one page of ListBuckets, at most (Amazon S3 API Reference, ListBuckets, `max-buckets`).
const MAX_BUCKETS: u32 = 10_000;

/// What has become of a deleted bucket at its home.
enum AtHome {
    /// The gateway has nothing there any more.
    Gone,
    /// It was asked to go, and nobody knows what came of that.
    Unknown(UpstreamError),
}

impl Gateway {
    pub(super) async fn list_buckets(&self, admitted: &Admitted) -> Result<Answer, Refusal> {
        let request = &admitted.request;
        let prefix = parse_text(request, "prefix")?;
        let limit = parse_max_buckets(request)?;
        let context = ["list-buckets", admitted.tenant.as_str()];
        let after = match request.query.get("continuation-token") {
            None => None,
            Some(token) => Some(self.sealer.open(&context, token).ok_or_else(|| {
                S3Code::InvalidArgument
                    .because("The continuation token provided is incorrect")
                    .with("ArgumentName", "continuation-token")
            })?),
        };
        // All buckets are in the region that clients sign for; where their bytes are, the admin API says.
        let elsewhere = request.query.get("bucket-region").is_some_and(|asked| asked != self.region());
        let mut listed = match elsewhere {
            true => Vec::new(),
            false => {
                self.metadata.buckets(&admitted.tenant, prefix.unwrap_or_default(), after.as_deref(), limit + 1).await?
            }
        };
        let page = usize::try_from(limit).unwrap_or(usize::MAX);
        let is_truncated = listed.len() > page;
        listed.truncate(page);
        let next = listed.last().filter(|_| is_truncated).map(|last| self.sealer.seal(&context, last.name.as_str()));
        let buckets = listed.iter().map(|bucket| BucketEntry {
            name: bucket.name.as_str().to_owned(),
            creation_date: from_millis(bucket.created_at),
            region: Some(self.region().to_owned()),
        });
        let result = ListAllMyBucketsResult {
            owner: owner(&admitted.tenant),
            buckets: buckets.collect(),
            prefix: prefix.map(str::to_owned),
            continuation_token: next,
        };
        Ok(Answer::xml(result.render()))
    }

    pub(super) fn head_bucket(&self, admitted: &Admitted) -> Result<Answer, Refusal> {
        admitted.routed()?;
        Ok(Answer::empty(StatusCode::OK)
            .with(BUCKET_REGION, self.region())
            .with(http::header::CONTENT_TYPE, "application/xml"))
    }

    /// Clients that know no region ask for it here, and sign with what they are told.
    pub(super) fn bucket_location(&self, admitted: &Admitted) -> Result<Answer, Refusal> {
        admitted.routed()?;
        // By S3's oldest custom, this one has no name (Amazon S3 API Reference, GetBucketLocation).
        let constraint = if self.region() == "us-east-1" { "" } else { self.region() };
        Ok(Answer::xml(LocationConstraint(constraint.to_owned()).render()))
    }

    /// The region that clients sign for. They sign by what HeadBucket, ListBuckets and GetBucketLocation say, so it is no
    /// place's name.
    fn region(&self) -> &str {
        self.settings.signing_regions.first().map_or("us-east-1", String::as_str)
    }

    /// Deletes an empty bucket. It is out of sight first, so that no write that begins later can meet its end.
    ///
    /// Cancel: the bucket may stay out of sight until the deletion is taken up again.
    pub(super) async fn delete_bucket(&self, admitted: &Admitted) -> Result<Answer, Refusal> {
        let routed = admitted.routed()?;
        let route = &routed.route;
        let epoch = match self.metadata.begin_delete_bucket(&route.bucket).await? {
            Deletion::Begun { epoch } => epoch,
            Deletion::Stranded => {
                let why = "Writes of this bucket are set aside until its operator has settled them.";
                return Err(S3Code::BucketNotEmpty.because(why).into());
            }
        };
        self.routes.forget(&route.tenant, &route.name, std::time::Instant::now());
        let deleted = match epoch == route.epoch {
            true => self.delete_at_its_home(routed).await,
            false => Err(Refusal::HomeChanges),
        };
        match deleted {
            Ok(AtHome::Gone) => {}
            // It stays out of sight until a worker has looked: in service it would be a bucket that its home has lost.
            Ok(AtHome::Unknown(error)) => return Err(error.into()),
            Err(refusal) => {
                self.metadata.cancel_delete_bucket(&route.bucket).await?;
                return Err(refusal);
            }
        }
        self.metadata.finish_delete_bucket(&route.bucket).await?;
        Ok(Answer::empty(StatusCode::NO_CONTENT))
    }

    async fn delete_at_its_home(&self, routed: &Routed) -> Result<AtHome, Refusal> {
        let physical = physical_on(&routed.route, &routed.home)?;
        let is_empty = match routed.route.versioning.is_set() {
            // Old versions and delete markers count as well (Amazon S3 API Reference, DeleteBucket).
            true => self.holds_no_version(&routed.home, physical).await,
            false => self.holds_no_object(&routed.home, physical).await,
        };
        match is_empty {
            Ok(true) => {}
            Ok(false) => return Err(S3Code::BucketNotEmpty.into()),
            // Dropped by an earlier attempt, unless it is known to have held anything since.
            Err(error) if is_gone(&error) => {
                self.require_nothing_lost(routed).await?;
                return Ok(AtHome::Gone);
            }
            Err(error) => return Err(explain(error).into()),
        }
        self.abort_lent_uploads(routed).await?;
        self.abort_at_adopted(&routed.route).await?;
        // One that was there before the gateway stays.
        if self.metadata.is_adopted(&routed.route.bucket, &routed.route.home).await? {
            return Ok(AtHome::Gone);
        }
        let request = UpstreamRequest::new(Method::DELETE, physical, None);
        match self.client.send(&routed.home, request, Bytes::new()).await {
            Err(error) if is_gone(&error) => Ok(AtHome::Gone),
            // It was empty just now. Where the answer was lost, whether it is gone since can be asked.
            Err(error) if error.is_definite() => Err(explain(error).into()),
            Err(error) => match self.holds_no_object(&routed.home, physical).await {
                Err(again) if is_gone(&again) => Ok(AtHome::Gone),
                _ => Ok(AtHome::Unknown(error)),
            },
            Ok(_) => Ok(AtHome::Gone),
        }
    }

    /// Passes a bucket that its home does not know, where nothing is known that it held.
    async fn require_nothing_lost(&self, routed: &Routed) -> Result<(), Refusal> {
        let route = &routed.route;
        // Of old versions nothing is recorded but at replicas. The queue first: a worker records what it has found at the
        // home before the key is clean.
        let may_be_lost = route.versioning.is_set()
            || !self.queue.is_bucket_clean(&route.bucket).await?
            || self.metadata.has_copies_on(&route.bucket, &route.home).await?;
        if may_be_lost { Err(UpstreamError::LOST_BUCKET.into()) } else { Ok(()) }
    }

    /// Ends the uploads that a backend cannot list: once their bucket is gone no one would find their parts again.
    async fn abort_lent_uploads(&self, routed: &Routed) -> Result<(), Refusal> {
        if routed.home.capabilities().list_uploads {
            return Ok(());
        }
        for upload in self.metadata.uploads(&routed.route.bucket).await? {
            let request = routed.request(Method::DELETE, Some(&upload.key))?.query("uploadId", &upload.upload_id);
            match self.client.send(&routed.home, request, Bytes::new()).await.map_err(explain) {
                Err(error) if error.is_outage() => return Err(error.into()),
                _ => self.metadata.delete_upload(&routed.route.bucket, &upload.upload_id).await?,
            }
        }
        Ok(())
    }

    /// Ends the uploads at replicas that stay after the bucket, as they were there before the gateway.
    async fn abort_at_adopted(&self, route: &Route) -> Result<(), Refusal> {
        for id in route.placement.iter().filter(|id| **id != route.home) {
            let open = self.metadata.open_places_at(&route.bucket, id).await?;
            if open.is_empty() || !self.metadata.is_adopted(&route.bucket, id).await? {
                continue;
            }
            let (Some(physical), Some(backend)) = (route.physical_on(id), self.backends.get(id)) else { continue };
            for open in open {
                let request = UpstreamRequest::new(Method::DELETE, physical, Some(&open.key));
                let request = request.query("uploadId", &open.place_upload_id);
                match self.client.send(&backend, request, Bytes::new()).await {
                    Err(error) if error.is_outage() => return Err(explain(error).into()),
                    _ => self.metadata.delete_upload_place(&route.bucket, &open.upload_id, id).await?,
                }
            }
        }
        Ok(())
    }

    /// Whether a physical bucket lists no object.
    pub(super) async fn holds_no_object(
        &self,
        backend: &crate::upstream::UpstreamBackend,
        physical: &s3gateway_s3::PhysicalBucket,
    ) -> Result<bool, UpstreamError> {
        let request = UpstreamRequest::new(Method::GET, physical, None).query("list-type", "2").query("max-keys", "1");
        let answer = self.client.send(backend, request, Bytes::new()).await?;
        let page = ListBucketResult::parse(ListVersion::V2, &answer.body).map_err(unreadable)?;
        Ok(page.contents.is_empty() && page.common_prefixes.is_empty() && !page.is_truncated)
    }

    /// Whether a physical bucket lists neither a version nor a delete marker.
    async fn holds_no_version(
        &self,
        backend: &crate::upstream::UpstreamBackend,
        physical: &s3gateway_s3::PhysicalBucket,
    ) -> Result<bool, UpstreamError> {
        let request = UpstreamRequest::new(Method::GET, physical, None).query("versions", "").query("max-keys", "1");
        let answer = self.client.send(backend, request, Bytes::new()).await?;
        let page = ListVersionsResult::parse(&answer.body).map_err(unreadable)?;
        Ok(page.entries.is_empty() && !page.is_truncated)
    }
}

/// Whether the backend says that the physical bucket is not there. A 404 in other words may be that of whatever stands
/// before it.
fn is_gone(error: &UpstreamError) -> bool {
    error.refused_code() == Some("NoSuchBucket")
}

fn parse_max_buckets(request: &S3Request) -> Result<u32, S3Error> {
    let Some(text) = request.query.get("max-buckets") else { return Ok(MAX_BUCKETS) };
    match parse_number(text, "max-buckets")? {
        n if (1..=MAX_BUCKETS).contains(&n) => Ok(n),
        _ => Err(invalid("max-buckets", text, "Argument max-buckets must be an integer between 1 and 10000.")),
    }
}

/// S3's owner of everything that a tenant sees.
pub(super) fn owner(tenant: &TenantId) -> Owner {
    Owner { id: tenant.as_str().to_owned(), display_name: tenant.as_str().to_owned() }
}

/// A stored time as S3's XML wants it.
pub(super) fn from_millis(millis: Millis) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderValue};

    #[test]
    fn tr_13_max_buckets() {
        for (value, want) in [
            ("1", Some(1)),
            ("10000", Some(10_000)),
            ("0", None),
            ("10001", None),
            ("-1", None),
            ("x", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static("localhost"));
            let request =
                S3Request::parse(&Method::GET, &format!("/?max-buckets={value}"), headers.clone(), &[]).expect(value);
            assert_eq!(parse_max_buckets(&request).map_err(|e| e.code), want.ok_or(S3Code::InvalidArgument), "{value}");
        }
    }

    #[test]
    fn only_a_bucket_that_is_missed_by_name_is_gone() {
        assert!(is_gone(&UpstreamError::from_answer(404, "NoSuchBucket")));
        for (status, code) in
            [(404, ""), (404, "NoSuchKey"), (403, "AccessDenied"), (409, "BucketNotEmpty"), (500, "InternalError")]
        {
            assert!(!is_gone(&UpstreamError::from_answer(status, code)), "{code}");
        }
    }
}
