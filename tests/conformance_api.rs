//! Answers recorded from a real Prometheus, asked of our server over HTTP with the parameters as
//! they were, wrong ones included. The folder is named by `AUGENMASS_CONFORMANCE`; without it the
//! corpora are looked for beside the project.

#[path = "peers/board.rs"]
mod board;
#[path = "peers/http.rs"]
mod http;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use augenmass::exposition::{Limits, Syntax, parse};
use augenmass::model::{Point, Timestamp};
use augenmass::promql::MemoryStore;
use board::Served;
use serde_json::Value;

/// Cases that fail, as `id reason`.
const KNOWN: &str = include_str!("conformance_promql.known");

fn corpus() -> Option<PathBuf> {
    let root = std::env::var_os("AUGENMASS_CONFORMANCE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/conformance"),
        PathBuf::from,
    );
    Some(root.join("promql")).filter(|folder| folder.is_dir())
}

fn samples(folder: &Path) -> MemoryStore {
    let page = std::fs::read(folder.join("dataset.om")).unwrap();
    let page = parse(&page, Syntax::OpenMetrics, Limits::default()).unwrap();
    let mut store = MemoryStore::new();
    for sample in page.samples {
        store.append(&sample.labels, sample.at.unwrap(), Point::Float(sample.value), None);
    }
    store
}

/// Numbers as the corpus compares them: equal as text, both NaN, or close.
fn close(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => {
            (a - b).abs() <= 1e-9 * a.abs().max(b.abs()) || (a.is_nan() && b.is_nan())
        }
        _ => false,
    }
}

fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::String(a), Value::String(b)) => close(a, b),
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(k, v)| b.get(k).is_some_and(|other| same(v, other)))
        }
        _ => ours == theirs,
    }
}

/// The series by their labels, where their order means nothing.
fn sorted(result: &Value) -> Value {
    let Some(series) = result.as_array() else { return result.clone() };
    if !series.iter().all(|one| one["metric"].is_object()) {
        return result.clone();
    }
    let mut series = series.clone();
    series.sort_by_key(|one| {
        let labels: BTreeMap<_, _> = one["metric"].as_object().into_iter().flatten().collect();
        format!("{labels:?}")
    });
    Value::from(series)
}

fn judge(case: &Value, status: u16, ours: &Value) -> Result<(), String> {
    let theirs = &case["body"];
    if Some(u64::from(status)) != case["http_status"].as_u64() {
        return Err(format!("status {status} instead of {}: {ours}", case["http_status"]));
    }
    if ours["status"] != theirs["status"] || ours["errorType"] != theirs["errorType"] {
        return Err(format!("{} {} instead of {theirs}", ours["status"], ours["errorType"]));
    }
    for notes in ["warnings", "infos"] {
        if ours[notes].is_null() != theirs[notes].is_null() {
            return Err(format!("{notes}: {} instead of {}", ours[notes], theirs[notes]));
        }
    }
    let (mut a, mut b) = (ours["data"].clone(), theirs["data"].clone());
    if case["ordered"] != true && a["result"].is_array() {
        a["result"] = sorted(&a["result"]);
        b["result"] = sorted(&b["result"]);
    }
    if same(&a, &b) {
        return Ok(());
    }
    let short = |value: &Value| value.to_string().chars().take(400).collect::<String>();
    Err(format!("{}\n  instead of {}", short(&a), short(&b)))
}

#[test]
fn recorded_answers_come_over_http() {
    let Some(folder) = corpus() else {
        eprintln!("SKIPPED: no conformance corpora");
        return;
    };
    let known: Vec<&str> = KNOWN.lines().filter_map(|line| line.split(' ').next()).collect();
    let served = Served::over(
        Served::settings(),
        Arc::new(samples(&folder)),
        Vec::new(),
        Timestamp::default(),
    );
    let cases = std::fs::read_to_string(folder.join("queries.jsonl")).unwrap();
    let (mut passed, mut wrong) = (0, Vec::new());
    for case in cases.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in case["params"].as_object().unwrap() {
            let values = value.as_array().cloned().unwrap_or_else(|| vec![value.clone()]);
            form.extend_pairs(values.iter().map(|value| (name, value.as_str().unwrap())));
        }
        let path = case["path"].as_str().unwrap();
        let answer = http::ask(served.address, &format!("GET {path}?{}", form.finish()), &[]);
        let ours = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        let id = case["id"].as_str().unwrap();
        let verdict = judge(&case, answer.status, &ours);
        match (verdict, known.contains(&id)) {
            (Ok(()), _) => passed += 1,
            (Err(_), true) => {}
            (Err(why), false) => wrong.push(format!("{id} {path} {}: {why}", case["params"])),
        }
    }
    eprintln!("{passed} passed, {} failed", wrong.len());
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert!(passed > 1_000, "{passed}");
}
