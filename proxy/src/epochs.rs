//! Fences of a bucket's epochs: no write is released to a home that may be none any more, none is acknowledged there, and no
//! read passes off what a former home may know better.
//! Why it holds: a promotion moves the home only after each proxy has noted that it knows of the stop, or could not read the
//! feed for so long that it takes no writes; what was released before that is marked, and the promotion looks at the marks.
use crate::{admit::Routed, gateway::Gateway, refusal::Refusal};
use s3gateway_s3::ObjectKey;
use s3gateway_store::{Route, StoreError, StrandedState, Writes};
use std::{sync::Arc, time::Instant};

impl Gateway {
    /// Passes a write that is about to reach the home: after its mark, before its last bytes. None while a worker puts the key's versions in
    /// order, as it could not tell what the client wrote from what itself has written, or replaces or deletes its one object.
    ///
    /// # Errors
    /// `HomeChanges`, `ViewExpired`; a store error.
    pub(crate) async fn require_taken(&self, routed: &Routed, key: &ObjectKey) -> Result<(), Refusal> {
        let now = self.route_now(routed).await?;
        if now.epoch != routed.route.epoch || now.writes != Writes::Taken {
            return Err(Refusal::HomeChanges);
        }
        self.require_no_merge(&now, key).await
    }

    /// Passes a key that no worker changes at its home.
    async fn require_no_merge(&self, route: &Route, key: &ObjectKey) -> Result<(), Refusal> {
        if !route.has_stranded {
            return Ok(());
        }
        let stranded = self.metadata.stranded(&route.bucket, key).await?;
        if stranded.iter().any(|row| row.merging.is_some()) { Err(Refusal::HomeChanges) } else { Ok(()) }
    }

    /// Passes a write that is to be acknowledged: what it wrote to is still home. Where writes have been stopped meanwhile, or
    /// stranded keys are brought home, only while its mark, asked for at `since`, cannot have run out: that keeps the home
    /// from moving, and a former home's write from taking its place.
    ///
    /// # Errors
    /// `HomeChanges`, `ViewExpired`.
    pub(crate) async fn require_same_home(&self, routed: &Routed, since: Instant) -> Result<(), Refusal> {
        let now = self.route_now(routed).await?;
        let is_quiet = now.writes == Writes::Taken && !routed.route.has_stranded;
        let is_held = is_quiet || since.elapsed() < self.lease();
        if now.epoch == routed.route.epoch && is_held { Ok(()) } else { Err(Refusal::HomeChanges) }
    }

    /// Passes what belongs to a write that has landed and holds its key's mark: what is recorded of its home is of that home still.
    ///
    /// # Errors
    /// `HomeChanges`, `ViewExpired`.
    pub(crate) async fn require_same_epoch(&self, routed: &Routed) -> Result<(), Refusal> {
        let now = self.route_now(routed).await?;
        if now.epoch == routed.route.epoch { Ok(()) } else { Err(Refusal::HomeChanges) }
    }

    /// The route as a view knows it that is fresh enough for writes; from memory where it is held.
    async fn route_now(&self, routed: &Routed) -> Result<Arc<Route>, Refusal> {
        if !self.view.is_fresh() {
            return Err(Refusal::ViewExpired);
        }
        let now = self.routes.resolve(&self.metadata, &routed.route.tenant, &routed.route.name).await?;
        if now.bucket == routed.route.bucket { Ok(now) } else { Err(Refusal::HomeChanges) }
    }

    /// Passes a key whose last write is known to be at its home.
    ///
    /// # Errors
    /// `Stranded`; a store error where that cannot be told.
    pub(crate) async fn require_no_stranded(&self, routed: &Routed, key: &ObjectKey) -> Result<(), Refusal> {
        if !routed.route.has_stranded {
            return Ok(());
        }
        let stranded = self.metadata.stranded(&routed.route.bucket, key).await?;
        if stranded.iter().any(|row| row.state == StrandedState::Open) { Err(Refusal::Stranded) } else { Ok(()) }
    }

    /// Passes a key of which nothing is at a former home alone: a version that is there may not be deleted, as it would come back.
    ///
    /// # Errors
    /// `Stranded`; a store error where that cannot be told.
    pub(crate) async fn require_settled(&self, routed: &Routed, key: &ObjectKey) -> Result<(), Refusal> {
        if self.is_waiting(routed, key).await? { Err(Refusal::Stranded) } else { Ok(()) }
    }

    /// Whether a key waits for what a former home says of it.
    pub(crate) async fn is_waiting(&self, routed: &Routed, key: &ObjectKey) -> Result<bool, StoreError> {
        Ok(routed.route.has_stranded && !self.metadata.stranded(&routed.route.bucket, key).await?.is_empty())
    }

    /// Before a write is acknowledged: it is newer than what of its key is stranded. It has landed, so a worker that begins to change the key at
    /// its home after this sees it; one that has begun before may not have, where the write's lease was forgotten.
    ///
    /// # Errors
    /// `HomeChanges`; a store error.
    pub(crate) async fn overtake_stranded(&self, routed: &Routed, key: &ObjectKey) -> Result<(), Refusal> {
        if routed.route.has_stranded {
            self.metadata.overwrite_stranded(&routed.route.bucket, key).await?;
        }
        self.require_no_merge(&routed.route, key).await
    }
}
