//! The `Host` header: its form, and the bucket that stands in it under one of the gateway's domains.
//! Source: RFC 9112 3.2, RFC 9113 8.3.1, RFC 3986 3.2.2; Amazon S3 User Guide, "Virtual hosting of general purpose buckets".
use crate::{S3Code, S3Error};
use http::{HeaderMap, HeaderValue, header, uri::Authority};

/// Longest host name with its port.
const MAX_HOST: usize = 255 + 6;

/// Makes the `:authority` of an HTTP/2 request its `Host` header, which clients sign it as. One that came besides stays, in
/// its own spelling.
///
/// # Errors
/// `BadRequest` where the two name different hosts.
pub fn adopt_authority(headers: &mut HeaderMap, authority: Option<&Authority>) -> Result<(), S3Error> {
    let Some(authority) = authority.map(Authority::as_str) else { return Ok(()) };
    if !headers.contains_key(header::HOST) {
        let host = HeaderValue::from_str(authority);
        headers.insert(header::HOST, host.map_err(|_| S3Code::BadRequest.because("The authority is not valid."))?);
        return Ok(());
    }
    if headers.get_all(header::HOST).iter().any(|host| !host.as_bytes().eq_ignore_ascii_case(authority.as_bytes())) {
        return Err(S3Code::BadRequest.because("The Host header is not the request's authority."));
    }
    Ok(())
}

/// The `Host` header, lower-case.
pub(crate) fn parse(headers: &HeaderMap) -> Result<String, S3Error> {
    let mut values = headers.get_all(header::HOST).iter();
    let value = values.next().ok_or_else(|| S3Code::BadRequest.because("The Host header is missing."))?;
    if values.next().is_some() {
        return Err(S3Code::BadRequest.because("There is more than one Host header."));
    }
    let host = value.to_str().ok().filter(|host| is_host(host));
    let host = host.ok_or_else(|| S3Code::BadRequest.because("The Host header is not valid."))?;
    Ok(host.to_ascii_lowercase())
}

/// The bucket in front of a domain: `Some` exactly for virtual-host style. The bare domain, an address and every host
/// that is under no domain are path-style.
pub(crate) fn bucket<'a>(host: &'a str, domains: &[String]) -> Option<&'a str> {
    let name = without_port(host);
    let name = name.strip_suffix('.').unwrap_or(name);
    let under = |domain: &str| {
        let domain = without_port(domain).trim_matches('.');
        let cut = name.len().checked_sub(domain.len())?;
        let (front, tail) = name.split_at_checked(cut)?;
        if domain.is_empty() || !tail.eq_ignore_ascii_case(domain) {
            return None;
        }
        // "" is the domain itself; otherwise a dot must stand between.
        if front.is_empty() { Some("") } else { front.strip_suffix('.') }
    };
    // Where domains nest, the longest decides, which leaves the shortest front.
    domains.iter().filter_map(|domain| under(domain)).min_by_key(|front| front.len()).filter(|front| !front.is_empty())
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if (name.ends_with(']') || !name.starts_with('[')) && port.bytes().all(|b| b.is_ascii_digit()) =>
        {
            name
        }
        _ => host,
    }
}

fn is_host(host: &str) -> bool {
    if host.len() > MAX_HOST {
        return false;
    }
    let (name, port) = match host.strip_prefix('[') {
        Some(literal) => {
            let Some((address, rest)) = literal.split_once(']') else { return false };
            if address.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            ("v6", rest.strip_prefix(':').or(if rest.is_empty() { Some("0") } else { None }))
        }
        None => match host.bytes().position(|b| b == b':') {
            Some(at) => (host.get(..at).unwrap_or_default(), host.get(at + 1..)),
            None => (host, Some("0")),
        },
    };
    let is_port = |p: &str| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()) && p.parse::<u16>().is_ok();
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
        && port.is_some_and(is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        let adopt = |host: Option<&'static str>, authority: Option<&'static str>| {
            let host = host.map(|host| (header::HOST, HeaderValue::from_static(host)));
            let mut headers = HeaderMap::from_iter(host);
            adopt_authority(&mut headers, authority.map(Authority::from_static).as_ref()).map_err(|e| e.code)?;
            parse(&headers).map_err(|e| e.code)
        };
        assert_eq!(adopt(None, Some("S3.example:9000")), Ok("s3.example:9000".to_owned()));
        assert_eq!(adopt(Some("s3.Example"), Some("S3.example")), Ok("s3.example".to_owned()));
        assert_eq!(adopt(Some("s3.example"), None), Ok("s3.example".to_owned()));
        for (host, authority) in [
            (Some("other"), Some("s3.example")),
            (Some("s3.example:80"), Some("s3.example")),
            (None, Some("user@s3.example")),
            (None, None),
        ] {
            assert_eq!(adopt(host, authority), Err(S3Code::BadRequest), "{host:?} {authority:?}");
        }
    }

    #[test]
    fn hosts() {
        for (value, want) in [
            ("s3.example", Some("s3.example")),
            ("S3.Example:9000", Some("s3.example:9000")),
            ("127.0.0.1:80", Some("127.0.0.1:80")),
            ("[::1]:80", Some("[::1]:80")),
            ("[::1]", Some("[::1]")),
            ("a_b.example.", Some("a_b.example.")),
            ("", None),
            (":80", None),
            ("a b", None),
            ("a,b", None),
            ("[::1", None),
            ("[::1]x", None),
            ("[zz]", None),
            ("user@host", None),
            ("host:", None),
            ("host:99999", None),
            ("host:+80", None),
            ("host:80:80", None),
            ("a/b", None),
            ("a%2e", None),
        ] {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_str(value).unwrap())]);
            assert_eq!(
                parse(&headers).map_err(|e| e.code),
                want.map(str::to_owned).ok_or(S3Code::BadRequest),
                "{value}"
            );
        }
        let mut headers = HeaderMap::new();
        assert!(parse(&headers).is_err());
        headers.append(header::HOST, HeaderValue::from_static("a"));
        headers.append(header::HOST, HeaderValue::from_static("a"));
        assert!(parse(&headers).is_err());
        let long = HeaderMap::from_iter([(header::HOST, HeaderValue::from_str(&"a".repeat(300)).unwrap())]);
        assert!(parse(&long).is_err());
    }

    #[test]
    fn buckets_in_the_host() {
        let domains = ["s3.example", "EU.s3.example", "localhost:9000"].map(str::to_owned);
        for (host, want) in [
            ("s3.example", None),
            ("b.s3.example", Some("b")),
            ("b.s3.example:9000", Some("b")),
            ("b.s3.example.", Some("b")),
            ("a.b.s3.example", Some("a.b")),
            ("eu.s3.example", None),
            ("b.eu.s3.example", Some("b")),
            ("b.localhost:1234", Some("b")),
            ("localhost", None),
            ("bs3.example", None),
            ("s3.example.evil", None),
            ("victim.s3.other", None),
            ("127.0.0.1:9000", None),
            ("[::1]:9000", None),
            (".s3.example", None),
        ] {
            assert_eq!(bucket(host, &domains), want, "{host}");
        }
        assert_eq!(bucket("b.s3.example", &[]), None);
        assert_eq!(bucket("b", &[String::new()]), None);
    }
}
