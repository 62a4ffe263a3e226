//! Turns the raw document into checked settings: one function a section, each noting all that is wrong in it.
mod stores;

use super::{
    AdminSettings, BackendSettings, BreakerSettings, Environment, Faults, LimitSettings, LogFormat, LogSettings,
    ProxySettings, Settings, TlsListener, UpstreamSettings, ViewSettings, WorkerSettings,
    environment::environment_fault,
    reader::{Found, Reader, Section},
};
use crate::{Place, Secret, attribute::Attribute};
use ipnet::IpNet;
use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::Path,
    time::Duration,
};
use toml::de::DeTable;

/// Shorter tokens could be guessed.
const TOKEN_LEAST: usize = 32;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MILLISECOND: Duration = Duration::from_millis(1);

pub(super) fn check(name: &str, text: &str, environment: &Environment) -> Result<Settings, Faults> {
    let reader = Reader::new(name, text);
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        reader.fault(&span, "", format!("is not TOML: {}", error.message()), "correct the syntax (https://toml.io)");
    }
    let settings = read(&reader, document.get_ref(), environment);
    environment.mistyped().for_each(|fault| reader.push(fault));
    let mut faults = reader.into_faults();
    if !errors.is_empty() {
        // A broken line swallows keys: what is then missing or unknown would only confuse.
        faults.retain(|f| f.problem.starts_with("is not TOML"));
    }
    match settings {
        Some(settings) if faults.is_empty() => Ok(settings),
        _ => Err(Faults(faults)),
    }
}

fn read(reader: &Reader<'_>, document: &DeTable<'_>, environment: &Environment) -> Option<Settings> {
    let root = Section::root(reader, document);
    let metadata = stores::metadata(reader, root.section("metadata"), environment);
    let queue = stores::queue(reader, root.section("queue"), environment);
    let secrets = stores::secrets(root.section("secrets"), environment);
    let backends = backends(reader, root.section("backends"), environment);
    let proxy = proxy(root.section("proxy"));
    let admin = admin(reader, root.section("admin"), environment);
    let worker = worker(root.section("worker"));
    let log = log(reader, root.section("log"), environment);
    root.finish();
    let settings =
        Settings { metadata: metadata?, queue, secrets: secrets?, backends, proxy, admin: admin.ok()?, worker, log };
    Some(settings)
}

fn backends(reader: &Reader<'_>, section: Section<'_, '_>, environment: &Environment) -> BackendSettings {
    const VARIABLE: &str = "S3GATEWAY_ALLOW_NETWORKS";
    let problem = |text: &str| format!("{text:?} is no network");
    let remedy = "write ADDRESS/BITS, such as 10.20.0.0/16";
    let in_file = section.strings("allow_networks").unwrap_or_default();
    let mut allow_networks: Vec<IpNet> = Vec::new();
    if let Some(networks) = environment.get(VARIABLE) {
        for text in networks.split(',').map(str::trim) {
            match text.parse() {
                Ok(network) => allow_networks.push(network),
                Err(_) => reader.push(environment_fault(VARIABLE, problem(text), remedy)),
            }
        }
    } else {
        for Found { value, span } in in_file {
            match value.parse() {
                Ok(network) => allow_networks.push(network),
                Err(_) => section.fault(&span, "allow_networks", problem(&value), remedy),
            }
        }
    }
    section.finish();
    BackendSettings { allow_networks }
}

fn proxy(section: Section<'_, '_>) -> ProxySettings {
    let mut listen: Vec<SocketAddr> = Vec::new();
    let listed = section.strings("listen");
    let tls: Vec<TlsListener> = section.sections("tls").into_iter().filter_map(tls_listener).collect();
    match listed {
        Some(found) => {
            for address in &found {
                match address.value.parse() {
                    Ok(parsed) if listen.contains(&parsed) => {
                        section.fault(&address.span, "listen", "names an address twice", "remove one")
                    }
                    Ok(parsed) => listen.push(parsed),
                    Err(_) => section.fault(
                        &address.span,
                        "listen",
                        format!("{:?} is no address", address.value),
                        "write IP:PORT, such as \"0.0.0.0:9000\"",
                    ),
                }
            }
        }
        // Whoever lists TLS listeners only does not want a plain one besides.
        None if tls.is_empty() => listen.push(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9000))),
        None => {}
    }
    let domains = lower_names(&section, "domains", Vec::new());
    let signing_regions = lower_names(&section, "signing_regions", vec!["us-east-1".into()]);
    let place = place(section.section("place"));
    let upstream = upstream(section.section("upstream"));
    let breaker = breaker(section.section("breaker"));
    let view = view(section.section("view"));
    let limits = limits(section.section("limits"));
    section.finish();
    ProxySettings { listen, tls, domains, signing_regions, place, upstream, breaker, view, limits }
}

fn tls_listener(section: Section<'_, '_>) -> Option<TlsListener> {
    let listen = address(&section, "listen");
    if listen.is_none() && section.string("listen").is_none() {
        section.missing("listen", "write listen = \"0.0.0.0:9443\"");
    }
    let mut files = ["certificate", "key"].map(|key| {
        let found = section.path(key);
        match &found {
            Some(found) => check_readable(&section, key, found, "name a PEM file that this process may read"),
            None => section.missing(key, "name a PEM file"),
        }
        found.map(|found| found.value)
    });
    let (certificate, key) = (files[0].take(), files[1].take());
    section.finish();
    Some(TlsListener { listen: listen?, certificate: certificate?, key: key? })
}

fn place(section: Section<'_, '_>) -> Option<Place> {
    if !section.exists() {
        return None;
    }
    let check = |attribute: Attribute, key: &'static str, found: &Found<String>, example: &str| {
        if let Err(rule) = attribute.check(&found.value) {
            let remedy = format!("write it, such as {example:?}");
            section.fault(&found.span, key, format!("{:?} is not valid: it {rule}", found.value), remedy);
        }
    };
    let part = |attribute: Attribute, key: &'static str, example: &str| {
        let Some(found) = section.string(key) else {
            section.missing(key, format!("write it, such as {example:?}, or remove the whole place"));
            return String::new();
        };
        check(attribute, key, &found, example);
        found.value
    };
    let place = Place {
        zone: part(Attribute::Name, "zone", "fi-hel-1"),
        region: part(Attribute::Name, "region", "fi-hel"),
        country: part(Attribute::Country, "country", "FI"),
        jurisdiction: part(Attribute::Name, "jurisdiction", "EU"),
        provider: part(Attribute::Name, "provider", "upcloud"),
        certifications: {
            let held = section.strings("certifications").unwrap_or_default();
            held.iter().for_each(|found| check(Attribute::Certification, "certifications", found, "iso27001"));
            held.into_iter().map(|found| found.value).collect()
        },
    };
    section.finish();
    Some(place)
}

fn upstream(section: Section<'_, '_>) -> UpstreamSettings {
    let settings = UpstreamSettings {
        connect_timeout: section.duration("connect_timeout", 3 * SECOND, 10 * MILLISECOND, 60 * SECOND),
        read_timeout: section.duration("read_timeout", 60 * SECOND, SECOND, HOUR),
        write_timeout: section.duration("write_timeout", 60 * SECOND, SECOND, HOUR),
        idle_timeout: section.duration("idle_timeout", 50 * SECOND, SECOND, HOUR),
        pool_size: number(&section, "pool_size", 512, 1, 65_536),
        probe_interval: section.duration("probe_interval", 2 * SECOND, 100 * MILLISECOND, HOUR),
    };
    section.finish();
    settings
}

fn breaker(section: Section<'_, '_>) -> BreakerSettings {
    let settings = BreakerSettings {
        failures: number(&section, "failures", 5, 1, 1000),
        open_for: section.duration("open_for", SECOND, 10 * MILLISECOND, HOUR),
        open_at_most: section.duration("open_at_most", 30 * SECOND, 10 * MILLISECOND, HOUR),
    };
    if settings.open_for > settings.open_at_most {
        section.conflict("open_for", "is longer than open_at_most", "shorten it or lengthen open_at_most");
    }
    section.finish();
    settings
}

fn view(section: Section<'_, '_>) -> ViewSettings {
    let settings = ViewSettings {
        lease: section.duration("lease", 60 * SECOND, SECOND, DAY),
        poll_interval: section.duration("poll_interval", 500 * MILLISECOND, 50 * MILLISECOND, 60 * SECOND),
        cache_entries: number(&section, "cache_entries", 100_000, 100, 100_000_000),
    };
    if settings.poll_interval * 2 > settings.lease {
        section.conflict(
            "lease",
            "is shorter than two polls, so one lost poll would stop writes",
            "lengthen it or shorten poll_interval",
        );
    }
    section.finish();
    settings
}

fn limits(section: Section<'_, '_>) -> LimitSettings {
    let threads = section.number("threads", 0, 1, 1024);
    let settings = LimitSettings {
        keepalive: section.duration("keepalive", 75 * SECOND, SECOND, HOUR),
        idle: section.duration("idle", 60 * SECOND, SECOND, HOUR),
        progress: section.duration("progress", 5 * SECOND, SECOND, HOUR),
        drain_delay: section.duration("drain_delay", 5 * SECOND, Duration::ZERO, HOUR),
        grace: section.duration("grace", 30 * SECOND, Duration::ZERO, HOUR),
        threads: NonZeroU32::new(threads),
    };
    section.finish();
    settings
}

fn admin(
    reader: &Reader<'_>,
    section: Section<'_, '_>,
    environment: &Environment,
) -> Result<Option<AdminSettings>, ()> {
    if !section.exists() {
        return Ok(None);
    }
    let listen = address(&section, "listen").unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 9001)));
    let file = section.path("token_file");
    let token = match (environment.get("S3GATEWAY_ADMIN_TOKEN"), file) {
        (Some(text), _) => {
            let token = parse_token(text);
            if token.is_none() {
                let problem = "is no token of 32 or more visible characters";
                reader.push(environment_fault("S3GATEWAY_ADMIN_TOKEN", problem, "make one: openssl rand -hex 32"));
            }
            token
        }
        (None, Some(found)) => token_of_file(&section, &found),
        (None, None) => {
            section.missing("token_file", "name a file made with `openssl rand -hex 32`, or set S3GATEWAY_ADMIN_TOKEN");
            None
        }
    };
    section.finish();
    let token = Secret::new(token.ok_or(())?);
    Ok(Some(AdminSettings { listen, token }))
}

/// White space around it, such as the end of a line, cannot be sent and is none of it.
fn parse_token(text: &str) -> Option<String> {
    let token = text.trim();
    (token.len() >= TOKEN_LEAST && token.bytes().all(|b| b.is_ascii_graphic())).then(|| token.to_owned())
}

fn token_of_file(section: &Section<'_, '_>, file: &Found<std::path::PathBuf>) -> Option<String> {
    match std::fs::read_to_string(&file.value).map(|text| parse_token(&text)) {
        Ok(Some(token)) => Some(token),
        Ok(None) => {
            let problem = format!("{} holds no token of 32 or more visible characters", file.value.display());
            section.fault(&file.span, "token_file", problem, "make one: openssl rand -hex 32 > FILE; chmod 600 FILE");
            None
        }
        Err(error) => {
            let problem = format!("{} cannot be read: {error}", file.value.display());
            section.fault(&file.span, "token_file", problem, "make one: openssl rand -hex 32 > FILE; chmod 600 FILE");
            None
        }
    }
}

fn worker(section: Section<'_, '_>) -> WorkerSettings {
    let listen = address(&section, "listen").unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 9102)));
    let settings = WorkerSettings {
        listen,
        concurrency: number(&section, "concurrency", 128, 1, 1024),
        large_concurrency: number(&section, "large_concurrency", 8, 1, 1024),
        large_object_mib: number(&section, "large_object_mib", 8, 1, 5 * 1024 * 1024),
        backend_concurrency: number(&section, "backend_concurrency", 128, 1, 10_000),
        backend_bandwidth_mib: section.number("backend_bandwidth_mib", 0, 0, 1024 * 1024),
        lease: section.duration("lease", 60 * SECOND, 5 * SECOND, HOUR),
        poll_interval: section.duration("poll_interval", 200 * MILLISECOND, 10 * MILLISECOND, 60 * SECOND),
        max_attempts: number(&section, "max_attempts", 12, 1, 1000),
        retry_after: section.duration("retry_after", 500 * MILLISECOND, 10 * MILLISECOND, HOUR),
        retry_at_most: section.duration("retry_at_most", 60 * SECOND, 10 * MILLISECOND, DAY),
        history: section.duration("history", 7 * DAY, HOUR, 400 * DAY),
        grace: section.duration("grace", 25 * SECOND, Duration::ZERO, HOUR),
        reconcile_interval: section.duration("reconcile_interval", DAY, Duration::ZERO, 3660 * DAY),
        reconcile_rate: section.number("reconcile_rate", 1000, 0, 1_000_000),
        backfill_rate: section.number("backfill_rate", 0, 0, 1_000_000),
        backlog: number(&section, "backlog", 20_000, 1000, 10_000_000),
        delete_guard: section.number("delete_guard", 10, 0, 100),
    };
    if settings.retry_after > settings.retry_at_most {
        section.conflict("retry_after", "is longer than retry_at_most", "shorten it or lengthen retry_at_most");
    }
    section.finish();
    settings
}

fn log(reader: &Reader<'_>, section: Section<'_, '_>, environment: &Environment) -> LogSettings {
    let parse_format = |text: &str| match text {
        "json" => Ok(LogFormat::Json),
        "human" => Ok(LogFormat::Human),
        _ => Err("unknown format"),
    };
    let in_file = section.parsed("format", "write \"json\" or \"human\"", parse_format).map(|f| f.value);
    let format = match environment.get("S3GATEWAY_LOG_FORMAT").map(parse_format) {
        Some(Ok(format)) => format,
        Some(Err(problem)) => {
            reader.push(environment_fault("S3GATEWAY_LOG_FORMAT", problem, "set json or human"));
            LogFormat::Json
        }
        None => in_file.unwrap_or(LogFormat::Json),
    };
    let remedy = "write error, warn, info, debug or trace, or TARGET=LEVEL pairs with commas between";
    let in_file = section.parsed("level", remedy, parse_level).map(|f| f.value);
    let level = match environment.get("S3GATEWAY_LOG_LEVEL").map(parse_level) {
        Some(Ok(level)) => level,
        Some(Err(problem)) => {
            reader.push(environment_fault("S3GATEWAY_LOG_LEVEL", problem, remedy));
            "info".into()
        }
        None => in_file.unwrap_or_else(|| "info".into()),
    };
    section.finish();
    LogSettings { format, level }
}

fn parse_level(text: &str) -> Result<String, &'static str> {
    let is_level = |level: &str| ["off", "error", "warn", "info", "debug", "trace"].contains(&level);
    let is_target = |target: &str| {
        !target.is_empty() && target.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':'))
    };
    let ok = text.split(',').all(|directive| match directive.split_once('=') {
        Some((target, level)) => is_target(target) && is_level(level),
        None => is_level(directive),
    });
    if ok { Ok(text.into()) } else { Err("unknown level") }
}

fn number(section: &Section<'_, '_>, key: &'static str, default: u32, least: u32, most: u32) -> NonZeroU32 {
    NonZeroU32::new(section.number(key, default, least, most)).unwrap_or(NonZeroU32::MIN)
}

fn address(section: &Section<'_, '_>, key: &'static str) -> Option<SocketAddr> {
    section.parsed(key, "write IP:PORT, such as \"127.0.0.1:9001\"", str::parse::<SocketAddr>).map(|found| found.value)
}

/// Host names or regions: lower-case letters, digits, dots and dashes, none twice.
fn lower_names(section: &Section<'_, '_>, key: &'static str, default: Vec<String>) -> Vec<String> {
    let Some(found) = section.strings(key) else { return default };
    let mut names: Vec<String> = Vec::new();
    for Found { value, span } in found {
        let name = value.to_ascii_lowercase();
        let ok = (1..=253).contains(&name.len())
            && name.split('.').all(|label| !label.is_empty() && !label.starts_with('-') && !label.ends_with('-'))
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-'));
        if !ok {
            section.fault(
                &span,
                key,
                format!("{value:?} is not valid"),
                "write letters, digits, dots and dashes, no port",
            );
        } else if names.contains(&name) {
            section.fault(&span, key, format!("{value:?} is there twice"), "remove one");
        } else {
            names.push(name);
        }
    }
    if names.is_empty() { default } else { names }
}

fn check_readable(section: &Section<'_, '_>, key: &str, file: &Found<std::path::PathBuf>, remedy: &str) {
    let problem = |error: std::io::Error| format!("{} cannot be read: {error}", file.value.display());
    if let Err(error) = open(&file.value) {
        section.fault(&file.span, key, problem(error), remedy);
    }
}

fn open(path: &Path) -> std::io::Result<()> {
    let file = std::fs::File::open(path)?;
    if file.metadata()?.is_file() { Ok(()) } else { Err(std::io::Error::other("not a file")) }
}
