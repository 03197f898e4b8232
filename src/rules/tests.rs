//! What an alert generator owes its receivers: the requirements 1–21 of Prometheus' alert generator
//! compliance specification, and (a)–(h) where the specification and Prometheus differ and
//! Prometheus is followed. One test each, named after its number.

use std::time::Duration;

use super::*;
use crate::model::{Alert, Labels, Phase, Point, Row, Timestamp, is_stale};
use crate::promql::MemoryStore;

const INTERVAL: Duration = Duration::from_secs(15);

struct Bench {
    group: Group,
    store: MemoryStore,
    world: World,
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn labels(text: &str) -> Labels {
    crate::promql::script::parse_labels(text).unwrap()
}

fn parse(text: &str) -> File {
    File::parse("r.yml", text).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// A group `g` with these rules, each a YAML flow mapping.
fn group(rules: &[&str]) -> String {
    let rules: String = rules.iter().map(|rule| format!("  - {{{rule}}}\n")).collect();
    format!("groups:\n- name: g\n  rules:\n{rules}")
}

impl Bench {
    fn new(rules: &[&str]) -> Self {
        let file = parse(&group(rules));
        let group = Group::new(file.groups[0].clone());
        Self { group, store: MemoryStore::new(), world: World::default() }
    }

    fn see(&mut self, seconds: i64, series: &str, value: f64) {
        let point = if is_stale(value) { Point::Stale } else { Point::Float(value) };
        self.store.append(&labels(series), at(seconds), point, None);
    }

    /// One evaluation; its results are stored.
    fn tick(&mut self, seconds: i64) -> Outcome {
        let stopwatch = || Duration::ZERO;
        let outcome =
            self.group.evaluate(at(seconds), INTERVAL, &self.store, &self.world, &stopwatch);
        for row in &outcome.batch.rows {
            self.store.append(&row.labels, outcome.batch.at, row.point.clone(), None);
        }
        outcome
    }

    /// The series has this value, and the rules are evaluated.
    fn with(&mut self, seconds: i64, series: &str, value: f64) -> Outcome {
        self.see(seconds, series, value);
        self.tick(seconds)
    }

    fn view(&self) -> GroupView {
        self.group.view(INTERVAL, Duration::ZERO)
    }

    fn reload(&mut self, rules: &[&str], seconds: i64) {
        let file = parse(&group(rules));
        let old = std::mem::replace(&mut self.group, Group::new(file.groups[0].clone()));
        self.group.take_over(old, at(seconds));
    }

    /// The process dies and comes back: only what is stored is left.
    fn restart(&mut self) {
        self.group = Group::new(self.group.rules().clone());
    }
}

/// The rows as text, ends of series as `stale`.
fn rows(outcome: &Outcome) -> Vec<String> {
    let shown = |row: &Row| match &row.point {
        Point::Float(value) => format!("{} {value}", row.labels),
        Point::Stale => format!("{} stale", row.labels),
        Point::Histogram(_) => format!("{} histogram", row.labels),
    };
    let mut rows: Vec<String> = outcome.batch.rows.iter().map(shown).collect();
    rows.sort();
    rows
}

fn firing(outcome: &Outcome) -> Vec<&Alert> {
    outcome.alerts.iter().filter(|alert| alert.is_firing()).collect()
}

const DOWN: &str = "alert: A, expr: down == 1";
const DOWN_1M: &str = "alert: A, expr: down == 1, for: 1m";

#[test]
fn requirement_01_an_alert_carries_labels_annotations_times_and_a_link() {
    let mut bench = Bench::new(&["alert: A, expr: down == 1, annotations: {s: x}"]);
    bench.world.external_url = "https://o.example".into();
    let outcome = bench.with(0, r#"down{i="a"}"#, 1.0);
    let alert = &outcome.alerts[0];
    assert_eq!(alert.labels.to_string(), r#"{alertname="A", i="a"}"#);
    assert_eq!(alert.annotations.get("s"), Some("x"));
    assert!(alert.ends.is_some() && alert.phase.since() == at(0));
    assert_eq!(&*alert.generator, "https://o.example/graph?g0.expr=down%20%3D%3D%201&g0.tab=1");
}

#[test]
fn requirement_02_rule_files_are_yaml_or_json_and_names_of_groups_are_unique() {
    let json = r#"{"groups":[{"name":"g","rules":[{"alert":"a","expr":"up == 0","for":"5m"}]}]}"#;
    assert_eq!(parse(json).rules(), 1);
    let twice = "groups: [{name: g}, {name: g}]";
    assert!(File::parse("r.yml", twice).unwrap_err()[0].what.contains("unique"));
}

#[test]
fn requirement_03_later_rules_see_the_results_of_earlier_ones_in_the_same_cycle() {
    let mut bench = Bench::new(&[
        "record: one, expr: down + 1",
        "record: two, expr: one + 1",
        "alert: A, expr: two == 3",
        r#"alert: B, expr: "ALERTS{alertname=\"A\"} == 1""#,
    ]);
    let outcome = bench.with(0, "down", 1.0);
    assert_eq!(firing(&outcome).len(), 2, "{:?}", rows(&outcome));
    // The end of a series is seen at once as well.
    let outcome = bench.with(15, "down", crate::model::STALE);
    assert!(firing(&outcome).is_empty());
    assert!(rows(&outcome).contains(&"two stale".to_owned()), "{:?}", rows(&outcome));
}

#[test]
fn requirement_03_a_range_over_earlier_results_ends_with_that_of_this_cycle() {
    let mut bench =
        Bench::new(&["record: one, expr: down", "record: n, expr: 'count_over_time(one[1h])'"]);
    bench.with(0, "down", 1.0);
    let outcome = bench.with(15, "down", 1.0);
    assert!(rows(&outcome).contains(&"n 2".to_owned()), "{:?}", rows(&outcome));
}

#[test]
fn requirement_04_templates_know_labels_value_externals_and_queries() {
    let mut bench = Bench::new(&[
        "alert: A, expr: down == 1, annotations: {s: '{{ $labels.i }} {{ $value }} {{ $externalLabels.site }} \
         {{ $externalURL }} {{ with query \"other\" }}{{ . | first | value }}{{ end }}'}",
    ]);
    bench.world.external_labels = labels(r#"{site="hq"}"#);
    bench.world.external_url = "https://o.example".into();
    bench.see(0, "other", 7.0);
    let outcome = bench.with(0, r#"down{i="a"}"#, 1.0);
    assert_eq!(outcome.alerts[0].annotations.get("s"), Some("a 1 hq https://o.example 7"));
}

#[test]
fn requirement_05_the_expression_is_an_instant_query_at_the_time_of_evaluation() {
    let mut bench = Bench::new(&["record: t, expr: time()"]);
    assert_eq!(rows(&bench.tick(90)), ["t 90"]);
}

#[test]
fn requirement_06_each_element_is_an_alert() {
    let mut bench = Bench::new(&[DOWN]);
    bench.see(0, r#"down{i="a"}"#, 1.0);
    let outcome = bench.with(0, r#"down{i="b"}"#, 1.0);
    assert_eq!(firing(&outcome).len(), 2);
}

#[test]
fn requirement_07_label_templates_override_and_annotations_are_per_element() {
    let mut bench = Bench::new(&[
        "alert: A, expr: down == 1, labels: {i: 'x-{{ $labels.i }}'}, annotations: {s: '{{ $labels.i }}'}",
    ]);
    bench.see(0, r#"down{i="a"}"#, 1.0);
    let outcome = bench.with(0, r#"down{i="b"}"#, 1.0);
    let told: Vec<_> = outcome
        .alerts
        .iter()
        .map(|a| (a.labels.get("i").unwrap(), a.annotations.get("s").unwrap()))
        .collect();
    assert_eq!(told, [("x-a", "a"), ("x-b", "b")]);
}

#[test]
fn requirement_08_alertname_is_added_last() {
    let mut bench = Bench::new(&["alert: A, expr: down == 1, labels: {alertname: other}"]);
    let outcome = bench.with(0, r#"down{alertname="third"}"#, 1.0);
    assert_eq!(outcome.alerts[0].name(), "A");
}

#[test]
fn requirement_09_two_equal_alerts_fail_the_whole_rule() {
    let mut bench = Bench::new(&["alert: A, expr: down == 1, labels: {i: same}"]);
    bench.see(0, r#"down{i="a"}"#, 1.0);
    let outcome = bench.with(0, r#"down{i="b"}"#, 1.0);
    assert!(outcome.alerts.is_empty() && outcome.batch.rows.is_empty());
    assert_eq!(outcome.failed, 1);
    let view = bench.view();
    assert_eq!(view.rules[0].health_name(), "err");
    assert!(view.rules[0].last_error().contains("same labelset"));
}

#[test]
fn requirement_10_pending_until_the_time_is_over_with_the_latest_annotations() {
    let mut bench =
        Bench::new(&["alert: A, expr: down >= 1, for: 1m, annotations: {v: '{{ $value }}'}"]);
    assert!(bench.with(0, "down", 1.0).alerts.is_empty());
    assert!(bench.with(45, "down", 2.0).alerts.is_empty());
    let alert = bench.view().rules[0].alerts[0].clone();
    assert_eq!((alert.state, alert.active_at), (AlertState::Pending, at(0)));
    assert_eq!(alert.annotations.get("v"), Some("2"));
}

#[test]
fn requirement_11_it_fires_when_the_time_is_over() {
    let mut bench = Bench::new(&[DOWN_1M]);
    bench.with(0, "down", 1.0);
    let outcome = bench.with(60, "down", 1.0);
    assert_eq!(firing(&outcome)[0].phase, Phase::Firing { since: at(0), fired: at(60) });
    let mut bench = Bench::new(&[DOWN]);
    assert_eq!(firing(&bench.with(0, "down", 1.0)).len(), 1, "for 0: at once");
    let mut bench = Bench::new(&["alert: A, expr: down == 1, for: 1s"]);
    assert!(bench.with(0, "down", 1.0).alerts.is_empty());
    assert_eq!(firing(&bench.with(15, "down", 1.0)).len(), 1, "less than an interval: the next");
}

#[test]
fn requirement_12_missing_is_over_at_once_and_coming_back_is_new() {
    let mut bench = Bench::new(&[DOWN]);
    bench.with(0, "down", 1.0);
    let outcome = bench.with(15, "down", 0.0);
    assert_eq!(outcome.alerts[0].phase, Phase::Resolved { fired: at(0), resolved: at(15) });
    let outcome = bench.with(30, "down", 1.0);
    assert_eq!(outcome.alerts[0].phase, Phase::Firing { since: at(30), fired: at(30) });
    assert_eq!(outcome.alerts.len(), 1);
}

#[test]
fn requirement_13_the_series_alerts_tells_pending_and_firing() {
    let mut bench = Bench::new(&["alert: A, expr: down == 1, for: 15s, labels: {alertstate: x}"]);
    let outcome = bench.with(0, r#"down{i="a"}"#, 1.0);
    let pending = r#"ALERTS{alertname="A", alertstate="pending", i="a"}"#;
    assert!(rows(&outcome).contains(&format!("{pending} 1")), "{:?}", rows(&outcome));
    let firing = r#"ALERTS{alertname="A", alertstate="firing", i="a"}"#;
    let outcome = bench.with(15, r#"down{i="a"}"#, 1.0);
    assert!(rows(&outcome).contains(&format!("{firing} 1")), "{:?}", rows(&outcome));
    assert!(rows(&outcome).contains(&format!("{pending} stale")), "{:?}", rows(&outcome));
    let outcome = bench.with(30, r#"down{i="a"}"#, 0.0);
    assert!(rows(&outcome).contains(&format!("{firing} stale")), "{:?}", rows(&outcome));
}

#[test]
fn requirement_14_only_firing_and_resolved_alerts_are_reported() {
    let mut bench = Bench::new(&[DOWN_1M, "alert: B, expr: down == 1"]);
    let outcome = bench.with(0, "down", 1.0);
    assert_eq!(outcome.alerts.iter().map(Alert::name).collect::<Vec<_>>(), ["B"]);
}

#[test]
fn requirement_15_the_time_to_the_next_report_is_part_of_the_settings() {
    let mut bench = Bench::new(&[DOWN]);
    assert_eq!(bench.world.resend, Duration::from_secs(60));
    bench.world.resend = Duration::from_secs(300);
    let outcome = bench.with(0, "down", 1.0);
    assert_eq!(outcome.alerts[0].ends, Some(at(1200)));
}

#[test]
fn requirement_16_a_firing_alert_is_reported_again_and_again() {
    let mut bench = Bench::new(&[DOWN]);
    for seconds in (0..600).step_by(15) {
        assert_eq!(firing(&bench.with(seconds, "down", 1.0)).len(), 1);
    }
}

#[test]
fn requirement_17_a_resolved_alert_is_reported_for_a_quarter_of_an_hour() {
    let mut bench = Bench::new(&[DOWN]);
    bench.with(0, "down", 1.0);
    for seconds in (15..=15 + 900).step_by(15) {
        let outcome = bench.with(seconds, "down", 0.0);
        assert_eq!(outcome.alerts.len(), 1, "{seconds}");
        assert_eq!(outcome.alerts[0].phase, Phase::Resolved { fired: at(0), resolved: at(15) });
    }
    assert!(bench.with(945, "down", 0.0).alerts.is_empty());
}

#[test]
fn requirement_18_it_starts_when_it_fired_and_ends_when_it_resolved() {
    let mut bench = Bench::new(&[DOWN_1M]);
    bench.with(0, "down", 1.0);
    let outcome = bench.with(60, "down", 1.0);
    let Phase::Firing { fired, .. } = outcome.alerts[0].phase else { panic!() };
    assert_eq!(fired, at(60));
    let outcome = bench.with(75, "down", 0.0);
    assert_eq!(outcome.alerts[0].ends, Some(at(75)));
    assert_eq!(outcome.alerts[0].phase.since(), at(60));
}

#[test]
fn requirement_19_the_view_has_every_field_of_the_rules_api() {
    let mut bench = Bench::new(&[
        "alert: A, expr: down == 1, for: 1m, keep_firing_for: 2m, labels: {l: '{{ $value }}'}, annotations: {s: t}",
        "record: r, expr: down",
        "alert: C, expr: down * on (x) group_left down",
    ]);
    assert_eq!(bench.view().rules[0].health_name(), "unknown");
    bench.with(0, r#"down{i="a"}"#, 1.0);
    bench.with(0, r#"down{i="b"}"#, 1.0);
    let view = bench.view();
    assert_eq!((&*view.name, &*view.file, view.interval), ("g", "r.yml", INTERVAL));
    assert_eq!(view.last_evaluation, Some(at(0)));
    let rule = &view.rules[0];
    assert!(rule.alerting && !view.rules[1].alerting);
    assert_eq!((&*rule.name, &*rule.query), ("A", "down == 1"));
    assert_eq!(rule.hold, Duration::from_secs(60));
    assert_eq!(rule.keep_firing_for, Duration::from_secs(120));
    assert_eq!(rule.labels.get("l"), Some("{{ $value }}"), "as written");
    assert_eq!(rule.annotations.get("s"), Some("t"));
    assert_eq!(
        (rule.health_name(), rule.last_error(), rule.state()),
        ("ok", "", AlertState::Pending)
    );
    assert_eq!(view.rules[2].health_name(), "err");
    assert!(!view.rules[2].last_error().is_empty());
}

#[test]
fn requirement_20_an_alert_is_shown_with_time_state_value_and_texts() {
    let mut bench = Bench::new(&["alert: A, expr: down == 1, annotations: {s: t}"]);
    bench.with(30, r#"down{i="a"}"#, 1.0);
    let alert = bench.view().rules[0].alerts[0].clone();
    assert_eq!((alert.active_at, alert.state.name(), alert.value), (at(30), "firing", 1.0));
    assert_eq!(alert.labels.get("i"), Some("a"));
    assert_eq!(alert.annotations.get("s"), Some("t"));
}

#[test]
fn requirement_21_what_is_shown_beyond_that_does_not_get_in_the_way() {
    let mut bench =
        Bench::new(&["alert: A, expr: down == 1, annotations: {s: '{{ template \"none\" }}'}"]);
    bench.with(0, "down", 1.0);
    let rule = bench.view().rules[0].clone();
    assert_eq!(rule.health_name(), "ok");
    assert_eq!(rule.warnings.len(), 1, "{:?}", rule.warnings);
}

#[test]
fn trap_a_a_firing_alert_ends_four_resend_delays_or_intervals_from_now() {
    let mut bench = Bench::new(&[DOWN]);
    bench.with(0, "down", 1.0);
    let outcome = bench.with(600, "down", 1.0);
    assert_eq!(outcome.alerts[0].ends, Some(at(600 + 4 * 60)));
}

#[test]
fn trap_b_the_metric_name_is_no_label_of_an_alert() {
    let mut bench = Bench::new(&["alert: A, expr: down"]);
    let outcome = bench.with(0, "down", 1.0);
    assert_eq!(outcome.alerts[0].labels.to_string(), r#"{alertname="A"}"#);
}

#[test]
fn trap_c_a_pending_alert_that_vanishes_is_never_reported() {
    let mut bench = Bench::new(&[DOWN_1M]);
    bench.with(0, "down", 1.0);
    assert!(bench.with(15, "down", 0.0).alerts.is_empty());
    assert!(bench.view().rules[0].alerts.is_empty());
}

#[test]
fn trap_d_a_template_that_fails_says_so_and_the_alert_fires() {
    let mut bench = Bench::new(&[
        "alert: A, expr: down == 1, annotations: {s: '{{ first (query \"none\") }}'}",
    ]);
    let outcome = bench.with(0, "down", 1.0);
    let text = firing(&outcome)[0].annotations.get("s").unwrap();
    assert!(text.starts_with("<error expanding template: ") && text.ends_with('>'), "{text}");
    assert_eq!(outcome.failed, 0);
}

#[test]
fn trap_e_a_longer_for_makes_a_firing_alert_pending_again() {
    let mut bench = Bench::new(&["alert: A, expr: down == 1, for: 15s"]);
    bench.with(0, "down", 1.0);
    assert_eq!(firing(&bench.with(15, "down", 1.0)).len(), 1);
    bench.reload(&[DOWN_1M], 20);
    assert!(firing(&bench.with(30, "down", 1.0)).is_empty());
    assert_eq!(bench.view().rules[0].state(), AlertState::Pending);
    let outcome = bench.with(60, "down", 1.0);
    assert_eq!(firing(&outcome)[0].phase, Phase::Firing { since: at(0), fired: at(60) });
}

#[test]
fn trap_f_a_limit_that_is_exceeded_ends_all_alerts_without_a_word() {
    let text = "groups:\n- name: g\n  limit: 1\n  rules:\n  - {alert: A, expr: down == 1}\n";
    let mut bench = Bench::new(&[DOWN]);
    bench.group = Group::new(parse(text).groups[0].clone());
    assert_eq!(firing(&bench.with(0, r#"down{i="a"}"#, 1.0)).len(), 1);
    bench.see(15, r#"down{i="a"}"#, 1.0);
    let outcome = bench.with(15, r#"down{i="b"}"#, 1.0);
    assert!(outcome.alerts.is_empty() && outcome.batch.rows.is_empty());
    assert_eq!(bench.view().rules[0].last_error(), "exceeded limit of 1 with 2 alerts");
    assert!(bench.view().rules[0].alerts.is_empty());
}

#[test]
fn trap_g_a_pending_clock_goes_on_after_a_restart() {
    let mut bench = Bench::new(&["alert: A, expr: down == 1, for: 20m"]);
    for seconds in (0..=600).step_by(60) {
        bench.with(seconds, "down", 1.0);
    }
    bench.restart();
    // Away for five minutes; ten of the twenty minutes are left, from now on.
    let outcome = bench.with(900, "down", 1.0);
    assert!(rows(&outcome).contains(&r#"ALERTS_FOR_STATE{alertname="A"} 300"#.to_owned()));
    assert!(bench.with(1485, "down", 1.0).alerts.is_empty());
    assert_eq!(firing(&bench.with(1500, "down", 1.0)).len(), 1);
}

#[test]
fn trap_g_nothing_goes_on_after_an_hour_and_with_prometheus_grace_no_short_for_does() {
    let mut bench = Bench::new(&["alert: A, expr: down == 1, for: 5m"]);
    bench.with(0, "down", 1.0);
    bench.with(240, "down", 1.0);
    bench.restart();
    bench.with(240 + 3601, "down", 1.0);
    assert_eq!(bench.view().rules[0].alerts[0].active_at, at(3841));

    let mut bench = Bench::new(&["alert: A, expr: down == 1, for: 5m"]);
    bench.world.grace = Duration::from_secs(600);
    bench.with(0, "down", 1.0);
    bench.with(240, "down", 1.0);
    bench.restart();
    bench.with(255, "down", 1.0);
    assert_eq!(bench.view().rules[0].alerts[0].active_at, at(255));
}

#[test]
fn trap_g_what_fired_before_a_restart_fires_at_once_or_is_told_to_be_over() {
    let mut bench = Bench::new(&[DOWN_1M]);
    for seconds in (0..=120).step_by(15) {
        bench.see(seconds, r#"down{i="a"}"#, 1.0);
        bench.with(seconds, r#"down{i="b"}"#, 1.0);
    }
    bench.restart();
    bench.see(180, r#"down{i="a"}"#, 0.0);
    let outcome = bench.with(180, r#"down{i="b"}"#, 1.0);
    assert_eq!(firing(&outcome).len(), 1);
    assert_eq!(firing(&outcome)[0].labels.get("i"), Some("b"));
    bench.with(240, r#"down{i="b"}"#, 1.0);
    let ended = bench.with(315, r#"down{i="b"}"#, 1.0);
    assert!(rows(&ended).iter().any(|row| row.contains(r#"i="a""#) && row.ends_with("stale")));
    let outcome = bench.with(330, r#"down{i="b"}"#, 1.0);
    let over: Vec<_> = outcome.alerts.iter().filter(|alert| !alert.is_firing()).collect();
    assert_eq!(over.len(), 1);
    assert_eq!(over[0].labels.get("i"), Some("a"));
    assert_eq!(over[0].phase, Phase::Resolved { fired: at(60), resolved: at(315) });
}

#[test]
fn trap_h_the_clock_of_an_alert_is_a_series_that_ends_with_it() {
    let mut bench = Bench::new(&[DOWN_1M]);
    bench.with(30, "down", 1.0);
    let outcome = bench.with(45, "down", 1.0);
    let clock = r#"ALERTS_FOR_STATE{alertname="A"}"#;
    assert!(rows(&outcome).contains(&format!("{clock} 30")), "{:?}", rows(&outcome));
    let outcome = bench.with(60, "down", 0.0);
    assert!(rows(&outcome).contains(&format!("{clock} stale")), "{:?}", rows(&outcome));
}

#[test]
fn an_evaluation_between_slots_does_not_change_what_for_means() {
    let mut bench = Bench::new(&[DOWN_1M]);
    // The verdict changes at 7 s: the clock begins with the truth, not with the next slot …
    bench.with(7, "down", 1.0);
    bench.with(15, "down", 1.0);
    bench.with(60, "down", 1.0);
    // … a further evaluation neither fires early nor begins anew …
    assert!(bench.with(66, "down", 1.0).alerts.is_empty());
    let outcome = bench.with(75, "down", 1.0);
    assert_eq!(firing(&outcome)[0].phase, Phase::Firing { since: at(7), fired: at(75) });
    // … and a success in between is an interruption.
    bench.with(80, "down", 0.0);
    assert!(firing(&bench.with(90, "down", 1.0)).is_empty());
}

#[test]
fn a_query_offset_looks_back_and_stores_back() {
    let text = "groups:\n- name: g\n  query_offset: 1m\n  rules:\n  - {record: r, expr: down}\n";
    let mut bench = Bench::new(&[DOWN]);
    bench.group = Group::new(parse(text).groups[0].clone());
    bench.see(0, "down", 1.0);
    bench.see(60, "down", 2.0);
    let outcome = bench.tick(90);
    assert_eq!(outcome.batch.at, at(30));
    assert_eq!(rows(&outcome), ["r 1"]);
}

#[test]
fn recorded_series_end_when_they_are_gone_and_duplicates_fail_the_rule() {
    let mut bench = Bench::new(&["record: r, expr: down, labels: {i: same}"]);
    bench.with(0, r#"down{i="a"}"#, 1.0);
    let outcome = bench.with(15, r#"down{i="a"}"#, crate::model::STALE);
    assert_eq!(rows(&outcome), [r#"r{i="same"} stale"#]);
    bench.see(30, r#"down{i="a"}"#, 1.0);
    let outcome = bench.with(30, r#"down{i="b"}"#, 1.0);
    assert!(outcome.batch.rows.is_empty() && outcome.failed == 1);
}

#[test]
fn a_rule_that_fails_leaves_the_others_alone() {
    let mut bench = Bench::new(&["record: r, expr: down * on (x) group_left down", DOWN]);
    bench.see(0, r#"down{i="a"}"#, 1.0);
    let outcome = bench.with(0, r#"down{i="b"}"#, 1.0);
    assert_eq!((outcome.evaluated, outcome.failed, firing(&outcome).len()), (2, 1, 2));
}

#[test]
fn rules_taken_away_end_their_series_and_alerts() {
    let mut bench = Bench::new(&[DOWN, "record: r, expr: down"]);
    bench.with(0, "down", 1.0);
    bench.reload(&["alert: B, expr: down == 1"], 10);
    let outcome = bench.with(15, "down", 1.0);
    assert!(rows(&outcome).contains(&"r stale".to_owned()), "{:?}", rows(&outcome));
    let over = outcome.alerts.iter().find(|alert| alert.name() == "A").unwrap();
    assert_eq!(over.phase, Phase::Resolved { fired: at(0), resolved: at(10) });
    assert!(!bench.with(30, "down", 1.0).alerts.iter().any(|alert| alert.name() == "A"));
}
