//! Long columns for the disk: one piece of bytes for the times of a frame, one for each column.
//!
//! - times: tag 0 = [`super::integers`], 1 = pco of 64-bit integers
//! - column: flags (bit 0 = floats are not in every row, bit 1 = histograms); for each flag in that
//!   order the rows as lengths of alternating runs, first absent, then present … until all rows are
//!   told (varints); with bit 1 the length of the histograms (varint) and the histograms
//!   ([`super::histograms`]); then the floats: tag 0 = [`super::floats`], 1 = pco of the floats, 2 =
//!   pco of decimals: exponent (one byte), number of exceptions (varint), for each the gap to the
//!   one before (varint) and 8 bytes, then pco of the scaled whole numbers
//!
//! "pco" is its header, one chunk's metadata and one page; the count is known from outside.

use std::sync::Arc;

use pco::data_types::Number;
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, PagingSpec};

use super::bits::{put_varint, take_bytes, take_varint, take_word};
use super::chunk::Cell;
use super::{floats, histograms, integers};
use crate::model::Histogram;

/// Most rows of a piece, so that damaged bytes cannot ask for the machine's memory. A day of
/// samples each 10 ms is less.
pub(super) const ROW_LIMIT: usize = 1 << 23;
/// From this many bytes on pco is tried: it pays about 20 bytes for its header.
const WORTH_PCO: usize = 32;

/// A decoded column: floats as bits with their rows, histograms with their rows.
#[derive(Default)]
pub(super) struct Loaded {
    /// The instants of all rows of the frame, ascending.
    pub(super) times: Arc<Vec<i64>>,
    pub(super) bits: Vec<u64>,
    /// Rows of `bits`; `None` when they are in every row.
    pub(super) rows: Option<Vec<u32>>,
    pub(super) histograms: Vec<(u32, Arc<Histogram>)>,
}

fn pco_encode<T: Number>(values: &[T]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let config = ChunkConfig::default().with_paging_spec(PagingSpec::Exact(vec![values.len()]));
    let file = FileCompressor::default();
    file.write_header(&mut bytes).ok()?;
    let mut chunk = file.chunk_compressor(values, &config).ok()?;
    chunk.write_meta(&mut bytes).ok()?;
    chunk.write_page(0, &mut bytes).ok()?;
    Some(bytes)
}

fn pco_decode<T: Number + Default>(from: &[u8], count: usize) -> Option<Vec<T>> {
    let (file, rest) = FileDecompressor::new(from).ok()?;
    let (mut chunk, rest) = file.chunk_decompressor::<T, _>(rest).ok()?;
    let mut page = chunk.page_decompressor(rest, count).ok()?;
    let mut values = vec![T::default(); count];
    let progress = page.read(&mut values).ok()?;
    (progress.n_processed == count).then_some(values)
}

/// Appends the times of a frame.
pub(super) fn encode_times(times: &[i64], into: &mut Vec<u8>) {
    let start = into.len();
    into.push(0);
    integers::encode(times, into);
    if into.len() - start > WORTH_PCO
        && let Some(bytes) = pco_encode(times)
        && bytes.len() < into.len() - start
    {
        into.truncate(start);
        into.push(1);
        into.extend_from_slice(&bytes);
    }
}

/// The inverse of [`encode_times`]; `None` when the bytes are no ascending times.
pub(super) fn decode_times(from: &[u8], count: usize) -> Option<Vec<i64>> {
    if count > ROW_LIMIT {
        return None;
    }
    let (&tag, mut rest) = from.split_first()?;
    let times = match tag {
        0 => {
            let mut times = Vec::new();
            integers::decode(&mut rest, count, |time| times.push(time))?;
            times
        }
        1 => pco_decode::<i64>(rest, count)?,
        _ => return None,
    };
    times.is_sorted_by(|a, b| a < b).then_some(times)
}

/// Appends a column; nothing when it is empty.
pub(super) fn encode_column(cells: &[Option<Cell>], into: &mut Vec<u8>) {
    let is_float = |cell: &Option<Cell>| matches!(cell, Some(Cell::Bits(_)));
    let is_late = |cell: &Option<Cell>| matches!(cell, Some(Cell::Histogram(_)));
    let (mut bits, mut late) = (Vec::new(), Vec::new());
    for cell in cells.iter().flatten() {
        match cell {
            Cell::Bits(b) => bits.push(*b),
            Cell::Histogram(histogram) => late.push(Arc::clone(histogram)),
        }
    }
    if bits.is_empty() && late.is_empty() {
        return;
    }
    let sparse = bits.len() < cells.len();
    into.push(u8::from(sparse) | u8::from(!late.is_empty()) << 1);
    if sparse {
        encode_runs(cells.iter().map(is_float), into);
    }
    if !late.is_empty() {
        encode_runs(cells.iter().map(is_late), into);
        let mut bytes = Vec::new();
        histograms::encode_run(&late, &mut bytes);
        put_varint(into, bytes.len() as u64);
        into.extend_from_slice(&bytes);
    }
    if !bits.is_empty() {
        encode_floats(&bits, into);
    }
}

fn encode_runs(present: impl Iterator<Item = bool>, into: &mut Vec<u8>) {
    let (mut last, mut length) = (false, 0);
    for here in present {
        if here != last {
            put_varint(into, length);
            (last, length) = (here, 0);
        }
        length += 1;
    }
    put_varint(into, length);
}

fn decode_runs(from: &mut &[u8], count: usize) -> Option<Vec<u32>> {
    let (mut rows, mut at, mut present) = (Vec::new(), 0, false);
    while at < count {
        let length = usize::try_from(take_varint(from)?).ok()?;
        let end = at.checked_add(length).filter(|end| *end <= count)?;
        if present {
            rows.extend(at as u32..end as u32);
        }
        (at, present) = (end, !present);
    }
    Some(rows)
}

fn encode_floats(bits: &[u64], into: &mut Vec<u8>) {
    let start = into.len();
    into.push(0);
    floats::encode(bits, &mut floats::Scratch::default(), into);
    if into.len() - start <= WORTH_PCO {
        return;
    }
    let mut best = Vec::new();
    let (mut whole, mut exceptions) = (Vec::new(), Vec::new());
    if let Some(exponent) = floats::scale(bits, &mut whole, &mut exceptions) {
        best.extend([2, exponent]);
        put_varint(&mut best, exceptions.len() as u64);
        let mut next = 0;
        for &at in &exceptions {
            put_varint(&mut best, (at - next) as u64);
            best.extend_from_slice(&bits[at].to_le_bytes());
            next = at + 1;
        }
        match pco_encode(&whole) {
            Some(bytes) => best.extend_from_slice(&bytes),
            None => return,
        }
    } else {
        best.push(1);
        let plain: Vec<f64> = bits.iter().map(|b| f64::from_bits(*b)).collect();
        let Some(bytes) = pco_encode(&plain) else { return };
        // pco promises every bit of every NaN; a promise that costs little to check.
        let back = pco_decode::<f64>(&bytes, bits.len());
        let same = |back: Vec<f64>| back.iter().zip(bits).all(|(v, b)| v.to_bits() == *b);
        if !back.is_some_and(same) {
            return;
        }
        best.extend_from_slice(&bytes);
    }
    if best.len() < into.len() - start {
        into.truncate(start);
        into.extend_from_slice(&best);
    }
}

fn decode_floats(mut from: &[u8], count: usize) -> Option<Vec<u64>> {
    if count == 0 {
        return Some(Vec::new());
    }
    let (&tag, rest) = from.split_first()?;
    from = rest;
    let mut bits = Vec::new();
    match tag {
        0 => floats::decode(from, count, &mut bits)?,
        1 => bits.extend(pco_decode::<f64>(from, count)?.iter().map(|v| v.to_bits())),
        2 => {
            let (&exponent, rest) = from.split_first()?;
            from = rest;
            if exponent > floats::EXPONENT_LIMIT {
                return None;
            }
            let (mut at, mut exceptions) = (0usize, Vec::new());
            for _ in 0..take_varint(&mut from)? {
                at = at.checked_add(usize::try_from(take_varint(&mut from)?).ok()?)?;
                exceptions.push((at, take_word(&mut from)?));
                at += 1;
            }
            let whole = pco_decode::<i64>(from, count)?;
            bits.extend(whole.iter().map(|w| floats::unscale(*w, exponent).to_bits()));
            for (at, value) in exceptions {
                *bits.get_mut(at)? = value;
            }
        }
        _ => return None,
    }
    Some(bits)
}

/// The inverse of [`encode_column`]; `None` when the bytes are no such column.
pub(super) fn decode_column(mut from: &[u8], times: Arc<Vec<i64>>) -> Option<Loaded> {
    let count = times.len();
    let mut loaded = Loaded { times, ..Loaded::default() };
    let Some((&flags, rest)) = from.split_first() else {
        loaded.rows = Some(Vec::new());
        return Some(loaded);
    };
    from = rest;
    let mut floats = count;
    if flags & 1 != 0 {
        let rows = decode_runs(&mut from, count)?;
        floats = rows.len();
        loaded.rows = Some(rows);
    }
    if flags & 2 != 0 {
        let mut rows = decode_runs(&mut from, count)?.into_iter();
        let length = usize::try_from(take_varint(&mut from)?).ok()?;
        let mut run = take_bytes(&mut from, length)?;
        histograms::decode_run(&mut run, |histogram| {
            loaded.histograms.extend(rows.next().map(|row| (row, histogram)));
        })?;
    }
    loaded.bits = decode_floats(from, floats)?;
    Some(loaded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cell() -> impl Strategy<Value = Option<Cell>> {
        prop_oneof![
            2 => Just(None),
            4 => any::<u64>().prop_map(|bits| Some(Cell::Bits(bits))),
            8 => (0u32..3_000).prop_map(|v| Some(Cell::Bits((f64::from(v) / 1e3).to_bits()))),
            1 => Just(Some(Cell::Histogram(Arc::new(Histogram { count: 4.0, ..Histogram::default() })))),
        ]
    }

    fn spread(loaded: &Loaded) -> Vec<Option<Cell>> {
        let mut cells = vec![None; loaded.times.len()];
        let all: Vec<u32> = (0..loaded.times.len() as u32).collect();
        for (row, bits) in loaded.rows.as_ref().unwrap_or(&all).iter().zip(&loaded.bits) {
            cells[*row as usize] = Some(Cell::Bits(*bits));
        }
        for (row, histogram) in &loaded.histograms {
            cells[*row as usize] = Some(Cell::Histogram(Arc::clone(histogram)));
        }
        cells
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn every_bit_comes_back(
            cells in prop_oneof![
                proptest::collection::vec(cell(), 0..400),
                proptest::collection::vec(any::<u64>().prop_map(|b| Some(Cell::Bits(b))), 0..400),
                proptest::collection::vec((0u32..3_000).prop_map(|v| Some(Cell::Bits(f64::from(v).sqrt().to_bits()))), 0..400),
                proptest::collection::vec((0u32..3_000).prop_map(|v| Some(Cell::Bits((f64::from(v) / 1e3).to_bits()))), 0..400),
            ],
        ) {
            let mut bytes = Vec::new();
            encode_column(&cells, &mut bytes);
            let times = Arc::new((0..cells.len() as i64).collect::<Vec<_>>());
            let back = decode_column(&bytes, times).map(|loaded| spread(&loaded));
            prop_assert_eq!(back.map(|c| format!("{c:?}")), Some(format!("{cells:?}")));
        }

        #[test]
        fn times_come_back(steps in proptest::collection::vec(1i64..100_000, 1..400), first in any::<i32>()) {
            let mut at = i64::from(first);
            let times: Vec<i64> = steps.iter().map(|step| { at += step; at }).collect();
            let mut bytes = Vec::new();
            encode_times(&times, &mut bytes);
            prop_assert_eq!(decode_times(&bytes, times.len()), Some(times));
        }

        #[test]
        fn any_times_come_back(times in proptest::collection::btree_set(any::<i64>(), 1..200)) {
            let ends = [i64::MIN, i64::MAX];
            let times: std::collections::BTreeSet<i64> = times.into_iter().chain(ends).collect();
            let times: Vec<i64> = times.into_iter().collect();
            let mut bytes = Vec::new();
            encode_times(&times, &mut bytes);
            prop_assert_eq!(decode_times(&bytes, times.len()), Some(times));
        }

        #[test]
        fn damaged_bytes_never_panic(
            flags in 0u8..4, bytes in proptest::collection::vec(any::<u8>(), 0..100), count in 0usize..500,
            cut in 0usize..400, flip in any::<u8>(),
        ) {
            let times = Arc::new((0..count as i64).collect::<Vec<_>>());
            let _ = decode_times(&bytes, count);
            let _ = decode_column(&[&[flags][..], &bytes[..]].concat(), Arc::clone(&times));
            // Nearly right is the harder case.
            let cells: Vec<_> = (0..count).map(|n| Some(Cell::Bits((n as f64).sqrt().to_bits()))).collect();
            let mut right = Vec::new();
            encode_column(&cells, &mut right);
            if let Some(byte) = right.get_mut(cut) {
                *byte ^= flip;
            }
            let _ = decode_column(&right, times);
        }
    }
}
