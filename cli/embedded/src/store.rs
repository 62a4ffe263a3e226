//! The store: one SQLite database of names and one folder of content, opened once and shared by all requests.
//!
//! Whatever changes is one transaction; what it frees is unlinked only after it is committed.
use crate::{content::Contents, error::Internal, tags::Tags};
use s3s::{S3Result, s3_error};
use sqlx::{
    Connection, Row, Sqlite, SqliteConnection, SqlitePool, Transaction,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous},
};
use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const SCHEMA: &str = include_str!("schema.sql");
const SCHEMA_VERSION: i64 = 1;
const READERS: u32 = 4;
/// Writers queue for the one connection that writes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Buckets, objects, versions and uploads in a folder.
#[derive(Clone)]
pub struct Store {
    pub(crate) rows: SqlitePool,
    writer: SqlitePool,
    pub(crate) contents: Contents,
}

/// A transaction that changes something.
pub(crate) struct Write {
    pub(crate) tx: Transaction<'static, Sqlite>,
    /// Content that the transaction has cut a row from.
    pub(crate) freed: Vec<String>,
    contents: Contents,
}

/// A bucket's row.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    pub(crate) id: i64,
    pub(crate) name: String,
    /// Its LocationConstraint; empty for the region that has none.
    pub(crate) location: String,
    pub(crate) created: i64,
    pub(crate) versioning: Option<Versioning>,
    pub(crate) tags: Tags,
}

/// The state of versioning, once it was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Versioning {
    Enabled,
    Suspended,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Its folder.
    #[error(transparent)]
    Folder(#[from] std::io::Error),
    /// Its database.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// Its schema.
    #[error("the store was written by a newer version")]
    Newer,
}

impl Store {
    /// Opens or makes the store in a folder, which one process may hold at a time, and sweeps what a crash has left.
    ///
    /// # Errors
    /// Where the folder cannot be used or was written by a newer schema.
    pub async fn open(folder: &Path) -> Result<Self, OpenError> {
        std::fs::create_dir_all(folder)?;
        let options = SqliteConnectOptions::new()
            .filename(folder.join("names.db"))
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            // What was acknowledged survives a power cut, not only a kill.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(PATIENCE);
        let pool = |size| {
            let pool = SqlitePoolOptions::new().max_connections(size).acquire_timeout(PATIENCE);
            // A full disk ends a transaction without its driver's knowledge, and the driver would begin no other there.
            pool.before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        };
        let writer = pool(1).connect_with(options.clone()).await?;
        let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
        let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *tx).await?;
        match found {
            0 => {
                sqlx::raw_sql(SCHEMA).execute(&mut *tx).await?;
            }
            SCHEMA_VERSION => {}
            _ => return Err(OpenError::Newer),
        }
        tx.commit().await?;
        let rows = pool(READERS).connect_with(options).await?;
        let contents = Contents::open(&folder.join("content"), rows.clone()).await?;
        Ok(Self { rows, writer, contents })
    }

    /// Begins a change; changes come one after the other.
    pub(crate) async fn write(&self) -> S3Result<Write> {
        let tx = self.writer.begin_with("BEGIN IMMEDIATE").await.internal()?;
        Ok(Write { tx, freed: Vec::new(), contents: self.contents.clone() })
    }

    /// Begins a look at one moment of the store.
    pub(crate) async fn look(&self) -> S3Result<Transaction<'static, Sqlite>> {
        self.rows.begin().await.internal()
    }
}

impl Write {
    /// Makes it durable and visible, and lets go of what it freed.
    pub(crate) async fn commit(self) -> S3Result<()> {
        self.tx.commit().await.internal()?;
        self.contents.release(self.freed);
        Ok(())
    }
}

impl Versioning {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Enabled => "Enabled",
            Self::Suspended => "Suspended",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Enabled, Self::Suspended].into_iter().find(|state| state.name() == name)
    }
}

impl Bucket {
    pub(crate) fn of(row: &SqliteRow) -> S3Result<Self> {
        let versioning: Option<String> = row.try_get("versioning").internal()?;
        Ok(Self {
            id: row.try_get("id").internal()?,
            name: row.try_get("name").internal()?,
            location: row.try_get("location").internal()?,
            created: row.try_get("created").internal()?,
            versioning: versioning.as_deref().and_then(Versioning::parse),
            tags: json(row, "tags")?,
        })
    }

    /// The id as answers show it: not at all where versioning was never set.
    pub(crate) fn shown(&self, version: &str) -> Option<String> {
        self.versioning.map(|_| version.to_owned())
    }
}

/// The bucket of that name.
pub(crate) async fn bucket(rows: &mut SqliteConnection, name: &str) -> S3Result<Bucket> {
    let found = sqlx::query("SELECT * FROM bucket WHERE name = ?").bind(name).fetch_optional(rows).await.internal()?;
    Bucket::of(&found.ok_or_else(|| s3_error!(NoSuchBucket, "The specified bucket does not exist"))?)
}

/// A column that holds JSON.
pub(crate) fn json<T: serde::de::DeserializeOwned>(row: &SqliteRow, column: &str) -> S3Result<T> {
    serde_json::from_str(row.try_get::<&str, _>(column).internal()?).internal()
}

/// A count or size from a column.
pub(crate) fn unsigned(row: &SqliteRow, column: &str) -> S3Result<u64> {
    u64::try_from(row.try_get::<i64, _>(column).internal()?).internal()
}

/// A count or size for a column.
pub(crate) fn signed(value: u64) -> S3Result<i64> {
    i64::try_from(value).internal()
}

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Milliseconds since 1970 as a point in time.
pub(crate) fn time(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn after_a_full_disk_changes_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).await.unwrap();
        for _ in 0..2 {
            let mut write = store.write().await.unwrap();
            // No page more than there are: SQLite answers as on a full disk, and rolls back by itself.
            sqlx::query("PRAGMA max_page_count = 1").execute(&mut *write.tx).await.unwrap();
            let large = "INSERT INTO bucket (name, location, created, tags) VALUES ('b', zeroblob(1000000), 0, '[]')";
            let refused = sqlx::query(large).execute(&mut *write.tx).await.unwrap_err();
            assert!(refused.to_string().contains("full"), "{refused}");
            drop(write);
            store.write().await.unwrap().commit().await.unwrap();
        }
    }
}
