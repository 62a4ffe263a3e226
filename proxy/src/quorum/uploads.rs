//! Uploads in parts that go to replicas beside their home: begun, fed and completed at all of them at once.
//! Invariants: a replica that fails is left out of the upload, which goes on; what the upload has become comes there by a worker then.
//! A replica completes only what the home has completed, while the write has the key's replicas to itself.
use super::{
    Landed,
    places::{Reached, etag_at, is_streamed, replicas_needed},
};
use crate::{
    admit::Routed,
    gateway::Gateway,
    operations::completed_etag,
    refusal::Refusal,
    upstream::{UpstreamAnswer, UpstreamBackend, UpstreamError, UpstreamRequest},
};
use bytes::Bytes;
use futures::future::join_all;
use http::Method;
use s3gateway_config::BackendId;
use s3gateway_s3::{ObjectKey, PhysicalBucket, S3Code, S3Error, xml::InitiateMultipartUploadResult};
use s3gateway_store::{DirtyKey, PlaceUpload, Route, queue::Mark};
use std::{sync::Arc, time::Instant};

/// An upload at a replica.
pub(super) struct UploadPlace {
    pub(super) backend: Arc<UpstreamBackend>,
    physical: PhysicalBucket,
    upload_id: String,
}

impl UploadPlace {
    pub(super) fn request(&self, method: Method, key: &ObjectKey) -> UpstreamRequest {
        UpstreamRequest::new(method, &self.physical, Some(key)).query("uploadId", &self.upload_id)
    }

    async fn etag_of(&self, gateway: &Gateway, key: &ObjectKey) -> String {
        etag_at(gateway, &self.backend, &self.physical, key).await
    }
}

/// A completion that is to be repeated where the upload stands beside its home.
pub(crate) struct PlacesToComplete {
    places: Vec<UploadPlace>,
    needed: usize,
    /// The home's.
    upload_id: String,
    /// The parts, as the home is told them.
    document: Bytes,
    /// Nothing is to be added to what the parts make.
    is_whole: bool,
}

impl PlacesToComplete {
    /// The home's.
    pub(crate) fn upload_id(&self) -> &str {
        &self.upload_id
    }
}

impl Gateway {
    /// Reaches the replicas that an upload is to be begun at; none where a worker is to bring there what becomes of it.
    ///
    /// # Errors
    /// `Quorum` where too few can be reached.
    pub(crate) async fn reach_for_upload(
        &self,
        routed: &Routed,
        key: &ObjectKey,
        count: u32,
    ) -> Result<Vec<Reached>, Refusal> {
        if routed.route.write_quorum <= 1 {
            return Ok(Vec::new());
        }
        let mut reached = self.reach_replicas(routed, key, count).await?;
        // Only an ETag that both make of the parts' tells that the home's object is there.
        let tells = |backend: &UpstreamBackend| backend.capabilities().multipart_etag;
        reached.retain(|place| tells(&routed.home) && tells(&place.backend));
        Ok(reached)
    }

    /// Begins an upload at replicas, and notes where. `upload_id`: the home's; `begin`: the request for a bucket.
    ///
    /// # Errors
    /// A store error: then those that were begun have been ended again, as far as that could be.
    pub(crate) async fn begin_at_places(
        &self,
        routed: &Routed,
        key: &ObjectKey,
        upload_id: &str,
        reached: Vec<Reached>,
        begin: impl Fn(&PhysicalBucket) -> Result<UpstreamRequest, S3Error>,
    ) -> Result<(), Refusal> {
        let route = &routed.route;
        let ask = |mut place: Reached| {
            let physical = route.physical_on(place.backend.id())?.clone();
            let (request, sending) = (begin(&physical).ok()?, place.sending.take()?);
            Some(async move {
                let answer = sending.ask(request, &Bytes::new()).await.ok()?;
                let upload_id = InitiateMultipartUploadResult::parse(&answer.body).ok()?.upload_id;
                Some(UploadPlace { backend: place.backend, physical, upload_id })
            })
        };
        let begun: Vec<UploadPlace> =
            join_all(reached.into_iter().filter_map(ask)).await.into_iter().flatten().collect();
        if begun.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = begun.iter().map(|p| (p.backend.id().clone(), p.upload_id.clone())).collect();
        let noted = self.metadata.put_upload_places(&route.bucket, key, &route.home, upload_id, &rows).await;
        if noted.is_err() {
            let end = |place: &UploadPlace| (place.backend.clone(), place.request(Method::DELETE, key));
            let ends = begun.iter().map(end).map(|(backend, request)| async move {
                self.client.send(&backend, request, Bytes::new()).await.map(drop)
            });
            join_all(ends).await;
        }
        Ok(noted?)
    }

    /// Where an upload stands beside its home, lacking nothing. `upload_id`: the home's.
    ///
    /// # Errors
    /// A store error.
    pub(super) async fn places_of_upload(&self, route: &Route, upload_id: &str) -> Result<Vec<UploadPlace>, Refusal> {
        if !is_streamed(route) {
            return Ok(Vec::new());
        }
        let noted = self.metadata.upload_places(&route.bucket, upload_id).await?;
        let holders = self.holders(route, route.replica_count);
        let found = noted.into_iter().filter(|place| !place.is_lost && holders.contains(&&place.backend));
        let place = |PlaceUpload { backend, upload_id, .. }: PlaceUpload| {
            let physical = route.physical_on(&backend)?.clone();
            Some(UploadPlace { backend: self.backends.get(&backend)?, physical, upload_id })
        };
        Ok(found.filter_map(place).collect())
    }

    /// What is to be done for a completion beside its home; `None` where nothing is. `document`: as the home is told it;
    /// `is_whole`: the object gets nothing besides.
    ///
    /// # Errors
    /// A store error.
    pub(crate) async fn places_to_complete(
        &self,
        route: &Route,
        upload_id: &str,
        document: &Bytes,
        is_whole: bool,
    ) -> Result<Option<PlacesToComplete>, Refusal> {
        let places = self.places_of_upload(route, upload_id).await?;
        let (needed, upload_id, document) = (replicas_needed(route), upload_id.to_owned(), document.clone());
        Ok((!places.is_empty()).then_some(PlacesToComplete { places, needed, upload_id, document, is_whole }))
    }

    /// Takes no more parts of an upload to replicas: workers go on with what is there.
    pub(crate) async fn lose_places(&self, route: &Route, upload_id: &str) {
        if route.write_quorum > 1
            && let Err(error) = self.metadata.lose_upload_places(&route.bucket, upload_id).await
        {
            // A replica that lacks a part refuses to complete.
            tracing::debug!(%error, "uploads at replicas are kept for their client");
        }
    }

    /// Leaves what an upload that has ended has at replicas to the workers.
    ///
    /// # Errors
    /// A store error.
    pub(crate) async fn leave_places(&self, route: &Route, upload_id: &str) -> Result<(), Refusal> {
        if route.write_quorum > 1 {
            self.metadata.leave_upload_places(&route.bucket, upload_id).await?;
        }
        Ok(())
    }

    /// Whether a completion has the key's replicas to itself; the copies that it may make are noted then.
    ///
    /// # Errors
    /// A store error, also while Redis is away.
    pub(crate) async fn claim_places(
        &self,
        dirty: &DirtyKey,
        mark: &Mark,
        to_complete: &PlacesToComplete,
    ) -> Result<bool, Refusal> {
        let ids: Vec<BackendId> = to_complete.places.iter().map(|place| place.backend.id().clone()).collect();
        if !self.claim_replicas(dirty, mark, &ids).await? {
            return Ok(false);
        }
        // Before this one had its mark another completion may have come, and something after it.
        let noted = self.metadata.upload_places(&dirty.bucket, &to_complete.upload_id).await?;
        Ok(ids.iter().all(|id| noted.iter().any(|place| place.backend == *id && !place.is_lost)))
    }

    /// Completes at the replicas what the home has completed, if the write has them to itself still. `since`: no later than the lease was
    /// renewed last; `etag`: the home's, without quotes. Gives what came of it, and since when the lease holds by then.
    pub(crate) async fn complete_places(
        &self,
        routed: &Routed,
        dirty: &DirtyKey,
        mark: &Mark,
        since: Instant,
        to_complete: PlacesToComplete,
        etag: &str,
    ) -> (Landed, Instant) {
        let asked = Instant::now();
        // So that each lands before its lease ends, or never; and nothing has come to the key while the home took its time.
        let renewed = self.queue.renew(dirty, mark, self.lease()).await;
        let is_undisturbed = renewed.is_ok_and(|sequence| sequence == mark.sequence);
        if !is_undisturbed || self.require_taken(routed, &dirty.key).await.is_err() {
            self.lose_places(&routed.route, &to_complete.upload_id).await;
            return (Landed::Unproven, since);
        }
        let until = asked + self.settings.upstream.connect_timeout;
        let complete = |place| complete_one(self, place, &dirty.key, &to_complete.document, until);
        let all = async { Ok(join_all(to_complete.places.iter().map(complete)).await) };
        let (outcomes, since) = self.while_marked(dirty, mark, asked, all).await;
        let Ok(outcomes) = outcomes else { return (Landed::Lost { settled: false }, since) };
        for (place, outcome) in to_complete.places.iter().zip(&outcomes) {
            let (bucket, upload_id, backend) = (&dirty.bucket, &to_complete.upload_id, place.backend.id());
            let noted = match outcome {
                Ok(_) => self.metadata.delete_upload_place(bucket, upload_id, backend).await,
                Err(_) => self.metadata.lose_upload_place(bucket, upload_id, backend).await,
            };
            if let Err(error) = noted {
                tracing::debug!(%error, "a worker finds out what became of an upload");
            }
        }
        let outcomes = to_complete.places.iter().zip(&outcomes);
        let outcomes = outcomes.map(|(place, outcome)| (place.backend.id(), outcome.as_ref()));
        let late: Vec<BackendId> = outcomes
            .clone()
            .filter(|(_, outcome)| outcome.is_ok_and(|made| made.is_repeated))
            .map(|(id, _)| id.clone())
            .collect();
        let landed = match judge_completions(etag, to_complete.needed, to_complete.is_whole, outcomes) {
            Landed::Held { places, .. } => Landed::Held { places, late },
            Landed::Unproven if !late.is_empty() => match self.queue.note_late(dirty, &late, self.lease()).await {
                Ok(()) => Landed::Unproven,
                Err(_) => Landed::Lost { settled: false },
            },
            landed => landed,
        };
        (landed, since)
    }
}

/// What a replica has completed.
#[derive(Clone, Debug)]
struct Completed {
    /// Without quotes; empty where it is not known.
    etag: String,
    /// It failed at first, and may go on with that.
    is_repeated: bool,
}

/// Completes at a replica. An answer of failure, which S3 has clients repeat, or a connection that was closed before one is tried once
/// more: to complete twice does no harm.
async fn complete_one(
    gateway: &Gateway,
    place: &UploadPlace,
    key: &ObjectKey,
    document: &Bytes,
    until: Instant,
) -> Result<Completed, UpstreamError> {
    let attempt = || try_completion(gateway, place, key, document, until);
    let first = match attempt().await {
        Err(error) if matches!(error, UpstreamError::Failed(_)) || error.may_be_stale() => error,
        outcome => return outcome.map(|etag| Completed { etag, is_repeated: false }),
    };
    let etag = match attempt().await {
        // By the first attempt.
        Err(error) if error.refused_code() == Some(S3Code::NoSuchUpload.name()) => place.etag_of(gateway, key).await,
        // Nor is it known what became of that.
        Err(_) => return Err(first),
        Ok(etag) => etag,
    };
    Ok(Completed { etag, is_repeated: true })
}

/// Gives the ETag that the replica has made, as [`Completed`] has it.
async fn try_completion(
    gateway: &Gateway,
    place: &UploadPlace,
    key: &ObjectKey,
    document: &Bytes,
    until: Instant,
) -> Result<String, UpstreamError> {
    let sending = gateway.client.dial(place.backend.clone()).await?;
    if Instant::now() > until {
        return Err(UpstreamError::OutOfService);
    }
    let request = place.request(Method::POST, key).header("content-type", "application/xml");
    let answer: UpstreamAnswer = sending.ask(request, document).await?;
    completed_etag(&answer)?;
    // Some tell none, and what it says it has made it may not keep.
    Ok(place.etag_of(gateway, key).await)
}

/// What the replicas' answers come to: each its ETag, or why there is none.
fn judge_completions<'o>(
    home_etag: &str,
    needed: usize,
    is_whole: bool,
    outcomes: impl Iterator<Item = (&'o BackendId, Result<&'o Completed, &'o UpstreamError>)>,
) -> Landed {
    let mut held = Vec::new();
    for (backend, outcome) in outcomes {
        match outcome {
            Ok(made) if !made.etag.is_empty() && made.etag == home_etag => held.push(backend.clone()),
            Ok(_) => {}
            // A worker can do what has certainly not happened.
            Err(error) if error.is_definite() => {}
            Err(_) => return Landed::Lost { settled: false },
        }
    }
    if held.len() >= needed && is_whole { Landed::Held { places: held, late: Vec::new() } } else { Landed::Unproven }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_is_held_where_enough_tell_the_homes_etag() {
        let (broken, refused) = (UpstreamError::Broken(String::new()), UpstreamError::from_answer(400, "InvalidPart"));
        let id = |id| BackendId::parse(id).expect("an id");
        let ids = [id("b"), id("c")];
        let held = |places: &[BackendId]| Landed::Held { places: places.to_vec(), late: Vec::new() };
        let made = |etag: &str| Completed { etag: etag.to_owned(), is_repeated: false };
        let (x, y, none) = (&made("x-2"), &made("y-2"), &made(""));
        for (needed, is_whole, outcomes, want) in [
            (1, true, vec![Ok(x)], held(&ids[..1])),
            (2, true, vec![Ok(x), Ok(x)], held(&ids)),
            (2, true, vec![Ok(x)], Landed::Unproven),
            (1, true, vec![Ok(y)], Landed::Unproven),
            (1, true, vec![Ok(none)], Landed::Unproven),
            (1, false, vec![Ok(x)], Landed::Unproven),
            (1, true, vec![Err(&refused)], Landed::Unproven),
            (1, true, vec![Err(&refused), Ok(x)], held(&ids[1..])),
            (1, true, vec![Err(&UpstreamError::OutOfService)], Landed::Unproven),
            (1, true, vec![Err(&broken)], Landed::Lost { settled: false }),
            (1, true, vec![Ok(x), Err(&broken)], Landed::Lost { settled: false }),
        ] {
            let judged = judge_completions("x-2", needed, is_whole, ids.iter().zip(outcomes.clone()));
            assert_eq!(judged, want, "{needed} of {outcomes:?}");
        }
        assert_eq!(judge_completions("", 1, true, [(&id("b"), Ok(none))].into_iter()), Landed::Unproven);
    }
}
