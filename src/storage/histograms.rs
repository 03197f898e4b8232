//! A run of native histograms, bit for bit. Each is coded against the one before: where the
//! buckets are the same, only the differences of the counts are kept.
//!
//! Layout of one: flags (bits 0–1 counter reset, bit 2 = buckets as before), unless bit 2: schema
//! (zigzag varint), zero threshold (8 bytes), spans and custom values (each as count, then offset
//! zigzag varint and length varint, or 8 bytes); then all numbers (zero count, count, sum, positive,
//! negative) through [`super::floats`]-like words: difference to the number before in the same
//! place, as zigzag varint when both are whole, else tag and bits.

use std::sync::Arc;

use super::bits::{put_varint, take_varint, take_word, unzigzag, zigzag};
use crate::model::{CounterReset, Histogram, Span};

/// Most buckets of one histogram, so that damaged bytes cannot ask for the machine's memory.
const BUCKET_LIMIT: usize = 1 << 16;

/// Appends `next`, coded against `before`.
pub(super) fn encode(next: &Histogram, before: Option<&Histogram>, into: &mut Vec<u8>) {
    let same = before.is_some_and(|b| same_buckets(b, next));
    let reset = match next.reset {
        CounterReset::Unknown => 0,
        CounterReset::Reset => 1,
        CounterReset::NotReset => 2,
        CounterReset::Gauge => 3,
    };
    into.push(reset | u8::from(same) << 2);
    if !same {
        put_varint(into, zigzag(i64::from(next.schema)));
        into.extend_from_slice(&next.zero_threshold.to_bits().to_le_bytes());
        for (spans, counts) in
            [(&next.positive_spans, &next.positive), (&next.negative_spans, &next.negative)]
        {
            put_varint(into, spans.len() as u64);
            for span in spans {
                put_varint(into, zigzag(i64::from(span.offset)));
                put_varint(into, u64::from(span.length));
            }
            put_varint(into, counts.len() as u64);
        }
        put_varint(into, next.custom_values.len() as u64);
        for value in &next.custom_values {
            into.extend_from_slice(&value.to_bits().to_le_bytes());
        }
    }
    let before = before.filter(|_| same);
    let mut old = before.map(numbers);
    for value in numbers(next) {
        let reference = old.as_mut().and_then(Iterator::next).unwrap_or(0.0);
        put_number(value, reference, into);
    }
}

fn same_buckets(a: &Histogram, b: &Histogram) -> bool {
    let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    a.schema == b.schema
        && a.zero_threshold.to_bits() == b.zero_threshold.to_bits()
        && a.positive_spans == b.positive_spans
        && a.negative_spans == b.negative_spans
        && a.positive.len() == b.positive.len()
        && a.negative.len() == b.negative.len()
        && bits(&a.custom_values) == bits(&b.custom_values)
}

fn numbers(of: &Histogram) -> impl Iterator<Item = f64> + '_ {
    let fixed = [of.zero_count, of.count, of.sum];
    fixed.into_iter().chain(of.positive.iter().copied()).chain(of.negative.iter().copied())
}

/// A float that a 52-bit integer represents exactly.
fn whole(value: f64) -> Option<i64> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    {
        let whole = value as i64;
        (whole.unsigned_abs() < 1 << 52 && (whole as f64).to_bits() == value.to_bits())
            .then_some(whole)
    }
}

fn put_number(value: f64, reference: f64, into: &mut Vec<u8>) {
    match (whole(value), whole(reference)) {
        (Some(value), Some(reference)) => put_varint(into, zigzag(value - reference) << 1),
        _ => {
            into.push(1);
            into.extend_from_slice(&value.to_bits().to_le_bytes());
        }
    }
}

fn take_number(reference: f64, from: &mut &[u8]) -> Option<f64> {
    let tag = take_varint(from)?;
    if tag & 1 == 1 {
        return take_word(from).map(f64::from_bits);
    }
    #[allow(clippy::cast_precision_loss)]
    Some(whole(reference)?.checked_add(unzigzag(tag >> 1))? as f64)
}

/// Takes one histogram off the front. `None` when the bytes are none.
pub(super) fn decode(from: &mut &[u8], before: Option<&Histogram>) -> Option<Histogram> {
    let (&flags, rest) = from.split_first()?;
    *from = rest;
    if flags > 7 {
        return None;
    }
    let mut next = if flags & 4 != 0 { before?.clone() } else { decode_buckets(from)? };
    next.reset = match flags & 3 {
        0 => CounterReset::Unknown,
        1 => CounterReset::Reset,
        2 => CounterReset::NotReset,
        _ => CounterReset::Gauge,
    };
    for value in [&mut next.zero_count, &mut next.count, &mut next.sum] {
        *value = take_number(*value, from)?;
    }
    for value in next.positive.iter_mut().chain(&mut next.negative) {
        *value = take_number(*value, from)?;
    }
    Some(next)
}

fn decode_buckets(from: &mut &[u8]) -> Option<Histogram> {
    let schema = i32::try_from(unzigzag(take_varint(from)?)).ok()?;
    let zero_threshold = f64::from_bits(take_word(from)?);
    let mut next = Histogram { schema, zero_threshold, ..Histogram::default() };
    (next.positive_spans, next.positive) = decode_side(from)?;
    (next.negative_spans, next.negative) = decode_side(from)?;
    for _ in 0..take_limited(from)? {
        next.custom_values.push(f64::from_bits(take_word(from)?));
    }
    Some(next)
}

fn decode_side(from: &mut &[u8]) -> Option<(Vec<Span>, Vec<f64>)> {
    let mut spans = Vec::new();
    for _ in 0..take_limited(from)? {
        let offset = i32::try_from(unzigzag(take_varint(from)?)).ok()?;
        spans.push(Span { offset, length: u32::try_from(take_varint(from)?).ok()? });
    }
    // Each count takes at least one byte further on.
    let counts = take_limited(from)?;
    (counts <= from.len()).then(|| (spans, vec![0.0; counts]))
}

fn take_limited(from: &mut &[u8]) -> Option<usize> {
    usize::try_from(take_varint(from)?).ok().filter(|count| *count <= BUCKET_LIMIT)
}

/// Appends a run with the number of histograms in front.
pub(super) fn encode_run(run: &[Arc<Histogram>], into: &mut Vec<u8>) {
    put_varint(into, run.len() as u64);
    let mut before = None;
    for histogram in run {
        encode(histogram, before, into);
        before = Some(histogram);
    }
}

/// Takes a run off the front and gives each histogram to `each`.
pub(super) fn decode_run(from: &mut &[u8], mut each: impl FnMut(Arc<Histogram>)) -> Option<()> {
    let count = take_varint(from)?;
    let mut before: Option<Arc<Histogram>> = None;
    for _ in 0..count {
        let next = Arc::new(decode(from, before.as_deref())?);
        each(Arc::clone(&next));
        before = Some(next);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number() -> impl Strategy<Value = f64> {
        prop_oneof![any::<u64>().prop_map(f64::from_bits), (0u32..1000).prop_map(f64::from)]
    }

    fn histogram() -> impl Strategy<Value = Histogram> {
        let side = || {
            (
                proptest::collection::vec((any::<i32>(), any::<u32>()), 0..3),
                proptest::collection::vec(number(), 0..6),
            )
        };
        (0usize..4, -53i32..9, number(), number(), number(), side(), side()).prop_map(
            |(reset, schema, zero_threshold, count, sum, positive, negative)| Histogram {
                reset: [
                    CounterReset::Unknown,
                    CounterReset::Reset,
                    CounterReset::NotReset,
                    CounterReset::Gauge,
                ][reset],
                schema,
                zero_threshold,
                zero_count: 1.0,
                count,
                sum,
                positive_spans: spans(&positive.0),
                positive: positive.1,
                negative_spans: spans(&negative.0),
                negative: negative.1.clone(),
                custom_values: negative.1,
            },
        )
    }

    fn spans(of: &[(i32, u32)]) -> Vec<Span> {
        of.iter().map(|&(offset, length)| Span { offset, length }).collect()
    }

    /// Equal to the bit: `NaN` payloads included, which `==` cannot tell.
    fn print(of: &Histogram) -> String {
        let bits: Vec<_> =
            numbers(of).chain(of.custom_values.iter().copied()).map(f64::to_bits).collect();
        format!(
            "{:?} {bits:?}",
            (
                of.reset,
                of.schema,
                of.zero_threshold.to_bits(),
                &of.positive_spans,
                &of.negative_spans
            )
        )
    }

    proptest! {
        #[test]
        fn every_bit_comes_back(run in proptest::collection::vec(histogram(), 0..5), grow in number()) {
            let mut run: Vec<Arc<Histogram>> = run.into_iter().map(Arc::new).collect();
            if let Some(last) = run.last().cloned() {
                run.push(Arc::new(Histogram { count: grow, ..(*last).clone() }));
            }
            let mut bytes = Vec::new();
            encode_run(&run, &mut bytes);
            let (mut back, mut rest) = (Vec::new(), &bytes[..]);
            prop_assert_eq!(decode_run(&mut rest, |h| back.push(h)), Some(()));
            prop_assert!(rest.is_empty());
            let prints = |of: &[Arc<Histogram>]| of.iter().map(|h| print(h)).collect::<Vec<_>>();
            prop_assert_eq!(prints(&back), prints(&run));
        }

        #[test]
        fn damaged_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut seen = 0;
            let _ = decode_run(&mut &bytes[..], |_| seen += 1);
            prop_assert!(seen <= bytes.len());
        }
    }
}
