//! PostgreSQL over TLS, as `sslmode` and `sslrootcert` in the URL ask for it.
use super::server::Server;
use crate::metadata::db::Db;
use crate::tls::testing::{Authority, HOST, pick_port};
use sqlx::Row;

#[tokio::test]
async fn sslmode_means_what_postgresql_says() {
    let port = pick_port();
    let mut ca = None;
    let server = Server::start_with(port, |folder| {
        let authority = Authority::make_in(folder);
        ca = Some(authority.ca());
        format!(
            "listen_addresses = '{HOST}'\nssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\n",
            authority.certificate().display(),
            authority.key().display()
        )
    });
    let Some(_server) = server else {
        eprintln!("skipped: no PostgreSQL");
        return;
    };
    let stranger = tempfile::tempdir().unwrap();
    let (own_ca, other_ca) = (ca.unwrap(), Authority::make_in(stranger.path()).ca());
    let (own_ca, other_ca) =
        (format!("&sslrootcert={}", own_ca.display()), format!("&sslrootcert={}", other_ca.display()));
    for (host, mode, ca, want) in [
        (HOST, "disable", "", Some("false")),
        (HOST, "require", "", Some("true")),
        ("localhost", "verify-ca", own_ca.as_str(), Some("true")),
        (HOST, "verify-ca", &other_ca, None),
        (HOST, "verify-full", &own_ca, Some("true")),
        (HOST, "verify-full", "", None),
        (HOST, "verify-full", &other_ca, None),
        ("localhost", "verify-full", &own_ca, None),
    ] {
        let url = format!("postgresql://postgres@{host}:{port}/postgres?sslmode={mode}{ca}");
        let encrypted = async {
            let db = Db::connect(&url, 1).await.ok()?;
            let asked = sqlx::query("select ssl::text as ssl from pg_stat_ssl where pid = pg_backend_pid()");
            let row = asked.fetch_one(db.pool()).await.unwrap();
            Some(row.get::<String, _>("ssl"))
        };
        assert_eq!(encrypted.await.as_deref(), want, "{host} {mode} {ca}");
    }
}
