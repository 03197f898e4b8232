//! The pages of the conformance corpus, judged as a real Prometheus 3 judged them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Value;

use augenmass::exposition::{Limits, Syntax, parse};
use augenmass::model::MetricType;

/// Files that we judge otherwise, each with the reason. An unlisted failure fails the test, and
/// so does a listed file that passes.
const KNOWN_FAILURES: &[(&str, &str)] = &[];

fn folder() -> Option<PathBuf> {
    let named = std::env::var_os("AUGENMASS_CONFORMANCE").map(PathBuf::from);
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/conformance"));
    Some(named.unwrap_or(beside).join("exposition")).filter(|folder| folder.is_dir())
}

/// What differs from the verdict, if anything does.
fn judge(page: &[u8], verdict: &Value) -> Result<(), String> {
    let openmetrics = verdict["format"].as_str().is_some_and(|f| f.starts_with("openmetrics"));
    let syntax = if openmetrics { Syntax::OpenMetrics } else { Syntax::Text };
    let read = match (parse(page, syntax, Limits::default()), verdict["scrape"] == "ok") {
        (Ok(read), true) => read,
        (Err(_), false) => return Ok(()),
        (Ok(_), false) => return Err(format!("accepted, but: {}", verdict["error"])),
        (Err(error), true) => return Err(format!("refused: {error}")),
    };
    if Some(read.samples.len() as u64) != verdict["samples_scraped"].as_u64() {
        return Err(format!("{} samples", read.samples.len()));
    }
    let mut stored = BTreeMap::new();
    for sample in &read.samples {
        let labels: BTreeMap<String, String> =
            sample.labels.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        stored.entry(labels).or_insert(sample.value);
    }
    if Some(stored.len() as u64) != verdict["series"].as_u64() {
        return Err(format!("{} series", stored.len()));
    }
    for pair in verdict["samples"].as_array().into_iter().flatten() {
        let labels: BTreeMap<String, String> = serde_json::from_value(pair[0].clone()).unwrap();
        let want = pair[1].as_str().unwrap().parse::<f64>().unwrap();
        match stored.get(&labels) {
            Some(got) if *got == want || (got.is_nan() && want.is_nan()) => {}
            got => return Err(format!("{labels:?} is {got:?}, not {want}")),
        }
    }
    let said: BTreeSet<_> = read
        .metadata
        .iter()
        .map(|m| (m.name.clone(), word(m.kind).to_owned(), m.help.clone(), m.unit.clone()))
        .collect();
    let want = verdict["metadata"].as_object().into_iter().flatten().map(|(name, m)| {
        let text = |at: usize| m[at].as_str().unwrap().to_owned();
        (name.clone(), text(0), text(1), text(2))
    });
    let want: BTreeSet<_> = want.collect();
    if said != want {
        return Err(format!("metadata differs: {:?}", said.symmetric_difference(&want).next()));
    }
    Ok(())
}

fn word(kind: MetricType) -> &'static str {
    match kind {
        MetricType::Counter => "counter",
        MetricType::Gauge => "gauge",
        MetricType::Histogram => "histogram",
        MetricType::Summary => "summary",
        MetricType::Info => "info",
        MetricType::StateSet => "stateset",
        MetricType::GaugeHistogram => "gaugehistogram",
        MetricType::Unknown => "unknown",
    }
}

#[test]
fn every_page_is_judged_as_prometheus_judges_it() {
    let Some(folder) = folder() else {
        eprintln!("SKIPPED: no conformance corpora");
        return;
    };
    let list = std::fs::read(folder.join("verdicts.json")).unwrap();
    let verdicts: Vec<Value> = serde_json::from_slice(&list).unwrap();
    assert!(verdicts.len() > 100);
    let mut wrong = Vec::new();
    for verdict in &verdicts {
        let file = verdict["file"].as_str().unwrap();
        let page = std::fs::read(folder.join("files").join(file)).unwrap();
        let known = KNOWN_FAILURES.iter().any(|(name, _)| *name == file);
        match (judge(&page, verdict), known) {
            (Err(_), true) | (Ok(()), false) => {}
            (Err(why), false) => wrong.push(format!("{file}: {why}")),
            (Ok(()), true) => wrong.push(format!("{file}: passes, take it off the list")),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), verdicts.len(), wrong.join("\n"));
}
