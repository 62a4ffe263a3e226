//! The backends inside `dev`: a store behind a listener of its own each, which can be taken off the air and put back.
//! Invariant: the gateway reaches them over the wire only, as it would any other S3 server.
use super::state::{DevFile, Folder};
use crate::failure::{During, Failure};
use async_trait::async_trait;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use s3gateway_config::BackendId;
use s3gateway_embedded::{S3Service, Store};
use s3gateway_proxy::admin::{BackendSwitch, SwitchError};
use std::{net::SocketAddr, path::Path, time::Duration};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A port that was just left may not be free again at once.
const BIND_TRIES: u32 = 40;
const BIND_PAUSE: Duration = Duration::from_millis(50);

/// All embedded backends.
pub struct EmbeddedBackends(Vec<Embedded>);

struct Embedded {
    id: String,
    address: SocketAddr,
    /// Made once: one store holds a folder.
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
            let path = folder.path("backends").join(&key.id);
            refuse_former(&path, folder.as_given())?;
            let store = Store::open(&path).await.during(&format!("opening {}", path.display()))?;
            let service = s3gateway_embedded::serve(store, key.access_key.clone(), key.secret_key.clone());
            let address = listener.local_addr().during("a backend's port")?;
            let listener = TcpListener::from_std(listener).during("a backend's port")?;
            let embedded = Embedded { id: key.id.clone(), address, service, on_air: Mutex::new(None) };
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

/// Backends of the first versions kept objects as files under their keys, which the store does not read.
fn refuse_former(backend: &Path, state: &Path) -> Result<(), Failure> {
    if !backend.join("spool").exists() {
        return Ok(());
    }
    Err(Failure::of_input(format!(
        "s3gateway: {} holds objects in the form of an earlier version; choose another folder with --state, or remove {} to begin anew",
        backend.display(),
        state.display()
    )))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_the_first_versions_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        assert!(refuse_former(folder.path(), Path::new("state")).is_ok());
        std::fs::create_dir(folder.path().join("spool")).unwrap();
        let refused = refuse_former(folder.path(), Path::new("state")).unwrap_err();
        assert!(refused.message.contains(&folder.path().display().to_string()) && refused.message.contains("--state"));
        assert_eq!(refused.message.lines().count(), 1);
    }
}
