//! A rule group at work: its rules one after the other, at one instant, over one snapshot.

use std::cell::LazyCell;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashSet;

use super::alerts::{Alerts, Candidate, Terms};
use super::duration::format_duration;
use super::file::{GroupRules, Rule, RuleKind};
use super::overlay::Overlay;
use super::recall::Recall;
use super::texts::Texts;
use super::world::World;
use crate::model::{Alert, Batch, Labels, METRIC_NAME, Phase, Point, Row, Timestamp};
use crate::ports::Select;
use crate::promql;

/// A rule group with everything it remembers from one evaluation to the next.
#[derive(Debug)]
pub struct Group {
    rules: Arc<GroupRules>,
    source: Arc<str>,
    pub(super) states: Vec<RuleState>,
    /// Series of rules that are gone since the last evaluation: they end at the next one.
    orphans: Vec<Labels>,
    /// Alerts of rules that are gone: told once that they are over.
    widows: Vec<Alert>,
    recall: Recall,
    pub(super) last: Option<Timestamp>,
    pub(super) took: Duration,
    /// What its rules select more than once.
    common: Option<promql::CommonSelectors>,
}

/// What one rule remembers.
#[derive(Debug)]
pub(super) struct RuleState {
    pub(super) rule: Arc<Rule>,
    /// Its labels and annotations as they were written.
    pub(super) written: (Labels, Labels),
    pub(super) alerts: Alerts,
    /// The series of the evaluation before.
    previous: HashSet<Labels>,
    pub(super) health: Health,
    pub(super) last: Option<Timestamp>,
    pub(super) took: Duration,
    pub(super) warnings: Vec<String>,
    /// Another rule has the same name.
    pub(super) shared: bool,
}

/// How the last evaluation of a rule went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// There was none yet.
    #[default]
    Unknown,
    /// Well.
    Ok,
    /// Not: nothing of its result counted.
    Err(Arc<str>),
}

/// What an evaluation of a group yields.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Recorded series, `ALERTS`, `ALERTS_FOR_STATE`, and the ends of series.
    pub batch: Batch,
    /// All alerts that fire or are freshly over; every evaluation repeats them.
    pub alerts: Vec<Alert>,
    /// How many rules were evaluated.
    pub evaluated: usize,
    /// How many of them failed.
    pub failed: usize,
}

impl Group {
    /// A group that has not been evaluated yet.
    pub fn new(rules: Arc<GroupRules>) -> Self {
        let states = rules.rules.iter().cloned().map(RuleState::new).collect();
        let source = format!("rules/{};{}", rules.file, rules.name).into();
        Self {
            rules,
            source,
            states,
            orphans: Vec::new(),
            widows: Vec::new(),
            recall: Recall::default(),
            last: None,
            took: Duration::ZERO,
            common: None,
        }
    }

    /// As it was written.
    pub fn rules(&self) -> &Arc<GroupRules> {
        &self.rules
    }

    /// The instant of the last evaluation.
    pub fn last_evaluation(&self) -> Option<Timestamp> {
        self.last
    }

    /// Goes on where `old`, the same group before a reload, stood: rules with the same name and
    /// labels keep their alerts, however their expression or `for` changed.
    pub fn take_over(&mut self, old: Group, now: Timestamp) {
        let Group { states, orphans, widows, recall, last, took, .. } = old;
        let mut old: Vec<Option<RuleState>> = states.into_iter().map(Some).collect();
        for state in &mut self.states {
            let mut same: Vec<&mut Option<RuleState>> = old
                .iter_mut()
                .filter(|other| other.as_ref().is_some_and(|other| state.continues(other)))
                .collect();
            let scoped = |rule: &Rule| !rule.scope.is_empty();
            if scoped(&state.rule) || same.iter().any(|o| o.iter().any(|o| scoped(&o.rule))) {
                same.into_iter().flatten().for_each(|before| state.take_part_of(before));
                continue;
            }
            let Some(before) = same.first_mut().and_then(|first| first.take()) else { continue };
            let (rule, written) = (state.rule.clone(), state.written.clone());
            let shared = state.shared;
            *state = RuleState { rule, written, shared, ..before };
        }
        self.orphans = orphans;
        self.widows = widows;
        for gone in old.into_iter().flatten() {
            self.widows.extend(gone.ended(now));
            self.orphans.extend(gone.previous);
        }
        if recall.is_over() {
            self.recall = recall;
        }
        (self.last, self.took) = (last, took);
    }

    /// The end of a group that no file names any more: its series and its alerts are over.
    pub fn close(self, now: Timestamp) -> Outcome {
        let mut outcome = Outcome::new(self.source, now);
        outcome.alerts = self.widows;
        let mut ends = self.orphans;
        for state in self.states {
            outcome.alerts.extend(state.ended(now));
            ends.extend(state.previous);
        }
        let stale = |labels| Row { labels, point: Point::Stale };
        outcome.batch.rows = ends.into_iter().map(stale).collect();
        outcome
    }

    /// Evaluates all rules at `now`, one after the other; each sees what those before it yielded.
    ///
    /// `interval` is the time to the next ordinary evaluation; it is told to receivers of alerts. An
    /// evaluation between two ordinary ones is the same thing: `for` counts time, not evaluations.
    /// `stopwatch` gives the time since some fixed start, to tell what each rule cost.
    pub fn evaluate(
        &mut self,
        now: Timestamp,
        interval: Duration,
        store: &dyn Select,
        world: &World,
        stopwatch: &(dyn Fn() -> Duration + Sync),
    ) -> Outcome {
        let begun = stopwatch();
        let at = now - self.rules.query_offset.unwrap_or(world.query_offset);
        // What several rules select is read once.
        let options = world.options();
        let known = self.common.take().filter(|common| common.holds_at(at, &options));
        let common = known.unwrap_or_else(|| {
            let queries = self.states.iter().map(|state| state.rule.expression.expr());
            promql::CommonSelectors::of(queries, at, &options)
        });
        let common = self.common.insert(common);
        let shared = promql::SharedReads::new(store, common, at);
        let store: &dyn Select = &shared;
        let mut tick = Tick {
            now,
            at,
            interval,
            limit: self.rules.limit,
            world,
            overlay: Overlay::new(store, at),
            stopwatch,
            outcome: Outcome::new(self.source.clone(), at),
        };
        self.recall.begin(now, &self.states, store, world);
        for (position, state) in self.states.iter_mut().enumerate() {
            let lap = stopwatch();
            let recall = &mut self.recall;
            tick.evaluate(state, |labels, hold| recall.since(position, labels, now, hold, world));
            state.last = Some(now);
            state.took = stopwatch().saturating_sub(lap);
        }
        let forgotten = self.recall.finish(now, &mut self.states, world.settle);
        for labels in forgotten.into_iter().chain(self.orphans.drain(..)) {
            tick.push(labels, Point::Stale);
        }
        tick.outcome.alerts.append(&mut self.widows);
        self.last = Some(now);
        self.took = stopwatch().saturating_sub(begun);
        tick.outcome
    }

    /// Says which alert names several rules share: an alert of such a name that is missed after a
    /// restart may belong to another rule, so nobody tells its end.
    pub fn mark_shared(&mut self, names: &HashSet<Arc<str>>) {
        for state in &mut self.states {
            state.shared = names.contains(state.rule.name());
        }
    }
}

impl Outcome {
    fn new(source: Arc<str>, at: Timestamp) -> Self {
        Self { batch: Batch::new(source, at), alerts: Vec::new(), evaluated: 0, failed: 0 }
    }
}

impl RuleState {
    fn new(rule: Arc<Rule>) -> Self {
        Self {
            written: (rule.written_labels(), rule.written_annotations()),
            rule,
            alerts: Alerts::default(),
            previous: HashSet::new(),
            health: Health::Unknown,
            last: None,
            took: Duration::ZERO,
            warnings: Vec::new(),
            shared: false,
        }
    }

    fn continues(&self, other: &RuleState) -> bool {
        let alerting = |rule: &Rule| matches!(rule.kind, RuleKind::Alerting { .. });
        alerting(&self.rule) == alerting(&other.rule)
            && self.rule.name() == other.rule.name()
            && self.written.0 == other.written.0
    }

    /// Takes over what is within its scope from a rule that was about more, or about less.
    fn take_part_of(&mut self, old: &mut RuleState) {
        let scope = &self.rule.scope;
        let mine = |labels: &Labels| scope.iter().all(|matcher| matcher.matches(labels));
        self.alerts.move_from(&mut old.alerts, mine);
        let (own, rest) = old.previous.drain().partition(mine);
        old.previous = rest;
        let own: HashSet<Labels> = own;
        self.previous.extend(own);
        self.health = old.health.clone();
        (self.last, self.took) = (old.last, old.took);
    }

    /// The alerts that fired when the rule was taken away.
    fn ended(&self, now: Timestamp) -> Vec<Alert> {
        let firing = self.alerts.iter().filter_map(|(labels, active)| match active.phase {
            Phase::Firing { fired, .. } => Some((labels, active, fired)),
            Phase::Pending { .. } | Phase::Resolved { .. } => None,
        });
        firing
            .map(|(labels, active, fired)| Alert {
                labels: labels.clone(),
                annotations: active.annotations.clone(),
                phase: Phase::Resolved { fired, resolved: now },
                value: Some(active.value),
                ends: Some(now),
                generator: "".into(),
            })
            .collect()
    }
}

/// One evaluation of a group.
struct Tick<'a> {
    now: Timestamp,
    /// `now` less the query offset: what is asked for, and what results are stored under.
    at: Timestamp,
    interval: Duration,
    limit: usize,
    world: &'a World,
    overlay: Overlay<'a>,
    stopwatch: &'a (dyn Fn() -> Duration + Sync),
    outcome: Outcome,
}

impl Tick<'_> {
    fn evaluate(
        &mut self,
        state: &mut RuleState,
        recall: impl FnMut(&Labels, Duration) -> Option<Timestamp>,
    ) {
        self.outcome.evaluated += 1;
        state.warnings.clear();
        let rule = state.rule.clone();
        let yielded = match &rule.kind {
            RuleKind::Recording { record } => self.record(&rule, record, state),
            RuleKind::Alerting { .. } => self.alert(&rule, state, recall),
        };
        match yielded {
            Ok(rows) => {
                state.health = Health::Ok;
                let (mut known, total) = (0, rows.len());
                let mut new = Vec::new();
                let mut labelled = Vec::with_capacity(total);
                for row in rows {
                    // The same labels are held once, whoever keeps them.
                    let labels = match state.previous.get(&row.labels) {
                        Some(same) => {
                            known += 1;
                            same.clone()
                        }
                        None => {
                            new.push(row.labels.clone());
                            row.labels
                        }
                    };
                    labelled.push(labels.clone());
                    self.push(labels, row.point);
                }
                if known < state.previous.len() {
                    let series: HashSet<Labels> = labelled.into_iter().collect();
                    let ended = std::mem::replace(&mut state.previous, series);
                    for labels in ended.into_iter().filter(|l| !state.previous.contains(l)) {
                        self.push(labels, Point::Stale);
                    }
                } else {
                    state.previous.extend(new);
                }
            }
            Err(reason) => {
                self.outcome.failed += 1;
                state.health = Health::Err(reason.into());
            }
        }
    }

    fn push(&mut self, labels: Labels, point: Point) {
        let row = Row { labels, point };
        self.overlay.lay(&row);
        self.outcome.batch.rows.push(row);
    }

    fn query(
        &self,
        rule: &Rule,
        warnings: &mut Vec<String>,
    ) -> Result<Vec<(Labels, promql::Point)>, String> {
        let (begun, patience) = ((self.stopwatch)(), self.world.patience);
        let interrupt = || {
            let late = (self.stopwatch)().saturating_sub(begun) > patience;
            late.then_some(promql::Interrupt::Timeout)
        };
        let options = promql::Options { interrupt: &interrupt, ..self.world.options() };
        let answer = promql::instant(rule.expression.expr(), &self.overlay, self.at, &options)
            .map_err(|error| match error.kind {
                promql::EvalErrorKind::Timeout => {
                    let patience = format_duration(patience);
                    format!("the expression takes longer than {patience}; it was given up")
                }
                _ => error.message,
            })?;
        let text = rule.expression.as_str();
        warnings.extend(answer.warnings.iter().map(|annotation| annotation.in_query(text)));
        match answer.value {
            promql::Value::Vector(samples) => {
                Ok(samples.into_iter().map(|sample| (sample.labels, sample.value)).collect())
            }
            promql::Value::Scalar(_, value) => {
                Ok(vec![(Labels::empty(), promql::Point::Float(value))])
            }
            promql::Value::String(..) | promql::Value::Matrix(_) => {
                Err("rule result is not a vector or scalar".to_owned())
            }
        }
    }

    fn record(&self, rule: &Rule, record: &str, state: &mut RuleState) -> Result<Vec<Row>, String> {
        let extra = &state.written.0;
        let found = self.query(rule, &mut state.warnings)?;
        let mut seen = HashSet::with_capacity(found.len());
        let mut rows = Vec::with_capacity(found.len());
        for (labels, value) in found {
            let labels = labels.with(METRIC_NAME, record);
            let labels = apply(&labels, rule, extra);
            if !seen.insert(labels.clone()) {
                let what =
                    "vector contains metrics with the same labelset after applying rule labels";
                return Err(what.to_owned());
            }
            rows.push(Row { labels, point: stored(value) });
        }
        if self.limit > 0 && rows.len() > self.limit {
            return Err(format!("exceeded limit of {} with {} series", self.limit, rows.len()));
        }
        Ok(rows)
    }

    fn alert(
        &mut self,
        rule: &Rule,
        state: &mut RuleState,
        mut recall: impl FnMut(&Labels, Duration) -> Option<Timestamp>,
    ) -> Result<Vec<Row>, String> {
        let RuleKind::Alerting { alert, hold, keep, annotations } = &rule.kind else {
            return Ok(Vec::new());
        };
        let mut candidates = Vec::new();
        for (labels, value) in self.query(rule, &mut state.warnings)? {
            let value = value.float().unwrap_or(0.0);
            let texts = Texts { store: &self.overlay, world: self.world, now: self.now };
            let expand = |text: &super::language::Text, broken: &mut Vec<String>| {
                texts.expand(alert, text, &labels, value, broken)
            };
            let broken = &mut state.warnings;
            let mut named = labels.without(&[METRIC_NAME]);
            for (name, text) in &rule.labels {
                named = named.with(name, &expand(text, broken));
            }
            let texts: Vec<(&str, String)> =
                annotations.iter().map(|(name, text)| (&**name, expand(text, broken))).collect();
            let texts = texts.iter().map(|(name, text)| (*name, text.as_str()));
            candidates.push(Candidate {
                labels: named.with("alertname", alert),
                annotations: Labels::from_pairs(texts).unwrap_or_default(),
                value,
            });
        }
        let terms = Terms { hold: *hold, keep: *keep, limit: self.limit };
        state
            .alerts
            .step(self.now, candidates, terms, |labels| recall(labels, *hold))
            .map_err(|refusal| refusal.to_string())?;
        let generator = LazyCell::new(|| self.world.generator(rule.expression.as_str()));
        let mut rows = Vec::new();
        for (labels, active) in state.alerts.iter() {
            let ends = match active.phase {
                Phase::Resolved { resolved, .. } => resolved,
                Phase::Pending { since } | Phase::Firing { since, .. } => {
                    rows.extend(state_rows(labels, active.phase, since));
                    self.now + self.interval.max(self.world.resend) * 4
                }
            };
            if !matches!(active.phase, Phase::Pending { .. }) {
                self.outcome.alerts.push(Alert {
                    labels: labels.clone(),
                    annotations: active.annotations.clone(),
                    phase: active.phase,
                    value: Some(active.value).filter(|value| !value.is_nan()),
                    ends: Some(ends),
                    generator: Arc::clone(&generator),
                });
            }
        }
        Ok(rows)
    }
}

/// The labels of a recording rule win; an empty value takes a label away.
pub(super) fn apply(labels: &Labels, rule: &Rule, extra: &Labels) -> Labels {
    let mut labels = labels.overridden_by(extra);
    for (name, text) in rule.labels.iter().filter(|(_, text)| text.as_str().is_empty()) {
        labels = labels.with(name, text.as_str());
    }
    labels
}

pub(super) fn stored(value: promql::Point) -> Point {
    match value {
        promql::Point::Float(value) if crate::model::is_stale(value) => Point::Stale,
        promql::Point::Float(value) => Point::Float(value),
        promql::Point::Histogram(histogram) => Point::Histogram(histogram),
    }
}

/// `ALERTS` and `ALERTS_FOR_STATE` of an alert that stands.
fn state_rows(labels: &Labels, phase: Phase, since: Timestamp) -> [Row; 2] {
    let [alerts, clock] = state_series(labels, matches!(phase, Phase::Firing { .. }));
    #[allow(clippy::cast_precision_loss)]
    let seconds = since.millis().div_euclid(1000) as f64;
    [
        Row { labels: alerts, point: Point::Float(1.0) },
        Row { labels: clock, point: Point::Float(seconds) },
    ]
}

/// The two series that tell an alert's state.
pub(super) fn state_series(labels: &Labels, firing: bool) -> [Labels; 2] {
    let state = if firing { "firing" } else { "pending" };
    [
        labels.with(METRIC_NAME, "ALERTS").with("alertstate", state),
        labels.with(METRIC_NAME, "ALERTS_FOR_STATE"),
    ]
}
