//! Signatures: what was signed verifies; what verifies means exactly what was signed, whatever byte a stranger changes.
//! Input: one byte of mode, two of place, one of change, then a request's head as text.
use crate::input::{Head, Numbers, encode};
use crate::signer::{self, DATE, ID, SCOPE, SECRET};
use s3gateway_config::Secret;
use s3gateway_filters::sigv4::{PayloadMode, SigningKey, Verified, parse_claim, verify};
use s3gateway_s3::{Addressing, S3Code, S3Error, S3Request};

pub fn check(data: &[u8]) {
    let mut numbers = Numbers(data);
    let (mode, place, change) = (numbers.byte(), numbers.short(), numbers.byte());
    let Some(mut head) = Head::read(numbers.0) else { return };
    if !head.target.starts_with('/') {
        return;
    }
    head.headers.retain(|(name, _)| name != "authorization");
    let Some(signed) = (if mode & 1 == 0 { sign_header(head, mode) } else { presign(head, mode) }) else { return };
    let Some(Ok(request)) = signed.head.parse() else { return };
    match authenticate(&request) {
        Ok(verified) => {
            check_rebuilt(&request, &signed);
            check_changed(&signed, &request, &verified, place, change);
        }
        Err(error) => {
            assert_ne!(error.code, S3Code::SignatureDoesNotMatch, "a true signature was refused: {signed:?}");
        }
    }
}

/// A head with its signature, and what that signature covers.
#[derive(Debug)]
struct Signed {
    head: Head,
    names: Vec<String>,
    payload: Vec<u8>,
    signature: String,
}

fn sign_header(mut head: Head, mode: u8) -> Option<Signed> {
    head.set("x-amz-date", DATE);
    if !head.has("x-amz-content-sha256") {
        head.set("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    }
    let names = signed_names(&head, mode);
    let payload = value(&head, "x-amz-content-sha256")?;
    let signature = signer::sign(&signer::canonical(&head, &names, &payload)?);
    head.set(
        "authorization",
        format!("AWS4-HMAC-SHA256 Credential={ID}/{SCOPE}, SignedHeaders={}, Signature={signature}", names.join(";")),
    );
    Some(Signed { head, names, payload, signature })
}

fn presign(mut head: Head, mode: u8) -> Option<Signed> {
    let names = signed_names(&head, mode);
    let joint = if head.target.contains('?') { '&' } else { '?' };
    head.target = format!(
        "{}{joint}X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date={DATE}&X-Amz-Expires=60&X-Amz-SignedHeaders={}",
        head.target,
        encode(format!("{ID}/{SCOPE}").as_bytes(), b""),
        encode(names.join(";").as_bytes(), b"")
    );
    let query = head.parse()?.ok()?.query;
    let payload = query.iter().find(|(name, _)| name.eq_ignore_ascii_case("x-amz-content-sha256"));
    let payload = match payload {
        Some((_, payload)) => payload.as_bytes().to_vec(),
        None => value(&head, "x-amz-content-sha256").unwrap_or_else(|| b"UNSIGNED-PAYLOAD".to_vec()),
    };
    let signature = signer::sign(&signer::canonical(&head, &names, &payload)?);
    head.target = format!("{}&X-Amz-Signature={signature}", head.target);
    Some(Signed { head, names, payload, signature })
}

/// All headers, or those alone that must be signed.
fn signed_names(head: &Head, mode: u8) -> Vec<String> {
    let needed = |name: &str| name == "host" || name.starts_with("x-amz-");
    let mut names: Vec<String> =
        head.headers.iter().map(|(n, _)| n.clone()).filter(|n| mode & 2 == 0 || needed(n)).collect();
    names.sort();
    names.dedup();
    names
}

fn value(head: &Head, name: &str) -> Option<Vec<u8>> {
    head.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())
}

/// As the proxy does it: claim, look-up, verify.
fn authenticate(request: &S3Request) -> Result<Verified, S3Error> {
    let regions = ["us-east-1".to_owned()];
    let claim = parse_claim(request, &regions, signer::now())?;
    if claim.access_key_id() != ID {
        return Err(S3Code::InvalidAccessKeyId.error());
    }
    let key = if claim.date() == &DATE[..8] {
        SigningKey::from_derived(&signer::key())
    } else {
        SigningKey::derive(&Secret::new(SECRET.to_owned()), claim.date(), claim.region())
    };
    verify(request, &claim, &key)
}

/// The canonical request written from the typed request, which is all that is routed, has the signature.
fn check_rebuilt(request: &S3Request, signed: &Signed) {
    let key = request.key.as_ref().map_or("", |key| key.as_str());
    let path = match (request.addressing, &request.bucket) {
        (Addressing::Path, Some(bucket)) => format!("/{}/{key}", bucket.as_str()),
        (Addressing::VirtualHost, Some(_)) => format!("/{key}"),
        (_, None) => return,
    };
    let path = encode(path.as_bytes(), b"/");
    let query: Vec<_> =
        request.query.iter().map(|(n, v)| (encode(n.as_bytes(), b""), encode(v.as_bytes(), b""))).collect();
    let headers: Vec<_> =
        request.headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    let sign = |path: &str| {
        let (names, payload) = (&signed.names, &signed.payload);
        signer::sign(&signer::assemble(request.method.as_str(), path, query.clone(), &headers, names, payload))
    };
    // A bucket may be named with a slash behind it or without.
    let bare = path.strip_suffix('/').filter(|_| key.is_empty());
    assert!(
        sign(&path) == signed.signature || bare.is_some_and(|bare| sign(bare) == signed.signature),
        "what is routed is not what was signed: {request:?}"
    );
}

/// One byte of the wire changed: refused, or it means the same.
fn check_changed(signed: &Signed, request: &S3Request, verified: &Verified, place: usize, change: u8) {
    let Some(changed) = change_byte(&signed.head, place, change) else { return };
    let Some(Ok(other)) = changed.parse() else { return };
    let Ok(proof) = authenticate(&other) else { return };
    assert_eq!(meaning(&other, &proof, signed), meaning(request, verified, signed), "changed {place} by {change}");
}

/// Everything of a request that its signature must hold: what is asked for, of what, in whose name, with which headers.
fn meaning(request: &S3Request, verified: &Verified, signed: &Signed) -> (String, Vec<(String, String)>, PayloadMode) {
    let names = format!("{:?} {:?} {:?} {}", request.operation, request.bucket, request.key, request.host);
    let mut bound: Vec<(String, String)> = request
        .query
        .iter()
        .filter(|(name, _)| *name != "X-Amz-Signature")
        .map(|(name, value)| (format!("?{name}"), value.to_owned()))
        .collect();
    for (name, value) in &request.headers {
        let amz = name.as_str().starts_with("x-amz-");
        if amz || signed.names.iter().any(|n| n == name.as_str()) {
            let words = String::from_utf8_lossy(value.as_bytes().trim_ascii()).into_owned();
            let words = words.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
            bound.push((name.as_str().to_owned(), words));
        }
    }
    bound.sort();
    (names, bound, verified.payload())
}

/// Changes one byte of method, target or a header.
fn change_byte(head: &Head, place: usize, change: u8) -> Option<Head> {
    if change == 0 {
        return None;
    }
    let mut changed = head.clone();
    let mut pieces = vec![head.method.as_bytes().to_vec(), head.target.as_bytes().to_vec()];
    pieces.extend(head.headers.iter().flat_map(|(name, value)| [name.as_bytes().to_vec(), value.clone()]));
    let total: usize = pieces.iter().map(Vec::len).sum();
    let mut at = place % total.max(1);
    for piece in &mut pieces {
        if let Some(byte) = piece.get_mut(at) {
            *byte ^= change;
            break;
        }
        at -= piece.len();
    }
    let mut pieces = pieces.into_iter();
    changed.method = String::from_utf8(pieces.next()?).ok()?;
    changed.target = String::from_utf8(pieces.next()?).ok()?;
    for (name, value) in &mut changed.headers {
        *name = String::from_utf8(pieces.next()?).ok()?.to_ascii_lowercase();
        *value = pieces.next()?;
    }
    Some(changed)
}
