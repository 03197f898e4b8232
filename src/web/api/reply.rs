use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

use crate::promql::{EvalError, EvalErrorKind};

/// What a handler gives.
pub(super) type Reply = Result<Success, Failure>;

/// How a good answer begins; its data follows.
pub(super) const HEAD: &str = r#"{"status":"success","data":"#;

/// A good answer.
#[derive(Debug, Default)]
pub(super) struct Success {
    /// [`HEAD`] and the data as JSON, without the end of the envelope.
    pub(super) begun: String,
    pub(super) warnings: Vec<String>,
    pub(super) infos: Vec<String>,
}

impl Success {
    pub(super) fn of(data: impl AsRef<str>) -> Self {
        Self { begun: [HEAD, data.as_ref()].concat(), ..Self::default() }
    }

    /// Says so when a limit cut something off.
    pub(super) fn cut(mut self, truncated: bool) -> Self {
        if truncated {
            self.warnings.push("results truncated due to limit".to_owned());
        }
        self
    }
}

impl From<Value> for Success {
    fn from(value: Value) -> Self {
        Self::of(value.to_string())
    }
}

/// An error as the API tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::web) struct Failure {
    kind: &'static str,
    pub(in crate::web) message: String,
}

impl Failure {
    /// The request makes no sense.
    pub(super) fn bad_data(message: impl Into<String>) -> Self {
        Self { kind: "bad_data", message: message.into() }
    }

    /// A parameter makes no sense.
    pub(in crate::web) fn parameter(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::bad_data(format!("invalid parameter {name:?}: {reason}"))
    }

    /// Not now.
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self { kind: "unavailable", message: message.into() }
    }

    /// It took too long.
    pub(super) fn timeout(message: impl Into<String>) -> Self {
        Self { kind: "timeout", message: message.into() }
    }

    /// Our fault.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self { kind: "internal", message: message.into() }
    }

    /// One of a closed set of words, for our own metrics.
    pub(super) fn reason(&self) -> &'static str {
        match self.kind {
            "timeout" => "timeout",
            "canceled" => "canceled",
            "unavailable" => "busy",
            _ => "error",
        }
    }

    fn status(&self) -> StatusCode {
        match self.kind {
            "bad_data" => StatusCode::BAD_REQUEST,
            "execution" => StatusCode::UNPROCESSABLE_ENTITY,
            "timeout" | "unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            // nginx' code for a client that went away; Prometheus uses it too.
            "canceled" => StatusCode::from_u16(499).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<EvalError> for Failure {
    fn from(error: EvalError) -> Self {
        match error.kind {
            EvalErrorKind::BadData => Self::parameter("query", error.message),
            kind => Self { kind: kind.api_name(), message: error.message },
        }
    }
}

impl From<crate::ports::SelectError> for Failure {
    fn from(error: crate::ports::SelectError) -> Self {
        Self { kind: "execution", message: error.to_string() }
    }
}

impl IntoResponse for Success {
    fn into_response(self) -> Response {
        let mut body = self.begun;
        for (name, notes) in [("warnings", self.warnings), ("infos", self.infos)] {
            if !notes.is_empty() {
                body.push_str(&format!(",{:?}:{}", name, Value::from(notes)));
            }
        }
        body.push('}');
        json(StatusCode::OK, body)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut body = Map::new();
        body.insert("status".to_owned(), "error".into());
        body.insert("errorType".to_owned(), self.kind.into());
        body.insert("error".to_owned(), self.message.clone().into());
        json(self.status(), Value::from(body).to_string())
    }
}

fn json(status: StatusCode, body: String) -> Response {
    let mut response = (status, body).into_response();
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
