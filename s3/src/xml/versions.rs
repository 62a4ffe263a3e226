//! The answer of ListObjectVersions.
//! Source: Amazon S3 API Reference, "ListObjectVersions".
//! Invariant: the fields hold decoded text; `encoding-type=url` exists on the wire only.
use super::{
    ObjectEntry, Owner, Writer, XmlError,
    listing::{decode_name, write_name, write_optional_name},
    reader::Document,
    render_timestamp,
    writer::is_representable,
};
use crate::VersionId;

/// A version of an object, or a delete marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionEntry {
    /// Key and time; of a version also the rest.
    pub object: ObjectEntry,
    /// Which version.
    pub version_id: String,
    /// Whether it is the key's current one.
    pub is_latest: bool,
    /// Whether it says that the key was deleted.
    pub is_delete_marker: bool,
}

/// A page of the versions in a bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListVersionsResult {
    /// The logical bucket.
    pub name: String,
    /// The prefix asked for.
    pub prefix: String,
    /// The delimiter asked for.
    pub delimiter: Option<String>,
    /// The key after which the page begins.
    pub key_marker: String,
    /// Together with it.
    pub version_id_marker: String,
    /// Where the next page begins.
    pub next_key_marker: Option<String>,
    /// Together with it, where it is a key and no common prefix.
    pub next_version_id_marker: Option<String>,
    /// Most entries and common prefixes asked for.
    pub max_keys: u32,
    /// Whether `encoding-type=url` was asked for.
    pub url_encoded: bool,
    /// Whether more follow.
    pub is_truncated: bool,
    /// The owner of every version; a backend's owners are never read.
    pub owner: Option<Owner>,
    /// Versions and delete markers by key, the newest of a key first.
    pub entries: Vec<VersionEntry>,
    /// The groups of keys up to the delimiter.
    pub common_prefixes: Vec<String>,
}

impl VersionEntry {
    /// An object of a bucket without versions as its only one.
    pub fn only(object: ObjectEntry) -> Self {
        Self { object, version_id: VersionId::NULL.to_owned(), is_latest: true, is_delete_marker: false }
    }

    fn read(document: &mut Document<'_>, is_delete_marker: bool) -> Result<Self, XmlError> {
        let (mut object, mut version_id, mut is_latest) = (ObjectEntry::unread(), String::new(), false);
        document.children(|name, document| {
            match name {
                "VersionId" => version_id = document.text()?,
                "IsLatest" => is_latest = document.parse()?,
                _ if object.read_child(name, document)? => {}
                _ => document.skip()?,
            }
            Ok::<_, XmlError>(())
        })?;
        match object.key.is_empty() || version_id.is_empty() {
            true => Err(XmlError::Schema),
            false => Ok(Self { object, version_id, is_latest, is_delete_marker }),
        }
    }
}

impl ListVersionsResult {
    /// Parses a backend's answer, and undoes `encoding-type=url` if the backend says it used it. What only repeats the
    /// question, and where the next page begins, is not read: servers differ in how they encode it.
    ///
    /// # Errors
    /// [`XmlError`] where it is none.
    pub fn parse(xml: &[u8]) -> Result<Self, XmlError> {
        let mut page = Self::default();
        Document::enter_as(xml, "ListVersionsResult")?.root_children(|name, document| {
            match name {
                "EncodingType" => page.url_encoded = document.text()?.eq_ignore_ascii_case("url"),
                "IsTruncated" => page.is_truncated = document.parse()?,
                "Version" => page.entries.push(VersionEntry::read(document, false)?),
                "DeleteMarker" => page.entries.push(VersionEntry::read(document, true)?),
                "CommonPrefixes" => document.children(|name, document| {
                    match name {
                        "Prefix" => page.common_prefixes.push(document.text()?),
                        _ => document.skip()?,
                    }
                    Ok::<_, XmlError>(())
                })?,
                _ => document.skip()?,
            }
            Ok::<_, XmlError>(())
        })?;
        if page.url_encoded {
            let keys = page.entries.iter_mut().map(|entry| &mut entry.object.key);
            keys.chain(&mut page.common_prefixes).try_for_each(decode_name)?;
        }
        Ok(page)
    }

    /// The document; with `encoding-type=url` where asked for or where XML 1.0 cannot hold a name.
    pub fn render(&self) -> String {
        let url = self.url_encoded || !self.names().all(is_representable);
        let mut out = Writer::document();
        out.open_root("ListVersionsResult");
        out.text("Name", &self.name);
        write_name(&mut out, url, "Prefix", &self.prefix);
        write_name(&mut out, url, "KeyMarker", &self.key_marker);
        out.text("VersionIdMarker", &self.version_id_marker);
        write_optional_name(&mut out, url, "NextKeyMarker", self.next_key_marker.as_deref());
        out.optional("NextVersionIdMarker", self.next_version_id_marker.as_deref());
        out.display("MaxKeys", self.max_keys);
        write_optional_name(&mut out, url, "Delimiter", self.delimiter.as_deref());
        if url {
            out.text("EncodingType", "url");
        }
        out.display("IsTruncated", self.is_truncated);
        for entry in &self.entries {
            self.write_entry(&mut out, url, entry);
        }
        for prefix in &self.common_prefixes {
            out.open("CommonPrefixes");
            write_name(&mut out, url, "Prefix", prefix);
            out.close("CommonPrefixes");
        }
        out.close("ListVersionsResult");
        out.finish()
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let optional = [&self.delimiter, &self.next_key_marker];
        let keys = self.entries.iter().map(|entry| &entry.object.key);
        let all = optional.into_iter().flatten().chain(keys).chain(&self.common_prefixes);
        all.chain([&self.prefix, &self.key_marker]).map(String::as_str)
    }

    fn write_entry(&self, out: &mut Writer, url: bool, entry: &VersionEntry) {
        let object = &entry.object;
        let element = if entry.is_delete_marker { "DeleteMarker" } else { "Version" };
        out.open(element);
        write_name(out, url, "Key", &object.key);
        out.text("VersionId", &entry.version_id);
        out.display("IsLatest", entry.is_latest);
        out.display("LastModified", render_timestamp(object.last_modified));
        if !entry.is_delete_marker {
            out.text("ETag", &object.etag);
            out.display("Size", object.size);
        }
        if let Some(owner) = &self.owner {
            owner.write(out);
        }
        if !entry.is_delete_marker {
            out.text("StorageClass", &object.storage_class);
        }
        out.close(element);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    fn page() -> ListVersionsResult {
        let object = ObjectEntry {
            key: "a b\u{1}".into(),
            etag: "\"e\"".into(),
            size: 7,
            last_modified: SystemTime::UNIX_EPOCH,
            ..ObjectEntry::unread()
        };
        let marker = ObjectEntry {
            key: "a b\u{1}".into(),
            last_modified: SystemTime::UNIX_EPOCH + Duration::from_secs(1),
            ..ObjectEntry::unread()
        };
        let owner = Owner { id: "acme".into(), display_name: "acme".into() };
        let entries = vec![
            VersionEntry { object: marker, version_id: "7".into(), is_latest: true, is_delete_marker: true },
            VersionEntry { is_latest: false, ..VersionEntry::only(object) },
        ];
        ListVersionsResult {
            name: "mine".into(),
            key_marker: "a/".into(),
            max_keys: 9,
            owner: Some(owner),
            entries,
            common_prefixes: vec!["b/".into()],
            ..ListVersionsResult::default()
        }
    }

    #[test]
    fn versions_and_markers_in_their_order() {
        let document = page().render();
        let want = "<Name>mine</Name><Prefix></Prefix><KeyMarker>a/</KeyMarker><VersionIdMarker></VersionIdMarker>\
                    <MaxKeys>9</MaxKeys><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>\
                    <DeleteMarker><Key>a%20b%01</Key><VersionId>7</VersionId><IsLatest>true</IsLatest>\
                    <LastModified>1970-01-01T00:00:01.000Z</LastModified>\
                    <Owner><ID>acme</ID><DisplayName>acme</DisplayName></Owner></DeleteMarker>\
                    <Version><Key>a%20b%01</Key><VersionId>null</VersionId><IsLatest>false</IsLatest>\
                    <LastModified>1970-01-01T00:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag><Size>7</Size>\
                    <Owner><ID>acme</ID><DisplayName>acme</DisplayName></Owner><StorageClass>STANDARD</StorageClass>\
                    </Version><CommonPrefixes><Prefix>b/</Prefix></CommonPrefixes></ListVersionsResult>";
        assert!(document.ends_with(want), "{document}");
    }

    #[test]
    fn a_backends_page_comes_back() {
        let read = ListVersionsResult::parse(page().render().as_bytes()).expect("a page");
        assert_eq!((read.entries, read.common_prefixes), (page().entries, page().common_prefixes));
        assert!(!read.is_truncated && read.url_encoded);
        for (inside, fine) in [
            ("<IsTruncated>true</IsTruncated><NextKeyMarker>a%</NextKeyMarker>", true),
            // One server repeats markers as they are, also where XML cannot hold them.
            ("<KeyMarker>a\u{1}</KeyMarker><NextKeyMarker>\u{1}</NextKeyMarker>", true),
            ("<Version><Key>a</Key><VersionId>1</VersionId><X><Y/></X></Version>", true),
            ("<Version><Key>a</Key></Version>", false),
            ("<DeleteMarker><VersionId>1</VersionId></DeleteMarker>", false),
            ("<Version><Key>a</Key><VersionId>1</VersionId><Size>-1</Size></Version>", false),
        ] {
            let document = format!("<ListVersionsResult>{inside}</ListVersionsResult>");
            assert_eq!(ListVersionsResult::parse(document.as_bytes()).is_ok(), fine, "{inside}");
        }
    }
}
