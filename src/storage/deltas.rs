//! A value against the one before in the same column, in as few bytes as whole bytes can be: most
//! probes yield decimals (microseconds, tenths of a degree), and their steps are small numbers.
//!
//! A column has an exponent, 0 at first. A code is
//! - a varint that is not 0: zigzag of the step from the value before, both scaled by ten to the
//!   power of the exponent (a value before that cannot be scaled counts as 0)
//! - `0`, `0xE0` + exponent: the column's exponent from now on, and then zigzag of the step (varint,
//!   may be 0)
//! - `0`, `0xF0`: the staleness marker
//! - `0`, any other byte: XOR ([`take_xor`]); the column has no exponent from now on, and each code
//!   is such a byte and what follows it

use super::bits::{put_varint, take_bytes, take_varint, unzigzag, zigzag};
use super::floats::{EXPONENT_LIMIT, scaled, unscale};
use crate::model::STALE_BITS;

/// Mark of a new exponent.
const EXPONENT: u8 = 0xe0;
/// Mark of staleness.
const STALE: u8 = 0xf0;
/// A column without an exponent.
const NOISE: u8 = u8::MAX;

/// What is remembered about all columns of a shape.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns {
    bits: Vec<u64>,
    exponents: Vec<u8>,
}

impl Columns {
    pub(super) fn clear(&mut self) {
        self.bits.clear();
        self.exponents.clear();
    }

    pub(super) fn resize(&mut self, width: usize) {
        self.bits.resize(width, 0);
        self.exponents.resize(width, 0);
    }

    /// The last value of a column.
    pub(super) fn bits(&self, column: usize) -> u64 {
        self.bits[column]
    }

    /// The last values of all columns.
    pub(super) fn all(&self) -> &[u64] {
        &self.bits
    }

    /// Sets the last value of a column.
    pub(super) fn set(&mut self, column: usize, bits: u64) {
        self.bits[column] = bits;
    }

    fn before(&self, column: usize, exponent: u8) -> i64 {
        scaled(f64::from_bits(self.bits[column]), exponent).unwrap_or(0)
    }

    /// Appends the code of a value that is not the last one.
    pub(super) fn encode(&mut self, column: usize, bits: u64, into: &mut Vec<u8>) {
        self.write(column, bits, into);
        self.bits[column] = bits;
    }

    fn write(&mut self, column: usize, bits: u64, into: &mut Vec<u8>) {
        let (exponent, value) = (self.exponents[column], f64::from_bits(bits));
        if exponent == NOISE {
            put_xor(self.bits[column] ^ bits, into);
            return;
        }
        if let Some(whole) = scaled(value, exponent) {
            // Both are below 2^53.
            let step = zigzag(whole - self.before(column, exponent));
            if step != 0 {
                put_varint(into, step);
                return;
            }
        }
        into.push(0);
        if bits == STALE_BITS {
            into.push(STALE);
            return;
        }
        for exponent in 0..=EXPONENT_LIMIT {
            if let Some(whole) = scaled(value, exponent) {
                into.push(EXPONENT | exponent);
                put_varint(into, zigzag(whole - self.before(column, exponent)));
                self.exponents[column] = exponent;
                return;
            }
        }
        put_xor(self.bits[column] ^ bits, into);
        self.exponents[column] = NOISE;
    }

    /// Takes the next value of a column; the inverse of [`Columns::encode`].
    pub(super) fn decode(&mut self, column: usize, from: &mut &[u8]) -> Option<()> {
        let exponent = self.exponents[column];
        self.bits[column] = if exponent == NOISE {
            let sizes = take_byte(from)?;
            take_xor(self.bits[column], sizes, from)?
        } else {
            match take_varint(from)? {
                0 => match take_byte(from)? {
                    STALE => STALE_BITS,
                    mark if mark & EXPONENT == EXPONENT => {
                        let exponent = mark & !EXPONENT;
                        if exponent > EXPONENT_LIMIT {
                            return None;
                        }
                        self.exponents[column] = exponent;
                        self.stepped(column, exponent, take_varint(from)?)
                    }
                    sizes => {
                        self.exponents[column] = NOISE;
                        take_xor(self.bits[column], sizes, from)?
                    }
                },
                step => self.stepped(column, exponent, step),
            }
        };
        Some(())
    }

    /// Passes over the next value of a column. Takes the same bytes as [`Columns::decode`] and refuses
    /// the same; the last value of the column stays what it was.
    #[inline]
    pub(super) fn pass(&mut self, column: usize, from: &mut &[u8]) -> Option<()> {
        let exponent = &mut self.exponents[column];
        if *exponent == NOISE {
            let sizes = take_byte(from)?;
            return take_xor(0, sizes, from).map(|_| ());
        }
        // Most steps are of one or two bytes.
        match *from {
            [1..0x80, rest @ ..] | [0x80..=0xff, 1..0x80, rest @ ..] => {
                *from = rest;
                return Some(());
            }
            _ => {}
        }
        if take_varint(from)? != 0 {
            return Some(());
        }
        match take_byte(from)? {
            STALE => {}
            mark if mark & EXPONENT == EXPONENT => {
                *exponent = mark & !EXPONENT;
                if *exponent > EXPONENT_LIMIT {
                    return None;
                }
                take_varint(from)?;
            }
            sizes => {
                *exponent = NOISE;
                take_xor(0, sizes, from)?;
            }
        }
        Some(())
    }

    fn stepped(&self, column: usize, exponent: u8, step: u64) -> u64 {
        let whole = self.before(column, exponent).wrapping_add(unzigzag(step));
        unscale(whole, exponent).to_bits()
    }
}

fn take_byte(from: &mut &[u8]) -> Option<u8> {
    let (&byte, rest) = from.split_first()?;
    *from = rest;
    Some(byte)
}

/// One byte (upper half: zero bytes at the top, lower half: at the bottom) and the bytes between.
fn put_xor(difference: u64, into: &mut Vec<u8>) {
    let zeros = |count: u32| (count as usize / 8).min(7);
    let top = zeros(difference.leading_zeros());
    let bottom = zeros(difference.trailing_zeros()).min(7 - top);
    into.push((top << 4 | bottom) as u8);
    into.extend_from_slice(&difference.to_le_bytes()[bottom..8 - top]);
}

/// The value that differs from the one before by what follows `sizes`.
pub(super) fn take_xor(before: u64, sizes: u8, from: &mut &[u8]) -> Option<u64> {
    let (top, bottom) = (usize::from(sizes >> 4), usize::from(sizes & 15));
    let length = 8usize.checked_sub(top + bottom)?;
    let mut word = [0; 8];
    word[bottom..bottom + length].copy_from_slice(take_bytes(from, length)?);
    Some(before ^ u64::from_le_bytes(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = u64> {
        prop_oneof![
            any::<u64>(),
            (-9_000i32..9_000, 0i32..12)
                .prop_map(|(v, e)| (f64::from(v) / 10f64.powi(e)).to_bits()),
            (0u64..1 << 54).prop_map(|v| (v as f64).to_bits()),
            proptest::sample::select(vec![
                0,
                STALE_BITS,
                (-0.0f64).to_bits(),
                f64::NAN.to_bits(),
                f64::INFINITY.to_bits(),
                f64::MIN.to_bits(),
                1,
            ]),
        ]
    }

    proptest! {
        #[test]
        fn every_bit_comes_back(values in proptest::collection::vec((0usize..2, value()), 1..60)) {
            let (mut writer, mut reader) = (Columns::default(), Columns::default());
            writer.resize(2);
            reader.resize(2);
            for (column, bits) in values {
                let mut bytes = Vec::new();
                if bits != writer.bits(column) {
                    writer.encode(column, bits, &mut bytes);
                    prop_assert!(bytes.len() <= 11);
                    let mut from = &bytes[..];
                    prop_assert_eq!(reader.decode(column, &mut from), Some(()));
                    prop_assert!(from.is_empty());
                }
                prop_assert_eq!(reader.bits(column), bits);
            }
        }

        #[test]
        fn damaged_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut columns = Columns::default();
            columns.resize(1);
            let mut from = &bytes[..];
            while columns.decode(0, &mut from).is_some() {}
        }

        /// Passing over takes what decoding takes, of right bytes and of wrong ones.
        #[test]
        fn passing_over_is_as_strict(
            values in proptest::collection::vec(value(), 0..20),
            bytes in proptest::collection::vec(
                prop_oneof![
                    any::<u8>(),
                    proptest::sample::select(vec![0u8, 1, 0x7f, 0x80, 0xe0, 0xe3, 0xea, STALE]),
                ],
                0..60,
            ),
        ) {
            let (mut writer, mut code) = (Columns::default(), Vec::new());
            writer.resize(1);
            for bits in values {
                if bits != writer.bits(0) {
                    writer.encode(0, bits, &mut code);
                }
            }
            for bytes in [code, bytes] {
                let (mut decoding, mut passing) = (Columns::default(), Columns::default());
                decoding.resize(1);
                passing.resize(1);
                let (mut from, mut beside) = (&bytes[..], &bytes[..]);
                loop {
                    let decoded = decoding.decode(0, &mut from);
                    prop_assert_eq!(passing.pass(0, &mut beside), decoded);
                    if decoded.is_none() {
                        break;
                    }
                    prop_assert_eq!(from, beside);
                    prop_assert_eq!(&decoding.exponents, &passing.exponents);
                }
            }
        }
    }

    #[test]
    fn steps_of_decimals_are_short() {
        let mut columns = Columns::default();
        columns.resize(1);
        let mut bytes = Vec::new();
        columns.encode(0, 0.018_123f64.to_bits(), &mut bytes);
        bytes.clear();
        columns.encode(0, 0.019_999f64.to_bits(), &mut bytes);
        assert_eq!(bytes.len(), 2);
    }
}
