//! The least that a client must send: one that drips keeps every timeout between two pieces, and a connection at a backend.
use std::time::{Duration, Instant};

/// Bytes a second, on average over each window. A body that comes in pieces of Pingora's 64 KiB keeps it with one a minute.
const LEAST_RATE: u64 = 1 << 10;

/// How a body has come since the window began.
pub(crate) struct Pace {
    since: Instant,
    bytes: u64,
}

impl Pace {
    /// From now on.
    pub(crate) fn new(now: Instant) -> Self {
        Self { since: now, bytes: 0 }
    }

    /// Takes a piece in. Whether the client is fast enough; asked again only when the next window is over.
    pub(crate) fn keeps_up(&mut self, piece: usize, window: Duration, now: Instant) -> bool {
        self.bytes += piece as u64;
        if now.saturating_duration_since(self.since) < window {
            return true;
        }
        let enough = self.bytes >= LEAST_RATE * window.as_secs();
        *self = Self::new(now);
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn sends(pieces: &[(u64, usize)]) -> bool {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pieces.iter().all(|(second, piece)| pace.keeps_up(*piece, WINDOW, start + Duration::from_secs(*second)))
    }

    #[test]
    fn each_window_counts_alone() {
        assert!(sends(&[(1, 1), (9, 1)]), "no window is over");
        assert!(!sends(&[(1, 1), (9, 1), (10, 1)]));
        assert!(sends(&[(1, 10 << 10), (10, 1), (19, 10 << 10), (20, 1)]));
        assert!(!sends(&[(1, 1 << 20), (10, 1), (20, 1)]), "what came before is no credit");
    }
}
