//! Why something was told or not, in words, and the lines of the incident log.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Decided, Desk, Group, GroupId, Seen};
use crate::alerting::{Notice, Why};
use crate::model::{Labels, Phase, Timestamp};
use crate::ports::{Entry, Event};

/// Alerts that a line of the log names; the others are counted in its detail.
const NAMED: usize = 100;

/// Why an alert that fires is not told. Every reason has a name, because people ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyNot {
    /// Another alert explains it.
    Inhibited {
        /// That alert's labels.
        by: Labels,
    },
    /// What its service cannot work without is down.
    Dependency {
        /// That service.
        on: Arc<str>,
        /// The alert that says so.
        by: Labels,
    },
    /// Outside the times in which its route tells.
    NotActive,
    /// Within a time in which its route does not tell.
    Muted {
        /// The name of the interval.
        interval: Arc<str>,
    },
    /// Somebody does not want to hear of it.
    Silenced {
        /// The silence.
        silence: Arc<str>,
    },
    /// It is over, but comes and goes: its end is told when it was quiet for a while.
    Flapping,
}

impl WhyNot {
    /// One word of a closed set.
    pub fn name(&self) -> &'static str {
        match self {
            WhyNot::Inhibited { .. } => "inhibited",
            WhyNot::Dependency { .. } => "dependency",
            WhyNot::NotActive => "outside-hours",
            WhyNot::Muted { .. } => "muted",
            WhyNot::Silenced { .. } => "silenced",
            WhyNot::Flapping => "flapping",
        }
    }

    /// By what; empty where the name says it all.
    pub fn detail(&self) -> String {
        match self {
            WhyNot::Inhibited { by } => by.to_string(),
            WhyNot::Dependency { on, by } => format!("{on}: {by}"),
            WhyNot::Muted { interval } => interval.to_string(),
            WhyNot::Silenced { silence } => silence.to_string(),
            WhyNot::NotActive | WhyNot::Flapping => String::new(),
        }
    }
}

/// The line for a decision to tell.
pub(super) fn told(notice: &Notice) -> Entry {
    // Those that go on firing have their line already.
    let ends_only = notice.why == Why::NewResolved;
    let named = notice.alerts.iter().filter(|alert| !(ends_only && alert.is_firing()));
    let named = named.take(NAMED);
    let more = notice.alerts.len().saturating_sub(NAMED) + notice.left_out;
    let more = (more > 0).then(|| format!("and {more} more alerts"));
    let react_by = notice.react_by.map(|by| format!("reaction due by {by}"));
    let detail: Vec<String> = more.into_iter().chain(react_by).collect();
    Entry {
        at: notice.at,
        event: Event::Told,
        reason: notice.why.name().into(),
        detail: detail.join(", "),
        incident: Some(notice.incident.clone()),
        receiver: notice.receiver.clone(),
        group: notice.group.clone(),
        alerts: named.map(|alert| (alert.labels.clone(), fired(alert.phase))).collect(),
        who: "".into(),
        channel: None,
    }
}

fn fired(phase: Phase) -> Timestamp {
    match phase {
        Phase::Pending { since } => since,
        Phase::Firing { fired, .. } | Phase::Resolved { fired, .. } => fired,
    }
}

impl Entry {
    pub(super) fn of(mut self, incident: &str) -> Self {
        self.incident = Some(incident.to_owned());
        self
    }

    pub(super) fn because(mut self, reason: &str, detail: String) -> Self {
        self.reason = reason.into();
        self.detail = detail;
        self
    }

    pub(super) fn about(mut self, alerts: Vec<(Labels, Timestamp)>) -> Self {
        self.alerts = alerts;
        self
    }

    pub(super) fn done_by(mut self, who: &Arc<str>, way: crate::model::Way) -> Self {
        // Some clients call people by their mail address.
        self.who = who.split('@').next().unwrap_or("").into();
        self.reason = way.name().into();
        self
    }

    /// A line about nothing in particular.
    pub(super) fn plain(event: Event, at: Timestamp) -> Self {
        Self {
            at,
            event,
            reason: "".into(),
            detail: String::new(),
            incident: None,
            receiver: "".into(),
            group: Labels::empty(),
            alerts: Vec::new(),
            who: "".into(),
            channel: None,
        }
    }
}

impl Group {
    /// A line of the log about this group.
    pub(super) fn entry(&self, event: Event, at: Timestamp) -> Entry {
        Entry {
            incident: self.incident.as_ref().map(|open| open.id.clone()),
            receiver: self.receiver.clone(),
            group: self.key.group.clone(),
            ..Entry::plain(event, at)
        }
    }
}

impl Desk {
    /// Logs what is held back for another reason than at the last look, and what went away
    /// without being told.
    pub(super) fn note_what_is_held(
        &mut self,
        id: GroupId,
        seen: &Seen,
        now: Timestamp,
        decided: &mut Decided,
    ) {
        let Some(group) = self.groups.get(&id) else { return };
        let mut held: BTreeMap<Labels, WhyNot> = seen.held.iter().cloned().collect();
        held.extend(seen.damped.iter().map(|labels| (labels.clone(), WhyNot::Flapping)));
        let mut changed: Vec<(&WhyNot, Vec<&Labels>)> = Vec::new();
        for (labels, why_not) in held.iter().filter(|(l, w)| group.held.get(*l) != Some(*w)) {
            match changed.iter_mut().find(|(known, _)| *known == why_not) {
                Some((_, all)) => all.push(labels),
                None => changed.push((why_not, vec![labels])),
            }
        }
        for (why_not, labels) in changed {
            let entry = group.entry(Event::Held, now).because(why_not.name(), why_not.detail());
            decided.journal.push(entry.about(self.named(labels.into_iter())));
        }
        let untold =
            |labels: &&Labels| !group.was_told(labels) && !self.is_told_in_a_digest(labels, group);
        let mut passed: BTreeMap<&str, Vec<&Labels>> = BTreeMap::new();
        for labels in seen.gone.iter().filter(untold) {
            let reason = group.held.get(labels).map_or("waiting", WhyNot::name);
            passed.entry(reason).or_default().push(labels);
        }
        for (reason, labels) in passed {
            let entry = group.entry(Event::Passed, now).because(reason, String::new());
            decided.journal.push(entry.about(self.named(labels.into_iter())));
        }
        if let Some(group) = self.groups.get_mut(&id) {
            group.held = held;
        }
    }

    fn named<'a>(&self, labels: impl Iterator<Item = &'a Labels>) -> Vec<(Labels, Timestamp)> {
        let since = |labels: &Labels| {
            self.alerts.get(labels).map_or(Timestamp::MIN, |known| fired(known.alert.phase))
        };
        labels.take(NAMED).map(|labels| (labels.clone(), since(labels))).collect()
    }
}
