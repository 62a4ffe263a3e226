//! Group PL of the attack list as far as pure functions can show it, and what must hold for any body.
mod chunked;
mod examples;
mod plain;
mod properties;

use super::*;
use crate::sigv4::signer::{Chain, Draft, Wire};
use bytes::Bytes;
use s3gateway_s3::checksum::{Algorithm, Checksum, Hasher, render_value};
use s3gateway_s3::{S3Code, S3Error};
use sha2::{Digest, Sha256};

const MODES: [&str; 3] = [SIGNED, SIGNED_TRAILER, UNSIGNED_TRAILER];
const SIGNED: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const SIGNED_TRAILER: &str = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
const UNSIGNED_TRAILER: &str = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";

fn hash(data: &[u8]) -> String {
    hex::encode(Sha256::digest(data))
}

fn checksum(algorithm: Algorithm, data: &[u8]) -> String {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(data);
    render_value(&hasher.finalize())
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| u8::try_from(n * 31 % 251).unwrap()).collect()
}

fn length(n: usize) -> Framing {
    Framing { content_length: Some(n as u64), chunked: false }
}

const CHUNKED: Framing = Framing { content_length: None, chunked: true };

/// A streaming upload that a client would send: headers signed, chunks and trailer as the mode wants them.
struct Upload {
    wire: Wire,
    chunks: Vec<(String, Vec<u8>)>,
    trailer: Vec<u8>,
}

impl Upload {
    fn new(mode: &str, data: &[u8], sizes: &[usize], algorithm: Algorithm) -> Self {
        let mut draft =
            Draft::new("PUT", "/bucket/k", mode).header("x-amz-decoded-content-length", data.len().to_string());
        if mode.ends_with("TRAILER") {
            draft = draft.header("x-amz-trailer", algorithm.header());
        }
        Self::of(draft.sign(), mode, data, sizes, algorithm)
    }

    fn of(wire: Wire, mode: &str, data: &[u8], sizes: &[usize], algorithm: Algorithm) -> Self {
        let (signed, with_trailer) = (mode != UNSIGNED_TRAILER, mode.ends_with("TRAILER"));
        let mut chain = wire.chain.clone();
        let line = |chain: &mut Chain, piece: &[u8]| {
            let extension = if signed { format!(";chunk-signature={}", chain.chunk(piece)) } else { String::new() };
            format!("{:x}{extension}\r\n", piece.len())
        };
        let (mut chunks, mut rest) = (vec![], data);
        for size in sizes.iter().copied().chain([usize::MAX]) {
            let (piece, after) = rest.split_at(size.min(rest.len()));
            if !piece.is_empty() {
                chunks.push((line(&mut chain, piece), [piece, b"\r\n"].concat()));
            }
            rest = after;
        }
        chunks.push((line(&mut chain, b""), vec![]));
        let mut trailer = vec![];
        if with_trailer {
            let value = checksum(algorithm, data);
            trailer.extend_from_slice(format!("{}:{value}\r\n", algorithm.header()).as_bytes());
            if signed {
                let signature = chain.trailer(&format!("{}:{value}\n", algorithm.header()));
                trailer.extend_from_slice(format!("x-amz-trailer-signature:{signature}\r\n").as_bytes());
            }
        }
        trailer.extend_from_slice(b"\r\n");
        Self { wire, chunks, trailer }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn body(&self) -> Vec<u8> {
        let chunks: Vec<u8> = self.chunks.iter().flat_map(|(line, data)| [line.as_bytes(), data].concat()).collect();
        [chunks, self.trailer.clone()].concat()
    }

    fn outcome(&self) -> Result<Vec<u8>, S3Error> {
        receive(&self.wire, &self.body(), CHUNKED, &[7, 1, 4096]).map(|(data, _)| data)
    }

    fn code(&self) -> Option<S3Code> {
        self.outcome().err().map(|e| e.code)
    }
}

/// Receives a body in pieces of the given sizes, over and over, as a server would.
fn receive(wire: &Wire, body: &[u8], framing: Framing, sizes: &[usize]) -> Result<(Vec<u8>, Finished), S3Error> {
    let request = wire.request()?;
    let verified = wire.authenticate()?;
    let plan = plan(&request, &verified, framing)?;
    let mut verifier = BodyVerifier::new(&plan, &verified);
    let (mut released, mut rest) = (vec![], Bytes::copy_from_slice(body));
    for size in sizes.iter().cycle() {
        let piece = rest.split_to((*size).clamp(1, body.len().max(1)).min(rest.len()));
        if let Some(data) = verifier.push(piece)? {
            assert!(!data.is_empty());
            released.extend_from_slice(&data);
        }
        if plan.decoded_length > 0 {
            assert!((released.len() as u64) < plan.decoded_length, "the last byte must wait for the verdict");
        }
        if rest.is_empty() {
            break;
        }
    }
    let finished = verifier.finish()?;
    assert!(verifier.push(Bytes::from_static(b"x")).is_err() && verifier.finish().is_err(), "it has ended");
    released.extend_from_slice(&finished.tail);
    assert_eq!(released.len() as u64, plan.decoded_length);
    Ok((released, finished))
}

fn put(payload: &str) -> Draft {
    Draft::new("PUT", "/bucket/k", payload)
}
