//! The runtime of everything but the serving of S3, which Pingora does on its own threads.
use crate::failure::{During, Failure};
use tokio::runtime::{Builder, Runtime};

/// One worker thread a core.
///
/// # Errors
/// Where the system gives no threads.
pub fn start() -> Result<Runtime, Failure> {
    Builder::new_multi_thread().enable_all().build().during("starting the runtime")
}
