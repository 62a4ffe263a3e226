//! A server in a folder of its own on a port that the kernel picked, and a stock client for it.
use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use s3gateway_embedded::{Store, serve};
use std::{path::Path, sync::Arc};
use tokio::{net::TcpListener, task::JoinSet};

pub struct Server {
    pub folder: Arc<tempfile::TempDir>,
    pub client: Client,
    _serving: JoinSet<()>,
}

impl Server {
    pub async fn start() -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap())).await
    }

    /// Over a folder that an earlier server has left.
    pub async fn start_in(folder: Arc<tempfile::TempDir>) -> Self {
        let store = Store::open(folder.path()).await.unwrap();
        let service = serve(store, "key".into(), "secret".into());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let http = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .serve_connection(TokioIo::new(stream), service.clone());
                connections.spawn(async move { drop(http.await) });
            }
        });
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
            .region(Region::new("us-east-1"))
            .endpoint_url(endpoint)
            .force_path_style(true)
            .build();
        Self { folder, client: Client::from_conf(config), _serving: serving }
    }

    pub async fn bucket(&self, name: &str) -> &Client {
        self.client.create_bucket().bucket(name).send().await.unwrap();
        &self.client
    }
}

/// How many content files there are.
pub fn contents(folder: &Path) -> usize {
    std::fs::read_dir(folder.join("content")).unwrap().count()
}
