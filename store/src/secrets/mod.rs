//! Secrets at rest and what clients hold of ours: envelope encryption under a key provider, and sealed tokens.
//! Invariants: every secret has its own data key and nonce; a sealed text opens only in the context that it was sealed
//! in; plain keys are wiped when dropped and never logged.
mod envelope;
mod local;
mod sealer;

pub use envelope::{open_secret, rewrap_secret, seal_secret};
pub use local::LocalKey;
pub use sealer::Sealer;

use crate::StoreError;
use async_trait::async_trait;
use std::fmt;
use zeroize::Zeroizing;

/// 256 bits that encrypt one secret.
pub type DataKey = Zeroizing<[u8; 32]>;

/// Who holds the master key: a local file now; Vault or a KMS without a change for callers.
#[async_trait]
pub trait KeyProvider: fmt::Debug + Send + Sync {
    /// Encrypts a data key under the master key; the result is opaque text without `.`, safe to store.
    ///
    /// # Errors
    /// `Unavailable` where the provider does not answer.
    async fn wrap(&self, data_key: &DataKey) -> Result<String, StoreError>;

    /// Decrypts a wrapped data key.
    ///
    /// # Errors
    /// `Corrupt` where it is damaged or was wrapped under another master key, `Unavailable`.
    async fn unwrap(&self, wrapped: &str) -> Result<DataKey, StoreError>;

    /// Encrypts a data key that was wrapped under a former master key under the one in use; `None` where it is that already.
    ///
    /// # Errors
    /// As [`KeyProvider::unwrap`].
    async fn rewrap(&self, wrapped: &str) -> Result<Option<String>, StoreError>;

    /// Seals what clients carry for us; the same in every process with this master key.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn sealer(&self) -> Result<Sealer, StoreError>;
}

/// Fresh random bytes, wiped when dropped.
pub(crate) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, StoreError> {
    let mut bytes = Zeroizing::new([0; N]);
    aws_lc_rs::rand::fill(&mut bytes[..])
        .map_err(|_| StoreError::Unavailable("the operating system gives no randomness".into()))?;
    Ok(bytes)
}

/// The parts of a context as one byte string that no other parts can make.
fn render_context(purpose: &str, parts: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in std::iter::once(&purpose).chain(parts) {
        bytes.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}
