use super::json::{push_list, push_text};
use crate::model::{Histogram, Span};
use crate::promql::format_float;

/// More buckets than this are not written, so that a damaged span costs nothing.
const MAX_BUCKETS: usize = 1 << 16;

struct Bucket {
    lower: f64,
    upper: f64,
    count: f64,
    /// Which borders belong to it: 0 the upper one, 1 the lower one, 3 both.
    rule: u8,
}

/// A native histogram as the API writes it: count, sum and the buckets that hold something, from
/// the lowest to the highest.
pub(super) fn push(out: &mut String, histogram: &Histogram) {
    out.push_str("{\"count\":");
    push_text(out, &format_float(histogram.count));
    out.push_str(",\"sum\":");
    push_text(out, &format_float(histogram.sum));
    let buckets = buckets(histogram);
    if !buckets.is_empty() {
        out.push_str(",\"buckets\":");
        push_list(out, &buckets, |out, bucket| {
            out.push('[');
            out.push(char::from(b'0' + bucket.rule));
            for number in [bucket.lower, bucket.upper, bucket.count] {
                out.push(',');
                push_text(out, &format_float(number));
            }
            out.push(']');
        });
    }
    out.push('}');
}

fn buckets(histogram: &Histogram) -> Vec<Bucket> {
    let mut all = Vec::new();
    if histogram.schema == Histogram::CUSTOM_BUCKETS {
        let borders = &histogram.custom_values;
        let border =
            |index: i32| usize::try_from(index).ok().and_then(|at| borders.get(at)).copied();
        for (index, count) in runs(&histogram.positive_spans, &histogram.positive) {
            let first = index == 0;
            let lower =
                if first { f64::NEG_INFINITY } else { border(index - 1).unwrap_or(f64::INFINITY) };
            let upper = border(index).unwrap_or(f64::INFINITY);
            all.push(Bucket { lower, upper, count, rule: if first { 3 } else { 0 } });
        }
        return all;
    }
    let border = |index: i32| exponential(index, histogram.schema);
    let mut negative: Vec<Bucket> = runs(&histogram.negative_spans, &histogram.negative)
        .map(|(index, count)| Bucket {
            lower: -border(index),
            upper: -border(index - 1),
            count,
            rule: 1,
        })
        .collect();
    negative.reverse();
    all.extend(negative);
    if histogram.zero_count != 0.0 {
        let (lower, upper) = (-histogram.zero_threshold, histogram.zero_threshold);
        all.push(Bucket { lower, upper, count: histogram.zero_count, rule: 3 });
    }
    all.extend(runs(&histogram.positive_spans, &histogram.positive).map(|(index, count)| Bucket {
        lower: border(index - 1),
        upper: border(index),
        count,
        rule: 0,
    }));
    all
}

/// Index and count of each bucket that holds something.
fn runs<'a>(spans: &'a [Span], counts: &'a [f64]) -> impl Iterator<Item = (i32, f64)> + 'a {
    let mut next = 0_i32;
    let indexes = spans.iter().flat_map(move |span| {
        let first = next.saturating_add(span.offset);
        let length = i32::try_from(span.length).unwrap_or(i32::MAX);
        next = first.saturating_add(length);
        first..next
    });
    indexes.zip(counts.iter().copied()).filter(|(_, count)| *count != 0.0).take(MAX_BUCKETS)
}

/// Upper border of a bucket: 2^(index · 2^-schema).
fn exponential(index: i32, schema: i32) -> f64 {
    let exponent = f64::from(index) * 2f64.powi(-schema);
    let whole = exponent.floor();
    let border = 2f64.powf(exponent - whole) * 2f64.powf(whole);
    if border.is_infinite() && exponent <= 1024.0 { f64::MAX } else { border }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_prometheus_writes_it() {
        let histogram = Histogram {
            schema: 0,
            zero_threshold: 0.001,
            zero_count: 2.0,
            count: 10.0,
            sum: 6.5,
            positive_spans: vec![Span { offset: 0, length: 2 }, Span { offset: 1, length: 1 }],
            positive: vec![3.0, 0.0, 1.0],
            negative_spans: vec![Span { offset: 0, length: 2 }],
            negative: vec![3.0, 1.0],
            ..Histogram::default()
        };
        let mut out = String::new();
        push(&mut out, &histogram);
        assert_eq!(
            out,
            r#"{"count":"10","sum":"6.5","buckets":[[1,"-2","-1","1"],[1,"-1","-0.5","3"],[3,"-0.001","0.001","2"],[0,"0.5","1","3"],[0,"4","8","1"]]}"#
        );
        let custom = Histogram {
            schema: Histogram::CUSTOM_BUCKETS,
            count: 3.0,
            sum: 7.0,
            positive_spans: vec![Span { offset: 0, length: 3 }],
            positive: vec![1.0, 1.0, 1.0],
            custom_values: vec![0.5, 2.0],
            ..Histogram::default()
        };
        let mut out = String::new();
        push(&mut out, &custom);
        assert_eq!(
            out,
            r#"{"count":"3","sum":"7","buckets":[[3,"-Inf","0.5","1"],[0,"0.5","2","1"],[0,"2","+Inf","1"]]}"#
        );
    }

    #[test]
    fn a_damaged_span_costs_nothing() {
        let histogram = Histogram {
            positive_spans: vec![Span { offset: i32::MAX, length: u32::MAX }; 3],
            positive: vec![1.0; 5],
            ..Histogram::default()
        };
        assert!(buckets(&histogram).len() <= 5);
    }
}
