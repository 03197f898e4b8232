use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Unit;

use super::catalogue::Registry;

/// Probing.
#[derive(Debug)]
pub struct ProbeTelemetry {
    looks: Family<Look, Counter>,
    skipped: Counter,
    overran: Counter,
    panicked: Counter,
    append_failures: Counter,
    changes_lost: Counter,
    lag: Histogram,
    /// Targets that are looked at.
    pub targets: Gauge,
    /// Looks that are going on.
    pub running: Gauge,
    /// Looks that are due and wait for a free place.
    pub waiting: Gauge,
    busy: Counter<f64, AtomicU64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Look {
    probe: &'static str,
    outcome: &'static str,
}

/// How a look ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookOutcome {
    /// The target does what it should.
    Up,
    /// It does not.
    Down,
    /// We could not look.
    NotMeasured,
}

impl ProbeTelemetry {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let new = Self {
            looks: Family::default(),
            skipped: Counter::default(),
            overran: Counter::default(),
            panicked: Counter::default(),
            append_failures: Counter::default(),
            changes_lost: Counter::default(),
            lag: Histogram::new(exponential_buckets(0.001, 4.0, 8)),
            targets: Gauge::default(),
            running: Gauge::default(),
            waiting: Gauge::default(),
            busy: Counter::default(),
        };
        registry.register("looks", "Looks at targets by kind and outcome", new.looks.clone());
        registry.register(
            "skipped_looks",
            "Looks left out because the one before had not ended",
            new.skipped.clone(),
        );
        registry.register(
            "overrun_looks",
            "Looks that did not end by their deadline and were cut off",
            new.overran.clone(),
        );
        registry.register(
            "panicked_looks",
            "Looks that met a bug of ours; they count as not measured",
            new.panicked.clone(),
        );
        registry.register(
            "append_failures",
            "Looks whose values the sample store did not keep durably",
            new.append_failures.clone(),
        );
        registry.register(
            "lost_verdict_changes",
            "Changed verdicts that evaluation was too busy to hear of at once",
            new.changes_lost.clone(),
        );
        registry.register_with_unit(
            "start_delay",
            "How much later than planned looks began",
            Unit::Seconds,
            new.lag.clone(),
        );
        registry.register_with_unit(
            "busy",
            "Time that all looks took together",
            Unit::Seconds,
            new.busy.clone(),
        );
        registry.register("targets", "Targets that are looked at", new.targets.clone());
        registry.register("running", "Looks that are going on", new.running.clone());
        registry.register(
            "waiting",
            "Looks that are due and wait for a free place",
            new.waiting.clone(),
        );
        new
    }

    /// A look began so much later than planned.
    pub fn began(&self, late: Duration) {
        self.lag.observe(late.as_secs_f64());
    }

    /// A look ended.
    pub fn ended(&self, probe: &'static str, outcome: LookOutcome, took: Duration) {
        let outcome = match outcome {
            LookOutcome::Up => "up",
            LookOutcome::Down => "down",
            LookOutcome::NotMeasured => "not_measured",
        };
        self.looks.get_or_create(&Look { probe, outcome }).inc();
        self.busy.inc_by(took.as_secs_f64());
    }

    /// Looks were left out because the one before had not ended.
    pub fn skipped(&self, looks: u64) {
        self.skipped.inc_by(looks);
    }

    /// A look did not end by its deadline.
    pub fn overran(&self) {
        self.overran.inc();
    }

    /// A look met a bug of ours.
    pub fn panicked(&self) {
        self.panicked.inc();
    }

    /// The sample store did not keep values durably.
    pub fn append_failed(&self) {
        self.append_failures.inc();
    }

    /// Evaluation was too busy to hear of a changed verdict at once.
    pub fn change_lost(&self) {
        self.changes_lost.inc();
    }
}
