//! The answer of ListObjectVersions.
//! Source: Amazon S3 API Reference, "ListObjectVersions".
use super::{
    ObjectEntry, Owner, Writer,
    listing::{write_name, write_optional_name},
    render_timestamp,
    writer::is_representable,
};

/// The version id of every object in a bucket that has no versions.
pub const NULL_VERSION: &str = "null";

/// A page of the versions in a bucket without versioning: each object's only one, which is the current.
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
    /// The owner of every object.
    pub owner: Option<Owner>,
    /// The objects.
    pub objects: Vec<ObjectEntry>,
    /// The groups of keys up to the delimiter.
    pub common_prefixes: Vec<String>,
}

impl ListVersionsResult {
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
        for object in &self.objects {
            self.write_version(&mut out, url, object);
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
        let keys = self.objects.iter().map(|object| &object.key);
        let all = optional.into_iter().flatten().chain(keys).chain(&self.common_prefixes);
        all.chain([&self.prefix, &self.key_marker]).map(String::as_str)
    }

    fn write_version(&self, out: &mut Writer, url: bool, object: &ObjectEntry) {
        out.open("Version");
        write_name(out, url, "Key", &object.key);
        out.text("VersionId", NULL_VERSION);
        out.display("IsLatest", true);
        out.display("LastModified", render_timestamp(object.last_modified));
        out.text("ETag", &object.etag);
        out.display("Size", object.size);
        if let Some(owner) = &self.owner {
            owner.write(out);
        }
        out.text("StorageClass", &object.storage_class);
        out.close("Version");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn each_object_is_its_only_version() {
        let object = ObjectEntry {
            key: "a b\u{1}".into(),
            last_modified: SystemTime::UNIX_EPOCH,
            etag: "\"e\"".into(),
            checksum_algorithms: Vec::new(),
            checksum_type: None,
            size: 7,
            storage_class: "STANDARD".into(),
        };
        let owner = Owner { id: "acme".into(), display_name: "acme".into() };
        let page = ListVersionsResult {
            name: "mine".into(),
            key_marker: "a/".into(),
            max_keys: 9,
            owner: Some(owner),
            objects: vec![object],
            common_prefixes: vec!["b/".into()],
            ..ListVersionsResult::default()
        };
        let document = page.render();
        let want = "<Name>mine</Name><Prefix></Prefix><KeyMarker>a/</KeyMarker><VersionIdMarker></VersionIdMarker>\
                    <MaxKeys>9</MaxKeys><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>\
                    <Version><Key>a%20b%01</Key><VersionId>null</VersionId><IsLatest>true</IsLatest>\
                    <LastModified>1970-01-01T00:00:00.000Z</LastModified><ETag>&quot;e&quot;</ETag><Size>7</Size>\
                    <Owner><ID>acme</ID><DisplayName>acme</DisplayName></Owner><StorageClass>STANDARD</StorageClass>\
                    </Version><CommonPrefixes><Prefix>b/</Prefix></CommonPrefixes></ListVersionsResult>";
        assert!(document.ends_with(want), "{document}");
    }
}
