//! Versions in buckets that have none: versioning cannot be enabled yet, so each object is its own `null` version.
//! Source: Amazon S3 API Reference, "GetBucketVersioning" and "ListObjectVersions".
use super::{
    buckets::owner,
    listing::{ListParameters, Page},
    parameters::{invalid, parse_text},
};
use crate::{admit::Admitted, answer::Answer, gateway::Gateway, refusal::Refusal};
use s3gateway_s3::{
    S3Error, S3Request,
    etag::quoted,
    xml::{ListVersionsResult, NULL_VERSION, ObjectEntry, Writer},
};

/// What a client asks for; the key marker stands where ListObjects has its marker.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    objects: ListParameters,
    version_id_marker: String,
}

impl Asked {
    /// Parses the query.
    ///
    /// # Errors
    /// `InvalidArgument`, also for a version that no object here can have.
    fn parse(request: &S3Request) -> Result<Self, S3Error> {
        let name = "version-id-marker";
        let key_marker = parse_text(request, "key-marker")?;
        let version_id_marker = parse_text(request, name)?.unwrap_or_default();
        match (version_id_marker, key_marker) {
            ("", _) | (NULL_VERSION, Some(_)) => {}
            (other, None) => {
                return Err(invalid(name, other, "A version-id marker cannot be specified without a key marker."));
            }
            (other, Some(_)) => return Err(invalid(name, other, "Invalid version id specified")),
        }
        let objects = ListParameters { after: key_marker.map(str::to_owned), ..ListParameters::parse(request)? };
        Ok(Self { objects, version_id_marker: version_id_marker.to_owned() })
    }
}

impl Gateway {
    /// Says that versioning was never set.
    pub(super) fn bucket_versioning() -> Answer {
        let mut out = Writer::document();
        out.open_root("VersioningConfiguration");
        out.close("VersioningConfiguration");
        Answer::xml(out.finish())
    }

    pub(super) async fn list_versions(&self, admitted: &Admitted) -> Result<Answer, Refusal> {
        let asked = Asked::parse(&admitted.request)?;
        let page = self.list_page(admitted.routed()?, &asked.objects, None).await?;
        let result = render(admitted.bucket()?.as_str(), asked, page);
        Ok(Answer::xml(ListVersionsResult { owner: Some(owner(&admitted.tenant)), ..result }.render()))
    }
}

/// The client's document: its own bucket name, its own parameters, and of the objects only what is theirs.
fn render(bucket: &str, asked: Asked, page: Page) -> ListVersionsResult {
    let Asked { objects: asked, version_id_marker } = asked;
    let ends_with_a_key = page.next.is_some() && page.contents.last().map(|object| &object.key) == page.next.as_ref();
    let object = |object: ObjectEntry| ObjectEntry {
        etag: quoted(&object.etag),
        storage_class: "STANDARD".to_owned(),
        ..object
    };
    ListVersionsResult {
        name: bucket.to_owned(),
        prefix: asked.prefix,
        delimiter: asked.delimiter,
        key_marker: asked.after.unwrap_or_default(),
        version_id_marker,
        is_truncated: page.next.is_some(),
        next_key_marker: page.next,
        next_version_id_marker: ends_with_a_key.then(|| NULL_VERSION.to_owned()),
        max_keys: asked.max_keys,
        url_encoded: asked.url_encoded,
        owner: None,
        objects: page.contents.into_iter().map(object).collect(),
        common_prefixes: page.common_prefixes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderValue, Method};
    use s3gateway_s3::S3Code;
    use std::time::SystemTime;

    fn parse(query: &str) -> Result<Asked, S3Code> {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("localhost"));
        let request = S3Request::parse(&Method::GET, &format!("/mine?versions{query}"), headers, &[]).expect(query);
        Asked::parse(&request).map_err(|e| e.code)
    }

    #[test]
    fn markers() {
        for (query, want) in [
            ("", Ok(None)),
            ("&key-marker=a", Ok(Some("a"))),
            ("&key-marker=a&version-id-marker=null", Ok(Some("a"))),
            ("&key-marker=a&version-id-marker=", Ok(Some("a"))),
            // The marker of ListObjects means nothing here.
            ("&marker=b", Ok(None)),
            ("&version-id-marker=null", Err(S3Code::InvalidArgument)),
            ("&key-marker=a&version-id-marker=7", Err(S3Code::InvalidArgument)),
            ("&max-keys=-1", Err(S3Code::InvalidArgument)),
        ] {
            let got = parse(query);
            assert_eq!(got.as_ref().map(|asked| asked.objects.after.as_deref()).map_err(|code| *code), want, "{query}");
        }
    }

    #[test]
    fn a_page_ends_with_a_version_or_a_group() {
        let page = |next: Option<&str>| Page {
            contents: vec![ObjectEntry {
                key: "a".to_owned(),
                last_modified: SystemTime::UNIX_EPOCH,
                etag: "e".to_owned(),
                checksum_algorithms: Vec::new(),
                checksum_type: None,
                size: 1,
                storage_class: "COLD".to_owned(),
            }],
            common_prefixes: vec!["b/".to_owned()],
            next: next.map(str::to_owned),
        };
        for (next, version) in [(Some("a"), Some("null")), (Some("b/"), None), (None, None)] {
            let result = render("mine", parse("&delimiter=/").expect("parameters"), page(next));
            assert_eq!(result.next_key_marker.as_deref(), next);
            assert_eq!((result.next_version_id_marker.as_deref(), result.is_truncated), (version, next.is_some()));
            let object = &result.objects[0];
            assert_eq!((object.etag.as_str(), object.storage_class.as_str()), ("\"e\"", "STANDARD"));
        }
    }
}
