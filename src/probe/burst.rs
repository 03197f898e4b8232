//! Some looks in a row, outside the schedule: for a person who asks now.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Doors, Latency, Obstacle, Outcome, ReadingLabels, Target, prober};
use crate::ports::{Clock, Tick};

/// What a look may be late before it is cut off.
const GRACE: Duration = Duration::from_millis(500);

/// How often to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// How many times; at least once.
    pub count: u32,
    /// Time from one begin to the next. What could not begin because the look before went on is
    /// not made up for.
    pub every: Duration,
}

/// What came of them.
#[derive(Debug)]
pub struct Looks {
    /// What the last one found.
    pub last: Outcome,
    /// How long the last one took.
    pub took: Duration,
    /// All of them.
    pub tally: Tally,
}

/// Looks, counted.
#[derive(Debug, Default)]
pub struct Tally {
    /// How many found the target as it should be.
    pub up: u32,
    /// How many did not.
    pub down: u32,
    /// How many could not look.
    pub not_measured: u32,
    /// How many could not begin in their time.
    pub skipped: u32,
    /// How long each look took as a whole, and its phases, in the order in which they were seen.
    pub latencies: Vec<Timed>,
}

/// How long one thing took in all looks.
#[derive(Debug)]
pub struct Timed {
    /// The metric that has it.
    pub metric: &'static str,
    /// Its labels.
    pub labels: ReadingLabels,
    /// The durations.
    pub latency: Latency,
}

/// The name of the duration of a whole look.
const WHOLE: &str = "probe_duration_seconds";

/// Looks at `target` as often as `burst` says, or until told to stop; tells `seen` how many slots
/// are over. `None` when it was stopped before the first look had ended.
pub async fn burst(
    target: &Target,
    doors: &Doors,
    burst: Burst,
    stop: &CancellationToken,
    seen: &(dyn Fn(u32) + Sync),
) -> Option<Looks> {
    let clock = &*doors.clock;
    let mut tally = Tally::default();
    let prober = match prober(target, doors) {
        Ok(prober) => prober,
        Err(error) => {
            let last = Obstacle::new(error.to_string()).into();
            tally.add(&last, Duration::ZERO, burst.every);
            return Some(Looks { last, took: Duration::ZERO, tally });
        }
    };
    let begin = clock.mono();
    let (mut last, mut slot) = (None, 0);
    while slot < burst.count.max(1) {
        let due = begin.after(burst.every.saturating_mul(slot));
        tokio::select! {
            () = stop.cancelled() => break,
            () = clock.sleep_until(due) => {}
        }
        let began = clock.mono();
        let deadline = began.after(target.timeout);
        let outcome = tokio::select! {
            () = stop.cancelled() => break,
            outcome = prober.probe(deadline) => outcome,
            () = clock.sleep_until(deadline.after(GRACE)) => {
                Obstacle::new("the look did not end by its deadline and was cut off").into()
            }
        };
        let took = clock.mono().since(began);
        tally.add(&outcome, took, burst.every);
        last = Some((outcome, took));
        let next = next_slot(slot, begin, clock, burst);
        tally.skipped += next - slot - 1;
        slot = next;
        seen(slot);
    }
    last.map(|(last, took)| Looks { last, took, tally })
}

/// The first slot that has not begun yet.
fn next_slot(slot: u32, begin: Tick, clock: &dyn Clock, burst: Burst) -> u32 {
    let passed = clock.mono().since(begin).as_nanos().div_ceil(burst.every.as_nanos().max(1));
    let passed = u32::try_from(passed).unwrap_or(u32::MAX);
    passed.clamp(slot + 1, burst.count.max(slot + 1))
}

impl Tally {
    fn add(&mut self, outcome: &Outcome, took: Duration, every: Duration) {
        let Outcome::Measured(seen) = outcome else {
            self.not_measured += 1;
            return;
        };
        match seen.up {
            true => self.up += 1,
            false => self.down += 1,
        }
        let none = ReadingLabels::new();
        timed(&mut self.latencies, WHOLE, &none).record_at_pace(took, every);
        for reading in seen.readings.iter().filter(|reading| is_duration(reading.metric)) {
            if let Ok(length) = Duration::try_from_secs_f64(reading.value) {
                timed(&mut self.latencies, reading.metric, &reading.labels).record(length);
            }
        }
    }

    /// How many looks there were.
    pub fn looked(&self) -> u32 {
        self.up + self.down + self.not_measured
    }
}

fn timed<'a>(
    all: &'a mut Vec<Timed>,
    metric: &'static str,
    labels: &ReadingLabels,
) -> &'a mut Latency {
    let known = all.iter().position(|timed| timed.metric == metric && timed.labels == *labels);
    let place = known.unwrap_or_else(|| {
        all.push(Timed { metric, labels: labels.clone(), latency: Latency::default() });
        all.len() - 1
    });
    &mut all[place].latency
}

/// Instants are in seconds too; these are lengths by the names that the catalogue gives them.
fn is_duration(metric: &str) -> bool {
    metric.ends_with("_duration_seconds") || metric.ends_with("_time_seconds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_slot_is_the_first_that_has_not_begun() {
        struct At(Duration);
        impl Clock for At {
            fn wall(&self) -> crate::model::Timestamp {
                crate::model::Timestamp::from_millis(0)
            }
            fn mono(&self) -> Tick {
                Tick(self.0)
            }
            fn sleep_until(&self, _: Tick) -> crate::ports::Doing<'_, ()> {
                Box::pin(std::future::ready(()))
            }
        }
        let burst = Burst { count: 10, every: Duration::from_secs(1) };
        let next = |slot, millis| {
            next_slot(slot, Tick::default(), &At(Duration::from_millis(millis)), burst)
        };
        // Slots are at 0 s, 1 s, 2 s …; a look of slot 2 that ends at 2.1 s or at 4.5 s.
        assert_eq!((next(2, 2_100), next(2, 3_000), next(2, 4_500)), (3, 3, 5));
        assert_eq!((next(0, 0), next(9, 9_500), next(2, 60_000)), (1, 10, 10));
        let endless = Burst { every: Duration::ZERO, ..burst };
        assert_eq!(next_slot(0, Tick::default(), &At(Duration::ZERO), endless), 1);
    }

    #[test]
    fn phases_count_alone_and_the_failing_look_too() {
        let reading = |phase: &'static str, value: f64| {
            super::super::Reading::new("probe_http_duration_seconds", value).with("phase", phase)
        };
        let end = super::super::Reading::new("probe_ssl_earliest_cert_expiry", 2e9);
        let mut tally = Tally::default();
        let every = Duration::from_secs(1);
        let good = vec![reading("connect", 0.002), reading("transfer", 0.010), end];
        let good = super::super::Observation::up("12 ms", good).into();
        let bad = super::super::Observation::down("refused", vec![reading("connect", 0.004)]);
        tally.add(&good, Duration::from_millis(12), every);
        tally.add(&bad.into(), Duration::from_millis(4), every);
        tally.add(&Obstacle::new("no network").into(), Duration::from_millis(1), every);
        assert_eq!((tally.up, tally.down, tally.not_measured, tally.looked()), (1, 1, 1, 3));
        let found: Vec<_> =
            tally.latencies.iter().map(|timed| (timed.metric, timed.latency.count())).collect();
        let http = "probe_http_duration_seconds";
        assert_eq!(found, [(WHOLE, 2), (http, 2), (http, 1)]);
    }
}
