//! Object tagging, at the home or lent by the gateway; a change of tags is a write to the key, so that replicas follow.
use super::{
    conditions::WriteConditions,
    home::etag_of,
    lending::{Became, Lending, ObjectWrite},
    null_version::MadeVersion,
};
use crate::{
    admit::{Admitted, Routed},
    answer::Answer,
    gateway::Gateway,
    refusal::Refusal,
    upstream::UpstreamRequest,
    version::{NamedVersion, VERSION_ID, of_version},
};
use bytes::Bytes;
use http::{Method, StatusCode};
use s3gateway_filters::replica_count;
use s3gateway_s3::{
    S3Code, S3Error, S3Request, TagSet,
    checksum::{Md5, render_value},
    xml::Tagging,
};
use s3gateway_store::Route;

/// The tag that says how many copies an object gets.
const REPLICA_COUNT: &str = "replica-count";

/// The tags that come with an object's upload, from the header `x-amz-tagging`.
///
/// # Errors
/// As [`TagSet::parse_header`]; `InvalidTag` for a `replica-count` that is no number, more than the placement can give or less
/// than the write quorum.
pub(crate) fn parse_put_tags(request: &S3Request, route: &Route) -> Result<Option<TagSet>, S3Error> {
    let mut values = request.headers.get_all("x-amz-tagging").iter();
    let header = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => std::str::from_utf8(value.as_bytes()).map_err(|_| malformed())?,
        (Some(_), Some(_)) => return Err(malformed()),
    };
    let tags = TagSet::parse_header(header)?;
    check_replica_count(&tags, route)?;
    Ok(Some(tags))
}

fn malformed() -> S3Error {
    S3Code::InvalidArgument
        .because("The header x-amz-tagging must be given once, in UTF-8.")
        .with("ArgumentName", "x-amz-tagging")
}

/// Copies that an object with these tags is to have, home included.
pub(crate) fn count_for(tags: Option<&TagSet>, route: &Route) -> u32 {
    let wish = tags.and_then(|tags| tags.get(REPLICA_COUNT));
    wish.and_then(|value| replica_count::parse_tag(value, u32::MAX).ok()).unwrap_or(route.replica_count)
}

/// Checks the tag `replica-count`, where there is one, against what the placement can give and what writes wait for.
///
/// # Errors
/// `InvalidTag`.
pub(super) fn check_replica_count(tags: &TagSet, route: &Route) -> Result<(), S3Error> {
    let Some(value) = tags.get(REPLICA_COUNT) else { return Ok(()) };
    let places = u32::try_from(route.placement.len()).unwrap_or(u32::MAX);
    if replica_count::parse_tag(value, places)? < route.write_quorum {
        return Err(S3Code::InvalidTag.because(format!(
            "The tag replica-count asks for fewer copies than the {} places that writes to this bucket wait for.",
            route.write_quorum
        )));
    }
    Ok(())
}

/// Makes a PUT on an object one that sets its tags, with the document. Some servers want its MD5.
pub(super) fn put_request(request: UpstreamRequest, tags: &TagSet) -> (UpstreamRequest, Bytes) {
    let document = Bytes::from(Tagging::from(tags.clone()).render());
    let mut md5 = Md5::new();
    md5.update(&document);
    let request = request.query("tagging", "").header("content-md5", render_value(&md5.finalize()));
    (request.header("content-type", "application/xml"), document)
}

impl Gateway {
    pub(super) async fn object_tagging(&self, admitted: &Admitted) -> Result<Answer, Refusal> {
        let (routed, key) = (admitted.routed()?, admitted.key()?);
        routed.require_held(key)?;
        let version = self.tagged_version(admitted, routed).await?;
        let etag = match routed.home.capabilities().tagging {
            true => String::new(),
            false => etag_of(&self.head_at_home(routed, key, None).await?).to_owned(),
        };
        let tags = self.tags_of(routed, key, version.as_ref(), &etag).await?;
        Ok(Answer::xml(Tagging::from(tags).render()).with_some(VERSION_ID, version.map(NamedVersion::into_shown)))
    }

    pub(super) async fn put_object_tagging(&self, admitted: &Admitted, body: &Bytes) -> Result<Answer, Refusal> {
        let tags = Tagging::parse_request(body)?;
        check_replica_count(&tags, &admitted.routed()?.route)?;
        let version = self.replace_tags(admitted, Some(tags)).await?;
        Ok(Answer::empty(StatusCode::OK).with_some(VERSION_ID, version.map(NamedVersion::into_shown)))
    }

    pub(super) async fn delete_object_tagging(&self, admitted: &Admitted) -> Result<Answer, Refusal> {
        let version = self.replace_tags(admitted, None).await?;
        Ok(Answer::empty(StatusCode::NO_CONTENT).with_some(VERSION_ID, version.map(NamedVersion::into_shown)))
    }

    /// The version whose tags are meant: the one that is named, else the current one where versions are kept. It is
    /// named to the home, so that what is answered is of what was changed.
    async fn tagged_version(&self, admitted: &Admitted, routed: &Routed) -> Result<Option<NamedVersion>, Refusal> {
        let key = admitted.key()?;
        match self.named_version(routed, key, admitted.request.version_id()?).await? {
            None if routed.route.versioning.is_set() => {
                let head = self.head_at_home(routed, key, None).await?;
                Ok(self.require_version(routed, key, head.header(VERSION_ID.as_str())).await?)
            }
            named => Ok(named),
        }
    }

    /// Sets an object's tags, or removes them.
    async fn replace_tags(&self, admitted: &Admitted, tags: Option<TagSet>) -> Result<Option<NamedVersion>, Refusal> {
        let (routed, key) = (admitted.routed()?, admitted.key()?);
        routed.require_held(key)?;
        let version = self.tagged_version(admitted, routed).await?;
        if let Some(version) = version.as_ref().filter(|_| routed.route.versioning.is_set()) {
            // What is refused would pass for newer than what a former home has of it.
            self.require_taken(routed, key).await?;
            // Nothing tells a worker which of a key's versions has other tags now; it would have to ask for them all.
            self.metadata.note_retagged(&routed.route.bucket, key, version.shown()).await?;
        }
        self.note_unlisted(routed, key).await?;
        let lent = !routed.home.capabilities().tagging;
        let (request, document) = match (&tags, lent) {
            // Lent tags need the object only: that it exists and which one it is.
            (_, true) => (routed.request(Method::HEAD, Some(key))?, Bytes::new()),
            (None, false) => (routed.request(Method::DELETE, Some(key))?.query("tagging", ""), Bytes::new()),
            (Some(tags), false) => put_request(routed.request(Method::PUT, Some(key))?, tags),
        };
        let write = self.ask_home(routed, request.version(version.as_ref()), document);
        let unconditional = WriteConditions::default();
        let lending = Lending::Written(tags.as_ref());
        let object = ObjectWrite { key, conditions: &unconditional, lending, tags_follow: false, elsewhere: None };
        let tagged = self.write_lending(admitted, object, write, |answer| Became {
            etag: etag_of(answer),
            version: MadeVersion::Other,
        });
        match tagged.await {
            Ok(_) => Ok(version),
            Err(Refusal::Upstream(error)) => Err(of_version(error, version.as_ref())),
            Err(refusal) => Err(refusal),
        }
    }
}
