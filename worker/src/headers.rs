//! Puts what travels with an object's bytes on the requests that carry it: PutObject, CopyObject, CreateMultipartUpload.
use crate::object::ObjectHeaders;
use aws_sdk_s3::config::http::HttpRequest;

/// Sets headers and user metadata on a request and makes it customizable. A macro, because the SDK's three request
/// builders share the names of these methods and no trait.
macro_rules! with_headers {
    ($request:expr, $headers:expr) => {{
        let headers: &$crate::object::ObjectHeaders = $headers;
        let expires = $crate::headers::RawExpires::of(headers);
        $request
            .set_content_type(headers.content_type.clone())
            .set_cache_control(headers.cache_control.clone())
            .set_content_disposition(headers.content_disposition.clone())
            .set_content_encoding(headers.content_encoding.clone())
            .set_content_language(headers.content_language.clone())
            .set_expires(headers.expires_date())
            .set_metadata(Some(headers.metadata.clone().into_iter().collect()))
            .customize()
            .mutate_request(move |request| expires.set(request))
    }};
}
pub(crate) use with_headers;

/// Keeps an `Expires` that is no date, which the SDK's types cannot carry.
pub(crate) struct RawExpires(Option<String>);

impl RawExpires {
    pub(crate) fn of(headers: &ObjectHeaders) -> Self {
        Self(headers.expires.clone().filter(|_| headers.expires_date().is_none()))
    }
    pub(crate) fn set(&self, request: &mut HttpRequest) {
        if let Some(raw) = &self.0 {
            // A value that is no header value cannot have come from a header.
            let _ = request.headers_mut().try_insert("expires", raw.clone());
        }
    }
}
