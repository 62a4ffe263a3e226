//! Which worker asks which shards. A hold is a Redis key of the shard that runs out; nothing but order and speed depends on it.
use super::tour::{Tour, decide_share};
use super::{RedisQueue, SHARDS_AT_ONCE, members::holder_key, millis};
use crate::StoreError;
use crate::queue::scripts::SCRIPTS;
use futures::{StreamExt, TryStreamExt, stream};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How often consumers are swept, and how long one must have been gone.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
const CONSUMER_GONE: Duration = Duration::from_secs(24 * 3600);

/// The tours of this process's workers, by name.
#[derive(Default)]
pub(super) struct Tours(Mutex<HashMap<String, Arc<Tour>>>);

/// When the consumers were last swept.
#[derive(Default)]
pub(super) struct Swept(Mutex<Option<Instant>>);

impl Swept {
    /// Whether it is time to, which it is not again for a while then.
    fn is_due(&self) -> bool {
        let mut swept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = swept.is_none_or(|at| at.elapsed() >= SWEEP_EVERY);
        if is_due {
            *swept = Some(Instant::now());
        }
        is_due
    }
}

impl Tours {
    /// A worker's tour; a new one, which asks all shards, for one that does not attend.
    pub(super) fn of(&self, consumer: &str) -> Arc<Tour> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(consumer).cloned().unwrap_or_default()
    }

    fn enter(&self, consumer: &str) -> Arc<Tour> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(consumer.to_owned()).or_default().clone()
    }

    fn forget(&self, consumer: &str) -> Option<Arc<Tour>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(consumer)
    }
}

impl RedisQueue {
    /// Keeps what the worker holds up to its share, gives the rest back, and takes free shards where it has too few.
    pub(super) async fn share_shards(&self, consumer: &str, hold: Duration) -> Result<usize, StoreError> {
        self.agree_on_shard_count().await?;
        let shared = &self.shared;
        if shared.swept.is_due() {
            self.sweep_consumers().await;
        }
        let tour = shared.tours.enter(consumer);
        let count = shared.shards.len();
        let hold = millis(hold);
        let share = decide_share(count, self.meet(consumer, &hold).await?);
        let held = tour.held();
        let (kept, surplus) = held.split_at(share.min(held.len()));
        self.hold_all(consumer, surplus, "0").await?;
        let mut now = self.hold_all(consumer, kept, &hold).await?;
        // Workers begin at different shards, so that they do not all ask for the same ones.
        let begin = consumer.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        let free: Vec<usize> =
            (0..count).map(|at| begin.wrapping_add(at) % count).filter(|shard| !held.contains(shard)).collect();
        let mut rest = free.as_slice();
        while now.len() < share && !rest.is_empty() {
            let (some, later) = rest.split_at((share - now.len()).min(rest.len()));
            now.extend(self.hold_all(consumer, some, &hold).await?);
            rest = later;
        }
        let holds = now.len();
        tour.hold(now);
        Ok(holds)
    }

    pub(super) async fn give_shards_back(&self, consumer: &str) -> Result<(), StoreError> {
        let held = self.shared.tours.forget(consumer).map(|tour| tour.held()).unwrap_or_default();
        self.meet(consumer, "0").await?;
        self.hold_all(consumer, &held, "0").await.map(drop)
    }

    async fn sweep_consumers(&self) {
        let gone = millis(CONSUMER_GONE);
        if let Err(error) = self.run_everywhere::<u64>(&SCRIPTS.sweep, &[gone.as_bytes()]).await {
            tracing::debug!(%error, "consumers not swept");
        }
    }

    async fn meet(&self, consumer: &str, hold: &str) -> Result<usize, StoreError> {
        let key = [format!("{}:workers", self.shared.prefix)];
        self.shared.connection.run(&SCRIPTS.meet, &key, &[consumer.as_bytes(), hold.as_bytes()]).await
    }

    /// Those of `shards` that the worker has now.
    async fn hold_all(&self, consumer: &str, shards: &[usize], hold: &str) -> Result<Vec<usize>, StoreError> {
        let ask = |shard: usize| async move {
            let key = [holder_key(&self.shared.prefix, shard)];
            let args = [consumer.as_bytes(), hold.as_bytes()];
            let holds: bool = self.shared.connection.run(&SCRIPTS.hold, &key, &args).await?;
            Ok::<_, StoreError>(holds.then_some(shard))
        };
        let asks: Vec<_> = shards.iter().map(|shard| ask(*shard)).collect();
        let answers: Vec<Option<usize>> = stream::iter(asks).buffered(SHARDS_AT_ONCE).try_collect().await?;
        Ok(answers.into_iter().flatten().collect())
    }
}
