//! Checks of what nothing is decided by: the gateway does these things itself or not at all, but operators choose a backend by
//! them, too.
use super::{
    checks::{finding, said},
    scratch::{Ask, Scratch},
};
use crate::upstream::UpstreamError;
use http::{Method, StatusCode};
use s3gateway_s3::xml::ErrorDocument;
use s3gateway_store::Finding;

/// A range, a suffix and an open end are served as asked for.
pub(super) async fn range(scratch: &Scratch<'_>) -> Finding {
    let seen = async {
        scratch.put("ranged", b"0123456789", &[]).await?;
        let mut wrong = Vec::new();
        for (asked, want) in [("bytes=2-4", &b"234"[..]), ("bytes=-3", b"789"), ("bytes=7-", b"789")] {
            let got = scratch.ask(Ask { headers: &[("range", asked)], ..Ask::of(Method::GET, "ranged") }).await;
            said(&got)?;
            if !got.is_ok_and(|got| got.status == StatusCode::PARTIAL_CONTENT && *got.body == *want) {
                wrong.push(asked);
            }
        }
        Ok(match wrong.is_empty() {
            true => (true, "first to last, last bytes and an open end are served".to_owned()),
            false => (false, format!("not served as asked for: {}", wrong.join(", "))),
        })
    };
    finding("range", seen.await)
}

/// The part of an object is served by its number.
pub(super) async fn part_number(scratch: &Scratch<'_>) -> Finding {
    let seen = async {
        let key = "in-parts";
        scratch.upload_whole(key).await?;
        let got = scratch.ask(Ask { query: &[("partNumber", "1")], ..Ask::of(Method::GET, key) }).await;
        let status = said(&got)?;
        let holds = got.is_ok_and(|got| got.status == StatusCode::PARTIAL_CONTENT);
        Ok((holds, format!("GetObject with partNumber=1: {status}")))
    };
    finding("part_number", seen.await)
}

/// A body of another hash than the signed one is refused, and not stored.
pub(super) async fn payload_hash(scratch: &Scratch<'_>) -> Finding {
    let seen = async {
        let (status, document) = scratch.put_another_than_signed("falsified", b"other bytes").await?;
        let code = ErrorDocument::parse(&document).map(|error| error.code).unwrap_or_default();
        let holds = !status.is_success() && !scratch.holds("falsified", b"other bytes").await?;
        Ok((
            holds,
            format!("a body of another hash than the signed one: {} {code}", status.as_u16()).trim_end().to_owned(),
        ))
    };
    finding("payload_hash", seen.await)
}

/// In a bucket of its own: one that is made with object lock says that it has it.
pub(super) async fn object_lock(made: Result<&Scratch<'_>, &UpstreamError>) -> Finding {
    let seen = async {
        let scratch = match made {
            Ok(scratch) => scratch,
            Err(UpstreamError::Malformed(_)) => return Ok((false, "a bucket with object lock is refused".to_owned())),
            Err(error) => return Err(error.clone()),
        };
        let got = scratch.ask(Ask::of_bucket(Method::GET, &[("object-lock", "")])).await;
        let status = said(&got)?;
        let holds = got.is_ok_and(|got| String::from_utf8_lossy(&got.body).contains("<ObjectLockEnabled>Enabled<"));
        Ok((holds, format!("GetObjectLockConfiguration of a bucket made with object lock: {status}")))
    };
    finding("object_lock", seen.await)
}
