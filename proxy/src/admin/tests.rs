//! The admin API over a real socket and a real SQLite store: rows AD-01, 04, 05, 06, 07, 08 and 12, and its own tour.
mod backends;
mod lists;
mod policies;
mod promotions;
mod stranded;
mod walks;

use super::*;
use crate::{ProxyParts, ProxySettings};
use s3gateway_store::{
    BucketId, DirtyKey, DrainLook, Metadata,
    secrets::{KeyProvider, LocalKey},
};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const SECRET: &str = "a-backends-secret-key";

struct Api {
    address: SocketAddr,
    state: AdminState,
    server: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {} {:?}", self.status, self.body))
    }
    fn is_problem(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.body);
        assert!(self.head.to_lowercase().contains("content-type: application/problem+json"), "{}", self.head);
        assert_eq!(self.json()["status"], status);
    }
}

impl Api {
    async fn start(allow: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let provider: Arc<dyn KeyProvider> = Arc::new(LocalKey::from_hex(&TOKEN.repeat(2)).unwrap());
        let url = format!("sqlite:{}", folder.path().join("m.db").display());
        let metadata = Metadata::connect(&url, 4, provider.clone()).await.unwrap();
        metadata.migrate().await.unwrap();
        let queue: Arc<dyn Queue> = Arc::new(metadata.sql_queue());
        let registry = prometheus::Registry::new();
        let gateway = Gateway::start(ProxyParts {
            settings: ProxySettings::default(),
            metadata: metadata.clone(),
            queue: queue.clone(),
            sealer: provider.sealer().await.unwrap(),
            registry: registry.clone(),
        })
        .await
        .unwrap();
        let state = AdminState {
            metadata,
            queue,
            gateway,
            token: Secret::new(TOKEN.into()),
            switch: None,
            allow_networks: allow.iter().map(|network| network.parse().unwrap()).collect(),
            registries: vec![registry],
            draining: CancellationToken::new(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = router(state.clone());
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { address, state, server, _folder: folder }
    }

    async fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        // A refused body is not read to its end: writing it may fail, the answer stands nevertheless.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }
    async fn send(&self, method: &str, target: &str, token: Option<&str>, body: &str) -> Answer {
        let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n{authorization}Content-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.raw(&[head.as_bytes(), body.as_bytes()].concat()).await
    }
    async fn call(&self, method: &str, target: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(method, target, Some(TOKEN), &body).await
    }
    async fn get(&self, target: &str) -> Answer {
        self.call("GET", target, &Value::Null).await
    }
    async fn add_backend(&self, id: &str, country: &str, jurisdiction: &str) {
        let answer = self.call("POST", "/v1/backends", &backend(id, country, jurisdiction)).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
    }
    /// Makes the bucket `photos` of the tenant `acme`, the way a gateway does.
    async fn make_bucket(&self, places: &[&str]) -> BucketId {
        let new = s3gateway_store::NewBucket {
            tenant: self.state.metadata.tenant_by_name("acme").await.unwrap().id,
            name: s3gateway_s3::LogicalBucket::parse("photos").unwrap(),
            placement: places.iter().map(|id| BackendId::parse(id).unwrap()).collect(),
            replica_count: places.len().try_into().unwrap(),
            location: "eu".into(),
        };
        self.state.metadata.begin_create_bucket(&new).await.unwrap();
        // Buckets that are not active yet are shown nowhere else.
        let unfinished = self.state.metadata.unfinished_buckets(i64::MAX, 10).await.unwrap();
        let bucket = unfinished.first().unwrap().route.bucket.clone();
        self.state.metadata.activate_bucket(&bucket).await.unwrap();
        bucket
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn backend(id: &str, country: &str, jurisdiction: &str) -> Value {
    json!({
        "id": id, "endpoint": "http://127.0.0.1:1", "access_key": "AK", "secret_key": SECRET, "capabilities": {},
        "place": {"zone": format!("{id}-1"), "region": id, "country": country, "jurisdiction": jurisdiction, "provider": "p"},
    })
}

/// Every route with a method it knows.
const ROUTES: &[(&str, &str)] = &[
    ("GET", "/v1/tenants"),
    ("POST", "/v1/tenants"),
    ("GET", "/v1/tenants/acme"),
    ("DELETE", "/v1/tenants/acme"),
    ("PUT", "/v1/tenants/acme/policy"),
    ("PUT", "/v1/tenants/acme/defaults"),
    ("PUT", "/v1/tenants/acme/signature-v2"),
    ("POST", "/v1/tenants/acme/keys"),
    ("GET", "/v1/tenants/acme/buckets"),
    ("GET", "/v1/tenants/acme/buckets/photos"),
    ("PUT", "/v1/tenants/acme/buckets/photos/policy"),
    ("PUT", "/v1/tenants/acme/buckets/photos/replica-count"),
    ("PUT", "/v1/tenants/acme/buckets/photos/write-quorum"),
    ("PUT", "/v1/tenants/acme/buckets/photos/placement"),
    ("POST", "/v1/tenants/acme/buckets/photos/adopt"),
    ("POST", "/v1/tenants/acme/buckets/photos/release"),
    ("GET", "/v1/tenants/acme/buckets/photos/copies?key=k"),
    ("GET", "/v1/keys"),
    ("DELETE", "/v1/keys/AK"),
    ("POST", "/v1/keys/AK/enable"),
    ("POST", "/v1/keys/AK/disable"),
    ("GET", "/v1/backends"),
    ("POST", "/v1/backends"),
    ("GET", "/v1/backends/b"),
    ("PUT", "/v1/backends/b"),
    ("DELETE", "/v1/backends/b"),
    ("POST", "/v1/backends/b/stop"),
    ("POST", "/v1/backends/b/start"),
    ("POST", "/v1/backends/b/retire"),
    ("POST", "/v1/backends/b/unretire"),
    ("GET", "/v1/drains"),
    ("GET", "/v1/homes-to-leave"),
    ("POST", "/v1/homes-to-leave"),
    ("GET", "/v1/names?tenant=acme&bucket=photos"),
    ("GET", "/v1/explain?tenant=acme"),
    ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/depth"),
    ("GET", "/v1/jobs/dead"),
    ("POST", "/v1/jobs/redrive"),
    ("POST", "/v1/tenants/acme/buckets/photos/walks"),
    ("GET", "/v1/walks"),
    ("GET", "/v1/walks/w"),
    ("POST", "/v1/walks/w/cancel"),
    ("POST", "/v1/walks/w/approve"),
    ("PUT", "/v1/walks/w/rate"),
    // Not there, and still not to be told apart.
    ("GET", "/v1/nothing"),
    ("GET", "/v1"),
    ("PATCH", "/v1/tenants"),
    ("GET", "/v1/tenants/acme/../acme"),
];

#[tokio::test]
async fn ad_01_nothing_under_v1_answers_without_the_token() {
    let api = Api::start(&[]).await;
    let mut seen = None;
    for (method, target) in ROUTES {
        let answer = api.send(method, target, None, "{}").await;
        answer.is_problem(401);
        assert_eq!(seen.get_or_insert(answer.body.clone()), &answer.body, "{method} {target}");
    }
    let api = Api::start(&[]).await;
    for token in ["", " ", &TOKEN[1..], &format!("{TOKEN}0"), &TOKEN.to_uppercase(), "\u{e4}", &"x".repeat(6000)] {
        api.send("GET", "/v1/tenants", Some(token), "").await.is_problem(401);
    }
    for head in [
        format!("Authorization: {TOKEN}\r\n"),
        format!("Authorization: Basic {TOKEN}\r\n"),
        format!("Authorization: Bearer {TOKEN}\r\nAuthorization: Bearer wrong\r\n"),
        format!("X-Authorization: Bearer {TOKEN}\r\n"),
    ] {
        let request = format!("GET /v1/tenants HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{head}\r\n");
        api.raw(request.as_bytes()).await.is_problem(401);
    }
    assert_eq!(api.get("/v1/tenants").await.status, 200);
}

#[tokio::test]
async fn ad_01_wrong_tokens_are_limited_and_the_right_one_still_passes() {
    let api = Api::start(&[]).await;
    let mut last = 0;
    for _ in 0..310 {
        last = api.send("GET", "/v1/tenants", Some("wrong"), "").await.status;
    }
    assert_eq!(last, 429);
    assert_eq!(api.get("/v1/tenants").await.status, 200);
}

#[tokio::test]
async fn ad_04_secrets_are_shown_once_and_never_again() {
    let api = Api::start(&["127.0.0.0/8"]).await;
    api.add_backend("fi-hel", "FI", "EU").await;
    assert_eq!(api.call("POST", "/v1/tenants", &json!({"name": "acme"})).await.status, 201);
    let key = api.call("POST", "/v1/tenants/acme/keys", &Value::Null).await;
    assert_eq!(key.status, 201, "{}", key.body);
    let secret = key.json()["secret_key"].as_str().unwrap().to_owned();
    let id = key.json()["access_key"].as_str().unwrap().to_owned();
    assert!(secret.len() >= 40);
    let put = api.call("PUT", "/v1/backends/fi-hel", &backend("fi-hel", "FI", "EU")).await;
    assert_eq!(put.status, 200, "{}", put.body);
    assert!(!put.body.contains(SECRET));
    let targets = ROUTES.iter().filter(|(method, _)| *method == "GET").map(|(_, target)| *target);
    for target in targets.chain(["/v1/backends/fi-hel", "/healthz", "/readyz", "/metrics"]) {
        let answer = api.get(target).await;
        for hidden in [SECRET, &secret, TOKEN] {
            assert!(!answer.body.contains(hidden) && !answer.head.contains(hidden), "{target} shows a secret");
        }
    }
    let keys = api.get("/v1/keys?tenant=acme").await.json();
    assert_eq!(keys["keys"][0]["access_key"], id);
    assert_eq!(api.call("POST", &format!("/v1/keys/{id}/disable"), &Value::Null).await.status, 204);
    assert!(api.state.metadata.access_key(&id).await.unwrap().is_none());
    assert_eq!(api.get("/v1/keys").await.json()["keys"][0]["enabled"], false);
    assert_eq!(api.call("POST", &format!("/v1/keys/{id}/enable"), &Value::Null).await.status, 204);
    assert!(api.state.metadata.access_key(&id).await.unwrap().is_some());
    assert_eq!(api.call("DELETE", &format!("/v1/keys/{id}"), &Value::Null).await.status, 204);
    api.call("DELETE", &format!("/v1/keys/{id}"), &Value::Null).await.is_problem(404);
}

#[tokio::test]
async fn ad_05_an_endpoint_inside_is_refused_with_its_field() {
    let api = Api::start(&[]).await;
    for endpoint in [
        "http://169.254.169.254/",
        "http://127.0.0.1:9001",
        "http://2130706433/",
        "file:///etc/passwd",
        "http://localhost",
    ] {
        let mut body = backend("b", "FI", "EU");
        body["endpoint"] = endpoint.into();
        let answer = api.call("POST", "/v1/backends", &body).await;
        answer.is_problem(422);
        assert_eq!(answer.json()["field"], "endpoint");
    }
    assert_eq!(api.get("/v1/backends").await.json()["backends"], json!([]));
}

#[tokio::test]
async fn ad_06_and_ad_12_no_path_leads_elsewhere() {
    let api = Api::start(&[]).await;
    for target in [
        "/admin/../",
        "/..%2f..%2fetc/passwd",
        "/v1/tenants/..%2f..%2fetc%2fpasswd",
        "/v1/tenants/%2e%2e%2fkeys",
        "/v1/../healthz",
        "/v1/tenants/%00",
        "/v1/tenants/%ff",
        "/v1/backends/%2e%2e",
        "/v1/keys/../../etc",
        "//v1/tenants",
        "/V1/tenants",
        "/v1/tenants/",
        "/photos",
        "/photos/hello.txt",
        "/photos?list-type=2",
        "/",
        "/healthz/x",
        "/metrics/",
        "/admin",
    ] {
        let answer = api.get(target).await;
        assert!(matches!(answer.status, 400 | 404), "{target}: {} {}", answer.status, answer.body);
        answer.is_problem(answer.status);
    }
    // An S3 client on the wrong port.
    let head = "Authorization: AWS4-HMAC-SHA256 Credential=AK/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
    for (method, target) in
        [("PUT", "/photos"), ("GET", "/photos/healthz"), ("PUT", "/admin/key"), ("DELETE", "/metrics")]
    {
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{head}\r\nContent-Length: 0\r\n\r\n"
        );
        let answer = api.raw(request.as_bytes()).await;
        assert!(matches!(answer.status, 404 | 405), "{method} {target}: {}", answer.status);
    }
}

#[tokio::test]
async fn ad_07_bodies_are_bounded_and_exact() {
    let api = Api::start(&[]).await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_field = format!("{{\"name\":\"a\",\"policy\":{{\"allow\":{{\"countries\":{deep}}}}}}}");
    let huge = format!("{{\"name\":\"{}\"}}", "x".repeat(2 << 20));
    for (body, statuses, field) in [
        (deep.as_str(), &[400, 422][..], None),
        (&deep_field, &[400, 422], None),
        (&huge, &[413], None),
        ("", &[400], None),
        ("{", &[400], None),
        ("{\"name\":\"a\"} x", &[400], None),
        ("{\"name\":NaN}", &[400], None),
        ("{\"name\":\"a\",\"name\":\"b\"}", &[400, 422], Some("name")),
        ("{\"name\":\"a\",\"nam\":1}", &[422], Some("nam")),
        ("{\"name\":7}", &[422], Some("name")),
        ("{}", &[422], Some("name")),
        ("[]", &[422], None),
        ("null", &[422], None),
        ("{\"name\":\"a\",\"policy\":{\"allow\":{\"planets\":[]}}}", &[422], Some("policy.allow.planets")),
        ("{\"name\":\"a\",\"policy\":{\"allow\":{\"countries\":\"FI\"}}}", &[422], Some("policy.allow.countries")),
        ("{\"name\":\"a\",\"default_replica_count\":0}", &[422], Some("default_replica_count")),
        ("{\"name\":\"a\",\"default_replica_count\":-1}", &[422], Some("default_replica_count")),
        ("{\"name\":\"a\",\"default_placement\":[\"nowhere\"]}", &[422], Some("default_placement")),
        ("{\"name\":\"A b\"}", &[422], Some("name")),
    ] {
        let answer = api.send("POST", "/v1/tenants", Some(TOKEN), body).await;
        let shown: String = body.chars().take(80).collect();
        assert!(statuses.contains(&answer.status), "{shown}: {} {}", answer.status, answer.body);
        answer.is_problem(answer.status);
        if let Some(field) = field {
            assert_eq!(answer.json()["field"], field, "{shown}: {}", answer.body);
        }
    }
    let request = format!(
        "POST /v1/tenants HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 12\r\n\r\n{{\"name\":\"a\"}}"
    );
    api.raw(request.as_bytes()).await.is_problem(415);
    let request = format!(
        "POST /v1/tenants HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nContent-Length: 104857600\r\n\r\n{{"
    );
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    tokio::time::timeout(std::time::Duration::from_secs(5), stream.read_exact(&mut start))
        .await
        .expect("answered at once")
        .unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");
    assert_eq!(api.get("/v1/tenants").await.json()["tenants"], json!([]), "nothing was stored");
}

#[tokio::test]
async fn ad_08_whatever_is_sent_is_data() {
    let api = Api::start(&[]).await;
    assert_eq!(api.call("POST", "/v1/tenants", &json!({"name": "acme"})).await.status, 201);
    let evil = "%27%20OR%201%3D1%3B--%00";
    for (target, status) in [
        (format!("/v1/tenants/{evil}"), 404),
        (format!("/v1/keys/{evil}/disable"), 404),
        (format!("/v1/keys?tenant={evil}"), 404),
        (format!("/v1/tenants/acme/buckets?prefix={evil}"), 400),
        (format!("/v1/tenants/acme/buckets?after={evil}"), 400),
        ("/v1/tenants/acme/buckets?limit=x".into(), 400),
        ("/v1/tenants/acme/buckets?limit=0".into(), 400),
        ("/v1/tenants/acme/buckets?limit=1001".into(), 400),
        ("/v1/tenants/acme/buckets?order=name".into(), 400),
        ("/v1/tenants/acme/buckets?limit=1&limit=2".into(), 400),
        (format!("/v1/tenants/acme/buckets/{evil}"), 404),
        (format!("/v1/names?tenant=acme&bucket={evil}"), 400),
        (format!("/v1/explain?tenant={evil}"), 404),
        (format!("/v1/jobs?tenant={evil}&bucket=b"), 404),
        (format!("/v1/drains?tenant={evil}&bucket=b"), 404),
        (format!("/v1/drains?backend={evil}"), 400),
        (format!("/v1/homes-to-leave?after={evil}"), 400),
        ("/v1/drains?tenant=acme".into(), 400),
        (format!("/v1/drains?after={evil}"), 400),
        (format!("/v1/jobs?after={evil}"), 400),
        (format!("/v1/walks?after={evil}"), 400),
        (format!("/v1/jobs/dead?after={evil}"), 400),
        ("/v1/jobs?after=".into(), 400),
        ("/v1/walks?after=00000000-0000-7000-8000-000000000000".into(), 400),
        ("/v1/walks?after=5-00000000-0000-7000-8000-000000000000&limit=1001".into(), 400),
    ] {
        let method = if target.ends_with("disable") { "POST" } else { "GET" };
        api.call(method, &target, &Value::Null).await.is_problem(status);
    }
    assert_eq!(api.get("/v1/tenants/acme/buckets?prefix=%27&after=%3B--").await.json()["buckets"], json!([]));
    assert_eq!(api.get("/v1/tenants").await.json()["tenants"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn an_operators_tour() {
    let api = Api::start(&["127.0.0.0/8"]).await;
    for (id, country, jurisdiction) in [("fi-hel", "FI", "EU"), ("de-fra", "DE", "EU"), ("us-iad", "US", "US")] {
        api.add_backend(id, country, jurisdiction).await;
    }
    api.call("POST", "/v1/backends", &backend("fi-hel", "FI", "EU")).await.is_problem(409);
    let mut unmeasured = backend("nobody-there", "FI", "EU");
    unmeasured.as_object_mut().unwrap().remove("capabilities");
    let refused = api.call("POST", "/v1/backends", &unmeasured).await;
    refused.is_problem(502);
    assert!(refused.body.contains("capabilities"), "{}", refused.body);
    assert_eq!(api.get("/v1/backends").await.json()["backends"].as_array().map(Vec::len), Some(3), "not stored");
    let tenant = json!({"name": "acme", "policy": {"allow": {"jurisdictions": ["EU"]}}, "default_placement": ["eu"], "default_replica_count": 2});
    let created = api.call("POST", "/v1/tenants", &tenant).await;
    assert_eq!(created.status, 201, "{}", created.body);
    api.call("POST", "/v1/tenants", &tenant).await.is_problem(409);

    let explained = api.get("/v1/explain?tenant=acme").await.json();
    let verdicts: Vec<_> =
        explained["places"].as_array().unwrap().iter().map(|p| (p["backend"].clone(), p["allowed"].clone())).collect();
    assert_eq!(json!(verdicts), json!([["fi-hel", true], ["de-fra", true], ["us-iad", false]]));
    assert!(explained["places"][2]["reason"].as_str().unwrap().contains("jurisdiction"), "{explained}");

    let names = api.get("/v1/names?tenant=acme&bucket=photos").await.json();
    assert_eq!((&names["exists"], names["names"].as_array().unwrap().len()), (&json!(false), 2));
    let proposed = names["names"][0]["physical_bucket"].clone();

    let bucket = api.make_bucket(&["fi-hel", "de-fra"]).await;
    let shown = api.get("/v1/tenants/acme/buckets/photos").await.json();
    assert_eq!((&shown["home"], &shown["mapping"][0]["physical_bucket"]), (&json!("fi-hel"), &proposed), "{shown}");
    let listed = api.get("/v1/tenants/acme/buckets?limit=1").await.json();
    assert_eq!((&listed["buckets"][0]["name"], &listed["next"]), (&json!("photos"), &json!("photos")));
    assert_eq!(api.get("/v1/tenants/acme/buckets?limit=1&after=photos").await.json()["buckets"], json!([]));
    let target = "/v1/tenants/acme/buckets/photos/replica-count";
    let quorum = "/v1/tenants/acme/buckets/photos/write-quorum";
    for (target, field, value, status) in [
        (target, "replica_count", 0, 422),
        (target, "replica_count", 3, 422),
        (quorum, "write_quorum", 0, 422),
        (quorum, "write_quorum", 3, 422),
        (quorum, "write_quorum", 2, 200),
        (target, "replica_count", 1, 422),
        (quorum, "write_quorum", 1, 200),
        (target, "replica_count", 1, 200),
        (quorum, "write_quorum", 2, 422),
    ] {
        assert_eq!(api.call("PUT", target, &json!({field: value})).await.status, status, "{field} {value}");
    }
    let policy = json!({"deny": {"countries": ["DE"]}});
    assert_eq!(api.call("PUT", "/v1/tenants/acme/buckets/photos/policy", &policy).await.status, 200);
    let explained = api.get("/v1/explain?tenant=acme&bucket=photos").await.json();
    assert_eq!((&explained["places"][0]["allowed"], &explained["places"][1]["allowed"]), (&json!(true), &json!(false)));
    let target = "/v1/tenants/acme/buckets/photos/placement";
    for (locations, status, words) in [
        (json!(["de-fra", "fi-hel"]), 422, "promote"),
        (json!(["fi-hel", "us-iad"]), 422, "allow.jurisdictions"),
        (json!(["fi-hel", "mars"]), 422, "mars"),
        (json!(["fi-hel,de-fra"]), 422, "element"),
        (json!(["fi-hel"]), 200, "draining"),
    ] {
        let answer = api.call("PUT", target, &json!({"placement": locations})).await;
        assert!(
            answer.status == status && answer.body.contains(words),
            "{locations}: {} {}",
            answer.status,
            answer.body
        );
    }
    let drains = api.get("/v1/drains?tenant=acme&bucket=photos").await.json();
    let drain = &drains["drains"][0];
    assert_eq!(
        (&drain["backend"], &drain["reason"], &drain["state"]),
        (&json!("de-fra"), &json!("placement"), &json!("draining"))
    );
    let (metadata, near) = (&api.state.metadata, BackendId::parse("de-fra").unwrap());
    let noted = metadata.drains(None, Some(&near), None, 1).await.unwrap().rows.remove(0);
    metadata.end_look(&noted, &DrainLook { aside: 2, ..DrainLook::default() }).await.unwrap();
    let drains = api.get("/v1/drains?tenant=acme&bucket=photos").await.json();
    let remark = drains["drains"][0]["remark"].as_str().unwrap();
    assert!(remark.contains("2 stranded keys") && remark.contains("drop"), "{remark}");
    assert_eq!(api.get("/v1/drains?backend=fi-hel").await.json()["drains"], json!([]));
    let retired = api.call("POST", "/v1/backends/fi-hel/retire", &Value::Null).await.json();
    assert_eq!((&retired["state"], &retired["buckets"]["home"]), (&json!("retiring"), &json!(1)), "{retired}");
    assert_eq!(api.get("/v1/tenants/acme/buckets/photos").await.json()["promote_first"], "retired");
    assert_eq!(api.call("POST", "/v1/backends/fi-hel/unretire", &Value::Null).await.json()["state"], "active");
    api.call("POST", "/v1/backends/fi-hel/unretire", &Value::Null).await.is_problem(409);
    assert_eq!(api.get("/v1/homes-to-leave").await.json()["buckets"], json!([]), "no worker has looked");
    let moved = {
        let mut body = backend("fi-hel", "US", "US");
        body["place"]["region"] = "us".into();
        api.call("PUT", "/v1/backends/fi-hel", &body).await
    };
    moved.is_problem(422);
    api.call("DELETE", "/v1/backends/fi-hel", &Value::Null).await.is_problem(409);
    api.call("DELETE", "/v1/tenants/acme", &Value::Null).await.is_problem(409);
    assert_eq!(api.call("DELETE", "/v1/backends/us-iad", &Value::Null).await.status, 204);
    let stopped = api.call("POST", "/v1/backends/fi-hel/stop", &Value::Null).await;
    stopped.is_problem(409);
    assert!(stopped.body.contains("does not run inside this process"), "{}", stopped.body);

    let key = s3gateway_s3::ObjectKey::parse("a b\u{0}.txt").unwrap();
    let dirty = DirtyKey { bucket, key };
    api.state.queue.mark(&dirty, "REQ").await.unwrap();
    let depth = api.get("/v1/jobs/depth").await.json();
    assert_eq!((&depth["dirty"], &depth["suspect"]), (&json!(1), &json!(false)));
    assert!(depth["oldest_dirty"].as_str().unwrap().ends_with('Z'), "{depth}");
    let copies = api.get("/v1/tenants/acme/buckets/photos/copies?key=a+b%00.txt").await.json();
    assert_eq!(
        (&copies["state"], &copies["copies"], &copies["key"]),
        (&json!("dirty"), &json!([]), &json!("a b\u{0}.txt"))
    );
    assert_eq!(api.get("/v1/tenants/acme/buckets/photos/copies?key=other").await.json()["state"], "clean");
    let job = api.state.queue.claim("w", 1, std::time::Duration::from_secs(9)).await.unwrap().remove(0);
    api.state.queue.bury(&job, "no such place").await.unwrap();
    let dead = api.get("/v1/jobs/dead").await.json();
    assert_eq!(
        (&dead["dead_letters"][0]["tenant"], &dead["dead_letters"][0]["reason"]),
        (&json!("acme"), &json!("no such place"))
    );
    api.call("POST", "/v1/jobs/redrive", &json!({"all": true, "key": "x"})).await.is_problem(422);
    let one = json!({"tenant": "acme", "bucket": "photos", "key": "a b\u{0}.txt"});
    assert_eq!(api.call("POST", "/v1/jobs/redrive", &one).await.json()["redriven"], 1);
    assert_eq!(api.call("POST", "/v1/jobs/redrive", &json!({"all": true})).await.json()["redriven"], 0);
}

#[tokio::test]
async fn homes_that_must_be_left_are_promoted_away_from_at_once() {
    const HOMES: &str = "/v1/homes-to-leave";
    let api = Api::start(&["127.0.0.0/8"]).await;
    for (id, country) in [("fi-hel", "FI"), ("de-fra", "DE"), ("us-iad", "US")] {
        api.add_backend(id, country, if id == "us-iad" { "US" } else { "EU" }).await;
    }
    let tenant = json!({"name": "acme", "policy": {"allow": {"jurisdictions": ["EU"]}}});
    assert_eq!(api.call("POST", "/v1/tenants", &tenant).await.status, 201);
    let bucket = api.make_bucket(&["fi-hel", "us-iad", "de-fra"]).await;
    assert_eq!(api.call("POST", HOMES, &Value::Null).await.json()["buckets"], json!([]), "all may stay");
    api.call("POST", "/v1/backends/fi-hel/retire", &Value::Null).await.json();
    // As a worker that has reviewed the bucket.
    let metadata = &api.state.metadata;
    let route = metadata.route_by_id(&bucket).await.unwrap().unwrap();
    let due = metadata.buckets_to_review(10).await.unwrap().remove(0).1;
    metadata.reviewed(&route, due, true).await.unwrap();
    let listed = api.get(HOMES).await.json();
    assert_eq!(listed["buckets"], json!([{"tenant": "acme", "bucket": "photos", "home": "fi-hel"}]));
    let begun = api.call("POST", HOMES, &Value::Null).await.json();
    assert_eq!(begun["buckets"][0]["to"], "de-fra", "the first that may be home: {begun}");
    let promotions = api.get("/v1/tenants/acme/buckets/photos/promotions").await.json();
    assert_eq!(promotions["promotions"][0]["id"], begun["buckets"][0]["promotion"]);
    assert_eq!(promotions["promotions"][0]["forced"], false);
    let again = api.call("POST", HOMES, &Value::Null).await.json();
    let shown = &again["buckets"][0];
    assert!(shown["remark"].as_str().unwrap().contains("runs already") && shown["to"].is_null(), "{again}");
    let promotion = metadata.promotions_of(&bucket, 1).await.unwrap().remove(0);
    metadata.fail_promotion(&promotion, "a test").await.unwrap();
    api.call("POST", "/v1/backends/de-fra/retire", &Value::Null).await.json();
    let refused = api.call("POST", HOMES, &Value::Null).await.json();
    assert!(refused["buckets"][0]["remark"].as_str().unwrap().contains("no replica"), "{refused}");
}

#[tokio::test]
async fn readiness_gives_its_reasons() {
    let api = Api::start(&[]).await;
    assert_eq!(api.get("/healthz").await.status, 200);
    let ready = api.get("/readyz").await;
    assert_eq!((ready.status, &ready.json()["ready"]), (200, &json!(true)), "{}", ready.body);
    assert!(ready.json()["checks"].as_array().unwrap().iter().all(|c| c["ok"] == true), "{}", ready.body);
    let nobody = ["redis://127.0.0.1:1".to_owned()];
    let away = s3gateway_store::queue::RedisQueue::connect(&nobody, None, "s3gw", 1, None).await.unwrap();
    let without = Arc::new(AdminState { queue: Arc::new(away), ..api.state.clone() });
    let ready = health::readyz(axum::extract::State(without)).await;
    assert_eq!(ready.status(), 200, "a store that is away for all must not take all out");
    let body = axum::body::to_bytes(ready.into_body(), 10_000).await.unwrap();
    let checks = serde_json::from_slice::<Value>(&body).unwrap()["checks"].clone();
    let lacking: Vec<_> = checks.as_array().unwrap().iter().filter(|check| check["ok"] == false).collect();
    assert_eq!(lacking.len(), 1, "{checks}");
    assert_eq!((&lacking[0]["name"], &lacking[0]["decides"]), (&json!("queue"), &json!(false)));
    api.state.draining.cancel();
    let ready = api.get("/readyz").await;
    assert_eq!(ready.status, 503);
    let checks = ready.json()["checks"].clone();
    assert!(checks.as_array().unwrap().iter().any(|c| c["name"] == "draining" && c["ok"] == false), "{checks}");
    assert_eq!(api.get("/healthz").await.status, 200, "alive while draining");
    assert!(api.get("/metrics").await.body.contains("# TYPE s3gateway_"), "figures are shown");
}
