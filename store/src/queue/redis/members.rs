//! How keys and jobs are written in Redis.
use crate::queue::{DeadLetter, DirtyKey, Holder, Job, Lane};
use crate::{BucketId, StoreError};
use ::redis::Value;
use s3gateway_s3::ObjectKey;

/// Where the keys of a shard have its dirty keys and its buckets.
pub(super) const DIRTY: usize = 0;
pub(super) const BUCKETS: usize = 1;
/// Streams of large jobs, of those that came back, and of new ones, as `record.lua` counts them. A tenant has two of each.
const STREAMS: [(&str, usize); 3] = [("large", 4), ("again", 4), ("flow", 8)];

/// Every key of a shard, in the order that `record.lua` names them.
pub(super) fn shard_keys(prefix: &str, shard: u32) -> Vec<String> {
    let names = [
        "dirty", "buckets", "inflight", "waiting", "delayed", "dead", "reasons", "ages", "seconds", "sequence", "turn",
    ];
    let streams = STREAMS.into_iter().flat_map(|(name, count)| (0..count).map(move |at| format!("{name}{at}")));
    let names = names.into_iter().map(str::to_owned).chain(streams);
    names.map(|name| format!("{{{prefix}:{shard}}}:{name}")).collect()
}

/// Who holds a shard.
pub(super) fn holder_key(prefix: &str, shard: usize) -> String {
    format!("{{{prefix}:{shard}}}:holder")
}

/// A bucket id never holds a slash, an object key may.
pub(super) fn render_member(key: &DirtyKey) -> Result<Vec<u8>, StoreError> {
    let bucket = key.bucket.as_str();
    if bucket.is_empty() || bucket.contains('/') {
        return Err(StoreError::Invalid("a bucket id is not empty and holds no slash".into()));
    }
    Ok([bucket.as_bytes(), b"/", key.key.as_str().as_bytes()].concat())
}

pub(super) fn parse_member(member: &[u8]) -> Option<DirtyKey> {
    let (bucket, key) = std::str::from_utf8(member).ok()?.split_once('/')?;
    Some(DirtyKey { bucket: BucketId::new(bucket), key: ObjectKey::parse(key).ok()? })
}

/// A lane as the scripts name it.
pub(super) fn render_lane(lane: Lane) -> &'static [u8] {
    match lane {
        Lane::Small => b"s",
        Lane::Large => b"l",
    }
}

/// The dirty keys that a shard knows of a bucket, from what it notes of that: "count flow".
pub(super) fn parse_count(noted: &str) -> u64 {
    noted.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// When a key became dirty, by its record: "sequence attempts claim since ...".
pub(super) fn parse_since(record: &[u8]) -> Option<i64> {
    std::str::from_utf8(record.split(|byte| *byte == b' ').nth(3)?).ok()?.parse().ok()
}

pub(super) fn parse_job(row: Value, lane: Lane) -> Option<Job> {
    let (member, sequence, attempts, dirty_since, request_id, handle): (Vec<u8>, i64, u32, i64, Vec<u8>, String) =
        ::redis::from_redis_value(row).ok()?;
    Some(Job {
        key: parse_member(&member)?,
        sequence,
        attempts,
        request_id: String::from_utf8_lossy(&request_id).into_owned(),
        dirty_since,
        holder: Holder::Redis,
        lane,
        handle,
    })
}

pub(super) fn parse_dead_letter(row: Value) -> Option<DeadLetter> {
    let (member, reason, attempts, since): (Vec<u8>, Vec<u8>, u32, i64) = ::redis::from_redis_value(row).ok()?;
    Some(DeadLetter {
        key: parse_member(&member)?,
        reason: String::from_utf8_lossy(&reason).into_owned(),
        attempts,
        since,
    })
}
