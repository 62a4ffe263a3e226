//! What a run has shown, for people and as JSON.
use super::{
    ledger::Replayed,
    tally::{Count, Counts, Evidence, Finding},
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Write, time::Duration};

/// All of it.
#[derive(Debug, Serialize)]
pub struct Report {
    seed: u64,
    bucket: String,
    prefix: String,
    /// How long the load lasted.
    load_seconds: f64,
    /// Requests of all kinds.
    operations: u64,
    by_operation: BTreeMap<&'static str, Count>,
    unanswered: BTreeMap<String, u64>,
    /// Of the ledger.
    writes_begun: u64,
    writes_acknowledged: u64,
    writes_unknown: u64,
    keys: usize,
    faults: BTreeMap<String, u64>,
    findings: BTreeMap<Finding, u64>,
    marked_stale: u64,
    longest_pause_seconds: f64,
    /// From the end of the load until no key was dirty.
    converge_seconds: Option<f64>,
    evidence: Vec<Evidence>,
}

impl Report {
    /// Puts together what the parts have counted.
    pub fn new(
        ledger: &Replayed,
        counts: Counts,
        faults: BTreeMap<String, u64>,
        load: Duration,
        converged: Option<Duration>,
    ) -> Self {
        let all = |count: &Count| count.answered + count.refused + count.unanswered;
        let found = |finding: Finding| (finding, counts.findings.get(&finding).copied().unwrap_or_default());
        Self {
            seed: ledger.run.seed,
            bucket: ledger.run.bucket.clone(),
            prefix: ledger.run.prefix.clone(),
            load_seconds: load.as_secs_f64(),
            operations: counts.operations.values().map(all).sum(),
            findings: Finding::ALL.into_iter().map(found).collect(),
            by_operation: counts.operations,
            unanswered: counts.unanswered,
            writes_begun: ledger.begun,
            writes_acknowledged: ledger.acknowledged,
            writes_unknown: ledger.unknown,
            keys: ledger.keys.len(),
            faults,
            marked_stale: counts.marked_stale,
            longest_pause_seconds: counts.longest_pause,
            converge_seconds: converged.map(|time| time.as_secs_f64()),
            evidence: counts.evidence,
        }
    }

    /// Findings that must not be.
    pub fn found(&self) -> u64 {
        self.findings.iter().filter(|(finding, _)| finding.is_fault()).map(|(_, count)| count).sum()
    }

    /// For a terminal.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:48} {value}");
        };
        line("seed", self.seed.to_string());
        line("bucket, keys under", format!("{}, {}", self.bucket, self.prefix));
        line("operations", format!("{} in {:.0} s", self.operations, self.load_seconds));
        for (name, count) in &self.by_operation {
            let Count { answered, refused, unanswered } = count;
            line(&format!("  {name}"), format!("{answered} answered, {refused} refused, {unanswered} not answered"));
        }
        for (why, count) in &self.unanswered {
            line(&format!("  not answered: {why}"), count.to_string());
        }
        let of_ledger = format!(
            "{} begun, {} acknowledged, {} not answered, to {} keys",
            self.writes_begun, self.writes_acknowledged, self.writes_unknown, self.keys
        );
        line("writes in the ledger", of_ledger);
        line("longest pause of writes", format!("{:.1} s", self.longest_pause_seconds));
        line("faults", self.faults.values().sum::<u64>().to_string());
        for (kind, count) in &self.faults {
            line(&format!("  {kind}"), count.to_string());
        }
        line("reads marked as stale", self.marked_stale.to_string());
        for (finding, count) in &self.findings {
            line(&finding.to_string(), count.to_string());
        }
        let converged = self.converge_seconds.map_or("never".into(), |seconds| format!("{seconds:.1} s"));
        line("time to converge", converged);
        text
    }
}
