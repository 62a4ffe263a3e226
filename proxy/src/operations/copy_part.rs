//! UploadPartCopy: a part of a multipart upload from an object, inside a backend or streamed through.
use super::{
    copy::or_now,
    home::{done, etag_of, explain},
    source::{
        SOURCE_VERSION_ID, Source, check_size, content_length, header_once, is_conditional, judge_source, pin_source,
    },
    upload_id::OpenedUpload,
};
use crate::{
    admit::Admitted,
    answer::Answer,
    gateway::Gateway,
    refusal::Refusal,
    upstream::{UpstreamError, UpstreamRequest},
    version::{NamedVersion, VERSION_ID},
};
use bytes::Bytes;
use http::{HeaderMap, Method};
use s3gateway_s3::{S3Code, S3Error, S3Request, etag::quoted, xml::CopyPartResult};
use s3gateway_store::UploadedPart;
use std::time::SystemTime;

/// Bytes of the source, first and last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bounds {
    first: u64,
    last: u64,
}

impl Bounds {
    /// Parses `x-amz-copy-source-range`: `bytes=first-last` and no other form.
    fn parse(request: &S3Request) -> Result<Option<Self>, S3Error> {
        let name = "x-amz-copy-source-range";
        if !request.headers.contains_key(name) {
            return Ok(None);
        }
        let text = header_once(request, name)?.trim();
        let number = |digits: &str| digits.parse::<u64>().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
        let bounds = text.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
        let bounds = bounds.and_then(|(first, last)| Some(Self { first: number(first)?, last: number(last)? }));
        bounds.filter(|b| b.first <= b.last && b.last < u64::MAX).map(Some).ok_or_else(|| {
            let message = "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy";
            super::parameters::invalid(name, text, message)
        })
    }

    fn length(self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }

    fn render(self) -> String {
        format!("bytes={}-{}", self.first, self.last)
    }

    /// # Errors
    /// `InvalidArgument` where the source ends before the range does.
    fn check(self, size: u64) -> Result<(), S3Error> {
        match self.last < size {
            true => Ok(()),
            false => {
                let message = format!("Range specified is not valid for source object of size: {size}");
                Err(super::parameters::invalid("x-amz-copy-source-range", &self.render(), message))
            }
        }
    }
}

impl Gateway {
    pub(super) async fn copy_part(&self, admitted: &Admitted) -> Result<Answer, Refusal> {
        let (routed, key, request) = (admitted.routed()?, admitted.key()?, &admitted.request);
        let number = parse_part_number(request)?;
        let bounds = Bounds::parse(request)?;
        let upload = self.open_upload_id(admitted)?;
        self.require_open(&routed.route, &upload).await?;
        let mut source = self.resolve_source(admitted, routed, Some(&upload.home)).await?;
        let part = upload
            .request(Method::PUT, &routed.route, key)?
            .query("partNumber", &number.to_string())
            .query("uploadId", &upload.backend_upload_id);
        // Only the bytes can tell the checksum that the upload was begun with.
        if upload.checksum.is_none() && source.is_copied_by(&upload.home) {
            let (etag, last_modified) = self.copy_part_inside(request, &mut source, &upload, bounds, part).await?;
            self.lose_places(&routed.route, &upload.backend_upload_id).await;
            let last_modified = or_now(last_modified);
            let result = CopyPartResult { etag: quoted(&etag), last_modified, checksums: Vec::new() };
            return Ok(
                Answer::xml(result.render()).with_some(SOURCE_VERSION_ID, source.version.map(NamedVersion::into_shown))
            );
        }
        let copied = self.copy_part_through(request, &mut source, &upload, bounds, part, number).await?;
        // No client sends these bytes, so that no replica has them.
        self.lose_places(&routed.route, &upload.backend_upload_id).await;
        self.keep_part(&routed.route, &upload.backend_upload_id, &copied).await;
        let checksums = upload.checksum.map(|asked| (asked.algorithm, copied.value)).into_iter().collect();
        let result = CopyPartResult { etag: quoted(&copied.etag), last_modified: SystemTime::now(), checksums };
        Ok(Answer::xml(result.render()).with_some(SOURCE_VERSION_ID, source.version.map(NamedVersion::into_shown)))
    }

    async fn copy_part_inside(
        &self,
        client: &S3Request,
        source: &mut Source,
        upload: &OpenedUpload,
        bounds: Option<Bounds>,
        part: UpstreamRequest,
    ) -> Result<(String, SystemTime), Refusal> {
        let head = self.head_source(source).await?;
        judge_source(client, &head.headers, etag_of(&head))?;
        let size = content_length(&head);
        let mut part = part.header("x-amz-copy-source", source.header()?);
        if is_conditional(client) {
            part = pin_source(part, etag_of(&head));
        }
        match bounds {
            Some(bounds) => {
                bounds.check(size)?;
                check_size(bounds.length())?;
                part = part.header("x-amz-copy-source-range", bounds.render());
            }
            None => check_size(size)?,
        }
        let answer = self.client.send(&upload.home, part, Bytes::new()).await.map_err(explain)?;
        let result = done(CopyPartResult::parse(&answer.body))?;
        Ok((result.etag, result.last_modified))
    }

    async fn copy_part_through(
        &self,
        client: &S3Request,
        source: &mut Source,
        upload: &OpenedUpload,
        bounds: Option<Bounds>,
        part: UpstreamRequest,
        number: u32,
    ) -> Result<UploadedPart, Refusal> {
        let request = source.request(Method::GET)?;
        let request = match bounds {
            Some(bounds) => request.header("range", bounds.render()),
            None => request,
        };
        let opened = self.client.open(&source.routed.home, request).await.map_err(explain);
        let mut download = match (opened, bounds) {
            (Err(UpstreamError::Refused(refused)), Some(bounds)) if refused.status == 416 => {
                let size = content_length(&self.head_source(source).await?);
                bounds.check(size)?;
                return Err(S3Code::InvalidRange.into());
            }
            (Err(error), _) => return Err(self.explain_source(source, error).await),
            (Ok(download), _) => download,
        };
        source.version = self.read_source_version(source, download.header(VERSION_ID.as_str())).await;
        let etag = download.header("etag").to_owned();
        judge_source(client, &download.headers, &etag)?;
        if let Some(bounds) = bounds {
            verify_content_range(&download.headers, bounds)?;
        }
        let size = download.content_length()?;
        check_size(size)?;
        let hash = Some(upload.algorithm());
        let uploaded = self.client.upload(&upload.home, part, size, &mut download, hash, false).await;
        let (answer, checksum) = uploaded.map_err(explain)?;
        let value = checksum.map(|checksum| checksum.value).unwrap_or_default();
        Ok(UploadedPart { number, etag: etag_of(&answer).to_owned(), size, value })
    }
}

/// The part's number.
///
/// # Errors
/// `InvalidArgument` outside 1 to 10,000.
fn parse_part_number(request: &S3Request) -> Result<u32, S3Error> {
    let text = request.query.get("partNumber").unwrap_or_default();
    let number =
        text.parse::<u32>().ok().filter(|n| (1..=10_000).contains(n) && text.bytes().all(|b| b.is_ascii_digit()));
    number.ok_or_else(|| {
        super::parameters::invalid("partNumber", text, "Part number must be an integer between 1 and 10000, inclusive")
    })
}

/// Checks that a backend has served exactly the range that was asked for.
fn verify_content_range(headers: &HeaderMap, bounds: Bounds) -> Result<(), Refusal> {
    let text = headers.get(http::header::CONTENT_RANGE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let served = text.strip_prefix("bytes ").and_then(|range| range.split_once('/'));
    let Some((range, size)) = served.and_then(|(range, size)| Some((range, size.parse::<u64>().ok()?))) else {
        return Err(UpstreamError::Malformed("a range was asked for and not served").into());
    };
    bounds.check(size)?;
    match range == format!("{}-{}", bounds.first, bounds.last) {
        true => Ok(()),
        false => Err(UpstreamError::Malformed("another range was served than asked for").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn request(range: &'static str, part_number: &str) -> S3Request {
        let mut map = HeaderMap::new();
        map.insert("host", HeaderValue::from_static("localhost"));
        map.insert("x-amz-copy-source", HeaderValue::from_static("/mine/a"));
        map.insert("x-amz-copy-source-range", HeaderValue::from_static(range));
        let target = format!("/mine/k?partNumber={part_number}&uploadId=u");
        S3Request::parse(&Method::PUT, &target, map.clone(), &[]).expect("a request")
    }

    #[test]
    fn only_closed_ranges() {
        for (range, want) in [
            ("bytes=0-0", Some((0, 0))),
            ("bytes=5-9", Some((5, 9))),
            ("bytes=9-5", None),
            ("bytes=5-", None),
            ("bytes=-5", None),
            ("bytes=0-1,3-4", None),
            ("bytes=+0-1", None),
            ("bytes=0-18446744073709551615", None),
            ("items=0-1", None),
            ("", None),
        ] {
            let got = Bounds::parse(&request(range, "1"));
            let want = want.map(|(first, last)| Some(Bounds { first, last })).ok_or(S3Code::InvalidArgument);
            assert_eq!(got.map_err(|e| e.code), want, "{range}");
        }
    }

    #[test]
    fn xm_10_part_numbers() {
        for (number, ok) in [
            ("1", true),
            ("10000", true),
            ("0", false),
            ("10001", false),
            ("-1", false),
            ("abc", false),
            ("1e2", false),
            ("", false),
            ("%2B1", false),
        ] {
            assert_eq!(parse_part_number(&request("bytes=0-0", number)).is_ok(), ok, "{number}");
        }
    }

    #[test]
    fn the_range_served_is_the_one_asked_for() {
        let check = |content_range: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("content-range", HeaderValue::from_static(content_range));
            verify_content_range(&headers, Bounds { first: 5, last: 9 }).map_err(|r| r.to_s3().code)
        };
        assert_eq!(check("bytes 5-9/10"), Ok(()));
        assert_eq!(check("bytes 5-7/8"), Err(S3Code::InvalidArgument));
        assert_eq!(check("bytes 0-9/10"), Err(S3Code::ServiceUnavailable));
        assert_eq!(check(""), Err(S3Code::ServiceUnavailable));
    }
}
