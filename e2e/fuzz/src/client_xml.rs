//! Documents that clients send: what is read is bounded by what was sent, and comes back when it is written anew.
//! Input: a document.
use s3gateway_s3::S3Error;
use s3gateway_s3::xml::{
    CompleteMultipartUpload, CreateBucketConfiguration, Delete, ErrorDocument, Tagging, VersioningConfiguration,
};
use std::fmt::Debug;

pub fn check(data: &[u8]) {
    both_ways(data, Delete::parse, Delete::render, |delete| {
        assert!((1..=Delete::MAX_OBJECTS).contains(&delete.objects.len()));
        delete.objects.iter().map(|object| object.key.as_str().len()).sum()
    });
    both_ways(data, CompleteMultipartUpload::parse, CompleteMultipartUpload::render, |upload| {
        let numbers: Vec<u32> = upload.parts.iter().map(|part| part.part_number).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b) && numbers.iter().all(|n| (1..=10_000).contains(n)));
        upload.parts.iter().map(|part| part.etag.len()).sum()
    });
    let length = |tags: &[(String, String)]| tags.iter().map(|(key, value)| key.len() + value.len()).sum();
    let render = |tags: &s3gateway_s3::TagSet| Tagging::from(tags.clone()).render();
    both_ways(data, Tagging::parse_request, render, |tags| length(tags.as_slice()));
    both_ways(data, Tagging::parse_bucket_request, render, |tags| length(tags.as_slice()));
    both_ways(data, VersioningConfiguration::parse_request, |state| state.render(), |_| 0);
    both_ways(data, CreateBucketConfiguration::parse, CreateBucketConfiguration::render, |configuration| {
        configuration.location_constraint.as_deref().map_or(0, str::len)
    });
}

/// `length`: bytes of text that the value holds.
fn both_ways<T: PartialEq + Debug>(
    xml: &[u8],
    parse: fn(&[u8]) -> Result<T, S3Error>,
    render: impl Fn(&T) -> String,
    length: impl Fn(&T) -> usize,
) {
    match parse(xml) {
        Ok(value) => {
            // A character reference of four bytes at least gives at most four.
            assert!(length(&value) <= xml.len(), "more text than was sent");
            let written = render(&value);
            // The longest escape is of a byte into six; what is empty in one form has two tags in the other.
            assert!(written.len() <= 6 * xml.len() + 256, "{} became {} bytes", xml.len(), written.len());
            match parse(written.as_bytes()) {
                Ok(again) => assert_eq!(again, value, "{written}"),
                Err(error) => panic!("{error:?} of what was written: {written}"),
            }
        }
        Err(error) => {
            let document = error.render_xml("/", "id");
            let read = ErrorDocument::parse(document.as_bytes()).expect("an error is a document");
            assert_eq!(
                (read.code.as_str(), error.status() / 100),
                (error.code.name(), if error.status() < 500 { 4 } else { 5 })
            );
            assert!(document.len() <= 12 * xml.len() + 1024, "an error of {} bytes", document.len());
        }
    }
}
