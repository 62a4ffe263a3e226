//! ListObjectVersions: asked of the home, and rendered anew in the client's terms. In a bucket that has never kept
//! versions each object is its own `null` version. While the home is away, `versions_on_record` and `listing_replica` answer.
//! Source: Amazon S3 API Reference, "ListObjectVersions".
use super::{
    buckets::owner,
    home::unreadable,
    listing::{ListParameters, Page},
    parameters::{PAGE, invalid, parse_text},
};
use crate::{
    admit::{Admitted, Routed},
    answer::Answer,
    gateway::Gateway,
    refusal::Refusal,
    upstream::{UpstreamError, UpstreamRequest},
    version::NamedVersion,
};
use bytes::Bytes;
use http::Method;
use s3gateway_s3::{
    ObjectKey, S3Error, S3Request, VersionId,
    etag::{quoted, unquoted},
    xml::{CopyObjectResult, ListVersionsResult, ObjectEntry, VersionEntry},
};

/// Pages of a key's versions that are looked through for one of them.
const SEEK_PAGES: u32 = 10;

/// What a client asks for; the key marker stands where ListObjects has its marker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) objects: ListParameters,
    /// The version of that key after which the page begins; `None`: behind all of them.
    pub(super) version_id_marker: Option<VersionId>,
}

impl Asked {
    /// Parses the query. `versioned`: whether the bucket keeps versions, or has kept some.
    ///
    /// # Errors
    /// `InvalidArgument`, also for a version that no object there can have.
    fn parse(request: &S3Request, versioned: bool) -> Result<Self, S3Error> {
        let name = "version-id-marker";
        let key_marker = parse_text(request, "key-marker")?;
        let version_id_marker = match (parse_text(request, name)?, key_marker) {
            (None, _) => None,
            (Some(text), Some(_)) => match VersionId::parse(text) {
                Ok(version) if versioned || version.is_null() => Some(version),
                _ => return Err(invalid(name, text, "Invalid version id specified")),
            },
            (Some(text), None) => {
                return Err(invalid(name, text, "A version-id marker cannot be specified without a key marker."));
            }
        };
        let objects = ListParameters { after: key_marker.map(str::to_owned), ..ListParameters::parse(request)? };
        Ok(Self { objects, version_id_marker })
    }

    /// The same, of a server that begins with its marker: that is then the least name behind all versions of the key. No
    /// key with a NUL, which would be less, is at any home. `None` where a version says where to begin.
    fn behind_its_marker(&self) -> Option<Self> {
        let key = self.objects.after.as_ref().filter(|_| self.version_id_marker.is_none())?;
        let objects = ListParameters { after: Some(format!("{key}\u{1}")), ..self.objects.clone() };
        Some(Self { objects, version_id_marker: None })
    }

    /// The upstream query. URL encoding is always asked for, so that every key survives.
    fn put_on(&self, request: UpstreamRequest) -> UpstreamRequest {
        let max_keys = self.objects.max_keys.to_string();
        let parameters = [
            ("versions", Some("")),
            ("prefix", Some(self.objects.prefix.as_str()).filter(|p| !p.is_empty())),
            ("delimiter", self.objects.delimiter.as_deref()),
            ("max-keys", Some(max_keys.as_str())),
            ("encoding-type", Some("url")),
            ("key-marker", self.objects.after.as_deref()),
            ("version-id-marker", self.version_id_marker.as_ref().map(VersionId::as_str)),
        ];
        parameters.into_iter().fold(request, |request, (name, value)| match value {
            Some(value) => request.query(name, value),
            None => request,
        })
    }
}

/// A page of versions; names are decoded.
#[derive(Debug, Default)]
pub(super) struct VersionPage {
    pub(super) entries: Vec<VersionEntry>,
    pub(super) common_prefixes: Vec<String>,
    /// The key or group after which the next page begins, and the version of the key.
    pub(super) next: Option<(String, Option<String>)>,
}

impl VersionPage {
    /// The objects of a bucket without versions.
    fn of_objects(page: Page) -> Self {
        let last = page.contents.last().map(|object| object.key.clone());
        let version = |next: &String| (last.as_ref() == Some(next)).then(|| VersionId::NULL.to_owned());
        Self {
            next: page.next.map(|next| (next.clone(), version(&next))),
            entries: page.contents.into_iter().map(VersionEntry::only).collect(),
            common_prefixes: page.common_prefixes,
        }
    }

    /// A home's page. Where the next one begins is taken from what is on this one: servers differ in how they write it.
    fn of_versions(page: ListVersionsResult) -> Result<Self, UpstreamError> {
        let group = page.common_prefixes.last();
        let next = match page.entries.last() {
            Some(entry) if group.is_none_or(|group| *group < entry.object.key) => {
                Some((entry.object.key.clone(), Some(entry.version_id.clone())))
            }
            _ => group.map(|group| (group.clone(), None)),
        };
        if page.is_truncated && next.is_none() {
            return Err(UpstreamError::Malformed("a truncated listing without a next page"));
        }
        Ok(Self {
            next: next.filter(|_| page.is_truncated),
            entries: page.entries,
            common_prefixes: page.common_prefixes,
        })
    }
}

impl Gateway {
    pub(super) async fn list_versions(&self, admitted: &Admitted) -> Result<Answer, Refusal> {
        let routed = admitted.routed()?;
        let versioned = routed.route.versioning.is_set();
        let asked = Asked::parse(&admitted.request, versioned)?;
        let listed = match versioned {
            true => self.version_page(routed, &asked).await,
            false => self.list_page(routed, &asked.objects, None).await.map(VersionPage::of_objects),
        };
        let page = match listed {
            Err(Refusal::Upstream(loss)) if loss.is_outage() => match versioned {
                true => Box::pin(self.versions_on_record(routed, &asked, loss)).await?,
                false => {
                    let page = Box::pin(self.list_at_replica(routed, &asked.objects, None, loss)).await?;
                    VersionPage::of_objects(page)
                }
            },
            page => page?,
        };
        let result = render(admitted.bucket()?.as_str(), asked, page);
        Ok(Answer::xml(ListVersionsResult { owner: Some(owner(&admitted.tenant)), ..result }.render()))
    }

    async fn version_page(&self, routed: &Routed, asked: &Asked) -> Result<VersionPage, Refusal> {
        if asked.objects.max_keys == 0 {
            return Ok(VersionPage::default());
        }
        let asked = self.ask_in_own_ids(routed, asked).await?;
        let page = match self.behind_null_marker(routed, &asked).await? {
            Some(page) => page,
            None => {
                let page = self.versions_at_home(routed, &asked).await?;
                self.behind_gone_marker(routed, &asked, page).await?
            }
        };
        self.show_page(routed, page).await
    }

    /// The delete marker that stands where a read has found no object: the version that is named, else the current one. With
    /// the home's own id of it.
    pub(crate) async fn find_delete_marker(
        &self,
        routed: &Routed,
        key: &ObjectKey,
        version: Option<&NamedVersion>,
    ) -> Result<Option<VersionEntry>, Refusal> {
        let found = self.seek(routed, key, version.map(NamedVersion::own)).await?;
        Ok(found.map(|(entry, _)| entry).filter(|entry| entry.is_delete_marker))
    }

    /// Looks a version of a key up by its own id, or the current one, and those that follow it on the same page.
    async fn seek(
        &self,
        routed: &Routed,
        key: &ObjectKey,
        version: Option<&VersionId>,
    ) -> Result<Option<(VersionEntry, Vec<VersionEntry>)>, Refusal> {
        let max_keys = if version.is_some() { PAGE } else { 1 };
        // A key sorts before all others of which it is a prefix.
        let objects = ListParameters { prefix: key.as_str().to_owned(), max_keys, ..ListParameters::default() };
        let mut asked = Asked { objects, version_id_marker: None };
        for _ in 0..SEEK_PAGES {
            let page = self.versions_at_home(routed, &asked).await?;
            let mut of_key = page.entries.into_iter().filter(|entry| entry.object.key == key.as_str());
            let is_it = |entry: &VersionEntry| version.is_none_or(|version| entry.version_id == version.as_str());
            if let Some(entry) = of_key.find(is_it) {
                return Ok(Some((entry, of_key.collect())));
            }
            match page.next {
                Some((next, Some(after))) if version.is_some() && next == key.as_str() => {
                    asked.objects.after = Some(next);
                    asked.version_id_marker = VersionId::parse(&after).ok();
                }
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The page that begins behind a `null` delete marker with more versions of its key, which one server skips when it is
    /// asked for what follows. `None` where that cannot happen.
    async fn behind_null_marker(&self, routed: &Routed, asked: &Asked) -> Result<Option<VersionPage>, Refusal> {
        let null = asked.version_id_marker.as_ref().filter(|version| version.is_null());
        let key = asked.objects.after.as_deref().filter(|key| asked.objects.shows(key));
        let (Some(null), Some(Ok(key))) = (null, key.map(ObjectKey::parse)) else { return Ok(None) };
        let mut entries = match self.seek(routed, &key, Some(null)).await? {
            Some((marker, rest)) if marker.is_delete_marker && !rest.is_empty() => rest,
            _ => return Ok(None),
        };
        entries.truncate(usize::try_from(asked.objects.max_keys).unwrap_or(usize::MAX));
        let next = entries.last().map(|last| (last.object.key.clone(), Some(last.version_id.clone())));
        Ok(Some(VersionPage { entries, common_prefixes: Vec::new(), next }))
    }

    /// The page that begins behind a version which is gone by now, where the home's, `page`, shows no more of its key. Of a home that lists nothing
    /// behind such a version the key is listed anew, as a client that deletes page by page would leave the rest: one that deletes only some is
    /// shown the others once more.
    async fn behind_gone_marker(
        &self,
        routed: &Routed,
        asked: &Asked,
        page: VersionPage,
    ) -> Result<VersionPage, Refusal> {
        if routed.home.capabilities().gone_markers {
            return Ok(page);
        }
        let (Some(version), Some(after)) = (&asked.version_id_marker, &asked.objects.after) else { return Ok(page) };
        let goes_on = page.entries.first().is_some_and(|entry| entry.object.key == *after);
        let key = ObjectKey::parse(after).ok().filter(|_| !goes_on && asked.objects.shows(after));
        let Some(key) = key else { return Ok(page) };
        if !self.is_missed(routed, &key, &NamedVersion::same(version.clone())).await {
            return Ok(page);
        }
        let (prefix, max_keys) = (after.clone(), asked.objects.max_keys);
        let objects = ListParameters { prefix, max_keys, ..ListParameters::default() };
        let mut anew = self.versions_at_home(routed, &Asked { objects, version_id_marker: None }).await?;
        anew.entries.retain(|entry| entry.object.key == *after);
        match anew.entries.last() {
            // It is listed and cannot be read: the page would come for ever.
            Some(_) if anew.entries.iter().any(|entry| entry.version_id == version.as_str()) => Ok(page),
            Some(last) => {
                let next = Some((last.object.key.clone(), Some(last.version_id.clone())));
                Ok(VersionPage { entries: anew.entries, common_prefixes: Vec::new(), next })
            }
            None => {
                let behind = Asked { objects: asked.objects.clone(), version_id_marker: None };
                self.versions_at_home(routed, &behind).await
            }
        }
    }

    /// The version that a copy has become, where its home does not tell: the newest one, if it is the one that was answered.
    /// `None`, too, where it cannot be asked for: the copy stands.
    pub(super) async fn find_copy(
        &self,
        routed: &Routed,
        key: &ObjectKey,
        made: &CopyObjectResult,
    ) -> Option<NamedVersion> {
        if !routed.route.versioning.is_set() {
            return None;
        }
        let newest = self.newest_at_home(routed, key).await.ok()??;
        let is_made = !newest.is_delete_marker
            && newest.object.last_modified == made.last_modified
            && unquoted(&newest.object.etag) == unquoted(&made.etag);
        let own = VersionId::parse(&newest.version_id).ok().filter(|_| is_made)?;
        Some(self.new_version(routed, key, own).await)
    }

    /// The key's newest version or delete marker, as the home lists it.
    ///
    /// # Errors
    /// An outage of the home.
    pub(super) async fn newest_at_home(
        &self,
        routed: &Routed,
        key: &ObjectKey,
    ) -> Result<Option<VersionEntry>, Refusal> {
        // The key sorts before all others of which it is a prefix.
        let objects = ListParameters { prefix: key.as_str().to_owned(), max_keys: 1, ..ListParameters::default() };
        let page = self.versions_at_home(routed, &Asked { objects, version_id_marker: None }).await?;
        Ok(page.entries.into_iter().next().filter(|newest| newest.object.key == key.as_str()))
    }

    /// A page of versions as the home gives it. Where the home begins with the versions of the key that the page is to begin
    /// behind, as some servers do, it is asked again.
    async fn versions_at_home(&self, routed: &Routed, asked: &Asked) -> Result<VersionPage, Refusal> {
        let mut page = self.page_at_home(routed, asked.put_on(routed.request(Method::GET, None)?)).await?;
        if let Some(behind) = asked.behind_its_marker()
            && page.entries.first().is_some_and(|entry| Some(&entry.object.key) == asked.objects.after.as_ref())
        {
            page = self.page_at_home(routed, behind.put_on(routed.request(Method::GET, None)?)).await?;
        }
        Ok(VersionPage::of_versions(page)?)
    }

    async fn page_at_home(&self, routed: &Routed, request: UpstreamRequest) -> Result<ListVersionsResult, Refusal> {
        let answer = self.ask_home(routed, request, Bytes::new()).await?;
        Ok(ListVersionsResult::parse(&answer.body).map_err(unreadable)?)
    }
}

/// The client's document: its own bucket name, its own parameters, and of the versions only what is theirs.
fn render(bucket: &str, asked: Asked, page: VersionPage) -> ListVersionsResult {
    let Asked { objects: asked, version_id_marker } = asked;
    let entry = |entry: VersionEntry| VersionEntry {
        object: ObjectEntry { etag: quoted(&entry.object.etag), storage_class: "STANDARD".to_owned(), ..entry.object },
        ..entry
    };
    let is_truncated = page.next.is_some();
    let (next_key_marker, next_version_id_marker) = page.next.unzip();
    ListVersionsResult {
        name: bucket.to_owned(),
        prefix: asked.prefix,
        delimiter: asked.delimiter,
        key_marker: asked.after.unwrap_or_default(),
        version_id_marker: version_id_marker.map(|version| version.to_string()).unwrap_or_default(),
        is_truncated,
        next_key_marker,
        next_version_id_marker: next_version_id_marker.flatten(),
        max_keys: asked.max_keys,
        url_encoded: asked.url_encoded,
        owner: None,
        entries: page.entries.into_iter().map(entry).collect(),
        common_prefixes: page.common_prefixes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::testing::listed as object;
    use http::{HeaderMap, HeaderValue};
    use s3gateway_s3::{PhysicalBucket, S3Code};

    fn parse(query: &str, versioned: bool) -> Result<Asked, S3Code> {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("localhost"));
        let request = S3Request::parse(&Method::GET, &format!("/mine?versions{query}"), headers, &[]).expect(query);
        Asked::parse(&request, versioned).map_err(|e| e.code)
    }

    #[test]
    fn markers() {
        const REFUSED: Result<(Option<&str>, Option<&str>), S3Code> = Err(S3Code::InvalidArgument);
        for (query, versioned, want) in [
            ("", false, Ok((None, None))),
            ("&key-marker=a", false, Ok((Some("a"), None))),
            ("&key-marker=a&version-id-marker=null", false, Ok((Some("a"), Some("null")))),
            ("&key-marker=a&version-id-marker=", false, Ok((Some("a"), None))),
            // The marker of ListObjects means nothing here.
            ("&marker=b", false, Ok((None, None))),
            ("&version-id-marker=null", false, REFUSED),
            ("&version-id-marker=7", true, REFUSED),
            ("&key-marker=a&version-id-marker=7", false, REFUSED),
            ("&key-marker=a&version-id-marker=7", true, Ok((Some("a"), Some("7")))),
            ("&key-marker=a&version-id-marker=a%20b", true, REFUSED),
            ("&max-keys=-1", false, REFUSED),
        ] {
            let got = parse(query, versioned);
            let got = got.as_ref().map_err(|code| *code);
            let got = got
                .map(|asked| (asked.objects.after.as_deref(), asked.version_id_marker.as_ref().map(VersionId::as_str)));
            assert_eq!(got, want, "{query}");
        }
    }

    #[test]
    fn only_checked_parameters_go_up() {
        let physical = PhysicalBucket::parse("s3gw-0").expect("a name");
        let asked =
            parse("&prefix=a%26&key-marker=b&version-id-marker=7&x-evil=1&max-keys=5", true).expect("parameters");
        let query = asked.put_on(UpstreamRequest::new(Method::GET, &physical, None)).render_query();
        assert_eq!(query, "encoding-type=url&key-marker=b&max-keys=5&prefix=a%26&version-id-marker=7&versions=");
    }

    #[test]
    fn a_page_ends_with_a_version_or_a_group() {
        let page = |next: Option<&str>| Page {
            contents: vec![object("a")],
            common_prefixes: vec!["b/".to_owned()],
            next: next.map(str::to_owned),
            ..Page::default()
        };
        for (next, version) in [(Some("a"), Some("null")), (Some("b/"), None), (None, None)] {
            let asked = parse("&delimiter=/", false).expect("parameters");
            let result = render("mine", asked, VersionPage::of_objects(page(next)));
            assert_eq!(result.next_key_marker.as_deref(), next);
            assert_eq!((result.next_version_id_marker.as_deref(), result.is_truncated), (version, next.is_some()));
            let object = &result.entries[0].object;
            assert_eq!((object.etag.as_str(), object.storage_class.as_str()), ("\"e\"", "STANDARD"));
        }
    }

    #[test]
    fn a_homes_page_ends_with_its_greatest_name() {
        let entry = |key: &str| VersionEntry { version_id: "7".to_owned(), ..VersionEntry::only(object(key)) };
        for (keys, groups, is_truncated, want) in [
            (&["a", "c"][..], &["b/"][..], true, Some(("c", Some("7")))),
            (&["a"], &["b/"], true, Some(("b/", None))),
            (&[], &["b/"], true, Some(("b/", None))),
            (&["a"], &[], false, None),
        ] {
            let page = VersionPage::of_versions(ListVersionsResult {
                entries: keys.iter().map(|key| entry(key)).collect(),
                common_prefixes: groups.iter().map(|group| (*group).to_owned()).collect(),
                is_truncated,
                ..ListVersionsResult::default()
            });
            let next = page.expect("a page").next;
            assert_eq!(next.as_ref().map(|(name, version)| (name.as_str(), version.as_deref())), want);
        }
        let endless = ListVersionsResult { is_truncated: true, ..ListVersionsResult::default() };
        assert!(VersionPage::of_versions(endless).is_err());
    }
}
