//! GetObjectAttributes, answered from HEAD: several servers take the request for a plain GET.
use super::{
    home::etag_of,
    parameters::{PAGE, parse_number},
    source::content_length,
};
use crate::{
    admit::Admitted,
    answer::Answer,
    gateway::Gateway,
    refusal::Refusal,
    upstream::UpstreamAnswer,
    version::{NamedVersion, VERSION_ID, of_version},
};
use bytes::Bytes;
use http::{Method, header};
use s3gateway_s3::{
    S3Code, S3Error, S3Request,
    checksum::{Algorithm, ChecksumType, parse_value},
    etag::multipart_parts,
    xml::{GetObjectAttributesResponse, ObjectPart, ObjectParts},
};
use s3gateway_store::{FinishedPart, FinishedParts};
use strum::EnumString;

/// What can be asked for (Amazon S3 API Reference, GetObjectAttributes, `x-amz-object-attributes`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumString)]
enum Attribute {
    ETag,
    Checksum,
    ObjectParts,
    StorageClass,
    ObjectSize,
}

impl Gateway {
    pub(super) async fn object_attributes(&self, admitted: &Admitted) -> Result<Answer, Refusal> {
        let (routed, key) = (admitted.routed()?, admitted.key()?);
        let asked = parse_attributes(&admitted.request)?;
        let version = self.named_version(routed, key, admitted.request.version_id()?).await?;
        routed.require_held(key)?;
        let request = routed.request(Method::HEAD, Some(key))?.header("x-amz-checksum-mode", "ENABLED");
        let head = self.ask_home(routed, request.version(version.as_ref()), Bytes::new()).await;
        let head = head.map_err(|error| of_version(error, version.as_ref()))?;
        let mut described = describe(&head, &asked);
        // Of a multipart object the home has never heard which checksum the client asked for, nor of some algorithms.
        let is_made_of_parts = multipart_parts(etag_of(&head)).is_some();
        let is_the_homes = |shown: &[(Algorithm, String)]| shown.iter().any(|(shown, _)| *shown != Algorithm::DEFAULT);
        if described.checksums.as_ref().is_some_and(|shown| is_made_of_parts || !is_the_homes(shown))
            && let Some(kept) = self.kept_checksum(&routed.route, key, etag_of(&head), content_length(&head)).await
        {
            described.checksums = Some(vec![(kept.algorithm, digest_of(&kept.value).to_owned())]);
            described.checksum_type = Some(kept.kind.name().to_owned());
        }
        if let Some(parts) = &mut described.object_parts {
            let (max, marker) = parse_page(&admitted.request)?;
            if let Some(finished) = self.finished_parts(&routed.route, key, etag_of(&head), content_length(&head)).await
            {
                *parts = page(&finished, max, marker);
            }
        }
        let shown = self.read_version(routed, key, version.as_ref(), head.header(VERSION_ID.as_str())).await;
        let answer = Answer::xml(described.render()).with_some(VERSION_ID, shown.map(NamedVersion::into_shown));
        Ok(match head.header("last-modified") {
            "" => answer,
            modified => answer.with(header::LAST_MODIFIED, modified),
        })
    }
}

/// Parses `x-amz-object-attributes`, one header or several, comma-separated.
///
/// # Errors
/// `InvalidArgument` for one that S3 does not know, and for none at all.
fn parse_attributes(request: &S3Request) -> Result<Vec<Attribute>, S3Error> {
    let name = "x-amz-object-attributes";
    let texts = request.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let attributes = texts.flat_map(|text| text.split(',')).map(|text| {
        let unknown = |_| super::parameters::invalid(name, text, "Invalid attribute name specified.");
        text.trim().parse::<Attribute>().map_err(unknown)
    });
    let attributes = attributes.collect::<Result<Vec<_>, _>>()?;
    match attributes.is_empty() {
        true => Err(S3Code::InvalidRequest.because(format!("Missing required header for this request: {name}"))),
        false => Ok(attributes),
    }
}

/// `x-amz-max-parts` and `x-amz-part-number-marker`.
fn parse_page(request: &S3Request) -> Result<(u32, u32), S3Error> {
    let number = |name: &'static str, default: u32| match request.header(name).map(str::trim) {
        None | Some("") => Ok(default),
        Some(text) => parse_number(text, name),
    };
    Ok((number("x-amz-max-parts", PAGE)?.min(PAGE), number("x-amz-part-number-marker", 0)?))
}

/// The parts after the marker, at most so many.
fn page(finished: &FinishedParts, max_parts: u32, marker: u32) -> ObjectParts {
    let mut left = finished.parts.iter().filter(|part| part.0 > marker);
    let parts: Vec<ObjectPart> = left
        .by_ref()
        .take(usize::try_from(max_parts).unwrap_or(usize::MAX))
        .map(|FinishedPart(part_number, size, value)| ObjectPart {
            part_number: *part_number,
            size: *size,
            checksums: Some((finished.algorithm, value.clone()))
                .filter(|(_, value)| !value.is_empty())
                .into_iter()
                .collect(),
        })
        .collect();
    ObjectParts {
        total_parts_count: u32::try_from(finished.parts.len()).unwrap_or(u32::MAX),
        part_number_marker: marker,
        next_part_number_marker: parts.last().map_or(marker, |part| part.part_number),
        max_parts,
        is_truncated: left.next().is_some(),
        parts,
    }
}

/// A checksum's value without the number of parts behind a composite one.
fn digest_of(value: &str) -> &str {
    value.rsplit_once('-').map_or(value, |(digest, _)| digest)
}

/// What HEAD tells of an object, as far as it is asked for.
fn describe(head: &UpstreamAnswer, asked: &[Attribute]) -> GetObjectAttributesResponse {
    let wants = |attribute| asked.contains(&attribute);
    let etag = etag_of(head);
    let checksums = Algorithm::ALL.into_iter().filter_map(|algorithm| {
        let digest = digest_of(head.header(algorithm.header()));
        parse_value(algorithm, digest).map(|_| (algorithm, digest.to_owned()))
    });
    let told = Algorithm::ALL.iter().map(|algorithm| head.header(algorithm.header())).find(|value| !value.is_empty());
    let kind = ChecksumType::from_name(head.header("x-amz-checksum-type")).or(told.map(ChecksumType::of_value));
    let parts =
        multipart_parts(etag).map(|total_parts_count| ObjectParts { total_parts_count, ..ObjectParts::default() });
    GetObjectAttributesResponse {
        etag: wants(Attribute::ETag).then(|| etag.to_owned()),
        checksums: wants(Attribute::Checksum).then(|| checksums.collect()),
        checksum_type: kind.map(|kind| kind.name().to_owned()),
        object_parts: parts.filter(|_| wants(Attribute::ObjectParts)),
        storage_class: wants(Attribute::StorageClass).then(|| "STANDARD".to_owned()),
        object_size: head.header("content-length").parse().ok().filter(|_| wants(Attribute::ObjectSize)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

    fn parse(values: &[&'static str]) -> Result<Vec<Attribute>, S3Code> {
        let mut map = HeaderMap::new();
        map.insert("host", HeaderValue::from_static("localhost"));
        for value in values {
            map.append("x-amz-object-attributes", HeaderValue::from_static(value));
        }
        let request = S3Request::parse(&Method::GET, "/mine/k?attributes", map.clone(), &[]).expect("a request");
        parse_attributes(&request).map_err(|e| e.code)
    }

    #[test]
    fn attributes_in_one_header_or_several() {
        assert_eq!(parse(&["ETag, ObjectSize"]), Ok(vec![Attribute::ETag, Attribute::ObjectSize]));
        assert_eq!(parse(&["ETag", "ObjectParts"]), Ok(vec![Attribute::ETag, Attribute::ObjectParts]));
        assert_eq!(parse(&["etag"]), Err(S3Code::InvalidArgument));
        assert_eq!(parse(&[""]), Err(S3Code::InvalidArgument));
        assert_eq!(parse(&[]), Err(S3Code::InvalidRequest));
    }

    #[test]
    fn parts_in_pages() {
        let parts = [2, 3, 7].map(|n| FinishedPart(n, 5, "AAAAAA==".to_owned())).to_vec();
        let finished = FinishedParts { etag: "a-3".to_owned(), size: 15, algorithm: Algorithm::Crc32, parts };
        let numbers = |page: &ObjectParts| page.parts.iter().map(|part| part.part_number).collect::<Vec<_>>();
        for (max, marker, want, next, truncated) in [
            (1000, 0, &[2, 3, 7][..], 7, false),
            (2, 0, &[2, 3], 3, true),
            (2, 3, &[7], 7, false),
            (0, 2, &[], 2, true),
        ] {
            let page = page(&finished, max, marker);
            assert_eq!(numbers(&page), want, "{max} after {marker}");
            assert_eq!((page.next_part_number_marker, page.is_truncated, page.total_parts_count), (next, truncated, 3));
        }
    }

    #[test]
    fn only_what_is_asked_for_is_told() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("etag", "\"abc-3\""),
            ("content-length", "7"),
            ("x-amz-checksum-crc32", "AAAAAA==-3"),
            ("x-amz-checksum-sha1", "garbage"),
            ("x-amz-checksum-type", "COMPOSITE"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let head = UpstreamAnswer { status: StatusCode::OK, headers, body: Bytes::new() };
        let all = describe(
            &head,
            &[
                Attribute::ETag,
                Attribute::Checksum,
                Attribute::ObjectParts,
                Attribute::StorageClass,
                Attribute::ObjectSize,
            ],
        );
        assert_eq!(
            (all.etag.as_deref(), all.object_size, all.storage_class.as_deref()),
            (Some("abc-3"), Some(7), Some("STANDARD"))
        );
        assert_eq!(all.object_parts.map(|p| p.total_parts_count), Some(3));
        assert_eq!(all.checksums, Some(vec![(Algorithm::Crc32, "AAAAAA==".to_owned())]));
        let size = describe(&head, &[Attribute::ObjectSize]);
        assert_eq!(
            (size.etag, size.checksums, size.object_parts.is_none(), size.object_size),
            (None, None, true, Some(7))
        );
    }
}
