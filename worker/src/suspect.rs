//! Watches for a Redis that was replaced or restarted and may have forgotten marks: buckets are walked over once it has settled, and
//! what no walk finds is marked again from the journal of unlisted writes, which is kept short here, too.
//! Invariant: servers are noted only after everything in the journal was marked since they were seen, and as settled only after it was
//! marked, and what is claimed raised, since nothing can land any more that they do not know of.
use crate::settings::WorkerSettings;
use s3gateway_store::{DirtyKey, Metadata, Millis, Queue, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Between two looks: a failover read of a suspect bucket is refused for so much longer.
const INTERVAL: Duration = Duration::from_secs(2);
/// Rows of the journal marked, or forgotten, at once.
const ROWS: u32 = 1000;
/// Rounds of one pruning: as many rows as are written in a minute at some 1,700 a second.
const PRUNES: usize = 100;
/// Between two prunings of the journal; far more than a Redis may forget.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
/// Milliseconds for which a row stays in the journal after its mark was cleared, for clocks that differ: proxies say when a row
/// was noted, Redis says when a key became dirty.
const KEPT: Millis = 3_600_000;

/// What it needs.
pub(crate) struct Suspects {
    metadata: Metadata,
    queue: Arc<dyn Queue>,
    lease: Duration,
}

/// What a watch remembers.
struct Watch {
    /// The servers that are noted and were seen last.
    noted: Vec<String>,
    pruned: Instant,
    /// What was noted before this needs no mark, as these servers said at the last pruning; it goes at the next. A mark that was
    /// moved to Redis meanwhile is younger than its row, and no longer among what Redis may forget by then.
    prunable: Option<Millis>,
}

impl Suspects {
    pub(crate) fn new(metadata: Metadata, queue: Arc<dyn Queue>, settings: &WorkerSettings) -> Self {
        Self { metadata, queue, lease: settings.lease }
    }

    /// Goes on until `stop`; a queue that forgets nothing needs no watch.
    pub(crate) async fn watch(&self, stop: &CancellationToken) {
        if !self.queue.may_forget() {
            return;
        }
        let mut watch = Watch { noted: Vec::new(), pruned: Instant::now(), prunable: None };
        while !stop.is_cancelled() {
            if let Err(error) = self.look(&mut watch).await {
                warn!(%error, "it cannot be told whether Redis has forgotten marks");
            }
            if watch.pruned.elapsed() >= PRUNE_INTERVAL {
                watch.pruned = Instant::now();
                if let Err(error) = self.prune(&mut watch).await {
                    warn!(%error, "the journal of unlisted writes cannot be pruned for now");
                }
            }
            let _ = tokio::time::timeout(INTERVAL, stop.cancelled()).await;
        }
    }

    async fn look(&self, watch: &mut Watch) -> Result<(), StoreError> {
        let servers = match self.queue.servers().await {
            // While it is away it is not asked for marks either.
            Err(StoreError::Unavailable(_)) => watch.noted.clone(),
            servers => servers?,
        };
        if servers != watch.noted {
            if self.metadata.has_new_queue_server(&servers).await? {
                let marked = self.mark_unlisted().await?;
                info!(marked, "keys marked again whose tags or headers were written");
            }
            if self.metadata.note_queue_servers(&servers, self.lease).await? {
                warn!("Redis is another than before and may have forgotten marks: buckets are walked over soon");
            }
            watch.noted = servers;
            watch.prunable = None;
        }
        if !self.metadata.has_suspect_queue_server().await? {
            return Ok(());
        }
        if let Some(asked) = self.metadata.queue_servers_due().await? {
            // What has landed since they were seen may have come after a worker's look, and no listing may show it.
            self.queue.settle().await?;
            self.mark_unlisted().await?;
            self.mark_stranded().await?;
            self.metadata.settle_queue_servers(asked).await?;
        }
        Ok(())
    }

    /// Marks every key in the journal; how many. Each is noted anew before its mark, which is younger than the forgotten one.
    async fn mark_unlisted(&self) -> Result<usize, StoreError> {
        let (mut after, mut marked): (Option<DirtyKey>, usize) = (None, 0);
        loop {
            let keys = self.metadata.renote_unlisted_writes(after.as_ref(), ROWS).await?;
            self.queue.mark_all(&keys, "").await?;
            marked += keys.len();
            match keys.into_iter().next_back() {
                None => return Ok(marked),
                last => after = last,
            }
        }
    }

    /// Marks every key that waits for a former home: a walk would not, where both sides are alike.
    async fn mark_stranded(&self) -> Result<(), StoreError> {
        let mut after = String::new();
        loop {
            let (keys, last) = self.metadata.stranded_waiting(&after, ROWS).await?;
            self.queue.mark_all(&keys, "").await?;
            match last {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }

    /// Forgets what was noted long before the oldest mark that stands: those marks were cleared, so there is none to forget.
    async fn prune(&self, watch: &mut Watch) -> Result<(), StoreError> {
        let asked = self.metadata.now();
        let oldest = self.queue.depth().await?.oldest;
        if self.queue.servers().await? != watch.noted {
            watch.prunable = None;
            return Ok(());
        }
        let prunable = oldest.map_or(asked, |oldest| oldest.min(asked)) - KEPT;
        if let Some(before) = watch.prunable.replace(prunable) {
            for _ in 0..PRUNES {
                if self.metadata.prune_unlisted_writes(before.min(prunable), ROWS).await? < u64::from(ROWS) {
                    break;
                }
            }
        }
        Ok(())
    }
}
