//! Commands as they are typed, and the requests that they become.
use super::*;
use clap::Parser;

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    noun: Noun,
}

fn parse(line: &str) -> Result<Noun, clap::Error> {
    Line::try_parse_from(["admin"].into_iter().chain(line.split(' '))).map(|line| line.noun)
}

fn request(line: &str) -> ApiRequest {
    parse(line).unwrap().into_request().unwrap()
}

#[test]
fn commands_are_the_documented_requests() {
    for (line, method, target, body) in [
        ("tenant list", "GET", "/v1/tenants", None),
        (
            "tenant defaults acme --placement fi-hel,de-fra --replica-count 2",
            "PUT",
            "/v1/tenants/acme/defaults",
            Some(json!({"placement": ["fi-hel", "de-fra"], "replica_count": 2})),
        ),
        ("tenant signature-v2 acme on", "PUT", "/v1/tenants/acme/signature-v2", Some(json!({"accepted": true}))),
        ("key create acme", "POST", "/v1/tenants/acme/keys", None),
        ("key list acme", "GET", "/v1/keys?tenant=acme", None),
        ("key disable AK", "POST", "/v1/keys/AK/disable", None),
        ("backend stop fi-hel", "POST", "/v1/backends/fi-hel/stop", None),
        ("backend retire fi-hel", "POST", "/v1/backends/fi-hel/retire", None),
        ("backend unretire fi-hel", "POST", "/v1/backends/fi-hel/unretire", None),
        (
            "bucket placement acme photos fi-hel,de-fra",
            "PUT",
            "/v1/tenants/acme/buckets/photos/placement",
            Some(json!({"placement": ["fi-hel", "de-fra"]})),
        ),
        (
            "bucket adopt acme photos --backend fi-hel --physical legacy --placement fi-hel,de-fra",
            "POST",
            "/v1/tenants/acme/buckets/photos/adopt",
            Some(json!({"backend": "fi-hel", "physical": "legacy", "placement": ["fi-hel", "de-fra"], "drop": false})),
        ),
        ("bucket release acme photos", "POST", "/v1/tenants/acme/buckets/photos/release", None),
        ("bucket to-promote --after b", "GET", "/v1/homes-to-leave?limit=100&after=b", None),
        ("bucket to-promote --begin --limit 7", "POST", "/v1/homes-to-leave?limit=7", None),
        ("drains --backend fi-hel", "GET", "/v1/drains?limit=100&backend=fi-hel", None),
        ("drains --tenant acme --bucket photos --limit 5", "GET", "/v1/drains?limit=5&tenant=acme&bucket=photos", None),
        ("drains --after 5-a", "GET", "/v1/drains?limit=100&after=5-a", None),
        ("backend show ../keys", "GET", "/v1/backends/..%2Fkeys", None),
        (
            "bucket replica-count acme photos 2",
            "PUT",
            "/v1/tenants/acme/buckets/photos/replica-count",
            Some(json!({"replica_count": 2})),
        ),
        (
            "bucket write-quorum acme photos 2",
            "PUT",
            "/v1/tenants/acme/buckets/photos/write-quorum",
            Some(json!({"write_quorum": 2})),
        ),
        ("names acme photos --placement eu,us", "GET", "/v1/names?tenant=acme&bucket=photos&placement=eu%2Cus", None),
        ("explain acme", "GET", "/v1/explain?tenant=acme", None),
        (
            "object copies acme photos a/b+c%20&d",
            "GET",
            "/v1/tenants/acme/buckets/photos/copies?key=a%2Fb%2Bc%2520%26d",
            None,
        ),
        (
            "walk start acme photos --kind deep --rate 5",
            "POST",
            "/v1/tenants/acme/buckets/photos/walks",
            Some(json!({"kind": "deep", "rate": 5})),
        ),
        ("walk list", "GET", "/v1/walks?limit=100", None),
        (
            "walk list --tenant acme --bucket photos --after 5-a",
            "GET",
            "/v1/walks?limit=100&tenant=acme&bucket=photos&after=5-a",
            None,
        ),
        ("walk show ../jobs", "GET", "/v1/walks/..%2Fjobs", None),
        ("walk cancel W", "POST", "/v1/walks/W/cancel", None),
        ("walk approve W", "POST", "/v1/walks/W/approve", None),
        ("walk rate W 500", "PUT", "/v1/walks/W/rate", Some(json!({"rate": 500}))),
        ("walk rate ../jobs 0", "PUT", "/v1/walks/..%2Fjobs/rate", Some(json!({"rate": 0}))),
        (
            "bucket promote acme photos --to de-fra --force",
            "POST",
            "/v1/tenants/acme/buckets/photos/promote",
            Some(json!({"to": "de-fra", "force": true})),
        ),
        (
            "bucket promote-after acme photos --seconds 600",
            "PUT",
            "/v1/tenants/acme/buckets/photos/promote-after",
            Some(json!({"seconds": 600})),
        ),
        ("bucket promotions acme photos", "GET", "/v1/tenants/acme/buckets/photos/promotions", None),
        ("stranded list acme photos", "GET", "/v1/tenants/acme/buckets/photos/stranded?limit=100", None),
        ("stranded show 1-a", "GET", "/v1/stranded/1-a", None),
        ("stranded download 1-a --output f", "GET", "/v1/stranded/1-a/object", None),
        ("stranded drop 1-a", "DELETE", "/v1/stranded/1-a", None),
        ("jobs depth", "GET", "/v1/jobs/depth", None),
        ("jobs list --limit 7 --after 5-a&b", "GET", "/v1/jobs?limit=7&after=5-a%26b", None),
        ("jobs dead", "GET", "/v1/jobs/dead?limit=100", None),
        ("jobs dead --after 5-Yi9r", "GET", "/v1/jobs/dead?limit=100&after=5-Yi9r", None),
        ("jobs redrive --all", "POST", "/v1/jobs/redrive", Some(json!({"all": true}))),
        (
            "jobs redrive acme photos k",
            "POST",
            "/v1/jobs/redrive",
            Some(json!({"all": false, "tenant": "acme", "bucket": "photos", "key": "k"})),
        ),
    ] {
        let request = request(line);
        assert_eq!((request.method.as_str(), request.target.as_str(), request.body), (method, target, body), "{line}");
    }
    let policy = request("tenant policy acme --allow-jurisdictions EU --deny-countries HU,PL --no-transit-outside")
        .body
        .unwrap();
    let policy: s3gateway_config::ResidencyPolicy = serde_json::from_value(policy).unwrap();
    assert_eq!(
        (policy.allow.jurisdictions.len(), policy.deny.countries.len(), policy.transit_outside.0),
        (1, 2, false)
    );
}

#[test]
fn a_policy_is_shown_unless_told_otherwise() {
    for (line, owner) in
        [("tenant policy acme", "/v1/tenants/acme"), ("bucket policy acme photos", "/v1/tenants/acme/buckets/photos")]
    {
        let shown = request(line);
        assert_eq!((shown.method.as_str(), shown.target.as_str(), shown.body), ("GET", owner, None));
        let dropped = request(&format!("{line} --allow-all"));
        assert_eq!((dropped.method.as_str(), dropped.target), ("PUT", format!("{owner}/policy")));
        let dropped: s3gateway_config::ResidencyPolicy = serde_json::from_value(dropped.body.unwrap()).unwrap();
        assert_eq!(dropped, s3gateway_config::ResidencyPolicy::default());
        let both = parse(&format!("{line} --allow-all --deny-countries US")).unwrap();
        assert_eq!(both.into_request().unwrap_err().code, 2);
    }
}

#[test]
fn a_person_is_asked_before_what_cannot_be_taken_back() {
    for (line, asks) in [
        ("tenant delete acme", Some("acme")),
        ("key delete AK", Some("AK")),
        ("key disable AK", None),
        ("backend remove fi-hel", Some("fi-hel")),
        ("backend retire fi-hel", Some("fi-hel")),
        ("backend unretire fi-hel", None),
        ("bucket release acme photos", Some("photos of acme")),
        ("bucket promote acme photos --to de-fra", None),
        ("bucket promote acme photos --to de-fra --force", Some("de-fra without the home")),
        ("bucket migrate acme photos", None),
        ("bucket migrate acme photos --drop-old", Some("photos of acme")),
        ("bucket migrate acme photos cancel", None),
        ("stranded drop 1-a", Some("1-a")),
        ("stranded show 1-a", None),
        ("tenant list", None),
    ] {
        let question = request(line).question;
        assert_eq!(question.is_some(), asks.is_some(), "{line}");
        assert!(question.unwrap_or_default().contains(asks.unwrap_or_default()), "{line}");
    }
}

#[test]
fn white_space_around_commas_is_none_of_a_value() {
    let line = ["admin", "tenant", "policy", "acme", "--deny-countries", "US, CN ", "--allow-providers", " p"];
    let request = Line::try_parse_from(line).unwrap().noun.into_request().unwrap();
    let body = request.body.unwrap();
    assert_eq!((&body["deny"]["countries"], &body["allow"]["providers"]), (&json!(["US", "CN"]), &json!(["p"])));
}

#[test]
fn half_a_key_is_refused() {
    for line in [
        "jobs redrive",
        "jobs redrive acme",
        "jobs redrive acme photos",
        "jobs redrive --all acme photos k",
        "jobs list --tenant acme",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}
