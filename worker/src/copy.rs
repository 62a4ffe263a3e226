//! Copies one object from the home to another backend: streamed, never held whole, and proven by the MD5 that both sides tell, or by
//! what was hashed on the way where one of them does not.
//! Invariant: every read is bound to the home's ETag, so that an overwrite during the copy fails it instead of mixing two objects.
use crate::backend::{BackendError, Remote};
use crate::boundaries::{Layouts, Told};
use crate::claim::Standing;
use crate::layout::{self, Digest16, Part, Probe};
use crate::metrics::Metrics;
use crate::multipart::{self, Upload, Uploaders};
use crate::object::Object;
use crate::plan::Method;
use crate::settings::WorkerSettings;
use crate::tally::{DigestSlot, Tally};
use aws_sdk_s3::primitives::SdkBody;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http_body_util::{BodyExt, Limited};
use s3gateway_s3::{ObjectKey, PhysicalBucket, VersionId};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Objects of at most so many bytes are held whole between the look at them and their copies.
const SMALL: u64 = 256 << 10;
/// Attempts of one part before the whole copy counts as failed.
const PART_ATTEMPTS: u32 = 3;

/// One copy to be made.
#[derive(Clone, Copy)]
pub(crate) struct Copying<'a> {
    pub(crate) source: &'a Remote,
    pub(crate) source_bucket: &'a PhysicalBucket,
    pub(crate) target: &'a Remote,
    pub(crate) target_bucket: &'a PhysicalBucket,
    pub(crate) key: &'a ObjectKey,
    /// Under which it goes to the target.
    pub(crate) target_key: &'a ObjectKey,
    /// While which it may land.
    pub(crate) standing: &'a Standing,
    /// The version at the source; `None`: the current object.
    pub(crate) version: Option<&'a VersionId>,
    pub(crate) object: &'a Object,
    /// Its bytes, where they are at hand.
    pub(crate) opened: Option<&'a Source>,
    /// Who else may have uploads of the key open at the target.
    pub(crate) uploaders: Uploaders<'a>,
    pub(crate) settings: &'a WorkerSettings,
    pub(crate) metrics: &'a Metrics,
}

/// An object's bytes as the look at it brought them: small ones for everyone, a stream for who comes first.
#[derive(Default)]
pub(crate) struct Source {
    whole: Option<Bytes>,
    stream: Mutex<Option<SdkBody>>,
}

impl Source {
    /// Reads small objects whole.
    pub(crate) async fn read(body: SdkBody, size: u64) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        if size > SMALL {
            return Ok(Self { whole: None, stream: Mutex::new(Some(body)) });
        }
        // What is longer than it said is not held.
        let most = usize::try_from(size).unwrap_or(usize::MAX);
        let whole = Limited::new(body, most).collect().await?.to_bytes();
        Ok(Self { whole: Some(whole), stream: Mutex::default() })
    }

    /// Whether everybody has the bytes of one and the same answer.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole.is_some()
    }

    fn take(&self) -> Option<SdkBody> {
        match &self.whole {
            Some(whole) => Some(SdkBody::from(whole.clone())),
            None => self.stream.lock().unwrap_or_else(PoisonError::into_inner).take(),
        }
    }
}

/// What is known of the bytes that went over, beside the target's own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// The target acknowledged the MD5 of all bytes, as the home has it or as they were read from there.
    Md5,
    /// Only the count of bytes.
    Size,
}

/// What the target has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    proof: Proof,
    /// Without quotes; empty where none was told.
    etag: String,
}

impl Acknowledged {
    /// How what the target holds now is known to be the copy of `object`; `None` where it is another than was acknowledged.
    pub(crate) fn verify(&self, held: &Object, object: &Object) -> Option<&'static str> {
        let is_other = !self.etag.is_empty() && !held.etag.is_empty() && self.etag != held.etag;
        match self.proof {
            _ if is_other => None,
            _ if held.etag == object.etag => Some("etag"),
            Proof::Md5 => Some("md5"),
            Proof::Size => Some("size"),
        }
    }
}

/// A part that is at the target.
struct Sent {
    digest: Digest16,
    etag: String,
    proof: Proof,
}

/// The parts of an upload after all of them are at the target.
struct Uploaded {
    digests: Vec<Digest16>,
    etags: BTreeMap<i32, String>,
    reused: usize,
    proof: Proof,
}

/// What else an object's parts may be.
#[derive(Default)]
struct Others {
    /// The count of parts whose lengths the home can still be asked for.
    between: Option<u32>,
    guesses: Vec<Vec<Part>>,
}

impl Copying<'_> {
    /// Makes the copy, replacing what is there.
    ///
    /// Cancel: safe to drop; an unfinished multipart upload stays for the next attempt.
    pub(crate) async fn copy(&self, method: Method) -> Result<Acknowledged, BackendError> {
        match method {
            Method::Put => self.copy_by_put().await,
            Method::Multipart(count) => self.copy_by_parts(count).await,
        }
    }

    async fn copy_by_put(&self) -> Result<Acknowledged, BackendError> {
        if !self.etags_tell() {
            return self.put(true).await;
        }
        let acknowledged = self.put(false).await?;
        // Other bytes, or the home's ETag is no MD5: hashing them tells which.
        if acknowledged.etag == self.object.etag { Ok(acknowledged) } else { self.put(true).await }
    }

    async fn put(&self, hashes: bool) -> Result<Acknowledged, BackendError> {
        let body = match self.opened.and_then(Source::take) {
            Some(body) => body,
            None => self.source.read(self.source_bucket, self.key, self.version, &self.object.etag, None).await?,
        };
        let (body, slot) = self.tally(body, self.object.size, hashes);
        let etag = self.target.put(self.target_bucket, self.target_key, self.object, body).await?;
        if !hashes {
            return Ok(Acknowledged { proof: Proof::Md5, etag });
        }
        let told = layout::parse_digest(&self.object.etag);
        if told.is_some() && slot.get().is_some() && told.as_ref() != slot.get() {
            self.source.note_other_etag();
        }
        let proof = self.prove("PutObject", &etag, &slot)?;
        Ok(Acknowledged { proof, etag })
    }

    /// Whether home and target both tell an object's MD5, so that nobody need hash it on the way.
    fn etags_tell(&self) -> bool {
        self.source.has_md5_etags() && self.target.backend.capabilities.multipart_etag
    }

    async fn copy_by_parts(&self, count: Option<u32>) -> Result<Acknowledged, BackendError> {
        let Layouts { mut best, told } = self.find_layouts(count).await?;
        let fallback = layout::uniform(self.object.size, self.settings.part_size);
        let first = if best.is_empty() { fallback.clone() } else { best.remove(0) };
        let hashes = told == Told::Nothing || !self.etags_tell();
        let between = (told == Told::Ends).then_some(count).flatten();
        match self.upload(&first, Others { between, guesses: best }, count.is_some(), hashes).await {
            // The home's backend allowed parts that this one does not.
            Err(BackendError::Refused { code, .. })
                if code == "EntityTooSmall" && (first != fallback || between.is_some()) =>
            {
                self.upload(&fallback, Others::default(), false, true).await
            }
            done => done,
        }
    }

    /// Uploads with `parts`; where the ETag shows that the home's parts were others, with those that the home tells, or with the
    /// guess that fits. Where it is to be enough that both sides tell the same ETag, and they do not, once more with hashing.
    async fn upload(
        &self,
        parts: &[Part],
        others: Others,
        seeks_etag: bool,
        hashes: bool,
    ) -> Result<Acknowledged, BackendError> {
        let mut parts = parts.to_vec();
        let (mut others, mut hashes, mut is_again) = (others, hashes, false);
        // Left-overs are looked for once: what others begin later is none.
        let (mut id, mut held) = multipart::open(self, seeks_etag, &parts).await?;
        loop {
            let upload = Upload { remote: self.target, bucket: self.target_bucket, key: self.target_key, id: &id };
            let uploaded = self.upload_parts(&upload, &parts, &held, hashes).await;
            let uploaded = self.keep_or_abort(&upload, uploaded).await?;
            let is_equal = layout::multipart_etag(&uploaded.digests) == self.object.etag;
            // Two ends that look even say nothing of the parts between them.
            if !is_equal && let Some(count) = others.between.take() {
                let exact = self.ask_every_part(count).await;
                let exact = self.keep_or_abort(&upload, exact).await?;
                if let Some(exact) = exact.filter(|exact| *exact != parts) {
                    (id, held) = self.begin_anew(&upload).await?;
                    parts = exact;
                    continue;
                }
            }
            if !is_equal && !hashes {
                (hashes, is_again) = (true, true);
                (id, held) = self.begin_anew(&upload).await?;
                continue;
            }
            if !is_equal && is_again {
                self.source.note_other_etag();
            }
            if !is_equal && uploaded.reused > 0 {
                // Parts found there may be of an older object: only an equal ETag would have proven them.
                (id, held) = self.begin_anew(&upload).await?;
                continue;
            }
            if !is_equal && seeks_etag && !others.guesses.is_empty() {
                let probed = self.probe(std::mem::take(&mut others.guesses)).await;
                if let Some(right) = self.keep_or_abort(&upload, probed).await? {
                    (id, held) = self.begin_anew(&upload).await?;
                    parts = right;
                    continue;
                }
            }
            let completed = match self.standing.stands() {
                true => upload.complete(&uploaded.etags).await,
                false => Err(self.target.unavailable("CompleteMultipartUpload", "the claim was not confirmed in time")),
            };
            let told = self.keep_or_abort(&upload, completed).await?;
            let etag = self.expect_etag(told, &uploaded);
            self.metrics.resumed_parts.inc_by(uploaded.reused as u64);
            if uploaded.reused > 0 {
                self.require_headers().await?;
            }
            return Ok(Acknowledged { proof: uploaded.proof, etag });
        }
    }

    /// Ends an upload and begins another, without any parts.
    async fn begin_anew(&self, upload: &Upload<'_>) -> Result<(String, BTreeMap<i32, Digest16>), BackendError> {
        upload.abort().await?;
        let Upload { remote, bucket, key, .. } = *upload;
        Ok((multipart::create(remote, bucket, key, &self.object.headers).await?, BTreeMap::new()))
    }

    /// The ETag that the completed upload has. Some backends do not tell it, and the look that follows is not to take what was there
    /// before for the copy: where parts' ETags were the MD5s of their bytes, it is made of these.
    fn expect_etag(&self, told: String, uploaded: &Uploaded) -> String {
        let is_made_of_parts = uploaded.proof == Proof::Md5 && self.target.has_md5_etags();
        if told.is_empty() && is_made_of_parts { layout::multipart_etag(&uploaded.digests) } else { told }
    }

    /// A resumed upload has the headers that it was begun with: another look finds out what is left to do where these were others.
    async fn require_headers(&self) -> Result<(), BackendError> {
        let copy = self.target.head(self.target_bucket, self.target_key).await?;
        match copy.is_some_and(|copy| copy.headers.equal_home(&self.object.headers)) {
            true => Ok(()),
            false => Err(BackendError::Changed),
        }
    }

    /// Copies the parts that are not there yet, several at a time.
    async fn upload_parts(
        &self,
        upload: &Upload<'_>,
        parts: &[Part],
        held: &BTreeMap<i32, Digest16>,
        hashes: bool,
    ) -> Result<Uploaded, BackendError> {
        let one = |part: Part| async move {
            let sent = match held.get(&part.number) {
                Some(digest) => Sent { digest: *digest, etag: hex::encode(digest), proof: Proof::Md5 },
                None => self.upload_part(upload, part, hashes).await?,
            };
            Ok((part.number, sent))
        };
        let parallel = self.settings.part_parallelism.max(1);
        let done: Vec<_> = stream::iter(parts.to_vec()).map(one).buffered(parallel).try_collect().await?;
        let proof = if done.iter().all(|(_, sent)| sent.proof == Proof::Md5) { Proof::Md5 } else { Proof::Size };
        let digests = done.iter().map(|(_, sent)| sent.digest).collect();
        let etags = done.into_iter().map(|(number, sent)| (number, sent.etag)).collect();
        Ok(Uploaded { digests, etags, reused: held.len(), proof })
    }

    async fn upload_part(&self, upload: &Upload<'_>, part: Part, hashes: bool) -> Result<Sent, BackendError> {
        let mut attempt = 1;
        loop {
            match self.try_part(upload, part, hashes).await {
                Err(BackendError::Unavailable { .. }) if attempt < PART_ATTEMPTS => {
                    tokio::time::sleep(Duration::from_millis(200) * attempt).await;
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    async fn try_part(&self, upload: &Upload<'_>, part: Part, hashes: bool) -> Result<Sent, BackendError> {
        let body = if part.length == 0 {
            SdkBody::empty()
        } else {
            let range = Some((part.offset, part.length));
            self.source.read(self.source_bucket, self.key, self.version, &self.object.etag, range).await?
        };
        let (body, slot) = self.tally(body, part.length, hashes);
        let etag = upload.put_part(part, body).await?;
        if !hashes {
            // Proven by the ETag of all of them, which no part's makes that is not the MD5 of its bytes.
            return Ok(Sent { digest: layout::parse_digest(&etag).unwrap_or_default(), etag, proof: Proof::Md5 });
        }
        let digest =
            slot.get().copied().ok_or_else(|| self.target.unavailable("UploadPart", "answered before the end"))?;
        let proof = self.prove("UploadPart", &etag, &slot)?;
        Ok(Sent { digest, etag, proof })
    }

    /// On failure: keeps an upload that the next attempt can find, aborts one that it cannot or must not.
    async fn keep_or_abort<T>(&self, upload: &Upload<'_>, result: Result<T, BackendError>) -> Result<T, BackendError> {
        let Err(error) = &result else { return result };
        let resumable = matches!(error, BackendError::Unavailable { .. } | BackendError::Throttled { .. })
            && self.uploaders != Uploaders::Clients
            && self.target.backend.capabilities.list_uploads;
        if !resumable {
            // The copy's own failure is what counts; a left-over among workers' is aborted by the next attempt.
            let _ = match self.uploaders {
                Uploaders::Workers(_) => upload.abort().await,
                // Nobody else knows of it.
                Uploaders::Clients => Standing::unbound(upload.abort()).await,
            };
        }
        result
    }

    /// Reads the object once to find which layout makes its ETag.
    async fn probe(&self, layouts: Vec<Vec<Part>>) -> Result<Option<Vec<Part>>, BackendError> {
        let mut body = self.source.read(self.source_bucket, self.key, self.version, &self.object.etag, None).await?;
        let mut probe = Probe::new(layouts);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| self.source.unavailable("GetObject", "the stream broke"))?;
            if let Some(bytes) = frame.data_ref() {
                probe.update(bytes);
                self.source.pace.pass(bytes.len()).await;
            }
        }
        Ok(probe.finish(&self.object.etag))
    }

    /// What the target's ETag of the bytes proves; where its ETags are MD5s, that of other bytes than were sent is a failure.
    fn prove(&self, operation: &'static str, etag: &str, slot: &DigestSlot) -> Result<Proof, BackendError> {
        let proof = proof_of(etag, slot);
        let is_md5 = self.target.backend.capabilities.multipart_etag && layout::parse_digest(etag).is_some();
        if proof == Proof::Size && is_md5 {
            return Err(self.target.unavailable(operation, "stored other bytes than were sent"));
        }
        Ok(proof)
    }

    fn tally(&self, body: SdkBody, length: u64, hashes: bool) -> (SdkBody, DigestSlot) {
        let paces = [self.source.pace.clone(), self.target.pace.clone()];
        let (tally, slot) = Tally::new(body, length, hashes, self.standing.clone(), self.metrics.clone(), paces);
        (SdkBody::from_body_1_x(tally), slot)
    }
}

/// Whether the target's ETag of what it stored is the MD5 of what was read.
fn proof_of(etag: &str, slot: &DigestSlot) -> Proof {
    let stored = layout::parse_digest(etag);
    if stored.is_some() && stored.as_ref() == slot.get() { Proof::Md5 } else { Proof::Size }
}
