//! The Grafana dashboard: each of its expressions is PromQL, names metrics that exist, and gives
//! data over the samples of one target of each kind.

#[path = "peers/board.rs"]
mod board;
#[path = "peers/dashboard.rs"]
mod dashboard;
#[path = "peers/http.rs"]
mod http;

use std::collections::BTreeSet;

use augenmass::model::Test;
use augenmass::promql;
use serde_json::Value;

/// Metrics that the probes give.
fn known() -> BTreeSet<&'static str> {
    augenmass::probe::CATALOGUE.iter().flat_map(|room| room.iter()).map(|meta| meta.name).collect()
}

#[test]
fn every_expression_is_promql_over_known_metrics() {
    let known = known();
    let expressions = dashboard::expressions();
    assert!(expressions.len() >= 15, "{}", expressions.len());
    for (panel, text) in expressions {
        let expr = promql::parse(&text).unwrap_or_else(|e| panic!("{panel}: {text}: {e}"));
        for matchers in expr.selectors() {
            let name = matchers.iter().find(|m| m.name() == "__name__").map(|m| m.test().clone());
            let Some(Test::Equal(name)) = name else { panic!("{panel}: a selector without name") };
            assert!(known.contains(&*name), "{panel}: {name} is no metric of ours");
        }
    }
}

#[test]
fn every_panel_uses_the_data_source_that_was_chosen() {
    let board = dashboard::read();
    for panel in board["panels"].as_array().unwrap() {
        if panel["type"] == "row" {
            continue;
        }
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        let targets = panel["targets"].as_array().unwrap();
        assert!(
            targets.iter().all(|t| t["datasource"]["uid"] == "${datasource}"),
            "{}",
            panel["title"]
        );
    }
    let ids: BTreeSet<_> = board["panels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|panel| panel["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids.len(), board["panels"].as_array().unwrap().len(), "each panel has its own id");
}

#[test]
fn the_variables_ask_for_labels_that_exist() {
    for (name, metric, label) in dashboard::variables() {
        assert!(known().contains(metric.as_str()), "{name}: {metric}");
        assert!(["owner", "service"].contains(&label.as_str()), "{name}: {label}");
    }
}

#[test]
fn every_expression_gives_data_from_our_api() {
    let served = board::Served::start(board::Served::settings());
    for (panel, text) in dashboard::expressions() {
        let form = form(&text, &[("time", &served.now.seconds().to_string())]);
        let answer = http::post(served.address, "/api/v1/query", &form);
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        let result = answer["data"]["result"].as_array();
        assert!(result.is_some_and(|r| !r.is_empty()), "{panel}: {text}: {answer}");
    }
    for (name, metric, label) in dashboard::variables() {
        let path = format!("GET /api/v1/label/{label}/values?match[]={metric}");
        let answer = http::ask(served.address, &path, &[]);
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(answer["data"].as_array().is_some_and(|d| d.len() > 1), "{name}: {answer}");
    }
}

fn form(query: &str, more: &[(&str, &str)]) -> String {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("query", query).extend_pairs(more).finish()
}
