//! Decodes `aws-chunked` while it streams.
//! Invariants: holds at most one chunk line or one trailer, both bounded; nothing is allocated by a size that a client
//! declared; one strict reading, so that nobody else can see another framing in the same bytes.
//! Source: Amazon S3 API Reference, "Signature Calculations: Transferring Payload in Multiple Chunks".
use super::trailer::verify_trailer;
use crate::sigv4::ChunkSignatures;
use bytes::{Buf, Bytes};
use s3gateway_s3::checksum::Algorithm;
use s3gateway_s3::{S3Code, S3Error};
use sha2::{Digest, Sha256};

/// Longest chunk line: a size of 16 digits and a signature are under 100 bytes.
const MAX_LINE: usize = 1024;
/// Longest trailer section: one checksum and one signature.
const MAX_TRAILER: usize = 2048;
/// Smallest signed chunk that is not the last.
const MIN_SIGNED_CHUNK: u64 = 8192;

/// The state of decoding.
#[derive(Debug)]
pub(super) struct ChunkedDecoder {
    state: State,
    signatures: Option<ChunkSignatures>,
    trailer: Option<Algorithm>,
    /// Data bytes that the length header still promises.
    left: u64,
    /// A signed chunk under the minimum was seen: only the zero chunk may follow.
    small_chunk: bool,
    /// A chunk line or the trailer, as far as it has arrived.
    held: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Line,
    Data { left: u64, signed: Option<SignedChunk> },
    DataEnd { rest: &'static [u8] },
    Trailer,
}

#[derive(Debug)]
struct SignedChunk {
    hash: Sha256,
    signature: [u8; 64],
}

impl ChunkedDecoder {
    /// Begins at the first chunk line. `signatures` where chunks are signed.
    pub(super) fn new(decoded_length: u64, signatures: Option<ChunkSignatures>, trailer: Option<Algorithm>) -> Self {
        Self { state: State::Line, signatures, trailer, left: decoded_length, small_chunk: false, held: Vec::new() }
    }

    /// Takes the next bytes of the wire and gives each piece of data, never empty, to `data`.
    pub(super) fn push(&mut self, mut wire: Bytes, mut data: impl FnMut(Bytes)) -> Result<(), S3Error> {
        while !wire.is_empty() {
            match &mut self.state {
                State::Line => self.push_line(&mut wire)?,
                State::Data { left, signed } => {
                    let len = usize::try_from(*left).unwrap_or(usize::MAX).min(wire.len());
                    let piece = wire.split_to(len);
                    *left -= len as u64;
                    if let Some(chunk) = signed {
                        chunk.hash.update(&piece);
                    }
                    data(piece);
                    if *left == 0 {
                        self.end_chunk()?;
                    }
                }
                State::DataEnd { rest } => {
                    let Some((expected, after)) = rest.split_first() else {
                        self.state = State::Line;
                        continue;
                    };
                    if wire.get_u8() != *expected {
                        return Err(malformed("A chunk is longer than its size says."));
                    }
                    *rest = after;
                    if after.is_empty() {
                        self.state = State::Line;
                    }
                }
                State::Trailer => {
                    if self.held.len() + wire.len() > MAX_TRAILER {
                        return Err(S3Code::MalformedTrailerError.because("The trailer is too long."));
                    }
                    self.held.extend_from_slice(&wire);
                    wire.clear();
                }
            }
        }
        Ok(())
    }

    /// The end of the wire: the trailing checksum's value, where one was announced.
    pub(super) fn finish(&mut self) -> Result<Option<Vec<u8>>, S3Error> {
        match self.state {
            State::Trailer => verify_trailer(&self.held, self.trailer, self.signatures.as_mut()),
            State::Line | State::Data { .. } | State::DataEnd { .. } => Err(S3Code::IncompleteBody.error()),
        }
    }

    fn push_line(&mut self, wire: &mut Bytes) -> Result<(), S3Error> {
        let (line, complete) = match memchr::memchr(b'\n', wire) {
            Some(at) => (wire.split_to(at + 1), true),
            None => (wire.split_to(wire.len()), false),
        };
        if self.held.len() + line.len() > MAX_LINE {
            return Err(malformed("A chunk line is too long."));
        }
        if !complete {
            self.held.extend_from_slice(&line);
            return Ok(());
        }
        if self.held.is_empty() {
            return self.begin_chunk(&line);
        }
        let mut whole = std::mem::take(&mut self.held);
        whole.extend_from_slice(&line);
        self.begin_chunk(&whole)
    }

    fn begin_chunk(&mut self, line: &[u8]) -> Result<(), S3Error> {
        let line = line.strip_suffix(b"\r\n").ok_or_else(|| malformed("A chunk line does not end with CRLF."))?;
        let (size, signature) = parse_chunk_line(line, self.signatures.is_some())?;
        if size == 0 {
            return self.begin_trailer(signature);
        }
        if size > self.left {
            return Err(S3Code::IncompleteBody.because("The chunks hold more than x-amz-decoded-content-length says."));
        }
        if self.small_chunk {
            return Err(S3Code::InvalidChunkSizeError
                .because("Only the last chunk is allowed to have a size less than 8192 bytes"));
        }
        self.small_chunk = signature.is_some() && size < MIN_SIGNED_CHUNK;
        self.left -= size;
        let signed = signature.map(|signature| SignedChunk { hash: Sha256::new(), signature });
        self.state = State::Data { left: size, signed };
        Ok(())
    }

    fn begin_trailer(&mut self, signature: Option<[u8; 64]>) -> Result<(), S3Error> {
        if self.left > 0 {
            return Err(S3Code::IncompleteBody.because("The chunks hold less than x-amz-decoded-content-length says."));
        }
        if let Some(signature) = signature {
            self.verify_chunk(Sha256::new(), &signature)?;
        }
        self.state = State::Trailer;
        Ok(())
    }

    fn end_chunk(&mut self) -> Result<(), S3Error> {
        let ended = std::mem::replace(&mut self.state, State::DataEnd { rest: b"\r\n" });
        match ended {
            State::Data { signed: Some(chunk), .. } => self.verify_chunk(chunk.hash, &chunk.signature),
            _ => Ok(()),
        }
    }

    fn verify_chunk(&mut self, hash: Sha256, signature: &[u8; 64]) -> Result<(), S3Error> {
        let sha256: [u8; 32] = hash.finalize().into();
        let proven = self.signatures.as_mut().is_some_and(|chain| chain.verify_chunk(&sha256, signature));
        if proven { Ok(()) } else { Err(S3Code::SignatureDoesNotMatch.error()) }
    }
}

/// `<hex size>` or, where chunks are signed, `<hex size>;chunk-signature=<64 hex>`; nothing else.
fn parse_chunk_line(line: &[u8], signed: bool) -> Result<(u64, Option<[u8; 64]>), S3Error> {
    let text = std::str::from_utf8(line).map_err(|_| malformed("A chunk line is not text."))?;
    let (size, extension) = match text.split_once(';') {
        Some((size, extension)) => (size, Some(extension)),
        None => (text, None),
    };
    // 16 digits at most, so the value cannot overflow; the check of the digits refuses signs, spaces and `0x`.
    if size.is_empty() || size.len() > 16 || !size.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(malformed("A chunk size is not a hexadecimal number."));
    }
    let size = u64::from_str_radix(size, 16).map_err(|_| malformed("A chunk size is not a hexadecimal number."))?;
    match (signed, extension) {
        (false, None) => Ok((size, None)),
        (false, Some(_)) => Err(malformed("A chunk line has an extension that this payload does not know.")),
        (true, None) => Err(S3Code::SignatureDoesNotMatch.error()),
        (true, Some(extension)) => {
            let signature = extension
                .strip_prefix("chunk-signature=")
                .and_then(|signature| <[u8; 64]>::try_from(signature.as_bytes()).ok())
                .ok_or_else(|| S3Code::SignatureDoesNotMatch.error())?;
            Ok((size, Some(signature)))
        }
    }
}

fn malformed(message: &'static str) -> S3Error {
    S3Code::IncompleteBody.because(message)
}
