use std::collections::BTreeSet;
use std::sync::Arc;

use augenmass::alerting::{Desk, Plan, Silence, WhyNot, parse_matchers, regex_matcher};
use augenmass::model::{Alert, Labels, Matcher, Phase, Test, Timestamp};
use serde_json::Value;

use super::{corpus, json, judge, labels, list, load, text};

const CONFIGURATIONS: [&str; 6] = ["simple", "office", "provider", "legacy", "nested", "utf8"];

fn plan(name: &str) -> Option<(Plan, Value, Value)> {
    let folder = corpus("am-routing")?;
    let written = std::fs::read_to_string(folder.join(format!("{name}.yml"))).unwrap();
    // What a receiver does is not looked at here, and `simple` uses services of other vendors.
    let kept: Vec<&str> = written.lines().filter(|line| !line.starts_with("templates:")).collect();
    let mut kept = kept.join("\n");
    if name == "simple" {
        kept = without_integrations(&kept);
    }
    let file = load(&kept).unwrap_or_else(|problems| panic!("{name}: {problems}"));
    let routes = json(&folder.join(format!("{name}.routes.json")));
    let state = json(&folder.join(format!("{name}.state.json")));
    Some((file.plan, routes, state))
}

/// Keeps the names of the receivers alone.
fn without_integrations(written: &str) -> String {
    let at = written.find("\nreceivers:").unwrap();
    let (before, after) = written.split_at(at + "\nreceivers:".len());
    let before =
        before.replace("templates:", "").replace("  - '/etc/alertmanager/template/*.tmpl'", "");
    let names: Vec<&str> =
        after.lines().filter(|line| line.trim_start().starts_with("- name:")).collect();
    format!("{before}\n{}\n", names.join("\n"))
}

#[test]
fn label_sets_take_the_routes_that_amtool_says() {
    for name in CONFIGURATIONS {
        let Some((plan, routes, _)) = plan(name) else { return };
        let mut differs = Vec::new();
        for case in list(&routes) {
            let found = plan.routes.resolve(&labels(&case["labels"]));
            let found: Vec<&str> = found.iter().map(|id| &*plan.routes.get(*id).receiver).collect();
            let want: Vec<&str> =
                list(&case["receivers"]).iter().filter_map(Value::as_str).collect();
            if found != want {
                differs.push((text(case, "id").to_owned(), format!("{found:?}, not {want:?}")));
            }
        }
        judge(&format!("routes of {name}"), list(&routes).len(), &differs, "");
    }
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_790_000_000_000)
}

fn desk(plan: Plan, routes: &Value) -> Desk {
    let mut desk = Desk::new(Arc::new(plan));
    let alert = |case: &Value| Alert {
        labels: labels(&case["labels"]),
        annotations: Labels::empty(),
        phase: Phase::Firing { since: now(), fired: now() },
        value: None,
        ends: None,
        generator: "".into(),
    };
    desk.offer(now(), list(routes).iter().map(alert).collect());
    desk
}

fn silences(state: &Value) -> Vec<Silence> {
    let matcher = |m: &Value| {
        let (name, value) = (text(m, "name"), text(m, "value"));
        match (m["isRegex"] == true, m["isEqual"] == true) {
            (true, equal) => regex_matcher(name, value, equal).unwrap(),
            (false, true) => Matcher::equal(name, value),
            (false, false) => Matcher::new(name, Test::NotEqual(value.into())),
        }
    };
    let silence = |(nth, matchers): (usize, &Value)| {
        super::silence(&nth.to_string(), list(matchers).iter().map(matcher).collect())
    };
    list(&state["silences"]).iter().enumerate().map(silence).collect()
}

#[test]
fn alerts_are_grouped_as_by_the_server() {
    for name in CONFIGURATIONS {
        let Some((plan, routes, state)) = plan(name) else { return };
        let desk = desk(plan, &routes);
        let mut found = BTreeSet::new();
        for group in desk.status(now()) {
            let members: BTreeSet<_> =
                group.alerts.iter().map(|status| status.alert.labels.to_string()).collect();
            found.insert((group.receiver.to_string(), group.group.to_string(), members));
        }
        let mut want = BTreeSet::new();
        for group in list(&state["groups"]) {
            let members = list(&group["alerts"]).iter().map(|l| labels(l).to_string()).collect();
            let group_labels = labels(&group["labels"]).to_string();
            want.insert((text(group, "receiver").to_owned(), group_labels, members));
        }
        assert_eq!(found, want, "{name}");
        eprintln!("groups of {name}: {} agree", want.len());
    }
}

#[test]
fn alerts_are_inhibited_and_silenced_as_by_the_server() {
    for name in CONFIGURATIONS {
        let Some((plan, routes, state)) = plan(name) else { return };
        let mut desk = desk(plan, &routes);
        compare(name, &desk, &state["alerts"], &[]);
        let silences = silences(&state);
        desk.silence(silences.clone());
        compare(name, &desk, &state["alerts_after_silences"], &silences);
    }
}

fn compare(name: &str, desk: &Desk, want: &Value, silences: &[Silence]) {
    let groups = desk.status(now());
    for want in list(want) {
        let labels = labels(&want["labels"]);
        let mut receivers = BTreeSet::new();
        let mut why_not = None;
        for group in &groups {
            for status in group.alerts.iter().filter(|status| status.alert.labels == labels) {
                receivers.insert(group.receiver.to_string());
                why_not = status.why_not.clone();
            }
        }
        let inhibited = matches!(why_not, Some(WhyNot::Inhibited { .. }));
        let silenced = silences.iter().filter(|s| s.covers(&labels, now())).count();
        let state = if inhibited || silenced > 0 { "suppressed" } else { "active" };
        assert_eq!(matches!(why_not, Some(WhyNot::Silenced { .. })), !inhibited && silenced > 0);
        let wanted: BTreeSet<String> =
            list(&want["receivers"]).iter().map(|r| r.as_str().unwrap().to_owned()).collect();
        assert_eq!(receivers, wanted, "{name}: {labels}");
        assert_eq!(inhibited, !list(&want["inhibited"]).is_empty(), "{name}: {labels}");
        assert_eq!(silenced as u64, want["silenced"].as_u64().unwrap(), "{name}: {labels}");
        assert_eq!(state, text(want, "state"), "{name}: {labels}");
    }
}

/// As Alertmanager prints matchers.
fn shown(matchers: &[Matcher]) -> String {
    let quote = |text: &str| {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("\"{text}\"")
    };
    let one = |matcher: &Matcher| {
        let (operator, value) = match matcher.test() {
            Test::Equal(value) => ("=", &**value),
            Test::NotEqual(value) => ("!=", &**value),
            Test::Match(pattern) => ("=~", pattern.as_str()),
            Test::NotMatch(pattern) => ("!~", pattern.as_str()),
        };
        let reserved = |c: char| c.is_whitespace() || "{}!=~,\\\"'`".contains(c);
        let name = matcher.name();
        let name = if name.contains(reserved) { quote(name) } else { name.to_owned() };
        format!("{name}{operator}{}", quote(value))
    };
    format!("{{{}}}", matchers.iter().map(one).collect::<Vec<_>>().join(","))
}

#[test]
fn matchers_are_read_as_in_a_configuration() {
    let Some(folder) = corpus("am-routing") else { return };
    let cases = json(&folder.join("matchers.json"));
    let mut differs = Vec::new();
    for case in list(&cases["cases"]) {
        let (written, accepted) = (text(case, "matcher"), text(case, "config_default"));
        let problem = match (parse_matchers(written), accepted) {
            (Ok(found), "accepted")
                if found.is_empty() || shown(&found) == text(case, "parsed_as") =>
            {
                continue;
            }
            (Err(_), "refused") => continue,
            (Ok(found), _) => shown(&found),
            (Err(error), _) => error.to_string(),
        };
        differs.push((written.to_owned(), problem));
    }
    judge("matchers", list(&cases["cases"]).len(), &differs, "");
}

#[test]
fn the_command_line_says_what_amtool_says() {
    let Some(folder) = corpus("am-routing") else { return };
    let routes = json(&folder.join("nested.routes.json"));
    for case in list(&routes).iter().take(5) {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_augenmass"));
        command.args(["routes", "test", "-o", "json", "--alertmanager"]);
        command.arg(folder.join("nested.yml"));
        for (name, value) in &labels(&case["labels"]) {
            command.arg(format!("{name}={value}"));
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(said["receivers"], case["receivers"]);
    }
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_augenmass"));
    let output = command.args(["routes", "test", "nonsense"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
