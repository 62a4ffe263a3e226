//! Tag sets: their forms on the wire and in the store, and what S3 allows in them.
//! Source: User Guide, "Categorizing your objects using tags"; Amazon S3 API Reference, PutObjectTagging, PutBucketTagging.
use crate::error::refusal;
use s3s::{
    S3Result,
    dto::{Tag, TagSet},
    s3_error,
};
use std::collections::BTreeMap;

/// Names with values, in the order of the names.
pub type Tags = BTreeMap<String, String>;

/// As many as an object may have.
pub const OF_OBJECT: usize = 10;
/// As many as a bucket may have.
pub const OF_BUCKET: usize = 50;

/// From the value of `x-amz-tagging`, which is encoded as a URL's query is.
pub fn parse_header(value: &str) -> S3Result<Tags> {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8().map(|text| text.into_owned());
        decoded.map_err(|_| s3_error!(InvalidArgument, "The header 'x-amz-tagging' shall be encoded as UTF-8"))
    };
    let mut pairs = Vec::new();
    for pair in value.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        pairs.push((decode(name)?, decode(value)?));
    }
    check(pairs, OF_OBJECT)
}

/// From the document of PutObjectTagging and PutBucketTagging.
pub fn from_document(set: TagSet, limit: usize) -> S3Result<Tags> {
    let pairs = set.into_iter().map(|tag| match (tag.key, tag.value) {
        (Some(key), Some(value)) => Ok((key, value)),
        _ => Err(s3_error!(MalformedXML)),
    });
    check(pairs.collect::<S3Result<Vec<_>>>()?, limit)
}

/// As the document of GetObjectTagging.
pub fn to_document(tags: Tags) -> TagSet {
    tags.into_iter().map(|(key, value)| Tag { key: Some(key), value: Some(value) }).collect()
}

fn check(pairs: Vec<(String, String)>, limit: usize) -> S3Result<Tags> {
    if pairs.len() > limit {
        return Err(refusal("BadRequest", "Object tags cannot be greater than 10"));
    }
    let mut tags = Tags::new();
    for (key, value) in pairs {
        if key.is_empty()
            || key.chars().count() > 128
            || key.to_ascii_lowercase().starts_with("aws:")
            || !is_clean(&key)
        {
            return Err(s3_error!(InvalidTag, "The TagKey you have provided is invalid"));
        }
        if value.chars().count() > 256 || !is_clean(&value) {
            return Err(s3_error!(InvalidTag, "The TagValue you have provided is invalid"));
        }
        if tags.insert(key, value).is_some() {
            return Err(s3_error!(InvalidTag, "Cannot provide multiple Tags with the same key"));
        }
    }
    Ok(tags)
}

/// Letters, digits and spaces of Unicode, and `+ - = . _ : / @`.
fn is_clean(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || c == ' ' || "+-=._:/@".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_decoded_and_checked() {
        for (header, want) in [
            ("", Ok(vec![])),
            ("a=1&b=two%20words", Ok(vec![("a", "1"), ("b", "two words")])),
            ("a=", Ok(vec![("a", "")])),
            ("a", Ok(vec![("a", "")])),
            ("a%2Bb%2F%C3%BC=c%3Dd", Ok(vec![("a+b/ü", "c=d")])),
            ("a=1&a=2", Err("InvalidTag")),
            ("aws:a=1", Err("InvalidTag")),
            ("=1", Err("InvalidTag")),
            ("a=%3C", Err("InvalidTag")),
            ("a=%FF", Err("InvalidArgument")),
            ("a&b&c&d&e&f&g&h&i&j&k", Err("BadRequest")),
        ] {
            let found = parse_header(header).map_err(|error| error.code().as_str().to_owned());
            let want = want.map(|pairs| pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect());
            assert_eq!(found, want.map_err(str::to_owned), "{header}");
        }
    }
}
