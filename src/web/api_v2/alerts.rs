use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::{Extension, Request, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use super::super::access;
use super::super::connection::Peer;
use super::super::people::look;
use super::super::router::Shared;
use super::Refusal;
use super::body::{Asked, bytes, moment, parsed, required, written};
use super::reply::good;
use super::reported;
use crate::alerting::{AlertView, GroupView};
use crate::model::{Alert, Labels, Matcher, Pattern, Phase, Timestamp};

/// An alert may have so many labels and annotations.
pub(super) const MOST_LABELS: usize = 64;
/// A name may have so many bytes, a value so many.
pub(super) const LONGEST_NAME: usize = 1024;
pub(super) const LONGEST_VALUE: usize = 16 << 10;

/// What a client wants to see of the alerts.
pub(super) struct Wanted {
    active: bool,
    silenced: bool,
    inhibited: bool,
    muted: bool,
    matchers: Vec<Matcher>,
    receiver: Option<Pattern>,
    receivers: Vec<Matcher>,
}

impl Wanted {
    pub(super) fn read(uri: &Uri) -> Result<Self, Refusal> {
        let asked = Asked::of(uri);
        Ok(Self {
            active: asked.wants("active"),
            silenced: asked.wants("silenced"),
            inhibited: asked.wants("inhibited"),
            muted: asked.wants("muted"),
            matchers: asked.matchers("filter")?,
            receiver: asked.receiver()?,
            receivers: asked.matchers("receiver_matchers")?,
        })
    }

    fn receiver(&self, name: &str) -> bool {
        let labels = Labels::empty().with("name", name);
        self.receiver.as_ref().is_none_or(|pattern| pattern.is_match(name))
            && self.receivers.iter().all(|matcher| matcher.matches(&labels))
    }

    fn alert(&self, view: &AlertView) -> bool {
        let fits = self.matchers.iter().all(|matcher| matcher.matches(&view.alert.labels));
        fits && match state(view) {
            "active" => self.active,
            _ => {
                (self.silenced || view.silenced_by.is_empty())
                    && (self.inhibited || view.inhibited_by.is_empty())
            }
        }
    }
}

fn state(view: &AlertView) -> &'static str {
    // Every alert is in its groups at once: none is `unprocessed`.
    if view.silenced_by.is_empty() && view.inhibited_by.is_empty() {
        "active"
    } else {
        "suppressed"
    }
}

/// All alerts that fire.
pub(super) async fn list(State(shared): State<Arc<Shared>>, uri: Uri) -> Result<Response, Refusal> {
    let wanted = Wanted::read(&uri)?;
    let views = look(&shared, |desk, now| desk.alerts(now)).await.ok_or_else(Refusal::stopping)?;
    let of_receiver = |view: &AlertView| view.receivers.iter().any(|name| wanted.receiver(name));
    let views = views.iter().filter(|view| wanted.alert(view) && of_receiver(view));
    let mut shown: Vec<Shown> = views.map(|view| Shown::new(view, &[])).collect();
    shown.sort_by_key(|alert| alert.fingerprint);
    Ok(good(&shown))
}

/// All groups with their alerts.
pub(super) async fn groups(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let wanted = Wanted::read(&uri)?;
    let seen = look(&shared, |desk, now| (desk.groups(now), desk.alerts(now)));
    let (mut groups, views) = seen.await.ok_or_else(Refusal::stopping)?;
    let views: HashMap<&Labels, &AlertView> =
        views.iter().map(|view| (&view.alert.labels, view)).collect();
    groups.sort_by(|a, b| (&a.labels, &a.receiver).cmp(&(&b.labels, &b.receiver)));
    let of_group = |group: &GroupView| {
        let found = group.alerts.iter().filter_map(|labels| views.get(labels));
        let found = found.filter(|view| wanted.alert(view));
        let mut alerts: Vec<Shown> = found.map(|view| Shown::new(view, &group.muted_by)).collect();
        alerts.sort_by_key(|alert| alert.fingerprint);
        alerts
    };
    let shown = |group: &GroupView| {
        let fits = wanted.receiver(&group.receiver) && (wanted.muted || group.muted_by.is_empty());
        let alerts = if fits { of_group(group) } else { Vec::new() };
        (!alerts.is_empty()).then(|| ShownGroup {
            alerts,
            labels: Pairs(group.labels.clone()),
            receiver: Receiver { name: group.receiver.clone() },
        })
    };
    let groups: Vec<ShownGroup> = groups.iter().filter_map(shown).collect();
    Ok(good(&groups))
}

/// Takes in alerts of a foreign Prometheus. Those that are good count, also when others are not.
pub(super) async fn report(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Refusal> {
    let refuse = |count: usize, reason: &'static str| {
        shared.doors.telemetry.notify.foreign_refused(reason, count);
    };
    access::may_change(peer, request.headers()).inspect_err(|_| refuse(1, "access"))?;
    let body = bytes(&shared, request, "alerts").await?;
    let timeout = look(&shared, |desk, _| desk.plan().resolve_timeout);
    let timeout = timeout.await.ok_or_else(Refusal::stopping)?;
    let now = shared.doors.clock.wall();
    let (good, mut bad) = match reported::alerts(&body, now, timeout) {
        Some(alerts) => (alerts, Vec::new()),
        None => sort(&body, now, timeout).map_err(|(count, refusal)| {
            refuse(count, "form");
            refusal
        })?,
    };
    drop(body);
    refuse(bad.len(), "labels");
    let left = shared.doors.people.report(good).await.ok_or_else(Refusal::stopping)?;
    refuse(left, "room");
    if left > 0 {
        let message = format!("there is no room for {left} more alerts");
        return Err(Refusal::Text(StatusCode::TOO_MANY_REQUESTS, message));
    }
    match bad.len() {
        0 => Err(Refusal::Bare(StatusCode::OK)),
        _ => {
            bad.truncate(10);
            Err(Refusal::bad(bad.join("; ")))
        }
    }
}

/// The good alerts of a body, and what is wrong with the others. A body that is not of the form is
/// refused with all its alerts, so many.
fn sort(
    body: &[u8],
    now: Timestamp,
    timeout: std::time::Duration,
) -> Result<(Vec<Alert>, Vec<String>), (usize, Refusal)> {
    let value = parsed(body, "alerts").map_err(|refusal| (0, refusal))?;
    let count = value.as_array().map_or(0, Vec::len);
    let items: Vec<Written> = written(value, "alerts").map_err(|refusal| (count, refusal))?;
    let read = read_all(&items, now, timeout).map_err(|refusal| (count, refusal))?;
    let (mut good, mut bad) = (Vec::with_capacity(items.len()), Vec::new());
    for alert in read {
        match alert {
            Ok(alert) => good.push(alert),
            Err(reason) => bad.push(reason),
        }
    }
    Ok((good, bad))
}

/// An alert as it is written, each field of the right type.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    labels: Option<BTreeMap<String, Option<String>>>,
    annotations: Option<BTreeMap<String, Option<String>>>,
    starts_at: Option<String>,
    ends_at: Option<String>,
    #[serde(rename = "generatorURL")]
    generator_url: Option<String>,
}

/// Whether it may stand where a page's address is expected.
pub(super) fn is_page(text: &str) -> bool {
    text.is_empty() || text.starts_with('/') || url::Url::parse(text).is_ok()
}

/// Alerts as a Prometheus sends them, with Alertmanager's defaults for the times; of each that
/// cannot be taken why.
fn read_all(
    items: &[Written],
    now: Timestamp,
    timeout: std::time::Duration,
) -> Result<Vec<Result<Alert, String>>, Refusal> {
    // First all times, then what must be there, then what it means: so does Alertmanager.
    let mut times = Vec::with_capacity(items.len());
    for item in items {
        let starts = moment(item.starts_at.as_deref(), "alerts")?;
        times.push((starts, moment(item.ends_at.as_deref(), "alerts")?));
    }
    for (at, item) in items.iter().enumerate() {
        let path = at.to_string();
        if item.labels.is_none() {
            return Err(required(&path, "labels"));
        }
        let generator = item.generator_url.as_deref().unwrap_or("");
        if !is_page(generator) {
            let shown: String = generator.chars().take(80).collect();
            let message = format!("{path}.generatorURL in body must be of type uri: {shown:?}");
            return Err(Refusal::form(601, message));
        }
    }
    let items = items.iter().zip(times);
    Ok(items.map(|(item, (starts, ends))| read(item, starts, ends, now, timeout)).collect())
}

fn read(
    item: &Written,
    starts: Option<Timestamp>,
    ends: Option<Timestamp>,
    now: Timestamp,
    timeout: std::time::Duration,
) -> Result<Alert, String> {
    let labels = pairs(item.labels.as_ref())?;
    let annotations = pairs(item.annotations.as_ref())?;
    let fired = starts.or(ends).unwrap_or(now);
    let ends = ends.unwrap_or(now + timeout);
    if labels.is_empty() {
        return Err("at least one label pair required".to_owned());
    }
    if ends < fired {
        return Err("start time must be before end time".to_owned());
    }
    let phase = match ends <= now {
        true => Phase::Resolved { fired, resolved: ends },
        false => Phase::Firing { since: fired, fired },
    };
    let generator = without_userinfo(item.generator_url.as_deref().unwrap_or(""));
    Ok(Alert { labels, annotations, phase, value: None, ends: Some(ends), generator })
}

/// A page's address without the name and password somebody may have put into it.
pub(super) fn without_userinfo(text: &str) -> Arc<str> {
    match url::Url::parse(text) {
        Ok(mut url) if !url.username().is_empty() || url.password().is_some() => {
            let cleared = url.set_username("").and_then(|()| url.set_password(None));
            if cleared.is_ok() { url.as_str().into() } else { "".into() }
        }
        _ => text.into(),
    }
}

fn pairs(written: Option<&BTreeMap<String, Option<String>>>) -> Result<Labels, String> {
    let Some(written) = written else { return Ok(Labels::empty()) };
    if MOST_LABELS < written.len() {
        return Err(format!("more than {MOST_LABELS} labels or annotations"));
    }
    let found = written.iter().map(|(name, value)| (&**name, value.as_deref().unwrap_or("")));
    if found.clone().any(|(name, value)| LONGEST_NAME < name.len() || LONGEST_VALUE < value.len()) {
        return Err("a label or annotation is too long".to_owned());
    }
    Labels::from_pairs(found).map_err(|error| format!("invalid label set: {error}"))
}

/// Labels as an object.
struct Pairs(Labels);

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[derive(Serialize)]
struct Receiver {
    name: Arc<str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    inhibited_by: Vec<String>,
    muted_by: Vec<Arc<str>>,
    silenced_by: Vec<Arc<str>>,
    state: &'static str,
}

/// An alert in Alertmanager's form, its fields in the same order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    annotations: Pairs,
    ends_at: String,
    #[serde(serialize_with = "hexadecimal")]
    fingerprint: u64,
    receivers: Vec<Receiver>,
    starts_at: String,
    status: Status,
    updated_at: String,
    #[serde(rename = "generatorURL", skip_serializing_if = "str::is_empty")]
    generator_url: Arc<str>,
    labels: Pairs,
}

#[derive(Serialize)]
struct ShownGroup {
    alerts: Vec<Shown>,
    labels: Pairs,
    receiver: Receiver,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn hexadecimal<S: Serializer>(fingerprint: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{fingerprint:016x}"))
}

impl Shown {
    fn new(view: &AlertView, muted_by: &[Arc<str>]) -> Self {
        let alert = &view.alert;
        let inhibited = view.inhibited_by.iter();
        Self {
            annotations: Pairs(alert.annotations.clone()),
            ends_at: view.ends.to_string(),
            fingerprint: fingerprint(&alert.labels),
            receivers: view.receivers.iter().cloned().map(|name| Receiver { name }).collect(),
            starts_at: alert.phase.since().to_string(),
            status: Status {
                inhibited_by: inhibited.map(|by| format!("{:016x}", fingerprint(by))).collect(),
                muted_by: muted_by.to_vec(),
                silenced_by: view.silenced_by.clone(),
                state: state(view),
            },
            updated_at: view.updated.to_string(),
            generator_url: alert.generator.clone(),
            labels: Pairs(alert.labels.clone()),
        }
    }
}

/// Prometheus' fingerprint of a label set: FNV-1a over names and values in order, each followed by
/// a byte that no text holds.
pub(super) fn fingerprint(labels: &Labels) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |byte: u8| hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    for (name, value) in labels.iter() {
        for byte in name.bytes().chain([0xff]).chain(value.bytes()).chain([0xff]) {
            add(byte);
        }
    }
    hash
}
