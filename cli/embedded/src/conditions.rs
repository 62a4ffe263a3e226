//! Conditional requests as pure functions of headers and what they are about.
//! Source: RFC 9110, section 13; User Guide, "Add preconditions to S3 operations with conditional requests".
use http::HeaderMap;
use s3s::{S3Error, S3Result, s3_error};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `If-Match` or `If-None-Match`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    Any,
    These(Vec<String>),
}

impl Tags {
    fn of(headers: &HeaderMap, name: &str) -> Option<Self> {
        let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        if values.is_empty() {
            return None;
        }
        let tags: Vec<String> = values.iter().flat_map(|value| value.split(',')).map(bare).collect();
        Some(if tags.iter().any(|tag| tag == "*") { Self::Any } else { Self::These(tags) })
    }

    fn hold(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::These(tags) => tags.iter().any(|tag| tag == etag),
        }
    }
}

/// An ETag without its quotes and its mark of weakness.
pub fn bare(tag: &str) -> String {
    let tag = tag.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag).to_owned()
}

/// The conditions of a read, or of a copy on its source.
#[derive(Debug, Default)]
pub struct ReadConditions {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
    modified_since: Option<SystemTime>,
    unmodified_since: Option<SystemTime>,
}

/// What a read's conditions come to.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Go on.
    Hold,
    /// 412.
    Failed,
    /// 304 for a read; 412 for a copy.
    NotModified,
}

impl ReadConditions {
    /// `prefix` is empty for a read, `x-amz-copy-source-` for a copy. A date that is none is no condition (RFC 9110).
    pub fn of(headers: &HeaderMap, prefix: &str) -> Self {
        let date = |name: &str| {
            let value = headers.get(format!("{prefix}{name}"))?.to_str().ok()?;
            httpdate::parse_http_date(value).ok()
        };
        Self {
            if_match: Tags::of(headers, &format!("{prefix}if-match")),
            if_none_match: Tags::of(headers, &format!("{prefix}if-none-match")),
            modified_since: date("if-modified-since"),
            unmodified_since: date("if-unmodified-since"),
        }
    }

    /// In the order of RFC 9110, 13.2.2. `modified` is in milliseconds; dates of HTTP have seconds.
    pub fn check(&self, etag: &str, modified: i64) -> Outcome {
        let modified = UNIX_EPOCH + Duration::from_secs(u64::try_from(modified / 1000).unwrap_or_default());
        match (&self.if_match, self.unmodified_since) {
            (Some(tags), _) if !tags.hold(etag) => return Outcome::Failed,
            (None, Some(since)) if modified > since => return Outcome::Failed,
            _ => {}
        }
        match (&self.if_none_match, self.modified_since) {
            (Some(tags), _) if tags.hold(etag) => Outcome::NotModified,
            (None, Some(since)) if modified <= since => Outcome::NotModified,
            _ => Outcome::Hold,
        }
    }
}

/// The conditions of a write or a delete, which hold or not inside the transaction that makes it.
#[derive(Clone, Debug, Default)]
pub struct WriteConditions {
    if_match: Option<Tags>,
    if_none_match: bool,
}

impl WriteConditions {
    /// From a request's headers.
    ///
    /// # Errors
    /// `NotImplemented` for an If-None-Match other than `*`, as S3 answers it.
    pub fn of(headers: &HeaderMap) -> S3Result<Self> {
        let if_none_match = match Tags::of(headers, "if-none-match") {
            None => false,
            Some(Tags::Any) => true,
            Some(Tags::These(_)) => {
                return Err(s3_error!(
                    NotImplemented,
                    "A header you provided implies functionality that is not implemented"
                ));
            }
        };
        Ok(Self { if_match: Tags::of(headers, "if-match"), if_none_match })
    }

    /// Of one object of DeleteObjects.
    pub fn matching(etag: &str) -> Self {
        let tags = if etag == "*" { Tags::Any } else { Tags::These(vec![bare(etag)]) };
        Self { if_match: Some(tags), if_none_match: false }
    }

    /// `etag` is that of the current object; `None` where there is none or a delete marker.
    ///
    /// # Errors
    /// `NoSuchKey` where If-Match finds nothing, `PreconditionFailed` where it finds another.
    pub fn check(&self, etag: Option<&str>) -> S3Result<()> {
        match (&self.if_match, etag) {
            (Some(_), None) => return Err(s3_error!(NoSuchKey, "The specified key does not exist.")),
            (Some(tags), Some(etag)) if !tags.hold(etag) => return Err(failed()),
            _ => {}
        }
        if self.if_none_match && etag.is_some() { Err(failed()) } else { Ok(()) }
    }
}

/// The 412 of S3.
pub fn failed() -> S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn reads_follow_the_precedence_of_rfc_9110() {
        let (before, same, after) =
            ("Sat, 01 Jan 2000 00:00:00 GMT", "Sat, 01 Jan 2000 00:00:10 GMT", "Sat, 01 Jan 2000 00:00:20 GMT");
        for (pairs, want) in [
            (vec![], Outcome::Hold),
            (vec![("if-match", "\"e\"")], Outcome::Hold),
            (vec![("if-match", "e")], Outcome::Hold),
            (vec![("if-match", "*")], Outcome::Hold),
            (vec![("if-match", "\"x\"")], Outcome::Failed),
            (vec![("if-match", "\"x\", \"e\"")], Outcome::Hold),
            (vec![("if-none-match", "W/\"e\"")], Outcome::NotModified),
            (vec![("if-none-match", "\"x\"")], Outcome::Hold),
            (vec![("if-modified-since", same)], Outcome::NotModified),
            (vec![("if-modified-since", before)], Outcome::Hold),
            (vec![("if-modified-since", "yesterday")], Outcome::Hold),
            (vec![("if-unmodified-since", same)], Outcome::Hold),
            (vec![("if-unmodified-since", before)], Outcome::Failed),
            (vec![("if-match", "e"), ("if-unmodified-since", before)], Outcome::Hold),
            (vec![("if-none-match", "x"), ("if-modified-since", after)], Outcome::Hold),
            (vec![("if-none-match", "e"), ("if-modified-since", before)], Outcome::NotModified),
            (vec![("if-match", "x"), ("if-none-match", "e")], Outcome::Failed),
        ] {
            let conditions = ReadConditions::of(&headers(&pairs), "");
            assert_eq!(conditions.check("e", 946_684_810_999), want, "{pairs:?}");
        }
    }

    #[test]
    fn writes_ask_for_the_current_object() {
        for (pairs, etag, want) in [
            (vec![], None, Ok(())),
            (vec![("if-none-match", "*")], None, Ok(())),
            (vec![("if-none-match", "*")], Some("e"), Err("PreconditionFailed")),
            (vec![("if-none-match", "e")], None, Err("NotImplemented")),
            (vec![("if-match", "\"e\"")], Some("e"), Ok(())),
            (vec![("if-match", "*")], Some("e"), Ok(())),
            (vec![("if-match", "x")], Some("e"), Err("PreconditionFailed")),
            (vec![("if-match", "*")], None, Err("NoSuchKey")),
        ] {
            let checked = WriteConditions::of(&headers(&pairs)).and_then(|conditions| conditions.check(etag));
            assert_eq!(checked.map_err(|e| e.code().as_str().to_owned()), want.map_err(str::to_owned), "{pairs:?}");
        }
    }
}
