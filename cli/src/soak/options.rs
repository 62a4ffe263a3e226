//! What `s3gateway soak` is told, and the file that tells it about backends; checked before anything is sent.
use crate::{
    admin::Client as Admin,
    failure::{During, Failure},
    private_file,
};
use clap::Args;
use s3gateway_config::Secret;
use serde::Deserialize;
use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    time::Duration,
};
use url::Url;

/// A load with a ledger, and the judgement of what has become of it.
#[derive(Debug, Args)]
pub struct SoakOptions {
    /// S3 endpoints, used in turn
    #[arg(long, value_name = "URL[,URL...]", value_delimiter = ',', required_unless_present = "dev")]
    endpoint: Vec<String>,
    /// The access key of a tenant's
    #[arg(long, value_name = "KEY", env = "AWS_ACCESS_KEY_ID", required_unless_present = "dev")]
    access_key: Option<String>,
    /// Its secret key; better given in the environment, which other users cannot see
    #[arg(long, value_name = "SECRET", env = "AWS_SECRET_ACCESS_KEY", hide_env_values = true)]
    #[arg(value_parser = secret, required_unless_present = "dev")]
    secret_key: Option<Secret<String>>,
    /// The tenant that the access key is of
    #[arg(long, value_name = "NAME", default_value = "acme")]
    tenant: String,
    /// The admin API, http(s)://HOST:PORT
    #[arg(long, value_name = "URL", env = "S3GATEWAY_ADMIN_ENDPOINT", required_unless_present = "dev")]
    admin_endpoint: Option<String>,
    /// Its bearer token; better given in the environment, which other users cannot see
    #[arg(long, value_name = "TOKEN", env = "S3GATEWAY_ADMIN_TOKEN", hide_env_values = true)]
    #[arg(value_parser = secret, required_unless_present = "dev")]
    admin_token: Option<Secret<String>>,
    /// PEM file of the CAs that an https admin endpoint is believed by, instead of the system's
    #[arg(long, value_name = "FILE", env = "S3GATEWAY_ADMIN_CA_FILE")]
    admin_ca_file: Option<PathBuf>,
    /// JSON file with all backends as they are reached past the gateway: {"backends": [{"id", "endpoint", "access_key",
    /// "secret_key"}]}
    #[arg(long, value_name = "FILE", required_unless_present = "dev")]
    backends: Option<PathBuf>,
    /// The ready file of `s3gateway dev`, which says all of the above
    #[arg(long, value_name = "FILE", conflicts_with_all = ["endpoint", "admin_endpoint", "backends"])]
    dev: Option<PathBuf>,
    /// The logical bucket, made where missing
    #[arg(long, value_name = "NAME", default_value = "soak")]
    pub bucket: String,
    /// Placement of a bucket that is made, such as fi-hel,de-fra [default: the tenant's]
    #[arg(long, value_name = "PLACE[,PLACE...]")]
    pub location: Option<String>,
    /// How long the load lasts
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = humantime::parse_duration)]
    pub duration: Duration,
    /// How long to wait after it for all copies to be made
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = humantime::parse_duration)]
    pub converge_within: Duration,
    /// Clients at the same time
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub clients: usize,
    /// Keys that each client writes at a time
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub keys: usize,
    /// The most bytes of an object
    #[arg(long, value_name = "BYTES", default_value_t = 8 * 1024 * 1024)]
    pub max_size: usize,
    /// Seed of the load and of all bytes [default: a new one, which is printed]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Where to record everything that is begun and answered; a new file
    #[arg(long, value_name = "FILE")]
    pub ledger: PathBuf,
    /// Sends nothing: judges what an earlier run's ledger says
    #[arg(long)]
    pub judge: bool,
    /// What somebody does to the deployment meanwhile: lines of JSON, each with a "kind", counted in the report
    #[arg(long, value_name = "FILE")]
    pub faults: Option<PathBuf>,
    /// Writes the report as JSON, too
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// Whom to speak to.
pub struct Target {
    /// S3 endpoints; at least one.
    pub endpoints: Vec<String>,
    /// Of the tenant.
    pub access_key: String,
    /// Of the tenant.
    pub secret_key: Secret<String>,
    /// The tenant.
    pub tenant: String,
    /// The admin API.
    pub admin: Admin,
    /// All backends.
    pub backends: Vec<BackendKey>,
}

/// A backend as it is read past the gateway.
#[derive(Deserialize)]
pub struct BackendKey {
    /// As the gateway knows it.
    pub id: String,
    /// http(s)://HOST:PORT
    pub endpoint: String,
    /// That its region is signed for.
    #[serde(default = "default_region")]
    pub region: String,
    /// May list, read, and see all buckets.
    pub access_key: String,
    /// Never shown.
    secret_key: String,
}

impl BackendKey {
    /// For signing.
    pub fn secret_key(&self) -> Secret<String> {
        Secret::new(self.secret_key.clone())
    }
}

#[derive(Deserialize)]
struct BackendsFile {
    backends: Vec<BackendKey>,
}

#[derive(Deserialize)]
struct DevFile {
    endpoint: String,
    admin_endpoint: String,
    admin_token: String,
    tenants: Vec<TenantKey>,
}

#[derive(Deserialize)]
struct TenantKey {
    name: String,
    access_key: String,
    secret_key: String,
}

impl SoakOptions {
    /// Reads the files and checks what can be checked without asking anyone.
    ///
    /// # Errors
    /// With the one option that cannot be used.
    pub fn target(&self) -> Result<Target, Failure> {
        for (option, value) in [("--clients", self.clients), ("--keys", self.keys), ("--max-size", self.max_size)] {
            if value == 0 {
                return Err(Failure::of_input(format!("{option}: must be at least 1")));
            }
        }
        if let Some(path) = &self.dev {
            return self.of_dev(path);
        }
        let given = (&self.access_key, &self.secret_key, &self.admin_endpoint, &self.admin_token, &self.backends);
        let (Some(access_key), Some(secret_key), Some(admin_endpoint), Some(admin_token), Some(backends)) = given
        else {
            return Err(Failure::of_input("give all of --endpoint, keys, admin API and --backends, or --dev"));
        };
        for endpoint in &self.endpoint {
            check_url("--endpoint", endpoint)?;
        }
        check_url("--admin-endpoint", admin_endpoint)?;
        Ok(Target {
            endpoints: self.endpoint.clone(),
            access_key: access_key.clone(),
            secret_key: secret_key.clone(),
            tenant: self.tenant.clone(),
            admin: Admin::new(admin_endpoint, admin_token.clone(), self.admin_ca_file.as_deref())?,
            backends: read::<BackendsFile>("--backends", backends)?.backends,
        })
    }

    fn of_dev(&self, path: &Path) -> Result<Target, Failure> {
        let dev: DevFile = read("--dev", path)?;
        let backends = read::<BackendsFile>("--dev", path)?.backends;
        let key = dev.tenants.into_iter().find(|key| key.name == self.tenant).ok_or_else(|| {
            Failure::of_input(format!("--tenant {}: {} has no such tenant", self.tenant, path.display()))
        })?;
        Ok(Target {
            endpoints: vec![dev.endpoint],
            access_key: key.access_key,
            secret_key: Secret::new(key.secret_key),
            tenant: key.name,
            admin: Admin::new(&dev.admin_endpoint, Secret::new(dev.admin_token), None)?,
            backends,
        })
    }

    /// Faults that were noted, by kind.
    ///
    /// # Errors
    /// Where the file is there and holds something else.
    pub fn faults(&self) -> Result<std::collections::BTreeMap<String, u64>, Failure> {
        #[derive(Deserialize)]
        struct Fault {
            kind: String,
        }
        let mut kinds = std::collections::BTreeMap::new();
        let Some(path) = &self.faults else { return Ok(kinds) };
        let what = format!("--faults {}", path.display());
        for line in std::fs::read_to_string(path).during(&what)?.lines().filter(|line| !line.trim().is_empty()) {
            let fault: Fault = serde_json::from_str(line).during(&what)?;
            *kinds.entry(fault.kind).or_default() += 1;
        }
        Ok(kinds)
    }
}

fn read<T: serde::de::DeserializeOwned>(option: &str, path: &Path) -> Result<T, Failure> {
    private_file::read(path).map_err(|error| Failure::of_input(format!("{option} {}: {error}", path.display())))
}

fn check_url(option: &str, endpoint: &str) -> Result<(), Failure> {
    let url = Url::parse(endpoint).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let is_bare = |url: &Url| url.path() == "/" && url.query().is_none() && url.username().is_empty();
    match url.filter(is_bare) {
        Some(_) => Ok(()),
        None => {
            Err(Failure::of_input(format!("{option}: write http://HOST[:PORT] or https://HOST[:PORT], nothing more")))
        }
    }
}

fn default_region() -> String {
    "us-east-1".into()
}

/// Out of sight of `Debug` from the first moment on.
fn secret(text: &str) -> Result<Secret<String>, Infallible> {
    Ok(Secret::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: SoakOptions,
    }

    fn target(folder: &Path, endpoint: &str, more: &[&str]) -> Result<Target, Failure> {
        let backends = folder.join("backends.json");
        std::fs::write(
            &backends,
            r#"{"backends": [{"id": "b", "endpoint": "http://b", "access_key": "k", "secret_key": "hidden"}]}"#,
        )
        .unwrap();
        let backends = backends.display().to_string();
        let mut line =
            vec!["soak", "--endpoint", endpoint, "--access-key", "k", "--secret-key", "hidden", "--ledger", "l"];
        line.extend(["--admin-endpoint", "http://127.0.0.1:1", "--admin-token", "hidden", "--backends", &backends]);
        line.extend(more);
        let options = Line::try_parse_from(line).unwrap_or_else(|error| panic!("{error}")).options;
        assert!(!format!("{options:?}").contains("hidden"));
        options.target()
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let target_of = |endpoint, more: &[&str]| target(folder.path(), endpoint, more);
        let usable = target_of("http://a:1,https://b", &[]).unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!((usable.endpoints.len(), usable.backends.len()), (2, 1));
        for (endpoint, more, named) in [
            ("http://a,b", &[][..], "--endpoint"),
            ("http://key:secret@a", &[], "--endpoint"),
            ("http://a", &["--clients", "0"], "--clients"),
            ("http://a", &["--keys", "0"], "--keys"),
        ] {
            let failure = target_of(endpoint, more).err().unwrap();
            assert!(failure.message.contains(named), "{failure}");
        }
    }
}
