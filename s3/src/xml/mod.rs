//! S3's XML documents as types, parsed from clients and backends and rendered for both.
//! Invariant: no document type declaration, no entity beyond XML's own five, no recursion by depth of the input.
//! What a client sends is refused where it does not fit the schema; of a backend's document, unknown elements are skipped.
mod attributes;
mod buckets;
mod delete;
mod error_document;
mod listing;
mod multipart;
mod reader;
mod tags;
#[cfg(test)]
mod tests;
mod time_text;
mod uploads;
mod versioning;
mod versions;
mod writer;

pub use attributes::{GetObjectAttributesResponse, ObjectPart, ObjectParts};
pub use buckets::{BucketEntry, CreateBucketConfiguration, ListAllMyBucketsResult, LocationConstraint};
pub use delete::{Delete, DeleteError, DeleteResult, DeletedObject, ObjectToDelete};
pub use error_document::{Answer, ErrorDocument};
pub use listing::{ListBucketResult, ListVersion, ObjectEntry, Owner};
pub use multipart::{
    CompleteMultipartUpload, CompleteMultipartUploadResult, CompletedPart, CopyObjectResult, CopyPartResult,
    InitiateMultipartUploadResult,
};
pub use reader::XmlError;
pub use tags::Tagging;
pub use time_text::{parse_timestamp, render_timestamp};
pub use uploads::{ListMultipartUploadsResult, ListPartsResult, PartEntry, UploadEntry};
pub use versioning::VersioningConfiguration;
pub use versions::{ListVersionsResult, VersionEntry};
pub use writer::{DECLARATION, Writer};

/// Most bytes that the XML body of an operation may have, so that reading it can stop; `None` where it has no XML body.
pub fn body_limit(operation: crate::Operation) -> Option<usize> {
    use crate::Operation as O;
    match operation {
        O::CreateBucket => Some(CreateBucketConfiguration::MAX_BYTES),
        O::DeleteObjects => Some(Delete::MAX_BYTES),
        O::CompleteMultipartUpload => Some(CompleteMultipartUpload::MAX_BYTES),
        O::PutObjectTagging => Some(Tagging::MAX_BYTES),
        O::PutBucketTagging => Some(Tagging::MAX_BUCKET_BYTES),
        O::PutBucketVersioning => Some(VersioningConfiguration::MAX_BYTES),
        _ => None,
    }
}
