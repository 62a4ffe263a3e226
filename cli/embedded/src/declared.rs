//! What a request declares about its body, and whether the body is that.
//! Source: Amazon S3 User Guide, "Checking object integrity in Amazon S3"; API reference, PutObject.
use crate::{
    checksums::{Algorithm, Digests},
    error::refusal,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::HeaderMap;
use s3s::{S3Result, s3_error};

/// What a request declares about its body.
#[derive(Debug, Default)]
pub struct Declared {
    /// The one algorithm, if any is named.
    pub algorithm: Option<Algorithm>,
    value: Option<String>,
    in_trailer: bool,
    md5: Option<[u8; 16]>,
}

impl Declared {
    /// From the headers of PutObject, UploadPart and of requests with a document.
    ///
    /// # Errors
    /// `InvalidDigest` and `InvalidRequest` for what cannot be compared.
    pub fn of(headers: &HeaderMap) -> S3Result<Self> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let mut declared = Self::md5_of(headers)?;
        for name in headers.keys().filter_map(|name| name.as_str().strip_prefix("x-amz-checksum-")) {
            if matches!(name, "mode" | "type" | "algorithm") {
                continue;
            }
            if declared.algorithm.is_some() {
                return Err(s3_error!(
                    InvalidRequest,
                    "Expecting a single x-amz-checksum- header. Multiple checksum types are not allowed."
                ));
            }
            declared.algorithm = Some(Algorithm::parse(name)?);
            declared.value = text(&format!("x-amz-checksum-{name}")).map(str::to_owned);
        }
        if let Some(trailer) = text("x-amz-trailer") {
            let name = trailer.trim().to_ascii_lowercase();
            let Some(name) = name.strip_prefix("x-amz-checksum-") else {
                return Err(s3_error!(
                    InvalidRequest,
                    "The value specified in the x-amz-trailer header is not supported"
                ));
            };
            declared.algorithm = Some(Algorithm::parse(name)?);
            declared.in_trailer = true;
        }
        if let Some(name) = text("x-amz-sdk-checksum-algorithm") {
            let named = Algorithm::parse(name)?;
            if declared.algorithm.is_some_and(|algorithm| algorithm != named) {
                return Err(s3_error!(InvalidRequest, "Value for x-amz-sdk-checksum-algorithm header is invalid."));
            }
            if declared.algorithm.is_none() {
                return Err(s3_error!(
                    InvalidRequest,
                    "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found."
                ));
            }
        }
        if let (Some(algorithm), Some(value)) = (declared.algorithm, &declared.value) {
            check_form(algorithm, value)?;
        }
        Ok(declared)
    }

    /// From Content-MD5 alone.
    ///
    /// # Errors
    /// `InvalidDigest` where it is none.
    pub fn md5_of(headers: &HeaderMap) -> S3Result<Self> {
        let Some(value) = headers.get("content-md5") else { return Ok(Self::default()) };
        let md5 = BASE64_STANDARD.decode(value.as_bytes()).ok().and_then(|md5| md5.try_into().ok());
        match md5 {
            Some(md5) => Ok(Self { md5: Some(md5), ..Self::default() }),
            None => Err(s3_error!(InvalidDigest, "The Content-MD5 you specified is not valid.")),
        }
    }

    /// Whether there is anything that the body can be compared with.
    pub fn is_some(&self) -> bool {
        self.md5.is_some() || self.value.is_some() || self.in_trailer
    }

    /// Compares a body that has passed; `trailers` are those that came behind it.
    ///
    /// # Errors
    /// `BadDigest` where it is not what was declared.
    pub fn check(&self, found: &Digests, trailers: Option<&HeaderMap>) -> S3Result<()> {
        if self.md5.is_some_and(|md5| md5 != found.md5) {
            return Err(s3_error!(BadDigest, "The Content-MD5 you specified did not match what we received."));
        }
        let Some(algorithm) = self.algorithm else { return Ok(()) };
        let trailer = trailers.and_then(|trailers| trailers.get(algorithm.header())?.to_str().ok());
        let value = match (self.in_trailer, trailer) {
            (true, None) => return Err(refusal("MalformedTrailerError", "The announced trailer is missing.")),
            (true, Some(trailer)) => Some(trailer),
            (false, _) => self.value.as_deref(),
        };
        let Some(value) = value else { return Ok(()) };
        check_form(algorithm, value)?;
        if found.checksum(algorithm).is_some_and(|checksum| checksum.value == value) {
            return Ok(());
        }
        let name = algorithm.name();
        Err(s3_error!(BadDigest, "The {name} you specified did not match the calculated checksum."))
    }
}

fn check_form(algorithm: Algorithm, value: &str) -> S3Result<()> {
    if BASE64_STANDARD.decode(value).is_ok_and(|digest| digest.len() == algorithm.len()) {
        return Ok(());
    }
    Err(s3_error!(InvalidRequest, "Value for {} header is invalid.", algorithm.header()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksums::Hashes;

    #[test]
    fn what_is_declared_is_compared() {
        let right = "y/Q5Jg==".to_owned();
        for (name, value, want) in [
            ("x-amz-checksum-crc32", right.as_str(), Ok(())),
            ("x-amz-checksum-crc32", "AAAAAA==", Err("BadDigest")),
            ("x-amz-checksum-crc32", "AAAA", Err("InvalidRequest")),
            ("x-amz-checksum-rot13", "AAAA", Err("InvalidRequest")),
            ("content-md5", "JfnnlDI7RTiF9RgfG2JNCw==", Ok(())),
            ("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==", Err("BadDigest")),
            ("content-md5", "AAAA", Err("InvalidDigest")),
            ("content-md5", "?", Err("InvalidDigest")),
            ("x-amz-trailer", "x-amz-checksum-crc32", Err("MalformedTrailerError")),
            ("x-amz-trailer", "x-amz-meta-a", Err("InvalidRequest")),
            ("x-amz-sdk-checksum-algorithm", "CRC32", Err("InvalidRequest")),
        ] {
            let headers = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
            let checked = Declared::of(&headers).and_then(|declared| {
                let mut hashes = Hashes::new(declared.algorithm);
                hashes.update(b"123456789");
                declared.check(&hashes.finalize(), None)
            });
            assert_eq!(
                checked.map_err(|error| error.code().as_str().to_owned()),
                want.map_err(str::to_owned),
                "{name}: {value}"
            );
        }
    }
}
