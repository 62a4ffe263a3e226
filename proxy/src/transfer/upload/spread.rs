//! An upload that goes to several places at once, where its bucket asks for that: beside its home to replicas, with the same bytes.
use super::{Marking, Upload};
use crate::{
    admit::Admitted,
    gateway::Gateway,
    operations::count_for,
    quorum::{CopyRequest, Places},
    refusal::Refusal,
    upstream::UpstreamBackend,
};
use bytes::Bytes;
use s3gateway_filters::payload::ChunkedEncoder;
use s3gateway_s3::checksum::Algorithm;
use s3gateway_store::queue::Mark;
use std::{sync::Arc, time::Instant};

impl Upload {
    /// Reaches the places that are to have the object beside its home, where the bucket asks for that. A part is no object.
    ///
    /// # Errors
    /// `Quorum` where too few can be reached.
    pub(in crate::transfer) async fn reach_places(
        &mut self,
        gateway: &Arc<Gateway>,
        admitted: &Admitted,
    ) -> Result<(), Refusal> {
        let routed = admitted.routed()?;
        if routed.route.write_quorum > 1 && self.part.is_none() {
            let count = count_for(self.tags.as_ref(), &routed.route);
            let places = Box::pin(Places::reach(gateway, routed, &self.dirty.key, count)).await?;
            self.places = Some(Box::new(places));
        }
        Ok(())
    }

    /// Begins the object at the other places: as the home gets it, but for conditions, which are the home's to hold.
    pub(super) fn begin_copies(&mut self, admitted: &Admitted) -> Result<(), Refusal> {
        let Some(mut places) = self.places.take() else { return Ok(()) };
        let length = self.plan.decoded_length;
        let begun = places.begin_streams(|backend| {
            let request = self.unconditional_request(admitted, backend)?;
            Ok(match self.trailing_for(backend) {
                Some(algorithm) => CopyRequest {
                    request: request.trailing_checksum(algorithm, length),
                    encoder: Some(ChunkedEncoder::new(length)),
                },
                None => CopyRequest { request: request.content_length(length), encoder: None },
            })
        });
        self.places = Some(places);
        begun
    }

    /// Lets the last bytes go, to all places together: the payload has proven true, and the key is marked.
    pub(super) async fn let_go(&mut self, gateway: &Gateway, admitted: &Admitted, last: &Bytes) -> Result<(), Refusal> {
        match self.places.take() {
            None => self.await_mark(gateway, admitted).await?,
            Some(mut places) => {
                let ready = Box::pin(self.await_replicas(gateway, admitted, &mut places)).await;
                if ready.is_ok() {
                    places.release_all(last, self.checksum.as_ref());
                }
                self.places = Some(places);
                ready?;
            }
        }
        self.released = true;
        Ok(())
    }

    /// As [`Upload::await_mark`], with all that was handed to the places sent, and the key's replicas this write's own.
    async fn await_replicas(
        &mut self,
        gateway: &Gateway,
        admitted: &Admitted,
        places: &mut Places,
    ) -> Result<(), Refusal> {
        places.catch_up_all().await?;
        self.await_mark(gateway, admitted).await?;
        if let Marking::Made(mark, _) = &self.marking {
            places.claim_replicas(&self.dirty, mark).await?;
        }
        // Again, as the lease has aged by that.
        self.await_mark(gateway, admitted).await
    }

    /// Commits what the home has taken, once enough of the other places have it, too.
    pub(super) async fn commit_everywhere(
        &mut self,
        gateway: &Gateway,
        admitted: &Admitted,
        etag: &str,
        mark: &Mark,
        since: Instant,
    ) -> Result<(), Refusal> {
        let (routed, id) = (admitted.routed()?, admitted.request_id);
        let Some(places) = &mut self.places else { return gateway.commit(routed, &self.dirty, mark, since, id).await };
        let landed = places.landed(etag).await;
        Box::pin(gateway.commit_at_quorum(routed, &self.dirty, mark, since, id, landed)).await
    }

    /// Whether another place than the home may have the whole object, or be about to.
    pub(super) fn may_land_elsewhere(&self) -> bool {
        self.places.as_ref().is_some_and(|places| places.are_released())
    }

    /// The algorithm of the checksum that goes to a backend behind the body. The parts of an upload are kept without: its
    /// backend was not told to expect any.
    pub(super) fn trailing_for(&self, backend: &UpstreamBackend) -> Option<Algorithm> {
        let trailing = self.plan.trailing_algorithm();
        trailing.filter(|algorithm| self.part.is_none() && backend.keeps_checksum(*algorithm))
    }
}
