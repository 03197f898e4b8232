use std::sync::Arc;

use crate::model::{Acknowledgement, Alert, Labels, Timestamp};

/// A decision to tell: what one group of alerts looks like now, for one receiver.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// Name of the owner (or of the receiver of an `alertmanager.yml`) who is told.
    pub receiver: Arc<str>,
    /// Key of the route, as Alertmanager writes it (`{}/{owner="web"}`).
    pub route: Arc<str>,
    /// The labels that all alerts of the group share by being grouped by them.
    pub group: Labels,
    /// Firing alerts first, then resolved ones; at least one.
    pub alerts: Vec<Alert>,
    /// Why it is told now.
    pub why: Why,
    /// Names the incident: the same from the first message of a group to the end, new afterwards;
    /// `[a-z0-9-]` only.
    pub incident: String,
    /// The instant of the decision.
    pub at: Timestamp,
    /// Names of the others who are told of the same alerts.
    pub also_told: Vec<Arc<str>>,
    /// Some of them come and go: their end is told only after a while of quiet.
    pub flapping: bool,
    /// Alerts of the group that are left out because the group is too large.
    pub left_out: usize,
    /// Who knows of the incident.
    pub acknowledged: Option<Acknowledgement>,
    /// By when somebody must react: the earliest deadline of what fires and nobody knows of; `None`
    /// when nothing of it has one.
    pub react_by: Option<Timestamp>,
}

/// Why somebody is told. Every decision names its reason, because people ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// First news of this incident.
    First,
    /// Further alerts joined it.
    NewAlerts,
    /// Some alerts of it are over.
    NewResolved,
    /// All are over.
    AllResolved,
    /// Nothing new, but the repeat interval is over.
    Repeat,
    /// The next address is tried, because the one before could not be reached.
    Fallback,
    /// Somebody knows of it, or has it: the others who were told hear so.
    Acknowledged,
    /// What had to be held back while the route was closed, in one message.
    Digest,
}

impl Why {
    /// One word, for the incident log.
    pub fn name(self) -> &'static str {
        match self {
            Why::First => "first",
            Why::NewAlerts => "new-alerts",
            Why::NewResolved => "new-resolved",
            Why::AllResolved => "all-resolved",
            Why::Repeat => "repeat",
            Why::Fallback => "fallback",
            Why::Acknowledged => "acknowledged",
            Why::Digest => "digest",
        }
    }
}

impl Notice {
    /// Whether everything in it is over.
    pub fn is_resolved(&self) -> bool {
        !self.alerts.iter().any(Alert::is_firing)
    }
}
