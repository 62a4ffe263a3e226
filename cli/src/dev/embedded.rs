//! The backends inside `dev`: s3s-fs behind a listener of its own each, which can be taken off the air and put back.
use super::{
    state::{DevFile, Folder},
    storage::Storage,
};
use crate::failure::{During, Failure};
use async_trait::async_trait;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use s3gateway_config::{BackendId, Capabilities, KeyRule};
use s3gateway_proxy::admin::{BackendSwitch, SwitchError};
use s3s::{
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use std::{net::SocketAddr, time::Duration};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What s3s-fs 0.14 does, as read in its source and seen in tests; `storage` makes good what it can.
pub const CAPABILITIES: Capabilities = Capabilities {
    tagging: false,
    versioning: false,
    list_uploads: false,
    conditional_writes: true,
    quoted_if_match: true,
    // It truncates the target before copying onto it: a kill in between would lose an acknowledged object.
    server_side_copy: false,
    refuses_nonempty_delete: true,
    // Start-after inside a common prefix drops the prefix; delimiters of more than a byte are cut.
    exact_listing: false,
    multipart_etag: true,
    trailing_checksums: true,
    keys: KeyRule::FilePath,
};

/// A port that was just left may not be free again at once.
const BIND_TRIES: u32 = 40;
const BIND_PAUSE: Duration = Duration::from_millis(50);

/// All embedded backends.
pub struct EmbeddedBackends(Vec<Embedded>);

struct Embedded {
    id: String,
    address: SocketAddr,
    /// Made once: two of them over one folder would use the same names for their temporary files.
    service: S3Service,
    on_air: Mutex<Option<OnAir>>,
}

struct OnAir {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl EmbeddedBackends {
    /// Opens the folders and serves them on `listeners`, in the order of the places.
    ///
    /// # Errors
    /// Where a folder or listener cannot be used.
    pub async fn start(
        folder: &Folder,
        known: &DevFile,
        listeners: Vec<std::net::TcpListener>,
    ) -> Result<Self, Failure> {
        let mut backends = Vec::new();
        for (key, listener) in known.backends.iter().zip(listeners) {
            let storage = Storage::open(&folder.path("backends").join(&key.id)).await?;
            let mut builder = S3ServiceBuilder::new(storage);
            builder.set_auth(SimpleAuth::from_single(key.access_key.clone(), key.secret_key.clone()));
            let address = listener.local_addr().during("a backend's port")?;
            let listener = TcpListener::from_std(listener).during("a backend's port")?;
            let embedded = Embedded { id: key.id.clone(), address, service: builder.build(), on_air: Mutex::new(None) };
            embedded.serve(listener);
            backends.push(embedded);
        }
        Ok(Self(backends))
    }

    /// Ids with endpoints.
    pub fn endpoints(&self) -> Vec<(String, String)> {
        self.0.iter().map(|backend| (backend.id.clone(), format!("http://{}", backend.address))).collect()
    }

    /// Takes all off the air.
    pub async fn stop_all(&self) {
        for backend in &self.0 {
            backend.stop().await;
        }
    }

    fn find(&self, id: &BackendId) -> Result<&Embedded, SwitchError> {
        self.0.iter().find(|backend| backend.id == id.as_str()).ok_or_else(|| SwitchError::NotEmbedded(id.clone()))
    }
}

#[async_trait]
impl BackendSwitch for EmbeddedBackends {
    async fn stop(&self, id: &BackendId) -> Result<(), SwitchError> {
        self.find(id)?.stop().await;
        Ok(())
    }

    async fn start(&self, id: &BackendId) -> Result<(), SwitchError> {
        let backend = self.find(id)?;
        backend.start().await.map_err(|error| SwitchError::Failed { id: id.clone(), reason: error.to_string() })
    }

    fn is_running(&self, id: &BackendId) -> Option<bool> {
        self.find(id).ok().map(|backend| backend.on_air.lock().is_some())
    }
}

impl Embedded {
    /// Closes the listener and cuts every connection, mid-request too; returns once all are gone.
    async fn stop(&self) {
        let on_air = self.on_air.lock().take();
        if let Some(OnAir { stop, tasks }) = on_air {
            stop.cancel();
            tasks.close();
            tasks.wait().await;
        }
    }

    async fn start(&self) -> std::io::Result<()> {
        let mut tries = 0;
        loop {
            if self.on_air.lock().is_some() {
                return Ok(());
            }
            match TcpListener::bind(self.address).await {
                Ok(listener) => {
                    self.serve(listener);
                    return Ok(());
                }
                Err(error) if tries == BIND_TRIES => return Err(error),
                Err(_) => tries += 1,
            }
            tokio::time::sleep(BIND_PAUSE).await;
        }
    }

    fn serve(&self, listener: TcpListener) {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(accept(listener, self.service.clone(), stop.clone(), tasks.clone()));
        *self.on_air.lock() = Some(OnAir { stop, tasks });
    }
}

async fn accept(listener: TcpListener, service: S3Service, stop: CancellationToken, tasks: TaskTracker) {
    loop {
        let accepted = tokio::select! { accepted = listener.accept() => accepted, () = stop.cancelled() => return };
        match accepted {
            Ok((stream, _)) => {
                tasks.spawn(converse(stream, service.clone(), stop.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "an embedded backend could not accept a connection");
                tokio::time::sleep(BIND_PAUSE).await;
            }
        }
    }
}

/// Serves one connection; a stop drops it where it stands, as a backend that dies would.
async fn converse(stream: TcpStream, service: S3Service, stop: CancellationToken) {
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        ended = connection => if let Err(error) = ended {
            tracing::debug!(%error, "a connection to an embedded backend ended early");
        },
        () = stop.cancelled() => {}
    }
}
