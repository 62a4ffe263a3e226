//! An upload that goes to several places at once, where its bucket asks for that: beside its home to replicas, with the same bytes.
use super::{Marking, Upload};
use crate::{
    admit::Admitted,
    gateway::Gateway,
    operations::count_for,
    quorum::{CopyRequest, PartPlaces, Places},
    refusal::Refusal,
    upstream::UpstreamBackend,
};
use bytes::Bytes;
use s3gateway_filters::payload::ChunkedEncoder;
use s3gateway_s3::checksum::Algorithm;
use s3gateway_store::{DirtyKey, queue::Mark};
use std::{sync::Arc, time::Instant};

/// Where else an upload goes before it is acknowledged, where the bucket asks for that.
#[derive(Default)]
pub(super) enum Elsewhere {
    #[default]
    Nowhere,
    /// An object, which is all or nothing.
    Object(Box<Places>),
    /// A part, which a place may come to lack.
    Part(Box<PartPlaces>),
}

impl Elsewhere {
    /// Hands a piece to every place.
    ///
    /// # Errors
    /// As [`Places::feed_all`].
    pub(super) async fn feed_all(&mut self, piece: &Bytes) -> Result<(), Refusal> {
        match self {
            Self::Nowhere => Ok(()),
            Self::Object(places) => places.feed_all(piece).await,
            Self::Part(places) => {
                places.feed_all(piece).await;
                Ok(())
            }
        }
    }

    /// Waits for the places of a part. `home_etag`: without quotes.
    pub(super) async fn settle_part(&mut self, dirty: &DirtyKey, home_etag: &str) {
        if let Self::Part(places) = self {
            Box::pin(places.settle(dirty, home_etag)).await;
        }
    }

    /// Whether another place than the home may have the whole object, or be about to.
    pub(super) fn may_have_object(&self) -> bool {
        matches!(self, Self::Object(places) if places.are_released())
    }
}

impl Upload {
    /// Reaches the places that are to have the object beside its home, or finds those that have the upload of a part, where the
    /// bucket asks for that.
    ///
    /// # Errors
    /// `Quorum` where too few can be reached for an object.
    pub(in crate::transfer) async fn reach_places(
        &mut self,
        gateway: &Arc<Gateway>,
        admitted: &Admitted,
    ) -> Result<(), Refusal> {
        let routed = admitted.routed()?;
        if routed.route.write_quorum <= 1 {
            return Ok(());
        }
        self.elsewhere = match &self.part {
            Some((upload_id, number)) => {
                let length = self.plan.decoded_length;
                let places = Box::pin(PartPlaces::find(gateway, routed, upload_id, *number, length)).await;
                Elsewhere::Part(Box::new(places))
            }
            None => {
                let count = count_for(self.tags.as_ref(), &routed.route);
                let places = Box::pin(Places::reach(gateway, routed, &self.dirty.key, count)).await?;
                Elsewhere::Object(Box::new(places))
            }
        };
        Ok(())
    }

    /// Begins it at the other places: as the home gets it, but for conditions, which are the home's to hold.
    pub(super) fn begin_copies(&mut self, admitted: &Admitted) -> Result<(), Refusal> {
        let length = self.plan.decoded_length;
        let mut elsewhere = std::mem::take(&mut self.elsewhere);
        let begun = match &mut elsewhere {
            Elsewhere::Nowhere => Ok(()),
            Elsewhere::Object(places) => places.begin_streams(|backend| {
                let request = self.unconditional_request(admitted, backend)?;
                Ok(match self.trailing_for(backend) {
                    Some(algorithm) => CopyRequest {
                        request: request.trailing_checksum(algorithm, length),
                        encoder: Some(ChunkedEncoder::new(length)),
                    },
                    None => CopyRequest { request: request.content_length(length), encoder: None },
                })
            }),
            Elsewhere::Part(places) => {
                places.begin_streams(&self.dirty);
                Ok(())
            }
        };
        self.elsewhere = elsewhere;
        begun
    }

    /// Lets the last bytes go, to all places together: the payload has proven true, and the key is marked.
    pub(super) async fn let_go(&mut self, gateway: &Gateway, admitted: &Admitted, last: &Bytes) -> Result<(), Refusal> {
        let mut elsewhere = std::mem::take(&mut self.elsewhere);
        let ready = match &mut elsewhere {
            Elsewhere::Nowhere => self.await_mark(gateway, admitted).await,
            Elsewhere::Object(places) => Box::pin(self.await_replicas(gateway, admitted, places)).await,
            Elsewhere::Part(places) => {
                places.catch_up_all().await;
                Ok(())
            }
        };
        if ready.is_ok() {
            match &mut elsewhere {
                Elsewhere::Nowhere => {}
                Elsewhere::Object(places) => places.release_all(last, self.checksum.as_ref()),
                Elsewhere::Part(places) => places.release_all(last),
            }
        }
        self.elsewhere = elsewhere;
        ready?;
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
        let Elsewhere::Object(places) = &mut self.elsewhere else {
            return gateway.commit(routed, &self.dirty, mark, since, id).await;
        };
        let landed = places.landed(&self.dirty.key, etag).await;
        Box::pin(gateway.commit_at_quorum(routed, &self.dirty, mark, since, id, landed)).await
    }

    /// The algorithm of the checksum that goes to a backend behind the body. The parts of an upload are kept without: its
    /// backend was not told to expect any.
    pub(super) fn trailing_for(&self, backend: &UpstreamBackend) -> Option<Algorithm> {
        let trailing = self.plan.trailing_algorithm();
        trailing.filter(|algorithm| self.part.is_none() && backend.keeps_checksum(*algorithm))
    }
}
