//! Open rows of one source: plain cells, to which rows are added cheaply.

use std::ops::Range;
use std::sync::Arc;

use super::chunk::Cell;
use crate::model::{Columns, Histogram, Timestamp, Window};

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

    /// The times, ascending.
    pub(super) fn times(&self) -> &[i64] {
        &self.times
    }

    /// Gives the cells of one column to `each` with their row, in time order, floats before
    /// histograms.
    pub(super) fn column(&self, slot: usize, mut each: impl FnMut(usize, Cell)) {
        if slot >= self.width {
            return;
        }
        for row in 0..self.times.len() {
            if self.has(row, slot) {
                each(row, Cell::Bits(self.cells[row * self.width + slot]));
            }
        }
        for (time, column, histogram) in &self.histograms {
            if let (Ok(row), true) = (self.times.binary_search(time), *column as usize == slot) {
                each(row, Cell::Histogram(Arc::clone(histogram)));
            }
        }
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
        let full = self.present.is_empty() || rows.clone().all(|row| self.has(row, slot));
        if slot >= self.width || !full {
            return false;
        }
        let cells = &self.cells[rows.start * self.width..rows.end * self.width];
        into.extend(cells.chunks_exact(self.width).map(|row| f64::from_bits(row[slot])));
        true
    }

    /// Whether there is a value at `at` in a column.
    pub(super) fn holds(&self, at: i64, slot: usize) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_rows_go_the_quick_way() {
        let mut rows = Rows::default();
        rows.widen(2);
        assert!(rows.push_full(1, [1, 2].into_iter()));
        assert!(!rows.push_full(1, [3, 4].into_iter()), "the same time again");
        assert!(!rows.push_full(2, [3].into_iter()), "too narrow");
        assert!(rows.push_full(2, [3, 4].into_iter()));
        let mut seen = Vec::new();
        rows.column(1, |row, cell| match cell {
            Cell::Bits(bits) => seen.push((row, bits)),
            Cell::Histogram(_) => panic!("floats only"),
        });
        assert_eq!(seen, [(0, 2), (1, 4)]);
    }
}
