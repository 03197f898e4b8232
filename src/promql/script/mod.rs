//! Scripts that test the engine, in the format of Prometheus' own `promqltest` files.

mod classic;
mod command;
mod compare;
mod series;

pub use series::{WrittenSeries, parse_histogram, parse_labels, parse_series, parse_values};

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::histogram::detect_reset;
use super::{Answer, MemoryStore, Options, instant, parse, range};
use crate::model::{CounterReset, Histogram, Point, Timestamp};
use command::{Command, Eval, Expected, Kind, Loaded, When};

/// What became of a script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Cases that gave what was expected.
    pub passed: usize,
    /// The others.
    pub failures: Vec<Failure>,
}

/// A case that did not give what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its line in the script, from 1.
    pub line: usize,
    /// The query, or what could not be read.
    pub query: String,
    /// Expected and got.
    pub problem: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}\n  {}", self.line, self.query, self.problem)
    }
}

/// Runs a script; each `eval` is a case. A command that cannot be read is a failed case and stops
/// nothing.
pub fn run(script: &str) -> Report {
    let mut store = MemoryStore::new();
    let mut report = Report::default();
    for Command { line, kind } in command::commands(script) {
        match kind {
            Kind::Clear => store.clear(),
            Kind::Load { step, custom_histograms, series } => {
                load(&mut store, step, custom_histograms, &series);
            }
            Kind::Broken { is_eval, problem } => {
                let query = if is_eval { "eval" } else { "load" }.to_owned();
                report.failures.push(Failure { line, query, problem });
            }
            Kind::Eval(eval) => match check(&eval, &store) {
                Ok(()) => report.passed += 1,
                Err(problem) => {
                    report.failures.push(Failure { line, query: eval.query, problem });
                }
            },
        }
    }
    report
}

fn load(store: &mut MemoryStore, step: i64, custom_histograms: bool, series: &[Loaded]) {
    let time = |at: usize| i64::try_from(at).unwrap_or(i64::MAX).saturating_mul(step);
    for loaded in series {
        let mut before: Option<Arc<Histogram>> = None;
        for (at, value) in loaded.series.values.iter().enumerate() {
            let Some(point) = value else { continue };
            let start = loaded.starts.get(at).copied().flatten();
            let start = start.map(|start| Timestamp::from_millis(time(at) + start));
            let labels = &loaded.series.labels;
            let point = match point {
                Point::Histogram(histogram) => Point::Histogram(hinted(histogram, &mut before)),
                other => other.clone(),
            };
            store.append(labels, Timestamp::from_millis(time(at)), point, start);
        }
    }
    if custom_histograms {
        for (labels, at, point) in classic::converted(series) {
            store.append(&labels, Timestamp::from_millis(time(at)), point, None);
        }
    }
}

/// A histogram with the hint a store gives back: it knows of each but the first in a run that
/// there was no reset, and of a first one nothing.
fn hinted(histogram: &Arc<Histogram>, before: &mut Option<Arc<Histogram>>) -> Arc<Histogram> {
    let mut stored = Arc::clone(histogram);
    let previous = before.replace(Arc::clone(histogram));
    if histogram.reset == CounterReset::Gauge {
        return stored;
    }
    let goes_on = previous.is_some_and(|previous| {
        previous.reset != CounterReset::Gauge
            && previous.schema == histogram.schema
            && previous.zero_threshold == histogram.zero_threshold
            && previous.custom_values == histogram.custom_values
            && !detect_reset(histogram, &previous)
    });
    let hint = if goes_on { CounterReset::NotReset } else { CounterReset::Unknown };
    Arc::make_mut(&mut stored).reset = hint;
    stored
}

/// The engine as the scripts suppose it: everything on, delayed removal of names too.
fn options() -> Options<'static> {
    Options { max_samples: 1_000_000, delayed_name_removal: true, ..Options::default() }
}

/// Functions whose value depends on when they are evaluated, so that a case cannot be repeated at
/// another time.
const TIME_DEPENDENT: [&str; 24] = [
    "time(",
    "timestamp(",
    "start_timestamp(",
    "day_of_month(",
    "day_of_week(",
    "day_of_year(",
    "days_in_month(",
    "hour(",
    "minute(",
    "month(",
    "year(",
    "predict_linear(",
    "start()",
    "end()",
    "step()",
    "range()",
    "STEP()",
    "STep()",
    "sort(",
    "sort_desc(",
    "sort_by_label(",
    "sort_by_label_desc(",
    "topk(",
    "bottomk(",
];

fn check(eval: &Eval, store: &MemoryStore) -> Result<(), String> {
    let expr = match parse(&eval.query) {
        Ok(expr) => expr,
        Err(error) => return failed(&eval.expected, &error.message, &error.to_string()),
    };
    let options = options();
    let answer = match eval.when {
        When::Instant(at) => instant(&expr, store, Timestamp::from_millis(at), &options),
        When::Range { start, end, step } => range(
            &expr,
            store,
            Timestamp::from_millis(start),
            Timestamp::from_millis(end),
            Duration::from_millis(step.unsigned_abs()),
            &options,
        ),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return failed(&eval.expected, &error.message, &error.message),
    };
    if eval.expected.fail {
        return Err("expected an error, got a result".to_owned());
    }
    annotations(eval, &answer)?;
    compare::value(&answer.value, eval)?;
    repeated(eval, &expr, store, &options)
}

fn failed(expected: &Expected, message: &str, whole: &str) -> Result<(), String> {
    if !expected.fail {
        return Err(format!("unexpected error: {whole}"));
    }
    let fits = |words: &command::Wording| words.accepts(message) || words.accepts(whole);
    if expected.fail_texts.iter().all(fits) {
        return Ok(());
    }
    Err(format!("another error was expected: {:?}\n  got: {whole}", expected.fail_texts))
}

fn annotations(eval: &Eval, answer: &Answer) -> Result<(), String> {
    let expected = &eval.expected;
    for (word, found, wanted, none) in [
        ("warning", &answer.warnings, &expected.warnings, expected.no_warnings),
        ("info", &answer.infos, &expected.infos, expected.no_infos),
    ] {
        let found: Vec<String> = found.iter().map(|note| note.in_query(&eval.query)).collect();
        if none && !found.is_empty() {
            return Err(format!("expected no {word}, got {found:?}"));
        }
        if wanted.is_empty() {
            continue;
        }
        if let Some(missing) = wanted.iter().find(|w| !found.iter().any(|f| w.accepts(f))) {
            return Err(format!("expected {word} {missing:?}, got {found:?}"));
        }
        if let Some(other) = found.iter().find(|f| !wanted.iter().any(|w| w.accepts(f))) {
            return Err(format!("unexpected {word} {other}"));
        }
    }
    Ok(())
}

/// An instant query must give the middle point of a range query around it.
fn repeated(
    eval: &Eval,
    expr: &super::Expr,
    store: &MemoryStore,
    options: &Options<'_>,
) -> Result<(), String> {
    let When::Instant(at) = eval.when else { return Ok(()) };
    let unordered = !eval.expected.ordered && eval.expected.text.is_none();
    let movable = unordered
        && eval.expected.matrix.is_none()
        && matches!(expr.result_type(), super::Type::Scalar | super::Type::Vector)
        && !TIME_DEPENDENT[12..].iter().any(|word| eval.query.contains(word));
    if !movable {
        return Ok(());
    }
    let time = Timestamp::from_millis;
    let minute = Duration::from_secs(60);
    let answer = range(expr, store, time(at - 60_000), time(at + 60_000), minute, options)
        .map_err(|error| format!("as a range query: {error}"))?;
    compare::middle(&answer.value, time(at), eval)
        .map_err(|problem| format!("as a range query: {problem}"))
}

/// What a point is, for messages.
fn shown(point: &Point) -> String {
    match point {
        Point::Float(value) => super::format_float(*value),
        Point::Stale => "stale".to_owned(),
        Point::Histogram(histogram) => format!("{histogram:?}"),
    }
}
