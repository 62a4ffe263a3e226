//! What a request's headers promise about its body, checked before a byte of it is read.
//! Source: Amazon S3 API Reference, "PutObject"; Amazon S3 User Guide, "Checking object integrity in Amazon S3".
use crate::headers::is_aws_chunked;
use crate::sigv4::{PayloadMode, Verified};
use s3gateway_s3::checksum::{self, Algorithm};
use s3gateway_s3::{Operation, S3Code, S3Error, S3Request};

/// Largest body of one request: S3's limit for a single PUT and for a part.
pub const MAX_BODY_BYTES: u64 = 5 * 1024 * 1024 * 1024;

/// How HTTP delimits the body, as the server parsed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    /// `Content-Length`, where there is one.
    pub content_length: Option<u64>,
    /// Whether the end is marked otherwise: `Transfer-Encoding: chunked`, or an HTTP/2 body without a length.
    pub chunked: bool,
}

/// What the body must turn out to be. Made only by [`plan`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyPlan {
    /// Bytes of data, without any chunk framing: the backend's `Content-Length`.
    ///
    /// Where it is 0, headers alone complete a request: send nothing upstream before `finish` has succeeded.
    pub decoded_length: u64,
    pub(super) encoding: Encoding,
    /// The whole body's SHA-256, where it was signed.
    pub(super) sha256: Option<[u8; 32]>,
    pub(super) md5: Option<[u8; 16]>,
    pub(super) checksum: Option<(Algorithm, Vec<u8>)>,
    pub(super) compute: Option<Algorithm>,
}

/// The body's form on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    AwsChunked { signed: bool, trailer: Option<Algorithm> },
}

impl BodyPlan {
    /// The algorithm of the checksum that [`super::Finished`] will carry: from a header or from the announced trailer.
    pub fn checksum_algorithm(&self) -> Option<Algorithm> {
        match (&self.checksum, self.encoding) {
            (Some((algorithm, _)), _) => Some(*algorithm),
            (None, Encoding::AwsChunked { trailer, .. }) => trailer,
            (None, Encoding::Plain) => None,
        }
    }

    /// Has a checksum made as well, whether or not the request declares it.
    pub fn and_compute(self, algorithm: Algorithm) -> Self {
        Self { compute: Some(algorithm), ..self }
    }

    /// The algorithm of the checksum where it comes as a trailer, which no header of the upstream request can carry.
    pub fn trailing_algorithm(&self) -> Option<Algorithm> {
        match self.encoding {
            Encoding::AwsChunked { trailer, .. } => trailer,
            Encoding::Plain => None,
        }
    }

    /// Whether a Content-MD5 or a checksum protects the body, which DeleteObjects insists on.
    pub fn has_integrity_header(&self) -> bool {
        self.md5.is_some() || self.checksum_algorithm().is_some()
    }
}

/// Plans the check of a body.
///
/// # Errors
/// `MissingContentLength` without a length, `EntityTooLarge` over [`MAX_BODY_BYTES`], `InvalidDigest`, `InvalidRequest`
/// and `MalformedTrailerError` for integrity headers that are malformed, contradict each other or are not known here.
pub fn plan(request: &S3Request, verified: &Verified, framing: Framing) -> Result<BodyPlan, S3Error> {
    if framing.chunked && framing.content_length.is_some() {
        return Err(S3Code::InvalidRequest.because("Content-Length and Transfer-Encoding must not be sent together."));
    }
    let encoding = decide_encoding(request, verified.payload())?;
    let decoded_length = match encoding {
        Encoding::Plain => plain_length(request.operation, framing)?,
        Encoding::AwsChunked { .. } => decoded_length(request, framing)?,
    };
    if decoded_length > MAX_BODY_BYTES {
        return Err(S3Code::EntityTooLarge
            .because("Your proposed upload exceeds the maximum allowed size")
            .with("ProposedSize", decoded_length.to_string())
            .with("MaxSizeAllowed", MAX_BODY_BYTES.to_string()));
    }
    let checksum = declared_checksum(request, encoding)?;
    let sha256 = match verified.payload() {
        PayloadMode::Signed(sha256) => Some(sha256),
        _ => None,
    };
    Ok(BodyPlan { decoded_length, encoding, sha256, md5: declared_md5(request)?, checksum, compute: None })
}

fn decide_encoding(request: &S3Request, payload: PayloadMode) -> Result<Encoding, S3Error> {
    let trailer = parse_trailer_name(request)?;
    let (signed, with_trailer) = match payload {
        PayloadMode::StreamingSigned => (true, false),
        PayloadMode::StreamingSignedTrailer => (true, true),
        PayloadMode::StreamingUnsignedTrailer => (false, true),
        PayloadMode::Signed(_) | PayloadMode::Unsigned => {
            // Stored as it is, such a body would keep its chunk framing inside the object.
            if is_declared_aws_chunked(request) {
                return Err(S3Code::InvalidArgument.because(
                    "Content-Encoding: aws-chunked needs an x-amz-content-sha256 that begins with STREAMING-.",
                ));
            }
            if trailer.is_some() {
                return Err(S3Code::InvalidRequest.because("x-amz-trailer needs a streaming payload with a trailer."));
            }
            return Ok(Encoding::Plain);
        }
    };
    match (with_trailer, trailer) {
        (true, None) => {
            Err(S3Code::MalformedTrailerError.because("x-amz-trailer must announce the trailing checksum."))
        }
        (false, Some(_)) => Err(S3Code::MalformedTrailerError
            .because("x-amz-trailer needs an x-amz-content-sha256 that ends with -TRAILER.")),
        (true | false, trailer) => Ok(Encoding::AwsChunked { signed, trailer }),
    }
}

fn is_declared_aws_chunked(request: &S3Request) -> bool {
    request.headers.get_all(http::header::CONTENT_ENCODING).iter().any(is_aws_chunked)
}

fn parse_trailer_name(request: &S3Request) -> Result<Option<Algorithm>, S3Error> {
    let Some(value) = request.headers.get("x-amz-trailer") else { return Ok(None) };
    let name = std::str::from_utf8(value.as_bytes()).unwrap_or_default().trim();
    match Algorithm::from_header(name) {
        Some(algorithm) => Ok(Some(algorithm)),
        None => Err(S3Code::InvalidRequest.because("The value specified in the x-amz-trailer header is not supported")),
    }
}

/// Uploads must say how long they are; other operations without a length have no body.
fn plain_length(operation: Operation, framing: Framing) -> Result<u64, S3Error> {
    let needs_length = matches!(operation, Operation::PutObject | Operation::UploadPart);
    match framing.content_length {
        Some(length) => Ok(length),
        None if framing.chunked || needs_length => Err(S3Code::MissingContentLength.error()),
        None => Ok(0),
    }
}

fn decoded_length(request: &S3Request, framing: Framing) -> Result<u64, S3Error> {
    let Some(value) = request.headers.get("x-amz-decoded-content-length") else {
        return Err(
            S3Code::MissingContentLength.because("You must provide the x-amz-decoded-content-length HTTP header.")
        );
    };
    if framing.content_length.is_none() && !framing.chunked {
        return Err(S3Code::MissingContentLength.error());
    }
    let invalid = || S3Code::InvalidArgument.because("x-amz-decoded-content-length must be a number of bytes.");
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| invalid())?;
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid());
    }
    let length: u64 = text.parse().map_err(|_| invalid())?;
    if framing.content_length.is_some_and(|encoded| encoded < length) {
        return Err(S3Code::IncompleteBody.because("The body is shorter than x-amz-decoded-content-length says."));
    }
    Ok(length)
}

fn declared_md5(request: &S3Request) -> Result<Option<[u8; 16]>, S3Error> {
    let Some(value) = request.headers.get("content-md5") else { return Ok(None) };
    let digest = std::str::from_utf8(value.as_bytes()).ok().and_then(checksum::parse_content_md5);
    match digest {
        Some(md5) => Ok(Some(md5)),
        None => Err(S3Code::InvalidDigest.because("The Content-MD5 you specified is not valid.")),
    }
}

/// The checksum header of this body. CompleteMultipartUpload's is the object's, not the body's, and is not compared here.
fn declared_checksum(request: &S3Request, encoding: Encoding) -> Result<Option<(Algorithm, Vec<u8>)>, S3Error> {
    if request.operation == Operation::CompleteMultipartUpload {
        return Ok(None);
    }
    let declared = checksum::from_headers(&request.headers)?;
    let trailer = match encoding {
        Encoding::AwsChunked { trailer, .. } => trailer,
        Encoding::Plain => None,
    };
    if declared.is_some() && trailer.is_some() {
        return Err(S3Code::InvalidRequest
            .because("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."));
    }
    check_sdk_algorithm(request, trailer.or(declared.as_ref().map(|(algorithm, _)| *algorithm)))?;
    Ok(declared)
}

/// `x-amz-sdk-checksum-algorithm` promises a checksum; one that is missing or another would be quietly less than asked.
fn check_sdk_algorithm(request: &S3Request, found: Option<Algorithm>) -> Result<(), S3Error> {
    let Some(value) = request.headers.get("x-amz-sdk-checksum-algorithm") else { return Ok(()) };
    let promised = value.to_str().ok().and_then(Algorithm::from_name);
    match (promised, found) {
        (Some(promised), Some(found)) if promised == found => Ok(()),
        (Some(_), None) => Err(S3Code::InvalidRequest.because(
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.",
        )),
        _ => Err(S3Code::InvalidRequest.because("Value for x-amz-sdk-checksum-algorithm header is invalid.")),
    }
}
