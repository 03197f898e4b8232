//! What stood before a restart: the clocks of pending and firing alerts, read back from
//! `ALERTS_FOR_STATE`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::alerts::Remembered;
use super::file::RuleKind;
use super::group::{Health, RuleState, state_series};
use super::world::World;
use crate::model::{Columns, Labels, METRIC_NAME, Matcher, Timestamp, Window, is_stale};
use crate::ports::Select;

/// Alerts of a group from before a restart, until each is found again or known to be over.
#[derive(Debug, Default)]
pub(super) struct Recall {
    stage: Stage,
}

#[derive(Debug, Default)]
enum Stage {
    /// Nothing was evaluated yet.
    #[default]
    Fresh,
    /// Alerts may still come back: probes need their first round.
    Open { begun: Timestamp, evaluations: u32, known: Vec<BTreeMap<Labels, Remembered>> },
    /// From here on a new alert is new.
    Over,
}

impl Recall {
    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Reads the state before the first evaluation.
    pub(super) fn begin(
        &mut self,
        now: Timestamp,
        rules: &[RuleState],
        store: &dyn Select,
        world: &World,
    ) {
        if matches!(self.stage, Stage::Fresh) {
            let known: Vec<_> = rules.iter().map(|rule| load(rule, now, store, world)).collect();
            self.stage = if known.iter().all(BTreeMap::is_empty) {
                Stage::Over
            } else {
                Stage::Open { begun: now, evaluations: 0, known }
            };
        }
    }

    /// The clock of an alert that comes back; asked once for each new alert.
    pub(super) fn since(
        &mut self,
        rule: usize,
        labels: &Labels,
        now: Timestamp,
        hold: Duration,
        world: &World,
    ) -> Option<Timestamp> {
        let Stage::Open { known, .. } = &mut self.stage else { return None };
        known.get_mut(rule)?.remove(labels)?.since_after_restart(now, hold, world.grace)
    }

    /// After an evaluation. When the time is over, alerts that did not come back are over too:
    /// those that fired are put among the resolved. Gives the series that end.
    pub(super) fn finish(
        &mut self,
        now: Timestamp,
        rules: &mut [RuleState],
        settle: Duration,
    ) -> Vec<Labels> {
        let Stage::Open { begun, evaluations, known } = &mut self.stage else { return Vec::new() };
        *evaluations += 1;
        if *evaluations < 2 || now.since(*begun).is_some_and(|time| time < settle) {
            return Vec::new();
        }
        let mut ends = Vec::new();
        for (rule, known) in rules.iter_mut().zip(known) {
            if rule.shared || rule.health != Health::Ok {
                continue;
            }
            for (labels, seen) in std::mem::take(known) {
                if rule.alerts.stands(&labels) {
                    continue;
                }
                ends.extend(state_series(&labels, seen.fired));
                if let RuleKind::Alerting { hold, .. } = &rule.rule.kind
                    && seen.fired
                {
                    rule.alerts.end_remembered(now, &labels, seen.since + *hold);
                }
            }
        }
        self.stage = Stage::Over;
        ends
    }
}

fn load(
    state: &RuleState,
    now: Timestamp,
    store: &dyn Select,
    world: &World,
) -> BTreeMap<Labels, Remembered> {
    let RuleKind::Alerting { alert, hold, .. } = &state.rule.kind else { return BTreeMap::new() };
    let mut matchers =
        vec![Matcher::metric("ALERTS_FOR_STATE"), Matcher::equal("alertname", alert)];
    let fixed = state.rule.labels.iter().filter(|(name, text)| {
        !text.is_template() && !text.as_str().is_empty() && &**name != "alertname"
    });
    matchers.extend(fixed.map(|(name, text)| Matcher::equal(name, text.as_str())));
    matchers.extend(state.rule.scope.iter().cloned());
    let window = Window { after: now - world.tolerance, through: now };
    let mut known = BTreeMap::new();
    let mut columns = Columns::default();
    // A store that cannot be read means that clocks begin anew; the query of the rule itself
    // tells of the store's trouble.
    for found in store.find(&matchers, window).unwrap_or_default() {
        if store.read(found.id, window, &mut columns).is_err() {
            continue;
        }
        let last = columns.times.last().copied().zip(columns.values.last().copied());
        let Some((last, value)) = last.filter(|(_, value)| !is_stale(*value)) else { continue };
        let Some(since) = Timestamp::from_seconds(value) else { continue };
        let fired = last.since(since).is_some_and(|spent| *hold <= spent);
        known.insert(found.labels.without(&[METRIC_NAME]), Remembered { since, last, fired });
    }
    known
}
