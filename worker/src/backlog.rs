//! How much may be dirty at a time: whoever marks many keys waits while the queue has enough to do.
//! Invariants: what waits for a backend that is away keeps no other bucket waiting, up to a bound in all; dead letters do not
//! count, for nothing is done about them.
use s3gateway_store::queue::Depth;
use s3gateway_store::{BucketId, Queue, StoreError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// By one look at the queue at most this part of the backlog is marked, so that looks cost nothing beside the marks, and
/// workers that look at the same time mark little too much.
const PART: u64 = 8;
/// As many times the backlog may be dirty in all, with what was put off: some 300 MB of Redis for the default.
const MOST_PUT_OFF: u64 = 50;
/// From a look at a full queue to the next.
const PAUSE: Duration = Duration::from_secs(1);

/// The queue, as those see it who mark many keys; one for all of a worker.
pub(crate) struct Backlog {
    queue: Arc<dyn Queue>,
    /// Dirty keys from which on no more are marked.
    most: u64,
    /// What may be marked before the next look.
    left: Mutex<Room>,
}

/// Whether keys may be marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// They may.
    Granted,
    /// The queue has enough to do.
    Later,
    /// So many of the bucket's keys wait for a backend that no more are to join them.
    BucketFull,
}

/// What may be marked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Room {
    keys: u64,
    /// Where much is put off: dirty keys from which on a bucket has a backlog of keys that are.
    most_of_bucket: Option<u64>,
}

impl Room {
    fn of(depth: &Depth, most: u64) -> Self {
        let dirty = depth.dirty.saturating_sub(depth.dead);
        let busy = dirty.saturating_sub(depth.delayed);
        let keys = most.saturating_sub(busy).min(most.saturating_mul(MOST_PUT_OFF).saturating_sub(dirty));
        let most_of_bucket = (dirty >= most).then(|| most.saturating_add(busy).saturating_add(depth.dead));
        Self { keys, most_of_bucket }
    }
}

impl Backlog {
    pub(crate) fn new(queue: Arc<dyn Queue>, most: u64) -> Self {
        Self { queue, most, left: Mutex::default() }
    }

    /// Whether no more of the bucket's keys should be marked now.
    pub(crate) async fn is_full(&self, bucket: &BucketId) -> Result<bool, StoreError> {
        let room = self.look().await?;
        Ok(room.keys == 0 || self.is_bucket_full(room, bucket).await?)
    }

    /// Whether `keys` more of the bucket's may be marked; no is said after a pause. Of all who wait, one looks at the queue.
    ///
    /// Cancel: safe to drop; what was admitted then is marked later.
    pub(crate) async fn admits(&self, bucket: &BucketId, keys: u64) -> Result<Admission, StoreError> {
        let mut left = self.left.lock().await;
        if left.keys == 0 {
            let room = self.look().await?;
            *left = Room { keys: room.keys.min((self.most / PART).max(1)), ..room };
        }
        if left.keys == 0 {
            tokio::time::sleep(PAUSE).await;
            return Ok(Admission::Later);
        }
        if self.is_bucket_full(*left, bucket).await? {
            drop(left);
            tokio::time::sleep(PAUSE).await;
            return Ok(Admission::BucketFull);
        }
        left.keys = left.keys.saturating_sub(keys);
        Ok(Admission::Granted)
    }

    async fn look(&self) -> Result<Room, StoreError> {
        Ok(Room::of(&self.queue.depth().await?, self.most))
    }

    async fn is_bucket_full(&self, room: Room, bucket: &BucketId) -> Result<bool, StoreError> {
        match room.most_of_bucket {
            Some(most) => Ok(self.queue.count_dirty(bucket).await? >= most),
            None => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_off_leaves_room_for_other_buckets() {
        for (dirty, claimed, delayed, dead, keys, most_of_bucket) in [
            (0, 0, 0, 0, 100, None),
            (60, 20, 10, 0, 50, None),
            (99, 0, 0, 0, 1, None),
            (100, 0, 0, 0, 0, Some(200)),
            (300, 0, 0, 0, 0, Some(400)),
            (300, 0, 250, 0, 50, Some(150)),
            (300, 0, 300, 0, 100, Some(100)),
            (300, 0, 0, 300, 100, None),
            (300, 0, 20, 250, 70, None),
            (400, 0, 100, 250, 50, Some(400)),
            (4950, 0, 4950, 0, 50, Some(100)),
            (5000, 0, 5000, 0, 0, Some(100)),
            (9000, 0, 9000, 0, 0, Some(100)),
        ] {
            let depth = Depth { dirty, claimed, delayed, dead, oldest: None };
            assert_eq!(Room::of(&depth, 100), Room { keys, most_of_bucket }, "{depth:?}");
        }
    }
}
