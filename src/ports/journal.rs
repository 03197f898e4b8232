use std::sync::Arc;

use super::Channel;
use crate::model::{Labels, Timestamp};

/// A line of the incident log: what was decided or done about alerts, and why. Lines are added,
/// never changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: Event,
    /// Why: one of a closed set of words, such as `silenced` or `repeat`; empty where `event` says
    /// it all.
    pub reason: Arc<str>,
    /// Which silence, which other alert, which interval, what the other side answered.
    pub detail: String,
    /// The incident, once it has one.
    pub incident: Option<String>,
    /// Owner or receiver it is about; empty when it is about all.
    pub receiver: Arc<str>,
    /// The labels that the group's alerts share by being grouped by them.
    pub group: Labels,
    /// The alerts it is about, and since when they fire.
    pub alerts: Vec<(Labels, Timestamp)>,
    /// Who did it: an owner's name or a word that a person is known by.
    pub who: Arc<str>,
    /// By which way somebody was told.
    pub channel: Option<Channel>,
}

/// What a line of the incident log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    /// The program began; nothing is told until it knows what inhibits and silences.
    Started,
    /// From here on decisions are made.
    Ready,
    /// An alert fires and its group waits for company.
    Waiting,
    /// It was decided to tell; the first one of an incident opens it.
    Told,
    /// Something forbids to tell.
    Held,
    /// The end of an alert that nobody was told of.
    Passed,
    /// Somebody was told: a channel took the message.
    Delivered,
    /// A channel did not take the message, or nobody could be asked.
    NotDelivered,
    /// Somebody knows of it.
    Acknowledged,
    /// Somebody works on it.
    Claimed,
    /// It got worse, so that an acknowledgement does not hold any more.
    Lapsed,
    /// Somebody silenced alerts, or changed a silence.
    Silenced,
    /// A silence was ended, or ended because its alerts are over.
    Expired,
    /// Nobody has reacted to it in time.
    Overdue,
    /// The incident is over.
    Ended,
}

impl Event {
    /// All of them.
    pub const ALL: [Event; 15] = [
        Event::Started,
        Event::Ready,
        Event::Waiting,
        Event::Told,
        Event::Held,
        Event::Passed,
        Event::Delivered,
        Event::NotDelivered,
        Event::Acknowledged,
        Event::Claimed,
        Event::Lapsed,
        Event::Silenced,
        Event::Expired,
        Event::Overdue,
        Event::Ended,
    ];

    /// One word, for tables and exports.
    pub fn name(self) -> &'static str {
        match self {
            Event::Started => "started",
            Event::Ready => "ready",
            Event::Waiting => "waiting",
            Event::Told => "told",
            Event::Held => "held",
            Event::Passed => "passed",
            Event::Delivered => "delivered",
            Event::NotDelivered => "not-delivered",
            Event::Acknowledged => "acknowledged",
            Event::Claimed => "claimed",
            Event::Lapsed => "lapsed",
            Event::Silenced => "silenced",
            Event::Expired => "expired",
            Event::Overdue => "overdue",
            Event::Ended => "ended",
        }
    }
}

/// Which lines of the incident log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// Of this incident only.
    pub incident: Option<String>,
    /// Not before.
    pub from: Timestamp,
    /// Not after.
    pub through: Timestamp,
    /// At most so many, the latest ones.
    pub most: usize,
}
