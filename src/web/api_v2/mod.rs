//! Alertmanager's HTTP API, version 2, as `amtool`, Prometheus and Grafana speak it: its paths,
//! parameters, JSON, status codes and words.

mod alerts;
mod body;
mod reply;
mod reported;
mod silences;
mod status;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::{any, get};

use super::router::Shared;
use reply::{Refusal, coded};

/// All paths below `/api/v2`.
pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/status", get(status::status))
        .route("/receivers", get(status::receivers))
        .route("/alerts", get(alerts::list).post(alerts::report))
        .route("/alerts/groups", get(alerts::groups))
        .route("/silences", get(silences::list).post(silences::set))
        .route("/silence/{id}", get(silences::one).delete(silences::expire))
        .fallback(any(unknown))
        .method_not_allowed_fallback(async |method: axum::http::Method| {
            coded(405, 405, format!("method {method} is not allowed"))
        })
}

async fn unknown(uri: Uri) -> Response {
    let path: String = uri.path().chars().take(200).collect();
    coded(404, 404, format!("path /api/v2{path} was not found"))
}
