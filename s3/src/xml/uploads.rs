//! The answers of ListMultipartUploads and ListParts.
use super::{
    Owner, Writer, XmlError,
    listing::{decode_name, present, write_name, write_optional_name},
    multipart::{Checksums, write_checksums},
    reader::Document,
    render_timestamp,
    writer::is_representable,
};
use crate::checksum::Algorithm;
use std::time::SystemTime;

/// An upload that is neither complete nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadEntry {
    /// Its key, decoded.
    pub key: String,
    /// Its id.
    pub upload_id: String,
    /// When it was begun.
    pub initiated: SystemTime,
    /// Storage class; `STANDARD` where the backend names none.
    pub storage_class: String,
    /// The algorithm of its checksums.
    pub checksum_algorithm: Option<String>,
    /// `FULL_OBJECT` or `COMPOSITE`.
    pub checksum_type: Option<String>,
}

/// The answer of ListMultipartUploads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListMultipartUploadsResult {
    /// The bucket.
    pub bucket: String,
    /// The key after which the page begins.
    pub key_marker: String,
    /// Together with it: the upload after which the page begins.
    pub upload_id_marker: String,
    /// Where the next page begins.
    pub next_key_marker: Option<String>,
    /// Together with it.
    pub next_upload_id_marker: Option<String>,
    /// The prefix asked for.
    pub prefix: String,
    /// The delimiter asked for.
    pub delimiter: Option<String>,
    /// Most uploads asked for.
    pub max_uploads: u32,
    /// Whether `encoding-type=url` was asked for.
    pub url_encoded: bool,
    /// Whether more follow.
    pub is_truncated: bool,
    /// Who began every upload, where that is to be told; a backend's owners are never read.
    pub owner: Option<Owner>,
    /// The uploads.
    pub uploads: Vec<UploadEntry>,
    /// The groups of keys up to the delimiter.
    pub common_prefixes: Vec<String>,
}

impl ListMultipartUploadsResult {
    /// Parses a backend's answer, and undoes `encoding-type=url` if the backend says it used it.
    ///
    /// # Errors
    /// [`XmlError`] where it is none.
    pub fn parse(xml: &[u8]) -> Result<Self, XmlError> {
        let mut page = Self::default();
        Document::enter_as(xml, "ListMultipartUploadsResult")?
            .root_children(|name, document| page.read_child(name, document))?;
        if page.url_encoded {
            let keys = page.uploads.iter_mut().map(|upload| &mut upload.key);
            keys.chain(&mut page.common_prefixes).try_for_each(decode_name)?;
            // What only repeats the question some servers leave as it was, so that it need not decode.
            let echoed = [&mut page.delimiter, &mut page.next_key_marker];
            for name in echoed.into_iter().flatten().chain([&mut page.prefix, &mut page.key_marker]) {
                let _ = decode_name(name);
            }
        }
        Ok(page)
    }

    fn read_child(&mut self, name: &str, document: &mut Document<'_>) -> Result<(), XmlError> {
        match name {
            "Bucket" => self.bucket = document.text()?,
            "KeyMarker" => self.key_marker = document.text()?,
            "UploadIdMarker" => self.upload_id_marker = document.text()?,
            "NextKeyMarker" => self.next_key_marker = present(document.text()?),
            "NextUploadIdMarker" => self.next_upload_id_marker = present(document.text()?),
            "Prefix" => self.prefix = document.text()?,
            "Delimiter" => self.delimiter = present(document.text()?),
            "MaxUploads" => self.max_uploads = document.parse()?,
            "EncodingType" => self.url_encoded = document.text()?.eq_ignore_ascii_case("url"),
            "IsTruncated" => self.is_truncated = document.parse()?,
            "Upload" => self.uploads.push(read_upload(document)?),
            "CommonPrefixes" => document.children(|name, document| {
                match name {
                    "Prefix" => self.common_prefixes.push(document.text()?),
                    _ => document.skip()?,
                }
                Ok::<_, XmlError>(())
            })?,
            _ => document.skip()?,
        }
        Ok(())
    }

    /// The document; with `encoding-type=url` where asked for or where XML 1.0 cannot hold a name.
    pub fn render(&self) -> String {
        let url = self.url_encoded || !self.names().all(is_representable);
        let mut out = Writer::document();
        out.open_root("ListMultipartUploadsResult");
        out.text("Bucket", &self.bucket);
        write_name(&mut out, url, "KeyMarker", &self.key_marker);
        out.text("UploadIdMarker", &self.upload_id_marker);
        write_optional_name(&mut out, url, "NextKeyMarker", self.next_key_marker.as_deref());
        out.optional("NextUploadIdMarker", self.next_upload_id_marker.as_deref());
        write_optional_name(&mut out, url, "Delimiter", self.delimiter.as_deref());
        write_name(&mut out, url, "Prefix", &self.prefix);
        if url {
            out.text("EncodingType", "url");
        }
        out.display("MaxUploads", self.max_uploads);
        out.display("IsTruncated", self.is_truncated);
        for upload in &self.uploads {
            self.write_upload(&mut out, url, upload);
        }
        for prefix in &self.common_prefixes {
            out.open("CommonPrefixes");
            write_name(&mut out, url, "Prefix", prefix);
            out.close("CommonPrefixes");
        }
        out.close("ListMultipartUploadsResult");
        out.finish()
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let optional = [&self.delimiter, &self.next_key_marker];
        let keys = self.uploads.iter().map(|upload| &upload.key);
        let names = optional.into_iter().flatten().chain(keys).chain(&self.common_prefixes);
        names.chain([&self.prefix, &self.key_marker]).map(String::as_str)
    }

    fn write_upload(&self, out: &mut Writer, url: bool, upload: &UploadEntry) {
        out.open("Upload");
        write_name(out, url, "Key", &upload.key);
        out.text("UploadId", &upload.upload_id);
        write_owners(out, self.owner.as_ref());
        out.text("StorageClass", &upload.storage_class);
        out.display("Initiated", render_timestamp(upload.initiated));
        out.optional("ChecksumAlgorithm", upload.checksum_algorithm.as_deref());
        out.optional("ChecksumType", upload.checksum_type.as_deref());
        out.close("Upload");
    }
}

fn read_upload(document: &mut Document<'_>) -> Result<UploadEntry, XmlError> {
    let mut upload = UploadEntry {
        key: String::new(),
        upload_id: String::new(),
        initiated: SystemTime::UNIX_EPOCH,
        storage_class: "STANDARD".to_owned(),
        checksum_algorithm: None,
        checksum_type: None,
    };
    document.children(|name, document| {
        match name {
            "Key" => upload.key = document.text()?,
            "UploadId" => upload.upload_id = document.text()?,
            "Initiated" => upload.initiated = document.timestamp()?,
            "StorageClass" => upload.storage_class = document.text()?,
            "ChecksumAlgorithm" => upload.checksum_algorithm = present(document.text()?),
            "ChecksumType" => upload.checksum_type = present(document.text()?),
            _ => document.skip()?,
        }
        Ok::<_, XmlError>(())
    })?;
    if upload.key.is_empty() || upload.upload_id.is_empty() { Err(XmlError::Schema) } else { Ok(upload) }
}

/// A part of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartEntry {
    /// 1 to 10,000.
    pub part_number: u32,
    /// When it was written.
    pub last_modified: SystemTime,
    /// Its ETag as the backend wrote it.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// Its checksums.
    pub checksums: Checksums,
}

/// The answer of ListParts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListPartsResult {
    /// The bucket.
    pub bucket: String,
    /// The key, decoded.
    pub key: String,
    /// The upload's id.
    pub upload_id: String,
    /// The number after which the page begins.
    pub part_number_marker: u32,
    /// Where the next page begins.
    pub next_part_number_marker: Option<u32>,
    /// Most parts asked for.
    pub max_parts: u32,
    /// Whether `encoding-type=url` was asked for.
    pub url_encoded: bool,
    /// Whether more follow.
    pub is_truncated: bool,
    /// Who began the upload, where that is to be told; a backend's owners are never read.
    pub owner: Option<Owner>,
    /// Storage class.
    pub storage_class: Option<String>,
    /// The algorithm of the upload's checksums.
    pub checksum_algorithm: Option<String>,
    /// `FULL_OBJECT` or `COMPOSITE`.
    pub checksum_type: Option<String>,
    /// The parts in order.
    pub parts: Vec<PartEntry>,
}

impl ListPartsResult {
    /// Parses a backend's answer.
    ///
    /// # Errors
    /// [`XmlError`] where it is none.
    pub fn parse(xml: &[u8]) -> Result<Self, XmlError> {
        let mut page = Self::default();
        Document::enter_as(xml, "ListPartsResult")?.root_children(|name, document| page.read_child(name, document))?;
        if page.url_encoded {
            decode_name(&mut page.key)?;
        }
        Ok(page)
    }

    fn read_child(&mut self, name: &str, document: &mut Document<'_>) -> Result<(), XmlError> {
        match name {
            "Bucket" => self.bucket = document.text()?,
            "Key" => self.key = document.text()?,
            "UploadId" => self.upload_id = document.text()?,
            "PartNumberMarker" => self.part_number_marker = read_marker(document)?.unwrap_or(0),
            "NextPartNumberMarker" => self.next_part_number_marker = read_marker(document)?,
            "MaxParts" => self.max_parts = document.parse()?,
            "EncodingType" => self.url_encoded = document.text()?.eq_ignore_ascii_case("url"),
            "IsTruncated" => self.is_truncated = document.parse()?,
            "StorageClass" => self.storage_class = present(document.text()?),
            "ChecksumAlgorithm" => self.checksum_algorithm = present(document.text()?),
            "ChecksumType" => self.checksum_type = present(document.text()?),
            "Part" => self.parts.push(read_part(document)?),
            _ => document.skip()?,
        }
        Ok(())
    }

    /// The document; with `encoding-type=url` where asked for or where XML 1.0 cannot hold the key.
    pub fn render(&self) -> String {
        let url = self.url_encoded || !is_representable(&self.key);
        let mut out = Writer::document();
        out.open_root("ListPartsResult");
        out.text("Bucket", &self.bucket);
        if url {
            out.text("EncodingType", "url");
        }
        write_name(&mut out, url, "Key", &self.key);
        out.text("UploadId", &self.upload_id);
        write_owners(&mut out, self.owner.as_ref());
        out.optional("StorageClass", self.storage_class.as_deref());
        out.display("PartNumberMarker", self.part_number_marker);
        if let Some(next) = self.next_part_number_marker {
            out.display("NextPartNumberMarker", next);
        }
        out.display("MaxParts", self.max_parts);
        out.display("IsTruncated", self.is_truncated);
        out.optional("ChecksumAlgorithm", self.checksum_algorithm.as_deref());
        out.optional("ChecksumType", self.checksum_type.as_deref());
        for part in &self.parts {
            out.open("Part");
            out.display("PartNumber", part.part_number);
            out.display("LastModified", render_timestamp(part.last_modified));
            out.text("ETag", &part.etag);
            out.display("Size", part.size);
            write_checksums(&mut out, &part.checksums);
            out.close("Part");
        }
        out.close("ListPartsResult");
        out.finish()
    }
}

/// A part number that some servers leave empty.
fn read_marker(document: &mut Document<'_>) -> Result<Option<u32>, XmlError> {
    present(document.text()?).map(|text| text.parse().map_err(|_| XmlError::Schema)).transpose()
}

fn read_part(document: &mut Document<'_>) -> Result<PartEntry, XmlError> {
    let mut part = PartEntry {
        part_number: 0,
        last_modified: SystemTime::UNIX_EPOCH,
        etag: String::new(),
        size: 0,
        checksums: Vec::new(),
    };
    document.children(|name, document| {
        match (name, Algorithm::from_element(name)) {
            ("PartNumber", _) => part.part_number = document.parse()?,
            ("LastModified", _) => part.last_modified = document.timestamp()?,
            ("ETag", _) => part.etag = document.text()?,
            ("Size", _) => part.size = document.parse()?,
            (_, Some(algorithm)) => part.checksums.push((algorithm, document.text()?)),
            _ => document.skip()?,
        }
        Ok::<_, XmlError>(())
    })?;
    if part.part_number == 0 { Err(XmlError::Schema) } else { Ok(part) }
}

fn write_owners(out: &mut Writer, owner: Option<&Owner>) {
    if let Some(owner) = owner {
        owner.write_as(out, "Initiator");
        owner.write(out);
    }
}
