//! The answer of GetObjectAttributes, which the gateway makes itself because several servers cannot.
use super::{
    Writer,
    multipart::{Checksums, write_checksums},
};

/// A part of a finished multipart object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectPart {
    /// 1 to 10,000.
    pub part_number: u32,
    /// Bytes.
    pub size: u64,
    /// Its checksums.
    pub checksums: Checksums,
}

/// The parts of a finished multipart object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ObjectParts {
    /// How many parts the object has.
    pub total_parts_count: u32,
    /// The number after which the page begins.
    pub part_number_marker: u32,
    /// Where the next page begins.
    pub next_part_number_marker: u32,
    /// Most parts asked for.
    pub max_parts: u32,
    /// Whether more follow.
    pub is_truncated: bool,
    /// The parts, where they are known one by one.
    pub parts: Vec<ObjectPart>,
}

/// What was asked for of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GetObjectAttributesResponse {
    /// The ETag, here without quotes.
    pub etag: Option<String>,
    /// The object's checksums.
    pub checksums: Option<Checksums>,
    /// `FULL_OBJECT` or `COMPOSITE`, inside the checksums.
    pub checksum_type: Option<String>,
    /// The parts of a multipart object.
    pub object_parts: Option<ObjectParts>,
    /// Storage class.
    pub storage_class: Option<String>,
    /// Bytes.
    pub object_size: Option<u64>,
}

impl GetObjectAttributesResponse {
    /// The document.
    pub fn render(&self) -> String {
        let mut out = Writer::document();
        out.open_root("GetObjectAttributesResponse");
        out.optional("ETag", self.etag.as_deref().map(crate::etag::unquoted));
        if let Some(checksums) = self.checksums.as_ref().filter(|c| !c.is_empty()) {
            out.open("Checksum");
            write_checksums(&mut out, checksums);
            out.optional("ChecksumType", self.checksum_type.as_deref());
            out.close("Checksum");
        }
        if let Some(parts) = &self.object_parts {
            write_parts(&mut out, parts);
        }
        out.optional("StorageClass", self.storage_class.as_deref());
        if let Some(size) = self.object_size {
            out.display("ObjectSize", size);
        }
        out.close("GetObjectAttributesResponse");
        out.finish()
    }
}

/// S3 counts parts in `PartsCount` on the wire; its SDKs call that `TotalPartsCount`. Markers and pages stand only
/// where single parts are listed.
fn write_parts(out: &mut Writer, parts: &ObjectParts) {
    out.open("ObjectParts");
    out.display("PartsCount", parts.total_parts_count);
    if !parts.parts.is_empty() {
        out.display("PartNumberMarker", parts.part_number_marker);
        out.display("NextPartNumberMarker", parts.next_part_number_marker);
        out.display("MaxParts", parts.max_parts);
        out.display("IsTruncated", parts.is_truncated);
    }
    for part in &parts.parts {
        out.open("Part");
        out.display("PartNumber", part.part_number);
        out.display("Size", part.size);
        write_checksums(out, &part.checksums);
        out.close("Part");
    }
    out.close("ObjectParts");
}
