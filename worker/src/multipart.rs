//! Multipart uploads at a backend, as copies of large objects need them.
use crate::backend::{BackendError, Remote};
use crate::copy::Copying;
use crate::headers::with_headers;
use crate::layout::{Digest16, Part, parse_digest};
use crate::object::{ObjectHeaders, unquote};
use aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsOutput;
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use s3gateway_s3::{ObjectKey, PhysicalBucket, VersionId};
use std::collections::BTreeMap;

/// Open uploads of a listing: key and upload id, oldest first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct UploadIds(Vec<(String, String)>);

impl UploadIds {
    /// The open uploads whose keys begin with `prefix`, one page of them; none where the backend does not list them.
    pub(crate) async fn open(remote: &Remote, bucket: &PhysicalBucket, prefix: &str) -> Result<Self, BackendError> {
        if !remote.backend.capabilities.list_uploads {
            return Ok(Self::default());
        }
        let list = remote.control.list_multipart_uploads().bucket(bucket.for_upstream()).prefix(prefix);
        let page = list.send().await.map_err(|e| remote.classify("ListMultipartUploads", &e))?;
        Ok(Self::parse(page))
    }

    fn parse(page: ListMultipartUploadsOutput) -> Self {
        let mut uploads = page.uploads.unwrap_or_default();
        uploads.sort_by_key(|u| u.initiated.map_or(0, |at| at.secs()));
        Self(uploads.into_iter().filter_map(|u| Some((u.key?, u.upload_id?))).collect())
    }

    /// The ids of exactly this key's uploads, oldest first, but for those that are clients'.
    pub(crate) fn of_workers(self, key: &ObjectKey, clients: &[String]) -> Vec<String> {
        let ours = self.0.into_iter().filter(|(k, id)| k == key.as_str() && !clients.contains(id));
        ours.map(|(_, id)| id).collect()
    }

    /// All of them.
    pub(crate) fn into_all(self) -> Vec<(String, String)> {
        self.0
    }
}

/// Who opens uploads of a key at a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Uploaders<'a> {
    /// Workers: the newest may be gone on with, the others are left-overs. But for these, which clients send their parts to.
    Workers(&'a [String]),
    /// Clients, as at a home: none is touched but the copy's own.
    Clients,
}

/// A part that an upload holds already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeldPart {
    /// Its MD5, from its ETag.
    pub(crate) digest: Digest16,
    /// Bytes.
    pub(crate) length: u64,
}

/// An upload at a backend.
#[derive(Clone, Copy)]
pub(crate) struct Upload<'a> {
    pub(crate) remote: &'a Remote,
    pub(crate) bucket: &'a PhysicalBucket,
    pub(crate) key: &'a ObjectKey,
    pub(crate) id: &'a str,
}

/// CreateMultipartUpload with the object's headers and user metadata; answers the upload id.
pub(crate) async fn create(
    remote: &Remote,
    bucket: &PhysicalBucket,
    key: &ObjectKey,
    headers: &ObjectHeaders,
) -> Result<String, BackendError> {
    let create = remote.control.create_multipart_upload().bucket(bucket.for_upstream()).key(key.as_str());
    let sent = with_headers!(create, headers).send().await;
    let answer = sent.map_err(|e| remote.classify("CreateMultipartUpload", &e))?;
    answer.upload_id.ok_or_else(|| remote.unreadable("CreateMultipartUpload"))
}

/// An upload id and the parts it holds: the newest open upload of the key where one may be resumed, else a new one.
/// Others of workers are left-overs and are aborted.
pub(crate) async fn open(
    copying: &Copying<'_>,
    resume: bool,
    parts: &[Part],
) -> Result<(String, BTreeMap<i32, Digest16>), BackendError> {
    let Copying { target: remote, target_bucket: bucket, target_key: key, .. } = *copying;
    let mut ids = match copying.uploaders {
        Uploaders::Workers(clients) => UploadIds::open(remote, bucket, key.as_str()).await?.of_workers(key, clients),
        Uploaders::Clients => Vec::new(),
    };
    let newest = if resume { ids.pop() } else { None };
    for id in ids {
        Upload { remote, bucket, key, id: &id }.abort().await?;
    }
    if let Some(id) = newest {
        let upload = Upload { remote, bucket, key, id: &id };
        let held = upload.held_parts().await?;
        let fits =
            |part: &Part| held.get(&part.number).filter(|h| h.length == part.length).map(|h| (part.number, h.digest));
        let held: BTreeMap<i32, Digest16> = parts.iter().filter_map(fits).collect();
        if !held.is_empty() {
            return Ok((id, held));
        }
        upload.abort().await?;
    }
    let id = create(remote, bucket, key, &copying.object.headers).await?;
    Ok((id, BTreeMap::new()))
}

impl Upload<'_> {
    /// Whether the backend has it still.
    pub(crate) async fn is_open(&self) -> Result<bool, BackendError> {
        let list = self.remote.control.list_parts().bucket(self.bucket.for_upstream()).key(self.key.as_str());
        match list.upload_id(self.id).max_parts(1).send().await.map_err(|e| self.remote.classify("ListParts", &e)) {
            Ok(_) => Ok(true),
            Err(error) if is_no_upload(&error) => Ok(false),
            Err(BackendError::NotFound { operation, .. }) => Err(self.remote.not_of_s3(operation)),
            Err(error) => Err(error),
        }
    }

    /// UploadPart; answers the part's ETag.
    pub(crate) async fn put_part(&self, part: Part, body: SdkBody) -> Result<String, BackendError> {
        let length = i64::try_from(part.length).map_err(|_| self.remote.refused("UploadPart", 0, "EntityTooLarge"))?;
        let put = self
            .remote
            .data
            .upload_part()
            .bucket(self.bucket.for_upstream())
            .key(self.key.as_str())
            .upload_id(self.id)
            .part_number(part.number)
            .content_length(length)
            .body(ByteStream::new(body));
        let sent = put.customize().disable_payload_signing().send().await;
        let answer = sent.map_err(|e| self.remote.classify("UploadPart", &e))?;
        self.remote.told_etag("UploadPart", answer.e_tag())
    }

    /// ListParts: what is there already, by part number. A part whose ETag is no MD5 proves nothing and is left out.
    pub(crate) async fn held_parts(&self) -> Result<BTreeMap<i32, HeldPart>, BackendError> {
        let mut held = BTreeMap::new();
        let mut marker: Option<String> = None;
        loop {
            let list = self.remote.control.list_parts().bucket(self.bucket.for_upstream()).key(self.key.as_str());
            let page = list.upload_id(self.id).set_part_number_marker(marker.clone()).send().await;
            let page = page.map_err(|e| self.remote.classify("ListParts", &e))?;
            for part in page.parts() {
                let digest = part.e_tag().and_then(|etag| parse_digest(unquote(etag)));
                let length = part.size().and_then(|size| u64::try_from(size).ok());
                if let (Some(number), Some(digest), Some(length)) = (part.part_number(), digest, length) {
                    held.insert(number, HeldPart { digest, length });
                }
            }
            let next = page.next_part_number_marker.filter(|m| page.is_truncated == Some(true) && !m.is_empty());
            // The same again from one that ignores where it is to begin: what it does not tell is sent once more.
            if next.is_none() || next == marker {
                return Ok(held);
            }
            marker = next;
        }
    }

    /// CompleteMultipartUpload. What it answers as ETag is not trusted (some answer none): look with HeadObject.
    pub(crate) async fn complete(&self, etags: &BTreeMap<i32, String>) -> Result<String, BackendError> {
        let part = |(number, etag): (&i32, &String)| {
            CompletedPart::builder().part_number(*number).e_tag(format!("\"{etag}\"")).build()
        };
        let parts = CompletedMultipartUpload::builder().set_parts(Some(etags.iter().map(part).collect())).build();
        let complete = self.remote.data.complete_multipart_upload().bucket(self.bucket.for_upstream());
        let sent = complete.key(self.key.as_str()).upload_id(self.id).multipart_upload(parts).send().await;
        let answer = sent.map_err(|e| self.remote.classify("CompleteMultipartUpload", &e))?;
        Ok(unquote(answer.e_tag().unwrap_or_default()).to_owned())
    }

    /// AbortMultipartUpload; an upload that is gone is as good as aborted.
    pub(crate) async fn abort(&self) -> Result<(), BackendError> {
        let abort = self.remote.control.abort_multipart_upload().bucket(self.bucket.for_upstream());
        match abort.key(self.key.as_str()).upload_id(self.id).send().await {
            Ok(_) => Ok(()),
            Err(error) => match self.remote.classify("AbortMultipartUpload", &error) {
                error if is_no_upload(&error) => Ok(()),
                BackendError::NotFound { operation, .. } => Err(self.remote.not_of_s3(operation)),
                BackendError::NoSuchBucket => Ok(()),
                error => Err(error),
            },
        }
    }
}

/// Whether a backend says in S3's words that it has no such upload; some say that it is the key.
fn is_no_upload(error: &BackendError) -> bool {
    matches!(error, BackendError::NotFound { code, .. } if matches!(code.as_str(), "NoSuchUpload" | "NoSuchKey"))
}

/// HeadObject of one part of the source: its length and the object's part count, where the backend answers by part number at all.
pub(crate) async fn part_length(copying: &Copying<'_>, number: i32) -> Result<Option<(u64, i32)>, BackendError> {
    let Copying { source, source_bucket, key, version, object, .. } = copying;
    let head = source.control.head_object().bucket(source_bucket.for_upstream()).key(key.as_str());
    let head = head.set_version_id(version.map(VersionId::to_string));
    let sent = head.if_match(format!("\"{}\"", object.etag)).part_number(number).send().await;
    match sent.map_err(|e| source.classify("HeadObject", &e)) {
        Ok(answer) => {
            let length = answer.content_length().and_then(|l| u64::try_from(l).ok());
            Ok(length.zip(answer.parts_count()))
        }
        // A backend that does not know part numbers may say so with any 4xx.
        Err(BackendError::Refused { .. }) => Ok(None),
        Err(BackendError::NotFound { .. }) => Err(BackendError::Changed),
        Err(error) => Err(error),
    }
}
