//! Documents that create, complete and copy: multipart uploads, CopyObject and UploadPartCopy.
use super::{
    Answer, Writer, XmlError,
    reader::{Document, check_size, malformed, set_once},
    render_timestamp,
};
use crate::{S3Code, S3Error, checksum::Algorithm};
use std::time::SystemTime;

/// Checksums by algorithm in base64, with `-N` behind a composite one.
pub(super) type Checksums = Vec<(Algorithm, String)>;

/// Highest part number.
const MAX_PART_NUMBER: u32 = 10_000;

/// A part that a client lists when it completes an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedPart {
    /// 1 to 10,000.
    pub part_number: u32,
    /// The part's ETag as the client wrote it.
    pub etag: String,
    /// Checksums to compare, in base64.
    pub checksums: Checksums,
}

/// The body of CompleteMultipartUpload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompleteMultipartUpload {
    /// The parts in ascending order of their numbers.
    pub parts: Vec<CompletedPart>,
}

impl CompleteMultipartUpload {
    /// Most bytes that a client may send: 10,000 parts with two checksums each.
    pub const MAX_BYTES: usize = 4 * 1024 * 1024;

    /// Parses a client's document.
    ///
    /// # Errors
    /// `MalformedXML` (also for no parts), `InvalidPartOrder` where numbers do not ascend, `InvalidArgument` for a number
    /// outside 1 to 10,000, `MissingRequestBodyError`, `MaxMessageLengthExceeded`.
    pub fn parse(xml: &[u8]) -> Result<Self, S3Error> {
        check_size(xml, Self::MAX_BYTES)?;
        let mut parts: Vec<CompletedPart> = Vec::new();
        let document = Document::enter_as(xml, "CompleteMultipartUpload").map_err(malformed)?;
        let read = document.root_children(|name, document| match name {
            // Each part counts at most once, so more than this cannot be in order.
            "Part" if parts.len() <= 10_000 => {
                parts.push(read_part(document)?);
                Ok(())
            }
            _ => Err(XmlError::Schema),
        });
        read.map_err(malformed)?;
        if parts.is_empty() {
            return Err(malformed(XmlError::Schema));
        }
        if !parts.iter().all(|part| (1..=MAX_PART_NUMBER).contains(&part.part_number)) {
            return Err(S3Code::InvalidArgument
                .because("Part number must be an integer between 1 and 10000, inclusive")
                .with("ArgumentName", "partNumber"));
        }
        if !parts.iter().zip(parts.iter().skip(1)).all(|(a, b)| a.part_number < b.part_number) {
            return Err(S3Code::InvalidPartOrder.error());
        }
        Ok(Self { parts })
    }

    /// The document as a backend gets it.
    pub fn render(&self) -> String {
        let mut out = Writer::document();
        out.open_root("CompleteMultipartUpload");
        for part in &self.parts {
            out.open("Part");
            out.display("PartNumber", part.part_number);
            out.text("ETag", &part.etag);
            write_checksums(&mut out, &part.checksums);
            out.close("Part");
        }
        out.close("CompleteMultipartUpload");
        out.finish()
    }
}

fn read_part(document: &mut Document<'_>) -> Result<CompletedPart, XmlError> {
    let (mut part_number, mut etag, mut checksums) = (None, None, Vec::new());
    document.children(|name, document| match (name, Algorithm::from_element(name)) {
        ("PartNumber", _) => set_once(&mut part_number, document.parse::<u32>()?),
        ("ETag", _) => set_once(&mut etag, document.text()?),
        (_, Some(algorithm)) if checksums.iter().all(|(a, _)| *a != algorithm) => {
            checksums.push((algorithm, document.text()?));
            Ok(())
        }
        _ => Err(XmlError::Schema),
    })?;
    let etag = etag.filter(|e| !e.is_empty()).ok_or(XmlError::Schema)?;
    Ok(CompletedPart { part_number: part_number.ok_or(XmlError::Schema)?, etag, checksums })
}

/// The answer of CreateMultipartUpload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InitiateMultipartUploadResult {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The upload's id.
    pub upload_id: String,
}

impl InitiateMultipartUploadResult {
    /// Parses a backend's answer.
    ///
    /// # Errors
    /// [`XmlError`] where it is none or names no upload.
    pub fn parse(xml: &[u8]) -> Result<Self, XmlError> {
        let mut result = Self::default();
        Document::enter_as(xml, "InitiateMultipartUploadResult")?.root_children(|name, document| {
            match name {
                "Bucket" => result.bucket = document.text()?,
                "Key" => result.key = document.text()?,
                "UploadId" => result.upload_id = document.text()?,
                _ => document.skip()?,
            }
            Ok::<_, XmlError>(())
        })?;
        if result.upload_id.is_empty() { Err(XmlError::Schema) } else { Ok(result) }
    }

    /// The document.
    pub fn render(&self) -> String {
        let mut out = Writer::document();
        out.open_root("InitiateMultipartUploadResult");
        out.text("Bucket", &self.bucket);
        out.text("Key", &self.key);
        out.text("UploadId", &self.upload_id);
        out.close("InitiateMultipartUploadResult");
        out.finish()
    }
}

/// The answer of CompleteMultipartUpload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CompleteMultipartUploadResult {
    /// Where the object is, on the gateway's own host; a backend's is never read.
    pub location: String,
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The object's ETag; `None` where the backend leaves it out.
    pub etag: Option<String>,
    /// The object's checksums.
    pub checksums: Checksums,
    /// `FULL_OBJECT` or `COMPOSITE`.
    pub checksum_type: Option<String>,
}

impl CompleteMultipartUploadResult {
    /// Parses a backend's answer of status 200, which may be an error all the same.
    ///
    /// # Errors
    /// [`XmlError`] where it is neither.
    pub fn parse(xml: &[u8]) -> Result<Answer<Self>, XmlError> {
        Answer::read(xml, "CompleteMultipartUploadResult", |document| {
            let mut result = Self::default();
            document.root_children(|name, document| {
                match (name, Algorithm::from_element(name)) {
                    ("Bucket", _) => result.bucket = document.text()?,
                    ("Key", _) => result.key = document.text()?,
                    ("ETag", _) => {
                        result.etag = Some(document.text()?).filter(|e| !crate::etag::unquoted(e).is_empty())
                    }
                    ("ChecksumType", _) => result.checksum_type = super::listing::present(document.text()?),
                    (_, Some(algorithm)) => result.checksums.push((algorithm, document.text()?)),
                    _ => document.skip()?,
                }
                Ok::<_, XmlError>(())
            })?;
            Ok(result)
        })
    }

    /// The document.
    pub fn render(&self) -> String {
        let mut out = Writer::document();
        out.open_root("CompleteMultipartUploadResult");
        out.text("Location", &self.location);
        out.text("Bucket", &self.bucket);
        out.text("Key", &self.key);
        out.optional("ETag", self.etag.as_deref());
        write_checksums(&mut out, &self.checksums);
        out.optional("ChecksumType", self.checksum_type.as_deref());
        out.close("CompleteMultipartUploadResult");
        out.finish()
    }
}

/// What a copy made: the common content of two answers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Copied {
    etag: String,
    last_modified: SystemTime,
    checksums: Checksums,
    checksum_type: Option<String>,
}

impl Copied {
    fn parse(xml: &[u8], root: &str) -> Result<Answer<Self>, XmlError> {
        Answer::read(xml, root, |document| {
            let (mut etag, mut last_modified, mut checksums, mut checksum_type) = (None, None, Vec::new(), None);
            document.root_children(|name, document| {
                match (name, Algorithm::from_element(name)) {
                    ("ETag", _) => etag = Some(document.text()?),
                    ("LastModified", _) => last_modified = Some(document.timestamp()?),
                    ("ChecksumType", _) => checksum_type = super::listing::present(document.text()?),
                    (_, Some(algorithm)) => checksums.push((algorithm, document.text()?)),
                    _ => document.skip()?,
                }
                Ok::<_, XmlError>(())
            })?;
            // Some servers leave out when a part was made.
            let (etag, last_modified) =
                (etag.ok_or(XmlError::Schema)?, last_modified.unwrap_or(SystemTime::UNIX_EPOCH));
            Ok(Self { etag, last_modified, checksums, checksum_type })
        })
    }
}

fn render_copied(
    root: &str,
    etag: &str,
    last_modified: SystemTime,
    checksums: &Checksums,
    checksum_type: Option<&str>,
) -> String {
    let mut out = Writer::document();
    out.open_root(root);
    out.text("ETag", etag);
    out.display("LastModified", render_timestamp(last_modified));
    write_checksums(&mut out, checksums);
    out.optional("ChecksumType", checksum_type);
    out.close(root);
    out.finish()
}

/// The answer of CopyObject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyObjectResult {
    /// The new object's ETag.
    pub etag: String,
    /// When it was written.
    pub last_modified: SystemTime,
    /// Its checksums.
    pub checksums: Checksums,
    /// `FULL_OBJECT` or `COMPOSITE`.
    pub checksum_type: Option<String>,
}

impl CopyObjectResult {
    /// Parses a backend's answer of status 200, which may be an error all the same.
    ///
    /// # Errors
    /// [`XmlError`] where it is neither.
    pub fn parse(xml: &[u8]) -> Result<Answer<Self>, XmlError> {
        Ok(match Copied::parse(xml, "CopyObjectResult")? {
            Answer::Done(Copied { etag, last_modified, checksums, checksum_type }) => {
                Answer::Done(Self { etag, last_modified, checksums, checksum_type })
            }
            Answer::Failed(error) => Answer::Failed(error),
        })
    }

    /// The document.
    pub fn render(&self) -> String {
        render_copied(
            "CopyObjectResult",
            &self.etag,
            self.last_modified,
            &self.checksums,
            self.checksum_type.as_deref(),
        )
    }
}

/// The answer of UploadPartCopy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyPartResult {
    /// The part's ETag.
    pub etag: String,
    /// When it was written.
    pub last_modified: SystemTime,
    /// Its checksums.
    pub checksums: Checksums,
}

impl CopyPartResult {
    /// Parses a backend's answer of status 200, which may be an error all the same.
    ///
    /// # Errors
    /// [`XmlError`] where it is neither.
    pub fn parse(xml: &[u8]) -> Result<Answer<Self>, XmlError> {
        Ok(match Copied::parse(xml, "CopyPartResult")? {
            Answer::Done(Copied { etag, last_modified, checksums, .. }) => {
                Answer::Done(Self { etag, last_modified, checksums })
            }
            Answer::Failed(error) => Answer::Failed(error),
        })
    }

    /// The document.
    pub fn render(&self) -> String {
        render_copied("CopyPartResult", &self.etag, self.last_modified, &self.checksums, None)
    }
}

pub(super) fn write_checksums(out: &mut Writer, checksums: &Checksums) {
    for (algorithm, value) in checksums {
        out.text(algorithm.element(), value);
    }
}
