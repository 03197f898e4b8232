//! Bit strings, least significant bit first, and LEB128 integers: what every codec here is made of.

/// Appends bits to a byte vector.
pub(super) struct BitWriter<'a> {
    into: &'a mut Vec<u8>,
    pending: u64,
    used: u32,
}

impl<'a> BitWriter<'a> {
    /// Starts at a byte border behind what is there.
    pub(super) fn new(into: &'a mut Vec<u8>) -> Self {
        Self { into, pending: 0, used: 0 }
    }

    /// Appends the lowest `count` (0–64) bits of `value`; the others must be zero.
    #[inline]
    pub(super) fn put(&mut self, value: u64, count: u32) {
        if count == 0 {
            return;
        }
        self.pending |= value << self.used;
        let total = self.used + count;
        if total < 64 {
            self.used = total;
            return;
        }
        self.into.extend_from_slice(&self.pending.to_le_bytes());
        self.used = total - 64;
        self.pending = if self.used == 0 { 0 } else { value >> (count - self.used) };
    }

    /// Pads with zero bits to the byte border.
    pub(super) fn finish(self) {
        let bytes = self.used.div_ceil(8) as usize;
        self.into.extend_from_slice(&self.pending.to_le_bytes()[..bytes]);
    }
}

/// Takes bits from bytes. Behind the end there is nothing: `None`.
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next `count` (0–64) bits.
    #[inline]
    pub(super) fn get(&mut self, count: u32) -> Option<u64> {
        if count == 0 {
            return Some(0);
        }
        let end = self.at + count as usize;
        if end > self.bytes.len() * 8 {
            return None;
        }
        let (byte, shift) = (self.at / 8, (self.at % 8) as u32);
        self.at = end;
        let mut value = word_at(self.bytes, byte) >> shift;
        if shift + count > 64 {
            value |= u64::from(self.bytes[byte + 8]) << (64 - shift);
        }
        Some(if count == 64 { value } else { value & ((1 << count) - 1) })
    }
}

/// Eight bytes from `at`, zeros behind the end.
#[inline]
pub(super) fn word_at(bytes: &[u8], at: usize) -> u64 {
    if let Some(whole) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        return u64::from_le_bytes(*whole);
    }
    let mut word = [0; 8];
    let rest = bytes.get(at..).unwrap_or(&[]);
    word[..rest.len()].copy_from_slice(rest);
    u64::from_le_bytes(word)
}

/// Appends an unsigned LEB128 integer, 1–10 bytes.
pub(super) fn put_varint(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// Takes an unsigned LEB128 integer off the front.
pub(super) fn take_varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = from.split_first()?;
        *from = rest;
        let part = u64::from(byte & 0x7f);
        if shift == 63 && part > 1 {
            return None;
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Small for small numbers of either sign.
#[inline]
pub(super) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// The inverse of [`zigzag`].
#[inline]
pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Takes eight bytes off the front.
pub(super) fn take_word(from: &mut &[u8]) -> Option<u64> {
    let (word, rest) = from.split_first_chunk::<8>()?;
    *from = rest;
    Some(u64::from_le_bytes(*word))
}

/// Takes `count` bytes off the front.
pub(super) fn take_bytes<'a>(from: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, rest) = from.split_at_checked(count)?;
    *from = rest;
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_come_out_as_they_went_in(parts in proptest::collection::vec((any::<u64>(), 0u32..=64), 0..100)) {
            let mut bytes = Vec::new();
            let mut writer = BitWriter::new(&mut bytes);
            let mask = |value: u64, count: u32| if count == 64 { value } else { value & ((1 << count) - 1) };
            for &(value, count) in &parts {
                writer.put(mask(value, count), count);
            }
            writer.finish();
            let mut reader = BitReader::new(&bytes);
            for &(value, count) in &parts {
                prop_assert_eq!(reader.get(count), Some(mask(value, count)));
            }
            prop_assert_eq!(reader.at.div_ceil(8), bytes.len());
        }

        #[test]
        fn varints_come_out_as_they_went_in(value in any::<u64>(), signed in any::<i64>()) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            put_varint(&mut bytes, zigzag(signed));
            let mut rest = &bytes[..];
            prop_assert_eq!(take_varint(&mut rest), Some(value));
            prop_assert_eq!(take_varint(&mut rest).map(unzigzag), Some(signed));
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn an_endless_varint_is_refused() {
        assert_eq!(take_varint(&mut &[0xff; 20][..]), None);
    }
}
