//! Operations on objects and their versions.
//! Source: Amazon S3 API Reference, PutObject, GetObject, HeadObject, GetObjectAttributes, DeleteObject, DeleteObjects.
use super::{
    answers::{etag, headers_of, kind, of_marker, set, set_checksum, show_checksum, timestamp},
    finish,
    front::Elements,
    request::{limit, meta, original, part_number},
};
use crate::{
    checksums::{Algorithm, Hashes},
    conditions::{Outcome, ReadConditions, WriteConditions, failed},
    content::cut,
    error::with_status,
    objects::refuse_marker,
    ranges::{self, Ranged},
    rows::{Doomed, Found, NewVersion, Part},
    store::Store,
};
use http::{HeaderMap, StatusCode};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Response, S3Result, dto, dto::*, s3_error};

/// As many as DeleteObjects takes.
const MAX_DELETES: usize = 1000;

pub(super) async fn put_object(
    store: &Store,
    mut req: S3Request<PutObjectInput>,
) -> S3Result<S3Response<PutObjectOutput>> {
    let original = original(&req)?;
    let conditions = WriteConditions::of(&original.headers)?;
    let declared = original.declared()?;
    let meta = meta(&original, req.input.metadata.take())?;
    let tags = original.tags()?;
    let PutObjectInput { bucket, key, body, .. } = req.input;
    store.find_bucket(&bucket).await?;
    let algorithm = declared.algorithm.unwrap_or(Algorithm::Crc64Nvme);
    let body = body.ok_or_else(|| s3_error!(IncompleteBody))?;
    let received = store.contents.receive(body, Hashes::new([algorithm])).await?;
    declared.check(&received.digests, original.trailers().as_ref())?;
    let checksum = received.digests.checksum(algorithm);
    let (size, tag) = (received.size, received.digests.etag());
    let new = NewVersion { meta, tags, etag: tag.clone(), size, parts: None, checksum: checksum.clone() };
    let store = store.clone();
    let stored = finish(async move { store.put(&bucket, &key, new, received, &conditions).await }).await?;
    let mut output =
        PutObjectOutput { e_tag: Some(etag(&tag)), version_id: stored.version_id, ..PutObjectOutput::default() };
    output.checksum_type = checksum.as_ref().map(kind);
    show_checksum!(output, &checksum);
    Ok(S3Response::new(output))
}

/// What of an object is read, and what the answer says of it.
struct Read {
    headers: HeaderMap,
    start: u64,
    length: u64,
}

/// Judges conditions, range and part number of a GetObject or HeadObject.
fn judge(
    found: &Found,
    parts: &[Part],
    original: &super::request::Original,
    by_id: bool,
    number: Option<i32>,
    shows_checksum: bool,
) -> S3Result<Read> {
    let version = &found.version;
    if version.marker {
        return Err(of_marker(found, by_id)?);
    }
    let mut headers = headers_of(found)?;
    match ReadConditions::of(&original.headers, "").check(&version.etag, version.modified) {
        Outcome::Hold => {}
        Outcome::Failed => return Err(failed()),
        Outcome::NotModified => {
            let mut error = S3Error::new(S3ErrorCode::NotModified);
            error.set_headers(headers);
            return Err(error);
        }
    }
    let range = original.text("range");
    let whole = Ranged::Part(0, version.size);
    let stale = original.text("if-range").is_some_and(|tag| crate::conditions::bare(tag) != version.etag);
    let (ranged, of_part) = match (number, range) {
        (Some(_), Some(_)) => {
            return Err(s3_error!(InvalidRequest, "Cannot specify both Range header and partNumber query parameter"));
        }
        (Some(number), None) => (part_range(version.size, parts, part_number(number)?)?, true),
        (None, range) if !stale => (ranges::parse(range, version.size), false),
        (None, _) => (Ranged::Whole, false),
    };
    let (start, length) = match ranged {
        Ranged::Whole => (0, version.size),
        Ranged::Part(start, length) => (start, length),
        Ranged::Unsatisfiable => {
            let mut error = s3_error!(InvalidRange, "The requested range is not satisfiable");
            let mut headers = HeaderMap::new();
            headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/xml"));
            set(&mut headers, "content-range", &format!("bytes */{}", version.size))?;
            error.set_headers(headers);
            return Err(error);
        }
    };
    if let Ranged::Part(start, length) = ranged
        && length > 0
    {
        set(&mut headers, "content-range", &format!("bytes {start}-{}/{}", start + length - 1, version.size))?;
    }
    set(&mut headers, "content-length", &length.to_string())?;
    if of_part && let Some(count) = version.parts {
        set(&mut headers, "x-amz-mp-parts-count", &count.to_string())?;
    }
    if shows_checksum {
        let part = number.and_then(|number| parts.iter().find(|part| part.number == number));
        let checksum = match (part, ranged == whole || ranged == Ranged::Whole) {
            (Some(part), _) => part.checksum.as_ref(),
            (None, true) => version.checksum.as_ref(),
            (None, false) => None,
        };
        if let Some(checksum) = checksum {
            set_checksum(&mut headers, checksum)?;
        }
    }
    for (name, value) in &original.overrides {
        headers.insert(name.clone(), value.clone());
    }
    Ok(Read { headers, start, length })
}

/// What was put at once is its own first part.
fn part_range(size: u64, parts: &[Part], number: i32) -> S3Result<Ranged> {
    if parts.is_empty() && number == 1 {
        return Ok(Ranged::Part(0, size));
    }
    let part = parts.iter().find(|part| part.number == number).ok_or_else(|| {
        let message = "The requested partnumber is not satisfiable";
        with_status("InvalidPartNumber", StatusCode::RANGE_NOT_SATISFIABLE, message)
    })?;
    let start = parts.iter().take_while(|before| before.number < number).map(|before| before.size).sum();
    Ok(Ranged::Part(start, part.size))
}

fn shows_checksum(mode: Option<&ChecksumMode>) -> bool {
    mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED)
}

pub(super) async fn get_object(store: &Store, req: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
    let original = original(&req)?;
    let GetObjectInput { bucket, key, version_id, part_number, checksum_mode, .. } = req.input;
    let opened = store.open_version(&bucket, &key, version_id.as_deref()).await?;
    let (by_id, shows) = (version_id.is_some(), shows_checksum(checksum_mode.as_ref()));
    let read = judge(&opened.found, &opened.parts, &original, by_id, part_number, shows)?;
    let slices = cut(opened.slices, read.start, read.length);
    let content_range = read.headers.get("content-range").and_then(|range| range.to_str().ok()).map(str::to_owned);
    let tag_count = i32::try_from(opened.found.version.tags.len()).ok().filter(|count| *count > 0);
    let output = GetObjectOutput {
        tag_count,
        body: Some(StreamingBlob::wrap(store.contents.read(slices, opened.pin))),
        content_range,
        metadata: Some(opened.found.version.meta.user.into_iter().collect()),
        ..GetObjectOutput::default()
    };
    let mut response = S3Response::new(output);
    response.headers = read.headers;
    Ok(response)
}

pub(super) async fn head_object(
    store: &Store,
    req: S3Request<HeadObjectInput>,
) -> S3Result<S3Response<HeadObjectOutput>> {
    let original = original(&req)?;
    let HeadObjectInput { bucket, key, version_id, part_number, checksum_mode, .. } = req.input;
    let found = store.find(&bucket, &key, version_id.as_deref()).await?;
    let parts = match (part_number, found.version.parts) {
        (Some(_), Some(_)) => store.parts(&found.version).await?,
        _ => Vec::new(),
    };
    let (by_id, shows) = (version_id.is_some(), shows_checksum(checksum_mode.as_ref()));
    let read = judge(&found, &parts, &original, by_id, part_number, shows)?;
    let metadata = Some(found.version.meta.user.into_iter().collect());
    let mut response = S3Response::new(HeadObjectOutput { metadata, ..HeadObjectOutput::default() });
    response.headers = read.headers;
    Ok(response)
}

pub(super) async fn get_object_attributes(
    store: &Store,
    req: S3Request<GetObjectAttributesInput>,
) -> S3Result<S3Response<GetObjectAttributesOutput>> {
    let original = original(&req)?;
    let GetObjectAttributesInput { bucket, key, version_id, max_parts, part_number_marker, .. } = req.input;
    let mut asked = Vec::new();
    for value in original.headers.get_all("x-amz-object-attributes") {
        for name in value.to_str().unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if !["ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"].contains(&name) {
                return Err(s3_error!(InvalidArgument, "Invalid attribute name specified."));
            }
            asked.push(name.to_owned());
        }
    }
    let asks = |name: &str| asked.iter().any(|asked| asked == name);
    let found = store.find(&bucket, &key, version_id.as_deref()).await?;
    if found.version.marker {
        return Err(of_marker(&found, version_id.is_some())?);
    }
    let version = &found.version;
    let mut output = GetObjectAttributesOutput {
        last_modified: Some(timestamp(version.modified)),
        version_id: found.bucket.shown(&version.id),
        ..GetObjectAttributesOutput::default()
    };
    if asks("ObjectSize") {
        output.object_size = i64::try_from(version.size).ok();
    }
    if asks("StorageClass") {
        output.storage_class = Some(StorageClass::from(super::answers::class(version)));
    }
    if asks("Checksum") {
        let mut checksum =
            dto::Checksum { checksum_type: version.checksum.as_ref().map(kind), ..dto::Checksum::default() };
        show_checksum!(checksum, &version.checksum);
        output.checksum = Some(checksum);
    }
    if asks("ObjectParts") && version.parts.is_some() {
        let parts = store.parts(version).await?;
        output.object_parts =
            Some(parts_page(&parts, part_number_marker.unwrap_or_default(), limit(max_parts, "max-parts")?));
    }
    let mut response = S3Response::new(output);
    if asks("ETag") {
        // Without the quotes that an ETag has everywhere else.
        response.extensions.insert(Elements(format!("<ETag>{}</ETag>", version.etag)));
    }
    Ok(response)
}

fn parts_page(parts: &[Part], after: i32, limit: i32) -> GetObjectAttributesParts {
    let mut left = parts.iter().filter(|part| part.number > after);
    let page: Vec<&Part> = left.by_ref().take(usize::try_from(limit).unwrap_or_default()).collect();
    let shown = page.iter().map(|part| {
        let mut shown =
            ObjectPart { part_number: Some(part.number), size: i64::try_from(part.size).ok(), ..ObjectPart::default() };
        show_checksum!(shown, &part.checksum);
        shown
    });
    GetObjectAttributesParts {
        is_truncated: Some(left.next().is_some()),
        max_parts: Some(limit),
        next_part_number_marker: page.last().map(|part| part.number),
        part_number_marker: Some(after),
        parts: Some(shown.collect()),
        total_parts_count: i32::try_from(parts.len()).ok(),
    }
}

pub(super) async fn delete_object(
    store: &Store,
    req: S3Request<DeleteObjectInput>,
) -> S3Result<S3Response<DeleteObjectOutput>> {
    let conditions = WriteConditions::of(&original(&req)?.headers)?;
    let DeleteObjectInput { bucket, key, version_id, if_match_last_modified_time, if_match_size, .. } = req.input;
    if if_match_last_modified_time.is_some() || if_match_size.is_some() {
        return Err(s3_error!(NotImplemented, "Only directory buckets have conditions of size and time"));
    }
    let store = store.clone();
    let deleted = async move { store.delete(&bucket, &key, version_id.as_deref(), &conditions).await };
    let deleted = finish(deleted).await?;
    Ok(S3Response::new(DeleteObjectOutput {
        delete_marker: deleted.marker.then_some(true),
        version_id: deleted.version_id,
        ..DeleteObjectOutput::default()
    }))
}

pub(super) async fn delete_objects(
    store: &Store,
    req: S3Request<DeleteObjectsInput>,
) -> S3Result<S3Response<DeleteObjectsOutput>> {
    let DeleteObjectsInput { bucket, delete, .. } = req.input;
    if delete.objects.is_empty() || delete.objects.len() > MAX_DELETES {
        return Err(s3_error!(
            MalformedXML,
            "The XML you provided was not well-formed or did not validate against our published schema"
        ));
    }
    if delete.objects.iter().any(|object| object.last_modified_time.is_some() || object.size.is_some()) {
        return Err(s3_error!(NotImplemented, "Only directory buckets have conditions of size and time"));
    }
    let doomed = delete.objects.into_iter().map(|object| Doomed {
        key: object.key,
        version: object.version_id,
        conditions: object.e_tag.map_or_else(WriteConditions::default, |tag| WriteConditions::matching(tag.value())),
    });
    let (store, doomed) = (store.clone(), doomed.collect());
    let all = finish(async move { store.delete_all(&bucket, doomed).await }).await?;
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    for (one, outcome) in all {
        match outcome {
            Ok(_) if delete.quiet == Some(true) => {}
            Ok(gone) => deleted.push(DeletedObject {
                delete_marker: gone.marker.then_some(true),
                delete_marker_version_id: gone.version_id.filter(|_| gone.marker),
                key: Some(one.key),
                version_id: one.version,
            }),
            Err(error) => errors.push(dto::Error {
                code: Some(error.code().as_str().to_owned()),
                key: Some(one.key),
                message: error.message().map(str::to_owned),
                version_id: one.version,
            }),
        }
    }
    let output = DeleteObjectsOutput { deleted: Some(deleted), errors: Some(errors), ..DeleteObjectsOutput::default() };
    Ok(S3Response::new(output))
}

/// Sources of copies, and what they may be.
pub(super) fn readable(found: &Found, by_id: bool) -> S3Result<()> {
    if found.version.marker && by_id {
        return Err(s3_error!(
            InvalidRequest,
            "The source of a copy request may not specifically refer to a delete marker by version id."
        ));
    }
    refuse_marker(&found.version)
}
