//! The newest samples as they lie in the catalogue's table `tail` until they are sealed.
//!
//! A row holds one group: all batches that went to the disk together. Its bytes: 4 bytes check (the
//! lower 32 bits of XXH3-64 of the rest, little endian), then for each batch: shape (varint), time
//! minus the time of the shape's batch before (zigzag varint, milliseconds), flags (bit 0 =
//! histograms follow), a bitmap of the columns whose bits are not those of the batch before, for
//! each of these the XOR of the two: one byte (upper half: zero bytes at the top, lower half: at the
//! bottom) and the bytes between; with flag 0 the number of histograms (varint), for each its column
//! (varint) and itself ([`super::histograms`], against none).
//!
//! "The batch before" begins at zeros in each era, so that damage costs an era and not all. A shape
//! is a row of the table `shape`: the source and the labels of its columns ([`encode_shape`]).

use std::io::{Read, Write};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::bits::{put_varint, take_bytes, take_varint, unzigzag, zigzag};
use super::histograms;
use crate::model::{Batch, Labels, Point, Row, STALE_BITS, Timestamp, is_stale};

/// Most bytes of a shape that are believed: labels of more than a million series.
const SHAPE_LIMIT: u64 = 256 << 20;

/// What the writer, or the reader, remembers about a shape.
#[derive(Clone, Debug, Default)]
pub(super) struct Base {
    /// Number of the shape in the table.
    pub(super) shape: u64,
    /// The shape is defined within this chapter.
    pub(super) chapter: u64,
    /// The memory is of this era.
    era: u64,
    at: i64,
    bits: Vec<u64>,
}

impl Base {
    /// A shape just defined.
    pub(super) fn new(shape: u64, chapter: u64) -> Self {
        Self { shape, chapter, era: u64::MAX, ..Self::default() }
    }

    fn enter(&mut self, era: u64, width: usize) {
        if self.era != era {
            self.era = era;
            self.at = 0;
            self.bits.clear();
        }
        self.bits.resize(width, 0);
    }
}

/// A shape that goes to the disk with its first batch.
#[derive(Clone, Debug)]
pub(super) struct NewShape {
    pub(super) number: u64,
    pub(super) source: Arc<str>,
    pub(super) labels: Vec<u8>,
}

/// Batches that go to the disk together.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    pub(super) generation: u64,
    pub(super) era: u64,
    pub(super) shapes: Vec<NewShape>,
    pub(super) bytes: Vec<u8>,
    pub(super) samples: usize,
}

impl Group {
    pub(super) fn new(generation: u64, era: u64) -> Self {
        Self { generation, era, bytes: vec![0; 4], ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// Adds a batch.
    pub(super) fn push(&mut self, batch: &Batch, base: &mut Base) {
        base.enter(self.era, batch.rows.len());
        let at = batch.at.millis();
        put_varint(&mut self.bytes, base.shape);
        put_varint(&mut self.bytes, zigzag(at.wrapping_sub(base.at)));
        base.at = at;
        let late = batch.rows.iter().filter(|r| matches!(r.point, Point::Histogram(_))).count();
        self.bytes.push(u8::from(late > 0));
        let map = self.bytes.len();
        self.bytes.resize(map + batch.rows.len().div_ceil(8), 0);
        for (column, (row, before)) in batch.rows.iter().zip(&mut base.bits).enumerate() {
            let bits = match &row.point {
                Point::Float(value) => value.to_bits(),
                Point::Stale => STALE_BITS,
                Point::Histogram(_) => continue,
            };
            let difference = bits ^ *before;
            if difference == 0 {
                continue;
            }
            *before = bits;
            self.bytes[map + column / 8] |= 1 << (column % 8);
            let (top, bottom) =
                (difference.leading_zeros() as usize / 8, difference.trailing_zeros() as usize / 8);
            self.bytes.push((top << 4 | bottom) as u8);
            self.bytes.extend_from_slice(&difference.to_le_bytes()[bottom..8 - top]);
        }
        if late > 0 {
            put_varint(&mut self.bytes, late as u64);
            for (column, row) in batch.rows.iter().enumerate() {
                if let Point::Histogram(histogram) = &row.point {
                    put_varint(&mut self.bytes, column as u64);
                    histograms::encode(histogram, None, &mut self.bytes);
                }
            }
        }
        self.samples += batch.rows.len();
    }

    /// The row's bytes.
    pub(super) fn finish(&mut self) -> &[u8] {
        let check = xxh3_64(&self.bytes[4..]) as u32;
        self.bytes[..4].copy_from_slice(&check.to_le_bytes());
        &self.bytes
    }
}

/// A shape as the reader knows it.
pub(super) struct KnownShape {
    pub(super) source: Arc<str>,
    pub(super) labels: Vec<Labels>,
    pub(super) base: Base,
}

/// The bytes of a row, if they are what was written.
pub(super) fn checked(row: &[u8]) -> Option<&[u8]> {
    let (check, rest) = row.split_first_chunk::<4>()?;
    (xxh3_64(rest) as u32 == u32::from_le_bytes(*check)).then_some(rest)
}

/// Takes one batch off the front. `shape` finds a shape by number.
pub(super) fn decode<'s>(
    from: &mut &[u8],
    era: u64,
    shape: impl FnOnce(u64) -> Option<&'s mut KnownShape>,
) -> Option<Batch> {
    let KnownShape { source, labels, base } = shape(take_varint(from)?)?;
    base.enter(era, labels.len());
    base.at = base.at.wrapping_add(unzigzag(take_varint(from)?));
    let (&flags, rest) = from.split_first()?;
    *from = rest;
    let map = take_bytes(from, labels.len().div_ceil(8))?;
    let mut batch = Batch::new(Arc::clone(source), Timestamp::from_millis(base.at));
    batch.rows.reserve(labels.len());
    for (column, (labels, before)) in labels.iter().zip(&mut base.bits).enumerate() {
        if map[column / 8] >> (column % 8) & 1 == 1 {
            let (&sizes, rest) = from.split_first()?;
            *from = rest;
            let (top, bottom) = (usize::from(sizes >> 4), usize::from(sizes & 15));
            let length = 8usize.checked_sub(top + bottom)?;
            let mut word = [0; 8];
            word[bottom..bottom + length].copy_from_slice(take_bytes(from, length)?);
            *before ^= u64::from_le_bytes(word);
        }
        let value = f64::from_bits(*before);
        let point = if is_stale(value) { Point::Stale } else { Point::Float(value) };
        batch.rows.push(Row { labels: labels.clone(), point });
    }
    if flags & 1 != 0 {
        for _ in 0..take_varint(from)? {
            let column = usize::try_from(take_varint(from)?).ok()?;
            let histogram = histograms::decode(from, None)?;
            batch.rows.get_mut(column)?.point = Point::Histogram(Arc::new(histogram));
        }
    }
    Some(batch)
}

/// The labels of a shape: raw deflate of each label set's length (varint) and bytes
/// ([`Labels::as_bytes`]).
pub(super) fn encode_shape<'a>(labels: impl Iterator<Item = &'a Labels>) -> Vec<u8> {
    let mut plain = Vec::new();
    for labels in labels {
        put_varint(&mut plain, labels.as_bytes().len() as u64);
        plain.extend_from_slice(labels.as_bytes());
    }
    let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    // Writing into a vector does not fail.
    let _ = packed.write_all(&plain);
    packed.finish().unwrap_or_default()
}

/// The inverse of [`encode_shape`].
pub(super) fn decode_shape(packed: &[u8]) -> Option<Vec<Labels>> {
    let mut plain = Vec::new();
    flate2::read::DeflateDecoder::new(packed).take(SHAPE_LIMIT).read_to_end(&mut plain).ok()?;
    let (mut from, mut labels) = (&plain[..], Vec::new());
    while !from.is_empty() {
        let length = usize::try_from(take_varint(&mut from)?).ok()?;
        labels.push(Labels::from_bytes(take_bytes(&mut from, length)?)?);
    }
    Some(labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Histogram;
    use proptest::prelude::*;

    fn point() -> impl Strategy<Value = Point> {
        prop_oneof![
            any::<u64>().prop_map(|b| if b == STALE_BITS {
                Point::Stale
            } else {
                Point::Float(f64::from_bits(b))
            }),
            (0u8..3).prop_map(|v| Point::Float(f64::from(v))),
            Just(Point::Stale),
            (0u8..3).prop_map(|v| Point::Histogram(Arc::new(Histogram {
                count: f64::from(v),
                ..Histogram::default()
            }))),
        ]
    }

    proptest! {
        #[test]
        fn batches_come_back(
            batches in proptest::collection::vec((any::<i64>(), proptest::collection::vec(point(), 3), any::<bool>()), 1..20),
        ) {
            let labels: Vec<Labels> =
                (0..3).map(|n| Labels::from_pairs([("n", n.to_string().as_str())]).unwrap()).collect();
            let mut known = KnownShape {
                source: "s".into(),
                labels: decode_shape(&encode_shape(labels.iter())).unwrap(),
                base: Base::new(7, 0),
            };
            let mut base = Base::new(7, 0);
            let mut era = 0;
            for (at, points, next) in batches {
                era += u64::from(next);
                let mut group = Group::new(0, era);
                let mut batch = Batch::new("s".into(), Timestamp::from_millis(at));
                batch.rows = labels.iter().cloned().zip(points).map(|(labels, point)| Row { labels, point }).collect();
                group.push(&batch, &mut base);
                let bytes = group.finish().to_vec();
                let mut from = checked(&bytes).unwrap();
                let back = decode(&mut from, era, |n| (n == 7).then_some(&mut known)).unwrap();
                prop_assert!(from.is_empty());
                prop_assert_eq!(back.at, batch.at);
                // Bit for bit: NaN is not equal to itself.
                prop_assert_eq!(format!("{:?}", bits(&back)), format!("{:?}", bits(&batch)));
            }
        }

        #[test]
        fn damaged_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut known = KnownShape {
                source: "s".into(),
                labels: vec![Labels::empty(); 9],
                base: Base::new(7, 0),
            };
            let mut from = &bytes[..];
            while decode(&mut from, 0, |_| Some(&mut known)).is_some() {}
            let _ = checked(&bytes);
            let _ = decode_shape(&bytes);
        }
    }

    fn bits(batch: &Batch) -> Vec<(Labels, Result<u64, Point>)> {
        let bits = |point: &Point| match point {
            Point::Float(value) => Ok(value.to_bits()),
            other => Err(other.clone()),
        };
        batch.rows.iter().map(|row| (row.labels.clone(), bits(&row.point))).collect()
    }
}
