//! What `/api/v1/rules`, `/api/v1/alerts` and the pages show of rules: a copy of a moment.

use std::sync::Arc;
use std::time::Duration;

use super::alerts::Active;
use super::file::RuleKind;
use super::group::{Group, Health, RuleState};
use crate::model::{Labels, Phase, Timestamp};

/// A group.
#[derive(Clone, Debug)]
pub struct GroupView {
    /// Its name.
    pub name: Arc<str>,
    /// Its file.
    pub file: Arc<str>,
    /// Time from one evaluation to the next.
    pub interval: Duration,
    /// Most alerts or series of one rule; 0 for no limit.
    pub limit: usize,
    /// How far back its rules look.
    pub query_offset: Duration,
    /// The last evaluation.
    pub last_evaluation: Option<Timestamp>,
    /// How long it took.
    pub evaluation_time: Duration,
    /// Its rules, in order.
    pub rules: Vec<RuleView>,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct RuleView {
    /// The alert's or the recorded metric's name.
    pub name: Arc<str>,
    /// Whether it makes alerts; else it records.
    pub alerting: bool,
    /// The expression as it was written.
    pub query: Arc<str>,
    /// `for`; zero for a recording rule.
    pub hold: Duration,
    /// `keep_firing_for`; zero for a recording rule.
    pub keep_firing_for: Duration,
    /// Labels as written.
    pub labels: Labels,
    /// Annotations as written.
    pub annotations: Labels,
    /// How the last evaluation went.
    pub health: Health,
    /// The last evaluation.
    pub last_evaluation: Option<Timestamp>,
    /// How long it took.
    pub evaluation_time: Duration,
    /// Warnings of the query and errors of templates at the last evaluation.
    pub warnings: Vec<String>,
    /// Alerts that are pending or firing, sorted by labels.
    pub alerts: Vec<AlertView>,
}

/// Whether an alert waits or fires; for a rule also that it does neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertState {
    /// No alert.
    Inactive,
    /// Not yet for long enough.
    Pending,
    /// Fires.
    Firing,
}

/// An alert that is pending or firing.
#[derive(Clone, Debug)]
pub struct AlertView {
    /// Identity.
    pub labels: Labels,
    /// Texts.
    pub annotations: Labels,
    /// Where it stands.
    pub state: AlertState,
    /// Since when the expression holds.
    pub active_at: Timestamp,
    /// Since when it fires only because of `keep_firing_for`.
    pub keep_firing_since: Option<Timestamp>,
    /// The latest value.
    pub value: f64,
}

impl AlertState {
    /// As the API writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Firing => "firing",
        }
    }
}

impl RuleView {
    /// The state of a rule is that of its most advanced alert.
    pub fn state(&self) -> AlertState {
        self.alerts.iter().map(|alert| alert.state).max().unwrap_or(AlertState::Inactive)
    }

    /// `ok`, `err` or `unknown`, as the API writes it.
    pub fn health_name(&self) -> &'static str {
        match self.health {
            Health::Unknown => "unknown",
            Health::Ok => "ok",
            Health::Err(_) => "err",
        }
    }

    /// Why the last evaluation failed; empty unless it did.
    pub fn last_error(&self) -> &str {
        match &self.health {
            Health::Err(reason) => reason,
            Health::Unknown | Health::Ok => "",
        }
    }
}

impl Group {
    /// What is shown of it. `interval` and `offset` count where the file gives none.
    pub fn view(&self, interval: Duration, offset: Duration) -> GroupView {
        let rules = self.rules();
        GroupView {
            name: rules.name.clone(),
            file: rules.file.clone(),
            interval: rules.interval.unwrap_or(interval),
            limit: rules.limit,
            query_offset: rules.query_offset.unwrap_or(offset),
            last_evaluation: self.last,
            evaluation_time: self.took,
            rules: self.states.iter().map(RuleState::view).collect(),
        }
    }
}

impl RuleState {
    fn view(&self) -> RuleView {
        let (alerting, hold, keep) = match &self.rule.kind {
            RuleKind::Recording { .. } => (false, Duration::ZERO, Duration::ZERO),
            RuleKind::Alerting { hold, keep, .. } => (true, *hold, *keep),
        };
        RuleView {
            name: self.rule.name().clone(),
            alerting,
            query: self.rule.expression.text(),
            hold,
            keep_firing_for: keep,
            labels: self.written.0.clone(),
            annotations: self.written.1.clone(),
            health: self.health.clone(),
            last_evaluation: self.last,
            evaluation_time: self.took,
            warnings: self.warnings.clone(),
            alerts: self.alerts.iter().filter_map(view).collect(),
        }
    }
}

fn view((labels, active): (&Labels, &Active)) -> Option<AlertView> {
    let (state, active_at) = match active.phase {
        Phase::Pending { since } => (AlertState::Pending, since),
        Phase::Firing { since, .. } => (AlertState::Firing, since),
        Phase::Resolved { .. } => return None,
    };
    Some(AlertView {
        labels: labels.clone(),
        annotations: active.annotations.clone(),
        state,
        active_at,
        keep_firing_since: active.kept_since,
        value: active.value,
    })
}
