//! A real Redis server for each player's schedules, and what becomes of it in a schedule: it is away, and it is restarted without what
//! it was told last.
use super::stage::Stage;
use redis::{Client, Connection};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The databases of a server: what it holds, and what is on its disk.
const HELD: u64 = 0;
const SAVED: u64 = 1;

/// The process; ends when dropped.
pub struct Server {
    child: Child,
    folder: TempDir,
}

impl Server {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(folder.path().join("socket"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("redis-server (apt redis-server) does not start: {error}"));
        let server = Self { child, folder };
        let until = Instant::now() + Duration::from_secs(10);
        while Client::open(server.url()).unwrap().get_connection().is_err() {
            assert!(Instant::now() < until, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
        server
    }

    pub fn databases(&self) -> Arc<Databases> {
        let link = Client::open(self.url()).unwrap().get_connection().unwrap();
        Arc::new(Databases { url: self.url(), link: Mutex::new(link) })
    }

    fn url(&self) -> String {
        format!("unix://{}", self.folder.path().join("socket").display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the server holds, and what it would still hold if it were restarted now.
pub struct Databases {
    pub url: String,
    link: Mutex<Connection>,
}

impl Databases {
    /// As new.
    pub fn empty(&self) {
        let script = "for _, db in ipairs(ARGV) do redis.call('SELECT', db) redis.call('FLUSHDB') end";
        self.run(script, HELD, SAVED);
    }

    /// Everything is on the disk.
    pub fn save(&self) {
        self.copy(HELD, SAVED);
    }

    /// Back to what is on the disk.
    pub fn restart(&self) {
        self.copy(SAVED, HELD);
    }

    /// Makes one database what another is.
    fn copy(&self, from: u64, to: u64) {
        let script = "redis.call('SELECT', ARGV[2]) redis.call('FLUSHDB') redis.call('SELECT', ARGV[1]) \
             for _, key in ipairs(redis.call('KEYS', '*')) do redis.call('COPY', key, key, 'DB', ARGV[2]) end";
        self.run(script, from, to);
    }

    fn run(&self, script: &str, first: u64, second: u64) {
        let script = redis::Script::new(script);
        script.arg(first).arg(second).invoke::<()>(&mut *self.link.lock().unwrap()).unwrap();
    }
}

/// The server as the processes of a schedule find it.
pub struct Redis {
    pub databases: Arc<Databases>,
    restarts: AtomicU64,
    away_until: AtomicU64,
}

/// Of the process that answers after so many restarts.
pub fn run_id(restarts: u64) -> String {
    format!("{restarts:040x}")
}

impl Redis {
    pub fn new(databases: Arc<Databases>) -> Self {
        databases.empty();
        Self { databases, restarts: AtomicU64::new(0), away_until: AtomicU64::new(0) }
    }

    /// Of the process that answers now.
    pub fn run_id(&self) -> String {
        run_id(self.restarts.load(Ordering::Relaxed))
    }

    /// Another process takes its place, and has what was saved. `is_seen`: whether it has a run id of its own.
    pub fn restart(&self, is_seen: bool) {
        self.databases.restart();
        self.restarts.fetch_add(u64::from(is_seen), Ordering::Relaxed);
    }

    pub fn is_away(&self, stage: &Stage) -> bool {
        stage.millis() < self.away_until.load(Ordering::Relaxed)
    }

    pub fn go_away(&self, until: u64) {
        self.away_until.store(until, Ordering::Relaxed);
    }
}
