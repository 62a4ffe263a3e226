//! What the first start makes and every start checks: backends in the metadata, two tenants with keys.
use super::{
    embedded::EmbeddedBackends,
    places,
    state::{DevFile, Folder, TenantKey},
};
use crate::failure::{During, Failure};
use s3gateway_config::{BackendId, Capabilities, PlaceRule, ResidencyPolicy, Secret};
use s3gateway_store::{Backend, Metadata, StoreError, Tenant};
use std::sync::Arc;

/// Home and replica of buckets that are made without a location.
const PLACEMENT: [&str; 2] = ["fi-hel", "de-fra"];
const REPLICA_COUNT: u32 = 2;

/// Notes where the embedded backends listen this time.
pub async fn store_backends(metadata: &Metadata, known: &DevFile, running: &EmbeddedBackends) -> Result<(), Failure> {
    let endpoints = running.endpoints();
    for (position, (id, place)) in (0..).zip(places::all()) {
        let key = known.backends.iter().find(|backend| backend.id == id);
        let endpoint = endpoints.iter().find(|(backend, _)| backend == id);
        let (Some(key), Some((_, endpoint))) = (key, endpoint) else {
            return Err(Failure::new(format!("backend {id} is not running")));
        };
        let backend = Backend {
            id: BackendId::parse(id).during("a backend's id")?,
            place,
            endpoint: endpoint.clone(),
            region: "us-east-1".into(),
            access_key: key.access_key.clone(),
            secret_key: Arc::new(Secret::new(key.secret_key.clone())),
            capabilities: Capabilities { trailing_checksums: true, tag_count: true, ..Capabilities::default() },
            position,
        };
        metadata.put_backend(&backend).await.during(&format!("storing backend {id}"))?;
    }
    Ok(())
}

/// Whether every backend is one of ours, so that none outlived the last `dev`.
pub async fn has_only(metadata: &Metadata, running: &EmbeddedBackends) -> Result<bool, Failure> {
    let endpoints = running.endpoints();
    let known = metadata.backends().await.during("reading the backends")?;
    Ok(known.iter().all(|backend| endpoints.iter().any(|(id, _)| id == backend.id.as_str())))
}

/// Makes the two tenants that are not in `known` yet; one that its user has changed or removed since stays so.
pub async fn create_tenants(metadata: &Metadata, folder: &Folder, known: &mut DevFile) -> Result<(), Failure> {
    let in_the_eu = ResidencyPolicy {
        allow: PlaceRule { jurisdictions: vec!["EU".into()], ..PlaceRule::default() },
        ..ResidencyPolicy::default()
    };
    for (name, policy) in [("acme", in_the_eu), ("globex", ResidencyPolicy::default())] {
        if known.tenants.iter().any(|tenant| tenant.name == name) {
            continue;
        }
        let tenant = find_or_create(metadata, name, &policy).await.during(&format!("creating tenant {name}"))?;
        let (key, secret) =
            metadata.create_access_key(&tenant.id).await.during(&format!("creating a key for {name}"))?;
        known.tenants.push(TenantKey { name: name.into(), access_key: key.id, secret_key: secret.expose().clone() });
        folder.write_dev(known)?;
    }
    Ok(())
}

/// A first start that was killed half-way may have made the tenant already.
async fn find_or_create(metadata: &Metadata, name: &str, policy: &ResidencyPolicy) -> Result<Tenant, StoreError> {
    match metadata.tenant_by_name(name).await {
        Ok(tenant) => Ok(tenant),
        Err(StoreError::NotFound) => {
            metadata.create_tenant(name, policy, &PLACEMENT.map(str::to_owned), REPLICA_COUNT).await
        }
        Err(other) => Err(other),
    }
}
