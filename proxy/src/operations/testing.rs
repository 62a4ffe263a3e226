//! Requests and listed objects for the tests of operations.
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use s3gateway_s3::{S3Request, xml::ObjectEntry};
use std::time::SystemTime;

/// A request with these headers and a host.
pub(super) fn request(method: Method, target: &str, headers: &[(&'static str, &'static str)]) -> S3Request {
    let mut map = HeaderMap::new();
    map.insert("host", HeaderValue::from_static("localhost"));
    for (name, value) in headers {
        map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    S3Request::parse(&method, target, map, &[]).expect("a request")
}

/// An object as a backend lists it.
pub(super) fn listed(key: &str) -> ObjectEntry {
    ObjectEntry {
        key: key.to_owned(),
        last_modified: SystemTime::UNIX_EPOCH,
        etag: "e".to_owned(),
        checksum_algorithms: Vec::new(),
        checksum_type: None,
        size: 1,
        storage_class: "COLD".to_owned(),
    }
}
