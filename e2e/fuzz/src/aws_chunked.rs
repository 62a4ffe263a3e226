//! Streamed bodies: any split decodes alike, what is released has the declared length, and a body that was changed on
//! its way is refused or is the same body.
//! Input: seven numbers (see [`Plan`]), then the data, or the wire as it is.
use crate::input::{Head, Numbers};
use crate::signer::{self, DATE, ID, SCOPE, mac};
use bytes::Bytes;
use s3gateway_filters::payload::{BodyPlan, BodyVerifier, ChunkedEncoder, Framing, encoded_length, plan};
use s3gateway_filters::sigv4::{SigningKey, Verified, parse_claim, verify};
use s3gateway_s3::S3Code;
use s3gateway_s3::checksum::{self, Algorithm, Hasher};
use sha2::{Digest, Sha256};

/// Most data: where chunks are signed, two of the smallest size that S3 allows and one behind them.
const MAX_DATA: usize = 2048;
const MAX_SIGNED_DATA: usize = 18 * 1024;
/// Longest wire that is also received byte by byte.
const BYTE_BY_BYTE: usize = 1024;

/// How an input is to be sent.
struct Plan {
    mode: Mode,
    algorithm: Algorithm,
    /// Whether the input is the wire itself rather than data to be framed.
    raw: bool,
    /// Length of pieces and chunks.
    split: usize,
    /// What happens to the wire.
    damage: u8,
    place: usize,
    length: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Unsigned,
    Signed,
    SignedTrailer,
}

/// The data of a body that was accepted, or why it was not.
type Outcome = Result<Vec<u8>, S3Code>;

pub fn check(data: &[u8]) {
    let mut numbers = Numbers(data);
    let kind = numbers.byte();
    let way = Plan {
        mode: [Mode::Unsigned, Mode::Signed, Mode::SignedTrailer][usize::from(kind % 3)],
        algorithm: Algorithm::ALL[usize::from(numbers.byte()) % Algorithm::ALL.len()],
        raw: kind & 0x80 != 0,
        split: numbers.short(),
        damage: numbers.byte(),
        place: numbers.short(),
        length: numbers.short(),
    };
    if way.raw { check_wire(&way, numbers.0) } else { check_framed(&way, numbers.0) }
}

/// Any bytes as a wire.
fn check_wire(way: &Plan, wire: &[u8]) {
    let Some(upload) = Upload::begin(way, way.length as u64, wire.len()) else { return };
    if let Ok(data) = upload.receive_alike(wire, way.split) {
        assert_eq!(data.len(), way.length);
        assert!(way.mode == Mode::Unsigned || data.len() < wire.len());
    }
}

/// Data framed as a client does, received, and received again with the wire damaged.
fn check_framed(way: &Plan, seed: &[u8]) {
    let length = way.length % if way.mode == Mode::Unsigned { MAX_DATA } else { MAX_SIGNED_DATA };
    let data: Vec<u8> = seed.iter().copied().chain([0]).cycle().take(length).collect();
    let wire = frame(way, &data);
    let upload = Upload::begin(way, data.len() as u64, wire.len()).expect("a sound head");
    assert_eq!(upload.receive_alike(&wire, way.split).as_ref(), Ok(&data), "what was sent is refused");
    if way.mode == Mode::Unsigned {
        check_own_framing(way, &data);
    }
    let Some(damaged) = damage(way, &wire) else { return };
    let Some(upload) = Upload::begin(way, data.len() as u64, damaged.len()) else { return };
    if let Ok(received) = upload.receive_alike(&damaged, way.split) {
        assert!(received == data, "other data was accepted");
    }
}

/// What the gateway frames itself, for backends, is what it reads.
fn check_own_framing(way: &Plan, data: &[u8]) {
    let mut encoder = ChunkedEncoder::new(data.len() as u64);
    let (first, last) = data.split_at(way.split % (data.len() + 1));
    let mut wire = encoder.push(Bytes::copy_from_slice(first)).to_vec();
    let value = checksum::render_value(&digest(way.algorithm, data));
    wire.extend_from_slice(&encoder.finish(Bytes::copy_from_slice(last), way.algorithm, &value));
    assert_eq!(wire.len() as u64, encoded_length(data.len() as u64, way.algorithm));
    let upload = Upload::begin(way, data.len() as u64, wire.len()).expect("a sound head");
    assert_eq!(upload.receive_alike(&wire, way.split).as_deref(), Ok(data));
}

/// An upload whose head is signed and verified.
struct Upload {
    verified: Verified,
    plan: BodyPlan,
    algorithm: Option<Algorithm>,
}

impl Upload {
    /// `None` where the head alone shows that the body cannot be what it says.
    fn begin(way: &Plan, length: u64, wire: usize) -> Option<Self> {
        let head = signed_head(way, length);
        let request = head.parse().unwrap().unwrap();
        let regions = ["us-east-1".to_owned()];
        let claim = parse_claim(&request, &regions, signer::now()).unwrap();
        let verified = verify(&request, &claim, &SigningKey::from_derived(&signer::key())).unwrap();
        let framing = Framing { content_length: Some(wire as u64), chunked: false };
        let plan = plan(&request, &verified, framing).ok()?;
        assert_eq!(plan.decoded_length, length);
        Some(Self { verified, plan, algorithm: (way.mode != Mode::Signed).then_some(way.algorithm) })
    }

    /// Receives a wire whole, in pieces and, where it is short, byte by byte: the outcome is one.
    fn receive_alike(&self, wire: &[u8], split: usize) -> Outcome {
        let whole = self.receive(wire, wire.len());
        let smallest = if wire.len() <= BYTE_BY_BYTE { 1 } else { 997 };
        for piece in [split % 8192, smallest] {
            assert_eq!(self.receive(wire, piece), whole, "in pieces of {piece}");
        }
        whole
    }

    fn receive(&self, wire: &[u8], piece: usize) -> Outcome {
        let mut body = BodyVerifier::new(&self.plan, &self.verified);
        let mut data = Vec::new();
        let mut fed = 0;
        for piece in Bytes::copy_from_slice(wire).chunks(piece.max(1)) {
            fed += piece.len();
            if let Some(released) = body.push(Bytes::copy_from_slice(piece)).map_err(|error| error.code)? {
                data.extend_from_slice(&released);
            }
            assert!(data.len() <= fed, "more data than wire");
            assert!(
                data.is_empty() || (data.len() as u64) < self.plan.decoded_length,
                "all data is out before the verdict"
            );
        }
        let finished = body.finish().map_err(|error| error.code)?;
        data.extend_from_slice(&finished.tail);
        assert_eq!(data.len() as u64, self.plan.decoded_length);
        if let Some(algorithm) = self.algorithm {
            let checksum = finished.checksum.expect("a trailer was announced");
            assert_eq!(checksum.value, checksum::render_value(&digest(algorithm, &data)));
        }
        assert!(body.finish().is_err() && body.push(Bytes::new()).is_err(), "a body ends once");
        Ok(data)
    }
}

fn signed_head(way: &Plan, length: u64) -> Head {
    let payload = match way.mode {
        Mode::Unsigned => "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        Mode::Signed => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        Mode::SignedTrailer => "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    };
    let mut head = Head::read(b"PUT /bucket/key\nhost: gateway").unwrap();
    head.set("x-amz-content-sha256", payload);
    head.set("x-amz-date", DATE);
    head.set("x-amz-decoded-content-length", length.to_string());
    if way.mode != Mode::Signed {
        head.set("x-amz-trailer", way.algorithm.header());
    }
    let names = names_of(&head);
    let signature = signer::sign(&signer::canonical(&head, &names, payload.as_bytes()).unwrap());
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={ID}/{SCOPE}, SignedHeaders={}, Signature={signature}", names.join(";"));
    head.set("authorization", authorization);
    head
}

fn names_of(head: &Head) -> Vec<String> {
    let mut names: Vec<String> = head.headers.iter().map(|(name, _)| name.clone()).collect();
    names.sort();
    names
}

/// The wire as a client makes it.
fn frame(way: &Plan, data: &[u8]) -> Vec<u8> {
    let signed = way.mode != Mode::Unsigned;
    let smallest = if signed { 8192 } else { 1 };
    let head = signed_head(way, data.len() as u64);
    let authorization = head.headers.iter().find(|(name, _)| name == "authorization").unwrap();
    let mut previous = String::from_utf8(authorization.1[authorization.1.len() - 64..].to_vec()).unwrap();
    let mut wire = Vec::new();
    for chunk in data.chunks((way.split % 16_384).max(smallest)).chain([&[][..]]) {
        let extension = if signed {
            let empty = hex::encode(Sha256::digest(b""));
            let hash = hex::encode(Sha256::digest(chunk));
            previous = next("AWS4-HMAC-SHA256-PAYLOAD", &format!("{previous}\n{empty}\n{hash}"));
            format!(";chunk-signature={previous}")
        } else {
            String::new()
        };
        wire.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
        if !chunk.is_empty() {
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
    }
    if way.mode != Mode::Signed {
        let line = format!("{}:{}", way.algorithm.header(), checksum::render_value(&digest(way.algorithm, data)));
        wire.extend_from_slice(format!("{line}\r\n").as_bytes());
        if signed {
            let hash = hex::encode(Sha256::digest(format!("{line}\n")));
            let signature = next("AWS4-HMAC-SHA256-TRAILER", &format!("{previous}\n{hash}"));
            wire.extend_from_slice(format!("x-amz-trailer-signature:{signature}\r\n").as_bytes());
        }
    }
    wire.extend_from_slice(b"\r\n");
    wire
}

fn next(algorithm: &str, rest: &str) -> String {
    hex::encode(mac(&signer::key(), format!("{algorithm}\n{DATE}\n{SCOPE}\n{rest}").as_bytes()))
}

/// One byte changed, or a stretch cut out, doubled or moved. A CRC finds every changed byte, but not every other damage.
fn damage(way: &Plan, wire: &[u8]) -> Option<Vec<u8>> {
    let from = way.place % wire.len();
    let until = (from + 1 + way.split).min(wire.len());
    let strong = way.mode != Mode::Unsigned || way.algorithm == Algorithm::Sha256;
    let mut damaged = wire.to_vec();
    match way.damage {
        0 => return None,
        1 if strong => drop(damaged.drain(from..until)),
        2 if strong => damaged.extend_from_within(from..),
        3 if strong => damaged.truncate(from),
        4 if strong => damaged[from..].rotate_left((until - from) / 2),
        change => damaged[from] ^= change,
    }
    Some(damaged)
}

fn digest(algorithm: Algorithm, data: &[u8]) -> Vec<u8> {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(data);
    hasher.finalize()
}
