//! A home's `null` version, where versioning is suspended and another home gave versions of it their ids: a write there does not replace by itself
//! the one that came under an id of the new home's own. The proxy has that deleted; here is done what it did not come to do.
//! Source: Amazon S3 User Guide, "Working with objects in a versioning-suspended bucket".
use super::{ConvergeError, Converger};
use crate::backend::Remote;
use crate::claim::Claim;
use crate::versions::Listed;
use s3gateway_s3::{ObjectKey, PhysicalBucket};
use s3gateway_store::{Route, VersionCopy};

/// The record of a `null` version whose place another one has taken. `listed`: what the home lists of the key, by its own ids, the oldest first.
pub(super) fn replaced<'r>(listed: &[Listed], recorded: &'r [VersionCopy]) -> Option<&'r VersionCopy> {
    if let Some(replaced) = recorded.iter().find(|copy| copy.is_replaced()) {
        return Some(replaced);
    }
    let at = listed.iter().position(|listed| listed.id.is_null())?;
    let null = listed.get(at)?;
    if let Some(of_null) = recorded.iter().find(|copy| copy.version.is_null() && !copy.is_gone()) {
        let is_same = of_null.is_marker == null.is_marker && of_null.etag == null.etag;
        let is_it = is_same && of_null.home_modified == null.modified;
        return (of_null.home_version.is_null() && !is_it).then_some(of_null);
    }
    let moved = recorded.iter().find(|copy| copy.home_version.is_null() && !copy.version.is_null())?;
    let is_older = match listed.iter().position(|listed| listed.id == moved.version) {
        Some(place) => place < at,
        None => !moved.is_gone(),
    };
    is_older.then_some(moved)
}

/// Whether a record says nothing any more: of a `null` version that has gone, where there is another.
pub(super) fn is_over(copy: &VersionCopy, listed: &[Listed]) -> bool {
    copy.is_gone() && copy.home_version.is_null() && listed.iter().any(|listed| listed.id.is_null())
}

impl Converger {
    /// Lets the version go that a record found by [`replaced`] is of.
    pub(super) async fn let_go(
        &self,
        (home, bucket): (&Remote, &PhysicalBucket),
        (route, key): (&Route, &ObjectKey),
        replaced: &VersionCopy,
        claim: &Claim,
    ) -> Result<(), ConvergeError> {
        if let Some(lost) = claim.check().await? {
            return Err(lost.into());
        }
        self.require_same_home(route).await?;
        let own = &replaced.version;
        self.metadata.note_null_over(&route.bucket, key, &route.home, own, VersionCopy::REPLACED).await?;
        if !own.is_null() {
            home.delete_version(bucket, key.as_str(), own.as_str()).await?;
        }
        Ok(self.metadata.note_null_over(&route.bucket, key, &route.home, own, VersionCopy::GONE).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version_plan::tests::{copy, list, listed};

    #[test]
    fn only_what_stands_below_the_null_version_is_replaced() {
        let how = |how: &str, copy: VersionCopy| VersionCopy { verified_how: how.to_owned(), ..copy };
        let gone = |copy| how(VersionCopy::GONE, copy);
        let of = |shown: &str, own: &str| copy(&listed(shown), &listed(own), 1);
        for (home, recorded, want) in [
            ("x:a null:b", of("null:a", "x:a"), true),
            ("x:a null:b", gone(of("null:a", "x:a")), true),
            ("x:a mnull null:b", of("null:a", "x:a"), true),
            // It was found before, and may still be there.
            ("x:a null:b", how(VersionCopy::REPLACED, of("null:a", "x:a")), true),
            ("x:a", how(VersionCopy::REPLACED, of("null:a", "x:a")), true),
            ("null:b", how(VersionCopy::REPLACED, of("null:a", "x:a")), true),
            // It has been deleted, and that was not noted.
            ("y:c null:b", of("null:a", "x:a"), true),
            ("y:c null:b", gone(of("null:a", "x:a")), false),
            // Not the gateway's.
            ("null:b x:a", of("null:a", "x:a"), false),
            ("x:a", of("null:a", "x:a"), false),
            ("x:a null:b", of("1:a", "x:a"), false),
            // The home replaces it by itself.
            ("null:a", of("null:a", "null:a"), false),
            ("null:b", of("null:a", "null:a"), true),
            ("null:a", VersionCopy { home_modified: 6, ..of("null:a", "null:a") }, true),
            ("x:a null:b", of("1:b", "null:b"), false),
        ] {
            let recorded = [recorded];
            assert_eq!(replaced(&list(home), &recorded).is_some(), want, "{home} {recorded:?}");
        }
        let (with, without) = (list("x:a null:b"), list("x:a"));
        for (record, listed, want) in [
            (gone(of("null:a", "x:a")), &with, true),
            (gone(of("null:a", "x:a")), &without, false),
            (gone(of("1:a", "x:a")), &with, false),
            (of("null:a", "x:a"), &with, false),
        ] {
            assert_eq!(is_over(&record, listed), want, "{record:?}");
        }
    }
}
