//! Buckets in the store.
use crate::{
    error::Internal,
    store::{Bucket, Store, Versioning, bucket, now},
    tags::Tags,
};
use s3s::{S3Result, s3_error};

impl Store {
    pub(crate) async fn create_bucket(&self, name: &str, location: &str) -> S3Result<()> {
        let mut write = self.write().await?;
        let made = sqlx::query(
            "INSERT INTO bucket (name, location, created, tags) VALUES (?, ?, ?, '{}') ON CONFLICT (name) DO NOTHING",
        );
        let made = made.bind(name).bind(location).bind(now()).execute(&mut *write.tx).await.internal()?;
        if made.rows_affected() == 0 {
            let message = "Your previous request to create the named bucket succeeded and you already own it.";
            return Err(s3_error!(BucketAlreadyOwnedByYou, "{message}"));
        }
        write.commit().await
    }

    pub(crate) async fn find_bucket(&self, name: &str) -> S3Result<Bucket> {
        bucket(&mut *self.rows.acquire().await.internal()?, name).await
    }

    /// In the order of their names, from behind `after`.
    pub(crate) async fn buckets(&self, prefix: &str, after: &str, limit: usize) -> S3Result<Vec<Bucket>> {
        let found = sqlx::query(
            "SELECT * FROM bucket WHERE name > ?1 AND substr(name, 1, length(?2)) = ?2 ORDER BY name LIMIT ?3",
        );
        let limit = i64::try_from(limit).internal()?;
        let found = found.bind(after).bind(prefix).bind(limit).fetch_all(&self.rows).await.internal()?;
        found.iter().map(Bucket::of).collect()
    }

    /// Only where no object, version, delete marker or upload is left in it.
    pub(crate) async fn delete_bucket(&self, name: &str) -> S3Result<()> {
        let mut write = self.write().await?;
        let bucket = bucket(&mut write.tx, name).await?;
        let used: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM version WHERE bucket = ?1) OR EXISTS (SELECT 1 FROM upload WHERE bucket = ?1)",
        )
        .bind(bucket.id)
        .fetch_one(&mut *write.tx)
        .await
        .internal()?;
        if used {
            return Err(s3_error!(BucketNotEmpty, "The bucket you tried to delete is not empty"));
        }
        sqlx::query("DELETE FROM bucket WHERE id = ?").bind(bucket.id).execute(&mut *write.tx).await.internal()?;
        write.commit().await
    }

    pub(crate) async fn set_versioning(&self, name: &str, state: Versioning) -> S3Result<()> {
        let mut write = self.write().await?;
        let bucket = bucket(&mut write.tx, name).await?;
        let set = sqlx::query("UPDATE bucket SET versioning = ? WHERE id = ?").bind(state.name()).bind(bucket.id);
        set.execute(&mut *write.tx).await.internal()?;
        write.commit().await
    }

    pub(crate) async fn set_bucket_tags(&self, name: &str, tags: &Tags) -> S3Result<()> {
        let mut write = self.write().await?;
        let bucket = bucket(&mut write.tx, name).await?;
        let tags = serde_json::to_string(tags).internal()?;
        let set = sqlx::query("UPDATE bucket SET tags = ? WHERE id = ?").bind(tags).bind(bucket.id);
        set.execute(&mut *write.tx).await.internal()?;
        write.commit().await
    }
}
