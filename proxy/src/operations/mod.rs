//! Operations that the gateway answers itself: buckets, listings, multipart control, copies, tags, batch deletes.
mod attributes;
mod bucket_tagging;
mod buckets;
mod checksums;
mod completion;
mod conditions;
mod copy;
mod copy_part;
mod create_bucket;
mod delete;
#[cfg(test)]
mod documented;
mod home;
mod lending;
mod list_uploads;
mod listing;
mod listing_lent;
mod listing_replica;
mod moved_versions;
mod multipart;
mod null_version;
mod parameters;
mod parts;
mod source;
mod tagging;
#[cfg(test)]
pub(crate) mod testing;
mod upload_checksum;
mod upload_id;
mod versioning;
mod versions;
mod versions_on_record;

use crate::{admit::Admitted, answer::Answer, gateway::Gateway, refusal::Refusal, upstream::UpstreamError};
use bytes::Bytes;
use s3gateway_s3::{Operation, S3Code};
use std::{future::Future, time::Duration};

pub(crate) use checksums::Patience;
pub(crate) use conditions::WriteConditions;
pub(crate) use create_bucket::Made;
pub(crate) use home::explain;
pub(crate) use lending::lends_tags;
pub(crate) use multipart::{completed_etag, to_millis};
pub(crate) use null_version::MadeVersion;
pub(crate) use tagging::{count_for, parse_put_tags};

impl Gateway {
    /// Carries out an admitted operation that is not streamed. `body` is whole, bounded and has proven true.
    ///
    /// Cancel: what an operation had begun at a backend may be done or not; a marked key stays dirty until converged.
    pub(crate) async fn answer(&self, admitted: &Admitted, body: Bytes) -> Result<Answer, Refusal> {
        match admitted.request.operation {
            Operation::ListBuckets => self.list_buckets(admitted).await,
            Operation::CreateBucket => self.create_bucket(admitted, &body).await,
            Operation::DeleteBucket => self.delete_bucket(admitted).await,
            Operation::HeadBucket => self.head_bucket(admitted),
            Operation::GetBucketLocation => self.bucket_location(admitted),
            Operation::GetBucketTagging => self.bucket_tagging(admitted).await,
            Operation::PutBucketTagging => self.put_bucket_tagging(admitted, &body).await,
            Operation::DeleteBucketTagging => self.delete_bucket_tagging(admitted).await,
            Operation::ListObjects | Operation::ListObjectsV2 => in_time(self.list_objects(admitted)).await,
            Operation::GetBucketVersioning => self.bucket_versioning(admitted).await,
            Operation::PutBucketVersioning => self.put_bucket_versioning(admitted, &body).await,
            Operation::ListObjectVersions => in_time(self.list_versions(admitted)).await,
            Operation::DeleteObject => self.delete_object(admitted).await,
            Operation::DeleteObjects => self.delete_objects(admitted, &body).await,
            Operation::CopyObject => self.copy_object(admitted).await,
            Operation::GetObjectAttributes => self.object_attributes(admitted).await,
            Operation::GetObjectTagging => self.object_tagging(admitted).await,
            Operation::PutObjectTagging => self.put_object_tagging(admitted, &body).await,
            Operation::DeleteObjectTagging => self.delete_object_tagging(admitted).await,
            Operation::CreateMultipartUpload => self.create_upload(admitted).await,
            Operation::UploadPartCopy => self.copy_part(admitted).await,
            Operation::CompleteMultipartUpload => self.complete_upload(admitted, &body).await,
            Operation::AbortMultipartUpload => self.abort_upload(admitted).await,
            Operation::ListParts => in_time(self.list_parts(admitted)).await,
            Operation::ListMultipartUploads => in_time(self.list_uploads(admitted)).await,
            // Streamed operations never get here, and what is not implemented was refused on admission.
            _ => Err(S3Code::NotImplemented.into()),
        }
    }
}

/// For a listing, which may take many requests to a slow home: no client waits much longer.
const LISTING: Duration = Duration::from_secs(60);

/// # Errors
/// `SlowDown` for a listing that has run out of time: it changes nothing, and the client may ask again.
async fn in_time(listing: impl Future<Output = Result<Answer, Refusal>>) -> Result<Answer, Refusal> {
    tokio::time::timeout(LISTING, listing).await.unwrap_or_else(|_| Err(UpstreamError::SlowDown.into()))
}
