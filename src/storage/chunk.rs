//! Closed rows of one source in memory, as compressed columns, and what they have in common with rows
//! elsewhere ([`Part`]).
//!
//! A [`Chunk`] is one block of bytes: the times ([`super::integers`]), then for each column
//! that has values: flags (bit 0 = not in every row, bit 1 = histograms); with bit 0 a bitmap of the
//! rows with floats; with bit 1 a bitmap of the rows with histograms, the length of their run
//! (varint) and the run ([`super::histograms`]); then the floats ([`super::floats`]).

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::bits::{put_varint, take_bytes, take_varint};
use super::piece::Loaded;
use super::rows::Rows;
use super::tail::Packed;
use super::{floats, histograms, integers};
use crate::model::Histogram;

/// What one cell of a row holds.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    /// A float as bits, the staleness marker included.
    Bits(u64),
    /// A native histogram.
    Histogram(Arc<Histogram>),
}

/// Closed rows, compressed.
pub(super) struct Chunk {
    rows: u32,
    width: u32,
    first: i64,
    last: i64,
    bytes: Bytes,
}

/// Where the times and each column end behind this table ([`Chunk::end`]); then these.
enum Bytes {
    Here(Box<[u8]>),
    /// As the tail on disk holds them, until somebody looks into them.
    Packed(Box<Late>),
}

struct Late {
    packed: Mutex<Option<Packed>>,
    bytes: OnceLock<Box<[u8]>>,
    /// Bytes of `packed`.
    size: usize,
}

/// Most bytes for which two are enough to say where something ends.
const NARROW: usize = u16::MAX as usize;

/// One part of a source's rows, open or closed.
#[derive(Clone, Copy)]
pub(super) enum Part<'a> {
    Open(&'a Rows),
    Closed(&'a Chunk),
    /// One column from a segment; it answers for whatever slot it is asked.
    Loaded(&'a Loaded),
}

/// One column spread out over the rows of some parts.
#[derive(Default)]
pub(super) struct Spread {
    pub(super) cells: Vec<Option<Cell>>,
    pub(super) bits: Vec<u64>,
}

impl Part<'_> {
    pub(super) fn width(&self) -> usize {
        match self {
            Part::Open(rows) => rows.width(),
            Part::Closed(chunk) => chunk.width as usize,
            Part::Loaded(_) => 1,
        }
    }

    /// First and last time, both inside; `None` for no rows.
    pub(super) fn span(&self) -> Option<(i64, i64)> {
        match self {
            Part::Open(rows) => rows.span(),
            Part::Closed(chunk) => Some((chunk.first, chunk.last)),
            Part::Loaded(loaded) => Some((*loaded.times.first()?, *loaded.times.last()?)),
        }
    }

    /// The times of all rows, ascending.
    pub(super) fn times(&self, into: &mut Vec<i64>) {
        match self {
            Part::Open(rows) => into.extend_from_slice(rows.times()),
            Part::Closed(chunk) => {
                let mut bytes = chunk.between(0, chunk.end(0));
                let decoded = integers::decode(&mut bytes, chunk.rows as usize, |t| into.push(t));
                debug_assert!(decoded.is_some(), "our own code");
            }
            Part::Loaded(loaded) => into.extend_from_slice(&loaded.times),
        }
    }

    /// Whether there is a value at `at` in a column.
    pub(super) fn holds(&self, at: i64, slot: usize) -> bool {
        let inside = self.span().is_some_and(|(first, last)| first <= at && at <= last);
        match self {
            _ if !inside => false,
            Part::Open(rows) => rows.holds(at, slot),
            Part::Closed(_) | Part::Loaded(_) => {
                let (mut times, mut found) = (Vec::new(), false);
                self.times(&mut times);
                if let Ok(wanted) = times.binary_search(&at) {
                    self.column(slot, &mut Vec::new(), |row, _| found |= row == wanted);
                }
                found
            }
        }
    }

    /// Gives the cells of one column to `each` with their row, in time order, floats before
    /// histograms.
    pub(super) fn column(
        &self,
        slot: usize,
        bits: &mut Vec<u64>,
        mut each: impl FnMut(usize, Cell),
    ) {
        match self {
            Part::Open(rows) => rows.column(slot, each),
            Part::Closed(chunk) => {
                let decoded = chunk.decode(slot, bits, each);
                debug_assert!(decoded.is_some(), "our own code");
            }
            Part::Loaded(loaded) => {
                for (at, bits) in loaded.bits.iter().enumerate() {
                    let row = loaded.rows.as_ref().map_or(at, |rows| rows[at] as usize);
                    each(row, Cell::Bits(*bits));
                }
                for (row, histogram) in &loaded.histograms {
                    each(*row as usize, Cell::Histogram(Arc::clone(histogram)));
                }
            }
        }
    }
}

impl Chunk {
    /// Joins parts into one chunk; where two have a cell for the same time, the later part wins.
    /// `keep` says which columns are worth keeping. `None` when there are no rows.
    pub(super) fn join(parts: &[Part<'_>], keep: impl Fn(usize) -> bool) -> Option<Chunk> {
        Self::join_without(parts, keep, None)
    }

    /// The same rows without the value at one instant in one column.
    pub(super) fn without(&self, at: i64, slot: usize) -> Option<Chunk> {
        Self::join_without(&[Part::Closed(self)], |_| true, Some((at, slot)))
    }

    fn join_without(
        parts: &[Part<'_>],
        keep: impl Fn(usize) -> bool,
        without: Option<(i64, usize)>,
    ) -> Option<Chunk> {
        let (times, maps) = join_times(parts);
        let (first, last) = (*times.first()?, *times.last()?);
        let width = parts.iter().map(Part::width).max().unwrap_or(0);
        let mut bytes = Vec::new();
        let mut ends = Vec::with_capacity(1 + width);
        integers::encode(&times, &mut bytes);
        ends.push(bytes.len() as u32);
        let mut spread = Spread::default();
        let mut scratch = floats::Scratch::default();
        for slot in 0..width {
            if keep(slot) {
                spread.cells.clear();
                spread.cells.resize(times.len(), None);
                for (part, map) in parts.iter().zip(&maps) {
                    let Spread { cells, bits } = &mut spread;
                    part.column(slot, bits, |row, cell| cells[map[row] as usize] = Some(cell));
                }
                if let Some((at, _)) = without.filter(|(_, gone)| *gone == slot)
                    && let Ok(row) = times.binary_search(&at)
                {
                    spread.cells[row] = None;
                }
                encode_column(&mut spread, &mut scratch, &mut bytes);
            }
            ends.push(bytes.len() as u32);
        }
        Some(Self::pack(times.len(), (first, last), &ends, &bytes))
    }

    fn pack(rows: usize, (first, last): (i64, i64), ends: &[u32], data: &[u8]) -> Chunk {
        let (rows, width) = (rows as u32, ends.len() as u32 - 1);
        Chunk { rows, width, first, last, bytes: Bytes::Here(table(ends, data)) }
    }

    /// Rows with a float in each column, as the tail has them, in the order of their times.
    pub(super) fn packed(packed: Packed, rows: usize, (first, last): (i64, i64)) -> Chunk {
        let (rows, width, size) = (rows as u32, packed.width as u32, packed.bytes.len());
        let late = Late { packed: Mutex::new(Some(packed)), bytes: OnceLock::new(), size };
        Chunk { rows, width, first, last, bytes: Bytes::Packed(Box::new(late)) }
    }

    /// Whether it is still as the tail had it.
    pub(super) fn is_packed(&self) -> bool {
        matches!(&self.bytes, Bytes::Packed(late) if late.bytes.get().is_none())
    }

    fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Here(bytes) => bytes,
            Bytes::Packed(late) => late.bytes.get_or_init(|| {
                let packed = late.packed.lock().unwrap_or_else(PoisonError::into_inner).take();
                unpack(packed, self.rows as usize, self.width as usize)
            }),
        }
    }

    /// Bytes of one end in the table: two where that suffices.
    fn end_bytes(&self) -> usize {
        let entries = self.width as usize + 1;
        if self.bytes().len() - 2 * entries <= NARROW { 2 } else { 4 }
    }

    /// The end of the times (0) or of a column (its slot + 1).
    fn end(&self, entry: usize) -> usize {
        let bytes = self.bytes();
        let byte = |at: usize| usize::from(bytes[at]);
        if self.end_bytes() == 2 {
            return byte(2 * entry) | byte(2 * entry + 1) << 8;
        }
        (0..4).map(|n| byte(4 * entry + n) << (8 * n)).sum()
    }

    fn between(&self, from: usize, end: usize) -> &[u8] {
        let table = (self.width as usize + 1) * self.end_bytes();
        &self.bytes()[table + from..table + end]
    }

    /// The code of a column; empty when it has no values.
    fn code(&self, slot: usize) -> &[u8] {
        if slot >= self.width as usize {
            return &[];
        }
        self.between(self.end(slot), self.end(slot + 1))
    }

    pub(super) fn len(&self) -> usize {
        self.rows as usize
    }

    /// The latest time.
    pub(super) fn last(&self) -> i64 {
        self.last
    }

    /// Whether a column has any value.
    pub(super) fn has(&self, slot: usize) -> bool {
        if self.is_packed() {
            return slot < self.width as usize;
        }
        !self.code(slot).is_empty()
    }

    /// Bytes on the heap.
    pub(super) fn heap(&self) -> usize {
        let bytes = match &self.bytes {
            Bytes::Here(bytes) => bytes.len(),
            Bytes::Packed(late) => {
                size_of::<Late>() + late.bytes.get().map_or(late.size, |bytes| bytes.len())
            }
        };
        bytes + size_of::<Self>() + 16
    }

    /// Replaces `bits` by a column that has a float in each row; `false` when it is not such a one.
    pub(super) fn plain(&self, slot: usize, bits: &mut Vec<u64>) -> bool {
        bits.clear();
        match self.code(slot) {
            [0, floats @ ..] => floats::decode(floats, self.rows as usize, bits).is_some(),
            _ => false,
        }
    }

    fn decode(
        &self,
        slot: usize,
        bits: &mut Vec<u64>,
        mut each: impl FnMut(usize, Cell),
    ) -> Option<()> {
        let Some((&flags, mut from)) = self.code(slot).split_first() else { return Some(()) };
        let rows = self.rows as usize;
        let sparse =
            if flags & 1 == 0 { None } else { Some(take_bytes(&mut from, rows.div_ceil(8))?) };
        let holds = |map: &[u8], row: usize| map[row / 8] >> (row % 8) & 1 == 1;
        let mut late = None;
        if flags & 2 != 0 {
            let map = take_bytes(&mut from, rows.div_ceil(8))?;
            let length = usize::try_from(take_varint(&mut from)?).ok()?;
            late = Some((map, take_bytes(&mut from, length)?));
        }
        bits.clear();
        match sparse {
            None => {
                floats::decode(from, rows, bits)?;
                for (row, bits) in bits.iter().enumerate() {
                    each(row, Cell::Bits(*bits));
                }
            }
            Some(map) => {
                let count = map.iter().map(|byte| byte.count_ones() as usize).sum();
                floats::decode(from, count, bits)?;
                let here = (0..rows).filter(|row| holds(map, *row));
                for (row, bits) in here.zip(bits.iter()) {
                    each(row, Cell::Bits(*bits));
                }
            }
        }
        if let Some((map, mut run)) = late {
            let mut here = (0..rows).filter(|row| holds(map, *row));
            histograms::decode_run(&mut run, |histogram| {
                if let Some(row) = here.next() {
                    each(row, Cell::Histogram(histogram));
                }
            })?;
        }
        Some(())
    }
}

/// The times of all parts together, and for each part where its rows went.
pub(super) fn join_times(parts: &[Part<'_>]) -> (Vec<i64>, Vec<Vec<u32>>) {
    let mut own = Vec::new();
    let mut all = Vec::new();
    for part in parts {
        let mut times = Vec::new();
        part.times(&mut times);
        all.extend_from_slice(&times);
        own.push(times);
    }
    if !all.is_sorted_by(|a, b| a < b) {
        all.sort_unstable();
        all.dedup();
    }
    let place = |time: &i64| all.partition_point(|other| other < time) as u32;
    let maps = own
        .iter()
        .map(|times| {
            let Some(first) = times.first().map(place) else { return Vec::new() };
            let end = first as usize + times.len();
            if all.get(first as usize..end) == Some(times) {
                return (first..end as u32).collect();
            }
            times.iter().map(place).collect()
        })
        .collect();
    (all, maps)
}

fn table(ends: &[u32], data: &[u8]) -> Box<[u8]> {
    let narrow = data.len() <= NARROW;
    let mut bytes = Vec::with_capacity(ends.len() * (4 - 2 * usize::from(narrow)) + data.len());
    for end in ends {
        bytes.extend_from_slice(&end.to_le_bytes()[..if narrow { 2 } else { 4 }]);
    }
    bytes.extend_from_slice(data);
    bytes.into()
}

/// The bytes of a chunk from those of the tail.
fn unpack(packed: Option<Packed>, rows: usize, width: usize) -> Box<[u8]> {
    let (mut times, mut cells) = (Vec::with_capacity(rows), Vec::with_capacity(rows * width));
    let done = packed.and_then(|packed| {
        packed.each(|at, floats| {
            times.push(at);
            cells.extend_from_slice(floats);
        })
    });
    debug_assert!(done.is_some() && times.len() == rows, "it was passed over");
    let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(1 + width));
    let (mut column, mut scratch) = (Vec::with_capacity(rows), floats::Scratch::default());
    integers::encode(&times, &mut bytes);
    ends.push(bytes.len() as u32);
    for slot in 0..width {
        column.clear();
        column.extend(cells.iter().skip(slot).step_by(width));
        if !column.is_empty() {
            bytes.push(0);
            floats::encode(&column, &mut scratch, &mut bytes);
        }
        ends.push(bytes.len() as u32);
    }
    table(&ends, &bytes)
}

fn encode_column(spread: &mut Spread, scratch: &mut floats::Scratch, into: &mut Vec<u8>) {
    let rows = spread.cells.len();
    spread.bits.clear();
    let mut run = Vec::new();
    let (mut sparse, mut late) = (vec![0u8; rows.div_ceil(8)], vec![0u8; rows.div_ceil(8)]);
    for (row, cell) in spread.cells.iter().enumerate() {
        let bit = 1 << (row % 8);
        match cell {
            Some(Cell::Bits(bits)) => {
                spread.bits.push(*bits);
                sparse[row / 8] |= bit;
            }
            Some(Cell::Histogram(histogram)) => {
                run.push(Arc::clone(histogram));
                late[row / 8] |= bit;
            }
            None => {}
        }
    }
    if spread.bits.is_empty() && run.is_empty() {
        return;
    }
    let is_sparse = spread.bits.len() < rows;
    into.push(u8::from(is_sparse) | u8::from(!run.is_empty()) << 1);
    if is_sparse {
        into.extend_from_slice(&sparse);
    }
    if !run.is_empty() {
        into.extend_from_slice(&late);
        let mut bytes = Vec::new();
        histograms::encode_run(&run, &mut bytes);
        put_varint(into, bytes.len() as u64);
        into.extend_from_slice(&bytes);
    }
    if !spread.bits.is_empty() {
        floats::encode(&spread.bits, scratch, into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Columns, Timestamp, Window};
    use crate::storage::reading::Reading;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const ALL: Window = Window { after: Timestamp::MIN, through: Timestamp::MAX };

    fn read(parts: &[Part<'_>], slot: usize) -> Columns {
        let mut into = Columns::default();
        let parts: Vec<_> = parts.iter().map(|part| (*part, slot)).collect();
        Reading::default().read(&parts, ALL, &mut into);
        into
    }

    proptest! {
        /// Rows put in any order, split into parts anywhere, come out as a plain map holds them.
        #[test]
        fn rows_are_a_map(
            puts in proptest::collection::vec((0i64..40, 0usize..5, 0u8..5), 1..120),
            cuts in proptest::collection::vec(1usize..120, 0..4),
        ) {
            let mut model: BTreeMap<(usize, i64), u8> = BTreeMap::new();
            let (mut open, mut closed) = (Rows::default(), Vec::new());
            for (n, &(time, slot, value)) in puts.iter().enumerate() {
                if cuts.contains(&n) {
                    closed.extend(Chunk::join(&[Part::Open(&open)], |_| true));
                    open = Rows::default();
                }
                open.widen(slot + 1);
                let cell = if value == 4 {
                    Cell::Histogram(Arc::new(Histogram { count: 4.0, ..Histogram::default() }))
                } else {
                    Cell::Bits(f64::from(value).to_bits())
                };
                model.insert((slot, time), value);
                open.put(time, std::iter::once((slot, cell)));
            }
            let mut parts: Vec<Part<'_>> = closed.iter().map(Part::Closed).collect();
            parts.push(Part::Open(&open));
            let joined = Chunk::join(&parts, |_| true).unwrap();
            for slot in 0..5 {
                let (got, again) = (read(&parts, slot), read(&[Part::Closed(&joined)], slot));
                prop_assert_eq!(&got, &again);
                let wanted: Vec<(i64, u8)> =
                    model.range((slot, i64::MIN)..=(slot, i64::MAX)).map(|((_, t), v)| (*t, *v)).collect();
                let floats = got.times.iter().zip(&got.values).map(|(t, v)| (t.millis(), *v as u8));
                let late = got.histograms.iter().map(|(t, h)| (t.millis(), h.count as u8));
                let mut seen: Vec<(i64, u8)> = floats.chain(late).collect();
                seen.sort_unstable();
                prop_assert_eq!(seen, wanted);
            }
        }
    }

    #[test]
    fn a_chunk_may_be_large() {
        let mut rows = Rows::default();
        rows.widen(600);
        let value = |row: i64, slot: usize| ((row * 600 + slot as i64) as f64).sqrt().sin();
        for row in 0..16 {
            assert!(rows.push_full(row, (0..600).map(|slot| value(row, slot).to_bits())));
        }
        let chunk = Chunk::join(&[Part::Open(&rows)], |_| true).unwrap();
        assert!(chunk.bytes().len() > NARROW && chunk.end_bytes() == 4);
        for slot in [0, 1, 599] {
            let seen = read(&[Part::Closed(&chunk)], slot);
            assert_eq!(seen.values, (0..16).map(|row| value(row, slot)).collect::<Vec<_>>());
        }
        assert!(!chunk.has(600));
    }

    #[test]
    fn columns_may_be_left_out() {
        let mut rows = Rows::default();
        rows.widen(2);
        assert!(rows.push_full(1, [1, 2].into_iter()) && rows.push_full(2, [3, 4].into_iter()));
        let chunk = Chunk::join(&[Part::Open(&rows)], |slot| slot == 1).unwrap();
        assert!(!chunk.has(0) && chunk.has(1));
        assert_eq!(read(&[Part::Closed(&chunk)], 1).times.len(), 2);
    }
}
