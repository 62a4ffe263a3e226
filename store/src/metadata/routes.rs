//! Where buckets live: mappings joined with bucket and tenant into routes.
use super::Metadata;
use super::db::Columns;
use crate::{BucketId, BucketListing, Millis, Route, StoreError, TenantId, UnfinishedBucket, Writes, sql};
use s3gateway_s3::{LogicalBucket, PhysicalBucket, Versioning};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

impl Metadata {
    /// Where a tenant's bucket lives; `None` unless it is active.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn route(&self, tenant: &TenantId, name: &LogicalBucket) -> Result<Option<Route>, StoreError> {
        let query = sqlx::query(sql::ROUTE_BY_NAME).bind(tenant.as_str()).bind(name.as_str());
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        Ok(parse_routes(&rows)?.pop())
    }

    /// Where a bucket lives; `None` unless it is active.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn route_by_id(&self, bucket: &BucketId) -> Result<Option<Route>, StoreError> {
        let query = sqlx::query(sql::ROUTE_BY_ID).bind(bucket.as_str());
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        match rows.first() {
            Some(row) if row.text("state")? == "active" => Ok(parse_routes(&rows)?.pop()),
            _ => Ok(None),
        }
    }

    /// Whether a bucket will never be in service again: one that is being made or deleted may.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn is_bucket_gone(&self, bucket: &BucketId) -> Result<bool, StoreError> {
        let query = sqlx::query(sql::BUCKET_STATE).bind(bucket.as_str());
        match self.db.read(query.fetch_optional(self.db.pool())).await? {
            Some(row) => Ok(row.text("state")? == "retired"),
            None => Ok(true),
        }
    }

    /// A tenant's active buckets whose names begin with `prefix` and come after `after`, in byte order.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn buckets(
        &self,
        tenant: &TenantId,
        prefix: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<BucketListing>, StoreError> {
        let query = sqlx::query(sql::BUCKETS_LISTED).bind(tenant.as_str()).bind(prefix);
        let query = query.bind(after.unwrap_or_default()).bind(i64::from(limit));
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        rows.iter()
            .map(|row| {
                Ok(BucketListing {
                    name: row.parsed("name", LogicalBucket::parse)?,
                    created_at: row.int("created_at")?,
                    location: row.text("location")?,
                })
            })
            .collect()
    }

    /// Active buckets of one tenant or all, by tenant and name; for workers and operators.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn all_buckets(&self, tenant: Option<&TenantId>) -> Result<Vec<Route>, StoreError> {
        let query = sqlx::query(sql::ROUTES).bind(tenant.map_or("", TenantId::as_str));
        parse_routes(&self.db.read(query.fetch_all(self.db.pool())).await?)
    }

    /// Buckets whose creation or deletion began before `before` and never ended, because a gateway died in between;
    /// oldest first. Whoever finds one creates or deletes the physical buckets again and ends it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn unfinished_buckets(&self, before: Millis, limit: u32) -> Result<Vec<UnfinishedBucket>, StoreError> {
        let query = sqlx::query(sql::ROUTES_UNFINISHED).bind(before).bind(i64::from(limit));
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        let mut unfinished = Vec::new();
        for rows in rows.chunk_by(|a, b| a.text("id").ok() == b.text("id").ok()) {
            let Some(first) = rows.first() else { continue };
            let (deleting, since) = (first.text("state")? == "deleting", first.int("state_since")?);
            unfinished.extend(parse_routes(rows)?.into_iter().map(|route| UnfinishedBucket { route, deleting, since }));
        }
        Ok(unfinished)
    }
}

/// The route of a bucket in whatever state, as the caller's transaction sees it.
pub(super) async fn route_in(tx: &mut AnyConnection, bucket: &str) -> Result<Route, StoreError> {
    let rows = sqlx::query(sql::ROUTE_BY_ID).bind(bucket).fetch_all(tx).await?;
    parse_routes(&rows)?.pop().ok_or(StoreError::NotFound)
}

/// Rows of one bucket stand together, home first.
fn parse_routes(rows: &[AnyRow]) -> Result<Vec<Route>, StoreError> {
    let mut routes: Vec<Route> = Vec::new();
    for row in rows {
        let bucket = BucketId::new(&row.text("id")?);
        if routes.last().is_none_or(|route| route.bucket != bucket) {
            let mut route = parse_route(row, bucket)?;
            if let Some(arriving) = &route.arriving {
                route.physical.push((arriving.clone(), row.parsed("arriving_physical", PhysicalBucket::parse)?));
            }
            routes.push(route);
        }
        if let Some(route) = routes.last_mut() {
            let backend = row.backend("backend")?;
            match row.text("mapping_state")?.as_str() {
                "draining" => route.draining.push(backend.clone()),
                _ => route.placement.push(backend.clone()),
            }
            route.physical.push((backend, row.parsed("physical", PhysicalBucket::parse)?));
        }
    }
    Ok(routes)
}

fn parse_route(row: &AnyRow, bucket: BucketId) -> Result<Route, StoreError> {
    Ok(Route {
        bucket,
        tenant: TenantId::new(&row.text("tenant")?),
        name: row.parsed("name", LogicalBucket::parse)?,
        home: row.backend("home")?,
        epoch: row.int("epoch")?,
        placement: Vec::new(),
        draining: Vec::new(),
        arriving: if row.text("arriving")?.is_empty() { None } else { Some(row.backend("arriving")?) },
        physical: Vec::new(),
        replica_count: row.u32("replica_count")?,
        write_quorum: row.u32("write_quorum")?,
        tenant_policy: row.json("tenant_policy")?,
        bucket_policy: row.json("policy")?,
        location: row.text("location")?,
        unwalked: row.int("unwalked")? == 1,
        versioning: row.parsed("versioning", parse_versioning)?,
        has_moved_versions: row.int("moved_versions")? == 1,
        created_at: row.int("created_at")?,
        writes: row.parsed("writes", |text| Writes::parse(text).ok_or(()))?,
        has_stranded: row.int("has_stranded")? == 1,
    })
}

fn parse_versioning(text: &str) -> Result<Versioning, ()> {
    match text {
        "" => Ok(Versioning::Never),
        status => Versioning::from_status(status).ok_or(()),
    }
}
