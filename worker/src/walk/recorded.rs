//! What metadata knows of a bucket's copies, as one more listing beside those of the backends.
use super::compare::Recorded;
use super::merge::{Page, Reach};
use s3gateway_s3::ObjectKey;
use s3gateway_store::{Metadata, Route, StoreError};
use std::collections::BTreeMap;

/// Rows asked for at once. A key has one row for each copy, so that many keys are in it.
const ROWS: u32 = 4000;
/// Most rows of versions asked for at once: more than a key with all the versions that replicas follow has.
const MOST_ROWS: u32 = 512_000;

/// The records behind `after`, up to `up_to`, which may be empty for no end. What a home had that the bucket has left is none of a copy.
pub(super) async fn page(
    metadata: &Metadata,
    route: &Route,
    after: &str,
    up_to: &str,
    versions: bool,
) -> Result<Page<Recorded>, StoreError> {
    let copies = metadata.copies_after(&route.bucket, after, up_to, ROWS).await?;
    let (copies, mut reach) = whole_keys(copies, ROWS);
    let mut keys: BTreeMap<String, Recorded> = BTreeMap::new();
    for (key, copy) in copies {
        keys.entry(key.as_str().to_owned()).or_default().copies.push(copy);
    }
    if versions {
        let mut rows = ROWS;
        let (copies, seen) = loop {
            let copies = metadata.version_copies_after(&route.bucket, after, up_to, rows).await?;
            let (whole, seen) = whole_keys(copies, rows);
            if !whole.is_empty() || seen == Reach::End || rows >= MOST_ROWS {
                break (whole, seen);
            }
            rows = rows.saturating_mul(2);
        };
        for (key, copy) in copies.into_iter().filter(|(_, copy)| route.physical_on(&copy.backend).is_some()) {
            keys.entry(key.as_str().to_owned()).or_default().versions.push(copy);
        }
        reach = reach.min(seen);
    }
    if let Reach::To(last) = &reach {
        drop(keys.split_off(&format!("{last}\0")));
    }
    Ok(Page { entries: keys.into_iter().collect(), reach })
}

/// The rows of all keys of which no row is missing, and up to where that is.
fn whole_keys<T>(mut rows: Vec<(ObjectKey, T)>, limit: u32) -> (Vec<(ObjectKey, T)>, Reach) {
    if rows.len() < usize::try_from(limit).unwrap_or(usize::MAX) {
        return (rows, Reach::End);
    }
    let Some(cut) = rows.last().map(|(key, _)| key.clone()) else { return (rows, Reach::End) };
    rows.retain(|(key, _)| *key != cut);
    let reach = Reach::To(rows.last().map(|(key, _)| key.as_str().to_owned()).unwrap_or_default());
    (rows, reach)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_whose_rows_are_cut_is_left_to_the_next_page() {
        for (rows, limit, whole, reach) in [
            ("", 3, "", Reach::End),
            ("a b", 3, "a b", Reach::End),
            ("a b b", 3, "a", Reach::To("a".into())),
            ("a a b c", 4, "a a b", Reach::To("b".into())),
            ("a a", 2, "", Reach::To(String::new())),
        ] {
            let given = rows.split_whitespace().map(|key| (ObjectKey::parse(key).unwrap(), ())).collect();
            let (got, seen) = whole_keys(given, limit);
            let got = got.iter().map(|(key, ())| key.as_str()).collect::<Vec<_>>().join(" ");
            assert_eq!((got.as_str(), seen), (whole, reach), "{rows}");
        }
    }
}
