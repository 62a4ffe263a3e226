//! What a key that keeps versions is to hold at its home once a former home is back: what that one holds, and above it what was written
//! since. Pure: lists in, a plan out.
//! Invariant: nothing that was written to the home since is left out, whatever any clock says.
use crate::version_plan::{VersionPlan, plan_versions};
use crate::versions::{Listed, MovedVersions};
use s3gateway_config::BackendId;
use s3gateway_s3::VersionId;
use s3gateway_store::{Merging, Stranded, VersionCopy};
use std::collections::{HashMap, HashSet};

/// The two, brought together. All lists begin with the oldest version.
#[derive(Debug)]
pub(crate) struct Merged<'a> {
    /// What the home is to hold, by the ids that clients know.
    pub(crate) wanted: Vec<Listed>,
    /// How many of these the former home holds; the others were written since.
    pub(crate) of_former: usize,
    /// All that the home holds, by its own ids.
    home: &'a [Listed],
    /// What of that is one that is wanted.
    held: Vec<Listed>,
    /// Which versions these are.
    recorded: Vec<VersionCopy>,
    /// Copies of what the former home has no more.
    pub(crate) lost: Vec<VersionCopy>,
    /// Copies that no worker has come to record, or that were written anew since.
    pub(crate) unrecorded: Vec<&'a Listed>,
}

impl<'a> Merged<'a> {
    /// `former`: what the former home holds, by the ids that clients know; `home`: what the home `id` holds, by its own, and `recorded`, what is
    /// noted of it there; `row`: since when it is stranded.
    pub(crate) fn of(
        id: &BackendId,
        former: Vec<Listed>,
        home: &'a [Listed],
        recorded: &[VersionCopy],
        row: &Stranded,
    ) -> Self {
        let listed: HashSet<&VersionId> = home.iter().map(|listed| &listed.id).collect();
        let rows = recorded.iter().filter(|copy| !copy.is_gone() && listed.contains(&copy.version));
        let by_own: HashMap<&VersionId, &VersionCopy> = rows.map(|copy| (&copy.version, copy)).collect();
        let taken: HashSet<&VersionId> = by_own.values().map(|copy| &copy.home_version).collect();
        let at_former: HashSet<VersionId> = former.iter().map(|listed| listed.id.clone()).collect();
        let since = match &row.merging {
            Some(Merging::Writing(writing)) => writing.since.clone(),
            // Nothing has been written but by clients.
            None | Some(Merging::Begun) => {
                let before = row.newest.as_ref().and_then(|newest| home.iter().position(|listed| listed.id == *newest));
                let above = home.iter().skip(before.map_or(0, |before| before + 1));
                let shown = above.map(|listed| by_own.get(&listed.id).map_or(&listed.id, |copy| &copy.home_version));
                shown.filter(|shown| !at_former.contains(shown)).cloned().collect()
            }
        };
        let is_since: HashSet<&VersionId> = since.iter().collect();
        let (mut held, mut known, mut lost, mut unrecorded) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut written: HashMap<VersionId, Listed> = HashMap::new();
        for listed in home {
            let copy = match by_own.get(&listed.id) {
                Some(copy) => (*copy).clone(),
                None if is_since.contains(&listed.id) && !taken.contains(&listed.id) => of_itself(id, listed),
                // What clients have written goes once its copy stands.
                None => {
                    unrecorded.extend((!is_since.contains(&listed.id)).then_some(listed));
                    continue;
                }
            };
            let shown = copy.home_version.clone();
            if is_since.contains(&shown) {
                // It is what it is: no other home says what it should be.
                known.push(VersionCopy { home_etag: listed.etag.clone(), ..copy.clone() });
                written.insert(shown.clone(), Listed { id: shown, modified: copy.home_modified, ..listed.clone() });
            } else if at_former.contains(&shown) {
                known.push(copy);
            } else {
                // It may look like another version.
                lost.extend(Some(copy).filter(|copy| !copy.is_marker));
                continue;
            }
            held.push(listed.clone());
        }
        let (of_former, mut wanted) = (former.len(), former);
        wanted.extend(since.iter().filter_map(|shown| written.remove(shown)));
        Self { wanted, of_former, home, held, recorded: known, lost, unrecorded }
    }

    /// What is missing, to be written above all others.
    pub(crate) fn plan(&self) -> VersionPlan<'_> {
        let mut plan = plan_versions(&self.wanted, &self.held, &self.recorded);
        // One that only looks like it is none.
        let known = plan.kept.iter().take_while(|kept| kept.recorded.is_some()).count();
        plan.kept.truncate(known);
        plan.missing = self.wanted.get(known..).unwrap_or_default();
        plan
    }

    /// What is to go from the home once nothing is missing, the newest first.
    pub(crate) fn to_go(&self, plan: &VersionPlan<'_>) -> Vec<&'a Listed> {
        let stays: HashSet<&VersionId> = plan.kept.iter().map(|kept| &kept.held.id).collect();
        self.home.iter().rev().filter(|listed| !stays.contains(&listed.id)).collect()
    }

    /// What was written to the home since, by the ids that clients know.
    pub(crate) fn since(&self) -> Vec<VersionId> {
        self.wanted.iter().skip(self.of_former).map(|listed| listed.id.clone()).collect()
    }

    /// Which of the home's own versions is known to clients by which id.
    pub(crate) fn moved(&self) -> MovedVersions {
        MovedVersions::of(&self.recorded)
    }
}

/// A version that the home itself has given its id.
fn of_itself(id: &BackendId, listed: &Listed) -> VersionCopy {
    VersionCopy {
        backend: id.clone(),
        home_version: listed.id.clone(),
        version: listed.id.clone(),
        position: 0,
        is_marker: listed.is_marker,
        etag: listed.etag.clone(),
        home_etag: listed.etag.clone(),
        size: i64::try_from(listed.size).unwrap_or(i64::MAX),
        home_modified: listed.modified,
        verified_how: "etag".to_owned(),
        verified_at: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version_plan::tests::{id, list, listed, names};
    use proptest::prelude::*;
    use s3gateway_s3::ObjectKey;
    use s3gateway_store::{BucketId, MergeWriting, StrandedState};

    fn home_id() -> BackendId {
        BackendId::parse("b").unwrap()
    }
    /// `known=own` for each.
    fn rows(text: &str) -> Vec<VersionCopy> {
        let row = |pair: &str| {
            let (known, own) = pair.split_once('=').unwrap();
            VersionCopy { home_version: id(known.split(':').next().unwrap()), ..of_itself(&home_id(), &listed(own)) }
        };
        text.split_whitespace().map(row).collect()
    }
    /// The newest when it was stranded; and behind a bar, once a worker writes, what was written since.
    fn row(text: &str) -> Stranded {
        let (newest, since) = text.split_once('|').map_or((text, None), |(newest, since)| (newest, Some(since)));
        let since = since.map(|since| since.split_whitespace().map(id).collect());
        Stranded {
            id: "1".to_owned(),
            bucket: BucketId::new("b"),
            key: ObjectKey::parse("k").unwrap(),
            home: BackendId::parse("former").unwrap(),
            epoch: 1,
            state: StrandedState::Open,
            begun: None,
            stranded_at: 1,
            newest: (!newest.is_empty()).then(|| id(newest)),
            merging: since.map(writing),
            lease: String::new(),
        }
    }
    fn writing(since: Vec<VersionId>) -> Merging {
        Merging::Writing(MergeWriting { former: Vec::new(), since, is_given_up: false })
    }

    #[test]
    fn what_the_former_home_holds_comes_below_what_was_written_since() {
        for (former, home, recorded, newest, wanted, missing, to_go) in [
            // Nothing stayed behind.
            ("1:a 2:b", "x:a y:b", "1=x:a 2=y:b", "y", "1 2", "", ""),
            ("1:a", "x:a n:c", "1=x:a", "x", "1 n", "", ""),
            ("", "", "", "", "", "", ""),
            ("", "n:c", "", "", "n", "", ""),
            // Versions stayed behind; nothing was written since.
            ("1:a 2:b m3", "x:a", "1=x:a", "x", "1 2 m3", "2 m3", ""),
            ("1:a", "", "", "", "1", "1", ""),
            // What was written since goes above them: it is written once more, and the first one goes.
            ("1:a 2:b", "x:a n:c m4", "1=x:a", "x", "1 2 n m4", "2 n m4", "m4 n"),
            ("1:a", "n:c", "", "", "1 n", "1 n", "n"),
            // Deleted at the former home.
            ("2:b", "x:a y:b n:c", "1=x:a 2=y:b", "y", "2 n", "", "x"),
            ("", "x:a", "1=x:a", "x", "", "", "x"),
            ("2:b 3:d", "x:a y:b n:c", "1=x:a 2=y:b", "y", "2 3 n", "3 n", "n x"),
            // Deleted there, and written anew with the same content.
            ("3:a m4", "x:a m7", "1=x:a m2=m7", "m7", "3 m4", "3 m4", "m7 x"),
            ("1:a m4 5:b", "x:a m7 n:c", "1=x:a m2=m7", "m7", "1 m4 5 n", "m4 5 n", "n m7"),
            // A copy that nobody has recorded.
            ("1:a 2:b", "x:a y:b", "1=x:a", "y", "1 2", "2", "y"),
            ("1:a", "x:a y:z n:c", "1=x:a", "y", "1 n", "", "y"),
            // Whoever has begun died before 2 was recorded, then before `n` was copied, before that was recorded, and before the first `n` was
            // gone.
            ("1:a 2:b", "x:a n:c z:b", "1=x:a", "x|n", "1 2 n", "2 n", "z n"),
            ("1:a 2:b", "x:a n:c z:b", "1=x:a 2=z:b", "x|n", "1 2 n", "2 n", "z n"),
            ("1:a 2:b", "x:a n:c z:b o:c", "1=x:a 2=z:b", "x|n", "1 2 n", "2 n", "o z n"),
            ("1:a 2:b", "x:a n:c z:b o:c", "1=x:a 2=z:b n=o:c", "x|n", "1 2 n", "", "n"),
            ("1:a 2:b", "x:a z:b o:c", "1=x:a 2=z:b n=o:c", "x|n", "1 2 n", "", ""),
            ("2:b", "z:b", "", "|", "2", "2", "z"),
            // And once the last of before is gone.
            ("2:b", "z:b o:c", "1=x:a 2=z:b n=o:c", "x|n", "2 n", "", ""),
            // The former home's `null` is by now another id of the home's.
            ("null:a 2:b", "x:a n:c", "null=x:a", "x", "null 2 n", "2 n", "n"),
            // Another one has taken its place there, and then its copy has here.
            ("1:a null:b", "x:a y:c", "1=x:a null=y:c", "y", "1 null", "null", "y"),
            ("1:a null:b", "x:a y:c n:d", "1=x:a null=y:c", "y", "1 null n", "null n", "n y"),
            ("1:a null:b", "x:a y:c n:d z:b", "1=x:a null=y:c", "y|n", "1 null n", "null n", "z n y"),
            ("1:a null:b", "x:a y:c n:d z:b", "1=x:a null=z:b", "y|n", "1 null n", "null n", "z n y"),
            ("1:a null:b", "x:a z:b o:d", "1=x:a null=z:b n=o:d", "y|n", "1 null n", "", ""),
            ("1:a", "x:a y:c", "1=x:a null=y:c", "y", "1", "", "y"),
        ] {
            let (home, recorded, row) = (list(home), rows(recorded), row(newest));
            let merged = Merged::of(&home_id(), list(former), &home, &recorded, &row);
            let plan = merged.plan();
            assert!(plan.kept.iter().all(|kept| kept.recorded.is_some()), "nothing goes by its looks");
            let got = (names(&merged.wanted), names(plan.missing), names(merged.to_go(&plan)));
            assert_eq!(got, (wanted.to_owned(), missing.to_owned(), to_go.to_owned()), "{former} | {home:?}");
            assert_eq!(merged.of_former, list(former).len());
        }
    }

    #[test]
    fn a_version_is_asked_for_by_the_homes_own_id() {
        let (home, row) = (list("o:c p:d"), row(""));
        let merged = Merged::of(&home_id(), Vec::new(), &home, &rows("n=o:c"), &row);
        assert_eq!((merged.moved().own(&id("n")).as_str(), merged.moved().own(&id("p")).as_str()), ("o", "p"));
    }

    /// Carries a plan out at the home, up to `steps` of it, as the worker does; whether that was all.
    fn carry_out(
        former: &[Listed],
        home: &mut Vec<Listed>,
        rows: &mut Vec<VersionCopy>,
        row: &mut Stranded,
        (steps, made): (usize, &mut u32),
    ) -> bool {
        let (before, known, seen) = (home.clone(), rows.clone(), row.clone());
        let merged = Merged::of(&home_id(), former.to_vec(), &before, &known, &seen);
        let (plan, mut left) = (merged.plan(), steps);
        let mut step = || {
            left = left.saturating_sub(1);
            left > 0
        };
        if row.merging.is_some() && !merged.unrecorded.is_empty() {
            for unrecorded in &merged.unrecorded {
                if !step() {
                    return false;
                }
                home.retain(|listed| listed.id != unrecorded.id);
            }
            return carry_out(former, home, rows, row, (left, made));
        }
        row.merging.get_or_insert_with(|| writing(merged.since()));
        for wanted in plan.missing {
            if !step() {
                return false;
            }
            *made += 1;
            let new = Listed { id: id(&format!("w{made}")), ..wanted.clone() };
            home.push(new.clone());
            if !step() {
                return false;
            }
            let copy = VersionCopy { home_version: wanted.id.clone(), ..of_itself(&home_id(), &new) };
            rows.retain(|row| row.home_version != wanted.id);
            rows.push(VersionCopy { home_modified: wanted.modified, ..copy });
        }
        for gone in merged.to_go(&plan) {
            if !step() {
                return false;
            }
            home.retain(|listed| listed.id != gone.id);
        }
        true
    }

    proptest! {
        #[test]
        fn whoever_dies_over_it_all_that_was_written_is_there_in_its_order(
            deleted in prop::collection::vec(any::<bool>(), 0..6),
            left in 0usize..4,
            since in 0usize..4,
            unrecorded in any::<bool>(),
            stops in prop::collection::vec(1usize..24, 0..6),
            shown in prop::collection::vec(any::<bool>(), 6),
        ) {
            // Some are delete markers, and many have the same content.
            let name = |place: &str, n: usize| match n % 3 {
                2 => format!("m{place}{n}"),
                _ => format!("{place}{n}:{}", n % 2),
            };
            // Of the first versions the home has copies, and the former home has deleted some.
            let all = |place: &str, count: usize| (0..count).map(|n| listed(&name(place, n))).collect::<Vec<_>>();
            let (copied, mut home) = (all("h", deleted.len()), all("x", deleted.len()));
            let known: Vec<String> = (0..deleted.len()).map(|n| format!("{}={}", name("h", n), name("x", n))).collect();
            let mut recorded = rows(&known.join(" "));
            let mut former: Vec<Listed> =
                copied.iter().zip(&deleted).filter(|(_, gone)| !**gone).map(|(listed, _)| listed.clone()).collect();
            former.extend(all("l", left));
            if unrecorded {
                home.push(listed("u:0"));
            }
            let mut row = row("");
            row.newest = home.last().map(|last| last.id.clone());
            let new: Vec<Listed> = (0..since).map(|n| listed(&format!("n{n}:e{n}"))).collect();
            home.extend(new.clone());
            let expected: Vec<(VersionId, String)> =
                former.iter().chain(&new).map(|listed| (listed.id.clone(), listed.etag.clone())).collect();
            let mut made = 0;
            for (steps, shown) in stops.into_iter().zip(shown).chain([(1000, true)]) {
                // Now and then a listing lacks one of which there is no copy.
                let lacks = |listed: &&Listed| shown || !listed.id.as_str().contains("l0");
                let seen: Vec<Listed> = former.iter().filter(lacks).cloned().collect();
                let is_over = carry_out(&seen, &mut home, &mut recorded, &mut row, (steps, &mut made)) && shown;
                let held: HashSet<String> = home.iter().map(|listed| listed.etag.clone()).collect();
                prop_assert!(new.iter().all(|new| held.contains(&new.etag)), "what a client wrote is never away");
                if is_over {
                    break;
                }
            }
            let by_own: HashMap<&VersionId, &VersionId> =
                recorded.iter().map(|row| (&row.version, &row.home_version)).collect();
            let shown: Vec<(VersionId, String)> = home
                .iter()
                .map(|listed| ((*by_own.get(&listed.id).unwrap_or(&&listed.id)).clone(), listed.etag.clone()))
                .collect();
            prop_assert_eq!(shown, expected);
            let merged = Merged::of(&home_id(), former, &home, &recorded, &row);
            let plan = merged.plan();
            prop_assert!(plan.missing.is_empty() && merged.to_go(&plan).is_empty());
        }
    }
}
