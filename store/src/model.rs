//! The rows of the control plane as the rest of the project sees them.
use crate::Writes;
use s3gateway_config::{BackendId, Capabilities, Place, ResidencyPolicy, Secret};
use s3gateway_s3::checksum::{Algorithm, Checksum};
use s3gateway_s3::{LogicalBucket, ObjectKey, PhysicalBucket, VersionId, Versioning};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(|id| Self(id.into()))
            }
        }
        impl $name {
            /// Takes an id that the store or the queue gave.
            pub fn new(id: &str) -> Self {
                Self(id.into())
            }
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}
id!(/// A tenant's id (UUIDv7); never shown to its clients except as S3's owner id.
    TenantId);
id!(/// A bucket's id (UUIDv7); a re-created bucket gets a new one. It ends with its tenant's number.
    BucketId);

/// Digits with which a bucket's id ends, of its tenant's number.
const TENANT_DIGITS: usize = 4;

impl BucketId {
    /// A new bucket's id. Its last two bytes are its tenant's, so that the queue, which knows no more of a key than its bucket's
    /// id, can have tenants take turns.
    pub(crate) fn generate(tenant: &TenantId) -> Self {
        let mut id = Uuid::now_v7().into_bytes();
        let [.., a, b] = &mut id;
        let [first, second, ..]: [u8; 32] = Sha256::digest(tenant.as_str()).into();
        (*a, *b) = (first, second);
        Self::new(&Uuid::from_bytes(id).to_string())
    }

    /// The number of the bucket's tenant. Few tenants share one, and a bucket that was made before ids ended with it has one of
    /// its own.
    pub(crate) fn tenant_number(&self) -> u16 {
        let digits = self.0.len().checked_sub(TENANT_DIGITS).and_then(|from| self.0.get(from..));
        digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()).unwrap_or(0)
    }
}

/// Milliseconds since the Unix epoch, as all times are stored.
pub type Millis = i64;

/// A customer.
#[derive(Clone, Debug, Serialize)]
pub struct Tenant {
    /// Primary key.
    pub id: TenantId,
    /// Unique, 1 to 63 of `a-z 0-9 -`.
    pub name: String,
    /// Where its data may be.
    pub policy: ResidencyPolicy,
    /// Locations for buckets created without a LocationConstraint, home first.
    pub default_placement: Vec<String>,
    /// Copies of each object, home included, for new buckets; capped by the bucket's placement.
    pub default_replica_count: u32,
    /// Whether URLs that are signed by version 2 are taken of its access keys.
    pub signature_v2: bool,
    /// When it was created.
    pub created_at: Millis,
}

/// An access key without its secret, for views.
#[derive(Clone, Debug, Serialize)]
pub struct AccessKeyInfo {
    /// What the client sends as access key id.
    pub id: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// A disabled key is refused as if unknown.
    pub enabled: bool,
    /// When it was created.
    pub created_at: Millis,
}

/// An access key with its secret, for the verifier.
#[derive(Clone, Debug)]
pub struct AccessKey {
    /// What the client sends as access key id.
    pub id: String,
    /// Whose it is.
    pub tenant: TenantId,
    /// The shared secret.
    pub secret: Arc<Secret<String>>,
    /// Whether its tenant takes URLs that are signed by version 2.
    pub signature_v2: bool,
}

/// A backend as operators add it.
#[derive(Clone, Debug)]
pub struct Backend {
    /// The operator's name for it.
    pub id: BackendId,
    /// Where it is.
    pub place: Place,
    /// `http://host:port` or `https://host[:port]`, no path.
    pub endpoint: String,
    /// The region that its requests are signed for.
    pub region: String,
    /// Its access key id.
    pub access_key: String,
    /// Its secret key.
    pub secret_key: Arc<Secret<String>>,
    /// What it does.
    pub capabilities: Capabilities,
    /// Order of creation; placements expand in this order.
    pub position: i64,
}

/// What a probe has found out about one capability of a backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The capability's name.
    pub capability: String,
    /// Whether the backend has it; `None` where that could not be told.
    pub measured: Option<bool>,
    /// What was asked and what came back, one line.
    pub evidence: String,
}

/// What was measured of a backend, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendProbe {
    /// When it was measured.
    pub probed_at: Millis,
    /// One for each capability.
    pub findings: Vec<Finding>,
}

/// Where a logical bucket lives: everything a request needs, as one cached snapshot.
#[derive(Clone, Debug)]
pub struct Route {
    /// Which bucket.
    pub bucket: BucketId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The client's name for it.
    pub name: LogicalBucket,
    /// The authority for objects and listing.
    pub home: BackendId,
    /// Fencing number of `home`.
    pub epoch: i64,
    /// All backends of the placement, home first.
    pub placement: Vec<BackendId>,
    /// Replicas that are no longer in the placement and still hold copies: they get no new ones.
    pub draining: Vec<BackendId>,
    /// Where a migration takes the home: it gets every key, and neither counts as a copy nor serves anything. A twin of the home
    /// where only the physical bucket is another.
    pub arriving: Option<BackendId>,
    /// The bucket's name on each backend of the placement, on those being drained, and where it is migrated to.
    pub physical: Vec<(BackendId, PhysicalBucket)>,
    /// Copies that must exist, home included; at most `placement.len()`.
    pub replica_count: u32,
    /// Places, home included, that must hold a write before it is acknowledged. More than `replica_count` only where a review
    /// had to take places away: then no write is.
    pub write_quorum: u32,
    /// The tenant's policy.
    pub tenant_policy: ResidencyPolicy,
    /// The bucket's own, which can only tighten.
    pub bucket_policy: ResidencyPolicy,
    /// The LocationConstraint as the client gave it, empty where it gave none.
    pub location: String,
    /// Whether it was adopted and not all of its keys have been walked over yet: what metadata does not know may exist.
    pub unwalked: bool,
    /// Whether its home keeps versions.
    pub versioning: Versioning,
    /// Whether clients may know a version by another id than its home's own, which another home gave it.
    pub has_moved_versions: bool,
    /// When it was created.
    pub created_at: Millis,
    /// Whether its home takes changes.
    pub writes: Writes,
    /// Whether keys are stranded at a former home and not compared yet.
    pub has_stranded: bool,
}

impl Route {
    /// The bucket's name on a backend of its placement, on one being drained, or on the one that it is migrated to.
    pub fn physical_on(&self, backend: &BackendId) -> Option<&PhysicalBucket> {
        self.physical.iter().find(|(id, _)| id == backend).map(|(_, name)| name)
    }
}

/// A bucket in ListBuckets.
#[derive(Clone, Debug)]
pub struct BucketListing {
    /// The client's name for it.
    pub name: LogicalBucket,
    /// When it was created.
    pub created_at: Millis,
    /// The LocationConstraint as given, empty where none was.
    pub location: String,
}

/// What [`crate::Metadata::begin_create_bucket`] records before the physical bucket is made.
#[derive(Clone, Debug)]
pub struct NewBucket {
    /// Whose it will be.
    pub tenant: TenantId,
    /// The client's name for it.
    pub name: LogicalBucket,
    /// Backends, home first.
    pub placement: Vec<BackendId>,
    /// Copies, home included.
    pub replica_count: u32,
    /// The LocationConstraint as given, empty where none was.
    pub location: String,
}

/// A deleted bucket whose replicas still have to be emptied and dropped.
#[derive(Clone, Debug)]
pub struct RetiringBucket {
    /// Which bucket.
    pub bucket: BucketId,
    /// Physical buckets not yet dropped.
    pub physical: Vec<(BackendId, PhysicalBucket)>,
    /// From when on a worker may take it: its deletion, or the end of another worker's claim.
    pub free_from: Millis,
}

/// The state of one object on one backend, as a worker last verified it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObjectCopy {
    /// Where.
    pub backend: BackendId,
    /// The backend's own ETag, without quotes.
    pub etag: String,
    /// The home's ETag at that time, without quotes; what clients see.
    pub home_etag: String,
    /// Bytes.
    pub size: i64,
    /// How it was verified: `etag`, `md5`, `size`.
    pub verified_how: String,
    /// When it was verified.
    pub verified_at: Millis,
}

/// What a listing needs to know of one object on one backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCopy {
    /// Which object.
    pub key: ObjectKey,
    /// Where.
    pub backend: BackendId,
    /// The home's ETag when it was verified, without quotes.
    pub home_etag: String,
    /// When it was verified; 0 for one that was only begun.
    pub verified_at: Millis,
}

/// A version or delete marker that a backend holds which it was not written to, as a worker last verified it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionCopy {
    /// Where.
    pub backend: BackendId,
    /// What clients know it by: the id that the home has given it which it was written to.
    pub home_version: VersionId,
    /// The backend's own id of it.
    pub version: VersionId,
    /// Its place among the key's versions on this backend; the current one has the greatest.
    pub position: i64,
    /// Whether it is a delete marker.
    pub is_marker: bool,
    /// The backend's own ETag, without quotes; empty for a delete marker.
    pub etag: String,
    /// The home's ETag, without quotes; empty for a delete marker.
    pub home_etag: String,
    /// Bytes.
    pub size: i64,
    /// When it was written, as the home says.
    pub home_modified: Millis,
    /// How it was verified: as an [`ObjectCopy`], or [`VersionCopy::GONE`], [`VersionCopy::REPLACED`].
    pub verified_how: String,
    /// When it was verified.
    pub verified_at: Millis,
}

impl VersionCopy {
    /// `verified_how` of a version that its home has had no more since `verified_at`: it is found by its ids alone, since clients may
    /// hold them.
    pub const GONE: &str = "gone";
    /// `verified_how` of a `null` version whose place another one has taken, and that its home may still have under an id of its own.
    pub const REPLACED: &str = "replaced";

    /// Whether the home has it no more, or it is to go.
    pub fn is_gone(&self) -> bool {
        self.verified_how == Self::GONE || self.is_replaced()
    }

    /// Whether it is to go from its home.
    pub fn is_replaced(&self) -> bool {
        self.verified_how == Self::REPLACED
    }
}

/// The checksum that the gateway keeps of an object. It counts only for the object with this ETag and size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectChecksum {
    /// The object's ETag as its home gives it, without quotes.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// What was verified.
    pub checksum: Checksum,
}

/// What a part of a multipart upload turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadedPart {
    /// 1 to 10,000.
    pub number: u32,
    /// Without quotes. What else stands here counts only for the part with this ETag.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// Its checksum by the upload's algorithm, in base64.
    pub value: String,
}

/// A part of a finished multipart object: number, bytes and checksum in base64, empty where there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinishedPart(pub u32, pub u64, pub String);

/// The parts that a multipart object was made of. They count only for the object with this ETag and size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedParts {
    /// The object's ETag as its home gives it, without quotes.
    pub etag: String,
    /// Bytes of the object.
    pub size: u64,
    /// By which the parts' checksums were made.
    pub algorithm: Algorithm,
    /// In order.
    pub parts: Vec<FinishedPart>,
}

/// One finished attempt to converge a key, for the job history.
#[derive(Clone, Debug, Serialize)]
pub struct JobRecord {
    /// Which bucket.
    pub bucket: BucketId,
    /// Which key.
    #[serde(serialize_with = "key_text")]
    pub key: ObjectKey,
    /// `converged`, `retried`, `dead`.
    pub outcome: String,
    /// What was done or why not, one line, no secrets.
    pub detail: String,
    /// Attempts so far.
    pub attempts: i64,
    /// The client request that made the key dirty.
    pub request_id: String,
    /// When the attempt began.
    pub started_at: Millis,
    /// When it ended.
    pub finished_at: Millis,
}

fn key_text<S: Serializer>(key: &ObjectKey, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(key.as_str())
}

/// An open multipart upload, kept where the backend cannot list its own.
#[derive(Clone, Debug)]
pub struct OpenUpload {
    /// The key it is for.
    pub key: ObjectKey,
    /// The backend's upload id.
    pub upload_id: String,
    /// When it began.
    pub initiated_at: Millis,
}

/// An upload in parts at a replica, beside the one at the bucket's home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceUpload {
    /// The replica's backend.
    pub backend: BackendId,
    /// The upload id that it gave.
    pub upload_id: String,
    /// It lacks something, so that it is the workers' to go on with or to end.
    pub is_lost: bool,
}

/// The same as a worker looks after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenPlace {
    /// The bucket.
    pub bucket: BucketId,
    /// The key it is for.
    pub key: ObjectKey,
    /// The home when it began.
    pub home: BackendId,
    /// The home's upload id.
    pub upload_id: String,
    /// The replica's backend.
    pub backend: BackendId,
    /// The upload id that it gave.
    pub place_upload_id: String,
    /// When a worker has looked at it last.
    pub looked_at: Millis,
}

/// What a change of the control plane touched; proxies drop what they cached of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Policy or defaults of a tenant.
    Tenant(TenantId),
    /// An access key by its id.
    AccessKey(String),
    /// The set of backends or one of them.
    Backends,
    /// A bucket of a tenant, by logical name.
    Bucket(TenantId, String),
}

/// What [`crate::Metadata::begin_create_bucket`] found. The route is complete before the bucket is in service.
#[derive(Clone, Debug)]
pub enum Begun {
    /// Nothing of that name; it is noted as being created.
    Created(Route),
    /// Another request is creating it, or died at it: make the physical bucket (again) and activate. The route is the
    /// one that was begun, perhaps with another placement than the one now asked for.
    Resumed(Route),
    /// The tenant has it already.
    Exists(Route),
}

/// What becomes of a bucket that is to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It is hidden; only the home of this epoch may be deleted.
    Begun {
        /// The bucket's epoch.
        epoch: i64,
    },
    /// It stays: writes of it are stranded at a former home or stand aside, and an operator has to settle or drop them.
    Stranded,
}

/// A bucket whose creation or deletion began and never ended.
#[derive(Clone, Debug)]
pub struct UnfinishedBucket {
    /// Which bucket, with its physical names.
    pub route: Route,
    /// Being deleted rather than created.
    pub deleting: bool,
    /// When that began, moved by the claims of workers that tried to end it.
    pub since: Millis,
}

/// An object's tags that the gateway keeps for its home, behind the ETag of the object that they belong to.
pub type LentTags = (String, Vec<(String, String)>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buckets_id_ends_with_its_tenants_number() {
        let (acme, other) = (TenantId::new("acme"), TenantId::new("other"));
        let (first, second) = (BucketId::generate(&acme), BucketId::generate(&acme));
        assert_ne!(first, second);
        assert_eq!(first.tenant_number(), second.tenant_number());
        assert_ne!(first.tenant_number(), BucketId::generate(&other).tenant_number());
        assert_eq!(Uuid::parse_str(first.as_str()).map(|id| id.get_version_num()), Ok(7));
        for (id, number) in [("0199-00ff", 255), ("ffff", 65_535), ("fff", 0), ("", 0), ("no-hex", 0), ("bücher", 0)] {
            assert_eq!(BucketId::new(id).tenant_number(), number, "{id}");
        }
    }
}
