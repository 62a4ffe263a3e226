//! What a listing shows of the keys in order: prefix, delimiter, marker and limit, as a pure function of keys.
//! Source: Amazon S3 API Reference, ListObjectsV2; User Guide, "Organizing objects using prefixes".

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Only keys that begin with it.
    pub prefix: Vec<u8>,
    /// Keys that hold it behind the prefix are grouped; empty for none.
    pub delimiter: Vec<u8>,
    /// No group up to this one; keys up to it are the caller's to leave out.
    pub after: Vec<u8>,
    /// How many keys and groups fit on the page.
    pub limit: usize,
}

/// What becomes of a key that was offered.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is listed.
    Key,
    /// Its group is listed, in which this is the first key.
    Group(Vec<u8>),
    /// It is in a group that was listed before: nothing until `.0` can be shown.
    Skip(Vec<u8>),
    /// The page was full before it, so the listing is truncated.
    Full,
}

/// A page that fills while keys are offered in their order.
pub struct Page {
    query: Query,
    count: usize,
    group: Option<Vec<u8>>,
}

impl Page {
    /// Begins empty.
    pub fn new(query: Query) -> Self {
        Self { query, count: 0, group: None }
    }

    /// Judges the next key. Keys without the prefix must not be offered.
    pub fn offer(&mut self, key: &[u8]) -> Verdict {
        let group = group_of(key, &self.query);
        if let Some(group) = group
            && (self.group.as_deref() == Some(group) || group <= self.query.after.as_slice())
        {
            return Verdict::Skip(successor(group));
        }
        if self.count == self.query.limit {
            return Verdict::Full;
        }
        self.count += 1;
        match group {
            Some(group) => {
                self.group = Some(group.to_vec());
                Verdict::Group(group.to_vec())
            }
            None => Verdict::Key,
        }
    }
}

fn group_of<'k>(key: &'k [u8], query: &Query) -> Option<&'k [u8]> {
    let (from, delimiter) = (query.prefix.len(), query.delimiter.as_slice());
    if delimiter.is_empty() {
        return None;
    }
    let at = key.get(from..)?.windows(delimiter.len()).position(|window| window == delimiter)?;
    key.get(..from + at + delimiter.len())
}

/// The least key behind all that begin with `prefix`; keys are UTF-8, which has no byte 0xFF.
pub fn successor(prefix: &[u8]) -> Vec<u8> {
    let mut next = prefix.to_vec();
    if let Some(last) = next.last_mut() {
        *last = last.saturating_add(1);
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// One page, as a caller makes it: keys, groups, and where the next page begins.
    fn page(keys: &BTreeSet<String>, query: &Query) -> (Vec<String>, Vec<String>, Option<Vec<u8>>) {
        let (mut page, mut listed, mut groups, mut last) = (Page::new(query.clone()), vec![], vec![], vec![]);
        let mut from = Vec::new();
        for key in keys.iter().map(String::as_bytes) {
            if key <= query.after.as_slice() || !key.starts_with(&query.prefix) || key < from.as_slice() {
                continue;
            }
            match page.offer(key) {
                Verdict::Key => {
                    listed.push(String::from_utf8_lossy(key).into_owned());
                    last = key.to_vec();
                }
                Verdict::Group(group) => {
                    groups.push(String::from_utf8_lossy(&group).into_owned());
                    last = group;
                }
                Verdict::Skip(until) => from = until,
                Verdict::Full => return (listed, groups, Some(last)),
            }
        }
        (listed, groups, None)
    }

    fn query(prefix: &str, delimiter: &str, after: &str, limit: usize) -> Query {
        Query { prefix: prefix.into(), delimiter: delimiter.into(), after: after.into(), limit }
    }

    #[test]
    fn pages_are_as_s3_documents_them() {
        let keys = ["a", "b/1", "b/2", "b/c/3", "d", "e/4"].map(str::to_owned).into();
        for (asked, want_keys, want_groups, more) in [
            (query("", "", "", 9), vec!["a", "b/1", "b/2", "b/c/3", "d", "e/4"], vec![], None),
            (query("", "/", "", 9), vec!["a", "d"], vec!["b/", "e/"], None),
            (query("b/", "/", "", 9), vec!["b/1", "b/2"], vec!["b/c/"], None),
            (query("b", "/", "", 9), vec![], vec!["b/"], None),
            (query("", "/", "", 2), vec!["a"], vec!["b/"], Some("b/")),
            (query("", "/", "b/", 2), vec!["d"], vec!["e/"], None),
            (query("", "/", "b/1", 9), vec!["d"], vec!["e/"], None),
            (query("", "", "b/1", 2), vec!["b/2", "b/c/3"], vec![], Some("b/c/3")),
            (query("", "/c/", "", 9), vec!["a", "b/1", "b/2", "d", "e/4"], vec!["b/c/"], None),
        ] {
            let found = page(&keys, &asked);
            let want = (want_keys, want_groups, more.map(|more: &str| more.as_bytes().to_vec()));
            assert_eq!(
                (found.0.iter().map(String::as_str).collect(), found.1.iter().map(String::as_str).collect(), found.2),
                want,
                "{asked:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn all_pages_together_are_the_one_page(
            keys in proptest::collection::btree_set("[ab/]{1,5}", 0..30),
            prefix in "[ab/]{0,2}",
            delimiter in "(/|a/|)",
            limit in 1usize..5,
        ) {
            let whole = page(&keys, &query(&prefix, &delimiter, "", usize::MAX));
            let (mut listed, mut groups, mut after) = (vec![], vec![], Vec::new());
            loop {
                let next = page(&keys, &Query { after: after.clone(), ..query(&prefix, &delimiter, "", limit) });
                prop_assert!(next.0.len() + next.1.len() <= limit);
                listed.extend(next.0);
                groups.extend(next.1);
                match next.2 {
                    Some(last) => after = last,
                    None => break,
                }
            }
            prop_assert_eq!((listed, groups), (whole.0, whole.1));
        }
    }
}
