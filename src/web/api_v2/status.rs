use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde_json::json;

use super::super::people::look;
use super::super::router::Shared;
use super::Refusal;
use super::body::Asked;
use super::reply::good;
use crate::alerting::Desk;
use crate::model::Labels;

/// What runs. `config.original` is our routing as an `alertmanager.yml` without addresses, because
/// `amtool config routes` and Grafana read it there.
pub(super) async fn status(State(shared): State<Arc<Shared>>) -> Result<Response, Refusal> {
    let original = look(&shared, |desk, _| desk.plan().to_alertmanager());
    let original = original.await.ok_or_else(Refusal::stopping)?;
    Ok(good(&json!({
        "cluster": { "peers": [], "status": "disabled" },
        "config": { "original": original },
        "uptime": shared.started.to_string(),
        "versionInfo": {
            "branch": "",
            "buildDate": "",
            "buildUser": "",
            "goVersion": "",
            "revision": "",
            "version": env!("CARGO_PKG_VERSION"),
        },
    })))
}

/// Everybody who may be told.
pub(super) async fn receivers(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let matchers = Asked::of(&uri).matchers("receiver_matchers")?;
    let names = look(&shared, |desk, _| names(desk)).await.ok_or_else(Refusal::stopping)?;
    let wanted = names.into_iter().filter(|name| {
        let labels = Labels::empty().with("name", name);
        matchers.iter().all(|matcher| matcher.matches(&labels))
    });
    let list: Vec<_> =
        wanted.map(|name| json!({ "labels": { "name": &*name }, "name": &*name })).collect();
    Ok(good(&list))
}

/// In the order of the file, as Alertmanager has them; owners behind them, by name.
fn names(desk: &Desk) -> Vec<Arc<str>> {
    let mut names = desk.plan().receivers.clone();
    let routes = desk.plan().routes.iter();
    let others: BTreeSet<Arc<str>> = routes.map(|(_, route)| route.receiver.clone()).collect();
    names.extend(others.into_iter().filter(|name| !desk.plan().receivers.contains(name)));
    names
}
