use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use jiff::tz::TimeZone;

use super::super::settings::Settings;
use super::words::Words;
use crate::exposition::float_text;
use crate::model::{EscapedValue, Labels, METRIC_NAME, MetricMeta, Point, Timestamp};
use crate::ports::{TargetStatus, Verdict};
use crate::rules::{AlertState, AlertView, GroupView};

/// What all pages have in common.
pub(super) struct Frame {
    pub(super) words: &'static Words,
    pub(super) instance: Arc<str>,
    pub(super) title: String,
    /// Seconds until the page loads itself again.
    pub(super) refresh: Option<u64>,
    /// The way from this page to the first one; relative, so that a proxy may put a path before.
    pub(super) root: &'static str,
    /// What the address must keep when the language changes, beginning with `&`.
    pub(super) keep: String,
    pub(super) style: &'static str,
    pub(super) version: &'static str,
    pub(super) now: Moment,
    at: Timestamp,
    timezone: TimeZone,
}

impl Frame {
    pub(super) fn new(
        words: &'static Words,
        settings: &Settings,
        refresh: Option<u64>,
        root: &'static str,
        style: &'static str,
        at: Timestamp,
    ) -> Self {
        let timezone = settings.timezone.clone();
        let now = Moment::new(words, &timezone, at, at);
        let version = env!("CARGO_PKG_VERSION");
        let (instance, title) = (settings.instance.clone(), String::new());
        let keep = String::new();
        Self { words, instance, title, refresh, root, keep, style, version, now, at, timezone }
    }

    pub(super) fn moment(&self, at: Timestamp) -> Moment {
        Moment::new(self.words, &self.timezone, at, self.at)
    }
}

/// An instant in three forms.
pub(super) struct Moment {
    /// For programs: RFC 3339.
    pub(super) iso: String,
    /// For people: date and time of day in the configured zone.
    pub(super) clock: String,
    /// For people in a hurry: how long ago.
    pub(super) ago: String,
}

impl Moment {
    fn new(words: &Words, timezone: &TimeZone, at: Timestamp, now: Timestamp) -> Self {
        let iso = at.to_string();
        let clock = jiff::Timestamp::from_millisecond(at.millis()).map_or_else(
            |_| iso.clone(),
            |at| at.to_zoned(timezone.clone()).strftime(words.clock_format()).to_string(),
        );
        // A clock that was set back makes "in the future"; that is no length for a reader.
        let ago = words.length(now.since(at).unwrap_or_default());
        Self { iso, clock, ago }
    }
}

/// A state as colour, sign and word, so that none of them is needed alone.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub(super) class: &'static str,
    pub(super) symbol: &'static str,
    pub(super) word: &'static str,
}

/// `alerted`: an alert is firing although the target answers.
fn mark(words: &Words, verdict: &Verdict, alerted: bool) -> Mark {
    let (class, symbol, word) = match verdict {
        Verdict::Up if alerted => ("warn", "▲", words.attention),
        Verdict::Up => ("good", "✔", words.up),
        Verdict::Failing { .. } => ("warn", "▲", words.failing),
        Verdict::Down { .. } => ("bad", "✖", words.down),
        Verdict::NotMeasured { .. } => ("warn", "?", words.not_measured),
        Verdict::Waiting => ("dim", "…", words.waiting),
    };
    Mark { class, symbol, word }
}

/// Whether somebody should look: it fails, or an alert about it is firing.
pub(super) fn is_wrong(status: &TargetStatus, alerts: &[AlertView]) -> bool {
    gravity(status, alerts) > 1
}

/// The worse, the higher.
fn gravity(status: &TargetStatus, alerts: &[AlertView]) -> u8 {
    let alerted = alerts.iter().any(|alert| is_firing(alert) && concerns(alert, status));
    match &status.verdict {
        Verdict::Down { .. } => 5,
        Verdict::Failing { .. } => 4,
        _ if alerted => 3,
        Verdict::NotMeasured { .. } => 2,
        Verdict::Waiting => 1,
        Verdict::Up => 0,
    }
}

/// A service with its targets.
pub(super) struct ServiceBlock {
    pub(super) name: Arc<str>,
    pub(super) owner: Arc<str>,
    pub(super) mark: Mark,
    pub(super) targets: Vec<TargetLine>,
}

/// Services in the order of the configuration, those that need attention before the others.
pub(super) fn services(
    frame: &Frame,
    targets: &[TargetStatus],
    alerts: &[AlertView],
) -> Vec<ServiceBlock> {
    let mut blocks: Vec<(u8, ServiceBlock)> = Vec::new();
    let mut by_name: HashMap<Arc<str>, usize> = HashMap::new();
    for status in targets {
        let mark = mark(frame.words, &status.verdict, gravity(status, alerts) == 3);
        let at = *by_name.entry(status.service.clone()).or_insert_with(|| {
            let (name, owner) = (status.service.clone(), status.owner.clone());
            blocks.push((0, ServiceBlock { name, owner, mark, targets: Vec::new() }));
            blocks.len() - 1
        });
        let (worst, block) = &mut blocks[at];
        let gravity = gravity(status, alerts);
        if gravity > *worst {
            *worst = gravity;
            block.mark = mark;
        }
        block.targets.push(TargetLine::new(frame, status, alerts));
    }
    blocks.sort_by_key(|(worst, _)| std::cmp::Reverse(*worst));
    blocks.into_iter().map(|(_, block)| block).collect()
}

/// A target.
pub(super) struct TargetLine {
    pub(super) id: String,
    pub(super) name: Arc<str>,
    pub(super) probe: Arc<str>,
    pub(super) mark: Mark,
    pub(super) cause: Arc<str>,
    pub(super) since: Option<Moment>,
    pub(super) headline: Arc<str>,
    /// What firing alerts about it say.
    pub(super) alerts: Vec<String>,
}

impl TargetLine {
    pub(super) fn new(frame: &Frame, status: &TargetStatus, alerts: &[AlertView]) -> Self {
        let about: Vec<&AlertView> =
            alerts.iter().filter(|alert| is_firing(alert) && concerns(alert, status)).collect();
        let cause = match &status.verdict {
            Verdict::Failing { cause } | Verdict::Down { cause } => cause.clone(),
            Verdict::NotMeasured { obstacle } => obstacle.clone(),
            Verdict::Up | Verdict::Waiting => "".into(),
        };
        Self {
            id: id(status),
            name: status.target.clone(),
            probe: status.probe.clone(),
            mark: mark(frame.words, &status.verdict, !about.is_empty()),
            alerts: about.iter().map(|alert| summary(frame.words, alert)).collect(),
            headline: if status.headline == cause { "".into() } else { status.headline.clone() },
            cause,
            since: status.since.map(|at| frame.moment(at)),
        }
    }
}

/// Names a target in an address: the same after a restart, without a character that would need
/// an escape.
pub(super) fn id(status: &TargetStatus) -> String {
    let pairs = identity(status);
    Labels::from_pairs(pairs).map(|labels| labels.fingerprint().to_string()).unwrap_or_default()
}

fn identity(status: &TargetStatus) -> [(&'static str, &str); 3] {
    [("service", &*status.service), ("target", &*status.target), ("probe", &*status.probe)]
}

/// Whether an alert is about this target.
pub(super) fn concerns(alert: &AlertView, status: &TargetStatus) -> bool {
    identity(status).iter().all(|(name, value)| alert.labels.get(name) == Some(value))
}

/// All alerts that are pending or firing, without those that always fire to prove that alerts come
/// through.
pub(super) fn open_alerts(groups: &[GroupView]) -> Vec<AlertView> {
    let rules = groups.iter().flat_map(|group| &group.rules);
    let alerts = rules.flat_map(|rule| &rule.alerts);
    alerts.filter(|alert| alert.labels.get("severity") != Some("none")).cloned().collect()
}

/// Whether people are told of it.
pub(super) fn is_firing(alert: &AlertView) -> bool {
    alert.state == AlertState::Firing
}

fn name(alert: &AlertView) -> &str {
    alert.labels.get("alertname").unwrap_or("")
}

/// An alert that is pending or firing.
pub(super) struct AlertLine {
    pub(super) mark: Mark,
    pub(super) name: String,
    pub(super) summary: String,
    pub(super) service: String,
    pub(super) owner: String,
    pub(super) since: Moment,
}

/// What an alert says, in the page's language where it has it.
fn summary(words: &Words, alert: &AlertView) -> String {
    let text = |name: &str| alert.annotations.get(name).filter(|text| !text.trim().is_empty());
    let own = text(&format!("summary_{}", words.tag)).or_else(|| text("summary"));
    own.unwrap_or(name(alert)).to_owned()
}

/// Firing alerts before pending ones, older ones before newer ones.
pub(super) fn alerts(frame: &Frame, alerts: &[AlertView]) -> Vec<AlertLine> {
    let words = frame.words;
    let mut open: Vec<&AlertView> = alerts.iter().collect();
    open.sort_by_key(|alert| (!is_firing(alert), alert.active_at));
    let line = |alert: &&AlertView| {
        let mark = if is_firing(alert) {
            Mark { class: "bad", symbol: "✖", word: words.firing }
        } else {
            Mark { class: "warn", symbol: "▲", word: words.pending }
        };
        let label = |name: &str| alert.labels.get(name).unwrap_or("–").to_owned();
        AlertLine {
            mark,
            name: name(alert).to_owned(),
            summary: summary(words, alert),
            service: label("service"),
            owner: label("owner"),
            since: frame.moment(alert.active_at),
        }
    };
    open.iter().map(line).collect()
}

/// A series of the last try.
pub(super) struct RowLine {
    pub(super) metric: String,
    /// The expression page for this metric of this target, from the root.
    pub(super) graph: String,
    pub(super) labels: String,
    pub(super) value: String,
    pub(super) help: &'static str,
}

/// The series of the last try, without the labels that all of them share.
pub(super) fn rows(status: &TargetStatus, catalogue: &[&'static [MetricMeta]]) -> Vec<RowLine> {
    let shared = [METRIC_NAME, "service", "owner", "target", "probe", "job", "instance"];
    let meaning: HashMap<&str, &'static str> =
        catalogue.iter().flat_map(|room| room.iter()).map(|meta| (meta.name, meta.help)).collect();
    let line = |row: &crate::model::Row| {
        let value = match &row.point {
            Point::Float(value) => float_text(*value),
            Point::Stale => return None,
            Point::Histogram(histogram) => format!("{} observations", float_text(histogram.count)),
        };
        let own = row.labels.without(&shared);
        let labels: Vec<String> =
            own.iter().map(|(name, value)| format!("{name}=\"{}\"", EscapedValue(value))).collect();
        let metric = row.labels.metric_name();
        let help = meaning.get(metric).copied().unwrap_or("");
        let only = [METRIC_NAME, "service", "target", "probe"];
        let graph = graph_path(&row.labels.only(&only).to_string());
        Some(RowLine { metric: metric.to_owned(), graph, labels: labels.join(", "), value, help })
    };
    status.rows.iter().filter_map(line).collect()
}

/// The page that shows an expression, from the root; the form of the address is Prometheus'.
fn graph_path(expression: &str) -> String {
    format!("graph?{}", expression_parameter(expression))
}

/// `g0.expr=…`
pub(super) fn expression_parameter(expression: &str) -> String {
    let encoded =
        percent_encoding::utf8_percent_encode(expression, percent_encoding::NON_ALPHANUMERIC);
    format!("g0.expr={encoded}")
}

/// "84 ms" or "2.31 s".
pub(super) fn took(length: Duration) -> String {
    if length < Duration::from_secs(1) {
        format!("{} ms", length.as_millis())
    } else {
        format!("{:.2} s", length.as_secs_f64())
    }
}
