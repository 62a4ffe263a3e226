//! Policies and places that could not meet are refused, and what no backend is is said.
use super::*;

async fn with_bucket(api: &Api) {
    api.add_backend("fi-hel", "FI", "EU").await;
    assert_eq!(api.call("POST", "/v1/tenants", &json!({"name": "acme"})).await.status, 201);
    api.make_bucket(&["fi-hel"]).await;
}

#[tokio::test]
async fn a_policy_that_no_place_could_break_is_refused() {
    let api = Api::start(&["127.0.0.0/8"]).await;
    with_bucket(&api).await;
    let targets = ["/v1/tenants/acme", "/v1/tenants/acme/buckets/photos"];
    let good = json!({"deny": {"countries": ["us"]}, "allow": {"jurisdictions": ["EU"], "certifications": []}});
    for target in targets {
        assert_eq!(api.call("PUT", &format!("{target}/policy"), &good).await.status, 200);
    }
    for (verb, noun, value) in [
        ("deny", "countries", " CN"),
        ("deny", "countries", "USA"),
        ("deny", "countries", ""),
        ("allow", "jurisdictions", "E U"),
        ("deny", "providers", "aws,gcp"),
        ("allow", "certifications", "iso 27001"),
    ] {
        let policy = json!({verb: {noun: ["FI", value]}});
        for target in targets {
            let answer = api.call("PUT", &format!("{target}/policy"), &policy).await;
            answer.is_problem(422);
            assert_eq!(answer.json()["field"], format!("{verb}.{noun}"), "{policy}");
            assert!(answer.json()["detail"].as_str().unwrap().contains(&format!("{value:?}")), "{}", answer.body);
            let kept = api.get(target).await.json();
            assert_eq!(kept["policy"]["deny"]["countries"], json!(["us"]), "nothing was stored");
        }
        let answer = api.call("POST", "/v1/tenants", &json!({"name": "other", "policy": policy})).await;
        answer.is_problem(422);
        assert_eq!(answer.json()["field"], format!("policy.{verb}.{noun}"));
    }
}

#[tokio::test]
async fn what_no_backend_is_is_told_and_stored() {
    let api = Api::start(&["127.0.0.0/8"]).await;
    with_bucket(&api).await;
    let policy = json!({"deny": {"countries": ["UK"]}, "allow": {"jurisdictions": ["eu"]}});
    let want = json!(["deny.countries: 'UK' is true of no backend"]);
    for target in ["/v1/tenants/acme", "/v1/tenants/acme/buckets/photos"] {
        let answer = api.call("PUT", &format!("{target}/policy"), &policy).await.json();
        assert_eq!((&answer["warnings"], &answer["policy"]["deny"]["countries"]), (&want, &json!(["UK"])));
        assert_eq!(api.get(target).await.json().get("warnings"), None, "only to whoever sets it");
    }
    let created = api.call("POST", "/v1/tenants", &json!({"name": "other", "policy": policy})).await;
    assert_eq!((created.status, &created.json()["warnings"]), (201, &want));
}

#[tokio::test]
async fn a_place_that_no_policy_could_name_is_refused() {
    let api = Api::start(&["127.0.0.0/8"]).await;
    for (field, value) in [
        ("country", json!("FIN")),
        ("country", json!(" F")),
        ("provider", json!("")),
        ("certifications", json!(["a b"])),
    ] {
        let mut body = backend("b", "FI", "EU");
        body["place"][field] = value;
        let answer = api.call("POST", "/v1/backends", &body).await;
        answer.is_problem(422);
        assert_eq!(answer.json()["field"], format!("place.{field}"));
    }
    api.add_backend("b", "FI", "EU").await;
    let mut stored = api.state.metadata.backends().await.unwrap().remove(0);
    stored.place.country = "Finland".into();
    api.state.metadata.put_backend(&stored).await.unwrap();
    let mut body = backend("b", "Finland", "EU");
    body["access_key"] = "ROTATED".into();
    let replaced = api.call("PUT", "/v1/backends/b", &body).await;
    assert_eq!((replaced.status, &replaced.json()["access_key"]), (200, &json!("ROTATED")), "{}", replaced.body);
    api.call("PUT", "/v1/backends/b", &backend("b", "Suomi", "EU")).await.is_problem(422);
}
