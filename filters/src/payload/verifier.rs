//! Compares a body with its plan while it streams, and holds its end back until the comparison is done.
use super::chunked::ChunkedDecoder;
use super::plan::{BodyPlan, Encoding};
use crate::sigv4::Verified;
use bytes::{Bytes, BytesMut};
use s3gateway_s3::checksum::{self, Algorithm, Checksum, Hasher, Md5};
use s3gateway_s3::{S3Code, S3Error};
use sha2::{Digest, Sha256};

/// A body on its way through. Holds back the last piece of data pushed, so memory is one pushed buffer.
///
/// After an error it gives that error for ever: nothing more is released.
#[derive(Debug)]
pub struct BodyVerifier {
    decoder: Decoder,
    digests: Digests,
    /// The newest data, not yet released.
    held: Bytes,
    failed: Option<S3Error>,
}

/// What a body that has proven true leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The last data, now free to go upstream.
    pub tail: Bytes,
    /// The checksum that the client declared in a header or a trailer, compared and found true.
    pub checksum: Option<Checksum>,
    /// The checksum that [`BodyPlan::and_compute`] asks for.
    pub computed: Option<Checksum>,
}

#[derive(Debug)]
enum Decoder {
    Plain { left: u64 },
    AwsChunked(Box<ChunkedDecoder>),
}

impl BodyVerifier {
    /// Begins a body. For a second attempt make a new one.
    pub fn new(plan: &BodyPlan, verified: &Verified) -> Self {
        let decoder = match plan.encoding {
            Encoding::Plain => Decoder::Plain { left: plan.decoded_length },
            Encoding::AwsChunked { signed, trailer } => {
                let signatures = if signed { verified.chunk_signatures() } else { None };
                Decoder::AwsChunked(Box::new(ChunkedDecoder::new(plan.decoded_length, signatures, trailer)))
            }
        };
        // A plan of signed chunks with a request that has no chain cannot come from one `Verified`; it must not pass.
        let mismatched =
            matches!(plan.encoding, Encoding::AwsChunked { signed: true, .. }) && verified.chunk_signatures().is_none();
        let failed = mismatched.then(|| S3Code::SignatureDoesNotMatch.error());
        Self { decoder, digests: Digests::new(plan), held: Bytes::new(), failed }
    }

    /// Takes the next bytes of the wire; gives data that may go upstream now, if any, in order and without a copy where
    /// it is one piece. The newest data always stays behind.
    ///
    /// # Errors
    /// S3's own as soon as the body cannot be what was announced; the upstream request must then be cut, not ended.
    pub fn push(&mut self, wire: Bytes) -> Result<Option<Bytes>, S3Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let mut released = Released::default();
        let (digests, held) = (&mut self.digests, &mut self.held);
        let mut take = |piece: Bytes| {
            digests.update(&piece);
            released.add(std::mem::replace(held, piece));
        };
        let outcome = match &mut self.decoder {
            Decoder::AwsChunked(decoder) => decoder.push(wire, take),
            Decoder::Plain { left } => match left.checked_sub(wire.len() as u64) {
                None => Err(S3Code::IncompleteBody.because("The body is longer than Content-Length says.")),
                Some(rest) => {
                    *left = rest;
                    if !wire.is_empty() {
                        take(wire);
                    }
                    Ok(())
                }
            },
        };
        match outcome {
            Ok(()) => Ok(released.into_bytes()),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// The end of the wire: the verdict, and with it the data held back.
    ///
    /// # Errors
    /// `IncompleteBody`, `SignatureDoesNotMatch`, `MalformedTrailerError`, `XAmzContentSHA256Mismatch`, `BadDigest` or
    /// `InvalidRequest`; the upstream request must then be cut, not ended.
    pub fn finish(&mut self) -> Result<Finished, S3Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let trailing = match &mut self.decoder {
            Decoder::Plain { left: 0 } => Ok(None),
            Decoder::Plain { .. } => Err(S3Code::IncompleteBody.error()),
            Decoder::AwsChunked(decoder) => decoder.finish(),
        };
        match trailing.and_then(|value| self.digests.verify(value)) {
            Ok((checksum, computed)) => {
                let tail = std::mem::take(&mut self.held);
                self.failed = Some(S3Code::InternalError.because("The body has ended already."));
                Ok(Finished { tail, checksum, computed })
            }
            Err(error) => Err(self.fail(error)),
        }
    }

    fn fail(&mut self, error: S3Error) -> S3Error {
        self.held = Bytes::new();
        self.failed = Some(error.clone());
        error
    }
}

/// Pieces that leave together: one goes as it is, several are joined.
#[derive(Default)]
pub(super) enum Released {
    #[default]
    Nothing,
    One(Bytes),
    Joined(BytesMut),
}

impl Released {
    pub(super) fn add(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        *self = match std::mem::take(self) {
            Self::Nothing => Self::One(piece),
            Self::One(first) => {
                let mut joined = BytesMut::with_capacity(first.len() + piece.len());
                joined.extend_from_slice(&first);
                joined.extend_from_slice(&piece);
                Self::Joined(joined)
            }
            Self::Joined(mut joined) => {
                joined.extend_from_slice(&piece);
                Self::Joined(joined)
            }
        };
    }

    pub(super) fn into_bytes(self) -> Option<Bytes> {
        match self {
            Self::Nothing => None,
            Self::One(piece) => Some(piece),
            Self::Joined(joined) => Some(joined.freeze()),
        }
    }
}

/// The hashes of the decoded data that the request asked for, and what they must be.
#[derive(Debug)]
struct Digests {
    sha256: Option<(Sha256, [u8; 32])>,
    md5: Option<(Md5, [u8; 16])>,
    checksum: Option<(Hasher, Algorithm)>,
    /// From a header; a trailer's comes at the end.
    declared: Option<Vec<u8>>,
    compute: Option<Algorithm>,
    /// Where the one to compute is not the one that is declared.
    another: Option<Hasher>,
}

impl Digests {
    fn new(plan: &BodyPlan) -> Self {
        let declared = plan.checksum_algorithm();
        Self {
            sha256: plan.sha256.map(|expected| (Sha256::new(), expected)),
            md5: plan.md5.map(|expected| (Md5::new(), expected)),
            checksum: declared.map(|algorithm| (Hasher::new(algorithm), algorithm)),
            declared: plan.checksum.as_ref().map(|(_, value)| value.clone()),
            compute: plan.compute,
            another: plan.compute.filter(|algorithm| declared != Some(*algorithm)).map(Hasher::new),
        }
    }

    fn update(&mut self, data: &[u8]) {
        if let Some((hash, _)) = &mut self.sha256 {
            hash.update(data);
        }
        if let Some((hash, _)) = &mut self.md5 {
            hash.update(data);
        }
        if let Some((hash, _)) = &mut self.checksum {
            hash.update(data);
        }
        if let Some(hash) = &mut self.another {
            hash.update(data);
        }
    }

    /// The checksum that was declared and the one that is to be computed.
    #[allow(clippy::type_complexity)] // two of one kind, named one line above
    fn verify(&mut self, trailing: Option<Vec<u8>>) -> Result<(Option<Checksum>, Option<Checksum>), S3Error> {
        if let Some((hash, expected)) = self.sha256.take()
            && <[u8; 32]>::from(hash.finalize()) != expected
        {
            return Err(S3Code::XAmzContentSHA256Mismatch
                .because("The provided 'x-amz-content-sha256' header does not match what was computed."));
        }
        if let Some((hash, expected)) = self.md5.take()
            && hash.finalize() != expected
        {
            return Err(S3Code::BadDigest.because("The Content-MD5 you specified did not match what we received."));
        }
        let render = |algorithm, digest: &[u8]| Checksum::full_object(algorithm, checksum::render_value(digest));
        let another = self.compute.zip(self.another.take());
        let another = another.map(|(algorithm, hash)| render(algorithm, &hash.finalize()));
        let Some((hash, algorithm)) = self.checksum.take() else { return Ok((None, another)) };
        let computed = hash.finalize();
        if self.declared.take().or(trailing).as_ref() != Some(&computed) {
            return Err(S3Code::BadDigest
                .because(format!("The {} you specified did not match the calculated checksum.", algorithm.name())));
        }
        let declared = render(algorithm, &computed);
        let computed = another.or_else(|| self.compute.map(|_| declared.clone()));
        Ok((Some(declared), computed))
    }
}
