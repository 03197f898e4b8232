use std::sync::Arc;
use std::time::Duration;

use super::outbox::{Outbox, Patience};
use super::render::Render;
use crate::alerting::{Desk, Directory, Plan, Silence};
use crate::model::{AckKind, Alert, Timestamp};
use crate::ports::{
    ActError, Actor, Change, Delivery, DeliveryError, Receipt, Remembered, SilenceOrder,
};

/// The Desk and the outbox as one machine without I/O. One turn is: [`Teller::decide`], save what
/// it gives, [`Teller::saved`], [`Teller::send`]. The shell and the simulation turn the same one.
pub struct Teller {
    desk: Desk,
    outbox: Outbox,
    directory: Arc<Directory>,
    render: Arc<dyn Render>,
    /// Until then nothing more is told, unless an answer makes room.
    busy: Option<Timestamp>,
}

/// So many groups are told of in one turn: their messages are in memory at the same time.
const AT_ONCE: usize = 16;
/// When it is looked whether there is room again, if no answer comes before.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

impl Teller {
    /// Goes on where an earlier process ended.
    pub fn restore(
        patience: Patience,
        plan: Arc<Plan>,
        directory: Arc<Directory>,
        render: Arc<dyn Render>,
        mut remembered: Remembered,
        now: Timestamp,
    ) -> Self {
        let incidents = remembered.incidents.clone();
        let mut desk = Desk::restore(plan, incidents, now);
        desk.silence(std::mem::take(&mut remembered.silences));
        let outbox = Outbox::restore(patience, remembered, now);
        Self { desk, outbox, directory, render, busy: None }
    }

    /// Goes on with other owners and routes.
    pub fn replace(&mut self, plan: Arc<Plan>, directory: Arc<Directory>, now: Timestamp) {
        self.directory = directory;
        self.desk.replace(plan, now);
        self.outbox.hurry(now);
    }

    /// Goes on with other silences: all of them, also those that begin later.
    pub fn silence(&mut self, silences: Vec<Silence>) {
        self.desk.silence(silences);
    }

    /// Tells nothing before `until`, or before [`Teller::ready`].
    pub fn hold(&mut self, until: Timestamp, now: Timestamp) {
        self.desk.hold(until, now);
    }

    /// What inhibits and silences is known: from here on people are told.
    pub fn ready(&mut self, now: Timestamp) {
        self.desk.ready(now);
    }

    /// Notes that somebody knows of an incident, or has it.
    ///
    /// # Errors
    /// There is no such incident, or it is over.
    pub fn acknowledge(
        &mut self,
        incident: &str,
        kind: AckKind,
        by: &Actor,
        now: Timestamp,
    ) -> Result<(), ActError> {
        self.desk.acknowledge(incident, kind, by, now)?;
        self.outbox.somebody_knows(incident);
        Ok(())
    }

    /// Silences alerts, or changes a silence; `fresh` names a new one.
    ///
    /// # Errors
    /// It makes no sense, or the silence to change does not exist.
    pub fn order_silence(
        &mut self,
        order: SilenceOrder,
        by: &Actor,
        fresh: Arc<str>,
        now: Timestamp,
    ) -> Result<Arc<str>, ActError> {
        self.desk.order_silence(order, by, fresh, now)
    }

    /// Ends a silence.
    ///
    /// # Errors
    /// There is none with that id, or it is over already.
    pub fn expire_silence(&mut self, id: &str, by: &Actor, now: Timestamp) -> Result<(), ActError> {
        self.desk.expire_silence(id, by, now)
    }

    /// Takes in what others report; gives how many alerts there was no room for.
    pub fn offer_foreign(&mut self, now: Timestamp, alerts: Vec<Alert>) -> usize {
        self.desk.offer_foreign(now, alerts)
    }

    /// Takes in what the rules report.
    pub fn offer(&mut self, now: Timestamp, alerts: Vec<Alert>) {
        self.desk.offer(now, alerts);
    }

    /// Decides what is due, as far as the channels keep up: in a storm of alerts the next messages
    /// are written when those before them are gone. The change has to be saved before anything of
    /// it is sent.
    pub fn decide(&mut self, now: Timestamp) -> Change {
        let most = if self.outbox.is_busy(now) { 0 } else { AT_ONCE };
        let decided = self.desk.flush_some(most, now);
        for decision in &decided.decisions {
            self.outbox.tell(decision, &self.directory, &*self.render, now);
        }
        for incident in &decided.ended {
            self.outbox.incident_is_over(incident);
        }
        self.outbox.look_at_deadlines(&self.directory, &*self.render, now);
        let mut change = self.outbox.take_change();
        change.incidents = decided.incidents;
        change.ended = decided.ended.into_iter().map(|incident| (incident, now)).collect();
        change.silences = decided.silences;
        change.journal.extend(decided.journal);
        change
    }

    /// What [`Teller::decide`] gave is durable, or goes on from memory.
    pub fn saved(&mut self, now: Timestamp) {
        self.outbox.saved(now);
    }

    /// What to send now.
    pub fn send(&mut self, now: Timestamp) -> Vec<Delivery> {
        let deliveries = self.outbox.send(now);
        self.busy = self.outbox.is_busy(now).then(|| now + LOOK_AGAIN);
        deliveries
    }

    /// Takes in the answer to a delivery.
    pub fn answered(&mut self, key: &str, answer: Result<Receipt, DeliveryError>, now: Timestamp) {
        self.outbox.answered(key, answer, &self.directory, &*self.render, now);
        self.busy = None;
    }

    /// When the next turn is due, if nothing happens before.
    pub fn next_due(&self) -> Option<Timestamp> {
        let looks = self.desk.next_due().map(|due| self.busy.map_or(due, |busy| busy.max(due)));
        looks.into_iter().chain(self.outbox.next_due()).min()
    }

    /// The wall clock was set by so many milliseconds.
    pub fn clock_moved(&mut self, millis: i64) {
        self.busy = None;
        self.desk.clock_moved(millis);
        self.outbox.clock_moved(millis);
    }

    /// The desk, to look at.
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// The outbox, to look at.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }
}
