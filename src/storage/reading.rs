//! Columns of rows in memory and on the disk, read in a window.

use std::ops::Range;

use super::chunk::{Cell, Chunk, Part, Spread, join_times};
use super::rows::within;
use crate::model::{Columns, Timestamp, Window};

/// Chunks whose times are remembered while reading; a power of two.
const KNOWN_TIMES: usize = 1024;

/// Buffers that reading needs; reuse them, but only for parts that live as long.
#[derive(Default)]
pub(super) struct Reading {
    times: Vec<i64>,
    spread: Spread,
    /// Times of closed chunks by their address, at a place that the address says: all columns of a
    /// chunk have the same.
    known: Vec<(usize, Vec<i64>)>,
}

/// The times of a chunk, decoded once.
fn times_of<'k>(known: &'k mut Vec<(usize, Vec<i64>)>, chunk: &Chunk) -> &'k [i64] {
    if known.is_empty() {
        known.resize(KNOWN_TIMES, (0, Vec::new()));
    }
    let address = std::ptr::from_ref(chunk).addr();
    // The upper bits of the product depend on all bits of the address.
    let place = (address as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let (owner, times) = &mut known[place as usize % KNOWN_TIMES];
    if *owner != address {
        *owner = address;
        times.clear();
        times.reserve(chunk.len());
        Part::Closed(chunk).times(times);
    }
    times
}

impl Reading {
    /// Appends one column of several parts, the later part winning, to `into`. The caller sees to it
    /// that what is in `into` is earlier.
    pub(super) fn read(&mut self, parts: &[(Part<'_>, usize)], window: Window, into: &mut Columns) {
        let mut end = i64::MIN;
        let apart = parts.iter().enumerate().all(|(n, (part, _))| {
            let Some((first, last)) = part.span() else { return true };
            let fine = n == 0 || first > end;
            end = last;
            fine
        });
        if apart {
            for (part, slot) in parts {
                if let Part::Loaded(loaded) = part
                    && loaded.rows.is_none()
                    && loaded.histograms.is_empty()
                {
                    push_all(&loaded.times, &loaded.bits, window, into);
                    continue;
                }
                if let Part::Closed(chunk) = part
                    && chunk.plain(*slot, &mut self.spread.bits)
                {
                    let times = times_of(&mut self.known, chunk);
                    push_all(times, &self.spread.bits, window, into);
                    continue;
                }
                if let Part::Open(rows) = part
                    && !rows.has_histograms()
                {
                    rows.push_floats(*slot, window, into);
                    continue;
                }
                self.times.clear();
                part.times(&mut self.times);
                let times = &self.times;
                part.column(*slot, &mut self.spread.bits, |row, cell| {
                    push(Timestamp::from_millis(times[row]), cell, window, into);
                });
            }
            return;
        }
        let plain: Vec<Part<'_>> = parts.iter().map(|(part, _)| *part).collect();
        let (times, maps) = join_times(&plain);
        let Spread { cells, bits } = &mut self.spread;
        cells.clear();
        cells.resize(times.len(), None);
        for ((part, slot), map) in parts.iter().zip(&maps) {
            part.column(*slot, bits, |row, cell| cells[map[row] as usize] = Some(cell));
        }
        for (time, cell) in times.iter().zip(cells.drain(..)) {
            if let Some(cell) = cell {
                push(Timestamp::from_millis(*time), cell, window, into);
            }
        }
    }
}

/// A column of floats without holes.
fn push_all(times: &[i64], bits: &[u64], window: Window, into: &mut Columns) {
    let rows = within(times, window);
    into.times.extend(times[rows.clone()].iter().map(|time| Timestamp::from_millis(*time)));
    into.values.extend(bits[rows].iter().map(|bits| f64::from_bits(*bits)));
}

#[inline]
fn push(at: Timestamp, cell: Cell, window: Window, into: &mut Columns) {
    if !window.contains(at) {
        return;
    }
    match cell {
        Cell::Bits(bits) => {
            into.times.push(at);
            into.values.push(f64::from_bits(bits));
        }
        Cell::Histogram(histogram) => into.histograms.push((at, histogram)),
    }
}

/// What all columns of a frame have in common within a window: most series are read beside their
/// neighbours.
#[derive(Default)]
pub(super) struct Common<'a> {
    parts: Vec<(Part<'a>, Range<usize>)>,
    times: Vec<Timestamp>,
}

impl<'a> Common<'a> {
    /// Takes the rows of these parts in the window; `false` when they do not simply follow each
    /// other, or hold histograms: there is then nothing to be had here.
    pub(super) fn take(
        &mut self,
        parts: impl Iterator<Item = Part<'a>>,
        window: Window,
        reading: &mut Reading,
    ) -> bool {
        self.parts.clear();
        self.times.clear();
        for part in parts {
            if part.span().is_none_or(|span| !meets(span, window)) {
                continue;
            }
            let (rows, times) = match part {
                Part::Closed(chunk) => {
                    let times = times_of(&mut reading.known, chunk);
                    let rows = within(times, window);
                    (rows.clone(), &times[rows])
                }
                Part::Open(open) if !open.has_histograms() => {
                    let rows = open.within(window);
                    (rows.clone(), open.times_of(rows))
                }
                Part::Open(_) | Part::Loaded(_) => return false,
            };
            let Some(first) = times.first() else { continue };
            if self.times.last().is_some_and(|last| last.millis() >= *first) {
                return false;
            }
            self.times.extend(times.iter().map(|time| Timestamp::from_millis(*time)));
            self.parts.push((part, rows));
        }
        true
    }

    /// The times of all rows.
    pub(super) fn times(&self) -> &[Timestamp] {
        &self.times
    }

    /// Replaces `into` by a column that has a float in each row; `false` when it is not such a one.
    pub(super) fn values(&self, slot: usize, bits: &mut Vec<u64>, into: &mut Vec<f64>) -> bool {
        into.clear();
        self.parts.iter().all(|(part, rows)| match part {
            Part::Closed(chunk) if chunk.plain(slot, bits) => {
                into.extend(bits[rows.clone()].iter().map(|bits| f64::from_bits(*bits)));
                true
            }
            Part::Open(open) => open.push_rows(slot, rows.clone(), into),
            Part::Closed(_) | Part::Loaded(_) => false,
        })
    }
}

/// Whether a span of times, both ends inside, has an instant of the window.
pub(super) fn meets((first, last): (i64, i64), window: Window) -> bool {
    last > window.after.millis() && first <= window.through.millis()
}
