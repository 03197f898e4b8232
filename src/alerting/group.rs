use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::{Decision, Notice, RouteId, Why, WhyNot};
use crate::model::{Acknowledgement, Alert, Labels, Phase, Timestamp};
use crate::ports::{Address, Incident};

/// Names a group, also after a restart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct GroupKey {
    pub(super) route: Arc<str>,
    pub(super) group: Labels,
}

/// Alerts that are told together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) key: GroupKey,
    /// Its route; none when the plan does not have it any more and only an end is left to tell.
    pub(super) route: Option<RouteId>,
    pub(super) receiver: Arc<str>,
    /// Next look at it.
    pub(super) due: Timestamp,
    /// Whether it was looked at before.
    pub(super) flushed: bool,
    /// Alerts whose route leads here.
    pub(super) members: BTreeSet<Labels>,
    /// What was told and is not over.
    pub(super) incident: Option<Open>,
    /// What held its alerts back at the last look.
    pub(super) held: BTreeMap<Labels, WhyNot>,
    /// How many groups there were before it, and how many incidents it has told.
    born: u64,
    begun: u64,
    /// It tells what other groups had to hold back; no alert joins it.
    pub(super) digest: bool,
    /// Others who were told of the same alerts.
    also_told: BTreeSet<Arc<str>>,
}

/// What was told and is not over; [`Incident`] with its alerts by their labels.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) id: String,
    pub(super) opened: Timestamp,
    pub(super) told: Timestamp,
    messages: u32,
    pub(super) alerts: BTreeMap<Labels, Arc<Alert>>,
    pub(super) acknowledged: Option<Acknowledgement>,
    /// Somebody knew of what had begun to fire by then, before the incident got worse.
    pub(super) reacted: Option<Timestamp>,
}

impl Group {
    pub(super) fn new(
        key: GroupKey,
        route: Option<RouteId>,
        receiver: Arc<str>,
        due: Timestamp,
        born: u64,
    ) -> Self {
        Self {
            key,
            born,
            begun: 0,
            route,
            receiver,
            due,
            flushed: false,
            members: BTreeSet::new(),
            incident: None,
            held: BTreeMap::new(),
            digest: false,
            also_told: BTreeSet::new(),
        }
    }

    /// Goes on where an earlier process ended.
    pub(super) fn remember(&mut self, incident: Incident) {
        let Incident { id, opened, told, messages, alerts, .. } = incident;
        let Incident { acknowledged, reacted, digest, .. } = incident;
        let alerts = alerts.into_iter().map(|alert| (alert.labels.clone(), alert.into())).collect();
        self.flushed = true;
        self.digest = digest;
        self.incident = Some(Open { id, opened, told, messages, alerts, acknowledged, reacted });
    }

    /// Whether the alert was told as firing, and not as over yet.
    pub(super) fn was_told(&self, labels: &Labels) -> bool {
        self.incident.as_ref().is_some_and(|open| open.alerts.contains_key(labels))
    }

    /// The alerts that were told as firing, and not as over yet.
    pub(super) fn told(&self) -> impl Iterator<Item = &Labels> {
        self.incident.iter().flat_map(|open| open.alerts.keys())
    }

    /// Whether nothing is left to do.
    pub(super) fn is_done(&self) -> bool {
        self.members.is_empty() && self.incident.is_none()
    }

    /// A told alert of which nothing else is known any more: over, nobody knows since when.
    pub(super) fn told_as_over(&self, labels: &Labels, now: Timestamp) -> Option<Arc<Alert>> {
        let mut alert = self.incident.as_ref()?.alerts.get(labels)?.clone();
        if let Phase::Firing { fired, .. } = alert.phase {
            Arc::make_mut(&mut alert).phase = Phase::Resolved { fired, resolved: now };
        }
        Some(alert)
    }

    /// Notes what is told now, and words it. Gives the incident as it has to be remembered, or
    /// its name when it is over.
    #[allow(clippy::too_many_arguments)] // all of them stand in the notice
    pub(super) fn tell(
        &mut self,
        why: Why,
        firing: Vec<Arc<Alert>>,
        over: Vec<Arc<Alert>>,
        also_told: BTreeSet<Arc<str>>,
        flapping: bool,
        react_by: Option<Timestamp>,
        max_alerts: usize,
        now: Timestamp,
    ) -> (Decision, Memory) {
        if self.incident.is_none() {
            self.begun += 1;
        }
        let nth = (self.born, self.begun);
        let key = &self.key;
        let open = self.incident.get_or_insert_with(|| Open {
            id: incident_id(key, nth, now),
            opened: now,
            told: now,
            messages: 0,
            alerts: BTreeMap::new(),
            acknowledged: None,
            reacted: None,
        });
        open.told = now;
        open.messages += 1;
        for alert in &over {
            open.alerts.remove(&alert.labels);
        }
        for alert in &firing {
            open.alerts.insert(alert.labels.clone(), alert.clone());
        }
        self.also_told.extend(also_told);
        let left_out = (firing.len() + over.len()).saturating_sub(max_alerts);
        let alerts = firing.iter().chain(&over).take(max_alerts).map(|a| Alert::clone(a)).collect();
        let notice = Notice {
            receiver: self.receiver.clone(),
            route: key.route.clone(),
            group: key.group.clone(),
            alerts,
            why,
            incident: open.id.clone(),
            at: now,
            also_told: self.also_told.iter().cloned().collect(),
            flapping,
            left_out,
            acknowledged: open.acknowledged.clone(),
            react_by,
        };
        let decision = Decision { notice, number: open.messages, seen_at: None };
        let over = open.alerts.is_empty();
        let memory = if over {
            Memory::Over(open.id.clone())
        } else {
            Memory::Open(open.memory(key, &self.receiver, self.digest))
        };
        if over {
            self.incident = None;
            self.also_told.clear();
        }
        (decision, memory)
    }
}

impl Open {
    /// As it has to be remembered.
    fn memory(&self, key: &GroupKey, receiver: &Arc<str>, digest: bool) -> Incident {
        Incident {
            id: self.id.clone(),
            route: key.route.clone(),
            group: key.group.clone(),
            receiver: receiver.clone(),
            opened: self.opened,
            told: self.told,
            messages: self.messages,
            alerts: self.alerts.values().map(|alert| Alert::clone(alert)).collect(),
            acknowledged: self.acknowledged.clone(),
            reacted: self.reacted,
            digest,
        }
    }
}

impl Group {
    /// Notes who knows of the incident, and words it for the others who were told. `None` when
    /// it has none.
    pub(super) fn acknowledge(
        &mut self,
        acknowledgement: &Acknowledgement,
        seen_at: Option<Address>,
        max_alerts: usize,
    ) -> Option<(Decision, Incident)> {
        let open = self.incident.as_mut()?;
        open.acknowledged = Some(acknowledgement.clone());
        let decision = self.say_acknowledged(acknowledgement, seen_at, max_alerts)?;
        Some((decision, self.memory()?))
    }

    /// Words for those who were told of this incident that somebody knows of its alerts.
    pub(super) fn say_acknowledged(
        &mut self,
        acknowledgement: &Acknowledgement,
        seen_at: Option<Address>,
        max_alerts: usize,
    ) -> Option<Decision> {
        let open = self.incident.as_mut()?;
        open.messages += 1;
        let left_out = open.alerts.len().saturating_sub(max_alerts);
        let alerts = open.alerts.values().take(max_alerts).map(|a| Alert::clone(a)).collect();
        let notice = Notice {
            receiver: self.receiver.clone(),
            route: self.key.route.clone(),
            group: self.key.group.clone(),
            alerts,
            why: Why::Acknowledged,
            incident: open.id.clone(),
            at: acknowledgement.at,
            also_told: self.also_told.iter().cloned().collect(),
            flapping: false,
            left_out,
            acknowledged: Some(acknowledgement.clone()),
            react_by: None,
        };
        Some(Decision { notice, number: open.messages, seen_at })
    }

    /// The incident as it has to be remembered.
    pub(super) fn memory(&self) -> Option<Incident> {
        let open = self.incident.as_ref()?;
        Some(open.memory(&self.key, &self.receiver, self.digest))
    }

    /// Forgets told alerts whose end is told to nobody. Gives the incident's name when none is
    /// left.
    pub(super) fn forget(&mut self, alerts: &[Labels]) -> Option<String> {
        let open = self.incident.as_mut()?;
        for labels in alerts {
            open.alerts.remove(labels);
        }
        if !open.alerts.is_empty() {
            return None;
        }
        self.also_told.clear();
        self.incident.take().map(|open| open.id)
    }
}

/// What is to be remembered of an incident.
#[derive(Debug)]
pub(super) enum Memory {
    Open(Incident),
    Over(String),
}

/// Different for each incident: even when the state file was lost, since the instant is part of it,
/// and when the clock was set back to the same instant, since the process counts.
fn incident_id(key: &GroupKey, (group, nth): (u64, u64), now: Timestamp) -> String {
    let mut hash = Xxh3::new();
    hash.update(key.route.as_bytes());
    hash.update(&[0]);
    hash.update(key.group.as_bytes());
    hash.update(&now.millis().to_le_bytes());
    hash.update(&group.to_le_bytes());
    hash.update(&nth.to_le_bytes());
    format!("{:016x}", hash.digest())
}
