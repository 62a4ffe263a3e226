//! DeleteObject and DeleteObjects. Deletes are writes: marked before they reach the home, so that replicas follow.
use super::{conditions::WriteConditions, home::explain, parameters::invalid};
use crate::{
    admit::{Admitted, Routed},
    answer::{Answer, RequestId},
    gateway::Gateway,
    refusal::Refusal,
    upstream::{UpstreamError, UpstreamRequest},
};
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::{Method, StatusCode};
use s3gateway_s3::{
    ObjectKey, S3Code, S3Error, S3Request, checksum,
    xml::{Delete, DeleteError, DeleteResult, DeletedObject, ObjectToDelete},
};
use std::collections::HashMap;

/// Deletes of one DeleteObjects in flight at the home.
const CONCURRENT_DELETES: usize = 8;

impl Gateway {
    pub(super) async fn delete_object(&self, admitted: &Admitted) -> Result<Answer, Refusal> {
        let (routed, key) = (admitted.routed()?, admitted.key()?);
        let conditions = self.check_write_conditions(admitted, routed, key).await?;
        self.delete_key(routed, key, &conditions, admitted.request_id).await?;
        Ok(Answer::empty(StatusCode::NO_CONTENT))
    }

    pub(super) async fn delete_objects(&self, admitted: &Admitted, body: &Bytes) -> Result<Answer, Refusal> {
        let routed = admitted.routed()?;
        require_integrity(&admitted.request)?;
        let delete = Delete::parse(body)?;
        let unconditional = WriteConditions::default();
        // The same key twice is one delete: two at once would race each other at the backend.
        let mut keys: Vec<&ObjectKey> =
            delete.objects.iter().filter(|o| refuse_object(o).is_none()).map(|o| &o.key).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut deletes = Vec::with_capacity(keys.len());
        for key in keys {
            deletes.push(self.delete_one(routed, key, &unconditional, admitted.request_id));
        }
        let outcomes: HashMap<&ObjectKey, Result<(), Refusal>> =
            stream::iter(deletes).buffer_unordered(CONCURRENT_DELETES).collect().await;
        Ok(Answer::xml(render_outcomes(&delete, &outcomes).render()))
    }

    /// A delete of a batch, with the key that it is about.
    async fn delete_one<'k>(
        &self,
        routed: &Routed,
        key: &'k ObjectKey,
        conditions: &WriteConditions,
        request_id: RequestId,
    ) -> (&'k ObjectKey, Result<(), Refusal>) {
        (key, self.delete_key(routed, key, conditions, request_id).await)
    }

    /// Deletes one key at its home; one that is not there, or cannot be, is deleted already.
    async fn delete_key(
        &self,
        routed: &Routed,
        key: &ObjectKey,
        conditions: &WriteConditions,
        request_id: RequestId,
    ) -> Result<(), Refusal> {
        if !routed.holds(key) {
            return Ok(());
        }
        let request = conditions.put_on(routed.home.capabilities(), routed.request(Method::DELETE, Some(key))?);
        let write = async {
            self.delete_at_home(routed, request).await?;
            self.forget_checksum(&routed.route, key).await;
            Ok(())
        };
        self.write_lending(&routed.route, key, request_id, write, |()| "", None).await
    }

    async fn delete_at_home(&self, routed: &Routed, request: UpstreamRequest) -> Result<(), UpstreamError> {
        match self.client.send(&routed.home, request, Bytes::new()).await.map_err(explain) {
            Ok(_) => Ok(()),
            Err(UpstreamError::Refused(refused)) if refused.status == 404 => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// A DeleteObjects must prove its body, by Content-MD5 or by a checksum, which the verifier has compared by now.
fn require_integrity(request: &S3Request) -> Result<(), S3Error> {
    let by_header = request.headers.contains_key("content-md5") || checksum::from_headers(&request.headers)?.is_some();
    let by_trailer = request
        .header("x-amz-trailer")
        .is_some_and(|names| names.split(',').any(|name| checksum::Algorithm::from_header(name.trim()).is_some()));
    match by_header || by_trailer {
        true => Ok(()),
        false => {
            Err(S3Code::InvalidRequest
                .because("Missing required header for this request: Content-MD5 OR x-amz-checksum-*"))
        }
    }
}

/// What the gateway does not do for one object of a batch.
fn refuse_object(object: &ObjectToDelete) -> Option<S3Error> {
    if object.is_conditional() {
        return Some(S3Code::NotImplemented.because("Conditions on objects of DeleteObjects are not implemented."));
    }
    match object.version_id.as_deref() {
        None | Some("null") => None,
        Some(other) => Some(invalid("versionId", other, "Invalid version id specified")),
    }
}

/// One entry for each object of the request, in its order; in quiet mode only what failed.
fn render_outcomes(delete: &Delete, outcomes: &HashMap<&ObjectKey, Result<(), Refusal>>) -> DeleteResult {
    let mut result = DeleteResult::default();
    for object in &delete.objects {
        let error = match (refuse_object(object), outcomes.get(&object.key)) {
            (Some(error), _) => Some(error),
            (None, Some(Ok(()))) => None,
            (None, Some(Err(refusal))) => Some(refusal.to_s3()),
            (None, None) => Some(S3Code::InternalError.error()),
        };
        let (key, version_id) = (object.key.as_str().to_owned(), object.version_id.clone());
        match error {
            Some(error) => {
                let (code, message) = (error.code.name().to_owned(), error.message.into_owned());
                result.errors.push(DeleteError { key, version_id, code, message });
            }
            None if !delete.quiet => result.deleted.push(DeletedObject { key, version_id, ..DeletedObject::default() }),
            None => {}
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderName, HeaderValue};

    fn request(headers: &[(&'static str, &'static str)]) -> S3Request {
        let mut map = HeaderMap::new();
        map.insert("host", HeaderValue::from_static("localhost"));
        for (name, value) in headers {
            map.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        S3Request::parse(&Method::POST, "/mine?delete", map.clone(), &[]).expect("a request")
    }

    #[test]
    fn xm_06_integrity_is_required() {
        for (headers, ok) in [
            (&[][..], false),
            (&[("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg==")], true),
            (&[("x-amz-checksum-crc32", "AAAAAA==")], true),
            (&[("x-amz-trailer", "x-amz-checksum-crc64nvme")], true),
            (&[("x-amz-trailer", "x-amz-meta-a")], false),
            (&[("x-amz-checksum-algorithm", "CRC32")], false),
        ] {
            assert_eq!(require_integrity(&request(headers)).is_ok(), ok, "{headers:?}");
        }
    }

    fn object(key: &str, version_id: Option<&str>) -> ObjectToDelete {
        ObjectToDelete {
            version_id: version_id.map(str::to_owned),
            ..ObjectToDelete::new(ObjectKey::parse(key).expect(key))
        }
    }

    #[test]
    fn each_object_gets_its_own_outcome() {
        let objects =
            vec![object("gone", None), object("stuck", None), object("gone", Some("null")), object("old", Some("7"))];
        let (gone, stuck) = (ObjectKey::parse("gone").expect("a key"), ObjectKey::parse("stuck").expect("a key"));
        let outcomes = HashMap::from([(&gone, Ok(())), (&stuck, Err(Refusal::from(UpstreamError::OutOfService)))]);
        let delete = Delete { objects, quiet: false };
        let result = render_outcomes(&delete, &outcomes);
        assert_eq!(result.deleted.iter().map(|d| d.key.as_str()).collect::<Vec<_>>(), ["gone", "gone"]);
        let errors: Vec<_> = result.errors.iter().map(|e| (e.key.as_str(), e.code.as_str())).collect();
        assert_eq!(errors, [("stuck", "ServiceUnavailable"), ("old", "InvalidArgument")]);
        let quiet = render_outcomes(&Delete { quiet: true, ..delete }, &outcomes);
        assert!(quiet.deleted.is_empty());
        assert_eq!(quiet.errors.len(), 2);
    }
}
