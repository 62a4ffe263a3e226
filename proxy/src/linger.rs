//! Reading on for a moment what a client that has been answered is still sending.
use http::Version;
use pingora_proxy::Session;
use std::time::Duration;

/// Bytes and time spent on reading what a refused client is still sending.
const LINGER_BYTES: usize = 16 << 20;
const LINGER: Duration = Duration::from_secs(2);

/// Reads on for a moment: closing with unread bytes would reset the connection and could take the answer with it. HTTP/2
/// has a reset of its own, which comes behind the answer.
pub(crate) async fn linger(session: &mut Session) {
    if session.req_header().version == Version::HTTP_2 || session.as_downstream_mut().is_body_done() {
        return;
    }
    let drained = async {
        let mut left = LINGER_BYTES;
        while let Ok(Some(piece)) = session.read_request_body().await {
            left = left.saturating_sub(piece.len());
            if left == 0 {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, drained).await;
}
