use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::slots::{Ramp, next_slot};
use super::watched::{End, Facts, Memory, Watched};
use super::{Schedule, ScheduleDoors, VerdictChange};
use crate::model::{Batch, Labels, METRIC_NAME, Point, Timestamp};
use crate::ports::{
    Append, AppendError, Appended, Board, Clock, Doing, SystemClock, Tick, Verdict,
};
use crate::probe::fixture::{Server, page, read_head, target};
use crate::probe::snmp::UdpSnmp;
use crate::probe::{
    Confirm, Kind, Observation, Obstacle, Outcome, Prober, Reading, Resolver, Settings, Target,
};
use crate::telemetry::Telemetry;

#[derive(Default)]
struct Kept(Mutex<Vec<Batch>>);

impl Append for Kept {
    fn append(&self, batch: Batch) -> Doing<'_, Result<Appended, AppendError>> {
        let kept = batch.rows.len();
        self.0.lock().unwrap().push(batch);
        Box::pin(async move { Ok(Appended { kept, too_old: 0 }) })
    }
}

impl Kept {
    /// All values of a metric of a target, in order; `None` is stale.
    fn values(&self, name: &str, metric: &str) -> Vec<Option<f64>> {
        let batches = self.0.lock().unwrap();
        let rows = batches.iter().flat_map(|batch| &batch.rows);
        rows.filter(|row| row.labels.metric_name() == metric)
            .filter(|row| row.labels.get("target") == Some(name))
            .map(|row| match row.point {
                Point::Float(value) => Some(value),
                _ => None,
            })
            .collect()
    }
}

/// A schedule that runs until the test ends.
struct Running {
    schedule: Arc<Schedule>,
    kept: Arc<Kept>,
    changes: mpsc::Receiver<VerdictChange>,
    telemetry: Arc<Telemetry>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

fn settings(targets: Vec<Target>) -> Settings {
    Settings { targets, concurrency: 8 }
}

fn start(settings: &Settings) -> Running {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
    let kept = Arc::new(Kept::default());
    let (sender, changes) = mpsc::channel(64);
    let telemetry = Telemetry::new();
    let doors = ScheduleDoors {
        resolver: Arc::new(Resolver::from_system(clock.clone())),
        snmp: Arc::new(UdpSnmp::new()),
        clock,
        append: kept.clone(),
        changes: sender,
        telemetry: telemetry.clone(),
    };
    let schedule = Schedule::new(settings, doors);
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(schedule.clone().run(stop.clone()));
    Running { schedule, kept, changes, telemetry, stop, tasks }
}

fn fast(name: &str, kind: Kind) -> Target {
    Target {
        interval: Duration::from_millis(40),
        timeout: Duration::from_millis(2_000),
        confirm: Confirm { tries: 3, every: Duration::from_millis(10) },
        ..target(name, kind)
    }
}

fn http(server: &Server) -> Kind {
    Kind::Http(Box::new(page(&server.url("/"))))
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Answers well or badly, as the switch says.
async fn switched(good: Arc<AtomicBool>) -> Server {
    Server::start(move |mut stream| {
        let good = good.clone();
        async move {
            read_head(&mut stream).await;
            let bad = "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n";
            let answer = if good.load(Ordering::SeqCst) { OK } else { bad };
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await
}

#[tokio::test]
async fn an_outage_is_confirmed_by_tries_and_ends_at_once() {
    let good = Arc::new(AtomicBool::new(true));
    let server = switched(good.clone()).await;
    let mut running = start(&settings(vec![fast("page", http(&server))]));
    let up = running.changes.recv().await.unwrap();
    assert_eq!((up.before, up.now), (Verdict::Waiting, Verdict::Up));
    good.store(false, Ordering::SeqCst);
    let failing = running.changes.recv().await.unwrap();
    assert!(matches!(failing.now, Verdict::Failing { .. }), "{failing:?}");
    let down = running.changes.recv().await.unwrap();
    assert_eq!(down.now, Verdict::Down { cause: "answered 500 Internal Server Error".into() });
    let status = running.schedule.targets().remove(0);
    assert_eq!((&*status.service, &*status.probe), ("homepage", "http"));
    assert!(status.since.is_some() && status.took.is_some() && status.rows.len() > 10);
    good.store(true, Ordering::SeqCst);
    let up = running.changes.recv().await.unwrap();
    assert_eq!(up.now, Verdict::Up);
    running.stop.cancel();
    running.tasks.join_next().await.unwrap().unwrap();
    // Three failing tries in a row, and the third one confirmed it.
    let success = running.kept.values("page", "probe_success");
    let confirmed = running.kept.values("page", "probe_confirmed_down");
    let first = success.iter().position(|value| *value == Some(0.0)).unwrap();
    assert_eq!(success[first..first + 3], [Some(0.0); 3]);
    assert_eq!(confirmed[first..first + 3], [Some(0.0), Some(0.0), Some(1.0)]);
    assert_eq!(confirmed.last(), Some(&Some(0.0)));
    let told = running.telemetry.encode();
    assert!(told.contains(r#"augenmass_probe_looks_total{probe="http",outcome="up"}"#), "{told}");
}

#[tokio::test]
async fn a_hanging_target_delays_nobody() {
    let silent = Server::start(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = looks.clone();
    let quick = Server::start(move |mut stream| {
        let counted = counted.clone();
        async move {
            read_head(&mut stream).await;
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(OK.as_bytes()).await;
        }
    })
    .await;
    let mut targets: Vec<_> = (0..12)
        .map(|number| Target {
            timeout: Duration::from_millis(100),
            ..fast(&format!("silent {number}"), http(&silent))
        })
        .collect();
    targets.push(fast("quick", http(&quick)));
    // Fewer places than hanging targets: half of the places is kept free of them.
    let running = start(&Settings { targets, concurrency: 4 });
    let clock = SystemClock::start();
    let until = clock.mono().after(Duration::from_secs(20));
    while looks.load(Ordering::SeqCst) < 20 {
        assert!(clock.mono() < until, "{} looks only", looks.load(Ordering::SeqCst));
        clock.sleep_until(clock.mono().after(Duration::from_millis(10))).await;
    }
    drop(running);
}

#[tokio::test]
async fn a_reload_keeps_what_stays_and_ends_what_goes() {
    let good = Arc::new(AtomicBool::new(false));
    let server = switched(good).await;
    let both = settings(vec![fast("stays", http(&server)), fast("goes", http(&server))]);
    let mut running = start(&both);
    let mut down = 0;
    while down < 2 {
        down +=
            usize::from(matches!(running.changes.recv().await.unwrap().now, Verdict::Down { .. }));
    }
    running.schedule.replace(&settings(vec![fast("stays", http(&server))]));
    let status = running.schedule.targets();
    assert_eq!(status.len(), 1);
    assert!(matches!(status[0].verdict, Verdict::Down { .. }), "its state has stayed");
    let clock = SystemClock::start();
    let until = clock.mono().after(Duration::from_secs(20));
    while running.kept.values("goes", "probe_confirmed_down").last() != Some(&None) {
        assert!(clock.mono() < until, "the series of the target that went did not end");
        clock.sleep_until(clock.mono().after(Duration::from_millis(5))).await;
    }
    let before = running.kept.values("goes", "probe_success").len();
    let stays = running.kept.values("stays", "probe_success").len();
    while running.kept.values("stays", "probe_success").len() < stays + 3 {
        assert!(clock.mono() < until, "the target that stayed is looked at no more");
        clock.sleep_until(clock.mono().after(Duration::from_millis(5))).await;
    }
    assert_eq!(running.kept.values("goes", "probe_success").len(), before);
}

struct Panics;

impl Prober for Panics {
    fn probe(&self, _deadline: Tick) -> Doing<'_, Outcome> {
        Box::pin(async { panic!("a bug") })
    }
}

struct Hangs;

impl Prober for Hangs {
    fn probe(&self, _deadline: Tick) -> Doing<'_, Outcome> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn a_bug_in_a_prober_is_not_their_fault() {
    let server = switched(Arc::new(AtomicBool::new(true))).await;
    let mut running = start(&settings(vec![]));
    {
        let mut plan = running.schedule.plan.write().unwrap();
        for (name, prober) in
            [("panics", Box::new(Panics) as Box<dyn Prober>), ("hangs", Box::new(Hangs))]
        {
            let target = Target { timeout: Duration::from_millis(20), ..fast(name, http(&server)) };
            plan.targets.push(Arc::new(Watched {
                facts: Facts::of(&target),
                prober: Ok(prober),
                phase: Tick::default(),
                memory: Arc::new(Memory::new(&target, Tick::default())),
            }));
        }
        plan.edition += 1;
    }
    running.schedule.changed.notify_one();
    for _ in 0..2 {
        let change = running.changes.recv().await.unwrap();
        assert!(matches!(change.now, Verdict::NotMeasured { .. }), "{change:?}");
    }
    let told = running.telemetry.encode();
    for name in ["panicked", "overrun"] {
        let counted = told
            .lines()
            .find(|line| line.starts_with(&format!("augenmass_probe_{name}_looks_total ")));
        assert!(counted.is_some_and(|line| !line.ends_with(" 0")), "{told}");
    }
}

fn end(millis: i64) -> End {
    End {
        wall: Timestamp::from_millis(millis),
        mono: Tick::default(),
        took: Duration::from_nanos(1_234_567),
    }
}

/// Names and points of a batch.
fn shape(batch: &Batch) -> Vec<(&str, &Point)> {
    batch.rows.iter().map(|row| (row.labels.metric_name(), &row.point)).collect()
}

#[test]
fn what_we_cannot_see_goes_stale_once_and_stays_confirmed() {
    let target = target("page", Kind::Http(Box::new(page("http://a.example/"))));
    let memory = Memory::new(&target, Tick::default());
    let down = || -> Outcome {
        Observation::down("gone", vec![Reading::new("x", 1.0).with("phase", "tls")]).into()
    };
    for at in 0..3 {
        memory.record(&Facts::of(&target), &down(), end(at)).unwrap();
    }
    let blind: Outcome = Obstacle::new("no network").into();
    let first = memory.record(&Facts::of(&target), &blind, end(10)).unwrap();
    let stale = [
        ("probe_success", &Point::Stale),
        ("probe_duration_seconds", &Point::Stale),
        ("probe_measured", &Point::Float(0.0)),
        ("probe_confirmed_down", &Point::Float(1.0)),
        ("x", &Point::Stale),
    ];
    assert_eq!(shape(&first.batch), stale);
    let (before, now) = first.change.unwrap();
    assert!(matches!(before, Verdict::Down { .. }));
    assert!(matches!(now, Verdict::NotMeasured { .. }));
    let again = memory.record(&Facts::of(&target), &blind, end(11)).unwrap();
    assert_eq!(shape(&again.batch), &stale[2..4]);
    assert!(again.change.is_none());
    let seen = memory.record(&Facts::of(&target), &down(), end(12)).unwrap();
    assert!(matches!(seen.change, Some((_, Verdict::Down { .. }))), "still confirmed");
}

#[test]
fn rows_keep_their_order_and_share_their_labels() {
    let mut target = target("page", Kind::Http(Box::new(page("http://a.example/"))));
    let own = [("class", "1"), ("owner", "mallory"), ("phase", "mine")];
    target.labels = Labels::from_pairs(own).unwrap();
    let memory = Memory::new(&target, Tick::default());
    let readings = |with: bool| {
        let mut all = vec![Reading::new("a", 1.0), Reading::new("b", 2.0).with("phase", "tls")];
        all.extend(with.then(|| Reading::new("c", 3.0)));
        Outcome::from(Observation::up("fine", all))
    };
    let first = memory.record(&Facts::of(&target), &readings(true), end(1)).unwrap().batch;
    let second = memory.record(&Facts::of(&target), &readings(true), end(1)).unwrap().batch;
    assert_eq!(&*first.source, "probe/http/homepage/page");
    assert!(first.at < second.at, "one instant, one round");
    let pairs = first.rows.iter().zip(&second.rows);
    for (one, other) in pairs.clone() {
        assert_eq!(one.labels, other.labels);
        assert!(std::ptr::eq(one.labels.as_bytes(), other.labels.as_bytes()));
    }
    let b = &first.rows[5].labels;
    let expected = [
        (METRIC_NAME, "b"),
        ("class", "1"),
        ("owner", "web-team"),
        ("phase", "mine"),
        ("probe", "http"),
        ("service", "homepage"),
        ("target", "page"),
    ];
    assert_eq!(*b, Labels::from_pairs(expected).unwrap());
    assert_eq!(first.rows[1].point, Point::Float(0.001_235), "whole microseconds");
    let without = memory.record(&Facts::of(&target), &readings(false), end(3)).unwrap().batch;
    assert_eq!(without.rows.last().map(|row| &row.point), Some(&Point::Stale));
    let still = memory.record(&Facts::of(&target), &readings(false), end(4)).unwrap().batch;
    assert_eq!(still.rows.len(), 6);
}

#[test]
fn slots_stay_where_they_are_through_a_restart() {
    let target = target("page", Kind::Http(Box::new(page("http://a.example/"))));
    let slot = |mono: u64, wall: i64| {
        let (mono, wall) =
            (Tick(Duration::from_millis(mono)), Timestamp::from_millis(1_700_000_000_000 + wall));
        let phase = Ramp::new(500, mono, wall).phase(&target);
        (wall + phase.since(mono)).millis() % 15_000
    };
    assert_eq!(slot(0, 0), slot(123_456, 7_777));
    assert_eq!(slot(0, 0), slot(99, 14_999));
}

#[test]
fn targets_are_spread_and_newcomers_are_seen_soon() {
    let ramp = Ramp::new(500, Tick::default(), Timestamp::from_millis(1_700_000_000_000));
    let mut by_second = [0; 15];
    for number in 0..500 {
        let kind = Kind::Http(Box::new(page("http://a.example/")));
        let target = target(&format!("page {number}"), kind);
        let phase = ramp.phase(&target);
        by_second[usize::try_from(phase.0.as_secs()).unwrap()] += 1;
        assert!(ramp.first(&target, phase).0 <= Duration::from_secs(5));
    }
    assert!(by_second.iter().all(|count| (15..=55).contains(count)), "{by_second:?}");
}

#[test]
fn an_overrun_skips_slots_and_keeps_the_beat() {
    let at = |seconds: u64| Tick(Duration::from_secs(seconds));
    let every = Duration::from_secs(15);
    assert_eq!(next_slot(at(5), every, at(5), at(6)), (at(20), 0));
    assert_eq!(next_slot(at(5), every, at(5), at(20)), (at(35), 1));
    assert_eq!(next_slot(at(5), every, at(5), at(64)), (at(65), 3));
    assert_eq!(next_slot(at(5), every, at(0), at(1)), (at(5), 0));
}
