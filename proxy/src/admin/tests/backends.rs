//! Backends are changed in part: what another request has changed meanwhile stays.
use super::*;

#[tokio::test]
async fn one_of_two_that_add_the_same_backend_is_refused() {
    let api = Api::start(&["127.0.0.0/8"]).await;
    let adds = (0..8).map(|n| {
        let (api, mut body) = (&api, backend("fi-hel", "FI", "EU"));
        body["access_key"] = format!("AK{n}").into();
        async move { (n, api.call("POST", "/v1/backends", &body).await.status) }
    });
    let answers = futures::future::join_all(adds).await;
    let added: Vec<_> = answers.iter().filter(|(_, status)| *status == 201).collect();
    assert!(added.len() == 1 && answers.iter().all(|(_, status)| [201, 409].contains(status)), "{answers:?}");
    let stored = api.get("/v1/backends").await.json();
    assert_eq!(stored["backends"][0]["access_key"], format!("AK{}", added[0].0), "nobody has overwritten it");
}

#[tokio::test]
async fn a_backend_that_is_gone_is_not_made_again_and_keeps_what_is_not_given() {
    let api = Api::start(&["127.0.0.0/8"]).await;
    api.call("PUT", "/v1/backends/fi-hel", &backend("fi-hel", "FI", "EU")).await.is_problem(404);
    let mut declared = backend("fi-hel", "FI", "EU");
    declared["capabilities"] = json!({"tagging": false});
    assert_eq!(api.call("POST", "/v1/backends", &declared).await.status, 201);
    let mut rotated = backend("fi-hel", "FI", "EU");
    rotated["access_key"] = "ROTATED".into();
    rotated.as_object_mut().unwrap().remove("capabilities");
    let shown = api.call("PUT", "/v1/backends/fi-hel", &rotated).await.json();
    assert_eq!((&shown["access_key"], &shown["capabilities"]["tagging"]), (&json!("ROTATED"), &json!(false)));
    let shown = api.call("PUT", "/v1/backends/fi-hel", &backend("fi-hel", "FI", "EU")).await.json();
    assert_eq!(shown["capabilities"]["tagging"], true, "given, and so replaced");
}
