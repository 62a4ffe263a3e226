//! Tenants and their access keys.
use super::db::{Columns, now, render_json, write};
use super::reviews::{self, Changed};
use super::{Metadata, feed};
use crate::secrets::{open_secret, random, seal_secret};
use crate::{AccessKey, AccessKeyInfo, Change, StoreError, Tenant, TenantId, sql};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use s3gateway_config::{ResidencyPolicy, Secret};
use std::sync::Arc;
use uuid::Uuid;

/// Access key ids are 20 characters, as S3 clients expect: this and 16 random ones.
const ACCESS_KEY_PREFIX: &str = "S3GW";
/// 32 characters: each draws 5 bits without bias.
const ACCESS_KEY_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

impl Metadata {
    /// Adds a tenant.
    ///
    /// # Errors
    /// `Invalid` for a name that is not 1 to 63 of `a-z 0-9 -`, `Conflict` where it is taken.
    pub async fn create_tenant(
        &self,
        name: &str,
        policy: &ResidencyPolicy,
        default_placement: &[String],
        default_replica_count: u32,
    ) -> Result<Tenant, StoreError> {
        verify_tenant_name(name)?;
        verify_replica_count(default_replica_count)?;
        let tenant = Tenant {
            id: TenantId::new(&Uuid::now_v7().to_string()),
            name: name.to_owned(),
            policy: policy.clone(),
            default_placement: default_placement.to_vec(),
            default_replica_count,
            signature_v2: false,
            created_at: now(),
        };
        let policy = render_json(policy)?;
        let placement = render_json(&default_placement)?;
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            if sqlx::query(sql::TENANT_BY_NAME).bind(name).fetch_optional(&mut *tx).await?.is_some() {
                return Err(StoreError::Conflict("a tenant of that name"));
            }
            let query = sqlx::query(sql::TENANT_INSERT).bind(tenant.id.as_str()).bind(name).bind(policy.as_str());
            let query = query.bind(placement.as_str()).bind(i64::from(default_replica_count)).bind(tenant.created_at);
            query.execute(&mut *tx).await?;
            feed::append(tx, &Change::Tenant(tenant.id.clone())).await
        })?;
        Ok(tenant)
    }

    /// All tenants by name.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn tenants(&self) -> Result<Vec<Tenant>, StoreError> {
        let rows = self.db.read(sqlx::query(sql::TENANTS).fetch_all(self.db.pool())).await?;
        rows.iter().map(parse_tenant).collect()
    }

    /// One tenant.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn tenant(&self, id: &TenantId) -> Result<Tenant, StoreError> {
        let query = sqlx::query(sql::TENANT_BY_ID).bind(id.as_str());
        parse_tenant(&self.db.read(query.fetch_one(self.db.pool())).await?)
    }

    /// One tenant by its name.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn tenant_by_name(&self, name: &str) -> Result<Tenant, StoreError> {
        let query = sqlx::query(sql::TENANT_BY_NAME).bind(name);
        parse_tenant(&self.db.read(query.fetch_one(self.db.pool())).await?)
    }

    /// Replaces a tenant's residency policy; the placements of its buckets are reviewed.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn set_tenant_policy(&self, id: &TenantId, policy: &ResidencyPolicy) -> Result<(), StoreError> {
        let policy = render_json(policy)?;
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let query = sqlx::query(sql::TENANT_SET_POLICY).bind(id.as_str()).bind(policy.as_str());
            found(query.execute(&mut *tx).await?.rows_affected())?;
            reviews::owe(tx, Changed::Tenant(id.clone())).await?;
            feed::append(tx, &Change::Tenant(id.clone())).await
        })
    }

    /// Replaces what new buckets of a tenant get where the client says nothing.
    ///
    /// # Errors
    /// `NotFound`, `Invalid` for a count of 0.
    pub async fn set_tenant_defaults(
        &self,
        id: &TenantId,
        default_placement: &[String],
        default_replica_count: u32,
    ) -> Result<(), StoreError> {
        verify_replica_count(default_replica_count)?;
        let placement = render_json(&default_placement)?;
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let query = sqlx::query(sql::TENANT_SET_DEFAULTS).bind(id.as_str()).bind(placement.as_str());
            found(query.bind(i64::from(default_replica_count)).execute(&mut *tx).await?.rows_affected())?;
            feed::append(tx, &Change::Tenant(id.clone())).await
        })
    }

    /// Sets whether URLs that are signed by version 2 are taken of a tenant's access keys.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn set_tenant_signature_v2(&self, id: &TenantId, accepted: bool) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let query = sqlx::query(sql::TENANT_SET_SIGNATURE_V2).bind(id.as_str()).bind(i64::from(accepted));
            found(query.execute(&mut *tx).await?.rows_affected())?;
            // It is looked up with each key.
            for key in &sqlx::query(sql::ACCESS_KEYS).bind(id.as_str()).fetch_all(&mut *tx).await? {
                feed::append(tx, &Change::AccessKey(key.text("id")?)).await?;
            }
            feed::append(tx, &Change::Tenant(id.clone())).await
        })
    }

    /// Removes a tenant and its access keys.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` while it has buckets, deleted ones whose replicas are still being emptied included.
    pub async fn delete_tenant(&self, id: &TenantId) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            if sqlx::query(sql::TENANT_HAS_BUCKET).bind(id.as_str()).fetch_optional(&mut *tx).await?.is_some() {
                return Err(StoreError::Conflict("a bucket of the tenant"));
            }
            let delete_keys = sqlx::query(sql::ACCESS_KEYS_DELETE_OF_TENANT).bind(id.as_str());
            let keys = delete_keys.fetch_all(&mut *tx).await?;
            found(sqlx::query(sql::TENANT_DELETE).bind(id.as_str()).execute(&mut *tx).await?.rows_affected())?;
            for key in &keys {
                feed::append(tx, &Change::AccessKey(key.text("id")?)).await?;
            }
            feed::append(tx, &Change::Tenant(id.clone())).await
        })
    }

    /// Makes an access key; its secret is never shown again.
    ///
    /// # Errors
    /// `NotFound` for an unknown tenant, `Unavailable` where the key provider does not answer.
    pub async fn create_access_key(&self, tenant: &TenantId) -> Result<(AccessKeyInfo, Secret<String>), StoreError> {
        let info =
            AccessKeyInfo { id: propose_access_key()?, tenant: tenant.clone(), enabled: true, created_at: now() };
        let secret = Secret::new(STANDARD_NO_PAD.encode(random::<30>()?));
        let sealed = seal_secret(&*self.secrets, &["access-key", tenant.as_str(), &info.id], &secret).await?;
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let query = sqlx::query(sql::ACCESS_KEY_INSERT).bind(info.id.as_str()).bind(tenant.as_str());
            query.bind(sealed.as_str()).bind(info.created_at).execute(&mut *tx).await?;
            feed::append(tx, &Change::AccessKey(info.id.clone())).await
        })?;
        Ok((info, secret))
    }

    /// Access keys without their secrets, of one tenant or all, oldest first.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn access_keys(&self, tenant: Option<&TenantId>) -> Result<Vec<AccessKeyInfo>, StoreError> {
        let query = sqlx::query(sql::ACCESS_KEYS).bind(tenant.map_or("", TenantId::as_str));
        let rows = self.db.read(query.fetch_all(self.db.pool())).await?;
        rows.iter()
            .map(|row| {
                Ok(AccessKeyInfo {
                    id: row.text("id")?,
                    tenant: TenantId::new(&row.text("tenant")?),
                    enabled: row.int("enabled")? != 0,
                    created_at: row.int("created_at")?,
                })
            })
            .collect()
    }

    /// An enabled access key with its secret; `None` for a disabled or unknown one.
    ///
    /// # Errors
    /// `Corrupt` where the secret does not open: wrong master key, or a row moved to another tenant or key.
    pub async fn access_key(&self, id: &str) -> Result<Option<AccessKey>, StoreError> {
        let query = sqlx::query(sql::ACCESS_KEY_ENABLED).bind(id);
        let Some(row) = self.db.read(query.fetch_optional(self.db.pool())).await? else { return Ok(None) };
        let (id, tenant) = (row.text("id")?, row.text("tenant")?);
        let secret = open_secret(&*self.secrets, &["access-key", &tenant, &id], &row.text("secret")?).await?;
        let signature_v2 = row.int("signature_v2")? != 0;
        Ok(Some(AccessKey { id, tenant: TenantId::new(&tenant), secret: Arc::new(secret), signature_v2 }))
    }

    /// Enables or disables an access key.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn set_access_key_enabled(&self, id: &str, enabled: bool) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            let query = sqlx::query(sql::ACCESS_KEY_SET_ENABLED).bind(id).bind(i64::from(enabled));
            found(query.execute(&mut *tx).await?.rows_affected())?;
            feed::append(tx, &Change::AccessKey(id.to_owned())).await
        })
    }

    /// Removes an access key.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete_access_key(&self, id: &str) -> Result<(), StoreError> {
        write!(&self.db, tx => {
            feed::lock(tx).await?;
            found(sqlx::query(sql::ACCESS_KEY_DELETE).bind(id).execute(&mut *tx).await?.rows_affected())?;
            feed::append(tx, &Change::AccessKey(id.to_owned())).await
        })
    }
}

/// `NotFound` where a statement touched no row.
pub(super) fn found(rows: u64) -> Result<(), StoreError> {
    if rows == 0 { Err(StoreError::NotFound) } else { Ok(()) }
}

fn verify_tenant_name(name: &str) -> Result<(), StoreError> {
    let ok = (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if ok { Ok(()) } else { Err(StoreError::Invalid("name: a tenant's name is 1 to 63 of a-z, 0-9 and '-'".into())) }
}

fn verify_replica_count(count: u32) -> Result<(), StoreError> {
    if count > 0 { Ok(()) } else { Err(StoreError::Invalid("replica count: at least 1, the home itself".into())) }
}

fn propose_access_key() -> Result<String, StoreError> {
    let letters = random::<16>()?;
    let letters = letters.iter().filter_map(|byte| ACCESS_KEY_ALPHABET.get(usize::from(byte % 32)));
    Ok(ACCESS_KEY_PREFIX.chars().chain(letters.map(|letter| char::from(*letter))).collect())
}

fn parse_tenant(row: &impl Columns) -> Result<Tenant, StoreError> {
    Ok(Tenant {
        id: TenantId::new(&row.text("id")?),
        name: row.text("name")?,
        policy: row.json("policy")?,
        default_placement: row.json("default_placement")?,
        default_replica_count: row.u32("default_replica_count")?,
        signature_v2: row.int("signature_v2")? != 0,
        created_at: row.int("created_at")?,
    })
}
