//! Answers of backends: what is read is bounded, what is written for a client reads back the same, and no word of the
//! backend's gets through where none belongs: names of buckets, owners, hosts, comments, unknown elements.
//! Input: a document, or, where it does not begin with `<`, one byte of kind and one of noise, then lines of names.
use s3gateway_s3::xml::{
    Answer, CompleteMultipartUploadResult, CopyObjectResult, CopyPartResult, DeleteResult, ErrorDocument,
    InitiateMultipartUploadResult, ListBucketResult, ListMultipartUploadsResult, ListPartsResult, ListVersion,
    ListVersionsResult, LocationConstraint, Tagging, VersioningConfiguration, XmlError,
};

pub fn check(data: &[u8]) {
    match data {
        [b'<', ..] => check_document(data),
        [kind, noise, names @ ..] => check_words(*kind, *noise, &String::from_utf8_lossy(names)),
        _ => {}
    }
}

fn check_document(xml: &[u8]) {
    for version in [ListVersion::V1, ListVersion::V2] {
        check_stable(xml, |xml| ListBucketResult::parse(version, xml), ListBucketResult::render);
    }
    check_stable(xml, ListMultipartUploadsResult::parse, ListMultipartUploadsResult::render);
    check_stable(xml, ListPartsResult::parse, ListPartsResult::render);
    check_stable(xml, ListVersionsResult::parse, ListVersionsResult::render);
    check_stable(xml, DeleteResult::parse, DeleteResult::render);
    check_stable(xml, InitiateMultipartUploadResult::parse, InitiateMultipartUploadResult::render);
    check_stable(xml, Tagging::parse, Tagging::render);
    check_stable(xml, LocationConstraint::parse, LocationConstraint::render);
    check_stable(xml, VersioningConfiguration::parse, |state| state.render());
    check_stable(xml, |xml| done(CompleteMultipartUploadResult::parse(xml)), CompleteMultipartUploadResult::render);
    check_stable(xml, |xml| done(CopyObjectResult::parse(xml)), CopyObjectResult::render);
    check_stable(xml, |xml| done(CopyPartResult::parse(xml)), CopyPartResult::render);
    if let Ok(error) = ErrorDocument::parse(xml) {
        assert!(!error.code.is_empty() && error.code.len() + error.message.len() <= xml.len());
    }
}

/// An error in an answer of status 200 is never taken for success.
fn done<T>(answer: Result<Answer<T>, XmlError>) -> Result<T, XmlError> {
    match answer? {
        Answer::Done(value) => Ok(value),
        Answer::Failed(error) => {
            assert!(!error.code.is_empty());
            Err(XmlError::Root)
        }
    }
}

/// What is written reads back to the same text. Values are compared as text, since times lose what is below a
/// millisecond, and a document that nobody asked to encode may have to be.
fn check_stable<T>(xml: &[u8], parse: impl Fn(&[u8]) -> Result<T, XmlError>, render: impl Fn(&T) -> String) {
    let Ok(value) = parse(xml) else { return };
    let written = render(&value);
    check_text(&written);
    assert!(written.len() <= 12 * xml.len() + 1024, "{} became {} bytes", xml.len(), written.len());
    match parse(written.as_bytes()) {
        Ok(again) => assert_eq!(render(&again), written),
        Err(error) => panic!("{error} of what was written: {written}"),
    }
}

/// No byte that a reader of XML could take for anything but what was meant.
fn check_text(document: &str) {
    let (_, body) = document.split_once("?>\n").expect("a declaration");
    assert!(!body.bytes().any(|b| b < 0x20), "a control character: {body:?}");
    assert!(!body.contains("<!") && !body.contains("<?"), "more than elements: {body}");
    assert_eq!(body.matches('<').count(), body.matches('>').count(), "unbalanced: {body}");
}

/// What no client may see, and the words of it that are looked for.
const SECRET: &str = "s3gw-0123456789abcdef-01234567.backend.internal";
const WORDS: [&str; 2] = ["s3gw-", "backend.internal"];
/// Stands for noise until it is made.
const MARK: char = '@';

/// A backend's words in every place that is not the object's own.
fn noise(kind: u8) -> String {
    match kind % 6 {
        0 => String::new(),
        1 => format!("<!-- {SECRET} -->"),
        2 => format!("<?backend {SECRET}?>"),
        3 => format!("<HostId>{SECRET}</HostId>"),
        4 => format!("<Owner><ID>{SECRET}</ID><DisplayName>{SECRET}</DisplayName></Owner>"),
        _ => {
            format!("<Extra by=\"{SECRET}\"><Key>{SECRET}</Key><Deep>{SECRET}<Prefix>{SECRET}</Prefix></Deep></Extra>")
        }
    }
}

fn check_words(kind: u8, seed: u8, names: &str) {
    // The mark stands where an entry ends, so no name may hold it.
    let names = names.replace(MARK, "a");
    if WORDS.iter().any(|word| names.contains(word)) {
        return; // a client's own names are its own
    }
    let mut seed = seed;
    let mut noise = || {
        seed = seed.wrapping_mul(5).wrapping_add(1);
        noise(seed >> 3)
    };
    let mut entries = String::new();
    let (entry, named): (Entry, Answered) = match kind % 6 {
        0 => (|key| format!("<Contents><Key>{key}</Key><ETag>{key}</ETag><Size>1</Size>@</Contents>"), listing),
        1 => (|key| format!("<Upload><Key>{key}</Key><UploadId>{key}</UploadId>@</Upload>"), uploads),
        2 => (|key| format!("<Part><PartNumber>1</PartNumber><ETag>{key}</ETag>@</Part>"), parts),
        3 => (|key| format!("<Version><Key>{key}</Key><VersionId>1</VersionId>@</Version>"), versions),
        4 => (|key| format!("<Deleted><Key>{key}</Key>@</Deleted>"), deleted),
        _ => (|key| format!("<Key>{key}</Key><ETag>{key}</ETag>@"), completed),
    };
    for name in names.split('\n').filter(|name| !name.is_empty()).take(50) {
        entries += &entry(&escape(name)).replace(MARK, &noise());
        entries += &noise();
    }
    let (document, read) = named(entries);
    if let Some(written) = read(document.as_bytes()) {
        assert!(!WORDS.iter().any(|word| written.contains(word)), "a leak: {written}");
        check_text(&written);
    }
}

/// Writes the entry of a name.
type Entry = fn(&str) -> String;
/// Writes the answer around its entries, and says how the gateway reads it.
type Answered = fn(String) -> (String, Read);
/// Reads a backend's answer and writes the client's, with the names that are the client's own.
type Read = fn(&[u8]) -> Option<String>;

fn listing(entries: String) -> (String, Read) {
    (format!("<ListBucketResult><Name>{SECRET}</Name>{entries}</ListBucketResult>"), |xml| {
        let page = ListBucketResult::parse(ListVersion::V2, xml).ok()?;
        Some(ListBucketResult { name: "logical".to_owned(), ..page }.render())
    })
}

fn uploads(entries: String) -> (String, Read) {
    let (root, initiator) = ("ListMultipartUploadsResult", format!("<Initiator><ID>{SECRET}</ID></Initiator>"));
    (format!("<{root}><Bucket>{SECRET}</Bucket>{initiator}{entries}</{root}>"), |xml| {
        let page = ListMultipartUploadsResult::parse(xml).ok()?;
        Some(ListMultipartUploadsResult { bucket: "logical".to_owned(), ..page }.render())
    })
}

fn parts(entries: String) -> (String, Read) {
    (format!("<ListPartsResult><Bucket>{SECRET}</Bucket>{entries}</ListPartsResult>"), |xml| {
        let page = ListPartsResult::parse(xml).ok()?;
        Some(ListPartsResult { bucket: "logical".to_owned(), ..page }.render())
    })
}

fn versions(entries: String) -> (String, Read) {
    (format!("<ListVersionsResult><Name>{SECRET}</Name>{entries}</ListVersionsResult>"), |xml| {
        Some(ListVersionsResult::parse(xml).ok()?.render())
    })
}

fn deleted(entries: String) -> (String, Read) {
    (format!("<DeleteResult>{entries}</DeleteResult>"), |xml| Some(DeleteResult::parse(xml).ok()?.render()))
}

fn completed(entries: String) -> (String, Read) {
    let root = "CompleteMultipartUploadResult";
    let location = format!("<Location>http://{SECRET}/</Location><Bucket>{SECRET}</Bucket>");
    (format!("<{root}>{location}{entries}</{root}>"), |xml| {
        let result = done(CompleteMultipartUploadResult::parse(xml)).ok()?;
        Some(CompleteMultipartUploadResult { bucket: "logical".to_owned(), ..result }.render())
    })
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
