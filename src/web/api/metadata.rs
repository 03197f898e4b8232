use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use serde_json::{Value, json};

use super::super::metrics;
use super::super::router::Shared;
use super::form::Form;
use super::reply::{Reply, Success};
use crate::model::MetricType;

/// `/metadata`: kind, help and unit of the metrics that probes and we ourselves make.
pub(super) async fn metadata(State(shared): State<Arc<Shared>>, form: Form) -> Reply {
    let (limit, per_metric) = (form.limit()?, form.count("limit_per_metric")?);
    let wanted = form.get("metric");
    let mut all: BTreeMap<String, Value> = BTreeMap::new();
    let mut add = |name: &str, kind, help: &str, unit: &str| {
        if wanted.is_empty() || wanted == name {
            let one = json!([{ "type": word(kind), "help": help, "unit": unit }]);
            all.entry(name.to_owned()).or_insert(one);
        }
    };
    for meta in shared.doors.board.catalogue().iter().flat_map(|room| room.iter()) {
        add(meta.name, meta.kind, meta.help, meta.unit);
    }
    for family in metrics::own(&shared) {
        add(&family.name, family.kind, &family.help, &family.unit);
    }
    // What was pushed comes last: of ours we know better.
    for meta in shared.doors.receive.iter().flat_map(|receive| receive.metadata()) {
        add(&meta.name, meta.kind, &meta.help, &meta.unit);
    }
    // Each metric has one entry here, so any positive limit per metric leaves all of them.
    let _ = per_metric;
    let shown: serde_json::Map<String, Value> = all.into_iter().take(limit).collect();
    Ok(Success::from(Value::from(shown)))
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
