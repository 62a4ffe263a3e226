//! Real Redis servers for tests: own folder, port from the kernel, killed on drop.
use crate::tls::testing::{Authority, HOST, pick_port};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Asks until `met`, and fails by name when ten seconds were not enough.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut met: impl FnMut() -> F) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = met().await {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) struct RedisServer {
    child: Option<Child>,
    folder: TempDir,
    port: u16,
    options: Vec<String>,
    tls: Option<Tls>,
}

/// TLS on a port of its own, beside the plain one that [`RedisServer::ask`] uses.
struct Tls {
    authority: Authority,
    port: u16,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(options: &[String]) -> Self {
        let folder = TempDir::with_prefix("s3gw-redis").unwrap();
        Self { child: None, folder, port: 0, options: options.to_vec(), tls: None }.started()
    }

    pub(crate) fn start_with_tls(options: &[&str]) -> Self {
        let folder = TempDir::with_prefix("s3gw-redis").unwrap();
        let (authority, port) = (Authority::make_in(folder.path()), pick_port());
        let mut options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        for (name, path) in [("cert", authority.certificate()), ("key", authority.key()), ("ca-cert", authority.ca())] {
            options.extend([format!("--tls-{name}-file"), path.display().to_string()]);
        }
        options.extend(["--tls-auth-clients", "no", "--tls-port", &port.to_string()].map(str::to_owned));
        Self { child: None, folder, port: 0, options, tls: Some(Tls { authority, port }) }.started()
    }

    fn started(self) -> Self {
        let mut server = self;
        // Somebody may take the port between the kernel's answer and the server's bind.
        for _ in 0..5 {
            server.port = pick_port();
            if server.run() {
                return server;
            }
        }
        panic!("redis-server does not start: {}", server.log());
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn tls_url(&self, host: &str) -> String {
        format!("rediss://{host}:{}", self.tls.as_ref().unwrap().port)
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.tls.as_ref().unwrap().authority
    }

    pub(crate) fn kill9(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn start_again(&mut self) {
        self.kill9();
        assert!(self.run(), "redis-server does not come back: {}", self.log());
    }

    /// Stops the process without ending it: it accepts connections and answers nothing.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Sends one inline command; the raw answer's first bytes.
    pub(crate) fn ask(&self, command: &str) -> Option<String> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut answer = [0; 4096];
        let count = stream.read(&mut answer).ok()?;
        Some(String::from_utf8_lossy(&answer[..count]).into_owned())
    }

    fn run(&mut self) -> bool {
        let out = std::fs::File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        // Written before each answer, which a killed process does not undo; with `everysec` a write may wait behind a slow disk's.
        let child = Command::new("redis-server")
            .args(["--bind", HOST, "--save", "", "--appendonly", "yes", "--appendfsync", "no"])
            .args(["--port", &self.port.to_string(), "--dir"])
            .arg(self.folder.path())
            .args(&self.options)
            .stdout(Stdio::from(out))
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server is installed (apt redis-server)");
        self.child = Some(child);
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(10) {
            if self.ask("PING").is_some_and(|answer| answer.contains("PONG")) {
                return true;
            }
            if self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_some()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill9();
        false
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// Three masters that share the slots.
pub(crate) struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    pub(crate) fn start() -> Self {
        let nodes: Vec<RedisServer> = (0..3)
            .map(|_| {
                let bus = pick_port().to_string();
                let options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", &bus];
                RedisServer::start_with(&options.map(str::to_owned))
            })
            .collect();
        let addresses = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port));
        let made = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .arg("--cluster-yes")
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
        let start = Instant::now();
        while !nodes.iter().all(|node| node.ask("CLUSTER INFO").is_some_and(|info| info.contains("cluster_state:ok"))) {
            assert!(start.elapsed() < Duration::from_secs(30), "the cluster does not form");
            std::thread::sleep(Duration::from_millis(50));
        }
        Self { nodes }
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// How many Redis keys each node holds.
    pub(crate) fn key_counts(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.ask("DBSIZE").unwrap_or_default().trim().to_owned()).collect()
    }
}
