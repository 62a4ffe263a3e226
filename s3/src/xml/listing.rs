//! The answers of ListObjects and ListObjectsV2.
//! Invariant: the fields hold decoded text; `encoding-type=url` exists on the wire only.
use super::{Writer, XmlError, reader::Document, render_timestamp, writer::is_representable};
use crate::uri;
use std::{borrow::Cow, time::SystemTime};

/// Which of the two operations is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListVersion {
    /// ListObjects.
    V1,
    /// ListObjectsV2.
    #[default]
    V2,
}

/// Who owns buckets and objects, as clients see it: the tenant, never an account at a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// An opaque id.
    pub id: String,
    /// A name.
    pub display_name: String,
}

impl Owner {
    pub(super) fn write(&self, out: &mut Writer) {
        self.write_as(out, "Owner");
    }

    pub(super) fn write_as(&self, out: &mut Writer, element: &str) {
        out.open(element);
        out.text("ID", &self.id);
        out.text("DisplayName", &self.display_name);
        out.close(element);
    }
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectEntry {
    /// Its key, decoded.
    pub key: String,
    /// When it was last written.
    pub last_modified: SystemTime,
    /// Its ETag as the backend wrote it, usually with quotes; empty where it gave none.
    pub etag: String,
    /// Checksum algorithms that it was stored with.
    pub checksum_algorithms: Vec<String>,
    /// `FULL_OBJECT` or `COMPOSITE`.
    pub checksum_type: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Storage class; `STANDARD` where the backend names none.
    pub storage_class: String,
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListBucketResult {
    /// Which operation.
    pub version: ListVersion,
    /// The bucket: physical when it comes from a backend, and to be replaced by the logical one.
    pub name: String,
    /// The prefix asked for.
    pub prefix: String,
    /// The delimiter asked for.
    pub delimiter: Option<String>,
    /// Most keys and common prefixes asked for.
    pub max_keys: u32,
    /// Whether `encoding-type=url` was asked for.
    pub url_encoded: bool,
    /// Whether more follow.
    pub is_truncated: bool,
    /// Version 1: where this page begins.
    pub marker: Option<String>,
    /// Version 1: where the next page begins.
    pub next_marker: Option<String>,
    /// Version 2: keys and common prefixes on this page.
    pub key_count: Option<u32>,
    /// Version 2: the token that asked for this page.
    pub continuation_token: Option<String>,
    /// Version 2: the token for the next page.
    pub next_continuation_token: Option<String>,
    /// Version 2: the key after which the listing begins.
    pub start_after: Option<String>,
    /// The owner of every object, where owners are asked for; a backend's owners are never read.
    pub owner: Option<Owner>,
    /// The objects.
    pub contents: Vec<ObjectEntry>,
    /// The groups of keys up to the delimiter.
    pub common_prefixes: Vec<String>,
}

impl ListBucketResult {
    /// Parses a backend's answer to the operation named, and undoes `encoding-type=url` if the backend says it used it.
    ///
    /// # Errors
    /// [`XmlError`] where it is none.
    pub fn parse(version: ListVersion, xml: &[u8]) -> Result<Self, XmlError> {
        let mut page = Self { version, ..Self::default() };
        Document::enter_as(xml, "ListBucketResult")?.root_children(|name, document| page.read_child(name, document))?;
        if page.url_encoded {
            page.decode()?;
        }
        Ok(page)
    }

    fn read_child(&mut self, name: &str, document: &mut Document<'_>) -> Result<(), XmlError> {
        match name {
            "Name" => self.name = document.text()?,
            "Prefix" => self.prefix = document.text()?,
            "Delimiter" => self.delimiter = present(document.text()?),
            "MaxKeys" => self.max_keys = document.parse()?,
            "EncodingType" => self.url_encoded = document.text()?.eq_ignore_ascii_case("url"),
            "IsTruncated" => self.is_truncated = document.parse()?,
            "Marker" => self.marker = Some(document.text()?),
            "NextMarker" => self.next_marker = present(document.text()?),
            "KeyCount" => self.key_count = Some(document.parse()?),
            "ContinuationToken" => self.continuation_token = present(document.text()?),
            "NextContinuationToken" => self.next_continuation_token = present(document.text()?),
            "StartAfter" => self.start_after = present(document.text()?),
            "Contents" => self.contents.push(read_object(document)?),
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

    fn decode(&mut self) -> Result<(), XmlError> {
        let keys = self.contents.iter_mut().map(|object| &mut object.key);
        keys.chain(&mut self.common_prefixes).try_for_each(decode_name)?;
        // What only repeats the question some servers leave as it was, so that it need not decode.
        let echoed = [&mut self.delimiter, &mut self.marker, &mut self.next_marker, &mut self.start_after];
        for name in echoed.into_iter().flatten().chain([&mut self.prefix]) {
            let _ = decode_name(name);
        }
        Ok(())
    }

    /// The document. Where a name holds a character that XML 1.0 cannot, it is rendered with `encoding-type=url`
    /// even if nobody asked, because the answer says so itself and is otherwise not XML.
    pub fn render(&self) -> String {
        let url = self.url_encoded || !self.names().all(is_representable);
        let mut out = Writer::document();
        out.open_root("ListBucketResult");
        out.text("Name", &self.name);
        write_name(&mut out, url, "Prefix", &self.prefix);
        match self.version {
            ListVersion::V1 => self.write_v1(&mut out, url),
            ListVersion::V2 => self.write_v2(&mut out, url),
        }
        out.display("MaxKeys", self.max_keys);
        write_optional_name(&mut out, url, "Delimiter", self.delimiter.as_deref());
        if url {
            out.text("EncodingType", "url");
        }
        out.display("IsTruncated", self.is_truncated);
        for object in &self.contents {
            self.write_object(&mut out, url, object);
        }
        for prefix in &self.common_prefixes {
            out.open("CommonPrefixes");
            write_name(&mut out, url, "Prefix", prefix);
            out.close("CommonPrefixes");
        }
        out.close("ListBucketResult");
        out.finish()
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let optional = [&self.delimiter, &self.marker, &self.next_marker, &self.start_after];
        let keys = self.contents.iter().map(|object| &object.key);
        optional
            .into_iter()
            .flatten()
            .chain(keys)
            .chain(&self.common_prefixes)
            .chain([&self.prefix])
            .map(String::as_str)
    }

    fn write_v1(&self, out: &mut Writer, url: bool) {
        write_name(out, url, "Marker", self.marker.as_deref().unwrap_or_default());
        write_optional_name(out, url, "NextMarker", self.next_marker.as_deref());
    }

    fn write_v2(&self, out: &mut Writer, url: bool) {
        write_optional_name(out, url, "StartAfter", self.start_after.as_deref());
        out.optional("ContinuationToken", self.continuation_token.as_deref());
        out.optional("NextContinuationToken", self.next_continuation_token.as_deref());
        out.display(
            "KeyCount",
            self.key_count
                .map_or(self.contents.len() + self.common_prefixes.len(), |n| usize::try_from(n).unwrap_or(usize::MAX)),
        );
    }

    fn write_object(&self, out: &mut Writer, url: bool, object: &ObjectEntry) {
        out.open("Contents");
        write_name(out, url, "Key", &object.key);
        out.display("LastModified", render_timestamp(object.last_modified));
        out.text("ETag", &object.etag);
        for algorithm in &object.checksum_algorithms {
            out.text("ChecksumAlgorithm", algorithm);
        }
        out.optional("ChecksumType", object.checksum_type.as_deref());
        out.display("Size", object.size);
        if let Some(owner) = &self.owner {
            owner.write(out);
        }
        out.text("StorageClass", &object.storage_class);
        out.close("Contents");
    }
}

fn read_object(document: &mut Document<'_>) -> Result<ObjectEntry, XmlError> {
    let mut object = ObjectEntry::unread();
    document.children(|name, document| match object.read_child(name, document)? {
        true => Ok(()),
        false => document.skip(),
    })?;
    if object.key.is_empty() { Err(XmlError::Schema) } else { Ok(object) }
}

impl ObjectEntry {
    /// What an object is that a backend says nothing about.
    pub(super) fn unread() -> Self {
        Self {
            key: String::new(),
            last_modified: SystemTime::UNIX_EPOCH,
            etag: String::new(),
            checksum_algorithms: Vec::new(),
            checksum_type: None,
            size: 0,
            storage_class: "STANDARD".to_owned(),
        }
    }

    /// Reads an element that describes an object; `false`, and unread, where it does not.
    pub(super) fn read_child(&mut self, name: &str, document: &mut Document<'_>) -> Result<bool, XmlError> {
        match name {
            "Key" => self.key = document.text()?,
            "LastModified" => self.last_modified = document.timestamp()?,
            "ETag" => self.etag = document.text()?,
            "ChecksumAlgorithm" => self.checksum_algorithms.push(document.text()?),
            "ChecksumType" => self.checksum_type = present(document.text()?),
            "Size" => self.size = document.parse()?,
            "StorageClass" => self.storage_class = document.text()?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// A value that some servers leave out and others leave empty.
pub(super) fn present(text: String) -> Option<String> {
    Some(text).filter(|t| !t.is_empty())
}

/// Undoes `encoding-type=url`, in which S3 writes a space as `+`.
pub(super) fn decode_name(name: &mut String) -> Result<(), XmlError> {
    let decoded = match uri::decode_form(name).ok_or(XmlError::Schema)? {
        Cow::Borrowed(_) => return Ok(()),
        Cow::Owned(decoded) => decoded,
    };
    *name = decoded;
    Ok(())
}

pub(super) fn write_name(out: &mut Writer, url: bool, element: &str, name: &str) {
    if url { out.text(element, &uri::encode_path(name)) } else { out.text(element, name) }
}

pub(super) fn write_optional_name(out: &mut Writer, url: bool, element: &str, name: Option<&str>) {
    if let Some(name) = name {
        write_name(out, url, element, name);
    }
}
