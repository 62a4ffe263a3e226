//! The store as an S3 service: s3s verifies and parses, this decides, the store keeps.
mod answers;
mod buckets;
mod copy;
mod front;
mod listings;
mod multipart;
mod objects;
mod request;
mod signing;
mod tagging;

use crate::{error::Internal, store::Store};
use async_trait::async_trait;
use s3s::{
    S3, S3Request, S3Response, S3Result,
    auth::{S3Auth, SecretKey},
    dto::*,
    s3_error,
    service::{S3Service, S3ServiceBuilder},
};

/// The region that the server plays; buckets without a LocationConstraint are in it.
const REGION: &str = "us-east-1";

/// Answers the requests that are signed with this key.
pub fn serve(store: Store, access_key: String, secret_key: String) -> S3Service {
    let inner = S3ServiceBuilder::new(Api { store: store.clone() }).build();
    let mut outer = S3ServiceBuilder::new(Api { store });
    outer.set_auth(Key { access_key, secret_key: secret_key.into() });
    outer.set_route(front::Front::new(inner));
    outer.build()
}

/// The one key that there is.
struct Key {
    access_key: String,
    secret_key: SecretKey,
}

#[async_trait]
impl S3Auth for Key {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == self.access_key {
            return Ok(self.secret_key.clone());
        }
        Err(s3_error!(InvalidAccessKeyId, "The AWS access key ID you provided does not exist in our records."))
    }
}

#[derive(Clone)]
struct Api {
    store: Store,
}

/// Runs what must not stop half-way though its client goes away.
async fn finish<T: Send + 'static>(change: impl Future<Output = S3Result<T>> + Send + 'static) -> S3Result<T> {
    tokio::spawn(change).await.internal()?
}

/// One method of s3s for each operation, which does what the module of its kind says.
macro_rules! operations {
    ($($operation:ident: $input:ident -> $output:ident in $module:ident;)*) => {
        #[async_trait]
        impl S3 for Api {
            $(async fn $operation(&self, req: S3Request<$input>) -> S3Result<S3Response<$output>> {
                $module::$operation(&self.store, req).await
            })*
        }
    };
}

operations! {
    create_bucket: CreateBucketInput -> CreateBucketOutput in buckets;
    head_bucket: HeadBucketInput -> HeadBucketOutput in buckets;
    list_buckets: ListBucketsInput -> ListBucketsOutput in buckets;
    get_bucket_location: GetBucketLocationInput -> GetBucketLocationOutput in buckets;
    delete_bucket: DeleteBucketInput -> DeleteBucketOutput in buckets;
    get_bucket_versioning: GetBucketVersioningInput -> GetBucketVersioningOutput in buckets;
    put_bucket_versioning: PutBucketVersioningInput -> PutBucketVersioningOutput in buckets;
    get_bucket_tagging: GetBucketTaggingInput -> GetBucketTaggingOutput in tagging;
    put_bucket_tagging: PutBucketTaggingInput -> PutBucketTaggingOutput in tagging;
    delete_bucket_tagging: DeleteBucketTaggingInput -> DeleteBucketTaggingOutput in tagging;
    get_object_tagging: GetObjectTaggingInput -> GetObjectTaggingOutput in tagging;
    put_object_tagging: PutObjectTaggingInput -> PutObjectTaggingOutput in tagging;
    delete_object_tagging: DeleteObjectTaggingInput -> DeleteObjectTaggingOutput in tagging;
    list_objects: ListObjectsInput -> ListObjectsOutput in listings;
    list_objects_v2: ListObjectsV2Input -> ListObjectsV2Output in listings;
    list_object_versions: ListObjectVersionsInput -> ListObjectVersionsOutput in listings;
    list_multipart_uploads: ListMultipartUploadsInput -> ListMultipartUploadsOutput in listings;
    put_object: PutObjectInput -> PutObjectOutput in objects;
    get_object: GetObjectInput -> GetObjectOutput in objects;
    head_object: HeadObjectInput -> HeadObjectOutput in objects;
    get_object_attributes: GetObjectAttributesInput -> GetObjectAttributesOutput in objects;
    delete_object: DeleteObjectInput -> DeleteObjectOutput in objects;
    delete_objects: DeleteObjectsInput -> DeleteObjectsOutput in objects;
    copy_object: CopyObjectInput -> CopyObjectOutput in copy;
    upload_part_copy: UploadPartCopyInput -> UploadPartCopyOutput in copy;
    create_multipart_upload: CreateMultipartUploadInput -> CreateMultipartUploadOutput in multipart;
    upload_part: UploadPartInput -> UploadPartOutput in multipart;
    list_parts: ListPartsInput -> ListPartsOutput in multipart;
    complete_multipart_upload: CompleteMultipartUploadInput -> CompleteMultipartUploadOutput in multipart;
    abort_multipart_upload: AbortMultipartUploadInput -> AbortMultipartUploadOutput in multipart;
}
