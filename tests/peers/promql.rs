//! The engine beside a real Prometheus 3: the same samples, the same made-up queries, the same
//! answers.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use augenmass::model::{Labels, Point as Sample, Timestamp};
use augenmass::promql::{
    MemoryStore, Options, Point, Value as Answer, format_float, instant, parse, range, script,
};
use serde_json::Value;

use crate::harness::{Running, free_port, require, wait_for, wait_for_port};
use crate::http::post;

const START: i64 = 1_750_000_000;
const STEP: i64 = 15;
const SAMPLES: i64 = 240;
const QUERIES: usize = 400;

/// Xorshift: the same queries in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

/// Counters with resets, gauges with gaps, a classic histogram; as a page and as a store.
fn samples(chance: &mut Chance) -> (String, MemoryStore) {
    let (mut page, mut store) = (String::new(), MemoryStore::new());
    let mut add = |family: &str, labels: &str, counter: bool, chance: &mut Chance| {
        let series = format!("{family}{labels}");
        let parsed: Labels = script::parse_labels(&series).unwrap();
        let mut value = chance.below(50) as f64;
        for at in 0..SAMPLES {
            value += if counter { chance.below(9) as f64 } else { chance.below(9) as f64 - 4.0 };
            if counter && chance.below(60) == 0 {
                value = 0.0;
            }
            if !counter && chance.below(25) == 0 {
                continue;
            }
            let time = START + at * STEP;
            let _ = writeln!(page, "{series} {value} {time}");
            let at = Timestamp::from_millis(time * 1000);
            store.append(&parsed, at, Sample::Float(value), None);
        }
    };
    for instance in ["a", "b", "c"] {
        for code in ["200", "500"] {
            let labels = format!("{{instance=\"{instance}\",code=\"{code}\"}}");
            add("requests_total", &labels, true, chance);
        }
        add("temperature", &format!("{{instance=\"{instance}\",room=\"r\"}}"), false, chance);
        add("queue", &format!("{{instance=\"{instance}\"}}"), false, chance);
    }
    page.push_str("# EOF\n");
    (page, store)
}

/// A vector expression of at most this depth.
fn vector(depth: usize, chance: &mut Chance) -> String {
    let selectors = [
        "requests_total",
        "requests_total{code=\"500\"}",
        "temperature",
        "queue{instance=~\"a|b\"}",
        "{__name__=~\"queue|temperature\"}",
        "nothing",
    ];
    let modifiers = ["", "", "", " offset 2m", " offset -30s", " @ end()", " @ 1750001000"];
    let by =
        ["", " by (instance)", " by (code, instance)", " without (instance)", " by (__name__)"];
    if depth == 0 {
        return format!("{}{}", chance.of(&selectors), chance.of(&modifiers));
    }
    let inner = vector(depth - 1, chance);
    match chance.below(8) {
        0 | 1 => {
            let function = chance.of(&[
                "rate",
                "increase",
                "delta",
                "irate",
                "idelta",
                "changes",
                "resets",
                "deriv",
                "avg_over_time",
                "sum_over_time",
                "min_over_time",
                "max_over_time",
                "count_over_time",
                "stddev_over_time",
                "last_over_time",
                "present_over_time",
                "absent_over_time",
            ]);
            let length = chance.of(&["[45s]", "[2m]", "[5m]", "[17m]"]);
            format!("{function}({}{length}{})", chance.of(&selectors), chance.of(&modifiers))
        }
        2 => {
            let function = chance.of(&["max_over_time", "sum_over_time", "rate", "last_over_time"]);
            format!(
                "{function}(({inner})[{}:{}])",
                chance.of(&["4m", "10m"]),
                chance.of(&["", "37s"])
            )
        }
        3 => {
            let operator = chance.of(&["sum", "avg", "min", "max", "count", "group", "stddev"]);
            format!("{operator}{} ({inner})", chance.of(&by))
        }
        4 => format!("quantile{} (0.3, {inner})", chance.of(&by)),
        5 => {
            let function =
                chance.of(&["abs", "sgn", "floor", "-", "timestamp", "absent", "minute"]);
            format!("{function}({inner})")
        }
        6 => {
            let operator = chance.of(&["+", "/", "^", ">", "<= bool", "==", "%"]);
            format!("({inner}) {operator} {}", chance.of(&["2", "time()", "-0.5"]))
        }
        _ => {
            let operator = chance.of(&["+", "-", "*", "/", "and", "or", "unless"]);
            let matching = chance.of(&["", " on (instance)", " ignoring (code)"]);
            format!("({inner}) {operator}{matching} ({})", vector(depth - 1, chance))
        }
    }
}

type Rows = Vec<(String, Vec<(f64, f64)>)>;
/// Samples that each step looked at.
type Looked = Vec<u64>;

fn theirs_ready(address: SocketAddr) -> bool {
    let answer = post(address, "/api/v1/query", "query=1");
    serde_json::from_slice::<Value>(&answer.body).is_ok_and(|answer| answer["status"] == "success")
}

fn theirs(address: SocketAddr, query: &str, whole: bool) -> Result<(Rows, Looked), String> {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("query", query).append_pair("stats", "all");
    let end = START + SAMPLES * STEP;
    let path = if whole {
        form.append_pair("start", &START.to_string()).append_pair("end", &end.to_string());
        form.append_pair("step", "97");
        "/api/v1/query_range"
    } else {
        form.append_pair("time", &(START + 1800).to_string());
        "/api/v1/query"
    };
    let answer: Value = serde_json::from_slice(&post(address, path, &form.finish()).body).unwrap();
    if answer["status"] != "success" {
        return Err(answer["errorType"].as_str().unwrap_or("").to_owned());
    }
    let pair = |json: &Value| {
        let value = json[1].as_str().unwrap();
        (json[0].as_f64().unwrap(), augenmass::promql::parse_number(value).unwrap())
    };
    let rows = answer["data"]["result"].as_array().unwrap().iter().map(|row| {
        let labels = row["metric"].as_object().unwrap();
        let labels = labels.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap()));
        let values = match row["values"].as_array() {
            Some(values) => values.iter().map(pair).collect(),
            None => vec![pair(&row["value"])],
        };
        (Labels::from_pairs(labels).unwrap().to_string(), values)
    });
    let looked = &answer["data"]["stats"]["samples"]["totalQueryableSamplesPerStep"];
    let looked = looked.as_array().into_iter().flatten().filter_map(|pair| pair[1].as_u64());
    Ok((rows.collect(), looked.collect()))
}

fn ours(store: &MemoryStore, query: &str, whole: bool) -> Result<(Rows, Looked), String> {
    let time = |seconds: i64| Timestamp::from_millis(seconds * 1000);
    let expr = parse(query).map_err(|_| "bad_data".to_owned())?;
    let options = Options { count_samples: true, ..Options::default() };
    let answer = if whole {
        let end = time(START + SAMPLES * STEP);
        range(&expr, store, time(START), end, Duration::from_secs(97), &options)
    } else {
        instant(&expr, store, time(START + 1800), &options)
    };
    let number = |point: &Point| point.float().unwrap_or(f64::NAN);
    let answer = answer.map_err(|error| error.kind.api_name().to_owned())?;
    let rows = match answer.value {
        Answer::Vector(samples) => samples
            .iter()
            .map(|s| (s.labels.to_string(), vec![(s.at.seconds(), number(&s.value))]))
            .collect(),
        Answer::Matrix(series) => series
            .iter()
            .map(|s| {
                let values = s.points.iter().map(|(at, point)| (at.seconds(), number(point)));
                (s.labels.to_string(), values.collect())
            })
            .collect(),
        other => return Err(format!("{other:?}")),
    };
    Ok((rows, answer.usage.per_step))
}

fn same(a: &Rows, b: &Rows) -> bool {
    let close = |a: f64, b: f64| {
        a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
    };
    a.len() == b.len()
        && a.iter().zip(b).all(|((m, x), (n, y))| {
            m == n
                && x.len() == y.len()
                && x.iter().zip(y).all(|(x, y)| x.0 == y.0 && close(x.1, y.1))
        })
}

#[test]
fn a_prometheus_gives_the_same_answers() {
    let (Some(program), Some(promtool)) = (require("prometheus"), require("promtool")) else {
        return;
    };
    let version = Command::new(&program).arg("--version").output().unwrap();
    if !String::from_utf8_lossy(&version.stdout).contains("version 3.") {
        // Debian's stable release has version 2; a Prometheus 3 is welcome, not required.
        eprintln!("SKIPPED: the Prometheus here is older than version 3");
        return;
    }
    let mut chance = Chance(42);
    let (page, store) = samples(&mut chance);
    let folder = tempfile::tempdir().unwrap();
    let (file, data) = (folder.path().join("page.om"), folder.path().join("data"));
    std::fs::write(&file, page).unwrap();
    let made = Command::new(promtool)
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&file, &data])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let config = folder.path().join("prometheus.yml");
    std::fs::write(&config, "global: {evaluation_interval: 1m}\n").unwrap();
    let port = free_port();
    let _running = Running::start(
        Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", data.display()))
            .arg("--enable-feature=promql-per-step-stats")
            .arg("--storage.tsdb.retention.time=100y")
            .arg(format!("--web.listen-address=127.0.0.1:{port}")),
    );
    wait_for_port(port);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    // It listens before it answers.
    wait_for("Prometheus to be ready", Duration::from_secs(60), || {
        theirs_ready(address).then_some(())
    });
    let (mut filled, mut counted) = (0, 0);
    for number in 0..QUERIES {
        let depth = chance.below(4);
        let (query, whole) = (vector(depth, &mut chance), number % 2 == 0);
        let outcome = (theirs(address, &query, whole), ours(&store, &query, whole));
        let agree = match &outcome {
            (Ok((theirs, looked)), Ok((ours, own))) => {
                assert_eq!(looked, own, "samples that `{query}` looked at");
                counted += usize::from(looked.iter().any(|count| *count > 0));
                filled += usize::from(!theirs.is_empty());
                let (mut theirs, mut ours) = (theirs.clone(), ours.clone());
                theirs.sort_by(|a, b| a.0.cmp(&b.0));
                ours.sort_by(|a, b| a.0.cmp(&b.0));
                same(&theirs, &ours)
            }
            (theirs, ours) => theirs.as_ref().err() == ours.as_ref().err(),
        };
        assert!(agree, "{query}: {outcome:?}");
    }
    println!("{QUERIES} queries, {filled} with a result, {counted} that looked at samples");
    assert!(filled > QUERIES / 2, "most queries should find something: {filled}");
    assert!(counted > QUERIES / 2, "most queries should look at something: {counted}");
    assert_eq!(format_float(1.0), "1");
}
