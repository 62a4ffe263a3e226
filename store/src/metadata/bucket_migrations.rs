//! Migrations as rows: filling → moving → verifying → (dropping) → done; cancelling → cancelled before the home has moved.
//! Invariants: one at a time for each bucket; the home moves only in the step of the promotion that fences its writes; what the
//! old home had at the cut over stays recorded until the migration has ended.
use super::buckets::{begin_backfill_walk, find, free_name};
use super::db::{Columns, now, render_json, write};
use super::routes::route_in;
use super::sweeps::{self, Useless};
use super::{Metadata, feed, promotions};
use crate::{
    BucketId, Change, Migration, MigrationState, Millis, NewMigration, OldLook, Promotion, Route, StoreError, WalkId,
    Writes, names, sql,
};
use s3gateway_config::{BackendId, Place};
use s3gateway_s3::PhysicalBucket;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use std::collections::BTreeMap;
use uuid::Uuid;

/// The turn of whoever takes a step without one of the workers'.
const ANY: Millis = -1;

/// The bucket or the migration is no longer what was decided on.
const CHANGED: StoreError = StoreError::Conflict("another change of the bucket or of its migration");

impl Metadata {
    /// Begins to migrate a bucket. The caller makes the new home's physical bucket and then calls [`Self::fill_migration`].
    ///
    /// # Errors
    /// `Conflict` with what is in the way: another migration, a promotion or a drain of the bucket, a target that it has already,
    /// versions that cannot move there; `Invalid` where the target is being retired, or the old home could only be kept as nobody's.
    pub async fn begin_migration(&self, new: &NewMigration<'_>) -> Result<Migration, StoreError> {
        let (id, route) = (Uuid::now_v7().to_string(), new.seen);
        let bucket = route.bucket.as_str();
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let now_there = route_in(tx, bucket).await?;
            let found = find(tx, &route.bucket).await?;
            if found.state != "active" || (now_there.epoch, &now_there.home) != (route.epoch, &route.home) {
                return Err(CHANGED);
            }
            require_none(tx, &route.bucket).await?;
            require_quiet(tx, &now_there, &new.to).await?;
            if sqlx::query(sql::RETIREMENT_OF).bind(new.to.as_str()).fetch_optional(&mut *tx).await?.is_some() {
                return Err(StoreError::Invalid(format!("to: backend {} is being retired", new.to)));
            }
            let source = now_there.physical_on(&now_there.home).ok_or(StoreError::Corrupt("physical"))?;
            let is_hashed = is_hashed(tx, &now_there, source).await?;
            let stays_here = new.to == now_there.home;
            if stays_here && is_hashed {
                return Err(StoreError::Conflict("the bucket's home at its hashed name"));
            }
            if !stays_here && now_there.physical_on(&new.to).is_some() {
                return Err(StoreError::Conflict("a replica on that backend, which can be promoted,"));
            }
            if is_hashed && !new.drop_old {
                let why = "drop_old: the old home is the gateway's own bucket, which nobody else would look after";
                return Err(StoreError::Invalid(why.to_owned()));
            }
            let (target, former) = match stays_here {
                true => (new.to.twin(), new.to.twin()),
                false => (new.to.clone(), now_there.home.clone()),
            };
            let (physical, n) = free_name(tx, &route.tenant, &route.name, &new.to, 0).await?;
            // Nothing that was recorded there before has anything to do with this one.
            sweeps::begin(tx, &route.bucket, Useless::Copies(target.clone())).await?;
            let query = sqlx::query(sql::MIGRATION_INSERT).bind(id.as_str()).bind(bucket).bind(now_there.home.as_str());
            let query = query.bind(source.for_upstream()).bind(target.as_str()).bind(physical.for_upstream());
            let query = query.bind(i64::from(n)).bind(former.as_str()).bind(i64::from(new.drop_old));
            let query = query.bind(i64::from(new.is_deep)).bind(new.asked_by.as_str()).bind(route.epoch);
            query.bind(render_json(&OldLook::default())?).bind(now()).execute(&mut *tx).await?;
            feed::append(tx, &Change::Bucket(found.tenant, found.name)).await?;
            find_migration(tx, &id).await
        })
    }

    /// One migration.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn migration(&self, id: &str) -> Result<Migration, StoreError> {
        let row = self.db.read(sqlx::query(sql::MIGRATION).bind(id).fetch_optional(self.db.pool())).await?;
        parse(&row.ok_or(StoreError::NotFound)?)
    }

    /// A bucket's migrations, the newest first.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn migrations_of(&self, bucket: &BucketId, limit: u32) -> Result<Vec<Migration>, StoreError> {
        let query = sqlx::query(sql::MIGRATIONS_OF_BUCKET).bind(bucket.as_str()).bind(i64::from(limit));
        self.db.read(query.fetch_all(self.db.pool())).await?.iter().map(parse).collect()
    }

    /// The backends that a migration of the bucket goes on from and to; none where there is no migration.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn migrated_between(&self, bucket: &BucketId) -> Result<Vec<BackendId>, StoreError> {
        let query = sqlx::query(sql::MIGRATION_RUNNING).bind(bucket.as_str());
        let row = self.db.read(query.fetch_optional(self.db.pool())).await?;
        let running = row.as_ref().map(parse).transpose()?;
        Ok(running.map(|running| vec![running.source.real(), running.target.real()]).unwrap_or_default())
    }

    /// Migrations that have not ended and at which it is nobody's turn.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn migrations_due(&self, at: Millis, limit: u32) -> Result<Vec<Migration>, StoreError> {
        let query = sqlx::query(sql::MIGRATIONS_DUE).bind(at).bind(i64::from(limit));
        self.db.read(query.fetch_all(self.db.pool())).await?.iter().map(parse).collect()
    }

    /// A worker's turn at a migration, from what it has `seen` to `until`. False where another was faster.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn claim_migration(&self, id: &str, seen: Millis, until: Millis) -> Result<bool, StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::MIGRATION_CLAIM).bind(id).bind(seen).bind(until);
            Ok(query.execute(tx).await?.rows_affected() == 1)
        })
    }

    /// Says what a migration waits for.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn note_migration(&self, seen: &Migration, detail: &str) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::MIGRATION_DETAIL).bind(seen.id.as_str()).bind(seen.turn).bind(detail);
            query.execute(tx).await?;
            Ok(())
        })
    }

    /// Notes how far the old home was looked through. False where it is another worker's turn.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn note_old_look(&self, seen: &Migration, look: &OldLook) -> Result<bool, StoreError> {
        let look = render_json(look)?;
        write!(&self.db, tx => {
            let query = sqlx::query(sql::MIGRATION_LOOK).bind(seen.id.as_str()).bind(seen.turn).bind(look.as_str());
            Ok(query.execute(tx).await?.rows_affected() == 1)
        })
    }

    /// Gives the new home another name, because a stranger holds the one it had, or something is in it.
    ///
    /// # Errors
    /// `Conflict` where it is being filled already.
    pub async fn rename_migration_target(&self, seen: &Migration) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let route = route_in(tx, seen.bucket.as_str()).await?;
            let next = seen.target_n.saturating_add(1);
            let (physical, n) = free_name(tx, &route.tenant, &route.name, &seen.target.real(), next).await?;
            let query = sqlx::query(sql::MIGRATION_RENAME).bind(seen.id.as_str()).bind(seen.turn);
            match query.bind(physical.for_upstream()).bind(i64::from(n)).execute(&mut *tx).await?.rows_affected() {
                0 => Err(CHANGED),
                _ => Ok(()),
            }
        })
    }

    /// Has every key copied to the new home, whose physical bucket is there, and each that is written from now on.
    ///
    /// # Errors
    /// `Conflict` where it is another worker's turn, or what was recorded there before is still being removed.
    pub async fn fill_migration(&self, seen: &Migration) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            sweeps::require_none(tx, &seen.bucket, &seen.target).await?;
            let walk = begin_backfill_walk(tx, &seen.bucket, "the bucket is migrated".to_owned()).await?;
            let next = Migration { walk: Some(walk), detail: String::new(), ..seen.clone() };
            step(tx, seen, &next).await?;
            tell(tx, &seen.bucket).await
        })
    }

    /// Begins the promotion that cuts over.
    ///
    /// # Errors
    /// `Conflict` where another promotion runs or it is another worker's turn; `Invalid` where the bucket has changed.
    pub async fn promote_migration(&self, seen: &Migration) -> Result<Promotion, StoreError> {
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let begun = promotions::begin(tx, &seen.bucket, &seen.target, seen.epoch, false).await?;
            let next = Migration { promotion: Some(begun.id.clone()), ..enter(seen, MigrationState::Moving, "") };
            step(tx, seen, &next).await?;
            Ok(begun)
        })
    }

    /// Goes back to filling because the promotion has failed; it is tried again.
    ///
    /// # Errors
    /// `Conflict` where it has cut over after all.
    pub async fn refill_migration(&self, seen: &Migration, why: &str) -> Result<(), StoreError> {
        write!(&self.db, tx => { step(tx, seen, &enter(seen, MigrationState::Filling, why)).await })
    }

    /// Begins to empty the old home of what was verified.
    ///
    /// # Errors
    /// `Conflict` where it is another worker's turn.
    pub async fn drop_old_home(&self, seen: &Migration) -> Result<(), StoreError> {
        let look = OldLook { after: String::new(), strays: 0, stray: String::new(), ..seen.look.clone() };
        let next = Migration { look, ..enter(seen, MigrationState::Dropping, "") };
        write!(&self.db, tx => { step(tx, seen, &next).await })
    }

    /// Calls a migration off. Before the home has moved, what was made for it is taken away; after that, what is left of the
    /// old home is kept as it is.
    ///
    /// # Errors
    /// `Conflict` while it is cutting over, or where it has ended.
    pub async fn cancel_migration(&self, id: &str, why: &str) -> Result<Migration, StoreError> {
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let seen = Migration { turn: ANY, ..find_migration(tx, id).await? };
            let next = match seen.state {
                MigrationState::Filling => enter(&seen, MigrationState::Cancelling, why),
                MigrationState::Moving => {
                    if !promotions::call_off(tx, seen.promotion.as_deref().unwrap_or_default(), why).await? {
                        return Err(StoreError::Conflict("the cut over of this migration"));
                    }
                    enter(&seen, MigrationState::Cancelling, why)
                }
                MigrationState::Verifying | MigrationState::Dropping => {
                    let detail = format!("{why}: what is left of the old home is kept as it is");
                    enter(&seen, MigrationState::Done, &detail)
                }
                MigrationState::Cancelling => return find_migration(tx, id).await,
                MigrationState::Done | MigrationState::Cancelled => {
                    return Err(StoreError::Conflict("the end of this migration"));
                }
            };
            if next.state.is_over() { end(tx, &seen, &next).await? } else { step(tx, &seen, &next).await? }
            tell(tx, &seen.bucket).await?;
            find_migration(tx, id).await
        })
    }

    /// Ends a migration: what is known of the home that it was not to have goes in pages, the first one here.
    ///
    /// # Errors
    /// `Conflict` where it is another worker's turn.
    pub async fn end_migration(&self, seen: &Migration, detail: &str) -> Result<(), StoreError> {
        let state = match seen.state {
            MigrationState::Cancelling => MigrationState::Cancelled,
            _ => MigrationState::Done,
        };
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            end(tx, seen, &enter(seen, state, detail)).await?;
            tell(tx, &seen.bucket).await
        })
    }

    /// ETag and size of what the old home had at the cut over, of keys from `first` to `last`.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn copies_left(
        &self,
        seen: &Migration,
        first: &str,
        last: &str,
    ) -> Result<BTreeMap<String, (String, i64)>, StoreError> {
        let query = sqlx::query(sql::COPIES_LEFT).bind(seen.bucket.as_str()).bind(seen.former.as_str());
        let query = query.bind(first.as_bytes()).bind(last.as_bytes());
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        rows.iter().map(|row| Ok((row.key()?.as_str().to_owned(), (row.text("etag")?, row.int("size")?)))).collect()
    }
}

/// Fails while the bucket is migrated.
pub(super) async fn require_none(tx: &mut AnyConnection, bucket: &BucketId) -> Result<(), StoreError> {
    match running(tx, bucket).await? {
        Some(_) => Err(StoreError::Conflict("a migration of the bucket")),
        None => Ok(()),
    }
}

/// Whether a migration of the bucket that has not ended goes to or comes from a backend.
pub(super) async fn concerns(
    tx: &mut AnyConnection,
    bucket: &BucketId,
    backend: &BackendId,
) -> Result<bool, StoreError> {
    let running = running(tx, bucket).await?;
    Ok(running.is_some_and(|running| running.source == *backend || running.target.real() == *backend))
}

/// Moves the home of a bucket whose promotion is a migration's, in the promotion's step. False where it is none.
pub(super) async fn cut_over(tx: &mut AnyConnection, promotion: &Promotion) -> Result<bool, StoreError> {
    let bucket = promotion.bucket.as_str();
    let query = sqlx::query(sql::MIGRATION_PROMOTED).bind(bucket).bind(promotion.id.as_str());
    let Some(row) = query.fetch_optional(&mut *tx).await? else { return Ok(false) };
    let seen = Migration { turn: ANY, ..parse(&row)? };
    let (physical, n) = (seen.target_physical.for_upstream(), i64::from(seen.target_n));
    if seen.target.is_twin() {
        let query = sqlx::query(sql::MAPPING_CUT_OVER).bind(bucket).bind(seen.source.as_str());
        query.bind(physical).bind(n).execute(&mut *tx).await?;
    } else {
        sqlx::query(sql::MAPPING_DELETE).bind(bucket).bind(seen.source.as_str()).execute(&mut *tx).await?;
        let query = sqlx::query(sql::MAPPING_INSERT).bind(bucket).bind(seen.target.as_str()).bind(physical).bind(n);
        query.bind(0_i64).execute(&mut *tx).await?;
        sqlx::query(sql::MAPPING_FIRST).bind(bucket).bind(seen.target.as_str()).execute(&mut *tx).await?;
    }
    // Open uploads stay behind, where nobody can end them through the gateway.
    for forget in [sql::UPLOADS_DELETE_ALL, sql::UPLOAD_PARTS_DELETE_ALL, sql::UPLOAD_CHECKSUMS_DELETE_ALL] {
        sqlx::query(forget).bind(bucket).execute(&mut *tx).await?;
    }
    let next = Migration { moved_at: now(), ..enter(&seen, MigrationState::Verifying, "") };
    step(tx, &seen, &next).await?;
    Ok(true)
}

/// Fails while something else changes where the bucket is, or where its versions could not move to a backend.
async fn require_quiet(tx: &mut AnyConnection, route: &Route, to: &BackendId) -> Result<(), StoreError> {
    // The home and its twin would both have own ids of them, under the one id of their backend.
    if route.has_moved_versions && *to == route.home {
        return Err(StoreError::Conflict("another home's id of the bucket's versions"));
    }
    if route.writes != Writes::Taken || promotions::runs(tx, &route.bucket).await? {
        return Err(StoreError::Conflict("a promotion of the bucket"));
    }
    match sqlx::query(sql::DRAINS_OF).bind(route.bucket.as_str()).fetch_optional(tx).await? {
        Some(_) => Err(StoreError::Conflict("a drain of the bucket")),
        None => Ok(()),
    }
}

/// Whether the name of a bucket's home is one that the gateway has given.
async fn is_hashed(tx: &mut AnyConnection, route: &Route, physical: &PhysicalBucket) -> Result<bool, StoreError> {
    let row = sqlx::query(sql::BACKEND_PLACE).bind(route.home.as_str()).fetch_one(&mut *tx).await?;
    let place: Place = row.json("place")?;
    let query = sqlx::query(sql::MAPPING_ONE).bind(route.bucket.as_str()).bind(route.home.as_str());
    let n = query.fetch_one(tx).await?.u32("n")?;
    Ok(names::propose(route.tenant.as_str(), &place.region, &route.name, &route.home, n) == *physical)
}

fn enter(seen: &Migration, state: MigrationState, detail: &str) -> Migration {
    let time = now();
    let ended_at = if state.is_over() { time } else { 0 };
    Migration { state, detail: detail.to_owned(), since: time, ended_at, ..seen.clone() }
}

/// The one way from state to state.
async fn step(tx: &mut AnyConnection, seen: &Migration, next: &Migration) -> Result<(), StoreError> {
    let query = sqlx::query(sql::MIGRATION_STEP).bind(seen.id.as_str()).bind(seen.turn).bind(seen.state.as_str());
    let query = query.bind(next.state.as_str()).bind(next.detail.as_str());
    let query = query.bind(next.walk.as_ref().map_or("", WalkId::as_str));
    let query = query.bind(next.promotion.as_deref().unwrap_or_default()).bind(render_json(&next.look)?);
    let query = query.bind(next.since).bind(next.moved_at).bind(next.ended_at);
    if query.execute(tx).await?.rows_affected() == 1 { Ok(()) } else { Err(CHANGED) }
}

async fn end(tx: &mut AnyConnection, seen: &Migration, next: &Migration) -> Result<(), StoreError> {
    step(tx, seen, next).await?;
    let gone = if seen.moved_at > 0 { &seen.former } else { &seen.target };
    sweeps::begin(tx, &seen.bucket, Useless::Copies(gone.clone())).await
}

/// Has proxies drop the bucket's route.
async fn tell(tx: &mut AnyConnection, bucket: &BucketId) -> Result<(), StoreError> {
    match feed::bucket_name(tx, bucket.as_str()).await? {
        Some((tenant, name)) => feed::append(tx, &Change::Bucket(tenant, name)).await,
        None => Ok(()),
    }
}

async fn running(tx: &mut AnyConnection, bucket: &BucketId) -> Result<Option<Migration>, StoreError> {
    let row = sqlx::query(sql::MIGRATION_RUNNING).bind(bucket.as_str()).fetch_optional(tx).await?;
    row.as_ref().map(parse).transpose()
}

async fn find_migration(tx: &mut AnyConnection, id: &str) -> Result<Migration, StoreError> {
    let row = sqlx::query(sql::MIGRATION).bind(id).fetch_optional(tx).await?;
    parse(&row.ok_or(StoreError::NotFound)?)
}

fn parse(row: &AnyRow) -> Result<Migration, StoreError> {
    let some = |text: String| (!text.is_empty()).then_some(text);
    Ok(Migration {
        id: row.text("id")?,
        bucket: BucketId::new(&row.text("bucket")?),
        source: row.backend("source")?,
        source_physical: row.parsed("source_physical", PhysicalBucket::parse)?,
        target: row.backend("target")?,
        target_physical: row.parsed("target_physical", PhysicalBucket::parse)?,
        target_n: row.u32("target_n")?,
        former: row.backend("former")?,
        drop_old: row.int("drop_old")? == 1,
        is_deep: row.int("is_deep")? == 1,
        asked_by: row.text("asked_by")?,
        state: row.parsed("state", |text| MigrationState::parse(text).ok_or(()))?,
        detail: row.text("detail")?,
        walk: some(row.text("walk")?).map(|id| WalkId::new(&id)),
        promotion: some(row.text("promotion")?),
        epoch: row.int("epoch")?,
        look: row.json("look")?,
        begun_at: row.int("begun_at")?,
        since: row.int("since")?,
        moved_at: row.int("moved_at")?,
        ended_at: row.int("ended_at")?,
        turn: row.int("turn")?,
    })
}
