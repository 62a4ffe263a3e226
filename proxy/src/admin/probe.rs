//! What a backend really does, measured on demand and kept with date and evidence.
use super::{
    input::{Params, Segment, Shared, known_backend, render_time},
    problem::Problem,
};
use crate::probe::{self, ProbeError};
use axum::{Json, extract::State, http::StatusCode};
use s3gateway_config::Capabilities;
use s3gateway_store::{Backend, BackendProbe, Finding};
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

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
    let findings = state.gateway.probe(&backend.id).await.map_err(refuse)?;
    let backend = match options.apply {
        true => {
            let capabilities = probe::measured(&findings, &backend.capabilities);
            let backend = Backend { capabilities, ..backend };
            state.metadata.put_backend(&backend).await?;
            tracing::info!(backend = %backend.id, "backend is used as measured");
            backend
        }
        false => backend,
    };
    let probe = dated(findings);
    state.metadata.put_probe(&backend.id, &probe).await?;
    Ok(Json(view(&id, probe, &backend.capabilities)))
}

/// Measures a backend that is about to be added, so that it is used from the first request as it is.
///
/// # Errors
/// 502 where it lets nothing be measured.
pub(super) async fn try_out(state: &Shared, backend: Backend) -> Result<(Backend, BackendProbe), Problem> {
    let findings = state.gateway.try_out(backend.clone()).await.map_err(refuse)?;
    let capabilities = probe::measured(&findings, &backend.capabilities);
    Ok((Backend { capabilities, ..backend }, dated(findings)))
}

fn dated(findings: Vec<Finding>) -> BackendProbe {
    BackendProbe { probed_at: crate::operations::to_millis(SystemTime::now()), findings }
}

fn refuse(error: ProbeError) -> Problem {
    match error {
        ProbeError::Unknown => Problem::new(StatusCode::CONFLICT, error.to_string()),
        ProbeError::NoBucket(_) => {
            let remedy = "check endpoint, region and keys, or name its capabilities to add it unmeasured";
            Problem::new(StatusCode::BAD_GATEWAY, format!("{error}; {remedy}"))
        }
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
