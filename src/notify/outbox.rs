//! The outbox: every message to every address is a ticket that exists durably before anything
//! is sent, and ends durably afterwards. Pure: it is told the time and every answer, and says
//! what to save and what to send next.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::render::{Render, Unreached};
use crate::alerting::{Decision, Directory, Notice, Owner, Why};
use crate::model::{NonEmpty, Timestamp};
use crate::ports::{
    Address, Change, Channel, Delivery, DeliveryError, Heard, Receipt, Remembered, Settled,
    Settlement, Ticket,
};

/// How patiently messages are delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Deliveries at the same time through one channel.
    pub concurrency: usize,
    /// Wait after the first failure; doubled after each further one.
    pub retry_first: Duration,
    /// The longest wait between two tries.
    pub retry_longest: Duration,
    /// An owner whom none of their addresses reached for so long is unreachable: the fallback
    /// owner is told.
    pub escalate_after: Duration,
    /// A message that could not be delivered for so long is a dead letter.
    pub give_up_after: Duration,
}

impl Default for Patience {
    /// 4 at a time; 2 s to 5 min between tries; the fallback owner after 2 min; 72 h.
    fn default() -> Self {
        Self {
            concurrency: 4,
            retry_first: Duration::from_secs(2),
            retry_longest: Duration::from_secs(300),
            escalate_after: Duration::from_secs(120),
            give_up_after: Duration::from_secs(72 * 3600),
        }
    }
}

/// Messages of one incident to one address go one after the other.
type Lane = (String, Address);
/// A message of an incident, to all who are told.
type Story = (String, u32);

/// Tickets that are not settled, and who has been told of what.
#[derive(Debug)]
pub struct Outbox {
    patience: Patience,
    installation: String,
    next_serial: u64,
    open: BTreeMap<u64, Open>,
    by_key: HashMap<String, u64>,
    lanes: HashMap<Lane, VecDeque<u64>>,
    waiting: BTreeMap<Channel, BTreeSet<(Timestamp, u64)>>,
    in_flight: BTreeMap<Channel, usize>,
    stories: BTreeMap<Story, Progress>,
    /// No story's deadline is earlier.
    next_deadline: Timestamp,
    incidents: HashMap<String, Audience>,
    change: Change,
    dead: VecDeque<DeadLetter>,
    counts: Counts,
}

/// A ticket on its way.
#[derive(Debug)]
struct Open {
    ticket: Ticket,
    stage: Stage,
    attempts: u32,
    /// It may have arrived: an answer was lost, or the process ended before it was noted.
    perhaps: bool,
    trouble: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its intent is not durable yet.
    Unsaved,
    /// May be sent from then on.
    Waiting(Timestamp),
    /// An answer is awaited.
    InFlight,
}

/// How far a message got on its ways to one owner.
#[derive(Debug)]
struct Progress {
    open: usize,
    reached: bool,
    escalated: bool,
    deadline: Timestamp,
}

/// Who has been told of an incident.
#[derive(Debug, Default)]
struct Audience {
    heard: BTreeSet<Heard>,
    /// Tickets on their way.
    open: usize,
    /// It is over, and its end has been put into tickets.
    over: bool,
}

/// A message that did not and will not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Owner it was for.
    pub owner: Arc<str>,
    /// By which channel.
    pub channel: Channel,
    /// Its subject.
    pub subject: String,
    /// Why.
    pub reason: String,
    /// When it was given up.
    pub at: Timestamp,
}

/// A message on its way, for the pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTicket {
    /// Owner it is for.
    pub owner: Arc<str>,
    /// By which channel.
    pub channel: Channel,
    /// Its subject.
    pub subject: String,
    /// When it was decided to tell.
    pub created: Timestamp,
    /// Tries so far.
    pub attempts: u32,
    /// When it is tried next; none while an answer is awaited.
    pub next_try: Option<Timestamp>,
    /// What went wrong last; empty when nothing did.
    pub trouble: String,
}

/// What happened since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ends of tickets by channel and way.
    pub settled: BTreeMap<(Channel, Settlement), u64>,
    /// Failed tries by channel.
    pub retries: BTreeMap<Channel, u64>,
    /// Messages that went to the fallback owner.
    pub escalated: u64,
    /// Messages for whom nobody could be found.
    pub nobody: u64,
}

/// Dead letters that are kept to be looked at.
const DEAD_LETTERS: usize = 100;

impl Outbox {
    /// Goes on where an earlier process ended: every ticket without an end is delivered (again)
    /// with its own key.
    pub fn restore(patience: Patience, remembered: Remembered, now: Timestamp) -> Self {
        let Remembered { installation, tickets, heard, reached, .. } = remembered;
        let mut outbox = Self {
            patience,
            installation,
            next_serial: 0,
            open: BTreeMap::new(),
            by_key: HashMap::new(),
            lanes: HashMap::new(),
            waiting: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            stories: BTreeMap::new(),
            next_deadline: Timestamp::MAX,
            incidents: HashMap::new(),
            change: Change::default(),
            dead: VecDeque::new(),
            counts: Counts::default(),
        };
        for heard in heard {
            outbox.incidents.entry(heard.incident.clone()).or_default().heard.insert(heard);
        }
        for ticket in tickets {
            outbox.next_serial = outbox.next_serial.max(ticket.serial + 1);
            outbox.enter(ticket, Stage::Waiting(now), true, now);
        }
        for story in reached {
            if let Some(progress) = outbox.stories.get_mut(&story) {
                progress.reached = true;
            }
        }
        outbox
    }

    /// Makes tickets of a decision: one for each address of its owner. The end of an incident
    /// goes to everybody who heard, or is about to hear, that it began.
    pub fn tell(
        &mut self,
        decision: &Decision,
        directory: &Directory,
        render: &dyn Render,
        now: Timestamp,
    ) {
        let notice = &decision.notice;
        let recipients = match notice.why {
            Why::AllResolved => self.who_hears_the_end(&notice.incident),
            _ => match owner_or_fallback(directory, &notice.receiver) {
                Some(owner) => {
                    let pair = |to: &Address| (owner.name.clone(), to.clone());
                    owner.addresses.iter().map(pair).collect()
                }
                None => BTreeSet::new(),
            },
        };
        if recipients.is_empty() && notice.why != Why::AllResolved {
            self.counts.nobody += 1;
        }
        let mut rendered = BTreeMap::new();
        for (name, to) in recipients {
            let owner = match directory.owner(&name) {
                Some(owner) => owner.clone(),
                None => stranger(directory, &name, &to),
            };
            let message = rendered
                .entry(name.clone())
                .or_insert_with(|| render.notice(notice, &owner))
                .clone();
            let ticket = Ticket {
                key: self.key(&notice.incident, decision.number, &to),
                serial: self.next_serial,
                incident: notice.incident.clone(),
                number: decision.number,
                owner: name,
                to,
                message,
                covers: covers(notice),
                created: now,
                escalated: false,
            };
            self.issue(ticket, now);
        }
    }

    fn who_hears_the_end(&self, incident: &str) -> BTreeSet<(Arc<str>, Address)> {
        let heard = self.incidents.get(incident).into_iter().flat_map(|known| &known.heard);
        let heard = heard.map(|heard| (heard.owner.clone(), heard.to.clone()));
        let about_to = self.open.values().filter(|open| open.ticket.incident == incident);
        let about_to = about_to.map(|open| (open.ticket.owner.clone(), open.ticket.to.clone()));
        heard.chain(about_to).collect()
    }

    fn key(&self, incident: &str, number: u32, to: &Address) -> String {
        let (kind, name) = match to {
            Address::Email(name) => ("e", name),
            Address::Matrix(name) => ("m", name),
            Address::Webhook(name) => ("w", name),
        };
        let place = xxh3_64(name.as_bytes()) >> 16;
        format!("{}-{incident}-{number}-{kind}{place:012x}", self.installation)
    }

    /// Enters a new ticket, unless there is one with its key.
    fn issue(&mut self, ticket: Ticket, now: Timestamp) {
        if self.by_key.contains_key(&ticket.key) {
            return;
        }
        self.next_serial = self.next_serial.max(ticket.serial + 1);
        self.change.tickets.push(ticket.clone());
        let lane = (ticket.incident.clone(), ticket.to.clone());
        self.enter(ticket, Stage::Unsaved, false, now);
        self.supersede(&lane, now);
    }

    fn enter(&mut self, ticket: Ticket, stage: Stage, perhaps: bool, now: Timestamp) {
        let serial = ticket.serial;
        let lane = (ticket.incident.clone(), ticket.to.clone());
        self.lanes.entry(lane).or_default().push_back(serial);
        self.by_key.insert(ticket.key.clone(), serial);
        let deadline = ticket.created.max(now) + self.patience.escalate_after;
        self.next_deadline = self.next_deadline.min(deadline);
        self.incidents.entry(ticket.incident.clone()).or_default().open += 1;
        let progress = self
            .stories
            .entry((ticket.incident.clone(), ticket.number))
            .or_insert(Progress { open: 0, reached: false, escalated: false, deadline });
        progress.open += 1;
        progress.escalated |= ticket.escalated;
        let open = Open { ticket, stage, attempts: 0, perhaps, trouble: String::new() };
        self.open.insert(serial, open);
        self.queue(serial);
    }

    /// Lets a ticket wait for its turn when it is the first of its lane.
    fn queue(&mut self, serial: u64) {
        let Some(open) = self.open.get(&serial) else { return };
        let Stage::Waiting(until) = open.stage else { return };
        let lane = (open.ticket.incident.clone(), open.ticket.to.clone());
        if self.lanes.get(&lane).and_then(|lane| lane.front()) == Some(&serial) {
            let channel = open.ticket.to.channel();
            self.waiting.entry(channel).or_default().insert((until, serial));
        }
    }

    fn unqueue(&mut self, serial: u64) {
        let Some(open) = self.open.get(&serial) else { return };
        if let Stage::Waiting(until) = open.stage
            && let Some(queue) = self.waiting.get_mut(&open.ticket.to.channel())
        {
            queue.remove(&(until, serial));
        }
    }

    /// A message that surely did not arrive, all of whose news a later one to the same address
    /// tells too, is not sent: one "was down from 10:02 to 10:15" instead of two mails.
    fn supersede(&mut self, lane: &Lane, now: Timestamp) {
        let Some(serials) = self.lanes.get(lane) else { return };
        let serials: Vec<u64> = serials.iter().copied().collect();
        for (at, serial) in serials.iter().enumerate() {
            let Some(old) = self.open.get(serial) else { continue };
            if old.perhaps || old.stage == Stage::InFlight {
                continue;
            }
            let later = serials[at + 1..].iter().filter_map(|later| self.open.get(later));
            let mut later = later.filter(|newer| tells_all(&newer.ticket, &old.ticket));
            let Some(newer) = later.next_back() else { continue };
            let (old_story, new_story) = (story(&old.ticket), story(&newer.ticket));
            let deadline = self.stories.get(&old_story).map(|progress| progress.deadline);
            if let (Some(progress), Some(deadline)) = (self.stories.get_mut(&new_story), deadline) {
                progress.deadline = progress.deadline.min(deadline);
            }
            let evidence = "a later message tells its news".to_owned();
            self.settle(*serial, Settlement::Superseded, evidence, now);
        }
    }

    /// Ends a ticket.
    fn settle(&mut self, serial: u64, how: Settlement, evidence: String, now: Timestamp) {
        self.unqueue(serial);
        let Some(Open { ticket, perhaps, .. }) = self.open.remove(&serial) else { return };
        self.by_key.remove(&ticket.key);
        *self.counts.settled.entry((ticket.to.channel(), how)).or_default() += 1;
        if matches!(how, Settlement::Rejected | Settlement::GivenUp) {
            self.bury(&ticket, &evidence, now);
        }
        let arrived = how == Settlement::Delivered || perhaps;
        let heard = arrived && tells_of_a_beginning(&ticket);
        self.leave_lane(serial, &ticket);
        if let Some(audience) = self.incidents.get_mut(&ticket.incident) {
            audience.open -= 1;
            if heard {
                let Ticket { incident, owner, to, .. } = ticket.clone();
                audience.heard.insert(Heard { incident, owner, to });
            }
            if audience.over && audience.open == 0 {
                self.incidents.remove(&ticket.incident);
            }
        }
        let story = story(&ticket);
        if let Some(progress) = self.stories.get_mut(&story) {
            progress.open -= 1;
            progress.reached |= how == Settlement::Delivered;
            if progress.open == 0 {
                self.stories.remove(&story);
            }
        }
        self.change.settled.push(Settled { key: ticket.key, at: now, how, heard, evidence });
    }

    fn leave_lane(&mut self, serial: u64, ticket: &Ticket) {
        let lane = (ticket.incident.clone(), ticket.to.clone());
        let Some(queue) = self.lanes.get_mut(&lane) else { return };
        queue.retain(|other| *other != serial);
        match queue.front().copied() {
            Some(next) => self.queue(next),
            None => {
                self.lanes.remove(&lane);
            }
        }
    }

    fn bury(&mut self, ticket: &Ticket, reason: &str, now: Timestamp) {
        if self.dead.len() == DEAD_LETTERS {
            self.dead.pop_front();
        }
        self.dead.push_back(DeadLetter {
            owner: ticket.owner.clone(),
            channel: ticket.to.channel(),
            subject: ticket.message.subject.clone(),
            reason: reason.to_owned(),
            at: now,
        });
    }

    /// An incident is over: whoever had to hear so is in [`Outbox::tell`]'s tickets.
    pub fn incident_is_over(&mut self, incident: &str) {
        if let Some(audience) = self.incidents.get_mut(incident) {
            audience.over = true;
            if audience.open == 0 {
                self.incidents.remove(incident);
            }
        }
    }

    /// What has to be saved before [`Outbox::send`] is asked.
    pub fn take_change(&mut self) -> Change {
        std::mem::take(&mut self.change)
    }

    /// The change that was taken is durable, or goes on from memory because the disk refuses:
    /// its tickets may be sent.
    pub fn saved(&mut self, now: Timestamp) {
        let unsaved: Vec<u64> = self
            .open
            .iter()
            .rev()
            .take_while(|(_, open)| open.stage == Stage::Unsaved)
            .map(|(&serial, _)| serial)
            .collect();
        for serial in unsaved {
            if let Some(open) = self.open.get_mut(&serial) {
                open.stage = Stage::Waiting(now);
            }
            self.queue(serial);
        }
    }

    /// What to send now.
    pub fn send(&mut self, now: Timestamp) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        let channels: Vec<Channel> = self.waiting.keys().copied().collect();
        for channel in channels {
            while self.in_flight.get(&channel).copied().unwrap_or(0) < self.patience.concurrency {
                let Some(queue) = self.waiting.get_mut(&channel) else { break };
                let Some(&(until, serial)) = queue.first() else { break };
                if now < until {
                    break;
                }
                queue.pop_first();
                let Some(open) = self.open.get_mut(&serial) else { continue };
                open.stage = Stage::InFlight;
                open.attempts = open.attempts.saturating_add(1);
                *self.in_flight.entry(channel).or_default() += 1;
                let Ticket { key, to, message, .. } = open.ticket.clone();
                deliveries.push(Delivery { key, to, message });
            }
        }
        deliveries
    }

    /// Takes in the answer to a delivery.
    pub fn answered(
        &mut self,
        key: &str,
        answer: Result<Receipt, DeliveryError>,
        directory: &Directory,
        render: &dyn Render,
        now: Timestamp,
    ) {
        let Some(&serial) = self.by_key.get(key) else { return };
        let Some(open) = self.open.get_mut(&serial) else { return };
        if open.stage != Stage::InFlight {
            return;
        }
        let channel = open.ticket.to.channel();
        if let Some(flying) = self.in_flight.get_mut(&channel) {
            *flying = flying.saturating_sub(1);
        }
        let (reason, after) = match answer {
            Ok(Receipt(evidence)) => {
                let (story, by_owner) = (story(&open.ticket), !open.ticket.escalated);
                self.settle(serial, Settlement::Delivered, evidence, now);
                if by_owner && self.stories.get(&story).is_some_and(|p| p.escalated) {
                    self.withdraw(&story, now);
                }
                return;
            }
            Err(DeliveryError::Rejected { reason }) => {
                self.fail(serial, Settlement::Rejected, reason, directory, render, now);
                return;
            }
            Err(DeliveryError::Retry { reason, after }) => (reason, after),
            Err(DeliveryError::Unsure { reason }) => {
                open.perhaps = true;
                (reason, None)
            }
        };
        *self.counts.retries.entry(channel).or_default() += 1;
        open.trouble.clone_from(&reason);
        let wait =
            self.patience.wait(&open.ticket.key, open.attempts).max(after.unwrap_or_default());
        let waited = now.since(open.ticket.created).unwrap_or_default();
        open.stage = Stage::Waiting(now + wait);
        let lane = (open.ticket.incident.clone(), open.ticket.to.clone());
        if self.patience.give_up_after <= waited {
            self.fail(serial, Settlement::GivenUp, reason, directory, render, now);
            return;
        }
        self.queue(serial);
        self.supersede(&lane, now);
    }

    /// The owner was reached after all: the fallback owner need not be bothered any more.
    fn withdraw(&mut self, late: &Story, now: Timestamp) {
        let unsent =
            |open: &Open| open.ticket.escalated && !open.perhaps && open.stage != Stage::InFlight;
        let needless = self.open.iter().filter(|(_, open)| unsent(open));
        let needless = needless.filter(|(_, open)| story(&open.ticket) == *late);
        let needless: Vec<u64> = needless.map(|(&serial, _)| serial).collect();
        for serial in needless {
            let evidence = "the owner was reached meanwhile".to_owned();
            self.settle(serial, Settlement::Superseded, evidence, now);
        }
    }

    /// Ends a ticket that did not arrive; tells the fallback owner when it was the last way.
    fn fail(
        &mut self,
        serial: u64,
        how: Settlement,
        reason: String,
        directory: &Directory,
        render: &dyn Render,
        now: Timestamp,
    ) {
        let Some(open) = self.open.get(&serial) else { return };
        let ticket = open.ticket.clone();
        let last = self
            .stories
            .get(&story(&ticket))
            .is_some_and(|progress| progress.open == 1 && !progress.reached && !progress.escalated);
        if last {
            self.escalate(&ticket, &reason, directory, render, now);
        }
        self.settle(serial, how, reason, now);
    }

    /// Tells the fallback owner what could not be told to `ticket`'s owner.
    fn escalate(
        &mut self,
        ticket: &Ticket,
        reason: &str,
        directory: &Directory,
        render: &dyn Render,
        now: Timestamp,
    ) {
        if let Some(progress) = self.stories.get_mut(&story(ticket)) {
            progress.escalated = true;
        }
        let over = self.incidents.get(&ticket.incident).is_some_and(|audience| audience.over);
        let fallback = directory.fallback.as_deref().and_then(|name| directory.owner(name));
        let Some(fallback) = fallback.filter(|owner| owner.name != ticket.owner) else { return };
        if over || !tells_of_a_beginning(ticket) {
            return;
        }
        let unreached = Unreached {
            owner: ticket.owner.clone(),
            channel: ticket.to.channel(),
            reason: reason.to_owned(),
        };
        self.counts.escalated += 1;
        for to in fallback.addresses.iter() {
            let escalated = Ticket {
                key: self.key(&ticket.incident, ticket.number, to),
                serial: self.next_serial,
                owner: fallback.name.clone(),
                to: to.clone(),
                message: render.escalated(ticket.message.clone(), &unreached, fallback),
                created: now,
                escalated: true,
                ..ticket.clone()
            };
            self.issue(escalated, now);
        }
    }

    /// Looks for owners whom nothing has reached for too long. Cheap when nothing is late.
    pub fn look_at_deadlines(
        &mut self,
        directory: &Directory,
        render: &dyn Render,
        now: Timestamp,
    ) {
        if now < self.next_deadline {
            return;
        }
        let unreached = |progress: &Progress| !progress.reached && !progress.escalated;
        let late: BTreeSet<Story> = self
            .stories
            .iter()
            .filter(|(_, progress)| unreached(progress) && progress.deadline <= now)
            .map(|(story, _)| story.clone())
            .collect();
        let mut tickets: BTreeMap<Story, (Ticket, String)> = BTreeMap::new();
        for open in self.open.values().filter(|open| late.contains(&story(&open.ticket))) {
            let trouble = (open.ticket.clone(), open.trouble.clone());
            tickets.entry(story(&open.ticket)).or_insert(trouble);
        }
        for (ticket, trouble) in tickets.into_values() {
            self.escalate(&ticket, &trouble, directory, render, now);
        }
        let left = self.stories.values().filter(|progress| unreached(progress));
        self.next_deadline = left.map(|progress| progress.deadline).min().unwrap_or(Timestamp::MAX);
    }

    /// When it wants to be asked again, if at all. An answer may come earlier.
    pub fn next_due(&self) -> Option<Timestamp> {
        let free = |channel: &Channel| {
            self.in_flight.get(channel).copied().unwrap_or(0) < self.patience.concurrency
        };
        let waiting = self.waiting.iter().filter(|(channel, _)| free(channel));
        let waiting = waiting.filter_map(|(_, queue)| queue.first()).map(|(until, _)| *until);
        let deadline = Some(self.next_deadline).filter(|at| *at < Timestamp::MAX);
        waiting.chain(deadline).min()
    }

    /// The wall clock was set by so many milliseconds; what waits goes on waiting as long as it
    /// would have.
    pub fn clock_moved(&mut self, millis: i64) {
        let moved = |at: Timestamp| Timestamp::from_millis(at.millis().saturating_add(millis));
        for open in self.open.values_mut() {
            open.ticket.created = moved(open.ticket.created);
            if let Stage::Waiting(until) = open.stage {
                open.stage = Stage::Waiting(moved(until));
            }
        }
        for queue in self.waiting.values_mut() {
            *queue = queue.iter().map(|(until, serial)| (moved(*until), *serial)).collect();
        }
        for progress in self.stories.values_mut() {
            progress.deadline = moved(progress.deadline);
        }
        self.next_deadline = moved(self.next_deadline);
    }

    /// Messages on their way, oldest first.
    pub fn open_tickets(&self) -> impl Iterator<Item = OpenTicket> {
        self.open.values().map(|open| OpenTicket {
            owner: open.ticket.owner.clone(),
            channel: open.ticket.to.channel(),
            subject: open.ticket.message.subject.clone(),
            created: open.ticket.created,
            attempts: open.attempts,
            next_try: match open.stage {
                Stage::Unsaved | Stage::InFlight => None,
                Stage::Waiting(until) => Some(until),
            },
            trouble: open.trouble.clone(),
        })
    }

    /// Messages on their way, counted.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// When the oldest message on its way was decided on.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.open.values().next().map(|open| open.ticket.created)
    }

    /// The last messages that did not arrive and will not.
    pub fn dead_letters(&self) -> impl Iterator<Item = &DeadLetter> {
        self.dead.iter()
    }

    /// What happened since the start.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }
}

impl Patience {
    /// The wait before the next try, a fifth more or less so that tries do not march in step;
    /// the same for the same ticket and try.
    fn wait(&self, key: &str, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(16);
        let wait = self.retry_first.saturating_mul(1 << doublings).min(self.retry_longest);
        let luck = xxh3_64(format!("{key} {attempts}").as_bytes()) % 401;
        wait * u32::try_from(800 + luck).unwrap_or(1000) / 1000
    }
}

fn story(ticket: &Ticket) -> Story {
    (ticket.incident.clone(), ticket.number)
}

fn tells_of_a_beginning(ticket: &Ticket) -> bool {
    ticket.covers.iter().any(|(_, firing)| *firing)
}

/// Whether `newer` tells of every alert that `old` tells of.
fn tells_all(newer: &Ticket, old: &Ticket) -> bool {
    let alerts: BTreeSet<_> = newer.covers.iter().map(|(alert, _)| alert).collect();
    old.covers.iter().all(|(alert, _)| alerts.contains(alert))
}

fn covers(notice: &Notice) -> Vec<(crate::model::Fingerprint, bool)> {
    notice.alerts.iter().map(|a| (a.labels.fingerprint(), a.is_firing())).collect()
}

fn owner_or_fallback<'a>(directory: &'a Directory, name: &str) -> Option<&'a Owner> {
    let fallback = || directory.fallback.as_deref().and_then(|name| directory.owner(name));
    directory.owner(name).or_else(fallback).or_else(|| directory.owners.first())
}

/// Somebody who was told and has left the configuration since.
fn stranger(directory: &Directory, name: &Arc<str>, to: &Address) -> Owner {
    let like = directory.owners.first();
    Owner {
        name: name.clone(),
        addresses: NonEmpty::of(to.clone()),
        language: like.map_or_else(|| "en".into(), |owner| owner.language.clone()),
        timezone: like.map_or_else(|| "UTC".into(), |owner| owner.timezone.clone()),
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
