//! Builds one upstream request from nothing and signs it: no header or parameter of the client's gets here by itself.
use super::{UpstreamBackend, signer::Signable};
use crate::version::NamedVersion;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header, uri::PathAndQuery};
use pingora_http::RequestHeader;
use s3gateway_filters::{payload::encoded_length, sigv4::hex64};
use s3gateway_s3::{ObjectKey, PhysicalBucket, VersionId, checksum::Algorithm, uri};
use sha2::{Digest, Sha256};
use std::time::SystemTime;

/// A request to a backend before it is signed; the framing is the gateway's own.
#[derive(Debug, Clone)]
pub struct UpstreamRequest {
    method: Method,
    path: String,
    /// Encoded names and values.
    query: Vec<(String, String)>,
    headers: Vec<(HeaderName, HeaderValue)>,
    content_length: Option<u64>,
    /// The body is `aws-chunked` with a trailing checksum.
    trailing: bool,
    /// A header was added that HTTP cannot carry.
    unsendable: bool,
}

const CONTENT_SHA256: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const UNSIGNED: HeaderValue = HeaderValue::from_static("UNSIGNED-PAYLOAD");
const UNSIGNED_TRAILER: HeaderValue = HeaderValue::from_static("STREAMING-UNSIGNED-PAYLOAD-TRAILER");
const EMPTY: HeaderValue = HeaderValue::from_static("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

impl UpstreamRequest {
    /// A request on a bucket or, with `key`, on an object; path-style.
    pub fn new(method: Method, bucket: &PhysicalBucket, key: Option<&ObjectKey>) -> Self {
        Self::at(method, path_of(bucket, key))
    }

    /// A request on all that the credentials show.
    pub fn of_service(method: Method) -> Self {
        Self::at(method, "/".to_owned())
    }

    fn at(method: Method, path: String) -> Self {
        let headers = Vec::with_capacity(8);
        Self { method, path, query: Vec::new(), headers, content_length: None, trailing: false, unsendable: false }
    }

    /// Adds a query parameter, encoded here.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((uri::encode(name.as_bytes()), uri::encode(value.as_bytes())));
        self
    }

    /// Names the version at the home that it is about; `None`: the current one.
    pub(crate) fn version(self, version: Option<&NamedVersion>) -> Self {
        self.version_id(version.map(NamedVersion::own))
    }

    /// As [`UpstreamRequest::version`], by what the backend itself calls it.
    pub(crate) fn version_id(self, version: Option<&VersionId>) -> Self {
        match version {
            Some(version) => self.query("versionId", version.as_str()),
            None => self,
        }
    }

    /// Adds a header; framing and authentication headers are set by signing, not here.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        match (HeaderName::try_from(name), HeaderValue::try_from(value.into())) {
            (Ok(name), Ok(value)) => self.headers.push((name, value)),
            _ => self.unsendable = true,
        }
        self
    }

    /// Adds a header as [`UpstreamRequest::header`] does, one that HTTP has carried already.
    pub fn header_as_sent(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The body's exact length; a request without a body has none unless its method wants `0`.
    pub fn content_length(mut self, length: u64) -> Self {
        self.content_length = Some(length);
        self
    }

    /// The body is `decoded_length` bytes of data in `aws-chunked`, with a checksum behind them.
    pub fn trailing_checksum(mut self, algorithm: Algorithm, decoded_length: u64) -> Self {
        // The MD5 of the data, which has been compared, is not that of what goes over the wire.
        self.headers.retain(|(name, _)| name != "content-md5");
        let coding = self.headers.iter().position(|(name, _)| *name == header::CONTENT_ENCODING);
        let coding = coding.map(|at| self.headers.remove(at).1);
        let coding = match coding.as_ref().and_then(|own| own.to_str().ok()) {
            Some(own) => format!("aws-chunked,{own}"),
            None => "aws-chunked".to_owned(),
        };
        self.trailing = true;
        self.header("content-encoding", coding)
            .header("x-amz-decoded-content-length", decoded_length.to_string())
            .header("x-amz-sdk-checksum-algorithm", algorithm.name())
            .header("x-amz-trailer", algorithm.header())
            .content_length(encoded_length(decoded_length, algorithm))
    }

    /// The HTTP method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Whether sending it twice does no harm: a conditional write that was carried out fails its own repetition.
    pub fn is_repeatable(&self) -> bool {
        let conditional =
            || self.headers.iter().any(|(name, _)| matches!(*name, header::IF_MATCH | header::IF_NONE_MATCH));
        self.method.is_safe() || (self.method.is_idempotent() && !conditional())
    }

    /// Signs for `backend`. `body`: the bytes where they are at hand; `None` signs `UNSIGNED-PAYLOAD`, whose integrity the
    /// gateway has checked itself, and so does any body with a trailing checksum.
    ///
    /// # Errors
    /// A text for the log where a value cannot be carried by HTTP.
    pub fn sign(
        mut self,
        backend: &UpstreamBackend,
        body: Option<&[u8]>,
        now: SystemTime,
    ) -> Result<RequestHeader, String> {
        if self.unsendable {
            return Err("a header that HTTP cannot carry".to_owned());
        }
        let moment = backend.signer().moment(now).ok_or("a time that cannot be written")?;
        let payload = match body {
            _ if self.trailing => UNSIGNED_TRAILER,
            None => UNSIGNED,
            Some([]) => EMPTY,
            Some(bytes) => value(&hex64(&Sha256::digest(bytes).into()))?,
        };
        self.headers.push((header::HOST, backend.host().clone()));
        self.headers.push((CONTENT_SHA256, payload.clone()));
        self.headers.push((DATE, moment.stamp().clone()));
        // Stable: the values of one name keep their order.
        self.headers.sort_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
        let query = self.render_query();
        let signable = Signable {
            method: self.method.as_str(),
            path: &self.path,
            query: &query,
            headers: &self.headers,
            payload: payload.as_bytes(),
        };
        let authorization =
            backend.signer().authorize(&signable, &moment).ok_or("an access key that HTTP cannot carry")?;

        if !query.is_empty() {
            self.path.push('?');
            self.path.push_str(&query);
        }
        let (mut head, ()) = http::Request::new(()).into_parts();
        head.method = self.method;
        head.uri = PathAndQuery::from_maybe_shared(Bytes::from(self.path)).map_err(|e| e.to_string())?.into();
        head.headers = HeaderMap::with_capacity(self.headers.len() + 2);
        // First, as RFC 9110 7.2 recommends.
        head.headers.insert(header::HOST, backend.host().clone());
        for (name, value) in self.headers.into_iter().filter(|(name, _)| *name != header::HOST) {
            head.headers.append(name, value);
        }
        head.headers.insert(header::AUTHORIZATION, authorization);
        if let Some(length) = self.content_length {
            head.headers.insert(header::CONTENT_LENGTH, length.into());
        }
        Ok(head.into())
    }

    /// The query as it is signed and sent: parameters by encoded name, then encoded value.
    pub(crate) fn render_query(&mut self) -> String {
        self.query.sort_unstable();
        let mut text = String::new();
        for (name, value) in &self.query {
            if !text.is_empty() {
                text.push('&');
            }
            text.push_str(name);
            text.push('=');
            text.push_str(value);
        }
        text
    }
}

fn path_of(bucket: &PhysicalBucket, key: Option<&ObjectKey>) -> String {
    let mut path = String::with_capacity(bucket.for_upstream().len() + key.map_or(0, |k| k.as_str().len()) + 2);
    path.push('/');
    path.push_str(bucket.for_upstream());
    if let Some(key) = key {
        path.push('/');
        uri::push_encoded_path(&mut path, key.as_str());
    }
    path
}

fn value(bytes: &[u8]) -> Result<HeaderValue, String> {
    HeaderValue::from_bytes(bytes).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailing_checksum_is_announced_and_framed() {
        let physical = PhysicalBucket::parse("s3gw-0").expect("a name");
        for (own, want) in [(None, "aws-chunked"), (Some("gzip"), "aws-chunked,gzip")] {
            let mut request = UpstreamRequest::new(Method::PUT, &physical, None).header("content-md5", "x");
            if let Some(own) = own {
                request = request.header("content-encoding", own);
            }
            let request = request.trailing_checksum(Algorithm::Crc32, 12);
            let value = |name: &str| {
                let mut found =
                    request.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.to_str().expect("text"));
                (found.next(), found.next())
            };
            assert_eq!(value("content-encoding"), (Some(want), None));
            assert_eq!(value("x-amz-decoded-content-length"), (Some("12"), None));
            assert_eq!(value("x-amz-trailer"), (Some("x-amz-checksum-crc32"), None));
            assert_eq!(value("content-md5"), (None, None));
            // "c\r\n" + 12 + "\r\n" + "0\r\n" + "x-amz-checksum-crc32:" + 8 + "\r\n\r\n"
            assert_eq!(request.content_length, Some(3 + 12 + 2 + 3 + 21 + 8 + 4));
        }
    }
}
