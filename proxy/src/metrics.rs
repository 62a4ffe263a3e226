//! All figures of the proxy, with their help texts. Labels come from enums and backend ids, never from a client.
use crate::upstream::{BreakerState, UpstreamBackend};
use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};
use s3gateway_s3::Operation;
use s3gateway_store::queue::Depth;
use std::{sync::Arc, time::Duration};
use strum::IntoStaticStr;

/// What became of a request, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum RequestOutcome {
    /// A success or a redirect.
    Served,
    /// 4xx.
    Refused,
    /// 503 because something is away or asks to slow down.
    Unavailable,
    /// Any other 5xx.
    Failed,
    /// The client went away before its answer was complete.
    ClientGone,
}

/// What became of a write that so many places must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum QuorumOutcome {
    /// All places took it at once.
    Streamed,
    /// A worker brought it there in time.
    Awaited,
    /// Too few places could be reached, so nothing was written.
    Unreachable,
    /// A place was lost on the way.
    Lost,
    /// No worker has brought it there in time.
    Unproven,
}

/// The proxy's figures.
pub struct Metrics {
    requests: HistogramVec,
    errors: IntCounterVec,
    failovers: IntCounterVec,
    quorum: IntCounterVec,
    first_byte: Histogram,
    breaker: IntGaugeVec,
    healthy: IntGaugeVec,
    queue: IntGaugeVec,
    lag: Gauge,
    /// Requests being served now.
    pub in_flight: IntGauge,
    /// Bytes of request bodies passed on.
    pub bytes_up: IntCounter,
    /// Bytes of answers' bodies passed on.
    pub bytes_down: IntCounter,
}

impl Metrics {
    /// Makes and registers them all.
    ///
    /// # Errors
    /// Where a name is registered already.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let buckets = vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
        let timed = |name: &str, help: &str| HistogramOpts::new(name, help).buckets(buckets.clone());
        let opts = |name: &str, help: &str| Opts::new(name, help);
        let bytes = IntCounterVec::new(opts("s3gateway_body_bytes_total", "Bytes of bodies."), &["direction"])?;
        let metrics = Self {
            requests: HistogramVec::new(
                timed("s3gateway_request_duration_seconds", "From the request's head to the last byte of its answer."),
                &["operation", "outcome"],
            )?,
            errors: IntCounterVec::new(opts("s3gateway_errors_total", "Error answers by S3 code."), &["code"])?,
            failovers: IntCounterVec::new(
                opts("s3gateway_failover_reads_total", "Reads that left a failed home, by what came of them."),
                &["result"],
            )?,
            quorum: IntCounterVec::new(
                opts("s3gateway_quorum_writes_total", "Writes that several places must hold, by what came of them."),
                &["outcome"],
            )?,
            first_byte: Histogram::with_opts(timed(
                "s3gateway_upstream_first_byte_seconds",
                "From choosing a backend to the head of its answer.",
            ))?,
            breaker: IntGaugeVec::new(opts("s3gateway_breaker_state", "0 closed, 1 half-open, 2 open."), &["backend"])?,
            healthy: IntGaugeVec::new(
                opts("s3gateway_backend_healthy", "1 where the last probe of the backend succeeded."),
                &["backend"],
            )?,
            queue: IntGaugeVec::new(
                opts("s3gateway_queue_keys", "Keys in the queue: dirty in all, and of these claimed, delayed, dead."),
                &["state"],
            )?,
            lag: Gauge::new("s3gateway_replication_lag_seconds", "Age of the oldest dirty key.")?,
            in_flight: IntGauge::new("s3gateway_requests_in_flight", "Requests being served now.")?,
            bytes_up: bytes.with_label_values(&["up"]),
            bytes_down: bytes.with_label_values(&["down"]),
        };
        let all: [Box<dyn Collector>; 11] = [
            Box::new(metrics.requests.clone()),
            Box::new(metrics.errors.clone()),
            Box::new(metrics.failovers.clone()),
            Box::new(metrics.quorum.clone()),
            Box::new(metrics.first_byte.clone()),
            Box::new(metrics.breaker.clone()),
            Box::new(metrics.healthy.clone()),
            Box::new(metrics.queue.clone()),
            Box::new(metrics.lag.clone()),
            Box::new(metrics.in_flight.clone()),
            Box::new(bytes),
        ];
        for collector in all {
            registry.register(collector)?;
        }
        Ok(metrics)
    }

    /// Takes a finished request in.
    pub fn observe_request(&self, operation: Option<Operation>, outcome: RequestOutcome, elapsed: Duration) {
        let operation = operation.map_or("unknown", Operation::name);
        self.requests.with_label_values(&[operation, outcome.into()]).observe(elapsed.as_secs_f64());
    }
    /// Counts an error answer.
    pub fn observe_error(&self, code: s3gateway_s3::S3Code) {
        self.errors.with_label_values(&[code.name()]).inc();
    }
    /// Counts a read that left its home.
    pub fn observe_failover(&self, served: bool) {
        self.failovers.with_label_values(&[if served { "served" } else { "refused" }]).inc();
    }
    /// Counts a write that several places must hold.
    pub fn observe_quorum(&self, outcome: QuorumOutcome) {
        self.quorum.with_label_values(&[<&str>::from(outcome)]).inc();
    }
    /// Takes the time to a backend's first byte in.
    pub fn observe_first_byte(&self, elapsed: Duration) {
        self.first_byte.observe(elapsed.as_secs_f64());
    }
    /// Takes health and breakers in.
    pub fn observe_backends(&self, backends: &[Arc<UpstreamBackend>]) {
        for backend in backends {
            let state = match backend.breaker_state() {
                BreakerState::Closed { .. } => 0,
                BreakerState::HalfOpen { .. } => 1,
                BreakerState::Open { .. } => 2,
            };
            self.breaker.with_label_values(&[backend.id().as_str()]).set(state);
            self.healthy.with_label_values(&[backend.id().as_str()]).set(i64::from(backend.is_healthy()));
        }
    }
    /// Takes the queue's figures in.
    pub fn observe_queue(&self, depth: &Depth) {
        for (state, keys) in
            [("dirty", depth.dirty), ("claimed", depth.claimed), ("delayed", depth.delayed), ("dead", depth.dead)]
        {
            self.queue.with_label_values(&[state]).set(i64::try_from(keys).unwrap_or(i64::MAX));
        }
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        #[allow(clippy::cast_precision_loss)] // milliseconds of this century fit a double exactly
        let lag = depth.oldest.map_or(0.0, |oldest| (now - oldest as f64 / 1000.0).max(0.0));
        self.lag.set(lag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_a_valid_name_and_is_exported() {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).expect("names that nobody has");
        assert!(Metrics::register(&registry).is_err(), "the same names again");
        metrics.observe_request(Some(Operation::GetObject), RequestOutcome::Served, Duration::from_millis(3));
        metrics.observe_queue(&Depth { dirty: 2, oldest: Some(0), ..Depth::default() });
        let names: Vec<String> = registry.gather().iter().map(|f| f.name().to_owned()).collect();
        assert!(names.contains(&"s3gateway_request_duration_seconds".to_owned()), "{names:?}");
        assert!(names.contains(&"s3gateway_replication_lag_seconds".to_owned()), "{names:?}");
    }
}
