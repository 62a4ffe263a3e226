//! Changes of a bucket's placement, and the reviews that policies and backends leave owing when they change.
//! Invariants: a replica leaves the placement only into a drain, in the same transaction, and the home never does; all keys are
//! walked over after each change.
use super::buckets::{begin_backfill, find, free_name};
use super::db::{Columns, now, write};
use super::routes::route_in;
use super::{Metadata, bucket_migrations, feed, promotions, sweeps};
use crate::{
    BucketId, Change, DrainLook, DrainState, HomeToLeave, Mapping, MappingState, Millis, PlacementChange, Route,
    StoreError, sql,
};
use s3gateway_config::BackendId;
use s3gateway_s3::PhysicalBucket;
use sqlx::AnyConnection;
use std::collections::HashSet;
use uuid::Uuid;

/// What a bucket's placement has changed to behind the back of whoever decides on it.
const CHANGED: StoreError = StoreError::Conflict("another change of the bucket's placement");

impl Metadata {
    /// Changes a bucket's placement: new replicas get a name, those that are in it no more are drained, and all keys are
    /// walked over.
    ///
    /// # Errors
    /// `Conflict` where the bucket is no longer what the decision was made on, a new replica is still being emptied or forgotten, or one
    /// that is to be drained is about to become the home;
    /// `Invalid` where the home would move, the count is more than the placement gives, or a backend is unknown or retired.
    pub async fn change_placement(&self, change: &PlacementChange<'_>) -> Result<(), StoreError> {
        verify_change(change)?;
        let id = change.seen.bucket.as_str();
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let found = find(tx, &change.seen.bucket).await?;
            if found.state != "active" || !is_as_seen(&route_in(tx, id).await?, change.seen) {
                return Err(CHANGED);
            }
            // A replica that becomes the home must not be drained: what is drained is emptied.
            let running = promotions::running(tx, &change.seen.bucket).await?;
            if let Some(promotion) = running.filter(|running| change.drained.iter().any(|(id, ..)| *id == running.target))
                && !promotions::call_off(tx, &promotion.id, "its target leaves the placement").await?
            {
                return Err(StoreError::Conflict("a promotion of the replica that is to be drained"));
            }
            let mapped = mappings_in(tx, id).await?;
            for (position, backend) in (0_i64..).zip(&change.placement) {
                enter(tx, change.seen, &mapped, backend, position).await?;
            }
            for (position, (backend, reason, remark)) in (1000_i64..).zip(&change.drained) {
                let mapping = mapped.iter().find(|mapping| mapping.backend == *backend).ok_or(CHANGED)?;
                set_mapping(tx, id, backend, MappingState::Draining, position).await?;
                let tenant = sqlx::query(sql::TENANT_BY_ID).bind(found.tenant.as_str()).fetch_one(&mut *tx).await?;
                let query = sqlx::query(sql::DRAIN_BEGIN).bind(Uuid::now_v7().to_string()).bind(id);
                let query = query.bind(tenant.text("name")?).bind(found.name.as_str()).bind(backend.as_str());
                let query = query.bind(mapping.physical.for_upstream()).bind(reason.as_str()).bind(remark.as_str());
                let query = query.bind(i64::from(change.seen.replica_count)).bind(now());
                query.bind(super::db::render_json(&DrainLook::default())?).execute(&mut *tx).await?;
            }
            let query = sqlx::query(sql::BUCKET_SET_PLACEMENT).bind(id).bind(i64::from(change.replica_count));
            query.execute(&mut *tx).await?;
            begin_backfill(tx, &change.seen.bucket, "the placement has changed".to_owned()).await?;
            if let Some(locations) = &change.locations {
                let query = sqlx::query(sql::BUCKET_SET_LOCATIONS).bind(id).bind(locations.as_str());
                query.execute(&mut *tx).await?;
            }
            feed::append(tx, &Change::Bucket(found.tenant, found.name)).await
        })
    }

    /// Where a bucket is, in whatever state.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn mappings(&self, bucket: &BucketId) -> Result<Vec<Mapping>, StoreError> {
        let query = sqlx::query(sql::MAPPINGS).bind(bucket.as_str());
        self.db.read(query.fetch_all(self.db.pool())).await?.iter().map(parse_mapping).collect()
    }

    /// The locations that a bucket's placement stands for: what an operator has named, else the client, else the tenant's
    /// default.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn locations(&self, bucket: &BucketId) -> Result<String, StoreError> {
        let query = sqlx::query(sql::BUCKET_LOCATIONS).bind(bucket.as_str());
        let row = self.db.read(query.fetch_optional(self.db.pool())).await?.ok_or(StoreError::NotFound)?;
        let default: Vec<String> = row.json("default_placement")?;
        let named = [row.text("locations")?, row.text("location")?, default.join(",")];
        Ok(named.into_iter().find(|named| !named.is_empty()).unwrap_or_default())
    }

    /// Buckets in service whose placement has to be compared with policies and backends, and since when.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn buckets_to_review(&self, limit: u32) -> Result<Vec<(BucketId, Millis)>, StoreError> {
        let query = sqlx::query(sql::BUCKETS_TO_REVIEW).bind(i64::from(limit));
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        rows.iter().map(|row| Ok((BucketId::new(&row.text("id")?), row.int("review_due")?))).collect()
    }

    /// Ends a review; one that has become due again since `seen` stays due. `leave`: whether the home must be left.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn reviewed(&self, route: &Route, seen: Millis, leave: bool) -> Result<(), StoreError> {
        let home = if leave { route.home.as_str() } else { "" };
        write!(&self.db, tx => {
            let query = sqlx::query(sql::BUCKET_REVIEWED).bind(route.bucket.as_str()).bind(seen).bind(home);
            query.execute(tx).await?;
            Ok(())
        })
    }

    /// Has others reviewed before one whose review has failed, unless it has become due again since `seen`.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn postpone_review(&self, bucket: &BucketId, seen: Millis) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::BUCKET_POSTPONE_REVIEW).bind(bucket.as_str()).bind(seen);
            query.bind(now().max(seen + 1)).execute(tx).await?;
            Ok(())
        })
    }

    /// Buckets in service whose home must be left, after the bucket `after`.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn homes_to_leave(&self, after: Option<&str>, limit: u32) -> Result<Vec<HomeToLeave>, StoreError> {
        let query = sqlx::query(sql::BUCKETS_TO_LEAVE).bind(after.unwrap_or_default()).bind(i64::from(limit));
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        rows.iter()
            .map(|row| {
                Ok(HomeToLeave {
                    bucket: BucketId::new(&row.text("id")?),
                    tenant: row.text("tenant")?,
                    name: row.text("name")?,
                    home: row.backend("home")?,
                })
            })
            .collect()
    }
}

fn verify_change(change: &PlacementChange<'_>) -> Result<(), StoreError> {
    let PlacementChange { seen, placement, replica_count, drained, .. } = change;
    if placement.first() != Some(&seen.home) {
        return Err(StoreError::Invalid("placement: the home stays first".into()));
    }
    let count = usize::try_from(*replica_count).unwrap_or(usize::MAX);
    if !(1..=placement.len()).contains(&count) {
        return Err(StoreError::Invalid("replica count: from 1 to the number of places of the bucket".into()));
    }
    if placement.iter().collect::<HashSet<_>>().len() < placement.len() {
        return Err(StoreError::Invalid("placement: no backend twice".into()));
    }
    let leaves = |backend: &&BackendId| !placement.contains(backend);
    let explained = seen.placement.iter().filter(leaves).all(|gone| drained.iter().any(|(id, ..)| id == gone));
    if explained && drained.iter().all(|(id, ..)| leaves(&id)) {
        Ok(())
    } else {
        Err(StoreError::Invalid("placement: each replica is in it or drained".into()))
    }
}

fn is_as_seen(now: &Route, seen: &Route) -> bool {
    (&now.home, now.epoch, &now.placement, &now.draining) == (&seen.home, seen.epoch, &seen.placement, &seen.draining)
        && now.replica_count == seen.replica_count
        && now.tenant_policy == seen.tenant_policy
        && now.bucket_policy == seen.bucket_policy
}

/// Has a backend in the placement at that position.
async fn enter(
    tx: &mut AnyConnection,
    route: &Route,
    mapped: &[Mapping],
    backend: &BackendId,
    position: i64,
) -> Result<(), StoreError> {
    let id = route.bucket.as_str();
    match mapped.iter().find(|mapping| mapping.backend == *backend).map(|mapping| mapping.state) {
        Some(MappingState::Active) => set_mapping(tx, id, backend, MappingState::Active, position).await,
        Some(MappingState::Draining) => {
            let query = sqlx::query(sql::DRAIN_END).bind(id).bind(backend.as_str());
            query.bind(DrainState::CalledOff.as_str()).bind(now()).execute(&mut *tx).await?;
            set_mapping(tx, id, backend, MappingState::Active, position).await
        }
        Some(MappingState::Retiring) => Err(StoreError::Conflict("a replica there that is just being dropped")),
        None => {
            if bucket_migrations::concerns(tx, &route.bucket, backend).await? {
                return Err(StoreError::Conflict("a migration of the bucket from or to that backend"));
            }
            if sqlx::query(sql::RETIREMENT_OF).bind(backend.as_str()).fetch_optional(&mut *tx).await?.is_some() {
                return Err(StoreError::Invalid(format!("placement: backend {backend} is being retired")));
            }
            sweeps::require_none(tx, &route.bucket, backend).await?;
            let (physical, n) = free_name(tx, &route.tenant, &route.name, backend, 0).await?;
            let query = sqlx::query(sql::MAPPING_INSERT).bind(id).bind(backend.as_str());
            let query = query.bind(physical.for_upstream()).bind(i64::from(n)).bind(position);
            query.execute(&mut *tx).await?;
            Ok(())
        }
    }
}

async fn set_mapping(
    tx: &mut AnyConnection,
    bucket: &str,
    backend: &BackendId,
    state: MappingState,
    position: i64,
) -> Result<(), StoreError> {
    let query = sqlx::query(sql::MAPPING_SET).bind(bucket).bind(backend.as_str());
    query.bind(state.as_str()).bind(position).execute(tx).await?;
    Ok(())
}

async fn mappings_in(tx: &mut AnyConnection, bucket: &str) -> Result<Vec<Mapping>, StoreError> {
    sqlx::query(sql::MAPPINGS).bind(bucket).fetch_all(tx).await?.iter().map(parse_mapping).collect()
}

fn parse_mapping(row: &impl Columns) -> Result<Mapping, StoreError> {
    Ok(Mapping {
        backend: row.backend("backend")?,
        physical: row.parsed("physical", PhysicalBucket::parse)?,
        state: row.parsed("state", MappingState::parse)?,
    })
}
