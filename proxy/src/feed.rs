//! Follows the control plane's change feed: what changed is dropped from memory within about a second.
use crate::gateway::Gateway;
use s3gateway_s3::LogicalBucket;
use s3gateway_store::{Change, StoreError};
use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// How fresh this process's view of the control plane is, and under which name the store knows of it.
pub struct View {
    id: String,
    started: Instant,
    seen_millis: AtomicU64,
    lease: Duration,
}

impl View {
    /// A view that is fresh now.
    pub fn now(lease: Duration) -> Self {
        let id = format!("proxy-{:016x}", rand::random::<u64>());
        Self { id, started: Instant::now(), seen_millis: AtomicU64::new(0), lease }
    }
    /// How long ago the feed was last read.
    pub fn age(&self) -> Duration {
        self.started.elapsed().saturating_sub(Duration::from_millis(self.seen_millis.load(Ordering::Relaxed)))
    }
    /// Whether writes may lean on it, and what is read by it is current.
    pub fn is_fresh(&self) -> bool {
        self.age() < self.lease
    }
    /// The view holds as of when the feed was asked, not of when it had answered.
    fn seen(&self, asked: Duration) {
        let millis = u64::try_from(asked.as_millis()).unwrap_or(u64::MAX);
        self.seen_millis.store(millis, Ordering::Relaxed);
    }
}

/// Changes taken per poll.
const BATCH: u32 = 1000;
/// How long a change is applied again at each poll: longer than any look-up that began before it and could still
/// put the old state into a cache.
const APPLY_AGAIN_FOR: Duration = Duration::from_secs(10);

/// What the store was told of this view last: a promotion waits until all views know of it, or have run out.
struct Noted {
    head: i64,
    at: Instant,
}

/// Tells the store that this view begins, before anything is cached in it.
///
/// # Errors
/// `Unavailable`.
pub async fn announce(gateway: &Gateway, head: i64) -> Result<(), StoreError> {
    gateway.metadata.note_view(&gateway.view.id, head, gateway.view.lease, gateway.lease()).await
}

/// Polls until stopped.
pub async fn follow(gateway: Arc<Gateway>, mut head: i64, stop: CancellationToken) {
    let mut recent: VecDeque<(Instant, Change)> = VecDeque::new();
    let mut noted = Noted { head, at: Instant::now() };
    let mut interval = tokio::time::interval(gateway.settings.feed_interval);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while tokio::select! { _ = interval.tick() => true, () = stop.cancelled() => false } {
        let asked = gateway.view.started.elapsed();
        match poll(&gateway, &mut head, &mut recent, &mut noted).await {
            Ok(()) => gateway.view.seen(asked),
            Err(error) => tracing::warn!(%error, age = ?gateway.view.age(), "change feed cannot be read"),
        }
    }
}

async fn poll(
    gateway: &Gateway,
    head: &mut i64,
    recent: &mut VecDeque<(Instant, Change)>,
    noted: &mut Noted,
) -> Result<(), StoreError> {
    loop {
        let changes = gateway.metadata.changes_since(*head, BATCH).await?;
        let full = changes.len() >= BATCH as usize;
        let now = Instant::now();
        // Ids have no gaps: one that is missing was pruned while this process could not look.
        if changes.first().is_some_and(|(first, _)| *first != *head + 1) {
            tracing::warn!(seen = *head, "changes were missed, everything cached is dropped");
            forget_all(gateway).await?;
        }
        for (id, change) in changes {
            if change == Change::Backends {
                gateway.backends.replace(gateway.metadata.backends().await?).await;
            }
            recent.push_back((now, change));
            *head = id;
        }
        if !full {
            break;
        }
    }
    while recent.front().is_some_and(|(at, _)| at.elapsed() > APPLY_AGAIN_FOR) {
        recent.pop_front();
    }
    for (seen, change) in recent.iter() {
        forget(gateway, change, *seen);
    }
    // Only now: what is noted must be true of every write that is judged from here on.
    if noted.head != *head || noted.at.elapsed() > gateway.view.lease / 4 {
        let at = Instant::now();
        announce(gateway, *head).await?;
        *noted = Noted { head: *head, at };
    }
    Ok(())
}

async fn forget_all(gateway: &Gateway) -> Result<(), StoreError> {
    gateway.routes.forget_all();
    gateway.keys.forget_all();
    gateway.backends.replace(gateway.metadata.backends().await?).await;
    Ok(())
}

/// Drops what was looked up before the change was seen; what was looked up since knows of it and stays.
fn forget(gateway: &Gateway, change: &Change, seen: Instant) {
    match change {
        Change::Tenant(tenant) => gateway.routes.forget_tenant(tenant, seen),
        Change::AccessKey(id) => gateway.keys.forget(id, seen),
        Change::Bucket(tenant, name) => {
            if let Ok(bucket) = LogicalBucket::parse(name) {
                gateway.routes.forget(tenant, &bucket, seen);
            }
        }
        Change::Backends => {}
    }
}
