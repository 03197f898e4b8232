//! Native histograms: the same message in both versions of the protocol. Counts of buckets are
//! deltas of whole numbers or absolute floats; here they are absolute floats always.

use super::wire::{Malformed, Reader, Value, Writer, unzigzag, word};
use crate::model::{CounterReset, Histogram, Span, Timestamp};

/// Schemas with exponential borders.
const EXPONENTIAL: std::ops::RangeInclusive<i32> = -4..=8;

/// Reads a histogram and its time.
///
/// # Errors
/// Not a histogram message.
pub fn decode(message: &[u8]) -> Result<(Timestamp, Histogram), Malformed> {
    let mut histogram = Histogram::default();
    let mut at = 0;
    let mut reader = Reader::new(message);
    while let Some((field, value)) = reader.field()? {
        #[allow(clippy::cast_precision_loss)] // as Prometheus converts counts
        match field {
            1 => histogram.count = value.number()? as f64,
            2 => histogram.count = f64::from_bits(value.double_bits()?),
            3 => histogram.sum = f64::from_bits(value.double_bits()?),
            4 => histogram.schema = small(unzigzag(value.number()?))?,
            5 => histogram.zero_threshold = f64::from_bits(value.double_bits()?),
            6 => histogram.zero_count = value.number()? as f64,
            7 => histogram.zero_count = f64::from_bits(value.double_bits()?),
            8 => histogram.negative_spans.push(span(value.bytes()?)?),
            9 => deltas(value, &mut histogram.negative)?,
            10 => doubles(value, &mut histogram.negative)?,
            11 => histogram.positive_spans.push(span(value.bytes()?)?),
            12 => deltas(value, &mut histogram.positive)?,
            13 => doubles(value, &mut histogram.positive)?,
            14 => {
                histogram.reset = match value.number()? {
                    1 => CounterReset::Reset,
                    2 => CounterReset::NotReset,
                    3 => CounterReset::Gauge,
                    _ => CounterReset::Unknown,
                }
            }
            15 => at = value.signed()?,
            16 => doubles(value, &mut histogram.custom_values)?,
            _ => {}
        }
    }
    Ok((Timestamp::from_millis(at), histogram))
}

fn small(number: i64) -> Result<i32, Malformed> {
    i32::try_from(number).map_err(|_| Malformed("a small number is too large"))
}

fn span(message: &[u8]) -> Result<Span, Malformed> {
    let mut span = Span::default();
    let mut reader = Reader::new(message);
    while let Some((field, value)) = reader.field()? {
        match field {
            1 => span.offset = small(unzigzag(value.number()?))?,
            2 => {
                let length = u32::try_from(value.number()?);
                span.length = length.map_err(|_| Malformed("a span is too long"))?;
            }
            _ => {}
        }
    }
    Ok(span)
}

/// Differences of whole numbers, packed or not; the list may come in pieces.
fn deltas(value: Value<'_>, into: &mut Vec<f64>) -> Result<(), Malformed> {
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    let mut add = |delta: u64| {
        let last = into.last().map_or(0, |last| *last as i64);
        into.push(last.wrapping_add(unzigzag(delta)) as f64);
    };
    match value {
        Value::Bytes(packed) => {
            let mut reader = Reader::new(packed);
            while !reader.rest.is_empty() {
                add(reader.varint()?);
            }
        }
        one => add(one.number()?),
    }
    Ok(())
}

fn doubles(value: Value<'_>, into: &mut Vec<f64>) -> Result<(), Malformed> {
    match value {
        Value::Bytes(packed) => {
            if !packed.len().is_multiple_of(8) {
                return Err(Malformed("a list of doubles ends within one"));
            }
            into.extend(packed.chunks_exact(8).map(|bits| f64::from_bits(word(bits))));
        }
        one => into.push(f64::from_bits(one.double_bits()?)),
    }
    Ok(())
}

/// What is wrong with a histogram that could be read. `None` when it may be stored.
pub fn complaint(histogram: &Histogram) -> Option<&'static str> {
    let fits = |spans: &[Span], counts: &[f64]| {
        let length: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
        length == counts.len() as u64 && spans.iter().skip(1).all(|span| span.offset >= 0)
    };
    if !fits(&histogram.positive_spans, &histogram.positive)
        || !fits(&histogram.negative_spans, &histogram.negative)
    {
        return Some("spans and buckets of a histogram do not fit together");
    }
    let counts = || histogram.positive.iter().chain(&histogram.negative);
    if counts().chain([&histogram.zero_count, &histogram.count]).any(|count| *count < 0.0) {
        return Some("a histogram has a negative count");
    }
    if histogram.schema == Histogram::CUSTOM_BUCKETS {
        let borders = &histogram.custom_values;
        if !borders.is_sorted_by(|a, b| a < b) || borders.iter().any(|b| b.is_nan()) {
            return Some("the custom borders of a histogram do not ascend");
        }
        let empty = histogram.negative.is_empty() && histogram.zero_count == 0.0;
        if !empty || histogram.positive.len() > borders.len() + 1 {
            return Some("a histogram has buckets that its custom borders do not know");
        }
    } else if !EXPONENTIAL.contains(&histogram.schema) {
        return Some("a histogram has a schema that is not known");
    } else if !histogram.custom_values.is_empty() {
        return Some("a histogram has custom borders without their schema");
    }
    // With NaN observations (the sum is then NaN) the count may exceed the buckets.
    let observed: f64 = counts().sum::<f64>() + histogram.zero_count;
    let slack = (histogram.count * 1e-9).max(0.5);
    if !histogram.sum.is_nan() && observed > histogram.count + slack {
        return Some("a histogram has more observations in its buckets than in its count");
    }
    None
}

/// Writes a histogram as a float histogram.
pub fn encode(at: Timestamp, histogram: &Histogram) -> Vec<u8> {
    let mut writer = Writer::default();
    writer.double(2, histogram.count);
    writer.double(3, histogram.sum);
    writer.zigzag(4, i64::from(histogram.schema));
    if histogram.zero_threshold != 0.0 {
        writer.double(5, histogram.zero_threshold);
    }
    // The presence of this field says that the counts are floats.
    writer.double(7, histogram.zero_count);
    let spans = |field: u64, spans: &[Span], writer: &mut Writer| {
        for span in spans {
            let mut inner = Writer::default();
            inner.zigzag(1, i64::from(span.offset));
            inner.number(2, u64::from(span.length));
            writer.bytes(field, &inner.0);
        }
    };
    spans(8, &histogram.negative_spans, &mut writer);
    writer.doubles(10, &histogram.negative);
    spans(11, &histogram.positive_spans, &mut writer);
    writer.doubles(13, &histogram.positive);
    let reset = match histogram.reset {
        CounterReset::Unknown => 0,
        CounterReset::Reset => 1,
        CounterReset::NotReset => 2,
        CounterReset::Gauge => 3,
    };
    writer.number(14, reset);
    writer.signed(15, at.millis());
    writer.doubles(16, &histogram.custom_values);
    writer.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Histogram {
        Histogram {
            schema: 2,
            zero_threshold: 0.001,
            zero_count: 1.0,
            count: 10.0,
            sum: 12.5,
            positive_spans: vec![Span { offset: -3, length: 2 }, Span { offset: 1, length: 1 }],
            positive: vec![2.0, 4.0, 1.0],
            negative_spans: vec![Span { offset: 0, length: 1 }],
            negative: vec![2.0],
            reset: CounterReset::NotReset,
            ..Histogram::default()
        }
    }

    #[test]
    fn float_histograms_come_back() {
        let at = Timestamp::from_millis(1_700_000_000_123);
        let (when, back) = decode(&encode(at, &sample())).unwrap();
        assert_eq!((when, back), (at, sample()));
        let custom = Histogram {
            schema: Histogram::CUSTOM_BUCKETS,
            count: 3.0,
            sum: 1.0,
            positive_spans: vec![Span { offset: 0, length: 3 }],
            positive: vec![1.0, 1.0, 1.0],
            custom_values: vec![0.1, 0.5],
            ..Histogram::default()
        };
        let (_, back) = decode(&encode(at, &custom)).unwrap();
        assert_eq!(complaint(&back), None);
        assert_eq!(back, custom);
    }

    #[test]
    fn whole_numbers_are_added_up() {
        let mut writer = Writer::default();
        writer.number(1, 9);
        writer.double(3, 4.5);
        writer.number(6, 1);
        let mut span = Writer::default();
        span.number(2, 3);
        writer.bytes(11, &span.0);
        // 3, then +1, then -3: 3 4 1
        writer.bytes(12, &[6, 2, 5]);
        writer.signed(15, 77);
        let (at, histogram) = decode(&writer.0).unwrap();
        assert_eq!(at.millis(), 77);
        assert_eq!(histogram.positive, [3.0, 4.0, 1.0]);
        assert_eq!((histogram.count, histogram.zero_count), (9.0, 1.0));
        assert_eq!(complaint(&histogram), None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let check = |change: &dyn Fn(&mut Histogram), says: &str| {
            let mut histogram = sample();
            change(&mut histogram);
            assert!(complaint(&histogram).unwrap().contains(says), "{says}");
        };
        assert_eq!(complaint(&sample()), None);
        check(&|h| h.positive.push(1.0), "do not fit");
        check(&|h| h.positive_spans[1].length = u32::MAX, "do not fit");
        check(&|h| h.positive[0] = -1.0, "negative count");
        check(&|h| h.schema = 9, "not known");
        check(&|h| h.count = 3.0, "more observations");
        check(&|h| h.custom_values.push(1.0), "without their schema");
        check(&|h| h.schema = Histogram::CUSTOM_BUCKETS, "do not know");
    }
}
