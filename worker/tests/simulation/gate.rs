//! The gate at which every task of a simulation waits before each thing that it does to a backend, so that one seed decides
//! who goes on, in which order, and what becomes of it. A task waits at one point at a time.
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Done and answered.
    Done,
    /// Not done, and no answer.
    Lost,
    /// Done, and no answer.
    AnswerLost,
    /// Not done; answered with 503 SlowDown.
    Throttled,
    /// Answered, and a body that comes down breaks off.
    Cut,
}

#[derive(Default)]
struct Waiting {
    /// The task that is being polled.
    current: usize,
    tasks: Vec<Option<(oneshot::Sender<Fate>, String)>>,
}

/// Shared by the tasks and the one who lets them through.
#[derive(Clone, Default)]
pub(super) struct Gate(Arc<Mutex<Waiting>>);

impl Gate {
    /// Waits until let through.
    pub(super) async fn pass(&self, what: impl Into<String>) -> Fate {
        let (open, opened) = oneshot::channel();
        {
            let mut waiting = self.0.lock().unwrap();
            let current = waiting.current;
            assert!(waiting.tasks[current].is_none(), "one task does two things at once");
            waiting.tasks[current] = Some((open, what.into()));
        }
        opened.await.unwrap_or(Fate::Lost)
    }

    /// Says which task is polled from now on.
    pub(super) fn enter(&self, task: usize) {
        let mut waiting = self.0.lock().unwrap();
        waiting.current = task;
        if waiting.tasks.len() <= task {
            waiting.tasks.resize_with(task + 1, || None);
        }
    }

    /// What a task waits for.
    pub(super) fn waits(&self, task: usize) -> Option<String> {
        self.0.lock().unwrap().tasks.get(task)?.as_ref().map(|(_, what)| what.clone())
    }

    /// Lets a task go on.
    pub(super) fn open(&self, task: usize, fate: Fate) {
        let waiting = self.0.lock().unwrap().tasks[task].take();
        if let Some((open, _)) = waiting {
            // A task that is gone hears nothing.
            let _ = open.send(fate);
        }
    }
}
