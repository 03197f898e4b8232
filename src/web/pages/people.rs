//! Who is told of what: incidents, silences, why somebody was told or not, and the page that a
//! signed link in a message leads to.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_64;

use super::super::access;
use super::super::answer;
use super::super::connection::Peer;
use super::super::own::{self, Question};
use super::super::people::look;
use super::super::router::Shared;
use super::terms::Terms;
use super::view::{Frame, Moment};
use super::{Wishes, frame, page};
use crate::alerting::{BadLink, Explained, GroupStatus, Invitation};
use crate::model::{AckKind, Labels, Silence, Timestamp, Way, redacted, visible_line};
use crate::ports::{ActError, Actor};

#[derive(Template)]
#[template(path = "act.html", config = "src/web/pages/askama.toml")]
struct Act {
    frame: Frame,
    terms: &'static Terms,
    /// What is shown instead of the buttons.
    said: String,
    alerts: Vec<String>,
    owner: String,
    open: bool,
    /// How things stood when the page was made; the button sends it back.
    seen: String,
}

#[derive(Template)]
#[template(path = "explain.html", config = "src/web/pages/askama.toml")]
struct Explanation {
    frame: Frame,
    terms: &'static Terms,
    to: String,
    at: String,
    problem: String,
    owners: Vec<String>,
    rows: Vec<Row>,
    asked: bool,
}

/// One decision.
struct Row {
    alert: String,
    since: Moment,
    verdict: &'static str,
    reason: String,
    detail: String,
    at: Moment,
}

#[derive(Template)]
#[template(path = "incidents.html", config = "src/web/pages/askama.toml")]
struct Incidents {
    frame: Frame,
    terms: &'static Terms,
    groups: Vec<Block>,
}

/// One group of alerts.
struct Block {
    receiver: Arc<str>,
    incident: Option<String>,
    opened: Option<Moment>,
    known: Option<String>,
    /// By when somebody must react, and whether that is over.
    react_by: Option<(Moment, bool)>,
    alerts: Vec<Line>,
}

struct Line {
    alert: String,
    since: Moment,
    state: String,
}

#[derive(Template)]
#[template(path = "silences.html", config = "src/web/pages/askama.toml")]
struct Silences {
    frame: Frame,
    terms: &'static Terms,
    silences: Vec<Quiet>,
}

struct Quiet {
    id: Arc<str>,
    matchers: String,
    by: String,
    comment: Arc<str>,
    ends: Moment,
    until_resolved: bool,
    pending: bool,
}

/// The page that a signed link leads to. It shows what it is about and a button; nothing happens
/// before that is pressed, because mail programs open links to look at them.
pub(in crate::web) async fn invitation(
    State(shared): State<Arc<Shared>>,
    token: Result<Path<String>, PathRejection>,
    Query(wishes): Query<Wishes>,
    headers: HeaderMap,
) -> Response {
    let frame = still(&shared, &wishes, &headers, "..");
    match open(&shared, &written(token)) {
        Ok(invitation) => show(&shared, frame, &invitation, Pressing::NotYet).await,
        Err(response) => refuse(&shared, frame, response),
    }
}

/// The button of [`invitation`].
#[derive(Default)]
struct Pressed {
    what: String,
    name: String,
    seen: String,
}

/// What came of the button.
enum Pressing {
    NotYet,
    /// The page it was on is not how things stand: somebody else was quicker, an alert joined, or the
    /// same request came twice.
    Stale,
    Done(Result<(), ActError>),
}

/// The last part of the path; what is no text is as good as forged.
fn written(token: Result<Path<String>, PathRejection>) -> String {
    token.map(|Path(token)| token).unwrap_or_default()
}

/// Does what the button says. The signature in the address stands for the person's credentials: it
/// was sent to nobody else.
pub(in crate::web) async fn accept(
    State(shared): State<Arc<Shared>>,
    token: Result<Path<String>, PathRejection>,
    Query(wishes): Query<Wishes>,
    headers: HeaderMap,
    body: axum::body::Bytes,
) -> Response {
    let token = written(token);
    let mut pressed = Pressed::default();
    for (name, value) in url::form_urlencoded::parse(&body) {
        match &*name {
            "what" => pressed.what = value.into_owned(),
            "name" => pressed.name = value.into_owned(),
            "seen" => pressed.seen = value.into_owned(),
            _ => {}
        }
    }
    let telemetry = &shared.doors.telemetry.notify;
    let frame = still(&shared, &wishes, &headers, "..");
    if is_foreign(&headers) {
        telemetry.link_used("foreign");
        let reason = "refused: another web site made your browser send this request\n";
        return answer::plain(StatusCode::FORBIDDEN, reason);
    }
    let invitation = match open(&shared, &token) {
        Ok(invitation) => invitation,
        Err(response) => return refuse(&shared, frame, response),
    };
    let kind = match pressed.what.as_str() {
        "claim" => AckKind::Claimed,
        "acknowledge" => AckKind::Acknowledged,
        _ => return answer::plain(StatusCode::BAD_REQUEST, "there is no such button\n"),
    };
    // A request that is sent again (by a browser that is opened again, or by somebody who saw it)
    // must not say that somebody knows of what came later.
    let group = incident(&shared, &invitation).await;
    if group.as_ref().is_some_and(|group| stands(group) != pressed.seen) {
        telemetry.link_used("replayed");
        tracing::warn!(outcome = "replayed", "a link was refused");
        return show(&shared, frame, &invitation, Pressing::Stale).await;
    }
    // Of several people behind one address, one may say who they are.
    let name = own::name(&pressed.name).unwrap_or_else(|_| invitation.owner.clone());
    let by = Actor { name, way: Way::Link, seen_at: None };
    let act = &shared.doors.act;
    let done = match kind {
        AckKind::Claimed => act.claim(&invitation.incident, by).await,
        AckKind::Acknowledged => act.acknowledge(&invitation.incident, by).await,
    };
    let outcome = match &done {
        Ok(()) | Err(ActError::NotKept(_)) => "accepted",
        Err(_) => "over",
    };
    telemetry.link_used(outcome);
    tracing::info!(incident = invitation.incident, outcome, "a signed link was used");
    show(&shared, frame, &invitation, Pressing::Done(done)).await
}

/// The group of alerts that a link is about, while its incident goes on.
async fn incident(shared: &Arc<Shared>, invitation: &Invitation) -> Option<GroupStatus> {
    let id = invitation.incident.clone();
    let group = look(shared, move |desk, now| {
        desk.status(now).into_iter().find(|group| group.incident.as_deref() == Some(&id))
    });
    group.await.flatten()
}

/// Names how things stand: it changes when somebody knows, and when an alert joins.
fn stands(group: &GroupStatus) -> String {
    let newest = group.alerts.iter().map(|status| status.alert.phase.since()).max();
    let known = group.acknowledged.as_ref();
    let known = known.map(|known| (known.at.millis(), known.kind.name(), known.by.clone()));
    let text = format!("{:?} {known:?} {newest:?}", group.incident);
    format!("{:016x}", xxh3_64(text.as_bytes()))
}

/// Whether another web site sent the form.
fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if text("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
        return true;
    }
    let host = text(header::HOST.as_str()).unwrap_or("");
    let forwarded = text("x-forwarded-host").unwrap_or(host);
    text(header::ORIGIN.as_str()).is_some_and(|origin| {
        let from = origin.split_once("://").map_or("", |(_, from)| from);
        from != host && from != forwarded
    })
}

fn open(shared: &Shared, token: &str) -> Result<Invitation, Option<BadLink>> {
    let signer = (shared.doors.acting)().ok_or(None)?;
    signer.open(token, shared.doors.clock.wall()).map_err(Some)
}

fn refuse(shared: &Shared, frame: Frame, why: Option<BadLink>) -> Response {
    let terms = Terms::of(frame.words.tag);
    let (status, outcome, said) = match why {
        None => return answer::not_found(),
        Some(BadLink::Forged) => (StatusCode::FORBIDDEN, "forged", terms.forged),
        Some(BadLink::Expired) => (StatusCode::GONE, "expired", terms.too_old),
    };
    shared.doors.telemetry.notify.link_used(outcome);
    // The link itself is a secret, or somebody's try to guess one.
    tracing::warn!(outcome, "a link was refused");
    let mut frame = frame;
    frame.title = said.to_owned();
    let (alerts, owner) = (Vec::new(), String::new());
    let (said, seen) = (said.to_owned(), String::new());
    let shown = Act { frame, terms, said, alerts, owner, open: false, seen };
    let mut response = page(&shown);
    *response.status_mut() = status;
    response
}

async fn show(
    shared: &Arc<Shared>,
    mut frame: Frame,
    invitation: &Invitation,
    pressing: Pressing,
) -> Response {
    let terms = Terms::of(frame.words.tag);
    let group = incident(shared, invitation).await;
    let known = group.as_ref().and_then(|group| known(terms, group));
    let (said, open) = match (&pressing, &group) {
        (Pressing::Done(Ok(())), _) => (known.unwrap_or_else(|| terms.noted.to_owned()), false),
        (Pressing::Done(Err(ActError::NotKept(_))), _) => (terms.not_kept.to_owned(), false),
        (_, None) | (Pressing::Done(Err(_)), _) => (terms.over.to_owned(), false),
        (Pressing::NotYet, Some(_)) => (known.unwrap_or_default(), true),
        (Pressing::Stale, Some(_)) => {
            (format!("{} {}", terms.stale, known.unwrap_or_default()), true)
        }
    };
    let seen = group.as_ref().map(stands).unwrap_or_default();
    let alerts = group.iter().flat_map(|group| &group.alerts).take(20);
    let alerts = alerts.map(|status| told(terms, &status.alert.annotations, &status.alert.labels));
    frame.title = format!("{} – {}", terms.act, frame.instance);
    let alerts = alerts.collect();
    let owner = invitation.owner.to_string();
    let mut response = page(&Act { frame, terms, said, alerts, owner, open, seen });
    if matches!(pressing, Pressing::Stale) {
        *response.status_mut() = StatusCode::CONFLICT;
    }
    response
}

fn known(terms: &Terms, group: &GroupStatus) -> Option<String> {
    let known = group.acknowledged.as_ref()?;
    let word = match known.kind {
        AckKind::Acknowledged => terms.knows,
        AckKind::Claimed => terms.has_it,
    };
    Some(format!("{} {word}", known.by))
}

fn told(terms: &Terms, annotations: &Labels, labels: &Labels) -> String {
    let own = annotations.get(terms.summary).or_else(|| annotations.get("summary"));
    visible_line(&redacted(own.or_else(|| labels.get("alertname")).unwrap_or("")))
}

/// A page that does not load itself again.
fn still(shared: &Shared, wishes: &Wishes, headers: &HeaderMap, root: &'static str) -> Frame {
    let wishes = Wishes { lang: wishes.lang.clone(), refresh: "off".to_owned() };
    frame(shared, &wishes, headers, root)
}

/// Why somebody was told of something at some instant, or not.
pub(in crate::web) async fn explain(
    State(shared): State<Arc<Shared>>,
    Query(wishes): Query<Wishes>,
    Query(question): Query<Question>,
    headers: HeaderMap,
) -> Response {
    let mut frame = still(&shared, &wishes, &headers, "");
    let terms = Terms::of(frame.words.tag);
    frame.title = format!("{} – {}", terms.explain, frame.instance);
    let now = shared.doors.clock.wall();
    let owners = look(&shared, |desk, _| {
        let names = desk.plan().routes.iter().map(|(_, route)| route.receiver.to_string());
        names.collect::<std::collections::BTreeSet<String>>()
    });
    let owners: Vec<String> = owners.await.unwrap_or_default().into_iter().collect();
    let asked = !question.to.is_empty();
    let found = match question.instant(now) {
        Ok(at) if asked => own::decisions(&shared, &question.to, at).await,
        Ok(_) => Ok(Vec::new()),
        Err(problem) => Err(problem),
    };
    let (rows, problem) = match found {
        Ok(found) => (found.iter().map(|one| row(&frame, terms, one)).collect(), String::new()),
        Err((_, problem)) => (Vec::new(), problem),
    };
    let Question { to, at } = question;
    page(&Explanation { frame, terms, to, at, problem, owners, rows, asked })
}

fn row(frame: &Frame, terms: &Terms, explained: &Explained) -> Row {
    let reason = match &explained.not_again {
        Some(why) => format!("{}; {} {why}", explained.reason, terms.not_again),
        None => explained.reason.to_string(),
    };
    Row {
        alert: visible_line(&redacted(&explained.alert.to_string())),
        since: frame.moment(explained.since),
        verdict: terms.verdict(explained.verdict),
        reason,
        detail: visible_line(&redacted(&explained.detail)),
        at: frame.moment(explained.at),
    }
}

/// All groups of alerts, and who knows of them.
pub(in crate::web) async fn incidents(
    State(shared): State<Arc<Shared>>,
    Query(wishes): Query<Wishes>,
    headers: HeaderMap,
) -> Response {
    let mut frame = frame(&shared, &wishes, &headers, "");
    let terms = Terms::of(frame.words.tag);
    frame.title = format!("{} – {}", terms.incidents, frame.instance);
    let seen = look(&shared, |desk, now| (desk.status(now), now)).await;
    let (groups, now) = seen.unwrap_or((Vec::new(), Timestamp::MIN));
    let block = |group: GroupStatus| Block {
        known: known(terms, &group),
        opened: group.opened.map(|at| frame.moment(at)),
        react_by: group.react_by.map(|by| (frame.moment(by), by <= now)),
        alerts: group
            .alerts
            .iter()
            .take(100)
            .map(|status| Line {
                alert: told(terms, &status.alert.annotations, &status.alert.labels),
                since: frame.moment(status.alert.phase.since()),
                state: match (&status.why_not, status.told) {
                    (Some(why), _) => format!("{} {}", why.name(), why.detail()),
                    (None, true) => terms.told.to_owned(),
                    (None, false) => terms.waits.to_owned(),
                },
            })
            .collect(),
        receiver: group.receiver,
        incident: group.incident,
    };
    let groups = groups.into_iter().take(500).map(block).collect();
    page(&Incidents { groups, terms, frame })
}

/// Silences that are active or begin later.
pub(in crate::web) async fn silences(
    State(shared): State<Arc<Shared>>,
    Query(wishes): Query<Wishes>,
    headers: HeaderMap,
) -> Response {
    let mut frame = frame(&shared, &wishes, &headers, "");
    let terms = Terms::of(frame.words.tag);
    frame.title = format!("{} – {}", terms.silences, frame.instance);
    let seen = look(&shared, |desk, now| (desk.silences().to_vec(), now)).await;
    let (silences, now) = seen.unwrap_or((Vec::new(), Timestamp::MIN));
    let quiet = |silence: &Silence| {
        let matchers: Vec<String> = silence.matchers.iter().map(ToString::to_string).collect();
        Quiet {
            id: silence.id.clone(),
            matchers: matchers.join(", "),
            by: silence.created_by.split('@').next().unwrap_or("").to_owned(),
            comment: silence.comment.clone(),
            ends: frame.moment(silence.ends),
            until_resolved: silence.until_resolved,
            pending: now < silence.starts,
        }
    };
    let open = silences.iter().filter(|silence| now < silence.ends);
    let silences = open.map(quiet).collect();
    page(&Silences { silences, terms, frame })
}

/// The buttons of [`incidents`] and [`silences`].
#[derive(Deserialize)]
pub(in crate::web) struct Ordered {
    what: String,
    id: String,
    #[serde(default)]
    name: String,
}

/// Does what a button on one of the pages says, for somebody who may change something.
pub(in crate::web) async fn order(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Form(ordered): Form<Ordered>,
) -> Response {
    if let Err(refusal) = access::may_change(peer, &headers) {
        return answer::plain(StatusCode::FORBIDDEN, format!("refused: {}\n", refusal.reason()));
    }
    let name = own::name(&ordered.name).unwrap_or_else(|_| "page".into());
    let by = Actor { name, way: Way::Page, seen_at: None };
    let act = &shared.doors.act;
    let (done, back) = match ordered.what.as_str() {
        "acknowledge" => (act.acknowledge(&ordered.id, by).await, "incidents"),
        "claim" => (act.claim(&ordered.id, by).await, "incidents"),
        "expire" => (act.expire(&ordered.id, by).await, "silences"),
        _ => return answer::plain(StatusCode::BAD_REQUEST, "there is no such order\n"),
    };
    if let Err(error) = done {
        return answer::plain(StatusCode::CONFLICT, format!("{error}\n"));
    }
    let mut response = answer::plain(StatusCode::SEE_OTHER, "");
    let value = axum::http::HeaderValue::from_static(back);
    response.headers_mut().insert(header::LOCATION, value);
    response
}
