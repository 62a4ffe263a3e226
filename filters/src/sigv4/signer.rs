//! A signer for tests that shares no code with the verifier: it builds every text as the documentation shows it, with an
//! HMAC, an encoding and an order of its own, so that a fault of the verifier is not mirrored here.
use super::{Claim, SigningKey, Verified, parse_claim, verify};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use s3gateway_config::Secret;
use s3gateway_s3::{S3Code, S3Error, S3Request};
use sha2::{Digest, Sha256};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) const ID: &str = "AKIDTESTTESTTESTTEST";
pub(crate) const SECRET: &str = "a/secret+of/forty+characters/for/tests==";
pub(crate) const DATE: &str = "20260101T120000Z";

/// 2026-01-01T12:00:00Z.
pub(crate) fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_767_268_800)
}

pub(crate) fn regions() -> Vec<String> {
    vec!["us-east-1".into(), "fi-hel".into()]
}

/// What is to be signed, every part free to be wrong.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) unsigned: Vec<String>,
    pub(crate) also_signed: Vec<String>,
    pub(crate) payload: String,
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) scope_date: String,
    pub(crate) region: String,
    pub(crate) service: String,
    pub(crate) terminal: String,
    pub(crate) date: String,
    pub(crate) algorithm: String,
}

/// A request on the wire, to be tampered with.
#[derive(Clone)]
pub(crate) struct Wire {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) chain: Chain,
}

impl Draft {
    /// A request with host, date and payload hash; `path` decoded.
    pub(crate) fn new(method: &'static str, path: &str, payload: &str) -> Self {
        Self {
            method,
            path: path.into(),
            query: vec![],
            headers: vec![
                ("host".into(), b"gateway.test:9000".to_vec()),
                ("x-amz-content-sha256".into(), payload.as_bytes().to_vec()),
                ("x-amz-date".into(), DATE.into()),
            ],
            unsigned: vec![],
            also_signed: vec![],
            payload: payload.into(),
            id: ID.into(),
            secret: SECRET.into(),
            scope_date: DATE[..8].into(),
            region: "us-east-1".into(),
            service: "s3".into(),
            terminal: "aws4_request".into(),
            date: DATE.into(),
            algorithm: "AWS4-HMAC-SHA256".into(),
        }
    }

    /// A request to be presigned: only the host is a header.
    pub(crate) fn for_url(method: &'static str, path: &str) -> Self {
        let mut draft = Self::new(method, path, "UNSIGNED-PAYLOAD");
        draft.headers.truncate(1);
        draft
    }

    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.retain(|(n, _)| n != name);
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    pub(crate) fn query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| n != name);
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn at(mut self, date: &str) -> Self {
        self.date = date.into();
        self.scope_date = date.get(..8).unwrap_or("20260101").into();
        if self.headers.iter().any(|(n, _)| n == "x-amz-date") { self.header("x-amz-date", date) } else { self }
    }

    fn scope(&self) -> String {
        format!("{}/{}/{}/{}", self.scope_date, self.region, self.service, self.terminal)
    }

    fn key(&self) -> [u8; 32] {
        let mut key = hmac(format!("AWS4{}", self.secret).as_bytes(), self.scope_date.as_bytes());
        for step in [&self.region, &self.service, &self.terminal] {
            key = hmac(&key, step.as_bytes());
        }
        key
    }

    fn signed_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.headers.iter().map(|(n, _)| n.clone()).collect();
        names.retain(|n| !self.unsigned.contains(n));
        names.extend(self.also_signed.iter().cloned());
        names.sort();
        names.dedup();
        names
    }

    fn signature(&self, query: &[(String, String)], names: &[String]) -> String {
        let mut pairs: Vec<(String, String)> = query.iter().map(|(n, v)| (percent(n, ""), percent(v, ""))).collect();
        pairs.sort();
        let query: Vec<String> = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let mut text = format!("{}\n{}\n{}\n", self.method, percent(&self.path, "/"), query.join("&")).into_bytes();
        for name in names {
            let values: Vec<Vec<u8>> =
                self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| trim_all(v)).collect();
            text.extend_from_slice(name.as_bytes());
            text.push(b':');
            text.extend_from_slice(&values.join(&b','));
            text.push(b'\n');
        }
        text.extend_from_slice(format!("\n{}\n{}", names.join(";"), self.payload).as_bytes());
        let to_sign =
            format!("{}\n{}\n{}\n{}", self.algorithm, self.date, self.scope(), hex::encode(Sha256::digest(&text)));
        hex::encode(hmac(&self.key(), to_sign.as_bytes()))
    }

    fn into_wire(self, query: Vec<(String, String)>, headers: Vec<(String, Vec<u8>)>, signature: String) -> Wire {
        let chain = Chain { key: self.key(), context: format!("{}\n{}", self.date, self.scope()), previous: signature };
        Wire { method: self.method, path: percent(&self.path, "/"), query, headers, chain }
    }

    /// Signs into the Authorization header.
    pub(crate) fn sign(self) -> Wire {
        let names = self.signed_names();
        let signature = self.signature(&self.query, &names);
        let authorization = format!(
            "{} Credential={}/{}, SignedHeaders={}, Signature={signature}",
            self.algorithm,
            self.id,
            self.scope(),
            names.join(";")
        );
        let (query, mut headers) = (self.query.clone(), self.headers.clone());
        headers.push(("authorization".into(), authorization.into_bytes()));
        self.into_wire(query, headers, signature)
    }

    /// Signs into the query.
    pub(crate) fn presign(self, expires: &str) -> Wire {
        let names = self.signed_names();
        let mut query = self.query.clone();
        for (name, value) in [
            ("X-Amz-Algorithm", self.algorithm.clone()),
            ("X-Amz-Credential", format!("{}/{}", self.id, self.scope())),
            ("X-Amz-Date", self.date.clone()),
            ("X-Amz-Expires", expires.to_owned()),
            ("X-Amz-SignedHeaders", names.join(";")),
        ] {
            query.push((name.into(), value));
        }
        let signature = self.signature(&query, &names);
        query.push(("X-Amz-Signature".into(), signature.clone()));
        let headers = self.headers.clone();
        self.into_wire(query, headers, signature)
    }
}

impl Wire {
    pub(crate) fn add_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    pub(crate) fn set_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.retain(|(n, _)| n != name);
        self.add_header(name, value)
    }

    pub(crate) fn add_query(mut self, name: &str, value: &str) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn edit_authorization(mut self, change: impl FnOnce(&str) -> String) -> Self {
        let (_, value) = self.headers.iter_mut().find(|(n, _)| n == "authorization").unwrap();
        *value = change(std::str::from_utf8(value).unwrap()).into_bytes();
        self
    }

    pub(crate) fn target(&self) -> String {
        let query: Vec<String> =
            self.query.iter().map(|(n, v)| format!("{}={}", percent(n, ""), percent(v, ""))).collect();
        if query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, query.join("&")) }
    }

    pub(crate) fn request(&self) -> Result<S3Request, S3Error> {
        self.request_at(&self.target())
    }

    /// With a target of one's own spelling.
    pub(crate) fn request_at(&self, target: &str) -> Result<S3Request, S3Error> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value).unwrap());
        }
        S3Request::parse(
            &Method::from_bytes(self.method.as_bytes()).unwrap(),
            target,
            headers,
            &["s3.amazonaws.com".into()],
        )
    }

    /// Parse, claim, look-up, verify: as the proxy does it.
    pub(crate) fn authenticate(&self) -> Result<Verified, S3Error> {
        authenticate(&self.request()?, now())
    }
}

pub(crate) fn authenticate(request: &S3Request, now: SystemTime) -> Result<Verified, S3Error> {
    let claim = parse_claim(request, &regions(), now)?;
    verify(request, &claim, &key_of(&claim)?)
}

fn key_of(claim: &Claim<'_>) -> Result<SigningKey, S3Error> {
    if claim.access_key_id() != ID {
        return Err(S3Code::InvalidAccessKeyId.error());
    }
    Ok(SigningKey::derive(&Secret::new(SECRET.to_owned()), claim.date(), claim.region()))
}

/// The client's side of chunk signatures.
#[derive(Clone)]
pub(crate) struct Chain {
    pub(crate) key: [u8; 32],
    pub(crate) context: String,
    pub(crate) previous: String,
}

impl Chain {
    pub(crate) fn chunk(&mut self, data: &[u8]) -> String {
        let empty = hex::encode(Sha256::digest(b""));
        let hash = hex::encode(Sha256::digest(data));
        self.sign(&format!("AWS4-HMAC-SHA256-PAYLOAD\n{}\n{}\n{empty}\n{hash}", self.context, self.previous))
    }

    pub(crate) fn trailer(&mut self, canonical: &str) -> String {
        let hash = hex::encode(Sha256::digest(canonical.as_bytes()));
        self.sign(&format!("AWS4-HMAC-SHA256-TRAILER\n{}\n{}\n{hash}", self.context, self.previous))
    }

    fn sign(&mut self, text: &str) -> String {
        self.previous = hex::encode(hmac(&self.key, text.as_bytes()));
        self.previous.clone()
    }
}

/// RFC 2104 by hand.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0u8; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::digest([&block.map(|b| b ^ 0x36)[..], message].concat());
    Sha256::digest([&block.map(|b| b ^ 0x5c)[..], &inner].concat()).into()
}

pub(crate) fn percent(text: &str, keep: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        let c = byte as char;
        if c.is_ascii_alphanumeric() || "-._~".contains(c) || keep.contains(c) {
            encoded.push(c);
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

fn trim_all(value: &[u8]) -> Vec<u8> {
    let words: Vec<&[u8]> = value.split(|b| *b == b' ').filter(|word| !word.is_empty()).collect();
    words.join(&b' ')
}
