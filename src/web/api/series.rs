use std::sync::Arc;

use axum::extract::{Path, State};
use serde_json::Value;

use super::super::router::Shared;
use super::compute::compute;
use super::form::Form;
use super::json::{push_labels, push_list};
use super::reply::{Failure, Reply, Success};
use crate::exposition::Escaping;
use crate::model::Labels;

/// `/series`: the label sets that match.
pub(super) async fn series(State(shared): State<Arc<Shared>>, form: Form) -> Reply {
    let sets = form.selectors()?;
    if sets.is_empty() {
        return Err(Failure::bad_data("no match[] parameter provided"));
    }
    let (window, limit) = (form.window()?, form.limit()?);
    let timeout = shared.settings.queries.timeout;
    compute(&shared, timeout, move |shared, _| {
        let found = shared.doors.samples.snapshot().find_any(&sets, window)?;
        let mut found: Vec<Labels> = found.into_iter().map(|found| found.labels).collect();
        found.sort();
        found.dedup();
        let mut data = String::with_capacity(found.len().min(limit) * 128);
        push_list(&mut data, found.iter().take(limit), push_labels);
        Ok(Success::of(data).cut(found.len() > limit))
    })
    .await
}

/// `/labels`: the names of labels.
pub(super) async fn label_names(State(shared): State<Arc<Shared>>, form: Form) -> Reply {
    let (sets, window, limit) = (form.selectors()?, form.window()?, form.limit()?);
    let timeout = shared.settings.queries.timeout;
    compute(&shared, timeout, move |shared, _| {
        // One more than wanted shows whether there are more.
        let more = limit.saturating_add(1);
        let names = shared.doors.samples.snapshot().label_names(&sets, window, more)?;
        Ok(texts(names, limit))
    })
    .await
}

/// `/label/<name>/values`: the values of a label.
pub(super) async fn label_values(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    form: Form,
) -> Reply {
    let name = Escaping::read_back(&name).into_owned();
    if name.is_empty() {
        return Err(Failure::bad_data("invalid label name: \"\""));
    }
    let (sets, window, limit) = (form.selectors()?, form.window()?, form.limit()?);
    let timeout = shared.settings.queries.timeout;
    compute(&shared, timeout, move |shared, _| {
        let more = limit.saturating_add(1);
        let values = shared.doors.samples.snapshot().label_values(&name, &sets, window, more)?;
        Ok(texts(values, limit))
    })
    .await
}

fn texts(mut texts: Vec<String>, limit: usize) -> Success {
    let truncated = texts.len() > limit;
    texts.truncate(limit);
    Success::from(Value::from(texts)).cut(truncated)
}
