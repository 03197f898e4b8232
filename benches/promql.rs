//! The parts of a query that cost time, with what they allocate (`max alloc` is the peak).
//!
//!     cargo bench --bench promql
//!
//! 200 series of 1,440 samples (6 h at 15 s) in memory; a range query has 360 steps.

use std::sync::OnceLock;
use std::time::Duration;

use augenmass::model::{Labels, Point, Timestamp};
use augenmass::promql::{Answer, Expr, MemoryStore, Options, instant, parse, range};
use augenmass::web::result_json;
use divan::{Bencher, black_box};

#[global_allocator]
static ALLOCATOR: divan::AllocProfiler = divan::AllocProfiler::system();

const SAMPLES: i64 = 1_440;
const END: i64 = SAMPLES * 15;

const QUERIES: &[&str] = &[
    "requests_total",
    "rate(requests_total[5m])",
    "sum by (site) (rate(requests_total[5m]))",
    "histogram_quantile(0.99, sum by (site, le) (rate(requests_total[5m])))",
    "avg_over_time(requests_total[1h])",
    "max_over_time(requests_total[1h])",
    "quantile_over_time(0.9, requests_total[10m])",
    "topk(3, requests_total)",
    "quantile by (site) (0.5, requests_total)",
    "requests_total{site=~\"s[1-3]\"} / on (instance, le) requests_total",
    "max_over_time(rate(requests_total[5m])[30m:1m])",
    "label_replace(requests_total, \"x\", \"$1\", \"instance\", \"h(.*)\")",
];

fn store() -> &'static MemoryStore {
    static STORE: OnceLock<MemoryStore> = OnceLock::new();
    STORE.get_or_init(|| {
        let mut store = MemoryStore::new();
        for host in 0..20 {
            for le in ["0.1", "0.5", "1", "2", "5", "10", "20", "50", "100", "+Inf"] {
                let (instance, site) = (format!("h{host}"), format!("s{}", host % 5));
                let labels = [
                    ("__name__", "requests_total"),
                    ("instance", &instance),
                    ("site", &site),
                    ("le", le),
                ];
                let labels = Labels::from_pairs(labels).unwrap();
                for step in 0..SAMPLES {
                    let value = (step * (3 + host)) as f64 + (step % 7) as f64;
                    let at = Timestamp::from_millis(step * 15_000);
                    store.append(&labels, at, Point::Float(value), None);
                }
            }
        }
        store
    })
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn over_six_hours(expr: &Expr) -> Answer {
    let step = Duration::from_secs(60);
    range(expr, store(), at(60), at(END), step, &Options::default()).unwrap()
}

#[divan::bench(args = QUERIES)]
fn range_query(bencher: Bencher<'_, '_>, query: &str) {
    let expr = parse(query).unwrap();
    store();
    bencher.bench(|| over_six_hours(black_box(&expr)));
}

#[divan::bench(args = QUERIES)]
fn instant_query(bencher: Bencher<'_, '_>, query: &str) {
    let expr = parse(query).unwrap();
    store();
    bencher
        .bench(|| instant(black_box(&expr), store(), at(END - 15), &Options::default()).unwrap());
}

#[divan::bench(args = QUERIES)]
fn parsing(query: &str) -> Expr {
    parse(black_box(query)).unwrap()
}

/// 72,000 values.
#[divan::bench]
fn answer_as_json(bencher: Bencher<'_, '_>) {
    let answer = over_six_hours(&parse("rate(requests_total[5m])").unwrap());
    bencher.bench(|| result_json(black_box(&answer.value)));
}

fn main() {
    divan::main();
}
