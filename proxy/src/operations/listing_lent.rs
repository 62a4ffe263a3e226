//! Exact listings from a backend whose own paging is not, or from a replica: it is asked for flat pages after a key of the
//! gateway's choice, and grouping, order and page ends are made here.
//! Source: Amazon S3 API Reference, "ListObjectsV2"; a common prefix counts as one entry of the page.
use super::{
    home::{explain, physical_on, unreadable},
    listing::{ListParameters, Page, incorrect_token},
};
use crate::{
    gateway::Gateway,
    refusal::Refusal,
    upstream::{UpstreamBackend, UpstreamRequest},
};
use bytes::Bytes;
use http::Method;
use s3gateway_s3::{
    S3Error,
    xml::{ListBucketResult, ListVersion, ObjectEntry},
};
use s3gateway_store::Route;
use std::time::{Duration, Instant};

/// Keys asked for at once.
const BATCH: &str = "1000";
/// A page that took so long to fill ends early, which S3 allows: with many groups each takes a request of its own.
const FILLING: Duration = Duration::from_secs(20);

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Position {
    /// With the bucket's first key.
    Start,
    /// After this key.
    Key(String),
    /// After every key that begins with this.
    Group(String),
}

impl Position {
    /// From the client's parameters, or from the token that the page before gave.
    fn parse(asked: &ListParameters, token: Option<&str>) -> Result<Self, S3Error> {
        if let Some(token) = token {
            let (kind, name) = token.split_at_checked(1).ok_or_else(incorrect_token)?;
            return match kind {
                "k" => Ok(Self::Key(name.to_owned())),
                "g" => Ok(Self::Group(name.to_owned())),
                _ => Err(incorrect_token()),
            };
        }
        let Some(after) = &asked.after else { return Ok(Self::Start) };
        // A group that begins before the key to start after is not listed again (Amazon S3 API Reference, ListObjectsV2,
        // `CommonPrefixes`), so version 1 may go on after a group by naming it as marker.
        Ok(match group_of(asked, after) {
            Some(group) => Self::Group(group.to_owned()),
            None => Self::Key(after.clone()),
        })
    }

    /// What the next page is told: a marker in version 1, else the text of a token.
    fn render(&self, version: ListVersion) -> Option<String> {
        match (self, version) {
            (Self::Start, _) => None,
            (Self::Key(name) | Self::Group(name), ListVersion::V1) => Some(name.clone()),
            (Self::Key(name), ListVersion::V2) => Some(format!("k{name}")),
            (Self::Group(name), ListVersion::V2) => Some(format!("g{name}")),
        }
    }

    /// The greatest text that no wanted key is less than or equal to.
    fn start_after(&self) -> Option<String> {
        match self {
            Self::Start => None,
            Self::Key(key) => Some(key.clone()),
            // The last character of all sorts behind whatever else follows the prefix.
            Self::Group(prefix) => Some(format!("{prefix}{}", char::MAX)),
        }
    }

    fn is_before(&self, key: &str) -> bool {
        match self {
            Self::Start => true,
            Self::Key(after) => key > after.as_str(),
            Self::Group(prefix) => key > prefix.as_str() && !key.starts_with(prefix.as_str()),
        }
    }
}

/// The common prefix that a key falls under, if any.
pub(super) fn group_of<'k>(asked: &ListParameters, key: &'k str) -> Option<&'k str> {
    let delimiter = asked.delimiter.as_deref()?;
    let rest = key.strip_prefix(asked.prefix.as_str())?;
    let at = rest.find(delimiter)?;
    key.get(..asked.prefix.len() + at + delimiter.len())
}

/// A page being filled from keys in order.
struct Filling<'a> {
    asked: &'a ListParameters,
    page: Page,
    position: Position,
    is_full: bool,
}

impl<'a> Filling<'a> {
    fn new(asked: &'a ListParameters, position: Position) -> Self {
        Self { asked, page: Page::default(), position, is_full: false }
    }

    fn entries(&self) -> usize {
        self.page.contents.len() + self.page.common_prefixes.len()
    }

    /// Ends the page before the listing does.
    fn end_early(&mut self) {
        self.is_full = true;
        self.page.next = self.position.render(self.asked.version);
    }

    /// Takes one object; the first that finds the page full only shows that there is another page.
    fn take(&mut self, object: ObjectEntry) {
        if self.is_full || !object.key.starts_with(&self.asked.prefix) || !self.position.is_before(&object.key) {
            return;
        }
        if self.entries() >= usize::try_from(self.asked.max_keys).unwrap_or(usize::MAX) {
            self.end_early();
            return;
        }
        match group_of(self.asked, &object.key).map(str::to_owned) {
            Some(group) => {
                self.page.common_prefixes.push(group.clone());
                self.position = Position::Group(group);
            }
            None => {
                self.position = Position::Key(object.key.clone());
                self.page.contents.push(object);
            }
        }
    }
}

impl Gateway {
    /// A page of the bucket as `backend` holds it: its home, or a replica that is proven to hold the same.
    pub(super) async fn list_lent(
        &self,
        route: &Route,
        backend: &UpstreamBackend,
        asked: &ListParameters,
        position: Option<&str>,
    ) -> Result<Page, Refusal> {
        let mut filling = Filling::new(asked, Position::parse(asked, position)?);
        // Where the backend is asked next; differs from the page's position where keys were passed over.
        let mut start_after = filling.position.start_after();
        let began = Instant::now();
        loop {
            let (prefix, after) = (&asked.prefix, start_after.as_deref());
            let mut batch = self.flat_batch(route, backend, prefix, after).await?;
            let is_last = !batch.is_truncated;
            let last = batch.contents.last().map(|object| object.key.clone());
            if *backend.id() != route.home {
                batch = self.prove_batch(route, backend, prefix, after, batch).await?;
            }
            let mut contents = batch.contents;
            contents.sort_unstable_by(|a, b| a.key.cmp(&b.key));
            contents.into_iter().for_each(|object| filling.take(object));
            let next = last.max(filling.position.start_after());
            if filling.is_full || is_last || next <= start_after {
                return Ok(filling.page);
            }
            if began.elapsed() > FILLING && filling.entries() > 0 {
                filling.end_early();
                return Ok(filling.page);
            }
            start_after = next;
        }
    }

    /// Keys without grouping and without URL encoding, which such a backend may announce and not do.
    pub(super) async fn flat_batch(
        &self,
        route: &Route,
        backend: &UpstreamBackend,
        prefix: &str,
        start_after: Option<&str>,
    ) -> Result<ListBucketResult, Refusal> {
        let request = UpstreamRequest::new(Method::GET, physical_on(route, backend)?, None);
        let mut request = request.query("list-type", "2").query("max-keys", BATCH);
        if !prefix.is_empty() {
            request = request.query("prefix", prefix);
        }
        if let Some(start_after) = start_after {
            request = request.query("start-after", start_after);
        }
        let answer = self.client.send(backend, request, Bytes::new()).await.map_err(explain)?;
        Ok(ListBucketResult::parse(ListVersion::V2, &answer.body).map_err(unreadable)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::testing::listed as object;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn asked(
        version: ListVersion,
        prefix: &str,
        delimiter: Option<&str>,
        max_keys: u32,
        after: Option<&str>,
    ) -> ListParameters {
        ListParameters {
            version,
            prefix: prefix.to_owned(),
            delimiter: delimiter.map(str::to_owned),
            max_keys,
            after: after.map(str::to_owned),
            ..ListParameters::default()
        }
    }

    fn page(keys: &BTreeSet<String>, asked: &ListParameters, token: Option<&str>) -> Page {
        let mut filling = Filling::new(asked, Position::parse(asked, token).expect("a position"));
        let start_after = filling.position.start_after();
        let later = keys.iter().filter(|key| start_after.as_ref().is_none_or(|after| *key > after));
        later.for_each(|key| filling.take(object(key)));
        filling.page
    }

    /// Entries of all pages in order.
    fn walk(keys: &BTreeSet<String>, first: &ListParameters) -> Vec<String> {
        let mut entries = Vec::new();
        let (mut asked, mut token) = (first.clone(), None);
        loop {
            let page = page(keys, &asked, token.as_deref());
            let mut names: Vec<String> =
                page.contents.iter().map(|o| o.key.clone()).chain(page.common_prefixes).collect();
            assert!(names.len() <= usize::try_from(asked.max_keys).expect("a size"));
            names.sort_unstable();
            entries.append(&mut names);
            match (page.next, asked.version) {
                (None, _) => return entries,
                (next, ListVersion::V1) => asked.after = next,
                (next, ListVersion::V2) => token = next,
            }
        }
    }

    /// What S3 lists, said plainly.
    fn expected(keys: &BTreeSet<String>, prefix: &str, delimiter: Option<&str>) -> Vec<String> {
        let entry = |key: &String| {
            let rest = key.strip_prefix(prefix)?;
            Some(match delimiter.and_then(|d| rest.split_once(d).map(|(head, _)| format!("{prefix}{head}{d}"))) {
                Some(group) => group,
                None => key.clone(),
            })
        };
        keys.iter().filter_map(entry).collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn keys(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    #[test]
    fn no_group_is_listed_that_begins_before_where_to_start() {
        let keys = keys(&["a", "b/1", "b/2", "c"]);
        for version in [ListVersion::V1, ListVersion::V2] {
            let listed = |after, delimiter| walk(&keys, &asked(version, "", delimiter, 10, Some(after)));
            for (after, want) in [
                ("a", vec!["b/", "c"]),
                ("b", vec!["b/", "c"]),
                ("b/", vec!["c"]),
                ("b/1", vec!["c"]),
                ("b/2", vec!["c"]),
                ("b0", vec!["c"]),
            ] {
                assert_eq!(listed(after, Some("/")), want, "{version:?} {after}");
            }
            assert_eq!(listed("b/", None), ["b/1", "b/2", "c"], "{version:?}");
        }
    }

    #[test]
    fn the_page_that_ends_exactly_is_the_last() {
        let keys = keys(&["a", "b/1", "b/2"]);
        let page = page(&keys, &asked(ListVersion::V2, "", Some("/"), 2, None), None);
        assert_eq!((page.contents.len(), page.common_prefixes.len(), page.next), (1, 1, None));
    }

    #[test]
    fn a_page_that_ends_early_goes_on_where_it_ended() {
        let (keys, whole) = (keys(&["a", "b/1", "b/2", "c"]), asked(ListVersion::V2, "", Some("/"), 10, None));
        let mut filling = Filling::new(&whole, Position::Start);
        ["a", "b/1"].iter().for_each(|key| filling.take(object(key)));
        filling.end_early();
        filling.take(object("c"));
        assert_eq!((filling.page.contents.len(), filling.page.common_prefixes.len()), (1, 1));
        let rest = page(&keys, &whole, filling.page.next.as_deref());
        assert_eq!(rest.contents.iter().map(|o| o.key.as_str()).collect::<Vec<_>>(), ["c"]);
        assert_eq!(rest.common_prefixes.len(), 0);
    }

    #[test]
    fn tokens_of_another_kind_are_refused() {
        let asked = asked(ListVersion::V2, "", None, 2, None);
        for token in ["", "x", "ö", "z1"] {
            assert!(Position::parse(&asked, Some(token)).is_err(), "{token}");
        }
    }

    proptest! {
        #[test]
        fn what_is_listed_comes_after_where_to_start(
            names in proptest::collection::btree_set("[ab/\u{10ffff}]{1,4}", 0..20),
            prefix in "[ab/]{0,2}",
            delimiter in proptest::option::of("[b/]{1,2}"),
            after in "[ab/\u{10ffff}]{1,4}",
            max_keys in 1u32..5,
            v1 in any::<bool>(),
        ) {
            let version = if v1 { ListVersion::V1 } else { ListVersion::V2 };
            let got = walk(&names, &asked(version, &prefix, delimiter.as_deref(), max_keys, Some(&after)));
            let mut want = expected(&names, &prefix, delimiter.as_deref());
            want.retain(|entry| *entry > after);
            prop_assert_eq!(got, want);
        }
        #[test]
        fn any_page_size_lists_everything_once(
            names in proptest::collection::btree_set("[ab/ä\u{10ffff}]{1,5}", 0..40),
            prefix in "[ab/]{0,2}",
            delimiter in proptest::option::of("[b/]{1,2}"),
            max_keys in 1u32..9,
            v1 in any::<bool>(),
        ) {
            let version = if v1 { ListVersion::V1 } else { ListVersion::V2 };
            let got = walk(&names, &asked(version, &prefix, delimiter.as_deref(), max_keys, None));
            prop_assert_eq!(got, expected(&names, &prefix, delimiter.as_deref()));
        }
    }
}
