//! The formula that proposes physical bucket names. The stored mapping is the truth; this only proposes.
use s3gateway_config::BackendId;
use s3gateway_s3::{LogicalBucket, PhysicalBucket};
use sha2::{Digest, Sha256};

/// Hex digits of the hash in a name.
const HASH_DIGITS: usize = 16;
/// Characters of the backend id in a name, so that an operator sees at a glance where a bucket belongs.
const BACKEND_CHARACTERS: usize = 8;

/// Proposes a bucket's name on `backend`: `s3gw-<hash>-<backend>`.
/// `tenant` is the tenant's id, `region` the region of the backend's place, `n` rises while a name is taken.
///
/// The result is at most 30 of `a-z 0-9 -` with alphanumeric ends.
pub fn propose(tenant: &str, region: &str, logical: &LogicalBucket, backend: &BackendId, n: u32) -> PhysicalBucket {
    let digest = hex::encode(Sha256::digest(format!("{tenant}:{region}:{}:{backend}:{n}", logical.as_str())));
    let hash: String = digest.chars().take(HASH_DIGITS).collect();
    let short: String = backend.as_str().chars().take(BACKEND_CHARACTERS).collect();
    let full = format!("s3gw-{hash}-{}", short.trim_end_matches('-'));
    // A backend called `s3alias` would make a suffix that S3 reserves; the hash alone tells it apart as well.
    match PhysicalBucket::parse(&full).or_else(|_| PhysicalBucket::parse(&format!("s3gw-{hash}"))) {
        Ok(physical) => physical,
        Err(_) => unreachable!("the formula gave a name that S3's rules forbid"),
    }
}

/// Proposes the name of the bucket that holds, on the same backend, what of a bucket's objects stands aside.
pub fn propose_aside(physical: &PhysicalBucket) -> PhysicalBucket {
    let digest = hex::encode(Sha256::digest(format!("aside:{}", physical.for_upstream())));
    let hash: String = digest.chars().take(HASH_DIGITS).collect();
    match PhysicalBucket::parse(&format!("s3gw-{hash}-aside")) {
        Ok(aside) => aside,
        Err(_) => unreachable!("the formula gave a name that S3's rules forbid"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(tenant: &str, region: &str, logical: &str, backend: &str, n: u32) -> String {
        let logical = LogicalBucket::parse(logical).unwrap();
        let backend = BackendId::parse(backend).unwrap();
        propose(tenant, region, &logical, &backend, n).for_upstream().to_owned()
    }

    #[test]
    fn a_name_is_the_documented_formula() {
        // printf 't1:fi-hel:photos:fi-hel-uc-1:0' | sha256sum
        assert_eq!(name("t1", "fi-hel", "photos", "fi-hel-uc-1", 0), "s3gw-860b2565f838d243-fi-hel-u");
        assert!(name("t1", "fi-hel", "photos", "abcdefg-1", 0).ends_with("-abcdefg"), "no trailing hyphen");
        assert_eq!(name("t1", "fi-hel", "photos", "s3alias-2", 0).len(), 21, "no reserved suffix");
    }

    #[test]
    fn every_part_counts() {
        let base = name("t1", "fi-hel", "photos", "fi-hel-1", 0);
        for other in [
            name("t2", "fi-hel", "photos", "fi-hel-1", 0),
            name("t1", "de-fra", "photos", "fi-hel-1", 0),
            name("t1", "fi-hel", "photo", "fi-hel-1", 0),
            name("t1", "fi-hel", "photos", "fi-hel-2", 0),
            name("t1", "fi-hel", "photos", "fi-hel-1", 1),
        ] {
            assert_ne!(base, other);
        }
    }

    proptest! {
        #[test]
        fn the_result_is_always_a_bucket_name(
            tenant in "\\PC{0,80}", region in "\\PC{0,40}", backend in "[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", n: u32
        ) {
            let physical = name(&tenant, &region, "photos", &backend, n);
            prop_assert!(physical.len() <= 30 && PhysicalBucket::parse(&physical).is_ok());
        }
    }
}
