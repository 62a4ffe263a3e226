//! Drops scratch buckets of probes that died before they could, whichever process they ran in.
use super::scratch::{PREFIX, Scratch};
use crate::{
    gateway::Gateway,
    upstream::{UpstreamBackend, UpstreamError, UpstreamRequest},
};
use bytes::Bytes;
use http::Method;
use s3gateway_s3::{PhysicalBucket, xml::BucketEntry};
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::time::timeout;

/// Far longer than a probe takes, by two clocks that may differ.
const LEFT_AFTER: Duration = Duration::from_secs(3600);
/// What is not swept in that time is left to the next probe.
pub(super) const AT_MOST: Duration = Duration::from_secs(30);

/// Sweeps the buckets that the backend's credentials show; that nothing can be swept is no fault of the backend's.
pub(super) async fn sweep(gateway: &Gateway, backend: &Arc<UpstreamBackend>) {
    let swept = timeout(AT_MOST, drop_left(gateway, backend)).await;
    if !matches!(swept, Ok(Ok(()))) {
        tracing::debug!(backend = %backend.id(), ?swept, "scratch buckets of earlier probes may be left");
    }
}

async fn drop_left(gateway: &Gateway, backend: &Arc<UpstreamBackend>) -> Result<(), UpstreamError> {
    let answer = gateway.client.send(backend, UpstreamRequest::of_service(Method::GET), Bytes::new()).await?;
    let all = BucketEntry::parse_all(&answer.body);
    let all = all.map_err(|_| UpstreamError::Malformed("no such document was asked for"))?;
    let now = SystemTime::now();
    for entry in all.iter().filter(|entry| is_left(&entry.name, entry.creation_date, now)) {
        if let Ok(bucket) = PhysicalBucket::parse(&entry.name) {
            tracing::info!(backend = %backend.id(), bucket = entry.name, "dropping an earlier probe's scratch bucket");
            Scratch::found(gateway, backend, bucket).leave().await;
        }
    }
    Ok(())
}

/// Whether it is a probe's, by its whole name, and no probe can be at work in it any more.
fn is_left(name: &str, created: SystemTime, now: SystemTime) -> bool {
    let is_scratch = name
        .strip_prefix(PREFIX)
        .is_some_and(|rest| rest.len() == 16 && rest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
    is_scratch && now.duration_since(created).is_ok_and(|age| age >= LEFT_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_scratch_buckets_are_left_behind() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let (old, young) = (now - LEFT_AFTER, now - LEFT_AFTER + Duration::from_secs(1));
        for (name, created, left) in [
            ("s3gw-probe-0123456789abcdef", old, true),
            ("s3gw-probe-0123456789abcdef", young, false),
            ("s3gw-probe-0123456789abcdef", now + LEFT_AFTER, false),
            ("s3gw-probe-0123456789abcde", old, false),
            ("s3gw-probe-0123456789abcdef0", old, false),
            ("s3gw-probe-0123456789ABCDEF", old, false),
            ("s3gw-probe-of-somebody-else", old, false),
            ("s3gw-0123456789abcdef-fi-hel", old, false),
            ("photos", old, false),
        ] {
            assert_eq!(is_left(name, created, now), left, "{name} {created:?}");
        }
    }
}
