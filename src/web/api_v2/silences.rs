use std::cmp::Reverse;
use std::sync::Arc;

use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::access;
use super::super::connection::Peer;
use super::super::people::look;
use super::super::router::Shared;
use super::Refusal;
use super::body::{Asked, json as read_json, moment, required, written};
use super::reply::good;
use crate::alerting::{BadMatcher, regex_matcher};
use crate::model::{Labels, Matcher, Silence, Test, Timestamp, Way};
use crate::ports::{ActError, Actor, Scope, SilenceOrder, Until};

/// Nobody writes a longer comment by hand.
const LONGEST_COMMENT: usize = 8 << 10;
/// A silence may have so many matchers.
const MOST_MATCHERS: usize = 100;

fn state(silence: &Silence, now: Timestamp) -> &'static str {
    if silence.ends <= now {
        "expired"
    } else if now < silence.starts {
        "pending"
    } else {
        "active"
    }
}

fn shown(silence: &Silence, now: Timestamp) -> Value {
    let matcher = |matcher: &Matcher| {
        let (value, regex, equal) = match matcher.test() {
            Test::Equal(value) => (&**value, false, true),
            Test::NotEqual(value) => (&**value, false, false),
            Test::Match(pattern) => (pattern.as_str(), true, true),
            Test::NotMatch(pattern) => (pattern.as_str(), true, false),
        };
        json!({ "isEqual": equal, "isRegex": regex, "name": matcher.name(), "value": value })
    };
    json!({
        "id": &*silence.id,
        "status": { "state": state(silence, now) },
        "updatedAt": silence.updated.to_string(),
        "comment": &*silence.comment,
        "createdBy": &*silence.created_by,
        "endsAt": silence.ends.to_string(),
        "matchers": silence.matchers.iter().map(matcher).collect::<Vec<_>>(),
        "startsAt": silence.starts.to_string(),
    })
}

/// Active silences by their end, pending ones by their start, then those that are over, the latest
/// first.
pub(super) async fn list(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Refusal> {
    let asked = Asked::of(&uri);
    let filter = asked.matchers("filter")?;
    let seen = look(&shared, |desk, now| (desk.silences().to_vec(), now));
    let (mut silences, now) = seen.await.ok_or_else(Refusal::stopping)?;
    silences.retain(|silence| asked.wants(state(silence, now)) && fits(silence, &filter));
    silences.sort_by_key(|silence| match state(silence, now) {
        "active" => (0, silence.ends.millis(), Reverse(0)),
        "pending" => (1, silence.starts.millis(), Reverse(0)),
        _ => (2, 0, Reverse(silence.ends.millis())),
    });
    let list: Vec<Value> = silences.iter().map(|silence| shown(silence, now)).collect();
    Ok(good(&list))
}

/// Whether a filter picks a silence: each of its matchers is one of the silence's own, as in
/// Alertmanager 0.33.
fn fits(silence: &Silence, filter: &[Matcher]) -> bool {
    filter.iter().all(|wanted| silence.matchers.contains(wanted))
}

/// One silence.
pub(super) async fn one(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    must_be_uuid(&id)?;
    let seen = look(&shared, move |desk, now| {
        let found = desk.silences().iter().find(|silence| *silence.id == *id);
        found.map(|silence| shown(silence, now))
    });
    match seen.await.ok_or_else(Refusal::stopping)? {
        Some(silence) => Ok(good(&silence)),
        None => Err(Refusal::Bare(StatusCode::NOT_FOUND)),
    }
}

fn must_be_uuid(id: &str) -> Result<(), Refusal> {
    let lengths: Vec<usize> = id.split('-').map(str::len).collect();
    let hexadecimal = id.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    if hexadecimal && lengths == [8, 4, 4, 4, 12] {
        return Ok(());
    }
    let shown: String = id.chars().take(80).collect();
    Err(Refusal::form(601, format!("silenceID in path must be of type uuid: {shown:?}")))
}

/// Makes a silence, or changes one.
pub(super) async fn set(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Refusal> {
    access::may_change(peer, request.headers())?;
    let body = read_json(&shared, request, "silence").await?;
    let body: Written = written(body, "silence")?;
    let (starts, ends) = (body.starts_at.as_deref(), body.ends_at.as_deref());
    let times = (moment(starts, "silence")?, moment(ends, "silence")?);
    let comment = body.comment.as_deref().ok_or_else(|| required("", "comment"))?;
    let created_by = body.created_by.as_deref().ok_or_else(|| required("", "createdBy"))?;
    ends.ok_or_else(|| required("", "endsAt"))?;
    let items = body.matchers.as_deref().ok_or_else(|| required("", "matchers"))?;
    must_be_whole(items)?;
    starts.ok_or_else(|| required("", "startsAt"))?;
    let matchers = matchers(items)?;
    let starts = times.0;
    let ends = times.1.ok_or_else(|| {
        Refusal::bad("Failed to create silence: start time must be before end time")
    })?;
    if LONGEST_COMMENT < comment.len() || LONGEST_COMMENT < created_by.len() {
        return Err(Refusal::bad("the comment or the name is too long"));
    }
    let id = body.id.as_deref().filter(|id| !id.is_empty());
    let order = SilenceOrder {
        id: id.map(Into::into),
        scope: Scope::Matching(matchers),
        starts,
        until: Until::Instant(ends),
        comment: comment.into(),
    };
    let by = Actor { name: created_by.into(), way: Way::Api, seen_at: None };
    let id = shared.doors.act.silence(order, by).await?;
    Ok(good(&json!({ "silenceID": &*id })))
}

/// A silence as it is written, each field of the right type.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    id: Option<String>,
    comment: Option<String>,
    created_by: Option<String>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    matchers: Option<Vec<WrittenMatcher>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenMatcher {
    name: Option<String>,
    value: Option<String>,
    is_regex: Option<bool>,
    is_equal: Option<bool>,
}

fn must_be_whole(items: &[WrittenMatcher]) -> Result<(), Refusal> {
    if items.is_empty() {
        return Err(Refusal::form(612, "matchers in body should have at least 1 items"));
    }
    for (at, item) in items.iter().enumerate() {
        let path = format!("matchers.{at}");
        item.is_regex.ok_or_else(|| required(&path, "isRegex"))?;
        item.name.as_ref().ok_or_else(|| required(&path, "name"))?;
        item.value.as_ref().ok_or_else(|| required(&path, "value"))?;
    }
    Ok(())
}

fn matchers(items: &[WrittenMatcher]) -> Result<Vec<Matcher>, Refusal> {
    if MOST_MATCHERS < items.len() {
        return Err(Refusal::bad(format!("invalid silence: more than {MOST_MATCHERS} matchers")));
    }
    let mut found = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        let regex = item.is_regex.unwrap_or(false);
        let name = item.name.as_deref().unwrap_or("");
        let value = item.value.as_deref().unwrap_or("");
        let equal = item.is_equal.unwrap_or(true);
        let broken = |reason: String| {
            Refusal::bad(format!("invalid silence: invalid label matcher {at}: {reason}"))
        };
        // A name with an end of line or the like is no name of a label.
        if name.is_empty() || Labels::from_pairs([(name, "x")]).is_err() {
            return Err(broken(format!("invalid label name {name:?}")));
        }
        found.push(match (regex, equal) {
            (false, true) => Matcher::equal(name, value),
            (false, false) => Matcher::new(name, Test::NotEqual(value.into())),
            (true, equal) => regex_matcher(name, value, equal).map_err(|error| match error {
                BadMatcher::Regex { text, reason } => {
                    broken(format!("invalid regular expression {text:?}: {reason}"))
                }
                other => broken(other.to_string()),
            })?,
        });
    }
    Ok(found)
}

/// Ends a silence.
pub(super) async fn expire(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    access::may_change(peer, &headers)?;
    must_be_uuid(&id)?;
    let by = Actor { name: "api".into(), way: Way::Api, seen_at: None };
    match shared.doors.act.expire(&id, by).await {
        Ok(()) => Err(Refusal::Bare(StatusCode::OK)),
        Err(ActError::NoSilence(_)) => Err(Refusal::Bare(StatusCode::NOT_FOUND)),
        // It is over already, which was wanted.
        Err(ActError::Refused(_)) => Err(Refusal::Bare(StatusCode::OK)),
        Err(error) => Err(error.into()),
    }
}
