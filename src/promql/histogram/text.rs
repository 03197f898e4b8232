use std::fmt::Write as _;

use super::{all_buckets, is_custom};
use crate::model::Histogram;
use crate::promql::format_float_general;

/// A histogram in one line, as Prometheus writes it where a label needs its value:
/// `{count:4, sum:5, (1,2]:4}`.
pub(in crate::promql) fn text(histogram: &Histogram) -> String {
    let number = format_float_general;
    let mut out = format!("{{count:{}, sum:{}", number(histogram.count), number(histogram.sum));
    for bucket in all_buckets(histogram) {
        let zero = !is_custom(histogram) && bucket.lower <= 0.0 && bucket.upper >= 0.0;
        let open = if zero || bucket.upper < 0.0 { '[' } else { '(' };
        let close = if bucket.upper < 0.0 { ')' } else { ']' };
        let (lower, upper, count) =
            (number(bucket.lower), number(bucket.upper), number(bucket.count));
        let _ = write!(out, ", {open}{lower},{upper}{close}:{count}");
    }
    out.push('}');
    out
}
