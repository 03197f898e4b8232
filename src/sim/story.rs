//! What happened in a world, for the judge.

use std::collections::BTreeMap;

use super::network::Arrival;
use crate::model::{Labels, Timestamp};
use crate::ports::{Address, Channel};

/// One thing that can be broken, and when it was. True milliseconds.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) alert: String,
    pub(super) owner: &'static str,
    pub(super) labels: Labels,
    pub(super) outages: Vec<(i64, i64)>,
    /// First report of each outage, once it was reported.
    pub(super) reported: Vec<Option<i64>>,
    /// The longest time in which each outage was reported, and nothing held it back.
    pub(super) free: Vec<i64>,
    pub(super) free_since: Option<i64>,
    /// By when each address must have heard of the outage: it was reported, nothing held it back,
    /// and process and channel worked, all for [`HEALTHY`].
    pub(super) due: BTreeMap<(usize, Channel), i64>,
    pub(super) healthy_since: BTreeMap<Channel, i64>,
    /// Wall time at which the rules saw it begin and end: their memory survives crashes.
    pub(super) fired: Option<Timestamp>,
    pub(super) resolved: Option<(Timestamp, i64)>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Accidents {
    pub(super) crashes: u64,
    pub(super) crashes_while_saving: u64,
    pub(super) lost_answers: u64,
    pub(super) clock_jumps: u64,
    pub(super) reloads: u64,
    pub(super) full_disks: u64,
    pub(super) arrivals: u64,
    pub(super) slow_answers: u64,
    /// Looks of the rules at which something fired and was silenced, or inhibited.
    pub(super) silenced: u64,
    pub(super) inhibited: u64,
    pub(super) escalated: u64,
    pub(super) acknowledged: u64,
    /// Looks of the rules at which something fired outside its owner's hours.
    pub(super) outside_hours: u64,
    /// The same for a plain route that was closed.
    pub(super) muted: u64,
    pub(super) digests: u64,
    /// Messages that were refused for good, and that the network duplicated.
    pub(super) refused: u64,
    pub(super) duplicates: u64,
    /// Messages that went by an owner's next way.
    pub(super) next_ways: u64,
    /// Ends of what comes and goes that were not told.
    pub(super) damped: u64,
}

impl Accidents {
    pub(super) fn add(&mut self, other: &Accidents) {
        self.crashes += other.crashes;
        self.crashes_while_saving += other.crashes_while_saving;
        self.lost_answers += other.lost_answers;
        self.clock_jumps += other.clock_jumps;
        self.reloads += other.reloads;
        self.full_disks += other.full_disks;
        self.arrivals += other.arrivals;
        self.slow_answers += other.slow_answers;
        self.silenced += other.silenced;
        self.inhibited += other.inhibited;
        self.escalated += other.escalated;
        self.acknowledged += other.acknowledged;
        self.outside_hours += other.outside_hours;
        self.muted += other.muted;
        self.digests += other.digests;
        self.refused += other.refused;
        self.duplicates += other.duplicates;
        self.next_ways += other.next_ways;
        self.damped += other.damped;
    }
}

impl Story {
    /// Whether its owner is told by the first way that works.
    pub(super) fn one_way(&self, fault: &Fault) -> bool {
        self.one_way && fault.owner == "office"
    }

    /// The longest time in which nothing forbade to tell of an outage.
    pub(super) fn free(&self, fault: &Fault, outage: &(i64, i64)) -> i64 {
        let nth = fault.outages.iter().position(|other| other == outage);
        nth.map_or(0, |nth| fault.free[nth])
    }
}

/// A ticket, as it was decided on.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) at: i64,
    /// When what it says was decided on: earlier than `at` when it goes in somebody's place.
    pub(super) worded: i64,
    pub(super) key: String,
    pub(super) incident: String,
    pub(super) number: u32,
    pub(super) to: Address,
    /// The reason.
    pub(super) why: String,
    /// Each alert's state.
    pub(super) text: String,
    /// To the fallback owner.
    pub(super) escalated: bool,
    /// To the fallback owner, or by the owner's next way.
    pub(super) in_place: bool,
}

/// Somebody said that they know of an incident, and that is durable.
#[derive(Clone, Debug)]
pub(super) struct Acknowledged {
    pub(super) at: i64,
    pub(super) incident: String,
    /// Where everybody saw it.
    pub(super) seen_at: Address,
    /// Who had heard of the incident.
    pub(super) heard: Vec<Address>,
}

/// What happened.
pub(super) struct Story {
    pub(super) faults: Vec<Fault>,
    pub(super) arrivals: Vec<Arrival>,
    /// When each key was sent first.
    pub(super) sent: BTreeMap<String, i64>,
    /// When each ticket was decided on.
    pub(super) decided: BTreeMap<String, i64>,
    /// When what it says was decided on.
    pub(super) worded: BTreeMap<String, i64>,
    pub(super) told: Vec<Told>,
    pub(super) acknowledged: Vec<Acknowledged>,
    /// Alerts that were held until an owner's hours began or a route opened, and when that was.
    pub(super) openings: Vec<(String, i64)>,
    pub(super) crashed: Vec<i64>,
    /// After this time what does not change is told again, milliseconds.
    pub(super) repeat: i64,
    pub(super) excused: BTreeMap<String, u64>,
    /// Addresses an owner had at some time, and those they had all the time.
    pub(super) sometimes: BTreeMap<&'static str, Vec<Address>>,
    pub(super) always: BTreeMap<&'static str, Vec<Address>>,
    pub(super) refused: Vec<Address>,
    /// The office is told by the first of its ways that works.
    pub(super) one_way: bool,
    pub(super) calm: bool,
    /// What was told as firing although something forbade it.
    pub(super) leaks: Vec<String>,
    /// The wall clock was set while nobody could notice.
    pub(super) set_in_the_dark: bool,
    pub(super) open_at_the_end: usize,
    pub(super) accidents: Accidents,
    pub(super) log: Vec<String>,
}
