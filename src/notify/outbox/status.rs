use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Outbox, Stage};
use crate::model::Timestamp;
use crate::ports::{Channel, DeadLetter, Settlement};

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
    /// Messages in makeshift words, because a template was broken.
    pub makeshift: u64,
}

impl Outbox {
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

    /// Messages that were lost after that instant, counted.
    pub fn lost_since(&self, instant: Timestamp) -> usize {
        self.dead.iter().filter(|letter| instant < letter.at).count()
    }

    /// What happened since the start.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }
}
