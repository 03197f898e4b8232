use std::sync::Arc;

use crate::model::{MetricMeta, Row, Timestamp};

/// What the last try said about a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not tried yet.
    Waiting,
    /// It does what it should.
    Up,
    /// It failed; not yet by the confirming tries.
    Failing {
        /// Why, for a person; no secrets.
        cause: Arc<str>,
    },
    /// It failed in all confirming tries.
    Down {
        /// Why, for a person; no secrets.
        cause: Arc<str>,
    },
    /// We could not look (our network, our resolver, our permission): says nothing about them.
    NotMeasured {
        /// Why, with the remedy where one is known.
        obstacle: Arc<str>,
    },
}

/// One target as the overview page and `/metrics` show it.
#[derive(Clone, Debug)]
pub struct TargetStatus {
    /// Service it belongs to.
    pub service: Arc<str>,
    /// Who is responsible.
    pub owner: Arc<str>,
    /// Display form: no userinfo, no query string.
    pub target: Arc<str>,
    /// Kind of probe (`http`, `certificate`, `mail_queue`, `printer` …).
    pub probe: Arc<str>,
    /// What the last try said.
    pub verdict: Verdict,
    /// Since when the verdict is of this kind.
    pub since: Option<Timestamp>,
    /// When it was tried last.
    pub last: Option<Timestamp>,
    /// How long the last try took.
    pub took: Option<std::time::Duration>,
    /// The value a person would ask for first ("84 ms", "9 days", "black toner 4 %").
    pub headline: Arc<str>,
    /// All series of the last try.
    pub rows: Arc<[Row]>,
}

/// The state of all targets, kept by the schedule.
pub trait Board: Send + Sync {
    /// All targets in configuration order.
    fn targets(&self) -> Vec<TargetStatus>;
    /// What the metric names in `rows` mean.
    fn catalogue(&self) -> &'static [&'static [MetricMeta]];
}
