//! Whether this process lives, whether it should get traffic and why not, and its figures.
use super::{input::Shared, problem::Problem};
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use prometheus::{Registry, TextEncoder, proto::MetricFamily};
use s3gateway_store::StoreError;
use serde::Serialize;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::Duration,
};

/// A store that has not answered by then counts as away. Short of the second that probes commonly wait, so that a store
/// that hangs does not make the answer too late.
const PING_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    checks: Vec<Check>,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    /// Whether the process gets no traffic while this is not ok.
    decides: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// What is wrong, where something is.
#[derive(Default)]
struct Faults {
    metadata: Option<String>,
    queue: Option<String>,
    feed: Option<String>,
    stopping: Option<String>,
}

impl Readiness {
    /// A process is ready from its start, before which it has loaded its backends, until it is told to stop. A store that
    /// is away is away for every proxy, and each still does what it can without: taking them all out would only end that.
    fn of(faults: Faults) -> Self {
        let checks: Vec<_> = [
            ("draining", true, faults.stopping),
            ("metadata", false, faults.metadata),
            ("queue", false, faults.queue),
            ("feed", false, faults.feed),
        ]
        .into_iter()
        .map(|(name, decides, reason)| Check { name, ok: reason.is_none(), decides, reason })
        .collect();
        Self { ready: checks.iter().all(|check| check.ok || !check.decides), checks }
    }
}

/// The process answers, hence lives; says nothing about what it depends on.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the process should get traffic, and what it lacks. The reasons hold no host and no secret.
pub(super) async fn readyz(State(state): State<Shared>) -> Response {
    let metadata = tokio::time::timeout(PING_TIMEOUT, state.metadata.ping());
    let queue = tokio::time::timeout(PING_TIMEOUT, state.queue.ping());
    let (metadata, queue) = tokio::join!(metadata, queue);
    let view = &state.gateway.view;
    let readiness = Readiness::of(Faults {
        metadata: reason(metadata),
        queue: reason(queue),
        feed: (!view.is_fresh()).then(|| {
            format!(
                "the change feed was last read {} s ago; writes are refused, reads may be old",
                view.age().as_secs()
            )
        }),
        stopping: state.draining.is_cancelled().then(|| "the process is stopping".to_owned()),
    });
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

fn reason(answered: Result<Result<(), StoreError>, tokio::time::error::Elapsed>) -> Option<String> {
    match answered {
        Ok(Ok(())) => None,
        Ok(Err(_)) => Some("does not answer as it should".into()),
        Err(_) => Some(format!("did not answer within {} ms", PING_TIMEOUT.as_millis())),
    }
}

pub(super) async fn metrics(State(state): State<Shared>) -> Result<Response, Problem> {
    let text = TextEncoder::new()
        .encode_to_string(&gather(&state.registries))
        .map_err(|error| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// The families of all registries, each name once, as the text format wants it.
fn gather(registries: &[Registry]) -> Vec<MetricFamily> {
    let mut families: BTreeMap<String, MetricFamily> = BTreeMap::new();
    for mut family in registries.iter().flat_map(Registry::gather) {
        match families.entry(family.name().to_owned()) {
            Entry::Vacant(place) => drop(place.insert(family)),
            Entry::Occupied(mut known) => known.get_mut().mut_metric().extend(family.take_metric()),
        }
    }
    families.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stop_takes_a_process_out() {
        let away = || Some("does not answer".to_owned());
        for (faults, ready, lacking) in [
            (Faults::default(), true, &[][..]),
            (Faults { metadata: away(), ..Faults::default() }, true, &["metadata"]),
            (Faults { queue: away(), ..Faults::default() }, true, &["queue"]),
            (
                Faults { metadata: away(), queue: away(), feed: away(), stopping: None },
                true,
                &["metadata", "queue", "feed"],
            ),
            (Faults { stopping: away(), ..Faults::default() }, false, &["draining"]),
        ] {
            let readiness = Readiness::of(faults);
            let seen: Vec<_> = readiness.checks.iter().filter(|check| !check.ok).map(|check| check.name).collect();
            assert_eq!((readiness.ready, seen.as_slice()), (ready, lacking), "{readiness:?}");
            assert!(readiness.checks.iter().all(|check| check.ok == check.reason.is_none()));
        }
    }
}
