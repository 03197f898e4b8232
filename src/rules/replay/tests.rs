use super::*;
use crate::model::Point;
use crate::promql::MemoryStore;
use crate::rules::File;

fn at(minutes: i64) -> Timestamp {
    Timestamp::from_millis(minutes * 60_000)
}

fn labels(text: &str) -> Labels {
    let expr = crate::promql::parse_selector(text).unwrap();
    let pairs = expr.matchers.iter().map(|m| match m.test() {
        crate::model::Test::Equal(value) => (m.name().to_owned(), value.to_string()),
        _ => panic!("{text}"),
    });
    Labels::from_pairs(pairs.collect::<Vec<_>>().iter().map(|(n, v)| (n.as_str(), v.as_str())))
        .unwrap()
}

/// A store in which a series has these values, one a minute; `None` is no sample.
fn store(series: &[(&str, Vec<Option<f64>>)]) -> MemoryStore {
    let mut store = MemoryStore::new();
    for (name, values) in series {
        for (minute, value) in values.iter().enumerate() {
            let Some(value) = value else { continue };
            let minute = i64::try_from(minute).unwrap();
            store.append(&labels(name), at(minute), Point::Float(*value), None);
        }
    }
    store
}

/// `(value, minutes)` one after the other.
fn runs(runs: &[(f64, usize)]) -> Vec<Option<f64>> {
    runs.iter().flat_map(|(value, times)| vec![Some(*value); *times]).collect()
}

fn settings(from: i64, to: i64) -> Settings {
    Settings {
        from: at(from),
        to: at(to),
        interval: Duration::from_secs(60),
        world: World::default(),
    }
}

fn replayed(rules: &str, store: &MemoryStore, settings: &Settings) -> Vec<Replayed> {
    let file = File::parse("r.yml", &format!("groups:\n{rules}")).unwrap();
    replay(&file.groups, store, settings, &mut |_, _| {})
}

fn told(replayed: &Replayed) -> Vec<(i64, i64, Option<i64>)> {
    let minutes = |t: Timestamp| t.millis() / 60_000;
    let one = |e: &Episode| (minutes(e.since), minutes(e.fired), e.ended.map(minutes));
    replayed.episodes.iter().map(one).collect()
}

const DOWN: &str = "- name: g\n  rules:\n  - alert: Down\n    expr: up == 0\n    for: 2m\n    labels: {x: y}\n    \
                    annotations: {summary: '{{ $labels.i }} is {{ $value }}'}\n";

#[test]
fn an_alert_fires_when_it_would_have_fired_and_as_long() {
    let store = store(&[
        ("up{i=\"a\"}", runs(&[(1.0, 10), (0.0, 10), (1.0, 10), (0.0, 2), (1.0, 10)])),
        ("up{i=\"b\"}", runs(&[(1.0, 40), (0.0, 10)])),
    ]);
    let found = replayed(DOWN, &store, &settings(0, 49));
    let one = &found[0];
    assert_eq!(told(one), [(10, 12, Some(20)), (40, 42, None)]);
    assert_eq!(one.pending_only, 1);
    assert_eq!((one.evaluations, one.failures), (50, 0));
    assert_eq!(one.episodes[0].labels.to_string(), r#"{alertname="Down", i="a", x="y"}"#);
    assert_eq!(one.episodes[0].annotations.get("summary"), Some("a is 0"));
    assert_eq!(one.fired_for(at(49)), Duration::from_secs(15 * 60));
}

#[test]
fn a_limit_ends_what_fired_and_counts_as_a_failure() {
    let store = store(&[
        ("up{i=\"a\"}", runs(&[(1.0, 5), (0.0, 40)])),
        ("up{i=\"b\"}", runs(&[(1.0, 20), (0.0, 10), (1.0, 15)])),
    ]);
    let rules = DOWN.replace("- name: g\n", "- name: g\n  limit: 1\n");
    let found = replayed(&rules, &store, &settings(0, 44));
    // While both are down nothing fires; then the clock begins anew.
    assert_eq!(told(&found[0]), [(5, 7, Some(20)), (30, 32, None)]);
    assert_eq!(found[0].failures, 10);
    assert_eq!(found[0].problem.as_deref(), Some("exceeded limit of 1 with 2 alerts"));
}

/// The same rules, evaluated as the server evaluates them.
#[test]
fn a_replay_tells_what_the_server_would_have_told() {
    let values = |seed: u64| {
        let mut state = seed;
        let next = |state: &mut u64| {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *state >> 60
        };
        (0..9_000)
            .map(|_| match next(&mut state) {
                0..=8 => Some(0.0),
                9..=14 => Some(1.0),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    let store = store(&[("up{i=\"a\"}", values(1)), ("up{i=\"b\"}", values(2))]);
    let rules = "- name: g\n  rules:\n  - {record: r, expr: 'sum by (i) (up) > 0'}\n  \
                 - {alert: A, expr: r == 1, for: 1m, keep_firing_for: 2m}\n  \
                 - {alert: B, expr: 'avg_over_time(up[5m]) < 0.3', labels: {l: '{{ $value | humanize }}'}}\n";
    let settings = settings(5, 8_990);
    let file = File::parse("r.yml", &format!("groups:\n{rules}")).unwrap();
    let at_once = replay(&file.groups, &store, &settings, &mut |_, _| {});
    // A rule that reads itself makes the group go step by step.
    let stepwise = format!("{rules}  - {{record: self, expr: self + 1}}\n");
    let file = File::parse("r.yml", &format!("groups:\n{stepwise}")).unwrap();
    assert!(order::ordered(&file.groups)[0].1);
    let by_step = replay(&file.groups, &store, &settings, &mut |_, _| {});
    for (one, other) in at_once.iter().zip(&by_step) {
        assert_eq!(told(one), told(other), "{}", one.rule.name());
        let names = |r: &Replayed| r.episodes.iter().map(|e| e.labels.clone()).collect::<Vec<_>>();
        assert_eq!(names(one), names(other));
        assert_eq!(one.pending_only, other.pending_only, "{}", one.rule.name());
    }
    assert!(at_once[1].episodes.len() > 20 && at_once[2].episodes.len() > 20);
}

#[test]
fn rules_see_what_other_replayed_rules_yield_and_not_what_was_stored_then() {
    let mut store = store(&[("a", runs(&[(1.0, 30)]))]);
    for minute in 0..30 {
        store.append(&labels("r"), at(minute), Point::Float(5.0), None);
    }
    // The group that is read comes second in the file.
    let rules = "- name: g\n  rules: [{alert: A, expr: r == 7}, {alert: B, expr: r == 5}]\n\
                 - name: h\n  rules: [{record: r, expr: a + 6}]\n";
    let found = replayed(rules, &store, &settings(10, 29));
    let fired: Vec<_> = found
        .iter()
        .filter(|r| !r.episodes.is_empty())
        .map(|r| r.rule.name().to_string())
        .collect();
    assert_eq!(fired, ["A"]);
}

#[test]
fn an_alert_that_reads_alerts_is_evaluated_step_by_step() {
    let store = store(&[("up{i=\"a\"}", runs(&[(1.0, 10), (0.0, 5), (1.0, 10)]))]);
    // Stays until `up` is 2, once it fires.
    let rules = "- name: g\n  rules:\n  - alert: A\n    expr: up == 0 or up < 2 and on (i) ALERTS{alertname=\"A\"}\n";
    let found = replayed(rules, &store, &settings(0, 24));
    assert_eq!(told(&found[0]), [(10, 10, None)]);
}

#[test]
fn a_rule_that_fails_is_told_and_the_others_go_on() {
    let mut series = vec![("up{i=\"a\"}", runs(&[(1.0, 5), (0.0, 25)]))];
    // Two partners from minute 20 to 22.
    series.push(("b{i=\"a\",n=\"1\"}", runs(&[(1.0, 30)])));
    let mut second = vec![None; 20];
    second.extend([Some(1.0), Some(1.0), Some(f64::from_bits(crate::model::STALE.to_bits()))]);
    series.push(("b{i=\"a\",n=\"2\"}", second));
    let store = store(&series);
    let rules = "- name: g\n  rules:\n  - {alert: Broken, expr: 'up == 0 and on (i) (up * on (i) b >= 0)'}\n  \
                 - {alert: Fine, expr: up == 0}\n";
    let found = replayed(rules, &store, &settings(0, 29));
    assert_eq!((found[0].evaluations, found[0].failures), (30, 2));
    assert!(found[0].problem.as_ref().unwrap().contains("many-to-many"), "{:?}", found[0].problem);
    assert_eq!(told(&found[1]), [(5, 5, None)]);
}
