//! What Alertmanager's API has no words for: incidents with acknowledgements, silences that end with
//! their alerts, the incident log, and why somebody was told or not. The command line speaks this.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access;
use super::answer;
use super::connection::Peer;
use super::people::look;
use super::router::Shared;
use crate::alerting::{AlertStatus, Explained, GroupStatus, Verdict, explain, parse_matchers};
use crate::model::{Labels, Silence, Timestamp, Way, redacted, visible};
use crate::ports::{ActError, Actor, Channel, Entry, Lookup, Scope, SilenceOrder, Until};

/// How far back `explain` looks for what is still going on.
const BACK: Duration = Duration::from_secs(30 * 86_400);
/// How far ahead it looks for decisions about what fired already.
const AHEAD: Duration = Duration::from_secs(15 * 60);
/// Lines that are looked through at most.
const MOST: usize = 50_000;

/// All paths below `/api/augenmass/v1`.
pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/incidents", get(incidents))
        .route("/incidents/log", get(log))
        .route("/incidents/{id}/{deed}", post(acknowledge))
        .route("/explain", get(explanation))
        .route("/silences", get(silences).post(silence))
        .route("/silences/{id}", axum::routing::delete(expire))
        .method_not_allowed_fallback(async || answer::method_not_allowed())
}

/// An error: a status and a text.
pub(super) type Problem = (StatusCode, String);

fn bad(reason: impl Into<String>) -> Problem {
    (StatusCode::BAD_REQUEST, reason.into())
}

fn refused(error: &ActError) -> Problem {
    let status = match error {
        ActError::NoIncident(_) | ActError::NoSilence(_) => StatusCode::NOT_FOUND,
        ActError::Refused(_) => StatusCode::BAD_REQUEST,
        ActError::NotKept(_) => StatusCode::INTERNAL_SERVER_ERROR,
        ActError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, error.to_string())
}

fn stopping() -> Problem {
    refused(&ActError::Stopping)
}

fn respond(result: Result<Value, Problem>) -> Response {
    let (status, value) = match result {
        Ok(value) => (StatusCode::OK, value),
        Err((status, reason)) => (status, json!({ "error": reason })),
    };
    answer::with_body(status, "application/json", value.to_string())
}

/// As people read them. What is called a secret is nobody's business, and programs that need the
/// labels as they are ask Alertmanager's API.
fn object(labels: &Labels) -> Value {
    labels.iter().map(|(name, value)| (name.to_owned(), json!(redacted(value)))).collect()
}

/// A name of one to a hundred printable characters. Others read it: of a mail address the part
/// before the `@` is enough.
pub(super) fn name(text: &str) -> Result<Arc<str>, Problem> {
    let text = text.trim();
    let seen = visible(text);
    let seen = seen.split('@').find(|part| !part.is_empty()).unwrap_or("").trim();
    let fine = !seen.is_empty() && text.chars().count() <= 100 && !text.contains(char::is_control);
    if fine { Ok(seen.into()) } else { Err(bad("a name of 1 to 100 characters is needed")) }
}

async fn incidents(State(shared): State<Arc<Shared>>) -> Response {
    let seen = look(&shared, |desk, now| (desk.status(now), now)).await;
    let list = |(groups, now): (Vec<GroupStatus>, Timestamp)| {
        groups.iter().map(|one| group(one, now)).collect::<Value>()
    };
    respond(seen.ok_or_else(stopping).map(list))
}

fn group(group: &GroupStatus, now: Timestamp) -> Value {
    let alert = |alert: &AlertStatus| {
        json!({
            "labels": object(&alert.alert.labels),
            "since": alert.alert.phase.since().to_string(),
            "told": alert.told,
            "held": alert.why_not.as_ref().map(|why| {
                json!({ "reason": why.name(), "detail": why.detail() })
            }),
        })
    };
    json!({
        "incident": group.incident,
        "receiver": &*group.receiver,
        "route": &*group.route,
        "group": object(&group.group),
        "opened": group.opened.map(|at| at.to_string()),
        "told": group.told.map(|at| at.to_string()),
        "react_by": group.react_by.map(|at| at.to_string()),
        "overdue": group.react_by.is_some_and(|by| by <= now),
        "next_look": group.next_look.to_string(),
        "digest": group.digest,
        "acknowledged": group.acknowledged.as_ref().map(|known| json!({
            "by": &*known.by,
            "kind": known.kind.name(),
            "at": known.at.to_string(),
            "way": known.way.name(),
        })),
        "alerts": group.alerts.iter().map(alert).collect::<Vec<_>>(),
    })
}

#[derive(Deserialize)]
struct By {
    by: String,
}

async fn acknowledge(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Peer>,
    Path((id, deed)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let work = async {
        access::may_change(peer, &headers)
            .map_err(|refusal| (StatusCode::FORBIDDEN, refusal.reason().to_owned()))?;
        let By { by } = serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))?;
        let by = Actor { name: name(&by)?, way: Way::CommandLine, seen_at: None };
        let act = &shared.doors.act;
        let done = match deed.as_str() {
            "acknowledge" => act.acknowledge(&id, by).await,
            "claim" => act.claim(&id, by).await,
            _ => return Err((StatusCode::NOT_FOUND, "404 page not found".to_owned())),
        };
        done.map_err(|error| refused(&error))?;
        Ok(json!({ "incident": id }))
    };
    respond(work.await)
}

/// A silence as people order it.
#[derive(Deserialize)]
struct Wish {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    matchers: Vec<String>,
    #[serde(default)]
    incident: Option<String>,
    #[serde(default)]
    starts: Option<String>,
    #[serde(default)]
    ends: Option<String>,
    #[serde(default)]
    seconds: Option<u64>,
    #[serde(default)]
    until_resolved: bool,
    by: String,
    #[serde(default)]
    comment: String,
}

impl Wish {
    fn order(&self) -> Result<SilenceOrder, Problem> {
        let instant = |text: &String| {
            let at: Result<jiff::Timestamp, _> = text.parse();
            let at = at.map_err(|_| bad(format!("`{text}` is no instant")))?;
            Ok::<_, Problem>(Timestamp::from_millis(at.as_millisecond()))
        };
        let scope = match &self.incident {
            Some(incident) => Scope::Incident(incident.as_str().into()),
            None => {
                let mut matchers = Vec::new();
                for text in &self.matchers {
                    matchers.extend(parse_matchers(text).map_err(|e| bad(e.to_string()))?);
                }
                Scope::Matching(matchers)
            }
        };
        let length = self.seconds.map(Duration::from_secs);
        let until = match (&self.ends, length, self.until_resolved) {
            (None, Some(at_most), true) => Until::Resolved { at_most },
            (None, Some(length), false) => Until::For(length),
            (Some(ends), None, false) => Until::Instant(instant(ends)?),
            _ => return Err(bad("`ends` or `seconds` is needed, and not both")),
        };
        Ok(SilenceOrder {
            id: self.id.as_deref().map(Into::into),
            scope,
            starts: self.starts.as_ref().map(instant).transpose()?,
            until,
            comment: self.comment.chars().take(2_000).collect::<String>().into(),
        })
    }
}

async fn silence(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let work = async {
        access::may_change(peer, &headers)
            .map_err(|refusal| (StatusCode::FORBIDDEN, refusal.reason().to_owned()))?;
        let wish: Wish = serde_json::from_slice(&body).map_err(|error| bad(error.to_string()))?;
        let by = Actor { name: name(&wish.by)?, way: Way::CommandLine, seen_at: None };
        let id = shared.doors.act.silence(wish.order()?, by).await;
        Ok(json!({ "id": &*id.map_err(|error| refused(&error))? }))
    };
    respond(work.await)
}

async fn expire(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let work = async {
        access::may_change(peer, &headers)
            .map_err(|refusal| (StatusCode::FORBIDDEN, refusal.reason().to_owned()))?;
        let by = Actor { name: "command-line".into(), way: Way::CommandLine, seen_at: None };
        shared.doors.act.expire(&id, by).await.map_err(|error| refused(&error))?;
        Ok(json!({ "id": id }))
    };
    respond(work.await)
}

async fn silences(State(shared): State<Arc<Shared>>) -> Response {
    let seen = look(&shared, |desk, now| (desk.silences().to_vec(), now)).await;
    let list = |(silences, now): (Vec<Silence>, Timestamp)| {
        silences.iter().map(|silence| shown(silence, now)).collect::<Value>()
    };
    respond(seen.ok_or_else(stopping).map(list))
}

fn shown(silence: &Silence, now: Timestamp) -> Value {
    let state = if silence.ends <= now {
        "expired"
    } else if now < silence.starts {
        "pending"
    } else {
        "active"
    };
    json!({
        "id": &*silence.id,
        "state": state,
        "matchers": silence.matchers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "incident": silence.incident.as_deref(),
        "starts": silence.starts.to_string(),
        "ends": silence.ends.to_string(),
        "until_resolved": silence.until_resolved,
        "by": &*silence.created_by,
        "comment": &*silence.comment,
        "updated": silence.updated.to_string(),
    })
}

/// Who asks about what, and when.
#[derive(Default, Deserialize)]
pub(super) struct Question {
    #[serde(default)]
    pub(super) to: String,
    #[serde(default)]
    pub(super) at: String,
}

impl Question {
    /// The instant asked about; now when none is given.
    pub(super) fn instant(&self, now: Timestamp) -> Result<Timestamp, Problem> {
        if self.at.is_empty() {
            return Ok(now);
        }
        let at: Result<jiff::Timestamp, _> = self.at.parse();
        let shown: String = self.at.chars().take(40).collect();
        let wanted = "an instant such as 2026-11-22T18:30:00+01:00";
        let at = at.map_err(|_| bad(format!("`{shown}` should be {wanted}")))?;
        Ok(Timestamp::from_millis(at.as_millisecond()))
    }
}

/// Every decision about what somebody might ask about, with its reason.
pub(super) async fn decisions(
    shared: &Arc<Shared>,
    to: &str,
    at: Timestamp,
) -> Result<Vec<Explained>, Problem> {
    let lookup = Lookup { incident: None, from: at - BACK, through: at + AHEAD, most: MOST };
    let entries = shared.doors.people.journal(lookup).await;
    let entries =
        entries.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let mut all = explain(&entries, to, at);
    let seen = look(shared, |desk, now| (desk.status(now), now)).await;
    // What nobody has decided on yet stands in no log.
    if let Some((groups, now)) = seen
        && at.since(now).is_some()
    {
        let waiting = groups.iter().flat_map(|group| waiting(group, to));
        let fresh: Vec<Explained> = waiting
            .filter(|one| !all.iter().any(|e| e.alert == one.alert && e.receiver == one.receiver))
            .collect();
        all.extend(fresh);
    }
    Ok(all)
}

/// Alerts of a group that wait for the next look.
fn waiting<'a>(group: &'a GroupStatus, to: &str) -> impl Iterator<Item = Explained> + use<'a> {
    let theirs = *group.receiver == *to;
    let waits = group.alerts.iter().filter(|alert| !alert.told && alert.why_not.is_none());
    waits.map(move |alert| Explained {
        alert: alert.alert.labels.clone(),
        since: alert.alert.phase.since(),
        verdict: if theirs { Verdict::Waiting } else { Verdict::NotTheirs },
        reason: if theirs { "grouped".into() } else { "owner".into() },
        detail: match theirs {
            true => format!("until {}", group.next_look),
            false => format!("{} is responsible", group.receiver),
        },
        at: alert.alert.phase.since(),
        incident: group.incident.clone(),
        receiver: group.receiver.clone(),
        not_again: None,
    })
}

async fn explanation(
    State(shared): State<Arc<Shared>>,
    Query(question): Query<Question>,
) -> Response {
    let work = async {
        let at = question.instant(shared.doors.clock.wall())?;
        if question.to.is_empty() {
            return Err(bad("`to` is needed: an owner or a receiver"));
        }
        let all = decisions(&shared, &question.to, at).await?;
        let known = knows(&shared, &question.to).await;
        let one = |explained: &Explained| {
            json!({
                "alert": object(&explained.alert),
                "since": explained.since.to_string(),
                "verdict": explained.verdict.name(),
                "reason": &*explained.reason,
                "detail": explained.detail,
                "at": explained.at.to_string(),
                "incident": explained.incident,
                "receiver": &*explained.receiver,
                "not_again": explained.not_again.as_deref(),
            })
        };
        Ok(json!({
            "to": question.to,
            "known": known,
            "at": at.to_string(),
            "decisions": all.iter().map(one).collect::<Vec<_>>(),
        }))
    };
    respond(work.await)
}

/// Whether somebody of that name is told of anything.
pub(super) async fn knows(shared: &Arc<Shared>, who: &str) -> bool {
    let who = who.to_owned();
    let found = look(shared, move |desk, _| {
        desk.plan().routes.iter().any(|(_, route)| *route.receiver == *who)
    });
    found.await.unwrap_or(false)
}

/// Which part of the log, in which form.
#[derive(Default, Deserialize)]
struct Wanted {
    #[serde(default)]
    incident: Option<String>,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    format: String,
}

async fn log(State(shared): State<Arc<Shared>>, Query(wanted): Query<Wanted>) -> Response {
    let work = async {
        let instant = |text: &Option<String>, absent: Timestamp| match text {
            None => Ok(absent),
            Some(text) => Question { to: String::new(), at: text.clone() }.instant(absent),
        };
        let lookup = Lookup {
            incident: wanted.incident.clone(),
            from: instant(&wanted.from, Timestamp::MIN)?,
            through: instant(&wanted.to, Timestamp::MAX)?,
            most: MOST,
        };
        let entries = shared.doors.people.journal(lookup).await;
        entries.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
    };
    match work.await {
        Ok(entries) if wanted.format == "csv" => {
            answer::with_body(StatusCode::OK, "text/csv; charset=utf-8", table(&entries))
        }
        Ok(entries) => respond(Ok(entries.iter().map(line).collect())),
        Err(problem) => respond(Err(problem)),
    }
}

fn channel(entry: &Entry) -> &'static str {
    match entry.channel {
        Some(Channel::Email) => "email",
        Some(Channel::Matrix) => "matrix",
        Some(Channel::Webhook) => "webhook",
        None => "",
    }
}

fn line(entry: &Entry) -> Value {
    let alert = |(labels, since): &(Labels, Timestamp)| json!({ "labels": object(labels), "since": since.to_string() });
    json!({
        "at": entry.at.to_string(),
        "incident": entry.incident,
        "event": entry.event.name(),
        "reason": &*entry.reason,
        "detail": entry.detail,
        "receiver": &*entry.receiver,
        "channel": channel(entry),
        "who": &*entry.who,
        "group": object(&entry.group),
        "alerts": entry.alerts.iter().map(alert).collect::<Vec<_>>(),
    })
}

/// RFC 4180, with a line of names.
fn table(entries: &[Entry]) -> String {
    let mut out =
        "at,incident,event,reason,detail,receiver,channel,who,group,alerts\r\n".to_owned();
    for entry in entries {
        let alerts: Vec<String> =
            entry.alerts.iter().map(|(labels, _)| redacted(&labels.to_string())).collect();
        let fields = [
            entry.at.to_string(),
            entry.incident.clone().unwrap_or_default(),
            entry.event.name().to_owned(),
            entry.reason.to_string(),
            entry.detail.clone(),
            entry.receiver.to_string(),
            channel(entry).to_owned(),
            entry.who.to_string(),
            redacted(&entry.group.to_string()),
            alerts.join(" "),
        ];
        let fields: Vec<String> = fields.iter().map(|field| quoted(&visible(field))).collect();
        out.push_str(&fields.join(","));
        out.push_str("\r\n");
    }
    out
}

/// A field that a spreadsheet takes for a text, also when it begins like a formula.
fn quoted(field: &str) -> String {
    let text = field.replace('"', "\"\"");
    let formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let guard = if formula { "'" } else { "" };
    if guard.is_empty() && !field.contains(['"', ',', '\n', '\r']) {
        return text;
    }
    format!("\"{guard}{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_and_no_formula() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(quoted("=1+1"), "\"'=1+1\"");
    }

    #[test]
    fn a_wish_names_one_end() {
        let wish = |more: &str| -> Wish {
            serde_json::from_str(&format!("{{\"by\":\"me\",\"matchers\":[\"a=b\"]{more}}}"))
                .unwrap()
        };
        assert!(wish("").order().is_err());
        let order = wish(",\"seconds\":60").order().unwrap();
        assert_eq!(order.until, Until::For(Duration::from_secs(60)));
        let order = wish(",\"seconds\":60,\"until_resolved\":true").order().unwrap();
        assert_eq!(order.until, Until::Resolved { at_most: Duration::from_secs(60) });
        assert!(wish(",\"seconds\":60,\"ends\":\"2026-01-01T00:00:00Z\"").order().is_err());
        assert!(wish(",\"ends\":\"tomorrow\"").order().is_err());
    }
}
