//! The change feed: what the control plane changed, in the order of commits, for proxies that cache it.
use super::Metadata;
use super::db::{Columns, now, write};
use crate::{Change, Millis, StoreError, TenantId, sql};
use sqlx::AnyConnection;

impl Metadata {
    /// The id of the latest change, 0 before the first.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn change_head(&self) -> Result<i64, StoreError> {
        self.db.read(sqlx::query(sql::FEED_HEAD).fetch_one(self.db.pool())).await?.int("head")
    }

    /// Changes after the id `after`, oldest first, at most `limit`. Ids have no gaps: where the first is not `after + 1`
    /// the reader was away for longer than changes are kept and must drop all that it cached.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn changes_since(&self, after: i64, limit: u32) -> Result<Vec<(i64, Change)>, StoreError> {
        let query = sqlx::query(sql::FEED_SINCE).bind(after).bind(i64::from(limit));
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        rows.iter().map(|row| Ok((row.int("id")?, parse_change(row)?))).collect()
    }

    /// Forgets changes made before `before`; how many.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn prune_changes(&self, before: Millis) -> Result<u64, StoreError> {
        write!(&self.db, tx => {
            Ok(sqlx::query(sql::FEED_PRUNE).bind(before).execute(tx).await?.rows_affected())
        })
    }
}

/// Lets the caller's transaction change the control plane; others wait until it has ended. Must come first in it, so
/// that all take their locks in the same order.
pub(super) async fn lock(tx: &mut AnyConnection) -> Result<(), StoreError> {
    sqlx::query(sql::FEED_LOCK).execute(tx).await?;
    Ok(())
}

/// Appends a change to the feed in the caller's transaction.
pub(super) async fn append(tx: &mut AnyConnection, change: &Change) -> Result<(), StoreError> {
    append_numbered(tx, change).await.map(drop)
}

/// As [`append`]; the change's id.
pub(super) async fn append_numbered(tx: &mut AnyConnection, change: &Change) -> Result<i64, StoreError> {
    let id = sqlx::query(sql::FEED_NEXT).fetch_one(&mut *tx).await?.int("head")?;
    let (kind, subject, name) = match change {
        Change::Tenant(tenant) => ("tenant", tenant.as_str(), ""),
        Change::AccessKey(key) => ("access-key", key.as_str(), ""),
        Change::Backends => ("backends", "", ""),
        Change::Bucket(tenant, name) => ("bucket", tenant.as_str(), name.as_str()),
    };
    let query = sqlx::query(sql::FEED_APPEND).bind(id).bind(kind).bind(subject).bind(name).bind(now());
    query.execute(tx).await?;
    Ok(id)
}

/// Under which name proxies cache a bucket; `None` where it is gone.
pub(super) async fn bucket_name(
    tx: &mut AnyConnection,
    bucket: &str,
) -> Result<Option<(TenantId, String)>, StoreError> {
    match sqlx::query(sql::BUCKET_STATE).bind(bucket).fetch_optional(tx).await? {
        Some(row) => Ok(Some((TenantId::new(&row.text("tenant")?), row.text("name")?))),
        None => Ok(None),
    }
}

fn parse_change(row: &impl Columns) -> Result<Change, StoreError> {
    let subject = row.text("subject")?;
    match row.text("kind")?.as_str() {
        "tenant" => Ok(Change::Tenant(TenantId::new(&subject))),
        "access-key" => Ok(Change::AccessKey(subject)),
        "backends" => Ok(Change::Backends),
        "bucket" => Ok(Change::Bucket(TenantId::new(&subject), row.text("name")?)),
        _ => Err(StoreError::Corrupt("kind")),
    }
}
