//! What comes in, checked: JSON bodies, path segments and query parameters, with every refusal as problem JSON.
use super::{AdminState, problem::Problem};
use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::JsonRejection},
    http::{StatusCode, request::Parts},
};
use s3gateway_config::BackendId;
use s3gateway_filters::placement;
use s3gateway_s3::LogicalBucket;
use s3gateway_store::{Backend, BucketId, Metadata, Millis, Route, StoreError, Tenant};
use serde::{Deserialize, de::DeserializeOwned};
use std::{collections::HashMap, sync::Arc};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The state as handlers take it.
pub(super) type Shared = Arc<AdminState>;

/// The stored backend of that id.
pub(super) async fn find_backend(state: &Shared, id: &str) -> Result<Option<Backend>, Problem> {
    Ok(state.metadata.backends().await?.into_iter().find(|backend| backend.id.as_str() == id))
}

/// As [`find_backend`].
///
/// # Errors
/// 404 where there is none.
pub(super) async fn known_backend(state: &Shared, id: &str) -> Result<Backend, Problem> {
    find_backend(state, id).await?.ok_or_else(|| Problem::missing("backend"))
}

/// A JSON body. serde_json stops at a depth of 128; unknown and duplicate fields are refused by the types.
pub(super) struct Body<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(refuse_body(&rejection)),
        }
    }
}

fn refuse_body(rejection: &JsonRejection) -> Problem {
    let text = rejection.body_text();
    match rejection {
        // "…: policy.allow: unknown field `x`, expected …": the path of the field, then what is wrong with it.
        JsonRejection::JsonDataError(_) => {
            let detail = text.split_once("target type: ").map_or(text.as_str(), |(_, rest)| rest).to_owned();
            let field = detail.split_once(": ").map(|(path, _)| path).filter(|path| !path.contains(' '));
            let field = field.map(str::to_owned).or_else(|| quoted(&detail));
            Problem { status: StatusCode::UNPROCESSABLE_ENTITY, detail: detail.into(), field: field.map(Into::into) }
        }
        JsonRejection::MissingJsonContentType(_) => {
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send `Content-Type: application/json`")
        }
        other => Problem::new(other.status(), text),
    }
}

/// The first word in backticks: the field that serde names where the fault is at the top of the document.
fn quoted(detail: &str) -> Option<String> {
    detail.split('`').nth(1).map(str::to_owned)
}

/// Segments of the path, percent-decoded.
pub(super) struct Segment<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segment<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::new(StatusCode::BAD_REQUEST, rejection.body_text())),
        }
    }
}

/// Query parameters.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let detail = rejection.body_text();
                let field = quoted(&detail);
                Err(Problem { status: StatusCode::BAD_REQUEST, detail: detail.into(), field: field.map(Into::into) })
            }
        }
    }
}

/// Behind which entry a page begins. Ids hold nothing else, and NUL is no text for PostgreSQL.
pub(super) fn position(after: Option<&str>) -> Result<Option<&str>, Problem> {
    match after {
        Some(after) if after.len() > 63 || !after.bytes().all(|b| b.is_ascii_graphic()) => Err(no_position()),
        after => Ok(after),
    }
}

/// As [`position`], in a list whose positions are more than an id.
pub(super) fn cursor<T>(after: Option<&str>, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Problem> {
    after.map(|after| parse(after).ok_or_else(no_position)).transpose()
}

fn no_position() -> Problem {
    Problem::parameter("after", "must be what `next` said")
}

/// Which page of a listing.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    pub(super) after: Option<String>,
    pub(super) limit: Option<u32>,
}

/// The entry behind which the next page begins, where this one is full.
pub(super) fn last_of_full<T>(page: &[T], limit: u32) -> Option<&T> {
    page.last().filter(|_| page.len() >= usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Entries on a page.
pub(super) fn page(limit: Option<u32>) -> Result<u32, Problem> {
    match limit.unwrap_or(100) {
        limit @ 1..=1000 => Ok(limit),
        _ => Err(Problem::parameter("limit", "must be 1 to 1000")),
    }
}

/// Tenants' names as the store makes them: 1 to 63 of `a-z 0-9 -`. Everything else cannot exist.
pub(super) fn is_tenant_name(name: &str) -> bool {
    (1..=63).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// The tenant of that name, else 404.
pub(super) async fn resolve_tenant(state: &AdminState, name: &str) -> Result<Tenant, Problem> {
    if !is_tenant_name(name) {
        return Err(Problem::missing("tenant"));
    }
    state.metadata.tenant_by_name(name).await.map_err(|error| match error {
        StoreError::NotFound => Problem::missing("tenant"),
        other => other.into(),
    })
}

/// The bucket of that tenant and name, else 404.
pub(super) async fn resolve_bucket(state: &AdminState, tenant: &str, bucket: &str) -> Result<(Tenant, Route), Problem> {
    let tenant = resolve_tenant(state, tenant).await?;
    let name = LogicalBucket::parse(bucket).map_err(|_| Problem::missing("bucket"))?;
    let route = state.metadata.route(&tenant.id, &name).await?.ok_or_else(|| Problem::missing("bucket"))?;
    Ok((tenant, route))
}

/// Backends of an ordered list of locations; the fault is in `field`.
pub(super) async fn resolve_placement(
    state: &AdminState,
    locations: &[String],
    field: &'static str,
) -> Result<Vec<BackendId>, Problem> {
    if locations.iter().any(|location| location.contains(',')) {
        return Err(Problem::field(field, "give each location as an element of its own"));
    }
    let places: Vec<_> = state.metadata.backends().await?.into_iter().map(|b| (b.id, b.place)).collect();
    placement::resolve(&locations.join(","), &places).map_err(|error| Problem::field(field, error.to_string()))
}

/// A time as RFC 3339 in UTC.
pub(super) fn render_time(millis: Millis) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// Names of tenant and bucket by bucket id; a deleted bucket has none and shows its id.
pub(super) struct Labels<'m> {
    metadata: &'m Metadata,
    known: HashMap<BucketId, (String, String)>,
}

impl<'m> Labels<'m> {
    pub(super) fn new(metadata: &'m Metadata) -> Self {
        Self { metadata, known: HashMap::new() }
    }
    pub(super) async fn of(&mut self, id: &BucketId) -> Result<(String, String), Problem> {
        if let Some(known) = self.known.get(id) {
            return Ok(known.clone());
        }
        let label = match self.metadata.route_by_id(id).await? {
            Some(route) => match self.metadata.tenant(&route.tenant).await {
                Ok(tenant) => (tenant.name, route.name.as_str().to_owned()),
                Err(StoreError::NotFound) => (String::new(), route.name.as_str().to_owned()),
                Err(other) => return Err(other.into()),
            },
            None => (String::new(), id.as_str().to_owned()),
        };
        self.known.insert(id.clone(), label.clone());
        Ok(label)
    }
}
