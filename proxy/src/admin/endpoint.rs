//! Where a backend's endpoint may point when it is added: the guard against making the gateway call its own inside
//! (CWE-918). A name can be moved later, so every look-up asks the same rule again (`upstream::Resolver`).
use super::problem::Problem;
use ipnet::IpNet;
use s3gateway_config::egress::{REMEDY, is_allowed};
use std::{net::IpAddr, time::Duration};
use url::{Host, Url};

const FIELD: &str = "endpoint";
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Checks an endpoint and gives it back as stored: `scheme://host[:port]`.
pub(super) async fn check_endpoint(endpoint: &str, allow: &[IpNet]) -> Result<String, Problem> {
    let url = parse_endpoint(endpoint)?;
    let addresses = resolve(&url).await?;
    if let Some(refused) = addresses.iter().find(|address| !is_allowed(**address, allow)) {
        return Err(Problem::field(FIELD, format!("leads to {refused}, which is no public address; {REMEDY}")));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn parse_endpoint(endpoint: &str) -> Result<Url, Problem> {
    // The URL standard drops these quietly; what is stored should be what was meant.
    if endpoint.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
        return Err(Problem::field(FIELD, "must not hold spaces, backslashes or control characters"));
    }
    let url = Url::parse(endpoint).map_err(|error| Problem::field(FIELD, format!("is no URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Problem::field(FIELD, "must begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Problem::field(FIELD, "must not hold a user or password"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(Problem::field(FIELD, "must be scheme://host[:port] without path, query or fragment"));
    }
    if url.host().is_none() || url.port() == Some(0) {
        return Err(Problem::field(FIELD, "must name a host and a real port"));
    }
    Ok(url)
}

async fn resolve(url: &Url) -> Result<Vec<IpAddr>, Problem> {
    match url.host() {
        Some(Host::Ipv4(address)) => Ok(vec![address.into()]),
        Some(Host::Ipv6(address)) => Ok(vec![address.into()]),
        Some(Host::Domain(name)) => {
            let port = url.port_or_known_default().unwrap_or(443);
            let found = tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((name, port))).await;
            let addresses: Vec<IpAddr> = match found {
                Ok(Ok(addresses)) => addresses.map(|address| address.ip()).collect(),
                Ok(Err(_)) | Err(_) => Vec::new(),
            };
            if addresses.is_empty() {
                Err(Problem::field(FIELD, "names a host that does not resolve"))
            } else {
                Ok(addresses)
            }
        }
        None => Err(Problem::field(FIELD, "must name a host")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(endpoint: &str, allow: &[&str]) -> Result<String, String> {
        let allow: Vec<IpNet> = allow.iter().map(|network| network.parse().unwrap()).collect();
        check_endpoint(endpoint, &allow).await.map_err(|problem| {
            assert_eq!((problem.status.as_u16(), problem.field.as_deref()), (422, Some(FIELD)), "{endpoint}");
            problem.detail.into_owned()
        })
    }

    #[tokio::test]
    async fn ad_05_the_inside_is_refused_however_it_is_written() {
        for endpoint in [
            "http://169.254.169.254/",
            "http://[fd00:ec2::254]/",
            "http://127.0.0.1:9001",
            "http://0/",
            "http://2130706433/",
            "http://[::ffff:127.0.0.1]",
            "http://[::ffff:7f00:1]",
            "http://0x7f.1/",
            "http://0177.0.0.1",
            "http://[::1]",
            "http://[::]",
            "http://10.1.2.3",
            "http://172.16.0.1",
            "http://192.168.1.1",
            "http://100.64.0.1",
            "http://224.0.0.1",
            "http://255.255.255.255",
            "http://[fe80::1]",
            "http://[ff02::1]",
            "http://[64:ff9b::7f00:1]",
            "http://[2002:7f00:1::]",
            "http://[::127.0.0.1]",
            "http://localhost",
            "http://localhost.",
            "http://\u{ff11}27.0.0.1",
            "file:///etc/passwd",
            "gopher://h",
            "ftp://h",
            "http://user:pw@192.0.32.8",
            "http://user@192.0.32.8",
            "http://:pw@192.0.32.8",
            "http://192.0.32.8/path",
            "http://192.0.32.8/?q",
            "http://192.0.32.8/#f",
            "http://192.0.32.8:0",
            "http://",
            "192.0.32.8:80",
            "",
            "http://name.invalid",
            "http://1.1.1.1\u{0}",
            "http://192.0.32.8:99999",
        ] {
            assert!(check(endpoint, &[]).await.is_err(), "{endpoint}");
        }
    }

    #[tokio::test]
    async fn public_and_allowed_endpoints_pass() {
        for (endpoint, allow, want) in [
            ("https://192.0.32.8/", &[][..], "https://192.0.32.8"),
            ("http://192.0.32.8:8080", &[], "http://192.0.32.8:8080"),
            ("http://[2606:4700::1111]:80/", &[], "http://[2606:4700::1111]"),
            ("http://127.0.0.1:9000", &["127.0.0.0/8"], "http://127.0.0.1:9000"),
            ("http://[::ffff:127.0.0.1]:9000", &["127.0.0.0/8"], "http://[::ffff:7f00:1]:9000"),
            ("http://10.20.0.9", &["10.20.0.0/16"], "http://10.20.0.9"),
        ] {
            assert_eq!(check(endpoint, allow).await.as_deref(), Ok(want), "{endpoint}");
        }
        assert!(check("http://10.21.0.9", &["10.20.0.0/16"]).await.is_err(), "only that network");
    }
}
