//! s3s-fs with its gaps closed, so that a kill, a race or an odd request leaves no object behind that is half one write
//! and half another. The storing itself is the crate's; `layout` knows its files, this file the order of things.
//!
//! What it closes (s3s-fs 0.14.1): the bytes and the ETag of an object are two files written one after the other, also
//! when two writers meet or the connection breaks between them; PUT makes buckets that do not exist; DeleteBucket drops
//! objects; a key that names a folder is an internal error; Complete destroys the upload before it checks the parts,
//! wants them numbered without gaps and ignores their ETags; checksums of an overwritten object outlive it.
use super::layout::{KeyFault, Layout, Upload};
use crate::failure::{During, Failure};
use futures::StreamExt;
use s3s::{S3, S3Error, S3Request, S3Response, S3Result, dto::*, s3_error};
use s3s_fs::FileSystem;
use std::{
    hash::{BuildHasher, RandomState},
    io::SeekFrom,
    path::Path,
    sync::Arc,
};
use tokio::{
    fs::File,
    io::{AsyncSeekExt, AsyncWriteExt},
    sync::RwLock,
};
use tokio_util::{io::ReaderStream, task::TaskTracker};

/// Bodies up to this size wait in memory, larger ones in an unlinked file.
const IN_MEMORY: usize = 256 * 1024;
/// Locks that keys share by their hash; each is held only while local files are moved.
const LOCKS: usize = 256;
/// A listing that met a file which went away is made again this often.
const LISTING_TRIES: usize = 5;

/// One embedded backend's storage.
#[derive(Clone)]
pub struct Storage(Arc<Shared>);

struct Shared {
    files: FileSystem,
    layout: Layout,
    hasher: RandomState,
    keys: Vec<RwLock<()>>,
    /// Written by DeleteBucket, read by whatever puts something into a bucket.
    buckets: RwLock<()>,
    /// What must finish once begun, whether or not the client stays.
    tasks: TaskTracker,
}

impl Storage {
    /// Opens the folder, made where missing, and repairs what a kill left.
    ///
    /// # Errors
    /// Where the folder cannot be used.
    pub async fn open(folder: &Path) -> Result<Self, Failure> {
        let what = format!("the backend's folder {}", folder.display());
        let layout = Layout::open(folder).during(&what)?;
        let repaired = layout.repair().during(&what)?;
        if repaired > 0 {
            tracing::info!(repaired, folder = %folder.display(), "objects whose write was cut short got their ETag anew");
        }
        let files = FileSystem::new(layout.root()).map_err(|error| Failure::new(format!("{what}: {error:?}")))?;
        Ok(Self(Arc::new(Shared {
            files,
            layout,
            hasher: RandomState::new(),
            keys: (0..LOCKS).map(|_| RwLock::new(())).collect(),
            buckets: RwLock::new(()),
            tasks: TaskTracker::new(),
        })))
    }

    /// Runs `work` to its end even where the client leaves meanwhile.
    async fn finish<T: Send + 'static>(&self, work: impl Future<Output = S3Result<T>> + Send + 'static) -> S3Result<T> {
        self.0.tasks.spawn(work).await.unwrap_or_else(|error| Err(s3_error!(error, InternalError)))
    }
}

impl Shared {
    fn key_lock(&self, bucket: &str, key: &str) -> S3Result<&RwLock<()>> {
        let hash = usize::try_from(self.hasher.hash_one((bucket, key)) >> 1).unwrap_or_default();
        self.keys.get(hash % LOCKS).ok_or_else(|| s3_error!(InternalError))
    }
    fn check_bucket(&self, bucket: &str) -> S3Result<()> {
        if self.layout.has_bucket(bucket) { Ok(()) } else { Err(s3_error!(NoSuchBucket)) }
    }
    fn check_new_key(&self, bucket: &str, key: &str) -> S3Result<()> {
        self.check_bucket(bucket)?;
        self.layout.check_key(bucket, key).map_err(refuse_key)
    }
    /// A folder is no object.
    fn check_object(&self, bucket: &str, key: &str) -> S3Result<()> {
        self.check_bucket(bucket)?;
        if self.layout.has_object(bucket, key) { Ok(()) } else { Err(s3_error!(NoSuchKey)) }
    }
    fn upload(&self, upload_id: &str) -> S3Result<Upload<'_>> {
        self.layout.upload(upload_id)
    }

    async fn delete(&self, bucket: &str, key: &str) -> S3Result<()> {
        let lock = self.key_lock(bucket, key)?;
        let _writing = lock.write().await;
        self.check_bucket(bucket)?;
        self.layout.delete_object(bucket, key).map_err(|error| s3_error!(error, InternalError))
    }
}

fn refuse_key(fault: KeyFault) -> S3Error {
    s3_error!(InvalidArgument, "This backend keeps objects as files and cannot hold this key: {fault}.")
}

/// Takes a body in whole, so that storing it depends on nobody any more.
async fn spool(layout: &Layout, mut body: StreamingBlob) -> S3Result<StreamingBlob> {
    let mut held = Vec::new();
    let mut file: Option<File> = None;
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| match error.downcast::<S3Error>() {
            Ok(refusal) => *refusal,
            Err(other) => {
                tracing::debug!(error = %other, "body broke off");
                s3_error!(IncompleteBody)
            }
        })?;
        held.extend_from_slice(&piece);
        if held.len() > IN_MEMORY {
            let mut writing = match file.take() {
                Some(file) => file,
                None => File::from_std(layout.unlinked_file().map_err(|error| s3_error!(error, InternalError))?),
            };
            writing.write_all(&held).await.map_err(|error| s3_error!(error, InternalError))?;
            held.clear();
            file = Some(writing);
        }
    }
    let Some(mut file) = file else { return Ok(StreamingBlob::from(s3s::Body::from(held))) };
    let stored = async {
        file.write_all(&held).await?;
        file.flush().await?;
        file.seek(SeekFrom::Start(0)).await
    };
    stored.await.map_err(|error| s3_error!(error, InternalError))?;
    Ok(StreamingBlob::wrap(ReaderStream::with_capacity(file, IN_MEMORY)))
}

#[async_trait::async_trait]
impl S3 for Storage {
    async fn list_buckets(&self, req: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        self.0.files.list_buckets(req).await
    }

    async fn create_bucket(&self, req: S3Request<CreateBucketInput>) -> S3Result<S3Response<CreateBucketOutput>> {
        let _alone = self.0.buckets.write().await;
        // There is one owner only.
        if self.0.layout.has_bucket(&req.input.bucket) {
            return Err(s3_error!(BucketAlreadyOwnedByYou));
        }
        self.0.files.create_bucket(req).await
    }

    async fn delete_bucket(&self, req: S3Request<DeleteBucketInput>) -> S3Result<S3Response<DeleteBucketOutput>> {
        let _alone = self.0.buckets.write().await;
        self.0.check_bucket(&req.input.bucket)?;
        if self.0.layout.holds_objects(&req.input.bucket).map_err(|error| s3_error!(error, InternalError))? {
            return Err(s3_error!(BucketNotEmpty));
        }
        self.0.files.delete_bucket(req).await
    }

    async fn head_bucket(&self, req: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        self.0.files.head_bucket(req).await
    }

    async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.0.files.get_bucket_location(req).await
    }

    async fn get_object(&self, mut req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let _reading = self.0.key_lock(&req.input.bucket, &req.input.key)?.read().await;
        self.0.check_object(&req.input.bucket, &req.input.key)?;
        if let Some(Range::Suffix { length }) = &mut req.input.range
            && let Some(size) = self.0.layout.object_size(&req.input.bucket, &req.input.key).filter(|size| *size > 0)
        {
            // A suffix longer than the object is the object (RFC 9110 14.1.2); s3s-fs would seek to before its beginning.
            *length = (*length).min(size);
        }
        self.0.files.get_object(req).await
    }

    async fn head_object(&self, req: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let _reading = self.0.key_lock(&req.input.bucket, &req.input.key)?.read().await;
        self.0.check_object(&req.input.bucket, &req.input.key)?;
        self.0.files.head_object(req).await
    }

    async fn put_object(&self, mut req: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        self.0.check_new_key(&req.input.bucket, &req.input.key)?;
        let body = req.input.body.take().ok_or_else(|| s3_error!(IncompleteBody))?;
        req.input.body = Some(spool(&self.0.layout, body).await?);
        let shared = self.0.clone();
        self.finish(async move {
            let _buckets = shared.buckets.read().await;
            let _writing = shared.key_lock(&req.input.bucket, &req.input.key)?.write().await;
            shared.check_bucket(&req.input.bucket)?;
            shared.layout.make_room(&req.input.bucket, &req.input.key).map_err(refuse_key)?;
            shared.files.put_object(req).await
        })
        .await
    }

    async fn delete_object(&self, req: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let shared = self.0.clone();
        self.finish(async move {
            shared.delete(&req.input.bucket, &req.input.key).await?;
            Ok(S3Response::new(DeleteObjectOutput::default()))
        })
        .await
    }

    async fn delete_objects(&self, req: S3Request<DeleteObjectsInput>) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let shared = self.0.clone();
        self.finish(async move {
            let DeleteObjectsInput { bucket, delete, .. } = req.input;
            shared.check_bucket(&bucket)?;
            let (mut deleted, mut errors) = (Vec::new(), Vec::new());
            for object in delete.objects {
                match shared.delete(&bucket, &object.key).await {
                    Ok(()) => deleted.push(DeletedObject { key: Some(object.key), ..DeletedObject::default() }),
                    Err(error) => errors.push(s3s::dto::Error {
                        key: Some(object.key),
                        code: Some(error.code().as_str().to_owned()),
                        message: error.message().map(str::to_owned),
                        ..s3s::dto::Error::default()
                    }),
                }
            }
            let deleted = (delete.quiet != Some(true)).then_some(deleted);
            let errors = (!errors.is_empty()).then_some(errors);
            Ok(S3Response::new(DeleteObjectsOutput { deleted, errors, ..DeleteObjectsOutput::default() }))
        })
        .await
    }

    async fn copy_object(&self, req: S3Request<CopyObjectInput>) -> S3Result<S3Response<CopyObjectOutput>> {
        self.0.check_new_key(&req.input.bucket, &req.input.key)?;
        let shared = self.0.clone();
        self.finish(async move {
            if let CopySource::Bucket { bucket, key, .. } = &req.input.copy_source {
                shared.check_object(bucket, key)?;
            }
            let _buckets = shared.buckets.read().await;
            let _writing = shared.key_lock(&req.input.bucket, &req.input.key)?.write().await;
            shared.check_bucket(&req.input.bucket)?;
            shared.layout.make_room(&req.input.bucket, &req.input.key).map_err(refuse_key)?;
            shared.files.copy_object(req).await
        })
        .await
    }

    async fn list_objects(&self, req: S3Request<ListObjectsInput>) -> S3Result<S3Response<ListObjectsOutput>> {
        let v1 = req.input.clone();
        let v2 = self.list_objects_v2(req.map_input(Into::into)).await?;
        Ok(v2.map_output(|v2| ListObjectsOutput {
            contents: v2.contents,
            common_prefixes: v2.common_prefixes,
            delimiter: v2.delimiter,
            name: v2.name,
            prefix: v2.prefix,
            marker: Some(v1.marker.unwrap_or_default()),
            max_keys: v2.max_keys,
            is_truncated: v2.is_truncated,
            next_marker: v2.next_continuation_token,
            ..ListObjectsOutput::default()
        }))
    }

    async fn list_objects_v2(&self, req: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        if req.input.delimiter.as_ref().is_some_and(|delimiter| delimiter.len() != 1) {
            return Err(s3_error!(NotImplemented, "This backend knows delimiters of one character only."));
        }
        let mut tries = 0;
        let mut listed = loop {
            let again = S3Request {
                input: req.input.clone(),
                method: req.method.clone(),
                uri: req.uri.clone(),
                headers: req.headers.clone(),
                extensions: http::Extensions::new(),
                credentials: req.credentials.clone(),
                region: req.region.clone(),
                service: req.service.clone(),
                trailing_headers: None,
            };
            match self.0.files.list_objects_v2(again).await {
                // A file that was deleted between two looks at the folder.
                Err(error) if *error.code() == s3s::S3ErrorCode::InternalError && tries < LISTING_TRIES => tries += 1,
                other => break other?,
            }
        };
        // Keys are given as they are, so the answer must not say that they are encoded.
        listed.output.encoding_type = None;
        for object in listed.output.contents.iter_mut().flatten() {
            let key = object.key.as_deref().unwrap_or_default();
            object.e_tag = self.0.layout.etag(&req.input.bucket, key).map(ETag::Strong);
            object.storage_class = Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD));
        }
        Ok(listed)
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.0.check_new_key(&req.input.bucket, &req.input.key)?;
        self.0.files.create_multipart_upload(req).await
    }

    async fn upload_part(&self, req: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        self.0
            .upload(&req.input.upload_id)?
            .check_part_number(req.input.part_number)
            .map_err(|why| s3_error!(InvalidArgument, "{why}"))?;
        self.0.files.upload_part(req).await
    }

    async fn upload_part_copy(
        &self,
        req: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        self.0
            .upload(&req.input.upload_id)?
            .check_part_number(req.input.part_number)
            .map_err(|why| s3_error!(InvalidArgument, "{why}"))?;
        if let CopySource::Bucket { bucket, key, .. } = &req.input.copy_source {
            self.0.check_object(bucket, key)?;
        }
        self.0.files.upload_part_copy(req).await
    }

    async fn list_parts(&self, req: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        let ListPartsInput { bucket, key, upload_id, max_parts, part_number_marker, .. } = req.input;
        let (layout, id) = (self.0.clone(), upload_id.clone());
        self.0.upload(&upload_id)?;
        let reading = tokio::task::spawn_blocking(move || layout.layout.upload(&id).map(|upload| upload.parts()));
        let parts = reading.await.map_err(|error| s3_error!(error, InternalError))?;
        let parts = parts?.map_err(|error| s3_error!(error, InternalError))?;
        let marker = part_number_marker.unwrap_or_default();
        let most = max_parts.unwrap_or(1000).clamp(0, 1000);
        let mut left = parts.into_iter().filter(|part| part.number > marker);
        let shown: Vec<Part> = left
            .by_ref()
            .take(usize::try_from(most).unwrap_or_default())
            .map(|part| Part {
                e_tag: Some(ETag::Strong(part.etag)),
                last_modified: part.modified.map(Timestamp::from),
                part_number: Some(part.number),
                size: i64::try_from(part.size).ok(),
                ..Part::default()
            })
            .collect();
        let is_truncated = left.next().is_some();
        let next_part_number_marker = shown.last().and_then(|part| part.part_number).filter(|_| is_truncated);
        Ok(S3Response::new(ListPartsOutput {
            bucket: Some(bucket),
            key: Some(key),
            upload_id: Some(upload_id),
            parts: Some(shown),
            part_number_marker: Some(marker),
            next_part_number_marker,
            max_parts: Some(most),
            is_truncated: Some(is_truncated),
            ..ListPartsOutput::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        mut req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        self.0.check_new_key(&req.input.bucket, &req.input.key)?;
        let shared = self.0.clone();
        self.finish(async move {
            let _buckets = shared.buckets.read().await;
            let _writing = shared.key_lock(&req.input.bucket, &req.input.key)?.write().await;
            shared.check_bucket(&req.input.bucket)?;
            shared.upload(&req.input.upload_id)?;
            let listed: Vec<CompletedPart> =
                req.input.multipart_upload.take().and_then(|upload| upload.parts).unwrap_or_default();
            let (layout, id) = (shared.clone(), req.input.upload_id.clone());
            let checked = tokio::task::spawn_blocking(move || layout.layout.upload(&id)?.check(listed));
            let parts = checked.await.map_err(|error| s3_error!(error, InternalError))??;
            shared.layout.make_room(&req.input.bucket, &req.input.key).map_err(refuse_key)?;
            shared
                .layout
                .forget_checksums(&req.input.bucket, &req.input.key)
                .map_err(|error| s3_error!(error, InternalError))?;
            req.input.multipart_upload = Some(CompletedMultipartUpload { parts: Some(parts) });
            let upload_id = req.input.upload_id.clone();
            let completed = shared.files.complete_multipart_upload(req).await?;
            shared.layout.drop_parts(&upload_id).map_err(|error| s3_error!(error, InternalError))?;
            Ok(completed)
        })
        .await
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.0.upload(&req.input.upload_id)?;
        self.0.files.abort_multipart_upload(req).await
    }
}

#[cfg(test)]
mod tests;
