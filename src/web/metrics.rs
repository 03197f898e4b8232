use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::answer;
use super::process;
use super::router::Shared;
use crate::exposition::{Family, Format, Limits, Sample, Syntax, join, parse, write_hiding};
use crate::model::{Labels, METRIC_NAME, MetricType};

/// Labels that the scraper gives, and that therefore must not be on the page.
const FROM_SCRAPER: &[&str] = &["job", "instance"];

/// `/metrics`: our own metrics and the last rows of each target, in the format that was asked for.
pub(super) async fn show(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let accept: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let format = Format::negotiate(&accept.join(","));
    let Ok(place) = shared.rendering.clone().acquire_owned().await else {
        return answer::plain(StatusCode::SERVICE_UNAVAILABLE, "shutting down\n");
    };
    // A page of ten thousand series costs milliseconds, too long for the runtime's own threads.
    let page = tokio::task::spawn_blocking(move || {
        let _place = place;
        render(&shared, format)
    });
    let Ok(page) = page.await else {
        return answer::plain(StatusCode::INTERNAL_SERVER_ERROR, "the page could not be made\n");
    };
    let mut response = answer::with_body(StatusCode::OK, "text/plain", page);
    if let Ok(value) = HeaderValue::from_str(&format.content_type()) {
        response.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    response
}

fn render(shared: &Shared, format: Format) -> String {
    let board = &shared.doors.board;
    let targets = board.targets();
    let rows = targets.iter().flat_map(|target| target.rows.iter());
    write_hiding(&join(own(shared), rows, board.catalogue()), format, FROM_SCRAPER)
}

/// What we say about ourselves.
pub(super) fn own(shared: &Shared) -> Vec<Family> {
    let mut own = vec![build_info()];
    let text = shared.doors.telemetry.encode();
    match parse(text.as_bytes(), Syntax::OpenMetrics, Limits::default()) {
        Ok(page) => own.extend(page.into_families()),
        Err(error) => tracing::error!(%error, "our own metrics are not a valid page"),
    }
    own.extend(process::families());
    own
}

fn build_info() -> Family {
    let labels = Labels::from_pairs([
        (METRIC_NAME, "augenmass_build_info"),
        ("version", env!("CARGO_PKG_VERSION")),
    ]);
    Family {
        name: "augenmass_build_info".to_owned(),
        help: "Which program this is.".to_owned(),
        kind: MetricType::Info,
        unit: String::new(),
        samples: labels.into_iter().map(|labels| Sample::new(labels, 1.0)).collect(),
    }
}
