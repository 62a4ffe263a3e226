//! Signs requests to backends under SigV4. `aws-sigv4` derives the signing key, once a day; what is paid on each request is
//! written out here (`docs/decisions/0002`).
//! Source: Amazon S3 API Reference, "Signature Calculations for the Authorization Header".
use arc_swap::ArcSwapOption;
use aws_sigv4::sign::v4::generate_signing_key;
use http::{HeaderName, HeaderValue};
use s3gateway_config::Secret;
use s3gateway_filters::sigv4::{SigningKey, hex64, push_trimmed, render_timestamp};
use sha2::{Digest, Sha256};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

/// One backend's credentials, and what the requests of this second share.
pub(super) struct Signer {
    access_key: String,
    secret_key: Secret<String>,
    region: String,
    latest: ArcSwapOption<Moment>,
}

/// A second, and what all requests that are signed in it share.
pub(super) struct Moment {
    /// Since the epoch.
    second: u64,
    /// `YYYYMMDDTHHMMSSZ`, UTC: the value of `x-amz-date`.
    stamp: HeaderValue,
    key: Arc<DayKey>,
}

/// The signing key of one day.
struct DayKey {
    /// Since the epoch.
    day: u64,
    /// `<day>/<region>/s3/aws4_request`.
    scope: String,
    key: SigningKey,
}

/// What of a request is signed, each part as it goes over the wire.
pub(super) struct Signable<'r> {
    pub(super) method: &'r str,
    /// Encoded under RFC 3986.
    pub(super) path: &'r str,
    /// Encoded and sorted; without `?`.
    pub(super) query: &'r str,
    /// Sorted by name; several values of one name stand together.
    pub(super) headers: &'r [(HeaderName, HeaderValue)],
    /// The value of `x-amz-content-sha256`.
    pub(super) payload: &'r [u8],
}

impl Signer {
    pub(super) fn new(access_key: &str, secret_key: &Secret<String>, region: &str) -> Self {
        Self {
            access_key: access_key.to_owned(),
            secret_key: secret_key.clone(),
            region: region.to_owned(),
            latest: ArcSwapOption::empty(),
        }
    }

    /// The second that `now` lies in.
    pub(super) fn moment(&self, now: SystemTime) -> Option<Arc<Moment>> {
        let second = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let latest = self.latest.load();
        if let Some(moment) = latest.as_ref().filter(|moment| moment.second == second) {
            return Some(moment.clone());
        }
        let text = render_timestamp(now);
        let stamp = HeaderValue::from_bytes(&text).ok()?;
        let day = second / SECONDS_PER_DAY;
        let key = match latest.as_ref() {
            Some(moment) if moment.key.day == day => moment.key.clone(),
            _ => Arc::new(self.derive(day, &text, now)),
        };
        let moment = Arc::new(Moment { second, stamp, key });
        self.latest.store(Some(moment.clone()));
        Some(moment)
    }

    fn derive(&self, day: u64, text: &[u8; 16], now: SystemTime) -> DayKey {
        let derived = generate_signing_key(self.secret_key.expose(), now, &self.region, "s3");
        let date = String::from_utf8_lossy(text.get(..8).unwrap_or_default());
        let scope = format!("{date}/{}/s3/aws4_request", self.region);
        DayKey { day, scope, key: SigningKey::from_derived(derived.as_ref()) }
    }

    /// The value of `Authorization`; `None` where the access key cannot be written in a header.
    pub(super) fn authorize(&self, request: &Signable<'_>, moment: &Moment) -> Option<HeaderValue> {
        let DayKey { scope, key, .. } = &*moment.key;
        let names = SignedNames(request.headers);
        let hash = Sha256::digest(request.canonical(&names)).into();
        let signature = hex64(&key.sign_request(moment.stamp.as_bytes(), scope, &hash));

        let mut value = Vec::with_capacity(112 + self.access_key.len() + scope.len() + names.len() + 64);
        value.extend_from_slice(b"AWS4-HMAC-SHA256 Credential=");
        value.extend_from_slice(self.access_key.as_bytes());
        value.push(b'/');
        value.extend_from_slice(scope.as_bytes());
        value.extend_from_slice(b", SignedHeaders=");
        names.push_to(&mut value);
        value.extend_from_slice(b", Signature=");
        value.extend_from_slice(&signature);
        HeaderValue::from_maybe_shared(bytes::Bytes::from(value)).ok()
    }
}

impl Moment {
    /// The value of `x-amz-date`.
    pub(super) fn stamp(&self) -> &HeaderValue {
        &self.stamp
    }
}

const SECONDS_PER_DAY: u64 = 86_400;

impl Signable<'_> {
    fn canonical(&self, names: &SignedNames<'_>) -> Vec<u8> {
        let values: usize = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 2).sum();
        let around = self.method.len() + self.path.len() + self.query.len() + names.len() + self.payload.len() + 6;
        let mut text = Vec::with_capacity(values + around);
        for part in [self.method, self.path, self.query] {
            text.extend_from_slice(part.as_bytes());
            text.push(b'\n');
        }
        let mut before: Option<&HeaderName> = None;
        for (name, value) in self.headers {
            if before == Some(name) {
                text.pop();
                text.push(b',');
            } else {
                text.extend_from_slice(name.as_str().as_bytes());
                text.push(b':');
            }
            push_trimmed(&mut text, value.as_bytes());
            text.push(b'\n');
            before = Some(name);
        }
        text.push(b'\n');
        names.push_to(&mut text);
        text.push(b'\n');
        text.extend_from_slice(self.payload);
        text
    }
}

/// The names of sorted headers, each once, with `;` between them.
struct SignedNames<'r>(&'r [(HeaderName, HeaderValue)]);

impl SignedNames<'_> {
    /// At least as long as they are written.
    fn len(&self) -> usize {
        self.0.iter().map(|(name, _)| name.as_str().len() + 1).sum()
    }

    fn push_to(&self, text: &mut Vec<u8>) {
        let mut before: Option<&HeaderName> = None;
        for (name, _) in self.0 {
            if before == Some(name) {
                continue;
            }
            if before.is_some() {
                text.push(b';');
            }
            text.extend_from_slice(name.as_str().as_bytes());
            before = Some(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_credential_types::Credentials;
    use aws_sigv4::{
        http_request::{
            PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
            UriPathNormalizationMode, sign,
        },
        sign::v4,
    };
    use proptest::prelude::*;
    use std::time::Duration;

    /// The same by the AWS SDK's signer, which is given method, URL and headers and orders and renders all of it itself.
    fn authorize_by_sdk(request: &Signable<'_>, now: SystemTime) -> String {
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let identity = Credentials::new("AKID", "secret", None, None, "test").into();
        let params =
            v4::SigningParams::builder().identity(&identity).region("fi-hel").name("s3").time(now).settings(settings);
        let params = params.build().unwrap().into();
        let url = format!("http://backend.test{}?{}", request.path, request.query);
        let made_by_signer = |name: &str| matches!(name, "x-amz-date" | "x-amz-content-sha256");
        let headers = request.headers.iter().map(|(n, v)| (n.as_str(), std::str::from_utf8(v.as_bytes()).unwrap()));
        let headers = headers.filter(|(name, _)| !made_by_signer(name));
        let signable = SignableRequest::new(request.method, &url, headers, SignableBody::UnsignedPayload).unwrap();
        let (instructions, _) = sign(signable, &params).unwrap().into_parts();
        instructions.headers().find(|(name, _)| *name == "authorization").unwrap().1.to_owned()
    }

    proptest! {
        #[test]
        fn signs_as_the_aws_sdk_does(
            seconds in 0u64..4_000_000_000,
            key in "[ -~äö€]{0,40}",
            parameters in proptest::collection::vec(("[a-z-]{1,8}", "[ -~ä]{0,8}"), 0..4),
            mut values in proptest::collection::vec(("x-amz-meta-[a-c]", " {0,2}[!-~ä]( {0,3}[!-~]){0,6} {0,2}"), 0..5),
        ) {
            let now = UNIX_EPOCH + Duration::from_secs(seconds);
            let signer = Signer::new("AKID", &Secret::new("secret".to_owned()), "fi-hel");
            let moment = signer.moment(now).unwrap();
            let date = moment.stamp().to_str().unwrap();
            for (name, value) in
                [("host", "backend.test"), ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), ("x-amz-date", date)]
            {
                values.push((name.to_owned(), value.to_owned()));
            }
            values.sort_by(|(a, _), (b, _)| a.cmp(b));
            let headers: Vec<_> = values
                .iter()
                .map(|(n, v)| (HeaderName::try_from(n.as_str()).unwrap(), HeaderValue::try_from(v.as_str()).unwrap()))
                .collect();
            let encode = |text: &str| s3gateway_s3::uri::encode(text.as_bytes());
            let mut pairs: Vec<_> = parameters.iter().map(|(n, v)| (encode(n), encode(v))).collect();
            pairs.sort();
            let query = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join("&");
            let path = format!("/bucket/{}", s3gateway_s3::uri::encode_path(&key));
            let payload = b"UNSIGNED-PAYLOAD";
            let request = Signable { method: "PUT", path: &path, query: &query, headers: &headers, payload };
            let ours = signer.authorize(&request, &moment).unwrap();
            prop_assert_eq!(ours.to_str().unwrap(), authorize_by_sdk(&request, now));
        }
    }

    #[test]
    fn the_stamp_changes_with_the_second_and_the_key_with_the_day() {
        let signer = Signer::new("id", &Secret::new("secret".to_owned()), "fi-hel");
        let moments = [86_398, 86_399, 86_400, 86_400, 86_401]
            .map(|second| signer.moment(UNIX_EPOCH + Duration::from_millis(second * 1000 + 7)).unwrap());
        let [earlier, last, first, same, next] = &moments;
        assert_eq!(
            (last.stamp().as_bytes(), &*last.key.scope),
            (&b"19700101T235959Z"[..], "19700101/fi-hel/s3/aws4_request")
        );
        assert_eq!(
            (first.stamp().as_bytes(), &*first.key.scope),
            (&b"19700102T000000Z"[..], "19700102/fi-hel/s3/aws4_request")
        );
        assert!(Arc::ptr_eq(&earlier.key, &last.key) && Arc::ptr_eq(&first.key, &next.key));
        assert!(Arc::ptr_eq(first, same));
    }
}
