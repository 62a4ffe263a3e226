//! Operations on the tags of objects and of buckets.
use super::finish;
use crate::{
    objects::refuse_marker,
    store::Store,
    tags::{self, Tags},
};
use s3s::{S3Request, S3Response, S3Result, dto::*, s3_error};

pub(super) async fn get_bucket_tagging(
    store: &Store,
    req: S3Request<GetBucketTaggingInput>,
) -> S3Result<S3Response<GetBucketTaggingOutput>> {
    let tags = store.find_bucket(&req.input.bucket).await?.tags;
    if tags.is_empty() {
        return Err(s3_error!(NoSuchTagSet, "The TagSet does not exist"));
    }
    Ok(S3Response::new(GetBucketTaggingOutput { tag_set: tags::to_document(tags) }))
}

pub(super) async fn put_bucket_tagging(
    store: &Store,
    req: S3Request<PutBucketTaggingInput>,
) -> S3Result<S3Response<PutBucketTaggingOutput>> {
    let PutBucketTaggingInput { bucket, tagging, .. } = req.input;
    let tags = tags::from_document(tagging.tag_set, tags::OF_BUCKET)?;
    let store = store.clone();
    finish(async move { store.set_bucket_tags(&bucket, &tags).await }).await?;
    Ok(S3Response::new(PutBucketTaggingOutput::default()))
}

pub(super) async fn delete_bucket_tagging(
    store: &Store,
    req: S3Request<DeleteBucketTaggingInput>,
) -> S3Result<S3Response<DeleteBucketTaggingOutput>> {
    let store = store.clone();
    finish(async move { store.set_bucket_tags(&req.input.bucket, &Tags::new()).await }).await?;
    Ok(S3Response::new(DeleteBucketTaggingOutput::default()))
}

pub(super) async fn get_object_tagging(
    store: &Store,
    req: S3Request<GetObjectTaggingInput>,
) -> S3Result<S3Response<GetObjectTaggingOutput>> {
    let GetObjectTaggingInput { bucket, key, version_id, .. } = req.input;
    let found = store.find(&bucket, &key, version_id.as_deref()).await?;
    refuse_marker(&found.version)?;
    let version_id = found.bucket.shown(&found.version.id);
    let tag_set = tags::to_document(found.version.tags);
    Ok(S3Response::new(GetObjectTaggingOutput { tag_set, version_id }))
}

pub(super) async fn put_object_tagging(
    store: &Store,
    req: S3Request<PutObjectTaggingInput>,
) -> S3Result<S3Response<PutObjectTaggingOutput>> {
    let PutObjectTaggingInput { bucket, key, tagging, version_id, .. } = req.input;
    let tags = tags::from_document(tagging.tag_set, tags::OF_OBJECT)?;
    let store = store.clone();
    let version_id = finish(async move { store.set_tags(&bucket, &key, version_id.as_deref(), &tags).await }).await?;
    Ok(S3Response::new(PutObjectTaggingOutput { version_id }))
}

pub(super) async fn delete_object_tagging(
    store: &Store,
    req: S3Request<DeleteObjectTaggingInput>,
) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
    let DeleteObjectTaggingInput { bucket, key, version_id, .. } = req.input;
    let store = store.clone();
    let tagged = async move { store.set_tags(&bucket, &key, version_id.as_deref(), &Tags::new()).await };
    let version_id = finish(tagged).await?;
    Ok(S3Response::new(DeleteObjectTaggingOutput { version_id }))
}
