//! Answers recorded from a real Prometheus. The folder is named by `AUGENMASS_CONFORMANCE`;
//! without it the corpora are looked for beside the project. What only a server can get wrong
//! (request parameters, metadata) is left to the tests of the server.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use augenmass::model::{self, Labels, Timestamp};
use augenmass::promql::{
    Answer, EvalErrorKind, MemoryStore, Options, Point, Value, format_float, instant, parse,
    parse_number, range, script,
};
use serde_json::Value as Json;

/// Cases that fail, as `id reason`.
const KNOWN: &str = include_str!("conformance_promql.known");

fn corpus(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("AUGENMASS_CONFORMANCE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/conformance"),
        PathBuf::from,
    );
    Some(root.join(name)).filter(|path| path.is_dir())
}

/// What Prometheus makes of `le` and `quantile` while it reads the page: always a float.
fn normalized(labels: &Labels, histograms: &BTreeSet<String>) -> Labels {
    let name = labels.metric_name();
    let family = name.strip_suffix("_bucket").unwrap_or(name);
    let label = if name.ends_with("_bucket") { "le" } else { "quantile" };
    match labels.get(label).and_then(parse_number) {
        Some(border) if histograms.contains(family) => {
            let mut text = format_float(border);
            if border.is_finite() && !text.contains('.') {
                text.push_str(".0");
            }
            labels.with(label, &text)
        }
        _ => labels.clone(),
    }
}

fn load(text: &str) -> MemoryStore {
    let mut store = MemoryStore::new();
    let mut cache: BTreeMap<String, Labels> = BTreeMap::new();
    let mut histograms = BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            if let Some(name) =
                family.strip_suffix(" histogram").or(family.strip_suffix(" summary"))
            {
                histograms.insert(name.to_owned());
            }
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        let (rest, at) = line.rsplit_once(' ').unwrap();
        let (labels, value) = rest.rsplit_once(' ').unwrap();
        let labels = cache
            .entry(labels.to_owned())
            .or_insert_with(|| normalized(&script::parse_labels(labels).unwrap(), &histograms))
            .clone();
        let at = Timestamp::from_seconds(at.parse().unwrap()).unwrap();
        store.append(&labels, at, model::Point::Float(parse_number(value).unwrap()), None);
    }
    store
}

/// The answer of the engine, or the class of its error; `None` when the request is not its
/// business.
fn ask(case: &Json, store: &MemoryStore) -> Option<Result<Answer, &'static str>> {
    let parameter = |name: &str| case["params"][name].as_str();
    let number = |name: &str| parameter(name).and_then(parse_number);
    if parameter("limit").is_some() || parameter("timeout").is_some() {
        return None;
    }
    let mut options = Options::default();
    if let Some(lookback) = parameter("lookback_delta") {
        options.lookback = Duration::from_secs_f64(parse_number(lookback)?);
    }
    let time = |seconds: f64| Timestamp::from_seconds(seconds).unwrap();
    let query = parameter("query")?;
    let outcome = match case["path"].as_str()? {
        "/api/v1/query" => {
            let at = time(number("time")?);
            match parse(query) {
                Err(_) => return Some(Err("bad_data")),
                Ok(expr) => instant(&expr, store, at, &options),
            }
        }
        "/api/v1/query_range" => {
            let (start, end, step) = (number("start")?, number("end")?, number("step")?);
            if step <= 0.0 || (end - start) / step > 11_000.0 {
                return None;
            }
            match parse(query) {
                Err(_) => return Some(Err("bad_data")),
                Ok(expr) => {
                    let step = Duration::from_millis((step * 1000.0).round() as u64);
                    range(&expr, store, time(start), time(end), step, &options)
                }
            }
        }
        _ => return None,
    };
    Some(outcome.map_err(|error| error.kind.api_name()))
}

fn close(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    let (Some(a), Some(b)) = (parse_number(a), parse_number(b)) else { return false };
    (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

fn labels_of(json: &Json) -> Labels {
    let pairs = json.as_object().unwrap();
    Labels::from_pairs(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str().unwrap()))).unwrap()
}

type Rows = Vec<(Labels, Vec<(f64, String)>)>;

fn expected_rows(result: &Json) -> Rows {
    let pair = |json: &Json| (json[0].as_f64().unwrap(), json[1].as_str().unwrap().to_owned());
    result
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            let values = match row.get("values") {
                Some(values) => values.as_array().unwrap().iter().map(pair).collect(),
                None => vec![pair(&row["value"])],
            };
            (labels_of(&row["metric"]), values)
        })
        .collect()
}

fn got_rows(value: &Value) -> Rows {
    let text = |point: &Point| format_float(point.float().unwrap_or(f64::NAN));
    match value {
        Value::Vector(samples) => samples
            .iter()
            .map(|s| (s.labels.clone(), vec![(s.at.seconds(), text(&s.value))]))
            .collect(),
        Value::Matrix(series) => series
            .iter()
            .map(|s| {
                let values = s.points.iter().map(|(at, point)| (at.seconds(), text(point)));
                (s.labels.clone(), values.collect())
            })
            .collect(),
        _ => Vec::new(),
    }
}

fn compare(case: &Json, answer: &Answer) -> Result<(), String> {
    let data = &case["body"]["data"];
    let kind = data["resultType"].as_str().unwrap_or("");
    if kind != answer.value.type_name() {
        return Err(format!("expected {kind}, got {}", answer.value.type_name()));
    }
    match &answer.value {
        Value::Scalar(_, got) => {
            let wanted = data["result"][1].as_str().unwrap();
            if !close(wanted, &format_float(*got)) {
                return Err(format!("expected {wanted}, got {got}"));
            }
        }
        Value::String(_, got) => {
            if data["result"][1].as_str() != Some(got) {
                return Err(format!("got {got:?}"));
            }
        }
        value => {
            let (mut wanted, mut got) = (expected_rows(&data["result"]), got_rows(value));
            if case["ordered"] != true {
                wanted.sort_by(|a, b| a.0.cmp(&b.0));
                got.sort_by(|a, b| a.0.cmp(&b.0));
            }
            let names = |rows: &Rows| rows.iter().map(|r| r.0.to_string()).collect::<Vec<_>>();
            if names(&wanted) != names(&got) {
                return Err(format!("expected {:?}, got {:?}", names(&wanted), names(&got)));
            }
            for ((labels, wanted), (_, got)) in wanted.iter().zip(&got) {
                let same = wanted.len() == got.len()
                    && wanted.iter().zip(got).all(|(a, b)| a.0 == b.0 && close(&a.1, &b.1));
                if !same {
                    return Err(format!("{labels}: expected {wanted:?}, got {got:?}"));
                }
            }
        }
    }
    for (word, got) in [("warnings", &answer.warnings), ("infos", &answer.infos)] {
        if case["body"].get(word).is_some() == got.is_empty() {
            return Err(format!("{word}: expected {}, got {got:?}", case["body"][word]));
        }
    }
    Ok(())
}

#[test]
fn recorded_answers_are_given() {
    let Some(folder) = corpus("promql") else {
        println!("SKIPPED: no conformance corpora");
        return;
    };
    let store = load(&std::fs::read_to_string(folder.join("dataset.om")).unwrap());
    let queries = std::fs::read_to_string(folder.join("queries.jsonl")).unwrap();
    let known: BTreeSet<&str> =
        KNOWN.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let mut tally: BTreeMap<String, (usize, usize, usize)> = BTreeMap::new();
    let mut failed = BTreeSet::new();
    for line in queries.lines() {
        let case: Json = serde_json::from_str(line).unwrap();
        let entry = tally.entry(case["category"].as_str().unwrap().to_owned()).or_default();
        let outcome = match ask(&case, &store) {
            None => {
                entry.2 += 1;
                continue;
            }
            Some(Err(class)) => match case["body"]["errorType"].as_str() {
                Some(wanted) if wanted == class => Ok(()),
                wanted => Err(format!("expected {wanted:?}, got the error {class}")),
            },
            Some(Ok(answer)) if case["body"]["status"] == "error" => {
                Err(format!("expected {}, got {:?}", case["body"]["error"], answer.value))
            }
            Some(Ok(answer)) => compare(&case, &answer),
        };
        entry.1 += 1;
        match outcome {
            Ok(()) => entry.0 += 1,
            Err(problem) => {
                let id = case["id"].as_str().unwrap().to_owned();
                println!("  {id} {}\n    {problem}", case["params"]);
                failed.insert(id);
            }
        }
    }
    for (category, (passed, all, skipped)) in &tally {
        println!("{category}: {passed} / {all} ({skipped} of the server)");
    }
    assert_eq!(EvalErrorKind::BadData.api_name(), "bad_data");
    let new: Vec<&String> = failed.iter().filter(|case| !known.contains(case.as_str())).collect();
    let fixed: Vec<&&str> = known.iter().filter(|case| !failed.contains(**case)).collect();
    assert!(new.is_empty(), "these fail and are not listed: {new:?}");
    assert!(fixed.is_empty(), "these are listed and pass: {fixed:?}");
}
