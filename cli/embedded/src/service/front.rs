//! The outer of two layers of s3s: it has verified the signature; here requests are cleaned for the inner one, which
//! parses them, and is stricter than S3 about some headers. What a broken body means is told here as well.
use super::{
    answers::escaped,
    request::{Original, check_length, refuse_protection},
    signing,
};
use crate::{
    checksums::Hashes,
    declared::Declared,
    error::{Internal, refusal},
};
use bytes::Bytes;
use futures::Stream;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use parking_lot::Mutex;
use s3s::{
    Body, S3Error, S3Request, S3Response, S3Result, StdError, TrailingHeaders,
    route::S3Route,
    s3_error,
    service::S3Service,
    stream::{ByteStream, DynByteStream, RemainingLength},
};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Read from the original where they are needed: s3s refuses forms of them that S3 ignores or takes.
const OURS: [&str; 16] = [
    "authorization",
    "content-type",
    "expires",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-unmodified-since",
    "range",
    "x-amz-content-sha256",
    "x-amz-copy-source-if-match",
    "x-amz-copy-source-if-modified-since",
    "x-amz-copy-source-if-none-match",
    "x-amz-copy-source-if-unmodified-since",
    "x-amz-date",
    "x-amz-decoded-content-length",
    "x-amz-trailer",
];

/// Elements for the end of a document, in a form or an order that s3s does not write.
#[derive(Clone, Default)]
pub(super) struct Elements(pub(super) String);

pub(super) struct Front {
    inner: S3Service,
}

impl Front {
    pub(super) fn new(inner: S3Service) -> Self {
        Self { inner }
    }
}

#[async_trait::async_trait]
impl S3Route for Front {
    fn is_match(&self, _: &Method, _: &Uri, _: &HeaderMap, _: &mut http::Extensions) -> bool {
        true
    }

    async fn call(&self, req: S3Request<Body>) -> S3Result<S3Response<Body>> {
        let (seen, resource) = (req.method.clone(), req.uri.path().to_owned());
        let mut answered = match self.pass(req).await {
            Ok(answered) => answered,
            Err(error) => error.to_http_response()?,
        };
        let id = uuid::Uuid::new_v4().simple().to_string();
        if !answered.status().is_success() {
            let resource = escaped(&resource);
            let place = format!("<Resource>{resource}</Resource><RequestId>{id}</RequestId><HostId>{id}</HostId>");
            answered.extensions_mut().insert(Elements(place));
        }
        for name in ["x-amz-request-id", "x-amz-id-2"] {
            answered.headers_mut().insert(name, HeaderValue::from_str(&id).internal()?);
        }
        answered.headers_mut().insert(header::SERVER, HeaderValue::from_static("s3gateway-embedded"));
        Ok(finished(&seen, answered))
    }
}

impl Front {
    /// Hands a cleaned request on, and tells why its body broke where it did.
    async fn pass(&self, req: S3Request<Body>) -> S3Result<http::Response<Body>> {
        signing::check(&req.uri, &req.headers)?;
        refuse_protection(&req.headers)?;
        let (original, query) = Original::of(&req)?;
        let proof = proof_of_document(&req, &query)?;
        let broken = Arc::new(Mutex::new(None));
        let body: DynByteStream = Box::pin(Watched { body: req.input, proof, broken: broken.clone() });
        let mut inner = http::Request::new(Body::from(body));
        *inner.uri_mut() = Uri::builder().path_and_query(path_and_query(&req.uri, &query)).build().internal()?;
        *inner.headers_mut() = cleaned(&req.headers)?;
        *inner.method_mut() = req.method;
        inner.extensions_mut().insert(Arc::new(original));
        let answered = self
            .inner
            .call(inner)
            .await
            .map_err(|error| S3Error::with_source(s3s::S3ErrorCode::InternalError, StdError::from(error)))?;
        let broken = broken.lock().take();
        match broken.filter(|_| answered.status().is_client_error() || answered.status().is_server_error()) {
            Some(error) => Err(error),
            None => Ok(answered),
        }
    }
}

fn path_and_query(uri: &Uri, query: &str) -> String {
    if query.is_empty() { uri.path().to_owned() } else { format!("{}?{query}", uri.path()) }
}

/// Without [`OURS`], and with user metadata of one name as one header.
fn cleaned(headers: &HeaderMap) -> S3Result<HeaderMap> {
    let mut clean = HeaderMap::with_capacity(headers.len());
    for name in headers.keys().filter(|name| !OURS.contains(&name.as_str())) {
        let mut values = headers.get_all(name).iter();
        if name.as_str().starts_with("x-amz-meta-") {
            let joined = values.map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b',');
            clean.insert(name.clone(), HeaderValue::from_bytes(&joined).internal()?);
        } else if let Some(first) = values.next() {
            clean.insert(name.clone(), first.clone());
            for value in values {
                clean.append(name.clone(), value.clone());
            }
        }
    }
    Ok(clean)
}

fn finished(method: &Method, answered: http::Response<Body>) -> S3Response<Body> {
    let (mut parts, mut body) = answered.into_parts();
    if method == Method::HEAD && parts.status == StatusCode::OK && parts.headers.contains_key(header::CONTENT_RANGE) {
        parts.status = StatusCode::PARTIAL_CONTENT;
    }
    if parts.status == StatusCode::NOT_MODIFIED {
        parts.headers.remove(header::CONTENT_TYPE);
        body = Body::empty();
    }
    let is_document = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/xml");
    if let Some(document) = body.bytes().filter(|document| is_document && !document.is_empty()) {
        let Elements(elements) = parts.extensions.remove().unwrap_or_default();
        body = Body::from(document_of(&String::from_utf8_lossy(&document), &elements));
    }
    let mut answer = S3Response::new(body);
    answer.status = Some(parts.status);
    answer.headers = parts.headers;
    answer
}

/// A document of s3s with elements before its end tag, and with references for control characters: a carriage return
/// that stands for itself would be read as a line feed (XML 1.0, 2.11).
fn document_of(document: &str, elements: &str) -> String {
    let at = document.rfind("</").unwrap_or(document.len());
    let (before, end) = document.split_at_checked(at).unwrap_or((document, ""));
    let mut text = String::with_capacity(document.len() + elements.len());
    for c in before.chars() {
        match c {
            c if c.is_control() => text.push_str(&format!("&#x{:X};", u32::from(c))),
            c => text.push(c),
        }
    }
    text + elements + end
}

/// What a request with a document must prove to be; PutObject and UploadPart compare their bodies themselves.
struct Proof {
    declared: Declared,
    hashes: Hashes,
    trailers: Option<TrailingHeaders>,
}

/// # Errors
/// `InvalidRequest` for a DeleteObjects that nothing can be compared with (API reference, DeleteObjects, Content-MD5).
fn proof_of_document(req: &S3Request<Body>, query: &str) -> S3Result<Option<Proof>> {
    let names: Vec<&str> = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default()).collect();
    let has = |name: &str| names.contains(&name);
    let of_object = req.uri.path().trim_start_matches('/').split_once('/').is_some_and(|(_, key)| !key.is_empty());
    if req.method == Method::PUT && of_object && !has("tagging") {
        if !req.headers.contains_key("x-amz-copy-source") {
            check_length(&req.headers)?;
        }
        return Ok(None);
    }
    // The checksum headers of CompleteMultipartUpload are about the object.
    let declared = if has("uploadId") { Declared::md5_of(&req.headers)? } else { Declared::of(&req.headers)? };
    if req.method == Method::POST && has("delete") && !declared.is_some() {
        let message = "Missing required header for this request: Content-MD5 OR x-amz-checksum-*";
        return Err(s3_error!(InvalidRequest, "{message}"));
    }
    let hashes = Hashes::new(declared.algorithm);
    Ok(Some(Proof { declared, hashes, trailers: req.trailing_headers.clone() }))
}

/// A body that remembers how it broke, because handlers only see that it did.
struct Watched {
    body: Body,
    proof: Option<Proof>,
    broken: Arc<Mutex<Option<S3Error>>>,
}

impl Stream for Watched {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = Pin::new(&mut self.body).poll_next(context);
        match &polled {
            Poll::Ready(Some(Err(error))) => *self.broken.lock() = Some(meaning(&error.to_string())),
            Poll::Ready(Some(Ok(bytes))) => {
                if let Some(proof) = &mut self.proof {
                    proof.hashes.update(bytes);
                }
            }
            Poll::Ready(None) => {
                if let Some(Proof { declared, hashes, trailers }) = self.proof.take()
                    && let Err(error) = declared.check(&hashes.finalize(), trailers.and_then(|t| t.take()).as_ref())
                {
                    *self.broken.lock() = Some(error);
                    return Poll::Ready(Some(Err("the document is not what was declared".into())));
                }
            }
            Poll::Pending => {}
        }
        polled
    }
}

impl ByteStream for Watched {
    fn remaining_length(&self) -> RemainingLength {
        self.body.remaining_length()
    }
}

/// s3s keeps the types of these errors to itself, so their names have to do.
fn meaning(error: &str) -> S3Error {
    if error.contains("Sha256Mismatch") {
        let message = "The provided 'x-amz-content-sha256' header does not match what was computed.";
        refusal("XAmzContentSHA256Mismatch", message)
    } else if error.contains("SignatureMismatch") {
        s3_error!(
            SignatureDoesNotMatch,
            "The request signature we calculated does not match the signature you provided."
        )
    } else if error.contains("FormatError") || error.contains("TooLarge") || error.contains("TooMany") {
        s3_error!(InvalidRequest, "The chunks of the body are malformed.")
    } else {
        s3_error!(
            IncompleteBody,
            "You did not provide the number of bytes specified by the Content-Length HTTP header."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_take_elements_and_keep_control_characters() {
        for (document, elements, want) in [
            ("<A><B>b</B></A>", "<C/>", "<A><B>b</B><C/></A>"),
            ("<A></A>", "", "<A></A>"),
            ("<A>a\r\nb\u{1}\t</A>", "", "<A>a&#xD;&#xA;b&#x1;&#x9;</A>"),
        ] {
            assert_eq!(document_of(document, elements), want);
        }
    }

    #[test]
    fn a_broken_body_means_what_s3_says_of_it() {
        for (error, want) in [
            ("UploadStreamError: Sha256Mismatch", "XAmzContentSHA256Mismatch"),
            ("AwsChunkedStreamError: SignatureMismatch", "SignatureDoesNotMatch"),
            ("AwsChunkedStreamError: FormatError", "InvalidRequest"),
            ("AwsChunkedStreamError: TrailersTooLarge: size 2 exceeds limit 1", "InvalidRequest"),
            ("AwsChunkedStreamError: Incomplete", "IncompleteBody"),
            ("connection reset", "IncompleteBody"),
        ] {
            assert_eq!(meaning(error).code().as_str(), want, "{error}");
        }
    }
}
