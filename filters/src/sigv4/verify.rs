//! The comparison: what the client signed against what we compute, in constant time, for requests and for chunks.
use super::{Claim, PayloadMode, SigningKey, canonical};
use hmac::Mac;
use s3gateway_s3::{S3Code, S3Error, S3Request};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Proof that a request was signed with the key it names. Made only by [`verify`] and [`crate::sigv2::verify`].
#[derive(Debug)]
pub struct Verified {
    payload: PayloadMode,
    chunks: Option<ChunkSignatures>,
}

impl Verified {
    /// For a URL whose signature has been compared; it signs no chunks.
    pub(crate) fn of_url(payload: PayloadMode) -> Self {
        Self { payload, chunks: None }
    }

    /// How the body is protected.
    pub fn payload(&self) -> PayloadMode {
        self.payload
    }

    /// The start of the chain of chunk signatures, in the two modes that have one.
    pub(crate) fn chunk_signatures(&self) -> Option<ChunkSignatures> {
        self.chunks.clone()
    }
}

/// Checks the request's signature with the key that belongs to its claim.
///
/// `request` must be the one that `claim` was parsed from; any other fails.
///
/// # Errors
/// `SignatureDoesNotMatch`, which says nothing of what would have matched.
pub fn verify(request: &S3Request, claim: &Claim<'_>, key: &SigningKey) -> Result<Verified, S3Error> {
    let refused = || S3Code::SignatureDoesNotMatch.error();
    let hash = canonical::hash_canonical_request(request, claim).ok_or_else(refused)?;
    let expected = key.sign_request(claim.timestamp(), claim.scope(), &hash);
    if !bool::from(expected.ct_eq(claim.signature())) {
        return Err(refused());
    }
    let chunks = match claim.payload() {
        PayloadMode::StreamingSigned | PayloadMode::StreamingSignedTrailer => {
            Some(ChunkSignatures::new(key.clone(), claim))
        }
        PayloadMode::Signed(_) | PayloadMode::Unsigned | PayloadMode::StreamingUnsignedTrailer => None,
    };
    Ok(Verified { payload: claim.payload(), chunks })
}

/// The chain of chunk signatures: each signs its chunk and the signature before it, the first the request's.
#[derive(Clone, Debug)]
pub(crate) struct ChunkSignatures {
    key: SigningKey,
    /// `<timestamp>\n<scope>\n`.
    context: String,
    previous: [u8; 64],
}

/// Hex SHA-256 of nothing: a chunk's string to sign has no headers of its own.
const EMPTY_SHA256: &[u8] = b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

impl ChunkSignatures {
    fn new(key: SigningKey, claim: &Claim<'_>) -> Self {
        let mut context = String::with_capacity(claim.timestamp().len() + claim.scope().len() + 2);
        context.extend(claim.timestamp().iter().map(|b| char::from(*b)));
        context.push('\n');
        context.push_str(claim.scope());
        context.push('\n');
        Self { key, context, previous: hex64(claim.signature()) }
    }

    /// Whether `signature` is the next in the chain for a chunk whose SHA-256 is given.
    #[must_use]
    pub(crate) fn verify_chunk(&mut self, sha256: &[u8; 32], signature: &[u8; 64]) -> bool {
        let mut mac = self.begin(b"AWS4-HMAC-SHA256-PAYLOAD\n");
        mac.update(EMPTY_SHA256);
        mac.update(b"\n");
        mac.update(&hex64(sha256));
        self.advance(mac, signature)
    }

    /// Whether `signature` is the next in the chain for trailing headers in canonical form (`name:value\n`).
    #[must_use]
    pub(crate) fn verify_trailer(&mut self, canonical: &[u8], signature: &[u8; 64]) -> bool {
        let mut mac = self.begin(b"AWS4-HMAC-SHA256-TRAILER\n");
        mac.update(&hex64(&Sha256::digest(canonical).into()));
        self.advance(mac, signature)
    }

    fn begin(&self, algorithm: &[u8]) -> super::key::HmacSha256 {
        let mut mac = self.key.mac();
        mac.update(algorithm);
        mac.update(self.context.as_bytes());
        mac.update(&self.previous);
        mac.update(b"\n");
        mac
    }

    fn advance(&mut self, mac: super::key::HmacSha256, signature: &[u8; 64]) -> bool {
        let expected = hex64(&mac.finalize().into_bytes().into());
        self.previous = expected;
        expected.ct_eq(signature).into()
    }
}

/// Lower-case hex of a SHA-256 without an allocation.
pub fn hex64(bytes: &[u8; 32]) -> [u8; 64] {
    let mut text = [0u8; 64];
    // Cannot fail: the output is exactly twice the input. Were it to, zeros match no signature.
    let _ = hex::encode_to_slice(bytes, &mut text);
    text
}
