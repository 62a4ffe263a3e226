//! What a run has counted: operations by how they were answered, and every finding, the first ones with evidence.
use parking_lot::Mutex;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fmt,
    time::{Instant, SystemTime},
};

/// Findings that are told in full; the rest is counted.
const EVIDENCE: usize = 50;

/// What must never be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// An acknowledged write is not there, or an earlier one is in its place.
    Lost,
    /// What was deleted is there again.
    Resurrected,
    /// Bytes, tags or keys that nobody wrote.
    Wrong,
    /// A read or listing answered with an earlier object, without `x-s3gw-stale`.
    StaleNotMarked,
    /// A write under a condition that did not hold was acknowledged, or one under a condition that held was refused.
    ConditionBroken,
    /// A copy on a backend that the policy or the placement does not allow.
    ForbiddenCopy,
    /// Fewer equal copies than the bucket's replica count, once converged.
    MissingCopy,
    /// A deleted object is still on a replica, once converged.
    LeftCopy,
    /// The queue did not come to rest in time.
    NotConverged,
    /// A write that was never answered has happened, but for its tags. Known to be possible; not held against the deployment.
    HalfDone,
}

impl Finding {
    /// All of them, as they are printed.
    pub const ALL: [Self; 10] = [
        Self::Lost,
        Self::Resurrected,
        Self::Wrong,
        Self::StaleNotMarked,
        Self::ConditionBroken,
        Self::ForbiddenCopy,
        Self::MissingCopy,
        Self::LeftCopy,
        Self::NotConverged,
        Self::HalfDone,
    ];

    /// Whether there must be none.
    pub fn is_fault(self) -> bool {
        self != Self::HalfDone
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "lost",
            Self::Resurrected => "resurrected",
            Self::Wrong => "wrong bytes, tags or keys",
            Self::StaleNotMarked => "stale reads not marked",
            Self::ConditionBroken => "conditions broken",
            Self::ForbiddenCopy => "copies in forbidden places",
            Self::MissingCopy => "missing copies",
            Self::LeftCopy => "copies of deleted objects",
            Self::NotConverged => "not converged in time",
            Self::HalfDone => "unanswered writes without tags",
        })
    }
}

/// How an operation was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered<'a> {
    /// With success, or as S3 answers a key that is not there.
    Yes,
    /// With a refusal.
    Refused,
    /// Not, or with a server's error: this one.
    No(&'a str),
}

/// Of one kind of operation.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Count {
    /// Answered with success.
    pub answered: u64,
    /// Answered with a refusal.
    pub refused: u64,
    /// Not answered, or with a server's error.
    pub unanswered: u64,
}

/// One finding in full.
#[derive(Clone, Debug, Serialize)]
pub struct Evidence {
    /// Seconds since the epoch, to be looked up in logs.
    pub at: f64,
    /// Which.
    pub finding: Finding,
    /// The key.
    pub key: String,
    /// What was seen, and where.
    pub detail: String,
}

/// All counts of a run.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// By operation.
    pub operations: BTreeMap<&'static str, Count>,
    /// Why requests were not answered, or with what error.
    pub unanswered: BTreeMap<String, u64>,
    /// By finding; those that are not in it are zero.
    pub findings: BTreeMap<Finding, u64>,
    /// The first findings.
    pub evidence: Vec<Evidence>,
    /// Reads and listings that said that they may be old.
    pub marked_stale: u64,
    /// The longest time between two acknowledged writes, of all clients together.
    pub longest_pause: f64,
}

/// Shared by all clients.
pub struct Tally {
    counts: Mutex<(Counts, Instant)>,
}

impl Tally {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self { counts: Mutex::new((Counts::default(), Instant::now())) }
    }

    /// One operation has ended.
    pub fn count(&self, operation: &'static str, answered: Answered<'_>) {
        let counts = &mut self.counts.lock().0;
        let count = counts.operations.entry(operation).or_default();
        match answered {
            Answered::Yes => count.answered += 1,
            Answered::Refused => count.refused += 1,
            Answered::No(why) => {
                count.unanswered += 1;
                *counts.unanswered.entry(why.to_owned()).or_default() += 1;
            }
        }
    }

    /// A write was acknowledged.
    pub fn acknowledged(&self) {
        let (counts, last) = &mut *self.counts.lock();
        counts.longest_pause = counts.longest_pause.max(last.elapsed().as_secs_f64());
        *last = Instant::now();
    }

    /// A read or listing that says itself that it may be old.
    pub fn marked_stale(&self) {
        self.counts.lock().0.marked_stale += 1;
    }

    /// Something that must never be; it is also shown at once.
    pub fn find(&self, finding: Finding, key: &str, detail: String) {
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let counts = &mut self.counts.lock().0;
        *counts.findings.entry(finding).or_default() += 1;
        if counts.evidence.len() < EVIDENCE {
            eprintln!("{at:.3} {finding}: {key}: {detail}");
            counts.evidence.push(Evidence { at, finding, key: key.to_owned(), detail });
        }
    }

    /// As it stands now.
    pub fn counts(&self) -> Counts {
        self.counts.lock().0.clone()
    }
}
