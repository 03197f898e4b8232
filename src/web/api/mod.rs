//! Prometheus' HTTP API, version 1, as Grafana, `promtool` and client libraries speak it: their
//! parameters, envelope, status codes and words.

mod compute;
mod expression;
mod form;
mod histogram;
mod json;
mod metadata;
mod query;
mod reply;
mod rules;
mod series;
mod status;
mod targets;

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware;
use axum::response::Response;
use axum::routing::{any, get};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::answer;
use super::router::Shared;
use super::settings::Settings;

pub(super) use compute::{Queue, compute};
pub use json::result_json;
pub(super) use reply::Failure;

/// All paths below `/api/v1`.
pub(super) fn routes(settings: &Settings) -> Router<Arc<Shared>> {
    Router::new()
        .route("/query", get(query::instant).post(query::instant))
        .route("/query_range", get(query::range).post(query::range))
        .route("/query_exemplars", get(query::exemplars).post(query::exemplars))
        .route("/format_query", get(expression::format).post(expression::format))
        .route("/parse_query", get(expression::parsed).post(expression::parsed))
        .route("/series", get(series::series).post(series::series))
        .route("/labels", get(series::label_names).post(series::label_names))
        .route("/label/{name}/values", get(series::label_values))
        .route("/metadata", get(metadata::metadata))
        .route("/rules", get(rules::rules))
        .route("/alerts", get(rules::alerts))
        .route("/targets", get(targets::targets))
        .route("/scrape_pools", get(targets::pools))
        .route("/alertmanagers", get(targets::alertmanagers))
        .route("/status/buildinfo", get(status::build))
        .route("/status/config", get(status::config))
        .route("/status/flags", get(status::flags))
        .route("/status/runtimeinfo", get(status::runtime))
        .route("/status/tsdb", get(status::store))
        .fallback(any(async || answer::not_found()))
        .method_not_allowed_fallback(async || answer::method_not_allowed())
        .layer(middleware::map_response(unlock))
        .layer(cross_origin(settings))
}

/// Which other web sites' scripts may read the API in a visitor's browser: none, unless named.
fn cross_origin(settings: &Settings) -> CorsLayer {
    let origins = &settings.cors_origins;
    let allowed = if origins.iter().any(|origin| &**origin == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()))
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::OPTIONS])
        .allow_headers([
            header::ACCEPT,
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::ORIGIN,
        ])
        .expose_headers([header::DATE])
}

/// CORS decides who may read an answer of the API, so the general header must not.
async fn unlock(mut response: Response) -> Response {
    let name = HeaderName::from_static("cross-origin-resource-policy");
    if response.status() != StatusCode::NOT_FOUND {
        response.headers_mut().insert(name, HeaderValue::from_static("cross-origin"));
    }
    response
}
