//! Where the parts of a multipart object begin and end, and the ETag that they make. Pure.
//! S3 does not store boundaries where every backend shows them, so they are guessed from the part count and proven by the ETag.
use md5::{Digest, Md5};

const MIB: u64 = 1 << 20;
/// Part sizes that clients use by default or by habit, most common first: boto3 and AWS CLI 8 MiB, rclone, JS and
/// minio 5 and 16 MiB, s3cmd 15 MiB, Hadoop 64 and 128 MiB.
const COMMON_SIZES: [u64; 27] = [
    8 * MIB,
    5 * MIB,
    16 * MIB,
    10 * MIB,
    15 * MIB,
    64 * MIB,
    32 * MIB,
    128 * MIB,
    100 * MIB,
    50 * MIB,
    25 * MIB,
    20 * MIB,
    6 * MIB,
    7 * MIB,
    12 * MIB,
    24 * MIB,
    30 * MIB,
    40 * MIB,
    48 * MIB,
    96 * MIB,
    256 * MIB,
    512 * MIB,
    1024 * MIB,
    5_000_000,
    8_000_000,
    10_000_000,
    100_000_000,
];
/// Each candidate costs an MD5 over the whole object while probing.
const MAX_CANDIDATES: usize = 8;
/// S3's limit of parts.
const MAX_PARTS: u64 = 10_000;

/// The MD5 of a part or a whole object.
pub(crate) type Digest16 = [u8; 16];

/// One part of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// From 1.
    pub(crate) number: i32,
    /// Its first byte.
    pub(crate) offset: u64,
    /// Bytes; 0 only for the one part of an empty object.
    pub(crate) length: u64,
}

/// Parts of `part_size` bytes, the last one shorter; one empty part for an empty object.
pub(crate) fn uniform(size: u64, part_size: u64) -> Vec<Part> {
    let step = part_size.max(size.div_ceil(MAX_PARTS)).max(1);
    let count = size.div_ceil(step).max(1);
    from_lengths((0..count).map(|i| step.min(size - i * step)))
}

/// Parts of the given lengths, one after the other.
pub(crate) fn from_lengths(lengths: impl IntoIterator<Item = u64>) -> Vec<Part> {
    let mut offset = 0;
    let numbered = (1i32..).zip(lengths).map(|(number, length)| {
        let part = Part { number, offset, length };
        offset += length;
        part
    });
    numbered.collect()
}

/// Layouts that give `size` bytes in exactly `count` parts, most likely first.
pub(crate) fn candidates(size: u64, count: u32) -> Vec<Vec<Part>> {
    let count = u64::from(count.max(1));
    if count == 1 {
        return vec![uniform(size, size)];
    }
    let even = size.div_ceil(count);
    let mut sizes: Vec<u64> = Vec::new();
    for step in COMMON_SIZES.into_iter().chain([even.div_ceil(MIB) * MIB, even]) {
        if step > 0 && size.div_ceil(step) == count && !sizes.contains(&step) {
            sizes.push(step);
        }
    }
    sizes.into_iter().take(MAX_CANDIDATES).map(|step| uniform(size, step)).collect()
}

/// The ETag that S3 makes of a multipart object: the MD5 of its parts' MD5s and their count.
pub(crate) fn multipart_etag(parts: &[Digest16]) -> String {
    let mut all = Md5::new();
    for part in parts {
        all.update(part);
    }
    format!("{}-{}", hex::encode(all.finalize()), parts.len())
}

/// The MD5 in an ETag that is one.
pub(crate) fn parse_digest(etag: &str) -> Option<Digest16> {
    hex::decode(etag).ok()?.try_into().ok()
}

pub(crate) use s3gateway_s3::etag::multipart_parts as part_count;

/// Finds by one reading of an object which of several layouts makes its ETag.
pub(crate) struct Probe {
    runs: Vec<Run>,
}

struct Run {
    layout: Vec<Part>,
    md5: Md5,
    filled: u64,
    digests: Vec<Digest16>,
}

impl Probe {
    /// A probe of these layouts.
    pub(crate) fn new(layouts: Vec<Vec<Part>>) -> Self {
        let run = |layout| Run { layout, md5: Md5::new(), filled: 0, digests: Vec::new() };
        Self { runs: layouts.into_iter().map(run).collect() }
    }

    /// Takes the object's next bytes.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        for run in &mut self.runs {
            run.update(bytes);
        }
    }

    /// The layout that makes `etag`, if one does.
    pub(crate) fn finish(self, etag: &str) -> Option<Vec<Part>> {
        let matching = |run: &Run| run.digests.len() == run.layout.len() && multipart_etag(&run.digests) == etag;
        self.runs.into_iter().find(matching).map(|run| run.layout)
    }
}

impl Run {
    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Some(part) = self.layout.get(self.digests.len()) else { return };
            let left = usize::try_from(part.length - self.filled).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(left.min(bytes.len()));
            self.md5.update(now);
            self.filled += now.len() as u64;
            if self.filled == part.length {
                self.digests.push(self.md5.finalize_reset().into());
                self.filled = 0;
            }
            bytes = later;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lengths(parts: &[Part]) -> Vec<u64> {
        parts.iter().map(|p| p.length).collect()
    }

    #[test]
    fn uniform_parts_cover_the_object_once() {
        for (size, step, want) in [
            (0, 5, vec![0]),
            (1, 5, vec![1]),
            (5, 5, vec![5]),
            (6, 5, vec![5, 1]),
            (10, 5, vec![5, 5]),
            (0, 0, vec![0]),
            (3, 0, vec![1, 1, 1]),
        ] {
            assert_eq!(lengths(&uniform(size, step)), want, "{size} {step}");
        }
        assert!(uniform(5 << 40, 1).len() <= 10_000);
    }

    #[test]
    fn candidates_put_the_common_sizes_first() {
        for (size, count, first) in [
            (20 * MIB, 3, vec![8 * MIB, 8 * MIB, 4 * MIB]),
            (12 * MIB, 3, vec![5 * MIB, 5 * MIB, 2 * MIB]),
            (9 * MIB, 2, vec![8 * MIB, MIB]),
            (200 * MIB, 14, {
                let mut v = vec![15 * MIB; 13];
                v.push(5 * MIB);
                v
            }),
            (7, 1, vec![7]),
            (0, 1, vec![0]),
        ] {
            assert_eq!(lengths(&candidates(size, count)[0]), first, "{size} {count}");
        }
        assert!(candidates(3, 5).is_empty(), "three bytes make no five parts");
    }

    #[test]
    fn etags_and_counts_are_read_as_s3_writes_them() {
        let digest = parse_digest("5d41402abc4b2a76b9719d911017c592").unwrap();
        assert_eq!(multipart_etag(&[digest]), format!("{}-1", hex::encode(Md5::digest(digest))));
        for bad in ["", "5d41", "zz41402abc4b2a76b9719d911017c592", "5d41402abc4b2a76b9719d911017c592-1"] {
            assert_eq!(parse_digest(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_candidate_has_the_count_and_the_size(size in 0u64..(3 << 30), count in 1u32..40) {
            for layout in candidates(size, count) {
                prop_assert_eq!(layout.len(), count as usize);
                prop_assert_eq!(layout.iter().map(|p| p.length).sum::<u64>(), size);
            }
        }

        #[test]
        fn a_probe_finds_the_layout_whatever_the_chunks(body in proptest::collection::vec(any::<u8>(), 1..400), step in 1u64..50, chunk in 1usize..64) {
            let right = uniform(body.len() as u64, step);
            let digests: Vec<Digest16> = body.chunks(usize::try_from(step).unwrap()).map(|c| Md5::digest(c).into()).collect();
            let mut probe = Probe::new(vec![uniform(body.len() as u64, step + 1), right.clone(), uniform(body.len() as u64, 1)]);
            for bytes in body.chunks(chunk) {
                probe.update(bytes);
            }
            let found = probe.finish(&multipart_etag(&digests)).unwrap();
            prop_assert_eq!(found, right);
            prop_assert_eq!(Probe::new(vec![uniform(9, 3)]).finish("x-3"), None);
        }
    }
}
