use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

/// An answer with a body of a known kind.
pub(super) fn with_body(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Body>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// One or more lines of text for people and scripts.
pub(super) fn plain(status: StatusCode, text: impl Into<String>) -> Response {
    with_body(status, "text/plain; charset=utf-8", text.into())
}

/// What clients know a missing API by: some look for exactly these words.
pub(super) fn not_found() -> Response {
    plain(StatusCode::NOT_FOUND, "404 page not found\n")
}

/// The path exists, but not for this method.
pub(super) fn method_not_allowed() -> Response {
    plain(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed\n")
}
