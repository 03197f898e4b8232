use std::time::Duration;

use crate::model::Timestamp;

/// The queues of Postfix that hold mail (its `corrupt` queue is not listed by anything).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Just received, not looked at yet.
    Incoming,
    /// Being delivered.
    Active,
    /// A delivery failed, another one will be tried.
    Deferred,
    /// Held back until somebody releases it.
    Hold,
    /// Left by local programs, not picked up yet.
    Maildrop,
}

impl Queue {
    /// All of them, in the order in which mail passes through them.
    pub const ALL: [Self; 5] =
        [Self::Maildrop, Self::Incoming, Self::Active, Self::Deferred, Self::Hold];

    /// As Postfix writes it, and as the label `queue` says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Active => "active",
            Self::Deferred => "deferred",
            Self::Hold => "hold",
            Self::Maildrop => "maildrop",
        }
    }

    fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|queue| queue.name().as_bytes() == name)
    }
}

/// What waits in one queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Messages.
    pub messages: u64,
    /// Their sizes together, in bytes.
    pub bytes: u64,
    /// Arrival of the oldest, in seconds since the Unix epoch; `None` when the queue is empty.
    pub oldest: Option<i64>,
}

impl Waiting {
    /// How long the oldest message has been waiting; zero when nothing waits, and when the
    /// message seems to come from the future (a clock was set back).
    pub fn oldest_age(&self, now: Timestamp) -> Duration {
        let arrival = self.oldest.and_then(|at| at.checked_mul(1000)).map(Timestamp::from_millis);
        arrival.and_then(|at| now.since(at)).unwrap_or_default()
    }
}

/// The sums over a queue listing: all that is kept of it. There is no room in here for an
/// address, a message id or a reason, so none can leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    queues: [Waiting; Queue::ALL.len()],
    /// Entries that could not be understood (an unknown queue, a field that is no number).
    pub unreadable: u64,
}

impl Tally {
    /// What waits in `queue`.
    pub fn waiting(&self, queue: Queue) -> &Waiting {
        &self.queues[queue as usize]
    }

    /// Messages in all queues.
    pub fn messages(&self) -> u64 {
        self.queues.iter().map(|waiting| waiting.messages).sum()
    }

    fn add(&mut self, queue: Queue, arrival: i64, size: u64) {
        let waiting = &mut self.queues[queue as usize];
        waiting.messages += 1;
        waiting.bytes = waiting.bytes.saturating_add(size);
        waiting.oldest = Some(waiting.oldest.map_or(arrival, |oldest| oldest.min(arrival)));
    }

    /// Counts an entry from the bytes of its fields, or counts it as unreadable.
    pub(super) fn count(&mut self, entry: &Entry) {
        let queue = Queue::from_name(entry.queue.text());
        match (queue, number(entry.arrival.text()), number(entry.size.text())) {
            (Some(queue), Some(arrival), Some(size)) => self.add(queue, arrival, size),
            _ => self.unreadable += 1,
        }
    }
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The three fields of a listed message that are looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    pub queue: Short,
    pub arrival: Short,
    pub size: Short,
}

impl Entry {
    pub fn is_complete(&self) -> bool {
        [&self.queue, &self.arrival, &self.size].iter().all(|field| !field.text().is_empty())
    }
}

/// The beginning of a name or a value. What is longer than any name or number of a queue
/// listing is remembered as "too long" and reads as empty.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Short {
    bytes: [u8; Self::ROOM],
    len: u8,
    overflow: bool,
}

impl Short {
    const ROOM: usize = 32;

    pub fn push(&mut self, more: &[u8]) {
        let at = usize::from(self.len);
        match self.bytes.get_mut(at..at + more.len()) {
            Some(free) => {
                free.copy_from_slice(more);
                self.len += more.len() as u8;
            }
            None => self.overflow = true,
        }
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Empty when nothing was pushed, and when too much was.
    pub fn text(&self) -> &[u8] {
        if self.overflow { &[] } else { &self.bytes[..usize::from(self.len)] }
    }

    pub fn is_too_long(&self) -> bool {
        self.overflow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_from_the_future_has_no_age() {
        let waiting = Waiting { messages: 1, bytes: 1, oldest: Some(2_000) };
        assert_eq!(waiting.oldest_age(Timestamp::from_millis(1_000_000)), Duration::ZERO);
        assert_eq!(waiting.oldest_age(Timestamp::from_millis(2_001_500)).as_millis(), 1_500);
        let absurd = Waiting { oldest: Some(i64::MIN), ..waiting };
        assert_eq!(absurd.oldest_age(Timestamp::default()), Duration::ZERO);
    }

    #[test]
    fn what_is_too_long_reads_as_empty() {
        let mut short = Short::default();
        short.push(&[b'x'; 31]);
        assert_eq!(short.text().len(), 31);
        short.push(b"yz");
        assert!(short.text().is_empty() && short.is_too_long());
        short.push(b"more");
        assert!(short.text().is_empty());
    }
}
