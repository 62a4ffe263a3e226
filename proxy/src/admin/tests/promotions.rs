//! Promotions of buckets that keep versions.
use super::*;
use s3gateway_s3::Versioning;

const PHOTOS: &str = "/v1/tenants/acme/buckets/photos";

/// The bucket `photos` with versions, on `fi-hel`, on `us-iad`, which keeps none, and on `de-fra`.
async fn versioned_bucket(api: &Api) -> BucketId {
    for (id, keeps_versions) in [("fi-hel", true), ("us-iad", false), ("de-fra", true)] {
        let mut new = backend(id, "FI", "EU");
        new["capabilities"] = json!({"versioning": keeps_versions});
        assert_eq!(api.call("POST", "/v1/backends", &new).await.status, 201);
    }
    assert_eq!(api.call("POST", "/v1/tenants", &json!({"name": "acme"})).await.status, 201);
    let bucket = api.make_bucket(&["fi-hel", "us-iad", "de-fra"]).await;
    api.state.metadata.set_versioning(&bucket, 1, Versioning::Enabled).await.unwrap();
    bucket
}

#[tokio::test]
async fn versions_are_promoted_only_to_where_they_are_kept() {
    let api = Api::start(&["127.0.0.0/8"]).await;
    let bucket = versioned_bucket(&api).await;
    let promote = async |to: &str, force: bool| {
        let answer = api.call("POST", &format!("{PHOTOS}/promote"), &json!({"to": to, "force": force})).await;
        answer.is_problem(409);
        answer.json()["detail"].as_str().unwrap().to_owned()
    };
    let after = format!("{PHOTOS}/promote-after");
    assert_eq!(api.call("PUT", &after, &json!({"seconds": 60})).await.status, 204);
    assert!(promote("us-iad", false).await.contains("that backend does not"));
    assert!(promote("us-iad", true).await.contains("that backend does not"));
    api.state.metadata.set_versioning(&bucket, 1, Versioning::Suspended).await.unwrap();
    assert!(promote("us-iad", false).await.contains("that backend does not"));
    assert!(promote("us-iad", true).await.contains("that backend does not"));
    assert_eq!(api.call("PUT", &after, &json!({"seconds": 60})).await.status, 204);
    assert_eq!(api.call("PUT", &after, &json!({"seconds": null})).await.status, 204);
    assert!(api.state.metadata.promotions_of(&bucket, 1).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_home_that_must_be_left_gives_its_versions_to_the_first_that_keeps_them() {
    let api = Api::start(&["127.0.0.0/8"]).await;
    let bucket = versioned_bucket(&api).await;
    let metadata = &api.state.metadata;
    api.call("POST", "/v1/backends/fi-hel/retire", &Value::Null).await.json();
    // As a worker that has reviewed the bucket.
    let route = metadata.route_by_id(&bucket).await.unwrap().unwrap();
    let due = metadata.buckets_to_review(10).await.unwrap().remove(0).1;
    metadata.reviewed(&route, due, true).await.unwrap();
    metadata.set_versioning(&bucket, 1, Versioning::Suspended).await.unwrap();
    let begun = api.call("POST", "/v1/homes-to-leave", &Value::Null).await.json();
    assert_eq!(begun["buckets"][0]["to"], "de-fra", "{begun}");
}
