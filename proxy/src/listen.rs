//! The proxy as a server: its listeners, their certificates, and how it comes to an end.
use crate::{front::Front, gateway::Gateway, service::S3Service, transfer::MAX_ATTEMPTS};
use async_trait::async_trait;
use pingora_core::{
    listeners::tls::TlsSettings,
    server::{RunArgs, Server, ShutdownSignal, ShutdownSignalWatch, configuration::ServerConf},
    services::listening::Service,
    tls::{ServerConfig, install_default_crypto_provider, load_certs_and_key_files},
};
use pingora_proxy::http_proxy;
use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Where the proxy listens.
#[derive(Clone, Debug, Default)]
pub struct Listeners {
    /// Without TLS.
    pub plain: Vec<SocketAddr>,
    /// With TLS: address, certificate chain and key, both PEM.
    pub tls: Vec<(SocketAddr, PathBuf, PathBuf)>,
}

/// Serves until `stop` and for the drain's delay after it, then lets requests in flight finish within the grace. Blocks;
/// call it outside of any runtime.
///
/// # Errors
/// A text where a TLS certificate or key cannot be used.
pub fn serve(gateway: Arc<Gateway>, listeners: Listeners, stop: CancellationToken) -> Result<(), String> {
    let settings = gateway.settings.clone();
    let conf = ServerConf {
        threads: settings.threads,
        upstream_keepalive_pool_size: settings.upstream.pool_size,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(1),
        max_retries: MAX_ATTEMPTS,
        // Nearly every timeout is cancelled: Tokio takes its timer back then, Pingora's own stays until it is due.
        fast_timeout_to_tokio_threshold_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let proxy = http_proxy(&server.configuration, S3Service { gateway: gateway.clone() });
    let (stopping, is_stopping) = watch::channel(false);
    let front = Front::new(proxy, settings.downstream_idle, settings.downstream_keepalive, is_stopping);
    let mut service = Service::new("S3".to_owned(), front);
    for address in &listeners.plain {
        service.add_tcp(&address.to_string());
    }
    for (address, certificate, key) in &listeners.tls {
        let (certificate, key) = (certificate.to_string_lossy(), key.to_string_lossy());
        check_certificate(&certificate, &key)?;
        let mut tls = TlsSettings::intermediate(&certificate, &key).map_err(|e| e.to_string())?;
        tls.enable_h2();
        service.add_tls_with_settings(&address.to_string(), None, tls);
    }
    server.add_service(service);
    let (delay, grace) = (settings.drain_delay, settings.grace);
    server.run(RunArgs { shutdown_signal: Box::new(Drained { gateway, stop, stopping, delay, grace }) });
    Ok(())
}

/// Tries what Pingora will do with the files once it listens, where a fault would be a panic.
fn check_certificate(certificate: &str, key: &str) -> Result<(), String> {
    install_default_crypto_provider();
    let unusable = |why: &str| format!("proxy.tls: certificate {certificate} with key {key} cannot be used: {why}");
    let (chain, private) = load_certs_and_key_files(certificate, key)
        .map_err(|_| unusable("not PEM"))?
        .ok_or_else(|| unusable("a certificate or a private key is not in its file"))?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, private);
    config.map(|_| ()).map_err(|error| unusable(&error.to_string()))
}

/// Tells Pingora to stop once the stop is asked for, the delay is over, and requests in flight are done or the grace is
/// over. During the delay everything is served, on new connections too: whoever spreads requests sees first that
/// readiness says no.
struct Drained {
    gateway: Arc<Gateway>,
    stop: CancellationToken,
    /// Has HTTP/2 clients told that their connections take no more requests.
    stopping: watch::Sender<bool>,
    delay: Duration,
    grace: Duration,
}

#[async_trait]
impl ShutdownSignalWatch for Drained {
    async fn recv(&self) -> ShutdownSignal {
        self.stop.cancelled().await;
        self.gateway.begin_stop();
        tokio::time::sleep(self.delay).await;
        self.stopping.send_replace(true);
        let deadline = Instant::now() + self.grace;
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while self.gateway.metrics.in_flight.get() > 0 && Instant::now() < deadline {
            tick.tick().await;
        }
        let left = self.gateway.metrics.in_flight.get();
        if left > 0 {
            tracing::warn!(left, "drain ran out of time");
        }
        ShutdownSignal::FastShutdown
    }
}
