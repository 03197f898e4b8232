//! A channel that does not work is tried by one message at a time, with growing waits: its
//! tickets need not find out one by one that the mail server is down.

use super::Outbox;
use crate::model::Timestamp;
use crate::ports::Channel;

/// A channel that does not work now.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gate {
    /// Nothing is sent before.
    pub(super) until: Timestamp,
    failures: u32,
}

impl Outbox {
    /// How many deliveries of a channel may be under way now.
    pub(super) fn room(&self, channel: Channel, now: Timestamp) -> usize {
        match self.gates.get(&channel) {
            Some(gate) if now < gate.until => 0,
            Some(_) => 1,
            None => self.patience.concurrency,
        }
    }

    /// From when on a channel takes a delivery; `None` while it waits for answers.
    pub(super) fn opens(&self, channel: Channel) -> Option<Timestamp> {
        let flying = self.in_flight.get(&channel).copied().unwrap_or(0);
        match self.gates.get(&channel) {
            Some(gate) => (flying == 0).then_some(gate.until),
            None => (flying < self.patience.concurrency).then_some(Timestamp::MIN),
        }
    }

    /// A channel did not work.
    pub(super) fn shut(&mut self, channel: Channel, after: std::time::Duration, now: Timestamp) {
        let gate = self.gates.entry(channel).or_insert(Gate { until: now, failures: 0 });
        // Those that were under way together failed together.
        if gate.until <= now {
            gate.failures = gate.failures.saturating_add(1);
            let wait = self.patience.wait(&format!("{channel:?}"), gate.failures);
            gate.until = now + wait.max(after);
        }
    }

    /// A channel works.
    pub(super) fn open(&mut self, channel: Channel) {
        self.gates.remove(&channel);
    }
}
