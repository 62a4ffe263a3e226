//! Conditional reads and copies: what `If-*` headers decide about an object that exists.
//! Source: RFC 9110 13.2.2 (precedence); Amazon S3 API Reference, "GetObject" and "CopyObject".
use http::HeaderMap;
use s3gateway_s3::etag::{ETag, ETagCondition};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What the conditions say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on.
    Proceed,
    /// 304: the client has it.
    NotModified,
    /// 412.
    PreconditionFailed,
}

/// Decides a GET or HEAD. `etag` as the backend sent it, quoted or not; `last_modified` where known (a condition on a
/// date that nobody knows is ignored, as is one that is no date).
pub fn decide_read(headers: &HeaderMap, etag: &str, last_modified: Option<SystemTime>) -> Decision {
    let conditions = Conditions::parse(headers, "");
    if !conditions.preconditions_hold(etag, last_modified) {
        return Decision::PreconditionFailed;
    }
    if conditions.is_unchanged(etag, last_modified) { Decision::NotModified } else { Decision::Proceed }
}

/// Decides a copy by its `x-amz-copy-source-if-*` headers: never 304, since there is nobody who has the copy.
pub fn decide_copy_source(headers: &HeaderMap, etag: &str, last_modified: Option<SystemTime>) -> Decision {
    let conditions = Conditions::parse(headers, "x-amz-copy-source-");
    let holds = conditions.preconditions_hold(etag, last_modified) && !conditions.is_unchanged(etag, last_modified);
    if holds { Decision::Proceed } else { Decision::PreconditionFailed }
}

struct Conditions {
    /// `Some(None)`: sent, but no ETag in it can be read, so it matches nothing.
    if_match: Option<Option<ETagCondition>>,
    if_none_match: Option<Option<ETagCondition>>,
    if_modified_since: Option<SystemTime>,
    if_unmodified_since: Option<SystemTime>,
}

impl Conditions {
    fn parse(headers: &HeaderMap, prefix: &str) -> Self {
        let text = |name: &str| {
            let values: Vec<&str> = headers
                .get_all(format!("{prefix}{name}"))
                .iter()
                .filter_map(|v| std::str::from_utf8(v.as_bytes()).ok())
                .collect();
            (!values.is_empty()).then(|| values.join(","))
        };
        let etags = |name| text(name).map(|list| ETagCondition::parse(&list).ok());
        let date = |name| text(name).and_then(|value| httpdate::parse_http_date(value.trim()).ok());
        Self {
            if_match: etags("if-match"),
            if_none_match: etags("if-none-match"),
            if_modified_since: date("if-modified-since"),
            if_unmodified_since: date("if-unmodified-since"),
        }
    }

    /// If-Match, or If-Unmodified-Since where the former is absent.
    fn preconditions_hold(&self, etag: &str, last_modified: Option<SystemTime>) -> bool {
        match (&self.if_match, self.if_unmodified_since, last_modified) {
            (Some(condition), _, _) => matches(condition.as_ref(), etag, ETagCondition::matches_strong),
            (None, Some(since), Some(modified)) => whole_seconds(modified) <= since,
            (None, _, _) => true,
        }
    }

    /// If-None-Match, or If-Modified-Since where the former is absent.
    fn is_unchanged(&self, etag: &str, last_modified: Option<SystemTime>) -> bool {
        match (&self.if_none_match, self.if_modified_since, last_modified) {
            (Some(condition), _, _) => matches(condition.as_ref(), etag, ETagCondition::matches_weak),
            (None, Some(since), Some(modified)) => whole_seconds(modified) <= since,
            (None, _, _) => false,
        }
    }
}

fn matches(condition: Option<&ETagCondition>, etag: &str, compare: fn(&ETagCondition, Option<&ETag>) -> bool) -> bool {
    match condition {
        Some(ETagCondition::Any) => true, // the object exists, whatever its ETag looks like
        Some(list) => compare(list, ETag::parse(etag).ok().as_ref()),
        None => false,
    }
}

/// HTTP dates have whole seconds; a backend's time may be finer.
fn whole_seconds(time: SystemTime) -> SystemTime {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => UNIX_EPOCH + Duration::from_secs(since.as_secs()),
        Err(_) => time,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    const BEFORE: &str = "Fri, 01 May 2026 09:59:59 GMT";
    const AT: &str = "Fri, 01 May 2026 10:00:00 GMT";
    const AFTER: &str = "Fri, 01 May 2026 10:00:01 GMT";

    fn modified() -> SystemTime {
        httpdate::parse_http_date(AT).unwrap() + Duration::from_millis(700)
    }

    fn headers(prefix: &str, pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                let name = HeaderName::from_bytes(format!("{prefix}{name}").as_bytes()).unwrap();
                (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
            })
            .collect()
    }

    #[test]
    fn reads_follow_the_precedence_of_rfc_9110() {
        use Decision::*;
        for (pairs, want) in [
            (vec![], Proceed),
            (vec![("if-match", "\"a\"")], Proceed),
            (vec![("if-match", "a")], Proceed),
            (vec![("if-match", "*")], Proceed),
            (vec![("if-match", "\"b\", \"a\"")], Proceed),
            (vec![("if-match", "\"b\""), ("if-match", "\"a\"")], Proceed),
            (vec![("if-match", "W/\"a\"")], PreconditionFailed),
            (vec![("if-match", "\"b\"")], PreconditionFailed),
            (vec![("if-match", "\"")], PreconditionFailed),
            (vec![("if-none-match", "\"a\"")], NotModified),
            (vec![("if-none-match", "W/\"a\"")], NotModified),
            (vec![("if-none-match", "*")], NotModified),
            (vec![("if-none-match", "\"b\"")], Proceed),
            (vec![("if-modified-since", BEFORE)], Proceed),
            (vec![("if-modified-since", AT)], NotModified),
            (vec![("if-modified-since", AFTER)], NotModified),
            (vec![("if-modified-since", "yesterday")], Proceed),
            (vec![("if-unmodified-since", BEFORE)], PreconditionFailed),
            (vec![("if-unmodified-since", AT)], Proceed),
            (vec![("if-unmodified-since", "yesterday")], Proceed),
            (vec![("if-match", "\"a\""), ("if-unmodified-since", BEFORE)], Proceed),
            (vec![("if-match", "\"b\""), ("if-unmodified-since", AFTER)], PreconditionFailed),
            (vec![("if-none-match", "\"b\""), ("if-modified-since", AFTER)], Proceed),
            (vec![("if-none-match", "\"a\""), ("if-modified-since", BEFORE)], NotModified),
            (vec![("if-match", "\"a\""), ("if-none-match", "\"a\"")], NotModified),
            (vec![("if-match", "\"b\""), ("if-none-match", "\"a\"")], PreconditionFailed),
        ] {
            for etag in ["\"a\"", "a"] {
                assert_eq!(decide_read(&headers("", &pairs), etag, Some(modified())), want, "{pairs:?}");
            }
            let copy = headers("x-amz-copy-source-", &pairs);
            let want_copy = if want == Proceed { Proceed } else { PreconditionFailed };
            assert_eq!(decide_copy_source(&copy, "\"a\"", Some(modified())), want_copy, "{pairs:?}");
            assert_eq!(decide_read(&copy, "\"a\"", Some(modified())), Proceed, "the copy's are not the read's");
        }
    }

    #[test]
    fn a_date_that_nobody_knows_decides_nothing() {
        for name in ["if-modified-since", "if-unmodified-since"] {
            assert_eq!(decide_read(&headers("", &[(name, BEFORE)]), "\"a\"", None), Decision::Proceed, "{name}");
        }
    }
}
