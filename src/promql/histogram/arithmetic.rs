use super::buckets::{coarsen, exponential_border, pack, rebucket, shared_borders, unpack};
use super::is_custom;
use crate::model::{CounterReset, Histogram};

/// Histograms with listed and with exponential borders cannot be combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::promql) struct IncompatibleSchema;

/// What had to be bent to combine two histograms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::promql) struct Reconciled {
    /// One said "reset", the other "no reset".
    pub resets_collide: bool,
    /// Custom borders differed; only shared ones were kept.
    pub custom_borders: bool,
}

/// Pairs of both sides, combined by index.
fn merge(a: &[(i32, f64)], b: &[(i32, f64)], sign: f64) -> Vec<(i32, f64)> {
    let mut merged = Vec::with_capacity(a.len() + b.len());
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        let next_a = a.get(i).map_or(i32::MAX, |(index, _)| *index);
        let next_b = b.get(j).map_or(i32::MAX, |(index, _)| *index);
        let take_a = i < a.len() && (j >= b.len() || next_a <= next_b);
        let take_b = j < b.len() && (i >= a.len() || next_b <= next_a);
        let mut count = 0.0;
        let index = if take_a { next_a } else { next_b };
        if take_a {
            count = a[i].1;
            i += 1;
        }
        if take_b {
            count += sign * b[j].1;
            j += 1;
        }
        merged.push((index, count));
    }
    merged
}

/// The hint of a combination, and whether the hints contradict each other.
pub(super) fn combined_reset(a: CounterReset, b: CounterReset) -> (CounterReset, bool) {
    use CounterReset::{Gauge, Unknown};
    match (a, b) {
        _ if a == b => (a, false),
        (Gauge, _) | (_, Gauge) => (Gauge, false),
        (Unknown, _) | (_, Unknown) => (Unknown, false),
        _ => (Unknown, true),
    }
}

/// `a += b`.
pub(in crate::promql) fn add(
    a: &mut Histogram,
    b: &Histogram,
) -> Result<Reconciled, IncompatibleSchema> {
    combine(a, b, 1.0)
}

/// `a -= b`.
pub(in crate::promql) fn subtract(
    a: &mut Histogram,
    b: &Histogram,
) -> Result<Reconciled, IncompatibleSchema> {
    combine(a, b, -1.0)
}

fn combine(a: &mut Histogram, b: &Histogram, sign: f64) -> Result<Reconciled, IncompatibleSchema> {
    if is_custom(a) != is_custom(b) {
        return Err(IncompatibleSchema);
    }
    let (reset, resets_collide) = combined_reset(a.reset, b.reset);
    a.reset = reset;
    let mut reconciled = Reconciled { resets_collide, custom_borders: false };
    let mut left = unpack(&a.positive_spans, &a.positive);
    let mut right = unpack(&b.positive_spans, &b.positive);
    if is_custom(a) {
        if a.custom_values != b.custom_values {
            reconciled.custom_borders = true;
            let shared = shared_borders(&a.custom_values, &b.custom_values);
            left = rebucket(&left, &a.custom_values, &shared);
            right = rebucket(&right, &b.custom_values, &shared);
            a.custom_values = shared;
        }
    } else {
        let aligned;
        let b = if a.zero_threshold == b.zero_threshold && a.schema == b.schema {
            b
        } else {
            let mut other = b.clone();
            align(a, &mut other);
            aligned = other;
            left = unpack(&a.positive_spans, &a.positive);
            right = unpack(&aligned.positive_spans, &aligned.positive);
            &aligned
        };
        a.zero_count += sign * b.zero_count;
        let negative = merge(
            &unpack(&a.negative_spans, &a.negative),
            &unpack(&b.negative_spans, &b.negative),
            sign,
        );
        (a.negative_spans, a.negative) = pack(&negative);
    }
    a.count += sign * b.count;
    a.sum += sign * b.sum;
    (a.positive_spans, a.positive) = pack(&merge(&left, &right, sign));
    Ok(reconciled)
}

/// Gives two exponential histograms the same zero bucket and the same, coarser, schema.
pub(super) fn align(a: &mut Histogram, b: &mut Histogram) {
    // Each round only grows a threshold to a bucket's border, so this ends.
    for _ in 0..64 {
        if a.zero_threshold == b.zero_threshold {
            break;
        }
        let (small, threshold) = if a.zero_threshold < b.zero_threshold {
            (&mut *a, b.zero_threshold)
        } else {
            (&mut *b, a.zero_threshold)
        };
        grow_zero_bucket(small, threshold);
    }
    let schema = a.schema.min(b.schema);
    *a = to_schema(a, schema);
    *b = to_schema(b, schema);
}

/// Count and width of the zero bucket when it is widened to at least `threshold`: a populated
/// bucket that it would cut is swallowed whole.
fn zero_bucket_for(histogram: &Histogram, threshold: f64) -> (f64, f64) {
    let positive = unpack(&histogram.positive_spans, &histogram.positive);
    let negative = unpack(&histogram.negative_spans, &histogram.negative);
    let mut threshold = threshold;
    'wider: loop {
        let mut count = histogram.zero_count;
        for side in [&positive, &negative] {
            for (index, bucket) in side {
                let lower = exponential_border(index - 1, histogram.schema);
                if lower >= threshold {
                    break;
                }
                count += bucket;
                let upper = exponential_border(*index, histogram.schema);
                if upper > threshold {
                    if *bucket != 0.0 {
                        threshold = upper;
                        continue 'wider;
                    }
                    break;
                }
            }
        }
        return (count, threshold);
    }
}

fn grow_zero_bucket(histogram: &mut Histogram, threshold: f64) {
    let (count, threshold) = zero_bucket_for(histogram, threshold);
    histogram.zero_count = count;
    histogram.zero_threshold = threshold;
    let schema = histogram.schema;
    let outside = |pairs: Vec<(i32, f64)>| -> Vec<(i32, f64)> {
        pairs
            .into_iter()
            .filter(|(index, _)| exponential_border(index - 1, schema) >= threshold)
            .collect()
    };
    let positive = outside(unpack(&histogram.positive_spans, &histogram.positive));
    (histogram.positive_spans, histogram.positive) = pack(&positive);
    let negative = outside(unpack(&histogram.negative_spans, &histogram.negative));
    (histogram.negative_spans, histogram.negative) = pack(&negative);
}

/// The same with a schema that is no finer than before.
pub(in crate::promql) fn to_schema(histogram: &Histogram, schema: i32) -> Histogram {
    let mut copy = histogram.clone();
    if schema >= histogram.schema || is_custom(histogram) {
        return copy;
    }
    let steps = histogram.schema - schema;
    copy.schema = schema;
    (copy.positive_spans, copy.positive) =
        pack(&coarsen(&unpack(&histogram.positive_spans, &histogram.positive), steps));
    (copy.negative_spans, copy.negative) =
        pack(&coarsen(&unpack(&histogram.negative_spans, &histogram.negative), steps));
    copy
}

/// No observations, with the layout of another.
pub(in crate::promql) fn empty_like(histogram: &Histogram) -> Histogram {
    Histogram {
        schema: histogram.schema,
        custom_values: histogram.custom_values.clone(),
        ..Histogram::default()
    }
}

fn map_counts(histogram: &mut Histogram, f: impl Fn(f64) -> f64) {
    for value in [&mut histogram.zero_count, &mut histogram.count, &mut histogram.sum] {
        *value = f(*value);
    }
    for value in histogram.positive.iter_mut().chain(&mut histogram.negative) {
        *value = f(*value);
    }
}

/// All counts and the sum times a factor.
pub(in crate::promql) fn scale(histogram: &mut Histogram, factor: f64) {
    map_counts(histogram, |value| value * factor);
    if factor < 0.0 {
        histogram.reset = CounterReset::Gauge;
    }
}

/// All counts and the sum divided; by zero, no buckets are left.
pub(in crate::promql) fn divide(histogram: &mut Histogram, divisor: f64) {
    map_counts(histogram, |value| value / divisor);
    if divisor < 0.0 {
        histogram.reset = CounterReset::Gauge;
    }
    if divisor == 0.0 {
        histogram.positive.clear();
        histogram.positive_spans.clear();
        histogram.negative.clear();
        histogram.negative_spans.clear();
    }
}

/// Leaves out empty buckets.
pub(in crate::promql) fn compact(histogram: &mut Histogram) {
    let populated = |spans: &[_], counts: &[f64]| {
        let mut pairs = unpack(spans, counts);
        pairs.retain(|(_, count)| *count != 0.0);
        pack(&pairs)
    };
    (histogram.positive_spans, histogram.positive) =
        populated(&histogram.positive_spans, &histogram.positive);
    (histogram.negative_spans, histogram.negative) =
        populated(&histogram.negative_spans, &histogram.negative);
}

/// Whether both have the same layout and the same numbers, bit for bit except for the kind of
/// NaN; hints are not compared.
pub(in crate::promql) fn equal(a: &Histogram, b: &Histogram) -> bool {
    let same = |x: f64, y: f64| x == y || (x.is_nan() && y.is_nan());
    let all_same =
        |x: &[f64], y: &[f64]| x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(*x, *y));
    a.schema == b.schema
        && same(a.count, b.count)
        && same(a.sum, b.sum)
        && same(a.zero_count, b.zero_count)
        && (is_custom(a) || a.zero_threshold == b.zero_threshold)
        && a.custom_values == b.custom_values
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && all_same(&a.positive, &b.positive)
        && all_same(&a.negative, &b.negative)
}

/// Whether a counter histogram must have been reset between `previous` and `current`.
pub(in crate::promql) fn detect_reset(current: &Histogram, previous: &Histogram) -> bool {
    match current.reset {
        CounterReset::Reset => return true,
        CounterReset::NotReset => return false,
        CounterReset::Unknown | CounterReset::Gauge => {}
    }
    if current.count < previous.count || is_custom(current) != is_custom(previous) {
        return true;
    }
    let now = unpack(&current.positive_spans, &current.positive);
    let before = unpack(&previous.positive_spans, &previous.positive);
    if is_custom(current) {
        if current.custom_values == previous.custom_values {
            return shrank(&now, &before);
        }
        let shared = shared_borders(&current.custom_values, &previous.custom_values);
        return shrank(
            &rebucket(&now, &current.custom_values, &shared),
            &rebucket(&before, &previous.custom_values, &shared),
        );
    }
    if current.schema > previous.schema || current.zero_threshold < previous.zero_threshold {
        return true;
    }
    let mut widened = previous.clone();
    if current.zero_threshold != previous.zero_threshold {
        grow_zero_bucket(&mut widened, current.zero_threshold);
        if widened.zero_threshold != current.zero_threshold {
            return true;
        }
    }
    if current.zero_count < widened.zero_count {
        return true;
    }
    let widened = to_schema(&widened, current.schema);
    let negative_now = unpack(&current.negative_spans, &current.negative);
    shrank(&now, &unpack(&widened.positive_spans, &widened.positive))
        || shrank(&negative_now, &unpack(&widened.negative_spans, &widened.negative))
}

/// Whether any bucket holds less than before.
fn shrank(now: &[(i32, f64)], before: &[(i32, f64)]) -> bool {
    before.iter().any(|(index, count)| {
        let found = now.binary_search_by_key(index, |(index, _)| *index);
        let held = found.map_or(0.0, |at| now[at].1);
        held < *count
    })
}
