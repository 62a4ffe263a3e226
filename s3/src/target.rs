//! The request target: its form, its bytes, and its cut into path and query.
//! Source: RFC 9112 3.2, RFC 3986 3.3 and 3.4.
use crate::{S3Code, S3Error, uri};

/// Longest target in bytes: a key of 1,024 bytes takes 3,072 encoded, a presigned query with a session token some thousand more.
const MAX_TARGET: usize = 16 * 1024;

/// The target's two halves, still encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// Begins with a slash.
    pub(crate) path: &'a str,
    /// What follows the first `?`; empty where there is none.
    pub(crate) query: &'a str,
}

/// Parses the origin form, and the absolute form where it names the same host as the `Host` header.
pub(crate) fn parse<'a>(raw: &'a str, host: &str) -> Result<Target<'a>, S3Error> {
    if raw.len() > MAX_TARGET {
        return Err(S3Code::InvalidURI.because("The request target is too long."));
    }
    let origin = if raw.starts_with('/') { raw } else { strip_authority(raw, host)? };
    let (path, query) = origin.split_once('?').unwrap_or((origin, ""));
    let path = if path.is_empty() { "/" } else { path };
    if path.bytes().all(is_path_byte) && query.bytes().all(|b| is_path_byte(b) || b == b'?') {
        Ok(Target { path, query })
    } else {
        Err(S3Code::InvalidURI.because("The request target holds a character that must be percent-encoded."))
    }
}

/// `pchar` of RFC 3986, and the slash.
fn is_path_byte(byte: u8) -> bool {
    uri::is_unreserved(byte)
        || matches!(
            byte,
            b'%' | b'/' | b':' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        )
}

fn strip_authority<'a>(raw: &'a str, host: &str) -> Result<&'a str, S3Error> {
    let scheme_end =
        ["http://", "https://"].iter().find(|s| raw.get(..s.len()).is_some_and(|r| r.eq_ignore_ascii_case(s)));
    let rest = scheme_end.and_then(|s| raw.get(s.len()..)).ok_or_else(|| S3Code::InvalidURI.error())?;
    let (authority, origin) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if authority.eq_ignore_ascii_case(host) {
        Ok(origin)
    } else {
        Err(S3Code::InvalidURI.because("The request target names another host than the Host header."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_bytes() {
        for (raw, want) in [
            ("/", Some(("/", ""))),
            ("/b/k?a=b?c", Some(("/b/k", "a=b?c"))),
            ("/b/k?", Some(("/b/k", ""))),
            ("/b/%20!$&'()*+,;=:@-._~", Some(("/b/%20!$&'()*+,;=:@-._~", ""))),
            ("http://h:1/b/k?x", Some(("/b/k", "x"))),
            ("HTTP://H:1", Some(("/", ""))),
            ("http://h:1?x", Some(("/", "x"))),
            ("http://other/b/k", None),
            ("http://h:1@evil/b", None),
            ("ftp://h:1/b", None),
            ("*", None),
            ("b/k", None),
            ("", None),
            ("/b/a b", None),
            ("/b/a\"b", None),
            ("/b/a<b", None),
            ("/b/a\\b", None),
            ("/b/a#b", None),
            ("/b/a\tb", None),
            ("/b/a\0b", None),
            ("/b/ä", None),
            ("/b?a b", None),
            ("/b?ä", None),
            ("/b?a#b", None),
        ] {
            let got = parse(raw, "h:1");
            let got = got.as_ref().map(|t| (t.path, t.query)).map_err(|e| e.code);
            assert_eq!(got, want.ok_or(S3Code::InvalidURI), "{raw}");
        }
        assert!(parse(&format!("/{}", "a".repeat(MAX_TARGET - 1)), "h").is_ok());
        assert!(parse(&format!("/{}", "a".repeat(MAX_TARGET)), "h").is_err());
    }
}
