//! The backends as the control plane knows them now, each with its connections.
//! Locks are held for a clone only, never over an await.
use crate::backend::Remote;
use crate::settings::WorkerSettings;
use s3gateway_config::BackendId;
use s3gateway_store::{Backend, Change, Metadata, StoreError};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often the change feed is read; the project promises about a second.
const FEED_INTERVAL: Duration = Duration::from_secs(1);
/// Changes read at once; more are read in the next round at once.
const FEED_PAGE: u32 = 500;

type Remotes = Arc<HashMap<BackendId, Arc<Remote>>>;

/// All backends.
pub(crate) struct Backends {
    metadata: Metadata,
    settings: WorkerSettings,
    remotes: RwLock<Remotes>,
}

impl Backends {
    /// None yet; they are loaded on the first miss or by [`Self::follow`].
    pub(crate) fn new(metadata: Metadata, settings: WorkerSettings) -> Self {
        Self { metadata, settings, remotes: RwLock::default() }
    }

    /// The backend with this id, asking the store where it is not known yet.
    pub(crate) async fn get(&self, id: &BackendId) -> Result<Option<Arc<Remote>>, StoreError> {
        if let Some(remote) = self.snapshot().get(id) {
            return Ok(Some(remote.clone()));
        }
        self.reload().await?;
        Ok(self.snapshot().get(id).cloned())
    }

    /// All that are known now.
    pub(crate) fn known(&self) -> Vec<Arc<Remote>> {
        self.snapshot().values().filter(|remote| !remote.backend.id.is_twin()).cloned().collect()
    }

    /// Those that are left alone now, twins among them, and for how long yet.
    pub(crate) fn resting(&self) -> Vec<(BackendId, Duration)> {
        let remotes = self.snapshot();
        let mut resting: Vec<_> =
            remotes.iter().filter_map(|(id, remote)| Some((id.clone(), remote.resting()?.rest))).collect();
        // In an order that a simulation can repeat.
        resting.sort_unstable();
        resting
    }

    /// Reads all backends, each with its twin; clients of unchanged ones keep their connections.
    pub(crate) async fn reload(&self) -> Result<(), StoreError> {
        let known = self.snapshot();
        let remotes = self.metadata.backends().await?.into_iter().flat_map(|backend| {
            let same = known.get(&backend.id).filter(|remote| is_same(&remote.backend, &backend));
            let remote = same.cloned().unwrap_or_else(|| Arc::new(Remote::new(backend.clone(), &self.settings)));
            [(backend.id.twin(), Arc::new(remote.twin())), (backend.id, remote)]
        });
        let remotes = Arc::new(remotes.collect());
        *self.remotes.write().unwrap_or_else(PoisonError::into_inner) = remotes;
        Ok(())
    }

    /// Follows the change feed until stopped.
    pub(crate) async fn follow(&self, stop: &CancellationToken) {
        let mut seen: Option<i64> = None;
        let mut away = false;
        while !stop.is_cancelled() {
            match self.catch_up(seen).await {
                Ok(head) => {
                    seen = Some(head);
                    away = false;
                }
                Err(error) if !away => {
                    warn!(%error, "the change feed cannot be read");
                    away = true;
                }
                Err(_) => {}
            }
            let _ = tokio::time::timeout(FEED_INTERVAL, stop.cancelled()).await;
        }
    }

    /// Takes in what changed since `seen`; how far it got.
    async fn catch_up(&self, seen: Option<i64>) -> Result<i64, StoreError> {
        let Some(mut seen) = seen else {
            let head = self.metadata.change_head().await?;
            self.reload().await?;
            return Ok(head);
        };
        let changes = self.metadata.changes_since(seen, FEED_PAGE).await?;
        if changes.iter().any(|(_, change)| *change == Change::Backends) {
            self.reload().await?;
            info!("backends reloaded");
        }
        if let Some((last, _)) = changes.last() {
            seen = *last;
        }
        Ok(seen)
    }

    fn snapshot(&self) -> Remotes {
        self.remotes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn is_same(a: &Backend, b: &Backend) -> bool {
    a.endpoint == b.endpoint
        && a.region == b.region
        && a.access_key == b.access_key
        && a.secret_key.expose() == b.secret_key.expose()
        && a.place == b.place
        && a.capabilities == b.capabilities
}
