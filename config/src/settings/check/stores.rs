//! `[metadata]`, `[queue]` and `[secrets]`: what proxy and worker both stand on. URLs may hold passwords, so no fault repeats one.
use super::super::{
    Environment, MetadataSettings, QueueSettings, SecretsSettings,
    environment::environment_fault,
    reader::{Reader, Section},
};
use super::number;
use crate::Secret;
use std::path::Path;
use url::Url;

/// As PostgreSQL documents them (libpq, "SSL Support").
const SSL_MODES: [&str; 6] = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];

/// What is wrong with a value that must not be shown, and what to do.
struct Complaint {
    problem: String,
    remedy: String,
}

impl Complaint {
    fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { problem: problem.into(), remedy: remedy.into() }
    }
}

pub(super) fn metadata(
    reader: &Reader<'_>,
    section: Section<'_, '_>,
    environment: &Environment,
) -> Option<MetadataSettings> {
    let in_file = section.string("url");
    let url = match (environment.get("S3GATEWAY_METADATA_URL"), in_file) {
        (Some(url), _) => check_metadata_url(url)
            .map_err(|Complaint { problem, remedy }| {
                reader.push(environment_fault("S3GATEWAY_METADATA_URL", problem, remedy))
            })
            .ok()
            .map(|()| url.to_owned()),
        (None, Some(found)) => check_metadata_url(&found.value)
            .map_err(|Complaint { problem, remedy }| section.fault(&found.span, "url", problem, remedy))
            .ok()
            .map(|()| found.value),
        (None, None) => {
            let remedy =
                "write postgres://USER:PASSWORD@HOST/DATABASE or sqlite://PATH, here or in S3GATEWAY_METADATA_URL";
            section.missing("url", remedy);
            None
        }
    };
    let max_connections = number(&section, "max_connections", 16, 1, 1000);
    section.finish();
    Some(MetadataSettings { url: Secret::new(url?), max_connections })
}

/// What is wrong with a database URL, and what to do; neither repeats it, as it may hold a password.
fn check_metadata_url(url: &str) -> Result<(), Complaint> {
    if url.strip_prefix("sqlite:").is_some_and(|path| path.trim_start_matches('/').len() > 1) {
        return Ok(());
    }
    let remedy = "write postgres://USER:PASSWORD@HOST/DATABASE or sqlite://PATH";
    let parsed = Url::parse(url).ok();
    let parsed = parsed
        .filter(|u| matches!(u.scheme(), "postgres" | "postgresql") && u.has_host() && u.path().len() > 1)
        .ok_or_else(|| Complaint::new("is no database URL", remedy))?;
    for (name, value) in parsed.query_pairs() {
        match &*name {
            "sslmode" if !SSL_MODES.contains(&&*value) => {
                return Err(Complaint::new("has an unknown sslmode", format!("write one of {}", SSL_MODES.join(", "))));
            }
            "sslrootcert" => {
                read_ca(Path::new(&*value)).map_err(|problem| {
                    Complaint::new(format!("has an sslrootcert that {problem}"), "name a PEM file of CA certificates")
                })?;
            }
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn queue(reader: &Reader<'_>, section: Section<'_, '_>, environment: &Environment) -> QueueSettings {
    let in_file = section.strings("redis").unwrap_or_default();
    let mut redis = Vec::new();
    if let Some(urls) = environment.get("S3GATEWAY_REDIS_URLS") {
        for url in urls.split(',').map(str::trim) {
            match check_redis_url(url) {
                Ok(()) => redis.push(Secret::new(url.to_owned())),
                Err(Complaint { problem, remedy }) => {
                    reader.push(environment_fault("S3GATEWAY_REDIS_URLS", problem, remedy));
                }
            }
        }
    } else {
        for found in in_file {
            match check_redis_url(&found.value) {
                Ok(()) => redis.push(Secret::new(found.value)),
                Err(Complaint { problem, remedy }) => section.fault(&found.span, "redis", problem, remedy),
            }
        }
    }
    let encrypted = redis.iter().filter(|url| url.expose().starts_with("rediss:")).count();
    if encrypted != 0 && encrypted != redis.len() {
        section.conflict("redis", "mixes redis:// and rediss://", "write rediss:// for all nodes, or for none");
    }
    let ca = queue_ca(reader, &section, environment);
    if ca.is_some() && encrypted == 0 {
        section.conflict("ca_file", "has no use without TLS", "write rediss:// in queue.redis, or remove it");
    }
    let prefix = section.parsed("prefix", "write 1 to 64 of a-z, 0-9, '-', '_', ':'", parse_prefix);
    let prefix = prefix.map_or_else(|| "s3gateway".to_owned(), |found| found.value);
    let shards = number(&section, "shards", 64, 1, 4096);
    section.finish();
    QueueSettings { redis, ca, prefix, shards }
}

/// As [`check_metadata_url`].
fn check_redis_url(url: &str) -> Result<(), Complaint> {
    let remedy = "write redis://HOST:PORT, or rediss://HOST:PORT for TLS";
    let parsed = Url::parse(url).ok().filter(|u| matches!(u.scheme(), "redis" | "rediss") && u.has_host());
    let parsed = parsed.ok_or_else(|| Complaint::new("holds what is no Redis URL", remedy))?;
    if parsed.fragment().is_some() {
        let remedy =
            "remove the # and the rest: certificates are always verified, by the system's CAs or queue.ca_file";
        return Err(Complaint::new("holds a Redis URL with a #", remedy));
    }
    match parsed.path().trim_start_matches('/') {
        "" => Ok(()),
        database if database.bytes().all(|b| b.is_ascii_digit()) => Ok(()),
        _ => Err(Complaint::new("holds a Redis URL whose path is no database number", remedy)),
    }
}

fn queue_ca(reader: &Reader<'_>, section: &Section<'_, '_>, environment: &Environment) -> Option<Vec<u8>> {
    let remedy = "name a PEM file with the certificate of the CA that signed Redis's";
    let in_file = section.path("ca_file");
    let fault = |path: &Path, problem: String| format!("{} {problem}", path.display());
    if let Some(path) = environment.get("S3GATEWAY_REDIS_CA_FILE").map(Path::new) {
        return read_ca(path)
            .map_err(|problem| reader.push(environment_fault("S3GATEWAY_REDIS_CA_FILE", fault(path, problem), remedy)))
            .ok();
    }
    let found = in_file?;
    read_ca(&found.value)
        .map_err(|problem| section.fault(&found.span, "ca_file", fault(&found.value, problem), remedy))
        .ok()
}

/// A file of certificates in PEM; whether each one is sound is seen when it is used.
fn read_ca(path: &Path) -> Result<Vec<u8>, String> {
    let pem = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
    let mark = b"-----BEGIN CERTIFICATE-----";
    if pem.windows(mark.len()).any(|part| part == mark) { Ok(pem) } else { Err("holds no certificate in PEM".into()) }
}

/// Braces would break the hash tags that keep a shard's keys together.
fn parse_prefix(text: &str) -> Result<String, &'static str> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b':');
    if (1..=64).contains(&text.len()) && text.bytes().all(allowed) { Ok(text.into()) } else { Err("not a key prefix") }
}

pub(super) fn secrets(section: Section<'_, '_>, environment: &Environment) -> Option<SecretsSettings> {
    let in_file = section.path("master_key_file");
    let from = match (environment.get("S3GATEWAY_MASTER_KEY"), environment.get("S3GATEWAY_MASTER_KEY_FILE"), in_file) {
        (Some(key), _, _) if are_keys(key) => Some(SecretsSettings::Hex(Secret::new(key.to_owned()))),
        (Some(_), _, _) => {
            let fault = environment_fault(
                "S3GATEWAY_MASTER_KEY",
                "is no key",
                "give 64 hexadecimal digits (openssl rand -hex 32)",
            );
            section.push(fault);
            None
        }
        (None, Some(path), _) => Some(SecretsSettings::File(path.into())),
        (None, None, Some(found)) => {
            if let Err(problem) = check_key_file(&found.value) {
                let problem = format!("{} {problem}", found.value.display());
                section.fault(&found.span, "master_key_file", problem, "openssl rand -hex 32 > FILE; chmod 600 FILE");
            }
            Some(SecretsSettings::File(found.value))
        }
        (None, None, None) => {
            section.missing(
                "master_key_file",
                "name a file made with `openssl rand -hex 32`, or set S3GATEWAY_MASTER_KEY",
            );
            None
        }
    };
    section.finish();
    from
}

/// One or several keys of 64 hexadecimal digits, parted by white space: the one in use, then former ones.
fn are_keys(text: &str) -> bool {
    let is_key = |key: &str| key.len() == 64 && key.bytes().all(|b| b.is_ascii_hexdigit());
    !text.trim().is_empty() && text.split_whitespace().all(is_key)
}

/// Keys that nobody but this process's user can read.
fn check_key_file(path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    let metadata = std::fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    if !are_keys(&text) {
        return Err("holds no key of 64 hexadecimal digits".into());
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
    if mode & 0o077 == 0 { Ok(()) } else { Err(format!("can be read by others (mode {:o})", mode & 0o777)) }
}
