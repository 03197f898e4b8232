//! The first encoding of the tail's rows: files of format 1 hold it until they are sealed.
//!
//! For each batch: shape (varint), time minus the time of the shape's batch before (zigzag varint,
//! milliseconds), flags (bit 0 = histograms follow), a bitmap of the columns whose bits are not those
//! of the batch before, for each of these the XOR of the two ([`deltas::take_xor`]); with bit 0 the
//! histograms as in [`super::tail`].

use std::sync::Arc;

use super::bits::{take_bytes, take_varint, unzigzag};
use super::deltas;
use super::tail::{KnownShape, take_histograms};
use crate::model::{Batch, Point, Row, Timestamp, is_stale};

/// Takes one batch off the front. `shape` finds a shape by number.
pub(super) fn decode<'s>(
    from: &mut &[u8],
    era: u64,
    shape: impl FnOnce(u64) -> Option<&'s mut KnownShape>,
) -> Option<Batch> {
    let KnownShape { source, labels, base } = shape(take_varint(from)?)?;
    base.enter(era, labels.len());
    let at = base.at.unwrap_or(0).wrapping_add(unzigzag(take_varint(from)?));
    base.at = Some(at);
    let (&flags, rest) = from.split_first()?;
    *from = rest;
    let map = take_bytes(from, labels.len().div_ceil(8))?;
    let mut batch = Batch::new(Arc::clone(source), Timestamp::from_millis(at));
    batch.rows.reserve(labels.len());
    for (column, labels) in labels.iter().enumerate() {
        if map[column / 8] >> (column % 8) & 1 == 1 {
            let (&sizes, rest) = from.split_first()?;
            *from = rest;
            let bits = deltas::take_xor(base.columns.bits(column), sizes, from)?;
            base.columns.set(column, bits);
        }
        let value = f64::from_bits(base.columns.bits(column));
        let point = if is_stale(value) { Point::Stale } else { Point::Float(value) };
        batch.rows.push(Row { labels: labels.clone(), point });
    }
    if flags & 1 != 0 {
        take_histograms(from, &mut batch)?;
    }
    Some(batch)
}
