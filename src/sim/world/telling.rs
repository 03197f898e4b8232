//! What the process decides, saves and sends, and what comes back.

use super::{TROUBLE_ENDS, World};
use crate::model::{AckKind, Way};
use crate::ports::{Actor, Address, Change, Delivery, DeliveryError, Ticket};
use crate::sim::Bug;
use crate::sim::network::Arrival;
use crate::sim::stage::IN_PLACE;
use crate::sim::story::{Acknowledged, Told};

impl World {
    pub(super) fn turn(&mut self) {
        let wall = self.wall();
        let Some(process) = &mut self.process else { return };
        let change = process.decide(wall);
        let busy = !change.is_empty();
        self.note_tickets(&change.tickets);
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

    /// For the judge: what was decided on.
    fn note_tickets(&mut self, tickets: &[Ticket]) {
        for ticket in tickets {
            let in_place = ticket.message.html.starts_with(IN_PLACE);
            let same = |told: &&Told| {
                (&told.incident, told.number, told.in_place)
                    == (&ticket.incident, ticket.number, false)
            };
            let before = self.told.iter().rfind(|told| in_place && same(told));
            let told = Told {
                at: self.now,
                worded: before.map_or(self.now, |told| told.at),
                key: ticket.key.clone(),
                incident: ticket.incident.clone(),
                number: ticket.number,
                to: ticket.to.clone(),
                why: ticket.message.subject.clone(),
                text: ticket.message.text.clone(),
                escalated: ticket.escalated,
                in_place,
            };
            self.decided.insert(told.key.clone(), told.at);
            self.worded.insert(told.key.clone(), told.worded);
            self.accidents.escalated += u64::from(told.escalated);
            self.accidents.next_ways += u64::from(in_place && !told.escalated);
            self.accidents.digests += u64::from(told.why == "Digest");
            // What is told to somebody else, or known to somebody, was decided before.
            if !in_place && told.why != "Acknowledged" {
                self.look_for_leaks(&told, &ticket.message.payload);
            }
            self.told.push(told);
        }
    }

    /// Whether something is told as firing that is to be held back, or since another time.
    fn look_for_leaks(&mut self, told: &Told, since: &str) {
        for (state, since) in told.text.split(',').zip(since.split(',')) {
            let Some(alert) = state.strip_suffix("=firing") else { continue };
            let Some(fault) = self.faults.iter().find(|fault| fault.alert == alert) else {
                continue;
            };
            let Told { key, .. } = told;
            if self.is_silenced(fault) || self.is_inhibited(fault) || self.is_closed(fault) {
                self.leaks.push(format!("{key} tells of {alert}, which is held back"));
            }
            let fired = fault.fired.map(|fired| fired.millis().to_string());
            if self.late.is_none() && fired.as_deref().is_some_and(|fired| fired != since) {
                let why = &told.why;
                self.leaks.push(format!("{key} ({why}) tells of {alert} since {since}: {fired:?}"));
            }
        }
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
            for delivery in self.pieces(delivery) {
                let Delivery { to, message, .. } = delivery.clone();
                let (at, answer) = self.network.carry(self.now, delivery, &mut self.luck);
                self.say(|| {
                    let (subject, text) = (message.subject, message.text);
                    format!("send {key} {to:?} {subject} {text} -> {answer:?} at {at}")
                });
                self.answers.insert((at, self.next_answer), (key.clone(), answer));
                self.next_answer += 1;
            }
        }
        false
    }

    /// With [`Bug::DigestInPieces`] a message for each alert of a digest.
    fn pieces(&mut self, delivery: Delivery) -> Vec<Delivery> {
        if self.bug != Some(Bug::DigestInPieces) || delivery.message.subject != "Digest" {
            return vec![delivery];
        }
        let mut pieces = Vec::new();
        for (nth, state) in delivery.message.text.split(',').enumerate() {
            let mut piece = delivery.clone();
            piece.key = format!("{}-{nth}", delivery.key);
            piece.message.subject = "First".to_owned();
            piece.message.text = state.to_owned();
            self.decided.insert(piece.key.clone(), self.decided[&delivery.key]);
            pieces.push(piece);
        }
        pieces
    }

    pub(super) fn answer(&mut self) {
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

    /// Somebody who has read of an incident says that they know of it.
    pub(super) fn acknowledge(&mut self) {
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
}
