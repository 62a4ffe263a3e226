//! Migrations of a bucket to another physical bucket, as the rest of the project sees them.
use crate::{BucketId, Millis, Route, WalkId};
use s3gateway_config::BackendId;
use s3gateway_s3::PhysicalBucket;
use serde::{Deserialize, Serialize};

/// How far a migration has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MigrationState {
    /// The new home gets every key; the old one serves.
    Filling,
    /// A promotion cuts over.
    Moving,
    /// The new home serves; the old one, in which nothing is written any more, is compared with it.
    Verifying,
    /// What was verified is deleted from the old home.
    Dropping,
    /// It was called off before the cut over; what was made for it is taken away.
    Cancelling,
    /// The home has moved.
    Done,
    /// The home has stayed, and nothing is left of it elsewhere.
    Cancelled,
}

impl MigrationState {
    const ALL: [Self; 7] =
        [Self::Filling, Self::Moving, Self::Verifying, Self::Dropping, Self::Cancelling, Self::Done, Self::Cancelled];

    /// As operators read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Filling => "filling",
            Self::Moving => "moving",
            Self::Verifying => "verifying",
            Self::Dropping => "dropping",
            Self::Cancelling => "cancelling",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
    /// Whether nothing more happens.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Cancelled)
    }
}

/// What has been seen of the old home since the cut over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldLook {
    /// The last key that was looked at.
    pub after: String,
    /// Objects looked at.
    pub objects: u64,
    /// Of these, such as the new home lacks or has otherwise, though nobody has changed them there since.
    pub differing: u64,
    /// One of them.
    pub example: String,
    /// Of these, such as are not as they were copied, or never were: written past the gateway.
    pub strays: u64,
    /// One of them.
    pub stray: String,
    /// Deleted from it.
    pub dropped: u64,
}

/// What an operator asks for.
#[derive(Clone, Debug)]
pub struct NewMigration<'a> {
    /// The bucket, as it was decided on.
    pub seen: &'a Route,
    /// The backend of the new home; that of the old one has its bucket moved to a hashed name.
    pub to: BackendId,
    /// Whether the old home is emptied of what was verified, and deleted.
    pub drop_old: bool,
    /// Whether bytes are read to verify it.
    pub is_deep: bool,
    /// Who asks.
    pub asked_by: String,
}

/// A bucket's way to another home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Primary key (UUIDv7).
    pub id: String,
    /// Which bucket.
    pub bucket: BucketId,
    /// The backend that it leaves.
    pub source: BackendId,
    /// Its name there.
    pub source_physical: PhysicalBucket,
    /// Where it goes: a backend, or the twin of `source` where only its physical bucket becomes another.
    pub target: BackendId,
    /// Its name there.
    pub target_physical: PhysicalBucket,
    /// The n of that name.
    pub target_n: u32,
    /// Under which id the old home's copies are recorded after the cut over.
    pub former: BackendId,
    /// Whether the old home is emptied of what was verified, and deleted.
    pub drop_old: bool,
    /// Whether bytes are read to verify it.
    pub is_deep: bool,
    /// Who asked for it.
    pub asked_by: String,
    /// How far it has come.
    pub state: MigrationState,
    /// What it waits for, or what it came to.
    pub detail: String,
    /// The walk that fills the new home, once it is begun.
    pub walk: Option<WalkId>,
    /// The last promotion that was to cut over.
    pub promotion: Option<String>,
    /// The epoch of the old home.
    pub epoch: i64,
    /// What has been seen of the old home since the cut over.
    pub look: OldLook,
    /// When it was asked for.
    pub begun_at: Millis,
    /// Since when it is in its state.
    pub since: Millis,
    /// When the home moved; 0 before.
    pub moved_at: Millis,
    /// When it ended; 0 before.
    pub ended_at: Millis,
    /// From when on a worker may take its turn at it.
    pub turn: Millis,
}
