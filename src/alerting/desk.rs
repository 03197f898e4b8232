//! The Desk: alerts come in as levels, decisions to tell come out. Sans-I/O: it is fed, asked
//! when it wants to be woken, and woken.

mod orders;
mod reasons;
mod view;
mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::decide::{Last, Sight, decide};
use super::flapping::Flapping;
use super::group::{Group, GroupKey, Memory};
use super::inhibit::Inhibitor;
use super::silence::Silences;
use super::{Ends, Notice, Plan, RouteId, Why};
use crate::model::{Alert, Labels, Phase, Silence, Timestamp};
use crate::ports::{Address, Entry, Event, Incident};

pub use reasons::WhyNot;
pub use view::{AlertStatus, AlertView, GroupStatus, GroupView};
use window::Windows;

pub(super) type GroupId = u64;

/// Collects alerts into groups and decides what is told to whom, when, and why.
#[derive(Debug)]
pub struct Desk {
    plan: Arc<Plan>,
    alerts: HashMap<Labels, Known>,
    silences: Silences,
    inhibitor: Inhibitor,
    flapping: Flapping,
    groups: BTreeMap<GroupId, Group>,
    by_key: HashMap<GroupKey, GroupId>,
    due: BTreeSet<(Timestamp, GroupId)>,
    next_group: GroupId,
    /// Groups with an incident.
    open: usize,
    /// Nothing is told before: what inhibits and silences may not be known yet.
    hold: Option<Timestamp>,
    windows: Windows,
    /// When silences that end with their alerts are looked at again.
    resolved_check: Timestamp,
    /// What was done on somebody's order, until the next look.
    pending: Decided,
}

/// An alert, and the groups that look at it.
#[derive(Debug)]
pub(super) struct Known {
    /// Shared with the groups that told it. Without its `ends`, which are in `expires`: the same
    /// report again is the same alert.
    alert: Arc<Alert>,
    /// It is over from here on, unless it is reported again.
    expires: Timestamp,
    /// Since when it is over, as far as it was reported.
    over: Option<Timestamp>,
    /// When it was reported last.
    updated: Timestamp,
    groups: GroupIds,
}

/// Nearly all alerts belong to one group.
type GroupIds = SmallVec<[GroupId; 2]>;

impl Known {
    fn is_firing(&self, now: Timestamp) -> bool {
        self.alert.is_firing() && now < self.expires
    }

    /// The alert as it is now: one that nobody reported for too long is over.
    fn as_of(&self, now: Timestamp) -> Arc<Alert> {
        let mut alert = self.alert.clone();
        if let Phase::Firing { fired, .. } = alert.phase
            && self.expires <= now
        {
            Arc::make_mut(&mut alert).phase = Phase::Resolved { fired, resolved: self.expires };
        }
        alert
    }
}

/// What became of the memory of incidents; goes to the disk together with the tickets that the
/// notices become.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decided {
    /// What to tell.
    pub decisions: Vec<Decision>,
    /// Incidents that began or changed.
    pub incidents: Vec<Incident>,
    /// Incidents that are over.
    pub ended: Vec<String>,
    /// Silences that are new or changed.
    pub silences: Vec<Silence>,
    /// What was decided and why.
    pub journal: Vec<Entry>,
}

impl Decided {
    /// Whether nothing was decided.
    pub fn is_empty(&self) -> bool {
        self.decisions.is_empty()
            && self.incidents.is_empty()
            && self.ended.is_empty()
            && self.silences.is_empty()
            && self.journal.is_empty()
    }
}

/// A decision to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What, to whom, and why.
    pub notice: Notice,
    /// Which message of its incident this is, from 1.
    pub number: u32,
    /// Where everybody has seen it already.
    pub seen_at: Option<Address>,
}

impl Desk {
    /// A desk without memory.
    pub fn new(plan: Arc<Plan>) -> Self {
        let inhibitor = Inhibitor::new(&plan.inhibit, std::iter::empty());
        Self {
            plan,
            alerts: HashMap::new(),
            silences: Silences::default(),
            inhibitor,
            flapping: Flapping::default(),
            groups: BTreeMap::new(),
            by_key: HashMap::new(),
            due: BTreeSet::new(),
            next_group: 0,
            open: 0,
            hold: None,
            windows: Windows::default(),
            resolved_check: Timestamp::MIN,
            pending: Decided::default(),
        }
    }

    /// A desk that goes on where an earlier one ended. Alerts that were told as firing count as
    /// firing until they are reported again, or for [`Plan::restart_grace`].
    pub fn restore(plan: Arc<Plan>, incidents: Vec<Incident>, now: Timestamp) -> Self {
        let mut desk = Self::new(plan);
        let expires = now + desk.plan.restart_grace;
        for incident in incidents {
            let key = GroupKey { route: incident.route.clone(), group: incident.group.clone() };
            let route = desk.plan.routes.by_key(&key.route);
            let same = |id: &RouteId| desk.plan.routes.get(*id).receiver == incident.receiver;
            let route = route.filter(same);
            let id = match incident.digest {
                true => desk.open_digest(key, route, incident.receiver.clone(), now),
                false => desk.open_group(key, route, incident.receiver.clone(), now),
            };
            for alert in &incident.alerts {
                let known = desk.alerts.entry(alert.labels.clone()).or_insert_with(|| Known {
                    alert: alert.clone().into(),
                    expires,
                    over: None,
                    updated: now,
                    groups: GroupIds::new(),
                });
                known.groups.push(id);
            }
            if let Some(group) = desk.groups.get_mut(&id) {
                desk.open += usize::from(group.incident.is_none());
                group.remember(incident);
                if group.digest {
                    group.members = group.told().cloned().collect();
                }
            }
        }
        let alerts: Vec<Labels> = desk.alerts.keys().cloned().collect();
        for labels in alerts {
            desk.inhibitor.came(&labels);
            desk.place(&labels, now);
        }
        desk
    }

    /// Goes on with another plan. Who heard that something began hears its end, whatever the new
    /// plan says; what fires now and belongs to somebody else is told to them.
    pub fn replace(&mut self, plan: Arc<Plan>, now: Timestamp) {
        self.plan = plan;
        let mut kept = HashMap::new();
        for (&id, group) in &mut self.groups {
            let route = self.plan.routes.by_key(&group.key.route);
            let same = route.filter(|&r| self.plan.routes.get(r).receiver == group.receiver);
            group.route = same;
            if group.digest {
                continue;
            }
            group.members.clear();
            if same.is_some() {
                kept.insert(group.key.clone(), id);
            }
        }
        self.by_key = kept;
        for (labels, known) in &mut self.alerts {
            known.groups.retain(|id| self.groups.get(id).is_some_and(|g| g.was_told(labels)));
        }
        let empty: Vec<GroupId> =
            self.groups.iter().filter(|(_, g)| g.incident.is_none()).map(|(&id, _)| id).collect();
        let mut waits = HashMap::new();
        for id in empty {
            if let Some(group) = self.groups.get(&id) {
                waits.insert(group.key.clone(), group.due);
            }
            self.close_group(id);
        }
        let alerts: Vec<Labels> = self.alerts.keys().cloned().collect();
        for labels in alerts {
            self.place(&labels, now);
        }
        // A reload does not make a group wait anew.
        for (key, due) in waits {
            if let Some(&id) = self.by_key.get(&key) {
                self.reschedule(id, due);
            }
        }
        self.alerts.retain(|_, known| !known.groups.is_empty());
        self.inhibitor = Inhibitor::new(&self.plan.inhibit, self.alerts.keys());
    }

    /// Takes in what the rules, or a foreign Prometheus, report.
    pub fn offer(&mut self, now: Timestamp, alerts: Vec<Alert>) {
        for alert in alerts {
            self.offer_one(now, alert);
        }
    }

    fn offer_one(&mut self, now: Timestamp, mut alert: Alert) {
        let known = self.alerts.get_mut(&alert.labels);
        let expires = alert.ends.take().unwrap_or(now + self.plan.resolve_timeout);
        let over = !alert.is_firing() || expires <= now;
        match known {
            // The end of something nobody was told of, or a beginning not yet.
            None if over && self.plan.ends == Ends::ReachWhoHeard => {}
            None if !alert.is_firing() => {}
            None => {
                let labels = alert.labels.clone();
                self.inhibitor.came(&labels);
                let (alert, groups) = (Arc::new(alert), GroupIds::new());
                let known = Known { alert, expires, over: None, updated: now, groups };
                self.alerts.insert(labels.clone(), known);
                self.place(&labels, now);
            }
            Some(known) => {
                if let Phase::Pending { since } = alert.phase {
                    // It went away and begins anew: what fired before is over.
                    let Phase::Firing { fired, .. } = known.alert.phase else { return };
                    alert.phase = Phase::Resolved { fired, resolved: since };
                }
                let again = alert.is_firing() && !known.is_firing(now);
                let ends = known.alert.is_firing() && !alert.is_firing();
                if known.over.is_none()
                    && !alert.is_firing()
                    && let Some(damping) = self.plan.damping
                {
                    self.flapping.ended(&alert.labels, damping, now);
                }
                known.over = match alert.is_firing() {
                    true => None,
                    false => known.over.or(Some(now.min(known.expires))),
                };
                keep(&mut known.alert, alert);
                known.expires = expires;
                known.updated = now;
                let labels = known.alert.labels.clone();
                if ends {
                    self.inhibitor.left(&labels);
                }
                if again {
                    self.inhibitor.came(&labels);
                    self.place(&labels, now);
                }
            }
        }
    }

    /// Puts an alert into the groups its routes lead to.
    fn place(&mut self, labels: &Labels, now: Timestamp) {
        let plan = self.plan.clone();
        for route_id in plan.routes.resolve(labels) {
            let route = plan.routes.get(route_id);
            let key = GroupKey { route: route.key.clone(), group: route.group_by.group_of(labels) };
            let id = match self.by_key.get(&key) {
                Some(&id) => id,
                None => self.open_group(
                    key,
                    Some(route_id),
                    route.receiver.clone(),
                    now + route.group_wait,
                ),
            };
            let Some(known) = self.alerts.get_mut(labels) else { return };
            if !known.groups.contains(&id) {
                known.groups.push(id);
            }
            let waited = match known.alert.phase {
                Phase::Firing { fired, .. } => fired + route.group_wait < now,
                Phase::Pending { .. } | Phase::Resolved { .. } => false,
            };
            let Some(group) = self.groups.get_mut(&id) else { return };
            group.members.insert(labels.clone());
            if !group.flushed && waited {
                self.reschedule(id, now);
            }
        }
    }

    fn open_group(
        &mut self,
        key: GroupKey,
        route: Option<RouteId>,
        receiver: Arc<str>,
        due: Timestamp,
    ) -> GroupId {
        let id = self.next_group;
        self.next_group += 1;
        if route.is_some() {
            self.by_key.insert(key.clone(), id);
        }
        self.due.insert((due, id));
        self.groups.insert(id, Group::new(key, route, receiver, due, id));
        id
    }

    fn close_group(&mut self, id: GroupId) {
        if let Some(group) = self.groups.remove(&id) {
            self.due.remove(&(group.due, id));
            if self.by_key.get(&group.key) == Some(&id) {
                self.by_key.remove(&group.key);
            }
        }
    }

    fn reschedule(&mut self, id: GroupId, due: Timestamp) {
        if let Some(group) = self.groups.get_mut(&id) {
            self.due.remove(&(group.due, id));
            group.due = due;
            self.due.insert((due, id));
        }
    }

    /// When it wants to be woken, if at all.
    pub fn next_due(&self) -> Option<Timestamp> {
        if !self.pending.is_empty() {
            return Some(Timestamp::MIN);
        }
        let looks = self.due.first().map(|(due, _)| *due);
        let others = [self.windows.next_check(), self.next_resolved_check()];
        let next = looks.into_iter().chain(others.into_iter().flatten()).min();
        // After the start, everything waits for the end of the hold.
        match self.hold {
            Some(until) => Some(until),
            None => next,
        }
    }

    /// The wall clock was set by so many milliseconds: what waits goes on waiting as long as it
    /// would have, and nothing is over because of it.
    pub fn clock_moved(&mut self, millis: i64) {
        let moved = |at: Timestamp| Timestamp::from_millis(at.millis().saturating_add(millis));
        self.due = self.due.iter().map(|(due, id)| (moved(*due), *id)).collect();
        for group in self.groups.values_mut() {
            group.due = moved(group.due);
            if let Some(open) = &mut group.incident {
                open.told = moved(open.told);
            }
            // After a restart it is to be known when it was told by this clock.
            self.pending.incidents.extend(group.memory());
        }
        for known in self.alerts.values_mut() {
            known.expires = moved(known.expires);
            known.over = known.over.map(moved);
        }
        self.flapping.clock_moved(millis);
        self.hold = self.hold.map(moved);
        self.windows.check_again();
        self.resolved_check = Timestamp::MIN;
    }

    /// Looks at every group that is due, and decides.
    pub fn flush(&mut self, now: Timestamp) -> Decided {
        self.flush_some(usize::MAX, now)
    }

    /// Looks at so many groups that are due, those that wait longest first, and decides. The
    /// others are still due.
    pub fn flush_some(&mut self, most: usize, now: Timestamp) -> Decided {
        let mut decided = std::mem::take(&mut self.pending);
        if self.is_holding(now, &mut decided) {
            return decided;
        }
        self.end_resolved_silences(now, &mut decided);
        self.look_at_windows(now, &mut decided);
        for _ in 0..most {
            let Some(&(due, id)) = self.due.first() else { break };
            if now < due {
                break;
            }
            self.look_at(id, now, &mut decided);
        }
        decided
    }

    fn look_at(&mut self, id: GroupId, now: Timestamp, decided: &mut Decided) {
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
            if let Some(group) = self.groups.get_mut(&id) {
                let (decision, memory) =
                    group.tell(why, firing, over, others, flapping, max_alerts, now);
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

    fn see(&self, group: &Group, now: Timestamp) -> Seen {
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

    fn is_flapping(&self, labels: &Labels, is_over: bool, now: Timestamp) -> bool {
        let damping = self.plan.damping;
        damping.is_some_and(|damping| self.flapping.is_flapping(labels, is_over, damping, now))
    }

    /// Over, but not for long enough to believe it of an alert that comes and goes.
    fn may_come_back(&self, labels: &Labels, now: Timestamp) -> bool {
        let (Some(damping), Some(known)) = (self.plan.damping, self.alerts.get(labels)) else {
            return false;
        };
        let over = known.over.unwrap_or(known.expires);
        now.since(over).is_none_or(|quiet| quiet < damping.quiet)
            && self.is_flapping(labels, true, now)
    }

    /// What forbids to tell an alert now, in Alertmanager's order.
    fn why_not(
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

    fn receivers_of<'a>(
        &self,
        alerts: impl Iterator<Item = &'a Arc<Alert>>,
        but: &str,
    ) -> BTreeSet<Arc<str>> {
        let groups = alerts.filter_map(|alert| self.alerts.get(&alert.labels));
        let groups = groups.flat_map(|known| &known.groups).filter_map(|id| self.groups.get(id));
        groups.map(|group| group.receiver.clone()).filter(|name| **name != *but).collect()
    }
}

/// What is reported again is kept once, however often and by whomever it is reported.
fn keep(known: &mut Arc<Alert>, mut again: Alert) {
    if **known == again {
        return;
    }
    again.labels = known.labels.clone();
    if again.annotations == known.annotations {
        again.annotations = known.annotations.clone();
    }
    if again.generator == known.generator {
        again.generator = known.generator.clone();
    }
    *known = Arc::new(again);
}

/// What a look at a group found.
#[derive(Debug, Default)]
struct Seen {
    sight: Sight,
    /// To be told as firing.
    firing: Vec<Labels>,
    /// To be told as over.
    over: Vec<Labels>,
    /// Firing, but something forbids to tell it.
    held: Vec<(Labels, WhyNot)>,
    /// Not firing any more.
    gone: Vec<Labels>,
    /// Of these, told as firing, and their end is told to nobody.
    unheard: Vec<Labels>,
    /// Told as firing and over, but they come and go, so that nobody hears of it yet.
    damped: Vec<Labels>,
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
