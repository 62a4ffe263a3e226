//! How a worker reaches its backends: over the network, or in a simulation through what stands in for it.
use crate::egress::http_client;
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use ipnet::IpNet;

/// The way to the backends.
#[derive(Clone, Debug, Default)]
pub enum Transport {
    /// Connections that the worker makes itself, by the clock of the machine.
    #[default]
    Network,
    /// All requests go to one HTTP client, which may be anything, and are timed by one clock.
    Simulated {
        /// Gets the requests as they would go over the network.
        http: SharedHttpClient,
        /// For signatures, and for noticing a stalled stream.
        time: SharedTimeSource,
    },
}

impl Transport {
    /// What a client for `endpoint` is made with.
    pub(crate) fn reach(&self, endpoint: &str, allow: &[IpNet]) -> (SharedHttpClient, SharedTimeSource) {
        match self {
            Self::Network => (http_client(endpoint, allow), SharedTimeSource::default()),
            Self::Simulated { http, time } => (http.clone(), time.clone()),
        }
    }
}
