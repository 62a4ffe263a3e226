//! A whole answer that the gateway makes itself, and the headers that every answer carries.
use bytes::Bytes;
use http::{HeaderName, StatusCode};
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
            headers: vec![(http::header::CONTENT_TYPE, "application/xml".into())],
            body: Bytes::from(document),
        }
    }
    /// Adds a header.
    pub fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
    /// S3's error document; without body for HEAD and 304.
    pub fn error(error: &S3Error, resource: &str, request_id: RequestId, without_body: bool) -> Self {
        let status = StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if without_body || status == StatusCode::NOT_MODIFIED {
            return Self::empty(status);
        }
        let mut answer = Self::xml(error.render_xml(resource, &request_id.to_string()));
        answer.status = status;
        answer
    }
    /// The head as it goes down, with its framing. `is_head`: the request was HEAD, whose length is not the body's.
    pub fn render_head(&self, request_id: RequestId, is_head: bool) -> pingora_core::Result<ResponseHeader> {
        let mut head = ResponseHeader::build(self.status, Some(self.headers.len() + 5))?;
        put_common(&mut head, request_id)?;
        for (name, value) in &self.headers {
            head.append_header(name.clone(), value)?;
        }
        let bodiless = matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        // The length of an error to HEAD is that of a document that is not made.
        let unsized_head = is_head && self.status.is_client_error();
        if !bodiless && !unsized_head && !head.headers.contains_key(http::header::CONTENT_LENGTH) {
            head.insert_header(http::header::CONTENT_LENGTH, self.body.len().to_string())?;
        }
        Ok(head)
    }
}

/// `x-amz-request-id`, `x-amz-id-2`, `Date` and `Server`, as on every answer of S3.
pub fn put_common(head: &mut ResponseHeader, request_id: RequestId) -> pingora_core::Result<()> {
    let id = request_id.to_string();
    head.insert_header("x-amz-id-2", &id)?;
    head.insert_header("x-amz-request-id", id)?;
    head.insert_header(http::header::DATE, pingora_core::protocols::http::date::get_cached_date())?;
    head.insert_header(http::header::SERVER, "S3Gateway")?;
    Ok(())
}
