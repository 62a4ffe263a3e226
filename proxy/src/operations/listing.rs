//! ListObjects and ListObjectsV2: asked of the home from checked parameters only, and rendered anew in the client's terms.
use super::{
    buckets::owner,
    home::{etag_of, unreadable},
    parameters::{PAGE, invalid, parse_count, parse_encoding_type, parse_text},
};
use crate::{
    admit::{Admitted, Routed},
    answer::Answer,
    gateway::Gateway,
    refusal::Refusal,
    upstream::UpstreamRequest,
};
use bytes::Bytes;
use futures::stream::{self, StreamExt, TryStreamExt};
use http::Method;
use s3gateway_s3::{
    ObjectKey, Operation, PhysicalBucket, S3Code, S3Error, S3Request,
    checksum::{Algorithm, ChecksumType},
    etag::{multipart_parts, quoted, unquoted},
    xml::{ListBucketResult, ListVersion, ObjectEntry},
};
use s3gateway_store::Route;

/// HEADs in flight for a page whose backend lists no ETags.
const CONCURRENT_HEADS: usize = 16;

/// What a client asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ListParameters {
    pub(super) version: ListVersion,
    pub(super) prefix: String,
    pub(super) delimiter: Option<String>,
    pub(super) max_keys: u32,
    pub(super) url_encoded: bool,
    /// `marker` of version 1, `start-after` of version 2.
    pub(super) after: Option<String>,
    /// Sealed, as the client carries it.
    pub(super) continuation_token: Option<String>,
    pub(super) fetch_owner: bool,
}

impl ListParameters {
    /// Parses the query of either version.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub(super) fn parse(request: &S3Request) -> Result<Self, S3Error> {
        let version = match (request.operation, request.query.get("list-type")) {
            (Operation::ListObjectsV2, _) => ListVersion::V2,
            (_, None) => ListVersion::V1,
            (_, Some(other)) => return Err(invalid("list-type", other, "Invalid list type specified")),
        };
        let owned = |name| Ok::<_, S3Error>(parse_text(request, name)?.map(str::to_owned));
        let token = request.query.get("continuation-token").filter(|_| version == ListVersion::V2);
        if token.is_some_and(str::is_empty) {
            return Err(incorrect_token());
        }
        Ok(Self {
            version,
            prefix: owned("prefix")?.unwrap_or_default(),
            delimiter: owned("delimiter")?,
            max_keys: parse_count(request, "max-keys", PAGE)?,
            url_encoded: parse_encoding_type(request)?,
            after: owned(if version == ListVersion::V1 { "marker" } else { "start-after" })?,
            continuation_token: token.map(str::to_owned),
            fetch_owner: request.query.get("fetch-owner").is_some_and(|f| f.eq_ignore_ascii_case("true")),
        })
    }

    /// Whether a key is listed by itself: it has the prefix, and no delimiter puts it into a group.
    pub(super) fn shows(&self, key: &str) -> bool {
        let delimiter = self.delimiter.as_deref();
        key.strip_prefix(&self.prefix).is_some_and(|rest| delimiter.is_none_or(|d| !rest.contains(d)))
    }
}

/// One page as the gateway got or made it; names are decoded.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) contents: Vec<ObjectEntry>,
    pub(super) common_prefixes: Vec<String>,
    /// Where the next page begins, if there is one; what it holds depends on who made the page.
    pub(super) next: Option<String>,
    pub(super) made_by: Maker,
}

/// Who made a page, and reads the token that leads on from it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Maker {
    /// The home, by tokens of its own.
    Home,
    /// The gateway, by positions that any backend's keys can be held against.
    #[default]
    Gateway,
}

impl Maker {
    /// What a token of such a page is bound to.
    fn context(self, route: &Route) -> [&str; 5] {
        let physical = route.physical_on(&route.home).map_or("", PhysicalBucket::for_upstream);
        let (home, physical) = match self {
            Self::Home => (route.home.as_str(), physical),
            Self::Gateway => ("", ""),
        };
        ["list", route.tenant.as_str(), route.bucket.as_str(), home, physical]
    }
}

pub(super) fn incorrect_token() -> S3Error {
    S3Code::InvalidArgument
        .because("The continuation token provided is incorrect")
        .with("ArgumentName", "continuation-token")
}

impl Gateway {
    pub(super) async fn list_objects(&self, admitted: &Admitted) -> Result<Answer, Refusal> {
        let (routed, asked) = (admitted.routed()?, ListParameters::parse(&admitted.request)?);
        let route = &routed.route;
        let open = |sealed: &String| {
            let opened = |maker: Maker| Some((maker, self.sealer.open(&maker.context(route), sealed)?));
            opened(Maker::Home).or_else(|| opened(Maker::Gateway)).ok_or_else(incorrect_token)
        };
        let token = asked.continuation_token.as_ref().map(open).transpose()?;
        let page = match self.list_page(routed, &asked, token.as_ref()).await {
            // The home's own tokens lead nowhere else.
            Err(Refusal::Upstream(loss)) if loss.is_outage() && !matches!(token, Some((Maker::Home, _))) => {
                let position = token.as_ref().map(|(_, text)| text.as_str());
                Box::pin(self.list_at_replica(routed, &asked, position, loss)).await?
            }
            page => page?,
        };
        let context = page.made_by.context(route);
        let result = render(admitted.bucket()?.as_str(), &asked, page, |next| self.sealer.seal(&context, next));
        let shows_owner = asked.version == ListVersion::V1 || asked.fetch_owner;
        Ok(Answer::xml(ListBucketResult { owner: shows_owner.then(|| owner(&admitted.tenant)), ..result }.render()))
    }

    /// A page of current objects, by whoever can make it exactly.
    pub(super) async fn list_page(
        &self,
        routed: &Routed,
        asked: &ListParameters,
        token: Option<&(Maker, String)>,
    ) -> Result<Page, Refusal> {
        let text = token.map(|(_, text)| text.as_str());
        let maker = match (routed.home.capabilities().exact_listing, token) {
            (true, None) => Maker::Home,
            (_, Some((maker, _))) => *maker,
            (false, None) => Maker::Gateway,
        };
        let page = match (asked.max_keys, maker) {
            (0, _) => Page::default(),
            (_, Maker::Home) => self.list_at_home(routed, asked, text).await?,
            (_, Maker::Gateway) => self.list_lent(&routed.route, &routed.home, asked, text).await?,
        };
        self.fill_etags(routed, page).await
    }

    async fn list_at_home(
        &self,
        routed: &Routed,
        asked: &ListParameters,
        token: Option<&str>,
    ) -> Result<Page, Refusal> {
        let request = ask(routed.request(Method::GET, None)?, asked, token);
        let answer = self.ask_home(routed, request, Bytes::new()).await?;
        let got = ListBucketResult::parse(asked.version, &answer.body).map_err(unreadable)?;
        let next = match asked.version {
            // Not the backend's NextMarker: servers differ in whether they encode it, and leave it out without a delimiter.
            ListVersion::V1 => last_name(&got.contents, &got.common_prefixes),
            ListVersion::V2 => got.next_continuation_token.clone(),
        };
        if got.is_truncated && next.is_none() {
            return Err(crate::upstream::UpstreamError::Malformed("a truncated listing without a next page").into());
        }
        Ok(Page {
            contents: got.contents,
            common_prefixes: got.common_prefixes,
            next: next.filter(|_| got.is_truncated),
            made_by: Maker::Home,
        })
    }

    /// Asks for the ETags that a backend leaves out of its listings. An object that is gone by now is left out.
    async fn fill_etags(&self, routed: &Routed, page: Page) -> Result<Page, Refusal> {
        if page.contents.iter().all(|object| !unquoted(&object.etag).is_empty()) {
            return Ok(page);
        }
        let mut fills = Vec::with_capacity(page.contents.len());
        for object in page.contents {
            fills.push(self.fill_etag(routed, object));
        }
        let filled: Vec<Option<ObjectEntry>> = stream::iter(fills).buffered(CONCURRENT_HEADS).try_collect().await?;
        let contents = filled.into_iter().flatten().collect();
        Ok(Page { contents, ..page })
    }

    async fn fill_etag(&self, routed: &Routed, object: ObjectEntry) -> Result<Option<ObjectEntry>, Refusal> {
        let Ok(key) = ObjectKey::parse(&object.key) else { return Ok(Some(object)) };
        if !unquoted(&object.etag).is_empty() {
            return Ok(Some(object));
        }
        match self.head_at_home(routed, &key, None).await {
            Ok(head) => Ok(Some(ObjectEntry { etag: etag_of(&head).to_owned(), ..object })),
            Err(refusal) if refusal.to_s3().code == S3Code::NoSuchKey => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }
}

/// The upstream query. URL encoding is always asked for, so that every key survives.
fn ask(request: UpstreamRequest, asked: &ListParameters, token: Option<&str>) -> UpstreamRequest {
    let max_keys = asked.max_keys.to_string();
    let after = match asked.version {
        ListVersion::V1 => ("marker", asked.after.as_deref()),
        ListVersion::V2 => ("start-after", asked.after.as_deref().filter(|_| token.is_none())),
    };
    let parameters = [
        ("list-type", Some("2").filter(|_| asked.version == ListVersion::V2)),
        ("prefix", Some(asked.prefix.as_str()).filter(|p| !p.is_empty())),
        ("delimiter", asked.delimiter.as_deref()),
        ("max-keys", Some(max_keys.as_str())),
        ("encoding-type", Some("url")),
        after,
        ("continuation-token", token),
    ];
    parameters.into_iter().fold(request, |request, (name, value)| match value {
        Some(value) => request.query(name, value),
        None => request,
    })
}

/// The greatest name on a page, after which the next one begins.
fn last_name(contents: &[ObjectEntry], common_prefixes: &[String]) -> Option<String> {
    let object = contents.last().map(|object| object.key.as_str());
    object.max(common_prefixes.last().map(String::as_str)).map(str::to_owned)
}

/// Algorithm and type of the checksum that the home keeps of an object; of one that was made of parts it has never heard
/// what the client asked for.
fn shown_checksum(object: &ObjectEntry) -> (Vec<String>, Option<String>) {
    let known = |name: &&String| Algorithm::from_name(name).is_some();
    let algorithms: Vec<String> = object.checksum_algorithms.iter().filter(known).cloned().collect();
    if algorithms.is_empty() || multipart_parts(unquoted(&object.etag)).is_some() {
        return (Vec::new(), None);
    }
    let kind = object.checksum_type.as_deref().and_then(ChecksumType::from_name);
    (algorithms, kind.map(|kind| kind.name().to_owned()))
}

/// The client's document: its own bucket name, its own parameters, and of the objects only what is theirs.
fn render(bucket: &str, asked: &ListParameters, page: Page, seal: impl FnOnce(&str) -> String) -> ListBucketResult {
    let is_v1 = asked.version == ListVersion::V1;
    let contents: Vec<ObjectEntry> = page
        .contents
        .into_iter()
        .map(|object| {
            let (checksum_algorithms, checksum_type) = shown_checksum(&object);
            let storage_class = "STANDARD".to_owned();
            ObjectEntry { etag: quoted(&object.etag), checksum_algorithms, checksum_type, storage_class, ..object }
        })
        .collect();
    ListBucketResult {
        version: asked.version,
        name: bucket.to_owned(),
        prefix: asked.prefix.clone(),
        delimiter: asked.delimiter.clone(),
        max_keys: asked.max_keys,
        url_encoded: asked.url_encoded,
        is_truncated: page.next.is_some(),
        marker: asked.after.clone().filter(|_| is_v1),
        // S3 gives it only with a delimiter: else the last key says the same.
        next_marker: page.next.clone().filter(|_| is_v1 && asked.delimiter.is_some()),
        key_count: None,
        continuation_token: asked.continuation_token.clone(),
        next_continuation_token: page.next.as_deref().filter(|_| !is_v1).map(seal),
        start_after: asked.after.clone().filter(|_| !is_v1),
        owner: None,
        contents,
        common_prefixes: page.common_prefixes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::testing::listed;
    use http::{HeaderMap, HeaderValue};
    use s3gateway_s3::PhysicalBucket;

    fn parse(target: &str) -> Result<ListParameters, S3Code> {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("localhost"));
        let request = S3Request::parse(&Method::GET, target, headers.clone(), &[]).map_err(|e| e.code)?;
        ListParameters::parse(&request).map_err(|e| e.code)
    }

    #[test]
    fn tr_12_parameters() {
        for (query, ok) in [
            ("", true),
            ("?max-keys=0", true),
            ("?max-keys=1000000000", true),
            ("?max-keys=-1", false),
            ("?max-keys=abc", false),
            ("?delimiter=", true),
            ("?encoding-type=foo", false),
            ("?encoding-type=url", true),
            ("?list-type=3", false),
            ("?list-type=2&continuation-token=", false),
            ("?list-type=2&start-after=%ff", false),
        ] {
            assert_eq!(
                parse(&format!("/mine{query}")).map_or_else(|c| c != S3Code::InvalidArgument, |_| true),
                ok,
                "{query}"
            );
        }
        let asked =
            parse("/mine?list-type=2&delimiter=&max-keys=5000&start-after=a&fetch-owner=true").expect("parameters");
        assert_eq!(
            (asked.delimiter, asked.max_keys, asked.after.as_deref(), asked.fetch_owner),
            (None, 1000, Some("a"), true)
        );
        // A continuation token means nothing to version 1.
        assert_eq!(
            parse("/mine?continuation-token=x&marker=m").map(|a| (a.continuation_token, a.after)),
            Ok((None, Some("m".to_owned())))
        );
    }

    #[test]
    fn a_key_shows_by_itself_or_in_a_group() {
        for (query, key, want) in [
            ("", "a/b", true),
            ("?delimiter=/", "a/b", false),
            ("?delimiter=/&prefix=a/", "a/b", true),
            ("?delimiter=/&prefix=a/", "a/b/c", false),
            ("?prefix=b", "a", false),
        ] {
            assert_eq!(parse(&format!("/mine{query}")).map(|asked| asked.shows(key)), Ok(want), "{query} {key}");
        }
    }

    fn upstream(target: &str, token: Option<&str>) -> String {
        let physical = PhysicalBucket::parse("s3gw-0").expect("a name");
        ask(UpstreamRequest::new(Method::GET, &physical, None), &parse(target).expect(target), token).render_query()
    }

    #[test]
    fn only_checked_parameters_go_up() {
        let v2 = upstream("/mine?list-type=2&prefix=a%26b&start-after=c&fetch-owner=true&x-evil=1&max-keys=7", None);
        assert_eq!(v2, "encoding-type=url&list-type=2&max-keys=7&prefix=a%26b&start-after=c");
        let next = upstream("/mine?list-type=2&start-after=c&continuation-token=sealed", Some("plain"));
        assert_eq!(next, "continuation-token=plain&encoding-type=url&list-type=2&max-keys=1000");
        let v1 = upstream("/mine?marker=m&delimiter=%2F", None);
        assert_eq!(v1, "delimiter=%2F&encoding-type=url&marker=m&max-keys=1000");
    }

    #[test]
    fn checksums_are_the_homes_own_or_none() {
        for (etag, algorithm, kind, want) in [
            ("abc", "CRC32", Some("FULL_OBJECT"), (vec!["CRC32"], Some("FULL_OBJECT"))),
            ("abc", "CRC32", Some("evil"), (vec!["CRC32"], None)),
            ("abc", "evil", Some("FULL_OBJECT"), (vec![], None)),
            ("\"0123456789abcdef0123456789abcdef-2\"", "CRC64NVME", Some("FULL_OBJECT"), (vec![], None)),
        ] {
            let object = ObjectEntry {
                etag: etag.to_owned(),
                checksum_algorithms: vec![algorithm.to_owned()],
                checksum_type: kind.map(str::to_owned),
                ..listed("a")
            };
            let (algorithms, shown) = shown_checksum(&object);
            let algorithms: Vec<&str> = algorithms.iter().map(String::as_str).collect();
            assert_eq!((algorithms, shown.as_deref()), want, "{etag} {algorithm} {kind:?}");
        }
    }

    #[test]
    fn the_answer_is_in_the_clients_terms() {
        let object = |key: &str| ObjectEntry {
            etag: "abc".to_owned(),
            checksum_algorithms: vec!["CRC32".to_owned()],
            ..listed(key)
        };
        let page = || Page {
            contents: vec![object("a"), object("c")],
            common_prefixes: vec!["b/".to_owned()],
            next: Some("c".to_owned()),
            made_by: Maker::Home,
        };
        let seal = |next: &str| format!("sealed {next}");
        let v1 = render("mine", &parse("/mine?delimiter=%2F&marker=0").expect("v1"), page(), seal);
        assert_eq!(
            (v1.name.as_str(), v1.marker.as_deref(), v1.next_marker.as_deref(), v1.is_truncated),
            ("mine", Some("0"), Some("c"), true)
        );
        assert_eq!(v1.next_continuation_token, None);
        assert_eq!((v1.contents[0].etag.as_str(), v1.contents[0].storage_class.as_str()), ("\"abc\"", "STANDARD"));
        let v1 = render("mine", &parse("/mine").expect("v1"), page(), seal);
        assert_eq!(v1.next_marker, None, "without delimiter");
        let v2 = render("mine", &parse("/mine?list-type=2&start-after=0").expect("v2"), page(), seal);
        assert_eq!((v2.next_continuation_token.as_deref(), v2.start_after.as_deref()), (Some("sealed c"), Some("0")));
        assert_eq!(last_name(&page().contents, &page().common_prefixes).as_deref(), Some("c"));
    }
}
