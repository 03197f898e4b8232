//! What people look at: an overview of all services and a page for each target. Rendered here, with
//! no script; works on a phone, for a screen reader and on paper.

mod graph;
mod people;
mod plot;
mod terms;
mod view;
mod words;

use std::sync::{Arc, LazyLock};

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_64;

use super::answer;
use super::router::Shared;
pub(super) use graph::graph;
pub(super) use people::{accept, explain, incidents, invitation, order, silences};
use view::{AlertLine, Frame, Moment, RowLine, ServiceBlock, TargetLine};
use words::Words;

const STYLE: &str = include_str!("style.css");

/// Changes with the style, so that browsers may keep it for long.
static STYLE_MARK: LazyLock<String> =
    LazyLock::new(|| format!("{:016x}", xxh3_64(STYLE.as_bytes())));

/// What the address of a page may ask for.
#[derive(Default, Deserialize)]
pub(super) struct Wishes {
    #[serde(default)]
    lang: String,
    #[serde(default)]
    refresh: String,
}

#[derive(Template)]
#[template(path = "overview.html", config = "src/web/pages/askama.toml")]
struct Overview {
    frame: Frame,
    headline: String,
    missing: String,
    alerts: Vec<AlertLine>,
    services: Vec<ServiceBlock>,
}

#[derive(Template)]
#[template(path = "target.html", config = "src/web/pages/askama.toml")]
struct Target {
    frame: Frame,
    target: TargetLine,
    service: Arc<str>,
    owner: Arc<str>,
    last: Option<Moment>,
    took: String,
    alerts: Vec<AlertLine>,
    rows: Vec<RowLine>,
}

/// All services: responsible, state, since when, last value; above them what is wrong.
pub(super) async fn overview(
    State(shared): State<Arc<Shared>>,
    Query(wishes): Query<Wishes>,
    headers: HeaderMap,
) -> Response {
    let mut frame = frame(&shared, &wishes, &headers, "");
    let targets = shared.doors.board.targets();
    let alerts = view::open_alerts(&(shared.doors.rules)());
    let firing = alerts.iter().filter(|alert| view::is_firing(alert)).count();
    let some = targets.iter().filter(|status| view::is_wrong(status, &alerts)).count();
    let headline = match (some, targets.len(), firing) {
        (0, _, 1..) => frame.words.alerts_firing(firing),
        (_, 0, _) => frame.words.nothing_watched.to_owned(),
        (0, ..) => frame.words.all_well.to_owned(),
        (some, all, _) => frame.words.need_attention(some, all),
    };
    frame.title = format!("{headline} – {}", frame.instance);
    let services = view::services(&frame, &targets, &alerts);
    let alerts = view::alerts(&frame, &alerts);
    let missing = (shared.doors.ready)().err().unwrap_or_default();
    page(&Overview { frame, headline, missing, alerts, services })
}

/// One target: its state and all series of the last try.
pub(super) async fn target(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    Query(wishes): Query<Wishes>,
    headers: HeaderMap,
) -> Response {
    let board = &shared.doors.board;
    let Some(status) = board.targets().into_iter().find(|status| view::id(status) == id) else {
        return answer::not_found();
    };
    let mut frame = frame(&shared, &wishes, &headers, "..");
    frame.title = format!("{} – {}", status.target, frame.instance);
    let alerts = view::open_alerts(&(shared.doors.rules)());
    let mine: Vec<_> = alerts.into_iter().filter(|alert| view::concerns(alert, &status)).collect();
    let alerts = view::alerts(&frame, &mine);
    let rows = view::rows(&status, board.catalogue());
    page(&Target {
        last: status.last.map(|at| frame.moment(at)),
        took: status.took.map(view::took).unwrap_or_default(),
        target: TargetLine::new(&frame, &status, &[]),
        service: status.service,
        owner: status.owner,
        frame,
        alerts,
        rows,
    })
}

/// The style of all pages.
pub(super) async fn style() -> Response {
    let mut response = answer::with_body(StatusCode::OK, "text/css; charset=utf-8", STYLE);
    let keep = HeaderValue::from_static("public, max-age=31536000, immutable");
    response.headers_mut().insert(header::CACHE_CONTROL, keep);
    response
}

fn frame(shared: &Shared, wishes: &Wishes, headers: &HeaderMap, root: &'static str) -> Frame {
    let accept = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    let settings = &shared.settings;
    let words = Words::choose(&wishes.lang, accept.unwrap_or(""), &settings.language);
    let refresh = (wishes.refresh != "off").then(|| settings.refresh.as_secs().max(5));
    let root = if root.is_empty() { "." } else { root };
    Frame::new(words, settings, refresh, root, &STYLE_MARK, shared.doors.clock.wall())
}

fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => {
            let mut response = answer::with_body(StatusCode::OK, "text/html; charset=utf-8", html);
            let headers = response.headers_mut();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert(header::VARY, HeaderValue::from_static("accept-language"));
            response
        }
        Err(error) => {
            tracing::error!(%error, "a page could not be made");
            answer::plain(StatusCode::INTERNAL_SERVER_ERROR, "the page could not be made\n")
        }
    }
}
