//! Whether this process lives, whether it should get traffic and why not, and its figures.
use super::{input::Shared, problem::Problem};
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use prometheus::{Registry, TextEncoder, proto::MetricFamily};
use serde::Serialize;
use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::Duration,
};

/// A dependency that has not answered by then counts as away.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct Ready {
    ready: bool,
    checks: Vec<Check>,
}

#[derive(Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Check {
    fn of(name: &'static str, reason: Option<String>) -> Self {
        Self { name, ok: reason.is_none(), reason }
    }
}

/// The process answers, hence lives; says nothing about what it depends on.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Ready while metadata, queue and change feed answer and no stop signal came. The reasons hold no host and no secret.
pub(super) async fn readyz(State(state): State<Shared>) -> Response {
    let metadata = tokio::time::timeout(PING_TIMEOUT, state.metadata.ping());
    let queue = tokio::time::timeout(PING_TIMEOUT, state.queue.depth());
    let (metadata, queue) = tokio::join!(metadata, queue);
    let view = &state.gateway.view;
    let stale = (!view.is_fresh())
        .then(|| format!("the change feed was last read {} s ago; writes are refused", view.age().as_secs()));
    let checks = vec![
        Check::of("metadata", reason(metadata.map(|answer| answer.is_ok()))),
        Check::of("queue", reason(queue.map(|answer| answer.is_ok()))),
        Check::of("feed", stale),
        Check::of("draining", state.draining.is_cancelled().then(|| "the process is stopping".to_owned())),
    ];
    let ready = checks.iter().all(|check| check.ok);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { ready, checks })).into_response()
}

fn reason(answered: Result<bool, tokio::time::error::Elapsed>) -> Option<String> {
    match answered {
        Ok(true) => None,
        Ok(false) => Some("does not answer as it should".into()),
        Err(_) => Some(format!("did not answer within {} s", PING_TIMEOUT.as_secs())),
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
