//! What a backend really does, measured on demand and kept with date and evidence.
use super::{
    input::{Params, Segment, Shared, known_backend, render_time},
    problem::Problem,
};
use crate::{
    Gateway,
    probe::{self, ProbeError},
};
use axum::{Json, extract::State, http::StatusCode};
use s3gateway_config::Capabilities;
use s3gateway_store::{Backend, BackendProbe, Finding, StoreError};
use serde::{Deserialize, Serialize};
use std::time::SystemTime;
use tokio::sync::oneshot;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Options {
    /// Whether the backend is used by what was measured from now on.
    #[serde(default)]
    apply: bool,
}

#[derive(Serialize)]
pub(super) struct ProbeView {
    backend: String,
    probed_at: String,
    findings: Vec<FindingView>,
}

#[derive(Serialize)]
struct FindingView {
    capability: String,
    /// `null` where it could not be told.
    measured: Option<bool>,
    /// What the gateway goes by.
    declared: Option<bool>,
    evidence: String,
}

/// Measures a backend and keeps the findings.
pub(super) async fn run(
    State(state): State<Shared>,
    Segment(id): Segment<String>,
    Params(options): Params<Options>,
) -> Result<Json<ProbeView>, Problem> {
    let backend = known_backend(&state, &id).await?;
    to_its_end(&state.gateway.clone(), async move {
        let findings = state.gateway.probe(backend.clone()).await.map_err(refuse)?;
        let measured = probe::measured(&findings, &backend.capabilities);
        let probe = dated(findings);
        state.metadata.put_probe(&backend.id, &backend.endpoint, &probe).await.map_err(moved)?;
        if !options.apply {
            return Ok(Json(view(&id, probe, &backend.capabilities)));
        }
        state.metadata.set_capabilities(&backend.id, &backend.endpoint, &measured).await.map_err(moved)?;
        tracing::info!(backend = %backend.id, "backend is used as measured");
        Ok(Json(view(&id, probe, &measured)))
    })
    .await
}

/// Measures a backend that is about to be added, so that it is used from the first request as it is.
///
/// # Errors
/// 502 where it lets nothing be measured, 504 where it takes too long.
pub(super) async fn try_out(state: &Shared, backend: Backend) -> Result<(Backend, BackendProbe), Problem> {
    let findings = state.gateway.probe(backend.clone()).await.map_err(refuse)?;
    let capabilities = probe::measured(&findings, &backend.capabilities);
    Ok((Backend { capabilities, ..backend }, dated(findings)))
}

/// Carries work out whether or not somebody still waits for it: a probe that is cut off leaves its scratch bucket
/// behind.
///
/// # Errors
/// The work's own; 503 where the process stops first.
pub(super) async fn to_its_end<T: Send + 'static>(
    gateway: &Gateway,
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    let (done, awaited) = oneshot::channel();
    gateway.carry_on(async move {
        if let Err(Err(problem)) = done.send(work.await) {
            tracing::warn!(detail = %problem.detail, "a probe that nobody waits for any more has failed");
        }
    });
    awaited.await.map_err(|_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the process is stopping"))?
}

fn dated(findings: Vec<Finding>) -> BackendProbe {
    BackendProbe { probed_at: crate::operations::to_millis(SystemTime::now()), findings }
}

fn refuse(error: ProbeError) -> Problem {
    let status = match error {
        ProbeError::NoBucket(_) => StatusCode::BAD_GATEWAY,
        ProbeError::TooSlow => StatusCode::GATEWAY_TIMEOUT,
    };
    let remedy = "check endpoint, region and keys, or name its capabilities to add it unmeasured";
    Problem::new(status, format!("{error}; {remedy}"))
}

/// Of a backend that was there when its probe began.
fn moved(error: StoreError) -> Problem {
    match error {
        StoreError::NotFound => {
            Problem::new(StatusCode::CONFLICT, "the backend has gone or got another endpoint meanwhile; probe it again")
        }
        other => other.into(),
    }
}

/// What was measured last.
pub(super) async fn last(
    State(state): State<Shared>,
    Segment(id): Segment<String>,
) -> Result<Json<ProbeView>, Problem> {
    let backend = known_backend(&state, &id).await?;
    let probe = state.metadata.probe(&backend.id).await?.ok_or_else(|| Problem::missing("probe: POST makes one"))?;
    Ok(Json(view(&id, probe, &backend.capabilities)))
}

fn view(id: &str, probe: BackendProbe, capabilities: &Capabilities) -> ProbeView {
    let finding = |Finding { capability, measured, evidence }| FindingView {
        declared: probe::declared(&capability, capabilities),
        capability,
        measured,
        evidence,
    };
    ProbeView {
        backend: id.to_owned(),
        probed_at: render_time(probe.probed_at),
        findings: probe.findings.into_iter().map(finding).collect(),
    }
}
