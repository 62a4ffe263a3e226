//! The one shape of every refusal of the admin API: problem JSON (RFC 9457).
use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use s3gateway_store::StoreError;
use serde::Serialize;
use std::borrow::Cow;

/// A refusal.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) detail: Cow<'static, str>,
    /// The field of the body, path or query that is at fault.
    pub(super) field: Option<Cow<'static, str>>,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, detail: detail.into(), field: None }
    }
    pub(super) fn missing(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no such {what}"))
    }
    /// 422 with the field named.
    pub(super) fn field(field: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, detail: detail.into(), field: Some(field.into()) }
    }
    /// 400 with the parameter named.
    pub(super) fn parameter(field: impl Into<Cow<'static, str>>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, detail: detail.into(), field: Some(field.into()) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            field: self.field.as_deref(),
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response = (self.status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::missing("thing"),
            StoreError::Conflict(what) => {
                Self::new(StatusCode::CONFLICT, format!("{what} exists already or is in use"))
            }
            StoreError::Invalid(why) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, why),
            StoreError::Unavailable(source) => {
                tracing::warn!(error = %source, "admin request failed: store unavailable");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "the store is unavailable; try again")
            }
            StoreError::Busy => Self::new(StatusCode::CONFLICT, "the key is being written; try again"),
            StoreError::Corrupt(what) => {
                tracing::error!(what, "stored data cannot be read");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("stored data cannot be read: {what}"))
            }
        }
    }
}

pub(super) async fn not_found() -> Problem {
    Problem::missing("endpoint")
}

pub(super) async fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this endpoint does not know that method")
}
