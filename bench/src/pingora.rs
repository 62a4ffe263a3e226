//! The peer that shows what Pingora itself costs: a proxy with no filter but the choice of one upstream.
use async_trait::async_trait;
use pingora_core::{
    Result,
    server::{Server, configuration::ServerConf},
    upstreams::peer::HttpPeer,
};
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

struct Bare {
    upstream: (std::net::Ipv4Addr, u16),
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();
    fn new_ctx(&self) {}
    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream, false, String::new())))
    }
}

/// Serves until the process is killed, with the same threads and pool as the gateway.
pub fn serve(port: u16, upstream: u16) {
    let conf = ServerConf { threads: 1, upstream_keepalive_pool_size: 512, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut service =
        http_proxy_service(&server.configuration, Bare { upstream: (std::net::Ipv4Addr::LOCALHOST, upstream) });
    service.add_tcp(&format!("127.0.0.1:{port}"));
    server.add_service(service);
    server.run_forever();
}
