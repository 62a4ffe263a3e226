//! The admin commands as they are typed.
mod buckets;

pub use buckets::{Bucket, Jobs, MigrateAction, Object, Stranded, Walk, WalkKind};

use clap::{Args, Subcommand, ValueEnum};
use s3gateway_config::Secret;
use std::path::PathBuf;

/// What an admin command is about.
#[derive(Debug, Subcommand)]
pub enum Noun {
    /// Customers: who stores, where by default, and where never
    #[command(subcommand)]
    Tenant(Tenant),
    /// Access keys; a secret is shown once, when it is created
    #[command(subcommand)]
    Key(Key),
    /// S3-compatible stores
    #[command(subcommand)]
    Backend(Backend),
    /// Logical buckets and the physical ones behind them
    #[command(subcommand)]
    Bucket(Bucket),
    /// What a bucket's name maps to, or would map to
    Names {
        /// Whose bucket
        tenant: String,
        /// The client's name for it
        bucket: String,
        /// Locations, home first, for a bucket that does not exist; the tenant's default otherwise
        #[arg(long, value_name = "LOCATIONS")]
        placement: Option<String>,
    },
    /// Which places a tenant's or bucket's policy allows, and why not
    Explain {
        /// Whose policy
        tenant: String,
        /// The bucket whose own policy tightens it
        bucket: Option<String>,
    },
    /// Where an object is
    #[command(subcommand)]
    Object(Object),
    /// Replicas that are or were drained: why, how far, and when the last copy there was proven gone
    Drains {
        /// Only of this tenant's …
        #[arg(long, requires = "bucket")]
        tenant: Option<String>,
        /// … bucket
        #[arg(long, requires = "tenant")]
        bucket: Option<String>,
        /// Only on this backend
        #[arg(long)]
        backend: Option<String>,
        /// Only those after this place: the next page
        #[arg(long, value_name = "NEXT")]
        after: Option<String>,
        /// At most so many, the newest first
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Keys whose last write may have stayed behind at a home that was replaced while it was away
    #[command(subcommand)]
    Stranded(Stranded),
    /// Replication: what is waiting, what was done, what failed for good
    #[command(subcommand)]
    Jobs(Jobs),
    /// Walks over all keys of a bucket, which mark what is not as it should be
    #[command(subcommand)]
    Walk(Walk),
}

/// `admin tenant …`
#[derive(Debug, Subcommand)]
pub enum Tenant {
    /// Add a tenant
    Create {
        /// 1 to 63 of a-z, 0-9 and '-'
        name: String,
        #[command(flatten)]
        policy: PolicyOptions,
        /// Locations for buckets created without one, home first, comma-separated
        #[arg(long, value_name = "LOCATIONS", value_delimiter = ',')]
        placement: Vec<String>,
        /// Copies of each object in new buckets, home included
        #[arg(long, value_name = "N", default_value_t = 1)]
        replica_count: u32,
    },
    /// All tenants
    List,
    /// One tenant
    Show {
        /// Its name
        name: String,
    },
    /// Show the residency policy, or replace it whole by what is given: what is not given again is no longer in it
    Policy {
        /// Its name
        name: String,
        #[command(flatten)]
        change: PolicyChange,
    },
    /// Replace the defaults for new buckets
    Defaults {
        /// Its name
        name: String,
        /// Locations, home first, comma-separated
        #[arg(long, value_name = "LOCATIONS", value_delimiter = ',', required = true)]
        placement: Vec<String>,
        /// Copies of each object, home included
        #[arg(long, value_name = "N")]
        replica_count: u32,
    },
    /// Take URLs that are presigned with signature version 2, as boto3 makes them for us-east-1, or refuse them again
    SignatureV2 {
        /// Its name
        name: String,
        /// Whether they are taken
        #[arg(value_enum)]
        accepted: Switch,
    },
    /// Remove a tenant that has no buckets
    Delete {
        /// Its name
        name: String,
    },
}

/// A setting that is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It holds.
    On,
    /// It does not.
    Off,
}

/// What is to become of a policy; nothing where nothing is given.
#[derive(Debug, Args)]
pub struct PolicyChange {
    #[command(flatten)]
    pub policy: PolicyOptions,
    /// Drop the policy: every place is allowed from now on
    #[arg(long)]
    pub allow_all: bool,
}

/// A residency policy on the command line; lists are comma-separated.
#[derive(Debug, Default, PartialEq, Eq, Args)]
pub struct PolicyOptions {
    /// A JSON file with the whole policy, instead of the options below
    #[arg(long, value_name = "FILE", conflicts_with_all = ["allow_jurisdictions", "allow_countries", "allow_providers", "allow_certifications", "deny_jurisdictions", "deny_countries", "deny_providers", "deny_certifications", "no_transit_outside"])]
    pub policy_file: Option<PathBuf>,
    /// Only these, such as EU
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = trimmed)]
    pub allow_jurisdictions: Vec<String>,
    /// Only these, such as FI,DE
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = trimmed)]
    pub allow_countries: Vec<String>,
    /// Only these
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = trimmed)]
    pub allow_providers: Vec<String>,
    /// Only places that hold all of these
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = trimmed)]
    pub allow_certifications: Vec<String>,
    /// None of these
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = trimmed)]
    pub deny_jurisdictions: Vec<String>,
    /// None of these
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = trimmed)]
    pub deny_countries: Vec<String>,
    /// None of these
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = trimmed)]
    pub deny_providers: Vec<String>,
    /// No place that holds any of these
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = trimmed)]
    pub deny_certifications: Vec<String>,
    /// Bytes may not even pass through a gateway outside
    #[arg(long)]
    pub no_transit_outside: bool,
}

/// What stands between two commas.
fn trimmed(text: &str) -> Result<String, std::convert::Infallible> {
    Ok(text.trim().to_owned())
}

/// `admin key …`
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Make a key; its secret is shown now and never again
    Create {
        /// Whose key
        tenant: String,
    },
    /// Keys of all tenants or one
    List {
        /// Only of this tenant
        tenant: Option<String>,
    },
    /// Refuse a key from now on
    Disable {
        /// The access key
        access_key: String,
    },
    /// Accept it again
    Enable {
        /// The access key
        access_key: String,
    },
    /// Remove it
    Delete {
        /// The access key
        access_key: String,
    },
}

/// `admin backend …`
#[derive(Debug, Subcommand)]
pub enum Backend {
    /// Measure a backend and add it; its secret key is read from S3GATEWAY_BACKEND_SECRET_KEY or --secret-key-file
    Add(Box<NewBackend>),
    /// All backends, in the order in which placements expand to them
    List,
    /// One backend with its capabilities
    Show {
        /// Its id
        id: String,
    },
    /// Remove a backend that holds no bucket
    Remove {
        /// Its id
        id: String,
    },
    /// Use it for no new bucket, and drain the replicas that are there
    Retire {
        /// Its id
        id: String,
    },
    /// Use it again; replicas that are still there come back into their placements
    Unretire {
        /// Its id
        id: String,
    },
    /// Take an embedded backend off the air (`dev` only)
    Stop {
        /// Its id
        id: String,
    },
    /// Put an embedded backend on the air again (`dev` only)
    Start {
        /// Its id
        id: String,
    },
    /// Measure what a backend really does, in a scratch bucket of its own
    Probe {
        /// Its id
        id: String,
        /// Use it by what was measured from now on
        #[arg(long)]
        apply: bool,
        /// Only show what was measured last
        #[arg(long, conflicts_with = "apply")]
        last: bool,
    },
}

/// A backend on the command line.
#[derive(Debug, Args)]
pub struct NewBackend {
    /// 1 to 32 of a-z, 0-9 and '-'
    pub id: String,
    /// http(s)://HOST[:PORT]
    #[arg(long, value_name = "URL")]
    pub url: String,
    /// Where it is, smallest part, such as fi-hel-uc-1
    #[arg(long)]
    pub zone: String,
    /// Such as fi-hel
    #[arg(long)]
    pub region: String,
    /// ISO 3166-1 alpha-2, such as FI
    #[arg(long)]
    pub country: String,
    /// Such as EU
    #[arg(long)]
    pub jurisdiction: String,
    /// Who runs it
    #[arg(long)]
    pub provider: String,
    /// Such as iso27001,c5
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = trimmed)]
    pub certifications: Vec<String>,
    /// Region that its requests are signed for
    #[arg(long, default_value = "us-east-1")]
    pub signing_region: String,
    /// Its access key
    #[arg(long)]
    pub access_key: String,
    /// File that holds its secret key
    #[arg(long, value_name = "FILE")]
    pub secret_key_file: Option<PathBuf>,
    /// Its secret key, from the environment only: arguments can be seen by other users
    #[arg(env = "S3GATEWAY_BACKEND_SECRET_KEY", hide = true, hide_env_values = true, long, value_parser = super::secret)]
    pub secret_key: Option<Secret<String>>,
    /// JSON file with the capabilities that differ from S3's, in the place of measuring them: {} is S3 itself
    #[arg(long, value_name = "FILE")]
    pub capabilities_file: Option<PathBuf>,
    /// Replace a backend that exists: credentials, endpoint, capabilities
    #[arg(long)]
    pub replace: bool,
}
