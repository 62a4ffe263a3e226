//! Operations on buckets.
//! Source: Amazon S3 API Reference, CreateBucket, ListBuckets; User Guide, "General purpose bucket naming rules".
use super::{
    REGION,
    answers::{owner, timestamp},
    finish,
};
use crate::store::{Bucket, Store, Versioning};
use s3s::{S3Request, S3Response, S3Result, dto, dto::*, s3_error};

/// As many as ListBuckets gives at a time.
const MAX_BUCKETS: i32 = 10_000;
/// Rules of names beyond those that s3s holds every bucket's name to.
const RESERVED_BEGINNINGS: [&str; 3] = ["sthree-", "amzn-s3-demo-", "xn--"];
const RESERVED_ENDS: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];

pub(super) async fn create_bucket(
    store: &Store,
    req: S3Request<CreateBucketInput>,
) -> S3Result<S3Response<CreateBucketOutput>> {
    let CreateBucketInput { bucket, create_bucket_configuration, .. } = req.input;
    let reserved = RESERVED_BEGINNINGS.iter().any(|beginning| bucket.starts_with(beginning))
        || RESERVED_ENDS.iter().any(|end| bucket.ends_with(end));
    if reserved {
        return Err(s3_error!(InvalidBucketName, "The specified bucket is not valid."));
    }
    let constraint = create_bucket_configuration.and_then(|configuration| configuration.location_constraint);
    let location = constraint.map(|constraint| constraint.as_str().to_owned()).unwrap_or_default();
    if !is_location(&location) {
        return Err(s3_error!(InvalidLocationConstraint, "The specified location-constraint is not valid"));
    }
    let (store, name) = (store.clone(), bucket.clone());
    finish(async move { store.create_bucket(&name, &location).await }).await?;
    Ok(S3Response::new(CreateBucketOutput { location: Some(format!("/{bucket}")) }))
}

/// Nothing, or what has the form of a region's name: area, direction, number.
fn is_location(location: &str) -> bool {
    let words: Vec<&str> = location.split('-').collect();
    match words.as_slice() {
        ["" | "EU"] => true,
        [area, .., direction, number] if words.len() >= 3 => {
            area.len() == 2
                && area.bytes().all(|byte| byte.is_ascii_lowercase())
                && direction.len() > 3
                && direction.bytes().all(|byte| byte.is_ascii_lowercase())
                && matches!(number.as_bytes(), [b'1'..=b'9'])
        }
        _ => false,
    }
}

/// The region of a bucket.
fn region(bucket: &Bucket) -> String {
    match bucket.location.as_str() {
        "" => REGION.to_owned(),
        "EU" => "eu-west-1".to_owned(),
        location => location.to_owned(),
    }
}

pub(super) async fn head_bucket(
    store: &Store,
    req: S3Request<HeadBucketInput>,
) -> S3Result<S3Response<HeadBucketOutput>> {
    let bucket = store.find_bucket(&req.input.bucket).await?;
    Ok(S3Response::new(HeadBucketOutput { bucket_region: Some(region(&bucket)), ..HeadBucketOutput::default() }))
}

pub(super) async fn list_buckets(
    store: &Store,
    req: S3Request<ListBucketsInput>,
) -> S3Result<S3Response<ListBucketsOutput>> {
    let ListBucketsInput { bucket_region, continuation_token, max_buckets, prefix } = req.input;
    let limit = max_buckets.unwrap_or(MAX_BUCKETS);
    if !(1..=MAX_BUCKETS).contains(&limit) {
        return Err(s3_error!(InvalidArgument, "Argument max-buckets must be an integer between 1 and 10000"));
    }
    let asked = bucket_region.is_some() || continuation_token.is_some() || max_buckets.is_some() || prefix.is_some();
    let limit = usize::try_from(limit).unwrap_or_default();
    let (mut after, mut shown, mut more) = (continuation_token.unwrap_or_default(), Vec::new(), None);
    'pages: loop {
        let page = store.buckets(prefix.as_deref().unwrap_or_default(), &after, limit + 1).await?;
        let Some(last) = page.last() else { break };
        after = last.name.clone();
        for bucket in page {
            if bucket_region.as_ref().is_some_and(|wanted| *wanted != region(&bucket)) {
                continue;
            }
            if shown.len() == limit {
                more = shown.last().and_then(|bucket: &dto::Bucket| bucket.name.clone());
                break 'pages;
            }
            shown.push(dto::Bucket {
                bucket_region: asked.then(|| region(&bucket)),
                creation_date: Some(timestamp(bucket.created)),
                name: Some(bucket.name),
            });
        }
    }
    let output = ListBucketsOutput { buckets: Some(shown), continuation_token: more, owner: Some(owner()), prefix };
    Ok(S3Response::new(output))
}

pub(super) async fn get_bucket_location(
    store: &Store,
    req: S3Request<GetBucketLocationInput>,
) -> S3Result<S3Response<GetBucketLocationOutput>> {
    let bucket = store.find_bucket(&req.input.bucket).await?;
    let constraint = Some(bucket.location).filter(|location| !location.is_empty() && location != REGION);
    let location_constraint = constraint.map(BucketLocationConstraint::from);
    Ok(S3Response::new(GetBucketLocationOutput { location_constraint }))
}

pub(super) async fn delete_bucket(
    store: &Store,
    req: S3Request<DeleteBucketInput>,
) -> S3Result<S3Response<DeleteBucketOutput>> {
    let store = store.clone();
    finish(async move { store.delete_bucket(&req.input.bucket).await }).await?;
    Ok(S3Response::new(DeleteBucketOutput::default()))
}

pub(super) async fn get_bucket_versioning(
    store: &Store,
    req: S3Request<GetBucketVersioningInput>,
) -> S3Result<S3Response<GetBucketVersioningOutput>> {
    let bucket = store.find_bucket(&req.input.bucket).await?;
    let status = bucket.versioning.map(|state| BucketVersioningStatus::from_static(state.name()));
    Ok(S3Response::new(GetBucketVersioningOutput { status, ..GetBucketVersioningOutput::default() }))
}

pub(super) async fn put_bucket_versioning(
    store: &Store,
    req: S3Request<PutBucketVersioningInput>,
) -> S3Result<S3Response<PutBucketVersioningOutput>> {
    let PutBucketVersioningInput { bucket, versioning_configuration, mfa, .. } = req.input;
    let deletes_by_mfa = versioning_configuration.mfa_delete.is_some_and(|state| state.as_str() != "Disabled");
    if mfa.is_some() || deletes_by_mfa {
        return Err(s3_error!(NotImplemented, "MFA delete is not implemented"));
    }
    let state = versioning_configuration.status.as_ref().and_then(|status| Versioning::parse(status.as_str()));
    let Some(state) = state else {
        return Err(s3_error!(
            IllegalVersioningConfigurationException,
            "The versioning configuration specified in the request is invalid"
        ));
    };
    let store = store.clone();
    finish(async move { store.set_versioning(&bucket, state).await }).await?;
    Ok(S3Response::new(PutBucketVersioningOutput::default()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn locations_have_the_form_of_regions() {
        for (location, want) in [
            ("", true),
            ("EU", true),
            ("eu-central-1", true),
            ("us-gov-west-1", true),
            ("us-east-1", true),
            ("nowhere-at-all-9", false),
            ("fi-hel", false),
            ("eu-1", false),
            ("-", false),
            ("eu-central-10", false),
        ] {
            assert_eq!(super::is_location(location), want, "{location}");
        }
    }
}
