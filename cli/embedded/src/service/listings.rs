//! Listings of objects, versions and uploads: pages of the store in the documents of S3.
//! Source: Amazon S3 API Reference, ListObjects, ListObjectsV2, ListObjectVersions, ListMultipartUploads.
use super::{
    answers::{Names, algorithm, class, escaped, etag, iso, kind, owner, timestamp},
    front::Elements,
    request::{OWNER, limit},
};
use crate::{
    listing::Query,
    objects::seq_of,
    pages::{Entry, Listed, Position},
    rows::{NULL, Version},
    store::Store,
};
use s3s::{S3Request, S3Response, S3Result, dto::*, s3_error};
use std::fmt::Write;

fn query(prefix: Option<&String>, delimiter: Option<&String>, after: &str, limit: i32) -> Query {
    let bytes = |text: Option<&String>| text.map(|text| text.clone().into_bytes()).unwrap_or_default();
    Query {
        prefix: bytes(prefix),
        delimiter: bytes(delimiter),
        after: after.as_bytes().to_vec(),
        limit: usize::try_from(limit).unwrap_or_default(),
    }
}

/// Groups of a page as S3 writes them, and the last key or group of all.
fn groups<Row>(
    listed: &Listed<Row>,
    names: Names,
    key: impl Fn(&Row) -> &[u8],
) -> (Vec<CommonPrefix>, Option<Vec<u8>>) {
    let groups = listed.entries.iter().filter_map(|entry| match entry {
        Entry::Group(group) => Some(CommonPrefix { prefix: Some(names.write_key(group)) }),
        Entry::One(_) => None,
    });
    let last = listed.entries.last().map(|entry| match entry {
        Entry::Group(group) => group.clone(),
        Entry::One(row) => key(row).to_vec(),
    });
    (groups.collect(), last)
}

fn ones<Row>(listed: Listed<Row>) -> impl Iterator<Item = Row> {
    listed.entries.into_iter().filter_map(|entry| match entry {
        Entry::One(row) => Some(row),
        Entry::Group(_) => None,
    })
}

fn object(version: Version, names: Names, with_owner: bool) -> Object {
    Object {
        checksum_algorithm: version.checksum.as_ref().map(|checksum| vec![algorithm(checksum.algorithm)]),
        checksum_type: version.checksum.as_ref().map(kind),
        e_tag: Some(etag(&version.etag)),
        key: Some(names.write_key(&version.key)),
        last_modified: Some(timestamp(version.modified)),
        owner: with_owner.then(owner),
        size: i64::try_from(version.size).ok(),
        storage_class: Some(ObjectStorageClass::from(class(&version))),
        ..Object::default()
    }
}

pub(super) async fn list_objects(
    store: &Store,
    req: S3Request<ListObjectsInput>,
) -> S3Result<S3Response<ListObjectsOutput>> {
    let ListObjectsInput { bucket, delimiter, encoding_type, marker, max_keys, prefix, .. } = req.input;
    let names = Names::of(encoding_type.as_ref())?;
    let max_keys = limit(max_keys, "max-keys")?;
    let marker = marker.unwrap_or_default();
    let found = store.find_bucket(&bucket).await?;
    let asked = query(prefix.as_ref(), delimiter.as_ref(), &marker, max_keys);
    let listed = store.page_of_objects(&found, asked).await?;
    let (common_prefixes, last) = groups(&listed, names, |row| &row.key);
    let is_truncated = listed.truncated;
    let next_marker = last.filter(|_| is_truncated && delimiter.is_some()).map(|last| names.write_key(&last));
    Ok(S3Response::new(ListObjectsOutput {
        name: Some(bucket),
        prefix: Some(names.write(&prefix.unwrap_or_default())),
        marker: Some(names.write(&marker)),
        max_keys: Some(max_keys),
        is_truncated: Some(is_truncated),
        contents: Some(ones(listed).map(|row| object(row, names, true)).collect()),
        common_prefixes: Some(common_prefixes),
        delimiter: delimiter.map(|delimiter| names.write(&delimiter)),
        next_marker,
        encoding_type,
        ..ListObjectsOutput::default()
    }))
}

pub(super) async fn list_objects_v2(
    store: &Store,
    req: S3Request<ListObjectsV2Input>,
) -> S3Result<S3Response<ListObjectsV2Output>> {
    let ListObjectsV2Input { bucket, continuation_token, delimiter, encoding_type, .. } = req.input;
    let ListObjectsV2Input { fetch_owner, max_keys, prefix, start_after, .. } = req.input;
    let names = Names::of(encoding_type.as_ref())?;
    let max_keys = limit(max_keys, "max-keys")?;
    // The last key or group of the page before, in hexadecimal.
    let after = match &continuation_token {
        None => start_after.clone().unwrap_or_default(),
        Some(token) => {
            let last = hex::decode(token).ok().and_then(|last| String::from_utf8(last).ok());
            let last = last.filter(|last| !last.is_empty());
            last.ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))?
        }
    };
    let found = store.find_bucket(&bucket).await?;
    let asked = query(prefix.as_ref(), delimiter.as_ref(), &after, max_keys);
    let listed = store.page_of_objects(&found, asked).await?;
    let (common_prefixes, last) = groups(&listed, names, |row| &row.key);
    let is_truncated = listed.truncated;
    let with_owner = fetch_owner == Some(true);
    Ok(S3Response::new(ListObjectsV2Output {
        name: Some(bucket),
        prefix: Some(names.write(&prefix.unwrap_or_default())),
        max_keys: Some(max_keys),
        key_count: i32::try_from(listed.entries.len()).ok(),
        continuation_token,
        is_truncated: Some(is_truncated),
        next_continuation_token: last.filter(|_| is_truncated).map(hex::encode),
        contents: Some(ones(listed).map(|row| object(row, names, with_owner)).collect()),
        common_prefixes: Some(common_prefixes),
        delimiter: delimiter.map(|delimiter| names.write(&delimiter)),
        encoding_type,
        start_after: start_after.map(|start_after| names.write(&start_after)),
        ..ListObjectsV2Output::default()
    }))
}

pub(super) async fn list_object_versions(
    store: &Store,
    req: S3Request<ListObjectVersionsInput>,
) -> S3Result<S3Response<ListObjectVersionsOutput>> {
    let ListObjectVersionsInput { bucket, delimiter, encoding_type, key_marker, .. } = req.input;
    let ListObjectVersionsInput { max_keys, prefix, version_id_marker, .. } = req.input;
    let names = Names::of(encoding_type.as_ref())?;
    let max_keys = limit(max_keys, "max-keys")?;
    let after = key_marker.unwrap_or_default();
    let version_id_marker = version_id_marker.filter(|marker| !marker.is_empty());
    if version_id_marker.is_some() && after.is_empty() {
        return Err(s3_error!(InvalidArgument, "A version-id marker cannot be specified without a key marker."));
    }
    let found = store.find_bucket(&bucket).await?;
    let from = match &version_id_marker {
        None => Position::behind(after.as_bytes()),
        Some(id) => Position::within(after.as_bytes(), place(store, &bucket, &after, id).await?),
    };
    let asked = query(prefix.as_ref(), delimiter.as_ref(), &after, max_keys);
    let listed = store.page_of_versions(&found, asked, from).await?;
    let (common_prefixes, last) = groups(&listed, names, |row| &row.key);
    let is_truncated = listed.truncated;
    let last_id = match listed.entries.last() {
        Some(Entry::One(row)) => Some(row.id.clone()),
        _ => None,
    };
    let elements = ones(listed).map(|row| version_element(&row, names)).collect();
    let output = ListObjectVersionsOutput {
        common_prefixes: Some(common_prefixes),
        delimiter: delimiter.map(|delimiter| names.write(&delimiter)),
        encoding_type,
        is_truncated: Some(is_truncated),
        key_marker: Some(names.write(&after)),
        max_keys: Some(max_keys),
        name: Some(bucket),
        next_key_marker: last.filter(|_| is_truncated).map(|last| names.write_key(&last)),
        next_version_id_marker: last_id.filter(|_| is_truncated),
        prefix: Some(names.write(&prefix.unwrap_or_default())),
        version_id_marker: Some(version_id_marker.unwrap_or_default()),
        ..ListObjectVersionsOutput::default()
    };
    let mut response = S3Response::new(output);
    response.extensions.insert(Elements(elements));
    Ok(response)
}

/// A version or delete marker, each in its place, which s3s would sort apart.
fn version_element(row: &Version, names: Names) -> String {
    let tag = if row.marker { "DeleteMarker" } else { "Version" };
    let mut text = format!("<{tag}><Key>{}</Key>", escaped(&names.write_key(&row.key)));
    let (id, latest, modified) = (&row.id, row.latest, iso(row.modified));
    let _ =
        write!(text, "<VersionId>{id}</VersionId><IsLatest>{latest}</IsLatest><LastModified>{modified}</LastModified>");
    if !row.marker {
        let (etag, size, class) = (&row.etag, row.size, class(row));
        let _ = write!(text, "<ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size><StorageClass>{class}</StorageClass>");
    }
    if let Some(checksum) = &row.checksum {
        let (algorithm, kind) = (checksum.algorithm.name(), checksum.kind.name());
        let _ = write!(text, "<ChecksumAlgorithm>{algorithm}</ChecksumAlgorithm><ChecksumType>{kind}</ChecksumType>");
    }
    let _ = write!(text, "<Owner><ID>{OWNER}</ID><DisplayName>{OWNER}</DisplayName></Owner></{tag}>");
    text
}

/// Where a version is or was among those of its key. A null version that is gone tells no place: then all of the key's
/// versions that are left are listed, rather than one too few.
async fn place(store: &Store, bucket: &str, key: &str, id: &str) -> S3Result<i64> {
    if let Some(seq) = seq_of(id) {
        return Ok(seq);
    }
    match store.find(bucket, key, Some(id)).await {
        Ok(found) => Ok(found.version.seq),
        Err(_) if id == NULL => Ok(i64::MAX),
        Err(_) => Err(s3_error!(InvalidArgument, "Invalid version id specified")),
    }
}

pub(super) async fn list_multipart_uploads(
    store: &Store,
    req: S3Request<ListMultipartUploadsInput>,
) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
    let ListMultipartUploadsInput { bucket, delimiter, encoding_type, key_marker, .. } = req.input;
    let ListMultipartUploadsInput { max_uploads, prefix, upload_id_marker, .. } = req.input;
    let names = Names::of(encoding_type.as_ref())?;
    let max_uploads = limit(max_uploads, "max-uploads")?;
    let after = key_marker.unwrap_or_default();
    // "Ignored if key-marker is not specified."
    let upload_id_marker = upload_id_marker.filter(|marker| !marker.is_empty() && !after.is_empty());
    let found = store.find_bucket(&bucket).await?;
    let from = match &upload_id_marker {
        None => Position::behind(after.as_bytes()),
        Some(id) => Position::within(after.as_bytes(), id.clone()),
    };
    let asked = query(prefix.as_ref(), delimiter.as_ref(), &after, max_uploads);
    let listed = store.page_of_uploads(&found, asked, from).await?;
    let (common_prefixes, last) = groups(&listed, names, |row| &row.key);
    let is_truncated = listed.truncated;
    let last_id = match listed.entries.last() {
        Some(Entry::One(row)) => Some(row.id.clone()),
        _ => None,
    };
    let uploads = ones(listed).map(|row| MultipartUpload {
        checksum_algorithm: row.sums.algorithm.map(algorithm),
        checksum_type: row.sums.algorithm.map(|_| ChecksumType::from_static(row.sums.kind().name())),
        initiated: Some(timestamp(row.initiated)),
        initiator: Some(Initiator { display_name: owner().display_name, id: owner().id }),
        key: Some(names.write_key(&row.key)),
        owner: Some(owner()),
        storage_class: Some(StorageClass::from(row.meta.storage_class.unwrap_or_else(|| "STANDARD".to_owned()))),
        upload_id: Some(row.id),
    });
    Ok(S3Response::new(ListMultipartUploadsOutput {
        bucket: Some(bucket),
        common_prefixes: Some(common_prefixes),
        delimiter: delimiter.map(|delimiter| names.write(&delimiter)),
        encoding_type,
        is_truncated: Some(is_truncated),
        key_marker: Some(names.write(&after)),
        max_uploads: Some(max_uploads),
        next_key_marker: last.filter(|_| is_truncated).map(|last| names.write_key(&last)),
        next_upload_id_marker: last_id.filter(|_| is_truncated),
        prefix: Some(names.write(&prefix.unwrap_or_default())),
        upload_id_marker: Some(upload_id_marker.unwrap_or_default()),
        uploads: Some(uploads.collect()),
        ..ListMultipartUploadsOutput::default()
    }))
}
