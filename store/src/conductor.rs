//! In a simulation: who says when each operation on a store happens, and what time it is then. Nobody does in production,
//! where operations happen when they are asked for and every clock is the machine's.
use crate::{Millis, StoreError};
use async_trait::async_trait;
use std::fmt::Debug;

/// What the clocks show to one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// The database's and Redis's, which all processes share.
    pub database: Millis,
    /// The process's own.
    pub process: Millis,
}

/// Conducts the operations of one process on a store, the database or Redis.
#[async_trait]
pub trait Conductor: Debug + Send + Sync {
    /// Waits for this operation's turn, which lasts until what it answers is dropped.
    ///
    /// # Errors
    /// What becomes of an operation that is not to happen.
    async fn turn(&self) -> Result<Box<dyn Send>, StoreError>;
    /// The time now.
    fn clocks(&self) -> Clocks;
    /// Which process of the Redis server answers now.
    fn run_id(&self) -> String {
        String::new()
    }
}

tokio::task_local! {
    /// What the clocks show within an operation that is conducted.
    static CLOCKS: Clocks;
}

/// Runs one operation when `conductor` says so: in one step, so that nothing depends on how fast the store is.
pub(crate) async fn conduct<T>(
    conductor: &dyn Conductor,
    operation: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let _turn = conductor.turn().await?;
    let operation = CLOCKS.scope(conductor.clocks(), operation);
    futures::executor::block_on(tokio::task::unconstrained(operation))
}

/// What the clocks show, where this operation is conducted.
pub(crate) fn conducted() -> Option<Clocks> {
    CLOCKS.try_with(|clocks| *clocks).ok()
}
