//! The outbox: every message to every address is a ticket that exists durably before anything
//! is sent, and ends durably afterwards. Pure: it is told the time and every answer, and says
//! what to save and what to send next.

mod delivery;
mod gate;
mod order;
mod patience;
mod status;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use self::gate::Gate;
use self::order::Order;
use super::render::{Render, Wording};
use crate::alerting::{Decision, Directory, Notice, Owner, Why};
use crate::model::{Fingerprint, NonEmpty, Timestamp};
use crate::ports::{Address, Change, Channel, Heard, Remembered, Settled, Settlement, Ticket};

pub use crate::ports::DeadLetter;
pub use patience::Patience;
pub use status::{Counts, OpenTicket};

/// Tickets on their way, by serial.
type Tickets = BTreeMap<u64, Open>;
/// A message of an incident, to all who are told.
type Story = (String, u32);

/// Tickets that are not settled, and who has been told of what.
#[derive(Debug)]
pub struct Outbox {
    patience: Patience,
    installation: String,
    next_serial: u64,
    open: Tickets,
    by_key: HashMap<String, u64>,
    order: Order,
    waiting: BTreeMap<Channel, BTreeSet<(Timestamp, u64)>>,
    in_flight: BTreeMap<Channel, usize>,
    /// Channels that do not work now.
    gates: BTreeMap<Channel, Gate>,
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
    /// Of an owner who is told by the first way that works: the last one that was tried.
    tried: usize,
    deadline: Timestamp,
    /// What the fallback owner may have to be told in the owner's place, in words of their own; not
    /// known of what an earlier process decided on.
    notice: Option<Arc<Notice>>,
}

impl Progress {
    fn until(deadline: Timestamp) -> Self {
        let (open, reached, escalated, tried) = (0, false, false, 0);
        Self { open, reached, escalated, tried, deadline, notice: None }
    }
}

/// Who has been told of an incident.
#[derive(Debug, Default)]
struct Audience {
    heard: BTreeSet<Heard>,
    /// Tickets on their way, by serial.
    open: BTreeSet<u64>,
    /// It is over, and its end has been put into tickets.
    over: bool,
    /// The alerts that somebody was told of as firing, by this process.
    known: BTreeSet<Fingerprint>,
    /// The latest of its messages that reached its owner, by this process.
    reached: u32,
    /// The latest of its messages that went by a next way, or to the fallback owner.
    in_place: u32,
    /// An earlier process has told of it; of which alerts is not known any more.
    older: bool,
}

/// Dead letters that are kept to be looked at.
const DEAD_LETTERS: usize = 100;

impl Outbox {
    /// Goes on where an earlier process ended: every ticket without an end is delivered (again)
    /// with its own key.
    pub fn restore(patience: Patience, remembered: Remembered, now: Timestamp) -> Self {
        let Remembered { installation, incidents, tickets, heard, dead, reached, .. } = remembered;
        let mut outbox = Self {
            patience,
            installation,
            next_serial: 0,
            open: BTreeMap::new(),
            by_key: HashMap::new(),
            order: Order::default(),
            waiting: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            gates: BTreeMap::new(),
            stories: BTreeMap::new(),
            next_deadline: Timestamp::MAX,
            incidents: HashMap::new(),
            change: Change::default(),
            dead: dead.into(),
            counts: Counts::default(),
        };
        for heard in heard {
            let audience = outbox.incidents.entry(heard.incident.clone()).or_default();
            audience.older = true;
            audience.heard.insert(heard);
        }
        for ticket in tickets {
            outbox.next_serial = outbox.next_serial.max(ticket.serial + 1);
            outbox.enter(ticket, Stage::Waiting(now), true, now);
        }
        for incident in incidents.iter().filter(|incident| incident.acknowledged.is_some()) {
            outbox.somebody_knows(&incident.id);
        }
        let goes_on: BTreeSet<String> = incidents.into_iter().map(|incident| incident.id).collect();
        for (incident, audience) in &mut outbox.incidents {
            audience.over = !goes_on.contains(incident);
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
            Why::Acknowledged => {
                let mut others = self.who_hears_the_end(&notice.incident);
                others.retain(|(_, to)| Some(to) != decision.seen_at.as_ref());
                others
            }
            _ => match owner_or_fallback(directory, &notice.receiver) {
                Some(owner) => {
                    // The others only when the one before cannot be reached.
                    let most = if directory.tells_first(&owner.name) { 1 } else { usize::MAX };
                    let ways = owner.addresses.iter().take(most);
                    let places = ways.flat_map(|to| render.places(notice, owner, to));
                    places.map(|to| (owner.name.clone(), to)).collect()
                }
                None => BTreeSet::new(),
            },
        };
        if recipients.is_empty() && !matches!(notice.why, Why::AllResolved | Why::Acknowledged) {
            self.counts.nobody += 1;
        }
        let mut rendered = BTreeMap::new();
        for (name, to) in recipients {
            let owner = match directory.owner(&name) {
                Some(owner) => owner.clone(),
                None => stranger(directory, &name, &to),
            };
            let message = match render.for_address(notice, &owner, &to) {
                Wording::Usual => rendered
                    .entry(name.clone())
                    .or_insert_with(|| Arc::new(render.notice(notice, &owner)))
                    .clone(),
                Wording::Own(message) => Arc::from(message),
                Wording::Nothing => continue,
            };
            self.counts.makeshift += u64::from(message.is_makeshift);
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
        self.keep_for_fallback(decision, directory);
        // Whoever does not hear that somebody knows need not be stood in for.
        if notice.why == Why::Acknowledged
            && let Some(progress) =
                self.stories.get_mut(&(notice.incident.clone(), decision.number))
        {
            progress.reached = true;
        }
    }

    fn keep_for_fallback(&mut self, decision: &Decision, directory: &Directory) {
        let story = (decision.notice.incident.clone(), decision.number);
        let others =
            directory.fallback.as_ref().is_some_and(|name| *name != decision.notice.receiver);
        if let Some(progress) = self.stories.get_mut(&story).filter(|_| others) {
            progress.notice = Some(Arc::new(decision.notice.clone()));
        }
    }

    fn who_hears_the_end(&self, incident: &str) -> BTreeSet<(Arc<str>, Address)> {
        let Some(audience) = self.incidents.get(incident) else { return BTreeSet::new() };
        let heard = audience.heard.iter().map(|heard| (heard.owner.clone(), heard.to.clone()));
        let about_to = audience.open.iter().filter_map(|serial| self.open.get(serial));
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
        let serial = ticket.serial;
        self.enter(ticket, Stage::Unsaved, false, now);
        self.supersede(serial, now);
    }

    fn enter(&mut self, ticket: Ticket, stage: Stage, perhaps: bool, now: Timestamp) {
        let serial = ticket.serial;
        self.order.enter(&ticket);
        self.by_key.insert(ticket.key.clone(), serial);
        let deadline = ticket.created.max(now) + self.patience.escalate_after;
        self.next_deadline = self.next_deadline.min(deadline);
        let audience = self.incidents.entry(ticket.incident.clone()).or_default();
        audience.open.insert(serial);
        if ticket.escalated {
            audience.in_place = audience.in_place.max(ticket.number);
        }
        let progress = self
            .stories
            .entry((ticket.incident.clone(), ticket.number))
            .or_insert_with(|| Progress::until(deadline));
        progress.open += 1;
        progress.escalated |= ticket.escalated;
        let open = Open { ticket, stage, attempts: 0, perhaps, trouble: String::new() };
        self.open.insert(serial, open);
        self.queue(serial);
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
    /// `serial`: one of the messages of the incident to the address.
    fn supersede(&mut self, serial: u64, now: Timestamp) {
        let Some(open) = self.open.get(&serial) else { return };
        let serials = self.order.of_incident(&open.ticket, &self.open);
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
        for next in self.order.leave(&ticket) {
            self.queue(next);
        }
        if let Some(audience) = self.incidents.get_mut(&ticket.incident) {
            audience.open.remove(&serial);
            if how == Settlement::Delivered {
                if !ticket.escalated {
                    audience.reached = audience.reached.max(ticket.number);
                }
                for (alert, firing) in &ticket.covers {
                    match firing {
                        true => audience.known.insert(*alert),
                        false => audience.known.remove(alert),
                    };
                }
            }
            if heard {
                let (incident, owner, to) =
                    (ticket.incident.clone(), ticket.owner.clone(), ticket.to.clone());
                audience.heard.insert(Heard { incident, owner, to });
            }
            if audience.over && audience.open.is_empty() {
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
            if audience.open.is_empty() {
                self.incidents.remove(incident);
            }
        }
    }

    /// Somebody knows of an incident: nobody else needs to be told in their place.
    pub fn somebody_knows(&mut self, incident: &str) {
        // Of an alert that nobody was told of yet nobody knows; but who knows of an incident without
        // any message has seen it where all of it stands.
        let mut unknown = BTreeSet::new();
        if let Some(audience) = self.incidents.get(incident)
            && !audience.older
            && !audience.known.is_empty()
        {
            let open = audience.open.iter().filter_map(|serial| self.open.get(serial));
            let news = |open: &&Open| {
                let mut alerts = open.ticket.covers.iter();
                alerts.any(|(alert, firing)| *firing && !audience.known.contains(alert))
            };
            unknown.extend(open.filter(news).map(|open| open.ticket.number));
        }
        for ((of, number), progress) in &mut self.stories {
            progress.reached |= of == incident && !unknown.contains(number);
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
            self.hurry_ahead_of(serial);
        }
    }

    /// When it wants to be asked again, if at all. An answer may come earlier.
    pub fn next_due(&self) -> Option<Timestamp> {
        let waiting = self.waiting.iter().filter_map(|(channel, queue)| {
            let (until, _) = queue.first()?;
            self.opens(*channel).map(|opens| opens.max(*until))
        });
        let deadline = Some(self.next_deadline).filter(|at| *at < Timestamp::MAX);
        waiting.chain(deadline).min()
    }

    /// The channels were changed, perhaps repaired: what waits is tried at once.
    pub fn hurry(&mut self, now: Timestamp) {
        self.gates.clear();
        for open in self.open.values_mut() {
            if let Stage::Waiting(until) = open.stage {
                open.stage = Stage::Waiting(until.min(now));
            }
        }
        for queue in self.waiting.values_mut() {
            *queue = queue.iter().map(|(until, serial)| ((*until).min(now), *serial)).collect();
        }
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
        for gate in self.gates.values_mut() {
            gate.until = moved(gate.until);
        }
        for progress in self.stories.values_mut() {
            progress.deadline = moved(progress.deadline);
        }
        self.next_deadline = moved(self.next_deadline);
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

fn covers(notice: &Notice) -> Vec<(Fingerprint, bool)> {
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
#[path = "tests.rs"]
mod tests;
