//! Ends what a copy by parts that was cut short has left at a replica, where the key goes on without such a copy.
//! Invariant: a backend is asked only where a record says that such a copy was begun: others cost no request for this.
use super::{ConvergeError, Converger, Place, Scene, physical_on};
use crate::backend::BackendError;
use crate::multipart::{Upload, UploadIds};
use crate::object::Object;
use crate::plan::{self, Action, Method, PENDING, SUSPECT};
use s3gateway_store::ObjectCopy;

/// Whether the copy that was begun last and not verified was one by parts, so that an upload may be open.
pub(super) fn may_be_open(recorded: &ObjectCopy, multipart_threshold: u64) -> bool {
    let size = u64::try_from(recorded.size).unwrap_or(0);
    let begun = Object { etag: recorded.home_etag.clone(), size, ..Object::default() };
    matches!(recorded.verified_how.as_str(), PENDING | SUSPECT)
        && is_by_parts(plan::decide_method(&begun, multipart_threshold))
}

/// Whether a copy so made opens an upload, and goes on with or ends those that are open.
pub(super) fn is_by_parts(method: Method) -> bool {
    matches!(method, Method::Multipart(_))
}

impl Converger {
    /// Aborts the key's uploads at a replica, if any may be left by what was begun there before, but for those
    /// that clients send parts to.
    pub(super) async fn end_uploads(&self, scene: &Scene<'_>, place: &Place) -> Result<(), ConvergeError> {
        let Some(remote) = &place.remote else { return Ok(()) };
        let was_begun = place.recorded.as_ref().is_some_and(|recorded| self.may_be_open(recorded));
        let has_ended_them = matches!(place.action, Action::Copy(method) if is_by_parts(method));
        if !was_begun || has_ended_them || !remote.backend.capabilities.keys.holds(scene.key.as_str()) {
            return Ok(());
        }
        let bucket = physical_on(scene.route, &place.id)?;
        let open = match UploadIds::open(remote, bucket, scene.key.as_str()).await {
            Err(BackendError::NoSuchBucket | BackendError::NotFound { .. }) => return Ok(()),
            // A stranger's bucket by now.
            Err(BackendError::Refused { status: 403, .. }) if !remote.owns_bucket(bucket).await? => return Ok(()),
            open => open?,
        };
        let clients = self.metadata.client_uploads(&scene.route.bucket, scene.key, &place.id).await?;
        for id in open.of_workers(scene.key, &clients) {
            scene.hold().await?;
            Upload { remote, bucket, key: scene.key, id: &id }.abort().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use s3gateway_config::BackendId;

    #[test]
    fn only_a_copy_by_parts_that_was_not_verified_leaves_an_upload() {
        let (plain, parts) = ("5d41402abc4b2a76b9719d911017c592", "5d41402abc4b2a76b9719d911017c592-3");
        for (how, home_etag, size, want) in [
            (PENDING, parts, 1, true),
            (PENDING, plain, 101, true),
            (PENDING, plain, 100, false),
            (PENDING, "", 0, false),
            (SUSPECT, parts, 1, true),
            ("etag", parts, 1, false),
            ("md5", plain, 101, false),
        ] {
            let recorded = ObjectCopy {
                backend: BackendId::parse("b").unwrap(),
                etag: String::new(),
                home_etag: home_etag.to_owned(),
                size,
                verified_how: how.to_owned(),
                verified_at: 0,
            };
            assert_eq!(may_be_open(&recorded, 100), want, "{how} {home_etag} {size}");
        }
    }
}
