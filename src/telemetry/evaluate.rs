use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Unit;
use std::sync::atomic::AtomicU64;

use super::catalogue::Registry;

/// A gauge that holds any number.
type FloatGauge = Gauge<f64, AtomicU64>;

/// Evaluating rules.
#[derive(Debug)]
pub struct EvaluateTelemetry {
    /// Evaluations of a group, by what set them off.
    pub evaluations: Family<EvaluationLabels, Counter>,
    /// Slots that passed while the group was still busy.
    pub missed_slots: Family<GroupLabels, Counter>,
    /// Rules evaluated.
    pub rules: Family<GroupLabels, Counter>,
    /// Rules whose evaluation failed.
    pub rule_failures: Family<GroupLabels, Counter>,
    /// How long the last evaluation took, storing included.
    pub last_duration: Family<GroupLabels, FloatGauge>,
    /// When the last evaluation was.
    pub last_evaluation: Family<GroupLabels, FloatGauge>,
    /// Time from one slot to the next.
    pub interval: Family<GroupLabels, FloatGauge>,
    /// Results that the sample store did not keep durably.
    pub append_failures: Counter,
    /// Evaluations that died; their group began anew.
    pub panics: Counter,
    /// Alerts, by state.
    pub alerts: Family<StateLabels, Gauge>,
}

/// Which group: `file;name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct GroupLabels {
    /// `file;name`.
    pub rule_group: Arc<str>,
}

/// Which group, and why now.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EvaluationLabels {
    /// `file;name`.
    pub rule_group: Arc<str>,
    /// `slot` or `verdict`.
    pub cause: &'static str,
}

/// Which state.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct StateLabels {
    /// `pending` or `firing`.
    pub state: &'static str,
}

impl EvaluateTelemetry {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let new = Self {
            evaluations: Family::default(),
            missed_slots: Family::default(),
            rules: Family::default(),
            rule_failures: Family::default(),
            last_duration: Family::default(),
            last_evaluation: Family::default(),
            interval: Family::default(),
            append_failures: Counter::default(),
            panics: Counter::default(),
            alerts: Family::default(),
        };
        registry.register(
            "evaluations",
            "Evaluations of a rule group, at its slot or because a verdict changed",
            new.evaluations.clone(),
        );
        registry.register(
            "missed_slots",
            "Slots of a rule group that passed while it was still being evaluated",
            new.missed_slots.clone(),
        );
        registry.register("rules", "Rules evaluated", new.rules.clone());
        registry.register(
            "rule_failures",
            "Rules whose evaluation failed",
            new.rule_failures.clone(),
        );
        registry.register_with_unit(
            "last_duration",
            "How long the last evaluation of a rule group took, storing its results included",
            Unit::Seconds,
            new.last_duration.clone(),
        );
        registry.register_with_unit(
            "last_evaluation_timestamp",
            "Unix time of the last evaluation of a rule group",
            Unit::Seconds,
            new.last_evaluation.clone(),
        );
        registry.register_with_unit(
            "interval",
            "Time from one slot of a rule group to the next",
            Unit::Seconds,
            new.interval.clone(),
        );
        registry.register(
            "append_failures",
            "Results of rule groups that the sample store could not keep durably",
            new.append_failures.clone(),
        );
        registry.register(
            "panics",
            "Evaluations that died; the rule group began anew",
            new.panics.clone(),
        );
        registry.register("alerts", "Alerts, pending or firing", new.alerts.clone());
        new
    }
}
