//! The environment variables that stand over the file: secrets and addresses that a deployment injects.
use super::fault::{Fault, nearest};
use std::collections::BTreeMap;

/// Every variable that the gateway reads, with what it replaces.
pub const VARIABLES: &[(&str, &str)] = &[
    ("S3GATEWAY_CONFIG", "the path given with --config"),
    ("S3GATEWAY_METADATA_URL", "metadata.url"),
    ("S3GATEWAY_REDIS_URLS", "queue.redis, comma-separated"),
    ("S3GATEWAY_REDIS_CA_FILE", "queue.ca_file"),
    ("S3GATEWAY_MASTER_KEY", "secrets.master_key_file, as 64 hexadecimal digits"),
    ("S3GATEWAY_MASTER_KEY_FILE", "secrets.master_key_file"),
    ("S3GATEWAY_ALLOW_NETWORKS", "backends.allow_networks, comma-separated"),
    ("S3GATEWAY_ADMIN_TOKEN", "admin.token_file, as the token itself"),
    ("S3GATEWAY_ADMIN_ENDPOINT", "the endpoint that `s3gateway admin` talks to"),
    ("S3GATEWAY_ADMIN_CA_FILE", "the CAs that `s3gateway admin` believes an https endpoint by"),
    ("S3GATEWAY_BACKEND_SECRET_KEY", "the secret key of `s3gateway admin backend add`"),
    ("S3GATEWAY_LOG_FORMAT", "log.format"),
    ("S3GATEWAY_LOG_LEVEL", "log.level"),
];

/// The variables of one process that begin with `S3GATEWAY_`; a value of its own so that tests need not set any.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// Of this process. A value that is not UTF-8 is taken as absent.
    pub fn of_process() -> Self {
        Self::of(std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))))
    }
    /// Of the pairs given; others than `S3GATEWAY_…` and empty values are left out.
    pub fn of(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(pairs.into_iter().filter(|(name, value)| name.starts_with("S3GATEWAY_") && !value.is_empty()).collect())
    }
    /// One variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
    /// Variables that look like a mistyped one of ours. Others pass: Kubernetes sets `S3GATEWAY_PORT_…` for a service.
    pub(super) fn mistyped(&self) -> impl Iterator<Item = Fault> {
        self.0.keys().filter(|name| !VARIABLES.iter().any(|(known, _)| known == name)).filter_map(|name| {
            let meant = nearest(name, VARIABLES.iter().map(|(known, _)| *known))?;
            Some(environment_fault(name, "is no variable of the gateway", format!("did you mean {meant}?")))
        })
    }
}

/// A fault of a variable.
pub(super) fn environment_fault(name: &str, problem: impl Into<String>, remedy: impl Into<String>) -> Fault {
    Fault { file: "environment".into(), line: None, key: name.into(), problem: problem.into(), remedy: remedy.into() }
}
