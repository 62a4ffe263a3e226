//! Lists that are read page by page, the newest row first.
use crate::metadata::db::Columns;
use crate::{Millis, StoreError};
use sqlx::any::AnyRow;
use std::fmt;
use uuid::Uuid;

/// Some rows of such a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Behind which row the next page begins; none where this one is not full.
    pub next: Option<Cursor>,
}

/// A row of such a list by what orders it: its time, and its id among those of that time. It is a place in the list even
/// when the row is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    at: Millis,
    id: Uuid,
}

impl Cursor {
    /// Reads what it was rendered as; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let (at, id) = text.split_once('-')?;
        let cursor = Self { at: at.parse().ok()?, id: Uuid::try_parse(id).ok()? };
        (cursor.to_string() == text).then_some(cursor)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.at, self.id)
    }
}

/// Time and id that the rows of a page are below; without a cursor those of all rows are.
pub(crate) fn bounds(after: Option<&Cursor>) -> (Millis, String) {
    after.map_or((Millis::MAX, String::new()), |after| (after.at, after.id.to_string()))
}

/// A page of at most `limit` rows whose time is in the column `at`.
pub(crate) fn parse_page<T>(
    rows: &[AnyRow],
    limit: u32,
    at: &'static str,
    parse: impl Fn(&AnyRow) -> Result<T, StoreError>,
) -> Result<Page<T>, StoreError> {
    let last = rows.last().filter(|_| rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX));
    let next = last.map(|row| parse_cursor(row, at)).transpose()?;
    Ok(Page { rows: rows.iter().map(parse).collect::<Result<_, _>>()?, next })
}

fn parse_cursor(row: &AnyRow, at: &'static str) -> Result<Cursor, StoreError> {
    Ok(Cursor { at: row.int(at)?, id: row.parsed("id", Uuid::try_parse)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_rendered_is_a_cursor() {
        const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
        let cursor = Cursor { at: 1_712_345_678_901, id: Uuid::parse_str(ID).unwrap() };
        assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
        for text in ["", "-", "5", ID, &format!("-{ID}"), &format!("x-{ID}"), &format!("+5-{ID}"), &format!("-5-{ID}")]
        {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
        for id in [&ID[1..], &ID.to_uppercase(), &ID.replace('-', ""), &format!("{ID}\0"), "' or 1=1"] {
            assert_eq!(Cursor::parse(&format!("5-{id}")), None, "{id}");
        }
        assert_eq!(Cursor::parse(&format!("99999999999999999999-{ID}")), None);
    }
}
