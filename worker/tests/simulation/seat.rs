//! One process's place at a store: its operations wait for their turns, fail where the weather has it so, and see the clocks of the
//! schedule.
use super::server::Redis;
use super::stage::Stage;
use super::world::World;
use async_trait::async_trait;
use s3gateway_store::queue::{RedisQueue, WithFallback};
use s3gateway_store::{Clocks, Conductor, Metadata, Queue, StoreError};
use std::fmt;
use std::sync::Arc;

/// When schedules begin, by all clocks (milliseconds since the Unix epoch).
pub const EPOCH: i64 = 1_800_000_000_000;
/// Of the queue in Redis.
const SHARDS: u32 = 2;

/// Who is asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum At {
    Database,
    Redis,
}

pub struct Seat {
    pub world: Arc<World>,
    pub at: At,
    /// Whether the weather is of no concern to it.
    pub is_sheltered: bool,
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seat")
    }
}

#[async_trait]
impl Conductor for Seat {
    async fn turn(&self) -> Result<Box<dyn Send>, StoreError> {
        let stage = &self.world.stage;
        let turn = stage.turn(stage.within(1..=4)).await;
        let is_gone = self.at == At::Redis && self.world.redis.as_ref().is_some_and(|redis| redis.is_away(stage));
        if is_gone || (!self.is_sheltered && stage.happens(self.world.weather().store_away)) {
            return Err(away());
        }
        Ok(Box::new(turn))
    }

    fn clocks(&self) -> Clocks {
        self.world.clocks()
    }

    fn run_id(&self) -> String {
        self.world.redis.as_ref().map(Redis::run_id).unwrap_or_default()
    }
}

/// The queue of one process: Redis with the database behind it, as in production, or the database alone. `metadata`: its own.
pub fn queue(world: &Arc<World>, metadata: &Metadata, is_sheltered: bool) -> Arc<dyn Queue> {
    let Some(redis) = &world.redis else { return Arc::new(metadata.sql_queue()) };
    let seat = Arc::new(Seat { world: world.clone(), at: At::Redis, is_sheltered });
    let primary = RedisQueue::conducted(&redis.databases.url, "s", SHARDS, metadata.clone(), seat).unwrap();
    Arc::new(WithFallback::new(primary, metadata.sql_queue()))
}

/// As where the database does not answer.
pub fn away() -> StoreError {
    StoreError::Unavailable("simulated".into())
}

/// What clocks show that have jumped by so much.
pub fn clocks(stage: &Stage, database: i64, process: i64) -> Clocks {
    let now = EPOCH + i64::try_from(stage.millis()).unwrap();
    Clocks { database: now + database, process: now + process }
}
