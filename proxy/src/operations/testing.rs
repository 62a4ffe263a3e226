//! Requests, listed objects and versions on record for the tests of operations.
use crate::{Gateway, ProxyParts, ProxySettings, admit::Routed};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use s3gateway_config::{BackendId, Capabilities, Place, ResidencyPolicy, Secret};
use s3gateway_s3::{LogicalBucket, ObjectKey, S3Request, VersionId, Versioning, xml::ObjectEntry};
use s3gateway_store::{Backend, KeyProvider, LocalKey, Metadata, NewBucket, VersionCopy};
use std::{sync::Arc, time::SystemTime};

/// A request with these headers and a host.
pub(super) fn request(method: Method, target: &str, headers: &[(&'static str, &'static str)]) -> S3Request {
    let mut map = HeaderMap::new();
    map.insert("host", HeaderValue::from_static("localhost"));
    for (name, value) in headers {
        map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    S3Request::parse(&method, target, map, &[]).expect("a request")
}

/// An object as a backend lists it.
pub(super) fn listed(key: &str) -> ObjectEntry {
    ObjectEntry {
        key: key.to_owned(),
        last_modified: SystemTime::UNIX_EPOCH,
        etag: "e".to_owned(),
        checksum_algorithms: Vec::new(),
        checksum_type: None,
        size: 1,
        storage_class: "COLD".to_owned(),
    }
}

/// A version that `de-fra` has under an id of its own.
pub(crate) fn version_row(key: &str, shown: &str, own: &str, position: i64) -> (ObjectKey, VersionCopy) {
    let id = |text: &str| VersionId::parse(text).expect(text);
    let copy = VersionCopy {
        backend: BackendId::parse("de-fra").expect("an id"),
        home_version: id(shown),
        version: id(own),
        position,
        is_marker: shown.starts_with('m'),
        etag: "own".to_owned(),
        home_etag: "home".to_owned(),
        size: 1,
        home_modified: 1500,
        verified_how: "etag".to_owned(),
        verified_at: 1,
    };
    (ObjectKey::parse(key).expect(key), copy)
}

/// A bucket whose home `de-fra` keeps versions, in a real SQLite store.
pub(crate) struct Versioned {
    pub(crate) gateway: Arc<Gateway>,
    /// As ever, and as once its versions have moved.
    pub(crate) routed: Routed,
    pub(crate) moved: Routed,
    _folder: tempfile::TempDir,
}

impl Versioned {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let provider: Arc<dyn KeyProvider> = Arc::new(LocalKey::from_hex(&"a1".repeat(32)).unwrap());
        let url = format!("sqlite:{}", folder.path().join("m.db").display());
        let metadata = Metadata::connect(&url, 4, provider.clone()).await.unwrap();
        metadata.migrate().await.unwrap();
        let home = BackendId::parse("de-fra").unwrap();
        let backend = Backend {
            id: home.clone(),
            place: Place {
                zone: "de-fra-1".to_owned(),
                region: "de-fra".to_owned(),
                country: "DE".to_owned(),
                jurisdiction: "EU".to_owned(),
                provider: "p".to_owned(),
                certifications: Vec::new(),
            },
            endpoint: "http://127.0.0.1:1".to_owned(),
            region: "us-east-1".to_owned(),
            access_key: "AK".to_owned(),
            secret_key: Arc::new(Secret::new("secret".to_owned())),
            capabilities: Capabilities::default(),
            position: 0,
        };
        metadata.put_backend(&backend).await.unwrap();
        let tenant = metadata.create_tenant("acme", &ResidencyPolicy::default(), &[], 1).await.unwrap().id;
        let name = LogicalBucket::parse("photos").unwrap();
        let new = NewBucket {
            tenant: tenant.clone(),
            name: name.clone(),
            placement: vec![home],
            replica_count: 1,
            location: String::new(),
        };
        metadata.begin_create_bucket(&new).await.unwrap();
        let bucket = metadata.unfinished_buckets(i64::MAX, 1).await.unwrap().remove(0).route.bucket;
        metadata.activate_bucket(&bucket).await.unwrap();
        metadata.set_versioning(&bucket, 1, Versioning::Enabled).await.unwrap();
        let parts = ProxyParts {
            settings: ProxySettings::default(),
            queue: Arc::new(metadata.sql_queue()),
            sealer: provider.sealer().await.unwrap(),
            metadata,
            registry: prometheus::Registry::new(),
        };
        let gateway = Gateway::start(parts).await.unwrap();
        let routed = gateway.resolve(&tenant, &name).await.unwrap();
        let mut route = (*routed.route).clone();
        route.has_moved_versions = true;
        let moved = Routed { route: Arc::new(route), home: routed.home.clone() };
        Self { gateway, routed, moved, _folder: folder }
    }

    /// Notes a version of the home's, as [`version_row`] makes it.
    pub(crate) async fn note(&self, key: &str, shown: &str, own: &str, position: i64) -> VersionCopy {
        let (key, copy) = version_row(key, shown, own, position);
        self.gateway.metadata.put_version_copy(&self.routed.route.bucket, &key, &copy).await.unwrap();
        copy
    }
}
