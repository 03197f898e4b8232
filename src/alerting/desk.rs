//! The Desk: alerts come in as levels, decisions to tell come out. Sans-I/O: it is fed, asked
//! when it wants to be woken, and woken.

mod look;
mod orders;
mod reaction;
mod reasons;
mod view;
mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::flapping::Flapping;
use super::group::{Group, GroupKey, Memory, as_reported};
use super::inhibit::Inhibitor;
use super::silence::Silences;
use super::{Ends, Notice, Plan, RouteId};
use crate::model::{Alert, Labels, Phase, Silence, Timestamp};
use crate::ports::{Address, Entry, Incident};

use look::Seen;
use reaction::Watch;
pub use reasons::WhyNot;
pub use view::{AlertStatus, AlertView, GroupStatus, GroupView};
use window::Windows;

pub(super) type GroupId = u64;

/// After a reload, what would be told to somebody who was not told before waits until it is reported
/// again, and no longer than this: twice the interval that rules usually have. A service that was
/// taken out, or given to somebody else, is gone by then.
const CONFIRM: Duration = Duration::from_secs(35);

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
    /// Groups that a reload opened, none of whose alerts was reported since.
    unconfirmed: BTreeSet<GroupId>,
    /// Deadlines of what nobody knows of.
    watch: Watch,
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
            unconfirmed: BTreeSet::new(),
            watch: Watch::default(),
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
                    alert: as_reported(alert.clone()).into(),
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
        desk.watch = Watch::since(now);
        desk.watch_anew();
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
        let mut before = BTreeMap::new();
        for id in empty {
            if let Some(group) = self.groups.get(&id) {
                waits.insert(group.key.clone(), group.due);
                before.insert(id, group.key.clone());
            }
            self.close_group(id);
        }
        let alerts: Vec<Labels> = self.alerts.keys().cloned().collect();
        let first = self.next_group;
        for labels in alerts {
            self.place(&labels, now);
        }
        let opened: Vec<GroupId> = self.groups.range(first..).map(|(&id, _)| id).collect();
        for id in opened {
            let Some(group) = self.groups.get(&id) else { continue };
            match waits.get(&group.key) {
                // A reload does not make a group wait anew.
                Some(&due) => self.reschedule(id, due),
                None => {
                    let due = group.due.max(now + CONFIRM);
                    self.reschedule(id, due);
                    self.unconfirmed.insert(id);
                }
            }
        }
        self.keep_windows(&before, now);
        self.alerts.retain(|_, known| !known.groups.is_empty());
        self.inhibitor = Inhibitor::new(&self.plan.inhibit, self.alerts.keys());
        self.watch_anew();
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
                self.confirm(&labels, now);
            }
        }
    }

    /// What was reported again after a reload need not wait any longer.
    fn confirm(&mut self, labels: &Labels, now: Timestamp) {
        if self.unconfirmed.is_empty() {
            return;
        }
        let Some(known) = self.alerts.get(labels).filter(|known| known.is_firing(now)) else {
            return;
        };
        for id in known.groups.clone() {
            if self.unconfirmed.remove(&id) {
                self.reschedule(id, now);
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
            self.unconfirmed.remove(&id);
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
        let others =
            [self.windows.next_check(), self.next_resolved_check(), self.watch.next_look()];
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
        self.watch_anew();
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
        self.look_at_deadlines(now, &mut decided);
        decided
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

#[cfg(test)]
mod held_tests;
#[cfg(test)]
mod reaction_tests;
#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
