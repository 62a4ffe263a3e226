//! ListParts, and the check of an upload's parts before it is completed.
use super::{
    buckets::owner,
    home::{explain, unreadable},
    parameters::{PAGE, parse_count, parse_number},
    upload_id::OpenedUpload,
};
use crate::{admit::Admitted, answer::Answer, gateway::Gateway, refusal::Refusal, upstream::UpstreamError};
use bytes::Bytes;
use http::Method;
use s3gateway_s3::{
    ObjectKey, S3Code, S3Error,
    checksum::Md5,
    etag::{quoted, unquoted},
    xml::{CompletedPart, ListPartsResult, PartEntry},
};
use s3gateway_store::Route;
use std::collections::HashMap;

/// Smallest part that may have another after it (Amazon S3 User Guide, "Amazon S3 multipart upload limits").
const SMALLEST_PART: u64 = 5 << 20;
/// Pages that the parts of one upload can fill.
const MAX_PAGES: u32 = 10_000 / PAGE + 1;

impl Gateway {
    pub(super) async fn list_parts(&self, admitted: &Admitted) -> Result<Answer, Refusal> {
        let (routed, key, request) = (admitted.routed()?, admitted.key()?, &admitted.request);
        let max_parts = parse_count(request, "max-parts", PAGE)?;
        let marker = request.query.get("part-number-marker").filter(|m| !m.is_empty());
        let marker = marker.map_or(Ok(0), |marker| parse_number(marker, "part-number-marker"))?;
        let upload = self.open_upload_id(admitted)?;
        self.require_open(&routed.route, &upload).await?;
        let page = self.page_of_parts(&routed.route, key, &upload, marker, max_parts.max(1)).await;
        let page = page.map_err(|refusal| match refusal {
            // Only the upload can be missing; some backends say that it is the key.
            Refusal::Upstream(UpstreamError::Refused(refused)) if refused.status == 404 => S3Code::NoSuchUpload.into(),
            other => other,
        })?;
        let (mut parts, is_truncated) = cut(page, marker, max_parts);
        if let Some(asked) = upload.checksum {
            let kept = self.kept_parts(&routed.route, &upload.backend_upload_id).await;
            for part in &mut parts {
                let of_part = kept.get(&part.part_number).filter(|kept| kept.etag == unquoted(&part.etag));
                part.checksums = of_part.map(|kept| (asked.algorithm, kept.value.clone())).into_iter().collect();
            }
        }
        let result = ListPartsResult {
            bucket: admitted.bucket()?.as_str().to_owned(),
            key: key.as_str().to_owned(),
            upload_id: request.query.get("uploadId").unwrap_or_default().to_owned(),
            part_number_marker: marker,
            next_part_number_marker: parts.last().map(|part| part.part_number),
            max_parts,
            url_encoded: false,
            is_truncated,
            owner: Some(owner(&admitted.tenant)),
            storage_class: Some("STANDARD".to_owned()),
            checksum_algorithm: upload.checksum.map(|asked| asked.algorithm.name().to_owned()),
            checksum_type: upload.checksum.map(|asked| asked.kind.name().to_owned()),
            parts,
        };
        Ok(Answer::xml(result.render()))
    }

    async fn page_of_parts(
        &self,
        route: &Route,
        key: &ObjectKey,
        upload: &OpenedUpload,
        marker: u32,
        max_parts: u32,
    ) -> Result<ListPartsResult, Refusal> {
        let request = upload
            .request(Method::GET, route, key)?
            .query("uploadId", &upload.backend_upload_id)
            .query("max-parts", &max_parts.to_string())
            .query("part-number-marker", &marker.to_string());
        let answer = self.client.send(&upload.home, request, Bytes::new()).await.map_err(explain)?;
        Ok(ListPartsResult::parse(&answer.body).map_err(unreadable)?)
    }

    /// Checks the parts that a client wants to complete an upload with, because not every backend does: one takes parts
    /// that are too small, another has dropped the upload by the time it finds fault with them. Gives what is stored; `None`:
    /// the backend does not know the upload any more, which may have been completed already.
    ///
    /// # Errors
    /// `InvalidPart`, `EntityTooSmall`.
    pub(super) async fn check_parts(
        &self,
        route: &Route,
        key: &ObjectKey,
        upload: &OpenedUpload,
        asked: &[CompletedPart],
    ) -> Result<Option<HashMap<u32, PartEntry>>, Refusal> {
        let mut stored: HashMap<u32, PartEntry> = HashMap::new();
        let mut marker = 0;
        for _ in 0..MAX_PAGES {
            let page = match self.page_of_parts(route, key, upload, marker, PAGE).await {
                Ok(page) => page,
                // Completed already, perhaps: the backend knows what to answer to a repeated completion.
                Err(Refusal::Upstream(UpstreamError::Refused(refused))) if refused.status == 404 => return Ok(None),
                Err(refusal) => return Err(refusal),
            };
            let next = page.next_part_number_marker.filter(|next| page.is_truncated && *next > marker);
            stored.extend(page.parts.into_iter().map(|part| (part.part_number, part)));
            match next {
                Some(next) => marker = next,
                None => break,
            }
        }
        verify_parts(asked, &stored)?;
        Ok(Some(stored))
    }
}

/// Compares what is asked for with what is stored.
fn verify_parts(asked: &[CompletedPart], stored: &HashMap<u32, PartEntry>) -> Result<(), S3Error> {
    let last = asked.last().map(|part| part.part_number);
    for part in asked {
        let etag = unquoted(&part.etag);
        let found = stored.get(&part.part_number).filter(|found| {
            let known = unquoted(&found.etag);
            known.is_empty() || known.eq_ignore_ascii_case(etag)
        });
        let Some(found) = found else {
            return Err(S3Code::InvalidPart
                .error()
                .with("PartNumber", part.part_number.to_string())
                .with("ETag", etag));
        };
        if found.size < SMALLEST_PART && Some(part.part_number) != last {
            let error = S3Code::EntityTooSmall.error().with("ProposedSize", found.size.to_string());
            return Err(error
                .with("MinSizeAllowed", SMALLEST_PART.to_string())
                .with("PartNumber", part.part_number.to_string()));
        }
    }
    Ok(())
}

/// The ETag of the object that these parts make, without quotes: the MD5 of their MD5s and how many they are. `None` where
/// a part's ETag is no MD5.
pub(super) fn composed_etag(parts: &[CompletedPart]) -> Option<String> {
    let mut md5 = Md5::new();
    for part in parts {
        let mut digest = [0; 16];
        hex::decode_to_slice(unquoted(&part.etag), &mut digest).ok()?;
        md5.update(&digest);
    }
    Some(format!("{}-{}", hex::encode(md5.finalize()), parts.len()))
}

/// One page of parts in order, whatever part of the question the backend has ignored; and whether there are more.
fn cut(page: ListPartsResult, marker: u32, max_parts: u32) -> (Vec<PartEntry>, bool) {
    let mut parts = page.parts;
    parts.retain(|part| part.part_number > marker);
    parts.sort_unstable_by_key(|part| part.part_number);
    let max = usize::try_from(max_parts).unwrap_or(usize::MAX);
    let is_truncated = max > 0 && (page.is_truncated || parts.len() > max);
    parts.truncate(max);
    for part in &mut parts {
        part.etag = quoted(&part.etag);
    }
    (parts, is_truncated)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    fn entry(part_number: u32, etag: &str, size: u64) -> PartEntry {
        PartEntry {
            part_number,
            last_modified: SystemTime::UNIX_EPOCH,
            etag: etag.to_owned(),
            size,
            checksums: Vec::new(),
        }
    }

    fn verify(asked: &[(u32, &str)], stored: &[PartEntry]) -> Result<(), S3Code> {
        let part = |(part_number, etag): &(u32, &str)| CompletedPart {
            part_number: *part_number,
            etag: (*etag).to_owned(),
            checksums: Vec::new(),
        };
        let asked: Vec<_> = asked.iter().map(part).collect();
        let stored = stored.iter().cloned().map(|part| (part.part_number, part)).collect();
        verify_parts(&asked, &stored).map_err(|e| e.code)
    }

    #[test]
    fn xm_09_xm_11_parts_are_checked_before_completion() {
        let stored = [entry(1, "\"a\"", SMALLEST_PART), entry(3, "\"c\"", SMALLEST_PART - 1), entry(5, "", 1)];
        assert_eq!(verify(&[(1, "a"), (3, "\"c\"")], &stored), Ok(()));
        assert_eq!(verify(&[(1, "A")], &stored), Ok(()));
        assert_eq!(verify(&[(1, "b")], &stored), Err(S3Code::InvalidPart));
        assert_eq!(verify(&[(1, "a"), (2, "b")], &stored), Err(S3Code::InvalidPart));
        assert_eq!(verify(&[(3, "c"), (5, "e")], &stored), Err(S3Code::EntityTooSmall));
        assert_eq!(verify(&[(1, "a"), (5, "a backend without ETags cannot tell")], &stored), Ok(()));
    }

    #[test]
    fn the_etag_that_parts_make() {
        let parts = |etags: &[&str]| -> Vec<CompletedPart> {
            let part = |etag: &&str| CompletedPart { part_number: 1, etag: (*etag).to_owned(), checksums: Vec::new() };
            etags.iter().map(part).collect()
        };
        // MD5 of nothing, twice: md5(d41d8cd98f00b204e9800998ecf8427e d41d8cd98f00b204e9800998ecf8427e), 32 bytes.
        let empty = "d41d8cd98f00b204e9800998ecf8427e";
        let quoted = format!("\"{}\"", empty.to_uppercase());
        assert_eq!(composed_etag(&parts(&[empty, &quoted])).as_deref(), Some("5873dd45edd01f09c1ef2e7819369e8e-2"));
        for etags in
            [&["abc"][..], &[""], &["zz1d8cd98f00b204e9800998ecf8427e"], &[empty, "d41d8cd98f00b204e9800998ecf8427e-1"]]
        {
            assert_eq!(composed_etag(&parts(etags)), None, "{etags:?}");
        }
    }

    #[test]
    fn a_page_of_parts_is_in_order_and_bounded() {
        let page = |is_truncated| ListPartsResult {
            is_truncated,
            parts: [4, 1, 3, 2].map(|n| entry(n, "e", 1)).to_vec(),
            ..ListPartsResult::default()
        };
        let numbers = |(parts, truncated): (Vec<PartEntry>, bool)| {
            (parts.iter().map(|p| p.part_number).collect::<Vec<_>>(), truncated)
        };
        assert_eq!(numbers(cut(page(false), 0, 1000)), (vec![1, 2, 3, 4], false));
        assert_eq!(numbers(cut(page(false), 1, 2)), (vec![2, 3], true));
        assert_eq!(numbers(cut(page(false), 2, 2)), (vec![3, 4], false));
        assert_eq!(numbers(cut(page(true), 0, 4)), (vec![1, 2, 3, 4], true));
        assert_eq!(numbers(cut(page(false), 0, 0)), (vec![], false));
    }
}
