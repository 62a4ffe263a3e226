//! Frames a body as `aws-chunked` with a trailing checksum while it streams: what `chunked` decodes, in the other direction.
//! Invariant: the bytes made are exactly as many as [`encoded_length`] says, however the body is split.
//! Source: Amazon S3 API Reference, "Signature Calculations: Including Trailing Headers (Chunked Upload)".
use super::verifier::Released;
use bytes::Bytes;
use s3gateway_s3::checksum::Algorithm;

/// Data in each chunk but the last: as much as stock SDKs send, since some servers hold a chunk whole.
const CHUNK: u64 = 1 << 20;

/// A body being framed.
#[derive(Debug)]
pub struct ChunkedEncoder {
    /// Data still to come.
    left: u64,
    /// Data still to come in the chunk that is open.
    in_chunk: u64,
}

/// Bytes that a body of `decoded_length` bytes of data has on the wire.
pub fn encoded_length(decoded_length: u64, algorithm: Algorithm) -> u64 {
    let chunk = |size: u64| if size == 0 { 0 } else { chunk_line(size).len() as u64 + size + 2 };
    let whole = (decoded_length / CHUNK).saturating_mul(chunk(CHUNK));
    let base64 = algorithm.digest_len().div_ceil(3) * 4;
    let end = trailer(algorithm, "").len() + base64;
    whole.saturating_add(chunk(decoded_length % CHUNK)).saturating_add(end as u64)
}

impl ChunkedEncoder {
    /// Begins a body that has exactly so many bytes of data.
    pub fn new(decoded_length: u64) -> Self {
        Self { left: decoded_length, in_chunk: 0 }
    }

    /// Frames the next data. It is copied only where a chunk begins or ends in it.
    pub fn push(&mut self, data: Bytes) -> Bytes {
        let mut framed = Released::default();
        self.frame(data, &mut framed);
        framed.into_bytes().unwrap_or_default()
    }

    /// Frames the last data and ends the body. `value`: the checksum of all data, in base64.
    pub fn finish(mut self, data: Bytes, algorithm: Algorithm, value: &str) -> Bytes {
        let mut framed = Released::default();
        self.frame(data, &mut framed);
        framed.add(Bytes::from(trailer(algorithm, value)));
        framed.into_bytes().unwrap_or_default()
    }

    fn frame(&mut self, mut data: Bytes, framed: &mut Released) {
        debug_assert!(data.len() as u64 <= self.left, "more data than was announced");
        while !data.is_empty() && self.left > 0 {
            if self.in_chunk == 0 {
                self.in_chunk = CHUNK.min(self.left);
                framed.add(Bytes::from(chunk_line(self.in_chunk)));
            }
            let piece = data.split_to(usize::try_from(self.in_chunk).unwrap_or(usize::MAX).min(data.len()));
            self.in_chunk -= piece.len() as u64;
            self.left -= piece.len() as u64;
            framed.add(piece);
            if self.in_chunk == 0 {
                framed.add(Bytes::from_static(b"\r\n"));
            }
        }
    }
}

fn chunk_line(size: u64) -> String {
    format!("{size:x}\r\n")
}

/// The zero chunk and the trailer behind it.
fn trailer(algorithm: Algorithm, value: &str) -> String {
    format!("0\r\n{}:{value}\r\n\r\n", algorithm.header())
}

#[cfg(test)]
mod tests {
    use super::super::chunked::ChunkedDecoder;
    use super::*;
    use proptest::prelude::*;
    use s3gateway_s3::checksum::{Hasher, render_value};

    fn checksum(algorithm: Algorithm, data: &[u8]) -> Vec<u8> {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(data);
        hasher.finalize()
    }

    /// Frames `data`, split after the bytes that `splits` counts.
    fn encode(data: &Bytes, splits: &[usize], algorithm: Algorithm) -> Vec<u8> {
        let (mut encoder, mut rest, mut wire) = (ChunkedEncoder::new(data.len() as u64), data.clone(), Vec::new());
        for split in splits {
            wire.extend_from_slice(&encoder.push(rest.split_to((*split).min(rest.len()))));
        }
        wire.extend_from_slice(&encoder.finish(rest, algorithm, &render_value(&checksum(algorithm, data))));
        wire
    }

    #[test]
    fn what_it_looks_like_on_the_wire() {
        let wire = encode(&Bytes::from_static(b"hello world!"), &[5], Algorithm::Crc32);
        let crc = render_value(&checksum(Algorithm::Crc32, b"hello world!"));
        assert_eq!(
            String::from_utf8(wire).unwrap(),
            format!("c\r\nhello world!\r\n0\r\nx-amz-checksum-crc32:{crc}\r\n\r\n")
        );
    }

    #[test]
    fn the_length_is_known_beforehand_whatever_the_size() {
        for algorithm in Algorithm::ALL {
            for size in [0, 1, 15, 16, 4095, 4096, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 17] {
                let data = Bytes::from(vec![7; usize::try_from(size).unwrap()]);
                let wire = encode(&data, &[100_000, 1_000_000, 1], algorithm);
                assert_eq!(encoded_length(size, algorithm), wire.len() as u64, "{algorithm:?} {size}");
            }
        }
    }

    #[test]
    fn data_inside_a_chunk_is_not_copied() {
        let data = Bytes::from(vec![7; 300]);
        let mut encoder = ChunkedEncoder::new(300);
        encoder.push(data.slice(..100));
        assert_eq!(encoder.push(data.slice(100..200)).as_ptr(), data.slice(100..).as_ptr());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn what_is_framed_decodes_to_the_same_bytes_and_trailer(
            size in 0usize..2_500_000,
            splits in proptest::collection::vec(1usize..900_000, 0..6),
            cuts in proptest::collection::vec(1usize..700_000, 1..5),
            algorithm in prop::sample::select(&Algorithm::ALL[..]),
        ) {
            let data = Bytes::from((0..size).map(|n| u8::try_from(n % 251).unwrap()).collect::<Vec<u8>>());
            let mut wire = Bytes::from(encode(&data, &splits, algorithm));
            prop_assert_eq!(wire.len() as u64, encoded_length(size as u64, algorithm));
            let (mut decoder, mut decoded) = (ChunkedDecoder::new(size as u64, None, Some(algorithm)), Vec::new());
            for cut in cuts.iter().cycle() {
                if wire.is_empty() {
                    break;
                }
                decoder.push(wire.split_to((*cut).min(wire.len())), |piece| decoded.extend_from_slice(&piece)).unwrap();
            }
            prop_assert_eq!(decoder.finish().unwrap(), Some(checksum(algorithm, &data)));
            prop_assert!(decoded == data, "other bytes");
        }
    }
}
