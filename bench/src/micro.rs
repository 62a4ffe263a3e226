//! What each step of admission costs by itself: nanoseconds per call, the best of several rounds, on one thread.
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use s3gateway_config::{Place, PlaceRule, ResidencyPolicy, Secret};
use s3gateway_filters::{
    payload::{self, BodyVerifier, Framing},
    residency,
    sigv4::{self, SigningKey},
};
use s3gateway_s3::S3Request;
use sha2::{Digest, Sha256};
use std::{
    hint::black_box,
    time::{Duration, Instant, SystemTime},
};

const ROUNDS: u32 = 7;

/// Prints one line a step.
pub fn run() {
    let Some((headers, now)) = signed_get() else {
        eprintln!("the sample request could not be made");
        return;
    };
    let target = "/photos/2026/summer/picture-0001.jpg";
    let regions = ["us-east-1".to_owned()];
    let secret = Secret::new(SECRET.to_owned());
    let key = SigningKey::derive(&secret, DAY, "us-east-1");

    time("parse", 50_000, || S3Request::parse(&Method::GET, target, headers.clone(), &[]).is_ok());
    let Ok(request) = S3Request::parse(&Method::GET, target, headers.clone(), &[]) else { return };
    time("sigv4 claim", 50_000, || sigv4::parse_claim(&request, &regions, now).is_ok());
    let Ok(claim) = sigv4::parse_claim(&request, &regions, now) else { return };
    time("sigv4 verify, signing key cached", 50_000, || sigv4::verify(&request, &claim, &key).is_ok());
    time("sigv4 derive a signing key", 20_000, || {
        black_box(SigningKey::derive(&secret, DAY, "us-east-1"));
        true
    });
    let place = Place {
        zone: "fi-hel-1".into(),
        region: "fi-hel".into(),
        country: "FI".into(),
        jurisdiction: "EU".into(),
        provider: "p".into(),
        certifications: Vec::new(),
    };
    let policy = ResidencyPolicy {
        allow: PlaceRule { jurisdictions: vec!["EU".into()], ..PlaceRule::default() },
        ..ResidencyPolicy::default()
    };
    time("residency", 200_000, || residency::decide(&policy, &ResidencyPolicy::default(), &place).is_ok());
    let Ok(verified) = sigv4::verify(&request, &claim, &key) else {
        eprintln!("the sample request does not verify");
        return;
    };
    let body = Bytes::from(vec![b'x'; 1 << 20]);
    let framing = Framing { content_length: Some(body.len() as u64), chunked: false };
    let Ok(plan) = payload::plan(&request, &verified, framing) else { return };
    time("payload, 1 MiB UNSIGNED-PAYLOAD in 64 KiB pieces", 200, || {
        let mut verifier = BodyVerifier::new(&plan, &verified);
        let pieces = (0..16).all(|i| verifier.push(body.slice(i << 16..(i + 1) << 16)).is_ok());
        pieces && verifier.finish().is_ok()
    });
}

/// Times `step`, which says whether it succeeded: a step that fails is no benchmark.
fn time(name: &str, calls: u32, mut step: impl FnMut() -> bool) {
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut right = true;
        for _ in 0..calls {
            right &= black_box(step());
        }
        if !right {
            println!("{name:<50} failed");
            return;
        }
        best = best.min(start.elapsed());
    }
    println!("{name:<50} {:>10} ns", best.as_nanos() / u128::from(calls));
}

const DAY: &str = "20260101";
const TIME: &str = "20260101T120000Z";
const SECRET: &str = "not-a-secret-only-a-benchmark";

/// A GET as an SDK signs it, by a signer of this file's own, and the moment at which it is valid.
fn signed_get() -> Option<(HeaderMap, SystemTime)> {
    let payload = "UNSIGNED-PAYLOAD";
    let canonical = format!(
        "GET\n/photos/2026/summer/picture-0001.jpg\n\nhost:127.0.0.1:9000\nx-amz-content-sha256:{payload}\nx-amz-date:{TIME}\n\n\
         host;x-amz-content-sha256;x-amz-date\n{payload}"
    );
    let scope = format!("{DAY}/us-east-1/s3/aws4_request");
    let to_sign = format!("AWS4-HMAC-SHA256\n{TIME}\n{scope}\n{}", hex::encode(Sha256::digest(canonical)));
    let mut key = hmac(format!("AWS4{SECRET}").as_bytes(), DAY.as_bytes());
    for part in ["us-east-1", "s3", "aws4_request"] {
        key = hmac(&key, part.as_bytes());
    }
    let signature = hex::encode(hmac(&key, to_sign.as_bytes()));
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "127.0.0.1:9000".to_owned()),
        ("x-amz-content-sha256", payload.to_owned()),
        ("x-amz-date", TIME.to_owned()),
        ("user-agent", "bench".to_owned()),
        (
            "authorization",
            format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE0000000000/{scope}, \
                 SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={signature}"
            ),
        ),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_str(&value).ok()?);
    }
    Some((headers, SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_268_800)))
}

/// HMAC-SHA256 (RFC 2104), for the sample's signature only.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 64];
    let hashed = Sha256::digest(key);
    let key = if key.len() > block.len() { hashed.as_slice() } else { key };
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let inner = Sha256::new().chain_update(block.map(|b| b ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|b| b ^ 0x5c)).chain_update(inner).finalize().to_vec()
}
