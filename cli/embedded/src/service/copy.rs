//! Copies: rows that name the same content, so that only what must be summed up anew is read.
//! Source: Amazon S3 API Reference, CopyObject and UploadPartCopy.
use super::{
    answers::{etag, kind, show_checksum, timestamp},
    finish,
    objects::readable,
    request::{Original, meta, original, part_number},
};
use crate::{
    checksums::{Algorithm, Digests, Hashes, Kind},
    conditions::{Outcome, ReadConditions, WriteConditions, failed},
    content::{Slice, cut},
    error::Internal,
    multipart::NewPart,
    ranges,
    rows::{NewVersion, Opened},
    store::Store,
};
use futures::StreamExt;
use s3s::{S3Request, S3Response, S3Result, dto::*, s3_error};

/// What one CopyObject or UploadPartCopy may copy.
const MAX_COPY: u64 = 5 << 30;

/// The source with its bucket and key, its conditions judged.
async fn source(store: &Store, original: &Original, source: &CopySource) -> S3Result<(Opened, String, String, bool)> {
    let CopySource::Bucket { bucket, key, version_id } = source else {
        return Err(s3_error!(NotImplemented, "Sources that are no buckets are not implemented"));
    };
    let opened = store.open_version(bucket, key, version_id.as_deref()).await?;
    readable(&opened.found, version_id.is_some())?;
    let version = &opened.found.version;
    let conditions = ReadConditions::of(&original.headers, "x-amz-copy-source-");
    match conditions.check(&version.etag, version.modified) {
        Outcome::Hold => Ok((opened, bucket.to_string(), key.to_string(), version_id.is_some())),
        Outcome::Failed | Outcome::NotModified => Err(failed()),
    }
}

/// What the client says to do with metadata or tags.
fn replaces(original: &Original, header: &str) -> S3Result<bool> {
    match original.text(header) {
        None | Some("COPY") => Ok(false),
        Some("REPLACE") => Ok(true),
        Some(_) => Err(s3_error!(InvalidArgument, "Unknown directive.")),
    }
}

/// Reads content that is pinned, for its sums.
async fn sum(store: &Store, slices: &[Slice], algorithm: Algorithm) -> S3Result<Digests> {
    let mut hashes = Hashes::new([algorithm]);
    let mut bytes = std::pin::pin!(store.contents.read(slices.to_vec(), store.contents.pin(slices)));
    while let Some(bytes) = bytes.next().await {
        hashes.update(&bytes.internal()?);
    }
    Ok(hashes.finalize())
}

pub(super) async fn copy_object(
    store: &Store,
    mut req: S3Request<CopyObjectInput>,
) -> S3Result<S3Response<CopyObjectOutput>> {
    let original = original(&req)?;
    let conditions = WriteConditions::of(&original.headers)?;
    let replaces_meta = replaces(&original, "x-amz-metadata-directive")?;
    let replaces_tags = replaces(&original, "x-amz-tagging-directive")?;
    let asked = original.text("x-amz-checksum-algorithm").map(Algorithm::parse).transpose()?;
    let given = meta(&original, req.input.metadata.take())?;
    let given_tags = original.tags()?;
    let CopyObjectInput { bucket, key, copy_source, .. } = req.input;
    store.find_bucket(&bucket).await?;
    let (opened, from_bucket, from_key, by_id) = source(store, &original, &copy_source).await?;
    let version = opened.found.version.clone();
    let onto_itself = from_bucket == bucket && from_key == key && !by_id;
    let redirects = given.system.contains_key("x-amz-website-redirect-location");
    let reclasses = given.storage_class != version.meta.storage_class;
    if onto_itself && !replaces_meta && !redirects && !reclasses && asked.is_none() {
        return Err(s3_error!(
            InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes."
        ));
    }
    if version.size > MAX_COPY {
        return Err(s3_error!(
            InvalidRequest,
            "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120"
        ));
    }
    let mut kept = if replaces_meta { given.clone() } else { version.meta.clone() };
    // Neither is copied (CopyObject, x-amz-storage-class and x-amz-website-redirect-location).
    kept.storage_class = given.storage_class;
    if !replaces_meta {
        kept.system.remove("x-amz-website-redirect-location");
        kept.system.extend(given.system.into_iter().filter(|(name, _)| name == "x-amz-website-redirect-location"));
    }
    let stored = version.checksum.clone().filter(|checksum| checksum.kind == Kind::FullObject);
    let algorithm =
        asked.or(version.checksum.as_ref().map(|checksum| checksum.algorithm)).unwrap_or(Algorithm::Crc64Nvme);
    let same = stored.filter(|checksum| checksum.algorithm == algorithm && version.parts.is_none());
    let (tag, checksum) = match same {
        Some(checksum) => (version.etag.clone(), Some(checksum)),
        None => {
            let sums = sum(store, &opened.slices, algorithm).await?;
            (sums.etag(), sums.checksum(algorithm))
        }
    };
    let new = NewVersion {
        meta: kept,
        tags: if replaces_tags { given_tags } else { version.tags },
        etag: tag.clone(),
        size: version.size,
        parts: None,
        checksum: checksum.clone(),
    };
    let copied = store.clone();
    let copy_source_version_id = opened.found.bucket.shown(&version.id);
    let stored = finish(async move {
        // The source's content stays pinned until rows name it.
        let Opened { slices, pin: _pin, .. } = opened;
        copied.put_slices(&bucket, &key, new, &slices, &conditions).await
    })
    .await?;
    let mut result = CopyObjectResult {
        e_tag: Some(etag(&tag)),
        last_modified: Some(timestamp(stored.modified)),
        checksum_type: checksum.as_ref().map(kind),
        ..CopyObjectResult::default()
    };
    show_checksum!(result, &checksum);
    Ok(S3Response::new(CopyObjectOutput {
        copy_object_result: Some(result),
        copy_source_version_id,
        version_id: stored.version_id,
        ..CopyObjectOutput::default()
    }))
}

pub(super) async fn upload_part_copy(
    store: &Store,
    req: S3Request<UploadPartCopyInput>,
) -> S3Result<S3Response<UploadPartCopyOutput>> {
    let original = original(&req)?;
    let UploadPartCopyInput { bucket, key, copy_source, copy_source_range, part_number: number, upload_id, .. } =
        req.input;
    let number = part_number(number)?;
    let upload = store.find_upload(&bucket, &key, &upload_id).await?;
    let (opened, ..) = source(store, &original, &copy_source).await?;
    let size = opened.found.version.size;
    let (start, length) = match copy_source_range {
        None => (0, size),
        Some(range) => {
            let form = "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy";
            let (start, length) = ranges::of_copy(&range).ok_or_else(|| s3_error!(InvalidArgument, "{form}"))?;
            if start.checked_add(length).is_none_or(|end| end > size) {
                return Err(s3_error!(
                    InvalidArgument,
                    "Range specified is not valid for source object of size: {size}"
                ));
            }
            (start, length)
        }
    };
    if length > MAX_COPY {
        return Err(s3_error!(
            InvalidRequest,
            "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120"
        ));
    }
    let slices = cut(opened.slices, start, length);
    let algorithm = upload.sums.algorithm();
    let sums = sum(store, &slices, algorithm).await?;
    let checksum = sums.checksum(algorithm);
    let part = NewPart { number, size: length, etag: sums.etag(), checksum: checksum.clone() };
    let copy_source_version_id = opened.found.bucket.shown(&opened.found.version.id);
    let (copied, pin) = (store.clone(), opened.pin);
    let modified = finish(async move {
        let _pin = pin;
        copied.put_part((&bucket, &key, &upload_id), &part, &slices).await
    })
    .await?;
    let mut result = CopyPartResult {
        e_tag: Some(etag(&sums.etag())),
        last_modified: Some(timestamp(modified)),
        ..CopyPartResult::default()
    };
    if upload.sums.algorithm.is_some() {
        show_checksum!(result, &checksum);
    }
    Ok(S3Response::new(UploadPartCopyOutput {
        copy_part_result: Some(result),
        copy_source_version_id,
        ..UploadPartCopyOutput::default()
    }))
}
