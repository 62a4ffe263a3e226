//! The documents, both ways: what comes back, what is refused, and that no bytes make a parser panic.
use super::*;
use crate::{ObjectKey, S3Code, TagSet, checksum::Algorithm};
use proptest::prelude::*;
use std::time::{Duration, SystemTime};

fn at(ms: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(ms)
}

fn text(s: &str) -> String {
    s.to_owned()
}

/// The documents that clients send, as a code or nothing.
fn codes(xml: &[u8]) -> [Option<S3Code>; 5] {
    [
        CreateBucketConfiguration::parse(xml).err().map(|e| e.code),
        Delete::parse(xml).err().map(|e| e.code),
        CompleteMultipartUpload::parse(xml).err().map(|e| e.code),
        Tagging::parse_request(xml).err().map(|e| e.code),
        Tagging::parse_bucket_request(xml).err().map(|e| e.code),
    ]
}

#[test]
fn hostile_documents_are_refused_by_every_parser() {
    const BOMB: &str = r#"<!DOCTYPE l [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>"#;
    const EXTERNAL: &str = r#"<!DOCTYPE l [<!ENTITY a SYSTEM "file:///etc/passwd">]>"#;
    const REMOTE: &str = r#"<!DOCTYPE l SYSTEM "http://169.254.169.254/">"#;
    let bodies = [
        "<CreateBucketConfiguration><LocationConstraint>X</LocationConstraint></CreateBucketConfiguration>",
        "<Delete><Object><Key>X</Key></Object></Delete>",
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>X</ETag></Part></CompleteMultipartUpload>",
        "<Tagging><TagSet><Tag><Key>X</Key><Value>v</Value></Tag></TagSet></Tagging>",
        "<Tagging><TagSet><Tag><Key>X</Key><Value>v</Value></Tag></TagSet></Tagging>",
    ];
    for (index, body) in bodies.into_iter().enumerate() {
        let check = |xml: &str| codes(xml.as_bytes())[index];
        assert_eq!(check(body), None, "{body}");
        assert_eq!(check(&format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<!-- c -->\n{body}\n<!-- c -->")), None);
        assert_eq!(check(&format!("\u{feff}{body}")), None);
        for prolog in
            [BOMB, EXTERNAL, REMOTE, "<!DOCTYPE l>", "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>", "x", "<a/>"]
        {
            assert_eq!(check(&format!("{prolog}{body}")), Some(S3Code::MalformedXML), "{prolog}");
            assert_eq!(check(&format!("{prolog}{}", body.replace('X', "&a;"))), Some(S3Code::MalformedXML), "{prolog}");
        }
        for inner in ["&a;", "&nbsp;", "&", "&#x110000;", "&#xD800;", "&#;", "&#x;", "&#-1;", "&#x+1;", "<b/>"] {
            assert_eq!(check(&body.replace('X', inner)), Some(S3Code::MalformedXML), "{inner} in {body}");
        }
        for broken in [
            body.replace("</", "<"),
            body[..body.len() - 3].to_owned(),
            format!("{body}{body}"),
            format!("{body}x"),
            format!("<Other>{body}</Other>"),
            format!("{}<Extra/></{}", &body[..body.rfind("</").unwrap()], &body[body.rfind("</").unwrap() + 2..]),
            format!("{}text</{}", &body[..body.rfind("</").unwrap()], &body[body.rfind("</").unwrap() + 2..]),
        ] {
            assert_eq!(check(&broken), Some(S3Code::MalformedXML), "{broken}");
        }
        for other in ["not xml", "{\"a\":1}", "<Wrong/>", "<", "<!--", " ", "<a><![CDATA[", "\u{0}"] {
            assert_eq!(check(other), Some(S3Code::MalformedXML), "{other}");
        }
        assert_eq!(codes(b"\xff\xfe<\0a\0")[index], Some(S3Code::MalformedXML));
        let deep = format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000)).replacen("<a>", "<Delete>", 1);
        assert!(matches!(check(&deep), Some(S3Code::MalformedXML | S3Code::MaxMessageLengthExceeded)));
        assert_eq!(check(&format!("{body}{}", " ".repeat(10 << 20))), Some(S3Code::MaxMessageLengthExceeded));
    }
    let missing = Some(S3Code::MissingRequestBodyError);
    assert_eq!(codes(b""), [None, missing, missing, missing, missing]);
}

#[test]
fn prefixes_cdata_and_references_are_understood() {
    let xml = r#"<s3:Delete xmlns:s3="http://s3.amazonaws.com/doc/2006-03-01/"><s3:Object><s3:Key>a<![CDATA[<&]]>&amp;&#x41;&#66;&lt;</s3:Key></s3:Object></s3:Delete>"#;
    let delete = Delete::parse(xml.as_bytes()).unwrap();
    assert_eq!(delete.objects[0].key.as_str(), "a<&&AB<");
}

#[test]
fn create_bucket() {
    let check =
        |xml: &str| CreateBucketConfiguration::parse(xml.as_bytes()).map(|c| c.location_constraint).map_err(|e| e.code);
    let wrap = |inner: &str| {
        format!(
            "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{inner}</CreateBucketConfiguration>"
        )
    };
    assert_eq!(check(""), Ok(None));
    assert_eq!(check("<CreateBucketConfiguration/>"), Ok(None));
    assert_eq!(check(&wrap("<LocationConstraint>fi-hel,de-fra</LocationConstraint>")), Ok(Some(text("fi-hel,de-fra"))));
    assert_eq!(check(&wrap("<LocationConstraint/>")), Ok(Some(text(""))));
    assert_eq!(
        check(&wrap("<LocationConstraint>a</LocationConstraint><LocationConstraint>b</LocationConstraint>")),
        Err(S3Code::MalformedXML)
    );
    assert_eq!(check(&wrap("<Tags><Tag><Key>a</Key><Value>b</Value></Tag></Tags>")), Err(S3Code::NotImplemented));
    assert_eq!(check(&wrap("<Bucket><Type>Directory</Type></Bucket>")), Err(S3Code::NotImplemented));
}

#[test]
fn delete_takes_1_to_1000_objects() {
    let check = |n: usize| {
        let xml = format!("<Delete>{}<Quiet>true</Quiet></Delete>", "<Object><Key>k</Key></Object>".repeat(n));
        Delete::parse(xml.as_bytes()).map(|d| (d.objects.len(), d.quiet)).map_err(|e| e.code)
    };
    assert_eq!(check(1), Ok((1, true)));
    assert_eq!(check(1000), Ok((1000, true)));
    assert_eq!(check(0), Err(S3Code::MalformedXML));
    assert_eq!(check(1001), Err(S3Code::MalformedXML));
    let object = |inner: &str| {
        Delete::parse(format!("<Delete><Object>{inner}</Object></Delete>").as_bytes()).map_err(|e| e.code)
    };
    assert_eq!(object("<Key></Key>"), Err(S3Code::MalformedXML));
    assert_eq!(object("<VersionId>1</VersionId>"), Err(S3Code::MalformedXML));
    assert_eq!(object("<Key>a</Key><Key>b</Key>"), Err(S3Code::MalformedXML));
    assert_eq!(object(&format!("<Key>{}</Key>", "k".repeat(1025))), Err(S3Code::KeyTooLongError));
    assert_eq!(object("<Key>a</Key><VersionId></VersionId>").unwrap().objects[0].version_id, None);
    assert_eq!(object("<Key>a</Key><ETag>x</ETag>").unwrap().objects[0].etag.as_deref(), Some("x"));
    assert_eq!(
        Delete::parse(b"<Delete><Object><Key>a</Key></Object><Quiet>maybe</Quiet></Delete>").map_err(|e| e.code),
        Err(S3Code::MalformedXML)
    );
}

#[test]
fn completed_parts_ascend() {
    let check = |numbers: &[&str]| {
        let part = |n: &&str| format!("<Part><PartNumber>{n}</PartNumber><ETag>\"e\"</ETag></Part>");
        let xml = format!(
            "<CompleteMultipartUpload>{}</CompleteMultipartUpload>",
            numbers.iter().map(part).collect::<String>()
        );
        CompleteMultipartUpload::parse(xml.as_bytes()).map(|c| c.parts.len()).map_err(|e| e.code)
    };
    for (numbers, want) in [
        (&["1"][..], Ok(1)),
        (&["1", "2", "10000"], Ok(3)),
        (&[], Err(S3Code::MalformedXML)),
        (&["2", "1"], Err(S3Code::InvalidPartOrder)),
        (&["1", "1"], Err(S3Code::InvalidPartOrder)),
        (&["0"], Err(S3Code::InvalidArgument)),
        (&["10001"], Err(S3Code::InvalidArgument)),
        (&["-1"], Err(S3Code::MalformedXML)),
        (&["+1"], Err(S3Code::MalformedXML)),
        (&["1e2"], Err(S3Code::MalformedXML)),
        (&[""], Err(S3Code::MalformedXML)),
        (&["99999999999"], Err(S3Code::MalformedXML)),
    ] {
        assert_eq!(check(numbers), want, "{numbers:?}");
    }
    let all: Vec<String> = (1..=10_000).map(|n| n.to_string()).collect();
    assert_eq!(check(&all.iter().map(String::as_str).collect::<Vec<_>>()), Ok(10_000));
    for inner in [
        "<PartNumber>1</PartNumber>",
        "<PartNumber>1</PartNumber><ETag/>",
        "<ETag>e</ETag>",
        "<PartNumber>1</PartNumber><ETag>e</ETag><ChecksumXXH3>a</ChecksumXXH3>",
        "<PartNumber>1</PartNumber><ETag>e</ETag><ChecksumCRC32>a</ChecksumCRC32><ChecksumCRC32>b</ChecksumCRC32>",
    ] {
        let xml = format!("<CompleteMultipartUpload><Part>{inner}</Part></CompleteMultipartUpload>");
        assert_eq!(
            CompleteMultipartUpload::parse(xml.as_bytes()).map_err(|e| e.code),
            Err(S3Code::MalformedXML),
            "{inner}"
        );
    }
}

#[test]
fn tags_are_checked() {
    let check = |inner: &str| {
        Tagging::parse_request(format!("<Tagging><TagSet>{inner}</TagSet></Tagging>").as_bytes()).map_err(|e| e.code)
    };
    assert_eq!(check("").map(|t| t.len()), Ok(0));
    assert_eq!(check("<Tag><Key>a</Key><Value/></Tag>").map(|t| t.get("a").map(str::to_owned)), Ok(Some(text(""))));
    assert_eq!(check("<Tag><Key>a</Key></Tag>"), Err(S3Code::MalformedXML));
    assert_eq!(
        check("<Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>a</Key><Value>2</Value></Tag>"),
        Err(S3Code::InvalidTag)
    );
    assert_eq!(check(&"<Tag><Key>a</Key><Value>1</Value></Tag>".repeat(11)), Err(S3Code::BadRequest));
    assert_eq!(Tagging::parse_request(b"<Tagging/>").map_err(|e| e.code), Err(S3Code::MalformedXML));
}

#[test]
fn a_listing_as_servers_write_it() {
    let xml = br#"<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
      <Name>s3gw-x</Name><Prefix></Prefix><MaxKeys>1000</MaxKeys><Delimiter>%2F</Delimiter><EncodingType>url</EncodingType>
      <IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken><KeyCount>2</KeyCount>
      <Contents><Key>a+b%2Bc</Key><LastModified>2026-01-02T03:04:05.678Z</LastModified><ETag>&quot;e-2&quot;</ETag><Size>5</Size>
        <Owner><ID>secret</ID><DisplayName>backend</DisplayName></Owner><StorageClass>STANDARD</StorageClass><Type>Normal</Type></Contents>
      <CommonPrefixes><Prefix>d%2F</Prefix></CommonPrefixes></ListBucketResult>"#;
    let page = ListBucketResult::parse(ListVersion::V2, xml).unwrap();
    assert_eq!(
        (page.contents[0].key.as_str(), page.contents[0].etag.as_str(), page.contents[0].size),
        ("a b+c", "\"e-2\"", 5)
    );
    assert_eq!(
        (page.delimiter.as_deref(), page.common_prefixes[0].as_str(), page.key_count),
        (Some("/"), "d/", Some(2))
    );
    assert!(page.is_truncated && page.owner.is_none());
    let rendered = page.render();
    assert!(!rendered.contains("secret") && rendered.contains("<Key>a%20b%2Bc</Key>"), "{rendered}");
    for bad in [
        "<ListBucketResult><MaxKeys>-1</MaxKeys></ListBucketResult>",
        "<ListBucketResult><Contents/></ListBucketResult>",
        "<Error><Code>x</Code></Error>",
    ] {
        assert!(ListBucketResult::parse(ListVersion::V1, bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn unknown_elements_of_any_depth_are_skipped_and_owners_are_the_gateways() {
    let deep = format!("{}{}", "<x a='1'>".repeat(100_000), "</x>".repeat(100_000));
    let contents = "<Contents><Key>k</Key></Contents>";
    let xml = format!("<ListBucketResult>{deep}{contents}<y/>{contents}</ListBucketResult>");
    let mut page = ListBucketResult::parse(ListVersion::V1, xml.as_bytes()).unwrap();
    assert_eq!(page.contents.len(), 2);
    page.owner = Some(Owner { id: text("t"), display_name: text("n") });
    let xml = page.render();
    assert_eq!(xml.matches("<Owner><ID>t</ID><DisplayName>n</DisplayName></Owner>").count(), 2, "{xml}");
    assert!(ListBucketResult::parse(ListVersion::V1, &xml.as_bytes()[..xml.len() - 1]).is_err());
}

#[test]
fn a_listing_of_names_that_xml_cannot_hold_says_how_it_wrote_them() {
    let mut page = ListBucketResult { contents: vec![object(text("a\u{1}/b"))], ..ListBucketResult::default() };
    let xml = page.render();
    assert!(xml.contains("<EncodingType>url</EncodingType>") && xml.contains("<Key>a%01/b</Key>"), "{xml}");
    page.contents[0].key = text("a\t\r\n/b");
    let xml = page.render();
    assert!(!xml.contains("EncodingType") && xml.contains("<Key>a&#9;&#13;&#10;/b</Key>"), "{xml}");
}

#[test]
fn an_error_in_an_answer_of_status_200_is_an_error() {
    let error = b" \n\n <?xml version=\"1.0\"?>\n<Error><Code>InternalError</Code><Message>m</Message><BucketName>s3gw-x</BucketName></Error>";
    let want = ErrorDocument { code: text("InternalError"), message: text("m"), request_id: None };
    assert_eq!(CompleteMultipartUploadResult::parse(error), Ok(Answer::Failed(want.clone())));
    assert_eq!(CopyObjectResult::parse(error), Ok(Answer::Failed(want.clone())));
    assert_eq!(CopyPartResult::parse(error), Ok(Answer::Failed(want)));
    for bad in [&b""[..], b"<Other/>", b"<Error/>", b"<CopyObjectResult/>"] {
        assert!(CopyObjectResult::parse(bad).is_err(), "{bad:?}");
    }
    let done = b"  <CompleteMultipartUploadResult><Location>http://backend/s3gw-x/k</Location><ETag></ETag></CompleteMultipartUploadResult>";
    assert_eq!(CompleteMultipartUploadResult::parse(done), Ok(Answer::Done(CompleteMultipartUploadResult::default())));
}

#[test]
fn documents_that_only_go_out() {
    let owner = Owner { id: text("t1"), display_name: text("<t>") };
    let buckets = vec![BucketEntry { name: text("b"), creation_date: at(0), region: Some(text("fi-hel")) }];
    let xml = ListAllMyBucketsResult { owner, buckets, prefix: None, continuation_token: Some(text("n")) }.render();
    assert!(xml.ends_with("<Owner><ID>t1</ID><DisplayName>&lt;t&gt;</DisplayName></Owner><Buckets><Bucket><Name>b</Name><CreationDate>1970-01-01T00:00:00.000Z</CreationDate><BucketRegion>fi-hel</BucketRegion></Bucket></Buckets><ContinuationToken>n</ContinuationToken></ListAllMyBucketsResult>"), "{xml}");
    let attributes = GetObjectAttributesResponse {
        etag: Some(text("\"e-1\"")),
        checksums: Some(vec![(Algorithm::Crc32, text("AAAAAA==-1"))]),
        object_parts: Some(ObjectParts { total_parts_count: 1, ..ObjectParts::default() }),
        object_size: Some(5),
        ..GetObjectAttributesResponse::default()
    };
    let xml = attributes.render();
    assert!(xml.ends_with("<ETag>e-1</ETag><Checksum><ChecksumCRC32>AAAAAA==-1</ChecksumCRC32></Checksum><ObjectParts><PartsCount>1</PartsCount></ObjectParts><ObjectSize>5</ObjectSize></GetObjectAttributesResponse>"), "{xml}");
    let upload = InitiateMultipartUploadResult { bucket: text("b"), key: text("k"), upload_id: text("u") };
    assert_eq!(InitiateMultipartUploadResult::parse(upload.render().as_bytes()), Ok(upload));
    assert!(InitiateMultipartUploadResult::parse(b"<InitiateMultipartUploadResult/>").is_err());
    let empty = b"<LocationConstraint xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"/>";
    assert_eq!(LocationConstraint::parse(empty), Ok(LocationConstraint::default()));
    assert_eq!(BucketEntry::parse_all(b"<ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>"), Ok(vec![]));
    for bucket in [
        "<Name>b</Name>",
        "<CreationDate>2026-01-01T00:00:00Z</CreationDate>",
        "<Name>b</Name><CreationDate>soon</CreationDate>",
    ] {
        let xml =
            format!("<ListAllMyBucketsResult><Buckets><Bucket>{bucket}</Bucket></Buckets></ListAllMyBucketsResult>");
        assert_eq!(BucketEntry::parse_all(xml.as_bytes()), Err(XmlError::Schema), "{bucket}");
    }
}

#[test]
fn limits_are_published_for_every_xml_body() {
    use crate::Operation as O;
    assert_eq!(body_limit(O::DeleteObjects), Some(2 * 1024 * 1024));
    for operation in [O::CreateBucket, O::CompleteMultipartUpload, O::PutObjectTagging, O::PutBucketTagging] {
        assert!(body_limit(operation).is_some_and(|n| n < 10 << 20), "{operation:?}");
    }
    assert_eq!(body_limit(O::PutObject), None);
}

fn object(key: String) -> ObjectEntry {
    ObjectEntry {
        key,
        last_modified: at(1_767_323_045_678),
        etag: text("\"e\""),
        checksum_algorithms: vec![text("CRC32")],
        checksum_type: Some(text("FULL_OBJECT")),
        size: 7,
        storage_class: text("STANDARD"),
    }
}

/// Any key that S3 allows, with the characters that XML, URLs and terminals dislike in it.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[\\x00-\\x7f]{1,40}", "[ +%&<>'\"/?#\\t\\r\\n\\x01\u{fffe}ä😀\\]]{1,40}"]
        .prop_filter("1 to 1,024 bytes", |k| (1..=1024).contains(&k.len()))
}

proptest! {
    #[test]
    fn keys_survive_every_document(key in key(), other in key(), url in any::<bool>(), v1 in any::<bool>()) {
        let parsed = ObjectKey::parse(&key).unwrap();
        let delete = Delete { objects: vec![ObjectToDelete::new(parsed)], quiet: url };
        prop_assert_eq!(Delete::parse(delete.render().as_bytes()).unwrap(), delete);

        let result = DeleteResult {
            deleted: vec![DeletedObject { key: key.clone(), version_id: Some(text("1")), delete_marker: Some(true), delete_marker_version_id: None }],
            errors: vec![DeleteError { key: other.clone(), version_id: None, code: text("AccessDenied"), message: text("m") }],
        };
        prop_assert_eq!(DeleteResult::parse(result.render().as_bytes()).unwrap(), result);

        let version = if v1 { ListVersion::V1 } else { ListVersion::V2 };
        let page = ListBucketResult {
            version, name: text("b"), prefix: other.clone(), delimiter: Some(text("/")), max_keys: 1000, url_encoded: url, is_truncated: true,
            marker: v1.then(|| key.clone()), next_marker: v1.then(|| other.clone()), key_count: (!v1).then_some(2), continuation_token: (!v1).then(|| text("t")),
            next_continuation_token: (!v1).then(|| text("n")), start_after: (!v1).then(|| key.clone()),
            owner: None, contents: vec![object(key.clone())], common_prefixes: vec![other.clone()],
        };
        let mut back = ListBucketResult::parse(version, page.render().as_bytes()).unwrap();
        prop_assert!(back.url_encoded || !url);
        back.url_encoded = url;
        prop_assert_eq!(back, page);

        let uploads = ListMultipartUploadsResult {
            bucket: text("b"), key_marker: key.clone(), upload_id_marker: text("u"), next_key_marker: Some(other.clone()), next_upload_id_marker: Some(text("v")),
            prefix: key.clone(), delimiter: Some(text("/")), max_uploads: 5, url_encoded: url, is_truncated: true, owner: None,
            uploads: vec![UploadEntry { key: key.clone(), upload_id: text("u"), initiated: at(5), storage_class: text("STANDARD"), checksum_algorithm: Some(text("CRC32")), checksum_type: None }],
            common_prefixes: vec![other.clone()],
        };
        let mut back = ListMultipartUploadsResult::parse(uploads.render().as_bytes()).unwrap();
        back.url_encoded = url;
        prop_assert_eq!(back, uploads);

        let parts = ListPartsResult {
            bucket: text("b"), key: key.clone(), upload_id: text("u"), part_number_marker: 1, next_part_number_marker: Some(2), max_parts: 3, url_encoded: url,
            is_truncated: true, owner: None, storage_class: Some(text("STANDARD")), checksum_algorithm: None, checksum_type: Some(text("COMPOSITE")),
            parts: vec![PartEntry { part_number: 2, last_modified: at(9), etag: text("\"e\""), size: 4, checksums: vec![(Algorithm::Sha256, text("x"))] }],
        };
        let mut back = ListPartsResult::parse(parts.render().as_bytes()).unwrap();
        back.url_encoded = url;
        prop_assert_eq!(back, parts);
    }

    #[test]
    fn small_documents_come_back(value in key(), ms in 0u64..4_102_444_800_000, n in 1u32..=10_000) {
        let checksums = vec![(Algorithm::Crc64Nvme, value.clone())];
        let location = LocationConstraint(value.clone());
        prop_assert_eq!(LocationConstraint::parse(location.render().as_bytes()).unwrap(), location);
        let bucket = BucketEntry { name: value.clone(), creation_date: at(ms), region: (n > 1).then(|| text("fi-hel")) };
        let owner = Owner { id: value.clone(), display_name: value.clone() };
        let listed = ListAllMyBucketsResult { owner, buckets: vec![bucket.clone(), bucket], prefix: None, continuation_token: None };
        prop_assert_eq!(BucketEntry::parse_all(listed.render().as_bytes()).unwrap(), listed.buckets);
        let create = CreateBucketConfiguration { location_constraint: Some(value.clone()) };
        prop_assert_eq!(CreateBucketConfiguration::parse(create.render().as_bytes()).unwrap(), create);
        let complete = CompleteMultipartUpload { parts: vec![CompletedPart { part_number: n, etag: value.clone(), checksums: checksums.clone() }] };
        prop_assert_eq!(CompleteMultipartUpload::parse(complete.render().as_bytes()).unwrap(), complete);
        let tags = Tagging { tags: vec![(value.clone(), value.clone()), (text("a"), text(""))] };
        prop_assert_eq!(Tagging::parse(tags.render().as_bytes()).unwrap(), tags);
        let copied = CopyObjectResult { etag: value.clone(), last_modified: at(ms), checksums: checksums.clone(), checksum_type: Some(text("FULL_OBJECT")) };
        prop_assert_eq!(CopyObjectResult::parse(copied.render().as_bytes()).unwrap(), Answer::Done(copied));
        let part = CopyPartResult { etag: value.clone(), last_modified: at(ms), checksums: checksums.clone() };
        prop_assert_eq!(CopyPartResult::parse(part.render().as_bytes()).unwrap(), Answer::Done(part));
        let done = CompleteMultipartUploadResult { location: String::new(), bucket: text("b"), key: value.clone(), etag: Some(text("\"e-2\"")), checksums, checksum_type: None };
        prop_assert_eq!(CompleteMultipartUploadResult::parse(done.render().as_bytes()).unwrap(), Answer::Done(done));
    }

    #[test]
    fn no_bytes_panic(xml in any::<Vec<u8>>(), pieces in "(<[/!?a-zA-Z]{0,9}|>|&[#x0-9a-z]{0,5};?|<!\\[CDATA\\[|\\]\\]>|<!--|-->|[ a-z]){0,30}") {
        for bytes in [&xml[..], pieces.as_bytes(), format!("<Delete><Object><Key>{pieces}").as_bytes(), format!("<ListBucketResult>{pieces}</ListBucketResult>").as_bytes()] {
            let _ = codes(bytes);
            let _ = (ListBucketResult::parse(ListVersion::V1, bytes), ListMultipartUploadsResult::parse(bytes), ListPartsResult::parse(bytes));
            let _ = (InitiateMultipartUploadResult::parse(bytes), CompleteMultipartUploadResult::parse(bytes), CopyObjectResult::parse(bytes));
            let _ = (DeleteResult::parse(bytes), Tagging::parse(bytes), ErrorDocument::parse(bytes), LocationConstraint::parse(bytes), BucketEntry::parse_all(bytes));
        }
    }

    #[test]
    fn valid_tags_come_back_checked(tags in proptest::collection::vec(("[a-zä +=./:@_-]{1,20}", "[a-z0-9 +=./:@_-]{0,20}"), 0..10)) {
        if let Ok(set) = TagSet::validate(tags) {
            prop_assert_eq!(Tagging::parse_request(Tagging::from(set.clone()).render().as_bytes()).unwrap(), set);
        }
    }
}
