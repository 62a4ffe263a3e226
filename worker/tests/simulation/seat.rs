//! One process's place at the database: its operations wait for their turns, fail where the weather has it so, and see the clocks of
//! the schedule.
use super::stage::Stage;
use super::world::World;
use async_trait::async_trait;
use s3gateway_store::{Clocks, Conductor, StoreError};
use std::fmt;
use std::sync::Arc;

/// When schedules begin, by all clocks (milliseconds since the Unix epoch).
pub const EPOCH: i64 = 1_800_000_000_000;

pub struct Seat {
    pub world: Arc<World>,
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
        if !self.is_sheltered && stage.happens(self.world.weather().store_away) {
            return Err(away());
        }
        Ok(Box::new(turn))
    }

    fn clocks(&self) -> Clocks {
        self.world.clocks()
    }
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
