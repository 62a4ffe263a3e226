//! Real S3 servers in this process, and a worker with its stores, each owned by a value and gone with it.
pub mod walking;
pub mod wire;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, RequestChecksumCalculation};
use aws_sdk_s3::primitives::ByteStream;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3gateway_config::{BackendId, Capabilities, KeyRule, Place, ResidencyPolicy, Secret};
use s3gateway_s3::{LogicalBucket, ObjectKey, PhysicalBucket, Versioning};
use s3gateway_store::{
    Adoption, Backend, Begun, DirtyKey, LocalKey, Metadata, NewBucket, ObjectCopy, Queue, Route, Tenant,
};
use s3gateway_worker::{Worker, WorkerParts, WorkerSettings};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use wire::Wire;

/// Longest wait for anything in these tests.
const PATIENCE: Duration = Duration::from_secs(60);

/// An S3 server: either a file-system one on loopback that can be stopped and started on its port, or a given one.
pub struct Site {
    pub id: BackendId,
    endpoint: String,
    access_key: String,
    secret_key: String,
    capabilities: Capabilities,
    addr: SocketAddr,
    root: PathBuf,
    /// Whether it is an embedded backend, which keeps versions, and no plain file system.
    keeps_versions: bool,
    serving: Option<(CancellationToken, JoinHandle<()>)>,
    pub wire: Arc<Wire>,
}

impl Site {
    async fn new(id: &str, root: PathBuf) -> Self {
        std::fs::create_dir_all(&root).unwrap();
        let capabilities = Capabilities {
            tagging: false,
            list_uploads: false,
            refuses_nonempty_delete: false,
            trailing_checksums: true,
            keys: KeyRule::FilePath,
            ..Capabilities::default()
        };
        let mut site = Self { root, capabilities, ..Self::given(id, "", "test", "testsecret") };
        site.start().await;
        site
    }

    /// An embedded backend: it does all that S3 does.
    async fn embedded(id: &str, root: PathBuf) -> Self {
        std::fs::create_dir_all(&root).unwrap();
        let capabilities = Capabilities { tag_count: true, ..Capabilities::default() };
        let mut site = Self { root, capabilities, keeps_versions: true, ..Self::given(id, "", "test", "testsecret") };
        site.start().await;
        site
    }

    /// A server that does all that S3 does and is not ours to stop.
    pub fn given(id: &str, endpoint: &str, access_key: &str, secret_key: &str) -> Self {
        Self {
            id: BackendId::parse(id).unwrap(),
            endpoint: endpoint.to_owned(),
            access_key: access_key.to_owned(),
            secret_key: secret_key.to_owned(),
            capabilities: Capabilities::default(),
            addr: "127.0.0.1:0".parse().unwrap(),
            root: PathBuf::new(),
            keeps_versions: false,
            serving: None,
            wire: Arc::default(),
        }
    }

    pub async fn start(&mut self) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.addr).unwrap();
        let listener = socket.listen(128).unwrap();
        self.addr = listener.local_addr().unwrap();
        self.endpoint = format!("http://{}", self.addr);
        let stop = CancellationToken::new();
        let service = match self.keeps_versions {
            true => s3gateway_embedded::serve(
                s3gateway_embedded::Store::open(&self.root).await.unwrap(),
                "test".to_owned(),
                "testsecret".to_owned(),
            ),
            false => {
                let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(&self.root).unwrap());
                service.set_auth(SimpleAuth::from_single("test", "testsecret"));
                service.build()
            }
        };
        self.serving = Some((stop.clone(), tokio::spawn(serve(listener, service, self.wire.clone(), stop))));
    }

    pub async fn stop(&mut self) {
        if let Some((stop, serving)) = self.serving.take() {
            stop.cancel();
            serving.await.unwrap();
        }
    }

    /// Changes the bytes of an object of an embedded backend as a failing disk does: past everything that would tell.
    pub fn corrupt(&self, from: &[u8], to: &[u8]) {
        assert_eq!(from.len(), to.len(), "a disk changes no length");
        let files = std::fs::read_dir(self.root.join("content")).unwrap().map(|file| file.unwrap().path());
        let holding: Vec<PathBuf> =
            files.filter(|path| path.is_file() && std::fs::read(path).unwrap() == from).collect();
        assert_eq!(holding.len(), 1, "{holding:?}");
        std::fs::write(&holding[0], to).unwrap();
    }

    fn backend(&self, jurisdiction: &str) -> Backend {
        let place = Place {
            zone: format!("{}-1", self.id),
            region: self.id.to_string(),
            country: jurisdiction.to_owned(),
            jurisdiction: jurisdiction.to_owned(),
            provider: "local".to_owned(),
            certifications: Vec::new(),
        };
        Backend {
            id: self.id.clone(),
            place,
            endpoint: self.endpoint.clone(),
            region: "us-east-1".to_owned(),
            access_key: self.access_key.clone(),
            secret_key: Arc::new(Secret::new(self.secret_key.clone())),
            capabilities: self.capabilities.clone(),
            position: 0,
        }
    }

    pub fn client(&self) -> Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&self.endpoint)
            .region(Region::new("us-east-1"))
            .force_path_style(true)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .credentials_provider(Credentials::new(&self.access_key, &self.secret_key, None, None, "test"))
            .build();
        Client::from_conf(config)
    }
}

async fn serve(listener: TcpListener, service: S3Service, wire: Arc<Wire>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => {
                let Ok((socket, _)) = accepted else { continue };
                let (service, wire) = (service.clone(), wire.clone());
                connections.spawn(async move {
                    let passed = service_fn(move |request| {
                        let (service, wire) = (service.clone(), wire.clone());
                        async move { wire.pass(&service, request).await }
                    });
                    let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), passed).await;
                });
            }
        }
    }
    connections.shutdown().await;
}

/// Three places, a bucket whose home is the first, and a worker.
pub struct World {
    pub home: Site,
    pub near: Site,
    pub far: Site,
    pub metadata: Metadata,
    pub queue: Arc<dyn Queue>,
    pub tenant: Tenant,
    pub route: Route,
    /// What the worker shows that was started last.
    pub registry: prometheus::Registry,
    worker: Option<(CancellationToken, JoinHandle<()>)>,
    _folder: TempDir,
}

impl World {
    /// Three file-system servers; two copies wanted of three possible.
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Site::new("fi-hel", folder.path().join("home")).await;
        let near = Site::new("de-fra", folder.path().join("near")).await;
        Self::on(folder, home, near).await
    }

    /// Two embedded backends, which keep versions, and a third place that cannot.
    pub async fn embedded() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Site::embedded("fi-hel", folder.path().join("home")).await;
        let near = Site::embedded("de-fra", folder.path().join("near")).await;
        Self::on(folder, home, near).await
    }

    /// Two given servers and a third place that is to get nothing.
    pub async fn given(home: Site, near: Site) -> Self {
        Self::on(tempfile::tempdir().unwrap(), home, near).await
    }

    async fn on(folder: TempDir, home: Site, near: Site) -> Self {
        let far = Site::new("us-iad", folder.path().join("far")).await;
        let secrets = Arc::new(LocalKey::from_hex(&"5".repeat(64)).unwrap());
        let url = format!("sqlite:{}", folder.path().join("metadata.db").display());
        let metadata = Metadata::connect(&url, 5, secrets).await.unwrap();
        metadata.migrate().await.unwrap();
        for (site, jurisdiction) in [(&home, "EU"), (&near, "EU"), (&far, "US")] {
            metadata.put_backend(&site.backend(jurisdiction)).await.unwrap();
        }
        let tenant = metadata.create_tenant("acme", &ResidencyPolicy::default(), &[], 2).await.unwrap();
        let route = create_bucket(&metadata, &tenant, "photos", &[&home, &near, &far]).await;
        let queue: Arc<dyn Queue> = Arc::new(metadata.sql_queue());
        let registry = prometheus::Registry::new();
        let mut world =
            Self { home, near, far, metadata, queue, tenant, route, registry, worker: None, _folder: folder };
        world.start_worker().await;
        world
    }

    pub async fn start_worker(&mut self) {
        self.start_worker_with(|_| {}).await;
    }

    /// A worker with other settings than the tests' usual ones.
    pub async fn start_worker_with(&mut self, set: impl FnOnce(&mut WorkerSettings)) {
        let mut settings = WorkerSettings {
            allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
            lease: Duration::from_secs(5),
            poll_interval: Duration::from_millis(20),
            backoff_base: Duration::from_millis(50),
            backoff_max: Duration::from_millis(500),
            max_attempts: 10_000,
            retire_interval: Duration::from_millis(100),
            drain_grace: Duration::from_millis(200),
            walk_interval: Duration::from_millis(50),
            seed: Some(7),
            ..WorkerSettings::default()
        };
        set(&mut settings);
        self.registry = prometheus::Registry::new();
        let parts = WorkerParts {
            metadata: self.metadata.clone(),
            queue: self.queue.clone(),
            settings,
            registry: self.registry.clone(),
        };
        let stop = CancellationToken::new();
        let worker = Worker::new(parts).unwrap();
        self.worker = Some((stop.clone(), tokio::spawn(worker.run(stop))));
    }

    /// One more backend, in a place of its own.
    pub async fn add(&self, site: &Site) {
        self.metadata.put_backend(&site.backend("EU")).await.unwrap();
    }

    /// Reads the route again.
    pub async fn reread_route(&mut self) {
        self.route = self.metadata.route_by_id(&self.route.bucket).await.unwrap().unwrap();
    }

    /// Adopts a bucket of the home as the tenant's, to stay when that is deleted.
    pub async fn adopt(&self, physical: &str) -> Route {
        let adoption = Adoption {
            tenant: self.tenant.id.clone(),
            name: LogicalBucket::parse("old").unwrap(),
            backend: self.home.id.clone(),
            physical: PhysicalBucket::parse(physical).unwrap(),
            stays: true,
            versioning: Versioning::Never,
        };
        self.metadata.adopt_bucket(&adoption).await.unwrap()
    }

    pub async fn stop_worker(&mut self) {
        let (stop, running) = self.worker.take().unwrap();
        stop.cancel();
        running.await.unwrap();
    }

    pub fn bucket_on(&self, site: &Site) -> String {
        self.route.physical_on(&site.id).unwrap().for_upstream().to_owned()
    }

    /// A write as a proxy does it: intent, backend, commit.
    pub async fn write<T>(&self, key: &str, at_home: impl Future<Output = T>) -> T {
        let key = self.dirty(key);
        let mark = self.queue.intent(&key, "req-1", Duration::from_secs(30)).await.unwrap();
        let done = at_home.await;
        self.queue.commit(&key, &mark, "req-1").await.unwrap();
        done
    }

    pub async fn put(&self, key: &str, body: Vec<u8>) {
        let put =
            self.home.client().put_object().bucket(self.bucket_on(&self.home)).key(key).body(ByteStream::from(body));
        self.write(key, put.send()).await.unwrap();
    }

    pub async fn delete(&self, key: &str) {
        let delete = self.home.client().delete_object().bucket(self.bucket_on(&self.home)).key(key);
        self.write(key, delete.send()).await.unwrap();
    }

    pub fn dirty(&self, key: &str) -> DirtyKey {
        DirtyKey { bucket: self.route.bucket.clone(), key: ObjectKey::parse(key).unwrap() }
    }

    pub async fn clean(&self, key: &str) {
        let dirty = self.dirty(key);
        let deadline = Instant::now() + PATIENCE;
        while !self.queue.is_clean(&dirty).await.unwrap() {
            if Instant::now() > deadline {
                panic!("{key} stays dirty: {:?}", self.metadata.jobs(None, None, 3).await);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn copies(&self, key: &str) -> Vec<ObjectCopy> {
        self.metadata.copies(&self.route.bucket, &ObjectKey::parse(key).unwrap()).await.unwrap()
    }

    /// The bytes and ETag of a copy, `None` where there is none.
    pub async fn read(&self, site: &Site, key: &str) -> Option<(Vec<u8>, String)> {
        let get = site.client().get_object().bucket(self.bucket_on(site)).key(key).send().await;
        match get {
            Ok(answer) => {
                let etag = answer.e_tag().unwrap().trim_matches('"').to_owned();
                Some((answer.body.collect().await.unwrap().to_vec(), etag))
            }
            Err(error) => {
                let code = error.as_service_error().and_then(|e| e.meta().code()).unwrap_or_default().to_owned();
                assert!(code == "NoSuchKey" || code == "NoSuchBucket", "{error:?}");
                None
            }
        }
    }
}

/// A bucket with two copies, whose home is the first of `sites`.
pub async fn create_bucket(metadata: &Metadata, tenant: &Tenant, name: &str, sites: &[&Site]) -> Route {
    let new = NewBucket {
        tenant: tenant.id.clone(),
        name: LogicalBucket::parse(name).unwrap(),
        placement: sites.iter().map(|site| site.id.clone()).collect(),
        replica_count: 2,
        location: String::new(),
    };
    let Begun::Created(route) = metadata.begin_create_bucket(&new).await.unwrap() else { panic!("the name is new") };
    let bucket = route.physical_on(&sites[0].id).unwrap().for_upstream().to_owned();
    sites[0].client().create_bucket().bucket(bucket).send().await.unwrap();
    metadata.activate_bucket(&route.bucket).await.unwrap();
    route
}

/// Waits for a condition with a name.
pub async fn until(name: &str, condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited in vain: {name}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Bytes that repeat nowhere near.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        bytes.extend_from_slice(&state.rotate_left(17).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
