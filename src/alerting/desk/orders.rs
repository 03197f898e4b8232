//! What people order: acknowledgements and silences; and the wait after the start.

use std::sync::Arc;
use std::time::Duration;

use super::{Decided, Desk, GroupId, Known, Silences};
use crate::model::{
    AckKind, Acknowledgement, Alert, Labels, Matcher, Pattern, Silence, Test, Timestamp, Way,
};
use crate::ports::{ActError, Actor, Entry, Event, Scope, SilenceOrder, Until};

/// Silences that are over are shown for so long, as Alertmanager does.
const KEPT: Duration = Duration::from_secs(120 * 3600);
/// The longest a silence may last.
const LONGEST: Duration = Duration::from_secs(5 * 366 * 86_400);
/// So many silences may be kept.
const MOST: usize = 10_000;
/// With so many alerts, further ones of others are refused.
const MOST_ALERTS: usize = 200_000;
/// How often silences that end with their alerts are looked at.
const LOOK: Duration = Duration::from_secs(10);

impl Desk {
    /// Goes on with other silences: all of them, also those that begin later or are over.
    pub fn silence(&mut self, silences: Vec<Silence>) {
        self.silences = Silences::new(silences);
    }

    /// Takes in what others report, as far as there is room: their labels may differ at every
    /// report. Gives how many alerts there was no room for.
    pub fn offer_foreign(&mut self, now: Timestamp, alerts: Vec<Alert>) -> usize {
        let mut refused = 0;
        for alert in alerts {
            if MOST_ALERTS <= self.alerts.len() && !self.alerts.contains_key(&alert.labels) {
                refused += 1;
            } else {
                self.offer(now, vec![alert]);
            }
        }
        refused
    }

    /// Tells nothing before `until`, or before [`Desk::ready`]: what inhibits and silences must be
    /// known first.
    pub fn hold(&mut self, until: Timestamp, now: Timestamp) {
        self.hold = Some(until);
        self.pending.journal.push(Entry::plain(Event::Started, now));
    }

    /// Everything was looked at once: what is to be told is told.
    pub fn ready(&mut self, now: Timestamp) {
        if self.hold.take().is_some() {
            self.pending.journal.push(Entry::plain(Event::Ready, now));
        }
    }

    /// Whether nothing is told yet.
    pub(super) fn is_holding(&mut self, now: Timestamp, decided: &mut Decided) -> bool {
        match self.hold {
            Some(until) if now < until => return true,
            Some(_) => decided.journal.push(Entry::plain(Event::Ready, now)),
            None => {}
        }
        self.hold = None;
        false
    }

    /// Notes that somebody knows of an incident, or has it. It is not repeated until an alert
    /// joins it. The others who were told hear so at the next [`Desk::flush`]; saying the same
    /// again changes nothing.
    ///
    /// # Errors
    /// There is no such incident, or it is over.
    pub fn acknowledge(
        &mut self,
        incident: &str,
        kind: AckKind,
        by: &Actor,
        now: Timestamp,
    ) -> Result<(), ActError> {
        let missing = || ActError::NoIncident(incident.chars().take(40).collect());
        let is_it =
            |group: &&super::Group| group.incident.as_ref().is_some_and(|open| open.id == incident);
        let found = self.groups.iter().find(|(_, group)| is_it(group));
        let (&id, group) = found.ok_or_else(missing)?;
        let known = group.incident.as_ref().and_then(|open| open.acknowledged.as_ref());
        if known.is_some_and(|known| known.by == by.name && kind <= known.kind) {
            return Ok(());
        }
        let said = Acknowledgement { by: by.name.clone(), kind, at: now, way: by.way };
        let sharing = self.incidents_that_share(id);
        let most = self.plan.max_alerts;
        let group = self.groups.get_mut(&id).ok_or_else(missing)?;
        let event = match kind {
            AckKind::Acknowledged => Event::Acknowledged,
            AckKind::Claimed => Event::Claimed,
        };
        let entry = group.entry(event, now).done_by(&by.name, by.way);
        let (decision, memory) =
            group.acknowledge(&said, by.seen_at.clone(), most).ok_or_else(missing)?;
        self.watch.look_again();
        self.pending.journal.push(entry);
        self.pending.decisions.push(decision);
        self.pending.incidents.push(memory);
        for other in sharing {
            let Some(group) = self.groups.get_mut(&other) else { continue };
            let decision = group.say_acknowledged(&said, by.seen_at.clone(), most);
            self.pending.decisions.extend(decision);
            self.pending.incidents.extend(group.memory());
        }
        Ok(())
    }

    /// Other incidents that told of one of the alerts that this group told.
    fn incidents_that_share(&self, id: GroupId) -> Vec<GroupId> {
        let Some(group) = self.groups.get(&id) else { return Vec::new() };
        let known = group.told().filter_map(|labels| Some((labels, self.alerts.get(labels)?)));
        let mut found: Vec<GroupId> = known
            .flat_map(|(labels, known)| known.groups.iter().map(move |id| (labels, *id)))
            .filter(|(labels, other)| {
                *other != id && self.groups.get(other).is_some_and(|g| g.was_told(labels))
            })
            .map(|(_, other)| other)
            .collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The incident got worse: whoever knew of it does not know of this.
    pub(super) fn lapse(&mut self, id: GroupId, now: Timestamp, decided: &mut Decided) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        let Some(open) = group.incident.as_mut() else { return };
        if let Some(was) = open.acknowledged.take() {
            open.reacted = open.reacted.max(Some(was.at));
            let mut entry = group.entry(Event::Lapsed, now).because("new-alerts", String::new());
            entry.who = was.by;
            decided.journal.push(entry);
        }
    }

    /// Silences alerts, or changes a silence, with Alertmanager's rules: a change that would
    /// rewrite the past ends the old one and makes a new one. `fresh` names a new one. Gives the id.
    ///
    /// # Errors
    /// It makes no sense, or the silence to change does not exist.
    pub fn order_silence(
        &mut self,
        order: SilenceOrder,
        by: &Actor,
        fresh: Arc<str>,
        now: Timestamp,
    ) -> Result<Arc<str>, ActError> {
        let old = match &order.id {
            Some(id) => Some(self.silences.get(id).cloned().ok_or_else(|| no_silence(id))?),
            None => None,
        };
        let starts = order.starts.unwrap_or(now);
        let (matchers, incident) = self.matchers_of(order.scope)?;
        let (ends, until_resolved) = match order.until {
            Until::Instant(ends) => (ends, false),
            Until::For(length) => (starts.max(now) + length, false),
            Until::Resolved { at_most } => (starts.max(now) + at_most, true),
        };
        check(&matchers, starts, ends, now)?;
        let mut new = Silence {
            id: fresh,
            matchers,
            starts,
            ends,
            created_by: by.name.clone(),
            comment: order.comment,
            updated: now,
            until_resolved,
            incident,
        };
        let covered = |known: &Known| {
            known.is_firing(now) && new.matchers.iter().all(|m| m.matches(&known.alert.labels))
        };
        if until_resolved && !self.alerts.values().any(covered) {
            let reason = "no alert that fires matches, so that there is nothing whose end it \
                          could wait for; name a time";
            return Err(ActError::Refused(reason.to_owned()));
        }
        let mut changed = Vec::new();
        if let Some(mut old) = old {
            if can_change(&old, &new, now) {
                new.id = old.id.clone();
            } else if now < old.ends {
                old.ends = now;
                old.starts = old.starts.min(now);
                old.updated = now;
                changed.push(old);
            }
        }
        if new.starts < now
            && !changed.iter().chain(self.silences.get(&new.id)).any(|s| s.id == new.id)
        {
            new.starts = now;
        }
        self.silences.forget_before(now - KEPT);
        if MOST <= self.silences.all().len() {
            return Err(ActError::Refused(format!("there are {MOST} silences already")));
        }
        let id = new.id.clone();
        changed.push(new);
        for silence in changed {
            self.keep(silence, Event::Silenced, by, now);
        }
        Ok(id)
    }

    fn matchers_of(&self, scope: Scope) -> Result<(Vec<Matcher>, Option<Arc<str>>), ActError> {
        let incident = match scope {
            Scope::Matching(matchers) => return Ok((matchers, None)),
            Scope::Incident(incident) => incident,
        };
        let is_it = |group: &&super::Group| {
            group.incident.as_ref().is_some_and(|open| *open.id == *incident)
        };
        let group = self.groups.values().find(is_it);
        let group = group.ok_or_else(|| ActError::NoIncident(incident.to_string()))?;
        let mut matchers: Vec<Matcher> =
            group.key.group.iter().map(|(name, value)| Matcher::equal(name, value)).collect();
        if matchers.is_empty() {
            let any = Pattern::within_lines(".+");
            let any = any.map_err(|error| ActError::Refused(error.to_string()))?;
            matchers.push(Matcher::new("alertname", Test::Match(any)));
        }
        Ok((matchers, Some(incident)))
    }

    /// Ends a silence.
    ///
    /// # Errors
    /// There is none with that id, or it is over already.
    pub fn expire_silence(&mut self, id: &str, by: &Actor, now: Timestamp) -> Result<(), ActError> {
        let mut silence = self.silences.get(id).cloned().ok_or_else(|| no_silence(id))?;
        if silence.ends <= now {
            return Err(ActError::Refused(format!("silence {id} already expired")));
        }
        end(&mut silence, now);
        self.keep(silence, Event::Expired, by, now);
        Ok(())
    }

    fn keep(&mut self, silence: Silence, event: Event, by: &Actor, now: Timestamp) {
        let mut pending = std::mem::take(&mut self.pending);
        self.keep_in(silence, event, by, now, &mut pending);
        self.pending = pending;
    }

    fn keep_in(
        &mut self,
        silence: Silence,
        event: Event,
        by: &Actor,
        now: Timestamp,
        decided: &mut Decided,
    ) {
        let mut entry = Entry::plain(event, now).done_by(&by.name, by.way);
        let matchers: Vec<String> = silence.matchers.iter().map(ToString::to_string).collect();
        entry.detail = format!("{}: {{{}}} until {}", silence.id, matchers.join(","), silence.ends);
        entry.incident = silence.incident.as_ref().map(ToString::to_string);
        decided.journal.push(entry);
        decided.silences.push(silence.clone());
        self.silences.put(silence);
    }

    /// When silences that end with their alerts want to be looked at.
    pub(super) fn next_resolved_check(&self) -> Option<Timestamp> {
        let waits =
            |silence: &Silence| silence.until_resolved && self.resolved_check < silence.ends;
        self.silences.all().iter().any(waits).then_some(self.resolved_check)
    }

    /// Ends silences whose alerts are over. One that comes and goes is not over yet.
    pub(super) fn end_resolved_silences(&mut self, now: Timestamp, decided: &mut Decided) {
        if now < self.resolved_check {
            return;
        }
        self.resolved_check = now + LOOK;
        let fires = |labels: &Labels, known: &Known| {
            known.is_firing(now) || self.may_come_back(labels, now)
        };
        let is_over = |silence: &&Silence| {
            silence.until_resolved
                && silence.is_active(now)
                && !self
                    .alerts
                    .iter()
                    .any(|(labels, known)| silence.covers(labels, now) && fires(labels, known))
        };
        let over: Vec<Silence> = self.silences.all().iter().filter(is_over).cloned().collect();
        for mut silence in over {
            let by = Actor { name: silence.created_by.clone(), way: Way::Api, seen_at: None };
            end(&mut silence, now);
            self.keep_in(silence, Event::Expired, &by, now, decided);
            if let Some(entry) = decided.journal.last_mut() {
                entry.reason = "resolved".into();
            }
        }
    }

    /// Ends the silences of incidents that are over.
    pub(super) fn end_silences_of(&mut self, now: Timestamp, decided: &mut Decided) {
        if self.silences.all().iter().all(|silence| silence.incident.is_none()) {
            return;
        }
        let ended = &decided.ended;
        let is_over = |silence: &&Silence| {
            let incident = silence.incident.as_deref();
            now < silence.ends && incident.is_some_and(|id| ended.iter().any(|e| e == id))
        };
        let over: Vec<Silence> = self.silences.all().iter().filter(is_over).cloned().collect();
        for mut silence in over {
            let by = Actor { name: silence.created_by.clone(), way: Way::Api, seen_at: None };
            end(&mut silence, now);
            self.keep_in(silence, Event::Expired, &by, now, decided);
            if let Some(entry) = decided.journal.last_mut() {
                entry.reason = "resolved".into();
            }
        }
    }
}

/// Over from now on; one that has not begun never begins.
fn end(silence: &mut Silence, now: Timestamp) {
    silence.starts = silence.starts.min(now);
    silence.ends = now;
    silence.updated = now;
}

fn no_silence(id: &str) -> ActError {
    ActError::NoSilence(id.chars().take(64).collect())
}

/// Alertmanager's conditions, in its words.
fn check(
    matchers: &[Matcher],
    starts: Timestamp,
    ends: Timestamp,
    now: Timestamp,
) -> Result<(), ActError> {
    let refused = |reason: &str| Err(ActError::Refused(reason.to_owned()));
    if ends <= starts {
        return refused("Failed to create silence: start time must be before end time");
    }
    if ends < now {
        return refused("Failed to create silence: end time can't be in the past");
    }
    if now + LONGEST < ends {
        return refused("Failed to create silence: it would last for more than five years");
    }
    if matchers.is_empty() {
        return refused("invalid silence: at least one matcher required");
    }
    if matchers.iter().all(|matcher| matcher.accepts("")) {
        return refused("invalid silence: at least one matcher must not match the empty string");
    }
    Ok(())
}

/// Whether a silence may take a new form without rewriting the past.
fn can_change(old: &Silence, new: &Silence, now: Timestamp) -> bool {
    let same = old.matchers.len() == new.matchers.len()
        && old.matchers.iter().zip(&new.matchers).all(|(a, b)| a.to_string() == b.to_string());
    if !same || old.ends <= now {
        return false;
    }
    if old.starts <= now { old.starts == new.starts } else { now <= new.starts }
}
