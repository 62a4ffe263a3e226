//! A bucket's own tags: kept in the gateway's metadata on every backend, so no backend is asked for them.
use crate::{admit::Admitted, answer::Answer, gateway::Gateway, refusal::Refusal};
use bytes::Bytes;
use http::StatusCode;
use s3gateway_s3::{S3Code, xml::Tagging};

impl Gateway {
    pub(super) async fn bucket_tagging(&self, admitted: &Admitted) -> Result<Answer, Refusal> {
        let tags = self.metadata.bucket_tags(&admitted.routed()?.route.bucket).await?;
        if tags.is_empty() {
            return Err(S3Code::NoSuchTagSet.error().with("BucketName", admitted.bucket()?.as_str()).into());
        }
        Ok(Answer::xml(Tagging { tags }.render()))
    }

    /// Replaces all tags. The status is that of the example in the S3 API reference.
    pub(super) async fn put_bucket_tagging(&self, admitted: &Admitted, body: &Bytes) -> Result<Answer, Refusal> {
        let tags = Tagging::parse_bucket_request(body)?;
        self.metadata.set_bucket_tags(&admitted.routed()?.route.bucket, tags.as_slice()).await?;
        Ok(Answer::empty(StatusCode::NO_CONTENT))
    }

    pub(super) async fn delete_bucket_tagging(&self, admitted: &Admitted) -> Result<Answer, Refusal> {
        self.metadata.set_bucket_tags(&admitted.routed()?.route.bucket, &[]).await?;
        Ok(Answer::empty(StatusCode::NO_CONTENT))
    }
}
