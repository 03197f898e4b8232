use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::watched::Watched;
use crate::model::Timestamp;
use crate::ports::Tick;
use crate::probe::Target;

/// After a start each target is looked at within this time, however long its interval is.
const RAMP: Duration = Duration::from_secs(5);

/// Fewer targets are looked at faster: so much time for each.
const RAMP_STEP: Duration = Duration::from_millis(50);

/// Slots lie on multiples of this, so that those of a busy moment share one awakening: at 500
/// looks a second this saves a third of the processor time. A look that begins together with
/// others waits for the processor some tenths of a millisecond longer, at most.
const GRID: u64 = 10;

fn on_grid(millis: u64) -> u64 {
    millis - millis % GRID
}

/// Lays out the slots. A target's phase is a hash of its identity on the *wall* clock, so that a
/// restart changes nothing in the long run.
pub(super) struct Ramp {
    length: Duration,
    mono: Tick,
    wall: Timestamp,
}

impl Ramp {
    pub(super) fn new(targets: usize, mono: Tick, wall: Timestamp) -> Self {
        let steps = u32::try_from(targets).unwrap_or(u32::MAX);
        Self { length: RAMP_STEP.saturating_mul(steps).min(RAMP), mono, wall }
    }

    /// A regular slot of the target: all others are whole intervals before and after.
    pub(super) fn phase(&self, target: &Target) -> Tick {
        let interval = millis(target.interval).max(1);
        let wall = u64::try_from(self.wall.millis()).unwrap_or(0);
        let into = wall % interval;
        let wanted = on_grid(hash(target) % interval);
        let wait = (wanted + interval - into) % interval;
        self.mono.after(Duration::from_millis(wait))
    }

    /// The first look: soon, or at the first regular slot if that is even sooner.
    pub(super) fn first(&self, target: &Target, phase: Tick) -> Tick {
        let ramp = millis(self.length).max(1);
        let soon = self.mono.after(Duration::from_millis(on_grid((hash(target) >> 32) % ramp)));
        soon.min(phase)
    }
}

fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

fn hash(target: &Target) -> u64 {
    let parts = [&*target.service, target.kind.name(), &*target.name];
    xxh3_64(parts.join("\0").as_bytes())
}

/// The first regular slot after `now`, and how many lie between `planned` and it.
pub(super) fn next_slot(phase: Tick, interval: Duration, planned: Tick, now: Tick) -> (Tick, u64) {
    let interval = interval.max(Duration::from_millis(1));
    let slots_until = |tick: Tick| {
        if tick < phase { 0 } else { tick.since(phase).as_nanos() / interval.as_nanos() + 1 }
    };
    let number = slots_until(now);
    let missed = number.saturating_sub(slots_until(planned));
    let nanos = interval.as_nanos().saturating_mul(number);
    let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
    (phase.after(Duration::from_nanos(nanos)), u64::try_from(missed).unwrap_or(u64::MAX))
}

/// Who is due when, and who may go on now.
#[derive(Default)]
pub(super) struct Slots {
    pub(super) edition: u64,
    concurrency: usize,
    targets: Vec<Arc<Watched>>,
    due: BinaryHeap<Reverse<(Tick, usize)>>,
    quick: VecDeque<(usize, Tick)>,
    slow: VecDeque<(usize, Tick)>,
    running: usize,
    running_slow: usize,
}

impl Slots {
    pub(super) fn replace(&mut self, edition: u64, concurrency: usize, targets: &[Arc<Watched>]) {
        self.edition = edition;
        self.concurrency = concurrency;
        self.targets = targets.to_vec();
        self.due.clear();
        self.quick.clear();
        self.slow.clear();
        for (at, watched) in self.targets.iter().enumerate() {
            watched.memory.set_place(at);
            let timing = watched.memory.timing();
            if !timing.running {
                self.due.push(Reverse((timing.next, at)));
            }
        }
    }

    /// Moves those that are due to those that wait for a place.
    pub(super) fn wake(&mut self, now: Tick) {
        while let Some(&Reverse((tick, at))) = self.due.peek() {
            if tick > now {
                break;
            }
            self.due.pop();
            let slow = self.targets[at].memory.timing().slow;
            let queue = if slow { &mut self.slow } else { &mut self.quick };
            queue.push_back((at, tick));
        }
    }

    /// The next one that may begin, with the time it was planned for. Those that took long the
    /// last time share half of the places.
    pub(super) fn take(&mut self) -> Option<(Arc<Watched>, Tick)> {
        if self.running >= self.concurrency {
            return None;
        }
        let slow_may = self.running_slow < (self.concurrency / 2).max(1);
        let (at, planned, slow) = match self.quick.pop_front() {
            Some((at, planned)) => (at, planned, false),
            None if slow_may => self.slow.pop_front().map(|(at, planned)| (at, planned, true))?,
            None => return None,
        };
        self.running += 1;
        self.running_slow += usize::from(slow);
        let watched = self.targets[at].clone();
        watched.memory.begin(slow);
        Some((watched, planned))
    }

    pub(super) fn waiting(&self) -> usize {
        self.quick.len() + self.slow.len()
    }

    /// When somebody becomes due.
    pub(super) fn next(&self) -> Option<Tick> {
        self.due.peek().map(|&Reverse((tick, _))| tick)
    }

    /// A look has ended: plans the next one. Tells how many slots it overran.
    pub(super) fn ended(&mut self, watched: &Watched, now: Tick) -> u64 {
        let timing = watched.memory.timing();
        self.running = self.running.saturating_sub(1);
        self.running_slow = self.running_slow.saturating_sub(usize::from(timing.began_slow));
        // The plan may have been replaced meanwhile: whoever has this memory now goes on.
        let at = timing.place;
        let Some(current) = self.targets.get(at) else { return 0 };
        if !Arc::ptr_eq(&current.memory, &watched.memory) {
            return 0;
        }
        let (regular, missed) = next_slot(current.phase, current.facts.interval, timing.next, now);
        let next = match timing.confirm_at {
            Some(tick) => tick.max(now).min(regular),
            None => regular,
        };
        current.memory.end(next);
        self.due.push(Reverse((next, at)));
        missed
    }
}
