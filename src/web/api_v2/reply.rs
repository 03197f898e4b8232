use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use crate::ports::ActError;

/// Why a request is not answered, as Alertmanager says it.
pub(super) enum Refusal {
    /// A text alone.
    Text(StatusCode, String),
    /// A text with a code of the API description.
    Coded(StatusCode, u16, String),
    /// Nothing but the status.
    Bare(StatusCode),
}

impl Refusal {
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Refusal::Text(StatusCode::BAD_REQUEST, message.into())
    }

    /// Not of the form that the API description asks for.
    pub(super) fn form(code: u16, message: impl Into<String>) -> Self {
        Refusal::Coded(StatusCode::UNPROCESSABLE_ENTITY, code, message.into())
    }

    pub(super) fn stopping() -> Self {
        Refusal::Text(StatusCode::SERVICE_UNAVAILABLE, ActError::Stopping.to_string())
    }
}

impl From<ActError> for Refusal {
    fn from(error: ActError) -> Self {
        let status = match &error {
            ActError::NoIncident(_) => StatusCode::NOT_FOUND,
            ActError::NoSilence(_) => {
                return Refusal::Text(StatusCode::NOT_FOUND, "silence not found".to_owned());
            }
            ActError::Refused(_) => StatusCode::BAD_REQUEST,
            ActError::NotKept(_) => StatusCode::INTERNAL_SERVER_ERROR,
            ActError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        };
        Refusal::Text(status, error.to_string())
    }
}

impl From<super::super::access::Refusal> for Refusal {
    fn from(refusal: super::super::access::Refusal) -> Self {
        Refusal::Text(StatusCode::FORBIDDEN, format!("refused: {}", refusal.reason()))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Refusal::Text(status, message) => sent(status, &message),
            Refusal::Coded(status, code, message) => coded(status.as_u16(), code, message),
            Refusal::Bare(status) => {
                let mut response = status.into_response();
                let value = HeaderValue::from_static("no-store");
                response.headers_mut().insert(header::CACHE_CONTROL, value);
                response
            }
        }
    }
}

pub(super) fn coded(status: u16, code: u16, message: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    sent(status, &json!({ "code": code, "message": message }))
}

/// A good answer.
pub(super) fn good(value: &impl Serialize) -> Response {
    sent(StatusCode::OK, value)
}

fn sent(status: StatusCode, value: &impl Serialize) -> Response {
    // Values of ours have no keys that are not texts.
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    let mut response = (status, text).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
