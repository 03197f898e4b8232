use super::is_custom;
use crate::model::{Histogram, Span};

/// A bucket with its borders.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::promql) struct Bucket {
    pub lower: f64,
    pub upper: f64,
    pub count: f64,
}

/// Most buckets one histogram may have, so that a span of four billion costs nothing.
const MAX_BUCKETS: usize = 1 << 17;

/// Runs to (index, count) pairs, ascending.
pub(super) fn unpack(spans: &[Span], counts: &[f64]) -> Vec<(i32, f64)> {
    let mut pairs = Vec::with_capacity(counts.len().min(MAX_BUCKETS));
    let mut index = 0i32;
    let mut counts = counts.iter();
    for span in spans {
        index = index.saturating_add(span.offset);
        for _ in 0..span.length {
            let Some(count) = counts.next() else { return pairs };
            pairs.push((index, *count));
            index = index.saturating_add(1);
        }
    }
    pairs
}

/// (index, count) pairs to runs.
pub(super) fn pack(pairs: &[(i32, f64)]) -> (Vec<Span>, Vec<f64>) {
    let mut spans: Vec<Span> = Vec::new();
    let mut next = 0i32;
    for (index, _) in pairs {
        match spans.last_mut() {
            Some(span) if *index == next => span.length += 1,
            _ => spans.push(Span { offset: index.saturating_sub(next), length: 1 }),
        }
        next = index.saturating_add(1);
    }
    (spans, pairs.iter().map(|(_, count)| *count).collect())
}

/// Upper border of the bucket `index` with exponential borders.
pub(super) fn exponential_border(index: i32, schema: i32) -> f64 {
    let exponent = if schema >= 0 {
        f64::from(index) / f64::from(1 << schema.min(30))
    } else {
        f64::from(index) * f64::from(1 << (-schema).min(30))
    };
    // Whole powers are exact this way; the rest is as exact as the peers' tables to the last bit
    // or two.
    let whole = exponent.floor();
    let border = 2f64.powf(exponent - whole) * 2f64.powf(whole);
    if border.is_infinite() && exponent <= 1024.0 { f64::MAX } else { border }
}

/// All populated or stored buckets from the lowest to the highest value, the zero bucket only when
/// it holds something.
pub(in crate::promql) fn all_buckets(histogram: &Histogram) -> Vec<Bucket> {
    let positive = unpack(&histogram.positive_spans, &histogram.positive);
    if is_custom(histogram) {
        let borders = &histogram.custom_values;
        let border = |index: i32| {
            usize::try_from(index).ok().map(|at| borders.get(at).copied().unwrap_or(f64::INFINITY))
        };
        let bucket = |(index, count): &(i32, f64)| Bucket {
            lower: border(index - 1).unwrap_or(f64::NEG_INFINITY),
            upper: border(*index).unwrap_or(f64::NEG_INFINITY),
            count: *count,
        };
        return positive.iter().map(bucket).collect();
    }
    let negative = unpack(&histogram.negative_spans, &histogram.negative);
    let (schema, threshold) = (histogram.schema, histogram.zero_threshold);
    let mut all = Vec::with_capacity(positive.len() + negative.len() + 1);
    all.extend(negative.iter().rev().map(|(index, count)| Bucket {
        lower: -exponential_border(*index, schema),
        upper: -exponential_border(index - 1, schema).max(threshold),
        count: *count,
    }));
    if histogram.zero_count != 0.0 {
        all.push(Bucket { lower: -threshold, upper: threshold, count: histogram.zero_count });
    }
    all.extend(positive.iter().map(|(index, count)| Bucket {
        lower: exponential_border(index - 1, schema).max(threshold),
        upper: exponential_border(*index, schema),
        count: *count,
    }));
    all
}

/// Joins what falls into the same bucket of a coarser schema, `steps` halvings away.
pub(super) fn coarsen(pairs: &[(i32, f64)], steps: i32) -> Vec<(i32, f64)> {
    let mut coarse: Vec<(i32, f64)> = Vec::with_capacity(pairs.len());
    for (index, count) in pairs {
        let index = ((i64::from(*index) - 1) >> steps.clamp(0, 40)) as i32 + 1;
        match coarse.last_mut() {
            Some((last, sum)) if *last == index => *sum += count,
            _ => coarse.push((index, *count)),
        }
    }
    coarse
}

/// The borders both have.
pub(super) fn shared_borders(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().copied().filter(|border| b.contains(border)).collect()
}

/// Moves counts of custom buckets with borders `from` to those with borders `to`, a subset.
pub(super) fn rebucket(pairs: &[(i32, f64)], from: &[f64], to: &[f64]) -> Vec<(i32, f64)> {
    let mut moved: Vec<(i32, f64)> = Vec::new();
    for (index, count) in pairs {
        let upper = usize::try_from(*index).ok().and_then(|at| from.get(at).copied());
        let target = upper.map_or(to.len(), |upper| to.partition_point(|border| *border < upper));
        let target = i32::try_from(target).unwrap_or(i32::MAX);
        match moved.last_mut() {
            Some((last, sum)) if *last == target => *sum += count,
            _ => moved.push((target, *count)),
        }
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_pairs_are_the_same() {
        let pairs = [(-3, 1.0), (-2, 2.0), (4, 3.0)];
        let (spans, counts) = pack(&pairs);
        assert_eq!(spans, [Span { offset: -3, length: 2 }, Span { offset: 5, length: 1 }]);
        assert_eq!(unpack(&spans, &counts), pairs);
    }

    #[test]
    fn borders_are_powers() {
        assert_eq!(exponential_border(3, 0), 8.0);
        assert_eq!(exponential_border(-1, -1), 0.25);
        assert!((exponential_border(1, 1) - 2f64.sqrt()).abs() < 1e-15);
        assert_eq!(exponential_border(1024, 0), f64::MAX);
    }

    #[test]
    fn coarser_buckets_hold_all() {
        assert_eq!(
            coarsen(&[(0, 1.0), (1, 2.0), (2, 4.0), (3, 8.0)], 1),
            [(0, 1.0), (1, 6.0), (2, 8.0)]
        );
    }
}
