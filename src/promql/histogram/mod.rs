//! What PromQL does with native histograms: arithmetic, detection of counter resets, quantiles,
//! fractions, trimming. Buckets are handled as sorted (index, count) pairs; the runs of the
//! stored form are made and unmade at the edges.

mod arithmetic;
mod buckets;
mod distribution;
mod sum;
mod text;
mod trim;

pub(super) use arithmetic::{
    IncompatibleSchema, Reconciled, add, compact, detect_reset, divide, empty_like, equal, scale,
    subtract, to_schema,
};
pub(super) use buckets::all_buckets;
pub(super) use distribution::{fraction, quantile, variance};
pub(super) use sum::Sum;
pub(super) use text::text;
pub(super) use trim::{trim_lower, trim_upper};

use crate::model::Histogram;

/// Whether the borders are listed rather than exponential.
pub(super) fn is_custom(histogram: &Histogram) -> bool {
    histogram.schema == Histogram::CUSTOM_BUCKETS
}
