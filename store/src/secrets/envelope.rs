//! Envelope encryption of stored secrets: AES-256-GCM under a data key of its own, which the provider wraps.
//! Stored form: `v1.<wrapped data key>.<base64 of nonce, ciphertext and tag>`.
use super::{DataKey, KeyProvider, random, render_context};
use crate::StoreError;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use s3gateway_config::Secret;
use zeroize::Zeroizing;

/// Seals a secret for its place; `context` names the place (kind, tenant, key id) and is authenticated, not stored.
///
/// # Errors
/// `Unavailable` where the provider does not answer.
pub async fn seal_secret(
    provider: &dyn KeyProvider,
    context: &[&str],
    secret: &Secret<String>,
) -> Result<String, StoreError> {
    let data_key: DataKey = random::<32>()?;
    let wrapped = provider.wrap(&data_key).await?;
    let sealed = seal(&data_key, &render_context("secret", context), secret.expose().as_bytes())?;
    Ok(format!("v1.{wrapped}.{}", STANDARD_NO_PAD.encode(sealed)))
}

/// Opens what [`seal_secret`] made in the same context.
///
/// # Errors
/// `Corrupt` for another master key, another context or damage; `Unavailable`.
pub async fn open_secret(
    provider: &dyn KeyProvider,
    context: &[&str],
    sealed: &str,
) -> Result<Secret<String>, StoreError> {
    let (wrapped, body) = parts(sealed)?;
    let data_key = provider.unwrap(wrapped).await?;
    let body = STANDARD_NO_PAD.decode(body).map_err(|_| StoreError::Corrupt("a sealed secret's form"))?;
    let plain = open(&data_key, &render_context("secret", context), body)?;
    let text = std::str::from_utf8(&plain).map_err(|_| StoreError::Corrupt("a secret's text"))?;
    Ok(Secret::new(text.to_owned()))
}

/// The same secret with its data key wrapped under the master key in use; `None` where it is that already.
///
/// # Errors
/// `Corrupt` where no master key opens the data key, `Unavailable`.
pub async fn rewrap_secret(provider: &dyn KeyProvider, sealed: &str) -> Result<Option<String>, StoreError> {
    let (wrapped, body) = parts(sealed)?;
    Ok(provider.rewrap(wrapped).await?.map(|wrapped| format!("v1.{wrapped}.{body}")))
}

/// The wrapped data key and the sealed text.
fn parts(sealed: &str) -> Result<(&str, &str), StoreError> {
    let mut parts = sealed.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some("v1"), Some(wrapped), Some(body), None) => Ok((wrapped, body)),
        _ => Err(StoreError::Corrupt("a sealed secret's form")),
    }
}

/// Nonce, ciphertext and tag. The key seals few messages, so that a random nonce does not repeat.
pub(super) fn seal(key: &DataKey, context: &[u8], plain: &[u8]) -> Result<Vec<u8>, StoreError> {
    let failed = || StoreError::Unavailable("encryption failed".into());
    let nonce = random::<NONCE_LEN>()?;
    let mut sealed = plain.to_vec();
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key[..]).map_err(|_| failed())?);
    cipher
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(*nonce), Aad::from(context), &mut sealed)
        .map_err(|_| failed())?;
    sealed.splice(..0, nonce.iter().copied());
    Ok(sealed)
}

/// What [`seal`] sealed in the same context.
pub(super) fn open(key: &DataKey, context: &[u8], sealed: Vec<u8>) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let wrong = || StoreError::Corrupt("a sealed secret; wrong master key or damage");
    let mut sealed = Zeroizing::new(sealed);
    let (nonce, body) = sealed.split_first_chunk_mut::<NONCE_LEN>().ok_or_else(wrong)?;
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key[..]).map_err(|_| wrong())?);
    let plain =
        cipher.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(context), body).map_err(|_| wrong())?;
    Ok(Zeroizing::new(plain.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::super::LocalKey;
    use super::*;

    fn key(byte: &str) -> LocalKey {
        LocalKey::from_hex(&byte.repeat(32)).unwrap()
    }

    #[tokio::test]
    async fn a_secret_opens_only_with_its_key_in_its_context() {
        let secret = Secret::new("höchst geheim".to_owned());
        let sealed = seal_secret(&key("a1"), &["access-key", "t1", "k1"], &secret).await.unwrap();
        assert!(!sealed.contains("geheim"));
        let opened = open_secret(&key("a1"), &["access-key", "t1", "k1"], &sealed).await.unwrap();
        assert_eq!(opened.expose(), "höchst geheim");
        for (provider, context, what) in [
            (key("a2"), vec!["access-key", "t1", "k1"], "another master key"),
            (key("a1"), vec!["access-key", "t2", "k1"], "another tenant"),
            (key("a1"), vec!["access-key", "t1", "k2"], "another key id"),
            (key("a1"), vec!["access-key", "t1k1"], "parts joined"),
            (key("a1"), vec!["access-key", "t", "1k1"], "parts cut elsewhere"),
        ] {
            let refused = open_secret(&provider, &context, &sealed).await;
            assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{what}");
        }
    }

    #[tokio::test]
    async fn damage_anywhere_is_noticed_and_never_panics() {
        let secret = Secret::new("s".repeat(40));
        let sealed = seal_secret(&key("a1"), &["x"], &secret).await.unwrap();
        for at in 0..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let damaged = String::from_utf8(bytes).unwrap();
            assert!(open_secret(&key("a1"), &["x"], &damaged).await.is_err(), "at {at}");
            assert!(open_secret(&key("a1"), &["x"], &sealed[..at]).await.is_err(), "cut at {at}");
        }
    }

    #[tokio::test]
    async fn equal_secrets_do_not_look_equal() {
        let secret = Secret::new("same".to_owned());
        let one = seal_secret(&key("a1"), &["x"], &secret).await.unwrap();
        assert_ne!(one, seal_secret(&key("a1"), &["x"], &secret).await.unwrap());
    }
}
