use std::fmt;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::ports::{Doing, Tick};

/// What came of one look at a target.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// We looked; what we saw may be good or bad.
    Measured(Observation),
    /// We could not look, and that says nothing about the target: no network of ours, no
    /// descriptors, no permission, a resolver of ours that is dead. Its series become stale.
    NotMeasured(Obstacle),
}

/// What we saw.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Whether the target does what it should (`probe_success`).
    pub up: bool,
    /// Why not, for a person: one line, no secrets, no addresses of people. Present when not `up`.
    pub cause: Option<Arc<str>>,
    /// The values, in the same order in each round where possible: storage recognises it. Without
    /// `probe_success`, `probe_duration_seconds`, `probe_measured` and `probe_confirmed_down`,
    /// which the schedule adds.
    pub readings: Vec<Reading>,
    /// The value a person would ask for first ("84 ms", "9 days", "black toner 4 %").
    pub headline: Arc<str>,
}

/// One value of one series.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Metric name; it stands in the catalogue of the kind.
    pub metric: &'static str,
    /// Labels beside `service owner target probe` and the target's own, at most a handful; never
    /// one of those four, each name once. An empty value is no label.
    pub labels: ReadingLabels,
    /// The value; [`seconds`] for durations.
    pub value: f64,
}

/// The labels of a [`Reading`].
pub type ReadingLabels = SmallVec<[(&'static str, LabelValue); 1]>;

/// A label value that costs nothing to make: fixed, or shared with the prober.
#[derive(Clone, Debug)]
pub enum LabelValue {
    /// Known when we were compiled.
    Fixed(&'static str),
    /// Known since the target was looked at.
    Shared(Arc<str>),
}

impl LabelValue {
    /// The text.
    pub fn as_str(&self) -> &str {
        match self {
            LabelValue::Fixed(text) => text,
            LabelValue::Shared(text) => text,
        }
    }
}

impl PartialEq for LabelValue {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl From<&'static str> for LabelValue {
    fn from(text: &'static str) -> Self {
        LabelValue::Fixed(text)
    }
}

impl From<Arc<str>> for LabelValue {
    fn from(text: Arc<str>) -> Self {
        LabelValue::Shared(text)
    }
}

/// Why we could not look.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Obstacle {
    /// What stood in the way, for a person; no secrets.
    pub what: Arc<str>,
    /// What removes it, where we know: "add the user augenmass to the group postdrop".
    pub remedy: Option<Arc<str>>,
}

impl Obstacle {
    /// An obstacle without a known remedy.
    pub fn new(what: impl Into<Arc<str>>) -> Self {
        Self { what: what.into(), remedy: None }
    }

    /// The same with what removes it.
    #[must_use]
    pub fn with_remedy(self, remedy: impl Into<Arc<str>>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.remedy {
            Some(remedy) => write!(f, "; remedy: {remedy}"),
            None => Ok(()),
        }
    }
}

impl Reading {
    /// A value without further labels.
    pub fn new(metric: &'static str, value: f64) -> Self {
        Self { metric, labels: ReadingLabels::new(), value }
    }

    /// The same with one more label.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<LabelValue>) -> Self {
        self.labels.push((name, value.into()));
        self
    }
}

impl Observation {
    /// The target does what it should.
    pub fn up(headline: impl Into<Arc<str>>, readings: Vec<Reading>) -> Self {
        Self { up: true, cause: None, readings, headline: headline.into() }
    }

    /// It does not. `cause` is for a person, one line, no secrets; it is the headline as well.
    pub fn down(cause: impl Into<Arc<str>>, readings: Vec<Reading>) -> Self {
        let cause = cause.into();
        Self { up: false, headline: cause.clone(), cause: Some(cause), readings }
    }
}

impl From<Observation> for Outcome {
    fn from(observation: Observation) -> Self {
        Outcome::Measured(observation)
    }
}

impl From<Obstacle> for Outcome {
    fn from(obstacle: Obstacle) -> Self {
        Outcome::NotMeasured(obstacle)
    }
}

/// Looks at one target. Made once for each target; what is costly is prepared then.
pub trait Prober: Send + Sync {
    /// One look. It should end by `deadline` with an honest outcome ("no answer within 10 s" is
    /// measured and down); the schedule drops it shortly after. Never called again before the
    /// look before has ended.
    fn probe(&self, deadline: Tick) -> Doing<'_, Outcome>;
}

/// A duration as a value: in seconds, whole microseconds. Finer is noise that costs storage.
pub fn seconds(length: std::time::Duration) -> f64 {
    let micros = (length.as_nanos() + 500) / 1_000;
    #[allow(clippy::cast_precision_loss)] // 2^53 µs are 285 years
    let exact = micros as f64;
    exact / 1e6
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn seconds_are_whole_microseconds() {
        assert!((seconds(Duration::from_nanos(1_234_567_890)) - 1.234_568).abs() < f64::EPSILON);
        assert!((seconds(Duration::from_nanos(499))).abs() < f64::EPSILON);
    }

    #[test]
    fn an_obstacle_tells_its_remedy() {
        let bare = Obstacle::new("no resolver");
        assert_eq!(bare.to_string(), "no resolver");
        assert_eq!(bare.with_remedy("start it").to_string(), "no resolver; remedy: start it");
    }
}
