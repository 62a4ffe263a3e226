//! Values of single headers: tags, ETags, checksums and the replica count come back when they are written anew.
//! Input: a value.
use s3gateway_filters::replica_count;
use s3gateway_s3::checksum::{self, Algorithm};
use s3gateway_s3::etag::{self, ETag, ETagCondition};
use s3gateway_s3::xml::{Tagging, parse_timestamp, render_timestamp};
use s3gateway_s3::{TagSet, VersionId};

pub fn check(data: &[u8]) {
    let Ok(value) = std::str::from_utf8(data) else { return };
    check_tags(value);
    check_etags(value);
    for algorithm in Algorithm::ALL {
        if let Some(digest) = checksum::parse_value(algorithm, value) {
            assert_eq!((digest.len(), checksum::render_value(&digest).as_str()), (algorithm.digest_len(), value));
        }
    }
    if let Some(md5) = checksum::parse_content_md5(value) {
        assert_eq!(checksum::render_value(&md5), value);
    }
    if let Ok(version) = VersionId::parse(value) {
        assert!(version.as_str() == value && value.bytes().all(|b| b.is_ascii_graphic()));
    }
    if let Ok(count) = replica_count::parse_tag(value, 9) {
        assert!((1..=9).contains(&count) && count.to_string() == value);
    }
    if let Some(time) = parse_timestamp(value) {
        let written = render_timestamp(time);
        assert_eq!(parse_timestamp(&written).map(render_timestamp), Some(written));
    }
}

/// Tags read from a header are within S3's limits, and header and XML carry them unchanged.
fn check_tags(value: &str) {
    let Ok(tags) = TagSet::parse_header(value) else { return };
    assert!(tags.len() <= TagSet::MAX_TAGS);
    let bytes: usize = tags.as_slice().iter().map(|(key, value)| key.len() + value.len()).sum();
    assert!(bytes <= value.len());
    assert_eq!(TagSet::parse_header(&tags.render_header()).as_ref().ok(), Some(&tags));
    let document = Tagging::from(tags.clone()).render();
    assert_eq!(Tagging::parse_request(document.as_bytes()).ok(), Some(tags));
}

fn check_etags(value: &str) {
    if let Ok(tag) = ETag::parse(value) {
        assert_eq!(ETag::parse(&tag.to_string()).as_ref(), Ok(&tag));
        assert!(tag.weak_eq(&tag) && tag.strong_eq(&tag) != tag.is_weak());
    }
    assert_eq!(etag::unquoted(&etag::quoted(value)), etag::unquoted(value));
    if let Ok(ETagCondition::List(tags)) = ETagCondition::parse(value) {
        assert!(!tags.is_empty() && tags.len() <= value.len());
        let written = tags.iter().map(ETag::to_string).collect::<Vec<_>>().join(", ");
        assert_eq!(ETagCondition::parse(&written), Ok(ETagCondition::List(tags)));
    }
}
