//! Object checksums: computed while bytes pass, compared, and combined over the parts of a multipart upload.
//! Source: Amazon S3 User Guide, "Checking object integrity in Amazon S3".
use base64::{Engine as _, prelude::BASE64_STANDARD};
use crc_fast::CrcAlgorithm;
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};
use sha1::Digest as _;

/// The algorithms that S3 knew before XXHASH.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// CRC-32.
    Crc32,
    /// CRC-32C.
    Crc32c,
    /// CRC-64/NVME, which S3 computes where a client names no algorithm.
    Crc64Nvme,
    /// SHA-1.
    Sha1,
    /// SHA-256.
    Sha256,
}

/// What a checksum of a multipart object is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Of the checksums of the parts.
    Composite,
    /// Of all the bytes.
    FullObject,
}

/// A checksum as it is stored and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// By which algorithm.
    pub algorithm: Algorithm,
    /// Of what.
    pub kind: Kind,
    /// Base64; with `-<parts>` where it is composite.
    pub value: String,
}

impl Algorithm {
    const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// S3's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    /// The header that carries its value.
    pub fn header(self) -> &'static str {
        match self {
            Self::Crc32 => "x-amz-checksum-crc32",
            Self::Crc32c => "x-amz-checksum-crc32c",
            Self::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Self::Sha1 => "x-amz-checksum-sha1",
            Self::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// From S3's name, in any case.
    pub fn parse(name: &str) -> S3Result<Self> {
        let known = Self::ALL.into_iter().find(|a| a.name().eq_ignore_ascii_case(name));
        known.ok_or_else(|| s3_error!(InvalidRequest, "Checksum algorithm provided is unsupported."))
    }

    /// Bytes of a digest.
    pub fn len(self) -> usize {
        match self {
            Self::Crc32 | Self::Crc32c => 4,
            Self::Crc64Nvme => 8,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    fn crc(self) -> Option<CrcAlgorithm> {
        match self {
            Self::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
            Self::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
            Self::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
            Self::Sha1 | Self::Sha256 => None,
        }
    }

    /// What S3 takes where a multipart upload names no type.
    pub fn default_kind(self) -> Kind {
        if self == Self::Crc64Nvme { Kind::FullObject } else { Kind::Composite }
    }

    /// Refuses the combinations that S3 has not got.
    pub fn check_kind(self, kind: Kind) -> S3Result<()> {
        let known = match kind {
            Kind::FullObject => self.crc().is_some(),
            Kind::Composite => self != Self::Crc64Nvme,
        };
        if known {
            return Ok(());
        }
        let (kind, name) = (kind.name(), self.name().to_ascii_lowercase());
        Err(s3_error!(InvalidRequest, "The {kind} checksum type cannot be used with the {name} checksum algorithm."))
    }
}

impl Kind {
    /// S3's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Composite => "COMPOSITE",
            Self::FullObject => "FULL_OBJECT",
        }
    }

    /// From S3's name.
    pub fn parse(name: &str) -> S3Result<Self> {
        [Self::Composite, Self::FullObject]
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| s3_error!(InvalidRequest, "Value for x-amz-checksum-type header is invalid."))
    }
}

impl Checksum {
    /// Of all the bytes.
    pub fn whole(algorithm: Algorithm, digest: &[u8]) -> Self {
        Self { algorithm, kind: Kind::FullObject, value: BASE64_STANDARD.encode(digest) }
    }

    /// Whether `given` names this value; S3 takes a composite one with and without its count of parts.
    pub fn is(&self, given: &str) -> bool {
        self.value == given
            || self.kind == Kind::Composite && self.value.rsplit_once('-').is_some_and(|(sum, _)| sum == given)
    }
}

/// One running checksum.
#[derive(Clone)]
enum Hasher {
    Crc(crc_fast::Digest, usize),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
}

impl Hasher {
    fn new(algorithm: Algorithm) -> Self {
        match (algorithm.crc(), algorithm) {
            (Some(crc), _) => Self::Crc(crc_fast::Digest::new(crc), algorithm.len()),
            (None, Algorithm::Sha1) => Self::Sha1(sha1::Sha1::new()),
            (None, _) => Self::Sha256(sha2::Sha256::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(digest, _) => digest.update(bytes),
            Self::Sha1(digest) => digest.update(bytes),
            Self::Sha256(digest) => digest.update(bytes),
        }
    }

    fn finalize(self) -> Vec<u8> {
        match self {
            Self::Crc(digest, len) => crc_bytes(digest.finalize(), len),
            Self::Sha1(digest) => digest.finalize().to_vec(),
            Self::Sha256(digest) => digest.finalize().to_vec(),
        }
    }
}

fn crc_bytes(crc: u64, len: usize) -> Vec<u8> {
    crc.to_be_bytes().into_iter().skip(8 - len).collect()
}

/// The MD5 of a body and its checksums, as it passes.
pub struct Hashes {
    md5: md5::Md5,
    sums: Vec<(Algorithm, Hasher)>,
}

/// What [`Hashes`] found.
pub struct Digests {
    /// For the ETag.
    pub md5: [u8; 16],
    sums: Vec<(Algorithm, Vec<u8>)>,
}

impl Hashes {
    /// Of these algorithms; the same one twice counts once.
    pub fn new(algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        let mut sums: Vec<(Algorithm, Hasher)> = Vec::new();
        for algorithm in algorithms {
            if !sums.iter().any(|(known, _)| *known == algorithm) {
                sums.push((algorithm, Hasher::new(algorithm)));
            }
        }
        Self { md5: md5::Md5::new(), sums }
    }

    /// Takes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        for (_, sum) in &mut self.sums {
            sum.update(bytes);
        }
    }

    /// Of all bytes.
    pub fn finalize(self) -> Digests {
        let sums = self.sums.into_iter().map(|(algorithm, sum)| (algorithm, sum.finalize())).collect();
        Digests { md5: self.md5.finalize().into(), sums }
    }
}

impl Digests {
    /// The checksum of all bytes by one of the algorithms that were asked for.
    pub fn checksum(&self, algorithm: Algorithm) -> Option<Checksum> {
        let (_, digest) = self.sums.iter().find(|(known, _)| *known == algorithm)?;
        Some(Checksum::whole(algorithm, digest))
    }

    /// The ETag of an object that was put at once.
    pub fn etag(&self) -> String {
        hex::encode(self.md5)
    }
}

/// The checksum of a multipart object from those of its parts, each with its size.
///
/// # Errors
/// `InternalError` where a part has no checksum of that algorithm, which no stored part lacks.
pub fn of_parts<'a>(
    algorithm: Algorithm,
    kind: Kind,
    parts: impl IntoIterator<Item = (&'a Checksum, u64)>,
) -> S3Result<Checksum> {
    let broken = || s3_error!(InternalError, "a stored part lacks its checksum");
    let (mut count, mut hasher, mut crc) = (0_usize, Hasher::new(algorithm), 0_u64);
    for (part, size) in parts {
        let digest = BASE64_STANDARD.decode(&part.value).map_err(|_| broken())?;
        if part.algorithm != algorithm || digest.len() != algorithm.len() {
            return Err(broken());
        }
        match (kind, algorithm.crc()) {
            (Kind::FullObject, Some(variant)) => {
                let of_part = digest.iter().fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
                crc = if count == 0 { of_part } else { crc_fast::checksum_combine(variant, crc, of_part, size) };
            }
            _ => hasher.update(&digest),
        }
        count += 1;
    }
    if kind == Kind::FullObject {
        return Ok(Checksum::whole(algorithm, &crc_bytes(crc, algorithm.len())));
    }
    Ok(Checksum { algorithm, kind, value: format!("{}-{count}", BASE64_STANDARD.encode(hasher.finalize())) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(algorithm: Algorithm, bytes: &[u8]) -> Checksum {
        let mut hashes = Hashes::new([algorithm]);
        hashes.update(bytes);
        hashes.finalize().checksum(algorithm).unwrap()
    }

    #[test]
    fn known_answers() {
        for (algorithm, want) in [
            (Algorithm::Crc32, "y/Q5Jg=="),
            (Algorithm::Crc32c, "4waSgw=="),
            (Algorithm::Crc64Nvme, "rosUhgp5mIg="),
            (Algorithm::Sha1, "98O8HYCOBHMq32eZZczDTKeuNEE="),
            (Algorithm::Sha256, "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
        ] {
            assert_eq!(sum(algorithm, b"123456789").value, want, "{algorithm:?}");
        }
    }

    proptest! {
        #[test]
        fn the_crc_of_parts_is_that_of_all_bytes(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..99), 1..6)) {
            for algorithm in [Algorithm::Crc32, Algorithm::Crc32c, Algorithm::Crc64Nvme] {
                let sums: Vec<(Checksum, u64)> = parts.iter().map(|part| (sum(algorithm, part), part.len() as u64)).collect();
                let whole = of_parts(algorithm, Kind::FullObject, sums.iter().map(|(sum, size)| (sum, *size))).unwrap();
                prop_assert_eq!(whole, sum(algorithm, &parts.concat()));
            }
        }
    }

    #[test]
    fn a_composite_counts_its_parts() {
        let parts = [sum(Algorithm::Sha256, b"a"), sum(Algorithm::Sha256, b"b")];
        let composite = of_parts(Algorithm::Sha256, Kind::Composite, parts.iter().map(|part| (part, 1))).unwrap();
        assert!(composite.value.ends_with("-2") && composite.is(&composite.value.replace("-2", "")));
        assert!(of_parts(Algorithm::Sha1, Kind::Composite, parts.iter().map(|part| (part, 1))).is_err());
    }
}
