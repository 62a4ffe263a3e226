//! One body on its way to one replica, in a task of its own, so that all places take it at once.
//! Invariants: it holds two pieces at most, one waiting and one being written; without its last bytes it ends short, and the
//! replica has nothing to store; its last bytes leave in time or not at all.
use crate::{
    gateway::Gateway,
    upstream::{Sending, UpstreamAnswer, UpstreamBackend, UpstreamError, UpstreamRequest},
};
use bytes::Bytes;
use s3gateway_filters::payload::ChunkedEncoder;
use s3gateway_s3::checksum::Checksum;
use std::{sync::Arc, time::Instant};
use tokio::{sync::mpsc, task::JoinHandle};

/// A request to a replica, and how its body is framed.
pub(crate) struct CopyRequest {
    pub(crate) request: UpstreamRequest,
    /// Where the replica gets the body with its checksum behind it.
    pub(crate) encoder: Option<ChunkedEncoder>,
}

/// What goes over to the task.
enum Piece {
    More(Bytes),
    Last {
        bytes: Bytes,
        checksum: Option<Checksum>,
        /// They leave no later.
        until: Instant,
    },
}

/// A body on its way. Dropped before its last bytes, it never gets there.
pub(super) struct BodyStream {
    pieces: mpsc::Sender<Piece>,
    task: JoinHandle<Result<UpstreamAnswer, UpstreamError>>,
    is_released: bool,
}

/// The other end is gone, or the time is over.
const GIVEN_UP: &str = "the body was given up";

impl BodyStream {
    /// Begins. `connected`: a connection to `backend`, else one is made.
    pub(super) fn begin_stream(
        gateway: Arc<Gateway>,
        backend: Arc<UpstreamBackend>,
        connected: Option<Sending>,
        copy: CopyRequest,
    ) -> Self {
        let (pieces, taken) = mpsc::channel(1);
        let task = tokio::spawn(carry_body(gateway, backend, connected, copy, taken));
        Self { pieces, task, is_released: false }
    }

    /// Hands a piece over, as fast as the replica takes it; `false` where the replica is lost.
    pub(super) async fn feed(&self, piece: Bytes) -> bool {
        self.pieces.send(Piece::More(piece)).await.is_ok()
    }

    /// Waits until everything has been written; `false` where the replica is lost.
    pub(super) async fn catch_up(&self) -> bool {
        // Taken only when what stands before it has been written.
        self.feed(Bytes::new()).await && self.pieces.reserve().await.is_ok()
    }

    /// Lets the last bytes go, to a stream that has caught up.
    pub(super) fn release_last(&mut self, bytes: Bytes, checksum: Option<Checksum>, until: Instant) {
        self.is_released = true;
        // A replica that is lost says so by its outcome.
        let _ = self.pieces.try_send(Piece::Last { bytes, checksum, until });
    }

    /// What has become of it.
    pub(super) async fn outcome(&mut self) -> Result<UpstreamAnswer, UpstreamError> {
        let ended = (&mut self.task).await;
        ended.unwrap_or_else(|_| Err(UpstreamError::Broken(GIVEN_UP.to_owned())))
    }
}

impl Drop for BodyStream {
    fn drop(&mut self) {
        // What has its last bytes is on its way whatever is done here; its answer tells the breaker.
        if !self.is_released {
            self.task.abort();
        }
    }
}

async fn carry_body(
    gateway: Arc<Gateway>,
    backend: Arc<UpstreamBackend>,
    connected: Option<Sending>,
    copy: CopyRequest,
    mut pieces: mpsc::Receiver<Piece>,
) -> Result<UpstreamAnswer, UpstreamError> {
    let CopyRequest { request, mut encoder } = copy;
    let mut sending = match connected {
        Some(sending) => sending,
        None => gateway.client.dial(backend).await?,
    };
    sending.send_request_head(request).await?;
    while let Some(piece) = pieces.recv().await {
        let (bytes, checksum, until) = match piece {
            Piece::More(bytes) => {
                let framed = match &mut encoder {
                    Some(encoder) => encoder.push(bytes),
                    None => bytes,
                };
                sending.hand_over(&framed).await?;
                continue;
            }
            Piece::Last { bytes, checksum, until } => (bytes, checksum, until),
        };
        if Instant::now() > until {
            break;
        }
        let framed = match (encoder.take(), &checksum) {
            (Some(encoder), Some(checksum)) => encoder.finish(bytes, checksum.algorithm, &checksum.value),
            _ => bytes,
        };
        sending.hand_over(&framed).await?;
        return sending.conclude().await;
    }
    Err(UpstreamError::OutOfService)
}
