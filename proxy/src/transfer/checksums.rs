//! Which checksum the head of an object shows.
//! Source: Amazon S3 API Reference, GetObject and HeadObject (`x-amz-checksum-mode`, `x-amz-checksum-type`); Amazon S3 User
//! Guide, "Checking object integrity in Amazon S3".
use super::ObjectRead;
use crate::{gateway::Gateway, refusal::Refusal};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, response::Parts};
use pingora_http::ResponseHeader;
use s3gateway_s3::{
    S3Code, S3Request,
    checksum::{Algorithm, Checksum, ChecksumType},
    etag::{multipart_parts, unquoted},
};

/// What the names of all headers begin with that tell of checksums.
pub(super) const PREFIX: &str = "x-amz-checksum-";
const MODE: &str = "x-amz-checksum-mode";
const TYPE: HeaderName = HeaderName::from_static("x-amz-checksum-type");

/// Whether the client wants checksums. Presigners move the mode into the query, where it means the same.
pub(super) fn are_asked_for(request: &S3Request) -> bool {
    request.header(MODE).is_some_and(|mode| mode.trim().eq_ignore_ascii_case("ENABLED"))
}

/// The length of the whole object, where the answer holds all of it: what an object's checksum is of.
pub(super) fn whole_length(upstream: &ResponseHeader) -> Option<u64> {
    let text = |name: HeaderName| upstream.headers.get(name).and_then(|value| value.to_str().ok());
    match upstream.status {
        StatusCode::OK => text(header::CONTENT_LENGTH)?.parse().ok(),
        StatusCode::PARTIAL_CONTENT => {
            let (range, total) = text(header::CONTENT_RANGE)?.strip_prefix("bytes 0-")?.split_once('/')?;
            let (last, total) = (range.parse::<u64>().ok()?, total.parse::<u64>().ok()?);
            (last.checked_add(1) == Some(total)).then_some(total)
        }
        _ => None,
    }
}

/// Whether the answer shows checksums: asked for, and of all that it holds.
pub(super) fn are_shown(request: &S3Request, upstream: &ResponseHeader) -> bool {
    are_asked_for(request) && (upstream.status == StatusCode::OK || whole_length(upstream).is_some())
}

/// Adds the type to a checksum that a backend has shown without it.
pub(super) fn put_type(sent: &mut HeaderMap) {
    if sent.contains_key(TYPE) {
        return;
    }
    if let Some((_, value)) = shown(sent) {
        let kind = ChecksumType::of_value(value);
        sent.insert(TYPE, HeaderValue::from_static(kind.name()));
    }
}

fn shown(sent: &HeaderMap) -> Option<(Algorithm, &str)> {
    Algorithm::ALL.into_iter().find_map(|algorithm| Some((algorithm, sent.get(algorithm.header())?.to_str().ok()?)))
}

fn put(sent: &mut HeaderMap, checksum: &Checksum) -> Result<(), Refusal> {
    let value = HeaderValue::from_str(&checksum.value).map_err(|_| S3Code::InternalError.error())?;
    sent.insert(HeaderName::from_static(checksum.algorithm.header()), value);
    sent.insert(TYPE, HeaderValue::from_static(checksum.kind.name()));
    Ok(())
}

/// Puts a checksum, or none, in the place of whatever is shown.
pub(super) fn replace(sent: &mut HeaderMap, checksum: Option<&Checksum>) -> Result<(), Refusal> {
    for algorithm in Algorithm::ALL {
        sent.remove(algorithm.header());
    }
    sent.remove(TYPE);
    checksum.map_or(Ok(()), |checksum| put(sent, checksum))
}

impl ObjectRead {
    /// Puts in the checksum that the gateway keeps, where one is to be shown: of a multipart object in the place of the
    /// backend's own, which has never heard of what the client asked for, else where the backend has none. A read that does
    /// not ask for checksums never asks the metadata.
    pub(super) async fn with_kept_checksum(
        &self,
        gateway: &Gateway,
        upstream: &ResponseHeader,
        mut head: Parts,
    ) -> Result<Parts, Refusal> {
        if self.part.is_some() || !are_shown(&self.admitted.request, upstream) {
            return Ok(head);
        }
        let etag = head.headers.get(header::ETAG).and_then(|etag| etag.to_str().ok()).map(unquoted).unwrap_or_default();
        let routed = self.admitted.routed()?;
        // What a home keeps itself is not kept here, the checksums of multipart uploads excepted.
        let is_the_homes = shown(&head.headers).is_some_and(|(algorithm, _)| algorithm != Algorithm::DEFAULT);
        if is_the_homes && multipart_parts(etag).is_none() {
            return Ok(head);
        }
        if let Some(length) = whole_length(upstream) {
            let kept = gateway.kept_checksum(&routed.route, self.admitted.key()?, etag, length).await;
            if let Some(checksum) = kept {
                replace(&mut head.headers, Some(&checksum))?;
            }
        }
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;

    fn request(target: &str, mode: Option<&'static str>) -> S3Request {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("localhost"));
        if let Some(mode) = mode {
            headers.insert(MODE, HeaderValue::from_static(mode));
        }
        S3Request::parse(&Method::GET, target, headers.clone(), &[]).expect("a request")
    }

    fn answer(status: u16, length: &str, range: &str) -> ResponseHeader {
        let mut head = ResponseHeader::build(status, None).expect("a head");
        head.insert_header(header::CONTENT_LENGTH, length).expect("a header");
        if !range.is_empty() {
            head.insert_header(header::CONTENT_RANGE, range).expect("a header");
        }
        head
    }

    #[test]
    fn checksums_are_shown_in_checksum_mode_and_of_whole_objects() {
        let enabled = || request("/bucket/k", Some("ENABLED"));
        for (request, answer, want) in [
            (enabled(), answer(200, "10", ""), true),
            (request("/bucket/k?X-Amz-Signature=1&X-Amz-Checksum-Mode=ENABLED", None), answer(200, "10", ""), true),
            (request("/bucket/k", None), answer(200, "10", ""), false),
            (request("/bucket/k", Some("off")), answer(200, "10", ""), false),
            (enabled(), answer(206, "5", "bytes 0-4/10"), false),
            (enabled(), answer(206, "5", "bytes 5-9/10"), false),
            (enabled(), answer(206, "10", "bytes 0-9/10"), true),
            (enabled(), answer(206, "10", "bytes 0-9/*"), false),
            (enabled(), answer(304, "10", ""), false),
        ] {
            assert_eq!(are_shown(&request, &answer), want, "{answer:?}");
        }
    }

    #[test]
    fn a_value_tells_its_type() {
        for (value, want) in [("AAAAAA==", "FULL_OBJECT"), ("AAAAAA==-2", "COMPOSITE")] {
            let mut sent = HeaderMap::new();
            put_type(&mut sent);
            assert!(sent.is_empty(), "no type without a checksum");
            sent.insert("x-amz-checksum-crc32", HeaderValue::from_static(value));
            put_type(&mut sent);
            assert_eq!(sent.get(TYPE).and_then(|kind| kind.to_str().ok()), Some(want));
        }
    }
}
