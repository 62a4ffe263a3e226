//! Backends as operators add them.
use super::db::{Columns, render_json, write};
use super::tenants::found;
use super::{Metadata, feed};
use crate::secrets::{open_secret, seal_secret};
use crate::{Backend, BackendProbe, Change, StoreError, sql};
use s3gateway_config::{BackendId, Capabilities, Place};
use sqlx::any::AnyArguments;
use sqlx::{Any, AnyConnection};
use std::sync::Arc;

impl Metadata {
    /// Adds a backend after all others; `position` is the store's.
    ///
    /// # Errors
    /// `Conflict` where there is one of that id, `Invalid` for an endpoint that is not `http(s)://host[:port]`.
    pub async fn add_backend(&self, backend: &Backend) -> Result<(), StoreError> {
        let row = self.render(backend).await?;
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let query = row.bind(sqlx::query(sql::BACKEND_INSERT)).bind(row.capabilities.as_str());
            if query.execute(&mut *tx).await?.rows_affected() == 0 {
                return Err(StoreError::Conflict("a backend of that id"));
            }
            feed::append(tx, &Change::Backends).await
        })
    }

    /// Describes a backend anew; with `keeps_capabilities` all but these.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` for another place while a bucket maps to it; `Invalid` as for [`Metadata::add_backend`].
    pub async fn replace_backend(&self, backend: &Backend, keeps_capabilities: bool) -> Result<(), StoreError> {
        let row = self.render(backend).await?;
        let capabilities = if keeps_capabilities { "" } else { row.capabilities.as_str() };
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let before = sqlx::query(sql::BACKEND_PLACE).bind(row.id.as_str()).fetch_optional(&mut *tx).await?;
            let before: Place = before.ok_or(StoreError::NotFound)?.json("place")?;
            if before != backend.place && is_mapped(tx, &backend.id).await? {
                return Err(StoreError::Conflict("a bucket on the backend"));
            }
            row.bind(sqlx::query(sql::BACKEND_REPLACE)).bind(capabilities).execute(&mut *tx).await?;
            feed::append(tx, &Change::Backends).await
        })
    }

    /// Adds a backend after all others, or describes the one with that id anew, whatever it was.
    ///
    /// # Errors
    /// `Invalid` as for [`Metadata::add_backend`].
    pub async fn put_backend(&self, backend: &Backend) -> Result<(), StoreError> {
        let row = self.render(backend).await?;
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let query = row.bind(sqlx::query(sql::BACKEND_UPSERT)).bind(row.capabilities.as_str());
            query.execute(&mut *tx).await?;
            feed::append(tx, &Change::Backends).await
        })
    }

    /// Uses a backend by what was measured at `endpoint`.
    ///
    /// # Errors
    /// `NotFound` also where the backend is somewhere else by now.
    pub async fn set_capabilities(
        &self,
        id: &BackendId,
        endpoint: &str,
        capabilities: &Capabilities,
    ) -> Result<(), StoreError> {
        let capabilities = render_json(capabilities)?;
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let query = sqlx::query(sql::BACKEND_SET_CAPABILITIES).bind(id.as_str()).bind(capabilities.as_str());
            found(query.bind(endpoint).execute(&mut *tx).await?.rows_affected())?;
            feed::append(tx, &Change::Backends).await
        })
    }

    async fn render(&self, backend: &Backend) -> Result<Row, StoreError> {
        verify_endpoint(&backend.endpoint)?;
        let id = backend.id.as_str().to_owned();
        let context = ["backend", id.as_str(), backend.access_key.as_str()];
        Ok(Row {
            place: render_json(&backend.place)?,
            endpoint: backend.endpoint.clone(),
            region: backend.region.clone(),
            access_key: backend.access_key.clone(),
            secret_key: seal_secret(&*self.secrets, &context, &backend.secret_key).await?,
            capabilities: render_json(&backend.capabilities)?,
            id,
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

    /// Keeps what was measured of a backend at `endpoint`, instead of what was measured before.
    ///
    /// # Errors
    /// `NotFound` also where the backend is somewhere else by now.
    pub async fn put_probe(&self, id: &BackendId, endpoint: &str, probe: &BackendProbe) -> Result<(), StoreError> {
        let probe = render_json(probe)?;
        write!(&self.db, tx => {
            let query = sqlx::query(sql::BACKEND_SET_PROBE).bind(id.as_str()).bind(probe.as_str());
            found(query.bind(endpoint).execute(tx).await?.rows_affected())
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
    /// `NotFound`, `Conflict` while a bucket, even one that only waits to be emptied, maps to it, or something of a stranded
    /// key stands aside there.
    pub async fn delete_backend(&self, id: &BackendId) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            if is_mapped(tx, id).await? {
                return Err(StoreError::Conflict("a bucket on the backend"));
            }
            if sqlx::query(sql::BACKEND_KEEPS_STRANDED).bind(id.as_str()).fetch_optional(&mut *tx).await?.is_some() {
                return Err(StoreError::Conflict("a stranded key whose other version is kept on the backend"));
            }
            found(sqlx::query(sql::BACKEND_DELETE).bind(id.as_str()).execute(&mut *tx).await?.rows_affected())?;
            feed::append(tx, &Change::Backends).await
        })
    }
}

async fn is_mapped(tx: &mut AnyConnection, backend: &BackendId) -> Result<bool, StoreError> {
    let query = sqlx::query(sql::BACKEND_IS_MAPPED).bind(backend.as_str());
    Ok(query.fetch_optional(&mut *tx).await?.is_some())
}

/// A backend as it is stored, its secret sealed.
struct Row {
    id: String,
    place: String,
    endpoint: String,
    region: String,
    access_key: String,
    secret_key: String,
    capabilities: String,
}

type Query<'q> = sqlx::query::Query<'q, Any, AnyArguments>;

impl Row {
    /// All but the capabilities, in the order in which the statements have them.
    fn bind<'q>(&'q self, query: Query<'q>) -> Query<'q> {
        let query = query.bind(self.id.as_str()).bind(self.place.as_str()).bind(self.endpoint.as_str());
        query.bind(self.region.as_str()).bind(self.access_key.as_str()).bind(self.secret_key.as_str())
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
