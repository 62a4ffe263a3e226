//! ListMultipartUploads: grouped, ordered and paged here, from a walk over all that the home lists or the gateway's
//! metadata keeps. Servers differ in the order of their pages, in what they group and in how they encode; each lists
//! every upload once, and no more is asked of them.
//! Source: Amazon S3 API Reference, "ListMultipartUploads".
use super::{
    buckets::{from_millis, owner},
    home::unreadable,
    parameters::{PAGE, invalid, parse_count, parse_encoding_type, parse_text},
    upload_checksum::UploadChecksum,
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
use std::{
    cmp::Ordering,
    collections::{BTreeSet, HashMap, HashSet},
    time::SystemTime,
};

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

    /// The common prefix that a key falls under, if any.
    fn group_of<'k>(&self, key: &'k str) -> Option<&'k str> {
        let delimiter = self.delimiter?;
        let at = key.strip_prefix(self.prefix)?.find(delimiter)?;
        key.get(..self.prefix.len() + at + delimiter.len())
    }
}

/// One entry of a page in S3's order: by name, the uploads of one key by when they began.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    /// A key, or a common prefix.
    name: String,
    upload: Option<Begun>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Begun {
    at: SystemTime,
    id: String,
}

/// A page being made from uploads that come in any order; holds little more than the page.
struct Gathering<'a> {
    asked: &'a Asked<'a>,
    /// The backend's id of the upload that the page begins after.
    marker: Option<&'a str>,
    /// The first entries of those seen, up to one more than the page takes.
    first: BTreeSet<Entry>,
    /// Uploads of the marker's key: which of them come after the marker is known once all are seen.
    beside_marker: BTreeSet<Begun>,
}

impl<'a> Gathering<'a> {
    fn new(asked: &'a Asked<'a>, marker: Option<&'a str>) -> Self {
        Self { asked, marker, first: BTreeSet::new(), beside_marker: BTreeSet::new() }
    }

    fn max(&self) -> usize {
        usize::try_from(self.asked.max_uploads).unwrap_or(usize::MAX)
    }

    fn take(&mut self, key: &str, at: SystemTime, id: String) {
        if !key.starts_with(self.asked.prefix) {
            return;
        }
        let group = self.asked.group_of(key);
        match (key.cmp(self.asked.key_marker), group) {
            (Ordering::Less, _) => {}
            (Ordering::Equal, None) if self.marker.is_some() => drop(self.beside_marker.insert(Begun { at, id })),
            // Without an upload id the marker stands for all uploads of its key.
            (Ordering::Equal, _) => {}
            // A group that the marker names has been listed as a whole.
            (Ordering::Greater, Some(group)) if group == self.asked.key_marker => {}
            (Ordering::Greater, Some(group)) => self.insert(Entry { name: group.to_owned(), upload: None }),
            (Ordering::Greater, None) => {
                self.insert(Entry { name: key.to_owned(), upload: Some(Begun { at, id }) });
            }
        }
    }

    fn insert(&mut self, entry: Entry) {
        self.first.insert(entry);
        if self.first.len() > self.max().saturating_add(1) {
            self.first.pop_last();
        }
    }

    fn finish(mut self) -> Page {
        let beside = std::mem::take(&mut self.beside_marker);
        let marked = beside.iter().find(|begun| Some(&*begun.id) == self.marker).cloned();
        // Where the marker's upload has ended meanwhile, those beside it are listed again rather than left out.
        for begun in beside.into_iter().filter(|begun| marked.as_ref().is_none_or(|marked| begun > marked)) {
            self.insert(Entry { name: self.asked.key_marker.to_owned(), upload: Some(begun) });
        }
        let is_truncated = self.first.len() > self.max();
        let max = self.max();
        Page { entries: self.first.into_iter().take(max).collect(), is_truncated }
    }
}

#[derive(Debug, Default)]
struct Page {
    entries: Vec<Entry>,
    is_truncated: bool,
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
                        .ok_or_else(|| invalid("upload-id-marker", sealed, "Invalid uploadId marker"))?
                        .backend_upload_id,
                )
            }
        };
        let mut gathering = Gathering::new(&asked, marker.as_deref());
        match (asked.max_uploads, routed.home.capabilities().list_uploads) {
            (0, _) => {}
            (_, true) => self.walk_uploads(routed, &mut gathering).await?,
            (_, false) => {
                for OpenUpload { key, upload_id, initiated_at } in self.metadata.uploads(&route.bucket).await? {
                    gathering.take(key.as_str(), from_millis(initiated_at), upload_id);
                }
            }
        }
        let page = gathering.finish();
        let asked_for = match page.entries.is_empty() {
            true => HashMap::new(),
            false => self.kept_upload_checksums(route).await,
        };
        let result = render(admitted.bucket()?.as_str(), &asked, page, |key, id| {
            let checksum = asked_for.get(id).copied();
            (seal(&self.sealer, route, key, routed.home.id(), id, checksum), checksum)
        });
        Ok(Answer::xml(ListMultipartUploadsResult { owner: Some(owner(&admitted.tenant)), ..result }.render()))
    }

    /// Shows every upload under the prefix that the home lists. It is asked neither to group, since one server loses
    /// groups, nor to encode, since the same one encodes and does not say so. What it took as a replica, of an upload at a home before
    /// it, is no client's.
    async fn walk_uploads(&self, routed: &Routed, gathering: &mut Gathering<'_>) -> Result<(), Refusal> {
        let route = &routed.route;
        // Left-overs of a moment after a promotion: no reason to list nothing while the metadata is away.
        let as_replica = self.metadata.open_places_at(&route.bucket, &route.home).await.unwrap_or_default();
        let as_replica: HashSet<&str> = as_replica.iter().map(|open| open.place_upload_id.as_str()).collect();
        let mut after: Option<(String, String)> = None;
        loop {
            let mut request =
                routed.request(Method::GET, None)?.query("uploads", "").query("max-uploads", &PAGE.to_string());
            if !gathering.asked.prefix.is_empty() {
                request = request.query("prefix", gathering.asked.prefix);
            }
            if let Some((key, id)) = &after {
                request = request.query("key-marker", key).query("upload-id-marker", id);
            }
            let answer = self.ask_home(routed, request, Bytes::new()).await?;
            let page = ListMultipartUploadsResult::parse(&answer.body).map_err(unreadable)?;
            // Not the backend's own markers, which servers encode or not.
            let next = page.uploads.last().map(|last| (last.key.clone(), last.upload_id.clone()));
            for upload in page.uploads.into_iter().filter(|upload| !as_replica.contains(&*upload.upload_id)) {
                gathering.take(&upload.key, upload.initiated, upload.upload_id);
            }
            if !page.is_truncated || next.is_none() || next == after {
                return Ok(());
            }
            after = next;
        }
    }
}

/// The client's document. `seal`: an upload's id as clients carry it and its checksum, from key and backend's id.
fn render(
    bucket: &str,
    asked: &Asked<'_>,
    page: Page,
    seal: impl Fn(&str, &str) -> (String, Option<UploadChecksum>),
) -> ListMultipartUploadsResult {
    let next = page.entries.last().filter(|_| page.is_truncated);
    let mut result = ListMultipartUploadsResult {
        bucket: bucket.to_owned(),
        key_marker: asked.key_marker.to_owned(),
        upload_id_marker: asked.upload_id_marker.unwrap_or_default().to_owned(),
        next_key_marker: next.map(|last| last.name.clone()),
        next_upload_id_marker: next.and_then(|last| Some(seal(&last.name, &last.upload.as_ref()?.id).0)),
        prefix: asked.prefix.to_owned(),
        delimiter: asked.delimiter.map(str::to_owned),
        max_uploads: asked.max_uploads,
        url_encoded: asked.url_encoded,
        is_truncated: page.is_truncated,
        ..ListMultipartUploadsResult::default()
    };
    for Entry { name, upload } in page.entries {
        match upload {
            None => result.common_prefixes.push(name),
            Some(Begun { at, id }) => {
                let (upload_id, checksum) = seal(&name, &id);
                result.uploads.push(UploadEntry {
                    upload_id,
                    key: name,
                    initiated: at,
                    storage_class: "STANDARD".to_owned(),
                    checksum_algorithm: checksum.map(|checksum| checksum.algorithm.name().to_owned()),
                    checksum_type: checksum.map(|checksum| checksum.kind.name().to_owned()),
                });
            }
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn open_uploads() -> Vec<(&'static str, u64, &'static str)> {
        vec![
            ("a", 2, "1"),
            ("a", 1, "2"),
            ("a-b", 3, "7"),
            ("b/x", 1, "3"),
            ("b/y", 1, "4"),
            ("c", 1, "5"),
            ("ä", 1, "6"),
        ]
    }

    fn page_of(uploads: &[(&str, u64, &str)], asked: &Asked<'_>, marker: Option<&str>) -> ListMultipartUploadsResult {
        let mut gathering = Gathering::new(asked, marker);
        for (key, at, id) in uploads {
            gathering.take(key, from_millis(i64::try_from(*at).expect("a time")), (*id).to_owned());
        }
        render("mine", asked, gathering.finish(), |_, id| (id.to_owned(), None))
    }

    /// Walks all pages and gives what they list, uploads as `key#id`. `ends`: each upload ends once it has been listed.
    fn walk(mut uploads: Vec<(&str, u64, &str)>, asked: &Asked<'_>, ends: bool) -> Vec<String> {
        let (mut key_marker, mut id_marker) = (asked.key_marker.to_owned(), None);
        let mut listed: Vec<String> = Vec::new();
        for _ in 0..100 {
            let step = Asked { key_marker: &key_marker, upload_id_marker: None, ..*asked };
            let page = page_of(&uploads, &step, id_marker.as_deref());
            assert!(
                page.uploads.len() + page.common_prefixes.len() <= usize::try_from(asked.max_uploads).expect("a size")
            );
            if ends {
                uploads.retain(|(_, _, id)| !page.uploads.iter().any(|upload| upload.upload_id == *id));
            }
            let mut names: Vec<String> = page.uploads.iter().map(|u| format!("{}#{}", u.key, u.upload_id)).collect();
            names.extend(page.common_prefixes);
            listed.extend(names);
            if !page.is_truncated {
                return listed;
            }
            (key_marker, id_marker) = (page.next_key_marker.expect("a next marker"), page.next_upload_id_marker);
        }
        panic!("no end: {listed:?}");
    }

    #[test]
    fn pages_of_any_size_list_each_upload_once() {
        for max_uploads in 1..9 {
            for ends in [false, true] {
                let all = walk(open_uploads(), &Asked { max_uploads, ..Asked::default() }, ends);
                assert_eq!(all, ["a#2", "a#1", "a-b#7", "b/x#3", "b/y#4", "c#5", "ä#6"], "{max_uploads} {ends}");
                let mut grouped =
                    walk(open_uploads(), &Asked { max_uploads, delimiter: Some("/"), ..Asked::default() }, ends);
                grouped.sort_unstable();
                assert_eq!(grouped, ["a#1", "a#2", "a-b#7", "b/", "c#5", "ä#6"], "{max_uploads} {ends}");
            }
        }
    }

    #[test]
    fn prefix_and_marker() {
        for (asked, want) in [
            (Asked { prefix: "b/", delimiter: Some("/"), ..Asked::default() }, &["b/x#3", "b/y#4"][..]),
            (Asked { key_marker: "a", ..Asked::default() }, &["a-b#7", "b/x#3", "b/y#4", "c#5", "ä#6"]),
            (Asked { key_marker: "b/x", delimiter: Some("/"), ..Asked::default() }, &["c#5", "ä#6", "b/"]),
            (Asked { key_marker: "b/", delimiter: Some("/"), ..Asked::default() }, &["c#5", "ä#6"]),
            (Asked { prefix: "none", ..Asked::default() }, &[]),
        ] {
            let asked = Asked { max_uploads: 9, ..asked };
            assert_eq!(walk(open_uploads(), &asked, false), want, "{asked:?}");
        }
    }

    #[test]
    fn the_last_page_has_no_next_marker() {
        let asked = Asked { max_uploads: 7, ..Asked::default() };
        let page = page_of(&open_uploads(), &asked, None);
        assert_eq!((page.is_truncated, page.next_key_marker, page.next_upload_id_marker), (false, None, None));
        let asked = Asked { max_uploads: 3, delimiter: Some("-"), ..Asked::default() };
        let page = page_of(&open_uploads(), &asked, None);
        assert_eq!((page.next_key_marker.as_deref(), page.next_upload_id_marker), (Some("a-"), None));
    }

    proptest! {
        #[test]
        fn the_order_of_the_walk_changes_nothing(
            keys in proptest::collection::vec("[ab/-]{1,3}", 0..12).prop_shuffle(),
            delimiter in proptest::option::of("[/-]"),
            max_uploads in 1u32..6,
        ) {
            let ids: Vec<String> = (0..keys.len()).map(|n| n.to_string()).collect();
            let uploads: Vec<_> = keys.iter().zip(&ids).map(|(key, id)| (key.as_str(), 1, id.as_str())).collect();
            let asked = Asked { max_uploads, delimiter: delimiter.as_deref(), ..Asked::default() };
            let mut want: Vec<String> = uploads.iter().map(|(key, _, id)| match asked.group_of(key) {
                Some(group) => group.to_owned(),
                None => format!("{key}#{id}"),
            }).collect();
            want.sort_unstable();
            want.dedup();
            let mut got = walk(uploads, &asked, false);
            got.sort_unstable();
            prop_assert_eq!(got, want);
        }
    }
}
