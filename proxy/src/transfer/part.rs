//! Reads by part number: a part of a multipart object is a range, whose bounds the gateway has kept since the completion.
//! Source: Amazon S3 API Reference, GetObject and HeadObject (`partNumber`, `x-amz-mp-parts-count`).
use super::{checksums, head::Range};
use crate::{admit::Admitted, gateway::Gateway, refusal::Refusal, upstream::UpstreamError, version::NamedVersion};
use http::{HeaderName, HeaderValue, Method, StatusCode, header, response::Parts};
use s3gateway_s3::{
    S3Code, S3Error,
    checksum::Checksum,
    etag::{multipart_parts, unquoted},
};
use s3gateway_store::FinishedParts;

const PARTS_COUNT: HeaderName = HeaderName::from_static("x-amz-mp-parts-count");

/// A part, and the object that it was found in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PartRead {
    /// Without quotes.
    etag: String,
    size: u64,
    bounds: Bounds,
    /// How many parts the object has, where it was made of parts.
    count: Option<usize>,
    checksum: Option<Checksum>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bounds {
    offset: u64,
    length: u64,
}

impl PartRead {
    /// Finds the part that the request asks for.
    ///
    /// # Errors
    /// `InvalidPartNumber` where the object has no such part; `NotImplemented` where its parts are not known.
    pub(super) async fn locate(
        gateway: &Gateway,
        admitted: &Admitted,
        version: Option<&NamedVersion>,
        number: u32,
    ) -> Result<Self, Refusal> {
        let (routed, key) = (admitted.routed()?, admitted.key()?);
        let head = gateway.head_at_home(routed, key, version).await?;
        let etag = unquoted(head.header("etag")).to_owned();
        let size =
            head.header("content-length").parse().map_err(|_| UpstreamError::Malformed("a head without length"))?;
        let (count, finished) = match multipart_parts(&etag) {
            None => (None, None),
            Some(count) => (Some(count), gateway.finished_parts(&routed.route, key, &etag, size).await),
        };
        let (bounds, value) = find(number, size, count, finished.as_ref())?;
        let mut found = Self { etag, size, bounds, count: count.and_then(|n| usize::try_from(n).ok()), checksum: None };
        if checksums::are_asked_for(&admitted.request)
            && let (Some(finished), Some(value)) = (&finished, value)
            && let Some(whole) = gateway.kept_checksum(&routed.route, key, &found.etag, size).await
        {
            found.checksum = Some(Checksum { algorithm: finished.algorithm, kind: whole.kind, value });
        }
        Ok(found)
    }

    /// What the backend is asked for: a range, or for HEAD, which has no bytes, and for an empty object the whole.
    pub(super) fn range(&self, method: &Method) -> Option<Range> {
        (*method != Method::HEAD && self.bounds.length > 0)
            .then(|| Range::closed(self.bounds.offset, self.bounds.offset + self.bounds.length - 1))
    }

    /// Makes the client's head from that of the range.
    ///
    /// # Errors
    /// An outage where the object is not the one that the part was found in.
    pub(super) fn render(&self, method: &Method, mut head: Parts) -> Result<Parts, Refusal> {
        let etag = head.headers.get(header::ETAG).and_then(|etag| etag.to_str().ok()).map(unquoted);
        if etag != Some(&*self.etag) {
            return Err(UpstreamError::Malformed("the object changed while its part was looked for").into());
        }
        let Bounds { offset, length } = self.bounds;
        head.status = StatusCode::PARTIAL_CONTENT;
        if *method == Method::HEAD {
            head.headers.insert(header::CONTENT_LENGTH, length.into());
        }
        if length > 0 {
            let range = format!("bytes {offset}-{}/{}", offset + length - 1, self.size);
            let range = HeaderValue::try_from(range).map_err(|_| S3Code::InternalError.error())?;
            head.headers.insert(header::CONTENT_RANGE, range);
        }
        if let Some(count) = self.count {
            head.headers.insert(PARTS_COUNT, count.into());
        }
        checksums::replace(&mut head.headers, self.checksum.as_ref())?;
        Ok(head)
    }
}

/// The bounds and, where it has one, the checksum of a part.
fn find(
    number: u32,
    size: u64,
    count: Option<u32>,
    finished: Option<&FinishedParts>,
) -> Result<(Bounds, Option<String>), S3Error> {
    let Some(finished) = finished else {
        return match (number, count) {
            // What was put at once is its own only part.
            (1, None | Some(1)) => Ok((Bounds { offset: 0, length: size }, None)),
            (_, None | Some(1)) => Err(S3Code::InvalidPartNumber.error()),
            (_, Some(_)) => Err(S3Code::NotImplemented.because("Where this object's parts begin is not known.")),
        };
    };
    let mut offset = 0;
    for part in &finished.parts {
        if part.0 == number {
            return Ok((Bounds { offset, length: part.1 }, Some(part.2.clone()).filter(|value| !value.is_empty())));
        }
        offset += part.1;
    }
    Err(S3Code::InvalidPartNumber.error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use s3gateway_s3::checksum::Algorithm;
    use s3gateway_store::FinishedPart;

    #[test]
    fn where_parts_are() {
        let parts = vec![FinishedPart(2, 5, "AAAAAA==".to_owned()), FinishedPart(7, 3, String::new())];
        let finished = FinishedParts { etag: "a-2".to_owned(), size: 8, algorithm: Algorithm::Crc32, parts };
        let bounds = |offset, length| Bounds { offset, length };
        for (number, count, finished, want) in [
            (2, Some(2), Some(&finished), Ok((bounds(0, 5), Some("AAAAAA==".to_owned())))),
            (7, Some(2), Some(&finished), Ok((bounds(5, 3), None))),
            (1, Some(2), Some(&finished), Err(S3Code::InvalidPartNumber)),
            (1, Some(2), None, Err(S3Code::NotImplemented)),
            (1, Some(1), None, Ok((bounds(0, 8), None))),
            (1, None, None, Ok((bounds(0, 8), None))),
            (2, None, None, Err(S3Code::InvalidPartNumber)),
        ] {
            assert_eq!(find(number, 8, count, finished).map_err(|e| e.code), want, "{number} of {count:?}");
        }
    }

    #[test]
    fn a_head_of_a_part_tells_its_length_and_place() {
        let part = PartRead {
            etag: "a-2".to_owned(),
            size: 8,
            bounds: Bounds { offset: 5, length: 3 },
            count: Some(2),
            checksum: None,
        };
        let head = |etag| {
            let (mut head, ()) = http::Response::new(()).into_parts();
            head.headers.insert(header::ETAG, HeaderValue::from_static(etag));
            head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("8"));
            head
        };
        let rendered = part.render(&Method::HEAD, head("\"a-2\"")).expect("a head");
        let value = |name: HeaderName| rendered.headers.get(name).and_then(|value| value.to_str().ok());
        assert_eq!(rendered.status, StatusCode::PARTIAL_CONTENT);
        assert_eq!((value(header::CONTENT_LENGTH), value(PARTS_COUNT)), (Some("3"), Some("2")));
        assert_eq!(value(header::CONTENT_RANGE), Some("bytes 5-7/8"));
        assert!(part.render(&Method::HEAD, head("\"b\"")).is_err(), "another object");
        assert!(part.range(&Method::HEAD).is_none() && part.range(&Method::GET).is_some());
    }
}
