//! Lists that are read page by page.
use super::*;
use s3gateway_s3::ObjectKey;
use s3gateway_store::{JobRecord, NewWalk, WalkKind};
use std::time::Duration;

/// The rows of a list, read so many at a time; each page but the last says where the next one begins.
async fn read(api: &Api, target: &str, list: &str, limit: usize) -> Vec<Value> {
    let (mut rows, mut after) = (Vec::new(), String::new());
    loop {
        let mark = if target.contains('?') { '&' } else { '?' };
        let answer = api.get(&format!("{target}{mark}limit={limit}{after}")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let mut page = answer.json();
        let found = page[list].as_array_mut().unwrap();
        assert!(found.len() <= limit);
        rows.append(found);
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return rows,
        }
    }
}

#[tokio::test]
async fn long_lists_are_read_to_the_last_row() {
    let api = Api::start(&["127.0.0.0/8"]).await;
    for (id, country) in [("fi-hel", "FI"), ("de-fra", "DE"), ("us-iad", "US")] {
        api.add_backend(id, country, "EU").await;
    }
    assert_eq!(api.call("POST", "/v1/tenants", &json!({"name": "acme"})).await.status, 201);
    let bucket = api.make_bucket(&["fi-hel", "de-fra", "us-iad"]).await;
    let photos = "/v1/tenants/acme/buckets/photos";
    assert_eq!(api.call("PUT", &format!("{photos}/replica-count"), &json!({"replica_count": 1})).await.status, 200);
    assert_eq!(api.call("PUT", &format!("{photos}/placement"), &json!({"placement": ["fi-hel"]})).await.status, 200);
    let metadata = &api.state.metadata;
    for kind in [WalkKind::Backfill, WalkKind::Reconcile, WalkKind::Deep] {
        let reason = String::new();
        metadata.begin_walk(NewWalk { bucket: bucket.clone(), kind, rate: 0, reason }).await.unwrap();
    }
    let jobs = (0..5).map(|n| JobRecord {
        bucket: bucket.clone(),
        key: ObjectKey::parse(&format!("k{n}")).unwrap(),
        outcome: "converged".into(),
        detail: String::new(),
        attempts: n,
        request_id: String::new(),
        started_at: 1,
        finished_at: 2 + n / 2,
    });
    metadata.record_jobs(&jobs.collect::<Vec<_>>()).await.unwrap();
    for n in 0..4 {
        let key = ObjectKey::parse(&format!("k {n}/ä\0")).unwrap();
        api.state.queue.mark(&DirtyKey { bucket: bucket.clone(), key }, "r").await.unwrap();
    }
    for job in api.state.queue.claim("w", 9, Duration::from_secs(9)).await.unwrap() {
        api.state.queue.bury(&job, "no such place").await.unwrap();
    }
    for (target, list, count) in [
        ("/v1/jobs/dead", "dead_letters", 4),
        ("/v1/jobs", "jobs", 5),
        ("/v1/jobs?tenant=acme&bucket=photos", "jobs", 5),
        ("/v1/walks", "walks", 3),
        ("/v1/walks?tenant=acme&bucket=photos", "walks", 3),
        ("/v1/drains", "drains", 2),
        ("/v1/drains?tenant=acme&bucket=photos", "drains", 2),
        ("/v1/drains?backend=de-fra", "drains", 1),
    ] {
        let all = read(&api, target, list, 1000).await;
        assert_eq!(all.len(), count, "{target}");
        for limit in [1, 2, count] {
            assert_eq!(read(&api, target, list, limit).await, all, "{target}, {limit} at a time");
        }
        let refused = api.get(&format!("{target}{}after=x", if target.contains('?') { '&' } else { '?' })).await;
        refused.is_problem(400);
        let problem = refused.json();
        assert_eq!((&problem["field"], &problem["detail"]), (&json!("after"), &json!("must be what `next` said")));
    }
}
