//! The alerts of one rule as a state machine. It gets the instant and what the expression yielded.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{Labels, Phase, Timestamp};

/// How long an alert that is over keeps being reported (Prometheus keeps it as long), so that a
/// receiver that was away hears of it.
pub const RESOLVED_KEPT: Duration = Duration::from_secs(15 * 60);

/// One element of the expression's result, with the rule's labels and annotations applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Identity of the alert, `alertname` included.
    pub labels: Labels,
    /// Texts.
    pub annotations: Labels,
    /// The element's value; 0 for a histogram.
    pub value: f64,
}

/// What the rule asks of time and number.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// `for`.
    pub hold: Duration,
    /// `keep_firing_for`.
    pub keep: Duration,
    /// Most alerts that may be pending or firing; 0 for no limit.
    pub limit: usize,
}

/// An alert that is pending, firing or freshly over.
#[derive(Clone, Debug, PartialEq)]
pub struct Active {
    /// Texts; the latest.
    pub annotations: Labels,
    /// The latest value.
    pub value: f64,
    /// Where it stands.
    pub phase: Phase,
    /// Since when it fires only because of `keep_firing_for`.
    pub kept_since: Option<Timestamp>,
}

/// Why the result of a rule was refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Two elements are the same alert.
    #[error("vector contains metrics with the same labelset after applying alert labels")]
    SameLabels,
    /// Too many alerts.
    #[error("exceeded limit of {limit} with {found} alerts")]
    Limit {
        /// The group's limit.
        limit: usize,
        /// How many are pending or firing.
        found: usize,
    },
}

/// What is known of an alert from before a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// When its clock began.
    pub since: Timestamp,
    /// The last evaluation that saw it.
    pub last: Timestamp,
    /// Whether it was firing then.
    pub fired: bool,
}

/// All alerts of one rule.
#[derive(Clone, Debug, Default)]
pub struct Alerts {
    active: BTreeMap<Labels, Active>,
}

impl Alerts {
    /// Takes over the result of an evaluation. `recall` knows alerts from before a restart.
    ///
    /// # Errors
    /// The result is refused as a whole. Equal labels leave everything as it was; a limit that is
    /// exceeded ends all alerts of the rule without a word, as in Prometheus.
    pub fn step(
        &mut self,
        now: Timestamp,
        found: Vec<Candidate>,
        terms: Terms,
        mut recall: impl FnMut(&Labels) -> Option<Timestamp>,
    ) -> Result<(), Refusal> {
        let mut new: BTreeMap<Labels, Candidate> = BTreeMap::new();
        for candidate in found {
            if new.insert(candidate.labels.clone(), candidate).is_some() {
                return Err(Refusal::SameLabels);
            }
        }
        self.active.retain(|labels, active| match new.remove(labels) {
            Some(candidate) => {
                active.seen(now, candidate, terms);
                true
            }
            None => active.missed(now, terms),
        });
        for (labels, candidate) in new {
            let since = recall(&labels).unwrap_or(now).min(now);
            let mut active = Active::begun(since);
            active.ripen(now, terms.hold);
            (active.annotations, active.value) = (candidate.annotations, candidate.value);
            self.active.insert(labels, active);
        }
        let standing = self.active.values().filter(|active| !active.is_over()).count();
        if terms.limit > 0 && standing > terms.limit {
            self.active.clear();
            return Err(Refusal::Limit { limit: terms.limit, found: standing });
        }
        Ok(())
    }

    /// An alert that fired before a restart and does not any more: it is told that it is over.
    pub fn end_remembered(&mut self, now: Timestamp, labels: &Labels, fired: Timestamp) {
        self.active.entry(labels.clone()).or_insert_with(|| Active {
            annotations: Labels::empty(),
            value: f64::NAN,
            phase: Phase::Resolved { fired: fired.min(now), resolved: now },
            kept_since: None,
        });
    }

    /// Moves those that `theirs` accepts over from the rule they belonged to before.
    pub(super) fn move_from(&mut self, old: &mut Alerts, theirs: impl Fn(&Labels) -> bool) {
        let (mine, rest): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut old.active).into_iter().partition(|(labels, _)| theirs(labels));
        self.active.extend(mine);
        old.active = rest;
    }

    /// All of them, sorted by labels.
    pub fn iter(&self) -> impl Iterator<Item = (&Labels, &Active)> {
        self.active.iter()
    }

    /// Whether this alert is pending or firing.
    pub fn stands(&self, labels: &Labels) -> bool {
        self.active.get(labels).is_some_and(|active| !active.is_over())
    }
}

impl Active {
    /// Whether it is neither pending nor firing any more.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Resolved { .. })
    }

    /// One whose clock begins.
    pub(super) fn begun(since: Timestamp) -> Self {
        Self {
            annotations: Labels::empty(),
            value: f64::NAN,
            phase: Phase::Pending { since },
            kept_since: None,
        }
    }

    fn seen(&mut self, now: Timestamp, candidate: Candidate, terms: Terms) {
        self.annotations = candidate.annotations;
        self.value = candidate.value;
        self.holds(now, terms);
    }

    /// The expression yields it.
    pub(super) fn holds(&mut self, now: Timestamp, terms: Terms) {
        self.kept_since = None;
        match self.phase {
            // The same labels after the end are a new alert.
            Phase::Resolved { .. } => self.phase = Phase::Pending { since: now },
            // A wall clock that was set back must not hold an alert for hours.
            Phase::Pending { since } if now < since => self.phase = Phase::Pending { since: now },
            // The rule was loaded again with a longer `for`.
            Phase::Firing { since, .. } if now.since(since).is_some_and(|t| t < terms.hold) => {
                self.phase = Phase::Pending { since };
            }
            Phase::Pending { .. } | Phase::Firing { .. } => {}
        }
        self.ripen(now, terms.hold);
    }

    fn ripen(&mut self, now: Timestamp, hold: Duration) {
        if let Phase::Pending { since } = self.phase
            && now.since(since).is_some_and(|waited| hold <= waited)
        {
            self.phase = Phase::Firing { since, fired: now };
        }
    }

    /// The expression did not yield it. Whether it is still worth a place.
    pub(super) fn missed(&mut self, now: Timestamp, terms: Terms) -> bool {
        match self.phase {
            Phase::Pending { .. } => false,
            Phase::Firing { fired, .. } => {
                let since = *self.kept_since.get_or_insert(now);
                let kept = now.since(since).is_some_and(|time| time < terms.keep);
                if terms.keep.is_zero() || !kept {
                    self.phase = Phase::Resolved { fired, resolved: now };
                    self.kept_since = None;
                }
                true
            }
            Phase::Resolved { resolved, .. } => {
                now.since(resolved).is_none_or(|age| age <= RESOLVED_KEPT)
            }
        }
    }
}

impl Remembered {
    /// Where the clock of this alert stands after a restart at `now`, as Prometheus reckons: an
    /// alert that fired goes on, a pending one goes on waiting for what was left, and at least
    /// for `grace`. `None` when `for` is so short that it may begin again.
    pub fn since_after_restart(
        &self,
        now: Timestamp,
        hold: Duration,
        grace: Duration,
    ) -> Option<Timestamp> {
        if hold < grace {
            return None;
        }
        let spent = self.last.since(self.since).unwrap_or_default();
        let left = hold.saturating_sub(spent);
        Some(if left.is_zero() {
            self.since
        } else if left < grace {
            now + grace - hold
        } else {
            self.since + now.since(self.last).unwrap_or_default()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    fn labels(name: &str) -> Labels {
        Labels::from_pairs([("alertname", "A"), ("x", name)]).unwrap()
    }

    fn found(names: &[&str]) -> Vec<Candidate> {
        let one = |name: &&str| Candidate {
            labels: labels(name),
            annotations: Labels::empty(),
            value: 1.0,
        };
        names.iter().map(one).collect()
    }

    fn terms(hold: u64, keep: u64) -> Terms {
        Terms { hold: Duration::from_secs(hold), keep: Duration::from_secs(keep), limit: 0 }
    }

    fn step(alerts: &mut Alerts, seconds: i64, names: &[&str], terms: Terms) -> Vec<Phase> {
        alerts.step(at(seconds), found(names), terms, |_| None).unwrap();
        alerts.iter().map(|(_, active)| active.phase).collect()
    }

    #[test]
    fn an_alert_that_stays_away_keeps_firing_for_a_while() {
        let mut alerts = Alerts::default();
        step(&mut alerts, 0, &["a"], terms(0, 120));
        for seconds in [60, 120] {
            let phases = step(&mut alerts, seconds, &[], terms(0, 120));
            assert_eq!(phases, [Phase::Firing { since: at(0), fired: at(0) }], "{seconds}");
        }
        let over = Phase::Resolved { fired: at(0), resolved: at(180) };
        assert_eq!(step(&mut alerts, 180, &[], terms(0, 120)), [over]);
    }

    #[test]
    fn coming_back_ends_the_keeping() {
        let mut alerts = Alerts::default();
        step(&mut alerts, 0, &["a"], terms(0, 120));
        step(&mut alerts, 60, &[], terms(0, 120));
        step(&mut alerts, 120, &["a"], terms(0, 120));
        let phases = step(&mut alerts, 180, &[], terms(0, 120));
        assert_eq!(phases, [Phase::Firing { since: at(0), fired: at(0) }]);
    }

    #[test]
    fn a_wall_clock_set_back_holds_no_alert_longer_than_its_for() {
        let mut alerts = Alerts::default();
        step(&mut alerts, 10_000, &["a"], terms(60, 0));
        step(&mut alerts, 100, &["a"], terms(60, 0));
        let phases = step(&mut alerts, 160, &["a"], terms(60, 0));
        assert_eq!(phases, [Phase::Firing { since: at(100), fired: at(160) }]);
    }

    #[test]
    fn a_clock_goes_on_where_it_stood() {
        let seen = Remembered { since: at(0), last: at(60), fired: false };
        let since = |now, hold, grace| {
            let (hold, grace) = (Duration::from_secs(hold), Duration::from_secs(grace));
            seen.since_after_restart(at(now), hold, grace)
        };
        // Half a minute of two was left when we went down; down for five minutes.
        assert_eq!(since(360, 120, 0), Some(at(300)));
        // It had fired.
        assert_eq!(since(360, 60, 0), Some(at(0)));
        // Prometheus' grace.
        assert_eq!(since(360, 120, 600), None);
        assert_eq!(since(360, 600, 600), Some(at(360)));
        assert_eq!(since(360, 1200, 600), Some(at(300)));
    }
}
