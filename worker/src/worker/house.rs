//! What a worker does beside its jobs: figures, pruning, and redriving what only an absence had made a dead letter.
use super::{AWAY, Shared};
use s3gateway_store::StoreError;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// How often the queue's figures are read.
const DEPTH_INTERVAL: Duration = Duration::from_secs(5);
/// How often the job history is pruned.
const PRUNE_INTERVAL: Duration = Duration::from_secs(600);
/// How long changes stay readable; a proxy that was away for longer drops all that it has cached.
const FEED_KEPT: Duration = Duration::from_secs(24 * 3600);
/// Dead letters looked at between two readings of the figures.
const LETTERS_AT_ONCE: usize = 5000;
/// How often promotions and stranded keys are counted, and the oldest reconcile is looked for.
const COUNT_INTERVAL: Duration = Duration::from_secs(10);

impl Shared {
    /// Goes on until `stop`.
    pub(super) async fn keep_house(&self, stop: &CancellationToken) {
        let (mut pruned, mut counted): (Option<Instant>, Option<Instant>) = (None, None);
        let (mut redriven, mut redriving) = (Instant::now(), None);
        while !stop.is_cancelled() {
            match self.queue.depth().await {
                Ok(depth) => self.metrics.depth(&depth, self.now()),
                Err(failed) => debug!(error = %failed, "the queue's figures cannot be read"),
            }
            if counted.is_none_or(|at| at.elapsed() >= COUNT_INTERVAL) {
                counted = Some(Instant::now());
                if let Err(failed) = self.count_moves().await {
                    debug!(error = %failed, "promotions, stranded keys and reconciles cannot be looked at");
                }
            }
            for remote in self.converger.backends.known() {
                self.metrics.pace(&remote.backend.id, remote.pace.shown());
            }
            if pruned.is_none_or(|at| at.elapsed() >= PRUNE_INTERVAL) {
                pruned = Some(Instant::now());
                let history = i64::try_from(self.settings.history.as_millis()).unwrap_or(i64::MAX);
                let now = self.now();
                let before = now.saturating_sub(history);
                if let Err(failed) = self.converger.metadata.prune_jobs(before, now).await {
                    warn!(error = %failed, "the job history cannot be pruned");
                }
                if let Err(failed) = self.converger.metadata.prune_walks(before).await {
                    warn!(error = %failed, "walks cannot be pruned");
                }
                let before = self.now().saturating_sub(i64::try_from(FEED_KEPT.as_millis()).unwrap_or(i64::MAX));
                if let Err(failed) = self.converger.metadata.prune_changes(before).await {
                    warn!(error = %failed, "the change feed cannot be pruned");
                }
            }
            if redriving.is_some() || redriven.elapsed() >= self.settings.redrive_interval {
                redriven = Instant::now();
                redriving = self.redrive_absences(redriving).await.unwrap_or_else(|failed| {
                    warn!(error = %failed, "dead letters cannot be redriven");
                    None
                });
            }
            let _ = tokio::time::timeout(DEPTH_INTERVAL, stop.cancelled()).await;
        }
    }

    async fn count_moves(&self) -> Result<(), StoreError> {
        let metadata = &self.converger.metadata;
        let (running, stranded) = (metadata.count_running_promotions().await?, metadata.count_stranded().await?);
        self.metrics.moves(running, stranded);
        if !self.settings.reconcile_interval.is_zero() {
            self.metrics.oldest_reconcile(metadata.oldest_reconcile().await?, self.now());
        }
        Ok(())
    }

    /// Looks at some of the dead letters, however old; where to go on.
    async fn redrive_absences(&self, mut from: Option<String>) -> Result<Option<String>, StoreError> {
        let mut count = 0;
        loop {
            let page = self.queue.dead_page(from.as_deref()).await?;
            for letter in page.letters.iter().filter(|letter| letter.reason.starts_with(AWAY)) {
                self.queue.redrive(Some(&letter.key)).await?;
            }
            count += page.letters.len();
            from = page.next;
            if from.is_none() || count >= LETTERS_AT_ONCE {
                return Ok(from);
            }
        }
    }
}
