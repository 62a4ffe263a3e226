//! One parse: what a target, a host and headers become is what was sent, and stays so when it is written anew.
//! Input: a request's head as text.
use crate::input::{Head, decode, encode};
use s3gateway_s3::{Addressing, Operation, S3Error, S3Request, xml::ErrorDocument};

/// Parameters that S3 gives a meaning of its own: a request with one is never the operation without it.
const SUB_RESOURCES: [&str; 41] = [
    "abac",
    "accelerate",
    "acl",
    "analytics",
    "annotation",
    "attributes",
    "cors",
    "delete",
    "encryption",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "location",
    "logging",
    "metadataAnnotationTable",
    "metadataConfiguration",
    "metadataInventoryTable",
    "metadataJournalTable",
    "metadataTable",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policy",
    "policyStatus",
    "publicAccessBlock",
    "renameObject",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "session",
    "tagging",
    "torrent",
    "uploads",
    "uploadId",
    "versioning",
    "versions",
    "website",
];

/// Operations that no sub-resource names.
fn is_plain(operation: Operation) -> bool {
    use Operation as O;
    matches!(
        operation,
        O::CreateBucket
            | O::DeleteBucket
            | O::HeadBucket
            | O::ListObjects
            | O::ListObjectsV2
            | O::GetObject
            | O::HeadObject
            | O::PutObject
            | O::DeleteObject
            | O::CopyObject
    )
}

pub fn check(data: &[u8]) {
    let Some(head) = Head::read(data) else { return };
    let Some(parsed) = head.parse() else { return };
    match parsed {
        Ok(request) => check_request(&head, &request),
        Err(error) => check_error(&error),
    }
}

fn check_request(head: &Head, request: &S3Request) {
    let (path, query) = parts(&head.target);
    check_names(request, path);
    let sent: Vec<(String, String)> = query
        .split('&')
        .filter(|piece| !piece.is_empty())
        .map(|piece| piece.split_once('=').unwrap_or((piece, "")))
        .map(|(name, value)| (text(decode(name, true)), text(decode(value, true))))
        .collect();
    let read: Vec<(String, String)> = request.query.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    assert_eq!(read, sent, "other parameters than were sent");
    if request.bucket.is_some() && read.iter().any(|(name, _)| SUB_RESOURCES.contains(&name.as_str())) {
        assert!(!is_plain(request.operation), "{:?} with a sub-resource", request.operation);
    }
    for name in request.headers.keys() {
        assert!(request.headers.get_all(name).iter().nth(1).is_none(), "{name} twice");
    }
    // What the accessors take is theirs to refuse, not to panic over.
    let _ = (request.version_id(), request.part_number(), request.copy_source());
    assert!(request.resource().bytes().all(|b| b.is_ascii_graphic()), "unsafe in a log");
    check_again(head, request);
}

/// The names are the path's own bytes, decoded once, and they are what the canonical path says: what is verified is what
/// is routed.
fn check_names(request: &S3Request, path: &str) {
    let decoded = text(decode(path, false));
    assert_eq!(request.canonical_path, encode(decoded.as_bytes(), b"/"));
    assert!(request.canonical_path.len() <= 3 * path.len());
    let key = request.key.as_ref().map_or("", |key| key.as_str());
    assert!(key.len() <= 1024);
    let named = match (request.addressing, &request.bucket) {
        (Addressing::Path, Some(bucket)) => format!("/{}/{key}", bucket.as_str()),
        (Addressing::VirtualHost, Some(bucket)) => {
            assert!(request.host.starts_with(&format!("{}.", bucket.as_str())));
            format!("/{key}")
        }
        (_, None) if request.operation == Operation::WriteGetObjectResponse => "/WriteGetObjectResponse/".to_owned(),
        (_, None) => "/".to_owned(),
    };
    assert!(decoded == named || format!("{decoded}/") == named, "{decoded:?} became {named:?}");
}

/// Written anew in canonical form it is the same request.
fn check_again(head: &Head, request: &S3Request) {
    let query: Vec<String> = request
        .query
        .iter()
        .map(|(n, v)| format!("{}={}", encode(n.as_bytes(), b""), encode(v.as_bytes(), b"")))
        .collect();
    let target = format!("{}?{}", request.canonical_path, query.join("&"));
    if target.len() > 16 * 1024 {
        return; // as it was sent it was shorter
    }
    let again = Head { target, ..head.clone() }.parse().unwrap().expect("a parsed request parses again");
    assert_eq!(again.operation, request.operation);
    assert_eq!((again.bucket, again.key), (request.bucket.clone(), request.key.clone()));
    assert_eq!(again.query, request.query);
    assert_eq!(again.canonical_path, request.canonical_path);
}

/// Whatever a stranger wrote, the error's document is XML and says the code.
fn check_error(error: &S3Error) {
    let document = error.render_xml("/", "id");
    let read = ErrorDocument::parse(document.as_bytes()).expect("an error is a document");
    assert_eq!(read.code, error.code.name());
    assert!((400..600).contains(&error.status()));
}

fn parts(target: &str) -> (&str, &str) {
    let origin = match target.starts_with('/') {
        true => target,
        false => {
            let authority = target.split_once("://").map_or("", |(_, rest)| rest);
            authority.find(['/', '?']).map_or("", |at| &authority[at..])
        }
    };
    let (path, query) = origin.split_once('?').unwrap_or((origin, ""));
    (if path.is_empty() { "/" } else { path }, query)
}

fn text(bytes: Option<Vec<u8>>) -> String {
    String::from_utf8(bytes.expect("an accepted target decodes")).expect("an accepted target is UTF-8")
}
