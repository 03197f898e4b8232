//! Whole numbers: differences where they help, in blocks of 64 with a base and a bit width each, so
//! that one outlier costs its own block and not the column.
//!
//! Layout: mode (0 values, 1 differences; then the first value as zigzag varint), then for each
//! block of up to 64 numbers: base (zigzag varint), width (one byte, 0–64), the numbers minus the
//! base, `width` bits each, padded to a byte.

use super::bits::{
    BitReader, BitWriter, put_varint, take_bytes, take_varint, unzigzag, word_at, zigzag,
};

const BLOCK: usize = 64;

/// Appends the code of `values`; the count is the caller's to remember. All arithmetic wraps, so
/// that the extremes are numbers like any other.
pub(super) fn encode(values: &[i64], into: &mut Vec<u8>) {
    let Some(&first) = values.first() else { return };
    let mut block = [0i64; BLOCK];
    let differences = || values.windows(2).map(|w| w[1].wrapping_sub(w[0]));
    if cost(values.iter().copied(), &mut block) <= cost(differences(), &mut block) {
        into.push(0);
        encode_blocks(values.iter().copied(), &mut block, into);
    } else {
        into.push(1);
        put_varint(into, zigzag(first));
        encode_blocks(differences(), &mut block, into);
    }
}

fn fill(from: &mut impl Iterator<Item = i64>, block: &mut [i64; BLOCK]) -> usize {
    let mut filled = 0;
    for (place, value) in block.iter_mut().zip(from) {
        *place = value;
        filled += 1;
    }
    filled
}

fn base_and_width(block: &[i64]) -> (i64, u32) {
    let base = block.iter().copied().min().unwrap_or(0);
    let top = block.iter().copied().max().unwrap_or(0);
    (base, 64 - (top.wrapping_sub(base) as u64).leading_zeros())
}

/// Estimated bytes.
fn cost(mut from: impl Iterator<Item = i64>, block: &mut [i64; BLOCK]) -> usize {
    let mut bytes = 0;
    loop {
        let filled = fill(&mut from, block);
        if filled == 0 {
            return bytes;
        }
        let (base, width) = base_and_width(&block[..filled]);
        let base_bits = 64 - zigzag(base).leading_zeros() as usize;
        bytes += 2 + base_bits / 7 + (filled * width as usize).div_ceil(8);
    }
}

fn encode_blocks(
    mut from: impl Iterator<Item = i64>,
    block: &mut [i64; BLOCK],
    into: &mut Vec<u8>,
) {
    loop {
        let filled = fill(&mut from, block);
        if filled == 0 {
            return;
        }
        let (base, width) = base_and_width(&block[..filled]);
        put_varint(into, zigzag(base));
        into.push(width as u8);
        let mut bits = BitWriter::new(into);
        for value in &block[..filled] {
            bits.put(value.wrapping_sub(base) as u64, width);
        }
        bits.finish();
    }
}

/// Takes `count` numbers off the front of `from` and gives each to `each`. `None` when the bytes
/// are no such code.
pub(super) fn decode(from: &mut &[u8], count: usize, mut each: impl FnMut(i64)) -> Option<()> {
    if count == 0 {
        return Some(());
    }
    let (&mode, rest) = from.split_first()?;
    *from = rest;
    match mode {
        0 => decode_blocks(from, count, each),
        1 => {
            let mut last = unzigzag(take_varint(from)?);
            each(last);
            decode_blocks(from, count - 1, |difference| {
                last = last.wrapping_add(difference);
                each(last);
            })
        }
        _ => None,
    }
}

fn decode_blocks(from: &mut &[u8], mut count: usize, mut each: impl FnMut(i64)) -> Option<()> {
    while count > 0 {
        let base = unzigzag(take_varint(from)?);
        let (&width, mut rest) = from.split_first()?;
        if width > 64 {
            return None;
        }
        let filled = count.min(BLOCK);
        let numbers = take_bytes(&mut rest, (filled * usize::from(width)).div_ceil(8))?;
        unpack(numbers, u32::from(width), filled, |number| each(base.wrapping_add(number as i64)))?;
        *from = rest;
        count -= filled;
    }
    Some(())
}

/// Gives the first `count` numbers of `width` bits each.
#[inline]
fn unpack(from: &[u8], width: u32, count: usize, mut each: impl FnMut(u64)) -> Option<()> {
    /// A word at any bit of a byte holds so many bits of a number for certain.
    const WIDEST: u32 = 57;
    if width > WIDEST {
        let mut bits = BitReader::new(from);
        return (0..count).try_for_each(|_| bits.get(width).map(&mut each));
    }
    let mask = (1 << width) - 1;
    let places = (0..count).map(|number| number * width as usize);
    let Some(last) = from.len().checked_sub(8) else {
        let word = word_at(from, 0);
        places.for_each(|at| each(word >> at & mask));
        return Some(());
    };
    for at in places {
        // At the end, the last word: there is no word behind that begins with the number.
        let byte = (at / 8).min(last);
        each(word_at(from, byte) >> (at - 8 * byte) & mask);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn there_and_back(values: &[i64]) -> Option<Vec<i64>> {
        let mut bytes = Vec::new();
        encode(values, &mut bytes);
        let (mut back, mut rest) = (Vec::new(), &bytes[..]);
        decode(&mut rest, values.len(), |v| back.push(v))?;
        rest.is_empty().then_some(back)
    }

    #[test]
    fn extremes_are_numbers_too() {
        for values in [vec![], vec![i64::MIN], vec![i64::MIN, i64::MAX, 0, -1, i64::MIN]] {
            assert_eq!(there_and_back(&values), Some(values));
        }
    }

    #[test]
    fn a_steady_clock_costs_next_to_nothing() {
        let times: Vec<i64> = (0..240).map(|n| 1_780_000_000_000 + n * 15_000).collect();
        let mut bytes = Vec::new();
        encode(&times, &mut bytes);
        assert!(bytes.len() < 30, "{}", bytes.len());
    }

    proptest! {
        #[test]
        fn numbers_come_back(values in proptest::collection::vec(any::<i64>(), 0..300), shift in 0u32..64) {
            let values: Vec<i64> = values.into_iter().map(|v| v >> shift).collect();
            prop_assert_eq!(there_and_back(&values), Some(values));
        }

        #[test]
        fn damaged_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100), count in 0usize..500) {
            let mut seen = 0;
            let _ = decode(&mut &bytes[..], count, |_| seen += 1);
            prop_assert!(seen <= count);
        }
    }
}
