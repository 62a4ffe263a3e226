//! Bodies in `aws-chunked`: signatures, sizes, trailers.
use super::*;
use s3gateway_s3::S3Code::*;

#[test]
fn every_mode_and_checksum_is_received() {
    for mode in MODES {
        for algorithm in Algorithm::ALL {
            for (len, sizes) in [(0, &[][..]), (1, &[]), (5, &[]), (70_000, &[8192, 65_000]), (20_000, &[20_000])] {
                let data = pattern(len);
                let upload = Upload::new(mode, &data, sizes, algorithm);
                let got = receive(&upload.wire, &upload.body(), length(upload.body().len()), &[65_536]);
                let (received, finished) = got.unwrap_or_else(|e| panic!("{mode} {algorithm:?} {len}: {e}"));
                assert_eq!(received, data, "{mode} {len}");
                let want = (mode != SIGNED).then(|| Checksum::full_object(algorithm, checksum(algorithm, &data)));
                assert_eq!(finished.checksum, want, "{mode} {len}");
            }
        }
    }
}

#[test]
fn pl_05_a_bad_chunk_signature_anywhere() {
    for mode in [SIGNED, SIGNED_TRAILER] {
        for chunk in 0..4 {
            let upload = Upload::new(mode, &pattern(30_000), &[10_000, 10_000], Algorithm::Crc32c).with(|u| {
                let line = &mut u.chunks[chunk].0;
                let last = line.len() - 3;
                let digit = if line.as_bytes()[last] == b'0' { "1" } else { "0" };
                line.replace_range(last..=last, digit);
            });
            assert_eq!(upload.code(), Some(SignatureDoesNotMatch), "PL-05 {mode} {chunk}");
        }
    }
}

#[test]
fn pl_06_the_chain_of_chunks() {
    let upload = || Upload::new(SIGNED, &pattern(30_000), &[10_000, 10_000], Algorithm::Crc32);
    assert_eq!(upload().code(), None, "control");
    assert_eq!(upload().with(|u| u.chunks.swap(0, 1)).code(), Some(SignatureDoesNotMatch), "PL-06 swapped");
    let repeated = upload().with(|u| {
        let again = (u.chunks[0].0.clone(), u.chunks[0].1.clone());
        u.chunks[1] = again;
    });
    assert_eq!(repeated.code(), Some(SignatureDoesNotMatch), "PL-06 repeated");
    let dropped = upload().with(|u| drop(u.chunks.remove(1)));
    assert!(matches!(dropped.code(), Some(SignatureDoesNotMatch)), "PL-06 dropped");
}

#[test]
fn pl_07_pl_08_a_body_that_ends_early() {
    for mode in MODES {
        let upload = Upload::new(mode, &pattern(30_000), &[10_000, 10_000], Algorithm::Crc32);
        let body = upload.body();
        for end in (0..body.len()).rev().step_by(997).chain(body.len() - 140..body.len()) {
            let got = receive(&upload.wire, &body[..end], CHUNKED, &[1000]);
            assert_eq!(got.err().map(|e| e.code), Some(IncompleteBody), "PL-07 {mode} {end} of {}", body.len());
        }
    }
    let short = Upload::new(UNSIGNED_TRAILER, &pattern(0x10000), &[], Algorithm::Crc32).with(|u| {
        u.chunks.truncate(1);
        u.chunks[0].1.truncate(100);
        u.trailer.clear();
    });
    assert_eq!(short.code(), Some(IncompleteBody), "PL-08");
}

#[test]
fn pl_09_pl_10_pl_11_chunk_lines() {
    let long = "0".repeat(2048);
    for mode in MODES {
        for size in [
            "",
            "xyz",
            "-5",
            "0x5",
            "+5",
            " 5",
            "5 ",
            "5\t",
            "٥",
            "ffffffffffffffff",
            "10000000000000000",
            "00000000000000005",
            "8000000000000000",
            &long,
        ] {
            let upload = Upload::new(mode, b"hello", &[], Algorithm::Crc32).with(|u| {
                u.chunks[0].0 = format!("{size}{}", &u.chunks[0].0[1..]);
            });
            assert_eq!(upload.code(), Some(IncompleteBody), "PL-09, PL-10 {mode} {size:?}");
        }
    }
    let line = |mode, change: &dyn Fn(&str) -> String| {
        Upload::new(mode, b"hello", &[], Algorithm::Crc32).with(|u| u.chunks[0].0 = change(&u.chunks[0].0)).code()
    };
    let huge = "x".repeat(1 << 20);
    assert_eq!(line(SIGNED, &|l| l.replace("\r\n", &format!(";x={huge}\r\n"))), Some(IncompleteBody), "PL-11 1 MiB");
    assert_eq!(line(SIGNED, &|l| l.replace("\r\n", ";x=1\r\n")), Some(SignatureDoesNotMatch), "PL-11 another");
    assert_eq!(
        line(SIGNED, &|l| l.replacen(";", &format!(";chunk-signature={};", "0".repeat(64)), 1)),
        Some(SignatureDoesNotMatch),
        "PL-11 twice"
    );
    assert_eq!(line(SIGNED, &|_| "5\r\n".into()), Some(SignatureDoesNotMatch), "PL-11 missing");
    assert_eq!(line(SIGNED, &|l| l.replace("\r\n", "\n")), Some(IncompleteBody), "bare LF");
    assert_eq!(line(SIGNED, &|l| l.replacen(';', "\r;", 1)), Some(IncompleteBody), "bare CR");
    assert_eq!(
        line(UNSIGNED_TRAILER, &|_| "5;x=1\r\n".into()),
        Some(IncompleteBody),
        "an extension where none is known"
    );
    assert_eq!(line(UNSIGNED_TRAILER, &|_| "0005\r\n".into()), None, "leading zeros (control)");
    let upper =
        Upload::new(UNSIGNED_TRAILER, &pattern(0xab), &[], Algorithm::Crc32).with(|u| u.chunks[0].0 = "AB\r\n".into());
    assert_eq!(upper.code(), None, "upper case (control): pyarrow");
    let no_crlf =
        Upload::new(UNSIGNED_TRAILER, b"hello", &[], Algorithm::Crc32).with(|u| u.chunks[0].1 = b"helloXX".to_vec());
    assert_eq!(no_crlf.code(), Some(IncompleteBody), "data without its CRLF");
}

#[test]
fn pl_12_tiny_chunks_only_where_they_are_not_signed() {
    for (mode, sizes, want) in [
        (SIGNED, &[8192][..], None),
        (SIGNED, &[8191], Some(InvalidChunkSizeError)),
        (SIGNED, &[8192, 1], Some(InvalidChunkSizeError)),
        (SIGNED_TRAILER, &[1], Some(InvalidChunkSizeError)),
        (UNSIGNED_TRAILER, &[1, 2, 3], None),
    ] {
        assert_eq!(Upload::new(mode, &pattern(20_000), sizes, Algorithm::Crc32).code(), want, "PL-12 {mode} {sizes:?}");
    }
    for len in [1, 8191, 8193] {
        assert_eq!(
            Upload::new(SIGNED, &pattern(len), &[8192], Algorithm::Crc32).code(),
            None,
            "PL-12 the last one, {len}"
        );
    }
}

#[test]
fn pl_13_pl_14_the_decoded_length() {
    let streaming = |mode: &'static str, decoded: Option<&str>| {
        let mut draft = put(mode).header("x-amz-trailer", "x-amz-checksum-crc32");
        if mode == SIGNED {
            draft = draft.without("x-amz-trailer");
        }
        if let Some(decoded) = decoded {
            draft = draft.header("x-amz-decoded-content-length", decoded);
        }
        Upload::of(draft.sign(), mode, b"hello", &[], Algorithm::Crc32).code()
    };
    for mode in MODES {
        for (decoded, want) in [
            (Some("5"), None),
            (Some("4"), Some(IncompleteBody)),
            (Some("6"), Some(IncompleteBody)),
            (None, Some(MissingContentLength)),
            (Some("-5"), Some(InvalidArgument)),
            (Some("+5"), Some(InvalidArgument)),
            (Some("abc"), Some(InvalidArgument)),
            (Some(""), Some(InvalidArgument)),
            (Some("5.0"), Some(InvalidArgument)),
            (Some("18446744073709551616"), Some(InvalidArgument)),
            (Some("5368709121"), Some(EntityTooLarge)),
        ] {
            assert_eq!(streaming(mode, decoded), want, "PL-13, PL-14 {mode} {decoded:?}");
        }
    }
}

#[test]
fn pl_15_pl_16_pl_18_pl_19_the_trailer() {
    let trailer = |mode: &'static str, text: &dyn Fn(&str) -> String| {
        Upload::new(mode, b"hello", &[], Algorithm::Crc32c)
            .with(|u| u.trailer = text(std::str::from_utf8(&u.trailer).unwrap()).into_bytes())
            .code()
    };
    for mode in [SIGNED_TRAILER, UNSIGNED_TRAILER] {
        assert_eq!(trailer(mode, &str::to_owned), None, "control");
        assert_eq!(
            trailer(mode, &|t| t.replacen("x-amz-checksum-crc32c:", "X-Amz-Checksum-Crc32c: ", 1)),
            None,
            "control, spelling"
        );
        // minio-go ends the checksum's line with LF and then writes CRLF.
        assert_eq!(trailer(mode, &|t| t.replacen("\r\n", "\n\r\n", 1)), None, "control, minio-go");
        assert_eq!(trailer(mode, &|_| "\r\n".into()), Some(MalformedTrailerError), "PL-15");
        assert_eq!(trailer(mode, &|_| String::new()), Some(IncompleteBody), "PL-15 cut");
        let other = format!("x-amz-checksum-sha256:{}", checksum(Algorithm::Sha256, b"hello"));
        assert_eq!(
            trailer(mode, &|t| t.replacen(t.split("\r\n").next().unwrap(), &other, 1)),
            Some(MalformedTrailerError),
            "PL-16 another"
        );
        assert_eq!(trailer(mode, &|t| t.replacen(':', "=", 1)), Some(MalformedTrailerError), "no colon");
        assert_eq!(trailer(mode, &|t| format!("{t}x")), Some(MalformedTrailerError), "something after the end");
        assert_eq!(trailer(mode, &|t| format!("{t}{t}")), Some(MalformedTrailerError), "twice");
        assert_eq!(trailer(mode, &|t| t.replacen("\r\n", "\r\nx: y\r\n", 1)), Some(MalformedTrailerError), "one more");
        assert_eq!(trailer(mode, &|_| "a".repeat(1 << 20)), Some(MalformedTrailerError), "1 MiB");
    }
    for value in ["!!!!", "AAAA", "", "AAAAAA", "AAAAAAAA"] {
        assert_eq!(
            trailer(UNSIGNED_TRAILER, &|_| format!("x-amz-checksum-crc32c:{value}\r\n\r\n")),
            Some(InvalidRequest),
            "PL-18 {value}"
        );
    }
    let none = "x-amz-trailer";
    for mode in [SIGNED_TRAILER, UNSIGNED_TRAILER] {
        let draft = put(mode).header("x-amz-decoded-content-length", "5");
        assert_eq!(
            Upload::of(draft.sign(), mode, b"hello", &[], Algorithm::Crc32).code(),
            Some(MalformedTrailerError),
            "PL-16 none"
        );
        for name in ["x-amz-meta-a", "", "x-amz-checksum-md4", "x-amz-checksum-crc32,x-amz-checksum-sha1"] {
            let draft = put(mode).header("x-amz-decoded-content-length", "5").header(none, name);
            assert_eq!(
                Upload::of(draft.sign(), mode, b"hello", &[], Algorithm::Crc32).code(),
                Some(InvalidRequest),
                "PL-16 {name}"
            );
        }
    }
    let draft = put(SIGNED).header("x-amz-decoded-content-length", "5").header(none, "x-amz-checksum-crc32");
    assert_eq!(
        Upload::of(draft.sign(), SIGNED, b"hello", &[], Algorithm::Crc32).code(),
        Some(MalformedTrailerError),
        "a trailer in a mode without"
    );
    assert_eq!(
        trailer(SIGNED, &|_| "x-amz-checksum-crc32c:AAAAAA==\r\n\r\n".into()),
        Some(MalformedTrailerError),
        "a trailer nobody announced"
    );
    assert_eq!(
        trailer(SIGNED_TRAILER, &|t| format!("{}\r\n\r\n", t.split("\r\n").next().unwrap())),
        Some(MalformedTrailerError),
        "PL-19 missing"
    );
    let changed = |t: &str| {
        let at = t.len() - 5;
        let digit = if &t[at..=at] == "0" { "1" } else { "0" };
        format!("{}{digit}{}", &t[..at], &t[at + 1..])
    };
    assert_eq!(trailer(SIGNED_TRAILER, &changed), Some(SignatureDoesNotMatch), "PL-19 changed");
    assert_eq!(
        trailer(SIGNED_TRAILER, &|t| t.replace("signature:", "signature:0")),
        Some(SignatureDoesNotMatch),
        "PL-19 too long"
    );
}

#[test]
fn pl_17_a_trailing_checksum_of_other_bytes() {
    for algorithm in Algorithm::ALL {
        let wrong = Upload::new(UNSIGNED_TRAILER, b"hello", &[], algorithm).with(|u| {
            u.trailer = format!("{}:{}\r\n\r\n", algorithm.header(), checksum(algorithm, b"hellp")).into_bytes();
        });
        assert_eq!(wrong.code(), Some(BadDigest), "PL-17 {algorithm:?}");
        let signed = Upload::new(SIGNED_TRAILER, b"hello", &[], algorithm).with(|u| {
            let mut chain = u.wire.chain.clone();
            chain.chunk(b"hello");
            chain.chunk(b"");
            let line = format!("{}:{}", algorithm.header(), checksum(algorithm, b"hellp"));
            let signature = chain.trailer(&format!("{line}\n"));
            u.trailer = format!("{line}\r\nx-amz-trailer-signature:{signature}\r\n\r\n").into_bytes();
        });
        assert_eq!(signed.code(), Some(BadDigest), "PL-17 signed {algorithm:?}");
    }
}

#[test]
fn after_a_refusal_nothing_is_released_any_more() {
    let upload = Upload::new(UNSIGNED_TRAILER, &pattern(9000), &[9000], Algorithm::Crc32)
        .with(|u| u.chunks[1].0 = "zz\r\n".into());
    let (request, verified) = (upload.wire.request().unwrap(), upload.wire.authenticate().unwrap());
    let plan = plan(&request, &verified, CHUNKED).unwrap();
    let mut verifier = BodyVerifier::new(&plan, &verified);
    assert_eq!(verifier.push(upload.body().into()).unwrap_err().code, IncompleteBody);
    assert_eq!(verifier.push(Bytes::from_static(b"0\r\n\r\n")).unwrap_err().code, IncompleteBody);
    assert_eq!(verifier.finish().unwrap_err().code, IncompleteBody);
}
