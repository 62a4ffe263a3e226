//! The one parse of a request: from HTTP's method, target and headers to a typed [`S3Request`].
//! Invariant: nothing after this file looks at the raw target again.
use crate::{
    CopySource, LogicalBucket, ObjectKey, Operation, Query, S3Code, S3Error, UrlSignature, VersionId, copy_source,
    dispatch::{self, Addressed},
    hoist, host, single, target, uri,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use std::borrow::Cow;

/// How the bucket was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// In the path.
    Path,
    /// In the host, under one of the configured domains.
    VirtualHost,
}

/// A parsed request. Everything here is decoded and checked; keys are byte-exact.
#[derive(Debug, Clone)]
pub struct S3Request {
    /// What is asked for.
    pub operation: Operation,
    /// HTTP method.
    pub method: Method,
    /// How the bucket was named.
    pub addressing: Addressing,
    /// The bucket, except for operations on the service as a whole.
    pub bucket: Option<LogicalBucket>,
    /// The key, for object operations.
    pub key: Option<ObjectKey>,
    /// Decoded query parameters in the order sent.
    pub query: Query,
    /// SigV4's canonical URI: the path as sent, decoded once and encoded anew under RFC 3986.
    pub canonical_path: String,
    /// The `Host` header (or `:authority`), lower-case, with its port. A signature is over the header's own spelling.
    pub host: String,
    /// All headers that arrived, each name once: list headers that came several times are joined by commas. And those that
    /// a presigned URL's query stands for.
    pub headers: HeaderMap,
    /// Names of the headers that came in the query alone.
    pub hoisted: Vec<HeaderName>,
    /// The signature that the URL carries.
    pub url_signature: Option<UrlSignature>,
}

impl S3Request {
    /// Parses method, raw target (path and optional query, still encoded) and headers. `domains`: host names under
    /// which `bucket.domain` is virtual-host style; the bare domain and everything else is path-style.
    ///
    /// # Errors
    /// S3's own: `InvalidURI`, `KeyTooLongError`, `InvalidBucketName`, `MethodNotAllowed`; `InvalidArgument` for what is
    /// given twice or contradicts itself; `BadRequest` for a faulty `Host`.
    pub fn parse(method: &Method, raw_target: &str, headers: HeaderMap, domains: &[String]) -> Result<Self, S3Error> {
        let host = host::parse(&headers)?;
        let mut headers = single::check_headers(headers)?;
        let target = target::parse(raw_target, &host)?;
        let (decoded, canonical_path) = decode_path(target.path)?;
        let query = Query(uri::decode_query(target.query)?);
        single::check_query(&query.0, dispatch::is_sub_resource)?;
        let url_signature = UrlSignature::of(&query, target.path);
        let hoisted = match &url_signature {
            Some(signature) => hoist::hoist(signature, &query, &mut headers)?,
            None => Vec::new(),
        };

        let path = decoded.as_deref().unwrap_or(target.path);
        let in_host = host::bucket(&host, domains);
        let (addressing, names) = match in_host {
            Some(bucket) => {
                (Addressing::VirtualHost, Names { bucket: bucket.into(), key: path.get(1..).unwrap_or_default() })
            }
            None => (Addressing::Path, Names::in_path(target.path, path)?),
        };
        let method = method.clone();
        let (operation, bucket, key) = if in_host.is_none() && names.is_write_get_object_response(&method) {
            (Operation::WriteGetObjectResponse, None, None)
        } else {
            let operation = dispatch::resolve(&method, names.addressed(), &query, &headers)?;
            let (bucket, key) = names.parse()?;
            (operation, bucket, key)
        };
        Ok(Self {
            operation,
            method,
            addressing,
            bucket,
            key,
            query,
            canonical_path,
            host,
            headers,
            hoisted,
            url_signature,
        })
    }

    /// A header's value, by its name in lower case. Requests have few headers: looking at each costs less than hashing.
    pub fn value(&self, name: &str) -> Option<&HeaderValue> {
        self.headers.iter().find(|(sent, _)| sent.as_str() == name).map(|(_, value)| value)
    }

    /// A header's value as text, by its name in lower case; `None` where absent or not UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.value(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
    }

    /// The object that a copy reads; `None` where the request is no copy.
    ///
    /// # Errors
    /// `InvalidArgument` where the header is there and malformed.
    pub fn copy_source(&self) -> Result<Option<CopySource>, S3Error> {
        match self.headers.get("x-amz-copy-source") {
            None => Ok(None),
            Some(value) => copy_source::parse(std::str::from_utf8(value.as_bytes()).unwrap_or_default()).map(Some),
        }
    }

    /// The query parameter `versionId`.
    ///
    /// # Errors
    /// `InvalidArgument` where it is there and can be no version's id.
    pub fn version_id(&self) -> Result<Option<VersionId>, S3Error> {
        self.query.get("versionId").map(VersionId::parse).transpose()
    }

    /// The query parameter `partNumber`, 1 to 10,000.
    ///
    /// # Errors
    /// `InvalidArgument` where it is there and no such number.
    pub fn part_number(&self) -> Result<Option<u32>, S3Error> {
        let Some(text) = self.query.get("partNumber") else { return Ok(None) };
        let plain = !text.is_empty() && text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse() {
            Ok(number @ 1..=10_000) if plain => Ok(Some(number)),
            _ => Err(S3Code::InvalidArgument
                .because("Part number must be an integer between 1 and 10000, inclusive")
                .with("ArgumentName", "partNumber")),
        }
    }

    /// The path with the bucket, as S3 names the resource in errors; percent-encoded, safe in logs.
    pub fn resource(&self) -> String {
        match (&self.bucket, &self.key) {
            (None, _) => "/".to_owned(),
            (Some(bucket), None) => format!("/{}", bucket.as_str()),
            (Some(bucket), Some(key)) => format!("/{}/{}", bucket.as_str(), uri::encode_path(key.as_str())),
        }
    }
}

/// The path decoded, `None` where decoding changes nothing, and encoded anew.
fn decode_path(path: &str) -> Result<(Option<String>, String), S3Error> {
    if path.bytes().all(|b| uri::is_unreserved(b) || b == b'/') {
        return Ok((None, path.to_owned()));
    }
    let decoded = uri::decode_path(path)?;
    let canonical = uri::encode_path(&decoded);
    Ok((Some(decoded), canonical))
}

/// Bucket and key as decoded text; both may be empty.
struct Names<'a> {
    bucket: Cow<'a, str>,
    key: &'a str,
}

impl<'a> Names<'a> {
    /// Cuts a path-style path at the slash behind the bucket. It is cut before it is decoded, so that an encoded slash
    /// makes a bucket name invalid instead of ending it.
    fn in_path(raw: &'a str, decoded: &'a str) -> Result<Self, S3Error> {
        let raw = raw.get(1..).unwrap_or_default();
        let bucket = raw.split('/').next().unwrap_or_default();
        // `//k` names no bucket, and is not the service either.
        if bucket.is_empty() && !raw.is_empty() {
            return Err(S3Code::InvalidBucketName.error());
        }
        let bucket = if bucket.contains('%') { uri::decode_path(bucket)?.into() } else { Cow::Borrowed(bucket) };
        // Two slashes: before and behind the bucket.
        let key = decoded.get(bucket.len() + 2..).unwrap_or_default();
        Ok(Self { bucket, key })
    }

    fn addressed(&self) -> Addressed {
        match (self.bucket.is_empty(), self.key.is_empty()) {
            (true, _) => Addressed::Service,
            (false, true) => Addressed::Bucket,
            (false, false) => Addressed::Object,
        }
    }

    fn parse(&self) -> Result<(Option<LogicalBucket>, Option<ObjectKey>), S3Error> {
        if self.bucket.is_empty() {
            return Ok((None, None));
        }
        let bucket = LogicalBucket::parse(&self.bucket)?;
        let key = if self.key.is_empty() { None } else { Some(ObjectKey::parse(self.key)?) };
        Ok((Some(bucket), key))
    }

    fn is_write_get_object_response(&self, method: &Method) -> bool {
        method == Method::POST && self.bucket == dispatch::WRITE_GET_OBJECT_RESPONSE && self.key.is_empty()
    }
}
