//! The S3 protocol as types: names, operations, the parsed request, errors, XML, ETags, tags and checksums.
//! Knows no network, no store and no clock; whatever it parses comes from outside and may be hostile.
pub mod checksum;
pub mod copy_source;
mod dispatch;
mod error;
pub mod etag;
mod hoist;
mod host;
mod names;
mod operation;
mod query;
mod request;
#[cfg(test)]
mod request_tests;
mod single;
pub mod tagging;
mod target;
pub mod uri;
mod version;
pub mod xml;

pub use copy_source::CopySource;
pub use error::{S3Code, S3Error};
pub use etag::ETag;
pub use hoist::{AmzParameter, UrlSignature};
pub use host::adopt_authority;
pub use names::{BucketNameError, KeyError, LogicalBucket, ObjectKey, PhysicalBucket};
pub use operation::{Access, Operation};
pub use query::Query;
pub use request::{Addressing, S3Request};
pub use tagging::TagSet;
pub use version::{VersionId, Versioning};
