//! Operations on multipart uploads.
//! Source: Amazon S3 API Reference, CreateMultipartUpload, UploadPart, ListParts, CompleteMultipartUpload.
use super::{
    answers::{algorithm, etag, owner, show_checksum, take_checksums, timestamp},
    finish,
    request::{limit, meta, original, part_number},
};
use crate::{
    checksums::{Algorithm, Hashes, Kind},
    conditions::WriteConditions,
    multipart::{Expected, Listed, NewPart, Sums},
    store::Store,
};
use s3s::{S3Request, S3Response, S3Result, dto::*, s3_error};

pub(super) async fn create_multipart_upload(
    store: &Store,
    mut req: S3Request<CreateMultipartUploadInput>,
) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
    let original = original(&req)?;
    let meta = meta(&original, req.input.metadata.take())?;
    let tags = original.tags()?;
    let named = original.text("x-amz-checksum-algorithm").map(Algorithm::parse).transpose()?;
    let typed = original.text("x-amz-checksum-type").map(Kind::parse).transpose()?;
    let sums = Sums { algorithm: named, kind: typed };
    if typed.is_some() && named.is_none() {
        let message = "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.";
        return Err(s3_error!(InvalidRequest, "{message}"));
    }
    sums.algorithm().check_kind(sums.kind())?;
    let CreateMultipartUploadInput { bucket, key, .. } = req.input;
    let (made, in_bucket, of_key) = (store.clone(), bucket.clone(), key.clone());
    let id = finish(async move { made.create_upload(&in_bucket, &of_key, &meta, &tags, sums).await }).await?;
    Ok(S3Response::new(CreateMultipartUploadOutput {
        bucket: Some(bucket),
        key: Some(key),
        upload_id: Some(id),
        checksum_algorithm: named.map(algorithm),
        checksum_type: named.map(|_| ChecksumType::from_static(sums.kind().name())),
        ..CreateMultipartUploadOutput::default()
    }))
}

pub(super) async fn upload_part(
    store: &Store,
    req: S3Request<UploadPartInput>,
) -> S3Result<S3Response<UploadPartOutput>> {
    let original = original(&req)?;
    let declared = original.declared()?;
    let UploadPartInput { bucket, key, body, part_number: number, upload_id, .. } = req.input;
    let number = part_number(number)?;
    let upload = store.find_upload(&bucket, &key, &upload_id).await?;
    if let (Some(wanted), Some(given)) = (upload.sums.algorithm, declared.algorithm)
        && wanted != given
    {
        return Err(s3_error!(
            InvalidRequest,
            "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
            wanted.name().to_ascii_lowercase(),
            given.name().to_ascii_lowercase()
        ));
    }
    let summed = upload.sums.algorithm();
    let body = body.ok_or_else(|| s3_error!(IncompleteBody))?;
    let hashes = Hashes::new([summed].into_iter().chain(declared.algorithm));
    let mut received = store.contents.receive(body, hashes).await?;
    declared.check(&received.digests, original.trailers().as_ref())?;
    let shown = declared.algorithm.or(upload.sums.algorithm).and_then(|algorithm| received.digests.checksum(algorithm));
    let (tag, checksum) = (received.digests.etag(), received.digests.checksum(summed));
    let part = NewPart { number, size: received.size, etag: tag.clone(), checksum };
    let stored = store.clone();
    finish(async move {
        let slices = received.keep();
        let put = stored.put_part((&bucket, &key, &upload_id), &part, &slices).await;
        if put.is_err() {
            stored.contents.release(slices.into_iter().map(|slice| slice.content));
        }
        put
    })
    .await?;
    let mut output = UploadPartOutput { e_tag: Some(etag(&tag)), ..UploadPartOutput::default() };
    show_checksum!(output, &shown);
    Ok(S3Response::new(output))
}

pub(super) async fn list_parts(store: &Store, req: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
    let ListPartsInput { bucket, key, upload_id, max_parts, part_number_marker, .. } = req.input;
    let most = limit(max_parts, "max-parts")?;
    let after = part_number_marker.unwrap_or_default();
    let upload = store.find_upload(&bucket, &key, &upload_id).await?;
    let fit = usize::try_from(most).unwrap_or_default();
    let mut parts = store.list_parts(&upload, after, fit).await?;
    let is_truncated = parts.len() > fit && fit > 0;
    parts.truncate(fit);
    let named = upload.sums.algorithm;
    let shown = parts.iter().map(|part| {
        let mut shown = Part {
            e_tag: Some(etag(&part.etag)),
            last_modified: Some(timestamp(part.modified)),
            part_number: Some(part.number),
            size: i64::try_from(part.size).ok(),
            ..Part::default()
        };
        if named.is_some() {
            show_checksum!(shown, &part.checksum);
        }
        shown
    });
    let class = upload.meta.storage_class.unwrap_or_else(|| "STANDARD".to_owned());
    Ok(S3Response::new(ListPartsOutput {
        bucket: Some(bucket),
        key: Some(key),
        upload_id: Some(upload_id),
        parts: Some(shown.collect()),
        part_number_marker: Some(after),
        next_part_number_marker: parts.last().map(|part| part.number).filter(|_| is_truncated),
        max_parts: Some(most),
        is_truncated: Some(is_truncated),
        checksum_algorithm: named.map(algorithm),
        checksum_type: named.map(|_| ChecksumType::from_static(upload.sums.kind().name())),
        owner: Some(owner()),
        initiator: Some(Initiator { display_name: owner().display_name, id: owner().id }),
        storage_class: Some(StorageClass::from(class)),
        ..ListPartsOutput::default()
    }))
}

pub(super) async fn complete_multipart_upload(
    store: &Store,
    mut req: S3Request<CompleteMultipartUploadInput>,
) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
    let original = original(&req)?;
    let conditions = WriteConditions::of(&original.headers)?;
    let expected = Expected {
        size: req.input.mpu_object_size.map(u64::try_from).transpose().map_err(|_| s3_error!(InvalidRequest))?,
        kind: original.text("x-amz-checksum-type").map(Kind::parse).transpose()?,
        checksum: take_checksums!(req.input).next(),
    };
    let mut listed = Vec::new();
    for mut part in req.input.multipart_upload.take().and_then(|upload| upload.parts).unwrap_or_default() {
        let checksums = take_checksums!(part).collect();
        let (Some(number), Some(tag)) = (part.part_number, part.e_tag) else {
            return Err(s3_error!(MalformedXML, "A part needs its number and its ETag"));
        };
        listed.push(Listed { number, etag: tag.into_value(), checksums });
    }
    let CompleteMultipartUploadInput { bucket, key, upload_id, .. } = req.input;
    let (made, in_bucket, of_key) = (store.clone(), bucket.clone(), key.clone());
    let completed = finish(async move {
        made.complete_upload((&in_bucket, &of_key, &upload_id), &listed, &expected, &conditions).await
    })
    .await?;
    let host = original.text("host").unwrap_or_default();
    let path = percent_encoding::utf8_percent_encode(&key, percent_encoding::NON_ALPHANUMERIC);
    let mut output = CompleteMultipartUploadOutput {
        location: Some(format!("http://{host}/{bucket}/{path}")),
        bucket: Some(bucket),
        key: Some(key),
        e_tag: Some(etag(&completed.etag)),
        version_id: completed.stored.version_id,
        checksum_type: Some(super::answers::kind(&completed.checksum)),
        ..CompleteMultipartUploadOutput::default()
    };
    show_checksum!(output, Some(&completed.checksum));
    Ok(S3Response::new(output))
}

pub(super) async fn abort_multipart_upload(
    store: &Store,
    req: S3Request<AbortMultipartUploadInput>,
) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
    let AbortMultipartUploadInput { bucket, key, upload_id, if_match_initiated_time, .. } = req.input;
    if if_match_initiated_time.is_some() {
        return Err(s3_error!(NotImplemented, "Only directory buckets have conditions of time"));
    }
    let store = store.clone();
    finish(async move { store.abort_upload(&bucket, &key, &upload_id).await }).await?;
    Ok(S3Response::new(AbortMultipartUploadOutput::default()))
}
