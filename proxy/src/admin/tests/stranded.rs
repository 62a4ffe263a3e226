//! Giving up what is stranded: its key is marked before anything of it is forgotten.
use super::*;
use axum::extract::State;
use s3gateway_s3::{ObjectKey, PhysicalBucket};
use s3gateway_store::{Kept, Merging, StoreError, queue::RedisQueue};
use std::time::Duration;

/// A key that stayed behind at `fi-hel`, and its row.
async fn strand(api: &Api) -> (DirtyKey, String) {
    for (id, country) in [("fi-hel", "FI"), ("de-fra", "DE")] {
        api.add_backend(id, country, "EU").await;
    }
    assert_eq!(api.call("POST", "/v1/tenants", &json!({"name": "acme"})).await.status, 201);
    let bucket = api.make_bucket(&["fi-hel", "de-fra"]).await;
    let (metadata, key) = (&api.state.metadata, ObjectKey::parse("left").unwrap());
    let epoch = metadata.route_by_id(&bucket).await.unwrap().unwrap().epoch;
    let to = BackendId::parse("de-fra").unwrap();
    let promotion = metadata.begin_promotion(&bucket, &to, epoch, true).await.unwrap();
    metadata.strand_keys(&promotion, &[(key.clone(), None)]).await.unwrap();
    let row = metadata.stranded_of(&bucket, None, 1).await.unwrap().remove(0);
    (DirtyKey { bucket, key }, row.id)
}

#[tokio::test]
async fn a_row_that_is_dropped_leaves_its_key_marked() {
    let api = Api::start(&["127.0.0.0/8"]).await;
    let (dirty, id) = strand(&api).await;
    assert!(!api.state.queue.is_marked(&dirty).await.unwrap());
    assert_eq!(api.call("DELETE", &format!("/v1/stranded/{id}"), &Value::Null).await.status, 204);
    assert!(matches!(api.state.metadata.stranded_by_id(&id).await, Err(StoreError::NotFound)));
    let job = api.state.queue.claim("w", 1, Duration::from_secs(9)).await.unwrap().remove(0);
    assert_eq!((&job.key, job.request_id.as_str()), (&dirty, "stranded-drop"), "no lease keeps it waiting");
    api.call("DELETE", &format!("/v1/stranded/{id}"), &Value::Null).await.is_problem(404);
}

#[tokio::test]
async fn a_row_of_which_something_has_come_home_is_left_to_a_worker() {
    let api = Api::start(&["127.0.0.0/8"]).await;
    let (dirty, id) = strand(&api).await;
    let metadata = &api.state.metadata;
    metadata.begin_merging(&id).await.unwrap();
    assert!(metadata.begin_merge_writing(&id, &[], &[]).await.unwrap());
    for _ in 0..2 {
        assert_eq!(api.call("DELETE", &format!("/v1/stranded/{id}"), &Value::Null).await.status, 204);
        let merging = metadata.stranded_by_id(&id).await.unwrap().merging;
        assert!(matches!(&merging, Some(Merging::Writing(writing)) if writing.is_given_up), "{merging:?}");
    }
    assert!(api.state.queue.is_marked(&dirty).await.unwrap());
}

/// By a proxy that is cut off from the queue in which the worker has its lease.
#[tokio::test]
async fn a_row_whose_key_is_changed_at_its_home_is_not_given_up() {
    let api = Api::start(&["127.0.0.0/8"]).await;
    let (dirty, id) = strand(&api).await;
    let metadata = &api.state.metadata;
    let kept = Kept {
        backend: BackendId::parse("de-fra").unwrap(),
        physical: PhysicalBucket::parse("s3gw-0123-aside").unwrap(),
        etag: "e".to_owned(),
        size: 1,
    };
    metadata.begin_keeping(&id, &kept).await.unwrap();
    let row = metadata.stranded_by_id(&id).await.unwrap();
    assert!(metadata.begin_bringing(&row, "!1").await.unwrap());
    api.call("DELETE", &format!("/v1/stranded/{id}"), &Value::Null).await.is_problem(409);
    assert_eq!(metadata.stranded_by_id(&id).await.unwrap().aside(), Some(&kept), "nor is what stands aside");
    let shown = api.get(&format!("/v1/stranded/{id}")).await.json();
    assert_eq!(shown["state"], "merging");
    api.state.queue.intent_alone(&dirty, "", Duration::from_secs(9)).await.expect("no lease is left");
}

#[tokio::test]
async fn a_row_stays_where_its_key_cannot_be_marked() {
    let api = Api::start(&["127.0.0.0/8"]).await;
    let (_, id) = strand(&api).await;
    let nobody = ["redis://127.0.0.1:1".to_owned()];
    let away = RedisQueue::connect(&nobody, None, "s3gw", 1, None).await.unwrap();
    let without = Arc::new(AdminState { queue: Arc::new(away), ..api.state.clone() });
    let refused = super::super::stranded::drop(State(without), input::Segment(id.clone())).await.unwrap_err();
    assert_eq!(refused.status, 503);
    assert_eq!(api.state.metadata.stranded_by_id(&id).await.unwrap().id, id);
}
