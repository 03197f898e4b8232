//! Ticks rule groups and writes their results back.
//!
//! Each group has its slots: instants of the wall clock one interval apart, spread over the interval
//! by a hash of the group's name, so that groups neither bunch nor move when the process restarts. A
//! slot that passes while the group is still busy is counted and left out. Groups run beside each
//! other on a bounded number of blocking threads, the rules of a group one after the other.
//!
//! When a probe's verdict changes, the groups that read its series run at once
//! ([`Evaluator::nudge`]), between their slots and in addition to them.

mod schedule;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hashbrown::HashSet;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::model::{Alert, Labels, Timestamp};
use crate::ports::{Append, Clock, Queryable};
use crate::rules::{AlertState, Group, GroupRules, GroupView, Outcome};
use crate::telemetry::{EvaluationLabels, GroupLabels, StateLabels, Telemetry};
use schedule::{Cause, Slots};
pub use settings::Settings;

/// Evaluates rule groups, at their slots and when it is told that something changed.
pub struct Evaluator {
    settings: Settings,
    clock: Arc<dyn Clock>,
    samples: Arc<dyn Queryable>,
    append: Arc<dyn Append>,
    alerts: mpsc::Sender<Vec<Alert>>,
    telemetry: Arc<Telemetry>,
    /// How many groups run at the same time.
    places: Arc<Semaphore>,
    inbox: Mutex<Inbox>,
    news: Notify,
    shown: Mutex<Vec<Shown>>,
    /// Whether every group was evaluated since the start.
    first_round: watch::Sender<bool>,
}

/// A group with a longer interval is not waited for after the start.
const SLOW: Duration = Duration::from_secs(30);

/// What others asked for, until the loop takes it.
#[derive(Default)]
struct Inbox {
    rules: Option<Vec<Arc<GroupRules>>>,
    nudged: HashSet<usize>,
    /// The groups that run now, by position.
    running: Vec<Arc<GroupRules>>,
}

/// A group between two evaluations.
struct Place {
    name: Arc<str>,
    slots: Slots,
    /// Away while it is being evaluated.
    group: Option<Group>,
    /// Whether it was evaluated since it was installed, or is not waited for.
    evaluated: bool,
}

/// What others see of a group, and how many of its alerts wait and fire.
struct Shown {
    view: GroupView,
    pending: i64,
    firing: i64,
}

/// What comes back from an evaluation.
struct Done {
    position: usize,
    /// `None` when the evaluation died.
    group: Option<Group>,
}

impl Evaluator {
    /// An evaluator for the groups of `settings`; nothing happens before [`Evaluator::run`].
    /// `alerts` receives all alerts that fire or are freshly over, at every evaluation.
    pub fn new(
        settings: Settings,
        clock: Arc<dyn Clock>,
        samples: Arc<dyn Queryable>,
        append: Arc<dyn Append>,
        alerts: mpsc::Sender<Vec<Alert>>,
        telemetry: Arc<Telemetry>,
    ) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(settings.concurrency.max(1)));
        let rules = Some(settings.groups.clone());
        Arc::new(Self {
            settings,
            clock,
            samples,
            append,
            alerts,
            telemetry,
            places,
            inbox: Mutex::new(Inbox { rules, ..Inbox::default() }),
            news: Notify::new(),
            shown: Mutex::new(Vec::new()),
            first_round: watch::Sender::new(false),
        })
    }

    /// Other rule groups from now on. Groups with the same file and name keep what they remember.
    pub fn replace(&self, groups: Vec<Arc<GroupRules>>) {
        locked(&self.inbox).rules = Some(groups);
        self.news.notify_one();
    }

    /// These series changed in a way that rules should see at once. Groups with a selector that
    /// matches one of them run as soon as the changes of the next moment are in too.
    pub fn nudge(&self, changed: &[Labels]) {
        let mut inbox = locked(&self.inbox);
        let reads = |group: &Arc<GroupRules>| {
            group.rules.iter().any(|rule| rule.expression.reads_any(changed))
        };
        let hit: Vec<usize> =
            inbox.running.iter().enumerate().filter(|(_, g)| reads(g)).map(|(at, _)| at).collect();
        if !hit.is_empty() {
            inbox.nudged.extend(hit);
            self.news.notify_one();
        }
    }

    /// Becomes true when every group was evaluated once and its alerts were reported; groups that
    /// are evaluated less often than twice a minute are not waited for.
    pub fn first_round(&self) -> watch::Receiver<bool> {
        self.first_round.subscribe()
    }

    /// What `/api/v1/rules` shows: a copy of this moment, in the order of the files.
    pub fn groups(&self) -> Arc<[GroupView]> {
        locked(&self.shown).iter().map(|shown| shown.view.clone()).collect()
    }

    /// Runs until told to stop; evaluations that have begun are finished.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut places: Vec<Place> = Vec::new();
        let mut work: JoinSet<Done> = JoinSet::new();
        loop {
            if work.is_empty() {
                // Taken before the body: the lock must be free again in there.
                let news = locked(&self.inbox).rules.take();
                if let Some(rules) = news {
                    self.install(rules, &mut places, &mut work);
                }
            }
            if !*self.first_round.borrow() && places.iter().all(|place| place.evaluated) {
                self.first_round.send_replace(true);
            }
            self.begin_due(&mut places, &mut work);
            let waiting = places.iter().filter(|place| place.group.is_some());
            let wake = waiting.map(|place| place.slots.wake()).min();
            let sleep = async {
                match wake {
                    Some(tick) => self.clock.sleep_until(tick).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.news.notified() => self.take_nudges(&mut places),
                Some(done) = work.join_next() => self.settle(done.ok(), &mut places),
                () = sleep => {}
            }
        }
        while work.join_next().await.is_some() {}
    }

    fn take_nudges(&self, places: &mut [Place]) {
        let nudged = std::mem::take(&mut locked(&self.inbox).nudged);
        for position in nudged {
            if let Some(place) = places.get_mut(position) {
                place.slots.nudge(self.clock.mono(), &self.settings);
            }
        }
    }

    /// Puts other rules in the place of those that run. Nothing is being evaluated.
    fn install(
        self: &Arc<Self>,
        rules: Vec<Arc<GroupRules>>,
        places: &mut Vec<Place>,
        work: &mut JoinSet<Done>,
    ) {
        let now = self.clock.wall();
        let mut names: HashMap<Arc<str>, usize> = HashMap::new();
        for group in &rules {
            let mut parts = HashSet::new();
            for rule in &group.rules {
                // Parts of one rule, each about other series, share nothing.
                if rule.scope.is_empty() || parts.insert(rule.name().clone()) {
                    *names.entry(rule.name().clone()).or_default() += 1;
                }
            }
        }
        let shared = names.into_iter().filter(|(_, times)| *times > 1).map(|(name, _)| name);
        let shared: HashSet<Arc<str>> = shared.collect();
        let mut old: HashMap<Arc<str>, Place> =
            places.drain(..).map(|place| (place.name.clone(), place)).collect();
        for rules in &rules {
            let name: Arc<str> = format!("{};{}", rules.file, rules.name).into();
            let mut group = Group::new(rules.clone());
            group.mark_shared(&shared);
            if let Some(before) = old.remove(&name).and_then(|place| place.group) {
                group.take_over(before, now);
            }
            let interval = rules.interval.unwrap_or(self.settings.interval);
            let labels = GroupLabels { rule_group: name.clone() };
            self.telemetry.evaluate.interval.get_or_create(&labels).set(interval.as_secs_f64());
            let slots = Slots::new(&name, interval, now, self.clock.mono());
            let evaluated = SLOW < interval;
            places.push(Place { name, slots, group: Some(group), evaluated });
        }
        for (name, place) in old {
            self.forget(&name);
            if let Some(group) = place.group {
                let this = self.clone();
                work.spawn(async move {
                    this.carry(group.close(now)).await;
                    Done { position: usize::MAX, group: None }
                });
            }
        }
        let shown = places.iter().filter_map(|place| Some(self.shown(place.group.as_ref()?)));
        *locked(&self.shown) = shown.collect();
        let mut inbox = locked(&self.inbox);
        inbox.running = rules;
        inbox.nudged.clear();
    }

    fn forget(&self, name: &Arc<str>) {
        let telemetry = &self.telemetry.evaluate;
        let labels = GroupLabels { rule_group: name.clone() };
        telemetry.missed_slots.remove(&labels);
        telemetry.rules.remove(&labels);
        telemetry.rule_failures.remove(&labels);
        telemetry.last_duration.remove(&labels);
        telemetry.last_evaluation.remove(&labels);
        telemetry.interval.remove(&labels);
        for cause in [Cause::Slot, Cause::Verdict] {
            let cause = cause.name();
            telemetry.evaluations.remove(&EvaluationLabels { rule_group: name.clone(), cause });
        }
    }

    fn begin_due(self: &Arc<Self>, places: &mut [Place], work: &mut JoinSet<Done>) {
        // New rules wait until nothing runs; nothing new begins until they are in.
        if locked(&self.inbox).rules.is_some() {
            return;
        }
        for (position, place) in places.iter_mut().enumerate() {
            let Some(group) = place.group.take() else { continue };
            let last = group.last_evaluation();
            let due = place.slots.due(self.clock.wall(), self.clock.mono(), last);
            if due.missed > 0 {
                let labels = GroupLabels { rule_group: place.name.clone() };
                self.telemetry.evaluate.missed_slots.get_or_create(&labels).inc_by(due.missed);
            }
            match due.run {
                Some((at, cause)) => {
                    let name = place.name.clone();
                    work.spawn(self.clone().evaluate(position, name, group, at, cause));
                }
                None => place.group = Some(group),
            }
        }
    }

    /// One evaluation of one group, from waiting for a thread to the results being kept.
    async fn evaluate(
        self: Arc<Self>,
        position: usize,
        name: Arc<str>,
        mut group: Group,
        at: Timestamp,
        cause: Cause,
    ) -> Done {
        let begun = self.clock.mono();
        let Ok(permit) = self.places.clone().acquire_owned().await else {
            return Done { position, group: Some(group) };
        };
        let this = self.clone();
        let evaluated = tokio::task::spawn_blocking(move || {
            let snapshot = this.samples.snapshot();
            let interval = group.rules().interval.unwrap_or(this.settings.interval);
            let stopwatch = || this.clock.mono().0;
            let outcome =
                group.evaluate(at, interval, &*snapshot, &this.settings.world, &stopwatch);
            drop(permit);
            (group, outcome)
        });
        let Ok((group, outcome)) = evaluated.await else {
            self.telemetry.evaluate.panics.inc();
            tracing::error!(rule_group = &*name, "the evaluation died; the group begins anew");
            return Done { position, group: None };
        };
        let telemetry = &self.telemetry.evaluate;
        let labels = GroupLabels { rule_group: name.clone() };
        let cause = EvaluationLabels { rule_group: name, cause: cause.name() };
        telemetry.evaluations.get_or_create(&cause).inc();
        telemetry.rules.get_or_create(&labels).inc_by(outcome.evaluated as u64);
        telemetry.rule_failures.get_or_create(&labels).inc_by(outcome.failed as u64);
        telemetry.last_evaluation.get_or_create(&labels).set(at.seconds());
        self.carry(outcome).await;
        let took = self.clock.mono().since(begun);
        telemetry.last_duration.get_or_create(&labels).set(took.as_secs_f64());
        Done { position, group: Some(group) }
    }

    /// Stores the results and reports the alerts. Neither waits for the other: a disk that is full
    /// must not keep an alert from anybody.
    async fn carry(&self, outcome: Outcome) {
        let store = async {
            if outcome.batch.rows.is_empty() {
                return;
            }
            if let Err(error) = self.append.append(outcome.batch).await {
                self.telemetry.evaluate.append_failures.inc();
                tracing::warn!(%error, "results of rules are not stored durably");
            }
        };
        let report = async {
            // Nobody listens when the program is about to end.
            if !outcome.alerts.is_empty() {
                let _ = self.alerts.send(outcome.alerts).await;
            }
        };
        tokio::join!(store, report);
    }

    fn settle(&self, done: Option<Done>, places: &mut [Place]) {
        let Some(done) = done else { return };
        let Some(place) = places.get_mut(done.position) else { return };
        let running = locked(&self.inbox).running.get(done.position).cloned();
        let group = done.group.or_else(|| running.map(Group::new));
        if let Some(group) = &group {
            let now = self.shown(group);
            if let Some(shown) = locked(&self.shown).get_mut(done.position) {
                *shown = now;
            }
        }
        place.group = group;
        place.evaluated = true;
        self.count_alerts();
    }

    fn shown(&self, group: &Group) -> Shown {
        let view = group.view(self.settings.interval, self.settings.world.query_offset);
        let (mut pending, mut firing) = (0, 0);
        let alerts = view.rules.iter().flat_map(|rule| &rule.alerts);
        // What always fires to prove that alerts come through is none to count.
        for alert in alerts.filter(|alert| alert.labels.get("severity") != Some("none")) {
            match alert.state {
                AlertState::Firing => firing += 1,
                AlertState::Pending | AlertState::Inactive => pending += 1,
            }
        }
        Shown { view, pending, firing }
    }

    fn count_alerts(&self) {
        let shown = locked(&self.shown);
        let pending = shown.iter().map(|group| group.pending).sum();
        let firing = shown.iter().map(|group| group.firing).sum();
        drop(shown);
        for (state, number) in [("pending", pending), ("firing", firing)] {
            self.telemetry.evaluate.alerts.get_or_create(&StateLabels { state }).set(number);
        }
    }
}

/// A lock is poisoned only by a panic while it was held; what it guards is replaced as a whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
