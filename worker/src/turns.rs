//! Turns at long work that any worker may go on with, such as a promotion: the metadata lists what there is to do, and each piece
//! is in the hands of one task of this worker at most.
use s3gateway_store::StoreError;
use std::collections::HashSet;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Looks every so often at what is listed and takes a turn at each piece, until `stop`; what is left then another worker takes over.
pub(crate) async fn take_turns<W, L, T>(
    every: Duration,
    stop: &CancellationToken,
    list: impl Fn() -> L,
    id: fn(&W) -> &str,
    take: impl Fn(W) -> T,
) where
    L: Future<Output = Result<Vec<W>, StoreError>>,
    T: Future<Output = ()> + Send + 'static,
{
    let mut turns = JoinSet::new();
    let mut ours: HashSet<String> = HashSet::new();
    while !stop.is_cancelled() {
        match list().await {
            Ok(listed) => {
                for work in listed {
                    let id = id(&work).to_owned();
                    if ours.insert(id.clone()) {
                        let turn = take(work);
                        turns.spawn(async move {
                            turn.await;
                            id
                        });
                    }
                }
            }
            Err(error) => debug!(%error, "what is to be gone on with cannot be read"),
        }
        let _ = tokio::time::timeout(every, stop.cancelled()).await;
        while let Some(ended) = turns.try_join_next() {
            if let Ok(id) = ended {
                ours.remove(&id);
            }
        }
    }
    turns.shutdown().await;
}
