//! A PostgreSQL of the tests' own: temporary folder, unix socket, gone when the last user drops it.
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

pub(super) struct Server {
    folder: tempfile::TempDir,
    programs: PathBuf,
    /// Of the unix socket too, where it only is part of a file's name.
    port: u16,
    child: Child,
}

/// Whether a killed server must find again what it acknowledged; only the crash test pays for that.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    On,
    Off,
}

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

impl Server {
    /// The server that all cases running now share, so that its start is paid for once.
    pub(super) fn shared() -> Option<Arc<Self>> {
        let mut shared = SHARED.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(running) = shared.upgrade() {
            return Some(running);
        }
        let started = Arc::new(Self::start(Durability::Off)?);
        *shared = Arc::downgrade(&started);
        Some(started)
    }

    /// A server of one's own; `None` where PostgreSQL is not installed.
    pub(super) fn start(durability: Durability) -> Option<Self> {
        Self::start_with(5432, |_| match durability {
            Durability::On => String::new(),
            Durability::Off => "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\n".into(),
        })
    }

    /// With the settings that `prepare` gives, which may put files into the folder.
    pub(super) fn start_with(port: u16, prepare: impl FnOnce(&Path) -> String) -> Option<Self> {
        let programs = find_programs()?;
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();
        let prepared = prepare(folder.path());
        if is_root() {
            assert!(Command::new("chown").args(["-R", "postgres:"]).arg(folder.path()).status().unwrap().success());
        }
        let data = folder.path().join("data");
        let made = as_postgres(&programs.join("initdb"))
            .arg("-D")
            .arg(&data)
            .args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"])
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success(), "initdb failed");
        let settings = format!(
            "listen_addresses = ''\nunix_socket_directories = '{}'\nport = {port}\nshared_buffers = 32MB\nmax_connections = 300\n",
            folder.path().display()
        );
        let file = data.join("postgresql.conf");
        fs::write(&file, fs::read_to_string(&file).unwrap() + &settings + &prepared).unwrap();
        let child = spawn(&programs, folder.path());
        let server = Self { folder, programs, port, child };
        server.wait_until_ready();
        Some(server)
    }

    pub(super) fn url(&self, database: &str) -> String {
        format!("postgresql://postgres@localhost/{database}?host={}", self.folder.path().display())
    }

    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(super) fn restart(&mut self) {
        self.child = spawn(&self.programs, self.folder.path());
        self.wait_until_ready();
    }

    fn wait_until_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let is_ready = || {
            let asked = Command::new(self.programs.join("pg_isready"))
                .args(["-q", "-p", &self.port.to_string(), "-h"])
                .arg(self.folder.path())
                .status();
            asked.unwrap().success()
        };
        while !is_ready() {
            let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "PostgreSQL did not start: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg("-INT").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn spawn(programs: &Path, folder: &Path) -> Child {
    let log = fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    as_postgres(&programs.join("postgres"))
        .arg("-D")
        .arg(folder.join("data"))
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// PostgreSQL refuses to run as root.
fn as_postgres(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
    command
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.trim_ascii() == b"0"
}

fn find_programs() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .filter(|folder| folder.join("initdb").exists())
        .collect();
    found.sort();
    found.pop()
}
