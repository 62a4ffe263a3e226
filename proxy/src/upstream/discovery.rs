//! Finds the addresses behind a backend's host name, for Pingora's load balancing.
//! Invariant: an address that the gateway may not connect to never gets out of here, whatever a name comes to mean later.
use async_trait::async_trait;
use ipnet::IpNet;
use pingora_core::{Error, ErrorType, Result};
use pingora_load_balancing::{Backend, discovery::ServiceDiscovery};
use s3gateway_config::egress::{REMEDY, is_allowed};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// A resolver that takes longer would hold up the probes of all other backends and the change feed.
const LOOKUP: Duration = Duration::from_secs(5);

/// Asks the resolver for `host:port` each time it is polled, so that a moved backend is followed.
pub struct Resolver {
    /// `host:port`; an IP literal resolves to itself.
    pub authority: String,
    /// Networks that are no public ones and yet allowed.
    pub allow: Vec<IpNet>,
}

#[async_trait]
impl ServiceDiscovery for Resolver {
    /// The allowed addresses. Where there are none the ones from before stay in use, since an error changes nothing.
    async fn discover(&self) -> Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let found = tokio::time::timeout(LOOKUP, tokio::net::lookup_host(&self.authority))
            .await
            .map_err(|e| Error::because(ErrorType::ConnectTimedout, "resolving a backend", e))?
            .map_err(|e| Error::because(ErrorType::ConnectNoRoute, "resolving a backend", e))?;
        let (allowed, refused): (Vec<_>, Vec<_>) = found.partition(|address| is_allowed(address.ip(), &self.allow));
        if !refused.is_empty() {
            tracing::warn!(host = self.authority, ?refused, "a backend's addresses are not public: {REMEDY}");
        }
        if allowed.is_empty() {
            return Error::e_explain(ErrorType::ConnectNoRoute, "a backend's name leads to no allowed address");
        }
        let addresses = allowed.iter().filter_map(|address| Backend::new(&address.to_string()).ok()).collect();
        Ok((addresses, HashMap::new()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn discover(authority: &str, allow: &[&str]) -> Option<Vec<String>> {
        let allow = allow.iter().map(|network| network.parse().expect(network)).collect();
        let found = Resolver { authority: authority.to_owned(), allow }.discover().await.ok()?;
        Some(found.0.iter().map(|backend| backend.addr.to_string()).collect())
    }

    #[tokio::test]
    async fn be_07_each_look_up_leaves_out_what_is_not_allowed() {
        let local = &["127.0.0.0/8", "::1/128"];
        for (authority, allow, want) in [
            ("127.0.0.1:9", &[][..], None),
            ("127.0.0.1:9", local, Some("127.0.0.1:9")),
            ("[::ffff:169.254.169.254]:80", &[], None),
            ("1.1.1.1:443", &[], Some("1.1.1.1:443")),
            ("[::1]:9", &["127.0.0.0/8"], None),
        ] {
            let want = want.map(|address| vec![address.to_owned()]);
            assert_eq!(discover(authority, allow).await, want, "{authority}");
        }
        assert_eq!(discover("localhost:9", &[]).await, None);
        let found = discover("localhost:9", local).await.expect("the machine's own name");
        assert!(!found.is_empty());
    }
}
