//! Percent-encoding: the one set that signatures, upstream requests and listings share.
//! Source: RFC 3986 2.3 (unreserved characters); AWS General Reference, "Create a signed AWS API request" (UriEncode).
use crate::{S3Code, S3Error};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::borrow::Cow;

/// Everything except RFC 3986's unreserved characters.
pub const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// As [`RESERVED`], but the slash stays.
const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'/');

/// Encodes every byte that RFC 3986 does not call unreserved, with upper-case hexadecimal digits.
pub fn encode(bytes: &[u8]) -> String {
    percent_encoding::percent_encode(bytes, RESERVED).to_string()
}

/// Encodes a key or a path: as [`encode`], with `/` kept.
pub fn encode_path(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    push_encoded_path(&mut text, path);
    text
}

/// Appends `path`, encoded as [`encode_path`] does.
pub fn push_encoded_path(text: &mut String, path: &str) {
    if path.bytes().all(|b| is_unreserved(b) || b == b'/') {
        text.push_str(path);
    } else {
        text.extend(utf8_percent_encode(path, RESERVED_IN_PATH));
    }
}

/// Whether a byte is unreserved under RFC 3986, so that it stands for itself and nothing else.
pub fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Decodes a path once. `+` is a plus; the result is exactly the bytes that were meant.
///
/// # Errors
/// `InvalidURI` for a `%` without two hexadecimal digits or for bytes that are not UTF-8.
pub fn decode_path(path: &str) -> Result<String, S3Error> {
    match decode(path, false) {
        Ok(text) => Ok(text.into_owned()),
        Err(fault) => Err(S3Code::InvalidURI.because(fault.message())),
    }
}

/// Decodes a query string into its parameters in the order sent; `+` is a space and a missing value an empty one.
/// Empty pieces (`&&`) are no parameters.
///
/// # Errors
/// `InvalidURI` for a `%` without two hexadecimal digits, `InvalidArgument` for bytes that are not UTF-8.
pub fn decode_query(query: &str) -> Result<Vec<(String, String)>, S3Error> {
    pairs(query)
        .map(|(name, value)| Ok((decode(name, true)?.into_owned(), decode(value, true)?.into_owned())))
        .collect::<Result<_, _>>()
        .map_err(|fault: DecodeFault| match fault {
            DecodeFault::Escape => S3Code::InvalidURI.because(fault.message()),
            DecodeFault::NotUtf8 => S3Code::InvalidArgument.because(fault.message()),
        })
}

/// Decodes a value as HTML forms write it (`+` is a space), `None` where malformed. Listings with `encoding-type=url`
/// and the header `x-amz-tagging` use this form.
pub(crate) fn decode_form(value: &str) -> Option<Cow<'_, str>> {
    decode(value, true).ok()
}

/// Splits `a=b&c` into pairs, still encoded.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|piece| !piece.is_empty()).map(|piece| piece.split_once('=').unwrap_or((piece, "")))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DecodeFault {
    Escape,
    NotUtf8,
}

impl DecodeFault {
    fn message(self) -> &'static str {
        match self {
            Self::Escape => "The URI holds a percent sign that two hexadecimal digits do not follow.",
            Self::NotUtf8 => "The URI does not decode to UTF-8.",
        }
    }
}

fn decode(text: &str, plus_is_space: bool) -> Result<Cow<'_, str>, DecodeFault> {
    let special = |byte: u8| byte == b'%' || (plus_is_space && byte == b'+');
    if !text.bytes().any(special) {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let high = bytes.next().and_then(hex_digit).ok_or(DecodeFault::Escape)?;
                let low = bytes.next().and_then(hex_digit).ok_or(DecodeFault::Escape)?;
                high << 4 | low
            }
            b'+' if plus_is_space => b' ',
            other => other,
        });
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| DecodeFault::NotUtf8)
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_decode_once_and_strictly() {
        for (path, want) in [
            ("a%20b", Ok("a b")),
            ("a+b", Ok("a+b")),
            ("%252F", Ok("%2F")),
            ("a%2fb%2Fc", Ok("a/b/c")),
            ("%c3%a4", Ok("ä")),
            ("../%2e%2e/./", Ok("../.././")),
            ("%00", Ok("\0")),
            ("", Ok("")),
            ("%zz", Err(S3Code::InvalidURI)),
            ("%", Err(S3Code::InvalidURI)),
            ("%e", Err(S3Code::InvalidURI)),
            ("%+1", Err(S3Code::InvalidURI)),
            ("%ff%fe", Err(S3Code::InvalidURI)),
            ("%c0%af", Err(S3Code::InvalidURI)),
            ("%ed%a0%80", Err(S3Code::InvalidURI)),
        ] {
            assert_eq!(decode_path(path).map_err(|e| e.code), want.map(str::to_owned), "{path}");
        }
    }

    #[test]
    fn queries_decode_in_order() {
        let pair = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        assert_eq!(decode_query("").unwrap(), vec![]);
        assert_eq!(
            decode_query("a=2&a=1&uploads&b=").unwrap(),
            vec![pair("a", "2"), pair("a", "1"), pair("uploads", ""), pair("b", "")]
        );
        assert_eq!(
            decode_query("prefix=a+b%2Bc%20d&&x=y=z").unwrap(),
            vec![pair("prefix", "a b+c d"), pair("x", "y=z")]
        );
        assert_eq!(decode_query("%61cl").unwrap(), vec![pair("acl", "")]);
        assert_eq!(decode_query("a=%zz").unwrap_err().code, S3Code::InvalidURI);
        assert_eq!(decode_query("start-after=%ff").unwrap_err().code, S3Code::InvalidArgument);
    }

    #[test]
    fn only_unreserved_bytes_stay() {
        assert_eq!(encode(b"aZ09-._~/ +%*\xff"), "aZ09-._~%2F%20%2B%25%2A%FF");
        assert_eq!(encode_path("a/b c/ä+"), "a/b%20c/%C3%A4%2B");
    }

    proptest! {
        #[test]
        fn encoding_and_decoding_are_inverse(text in any::<String>()) {
            prop_assert_eq!(decode_path(&encode_path(&text)).unwrap(), text.clone());
            prop_assert_eq!(decode_path(&encode(text.as_bytes())).unwrap(), text.clone());
            let query = format!("{}={}", encode(b"n"), encode(text.as_bytes()));
            prop_assert_eq!(decode_query(&query).unwrap(), vec![("n".to_owned(), text)]);
        }
        #[test]
        fn nothing_panics(text in any::<String>()) {
            let _ = (decode_path(&text), decode_query(&text));
        }
        #[test]
        fn encoded_text_is_plain(bytes in any::<Vec<u8>>()) {
            prop_assert!(encode(&bytes).bytes().all(|b| is_unreserved(b) || b == b'%'));
        }
    }
}
