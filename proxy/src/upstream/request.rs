//! Builds one upstream request from nothing and signs it: no header or parameter of the client's gets here by itself.
use super::UpstreamBackend;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
    sign,
};
use aws_sigv4::sign::v4;
use http::Method;
use pingora_http::RequestHeader;
use s3gateway_s3::{ObjectKey, PhysicalBucket, uri};
use std::{fmt::Write as _, time::SystemTime};

/// A request to a backend before it is signed. Header names are lower-case; the framing is the gateway's own.
#[derive(Debug, Clone)]
pub struct UpstreamRequest {
    method: Method,
    path_and_query: String,
    has_query: bool,
    headers: Vec<(String, String)>,
    content_length: Option<u64>,
}

impl UpstreamRequest {
    /// A request on a bucket or, with `key`, on an object; path-style.
    pub fn new(method: Method, bucket: &PhysicalBucket, key: Option<&ObjectKey>) -> Self {
        let mut path_and_query =
            String::with_capacity(bucket.for_upstream().len() + key.map_or(0, |k| k.as_str().len()) + 66);
        path_and_query.push('/');
        path_and_query.push_str(bucket.for_upstream());
        if let Some(key) = key {
            path_and_query.push('/');
            path_and_query.push_str(&uri::encode_path(key.as_str()));
        }
        Self { method, path_and_query, has_query: false, headers: Vec::with_capacity(8), content_length: None }
    }

    /// Adds a query parameter, encoded here.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        self.path_and_query.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        self.path_and_query.push_str(&uri::encode(name.as_bytes()));
        self.path_and_query.push('=');
        self.path_and_query.push_str(&uri::encode(value.as_bytes()));
        self
    }

    /// Adds a header; framing and authentication headers are set by signing, not here.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The body's exact length; a request without a body has none unless its method wants `0`.
    pub fn content_length(mut self, length: u64) -> Self {
        self.content_length = Some(length);
        self
    }

    /// The HTTP method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Whether sending it twice does no harm: a conditional write that was carried out fails its own repetition.
    pub fn is_repeatable(&self) -> bool {
        let conditional = || self.headers.iter().any(|(name, _)| matches!(&**name, "if-match" | "if-none-match"));
        self.method.is_safe() || (self.method.is_idempotent() && !conditional())
    }

    /// Signs for `backend`. `body`: the bytes where they are at hand; `None` signs `UNSIGNED-PAYLOAD`, whose integrity
    /// the gateway has checked itself.
    ///
    /// # Errors
    /// A text for the log where a value cannot be carried by HTTP.
    pub fn sign(
        self,
        backend: &UpstreamBackend,
        body: Option<&[u8]>,
        now: SystemTime,
    ) -> Result<RequestHeader, String> {
        let mut url = String::with_capacity(self.path_and_query.len() + 40);
        let _ = write!(url, "http://{}{}", backend.host(), self.path_and_query);
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let params = v4::SigningParams::builder()
            .identity(backend.identity())
            .region(backend.region())
            .name("s3")
            .time(now)
            .settings(settings)
            .build()
            .map_err(|e| e.to_string())?
            .into();
        let headers =
            std::iter::once(("host", backend.host())).chain(self.headers.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        let body = body.map_or(SignableBody::UnsignedPayload, SignableBody::Bytes);
        let signable = SignableRequest::new(self.method.as_str(), &url, headers, body).map_err(|e| e.to_string())?;
        let (instructions, _) = sign(signable, &params).map_err(|e| e.to_string())?.into_parts();

        let mut header =
            RequestHeader::build(self.method, self.path_and_query.as_bytes(), Some(self.headers.len() + 6))
                .map_err(|e| e.to_string())?;
        let mut put =
            |name: String, value: &str| header.append_header(name, value).map(|_| ()).map_err(|e| e.to_string());
        put("host".to_owned(), backend.host())?;
        for (name, value) in self.headers {
            put(name, &value)?;
        }
        for (name, value) in instructions.headers() {
            put(name.to_owned(), value)?;
        }
        if let Some(length) = self.content_length {
            put("content-length".to_owned(), &length.to_string())?;
        }
        Ok(header)
    }
}
