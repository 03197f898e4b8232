mod crash;
mod real;
mod sim_disk;
mod transfer;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proptest::prelude::*;

use super::{Settings, Store};
use crate::model::{
    Batch, Columns, Histogram, Labels, Matcher, Pattern, Point, Row, STALE, Test, Timestamp, Window,
};
use crate::ports::{Append, Appended, Clock, Doing, Queryable, Snapshot, Tick};
use crate::telemetry::Telemetry;

const ALL: Window = Window { after: Timestamp::MIN, through: Timestamp::MAX };

/// A clock that tests set.
pub(super) struct SetClock(pub(super) AtomicI64);

impl Clock for SetClock {
    fn wall(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }
    fn mono(&self) -> Tick {
        Tick(Duration::from_millis(self.0.load(Ordering::Relaxed).unsigned_abs()))
    }
    fn sleep_until(&self, _: Tick) -> Doing<'_, ()> {
        Box::pin(std::future::pending())
    }
}

fn open(settings: Settings) -> (Arc<Store>, Arc<SetClock>) {
    let clock = Arc::new(SetClock(AtomicI64::new(0)));
    let store = Store::open(settings, clock.clone(), Telemetry::new()).unwrap();
    (store, clock)
}

/// Without a disk an append is done when it returns.
fn append(store: &Store, batch: Batch) -> Appended {
    let future = store.append(batch);
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(appended) => appended.unwrap(),
        Poll::Pending => panic!("an append to memory waits for nothing"),
    }
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn series(name: &str, target: &str) -> Labels {
    Labels::from_pairs([("__name__", name), ("target", target)]).unwrap()
}

fn batch(source: &str, millis: i64, values: &[(Labels, f64)]) -> Batch {
    let mut batch = Batch::new(source.into(), at(millis));
    for (labels, value) in values {
        batch.push(labels.clone(), *value);
    }
    batch
}

fn read(view: &Snapshot, matchers: &[Matcher], window: Window) -> BTreeMap<String, Columns> {
    let mut all = BTreeMap::new();
    let found = view.find(matchers, window).unwrap();
    for found in &found {
        let mut into = Columns::default();
        view.read(found.id, window, &mut into).unwrap();
        if !into.is_empty() {
            all.insert(found.labels.to_string(), into);
        }
    }
    // Neighbours are read another way, with the same result.
    let (mut beside, mut into, mut seen) = (BTreeMap::new(), Columns::default(), 0);
    view.read_each(&found, window, &mut into, &mut |found, columns| {
        seen += 1;
        if !columns.is_empty() {
            beside.insert(found.labels.to_string(), columns.clone());
        }
        true
    })
    .unwrap();
    assert_eq!(seen, found.len());
    // As text: the staleness marker equals nothing.
    assert_eq!(format!("{beside:?}"), format!("{all:?}"));
    all
}

fn floats(columns: &Columns) -> Vec<(i64, f64)> {
    columns.times.iter().map(|t| t.millis()).zip(columns.values.iter().copied()).collect()
}

#[test]
fn a_snapshot_sees_all_of_a_batch_or_nothing() {
    let (store, _) = open(Settings::default());
    let (a, b) = (series("up", "a"), series("up", "b"));
    append(&store, batch("p", 1, &[(a.clone(), 1.0), (b.clone(), 2.0)]));
    let before = store.snapshot();
    for n in 2..100 {
        append(&store, batch("p", n, &[(a.clone(), 1.0), (b.clone(), 2.0)]));
    }
    append(&store, batch("q", 50, &[(series("new", "c"), 1.0)]));
    let seen = read(&before, &[], ALL);
    assert_eq!(seen.len(), 2);
    assert!(seen.values().all(|columns| columns.len() == 1), "{seen:?}");
    let after = read(&store.snapshot(), &[], ALL);
    assert_eq!(after.len(), 3);
    assert_eq!(after["up{target=\"a\"}"].len(), 99);
}

#[test]
fn out_of_order_is_sorted_twice_is_once_and_the_last_written_wins() {
    let (store, _) = open(Settings::default());
    let up = series("up", "a");
    for (time, value) in [(1_000, 1.0), (3_000, 3.0), (2_000, 2.0), (3_000, 3.0), (1_000, 9.0)] {
        append(&store, batch("p", time, &[(up.clone(), value)]));
    }
    let seen = read(&store.snapshot(), &[], ALL);
    assert_eq!(floats(&seen["up{target=\"a\"}"]), [(1_000, 9.0), (2_000, 2.0), (3_000, 3.0)]);
    let window = Window { after: at(1_000), through: at(2_000) };
    let part = read(&store.snapshot(), &[], window);
    assert_eq!(floats(&part["up{target=\"a\"}"]), [(2_000, 2.0)]);
}

#[test]
fn what_is_too_old_is_refused_and_counted() {
    let (store, _) = open(Settings::default());
    let up = series("up", "a");
    let hour = 3_600_000;
    append(&store, batch("p", 0, &[(up.clone(), 1.0)]));
    // Far ahead of our clock: kept, but it does not shut the door for honest clocks.
    append(&store, batch("p", 100 * hour, &[(up.clone(), 2.0)]));
    assert_eq!(append(&store, batch("p", 1, &[(up.clone(), 3.0)])).kept, 1);
    let (store, clock) = open(Settings::default());
    clock.0.store(2 * hour, Ordering::Relaxed);
    append(&store, batch("p", 2 * hour, &[(up.clone(), 1.0)]));
    assert_eq!(append(&store, batch("p", hour, &[(up.clone(), 2.0)])).kept, 1);
    let refused = append(&store, batch("p", hour - 1, &[(up, 3.0)]));
    assert_eq!(refused, Appended { kept: 0, too_old: 1 });
    assert!(store.core().telemetry.encode().contains("augenmass_storage_samples_too_old_total 1"));
}

#[test]
fn stale_markers_and_histograms_are_values_like_others() {
    let (store, _) = open(Settings::default());
    let up = series("up", "a");
    let histogram = Arc::new(Histogram { count: 7.0, sum: 1.5, ..Histogram::default() });
    append(&store, batch("p", 1, &[(up.clone(), 1.0)]));
    let mut odd = Batch::new("p".into(), at(2));
    odd.rows.push(Row { labels: up.clone(), point: Point::Histogram(Arc::clone(&histogram)) });
    append(&store, odd);
    append(&store, batch("p", 3, &[(up, STALE)]));
    let seen = read(&store.snapshot(), &[], ALL);
    let columns = &seen["up{target=\"a\"}"];
    assert_eq!(columns.times, [at(1), at(3)]);
    assert!(crate::model::is_stale(columns.values[1]));
    assert_eq!(columns.histograms, [(at(2), histogram)]);
}

#[test]
fn series_without_samples_leave() {
    let (store, clock) = open(Settings::default());
    let hour = 3_600_000;
    for n in 0..1_000 {
        append(&store, batch("scrape", n, &[(series("churn", &n.to_string()), 1.0)]));
    }
    for n in 0..2_000i64 {
        clock.0.store(n * 15_000, Ordering::Relaxed);
        append(&store, batch("scrape", n * 15_000, &[(series("up", "a"), n as f64)]));
        append(
            &store,
            batch(&format!("once/{n}"), n * 15_000, &[(series("once", &n.to_string()), 1.0)]),
        );
        if n % 240 == 0 {
            store.core().upkeep();
        }
    }
    store.core().upkeep();
    let view = store.snapshot();
    let names = view.label_values("__name__", &[], ALL, 10).unwrap();
    assert_eq!(names, ["once", "up"]);
    let kept = read(&view, &[Matcher::metric("up")], ALL);
    let columns = &kept["up{target=\"a\"}"];
    assert!((720..720 + 257).contains(&columns.len()), "{}", columns.len());
    let left = view.find(&[Matcher::metric("once")], ALL).unwrap().len();
    assert!((720..=721).contains(&left), "{left}");
    assert_eq!(columns.times.last(), Some(&at(1_999 * 15_000)));
    let text = store.core().telemetry.encode();
    assert!(text.contains(&format!("augenmass_storage_series {}", left + 1)), "{text}");
    clock.0.store(100 * hour, Ordering::Relaxed);
    store.core().upkeep();
    assert!(store.core().telemetry.encode().contains("augenmass_storage_series 0"));
    assert!(store.snapshot().find(&[], ALL).unwrap().is_empty());
}

#[test]
fn listings_respect_matchers_and_limits() {
    let (store, _) = open(Settings::default());
    for target in ["a", "b", "c"] {
        append(&store, batch(target, 1, &[(series("up", target), 1.0)]));
    }
    let view = store.snapshot();
    let not_b = vec![Matcher::new("target", Test::NotMatch(Pattern::new("b").unwrap()))];
    assert_eq!(view.label_values("target", &[not_b], ALL, 9).unwrap(), ["a", "c"]);
    assert_eq!(view.label_values("target", &[], ALL, 2).unwrap(), ["a", "b"]);
    assert_eq!(view.label_names(&[], ALL, 9).unwrap(), ["__name__", "target"]);
    let later = Window { after: at(1), through: at(2) };
    assert!(view.label_names(&[], later, 9).unwrap().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is appended, in whatever order, with whatever shapes: the store holds what a plain
    /// map holds, for every window, and an old snapshot holds what the map held then.
    #[test]
    fn the_store_is_a_map(
        batches in proptest::collection::vec(
            (0usize..3, 0i64..300, proptest::collection::vec((0usize..6, 0u8..4), 1..5)), 1..200),
        early in 0usize..200,
        window in (0i64..300, 0i64..300),
    ) {
        let (store, _) = open(Settings::default());
        let mut model: BTreeMap<String, BTreeMap<i64, u64>> = BTreeMap::new();
        let mut then = None;
        for (n, (source, time, rows)) in batches.iter().enumerate() {
            if n == early {
                then = Some((store.snapshot(), model.clone()));
            }
            let mut next = Batch::new(format!("s{source}").into(), at(*time));
            for (column, value) in rows {
                // The upper half comes from all sources.
                let target = if *column < 3 { *source } else { 9 };
                let labels = series(&format!("m{column}"), &target.to_string());
                let value = if *value == 3 { STALE } else { f64::from(*value) };
                model.entry(labels.to_string()).or_default().insert(*time, value.to_bits());
                next.push(labels, value);
            }
            append(&store, next);
        }
        let window = Window { after: at(window.0), through: at(window.1) };
        let views = then.into_iter().chain([(store.snapshot(), model)]);
        for (view, model) in views {
            for window in [window, ALL] {
                let seen: BTreeMap<String, BTreeMap<i64, u64>> = read(&view, &[], window)
                    .into_iter()
                    .map(|(name, columns)| {
                        let values = columns.values.iter().map(|v| v.to_bits());
                        (name, columns.times.iter().map(|t| t.millis()).zip(values).collect())
                    })
                    .collect();
                let wanted: BTreeMap<String, BTreeMap<i64, u64>> = model
                    .iter()
                    .map(|(name, samples)| {
                        let inside = samples.iter().filter(|(t, _)| window.contains(at(**t)));
                        (name.clone(), inside.map(|(t, v)| (*t, *v)).collect::<BTreeMap<_, _>>())
                    })
                    .filter(|(_, samples)| !samples.is_empty())
                    .collect();
                prop_assert_eq!(seen, wanted);
            }
        }
    }
}

/// 500 web targets at 15 s for 3 h, the load that must fit in a small machine beside all else.
#[test]
fn three_hours_of_five_hundred_targets_cost_a_few_mebibytes() {
    let (store, clock) = open(Settings::default());
    let random = Mutex::new(1u64);
    let noise = |below: u64| {
        let mut state = random.lock().unwrap();
        *state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*state >> 33) % below
    };
    let (targets, rows) = (50, 720);
    let labels: Vec<Vec<Labels>> = (0..targets)
        .map(|t| {
            (0..25)
                .map(|m| series(&format!("probe_metric_{m}"), &format!("https://{t}.example.org/")))
                .collect()
        })
        .collect();
    for row in 0..rows {
        for (t, labels) in labels.iter().enumerate() {
            let millis = row * 15_000 + t as i64 * 30 + noise(20) as i64;
            clock.0.store(millis, Ordering::Relaxed);
            let mut next = Batch::new(format!("probe/http/{t}").into(), at(millis));
            for (m, labels) in labels.iter().enumerate() {
                // Seven noisy durations in whole microseconds, the rest flags and constants.
                let value = match m {
                    0..7 => (18_000 + noise(4_000)) as f64 / 1e6,
                    7..18 => 1.0,
                    18..22 => f64::from(m as u32) * 1_234.5,
                    _ => 200.0,
                };
                next.push(labels.clone(), value);
            }
            append(&store, next);
        }
    }
    let sizes = store.core().lock().head.sizes();
    let series = targets * 25;
    let per_series = sizes.samples_bytes / series;
    let per_sample = sizes.samples_bytes as f64 / (series as f64 * rows as f64);
    assert_eq!(sizes.series, series);
    assert!(
        per_series < 600 && per_sample < 0.8,
        "{per_series} per series, {per_sample} per sample"
    );
}
