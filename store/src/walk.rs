//! Walks over the keys of a bucket, as the store keeps them and as everybody else sees them.
use crate::{BucketId, Millis};
use s3gateway_s3::ObjectKey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name {
            $($(#[$each])* $variant,)*
        }
        impl $name {
            /// As it is stored and shown.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
            /// The one of that name.
            pub fn parse(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

words! {
    /// What a walk is for.
    WalkKind {
        /// Marks every key of the home.
        Backfill = "backfill",
        /// Compares the listings of the home and of every replica, and marks what differs.
        Reconcile = "reconcile",
        /// Also reads what replicas hold, and compares it with the home's bytes.
        Deep = "deep",
    }
}

words! {
    /// How far a walk has come.
    WalkState {
        /// It has not begun, or something that it needs is away; it goes on by itself.
        Waiting = "waiting",
        /// Workers are at it.
        Running = "running",
        /// It would mark more keys as deleted than it may, and waits for an operator.
        Guarded = "guarded",
        /// It has come to the end.
        Done = "done",
        /// An operator has ended it.
        Cancelled = "cancelled",
        /// It cannot be done: the bucket is gone.
        Failed = "failed",
    }
}

words! {
    /// What a walk may find of a key.
    FindingKind {
        /// The home has it, metadata knows nothing of it or of what it is now: written behind the gateway's back.
        Adopted = "adopted",
        /// A replica lacks it.
        Missing = "missing",
        /// A replica holds something else.
        Different = "different",
        /// A replica's bytes are not the home's, though its listing says so.
        Corrupt = "corrupt",
        /// A place holds a copy beyond the replica count.
        Extra = "extra",
        /// A place that the policy denies holds a copy.
        Misplaced = "misplaced",
        /// The home has it no more, and metadata knows of copies.
        Deleted = "deleted",
        /// A replica alone has it, and metadata knows of no copy there: reported only.
        Foreign = "foreign",
    }
}

/// A walk to be begun.
#[derive(Clone, Debug)]
pub struct NewWalk {
    /// Over which bucket.
    pub bucket: BucketId,
    /// What for.
    pub kind: WalkKind,
    /// Keys a second, 0 for no bound.
    pub rate: u32,
    /// Why, one line, for operators.
    pub reason: String,
}

/// A walk and how far it has come.
#[derive(Clone, Debug)]
pub struct Walk {
    /// Its id (UUIDv7).
    pub id: WalkId,
    /// Over which bucket.
    pub bucket: BucketId,
    /// What for.
    pub kind: WalkKind,
    /// Why it was begun.
    pub reason: String,
    /// Keys a second, 0 for no bound.
    pub rate: u32,
    /// Where it stands.
    pub state: WalkState,
    /// Why it waits, is guarded or has failed; else empty.
    pub note: String,
    /// Whether an operator has agreed to what the guard would stop.
    pub approved: bool,
    /// Keys that metadata knew when it began.
    pub total: u64,
    /// Epoch of the home that it reads.
    pub epoch: i64,
    /// Failures in a row.
    pub attempts: u32,
    /// From when on it may go on, while it waits.
    pub due_at: Millis,
    /// Keys looked at.
    pub done: u64,
    /// Keys marked.
    pub marked: u64,
    /// Of these, such as the home has no more.
    pub deletes: u64,
    /// When it was asked for.
    pub created_at: Millis,
    /// When it began; 0 until then.
    pub begun_at: Millis,
    /// When it ended; 0 until then.
    pub finished_at: Millis,
}

/// Something that a walk found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkFinding {
    /// What.
    pub kind: FindingKind,
    /// Of which key.
    pub key: ObjectKey,
    /// Where.
    pub backend: String,
    /// More of it, one line; may be empty.
    pub detail: String,
    /// When.
    pub found_at: Millis,
}

/// How often a walk found what.
pub type WalkCounts = BTreeMap<FindingKind, u64>;

/// A part of a walk's keys, which one worker walks at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkShard {
    /// Of which walk.
    pub walk: WalkId,
    /// Which of its parts.
    pub position: i64,
    /// The walk's bucket.
    pub bucket: BucketId,
    /// The walk's kind.
    pub kind: WalkKind,
    /// Epoch of the home that the walk reads.
    pub epoch: i64,
    /// Whether an operator has agreed to what the guard would stop.
    pub approved: bool,
    /// The walk's keys a second, 0 for no bound.
    pub rate: u32,
    /// The last key that belongs to it; empty: it goes to the end.
    pub up_to: String,
    /// All up to this key are done; empty: none.
    pub walked_to: String,
    /// Keys that were marked of it.
    pub marked: u64,
    /// Until when a worker has it.
    pub claimed_until: Millis,
    /// Names that worker's hold on it; 0: not ours.
    pub claim: i64,
}

/// What [`crate::Metadata::admit_step`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Mark, not before that time.
    Go {
        /// When.
        at: Millis,
        /// The walk's keys a second by now, 0 for no bound.
        rate: u32,
    },
    /// Stop: the walk is no longer running, another worker has the shard, or the guard has just stopped it.
    Stop,
}

/// What a step over some keys has come to.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// All keys up to this one are done.
    pub walked_to: String,
    /// Whether the shard is at its end.
    pub is_last: bool,
    /// Keys looked at.
    pub done: u64,
    /// Keys marked.
    pub marked: u64,
    /// What was found.
    pub findings: Vec<WalkFinding>,
}

/// The share of a bucket's keys, and the count, that a walk may mark as deleted before an operator is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteGuard {
    /// In percent of the keys that metadata knew when the walk began.
    pub percent: u32,
    /// So many at least.
    pub at_least: u64,
}

impl DeleteGuard {
    /// How many keys of `total` may be marked as deleted.
    pub fn allowed(self, total: u64) -> u64 {
        (total.saturating_mul(u64::from(self.percent)) / 100).max(self.at_least)
    }
}

impl Default for DeleteGuard {
    fn default() -> Self {
        Self { percent: 10, at_least: 100 }
    }
}

impl WalkState {
    /// Whether it has ended.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled | Self::Failed)
    }
}

impl Walk {
    /// Keys a second since it began.
    #[allow(clippy::cast_precision_loss)] // a figure for people
    pub fn speed(&self, now: Millis) -> f64 {
        let until = if self.finished_at > 0 { self.finished_at } else { now };
        let took = if self.begun_at > 0 { until - self.begun_at } else { 0 };
        if took > 0 { self.done as f64 * 1000.0 / took as f64 } else { 0.0 }
    }

    /// Milliseconds until it is done, at its speed so far; `None` where that cannot be told.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)] // a figure for people
    pub fn left(&self, now: Millis) -> Option<Millis> {
        let speed = self.speed(now);
        let keys = self.total.checked_sub(self.done)?;
        (self.state == WalkState::Running && speed > 0.0).then(|| (keys as f64 * 1000.0 / speed) as Millis)
    }
}

/// A walk's id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct WalkId(String);

impl WalkId {
    /// Takes an id that the store or an operator gave.
    pub fn new(id: &str) -> Self {
        Self(id.to_owned())
    }
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_keys_may_go_and_some_at_least() {
        let guard = DeleteGuard::default();
        for (total, allowed) in [(0, 100), (999, 100), (1000, 100), (1010, 101), (u64::MAX, u64::MAX / 100)] {
            assert_eq!(guard.allowed(total), allowed, "{total}");
        }
        assert_eq!(DeleteGuard { percent: 100, at_least: 0 }.allowed(7), 7);
    }
}
