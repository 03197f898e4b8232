use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Extension, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{get, post};
use tokio::sync::Semaphore;
use tower_http::compression::CompressionLayer;

use super::connection::Peer;
use super::server::Doors;
use super::settings::Settings;
use super::{access, answer, api, api_v2, metrics, own, pages, push};
use crate::model::Timestamp;
use crate::telemetry::{WebAnswered, WebAsked};

/// What every handler may look at.
pub(super) struct Shared {
    pub(super) settings: Arc<Settings>,
    pub(super) doors: Doors,
    /// How many pages are made at the same time.
    pub(super) rendering: Arc<Semaphore>,
    /// Where queries wait for their turn.
    pub(super) queue: api::Queue,
    /// Who may do what.
    pub(super) guard: Arc<access::Guard>,
    /// Room for pushes that are on their way in, in pieces.
    pub(super) pushing: Semaphore,
    /// When we began.
    pub(super) started: Timestamp,
    /// One reload at a time.
    reloading: tokio::sync::Mutex<()>,
}

/// Sent with every answer: nothing of ours is to be framed, guessed at, or run as a script.
const SECURITY: [(&str, &str); 5] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
];

pub(super) fn build(settings: &Arc<Settings>, guard: Arc<access::Guard>, doors: &Doors) -> Router {
    let shared = Arc::new(Shared {
        settings: settings.clone(),
        doors: doors.clone(),
        rendering: Arc::new(Semaphore::new(2)),
        queue: api::Queue::new(settings.queries),
        guard,
        pushing: Semaphore::new(push::pieces(settings.limits.pushes_bytes)),
        started: doors.clock.wall(),
        reloading: tokio::sync::Mutex::new(()),
    });
    Router::new()
        .route("/", get(pages::overview))
        .route("/targets/{id}", get(pages::target))
        .route("/graph", get(pages::graph))
        .route("/style.css", get(pages::style))
        .route("/metrics", get(metrics::show))
        .route("/-/healthy", get(healthy))
        .route("/-/ready", get(ready))
        .route("/-/reload", post(reload).put(reload))
        .route("/api/v1/write", post(push::write))
        .nest("/api/v1", api::routes(settings))
        .nest("/api/v2", api_v2::routes())
        .nest("/api/augenmass/v1", own::routes())
        .route("/act/{token}", get(pages::invitation).post(pages::accept))
        .route("/explain", get(pages::explain))
        .route("/incidents", get(pages::incidents))
        .route("/silences", get(pages::silences))
        .route("/order", post(pages::order))
        .fallback(async || answer::not_found())
        .method_not_allowed_fallback(async || answer::method_not_allowed())
        .layer(DefaultBodyLimit::max(settings.limits.body_bytes))
        .layer(middleware::from_fn_with_state(shared.clone(), access::guard))
        .layer(CompressionLayer::new().gzip(true))
        .layer(middleware::from_fn_with_state(shared.clone(), account))
        .with_state(shared)
}

/// Counts each request and puts the security headers on each answer.
async fn account(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let handler: Arc<str> = route.map_or("unknown", MatchedPath::as_str).into();
    let begun = shared.doors.clock.mono();
    let mut response = next.run(request).await;
    let took = shared.doors.clock.mono().since(begun);
    for (name, value) in SECURITY {
        let value = HeaderValue::from_static(value);
        response.headers_mut().entry(HeaderName::from_static(name)).or_insert(value);
    }
    let telemetry = &shared.doors.telemetry.web;
    let asked = WebAsked { handler: handler.clone() };
    telemetry.request_duration_seconds.get_or_create(&asked).observe(took.as_secs_f64());
    let code = response.status().as_u16();
    telemetry.requests.get_or_create(&WebAnswered { handler, code }).inc();
    response
}

/// Whether the process lives. Does no more than answer.
async fn healthy() -> Response {
    answer::plain(StatusCode::OK, "augenmass is healthy.\n")
}

/// Whether the process does its work.
async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    match (shared.doors.ready)() {
        Ok(()) => answer::plain(StatusCode::OK, "augenmass is ready.\n"),
        Err(missing) => {
            answer::plain(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {missing}\n"))
        }
    }
}

/// Loads the configuration again, and answers when that is done.
async fn reload(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    if let Err(refusal) = access::may_change(peer, &headers) {
        return answer::plain(StatusCode::FORBIDDEN, format!("refused: {}\n", refusal.reason()));
    }
    let _turn = shared.reloading.lock().await;
    let limit = tokio::time::timeout(Duration::from_secs(60), (shared.doors.reload)());
    match limit.await {
        Ok(Ok(())) => answer::plain(StatusCode::OK, ""),
        Ok(Err(problem)) => answer::plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the running configuration stays: {problem}\n"),
        ),
        Err(_) => answer::plain(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the configuration is still being loaded after a minute\n",
        ),
    }
}
