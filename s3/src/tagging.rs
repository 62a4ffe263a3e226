//! Tags of objects and buckets: from the header `x-amz-tagging` and from XML, under S3's limits.
//! Source: Amazon S3 User Guide, "Categorizing your objects using tags" and "Using cost allocation S3 bucket tags".
use crate::{S3Code, S3Error, uri};

/// Tags of one object or bucket, in the order given. Those that a client sends obey S3's rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TagSet(Vec<(String, String)>);

impl TagSet {
    /// Most tags that an object may have.
    pub const MAX_TAGS: usize = 10;
    /// Most tags that a bucket may have.
    pub const MAX_BUCKET_TAGS: usize = 50;
    /// Longest key in characters.
    pub const MAX_KEY_CHARS: usize = 128;
    /// Longest value in characters.
    pub const MAX_VALUE_CHARS: usize = 256;

    /// Checks an object's tags against S3's limits.
    ///
    /// # Errors
    /// `BadRequest` for more than ten, `InvalidTag` for a key or value that is too long, empty (key), repeated (key),
    /// reserved (`aws:`) or that holds a character S3 does not allow.
    pub fn validate(tags: Vec<(String, String)>) -> Result<Self, S3Error> {
        if tags.len() > Self::MAX_TAGS {
            return Err(S3Code::BadRequest.because("Object tags cannot be greater than 10"));
        }
        Self::check(tags)
    }

    /// An object's tags as they are kept: the limits are for what clients send, and what stands is told as it is.
    pub fn kept(tags: Vec<(String, String)>) -> Self {
        Self(tags)
    }

    /// Checks a bucket's tags against S3's limits.
    ///
    /// # Errors
    /// As [`TagSet::validate`], with `BadRequest` for more than fifty.
    pub fn validate_of_bucket(tags: Vec<(String, String)>) -> Result<Self, S3Error> {
        if tags.len() > Self::MAX_BUCKET_TAGS {
            return Err(S3Code::BadRequest.because("Bucket tag count cannot be greater than 50"));
        }
        Self::check(tags)
    }

    fn check(tags: Vec<(String, String)>) -> Result<Self, S3Error> {
        for (index, (key, value)) in tags.iter().enumerate() {
            check_key(key)?;
            if value.chars().count() > Self::MAX_VALUE_CHARS || !value.chars().all(is_tag_char) {
                return Err(S3Code::InvalidTag
                    .because("The TagValue you have provided is invalid")
                    .with("TagValue", value.clone()));
            }
            if tags.iter().take(index).any(|(earlier, _)| earlier == key) {
                return Err(invalid_key("Cannot provide multiple Tags with the same key", key));
            }
        }
        Ok(Self(tags))
    }

    /// Parses `x-amz-tagging`: `a=b&c=d`, percent-encoded as an HTML form does it. An empty header is an empty set.
    ///
    /// # Errors
    /// `InvalidArgument` where it does not decode; else as [`TagSet::validate`].
    pub fn parse_header(header: &str) -> Result<Self, S3Error> {
        let decode = |text: &str| {
            uri::decode_form(text).map(|t| t.into_owned()).ok_or_else(|| {
                S3Code::InvalidArgument
                    .because("The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.")
                    .with("ArgumentName", "x-amz-tagging")
            })
        };
        let tags = uri::pairs(header).map(|(k, v)| Ok((decode(k)?, decode(v)?))).collect::<Result<_, S3Error>>()?;
        Self::validate(tags)
    }

    /// The tags as `x-amz-tagging` carries them.
    pub fn render_header(&self) -> String {
        let pair = |(k, v): &(String, String)| format!("{}={}", uri::encode(k.as_bytes()), uri::encode(v.as_bytes()));
        self.0.iter().map(pair).collect::<Vec<_>>().join("&")
    }

    /// The value of one tag.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    /// All tags in order.
    pub fn as_slice(&self) -> &[(String, String)] {
        &self.0
    }

    /// Gives the tags away.
    pub fn into_vec(self) -> Vec<(String, String)> {
        self.0
    }

    /// How many tags.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn check_key(key: &str) -> Result<(), S3Error> {
    if key.is_empty() || key.chars().count() > TagSet::MAX_KEY_CHARS || !key.chars().all(is_tag_char) {
        return Err(invalid_key("The TagKey you have provided is invalid", key));
    }
    if key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:")) {
        return Err(invalid_key("Your TagKey cannot be prefixed with aws:", key));
    }
    Ok(())
}

fn invalid_key(message: &'static str, key: &str) -> S3Error {
    S3Code::InvalidTag.because(message).with("TagKey", key.to_owned())
}

/// Letters, numbers and spaces of any script, and the few signs that S3 allows.
fn is_tag_char(c: char) -> bool {
    c.is_alphanumeric()
        || (c.is_whitespace() && !c.is_control())
        || matches!(c, '+' | '-' | '=' | '.' | '_' | ':' | '/' | '@')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(header: &str) -> Result<Vec<(String, String)>, S3Code> {
        TagSet::parse_header(header).map(TagSet::into_vec).map_err(|e| e.code)
    }

    #[test]
    fn header_form() {
        let tags = |t: &[(&str, &str)]| Ok(t.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        assert_eq!(check(""), tags(&[]));
        assert_eq!(check("a=b&c=d"), tags(&[("a", "b"), ("c", "d")]));
        assert_eq!(check("a+b=c%20d&e"), tags(&[("a b", "c d"), ("e", "")]));
        assert_eq!(check("a=b=c"), tags(&[("a", "b=c")]));
        assert_eq!(check("%C3%A4=%2B"), tags(&[("ä", "+")]));
        assert_eq!(check("a=%zz"), Err(S3Code::InvalidArgument));
        assert_eq!(check("a=%ff"), Err(S3Code::InvalidArgument));
        assert_eq!(check("=b"), Err(S3Code::InvalidTag));
        assert_eq!(check("a=1&a=2"), Err(S3Code::InvalidTag));
        assert_eq!(check("aws:x=1"), Err(S3Code::InvalidTag));
        assert_eq!(check("AWS:x=1"), Err(S3Code::InvalidTag));
        assert_eq!(check("awsx=1"), tags(&[("awsx", "1")]));
        assert_eq!(check("a=%00"), Err(S3Code::InvalidTag));
        assert_eq!(check("a=%0a"), Err(S3Code::InvalidTag));
        assert_eq!(check("a=%3Cb%3E"), Err(S3Code::InvalidTag));
    }

    #[test]
    fn limits() {
        let many = |n: usize| (0..n).map(|i| format!("k{i}=v")).collect::<Vec<_>>().join("&");
        assert_eq!(check(&many(10)).map(|t| t.len()), Ok(10));
        assert_eq!(check(&many(11)), Err(S3Code::BadRequest));
        for (key, value, want) in
            [(128, 256, None), (129, 1, Some(S3Code::InvalidTag)), (1, 257, Some(S3Code::InvalidTag))]
        {
            for c in ["k", "%C3%A4"] {
                assert_eq!(check(&format!("{}={}", c.repeat(key), c.repeat(value))).err(), want, "{key} {value} {c}");
            }
        }
    }

    #[test]
    fn a_bucket_may_have_fifty() {
        let many = |n: usize| (0..n).map(|i| (format!("k{i}"), "v".to_owned())).collect::<Vec<_>>();
        assert_eq!(TagSet::validate_of_bucket(many(50)).map(|t| t.len()).map_err(|e| e.code), Ok(50));
        assert_eq!(TagSet::validate_of_bucket(many(51)).err().map(|e| e.code), Some(S3Code::BadRequest));
        for key in ["", "aws:x", "k0", "<"] {
            let tags = many(1).into_iter().chain([(key.to_owned(), String::new())]).collect();
            assert_eq!(TagSet::validate_of_bucket(tags).err().map(|e| e.code), Some(S3Code::InvalidTag), "{key}");
        }
    }

    proptest! {
        #[test]
        fn the_header_form_comes_back(tags in proptest::collection::vec(("[a-zä +=./:@_-]{1,20}", "[a-z0-9 +=./:@_-]{0,20}"), 0..10)) {
            if let Ok(set) = TagSet::validate(tags) {
                prop_assert_eq!(TagSet::parse_header(&set.render_header()).unwrap(), set);
            }
        }
        #[test]
        fn nothing_panics(header in any::<String>()) {
            let _ = TagSet::parse_header(&header);
        }
    }
}
