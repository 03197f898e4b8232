//! What was expected and what came, told so that one sees the difference.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::file::Sample;
use crate::model::{Histogram, Labels, Span};
use crate::promql::Point;

/// `None` when the same alerts fire with the same texts, in any order.
pub(super) fn alerts(expected: &[(Labels, Labels)], got: &[(Labels, Labels)]) -> Option<String> {
    let (missing, mut surplus) = apart(expected, got, |a, b| a == b);
    if missing.is_empty() && surplus.is_empty() {
        return None;
    }
    let mut text = String::new();
    for (labels, annotations) in missing {
        // The same alert with other texts.
        if let Some(at) = surplus.iter().position(|(other, _)| other == labels) {
            let (_, others) = surplus.remove(at);
            let _ = writeln!(text, "{labels} fires, but its annotations differ:");
            changed(&mut text, annotations, others);
        } else if let Some(at) = surplus.iter().position(|(other, _)| near(labels, other)) {
            let (other, _) = surplus.remove(at);
            let _ = writeln!(text, "an alert fires, but its labels differ:");
            changed(&mut text, labels, other);
        } else {
            let _ = writeln!(text, "does not fire: {labels}");
        }
    }
    for (labels, annotations) in surplus {
        let _ = writeln!(text, "fires unexpectedly: {labels}");
        for (name, value) in annotations {
            let _ = writeln!(text, "  {name}: {value}");
        }
    }
    Some(text.trim_end().to_owned())
}

/// Alerts whose labels differ in one or two places are probably meant to be the same.
fn near(a: &Labels, b: &Labels) -> bool {
    let unlike = |a: &Labels, b: &Labels| a.iter().filter(|(n, v)| b.get(n) != Some(v)).count();
    unlike(a, b) <= 1 && unlike(b, a) <= 1
}

fn changed(text: &mut String, expected: &Labels, got: &Labels) {
    let names: std::collections::BTreeSet<&str> =
        expected.iter().chain(got).map(|(name, _)| name).collect();
    for name in names {
        let (expected, got) = (expected.get(name), got.get(name));
        if expected != got {
            let shown =
                |value: Option<&str>| value.map_or("nothing".to_owned(), |v| format!("{v:?}"));
            let _ = writeln!(
                text,
                "  {name}\n    expected {}\n    got      {}",
                shown(expected),
                shown(got)
            );
        }
    }
}

/// What is only in the one and only in the other.
fn apart<'a, A, B>(
    expected: &'a [A],
    got: &'a [B],
    same: impl Fn(&A, &B) -> bool,
) -> (Vec<&'a A>, Vec<&'a B>) {
    let mut surplus: Vec<&B> = got.iter().collect();
    let mut missing = Vec::new();
    for one in expected {
        match surplus.iter().position(|other| same(one, other)) {
            Some(at) => {
                surplus.remove(at);
            }
            None => missing.push(one),
        }
    }
    (missing, surplus)
}

/// `None` when the samples are the same, in any order. Numbers must be equal to the last bit
/// (and NaN equals nothing), with `fuzzy` the last bit may differ.
pub(super) fn samples(expected: &[Sample], got: &[(Labels, Point)], fuzzy: bool) -> Option<String> {
    let same = |sample: &Sample, (labels, point): &(Labels, Point)| {
        sample.labels == *labels
            && match (&sample.histogram, point) {
                (None, Point::Float(value)) => equal(sample.value, *value, fuzzy),
                (Some(histogram), Point::Histogram(other)) => {
                    buckets(histogram) == buckets(other)
                        && header(histogram) == header(other)
                        && histogram.custom_values == other.custom_values
                }
                _ => false,
            }
    };
    let (missing, surplus) = apart(expected, got, same);
    if missing.is_empty() && surplus.is_empty() {
        return None;
    }
    let mut text = String::new();
    for sample in missing {
        match &sample.histogram {
            None => {
                let _ = writeln!(text, "expected {} {}", sample.labels, sample.value);
            }
            Some(h) => {
                let _ = writeln!(text, "expected {} {}", sample.labels, told(h));
            }
        }
    }
    for (labels, point) in surplus {
        match point {
            Point::Float(value) => {
                let _ = writeln!(text, "got      {labels} {value}");
            }
            Point::Histogram(h) => {
                let _ = writeln!(text, "got      {labels} {}", told(h));
            }
        }
    }
    Some(text.trim_end().to_owned())
}

fn equal(a: f64, b: f64, fuzzy: bool) -> bool {
    #[allow(clippy::float_cmp)]
    let same = a == b;
    same || (fuzzy
        && (a.next_up().to_bits() == b.to_bits() || a.next_down().to_bits() == b.to_bits()))
}

fn header(h: &Histogram) -> [f64; 5] {
    [f64::from(h.schema), h.count, h.sum, h.zero_count, h.zero_threshold]
}

/// The buckets that are not empty, by their index; negative ones apart.
fn buckets(h: &Histogram) -> [BTreeMap<i64, f64>; 2] {
    let side = |spans: &[Span], counts: &[f64]| {
        let (mut index, mut counts) = (0i64, counts.iter());
        let mut found = BTreeMap::new();
        for span in spans {
            index += i64::from(span.offset);
            for _ in 0..span.length {
                let count = counts.next().copied().unwrap_or(0.0);
                if count != 0.0 {
                    found.insert(index, count);
                }
                index += 1;
            }
        }
        found
    };
    [side(&h.positive_spans, &h.positive), side(&h.negative_spans, &h.negative)]
}

fn told(h: &Histogram) -> String {
    format!("{{{{schema:{} count:{} sum:{} buckets:{:?}}}}}", h.schema, h.count, h.sum, buckets(h))
}
