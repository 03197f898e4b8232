//! Rows of one source in memory: open ones as plain cells, closed ones as compressed columns.
//!
//! A closed [`Chunk`] is one block of bytes: the times ([`super::integers`]), then for each column
//! that has values: flags (bit 0 = not in every row, bit 1 = histograms); with bit 0 a bitmap of the
//! rows with floats; with bit 1 a bitmap of the rows with histograms, the length of their run
//! (varint) and the run ([`super::histograms`]); then the floats ([`super::floats`]).

use std::ops::Range;
use std::sync::Arc;

use super::bits::{put_varint, take_bytes, take_varint};
use super::piece::Loaded;
use super::{floats, histograms, integers};
use crate::model::{Columns, Histogram, Timestamp, Window};

/// What one cell of a row holds.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    /// A float as bits, the staleness marker included.
    Bits(u64),
    /// A native histogram.
    Histogram(Arc<Histogram>),
}

/// Open rows, in time order, each time once.
#[derive(Clone, Default)]
pub(super) struct Rows {
    times: Vec<i64>,
    width: usize,
    /// Row by row, `width` cells each.
    cells: Vec<u64>,
    /// Row by row, one bit for each cell, each row padded to whole words; empty when every cell of
    /// every row holds a float.
    present: Vec<u64>,
    /// (row time, column, histogram), in this order; the cell is then not `present`.
    histograms: Vec<(i64, u32, Arc<Histogram>)>,
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.times.len()
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The span of times, both ends inside.
    pub(super) fn span(&self) -> Option<(i64, i64)> {
        Some((*self.times.first()?, *self.times.last()?))
    }

    /// Bytes on the heap.
    pub(super) fn heap(&self) -> usize {
        8 * (self.times.capacity() + self.cells.capacity() + self.present.capacity())
            + self.histograms.len() * 600
    }

    /// Makes room for more columns; the rows so far have no values in them.
    pub(super) fn widen(&mut self, width: usize) {
        if width <= self.width {
            return;
        }
        if self.times.is_empty() {
            self.width = width;
            return;
        }
        let rows = self.times.len();
        let mut wider = Rows { width, ..Rows::default() };
        wider.cells.resize(rows * width, 0);
        wider.present.resize(rows * width.div_ceil(64), 0);
        for row in 0..rows {
            for slot in 0..self.width {
                if self.has(row, slot) {
                    wider.cells[row * width + slot] = self.cells[row * self.width + slot];
                    wider.set(row, slot, true);
                }
            }
        }
        (self.width, self.cells, self.present) = (width, wider.cells, wider.present);
    }

    fn words(&self) -> usize {
        self.width.div_ceil(64)
    }

    fn has(&self, row: usize, slot: usize) -> bool {
        self.present.is_empty()
            || self.present[row * self.words() + slot / 64] >> (slot % 64) & 1 == 1
    }

    fn set(&mut self, row: usize, slot: usize, here: bool) {
        let at = row * self.words() + slot / 64;
        let bit = 1 << (slot % 64);
        if here {
            self.present[at] |= bit;
        } else {
            self.present[at] &= !bit;
        }
    }

    /// The presence of all cells, spelled out before the first hole is made.
    fn spell_out(&mut self) {
        if self.present.is_empty() {
            self.present = full_row(self.width).repeat(self.times.len());
        }
    }

    /// Adds a row whose floats fill all columns in order, later than all before: the way of nearly
    /// all samples. `false` when it is not such a row.
    pub(super) fn push_full(&mut self, at: i64, bits: impl ExactSizeIterator<Item = u64>) -> bool {
        if bits.len() != self.width || self.times.last().is_some_and(|last| *last >= at) {
            return false;
        }
        if self.cells.len() == self.cells.capacity() {
            // Doubling would waste up to half; there are few rows in here.
            self.cells.reserve_exact(self.width * 4);
            self.times.reserve_exact(4);
        }
        self.times.push(at);
        self.cells.extend(bits);
        if !self.present.is_empty() {
            self.present.extend(full_row(self.width));
        }
        true
    }

    /// Appends the floats of one column in the window to `into`.
    pub(super) fn push_floats(&self, slot: usize, window: Window, into: &mut Columns) {
        if slot >= self.width {
            return;
        }
        for row in self.within(window) {
            if self.has(row, slot) {
                into.times.push(Timestamp::from_millis(self.times[row]));
                into.values.push(f64::from_bits(self.cells[row * self.width + slot]));
            }
        }
    }

    /// Whether there are histograms anywhere.
    pub(super) fn has_histograms(&self) -> bool {
        !self.histograms.is_empty()
    }

    /// The rows in the window.
    pub(super) fn within(&self, window: Window) -> Range<usize> {
        within(&self.times, window)
    }

    /// The times of some rows.
    pub(super) fn times_of(&self, rows: Range<usize>) -> &[i64] {
        &self.times[rows]
    }

    /// Appends the floats of one column in some rows; `false` when there is not one in each of them,
    /// `into` is then to be thrown away.
    pub(super) fn push_rows(&self, slot: usize, rows: Range<usize>, into: &mut Vec<f64>) -> bool {
        if slot >= self.width || !rows.clone().all(|row| self.has(row, slot)) {
            return false;
        }
        let cells = rows.map(|row| self.cells[row * self.width + slot]);
        into.extend(cells.map(f64::from_bits));
        true
    }

    /// Whether there is a value at `at` in a column.
    fn holds(&self, at: i64, slot: usize) -> bool {
        let Ok(row) = self.times.binary_search(&at) else { return false };
        let late = |(time, column, _): &(i64, u32, _)| (*time, *column as usize) == (at, slot);
        slot < self.width && (self.has(row, slot) || self.histograms.iter().any(late))
    }

    /// Takes the value at `at` out of a column.
    pub(super) fn take_out(&mut self, at: i64, slot: usize) {
        let Ok(row) = self.times.binary_search(&at) else { return };
        if slot < self.width {
            self.spell_out();
            self.set(row, slot, false);
            self.histograms.retain(|(time, column, _)| (*time, *column as usize) != (at, slot));
        }
    }

    /// Adds or overwrites cells of the row at `at`, wherever that is in time.
    pub(super) fn put(&mut self, at: i64, cells: impl Iterator<Item = (usize, Cell)>) {
        self.spell_out();
        let row = match self.times.binary_search(&at) {
            Ok(row) => row,
            Err(row) => {
                self.times.insert(row, at);
                let (cell, word) = (row * self.width, row * self.words());
                self.cells.splice(cell..cell, std::iter::repeat_n(0, self.width));
                self.present.splice(word..word, std::iter::repeat_n(0, self.words()));
                row
            }
        };
        for (slot, cell) in cells {
            self.histograms.retain(|(time, column, _)| (*time, *column as usize) != (at, slot));
            match cell {
                Cell::Bits(bits) => {
                    self.cells[row * self.width + slot] = bits;
                    self.set(row, slot, true);
                }
                Cell::Histogram(histogram) => {
                    self.set(row, slot, false);
                    let place = (at, slot as u32);
                    let index = self.histograms.partition_point(|h| (h.0, h.1) < place);
                    self.histograms.insert(index, (at, slot as u32, histogram));
                }
            }
        }
    }
}

/// The places of the times in the window.
pub(super) fn within(times: &[i64], window: Window) -> Range<usize> {
    let first = times.partition_point(|time| *time <= window.after.millis());
    let behind = times.partition_point(|time| *time <= window.through.millis());
    first..behind.max(first)
}

/// The presence words of a row without holes.
fn full_row(width: usize) -> Vec<u64> {
    let mut row = vec![u64::MAX; width.div_ceil(64)];
    if let (Some(last), rest @ 1..) = (row.last_mut(), width % 64) {
        *last = (1 << rest) - 1;
    }
    row
}

/// Closed rows, compressed.
pub(super) struct Chunk {
    rows: u32,
    first: i64,
    last: i64,
    /// Where the times and each column end in `bytes`.
    ends: Box<[u32]>,
    bytes: Box<[u8]>,
}

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
            Part::Open(rows) => rows.width,
            Part::Closed(chunk) => chunk.ends.len() - 1,
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
            Part::Open(rows) => into.extend_from_slice(&rows.times),
            Part::Closed(chunk) => {
                let mut bytes = &chunk.bytes[..chunk.ends[0] as usize];
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
            Part::Open(rows) => {
                if slot >= rows.width {
                    return;
                }
                for row in 0..rows.times.len() {
                    if rows.has(row, slot) {
                        each(row, Cell::Bits(rows.cells[row * rows.width + slot]));
                    }
                }
                for (time, column, histogram) in &rows.histograms {
                    if let (Ok(row), true) =
                        (rows.times.binary_search(time), *column as usize == slot)
                    {
                        each(row, Cell::Histogram(Arc::clone(histogram)));
                    }
                }
            }
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
        Some(Chunk {
            rows: times.len() as u32,
            first,
            last,
            ends: ends.into(),
            bytes: bytes.into(),
        })
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
        slot + 1 < self.ends.len() && self.ends[slot] < self.ends[slot + 1]
    }

    /// Bytes on the heap.
    pub(super) fn heap(&self) -> usize {
        self.bytes.len() + 4 * self.ends.len() + size_of::<Self>() + 16
    }

    /// Replaces `bits` by a column that has a float in each row; `false` when it is not such a one.
    pub(super) fn plain(&self, slot: usize, bits: &mut Vec<u64>) -> bool {
        if !self.has(slot) {
            return false;
        }
        let from = &self.bytes[self.ends[slot] as usize..self.ends[slot + 1] as usize];
        bits.clear();
        from[0] == 0 && floats::decode(&from[1..], self.rows as usize, bits).is_some()
    }

    fn decode(
        &self,
        slot: usize,
        bits: &mut Vec<u64>,
        mut each: impl FnMut(usize, Cell),
    ) -> Option<()> {
        if !self.has(slot) {
            return Some(());
        }
        let rows = self.rows as usize;
        let mut from = &self.bytes[self.ends[slot] as usize..self.ends[slot + 1] as usize];
        let flags = from[0];
        from = &from[1..];
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
    use super::super::reading::Reading;
    use super::*;
    use crate::model::{Columns, Timestamp, Window};
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
    fn full_rows_go_the_quick_way() {
        let mut rows = Rows::default();
        rows.widen(2);
        assert!(rows.push_full(1, [1, 2].into_iter()));
        assert!(!rows.push_full(1, [3, 4].into_iter()), "the same time again");
        assert!(!rows.push_full(2, [3].into_iter()), "too narrow");
        assert!(rows.push_full(2, [3, 4].into_iter()));
        let chunk = Chunk::join(&[Part::Open(&rows)], |slot| slot == 1).unwrap();
        assert!(!chunk.has(0) && chunk.has(1));
        assert_eq!(read(&[Part::Closed(&chunk)], 1).times.len(), 2);
    }
}
