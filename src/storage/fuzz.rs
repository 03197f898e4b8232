//! Every decoder of this room behind one door, for fuzzing.

use std::io;
use std::sync::Arc;

use super::disk::{Disk, Draft, Stored};
use super::segment::Directory;
use super::tail::{self, KnownShape, Packed, ShapeReader};
use super::{deltas, exact_text, floats, histograms, integers, piece, tail_1};
use crate::model::Labels;

/// Most rows that a guess may ask for, so that a run stays quick.
const ROWS: usize = 4_096;

/// Gives foreign bytes to the decoder that the first byte chooses. None may panic, or take more
/// memory than its documented limit.
#[doc(hidden)]
pub fn decode_anything(bytes: &[u8]) {
    let Some(([choice, low, high], rest)) = bytes.split_first_chunk::<3>() else { return };
    let count = usize::from(u16::from_le_bytes([*low, *high])) % ROWS;
    match choice % 10 {
        0 => drop(integers::decode(&mut &rest[..], count, |_| {})),
        1 if count > 0 => drop(floats::decode(rest, count, &mut Vec::new())),
        2 => drop(histograms::decode_run(&mut &rest[..], |_| {})),
        3 => drop(piece::decode_times(rest, count)),
        4 => drop(piece::decode_column(rest, Arc::new((0..count as i64).collect()))),
        5 => tail_of(rest, count),
        6 => drop(std::str::from_utf8(rest).map(exact_text::read)),
        7 => segment(rest),
        8 => tail_1_of(rest, count),
        _ => steps(rest),
    }
}

fn shape_of(count: usize) -> KnownShape {
    let labels = vec![Labels::empty(); count % 64];
    KnownShape::new(7, "s".into(), labels)
}

fn tail_of(bytes: &[u8], count: usize) {
    drop(ShapeReader::default().read(bytes));
    let mut known = shape_of(count);
    let (mut from, mut passed, mut floats) = (bytes, Vec::new(), true);
    while !from.is_empty() && tail::decode(&mut from, 0, |_| Some(&mut known)).is_some() {
        floats &= known.packed().map(|code| passed.extend_from_slice(code)).is_some();
        if !floats {
            known.unpack(&passed);
        }
    }
    let passed = Packed { width: known.labels.len(), bytes: passed.into() };
    assert!(passed.each(|_, _| {}).is_some(), "what was passed over can be decoded");
}

fn tail_1_of(bytes: &[u8], count: usize) {
    let mut known = shape_of(count);
    let mut from = bytes;
    while !from.is_empty() && tail_1::decode(&mut from, 0, |_| Some(&mut known)).is_some() {}
}

fn steps(mut from: &[u8]) {
    let mut columns = deltas::Columns::default();
    columns.resize(1);
    while columns.decode(0, &mut from).is_some() {}
}

/// Opens a segment and loads each of its columns.
fn segment(bytes: &[u8]) {
    let Ok(directory) = Directory::open(&OneFile(bytes.into()), "any") else { return };
    for column in &directory.columns {
        if directory.frames[column.frame as usize].rows as usize <= ROWS
            && let Ok(times) = directory.times(column.frame)
        {
            drop(directory.load(column, times));
        }
    }
}

/// A folder with one file.
struct OneFile(Arc<[u8]>);

impl Disk for OneFile {
    fn create(&self, _: &str) -> io::Result<Box<dyn Draft>> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
    fn publish(&self, _: &str, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
    fn open(&self, _: &str) -> io::Result<Arc<dyn Stored>> {
        Ok(Arc::new(OneFile(Arc::clone(&self.0))))
    }
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(vec!["any".to_owned()])
    }
    fn remove(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

impl Stored for OneFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(offset).map_err(io::Error::other)?;
        let end = from.checked_add(into.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        into.copy_from_slice(self.0.get(from..end).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEGMENT: &[u8] =
        include_bytes!("../../tests/fixtures/storage-1/segments/0000000000-0000000000.seg");

    proptest! {
        #[test]
        fn no_decoder_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            decode_anything(&bytes);
        }

        /// Nearly right is the harder case: a sound segment with a few bytes changed, its checks
        /// made right again where they can be.
        #[test]
        fn a_damaged_segment_never_panics(
            changes in proptest::collection::vec((0..SEGMENT.len(), any::<u8>()), 0..4),
        ) {
            let mut bytes = [&[7, 0, 0][..], SEGMENT].concat();
            for (at, value) in changes {
                bytes[3 + at] = value;
            }
            let size = bytes.len();
            let start = size - 44;
            let offset = u64::from_le_bytes(bytes[start..start + 8].try_into().unwrap()) as usize;
            if let Some(directory) = bytes.get(offset.saturating_add(3)..start) {
                let check = xxhash_rust::xxh3::xxh3_64(directory);
                bytes[start + 24..start + 32].copy_from_slice(&check.to_le_bytes());
            }
            decode_anything(&bytes);
        }
    }
}
