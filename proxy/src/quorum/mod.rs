//! Writes that are acknowledged only once so many places hold them, their home included.
//! Invariants: a proxy writes at a replica only while it has the key's replicas to itself, under the lease of its mark; a
//! success is told only after every place that counts was seen to hold what the home holds; the key stays dirty until a worker
//! has seen it, too.
mod held;
mod part;
mod places;
mod stream;
mod uploads;
mod wait;

use crate::{
    admit::Routed,
    answer::RequestId,
    gateway::Gateway,
    metrics::QuorumOutcome,
    refusal::{QuorumLack, Refusal},
};
use s3gateway_config::BackendId;
use s3gateway_store::{DirtyKey, queue::Mark};
use std::time::Instant;

pub(crate) use part::PartPlaces;
pub(crate) use places::Places;
pub(crate) use stream::CopyRequest;
pub(crate) use uploads::PlacesToComplete;

/// What is known of the places beside the home once this has the write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Landed {
    /// Enough of them have answered with the home's ETag.
    Held {
        /// Those that have.
        places: Vec<BackendId>,
        /// Where the same may land once more.
        late: Vec<BackendId>,
    },
    /// Nothing was sent to them, or what they answered proves nothing: a worker will tell.
    Unproven,
    /// The home has nothing any more, and a worker is to take it from the others.
    Gone,
    /// One did not take it. `settled`: no write to any of them is on its way still.
    Lost { settled: bool },
}

impl Gateway {
    /// Commits a write that the home has taken, and passes it once so many places hold it as the bucket asks for.
    ///
    /// # Errors
    /// As [`Gateway::commit`]; `Quorum`, where the key is dirty and nothing is acknowledged.
    pub(crate) async fn commit_at_quorum(
        &self,
        routed: &Routed,
        dirty: &DirtyKey,
        mark: &Mark,
        since: Instant,
        request_id: RequestId,
        landed: Landed,
    ) -> Result<(), Refusal> {
        let commit = || self.commit(routed, dirty, mark, since, request_id);
        let disturbance = self.queue.disturbance(dirty, mark).await;
        if let Landed::Held { late, .. } = &landed
            && !late.is_empty()
        {
            // It is no matter to this write, but to the next one.
            self.queue.note_late(dirty, late, self.lease()).await?;
        }
        match landed {
            Landed::Lost { settled } => {
                // A write that may still land needs the lease until it has.
                if settled {
                    commit().await?;
                }
                self.metrics.observe_quorum(QuorumOutcome::Lost);
                return Err(QuorumLack::Lost.into());
            }
            Landed::Held { ref places, .. }
                if disturbance
                    .as_ref()
                    .is_ok_and(|seen| seen.spares(places) && !seen.late.contains(&routed.route.home)) =>
            {
                commit().await?;
                self.metrics.observe_quorum(QuorumOutcome::Streamed);
                return Ok(());
            }
            Landed::Held { .. } | Landed::Unproven | Landed::Gone => {
                tracing::debug!(?landed, ?disturbance, "a worker is waited for")
            }
        }
        let before = self.metadata.copies(&dirty.bucket, &dirty.key).await;
        let servers = self.queue.servers().await;
        commit().await?;
        let held = match (disturbance, servers) {
            (Ok(disturbance), Ok(servers)) if landed == Landed::Gone => {
                self.await_gone(routed, dirty, &servers, before?, mark, disturbance).await
            }
            (Ok(disturbance), Ok(servers)) => {
                self.await_copies(routed, dirty, &servers, before?, mark, disturbance).await
            }
            // Nobody can tell before the queue is back.
            _ => false,
        };
        self.metrics.observe_quorum(if held { QuorumOutcome::Awaited } else { QuorumOutcome::Unproven });
        if held { Ok(()) } else { Err(QuorumLack::Unproven.into()) }
    }
}
