//! The replicas that take a write along with its home: reached before a byte of the body is asked for, fed while it passes, and
//! let have its last bytes only together.
use super::{
    Landed,
    stream::{BodyStream, CopyRequest},
};
use crate::{
    admit::Routed,
    gateway::Gateway,
    metrics::QuorumOutcome,
    refusal::{QuorumLack, Refusal},
    upstream::{Sending, UpstreamBackend, UpstreamError, UpstreamRequest},
};
use bytes::Bytes;
use futures::future::join_all;
use http::Method;
use s3gateway_config::BackendId;
use s3gateway_s3::{ObjectKey, PhysicalBucket, checksum::Checksum, etag};
use s3gateway_store::{DirtyKey, Route, queue::Mark};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a replica may take to show what it has: a worker that is waited for looks, too.
const LOOK: Duration = Duration::from_secs(10);

/// The places of one write, its home aside.
pub(crate) struct Places {
    gateway: Arc<Gateway>,
    /// None where a worker is to bring it there.
    reached: Vec<Reached>,
    streams: Vec<BodyStream>,
    is_released: bool,
}

/// A replica that answers.
pub(crate) struct Reached {
    pub(super) backend: Arc<UpstreamBackend>,
    physical: PhysicalBucket,
    /// Until the first attempt takes it.
    pub(super) sending: Option<Sending>,
    /// It has the bucket.
    is_ready: bool,
}

impl Places {
    /// Reaches as many replicas as the bucket's writes need, the first in the order of its placement that can be reached.
    /// `count`: copies that the object is to have, home included.
    ///
    /// # Errors
    /// `Quorum` where they are too few.
    pub(crate) async fn reach(
        gateway: &Arc<Gateway>,
        routed: &Routed,
        key: &ObjectKey,
        count: u32,
    ) -> Result<Self, Refusal> {
        let reached = gateway.reach_replicas(routed, key, count).await?;
        Ok(Self { gateway: gateway.clone(), reached, streams: Vec::new(), is_released: false })
    }

    /// Begins an attempt: a body to each place, with the request that `copy` makes for it. What an attempt before has begun
    /// ends, but for what has its last bytes.
    pub(crate) fn begin_streams(
        &mut self,
        mut copy: impl FnMut(&UpstreamBackend) -> Result<CopyRequest, Refusal>,
    ) -> Result<(), Refusal> {
        self.streams.clear();
        for place in &mut self.reached {
            let (gateway, backend) = (self.gateway.clone(), place.backend.clone());
            let copy = copy(&backend)?;
            self.streams.push(BodyStream::begin_stream(gateway, backend, place.sending.take(), copy));
        }
        Ok(())
    }

    /// Hands a piece to every place; goes on when the slowest has room for it.
    ///
    /// # Errors
    /// `Quorum` where one is lost: nothing is stored then, as the body ends short everywhere.
    pub(crate) async fn feed_all(&self, piece: &Bytes) -> Result<(), Refusal> {
        if piece.is_empty() {
            return Ok(());
        }
        let fed = join_all(self.streams.iter().map(|stream| stream.feed(piece.clone()))).await;
        self.all_of(&fed)
    }

    /// Waits until every place has been sent what was handed over, so that the last bytes wait for nothing.
    ///
    /// # Errors
    /// As [`Places::feed_all`].
    pub(crate) async fn catch_up_all(&self) -> Result<(), Refusal> {
        let caught_up = join_all(self.streams.iter().map(BodyStream::catch_up)).await;
        self.all_of(&caught_up)
    }

    fn all_of(&self, fed: &[bool]) -> Result<(), Refusal> {
        if fed.iter().all(|fed| *fed) {
            return Ok(());
        }
        self.gateway.metrics.observe_quorum(QuorumOutcome::Lost);
        Err(QuorumLack::Lost.into())
    }

    /// Makes sure that this write has the key's replicas to itself, and notes the copies that it is about to begin; else what
    /// was sent to them comes to nothing, and a worker is waited for.
    ///
    /// # Errors
    /// A store error, also while Redis is away: nothing is stored then.
    pub(crate) async fn claim_replicas(&mut self, dirty: &DirtyKey, mark: &Mark) -> Result<(), Refusal> {
        if self.streams.is_empty() {
            return Ok(());
        }
        let ids: Vec<BackendId> = self.reached.iter().map(|place| place.backend.id().clone()).collect();
        if !self.gateway.claim_replicas(dirty, mark, &ids).await? {
            self.streams.clear();
            self.reached.clear();
        }
        Ok(())
    }

    /// Lets every place have the last bytes, which have left soon or never do: so no write lands after its lease.
    pub(crate) fn release_all(&mut self, last: &Bytes, checksum: Option<&Checksum>) {
        // They are connected already, which the lease has time for.
        let until = Instant::now() + self.gateway.settings.upstream.connect_timeout;
        self.is_released |= !self.streams.is_empty();
        for stream in &mut self.streams {
            stream.release_last(last.clone(), checksum.cloned(), until);
        }
    }

    /// Whether a replica may have the whole object.
    pub(crate) fn are_released(&self) -> bool {
        self.is_released
    }

    /// Waits for every place's answer, and looks whether it keeps what it has taken. `home_etag`: the home's, without quotes.
    pub(crate) async fn landed(&mut self, key: &ObjectKey, home_etag: &str) -> Landed {
        if self.streams.is_empty() {
            return Landed::Unproven;
        }
        let outcomes = join_all(self.streams.iter_mut().map(BodyStream::outcome)).await;
        let told = outcomes.iter().zip(&self.reached).map(|(outcome, place)| {
            let etag = outcome.as_ref().map(|answer| etag::unquoted(answer.header("etag")));
            (place.backend.id(), etag)
        });
        let landed = judge_outcomes(home_etag, told);
        if !matches!(landed, Landed::Held { .. }) {
            return landed;
        }
        let looks = self.reached.iter().map(|place| etag_at(&self.gateway, &place.backend, &place.physical, key));
        match join_all(looks).await.iter().all(|kept| kept == home_etag) {
            true => landed,
            false => Landed::Unproven,
        }
    }
}

impl Gateway {
    /// Reaches as many replicas as the bucket's writes need; none where a worker is to bring there what is written.
    ///
    /// # Errors
    /// As [`Places::reach`].
    pub(super) async fn reach_replicas(
        &self,
        routed: &Routed,
        key: &ObjectKey,
        count: u32,
    ) -> Result<Vec<Reached>, Refusal> {
        let route = &routed.route;
        let needed = replicas_needed(route);
        let holders = self.holders(route, count).into_iter().filter_map(|id| self.backends.get(id));
        let mut left = holders.filter(|backend| backend.capabilities().keys.holds(key.as_str()));
        let mut reached = Vec::with_capacity(needed.min(8));
        while reached.len() < needed {
            let next: Vec<_> = left.by_ref().take(needed - reached.len()).collect();
            if next.is_empty() {
                self.metrics.observe_quorum(QuorumOutcome::Unreachable);
                return Err(QuorumLack::Unreachable.into());
            }
            let tried = join_all(next.into_iter().map(|backend| try_place(self, routed, backend))).await;
            reached.extend(tried.into_iter().flatten());
        }
        if !is_streamed(route) || !reached.iter().all(|place| place.is_ready) {
            // Records say more than which copies there are, or a bucket is still to be made.
            reached.clear();
        }
        Ok(reached)
    }

    /// Whether a write has the key's replicas to itself; the copies at `backends`, which it is about to begin, are noted then.
    ///
    /// # Errors
    /// A store error, also while Redis is away.
    pub(super) async fn claim_replicas(
        &self,
        dirty: &DirtyKey,
        mark: &Mark,
        backends: &[BackendId],
    ) -> Result<bool, Refusal> {
        if !self.queue.disturbance(dirty, mark).await?.spares(backends) {
            return Ok(false);
        }
        self.metadata.note_pending(&dirty.bucket, &dirty.key, backends).await?;
        Ok(true)
    }
}

/// Places that must hold a write beside its home.
pub(super) fn replicas_needed(route: &Route) -> usize {
    usize::try_from(route.write_quorum.saturating_sub(1)).unwrap_or(usize::MAX)
}

/// Whether a write may go to replicas past the workers: records say nothing of a key but which copies there are.
pub(super) fn is_streamed(route: &Route) -> bool {
    route.write_quorum > 1 && !route.versioning.is_set() && !route.has_stranded
}

/// Finds out whether a replica can be sent something; `None`: not now.
async fn try_place(gateway: &Gateway, routed: &Routed, backend: Arc<UpstreamBackend>) -> Option<Reached> {
    let physical = routed.route.physical_on(backend.id())?.clone();
    match gateway.client.require_bucket(&backend, &physical).await {
        Ok(()) => {
            let sending = Some(gateway.client.dial(backend.clone()).await.ok()?);
            Some(Reached { backend, physical, sending, is_ready: true })
        }
        // It answers, and a worker has yet to make the bucket.
        Err(UpstreamError::Malformed(_)) => Some(Reached { backend, physical, sending: None, is_ready: false }),
        Err(_) => None,
    }
}

/// The ETag of what stands at a replica, without quotes; empty where it cannot be told.
pub(super) async fn etag_at(
    gateway: &Gateway,
    backend: &UpstreamBackend,
    physical: &PhysicalBucket,
    key: &ObjectKey,
) -> String {
    let request = UpstreamRequest::new(Method::HEAD, physical, Some(key));
    let head = tokio::time::timeout(LOOK, gateway.client.send(backend, request, Bytes::new())).await;
    let head = head.ok().and_then(Result::ok);
    head.map(|head| etag::unquoted(head.header("etag")).to_owned()).unwrap_or_default()
}

/// What the answers of all places come to: each its ETag, or why there is none.
fn judge_outcomes<'o>(
    home_etag: &str,
    outcomes: impl Iterator<Item = (&'o BackendId, Result<&'o str, &'o UpstreamError>)>,
) -> Landed {
    let (mut lost, mut settled, mut equal, mut places) = (false, true, true, Vec::new());
    for (backend, outcome) in outcomes {
        match outcome {
            Ok(etag) => equal &= !etag.is_empty() && etag == home_etag,
            Err(error) => (lost, settled) = (true, settled && error.is_definite()),
        }
        places.push(backend.clone());
    }
    match (lost, equal) {
        (true, _) => Landed::Lost { settled },
        (false, true) => Landed::Held { places, late: Vec::new() },
        (false, false) => Landed::Unproven,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: &str) -> BackendId {
        BackendId::parse(id).expect("an id")
    }

    #[test]
    fn every_place_must_have_answered_with_the_homes_etag() {
        let (broken, refused) = (UpstreamError::Broken(String::new()), UpstreamError::from_answer(403, "AccessDenied"));
        let ids = [id("b"), id("c")];
        let held = |places: &[BackendId]| Landed::Held { places: places.to_vec(), late: Vec::new() };
        for (outcomes, want) in [
            (vec![Ok("x")], held(&ids[..1])),
            (vec![Ok("x"), Ok("x")], held(&ids)),
            (vec![Ok("x"), Ok("y")], Landed::Unproven),
            (vec![Ok("")], Landed::Unproven),
            (vec![Ok("x"), Err(&broken)], Landed::Lost { settled: false }),
            (vec![Err(&refused), Ok("x")], Landed::Lost { settled: true }),
            (vec![Err(&refused), Err(&broken)], Landed::Lost { settled: false }),
            (vec![Ok("y"), Err(&refused)], Landed::Lost { settled: true }),
        ] {
            assert_eq!(judge_outcomes("x", ids.iter().zip(outcomes.clone())), want, "{outcomes:?}");
        }
    }
}
