use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::Settings;
use crate::model::Timestamp;
use crate::ports::Tick;

/// Why a group is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Its slot has come.
    Slot,
    /// A verdict has changed.
    Verdict,
}

impl Cause {
    pub(super) fn name(self) -> &'static str {
        match self {
            Cause::Slot => "slot",
            Cause::Verdict => "verdict",
        }
    }
}

/// When a group is due. Slots lie on the wall clock, `offset` behind each multiple of the
/// interval; waiting is done on the monotonic clock and checked against the wall clock again.
#[derive(Debug)]
pub(super) struct Slots {
    interval: i64,
    offset: i64,
    /// The next slot, in milliseconds.
    next: i64,
    /// When to look again.
    wake: Tick,
    nudged: Option<Tick>,
    /// The last evaluation of either cause.
    ran: Option<Tick>,
}

/// What is due.
pub(super) struct Due {
    pub(super) run: Option<(Timestamp, Cause)>,
    /// Slots that passed unused.
    pub(super) missed: u64,
}

/// A wall clock that is set is noticed after at most this time.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

impl Slots {
    pub(super) fn new(name: &str, interval: Duration, wall: Timestamp, mono: Tick) -> Self {
        let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
        let spread = xxh3_64(name.as_bytes()) % interval.unsigned_abs();
        let offset = i64::try_from(spread).unwrap_or(0);
        let mut new = Self { interval, offset, next: 0, wake: mono, nudged: None, ran: None };
        new.next = new.slot_after(wall.millis());
        new.plan(wall, mono);
        new
    }

    /// When something may be due.
    pub(super) fn wake(&self) -> Tick {
        self.nudged.map_or(self.wake, |nudged| nudged.min(self.wake))
    }

    /// A verdict has changed: run soon, but not again and again.
    pub(super) fn nudge(&mut self, mono: Tick, settings: &Settings) {
        let soon = mono.after(settings.debounce);
        let rested = self.ran.map_or(soon, |ran| ran.after(settings.pause).max(soon));
        self.nudged.get_or_insert(rested);
    }

    /// What is to be done now. `last` is the instant of the evaluation before.
    pub(super) fn due(&mut self, wall: Timestamp, mono: Tick, last: Option<Timestamp>) -> Due {
        let now = wall.millis();
        let mut due = Due { run: None, missed: 0 };
        // The wall clock was set back by more than a slot: begin again where it stands.
        if self.next - now > self.interval {
            self.next = self.slot_after(now);
        }
        if self.next <= now {
            let behind = (now - self.next) / self.interval;
            due.missed = behind.unsigned_abs();
            let slot = Timestamp::from_millis(self.next + behind * self.interval);
            self.next = slot.millis() + self.interval;
            // An evaluation between slots may already stand behind this slot.
            if last.is_none_or(|last| last < slot || wall < last) {
                due.run = Some((slot, Cause::Slot));
            }
        } else if self.nudged.is_some_and(|at| at <= mono) {
            self.nudged = None;
            // Two evaluations never share an instant.
            let at = if last == Some(wall) { wall + Duration::from_millis(1) } else { wall };
            due.run = Some((at, Cause::Verdict));
        }
        if due.run.is_some() {
            self.ran = Some(mono);
        }
        self.plan(wall, mono);
        due
    }

    fn slot_after(&self, now: i64) -> i64 {
        let since = (now - self.offset).rem_euclid(self.interval);
        now + self.interval - since
    }

    fn plan(&mut self, wall: Timestamp, mono: Tick) {
        let wait = u64::try_from(self.next - wall.millis()).unwrap_or(0);
        self.wake = mono.after(Duration::from_millis(wait).min(LOOK_AGAIN));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(15);

    fn wall(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + millis)
    }

    fn mono(millis: u64) -> Tick {
        Tick(Duration::from_millis(millis))
    }

    #[test]
    fn slots_stay_where_they_are_and_are_spread() {
        let first = Slots::new("a;g", INTERVAL, wall(0), mono(0));
        let again = Slots::new("a;g", INTERVAL, wall(7 * 15_000 + 3), mono(9));
        assert_eq!((first.next - again.next).rem_euclid(15_000), 0);
        let offsets: std::collections::BTreeSet<_> = (0..50)
            .map(|n| Slots::new(&format!("f;{n}"), INTERVAL, wall(0), mono(0)).offset / 1500)
            .collect();
        assert!(offsets.len() >= 8, "{offsets:?}");
    }

    #[test]
    fn missed_slots_are_counted_and_not_made_up_for() {
        let mut slots = Slots::new("a;g", INTERVAL, wall(0), mono(0));
        let first = slots.next;
        let late = Timestamp::from_millis(first + 3 * 15_000 + 10);
        let due = slots.due(late, mono(60_000), None);
        assert_eq!(due.missed, 3);
        let at = Timestamp::from_millis(first + 45_000);
        assert_eq!(due.run, Some((at, Cause::Slot)));
        assert!(slots.due(late, mono(60_001), Some(at)).run.is_none());
    }

    #[test]
    fn a_nudge_runs_soon_and_not_again_and_again() {
        let settings = Settings::default();
        let mut slots = Slots::new("a;g", INTERVAL, wall(0), mono(0));
        let early = Timestamp::from_millis(slots.next - 10_000);
        slots.nudge(mono(0), &settings);
        assert_eq!(slots.wake(), mono(50));
        assert!(slots.due(early, mono(49), None).run.is_none());
        assert_eq!(slots.due(early, mono(50), None).run, Some((early, Cause::Verdict)));
        slots.nudge(mono(60), &settings);
        assert_eq!(slots.wake(), mono(300));
    }

    #[test]
    fn a_clock_set_back_does_not_stop_evaluation() {
        let mut slots = Slots::new("a;g", INTERVAL, wall(0), mono(0));
        let hour = 3_600_000;
        let past = Timestamp::from_millis(slots.next - hour);
        assert!(slots.due(past, mono(1), Some(wall(0))).run.is_none());
        assert!(slots.next - past.millis() <= 15_000);
        let slot = Timestamp::from_millis(slots.next);
        assert_eq!(slots.due(slot, mono(20_000), Some(wall(0))).run, Some((slot, Cause::Slot)));
    }
}
