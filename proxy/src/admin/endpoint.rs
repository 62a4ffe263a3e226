//! Where a backend's endpoint may point: the guard against making the gateway call its own inside (CWE-918).
use super::problem::Problem;
use ipnet::IpNet;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};
use url::{Host, Url};

const FIELD: &str = "endpoint";
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Checks an endpoint and gives it back as stored: `scheme://host[:port]`.
pub(super) async fn check_endpoint(endpoint: &str, allow: &[IpNet]) -> Result<String, Problem> {
    let url = parse_endpoint(endpoint)?;
    let addresses = resolve(&url).await?;
    if let Some(refused) = addresses.iter().find(|address| !is_allowed(**address, allow)) {
        return Err(Problem::field(
            FIELD,
            format!(
                "leads to {refused}, which is no public address; if that is meant, list its network in admin.allow_backend_networks"
            ),
        ));
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

/// Whether the gateway may connect to `address`: it is public, or the operator allowed its network.
pub fn is_allowed(address: IpAddr, allow: &[IpNet]) -> bool {
    let address = unwrap(address);
    is_public(address) || allow.iter().any(|network| network.contains(&address))
}

/// The IPv4 address inside an IPv6 one, where it is only a wrapping: mapped, compatible, NAT64, 6to4.
fn unwrap(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let inner = match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => Some((g, h)),
        (0, 0, 0, 0, 0, 0) if g != 0 => Some((g, h)),
        (0x2002, high, low, ..) => Some((high, low)),
        _ => None,
    };
    inner.map_or(address, |(high, low)| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d).into()
    })
}

/// By the IANA registries of special-purpose addresses.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_documentation()
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19)))
}

/// Only global unicast, 2000::/3, without what is reserved in it for protocols and documentation.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    a & 0xe000 == 0x2000 && !(a == 0x2001 && b < 0x200) && !(a == 0x2001 && b == 0xdb8) && !(a == 0x3fff && b < 0x1000)
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
