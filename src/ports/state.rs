use std::collections::HashSet;
use std::sync::Arc;

use super::{Address, Channel, Doing, Entry, Lookup, Message};
use crate::model::{Acknowledgement, Alert, Fingerprint, Labels, Secret, Silence, Timestamp};

/// Something that was told as begun and not as over yet: what the Desk must not forget.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// Names it, everywhere and for ever; `[a-z0-9]` only.
    pub id: String,
    /// Key of the route it was told by.
    pub route: Arc<str>,
    /// The labels its alerts share by being grouped by them.
    pub group: Labels,
    /// Owner (or receiver) it was told to.
    pub receiver: Arc<str>,
    /// When it was told first.
    pub opened: Timestamp,
    /// When it was told last.
    pub told: Timestamp,
    /// How many times it was told.
    pub messages: u32,
    /// The alerts that were told as firing and not as over yet.
    pub alerts: Vec<Alert>,
    /// Somebody knows of it; `None` again when it gets worse.
    pub acknowledged: Option<Acknowledgement>,
    /// Somebody knew by then of everything that fired, before it got worse.
    pub reacted: Option<Timestamp>,
    /// It tells together what several groups had to hold back while their route was closed.
    pub digest: bool,
}

/// The intent to bring one message to one address. It exists before anything is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Ticket {
    /// The delivery's idempotency key.
    pub key: String,
    /// Order of creation; tickets of one incident and address are delivered in this order.
    pub serial: u64,
    /// The incident it tells of.
    pub incident: String,
    /// Which of the incident's messages it carries, from 1.
    pub number: u32,
    /// Owner who is told.
    pub owner: Arc<str>,
    /// Where.
    pub to: Address,
    /// What, complete; shared, since messages about many alerts are large.
    pub message: Arc<Message>,
    /// The alerts it tells of, and whether as firing.
    pub covers: Vec<(Fingerprint, bool)>,
    /// When the decision was made.
    pub created: Timestamp,
    /// Whether it tells somebody else's news, because they could not be reached.
    pub escalated: bool,
}

/// How a ticket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Settlement {
    /// The other side took it.
    Delivered,
    /// The other side refused it for good.
    Rejected,
    /// It could not be delivered for too long.
    GivenUp,
    /// It was surely not delivered when a newer message with all its news took its place.
    Superseded,
}

/// The end of a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Which ticket.
    pub key: String,
    /// When.
    pub at: Timestamp,
    /// How.
    pub how: Settlement,
    /// Whether somebody heard, or may have heard, that something began: they must hear its end.
    pub heard: bool,
    /// The receipt or the reason; no secret, no address.
    pub evidence: String,
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

/// Who has been told that an incident began, and so must hear that it is over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Heard {
    /// The incident.
    pub incident: String,
    /// Owner.
    pub owner: Arc<str>,
    /// Where.
    pub to: Address,
}

/// What has to become durable together, or not at all. Saving the same change twice is the same
/// as saving it once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// New ones, or new contents.
    pub incidents: Vec<Incident>,
    /// Incidents that are over and told as such.
    pub ended: Vec<(String, Timestamp)>,
    /// New tickets.
    pub tickets: Vec<Ticket>,
    /// Tickets that ended.
    pub settled: Vec<Settled>,
    /// Silences that are new or changed.
    pub silences: Vec<Silence>,
    /// New lines of the incident log.
    pub journal: Vec<Entry>,
}

impl Change {
    /// Whether there is nothing to save.
    pub fn is_empty(&self) -> bool {
        self.incidents.is_empty()
            && self.ended.is_empty()
            && self.tickets.is_empty()
            && self.settled.is_empty()
            && self.silences.is_empty()
            && self.journal.is_empty()
    }

    /// Whether nothing is in it but the ends of tickets: what was sent need not wait for it.
    pub fn says_only_what_arrived(&self) -> bool {
        self.incidents.is_empty()
            && self.ended.is_empty()
            && self.tickets.is_empty()
            && self.silences.is_empty()
            && self.journal.is_empty()
    }

    /// This change, and then `later`, as one.
    pub fn merge(&mut self, later: Change) {
        if !self.incidents.is_empty() {
            let newer: HashSet<&str> = later.incidents.iter().map(|new| &*new.id).collect();
            self.incidents.retain(|earlier| !newer.contains(&*earlier.id));
        }
        self.incidents.extend(later.incidents);
        self.ended.extend(later.ended);
        self.tickets.extend(later.tickets);
        self.settled.extend(later.settled);
        self.silences.extend(later.silences);
        self.journal.extend(later.journal);
    }
}

/// What was known when the process ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remembered {
    /// Names this installation in idempotency keys; `[a-z0-9]` only. It never changes.
    pub installation: String,
    /// Incidents that are not over.
    pub incidents: Vec<Incident>,
    /// Tickets without an end, oldest first. Whether they arrived is unknown.
    pub tickets: Vec<Ticket>,
    /// Who has been told of `incidents`.
    pub heard: Vec<Heard>,
    /// The last messages that did not arrive and will not, oldest first; at most 100.
    pub dead: Vec<DeadLetter>,
    /// Messages (incident and number) of `tickets` that reached another address of their owner.
    pub reached: Vec<(String, u32)>,
    /// All silences that are kept, also those that are over.
    pub silences: Vec<Silence>,
    /// Signs the links in messages. It never changes, and never leaves the process.
    pub link_key: Option<Secret>,
}

/// Small durable state.
pub trait State: Send + Sync {
    /// Everything that has to be known at start.
    fn load(&self) -> Doing<'_, Result<Remembered, StateError>>;
    /// Durable, all of it, when it returns `Ok`.
    fn save(&self, change: Change) -> Doing<'_, Result<(), StateError>>;
    /// Lines of the incident log, oldest first; none where no log is kept.
    fn journal(&self, _lookup: Lookup) -> Doing<'_, Result<Vec<Entry>, StateError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

/// Why state was not kept or not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The disk is full or read-only, or the file is damaged.
    #[error("state is not durable: {0}")]
    NotDurable(Arc<str>),
    /// It is shutting down.
    #[error("the state file is closed")]
    Closed,
}
