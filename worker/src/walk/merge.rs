//! Several listings of the same keys as one: rows of what each says of a key, up to where all of them have been read. Pure.
//! Invariant: no row is given before every side has been read past its key, so that what a row lacks is not there.
use std::collections::{BTreeMap, VecDeque};

/// How far a listing has been read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// All keys up to this one.
    To(String),
    /// All keys there are.
    End,
}

impl Reach {
    /// Up to `key`, or to the end where it is empty.
    pub(super) fn up_to(key: &str) -> Self {
        if key.is_empty() { Self::End } else { Self::To(key.to_owned()) }
    }

    fn includes(&self, key: &str) -> bool {
        match self {
            Self::To(last) => key <= last.as_str(),
            Self::End => true,
        }
    }
}

/// A page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page<T> {
    /// By key in byte order.
    pub(crate) entries: Vec<(String, T)>,
    /// Up to where it tells all.
    pub(crate) reach: Reach,
}

/// One listing as far as it has been read, and not yet been given away.
#[derive(Debug)]
pub(super) struct Side<T> {
    waiting: VecDeque<(String, T)>,
    reach: Reach,
}

impl<T> Side<T> {
    /// A listing to be read behind `after`.
    pub(super) fn new(after: &str) -> Self {
        Self { waiting: VecDeque::new(), reach: Reach::To(after.to_owned()) }
    }

    /// The key behind which the next page begins, where one is needed to go on behind `walked_to`.
    pub(super) fn next_after(&self, walked_to: &str) -> Option<&str> {
        match &self.reach {
            Reach::To(last) if last.as_str() <= walked_to => Some(last),
            _ => None,
        }
    }

    /// Takes the next page; what it says of keys already given away is dropped.
    pub(super) fn take(&mut self, page: Page<T>) {
        self.waiting.extend(page.entries);
        self.reach = page.reach;
    }

    pub(super) fn reach(&self) -> &Reach {
        &self.reach
    }

    fn drain(&mut self, bound: &Reach) -> impl Iterator<Item = (String, T)> {
        let within = self.waiting.iter().take_while(|(key, _)| bound.includes(key)).count();
        self.waiting.drain(..within)
    }
}

/// What the sides say of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row<H, R> {
    /// One for each listing, in their order.
    pub(super) held: Vec<Option<H>>,
    /// What is recorded.
    pub(super) recorded: R,
}

/// The least that all have reached, `limit` at most.
pub(super) fn common_reach<'a>(reaches: impl Iterator<Item = &'a Reach>, limit: &'a Reach) -> Reach {
    reaches.chain(std::iter::once(limit)).min().cloned().unwrap_or(Reach::End)
}

/// The rows up to `bound`, by key.
pub(super) fn merge<H, R: Default>(
    listings: &mut [Side<H>],
    recorded: &mut Side<R>,
    bound: &Reach,
) -> BTreeMap<String, Row<H, R>> {
    let count = listings.len();
    let mut rows = BTreeMap::new();
    let empty = || Row { held: (0..count).map(|_| None).collect(), recorded: R::default() };
    for (place, side) in listings.iter_mut().enumerate() {
        for (key, entry) in side.drain(bound) {
            let row = rows.entry(key).or_insert_with(empty);
            if let Some(slot) = row.held.get_mut(place) {
                *slot = Some(entry);
            }
        }
    }
    for (key, entry) in recorded.drain(bound) {
        rows.entry(key).or_insert_with(empty).recorded = entry;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// The page of `keys` behind `after`, as a server gives it.
    fn page(keys: &BTreeSet<String>, after: &str, size: usize) -> Page<()> {
        let mut rest = keys.iter().filter(|key| key.as_str() > after);
        let entries: Vec<_> = rest.by_ref().take(size).map(|key| (key.clone(), ())).collect();
        let reach = match (rest.next(), entries.last()) {
            (Some(_), Some((last, ()))) => Reach::To(last.clone()),
            _ => Reach::End,
        };
        Page { entries, reach }
    }

    /// All rows, walked step by step with pages of the given sizes; stopped and begun anew after each `life` steps.
    fn walk(sides: &[(BTreeSet<String>, usize)], after: &str, up_to: &str, life: usize) -> Vec<(String, Vec<bool>)> {
        let (limit, mut walked_to, mut rows) = (Reach::up_to(up_to), after.to_owned(), Vec::new());
        loop {
            let mut listings: Vec<Side<()>> = sides.iter().skip(1).map(|_| Side::new(&walked_to)).collect();
            let mut recorded: Side<bool> = Side::new(&walked_to);
            for _ in 0..life {
                for (side, (keys, size)) in listings.iter_mut().zip(&sides[1..]) {
                    if let Some(after) = side.next_after(&walked_to).map(str::to_owned) {
                        side.take(page(keys, &after, *size));
                    }
                }
                if let Some(after) = recorded.next_after(&walked_to).map(str::to_owned) {
                    let Page { entries, reach } = page(&sides[0].0, &after, sides[0].1);
                    recorded.take(Page { entries: entries.into_iter().map(|(k, ())| (k, true)).collect(), reach });
                }
                let reaches = listings.iter().map(Side::reach).chain([recorded.reach()]);
                let bound = common_reach(reaches, &limit);
                for (key, row) in merge(&mut listings, &mut recorded, &bound) {
                    let held = row.held.iter().map(Option::is_some);
                    rows.push((key, std::iter::once(row.recorded).chain(held).collect()));
                }
                match bound {
                    bound if bound == limit => return rows,
                    Reach::To(key) => walked_to = key,
                    Reach::End => return rows,
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_key_is_seen_once_with_all_that_the_sides_say(
            sides in prop::collection::vec((prop::collection::btree_set("[ab/]{1,3}", 0..20), 1usize..6), 2..5),
            (after, up_to) in ("[ab]{0,2}", "[ab]{0,2}"),
            life in 1usize..5,
        ) {
            let up_to = if up_to.as_str() <= after.as_str() { String::new() } else { up_to };
            let all: BTreeSet<&String> = sides.iter().flat_map(|(keys, _)| keys).collect();
            let within = all.into_iter().filter(|key| key.as_str() > after.as_str() && Reach::up_to(&up_to).includes(key));
            let want: Vec<(String, Vec<bool>)> =
                within.map(|key| (key.clone(), sides.iter().map(|(keys, _)| keys.contains(key)).collect())).collect();
            prop_assert_eq!(walk(&sides, &after, &up_to, life), want);
        }
    }
}
