//! The object checksums of S3 and their wire forms, and Content-MD5.
//! Source: Amazon S3 User Guide, "Checking object integrity in Amazon S3".
mod hasher;

pub use hasher::{Hasher, Md5, combine, composite};

use crate::{S3Code, S3Error};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::HeaderMap;
use strum::EnumIter;

/// A checksum algorithm that S3 knows by a header of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EnumIter)]
pub enum Algorithm {
    /// CRC-32 (ISO-HDLC), 4 bytes.
    Crc32,
    /// CRC-32C (Castagnoli), 4 bytes.
    Crc32c,
    /// CRC-64/NVME, 8 bytes.
    Crc64Nvme,
    /// SHA-1, 20 bytes.
    Sha1,
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-512, 64 bytes.
    Sha512,
    /// MD5, 16 bytes.
    Md5,
    /// XXH64 with seed 0, 8 bytes.
    XxHash64,
    /// XXH3 of 64 bits with seed 0, 8 bytes.
    XxHash3,
    /// XXH3 of 128 bits with seed 0, 16 bytes.
    XxHash128,
}

impl Algorithm {
    /// All of them, in the order of the names above.
    pub const ALL: [Self; 10] = [
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
        Self::Sha1,
        Self::Sha256,
        Self::Sha512,
        Self::Md5,
        Self::XxHash64,
        Self::XxHash3,
        Self::XxHash128,
    ];

    /// Whether a backend that keeps checksums may be given one of these. The younger ones are known to few servers.
    pub fn is_widespread(self) -> bool {
        matches!(self, Self::Crc32 | Self::Crc32c | Self::Crc64Nvme | Self::Sha1 | Self::Sha256)
    }

    /// What S3 makes of an object that comes without any checksum. A backend that does so, too, says it of an object whose
    /// own checksum it does not know.
    pub const DEFAULT: Self = Self::Crc64Nvme;

    /// From a header or trailer name such as `x-amz-checksum-crc32`, in any case.
    pub fn from_header(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.header().eq_ignore_ascii_case(name))
    }

    /// From a name as `x-amz-checksum-algorithm` and `x-amz-sdk-checksum-algorithm` carry it, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.name().eq_ignore_ascii_case(name))
    }

    /// The header or trailer that carries its value, lower-case.
    pub fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
            Self::Sha512 => "x-amz-checksum-sha512",
            Self::Md5 => "x-amz-checksum-md5",
            Self::XxHash64 => "x-amz-checksum-xxhash64",
            Self::XxHash3 => "x-amz-checksum-xxhash3",
            Self::XxHash128 => "x-amz-checksum-xxhash128",
        }
    }

    /// The XML element that carries its value.
    pub fn element(self) -> &'static str {
        match self {
            Self::Crc32 => "ChecksumCRC32",
            Self::Crc32c => "ChecksumCRC32C",
            Self::Crc64Nvme => "ChecksumCRC64NVME",
            Self::Sha1 => "ChecksumSHA1",
            Self::Sha256 => "ChecksumSHA256",
            Self::Sha512 => "ChecksumSHA512",
            Self::Md5 => "ChecksumMD5",
            Self::XxHash64 => "ChecksumXXHASH64",
            Self::XxHash3 => "ChecksumXXHASH3",
            Self::XxHash128 => "ChecksumXXHASH128",
        }
    }

    /// From an XML element such as `ChecksumCRC32`.
    pub fn from_element(element: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.element() == element)
    }

    /// S3's name for it, such as `CRC32`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
            Self::Md5 => "MD5",
            Self::XxHash64 => "XXHASH64",
            Self::XxHash3 => "XXHASH3",
            Self::XxHash128 => "XXHASH128",
        }
    }

    /// Bytes of a digest.
    pub fn digest_len(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme | Self::XxHash64 | Self::XxHash3 => 8,
            Self::Md5 | Self::XxHash128 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

/// What a checksum is of (Amazon S3 API Reference, `x-amz-checksum-type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChecksumType {
    /// The object's bytes.
    FullObject,
    /// The checksums of its parts, one behind the other.
    Composite,
}

impl ChecksumType {
    /// S3's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::FullObject => "FULL_OBJECT",
            Self::Composite => "COMPOSITE",
        }
    }

    /// From S3's name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::FullObject, Self::Composite].into_iter().find(|kind| kind.name() == name)
    }

    /// As a value tells: a composite one ends in the number of parts.
    pub fn of_value(value: &str) -> Self {
        if value.contains('-') { Self::Composite } else { Self::FullObject }
    }
}

/// An object's checksum as S3 shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    /// By which algorithm.
    pub algorithm: Algorithm,
    /// What it is of.
    pub kind: ChecksumType,
    /// In base64, with `-N` behind a composite one.
    pub value: String,
}

impl Checksum {
    /// Of an object that was put at once.
    pub fn full_object(algorithm: Algorithm, value: String) -> Self {
        Self { algorithm, kind: ChecksumType::FullObject, value }
    }
}

/// Base64 as checksum headers carry it.
pub fn render_value(digest: &[u8]) -> String {
    BASE64_STANDARD.encode(digest)
}

/// A checksum header's value; `None` unless it is canonical base64 of exactly the algorithm's length.
pub fn parse_value(algorithm: Algorithm, value: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(value).ok().filter(|digest| digest.len() == algorithm.digest_len())
}

/// The value of `Content-MD5`; `None` unless it is canonical base64 of 16 bytes.
pub fn parse_content_md5(value: &str) -> Option<[u8; 16]> {
    BASE64_STANDARD.decode(value).ok()?.try_into().ok()
}

/// The one checksum that a request's headers declare for its body, parsed.
///
/// # Errors
/// `InvalidRequest` for two of them, for one that is malformed, and for an algorithm not known here, because a
/// checksum that nobody compares is worse than none.
pub fn from_headers(headers: &HeaderMap) -> Result<Option<(Algorithm, Vec<u8>)>, S3Error> {
    let mut found = None;
    for (name, value) in headers {
        let Some(kind) = name.as_str().strip_prefix("x-amz-checksum-") else { continue };
        if matches!(kind, "mode" | "type" | "algorithm") {
            continue;
        }
        if found.is_some() {
            return Err(S3Code::InvalidRequest
                .because("Expecting a single x-amz-checksum- header. Multiple checksum types are not allowed."));
        }
        let malformed = || S3Code::InvalidRequest.because(format!("Value for {name} header is invalid."));
        let algorithm = Algorithm::from_header(name.as_str())
            .ok_or_else(|| S3Code::InvalidRequest.because(format!("The checksum header {name} is not supported.")))?;
        let text = value.to_str().map_err(|_| malformed())?;
        found = Some((algorithm, parse_value(algorithm, text).ok_or_else(malformed)?));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn check_values() {
        for (algorithm, want) in [
            (Algorithm::Crc32, "cbf43926"),
            (Algorithm::Crc32c, "e3069283"),
            (Algorithm::Crc64Nvme, "ae8b14860a799888"),
            (Algorithm::Sha1, "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
            (Algorithm::Sha256, "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
            (
                Algorithm::Sha512,
                "d9e6762dd1c8eaf6d61b3c6192fc408d4d6d5f1176d0c29169bc24e71c3f274ad27fcd5811b313d681f7e55ec02d73d499c95455b6b5bb503acf574fba8ffe85",
            ),
            (Algorithm::Md5, "25f9e794323b453885f5181f1b624d0b"),
            (Algorithm::XxHash64, "8cb841db40e6ae83"),
            (Algorithm::XxHash3, "72dcb18b67a17dff"),
            (Algorithm::XxHash128, "33119477ede5dcd5e9716427681d5860"),
        ] {
            let mut hasher = Hasher::new(algorithm);
            hasher.update(b"1234");
            hasher.update(b"56789");
            let digest = hasher.finalize();
            assert_eq!(hex::encode(&digest), want, "{algorithm:?}");
            assert_eq!(digest.len(), algorithm.digest_len());
            assert_eq!(parse_value(algorithm, &render_value(&digest)), Some(digest));
            assert_eq!(Algorithm::from_header(&algorithm.header().to_uppercase()), Some(algorithm));
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
            assert_eq!(Algorithm::from_element(algorithm.element()), Some(algorithm));
        }
        let mut md5 = Md5::new();
        md5.update(b"123456789");
        assert_eq!(hex::encode(md5.finalize()), "25f9e794323b453885f5181f1b624d0b");
    }

    #[test]
    fn values_are_strict_base64_of_the_right_length() {
        for (value, want) in [
            ("AAAAAA==", true),
            ("AAAAAA", false),
            ("AAAAAB==", false),
            ("AAAAAAA=", false),
            (" AAAAAA==", false),
            ("AAAA AA==", false),
            ("", false),
            ("____AA==", false),
        ] {
            assert_eq!(parse_value(Algorithm::Crc32, value).is_some(), want, "{value}");
        }
        assert!(parse_content_md5("1B2M2Y8AsgTpgAmY7PhCfg==").is_some());
        assert!(parse_content_md5("1B2M2Y8Asg").is_none() && parse_content_md5("").is_none());
    }

    #[test]
    fn one_known_checksum_at_most() {
        let check = |names: &[(&'static str, &'static str)]| {
            let headers: HeaderMap = names
                .iter()
                .map(|(n, v)| (http::HeaderName::from_static(n), http::HeaderValue::from_static(v)))
                .collect();
            from_headers(&headers).map(|found| found.map(|(a, _)| a)).map_err(|e| e.code)
        };
        assert_eq!(check(&[]), Ok(None));
        assert_eq!(check(&[("x-amz-checksum-crc32", "AAAAAA==")]), Ok(Some(Algorithm::Crc32)));
        assert_eq!(
            check(&[("x-amz-checksum-mode", "ENABLED"), ("x-amz-checksum-crc32", "AAAAAA==")]),
            Ok(Some(Algorithm::Crc32))
        );
        assert_eq!(check(&[("x-amz-checksum-crc32", "AAAA")]), Err(S3Code::InvalidRequest));
        assert_eq!(
            check(&[("x-amz-checksum-crc32", "AAAAAA=="), ("x-amz-checksum-crc32c", "AAAAAA==")]),
            Err(S3Code::InvalidRequest)
        );
        assert_eq!(check(&[("x-amz-checksum-xxhash3", "AAAAAAAAAAA=")]), Ok(Some(Algorithm::XxHash3)));
        assert_eq!(check(&[("x-amz-checksum-xxhash32", "AAAAAA==")]), Err(S3Code::InvalidRequest));
    }

    proptest! {
        #[test]
        fn combined_parts_are_the_whole(parts in proptest::collection::vec(any::<Vec<u8>>(), 1..6)) {
            let whole = |algorithm, bytes: &[u8]| {
                let mut hasher = Hasher::new(algorithm);
                hasher.update(bytes);
                hasher.finalize()
            };
            for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
                let digests: Vec<_> = parts.iter().map(|part| (whole(algorithm, part), part.len() as u64)).collect();
                let combined = combine(algorithm, digests.iter().map(|(digest, length)| (&**digest, *length)));
                prop_assert_eq!(combined, Some(whole(algorithm, &parts.concat())));
            }
            prop_assert_eq!(combine(Algorithm::Sha1, []), None);
        }

        #[test]
        fn any_split_hashes_alike(body in any::<Vec<u8>>(), at in 0usize..4096) {
            let (head, tail) = body.split_at(at.min(body.len()));
            for algorithm in Algorithm::ALL {
                let (mut whole, mut parts) = (Hasher::new(algorithm), Hasher::new(algorithm));
                whole.update(&body);
                parts.update(head);
                parts.update(tail);
                prop_assert_eq!(whole.finalize(), parts.finalize());
            }
        }
    }
}
