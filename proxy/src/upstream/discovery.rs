//! Finds the addresses behind a backend's host name, for Pingora's load balancing.
use async_trait::async_trait;
use pingora_core::{Error, ErrorType, Result};
use pingora_load_balancing::{Backend, discovery::ServiceDiscovery};
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// A resolver that takes longer would hold up the probes of all other backends and the change feed.
const LOOKUP: Duration = Duration::from_secs(5);

/// Asks the resolver for `host:port` each time it is polled, so that a moved backend is followed.
pub struct Resolver {
    /// `host:port`; an IP literal resolves to itself.
    pub authority: String,
}

#[async_trait]
impl ServiceDiscovery for Resolver {
    async fn discover(&self) -> Result<(BTreeSet<Backend>, HashMap<u64, bool>)> {
        let found = tokio::time::timeout(LOOKUP, tokio::net::lookup_host(&self.authority))
            .await
            .map_err(|e| Error::because(ErrorType::ConnectTimedout, "resolving a backend", e))?
            .map_err(|e| Error::because(ErrorType::ConnectNoRoute, "resolving a backend", e))?;
        let addresses = found.filter_map(|a| Backend::new(&a.to_string()).ok()).collect();
        Ok((addresses, HashMap::new()))
    }
}
