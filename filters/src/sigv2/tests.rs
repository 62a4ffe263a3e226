//! What a URL of signature version 2 may do; signed by a signer of the tests' own.
use super::*;
use crate::sigv4::signer::percent;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use s3gateway_s3::S3Code::*;
use sha1::Digest;

const ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const NOW: u64 = 1_767_268_799;

/// RFC 2104 by hand.
fn hmac_sha1(key: &[u8], message: &[u8]) -> String {
    let mut block = [0u8; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = Sha1::digest([&block.map(|b| b ^ 0x36)[..], message].concat());
    BASE64_STANDARD.encode(Sha1::digest([&block.map(|b| b ^ 0x5c)[..], &inner].concat()))
}

/// A URL in the making: what is sent, and what is signed, which a test may make differ.
#[derive(Clone)]
struct Url {
    method: &'static str,
    host: &'static str,
    path: &'static str,
    query: Vec<(&'static str, &'static str)>,
    headers: Vec<(&'static str, &'static str)>,
    expires: String,
    /// Lines of the string to sign between method and resource, then what follows the path in it.
    signed_headers: &'static str,
    signed_query: &'static str,
}

fn url(method: &'static str, path: &'static str) -> Url {
    Url {
        method,
        host: "gateway",
        path,
        query: vec![],
        headers: vec![],
        expires: (NOW + 60).to_string(),
        signed_headers: "",
        signed_query: "",
    }
}

impl Url {
    fn query(mut self, name: &'static str, value: &'static str) -> Self {
        self.query.push((name, value));
        self
    }
    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
    /// `headers`: the `x-amz-*` lines; `query`: the sub-resources with their `?`.
    fn signing(mut self, headers: &'static str, query: &'static str) -> Self {
        (self.signed_headers, self.signed_query) = (headers, query);
        self
    }
    fn signature(&self, resource: &str) -> String {
        let text =
            format!("{}\n\n\n{}\n{}{resource}{}", self.method, self.expires, self.signed_headers, self.signed_query);
        hmac_sha1(SECRET.as_bytes(), text.as_bytes())
    }
    fn send(&self, signature: &str) -> Result<Verified, S3Code> {
        let own = [("AWSAccessKeyId", ID), ("Expires", &self.expires), ("Signature", signature)];
        let pairs: Vec<String> = self
            .query
            .iter()
            .copied()
            .chain(own)
            .map(|(n, v)| if v.is_empty() { percent(n, "") } else { format!("{}={}", percent(n, ""), percent(v, "")) })
            .collect();
        let all = [("host", self.host)].into_iter().chain(self.headers.iter().copied());
        let headers: HeaderMap = all
            .map(|(n, v)| (HeaderName::from_bytes(n.as_bytes()).unwrap(), HeaderValue::from_str(v).unwrap()))
            .collect();
        let method = Method::from_bytes(self.method.as_bytes()).unwrap();
        let target = format!("{}?{}", self.path, pairs.join("&"));
        let request = S3Request::parse(&method, &target, headers, &["s3.example".into()]).map_err(|e| e.code)?;
        assert_eq!(access_key_id(&request).map_err(|e| e.code)?, Some(ID));
        let now = UNIX_EPOCH + Duration::from_secs(NOW);
        verify(&request, &Secret::new(SECRET.to_owned()), now).map_err(|e| e.code)
    }
    /// The code of the refusal.
    fn outcome(&self) -> Option<S3Code> {
        self.send(&self.signature(self.path)).err()
    }
}

#[test]
fn the_string_to_sign_is_the_documented_one() {
    let text = b"GET\n\n\n1175139620\n/johnsmith/photos/puppy.jpg";
    assert_eq!(hmac_sha1(SECRET.as_bytes(), text), "NpgCjnDzrM+WFzoENXmpNDUsSn8=");
    let host_style = Url { host: "b-1.s3.example", ..url("GET", "/photos/puppy.jpg") };
    let signature = host_style.signature("/b-1/photos/puppy.jpg");
    assert_eq!(host_style.send(&signature).map(|v| v.payload()), Ok(PayloadMode::Unsigned));
    let other = Url { host: "b-2.s3.example", ..host_style };
    assert_eq!(other.send(&signature).err(), Some(SignatureDoesNotMatch), "the bucket in the host is signed");
    let bucket = url("GET", "/b-1");
    assert_eq!(bucket.send(&bucket.signature("/b-1/")).err(), None, "a bucket's resource ends with a slash");
    let elsewhere = Url { host: "somewhere-else", ..url("GET", "/b-1/photos/puppy.jpg") };
    assert_eq!(elsewhere.send(&signature).err(), None, "the host is not signed");
}

#[test]
fn what_is_signed_may_be_sent() {
    for (name, url) in [
        ("get", url("GET", "/b-1/k")),
        ("an encoded path", url("GET", "/b-1/a%20b%2Bc")),
        ("another spelling of the path", url("GET", "/b-1/a!(b)")),
        ("a bucket", url("GET", "/b-1/").query("list-type", "2").query("max-keys", "5").query("marker", "a")),
        ("put", url("PUT", "/b-1/k")),
        ("a header", url("PUT", "/b-1/k").header("x-amz-meta-a", " b ").signing("x-amz-meta-a:b\n", "")),
        ("in the query", url("PUT", "/b-1/k").query("x-amz-meta-a", "b").signing("x-amz-meta-a:b\n", "")),
        (
            "both",
            url("PUT", "/b-1/k")
                .query("x-amz-meta-b", "2")
                .header("x-amz-meta-a", "1")
                .signing("x-amz-meta-a:1\nx-amz-meta-b:2\n", ""),
        ),
        (
            "a checksum that is ignored",
            url("PUT", "/b-1/k")
                .query("x-amz-checksum-crc32", "AAAAAA==")
                .signing("x-amz-checksum-crc32:AAAAAA==\n", ""),
        ),
        ("a version", url("GET", "/b-1/k").query("versionId", "v1").signing("", "?versionId=v1")),
        (
            "a part",
            url("PUT", "/b-1/k")
                .query("uploadId", "u")
                .query("partNumber", "1")
                .signing("", "?partNumber=1&uploadId=u"),
        ),
        ("tags", url("GET", "/b-1/k").query("tagging", "").signing("", "?tagging")),
        (
            "an override",
            url("GET", "/b-1/k")
                .query("response-content-disposition", "a; b=\"c&d\"")
                .signing("", "?response-content-disposition=a; b=\"c&d\""),
        ),
        ("not signed by S3 either", url("GET", "/b-1/k").header("range", "bytes=0-1").header("if-match", "x")),
    ] {
        assert_eq!(url.outcome(), None, "{name}");
    }
    let typed = url("PUT", "/b-1/k");
    let text = format!("PUT\n1B2M2Y8AsgTpgAmY7PhCfg==\ntext/x\n{}\n/b-1/k", typed.expires);
    let signature = hmac_sha1(SECRET.as_bytes(), text.as_bytes());
    let sent = typed.clone().header("content-type", "text/x").header("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==");
    assert_eq!(sent.send(&signature).err(), None);
    let in_query = typed.clone().query("content-type", "text/x").query("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==");
    assert_eq!(in_query.send(&signature).err(), None);
    assert_eq!(typed.header("content-type", "text/x").send(&signature).err(), Some(SignatureDoesNotMatch));
}

#[test]
fn what_is_added_or_changed_is_refused() {
    for (name, url, want) in [
        ("a header", url("PUT", "/b-1/k").header("x-amz-copy-source", "/b-1/secret"), SignatureDoesNotMatch),
        ("in the query", url("PUT", "/b-1/k").query("x-amz-copy-source", "/b-1/secret"), SignatureDoesNotMatch),
        ("in capitals", url("PUT", "/b-1/k").query("X-Amz-Acl", "private"), SignatureDoesNotMatch),
        ("a checksum", url("PUT", "/b-1/k").query("x-amz-checksum-crc32", "AAAAAA=="), SignatureDoesNotMatch),
        (
            "two lines in one",
            url("PUT", "/b-1/k")
                .query("x-amz-checksum-crc32", "a\nx-amz-copy-source:/b-1/k")
                .signing("x-amz-checksum-crc32:a\nx-amz-copy-source:/b-1/k\n", ""),
            AccessDenied,
        ),
        (
            "two lines in a name",
            url("PUT", "/b-1/k")
                .query("x-amz-checksum-a:1\nx-amz-copy-source", "/b-1/k")
                .signing("x-amz-checksum-a:1\nx-amz-copy-source:/b-1/k\n", ""),
            AccessDenied,
        ),
        ("a version", url("GET", "/b-1/k").query("versionId", "v1"), SignatureDoesNotMatch),
        ("a part", url("PUT", "/b-1/k").query("uploadId", "u").query("partNumber", "1"), SignatureDoesNotMatch),
        ("tags", url("GET", "/b-1/k").query("tagging", ""), SignatureDoesNotMatch),
        ("uploads", url("POST", "/b-1/k").query("uploads", ""), SignatureDoesNotMatch),
        ("an override", url("GET", "/b-1/k").query("response-content-type", "text/html"), SignatureDoesNotMatch),
        (
            "another value",
            url("GET", "/b-1/k").query("versionId", "v2").signing("", "?versionId=v1"),
            SignatureDoesNotMatch,
        ),
        ("what it does not sign", url("GET", "/b-1/k").query("attributes", ""), AccessDenied),
        ("a prefix", url("GET", "/b-1/").query("prefix", "mine/"), AccessDenied),
        ("anything", url("GET", "/b-1/k").query("x-id", "GetObject"), AccessDenied),
        ("in other letters", url("GET", "/b-1/k").query("versionid", "v1"), AccessDenied),
        (
            "one parameter that reads as two",
            url("GET", "/b-1/k")
                .query("response-content-type", "a&versionId=v1")
                .signing("", "?response-content-type=a&versionId=v1"),
            AccessDenied,
        ),
        (
            "two that may have been one",
            url("GET", "/b-1/k")
                .query("response-content-type", "a")
                .query("versionId", "v1")
                .signing("", "?response-content-type=a&versionId=v1"),
            AccessDenied,
        ),
        (
            "a streaming payload",
            url("PUT", "/b-1/k")
                .header("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
                .signing("x-amz-content-sha256:STREAMING-UNSIGNED-PAYLOAD-TRAILER\n", ""),
            InvalidArgument,
        ),
        (
            "a session",
            url("GET", "/b-1/k").query("x-amz-security-token", "t").signing("x-amz-security-token:t\n", ""),
            InvalidToken,
        ),
        ("two ways at once", url("GET", "/b-1/k").header("authorization", "AWS a:b"), InvalidArgument),
        ("two versions at once", url("GET", "/b-1/k").query("X-Amz-Algorithm", "AWS4-HMAC-SHA256"), InvalidArgument),
    ] {
        assert_eq!(url.outcome(), Some(want), "{name}");
    }
    let get = url("GET", "/b-1/k");
    let signature = get.signature("/b-1/k");
    for other in [url("PUT", "/b-1/k"), url("HEAD", "/b-1/k"), url("GET", "/b-1/k/"), url("GET", "/b-2/k")] {
        assert_eq!(other.send(&signature).err(), Some(SignatureDoesNotMatch), "{} {}", other.method, other.path);
    }
    for bad in ["", "AAAA", "!", &signature[1..], &signature.replace('=', ""), &signature.to_lowercase()] {
        assert_eq!(get.send(bad).err(), Some(SignatureDoesNotMatch), "{bad}");
    }
}

#[test]
fn it_ends_when_it_says() {
    for (expires, want) in [
        (NOW.to_string(), None),
        ((NOW - 1).to_string(), Some(AccessDenied)),
        ((NOW + 9 * 365 * 86_400).to_string(), None),
        ((NOW + 11 * 366 * 86_400).to_string(), Some(AccessDenied)),
        ("0".into(), Some(AccessDenied)),
        ("-1".into(), Some(AccessDenied)),
        ("+1999999999".into(), Some(AccessDenied)),
        ("1999999999.0".into(), Some(AccessDenied)),
        ("9999999999999".into(), Some(AccessDenied)),
        ("18446744073709551616".into(), Some(AccessDenied)),
        ("abc".into(), Some(AccessDenied)),
        (String::new(), Some(AccessDenied)),
    ] {
        let url = Url { expires: expires.clone(), ..url("GET", "/b-1/k") };
        assert_eq!(url.outcome(), want, "{expires}");
    }
}
