//! `<Tagging>`: the tags of an object or a bucket, from clients and backends and to both.
use super::{
    Writer, XmlError,
    reader::{Document, check_size, malformed, set_once},
};
use crate::{S3Error, TagSet};

/// Tags as a document carries them, not yet checked against S3's limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tagging {
    /// Key and value in order.
    pub tags: Vec<(String, String)>,
}

impl Tagging {
    /// Most bytes that a client may send for an object: ten tags of four-byte characters, each escaped, with room to spare.
    pub const MAX_BYTES: usize = 128 * 1024;
    /// The same for a bucket: fifty tags.
    pub const MAX_BUCKET_BYTES: usize = 5 * Self::MAX_BYTES;

    /// Parses a client's document and checks its tags as an object's.
    ///
    /// # Errors
    /// `MalformedXML`, `MissingRequestBodyError`, `MaxMessageLengthExceeded`, and as [`TagSet::validate`].
    pub fn parse_request(xml: &[u8]) -> Result<TagSet, S3Error> {
        check_size(xml, Self::MAX_BYTES)?;
        TagSet::validate(Self::read(xml).map_err(malformed)?.tags)
    }

    /// Parses a client's document and checks its tags as a bucket's.
    ///
    /// # Errors
    /// `MalformedXML`, `MissingRequestBodyError`, `MaxMessageLengthExceeded`, and as [`TagSet::validate_of_bucket`].
    pub fn parse_bucket_request(xml: &[u8]) -> Result<TagSet, S3Error> {
        check_size(xml, Self::MAX_BUCKET_BYTES)?;
        TagSet::validate_of_bucket(Self::read(xml).map_err(malformed)?.tags)
    }

    /// Parses a backend's document.
    ///
    /// # Errors
    /// [`XmlError`] where it is none.
    pub fn parse(xml: &[u8]) -> Result<Self, XmlError> {
        Self::read(xml)
    }

    /// The document.
    pub fn render(&self) -> String {
        let mut out = Writer::document();
        out.open_root("Tagging");
        out.open("TagSet");
        for (key, value) in &self.tags {
            out.open("Tag");
            out.text("Key", key);
            out.text("Value", value);
            out.close("Tag");
        }
        out.close("TagSet");
        out.close("Tagging");
        out.finish()
    }

    fn read(xml: &[u8]) -> Result<Self, XmlError> {
        let mut set = None;
        Document::enter_as(xml, "Tagging")?.root_children(|name, document| match name {
            "TagSet" => set_once(&mut set, read_set(document)?),
            _ => Err(XmlError::Schema),
        })?;
        Ok(Self { tags: set.ok_or(XmlError::Schema)? })
    }
}

impl From<TagSet> for Tagging {
    fn from(set: TagSet) -> Self {
        Self { tags: set.into_vec() }
    }
}

fn read_set(document: &mut Document<'_>) -> Result<Vec<(String, String)>, XmlError> {
    let mut tags = Vec::new();
    document.children(|name, document| {
        if name != "Tag" {
            return Err(XmlError::Schema);
        }
        let (mut key, mut value) = (None, None);
        document.children(|name, document| match name {
            "Key" => set_once(&mut key, document.text()?),
            "Value" => set_once(&mut value, document.text()?),
            _ => Err(XmlError::Schema),
        })?;
        tags.push((key.ok_or(XmlError::Schema)?, value.ok_or(XmlError::Schema)?));
        Ok(())
    })?;
    Ok(tags)
}
