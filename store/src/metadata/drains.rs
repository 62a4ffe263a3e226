//! Replicas being drained: who looks through them, what was found, and the report that stays.
//! Invariant: a mapping becomes `retiring` only through [`Metadata::prove_drain`], and is dropped only from there.
use super::Metadata;
use super::db::{Columns, now, render_json, write};
use super::feed;
use crate::page::{bounds, parse_page};
use crate::{BucketId, Change, Cursor, Drain, DrainLook, DrainReason, DrainState, Millis, Page, StoreError, sql};
use s3gateway_config::BackendId;
use s3gateway_s3::PhysicalBucket;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

impl Metadata {
    /// Drains of buckets in service that no worker has claimed beyond `at`, first the one that has been free longest.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn open_drains(&self, at: Millis, limit: u32) -> Result<Vec<Drain>, StoreError> {
        let query = sqlx::query(sql::DRAINS_OPEN_NOW).bind(at).bind(i64::from(limit));
        parse_drains(&self.db.read(query.fetch_all(self.db.pool())).await?)
    }

    /// The drains of a bucket that have not ended.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn drains_of(&self, bucket: &BucketId) -> Result<Vec<Drain>, StoreError> {
        let query = sqlx::query(sql::DRAINS_OF).bind(bucket.as_str());
        parse_drains(&self.db.read(query.fetch_all(self.db.pool())).await?)
    }

    /// A page of all drains, newest first, of one bucket or backend or all.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn drains(
        &self,
        bucket: Option<&BucketId>,
        backend: Option<&BackendId>,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<Drain>, StoreError> {
        let (at, id) = bounds(after);
        let query = sqlx::query(sql::DRAINS).bind(bucket.map_or("", BucketId::as_str));
        let query = query.bind(backend.map_or("", BackendId::as_str)).bind(at).bind(id).bind(i64::from(limit));
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        parse_page(&rows, limit, "begun_at", parse_drain)
    }

    /// Claims a drain until then; false where another worker was faster or it has ended.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn claim_drain(&self, drain: &Drain, until: Millis) -> Result<bool, StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::DRAIN_CLAIM).bind(drain.id.as_str()).bind(drain.free_from).bind(until);
            Ok(query.execute(tx).await?.rows_affected() == 1)
        })
    }

    /// Notes how far the look is.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn note_look(&self, drain: &Drain, look: &DrainLook) -> Result<(), StoreError> {
        let look = render_json(look)?;
        write!(&self.db, tx => {
            sqlx::query(sql::DRAIN_LOOK).bind(drain.id.as_str()).bind(look.as_str()).execute(tx).await?;
            Ok(())
        })
    }

    /// Ends a look; the next one begins anew.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn end_look(&self, drain: &Drain, found: &DrainLook) -> Result<(), StoreError> {
        let (next, seen) = (render_json(&DrainLook::default())?, i64::try_from(found.seen).unwrap_or(i64::MAX));
        let found = render_json(found)?;
        write!(&self.db, tx => {
            let query = sqlx::query(sql::DRAIN_FOUND).bind(drain.id.as_str()).bind(next.as_str());
            query.bind(found.as_str()).bind(seen).execute(tx).await?;
            Ok(())
        })
    }

    /// Notes that a replica was seen empty: from here on it cannot be taken back, and its physical bucket may go. False
    /// where it is drained no more, or something of a stranded key stands aside on its backend.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn prove_drain(&self, drain: &Drain) -> Result<bool, StoreError> {
        self.turn(drain, sql::MAPPING_PROVE, DrainState::Proven, now()).await
    }

    /// Takes the proof back, because something turned up there; it is looked through again. False where it is gone.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn doubt_drain(&self, drain: &Drain) -> Result<bool, StoreError> {
        self.turn(drain, sql::MAPPING_DOUBT, DrainState::Draining, 0).await
    }

    async fn turn(
        &self,
        drain: &Drain,
        mapping: &'static str,
        state: DrainState,
        proven_at: Millis,
    ) -> Result<bool, StoreError> {
        let look = render_json(&DrainLook::default())?;
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let query = sqlx::query(mapping).bind(drain.bucket.as_str()).bind(drain.backend.as_str());
            if query.execute(&mut *tx).await?.rows_affected() == 0 {
                return Ok(false);
            }
            let query = sqlx::query(sql::DRAIN_SET_STATE).bind(drain.id.as_str()).bind(state.as_str());
            query.bind(proven_at).bind(look.as_str()).execute(&mut *tx).await?;
            tell(tx, &drain.bucket).await?;
            Ok(true)
        })
    }
}

/// Has proxies drop the bucket's route.
async fn tell(tx: &mut AnyConnection, bucket: &BucketId) -> Result<(), StoreError> {
    let found = super::buckets::find(tx, bucket).await?;
    feed::append(tx, &Change::Bucket(found.tenant, found.name)).await
}

fn parse_drains(rows: &[AnyRow]) -> Result<Vec<Drain>, StoreError> {
    rows.iter().map(parse_drain).collect()
}

fn parse_drain(row: &AnyRow) -> Result<Drain, StoreError> {
    let some = |at: Millis| (at > 0).then_some(at);
    let found = match row.text("found")?.as_str() {
        "" => None,
        _ => Some(row.json("found")?),
    };
    Ok(Drain {
        id: row.text("id")?,
        bucket: BucketId::new(&row.text("bucket")?),
        tenant: row.text("tenant")?,
        name: row.text("name")?,
        backend: row.backend("backend")?,
        physical: row.parsed("physical", PhysicalBucket::parse)?,
        reason: row.parsed("reason", DrainReason::parse)?,
        remark: row.text("remark")?,
        count_before: row.u32("count_before")?,
        state: row.parsed("state", DrainState::parse)?,
        begun_at: row.int("begun_at")?,
        proven_at: some(row.int("proven_at")?),
        ended_at: some(row.int("ended_at")?),
        free_from: row.int("free_from")?,
        look: row.json("look")?,
        found,
        keys: u64::try_from(row.int("keys")?).ok(),
    })
}
