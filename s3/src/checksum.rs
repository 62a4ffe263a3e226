//! The object checksums of S3 and their wire forms, and Content-MD5.
//! Source: Amazon S3 User Guide, "Checking object integrity in Amazon S3".
use crate::{S3Code, S3Error};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use crc_fast::CrcAlgorithm;
use http::HeaderMap;
use sha1::Digest as _;
use strum::EnumIter;
use xxhash_rust::{xxh3::Xxh3, xxh64::Xxh64};

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

/// A running checksum.
#[derive(Clone)]
pub struct Hasher(State);

#[derive(Clone)]
enum State {
    Crc(crc_fast::Digest, usize),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
    Md5(md5::Md5),
    Xxh64(Xxh64),
    /// On the heap: it holds half a KiB of its input.
    Xxh3(Box<Xxh3>, usize),
}

impl Hasher {
    /// Begins with no bytes.
    pub fn new(algorithm: Algorithm) -> Self {
        let crc = |variant| State::Crc(crc_fast::Digest::new(variant), algorithm.digest_len());
        Self(match algorithm {
            Algorithm::Crc32 => crc(CrcAlgorithm::Crc32IsoHdlc),
            Algorithm::Crc32c => crc(CrcAlgorithm::Crc32Iscsi),
            Algorithm::Crc64Nvme => crc(CrcAlgorithm::Crc64Nvme),
            Algorithm::Sha1 => State::Sha1(sha1::Sha1::new()),
            Algorithm::Sha256 => State::Sha256(sha2::Sha256::new()),
            Algorithm::Sha512 => State::Sha512(sha2::Sha512::new()),
            Algorithm::Md5 => State::Md5(md5::Md5::new()),
            Algorithm::XxHash64 => State::Xxh64(Xxh64::new(0)),
            Algorithm::XxHash3 | Algorithm::XxHash128 => State::Xxh3(Box::new(Xxh3::new()), algorithm.digest_len()),
        })
    }

    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Crc(digest, _) => digest.update(bytes),
            State::Sha1(digest) => digest.update(bytes),
            State::Sha256(digest) => digest.update(bytes),
            State::Sha512(digest) => digest.update(bytes),
            State::Md5(digest) => digest.update(bytes),
            State::Xxh64(digest) => digest.update(bytes),
            State::Xxh3(digest, _) => digest.update(bytes),
        }
    }

    /// The digest of all bytes, [`Algorithm::digest_len`] long (CRC and XXH in network byte order).
    pub fn finalize(self) -> Vec<u8> {
        match self.0 {
            State::Crc(digest, len) => digest.finalize().to_be_bytes().into_iter().skip(8 - len).collect(),
            State::Sha1(digest) => digest.finalize().to_vec(),
            State::Sha256(digest) => digest.finalize().to_vec(),
            State::Sha512(digest) => digest.finalize().to_vec(),
            State::Md5(digest) => digest.finalize().to_vec(),
            State::Xxh64(digest) => digest.digest().to_be_bytes().to_vec(),
            State::Xxh3(digest, 8) => digest.digest().to_be_bytes().to_vec(),
            State::Xxh3(digest, _) => digest.digest128().to_be_bytes().to_vec(),
        }
    }
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

/// A running MD5, for Content-MD5 and for ETags. Not a proof against an attacker.
#[derive(Clone, Debug, Default)]
pub struct Md5(md5::Md5);

impl Md5 {
    /// Begins with no bytes.
    pub fn new() -> Self {
        Self::default()
    }
    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    /// The digest of all bytes.
    pub fn finalize(self) -> [u8; 16] {
        self.0.finalize().into()
    }
}

/// Base64 as checksum headers carry it.
pub fn render_value(digest: &[u8]) -> String {
    BASE64_STANDARD.encode(digest)
}

/// The checksum of parts one behind the other, from the checksums and lengths of the parts; `None` where the algorithm's
/// checksums cannot be combined.
pub fn combine<'p>(algorithm: Algorithm, parts: impl IntoIterator<Item = (&'p [u8], u64)>) -> Option<Vec<u8>> {
    let crc = match algorithm {
        Algorithm::Crc32 => CrcAlgorithm::Crc32IsoHdlc,
        Algorithm::Crc32c => CrcAlgorithm::Crc32Iscsi,
        Algorithm::Crc64Nvme => CrcAlgorithm::Crc64Nvme,
        _ => return None,
    };
    let number = |digest: &[u8]| digest.iter().fold(0u64, |number, byte| (number << 8) | u64::from(*byte));
    let combined = parts.into_iter().map(|(digest, length)| (number(digest), length));
    let combined = combined.reduce(|(whole, before), (digest, length)| {
        let joined = crc_fast::checksum_combine(crc, whole, digest, length);
        (joined, before.saturating_add(length))
    });
    combined.map(|(whole, _)| whole.to_be_bytes().into_iter().skip(8 - algorithm.digest_len()).collect())
}

/// A multipart object's composite checksum: that of its parts' checksums, and how many they are.
pub fn composite<'p>(algorithm: Algorithm, parts: impl IntoIterator<Item = &'p [u8]>) -> String {
    let (mut hasher, mut count) = (Hasher::new(algorithm), 0);
    for digest in parts {
        hasher.update(digest);
        count += 1;
    }
    format!("{}-{count}", render_value(&hasher.finalize()))
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
