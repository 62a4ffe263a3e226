//! How placements change, as rows: replicas being drained, backends being retired, and what is owed to a bucket.
use crate::{BucketId, Millis, Route, TenantId};
use s3gateway_config::BackendId;
use s3gateway_s3::{LogicalBucket, PhysicalBucket, Versioning};
use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
        pub enum $name {
            $($(#[$word_doc])* #[serde(rename = $text)] $word,)*
        }
        impl $name {
            /// As it is stored and shown.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$word => $text,)* }
            }
            pub(crate) fn parse(text: &str) -> Result<Self, ()> {
                match text { $($text => Ok(Self::$word),)* _ => Err(()) }
            }
        }
    };
}
words! {
    /// Why a replica is drained.
    DrainReason {
        /// An operator has taken it out of the bucket's placement.
        Placement = "placement",
        /// Its backend is being retired.
        Retired = "retired",
        /// A residency policy forbids its place.
        Policy = "policy",
    }
}
words! {
    /// How far a drain is.
    DrainState {
        /// It may still hold copies.
        Draining = "draining",
        /// It was seen empty and everything that it held is elsewhere; its physical bucket is about to be dropped.
        Proven = "proven",
        /// Its physical bucket is gone.
        Gone = "gone",
        /// It was taken back into the placement.
        CalledOff = "called-off",
    }
}
words! {
    /// How a bucket stands on a backend.
    MappingState {
        /// In its placement.
        Active = "active",
        /// Gets no new copies.
        Draining = "draining",
        /// About to be dropped.
        Retiring = "retiring",
    }
}

/// A bucket on one backend, in whatever state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Where.
    pub backend: BackendId,
    /// Under which name.
    pub physical: PhysicalBucket,
    /// As what.
    pub state: MappingState,
}

/// A placement that was decided on, and what for.
#[derive(Clone, Debug)]
pub struct PlacementChange<'a> {
    /// What the decision was made on; where the bucket is another by now nothing is changed.
    pub seen: &'a Route,
    /// Backends, home first.
    pub placement: Vec<BackendId>,
    /// Copies, home included.
    pub replica_count: u32,
    /// What an operator has named, comma-separated; `None` leaves what was named before.
    pub locations: Option<String>,
    /// Why each replica goes that is not in the placement any more, and a remark for its report.
    pub drained: Vec<(BackendId, DrainReason, String)>,
}

/// A look through the list of a replica that is being drained.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainLook {
    /// When it began; 0 before it has.
    pub since: Millis,
    /// Whether everything had settled before it began, so that it proves something if it sees nothing.
    pub counts: bool,
    /// The last key that it has seen.
    pub after: String,
    /// Keys seen so far.
    pub seen: u64,
    /// Of these, keys of which the home knows nothing.
    pub strays: u64,
    /// One of them.
    pub stray: String,
    /// Stranded keys of the bucket of which something stands aside on the backend.
    #[serde(default)]
    pub aside: u64,
}

/// The report of a replica that was or is being drained.
#[derive(Clone, Debug)]
pub struct Drain {
    /// Its id (UUIDv7).
    pub id: String,
    /// Of which bucket.
    pub bucket: BucketId,
    /// Whose bucket, by the tenant's name.
    pub tenant: String,
    /// The client's name for the bucket.
    pub name: String,
    /// Where.
    pub backend: BackendId,
    /// Under which name.
    pub physical: PhysicalBucket,
    /// Why.
    pub reason: DrainReason,
    /// What was decided along with it, for people.
    pub remark: String,
    /// The bucket's replica count before.
    pub count_before: u32,
    /// How far it is.
    pub state: DrainState,
    /// When it was begun.
    pub begun_at: Millis,
    /// When it was seen empty.
    pub proven_at: Option<Millis>,
    /// When its physical bucket was gone, or it was called off.
    pub ended_at: Option<Millis>,
    /// From when on a worker may take it.
    pub free_from: Millis,
    /// The look that goes on.
    pub look: DrainLook,
    /// The last look that came to its end.
    pub found: Option<DrainLook>,
    /// Keys that the first look has seen.
    pub keys: Option<u64>,
}

/// A backend that no new placement may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retirement {
    /// Which.
    pub backend: BackendId,
    /// Since when.
    pub begun_at: Millis,
    /// Whether a bucket, or something of a stranded key, is still there; else it is retired and can be removed.
    pub is_used: bool,
}

/// How many buckets have a backend as what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BackendUse {
    /// As home.
    pub home: u64,
    /// As a replica in the placement.
    pub replica: u64,
    /// As a replica that is being drained.
    pub draining: u64,
    /// As something that is about to be dropped.
    pub retiring: u64,
    /// For what has lost of stranded keys and is kept aside.
    pub aside: u64,
}

/// A bucket that is on a backend already and is to become a tenant's.
#[derive(Clone, Debug)]
pub struct Adoption {
    /// Whose it will be.
    pub tenant: TenantId,
    /// The client's name for it.
    pub name: LogicalBucket,
    /// Where it is.
    pub backend: BackendId,
    /// Under which name.
    pub physical: PhysicalBucket,
    /// Whether it outlives the logical bucket.
    pub stays: bool,
    /// Whether it keeps versions.
    pub versioning: Versioning,
}

/// A bucket whose home must be left: forbidden by policy, or on a backend that is being retired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HomeToLeave {
    /// Which bucket.
    pub bucket: BucketId,
    /// Whose, by the tenant's name.
    pub tenant: String,
    /// The client's name for it.
    pub name: String,
    /// The home.
    pub home: BackendId,
}
