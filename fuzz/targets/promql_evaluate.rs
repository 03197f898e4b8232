//! Any query over a small store: no panic, and no more samples than the limit allows.
#![no_main]

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use augenmass::model::{Labels, Point, Timestamp};
use augenmass::promql::{Interrupt, MemoryStore, Options, Value, instant, parse, range};

const LIMIT: usize = 20_000;
const PATIENCE: usize = 400;

fn store() -> &'static MemoryStore {
    static STORE: OnceLock<MemoryStore> = OnceLock::new();
    STORE.get_or_init(|| {
        let mut store = MemoryStore::new();
        for (name, series) in [("a", 3), ("b", 2), ("h_bucket", 4)] {
            for number in 0..series {
                let le = ["0.1", "1", "10", "+Inf"][number];
                let labels =
                    [("__name__", name), ("l", ["x", "y", "z", "w"][number]), ("le", le)];
                let labels = Labels::from_pairs(labels).unwrap();
                for step in 0..40i64 {
                    let value = [step as f64, -1.5, f64::NAN, f64::INFINITY][number] + step as f64;
                    let at = Timestamp::from_millis(step * 15_000);
                    store.append(&labels, at, Point::Float(value), None);
                }
            }
        }
        store
    })
}

fn points(value: &Value) -> usize {
    match value {
        Value::Scalar(..) | Value::String(..) => 1,
        Value::Vector(samples) => samples.len(),
        Value::Matrix(series) => series.iter().map(|series| series.points.len()).sum(),
    }
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(expr) = parse(text) else { return };
    let asked = AtomicUsize::new(0);
    let interrupt = || {
        (asked.fetch_add(1, Ordering::Relaxed) > PATIENCE).then_some(Interrupt::Timeout)
    };
    let options = Options { max_samples: LIMIT, interrupt: &interrupt, ..Options::default() };
    let time = |seconds: i64| Timestamp::from_millis(seconds * 1000);
    let most = Cell::new(0);
    for answer in [
        instant(&expr, store(), time(300), &options),
        range(&expr, store(), time(0), time(600), Duration::from_secs(60), &options),
    ] {
        most.set(most.get().max(answer.map_or(0, |answer| points(&answer.value))));
    }
    assert!(most.get() <= LIMIT);
});
