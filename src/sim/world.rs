use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::disk::Disk;
use super::network::{Arrival, Network};
use super::stage::{
    Scribe, acknowledges, addresses, directory, faults, has_hours, repeat, silences,
};
use super::story::{Accidents, Acknowledged, Fault, Story, Told};
use super::{Bug, Luck};
use crate::alerting::{Directory, Ends, Plan, Silence, Timing};
use crate::model::{AckKind, Alert, Labels, Phase, Timestamp, Way};
use crate::notify::{Patience, Teller};
use crate::ports::{Actor, Address, Change, Channel, Delivery, DeliveryError, Receipt, Remembered};

/// Everything stays broken at most until here; then follow calm minutes to catch up.
pub(super) const TROUBLE_ENDS: i64 = 40 * 60_000;
const END: i64 = 60 * 60_000;
/// The rules look so often.
const TICK: i64 = 15_000;
/// An alert that is over is reported as such for so long.
const REPORTED_OVER: i64 = 15 * 60_000;
/// Process and channel have worked for so long: whoever is to be told has been told. Longer than a
/// few retries at their slowest.
const HEALTHY: i64 = 8 * 60_000;
/// After a start nothing is told for so long, or until all rules have run.
const HOLD: Duration = Duration::from_secs(20);
/// Wall clock at the true time 0.
pub(super) const BASE: i64 = 1_700_000_000_000;

struct World {
    luck: Luck,
    bug: Option<Bug>,
    now: i64,
    /// Wall clock minus true time.
    offset: i64,
    /// What the process believes the offset is.
    known_offset: i64,
    process: Option<Teller>,
    processes: u64,
    restart_at: i64,
    disk: Disk,
    network: Network,
    unsaved: Change,
    /// Answers on their way to this process: when, key, answer.
    answers: BTreeMap<(i64, u64), (String, Result<Receipt, DeliveryError>)>,
    next_answer: u64,
    directory: Arc<Directory>,
    faults: Vec<Fault>,
    decided: BTreeMap<String, i64>,
    /// With the true time from which on the process is to know it.
    silences: Vec<(i64, Silence)>,
    silences_known: usize,
    /// The rules have not run since the process began.
    fresh: bool,
    /// Reports on their way, and when they come.
    late: Option<(i64, Vec<Alert>)>,
    /// How much faster the wall clock runs, milliseconds for each look of the rules.
    drift: i64,
    set_in_the_dark: bool,
    /// When the wall clock was set last.
    set_at: Option<i64>,
    leaks: Vec<String>,
    told: Vec<Told>,
    acknowledged: Vec<Acknowledged>,
    openings: Vec<(String, i64)>,
    crashed: Vec<i64>,
    /// The office is told at certain hours only.
    hours: bool,
    /// Decides who acknowledges; of its own, so that other worlds stay as they were.
    people: Option<Luck>,
    repeat: Duration,
    /// Alerts that were outside their owner's hours at the last look.
    outside: Vec<String>,
    /// Process, clock and plan are the same since then.
    settled_since: i64,
    crashes_left: u64,
    accidents: Accidents,
    verbose: bool,
    log: Vec<String>,
}

/// `verbose`: keeps a log of what happened.
#[allow(clippy::too_many_lines)] // one field after the other, without a branch
pub(super) fn run(seed: u64, bug: Option<Bug>, verbose: bool) -> Story {
    let mut luck = Luck::seeded(seed);
    let calm = seed.is_multiple_of(10);
    let full = !calm && luck.once_in(6);
    let mut world = World {
        bug,
        now: 0,
        offset: 0,
        known_offset: 0,
        process: None,
        processes: 0,
        restart_at: 0,
        disk: Disk::new(bug),
        network: Network {
            arrivals: Vec::new(),
            sent: BTreeMap::new(),
            down: BTreeMap::new(),
            refused: Vec::new(),
            excused: BTreeMap::new(),
            calm,
            lost_answers: 0,
            slow_answers: 0,
            bug,
        },
        unsaved: Change::default(),
        answers: BTreeMap::new(),
        next_answer: 0,
        directory: Arc::new(directory(false, has_hours(seed), bug)),
        faults: faults(&mut luck),
        decided: BTreeMap::new(),
        silences: silences(&mut luck),
        silences_known: 0,
        fresh: false,
        late: None,
        drift: i64::try_from(luck.below(17)).unwrap() - 8,
        set_in_the_dark: false,
        set_at: None,
        leaks: Vec::new(),
        told: Vec::new(),
        acknowledged: Vec::new(),
        openings: Vec::new(),
        crashed: Vec::new(),
        hours: has_hours(seed),
        repeat: repeat(seed),
        people: acknowledges(seed).then(|| Luck::seeded(seed ^ 0xacc)),
        outside: Vec::new(),
        settled_since: 0,
        // A full disk and a crash together do lose what was in memory only.
        crashes_left: if calm || full { 0 } else { luck.below(6) },
        accidents: Accidents::default(),
        verbose,
        log: Vec::new(),
        luck,
    };
    if !calm {
        world.break_servers();
    }
    let full = full.then(|| (world.luck_below(TROUBLE_ENDS), 600_000));
    world.live(full);
    world.accidents.lost_answers = world.network.lost_answers;
    world.accidents.arrivals = world.network.arrivals.len() as u64;
    world.accidents.slow_answers = world.network.slow_answers;
    let both = |owner| addresses(&directory(true, false, None), owner);
    Story {
        faults: world.faults,
        arrivals: world.network.arrivals,
        sent: world.network.sent,
        decided: world.decided,
        told: world.told,
        acknowledged: world.acknowledged,
        openings: world.openings,
        crashed: world.crashed,
        repeat: i64::try_from(world.repeat.as_millis()).unwrap(),
        excused: world.network.excused,
        sometimes: ["web", "office", "dispatcher"].map(|o| (o, both(o))).into(),
        always: ["web", "office", "dispatcher"]
            .map(|o| (o, addresses(&directory(false, false, None), o)))
            .into(),
        refused: world.network.refused,
        calm,
        leaks: world.leaks,
        set_in_the_dark: world.set_in_the_dark,
        open_at_the_end: world.process.map_or(0, |process| process.outbox().open_count()),
        accidents: world.accidents,
        log: world.log,
    }
}

impl World {
    fn luck_below(&mut self, n: i64) -> i64 {
        i64::try_from(self.luck.below(u64::try_from(n).unwrap())).unwrap()
    }

    fn break_servers(&mut self) {
        for channel in [Channel::Email, Channel::Matrix] {
            if self.luck.once_in(2) {
                let from = self.luck_below(TROUBLE_ENDS);
                let length = self.luck_below(600_000);
                self.network.down.insert(channel, vec![(from, (from + length).min(TROUBLE_ENDS))]);
            }
        }
        if self.luck.once_in(5) {
            self.network.refused.push(Address::Email("office@example.org".into()));
        }
        if self.luck.once_in(5) {
            self.network.refused.push(Address::Matrix("#web:x".into()));
        }
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(BASE + self.now + self.offset)
    }

    fn say(&mut self, what: impl FnOnce() -> String) {
        if !self.verbose {
            return;
        }
        let line = format!("{:>8.3} {}", self.now as f64 / 1000.0, what());
        self.log.push(line);
    }

    fn start_process(&mut self) {
        self.processes += 1;
        let mut remembered = self.disk.load_after_crash(self.processes);
        if remembered.installation.is_empty() {
            remembered.installation = "sim".to_owned();
        }
        self.known_offset = self.offset;
        let (processes, open) = (self.processes, remembered.tickets.len());
        self.say(|| format!("process {processes} starts with {open} open tickets"));
        let mut process = self.teller(remembered);
        if self.bug != Some(Bug::ForgetsSilences) || self.processes == 1 {
            process.silence(self.known_silences().cloned().collect());
        }
        match self.bug {
            Some(Bug::TellsBeforeItKnows) => {}
            Some(Bug::HoldsTooLong) => {
                process.hold(self.wall() + Duration::from_secs(1200), self.wall());
            }
            _ => process.hold(self.wall() + HOLD, self.wall()),
        }
        self.settled_since = self.now;
        self.silences_known = self.known_silences().count();
        self.fresh = true;
        self.process = Some(process);
    }

    fn plan(&self) -> Arc<Plan> {
        let timing = Timing { repeat_interval: self.repeat, ..Timing::default() };
        let mut plan = Plan::of_owners(&self.directory, timing).unwrap();
        match self.bug {
            Some(Bug::IgnoresDependencies) => plan.inhibit.clear(),
            Some(Bug::LosesEndsOfSilenced) => plan.ends = Ends::AsAlertmanager,
            _ => {}
        }
        Arc::new(plan)
    }

    /// Those the process is to know.
    fn known_silences(&self) -> impl Iterator<Item = &Silence> {
        let known = self.silences.iter().filter(|(known, _)| *known <= self.now);
        known.map(|(_, silence)| silence)
    }

    fn is_silenced(&self, fault: &Fault) -> bool {
        self.known_silences().any(|silence| silence.covers(&fault.labels, self.wall()))
    }

    /// Whether its owner is not told at this hour.
    fn is_outside_hours(&self, fault: &Fault) -> bool {
        let minute = self.wall().millis().div_euclid(60_000);
        self.hours && fault.owner == "office" && minute.rem_euclid(30) >= 20
    }

    /// Whether the uplink, on which it hangs, is reported as down.
    fn is_inhibited(&self, fault: &Fault) -> bool {
        let down = |other: &Fault| other.alert == "uplink/ServiceDown" && other.fired.is_some();
        fault.alert.starts_with("home/") && self.faults.iter().any(down)
    }

    fn teller(&self, remembered: Remembered) -> Teller {
        let mut patience =
            Patience { retry_longest: Duration::from_secs(60), ..Patience::default() };
        if self.bug == Some(Bug::GivesUpAtOnce) {
            patience.give_up_after = Duration::ZERO;
        }
        let plan = self.plan();
        let directory = self.directory.clone();
        Teller::restore(patience, plan, directory, Arc::new(Scribe), remembered, self.wall())
    }

    fn live(&mut self, full: Option<(i64, i64)>) {
        let mut tick = 0;
        while self.now < END {
            if self.process.is_none() && self.restart_at <= self.now {
                self.start_process();
            }
            self.disk.full =
                full.is_some_and(|(from, length)| (from..from + length).contains(&self.now));
            if tick <= self.now {
                tick += TICK;
                self.offset += self.drift;
                self.known_offset += self.drift;
                self.mishaps(full.is_some());
                self.learn_silences();
                self.evaluate();
                self.acknowledge();
            }
            self.report_late();
            self.turn();
            self.answer();
            self.now = self.next_instant(tick);
        }
    }

    fn next_instant(&self, tick: i64) -> i64 {
        let answer = self.answers.keys().next().map(|(at, _)| *at);
        let wall_at_zero = BASE + self.known_offset;
        let due = self.process.as_ref().and_then(Teller::next_due);
        let due = due.map(|due| due.millis() - wall_at_zero);
        let due = due.filter(|_| self.bug != Some(Bug::Oversleeps));
        let restart = self.process.is_none().then_some(self.restart_at);
        let late = self.late.as_ref().map(|(at, _)| *at);
        let next = [Some(tick), answer, due, restart, late].into_iter().flatten().min().unwrap();
        next.max(self.now + 1)
    }

    fn learn_silences(&mut self) {
        let known = self.known_silences().count();
        if known == self.silences_known || self.bug == Some(Bug::IgnoresNewSilences) {
            return;
        }
        let silences: Vec<Silence> = self.known_silences().cloned().collect();
        if let Some(process) = &mut self.process {
            process.silence(silences);
            self.silences_known = known;
            self.say(|| format!("{known} silences are known"));
        }
    }

    fn mishaps(&mut self, counted_full: bool) {
        if counted_full && self.disk.full {
            self.accidents.full_disks += 1;
        }
        if self.network.calm || self.now >= TROUBLE_ENDS {
            return;
        }
        if self.luck.once_in(400) {
            let by = self.luck_below(7_200_000) - 3_600_000;
            self.offset += by;
            self.accidents.clock_jumps += 1;
            self.set_in_the_dark |= self.process.is_none();
            self.set_at = Some(self.now);
            self.settled_since = self.now;
            self.say(|| format!("the wall clock is set by {by} ms"));
            if let Some(process) = &mut self.process
                && self.bug != Some(Bug::IgnoresClock)
            {
                process.clock_moved(by);
                self.known_offset = self.offset;
            }
        }
        if self.luck.once_in(300) {
            let guest = self.luck.once_in(2);
            self.directory = Arc::new(directory(guest, self.hours, self.bug));
            self.settled_since = self.now;
            self.accidents.reloads += 1;
            self.say(|| format!("reload, guest: {guest}"));
            let Some(mut process) = self.process.take() else { return };
            if self.bug == Some(Bug::ReloadForgets) {
                let installation = "sim".to_owned();
                process = self.teller(Remembered { installation, ..Remembered::default() });
                process.silence(self.known_silences().cloned().collect());
            } else {
                let plan = self.plan();
                process.replace(plan, self.directory.clone(), self.wall());
            }
            self.process = Some(process);
        }
    }

    /// The rules: levels of what is broken, and of what is over since a while.
    fn evaluate(&mut self) {
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
    fn report_late(&mut self) {
        let Some((_, alerts)) = self.late.take_if(|(at, _)| *at <= self.now) else { return };
        let wall = self.wall();
        if let Some(process) = &mut self.process {
            process.offer(wall, alerts);
            if self.bug != Some(Bug::HoldsTooLong) {
                process.ready(wall);
            }
        }
    }

    /// Somebody who has read of an incident says that they know of it.
    fn acknowledge(&mut self) {
        let Some(people) = &mut self.people else { return };
        if self.network.arrivals.is_empty() || !people.once_in(12) {
            return;
        }
        let back = people.below(6.min(self.network.arrivals.len() as u64));
        let read = self.network.arrivals.iter().rev().nth(usize::try_from(back).unwrap());
        let Some(read) = read.filter(|read| read.at <= self.now) else { return };
        let (incident, seen_at) =
            (read.delivery.message.incident.clone(), read.delivery.to.clone());
        let of_it = |arrival: &&Arrival| {
            arrival.delivery.message.incident == incident
                && arrival.at <= self.now
                && arrival.delivery.message.text.contains("=firing")
        };
        let heard = self.network.arrivals.iter().filter(of_it);
        let heard: Vec<Address> = heard.map(|arrival| arrival.delivery.to.clone()).collect();
        let name = format!("p{}", self.now).into();
        let by = Actor { name, way: Way::Matrix, seen_at: Some(seen_at.clone()) };
        let wall = self.wall();
        let Some(process) = &mut self.process else { return };
        if self.bug != Some(Bug::IgnoresAcknowledgements)
            && process.acknowledge(&incident, AckKind::Acknowledged, &by, wall).is_err()
        {
            return;
        }
        self.say(|| format!("{seen_at:?} acknowledges {incident}"));
        let crashes = self.accidents.crashes;
        self.turn();
        if self.unsaved.is_empty() && crashes == self.accidents.crashes {
            self.accidents.acknowledged += 1;
            let at = self.now;
            self.acknowledged.push(Acknowledged { at, incident, seen_at, heard });
        }
    }

    /// For the judge: what is reported, free to be told, and can be told.
    fn note_who_must_be_told(&mut self) {
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
            let outside = self.is_outside_hours(fault);
            self.accidents.outside_hours += u64::from(outage.is_some() && outside);
            if outage.is_some() && !silenced && !inhibited {
                let settled = self.process.is_some() && now - self.settled_since > 60_000;
                if outside {
                    self.outside.push(fault.alert.clone());
                } else if settled && before.contains(&fault.alert) {
                    self.openings.push((fault.alert.clone(), now));
                }
            }
            let working = |channel: &Channel| up && !self.network.is_down(*channel, now);
            let working: Vec<Channel> =
                [Channel::Email, Channel::Matrix].into_iter().filter(working).collect();
            let fault = &mut self.faults[at];
            let Some(outage) = outage.filter(|_| !silenced && !inhibited && !outside) else {
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

    /// Whether the power goes now.
    fn dies(&mut self, odds: u64) -> bool {
        if self.crashes_left == 0 || self.now >= TROUBLE_ENDS || !self.luck.once_in(odds) {
            return false;
        }
        self.crash();
        true
    }

    fn crash(&mut self) {
        self.crashes_left -= 1;
        self.accidents.crashes += 1;
        self.crashed.push(self.now);
        self.settled_since = self.now;
        // What was learnt of it had no time to reach the disk.
        self.set_in_the_dark |= self.set_at == Some(self.now);
        self.process = None;
        self.late = None;
        self.answers.clear();
        self.unsaved = Change::default();
        self.restart_at = self.now + 200 + self.luck_below(60_000);
        for key in self.disk.promised.open_keys() {
            *self.network.excused.entry(key.clone()).or_default() += 1;
        }
        self.say(|| "crash".to_owned());
    }

    fn turn(&mut self) {
        let wall = self.wall();
        let Some(process) = &mut self.process else { return };
        let change = process.decide(wall);
        let busy = !change.is_empty();
        let tickets = change.tickets.iter().map(|ticket| {
            let told = Told {
                at: self.now,
                incident: ticket.incident.clone(),
                number: ticket.number,
                to: ticket.to.clone(),
                why: ticket.message.subject.clone(),
                text: ticket.message.text.clone(),
                escalated: ticket.escalated,
            };
            (ticket.key.clone(), told)
        });
        for (key, told) in tickets.collect::<Vec<_>>() {
            self.decided.insert(key.clone(), self.now);
            self.told.push(told.clone());
            self.accidents.escalated += u64::from(told.escalated);
            self.accidents.digests += u64::from(told.why == "Digest");
            // What is told to somebody else, or known to somebody, was decided before.
            let before = told.escalated || told.why == "Acknowledged";
            let firing = told.text.split(',').filter_map(|state| state.strip_suffix("=firing"));
            for alert in firing.filter(|_| !before) {
                let Some(fault) = self.faults.iter().find(|fault| fault.alert == alert) else {
                    continue;
                };
                if self.is_silenced(fault)
                    || self.is_inhibited(fault)
                    || self.is_outside_hours(fault)
                {
                    self.leaks.push(format!("{key} tells of {alert}, which is held back"));
                }
            }
        }
        if busy && self.dies(12) {
            return;
        }
        if self.bug == Some(Bug::SendsBeforeSaving) {
            if let Some(process) = &mut self.process {
                process.saved(wall);
            }
            if self.send() || (busy && self.dies(8)) {
                return;
            }
        }
        self.unsaved.merge(change);
        if !self.unsaved.is_empty() {
            let all = self.unsaved.clone();
            if busy && self.crashes_left > 0 && self.now < TROUBLE_ENDS && self.luck.once_in(12) {
                let kept = self.luck.once_in(2);
                self.disk.tear(all, kept);
                self.accidents.crashes_while_saving += 1;
                self.crash();
                return;
            }
            if self.disk.save(all).is_ok() {
                self.unsaved = Change::default();
            }
        }
        if let Some(process) = &mut self.process {
            process.saved(wall);
        }
        self.send();
    }

    /// Sends what may be sent; whether the process died.
    fn send(&mut self) -> bool {
        let wall = self.wall();
        let Some(process) = &mut self.process else { return true };
        for delivery in process.send(wall) {
            if self.dies(20) {
                return true;
            }
            let key = delivery.key.clone();
            let Delivery { to, message, .. } = delivery.clone();
            let (at, answer) = self.network.carry(self.now, delivery, &mut self.luck);
            self.say(|| {
                let (subject, text) = (message.subject, message.text);
                format!("send {key} {to:?} {subject} {text} -> {answer:?} at {at}")
            });
            self.answers.insert((at, self.next_answer), (key, answer));
            self.next_answer += 1;
        }
        false
    }

    fn answer(&mut self) {
        while let Some((&(at, number), _)) = self.answers.first_key_value()
            && at <= self.now
        {
            let Some((key, answer)) = self.answers.remove(&(at, number)) else { return };
            if self.bug == Some(Bug::DropsRetries)
                && matches!(answer, Err(DeliveryError::Retry { .. }))
            {
                continue;
            }
            if self.dies(40) {
                return;
            }
            let wall = self.wall();
            if let Some(process) = &mut self.process {
                process.answered(&key, answer, wall);
            }
            self.turn();
        }
    }
}
