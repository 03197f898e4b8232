//! A look at a group: what fires, what is over, what is held back and why; and what is told of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Decided, Desk, Group, GroupId, Memory, WhyNot, reasons};
use crate::alerting::decide::{Last, Sight, decide};
use crate::alerting::{Ends, Why};
use crate::model::{Alert, Labels, Timestamp};
use crate::ports::Event;

/// What a look at a group found.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) sight: Sight,
    /// To be told as firing.
    pub(super) firing: Vec<Labels>,
    /// To be told as over.
    pub(super) over: Vec<Labels>,
    /// Firing, but something forbids to tell it.
    pub(super) held: Vec<(Labels, WhyNot)>,
    /// Not firing any more.
    pub(super) gone: Vec<Labels>,
    /// Of these, told as firing, and their end is told to nobody.
    pub(super) unheard: Vec<Labels>,
    /// Told as firing and over, but they come and go, so that nobody hears of it yet.
    pub(super) damped: Vec<Labels>,
}

impl Desk {
    pub(super) fn look_at(&mut self, id: GroupId, now: Timestamp, decided: &mut Decided) {
        let plan = self.plan.clone();
        let Some(group) = self.groups.get(&id) else { return };
        self.open -= usize::from(group.incident.is_some());
        let route = plan.routes.get(group.route.unwrap_or(plan.routes.root()));
        let faithful = plan.ends_of(group.route) == Ends::AsAlertmanager;
        let max_alerts = if faithful { usize::MAX } else { plan.max_alerts };
        let (interval, repeat) = (route.group_interval, route.repeat_interval);
        let seen = self.see(group, now);
        let last = group.incident.as_ref().map(|incident| Last { told: incident.told });
        let known = group.incident.as_ref().is_some_and(|open| open.acknowledged.is_some());
        let why = decide(last, seen.sight, repeat, now);
        // Somebody knows of it.
        let why = why.filter(|why| !(known && *why == Why::Repeat));
        self.note_what_is_held(id, &seen, now, decided);
        if let Some(why) = why {
            if why == Why::NewAlerts {
                self.lapse(id, now, decided);
            }
            let Some(group) = self.groups.get(&id) else { return };
            let over = seen.over.iter().filter_map(|labels| self.as_over(group, labels, now));
            let over: Vec<Arc<Alert>> = over.collect();
            let firing = seen.firing.iter().filter_map(|labels| self.alerts.get(labels));
            let firing: Vec<Arc<Alert>> = firing.map(|known| known.as_of(now)).collect();
            let flapping =
                !faithful && firing.iter().any(|alert| self.is_flapping(&alert.labels, false, now));
            let others = self.receivers_of(firing.iter().chain(&over), &group.receiver);
            let react_by = self.react_by(group, &seen.firing, now);
            self.watch.note(react_by);
            let Some(group) = self.groups.get_mut(&id) else { return };
            let (decision, memory) =
                group.tell(why, firing, over, others, flapping, react_by, max_alerts, now);
            decided.journal.push(reasons::told(&decision.notice));
            decided.decisions.push(decision);
            match memory {
                Memory::Open(incident) => decided.incidents.push(incident),
                Memory::Over(incident) => {
                    decided.journal.push(group.entry(Event::Ended, now).of(&incident));
                    decided.ended.push(incident);
                }
            }
        }
        if let Some(group) = self.groups.get_mut(&id) {
            if let Some(incident) = group.forget(&seen.unheard) {
                decided.journal.push(group.entry(Event::Ended, now).of(&incident));
                decided.ended.push(incident);
            }
            self.open += usize::from(group.incident.is_some());
        }
        self.end_silences_of(now, decided);
        self.note_if_shut(id, &seen, now);
        self.leave(id, &seen.gone);
        let Some(group) = self.groups.get_mut(&id) else { return };
        group.flushed = true;
        if group.is_done() {
            self.close_group(id);
        } else {
            let due = group.due + interval;
            self.reschedule(id, if now < due { due } else { now + interval });
        }
    }

    pub(super) fn see(&self, group: &Group, now: Timestamp) -> Seen {
        let fires = |labels: &Labels| self.alerts.get(labels).is_some_and(|k| k.is_firing(now));
        let route = group.route.map(|id| self.plan.routes.get(id));
        let closed = route.and_then(|route| self.plan.closed(route, now));
        let incident = group.incident.as_ref().map(|open| &*open.id);
        let why_not = |labels: &Labels| self.why_not(labels, closed.as_ref(), incident, now);
        let faithful = self.plan.ends_of(group.route) == Ends::AsAlertmanager;
        let mut seen = Seen::default();
        for labels in &group.members {
            let told = group.was_told(labels);
            if !told && self.is_told_in_a_digest(labels, group) {
                if !fires(labels) {
                    seen.gone.push(labels.clone());
                }
                continue;
            }
            if fires(labels) {
                match why_not(labels) {
                    Some(why_not) => seen.held.push((labels.clone(), why_not)),
                    None => {
                        seen.sight.new += usize::from(!told);
                        seen.firing.push(labels.clone());
                    }
                }
                continue;
            }
            seen.gone.push(labels.clone());
            match (faithful, told) {
                (true, _) if why_not(labels).is_none() => seen.over.push(labels.clone()),
                (true, true) => seen.unheard.push(labels.clone()),
                _ => {}
            }
        }
        for labels in group.incident.iter().flat_map(|incident| incident.alerts.keys()) {
            if fires(labels) {
                seen.sight.told_and_firing += 1;
            } else if !faithful && self.may_come_back(labels, now) {
                seen.sight.told_and_firing += 1;
                seen.damped.push(labels.clone());
            } else if !faithful || !group.members.contains(labels) {
                seen.over.push(labels.clone());
                seen.gone.push(labels.clone());
            }
        }
        seen.sight.firing = seen.firing.len();
        seen.sight.over = seen.over.len();
        seen
    }

    pub(super) fn is_flapping(&self, labels: &Labels, is_over: bool, now: Timestamp) -> bool {
        let damping = self.plan.damping;
        damping.is_some_and(|damping| self.flapping.is_flapping(labels, is_over, damping, now))
    }

    /// Over, but not for long enough to believe it of an alert that comes and goes.
    pub(super) fn may_come_back(&self, labels: &Labels, now: Timestamp) -> bool {
        let (Some(damping), Some(known)) = (self.plan.damping, self.alerts.get(labels)) else {
            return false;
        };
        let over = known.over.unwrap_or(known.expires);
        now.since(over).is_none_or(|quiet| quiet < damping.quiet)
            && self.is_flapping(labels, true, now)
    }

    /// What forbids to tell an alert now, in Alertmanager's order.
    pub(super) fn why_not(
        &self,
        labels: &Labels,
        closed: Option<&WhyNot>,
        incident: Option<&str>,
        now: Timestamp,
    ) -> Option<WhyNot> {
        let fires = |labels: &Labels| self.alerts.get(labels).is_some_and(|k| k.is_firing(now));
        if let Some((by, rule)) = self.inhibitor.find(labels, fires) {
            let by = by.clone();
            return Some(match &rule.depends_on {
                Some(on) => WhyNot::Dependency { on: on.clone(), by },
                None => WhyNot::Inhibited { by },
            });
        }
        if let Some(closed) = closed {
            return Some(closed.clone());
        }
        let silence = self.silences.find(labels, incident, now)?;
        Some(WhyNot::Silenced { silence: silence.id.clone() })
    }

    fn as_over(&self, group: &Group, labels: &Labels, now: Timestamp) -> Option<Arc<Alert>> {
        match self.alerts.get(labels) {
            Some(known) => Some(known.as_of(now)),
            None => group.told_as_over(labels, now),
        }
    }

    /// Alerts that are over leave the group, and the desk with their last group.
    fn leave(&mut self, id: GroupId, gone: &[Labels]) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        for labels in gone {
            group.members.remove(labels);
            if group.was_told(labels) {
                continue;
            }
            if let Some(known) = self.alerts.get_mut(labels) {
                known.groups.retain(|other| *other != id);
                if known.groups.is_empty() {
                    self.alerts.remove(labels);
                    self.inhibitor.left(labels);
                }
            }
        }
    }

    pub(super) fn receivers_of<'a>(
        &self,
        alerts: impl Iterator<Item = &'a Arc<Alert>>,
        but: &str,
    ) -> BTreeSet<Arc<str>> {
        let groups = alerts.filter_map(|alert| self.alerts.get(&alert.labels));
        let groups = groups.flat_map(|known| &known.groups).filter_map(|id| self.groups.get(id));
        groups.map(|group| group.receiver.clone()).filter(|name| **name != *but).collect()
    }
}
