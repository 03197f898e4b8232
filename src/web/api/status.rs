use std::sync::Arc;

use axum::extract::State;
use hashbrown::HashMap;
use serde_json::{Map, Value, json};

use super::super::router::Shared;
use super::compute::compute;
use super::form::Form;
use super::reply::{Reply, Success};
use crate::model::{METRIC_NAME, Timestamp, Window};
use crate::promql::format_duration;

/// The version of Prometheus whose API and language this is: clients look at it to know what they
/// may ask for.
const SPOKEN: &str = "3.5.0";

/// Some clients insist on a date in this form. That of the version, so that the same sources make
/// the same program.
const BUILT: &str = "20261122-00:00:00";

/// `/status/buildinfo`. Without a list of features: clients take that for another product.
pub(super) async fn build() -> Reply {
    Ok(Success::from(json!({
        "version": SPOKEN,
        "revision": concat!("augenmass ", env!("CARGO_PKG_VERSION")),
        "branch": "augenmass",
        "buildUser": "",
        "buildDate": BUILT,
        "goVersion": "",
    })))
}

/// `/status/config`: the configuration that runs, without its secrets.
pub(super) async fn config(State(shared): State<Arc<Shared>>) -> Reply {
    Ok(Success::from(json!({ "yaml": (shared.doors.config)() })))
}

/// `/status/flags`: what clients read to learn about limits.
pub(super) async fn flags(State(shared): State<Arc<Shared>>) -> Reply {
    let queries = &shared.settings.queries;
    let length = |length: std::time::Duration| {
        format_duration(i64::try_from(length.as_millis()).unwrap_or(i64::MAX))
    };
    Ok(Success::from(json!({
        "query.lookback-delta": length(queries.lookback),
        "query.max-concurrency": queries.concurrent.to_string(),
        "query.max-samples": queries.samples.to_string(),
        "query.timeout": length(queries.timeout),
        "web.enable-admin-api": "false",
        "web.enable-lifecycle": "true",
        "web.enable-remote-write-receiver": "false",
        "web.listen-address": shared.settings.listen.to_string(),
    })))
}

/// `/status/runtimeinfo`
pub(super) async fn runtime(State(shared): State<Arc<Shared>>) -> Reply {
    let config = &shared.doors.telemetry.config;
    let loaded = config.last_reload_success_timestamp_seconds.get();
    let loaded = Timestamp::from_millis(loaded.saturating_mul(1000));
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Ok(Success::from(json!({
        "startTime": shared.started.to_string(),
        "CWD": "",
        "hostname": &*shared.settings.instance,
        "serverTime": shared.doors.clock.wall().to_string(),
        "reloadConfigSuccess": config.last_reload_successful.get() == 1,
        "lastConfigTime": loaded.to_string(),
        "corruptionCount": 0,
        "goroutineCount": 0,
        "GOMAXPROCS": threads,
        "GOMEMLIMIT": 0,
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": "",
    })))
}

/// `/status/tsdb`: which metrics and labels have the most series.
pub(super) async fn store(State(shared): State<Arc<Shared>>, form: Form) -> Reply {
    let limit = match form.count("limit")? {
        0 => 10,
        limit => limit.min(10_000),
    };
    let timeout = shared.settings.queries.timeout;
    let now = shared.doors.clock.wall();
    compute(&shared, timeout, move |shared, _| {
        let day = std::time::Duration::from_secs(86_400);
        let window = Window { after: now - day, through: Timestamp::MAX };
        let found = shared.doors.samples.snapshot().find(&[], window)?;
        let mut by_metric: HashMap<&str, usize> = HashMap::new();
        let mut by_pair: HashMap<(&str, &str), usize> = HashMap::new();
        for series in &found {
            *by_metric.entry(series.labels.metric_name()).or_default() += 1;
            for pair in &series.labels {
                *by_pair.entry(pair).or_default() += 1;
            }
        }
        let (mut values, mut memory): (HashMap<&str, usize>, HashMap<&str, usize>) =
            (HashMap::new(), HashMap::new());
        for (name, value) in by_pair.keys() {
            *values.entry(name).or_default() += 1;
            *memory.entry(name).or_default() += value.len();
        }
        let pairs = by_pair.iter().filter(|((name, _), _)| *name != METRIC_NAME);
        let pairs = pairs.map(|((name, value), count)| (format!("{name}={value}"), *count));
        Ok(Success::from(json!({
            "headStats": {
                "numSeries": found.len(),
                "numLabelPairs": by_pair.len(),
                "chunkCount": 0,
                "minTime": (now - day).millis(),
                "maxTime": now.millis(),
            },
            "seriesCountByMetricName": most(by_metric, limit),
            "labelValueCountByLabelName": most(values, limit),
            "memoryInBytesByLabelName": most(memory, limit),
            "seriesCountByLabelValuePair": most(pairs, limit),
        })))
    })
    .await
}

/// The largest, with their names.
fn most<N: Into<String>>(counts: impl IntoIterator<Item = (N, usize)>, limit: usize) -> Vec<Value> {
    let mut all: Vec<(String, usize)> = counts.into_iter().map(|(n, c)| (n.into(), c)).collect();
    all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let entry = |(name, count): (String, usize)| {
        let mut entry = Map::new();
        entry.insert("name".to_owned(), name.into());
        entry.insert("value".to_owned(), count.into());
        Value::from(entry)
    };
    all.into_iter().take(limit).map(entry).collect()
}
