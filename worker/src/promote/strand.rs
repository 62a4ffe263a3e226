//! Of a forced promotion, while nobody writes: lists every key whose last write the target may not have, and has it compared as soon as the old
//! home is back.
use super::{Halt, Promoter, patience::Patience};
use crate::backend::Remote;
use futures::{StreamExt, TryStreamExt, stream};
use s3gateway_s3::{ObjectKey, PhysicalBucket, VersionId};
use s3gateway_store::{DirtyKey, Promotion};
use std::sync::Arc;

/// Keys listed by one transaction.
const STRANDED_AT_ONCE: usize = 500;
/// Keys that the target is asked for at the same time.
const ASKED_AT_ONCE: usize = 16;
/// Rows of copies read at once.
const ROWS: u32 = 4000;

/// A key, and the newest version that the target has of it.
type Stranded = (ObjectKey, Option<VersionId>);

/// Where the target's versions are.
struct Versions {
    remote: Arc<Remote>,
    bucket: PhysicalBucket,
}

impl Promoter {
    /// Lists what is dirty, and what is not proven to be at the target; where marks may be forgotten, all that is known of: to find out which
    /// keys these are takes the old home.
    pub(super) async fn strand(&self, promotion: &Promotion) -> Result<(), Halt> {
        let (bucket, versions) = (&promotion.bucket, self.versions_at_target(promotion).await?);
        let is_proven = self.queue.proves(bucket).await?;
        let asked = versions.as_ref().filter(|_| is_proven);
        let mut from = None;
        loop {
            let page = self.queue.dirty_keys(bucket, from.as_deref()).await?;
            self.strand_each(promotion, asked, page.keys).await?;
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        if is_proven {
            return self.strand_lacking(promotion, asked).await;
        }
        self.strand_recorded(promotion).await?;
        match versions {
            Some(versions) => self.strand_versions(promotion, &versions).await,
            None => Ok(()),
        }
    }

    /// `None` where the bucket keeps none.
    async fn versions_at_target(&self, promotion: &Promotion) -> Result<Option<Versions>, Halt> {
        let route = self.metadata.route_by_id(&promotion.bucket).await?;
        let route = route.ok_or_else(|| Halt::Refused("the bucket is not in service".to_owned()))?;
        match route.physical_on(&promotion.target).filter(|_| route.versioning.is_set()) {
            Some(bucket) => Ok(Some(Versions { remote: self.known(&promotion.target).await?, bucket: bucket.clone() })),
            None => Ok(None),
        }
    }

    async fn strand_lacking(&self, promotion: &Promotion, versions: Option<&Versions>) -> Result<(), Halt> {
        let Promotion { bucket, source, target, .. } = promotion;
        let mut after: Option<ObjectKey> = None;
        loop {
            let (keys, next) = self.metadata.keys_lacking(bucket, source, target, after.as_ref()).await?;
            self.strand_each(promotion, versions, keys).await?;
            if next.is_none() {
                return Ok(());
            }
            after = next;
        }
    }

    /// All keys of which a copy is on record.
    async fn strand_recorded(&self, promotion: &Promotion) -> Result<(), Halt> {
        let mut after = String::new();
        loop {
            let rows = self.metadata.copies_after(&promotion.bucket, &after, "", ROWS).await?;
            let mut keys: Vec<ObjectKey> = rows.into_iter().map(|(key, _)| key).collect();
            keys.dedup();
            let Some(last) = keys.last() else { return Ok(()) };
            after = last.as_str().to_owned();
            self.strand_each(promotion, None, keys).await?;
        }
    }

    /// All keys of which the target holds versions.
    async fn strand_versions(&self, promotion: &Promotion, versions: &Versions) -> Result<(), Halt> {
        let (patience, Versions { remote, bucket }) = (Patience::of(self, &promotion.id), versions);
        let (mut after, mut last) = (None, String::new());
        loop {
            let (entries, next) = patience.ask(|| remote.page_of_versions(bucket, "", after.clone())).await?;
            let mut stranded: Vec<Stranded> = Vec::new();
            for entry in entries {
                // The newest comes first.
                if entry.object.key != last
                    && let (Ok(key), Ok(id)) =
                        (ObjectKey::parse(&entry.object.key), VersionId::parse(&entry.version_id))
                {
                    stranded.push((key, Some(id)));
                }
                last = entry.object.key;
            }
            self.strand_and_mark(promotion, &stranded).await?;
            if next.is_none() {
                return Ok(());
            }
            after = next;
        }
    }

    async fn strand_each(
        &self,
        promotion: &Promotion,
        versions: Option<&Versions>,
        keys: Vec<ObjectKey>,
    ) -> Result<(), Halt> {
        let patience = Patience::of(self, &promotion.id);
        let ask = |key: ObjectKey| async move {
            let newest = match versions {
                Some(Versions { remote, bucket }) if remote.backend.capabilities.keys.holds(key.as_str()) => {
                    patience.ask(|| remote.newest_version(bucket, &key)).await?
                }
                _ => None,
            };
            Ok::<_, Halt>((key, newest))
        };
        let stranded: Vec<Stranded> = stream::iter(keys).map(ask).buffered(ASKED_AT_ONCE).try_collect().await?;
        self.strand_and_mark(promotion, &stranded).await
    }

    /// A dead letter is driven again by the mark.
    async fn strand_and_mark(&self, promotion: &Promotion, stranded: &[Stranded]) -> Result<(), Halt> {
        for some in stranded.chunks(STRANDED_AT_ONCE) {
            self.metadata.strand_keys(promotion, some).await?;
        }
        let dirty = |(key, _): &Stranded| DirtyKey { bucket: promotion.bucket.clone(), key: key.clone() };
        Ok(self.queue.mark_all(&stranded.iter().map(dirty).collect::<Vec<_>>(), "promotion").await?)
    }
}
