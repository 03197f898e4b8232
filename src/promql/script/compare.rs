//! Expected and got.

use std::collections::BTreeMap;

use super::command::{Eval, When};
use super::shown;
use crate::model::{CounterReset, Histogram, Labels, Point, Timestamp};
use crate::promql::histogram::compact;
use crate::promql::{Point as Got, SeriesPoints, Value};

/// Largest relative difference of two numbers that count as equal.
const TOLERANCE: f64 = 1e-6;

fn close(a: f64, b: f64) -> bool {
    if a.is_nan() || b.is_nan() {
        return a.is_nan() && b.is_nan();
    }
    a == b || ((a - b).abs() < TOLERANCE * (a.abs() + b.abs()) && a != 0.0 && b != 0.0)
}

fn same_histogram(expected: &Histogram, got: &Histogram) -> bool {
    let (mut a, mut b) = (expected.clone(), got.clone());
    compact(&mut a);
    compact(&mut b);
    let all =
        |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| close(*a, *b));
    a.schema == b.schema
        && close(a.count, b.count)
        && close(a.sum, b.sum)
        && a.zero_threshold == b.zero_threshold
        && close(a.zero_count, b.zero_count)
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && all(&a.positive, &b.positive)
        && all(&a.negative, &b.negative)
        && all(&a.custom_values, &b.custom_values)
        && (a.reset == CounterReset::Unknown || a.reset == b.reset)
}

fn same(expected: &Point, got: &Got) -> bool {
    match (expected, got) {
        (Point::Float(a), Got::Float(b)) => close(*a, *b),
        (Point::Histogram(a), Got::Histogram(b)) => same_histogram(a, b),
        _ => false,
    }
}

fn got_text(got: &Got) -> String {
    match got {
        Got::Float(value) => shown(&Point::Float(*value)),
        Got::Histogram(histogram) => shown(&Point::Histogram(histogram.clone())),
    }
}

/// Checks the value of a case.
pub(super) fn value(value: &Value, eval: &Eval) -> Result<(), String> {
    let expected = &eval.expected;
    if let Some(text) = &expected.text {
        return match value {
            Value::String(_, got) if got == text => Ok(()),
            other => Err(format!("expected the text {text:?}, got {other:?}")),
        };
    }
    match (value, eval.when) {
        (Value::Scalar(_, got), _) => match expected.scalar {
            Some(scalar) if close(scalar, *got) => Ok(()),
            other => Err(format!("expected {other:?}, got the number {got}")),
        },
        (Value::Vector(samples), _) => {
            let got: Vec<(&Labels, &Got)> =
                samples.iter().map(|sample| (&sample.labels, &sample.value)).collect();
            vector(&got, eval)
        }
        (Value::Matrix(series), When::Range { start, end, step }) => {
            matrix(series, eval, (start, end, step))
        }
        (Value::Matrix(series), When::Instant(_)) => match expected.matrix {
            Some(When::Range { start, end, step }) => matrix(series, eval, (start, end, step)),
            _ => Err("got a matrix".to_owned()),
        },
        (Value::String(_, got), _) => Err(format!("got the text {got:?}")),
    }
}

fn vector(got: &[(&Labels, &Got)], eval: &Eval) -> Result<(), String> {
    let expected = &eval.expected.series;
    if eval.expected.scalar.is_some() {
        return Err(format!("expected a number, got a vector of {}", got.len()));
    }
    for (at, (labels, values)) in expected.iter().enumerate() {
        let place = got.iter().position(|(other, _)| *other == labels);
        let Some(place) = place else {
            return Err(format!("{labels} is missing; got {}", listed(got)));
        };
        if eval.expected.ordered && place != at {
            return Err(format!(
                "{labels} is at place {place} instead of {at}; got {}",
                listed(got)
            ));
        }
        let Some(Some(wanted)) = values.first() else {
            return Err(format!("no value is expected for {labels}"));
        };
        if !same(wanted, got[place].1) {
            return Err(format!(
                "{labels}: expected {}, got {}",
                shown(wanted),
                got_text(got[place].1)
            ));
        }
    }
    if got.len() != expected.len() {
        return Err(format!("expected {} series, got {}", expected.len(), listed(got)));
    }
    Ok(())
}

fn listed(got: &[(&Labels, &Got)]) -> String {
    let all: Vec<String> =
        got.iter().take(20).map(|(labels, got)| format!("{labels} {}", got_text(got))).collect();
    format!("[{}]", all.join("; "))
}

fn matrix(
    series: &[SeriesPoints],
    eval: &Eval,
    (start, _, step): (i64, i64, i64),
) -> Result<(), String> {
    let mut left: BTreeMap<&Labels, &SeriesPoints> =
        series.iter().map(|series| (&series.labels, series)).collect();
    for (labels, values) in &eval.expected.series {
        let Some(got) = left.remove(labels) else {
            let names: Vec<String> = series.iter().map(|s| s.labels.to_string()).collect();
            return Err(format!("{labels} is missing; got {names:?}"));
        };
        let mut points: BTreeMap<Timestamp, &Got> =
            got.points.iter().map(|(time, point)| (*time, point)).collect();
        for (at, value) in values.iter().enumerate() {
            let time = start + i64::try_from(at).unwrap_or(0) * step;
            let found = points.remove(&Timestamp::from_millis(time));
            match (value, found) {
                (None, None) => {}
                (Some(wanted), Some(got)) if same(wanted, got) => {}
                (wanted, found) => {
                    return Err(format!(
                        "{labels} at {time} ms: expected {}, got {}",
                        wanted.as_ref().map_or("nothing".to_owned(), shown),
                        found.map_or("nothing".to_owned(), got_text)
                    ));
                }
            }
        }
        if let Some((time, got)) = points.pop_first() {
            return Err(format!("{labels} at {time}: unexpected {}", got_text(got)));
        }
    }
    match left.pop_first() {
        Some((labels, got)) => {
            Err(format!("unexpected series {labels} with {} values", got.points.len()))
        }
        None => Ok(()),
    }
}

/// Checks the value at one instant of a matrix.
pub(super) fn middle(value: &Value, at: Timestamp, eval: &Eval) -> Result<(), String> {
    let Value::Matrix(series) = value else { return Err("got no matrix".to_owned()) };
    let got: Vec<(&Labels, &Got)> = series
        .iter()
        .filter_map(|series| {
            let (_, point) = series.points.iter().find(|(time, _)| *time == at)?;
            Some((&series.labels, point))
        })
        .collect();
    if let Some(scalar) = eval.expected.scalar {
        return match got[..] {
            [(_, Got::Float(value))] if close(scalar, *value) => Ok(()),
            _ => Err(format!("expected {scalar}, got {}", listed(&got))),
        };
    }
    vector(&got, eval)
}
