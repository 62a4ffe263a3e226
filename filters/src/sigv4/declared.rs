//! How a request declares that its body is protected: the value of x-amz-content-sha256, wherever it stands.
use s3gateway_s3::{S3Code, S3Error, S3Request};

/// How the body is protected, as `x-amz-content-sha256` declares (Amazon S3 API Reference, "Signature Calculations
/// for the Authorization Header: Transferring Payload in Multiple Chunks").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadMode {
    /// The body's SHA-256 is part of what was signed.
    Signed([u8; 32]),
    /// `UNSIGNED-PAYLOAD`.
    Unsigned,
    /// `STREAMING-AWS4-HMAC-SHA256-PAYLOAD`: each chunk carries a signature that chains to the request's.
    StreamingSigned,
    /// `STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER`: so does the trailer with the checksum.
    StreamingSignedTrailer,
    /// `STREAMING-UNSIGNED-PAYLOAD-TRAILER`: chunks without signatures, then a checksum.
    StreamingUnsignedTrailer,
}

/// What the canonical request ends with. Over a presigned URL the body is unsigned unless something says otherwise.
pub(super) fn declared_payload(request: &S3Request, presigned: bool) -> Result<&str, S3Error> {
    let header = match request.value("x-amz-content-sha256") {
        Some(value) => Some(std::str::from_utf8(value.as_bytes()).map_err(|_| payload_nonsense())?),
        None => None,
    };
    if !presigned {
        return header.ok_or_else(|| {
            S3Code::InvalidRequest.because("Missing required header for this request: x-amz-content-sha256")
        });
    }
    let mut in_query = request.query.iter().filter(|(n, _)| n.eq_ignore_ascii_case("x-amz-content-sha256"));
    match (in_query.next(), in_query.next(), header) {
        (Some(_), Some(_), _) => Err(S3Code::InvalidArgument.because("X-Amz-Content-Sha256 must not be repeated.")),
        (Some((_, query)), None, Some(header)) if query != header => {
            Err(S3Code::InvalidArgument.because("X-Amz-Content-Sha256 and the header x-amz-content-sha256 differ."))
        }
        (Some((_, query)), None, _) => Ok(query),
        (None, _, Some(header)) => Ok(header),
        (None, _, None) => Ok("UNSIGNED-PAYLOAD"),
    }
}

/// How the body of a request with a signed URL is protected.
pub(crate) fn parse_payload(request: &S3Request) -> Result<PayloadMode, S3Error> {
    parse_payload_mode(declared_payload(request, true)?)
}

pub(super) fn parse_payload_mode(value: &str) -> Result<PayloadMode, S3Error> {
    match value {
        "UNSIGNED-PAYLOAD" => Ok(PayloadMode::Unsigned),
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Ok(PayloadMode::StreamingSigned),
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Ok(PayloadMode::StreamingSignedTrailer),
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Ok(PayloadMode::StreamingUnsignedTrailer),
        digest => {
            let mut sha256 = [0; 32];
            hex::decode_to_slice(digest, &mut sha256).map_err(|_| payload_nonsense())?;
            Ok(PayloadMode::Signed(sha256))
        }
    }
}

fn payload_nonsense() -> S3Error {
    S3Code::InvalidArgument
        .because(
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
        )
        .with("ArgumentName", "x-amz-content-sha256")
}
