//! Which message waits for which. Messages to one address go one after the other when they belong
//! to one incident, and also when they tell of the same alert: the end of an incident that is
//! delivered late, after the beginning of the next one, would be taken for the end of that.

use std::collections::BTreeSet;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Open, Outbox, Stage};
use crate::ports::{Address, Ticket};

/// The places of open tickets in the lanes they stand in: one of their incident at their address,
/// and one of each alert they tell of at their address. Lanes are hashes; two that collide cost a
/// needless wait.
#[derive(Debug, Default)]
pub(super) struct Order(BTreeSet<(u64, u64)>);

impl Order {
    pub(super) fn enter(&mut self, ticket: &Ticket) {
        self.0.extend(lanes(ticket).map(|lane| (lane, ticket.serial)));
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives the tickets that may be first now.
    pub(super) fn leave(&mut self, ticket: &Ticket) -> BTreeSet<u64> {
        let mut next = BTreeSet::new();
        for lane in lanes(ticket) {
            self.0.remove(&(lane, ticket.serial));
            let behind = self.0.range((lane, ticket.serial)..=(lane, u64::MAX)).next();
            next.extend(behind.map(|(_, serial)| *serial));
        }
        next
    }

    pub(super) fn is_first(&self, ticket: &Ticket) -> bool {
        self.ahead(ticket).next().is_none()
    }

    /// The first ticket of each lane in which it is not first itself.
    fn ahead<'a>(&'a self, ticket: &'a Ticket) -> impl Iterator<Item = u64> + 'a {
        let first = |lane| self.0.range((lane, 0)..(lane, ticket.serial)).next();
        lanes(ticket).filter_map(first).map(|(_, serial)| *serial)
    }

    /// The open tickets of its incident to its address, oldest first.
    pub(super) fn of_incident(&self, ticket: &Ticket, open: &super::Tickets) -> Vec<u64> {
        let lane = incident_lane(&ticket.incident, place(&ticket.to));
        let serials = self.0.range((lane, 0)..=(lane, u64::MAX)).map(|(_, serial)| *serial);
        let same = |serial: &u64| {
            open.get(serial).is_some_and(|open| {
                open.ticket.incident == ticket.incident && open.ticket.to == ticket.to
            })
        };
        serials.filter(same).collect()
    }
}

fn lanes(ticket: &Ticket) -> impl Iterator<Item = u64> + '_ {
    let place = place(&ticket.to);
    let alerts = ticket.covers.iter().map(move |(alert, _)| {
        // Not the hash of any incident's name: those are longer than eight bytes.
        xxh3_64_with_seed(&alert.0.to_le_bytes(), place)
    });
    alerts.chain([incident_lane(&ticket.incident, place)])
}

fn incident_lane(incident: &str, place: u64) -> u64 {
    xxh3_64_with_seed(incident.as_bytes(), !place)
}

fn place(to: &Address) -> u64 {
    let (kind, name) = match to {
        Address::Email(name) => (1, name),
        Address::Matrix(name) => (2, name),
        Address::Webhook(name) => (3, name),
    };
    xxh3_64_with_seed(name.as_bytes(), kind)
}

impl Outbox {
    /// Lets a ticket wait for its turn when nothing has to be told before it.
    pub(super) fn queue(&mut self, serial: u64) {
        let Some(open) = self.open.get(&serial) else { return };
        let Stage::Waiting(until) = open.stage else { return };
        if self.order.is_first(&open.ticket) {
            let channel = open.ticket.to.channel();
            self.waiting.entry(channel).or_default().insert((until, serial));
        }
    }

    /// What has to be told before a new incident is tried when that would have been told, instead
    /// of after its own long wait.
    pub(super) fn hurry_ahead_of(&mut self, serial: u64) {
        let Some(open) = self.open.get(&serial) else { return };
        let Stage::Waiting(until) = open.stage else { return };
        let others = |serial: &u64| {
            self.open.get(serial).is_some_and(|other| other.ticket.incident != open.ticket.incident)
        };
        let ahead: BTreeSet<u64> = self.order.ahead(&open.ticket).filter(others).collect();
        for serial in ahead {
            self.unqueue(serial);
            if let Some(Open { stage: Stage::Waiting(at), attempts, .. }) =
                self.open.get_mut(&serial)
            {
                (*at, *attempts) = ((*at).min(until), 0);
            }
            self.queue(serial);
        }
    }
}
