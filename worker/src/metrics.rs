//! Every metric of the worker, with its help text. Labels are enums or backend ids, so that no name of a tenant can become one.
use crate::pace::Shown;
use crate::plan::Action;
use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};
use s3gateway_config::BackendId;
use s3gateway_store::queue::Depth;
use s3gateway_store::{StrandedCount, WalkFinding};
use std::time::Duration;

/// How an attempt to converge a key ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Outcome {
    /// All copies equal the home.
    Converged,
    /// To be tried again.
    Retried,
    /// Given up.
    Dead,
    /// Put off, because a backend is not to be asked now.
    #[strum(serialize = "put_off")]
    PutOff,
    /// Large, and to be copied when other large ones are done.
    Aside,
    /// Another worker has it now.
    Lost,
}

/// The worker's metrics.
#[derive(Clone)]
pub(crate) struct Metrics {
    converge: HistogramVec,
    actions: IntCounterVec,
    copied: IntCounter,
    keys: IntGaugeVec,
    lag: Gauge,
    delay: Histogram,
    pub(crate) running: IntGauge,
    pub(crate) shards: IntGauge,
    concurrency: IntGaugeVec,
    bandwidth: GaugeVec,
    throttled: IntCounterVec,
    pub(crate) retired: IntCounter,
    pub(crate) resumed_parts: IntCounter,
    promotions: IntGauge,
    stranded: IntGaugeVec,
    pub(crate) walking: IntGauge,
    oldest_reconcile: Gauge,
    walked: IntCounter,
    walk_marked: IntCounter,
    walk_found: IntCounterVec,
}

impl Metrics {
    /// Makes and registers them all.
    ///
    /// # Errors
    /// Where a name is registered already.
    pub(crate) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let buckets = prometheus::exponential_buckets(0.005, 2.5, 14)?;
        let opts = |name: &str, help: &str| HistogramOpts::new(name, help).buckets(buckets.clone());
        let metrics = Self {
            converge: HistogramVec::new(
                opts("s3gateway_converge_duration_seconds", "Duration of one attempt to converge a key, by outcome."),
                &["outcome"],
            )?,
            actions: IntCounterVec::new(
                Opts::new("s3gateway_converge_actions_total", "What was done to single copies, by action."),
                &["action"],
            )?,
            copied: IntCounter::new("s3gateway_replicated_bytes_total", "Object bytes copied between backends.")?,
            keys: IntGaugeVec::new(
                Opts::new(
                    "s3gateway_queue_keys",
                    "Keys in the queue: dirty in all, and of these claimed, delayed, dead.",
                ),
                &["state"],
            )?,
            lag: Gauge::new("s3gateway_replication_lag_seconds", "Age of the oldest dirty key.")?,
            delay: Histogram::with_opts(opts(
                "s3gateway_replication_delay_seconds",
                "From a key becoming dirty to its being converged.",
            ))?,
            running: IntGauge::new("s3gateway_converge_running_keys", "Keys being converged now.")?,
            shards: IntGauge::new("s3gateway_queue_held_shards", "Shards of the queue that this worker asks first.")?,
            concurrency: IntGaugeVec::new(
                Opts::new(
                    "s3gateway_backend_concurrency_limit",
                    "Requests in flight to a backend at most, as it throttles.",
                ),
                &["backend"],
            )?,
            bandwidth: GaugeVec::new(
                Opts::new(
                    "s3gateway_backend_bandwidth_limit_bytes",
                    "Bytes of objects a second to and from a backend at most, as it throttles; 0 without a limit.",
                ),
                &["backend"],
            )?,
            throttled: IntCounterVec::new(
                Opts::new("s3gateway_backend_throttled_total", "Answers 429 and 503 of a backend to the worker."),
                &["backend"],
            )?,
            retired: IntCounter::new(
                "s3gateway_retired_buckets_total",
                "Replica buckets of deleted buckets that were dropped.",
            )?,
            resumed_parts: IntCounter::new(
                "s3gateway_resumed_parts_total",
                "Parts that an interrupted copy had uploaded already and that were used again.",
            )?,
            promotions: IntGauge::new("s3gateway_promotions_running", "Promotions under way in all.")?,
            stranded: IntGaugeVec::new(
                Opts::new(
                    "s3gateway_stranded_keys",
                    "Stranded keys in all: waiting to be compared, or kept, with something that stands aside.",
                ),
                &["state"],
            )?,
            walking: IntGauge::new("s3gateway_walk_running_shards", "Shards of walks being walked now.")?,
            oldest_reconcile: Gauge::new(
                "s3gateway_reconcile_oldest_seconds",
                "Since when no reconcile was asked for of the bucket that has waited longest for one.",
            )?,
            walked: IntCounter::new("s3gateway_walk_keys_total", "Keys of homes that walks have looked at.")?,
            walk_marked: IntCounter::new("s3gateway_walk_marked_keys_total", "Keys that walks have marked.")?,
            walk_found: IntCounterVec::new(
                Opts::new("s3gateway_walk_findings_total", "What walks have found, by kind."),
                &["kind"],
            )?,
        };
        let all: [Box<dyn Collector>; 20] = [
            Box::new(metrics.shards.clone()),
            Box::new(metrics.concurrency.clone()),
            Box::new(metrics.bandwidth.clone()),
            Box::new(metrics.throttled.clone()),
            Box::new(metrics.converge.clone()),
            Box::new(metrics.actions.clone()),
            Box::new(metrics.copied.clone()),
            Box::new(metrics.keys.clone()),
            Box::new(metrics.lag.clone()),
            Box::new(metrics.delay.clone()),
            Box::new(metrics.running.clone()),
            Box::new(metrics.retired.clone()),
            Box::new(metrics.resumed_parts.clone()),
            Box::new(metrics.promotions.clone()),
            Box::new(metrics.stranded.clone()),
            Box::new(metrics.walking.clone()),
            Box::new(metrics.oldest_reconcile.clone()),
            Box::new(metrics.walked.clone()),
            Box::new(metrics.walk_marked.clone()),
            Box::new(metrics.walk_found.clone()),
        ];
        for collector in all {
            registry.register(collector)?;
        }
        Ok(metrics)
    }

    /// Notes the end of an attempt.
    pub(crate) fn attempt(&self, outcome: Outcome, took: Duration) {
        self.converge.with_label_values(&[<&str>::from(outcome)]).observe(took.as_secs_f64());
    }

    /// Notes that a key became clean `millis` after it had become dirty.
    pub(crate) fn clean_after(&self, millis: i64) {
        self.delay.observe(seconds(millis));
    }

    /// Notes what was done to one copy.
    pub(crate) fn action(&self, action: &Action) {
        self.actions.with_label_values(&[<&str>::from(action)]).inc();
    }

    /// Shows a backend's limits. Its id is an operator's word and no tenant's, so it may be a label.
    pub(crate) fn pace(&self, backend: &BackendId, shown: Shown) {
        let label = [backend.as_str()];
        self.concurrency.with_label_values(&label).set(i64::try_from(shown.concurrency).unwrap_or(i64::MAX));
        self.bandwidth.with_label_values(&label).set(shown.bandwidth.unwrap_or_default());
        let counter = self.throttled.with_label_values(&label);
        counter.inc_by(shown.throttled.saturating_sub(counter.get()));
    }

    /// Counts bytes on their way from one backend to another.
    pub(crate) fn copied(&self, bytes: usize) {
        self.copied.inc_by(bytes as u64);
    }

    /// Counts what a step of a walk came to.
    pub(crate) fn walked(&self, keys: u64, marked: u64, findings: &[WalkFinding]) {
        self.walked.inc_by(keys);
        self.walk_marked.inc_by(marked);
        for finding in findings {
            self.walk_found.with_label_values(&[finding.kind.as_str()]).inc();
        }
    }

    /// Shows how many promotions run, and stranded keys; all workers show the same.
    pub(crate) fn moves(&self, promotions: i64, stranded: StrandedCount) {
        self.promotions.set(promotions);
        self.stranded.with_label_values(&["waiting"]).set(stranded.waiting);
        self.stranded.with_label_values(&["kept"]).set(stranded.kept);
    }

    /// Shows for how long the bucket has waited that has waited longest for a reconcile; all workers show the same.
    pub(crate) fn oldest_reconcile(&self, oldest: Option<i64>, now: i64) {
        self.oldest_reconcile.set(oldest.map_or(0.0, |oldest| seconds(now - oldest)));
    }

    /// Shows the queue's figures.
    pub(crate) fn depth(&self, depth: &Depth, now: i64) {
        for (state, keys) in
            [("dirty", depth.dirty), ("claimed", depth.claimed), ("delayed", depth.delayed), ("dead", depth.dead)]
        {
            self.keys.with_label_values(&[state]).set(i64::try_from(keys).unwrap_or(i64::MAX));
        }
        self.lag.set(depth.oldest.map_or(0.0, |oldest| seconds(now - oldest)));
    }
}

/// Milliseconds as seconds, never negative (clocks differ).
fn seconds(millis: i64) -> f64 {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0)).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_metrics_register_once_and_show_the_lag() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        assert!(Metrics::register(&registry).is_err());
        metrics.depth(&Depth { dirty: 3, oldest: Some(1_000), ..Default::default() }, 4_500);
        metrics.moves(1, StrandedCount { waiting: 7, kept: 2 });
        metrics.oldest_reconcile(Some(2_000), 4_000);
        metrics.action(&Action::Delete);
        metrics.attempt(Outcome::Converged, Duration::from_millis(3));
        let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        for line in [
            "s3gateway_replication_lag_seconds 3.5",
            "s3gateway_queue_keys{state=\"dirty\"} 3",
            "s3gateway_promotions_running 1",
            "s3gateway_reconcile_oldest_seconds 2",
            "s3gateway_stranded_keys{state=\"kept\"} 2",
            "s3gateway_stranded_keys{state=\"waiting\"} 7",
            "s3gateway_converge_actions_total{action=\"delete\"} 1",
            "s3gateway_converge_duration_seconds_count{outcome=\"converged\"} 1",
        ] {
            assert!(text.contains(line), "{line} not in\n{text}");
        }
    }
}
