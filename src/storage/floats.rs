//! A short run of floats, bit for bit: constant, decimal (whole numbers after scaling by a power
//! of ten) or XOR of neighbours, whichever fits.
//!
//! Layout: kind, then
//! - 0 constant whole number: zigzag varint
//! - 1 constant: 8 bytes, the bits little endian
//! - 2 XOR: 64 bits of the first value; then for each value, XORed with the one before: bit `0` =
//!   the same; `1 0` + significant bits in the last window; `1 1` + 5 bits leading zeros (at most
//!   31) + 6 bits count−1 of significant bits + the bits
//! - 3 decimal: exponent (one byte, 0–9), number of exceptions (varint), for each exception the gap
//!   to the one before (varint) and 8 bytes, then the scaled whole numbers ([`super::integers`])

use super::bits::{BitReader, BitWriter, put_varint, take_varint, take_word, unzigzag, zigzag};
use super::integers;

const WHOLE: u8 = 0;
const CONSTANT: u8 = 1;
const XOR: u8 = 2;
const DECIMAL: u8 = 3;

const POWERS: [f64; 10] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
/// Whole numbers below are exact in a float.
const EXACT: u64 = 1 << 53;

/// Buffers that encoding needs; reuse them.
#[derive(Default)]
pub(super) struct Scratch {
    scaled: Vec<i64>,
    exceptions: Vec<usize>,
}

/// Appends the code of `bits` (floats as bits); the count, which must not be 0, is the caller's to
/// remember.
pub(super) fn encode(bits: &[u64], scratch: &mut Scratch, into: &mut Vec<u8>) {
    let first = bits[0];
    if bits.iter().all(|b| *b == first) {
        match scaled(f64::from_bits(first), 0) {
            Some(whole) => {
                into.push(WHOLE);
                put_varint(into, zigzag(whole));
            }
            None => {
                into.push(CONSTANT);
                into.extend_from_slice(&first.to_le_bytes());
            }
        }
    } else if let Some(exponent) = decimal(bits, scratch) {
        into.push(DECIMAL);
        into.push(exponent);
        put_varint(into, scratch.exceptions.len() as u64);
        let mut next = 0;
        for &at in &scratch.exceptions {
            put_varint(into, (at - next) as u64);
            into.extend_from_slice(&bits[at].to_le_bytes());
            next = at + 1;
        }
        integers::encode(&scratch.scaled, into);
    } else {
        into.push(XOR);
        encode_xor(bits, into);
    }
}

/// `value * 10^exponent` where dividing again gives the very same bits.
#[inline]
pub(super) fn scaled(value: f64, exponent: u8) -> Option<i64> {
    let power = POWERS[exponent as usize];
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    {
        let whole = (value * power).round() as i64;
        // Through the integer and back, so that −0 is told from 0.
        let exact = whole.unsigned_abs() < EXACT;
        (exact && (whole as f64 / power).to_bits() == value.to_bits()).then_some(whole)
    }
}

/// Finds the smallest power of ten that makes nearly all values whole, and scales them. Values that
/// do not fit (NaN, −0, noise) become exceptions, at most one in 16.
pub(super) fn scale(bits: &[u64], into: &mut Vec<i64>, exceptions: &mut Vec<usize>) -> Option<u8> {
    let limit = 1 + bits.len() / 16;
    let (mut exponent, mut misfits) = (0u8, 0);
    for &b in bits {
        let value = f64::from_bits(b);
        if scaled(value, exponent).is_some() {
            continue;
        }
        match (exponent + 1..10).find(|e| scaled(value, *e).is_some()) {
            Some(finer) => exponent = finer,
            None => misfits += 1,
        }
        if misfits > limit {
            return None;
        }
    }
    into.clear();
    exceptions.clear();
    let mut last = 0;
    for (at, &b) in bits.iter().enumerate() {
        match scaled(f64::from_bits(b), exponent) {
            Some(whole) => last = whole,
            None => exceptions.push(at),
        }
        into.push(last);
    }
    (exceptions.len() <= limit).then_some(exponent)
}

fn decimal(bits: &[u64], scratch: &mut Scratch) -> Option<u8> {
    scale(bits, &mut scratch.scaled, &mut scratch.exceptions)
}

/// The inverse of one value of [`scale`].
#[inline]
pub(super) fn unscale(whole: i64, exponent: u8) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let value = whole as f64;
    value / POWERS[exponent as usize]
}

/// The greatest exponent that [`scale`] gives.
pub(super) const EXPONENT_LIMIT: u8 = 9;

fn encode_xor(bits: &[u64], into: &mut Vec<u8>) {
    let mut writer = BitWriter::new(into);
    let mut last = bits[0];
    writer.put(last, 64);
    let (mut leading, mut trailing) = (u32::MAX, 0);
    for &next in &bits[1..] {
        let difference = next ^ last;
        last = next;
        if difference == 0 {
            writer.put(0, 1);
            continue;
        }
        let (lead, trail) = (difference.leading_zeros().min(31), difference.trailing_zeros());
        if leading != u32::MAX && lead >= leading && trail >= trailing {
            writer.put(0b01, 2);
            writer.put(difference >> trailing, 64 - leading - trailing);
        } else {
            (leading, trailing) = (lead, trail);
            let count = 64 - lead - trail;
            writer.put(0b11, 2);
            writer.put(u64::from(lead), 5);
            writer.put(u64::from(count - 1), 6);
            writer.put(difference >> trail, count);
        }
    }
    writer.finish();
}

fn decode_xor(from: &[u8], count: usize, into: &mut Vec<u64>) -> Option<()> {
    let mut reader = BitReader::new(from);
    let mut last = reader.get(64)?;
    into.push(last);
    let mut window = None;
    for _ in 1..count {
        if reader.get(1)? == 1 {
            if reader.get(1)? == 1 {
                let lead = reader.get(5)? as u32;
                let significant = reader.get(6)? as u32 + 1;
                window = Some((64u32.checked_sub(lead + significant)?, significant));
            }
            let (shift, significant) = window?;
            last ^= reader.get(significant)? << shift;
        }
        into.push(last);
    }
    Some(())
}

/// Appends the `count` values to `into`. `None` when the bytes are no such code; `into` then holds
/// anything, never more than `count` more than before.
pub(super) fn decode(mut from: &[u8], count: usize, into: &mut Vec<u64>) -> Option<()> {
    if count == 0 {
        return Some(());
    }
    let (&kind, rest) = from.split_first()?;
    from = rest;
    match kind {
        WHOLE => {
            let value = unscale(unzigzag(take_varint(&mut from)?), 0);
            into.resize(into.len() + count, value.to_bits());
        }
        CONSTANT => {
            let value = take_word(&mut from)?;
            into.resize(into.len() + count, value);
        }
        XOR => decode_xor(from, count, into)?,
        DECIMAL => {
            let (&exponent, rest) = from.split_first()?;
            from = rest;
            if exponent > EXPONENT_LIMIT {
                return None;
            }
            let exceptions = take_varint(&mut from)?;
            let mut listed = from;
            for _ in 0..exceptions {
                take_varint(&mut from)?;
                take_word(&mut from)?;
            }
            // A block of 64 numbers has two bytes at least: no room for what cannot be there.
            if from.len() < 2 * (count - 1).div_ceil(64) {
                return None;
            }
            let start = into.len();
            into.resize(start + count, 0);
            let mut places = into[start..].iter_mut();
            let mut put = |value: f64| {
                if let Some(place) = places.next() {
                    *place = value.to_bits();
                }
            };
            if exponent == 0 {
                // Without the division, which takes longer than all the rest.
                #[allow(clippy::cast_precision_loss)]
                integers::decode(&mut from, count, |whole| put(whole as f64))?;
            } else {
                integers::decode(&mut from, count, |whole| put(unscale(whole, exponent)))?;
            }
            let mut at = start;
            for _ in 0..exceptions {
                at = at.checked_add(usize::try_from(take_varint(&mut listed)?).ok()?)?;
                *into.get_mut(at)? = take_word(&mut listed)?;
                at += 1;
            }
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::STALE_BITS;
    use proptest::prelude::*;

    fn code(bits: &[u64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(bits, &mut Scratch::default(), &mut bytes);
        bytes
    }

    fn there_and_back(bits: &[u64]) -> Option<Vec<u64>> {
        let mut back = Vec::new();
        decode(&code(bits), bits.len(), &mut back)?;
        Some(back)
    }

    /// Values as they occur, and as they should not.
    fn value() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            (0i64..5).prop_map(|v| (v as f64).to_bits()),
            (0i64..1_000_000).prop_map(|v| (v as f64 / 1e6).to_bits()),
            (-500i64..500).prop_map(|v| (v as f64 / 10.0).to_bits()),
            Just(STALE_BITS),
            Just(f64::NAN.to_bits()),
            Just((-0.0f64).to_bits()),
            Just(f64::MIN_POSITIVE.to_bits() >> 3),
            Just(f64::INFINITY.to_bits()),
            Just(u64::MAX),
        ]
    }

    proptest! {
        #[test]
        fn every_bit_comes_back(bits in proptest::collection::vec(value(), 1..300)) {
            prop_assert_eq!(there_and_back(&bits), Some(bits));
        }

        #[test]
        fn decimals_with_a_few_oddities_come_back(
            mut bits in proptest::collection::vec((0i64..2_000_000).prop_map(|v| (v as f64 / 1e6).to_bits()), 40..300),
            at in 0usize..40, odd in value(),
        ) {
            bits[at] = odd;
            let bytes = code(&bits);
            prop_assert_eq!(bytes[0], DECIMAL);
            prop_assert_eq!(there_and_back(&bits), Some(bits));
        }

        #[test]
        fn damaged_bytes_never_panic(kind in 0u8..5, bytes in proptest::collection::vec(any::<u8>(), 0..100), count in 0usize..500) {
            let mut into = Vec::new();
            let _ = decode(&[&[kind][..], &bytes[..]].concat(), count, &mut into);
            prop_assert!(into.len() <= count);
        }
    }

    #[test]
    fn each_kind_of_data_finds_its_code() {
        let flags = [1.0f64.to_bits(); 240];
        assert_eq!(code(&flags).len(), 2);
        let latency: Vec<u64> =
            (0..240u64).map(|n| ((20_000 + n * 7919 % 4_000) as f64 / 1e6).to_bits()).collect();
        assert!(code(&latency).len() < 240 * 2, "{}", code(&latency).len());
        let noise: Vec<u64> = (0..240u64).map(|n| (n as f64).sqrt().to_bits()).collect();
        assert_eq!(code(&noise)[0], XOR);
    }
}
