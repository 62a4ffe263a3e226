//! One check for each capability: what is asked, what S3 answers, and the finding with its evidence.
use super::scratch::{Answer, Ask, Scratch};
use crate::upstream::UpstreamError;
use http::Method;
use s3gateway_s3::{
    Versioning,
    checksum::{Algorithm, Hasher, render_value},
    etag::unquoted,
    xml::{ListMultipartUploadsResult, ListVersionsResult, Tagging, VersioningConfiguration},
};
use s3gateway_store::Finding;

/// What a check found: whether the capability is there, and by what it is seen.
type Seen = Result<(bool, String), UpstreamError>;

/// An error that leaves a check without a result is its evidence.
pub(super) fn finding(capability: &str, seen: Seen) -> Finding {
    let (measured, evidence) = match seen {
        Ok((holds, evidence)) => (Some(holds), evidence),
        Err(error) => (None, format!("not measured: {error}")),
    };
    Finding { capability: capability.to_owned(), measured, evidence }
}

/// Status and code of an answer that S3 could give.
///
/// # Errors
/// What is no answer.
pub(super) fn said(answer: &Answer) -> Result<String, UpstreamError> {
    match answer {
        Ok(answer) => Ok(answer.status.as_u16().to_string()),
        Err(UpstreamError::Refused(refused)) => {
            Ok(format!("{} {}", refused.status, refused.code).trim_end().to_owned())
        }
        Err(error) => Err(error.clone()),
    }
}

fn is_refused(answer: &Answer, status: u16) -> bool {
    matches!(answer, Err(UpstreamError::Refused(refused)) if refused.status == status)
}

/// Tags set by a document and by a header both come back.
pub(super) async fn tagging(scratch: &Scratch<'_>) -> Finding {
    let seen = async {
        let tag = |value: &str| ("probe".to_owned(), value.to_owned());
        let with_header = scratch.put("tagged", b"1", &[("x-amz-tagging", "probe=header")]).await;
        said(&with_header)?;
        if with_header.is_err() {
            scratch.put("tagged", b"1", &[]).await?;
        }
        let by_header = read_tags(scratch).await?;
        let document = Tagging { tags: vec![tag("document")] }.render();
        let ask = Ask { query: &[("tagging", "")], body: document.as_bytes(), ..Ask::of(Method::PUT, "tagged") };
        let put = said(&scratch.ask(ask).await)?;
        let by_document = read_tags(scratch).await?;
        let holds = by_header == Some(vec![tag("header")]) && by_document == Some(vec![tag("document")]);
        let evidence = format!(
            "PutObjectTagging: {put}; read back: {} of a header's tags, {} of a document's",
            by_header.map_or(0, |tags| tags.len()),
            by_document.map_or(0, |tags| tags.len())
        );
        Ok((holds, evidence))
    };
    finding("tagging", seen.await)
}

/// GetObject shows how many tags an object has; asked of the one that [`tagging`] has left.
pub(super) async fn tag_count(scratch: &Scratch<'_>) -> Finding {
    let seen = async {
        if read_tags(scratch).await?.is_none_or(|tags| tags.len() != 1) {
            return Ok((false, "there is no object with a tag".to_owned()));
        }
        let answer = scratch.ask(Ask::of(Method::GET, "tagged")).await?;
        let shown = answer.header("x-amz-tagging-count");
        Ok((shown == "1", format!("GetObject of an object with a tag: x-amz-tagging-count {shown:?}")))
    };
    finding("tag_count", seen.await)
}

/// `None` where the backend refuses.
async fn read_tags(scratch: &Scratch<'_>) -> Result<Option<Vec<(String, String)>>, UpstreamError> {
    match scratch.ask(Ask { query: &[("tagging", "")], ..Ask::of(Method::GET, "tagged") }).await {
        Ok(answer) => Ok(Tagging::parse(&answer.body).ok().map(|tagging| tagging.tags)),
        Err(UpstreamError::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// In a bucket of its own: an overwritten version is still read by its id, and goes by its id.
pub(super) async fn versioning(scratch: &Scratch<'_>) -> Finding {
    let seen = async {
        let document = VersioningConfiguration(Versioning::Enabled).render();
        let query = [("versioning", "")];
        let enabled = scratch.ask(Ask { body: document.as_bytes(), ..Ask::of_bucket(Method::PUT, &query) }).await;
        let status = said(&enabled)?;
        if enabled.is_err() {
            return Ok((false, format!("PutBucketVersioning: {status}")));
        }
        let mut ids = Vec::new();
        for body in [b"1", b"2"] {
            ids.push(scratch.put("kept", body, &[]).await?.header("x-amz-version-id").to_owned());
        }
        let (mut read, mut gone) = (Vec::new(), true);
        for id in &ids {
            let query = [("versionId", id.as_str())];
            let ask = || Ask { query: &query, ..Ask::of(Method::GET, "kept") };
            read.push(scratch.ask(ask()).await.map(|answer| answer.body).unwrap_or_default());
            scratch.ask(Ask { method: Method::DELETE, ..ask() }).await?;
            gone &= scratch.ask(ask()).await.is_err();
        }
        let told_apart = ids.iter().all(|id| !id.is_empty()) && ids.first() != ids.last();
        let kept = read == [&b"1"[..], b"2"];
        let evidence = format!(
            "PutBucketVersioning: {status}; two versions {}, {}, {}",
            if told_apart { "with ids" } else { "without ids" },
            if kept { "read by id" } else { "not read by id" },
            if gone { "gone by id" } else { "there still" }
        );
        Ok((told_apart && kept && gone, evidence))
    };
    finding("versioning", seen.await)
}

/// Checksums that come as a header and as a trailer are shown in checksum mode, and the framing is no part of the object.
pub(super) async fn trailing_checksums(scratch: &Scratch<'_>) -> Finding {
    let body = b"with a checksum";
    let mut hasher = Hasher::new(Algorithm::Crc32);
    hasher.update(body);
    let value = render_value(&hasher.finalize());
    let seen = async {
        let name = Algorithm::Crc32.header();
        let by_header = scratch.put("checked-header", body, &[(name, &value)]).await;
        let by_trailer = scratch.put_trailing("checked-trailer", body, Algorithm::Crc32, &value).await;
        let mut shown = Vec::new();
        for key in ["checked-header", "checked-trailer"] {
            let mode = [("x-amz-checksum-mode", "ENABLED")];
            let got = scratch.ask(Ask { headers: &mode, ..Ask::of(Method::GET, key) }).await;
            shown.push(got.is_ok_and(|got| got.header(name) == value && *got.body == *body));
        }
        let trailer = match &by_trailer {
            // To a server that does not know the framing, the payload's hash is a wrong one.
            Err(UpstreamError::OurCredentials(refused)) => format!("{} {}", refused.status, refused.code),
            answer => said(answer)?,
        };
        let word = |at: usize| if shown.get(at) == Some(&true) { "shown" } else { "not shown" };
        let evidence =
            format!("CRC32 as a header: {}, {}; as a trailer: {}, {}", said(&by_header)?, word(0), trailer, word(1));
        Ok((shown == [true, true], evidence))
    };
    finding("trailing_checksums", seen.await)
}

/// An open upload is listed.
pub(super) async fn list_uploads(scratch: &Scratch<'_>) -> Finding {
    let seen = async {
        let id = scratch.begin_upload("upload").await?;
        let listed = scratch.ask(Ask::of_bucket(Method::GET, &[("uploads", "")])).await;
        let status = said(&listed)?;
        scratch.ask(Ask { query: &[("uploadId", &id)], ..Ask::of(Method::DELETE, "upload") }).await?;
        let page = listed.ok().and_then(|answer| ListMultipartUploadsResult::parse(&answer.body).ok());
        let holds = page.is_some_and(|page| page.uploads.iter().any(|upload| upload.upload_id == id));
        Ok((
            holds,
            format!("ListMultipartUploads: {status}, an open upload {}", if holds { "listed" } else { "missing" }),
        ))
    };
    finding("list_uploads", seen.await)
}

/// A second `If-None-Match: *` and an `If-Match` on another ETag are refused, and change nothing.
pub(super) async fn conditional_writes(scratch: &Scratch<'_>) -> Finding {
    let seen = async {
        scratch.put("once", b"1", &[("if-none-match", "*")]).await?;
        let again = scratch.put("once", b"2", &[("if-none-match", "*")]).await;
        let other = scratch.put("once", b"3", &[("if-match", "\"00000000000000000000000000000000\"")]).await;
        let holds = is_refused(&again, 412) && is_refused(&other, 412) && scratch.holds("once", b"1").await?;
        Ok((
            holds,
            format!("a second If-None-Match: * got {}, an If-Match on another ETag {}", said(&again)?, said(&other)?),
        ))
    };
    finding("conditional_writes", seen.await)
}

/// An `If-Match` on the ETag in its quotes lets a write pass.
pub(super) async fn quoted_if_match(scratch: &Scratch<'_>) -> Finding {
    let seen = async {
        let put = scratch.put("matched", b"1", &[]).await?;
        let etag = unquoted(put.header("etag")).to_owned();
        let quoted = scratch.put("matched", b"2", &[("if-match", &format!("\"{etag}\""))]).await;
        Ok((quoted.is_ok(), format!("an If-Match on the quoted ETag got {}", said(&quoted)?)))
    };
    finding("quoted_if_match", seen.await)
}

/// A copy inside the bucket has the source's bytes.
pub(super) async fn server_side_copy(scratch: &Scratch<'_>) -> Finding {
    let seen = async {
        scratch.put("source", b"to be copied", &[]).await?;
        let source = format!("/{}/source", scratch.name());
        let copy = scratch.put("copy", b"", &[("x-amz-copy-source", &source)]).await;
        let holds = copy.is_ok() && scratch.holds("copy", b"to be copied").await?;
        Ok((
            holds,
            format!("CopyObject: {}, the copy's bytes {}", said(&copy)?, if holds { "equal" } else { "differ" }),
        ))
    };
    finding("server_side_copy", seen.await)
}

/// In a bucket that keeps versions by now: a page behind a version that is deleted has the one below it.
pub(super) async fn gone_markers(scratch: &Scratch<'_>) -> Finding {
    let seen = async {
        let mut ids = Vec::new();
        for body in [b"1", b"2"] {
            ids.push(scratch.put("listed", body, &[]).await?.header("x-amz-version-id").to_owned());
        }
        let [below, gone] = &ids[..] else { return Ok((true, "no versions".to_owned())) };
        if below.is_empty() || below == gone {
            return Ok((true, "no versions are kept that could be listed".to_owned()));
        }
        let query = [("versionId", gone.as_str())];
        scratch.ask(Ask { query: &query, ..Ask::of(Method::DELETE, "listed") }).await?;
        let query = [("versions", ""), ("key-marker", "listed"), ("version-id-marker", gone.as_str())];
        let page = scratch.ask(Ask::of_bucket(Method::GET, &query)).await;
        let goes_on = match &page {
            Ok(page) => ListVersionsResult::parse(&page.body)
                .is_ok_and(|page| page.entries.iter().any(|entry| entry.version_id == *below)),
            Err(_) => false,
        };
        let shown = if goes_on { "the one below it" } else { "nothing of its key" };
        Ok((goes_on, format!("ListObjectVersions behind a version that is deleted: {}, {shown}", said(&page)?)))
    };
    finding("gone_markers", seen.await)
}

/// In UTF-8 byte order. The last two are the other way round where names are compared as UTF-16.
const LISTED: [&str; 7] = ["list/a-", "list/a/1", "list/a/2", "list/a0", "list/z", "list/\u{ffee}", "list/\u{10400}"];
const GROUPED: [&str; 6] = ["list/a-", "list/a/", "list/a0", "list/z", "list/\u{ffee}", "list/\u{10400}"];

/// Pages of two give every key once, in order, with and without a delimiter, and from the middle.
pub(super) async fn exact_listing(scratch: &Scratch<'_>) -> Finding {
    let seen = async {
        for key in LISTED {
            scratch.put(key, b"1", &[]).await?;
        }
        let mut wrong = Vec::new();
        for (what, query, want) in [
            ("keys", &[][..], &LISTED[..]),
            ("groups", &[("delimiter", "/")], &GROUPED),
            ("delimiter of two characters", &[("delimiter", "a/")], &GROUPED),
            ("start-after", &[("start-after", "list/a/1")], LISTED.get(2..).unwrap_or_default()),
        ] {
            if walk(scratch, query, want.len()).await? != want {
                wrong.push(what);
            }
        }
        let evidence = match wrong.is_empty() {
            true => "pages of two are exact: keys, groups by one and two characters, start-after".to_owned(),
            false => format!("pages of two are not exact: {}", wrong.join(", ")),
        };
        Ok((wrong.is_empty(), evidence))
    };
    finding("exact_listing", seen.await)
}

/// Walks `list/` in pages of two, for not many more entries than are expected.
async fn walk(scratch: &Scratch<'_>, query: &[(&str, &str)], expected: usize) -> Result<Vec<String>, UpstreamError> {
    let (mut entries, mut token) = (Vec::new(), None::<String>);
    while entries.len() <= expected {
        let mut all = vec![("prefix", "list/"), ("max-keys", "2")];
        all.extend(query);
        if let Some(token) = &token {
            all.push(("continuation-token", token));
        }
        let page = match scratch.list(&all).await {
            // Such a page cannot be had at all.
            Err(UpstreamError::Refused(_)) => return Ok(Vec::new()),
            page => page?,
        };
        let mut names: Vec<String> = page.contents.into_iter().map(|object| object.key).collect();
        names.extend(page.common_prefixes);
        if names.len() > 2 {
            // More than was asked for: whatever follows, this is not exact.
            return Ok(Vec::new());
        }
        // Keys and groups come in lists of their own: a page is put in order, the pages must be in order already.
        names.sort_unstable();
        entries.extend(names);
        token = page.next_continuation_token.filter(|_| page.is_truncated);
        if token.is_none() {
            break;
        }
    }
    Ok(entries)
}

/// Two uploads of the same parts have one ETag.
pub(super) async fn multipart_etag(scratch: &Scratch<'_>) -> Finding {
    let seen = async {
        let (one, two) = (scratch.upload_whole("whole-1").await?, scratch.upload_whole("whole-2").await?);
        Ok((one == two && !one.is_empty(), format!("two uploads of the same part: {one} and {two}")))
    };
    finding("multipart_etag", seen.await)
}

/// Keys that servers which keep objects as files have trouble with come back as they are.
pub(super) async fn any_key(scratch: &Scratch<'_>) -> Finding {
    let longest = format!("keys/{}", "k".repeat(1019));
    let seen = async {
        let mut lost = Vec::new();
        for (what, key) in [
            ("an empty segment", "keys//empty"),
            ("a '.' segment", "keys/./dot"),
            ("a '..' segment", "keys/../dots"),
            ("a control character", "keys/\u{1}control"),
            ("a folder of a key", "keys/both"),
            ("a key under that folder", "keys/both/below"),
            ("1,024 bytes", longest.as_str()),
        ] {
            let put = scratch.put(key, what.as_bytes(), &[]).await;
            let kept = match put {
                Ok(_) => scratch.holds(key, what.as_bytes()).await?,
                // Some servers fail over a name that they cannot make a file of.
                Err(UpstreamError::Refused(_) | UpstreamError::Failed(_)) => false,
                Err(error) => return Err(error),
            };
            if !kept {
                lost.push(what);
            }
        }
        Ok(match lost.is_empty() {
            true => (true, "odd keys came back as they are".to_owned()),
            false => (false, format!("not held: {}", lost.join(", "))),
        })
    };
    finding("any_key", seen.await)
}

/// DeleteBucket of a bucket with an object in it is refused.
pub(super) async fn refuses_nonempty_delete(scratch: &mut Scratch<'_>) -> Finding {
    let seen = async {
        scratch.put("last", b"1", &[]).await?;
        let deleted = scratch.ask(Ask::of_bucket(Method::DELETE, &[])).await;
        let status = said(&deleted)?;
        scratch.stands = deleted.is_err();
        Ok((is_refused(&deleted, 409), format!("DeleteBucket of a bucket with objects: {status}")))
    };
    finding("refuses_nonempty_delete", seen.await)
}
