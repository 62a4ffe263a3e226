//! Whether a server that knows of no mark is to be believed. A Redis that was restarted, or replaced by its replica, may have
//! forgotten its last second; each process has a run id of its own, so an answer that comes with it tells which one spoke.
use super::RedisQueue;
use crate::queue::scripts::SCRIPTS;
use crate::{BucketId, Metadata, StoreError};
use ::redis::Value;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Beyond this many proofs all are asked for anew.
const PROOFS_KEPT: usize = 100_000;

/// Remembers who is to be believed about what: once proven, it stays so.
#[derive(Default)]
pub(super) struct Trust {
    metadata: Option<Metadata>,
    proven: Mutex<HashSet<(String, BucketId)>>,
}

impl Trust {
    pub(super) fn in_metadata(metadata: Metadata) -> Self {
        Self { metadata: Some(metadata), ..Self::default() }
    }

    pub(super) async fn proves(&self, run_id: String, bucket: &BucketId) -> Result<bool, StoreError> {
        let Some(metadata) = &self.metadata else { return Ok(true) };
        let proof = (run_id, bucket.clone());
        if self.proven.lock().unwrap_or_else(PoisonError::into_inner).contains(&proof) {
            return Ok(true);
        }
        if !metadata.queue_server_proves(&proof.0, bucket).await? {
            return Ok(false);
        }
        let mut proven = self.proven.lock().unwrap_or_else(PoisonError::into_inner);
        if proven.len() >= PROOFS_KEPT {
            proven.clear();
        }
        proven.insert(proof);
        Ok(true)
    }
}

impl RedisQueue {
    /// Whether one of a shard's hashes lacks the field, and the server that says so cannot have forgotten it.
    pub(super) async fn proves_absent(
        &self,
        keys: &[String],
        hash: usize,
        field: &[u8],
        bucket: &BucketId,
    ) -> Result<bool, StoreError> {
        let shared = &self.shared;
        let hash = keys.get(hash..=hash).unwrap_or_default();
        let (known, run_id): (bool, String) = shared.connection.run(&SCRIPTS.known, hash, &[field]).await?;
        Ok(!known && shared.trust.proves(run_id, bucket).await?)
    }

    /// The run ids of all servers that take marks.
    pub(super) async fn run_ids(&self) -> Result<Vec<String>, StoreError> {
        let answer: Value = self.shared.connection.send(::redis::cmd("INFO").arg("server")).await?;
        let mut found = Vec::new();
        collect_run_ids(&answer, &mut found);
        found.sort();
        found.dedup();
        Ok(found)
    }
}

/// A cluster answers with one text a node, in whichever shape the protocol has for them.
fn collect_run_ids(answer: &Value, found: &mut Vec<String>) {
    let mut read = |text: &str| {
        let ids = text.lines().filter_map(|line| line.trim().strip_prefix("run_id:"));
        found.extend(ids.map(str::to_owned));
    };
    match answer {
        Value::BulkString(bytes) => read(&String::from_utf8_lossy(bytes)),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => read(text),
        Value::Array(parts) | Value::Set(parts) => parts.iter().for_each(|part| collect_run_ids(part, found)),
        Value::Map(pairs) => pairs.iter().for_each(|(_, text)| collect_run_ids(text, found)),
        _ => {}
    }
}
