//! What objects hold: bytes that follow from a seed, a key and a version, so that any that are read can be told from
//! all others.
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Steps of SplitMix64, whose numbers can be had from any place on.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
const WORD: usize = 8;

/// The content of one write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The key that it was first written to; a copy keeps it.
    pub key: String,
    /// Counts the writes of one client.
    pub version: u64,
    /// Bytes.
    pub size: usize,
}

impl Content {
    /// `length` bytes from `offset` on, or as many as there are.
    pub fn bytes(&self, seed: u64, offset: usize, length: usize) -> Bytes {
        let length = length.min(self.size.saturating_sub(offset));
        let origin = self.origin(seed);
        let (first, skip) = (offset / WORD, offset % WORD);
        let words = (first..).flat_map(|n| word(origin, n).to_be_bytes());
        words.skip(skip).take(length).collect()
    }

    /// Whether `bytes` from `offset` on, of an object of `total` bytes, are these.
    pub fn holds(&self, seed: u64, offset: usize, total: usize, bytes: &[u8]) -> bool {
        self.size == total && self.bytes(seed, offset, bytes.len()) == bytes
    }

    fn origin(&self, seed: u64) -> u64 {
        let mut hash = Sha256::new();
        hash.update(seed.to_be_bytes());
        hash.update(self.version.to_be_bytes());
        hash.update(self.key.as_bytes());
        hash.finalize().iter().take(WORD).fold(0, |word, byte| (word << 8) | u64::from(*byte))
    }
}

fn word(origin: u64, n: usize) -> u64 {
    let mut z = origin.wrapping_add((n as u64).wrapping_mul(STEP));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_slice_is_that_of_the_whole_and_of_no_other_content() {
        let content = |key: &str, version, size| Content { key: key.into(), version, size };
        let one = content("c0/k1", 7, 1003);
        let whole = one.bytes(1, 0, 2000);
        assert_eq!(whole.len(), 1003);
        for (offset, length) in [(0, 0), (0, 9), (1, 16), (8, 8), (13, 500), (1000, 50), (1003, 5)] {
            let slice = one.bytes(1, offset, length);
            assert_eq!(slice, whole.slice(offset..(offset + length).min(1003)), "{offset} {length}");
            assert!(one.holds(1, offset, 1003, &slice));
        }
        for (other, seed) in [(content("c0/k1", 8, 1003), 1), (content("c0/k2", 7, 1003), 1), (one.clone(), 2)] {
            assert!(!other.holds(seed, 0, 1003, &whole), "{other:?}");
            assert!(!other.holds(seed, 13, 1003, &whole.slice(13..40)), "{other:?}");
        }
        assert!(!one.holds(1, 0, 1002, &whole.slice(..1002)), "cut off");
    }
}
