//! A probe's own bucket on a backend, and the few requests that its checks are made of.
use super::ProbeError;
use crate::{
    gateway::Gateway,
    operations::Made,
    upstream::{MAX_ERROR_DOCUMENT, UpstreamAnswer, UpstreamBackend, UpstreamError, UpstreamRequest},
};
use bytes::Bytes;
use http::{Method, StatusCode};
use s3gateway_filters::payload::ChunkedEncoder;
use s3gateway_s3::{
    ObjectKey, PhysicalBucket,
    checksum::Algorithm,
    etag::unquoted,
    xml::{
        self, CompleteMultipartUpload, CompleteMultipartUploadResult, CompletedPart, InitiateMultipartUploadResult,
        ListBucketResult, ListVersion, ListVersionsResult,
    },
};
use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

/// What every scratch bucket's name begins with; sixteen hexadecimal digits follow.
pub(super) const PREFIX: &str = "s3gw-probe-";

/// Pages of leftovers deleted before a scratch bucket is left as it is: far more than the checks make.
const MOST_PAGES: usize = 20;

/// A bucket that nobody else uses.
pub(super) struct Scratch<'g> {
    gateway: &'g Gateway,
    backend: Arc<UpstreamBackend>,
    bucket: PhysicalBucket,
    /// Whether it still stands.
    pub(super) stands: bool,
}

/// A backend's answer, or its refusal.
pub(super) type Answer = Result<UpstreamAnswer, UpstreamError>;

/// One request of a check, on a key of the scratch bucket or on the bucket itself.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) key: Option<&'a str>,
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
}

impl<'a> Ask<'a> {
    pub(super) fn of(method: Method, key: &'a str) -> Self {
        Self { method, key: Some(key), query: &[], headers: &[], body: &[] }
    }

    pub(super) fn of_bucket(method: Method, query: &'a [(&'a str, &'a str)]) -> Self {
        Self { method, key: None, query, headers: &[], body: &[] }
    }
}

impl<'g> Scratch<'g> {
    /// Makes the bucket.
    ///
    /// # Errors
    /// [`ProbeError::NoBucket`].
    pub(super) async fn make(gateway: &'g Gateway, backend: &Arc<UpstreamBackend>) -> Result<Self, ProbeError> {
        Self::make_with(gateway, backend, &[]).await
    }

    /// Makes the bucket with headers.
    ///
    /// # Errors
    /// [`ProbeError::NoBucket`].
    pub(super) async fn make_with(
        gateway: &'g Gateway,
        backend: &Arc<UpstreamBackend>,
        headers: &[(&str, &str)],
    ) -> Result<Self, ProbeError> {
        let name = format!("{PREFIX}{:016x}", rand::random::<u64>());
        let bucket = PhysicalBucket::parse(&name)
            .map_err(|_| ProbeError::NoBucket(UpstreamError::Malformed("a name for the bucket")))?;
        let request = UpstreamRequest::new(Method::PUT, &bucket, None);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name, *value));
        match gateway.make_as_asked(backend, request).await {
            Ok(Made::Ours) => Ok(Self { gateway, backend: backend.clone(), bucket, stands: true }),
            Ok(Made::Taken) => Err(ProbeError::NoBucket(UpstreamError::Malformed("its random name is taken"))),
            Err(error) => Err(ProbeError::NoBucket(error)),
        }
    }

    /// One that an earlier probe has left behind.
    pub(super) fn found(gateway: &'g Gateway, backend: &Arc<UpstreamBackend>, bucket: PhysicalBucket) -> Self {
        Self { gateway, backend: backend.clone(), bucket, stands: true }
    }

    pub(super) fn name(&self) -> &str {
        self.bucket.for_upstream()
    }

    pub(super) async fn ask(&self, ask: Ask<'_>) -> Answer {
        let key = ask.key.map(ObjectKey::parse).transpose();
        let key = key.map_err(|_| UpstreamError::Malformed("no key"))?;
        let mut request = UpstreamRequest::new(ask.method, &self.bucket, key.as_ref());
        for (name, value) in ask.query {
            request = request.query(name, value);
        }
        for (name, value) in ask.headers {
            request = request.header(name, *value);
        }
        let body = Bytes::copy_from_slice(ask.body);
        let send = |request| self.gateway.client.send(&self.backend, request, body.clone());
        match send(request.clone()).await {
            // A backend that refuses before it has read the body closes, and may do so under the next request.
            Err(UpstreamError::Broken(_)) => send(request).await,
            answer => answer,
        }
    }

    /// Puts an object whose checksum comes behind its bytes.
    pub(super) async fn put_trailing(&self, key: &str, body: &[u8], algorithm: Algorithm, value: &str) -> Answer {
        let key = ObjectKey::parse(key).map_err(|_| UpstreamError::Malformed("no key"))?;
        let length = body.len() as u64;
        let framed = ChunkedEncoder::new(length).finish(Bytes::copy_from_slice(body), algorithm, value);
        let request = UpstreamRequest::new(Method::PUT, &self.bucket, Some(&key));
        self.gateway.client.send(&self.backend, request.trailing_checksum(algorithm, length), framed).await
    }

    /// Puts a body under the signature of another one; status and document of the answer.
    pub(super) async fn put_another_than_signed(
        &self,
        key: &str,
        body: &[u8],
    ) -> Result<(StatusCode, Bytes), UpstreamError> {
        let key = ObjectKey::parse(key).map_err(|_| UpstreamError::Malformed("no key"))?;
        let request = UpstreamRequest::new(Method::PUT, &self.bucket, Some(&key)).content_length(body.len() as u64);
        let head = request.sign(&self.backend, Some(b"the signed one"), SystemTime::now());
        let head = head.map_err(|_| UpstreamError::Malformed("request cannot be signed"))?;
        let address = self.backend.admit(Instant::now()).ok_or(UpstreamError::OutOfService)?;
        let mut exchange = self.gateway.client.exchange(&self.backend, address).await?;
        exchange.ask(Box::new(head), body).await?;
        let status = exchange.head()?.status;
        let document = exchange.document(MAX_ERROR_DOCUMENT).await?;
        exchange.end().await;
        Ok((status, document))
    }

    /// Uploads an object of one part; its ETag.
    pub(super) async fn upload_whole(&self, key: &str) -> Result<String, UpstreamError> {
        let id = self.begin_upload(key).await?;
        let query = [("partNumber", "1"), ("uploadId", id.as_str())];
        let part = Ask { query: &query, body: b"the only part", ..Ask::of(Method::PUT, key) };
        let etag = self.ask(part).await?.header("etag").to_owned();
        let parts = vec![CompletedPart { part_number: 1, etag, checksums: Vec::new() }];
        let document = CompleteMultipartUpload { parts }.render();
        let whole = Ask { query: &[("uploadId", &id)], body: document.as_bytes(), ..Ask::of(Method::POST, key) };
        let answer = self.ask(whole).await?;
        match CompleteMultipartUploadResult::parse(&answer.body) {
            // Not every backend's answer to the completion has it.
            Ok(xml::Answer::Done(_)) => {
                Ok(unquoted(self.ask(Ask::of(Method::HEAD, key)).await?.header("etag")).to_owned())
            }
            _ => Err(UpstreamError::Malformed("no such document was asked for")),
        }
    }

    pub(super) async fn put(&self, key: &str, body: &[u8], headers: &[(&str, &str)]) -> Answer {
        self.ask(Ask { headers, body, ..Ask::of(Method::PUT, key) }).await
    }

    /// Whether the key holds these bytes.
    pub(super) async fn holds(&self, key: &str, body: &[u8]) -> Result<bool, UpstreamError> {
        match self.ask(Ask::of(Method::GET, key)).await {
            Ok(answer) => Ok(answer.body == body),
            Err(UpstreamError::Refused(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Begins a multipart upload; its id.
    pub(super) async fn begin_upload(&self, key: &str) -> Result<String, UpstreamError> {
        let answer = self.ask(Ask { query: &[("uploads", "")], ..Ask::of(Method::POST, key) }).await?;
        let begun = InitiateMultipartUploadResult::parse(&answer.body);
        Ok(begun.map_err(|_| UpstreamError::Malformed("no such document was asked for"))?.upload_id)
    }

    pub(super) async fn list(&self, query: &[(&str, &str)]) -> Result<ListBucketResult, UpstreamError> {
        let mut all = vec![("list-type", "2")];
        all.extend(query);
        let answer = self.ask(Ask::of_bucket(Method::GET, &all)).await?;
        ListBucketResult::parse(ListVersion::V2, &answer.body)
            .map_err(|_| UpstreamError::Malformed("no such document was asked for"))
    }

    /// Ends the bucket's use: it is dropped, or named in the log.
    pub(super) async fn leave(&self) {
        if let Err(error) = self.drop().await {
            let (backend, bucket) = (self.backend.id(), self.name());
            tracing::warn!(%backend, bucket, %error, "a probe's scratch bucket is left behind");
        }
    }

    /// Empties the bucket and drops it.
    async fn drop(&self) -> Result<(), UpstreamError> {
        for _ in 0..MOST_PAGES {
            if !self.stands {
                break;
            }
            let page = self.list(&[]).await?;
            for object in &page.contents {
                self.ask(Ask::of(Method::DELETE, &object.key)).await?;
            }
            if page.contents.is_empty() {
                let dropped = self.ask(Ask::of_bucket(Method::DELETE, &[])).await.map(|_| ());
                let keeps = dropped.as_ref().is_err_and(|error| error.refused_code() == Some("BucketNotEmpty"));
                if !keeps || !self.delete_versions().await? {
                    return dropped;
                }
            }
        }
        Ok(())
    }

    /// What a bucket that keeps versions still holds when it lists no object; whether there was anything.
    async fn delete_versions(&self) -> Result<bool, UpstreamError> {
        let answer = self.ask(Ask::of_bucket(Method::GET, &[("versions", "")])).await?;
        let page = ListVersionsResult::parse(&answer.body)
            .map_err(|_| UpstreamError::Malformed("no such document was asked for"))?;
        for entry in &page.entries {
            let query = [("versionId", entry.version_id.as_str())];
            self.ask(Ask { query: &query, ..Ask::of(Method::DELETE, &entry.object.key) }).await?;
        }
        Ok(!page.entries.is_empty())
    }
}
