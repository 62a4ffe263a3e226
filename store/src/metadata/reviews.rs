//! Reviews that a tenant's policy or a backend's retirement leaves owing for all buckets that it may concern.
//! Invariant: they are noted in the change's own transaction, and made due in pages, with the last of which the note goes.
use super::Metadata;
use super::db::{Columns, now, write};
use crate::{StoreError, TenantId, sql};
use s3gateway_config::BackendId;
use sqlx::AnyConnection;

/// Buckets whose reviews are made due in one transaction.
pub(super) const BUCKETS: i64 = 500;

/// What has changed.
pub(super) enum Changed {
    Tenant(TenantId),
    Backend(BackendId),
}

/// Reviews that are owed.
struct Owed {
    because: Changed,
    /// The last bucket whose review is due: by name for a tenant, by id for a backend.
    after: String,
}

impl Metadata {
    /// Makes the reviews of a page of buckets due where they are owed; false where none are.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn make_reviews_due(&self) -> Result<bool, StoreError> {
        let row = self.db.read(sqlx::query(sql::REVIEWS_OWED).fetch_optional(self.db.pool())).await?;
        let Some(row) = row else { return Ok(false) };
        let because = match row.text("kind")?.as_str() {
            "tenant" => Changed::Tenant(TenantId::new(&row.text("subject")?)),
            "backend" => Changed::Backend(row.backend("subject")?),
            _ => return Err(StoreError::Corrupt("kind")),
        };
        let owed = Owed { because, after: row.text("after")? };
        write!(&self.db, tx => { make_page_due(tx, &owed).await })?;
        Ok(true)
    }
}

/// Notes that reviews are owed, and makes the first ones due.
pub(super) async fn owe(tx: &mut AnyConnection, because: Changed) -> Result<(), StoreError> {
    let owed = Owed { because, after: String::new() };
    let (kind, subject) = owed.because.columns();
    sqlx::query(sql::REVIEW_OWE).bind(kind).bind(subject).execute(&mut *tx).await?;
    make_page_due(tx, &owed).await
}

/// Nothing to do where another worker has taken the page.
async fn make_page_due(tx: &mut AnyConnection, seen: &Owed) -> Result<(), StoreError> {
    let ((kind, subject), after) = (seen.because.columns(), seen.after.as_str());
    let query = sqlx::query(sql::REVIEW_CLAIM).bind(kind).bind(subject).bind(after);
    if query.execute(&mut *tx).await?.rows_affected() == 0 {
        return Ok(());
    }
    let (page, update) = match seen.because {
        Changed::Tenant(_) => (sql::REVIEW_PAGE_OF_TENANT, sql::REVIEW_TENANT),
        Changed::Backend(_) => (sql::REVIEW_PAGE_ON_BACKEND, sql::REVIEW_BACKEND),
    };
    let buckets = sqlx::query(page).bind(subject).bind(after).bind(BUCKETS).fetch_all(&mut *tx).await?;
    let last = buckets.last().map(|row| row.text("bucket")).transpose()?;
    if let Some(last) = &last {
        let query = sqlx::query(update).bind(subject).bind(after).bind(last.as_str());
        query.bind(now()).execute(&mut *tx).await?;
    }
    let is_full = i64::try_from(buckets.len()).is_ok_and(|found| found >= BUCKETS);
    match last {
        Some(last) if is_full => {
            let query = sqlx::query(sql::REVIEW_ADVANCE).bind(kind).bind(subject).bind(last);
            query.execute(&mut *tx).await?;
        }
        _ => {
            sqlx::query(sql::REVIEW_SETTLE).bind(kind).bind(subject).execute(&mut *tx).await?;
        }
    }
    Ok(())
}

impl Changed {
    /// Kind and id, as in the row.
    fn columns(&self) -> (&'static str, &str) {
        match self {
            Self::Tenant(tenant) => ("tenant", tenant.as_str()),
            Self::Backend(backend) => ("backend", backend.as_str()),
        }
    }
}
