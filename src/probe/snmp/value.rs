use std::fmt;

/// The name of an SNMP object or of one instance of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Oid(Vec<u32>);

impl Oid {
    /// From its numbers.
    pub fn new(arcs: &[u32]) -> Self {
        Self(arcs.to_vec())
    }

    /// The name below this one.
    #[must_use]
    pub fn below(&self, index: &[u32]) -> Self {
        Self([self.0.as_slice(), index].concat())
    }

    /// Its numbers.
    pub fn arcs(&self) -> &[u32] {
        &self.0
    }

    /// What follows `column`; `None` when this is not below it.
    pub fn index_in(&self, column: &Oid) -> Option<&[u32]> {
        self.0.strip_prefix(column.0.as_slice()).filter(|index| !index.is_empty())
    }
}

impl From<&[u32]> for Oid {
    fn from(arcs: &[u32]) -> Self {
        Self::new(arcs)
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_dotted(f, &self.0)
    }
}

fn write_dotted(f: &mut fmt::Formatter<'_>, arcs: &[u32]) -> fmt::Result {
    for (at, arc) in arcs.iter().enumerate() {
        write!(f, "{}{arc}", if at == 0 { "" } else { "." })?;
    }
    Ok(())
}

/// What an agent says an object is. Types differ from the MIB on real devices, so that all
/// integer-like types are one here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// INTEGER, Counter32, Gauge32, TimeTicks and their historic relatives.
    Integer(i64),
    /// Counter64.
    Counter64(u64),
    /// OCTET STRING, IpAddress, Opaque.
    Bytes(Vec<u8>),
    /// OBJECT IDENTIFIER.
    Oid(Oid),
    /// There is none: noSuchObject, noSuchInstance, NULL in a table, a type nobody knows.
    Absent,
    /// Nothing comes after (answers of GETNEXT and GETBULK).
    EndOfView,
}

impl Value {
    /// Any integer-like value.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Value::Integer(number) => Some(*number),
            Value::Counter64(number) => i64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// Any string-like value.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// One object with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Which instance.
    pub oid: Oid,
    /// Its value.
    pub value: Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_what_follows_the_column() {
        let column = Oid::new(&[1, 3, 6]);
        assert_eq!(column.below(&[1, 4]).index_in(&column), Some(&[1, 4][..]));
        assert_eq!(column.index_in(&column), None);
        assert_eq!(Oid::new(&[1, 3, 61]).index_in(&column), None);
        assert_eq!(column.below(&[4]).to_string(), "1.3.6.4");
    }

    #[test]
    fn oids_are_ordered_number_by_number() {
        assert!(Oid::new(&[1, 3, 9]) < Oid::new(&[1, 3, 10]));
        assert!(Oid::new(&[1, 3]) < Oid::new(&[1, 3, 0]));
    }
}
