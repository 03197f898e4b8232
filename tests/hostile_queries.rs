//! Queries that mean harm: the right status, in bounded time and memory, and nobody else notices.

#[path = "peers/board.rs"]
mod board;
#[path = "peers/http.rs"]
mod http;

use std::sync::Arc;
use std::time::{Duration, Instant};

use augenmass::model::{Columns, Labels, Matcher, Timestamp, Window};
use augenmass::ports::{Found, Select, SelectError, SeriesId};
use augenmass::promql::{MemoryStore, Options, STACK, instant, parse, range};
use board::Served;
use http::{ask, connect, post, read};
use serde_json::Value;
use std::io::Write;

/// A year of samples each ten minutes in 50,000 series.
struct Vast(Vec<Labels>);

const SERIES: usize = 50_000;
const YEAR: i64 = 365 * 86_400;
const END: i64 = 1_780_272_000;

impl Vast {
    fn new() -> Self {
        let labels = |number: usize| {
            let (name, text) = (format!("metric_{}", number % 100), number.to_string());
            Labels::from_pairs([("__name__", name.as_str()), ("n", text.as_str())]).unwrap()
        };
        Self((0..SERIES).map(labels).collect())
    }
}

impl Select for Vast {
    fn find(&self, matchers: &[Matcher], _: Window) -> Result<Vec<Found>, SelectError> {
        let all = self.0.iter().enumerate();
        let fits = all.filter(|(_, labels)| matchers.iter().all(|one| one.matches(labels)));
        Ok(fits
            .map(|(at, labels)| Found { id: SeriesId(at as u64), labels: labels.clone() })
            .collect())
    }

    fn read(&self, _: SeriesId, window: Window, into: &mut Columns) -> Result<(), SelectError> {
        into.clear();
        let first = (window.after.millis() / 1000).max(END - YEAR).div_euclid(600) * 600;
        let last = (window.through.millis() / 1000).min(END);
        for at in (first..=last).step_by(600) {
            let time = Timestamp::from_millis(at * 1000);
            if window.contains(time) {
                into.times.push(time);
                into.values.push(at as f64);
            }
        }
        Ok(())
    }
}

/// Name, query, further parameters, status, words of the answer.
type Case<'a> = (&'a str, String, Vec<(&'a str, &'a str)>, u16, &'a str);

/// Most memory of this process since the last call, in bytes.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let peak = line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok()? * 1024;
    std::fs::write("/proc/self/clear_refs", "5").ok()?;
    Some(peak)
}

fn form(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

#[test]
#[allow(clippy::disallowed_methods, clippy::too_many_lines)] // a table; real time is the matter
fn harm_is_bounded() {
    let now = Timestamp::from_millis(END * 1000);
    let served = Served::over(Served::settings(), Arc::new(Vast::new()), Vec::new(), now);
    let start = (END - YEAR).to_string();
    let year = [("start", start.as_str()), ("end", "1780272000"), ("step", "3600")];
    let long = |part: &str, times: usize| part.repeat(times);
    let cases: Vec<Case<'_>> = vec![
        ("many openings", long("(", 500_000), vec![], 400, "unclosed left parenthesis"),
        (
            "deep nesting",
            long("(", 100_000) + "1" + &long(")", 100_000),
            vec![],
            400,
            "nested deeper than 200",
        ),
        (
            "deep calls",
            long("sum(", 100_000) + "up" + &long(")", 100_000),
            vec![],
            400,
            "nested deeper than 200",
        ),
        ("many signs", long("-", 500_000) + "1", vec![], 400, "nested deeper than 200"),
        ("a long row", long("1+", 400_000) + "1", vec![], 400, "on top of each other"),
        (
            "one MiB",
            "metric_1{n=\"".to_owned() + &long("x", 1 << 20) + "\"}",
            vec![],
            400,
            "query is longer than",
        ),
        (
            "a giant regex",
            "{n=~\"(((a{1000}){1000}){1000})\"}".to_owned(),
            vec![],
            400,
            "parse error",
        ),
        ("a slow regex", "count({n=~\"(a+)+(b+)+(c|d)*x\"})".to_owned(), vec![], 200, "success"),
        (
            "everything for a year",
            "{__name__=~\".+\"}".to_owned(),
            year.to_vec(),
            422,
            "too many samples",
        ),
        (
            "the same, smaller",
            "count({__name__=~\".+\"})".to_owned(),
            vec![("timeout", "1ms")],
            503,
            "timed out",
        ),
        (
            "steps of a millisecond",
            "max_over_time(metric_1[1d:1ms])".to_owned(),
            vec![],
            422,
            "too many samples",
        ),
        (
            "no end of windows",
            "stddev_over_time(metric_1[300d])".to_owned(),
            [&year[..], &[("timeout", "1s")]].concat(),
            503,
            "timed out",
        ),
        ("endless ranges", "metric_1[100000y]".to_owned(), vec![], 400, "out of range"),
        ("far away", "metric_1 offset 290000000y".to_owned(), vec![], 400, "out of range"),
        ("topk of very many", "topk(1e300, metric_1)".to_owned(), vec![], 422, "overflows int64"),
        (
            "limitk of very many",
            "limitk(1e300, metric_1)".to_owned(),
            vec![],
            422,
            "overflows int64",
        ),
        (
            "a label for each value",
            "count_values(\"v\", metric_1)".to_owned(),
            year.to_vec(),
            422,
            "too many samples",
        ),
        (
            "each with each",
            "metric_1 * on () group_left metric_2".to_owned(),
            vec![],
            422,
            "many-to-many",
        ),
        (
            "no step",
            "metric_1".to_owned(),
            vec![("start", "1"), ("end", "2"), ("step", "0")],
            400,
            "zero or negative",
        ),
        (
            "backwards",
            "metric_1".to_owned(),
            vec![("start", "2"), ("end", "1"), ("step", "1")],
            400,
            "must not be before",
        ),
        (
            "too many points",
            "metric_1".to_owned(),
            vec![("start", "0"), ("end", "11001"), ("step", "1")],
            400,
            "11,000 points",
        ),
        (
            "eternal",
            "metric_1".to_owned(),
            vec![("start", "-9e15"), ("end", "9e15"), ("step", "1")],
            400,
            "",
        ),
        (
            "no number",
            "metric_1".to_owned(),
            vec![("start", "NaN"), ("end", "1"), ("step", "1")],
            400,
            "valid timestamp",
        ),
    ];
    let _ = peak();
    for (name, query, more, status, words) in cases {
        let begun = Instant::now();
        let path =
            if more.iter().any(|(name, _)| *name == "step") { "query_range" } else { "query" };
        let mut pairs = vec![("query", query.as_str())];
        if path == "query" {
            pairs.push(("time", "1780272000"));
        }
        pairs.extend(more);
        let answer = post(served.address, &format!("/api/v1/{path}"), &form(&pairs));
        let text = answer.text();
        let shown: String = text.chars().take(300).collect();
        assert_eq!(answer.status, status, "{name}: {shown}");
        assert!(text.contains(words), "{name}: {shown}");
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(60), "{name} took {took:?}");
        let most = peak().unwrap_or(0);
        println!("{name}: {status} after {took:?}, {} MiB at most", most >> 20);
        assert!(most < 700 << 20, "{name} took {most} bytes");
        // Others are served as before.
        assert_eq!(ask(served.address, "GET /-/healthy", &[]).status, 200);
    }
}

#[test]
fn bodies_that_are_no_forms_are_refused() {
    let served = Served::start(Served::settings());
    let send = |kind: &str, body: &[u8]| {
        let mut stream = connect(served.address);
        let head = format!(
            "POST /api/v1/query HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\
             Content-Type: {kind}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let answer = read(stream);
        let json: Value = serde_json::from_slice(&answer.body).unwrap();
        (answer.status, json["errorType"].as_str().unwrap_or("none").to_owned())
    };
    let refused = (400, "bad_data".to_owned());
    let form = "application/x-www-form-urlencoded";
    assert_eq!(send("text/plain", b"query=1"), refused);
    assert_eq!(send("application/json", b"{\"query\":\"1\"}"), refused);
    assert_eq!(send("", b"query=1"), refused);
    assert_eq!(send(form, b"query=\xff\xfe"), refused);
    assert_eq!(send(form, b"query=%ff"), refused);
    assert_eq!(send(&format!("{form}; charset=utf-8"), b"query=1").0, 200);
}

/// On a stack as large as those of the threads that evaluate.
fn with_stack(run: impl FnOnce() + Send + 'static) {
    // Frames without optimisation are several times larger.
    let size = if cfg!(debug_assertions) { 96 << 20 } else { STACK };
    std::thread::Builder::new().stack_size(size).spawn(run).unwrap().join().unwrap();
}

#[test]
fn what_generators_write_is_understood() {
    with_stack(|| {
        let store = MemoryStore::new();
        let options = Options::default();
        for query in [
            format!("{}1{}", "(".repeat(90), ")".repeat(90)),
            format!("{}1", "1+".repeat(900)),
            format!("{}up", "up or ".repeat(900)),
            format!("{}up", "up / on (job) ".repeat(900)),
            format!("{}up{}", "sum(".repeat(60), ")".repeat(60)),
            format!("{}up{}", "max_over_time(".repeat(30), "[5m:1m])".repeat(30)),
            // High and deep at once.
            format!("{}up{}", "(".repeat(80), " or up or up or up or up)".repeat(80)),
        ] {
            let expr = parse(&query).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(parse(&expr.to_string()).unwrap().to_string(), expr.to_string());
            let _ = expr.pretty();
            let at = Timestamp::from_millis(1_000_000);
            assert!(instant(&expr, &store, at, &options).is_ok());
            let minute = Duration::from_secs(60);
            assert!(range(&expr, &store, at, at + minute, minute, &options).is_ok());
        }
        for query in [
            format!("{}1", "1+".repeat(1_100)),
            format!("{}up", "up or ".repeat(1_100)),
            // No row is long, but each stands on the one inside.
            format!("{}up{}", "(".repeat(80), format!("{})", " or up".repeat(100)).repeat(80)),
        ] {
            let error = parse(&query).unwrap_err().to_string();
            assert!(error.contains("operators on top of each other"), "{error}");
        }
    });
}
