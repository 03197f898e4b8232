use std::fmt::Write;

use crate::model::{Labels, Timestamp};
use crate::promql::{Point, SeriesPoints, Value, push_float, push_integer};

/// A text between double quotes.
pub(super) fn push_text(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    // All of them are single bytes, which occur in no longer character.
    let special = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
    while let Some(at) = rest.as_bytes().iter().position(&special) {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            other => put(out, format_args!("\\u{other:04x}")),
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing into a String cannot fail.
    let _ = out.write_fmt(text);
}

/// Items between brackets, with commas.
pub(super) fn push_list<T>(
    out: &mut String,
    items: impl IntoIterator<Item = T>,
    mut push: impl FnMut(&mut String, T),
) {
    out.push('[');
    for (at, item) in items.into_iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        push(out, item);
    }
    out.push(']');
}

/// Labels as an object.
pub(super) fn push_labels(out: &mut String, labels: &Labels) {
    out.push('{');
    for (at, (name, value)) in labels.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        push_text(out, name);
        out.push(':');
        push_text(out, value);
    }
    out.push('}');
}

/// Seconds with at most three digits behind the point, as Prometheus writes them.
pub(super) fn push_time(out: &mut String, at: Timestamp) {
    let millis = at.millis();
    if millis < 0 {
        out.push('-');
    }
    let (seconds, rest) = (millis.unsigned_abs() / 1000, millis.unsigned_abs() % 1000);
    push_integer(out, seconds);
    if rest > 0 {
        // A leading one keeps the zeros.
        let start = out.len();
        push_integer(out, 1000 + rest);
        out.replace_range(start..=start, ".");
    }
}

/// A value between double quotes.
pub(super) fn push_number(out: &mut String, value: f64) {
    out.push('"');
    push_float(out, value);
    out.push('"');
}

/// Instants as text. All series of an answer have about the same ones, in the same order.
#[derive(Default)]
struct Instants {
    known: Vec<(Timestamp, std::ops::Range<usize>)>,
    text: String,
    next: usize,
}

impl Instants {
    fn rewind(&mut self) {
        self.next = 0;
    }

    fn push(&mut self, out: &mut String, at: Timestamp) {
        while self.known.get(self.next).is_some_and(|(known, _)| *known < at) {
            self.next += 1;
        }
        match self.known.get(self.next) {
            Some((known, place)) if *known == at => out.push_str(&self.text[place.clone()]),
            Some(_) => push_time(out, at),
            None => {
                let start = self.text.len();
                push_time(&mut self.text, at);
                out.push_str(&self.text[start..]);
                self.known.push((at, start..self.text.len()));
            }
        }
    }
}

/// `[time, "value"]`
fn push_point(out: &mut String, instants: &mut Instants, at: Timestamp, point: &Point) {
    out.push('[');
    instants.push(out, at);
    out.push(',');
    match point {
        Point::Float(value) => push_number(out, *value),
        Point::Histogram(histogram) => super::histogram::push(out, histogram),
    }
    out.push(']');
}

/// About how long the answer will be, so that it is written without being moved.
fn expected_length(value: &Value, limit: usize) -> usize {
    /// `[1700000000,"0.123456789012"],`
    const POINT: usize = 32;
    const FRAME: usize = 48;
    let quoted = |labels: &Labels| labels.as_bytes().len() + 6 * labels.len();
    let of_series = |series: &SeriesPoints| {
        let sizes = series.points.iter().take(4).map(|(_, point)| match point {
            Point::Float(_) => POINT,
            Point::Histogram(_) => 8 * POINT,
        });
        let largest = sizes.max().unwrap_or(0);
        FRAME + quoted(&series.labels) + largest * series.points.len()
    };
    FRAME
        + match value {
            Value::Scalar(..) => POINT,
            Value::String(_, text) => POINT + text.len(),
            Value::Vector(all) => all
                .iter()
                .take(limit)
                .map(|sample| FRAME + POINT + quoted(&sample.labels))
                .sum::<usize>(),
            Value::Matrix(all) => all.iter().take(limit).map(of_series).sum::<usize>(),
        }
}

/// `{"resultType":…,"result":…}`, at most `limit` series; whether some were cut off.
pub(super) fn push_result(out: &mut String, value: &Value, limit: usize) -> bool {
    out.reserve(expected_length(value, limit));
    put(out, format_args!("\"resultType\":\"{}\",\"result\":", value.type_name()));
    let instants = &mut Instants::default();
    match value {
        Value::Scalar(at, value) => push_point(out, instants, *at, &Point::Float(*value)),
        Value::String(at, text) => {
            out.push('[');
            push_time(out, *at);
            out.push(',');
            push_text(out, text);
            out.push(']');
        }
        Value::Vector(samples) => {
            push_list(out, samples.iter().take(limit), |out, sample| {
                out.push_str("{\"metric\":");
                push_labels(out, &sample.labels);
                let histogram = matches!(sample.value, Point::Histogram(_));
                out.push_str(if histogram { ",\"histogram\":" } else { ",\"value\":" });
                push_point(out, instants, sample.at, &sample.value);
                out.push('}');
            });
            return samples.len() > limit;
        }
        Value::Matrix(series) => {
            push_list(out, series.iter().take(limit), |out, series| {
                out.push_str("{\"metric\":");
                push_labels(out, &series.labels);
                for (name, histogram) in [("values", false), ("histograms", true)] {
                    let is_one = |point: &Point| matches!(point, Point::Histogram(_));
                    let mut points =
                        series.points.iter().filter(|(_, p)| is_one(p) == histogram).peekable();
                    if points.peek().is_some() {
                        put(out, format_args!(",\"{name}\":"));
                        instants.rewind();
                        push_list(out, points, |out, (at, point)| {
                            push_point(out, instants, *at, point);
                        });
                    }
                }
                out.push('}');
            });
            return series.len() > limit;
        }
    }
    false
}

/// The result of a query as the API's `data`: `{"resultType":…,"result":…}`.
pub fn result_json(value: &Value) -> String {
    let mut out = String::from("{");
    push_result(&mut out, value, usize::MAX);
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_have_no_needless_digits() {
        let check = |millis: i64, text: &str| {
            let mut out = String::new();
            push_time(&mut out, Timestamp::from_millis(millis));
            assert_eq!(out, text);
        };
        check(1_435_781_430_781, "1435781430.781");
        check(1_435_781_430_000, "1435781430");
        check(1_005, "1.005");
        check(-500, "-0.500");
        check(i64::MIN, "-9223372036854775.808");
    }

    proptest! {
        #[test]
        fn texts_are_json(text in any::<String>()) {
            let mut out = String::new();
            push_text(&mut out, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }
}
