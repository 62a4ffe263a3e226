//! Where a list of dead letters goes on.
//! Invariant: Redis and SQL order them alike, so that one place serves a queue that is made of both.
use super::{DeadLetter, DirtyKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use s3gateway_s3::ObjectKey;
use std::fmt;

/// A dead letter by what orders the list: since when it is dead, and its name among those of that time. It is a place in
/// the list even when the letter is gone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LetterCursor {
    since: i64,
    /// Bucket id and key, with a slash between them as in Redis. A bucket id never holds one.
    name: String,
}

impl LetterCursor {
    /// Reads what it was rendered as; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let (since, name) = text.split_once('-')?;
        let name = String::from_utf8(URL_SAFE_NO_PAD.decode(name).ok()?).ok()?;
        let (bucket, key) = name.split_once('/')?;
        let is_name =
            !bucket.is_empty() && bucket.bytes().all(|b| b.is_ascii_graphic()) && ObjectKey::parse(key).is_ok();
        let cursor = Self { since: since.parse().ok()?, name };
        (is_name && cursor.to_string() == text).then_some(cursor)
    }

    /// Since when the letter is dead (milliseconds since the Unix epoch).
    pub(super) fn since(&self) -> i64 {
        self.since
    }

    /// The letter's bucket and key.
    pub(super) fn bucket_and_key(&self) -> (&str, &str) {
        self.name.split_once('/').unwrap_or_default()
    }
}

impl fmt::Display for LetterCursor {
    /// As text that goes into a URL: a key may hold anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.since, URL_SAFE_NO_PAD.encode(&self.name))
    }
}

impl DeadLetter {
    /// Where the list goes on behind it.
    pub fn cursor(&self) -> LetterCursor {
        let DirtyKey { bucket, key } = &self.key;
        LetterCursor { since: self.since, name: format!("{}/{}", bucket.as_str(), key.as_str()) }
    }
}

/// The oldest of `letters` behind `after`, in order.
pub(super) fn oldest(letters: Vec<DeadLetter>, after: Option<&LetterCursor>, limit: usize) -> Vec<DeadLetter> {
    let mut placed: Vec<_> = letters.into_iter().map(|letter| (letter.cursor(), letter)).collect();
    placed.retain(|(place, _)| after.is_none_or(|after| place > after));
    placed.sort_by(|(one, _), (other, _)| one.cmp(other));
    placed.truncate(limit);
    placed.into_iter().map(|(_, letter)| letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BucketId;

    #[test]
    fn only_what_was_rendered_is_a_cursor() {
        for key in ["k", "a/b ä\0", &"ü".repeat(512)] {
            let key = DirtyKey { bucket: BucketId::new("b-1"), key: ObjectKey::parse(key).unwrap() };
            let letter = DeadLetter { key, reason: String::new(), attempts: 1, since: 1_712_345_678_901 };
            let text = letter.cursor().to_string();
            assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'), "{text}");
            let cursor = LetterCursor::parse(&text).unwrap();
            assert_eq!(cursor, letter.cursor());
            assert_eq!(cursor.bucket_and_key(), ("b-1", letter.key.key.as_str()));
        }
        let named = |name: &[u8]| format!("5-{}", URL_SAFE_NO_PAD.encode(name));
        assert!(LetterCursor::parse(&named(b"b/k")).is_some());
        for name in [&b""[..], b"b", b"b/", b"/k", b"b\0/k", b"b/\xff", &[b"b/", &[b'k'; 1025][..]].concat()] {
            assert_eq!(LetterCursor::parse(&named(name)), None, "{name:?}");
        }
        for text in ["", "-", "5", "5-", "5-%", "-Yi9r", "x-Yi9r", "+5-Yi9r", "5-Yi9r=", "5-Yi9s\n"] {
            assert_eq!(LetterCursor::parse(text), None, "{text}");
        }
    }
}
