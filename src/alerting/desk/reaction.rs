//! By when somebody must react, and what nobody reacted to in time.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Decided, Desk, Group, WhyNot};
use crate::model::{Labels, Phase, Timestamp};
use crate::ports::Event;

/// While something is overdue it is looked so often whether it still is.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// Deadlines of incidents that nobody knows of.
#[derive(Debug)]
pub(super) struct Watch {
    /// What was due before this process began is overdue, and was counted by an earlier one.
    began: Timestamp,
    next: Option<Timestamp>,
    /// Incidents nobody reacted to in time.
    overdue: BTreeSet<String>,
    missed: u64,
}

impl Default for Watch {
    fn default() -> Self {
        Self::since(Timestamp::MIN)
    }
}

impl Watch {
    pub(super) fn since(began: Timestamp) -> Self {
        Self { began, next: None, overdue: BTreeSet::new(), missed: 0 }
    }

    /// Something is due then.
    pub(super) fn note(&mut self, due: Option<Timestamp>) {
        self.next = self.next.into_iter().chain(due).min();
    }

    /// When it has to be looked whether somebody has reacted.
    pub(super) fn next_look(&self) -> Option<Timestamp> {
        self.next
    }

    /// Something may not be overdue any more.
    pub(super) fn look_again(&mut self) {
        self.next = self.next.map(|_| Timestamp::MIN);
    }
}

impl Desk {
    /// How many incidents nobody reacted to in time and nobody knows of yet.
    pub fn overdue_incidents(&self) -> usize {
        self.watch.overdue.len()
    }

    /// How many deadlines passed since this desk began, without that anybody knew.
    pub fn missed_deadlines(&self) -> u64 {
        self.watch.missed
    }

    /// By when somebody must react to what a group has told, and to `news` that it tells now: the
    /// earliest deadline of what fires, is not silenced, and nobody knows of.
    pub(super) fn react_by(
        &self,
        group: &Group,
        news: &[Labels],
        now: Timestamp,
    ) -> Option<Timestamp> {
        if self.plan.reactions.is_empty() {
            return None;
        }
        let incident = group.incident.as_ref().map(|open| &*open.id);
        let fresh = news.iter().filter(|labels| !group.was_told(labels));
        let due = |labels: &Labels| {
            let known = self.alerts.get(labels).filter(|known| known.is_firing(now))?;
            let Phase::Firing { fired, .. } = known.alert.phase else { return None };
            let mut groups = known.groups.iter().filter_map(|id| self.groups.get(id));
            if groups.any(|group| group.has_reacted(labels, fired)) {
                return None;
            }
            let due = self.plan.reactions.due(labels, fired)?;
            let silenced = self.why_not(labels, None, incident, now);
            (!matches!(silenced, Some(WhyNot::Silenced { .. }))).then_some(due)
        };
        group.told().chain(fresh).filter_map(due).min()
    }

    /// All deadlines may have changed.
    pub(super) fn watch_anew(&mut self) {
        let any = !self.plan.reactions.is_empty() || !self.watch.overdue.is_empty();
        self.watch.next = any.then_some(Timestamp::MIN);
    }

    /// Notes whose deadline has passed.
    pub(super) fn look_at_deadlines(&mut self, now: Timestamp, decided: &mut Decided) {
        if self.watch.next.is_none_or(|next| now < next) {
            return;
        }
        let (mut overdue, mut next, mut missed) = (BTreeSet::new(), None::<Timestamp>, 0);
        for group in self.groups.values() {
            let Some(open) = &group.incident else { continue };
            let Some(due) = self.react_by(group, &[], now) else { continue };
            if now < due {
                next = next.into_iter().chain([due]).min();
                continue;
            }
            if self.watch.began < due && !self.watch.overdue.contains(&open.id) {
                missed += 1;
                let entry = group.entry(Event::Overdue, now);
                decided.journal.push(entry.because("reaction", format!("due by {due}")));
            }
            overdue.insert(open.id.clone());
        }
        if !overdue.is_empty() {
            next = next.into_iter().chain([now + LOOK_AGAIN]).min();
        }
        self.watch.missed += missed;
        self.watch.overdue = overdue;
        self.watch.next = next;
    }
}

impl Group {
    /// Whether somebody knows of an alert that fires since `fired` and was told in its incident.
    fn has_reacted(&self, labels: &Labels, fired: Timestamp) -> bool {
        let Some(open) = self.incident.as_ref() else { return false };
        let earlier = open.reacted.is_some_and(|at| fired <= at);
        (open.acknowledged.is_some() || earlier) && open.alerts.contains_key(labels)
    }
}
