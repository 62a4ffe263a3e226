//! What a shard waits for between its steps: room in the queue, and the walk's rate. Nothing is wrong meanwhile, so nothing is noted.
//! Invariant: a walk that was ended or stopped is waited for no longer.
use super::ground::Ground;
use super::{WalkError, Walker};
use crate::backlog::Admission;
use s3gateway_store::{Millis, WalkKind, WalkShard, WalkState};
use std::time::Duration;
use tokio::time::Instant;

/// How often a shard that waits long for its rate looks whether it still should.
const LOOK: Duration = Duration::from_secs(5);

/// What a walk notes that is not to mark more.
const BUCKET_FULL: &str = "as many keys of the bucket as worker.backlog allows are dirty and put off";

/// What waiting for room in the queue has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// There was some.
    AtOnce,
    /// There is some by now; what was read before the wait may be long past.
    Later,
    /// The walk does not run any more, or the shard's turn is over.
    Stopped,
}

/// Waits until `keys` more may be marked, as long as the shard's turn lasts.
///
/// # Errors
/// `Waits` for a backfill where too many of the bucket's keys wait for a backend: that may take long, and other buckets need the room.
pub(super) async fn for_room(walker: &Walker, shard: &WalkShard, keys: u64, until: Instant) -> Result<Room, WalkError> {
    let mut room = Room::AtOnce;
    loop {
        match walker.backlog.admits(&shard.bucket, keys).await.map_err(WalkError::Queue)? {
            Admission::Granted => return Ok(room),
            // A comparison that began once more could mark some keys each time.
            Admission::BucketFull if shard.kind == WalkKind::Backfill => {
                return Err(WalkError::Waits(BUCKET_FULL.to_owned()));
            }
            Admission::BucketFull | Admission::Later => {}
        }
        room = Room::Later;
        if Instant::now() >= until || !is_running(walker, shard).await? {
            return Ok(Room::Stopped);
        }
        // A bucket that is gone or has moved is not waited for either.
        Ground::survey(&walker.metadata, &walker.backends, shard, shard.rate).await?;
    }
}

/// Waits until `at`, which the walk's rate says, or until the walk is hastened; whether it still runs.
pub(super) async fn for_rate(walker: &Walker, shard: &WalkShard, at: Millis, rate: u32) -> Result<bool, WalkError> {
    loop {
        let wait = u64::try_from(at.saturating_sub(walker.metadata.now())).unwrap_or(0);
        let wait = Duration::from_millis(wait);
        tokio::time::sleep(wait.min(LOOK)).await;
        if wait <= LOOK {
            return Ok(true);
        }
        let walk = walker.metadata.walk(&shard.walk).await?;
        if walk.state != WalkState::Running || is_hastened(rate, walk.rate) {
            return Ok(walk.state == WalkState::Running);
        }
    }
}

async fn is_running(walker: &Walker, shard: &WalkShard) -> Result<bool, WalkError> {
    Ok(walker.metadata.walk(&shard.walk).await?.state == WalkState::Running)
}

fn is_hastened(from: u32, to: u32) -> bool {
    from > 0 && (to == 0 || to > from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bound_is_the_fastest_rate() {
        for (from, to, want) in [(5, 6, true), (5, 0, true), (5, 5, false), (5, 4, false), (0, 5, false), (0, 0, false)]
        {
            assert_eq!(is_hastened(from, to), want, "{from} {to}");
        }
    }
}
