//! What a multipart upload's parts make: its size and its checksum, compared with what the client says of them.
//! Source: Amazon S3 API Reference, CompleteMultipartUpload; Amazon S3 User Guide, "Checking object integrity in Amazon S3".
use super::upload_checksum::UploadChecksum;
use s3gateway_s3::{
    S3Code, S3Error, S3Request,
    checksum::{self, Algorithm, Checksum, ChecksumType, parse_value},
    etag::unquoted,
    xml::{CompletedPart, PartEntry},
};
use s3gateway_store::{FinishedPart, UploadedPart};
use std::collections::HashMap;

/// What is known of the object to be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Completion {
    /// Bytes, where all parts are known.
    pub(super) size: Option<u64>,
    /// Of the whole, where all parts' are known.
    pub(super) checksum: Option<Checksum>,
    /// In order; empty where not all are known.
    pub(super) parts: Vec<FinishedPart>,
}

/// Judges a completion. `stored`: the parts as the backend lists them, where it still does; `kept`: their checksums.
///
/// # Errors
/// `InvalidRequest` for another size or algorithm, or a composite checksum's part without its own; `InvalidPart` for a part
/// of another checksum; `BadDigest` for another type or checksum of the whole.
pub(super) fn judge(
    request: &S3Request,
    asked_for: Option<UploadChecksum>,
    asked: &[CompletedPart],
    stored: Option<&HashMap<u32, PartEntry>>,
    kept: &HashMap<u32, UploadedPart>,
) -> Result<Completion, S3Error> {
    let upload = asked_for.unwrap_or(UploadChecksum::DEFAULT);
    let parts: Option<Vec<FinishedPart>> = asked.iter().map(|part| find(part, stored, kept)).collect();
    let parts = parts.unwrap_or_default();
    let size = (!parts.is_empty()).then(|| parts.iter().map(|part| part.1).sum());
    check_size(request, size)?;
    check_type(request, asked_for)?;
    if let Some(explicit) = asked_for {
        check_parts(explicit, asked, &parts)?;
    }
    let checksum = whole(upload, &parts);
    check_whole(request, upload, checksum.as_ref())?;
    Ok(Completion { size, checksum, parts })
}

/// A part as backend and gateway know it together.
fn find(
    asked: &CompletedPart,
    stored: Option<&HashMap<u32, PartEntry>>,
    kept: &HashMap<u32, UploadedPart>,
) -> Option<FinishedPart> {
    let kept = kept.get(&asked.part_number).filter(|kept| kept.etag.eq_ignore_ascii_case(unquoted(&asked.etag)));
    let size = match stored {
        Some(stored) => stored.get(&asked.part_number)?.size,
        None => kept?.size,
    };
    Some(FinishedPart(asked.part_number, size, kept.map(|kept| kept.value.clone()).unwrap_or_default()))
}

fn check_size(request: &S3Request, size: Option<u64>) -> Result<(), S3Error> {
    let Some(announced) = request.header("x-amz-mp-object-size") else { return Ok(()) };
    let announced = announced
        .trim()
        .parse::<u64>()
        .map_err(|_| S3Code::InvalidRequest.because("Value for x-amz-mp-object-size header is invalid."))?;
    match size {
        Some(size) if size != announced => Err(S3Code::InvalidRequest
            .because(format!("The provided 'x-amz-mp-object-size' header does not match what was computed: {size}"))),
        _ => Ok(()),
    }
}

fn check_type(request: &S3Request, asked_for: Option<UploadChecksum>) -> Result<(), S3Error> {
    match (request.header("x-amz-checksum-type"), asked_for) {
        (Some(named), Some(upload)) if named.trim() != upload.kind.name() => Err(S3Code::BadDigest.because(format!(
            "The upload was created with the {} checksum type, the complete request names another.",
            upload.kind.name()
        ))),
        _ => Ok(()),
    }
}

fn check_parts(upload: UploadChecksum, asked: &[CompletedPart], parts: &[FinishedPart]) -> Result<(), S3Error> {
    let name = upload.algorithm.name().to_ascii_lowercase();
    for (index, part) in asked.iter().enumerate() {
        let number = part.part_number;
        let named = part.checksums.iter().find(|(algorithm, _)| *algorithm == upload.algorithm);
        if named.is_none() && (upload.kind == ChecksumType::Composite || !part.checksums.is_empty()) {
            return Err(S3Code::InvalidRequest.because(format!(
                "The upload was created using a {name} checksum. The complete request must include the checksum for each part. It was missing for part {number} in the request."
            )));
        }
        let known = parts.get(index).map(|part| part.2.as_str()).filter(|value| !value.is_empty());
        if let (Some((_, named)), Some(known)) = (named, known)
            && named != known
        {
            return Err(S3Code::InvalidPart.error().with("PartNumber", number.to_string()).with("ETag", &*part.etag));
        }
    }
    Ok(())
}

/// The checksum that the parts' checksums make; `None` where one of them is missing.
fn whole(upload: UploadChecksum, parts: &[FinishedPart]) -> Option<Checksum> {
    let digests: Option<Vec<(Vec<u8>, u64)>> =
        parts.iter().map(|part| Some((parse_value(upload.algorithm, &part.2)?, part.1))).collect();
    let digests = digests.filter(|digests| !digests.is_empty())?;
    let value = match upload.kind {
        ChecksumType::Composite => checksum::composite(upload.algorithm, digests.iter().map(|(digest, _)| &**digest)),
        ChecksumType::FullObject => {
            let combined = checksum::combine(upload.algorithm, digests.iter().map(|(digest, size)| (&**digest, *size)));
            checksum::render_value(&combined?)
        }
    };
    Some(Checksum { algorithm: upload.algorithm, kind: upload.kind, value })
}

/// Compares the checksum of the whole that the client sends, with or without the number of parts behind it.
fn check_whole(request: &S3Request, upload: UploadChecksum, whole: Option<&Checksum>) -> Result<(), S3Error> {
    for algorithm in Algorithm::ALL {
        let Some(sent) = request.header(algorithm.header()) else { continue };
        if algorithm != upload.algorithm {
            return Err(S3Code::InvalidRequest.because(format!(
                "The upload has a checksum of {}, and the request one of {}.",
                upload.algorithm.name(),
                algorithm.name()
            )));
        }
        let fits =
            |whole: &Checksum| whole.value == sent || whole.value.rsplit_once('-').is_some_and(|(v, _)| v == sent);
        if whole.is_some_and(|whole| !fits(whole)) {
            return Err(S3Code::BadDigest
                .because(format!("The {} you specified did not match the calculated checksum.", algorithm.name())));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderName, HeaderValue, Method};
    use s3gateway_s3::checksum::{Hasher, render_value};
    use std::time::SystemTime;

    const BYTES: [&[u8]; 2] = [b"the first part", b"and the end"];

    fn of(algorithm: Algorithm, bytes: &[u8]) -> Vec<u8> {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finalize()
    }

    /// Completes an upload of [`BYTES`] as parts 2 and 7; `lie` is the second part's checksum where it is to be wrong.
    fn complete(
        upload: Option<(Algorithm, ChecksumType)>,
        headers: &[(&'static str, &str)],
        listed: bool,
        lie: Option<&str>,
    ) -> Result<Completion, S3Code> {
        let mut map = HeaderMap::new();
        map.insert("host", HeaderValue::from_static("localhost"));
        for (name, value) in headers {
            map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"));
        }
        let request = S3Request::parse(&Method::POST, "/mine/k?uploadId=u", map, &[]).expect("a request");
        let upload = upload.map(|(algorithm, kind)| UploadChecksum { algorithm, kind });
        let algorithm = upload.unwrap_or(UploadChecksum::DEFAULT).algorithm;
        let (mut asked, mut stored, mut kept) = (Vec::new(), HashMap::new(), HashMap::new());
        for (number, bytes) in [2, 7].into_iter().zip(BYTES) {
            let (etag, size) = (format!("e{number}"), bytes.len() as u64);
            let value = render_value(&of(algorithm, bytes));
            let named = lie.filter(|_| number == 7).unwrap_or(&value).to_owned();
            let checksums = if listed { vec![(algorithm, named)] } else { Vec::new() };
            asked.push(CompletedPart { part_number: number, etag: format!("\"{etag}\""), checksums });
            let last_modified = SystemTime::UNIX_EPOCH;
            let entry =
                PartEntry { part_number: number, last_modified, etag: etag.clone(), size, checksums: Vec::new() };
            stored.insert(number, entry);
            kept.insert(number, UploadedPart { number, etag, size, value });
        }
        judge(&request, upload, &asked, Some(&stored), &kept).map_err(|e| e.code)
    }

    #[test]
    fn parts_make_the_checksum_of_the_whole() {
        use ChecksumType::*;
        let whole = BYTES.concat();
        for (algorithm, kind) in [
            (Algorithm::Crc32, Composite),
            (Algorithm::Crc32, FullObject),
            (Algorithm::Crc32c, Composite),
            (Algorithm::Crc32c, FullObject),
            (Algorithm::Crc64Nvme, FullObject),
            (Algorithm::Sha1, Composite),
            (Algorithm::Sha256, Composite),
        ] {
            let want = match kind {
                FullObject => render_value(&of(algorithm, &whole)),
                Composite => {
                    let digests: Vec<u8> = BYTES.iter().flat_map(|bytes| of(algorithm, bytes)).collect();
                    format!("{}-2", render_value(&of(algorithm, &digests)))
                }
            };
            let upload = Some((algorithm, kind));
            let done = complete(upload, &[("x-amz-checksum-type", kind.name())], true, None).expect("a completion");
            assert_eq!(
                done.checksum,
                Some(Checksum { algorithm, kind, value: want.clone() }),
                "{algorithm:?} {kind:?}"
            );
            assert_eq!(done.size, Some(whole.len() as u64));
            assert_eq!(done.parts.iter().map(|part| part.0).collect::<Vec<_>>(), [2, 7]);
            assert!(complete(upload, &[(algorithm.header(), &want)], true, None).is_ok());
            let wrong = render_value(&of(algorithm, b"other"));
            assert_eq!(complete(upload, &[(algorithm.header(), &wrong)], true, None), Err(S3Code::BadDigest));
            assert_eq!(complete(upload, &[], true, Some(&wrong)), Err(S3Code::InvalidPart));
            let unlisted = complete(upload, &[], false, None).map(|_| ());
            assert_eq!(unlisted, if kind == Composite { Err(S3Code::InvalidRequest) } else { Ok(()) });
        }
    }

    #[test]
    fn an_upload_that_asks_for_none_gets_the_default() {
        let done = complete(None, &[], false, None).expect("a completion");
        let value = render_value(&of(Algorithm::Crc64Nvme, &BYTES.concat()));
        assert_eq!(done.checksum, Some(Checksum::full_object(Algorithm::Crc64Nvme, value)));
        let crc32 = [("x-amz-checksum-crc32", "AAAAAA==")];
        assert_eq!(complete(None, &crc32, false, None), Err(S3Code::InvalidRequest), "nobody could compare it");
    }

    #[test]
    fn type_and_size_are_compared() {
        let upload = Some((Algorithm::Crc32, ChecksumType::FullObject));
        for (header, want) in [
            (("x-amz-checksum-type", "COMPOSITE"), Err(S3Code::BadDigest)),
            (("x-amz-checksum-type", "FULL_OBJECT"), Ok(())),
            (("x-amz-mp-object-size", "25"), Ok(())),
            (("x-amz-mp-object-size", "24"), Err(S3Code::InvalidRequest)),
            (("x-amz-mp-object-size", "many"), Err(S3Code::InvalidRequest)),
        ] {
            assert_eq!(complete(upload, &[header], true, None).map(|_| ()), want, "{header:?}");
        }
    }

    #[test]
    fn a_part_whose_checksum_is_not_known_leaves_the_whole_without() {
        let headers = HeaderMap::from_iter([(http::header::HOST, HeaderValue::from_static("localhost"))]);
        let request = S3Request::parse(&Method::POST, "/mine/k?uploadId=u", headers, &[]).expect("a request");
        let asked = [CompletedPart { part_number: 1, etag: "a".to_owned(), checksums: Vec::new() }];
        let kept = UploadedPart { number: 1, etag: "b".to_owned(), size: 1, value: "AAAAAAAAAAA=".to_owned() };
        let kept = HashMap::from([(1, kept)]);
        let done = judge(&request, None, &asked, None, &kept).expect("a completion");
        assert_eq!(done, Completion::default(), "it is of a part that was replaced");
    }
}
