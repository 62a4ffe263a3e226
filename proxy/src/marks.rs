//! Intent before a write, commit after it: no write reaches a backend unmarked, and no success goes down uncommitted.
use crate::{
    admit::Routed, answer::RequestId, gateway::Gateway, quorum::Landed, refusal::Refusal, settings::UpstreamSettings,
    upstream::UpstreamError,
};
use s3gateway_s3::{ObjectKey, S3Code};
use s3gateway_store::{DirtyKey, StoreError, queue::Mark};
use std::{
    future::Future,
    time::{Duration, Instant},
};

impl Gateway {
    /// How long a mark's lease must live: longer than a write may take from its last bytes to its answer, so that no
    /// write lands after its lease.
    pub(crate) fn lease(&self) -> Duration {
        lease_for(&self.settings.upstream)
    }

    /// Before the intent of a write that changes tags or headers alone: no listing shows it, so a queue that may forget its
    /// mark has it noted in the metadata, too.
    ///
    /// # Errors
    /// A store error: then nothing may be written.
    pub(crate) async fn note_unlisted(&self, routed: &Routed, key: &ObjectKey) -> Result<(), Refusal> {
        if self.queue.may_forget() {
            self.metadata.note_unlisted_write(&routed.route.bucket, key).await?;
        }
        Ok(())
    }

    /// Before a write: notes the key as dirty and takes a lease for the write in flight. Waits for one that must be alone.
    ///
    /// # Errors
    /// `SlowDown` where that takes too long.
    pub(crate) async fn intent(&self, dirty: &DirtyKey, request_id: RequestId) -> Result<Mark, Refusal> {
        let id = request_id.to_string();
        in_turn(|| self.queue.intent(dirty, &id, self.lease()), S3Code::SlowDown).await
    }

    /// Before a write that depends on what stands at the key, or keeps something of it here: as [`Gateway::intent`], and until
    /// it is settled no other gateway writes the key.
    ///
    /// # Errors
    /// `too_late` where other writes leave no gap for too long.
    pub(crate) async fn intent_alone(
        &self,
        dirty: &DirtyKey,
        request_id: RequestId,
        too_late: S3Code,
    ) -> Result<Mark, Refusal> {
        let id = request_id.to_string();
        in_turn(|| self.queue.intent_alone(dirty, &id, self.lease()), too_late).await
    }

    /// Drops the lease of a write that never went to the backend.
    pub(crate) async fn release(&self, dirty: &DirtyKey, mark: &Mark) {
        if let Err(error) = self.queue.release(dirty, mark).await {
            tracing::debug!(%error, "lease of a refused write runs out by itself");
        }
    }

    /// Carries out a write that may take longer than a lease, such as the copy of a large object between backends: the
    /// lease is renewed meanwhile, and a write that has lost it is broken off before it could land unmarked. `since`: no
    /// later than the lease was taken. Gives what came of it, and since when the lease holds by then.
    pub(crate) async fn while_marked<T>(
        &self,
        dirty: &DirtyKey,
        mark: &Mark,
        since: Instant,
        write: impl Future<Output = Result<T, UpstreamError>>,
    ) -> (Result<T, UpstreamError>, Instant) {
        let lease = self.lease();
        while_renewed(lease, since, || self.queue.renew(dirty, mark, lease), write).await
    }

    /// Commits a write that the home has taken, and passes it only if that is still its home. `since`: no later than its
    /// lease was taken or renewed last.
    ///
    /// # Errors
    /// A store error; `HomeChanges`, `ViewExpired`: the key is dirty, and nothing is acknowledged.
    pub(crate) async fn commit(
        &self,
        routed: &Routed,
        dirty: &DirtyKey,
        mark: &Mark,
        since: Instant,
        request_id: RequestId,
    ) -> Result<(), Refusal> {
        self.overtake_stranded(routed, &dirty.key).await?;
        self.queue.commit(dirty, mark, &request_id.to_string()).await?;
        self.require_same_home(routed, since).await
    }

    /// After a write to the home: commits a success, at as many places as the bucket asks for, of which some may have it by then;
    /// drops the lease of a certain refusal, leaves it to run out after anything else, when the write may have happened.
    ///
    /// Cancel: the key stays dirty and its lease runs out; converge finds out what happened.
    pub(crate) async fn settle<T>(
        &self,
        routed: &Routed,
        dirty: &DirtyKey,
        mark: &Mark,
        since: Instant,
        request_id: RequestId,
        result: Result<(T, Landed), UpstreamError>,
    ) -> Result<T, Refusal> {
        match result {
            Ok((value, landed)) => {
                match routed.route.write_quorum {
                    0 | 1 => self.commit(routed, dirty, mark, since, request_id).await?,
                    _ => {
                        Box::pin(self.commit_at_quorum(routed, dirty, mark, since, request_id, landed)).await?;
                    }
                }
                Ok(value)
            }
            Err(error) => {
                if error.is_definite() {
                    self.release(dirty, mark).await;
                }
                Err(error.into())
            }
        }
    }
}

/// Asks for a lease until it is given, with the pauses of a growing, jittered backoff.
async fn in_turn<F>(mut ask: impl FnMut() -> F, too_late: S3Code) -> Result<Mark, Refusal>
where
    F: Future<Output = Result<Mark, StoreError>>,
{
    let (since, mut pause) = (Instant::now(), FIRST_PAUSE);
    loop {
        match ask().await {
            Err(StoreError::Busy) if since.elapsed() >= PATIENCE => return Err(too_late.into()),
            Err(StoreError::Busy) => tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await,
            answer => return Ok(answer?),
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Awaits `write` and renews its lease in time. See [`Gateway::while_marked`].
async fn while_renewed<T, N, F>(
    lease: Duration,
    mut since: Instant,
    mut renew: impl FnMut() -> F,
    write: impl Future<Output = Result<T, UpstreamError>>,
) -> (Result<T, UpstreamError>, Instant)
where
    F: Future<Output = Result<N, StoreError>>,
{
    let lost = async {
        loop {
            if since.elapsed() < lease / 8 {
                tokio::time::sleep(lease / 8).await;
            }
            let asked = Instant::now();
            match renew().await {
                Ok(_) => since = asked,
                Err(error) => {
                    tracing::warn!(%error, "the lease of a write cannot be renewed");
                    if since.elapsed() >= lease / 2 {
                        return;
                    }
                    tokio::time::sleep(lease / 8).await;
                }
            }
        }
    };
    let result = tokio::select! {
        result = write => result,
        () = lost => Err(UpstreamError::Broken("the write's lease could not be renewed".to_owned())),
    };
    (result, since)
}

/// Between two attempts at a lease that another write keeps away; most such writes take a few milliseconds.
const FIRST_PAUSE: Duration = Duration::from_millis(4);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// How long a write waits for another to end: well under the least timeout of common clients.
const PATIENCE: Duration = Duration::from_secs(10);

fn lease_for(upstream: &UpstreamSettings) -> Duration {
    upstream.connect_timeout + upstream.write_timeout + upstream.head_timeout() + LEASE_MARGIN
}

/// A lease older than this is renewed before the last bytes leave.
pub(crate) const LEASE_AGE: Duration = Duration::from_secs(10);
/// More than that.
const LEASE_MARGIN: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use tokio::sync::Notify;

    const LEASE: Duration = Duration::from_millis(80);

    #[test]
    fn a_lease_outlasts_the_write_that_it_stands_for() {
        for (connect, write, read) in [(3, 60, 60), (1, 1, 1), (1, 10, 3_600)] {
            let seconds = Duration::from_secs;
            let upstream = UpstreamSettings {
                connect_timeout: seconds(connect),
                write_timeout: seconds(write),
                read_timeout: seconds(read),
                ..UpstreamSettings::default()
            };
            // As a streamed write is watched, see `expects_head`.
            let longest = upstream.connect_timeout + upstream.write_timeout + upstream.head_timeout();
            assert!(lease_for(&upstream) > LEASE_AGE + longest);
        }
    }

    #[tokio::test]
    async fn a_long_write_ends_with_the_lease_that_was_renewed_last() {
        let (began, renewed, count) = (Instant::now(), Notify::new(), Cell::new(0));
        let renew = || {
            count.set(count.get() + 1);
            if count.get() == 3 {
                renewed.notify_one();
            }
            std::future::ready(Ok(()))
        };
        let write = async {
            renewed.notified().await;
            Ok(())
        };
        let (result, since) = while_renewed(LEASE, began, renew, write).await;
        assert!(result.is_ok());
        assert!(since >= began + LEASE / 8 * 2, "after two pauses at least: {:?}", since - began);
    }

    #[tokio::test]
    async fn a_lease_that_is_old_already_is_renewed_at_once() {
        let (renewed, now) = (Notify::new(), Instant::now());
        let old = now.checked_sub(LEASE * 2).expect("a clock that has run for a while");
        let renew = || {
            renewed.notify_one();
            std::future::ready(Ok(()))
        };
        let write = async {
            renewed.notified().await;
            Ok(())
        };
        let (result, since) = while_renewed(LEASE, old, renew, write).await;
        assert!(result.is_ok() && since >= now);
    }

    #[tokio::test]
    async fn a_write_that_has_lost_its_lease_is_broken_off() {
        let began = Instant::now();
        let renew = || std::future::ready(Err::<i64, _>(StoreError::Busy));
        let write = std::future::pending::<Result<(), UpstreamError>>();
        let (result, since) = while_renewed(LEASE, began, renew, write).await;
        assert!(matches!(result, Err(UpstreamError::Broken(_))), "{result:?}");
        assert_eq!(since, began);
        assert!(began.elapsed() >= LEASE / 2);
    }

    #[tokio::test]
    async fn a_short_write_renews_nothing() {
        let began = Instant::now();
        let renew = || std::future::ready(Err::<i64, _>(StoreError::Busy));
        let (result, since) = while_renewed(Duration::from_secs(60), began, renew, std::future::ready(Ok(7))).await;
        assert!(matches!(result, Ok(7)));
        assert_eq!(since, began);
    }
}
