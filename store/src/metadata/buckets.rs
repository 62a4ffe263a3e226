//! The life of a bucket: creating → active → deleting → retired → gone, and its physical names.
//! Invariant: a physical name in `bucket_backends` belongs to one bucket of one tenant until its drop was confirmed.
use super::db::{Columns, now, render_json, write};
use super::routes::route_in;
use super::sweeps::{self, Useless};
use super::{Metadata, bucket_migrations, feed, promotions, walks};
use crate::{
    Begun, BucketId, Change, Deletion, DrainState, Millis, NewBucket, NewWalk, RetiringBucket, StoreError, TenantId,
    WalkId, WalkKind, Writes, names, sql,
};
use s3gateway_config::{BackendId, Place, ResidencyPolicy};
use s3gateway_s3::{LogicalBucket, PhysicalBucket, Versioning};
use sqlx::AnyConnection;
use std::collections::HashSet;

/// Names tried before giving up; each is taken with a chance of 2^-64 unless buckets retire and come back.
const MOST_NAMES: u32 = 10_000;

/// A bucket as a transition finds it.
pub(super) struct Found {
    pub(super) tenant: TenantId,
    pub(super) name: String,
    pub(super) state: String,
    pub(super) home: BackendId,
    replica_count: u32,
    /// Empty: it was never set.
    versioning: String,
    epoch: i64,
}

impl Metadata {
    /// Notes a bucket as being created, with a free physical name on each backend of its placement. After that the
    /// caller makes the home's physical bucket and then calls [`Self::activate_bucket`] or [`Self::abandon_bucket`].
    ///
    /// # Errors
    /// `Conflict` while the bucket of that name is being deleted, `NotFound` for an unknown tenant, `Invalid` for an
    /// empty or repeated placement, an unknown backend, or a replica count that the placement cannot give.
    pub async fn begin_create_bucket(&self, bucket: &NewBucket) -> Result<Begun, StoreError> {
        verify_placement(bucket)?;
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let query = sqlx::query(sql::BUCKET_STATE_BY_NAME).bind(bucket.tenant.as_str()).bind(bucket.name.as_str());
            if let Some(row) = query.fetch_optional(&mut *tx).await? {
                return match row.text("state")?.as_str() {
                    "creating" => Ok(Begun::Resumed(route_in(tx, &row.text("id")?).await?)),
                    "active" => Ok(Begun::Exists(route_in(tx, &row.text("id")?).await?)),
                    _ => Err(StoreError::Conflict("a bucket of that name that is being deleted")),
                };
            }
            let id = insert_bucket(tx, bucket).await?;
            feed::append(tx, &Change::Bucket(bucket.tenant.clone(), bucket.name.as_str().to_owned())).await?;
            Ok(Begun::Created(route_in(tx, id.as_str()).await?))
        })
    }

    /// Puts a bucket into service once its home's physical bucket is there; an active one stays so.
    ///
    /// # Errors
    /// `NotFound` where it was abandoned or deleted meanwhile.
    pub async fn activate_bucket(&self, bucket: &BucketId) -> Result<(), StoreError> {
        self.step(bucket, &["creating"], "active").await
    }

    /// Forgets a bucket whose creation failed; nothing to do where it is gone already.
    ///
    /// # Errors
    /// `Conflict` where another gateway has put it into service.
    pub async fn abandon_bucket(&self, bucket: &BucketId) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let found = match find(tx, bucket).await {
                Err(StoreError::NotFound) => return Ok(()),
                other => other?,
            };
            if found.state != "creating" {
                return Err(StoreError::Conflict("a bucket in service"));
            }
            sqlx::query(sql::BUCKET_DELETE).bind(bucket.as_str()).execute(&mut *tx).await?;
            feed::append(tx, &Change::Bucket(found.tenant, found.name)).await
        })
    }

    /// Hides a bucket from [`Self::route`] while its home is being deleted; one that is hidden stays so.
    ///
    /// # Errors
    /// `NotFound` unless it is in service, `Busy` while another backend becomes its home, `Conflict` while it is migrated.
    pub async fn begin_delete_bucket(&self, bucket: &BucketId) -> Result<Deletion, StoreError> {
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let route = route_in(tx, bucket.as_str()).await?;
            if route.writes != Writes::Taken {
                return Err(StoreError::Busy);
            }
            bucket_migrations::require_none(tx, bucket).await?;
            if sqlx::query(sql::STRANDED_ANY).bind(bucket.as_str()).fetch_optional(&mut *tx).await?.is_some() {
                return Ok(Deletion::Stranded);
            }
            step(tx, bucket, &["active"], "deleting").await?;
            Ok(Deletion::Begun { epoch: route.epoch })
        })
    }

    /// Puts a bucket back into service because its home refused to be deleted.
    ///
    /// # Errors
    /// `NotFound` unless it is being deleted.
    pub async fn cancel_delete_bucket(&self, bucket: &BucketId) -> Result<(), StoreError> {
        self.step(bucket, &["deleting"], "active").await
    }

    /// Ends a deletion once the home's physical bucket is gone: the logical name is free, and what stands on replicas
    /// waits in [`Self::retiring_buckets`] under names that no other bucket gets. What was kept for its objects goes in
    /// pages, the first one here and the others by [`Self::sweep_page`]. Nothing to do for one that has ended.
    ///
    /// # Errors
    /// `Conflict` where the bucket is in service.
    pub async fn finish_delete_bucket(&self, bucket: &BucketId) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let found = match find(tx, bucket).await {
                Err(StoreError::NotFound) => return Ok(()),
                other => other?,
            };
            match found.state.as_str() {
                "deleting" => {}
                "retired" => return Ok(()),
                _ => return Err(StoreError::Conflict("a bucket in service")),
            }
            let id = bucket.as_str();
            sqlx::query(sql::MAPPING_DELETE).bind(id).bind(found.home.as_str()).execute(&mut *tx).await?;
            sqlx::query(sql::MAPPING_RELEASE).bind(id).execute(&mut *tx).await?;
            sqlx::query(sql::MAPPING_RETIRE).bind(id).execute(&mut *tx).await?;
            sqlx::query(sql::BUCKET_SET_STATE).bind(id).bind("retired").bind(now()).execute(&mut *tx).await?;
            if is_mapped(tx, bucket).await? {
                sweeps::begin(tx, bucket, Useless::Lent).await?;
                sweeps::begin(tx, bucket, Useless::Copies(found.home)).await?;
            } else {
                sweeps::begin(tx, bucket, Useless::Bucket).await?;
            }
            feed::append(tx, &Change::Bucket(found.tenant, found.name)).await
        })
    }

    /// Deleted buckets of which something is left on replicas, first those that have been free longest.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn retiring_buckets(&self, limit: u32) -> Result<Vec<RetiringBucket>, StoreError> {
        let query = sqlx::query(sql::MAPPINGS_RETIRING).bind(i64::from(limit));
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        let mut retiring: Vec<RetiringBucket> = Vec::new();
        for row in &rows {
            let bucket = BucketId::new(&row.text("id")?);
            let physical = (row.backend("backend")?, row.parsed("physical", PhysicalBucket::parse)?);
            match retiring.last_mut() {
                Some(last) if last.bucket == bucket => last.physical.push(physical),
                _ => retiring.push(RetiringBucket {
                    bucket,
                    physical: vec![physical],
                    free_from: row.int("state_since")?,
                }),
            }
        }
        Ok(retiring)
    }

    /// Claims a bucket that is being made, deleted or retired, as a worker does before it ends that: moves its state's
    /// beginning from what was `seen` to `until`. False where it is another now, so another worker was faster.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn claim_bucket(&self, bucket: &BucketId, seen: Millis, until: Millis) -> Result<bool, StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::BUCKET_CLAIM).bind(bucket.as_str()).bind(seen).bind(until);
            Ok(query.execute(&mut *tx).await?.rows_affected() == 1)
        })
    }

    /// Forgets a retiring physical bucket that is gone from its backend, and the deleted bucket with the last of them; the
    /// rows go in pages, the first one here and the others by [`Self::sweep_page`]. A mapping in use is left alone.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn drop_physical(&self, bucket: &BucketId, backend: &BackendId) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let found = match find(tx, bucket).await {
                Err(StoreError::NotFound) => return Ok(()),
                other => other?,
            };
            let id = bucket.as_str();
            let query = sqlx::query(sql::MAPPING_DROP_RETIRING).bind(id).bind(backend.as_str());
            if query.execute(&mut *tx).await?.rows_affected() == 0 {
                return Ok(());
            }
            let query = sqlx::query(sql::DRAIN_END).bind(id).bind(backend.as_str());
            query.bind(DrainState::Gone.as_str()).bind(now()).execute(&mut *tx).await?;
            let is_gone = found.state == "retired" && !is_mapped(tx, bucket).await?;
            let useless = if is_gone { Useless::Bucket } else { Useless::Copies(backend.clone()) };
            sweeps::begin(tx, bucket, useless).await?;
            feed::append(tx, &Change::Bucket(found.tenant, found.name)).await
        })
    }

    /// Gives a bucket another name on a backend, because a stranger holds the one it had there.
    ///
    /// # Errors
    /// `NotFound` where the bucket has no mapping there, `Conflict` for the home of a bucket that is in service.
    pub async fn raise_physical_name(
        &self,
        bucket: &BucketId,
        backend: &BackendId,
    ) -> Result<PhysicalBucket, StoreError> {
        self.raise_name(bucket, backend, None).await
    }

    /// Like [`Self::raise_physical_name`], but only if the name is still `seen`: two that meet the same stranger then
    /// get the same new name.
    ///
    /// # Errors
    /// `NotFound` where the bucket has no mapping there, `Conflict` for the home of a bucket that is in service.
    pub async fn raise_physical_name_from(
        &self,
        bucket: &BucketId,
        backend: &BackendId,
        seen: &PhysicalBucket,
    ) -> Result<PhysicalBucket, StoreError> {
        self.raise_name(bucket, backend, Some(seen)).await
    }

    /// Replaces a bucket's own residency policy; its placement is reviewed.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn set_bucket_policy(&self, bucket: &BucketId, policy: &ResidencyPolicy) -> Result<(), StoreError> {
        let policy = render_json(policy)?;
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let found = find(tx, bucket).await?;
            let query = sqlx::query(sql::BUCKET_SET_POLICY).bind(bucket.as_str()).bind(policy.as_str());
            query.execute(&mut *tx).await?;
            sqlx::query(sql::REVIEW_BUCKET).bind(bucket.as_str()).bind(now()).execute(&mut *tx).await?;
            feed::append(tx, &Change::Bucket(found.tenant, found.name)).await
        })
    }

    /// Sets how many copies a bucket's objects get, home included, and has them all looked at where that is a change.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` for 0, less than the write quorum or more than the placement has backends.
    pub async fn set_replica_count(&self, bucket: &BucketId, count: u32) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let found = find(tx, bucket).await?;
            let query = sqlx::query(sql::BUCKET_SET_REPLICA_COUNT).bind(bucket.as_str()).bind(i64::from(count));
            if query.execute(&mut *tx).await?.rows_affected() == 0 {
                return Err(StoreError::Invalid(
                    "replica count: from 1 or the write quorum to the number of places of the bucket".into(),
                ));
            }
            if found.replica_count != count {
                begin_backfill(tx, bucket, format!("the replica count was {} and is {count}", found.replica_count)).await?;
            }
            feed::append(tx, &Change::Bucket(found.tenant, found.name)).await
        })
    }

    /// Records what a bucket's home has been told about versions. Where that is the first time, all keys are to be marked:
    /// its objects are versions from now on, and replicas are to know them as such.
    ///
    /// # Errors
    /// `NotFound` unless it is in service; `Conflict` while its home is being moved, or has been since `epoch`, or keys wait for a former one.
    pub async fn set_versioning(&self, bucket: &BucketId, epoch: i64, state: Versioning) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let found = find(tx, bucket).await?;
            if found.epoch != epoch {
                return Err(StoreError::Conflict("a promotion of the bucket"));
            }
            if found.versioning != state.status().unwrap_or_default() {
                if promotions::runs(tx, bucket).await? {
                    return Err(StoreError::Conflict("a promotion of the bucket"));
                }
                // What a former home holds of them are no versions.
                let waiting = sqlx::query(sql::STRANDED_IS_OPEN).bind(bucket.as_str()).fetch_optional(&mut *tx).await?;
                if waiting.is_some() {
                    return Err(StoreError::Conflict("keys of the bucket that wait for a former home"));
                }
            }
            let query = sqlx::query(sql::BUCKET_SET_VERSIONING).bind(bucket.as_str());
            let query = query.bind(state.status().unwrap_or_default());
            if query.execute(&mut *tx).await?.rows_affected() == 0 {
                return Err(StoreError::NotFound);
            }
            if found.versioning.is_empty() && state.is_set() {
                begin_backfill(tx, bucket, "its objects are versions from now on".to_owned()).await?;
            }
            feed::append(tx, &Change::Bucket(found.tenant, found.name)).await
        })
    }

    /// Replaces a bucket's own tags, in the order given; none where there are to be none. No process caches them.
    ///
    /// # Errors
    /// `NotFound` unless it is in service.
    pub async fn set_bucket_tags(&self, bucket: &BucketId, tags: &[(String, String)]) -> Result<(), StoreError> {
        let tags = render_json(&tags)?;
        write!(&self.db, tx => {
            let query = sqlx::query(sql::BUCKET_SET_TAGS).bind(bucket.as_str()).bind(tags.as_str());
            match query.execute(&mut *tx).await?.rows_affected() {
                0 => Err(StoreError::NotFound),
                _ => Ok(()),
            }
        })
    }

    /// A bucket's own tags, as they were given.
    ///
    /// # Errors
    /// `NotFound` unless it is in service.
    pub async fn bucket_tags(&self, bucket: &BucketId) -> Result<Vec<(String, String)>, StoreError> {
        let query = sqlx::query(sql::BUCKET_TAGS).bind(bucket.as_str());
        let row = self.db.read(query.fetch_optional(self.db.pool())).await?;
        row.ok_or(StoreError::NotFound)?.json("tags")
    }

    /// Moves a bucket from one of the states `from` to `to`; being there already is success.
    async fn step(&self, bucket: &BucketId, from: &[&str], to: &str) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            step(tx, bucket, from, to).await
        })
    }

    async fn raise_name(
        &self,
        bucket: &BucketId,
        backend: &BackendId,
        seen: Option<&PhysicalBucket>,
    ) -> Result<PhysicalBucket, StoreError> {
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let found = find(tx, bucket).await?;
            let query = sqlx::query(sql::MAPPING_ONE).bind(bucket.as_str()).bind(backend.as_str());
            let row = query.fetch_optional(&mut *tx).await?.ok_or(StoreError::NotFound)?;
            let current = row.parsed("physical", PhysicalBucket::parse)?;
            if seen.is_some_and(|seen| *seen != current) {
                return Ok(current);
            }
            // Renaming a home that is in service would lose sight of its objects.
            if found.state != "creating" && found.home == *backend {
                return Err(StoreError::Conflict("a bucket in service"));
            }
            let name = LogicalBucket::parse(&found.name).map_err(|_| StoreError::Corrupt("name"))?;
            let next = row.u32("n")?.saturating_add(1);
            let (physical, n) = free_name(tx, &found.tenant, &name, backend, next).await?;
            let query = sqlx::query(sql::MAPPING_RENAME).bind(bucket.as_str()).bind(backend.as_str());
            query.bind(physical.for_upstream()).bind(i64::from(n)).execute(&mut *tx).await?;
            feed::append(tx, &Change::Bucket(found.tenant, found.name)).await?;
            Ok(physical)
        })
    }
}

fn verify_placement(bucket: &NewBucket) -> Result<(), StoreError> {
    let distinct: HashSet<&BackendId> = bucket.placement.iter().collect();
    if bucket.placement.is_empty() || distinct.len() != bucket.placement.len() {
        return Err(StoreError::Invalid("placement: one or more backends, none twice".into()));
    }
    let count = usize::try_from(bucket.replica_count).unwrap_or(usize::MAX);
    if !(1..=bucket.placement.len()).contains(&count) {
        return Err(StoreError::Invalid("replica count: from 1 to the number of places of the bucket".into()));
    }
    Ok(())
}

async fn insert_bucket(tx: &mut AnyConnection, bucket: &NewBucket) -> Result<BucketId, StoreError> {
    let id = BucketId::generate(&bucket.tenant);
    let policy = render_json(&ResidencyPolicy::default())?;
    let home = bucket.placement.first().ok_or_else(|| StoreError::Invalid("placement: empty".into()))?;
    let mut mappings = Vec::with_capacity(bucket.placement.len());
    for backend in &bucket.placement {
        if sqlx::query(sql::RETIREMENT_OF).bind(backend.as_str()).fetch_optional(&mut *tx).await?.is_some() {
            return Err(StoreError::Invalid(format!("placement: backend {backend} is being retired")));
        }
        mappings.push((backend, free_name(tx, &bucket.tenant, &bucket.name, backend, 0).await?));
    }
    let query = sqlx::query(sql::BUCKET_INSERT).bind(id.as_str()).bind(bucket.tenant.as_str());
    let query = query.bind(bucket.name.as_str()).bind(home.as_str()).bind(i64::from(bucket.replica_count));
    query.bind(bucket.location.as_str()).bind(policy).bind(now()).execute(&mut *tx).await?;
    for (position, (backend, (physical, n))) in (0_i64..).zip(mappings) {
        let query = sqlx::query(sql::MAPPING_INSERT).bind(id.as_str()).bind(backend.as_str());
        let query = query.bind(physical.for_upstream()).bind(i64::from(n)).bind(position);
        query.execute(&mut *tx).await?;
    }
    Ok(id)
}

/// The first name from `n` on that no bucket has on the backend.
pub(super) async fn free_name(
    tx: &mut AnyConnection,
    tenant: &TenantId,
    name: &LogicalBucket,
    backend: &BackendId,
    n: u32,
) -> Result<(PhysicalBucket, u32), StoreError> {
    let row = sqlx::query(sql::BACKEND_PLACE).bind(backend.as_str()).fetch_optional(&mut *tx).await?;
    let row = row.ok_or_else(|| StoreError::Invalid(format!("placement: no backend {backend}")))?;
    let place: Place = row.json("place")?;
    for n in n..n.saturating_add(MOST_NAMES) {
        let physical = names::propose(tenant.as_str(), &place.region, name, backend, n);
        let query = sqlx::query(sql::MAPPING_TAKEN).bind(backend.as_str()).bind(physical.for_upstream());
        let query = query.bind(backend.twin().to_string());
        if query.fetch_optional(&mut *tx).await?.is_none() {
            return Ok((physical, n));
        }
    }
    Err(StoreError::Conflict("every name that could be given to the bucket"))
}

/// Has every key marked, once the caller's transaction can be seen.
pub(super) async fn begin_backfill(
    tx: &mut AnyConnection,
    bucket: &BucketId,
    reason: String,
) -> Result<(), StoreError> {
    begin_backfill_walk(tx, bucket, reason).await.map(drop)
}

/// As [`begin_backfill`]; the walk that does so.
pub(super) async fn begin_backfill_walk(
    tx: &mut AnyConnection,
    bucket: &BucketId,
    reason: String,
) -> Result<WalkId, StoreError> {
    walks::begin(tx, &NewWalk { bucket: bucket.clone(), kind: WalkKind::Backfill, rate: 0, reason }).await
}

/// Whether a physical bucket is left, in whatever state.
async fn is_mapped(tx: &mut AnyConnection, bucket: &BucketId) -> Result<bool, StoreError> {
    Ok(sqlx::query(sql::MAPPINGS).bind(bucket.as_str()).fetch_optional(tx).await?.is_some())
}

async fn step(tx: &mut AnyConnection, bucket: &BucketId, from: &[&str], to: &str) -> Result<(), StoreError> {
    let found = find(tx, bucket).await?;
    if found.state == to {
        return Ok(());
    }
    if !from.contains(&found.state.as_str()) {
        return Err(StoreError::NotFound);
    }
    let query = sqlx::query(sql::BUCKET_SET_STATE).bind(bucket.as_str()).bind(to).bind(now());
    query.execute(&mut *tx).await?;
    feed::append(tx, &Change::Bucket(found.tenant, found.name)).await
}

pub(super) async fn find(tx: &mut AnyConnection, bucket: &BucketId) -> Result<Found, StoreError> {
    let row = sqlx::query(sql::BUCKET_STATE).bind(bucket.as_str()).fetch_optional(tx).await?;
    let row = row.ok_or(StoreError::NotFound)?;
    Ok(Found {
        tenant: TenantId::new(&row.text("tenant")?),
        name: row.text("name")?,
        state: row.text("state")?,
        home: row.backend("home")?,
        replica_count: row.u32("replica_count")?,
        versioning: row.text("versioning")?,
        epoch: row.int("epoch")?,
    })
}
