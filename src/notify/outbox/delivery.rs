//! Sending, and what the answers mean.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Open, Outbox, Progress, Stage, Story, story, tells_of_a_beginning};
use crate::alerting::{Directory, Owner};
use crate::model::{Fingerprint, Timestamp};
use crate::notify::render::{Render, Unreached};
use crate::ports::{
    Address, Channel, Delivery, DeliveryError, Message, Receipt, Settlement, Ticket,
};

/// So many messages that may go now are enough for a channel.
const ENOUGH: usize = 16;
/// A channel that does not even begin with them for so long holds nobody up.
const SLOW: Duration = Duration::from_secs(3);

impl Outbox {
    /// Whether a channel that works has enough to do. Then what is told next can be written later,
    /// so that a storm does not fill the memory with messages that wait. A slow channel, or one
    /// that is down, does not count: the others would wait for it.
    pub fn is_busy(&self, now: Timestamp) -> bool {
        let works = |channel: &Channel| !self.gates.contains_key(channel);
        self.waiting.iter().filter(|(channel, _)| works(channel)).any(|(_, queue)| {
            let mut ready = queue.range(..=(now, u64::MAX));
            let Some((until, _)) = ready.next() else { return false };
            let waits = now.since(*until).unwrap_or_default();
            waits < SLOW && ENOUGH <= 1 + ready.take(ENOUGH).count()
        })
    }

    /// What to send now.
    pub fn send(&mut self, now: Timestamp) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        let channels: Vec<Channel> = self.waiting.keys().copied().collect();
        for channel in channels {
            while self.in_flight.get(&channel).copied().unwrap_or(0) < self.room(channel, now) {
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
                let Ticket { key, to, message, .. } = &open.ticket;
                let (key, to, message) = (key.clone(), to.clone(), Message::clone(message));
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
        let mut down = false;
        let (reason, after) = match answer {
            Ok(Receipt(evidence)) => {
                let (story, by_owner) = (story(&open.ticket), !open.ticket.escalated);
                let owner = open.ticket.owner.clone();
                self.open(channel);
                self.settle(serial, Settlement::Delivered, evidence, now);
                if directory.tells_first(&owner) {
                    self.withdraw_others(&story, &owner, now);
                }
                if by_owner && self.stories.get(&story).is_some_and(|p| p.escalated) {
                    self.withdraw(&story, now);
                }
                return;
            }
            Err(DeliveryError::Rejected { reason }) => {
                self.open(channel);
                self.fail(serial, Settlement::Rejected, reason, directory, render, now);
                return;
            }
            Err(DeliveryError::Retry { reason, after }) => (reason, after),
            Err(DeliveryError::Down { reason, after }) => {
                // One of several accounts says nothing about the others.
                down = open.ticket.message.account.is_empty();
                (reason, after)
            }
            Err(DeliveryError::Unsure { reason }) => {
                open.perhaps = true;
                (reason, None)
            }
        };
        *self.counts.retries.entry(channel).or_default() += 1;
        open.trouble.clone_from(&reason);
        let after = after.unwrap_or_default();
        // The gate makes it wait, together with the others.
        let wait = match down {
            true => std::time::Duration::ZERO,
            false => self.patience.wait(&open.ticket.key, open.attempts).max(after),
        };
        let waited = now.since(open.ticket.created).unwrap_or_default();
        open.stage = Stage::Waiting(now + wait);
        let (told, owner) = (story(&open.ticket), open.ticket.owner.clone());
        match down {
            true => self.shut(channel, after, now),
            false => self.open(channel),
        }
        if directory.tells_first(&owner)
            && self.stories.get(&told).is_some_and(|progress| progress.reached)
        {
            self.withdraw_others(&told, &owner, now);
        }
        if !self.open.contains_key(&serial) {
            return;
        }
        if self.patience.give_up_after <= waited {
            self.fail(serial, Settlement::GivenUp, reason, directory, render, now);
            return;
        }
        self.queue(serial);
        self.supersede(serial, now);
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

    /// One way has worked: what the ways before it still hold is not needed any more, except for
    /// ends, which go wherever the beginning was heard.
    fn withdraw_others(&mut self, told: &Story, owner: &str, now: Timestamp) {
        let unsent = |open: &Open| {
            *open.ticket.owner == *owner
                && tells_of_a_beginning(&open.ticket)
                && open.stage != Stage::InFlight
        };
        let needless = self.open.iter().filter(|(_, open)| unsent(open));
        let needless = needless.filter(|(_, open)| story(&open.ticket) == *told);
        let needless: Vec<u64> = needless.map(|(&serial, _)| serial).collect();
        for serial in needless {
            let evidence = "another way reached the owner".to_owned();
            self.settle(serial, Settlement::Superseded, evidence, now);
        }
    }

    /// The way of an owner who is told by the first that works, behind all that were tried.
    fn next_way(&self, ticket: &Ticket, directory: &Directory) -> Option<(Owner, Address)> {
        let owner = directory.owner(&ticket.owner)?;
        if !directory.tells_first(&owner.name) || ticket.escalated {
            return None;
        }
        let next = self.last_way(ticket, owner)? + 1;
        owner.addresses.iter().nth(next).map(|to| (owner.clone(), to.clone()))
    }

    /// The last of an owner's ways that was tried, in the order in which they are tried.
    fn last_way(&self, ticket: &Ticket, owner: &Owner) -> Option<usize> {
        let of_story = |open: &&Open| {
            story(&open.ticket) == story(ticket) && open.ticket.owner == ticket.owner
        };
        let tried = self.open.values().filter(of_story).map(|open| &open.ticket.to);
        let position = |to: &Address| owner.addresses.iter().position(|address| address == to);
        let last = tried.chain([&ticket.to]).filter_map(position).max()?;
        // What went there may have been overtaken by later news.
        let progress = self.stories.get(&story(ticket));
        Some(last.max(progress.map_or(0, |progress| progress.tried)))
    }

    /// Tells the same news by the owner's next way, with the reason.
    fn go_on(
        &mut self,
        ticket: &Ticket,
        (owner, to): (Owner, Address),
        unreached: &Unreached,
        render: &dyn Render,
        now: Timestamp,
    ) {
        if let Some(progress) = self.stories.get_mut(&story(ticket)) {
            progress.deadline = now + self.patience.escalate_after;
            progress.tried = owner.addresses.iter().position(|way| *way == to).unwrap_or(0);
        }
        let next = Ticket {
            key: self.key(&ticket.incident, ticket.number, &to),
            serial: self.next_serial,
            message: Arc::new(render.escalated(Message::clone(&ticket.message), unreached, &owner)),
            to,
            created: now,
            ..ticket.clone()
        };
        self.issue(next, now);
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
        let unreached = Unreached {
            owner: ticket.owner.clone(),
            channel: ticket.to.channel(),
            reason: reason.to_owned(),
        };
        let next = self.next_way(ticket, directory);
        let next = next.filter(|_| !self.is_overtaken(ticket));
        if let Some(audience) = self.incidents.get_mut(&ticket.incident) {
            audience.in_place = audience.in_place.max(ticket.number);
        }
        if let Some(next) = next {
            self.go_on(ticket, next, &unreached, render, now);
            return;
        }
        if let Some(progress) = self.stories.get_mut(&story(ticket)) {
            progress.escalated = true;
        }
        let fallback = directory.fallback.as_deref().and_then(|name| directory.owner(name));
        let Some(fallback) = fallback.filter(|owner| owner.name != ticket.owner) else { return };
        if !self.is_told_in_place(ticket) {
            return;
        }
        self.counts.escalated += 1;
        let progress = self.stories.get(&story(ticket));
        let message = match progress.and_then(|progress| progress.notice.as_ref()) {
            Some(notice) => render.notice(notice, fallback),
            None => Message::clone(&ticket.message),
        };
        let message = Arc::new(render.escalated(message, &unreached, fallback));
        for to in fallback.addresses.iter() {
            let escalated = Ticket {
                key: self.key(&ticket.incident, ticket.number, to),
                serial: self.next_serial,
                owner: fallback.name.clone(),
                to: to.clone(),
                message: message.clone(),
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
        let mut late: BTreeSet<Story> = self
            .stories
            .iter()
            .filter(|(_, progress)| unreached(progress) && progress.deadline <= now)
            .map(|(story, _)| story.clone())
            .collect();
        self.add_what_began_again(&mut late, directory);
        // In the order in which they were decided on: the last that is heard is to be true.
        let mut tickets: Vec<(Ticket, String)> = Vec::new();
        for open in self.open.values().filter(|open| !open.ticket.escalated) {
            if late.remove(&story(&open.ticket)) {
                tickets.push((open.ticket.clone(), open.trouble.clone()));
            }
        }
        for (ticket, trouble) in tickets {
            self.escalate(&ticket, &trouble, directory, render, now);
        }
        let left = self.stories.values().filter(|progress| unreached(progress));
        self.next_deadline = left.map(|progress| progress.deadline).min().unwrap_or(Timestamp::MAX);
    }

    /// Whoever is told in an owner's place now of an end after which the same began again is told
    /// that as well, behind it and by the same way: not minutes later, when that is late itself.
    fn add_what_began_again(&mut self, late: &mut BTreeSet<Story>, directory: &Directory) {
        // With the last way by which the owner was tried to be told.
        let mut over: BTreeMap<(&str, Fingerprint), usize> = BTreeMap::new();
        let mut behind: Vec<(Story, usize)> = Vec::new();
        for Open { ticket, .. } in self.open.values().filter(|open| !open.ticket.escalated) {
            let owner = &*ticket.owner;
            let story = story(ticket);
            let unreached = self
                .stories
                .get(&story)
                .is_some_and(|progress| !progress.reached && !progress.escalated);
            let firing = ticket.covers.iter().filter(|(_, firing)| *firing);
            let again = firing.filter_map(|(alert, _)| over.get(&(owner, *alert))).max().copied();
            let again = again.filter(|_| unreached);
            if !late.contains(&story) && again.is_none() || !self.is_told_in_place(ticket) {
                continue;
            }
            let last = directory.owner(owner).and_then(|owner| self.last_way(ticket, owner));
            let last = last.max(again).unwrap_or(0);
            for (alert, firing) in &ticket.covers {
                match firing {
                    true => over.remove(&(owner, *alert)),
                    false => over.insert((owner, *alert), last),
                };
            }
            behind.extend(again.map(|last| (story.clone(), last)));
            late.insert(story);
        }
        for (story, last) in behind {
            if let Some(progress) = self.stories.get_mut(&story) {
                progress.tried = progress.tried.max(last);
            }
        }
    }

    /// Whether somebody else is told of it when its owner is not reached.
    fn is_told_in_place(&self, ticket: &Ticket) -> bool {
        !self.is_overtaken(ticket) && tells_of_a_beginning(ticket)
    }

    /// Whether its incident is over, or later news of it reached the owner, or went in their place.
    fn is_overtaken(&self, ticket: &Ticket) -> bool {
        let audience = self.incidents.get(&ticket.incident);
        audience.is_some_and(|audience| {
            audience.over || ticket.number < audience.reached.max(audience.in_place)
        })
    }
}
