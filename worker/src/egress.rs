//! The HTTP client below the worker's S3 clients: it connects only to where a backend may be, whatever a name comes to mean
//! later, and through no proxy that the environment names.
use aws_sdk_s3::config::http::HttpRequest;
use aws_smithy_http_client::{Builder, tls};
use aws_smithy_runtime_api::client::dns::{DnsFuture, ResolveDns, ResolveDnsError};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use ipnet::IpNet;
use s3gateway_config::egress::{REMEDY, is_allowed};
use std::net::IpAddr;
use tracing::warn;
use url::{Host, Url};

/// Nothing was connected to.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("leads to {0}, which is no public address; {REMEDY}")]
pub(crate) struct NotAllowed(IpAddr);

/// For requests to `endpoint` only: public addresses, and others in the networks of `allow`.
pub(crate) fn http_client(endpoint: &str, allow: &[IpNet]) -> SharedHttpClient {
    match literal(endpoint).filter(|address| !is_allowed(*address, allow)) {
        // No resolver is asked about a literal.
        Some(address) => http_client_fn(move |_, _| SharedHttpConnector::new(Closed(NotAllowed(address)))),
        None => Builder::new()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc))
            .build_with_resolver(Resolver { allow: allow.to_vec() }),
    }
}

/// The address that stands in place of a name.
fn literal(endpoint: &str) -> Option<IpAddr> {
    match Url::parse(endpoint).ok()?.host()? {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

/// Asks the system's resolver at each connection and passes on what is allowed.
#[derive(Clone, Debug)]
struct Resolver {
    allow: Vec<IpNet>,
}

impl ResolveDns for Resolver {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        DnsFuture::new(async move {
            let found = tokio::net::lookup_host((name, 0)).await.map_err(ResolveDnsError::new)?;
            let is_allowed = |address: &IpAddr| is_allowed(*address, &self.allow);
            let (allowed, refused): (Vec<_>, Vec<_>) = found.map(|address| address.ip()).partition(is_allowed);
            if !refused.is_empty() {
                warn!(host = name, ?refused, "a backend's addresses are not public: {REMEDY}");
            }
            match refused.first() {
                Some(address) if allowed.is_empty() => Err(ResolveDnsError::new(NotAllowed(*address))),
                _ => Ok(allowed),
            }
        })
    }
}

/// Fails as if there were no connection, so that whoever asks tries again later.
#[derive(Debug)]
struct Closed(NotAllowed);

impl HttpConnector for Closed {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        warn!("a backend's endpoint {}", self.0);
        HttpConnectorFuture::ready(Err(ConnectorError::io(self.0.into())))
    }
}
