use std::collections::BTreeMap;

use super::super::exact::Exact;
use super::arithmetic::{IncompatibleSchema, Reconciled, align, combined_reset};
use super::buckets::{pack, shared_borders, unpack};
use super::is_custom;
use crate::model::Histogram;

type Buckets = BTreeMap<i32, Exact>;

/// Adds up histograms with compensated summation: sums and averages.
#[derive(Clone, Debug)]
pub(in crate::promql) struct Sum {
    /// Layout and hint; its numbers are not used.
    shape: Histogram,
    count: Exact,
    sum: Exact,
    zero: Exact,
    positive: Buckets,
    negative: Buckets,
}

fn buckets_of(pairs: Vec<(i32, f64)>) -> Buckets {
    pairs.into_iter().map(|(index, value)| (index, Exact::new(value))).collect()
}

impl Sum {
    /// Begins with one histogram.
    pub fn new(first: &Histogram) -> Self {
        let exact = Exact::new;
        Self {
            count: exact(first.count),
            sum: exact(first.sum),
            zero: exact(first.zero_count),
            positive: buckets_of(unpack(&first.positive_spans, &first.positive)),
            negative: buckets_of(unpack(&first.negative_spans, &first.negative)),
            shape: Histogram {
                reset: first.reset,
                schema: first.schema,
                zero_threshold: first.zero_threshold,
                custom_values: first.custom_values.clone(),
                ..Histogram::default()
            },
        }
    }

    /// Adds another one, divided by `divisor`.
    pub fn add(
        &mut self,
        more: &Histogram,
        divisor: f64,
    ) -> Result<Reconciled, IncompatibleSchema> {
        if is_custom(&self.shape) != is_custom(more) {
            return Err(IncompatibleSchema);
        }
        let (reset, resets_collide) = combined_reset(self.shape.reset, more.reset);
        self.shape.reset = reset;
        let mut reconciled = Reconciled { resets_collide, custom_borders: false };
        let mut more = std::borrow::Cow::Borrowed(more);
        if is_custom(&self.shape) {
            if self.shape.custom_values != more.custom_values {
                reconciled.custom_borders = true;
                self.share_borders(more.to_mut());
            }
        } else if self.shape.schema != more.schema
            || self.shape.zero_threshold != more.zero_threshold
        {
            self.align(more.to_mut());
        }
        self.zero.add(more.zero_count / divisor);
        self.count.add(more.count / divisor);
        self.sum.add(more.sum / divisor);
        for (buckets, spans, counts) in [
            (&mut self.positive, &more.positive_spans, &more.positive),
            (&mut self.negative, &more.negative_spans, &more.negative),
        ] {
            for (index, count) in unpack(spans, counts) {
                buckets.entry(index).or_default().add(count / divisor);
            }
        }
        Ok(reconciled)
    }

    fn share_borders(&mut self, more: &mut Histogram) {
        let shared = shared_borders(&self.shape.custom_values, &more.custom_values);
        let from = std::mem::replace(&mut self.shape.custom_values, shared.clone());
        let target = |index: i32, from: &[f64]| {
            let upper = usize::try_from(index).ok().and_then(|at| from.get(at).copied());
            let at = upper.map_or(shared.len(), |upper| shared.partition_point(|b| *b < upper));
            i32::try_from(at).unwrap_or(i32::MAX)
        };
        let mut moved = Buckets::new();
        for (index, exact) in std::mem::take(&mut self.positive) {
            moved.entry(target(index, &from)).or_default().join(exact);
        }
        self.positive = moved;
        let pairs = unpack(&more.positive_spans, &more.positive);
        let pairs = super::buckets::rebucket(&pairs, &more.custom_values, &shared);
        (more.positive_spans, more.positive) = pack(&pairs);
        more.custom_values = shared;
    }

    /// Rare, so the compensation may be folded in.
    fn align(&mut self, more: &mut Histogram) {
        let mut own = self.get();
        align(&mut own, more);
        let aligned = Self::new(&own);
        let lost = (self.count, self.sum);
        *self = aligned;
        (self.count, self.sum) = lost;
    }

    /// Multiplies everything.
    pub fn scale(&mut self, factor: f64) {
        for exact in [&mut self.count, &mut self.sum, &mut self.zero] {
            exact.scale(factor);
        }
        for exact in self.positive.values_mut().chain(self.negative.values_mut()) {
            exact.scale(factor);
        }
    }

    /// Divides everything; not the same as to multiply by the reciprocal in the last digit.
    pub fn divide(&mut self, divisor: f64) {
        for exact in [&mut self.count, &mut self.sum, &mut self.zero] {
            exact.divide(divisor);
        }
        for exact in self.positive.values_mut().chain(self.negative.values_mut()) {
            exact.divide(divisor);
        }
    }

    /// Whether a number has become too large.
    pub fn overflows(&self) -> bool {
        [&self.count, &self.sum, &self.zero]
            .into_iter()
            .chain(self.positive.values())
            .chain(self.negative.values())
            .any(|exact| exact.value.is_infinite())
    }

    /// The sum.
    pub fn get(&self) -> Histogram {
        let mut histogram = self.shape.clone();
        histogram.count = self.count.get();
        histogram.sum = self.sum.get();
        histogram.zero_count = self.zero.get();
        let pairs = |buckets: &Buckets| -> Vec<(i32, f64)> {
            buckets.iter().map(|(index, exact)| (*index, exact.get())).collect()
        };
        (histogram.positive_spans, histogram.positive) = pack(&pairs(&self.positive));
        (histogram.negative_spans, histogram.negative) = pack(&pairs(&self.negative));
        histogram
    }
}
