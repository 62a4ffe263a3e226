//! ETags and the conditions that name them.
//! Source: RFC 9110 8.8.3, 13.1.1 and 13.1.2. S3's clients also send ETags without quotes, in headers and in XML.
use std::fmt;

/// An entity tag. `Display` writes it quoted, as it stands in a header.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ETag {
    value: String,
    weak: bool,
}

/// Why a text is no ETag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid ETag")]
pub struct ETagError;

impl ETag {
    /// Parses `"abc"`, `W/"abc"` or, as S3 allows, `abc`. An empty text or an empty tag is none.
    ///
    /// # Errors
    /// [`ETagError`] where empty, half quoted, or where a byte may not stand in an ETag.
    pub fn parse(text: &str) -> Result<Self, ETagError> {
        let text = text.trim_matches([' ', '\t']);
        let (rest, weak) = match text.strip_prefix("W/") {
            Some(rest) if rest.starts_with('"') => (rest, true),
            _ => (text, false),
        };
        let value = match rest.strip_prefix('"') {
            Some(quoted) => quoted.strip_suffix('"').ok_or(ETagError)?,
            None => rest,
        };
        if value.is_empty() || value == "*" || !value.chars().all(is_etag_char) {
            return Err(ETagError);
        }
        Ok(Self { value: value.to_owned(), weak })
    }

    /// The tag without quotes and without the mark of weakness.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether it is marked weak.
    pub fn is_weak(&self) -> bool {
        self.weak
    }

    /// Strong comparison (RFC 9110 8.8.3.2): equal and neither is weak.
    pub fn strong_eq(&self, other: &Self) -> bool {
        !self.weak && !other.weak && self.value == other.value
    }

    /// Weak comparison: equal values.
    pub fn weak_eq(&self, other: &Self) -> bool {
        self.value == other.value
    }

    /// The number of parts of a multipart object, from the `-N` at the end; `None` for any other object.
    pub fn multipart_parts(&self) -> Option<u32> {
        multipart_parts(&self.value)
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weak = if self.weak { "W/" } else { "" };
        write!(f, "{weak}\"{}\"", self.value)
    }
}

/// The value of `If-Match` or `If-None-Match`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ETagCondition {
    /// `*`: any object.
    Any,
    /// One of these.
    List(Vec<ETag>),
}

impl ETagCondition {
    /// Parses the header's value.
    ///
    /// # Errors
    /// [`ETagError`] where the list is empty or an element is no ETag.
    pub fn parse(header: &str) -> Result<Self, ETagError> {
        let header = header.trim_matches([' ', '\t']);
        if header == "*" || header == "\"*\"" {
            return Ok(Self::Any);
        }
        let tags = elements(header).map(ETag::parse).collect::<Result<Vec<_>, _>>()?;
        if tags.is_empty() { Err(ETagError) } else { Ok(Self::List(tags)) }
    }

    /// Whether it names the object's ETag under strong comparison (`If-Match`); `None`: there is no object.
    pub fn matches_strong(&self, current: Option<&ETag>) -> bool {
        self.matches(current, ETag::strong_eq)
    }

    /// Whether it names the object's ETag under weak comparison (`If-None-Match`); `None`: there is no object.
    pub fn matches_weak(&self, current: Option<&ETag>) -> bool {
        self.matches(current, ETag::weak_eq)
    }

    fn matches(&self, current: Option<&ETag>, eq: fn(&ETag, &ETag) -> bool) -> bool {
        match (self, current) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::List(tags), Some(current)) => tags.iter().any(|tag| eq(tag, current)),
        }
    }
}

/// The `N` of an ETag that ends in `-N`, with or without quotes; `None` where there is none, or where it is 0 or above 10,000.
pub fn multipart_parts(etag: &str) -> Option<u32> {
    let (digest, parts) = etag.trim_matches('"').rsplit_once('-')?;
    let canonical = !digest.is_empty() && !parts.starts_with('0') && parts.bytes().all(|b| b.is_ascii_digit());
    parts.parse().ok().filter(|n| canonical && (1..=10_000).contains(n))
}

/// The ETag in the form of headers and XML, `"abc"`, whichever form a backend gave it in.
pub fn quoted(etag: &str) -> String {
    format!("\"{}\"", unquoted(etag))
}

/// The ETag without surrounding quotes.
pub fn unquoted(etag: &str) -> &str {
    etag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(etag)
}

/// `etagc` of RFC 9110, and no comma outside quotes can get here because lists are split first.
fn is_etag_char(c: char) -> bool {
    c == '!' || ('\u{23}'..='\u{7e}').contains(&c) || c >= '\u{80}'
}

/// Splits at commas outside quotes; empty elements are skipped (RFC 9110 5.6.1.2).
fn elements(list: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    list.split(move |c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    })
    .map(|element| element.trim_matches([' ', '\t']))
    .filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn etags_parse_with_and_without_quotes() {
        for (text, want) in [
            ("\"abc\"", Some(("abc", false))),
            ("W/\"abc\"", Some(("abc", true))),
            ("abc-2", Some(("abc-2", false))),
            (" \"a,b\" ", Some(("a,b", false))),
            ("\"abc", None),
            ("abc\"", None),
            ("\"a\"b\"", None),
            ("", None),
            ("\"\"", None),
            ("*", None),
            ("a b", None),
            ("\"a\u{7f}\"", None),
            ("w/\"abc\"", None),
        ] {
            let got = ETag::parse(text).ok();
            assert_eq!(got.as_ref().map(|t| (t.value(), t.is_weak())), want, "{text}");
        }
    }

    #[test]
    fn conditions_compare_as_rfc_9110_says() {
        let current = ETag::parse("\"a\"").unwrap();
        let weak = ETag::parse("W/\"a\"").unwrap();
        for (header, strong, loose) in [
            ("\"a\"", true, true),
            ("a", true, true),
            ("*", true, true),
            ("W/\"a\"", false, true),
            ("\"b\", \"a\"", true, true),
            ("\"b\",,W/\"a\"", false, true),
            ("\"b\"", false, false),
            ("\"a,b\"", false, false),
        ] {
            let condition = ETagCondition::parse(header).unwrap();
            assert_eq!(condition.matches_strong(Some(&current)), strong, "{header}");
            assert_eq!(condition.matches_weak(Some(&current)), loose, "{header}");
            assert!(!condition.matches_weak(None), "{header}");
        }
        assert!(!ETagCondition::parse("\"a\"").unwrap().matches_strong(Some(&weak)));
        for header in ["", ",", "\"a\", \"", "\"a\" \"b\""] {
            assert_eq!(ETagCondition::parse(header), Err(ETagError), "{header}");
        }
    }

    #[test]
    fn part_counts() {
        for (etag, want) in [
            ("d41d8cd98f00b204e9800998ecf8427e-3", Some(3)),
            ("\"x-10000\"", Some(10_000)),
            ("x-10001", None),
            ("x-0", None),
            ("x-03", None),
            ("x-+3", None),
            ("-3", None),
            ("x-", None),
            ("x", None),
            ("x-99999999999999999999", None),
        ] {
            assert_eq!(multipart_parts(etag), want, "{etag}");
        }
        assert_eq!((quoted("a"), quoted("\"a\"")), ("\"a\"".to_owned(), "\"a\"".to_owned()));
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_rendering_is_inverse(text in any::<String>()) {
            let _ = ETagCondition::parse(&text);
            if let Ok(tag) = ETag::parse(&text) {
                prop_assert_eq!(ETag::parse(&tag.to_string()).unwrap(), tag);
            }
        }
    }
}
