//! Uploads in parts that are open at replicas beside the one at their bucket's home.
//! Invariant: each is looked at until it has ended.
use super::Metadata;
use super::db::{Columns, now, write};
use crate::{BucketId, Millis, OpenPlace, PlaceUpload, StoreError, sql};
use s3gateway_config::BackendId;
use s3gateway_s3::ObjectKey;
use sqlx::any::AnyRow;

impl Metadata {
    /// Notes where an upload is open beside its home. `upload_id`: the home's; `places`: backends and the upload ids that they gave.
    ///
    /// # Errors
    /// `NotFound` for an unknown bucket.
    pub async fn put_upload_places(
        &self,
        bucket: &BucketId,
        key: &ObjectKey,
        home: &BackendId,
        upload_id: &str,
        places: &[(BackendId, String)],
    ) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            for (backend, place_upload_id) in places {
                let query = sqlx::query(sql::UPLOAD_PLACE_PUT).bind(bucket.as_str()).bind(upload_id);
                let query = query.bind(backend.as_str()).bind(place_upload_id.as_str());
                let query = query.bind(key.as_str().as_bytes()).bind(home.as_str()).bind(now());
                query.execute(&mut *tx).await?;
            }
            Ok(())
        })
    }

    /// Where an upload is open beside its home, in the order of backends.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn upload_places(&self, bucket: &BucketId, upload_id: &str) -> Result<Vec<PlaceUpload>, StoreError> {
        let query = sqlx::query(sql::UPLOAD_PLACES).bind(bucket.as_str()).bind(upload_id);
        self.db.read(query.fetch_all(self.db.pool())).await?.iter().map(parse).collect()
    }

    /// Leaves an upload at a replica, which lacks something, to the workers.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn lose_upload_place(
        &self,
        bucket: &BucketId,
        upload_id: &str,
        backend: &BackendId,
    ) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::UPLOAD_PLACE_LOSE).bind(bucket.as_str()).bind(upload_id);
            query.bind(backend.as_str()).bind(now()).execute(tx).await?;
            Ok(())
        })
    }

    /// The same for all uploads at replicas that belong to one.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn lose_upload_places(&self, bucket: &BucketId, upload_id: &str) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::UPLOAD_PLACES_LOSE).bind(bucket.as_str()).bind(upload_id);
            query.bind(now()).execute(tx).await?;
            Ok(())
        })
    }

    /// Leaves to the workers, who look at once, what an upload that has ended has at replicas.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn leave_upload_places(&self, bucket: &BucketId, upload_id: &str) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            sqlx::query(sql::UPLOAD_PLACES_LEAVE).bind(bucket.as_str()).bind(upload_id).execute(tx).await?;
            Ok(())
        })
    }

    /// Forgets an upload at a replica that has ended there.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn delete_upload_place(
        &self,
        bucket: &BucketId,
        upload_id: &str,
        backend: &BackendId,
    ) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            let query = sqlx::query(sql::UPLOAD_PLACE_DELETE).bind(bucket.as_str()).bind(upload_id);
            query.bind(backend.as_str()).execute(tx).await?;
            Ok(())
        })
    }

    /// The upload ids at a replica that clients send a key's parts to.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn client_uploads(
        &self,
        bucket: &BucketId,
        key: &ObjectKey,
        backend: &BackendId,
    ) -> Result<Vec<String>, StoreError> {
        let query = sqlx::query(sql::UPLOAD_PLACES_OF_KEY).bind(bucket.as_str()).bind(key.as_str().as_bytes());
        let rows = self.db.read(query.bind(backend.as_str()).fetch_all(self.db.pool())).await?;
        rows.iter().map(|row| row.text("place_upload_id")).collect()
    }

    /// Uploads at replicas that no worker has looked at since, those seen longest ago first. `lost_since`: the same for lost ones.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn open_places(
        &self,
        since: Millis,
        lost_since: Millis,
        limit: u32,
    ) -> Result<Vec<OpenPlace>, StoreError> {
        let query = sqlx::query(sql::UPLOAD_PLACES_DUE).bind(since).bind(lost_since).bind(i64::from(limit));
        self.db.read(query.fetch_all(self.db.pool())).await?.iter().map(parse_open).collect()
    }

    /// All of a bucket's uploads at a replica.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn open_places_at(&self, bucket: &BucketId, backend: &BackendId) -> Result<Vec<OpenPlace>, StoreError> {
        let query = sqlx::query(sql::UPLOAD_PLACES_AT).bind(bucket.as_str()).bind(backend.as_str());
        self.db.read(query.fetch_all(self.db.pool())).await?.iter().map(parse_open).collect()
    }

    /// Takes a look at one as this worker's; `false` where another was faster.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn claim_open_place(&self, open: &OpenPlace) -> Result<bool, StoreError> {
        // Else the same moment twice would pass for another worker.
        let now = now().max(open.looked_at + 1);
        write!(&self.db, tx => {
            let query = sqlx::query(sql::UPLOAD_PLACE_CLAIM).bind(open.bucket.as_str()).bind(open.upload_id.as_str());
            let query = query.bind(open.backend.as_str()).bind(open.looked_at).bind(now);
            Ok(query.execute(tx).await?.rows_affected() == 1)
        })
    }
}

fn parse(row: &AnyRow) -> Result<PlaceUpload, StoreError> {
    Ok(PlaceUpload {
        backend: row.backend("backend")?,
        upload_id: row.text("place_upload_id")?,
        is_lost: row.int("lost")? == 1,
    })
}

fn parse_open(row: &AnyRow) -> Result<OpenPlace, StoreError> {
    Ok(OpenPlace {
        bucket: BucketId::new(&row.text("bucket")?),
        key: row.key()?,
        home: row.backend("home")?,
        upload_id: row.text("upload_id")?,
        backend: row.backend("backend")?,
        place_upload_id: row.text("place_upload_id")?,
        looked_at: row.int("looked_at")?,
    })
}
