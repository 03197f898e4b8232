use std::sync::Arc;

use axum::extract::Request;
use axum::http::{StatusCode, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::router::Shared;
use super::Refusal;
use crate::alerting::{BadMatcher, parse_matcher};
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
    if body.is_empty() {
        return Err(required("", what));
    }
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
    if !bare.is_empty() && !bare.contains('/') {
        let kind: String = bare.chars().take(80).collect();
        let message =
            format!("parsing Content-Type header from {kind:?} failed, it has no subtype");
        return Err(Refusal::Coded(StatusCode::BAD_REQUEST, 400, message));
    }
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

    /// Yes unless something is written that is not yes, as Alertmanager reads it.
    pub(super) fn wants(&self, name: &str) -> bool {
        const YES: [&str; 8] = ["true", "1", "yes", "ok", "y", "on", "selected", "checked"];
        let written = self.all(name).last().filter(|text| !text.is_empty());
        written.is_none_or(|text| YES.iter().any(|yes| text.eq_ignore_ascii_case(yes)))
    }

    /// Matchers; all of them have to match.
    pub(super) fn matchers(&self, name: &str) -> Result<Vec<Matcher>, Refusal> {
        let mut found = Vec::new();
        for text in self.all(name) {
            found.push(parse_matcher(text).map_err(|error| match error {
                BadMatcher::Braces(_) => Refusal::bad(error.to_string()),
                _ => {
                    let shown: String = text.chars().take(80).collect();
                    Refusal::bad(format!("bad matcher format: {shown}"))
                }
            })?);
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

/// The body as what is expected in it. Fields whose type is wrong are no such body; names that are
/// given twice count once.
pub(super) fn written<T: DeserializeOwned>(value: Value, what: &str) -> Result<T, Refusal> {
    serde_json::from_value(value).map_err(|error| failed(what, &error.to_string()))
}

/// A field that must be there; `path` names it.
pub(super) fn required(path: &str, name: &str) -> Refusal {
    let dot = if path.is_empty() { "" } else { "." };
    Refusal::form(602, format!("{path}{dot}{name} in body is required"))
}

/// An instant that may be left out. What stands there and is none makes the whole body bad.
pub(super) fn moment(text: Option<&str>, what: &str) -> Result<Option<Timestamp>, Refusal> {
    let Some(text) = text else { return Ok(None) };
    if is_zero(text) {
        return Ok(None);
    }
    let shown: String = text.chars().take(80).collect();
    let bad = || failed(what, &format!("parsing time {shown:?}"));
    instant(text).map(Some).ok_or_else(bad)
}

/// Go's zero time, which counts as no time.
pub(super) fn is_zero(text: &str) -> bool {
    text.starts_with("0001-01-01T00:00:00")
}

/// RFC 3339 with capital letters, and what go-openapi takes besides: without seconds, without a
/// zone (UTC), a date alone, and nothing at all, which is the epoch. What is later than we can
/// count is the latest that we can.
pub(super) fn instant(text: &str) -> Option<Timestamp> {
    if text.is_empty() {
        return Some(Timestamp::from_millis(0));
    }
    let (date, rest) = (text.get(..10)?, &text[10..]);
    let date: jiff::civil::Date = date.parse().ok()?;
    let (time, offset) = match rest.strip_prefix('T') {
        Some(rest) => rest.split_at(rest.find(['Z', '+', '-']).unwrap_or(rest.len())),
        None if rest.is_empty() => ("00:00", ""),
        None => (rest.strip_prefix(' ')?, ""),
    };
    let seconds = offset_in_seconds(offset)?;
    // Without seconds only UTC is written.
    if time.len() == 5 && !matches!(offset, "" | "Z") {
        return None;
    }
    let days = date.duration_since(jiff::civil::date(1970, 1, 1));
    let millis = days.as_secs() * 1000 + millis_of_day(time)? - seconds * 1000;
    // Whole seconds: the milliseconds of the last one have no calendar date any more.
    let latest = jiff::Timestamp::MAX.as_second() * 1000;
    Some(Timestamp::from_millis(millis.min(latest)))
}

/// `HH:MM`, `HH:MM:SS`, with any fraction.
fn millis_of_day(time: &str) -> Option<i64> {
    let (whole, fraction) = match time.split_once('.') {
        Some((whole, fraction)) if whole.len() == 8 => (whole, Some(fraction)),
        Some(_) => return None,
        None => (time, None),
    };
    if !matches!(whole.len(), 5 | 8) {
        return None;
    }
    let two = |part: &str| -> Option<i64> {
        let fits = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| part.parse().ok()).flatten()
    };
    let mut parts = whole.split(':');
    let (hour, minute) = (two(parts.next()?)?, two(parts.next()?)?);
    let second = parts.next().map_or(Some(0), two)?;
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let millis = match fraction {
        None => 0,
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{digits:0<3}")[..3].parse::<i64>().ok()?
        }
        Some(_) => return None,
    };
    Some(((hour * 60 + minute) * 60 + second) * 1000 + millis)
}

/// Of `Z`, `+02:00`, or nothing.
fn offset_in_seconds(text: &str) -> Option<i64> {
    if matches!(text, "" | "Z") {
        return Some(0);
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+')?),
    };
    let fits = rest.len() == 5 && !rest.starts_with('.');
    let millis = fits.then(|| millis_of_day(rest)).flatten()?;
    Some(sign * millis / 1000)
}
