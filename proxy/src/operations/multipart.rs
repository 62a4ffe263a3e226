//! CreateMultipartUpload, CompleteMultipartUpload and AbortMultipartUpload.
//! Invariant: only the completion makes an object, so only it is marked.
use super::{
    completion::judge,
    conditions::WriteConditions,
    home::{done, etag_of, explain, physical_on, unreadable},
    lending::{Became, Lending, ObjectWrite},
    null_version::MadeVersion,
    parts::composed_etag,
    tagging::{count_for, parse_put_tags, put_request},
    upload_checksum::UploadChecksum,
    upload_id::{OpenedUpload, seal},
};
use crate::{
    admit::{Admitted, Routed},
    answer::Answer,
    gateway::Gateway,
    refusal::Refusal,
    upstream::{UpstreamAnswer, UpstreamError, UpstreamRequest},
    version::{NamedVersion, VERSION_ID},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, StatusCode, header};
use s3gateway_filters::{headers, keys};
use s3gateway_s3::{
    Addressing, ObjectKey, Operation, PhysicalBucket, S3Code, S3Error, S3Request,
    etag::{quoted, unquoted},
    uri,
    xml::{CompleteMultipartUpload, CompleteMultipartUploadResult, CompletedPart, InitiateMultipartUploadResult},
};
use s3gateway_store::{Millis, OpenUpload, Route};
use std::time::SystemTime;

/// The object that a completed upload has become.
struct Made {
    /// Without quotes; empty where it could not be asked for.
    etag: String,
    version: Option<NamedVersion>,
}

/// What is left to be done for an object of parts.
enum ToDo {
    /// Its upload is to be completed, by this request.
    Complete(UpstreamRequest, Bytes),
    /// An earlier attempt has made it, with this ETag.
    Find(String),
}

impl Gateway {
    /// Begins an upload at the home, and at replicas where the bucket's writes go to several places.
    ///
    /// Cancel: uploads may stay open at backends that no client knows of.
    pub(super) async fn create_upload(&self, admitted: &Admitted) -> Result<Answer, Refusal> {
        let (routed, key, bucket) = (admitted.routed()?, admitted.key()?, admitted.bucket()?);
        let (route, home) = (&routed.route, &routed.home);
        keys::check(home.capabilities().keys, key)?;
        let tags = parse_put_tags(&admitted.request, route)?.unwrap_or_default();
        let checksum = UploadChecksum::parse(&admitted.request)?;
        let begin =
            |request: UpstreamRequest| with_stored_headers(request.query("uploads", ""), &admitted.request.headers);
        let request = begin(routed.request(Method::POST, Some(key))?)?;
        let reached = self.reach_for_upload(routed, key, count_for(Some(&tags), route)).await?;
        let answer = self.ask_home(routed, request, Bytes::new()).await?;
        let upload_id = InitiateMultipartUploadResult::parse(&answer.body).map_err(unreadable)?.upload_id;
        let noted = async {
            if !home.capabilities().list_uploads {
                let initiated_at = to_millis(SystemTime::now());
                self.metadata
                    .put_upload(
                        &route.bucket,
                        &OpenUpload { key: key.clone(), upload_id: upload_id.clone(), initiated_at },
                    )
                    .await?;
            }
            // Not sent with the upload: one server spoils tags that come this way. They are set once the object is made.
            self.store_upload_tags(route, &upload_id, &tags).await?;
            let begin = |physical: &PhysicalBucket| begin(UpstreamRequest::new(Method::POST, physical, Some(key)));
            self.begin_at_places(routed, key, &upload_id, reached, begin).await
        };
        if let Err(refusal) = noted.await {
            let request = routed.request(Method::DELETE, Some(key))?.query("uploadId", &upload_id);
            if let Err(error) = self.ask_home(routed, request, Bytes::new()).await {
                tracing::debug!(%error, "an upload that could not be noted stays open");
            }
            return Err(refusal);
        }
        if let Some(checksum) = checksum {
            self.keep_upload_checksum(route, &upload_id, checksum).await;
        }
        let upload_id = seal(&self.sealer, route, key.as_str(), home.id(), &upload_id, checksum);
        if upload_id.is_empty() {
            return Err(S3Code::ServiceUnavailable.into());
        }
        let result = InitiateMultipartUploadResult {
            bucket: bucket.as_str().to_owned(),
            key: key.as_str().to_owned(),
            upload_id,
        };
        let answer = Answer::xml(result.render());
        Ok(match checksum {
            Some(UploadChecksum { algorithm, kind }) => answer
                .with(HeaderName::from_static("x-amz-checksum-algorithm"), algorithm.name())
                .with(HeaderName::from_static("x-amz-checksum-type"), kind.name()),
            None => answer,
        })
    }

    /// Makes the object of an upload's parts.
    ///
    /// Cancel: the object may be made or not; its key stays dirty until converged.
    pub(super) async fn complete_upload(&self, admitted: &Admitted, body: &Bytes) -> Result<Answer, Refusal> {
        let (routed, key) = (admitted.routed()?, admitted.key()?);
        let route = &routed.route;
        let upload = self.open_upload_id(admitted)?;
        let complete = CompleteMultipartUpload::parse(body)?;
        let conditions = WriteConditions::parse(&admitted.request)?;
        let stored = match self.is_open(route, &upload).await? {
            true => self.check_parts(route, key, &upload, &complete.parts).await?,
            false => None,
        };
        let is_open = stored.is_some();
        let standing = if is_open { None } else { self.etag_at_home(routed, key).await? };
        let is_made = standing.is_some() && standing == composed_etag(&complete.parts);
        // Where neither the upload nor its object is there, a backend that keeps its own uploads still has the last word.
        if !is_open && (standing.is_none() || !(is_made || upload.home.capabilities().list_uploads)) {
            return Err(S3Code::NoSuchUpload.into());
        }
        let kept = self.kept_parts(route, &upload.backend_upload_id).await;
        let completion = judge(&admitted.request, upload.checksum, &complete.parts, stored.as_ref(), &kept)?;
        let request = upload.request(Method::POST, route, key)?.query("uploadId", &upload.backend_upload_id);
        let request = conditions.put_on(upload.home.capabilities(), request).header("content-type", "application/xml");
        let document = Bytes::from(plain(&complete).render());
        let tags = self.upload_tags(route, &upload.backend_upload_id).await?;
        let set_tags = match upload.home.capabilities().tagging && !tags.is_empty() {
            true => Some(put_request(upload.request(Method::PUT, route, key)?, &tags)),
            false => None,
        };
        let tags_follow = set_tags.is_some();
        // A repeated completion whose upload's tags are forgotten finds the object with its own, which may be others by now.
        let lending = if is_made && tags.is_empty() { Lending::Untouched } else { Lending::Written(Some(&tags)) };
        if is_made {
            // Nothing but its tags is written.
            self.note_unlisted(routed, key).await?;
        }
        let elsewhere = match is_open {
            true => self.places_to_complete(route, &upload.backend_upload_id, &document, tags.is_empty()).await?,
            false => None,
        };
        let write = async {
            let to_do = match standing.filter(|_| is_made) {
                None => ToDo::Complete(request, document),
                Some(etag) => ToDo::Find(etag),
            };
            let made = self.make_whole(routed, key, &upload, to_do, set_tags).await?;
            if !made.etag.is_empty() {
                self.keep_completion(route, key, &made.etag, &completion, upload.algorithm()).await;
            } else if !tags.is_empty() && !upload.home.capabilities().tagging {
                return Err(UpstreamError::Malformed("an object without an ETag, which no tags can be lent to"));
            }
            Ok(made)
        };
        let object = ObjectWrite { key, conditions: &conditions, lending, tags_follow, elsewhere };
        let Made { etag, version } = self
            .write_lending(admitted, object, write, |made| Became {
                etag: &made.etag,
                version: MadeVersion::of(made.version.as_ref()),
            })
            .await?;
        if let Err(error) = self.forget_upload(route, &upload).await {
            // The object is made and committed: a row too many is no reason to call that a failure.
            tracing::warn!(%error, "a completed upload is still listed");
        }
        let result = CompleteMultipartUploadResult {
            location: location(&admitted.request, admitted.tls),
            bucket: admitted.bucket()?.as_str().to_owned(),
            key: key.as_str().to_owned(),
            etag: Some(quoted(&etag)).filter(|_| !etag.is_empty()),
            checksum_type: completion.checksum.as_ref().map(|checksum| checksum.kind.name().to_owned()),
            checksums: completion.checksum.into_iter().map(|checksum| (checksum.algorithm, checksum.value)).collect(),
        };
        Ok(Answer::xml(result.render()).with_some(VERSION_ID, version.map(NamedVersion::into_shown)))
    }

    /// Has the backend complete the upload, unless an earlier attempt has, and set the object's tags. What the answer does not
    /// say of the object is asked for.
    async fn make_whole(
        &self,
        routed: &Routed,
        key: &ObjectKey,
        upload: &OpenedUpload,
        to_do: ToDo,
        set_tags: Option<(UpstreamRequest, Bytes)>,
    ) -> Result<Made, UpstreamError> {
        let physical =
            physical_on(&routed.route, &upload.home).map_err(|_| UpstreamError::Malformed("no name for the bucket"))?;
        let (etag, version) = match to_do {
            ToDo::Complete(request, document) => {
                let answer = self.client.send(&upload.home, request, document).await.map_err(explain)?;
                let etag = completed_etag(&answer)?;
                (etag, self.written_version(routed, key, answer.header(VERSION_ID.as_str())).await)
            }
            // Once more, as another write may have come before this one's mark.
            ToDo::Find(made) => {
                let request = UpstreamRequest::new(Method::HEAD, physical, Some(key));
                let head = self.client.send(&upload.home, request, Bytes::new()).await?;
                if etag_of(&head) != made {
                    return Err(UpstreamError::from_answer(404, S3Code::NoSuchUpload.name()));
                }
                (made, self.read_version(routed, key, None, head.header(VERSION_ID.as_str())).await)
            }
        };
        if let Some((request, document)) = set_tags {
            // The object stands by now, so that a refusal here must not pass for one of the completion.
            let set = self.client.send(&upload.home, request.version(version.as_ref()), document).await;
            set.map_err(|_| UpstreamError::Malformed("the object's tags could not be set"))?;
        }
        if !etag.is_empty() {
            return Ok(Made { etag, version });
        }
        let request = UpstreamRequest::new(Method::HEAD, physical, Some(key)).version(version.as_ref());
        // The object stands whatever becomes of this question: an answer without ETag is better than one of failure, where
        // nothing is kept under the ETag.
        let Ok(head) = self.client.send(&upload.home, request, Bytes::new()).await else {
            return Ok(Made { etag: String::new(), version });
        };
        let version = match version {
            None => self.read_version(routed, key, None, head.header(VERSION_ID.as_str())).await,
            known => known,
        };
        Ok(Made { etag: etag_of(&head).to_owned(), version })
    }

    /// The ETag of what stands at the key, without quotes; `None`: nothing.
    async fn etag_at_home(&self, routed: &Routed, key: &ObjectKey) -> Result<Option<String>, Refusal> {
        match self.head_at_home(routed, key, None).await {
            Ok(head) => Ok(Some(etag_of(&head).to_owned())),
            Err(refusal) if refusal.to_s3().code == S3Code::NoSuchKey => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Ends an upload and drops its parts.
    pub(super) async fn abort_upload(&self, admitted: &Admitted) -> Result<Answer, Refusal> {
        let (routed, key) = (admitted.routed()?, admitted.key()?);
        let upload = self.open_upload_id(admitted)?;
        self.require_open(&routed.route, &upload).await?;
        let request = upload.request(Method::DELETE, &routed.route, key)?.query("uploadId", &upload.backend_upload_id);
        let result = self.client.send(&upload.home, request, Bytes::new()).await.map_err(explain);
        let is_missed = matches!(&result, Err(UpstreamError::Refused(refused)) if refused.status == 404);
        if is_missed || result.is_ok() {
            self.forget_upload(&routed.route, &upload).await?;
        }
        // Only the upload can be missing; some backends say that it is the key.
        if is_missed {
            return Err(S3Code::NoSuchUpload.into());
        }
        result?;
        Ok(Answer::empty(StatusCode::NO_CONTENT))
    }

    /// Forgets what was kept of an upload that has ended.
    async fn forget_upload(&self, route: &Route, upload: &OpenedUpload) -> Result<(), Refusal> {
        self.forget_upload_checksums(route, &upload.backend_upload_id).await;
        self.forget_upload_tags(route, &upload.backend_upload_id).await?;
        self.leave_places(route, &upload.backend_upload_id).await?;
        if !upload.home.capabilities().list_uploads {
            self.metadata.delete_upload(&route.bucket, &upload.backend_upload_id).await?;
        }
        Ok(())
    }
}

/// The ETag that a completion tells, without quotes; empty where it tells none, as some do.
///
/// # Errors
/// What the document says in the place of a success.
pub(crate) fn completed_etag(answer: &UpstreamAnswer) -> Result<String, UpstreamError> {
    let made = done(CompleteMultipartUploadResult::parse(&answer.body))?;
    Ok(made.etag.as_deref().map(unquoted).unwrap_or_default().to_owned())
}

/// Part numbers and ETags alone: checksums are compared and kept here, and the backend has none.
fn plain(complete: &CompleteMultipartUpload) -> CompleteMultipartUpload {
    let parts = complete.parts.iter().map(|part| CompletedPart {
        part_number: part.part_number,
        etag: quoted(&part.etag),
        checksums: Vec::new(),
    });
    CompleteMultipartUpload { parts: parts.collect() }
}

/// Adds what is stored beside an object's bytes: user metadata and the headers that GET gives back, with S3's type for an
/// object that is given none.
///
/// # Errors
/// `InvalidArgument` for a value that is not UTF-8: metadata left out would be less than was asked for.
pub(super) fn with_stored_headers(mut request: UpstreamRequest, from: &HeaderMap) -> Result<UpstreamRequest, S3Error> {
    let allowed = headers::forwarded_request_headers(Operation::CreateMultipartUpload);
    for (name, value) in from {
        let name = name.as_str();
        if allowed.allows(name) && !matches!(name, "content-encoding" | "x-amz-tagging") {
            let value = std::str::from_utf8(value.as_bytes())
                .map_err(|_| S3Code::InvalidArgument.because(format!("The header {name} is not UTF-8.")))?;
            request = request.header(name, value.trim());
        }
    }
    if !from.contains_key(header::CONTENT_TYPE) {
        request = request.header("content-type", "binary/octet-stream");
    }
    Ok(match headers::content_encoding(from) {
        Some(encoding) => request.header("content-encoding", encoding),
        None => request,
    })
}

/// Where the object is, as the client itself would name it. What a balancer in front says of the client's scheme is not
/// believed.
fn location(request: &S3Request, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    let key = uri::encode_path(request.key.as_ref().map_or("", ObjectKey::as_str));
    match (request.addressing, &request.bucket) {
        (Addressing::Path, Some(bucket)) => format!("{scheme}://{}/{}/{key}", request.host, bucket.as_str()),
        _ => format!("{scheme}://{}/{key}", request.host),
    }
}

/// A time as the store keeps it.
pub(crate) fn to_millis(time: SystemTime) -> Millis {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Millis::try_from(since.as_millis()).unwrap_or(Millis::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use s3gateway_s3::{PhysicalBucket, checksum::Algorithm};

    fn request(host: &'static str, target: &str, domains: &[String]) -> S3Request {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static(host));
        S3Request::parse(&Method::POST, target, headers.clone(), domains).expect(target)
    }

    #[test]
    fn the_location_is_the_clients_own_address() {
        let path = request("gw.test:9000", "/mine/a%20b/c?uploadId=u", &[]);
        assert_eq!(location(&path, false), "http://gw.test:9000/mine/a%20b/c");
        let host = request("mine.gw.test", "/k%C3%A4?uploadId=u", &["gw.test".to_owned()]);
        assert_eq!(location(&host, true), "https://mine.gw.test/k%C3%A4");
    }

    #[test]
    fn what_is_stored_beside_the_bytes() {
        let store = |pairs: &[(&'static str, &[u8])]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, HeaderValue::from_bytes(value).expect("a value"));
            }
            let physical = PhysicalBucket::parse("s3gw-0").expect("a name");
            let request = UpstreamRequest::new(Method::POST, &physical, None);
            with_stored_headers(request, &headers).map(|request| format!("{request:?}")).map_err(|e| e.code)
        };
        let stored = store(&[("x-amz-meta-a", "ä".as_bytes()), ("x-amz-acl", b"private"), ("expires", b" 0 ")]);
        let stored = stored.expect("headers");
        for (text, there) in [("x-amz-meta-a", true), ("expires", true), ("acl", false), ("binary/octet-stream", true)]
        {
            assert_eq!(stored.contains(text), there, "{text}: {stored}");
        }
        let typed = store(&[("content-type", b"text/plain")]).expect("headers");
        assert!(typed.contains("text/plain") && !typed.contains("octet-stream"), "{typed}");
        assert_eq!(store(&[("x-amz-meta-a", b"\xff")]), Err(S3Code::InvalidArgument));
        assert!(store(&[("x-amz-acl", b"\xff")]).is_ok(), "not stored, not looked at");
    }

    #[test]
    fn parts_go_up_without_checksums_and_with_quotes() {
        let part = |etag: &str| CompletedPart {
            part_number: 3,
            etag: etag.to_owned(),
            checksums: vec![(Algorithm::Crc32, "AAAAAA==".to_owned())],
        };
        for etag in ["abc", "\"abc\""] {
            let sent = plain(&CompleteMultipartUpload { parts: vec![part(etag)] });
            assert_eq!(
                sent.parts,
                [CompletedPart { part_number: 3, etag: "\"abc\"".to_owned(), checksums: Vec::new() }]
            );
        }
    }
}
