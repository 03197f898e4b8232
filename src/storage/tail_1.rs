//! The first encoding of the tail's rows: files of format 1 hold it until they are sealed.
//!
//! For each batch: shape (varint), time minus the time of the shape's batch before (zigzag varint,
//! milliseconds), flags (bit 0 = histograms follow), a bitmap of the columns whose bits are not those
//! of the batch before, for each of these the XOR of the two ([`deltas::take_xor`]); with bit 0 the
//! histograms as in [`super::tail`].

use super::bits::{take_bytes, take_varint, unzigzag};
use super::deltas;
use super::tail::KnownShape;

/// Takes one batch off the front; it is in the shape then. `shape` finds a shape by number.
pub(super) fn decode<'s>(
    from: &mut &[u8],
    era: u64,
    shape: impl FnOnce(u64) -> Option<&'s mut KnownShape>,
) -> Option<&'s mut KnownShape> {
    let known = shape(take_varint(from)?)?;
    let width = known.next(era);
    let base = &mut known.base;
    let at = base.at.unwrap_or(0).wrapping_add(unzigzag(take_varint(from)?));
    base.at = Some(at);
    let (&flags, rest) = from.split_first()?;
    *from = rest;
    let map = take_bytes(from, width.div_ceil(8))?;
    for column in 0..width {
        if map[column / 8] >> (column % 8) & 1 == 1 {
            let (&sizes, rest) = from.split_first()?;
            *from = rest;
            let bits = deltas::take_xor(base.columns.bits(column), sizes, from)?;
            base.columns.set(column, bits);
        }
    }
    if flags & 1 != 0 {
        known.take_histograms(from)?;
    }
    Some(known)
}
