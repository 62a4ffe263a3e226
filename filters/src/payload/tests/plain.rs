//! Bodies as they are: hashes, digests, checksums, lengths.
use super::*;
use s3gateway_s3::S3Code::*;

fn plain(draft: Draft, body: &[u8]) -> Result<Finished, S3Error> {
    receive(&draft.sign(), body, length(body.len()), &[3]).map(|(data, finished)| {
        assert_eq!(data, body);
        finished
    })
}

fn plain_code(draft: Draft, body: &[u8]) -> Option<S3Code> {
    plain(draft, body).err().map(|e| e.code)
}

#[test]
fn pl_01_the_signed_hash() {
    assert_eq!(plain_code(put(&hash(b"hello")), b"hello"), None, "control");
    assert_eq!(plain_code(put(&hash(b"hello").to_uppercase()), b"hello"), None, "control, upper case");
    assert_eq!(plain_code(put(&hash(b"hello")), b"hellp"), Some(XAmzContentSHA256Mismatch), "PL-01");
    assert_eq!(plain_code(put(&hash(b"hello")), b""), Some(XAmzContentSHA256Mismatch), "PL-01 no body");
    assert_eq!(plain_code(put(&hash(b"")), b""), None, "control, empty");
    assert_eq!(plain_code(put("UNSIGNED-PAYLOAD"), b"anything"), None, "control, unsigned");
}

#[test]
fn plain_bodies_have_the_length_they_announced() {
    let wire = put("UNSIGNED-PAYLOAD").sign();
    for (announced, want) in [(5, None), (6, Some(IncompleteBody)), (4, Some(IncompleteBody))] {
        let got = receive(&wire, b"hello", length(announced), &[2]);
        assert_eq!(got.err().map(|e| e.code), want, "PL-25 {announced}");
    }
}

#[test]
fn pl_20_content_md5() {
    let draft = |value: &str| put("UNSIGNED-PAYLOAD").header("content-md5", value);
    for (value, want) in [
        ("XUFAKrxLKna5cZ2REBfFkg==", None),
        ("XUFAKrxLKna5cZ2REBfFkA==", Some(BadDigest)),
        ("XUFAKrxLKn", Some(InvalidDigest)),
        ("", Some(InvalidDigest)),
        ("5d41402abc4b2a76b9719d911017c592", Some(InvalidDigest)),
        ("XUFAKrxLKna5cZ2REBfFkg", Some(InvalidDigest)),
    ] {
        assert_eq!(plain_code(draft(value), b"hello"), want, "PL-20 {value:?}");
    }
    // restic sends the decoded body's MD5 beside signed chunks, and no Content-Encoding.
    let with_md5 =
        put(SIGNED).header("x-amz-decoded-content-length", "5").header("content-md5", "XUFAKrxLKna5cZ2REBfFkg==");
    assert_eq!(Upload::of(with_md5.sign(), SIGNED, b"hello", &[], Algorithm::Crc32).code(), None, "control: restic");
    let wrong =
        put(SIGNED).header("x-amz-decoded-content-length", "5").header("content-md5", "XUFAKrxLKna5cZ2REBfFkA==");
    assert_eq!(
        Upload::of(wrong.sign(), SIGNED, b"hello", &[], Algorithm::Crc32).code(),
        Some(BadDigest),
        "PL-20 restic"
    );
}

#[test]
fn pl_21_pl_22_checksum_headers() {
    for algorithm in Algorithm::ALL {
        let draft = |value: &str| put("UNSIGNED-PAYLOAD").header(algorithm.header(), value);
        let finished = plain(draft(&checksum(algorithm, b"hello")), b"hello").unwrap();
        let want = Checksum::full_object(algorithm, checksum(algorithm, b"hello"));
        assert_eq!(finished.checksum, Some(want), "{algorithm:?}");
        assert_eq!(plain_code(draft(&checksum(algorithm, b"hellp")), b"hello"), Some(BadDigest), "PL-21 {algorithm:?}");
        assert_eq!(plain_code(draft("AAAA"), b"hello"), Some(InvalidRequest), "{algorithm:?} malformed");
    }
    let (crc, sha) = (checksum(Algorithm::Crc32, b"hello"), checksum(Algorithm::Sha256, b"hello"));
    let two = put("UNSIGNED-PAYLOAD").header("x-amz-checksum-crc32", &crc).header("x-amz-checksum-sha256", &sha);
    assert_eq!(plain_code(two, b"hello"), Some(InvalidRequest), "PL-22");
    let both = put(UNSIGNED_TRAILER)
        .header("x-amz-decoded-content-length", "5")
        .header("x-amz-trailer", "x-amz-checksum-crc32")
        .header("x-amz-checksum-crc32", &crc);
    assert_eq!(
        Upload::of(both.sign(), UNSIGNED_TRAILER, b"hello", &[], Algorithm::Crc32).code(),
        Some(InvalidRequest),
        "PL-22 header and trailer"
    );
    for (name, want) in
        [("CRC32", None), ("crc32", None), ("SHA256", Some(InvalidRequest)), ("MD6", Some(InvalidRequest))]
    {
        let draft =
            put("UNSIGNED-PAYLOAD").header("x-amz-checksum-crc32", &crc).header("x-amz-sdk-checksum-algorithm", name);
        assert_eq!(plain_code(draft, b"hello"), want, "{name}");
    }
    assert_eq!(
        plain_code(put("UNSIGNED-PAYLOAD").header("x-amz-sdk-checksum-algorithm", "CRC32"), b"hello"),
        Some(InvalidRequest),
        "promised, not sent"
    );
}

#[test]
fn pl_23_pl_26_lengths() {
    let wire = put("UNSIGNED-PAYLOAD").sign();
    let code = |wire: &Wire, framing| {
        let (request, verified) = (wire.request().unwrap(), wire.authenticate().unwrap());
        plan(&request, &verified, framing).map(|p| p.decoded_length).map_err(|e| e.code)
    };
    let bare = Framing { content_length: None, chunked: false };
    let both = Framing { content_length: Some(5), chunked: true };
    assert_eq!(code(&wire, CHUNKED), Err(MissingContentLength), "PL-23");
    assert_eq!(code(&wire, bare), Err(MissingContentLength), "s3-tests contentlength_none");
    assert_eq!(code(&wire, both), Err(InvalidRequest), "HT-01");
    assert_eq!(code(&wire, length(0)), Ok(0));
    let framed = |n| Framing { content_length: Some(n), chunked: false };
    assert_eq!(code(&wire, framed(5_368_709_121)), Err(EntityTooLarge), "PL-26");
    assert_eq!(code(&wire, framed(5_368_709_120)), Ok(5_368_709_120), "PL-26 control");
    assert_eq!(code(&Draft::new("GET", "/bucket/k", "UNSIGNED-PAYLOAD").sign(), bare), Ok(0));
    let streaming = Upload::new(SIGNED, b"hello", &[], Algorithm::Crc32).wire;
    assert_eq!(code(&streaming, bare), Err(MissingContentLength));
    assert_eq!(code(&streaming, length(4)), Err(IncompleteBody), "shorter than its data");
    let encoded = put("UNSIGNED-PAYLOAD").header("content-encoding", "gzip, aws-chunked").sign();
    assert_eq!(code(&encoded, length(5)), Err(InvalidArgument), "chunk framing would be stored");
}

#[test]
fn what_is_released_is_a_slice_of_what_was_pushed() {
    let wire = put("UNSIGNED-PAYLOAD").sign();
    let (request, verified) = (wire.request().unwrap(), wire.authenticate().unwrap());
    let plan = plan(&request, &verified, length(10)).unwrap();
    let mut verifier = BodyVerifier::new(&plan, &verified);
    let body = Bytes::from(pattern(10));
    assert_eq!(verifier.push(body.slice(..4)).unwrap(), None);
    let first = verifier.push(body.slice(4..)).unwrap().unwrap();
    assert_eq!(first.as_ptr(), body.as_ptr());
    assert_eq!(verifier.finish().unwrap().tail.as_ptr(), body.slice(4..).as_ptr());
}
