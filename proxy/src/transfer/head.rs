//! Heads of streamed requests and answers: what of the client's goes up, what of the backend's comes down.
use super::{checksums, failover::ServedCopy};
use crate::{
    answer::response_head,
    refusal::Refusal,
    upstream::{UpstreamError, UpstreamRequest},
    version::VERSION_ID,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, response::Parts};
use pingora_http::ResponseHeader;
use s3gateway_filters::{conditions, headers};
use s3gateway_s3::{S3Code, S3Request, VersionId};

/// Query parameters by which a signed GET sets headers of its answer (Amazon S3 API Reference, GetObject).
const OVERRIDES: [(&str, HeaderName); 6] = [
    ("response-cache-control", header::CACHE_CONTROL),
    ("response-content-disposition", header::CONTENT_DISPOSITION),
    ("response-content-encoding", header::CONTENT_ENCODING),
    ("response-content-language", header::CONTENT_LANGUAGE),
    ("response-content-type", header::CONTENT_TYPE),
    ("response-expires", header::EXPIRES),
];

/// A single range that can be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range(String);

/// The request's range, `None` where the whole object is meant: no header, several ranges, or one that is malformed
/// (RFC 9110 14.2; S3 serves the whole object then).
///
/// # Errors
/// `InvalidRange` for a start beyond any object.
pub(super) fn range(request: &S3Request) -> Result<Option<Range>, Refusal> {
    let Some(value) = request.headers.get(header::RANGE) else { return Ok(None) };
    let Ok(value) = std::str::from_utf8(value.as_bytes()) else { return Ok(None) };
    // Its condition is not evaluated, so the whole object is served, which RFC 9110 13.1.5 always allows.
    if request.headers.contains_key(header::IF_RANGE) {
        return Ok(None);
    }
    let Some((first, last)) = value.strip_prefix("bytes=").and_then(|r| r.split_once('-')) else { return Ok(None) };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !digits(first) || !digits(last) || (first.is_empty() && last.is_empty()) {
        return Ok(None);
    }
    match (first.parse::<u64>(), last.parse::<u64>()) {
        (Err(_), _) if !first.is_empty() => Err(S3Code::InvalidRange.into()),
        (Err(_), Ok(0)) => Err(S3Code::InvalidRange.into()),
        (Ok(first), Ok(last)) if last < first => Ok(None),
        // An end beyond every object is the object's end.
        (Ok(first), Err(_)) => Ok(Some(Range(format!("bytes={first}-")))),
        (Err(_), Err(_)) => Ok(None),
        _ => Ok(Some(Range(value.to_owned()))),
    }
}

impl Range {
    /// From `first` to `last`, both included.
    pub(super) fn closed(first: u64, last: u64) -> Self {
        Self(format!("bytes={first}-{last}"))
    }

    /// As the header has it.
    pub(super) fn render(self) -> String {
        self.0
    }

    /// Whether an answer's Content-Range (RFC 9110 14.4) and length are those of this range: a client takes for it whatever comes.
    pub(super) fn is_answered_by(&self, upstream: &ResponseHeader) -> bool {
        let found = text(upstream, header::CONTENT_RANGE).and_then(content_range);
        let asked = self.0.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
        let (Some((first, last, end)), Some((from, to))) = (found, asked) else { return false };
        let wanted = match (from.parse::<u64>(), to.parse::<u64>()) {
            (Ok(from), to) => (from, to.map_or(end, |to| to.min(end))),
            (Err(_), Ok(suffix)) => ((end + 1).saturating_sub(suffix), end),
            (Err(_), Err(_)) => return false,
        };
        let length = text(upstream, header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        (first, last) == wanted && first <= last && length.is_none_or(|length| length == last - first + 1)
    }
}

/// First and last byte of a Content-Range, and the last byte of the whole.
fn content_range(value: &str) -> Option<(u64, u64, u64)> {
    let (range, total) = value.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?, total.parse::<u64>().ok()?.checked_sub(1)?))
}

/// Refuses parameters of GET and HEAD that would be served wrongly.
pub(super) fn refuse_unserved_parameters(request: &S3Request) -> Result<(), Refusal> {
    if request.part_number()?.is_some() && request.headers.contains_key(header::RANGE) {
        let message = "Cannot specify both Range header and partNumber query parameter";
        return Err(S3Code::InvalidRequest.because(message).into());
    }
    for (parameter, _) in &OVERRIDES {
        if request.query.get(parameter).is_some_and(|value| HeaderValue::from_str(value).is_err()) {
            return Err(S3Code::InvalidArgument.because(format!("{parameter} is not a valid header value.")).into());
        }
    }
    Ok(())
}

/// Conditions, range and checksum mode of a GET or HEAD. A replica that knows the object under another ETag, or by another
/// time than is known of its home, is not asked about conditions: [`check_conditions`] judges its answer.
pub(super) fn put_download_headers(
    mut request: UpstreamRequest,
    client: &S3Request,
    range: Option<Range>,
    copy: Option<&ServedCopy>,
) -> Result<UpstreamRequest, Refusal> {
    let is_judged_here = copy.is_some_and(|copy| !copy.has_the_homes_words());
    let forwarded = headers::forwarded_request_headers(client.operation);
    for (name, value) in &client.headers {
        let left_out = name == header::RANGE || (is_judged_here && name.as_str().starts_with("if-"));
        if !left_out && forwarded.allows(name.as_str()) && std::str::from_utf8(value.as_bytes()).is_ok() {
            request = request.header_as_sent(name.clone(), value.clone());
        }
    }
    if checksums::are_asked_for(client) {
        request = request.header("x-amz-checksum-mode", "ENABLED");
    }
    if let Some(range) = range {
        request = request.header("range", range.render());
    }
    Ok(request)
}

/// What a PutObject stores beside the bytes. Tags and conditions go their own way: not every backend keeps them.
///
/// # Errors
/// `InvalidArgument` for a value that is not UTF-8: a condition or metadata left out would be less than was asked for.
pub(super) fn put_upload_headers(mut request: UpstreamRequest, client: &S3Request) -> Result<UpstreamRequest, Refusal> {
    let forwarded = headers::forwarded_request_headers(client.operation);
    for (name, value) in &client.headers {
        let sent = name.as_str();
        if forwarded.allows(sent) && !matches!(sent, "content-encoding" | "x-amz-tagging") && !sent.starts_with("if-") {
            std::str::from_utf8(value.as_bytes())
                .map_err(|_| S3Code::InvalidArgument.because(format!("The header {sent} is not UTF-8.")))?;
            request = request.header_as_sent(name.clone(), value.clone());
        }
    }
    if let Some(coding) = headers::content_encoding(&client.headers) {
        request = request.header("content-encoding", coding);
    }
    if !client.headers.contains_key(header::CONTENT_TYPE) {
        // What S3 stores where nothing is said (Amazon S3 API Reference, PutObject).
        request = request.header_as_sent(header::CONTENT_TYPE, HeaderValue::from_static("binary/octet-stream"));
    }
    Ok(request)
}

/// What a 304 says of the object that the client has (RFC 9110 15.4.5).
const OF_WHAT_STANDS: [HeaderName; 5] =
    [header::CACHE_CONTROL, header::ETAG, header::EXPIRES, header::LAST_MODIFIED, VERSION_ID];

/// Judges the read conditions of a request on an answer that a backend gave in spite of them. `head`: the client's.
///
/// # Errors
/// `NotModified` or `PreconditionFailed`.
pub(super) fn check_conditions(
    request: &S3Request,
    upstream: &ResponseHeader,
    copy: Option<&ServedCopy>,
    head: &Parts,
) -> Result<(), Refusal> {
    if !request.headers.keys().any(|name| name.as_str().starts_with("if-")) {
        return Ok(());
    }
    let etag = match copy {
        Some(served) => served.copy.home_etag.as_str(),
        None => text(upstream, header::ETAG).unwrap_or_default(),
    };
    let of_upstream = || text(upstream, header::LAST_MODIFIED).and_then(|date| httpdate::parse_http_date(date).ok());
    let last_modified = copy.and_then(ServedCopy::home_modified).or_else(of_upstream);
    match conditions::decide_read(&request.headers, etag, last_modified) {
        conditions::Decision::Proceed => Ok(()),
        conditions::Decision::NotModified => {
            let stands = OF_WHAT_STANDS.into_iter().filter_map(|name| {
                let value = head.headers.get(&name)?.to_str().ok()?.to_owned();
                Some((name, value))
            });
            Err(Refusal::NotModified(stands.collect()))
        }
        conditions::Decision::PreconditionFailed => Err(S3Code::PreconditionFailed.into()),
    }
}

/// Whether the request has a condition that a 304 can be the answer to.
pub(super) fn may_be_not_modified(request: &S3Request) -> bool {
    [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE].iter().any(|name| request.headers.contains_key(name))
}

/// Whether the end of the body can be told from a broken connection.
pub(super) fn is_framed(upstream: &ResponseHeader) -> bool {
    match upstream.headers.get(header::TRANSFER_ENCODING) {
        Some(coding) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        None => upstream.headers.contains_key(header::CONTENT_LENGTH),
    }
}

/// The client's head for an object or a 304: what S3 sends, nothing that only the backend says.
pub(super) fn render_object_head(
    request: &S3Request,
    upstream: &ResponseHeader,
    copy: Option<&ServedCopy>,
    version: Option<&VersionId>,
) -> Result<Parts, Refusal> {
    let forwarded = headers::forwarded_response_headers(request.operation);
    let with_checksums = checksums::are_shown(request, upstream);
    let mut is_framed = false;
    let mut sent = HeaderMap::with_capacity(upstream.headers.len() + 5);
    for (name, value) in &upstream.headers {
        if name == header::CONTENT_ENCODING && headers::is_aws_chunked(value) {
            is_framed = true;
        } else if !with_checksums && name.as_str().starts_with(checksums::PREFIX) {
            // Some backends show them to everybody, and with ranges that they are not of.
        } else if forwarded.allows(name.as_str()) || name == header::TRANSFER_ENCODING {
            // The backend's framing stays, since its body passes as it is.
            sent.append(name, value.clone());
        }
    }
    if with_checksums {
        checksums::put_type(&mut sent);
    }
    if is_framed && let Some(coding) = headers::content_encoding(&upstream.headers) {
        // Without the `aws-chunked` of its upload, which some backends keep.
        let coding = HeaderValue::try_from(coding).map_err(|_| UpstreamError::Malformed("content encoding"))?;
        sent.insert(header::CONTENT_ENCODING, coding);
    }
    sent.entry(header::ACCEPT_RANGES).or_insert(HeaderValue::from_static("bytes"));
    if let Some(served) = copy {
        sent.insert(header::ETAG, header_value(&format!("\"{}\"", served.copy.home_etag))?);
        if let Some(modified) = served.home_modified() {
            sent.insert(header::LAST_MODIFIED, header_value(&httpdate::fmt_http_date(modified))?);
        }
    }
    if let Some(version) = version {
        sent.insert(VERSION_ID, header_value(version.as_str())?);
    }
    if upstream.status != StatusCode::NOT_MODIFIED {
        for (parameter, name) in &OVERRIDES {
            if let Some(value) = request.query.get(parameter) {
                sent.insert(name, HeaderValue::from_str(value).map_err(|_| S3Code::InvalidArgument.error())?);
            }
        }
    }
    Ok(response_head(upstream.status, sent))
}

fn header_value(text: &str) -> Result<HeaderValue, Refusal> {
    HeaderValue::from_str(text).map_err(|_| UpstreamError::Malformed("text that no header can hold").into())
}

fn text(head: &ResponseHeader, name: HeaderName) -> Option<&str> {
    head.headers.get(name).and_then(|v| v.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Method;
    use s3gateway_config::BackendId;
    use s3gateway_s3::PhysicalBucket;
    use s3gateway_store::ObjectCopy;
    use std::time::{Duration, SystemTime};

    fn get(range_value: &str) -> S3Request {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("localhost"));
        headers.insert("range", HeaderValue::from_str(range_value).unwrap());
        S3Request::parse(&Method::GET, "/bucket/key", headers.clone(), &[]).unwrap()
    }

    #[test]
    fn one_well_formed_range_is_served_and_everything_else_is_the_whole_object() {
        for (sent, want) in [
            ("bytes=0-4", Some("bytes=0-4")),
            ("bytes=5-", Some("bytes=5-")),
            ("bytes=-5", Some("bytes=-5")),
            ("bytes=3-99999999999999999999999", Some("bytes=3-")),
            ("bytes=5-2", None),
            ("bytes=0-0,1-1", None),
            ("bytes=", None),
            ("bytes=-", None),
            ("items=0-1", None),
            ("bytes=a-b", None),
            ("bytes=+1-2", None),
        ] {
            assert_eq!(range(&get(sent)).unwrap().map(|r| r.0).as_deref(), want, "{sent}");
        }
    }

    #[test]
    fn be_06_a_range_is_answered_by_itself_only() {
        for (asked, content_range, length, want) in [
            ("bytes=0-9", "bytes 0-9/100", "10", true),
            ("bytes=90-200", "bytes 90-99/100", "10", true),
            ("bytes=90-", "bytes 90-99/100", "10", true),
            ("bytes=-10", "bytes 90-99/100", "10", true),
            ("bytes=-200", "bytes 0-99/100", "100", true),
            ("bytes=0-9", "bytes 10-19/100", "10", false),
            ("bytes=0-9", "bytes 0-99/100", "100", false),
            ("bytes=0-9", "bytes 0-8/100", "9", false),
            ("bytes=90-", "bytes 90-98/100", "9", false),
            ("bytes=-10", "bytes 0-9/100", "10", false),
            ("bytes=0-9", "bytes 0-9/100", "20", false),
            ("bytes=0-9", "bytes 0-9/0", "10", false),
            ("bytes=5-9", "bytes 5-4/5", "0", false),
            ("bytes=0-9", "items 0-9/100", "10", false),
            ("bytes=0-9", "bytes */100", "10", false),
            ("bytes=0-9", "", "10", false),
        ] {
            let mut head = ResponseHeader::build(206, None).unwrap();
            head.insert_header(header::CONTENT_RANGE, content_range).unwrap();
            head.insert_header(header::CONTENT_LENGTH, length).unwrap();
            let range = range(&get(asked)).unwrap().unwrap();
            assert_eq!(range.is_answered_by(&head), want, "{asked} by {content_range}, {length} bytes");
        }
    }

    #[test]
    fn a_range_that_no_object_can_satisfy_is_invalid() {
        for sent in ["bytes=99999999999999999999-", "bytes=-0"] {
            let refusal = range(&get(sent)).unwrap_err();
            assert_eq!(refusal.to_s3().code, S3Code::InvalidRange, "{sent}");
        }
    }

    #[test]
    fn a_304_that_is_decided_here_says_what_stands() {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("localhost"));
        headers.insert("if-none-match", HeaderValue::from_static("\"a\""));
        let request = S3Request::parse(&Method::GET, "/bucket/key", headers.clone(), &[]).unwrap();
        let mut upstream = ResponseHeader::build(200, None).unwrap();
        for (name, value) in [
            ("etag", "\"a\""),
            ("last-modified", "Fri, 02 Jan 2026 03:04:05 GMT"),
            ("cache-control", "max-age=60"),
            ("content-type", "text/plain"),
            ("content-length", "7"),
        ] {
            upstream.insert_header(name, value).unwrap();
        }
        let version = VersionId::parse("7").unwrap();
        let head = render_object_head(&request, &upstream, None, Some(&version)).unwrap();
        let refusal = check_conditions(&request, &upstream, None, &head).unwrap_err();
        assert_eq!(refusal.to_s3().code, S3Code::NotModified);
        let told = refusal.headers();
        let names: Vec<_> = told.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["cache-control", "etag", "last-modified", "x-amz-version-id"]);
        assert!(told.contains(&(header::ETAG, "\"a\"".to_owned())), "{told:?}");
    }

    #[test]
    fn a_replicas_own_time_decides_nothing_where_the_homes_is_known() {
        let copy = ObjectCopy {
            backend: BackendId::parse("de-fra").unwrap(),
            etag: "a".to_owned(),
            home_etag: "a".to_owned(),
            size: 1,
            verified_how: "etag".to_owned(),
            verified_at: 7,
        };
        // Finer than an HTTP date.
        let at_home = SystemTime::UNIX_EPOCH + Duration::from_millis(1_767_323_045_678);
        let date = "Fri, 02 Jan 2026 03:04:05 GMT";
        let served = ServedCopy::for_test(copy.clone(), Some(at_home));
        let mut upstream = ResponseHeader::build(200, None).unwrap();
        upstream.insert_header("etag", "\"a\"").unwrap();
        upstream.insert_header("last-modified", "Sat, 03 Jan 2026 00:00:00 GMT").unwrap();
        for (condition, want) in [("if-unmodified-since", None), ("if-modified-since", Some(S3Code::NotModified))] {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static("localhost"));
            headers.insert(condition, HeaderValue::from_static(date));
            let request = S3Request::parse(&Method::GET, "/bucket/key", headers.clone(), &[]).unwrap();
            let physical = PhysicalBucket::parse("s3gw-0").unwrap();
            let ask = |served| {
                let asked = UpstreamRequest::new(Method::GET, &physical, None);
                format!("{:?}", put_download_headers(asked, &request, None, Some(served)).unwrap())
            };
            assert!(!ask(&served).contains(condition), "{}", ask(&served));
            assert!(ask(&ServedCopy::for_test(copy.clone(), None)).contains(condition));
            let head = render_object_head(&request, &upstream, Some(&served), None).unwrap();
            assert_eq!(head.headers.get("last-modified").unwrap(), date);
            let decided = check_conditions(&request, &upstream, Some(&served), &head);
            assert_eq!(decided.err().map(|refusal| refusal.to_s3().code), want, "{condition}");
        }
    }
}
