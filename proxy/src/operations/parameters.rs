//! Query parameters as operations read them: numbers within S3's bounds, names no longer than keys, one encoding.
use s3gateway_s3::{S3Code, S3Error, S3Request};

/// Most entries of one page of any listing but ListBuckets.
pub(super) const PAGE: u32 = 1000;

/// A parameter that counts: absent gives `default`, more than `default` is cut down to it.
///
/// # Errors
/// `InvalidArgument` where it is no number from 0 to 2^31-1.
pub(super) fn parse_count(request: &S3Request, name: &'static str, default: u32) -> Result<u32, S3Error> {
    match request.query.get(name) {
        None => Ok(default),
        Some(text) => Ok(parse_number(text, name)?.min(default)),
    }
}

/// A number in plain decimal form.
///
/// # Errors
/// `InvalidArgument` where it is no number from 0 to 2^31-1.
pub(super) fn parse_number(text: &str, name: &'static str) -> Result<u32, S3Error> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse::<i32>().ok().and_then(|n| u32::try_from(n).ok());
    number.filter(|_| plain).ok_or_else(|| {
        let message = format!("Argument {name} must be an integer between 0 and 2147483647.");
        invalid(name, text, message)
    })
}

/// Whether listings are to be URL-encoded.
///
/// # Errors
/// `InvalidArgument` for any encoding but `url`.
pub(super) fn parse_encoding_type(request: &S3Request) -> Result<bool, S3Error> {
    match request.query.get("encoding-type") {
        None => Ok(false),
        Some("url") => Ok(true),
        Some(other) => Err(invalid("encoding-type", other, "Invalid Encoding Method specified in Request")),
    }
}

/// A text parameter that no key can be longer than; absent and empty are the same.
///
/// # Errors
/// `InvalidArgument` where it is longer than any key.
pub(super) fn parse_text<'r>(request: &'r S3Request, name: &'static str) -> Result<Option<&'r str>, S3Error> {
    let text = request.query.get(name).filter(|text| !text.is_empty());
    match text {
        Some(text) if text.len() > s3gateway_s3::ObjectKey::MAX_BYTES => Err(S3Code::InvalidArgument
            .because(format!("Argument {name} is longer than any key."))
            .with("ArgumentName", name)),
        other => Ok(other),
    }
}

/// `InvalidArgument` with the elements that S3 gives with it.
pub(super) fn invalid(name: &'static str, value: &str, message: impl Into<std::borrow::Cow<'static, str>>) -> S3Error {
    S3Code::InvalidArgument.because(message).with("ArgumentName", name).with("ArgumentValue", value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderValue, Method};

    fn request(target: &str) -> S3Request {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("localhost"));
        S3Request::parse(&Method::GET, target, headers.clone(), &[]).expect(target)
    }

    #[test]
    fn counts() {
        for (value, want) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("1000", Some(1000)),
            ("1000000000", Some(1000)),
            ("2147483647", Some(1000)),
            ("2147483648", None),
            ("-1", None),
            ("%2B1", None),
            ("abc", None),
            ("1e2", None),
            ("", None),
        ] {
            let got = parse_count(&request(&format!("/mine?max-keys={value}")), "max-keys", PAGE);
            assert_eq!(got.map_err(|e| e.code), want.ok_or(S3Code::InvalidArgument), "{value}");
        }
        assert_eq!(parse_count(&request("/mine"), "max-keys", PAGE).ok(), Some(1000));
    }

    #[test]
    fn encodings_and_texts() {
        assert!(parse_encoding_type(&request("/mine?encoding-type=url")).is_ok_and(|url| url));
        assert!(parse_encoding_type(&request("/mine?encoding-type=foo")).is_err());
        assert_eq!(parse_text(&request("/mine?delimiter="), "delimiter").ok(), Some(None));
        assert!(parse_text(&request(&format!("/mine?delimiter={}", "d".repeat(1025))), "delimiter").is_err());
    }
}
