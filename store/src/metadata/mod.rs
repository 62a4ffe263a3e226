//! The control plane's rows in PostgreSQL or SQLite, behind one contract that both keep.
//! Invariants: every mutation of the control plane appends its change in its own transaction, under one lock, so that
//! the ids of changes follow the order of commits without gaps; secrets are sealed before they reach a row.
mod adopt;
mod backends;
mod bucket_migrations;
mod buckets;
mod checksums;
pub(crate) mod db;
mod drains;
mod feed;
mod master_key;
mod migrations;
mod objects;
mod placement;
mod promotion_keys;
mod promotions;
mod queue_servers;
mod quorum;
mod retirements;
mod reviews;
mod routes;
mod stranded;
mod sweeps;
mod tenants;
#[cfg(test)]
mod tests;
mod unlisted;
mod upload_places;
mod versions;
mod walk_copies;
mod walk_steps;
mod walks;

use crate::conductor::Conductor;
use crate::queue::SqlQueue;
use crate::secrets::KeyProvider;
use crate::{Millis, StoreError};
use db::Db;
pub use migrations::Schema;
use std::sync::Arc;
pub use sweeps::Sweep;

/// The metadata store. Cheap to clone; clones share one pool.
///
/// Every method may fail with [`StoreError::Unavailable`] where the database cannot be asked within a few seconds, and
/// with [`StoreError::Corrupt`] where a row does not read. Cancel: a dropped future leaves its mutation undone, or done
/// if it had come to the commit; every mutation is safe to repeat.
#[derive(Clone, Debug)]
pub struct Metadata {
    db: Db,
    secrets: Arc<dyn KeyProvider>,
}

impl Metadata {
    /// Opens the store at `postgresql://…` or `sqlite:PATH` (created where missing) and checks that it answers.
    ///
    /// # Errors
    /// `Invalid` for a URL that names neither database, `Unavailable` where it does not answer.
    pub async fn connect(url: &str, max_connections: u32, secrets: Arc<dyn KeyProvider>) -> Result<Self, StoreError> {
        Ok(Self { db: Db::connect(url, max_connections).await?, secrets })
    }

    /// Brings the schema up to date; several processes may do so at once.
    ///
    /// # Errors
    /// `Invalid` where the schema is newer than this binary or a shipped migration was edited.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        migrations::migrate(&self.db).await
    }

    /// How the migrations that have been applied stand to those that this binary knows.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn schema(&self) -> Result<Schema, StoreError> {
        migrations::schema(&self.db).await
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.db.ping().await
    }

    /// The same store for a process of a simulation, whose `conductor` says when each operation happens.
    pub fn conducted(&self, conductor: Arc<dyn Conductor>) -> Self {
        Self { db: self.db.conducted(conductor), secrets: self.secrets.clone() }
    }

    /// Whether every connection is free; one that an operation has used is so a little after it.
    pub fn is_at_rest(&self) -> bool {
        self.db.is_at_rest()
    }

    /// The clock of this process, by which it stamps rows.
    pub fn now(&self) -> Millis {
        self.db.now()
    }

    /// The queue of dirty keys in this database.
    pub fn sql_queue(&self) -> SqlQueue {
        SqlQueue::new(self.db.clone())
    }
}
