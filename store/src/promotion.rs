//! Promotions and the keys that they strand, as the rest of the project sees them.
use crate::{BucketId, Millis};
use s3gateway_config::BackendId;
use s3gateway_s3::{ObjectKey, PhysicalBucket, VersionId};
use serde::Serialize;

/// Who may change a bucket's objects at its home.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// Clients, and workers their copies.
    Taken,
    /// No client, while another backend becomes home; workers still make copies.
    Stopped,
    /// No client and no worker: another backend becomes home while this one is away.
    Fenced,
}

impl Writes {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Stopped => "stopped",
            Self::Fenced => "fenced",
        }
    }
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Taken, Self::Stopped, Self::Fenced].into_iter().find(|writes| writes.as_str() == text)
    }
}

/// How far a promotion has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PromotionState {
    /// The target is compared and brought up to date; writes go on.
    Preparing,
    /// Writes are stopped; every proxy is to know it, and the last ones to be converged or listed as stranded.
    Fencing,
    /// The target is home; writes are still stopped until every proxy knows it.
    Moved,
    /// Writes go to the new home.
    Done,
    /// The old home stayed.
    Failed,
}

impl PromotionState {
    /// As operators read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Fencing => "fencing",
            Self::Moved => "moved",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
    pub(crate) fn parse(text: &str) -> Option<Self> {
        use PromotionState::{Done, Failed, Fencing, Moved, Preparing};
        [Preparing, Fencing, Moved, Done, Failed].into_iter().find(|state| state.as_str() == text)
    }
    /// Whether nothing more happens.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed)
    }
}

/// A replica's way to becoming the home of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promotion {
    /// Primary key (UUIDv7).
    pub id: String,
    /// Which bucket.
    pub bucket: BucketId,
    /// The home that it leaves.
    pub source: BackendId,
    /// The home that it gets.
    pub target: BackendId,
    /// The epoch that it ends.
    pub epoch: i64,
    /// Without the old home's part in it.
    pub forced: bool,
    /// How far it has come.
    pub state: PromotionState,
    /// What it waits for, what it came to, or why it failed.
    pub detail: String,
    /// The change that every proxy must know before the next step.
    pub fence: i64,
    /// When it was asked for.
    pub begun_at: Millis,
    /// When writes were stopped last; 0 before.
    pub fenced_at: Millis,
    /// When it ended; 0 before.
    pub ended_at: Millis,
    /// A number that changes as long as a worker is at it; 0 where none is.
    pub turn: Millis,
}

/// A key whose last write may have stayed behind at a home that was replaced while it was away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranded {
    /// Primary key (UUIDv7); the key of what stands aside, too.
    pub id: String,
    /// Which bucket.
    pub bucket: BucketId,
    /// Which key.
    pub key: ObjectKey,
    /// The old home.
    pub home: BackendId,
    /// The epoch in which it was home.
    pub epoch: i64,
    /// What has come of it.
    pub state: StrandedState,
    /// What was set aside of it already, though it is not settled: whoever did so has not come to the end.
    pub begun: Option<Kept>,
    /// When it was listed, by the database's clock.
    pub stranded_at: Millis,
    /// Of a bucket that keeps versions: the newest that the new home had by then, by its own id; `None` where it had none.
    pub newest: Option<VersionId>,
    /// Whether a worker has begun to put what stayed behind below what was written since, or, of a bucket that keeps no versions, changes
    /// the key at its home; then no client writes the key.
    pub merging: Option<Merging>,
    /// Of a bucket that keeps no versions: the lease of the worker that has begun; empty where none has.
    pub lease: String,
}

/// A worker has begun to bring home a stranded key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merging {
    /// No client writes the key any more; of its versions the worker has written none.
    Begun,
    /// It may have written.
    Writing(MergeWriting),
}

/// What a worker goes by that goes on with a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeWriting {
    /// The versions of the former home, by the ids that clients know, the oldest first.
    pub former: Vec<VersionId>,
    /// Those that were written to the home since, likewise.
    pub since: Vec<VersionId>,
    /// Only what has come home of these is to stay: the former home is not waited for.
    pub is_given_up: bool,
}

impl Stranded {
    /// Whether a worker changes the key at its home, or has died over it, in a bucket that keeps no versions.
    #[must_use]
    pub fn is_changing(&self) -> bool {
        !self.lease.is_empty()
    }

    /// What stands aside of it.
    #[must_use]
    pub fn aside(&self) -> Option<&Kept> {
        match &self.state {
            StrandedState::Kept(kept) => Some(kept),
            StrandedState::Open | StrandedState::Overwritten => self.begun.as_ref(),
        }
    }
}

/// What has come of a stranded key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StrandedState {
    /// The old home is to be asked; until then nobody knows what the key holds.
    Open,
    /// A client has written or deleted the key since; the old home's is to be set aside.
    Overwritten,
    /// The two were compared, and what has lost stands aside.
    Kept(Kept),
}

/// Stranded keys, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StrandedCount {
    /// Wait to be compared.
    pub waiting: i64,
    /// Were compared; what has lost stands aside.
    pub kept: i64,
}

/// What stands aside of a stranded key, under the row's id as its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where.
    pub backend: BackendId,
    /// In which bucket there.
    pub physical: PhysicalBucket,
    /// Its ETag there, without quotes.
    pub etag: String,
    /// Bytes.
    pub size: i64,
}
