//! What stands in a segment of the queue. After the 8 bytes `augmqu01` come records: length and check
//! (both 4 bytes little endian; the check is the lower half of XXH3-64 of the payload), then the
//! payload: number of rows (varint), number of new series (varint), for each the length of its labels
//! (varint) and the labels as [`Labels::as_bytes`] (series are numbered in the order of their
//! appearance in the segment), time (zigzag varint, milliseconds), and for each row: series (varint),
//! kind (0 float, 1 end of the series, 2 histogram), then the float's bits (8 bytes little endian) or
//! the histogram (length as varint, message of the remote-write protocol).

use std::fs;
use std::path::Path;
use std::sync::Arc;

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64;

use crate::model::{Batch, Histogram, Labels, Point, Timestamp};
use crate::remote::proto::histogram;
use crate::remote::proto::wire::{Reader as Wire, Writer, unzigzag, word};

/// How a segment begins.
pub(super) const MAGIC: &[u8; 8] = b"augmqu01";
/// Length and check.
const HEAD: usize = 8;
/// The longest record that is believed.
const RECORD: usize = 64 << 20;

/// What a series of the queue held at one instant.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::remote::send) enum Held {
    /// A float as bits, the staleness marker included.
    Bits(u64),
    /// A native histogram.
    Histogram(Arc<Histogram>),
}

/// One sample of the queue.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::remote::send) struct Sample {
    /// Number of the series in [`Reader::series`].
    pub(in crate::remote::send) series: u32,
    pub(in crate::remote::send) at: Timestamp,
    pub(in crate::remote::send) held: Held,
}

/// Appends the record of a batch; gives its length. Series that are new get the next numbers.
pub(super) fn append(
    batch: &Batch,
    series: &mut HashMap<Labels, u32>,
    into: &mut Vec<u8>,
) -> usize {
    let payload = encode(batch, series);
    into.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    into.extend_from_slice(&(xxh3_64(&payload) as u32).to_le_bytes());
    into.extend_from_slice(&payload);
    HEAD + payload.len()
}

fn encode(batch: &Batch, series: &mut HashMap<Labels, u32>) -> Vec<u8> {
    let mut new = Writer::default();
    let mut count = 0;
    let mut rows = Writer::default();
    for row in &batch.rows {
        let known = series.len() as u32;
        let number = *series.entry(row.labels.clone()).or_insert_with(|| {
            count += 1;
            new.varint(row.labels.as_bytes().len() as u64);
            new.0.extend_from_slice(row.labels.as_bytes());
            known
        });
        rows.varint(u64::from(number));
        match &row.point {
            Point::Float(value) => {
                rows.0.push(0);
                rows.0.extend_from_slice(&value.to_bits().to_le_bytes());
            }
            Point::Stale => rows.0.push(1),
            Point::Histogram(histogram) => {
                rows.0.push(2);
                let bytes = histogram::encode(batch.at, histogram);
                rows.varint(bytes.len() as u64);
                rows.0.extend_from_slice(&bytes);
            }
        }
    }
    let mut all = Writer::default();
    all.varint(batch.rows.len() as u64);
    all.varint(count);
    all.0.extend_from_slice(&new.0);
    let at = batch.at.millis();
    all.varint((at << 1 ^ at >> 63).cast_unsigned());
    all.0.extend_from_slice(&rows.0);
    all.0
}

/// How many samples a segment holds.
pub(super) fn count(path: &Path) -> u64 {
    let bytes = fs::read(path).unwrap_or_default();
    let mut rest = bytes.get(MAGIC.len()..).unwrap_or_default();
    let mut samples = 0;
    while let Some((payload, length)) = record(rest) {
        samples += Wire::new(payload).varint().unwrap_or(0);
        rest = &rest[length..];
    }
    samples
}

/// The payload of the record at the front, and the record's length. `None` when there is no whole
/// and sound one.
pub(super) fn record(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let length = u32::from_le_bytes(*bytes.first_chunk()?) as usize;
    let check = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
    if length > RECORD {
        return None;
    }
    let payload = bytes.get(HEAD..HEAD + length)?;
    (xxh3_64(payload) as u32 == check).then_some((payload, HEAD + length))
}

/// Reads a payload: new series go through `want`, samples to `into`. `None` when it is damaged; what
/// was read until then stands in both.
pub(super) fn decode<S>(
    payload: &[u8],
    series: &mut Vec<S>,
    into: &mut Vec<Sample>,
    want: &impl Fn(&Labels) -> S,
) -> Option<()> {
    let mut wire = Wire::new(payload);
    let rows = wire.varint().ok()?;
    for _ in 0..wire.varint().ok()? {
        let length = usize::try_from(wire.varint().ok()?).ok()?;
        let (labels, rest) = wire.rest.split_at_checked(length)?;
        wire.rest = rest;
        series.push(want(&Labels::from_bytes(labels)?));
    }
    let at = Timestamp::from_millis(unzigzag(wire.varint().ok()?));
    for _ in 0..rows {
        let number = u32::try_from(wire.varint().ok()?).ok()?;
        if number as usize >= series.len() {
            return None;
        }
        let (&kind, rest) = wire.rest.split_first()?;
        wire.rest = rest;
        let held = match kind {
            0 => {
                let (bits, rest) = wire.rest.split_at_checked(8)?;
                wire.rest = rest;
                Held::Bits(word(bits))
            }
            1 => Held::Bits(crate::model::STALE_BITS),
            2 => {
                let length = usize::try_from(wire.varint().ok()?).ok()?;
                let (message, rest) = wire.rest.split_at_checked(length)?;
                wire.rest = rest;
                Held::Histogram(Arc::new(histogram::decode(message).ok()?.1))
            }
            _ => return None,
        };
        into.push(Sample { series: number, at, held });
    }
    Some(())
}

/// Gives foreign bytes to the decoder of records, as they are and as the payload of a record.
pub(in crate::remote::send) fn decode_anything(bytes: &[u8]) {
    let mut rest = bytes;
    while let Some((_, length)) = record(rest) {
        rest = &rest[length..];
    }
    let _ = decode(bytes, &mut Vec::new(), &mut Vec::new(), &Labels::clone);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn batch(at: i64, count: usize) -> Batch {
        let mut batch = Batch::new("s".into(), Timestamp::from_millis(at));
        for n in 0..count {
            batch.push(Labels::empty().with("__name__", &format!("m{n}")), n as f64);
        }
        batch
    }

    proptest! {
        #[test]
        fn damaged_segments_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..150) {
            let mut series: Vec<Labels> = Vec::new();
            let _ = decode(&bytes, &mut series, &mut Vec::new(), &Labels::clone);
            let mut good = encode(&batch(5, 3), &mut HashMap::new());
            let at = at % good.len();
            good[at] ^= 0x41;
            let _ = decode(&good, &mut Vec::new(), &mut Vec::new(), &Labels::clone);
            let _ = record(&bytes);
        }
    }
}
