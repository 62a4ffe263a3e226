//! A whole answer that the gateway makes itself, and the headers that every answer carries.
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use pingora_core::{ErrorType, OrErr, protocols::http::date::get_cached_date};
use pingora_http::ResponseHeader;
use rand::Rng;
use s3gateway_s3::S3Error;
use std::fmt;

/// Names one request in the client's answer, the logs and the job it caused: 16 upper-case hex digits, as S3's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(u64);

impl RequestId {
    /// A new random id.
    pub fn random() -> Self {
        Self(rand::rng().random())
    }

    fn header_value(self) -> HeaderValue {
        let mut digits = [0; 16];
        // Neither can fail: eight bytes are sixteen digits, and digits are a header's value.
        let _ = hex::encode_to_slice(self.0.to_be_bytes(), &mut digits);
        digits.make_ascii_uppercase();
        HeaderValue::from_bytes(&digits).unwrap_or_else(|_| HeaderValue::from_static(""))
    }
}
impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

/// Status, headers and body of an answer made here.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// Besides those that every answer carries.
    pub headers: Vec<(HeaderName, String)>,
    /// Whole; small by construction.
    pub body: Bytes,
}

impl Answer {
    /// A status and nothing else.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }
    /// 200 with an XML document.
    pub fn xml(document: String) -> Self {
        Self {
            status: StatusCode::OK,
            headers: vec![(header::CONTENT_TYPE, "application/xml".into())],
            body: Bytes::from(document),
        }
    }
    /// Adds a header.
    pub fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
    /// Adds a header, if there is a value.
    pub fn with_some(self, name: HeaderName, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.with(name, value.to_string()),
            None => self,
        }
    }
    /// S3's error document; without body for HEAD and 304. The region to sign for stands in a header as well, where a
    /// client finds it that has sent a HEAD.
    pub fn error(error: &S3Error, resource: &str, request_id: RequestId, without_body: bool) -> Self {
        let status = StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let answer = match without_body || status == StatusCode::NOT_MODIFIED {
            true => Self::empty(status),
            false => Self { status, ..Self::xml(error.render_xml(resource, &request_id.to_string())) },
        };
        let region = error.extra.iter().find(|(element, _)| *element == "Region");
        answer.with_some(BUCKET_REGION, region.map(|(_, region)| region))
    }
    /// The head as it goes down, with its framing. `is_head`: the request was HEAD, whose length is not the body's.
    pub fn render_head(&self, request_id: RequestId, is_head: bool) -> pingora_core::Result<ResponseHeader> {
        let mut headers = HeaderMap::with_capacity(self.headers.len() + 5);
        put_common(&mut headers, request_id);
        for (name, value) in &self.headers {
            let value = HeaderValue::from_str(value).or_err(ErrorType::InvalidHTTPHeader, "header of an answer")?;
            headers.append(name, value);
        }
        let bodiless = matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        // The length of an error to HEAD is that of a document that is not made.
        let unsized_head = is_head && self.status.is_client_error();
        if !bodiless && !unsized_head && !headers.contains_key(header::CONTENT_LENGTH) {
            headers.insert(header::CONTENT_LENGTH, self.body.len().into());
        }
        Ok(response_head(self.status, headers).into())
    }
}

/// Status and headers as one. Put into Pingora's own type one by one, each header would be rendered and looked up twice.
pub fn response_head(status: StatusCode, headers: HeaderMap) -> http::response::Parts {
    let (mut head, ()) = http::Response::new(()).into_parts();
    (head.status, head.headers) = (status, headers);
    head
}

/// The region that clients are to sign for (Amazon S3 API Reference, HeadBucket).
pub const BUCKET_REGION: HeaderName = HeaderName::from_static("x-amz-bucket-region");
/// On an answer that may be older than what was acknowledged.
pub const STALE: HeaderName = HeaderName::from_static("x-s3gw-stale");
const AMZ_ID_2: HeaderName = HeaderName::from_static("x-amz-id-2");
const AMZ_REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");

/// `x-amz-request-id`, `x-amz-id-2`, `Date` and `Server`, as on every answer of S3.
pub fn put_common(headers: &mut HeaderMap, request_id: RequestId) {
    let id = request_id.header_value();
    headers.insert(AMZ_ID_2, id.clone());
    headers.insert(AMZ_REQUEST_ID, id);
    headers.insert(header::DATE, get_cached_date());
    headers.insert(header::SERVER, HeaderValue::from_static("S3Gateway"));
}
