//! Cuts an input into what a server hands to the parser, and into numbers.
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// A request's head on the wire: text that reads like HTTP, so that a corpus can be read too.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in lower case, values without white space around.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

impl Head {
    /// `METHOD target`, then `name: value` lines. `None` where no HTTP server would go on.
    pub(crate) fn read(data: &[u8]) -> Option<Self> {
        let mut lines = data.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
        let (method, target) = std::str::from_utf8(lines.next()?).ok()?.split_once(' ')?;
        let mut headers = Vec::new();
        for line in lines.take_while(|line| !line.is_empty()) {
            let colon = line.iter().position(|b| *b == b':')?;
            let name = std::str::from_utf8(&line[..colon]).ok()?.to_ascii_lowercase();
            headers.push((name, line[colon + 1..].trim_ascii().to_vec()));
        }
        Some(Self { method: method.to_owned(), target: target.to_owned(), headers })
    }

    pub(crate) fn method(&self) -> Option<Method> {
        Method::from_bytes(self.method.as_bytes()).ok()
    }

    pub(crate) fn header_map(&self) -> Option<HeaderMap> {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            map.append(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value).ok()?);
        }
        Some(map)
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.headers.retain(|(n, _)| n != name);
        self.headers.push((name.to_owned(), value.into()));
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(n, _)| n == name)
    }

    /// Parses it as the gateway does. `None` where HTTP itself would have refused.
    pub(crate) fn parse(&self) -> Option<Result<s3gateway_s3::S3Request, s3gateway_s3::S3Error>> {
        let domains = ["s3.test".to_owned()];
        Some(s3gateway_s3::S3Request::parse(&self.method()?, &self.target, self.header_map()?, &domains))
    }
}

/// Numbers from the front of an input; zeros when it has run out.
pub(crate) struct Numbers<'a>(pub(crate) &'a [u8]);

impl Numbers<'_> {
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub(crate) fn short(&mut self) -> usize {
        usize::from(u16::from_le_bytes([self.byte(), self.byte()]))
    }
}

/// Percent-decoding of the tests' own; `None` where malformed.
pub(crate) fn decode(text: &str, plus_is_space: bool) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'%' => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return None;
                }
                out.push(u8::from_str_radix(digits, 16).ok()?);
                rest = &rest[2..];
            }
            b'+' if plus_is_space => out.push(b' '),
            other => out.push(*other),
        }
    }
    Some(out)
}

/// Percent-encoding of the tests' own: everything but RFC 3986's unreserved characters and those to keep.
pub(crate) fn encode(bytes: &[u8], keep: &[u8]) -> String {
    let mut out = String::new();
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(*byte)),
            kept if keep.contains(kept) => out.push(char::from(*kept)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
