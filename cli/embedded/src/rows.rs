//! Versions, parts and what is said of them: the rows of the store as values.
use crate::{
    checksums::Checksum,
    conditions::WriteConditions,
    content::{Pin, Slice},
    error::Internal,
    store::{Bucket, json, unsigned},
    tags::Tags,
};
use s3s::S3Result;
use serde::{Deserialize, Serialize};
use sqlx::{Row, sqlite::SqliteRow};
use std::collections::BTreeMap;

/// The version of an object in a bucket that does not keep versions.
pub(crate) const NULL: &str = "null";

/// What a client says of an object and gets back with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// System metadata by header name.
    pub(crate) system: BTreeMap<String, String>,
    /// User metadata by name without `x-amz-meta-`.
    pub(crate) user: BTreeMap<String, String>,
    /// Absent for STANDARD.
    pub(crate) storage_class: Option<String>,
}

/// A version or a delete marker.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) seq: i64,
    pub(crate) key: Vec<u8>,
    pub(crate) id: String,
    pub(crate) latest: bool,
    pub(crate) marker: bool,
    pub(crate) modified: i64,
    pub(crate) etag: String,
    pub(crate) size: u64,
    /// How many parts it was uploaded in; absent where it was put at once.
    pub(crate) parts: Option<u64>,
    pub(crate) meta: Meta,
    pub(crate) checksum: Option<Checksum>,
    pub(crate) tags: Tags,
}

/// What becomes a version.
#[derive(Debug, Default)]
pub(crate) struct NewVersion {
    pub(crate) meta: Meta,
    pub(crate) tags: Tags,
    pub(crate) etag: String,
    pub(crate) size: u64,
    pub(crate) parts: Option<u64>,
    pub(crate) checksum: Option<Checksum>,
}

/// A version with the bucket that it is in.
pub(crate) struct Found {
    pub(crate) version: Version,
    pub(crate) bucket: Bucket,
}

/// A version whose bytes can be read.
pub(crate) struct Opened {
    pub(crate) found: Found,
    /// Those of a multipart object.
    pub(crate) parts: Vec<Part>,
    pub(crate) slices: Vec<Slice>,
    pub(crate) pin: Pin,
}

/// A part of an upload or of what became of one.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) id: i64,
    pub(crate) number: i32,
    pub(crate) size: u64,
    pub(crate) etag: String,
    pub(crate) checksum: Option<Checksum>,
    pub(crate) modified: i64,
}

/// A version that was made.
#[derive(Debug)]
pub(crate) struct Stored {
    /// As an answer shows it.
    pub(crate) version_id: Option<String>,
    pub(crate) modified: i64,
}

/// One object or version of DeleteObjects.
pub(crate) struct Doomed {
    pub(crate) key: String,
    pub(crate) version: Option<String>,
    pub(crate) conditions: WriteConditions,
}

/// What a delete came to.
#[derive(Debug, Default)]
pub(crate) struct Deleted {
    /// The marker that was made, or the version or marker that is gone.
    pub(crate) version_id: Option<String>,
    /// Whether that is a delete marker.
    pub(crate) marker: bool,
}

impl Version {
    pub(crate) fn of(row: &SqliteRow) -> S3Result<Self> {
        let parts: Option<i64> = row.try_get("parts").internal()?;
        Ok(Self {
            seq: row.try_get("seq").internal()?,
            key: row.try_get("key").internal()?,
            id: row.try_get("id").internal()?,
            latest: row.try_get("latest").internal()?,
            marker: row.try_get("marker").internal()?,
            modified: row.try_get("modified").internal()?,
            etag: row.try_get("etag").internal()?,
            size: unsigned(row, "size")?,
            parts: parts.map(u64::try_from).transpose().internal()?,
            meta: json(row, "meta")?,
            checksum: json(row, "checksum")?,
            tags: json(row, "tags")?,
        })
    }
}

impl Part {
    pub(crate) fn of(row: &SqliteRow) -> S3Result<Self> {
        Ok(Self {
            id: row.try_get("id").internal()?,
            number: row.try_get("number").internal()?,
            size: unsigned(row, "size")?,
            etag: row.try_get("etag").internal()?,
            checksum: json(row, "checksum")?,
            modified: row.try_get("modified").internal()?,
        })
    }
}
