//! For tests: a backend that answers what it was told to and notes what it was asked; and what is made of odd answers.
use super::tests::remote_at;
use super::{HttpResponse, Remote};
use crate::settings::WorkerSettings;
use crate::transport::Transport;
use aws_sdk_s3::config::http::HttpRequest;
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime_api::client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn};
use std::fmt;
use std::sync::{Arc, Mutex};

/// A status, an ETag where it is not empty, and a body.
pub(crate) type Said = (u16, &'static str, String);

/// Methods and addresses of requests.
pub(crate) type Asked = Arc<Mutex<Vec<String>>>;

#[derive(Clone)]
struct Canned {
    says: Arc<dyn Fn(&str) -> Said + Send + Sync>,
    asked: Asked,
}

impl fmt::Debug for Canned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Canned")
    }
}

impl HttpConnector for Canned {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let line = format!("{} {}", request.method(), request.uri());
        let (status, etag, body) = (self.says)(&line);
        self.asked.lock().unwrap().push(line);
        let length = body.len().to_string();
        let mut answer = HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body));
        answer.headers_mut().insert("content-length", length);
        if !etag.is_empty() {
            answer.headers_mut().insert("etag", etag);
        }
        HttpConnectorFuture::ready(Ok(answer))
    }
}

/// A backend that answers each request what `says` makes of its method and address.
pub(crate) fn canned(says: impl Fn(&str) -> Said + Send + Sync + 'static) -> (Remote, Asked) {
    let asked = Asked::default();
    let canned = Canned { says: Arc::new(says), asked: asked.clone() };
    let http = http_client_fn(move |_, _| SharedHttpConnector::new(canned.clone()));
    let transport = Transport::Simulated { http, time: SharedTimeSource::default() };
    let settings = WorkerSettings { transport, ..WorkerSettings::default() };
    (remote_at("http://backend".to_owned(), &settings), asked)
}

/// The document of an S3 error.
pub(crate) fn error(code: &str) -> String {
    format!("<Error><Code>{code}</Code><Message>m</Message></Error>")
}

mod tests {
    use super::*;
    use crate::backend::BackendError;
    use crate::layout::Part;
    use crate::multipart::Upload;
    use crate::object::Object;
    use s3gateway_config::Capabilities;
    use s3gateway_s3::{ObjectKey, PhysicalBucket};
    use s3gateway_store::Backend;

    #[tokio::test]
    async fn a_list_that_begins_again_and_again_comes_to_an_end() {
        let (bucket, key) = (PhysicalBucket::parse("some-bucket").unwrap(), ObjectKey::parse("k").unwrap());
        let (remote, asked) = canned(|line| {
            let body = match line {
                line if line.starts_with("DELETE") => return (204, "", String::new()),
                line if line.contains("ListBuckets") => {
                    "<ListAllMyBucketsResult><Buckets></Buckets><ContinuationToken>t</ContinuationToken></ListAllMyBucketsResult>"
                }
                line if line.contains("ListParts") => {
                    "<ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker>\
                     <Part><PartNumber>1</PartNumber><ETag>5d41402abc4b2a76b9719d911017c592</ETag><Size>5</Size></Part></ListPartsResult>"
                }
                line if line.contains("versions") => {
                    "<ListVersionsResult><IsTruncated>true</IsTruncated><Version><Key>k</Key><VersionId>v</VersionId>\
                     <LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>e</ETag><Size>1</Size></Version></ListVersionsResult>"
                }
                _ => {
                    "<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>k</Key></Contents></ListBucketResult>"
                }
            };
            (200, "", body.to_owned())
        });
        assert!(matches!(remote.owns_bucket(&bucket).await, Err(BackendError::Unavailable { .. })));
        let upload = Upload { remote: &remote, bucket: &bucket, key: &key, id: "u" };
        assert_eq!(upload.held_parts().await.unwrap().len(), 1, "what is not told is sent again");
        for versioning in [false, true] {
            let capabilities = Capabilities { versioning, ..Capabilities::default() };
            let remote = Remote { backend: Backend { capabilities, ..remote.backend.clone() }, ..remote.twin() };
            assert_eq!(remote.backend.capabilities.keeps_versions(), versioning);
            let emptied = crate::retire::empty(&remote, &bucket).await;
            assert!(emptied.unwrap_err().to_string().contains("still listed"));
        }
        assert!(asked.lock().unwrap().len() < 20, "{:?}", asked.lock().unwrap());
    }

    /// What something before a backend says, and what S3 says.
    fn misses() -> Vec<String> {
        let codes = ["NoSuchKey", "NoSuchVersion", "NoSuchBucket", "Other"].map(error);
        ["".to_owned(), "<html>not found</html>".to_owned()].into_iter().chain(codes).collect()
    }

    #[tokio::test]
    async fn a_404_is_a_delete_done_only_in_the_words_of_s3() {
        let (bucket, key) = (PhysicalBucket::parse("some-bucket").unwrap(), ObjectKey::parse("k").unwrap());
        let mut done = Vec::new();
        for body in misses() {
            let (remote, _) = canned(move |_| (404, "", body.clone()));
            let results = [
                remote.delete(&bucket, key.as_str()).await,
                remote.delete_version(&bucket, key.as_str(), "v").await,
                crate::retire::drop_bucket(&remote, &bucket).await,
            ];
            for error in results.iter().filter_map(|result| result.as_ref().err()) {
                assert!(matches!(error, BackendError::Unavailable { .. }), "{error:?}");
            }
            done.push(results.map(|result| result.is_ok()));
        }
        let (nothing, object, bucket) = ([false; 3], [true, true, false], [true; 3]);
        assert_eq!(done, [nothing, nothing, object, object, bucket, nothing]);
    }

    #[tokio::test]
    async fn an_upload_without_an_etag_is_not_known_to_be_done() {
        let (bucket, key) = (PhysicalBucket::parse("some-bucket").unwrap(), ObjectKey::parse("k").unwrap());
        for (etag, is_known) in [("", false), ("\"\"", false), ("\"abc\"", true)] {
            let (remote, _) = canned(move |_| (200, etag, String::new()));
            let put = remote.put(&bucket, &key, &Object::default(), SdkBody::empty()).await;
            let upload = Upload { remote: &remote, bucket: &bucket, key: &key, id: "u" };
            let part = upload.put_part(Part { number: 1, offset: 0, length: 0 }, SdkBody::empty()).await;
            for told in [put, part] {
                match told {
                    Ok(told) => assert!(is_known && told == "abc", "{etag}: {told}"),
                    Err(error) => assert!(!is_known && matches!(error, BackendError::Unavailable { .. }), "{error:?}"),
                }
            }
        }
    }
}
