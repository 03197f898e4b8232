use super::buckets::{Bucket, all_buckets};
use super::is_custom;
use crate::model::Histogram;

/// A quantile, and what observations of NaN did to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::promql) struct Quantile {
    pub value: f64,
    /// NaN observations made the result NaN.
    pub nan_result: bool,
    /// NaN observations moved the result upwards.
    pub nan_skew: bool,
}

/// The zero bucket reaches only to zero on the side where there are no buckets.
fn biased(histogram: &Histogram, mut bucket: Bucket) -> Bucket {
    if !is_custom(histogram) && bucket.lower < 0.0 && bucket.upper > 0.0 {
        if histogram.negative.is_empty() && !histogram.positive.is_empty() {
            bucket.lower = 0.0;
        } else if histogram.positive.is_empty() && !histogram.negative.is_empty() {
            bucket.upper = 0.0;
        }
    }
    bucket
}

/// Where `value` lies in a bucket, 0–1: by logarithm with exponential borders, else linearly.
pub(super) fn position(histogram: &Histogram, bucket: Bucket, value: f64) -> f64 {
    if is_custom(histogram) || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        if bucket.lower == f64::NEG_INFINITY {
            return 1.0;
        }
        return (value - bucket.lower) / (bucket.upper - bucket.lower);
    }
    let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    let at = value.abs().log2();
    if value > 0.0 { (at - lower) / (upper - lower) } else { 1.0 - (at - upper) / (lower - upper) }
}

/// The φ-quantile of a histogram's observations.
pub(in crate::promql) fn quantile(q: f64, histogram: &Histogram) -> Quantile {
    let plain = |value| Quantile { value, nan_result: false, nan_skew: false };
    if q < 0.0 {
        return plain(f64::NEG_INFINITY);
    }
    if q > 1.0 {
        return plain(f64::INFINITY);
    }
    if histogram.count == 0.0 || q.is_nan() {
        return plain(f64::NAN);
    }
    let has_nan = histogram.sum.is_nan();
    let upwards = has_nan || q < 0.5;
    let mut rank = if upwards { q } else { 1.0 - q } * histogram.count;
    let mut buckets = all_buckets(histogram);
    if !upwards {
        buckets.reverse();
    }
    let (mut count, mut bucket) = (0.0, Bucket { lower: 0.0, upper: 0.0, count: 0.0 });
    for candidate in buckets.into_iter().filter(|bucket| bucket.count != 0.0) {
        bucket = candidate;
        count += bucket.count;
        if count >= rank {
            break;
        }
    }
    bucket = biased(histogram, bucket);
    // Observations of NaN are counted but lie in no bucket.
    if count < rank && has_nan {
        return Quantile { value: f64::NAN, nan_result: true, nan_skew: false };
    }
    let found = |value| Quantile { value, nan_result: false, nan_skew: has_nan };
    if is_custom(histogram) {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return found(bucket.upper);
            }
            bucket.lower = 0.0;
        }
        if bucket.upper == f64::INFINITY {
            return found(bucket.lower);
        }
    }
    count = count.min(histogram.count);
    if count < rank {
        return found(bucket.upper);
    }
    rank = if upwards { rank - (count - bucket.count) } else { count - rank };
    let fraction = rank / bucket.count;
    if is_custom(histogram) || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return found(bucket.lower + (bucket.upper - bucket.lower) * fraction);
    }
    let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    found(if bucket.lower > 0.0 {
        (lower + (upper - lower) * fraction).exp2()
    } else {
        -(upper + (lower - upper) * (1.0 - fraction)).exp2()
    })
}

/// The share of observations between two values; NaN for none at all.
pub(in crate::promql) fn fraction(lower: f64, upper: f64, histogram: &Histogram) -> f64 {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let all = histogram.count;
    let buckets = all_buckets(histogram);
    (rank_of(histogram, &buckets, upper).min(all) - rank_of(histogram, &buckets, lower).min(all))
        / all
}

/// How many observations lie below a value.
fn rank_of(histogram: &Histogram, buckets: &[Bucket], value: f64) -> f64 {
    let mut rank = 0.0;
    for bucket in buckets {
        let mut bucket = biased(histogram, *bucket);
        if is_custom(histogram) && bucket.lower == f64::NEG_INFINITY && bucket.upper > 0.0 {
            bucket.lower = if value == f64::NEG_INFINITY { value } else { 0.0 };
        }
        if bucket.lower >= value {
            return rank;
        }
        if bucket.upper > value {
            if bucket.upper == f64::INFINITY {
                return rank;
            }
            return rank + bucket.count * position(histogram, bucket, value);
        }
        rank += bucket.count;
    }
    // Above all buckets lies what is in none of them: observations of NaN.
    if histogram.sum.is_nan() { rank } else { histogram.count }
}

/// Estimated variance of the observations.
pub(in crate::promql) fn variance(histogram: &Histogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let (mut sum, mut lost) = (0.0f64, 0.0f64);
    for bucket in all_buckets(histogram).iter().filter(|bucket| bucket.count != 0.0) {
        let middle = if is_custom(histogram) {
            match (bucket.lower, bucket.upper) {
                (f64::NEG_INFINITY, upper) if upper > 0.0 => upper / 2.0,
                (f64::NEG_INFINITY, upper) => upper,
                (lower, f64::INFINITY) => lower,
                (lower, upper) => f64::midpoint(lower, upper),
            }
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            let middle = (bucket.lower * bucket.upper).sqrt();
            if bucket.upper < 0.0 { -middle } else { middle }
        };
        let delta = middle - mean;
        let more = bucket.count * delta * delta;
        let total = sum + more;
        if sum.abs() >= more.abs() {
            lost += (sum - total) + more;
        } else {
            lost += (more - total) + sum;
        }
        sum = total;
    }
    let compensated = if sum.is_infinite() { sum } else { sum + lost };
    compensated / histogram.count
}
