//! The commands about buckets: the buckets themselves, their objects, and what keeps these at their places.
use super::PolicyChange;
use clap::{Subcommand, ValueEnum};
use std::path::PathBuf;

/// `admin bucket …`
#[derive(Debug, Subcommand)]
pub enum Bucket {
    /// A tenant's buckets
    List {
        /// Whose
        tenant: String,
        /// Only names that begin so
        #[arg(long, default_value = "")]
        prefix: String,
        /// Only names after this one: the next page
        #[arg(long)]
        after: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// One bucket with its mapping
    Show {
        /// Whose
        tenant: String,
        /// The client's name for it
        bucket: String,
    },
    /// Set how many copies of each object must exist, home included
    ReplicaCount {
        /// Whose
        tenant: String,
        /// The client's name for it
        bucket: String,
        /// At most the backends of its placement
        count: u32,
    },
    /// Set how many places must hold a write before it is acknowledged, home included; 1: the home alone
    WriteQuorum {
        /// Whose
        tenant: String,
        /// The client's name for it
        bucket: String,
        /// At most the bucket's replica count
        quorum: u32,
    },
    /// Change where copies may be: new places are filled, those left out are drained
    Placement {
        /// Whose
        tenant: String,
        /// The client's name for it
        bucket: String,
        /// Locations, home first, comma-separated
        #[arg(value_name = "LOCATIONS", value_delimiter = ',', required = true)]
        locations: Vec<String>,
    },
    /// Serve a bucket that is on a backend already, as it is
    Adopt {
        /// Whose it becomes
        tenant: String,
        /// The client's name for it
        bucket: String,
        /// Where it is
        #[arg(long, value_name = "ID")]
        backend: String,
        /// Its name there
        #[arg(long, value_name = "NAME")]
        physical: String,
        /// Locations for replicas, its own first, comma-separated; filled in the background
        #[arg(long, value_name = "LOCATIONS", value_delimiter = ',')]
        placement: Vec<String>,
        /// Drop it when the bucket is deleted; it stays otherwise
        #[arg(long)]
        drop: bool,
    },
    /// Take an adopted bucket out of service, and leave it where it is with what is in it
    Release {
        /// Whose
        tenant: String,
        /// The client's name for it
        bucket: String,
    },
    /// Buckets of all tenants whose home policy forbids or is being retired: promote another replica of each first
    ToPromote {
        /// Begin to promote the first replica of each that may be home; planned, so that nothing is lost
        #[arg(long)]
        begin: bool,
        /// The next page
        #[arg(long)]
        after: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Show the bucket's own policy, which can only tighten the tenant's, or replace it whole by what is given
    Policy {
        /// Whose
        tenant: String,
        /// The client's name for it
        bucket: String,
        #[command(flatten)]
        change: PolicyChange,
    },
    /// Make a replica the bucket's home; writes stop for a moment, nothing is lost
    Promote {
        /// Whose
        tenant: String,
        /// The client's name for it
        bucket: String,
        /// A backend of its placement
        #[arg(long, value_name = "BACKEND")]
        to: String,
        /// Without the home, which is away: keys whose last write it may hold alone are stranded until it is back
        #[arg(long)]
        force: bool,
    },
    /// Promote a replica by itself once the home has been away for so long; without a time never
    PromoteAfter {
        /// Whose
        tenant: String,
        /// The client's name for it
        bucket: String,
        /// How long
        #[arg(long, value_name = "SECONDS")]
        seconds: Option<u64>,
    },
    /// Move the bucket's home to a bucket of the gateway's own while clients go on: on the same backend, or on another
    Migrate {
        /// Whose
        tenant: String,
        /// The client's name for it
        bucket: String,
        /// Begin one, show the last ones, or call the one that runs off
        #[arg(value_enum, default_value = "start")]
        action: MigrateAction,
        /// Another backend than its home's
        #[arg(long, value_name = "BACKEND")]
        to: Option<String>,
        /// Delete what was verified from the old home, and the old home once it is empty; it is kept otherwise
        #[arg(long)]
        drop_old: bool,
        /// Read the bytes to verify the new home, rather than compare what the two list
        #[arg(long)]
        deep: bool,
    },
    /// The bucket's promotions, the newest first
    Promotions {
        /// Whose
        tenant: String,
        /// The client's name for it
        bucket: String,
    },
}

/// What is to become of a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MigrateAction {
    /// Begin one
    Start,
    /// Show the last ones, the newest first
    Status,
    /// Call it off: before the home has moved all becomes as it was, after that the old one is kept
    Cancel,
}

/// `admin stranded …`
#[derive(Debug, Subcommand)]
pub enum Stranded {
    /// A bucket's, by time: not compared yet, or with something that stands aside
    List {
        /// Whose
        tenant: String,
        /// The client's name for the bucket
        bucket: String,
        /// Only those after this id: the next page
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// One of them
    Show {
        /// Its id
        id: String,
    },
    /// Save what stands aside
    Download {
        /// Its id
        id: String,
        /// The file to make
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Give up what stands aside, or the write that stayed behind: its home's copy is overwritten when it is back
    Drop {
        /// Its id
        id: String,
    },
}

/// `admin object …`
#[derive(Debug, Subcommand)]
pub enum Object {
    /// Where its copies are, since when, and how that was verified
    Copies {
        /// Whose
        tenant: String,
        /// The client's name for the bucket
        bucket: String,
        /// The key, as it is
        key: String,
    },
}

/// `admin jobs …`
#[derive(Debug, Subcommand)]
pub enum Jobs {
    /// How many keys are dirty, and since when the oldest
    Depth,
    /// What was done lately, newest first
    List {
        /// Only of this tenant's …
        #[arg(long, requires = "bucket")]
        tenant: Option<String>,
        /// … bucket
        #[arg(long, requires = "tenant")]
        bucket: Option<String>,
        /// Only those after this place: the next page
        #[arg(long, value_name = "NEXT")]
        after: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Keys that were given up, with the reason
    Dead {
        /// Only those after this place: the next page
        #[arg(long, value_name = "NEXT")]
        after: Option<String>,
        /// At most so many, the oldest first
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Try dead letters again: one, or all
    Redrive {
        /// All of them
        #[arg(long, conflicts_with_all = ["tenant", "bucket", "key"], required_unless_present = "key")]
        all: bool,
        /// Whose
        #[arg(requires = "bucket")]
        tenant: Option<String>,
        /// The client's name for the bucket
        #[arg(requires = "key")]
        bucket: Option<String>,
        /// The key
        key: Option<String>,
    },
}

/// `admin walk …`
#[derive(Debug, Subcommand)]
pub enum Walk {
    /// Begin one, or share the one of that kind that has not begun
    Start {
        /// Whose
        tenant: String,
        /// The client's name for it
        bucket: String,
        /// What for
        #[arg(long, value_enum)]
        kind: WalkKind,
        /// Keys a second; 0 for no bound, of a backfill for the workers' `backfill_rate`
        #[arg(long, default_value_t = 0)]
        rate: u32,
    },
    /// Walks, newest first
    List {
        /// Only of this tenant's …
        #[arg(long, requires = "bucket")]
        tenant: Option<String>,
        /// … bucket
        #[arg(long, requires = "tenant")]
        bucket: Option<String>,
        /// Only those after this place: the next page
        #[arg(long, value_name = "NEXT")]
        after: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// How far one has come, and what it has found
    Show {
        /// Its id
        id: String,
    },
    /// End one; what it has marked stays marked
    Cancel {
        /// Its id
        id: String,
    },
    /// Let one go on that would delete more than the guard allows, or whose home lists nothing
    Approve {
        /// Its id
        id: String,
    },
    /// Slow or hasten one, whether it has begun or not
    Rate {
        /// Its id
        id: String,
        /// Keys a second; 0 for no bound
        rate: u32,
    },
}

/// What a walk is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WalkKind {
    /// Mark every key of the home
    Backfill,
    /// Compare the listings of home and replicas
    Reconcile,
    /// Also read what replicas hold
    Deep,
}
