//! Backends as operators add them.
use super::db::{Columns, render_json, write};
use super::tenants::found;
use super::{Metadata, feed};
use crate::secrets::{open_secret, seal_secret};
use crate::{Backend, BackendProbe, Change, StoreError, sql};
use s3gateway_config::BackendId;
use std::sync::Arc;

impl Metadata {
    /// Adds a backend after all others, or updates the one with that id in its place; `position` is the store's.
    ///
    /// # Errors
    /// `Invalid` for an endpoint that is not `http(s)://host[:port]`.
    pub async fn put_backend(&self, backend: &Backend) -> Result<(), StoreError> {
        verify_endpoint(&backend.endpoint)?;
        let place = render_json(&backend.place)?;
        let capabilities = render_json(&backend.capabilities)?;
        let id = backend.id.as_str();
        let sealed = seal_secret(&*self.secrets, &["backend", id, &backend.access_key], &backend.secret_key).await?;
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let query = sqlx::query(sql::BACKEND_UPSERT).bind(id).bind(place.as_str());
            let query = query.bind(backend.endpoint.as_str()).bind(backend.region.as_str());
            let query = query.bind(backend.access_key.as_str()).bind(sealed.as_str()).bind(capabilities.as_str());
            query.execute(&mut *tx).await?;
            feed::append(tx, &Change::Backends).await
        })
    }

    /// All backends in order of creation, which is the order in which placements expand.
    ///
    /// # Errors
    /// `Corrupt` where a secret does not open.
    pub async fn backends(&self) -> Result<Vec<Backend>, StoreError> {
        let rows = self.db.read(sqlx::query(sql::BACKENDS).fetch_all(self.db.pool())).await?;
        let mut backends = Vec::with_capacity(rows.len());
        for row in &rows {
            let (id, access_key) = (row.backend("id")?, row.text("access_key")?);
            let context = ["backend", id.as_str(), access_key.as_str()];
            let secret_key = open_secret(&*self.secrets, &context, &row.text("secret_key")?).await?;
            backends.push(Backend {
                place: row.json("place")?,
                endpoint: row.text("endpoint")?,
                region: row.text("region")?,
                secret_key: Arc::new(secret_key),
                capabilities: row.json("capabilities")?,
                position: row.int("position")?,
                id,
                access_key,
            });
        }
        Ok(backends)
    }

    /// Keeps what was measured of a backend, instead of what was measured before.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn put_probe(&self, id: &BackendId, probe: &BackendProbe) -> Result<(), StoreError> {
        let probe = render_json(probe)?;
        write!(&self.db, tx => {
            let query = sqlx::query(sql::BACKEND_SET_PROBE).bind(id.as_str()).bind(probe.as_str());
            found(query.execute(tx).await?.rows_affected())
        })
    }

    /// What was measured of a backend last; `None` where nothing was, or not at the endpoint that it has now.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn probe(&self, id: &BackendId) -> Result<Option<BackendProbe>, StoreError> {
        let query = sqlx::query(sql::BACKEND_PROBE).bind(id.as_str());
        let row = self.db.read(query.fetch_optional(self.db.pool())).await?.ok_or(StoreError::NotFound)?;
        if row.text("probe")?.is_empty() { Ok(None) } else { row.json("probe").map(Some) }
    }

    /// Removes a backend.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` while a bucket, even one that only waits to be emptied, maps to it.
    pub async fn delete_backend(&self, id: &BackendId) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            if sqlx::query(sql::BACKEND_IS_MAPPED).bind(id.as_str()).fetch_optional(&mut *tx).await?.is_some() {
                return Err(StoreError::Conflict("a bucket on the backend"));
            }
            found(sqlx::query(sql::BACKEND_DELETE).bind(id.as_str()).execute(&mut *tx).await?.rows_affected())?;
            feed::append(tx, &Change::Backends).await
        })
    }
}

/// Scheme, host and port, nothing else: what follows would end up in every request that is built for the backend.
fn verify_endpoint(endpoint: &str) -> Result<(), StoreError> {
    let authority = endpoint.strip_prefix("http://").or_else(|| endpoint.strip_prefix("https://")).unwrap_or_default();
    let ok = !authority.is_empty()
        && !authority.starts_with(':')
        && authority.bytes().all(|b| b.is_ascii_graphic() && !b"/?#@\\\"".contains(&b));
    if ok { Ok(()) } else { Err(StoreError::Invalid("endpoint: is http(s)://host[:port], without a path".into())) }
}
