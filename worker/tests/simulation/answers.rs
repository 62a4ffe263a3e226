//! What a simulated backend does and answers, as S3 does: objects, tags, uploads in parts, listings. One request at a time.
use super::ask::{Ask, elements};
use super::held::{Held, Shown, Stored, Upload, Words};
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::primitives::SdkBody;
use bytes::Bytes;

/// How a backend may be false.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Falsehood {
    #[default]
    None,
    /// It keeps other bytes, and shows an ETag of those.
    OtherBytes,
    /// It keeps other bytes, and shows the ETag of what was sent.
    OtherBytesUnseen,
    /// It keeps nothing.
    Nothing,
}

/// An answer, and whether the object of that key may be another now.
pub struct Answer {
    pub response: HttpResponse,
    pub changed: bool,
}

pub fn answer(held: &mut Held, ask: &Ask, body: Bytes, falsehood: Falsehood, is_stale: bool) -> Answer {
    let response = match (ask.method.as_str(), ask.key.as_str()) {
        ("GET", "") if !ask.has_bucket => xml("<ListAllMyBucketsResult><Buckets></Buckets></ListAllMyBucketsResult>"),
        ("HEAD", "") => empty(if held.has_bucket { 200 } else { 404 }),
        ("PUT", "") if held.has_bucket => error(409, "BucketAlreadyOwnedByYou"),
        ("PUT", "") => {
            held.has_bucket = true;
            empty(200)
        }
        _ if !held.has_bucket => error(404, "NoSuchBucket"),
        ("GET", "") if ask.asks("uploads").is_some() => list_uploads(held, ask),
        ("GET", "") => list(held, ask, is_stale),
        _ if ask.asks("uploads").is_some() || ask.asks("uploadId").is_some() => return upload(held, ask, body),
        _ if ask.asks("tagging").is_some() => return tagging(held, ask, &body),
        ("PUT", _) if ask.header("x-amz-copy-source").is_some() => return copy_itself(held, ask),
        ("PUT", key) => return put(held, ask, key, body, falsehood),
        ("DELETE", key) => {
            let changed = held.objects.remove(key).is_some();
            return Answer { response: empty(204), changed };
        }
        ("HEAD" | "GET", key) => match held.objects.get(key) {
            None if ask.method == "HEAD" => empty(404),
            None => error(404, "NoSuchKey"),
            Some(stored) => show(stored, ask),
        },
        _ => error(501, "NotImplemented"),
    };
    Answer { response, changed: false }
}

fn put(held: &mut Held, ask: &Ask, key: &str, body: Bytes, falsehood: Falsehood) -> Answer {
    if ask.header("content-length").and_then(|length| length.parse().ok()) != Some(body.len()) {
        return Answer { response: error(400, "IncompleteBody"), changed: false };
    }
    let mut stored = Stored::whole(body, ask.content_headers(), ask.tags());
    match falsehood {
        Falsehood::None | Falsehood::Nothing => {}
        Falsehood::OtherBytes => stored = Stored::whole(stored.corrupted(), stored.headers, stored.tags),
        Falsehood::OtherBytesUnseen => stored.body = stored.corrupted(),
    }
    let response = with(empty(200), "etag", &format!("\"{}\"", stored.etag));
    if falsehood != Falsehood::Nothing {
        held.keep(key, stored);
    }
    Answer { response, changed: true }
}

fn copy_itself(held: &mut Held, ask: &Ask) -> Answer {
    let Some(stored) = held.objects.get_mut(&ask.key) else {
        return Answer { response: error(404, "NoSuchKey"), changed: false };
    };
    let wanted = ask.header("x-amz-copy-source-if-match").map(|etag| etag.trim_matches('"'));
    if wanted.is_some_and(|etag| etag != stored.etag) {
        return Answer { response: error(412, "PreconditionFailed"), changed: false };
    }
    (stored.headers, stored.modified) = (ask.content_headers(), held.now);
    let etag = &stored.etag;
    let response = xml(&format!("<CopyObjectResult><ETag>\"{etag}\"</ETag></CopyObjectResult>"));
    Answer { response, changed: true }
}

fn tagging(held: &mut Held, ask: &Ask, body: &[u8]) -> Answer {
    let Some(stored) = held.objects.get_mut(&ask.key) else {
        return Answer { response: error(404, "NoSuchKey"), changed: false };
    };
    let (response, tags) = match ask.method.as_str() {
        "GET" => {
            let row = |(name, value): (&String, &String)| format!("<Tag><Key>{name}</Key><Value>{value}</Value></Tag>");
            let rows: String = stored.tags.iter().map(row).collect();
            (xml(&format!("<Tagging><TagSet>{rows}</TagSet></Tagging>")), None)
        }
        "DELETE" => (empty(204), Some(Words::new())),
        _ => {
            let document = String::from_utf8_lossy(body);
            let one = |tag: &str| (elements(tag, "Key")[0].to_owned(), elements(tag, "Value")[0].to_owned());
            (empty(200), Some(elements(&document, "Tag").into_iter().map(one).collect()))
        }
    };
    let changed = tags.is_some();
    if let Some(tags) = tags {
        stored.tags = tags;
    }
    Answer { response, changed }
}

fn upload(held: &mut Held, ask: &Ask, body: Bytes) -> Answer {
    let key = ask.key.clone();
    let told = |response| Answer { response, changed: false };
    let Some(id) = ask.asks("uploadId") else {
        let id = format!("u{:05}", held.begun_uploads);
        held.begun_uploads += 1;
        held.uploads.insert(id.clone(), Upload { key, headers: ask.content_headers(), parts: Default::default() });
        let id = format!("<UploadId>{id}</UploadId>");
        return told(xml(&format!("<InitiateMultipartUploadResult>{id}</InitiateMultipartUploadResult>")));
    };
    let Some(open) = held.uploads.get_mut(id).filter(|open| open.key == key) else {
        return told(error(404, "NoSuchUpload"));
    };
    match ask.method.as_str() {
        "PUT" => {
            let number = ask.asks("partNumber").and_then(|number| number.parse().ok()).unwrap();
            let etag = Stored::whole(body.clone(), Words::new(), Words::new()).etag;
            open.parts.insert(number, body);
            told(with(empty(200), "etag", &format!("\"{etag}\"")))
        }
        "GET" => {
            let row = |(number, part): (&i32, &Bytes)| {
                let (etag, size) = (Stored::whole(part.clone(), Words::new(), Words::new()).etag, part.len());
                format!("<Part><PartNumber>{number}</PartNumber><ETag>\"{etag}\"</ETag><Size>{size}</Size></Part>")
            };
            let rows: String = open.parts.iter().map(row).collect();
            told(xml(&format!("<ListPartsResult>{rows}<IsTruncated>false</IsTruncated></ListPartsResult>")))
        }
        "DELETE" => {
            held.uploads.remove(id);
            told(empty(204))
        }
        _ => {
            let document = String::from_utf8_lossy(&body).into_owned();
            let numbers: Vec<i32> =
                elements(&document, "PartNumber").iter().map(|number| number.parse().unwrap()).collect();
            let parts: Option<Vec<Bytes>> = numbers.iter().map(|number| open.parts.get(number).cloned()).collect();
            let Some(parts) = parts.filter(|parts| !parts.is_empty()) else {
                return told(error(400, "InvalidPart"));
            };
            let stored = Stored::of_parts(&parts, open.headers.clone());
            held.uploads.remove(id);
            let etag = format!("<ETag>\"{}\"</ETag>", stored.etag);
            held.keep(&key, stored);
            let response = xml(&format!("<CompleteMultipartUploadResult>{etag}</CompleteMultipartUploadResult>"));
            Answer { response, changed: true }
        }
    }
}

fn list_uploads(held: &Held, ask: &Ask) -> HttpResponse {
    let prefix = ask.asks("prefix").unwrap_or_default();
    let open = held.uploads.iter().filter(|(_, open)| open.key.starts_with(prefix));
    let row = |(id, open): (&String, &Upload)| {
        let (key, second) = (&open.key, id.trim_start_matches('u').parse::<u32>().unwrap() % 60);
        let at = format!("2027-01-15T08:00:{second:02}Z");
        format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>{at}</Initiated></Upload>")
    };
    let rows: String = open.map(row).collect();
    xml(&format!("<ListMultipartUploadsResult>{rows}<IsTruncated>false</IsTruncated></ListMultipartUploadsResult>"))
}

fn list(held: &mut Held, ask: &Ask, is_stale: bool) -> HttpResponse {
    let (after, prefix) = (ask.asks("start-after").unwrap_or_default(), ask.asks("prefix").unwrap_or_default());
    let most = ask.asks("max-keys").and_then(|most| most.parse().ok()).unwrap_or(1000);
    let shown = held.list(is_stale);
    let mut rest = shown.iter().filter(|line| line.key.as_str() > after && line.key.starts_with(prefix));
    let row = |Shown { key, etag, size, modified }: &Shown| {
        let facts = format!("<Key>{key}</Key><ETag>\"{etag}\"</ETag><Size>{size}</Size>");
        format!("<Contents>{facts}<LastModified>{}</LastModified></Contents>", time_of_day(*modified))
    };
    let rows: String = rest.by_ref().take(most).map(row).collect();
    let is_truncated = rest.next().is_some();
    xml(&format!("<ListBucketResult><Name>b</Name>{rows}<IsTruncated>{is_truncated}</IsTruncated></ListBucketResult>"))
}

/// A schedule begins at eight and is over by nine.
fn time_of_day(modified: u64) -> String {
    let (minutes, seconds, millis) = (modified / 60_000, modified / 1000 % 60, modified % 1000);
    assert!(minutes < 60, "a schedule of an hour");
    format!("2027-01-15T08:{minutes:02}:{seconds:02}.{millis:03}Z")
}

fn show(stored: &Stored, ask: &Ask) -> HttpResponse {
    if ask.header("if-match").is_some_and(|etag| etag.trim_matches('"') != stored.etag) {
        return error(412, "PreconditionFailed");
    }
    let size = stored.body.len();
    let part = ask.asks("partNumber").and_then(|number| number.parse::<usize>().ok());
    let (from, to) = match (part, ask.header("range")) {
        (Some(number), _) if !stored.parts.is_empty() => {
            let from: usize = stored.parts.iter().take(number - 1).sum();
            (from, from + stored.parts.get(number - 1).copied().unwrap_or(0))
        }
        (_, Some(range)) => {
            let (first, last) = range.trim_start_matches("bytes=").split_once('-').unwrap();
            let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
            if first >= size {
                return error(416, "InvalidRange");
            }
            (first, (last + 1).min(size))
        }
        _ => (0, size),
    };
    let body = if ask.method == "HEAD" { SdkBody::empty() } else { SdkBody::from(stored.body.slice(from..to)) };
    let mut response = respond(if to - from == size { 200 } else { 206 }, body);
    response = with(response, "etag", &format!("\"{}\"", stored.etag));
    response = with(response, "content-length", &(to - from).to_string());
    if part.is_some() && !stored.parts.is_empty() {
        response = with(response, "x-amz-mp-parts-count", &stored.parts.len().to_string());
    }
    stored.headers.iter().fold(response, |response, (name, value)| with(response, name, value))
}

fn with(mut response: HttpResponse, name: &str, value: &str) -> HttpResponse {
    response.headers_mut().insert(name.to_owned(), value.to_owned());
    response
}

fn respond(status: u16, body: SdkBody) -> HttpResponse {
    HttpResponse::new(status.try_into().unwrap(), body)
}

pub fn empty(status: u16) -> HttpResponse {
    respond(status, SdkBody::empty())
}

fn xml(document: &str) -> HttpResponse {
    respond(200, document.into())
}

pub fn error(status: u16, code: &str) -> HttpResponse {
    respond(status, format!("<Error><Code>{code}</Code></Error>").into())
}
