//! Seals what clients carry for us (upload ids, continuation tokens), so that they can neither read nor move it.
//! AES-256-GCM-SIV, because one key seals without end and a repeated random nonce must not break it (RFC 8452).
use super::{DataKey, random, render_context};
use crate::StoreError;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::sync::Arc;

/// Longest sealed text that is looked at; far above the longest continuation token of a backend.
const LONGEST: usize = 16 * 1024;
/// What every sealed text begins with: a dash at its place would be an option to a client's command line.
const BEGIN: &str = "s";

/// Seals and opens texts; cheap to clone. All processes with one master key open each other's.
#[derive(Clone)]
pub struct Sealer(Arc<Keys>);

struct Keys {
    current: LessSafeKey,
    /// These only open.
    others: Vec<LessSafeKey>,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[sealer]")
    }
}

impl Sealer {
    pub(super) fn new<'a>(current: &DataKey, others: impl Iterator<Item = &'a DataKey>) -> Result<Self, StoreError> {
        let key = |key: &DataKey| match UnboundKey::new(&AES_256_GCM_SIV, &key[..]) {
            Ok(key) => Ok(LessSafeKey::new(key)),
            Err(_) => Err(StoreError::Corrupt("the sealing key")),
        };
        Ok(Self(Arc::new(Keys { current: key(current)?, others: others.map(key).collect::<Result<_, _>>()? })))
    }

    /// Seals `plain` for `context` (tenant, bucket, home …): a letter, then base64url without padding. Empty, which nobody can open,
    /// where the operating system gives no randomness.
    pub fn seal(&self, context: &[&str], plain: &str) -> String {
        let context = render_context("token", context);
        match random::<NONCE_LEN>() {
            Ok(nonce) => self.seal_under(*nonce, &context, plain),
            Err(_) => String::new(),
        }
    }

    /// As [`Sealer::seal`], but the same text for the same input, for what clients compare; `plain` must hold something
    /// that nobody can guess, for the nonce is made from it.
    pub fn seal_alike(&self, context: &[&str], plain: &str) -> String {
        let context = render_context("token", context);
        let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        hash.update(&context);
        hash.update(plain.as_bytes());
        match hash.finish().as_ref().first_chunk::<NONCE_LEN>() {
            Some(nonce) => self.seal_under(*nonce, &context, plain),
            None => String::new(),
        }
    }

    fn seal_under(&self, nonce: [u8; NONCE_LEN], context: &[u8], plain: &str) -> String {
        let mut sealed = plain.as_bytes().to_vec();
        let nonced = Nonce::assume_unique_for_key(nonce);
        match self.0.current.seal_in_place_append_tag(nonced, Aad::from(context), &mut sealed) {
            Ok(()) => {
                sealed.splice(..0, nonce);
                let mut text = BEGIN.to_owned();
                URL_SAFE_NO_PAD.encode_string(sealed, &mut text);
                text
            }
            Err(_) => String::new(),
        }
    }

    /// What was sealed for the same context; `None` for anything else a client may send.
    pub fn open(&self, context: &[&str], sealed: &str) -> Option<String> {
        if sealed.len() > LONGEST {
            return None;
        }
        let context = render_context("token", context);
        let bytes = URL_SAFE_NO_PAD.decode(sealed.strip_prefix(BEGIN)?).ok()?;
        let (nonce, body) = bytes.split_first_chunk::<NONCE_LEN>()?;
        let keys = std::iter::once(&self.0.current).chain(&self.0.others);
        let mut plain = keys.filter_map(|key| {
            let (mut body, aad) = (body.to_vec(), Aad::from(context.as_slice()));
            key.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut body).ok().map(|plain| plain.to_vec())
        });
        String::from_utf8(plain.next()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{KeyProvider, LocalKey};
    use super::*;
    use proptest::prelude::*;

    async fn sealer(byte: &str) -> Sealer {
        LocalKey::from_hex(&byte.repeat(32)).unwrap().sealer().await.unwrap()
    }

    #[tokio::test]
    async fn a_token_opens_in_its_context_in_every_process_and_nowhere_else() {
        let token = sealer("a1").await.seal(&["tenant", "bucket"], "upload-7");
        assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        assert!(token.starts_with(|first: char| first.is_ascii_alphabetic()), "{token}");
        assert_eq!(sealer("a1").await.open(&["tenant", "bucket"], &token).as_deref(), Some("upload-7"));
        assert_eq!(sealer("a1").await.open(&["tenant", "other"], &token), None);
        assert_eq!(sealer("a1").await.open(&["tenantbucket"], &token), None);
        assert_eq!(sealer("a2").await.open(&["tenant", "bucket"], &token), None);
        assert_eq!(sealer("a1").await.open(&["tenant", "bucket"], &format!("{token}A")), None);
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_and_junk_does_not(plain in "\\PC{0,200}", junk in "\\PC{0,80}") {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let sealer = runtime.block_on(sealer("a1"));
            prop_assert_eq!(sealer.open(&["c"], &sealer.seal(&["c"], &plain)), Some(plain));
            prop_assert_eq!(sealer.open(&["c"], &junk), None);
        }
    }
}
