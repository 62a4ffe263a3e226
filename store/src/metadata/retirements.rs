//! Backends that are being retired: no new placement uses them, and workers drain the replicas that are there.
use super::db::{Columns, now, write};
use super::reviews::{self, Changed};
use super::tenants::found;
use super::{Metadata, feed};
use crate::{BackendUse, Change, Retirement, StoreError, sql};
use s3gateway_config::BackendId;

impl Metadata {
    /// Begins to retire a backend; the placements that use it are reviewed. Nothing to do where that has begun.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn retire_backend(&self, id: &BackendId) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            sqlx::query(sql::RETIREMENT_BEGIN).bind(id.as_str()).bind(now()).execute(&mut *tx).await?;
            reviews::owe(tx, Changed::Backend(id.clone())).await?;
            feed::append(tx, &Change::Backends).await
        })
    }

    /// Uses a backend again; what was drained for its retirement and is still there is taken back by the reviews.
    ///
    /// # Errors
    /// `NotFound` where it is not being retired.
    pub async fn unretire_backend(&self, id: &BackendId) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            found(sqlx::query(sql::RETIREMENT_END).bind(id.as_str()).execute(&mut *tx).await?.rows_affected())?;
            reviews::owe(tx, Changed::Backend(id.clone())).await?;
            feed::append(tx, &Change::Backends).await
        })
    }

    /// All backends that are being retired or are retired.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn retirements(&self) -> Result<Vec<Retirement>, StoreError> {
        let rows = self.db.read(sqlx::query(sql::RETIREMENTS).fetch_all(self.db.pool())).await?;
        rows.iter()
            .map(|row| {
                Ok(Retirement {
                    backend: row.backend("backend")?,
                    begun_at: row.int("begun_at")?,
                    is_used: row.int("used")? == 1,
                })
            })
            .collect()
    }

    /// How many buckets have a backend as what, and of how many something of stranded keys stands aside there.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn backend_use(&self, id: &BackendId) -> Result<BackendUse, StoreError> {
        let query = sqlx::query(sql::MAPPINGS_COUNT_ON).bind(id.as_str());
        let mut used = BackendUse::default();
        for row in self.db.read(query.fetch_all(self.db.pool())).await? {
            let buckets = row.u64("buckets")?;
            match row.text("role")?.as_str() {
                "home" => used.home = buckets,
                "replica" => used.replica = buckets,
                "draining" => used.draining = buckets,
                "retiring" => used.retiring = buckets,
                "aside" => used.aside = buckets,
                _ => return Err(StoreError::Corrupt("state")),
            }
        }
        Ok(used)
    }
}
