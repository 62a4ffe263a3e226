//! Removes rows of which there may be millions. What makes them useless notes so in a short transaction; workers remove them
//! in pages. Invariants: no transaction removes more than some pages; a note goes with the last page, and a deleted bucket's
//! row with it; a backend that is noted gets no copies of that bucket again before.
use super::Metadata;
use super::db::{Columns, write};
use crate::{BucketId, StoreError, sql};
use s3gateway_config::BackendId;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

/// Rows of each table that go in one transaction; those of a key, or of an upload, go together.
pub(super) const ROWS: i64 = 1000;
/// Behind every key: no UTF-8 text has such a byte.
pub(super) const BEHIND_ALL: &[u8] = &[0xFF];
/// As the driver names the database.
const POSTGRES: &str = "PostgreSQL";

/// What was lent to objects, and notes about them.
const LENT: &[&str] =
    &[sql::TAGS_SWEEP, sql::CHECKSUMS_SWEEP, sql::OBJECT_PARTS_SWEEP, sql::RETAGGED_SWEEP, sql::UNLISTED_SWEEP];
/// What is known of copies, wherever they are.
const COPIES: &[&str] = &[sql::COPIES_SWEEP, sql::VERSION_COPIES_SWEEP, sql::STRANDED_SWEEP, sql::PROMOTION_KEYS_SWEEP];
/// What is known of copies on one backend.
const COPIES_ON: &[&str] = &[sql::COPIES_SWEEP_ON, sql::VERSION_COPIES_SWEEP_ON];
/// What was lent to open uploads.
const UPLOADS: &[&str] =
    &[sql::UPLOAD_CHECKSUMS_SWEEP, sql::UPLOAD_PARTS_SWEEP, sql::UPLOAD_PLACES_SWEEP, sql::UPLOADS_SWEEP];

/// Rows that are of no use any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Useless {
    /// All about a bucket of which nothing is left anywhere, its own row included.
    Bucket,
    /// What was lent to the objects and uploads of a deleted bucket.
    Lent,
    /// The records of copies on a backend where the bucket has none.
    Copies(BackendId),
}

/// Rows that are being removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// Of which bucket.
    pub bucket: BucketId,
    rows: Useless,
    /// All keys up to this one are done.
    after: Vec<u8>,
}

impl Metadata {
    /// What is being removed, at most `limit` of it.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn sweeps(&self, limit: u32) -> Result<Vec<Sweep>, StoreError> {
        let rows = self.db.read(sqlx::query(sql::SWEEPS).bind(i64::from(limit)).fetch_all(self.db.pool())).await?;
        rows.iter().map(parse).collect()
    }

    /// Removes the next page; nothing to do where another worker has done so.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn sweep_page(&self, seen: &Sweep) -> Result<(), StoreError> {
        write!(&self.db, tx => { remove_page(tx, seen).await })
    }
}

/// Notes that rows are of no use any more, and removes their first page.
pub(super) async fn begin(tx: &mut AnyConnection, bucket: &BucketId, rows: Useless) -> Result<(), StoreError> {
    let sweep = Sweep { bucket: bucket.clone(), rows, after: Vec::new() };
    let (what, backend) = sweep.rows.columns();
    let query = sqlx::query(sql::SWEEP_BEGIN).bind(bucket.as_str()).bind(what).bind(backend);
    query.bind(sweep.after.as_slice()).execute(&mut *tx).await?;
    remove_page(tx, &sweep).await
}

/// Fails while records of the bucket's former copies on a backend are being removed: those of new ones would go, too.
pub(super) async fn require_none(
    tx: &mut AnyConnection,
    bucket: &BucketId,
    backend: &BackendId,
) -> Result<(), StoreError> {
    let query = sqlx::query(sql::SWEEP_OF_COPIES).bind(bucket.as_str()).bind(backend.as_str());
    match query.fetch_optional(tx).await? {
        Some(_) => Err(StoreError::Conflict("a removal of what was recorded of former copies there")),
        None => Ok(()),
    }
}

async fn remove_page(tx: &mut AnyConnection, seen: &Sweep) -> Result<(), StoreError> {
    let (bucket, (what, backend)) = (seen.bucket.as_str(), seen.rows.columns());
    let query = sqlx::query(sql::SWEEP_CLAIM).bind(bucket).bind(what).bind(backend).bind(seen.after.as_slice());
    if query.execute(&mut *tx).await?.rows_affected() == 0 {
        return Ok(());
    }
    if tx.backend_name() == POSTGRES {
        sqlx::query(sql::SWEEP_BY_INDEX_POSTGRES).execute(&mut *tx).await?;
    }
    let query = sqlx::query(sql::SWEEP_END).bind(bucket).bind(seen.after.as_slice()).bind(ROWS);
    let end = query.fetch_optional(&mut *tx).await?.map(|row| row.bytes("object_key")).transpose()?;
    let last = end.as_deref().unwrap_or(BEHIND_ALL);
    let (of_keys, of_uploads): (&[&[&str]], &[&str]) = match seen.rows {
        Useless::Bucket => (&[LENT, COPIES], UPLOADS),
        Useless::Lent => (&[LENT], UPLOADS),
        Useless::Copies(_) => (&[], &[]),
    };
    for statement in of_keys.concat() {
        sqlx::query(statement).bind(bucket).bind(seen.after.as_slice()).bind(last).execute(&mut *tx).await?;
    }
    if let Useless::Copies(backend) = &seen.rows {
        for statement in COPIES_ON {
            let query = sqlx::query(*statement).bind(bucket).bind(seen.after.as_slice()).bind(last);
            query.bind(backend.as_str()).execute(&mut *tx).await?;
        }
    }
    let mut is_last = end.is_none();
    for statement in of_uploads {
        let gone = sqlx::query(*statement).bind(bucket).bind(ROWS).execute(&mut *tx).await?.rows_affected();
        is_last &= gone < ROWS.unsigned_abs();
    }
    if !is_last {
        let query = sqlx::query(sql::SWEEP_ADVANCE).bind(bucket).bind(what).bind(backend).bind(last);
        query.execute(&mut *tx).await?;
        return Ok(());
    }
    sqlx::query(sql::SWEEP_DELETE).bind(bucket).bind(what).bind(backend).execute(&mut *tx).await?;
    if seen.rows == Useless::Bucket {
        sqlx::query(sql::BUCKET_DELETE_IF_UNMAPPED).bind(bucket).execute(&mut *tx).await?;
    }
    Ok(())
}

impl Useless {
    /// What it is called in its row, and of which backend it is, empty for all.
    fn columns(&self) -> (&'static str, &str) {
        match self {
            Self::Bucket => ("bucket", ""),
            Self::Lent => ("lent", ""),
            Self::Copies(backend) => ("copies", backend.as_str()),
        }
    }
}

fn parse(row: &AnyRow) -> Result<Sweep, StoreError> {
    let rows = match row.text("what")?.as_str() {
        "bucket" => Useless::Bucket,
        "lent" => Useless::Lent,
        "copies" => Useless::Copies(row.backend("backend")?),
        _ => return Err(StoreError::Corrupt("what")),
    };
    Ok(Sweep { bucket: BucketId::new(&row.text("bucket")?), rows, after: row.bytes("after")? })
}
