//! What check-config says: table tests of faults with line, key and remedy, and the example file.
use super::*;

fn environment(pairs: &[(&str, &str)]) -> Environment {
    Environment::of(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
}
const KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn secrets() -> Environment {
    environment(&[("S3GATEWAY_MASTER_KEY", KEY), ("S3GATEWAY_ADMIN_TOKEN", KEY)])
}
/// `line|key|problem or remedy must contain`
fn check(text: &str, env: &Environment, want: &[(Option<usize>, &str, &str)]) {
    let faults = Settings::parse("f.toml", text, env).err().map(|f| f.0).unwrap_or_default();
    let shown = Faults(faults.clone()).to_string();
    assert_eq!(faults.len(), want.len(), "{shown}");
    assert!(!shown.contains("sesame"), "{shown}");
    for (fault, (line, key, says)) in faults.iter().zip(want) {
        assert_eq!((fault.line, fault.key.as_str()), (*line, *key), "{shown}");
        assert!(fault.to_string().contains(says), "{says:?} not in {fault}");
    }
}

#[test]
fn the_example_parses_and_shows_the_defaults() {
    let example = Settings::parse("example", EXAMPLE, &secrets()).unwrap();
    assert!(example.admin.is_some());
    // Every commented-out scalar is the default: with all of them in, nothing changes.
    let shown: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest)
                if rest
                    .split_once(" = ")
                    .is_some_and(|(key, _)| key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')) =>
            {
                rest
            }
            _ => line,
        })
        .filter(|line| {
            // These have no default, or are part of a section that is commented out.
            ![
                "certificate",
                "key",
                "zone",
                "region",
                "country",
                "jurisdiction",
                "provider",
                "certifications",
                "threads",
                "ca_file",
                "allow_networks",
            ]
            .iter()
            .any(|key| line.starts_with(&format!("{key} = ")))
                && *line != "listen = \"0.0.0.0:9443\""
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let with_all = Settings::parse("shown", &shown, &secrets()).unwrap();
    assert_eq!(format!("{example:?}"), format!("{with_all:?}"));
}

#[test]
fn every_fault_is_reported_in_one_run() {
    let text = "\
[metadata]
url = \"mysql://x/y\"
max_conections = 5
[queue]
redis = [\"http://a\", \"redis://ok\"]
shards = 0
[proxy]
listen = [\"9000\"]
signing_regions = [\"us east\"]
[proxy.upstream]
read_timeout = 60
connect_timeout = \"soon\"
write_timeout = \"9h\"
[proxi]
[worker]
concurrency = \"8\"
retry_after = \"10m\"
backfill_rate = 1000001
backlog = 999
[log]
format = \"xml\"
";
    check(
        text,
        &environment(&[]),
        &[
            (Some(1), "secrets.master_key_file", "is missing"),
            (Some(2), "metadata.url", "postgres://"),
            (Some(3), "metadata.max_conections", "did you mean max_connections?"),
            (Some(5), "queue.redis", "redis://"),
            (Some(6), "queue.shards", "write 1 to 4096"),
            (Some(8), "proxy.listen", "IP:PORT"),
            (Some(9), "proxy.signing_regions", "us east"),
            (Some(11), "proxy.upstream.read_timeout", "60 has no unit"),
            (Some(12), "proxy.upstream.connect_timeout", "such as \"3s\""),
            (Some(13), "proxy.upstream.write_timeout", "out of range"),
            (Some(14), "proxi", "did you mean proxy?"),
            (Some(16), "worker.concurrency", "whole number"),
            (Some(17), "worker.retry_after", "retry_at_most"),
            (Some(18), "worker.backfill_rate", "write 0 to 1000000"),
            (Some(19), "worker.backlog", "write 1000 to 10000000"),
            (Some(21), "log.format", "json"),
        ],
    );
}

#[test]
fn syntax_errors_are_all_shown_and_alone() {
    check(
        "[metadata]\nurl = \n[queue]\nprefix = \"a\nshards = 3\n",
        &secrets(),
        &[(Some(2), "", "is not TOML"), (Some(4), "", "is not TOML")],
    );
    check("[metadata]\nurl = \"sqlite://x\"\nurl = \"sqlite://y\"\n", &secrets(), &[(Some(3), "", "duplicate")]);
}

#[test]
fn the_environment_stands_over_the_file_and_is_checked_too() {
    let env = environment(&[
        ("S3GATEWAY_METADATA_URL", "postgres://u:sesame@h/db"),
        ("S3GATEWAY_REDIS_URLS", "redis://a:1, redis://b:2"),
        ("S3GATEWAY_MASTER_KEY", KEY),
        ("S3GATEWAY_LOG_LEVEL", "info,s3gateway_proxy=debug"),
        ("S3GATEWAY_SERVICE_PORT_HTTP", "80"),
    ]);
    let settings = Settings::parse("f", "[metadata]\nurl = \"sqlite://x.db\"\n", &env).unwrap();
    assert_eq!(settings.metadata.url.expose(), "postgres://u:sesame@h/db");
    assert_eq!(settings.queue.redis.len(), 2);
    assert_eq!(settings.log.level, "info,s3gateway_proxy=debug");
    assert!(settings.admin.is_none(), "no section, no admin API");
    assert!(!format!("{settings:?}{env:?}").contains("sesame"), "secrets are not printed");

    let wrong = environment(&[
        ("S3GATEWAY_METADATA_URL", "sesame"),
        ("S3GATEWAY_REDIS_URLS", "redis://a:1,sesame"),
        ("S3GATEWAY_MASTER_KEY", "sesame"),
        ("S3GATEWAY_ADMIN_TOKEN", "sesame"),
        ("S3GATEWAY_LOG_FORMAT", "sesame"),
        ("S3GATEWAY_METDATA_URL", "sesame"),
    ]);
    let faults = Settings::parse("f", "[admin]\n", &wrong).unwrap_err();
    let keys: Vec<_> = faults.0.iter().map(|f| f.key.as_str()).collect();
    assert_eq!(keys.len(), 6, "{faults}");
    assert!(faults.0.iter().all(|f| f.file == "environment" && !f.to_string().contains("sesame")), "{faults}");
    assert!(faults.to_string().contains("did you mean S3GATEWAY_METADATA_URL?"), "{faults}");
}

#[test]
fn networks_for_backends_come_from_one_place() {
    let text = "[metadata]\nurl = \"sqlite:x.db\"\n[backends]\nallow_networks = [\"10.20.0.0/16\", \"fd00:1::/32\"]\n";
    let networks = |environment: &Environment| -> Vec<String> {
        let settings = Settings::parse("f", text, environment).unwrap();
        assert!(settings.admin.is_none(), "they need no admin API");
        settings.backends.allow_networks.iter().map(ToString::to_string).collect()
    };
    assert_eq!(networks(&secrets()), ["10.20.0.0/16", "fd00:1::/32"]);
    let with = |value| environment(&[("S3GATEWAY_MASTER_KEY", KEY), ("S3GATEWAY_ALLOW_NETWORKS", value)]);
    assert_eq!(networks(&with("127.0.0.0/8, ::1/128")), ["127.0.0.0/8", "::1/128"]);
    check(text, &with("127.0.0.0/8,here"), &[(None, "S3GATEWAY_ALLOW_NETWORKS", "\"here\" is no network")]);

    let text = "[metadata]\nurl = \"sqlite:x.db\"\n[backends]\nallow_networks = [\"10.0.0.0\"]\n\
                [admin]\nallow_backend_networks = [\"10.0.0.0/8\"]\n";
    let want = [
        (Some(4), "backends.allow_networks", "ADDRESS/BITS"),
        (Some(6), "admin.allow_backend_networks", "write it as backends.allow_networks"),
    ];
    check(text, &secrets(), &want);
}

#[test]
fn a_place_holds_what_a_policy_can_name() {
    let text = "[metadata]\nurl = \"sqlite:x.db\"\n[proxy.place]\nzone = \"z\"\nregion = \"\"\ncountry = \"FIN\"\n\
                jurisdiction = \"EU\"\nprovider = \"p q\"\ncertifications = [\"c5\", \"iso 27001\"]\n";
    let want = [
        (Some(5), "proxy.place.region", "fi-hel"),
        (Some(6), "proxy.place.country", "two letters"),
        (Some(8), "proxy.place.provider", "letters, digits"),
        (Some(9), "proxy.place.certifications", "iso 27001"),
    ];
    check(text, &secrets(), &want);
}

#[test]
fn files_that_are_named_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "short\n").unwrap();
    let text = format!(
        "[metadata]\nurl = \"sqlite://x.db\"\n[secrets]\nmaster_key_file = \"{0}/none\"\n[admin]\ntoken_file = \"{0}/token\"\n\
         [[proxy.tls]]\nlisten = \"127.0.0.1:1\"\ncertificate = \"{0}\"\n",
        folder.path().display()
    );
    check(
        &text,
        &environment(&[]),
        &[
            (Some(4), "secrets.master_key_file", "openssl rand"),
            (Some(6), "admin.token_file", "no token"),
            (Some(7), "proxy.tls.key", "is missing"),
            (Some(9), "proxy.tls.certificate", "cannot be read"),
        ],
    );
    std::fs::write(&token, format!("{KEY}\n")).unwrap();
    let text = format!("[metadata]\nurl = \"sqlite://x.db\"\n[admin]\ntoken_file = \"{}\"\n", token.display());
    let settings = Settings::parse("f", &text, &environment(&[("S3GATEWAY_MASTER_KEY", KEY)])).unwrap();
    assert_eq!(settings.admin.unwrap().token.expose(), KEY);
}

#[test]
fn a_token_is_what_a_client_can_send() {
    let text = "[metadata]\nurl = \"sqlite:x.db\"\n[admin]\n";
    let with = |token: &str| environment(&[("S3GATEWAY_MASTER_KEY", KEY), ("S3GATEWAY_ADMIN_TOKEN", token)]);
    let settings = Settings::parse("f", text, &with(&format!(" {KEY}\r\n"))).unwrap();
    assert_eq!(settings.admin.unwrap().token.expose(), KEY);
    let short = format!("{}{}", &KEY[..31], " ".repeat(9));
    for token in [short.as_str(), &format!("{KEY} {KEY}"), &format!("{KEY}\u{e4}")] {
        check(text, &with(token), &[(None, "S3GATEWAY_ADMIN_TOKEN", "visible characters")]);
    }
}

#[test]
fn wrong_shapes_are_faults_not_panics() {
    for text in [
        "metadata = 3",
        "[[metadata]]",
        "[proxy]\ntls = 3",
        "[proxy]\ntls = [3]",
        "[proxy]\nlisten = \"x\"",
        "[queue]\nredis = [3]",
    ] {
        let faults = Settings::parse("f", text, &secrets()).unwrap_err();
        assert!(faults.to_string().contains("is of type"), "{text}: {faults}");
    }
}

#[test]
fn a_master_key_that_others_can_read_or_that_is_none_is_a_fault() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master.key");
    let text = format!("[metadata]\nurl = \"sqlite:x.db\"\n[secrets]\nmaster_key_file = \"{}\"\n", path.display());
    let both = format!("{KEY}\n{KEY}\n");
    for (content, mode, says) in [
        (KEY, 0o644, Some("mode 644")),
        ("short", 0o600, Some("64 hexadecimal digits")),
        (KEY, 0o600, None),
        (&both, 0o600, None),
    ] {
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let want: Vec<_> = says.map(|says| (Some(4), "secrets.master_key_file", says)).into_iter().collect();
        check(&text, &environment(&[]), &want);
    }
}

#[test]
fn what_is_wrong_with_tls_is_said_without_the_url() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, none) = (folder.path().join("ca.pem"), folder.path().join("none.pem"));
    std::fs::write(&ca, "-----BEGIN CERTIFICATE-----\n").unwrap();
    std::fs::write(&none, "no PEM\n").unwrap();
    let (ca, none) = (ca.display(), none.display());
    let tls = "redis = [\"rediss://u:sesame@h:6380/0\"]";
    for (queue, want) in [
        (tls.to_owned(), vec![]),
        (format!("{tls}\nca_file = \"{ca}\""), vec![]),
        (format!("{tls}\nca_file = \"{none}\""), vec![(Some(5), "queue.ca_file", "holds no certificate")]),
        (format!("{tls}\nca_file = \"{ca}x\""), vec![(Some(5), "queue.ca_file", "cannot be read")]),
        (format!("redis = [\"redis://h\"]\nca_file = \"{ca}\""), vec![(Some(5), "queue.ca_file", "write rediss://")]),
        ("redis = [\"redis://a\", \"rediss://:sesame@b\"]".into(), vec![(Some(4), "queue.redis", "mixes")]),
        ("redis = [\"rediss://:sesame@h/#insecure\"]".into(), vec![(Some(4), "queue.redis", "always verified")]),
        ("redis = [\"rediss://:sesame@h/zero\"]".into(), vec![(Some(4), "queue.redis", "database number")]),
        ("redis = [\"redis+tls://:sesame@h\"]".into(), vec![(Some(4), "queue.redis", "rediss://HOST:PORT for TLS")]),
    ] {
        check(&format!("[metadata]\nurl = \"sqlite:x.db\"\n[queue]\n{queue}\n"), &secrets(), &want);
    }
    for (query, want) in [
        ("sslmode=verify-full".to_owned(), vec![]),
        (format!("sslmode=verify-ca&sslrootcert={ca}"), vec![]),
        ("sslmode=strict".into(), vec![(Some(2), "metadata.url", "verify-full")]),
        (format!("sslrootcert={none}"), vec![(Some(2), "metadata.url", "holds no certificate")]),
    ] {
        check(&format!("[metadata]\nurl = \"postgres://u:sesame@h/d?{query}\"\n"), &secrets(), &want);
    }
    let of_environment = environment(&[
        ("S3GATEWAY_MASTER_KEY", KEY),
        ("S3GATEWAY_REDIS_URLS", "rediss://:sesame@h/#insecure"),
        ("S3GATEWAY_REDIS_CA_FILE", "/none/ca.pem"),
    ]);
    let faults = Settings::parse("f", "[metadata]\nurl = \"sqlite:x.db\"\n", &of_environment).unwrap_err();
    assert_eq!(faults.0.len(), 2, "{faults}");
    assert!(!faults.to_string().contains("sesame"), "{faults}");
}

proptest::proptest! {
    #[test]
    fn no_text_panics(text in "(\\PC|\n|[=\\[\\]\"'.a-z0-9 ]){0,200}") {
        let _ = Settings::parse("f", &text, &Environment::default());
    }
}
