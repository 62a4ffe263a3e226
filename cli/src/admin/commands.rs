//! The admin commands as requests.
use super::render::Shape;
use crate::failure::Failure;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use url::form_urlencoded;

/// What a command sends, and how its answer is shown.
#[derive(Debug)]
pub struct ApiRequest {
    /// HTTP method.
    pub method: Method,
    /// Path and query, encoded.
    pub target: String,
    /// JSON document.
    pub body: Option<Value>,
    /// What the answer looks like.
    pub shape: Shape,
}

/// What an admin command is about.
#[derive(Debug, Subcommand)]
pub enum Noun {
    /// Customers: who stores, where by default, and where never
    #[command(subcommand)]
    Tenant(Tenant),
    /// Access keys; a secret is shown once, when it is created
    #[command(subcommand)]
    Key(Key),
    /// S3-compatible stores
    #[command(subcommand)]
    Backend(Backend),
    /// Logical buckets and the physical ones behind them
    #[command(subcommand)]
    Bucket(Bucket),
    /// What a bucket's name maps to, or would map to
    Names {
        /// Whose bucket
        tenant: String,
        /// The client's name for it
        bucket: String,
        /// Locations, home first, for a bucket that does not exist; the tenant's default otherwise
        #[arg(long, value_name = "LOCATIONS")]
        placement: Option<String>,
    },
    /// Which places a tenant's or bucket's policy allows, and why not
    Explain {
        /// Whose policy
        tenant: String,
        /// The bucket whose own policy tightens it
        bucket: Option<String>,
    },
    /// Where an object is
    #[command(subcommand)]
    Object(Object),
    /// Replication: what is waiting, what was done, what failed for good
    #[command(subcommand)]
    Jobs(Jobs),
}

/// `admin tenant …`
#[derive(Debug, Subcommand)]
pub enum Tenant {
    /// Add a tenant
    Create {
        /// 1 to 63 of a-z, 0-9 and '-'
        name: String,
        #[command(flatten)]
        policy: PolicyOptions,
        /// Locations for buckets created without one, home first, comma-separated
        #[arg(long, value_name = "LOCATIONS", value_delimiter = ',')]
        placement: Vec<String>,
        /// Copies of each object in new buckets, home included
        #[arg(long, value_name = "N", default_value_t = 1)]
        replica_count: u32,
    },
    /// All tenants
    List,
    /// One tenant
    Show {
        /// Its name
        name: String,
    },
    /// Replace the residency policy; without options everything is allowed
    Policy {
        /// Its name
        name: String,
        #[command(flatten)]
        policy: PolicyOptions,
    },
    /// Replace the defaults for new buckets
    Defaults {
        /// Its name
        name: String,
        /// Locations, home first, comma-separated
        #[arg(long, value_name = "LOCATIONS", value_delimiter = ',', required = true)]
        placement: Vec<String>,
        /// Copies of each object, home included
        #[arg(long, value_name = "N")]
        replica_count: u32,
    },
    /// Remove a tenant that has no buckets
    Delete {
        /// Its name
        name: String,
    },
}

/// A residency policy on the command line; lists are comma-separated.
#[derive(Debug, Default, Args)]
pub struct PolicyOptions {
    /// A JSON file with the whole policy, instead of the options below
    #[arg(long, value_name = "FILE", conflicts_with_all = ["allow_jurisdictions", "allow_countries", "allow_providers", "allow_certifications", "deny_jurisdictions", "deny_countries", "deny_providers", "deny_certifications", "no_transit_outside"])]
    policy_file: Option<PathBuf>,
    /// Only these, such as EU
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    allow_jurisdictions: Vec<String>,
    /// Only these, such as FI,DE
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    allow_countries: Vec<String>,
    /// Only these
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    allow_providers: Vec<String>,
    /// Only places that hold all of these
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    allow_certifications: Vec<String>,
    /// None of these
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    deny_jurisdictions: Vec<String>,
    /// None of these
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    deny_countries: Vec<String>,
    /// None of these
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    deny_providers: Vec<String>,
    /// No place that holds any of these
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    deny_certifications: Vec<String>,
    /// Bytes may not even pass through a gateway outside
    #[arg(long)]
    no_transit_outside: bool,
}

/// `admin key …`
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Make a key; its secret is shown now and never again
    Create {
        /// Whose key
        tenant: String,
    },
    /// Keys of all tenants or one
    List {
        /// Only of this tenant
        tenant: Option<String>,
    },
    /// Refuse a key from now on
    Disable {
        /// The access key
        access_key: String,
    },
    /// Accept it again
    Enable {
        /// The access key
        access_key: String,
    },
    /// Remove it
    Delete {
        /// The access key
        access_key: String,
    },
}

/// `admin backend …`
#[derive(Debug, Subcommand)]
pub enum Backend {
    /// Add a backend; its secret key is read from S3GATEWAY_BACKEND_SECRET_KEY or --secret-key-file
    Add(Box<NewBackend>),
    /// All backends, in the order in which placements expand to them
    List,
    /// One backend with its capabilities
    Show {
        /// Its id
        id: String,
    },
    /// Remove a backend that holds no bucket
    Remove {
        /// Its id
        id: String,
    },
    /// Take an embedded backend off the air (`dev` only)
    Stop {
        /// Its id
        id: String,
    },
    /// Put an embedded backend on the air again (`dev` only)
    Start {
        /// Its id
        id: String,
    },
}

/// A backend on the command line.
#[derive(Debug, Args)]
pub struct NewBackend {
    /// 1 to 32 of a-z, 0-9 and '-'
    id: String,
    /// http(s)://HOST[:PORT]
    #[arg(long, value_name = "URL")]
    url: String,
    /// Where it is, smallest part, such as fi-hel-uc-1
    #[arg(long)]
    zone: String,
    /// Such as fi-hel
    #[arg(long)]
    region: String,
    /// ISO 3166-1 alpha-2, such as FI
    #[arg(long)]
    country: String,
    /// Such as EU
    #[arg(long)]
    jurisdiction: String,
    /// Who runs it
    #[arg(long)]
    provider: String,
    /// Such as iso27001,c5
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    certifications: Vec<String>,
    /// Region that its requests are signed for
    #[arg(long, default_value = "us-east-1")]
    signing_region: String,
    /// Its access key
    #[arg(long)]
    access_key: String,
    /// File that holds its secret key
    #[arg(long, value_name = "FILE")]
    secret_key_file: Option<PathBuf>,
    /// Its secret key, from the environment only: arguments can be seen by other users
    #[arg(env = "S3GATEWAY_BACKEND_SECRET_KEY", hide = true, hide_env_values = true, long)]
    secret_key: Option<String>,
    /// JSON file with the capabilities that differ from S3's
    #[arg(long, value_name = "FILE")]
    capabilities_file: Option<PathBuf>,
    /// Replace a backend that exists: credentials, endpoint, capabilities
    #[arg(long)]
    replace: bool,
}

/// `admin bucket …`
#[derive(Debug, Subcommand)]
pub enum Bucket {
    /// A tenant's buckets
    List {
        /// Whose
        tenant: String,
        /// Only names that begin so
        #[arg(long, default_value = "")]
        prefix: String,
        /// Only names after this one: the next page
        #[arg(long)]
        after: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// One bucket with its mapping
    Show {
        /// Whose
        tenant: String,
        /// The client's name for it
        bucket: String,
    },
    /// Set how many copies of each object must exist, home included
    ReplicaCount {
        /// Whose
        tenant: String,
        /// The client's name for it
        bucket: String,
        /// At most the backends of its placement
        count: u32,
    },
    /// Replace the bucket's own policy, which can only tighten the tenant's
    Policy {
        /// Whose
        tenant: String,
        /// The client's name for it
        bucket: String,
        #[command(flatten)]
        policy: PolicyOptions,
    },
}

/// `admin object …`
#[derive(Debug, Subcommand)]
pub enum Object {
    /// Where its copies are, since when, and how that was verified
    Copies {
        /// Whose
        tenant: String,
        /// The client's name for the bucket
        bucket: String,
        /// The key, as it is
        key: String,
    },
}

/// `admin jobs …`
#[derive(Debug, Subcommand)]
pub enum Jobs {
    /// How many keys are dirty, and since when the oldest
    Depth,
    /// What was done lately, newest first
    List {
        /// Only of this tenant's …
        #[arg(long, requires = "bucket")]
        tenant: Option<String>,
        /// … bucket
        #[arg(long, requires = "tenant")]
        bucket: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Keys that were given up, with the reason
    Dead {
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: u32,
    },
    /// Try dead letters again: one, or all
    Redrive {
        /// All of them
        #[arg(long, conflicts_with_all = ["tenant", "bucket", "key"], required_unless_present = "key")]
        all: bool,
        /// Whose
        #[arg(requires = "bucket")]
        tenant: Option<String>,
        /// The client's name for the bucket
        #[arg(requires = "key")]
        bucket: Option<String>,
        /// The key
        key: Option<String>,
    },
}

impl Noun {
    /// The request that the command stands for.
    ///
    /// # Errors
    /// Where a file that it names cannot be used.
    pub fn into_request(self) -> Result<ApiRequest, Failure> {
        match self {
            Self::Tenant(tenant) => tenant.into_request(),
            Self::Key(key) => Ok(key.into_request()),
            Self::Backend(backend) => backend.into_request(),
            Self::Bucket(bucket) => bucket.into_request(),
            Self::Names { tenant, bucket, placement } => {
                let mut query = vec![("tenant", tenant), ("bucket", bucket)];
                query.extend(placement.map(|placement| ("placement", placement)));
                Ok(get(&["names"], &query, Shape::Names))
            }
            Self::Explain { tenant, bucket } => {
                let mut query = vec![("tenant", tenant)];
                query.extend(bucket.map(|bucket| ("bucket", bucket)));
                Ok(get(&["explain"], &query, Shape::Explain))
            }
            Self::Object(Object::Copies { tenant, bucket, key }) => {
                Ok(get(&["tenants", &tenant, "buckets", &bucket, "copies"], &[("key", key)], Shape::Copies))
            }
            Self::Jobs(jobs) => Ok(jobs.into_request()),
        }
    }
}

impl Tenant {
    fn into_request(self) -> Result<ApiRequest, Failure> {
        Ok(match self {
            Self::Create { name, policy, placement, replica_count } => {
                let body = json!({
                    "name": name, "policy": policy.into_json()?, "default_placement": placement,
                    "default_replica_count": replica_count,
                });
                with_body(Method::POST, &["tenants"], body, Shape::Tenant)
            }
            Self::List => get(&["tenants"], &[], Shape::Tenants),
            Self::Show { name } => get(&["tenants", &name], &[], Shape::Tenant),
            Self::Policy { name, policy } => {
                with_body(Method::PUT, &["tenants", &name, "policy"], policy.into_json()?, Shape::Tenant)
            }
            Self::Defaults { name, placement, replica_count } => {
                let body = json!({"placement": placement, "replica_count": replica_count});
                with_body(Method::PUT, &["tenants", &name, "defaults"], body, Shape::Tenant)
            }
            Self::Delete { name } => bare(Method::DELETE, &["tenants", &name], Shape::Done),
        })
    }
}

impl PolicyOptions {
    fn into_json(self) -> Result<Value, Failure> {
        if let Some(path) = &self.policy_file {
            return read_json(path);
        }
        Ok(json!({
            "allow": {
                "jurisdictions": self.allow_jurisdictions, "countries": self.allow_countries,
                "providers": self.allow_providers, "certifications": self.allow_certifications,
            },
            "deny": {
                "jurisdictions": self.deny_jurisdictions, "countries": self.deny_countries,
                "providers": self.deny_providers, "certifications": self.deny_certifications,
            },
            "transit_outside": !self.no_transit_outside,
        }))
    }
}

impl Key {
    fn into_request(self) -> ApiRequest {
        match self {
            Self::Create { tenant } => bare(Method::POST, &["tenants", &tenant, "keys"], Shape::NewKey),
            Self::List { tenant } => {
                let query: Vec<_> = tenant.into_iter().map(|tenant| ("tenant", tenant)).collect();
                get(&["keys"], &query, Shape::Keys)
            }
            Self::Disable { access_key } => bare(Method::POST, &["keys", &access_key, "disable"], Shape::Done),
            Self::Enable { access_key } => bare(Method::POST, &["keys", &access_key, "enable"], Shape::Done),
            Self::Delete { access_key } => bare(Method::DELETE, &["keys", &access_key], Shape::Done),
        }
    }
}

impl Backend {
    fn into_request(self) -> Result<ApiRequest, Failure> {
        Ok(match self {
            Self::Add(new) => return new.into_request(),
            Self::List => get(&["backends"], &[], Shape::Backends),
            Self::Show { id } => get(&["backends", &id], &[], Shape::Backend),
            Self::Remove { id } => bare(Method::DELETE, &["backends", &id], Shape::Done),
            Self::Stop { id } => bare(Method::POST, &["backends", &id, "stop"], Shape::Backend),
            Self::Start { id } => bare(Method::POST, &["backends", &id, "start"], Shape::Backend),
        })
    }
}

impl NewBackend {
    fn into_request(self) -> Result<ApiRequest, Failure> {
        let secret_key = match (&self.secret_key_file, self.secret_key) {
            (Some(path), _) => read(path)?.trim().to_owned(),
            (None, Some(secret)) => secret,
            (None, None) => {
                return Err(Failure::of_input(
                    "give the secret key with S3GATEWAY_BACKEND_SECRET_KEY or --secret-key-file",
                ));
            }
        };
        let mut body = json!({
            "id": self.id, "endpoint": self.url, "region": self.signing_region,
            "access_key": self.access_key, "secret_key": secret_key,
            "place": {
                "zone": self.zone, "region": self.region, "country": self.country, "jurisdiction": self.jurisdiction,
                "provider": self.provider, "certifications": self.certifications,
            },
        });
        if let (Some(path), Some(fields)) = (&self.capabilities_file, body.as_object_mut()) {
            fields.insert("capabilities".into(), read_json(path)?);
        }
        Ok(if self.replace {
            with_body(Method::PUT, &["backends", &self.id], body, Shape::Backend)
        } else {
            with_body(Method::POST, &["backends"], body, Shape::Backend)
        })
    }
}

impl Bucket {
    fn into_request(self) -> Result<ApiRequest, Failure> {
        Ok(match self {
            Self::List { tenant, prefix, after, limit } => {
                let mut query = vec![("prefix", prefix), ("limit", limit.to_string())];
                query.extend(after.map(|after| ("after", after)));
                get(&["tenants", &tenant, "buckets"], &query, Shape::Buckets)
            }
            Self::Show { tenant, bucket } => get(&["tenants", &tenant, "buckets", &bucket], &[], Shape::Bucket),
            Self::ReplicaCount { tenant, bucket, count } => {
                let body = json!({"replica_count": count});
                with_body(Method::PUT, &["tenants", &tenant, "buckets", &bucket, "replica-count"], body, Shape::Bucket)
            }
            Self::Policy { tenant, bucket, policy } => with_body(
                Method::PUT,
                &["tenants", &tenant, "buckets", &bucket, "policy"],
                policy.into_json()?,
                Shape::Bucket,
            ),
        })
    }
}

impl Jobs {
    fn into_request(self) -> ApiRequest {
        match self {
            Self::Depth => get(&["jobs", "depth"], &[], Shape::Depth),
            Self::List { tenant, bucket, limit } => {
                let mut query = vec![("limit", limit.to_string())];
                query.extend(tenant.map(|tenant| ("tenant", tenant)));
                query.extend(bucket.map(|bucket| ("bucket", bucket)));
                get(&["jobs"], &query, Shape::Jobs)
            }
            Self::Dead { limit } => get(&["jobs", "dead"], &[("limit", limit.to_string())], Shape::Dead),
            Self::Redrive { all, tenant, bucket, key } => {
                let mut body = Map::new();
                body.insert("all".into(), all.into());
                for (name, value) in [("tenant", tenant), ("bucket", bucket), ("key", key)] {
                    body.extend(value.map(|value| (name.to_owned(), Value::from(value))));
                }
                with_body(Method::POST, &["jobs", "redrive"], Value::Object(body), Shape::Redriven)
            }
        }
    }
}

fn get(segments: &[&str], query: &[(&str, String)], shape: Shape) -> ApiRequest {
    let mut target = path(segments);
    if !query.is_empty() {
        let pairs = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        target.push('?');
        target.push_str(&pairs);
    }
    ApiRequest { method: Method::GET, target, body: None, shape }
}

fn bare(method: Method, segments: &[&str], shape: Shape) -> ApiRequest {
    ApiRequest { method, target: path(segments), body: None, shape }
}

fn with_body(method: Method, segments: &[&str], body: Value, shape: Shape) -> ApiRequest {
    ApiRequest { method, target: path(segments), body: Some(body), shape }
}

/// Each segment encoded whole, so that what an operator types can never reach another endpoint.
fn path(segments: &[&str]) -> String {
    let mut path = "/v1".to_owned();
    for segment in segments {
        path.push('/');
        path.push_str(&s3gateway_s3::uri::encode(segment.as_bytes()));
    }
    path
}

fn read(path: &PathBuf) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::of_input(format!("{}: {error}", path.display())))
}

fn read_json(path: &PathBuf) -> Result<Value, Failure> {
    serde_json::from_str(&read(path)?).map_err(|error| Failure::of_input(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Arguments, Command};
    use clap::{CommandFactory, Parser};

    fn request(line: &str) -> ApiRequest {
        let arguments = Arguments::try_parse_from(["s3gateway", "admin"].into_iter().chain(line.split(' '))).unwrap();
        let Command::Admin(command) = arguments.command else { panic!("no admin command") };
        command.noun.into_request().unwrap()
    }

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
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
            ("key create acme", "POST", "/v1/tenants/acme/keys", None),
            ("key list acme", "GET", "/v1/keys?tenant=acme", None),
            ("key disable AK", "POST", "/v1/keys/AK/disable", None),
            ("backend stop fi-hel", "POST", "/v1/backends/fi-hel/stop", None),
            ("backend show ../keys", "GET", "/v1/backends/..%2Fkeys", None),
            (
                "bucket replica-count acme photos 2",
                "PUT",
                "/v1/tenants/acme/buckets/photos/replica-count",
                Some(json!({"replica_count": 2})),
            ),
            (
                "names acme photos --placement eu,us",
                "GET",
                "/v1/names?tenant=acme&bucket=photos&placement=eu%2Cus",
                None,
            ),
            ("explain acme", "GET", "/v1/explain?tenant=acme", None),
            (
                "object copies acme photos a/b+c%20&d",
                "GET",
                "/v1/tenants/acme/buckets/photos/copies?key=a%2Fb%2Bc%2520%26d",
                None,
            ),
            ("jobs depth", "GET", "/v1/jobs/depth", None),
            ("jobs redrive --all", "POST", "/v1/jobs/redrive", Some(json!({"all": true}))),
            (
                "jobs redrive acme photos k",
                "POST",
                "/v1/jobs/redrive",
                Some(json!({"all": false, "tenant": "acme", "bucket": "photos", "key": "k"})),
            ),
        ] {
            let request = request(line);
            assert_eq!(
                (request.method.as_str(), request.target.as_str(), request.body),
                (method, target, body),
                "{line}"
            );
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
    fn half_a_key_is_refused() {
        for line in [
            "jobs redrive",
            "jobs redrive acme",
            "jobs redrive acme photos",
            "jobs redrive --all acme photos k",
            "jobs list --tenant acme",
        ] {
            let parsed = Arguments::try_parse_from(["s3gateway", "admin"].into_iter().chain(line.split(' ')));
            assert!(parsed.is_err(), "{line}");
        }
    }
}
