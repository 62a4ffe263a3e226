//! What outlives a process: metadata (PostgreSQL or SQLite), the queue of dirty keys (Redis Streams or SQL) and secrets.
//! Hides which of them serves behind one contract each. Decides nothing about requests and never talks to a backend.
mod conductor;
mod error;
pub mod metadata;
mod migration;
mod model;
pub mod names;
mod page;
mod placement;
mod promotion;
pub mod queue;
pub mod secrets;
mod sql;
mod tls;
mod walk;

pub use conductor::{Clocks, Conductor};
pub use error::StoreError;
pub use metadata::{Metadata, Schema, Sweep};
pub use migration::*;
pub use model::*;
pub use page::{Cursor, Page};
pub use placement::*;
pub use promotion::*;
pub use queue::{DirtyKey, Queue};
pub use secrets::{KeyProvider, LocalKey, Sealer};
pub use walk::*;
