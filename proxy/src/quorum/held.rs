//! Whether enough places hold what the home holds, by what workers have recorded. Pure; the tables below are the specification.
use s3gateway_config::BackendId;
use s3gateway_store::ObjectCopy;

/// What the records of a key's copies tell, compared with those from before a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Nobody has looked at the key since.
    Nothing,
    /// Somebody has, and too few places were as the home.
    TooFew,
    /// So many places were as the home.
    Held,
}

/// Compares the records. `others`: the replicas that count; `quorum`: places that are needed, home included.
pub(super) fn judge_records(
    home: &BackendId,
    others: &[BackendId],
    quorum: u32,
    before: &[ObjectCopy],
    now: &[ObjectCopy],
) -> Told {
    let looked_at =
        |id: &BackendId| of(before, id).map(|copy| copy.verified_at) != of(now, id).map(|copy| copy.verified_at);
    match looked_at(home) {
        false => Told::Nothing,
        true if count_held(home, others, now, looked_at) >= needed(quorum) => Told::Held,
        true => Told::TooFew,
    }
}

/// Whether the records of a clean key tell of so many places.
pub(super) fn is_at_quorum(home: &BackendId, others: &[BackendId], quorum: u32, now: &[ObjectCopy]) -> bool {
    count_held(home, others, now, |_| true) >= needed(quorum)
}

/// Places without a copy, a home that has nothing among them: what is recorded never misses one that may exist.
pub(super) fn count_gone(others: &[BackendId], now: &[ObjectCopy]) -> u32 {
    let gone = others.iter().filter(|id| of(now, id).is_none()).count();
    1 + u32::try_from(gone).unwrap_or(u32::MAX - 1)
}

/// Places that are as the home. An object counts where it was `looked_at`; where the home has none, a place counts that may
/// have none either, since what is recorded never misses a copy that may exist.
fn count_held(
    home: &BackendId,
    others: &[BackendId],
    now: &[ObjectCopy],
    looked_at: impl Fn(&BackendId) -> bool,
) -> usize {
    let at_home = of(now, home);
    let holds = |id: &&BackendId| match (at_home, of(now, id)) {
        (None, copy) => copy.is_none(),
        (Some(_), None) => false,
        (Some(home), Some(copy)) => {
            copy.verified_at > 0 && looked_at(id) && copy.home_etag == home.etag && copy.size == home.size
        }
    };
    1 + others.iter().filter(holds).count()
}

fn of<'c>(rows: &'c [ObjectCopy], id: &BackendId) -> Option<&'c ObjectCopy> {
    rows.iter().find(|copy| copy.backend == *id)
}

fn needed(quorum: u32) -> usize {
    usize::try_from(quorum).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: &str) -> BackendId {
        BackendId::parse(id).expect("an id")
    }

    /// `backend etag verified_at`, comma-separated.
    fn rows(text: &str) -> Vec<ObjectCopy> {
        let row = |row: &str| {
            let [backend, etag, at] = row.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{row}") };
            ObjectCopy {
                backend: id(backend),
                etag: etag.to_owned(),
                home_etag: etag.to_owned(),
                size: 1,
                verified_how: "etag".to_owned(),
                verified_at: at.parse().expect("a time"),
            }
        };
        text.split(',').filter(|text| !text.trim().is_empty()).map(row).collect()
    }

    #[test]
    fn only_what_was_looked_at_since_counts() {
        for (quorum, before, now, want) in [
            // An object that is new.
            (2, "", "", Told::Nothing),
            (2, "", "b x 0", Told::Nothing),
            (2, "", "a x 5, b x 5", Told::Held),
            (2, "", "a x 5, b x 0", Told::TooFew),
            (2, "", "a x 5, b x 0, c x 5", Told::Held),
            (3, "", "a x 5, b x 0, c x 5", Told::TooFew),
            (3, "", "a x 5, b x 5, c x 5", Told::Held),
            // One that is overwritten.
            (2, "a x 5, b x 5", "a x 5, b x 5", Told::Nothing),
            (2, "a x 5, b x 5", "a y 7, b x 5", Told::TooFew),
            (2, "a x 5, b x 5", "a y 7, b x 7", Told::TooFew),
            (2, "a x 5, b x 5", "a y 7, b y 7", Told::Held),
            (2, "a x 5, b x 5", "a x 7, b x 5", Told::TooFew),
            (2, "a x 5, b x 5", "a x 7, b x 7", Told::Held),
            // A delete.
            (2, "a x 5, b x 5", "", Told::Held),
            (2, "a x 5, b x 5, c x 5", "b x 5", Told::Held),
            (3, "a x 5, b x 5, c x 5", "b x 5", Told::TooFew),
            (3, "a x 5, b x 5, c x 5", "", Told::Held),
            (2, "b x 0", "", Told::Nothing),
        ] {
            let told = judge_records(&id("a"), &[id("b"), id("c")], quorum, &rows(before), &rows(now));
            assert_eq!(told, want, "{quorum} of [{before}] then [{now}]");
        }
    }

    #[test]
    fn a_clean_key_is_where_it_is_recorded() {
        for (quorum, now, want) in [
            (2, "a x 5, b x 5", true),
            (2, "a x 5", false),
            (2, "a x 5, b y 5", false),
            (2, "a x 5, c x 5", true),
            (3, "a x 5, c x 5", false),
            (3, "", true),
            (3, "b x 0", false),
        ] {
            assert_eq!(is_at_quorum(&id("a"), &[id("b"), id("c")], quorum, &rows(now)), want, "{quorum} of [{now}]");
        }
    }
    #[test]
    fn what_is_deleted_is_gone_where_no_copy_is_recorded() {
        for (now, want) in [("", 3), ("a x 5", 3), ("b x 0", 2), ("b x 0, c x 5", 1), ("a x 5, d x 5", 3)] {
            assert_eq!(count_gone(&[id("b"), id("c")], &rows(now)), want, "[{now}]");
        }
    }
}
