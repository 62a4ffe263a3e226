//! A bucket's home as operations ask it: the bucket's name there, a request on it, and what its refusals mean.
use crate::{
    admit::Routed,
    gateway::Gateway,
    refusal::Refusal,
    upstream::{BackendError, UpstreamAnswer, UpstreamBackend, UpstreamError, UpstreamRequest},
    version::{NamedVersion, of_version},
};
use bytes::Bytes;
use http::Method;
use s3gateway_s3::{
    ObjectKey, PhysicalBucket, S3Code,
    etag::unquoted,
    xml::{self, ErrorDocument, XmlError},
};
use s3gateway_store::{Route, StoreError};

/// The bucket's name on one backend of its placement.
pub(super) fn physical_on<'r>(route: &'r Route, backend: &UpstreamBackend) -> Result<&'r PhysicalBucket, Refusal> {
    route.physical_on(backend.id()).ok_or(Refusal::Store(StoreError::Corrupt("a bucket without a name on its backend")))
}

impl Routed {
    /// A request to the home, on the bucket or on a key in it.
    pub(super) fn request(&self, method: Method, key: Option<&ObjectKey>) -> Result<UpstreamRequest, Refusal> {
        Ok(UpstreamRequest::new(method, physical_on(&self.route, &self.home)?, key))
    }

    /// Whether the home can hold `key` at all; one that it cannot hold does not exist.
    pub(super) fn holds(&self, key: &ObjectKey) -> bool {
        self.home.capabilities().keys.holds(key.as_str())
    }

    /// Passes keys that can exist.
    ///
    /// # Errors
    /// `NoSuchKey`.
    pub(super) fn require_held(&self, key: &ObjectKey) -> Result<(), Refusal> {
        if self.holds(key) { Ok(()) } else { Err(S3Code::NoSuchKey.into()) }
    }
}

impl Gateway {
    /// Asks the home with a bodiless request or a small body.
    pub(super) async fn ask_home(
        &self,
        routed: &Routed,
        request: UpstreamRequest,
        body: Bytes,
    ) -> Result<UpstreamAnswer, UpstreamError> {
        let is_head = request.method() == Method::HEAD;
        let result = self.client.send(&routed.home, request, body).await;
        if !is_head {
            return result.map_err(explain);
        }
        if matches!(&result, Err(UpstreamError::Refused(refused)) if refused.status == 404) {
            self.require_bucket_at_home(routed).await?;
        }
        result
    }

    /// Passes a bucket that is at its home. To be asked where the home says 404 without saying what is missing, so that a
    /// home that has lost its bucket does not make all its objects pass for deleted.
    ///
    /// # Errors
    /// An outage of the home.
    pub(crate) async fn require_bucket_at_home(&self, routed: &Routed) -> Result<(), UpstreamError> {
        let physical = routed.route.physical_on(routed.home.id()).ok_or(UpstreamError::OutOfService)?;
        self.client.require_bucket(&routed.home, physical).await
    }

    /// HEAD of an object at its home, or of a version of it.
    ///
    /// # Errors
    /// `NoSuchKey`, `NoSuchVersion`, `MethodNotAllowed` for a delete marker, an outage of the home.
    pub(crate) async fn head_at_home(
        &self,
        routed: &Routed,
        key: &ObjectKey,
        version: Option<&NamedVersion>,
    ) -> Result<UpstreamAnswer, Refusal> {
        routed.require_held(key)?;
        let request = routed.request(Method::HEAD, Some(key))?.version(version);
        self.ask_home(routed, request, Bytes::new()).await.map_err(|error| of_version(error, version))
    }
}

/// Tells a bucket that the home has lost from one that the client has never made, and what the home misses from a 404 of
/// something before it, which does not speak S3 and has asked nobody. Not for HEAD, whose answers have no code.
pub(crate) fn explain(error: UpstreamError) -> UpstreamError {
    match error {
        UpstreamError::Refused(refused) if refused.code == "NoSuchBucket" => UpstreamError::LOST_BUCKET,
        UpstreamError::Refused(refused) if refused.status == 404 && !refused.code.starts_with("NoSuch") => {
            UpstreamError::Malformed("a 404 that is not S3's")
        }
        other => other,
    }
}

/// The object's ETag in an answer, without quotes; empty where the backend gave none.
pub(super) fn etag_of(answer: &UpstreamAnswer) -> &str {
    unquoted(answer.header("etag"))
}

/// Takes apart an answer of status 200 that may still be an error.
pub(super) fn done<T>(parsed: Result<xml::Answer<T>, XmlError>) -> Result<T, UpstreamError> {
    match parsed {
        Ok(xml::Answer::Done(value)) => Ok(value),
        Ok(xml::Answer::Failed(error)) => Err(late_error(error)),
        Err(_) => Err(UpstreamError::Malformed("no such document was asked for")),
    }
}

/// What an error inside a 200 stands for: it has lost its status, so the code decides.
fn late_error(error: ErrorDocument) -> UpstreamError {
    match S3Code::from_name(&error.code) {
        Some(code) => UpstreamError::from_answer(code.status(), code.name()),
        None => UpstreamError::Failed(BackendError { status: 500, code: error.code }),
    }
}

/// For documents of backends that do not read.
pub(super) fn unreadable(_: XmlError) -> UpstreamError {
    UpstreamError::Malformed("the document does not read")
}

#[cfg(test)]
mod tests {
    use super::*;
    use s3gateway_s3::xml::CopyObjectResult;

    #[test]
    fn an_error_in_a_200_is_an_error() {
        let body = |code: &str| {
            format!("\n  <?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>at 10.0.0.1</Message></Error>")
        };
        for (code, definite) in
            [("InternalError", false), ("EntityTooSmall", true), ("SlowDown", true), ("Strange", false)]
        {
            let error = done(CopyObjectResult::parse(body(code).as_bytes())).expect_err(code);
            assert_eq!(error.is_definite(), definite, "{code}");
        }
        assert!(matches!(done(CopyObjectResult::parse(b"<html/>")), Err(UpstreamError::Malformed(_))));
    }

    #[test]
    fn a_lost_bucket_is_an_outage() {
        let error = explain(UpstreamError::from_answer(404, "NoSuchBucket"));
        assert!(error.is_outage());
        assert!(!explain(UpstreamError::from_answer(404, "NoSuchKey")).is_outage());
    }

    #[test]
    fn a_404_counts_only_in_the_words_of_s3() {
        for (code, is_the_homes) in
            [("NoSuchKey", true), ("NoSuchVersion", true), ("NoSuchUpload", true), ("", false), ("Not Found", false)]
        {
            let error = explain(UpstreamError::from_answer(404, code));
            assert_eq!((error.is_definite(), error.is_outage()), (is_the_homes, !is_the_homes), "{code}");
        }
    }
}
