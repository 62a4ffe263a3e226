//! What to do about the versions that one backend holds of one key. Pure: lists in, steps out.
//! Invariant: after the steps the backend's list is the home's, in its order, and each entry is mapped to its own.
use crate::plan::SUSPECT;
use crate::versions::Listed;
use s3gateway_s3::VersionId;
use s3gateway_store::VersionCopy;
use std::collections::{HashMap, HashSet};

/// Steps towards the home's list, in the order in which they are to be taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct VersionPlan<'a> {
    /// To be deleted at the backend, the newest first, so that a stop in the middle leaves a beginning of the list.
    pub(crate) stale: Vec<&'a Listed>,
    /// Recorded, but of nothing that stays.
    pub(crate) forgotten: Vec<&'a VersionCopy>,
    /// What stays, the oldest first.
    pub(crate) kept: Vec<Kept<'a>>,
    /// To be written behind what stays, the oldest first.
    pub(crate) missing: &'a [Listed],
}

/// A version that stays.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kept<'a> {
    pub(crate) home: &'a Listed,
    pub(crate) held: &'a Listed,
    /// What is recorded of it; `None`: it looks like the home's, and has to be compared.
    pub(crate) recorded: Option<&'a VersionCopy>,
}

impl<'a> VersionPlan<'a> {
    /// The copies that it deletes of versions that the home lists no more. `listed`: all that the home lists of the key, also
    /// where none of it is wanted here. Delete markers hold nothing; what was written anew under its id counts as there.
    pub(crate) fn lost(&self, listed: &[Listed]) -> Vec<&'a VersionCopy> {
        self.unlisted(self.stale.iter().map(|stale| &stale.id).collect(), listed)
    }

    /// The copies of versions that the home lists no more which it deletes, or takes over for another version that looks alike: they are
    /// deleted if that turns out to be another.
    pub(crate) fn doubtful(&self, listed: &[Listed]) -> Vec<&'a VersionCopy> {
        let taken = self.kept.iter().filter(|kept| kept.recorded.is_none()).map(|kept| &kept.held.id);
        self.unlisted(self.stale.iter().map(|stale| &stale.id).chain(taken).collect(), listed)
    }

    fn unlisted(&self, held: HashSet<&VersionId>, listed: &[Listed]) -> Vec<&'a VersionCopy> {
        if held.is_empty() {
            return Vec::new();
        }
        let at_home = ids(listed);
        let is_lost = |copy: &&VersionCopy| held.contains(&copy.version) && is_of_none(copy, &at_home);
        self.forgotten.iter().copied().filter(is_lost).collect()
    }

    /// Whether nothing is left to be done.
    pub(crate) fn is_settled(&self) -> bool {
        let nothing = self.stale.is_empty() && self.forgotten.is_empty() && self.missing.is_empty();
        nothing && self.kept.iter().all(|kept| kept.recorded.is_some()) && self.is_in_order()
    }

    fn is_in_order(&self) -> bool {
        self.kept.iter().filter_map(|kept| kept.recorded).is_sorted_by(|a, b| a.position < b.position)
    }
}

/// Plans for one backend. Both lists begin with the oldest version.
///
/// A version can only be added as the newest. So where one is missing below others, these go too and are written again.
pub(crate) fn plan_versions<'a>(
    home: &'a [Listed],
    held: &'a [Listed],
    recorded: &'a [VersionCopy],
) -> VersionPlan<'a> {
    let places: HashMap<&VersionId, usize> =
        home.iter().enumerate().map(|(place, listed)| (&listed.id, place)).collect();
    let by_held: HashMap<&VersionId, &VersionCopy> = recorded.iter().map(|copy| (&copy.version, copy)).collect();
    // The place in the home's list that an entry is proven to be a copy of.
    let proven = |listed: &Listed| {
        let copy = by_held.get(&listed.id).filter(|copy| is_of_held(copy, listed))?;
        let place = places.get(&copy.home_version)?;
        home.get(*place).filter(|home| is_of_home(copy, home) && may_be(home, listed)).map(|_| (*place, *copy))
    };
    let is_suspect = |listed: &Listed| by_held.get(&listed.id).is_some_and(|copy| copy.verified_how == SUSPECT);
    let taken: HashSet<usize> = held.iter().filter_map(proven).map(|(place, _)| place).collect();
    let mut plan = VersionPlan::default();
    let mut rest = held.iter();
    for listed in rest.by_ref() {
        let next = plan.kept.len();
        match (proven(listed), home.get(next)) {
            (Some((place, copy)), Some(home)) if place == next => {
                plan.kept.push(Kept { home, held: listed, recorded: Some(copy) });
            }
            (Some((place, _)), _) if place > next => {
                plan.stale.push(listed);
                break;
            }
            (None, Some(home))
                if !taken.contains(&next) && is_alike(home, listed) && may_be(home, listed) && !is_suspect(listed) =>
            {
                plan.kept.push(Kept { home, held: listed, recorded: None });
            }
            _ => plan.stale.push(listed),
        }
    }
    plan.stale.extend(rest);
    plan.stale.reverse();
    let stays: HashSet<&VersionId> = plan.kept.iter().filter_map(|k| k.recorded).map(|copy| &copy.version).collect();
    plan.forgotten = recorded.iter().filter(|copy| !stays.contains(&copy.version)).collect();
    plan.missing = home.get(plan.kept.len()..).unwrap_or_default();
    plan
}

/// Whether anything is recorded of a version that the home does not list.
pub(crate) fn lists_too_little(home: &[Listed], recorded: &[VersionCopy]) -> bool {
    let at_home = ids(home);
    recorded.iter().any(|copy| is_of_none(copy, &at_home))
}

fn ids(listed: &[Listed]) -> HashSet<&VersionId> {
    listed.iter().map(|listed| &listed.id).collect()
}

/// Whether a record is of an object that the home has nothing of any more.
fn is_of_none(copy: &VersionCopy, at_home: &HashSet<&VersionId>) -> bool {
    !copy.is_marker && !at_home.contains(&copy.home_version)
}

/// Whether a record is of what the home lists. Ids are never given twice but `null`, which also goes by its time.
fn is_of_home(copy: &VersionCopy, home: &Listed) -> bool {
    let same = copy.is_marker == home.is_marker && copy.home_etag == home.etag && is_size(copy, home);
    same && (!home.id.is_null() || copy.home_modified == home.modified)
}

/// Whether a backend may call a version so: where versioning is suspended once that is home, the next write replaces what it calls `null`.
fn may_be(home: &Listed, held: &Listed) -> bool {
    home.id.is_null() || !held.id.is_null()
}

/// Whether a record is of what the backend lists, and that is not known to be corrupt.
fn is_of_held(copy: &VersionCopy, held: &Listed) -> bool {
    copy.verified_how != SUSPECT && copy.is_marker == held.is_marker && copy.etag == held.etag && is_size(copy, held)
}

fn is_size(copy: &VersionCopy, listed: &Listed) -> bool {
    u64::try_from(copy.size).is_ok_and(|size| size == listed.size)
}

/// Whether what nobody has recorded may be a copy of the home's version.
fn is_alike(home: &Listed, held: &Listed) -> bool {
    match (home.is_marker, held.is_marker) {
        (true, true) => true,
        (false, false) => home.size == held.size && !home.etag.is_empty() && home.etag == held.etag,
        _ => false,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use s3gateway_config::BackendId;

    pub(crate) fn id(text: &str) -> VersionId {
        VersionId::parse(text).unwrap()
    }
    /// `m…` is a delete marker; what stands behind a colon is the content.
    pub(crate) fn listed(text: &str) -> Listed {
        let (name, etag) = text.split_once(':').unwrap_or((text, text));
        let is_marker = name.starts_with('m');
        let etag = if is_marker { String::new() } else { etag.to_owned() };
        Listed { id: id(name), is_marker, size: u64::from(!is_marker), etag, modified: 7 }
    }
    pub(crate) fn list(text: &str) -> Vec<Listed> {
        text.split_whitespace().map(listed).collect()
    }
    pub(crate) fn copy(home: &Listed, held: &Listed, position: i64) -> VersionCopy {
        VersionCopy {
            backend: BackendId::parse("b").unwrap(),
            home_version: home.id.clone(),
            version: held.id.clone(),
            position,
            is_marker: held.is_marker,
            etag: held.etag.clone(),
            home_etag: home.etag.clone(),
            size: i64::try_from(home.size).unwrap(),
            home_modified: home.modified,
            verified_how: "etag".into(),
            verified_at: 1,
        }
    }
    /// `home=held` for each record, in the order of their positions.
    fn records(text: &str) -> Vec<VersionCopy> {
        let record = |(position, pair): (i64, &str)| {
            let (home, held) = pair.split_once('=').unwrap();
            copy(&listed(home), &listed(held), position)
        };
        (1..).zip(text.split_whitespace()).map(record).collect()
    }
    pub(crate) fn names<'a>(all: impl IntoIterator<Item = &'a Listed>) -> String {
        all.into_iter().map(|listed| listed.id.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn lists_and_what_is_done_about_them() {
        for (home, held, recorded, stale, kept, missing) in [
            ("", "", "", "", "", ""),
            ("1:a 2:b", "", "", "", "", "1 2"),
            ("1:a 2:b", "x:a y:b", "1:a=x:a 2:b=y:b", "", "1=x 2=y", ""),
            ("1:a 2:b 3:c", "x:a y:b", "1:a=x:a 2:b=y:b", "", "1=x 2=y", "3"),
            // Deleted at home: in the middle, the newest, all.
            ("1:a 3:c", "x:a y:b z:c", "1:a=x:a 2:b=y:b 3:c=z:c", "y", "1=x 3=z", ""),
            ("1:a", "x:a y:b", "1:a=x:a 2:b=y:b", "y", "1=x", ""),
            ("", "x:a y:b", "1:a=x:a 2:b=y:b", "y x", "", ""),
            // Missing below others: these are written again.
            ("1:a 2:b 3:c", "x:a z:c", "1:a=x:a 2:b=y:b 3:c=z:c", "z", "1=x", "2 3"),
            ("1:a 2:b", "y:b", "2:b=y:b", "y", "", "1 2"),
            // Written and not recorded: compared where it is in its place, else deleted.
            ("1:a 2:b", "x:a y:b", "1:a=x:a", "", "1=x 2?y", ""),
            ("1:a 2:b", "null:a", "", "null", "", "1 2"),
            ("1:a", "null:a", "1:a=null:a", "null", "", "1"),
            ("null:a 2:b", "null:a", "", "", "null?null", "2"),
            ("1:a", "x:a y:a", "1:a=x:a", "y", "1=x", ""),
            ("1:a", "x:a y:a", "1:a=y:a", "x", "1=y", ""),
            ("1:a 2:b", "x:a y:other", "1:a=x:a", "y", "1=x", "2"),
            // Delete markers.
            ("1:a m2 m3", "x:a m7", "1:a=x:a m2=m7", "", "1=x m2=m7", "m3"),
            ("1:a m2", "x:a m7", "1:a=x:a", "", "1=x m2?m7", ""),
            ("1:a 2:b", "x:a m7 y:b", "1:a=x:a 2:b=y:b", "m7", "1=x 2=y", ""),
            // Changed behind our back.
            ("1:a", "x:forged", "1:a=x:a", "x", "", "1"),
            // The record of another object under the same id.
            ("null:new", "x:old", "null:old=x:old", "x", "", "null"),
            ("1:a null:new", "x:old y:a", "null:old=x:old 1:a=y:a", "x", "1=y", "null"),
        ] {
            let (home, held, recorded) = (list(home), list(held), records(recorded));
            let plan = plan_versions(&home, &held, &recorded);
            let pair = |kept: &Kept<'_>| {
                let sign = if kept.recorded.is_some() { '=' } else { '?' };
                format!("{}{sign}{}", kept.home.id, kept.held.id)
            };
            let pairs = plan.kept.iter().map(pair).collect::<Vec<_>>().join(" ");
            let got = (names(plan.stale.iter().copied()), pairs, names(plan.missing));
            assert_eq!(got, (stale.to_owned(), kept.to_owned(), missing.to_owned()), "{home:?} {held:?}");
        }
    }

    #[test]
    fn a_null_version_goes_by_its_time_too() {
        let (home, held) = (list("null:a"), list("x:a"));
        let recorded = [VersionCopy { home_modified: 6, ..copy(&home[0], &held[0], 1) }];
        let plan = plan_versions(&home, &held, &recorded);
        assert_eq!((plan.kept[0].recorded, plan.forgotten.len()), (None, 1), "the same bytes may have other metadata");
    }

    #[test]
    fn a_suspect_version_is_written_again_with_what_stands_on_it() {
        let (home, held) = (list("1:a 2:b"), list("x:a y:b"));
        let mut recorded = records("1:a=x:a 2:b=y:b");
        recorded[0].verified_how = SUSPECT.into();
        let plan = plan_versions(&home, &held, &recorded);
        assert_eq!((names(plan.stale), plan.kept.len(), names(plan.missing)), ("y x".to_owned(), 0, "1 2".to_owned()));
        assert_eq!(plan.forgotten, [&recorded[0], &recorded[1]]);
    }

    #[test]
    fn a_record_of_what_is_gone_is_forgotten_and_an_order_that_is_wrong_is_not_settled() {
        let (home, held) = (list("1:a 2:b"), list("x:a y:b"));
        let recorded = records("2:b=y:b 1:a=x:a");
        let plan = plan_versions(&home, &held, &recorded);
        assert!(plan.forgotten.is_empty() && plan.missing.is_empty() && !plan.is_settled());
        let recorded = records("1:a=x:a 2:b=y:b 3:c=z:c");
        let plan = plan_versions(&home, &held, &recorded);
        assert_eq!(plan.forgotten, [&recorded[2]]);
        assert!(!plan.is_settled() && plan_versions(&home, &held, &recorded[..2]).is_settled());
    }

    #[test]
    fn lost_is_what_is_recorded_and_deleted_and_at_home_no_more() {
        for (home, held, recorded, lost) in [
            ("1:a 2:b", "x:a y:b", "1:a=x:a 2:b=y:b", ""),
            ("2:b", "x:a y:b", "1:a=x:a 2:b=y:b", "x"),
            ("1:a", "x:a y:b", "1:a=x:a 2:b=y:b", "y"),
            ("", "x:a y:b", "1:a=x:a 2:b=y:b", "x y"),
            ("m3", "x:a y:b", "1:a=x:a 2:b=y:b", "x y"),
            // Not there any more, never recorded, or taken over for another: nothing is deleted that was the home's.
            ("2:b", "y:b", "1:a=x:a 2:b=y:b", ""),
            ("2:b", "x:a y:b", "2:b=y:b", ""),
            ("2:a", "x:a", "1:a=x:a", ""),
            // Deleted to be written again.
            ("1:a 2:b 3:c", "x:a z:c", "1:a=x:a 2:b=y:b 3:c=z:c", ""),
            ("1:a", "x:forged", "1:a=x:a", ""),
            // A delete marker, and what was written anew under its id.
            ("1:a", "x:a m7", "1:a=x:a m2=m7", ""),
            ("null:new", "x:old", "null:old=x:old", ""),
        ] {
            let (home, held, recorded) = (list(home), list(held), records(recorded));
            let names = |copies: Vec<&VersionCopy>| {
                copies.iter().map(|copy| copy.version.as_str()).collect::<Vec<_>>().join(" ")
            };
            let plan = plan_versions(&home, &held, &recorded);
            assert_eq!(names(plan.lost(&home)), lost, "{home:?} {held:?}");
            let is_taken_over = home.iter().any(|home| home.id.as_str() == "2" && home.etag == "a");
            assert_eq!(names(plan.doubtful(&home)), if is_taken_over { "x" } else { lost }, "{home:?} {held:?}");
            assert!(lost.is_empty() || lists_too_little(&home, &recorded));
            // Where the key is not wanted all goes, and what the home still has is not lost by that.
            let plan = plan_versions(&[], &held, &recorded);
            assert!(plan.lost(&home).iter().all(|copy| home.iter().all(|home| home.id != copy.home_version)));
            assert!(lost.is_empty() || !plan.lost(&home).is_empty());
        }
    }

    /// Carries a plan out, up to `steps` of it, as the worker does.
    fn apply(home: &[Listed], held: &mut Vec<Listed>, recorded: &mut Vec<VersionCopy>, steps: usize, made: &mut u32) {
        let (before, known) = (held.clone(), recorded.clone());
        let plan = plan_versions(home, &before, &known);
        let mut left = steps;
        let mut step = || {
            left = left.saturating_sub(1);
            left > 0
        };
        for stale in &plan.stale {
            if !step() {
                return;
            }
            held.retain(|listed| listed.id != stale.id);
        }
        recorded.retain(|copy| !plan.forgotten.contains(&copy));
        let mut position = 0;
        for kept in &plan.kept {
            position = kept.recorded.map_or(0, |copy| copy.position).max(position + 1);
            recorded.retain(|copy| copy.home_version != kept.home.id);
            recorded.push(copy(kept.home, kept.held, position));
        }
        for home in plan.missing {
            if !step() {
                return;
            }
            *made += 1;
            let new = Listed { id: id(&format!("r{made}")), ..home.clone() };
            held.push(new.clone());
            // Killed between the write and the record.
            if !step() {
                return;
            }
            position += 1;
            recorded.retain(|copy| copy.home_version != home.id);
            recorded.push(copy(home, &new, position));
        }
    }

    proptest! {
        #[test]
        fn whatever_happens_the_list_becomes_the_homes(
            changes in prop::collection::vec((0usize..12, 0usize..3, 1usize..9, 0usize..6), 1..24),
        ) {
            let (mut home, mut held, mut recorded, mut made) = (Vec::<Listed>::new(), Vec::new(), Vec::new(), 0);
            for (n, (at, kind, steps, content)) in changes.into_iter().enumerate() {
                match kind {
                    0 if !home.is_empty() => drop(home.remove(at % home.len())),
                    1 => home.push(listed(&format!("m{n}"))),
                    _ if content == 0 => {
                        home.retain(|listed| !listed.id.is_null());
                        home.push(Listed { modified: i64::try_from(n).unwrap(), ..listed("null:a") });
                    }
                    _ => home.push(listed(&format!("h{n}:c{content}"))),
                }
                if at == 11 && !held.is_empty() {
                    held.remove(n % held.len());
                }
                apply(&home, &mut held, &mut recorded, steps, &mut made);
            }
            for _ in 0..2 {
                apply(&home, &mut held, &mut recorded, usize::MAX, &mut made);
            }
            recorded.sort_by_key(|copy| copy.position);
            prop_assert!(plan_versions(&home, &held, &recorded).is_settled());
            let content = |all: &[Listed]| all.iter().map(|l| (l.is_marker, l.etag.clone())).collect::<Vec<_>>();
            prop_assert_eq!(content(&home), content(&held));
        }
    }
}
