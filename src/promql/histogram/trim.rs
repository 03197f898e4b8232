use super::arithmetic::compact;
use super::buckets::{Bucket, exponential_border, pack, unpack};
use super::distribution::position;
use super::is_custom;
use crate::model::Histogram;

/// Keeps the observations below `limit`; the sum is estimated anew from the buckets.
pub(in crate::promql) fn trim_upper(histogram: &Histogram, limit: f64) -> Histogram {
    trim(histogram, |bucket, first| keep_below(histogram, bucket, first, limit))
}

/// Keeps the observations above `limit`; the sum is estimated anew from the buckets.
pub(in crate::promql) fn trim_lower(histogram: &Histogram, limit: f64) -> Histogram {
    trim(histogram, |bucket, first| keep_above(histogram, bucket, first, limit))
}

/// What is left of a bucket. `None`: all of it.
type Kept = Option<Bucket>;

const NOTHING: Kept = Some(Bucket { lower: 0.0, upper: 0.0, count: 0.0 });

fn keep_below(histogram: &Histogram, bucket: Bucket, first: bool, limit: f64) -> Kept {
    if bucket.upper <= limit {
        return None;
    }
    if bucket.upper == f64::INFINITY && is_custom(histogram) {
        return NOTHING;
    }
    let mut bucket = bucket;
    if first && bucket.lower == f64::NEG_INFINITY {
        if bucket.upper <= 0.0 {
            // Nothing is known about the bucket's width: all of it counts as below.
            return if limit == f64::NEG_INFINITY {
                NOTHING
            } else {
                Some(Bucket { upper: limit, ..bucket })
            };
        }
        bucket.lower = 0.0;
    }
    if bucket.lower >= limit {
        return NOTHING;
    }
    let count = bucket.count * position(histogram, bucket, limit);
    Some(Bucket { upper: limit, count, ..bucket })
}

fn keep_above(histogram: &Histogram, bucket: Bucket, first: bool, limit: f64) -> Kept {
    if bucket.lower >= limit {
        return None;
    }
    if bucket.upper <= limit {
        return NOTHING;
    }
    let mut bucket = bucket;
    if first && bucket.lower == f64::NEG_INFINITY {
        if bucket.upper <= 0.0 || limit < 0.0 || bucket.upper == f64::INFINITY {
            return NOTHING;
        }
        if limit == 0.0 {
            return None;
        }
        bucket.lower = 0.0;
    }
    if bucket.upper == f64::INFINITY && is_custom(histogram) {
        return Some(Bucket { lower: limit, ..bucket });
    }
    let count = bucket.count * (1.0 - position(histogram, bucket, limit));
    Some(Bucket { lower: limit, count, ..bucket })
}

/// The value that stands for all observations of a bucket.
fn middle(histogram: &Histogram, bucket: Bucket, zero: bool) -> f64 {
    if !is_custom(histogram) && !zero {
        let middle = (bucket.lower * bucket.upper).sqrt();
        return if bucket.upper <= 0.0 { -middle } else { middle };
    }
    match (bucket.lower, bucket.upper) {
        (f64::NEG_INFINITY, upper) if upper > 0.0 => upper / 2.0,
        (f64::NEG_INFINITY, upper) => upper,
        (lower, f64::INFINITY) => lower,
        (lower, upper) => f64::midpoint(lower, upper),
    }
}

fn trim(histogram: &Histogram, keep: impl Fn(Bucket, bool) -> Kept) -> Histogram {
    let mut trimmed = histogram.clone();
    let (mut count, mut sum, mut changed) = (0.0, 0.0, false);
    let mut part = |bucket: Bucket, first: bool, zero: bool| -> f64 {
        if bucket.count == 0.0 {
            return 0.0;
        }
        let kept = keep(bucket, first);
        changed |= kept.is_some();
        let left = kept.unwrap_or(bucket);
        if left.count != 0.0 {
            count += left.count;
            sum += left.count * middle(histogram, left, zero);
        }
        left.count
    };
    let custom = is_custom(histogram);
    let schema = histogram.schema;
    let threshold = if custom { 0.0 } else { histogram.zero_threshold };
    let mut positive = unpack(&histogram.positive_spans, &histogram.positive);
    let mut negative = unpack(&histogram.negative_spans, &histogram.negative);
    for (index, held) in negative.iter_mut().rev() {
        let lower = -exponential_border(*index, schema);
        let upper = -exponential_border(*index - 1, schema).max(threshold);
        *held = part(Bucket { lower, upper, count: *held }, false, false);
    }
    if histogram.zero_count != 0.0 {
        let none_below = negative.is_empty() && !positive.is_empty();
        let none_above = positive.is_empty() && !negative.is_empty();
        let bucket = Bucket {
            lower: if none_below { 0.0 } else { -threshold },
            upper: if none_above { 0.0 } else { threshold },
            count: histogram.zero_count,
        };
        trimmed.zero_count = part(bucket, false, true);
    }
    for (index, held) in &mut positive {
        let (lower, upper) = if custom {
            let border = |at: i32| {
                usize::try_from(at).map_or(f64::NEG_INFINITY, |at| {
                    histogram.custom_values.get(at).copied().unwrap_or(f64::INFINITY)
                })
            };
            (border(*index - 1), border(*index))
        } else {
            (
                exponential_border(*index - 1, schema).max(threshold),
                exponential_border(*index, schema),
            )
        };
        *held = part(Bucket { lower, upper, count: *held }, *index == 0, false);
    }
    if !changed {
        return trimmed;
    }
    (trimmed.positive_spans, trimmed.positive) = pack(&positive);
    (trimmed.negative_spans, trimmed.negative) = pack(&negative);
    trimmed.count = count;
    trimmed.sum = sum;
    compact(&mut trimmed);
    trimmed
}
