//! Which operation a request asks for: from method, what is named, sub-resources and a few headers.
//! Invariant: a request with a sub-resource never becomes the operation without it, be it one that is not known here.
//! Source: Amazon S3 API Reference, "Request Syntax" of each action.
use crate::{Operation, Query, S3Code, S3Error, single};
use Operation as O;
use http::{HeaderMap, Method, header};

/// A query parameter that names an aspect of a bucket or an object rather than the thing itself.
struct SubResource {
    name: &'static str,
    bucket: &'static [(&'static str, Operation)],
    object: &'static [(&'static str, Operation)],
}

/// Path of the one operation that is named by its path.
pub(crate) const WRITE_GET_OBJECT_RESPONSE: &str = "WriteGetObjectResponse";

const fn sub(
    name: &'static str,
    bucket: &'static [(&'static str, Operation)],
    object: &'static [(&'static str, Operation)],
) -> SubResource {
    SubResource { name, bucket, object }
}

/// Every sub-resource of S3 with its operations by method. `analytics` and its like are lists without `id`.
#[rustfmt::skip] // one row a sub-resource
const SUB_RESOURCES: &[SubResource] = &[
    sub("abac", &[("GET", O::GetBucketAbac), ("PUT", O::PutBucketAbac)], &[]),
    sub("accelerate", &[("GET", O::GetBucketAccelerateConfiguration), ("PUT", O::PutBucketAccelerateConfiguration)], &[]),
    sub("acl", &[("GET", O::GetBucketAcl), ("PUT", O::PutBucketAcl)], &[("GET", O::GetObjectAcl), ("PUT", O::PutObjectAcl)]),
    sub("analytics", &[("GET", O::GetBucketAnalyticsConfiguration), ("PUT", O::PutBucketAnalyticsConfiguration), ("DELETE", O::DeleteBucketAnalyticsConfiguration)], &[]),
    sub("annotation", &[], &[("GET", O::GetObjectAnnotation), ("PUT", O::PutObjectAnnotation), ("DELETE", O::DeleteObjectAnnotation)]),
    sub("attributes", &[], &[("GET", O::GetObjectAttributes)]),
    sub("cors", &[("GET", O::GetBucketCors), ("PUT", O::PutBucketCors), ("DELETE", O::DeleteBucketCors)], &[]),
    sub("delete", &[("POST", O::DeleteObjects)], &[]),
    sub("encryption", &[("GET", O::GetBucketEncryption), ("PUT", O::PutBucketEncryption), ("DELETE", O::DeleteBucketEncryption)], &[("PUT", O::UpdateObjectEncryption)]),
    sub("intelligent-tiering", &[("GET", O::GetBucketIntelligentTieringConfiguration), ("PUT", O::PutBucketIntelligentTieringConfiguration), ("DELETE", O::DeleteBucketIntelligentTieringConfiguration)], &[]),
    sub("inventory", &[("GET", O::GetBucketInventoryConfiguration), ("PUT", O::PutBucketInventoryConfiguration), ("DELETE", O::DeleteBucketInventoryConfiguration)], &[]),
    sub("legal-hold", &[], &[("GET", O::GetObjectLegalHold), ("PUT", O::PutObjectLegalHold)]),
    sub("lifecycle", &[("GET", O::GetBucketLifecycleConfiguration), ("PUT", O::PutBucketLifecycleConfiguration), ("DELETE", O::DeleteBucketLifecycle)], &[]),
    sub("location", &[("GET", O::GetBucketLocation)], &[]),
    sub("logging", &[("GET", O::GetBucketLogging), ("PUT", O::PutBucketLogging)], &[]),
    sub("metadataAnnotationTable", &[("PUT", O::UpdateBucketMetadataAnnotationTableConfiguration)], &[]),
    sub("metadataConfiguration", &[("GET", O::GetBucketMetadataConfiguration), ("POST", O::CreateBucketMetadataConfiguration), ("DELETE", O::DeleteBucketMetadataConfiguration)], &[]),
    sub("metadataInventoryTable", &[("PUT", O::UpdateBucketMetadataInventoryTableConfiguration)], &[]),
    sub("metadataJournalTable", &[("PUT", O::UpdateBucketMetadataJournalTableConfiguration)], &[]),
    sub("metadataTable", &[("GET", O::GetBucketMetadataTableConfiguration), ("POST", O::CreateBucketMetadataTableConfiguration), ("DELETE", O::DeleteBucketMetadataTableConfiguration)], &[]),
    sub("metrics", &[("GET", O::GetBucketMetricsConfiguration), ("PUT", O::PutBucketMetricsConfiguration), ("DELETE", O::DeleteBucketMetricsConfiguration)], &[]),
    sub("notification", &[("GET", O::GetBucketNotificationConfiguration), ("PUT", O::PutBucketNotificationConfiguration)], &[]),
    sub("object-lock", &[("GET", O::GetObjectLockConfiguration), ("PUT", O::PutObjectLockConfiguration)], &[]),
    sub("ownershipControls", &[("GET", O::GetBucketOwnershipControls), ("PUT", O::PutBucketOwnershipControls), ("DELETE", O::DeleteBucketOwnershipControls)], &[]),
    sub("policy", &[("GET", O::GetBucketPolicy), ("PUT", O::PutBucketPolicy), ("DELETE", O::DeleteBucketPolicy)], &[]),
    sub("policyStatus", &[("GET", O::GetBucketPolicyStatus)], &[]),
    sub("publicAccessBlock", &[("GET", O::GetPublicAccessBlock), ("PUT", O::PutPublicAccessBlock), ("DELETE", O::DeletePublicAccessBlock)], &[]),
    sub("renameObject", &[], &[("PUT", O::RenameObject)]),
    sub("replication", &[("GET", O::GetBucketReplication), ("PUT", O::PutBucketReplication), ("DELETE", O::DeleteBucketReplication)], &[]),
    sub("requestPayment", &[("GET", O::GetBucketRequestPayment), ("PUT", O::PutBucketRequestPayment)], &[]),
    sub("restore", &[], &[("POST", O::RestoreObject)]),
    sub("retention", &[], &[("GET", O::GetObjectRetention), ("PUT", O::PutObjectRetention)]),
    sub("select", &[], &[("POST", O::SelectObjectContent), ("GET", O::SelectObjectContent)]),
    sub("session", &[("GET", O::CreateSession)], &[]),
    sub("tagging", &[("GET", O::GetBucketTagging), ("PUT", O::PutBucketTagging), ("DELETE", O::DeleteBucketTagging)], &[("GET", O::GetObjectTagging), ("PUT", O::PutObjectTagging), ("DELETE", O::DeleteObjectTagging)]),
    sub("torrent", &[], &[("GET", O::GetObjectTorrent)]),
    sub("uploads", &[("GET", O::ListMultipartUploads)], &[("POST", O::CreateMultipartUpload)]),
    sub("uploadId", &[], &[("GET", O::ListParts), ("PUT", O::UploadPart), ("POST", O::CompleteMultipartUpload), ("DELETE", O::AbortMultipartUpload)]),
    sub("versioning", &[("GET", O::GetBucketVersioning), ("PUT", O::PutBucketVersioning)], &[]),
    sub("versions", &[("GET", O::ListObjectVersions)], &[]),
    sub("website", &[("GET", O::GetBucketWebsite), ("PUT", O::PutBucketWebsite), ("DELETE", O::DeleteBucketWebsite)], &[]),
];

/// Whether a query parameter is a sub-resource of S3.
pub(crate) fn is_sub_resource(name: &str) -> bool {
    find(name).is_some()
}

fn find(name: &str) -> Option<&'static SubResource> {
    SUB_RESOURCES.iter().find(|sub| sub.name == name)
}

/// What a request names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addressed {
    Service,
    Bucket,
    Object,
}

/// Resolves the operation.
pub(crate) fn resolve(
    method: &Method,
    named: Addressed,
    query: &Query,
    headers: &HeaderMap,
) -> Result<Operation, S3Error> {
    if !matches!(*method, Method::GET | Method::HEAD | Method::PUT | Method::POST | Method::DELETE | Method::OPTIONS) {
        return Err(not_allowed(method));
    }
    if method == Method::OPTIONS {
        return Ok(O::Options);
    }
    refuse_unknown_sub_resource(query)?;
    match named {
        Addressed::Service => service(method, query),
        Addressed::Bucket | Addressed::Object => match sub_resource(query)? {
            Some(sub) => with_sub_resource(method, named, sub, query, headers),
            None if named == Addressed::Bucket => bucket(method, query, headers),
            None => object(method, query, headers),
        },
    }
}

/// A parameter without a value that S3 does not have today may be a sub-resource tomorrow: a client that asks to annotate
/// an object must not replace it. With a value it changes nothing, as at AWS.
fn refuse_unknown_sub_resource(query: &Query) -> Result<(), S3Error> {
    let is_known = |name: &str| name.is_empty() || single::is_parameter(name) || is_sub_resource(name);
    match query.iter().find(|(name, value)| value.is_empty() && !is_known(name)) {
        Some((name, _)) => Err(S3Code::NotImplemented
            .because("A query parameter you provided implies functionality that is not implemented.")
            .with("Parameter", name.chars().take(64).collect::<String>())),
        None => Ok(()),
    }
}

fn service(method: &Method, query: &Query) -> Result<Operation, S3Error> {
    if sub_resource(query)?.is_some() {
        return Err(not_allowed(method));
    }
    match *method {
        Method::GET if query.has("max-directory-buckets") => Ok(O::ListDirectoryBuckets),
        Method::GET => Ok(O::ListBuckets),
        _ => Err(not_allowed(method)),
    }
}

/// The sub-resource that a request names; two at once have no meaning.
fn sub_resource(query: &Query) -> Result<Option<&'static SubResource>, S3Error> {
    let mut named = query.iter().filter_map(|(name, _)| find(name));
    let first = named.next();
    match named.next() {
        Some(_) => Err(S3Code::InvalidArgument
            .because("Conflicting query string parameters: a request names one sub-resource only.")),
        None => Ok(first),
    }
}

fn with_sub_resource(
    method: &Method,
    named: Addressed,
    sub: &SubResource,
    query: &Query,
    headers: &HeaderMap,
) -> Result<Operation, S3Error> {
    let operations = if named == Addressed::Bucket { sub.bucket } else { sub.object };
    let operation = operations.iter().find(|(m, _)| *m == method.as_str()).map(|(_, operation)| *operation);
    let operation = operation.ok_or_else(|| not_allowed(method))?;
    Ok(match operation {
        O::UploadPart if !query.has("partNumber") => return Err(missing("partNumber")),
        O::UploadPart if headers.contains_key("x-amz-copy-source") => O::UploadPartCopy,
        O::ListParts | O::CompleteMultipartUpload | O::AbortMultipartUpload if query.has("partNumber") => {
            return Err(S3Code::InvalidArgument
                .because("This operation does not accept partNumber.")
                .with("ArgumentName", "partNumber"));
        }
        O::GetObjectAnnotation if !query.has("annotationName") => O::ListObjectAnnotations,
        O::GetBucketAnalyticsConfiguration if !query.has("id") => O::ListBucketAnalyticsConfigurations,
        O::GetBucketIntelligentTieringConfiguration if !query.has("id") => {
            O::ListBucketIntelligentTieringConfigurations
        }
        O::GetBucketInventoryConfiguration if !query.has("id") => O::ListBucketInventoryConfigurations,
        O::GetBucketMetricsConfiguration if !query.has("id") => O::ListBucketMetricsConfigurations,
        other => other,
    })
}

fn bucket(method: &Method, query: &Query, headers: &HeaderMap) -> Result<Operation, S3Error> {
    match *method {
        Method::GET => match query.get("list-type") {
            None => Ok(O::ListObjects),
            Some("2") => Ok(O::ListObjectsV2),
            Some(_) => Err(S3Code::InvalidArgument
                .because("Invalid List Type specified in Request")
                .with("ArgumentName", "list-type")),
        },
        Method::HEAD => Ok(O::HeadBucket),
        Method::PUT => Ok(O::CreateBucket),
        Method::DELETE => Ok(O::DeleteBucket),
        Method::POST if is_form(headers) => Ok(O::PostObject),
        _ => Err(not_allowed(method)),
    }
}

fn object(method: &Method, query: &Query, headers: &HeaderMap) -> Result<Operation, S3Error> {
    let part = query.has("partNumber");
    match *method {
        Method::GET => Ok(O::GetObject),
        Method::HEAD => Ok(O::HeadObject),
        Method::PUT | Method::DELETE if part => Err(missing("uploadId")),
        Method::PUT if headers.contains_key("x-amz-copy-source") => Ok(O::CopyObject),
        Method::PUT => Ok(O::PutObject),
        Method::DELETE => Ok(O::DeleteObject),
        _ => Err(not_allowed(method)),
    }
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("multipart/form-data"))
}

fn missing(parameter: &'static str) -> S3Error {
    S3Code::InvalidArgument
        .because(format!("The query parameter {parameter} is missing."))
        .with("ArgumentName", parameter)
}

fn not_allowed(method: &Method) -> S3Error {
    // A method may be any token of any length.
    S3Code::MethodNotAllowed.error().with("Method", method.as_str().chars().take(32).collect::<String>())
}
