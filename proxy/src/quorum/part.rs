//! One part on its way to the replicas that have its upload, along with the home.
//! Invariant: a replica that does not take it in time, or takes something else, is left out of the upload from then on; the part goes on.
use super::{
    stream::{BodyStream, CopyRequest},
    uploads::UploadPlace,
};
use crate::{admit::Routed, gateway::Gateway};
use bytes::Bytes;
use futures::future::join_all;
use http::Method;
use s3gateway_s3::etag;
use s3gateway_store::DirtyKey;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// How long the client waits for a replica, which can do without it: to take the next piece, and after the home's answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The replicas of a part's upload.
pub(crate) struct PartPlaces {
    gateway: Arc<Gateway>,
    /// The home's.
    upload_id: String,
    number: u32,
    length: u64,
    places: Vec<UploadPlace>,
    /// One for each place; `None` where it is lost to this attempt.
    streams: Vec<Option<BodyStream>>,
}

impl PartPlaces {
    /// Finds where an upload stands beside its home. `upload_id`: the home's; `length`: the part's, in bytes.
    pub(crate) async fn find(
        gateway: &Arc<Gateway>,
        routed: &Routed,
        upload_id: &str,
        number: u32,
        length: u64,
    ) -> Self {
        let found = gateway.places_of_upload(&routed.route, upload_id).await;
        // A replica that lacks this part refuses to complete.
        let places =
            found.inspect_err(|error| tracing::debug!(%error, "a part goes to its home alone")).unwrap_or_default();
        let (gateway, upload_id) = (gateway.clone(), upload_id.to_owned());
        Self { gateway, upload_id, number, length, places, streams: Vec::new() }
    }

    /// Begins an attempt; what one before has begun ends, but for what has its last bytes.
    pub(crate) fn begin_streams(&mut self, dirty: &DirtyKey) {
        let begin = |place: &UploadPlace| {
            // Nobody is to wait for one that is away.
            place.backend.is_healthy().then(|| {
                let request = place.request(Method::PUT, &dirty.key).query("partNumber", &self.number.to_string());
                let copy = CopyRequest { request: request.content_length(self.length), encoder: None };
                BodyStream::begin_stream(self.gateway.clone(), place.backend.clone(), None, copy)
            })
        };
        self.streams = self.places.iter().map(begin).collect();
    }

    /// Hands a piece to every place that still takes it; goes on when the slowest has room for it.
    pub(crate) async fn feed_all(&mut self, piece: &Bytes) {
        if !piece.is_empty() {
            let feed = |stream| in_time(BodyStream::feed(stream, piece.clone()));
            let fed = join_all(self.streams.iter().flatten().map(feed)).await;
            self.drop_lost(&fed);
        }
    }

    /// Waits until every place that still takes it has been sent what was handed over.
    pub(crate) async fn catch_up_all(&mut self) {
        let caught_up = join_all(self.streams.iter().flatten().map(|stream| in_time(stream.catch_up()))).await;
        self.drop_lost(&caught_up);
    }

    /// `fed`: whether each stream that there is has taken it.
    fn drop_lost(&mut self, fed: &[bool]) {
        for (stream, fed) in self.streams.iter_mut().filter(|stream| stream.is_some()).zip(fed) {
            if !fed {
                *stream = None;
            }
        }
    }

    /// Lets the places have the last bytes.
    pub(crate) fn release_all(&mut self, last: &Bytes) {
        let until = Instant::now() + self.gateway.settings.upstream.connect_timeout;
        for stream in self.streams.iter_mut().flatten() {
            stream.release_last(last.clone(), None, until);
        }
    }

    /// Waits for the places' answers, and leaves out of the upload those that do not have what the home has. `home_etag`: without
    /// quotes.
    pub(crate) async fn settle(&mut self, dirty: &DirtyKey, home_etag: &str) {
        let outcome = |stream: Option<BodyStream>| async move {
            match stream {
                Some(mut stream) => {
                    let told = timeout(PATIENCE, stream.outcome()).await;
                    told.is_ok_and(|told| told.is_ok_and(|got| etag::unquoted(got.header("etag")) == home_etag))
                }
                None => false,
            }
        };
        let held = join_all(std::mem::take(&mut self.streams).into_iter().map(outcome)).await;
        for (place, _) in self.places.iter().zip(held).filter(|(_, held)| !held) {
            let lost = self.gateway.metadata.lose_upload_place(&dirty.bucket, &self.upload_id, place.backend.id());
            if let Err(error) = lost.await {
                // It will refuse to complete without the part.
                tracing::debug!(%error, "an upload at a replica lacks a part");
            }
        }
    }
}

/// Whether a replica has done it, and in time.
async fn in_time(done: impl Future<Output = bool>) -> bool {
    timeout(PATIENCE, done).await.unwrap_or(false)
}
