use std::sync::Arc;
use std::time::Duration;

use super::{Labels, Timestamp};

/// Where an alert stands. Each phase owns exactly the times that exist in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The expression is true since `since`, not yet for as long as the rule's `for`.
    Pending {
        /// First evaluation at which the expression held.
        since: Timestamp,
    },
    /// Held for long enough.
    Firing {
        /// First evaluation at which the expression held.
        since: Timestamp,
        /// Evaluation at which it began to fire.
        fired: Timestamp,
    },
    /// No longer holds.
    Resolved {
        /// Evaluation at which it had begun to fire.
        fired: Timestamp,
        /// First evaluation at which it did not hold any more.
        resolved: Timestamp,
    },
}

/// The state of one alert as the rules (or a foreign Prometheus) report it: a level, not an
/// edge. It is reported again and again, so that a lost one heals itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Identity. Contains `alertname`.
    pub labels: Labels,
    /// Texts; the latest ones count.
    pub annotations: Labels,
    /// Where it stands.
    pub phase: Phase,
    /// The expression's value at the last evaluation that yielded one.
    pub value: Option<f64>,
    /// The reporter calls it firing until here unless it says so again.
    pub ends: Option<Timestamp>,
    /// A page that shows the expression; no secrets in it.
    pub generator: Arc<str>,
}

impl Alert {
    /// `alertname`.
    pub fn name(&self) -> &str {
        self.labels.get("alertname").unwrap_or("")
    }

    /// Whether it is firing.
    pub fn is_firing(&self) -> bool {
        matches!(self.phase, Phase::Firing { .. })
    }
}

impl Phase {
    /// Since when the expression held; for a resolved alert since when it fired.
    pub fn since(self) -> Timestamp {
        match self {
            Phase::Pending { since } | Phase::Firing { since, .. } => since,
            Phase::Resolved { fired, .. } => fired,
        }
    }

    /// How long the alert lasted, for one that is over.
    pub fn lasted(self) -> Option<Duration> {
        match self {
            Phase::Resolved { fired, resolved } => resolved.since(fired),
            Phase::Pending { .. } | Phase::Firing { .. } => None,
        }
    }
}
