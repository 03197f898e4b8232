//! Rules over stored history: what would have fired, when, for how long, for whom.
//!
//! Each expression is evaluated for a whole piece of time at once, and the alerts then run over its
//! steps as they would have run live. Groups whose rules read what they (or a later rule, or alerts)
//! yield are evaluated step by step instead, exactly as the server does it.

mod course;
mod layer;
mod order;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::file::{GroupRules, Rule, RuleKind};
use super::group::{Group, Health};
use super::world::World;
use crate::model::{Labels, Phase, Timestamp};
use crate::ports::Select;
use course::Course;
use layer::Layer;

/// Steps that are computed at once.
const STEPS_AT_ONCE: u32 = 4_000;
/// A rule that fails in so many pieces is not tried any more.
const MOST_FAILURES: u64 = 200;
/// More episodes than this of one rule are counted and not kept.
const MOST_EPISODES: usize = 100_000;

/// What is replayed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The first evaluation.
    pub from: Timestamp,
    /// The last evaluation at the latest.
    pub to: Timestamp,
    /// Time from one evaluation to the next for groups that do not say.
    pub interval: Duration,
    /// What is the same for all rules.
    pub world: World,
}

/// An alert that would have fired.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// Its labels.
    pub labels: Labels,
    /// Its texts when it began to fire.
    pub annotations: Labels,
    /// The value when it began to fire.
    pub value: f64,
    /// Since when the expression held.
    pub since: Timestamp,
    /// When it began to fire.
    pub fired: Timestamp,
    /// When it was over; `None` when it still fires at the end.
    pub ended: Option<Timestamp>,
}

/// What became of one rule.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// The rule.
    pub rule: Arc<Rule>,
    /// Its file.
    pub file: Arc<str>,
    /// Its group.
    pub group: Arc<str>,
    /// What would have fired, in the order in which it began. Empty for recording rules.
    pub episodes: Vec<Episode>,
    /// Episodes that were too many to keep.
    pub more: u64,
    /// How often it waited for its `for` in vain.
    pub pending_only: u64,
    /// Evaluations.
    pub evaluations: u64,
    /// Evaluations that failed.
    pub failures: u64,
    /// Why, the last time; or why a text could not be expanded.
    pub problem: Option<String>,
}

impl Replayed {
    fn new(rule: &Arc<Rule>, group: &GroupRules) -> Self {
        Self {
            rule: rule.clone(),
            file: group.file.clone(),
            group: group.name.clone(),
            episodes: Vec::new(),
            more: 0,
            pending_only: 0,
            evaluations: 0,
            failures: 0,
            problem: None,
        }
    }

    /// Notes the beginning of an episode and gives its place.
    fn begin(&mut self, episode: Episode) -> Option<usize> {
        if self.episodes.len() == MOST_EPISODES {
            self.more += 1;
            return None;
        }
        self.episodes.push(episode);
        Some(self.episodes.len() - 1)
    }

    /// How long it fired altogether, until `end` where it did not stop.
    pub fn fired_for(&self, end: Timestamp) -> Duration {
        let one = |e: &Episode| e.ended.unwrap_or(end).since(e.fired).unwrap_or_default();
        self.episodes.iter().map(one).sum()
    }
}

/// A group on its way through time.
struct Walk {
    rules: Arc<GroupRules>,
    /// For groups that are evaluated step by step.
    group: Option<Group>,
    courses: Vec<Course>,
    step: Duration,
    /// The next evaluation.
    next: Timestamp,
}

/// Runs rules over stored history. `progress` hears how much is done of how much.
pub fn replay(
    groups: &[Arc<GroupRules>],
    store: &dyn Select,
    settings: &Settings,
    progress: &mut dyn FnMut(u64, u64),
) -> Vec<Replayed> {
    let rules = || groups.iter().flat_map(|group| &group.rules);
    let names = |alerting: bool| -> HashSet<Arc<str>> {
        let wanted = rules().filter(|r| matches!(r.kind, RuleKind::Alerting { .. }) == alerting);
        wanted.map(|rule| rule.name().clone()).collect()
    };
    let mut layer = Layer::new(store, settings.from, names(false), names(true));
    let mut walks: Vec<Walk> = order::ordered(groups)
        .into_iter()
        .map(|(rules, stepwise)| {
            let step = rules.interval.unwrap_or(settings.interval).max(Duration::from_millis(1));
            Walk {
                courses: rules.rules.iter().map(|rule| Course::new(rule, &rules)).collect(),
                // How many alerts stand at once is known only step by step.
                group: (stepwise || rules.limit > 0).then(|| Group::new(rules.clone())),
                rules,
                step,
                next: settings.from,
            }
        })
        .collect();
    let shortest = walks.iter().map(|walk| walk.step).min().unwrap_or(settings.interval);
    let piece = shortest.saturating_mul(STEPS_AT_ONCE);
    let mut total = 0;
    let mut end = settings.from;
    while end < settings.to {
        end = (end + piece).min(settings.to);
        total += 1;
    }
    let total = total * walks.len() as u64;
    let (mut done, mut end) = (0, settings.from);
    while end < settings.to {
        end = (end + piece).min(settings.to);
        for walk in &mut walks {
            if walk.group.is_some() {
                walk.step_by_step(end, &mut layer, settings);
            } else {
                walk.at_once(end, &mut layer, settings);
            }
            done += 1;
            progress(done, total);
        }
    }
    walks.into_iter().flat_map(|walk| walk.courses).map(Course::finish).collect()
}

impl Walk {
    /// All evaluations up to `end`, a rule at a time.
    fn at_once(&mut self, end: Timestamp, layer: &mut Layer<'_>, settings: &Settings) {
        let from = self.next;
        if end < from {
            return;
        }
        let step = i64::try_from(self.step.as_millis()).unwrap_or(i64::MAX).max(1);
        let steps = (end.millis() - from.millis()) / step;
        let last = Timestamp::from_millis(from.millis() + steps * step);
        let offset = self.rules.query_offset.unwrap_or(settings.world.query_offset);
        for course in &mut self.courses {
            course.run(course::Span { from, last, step: self.step, offset }, layer, settings);
        }
        self.next = last + self.step;
    }

    fn step_by_step(&mut self, end: Timestamp, layer: &mut Layer<'_>, settings: &Settings) {
        let Some(group) = &mut self.group else { return };
        // Nothing stood before the first evaluation.
        let world = World { tolerance: Duration::ZERO, ..settings.world.clone() };
        while self.next <= end {
            let now = self.next;
            let outcome = group.evaluate(now, self.step, layer, &world, &|| Duration::ZERO);
            for row in outcome.batch.rows {
                layer.put(&row.labels, outcome.batch.at, row.point);
            }
            for (course, state) in self.courses.iter_mut().zip(&group.states) {
                let report = &mut course.report;
                report.evaluations += 1;
                if let Health::Err(reason) = &state.health {
                    report.failures += 1;
                    report.problem = Some(reason.to_string());
                }
                if let Some(warning) = state.warnings.last() {
                    report.problem.get_or_insert_with(|| warning.clone());
                }
                let mut standing = HashSet::new();
                for (labels, active) in state.alerts.iter() {
                    match active.phase {
                        Phase::Firing { since, fired } if !course.open.contains_key(labels) => {
                            let place = report.begin(Episode {
                                labels: labels.clone(),
                                annotations: active.annotations.clone(),
                                value: active.value,
                                since,
                                fired,
                                ended: None,
                            });
                            course.open.insert(labels.clone(), place);
                            course.waiting.remove(labels);
                        }
                        Phase::Resolved { resolved, .. } => {
                            if let Some(Some(place)) = course.open.remove(labels) {
                                report.episodes[place].ended = Some(resolved);
                            }
                        }
                        Phase::Pending { .. } => {
                            course.waiting.insert(labels.clone());
                        }
                        Phase::Firing { .. } => {}
                    }
                    standing.insert(labels);
                }
                // A limit that was exceeded ends all alerts of the rule without a word.
                course.open.retain(|labels, place| {
                    let stands = standing.contains(labels);
                    if let (false, Some(place)) = (stands, place) {
                        report.episodes[*place].ended = Some(now);
                    }
                    stands
                });
                let before = course.waiting.len();
                course.waiting.retain(|labels| standing.contains(labels));
                report.pending_only += (before - course.waiting.len()) as u64;
            }
            self.next = now + self.step;
        }
    }
}

#[cfg(test)]
mod tests;
