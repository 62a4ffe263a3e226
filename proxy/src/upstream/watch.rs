//! Watches streamed requests at backends for what Pingora does not see: a head that never comes to its end, each byte in
//! time, and an answer that comes while the backend takes no more of the body, which Pingora would go on writing.
//! One look at all of them now and then, so that a request costs an entry in a table and no timer.
use nix::sys::socket::{MsgFlags, Shutdown, recv, shutdown};
use parking_lot::Mutex;
use pingora_core::protocols::{Digest, l4::socket::SocketAddr};
use std::{
    collections::HashMap,
    os::fd::RawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// How often all attempts are looked at.
pub(crate) const INTERVAL: Duration = Duration::from_millis(250);

/// All attempts of a process.
pub(crate) struct Watch {
    started: Instant,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u64,
    attempts: HashMap<u64, Entry>,
}

struct Entry {
    attempt: Arc<Attempt>,
    /// Pieces of the body at the last look.
    seen: u64,
    /// Looks in which pieces had come on.
    moved: u32,
    /// An answer lay unread at the last look; Pingora reads one at once unless it is held up by its writing.
    answered: bool,
}

/// One request at a backend, until its head is there.
struct Attempt {
    connection: Connection,
    /// Milliseconds after the watch's start at which the head is overdue; [`NOT_YET`] while the body is on its way.
    due: AtomicU64,
    pieces: AtomicU64,
    is_cut: AtomicBool,
}

const NOT_YET: u64 = u64::MAX;

/// An attempt's place in the table, which it leaves when this goes.
pub(crate) struct Watched {
    watch: Arc<Watch>,
    number: u64,
    attempt: Arc<Attempt>,
}

impl Watch {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { started: Instant::now(), table: Mutex::default() })
    }

    /// Begins to watch a connection on which a body is about to be sent.
    pub(crate) fn begin(self: &Arc<Self>, fd: RawFd, digest: Option<&Digest>) -> Option<Watched> {
        let connection = Connection::new(fd, digest?)?;
        let (due, pieces, is_cut) = (AtomicU64::new(NOT_YET), AtomicU64::new(0), AtomicBool::new(false));
        let attempt = Arc::new(Attempt { connection, due, pieces, is_cut });
        let mut table = self.table.lock();
        let number = table.next;
        table.next += 1;
        table.attempts.insert(number, Entry { attempt: attempt.clone(), seen: 0, moved: 0, answered: false });
        Some(Watched { watch: self.clone(), number, attempt })
    }

    fn after(&self, duration: Duration) -> u64 {
        u64::try_from((self.started.elapsed() + duration).as_millis()).unwrap_or(NOT_YET - 1)
    }

    /// Looks at all attempts, and cuts off what must not go on.
    pub(crate) fn look(&self) {
        let now = self.after(Duration::ZERO);
        for entry in self.table.lock().attempts.values_mut() {
            let attempt = &entry.attempt;
            if attempt.due.load(Ordering::Relaxed) <= now {
                if !attempt.is_cut.swap(true, Ordering::Relaxed) {
                    attempt.connection.end(Shutdown::Both);
                }
                continue;
            }
            let pieces = attempt.pieces.load(Ordering::Relaxed);
            let stands_still = pieces == entry.seen;
            entry.seen = pieces;
            entry.moved += u32::from(!stands_still);
            let answered = stands_still && attempt.connection.holds_an_answer(entry.moved);
            if answered && entry.answered {
                // Pingora's write fails, and it turns to what there is to read.
                attempt.connection.end(Shutdown::Write);
            }
            entry.answered = answered;
        }
    }
}

impl Watched {
    /// A piece of the body goes its way.
    pub(crate) fn passes(&self) {
        self.attempt.pieces.fetch_add(1, Ordering::Relaxed);
    }

    /// The whole request is on its way: from here on it is the backend's turn.
    pub(crate) fn expects_head(&self, within: Duration) {
        self.attempt.due.store(self.watch.after(within), Ordering::Relaxed);
    }

    /// Whether the connection ended because the watch has ended it.
    pub(crate) fn was_cut(&self) -> bool {
        self.attempt.is_cut.load(Ordering::Relaxed)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watch.table.lock().attempts.remove(&self.number);
    }
}

/// A connection of Pingora's, which owns it. Where an exchange breaks, it is closed a moment before the watch hears of that:
/// so nothing is done to it unless it is still the one that it was by its own address.
struct Connection {
    fd: RawFd,
    local: SocketAddr,
    is_plain: bool,
}

/// Looks in which a body came on before a standstill over TLS means something: until then what waits to be read may be a
/// session ticket.
const SETTLED: u32 = 4;

impl Connection {
    fn new(fd: RawFd, digest: &Digest) -> Option<Self> {
        let local = digest.socket_digest.as_ref()?.local_addr()?.clone();
        Some(Self { fd, local, is_plain: digest.ssl_digest.is_none() })
    }

    fn is_still_there(&self) -> bool {
        SocketAddr::from_raw_fd(self.fd, false).as_ref() == Some(&self.local)
    }

    /// Whether bytes wait to be read that are more than an informational answer.
    fn holds_an_answer(&self, moved: u32) -> bool {
        let mut first = [0; 10];
        let peek = || recv(self.fd, &mut first, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT);
        match (self.is_still_there()).then(peek) {
            Some(Ok(n)) if n > 0 && self.is_plain => !first.starts_with(b"HTTP/1.1 1"),
            Some(Ok(n)) => n > 0 && moved >= SETTLED,
            _ => false,
        }
    }

    fn end(&self, how: Shutdown) {
        if self.is_still_there() {
            // An error says that it has ended already.
            let _ = shutdown(self.fd, how);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pingora_core::protocols::SocketDigest;
    use std::{
        io::{ErrorKind, Read, Write},
        net::{TcpListener, TcpStream},
        os::fd::AsRawFd,
    };

    fn pair() -> (TcpStream, TcpStream, Digest) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (theirs, _) = listener.accept().unwrap();
        let socket_digest = Some(Arc::new(SocketDigest::from_raw_fd(ours.as_raw_fd())));
        (ours, theirs, Digest { socket_digest, ..Digest::default() })
    }

    #[test]
    fn a_head_that_is_overdue_ends_the_connection() {
        let (mut ours, _theirs, digest) = pair();
        let watch = Watch::new();
        let watched = watch.begin(ours.as_raw_fd(), Some(&digest)).unwrap();
        watched.expects_head(Duration::from_secs(60));
        watch.look();
        assert!(!watched.was_cut());
        watched.expects_head(Duration::ZERO);
        watch.look();
        assert!(watched.was_cut());
        assert_eq!(ours.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn an_answer_to_a_body_that_stands_still_ends_the_writing_alone() {
        let (mut ours, mut theirs, digest) = pair();
        let watch = Watch::new();
        let watched = watch.begin(ours.as_raw_fd(), Some(&digest)).unwrap();
        watch.look();
        ours.write_all(b"body").unwrap();
        theirs.write_all(b"HTTP/1.1 503 Slow Down\r\n\r\n").unwrap();
        ours.peek(&mut [0]).unwrap();
        watched.passes();
        watch.look();
        ours.write_all(b"it moves").unwrap();
        watch.look();
        ours.write_all(b"it may be about to be read").unwrap();
        watch.look();
        assert_eq!(ours.write(b"more").unwrap_err().kind(), ErrorKind::BrokenPipe);
        let mut answer = [0; 12];
        ours.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 503");
        assert!(!watched.was_cut());
    }

    #[test]
    fn what_is_no_answer_changes_nothing() {
        let (mut ours, mut theirs, digest) = pair();
        let watch = Watch::new();
        let _watched = watch.begin(ours.as_raw_fd(), Some(&digest)).unwrap();
        theirs.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        ours.peek(&mut [0]).unwrap();
        for _ in 0..3 {
            watch.look();
        }
        ours.write_all(b"body").unwrap();
    }

    #[test]
    fn another_connection_under_the_same_number_is_left_alone() {
        let (mut ours, _theirs, _) = pair();
        let watch = Watch::new();
        let (_other, _kept, other) = pair();
        other.socket_digest.as_ref().unwrap().local_addr();
        let watched = watch.begin(ours.as_raw_fd(), Some(&other)).unwrap();
        watched.expects_head(Duration::ZERO);
        watch.look();
        ours.write_all(b"body").unwrap();
    }

    #[test]
    fn an_attempt_leaves_the_table_when_it_ends() {
        let (ours, _theirs, digest) = pair();
        let watch = Watch::new();
        drop(watch.begin(ours.as_raw_fd(), Some(&digest)));
        assert!(watch.table.lock().attempts.is_empty());
    }
}
