//! What every schedule begins with: a database with a tenant, four backends and a bucket, made once; each player has a copy, and puts
//! it back to that before the next schedule, as a new one would have all statements compiled anew.
use super::proxy::LEASE;
use super::server::{Databases, Server, run_id};
use super::world::SITES;
use s3gateway_config::{BackendId, Capabilities, Place, PlaceRule, ResidencyPolicy, Secret};
use s3gateway_s3::LogicalBucket;
use s3gateway_store::{Backend, Begun, BucketId, LocalKey, Metadata, NewBucket};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection, Executor};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The bucket's id.
const BUCKET: &str = "01941f29-7c00-7000-8000-000000000000";

/// A database for each count of copies.
pub struct Ground {
    folder: TempDir,
    buckets: Vec<(usize, BucketId)>,
}

impl Ground {
    pub async fn new() -> Self {
        let folder = folder();
        let mut buckets = Vec::new();
        for count in [2, 3] {
            let metadata = open(&file(folder.path(), count), 1).await;
            metadata.migrate().await.unwrap();
            // As where the gateway has been at work since before its first bucket.
            metadata.note_queue_servers(&[run_id(0)], Duration::ZERO).await.unwrap();
            metadata.note_view("proxies", 0, Duration::ZERO, LEASE).await.unwrap();
            let given = furnish(&metadata, count).await;
            drop(metadata);
            let file = file(folder.path(), count);
            await_closed(&file).await;
            buckets.push((count, rename(&file, &given).await));
            await_closed(&file).await;
        }
        Self { folder, buckets }
    }

    fn bucket(&self, count: usize) -> BucketId {
        self.buckets.iter().find(|(of, _)| *of == count).map(|(_, bucket)| bucket.clone()).unwrap()
    }
}

/// The databases and the Redis server of one player, who has one schedule at a time.
pub struct Plots<'a> {
    ground: &'a Ground,
    plots: Vec<Plot>,
    redis: Arc<Databases>,
    _server: Server,
}

struct Plot {
    count: usize,
    metadata: Metadata,
    restoring: SqliteConnection,
    /// The statements that make it what the ground is.
    restore: String,
    _folder: TempDir,
}

impl<'a> Plots<'a> {
    pub fn on(ground: &'a Ground) -> Self {
        let server = Server::start();
        Self { ground, plots: Vec::new(), redis: server.databases(), _server: server }
    }

    pub fn redis(&self) -> Arc<Databases> {
        self.redis.clone()
    }

    /// A database as the ground is; nobody uses those given before any more.
    pub async fn lay_out(&mut self, count: usize) -> (Metadata, BucketId) {
        let metadata = match self.plots.iter_mut().find(|plot| plot.count == count) {
            Some(plot) => plot.restored().await,
            None => {
                let plot = Plot::new(&file(self.ground.folder.path(), count), count).await;
                self.plots.push(plot);
                self.plots.last().unwrap().metadata.clone()
            }
        };
        (metadata, self.ground.bucket(count))
    }
}

impl Plot {
    async fn new(ground: &Path, count: usize) -> Self {
        let folder = folder();
        let to = file(folder.path(), count);
        std::fs::copy(ground, &to).unwrap();
        // One connection serves; another is opened where an operation asks for one before its last is back, for which it cannot wait.
        let metadata = open(&to, 64).await;
        let options = SqliteConnectOptions::new().filename(&to).foreign_keys(false);
        let mut restoring = SqliteConnection::connect_with(&options).await.unwrap();
        let attach = format!("attach '{}' as ground", ground.display());
        restoring.execute(AssertSqlSafe(attach)).await.unwrap();
        let tables = "select name from ground.sqlite_master where type = 'table' and name not like '%sqlite_%' and name not like '%sqlx_%'";
        let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut restoring).await.unwrap();
        let table =
            |name: &String| format!("delete from main.{name}; insert into main.{name} select * from ground.{name};");
        let restore = format!("begin immediate; {} commit;", tables.iter().map(table).collect::<String>());
        Self { count, metadata, restoring, restore, _folder: folder }
    }

    async fn restored(&mut self) -> Metadata {
        self.restoring.execute(AssertSqlSafe(self.restore.as_str())).await.unwrap();
        self.metadata.clone()
    }
}

/// In memory, where there is such a file system.
fn folder() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// Waits until nobody has the database open, and all of it is in one file.
async fn await_closed(path: &Path) {
    let log = format!("{}-wal", path.display());
    for _ in 0..30 {
        let until = Instant::now() + Duration::from_secs(1);
        while Instant::now() < until {
            if !Path::new(&log).exists() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Two that closed it at once have each left the log to the other.
        drop(open(path, 1).await);
    }
    panic!("the database is not closed");
}

fn file(folder: &Path, count: usize) -> PathBuf {
    folder.join(format!("{count}.db"))
}

async fn open(path: &Path, connections: u32) -> Metadata {
    let secrets = Arc::new(LocalKey::from_hex(&"5".repeat(64)).unwrap());
    Metadata::connect(&format!("sqlite:{}", path.display()), connections, secrets).await.unwrap()
}

async fn furnish(metadata: &Metadata, count: usize) -> BucketId {
    for (id, _) in SITES {
        metadata.put_backend(&backend(id)).await.unwrap();
    }
    let deny = PlaceRule { countries: vec!["US".to_owned()], ..PlaceRule::default() };
    let policy = ResidencyPolicy { deny, ..ResidencyPolicy::default() };
    let tenant = metadata.create_tenant("acme", &policy, &[], 2).await.unwrap();
    let new = NewBucket {
        tenant: tenant.id.clone(),
        name: LogicalBucket::parse("photos").unwrap(),
        placement: SITES.map(|(id, _)| BackendId::parse(id).unwrap()).to_vec(),
        replica_count: u32::try_from(count).unwrap(),
        location: String::new(),
    };
    let Begun::Created(route) = metadata.begin_create_bucket(&new).await.unwrap() else { panic!("the name is new") };
    metadata.activate_bucket(&route.bucket).await.unwrap();
    route.bucket
}

/// Gives a bucket the id that it has in every process: a key's shard in Redis follows from that, and the order of claims from it.
async fn rename(path: &Path, given: &BucketId) -> BucketId {
    let options = SqliteConnectOptions::new().filename(path).foreign_keys(false);
    let mut link = SqliteConnection::connect_with(&options).await.unwrap();
    let columns = "select t.name, c.name from sqlite_master t, pragma_table_info(t.name) c where t.type = 'table'";
    let columns: Vec<(String, String)> = sqlx::query_as(columns).fetch_all(&mut link).await.unwrap();
    for (table, column) in columns {
        let rename = format!("update \"{table}\" set \"{column}\" = ? where \"{column}\" = ?");
        sqlx::query(AssertSqlSafe(rename)).bind(BUCKET).bind(given.as_str()).execute(&mut link).await.unwrap();
    }
    link.close().await.unwrap();
    BucketId::new(BUCKET)
}

fn backend(id: &str) -> Backend {
    let (country, _) = id.split_once('-').unwrap();
    Backend {
        id: BackendId::parse(id).unwrap(),
        place: Place {
            zone: format!("{id}-1"),
            region: id.to_owned(),
            country: country.to_uppercase(),
            jurisdiction: country.to_uppercase(),
            provider: "simulated".to_owned(),
            certifications: Vec::new(),
        },
        endpoint: format!("http://{id}.simulated"),
        region: "us-east-1".to_owned(),
        access_key: "a".to_owned(),
        secret_key: Arc::new(Secret::new("s".to_owned())),
        capabilities: Capabilities { versioning: false, ..Capabilities::default() },
        position: 0,
    }
}
