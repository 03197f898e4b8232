use serde_json::{Value, json};

use super::answer::{self, Cell, Series};
use super::show::{self, Form, Screen};
use super::{plot, time};
use crate::model::Timestamp;

const NARROW: Screen = Screen { width: 60, height: 24, colour: false, cut: true };
const PIPE: Screen = Screen { width: 80, height: 24, colour: false, cut: false };
const COLOUR: Screen = Screen { width: 60, height: 18, colour: true, cut: true };

fn vector() -> Value {
    json!({"resultType": "vector", "result": [
        {"metric": {"__name__": "probe_success", "service": "homepage", "owner": "web-team",
            "target": "https://www.example.org/"}, "value": [1780272000, "1"]},
        {"metric": {"__name__": "probe_success", "service": "mail", "owner": "web-team",
            "target": "mx.example.org, \"the big one\""}, "value": [1780272000.5, "0"]},
        {"metric": {"__name__": "latency"}, "histogram": [1780272000, {"count": "4", "sum": "1.5",
            "buckets": [[0, "0.1", "0.2", "4"]]}]},
    ]})
}

fn wave(label: &str, phase: f64, gap: bool) -> Value {
    let values: Vec<Value> = (0..120)
        .filter(|at| !(gap && (40..60).contains(at)))
        .map(|at| {
            let value = 20.0 + 10.0 * (f64::from(at) / 15.0 + phase).sin();
            json!([1_780_272_000 + at * 30, format!("{value:.3}")])
        })
        .collect();
    json!({"metric": {"__name__": "temperature", "room": label}, "values": values})
}

fn matrix(rows: &[Value]) -> Value {
    json!({"resultType": "matrix", "result": rows})
}

fn shown(data: &Value, form: Form, screen: &Screen) -> String {
    show::value(data, form, screen).unwrap()
}

#[test]
fn a_vector_is_an_aligned_table() {
    insta::assert_snapshot!("vector_table", shown(&vector(), Form::Table, &PIPE));
    insta::assert_snapshot!("vector_table_narrow", shown(&vector(), Form::Table, &NARROW));
    insta::assert_snapshot!("vector_csv", shown(&vector(), Form::Csv, &PIPE));
    let json: Value = serde_json::from_str(&shown(&vector(), Form::Json, &PIPE)).unwrap();
    assert_eq!(json, vector());
}

#[test]
fn a_range_is_a_plot_that_fits() {
    let two = matrix(&[wave("attic", 0.0, false), wave("cellar", 2.0, true)]);
    let plain = shown(&two, Form::Plot, &NARROW);
    insta::assert_snapshot!("plot_plain", plain);
    let coloured = shown(&two, Form::Plot, &COLOUR);
    insta::assert_snapshot!("plot_colour", coloured.replace('\u{1b}', "ESC"));
    for line in plain.lines() {
        assert!(line.chars().count() <= NARROW.width, "{line}");
    }
    assert!(!plain.contains('\u{1b}'), "no colour where it was not wanted");
    assert!(coloured.lines().count() <= COLOUR.height);
    insta::assert_snapshot!(
        "range_table",
        shown(
            &matrix(&[json!({"metric": {}, "values":
        [[1_780_272_000, "1"], [1_780_272_030.25, "NaN"]]})]),
            Form::Table,
            &PIPE
        )
    );
}

#[test]
fn plots_survive_odd_values() {
    let row = |values: &[(f64, f64)]| Series {
        labels: vec![("a".to_owned(), "\u{1b}[31m".to_owned())],
        points: values.iter().map(|(at, v)| (*at, Cell::Number(*v, String::new()))).collect(),
    };
    for values in [
        vec![(0.0, 1.0)],
        vec![(0.0, 0.0), (1.0, 0.0)],
        vec![(0.0, f64::NAN), (1.0, f64::INFINITY)],
        vec![(0.0, f64::MAX), (1.0, f64::MIN)],
        vec![(0.0, 1e-320), (1.0, 2e-320)],
        vec![(-1e300, 1.0), (1e300, 2.0)],
        vec![(5.0, -7.0), (6.0, -7.0)],
    ] {
        for screen in [NARROW, COLOUR] {
            let text = plot::draw(&[row(&values)], &screen);
            assert!(text.contains('└'), "{values:?}");
        }
    }
    assert_eq!(plot::draw(&[], &NARROW), "");
}

#[test]
fn numbers_are_short() {
    for (value, text) in [
        (0.0, "0"),
        (1.0, "1"),
        (0.084, "0.084"),
        (1234.0, "1234"),
        (12_345.0, "12.35k"),
        (-2_500_000.0, "-2.5M"),
        (6.8e9, "6.8G"),
        (1e20, "1.00e20"),
        (1e-9, "1.00e-9"),
        (f64::INFINITY, "+Inf"),
        (20.0, "20"),
        (100.0, "100"),
    ] {
        assert_eq!(plot::short(value), text);
    }
}

#[test]
fn times_are_read_as_people_write_them() {
    let now = Timestamp::from_millis(1_780_272_000_000);
    let read = |text: &str| time::instant(text, now).map(Timestamp::millis);
    assert_eq!(read("now"), Ok(1_780_272_000_000));
    assert_eq!(read("-6h"), Ok(1_780_250_400_000));
    assert_eq!(read("now-90s"), Ok(1_780_271_910_000));
    assert_eq!(read("now+1m"), Ok(1_780_272_060_000));
    assert_eq!(read("1780272000.5"), Ok(1_780_272_000_500));
    assert_eq!(read("-1"), Ok(-1000));
    assert_eq!(read("2026-06-01T00:00:00Z"), Ok(1_780_272_000_000));
    assert!(read("yesterday").unwrap_err().contains("RFC 3339"));
    assert!(read("ä").is_err() && read("-ä").is_err());
    assert_eq!(time::for_api(Timestamp::from_millis(-1)), "-0.001");
}

#[test]
fn the_step_gives_about_two_values_for_each_column() {
    let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
    for (length, step) in
        [(60, 1), (3_600, 30), (21_600, 300), (86_400, 600), (31_536_000, 259_200)]
    {
        let found = time::step_for(at(0), at(length), 72);
        assert_eq!(found.as_secs(), step, "{length}");
    }
}

#[test]
fn series_and_labels_are_lines() {
    let sets = json!([{"__name__": "up", "job": "b"}, {"__name__": "up", "job": "a"}, {"x": "1"}]);
    let lines = show::series(&sets, Form::Table, &PIPE).unwrap();
    assert_eq!(lines, "up{job=\"a\"}\nup{job=\"b\"}\n{x=\"1\"}\n");
    let csv = show::series(&sets, Form::Csv, &PIPE).unwrap();
    assert_eq!(csv, "metric,job,x\nup,a,\nup,b,\n,,1\n");
    let words = show::words(&json!(["a", "b,c"]), "job", Form::Csv).unwrap();
    assert_eq!(words, "job\na\n\"b,c\"\n");
    assert!(show::words(&json!({}), "job", Form::Table).is_err());
    assert_eq!(answer::series(&json!({"resultType": "scalar"})), None);
}
