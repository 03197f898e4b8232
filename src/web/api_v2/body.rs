use std::sync::Arc;

use axum::extract::Request;
use axum::http::{StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use serde_json::Value;

use super::super::router::Shared;
use super::Refusal;
use crate::alerting::parse_matchers;
use crate::model::{Matcher, Pattern, Timestamp};

/// A body of this API may have so many bytes: a Prometheus sends up to some hundred alerts at once,
/// a test program ten thousand.
const LARGEST: usize = 16 << 20;

/// The body as JSON.
pub(super) async fn json(
    shared: &Arc<Shared>,
    request: Request,
    what: &str,
) -> Result<Value, Refusal> {
    parsed(&bytes(shared, request, what).await?, what)
}

/// A body that was read, as JSON.
pub(super) fn parsed(body: &[u8], what: &str) -> Result<Value, Refusal> {
    serde_json::from_slice(body).map_err(|error| failed(what, &error.to_string()))
}

fn failed(what: &str, why: &str) -> Refusal {
    let message = format!("parsing {what} body from \"\" failed, because {why}");
    Refusal::Coded(StatusCode::BAD_REQUEST, 400, message)
}

/// The body, which says of itself that it is JSON.
pub(super) async fn bytes(
    shared: &Arc<Shared>,
    request: Request,
    what: &str,
) -> Result<Bytes, Refusal> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|value| value.to_str().ok()).unwrap_or("");
    let bare = kind.split(';').next().unwrap_or("").trim();
    if !bare.eq_ignore_ascii_case("application/json") {
        let kind: String = kind.chars().take(80).collect();
        let message =
            format!("unsupported media type {kind:?}, only [application/json] are allowed");
        return Err(Refusal::Coded(StatusCode::UNSUPPORTED_MEDIA_TYPE, 415, message));
    }
    let limit = shared.settings.limits.stall_timeout;
    let body = Limited::new(request.into_body(), LARGEST).collect();
    match tokio::time::timeout(limit, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(failed(what, &error.to_string())),
        Err(_) => Err(failed(what, "it did not arrive in time")),
    }
}

/// The parameters in the address.
pub(super) struct Asked(Vec<(String, String)>);

impl Asked {
    pub(super) fn of(uri: &Uri) -> Self {
        let query = uri.query().unwrap_or("");
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Yes unless something else than yes is written, as Alertmanager reads it.
    pub(super) fn wants(&self, name: &str) -> bool {
        const YES: [&str; 8] = ["true", "1", "yes", "ok", "y", "on", "selected", "checked"];
        let written = self.all(name).last();
        written.is_none_or(|text| YES.iter().any(|yes| text.eq_ignore_ascii_case(yes)))
    }

    /// Matchers; all of them have to match.
    pub(super) fn matchers(&self, name: &str) -> Result<Vec<Matcher>, Refusal> {
        let mut found = Vec::new();
        for text in self.all(name) {
            let more = parse_matchers(text).map_err(|_| {
                let shown: String = text.chars().take(80).collect();
                Refusal::bad(format!("bad matcher format: {shown}"))
            })?;
            found.extend(more);
        }
        Ok(found)
    }

    /// A regular expression over receivers' names.
    pub(super) fn receiver(&self) -> Result<Option<Pattern>, Refusal> {
        let Some(text) = self.all("receiver").last().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let refused = |reason| Refusal::bad(format!("failed to parse receiver param: {reason}"));
        Pattern::within_lines(text).map(Some).map_err(|error| refused(error.to_string()))
    }
}

/// RFC 3339.
pub(super) fn instant(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp::from_millis(at.as_millisecond()))
}

/// A field that must be there; `path` names it.
pub(super) fn need<'v>(value: &'v Value, path: &str, name: &str) -> Result<&'v Value, Refusal> {
    let dot = if path.is_empty() { "" } else { "." };
    value
        .get(name)
        .filter(|value| !value.is_null())
        .ok_or_else(|| Refusal::form(602, format!("{path}{dot}{name} in body is required")))
}

/// A text that must be there.
pub(super) fn text<'v>(value: &'v Value, path: &str, name: &str) -> Result<&'v str, Refusal> {
    let dot = if path.is_empty() { "" } else { "." };
    need(value, path, name)?.as_str().ok_or_else(|| {
        Refusal::form(601, format!("{path}{dot}{name} in body must be of type string"))
    })
}

/// An instant that may be left out.
pub(super) fn moment(value: &Value, path: &str, name: &str) -> Result<Option<Timestamp>, Refusal> {
    let dot = if path.is_empty() { "" } else { "." };
    match value.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() || text.starts_with("0001-01-01T00:00:00") => {
            Ok(None)
        }
        Some(value) => match value.as_str().and_then(instant) {
            Some(at) => Ok(Some(at)),
            None => Err(Refusal::form(
                601,
                format!("{path}{dot}{name} in body must be of type date-time"),
            )),
        },
    }
}
