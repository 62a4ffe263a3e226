//! Idle connections to one backend. The one that came back last goes out first, so that the surplus of a burst grows old
//! and is closed. Unlike Pingora's pool it has no task that watches each connection, which a warm read would pay for twice.
use futures::FutureExt;
use parking_lot::Mutex;
use pingora_core::protocols::Stream;
use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::io::AsyncReadExt;

/// Connections that wait for their next request, in the order in which they came back.
pub(super) struct Pool {
    idle: Mutex<VecDeque<Idle>>,
    most: usize,
    timeout: Duration,
}

struct Idle {
    stream: Stream,
    address: SocketAddr,
    since: Instant,
}

impl Pool {
    /// An empty pool that keeps `most` connections, each for `timeout`.
    pub(super) fn new(most: usize, timeout: Duration) -> Self {
        Self { idle: Mutex::default(), most, timeout }
    }

    /// A connection to that address, of which the backend is not known to have closed it.
    pub(super) fn take(&self, address: SocketAddr) -> Option<Stream> {
        loop {
            let mut idle = {
                let mut all = self.idle.lock();
                let at = all.iter().rposition(|idle| idle.address == address)?;
                all.remove(at)?
            };
            if self.is_usable(&mut idle) {
                return Some(idle.stream);
            }
        }
    }

    /// Takes back a connection whose last answer was read to its end.
    pub(super) fn put(&self, stream: Stream, address: SocketAddr) {
        let mut all = self.idle.lock();
        all.push_back(Idle { stream, address, since: Instant::now() });
        let surplus = if all.len() > self.most { all.pop_front() } else { None };
        drop(all);
        drop(surplus);
    }

    /// Closes what has waited for too long, or was closed by the backend; called now and then.
    pub(super) fn sweep(&self) {
        self.idle.lock().retain_mut(|idle| self.is_usable(idle));
    }

    fn is_usable(&self, idle: &mut Idle) -> bool {
        idle.since.elapsed() < self.timeout && is_quiet(&mut idle.stream)
    }
}

/// A backend has nothing to say before it is asked: bytes here, or an end, are the end of this connection.
fn is_quiet(stream: &mut Stream) -> bool {
    stream.read(&mut [0; 1]).now_or_never().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pingora_core::connectors::TransportConnector;
    use pingora_core::upstreams::peer::HttpPeer;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    const LONG: Duration = Duration::from_secs(60);

    async fn connected(listener: &TcpListener) -> (Stream, TcpStream, SocketAddr) {
        let address = listener.local_addr().expect("an address");
        let stream = TransportConnector::new(None).new_stream(&HttpPeer::new(address, false, String::new())).await;
        let (accepted, _) = listener.accept().await.expect("a connection");
        (stream.expect("a stream"), accepted, address)
    }

    async fn listener() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").await.expect("a port")
    }

    #[tokio::test]
    async fn the_connection_that_came_back_last_goes_out_first_and_the_oldest_is_the_surplus() {
        let listener = listener().await;
        let pool = Pool::new(2, LONG);
        let mut ids = Vec::new();
        let mut held = Vec::new();
        for _ in 0..3 {
            let (stream, accepted, address) = connected(&listener).await;
            ids.push(stream.id());
            held.push(accepted);
            pool.put(stream, address);
        }
        let address = listener.local_addr().expect("an address");
        let elsewhere = SocketAddr::new(address.ip(), 1);
        assert!(pool.take(elsewhere).is_none());
        let first = pool.take(address).expect("the newest");
        let second = pool.take(address).expect("the one before");
        assert_eq!(vec![second.id(), first.id()], ids.split_off(1));
        assert!(pool.take(address).is_none());
    }

    #[tokio::test]
    async fn what_the_backend_closed_or_spoke_on_unasked_is_not_used() {
        let listener = listener().await;
        for is_closed in [true, false] {
            let pool = Pool::new(8, LONG);
            let (mut stream, mut accepted, address) = connected(&listener).await;
            if is_closed {
                drop(accepted);
            } else {
                accepted.write_all(b"HTTP/1.1 408 Request Timeout\r\n").await.expect("written");
            }
            // Until the end or the bytes have arrived.
            let _ = stream.read(&mut [0; 1]).await.expect("readable");
            pool.put(stream, address);
            assert!(pool.take(address).is_none(), "closed: {is_closed}");
        }
    }

    #[tokio::test]
    async fn a_sweep_closes_what_waited_too_long_and_leaves_the_rest() {
        let listener = listener().await;
        for (timeout, left) in [(Duration::ZERO, 0), (LONG, 1)] {
            let pool = Pool::new(8, timeout);
            let (stream, _accepted, address) = connected(&listener).await;
            pool.put(stream, address);
            pool.sweep();
            assert_eq!(pool.idle.lock().len(), left);
        }
    }
}
