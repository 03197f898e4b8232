//! The newest samples as they lie in the catalogue's table `tail` until they are sealed.
//!
//! A row holds one group: all batches that went to the disk together. Its bytes: 4 bytes check (the
//! lower 32 bits of XXH3-64 of the rest, little endian), then for each batch:
//! - varint: zigzag of (shape minus era), shifted left by two; bit 0 = histograms follow, bit 1 =
//!   the same columns change as in the shape's batch before
//! - time (zigzag varint, milliseconds) minus the time of the shape's batch before and minus the
//!   step that one made
//! - without bit 1: a bitmap of the columns whose bits are not those of the batch before
//! - for each of these its value against the one before ([`super::deltas`])
//! - with bit 0: the number of histograms (varint), for each its column (varint) and itself
//!   ([`super::histograms`], against none).
//!
//! "The batch before" begins at zeros in each era, so that damage costs an era and not all. A shape
//! is a row of the table `shape`: the source and the labels of its columns ([`encode_shape`]).
//!
//! Rows of the first encoding, which files of format 1 hold, are read by [`super::tail_1`].

use std::io::Write;
use std::sync::Arc;

use flate2::{FlushDecompress, Status};
use xxhash_rust::xxh3::xxh3_64;

use super::bits::{put_varint, take_bytes, take_varint, unzigzag, zigzag};
use super::recovery::Place;
use super::{deltas, histograms};
use crate::model::{Batch, Histogram, Labels, Point, Row, STALE_BITS, Timestamp};

/// How the rows that this version writes are encoded.
pub(super) const ENCODING: i64 = 2;

/// Most bytes of a shape that are believed: labels of more than a million series.
const SHAPE_LIMIT: usize = 256 << 20;

/// What the writer, or the reader, remembers about a shape.
#[derive(Clone, Debug, Default)]
pub(super) struct Base {
    /// Number of the shape in the table.
    pub(super) shape: u64,
    /// The shape is defined within this chapter.
    pub(super) chapter: u64,
    /// The memory is of this era.
    era: u64,
    pub(super) at: Option<i64>,
    step: i64,
    map: Vec<u8>,
    pub(super) columns: deltas::Columns,
}

impl Base {
    /// A shape just defined.
    pub(super) fn new(shape: u64, chapter: u64) -> Self {
        Self { shape, chapter, era: u64::MAX, ..Self::default() }
    }

    pub(super) fn enter(&mut self, era: u64, width: usize) {
        if self.era != era {
            self.era = era;
            (self.at, self.step) = (None, 0);
            self.map.clear();
            self.columns.clear();
        }
        self.columns.resize(width);
    }

    /// Notes the time of a batch; gives what has to be written for it.
    fn advance(&mut self, at: i64) -> i64 {
        let step = self.at.map_or(0, |before| at.wrapping_sub(before));
        let told = at.wrapping_sub(self.at.unwrap_or(0)).wrapping_sub(self.step);
        (self.at, self.step) = (Some(at), step);
        told
    }

    /// Notes the time for which [`Base::advance`] gave this.
    fn follow(&mut self, told: i64) {
        let at = told.wrapping_add(self.at.unwrap_or(0)).wrapping_add(self.step);
        self.advance(at);
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
        let late = batch.rows.iter().filter(|r| matches!(r.point, Point::Histogram(_))).count();
        let bits = |row: &Row| match &row.point {
            Point::Float(value) => Some(value.to_bits()),
            Point::Stale => Some(STALE_BITS),
            Point::Histogram(_) => None,
        };
        let mut map = vec![0; batch.rows.len().div_ceil(8)];
        for (column, row) in batch.rows.iter().enumerate() {
            let changed = bits(row).is_some_and(|bits| bits != base.columns.bits(column));
            map[column / 8] |= u8::from(changed) << (column % 8);
        }
        let same = map == base.map;
        let shape = zigzag(base.shape.wrapping_sub(self.era).cast_signed());
        put_varint(&mut self.bytes, shape << 2 | u64::from(same) << 1 | u64::from(late > 0));
        put_varint(&mut self.bytes, zigzag(base.advance(batch.at.millis())));
        if !same {
            self.bytes.extend_from_slice(&map);
        }
        for (column, row) in batch.rows.iter().enumerate() {
            if map[column / 8] >> (column % 8) & 1 == 1
                && let Some(bits) = bits(row)
            {
                base.columns.encode(column, bits, &mut self.bytes);
            }
        }
        base.map = map;
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

/// A shape as the reader knows it, with the batch that was read last. As long as nobody asks for
/// values in an era, its batches are only passed over ([`KnownShape::packed`]).
pub(super) struct KnownShape {
    pub(super) source: Arc<str>,
    pub(super) labels: Arc<[Labels]>,
    pub(super) base: Base,
    /// (column, histogram); the bits of the column are then those of an earlier batch.
    late: Vec<(usize, Arc<Histogram>)>,
    /// Batches of the era so far.
    batches: usize,
    /// The batch as [`Packed`] holds it; the columns of `base` then hold no values.
    packed: Option<Vec<u8>>,
    /// Where the head puts its batches, once it knows the shape.
    pub(super) place: Option<Place>,
}

impl KnownShape {
    pub(super) fn new(number: u64, source: Arc<str>, labels: Vec<Labels>) -> Self {
        let base = Base::new(number, 0);
        let late = Vec::new();
        Self { source, labels: labels.into(), base, late, batches: 0, packed: None, place: None }
    }

    /// The time of the batch.
    pub(super) fn at(&self) -> i64 {
        self.base.at.unwrap_or(0)
    }

    /// The shape and the era: batches of the same one build upon each other.
    pub(super) fn run(&self) -> (u64, u64) {
        (self.base.shape, self.base.era)
    }

    /// Whether the batch is the first of its era.
    pub(super) fn is_first(&self) -> bool {
        self.batches == 1
    }

    /// The batch as [`Packed`] takes it; `None` when it has histograms, or its values are known.
    pub(super) fn packed(&self) -> Option<&[u8]> {
        self.packed.as_deref().filter(|_| self.late.is_empty())
    }

    /// Decodes the batch, which builds upon these of the same era, from the first on. From now on the
    /// values of this era's batches are decoded as they come.
    pub(super) fn unpack(&mut self, before: &[u8]) {
        let Some(last) = self.packed.take() else { return };
        let mut base = Base::new(self.base.shape, 0);
        base.enter(self.base.era, self.labels.len());
        for mut from in [before, &last] {
            while !from.is_empty() {
                let done = next_packed(&mut base, self.labels.len(), &mut from);
                debug_assert!(done.is_some(), "it was passed over");
                if done.is_none() {
                    return;
                }
            }
        }
        self.base.columns = base.columns;
    }

    /// The floats of the batch, one for each column. `None` when it has histograms.
    pub(super) fn floats(&self) -> Option<&[u64]> {
        self.late.is_empty().then(|| self.base.columns.all())
    }

    /// The batch; its values are right only when they were decoded.
    pub(super) fn batch(&self) -> Batch {
        let mut batch = Batch::new(Arc::clone(&self.source), Timestamp::from_millis(self.at()));
        for (labels, bits) in self.labels.iter().zip(self.base.columns.all()) {
            batch.push(labels.clone(), f64::from_bits(*bits));
        }
        for (column, histogram) in &self.late {
            batch.rows[*column].point = Point::Histogram(Arc::clone(histogram));
        }
        batch
    }

    /// The histograms at the end of a batch.
    pub(super) fn take_histograms(&mut self, from: &mut &[u8]) -> Option<()> {
        for _ in 0..take_varint(from)? {
            let column = usize::try_from(take_varint(from)?).ok()?;
            let histogram = histograms::decode(from, None)?;
            if column >= self.labels.len() {
                return None;
            }
            self.late.push((column, Arc::new(histogram)));
        }
        Some(())
    }

    /// Makes room for the next batch, whose values are to be decoded; gives the number of its columns.
    pub(super) fn next(&mut self, era: u64) -> usize {
        self.late.clear();
        self.packed = None;
        self.base.enter(era, self.labels.len());
        self.labels.len()
    }

    /// Takes the next batch off the front, behind its shape.
    fn take(&mut self, flags: u64, era: u64, from: &mut &[u8]) -> Option<()> {
        let packed = match self.packed.take() {
            _ if self.base.era != era => {
                self.batches = 0;
                Some(Vec::new())
            }
            packed => packed,
        };
        let width = self.next(era);
        self.batches += 1;
        if let Some(mut packed) = packed {
            let start = *from;
            take_body(&mut self.base, width, flags & 2 != 0, from, deltas::Columns::pass)?;
            packed.clear();
            packed.push((flags & 2) as u8);
            packed.extend_from_slice(&start[..start.len() - from.len()]);
            self.packed = Some(packed);
        } else {
            take_body(&mut self.base, width, flags & 2 != 0, from, deltas::Columns::decode)?;
        }
        if flags & 1 != 0 {
            self.take_histograms(from)?;
        }
        Some(())
    }
}

/// Batches of floats of one shape from the beginning of an era on, as they lie on the disk: each a
/// byte with bit 1 of its flags, then what follows there from the time on.
pub(super) struct Packed {
    pub(super) width: usize,
    pub(super) bytes: Box<[u8]>,
}

impl Packed {
    /// Gives the time and the floats of each batch.
    pub(super) fn each(&self, mut each: impl FnMut(i64, &[u64])) -> Option<()> {
        let mut base = Base::default();
        base.enter(u64::MAX, self.width);
        let mut from = &self.bytes[..];
        while !from.is_empty() {
            next_packed(&mut base, self.width, &mut from)?;
            each(base.at?, base.columns.all());
        }
        Some(())
    }
}

fn next_packed(base: &mut Base, width: usize, from: &mut &[u8]) -> Option<()> {
    let (flags, rest) = from.split_first()?;
    *from = rest;
    take_body(base, width, flags & 2 != 0, from, deltas::Columns::decode)
}

/// Takes the time and the values of a batch off the front; `value` takes one value.
#[inline]
fn take_body(
    base: &mut Base,
    width: usize,
    same: bool,
    from: &mut &[u8],
    value: impl Fn(&mut deltas::Columns, usize, &mut &[u8]) -> Option<()>,
) -> Option<()> {
    base.follow(unzigzag(take_varint(from)?));
    if !same {
        base.map.clear();
        base.map.extend_from_slice(take_bytes(from, width.div_ceil(8))?);
    }
    if base.map.len() < width.div_ceil(8) {
        return None;
    }
    for (at, byte) in base.map.iter().enumerate() {
        let mut left = *byte;
        while left != 0 {
            let column = at * 8 + left.trailing_zeros() as usize;
            if column >= width {
                break;
            }
            value(&mut base.columns, column, from)?;
            left &= left - 1;
        }
    }
    Some(())
}

/// The bytes of a row, if they are what was written.
pub(super) fn checked(row: &[u8]) -> Option<&[u8]> {
    let (check, rest) = row.split_first_chunk::<4>()?;
    (xxh3_64(rest) as u32 == u32::from_le_bytes(*check)).then_some(rest)
}

/// Takes one batch off the front; it is in the shape then. `shape` finds a shape by number.
pub(super) fn decode<'s>(
    from: &mut &[u8],
    era: u64,
    shape: impl FnOnce(u64) -> Option<&'s mut KnownShape>,
) -> Option<&'s mut KnownShape> {
    let first = take_varint(from)?;
    let number = era.wrapping_add(unzigzag(first >> 2).cast_unsigned());
    let known = shape(number)?;
    known.take(first & 3, era, from)?;
    Some(known)
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

/// Reads labels of shapes; its buffers serve many.
pub(super) struct ShapeReader {
    inflate: flate2::Decompress,
    plain: Vec<u8>,
}

impl Default for ShapeReader {
    fn default() -> Self {
        Self { inflate: flate2::Decompress::new(false), plain: Vec::new() }
    }
}

impl ShapeReader {
    /// The inverse of [`encode_shape`].
    pub(super) fn read(&mut self, packed: &[u8]) -> Option<Vec<Labels>> {
        self.unpack(packed)?;
        let (mut from, mut labels) = (&self.plain[..], Vec::new());
        while !from.is_empty() {
            let length = usize::try_from(take_varint(&mut from)?).ok()?;
            labels.push(Labels::from_bytes(take_bytes(&mut from, length)?)?);
        }
        Some(labels)
    }

    fn unpack(&mut self, packed: &[u8]) -> Option<()> {
        self.inflate.reset(false);
        self.plain.clear();
        loop {
            let (read, written) = (self.inflate.total_in(), self.plain.len());
            self.plain.reserve(written.max(1 << 12));
            let rest = packed.get(usize::try_from(read).ok()?..)?;
            let status =
                self.inflate.decompress_vec(rest, &mut self.plain, FlushDecompress::None).ok()?;
            let stuck = self.inflate.total_in() == read && self.plain.len() == written;
            if status == Status::StreamEnd {
                return Some(());
            }
            if stuck || self.plain.len() > SHAPE_LIMIT {
                return None;
            }
        }
    }
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
            (0u32..9_000, 0u8..10)
                .prop_map(|(v, e)| Point::Float(f64::from(v) / 10f64.powi(e.into()))),
            Just(Point::Float(-0.0)),
            (0u8..3).prop_map(|v| Point::Histogram(Arc::new(Histogram {
                count: f64::from(v),
                ..Histogram::default()
            }))),
        ]
    }

    proptest! {
        #[test]
        fn batches_come_back(
            batches in proptest::collection::vec((any::<i64>(), proptest::collection::vec(point(), 3), any::<bool>(), any::<bool>()), 1..20),
            start in 0u64..20,
        ) {
            let labels: Vec<Labels> =
                (0..3).map(|n| Labels::from_pairs([("n", n.to_string().as_str())]).unwrap()).collect();
            let decoded = ShapeReader::default().read(&encode_shape(labels.iter())).unwrap();
            let mut known = KnownShape::new(7, "s".into(), decoded);
            let mut base = Base::new(7, 0);
            let (mut era, mut passed) = (start, Vec::new());
            for (at, points, next, wants) in batches {
                era += u64::from(next);
                let mut group = Group::new(0, era);
                let mut batch = Batch::new("s".into(), Timestamp::from_millis(at));
                batch.rows = labels.iter().cloned().zip(points).map(|(labels, point)| Row { labels, point }).collect();
                group.push(&batch, &mut base);
                let bytes = group.finish().to_vec();
                let mut from = checked(&bytes).unwrap();
                let back = decode(&mut from, era, |n| (n == 7).then_some(&mut known)).unwrap();
                prop_assert!(from.is_empty());
                // At some point of the era somebody wants values; before, all are kept as they are.
                if back.is_first() {
                    passed.clear();
                }
                if !wants && let Some(code) = back.packed() {
                    passed.extend_from_slice(code);
                    continue;
                }
                back.unpack(&passed);
                let back = back.batch();
                prop_assert_eq!(back.at, batch.at);
                // Bit for bit: NaN is not equal to itself.
                prop_assert_eq!(format!("{:?}", bits(&back)), format!("{:?}", bits(&batch)));
            }
        }

        #[test]
        fn damaged_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut known = KnownShape::new(7, "s".into(), vec![Labels::empty(); 9]);
            let mut from = &bytes[..];
            while decode(&mut from, 0, |_| Some(&mut known)).is_some() {}
            let mut from = &bytes[..];
            while super::super::tail_1::decode(&mut from, 0, |_| Some(&mut known)).is_some() {}
            let _ = checked(&bytes);
            let _ = ShapeReader::default().read(&bytes);
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
