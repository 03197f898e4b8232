//! What OpenMetrics 1.0 has no words for, said in a HELP line before the sample it belongs to:
//!
//! ```text
//! # HELP up augenmass exact 0x7ff0000000000002
//! up{target="a"} NaN 1780000000.000
//! # HELP latency_seconds augenmass exact histogram schema:3 count:2 sum:0.5 … positive:[1,1]
//! latency_seconds{target="a"} NaN 1780000000.000
//! ```
//! The first is a NaN with other bits than the usual one (the staleness marker is such a NaN), the
//! second a native histogram. Every reader of OpenMetrics takes the line for a help text and the
//! sample for NaN; ours takes what the line says instead of the sample's value.
//!
//! A histogram is `key:value` pairs in any order; what is left out is zero or empty: `schema`,
//! `count`, `sum`, `zero_threshold`, `zero_count` (numbers as in OpenMetrics, or `0x` and the bits),
//! `reset` (`reset`, `not_reset`, `gauge`), `positive_spans`, `negative_spans` (`[offset+length,…]`),
//! `positive`, `negative`, `custom_values` (`[number,…]`).

use std::fmt::Write;

use super::chunk::Cell;
use crate::exposition::float_text;
use crate::model::{CounterReset, Histogram, Span};
use std::sync::Arc;

/// Between the metric name and the rest.
pub(super) const MARK: &str = " augenmass exact ";
/// Most buckets of one histogram, so that a hostile file costs bounded memory.
const BUCKET_LIMIT: usize = 1 << 16;

/// The bits that `NaN` means when nothing else is said.
const USUAL_NAN: u64 = 0x7ff8_0000_0000_0000;

/// A float that its decimal text does not tell, bit for bit.
fn is_odd(value: f64) -> bool {
    value.is_nan() && value.to_bits() != USUAL_NAN
}

/// What the line before the sample must say; `None` when the sample's own text says it all.
pub(super) fn exact(value: f64) -> Option<String> {
    is_odd(value).then(|| number(value))
}

fn number(value: f64) -> String {
    if is_odd(value) { format!("{:#018x}", value.to_bits()) } else { float_text(value) }
}

fn read_number(text: &str) -> Option<f64> {
    if let Some(bits) = text.strip_prefix("0x") {
        return u64::from_str_radix(bits, 16).ok().map(f64::from_bits);
    }
    let value: f64 = text.parse().ok()?;
    Some(if value.is_nan() { f64::from_bits(USUAL_NAN) } else { value })
}

/// What the line before a histogram says.
pub(super) fn histogram(of: &Histogram) -> String {
    let mut text = format!("histogram schema:{}", of.schema);
    let reset = match of.reset {
        CounterReset::Unknown => "",
        CounterReset::Reset => " reset:reset",
        CounterReset::NotReset => " reset:not_reset",
        CounterReset::Gauge => " reset:gauge",
    };
    text.push_str(reset);
    let numbers = [
        ("count", of.count),
        ("sum", of.sum),
        ("zero_threshold", of.zero_threshold),
        ("zero_count", of.zero_count),
    ];
    for (key, value) in numbers.into_iter().filter(|(_, value)| value.to_bits() != 0) {
        // Writing into a String cannot fail.
        let _ = write!(text, " {key}:{}", number(value));
    }
    for (key, spans) in
        [("positive_spans", &of.positive_spans), ("negative_spans", &of.negative_spans)]
    {
        let spans: Vec<_> = spans.iter().map(|s| format!("{}+{}", s.offset, s.length)).collect();
        push_list(&mut text, key, &spans);
    }
    for (key, values) in [
        ("positive", &of.positive),
        ("negative", &of.negative),
        ("custom_values", &of.custom_values),
    ] {
        let values: Vec<String> = values.iter().map(|value| number(*value)).collect();
        push_list(&mut text, key, &values);
    }
    text
}

fn push_list(text: &mut String, key: &str, items: &[String]) {
    if !items.is_empty() {
        let _ = write!(text, " {key}:[{}]", items.join(","));
    }
}

/// What a line says, without the mark and all before it.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(text: &str) -> Result<Cell, String> {
    let Some(rest) = text.strip_prefix("histogram") else {
        let bits = text.strip_prefix("0x").and_then(|bits| u64::from_str_radix(bits, 16).ok());
        return bits.map(Cell::Bits).ok_or_else(|| "expected 0x and 64 bits".to_owned());
    };
    let mut into = Histogram::default();
    for pair in rest.split_ascii_whitespace() {
        read_pair(pair, &mut into).ok_or_else(|| {
            let pair: String = pair.chars().take(40).collect();
            format!("{pair:?} is no part of a histogram")
        })?;
    }
    let buckets = |spans: &[Span]| -> u64 { spans.iter().map(|s| u64::from(s.length)).sum() };
    if buckets(&into.positive_spans) != into.positive.len() as u64
        || buckets(&into.negative_spans) != into.negative.len() as u64
    {
        return Err("the spans of the histogram name another number of buckets".to_owned());
    }
    Ok(Cell::Histogram(Arc::new(into)))
}

fn read_pair(pair: &str, into: &mut Histogram) -> Option<()> {
    let (key, value) = pair.split_once(':')?;
    match key {
        "schema" => into.schema = value.parse().ok()?,
        "count" => into.count = read_number(value)?,
        "sum" => into.sum = read_number(value)?,
        "zero_threshold" => into.zero_threshold = read_number(value)?,
        "zero_count" => into.zero_count = read_number(value)?,
        "reset" => {
            into.reset = match value {
                "reset" => CounterReset::Reset,
                "not_reset" => CounterReset::NotReset,
                "gauge" => CounterReset::Gauge,
                _ => return None,
            }
        }
        "positive_spans" => into.positive_spans = read_list(value, read_span)?,
        "negative_spans" => into.negative_spans = read_list(value, read_span)?,
        "positive" => into.positive = read_list(value, read_number)?,
        "negative" => into.negative = read_list(value, read_number)?,
        "custom_values" => into.custom_values = read_list(value, read_number)?,
        _ => return None,
    }
    Some(())
}

fn read_list<T>(text: &str, item: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    let items = text.strip_prefix('[')?.strip_suffix(']')?;
    let list: Option<Vec<T>> = items.split(',').take(BUCKET_LIMIT + 1).map(item).collect();
    list.filter(|list| list.len() <= BUCKET_LIMIT)
}

fn read_span(text: &str) -> Option<Span> {
    let (offset, length) = text.split_once('+')?;
    Some(Span { offset: offset.parse().ok()?, length: length.parse().ok()? })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_number() -> impl Strategy<Value = f64> {
        prop_oneof![any::<u64>().prop_map(f64::from_bits), (0u8..9).prop_map(f64::from)]
    }

    fn buckets() -> impl Strategy<Value = (Vec<Span>, Vec<f64>)> {
        let span = (any::<i32>(), 0u32..4).prop_map(|(offset, length)| Span { offset, length });
        (proptest::collection::vec(span, 0..3), proptest::collection::vec(any_number(), 12))
            .prop_map(|(spans, mut counts)| {
                counts.truncate(spans.iter().map(|s| s.length as usize).sum());
                (spans, counts)
            })
    }

    /// Any histogram at all, the staleness marker as its sum included.
    pub(crate) fn any_histogram() -> impl Strategy<Value = Histogram> {
        let reset = prop_oneof![
            Just(CounterReset::Unknown),
            Just(CounterReset::Reset),
            Just(CounterReset::NotReset),
            Just(CounterReset::Gauge)
        ];
        let numbers = proptest::array::uniform4(any_number());
        let custom = proptest::collection::vec(any_number(), 0..3);
        (reset, any::<i32>(), numbers, buckets(), buckets(), custom).prop_map(
            |(reset, schema, [count, sum, zero_threshold, zero_count], up, down, custom_values)| {
                Histogram {
                    reset,
                    schema,
                    zero_threshold,
                    zero_count,
                    count,
                    sum,
                    positive_spans: up.0,
                    positive: up.1,
                    negative_spans: down.0,
                    negative: down.1,
                    custom_values,
                }
            },
        )
    }

    /// All of it, NaN with its bits.
    pub(crate) fn spelled(of: &Histogram) -> String {
        let bits = |values: &[f64]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let numbers = bits(&[of.zero_threshold, of.zero_count, of.count, of.sum]);
        let lists = (bits(&of.positive), bits(&of.negative), bits(&of.custom_values));
        let spans = (&of.positive_spans, &of.negative_spans);
        format!("{:?} {} {numbers:?} {spans:?} {lists:?}", of.reset, of.schema)
    }

    proptest! {
        #[test]
        fn a_histogram_comes_back_bit_for_bit(before in any_histogram()) {
            match read(&histogram(&before)) {
                Ok(Cell::Histogram(back)) => prop_assert_eq!(spelled(&back), spelled(&before)),
                other => prop_assert!(false, "{:?}", other),
            }
        }

        #[test]
        fn every_nan_comes_back(payload in 0u64..1 << 51) {
            let value = f64::from_bits(USUAL_NAN | payload);
            match exact(value) {
                None => prop_assert_eq!(value.to_bits(), USUAL_NAN),
                Some(text) => match read(&text) {
                    Ok(Cell::Bits(bits)) => prop_assert_eq!(bits, value.to_bits()),
                    other => prop_assert!(false, "{:?}", other),
                },
            }
        }

        #[test]
        fn other_lines_never_panic(text in "(histogram )?[ -~]{0,80}") {
            let _ = read(&text);
        }
    }
}
