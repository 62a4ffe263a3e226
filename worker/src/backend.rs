//! One backend as the worker uses it: S3 calls with the backend's own credentials and deadlines.
//! No default provider chain: nothing of the machine's AWS configuration can send data to another place.
#[cfg(test)]
pub(crate) mod canned;
mod failure;

pub(crate) use failure::{BackendError, is_failure};

use crate::headers::with_headers;
use crate::object::{Object, ObjectHeaders, Tags};
use crate::pace::Pace;
use crate::paced::paced;
use crate::settings::WorkerSettings;
use crate::standing::{Resting, Standing};
use aws_sdk_s3::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    SharedCredentialsProvider, StalledStreamProtectionConfig,
};
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::{ChecksumMode, MetadataDirective, Tag, Tagging};
use aws_sdk_s3::{Client, Config};
use s3gateway_config::KeyRule;
use s3gateway_s3::checksum::{Algorithm, Checksum};
use s3gateway_s3::{ObjectKey, PhysicalBucket, VersionId, uri};
use s3gateway_store::Backend;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;

type HttpResponse = aws_sdk_s3::config::http::HttpResponse;

/// What CreateBucket came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Created {
    /// It exists now and is ours.
    Ours,
    /// The name is taken by somebody else.
    Strangers,
}

/// A backend with its clients.
pub(crate) struct Remote {
    /// As the operator described it.
    pub(crate) backend: Backend,
    /// For requests whose answer comes soon.
    pub(crate) control: Client,
    /// For requests that carry a body up, or make the backend work long.
    pub(crate) data: Client,
    standing: Arc<Standing>,
    /// Of all requests, and of the bytes of objects.
    pub(crate) pace: Arc<Pace>,
    /// Until an object shows otherwise, as one does that is encrypted there with a key of the backend's key management.
    etags_are_md5: Arc<AtomicBool>,
}

/// An object that is being read.
pub(crate) struct Opened {
    /// Without its tags.
    pub(crate) object: Object,
    /// How many tags it has, where the backend shows it.
    pub(crate) tags: Option<u32>,
    pub(crate) body: SdkBody,
}

impl Remote {
    /// Makes the clients; connects only when used.
    pub(crate) fn new(backend: Backend, settings: &WorkerSettings) -> Self {
        let pace = Pace::new(settings.backend_concurrency, settings.backend_bandwidth);
        let (http, time) = settings.transport.reach(&backend.endpoint, &settings.allow_networks);
        // Of its own: attempts that one backend wastes are not to be another's last.
        let retries = RetryPartition::custom(backend.id.to_string()).build();
        let standing = Standing::new(&backend.id, settings.backoff_max);
        let soon = settings.answer_timeout;
        let config = |answer: Duration, attempts: u32, slow_after: Option<Duration>| {
            let credentials =
                Credentials::new(&backend.access_key, backend.secret_key.expose(), None, None, "s3gateway backend");
            Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .http_client(paced(http.clone(), pace.clone(), standing.clone(), soon, slow_after, answer))
                .time_source(time.clone())
                .endpoint_url(&backend.endpoint)
                .region(Region::new(backend.region.clone()))
                .force_path_style(true)
                .credentials_provider(SharedCredentialsProvider::new(credentials))
                // A trailing checksum changes the framing of uploads, which not every backend understands.
                .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
                .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
                .retry_config(RetryConfig::standard().with_max_attempts(attempts))
                .retry_partition(retries.clone())
                .timeout_config(
                    TimeoutConfig::builder().connect_timeout(settings.connect_timeout).read_timeout(answer).build(),
                )
                .build()
        };
        let control = Client::from_conf(config(soon, 2, Some(soon / 2)));
        // A stalled upload is noticed below, where it counts for the standing: the SDK would drop it there unseen.
        let data = config(settings.upload_timeout, 1, None).to_builder();
        let data = data.stalled_stream_protection(StalledStreamProtectionConfig::disabled()).build();
        let data = Client::from_conf(data);
        let etags_are_md5 = Arc::new(AtomicBool::new(backend.capabilities.multipart_etag));
        Self { backend, control, data, standing, pace, etags_are_md5 }
    }

    /// Whether an object's ETag is made of its bytes' MD5, as far as is known.
    pub(crate) fn has_md5_etags(&self) -> bool {
        self.etags_are_md5.load(Ordering::Relaxed)
    }

    /// An object's ETag was not made of its bytes' MD5.
    pub(crate) fn note_other_etag(&self) {
        self.etags_are_md5.store(false, Ordering::Relaxed);
    }

    /// The same backend with the same connections, standing and pace, as its twin: another physical bucket of one logical bucket
    /// is there.
    pub(crate) fn twin(&self) -> Self {
        let backend = Backend { id: self.backend.id.twin(), ..self.backend.clone() };
        Self {
            backend,
            control: self.control.clone(),
            data: self.data.clone(),
            standing: self.standing.clone(),
            pace: self.pace.clone(),
            etags_are_md5: self.etags_are_md5.clone(),
        }
    }

    /// Passes a backend that may be asked now.
    ///
    /// # Errors
    /// For how long it is to be left alone.
    pub(crate) fn admit(&self) -> Result<(), Resting> {
        self.standing.admit(Instant::now()).map_err(|rest| Resting { backend: self.backend.id.clone(), rest })
    }

    /// Whether it is left alone still. Unlike [`Self::admit`] it gives no leave to try it.
    pub(crate) fn resting(&self) -> Option<Resting> {
        self.standing.rest(Instant::now()).map(|rest| Resting { backend: self.backend.id.clone(), rest })
    }

    /// HeadObject of the current object.
    pub(crate) async fn head(&self, bucket: &PhysicalBucket, key: &ObjectKey) -> Result<Option<Object>, BackendError> {
        self.head_version(bucket, key, None).await
    }

    /// HeadObject; `None` for any 404, which does not tell a missing key from a missing bucket.
    pub(crate) async fn head_version(
        &self,
        bucket: &PhysicalBucket,
        key: &ObjectKey,
        version: Option<&VersionId>,
    ) -> Result<Option<Object>, BackendError> {
        let head = self.control.head_object().bucket(bucket.for_upstream()).key(key.as_str());
        let head = head.set_version_id(version.map(VersionId::to_string));
        let keeps_checksums = self.backend.capabilities.trailing_checksums;
        let sent = head.set_checksum_mode(keeps_checksums.then_some(ChecksumMode::Enabled)).send().await;
        let failed = match sent.map_err(|e| self.classify("HeadObject", &e)) {
            Ok(head) => return Object::parse(head).map(Some).ok_or_else(|| self.unreadable("HeadObject")),
            Err(BackendError::NotFound { .. } | BackendError::NoSuchBucket) => return Ok(None),
            Err(failed) => failed,
        };
        // Where keys are file paths, a folder of that name is answered with an error instead of a 404.
        let by_path = self.backend.capabilities.keys == KeyRule::FilePath;
        if by_path && matches!(failed, BackendError::Unavailable { .. }) && !self.lists_key(bucket, key).await? {
            return Ok(None);
        }
        Err(failed)
    }

    /// GetObject of the current object: its head and its bytes by one request.
    pub(crate) async fn open(&self, bucket: &PhysicalBucket, key: &ObjectKey) -> Result<Opened, BackendError> {
        let get = self.control.get_object().bucket(bucket.for_upstream()).key(key.as_str());
        let keeps_checksums = self.backend.capabilities.trailing_checksums;
        let sent = get.set_checksum_mode(keeps_checksums.then_some(ChecksumMode::Enabled)).send().await;
        let read = sent.map_err(|e| self.classify("GetObject", &e))?;
        let object = Object::parse_read(&read).ok_or_else(|| self.unreadable("GetObject"))?;
        let shows = self.backend.capabilities.tag_count;
        let tags = shows.then(|| read.tag_count.and_then(|count| u32::try_from(count).ok()).unwrap_or(0));
        Ok(Opened { object, tags, body: read.body.into_inner() })
    }

    /// Whether a listing shows the key: it sorts before all others of which it is a prefix.
    async fn lists_key(&self, bucket: &PhysicalBucket, key: &ObjectKey) -> Result<bool, BackendError> {
        let list = self.control.list_objects_v2().bucket(bucket.for_upstream()).prefix(key.as_str()).max_keys(1);
        let page = list.send().await.map_err(|e| self.classify("ListObjectsV2", &e))?;
        Ok(page.contents().iter().any(|object| object.key() == Some(key.as_str())))
    }

    /// HeadBucket: whether the bucket is there.
    pub(crate) async fn has_bucket(&self, bucket: &PhysicalBucket) -> Result<bool, BackendError> {
        let sent = self.control.head_bucket().bucket(bucket.for_upstream()).send().await;
        match sent.map_err(|e| self.classify("HeadBucket", &e)) {
            Ok(_) => Ok(true),
            Err(BackendError::NotFound { .. } | BackendError::NoSuchBucket) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the backend says in S3's words that there is no such bucket.
    pub(crate) async fn misses_bucket(&self, bucket: &PhysicalBucket) -> Result<bool, BackendError> {
        let list = self.control.list_objects_v2().bucket(bucket.for_upstream()).max_keys(1);
        match list.send().await.map_err(|e| self.classify("ListObjectsV2", &e)) {
            Ok(_) => Ok(false),
            Err(BackendError::NoSuchBucket) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Whether the backend says in so many words that it has no such key; a bare 404 could come from anything between.
    pub(crate) async fn says_no_such_key(
        &self,
        bucket: &PhysicalBucket,
        key: &ObjectKey,
    ) -> Result<bool, BackendError> {
        let get = self.control.get_object().bucket(bucket.for_upstream()).key(key.as_str()).range("bytes=0-0");
        match get.send().await.map_err(|e| self.classify("GetObject", &e)) {
            Ok(_) => Ok(false),
            Err(BackendError::NotFound { code, .. }) => Ok(code == "NoSuchKey"),
            // The range of an empty object.
            Err(BackendError::Refused { status: 416, .. }) => Ok(false),
            // A folder where keys are file paths.
            Err(BackendError::Unavailable { .. }) if self.backend.capabilities.keys == KeyRule::FilePath => {
                Ok(!self.lists_key(bucket, key).await?)
            }
            Err(error) => Err(error),
        }
    }

    /// The current object's tags.
    pub(crate) async fn tags(&self, bucket: &PhysicalBucket, key: &ObjectKey) -> Result<Tags, BackendError> {
        self.tags_of_version(bucket, key, None).await
    }

    /// GetObjectTagging; no tags where the backend keeps none.
    pub(crate) async fn tags_of_version(
        &self,
        bucket: &PhysicalBucket,
        key: &ObjectKey,
        version: Option<&VersionId>,
    ) -> Result<Tags, BackendError> {
        if !self.backend.capabilities.tagging {
            return Ok(Tags::new());
        }
        let get = self.control.get_object_tagging().bucket(bucket.for_upstream()).key(key.as_str());
        let get = get.set_version_id(version.map(VersionId::to_string));
        match get.send().await.map_err(|e| self.classify("GetObjectTagging", &e)) {
            Ok(answer) => Ok(answer.tag_set.into_iter().map(|tag| (tag.key, tag.value)).collect()),
            Err(BackendError::NotFound { code, .. }) if code == "NoSuchTagSet" => Ok(Tags::new()),
            Err(BackendError::NotFound { .. }) => Err(BackendError::Changed),
            Err(error) => Err(error),
        }
    }

    /// Replaces the tags of the current object.
    pub(crate) async fn set_tags(
        &self,
        bucket: &PhysicalBucket,
        key: &ObjectKey,
        tags: &Tags,
    ) -> Result<(), BackendError> {
        self.set_tags_of_version(bucket, key, None, tags).await
    }

    /// PutObjectTagging, or DeleteObjectTagging for no tags.
    pub(crate) async fn set_tags_of_version(
        &self,
        bucket: &PhysicalBucket,
        key: &ObjectKey,
        version: Option<&VersionId>,
        tags: &Tags,
    ) -> Result<(), BackendError> {
        let (bucket, key, version) = (bucket.for_upstream(), key.as_str(), version.map(VersionId::to_string));
        if tags.is_empty() {
            let sent =
                self.control.delete_object_tagging().bucket(bucket).key(key).set_version_id(version).send().await;
            return sent.map(drop).map_err(|e| self.classify("DeleteObjectTagging", &e));
        }
        let tag = |(k, v): (&String, &String)| Tag::builder().key(k).value(v).build();
        let tag_set = tags.iter().map(tag).collect::<Result<Vec<_>, _>>();
        let tagging = tag_set.and_then(|set| Tagging::builder().set_tag_set(Some(set)).build());
        let tagging = tagging.map_err(|_| self.refused("PutObjectTagging", 0, "InvalidTag"))?;
        let put = self.control.put_object_tagging().bucket(bucket).key(key).set_version_id(version).tagging(tagging);
        let sent = put.send().await;
        sent.map(drop).map_err(|e| self.classify("PutObjectTagging", &e))
    }

    /// Opens the object, or `length` bytes of it from `offset`, only if it still has this ETag.
    pub(crate) async fn read(
        &self,
        bucket: &PhysicalBucket,
        key: &ObjectKey,
        version: Option<&VersionId>,
        etag: &str,
        range: Option<(u64, u64)>,
    ) -> Result<SdkBody, BackendError> {
        let mut get =
            self.control.get_object().bucket(bucket.for_upstream()).key(key.as_str()).if_match(format!("\"{etag}\""));
        get = get.set_version_id(version.map(VersionId::to_string));
        if let Some((offset, length)) = range {
            get = get.range(format!("bytes={offset}-{}", offset + length.saturating_sub(1)));
        }
        match get.send().await.map_err(|e| self.classify("GetObject", &e)) {
            // Some backends ignore If-Match on GET.
            Ok(answer) if answer.e_tag().map(crate::object::unquote) != Some(etag) => Err(BackendError::Changed),
            Ok(answer) => Ok(answer.body.into_inner()),
            Err(BackendError::NotFound { .. } | BackendError::Refused { status: 416, .. }) => {
                Err(BackendError::Changed)
            }
            Err(error) => Err(error),
        }
    }

    /// PutObject with everything that belongs to the object; answers the backend's ETag.
    pub(crate) async fn put(
        &self,
        bucket: &PhysicalBucket,
        key: &ObjectKey,
        object: &Object,
        body: SdkBody,
    ) -> Result<String, BackendError> {
        let length = i64::try_from(object.size).map_err(|_| self.refused("PutObject", 0, "EntityTooLarge"))?;
        let put = self.data.put_object().bucket(bucket.for_upstream()).key(key.as_str()).content_length(length);
        let put = put.set_tagging(self.tagging_header(&object.tags)).body(ByteStream::new(body));
        // So that the copy has it as well, and its backend proves what it gets. What a gateway keeps needs no copy.
        let keeps_checksums = self.backend.capabilities.trailing_checksums;
        let put = match object.checksum.clone().filter(|_| keeps_checksums) {
            Some(Checksum { algorithm, value, .. }) => match algorithm {
                Algorithm::Crc32 => put.checksum_crc32(value),
                Algorithm::Crc32c => put.checksum_crc32_c(value),
                Algorithm::Crc64Nvme => put.checksum_crc64_nvme(value),
                Algorithm::Sha1 => put.checksum_sha1(value),
                Algorithm::Sha256 => put.checksum_sha256(value),
                _ => put,
            },
            None => put,
        };
        let put = with_headers!(put, &object.headers).disable_payload_signing();
        let answer = put.send().await.map_err(|e| self.classify("PutObject", &e))?;
        self.told_etag("PutObject", answer.e_tag())
    }

    /// The ETag of what was stored. Without one it is not known to be what a look finds: that may be what was there before.
    pub(crate) fn told_etag(&self, operation: &'static str, etag: Option<&str>) -> Result<String, BackendError> {
        let etag = crate::object::unquote(etag.unwrap_or_default());
        if etag.is_empty() { Err(self.unreadable(operation)) } else { Ok(etag.to_owned()) }
    }

    /// CopyObject of an object onto itself with the home's headers and user metadata.
    pub(crate) async fn replace_metadata(
        &self,
        bucket: &PhysicalBucket,
        key: &ObjectKey,
        headers: &ObjectHeaders,
        copy_etag: &str,
    ) -> Result<(), BackendError> {
        let copy = self
            .data
            .copy_object()
            .bucket(bucket.for_upstream())
            .key(key.as_str())
            .copy_source(format!("{}/{}", bucket.for_upstream(), uri::encode_path(key.as_str())))
            .copy_source_if_match(format!("\"{copy_etag}\""))
            .metadata_directive(MetadataDirective::Replace);
        let sent = with_headers!(copy, headers).send().await;
        sent.map(drop).map_err(|e| self.classify("CopyObject", &e))
    }

    /// DeleteObject; a key that is not there is as good as deleted.
    pub(crate) async fn delete(&self, bucket: &PhysicalBucket, key: &str) -> Result<(), BackendError> {
        let sent = self.control.delete_object().bucket(bucket.for_upstream()).key(key).send().await;
        match sent.map_err(|e| self.classify("DeleteObject", &e)) {
            Ok(_) => Ok(()),
            Err(error) => self.allow_gone(error),
        }
    }

    /// CreateBucket, telling our own bucket from a stranger's of the same name.
    pub(crate) async fn create_bucket(&self, bucket: &PhysicalBucket) -> Result<Created, BackendError> {
        let sent = self.control.create_bucket().bucket(bucket.for_upstream()).send().await;
        match sent.map_err(|e| self.classify("CreateBucket", &e)) {
            Ok(_) => Ok(Created::Ours),
            Err(BackendError::Refused { code, .. }) if code == "BucketAlreadyOwnedByYou" => Ok(Created::Ours),
            // Some backends do not tell whose it is.
            Err(BackendError::Refused { code, status, .. }) if code == "BucketAlreadyExists" || status == 409 => {
                Ok(if self.owns_bucket(bucket).await? { Created::Ours } else { Created::Strangers })
            }
            // Credentials that may not create buckets work with one that is ours and exists.
            Err(error @ BackendError::Refused { status: 403, .. }) => {
                if self.owns_bucket(bucket).await? {
                    Ok(Created::Ours)
                } else {
                    Err(error)
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Whether ListBuckets, which shows only a caller's own buckets, shows this one.
    pub(crate) async fn owns_bucket(&self, bucket: &PhysicalBucket) -> Result<bool, BackendError> {
        let mut token: Option<String> = None;
        loop {
            let list = self.control.list_buckets().set_continuation_token(token.clone());
            let page = list.send().await.map_err(|e| self.classify("ListBuckets", &e))?;
            if page.buckets().iter().any(|b| b.name() == Some(bucket.for_upstream())) {
                return Ok(true);
            }
            let next = page.continuation_token.filter(|t| !t.is_empty());
            if next.is_none() {
                return Ok(false);
            }
            // It would be asked for without end.
            if next == token {
                return Err(self.unreadable("ListBuckets"));
            }
            token = next;
        }
    }

    /// The value of `x-amz-tagging`.
    fn tagging_header(&self, tags: &Tags) -> Option<String> {
        let pair = |(k, v): (&String, &String)| format!("{}={}", uri::encode(k.as_bytes()), uri::encode(v.as_bytes()));
        let wanted = self.backend.capabilities.tagging && !tags.is_empty();
        wanted.then(|| tags.iter().map(pair).collect::<Vec<_>>().join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use s3gateway_config::{BackendId, Capabilities, Place, Secret};
    use std::sync::Arc;
    use tokio::net::TcpListener;

    pub(super) fn remote_at(endpoint: String, settings: &WorkerSettings) -> Remote {
        let place = Place {
            zone: "z".into(),
            region: "r".into(),
            country: "FI".into(),
            jurisdiction: "EU".into(),
            provider: "p".into(),
            certifications: Vec::new(),
        };
        let backend = Backend {
            id: BackendId::parse("b").unwrap(),
            place,
            endpoint,
            region: "us-east-1".into(),
            access_key: "a".into(),
            secret_key: Arc::new(Secret::new("s".into())),
            capabilities: Capabilities::default(),
            position: 0,
        };
        Remote::new(backend, settings)
    }

    pub(super) fn remote() -> Remote {
        let allow_networks = vec!["127.0.0.0/8".parse().unwrap()];
        remote_at("http://127.0.0.1:1".into(), &WorkerSettings { allow_networks, ..WorkerSettings::default() })
    }

    /// What HeadBucket comes to at an endpoint, and whether `listener` saw a connection meanwhile.
    async fn head_at(endpoint: String, allow: &[&str], listener: &TcpListener) -> (String, bool) {
        let allow_networks = allow.iter().map(|network| network.parse().unwrap()).collect();
        let remote = remote_at(endpoint, &WorkerSettings { allow_networks, ..WorkerSettings::default() });
        let bucket = PhysicalBucket::parse("some-bucket").unwrap();
        tokio::select! {
            done = remote.has_bucket(&bucket) => match done {
                Err(error @ BackendError::Unavailable { .. }) => (error.to_string(), false),
                other => panic!("{other:?}"),
            },
            _ = listener.accept() => (String::new(), true),
        }
    }

    #[tokio::test]
    async fn be_07_what_is_not_allowed_is_not_connected_to() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for (host, allow, connected) in [
            ("127.0.0.1", &[][..], false),
            ("127.0.0.1", &["10.0.0.0/8"], false),
            ("127.0.0.1", &["127.0.0.0/8"], true),
            ("[::ffff:127.0.0.1]", &[], false),
            ("2130706433", &[], false),
            ("localhost", &[], false),
            ("localhost", &["127.0.0.0/8"], true),
        ] {
            let (error, seen) = head_at(format!("http://{host}:{port}"), allow, &listener).await;
            assert_eq!(seen, connected, "{host} {allow:?}: {error}");
            assert!(connected || error.contains("backends.allow_networks"), "{host}: {error}");
        }
    }

    #[tokio::test]
    async fn what_may_land_is_what_was_sent_on_a_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listens = format!("http://{}", listener.local_addr().unwrap());
        let _hangs_up = tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        let bucket = PhysicalBucket::parse("some-bucket").unwrap();
        for (endpoint, allow, may_land) in [
            ("http://127.0.0.1:1", &["127.0.0.0/8"][..], false),
            ("http://127.0.0.1:1", &[], false),
            ("http://localhost:1", &[], false),
            (&listens, &["127.0.0.0/8"], true),
        ] {
            let allow_networks = allow.iter().map(|network| network.parse().unwrap()).collect();
            let settings = WorkerSettings { allow_networks, ..WorkerSettings::default() };
            let remote = remote_at(endpoint.to_owned(), &settings);
            let claim = crate::claim::Standing::since(Instant::now(), Duration::from_secs(60));
            let deleted = claim.run(remote.delete(&bucket, "k")).await;
            assert!(matches!(deleted, Err(BackendError::Unavailable { .. })), "{endpoint} {allow:?}: {deleted:?}");
            assert_eq!(!claim.unanswered().is_empty(), may_land, "{endpoint} {allow:?}");
        }
    }

    #[tokio::test]
    async fn a_backend_that_is_off_is_unavailable_and_not_empty() {
        let (bucket, key) = (PhysicalBucket::parse("some-bucket").unwrap(), ObjectKey::parse("k").unwrap());
        assert!(matches!(remote().head(&bucket, &key).await, Err(BackendError::Unavailable { .. })));
        assert!(matches!(remote().has_bucket(&bucket).await, Err(BackendError::Unavailable { .. })));
    }
}
