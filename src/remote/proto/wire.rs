//! Protocol buffers' wire format, read without copying and without allocation.

/// The bytes are no message of the expected kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the body is not a remote-write message: {0}")]
pub struct Malformed(pub &'static str);

/// One field's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Word(u64),
    /// Wire type 2.
    Bytes(&'a [u8]),
    /// Wire type 5.
    Half(u32),
}

impl<'a> Value<'a> {
    /// A number as a varint.
    pub fn number(self) -> Result<u64, Malformed> {
        match self {
            Value::Varint(number) => Ok(number),
            _ => Err(Malformed("a number has another wire type")),
        }
    }

    /// `int64`.
    pub fn signed(self) -> Result<i64, Malformed> {
        self.number().map(u64::cast_signed)
    }

    /// A `double`'s bits.
    pub fn double_bits(self) -> Result<u64, Malformed> {
        match self {
            Value::Word(bits) => Ok(bits),
            _ => Err(Malformed("a double has another wire type")),
        }
    }

    /// A message, a string or a packed list.
    pub fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(Malformed("a message has another wire type")),
        }
    }
}

/// Reads fields one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    /// What was not read yet.
    pub rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// At the beginning of a message.
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// A varint of at most ten bytes.
    #[inline]
    pub fn varint(&mut self) -> Result<u64, Malformed> {
        if let Some((&byte, rest)) = self.rest.split_first()
            && byte < 0x80
        {
            self.rest = rest;
            return Ok(u64::from(byte));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0u64;
        for shift in (0..70).step_by(7) {
            let Some((&byte, rest)) = self.rest.split_first() else {
                return Err(Malformed("it ends within a number"));
            };
            self.rest = rest;
            if shift < 64 {
                number |= u64::from(byte & 0x7f) << shift;
            }
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed("a number is too long"))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some((taken, rest)) = self.rest.split_at_checked(length) else {
            return Err(Malformed("it ends too early"));
        };
        self.rest = rest;
        Ok(taken)
    }

    /// The next field; `None` at the end.
    #[inline]
    pub fn field(&mut self) -> Result<Option<(u64, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Word(word(self.take(8)?)),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                let mut half = [0; 4];
                half.copy_from_slice(self.take(4)?);
                Value::Half(u32::from_le_bytes(half))
            }
            _ => return Err(Malformed("a field has an unknown wire type")),
        };
        Ok(Some((tag >> 3, value)))
    }
}

/// Eight bytes, little endian; fewer count as zeros.
pub fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    let length = bytes.len().min(8);
    word[..length].copy_from_slice(&bytes[..length]);
    u64::from_le_bytes(word)
}

/// `sint32` and `sint64`.
pub fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

/// Writes fields.
#[derive(Clone, Debug, Default)]
pub struct Writer(pub Vec<u8>);

impl Writer {
    /// A bare varint.
    #[inline]
    pub fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// A number, left out when it is zero.
    pub fn number(&mut self, field: u64, number: u64) {
        if number != 0 {
            self.varint(field << 3);
            self.varint(number);
        }
    }

    /// `int64`, left out when it is zero.
    pub fn signed(&mut self, field: u64, number: i64) {
        self.number(field, number.cast_unsigned());
    }

    /// `sint32`, left out when it is zero.
    pub fn zigzag(&mut self, field: u64, number: i64) {
        self.number(field, zigzag(number));
    }

    /// A `double`, written even when it is zero.
    pub fn double(&mut self, field: u64, value: f64) {
        self.varint(field << 3 | 1);
        self.0.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    /// A message or text.
    pub fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A packed list of doubles, left out when it is empty.
    pub fn doubles(&mut self, field: u64, values: &[f64]) {
        if values.is_empty() {
            return;
        }
        self.varint(field << 3 | 2);
        self.varint(values.len() as u64 * 8);
        for value in values {
            self.0.extend_from_slice(&value.to_bits().to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = Reader::new(&bytes);
            let mut fields = 0;
            while let Ok(Some(_)) = reader.field() {
                fields += 1;
            }
            prop_assert!(fields <= bytes.len());
        }

        #[test]
        fn what_was_written_is_read(number in any::<u64>(), signed in any::<i64>(), bits in any::<u64>(), text in "\\PC{0,20}") {
            let mut writer = Writer::default();
            writer.number(1, number);
            writer.zigzag(2, signed);
            writer.double(3, f64::from_bits(bits));
            writer.bytes(4, text.as_bytes());
            let mut reader = Reader::new(&writer.0);
            let mut seen = [None; 5];
            while let Some((field, value)) = reader.field().unwrap() {
                seen[field as usize] = Some(value);
            }
            prop_assert_eq!(seen[1].map_or(0, |v| v.number().unwrap()), number);
            prop_assert_eq!(seen[2].map_or(0, |v| unzigzag(v.number().unwrap())), signed);
            prop_assert_eq!(seen[3].unwrap().double_bits().unwrap(), bits);
            prop_assert_eq!(seen[4].unwrap().bytes().unwrap(), text.as_bytes());
        }
    }

    #[test]
    fn numbers_that_never_end_are_refused() {
        assert!(Reader::new(&[0xff; 11]).varint().is_err());
        assert!(Reader::new(&[0xff; 3]).varint().is_err());
        let longest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(Reader::new(&longest).varint(), Ok(u64::MAX));
    }
}
