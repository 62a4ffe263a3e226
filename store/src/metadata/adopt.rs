//! Buckets that were there before the gateway: taken into service as they are, walked over, and given back.
//! Invariant: a physical bucket that was adopted to stay is never dropped.
use super::buckets::{begin_backfill, find};
use super::db::{Columns, now, render_json, write};
use super::routes::route_in;
use super::{Metadata, feed};
use crate::{Adoption, BucketId, Change, Route, StoreError, sql};
use s3gateway_config::{BackendId, ResidencyPolicy};

impl Metadata {
    /// Takes a physical bucket into service as a tenant's, with its backend as home and one copy, and has its keys walked over.
    /// The caller has looked at it.
    ///
    /// # Errors
    /// `Conflict` where the tenant has a bucket of that name or the physical one is some bucket's already, `NotFound` for an
    /// unknown tenant or backend, `Invalid` for a backend that is being retired.
    pub async fn adopt_bucket(&self, adoption: &Adoption) -> Result<Route, StoreError> {
        let (policy, backend) = (render_json(&ResidencyPolicy::default())?, adoption.backend.as_str());
        let (tenant, physical) = (adoption.tenant.as_str(), adoption.physical.for_upstream());
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let query = sqlx::query(sql::BUCKET_STATE_BY_NAME).bind(tenant).bind(adoption.name.as_str());
            if query.fetch_optional(&mut *tx).await?.is_some() {
                return Err(StoreError::Conflict("a bucket of that name"));
            }
            let query = sqlx::query(sql::MAPPING_TAKEN).bind(backend).bind(physical);
            if query.bind(adoption.backend.twin().to_string()).fetch_optional(&mut *tx).await?.is_some() {
                return Err(StoreError::Conflict("a bucket that stands for that physical bucket"));
            }
            if sqlx::query(sql::RETIREMENT_OF).bind(backend).fetch_optional(&mut *tx).await?.is_some() {
                return Err(StoreError::Invalid(format!("backend: {backend} is being retired")));
            }
            let id = BucketId::generate(&adoption.tenant);
            let query = sqlx::query(sql::BUCKET_INSERT).bind(id.as_str()).bind(tenant).bind(adoption.name.as_str());
            let query = query.bind(backend).bind(1_i64).bind("").bind(policy.as_str()).bind(now());
            query.execute(&mut *tx).await?;
            let query = sqlx::query(sql::MAPPING_ADOPT).bind(id.as_str()).bind(backend).bind(physical);
            query.bind(i64::from(adoption.stays)).execute(&mut *tx).await?;
            let versioning = adoption.versioning.status().unwrap_or_default();
            let query = sqlx::query(sql::BUCKET_ADOPTED).bind(id.as_str()).bind(now()).bind(versioning);
            query.execute(&mut *tx).await?;
            begin_backfill(tx, &id, "it was adopted".to_owned()).await?;
            let change = Change::Bucket(adoption.tenant.clone(), adoption.name.as_str().to_owned());
            feed::append(tx, &change).await?;
            route_in(tx, id.as_str()).await
        })
    }

    /// Whether a bucket's physical bucket on a backend outlives it.
    ///
    /// # Errors
    /// `NotFound` where it is not there.
    pub async fn is_adopted(&self, bucket: &BucketId, backend: &BackendId) -> Result<bool, StoreError> {
        let query = sqlx::query(sql::MAPPING_IS_ADOPTED).bind(bucket.as_str()).bind(backend.as_str());
        let row = self.db.read(query.fetch_optional(self.db.pool())).await?.ok_or(StoreError::NotFound)?;
        Ok(row.int("adopted")? == 1)
    }

    /// Notes which adopted buckets have been walked over since; how many.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn note_walked(&self, limit: u32) -> Result<usize, StoreError> {
        let query = sqlx::query(sql::BUCKETS_WALKED).bind(i64::from(limit));
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        for row in &rows {
            let bucket = BucketId::new(&row.text("id")?);
            write!(&self.db, tx => {
                feed::lock(tx).await?;
                let found = find(tx, &bucket).await?;
                sqlx::query(sql::BUCKET_SET_WALKED).bind(bucket.as_str()).execute(&mut *tx).await?;
                feed::append(tx, &Change::Bucket(found.tenant, found.name)).await
            })?;
        }
        Ok(rows.len())
    }
}
