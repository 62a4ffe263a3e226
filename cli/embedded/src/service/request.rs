//! What operations read from a request as it came, beside what s3s has parsed of it.
use crate::{
    content::MAX_SIZE,
    declared::Declared,
    rows::Meta,
    tags::{self, Tags},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use s3s::{Body, S3Request, S3Result, TrailingHeaders, dto::Metadata, s3_error};
use std::sync::Arc;

/// S3 lists no more than this at a time.
const MAX_KEYS: i32 = 1000;

/// User Guide, "Working with object metadata".
const MAX_USER_METADATA: usize = 2 << 10;

/// Headers of a write that are kept and given back.
const SYSTEM: [&str; 7] = [
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-website-redirect-location",
];

/// Storage classes from which can be read at once: nothing here restores an archive.
const CLASSES: [&str; 6] =
    ["STANDARD", "STANDARD_IA", "ONEZONE_IA", "REDUCED_REDUNDANCY", "INTELLIGENT_TIERING", "GLACIER_IR"];

/// Asks for something that would have to be left out.
const PROTECTION: [&str; 6] = [
    "x-amz-server-side-encryption",
    "x-amz-copy-source-server-side-encryption",
    "x-amz-grant-",
    "x-amz-object-lock-",
    "x-amz-bucket-object-lock-enabled",
    "x-amz-write-offset-bytes",
];

/// The owner of everything here.
pub(super) const OWNER: &str = "s3gateway-embedded";

/// A request as it came.
#[derive(Clone)]
pub(super) struct Original {
    pub(super) headers: HeaderMap,
    /// Headers of the answer that GetObject and HeadObject are asked for by `response-…`.
    pub(super) overrides: Vec<(HeaderName, HeaderValue)>,
    trailers: Option<TrailingHeaders>,
}

impl Original {
    /// With the query that is left for s3s: no signature, no overrides.
    pub(super) fn of(req: &S3Request<Body>) -> S3Result<(Self, String)> {
        let (mut overrides, mut rest) = (Vec::new(), Vec::new());
        for pair in req.uri.query().unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if let Some(header) = name.strip_prefix("response-") {
                let value = value.replace('+', " ");
                let value = percent_encoding::percent_decode_str(&value).collect::<Vec<u8>>();
                let invalid = |_| s3_error!(InvalidArgument, "An override of a header is not valid.");
                let header = HeaderName::from_bytes(header.as_bytes()).map_err(|_| s3_error!(InvalidArgument))?;
                if SYSTEM.contains(&header.as_str()) {
                    overrides.push((header, HeaderValue::from_bytes(&value).map_err(invalid)?));
                }
            } else if !name.starts_with("X-Amz-") && !pair.is_empty() {
                rest.push(pair);
            }
        }
        let original = Self { headers: req.headers.clone(), overrides, trailers: req.trailing_headers.clone() };
        Ok((original, rest.join("&")))
    }

    pub(super) fn text(&self, header: &str) -> Option<&str> {
        self.headers.get(header)?.to_str().ok()
    }

    /// What was declared about the body, and the trailers that prove it once the body has passed.
    pub(super) fn declared(&self) -> S3Result<Declared> {
        Declared::of(&self.headers)
    }

    pub(super) fn trailers(&self) -> Option<HeaderMap> {
        self.trailers.as_ref().and_then(TrailingHeaders::take)
    }

    pub(super) fn tags(&self) -> S3Result<Tags> {
        self.text("x-amz-tagging").map_or(Ok(Tags::new()), tags::parse_header)
    }
}

/// The request as it came.
pub(super) fn original<T>(req: &S3Request<T>) -> S3Result<Arc<Original>> {
    req.extensions.get::<Arc<Original>>().cloned().ok_or_else(|| s3_error!(AccessDenied))
}

/// Encryption, grants, locks and foreign owners are refused, never quietly left out.
pub(super) fn refuse_protection(headers: &HeaderMap) -> S3Result<()> {
    if headers.keys().any(|name| PROTECTION.iter().any(|asked| name.as_str().starts_with(asked))) {
        return Err(s3_error!(NotImplemented, "A header you provided implies functionality that is not implemented"));
    }
    if headers.get("x-amz-object-ownership").is_some_and(|ownership| ownership != "BucketOwnerEnforced") {
        return Err(s3_error!(NotImplemented, "Everything belongs to the owner of its bucket"));
    }
    match headers.get("x-amz-acl").map(HeaderValue::as_bytes) {
        None | Some(b"private" | b"bucket-owner-full-control" | b"bucket-owner-read") => {}
        Some(_) => return Err(s3_error!(NotImplemented, "Only ACLs that open nothing are implemented")),
    }
    let owners = ["x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"];
    match owners.iter().filter_map(|name| headers.get(*name)).all(|owner| owner.as_bytes() == OWNER.as_bytes()) {
        true => Ok(()),
        false => Err(s3_error!(AccessDenied, "Access Denied")),
    }
}

/// A body of an object has a length, and no more than S3 takes.
pub(super) fn check_length(headers: &HeaderMap) -> S3Result<()> {
    let number = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match number("x-amz-decoded-content-length").or_else(|| number("content-length")) {
        None => Err(s3_error!(MissingContentLength, "You must provide the Content-Length HTTP header.")),
        Some(length) if length > MAX_SIZE => {
            Err(s3_error!(EntityTooLarge, "Your proposed upload exceeds the maximum allowed size"))
        }
        Some(_) => Ok(()),
    }
}

/// What a write says of its object.
pub(super) fn meta(original: &Original, user: Option<Metadata>) -> S3Result<Meta> {
    let mut meta = Meta { user: user.unwrap_or_default().into_iter().collect(), ..Meta::default() };
    if meta.user.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > MAX_USER_METADATA {
        let message = "Your metadata headers exceed the maximum allowed metadata size";
        return Err(s3_error!(MetadataTooLarge, "{message}"));
    }
    for name in SYSTEM {
        let Some(value) = original.headers.get(name) else { continue };
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        meta.system.insert(name.to_owned(), value);
    }
    // It says how the body came, not what the object is.
    if let Some(encoding) = meta.system.remove("content-encoding") {
        let kept: Vec<&str> = encoding.split(',').map(str::trim).filter(|coding| *coding != "aws-chunked").collect();
        if !kept.is_empty() {
            meta.system.insert("content-encoding".to_owned(), kept.join(", "));
        }
    }
    if let Some(class) = original.text("x-amz-storage-class") {
        if !CLASSES.contains(&class) {
            return Err(s3_error!(InvalidStorageClass, "The storage class you specified is not valid"));
        }
        meta.storage_class = Some(class.to_owned()).filter(|class| class != "STANDARD");
    }
    Ok(meta)
}

/// How many entries a page may have.
pub(super) fn limit(asked: Option<i32>, name: &str) -> S3Result<i32> {
    let asked = asked.unwrap_or(MAX_KEYS);
    if asked < 0 {
        return Err(s3_error!(InvalidArgument, "Argument {name} must be an integer between 0 and 2147483647"));
    }
    Ok(asked.min(MAX_KEYS))
}

/// A part's number.
pub(super) fn part_number(number: i32) -> S3Result<i32> {
    if (1..=10_000).contains(&number) {
        return Ok(number);
    }
    Err(s3_error!(InvalidArgument, "Part number must be an integer between 1 and 10000, inclusive"))
}
