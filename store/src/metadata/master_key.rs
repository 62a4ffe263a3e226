//! Whether a process has the master key that this store's secrets are sealed under, and how they come under another one.
use super::Metadata;
use super::db::{Columns, write};
use crate::secrets::{open_secret, rewrap_secret, seal_secret};
use crate::{StoreError, sql};
use s3gateway_config::Secret;

/// What the proof of the key is sealed for.
const CONTEXT: [&str; 1] = ["master-key"];
/// Access keys that are read at once.
const PAGE: i64 = 500;

impl Metadata {
    /// Passes a process whose master key opens what is sealed here. The first one to ask has its own key noted.
    ///
    /// # Errors
    /// `Invalid` for another key, `Unavailable`.
    pub async fn prove_master_key(&self) -> Result<(), StoreError> {
        if self.proof().await?.is_none() {
            // A store that is older than the proof says by its secrets which key it has.
            for sealed in self.some_secrets().await? {
                rewrap_secret(&*self.secrets, &sealed).await.map_err(name_key)?;
            }
            let proof = seal_secret(&*self.secrets, &CONTEXT, &Secret::new(String::new())).await?;
            write!(&self.db, tx => {
                sqlx::query(sql::MASTER_KEY_NOTE).bind(proof.as_str()).execute(tx).await?;
                Ok(())
            })?;
        }
        let proof = self.proof().await?.ok_or(StoreError::NotFound)?;
        open_secret(&*self.secrets, &CONTEXT, &proof).await.map(|_| ()).map_err(name_key)
    }

    /// Has all secrets sealed under the master key in use, of which some may still need a former one; how many had to be. Safe to
    /// stop and to repeat.
    ///
    /// # Errors
    /// `Corrupt` where no master key opens one, `Unavailable`.
    pub async fn rewrap_secrets(&self) -> Result<u64, StoreError> {
        let mut rewrapped = 0;
        for row in self.db.read(sqlx::query(sql::BACKENDS_SEALED).fetch_all(self.db.pool())).await? {
            rewrapped += self.rewrap(sql::BACKEND_REWRAP, &row.text("id")?, &row.text("secret_key")?).await?;
        }
        let mut after = String::new();
        loop {
            let query = sqlx::query(sql::ACCESS_KEYS_SEALED).bind(after.as_str()).bind(PAGE);
            let page = self.db.read(query.fetch_all(self.db.pool())).await?;
            for row in &page {
                after = row.text("id")?;
                rewrapped += self.rewrap(sql::ACCESS_KEY_REWRAP, &after, &row.text("secret")?).await?;
            }
            if page.is_empty() {
                break;
            }
        }
        // Last: where it is under the new key, everything is.
        if let Some(proof) = self.proof().await?
            && let Some(again) = rewrap_secret(&*self.secrets, &proof).await?
        {
            write!(&self.db, tx => {
                sqlx::query(sql::MASTER_KEY_REWRAP).bind(again.as_str()).execute(tx).await?;
                Ok(())
            })?;
        }
        Ok(rewrapped)
    }

    async fn rewrap(&self, statement: &'static str, id: &str, sealed: &str) -> Result<u64, StoreError> {
        let Some(again) = rewrap_secret(&*self.secrets, sealed).await? else { return Ok(0) };
        write!(&self.db, tx => {
            let query = sqlx::query(statement).bind(id).bind(sealed).bind(again.as_str());
            Ok(query.execute(tx).await?.rows_affected())
        })
    }

    /// Those of all backends, and of one access key.
    async fn some_secrets(&self) -> Result<Vec<String>, StoreError> {
        let backends = self.db.read(sqlx::query(sql::BACKENDS_SEALED).fetch_all(self.db.pool())).await?;
        let query = sqlx::query(sql::ACCESS_KEYS_SEALED).bind("").bind(1_i64);
        let keys = self.db.read(query.fetch_all(self.db.pool())).await?;
        let backends = backends.iter().map(|row| row.text("secret_key"));
        backends.chain(keys.iter().map(|row| row.text("secret"))).collect()
    }

    async fn proof(&self) -> Result<Option<String>, StoreError> {
        let row = self.db.read(sqlx::query(sql::MASTER_KEY_PROOF).fetch_optional(self.db.pool())).await?;
        row.map(|row| row.text("proof")).transpose()
    }
}

fn name_key(error: StoreError) -> StoreError {
    match error {
        StoreError::Corrupt(_) => {
            StoreError::Invalid("master key: is not the one that the stored secrets are sealed under".into())
        }
        other => other,
    }
}
