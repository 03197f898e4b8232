//! Rule files that mean no good: each costs little, is named, and stops nobody else.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::model::{Labels, Point, Timestamp};
use crate::promql::MemoryStore;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn refused(text: &str) -> String {
    let problems = File::parse("r.yml", text).unwrap_err();
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The views of the rules of one group after some evaluations, and all alerts of the last one.
fn evaluated(
    rules: &str,
    world: &World,
    stopwatch: &(dyn Fn() -> Duration + Sync),
) -> Vec<RuleView> {
    let file = File::parse("r.yml", &format!("groups:\n- name: g\n  rules:\n{rules}")).unwrap();
    let mut store = MemoryStore::new();
    let mut group = Group::new(file.groups[0].clone());
    for second in 0..5 {
        for n in 0..20 {
            let labels = Labels::from_pairs([("__name__", "up"), ("n", &n.to_string())]).unwrap();
            store.append(&labels, at(second), Point::Float(1.0), None);
        }
        let outcome = group.evaluate(at(second), Duration::from_secs(1), &store, world, stopwatch);
        for row in outcome.batch.rows {
            store.append(&row.labels, outcome.batch.at, row.point, None);
        }
    }
    group.view(Duration::from_secs(1), Duration::ZERO).rules
}

#[test]
fn a_file_that_contains_itself_is_refused() {
    let told = refused("groups: &a\n- name: g\n  rules: *a\n");
    assert!(!told.is_empty());
}

#[test]
fn a_billion_laughs_are_refused() {
    let mut text = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for n in 1..12 {
        let last = n - 1;
        let ten = vec![format!("*a{last}"); 10].join(", ");
        text.push_str(&format!("a{n}: &a{n} [{ten}]\n"));
    }
    text.push_str("groups: *a11\n");
    assert!(!refused(&text).is_empty());
}

#[test]
fn a_huge_file_is_read_and_its_only_mistake_is_found() {
    let mut text = String::from("groups:\n- name: g\n  rules:\n");
    for n in 0..5_000 {
        text.push_str(&format!("  - {{record: 'r{n}', expr: 'sum by (job) (rate(x{n}[5m]))'}}\n"));
    }
    assert_eq!(File::parse("r.yml", &text).unwrap().rules(), 5_000);
    text.push_str("  - {record: r, expr: 'sum('}\n");
    let told = refused(&text);
    assert!(told.starts_with("5004:") && told.lines().count() == 1, "{told}");
}

#[test]
fn an_expression_nested_without_end_is_refused() {
    let deep = format!("{}up{}", "(".repeat(100_000), ")".repeat(100_000));
    let told = refused(&format!("groups: [{{name: g, rules: [{{record: r, expr: '{deep}'}}]}}]"));
    assert!(told.contains("is not PromQL"), "{}", &told[..told.len().min(300)]);
}

#[test]
fn rules_that_read_each_other_in_a_ring_see_the_tick_before_and_end() {
    let rules = "  - {record: a, expr: b + 1 or vector(0)}\n  - {record: b, expr: a + 1}\n  \
                 - {record: self, expr: self + 1 or vector(1)}\n";
    let views = evaluated(rules, &World::default(), &|| Duration::ZERO);
    assert!(views.iter().all(|view| view.health == Health::Ok));
}

#[test]
fn an_expression_that_takes_too_long_is_given_up_and_the_others_go_on() {
    // Each look at the watch is a second later.
    let looks = AtomicU64::new(0);
    let watch = || Duration::from_secs(looks.fetch_add(1, Ordering::Relaxed));
    let slow = "max_over_time(sum_over_time(avg_over_time(up[1d:1s])[1d:1s])[1d:1s])";
    let rules =
        format!("  - {{record: slow, expr: '{slow}'}}\n  - {{alert: Fine, expr: up == 1}}\n");
    let world = World { patience: Duration::from_secs(3), ..World::default() };
    let views = evaluated(&rules, &world, &watch);
    assert!(views[0].last_error().contains("longer than 3s"), "{:?}", views[0].health);
    assert_eq!(views[1].health, Health::Ok);
    assert_eq!(views[1].alerts.len(), 20);
}

#[test]
fn an_expression_that_grows_too_big_fails_and_the_others_go_on() {
    let rules = "  - {record: big, expr: 'up[1h:1s] and up'}\n";
    assert!(File::parse("r", &format!("groups: [{{name: g, rules:\n{rules}}}]")).is_err());
    let rules = "  - {record: big, expr: 'up * on () group_left () up'}\n  \
                 - {record: many, expr: 'sum by (n) (up) + on (n) group_left () up'}\n  - {alert: Fine, expr: up == 1}\n";
    let world = World { max_samples: 25, ..World::default() };
    let views = evaluated(rules, &world, &|| Duration::ZERO);
    assert!(!views[0].last_error().is_empty());
    assert!(views[1].last_error().contains("many samples"), "{:?}", views[1].health);
    assert_eq!(views[2].health, Health::Ok);
}

#[test]
fn a_template_that_loops_or_fails_is_shown_and_its_alert_fires() {
    for (template, told) in [
        (r#"{{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }}"#, "depth"),
        (
            r#"{{ range query "up" }}{{ range query "up" }}{{ range query "up" }}{{ range query "up" }}x{{ end }}{{ end }}{{ end }}{{ end }}"#,
            "steps",
        ),
        (
            r#"{{ range query "up" }}{{ range query "up" }}{{ printf "%9999d" 1 }}{{ end }}{{ end }}"#,
            "longer",
        ),
        (r#"{{ "soon" | toTime }}"#, "toTime"),
        (r#"{{ query "sum(" | first | value }}"#, "query"),
    ] {
        let rules = format!(
            "  - alert: A\n    expr: up{{n=\"1\"}}\n    annotations:\n      s: '{template}'\n"
        );
        let views = evaluated(&rules, &World::default(), &|| Duration::ZERO);
        assert_eq!(views[0].alerts.len(), 1, "{template}");
        let text = views[0].alerts[0].annotations.get("s").unwrap();
        assert!(text.starts_with("<error expanding template:"), "{template}: {text}");
        assert!(views[0].warnings[0].contains(told), "{template}: {:?}", views[0].warnings);
    }
}

#[test]
fn a_template_with_a_missing_function_is_refused_with_its_place() {
    let told = refused(
        "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: up\n    annotations:\n      s: '{{ nope 1 }}'\n",
    );
    assert!(told.starts_with("7:") && told.contains("nope"), "{told}");
}
