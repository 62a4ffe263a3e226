//! ListMultipartUploads: from the home, or from the gateway's metadata where the home cannot list its own.
use super::{
    buckets::{from_millis, owner},
    home::unreadable,
    parameters::{PAGE, parse_count, parse_encoding_type, parse_text},
    upload_id::{open, seal},
};
use crate::{
    admit::{Admitted, Routed},
    answer::Answer,
    gateway::Gateway,
    refusal::Refusal,
};
use bytes::Bytes;
use http::Method;
use s3gateway_s3::{
    S3Error, S3Request,
    xml::{ListMultipartUploadsResult, UploadEntry},
};
use s3gateway_store::OpenUpload;

/// What a client asks for.
#[derive(Debug, Default)]
struct Asked<'r> {
    prefix: &'r str,
    delimiter: Option<&'r str>,
    key_marker: &'r str,
    /// As the client carries it; means nothing without a key marker.
    upload_id_marker: Option<&'r str>,
    max_uploads: u32,
    url_encoded: bool,
}

impl<'r> Asked<'r> {
    fn parse(request: &'r S3Request) -> Result<Self, S3Error> {
        let key_marker = parse_text(request, "key-marker")?.unwrap_or_default();
        Ok(Self {
            prefix: parse_text(request, "prefix")?.unwrap_or_default(),
            delimiter: parse_text(request, "delimiter")?,
            key_marker,
            upload_id_marker: request.query.get("upload-id-marker").filter(|m| !m.is_empty() && !key_marker.is_empty()),
            max_uploads: parse_count(request, "max-uploads", PAGE)?,
            url_encoded: parse_encoding_type(request)?,
        })
    }
}

impl Gateway {
    pub(super) async fn list_uploads(&self, admitted: &Admitted) -> Result<Answer, Refusal> {
        let (routed, asked) = (admitted.routed()?, Asked::parse(&admitted.request)?);
        let route = &routed.route;
        let marker = match asked.upload_id_marker {
            None => None,
            Some(sealed) => {
                let opened = open(&self.sealer, route, asked.key_marker, sealed);
                Some(
                    opened
                        .ok_or_else(|| {
                            super::parameters::invalid("upload-id-marker", sealed, "Invalid uploadId marker")
                        })?
                        .1,
                )
            }
        };
        let page = match (asked.max_uploads, routed.home.capabilities().list_uploads) {
            (0, _) => ListMultipartUploadsResult::default(),
            (_, true) => self.ask_for_uploads(routed, &asked, marker.as_deref()).await?,
            (_, false) => page_of(self.metadata.uploads(&route.bucket).await?, &asked, marker.as_deref()),
        };
        let sealed = |key: &str, id: &str| seal(&self.sealer, route, key, routed.home.id(), id);
        let next = page.next_key_marker.filter(|_| page.is_truncated);
        let result = ListMultipartUploadsResult {
            bucket: admitted.bucket()?.as_str().to_owned(),
            key_marker: asked.key_marker.to_owned(),
            upload_id_marker: asked.upload_id_marker.unwrap_or_default().to_owned(),
            next_upload_id_marker: next.as_deref().zip(page.next_upload_id_marker).map(|(key, id)| sealed(key, &id)),
            next_key_marker: next,
            prefix: asked.prefix.to_owned(),
            delimiter: asked.delimiter.map(str::to_owned),
            max_uploads: asked.max_uploads,
            url_encoded: asked.url_encoded,
            is_truncated: page.is_truncated,
            owner: Some(owner(&admitted.tenant)),
            uploads: page
                .uploads
                .into_iter()
                .map(|upload| UploadEntry { upload_id: sealed(&upload.key, &upload.upload_id), ..upload })
                .collect(),
            common_prefixes: page.common_prefixes,
        };
        Ok(Answer::xml(result.render()))
    }

    async fn ask_for_uploads(
        &self,
        routed: &Routed,
        asked: &Asked<'_>,
        marker: Option<&str>,
    ) -> Result<ListMultipartUploadsResult, Refusal> {
        let mut request = routed
            .request(Method::GET, None)?
            .query("uploads", "")
            .query("encoding-type", "url")
            .query("max-uploads", &asked.max_uploads.to_string());
        let optional = [
            ("prefix", Some(asked.prefix)),
            ("delimiter", asked.delimiter),
            ("key-marker", Some(asked.key_marker)),
            ("upload-id-marker", marker),
        ];
        for (name, value) in optional {
            if let Some(value) = value.filter(|v| !v.is_empty()) {
                request = request.query(name, value);
            }
        }
        let answer = self.ask_home(routed, request, Bytes::new()).await?;
        let mut page = ListMultipartUploadsResult::parse(&answer.body).map_err(unreadable)?;
        for upload in &mut page.uploads {
            upload.checksum_algorithm = None;
            upload.checksum_type = None;
        }
        (page.next_key_marker, page.next_upload_id_marker) = last_entry(&page);
        Ok(page)
    }
}

/// Where the next page begins: after the greatest entry of this one. Servers differ in how they write their own markers.
fn last_entry(page: &ListMultipartUploadsResult) -> (Option<String>, Option<String>) {
    let upload = page.uploads.last();
    match (upload, page.common_prefixes.last()) {
        (Some(upload), prefix) if prefix.is_none_or(|prefix| *prefix < upload.key) => {
            (Some(upload.key.clone()), Some(upload.upload_id.clone()))
        }
        (_, prefix) => (prefix.cloned(), None),
    }
}

/// One page of uploads that the gateway keeps the list of. `uploads` are in order of their keys' bytes, then of time.
fn page_of(uploads: Vec<OpenUpload>, asked: &Asked<'_>, marker: Option<&str>) -> ListMultipartUploadsResult {
    let max = usize::try_from(asked.max_uploads).unwrap_or(usize::MAX);
    let mut page = ListMultipartUploadsResult::default();
    let mut passed_marker = marker.is_none();
    for upload in uploads {
        let key = upload.key.as_str();
        let Some(rest) = key.strip_prefix(asked.prefix) else { continue };
        let is_later = match key.cmp(asked.key_marker) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Greater => true,
            // Without an upload id the marker stands for all uploads of its key.
            std::cmp::Ordering::Equal if marker.is_none() => false,
            std::cmp::Ordering::Equal => {
                let passed_before = passed_marker;
                passed_marker |= Some(&*upload.upload_id) == marker;
                passed_before
            }
        };
        if !is_later {
            continue;
        }
        let group =
            asked.delimiter.and_then(|d| rest.find(d).and_then(|at| key.get(..asked.prefix.len() + at + d.len())));
        // A group that the marker names has been listed as a whole.
        if group.is_some_and(|group| {
            page.common_prefixes.last().is_some_and(|last| last == group) || group == asked.key_marker
        }) {
            continue;
        }
        if page.uploads.len() + page.common_prefixes.len() == max {
            page.is_truncated = true;
            break;
        }
        match group {
            Some(group) => {
                (page.next_key_marker, page.next_upload_id_marker) = (Some(group.to_owned()), None);
                page.common_prefixes.push(group.to_owned());
            }
            None => {
                (page.next_key_marker, page.next_upload_id_marker) =
                    (Some(key.to_owned()), Some(upload.upload_id.clone()));
                page.uploads.push(UploadEntry {
                    key: key.to_owned(),
                    upload_id: upload.upload_id,
                    initiated: from_millis(upload.initiated_at),
                    storage_class: "STANDARD".to_owned(),
                    checksum_algorithm: None,
                    checksum_type: None,
                });
            }
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use s3gateway_s3::ObjectKey;

    fn open_uploads() -> Vec<OpenUpload> {
        let upload = |(key, id): (&str, &str)| OpenUpload {
            key: ObjectKey::parse(key).expect(key),
            upload_id: id.to_owned(),
            initiated_at: 1,
        };
        [("a", "1"), ("a", "2"), ("b/x", "3"), ("b/y", "4"), ("c", "5"), ("ä", "6")].map(upload).to_vec()
    }

    /// Walks all pages and gives what they list, uploads as `key#id`.
    fn walk(asked: &Asked<'_>) -> Vec<Vec<String>> {
        let (mut key_marker, mut id_marker) = (asked.key_marker.to_owned(), None);
        let mut pages = Vec::new();
        loop {
            let step = Asked { key_marker: &key_marker, upload_id_marker: None, ..*asked };
            let page = page_of(open_uploads(), &step, id_marker.as_deref());
            let uploads = page.uploads.iter().map(|u| format!("{}#{}", u.key, u.upload_id));
            pages.push(uploads.chain(page.common_prefixes.iter().cloned()).collect());
            assert!(pages.len() < 20, "no progress");
            if !page.is_truncated {
                return pages;
            }
            (key_marker, id_marker) = (page.next_key_marker.expect("a next marker"), page.next_upload_id_marker);
        }
    }

    #[test]
    fn pages_of_any_size_list_each_upload_once() {
        for max_uploads in 1..8 {
            let all: Vec<String> = walk(&Asked { max_uploads, ..Asked::default() }).concat();
            assert_eq!(all, ["a#1", "a#2", "b/x#3", "b/y#4", "c#5", "ä#6"], "{max_uploads}");
            let mut grouped: Vec<String> =
                walk(&Asked { max_uploads, delimiter: Some("/"), ..Asked::default() }).concat();
            grouped.sort_unstable();
            assert_eq!(grouped, ["a#1", "a#2", "b/", "c#5", "ä#6"], "{max_uploads}");
        }
    }

    #[test]
    fn prefix_and_marker() {
        assert_eq!(
            walk(&Asked { max_uploads: 9, prefix: "b/", delimiter: Some("/"), ..Asked::default() }).concat(),
            ["b/x#3", "b/y#4"]
        );
        assert_eq!(
            walk(&Asked { max_uploads: 9, key_marker: "a", ..Asked::default() }).concat(),
            ["b/x#3", "b/y#4", "c#5", "ä#6"]
        );
        assert_eq!(
            walk(&Asked { max_uploads: 9, key_marker: "b/x", delimiter: Some("/"), ..Asked::default() }).concat(),
            ["c#5", "ä#6", "b/"]
        );
    }
}
