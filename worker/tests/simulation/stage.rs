//! The stage of one schedule: whatever anybody does to a store or a backend waits here for its turn, and one turn ends before the
//! next begins. So a seed decides the order of all that happens, and the same seed decides it again.
//! Invariant: nothing is drawn, and nothing happens, between two turns that does not follow from those before.
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use s3gateway_store::Metadata;
use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Duration, Instant};

/// Times that all others may go on before the next turn is given: more than any of them needs to come to its next wait.
const BREATHS: usize = 12;

/// What a schedule came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// All that happened, with virtual milliseconds.
    pub trace: Vec<String>,
    /// The promise that was broken.
    pub wrong: Option<String>,
}

/// One schedule's order of events.
pub struct Stage {
    begin: Instant,
    state: Mutex<State>,
    arrived: Notify,
    failed: Notify,
}

struct State {
    rng: StdRng,
    waiting: Vec<Waiting>,
    arrivals: u64,
    trace: Vec<String>,
    /// What is wrong first, and the length of the trace with it.
    wrong: Option<(String, usize)>,
}

struct Waiting {
    due: Instant,
    number: u64,
    grant: oneshot::Sender<Turn>,
}

/// While it lives, nobody else has a turn.
pub struct Turn {
    _end: oneshot::Sender<()>,
}

impl Stage {
    pub fn new(seed: u64) -> Arc<Self> {
        let rng = StdRng::seed_from_u64(seed);
        let state = State { rng, waiting: Vec::new(), arrivals: 0, trace: Vec::new(), wrong: None };
        let (arrived, failed) = (Notify::new(), Notify::new());
        Arc::new(Self { begin: Instant::now(), state: Mutex::new(state), arrived, failed })
    }

    /// Virtual milliseconds since the schedule began.
    pub fn millis(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap()
    }

    pub fn within(&self, range: RangeInclusive<u64>) -> u64 {
        self.state.lock().unwrap().rng.random_range(range)
    }

    /// Whether something of this likelihood happens.
    pub fn happens(&self, per_mille: u32) -> bool {
        per_mille > 0 && self.state.lock().unwrap().rng.random_ratio(per_mille.min(1000), 1000)
    }

    /// Writes down what happened.
    pub fn note(&self, line: &str) {
        let at = self.millis();
        self.state.lock().unwrap().trace.push(format!("{at:>7} {line}"));
    }

    /// Ends the schedule: a promise is broken.
    pub fn fail(&self, wrong: String) {
        self.note(&wrong);
        let mut state = self.state.lock().unwrap();
        let length = state.trace.len();
        state.wrong.get_or_insert((wrong, length));
        self.failed.notify_one();
    }

    /// Ends when anything is wrong; what others did until that was noticed is no part of the schedule.
    pub async fn failure(&self) {
        self.failed.notified().await;
        let mut state = self.state.lock().unwrap();
        let length = state.wrong.as_ref().map(|(_, length)| *length);
        state.trace.truncate(length.unwrap_or(usize::MAX));
    }

    pub fn end(&self) -> Outcome {
        let mut state = self.state.lock().unwrap();
        Outcome { trace: std::mem::take(&mut state.trace), wrong: state.wrong.take().map(|(wrong, _)| wrong) }
    }

    /// Waits so many virtual milliseconds, and then for a turn.
    pub async fn turn(&self, delay: u64) -> Turn {
        let (grant, granted) = oneshot::channel();
        {
            let mut state = self.state.lock().unwrap();
            let (due, number) = (Instant::now() + Duration::from_millis(delay), state.arrivals);
            state.arrivals += 1;
            state.waiting.push(Waiting { due, number, grant });
        }
        self.arrived.notify_one();
        match granted.await {
            Ok(turn) => turn,
            Err(_) => std::future::pending().await,
        }
    }

    /// Gives turns for ever, as a task of its own.
    pub async fn direct(self: Arc<Self>, metadata: Metadata) {
        loop {
            for _ in 0..BREATHS {
                breathe().await;
            }
            await_rest(&metadata).await;
            match self.earliest() {
                None => self.arrived.notified().await,
                Some(due) if due > Instant::now() => tokio::select! {
                    biased;
                    () = self.arrived.notified() => {}
                    () = tokio::time::sleep_until(due) => {}
                },
                Some(_) => self.give().await,
            }
        }
    }

    fn earliest(&self) -> Option<Instant> {
        self.state.lock().unwrap().waiting.iter().map(|one| one.due).min()
    }

    async fn give(&self) {
        let next = {
            let mut state = self.state.lock().unwrap();
            let first = state.waiting.iter().enumerate().min_by_key(|(_, one)| (one.due, one.number)).map(|(n, _)| n);
            first.map(|n| state.waiting.swap_remove(n))
        };
        let Some(next) = next else { return };
        let (end, ended) = oneshot::channel();
        // One that is gone by now has no use for its turn.
        let _ = next.grant.send(Turn { _end: end });
        let _ = ended.await;
    }
}

/// Lets every other task that can go on do so. Tokio's own `yield_now` looks after the timers as well, though no time passes.
async fn breathe() {
    let mut has_yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut has_yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Waits until the last operation has given its connection back, while virtual time stands still: one that came before that would
/// open another, which has read and compiled nothing yet.
pub async fn await_rest(metadata: &Metadata) {
    while !metadata.is_at_rest() {
        std::thread::yield_now();
        tokio::task::yield_now().await;
    }
}

/// While it lives, virtual time stands still, though the runtime waits for something outside of it.
pub struct Still {
    _release: std::sync::mpsc::Sender<()>,
}

impl Still {
    pub fn hold() -> Self {
        let (release, released) = std::sync::mpsc::channel::<()>();
        // Tokio's paused clock does not go on by itself while a blocking task runs.
        tokio::task::spawn_blocking(move || released.recv());
        Self { _release: release }
    }
}
