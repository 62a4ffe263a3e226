//! What stands between a listener and Pingora's HTTP: tells HTTP/1.1 from HTTP/2, and gives up on a client that does not
//! get to the end of a head in time.
//! Source: RFC 9113 3.3 (HTTP/2 by prior knowledge) and 3.4 (the client's preface).
mod head_clock;
mod rewound;

pub(crate) use head_clock::{head_is_awaited, head_is_read};

use async_trait::async_trait;
use head_clock::HeadClock;
use pingora_core::{
    apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp},
    protocols::{
        ALPN, Stream,
        http::{
            ServerSession,
            v2::server::{H2Options, default_h2_options},
        },
        l4,
    },
    server::ShutdownWatch,
};
use rewound::Rewound;
use std::{sync::Arc, time::Duration};
use tokio::{io::AsyncReadExt, time::timeout};

/// What a client sends first where it speaks HTTP/2.
const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes of one request's body that may be on their way unread: a stream's throughput is this in each round trip.
const STREAM_WINDOW: u32 = 1 << 20;
/// The same for all requests of a connection, and so the most of it that is held for one client.
const CONNECTION_WINDOW: u32 = 2 << 20;
/// Bytes of one answer that are kept for a client that does not take them.
const SEND_BUFFER: usize = 128 << 10;

/// Serves the connections of all listeners.
pub(crate) struct Front<P> {
    http1: Arc<Spoken<P>>,
    http2: Arc<Spoken<P>>,
    /// Within this a client must have sent the head of its request.
    head_limit: Duration,
    /// Turns true once no new requests are wanted. Pingora's own comes only when those in flight are done.
    stopping: ShutdownWatch,
}

impl<P: HttpServerApp + Send + Sync + 'static> Front<P> {
    /// `keepalive`: how long a connection may be without a request.
    pub(crate) fn new(proxy: P, head_limit: Duration, keepalive: Duration, stopping: ShutdownWatch) -> Self {
        let proxy = Arc::new(proxy);
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        options.h2_idle_timeout = Some(keepalive);
        let spoken = |options| Arc::new(Spoken { proxy: proxy.clone(), options });
        Self { http1: spoken(HttpServerOptions::default()), http2: spoken(options), head_limit, stopping }
    }
}

#[async_trait]
impl<P: HttpServerApp + Send + Sync + 'static> ServerApp for Front<P> {
    async fn process_new(self: &Arc<Self>, stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let (stream, speaks_http2) = timeout(self.head_limit, tell(stream)).await.ok()??;
        if speaks_http2 {
            return self.http2.process_new(stream, &self.stopping).await;
        }
        HeadClock::new(self.head_limit).watch(self.http1.process_new(stream, shutdown)).await?
    }

    async fn cleanup(&self) {
        self.http1.proxy.http_cleanup().await;
    }
}

/// Whether it is HTTP/2 that the client speaks; `None` where it has gone. TLS has settled that already, but a client that
/// then does not even send its preface is waited for here, where there is a limit.
async fn tell(mut stream: Stream) -> Option<(Stream, bool)> {
    let over_tls = stream.get_ssl_digest().is_some();
    if over_tls && !matches!(stream.selected_alpn_proto(), Some(ALPN::H2)) {
        return Some((stream, false));
    }
    let mut first = [0; PREFACE.len()];
    let mut filled = 0;
    while let Some(room @ [_, ..]) = first.get_mut(filled..) {
        let n = stream.read(room).await.ok().filter(|n| *n > 0)?;
        filled += n;
        if first.get(..filled) != PREFACE.get(..filled) {
            break;
        }
    }
    let read = first.get(..filled).unwrap_or_default();
    if over_tls {
        return Some((Box::new(Rewound::new(stream, read)), true));
    }
    let mut stream = stream.into_any().downcast::<l4::stream::Stream>().ok()?;
    stream.rewind(read);
    Some((stream, read == PREFACE))
}

/// One version of HTTP before the one proxy: Pingora asks for a connection's options without saying what it speaks.
struct Spoken<P> {
    proxy: Arc<P>,
    options: HttpServerOptions,
}

#[async_trait]
impl<P: HttpServerApp + Send + Sync + 'static> HttpServerApp for Spoken<P> {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        self.proxy.process_new_http(session, shutdown).await
    }

    /// Pingora's own limits on heads and streams, with windows that fit uploads over long distances.
    fn h2_options(&self) -> Option<H2Options> {
        let mut options = default_h2_options();
        options.initial_window_size(STREAM_WINDOW);
        options.initial_connection_window_size(CONNECTION_WINDOW);
        options.max_send_buffer_size(SEND_BUFFER);
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}
