//! Pages of objects, versions and uploads out of the store, judged by [`crate::listing`]; whole groups are jumped over.
use crate::{
    error::Internal,
    listing::{Page, Query, Verdict, successor},
    multipart::Upload,
    rows::Version,
    store::{Bucket, Store},
};
use s3s::S3Result;
use sqlx::SqlitePool;

/// Rows that are read at a time.
const BATCH: usize = 500;

/// A page.
pub(crate) struct Listed<Row> {
    pub(crate) entries: Vec<Entry<Row>>,
    pub(crate) truncated: bool,
}

/// A line of a page.
pub(crate) enum Entry<Row> {
    One(Row),
    Group(Vec<u8>),
}

/// Where a listing goes on: at the least key from `key` on, or first behind `within` among the rows of `key` itself.
#[derive(Clone, Debug)]
pub(crate) struct Position<Within> {
    key: Vec<u8>,
    within: Option<Within>,
}

impl<Within> Position<Within> {
    /// From the first key behind this one.
    pub(crate) fn behind(key: &[u8]) -> Self {
        Self { key: [key, &[0]].concat(), within: None }
    }

    /// From the first key that is not before this one.
    fn at(key: Vec<u8>) -> Self {
        Self { key, within: None }
    }

    /// From the row of this key that follows `within`.
    pub(crate) fn within(key: &[u8], within: Within) -> Self {
        Self { key: key.to_vec(), within: Some(within) }
    }
}

/// A kind of rows in the order of their keys.
trait Rows {
    type Row;
    type Within: Clone;
    async fn fetch(&self, from: &Position<Self::Within>, limit: i64) -> S3Result<Vec<Self::Row>>;
    fn key(row: &Self::Row) -> &[u8];
    fn position(row: &Self::Row) -> Position<Self::Within>;
}

async fn page<R: Rows>(rows: R, query: Query, mut at: Position<R::Within>) -> S3Result<Listed<R::Row>> {
    let mut entries = Vec::new();
    if query.limit == 0 {
        return Ok(Listed { entries, truncated: false });
    }
    if at.key < query.prefix {
        at = Position::at(query.prefix.clone());
    }
    let prefix = query.prefix.clone();
    let batch = i64::try_from(query.limit.saturating_add(1).min(BATCH)).internal()?;
    let mut page = Page::new(query);
    loop {
        let found = rows.fetch(&at, batch).await?;
        if found.is_empty() {
            return Ok(Listed { entries, truncated: false });
        }
        let mut skip = Vec::new();
        for row in found {
            let key = R::key(&row);
            if !key.starts_with(&prefix) {
                return Ok(Listed { entries, truncated: false });
            }
            at = R::position(&row);
            if key < skip.as_slice() {
                continue;
            }
            match page.offer(key) {
                Verdict::Key => entries.push(Entry::One(row)),
                Verdict::Group(group) => {
                    skip = successor(&group);
                    entries.push(Entry::Group(group));
                }
                Verdict::Skip(until) => skip = until,
                Verdict::Full => return Ok(Listed { entries, truncated: true }),
            }
        }
        if at.key < skip {
            at = Position::at(skip);
        }
    }
}

struct Objects<'s>(&'s SqlitePool, i64);

impl Rows for Objects<'_> {
    type Row = Version;
    type Within = ();

    async fn fetch(&self, from: &Position<()>, limit: i64) -> S3Result<Vec<Version>> {
        let found = sqlx::query(
            "SELECT * FROM version WHERE bucket = ? AND key >= ? AND latest AND NOT marker ORDER BY key LIMIT ?",
        );
        let found = found.bind(self.1).bind(&from.key).bind(limit).fetch_all(self.0).await.internal()?;
        found.iter().map(Version::of).collect()
    }

    fn key(row: &Version) -> &[u8] {
        &row.key
    }

    fn position(row: &Version) -> Position<()> {
        Position::behind(&row.key)
    }
}

struct Versions<'s>(&'s SqlitePool, i64);

impl Rows for Versions<'_> {
    type Row = Version;
    type Within = i64;

    async fn fetch(&self, from: &Position<i64>, limit: i64) -> S3Result<Vec<Version>> {
        let mut from = from.clone();
        if let Some(seq) = from.within {
            let found =
                sqlx::query("SELECT * FROM version WHERE bucket = ? AND key = ? AND seq < ? ORDER BY seq DESC LIMIT ?");
            let found = found.bind(self.1).bind(&from.key).bind(seq).bind(limit).fetch_all(self.0).await.internal()?;
            if !found.is_empty() {
                return found.iter().map(Version::of).collect();
            }
            from = Position::behind(&from.key);
        }
        let found = sqlx::query("SELECT * FROM version WHERE bucket = ? AND key >= ? ORDER BY key, seq DESC LIMIT ?");
        let found = found.bind(self.1).bind(&from.key).bind(limit).fetch_all(self.0).await.internal()?;
        found.iter().map(Version::of).collect()
    }

    fn key(row: &Version) -> &[u8] {
        &row.key
    }

    fn position(row: &Version) -> Position<i64> {
        Position::within(&row.key, row.seq)
    }
}

struct Uploads<'s>(&'s SqlitePool, i64);

impl Rows for Uploads<'_> {
    type Row = Upload;
    type Within = String;

    async fn fetch(&self, from: &Position<String>, limit: i64) -> S3Result<Vec<Upload>> {
        let mut from = from.clone();
        if let Some(id) = &from.within {
            let found = sqlx::query("SELECT * FROM upload WHERE bucket = ? AND key = ? AND id > ? ORDER BY id LIMIT ?");
            let found = found.bind(self.1).bind(&from.key).bind(id).bind(limit).fetch_all(self.0).await.internal()?;
            if !found.is_empty() {
                return found.iter().map(Upload::of).collect();
            }
            from = Position::behind(&from.key);
        }
        let found = sqlx::query("SELECT * FROM upload WHERE bucket = ? AND key >= ? ORDER BY key, id LIMIT ?");
        let found = found.bind(self.1).bind(&from.key).bind(limit).fetch_all(self.0).await.internal()?;
        found.iter().map(Upload::of).collect()
    }

    fn key(row: &Upload) -> &[u8] {
        &row.key
    }

    fn position(row: &Upload) -> Position<String> {
        Position::within(&row.key, row.id.clone())
    }
}

impl Store {
    /// Current objects behind `query.after`.
    pub(crate) async fn page_of_objects(&self, bucket: &Bucket, query: Query) -> S3Result<Listed<Version>> {
        let from = Position::behind(&query.after);
        page(Objects(&self.rows, bucket.id), query, from).await
    }

    /// Versions and delete markers, the newest of a key first.
    pub(crate) async fn page_of_versions(
        &self,
        bucket: &Bucket,
        query: Query,
        from: Position<i64>,
    ) -> S3Result<Listed<Version>> {
        page(Versions(&self.rows, bucket.id), query, from).await
    }

    /// Uploads in progress, the oldest of a key first.
    pub(crate) async fn page_of_uploads(
        &self,
        bucket: &Bucket,
        query: Query,
        from: Position<String>,
    ) -> S3Result<Listed<Upload>> {
        page(Uploads(&self.rows, bucket.id), query, from).await
    }
}
