use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use crate::model::{Histogram, Labels, Point as Stored, STALE, Timestamp};
use crate::promql::{
    Answer, EvalError, EvalErrorKind, Interrupt, MemoryStore, Options, Point, Value, instant,
    parse, range, script,
};

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn store(text: &str) -> MemoryStore {
    let mut store = MemoryStore::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let written = script::parse_series(line).unwrap();
        for (at, value) in written.values.into_iter().enumerate() {
            if let Some(point) = value {
                store.append(&written.labels, time(at as i64 * 15), point, None);
            }
        }
    }
    store
}

fn ask(store: &MemoryStore, query: &str, at: i64) -> Result<Answer, EvalError> {
    instant(&parse(query).unwrap(), store, time(at), &Options::default())
}

fn one(store: &MemoryStore, query: &str, at: i64) -> f64 {
    match ask(store, query, at).unwrap().value {
        Value::Scalar(_, value) => value,
        Value::Vector(samples) if samples.len() == 1 => samples[0].value.float().unwrap(),
        other => panic!("{query}: {other:?}"),
    }
}

#[test]
fn rates_know_resets() {
    let store = store("c_total 0 10 20 5 15");
    // 10, 20, 5, 15 within the minute: 25 in 45 s, extrapolated to 60 s.
    let wanted = 25.0 * ((45.0 + 15.0) / 45.0);
    assert_eq!(one(&store, "increase(c_total[1m])", 60), wanted);
    assert_eq!(one(&store, "resets(c_total[5m])", 60), 1.0);
}

#[test]
fn a_series_that_ended_is_gone() {
    let store = store("up 1 1 stale");
    assert!(matches!(ask(&store, "up", 30).unwrap().value, Value::Vector(v) if v.is_empty()));
    assert_eq!(one(&store, "absent(up)", 30), 1.0);
    assert_eq!(one(&store, "count_over_time(up[1m])", 30), 2.0);
}

#[test]
fn names_are_dropped_at_once_unless_told_otherwise() {
    let store = store("a_total{x=\"1\"} 0+1x20\nb_total{x=\"1\"} 0+1x20");
    let query = "rate({__name__=~\".*_total\"}[1m])";
    let error = ask(&store, query, 60).unwrap_err();
    assert_eq!(error.message, "vector cannot contain metrics with the same labelset");
    let delayed = Options { delayed_name_removal: true, ..Options::default() };
    let query = parse(&format!("sum by (__name__) ({query})")).unwrap();
    assert!(instant(&query, &store, time(60), &delayed).is_err());
}

#[test]
fn a_query_can_be_stopped() {
    let store = store("x 1x100");
    let asked = AtomicUsize::new(0);
    let interrupt = || {
        let before = asked.fetch_add(1, Ordering::Relaxed);
        (before > 2).then_some(Interrupt::Canceled)
    };
    let options = Options { interrupt: &interrupt, ..Options::default() };
    let query = parse("stddev_over_time(x[1h:1s])").unwrap();
    let outcome = range(&query, &store, time(0), time(20_000), Duration::from_secs(1), &options);
    assert_eq!(outcome.unwrap_err().kind, EvalErrorKind::Canceled);
    assert_eq!(asked.load(Ordering::Relaxed), 4);
}

#[test]
fn hostile_queries_get_an_error() {
    let store = store("x{a=\"1\"} 1x100\nx{a=\"2\"} 2x100");
    for query in [
        "x[1000y]",
        "max_over_time(x[100y:1ms])",
        "max_over_time(max_over_time(x[1y:1ms])[1y:1ms])",
        "max_over_time(vector(1)[290y:1ms])",
        "topk(NaN, x)",
        "count_values(\"\", x)",
        "x offset (1/0)",
        "x * on () x",
    ] {
        let outcome = parse(query).map(|expr| {
            let options = Options { max_samples: 100_000, max_series: 1, ..Options::default() };
            instant(&expr, &store, time(60), &options)
        });
        assert!(outcome.is_err() || outcome.unwrap().is_err(), "{query}");
    }
    let all = Options { max_samples: 1000, ..Options::default() };
    let query = parse("{__name__=~\".+\"}").unwrap();
    let year = time(365 * 86_400);
    assert!(range(&query, &store, time(0), year, Duration::from_millis(1), &all).is_err());
    assert!(range(&query, &store, time(1), time(0), Duration::from_secs(1), &all).is_err());
    assert!(range(&query, &store, time(0), time(1), Duration::ZERO, &all).is_err());
    let far = Timestamp::MAX;
    assert!(instant(&query, &store, far, &all).is_ok());
    assert!(
        instant(&parse("rate(x[5m] offset -1y)").unwrap(), &store, Timestamp::MIN, &all).is_ok()
    );
}

#[test]
fn what_the_parser_takes_fits_on_the_stack() {
    let store = store("x 1x100");
    for query in [
        format!("{}x{}", "(".repeat(90), ")".repeat(90)),
        format!("{}x{}", "abs(".repeat(60), ")".repeat(60)),
        format!("{}x{}", "sum(".repeat(60), ")".repeat(60)),
        format!("x{}", " + x".repeat(150)),
        format!("x{}", " or x".repeat(150)),
        format!("x{}", " ^ x".repeat(60)),
        format!("x{}", "[1m:15s]".repeat(0)),
    ] {
        let expr = parse(&query).unwrap();
        assert!(instant(&expr, &store, time(60), &Options::default()).is_ok(), "{query}");
        assert_eq!(parse(&expr.to_string()).unwrap().to_string(), expr.to_string());
    }
}

#[test]
fn identical_selectors_are_read_once() {
    struct Counting(MemoryStore, AtomicUsize);
    use crate::model::{Columns, Matcher, Window};
    use crate::ports::{Found, Select, SelectError, SeriesId};
    impl Select for Counting {
        fn find(&self, matchers: &[Matcher], window: Window) -> Result<Vec<Found>, SelectError> {
            self.1.fetch_add(1, Ordering::Relaxed);
            self.0.find(matchers, window)
        }
        fn read(
            &self,
            id: SeriesId,
            window: Window,
            into: &mut Columns,
        ) -> Result<(), SelectError> {
            self.0.read(id, window, into)
        }
    }
    let counting = Counting(store("x{a=\"1\"} 1+1x100"), AtomicUsize::new(0));
    let query = parse("rate(x[1m]) / x + max_over_time(x[5m] offset 1m)").unwrap();
    let answer = instant(&query, &counting, time(600), &Options::default()).unwrap();
    assert!(matches!(answer.value, Value::Vector(v) if v.len() == 1));
    assert_eq!(counting.1.load(Ordering::Relaxed), 1);
}

#[test]
fn experimental_parts_can_be_switched_off() {
    let store = store("x 1x100");
    let off = Options { experimental: false, ..Options::default() };
    let error = instant(&parse("limitk(1, x)").unwrap(), &store, time(0), &off).unwrap_err();
    assert_eq!(error.kind, EvalErrorKind::BadData);
}

/// Queries over the stores below, whose points do not depend on the other steps.
const QUERIES: &[&str] = &[
    "m",
    "-m",
    "rate(m[1m])",
    "increase(m[2m] offset 15s)",
    "irate(m[1m])",
    "delta(m[1m])",
    "sum(m)",
    "avg by (a) (m)",
    "stddev without (b) (m)",
    "quantile(0.3, m)",
    "topk(2, m)",
    "bottomk by (a) (1, m)",
    "count_values(\"v\", round(m))",
    "max_over_time(m[1m])",
    "avg_over_time(m[45s])",
    "stdvar_over_time(m[1m])",
    "quantile_over_time(0.5, m[1m])",
    "deriv(m[2m])",
    "predict_linear(m[2m], 60)",
    "changes(m[2m])",
    "m + on (b) group_left sum by (b) (m)",
    "m > 2",
    "2 < bool m",
    "m and m > 3",
    "m unless on (a) m > 3",
    "m > 4 or m",
    "absent(m > 5)",
    "scalar(m) + time()",
    "sum_over_time(m[1m:10s])",
    "max_over_time(rate(m[30s])[2m:20s])",
    "label_replace(m, \"c\", \"$1\", \"a\", \"(.*)\")",
    "clamp(m, 1, 3)",
    "timestamp(m)",
    "h",
    "rate(h[1m])",
    "histogram_quantile(0.5, h)",
    "sum(h)",
    "histogram_count(h) / 2",
    "m @ 60",
    "increase(m[1m] smoothed)",
    "changes(m[1m] anchored)",
];

fn any_store() -> impl Strategy<Value = MemoryStore> {
    let value = prop_oneof![
        8 => (0u8..6).prop_map(f64::from),
        1 => Just(STALE),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
    ];
    let samples = proptest::collection::vec((1i64..25_000, value), 0..30);
    let histograms = proptest::collection::vec((1i64..40_000, 0u8..5, 0u8..5), 0..8);
    (proptest::collection::vec(samples, 4), histograms).prop_map(|(all, histograms)| {
        let mut store = MemoryStore::new();
        for (at, samples) in all.into_iter().enumerate() {
            let (a, b) = ((at / 2).to_string(), (at % 2).to_string());
            let labels = [("__name__", "m"), ("a", a.as_str()), ("b", b.as_str())];
            let labels = Labels::from_pairs(labels).unwrap();
            let mut millis = 0;
            for (gap, value) in samples {
                millis += gap;
                let at = Timestamp::from_millis(millis);
                let point = if crate::model::is_stale(value) {
                    Stored::Stale
                } else {
                    Stored::Float(value)
                };
                store.append(&labels, at, point, None);
            }
        }
        let labels = Labels::from_pairs([("__name__", "h"), ("a", "0")]).unwrap();
        let mut millis = 0;
        for (gap, low, high) in histograms {
            millis += gap;
            let (low, high) = (f64::from(low), f64::from(high));
            let text =
                format!("count:{} sum:{} buckets:[{low} {high}]", low + high, low + 2.0 * high);
            let histogram: Histogram = script::parse_histogram(&text).unwrap();
            let point = Stored::Histogram(Arc::new(histogram));
            store.append(&labels, Timestamp::from_millis(millis), point, None);
        }
        store
    })
}

/// Everything about a vector, in an order that does not depend on how it came about.
fn rows(samples: impl IntoIterator<Item = (Labels, Point)>) -> Vec<String> {
    let mut rows: Vec<String> =
        samples.into_iter().map(|(labels, point)| format!("{labels} {point:?}")).collect();
    rows.sort();
    rows
}

fn at_once(store: &MemoryStore, query: &str, at: Timestamp) -> Vec<String> {
    match instant(&parse(query).unwrap(), store, at, &Options::default()).unwrap().value {
        Value::Vector(samples) => rows(samples.into_iter().map(|s| (s.labels, s.value))),
        Value::Scalar(_, value) => rows([(Labels::empty(), Point::Float(value))]),
        other => panic!("{other:?}"),
    }
}

fn total(store: &MemoryStore, query: &str) -> Vec<f64> {
    match ask(store, query, 120).unwrap().value {
        Value::Vector(samples) => samples.iter().filter_map(|s| s.value.float()).collect(),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn an_instant_query_is_a_point_of_a_range_query(store in any_store(), step in 10i64..60) {
        for query in QUERIES {
            let expr = parse(query).unwrap();
            let step = Duration::from_secs(step as u64);
            let answer = range(&expr, &store, time(10), time(300), step, &Options::default());
            let Value::Matrix(matrix) = answer.unwrap().value else { panic!("no matrix") };
            let mut at = time(10);
            while at <= time(300) {
                let here = matrix.iter().filter_map(|series| {
                    let (_, point) = series.points.iter().find(|(time, _)| *time == at)?;
                    Some((series.labels.clone(), point.clone()))
                });
                prop_assert_eq!(rows(here), at_once(&store, query, at), "{} at {}", query, at);
                at = at + step;
            }
        }
    }

    #[test]
    fn parts_make_up_the_whole(store in any_store()) {
        for (whole, parts) in [
            ("max(m)", "max(max by (a) (m))"),
            ("min(m)", "min(min without (a) (m))"),
            ("count(m)", "sum(count by (b) (m))"),
            ("sum(m < 9)", "sum(sum by (a, b) (m < 9))"),
            ("count(m)", "count(m > 2) + (count(m <= 2) or vector(0)) + (count(m != m) or vector(0)) or count(m)"),
            ("group(m)", "group(group by (a) (m))"),
        ] {
            let (whole, parts) = (total(&store, whole), total(&store, parts));
            prop_assert_eq!(whole.len(), parts.len());
            for (a, b) in whole.iter().zip(&parts) {
                prop_assert!(a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn no_query_panics(store in any_store(), at in -1000i64..1000, a in 0..QUERIES.len(), b in 0..QUERIES.len()) {
        for query in [
            format!("({}) / on (a) group_right (b) ({})", QUERIES[a], QUERIES[b]),
            format!("quantile_over_time(1.5, ({})[1m:7s] offset -20s)", QUERIES[a]),
            format!("histogram_fraction(0, 1, ({}) - ({}))", QUERIES[a], QUERIES[b]),
            format!("info(({}), {{x=~\".*\"}})", QUERIES[b]),
            format!("limit_ratio(-0.5, ({}) </ 1.5)", QUERIES[a]),
        ] {
            if let Ok(expr) = parse(&query) {
                let options = Options { max_samples: 100_000, ..Options::default() };
                let _ = instant(&expr, &store, time(at), &options);
                let _ = range(&expr, &store, time(at), time(at + 60), Duration::from_secs(7), &options);
            }
        }
    }
}
