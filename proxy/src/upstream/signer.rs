//! Signs requests to backends under SigV4. `aws-sigv4` derives the signing key, once a day; what is paid on each request is
//! written out here (`docs/decisions/0002`).
//! Source: Amazon S3 API Reference, "Signature Calculations for the Authorization Header".
use arc_swap::ArcSwapOption;
use aws_sigv4::sign::v4::generate_signing_key;
use http::{HeaderName, HeaderValue};
use s3gateway_config::Secret;
use s3gateway_filters::sigv4::{SigningKey, hex64, push_trimmed, render_timestamp};
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::SystemTime};

/// One backend's credentials and its signing key of the day.
pub(super) struct Signer {
    access_key: String,
    secret_key: Secret<String>,
    region: String,
    today: ArcSwapOption<DayKey>,
}

/// The signing key of one day.
struct DayKey {
    /// `YYYYMMDD`.
    day: [u8; 8],
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
            today: ArcSwapOption::empty(),
        }
    }

    /// The value of `Authorization`; `None` where the access key cannot be written in a header.
    pub(super) fn authorize(&self, request: &Signable<'_>, stamp: Timestamp) -> Option<HeaderValue> {
        let key = self.key_of(stamp);
        let names = SignedNames(request.headers);
        let hash = Sha256::digest(request.canonical(&names)).into();
        let signature = hex64(&key.key.sign_request(stamp.text(), &key.scope, &hash));

        let mut value = Vec::with_capacity(112 + self.access_key.len() + key.scope.len() + names.len() + 64);
        value.extend_from_slice(b"AWS4-HMAC-SHA256 Credential=");
        value.extend_from_slice(self.access_key.as_bytes());
        value.push(b'/');
        value.extend_from_slice(key.scope.as_bytes());
        value.extend_from_slice(b", SignedHeaders=");
        names.push_to(&mut value);
        value.extend_from_slice(b", Signature=");
        value.extend_from_slice(&signature);
        HeaderValue::from_maybe_shared(bytes::Bytes::from(value)).ok()
    }

    fn key_of(&self, stamp: Timestamp) -> Arc<DayKey> {
        match &*self.today.load() {
            Some(key) if key.day == stamp.day() => return key.clone(),
            _ => {}
        }
        let key = Arc::new(self.derive(stamp));
        self.today.store(Some(key.clone()));
        key
    }

    fn derive(&self, stamp: Timestamp) -> DayKey {
        let day = stamp.day();
        let derived = generate_signing_key(self.secret_key.expose(), stamp.time(), &self.region, "s3");
        let scope = format!("{}/{}/s3/aws4_request", String::from_utf8_lossy(&day), self.region);
        DayKey { day, scope, key: SigningKey::from_derived(derived.as_ref()) }
    }
}

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

/// A second, as SigV4 writes it: `YYYYMMDDTHHMMSSZ`, UTC.
#[derive(Clone, Copy)]
pub(super) struct Timestamp([u8; 16], SystemTime);

impl Timestamp {
    pub(super) fn at(now: SystemTime) -> Self {
        Self(render_timestamp(now), now)
    }

    pub(super) fn text(&self) -> &[u8; 16] {
        &self.0
    }

    fn day(self) -> [u8; 8] {
        let mut day = [0; 8];
        day.iter_mut().zip(self.0).for_each(|(place, byte)| *place = byte);
        day
    }

    fn time(self) -> SystemTime {
        self.1
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
    use std::time::{Duration, UNIX_EPOCH};

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
            let stamp = Timestamp::at(now);
            let date = String::from_utf8(stamp.text().to_vec()).unwrap();
            for (name, value) in
                [("host", "backend.test"), ("x-amz-content-sha256", "UNSIGNED-PAYLOAD"), ("x-amz-date", &*date)]
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
            let signer = Signer::new("AKID", &Secret::new("secret".to_owned()), "fi-hel");
            let ours = signer.authorize(&request, stamp).unwrap();
            prop_assert_eq!(ours.to_str().unwrap(), authorize_by_sdk(&request, now));
        }
    }

    #[test]
    fn the_key_changes_with_the_day() {
        let signer = Signer::new("id", &Secret::new("secret".to_owned()), "fi-hel");
        let days = [86_399, 86_400, 86_401].map(|s| Timestamp::at(UNIX_EPOCH + Duration::from_secs(s)));
        let [last, first, next] = days.map(|stamp| signer.key_of(stamp));
        assert_eq!(last.scope, "19700101/fi-hel/s3/aws4_request");
        assert_eq!(first.scope, "19700102/fi-hel/s3/aws4_request");
        assert!(Arc::ptr_eq(&first, &next));
    }
}
