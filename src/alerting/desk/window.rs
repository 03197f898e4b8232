//! Routes that are closed at times: what they held back comes as one message when they open.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Decided, Desk, Group, GroupId, GroupKey, Memory, Seen, WhyNot, reasons};
use crate::alerting::{Ends, RouteId, Why};
use crate::model::{Alert, Labels, Timestamp};

/// Time intervals begin and end with a minute.
const MINUTE: i64 = 60_000;

/// Routes that hold something back because they are closed.
#[derive(Debug, Default)]
pub(super) struct Windows {
    shut: BTreeMap<RouteId, BTreeSet<GroupId>>,
    next: Option<Timestamp>,
}

impl Windows {
    /// When it has to be looked whether one of them opens.
    pub(super) fn next_check(&self) -> Option<Timestamp> {
        self.next
    }

    /// The clock was set.
    pub(super) fn check_again(&mut self) {
        self.next = self.next.map(|_| Timestamp::MIN);
    }
}

impl Desk {
    /// Remembers a group that holds something back because its route is closed.
    pub(super) fn note_if_shut(&mut self, id: GroupId, seen: &Seen, now: Timestamp) {
        let by_time = |why: &WhyNot| matches!(why, WhyNot::NotActive | WhyNot::Muted { .. });
        if !seen.held.iter().any(|(_, w)| by_time(w)) {
            return;
        }
        let route = self.groups.get(&id).and_then(|group| group.route);
        if let Some(route) = route.filter(|id| self.plan.ends_of(Some(*id)) != Ends::AsAlertmanager)
        {
            self.windows.shut.entry(route).or_default().insert(id);
            self.windows.next.get_or_insert(next_minute(now));
        }
    }

    /// What waits for a window goes on to wait for it under another plan. Groups that nobody was told
    /// of are made anew by a reload: `before` are their keys by their ids.
    pub(super) fn keep_windows(&mut self, before: &BTreeMap<GroupId, GroupKey>, now: Timestamp) {
        let shut = std::mem::take(&mut self.windows.shut);
        for old in shut.into_values().flatten() {
            let id = match before.get(&old) {
                Some(key) => self.by_key.get(key).copied(),
                None => Some(old),
            };
            let Some(id) = id else { continue };
            if let Some(route) = self.groups.get(&id).and_then(|group| group.route) {
                self.windows.shut.entry(route).or_default().insert(id);
            }
        }
        self.windows.next = (!self.windows.shut.is_empty()).then_some(now);
    }

    /// Opens what has to be opened.
    pub(super) fn look_at_windows(&mut self, now: Timestamp, decided: &mut Decided) {
        if self.windows.next.is_none_or(|next| now < next) {
            return;
        }
        let plan = self.plan.clone();
        let open = |route: &RouteId| plan.closed(plan.routes.get(*route), now).is_none();
        let routes: Vec<RouteId> = self.windows.shut.keys().copied().filter(open).collect();
        let mut by_receiver: BTreeMap<Arc<str>, Vec<GroupId>> = BTreeMap::new();
        for route in routes {
            for id in self.windows.shut.remove(&route).unwrap_or_default() {
                if let Some(group) = self.groups.get(&id).filter(|g| g.route == Some(route)) {
                    by_receiver.entry(group.receiver.clone()).or_default().push(id);
                }
            }
        }
        self.windows.next = (!self.windows.shut.is_empty()).then(|| next_minute(now));
        for groups in by_receiver.into_values() {
            self.open_window(&groups, now, decided);
        }
    }

    /// Several incidents that begin with this opening become one; what goes on is looked at now.
    fn open_window(&mut self, groups: &[GroupId], now: Timestamp, decided: &mut Decided) {
        let mut fresh: Vec<(GroupId, Vec<Labels>)> = Vec::new();
        for &id in groups {
            let Some(group) = self.groups.get(&id) else { continue };
            let seen = self.see(group, now);
            if group.incident.is_none() && !seen.firing.is_empty() {
                fresh.push((id, seen.firing));
            } else {
                self.reschedule(id, now);
            }
        }
        match fresh.as_slice() {
            [] => {}
            [(id, _)] => self.reschedule(*id, now),
            [(first, _), ..] => self.tell_digest(*first, &fresh, now, decided),
        }
    }

    fn tell_digest(
        &mut self,
        first: GroupId,
        fresh: &[(GroupId, Vec<Labels>)],
        now: Timestamp,
        decided: &mut Decided,
    ) {
        let Some(like) = self.groups.get(&first) else { return };
        let (route, receiver) = (like.route, like.receiver.clone());
        let key = GroupKey { route: like.key.route.clone(), group: Labels::empty() };
        let interval = self.plan.routes.get(route.unwrap_or(self.plan.routes.root()));
        let next = now + interval.group_interval;
        let id = self.open_digest(key, route, receiver.clone(), next);
        let all: Vec<&Labels> = fresh.iter().flat_map(|(_, labels)| labels).collect();
        let alerts: Vec<Arc<Alert>> =
            all.iter().filter_map(|l| self.alerts.get(*l)).map(|known| known.as_of(now)).collect();
        let flapping = all.iter().any(|labels| self.is_flapping(labels, false, now));
        let others = self.receivers_of(alerts.iter(), &receiver);
        for labels in &all {
            if let Some(known) = self.alerts.get_mut(*labels)
                && !known.groups.contains(&id)
            {
                known.groups.push(id);
            }
        }
        let most = self.plan.max_alerts;
        let told: Vec<Labels> = all.iter().copied().cloned().collect();
        let react_by = self.groups.get(&id).and_then(|group| self.react_by(group, &told, now));
        self.watch.note(react_by);
        if let Some(group) = self.groups.get_mut(&id) {
            group.members = told.into_iter().collect();
            group.flushed = true;
            let (decision, memory) =
                group.tell(Why::Digest, alerts, Vec::new(), others, flapping, react_by, most, now);
            decided.journal.push(reasons::told(&decision.notice));
            decided.decisions.push(decision);
            if let Memory::Open(incident) = memory {
                self.open += 1;
                decided.incidents.push(incident);
            }
        }
        for (id, _) in fresh {
            if let Some(group) = self.groups.get_mut(id) {
                group.held.clear();
            }
        }
    }

    /// A group that no alert joins by itself.
    pub(super) fn open_digest(
        &mut self,
        key: GroupKey,
        route: Option<RouteId>,
        receiver: Arc<str>,
        due: Timestamp,
    ) -> GroupId {
        let id = self.next_group;
        self.next_group += 1;
        self.due.insert((due, id));
        let mut group = Group::new(key, route, receiver, due, id);
        group.digest = true;
        self.groups.insert(id, group);
        id
    }

    /// Whether the same receiver was told of it in a digest, which tells its end too.
    pub(super) fn is_told_in_a_digest(&self, labels: &Labels, group: &Group) -> bool {
        if group.digest {
            return false;
        }
        let Some(known) = self.alerts.get(labels).filter(|known| known.groups.len() > 1) else {
            return false;
        };
        let mut others = known.groups.iter().filter_map(|id| self.groups.get(id));
        others
            .any(|other| other.digest && other.receiver == group.receiver && other.was_told(labels))
    }
}

fn next_minute(now: Timestamp) -> Timestamp {
    Timestamp::from_millis((now.millis().div_euclid(MINUTE) + 1).saturating_mul(MINUTE))
}
