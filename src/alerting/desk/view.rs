//! The desk, to look at.

use std::sync::Arc;

use super::{Desk, Group, Known, Plan, WhyNot};
use crate::model::{Acknowledgement, Alert, Labels, Silence, Timestamp};

/// An alert that fires, in a group.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertStatus {
    /// The alert.
    pub alert: Alert,
    /// It was told as firing.
    pub told: bool,
    /// What forbids to tell it now.
    pub why_not: Option<WhyNot>,
}

/// A group of alerts, for those who ask who is told of what.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupStatus {
    /// Who is told.
    pub receiver: Arc<str>,
    /// Key of its route.
    pub route: Arc<str>,
    /// The labels its alerts share by being grouped by them.
    pub group: Labels,
    /// Alerts that fire.
    pub alerts: Vec<AlertStatus>,
    /// Alerts that were told as firing, are over, and are not told as over yet.
    pub ending: usize,
    /// The incident, when it was told.
    pub incident: Option<String>,
    /// When it was told first.
    pub opened: Option<Timestamp>,
    /// When it was told last.
    pub told: Option<Timestamp>,
    /// Who knows of it.
    pub acknowledged: Option<Acknowledgement>,
    /// By when somebody must react, as in [`Notice::react_by`](crate::alerting::Notice).
    pub react_by: Option<Timestamp>,
    /// The next look at it; news wait for it.
    pub next_look: Timestamp,
    /// It tells together what other groups had to hold back.
    pub digest: bool,
}

/// An alert that fires, with everything Alertmanager's API tells of it.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertView {
    /// The alert.
    pub alert: Alert,
    /// Who is told of it, in the order of the routes.
    pub receivers: Vec<Arc<str>>,
    /// When it was reported last.
    pub updated: Timestamp,
    /// It is over then, unless it is reported again.
    pub ends: Timestamp,
    /// Silences.
    pub silenced_by: Vec<Arc<str>>,
    /// Other alerts that explain it, by their labels.
    pub inhibited_by: Vec<Labels>,
}

/// A group as Alertmanager's API shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupView {
    /// Who is told.
    pub receiver: Arc<str>,
    /// The labels its alerts share by being grouped by them.
    pub labels: Labels,
    /// Intervals that mute its route now.
    pub muted_by: Vec<Arc<str>>,
    /// Alerts that fire.
    pub alerts: Vec<Labels>,
}

impl Desk {
    /// How many incidents were told as begun and not as over yet.
    pub fn open_incidents(&self) -> usize {
        self.open
    }

    /// What it decides by.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// How many alerts are known.
    pub fn known_alerts(&self) -> usize {
        self.alerts.len()
    }

    /// All silences that are kept, also those that are over.
    pub fn silences(&self) -> &[Silence] {
        self.silences.all()
    }

    /// All groups, oldest first.
    pub fn status(&self, now: Timestamp) -> Vec<GroupStatus> {
        let status = |group: &Group| {
            let seen = self.see(group, now);
            let free = seen.firing.iter().map(|labels| (labels, None));
            let held = seen.held.iter().map(|(labels, why_not)| (labels, Some(why_not.clone())));
            let alerts = free.chain(held).filter_map(|(labels, why_not)| {
                let alert = Arc::unwrap_or_clone(self.alerts.get(labels)?.as_of(now));
                Some(AlertStatus { alert, told: group.was_told(labels), why_not })
            });
            let alerts = alerts.collect();
            let react_by = self.react_by(group, &seen.firing, now);
            let open = group.incident.as_ref();
            GroupStatus {
                receiver: group.receiver.clone(),
                route: group.key.route.clone(),
                group: group.key.group.clone(),
                alerts,
                ending: seen.over.len(),
                incident: open.map(|open| open.id.clone()),
                opened: open.map(|open| open.opened),
                told: open.map(|open| open.told),
                acknowledged: open.and_then(|open| open.acknowledged.clone()),
                react_by,
                next_look: self.hold.map_or(group.due, |until| until.max(group.due)),
                digest: group.digest,
            }
        };
        self.groups.values().map(status).collect()
    }

    /// All alerts that fire, in no order.
    pub fn alerts(&self, now: Timestamp) -> Vec<AlertView> {
        let firing = self.alerts.values().filter(|known| known.is_firing(now));
        firing.map(|known| self.view(known, now)).collect()
    }

    fn view(&self, known: &Known, now: Timestamp) -> AlertView {
        let labels = &known.alert.labels;
        let groups = known.groups.iter().filter_map(|id| self.groups.get(id));
        let groups: Vec<&Group> = groups.collect();
        let incidents = groups.iter().filter_map(|group| group.incident.as_ref());
        let incidents: Vec<&str> = incidents.map(|open| open.id.as_str()).collect();
        let fires = |labels: &Labels| self.alerts.get(labels).is_some_and(|k| k.is_firing(now));
        let routes = self.plan.routes.resolve(labels);
        let mut receivers: Vec<Arc<str>> = Vec::with_capacity(1);
        for route in routes {
            let receiver = &self.plan.routes.get(route).receiver;
            if !receivers.contains(receiver) {
                receivers.push(receiver.clone());
            }
        }
        AlertView {
            alert: Alert::clone(&known.alert),
            receivers,
            updated: known.updated,
            ends: known.expires,
            silenced_by: self.silences.find_all(labels, &incidents, now),
            inhibited_by: self
                .inhibitor
                .find(labels, fires)
                .map(|(by, _)| by.clone())
                .into_iter()
                .collect(),
        }
    }

    /// All groups with an alert that fires, as Alertmanager's API shows them.
    pub fn groups(&self, now: Timestamp) -> Vec<GroupView> {
        let fires = |labels: &&Labels| self.alerts.get(*labels).is_some_and(|k| k.is_firing(now));
        let view = |group: &Group| {
            let route = group.route.map(|id| self.plan.routes.get(id));
            let muted_by = route.map(|route| self.plan.closed_by(route, now)).unwrap_or_default();
            let alerts: Vec<Labels> = group.members.iter().filter(fires).cloned().collect();
            let (receiver, labels) = (group.receiver.clone(), group.key.group.clone());
            GroupView { receiver, labels, muted_by, alerts }
        };
        let own = self.groups.values().filter(|group| !group.digest);
        own.map(view).filter(|group| !group.alerts.is_empty()).collect()
    }
}
