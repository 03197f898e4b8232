//! The rules that look at what is broken, and what the judge has to know of it.

use super::{HEALTHY, REPORTED_OVER, World};
use crate::model::{Alert, Labels, Phase};
use crate::ports::Channel;
use crate::sim::Bug;
use crate::sim::stage::CLOSED;
use crate::sim::story::Fault;

impl World {
    pub(super) fn is_silenced(&self, fault: &Fault) -> bool {
        self.known_silences().any(|silence| silence.covers(&fault.labels, self.wall()))
    }

    /// Whether its owner is not told now, because of their hours or because the route is closed.
    pub(super) fn is_closed(&self, fault: &Fault) -> bool {
        self.is_outside_hours(fault) || self.is_muted(fault)
    }

    /// Whether it takes the plain route, and that is closed.
    fn is_muted(&self, fault: &Fault) -> bool {
        let minute = self.wall().millis().div_euclid(60_000).rem_euclid(30);
        self.cast.muted.is_some()
            && fault.alert.starts_with("mail/")
            && CLOSED.contains(&u16::try_from(minute).unwrap())
    }

    /// Whether its owner is not told at this hour.
    fn is_outside_hours(&self, fault: &Fault) -> bool {
        let minute = self.wall().millis().div_euclid(60_000);
        self.cast.hours && fault.owner == "office" && minute.rem_euclid(30) >= 20
    }

    /// Whether the uplink, on which it hangs, is reported as down; or what is slow is.
    pub(super) fn is_inhibited(&self, fault: &Fault) -> bool {
        let down = |alert: &str| {
            self.faults.iter().any(|other| other.alert == alert && other.fired.is_some())
        };
        let slow = fault.alert.strip_suffix("/Slow").filter(|_| self.cast.inhibits);
        fault.alert.starts_with("home/") && down("uplink/ServiceDown")
            || slow.is_some_and(|service| down(&format!("{service}/ServiceDown")))
    }

    /// The rules: levels of what is broken, and of what is over since a while.
    pub(super) fn evaluate(&mut self) {
        let (now, wall) = (self.now, self.wall());
        let up = self.process.is_some();
        let mut alerts = Vec::new();
        for fault in &mut self.faults {
            let current = fault.outages.iter().position(|(from, to)| (*from..*to).contains(&now));
            let before = fault.fired.is_some();
            if !up {
                continue;
            }
            match (current, fault.fired) {
                (Some(outage), _) => {
                    fault.reported[outage].get_or_insert(now);
                    fault.fired.get_or_insert(wall);
                    fault.resolved = None;
                }
                (None, Some(fired)) => {
                    fault.resolved = Some((fired, now));
                    fault.fired = None;
                }
                (None, None) => {}
            }
            let changed = before != fault.fired.is_some();
            if self.bug == Some(Bug::ReportsEdges) && !changed {
                continue;
            }
            let phase = match (fault.fired, fault.resolved) {
                (Some(fired), _) => Phase::Firing { since: fired, fired },
                (None, Some((fired, at))) if now - at < REPORTED_OVER => {
                    Phase::Resolved { fired, resolved: wall }
                }
                _ => continue,
            };
            alerts.push(Alert {
                labels: fault.labels.clone(),
                annotations: Labels::empty(),
                phase,
                value: Some(1.0),
                ends: None,
                generator: "".into(),
            });
        }
        let fresh = std::mem::take(&mut self.fresh);
        if fresh && self.luck.once_in(2) {
            // The group of rules that looks at the uplink runs later than the others.
            let of_uplink = |alert: &Alert| alert.labels.get("service") == Some("uplink");
            let (late, early) = alerts.into_iter().partition(of_uplink);
            self.late = Some((now + 5_000, late));
            alerts = early;
        }
        if let Some(process) = &mut self.process {
            process.offer(wall, alerts);
            if fresh && self.late.is_none() && self.bug != Some(Bug::HoldsTooLong) {
                process.ready(wall);
            }
        }
        self.note_who_must_be_told();
    }

    /// Every group of rules has run once.
    pub(super) fn report_late(&mut self) {
        let Some((_, alerts)) = self.late.take_if(|(at, _)| *at <= self.now) else { return };
        let wall = self.wall();
        if let Some(process) = &mut self.process {
            process.offer(wall, alerts);
            if self.bug != Some(Bug::HoldsTooLong) {
                process.ready(wall);
            }
        }
    }

    /// For the judge: what is reported, free to be told, and can be told.
    pub(super) fn note_who_must_be_told(&mut self) {
        let now = self.now;
        let up = self.process.is_some() && !self.disk.full;
        let before = std::mem::take(&mut self.outside);
        for at in 0..self.faults.len() {
            let fault = &self.faults[at];
            let (silenced, inhibited) = (self.is_silenced(fault), self.is_inhibited(fault));
            let outage = fault.outages.iter().position(|(from, to)| (*from..*to).contains(&now));
            let outage = outage.filter(|nth| fault.reported[*nth].is_some());
            self.accidents.silenced += u64::from(outage.is_some() && silenced);
            self.accidents.inhibited += u64::from(outage.is_some() && inhibited);
            let (outside, muted) = (self.is_outside_hours(fault), self.is_muted(fault));
            self.accidents.outside_hours += u64::from(outage.is_some() && outside);
            self.accidents.muted += u64::from(outage.is_some() && muted);
            let closed = outside || muted;
            if outage.is_some() && !silenced && !inhibited {
                let settled = self.process.is_some() && now - self.settled_since > 60_000;
                if closed {
                    self.outside.push(fault.alert.clone());
                } else if settled && before.contains(&fault.alert) {
                    self.openings.push((fault.alert.clone(), now));
                }
            }
            let working = |channel: &Channel| up && !self.network.is_down(*channel, now);
            let working: Vec<Channel> =
                [Channel::Email, Channel::Matrix].into_iter().filter(working).collect();
            let fault = &mut self.faults[at];
            let Some(outage) = outage.filter(|_| !silenced && !inhibited && !closed) else {
                fault.free_since = None;
                fault.healthy_since.clear();
                continue;
            };
            let since = *fault.free_since.get_or_insert(now);
            fault.free[outage] = fault.free[outage].max(now - since);
            fault.healthy_since.retain(|channel, _| working.contains(channel));
            for channel in working {
                let since = *fault.healthy_since.entry(channel).or_insert(now);
                if now - since >= HEALTHY {
                    fault.due.entry((outage, channel)).or_insert(now);
                }
            }
        }
    }
}
