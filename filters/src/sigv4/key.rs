//! Signing keys: their derivation, and a bounded cache so that a warm request costs no derivation.
//! Invariant: a cached key serves only the very secret it was derived from, so a rotated or revoked one never answers.
//! Source: Amazon S3 API Reference, "Signature Calculations for the Authorization Header", "Calculate Signature".
use super::{Claim, hex64};
use hmac::{Hmac, KeyInit, Mac};
use parking_lot::RwLock;
use s3gateway_config::Secret;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use zeroize::Zeroize;

/// HMAC-SHA256, the only MAC of SigV4.
pub(super) type HmacSha256 = Hmac<Sha256>;

/// SHA-256's block, to which HMAC pads its key.
const BLOCK: usize = 64;

/// A key for one access key, day and region; holds the keyed MAC state rather than the key.
#[derive(Clone)]
pub struct SigningKey(Arc<HmacSha256>);

impl SigningKey {
    /// Derives the key of `secret` for the day `date8` (`YYYYMMDD`) and a region; the service is always `s3`.
    pub fn derive(secret: &Secret<String>, date8: &str, region: &str) -> Self {
        let mut first = Vec::with_capacity(4 + secret.expose().len());
        first.extend_from_slice(b"AWS4");
        first.extend_from_slice(secret.expose().as_bytes());
        let mut key = sign(keyed(&first), date8.as_bytes());
        first.zeroize();
        for step in [region.as_bytes(), b"s3", b"aws4_request"] {
            let next = sign(keyed(&key), step);
            key.zeroize();
            key = next;
        }
        let derived = Self::from_derived(&key);
        key.zeroize();
        derived
    }

    /// A key that was derived elsewhere.
    pub fn from_derived(key: &[u8]) -> Self {
        Self(Arc::new(keyed(key)))
    }

    /// The signature of a request: `timestamp` as `YYYYMMDDTHHMMSSZ`, `scope` as `<day>/<region>/s3/aws4_request`,
    /// `canonical` the SHA-256 of the canonical request.
    pub fn sign_request(&self, timestamp: &[u8], scope: &str, canonical: &[u8; 32]) -> [u8; 32] {
        let mut mac = self.mac();
        mac.update(b"AWS4-HMAC-SHA256\n");
        mac.update(timestamp);
        mac.update(b"\n");
        mac.update(scope.as_bytes());
        mac.update(b"\n");
        mac.update(&hex64(canonical));
        mac.finalize().into_bytes().into()
    }

    /// A MAC keyed with this key, to be fed.
    pub(super) fn mac(&self) -> HmacSha256 {
        (*self.0).clone()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[signing key]")
    }
}

fn sign(mut mac: HmacSha256, message: &[u8]) -> [u8; 32] {
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// HMAC takes a key of exactly one block without failing; shorter keys are zero-padded, longer ones hashed (RFC 2104).
fn keyed(key: &[u8]) -> HmacSha256 {
    let mut block = [0u8; BLOCK];
    match block.get_mut(..key.len()) {
        Some(place) => place.copy_from_slice(key),
        None => {
            for (place, byte) in block.iter_mut().zip(Sha256::digest(key)) {
                *place = byte;
            }
        }
    }
    let mac = HmacSha256::new(&block.into());
    block.zeroize();
    mac
}

/// Days and regions kept per access key: two days around midnight for a few regions.
const SCOPES_PER_KEY: usize = 8;

/// A bounded cache of signing keys. What was used lately stays; memory is at most `capacity` access keys.
pub struct SigningKeys {
    half: usize,
    held: RwLock<Generations>,
}

/// Two generations: when the young one is full it becomes the old one, and what nobody asked for since goes.
#[derive(Default)]
struct Generations {
    young: HashMap<Box<str>, Vec<Entry>>,
    old: HashMap<Box<str>, Vec<Entry>>,
}

#[derive(Clone)]
struct Entry {
    date: Box<str>,
    region: Box<str>,
    /// Which secret the key came from: compared by address; a `Weak` keeps the address from being given again.
    secret: Weak<Secret<String>>,
    key: SigningKey,
}

impl Entry {
    fn serves(&self, claim: &Claim<'_>, secret: &Arc<Secret<String>>) -> bool {
        &*self.date == claim.date()
            && &*self.region == claim.region()
            && std::ptr::eq(self.secret.as_ptr(), Arc::as_ptr(secret))
    }
}

impl SigningKeys {
    /// A cache for about `capacity` access keys, at least two.
    pub fn new(capacity: usize) -> Self {
        Self { half: (capacity / 2).max(1), held: RwLock::default() }
    }

    /// The signing key of `secret` for the claim's day and region, derived where it is not cached.
    ///
    /// `secret` must be the secret that the claim's access key has *now*; a cached key of another `Arc` is not used.
    pub fn resolve(&self, claim: &Claim<'_>, secret: &Arc<Secret<String>>) -> SigningKey {
        let id = claim.access_key_id();
        let find = |entries: Option<&Vec<Entry>>| {
            entries.and_then(|all| all.iter().find(|e| e.serves(claim, secret)).map(|e| e.key.clone()))
        };
        let (young, old) = {
            let held = self.held.read();
            let young = find(held.young.get(id));
            let old = if young.is_none() { find(held.old.get(id)) } else { None };
            (young, old)
        };
        if let Some(key) = young {
            return key;
        }
        let key = old.unwrap_or_else(|| SigningKey::derive(secret, claim.date(), claim.region()));
        let entry = Entry {
            date: claim.date().into(),
            region: claim.region().into(),
            secret: Arc::downgrade(secret),
            key: key.clone(),
        };
        self.held.write().insert(id, entry, self.half);
        key
    }

    /// Drops every key of an access key, as the change feed asks when it was disabled, rotated or deleted.
    pub fn forget(&self, access_key_id: &str) {
        let mut held = self.held.write();
        held.young.remove(access_key_id);
        held.old.remove(access_key_id);
    }

    /// Access keys held, for a gauge.
    pub fn len(&self) -> usize {
        let held = self.held.read();
        held.young.len() + held.old.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Generations {
    fn insert(&mut self, id: &str, entry: Entry, half: usize) {
        if !self.young.contains_key(id) && self.young.len() >= half {
            self.old = std::mem::take(&mut self.young);
        }
        let entries = self.young.entry(id.into()).or_default();
        entries.retain(|e| e.date != entry.date || e.region != entry.region);
        if entries.len() >= SCOPES_PER_KEY {
            entries.remove(0);
        }
        entries.push(entry);
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeys").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sigv4::parse_claim;
    use crate::sigv4::signer::{Draft, SECRET, now, regions};
    use s3gateway_s3::S3Request;

    fn request_of(id: &str, region: &str) -> S3Request {
        let draft = Draft::new("GET", "/bucket/k", "UNSIGNED-PAYLOAD").with(|d| {
            d.id = id.into();
            d.region = region.into();
        });
        draft.sign().request().unwrap()
    }

    fn claim_of(request: &S3Request) -> Claim<'_> {
        parse_claim(request, &regions(), now()).unwrap()
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_what_is_used() {
        let keys = SigningKeys::new(10);
        let secret = Arc::new(Secret::new(SECRET.to_owned()));
        let request = request_of("hot", "us-east-1");
        let hot = claim_of(&request);
        let first = keys.resolve(&hot, &secret);
        for n in 0..100 {
            keys.resolve(&claim_of(&request_of(&format!("id-{n}"), "us-east-1")), &secret);
            assert!(Arc::ptr_eq(&keys.resolve(&hot, &secret).0, &first.0), "derived again after {n}");
            assert!(keys.len() <= 11, "{}", keys.len());
        }
        let request = request_of("id-0", "us-east-1");
        let cold = keys.resolve(&claim_of(&request), &secret);
        assert!(Arc::ptr_eq(&keys.resolve(&claim_of(&request), &secret).0, &cold.0));
    }

    #[test]
    fn regions_and_days_of_one_key_have_entries_of_their_own() {
        let keys = SigningKeys::new(10);
        let secret = Arc::new(Secret::new(SECRET.to_owned()));
        let requests = ["us-east-1", "fi-hel"].map(|region| request_of("id", region));
        let [here, there] = requests.each_ref().map(claim_of);
        let key = keys.resolve(&here, &secret);
        assert!(!Arc::ptr_eq(&keys.resolve(&there, &secret).0, &key.0));
        assert!(Arc::ptr_eq(&keys.resolve(&here, &secret).0, &key.0));
        assert_eq!(keys.len(), 1);
        keys.forget("id");
        assert!(!Arc::ptr_eq(&keys.resolve(&here, &secret).0, &key.0));
    }
}
