use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use super::answer;
use super::router::Shared;
use crate::ports::Push;

/// The longest a push may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(120);
/// Places are counted in pieces of so many bytes.
const PIECE: usize = 1024;
const WRITTEN: [&str; 3] = [
    "x-prometheus-remote-write-samples-written",
    "x-prometheus-remote-write-histograms-written",
    "x-prometheus-remote-write-exemplars-written",
];

/// How many pieces all pushes on their way in may take.
pub(super) fn pieces(bytes: usize) -> usize {
    bytes.div_ceil(PIECE)
}

/// `/api/v1/write`: remote write. The answer comes when the samples are durable.
pub(super) async fn write(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let Some(receive) = shared.doors.receive.clone() else { return answer::not_found() };
    let limits = shared.settings.limits;
    let text = |headers: &HeaderMap, name| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("").to_owned()
    };
    let content_type = text(request.headers(), header::CONTENT_TYPE);
    let encoding = text(request.headers(), header::CONTENT_ENCODING);
    let told: Option<usize> = text(request.headers(), header::CONTENT_LENGTH).parse().ok();
    if told.is_some_and(|told| told > limits.push_bytes) {
        return too_large(limits.push_bytes);
    }
    let wanted = u32::try_from(pieces(told.unwrap_or(limits.push_bytes))).unwrap_or(u32::MAX);
    let Ok(_room) = shared.pushing.try_acquire_many(wanted.max(1)) else {
        let busy = "too many pushes at the same time; try again\n";
        return later(answer::plain(StatusCode::TOO_MANY_REQUESTS, busy), Duration::from_secs(1));
    };
    let arrival = arrive(request, told.unwrap_or(0), limits.push_bytes, limits.stall_timeout);
    let body = match tokio::time::timeout(ARRIVAL, arrival).await {
        Ok(Ok(body)) => body,
        Ok(Err(response)) => return response,
        Err(_) => return slow(),
    };
    let outcome = receive.receive(Push { content_type, encoding, body }).await;
    let status = StatusCode::from_u16(outcome.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = if outcome.text.is_empty() {
        answer::plain(status, "")
    } else {
        answer::plain(status, format!("{}\n", outcome.text))
    };
    for (name, count) in WRITTEN.iter().zip(outcome.written.into_iter().flatten()) {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from(count));
    }
    match outcome.retry_after {
        Some(wait) => later(response, wait),
        None => response,
    }
}

/// The whole body; each piece of it within `patience`.
async fn arrive(
    request: Request,
    told: usize,
    limit: usize,
    patience: Duration,
) -> Result<Bytes, Response> {
    let mut body = request.into_body();
    let mut whole = BytesMut::with_capacity(told.min(limit));
    loop {
        match tokio::time::timeout(patience, body.frame()).await {
            Err(_) => return Err(slow()),
            Ok(None) => return Ok(whole.freeze()),
            Ok(Some(Err(_))) => {
                return Err(answer::plain(StatusCode::BAD_REQUEST, "the body ended early\n"));
            }
            Ok(Some(Ok(frame))) => {
                let Ok(data) = frame.into_data() else { continue };
                if whole.len() + data.len() > limit {
                    return Err(too_large(limit));
                }
                whole.extend_from_slice(&data);
            }
        }
    }
}

fn slow() -> Response {
    answer::plain(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time\n")
}

fn too_large(limit: usize) -> Response {
    let text = format!("a push may have {limit} bytes; send smaller ones\n");
    answer::plain(StatusCode::PAYLOAD_TOO_LARGE, text)
}

fn later(mut response: Response, wait: Duration) -> Response {
    let seconds = HeaderValue::from(wait.as_secs().max(1));
    response.headers_mut().insert(header::RETRY_AFTER, seconds);
    response
}
