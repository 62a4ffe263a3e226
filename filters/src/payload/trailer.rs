//! The trailer of an `aws-chunked` body: everything after the zero chunk's line, collected and then read as a whole.
//! Source: Amazon S3 API Reference, "Signature Calculations: Including Trailing Headers (Chunked Upload)".
use crate::sigv4::ChunkSignatures;
use s3gateway_s3::checksum::{self, Algorithm};
use s3gateway_s3::{S3Code, S3Error};

/// Checks the section and gives the announced checksum's value. The section must match to its last byte:
///
/// ```text
/// name ":" value (CRLF | LF CRLF) [ "x-amz-trailer-signature:" 64 hex CRLF ] CRLF
/// ```
///
/// The bare LF is what minio-go writes, before and after the signature existed.
pub(super) fn verify_trailer(
    section: &[u8],
    announced: Option<Algorithm>,
    signatures: Option<&mut ChunkSignatures>,
) -> Result<Option<Vec<u8>>, S3Error> {
    let Some(algorithm) = announced else {
        expect_end(section)?;
        return Ok(None);
    };
    if section == b"\r\n" {
        return Err(malformed("The trailing header that x-amz-trailer announces is missing."));
    }
    let (line, mut rest) = split_line(section)?;
    let line = match line.strip_suffix(b"\r") {
        Some(line) => line,
        None => {
            rest = strip_crlf(rest)?;
            line
        }
    };
    let (name, value) = split_header(line)?;
    if Algorithm::from_header(name) != Some(algorithm) {
        return Err(malformed("The trailing header is not the one that x-amz-trailer announces."));
    }
    if let Some(signatures) = signatures {
        rest = verify_trailer_signature(rest, algorithm, value, signatures)?;
    }
    expect_end(rest)?;
    match checksum::parse_value(algorithm, value) {
        Some(digest) => Ok(Some(digest)),
        None => {
            Err(S3Code::InvalidRequest.because(format!("Value for {} trailing header is invalid.", algorithm.header())))
        }
    }
}

fn verify_trailer_signature<'s>(
    section: &'s [u8],
    algorithm: Algorithm,
    value: &str,
    signatures: &mut ChunkSignatures,
) -> Result<&'s [u8], S3Error> {
    if section == b"\r\n" {
        return Err(malformed("The header x-amz-trailer-signature is missing."));
    }
    let (line, rest) = split_line(section)?;
    let (name, signature) = split_header(line.strip_suffix(b"\r").unwrap_or(line))?;
    if !name.eq_ignore_ascii_case("x-amz-trailer-signature") {
        return Err(malformed("The header x-amz-trailer-signature is missing."));
    }
    let canonical = format!("{}:{value}\n", algorithm.header());
    let signature: &[u8; 64] = signature.as_bytes().try_into().map_err(|_| S3Code::SignatureDoesNotMatch.error())?;
    if !signatures.verify_trailer(canonical.as_bytes(), signature) {
        return Err(S3Code::SignatureDoesNotMatch.error());
    }
    Ok(rest)
}

/// The line up to its LF, and what follows it.
fn split_line(section: &[u8]) -> Result<(&[u8], &[u8]), S3Error> {
    let at = memchr::memchr(b'\n', section).ok_or_else(incomplete)?;
    let (line, rest) = section.split_at(at);
    Ok((line, rest.strip_prefix(b"\n").unwrap_or_default()))
}

fn split_header(line: &[u8]) -> Result<(&str, &str), S3Error> {
    let text = std::str::from_utf8(line).map_err(|_| malformed("A trailing header is not text."))?;
    let (name, value) = text.split_once(':').ok_or_else(|| malformed("A trailing header has no colon."))?;
    Ok((name, value.trim_matches(' ')))
}

fn strip_crlf(section: &[u8]) -> Result<&[u8], S3Error> {
    match section.strip_prefix(b"\r\n") {
        Some(rest) => Ok(rest),
        None if section.is_empty() || section == b"\r" => Err(incomplete()),
        None => Err(malformed("The trailer is not ended as it must be.")),
    }
}

fn expect_end(section: &[u8]) -> Result<(), S3Error> {
    if strip_crlf(section)?.is_empty() { Ok(()) } else { Err(malformed("Something follows the end of the body.")) }
}

fn malformed(message: &'static str) -> S3Error {
    S3Code::MalformedTrailerError.because(message)
}

fn incomplete() -> S3Error {
    S3Code::IncompleteBody.because("The body ends inside its trailer.")
}
