//! Access keys and signing keys in memory: a known key costs no store, an unknown one costs one look-up for all who wait.
use crate::refusal::Refusal;
use moka::future::Cache;
use s3gateway_filters::sigv4::{Claim, SigningKey, SigningKeys};
use s3gateway_s3::S3Code;
use s3gateway_store::{AccessKey, Metadata, StoreError, TenantId};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Bounded caches; the change feed drops what it names.
pub struct Keys {
    access: Cache<String, Loaded>,
    signing: SigningKeys,
}

/// An access key, `None` where there is none, and when its look-up began: it is as old as that.
#[derive(Clone)]
struct Loaded {
    began: Instant,
    key: Option<Arc<AccessKey>>,
}

/// How long an unknown key stays unknown, so that guessing costs the store nothing.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);

impl Keys {
    /// Caches for at most `entries` access keys.
    pub fn new(entries: u64) -> Self {
        Self {
            access: Cache::builder().max_capacity(entries).expire_after(ExpireUnknown).build(),
            signing: SigningKeys::new(usize::try_from(entries).unwrap_or(usize::MAX)),
        }
    }

    /// The tenant of a claim's access key, and the signing key for its scope.
    ///
    /// # Errors
    /// `InvalidAccessKeyId` for a key that is unknown or disabled; a store error where it is not cached and cannot be read.
    pub async fn signing_key(&self, metadata: &Metadata, claim: &Claim) -> Result<(TenantId, SigningKey), Refusal> {
        let id = claim.access_key_id();
        let known = match self.access.get(id).await {
            Some(known) => known,
            None => {
                let load = async {
                    let began = Instant::now();
                    Ok::<_, StoreError>(Loaded { began, key: metadata.access_key(id).await?.map(Arc::new) })
                };
                Box::pin(self.access.try_get_with_by_ref(id, load)).await.map_err(crate::routes::shared_error)?
            }
        };
        let key = known.key.ok_or_else(|| S3Code::InvalidAccessKeyId.error())?;
        let signing_key = self.signing.resolve(claim, &key.secret);
        Ok((key.tenant.clone(), signing_key))
    }

    /// Drops every key; a signing key is useless without the access key that it was derived for.
    pub fn forget_all(&self) {
        self.access.invalidate_all();
    }

    /// Drops what is cached of a key, unless its look-up began after `changed`.
    pub async fn forget(&self, access_key_id: &str, changed: Instant) {
        if self.access.get(access_key_id).await.is_some_and(|loaded| loaded.began <= changed) {
            self.access.invalidate(access_key_id).await;
            self.signing.forget(access_key_id);
        }
    }
}

/// Known keys stay until the feed drops them; unknown ones run out.
struct ExpireUnknown;

impl moka::Expiry<String, Loaded> for ExpireUnknown {
    fn expire_after_create(&self, _: &String, loaded: &Loaded, _: Instant) -> Option<Duration> {
        loaded.key.is_none().then_some(UNKNOWN_FOR)
    }
}
