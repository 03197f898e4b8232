//! When to look at what: one heap of due times and one loop; a task lives only while its look
//! lasts. Slow targets get at most half of the places, so that they never delay the others.

mod guard;
mod record;
mod slots;
mod watched;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use hashbrown::HashMap;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::snmp::SnmpTransport;
use super::{CATALOGUE, Doors, Resolver, Settings, Target, TlsStock, prober};
use crate::model::{Batch, MetricMeta, Timestamp};
use crate::ports::{Append, Board, Clock, Doing, TargetStatus, Tick, Verdict};
use crate::telemetry::Telemetry;
use guard::{Going, Guard};
use record::{Keeps, News};
use slots::Slots;
use watched::{Facts, Identity, Memory, Watched};

/// What the schedule needs from outside.
#[derive(Clone)]
pub struct ScheduleDoors {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where values go.
    pub append: Arc<dyn Append>,
    /// Hears of changed verdicts, after their values have become visible. When it is full the
    /// change is dropped and counted: the next regular evaluation sees it.
    pub changes: mpsc::Sender<VerdictChange>,
    /// Our own metrics.
    pub telemetry: Arc<Telemetry>,
    /// Names.
    pub resolver: Arc<Resolver>,
    /// SNMP: one socket for all devices.
    pub snmp: Arc<dyn SnmpTransport>,
}

/// A target's verdict is of another kind than before.
#[derive(Clone, Debug)]
pub struct VerdictChange {
    /// The instant of the values that show it.
    pub at: Timestamp,
    /// Service it belongs to.
    pub service: Arc<str>,
    /// Who is responsible.
    pub owner: Arc<str>,
    /// The label `target`.
    pub target: Arc<str>,
    /// The label `probe`.
    pub probe: &'static str,
    /// What was said before.
    pub before: Verdict,
    /// What is said now.
    pub now: Verdict,
}

/// Looks at all targets, again and again.
pub struct Schedule {
    doors: Arc<ScheduleDoors>,
    plan: RwLock<Plan>,
    /// Values that end series of targets which are gone; the loop hands them on.
    endings: Mutex<Vec<Batch>>,
    changed: Notify,
}

#[derive(Default)]
struct Plan {
    concurrency: usize,
    targets: Vec<Arc<Watched>>,
    /// Counts replacements: the loop sees that it works on an old plan.
    edition: u64,
}

/// What a look's task hands back: whose it was.
struct Ended {
    watched: Arc<Watched>,
    news: Option<record::News>,
}

/// The loop's own timer: it stays while the time it is set to stays.
#[derive(Default)]
struct Alarm<'a>(Option<(Tick, Doing<'a, ()>)>);

impl<'a> Alarm<'a> {
    async fn rings(&mut self, clock: &'a dyn Clock, at: Option<Tick>) {
        let Some(at) = at else { return std::future::pending().await };
        if self.0.as_ref().is_none_or(|(set, _)| *set != at) {
            self.0 = Some((at, clock.sleep_until(at)));
        }
        if let Some((_, sleep)) = &mut self.0 {
            sleep.await;
            self.0 = None;
        }
    }
}

fn earlier(one: Option<Tick>, other: Option<Tick>) -> Option<Tick> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// While a timer ends earlier than those that the looks set, the runtime need not be woken for each
/// of theirs: one system call of eleven at each look, by `strace`. (tokio wakes its driver for a
/// timer that ends before all that were there when it last slept.)
const BEAT: Duration = Duration::from_millis(500);

/// Values that may wait for the disk at the same time; more, and looks wait with them.
const KEEPING: usize = 4096;

impl Schedule {
    /// Ready to run. Reads trust anchors from disk.
    pub fn new(settings: &Settings, doors: ScheduleDoors) -> Arc<Self> {
        let schedule = Arc::new(Self {
            doors: Arc::new(doors),
            plan: RwLock::default(),
            endings: Mutex::default(),
            changed: Notify::new(),
        });
        schedule.replace(settings);
        schedule
    }

    /// Works on other settings from now on. Targets of the same service, kind and name keep their
    /// state and their slots; the series of those that are gone end. Reads trust anchors from disk.
    pub fn replace(&self, settings: &Settings) {
        let doors = Doors {
            clock: self.doors.clock.clone(),
            resolver: self.doors.resolver.clone(),
            tls: Arc::new(TlsStock::new()),
            snmp: self.doors.snmp.clone(),
        };
        let now = (self.doors.clock.mono(), self.doors.clock.wall());
        let mut plan = self.plan.write().unwrap_or_else(PoisonError::into_inner);
        let before = plan.targets.iter();
        let mut before: HashMap<Identity, Arc<Memory>> =
            before.map(|old| (old.facts.identity.clone(), old.memory.clone())).collect();
        let ramp = slots::Ramp::new(settings.targets.len(), now.0, now.1);
        plan.targets = settings
            .targets
            .iter()
            .map(|target| {
                let memory = before.remove(&Identity::of(target));
                self.watched(target, memory, &doors, &ramp)
            })
            .collect();
        plan.concurrency = settings.concurrency.max(2);
        plan.edition += 1;
        self.doors.telemetry.probe.targets.set(i64::try_from(plan.targets.len()).unwrap_or(0));
        drop(plan);
        let gone = before.into_values().filter_map(|memory| memory.retire(now.1));
        self.endings.lock().unwrap_or_else(PoisonError::into_inner).extend(gone);
        self.changed.notify_one();
    }

    fn watched(
        &self,
        target: &Target,
        memory: Option<Arc<Memory>>,
        doors: &Doors,
        ramp: &slots::Ramp,
    ) -> Arc<Watched> {
        let phase = ramp.phase(target);
        let memory = match memory {
            Some(memory) => {
                let ending = memory.adopt(target, doors.clock.wall());
                self.endings.lock().unwrap_or_else(PoisonError::into_inner).extend(ending);
                memory.keep_slot(phase);
                memory
            }
            None => Arc::new(Memory::new(target, ramp.first(target, phase))),
        };
        Arc::new(Watched { facts: Facts::of(target), prober: prober(target, doors), phase, memory })
    }

    /// Looks until told to stop; then cuts off the looks that are going on. Writes no staleness
    /// markers then: a restart goes on where this ended.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut looks: JoinSet<Ended> = JoinSet::new();
        let mut keeps = Keeps::default();
        let mut slots = Slots::default();
        let mut guard = Guard::default();
        let (mut alarm, mut pace) = (Alarm::default(), Alarm::default());
        let mut beat = self.doors.clock.mono();
        loop {
            self.refresh(&mut slots);
            self.hand_on_endings(&mut keeps);
            let telemetry = &self.doors.telemetry.probe;
            let now = self.doors.clock.mono();
            slots.wake(now);
            while let Some((watched, planned)) = slots.take() {
                telemetry.began(now.since(planned));
                let doors = self.doors.clone();
                let looked_at = watched.clone();
                let look = looks.spawn(async move {
                    // A prober's panic is caught further down; this is for the way behind it.
                    let look = Box::pin(record::look(&watched, &doors, now));
                    let look = guard::Caught(look).await;
                    if look.is_none() {
                        doors.telemetry.probe.panicked();
                    }
                    Ended { watched, news: look.flatten() }
                });
                guard.watch(Going::new(looked_at, now, look));
            }
            while let Some(Going { watched, began, .. }) = guard.late(now) {
                let news = record::cut_off(&watched, &self.doors, began);
                self.again(&mut slots, &mut keeps, Ok(Ended { watched, news }));
            }
            telemetry.running.set(i64::try_from(looks.len()).unwrap_or(0));
            telemetry.waiting.set(i64::try_from(slots.waiting()).unwrap_or(0));
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = looks.join_next() => {
                    self.again(&mut slots, &mut keeps, ended);
                    // All that have ended by now, before the heap is looked at once.
                    while let Some(ended) = looks.try_join_next() {
                        self.again(&mut slots, &mut keeps, ended);
                    }
                    keeps.settle(KEEPING).await;
                }
                () = self.changed.notified() => {}
                () = alarm.rings(&*self.doors.clock, earlier(slots.next(), guard.next())) => {}
                () = pace.rings(&*self.doors.clock, Some(beat)) => {
                    beat = self.doors.clock.mono().after(BEAT);
                }
            }
        }
        looks.shutdown().await;
        keeps.settle(0).await;
    }

    fn refresh(&self, slots: &mut Slots) {
        let plan = self.plan.read().unwrap_or_else(PoisonError::into_inner);
        if slots.edition != plan.edition {
            slots.replace(plan.edition, plan.concurrency, &plan.targets);
        }
    }

    fn hand_on_endings<'a>(&'a self, keeps: &mut Keeps<'a>) {
        let endings =
            std::mem::take(&mut *self.endings.lock().unwrap_or_else(PoisonError::into_inner));
        for batch in endings {
            keeps.push(record::keep(News { batch, change: None }, &self.doors));
        }
    }

    fn again<'a>(
        &'a self,
        slots: &mut Slots,
        keeps: &mut Keeps<'a>,
        ended: Result<Ended, tokio::task::JoinError>,
    ) {
        // An error would be a panic, which is caught inside, or a task that we ended ourselves.
        if let Ok(Ended { watched, news }) = ended {
            if let Some(news) = news {
                keeps.push(record::keep(news, &self.doors));
            }
            let skipped = slots.ended(&watched, self.doors.clock.mono());
            self.doors.telemetry.probe.skipped(skipped);
        }
    }
}

impl Board for Schedule {
    fn targets(&self) -> Vec<TargetStatus> {
        let plan = self.plan.read().unwrap_or_else(PoisonError::into_inner);
        plan.targets.iter().map(|watched| watched.status()).collect()
    }

    fn catalogue(&self) -> &'static [&'static [MetricMeta]] {
        CATALOGUE
    }
}
