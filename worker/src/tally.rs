//! Passes a body on at both backends' pace, hashing it where that is asked for, and fails it where it is shorter or longer than
//! promised, or where its last bytes come after the claim that it is copied by: then the target has nothing to store.
//! Invariant: holds one frame at most; a digest exists only once every byte has passed.
use crate::claim::{ClaimRanOut, Standing};
use crate::layout::Digest16;
use crate::metrics::Metrics;
use crate::pace::Pace;
use aws_sdk_s3::primitives::SdkBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use md5::{Digest, Md5};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use tokio::time::Sleep;

/// Where the digest of a [`Tally`] that hashes appears when its last byte has passed.
pub(crate) type DigestSlot = Arc<OnceLock<Digest16>>;

/// Why a body was failed.
#[derive(Debug, thiserror::Error)]
#[error("the source sent {0} bytes than promised")]
pub(crate) struct WrongLength(&'static str);

/// A body on its way from one backend to another.
pub(crate) struct Tally {
    inner: SdkBody,
    md5: Option<Md5>,
    left: u64,
    slot: DigestSlot,
    standing: Standing,
    metrics: Metrics,
    paces: [Arc<Pace>; 2],
    /// Until the bytes that have gone over are within the bandwidth.
    rest: Option<Pin<Box<Sleep>>>,
}

impl Tally {
    /// Wraps a body of exactly `length` bytes. A core hashes some 700 MB a second, about as much as all else that a copy takes.
    pub(crate) fn new(
        inner: SdkBody,
        length: u64,
        hashes: bool,
        standing: Standing,
        metrics: Metrics,
        paces: [Arc<Pace>; 2],
    ) -> (Self, DigestSlot) {
        let slot = DigestSlot::default();
        if length == 0 && hashes {
            let _ = slot.set(Md5::digest([]).into());
        }
        let md5 = hashes.then(Md5::new);
        let tally = Self { inner, md5, left: length, slot: slot.clone(), standing, metrics, paces, rest: None };
        (tally, slot)
    }
}

impl Body for Tally {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(rest) = &mut self.rest {
            ready!(rest.as_mut().poll(cx));
            self.rest = None;
        }
        let Some(frame) = ready!(Pin::new(&mut self.inner).poll_frame(cx)) else {
            return Poll::Ready((self.left > 0).then(|| Err(WrongLength("fewer").into())));
        };
        let Ok(data) = frame?.into_data() else { return Poll::Ready(None) };
        let Some(left) = self.left.checked_sub(data.len() as u64) else {
            return Poll::Ready(Some(Err(WrongLength("more").into())));
        };
        if left == 0 && !self.standing.stands() {
            return Poll::Ready(Some(Err(ClaimRanOut.into())));
        }
        self.left = left;
        if let Some(md5) = &mut self.md5 {
            md5.update(&data);
        }
        self.metrics.copied(data.len());
        let rest = self.paces.iter().map(|pace| pace.spend(data.len())).max().unwrap_or_default();
        if !rest.is_zero() && left > 0 {
            self.rest = Some(Box::pin(tokio::time::sleep(rest)));
        }
        if left == 0
            && let Some(md5) = self.md5.take()
        {
            let _ = self.slot.set(md5.finalize().into());
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use std::time::Duration;
    use tokio::time::Instant;

    async fn check(sent: &'static [u8], promised: u64, lease: Duration) -> (bool, bool) {
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        let paces = [Pace::new(1, None), Pace::new(1, None)];
        let standing = Standing::since(Instant::now(), lease);
        let (body, slot) = Tally::new(SdkBody::from(sent), promised, true, standing, metrics, paces);
        let collected = body.collect().await;
        (collected.is_ok(), slot.get() == Some(&Md5::digest(sent).into()))
    }

    #[tokio::test]
    async fn only_the_promised_length_passes_with_a_digest() {
        let lease = Duration::from_secs(60);
        assert_eq!(check(b"hello", 5, lease).await, (true, true));
        assert_eq!(check(b"", 0, lease).await, (true, true));
        assert_eq!(check(b"hello", 6, lease).await, (false, false));
        assert_eq!(check(b"hello", 4, lease).await, (false, false));
    }

    #[tokio::test]
    async fn the_last_bytes_stay_behind_once_the_claim_has_run_out() {
        assert_eq!(check(b"hello", 5, Duration::ZERO).await, (false, false));
    }
}
