//! The job history, written in batches. It is for people: its absence stops nothing, and a worker that is killed takes the
//! last moment of it along.
use s3gateway_store::{JobRecord, Metadata, StoreError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How long a row waits for others.
const PAUSE: Duration = Duration::from_millis(200);
/// Rows written by one statement.
const AT_ONCE: usize = 500;
/// Rows kept while the store is away; more are dropped.
const MOST: usize = 10_000;

/// Rows on their way into the history.
#[derive(Default)]
pub(crate) struct History {
    rows: Mutex<Vec<JobRecord>>,
    came: Notify,
}

impl History {
    pub(crate) fn note(&self, row: JobRecord) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.len() < MOST {
            rows.push(row);
        }
        self.came.notify_one();
    }

    /// Writes what comes until `stop`.
    pub(crate) async fn keep(&self, metadata: &Metadata, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = self.came.notified() => {}
                () = stop.cancelled() => return,
            }
            let _ = tokio::time::timeout(PAUSE, stop.cancelled()).await;
            self.flush(metadata).await;
        }
    }

    /// Writes what there is.
    pub(crate) async fn flush(&self, metadata: &Metadata) {
        loop {
            let some: Vec<JobRecord> = {
                let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
                let count = rows.len().min(AT_ONCE);
                rows.drain(..count).collect()
            };
            if some.is_empty() {
                return;
            }
            match metadata.record_jobs(&some).await {
                Ok(()) => {}
                Err(StoreError::Unavailable(_)) => {
                    let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
                    rows.splice(0..0, some);
                    self.came.notify_one();
                    return;
                }
                Err(failed) => warn!(error = %failed, rows = some.len(), "these rows of the job history are lost"),
            }
        }
    }
}
