//! Reads what a replica holds, and where that proves nothing by itself what the home holds, to find bytes that were changed.
//! Invariant: each reading is bound to the ETag that was listed, so that an overwrite meanwhile is no corruption.
use super::WalkError;
use crate::backend::{BackendError, Remote};
use crate::layout::{self, Digest16, Probe};
use crate::object::{Object, Tags};
use http_body_util::BodyExt;
use md5::{Digest, Md5};
use s3gateway_s3::{ObjectKey, PhysicalBucket, VersionId};

/// One object on one backend.
#[derive(Clone, Copy)]
pub(crate) struct Stored<'a> {
    pub(crate) remote: &'a Remote,
    pub(crate) bucket: &'a PhysicalBucket,
    pub(crate) key: &'a ObjectKey,
    pub(crate) version: Option<&'a VersionId>,
    pub(crate) etag: &'a str,
}

impl Stored<'_> {
    /// HeadObject; `None` where it is another object by now.
    async fn look(self) -> Result<Option<Object>, BackendError> {
        let object = self.remote.head_version(self.bucket, self.key, self.version).await?;
        Ok(object.filter(|object| object.etag == self.etag))
    }

    async fn tags(self) -> Result<Tags, BackendError> {
        self.remote.tags_of_version(self.bucket, self.key, self.version).await
    }
}

/// What reading two copies has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// The same bytes.
    Equal,
    /// One of the two is another object by now.
    Changed,
    /// The replica's are not the home's.
    CorruptReplica(&'static str),
    /// The home's are not what its ETag was made of, or cannot be read: nothing is to be copied from there.
    CorruptHome(&'static str),
}

/// What a reading came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// All bytes.
    Bytes {
        md5: Digest16,
        length: u64,
        /// Whether they make the home's ETag.
        makes_etag: bool,
        /// Whether they make the ETag that they are listed with.
        makes_own: bool,
    },
    /// It is another object by now.
    Changed,
    /// The backend answers, but does not give the bytes.
    Unreadable,
}

/// Compares a replica's copy with the home's object, of `size` bytes by the home's listing.
pub(crate) async fn compare_bytes(home: Stored<'_>, replica: Stored<'_>, size: u64) -> Result<Depth, WalkError> {
    let copy = read(replica, home.etag, size).await?;
    if let Some(told) = judge_copy(copy, size) {
        return Ok(told);
    }
    Ok(judge_both(read(home, home.etag, size).await?, copy, size))
}

/// What a replica's bytes say by themselves.
fn judge_copy(copy: Reading, size: u64) -> Option<Depth> {
    match copy {
        Reading::Changed => Some(Depth::Changed),
        Reading::Bytes { makes_etag: true, length, .. } if length == size => Some(Depth::Equal),
        Reading::Bytes { .. } | Reading::Unreadable => None,
    }
}

/// What both say. An ETag need not be made of the bytes, so two that do not make it may still be equal. A copy that makes its own ETag, which is
/// the one that it was verified with, is what the home had then.
fn judge_both(home: Reading, copy: Reading, size: u64) -> Depth {
    match (home, copy) {
        (Reading::Changed, _) | (_, Reading::Changed) => Depth::Changed,
        (Reading::Unreadable, _) => Depth::CorruptHome("it cannot be read"),
        (Reading::Bytes { length, .. }, _) if length != size => {
            Depth::CorruptHome("it is shorter or longer than listed")
        }
        (Reading::Bytes { .. }, Reading::Unreadable) => Depth::CorruptReplica("it cannot be read"),
        (Reading::Bytes { md5, .. }, Reading::Bytes { md5: copied, length, .. }) if md5 == copied && length == size => {
            Depth::Equal
        }
        (Reading::Bytes { makes_etag: false, .. }, Reading::Bytes { makes_own: true, .. }) => {
            Depth::CorruptHome("a copy has the bytes that it was verified with, and they are not these")
        }
        (Reading::Bytes { .. }, Reading::Bytes { .. }) => Depth::CorruptReplica("its bytes are not the home's"),
    }
}

/// Whether a copy carries what travels with the home's bytes. No listing shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    /// It does, or one of the two is another object by now.
    Equal,
    /// Its headers or user metadata are others.
    OtherHeaders,
    /// Only its tags are others.
    OtherTags,
}

/// Compares headers, user metadata and tags.
pub(super) async fn compare_carried(home: Stored<'_>, replica: Stored<'_>) -> Result<Carried, WalkError> {
    let (Some(ours), Some(copy)) = (home.look().await?, replica.look().await?) else { return Ok(Carried::Equal) };
    if !copy.headers.equal_home(&ours.headers) {
        return Ok(Carried::OtherHeaders);
    }
    if !home.remote.backend.capabilities.tagging || !replica.remote.backend.capabilities.tagging {
        return Ok(Carried::Equal);
    }
    match (home.tags().await, replica.tags().await) {
        (Err(BackendError::Changed), _) | (_, Err(BackendError::Changed)) => Ok(Carried::Equal),
        (ours, copy) => Ok(if ours? == copy? { Carried::Equal } else { Carried::OtherTags }),
    }
}

async fn read(stored: Stored<'_>, home_etag: &str, size: u64) -> Result<Reading, WalkError> {
    let Stored { remote, bucket, key, version, etag } = stored;
    let mut body = match remote.read(bucket, key, version, etag, None).await {
        Ok(body) => body,
        Err(BackendError::Changed) => return Ok(Reading::Changed),
        Err(error) => {
            // One object that cannot be read is a finding, a backend that is away is not.
            let answers = matches!(remote.has_bucket(bucket).await, Ok(true));
            return if answers { Ok(Reading::Unreadable) } else { Err(error.into()) };
        }
    };
    let parts = layout::part_count(home_etag);
    let mut probe = Probe::new(parts.map(|count| layout::candidates(size, count)).unwrap_or_default());
    let (mut md5, mut length) = (Md5::new(), 0u64);
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Ok(Reading::Unreadable) };
        if let Ok(bytes) = frame.into_data() {
            length += bytes.len() as u64;
            md5.update(&bytes);
            probe.update(&bytes);
            remote.pace.pass(bytes.len()).await;
        }
    }
    let md5: Digest16 = md5.finalize().into();
    let makes_etag = match parts {
        Some(_) => probe.finish(home_etag).is_some(),
        None => layout::parse_digest(home_etag) == Some(md5),
    };
    Ok(Reading::Bytes { md5, length, makes_etag, makes_own: layout::parse_digest(etag) == Some(md5) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(of: u8, length: u64, makes_etag: bool) -> Reading {
        Reading::Bytes { md5: [of; 16], length, makes_etag, makes_own: false }
    }

    /// Of a copy whose own ETag is its MD5 where the home's is none.
    fn proven(of: u8) -> Reading {
        Reading::Bytes { md5: [of; 16], length: 5, makes_etag: false, makes_own: true }
    }

    #[test]
    fn what_two_readings_say() {
        use Depth::{Changed, CorruptHome, CorruptReplica, Equal};
        for (copy, home, want) in [
            (bytes(1, 5, true), None, "equal"),
            (Reading::Changed, None, "changed"),
            // Not made of the bytes: both are read.
            (bytes(1, 5, false), Some(bytes(1, 5, false)), "equal"),
            (bytes(2, 5, false), Some(bytes(1, 5, true)), "replica"),
            (bytes(2, 5, false), Some(bytes(1, 5, false)), "replica"),
            (bytes(1, 4, false), Some(bytes(2, 5, true)), "replica"),
            (proven(1), Some(bytes(1, 5, false)), "equal"),
            (proven(1), Some(bytes(2, 5, false)), "home"),
            (proven(1), Some(bytes(2, 5, true)), "replica"),
            (Reading::Unreadable, Some(bytes(1, 5, true)), "replica"),
            (Reading::Unreadable, Some(Reading::Unreadable), "home"),
            (bytes(2, 5, false), Some(Reading::Unreadable), "home"),
            (bytes(2, 5, false), Some(bytes(1, 4, false)), "home"),
            (bytes(2, 5, false), Some(Reading::Changed), "changed"),
        ] {
            let told = judge_copy(copy, 5);
            assert_eq!(told.is_some(), home.is_none(), "{copy:?}: whether the home is read");
            let depth = told.unwrap_or_else(|| judge_both(home.unwrap(), copy, 5));
            let got = match depth {
                Equal => "equal",
                Changed => "changed",
                CorruptReplica(_) => "replica",
                CorruptHome(_) => "home",
            };
            assert_eq!(got, want, "{copy:?} {home:?}");
        }
    }
}
