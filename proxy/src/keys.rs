//! Access keys and signing keys in memory: a known key costs no store, an unknown one costs one look-up for all who wait.
use crate::{
    cache::{Cache, Loaded},
    refusal::Refusal,
    routes::shared_error,
};
use s3gateway_filters::sigv4::{Claim, SigningKey, SigningKeys};
use s3gateway_s3::S3Code;
use s3gateway_store::{AccessKey, Metadata, StoreError, TenantId};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Bounded caches; the change feed drops what it names.
pub struct Keys {
    /// `None` for an id that there is no key of.
    access: Cache<String, Option<Arc<AccessKey>>>,
    signing: SigningKeys,
}

/// How long an unknown key stays unknown, so that guessing costs the store nothing.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);

impl Keys {
    /// Caches for at most `entries` access keys.
    pub fn new(entries: u64) -> Self {
        Self { access: Cache::new(entries), signing: SigningKeys::new(usize::try_from(entries).unwrap_or(usize::MAX)) }
    }

    /// The tenant of a claim's access key, and the signing key for its scope.
    ///
    /// # Errors
    /// `InvalidAccessKeyId` for a key that is unknown or disabled; a store error where it is not cached and cannot be read.
    pub async fn signing_key(&self, metadata: &Metadata, claim: &Claim<'_>) -> Result<(TenantId, SigningKey), Refusal> {
        let known = self.access_key(metadata, claim.access_key_id()).await?;
        let key = known.ok_or_else(|| S3Code::InvalidAccessKeyId.error())?;
        let signing_key = self.signing.resolve(claim, &key.secret);
        Ok((key.tenant.clone(), signing_key))
    }

    /// An access key; `None` for one that is unknown or disabled.
    ///
    /// # Errors
    /// A store error where it is not cached and cannot be read.
    pub async fn access_key(&self, metadata: &Metadata, id: &str) -> Result<Option<Arc<AccessKey>>, Refusal> {
        let known = match self.access.get(id) {
            Some(known) if known.value.is_some() || known.began.elapsed() < UNKNOWN_FOR => known,
            _ => Box::pin(self.look_up(metadata, id)).await.map_err(shared_error)?,
        };
        Ok(known.value)
    }

    async fn look_up(&self, metadata: &Metadata, id: &str) -> Result<Loaded<Option<Arc<AccessKey>>>, Arc<StoreError>> {
        let (metadata, asked) = (metadata.clone(), id.to_owned());
        self.access.load(id.to_owned(), async move { Ok(metadata.access_key(&asked).await?.map(Arc::new)) }).await
    }

    /// Drops every key; a signing key is useless without the access key that it was derived for.
    pub fn forget_all(&self) {
        self.access.clear();
    }

    /// Drops what is cached of a key, unless its look-up began after `changed`.
    pub fn forget(&self, access_key_id: &str, changed: Instant) {
        if self.access.forget(&access_key_id.to_owned(), changed) {
            self.signing.forget(access_key_id);
        }
    }
}
