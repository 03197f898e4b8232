//! One rule on its way through time: its expression over many steps at once, its alerts over the
//! steps.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::super::alerts::{Active, Terms};
use super::super::file::{GroupRules, Rule, RuleKind};
use super::super::group::{apply, stored};
use super::super::texts::Texts;
use super::layer::Layer;
use super::{Episode, MOST_FAILURES, Replayed, Settings};
use crate::model::{Labels, METRIC_NAME, Phase, Point, Timestamp};
use crate::promql::{self, SeriesPoints, Value};

/// A rule, what stands at this moment, and what happened.
pub(super) struct Course {
    pub(super) report: Replayed,
    /// Episodes that have not ended, by the alert's labels.
    pub(super) open: HashMap<Labels, Option<usize>>,
    /// Alerts that wait for their `for`; used by groups that go step by step.
    pub(super) waiting: HashSet<Labels>,
    active: BTreeMap<Labels, Active>,
    /// Recorded series that had a value at the last step.
    recorded: HashSet<Labels>,
}

/// The steps of a piece of time.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) from: Timestamp,
    /// At a whole number of steps from `from`.
    pub(super) last: Timestamp,
    pub(super) step: Duration,
    /// How far back the rule looks.
    pub(super) offset: Duration,
}

/// Where an alert holds, and with which value and labels of the expression.
type Held<'a> = Vec<(Timestamp, f64, &'a Labels)>;

impl Span {
    fn steps(&self) -> u64 {
        let step = i64::try_from(self.step.as_millis()).unwrap_or(i64::MAX).max(1);
        u64::try_from((self.last.millis() - self.from.millis()) / step).unwrap_or(0) + 1
    }

    /// The two halves; `None` of a single step.
    fn halves(self) -> Option<(Self, Self)> {
        let half = u32::try_from(self.steps() / 2).ok().filter(|half| *half > 0)?;
        let middle = self.from + self.step.saturating_mul(half);
        Some((Self { last: middle - self.step, ..self }, Self { from: middle, ..self }))
    }
}

impl Course {
    pub(super) fn new(rule: &Arc<Rule>, group: &GroupRules) -> Self {
        Self {
            report: Replayed::new(rule, group),
            open: HashMap::new(),
            waiting: HashSet::new(),
            active: BTreeMap::new(),
            recorded: HashSet::new(),
        }
    }

    pub(super) fn finish(mut self) -> Replayed {
        self.report.episodes.sort_by(|a, b| (a.fired, &a.labels).cmp(&(b.fired, &b.labels)));
        self.report
    }

    /// All steps of a piece of time. A piece in which the expression fails is halved until the
    /// failing steps are found.
    pub(super) fn run(&mut self, span: Span, layer: &mut Layer<'_>, settings: &Settings) {
        if self.report.failures > MOST_FAILURES {
            self.report.evaluations += span.steps();
            self.report.failures += span.steps();
            return;
        }
        let (from, last) = (span.from - span.offset, span.last - span.offset);
        let rule = self.report.rule.clone();
        let options = settings.world.options();
        let answer =
            promql::range(rule.expression.expr(), &*layer, from, last, span.step, &options);
        let reason = match answer.map(|answer| answer.value) {
            Ok(Value::Matrix(series)) => {
                self.report.evaluations += span.steps();
                match &rule.kind {
                    RuleKind::Recording { record } => self.record(record, series, span, layer),
                    RuleKind::Alerting { .. } => self.alerts(&series, span, layer, settings),
                }
                return;
            }
            Ok(_) => "rule result is not a vector or scalar".to_owned(),
            Err(error) => error.message,
        };
        match span.halves() {
            Some((first, second)) => {
                self.run(first, layer, settings);
                self.run(second, layer, settings);
            }
            None => {
                self.report.evaluations += 1;
                self.failed(reason);
            }
        }
    }

    fn failed(&mut self, reason: String) {
        self.report.failures += 1;
        self.report.problem = Some(reason);
    }

    fn record(
        &mut self,
        record: &str,
        series: Vec<SeriesPoints>,
        span: Span,
        layer: &mut Layer<'_>,
    ) {
        let rule = self.report.rule.clone();
        let extra = rule.written_labels();
        let mut seen = HashSet::new();
        let mut standing = HashSet::new();
        for SeriesPoints { labels, points } in series {
            let labels = apply(&labels.with(METRIC_NAME, record), &rule, &extra);
            if !seen.insert(labels.clone()) {
                let what =
                    "vector contains metrics with the same labelset after applying rule labels";
                self.failed(what.to_owned());
                continue;
            }
            // A series ends at the first step that it does not reach.
            let mut expected = span.from - span.offset;
            let mut there = self.recorded.remove(&labels);
            for (at, point) in points {
                if there && at > expected {
                    layer.put(&labels, expected, Point::Stale);
                }
                layer.put(&labels, at, stored(point));
                (there, expected) = (true, at + span.step);
            }
            if expected <= span.last - span.offset {
                if there {
                    layer.put(&labels, expected, Point::Stale);
                }
            } else {
                standing.insert(labels);
            }
        }
        for gone in std::mem::replace(&mut self.recorded, standing) {
            layer.put(&gone, span.from - span.offset, Point::Stale);
        }
    }

    fn alerts(
        &mut self,
        series: &[SeriesPoints],
        span: Span,
        layer: &Layer<'_>,
        settings: &Settings,
    ) {
        let held = self.held(series, span, layer, settings);
        let known: Vec<Labels> =
            self.active.keys().filter(|labels| !held.contains_key(*labels)).cloned().collect();
        for labels in known {
            self.walk(&labels, &[], span, layer, settings);
        }
        for (labels, points) in held {
            self.walk(&labels, &points, span, layer, settings);
        }
    }

    /// The elements of the result by the alerts they are.
    fn held<'a>(
        &mut self,
        series: &'a [SeriesPoints],
        span: Span,
        layer: &Layer<'_>,
        settings: &Settings,
    ) -> BTreeMap<Labels, Held<'a>> {
        let rule = self.report.rule.clone();
        let moving = rule.labels.iter().any(|(_, text)| {
            let text = text.as_str();
            ["$value", ".Value", "query", "now"].iter().any(|word| text.contains(word))
        });
        let mut held: BTreeMap<Labels, Held<'a>> = BTreeMap::new();
        for SeriesPoints { labels, points } in series {
            let number = |point: &promql::Point| point.float().unwrap_or(0.0);
            let back = |at: Timestamp| at + span.offset;
            if moving {
                for (at, point) in points {
                    let texts = Texts { store: layer, world: &settings.world, now: back(*at) };
                    let name = self.identity(&rule, labels, number(point), &texts);
                    held.entry(name).or_default().push((back(*at), number(point), labels));
                }
            } else if let Some((at, point)) = points.first() {
                let texts = Texts { store: layer, world: &settings.world, now: back(*at) };
                let name = self.identity(&rule, labels, number(point), &texts);
                let points = points.iter().map(|(at, p)| (back(*at), number(p), labels));
                held.entry(name).or_default().extend(points);
            }
        }
        let mut doubled: HashSet<Timestamp> = HashSet::new();
        for points in held.values_mut() {
            points.sort_by_key(|(at, ..)| *at);
            let twice = points.windows(2).filter(|pair| pair[0].0 == pair[1].0);
            doubled.extend(twice.map(|pair| pair[0].0));
            points.dedup_by_key(|(at, ..)| *at);
        }
        if !doubled.is_empty() {
            self.report.failures += doubled.len() as u64;
            let what = "vector contains metrics with the same labelset after applying alert labels";
            self.report.problem = Some(what.to_owned());
        }
        held
    }

    fn identity(&mut self, rule: &Rule, labels: &Labels, value: f64, texts: &Texts<'_>) -> Labels {
        let mut broken = Vec::new();
        let mut named = labels.without(&[METRIC_NAME]);
        for (name, text) in &rule.labels {
            named = named.with(name, &texts.expand(rule.name(), text, labels, value, &mut broken));
        }
        if let Some(reason) = broken.pop() {
            self.report.problem = Some(reason);
        }
        named.with("alertname", rule.name())
    }

    /// One alert over all steps.
    fn walk(
        &mut self,
        labels: &Labels,
        points: &[(Timestamp, f64, &Labels)],
        span: Span,
        layer: &Layer<'_>,
        settings: &Settings,
    ) {
        let rule = self.report.rule.clone();
        let RuleKind::Alerting { hold, keep, .. } = &rule.kind else { return };
        let terms = Terms { hold: *hold, keep: *keep, limit: 0 };
        let mut active = self.active.remove(labels);
        let mut points = points.iter().peekable();
        let mut now = span.from;
        while now <= span.last {
            let here = points.next_if(|(at, ..)| *at <= now);
            match (&mut active, here) {
                (None, None) => match points.peek() {
                    Some((at, ..)) => {
                        now = *at;
                        continue;
                    }
                    None => break,
                },
                (slot, Some((_, value, element))) => {
                    let alert = slot.get_or_insert_with(|| Active::begun(now));
                    alert.holds(now, terms);
                    alert.value = *value;
                    if let Phase::Firing { since, fired } = alert.phase
                        && fired == now
                        && !self.open.contains_key(labels)
                    {
                        let texts = Texts { store: layer, world: &settings.world, now };
                        let annotations = self.annotations(&rule, element, *value, &texts);
                        let place = self.report.begin(Episode {
                            labels: labels.clone(),
                            annotations,
                            value: *value,
                            since,
                            fired,
                            ended: None,
                        });
                        self.open.insert(labels.clone(), place);
                    }
                }
                (Some(alert), None) => {
                    let pending = matches!(alert.phase, Phase::Pending { .. });
                    if pending {
                        self.report.pending_only += 1;
                        active = None;
                    } else if alert.missed(now, terms) && alert.is_over() {
                        if let Some(Some(place)) = self.open.remove(labels) {
                            self.report.episodes[place].ended = Some(now);
                        }
                        active = None;
                    }
                }
            }
            now = now + span.step;
        }
        if let Some(active) = active {
            self.active.insert(labels.clone(), active);
        }
    }

    fn annotations(
        &mut self,
        rule: &Rule,
        element: &Labels,
        value: f64,
        texts: &Texts<'_>,
    ) -> Labels {
        let RuleKind::Alerting { annotations, .. } = &rule.kind else { return Labels::empty() };
        let mut broken = Vec::new();
        let expanded: Vec<(&str, String)> = annotations
            .iter()
            .map(|(name, text)| {
                (&**name, texts.expand(rule.name(), text, element, value, &mut broken))
            })
            .collect();
        if let Some(reason) = broken.pop() {
            self.report.problem = Some(reason);
        }
        let pairs = expanded.iter().map(|(name, text)| (*name, text.as_str()));
        Labels::from_pairs(pairs).unwrap_or_default()
    }
}
