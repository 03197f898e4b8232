//! The notation for series in test scripts and in unit tests of rules:
//! `metric{label="x"} 1+1x4 _ stale {{count:3 sum:4}}x2`.

use std::sync::Arc;

use super::super::histogram::{add, subtract};
use super::super::syntax::{duration_seconds, parse_number, parse_selector};
use crate::model::{CounterReset, Histogram, Labels, Point, Span, Test};

/// Most values one line may stand for.
const MAX_VALUES: usize = 1_000_000;

/// A series as written: its labels, and for each step its value or nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct WrittenSeries {
    /// Which series.
    pub labels: Labels,
    /// One for each step.
    pub values: Vec<Option<Point>>,
}

/// Reads `metric{label="x"} values…`.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_series(line: &str) -> Result<WrittenSeries, String> {
    let (labels, rest) = split_labels(line.trim())?;
    Ok(WrittenSeries { labels, values: parse_values(rest)? })
}

/// The labels at the start of a line and what follows.
pub(super) fn split_labels(line: &str) -> Result<(Labels, &str), String> {
    let name_end = line
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .unwrap_or(line.len());
    let mut end = name_end;
    if line[name_end..].trim_start().starts_with('{')
        && !line[name_end..].trim_start().starts_with("{{")
    {
        end = closing_brace(line, name_end)?;
    }
    let labels = parse_labels(&line[..end])?;
    Ok((labels, &line[end..]))
}

/// Reads `metric{label="x"}`, `{"metric", label="x"}` or `{}`.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_labels(text: &str) -> Result<Labels, String> {
    let inner: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    if inner.is_empty() || inner == "{}" {
        return Ok(Labels::empty());
    }
    // A selector whose matchers are all `=` is written the same way; one that no empty label
    // set passes is needed to make it a legal one.
    let padded = match text.rfind('}') {
        Some(at) => {
            let comma = if text[..at].trim_end().ends_with(['{', ',']) { "" } else { "," };
            format!("{}{comma}__written__=\"x\"}}", &text[..at])
        }
        None => format!("{text}{{__written__=\"x\"}}"),
    };
    let selector = parse_selector(&padded).map_err(|error| error.to_string())?;
    let mut pairs = Vec::new();
    for matcher in selector.matchers.iter().filter(|m| m.name() != "__written__") {
        match matcher.test() {
            Test::Equal(value) => pairs.push((matcher.name(), &**value)),
            _ => return Err(format!("`{matcher}` is no label")),
        }
    }
    Labels::from_pairs(pairs).map_err(|error| error.to_string())
}

fn closing_brace(line: &str, from: usize) -> Result<usize, String> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in line[from..].char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some('"' | '\''), '\\') => escaped = true,
            (Some(open), c) if open == c => quote = None,
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '}') => return Ok(from + at + 1),
            _ => {}
        }
    }
    Err("a closing brace is missing".to_owned())
}

/// Values separated by white space.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_values(text: &str) -> Result<Vec<Option<Point>>, String> {
    let mut values = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let length = word_length(rest);
        let word = &rest[..length];
        for value in expand(word).map_err(|problem| format!("`{word}`: {problem}"))? {
            values.push(value);
        }
        if values.len() > MAX_VALUES {
            return Err(format!("more than {MAX_VALUES} values in a line"));
        }
        rest = rest[length..].trim_start();
    }
    Ok(values)
}

/// Up to the next white space outside of `{{…}}`.
fn word_length(text: &str) -> usize {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            c if c.is_whitespace() && depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

fn times(text: &str) -> Result<usize, String> {
    let count: usize = text.parse().map_err(|_| format!("`{text}` is no number of repetitions"))?;
    if count > MAX_VALUES {
        return Err(format!("more than {MAX_VALUES} repetitions"));
    }
    Ok(count)
}

fn expand(word: &str) -> Result<Vec<Option<Point>>, String> {
    if word.starts_with("{{") {
        return expand_histograms(word);
    }
    if word == "_" {
        return Ok(vec![None]);
    }
    if let Some(count) = word.strip_prefix("_x") {
        return Ok(vec![None; times(count)?]);
    }
    if word == "stale" {
        return Ok(vec![Some(Point::Stale)]);
    }
    let float = |value: f64| Some(Point::Float(value));
    // `0x5` is zero, six times; only what is no repetition is hexadecimal.
    let Some((body, count)) =
        word.rsplit_once('x').filter(|(body, count)| !body.is_empty() && times(count).is_ok())
    else {
        return parse_number(word).map(|value| vec![float(value)]).ok_or("no number".to_owned());
    };
    let count = times(count)?;
    let (first, step) = match sign_position(body) {
        Some(at) => (&body[..at], &body[at..]),
        None => (body, "0"),
    };
    let mut value = parse_number(first).ok_or("no number")?;
    let step = parse_number(step).ok_or("no number")?;
    let mut values = Vec::with_capacity(count + 1);
    for _ in 0..=count {
        values.push(float(value));
        value += step;
    }
    Ok(values)
}

/// Where the sign between two numbers stands (not that of an exponent).
fn sign_position(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    (1..bytes.len()).find(|at| {
        matches!(bytes[*at], b'+' | b'-') && !matches!(bytes[at - 1], b'e' | b'E' | b'+' | b'-')
    })
}

fn expand_histograms(word: &str) -> Result<Vec<Option<Point>>, String> {
    let (first, rest) = histogram_at(word)?;
    let point = |histogram: &Histogram| Some(Point::Histogram(Arc::new(histogram.clone())));
    if rest.is_empty() {
        return Ok(vec![point(&first)]);
    }
    if let Some(count) = rest.strip_prefix('x') {
        return Ok(vec![point(&first); times(count)? + 1]);
    }
    let minus = rest.starts_with('-');
    if !minus && !rest.starts_with('+') {
        return Err(format!("unexpected `{rest}` behind a histogram"));
    }
    let (step, rest) = histogram_at(&rest[1..])?;
    let count = times(rest.strip_prefix('x').ok_or("repetitions are missing")?)?;
    let mut values = Vec::with_capacity(count + 1);
    let mut value = first;
    for _ in 0..=count {
        values.push(point(&value));
        let outcome = if minus { subtract(&mut value, &step) } else { add(&mut value, &step) };
        outcome.map_err(|_| "exponential and custom buckets cannot be combined")?;
    }
    Ok(values)
}

fn histogram_at(text: &str) -> Result<(Histogram, &str), String> {
    let body = text.strip_prefix("{{").ok_or("a histogram begins with `{{`")?;
    let end = body.find("}}").ok_or("`}}` is missing")?;
    Ok((parse_histogram(&body[..end])?, &body[end + 2..]))
}

/// Reads what stands between `{{` and `}}`.
///
/// # Errors
/// What is wrong with the text.
pub fn parse_histogram(text: &str) -> Result<Histogram, String> {
    let mut histogram = Histogram::default();
    let (mut offset, mut negative_offset) = (0, 0);
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (key, tail) = rest.split_once(':').ok_or_else(|| format!("`{rest}` has no `:`"))?;
        let tail = tail.trim_start();
        let end = if tail.starts_with('[') {
            tail.find(']').ok_or("`]` is missing")? + 1
        } else {
            tail.find(char::is_whitespace).unwrap_or(tail.len())
        };
        let value = &tail[..end];
        let number = || parse_number(value).ok_or_else(|| format!("`{value}` is no number"));
        let whole = || value.parse::<i32>().map_err(|_| format!("`{value}` is no whole number"));
        match key.trim() {
            "schema" => histogram.schema = whole()?,
            "sum" => histogram.sum = number()?,
            "count" => histogram.count = number()?,
            "z_bucket" => histogram.zero_count = number()?,
            "z_bucket_w" => histogram.zero_threshold = number()?,
            "offset" => offset = whole()?,
            "n_offset" => negative_offset = whole()?,
            "buckets" => histogram.positive = list(value)?,
            "n_buckets" => histogram.negative = list(value)?,
            "custom_values" => histogram.custom_values = list(value)?,
            "counter_reset_hint" => {
                histogram.reset = match value {
                    "unknown" => CounterReset::Unknown,
                    "reset" => CounterReset::Reset,
                    "not_reset" => CounterReset::NotReset,
                    "gauge" => CounterReset::Gauge,
                    other => return Err(format!("`{other}` is no counter reset hint")),
                }
            }
            other => return Err(format!("`{other}` is no part of a histogram")),
        }
        rest = tail[end..].trim_start();
    }
    let spans = |offset: i32, counts: &[f64]| match u32::try_from(counts.len()) {
        Ok(length) if length > 0 => vec![Span { offset, length }],
        _ => Vec::new(),
    };
    histogram.positive_spans = spans(offset, &histogram.positive);
    histogram.negative_spans = spans(negative_offset, &histogram.negative);
    Ok(histogram)
}

fn list(text: &str) -> Result<Vec<f64>, String> {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let inner = inner.ok_or_else(|| format!("`{text}` is no list"))?;
    inner
        .split_whitespace()
        .map(|word| parse_number(word).ok_or_else(|| format!("`{word}` is no number")))
        .collect()
}

/// Start timestamps relative to their samples, in milliseconds: `-1m`, `0s`, `_`, `-30s-1mx3`.
pub(super) fn parse_starts(text: &str) -> Result<Vec<Option<i64>>, String> {
    let mut starts = Vec::new();
    for word in text.split_whitespace() {
        if word == "_" {
            starts.push(None);
        } else if let Some(count) = word.strip_prefix("_x") {
            starts.extend(std::iter::repeat_n(None, times(count)?));
        } else if let Some((body, count)) = word.rsplit_once('x') {
            let (mut first, step) = match sign_position(body) {
                Some(at) => (signed_millis(&body[..at])?, signed_millis(&body[at..])?),
                None => (signed_millis(body)?, 0),
            };
            for _ in 0..=times(count)? {
                starts.push(Some(first));
                first += step;
            }
        } else {
            starts.push(Some(signed_millis(word)?));
        }
    }
    Ok(starts)
}

fn signed_millis(text: &str) -> Result<i64, String> {
    let (sign, body) = match text.strip_prefix('-') {
        Some(body) => (-1, body),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    Ok(sign * millis(body)?)
}

/// `5m`, `1m30s`, or a number of seconds.
pub(super) fn millis(text: &str) -> Result<i64, String> {
    let seconds = match parse_number(text) {
        Some(seconds) => seconds,
        None => duration_seconds(text)?,
    };
    #[allow(clippy::cast_possible_truncation)]
    Ok((seconds * 1000.0).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::METRIC_NAME;
    use proptest::prelude::*;

    fn floats(text: &str) -> Vec<f64> {
        let value = |point: Option<Point>| match point {
            Some(Point::Float(value)) => value,
            _ => f64::NAN,
        };
        parse_values(text).unwrap().into_iter().map(value).collect()
    }

    #[test]
    fn short_forms_are_expanded() {
        assert_eq!(floats("1+2x3"), [1.0, 3.0, 5.0, 7.0]);
        assert_eq!(floats("-2-1x1 7"), [-2.0, -3.0, 7.0]);
        assert_eq!(floats("0x2"), [0.0; 3]);
        assert_eq!(floats("1e-1+1e-1x1"), [0.1, 0.2]);
        assert_eq!(parse_values("_ _x2 stale").unwrap(), [None, None, None, Some(Point::Stale)]);
        assert_eq!(
            parse_starts("-30s-1mx1 _ 0").unwrap(),
            [Some(-30_000), Some(-90_000), None, Some(0)]
        );
    }

    #[test]
    fn series_have_labels() {
        let series = parse_series("a:b{c=\"d}\", e=\"\\\"\"} 1").unwrap();
        assert_eq!(series.labels.to_string(), "a:b{c=\"d}\", e=\"\\\"\"}");
        let utf8 = parse_series("{\"my name\", \"a.b\"=\"x\"} 2").unwrap();
        assert_eq!(utf8.labels.get(METRIC_NAME), Some("my name"));
        assert!(parse_series("a{b!=\"c\"} 1").is_err() && parse_series("a 1x99999999999").is_err());
    }

    #[test]
    fn histograms_have_parts() {
        let line =
            "h {{schema:1 sum:5 count:4 buckets:[1 2 1] offset:-1 counter_reset_hint:gauge}}x1";
        let series = parse_series(line).unwrap();
        assert_eq!(series.values.len(), 2);
        let Some(Point::Histogram(histogram)) = &series.values[0] else { panic!("no histogram") };
        assert_eq!(histogram.positive_spans, [Span { offset: -1, length: 3 }]);
        assert_eq!(histogram.reset, CounterReset::Gauge);
    }

    proptest! {
        #[test]
        fn nothing_panics(line in "[a-z{}=\", x0-9_+.:\\[\\]-]{0,60}") {
            let _ = parse_series(&line);
            let _ = parse_starts(&line);
        }
    }
}
