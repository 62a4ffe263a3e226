//! Checksums of bytes as they pass, and of objects from their parts'.
use super::{Algorithm, render_value};
use crc_fast::CrcAlgorithm;
use sha1::Digest as _;
use xxhash_rust::{xxh3::Xxh3, xxh64::Xxh64};

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
