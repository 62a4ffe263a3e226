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
    let of = |rows: &[ObjectCopy], id: &BackendId| rows.iter().find(|copy| copy.backend == *id).cloned();
    let (was, is) = (of(before, home), of(now, home));
    if was.as_ref().map(|copy| copy.verified_at) == is.as_ref().map(|copy| copy.verified_at) {
        return Told::Nothing;
    }
    let holds = |id: &&BackendId| match (&is, of(now, id)) {
        // Nothing is at home, and nothing may be there.
        (None, copy) => copy.is_none(),
        (Some(_), None) => false,
        (Some(home), Some(copy)) => {
            let looked_at =
                copy.verified_at > 0 && of(before, id).is_none_or(|old| old.verified_at != copy.verified_at);
            looked_at && copy.home_etag == home.etag && copy.size == home.size
        }
    };
    let held = 1 + others.iter().filter(holds).count();
    if held >= usize::try_from(quorum).unwrap_or(usize::MAX) { Told::Held } else { Told::TooFew }
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
}
