//! The request that each admin command stands for.
use super::client::{PATIENCE, PATIENCE_WITH_PROBES};
use super::commands::{
    Backend, Bucket, Jobs, Key, MigrateAction, NewBackend, Noun, Object, PolicyChange, PolicyOptions, Stranded, Switch,
    Tenant, Walk, WalkKind,
};
use super::render::Shape;
use crate::failure::Failure;
use http::Method;
use serde_json::{Map, Value, json};
use std::{path::PathBuf, time::Duration};
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
    /// The file that the answer goes to as it is.
    pub output: Option<PathBuf>,
    /// What a person is asked first, as it cannot be taken back.
    pub question: Option<String>,
}

impl ApiRequest {
    /// How long its answer may take.
    pub fn patience(&self) -> Duration {
        match (&self.method, self.shape) {
            (&Method::POST, Shape::Probe | Shape::Backend) => PATIENCE_WITH_PROBES,
            _ => PATIENCE,
        }
    }

    fn asking(self, question: String) -> Self {
        Self { question: Some(question), ..self }
    }
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
            Self::Drains { tenant, bucket, backend, after, limit } => {
                let mut query = vec![("limit", limit.to_string())];
                for (name, value) in [("tenant", tenant), ("bucket", bucket), ("backend", backend), ("after", after)] {
                    query.extend(value.map(|value| (name, value)));
                }
                Ok(get(&["drains"], &query, Shape::Drains))
            }
            Self::Jobs(jobs) => Ok(jobs.into_request()),
            Self::Walk(walk) => Ok(walk.into_request()),
            Self::Stranded(stranded) => Ok(stranded.into_request()),
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
            Self::Policy { name, change } => change.into_request(&["tenants", &name], Shape::Tenant)?,
            Self::Defaults { name, placement, replica_count } => {
                let body = json!({"placement": placement, "replica_count": replica_count});
                with_body(Method::PUT, &["tenants", &name, "defaults"], body, Shape::Tenant)
            }
            Self::SignatureV2 { name, accepted } => {
                let body = json!({"accepted": accepted == Switch::On});
                with_body(Method::PUT, &["tenants", &name, "signature-v2"], body, Shape::Tenant)
            }
            Self::Delete { name } => {
                let question = format!("Delete tenant {name} with its keys?");
                bare(Method::DELETE, &["tenants", &name], Shape::Done).asking(question)
            }
        })
    }
}

impl PolicyChange {
    /// For the policy of what is at `owner`, which is shown as `shape` once it is changed.
    fn into_request(self, owner: &[&str], shape: Shape) -> Result<ApiRequest, Failure> {
        let is_given = self.policy != PolicyOptions::default();
        match (is_given, self.allow_all) {
            (true, true) => Err(Failure::of_input("--allow-all drops the policy: give no other option with it")),
            (false, false) => Ok(get(owner, &[], Shape::Policy)),
            _ => Ok(with_body(Method::PUT, &[owner, &["policy"]].concat(), self.policy.into_json()?, shape)),
        }
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
            Self::Delete { access_key } => {
                let question =
                    format!("Delete key {access_key}? Its secret cannot be had again; `key disable` can be undone.");
                bare(Method::DELETE, &["keys", &access_key], Shape::Done).asking(question)
            }
        }
    }
}

impl Backend {
    fn into_request(self) -> Result<ApiRequest, Failure> {
        Ok(match self {
            Self::Add(new) => return new.into_request(),
            Self::List => get(&["backends"], &[], Shape::Backends),
            Self::Show { id } => get(&["backends", &id], &[], Shape::Backend),
            Self::Remove { id } => {
                let question = format!("Remove backend {id} with its credentials?");
                bare(Method::DELETE, &["backends", &id], Shape::Done).asking(question)
            }
            Self::Retire { id } => {
                let question = format!("Retire backend {id}? No new bucket uses it, and its replicas are drained.");
                bare(Method::POST, &["backends", &id, "retire"], Shape::Backend).asking(question)
            }
            Self::Unretire { id } => bare(Method::POST, &["backends", &id, "unretire"], Shape::Backend),
            Self::Stop { id } => bare(Method::POST, &["backends", &id, "stop"], Shape::Backend),
            Self::Start { id } => bare(Method::POST, &["backends", &id, "start"], Shape::Backend),
            Self::Probe { id, last: true, .. } => get(&["backends", &id, "probe"], &[], Shape::Probe),
            Self::Probe { id, apply, .. } => {
                let query = [("apply", apply.to_string())];
                ApiRequest { method: Method::POST, ..get(&["backends", &id, "probe"], &query, Shape::Probe) }
            }
        })
    }
}

impl NewBackend {
    fn into_request(self) -> Result<ApiRequest, Failure> {
        let secret_key = match (&self.secret_key_file, self.secret_key) {
            (Some(path), _) => read(path)?.trim().to_owned(),
            (None, Some(secret)) => secret.expose().clone(),
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
            Self::WriteQuorum { tenant, bucket, quorum } => {
                let body = json!({"write_quorum": quorum});
                with_body(Method::PUT, &["tenants", &tenant, "buckets", &bucket, "write-quorum"], body, Shape::Bucket)
            }
            Self::Placement { tenant, bucket, locations } => {
                let body = json!({"placement": locations});
                with_body(Method::PUT, &["tenants", &tenant, "buckets", &bucket, "placement"], body, Shape::Bucket)
            }
            Self::Adopt { tenant, bucket, backend, physical, placement, drop } => {
                let body = json!({"backend": backend, "physical": physical, "placement": placement, "drop": drop});
                with_body(Method::POST, &["tenants", &tenant, "buckets", &bucket, "adopt"], body, Shape::Bucket)
            }
            Self::Release { tenant, bucket } => {
                let question = format!("Take bucket {bucket} of {tenant} out of service and drop its replicas?");
                let path = ["tenants", &tenant, "buckets", &bucket, "release"];
                bare(Method::POST, &path, Shape::Done).asking(question)
            }
            Self::ToPromote { begin, after, limit } => {
                let mut query = vec![("limit", limit.to_string())];
                query.extend(after.map(|after| ("after", after)));
                let method = if begin { Method::POST } else { Method::GET };
                ApiRequest { method, ..get(&["homes-to-leave"], &query, Shape::Homes) }
            }
            Self::Policy { tenant, bucket, change } => {
                change.into_request(&["tenants", &tenant, "buckets", &bucket], Shape::Bucket)?
            }
            Self::Promote { tenant, bucket, to, force } => {
                let body = json!({"to": to, "force": force});
                let path = ["tenants", &tenant, "buckets", &bucket, "promote"];
                let request = with_body(Method::POST, &path, body, Shape::Promotion);
                let question =
                    || format!("Promote {to} without the home? Keys whose last write is there alone are stranded.");
                if force { request.asking(question()) } else { request }
            }
            Self::PromoteAfter { tenant, bucket, seconds } => {
                let body = json!({"seconds": seconds});
                with_body(Method::PUT, &["tenants", &tenant, "buckets", &bucket, "promote-after"], body, Shape::Done)
            }
            Self::Migrate { tenant, bucket, action, to, drop_old, deep } => match action {
                MigrateAction::Start => {
                    let body = json!({"to": to, "drop_old": drop_old, "deep": deep});
                    let path = ["tenants", &tenant, "buckets", &bucket, "migrate"];
                    let request = with_body(Method::POST, &path, body, Shape::Migration);
                    let question =
                        || format!("Delete what is in the old home of {bucket} of {tenant} once it is verified?");
                    if drop_old { request.asking(question()) } else { request }
                }
                MigrateAction::Status => {
                    get(&["tenants", &tenant, "buckets", &bucket, "migrations"], &[], Shape::Migrations)
                }
                MigrateAction::Cancel => {
                    let path = ["tenants", &tenant, "buckets", &bucket, "migrations", "cancel"];
                    bare(Method::POST, &path, Shape::Migration)
                }
            },
            Self::Promotions { tenant, bucket } => {
                get(&["tenants", &tenant, "buckets", &bucket, "promotions"], &[], Shape::Promotions)
            }
        })
    }
}

impl Stranded {
    fn into_request(self) -> ApiRequest {
        match self {
            Self::List { tenant, bucket, after, limit } => {
                let mut query = vec![("limit", limit.to_string())];
                query.extend(after.map(|after| ("after", after)));
                get(&["tenants", &tenant, "buckets", &bucket, "stranded"], &query, Shape::StrandedKeys)
            }
            Self::Show { id } => get(&["stranded", &id], &[], Shape::Stranded),
            Self::Download { id, output } => {
                ApiRequest { output: Some(output), ..get(&["stranded", &id, "object"], &[], Shape::Done) }
            }
            Self::Drop { id } => {
                let question =
                    format!("Give up stranded key {id}? What stands aside, or the old home's write, is lost.");
                bare(Method::DELETE, &["stranded", &id], Shape::Done).asking(question)
            }
        }
    }
}

impl Jobs {
    fn into_request(self) -> ApiRequest {
        match self {
            Self::Depth => get(&["jobs", "depth"], &[], Shape::Depth),
            Self::List { tenant, bucket, after, limit } => {
                let mut query = vec![("limit", limit.to_string())];
                query.extend(tenant.map(|tenant| ("tenant", tenant)));
                query.extend(bucket.map(|bucket| ("bucket", bucket)));
                query.extend(after.map(|after| ("after", after)));
                get(&["jobs"], &query, Shape::Jobs)
            }
            Self::Dead { after, limit } => {
                let mut query = vec![("limit", limit.to_string())];
                query.extend(after.map(|after| ("after", after)));
                get(&["jobs", "dead"], &query, Shape::Dead)
            }
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

impl Walk {
    fn into_request(self) -> ApiRequest {
        match self {
            Self::Start { tenant, bucket, kind, rate } => {
                let kind = match kind {
                    WalkKind::Backfill => "backfill",
                    WalkKind::Reconcile => "reconcile",
                    WalkKind::Deep => "deep",
                };
                let segments = ["tenants", &tenant, "buckets", &bucket, "walks"];
                with_body(Method::POST, &segments, json!({"kind": kind, "rate": rate}), Shape::Walk)
            }
            Self::List { tenant, bucket, after, limit } => {
                let mut query = vec![("limit", limit.to_string())];
                query.extend(tenant.map(|tenant| ("tenant", tenant)));
                query.extend(bucket.map(|bucket| ("bucket", bucket)));
                query.extend(after.map(|after| ("after", after)));
                get(&["walks"], &query, Shape::Walks)
            }
            Self::Show { id } => get(&["walks", &id], &[], Shape::Walk),
            Self::Cancel { id } => bare(Method::POST, &["walks", &id, "cancel"], Shape::Walk),
            Self::Approve { id } => bare(Method::POST, &["walks", &id, "approve"], Shape::Walk),
            Self::Rate { id, rate } => {
                with_body(Method::PUT, &["walks", &id, "rate"], json!({"rate": rate}), Shape::Walk)
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
    ApiRequest { method: Method::GET, target, body: None, shape, output: None, question: None }
}

fn bare(method: Method, segments: &[&str], shape: Shape) -> ApiRequest {
    ApiRequest { method, target: path(segments), body: None, shape, output: None, question: None }
}

fn with_body(method: Method, segments: &[&str], body: Value, shape: Shape) -> ApiRequest {
    ApiRequest { method, target: path(segments), body: Some(body), shape, output: None, question: None }
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
mod tests;
