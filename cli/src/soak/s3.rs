//! The S3 clients of a run, as stock as they come; one attempt each, so that every request is in the ledger by itself.
use super::tally::Answered;
use aws_sdk_s3::{
    Client, Config,
    config::{
        BehaviorVersion, ConfigBag, Credentials, Intercept, Region, ResponseChecksumValidation, RuntimeComponents,
        http::HttpResponse, interceptors::BeforeDeserializationInterceptorContextRef, retry::RetryConfig,
        timeout::TimeoutConfig,
    },
    error::{BoxError, ProvideErrorMetadata, SdkError},
    operation::get_object::GetObjectOutput,
};
use bytes::Bytes;
use s3gateway_config::Secret;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A request that is not answered by then counts as not answered.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// How an answer says itself that it may be old.
const STALE: &str = "x-s3gw-stale";

/// How a request ended, cut by what may have happened.
#[derive(Debug)]
pub enum Answer<T> {
    /// With success.
    Done(T),
    /// With a refusal that says that nothing was done.
    Refused { status: u16, code: String },
    /// Otherwise: it may have been done.
    Unanswered(String),
}

impl<T> Answer<T> {
    /// For the counts.
    pub fn answered(&self) -> Answered<'_> {
        match self {
            Self::Done(_) => Answered::Yes,
            Self::Refused { .. } => Answered::Refused,
            Self::Unanswered(why) => Answered::No(why),
        }
    }
}

/// A client of one endpoint.
pub fn connect(endpoint: &str, region: &str, access_key: &str, secret_key: &Secret<String>) -> Client {
    let credentials = Credentials::new(access_key, secret_key.expose(), None, None, "soak");
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(ATTEMPT_TIMEOUT).build();
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .region(Region::new(region.to_owned()))
        .force_path_style(true)
        .credentials_provider(credentials)
        // What is read is compared with what was written, byte by byte; that is not left to a checksum.
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .build();
    Client::from_conf(config)
}

/// Sorts what the SDK gives.
pub fn sort<T, E: ProvideErrorMetadata>(sent: Result<T, SdkError<E, HttpResponse>>) -> Answer<T> {
    match sent {
        Ok(done) => Answer::Done(done),
        Err(SdkError::ServiceError(answer)) => {
            let status = answer.raw().status().as_u16();
            let code = answer.err().code().unwrap_or_default().to_owned();
            match status {
                // A conflict or a lack of time says nothing of what became of the write.
                400..=499 if !matches!(status, 408 | 409 | 429) && code != "RequestTimeout" => {
                    Answer::Refused { status, code }
                }
                _ => Answer::Unanswered(format!("{status} {code}")),
            }
        }
        Err(SdkError::ResponseError(answer)) => Answer::Unanswered(format!("{} unreadable", answer.raw().status())),
        Err(SdkError::TimeoutError(_)) => Answer::Unanswered("no answer in time".into()),
        Err(SdkError::ConstructionFailure(_)) => Answer::Refused { status: 0, code: "NotARequest".into() },
        Err(_) => Answer::Unanswered("no connection, or it broke".into()),
    }
}

/// What a read came to.
#[derive(Debug)]
pub enum Read {
    /// Bytes from an offset on, of an object of `total`.
    Bytes { offset: usize, total: usize, bytes: Bytes },
    /// NoSuchKey.
    Nothing,
}

/// Reads an object or a part of it; whether the answer says that it may be old, too.
pub async fn read(s3: &Client, bucket: &str, key: &str, range: Option<(usize, usize)>) -> Answer<(Read, bool)> {
    let stale = Arc::new(AtomicBool::new(false));
    let get = s3.get_object().bucket(bucket).key(key);
    let get = get.set_range(range.map(|(offset, length)| format!("bytes={offset}-{}", offset + length.max(1) - 1)));
    let sent = get.customize().interceptor(StaleMark(stale.clone())).send().await;
    let is_stale = || stale.load(Ordering::Relaxed);
    match sort(sent) {
        Answer::Done(output) => match body(output).await {
            Ok(read) => Answer::Done((read, is_stale())),
            Err(why) => Answer::Unanswered(why),
        },
        Answer::Refused { status: 404, code } if code == "NoSuchKey" => Answer::Done((Read::Nothing, is_stale())),
        Answer::Refused { status, code } => Answer::Refused { status, code },
        Answer::Unanswered(why) => Answer::Unanswered(why),
    }
}

async fn body(output: GetObjectOutput) -> Result<Read, String> {
    let range = output.content_range().map(str::to_owned);
    let bytes = tokio::time::timeout(ATTEMPT_TIMEOUT, output.body.collect()).await;
    let bytes = bytes.map_err(|_| "the body stopped")?.map_err(|_| "the body broke off")?.into_bytes();
    let Some(range) = range else { return Ok(Read::Bytes { offset: 0, total: bytes.len(), bytes }) };
    let parsed = range.strip_prefix("bytes ").and_then(|range| {
        let (place, total) = range.split_once('/')?;
        Some((place.split_once('-')?.0.parse().ok()?, total.parse().ok()?))
    });
    let (offset, total) = parsed.ok_or("an unreadable Content-Range")?;
    Ok(Read::Bytes { offset, total, bytes })
}

/// Looks for the mark, which the SDK's types do not show, on one of several answers.
#[derive(Debug)]
struct StaleMark(Arc<AtomicBool>);

impl Intercept for StaleMark {
    fn name(&self) -> &'static str {
        "StaleMark"
    }
    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.fetch_or(context.response().headers().contains_key(STALE), Ordering::Relaxed);
        Ok(())
    }
}

/// All keys under a prefix, with their sizes; whether an answer says that it may be old, too.
pub async fn list(s3: &Client, bucket: &str, prefix: &str) -> Answer<(BTreeMap<String, usize>, bool)> {
    let stale = Arc::new(AtomicBool::new(false));
    let mut keys = BTreeMap::new();
    let mut token = None;
    loop {
        let list = s3.list_objects_v2().bucket(bucket).prefix(prefix).set_continuation_token(token);
        let page = match sort(list.customize().interceptor(StaleMark(stale.clone())).send().await) {
            Answer::Done(page) => page,
            Answer::Refused { status, code } => return Answer::Refused { status, code },
            Answer::Unanswered(why) => return Answer::Unanswered(why),
        };
        for object in page.contents() {
            let size = object.size().and_then(|size| usize::try_from(size).ok()).unwrap_or_default();
            keys.insert(object.key().unwrap_or_default().to_owned(), size);
        }
        token = page.next_continuation_token.filter(|_| page.is_truncated == Some(true));
        if token.is_none() {
            return Answer::Done((keys, stale.load(Ordering::Relaxed)));
        }
    }
}
