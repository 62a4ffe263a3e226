//! Tags that the gateway keeps in its metadata: for homes without object tagging, and for multipart uploads until completed.
//! Invariant: a row counts only for the object whose ETag it names, so that a crash between an overwrite and its row
//! never gives an object the tags of the one before it.
use super::{conditions::WriteConditions, null_version::MadeVersion};
use crate::{
    admit::{Admitted, Routed},
    gateway::Gateway,
    quorum::{Landed, PlacesToComplete},
    refusal::Refusal,
    upstream::{UpstreamError, UpstreamRequest},
    version::{NamedVersion, of_version},
};
use bytes::Bytes;
use http::Method;
use s3gateway_s3::{ObjectKey, TagSet, etag::unquoted, xml::Tagging};
use s3gateway_store::{DirtyKey, Route};
use sha2::{Digest, Sha256};
use std::{future::Future, time::Instant};

/// What becomes of the tags that are kept here of the object at a key.
#[derive(Clone, Copy)]
pub(super) enum Lending<'t> {
    /// Another object stands there, or none: with these.
    Written(Option<&'t TagSet>),
    /// Nothing stands there any more.
    Deleted,
    /// It is as it was.
    Untouched,
}

impl<'t> Lending<'t> {
    fn tags(self) -> Option<&'t TagSet> {
        match self {
            Self::Written(tags) => tags,
            Self::Deleted | Self::Untouched => None,
        }
    }
}

/// A write of one object, beside the request that carries it out at the home.
pub(super) struct ObjectWrite<'w> {
    pub(super) key: &'w ObjectKey,
    pub(super) conditions: &'w WriteConditions,
    pub(super) lending: Lending<'w>,
    /// Its tags follow by a request of their own, which must not find another object.
    pub(super) tags_follow: bool,
    /// What is completed at replicas after the home.
    pub(super) elsewhere: Option<PlacesToComplete>,
}

/// What a write has come to, as the home's answer tells.
pub(super) struct Became<'t> {
    /// The object's ETag; empty where there is none.
    pub(super) etag: &'t str,
    /// The version that it has made, where versions are kept.
    pub(super) version: MadeVersion,
}

impl Gateway {
    /// Keeps the tags of an object that has just been written, or the fact that it has none. Does nothing where the home
    /// keeps tags itself. To be called after the backend's success and before the commit.
    ///
    /// # Errors
    /// A store error: then the write must not be committed, the key stays dirty and the client is told to try again.
    pub(crate) async fn store_lent_tags(
        &self,
        route: &Route,
        key: &ObjectKey,
        etag: &str,
        tags: Option<&TagSet>,
    ) -> Result<(), Refusal> {
        let home = self.backends.get(&route.home).ok_or(UpstreamError::OutOfService)?;
        if home.capabilities().tagging {
            return Ok(());
        }
        match tags {
            Some(tags) if !tags.is_empty() => {
                self.metadata.put_tags(&route.bucket, key, unquoted(etag), tags.as_slice()).await?
            }
            _ => self.metadata.delete_tags(&route.bucket, key).await?,
        }
        Ok(())
    }

    /// The tags lent to the object with that ETag.
    pub(super) async fn lent_tags(&self, route: &Route, key: &ObjectKey, etag: &str) -> Result<TagSet, Refusal> {
        let kept = self.metadata.tags(&route.bucket, key).await?;
        Ok(match kept {
            Some((of, tags)) if of == unquoted(etag) => TagSet::kept(tags),
            _ => TagSet::default(),
        })
    }

    /// An object's tags, wherever they are kept. `etag`: the object's, as its home gives it.
    pub(super) async fn tags_of(
        &self,
        routed: &Routed,
        key: &ObjectKey,
        version: Option<&NamedVersion>,
        etag: &str,
    ) -> Result<TagSet, Refusal> {
        if !routed.home.capabilities().tagging {
            return self.lent_tags(&routed.route, key, etag).await;
        }
        let request = routed.request(Method::GET, Some(key))?.query("tagging", "");
        match self.ask_home(routed, request.version(version), Bytes::new()).await {
            Ok(answer) => {
                // An empty answer is what one server makes of tags that it has spoilt.
                if answer.body.trim_ascii().is_empty() {
                    return Ok(TagSet::default());
                }
                let tagging = Tagging::parse(&answer.body).map_err(super::home::unreadable)?;
                Ok(TagSet::kept(tagging.tags))
            }
            Err(error) if error.refused_code() == Some("NoSuchTagSet") => Ok(TagSet::default()),
            Err(error) => Err(of_version(error, version)),
        }
    }

    /// Marks the key, decides the conditions, carries out `write`, keeps the tags to lend, and commits the mark before the
    /// success is returned. `became`: what was written.
    ///
    /// # Errors
    /// As [`Gateway::decide_conditions`]; those of the write; `Quorum`.
    pub(super) async fn write_lending<T>(
        &self,
        admitted: &Admitted,
        object: ObjectWrite<'_>,
        write: impl Future<Output = Result<T, UpstreamError>>,
        became: impl Fn(&T) -> Became<'_>,
    ) -> Result<T, Refusal> {
        let ObjectWrite { key, conditions, lending, tags_follow, elsewhere } = object;
        let (routed, request_id) = (admitted.routed()?, admitted.request_id);
        let route = &routed.route;
        self.require_reachable_quorum(route)?;
        let dirty = DirtyKey { bucket: route.bucket.clone(), key: key.clone() };
        let since = Instant::now();
        let is_alone = tags_follow || lends_tags(routed, lending.tags());
        let mark = self.intent_under(conditions, is_alone, routed, &dirty, request_id).await?;
        let has_replicas = match &elsewhere {
            Some(elsewhere) => match self.claim_places(&dirty, &mark, elsewhere).await {
                Ok(has_replicas) => has_replicas,
                Err(refusal) => {
                    self.release(&dirty, &mark).await;
                    return Err(refusal);
                }
            },
            None => false,
        };
        let (result, since) = self.while_marked(&dirty, &mark, since, write).await;
        let made = result.as_ref().ok().map(&became);
        if let (Some(made), Lending::Written(_) | Lending::Deleted) = (&made, lending) {
            self.store_lent_tags(route, key, made.etag, lending.tags()).await?;
        }
        if let Some(made) = &made {
            self.replace_null(routed, key, made.version).await?;
        }
        let (landed, since) = match (&made, elsewhere) {
            (Some(made), Some(elsewhere)) if has_replicas => {
                Box::pin(self.complete_places(routed, &dirty, &mark, since, elsewhere, unquoted(made.etag))).await
            }
            (Some(_), Some(elsewhere)) => {
                self.lose_places(route, elsewhere.upload_id()).await;
                (Landed::Unproven, since)
            }
            _ if matches!(lending, Lending::Deleted) => (Landed::Gone, since),
            _ => (Landed::Unproven, since),
        };
        self.settle(routed, &dirty, &mark, since, request_id, result.map(|value| (value, landed))).await
    }

    /// Keeps the tags of a multipart upload until it is completed.
    pub(super) async fn store_upload_tags(&self, route: &Route, upload_id: &str, tags: &TagSet) -> Result<(), Refusal> {
        if let Some(row) = upload_row(upload_id)
            && !tags.is_empty()
        {
            self.metadata.put_tags(&route.bucket, &row, OF_AN_UPLOAD, tags.as_slice()).await?;
        }
        Ok(())
    }

    /// The tags that a multipart upload was begun with.
    pub(super) async fn upload_tags(&self, route: &Route, upload_id: &str) -> Result<TagSet, Refusal> {
        match upload_row(upload_id) {
            Some(row) => self.lent_tags(route, &row, OF_AN_UPLOAD).await,
            None => Ok(TagSet::default()),
        }
    }

    /// Forgets the tags of a multipart upload that has ended.
    pub(super) async fn forget_upload_tags(&self, route: &Route, upload_id: &str) -> Result<(), Refusal> {
        if let Some(row) = upload_row(upload_id) {
            self.metadata.delete_tags(&route.bucket, &row).await?;
        }
        Ok(())
    }
}

/// Whether tags of an object, where it has any, are to be kept here.
pub(crate) fn lends_tags(routed: &Routed, tags: Option<&TagSet>) -> bool {
    !routed.home.capabilities().tagging && tags.is_some_and(|tags| !tags.is_empty())
}

/// Stands where the ETag would: no object has this one, so the row is never taken for an object's.
const OF_AN_UPLOAD: &str = "*upload*";

/// The row of an upload's tags. Clients see upload ids sealed only, so none can name an object like it.
fn upload_row(upload_id: &str) -> Option<ObjectKey> {
    ObjectKey::parse(&format!("\0upload\0{}", hex::encode(Sha256::digest(upload_id)))).ok()
}

/// Adds an object's tags to its upload where the home keeps them.
pub(super) fn with_tags(request: UpstreamRequest, tags: &TagSet, kept_by_backend: bool) -> UpstreamRequest {
    if kept_by_backend && !tags.is_empty() { request.header("x-amz-tagging", tags.render_header()) } else { request }
}
