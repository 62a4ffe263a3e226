//! ListObjectVersions of a bucket that has had another home: asked in the home's own ids, shown in those that clients know.
use super::versions::{Asked, VersionPage};
use crate::{admit::Routed, gateway::Gateway, refusal::Refusal};
use s3gateway_s3::{ObjectKey, xml::VersionEntry};
use s3gateway_store::{Route, StoreError, VersionCopy};
use std::{borrow::Cow, collections::HashMap};

/// Rows read at once.
const BATCH: u32 = 2000;

impl Gateway {
    /// What is asked for, with the home's own id of the version after which the page begins.
    ///
    /// # Errors
    /// A store error.
    pub(super) async fn ask_in_own_ids<'a>(
        &self,
        routed: &Routed,
        asked: &'a Asked,
    ) -> Result<Cow<'a, Asked>, Refusal> {
        let (Some(marker), Some(after)) = (&asked.version_id_marker, &asked.objects.after) else {
            return Ok(Cow::Borrowed(asked));
        };
        let Some(key) = ObjectKey::parse(after).ok().filter(|_| routed.route.has_moved_versions) else {
            return Ok(Cow::Borrowed(asked));
        };
        // A place in the list, whether that version may be told of now or not; one that is gone may stand before others all the same.
        let own = self.metadata.own_version(&routed.route.bucket, &key, &routed.route.home, marker).await?;
        let version_id_marker = own.or_else(|| Some(marker.clone()));
        Ok(Cow::Owned(Asked { objects: asked.objects.clone(), version_id_marker }))
    }

    /// A home's page in the ids that clients know.
    ///
    /// # Errors
    /// A store error: with the home's own ids, a version would have another one on each page that is asked for again.
    pub(super) async fn show_page(&self, routed: &Routed, mut page: VersionPage) -> Result<VersionPage, Refusal> {
        if !routed.route.has_moved_versions {
            return Ok(page);
        }
        for run in runs(&mut page.entries, &page.common_prefixes) {
            let rows = self.rows_of(&routed.route, run, BATCH).await?;
            show(run, &rows);
        }
        page.entries.retain(|entry| !entry.version_id.is_empty());
        if let (Some((_, Some(next))), Some(last)) = (&mut page.next, page.entries.last()) {
            next.clone_from(&last.version_id);
        }
        Ok(page)
    }

    /// What is noted of the home's versions of the keys from the first to the last; `batch` is read at once. Of the last key, which may have many
    /// more than are on the page, no more than a batch beyond these.
    async fn rows_of(
        &self,
        route: &Route,
        run: &[VersionEntry],
        batch: u32,
    ) -> Result<Vec<(ObjectKey, VersionCopy)>, StoreError> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(Vec::new()) };
        let last = last.object.key.as_str();
        let on_page = run.iter().rev().take_while(|entry| entry.object.key == last).count();
        let mut rows: Vec<(ObjectKey, VersionCopy)> = Vec::new();
        loop {
            let from = match rows.last() {
                Some((key, copy)) => (key.as_str().as_bytes(), copy.position),
                None => (first.object.key.as_bytes(), i64::MAX),
            };
            let more =
                self.metadata.version_copies_between(&route.bucket, &route.home, from, last.as_bytes(), batch).await?;
            let is_last = more.len() < batch as usize;
            rows.extend(more);
            let of_last = rows.iter().rev().take_while(|(key, _)| key.as_str() == last).count();
            // The first key's may begin anywhere.
            let is_enough = last != first.object.key && of_last > on_page + batch as usize;
            if is_last || is_enough {
                return Ok(rows);
            }
        }
    }
}

/// The entries between which no group lies: what a group holds is not on the page, and may be without end.
fn runs<'e>(entries: &'e mut [VersionEntry], groups: &[String]) -> impl Iterator<Item = &'e mut [VersionEntry]> {
    let groups_before = |entry: &VersionEntry| groups.partition_point(|group| *group < entry.object.key);
    entries.chunk_by_mut(move |one, next| groups_before(one) == groups_before(next))
}

/// Puts the ids that clients know in the place of the home's own; none where another `null` version has taken its place, and it is about to go.
fn show(entries: &mut [VersionEntry], rows: &[(ObjectKey, VersionCopy)]) {
    let shown = rows.iter().map(|(key, copy)| {
        let shown = if copy.is_replaced() { "" } else { copy.home_version.as_str() };
        ((key.as_str(), copy.version.as_str()), shown)
    });
    let shown: HashMap<_, _> = shown.collect();
    for entry in entries {
        if let Some(shown) = shown.get(&(entry.object.key.as_str(), entry.version_id.as_str())) {
            entry.version_id = (*shown).to_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::{
        listing::ListParameters,
        testing::{Versioned, listed, version_row as row},
    };
    use s3gateway_s3::VersionId;

    fn entry(key: &str, version: &str) -> VersionEntry {
        VersionEntry { version_id: version.to_owned(), ..VersionEntry::only(listed(key)) }
    }

    #[test]
    fn each_version_is_shown_as_clients_know_it() {
        let rows = [row("a", "null", "b2", 1), row("a", "a3", "null", 2), row("b", "a4", "b1", 1)];
        for (key, own, want) in [
            ("a", "b2", "null"),
            ("a", "null", "a3"),
            ("b", "b1", "a4"),
            // Another key's id, and one that is the same everywhere.
            ("b", "b2", "b2"),
            ("c", "b9", "b9"),
            // What clients know a version by is not its own id.
            ("b", "a4", "a4"),
        ] {
            let mut entries = [VersionEntry { is_latest: true, ..entry(key, own) }];
            show(&mut entries, &rows);
            assert_eq!(entries, [VersionEntry { is_latest: true, ..entry(key, want) }], "{key} {own}");
        }
        let (key, null) = row("a", "null", "b2", 1);
        let replaced = VersionCopy { verified_how: VersionCopy::REPLACED.to_owned(), ..null };
        let mut entries = [entry("a", "null"), entry("a", "b2")];
        show(&mut entries, &[(key, replaced)]);
        assert_eq!(entries, [entry("a", "null"), entry("a", "")]);
    }

    #[test]
    fn a_run_ends_where_a_group_lies() {
        for (keys, groups, want) in [
            (&["a", "a", "c", "e"][..], &[][..], &[4][..]),
            (&["a", "a", "c", "e"], &["b/"], &[2, 2]),
            (&["a", "c", "e"], &["b/", "d/", "f/"], &[1, 1, 1]),
            (&["c", "e"], &["a/", "b/"], &[2]),
            (&[], &["a/"], &[]),
        ] {
            let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
            let mut entries: Vec<_> = keys.iter().map(|key| entry(key, "1")).collect();
            let lengths: Vec<_> = runs(&mut entries, &groups).map(|run| run.len()).collect();
            assert_eq!(lengths, want, "{keys:?} {groups:?}");
        }
    }

    #[tokio::test]
    async fn a_page_is_asked_for_in_own_ids_and_shown_in_those_of_clients() {
        let bucket = Versioned::start().await;
        let gateway = &bucket.gateway;
        for (key, shown, own, position) in [
            ("a", "a1", "b1", 1),
            ("a", "a2", "b2", 2),
            ("a", "a3", "b3", 3),
            ("b/1", "a4", "b4", 1),
            ("c", "a5", "b5", 1),
        ] {
            bucket.note(key, shown, own, position).await;
        }
        let marker = |id: &str| Some(VersionId::parse(id).expect(id));
        let objects = ListParameters { after: Some("a".to_owned()), ..ListParameters::default() };
        let asked = Asked { objects, version_id_marker: marker("a2") };
        let in_own = gateway.ask_in_own_ids(&bucket.moved, &asked).await.unwrap();
        assert_eq!(in_own.into_owned(), Asked { version_id_marker: marker("b2"), ..asked.clone() });
        assert_eq!(*gateway.ask_in_own_ids(&bucket.routed, &asked).await.unwrap(), asked, "nothing is asked");

        let page = || VersionPage {
            entries: vec![entry("a", "b1"), entry("c", "b9"), entry("c", "b5")],
            common_prefixes: vec!["b/".to_owned()],
            next: Some(("c".to_owned(), Some("b5".to_owned()))),
        };
        for (routed, want, next) in
            [(&bucket.moved, ["a1", "b9", "a5"], "a5"), (&bucket.routed, ["b1", "b9", "b5"], "b5")]
        {
            let shown = gateway.show_page(routed, page()).await.unwrap();
            let ids: Vec<_> = shown.entries.iter().map(|entry| entry.version_id.as_str()).collect();
            assert_eq!(ids, want);
            assert_eq!(shown.next, Some(("c".to_owned(), Some(next.to_owned()))));
        }
        for batch in [1, 2, 5, 6] {
            let run = [entry("a", "b3"), entry("c", "b5")];
            let rows = gateway.rows_of(&bucket.moved.route, &run, batch).await.unwrap();
            let own: Vec<_> = rows.iter().map(|(_, copy)| copy.version.as_str()).collect();
            assert_eq!(own, ["b3", "b2", "b1", "b4", "b5"], "{batch}");
        }
        gateway.stop().await;
    }
}
