use std::sync::Arc;

use axum::extract::State;
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::super::router::Shared;
use super::form::Form;
use super::reply::{Failure, Reply, Success};
use crate::model::{Labels, Matcher, Timestamp};
use crate::rules::{AlertView, GroupView, RuleView};

/// What a client wants to see of the rules.
struct Wanted<'a> {
    alerting: bool,
    recording: bool,
    alerts: bool,
    names: Vec<&'a str>,
    groups: Vec<&'a str>,
    files: Vec<&'a str>,
    labels: Vec<Vec<Matcher>>,
}

impl<'a> Wanted<'a> {
    fn read(form: &'a Form) -> Result<Self, Failure> {
        let (alerting, recording) = match form.get("type").to_ascii_lowercase().as_str() {
            "" => (true, true),
            "alert" => (true, false),
            "record" => (false, true),
            other => {
                let reason = format!("not supported value {other:?}");
                return Err(Failure::parameter("type", reason));
            }
        };
        let alerts = match form.get("exclude_alerts") {
            "" | "false" | "0" => true,
            "true" | "1" => false,
            other => {
                let reason = format!("{other:?} is neither true nor false");
                return Err(Failure::parameter("exclude_alerts", reason));
            }
        };
        Ok(Self {
            alerting,
            recording,
            alerts,
            names: form.all("rule_name[]").collect(),
            groups: form.all("rule_group[]").collect(),
            files: form.all("file[]").collect(),
            labels: form.selectors()?,
        })
    }

    fn group(&self, group: &GroupView) -> bool {
        let among = |names: &[&str], name: &str| names.is_empty() || names.contains(&name);
        among(&self.groups, &group.name) && among(&self.files, &group.file)
    }

    fn rule(&self, rule: &RuleView) -> bool {
        let kind = if rule.alerting { self.alerting } else { self.recording };
        let named = self.names.is_empty() || self.names.contains(&&*rule.name);
        let fits = |set: &Vec<Matcher>| set.iter().all(|matcher| matcher.matches(&rule.labels));
        kind && named && (self.labels.is_empty() || self.labels.iter().any(fits))
    }
}

/// `/rules`: all groups with their rules and alerts, as a whole or in pages of `group_limit`.
pub(super) async fn rules(State(shared): State<Arc<Shared>>, form: Form) -> Reply {
    let wanted = Wanted::read(&form)?;
    let (limit, token) = (form.count("group_limit")?, form.get("group_next_token"));
    if !token.is_empty() && limit == 0 {
        let reason = "group_limit must be given with group_next_token";
        return Err(Failure::parameter("group_limit", reason));
    }
    let all = (shared.doors.rules)();
    let first = match all.iter().position(|group| self::token(group) == token) {
        _ if token.is_empty() => 0,
        Some(at) => at,
        None => {
            let reason = "the group it names is gone: begin again without it";
            return Err(Failure::parameter("group_next_token", reason));
        }
    };
    let (mut shown, mut next) = (Vec::new(), None);
    for view in &all[first..] {
        let rules: Vec<&RuleView> = view.rules.iter().filter(|rule| wanted.rule(rule)).collect();
        if !wanted.group(view) || (rules.is_empty() && !view.rules.is_empty()) {
            continue;
        }
        if limit > 0 && shown.len() == limit {
            next = Some(self::token(view));
            break;
        }
        shown.push(group(view, &rules, wanted.alerts));
    }
    let mut data = json!({ "groups": shown });
    if let Some(next) = next {
        data["groupNextToken"] = next.into();
    }
    Ok(Success::from(data))
}

/// `/alerts`: all alerts that are pending or firing.
pub(super) async fn alerts(State(shared): State<Arc<Shared>>) -> Reply {
    let groups = (shared.doors.rules)();
    let rules = groups.iter().flat_map(|group| &group.rules);
    let all: Vec<Value> = rules.flat_map(|rule| &rule.alerts).map(alert).collect();
    Ok(Success::from(json!({ "alerts": all })))
}

/// Names a group in a page's end.
fn token(group: &GroupView) -> String {
    format!("{:016x}", xxh3_64(format!("{}\0{}", group.file, group.name).as_bytes()))
}

fn group(view: &GroupView, rules: &[&RuleView], alerts: bool) -> Value {
    json!({
        "name": &*view.name,
        "file": &*view.file,
        "interval": view.interval.as_secs_f64(),
        "limit": view.limit,
        "evaluationTime": view.evaluation_time.as_secs_f64(),
        "lastEvaluation": instant(view.last_evaluation),
        "rules": rules.iter().map(|view| rule(view, alerts)).collect::<Vec<_>>(),
    })
}

fn rule(view: &RuleView, alerts: bool) -> Value {
    let mut rule = json!({
        "name": &*view.name,
        "query": &*view.query,
        "labels": labels(&view.labels),
        "health": view.health_name(),
        "evaluationTime": view.evaluation_time.as_secs_f64(),
        "lastEvaluation": instant(view.last_evaluation),
        "type": if view.alerting { "alerting" } else { "recording" },
    });
    if !view.last_error().is_empty() {
        rule["lastError"] = view.last_error().into();
    }
    if !view.warnings.is_empty() {
        rule["warnings"] = json!(view.warnings);
    }
    if view.alerting {
        rule["state"] = view.state().name().into();
        rule["duration"] = view.hold.as_secs_f64().into();
        rule["keepFiringFor"] = view.keep_firing_for.as_secs_f64().into();
        rule["annotations"] = labels(&view.annotations);
        let shown = if alerts { &view.alerts[..] } else { &[] };
        rule["alerts"] = shown.iter().map(alert).collect::<Vec<_>>().into();
    }
    rule
}

fn alert(view: &AlertView) -> Value {
    let mut alert = json!({
        "labels": labels(&view.labels),
        "annotations": labels(&view.annotations),
        "state": view.state.name(),
        "activeAt": view.active_at.to_string(),
        "value": exponent(view.value),
    });
    if let Some(since) = view.keep_firing_since {
        alert["keepFiringSince"] = since.to_string().into();
    }
    alert
}

fn labels(labels: &Labels) -> Value {
    let pairs = labels.iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
    Value::from(pairs.collect::<Map<_, _>>())
}

/// Clients take the year 1 for "never".
fn instant(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), |at| at.to_string())
}

/// A number with an exponent of at least two digits, as this one place of the API writes it.
fn exponent(value: f64) -> String {
    if !value.is_finite() {
        return crate::promql::format_float(value);
    }
    let text = format!("{value:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) =
        exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_exponent() {
        for (value, text) in [
            (1.0, "1e+00"),
            (0.25, "2.5e-01"),
            (-1.5e120, "-1.5e+120"),
            (0.0, "0e+00"),
            (f64::INFINITY, "+Inf"),
        ] {
            assert_eq!(exponent(value), text);
        }
    }
}
