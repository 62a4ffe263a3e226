//! Walks as operators slow and hasten them.
use super::{Api, Value, json};

#[tokio::test]
async fn a_walk_is_slowed_and_hastened_until_it_has_ended() {
    let api = Api::start(&["127.0.0.0/8"]).await;
    for (id, country) in [("fi-hel", "FI"), ("de-fra", "DE")] {
        api.add_backend(id, country, "EU").await;
    }
    assert_eq!(api.call("POST", "/v1/tenants", &json!({"name": "acme"})).await.status, 201);
    api.make_bucket(&["fi-hel", "de-fra"]).await;
    let walks = "/v1/tenants/acme/buckets/photos/walks";
    let begun = api.call("POST", walks, &json!({"kind": "backfill"})).await;
    assert_eq!((begun.status, &begun.json()["rate"]), (201, &json!(0)), "{}", begun.body);
    let walk = format!("/v1/walks/{}", begun.json()["id"].as_str().unwrap());
    let rate = format!("{walk}/rate");
    for wanted in [7, 0, 1_000_000] {
        let set = api.call("PUT", &rate, &json!({"rate": wanted})).await;
        assert_eq!((set.status, &set.json()["rate"]), (200, &json!(wanted)), "{}", set.body);
        assert_eq!(api.get(&walk).await.json()["rate"], wanted);
    }
    let above = api.call("PUT", &rate, &json!({"rate": 1_000_001})).await;
    above.is_problem(422);
    assert_eq!(above.json()["field"], "rate");
    for body in [json!({}), json!({"rate": -1}), json!({"rate": "5"}), json!({"rate": 5, "kind": "deep"})] {
        api.call("PUT", &rate, &body).await.is_problem(422);
    }
    for unknown in ["w", "00000000-0000-7000-8000-000000000000"] {
        api.call("PUT", &format!("/v1/walks/{unknown}/rate"), &json!({"rate": 1})).await.is_problem(404);
    }
    assert_eq!(api.get(&walk).await.json()["rate"], 1_000_000, "what was refused has changed nothing");
    assert_eq!(api.call("POST", &format!("{walk}/cancel"), &Value::Null).await.status, 200);
    api.call("PUT", &rate, &json!({"rate": 1})).await.is_problem(409);
}
