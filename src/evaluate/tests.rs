#![allow(clippy::disallowed_methods)]

use std::time::Duration;

use super::*;
use crate::model::{Batch, Columns, Matcher, Point, Window};
use crate::ports::{
    AppendError, Appended, Doing, Found, Select, SelectError, SeriesId, Snapshot, Tick,
};
use crate::rules::{AlertState, File, Health};

/// Time under the test's control: tokio's paused clock, counted from a fixed date, and ahead of it
/// by milliseconds that a test adds.
struct TestClock(tokio::time::Instant, std::sync::atomic::AtomicU64);

impl TestClock {
    fn start() -> Arc<Self> {
        Arc::new(Self(tokio::time::Instant::now(), 0.into()))
    }
}

impl Clock for TestClock {
    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000) + self.mono().0
    }

    fn mono(&self) -> Tick {
        Tick(self.0.elapsed() + self.ahead())
    }

    fn sleep_until(&self, tick: Tick) -> Doing<'_, ()> {
        Box::pin(tokio::time::sleep_until(self.0 + tick.0.saturating_sub(self.ahead())))
    }
}

impl TestClock {
    fn ahead(&self) -> Duration {
        Duration::from_millis(self.1.load(std::sync::atomic::Ordering::Relaxed))
    }

    /// An evaluation that is under way sees this much time pass at once.
    fn skip(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap();
        self.1.fetch_add(millis, std::sync::atomic::Ordering::Relaxed);
    }
}

type Series = Vec<(Labels, Vec<(Timestamp, f64)>)>;

/// Samples in memory; refuses to be durable when told so.
#[derive(Default)]
struct Store {
    rows: Mutex<Series>,
    full: std::sync::atomic::AtomicBool,
    /// Called at the beginning of each evaluation.
    begun: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
}

impl Store {
    fn put(&self, batch: &Batch) {
        let mut rows = locked(&self.rows);
        for row in &batch.rows {
            let value = match row.point {
                Point::Float(value) => value,
                _ => crate::model::STALE,
            };
            match rows.iter_mut().find(|(labels, _)| *labels == row.labels) {
                Some((_, samples)) => samples.push((batch.at, value)),
                None => rows.push((row.labels.clone(), vec![(batch.at, value)])),
            }
        }
    }
}

struct Frozen(Series);

impl Select for Frozen {
    fn find(&self, matchers: &[Matcher], _: Window) -> Result<Vec<Found>, SelectError> {
        let fits = |labels: &Labels| matchers.iter().all(|m| m.matches(labels));
        let all = self.0.iter().enumerate().filter(|(_, (labels, _))| fits(labels));
        Ok(all
            .map(|(id, (labels, _))| Found { id: SeriesId(id as u64), labels: labels.clone() })
            .collect())
    }

    fn read(&self, id: SeriesId, window: Window, into: &mut Columns) -> Result<(), SelectError> {
        into.clear();
        let samples = self.0[id.0 as usize].1.iter().filter(|(at, _)| window.contains(*at));
        (into.times, into.values) = samples.copied().unzip();
        Ok(())
    }
}

impl Queryable for Store {
    fn snapshot(&self) -> Snapshot {
        let begun = locked(&self.begun).clone();
        if let Some(begun) = begun {
            begun();
        }
        Arc::new(Frozen(locked(&self.rows).clone()))
    }
}

impl Append for Store {
    fn append(&self, batch: Batch) -> Doing<'_, Result<Appended, AppendError>> {
        self.put(&batch);
        let full = self.full.load(std::sync::atomic::Ordering::Relaxed);
        Box::pin(async move {
            if full {
                Err(AppendError::NotDurable("no space".into()))
            } else {
                Ok(Appended::default())
            }
        })
    }
}

fn groups(text: &str) -> Vec<Arc<GroupRules>> {
    File::parse("r.yml", text).unwrap().groups
}

fn rule(name: &str, expr: &str, hold: &str) -> String {
    format!(
        "groups:\n- name: {name}\n  interval: 60s\n  rules:\n  - {{alert: A, expr: '{expr}', for: {hold}}}\n"
    )
}

struct World {
    clock: Arc<TestClock>,
    store: Arc<Store>,
    evaluator: Arc<Evaluator>,
    alerts: mpsc::Receiver<Vec<Alert>>,
    telemetry: Arc<Telemetry>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl World {
    fn with(text: &str) -> Self {
        Self::over(Arc::new(Store::default()), TestClock::start(), text)
    }

    /// A process that begins over what another one left behind.
    fn over(store: Arc<Store>, clock: Arc<TestClock>, text: &str) -> Self {
        let telemetry = Telemetry::new();
        let (sender, alerts) = mpsc::channel(64);
        let settings = Settings { groups: groups(text), ..Settings::default() };
        let evaluator = Evaluator::new(
            settings,
            clock.clone(),
            store.clone(),
            store.clone(),
            sender,
            telemetry.clone(),
        );
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(evaluator.clone().run(stop.clone()));
        Self { clock, store, evaluator, alerts, telemetry, stop, tasks }
    }

    fn see(&self, metric: &str, value: f64) -> Labels {
        let labels = Labels::from_pairs([("__name__", metric)]).unwrap();
        let mut batch = Batch::new("probe".into(), self.clock.wall());
        batch.push(labels.clone(), value);
        self.store.put(&batch);
        labels
    }

    /// The next report; fails when none comes within ten minutes.
    async fn told(&mut self) -> Vec<Alert> {
        let limit = Duration::from_secs(600);
        tokio::time::timeout(limit, self.alerts.recv()).await.unwrap().unwrap()
    }

    async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    fn last(&self, metric: &str) -> Option<f64> {
        let rows = locked(&self.store.rows);
        let found = rows.iter().find(|(labels, _)| labels.metric_name() == metric);
        found.and_then(|(_, samples)| samples.last()).map(|(_, value)| *value)
    }
}

#[tokio::test(start_paused = true)]
async fn an_alert_fires_is_stored_reported_and_shown() {
    let mut world = World::with(&rule("g", "down == 1", "0s"));
    world.see("down", 1.0);
    let alerts = world.told().await;
    assert!(alerts[0].is_firing() && alerts[0].name() == "A");
    world.pass(1).await;
    assert_eq!(world.last("ALERTS"), Some(1.0));
    let view = world.evaluator.groups();
    assert_eq!(view[0].rules[0].health, Health::Ok);
    assert_eq!(view[0].rules[0].state(), AlertState::Firing);
    assert!(world.telemetry.encode().contains("augenmass_evaluate_alerts{state=\"firing\"} 1"));
    world.stop.cancel();
    world.tasks.join_next().await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_changed_verdict_is_judged_at_once() {
    let mut world = World::with(&rule("g", "down == 1", "0s"));
    world.pass(90).await;
    let begun = world.clock.mono();
    let series = world.see("down", 1.0);
    world.evaluator.nudge(&[series]);
    world.told().await;
    let waited = world.clock.mono().since(begun);
    assert!(waited < Duration::from_secs(1), "{waited:?}");
    let text = world.telemetry.encode();
    assert!(text.contains("cause=\"verdict\"} 1"), "{text}");
    // A series that no rule reads sets off nothing.
    let other = world.see("other", 1.0);
    world.evaluator.nudge(&[other]);
    world.pass(2).await;
    assert!(world.telemetry.encode().contains("cause=\"verdict\"} 1"));
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_keeps_no_alert_from_anybody() {
    let mut world = World::with(&rule("g", "down == 1", "90s"));
    world.store.full.store(true, std::sync::atomic::Ordering::Relaxed);
    for _ in 0..20 {
        world.see("down", 1.0);
        world.pass(15).await;
    }
    assert!(world.alerts.try_recv().unwrap()[0].is_firing());
    assert!(world.telemetry.evaluate.append_failures.get() >= 3);
}

#[tokio::test(start_paused = true)]
async fn other_rules_take_over_what_is_the_same() {
    let mut world = World::with(&rule("g", "down == 1", "0s"));
    for _ in 0..8 {
        world.see("down", 1.0);
        world.pass(15).await;
    }
    let before = world.told().await[0].phase;
    world.evaluator.replace(groups(&rule("g", "down > 0", "0s")));
    world.pass(1).await;
    while world.alerts.try_recv().is_ok() {}
    world.see("down", 1.0);
    let after = world.told().await[0].phase;
    assert_eq!(before, after, "the alert goes on");
    // Without any rule it is over, and that is told.
    world.evaluator.replace(Vec::new());
    let over = world.told().await;
    assert!(matches!(over[0].phase, crate::model::Phase::Resolved { .. }), "{over:?}");
    world.pass(1).await;
    assert!(crate::model::is_stale(world.last("ALERTS").unwrap()));
    assert!(world.evaluator.groups().is_empty());
}

#[tokio::test(start_paused = true)]
async fn groups_are_evaluated_beside_each_other() {
    let text = "groups:\n- {name: g, interval: 60s, rules: [{alert: A, expr: down == 1}]}\n\
                - {name: h, interval: 60s, rules: [{alert: B, expr: down == 1}]}\n";
    let world = World::with(text);
    world.pass(130).await;
    // Each of the two waits for the other to have begun; one after the other would never meet.
    let both = Arc::new((Mutex::new(0), std::sync::Condvar::new()));
    let (meeting, met) = (both.clone(), Arc::new(std::sync::atomic::AtomicUsize::new(0)));
    let counted = met.clone();
    *locked(&world.store.begun) = Some(Arc::new(move || {
        let mut here = locked(&meeting.0);
        *here += 1;
        meeting.1.notify_all();
        let limit = Duration::from_secs(10);
        let together = meeting.1.wait_timeout_while(here, limit, |here| *here < 2).unwrap();
        if !together.1.timed_out() {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }));
    let series = world.see("down", 1.0);
    world.evaluator.nudge(&[series]);
    world.pass(1).await;
    assert_eq!(met.load(std::sync::atomic::Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn slots_that_pass_during_an_evaluation_are_counted_and_not_piled_up() {
    let mut world = World::with(&rule("g", "vector(1)", "0s"));
    let (clock, slow) = (world.clock.clone(), std::sync::atomic::AtomicBool::new(true));
    *locked(&world.store.begun) = Some(Arc::new(move || {
        if slow.swap(false, std::sync::atomic::Ordering::Relaxed) {
            clock.skip(Duration::from_secs(200));
        }
    }));
    world.told().await;
    world.pass(150).await;
    let text = world.telemetry.encode();
    let count = |name: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    // 200 s are three slots and a bit: the last of them is evaluated, the two before it are missed.
    assert_eq!(count("augenmass_evaluate_missed_slots_total"), 2);
    let evaluations = count("augenmass_evaluate_evaluations_total");
    assert!((3..=5).contains(&evaluations), "{evaluations}");
}

#[tokio::test(start_paused = true)]
async fn a_restart_does_not_begin_a_for_anew() {
    let text = rule("g", "down == 1", "10m");
    let mut first = World::with(&text);
    for _ in 0..24 {
        first.see("down", 1.0);
        first.pass(15).await;
    }
    assert!(first.alerts.try_recv().is_err(), "six of ten minutes");
    first.stop.cancel();
    first.tasks.join_next().await.unwrap().unwrap();
    let mut second = World::over(first.store.clone(), first.clock.clone(), &text);
    let begun = second.clock.mono();
    let mut fired = None;
    for _ in 0..40 {
        second.see("down", 1.0);
        second.pass(15).await;
        if let Ok(alerts) = second.alerts.try_recv() {
            fired = Some((alerts[0].is_firing(), second.clock.mono().since(begun)));
            break;
        }
    }
    let (firing, after) = fired.expect("it fires");
    assert!(firing);
    // Some five minutes were left; a clock that began anew would need ten.
    assert!((180..=390).contains(&after.as_secs()), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn an_evaluation_between_slots_leaves_for_what_it_is() {
    let mut world = World::with(&rule("g", "down == 1", "150s"));
    world.pass(61).await;
    let begun = world.clock.mono();
    let mut after = None;
    for _ in 0..120 {
        let series = world.see("down", 1.0);
        // Verdicts change all the time.
        world.evaluator.nudge(&[series]);
        world.pass(2).await;
        if world.alerts.try_recv().is_ok() {
            after = Some(world.clock.mono().since(begun));
            break;
        }
    }
    let after = after.expect("it fires");
    assert!((150..=156).contains(&after.as_secs()), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_cannot_be_evaluated_is_shown_with_its_reason_and_the_others_go_on() {
    let text = "groups:\n- name: g\n  interval: 60s\n  rules:\n  \
                - {alert: Broken, expr: 'down * on () group_left () vector(1) + on () group_right () (down or vector(2))'}\n  \
                - {alert: Looping, expr: down == 1, annotations: {s: '{{ define \"a\" }}{{ template \"a\" }}{{ end }}{{ template \"a\" }}'}}\n  \
                - {alert: Fine, expr: down == 1}\n";
    let mut world = World::with(text);
    world.see("down", 1.0);
    let other = Labels::from_pairs([("__name__", "down"), ("n", "2")]).unwrap();
    let mut batch = Batch::new("probe".into(), world.clock.wall());
    batch.push(other, 1.0);
    world.store.put(&batch);
    let names: Vec<String> = world.told().await.iter().map(|a| a.name().to_owned()).collect();
    assert!(
        names.contains(&"Fine".to_owned()) && names.contains(&"Looping".to_owned()),
        "{names:?}"
    );
    world.pass(1).await;
    let view = world.evaluator.groups();
    let [broken, looping, fine] = &view[0].rules[..] else { panic!() };
    assert_eq!(broken.health_name(), "err");
    assert!(!broken.last_error().is_empty());
    assert!(
        looping.warnings.iter().any(|w| w.contains("depth") || w.contains("steps")),
        "{:?}",
        looping.warnings
    );
    assert_eq!((fine.health_name(), fine.warnings.len()), ("ok", 0));
    assert!(world.telemetry.encode().contains("augenmass_evaluate_rule_failures_total"));
}
