//! Listings while the home is away: from a replica, once no key of the bucket is dirty and each key of the range is known to
//! have its copy there. What is proven is the range of each batch, so that grouping and pages need no proof of their own.
use super::listing::{ListParameters, Page};
use crate::{
    admit::Routed,
    gateway::Gateway,
    refusal::Refusal,
    upstream::{UpstreamBackend, UpstreamError},
};
use s3gateway_s3::xml::{ListBucketResult, ObjectEntry};
use s3gateway_store::{KeyCopy, Route};
use std::collections::BTreeMap;

/// Rows looked at for one batch of 1,000 keys; a key has one for each backend that holds it.
const MOST_ROWS: usize = 20_000;

impl Gateway {
    /// A page from the first replica that is proven to hold all of it. `loss`: why the home does not serve it.
    ///
    /// # Errors
    /// `loss` where there is no replica, [`Refusal::NotProvenClean`] where none is proven.
    pub(super) async fn list_at_replica(
        &self,
        routed: &Routed,
        asked: &ListParameters,
        position: Option<&str>,
        loss: UpstreamError,
    ) -> Result<Page, Refusal> {
        let route = &routed.route;
        let mut refusal = Refusal::from(loss);
        for replica in self.replicas(route) {
            if !self.queue.is_bucket_clean(&route.bucket).await.unwrap_or(false) {
                refusal = Refusal::NotProvenClean;
                break;
            }
            match self.list_lent(route, &replica, asked, position).await {
                Ok(page) => {
                    self.metrics.observe_failover(true);
                    return Ok(page);
                }
                Err(Refusal::Upstream(error)) if error.is_outage() => refusal = error.into(),
                Err(Refusal::NotProvenClean) => refusal = Refusal::NotProvenClean,
                Err(other) => return Err(other),
            }
        }
        self.metrics.observe_failover(false);
        Err(refusal)
    }

    /// A replica's batch as the home would give it.
    ///
    /// # Errors
    /// [`Refusal::NotProvenClean`] where the replica does not hold every key of the batch's range.
    pub(super) async fn prove_batch(
        &self,
        route: &Route,
        replica: &UpstreamBackend,
        prefix: &str,
        start_after: Option<&str>,
        batch: ListBucketResult,
    ) -> Result<ListBucketResult, Refusal> {
        let (first, last) = range(prefix, start_after, &batch);
        let rows = self.metadata.copies_between(&route.bucket, &first, &last, MOST_ROWS).await?;
        if rows.len() >= MOST_ROWS {
            return Err(Refusal::NotProvenClean);
        }
        let known = current_at(replica.id(), rows).ok_or(Refusal::NotProvenClean)?;
        let contents = as_at_home(batch.contents, known).ok_or(Refusal::NotProvenClean)?;
        Ok(ListBucketResult { contents, ..batch })
    }
}

/// First and last key that a batch speaks for, both included.
fn range(prefix: &str, start_after: Option<&str>, batch: &ListBucketResult) -> (Vec<u8>, Vec<u8>) {
    let first = match start_after {
        // No key holds a NUL, so nothing lies between a key and this.
        Some(after) if after >= prefix => [after.as_bytes(), b"\0"].concat(),
        _ => prefix.as_bytes().to_vec(),
    };
    let listed = batch.contents.last().filter(|_| batch.is_truncated);
    let last = match listed {
        Some(object) => object.key.as_bytes().to_vec(),
        // A byte that is in no UTF-8 text: behind every key with the prefix.
        None => [prefix.as_bytes(), b"\xff"].concat(),
    };
    (first, last)
}

/// ETags that the home has for the keys in a range; `None` where the replica lacks one of them.
fn current_at(replica: &s3gateway_config::BackendId, rows: Vec<KeyCopy>) -> Option<BTreeMap<String, String>> {
    let mut known: BTreeMap<String, Option<String>> = BTreeMap::new();
    for row in rows {
        let is_there = row.backend == *replica && row.verified_at > 0;
        let etag = known.entry(row.key.as_str().to_owned()).or_default();
        if is_there {
            *etag = Some(row.home_etag);
        }
    }
    known.into_iter().map(|(key, etag)| Some((key, etag?))).collect()
}

/// The listed objects with the home's ETags, without those that no worker has put there; `None` where a copy is not listed.
fn as_at_home(listed: Vec<ObjectEntry>, mut known: BTreeMap<String, String>) -> Option<Vec<ObjectEntry>> {
    let mut contents = Vec::with_capacity(listed.len());
    for object in listed {
        if let Some(etag) = known.remove(&object.key) {
            contents.push(ObjectEntry { etag, ..object });
        }
    }
    known.is_empty().then_some(contents)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::testing::listed as object;
    use s3gateway_config::BackendId;
    use s3gateway_s3::ObjectKey;

    fn copy(key: &str, backend: &str, verified_at: i64) -> KeyCopy {
        KeyCopy {
            key: ObjectKey::parse(key).expect(key),
            backend: BackendId::parse(backend).expect(backend),
            home_etag: format!("home of {key}"),
            verified_at,
        }
    }

    #[test]
    fn a_replica_is_proven_key_by_key() {
        let replica = BackendId::parse("de-fra").expect("an id");
        let both = |key| [copy(key, "fi-hel", 1), copy(key, "de-fra", 1)];
        let all: Vec<KeyCopy> = both("a").into_iter().chain(both("b")).collect();
        let at_home_only: Vec<KeyCopy> = both("a").into_iter().chain([copy("b", "fi-hel", 1)]).collect();
        let only_begun: Vec<KeyCopy> =
            both("a").into_iter().chain([copy("b", "fi-hel", 1), copy("b", "de-fra", 0)]).collect();
        for (rows, listed, want) in [
            (all.clone(), vec!["a", "b"], Some(vec!["a", "b"])),
            (all.clone(), vec!["a", "b", "stranger"], Some(vec!["a", "b"])),
            (all, vec!["a"], None),
            (at_home_only, vec!["a", "b"], None),
            (only_begun, vec!["a", "b"], None),
            (Vec::new(), Vec::new(), Some(Vec::new())),
        ] {
            let listed = listed.into_iter().map(object).collect();
            let proven = current_at(&replica, rows).and_then(|known| as_at_home(listed, known));
            if let Some(object) = proven.iter().flatten().next() {
                assert_eq!(object.etag, "home of a");
            }
            let keys = proven.map(|objects| objects.into_iter().map(|object| object.key).collect::<Vec<_>>());
            assert_eq!(keys, want.map(|keys| keys.into_iter().map(str::to_owned).collect()));
        }
    }

    #[test]
    fn a_batch_speaks_for_what_lies_between_its_ends() {
        let batch = |keys: &[&str], is_truncated| ListBucketResult {
            contents: keys.iter().map(|key| object(key)).collect(),
            is_truncated,
            ..ListBucketResult::default()
        };
        for (prefix, after, batch, first, last) in [
            ("", None, batch(&["a"], false), "", &b"\xff"[..]),
            ("", None, batch(&["a", "b"], true), "", b"b"),
            ("p/", None, batch(&[], false), "p/", b"p/\xff"),
            ("p/", Some("a"), batch(&[], false), "p/", b"p/\xff"),
            ("p/", Some("p/a"), batch(&["p/b"], true), "p/a\0", b"p/b"),
        ] {
            assert_eq!(range(prefix, after, &batch), (first.as_bytes().to_vec(), last.to_vec()), "{prefix} {after:?}");
        }
    }
}
