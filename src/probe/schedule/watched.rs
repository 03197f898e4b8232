use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use xxhash_rust::xxh3::Xxh3;

use crate::model::{Batch, Labels, METRIC_NAME, Point, Row, STALE, Timestamp};
use crate::ports::{TargetStatus, Tick, Verdict};
use crate::probe::{Confirm, Observation, Outcome, Prober, ProberError, Reading, Target, seconds};

/// A look gives at most so many values; further ones are left out.
const MOST_SERIES: usize = 4096;

/// One target with its prober; a new one after each replacement of the settings.
pub(super) struct Watched {
    pub(super) facts: Facts,
    pub(super) prober: Result<Box<dyn Prober>, ProberError>,
    /// One of its regular slots.
    pub(super) phase: Tick,
    pub(super) memory: Arc<Memory>,
}

/// What the schedule itself needs of a target; the prober has taken what it needs.
pub(super) struct Facts {
    pub(super) identity: Identity,
    pub(super) owner: Arc<str>,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) confirm: Confirm,
}

impl Facts {
    pub(super) fn of(target: &Target) -> Self {
        Self {
            identity: Identity::of(target),
            owner: target.owner.clone(),
            interval: target.interval,
            timeout: target.timeout,
            confirm: target.confirm,
        }
    }
}

/// What makes two targets of old and new settings the same.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) service: Arc<str>,
    pub(super) probe: &'static str,
    pub(super) name: Arc<str>,
}

impl Identity {
    pub(super) fn of(target: &Target) -> Self {
        Self {
            service: target.service.clone(),
            probe: target.kind.name(),
            name: target.name.clone(),
        }
    }
}

impl Watched {
    pub(super) fn status(&self) -> TargetStatus {
        let seen = self.memory.lock();
        TargetStatus {
            service: self.facts.identity.service.clone(),
            owner: self.facts.owner.clone(),
            target: self.facts.identity.name.clone(),
            probe: self.facts.identity.probe.into(),
            verdict: seen.verdict.clone(),
            since: seen.since,
            last: seen.last,
            took: seen.took,
            headline: seen.headline.clone(),
            rows: seen.rows.clone(),
        }
    }
}

/// What is remembered of a target from look to look, and through replacements of the settings.
pub(super) struct Memory(Mutex<Seen>);

/// When to look next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Timing {
    /// The slot that is planned, or was planned for the look that is going on.
    pub(super) next: Tick,
    pub(super) running: bool,
    /// The last look took more than half of its time.
    pub(super) slow: bool,
    pub(super) began_slow: bool,
    /// A confirming try is wanted then.
    pub(super) confirm_at: Option<Tick>,
    /// Its place in the list of targets.
    pub(super) place: usize,
}

struct Seen {
    source: Arc<str>,
    base: Labels,
    /// Success, duration, measured, confirmed down.
    own: [Labels; 4],
    series: Vec<Series>,
    /// The target is gone: what comes back from a look that was going on is dropped.
    retired: bool,
    failures: u32,
    confirmed: Option<bool>,
    verdict: Verdict,
    since: Option<Timestamp>,
    last: Option<Timestamp>,
    took: Option<Duration>,
    headline: Arc<str>,
    rows: Arc<[Row]>,
    timing: Timing,
}

/// A series that was seen, recognised by a hash of its reading's metric and labels.
struct Series {
    key: u64,
    labels: Labels,
    alive: bool,
}

/// What a look brought.
pub(super) struct Recorded {
    pub(super) batch: Batch,
    /// The verdict before and after, when it is of another kind now.
    pub(super) change: Option<(Verdict, Verdict)>,
}

/// When a look ended and how long it took.
#[derive(Clone, Copy)]
pub(super) struct End {
    pub(super) wall: Timestamp,
    pub(super) mono: Tick,
    pub(super) took: Duration,
}

impl Memory {
    pub(super) fn new(target: &Target, first: Tick) -> Self {
        let base = base_labels(target);
        Self(Mutex::new(Seen {
            source: format!("probe/{}/{}/{}", target.kind.name(), target.service, target.name)
                .into(),
            own: own_series(&base),
            base,
            series: Vec::new(),
            retired: false,
            failures: 0,
            confirmed: None,
            verdict: Verdict::Waiting,
            since: None,
            last: None,
            took: None,
            headline: "".into(),
            rows: [].into(),
            timing: Timing { next: first, ..Timing::default() },
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn timing(&self) -> Timing {
        self.lock().timing
    }

    pub(super) fn set_place(&self, place: usize) {
        self.lock().timing.place = place;
    }

    pub(super) fn begin(&self, slow: bool) {
        let timing = &mut self.lock().timing;
        timing.running = true;
        timing.began_slow = slow;
    }

    pub(super) fn end(&self, next: Tick) {
        let timing = &mut self.lock().timing;
        timing.running = false;
        timing.next = next;
        timing.confirm_at = None;
    }

    /// The settings have changed: not later than the next regular slot of the new ones.
    pub(super) fn keep_slot(&self, phase: Tick) {
        let timing = &mut self.lock().timing;
        if !timing.running {
            timing.next = timing.next.min(phase);
        }
    }

    /// Belongs to a changed target from now on. When its labels are others, the series of before end.
    pub(super) fn adopt(&self, target: &Target, now: Timestamp) -> Option<Batch> {
        let base = base_labels(target);
        let mut seen = self.lock();
        if seen.base == base {
            return None;
        }
        let ending = seen.ending(now);
        seen.own = own_series(&base);
        seen.base = base;
        seen.series.clear();
        ending
    }

    /// The target is gone: ends its series.
    pub(super) fn retire(&self, now: Timestamp) -> Option<Batch> {
        let mut seen = self.lock();
        seen.retired = true;
        seen.ending(now)
    }

    /// Takes in what a look brought; `None` when the target is gone.
    pub(super) fn record(&self, facts: &Facts, outcome: &Outcome, end: End) -> Option<Recorded> {
        let mut seen = self.lock();
        if seen.retired {
            return None;
        }
        // A wall clock that stands still or was set back by a hair must not hide the new values.
        let step = Duration::from_millis(1);
        let at = match seen.last {
            Some(last) if last == end.wall => last + step,
            _ => end.wall,
        };
        let verdict = seen.judge(outcome, facts.confirm);
        let failing = matches!(verdict, Verdict::Failing { .. });
        seen.timing.confirm_at = failing.then(|| end.mono.after(facts.confirm.every));
        seen.timing.slow = end.took > facts.timeout / 2;
        let batch = seen.batch(outcome, end.took, at);
        let current = batch.rows.iter().filter(|row| row.point != Point::Stale);
        seen.rows = current.cloned().collect();
        seen.last = Some(at);
        seen.took = Some(end.took);
        let same = std::mem::discriminant(&seen.verdict) == std::mem::discriminant(&verdict);
        let before = std::mem::replace(&mut seen.verdict, verdict.clone());
        if !same {
            seen.since = Some(at);
        }
        Some(Recorded { batch, change: (!same).then_some((before, verdict)) })
    }
}

impl Seen {
    fn judge(&mut self, outcome: &Outcome, confirm: Confirm) -> Verdict {
        match outcome {
            Outcome::Measured(Observation { up: true, headline, .. }) => {
                self.failures = 0;
                self.confirmed = Some(false);
                self.headline = headline.clone();
                Verdict::Up
            }
            Outcome::Measured(Observation { cause, headline, .. }) => {
                self.failures = self.failures.saturating_add(1);
                let down = self.failures >= confirm.tries.max(1);
                self.confirmed = Some(down);
                self.headline = headline.clone();
                let cause = cause.clone().unwrap_or_else(|| headline.clone());
                if down { Verdict::Down { cause } } else { Verdict::Failing { cause } }
            }
            // Says nothing about them: neither the count of failures nor what is confirmed changes.
            Outcome::NotMeasured(obstacle) => {
                let obstacle: Arc<str> = obstacle.to_string().into();
                self.headline = obstacle.clone();
                Verdict::NotMeasured { obstacle }
            }
        }
    }

    fn batch(&mut self, outcome: &Outcome, took: Duration, at: Timestamp) -> Batch {
        let mut batch = Batch::new(self.source.clone(), at);
        let flag = |is: bool| f64::from(u8::from(is));
        let [success, duration, measured, confirmed] = self.own.clone();
        match outcome {
            Outcome::Measured(observation) => {
                batch.rows.reserve(observation.readings.len() + 4);
                batch.push(success, flag(observation.up));
                batch.push(duration, seconds(took));
                batch.push(measured, 1.0);
                batch.push(confirmed, flag(self.confirmed == Some(true)));
                self.push_readings(&observation.readings, &mut batch);
            }
            Outcome::NotMeasured(_) => {
                let was_measured = !matches!(self.verdict, Verdict::NotMeasured { .. })
                    && self.confirmed.is_some();
                if was_measured {
                    batch.push(success, STALE);
                    batch.push(duration, STALE);
                }
                batch.push(measured, 0.0);
                // Stays as it is: an alert that fires must not seem resolved.
                if let Some(down) = self.confirmed {
                    batch.push(confirmed, flag(down));
                }
                self.push_readings(&[], &mut batch);
            }
        }
        batch
    }

    /// Adds the readings, and staleness markers for the series that are no longer among them.
    fn push_readings(&mut self, readings: &[Reading], batch: &mut Batch) {
        let mut cursor = 0;
        let mut now_alive = vec![false; self.series.len()];
        for reading in readings.iter().take(MOST_SERIES) {
            let key = key_of(reading);
            let at = self.place_of(key, cursor).unwrap_or_else(|| {
                let labels = full_labels(&self.base, reading);
                self.series.push(Series { key, labels, alive: true });
                now_alive.push(false);
                self.series.len() - 1
            });
            cursor = at + 1;
            // The first of two equal readings counts.
            if !std::mem::replace(&mut now_alive[at], true) {
                batch.push(self.series[at].labels.clone(), reading.value);
            }
        }
        for (series, alive) in self.series.iter_mut().zip(now_alive) {
            if series.alive && !alive {
                batch.push(series.labels.clone(), STALE);
            }
            series.alive = alive;
        }
        if self.series.len() > MOST_SERIES {
            self.series.retain(|series| series.alive);
        }
    }

    /// Readings mostly come in the order of the look before.
    fn place_of(&self, key: u64, cursor: usize) -> Option<usize> {
        let (before, after) = self.series.split_at(cursor.min(self.series.len()));
        let is = |series: &Series| series.key == key;
        match after.iter().position(is) {
            Some(further) => Some(before.len() + further),
            None => before.iter().position(is),
        }
    }

    /// Staleness markers for all series that have values; `None` when there are none.
    fn ending(&mut self, now: Timestamp) -> Option<Batch> {
        let last = self.last?;
        let mut batch = Batch::new(self.source.clone(), now.max(last + Duration::from_millis(1)));
        for labels in &self.own {
            batch.push(labels.clone(), STALE);
        }
        for series in self.series.iter().filter(|series| series.alive) {
            batch.push(series.labels.clone(), STALE);
        }
        Some(batch)
    }
}

/// `service owner target probe` over the target's own labels.
fn base_labels(target: &Target) -> Labels {
    let identity = [
        ("service", &*target.service),
        ("owner", &*target.owner),
        ("target", &*target.name),
        ("probe", target.kind.name()),
    ];
    // Four different names: cannot be refused.
    let identity = Labels::from_pairs(identity).unwrap_or_default();
    target.labels.overridden_by(&identity)
}

fn own_series(base: &Labels) -> [Labels; 4] {
    ["probe_success", "probe_duration_seconds", "probe_measured", "probe_confirmed_down"]
        .map(|metric| base.with(METRIC_NAME, metric))
}

/// The target's labels are stronger than a reading's of the same name.
fn full_labels(base: &Labels, reading: &Reading) -> Labels {
    let own = reading.labels.iter().map(|(name, value)| (*name, value.as_str()));
    let own = own.chain([(METRIC_NAME, reading.metric)]);
    Labels::from_pairs(own).unwrap_or_default().overridden_by(base)
}

fn key_of(reading: &Reading) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(reading.metric.as_bytes());
    for (name, value) in &reading.labels {
        hash.update(&[0]);
        hash.update(name.as_bytes());
        hash.update(&[0]);
        hash.update(value.as_str().as_bytes());
    }
    hash.digest()
}
