use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

/// The label that holds a series' metric name.
pub const METRIC_NAME: &str = "__name__";

/// The identity of a series or an alert: label names with values, sorted by name, each name
/// once, no empty values (an empty value means "absent" in Prometheus, so it is dropped here,
/// once). The metric name is the label [`METRIC_NAME`].
///
/// All pairs lie in one shared allocation, so that a clone costs one counter and a series of
/// ten labels costs one block of memory instead of twenty.
#[derive(Clone)]
pub struct Labels(Arc<[u8]>);

/// Why a set of labels was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    /// A label without a name.
    #[error("a label name is empty")]
    EmptyName,
    /// The same name twice.
    #[error("the label {0:?} is given twice")]
    Twice(String),
    /// A name or value that does not fit (4 GiB).
    #[error("the label {0:?} is too long")]
    TooLong(String),
}

/// A hash of a label set that is equal on every machine and after every restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Labels {
    /// No labels at all.
    pub fn empty() -> Self {
        Self(Arc::from(&[][..]))
    }

    /// From pairs in any order. Empty values are dropped.
    ///
    /// # Errors
    /// An empty name, or a name given twice.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, LabelsError> {
        let mut pairs: Vec<(&str, &str)> = pairs.into_iter().collect();
        pairs.sort_by(|a, b| a.0.cmp(b.0));
        for window in pairs.windows(2) {
            if window[0].0 == window[1].0 {
                return Err(LabelsError::Twice(window[0].0.to_owned()));
            }
        }
        if pairs.first().is_some_and(|(name, _)| name.is_empty()) {
            return Err(LabelsError::EmptyName);
        }
        if let Some((name, _)) =
            pairs.iter().find(|(n, v)| u32::try_from(n.len().max(v.len())).is_err())
        {
            return Err(LabelsError::TooLong(name.chars().take(64).collect()));
        }
        Ok(Self::pack(&pairs))
    }

    /// `pairs` must be sorted by name with unique, non-empty names; empty values are dropped.
    fn pack(pairs: &[(&str, &str)]) -> Self {
        let mut packed = Packed::new();
        for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
            push_text(&mut packed, name);
            push_text(&mut packed, value);
        }
        Self(Arc::from(&packed[..]))
    }

    /// The pairs as they lie in memory.
    fn raw(&self) -> Raw<'_> {
        Raw { rest: &self.0 }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many labels there are, the metric name included.
    pub fn len(&self) -> usize {
        self.raw().count()
    }

    /// The pairs, sorted by name.
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.0 }
    }

    /// The value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        let same = self.raw().find(|pair| pair.name >= name.as_bytes())?;
        (same.name == name.as_bytes()).then(|| std::str::from_utf8(same.value).ok()).flatten()
    }

    /// The metric name, empty when there is none.
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or("")
    }

    /// The same labels without those named.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> Self {
        let mut packed = Packed::new();
        self.each_part(names, false, |pair| packed.extend_from_slice(pair));
        if packed.len() == self.0.len() { self.clone() } else { Self(Arc::from(&packed[..])) }
    }

    /// Only the labels named.
    #[must_use]
    pub fn only(&self, names: &[&str]) -> Self {
        let mut packed = Packed::new();
        self.each_part(names, true, |pair| packed.extend_from_slice(pair));
        if packed.len() == self.0.len() { self.clone() } else { Self(Arc::from(&packed[..])) }
    }

    /// Gives to `take`, piece by piece, what [`Labels::as_bytes`] would give of the labels named
    /// (`named`) or of all others.
    #[inline]
    pub fn each_part(&self, names: &[&str], named: bool, mut take: impl FnMut(&[u8])) {
        let mut wanted = names.len();
        for pair in self.raw() {
            if names.iter().any(|name| name.as_bytes() == pair.name) == named {
                take(pair.whole);
                wanted = wanted.saturating_sub(1);
                if named && wanted == 0 {
                    return;
                }
            }
        }
    }

    /// The same labels with one set (or removed, when `value` is empty).
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut packed = Packed::new();
        let mut after = &self.0[..];
        for pair in self.raw().take_while(|pair| pair.name <= name.as_bytes()) {
            after = &after[pair.whole.len()..];
            if pair.name != name.as_bytes() {
                packed.extend_from_slice(pair.whole);
            }
        }
        if !value.is_empty() {
            push_text(&mut packed, name);
            push_text(&mut packed, value);
        }
        packed.extend_from_slice(after);
        Self(Arc::from(&packed[..]))
    }

    /// These labels, overridden by `stronger` where both have a name.
    #[must_use]
    pub fn overridden_by(&self, stronger: &Labels) -> Self {
        if stronger.is_empty() {
            return self.clone();
        }
        let mut packed = Packed::new();
        let mut others = stronger.raw().peekable();
        for pair in self.raw() {
            while let Some(other) = others.next_if(|other| other.name < pair.name) {
                packed.extend_from_slice(other.whole);
            }
            let winner = others.next_if(|other| other.name == pair.name).unwrap_or(pair);
            packed.extend_from_slice(winner.whole);
        }
        others.for_each(|other| packed.extend_from_slice(other.whole));
        Self(Arc::from(&packed[..]))
    }

    /// Equal labels have equal fingerprints, everywhere and always.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(xxh3_64(&self.0))
    }

    /// The packed bytes: for each label name and value, each as length (LEB128) and UTF-8 text.
    /// Stable: storage writes them to disk.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads what [`Labels::as_bytes`] gave. `None` when the bytes are not labels (damaged,
    /// not sorted, not UTF-8).
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let mut before: Option<&str> = None;
        while !rest.is_empty() {
            let name = checked_text(&mut rest)?;
            let value = checked_text(&mut rest)?;
            if name.is_empty() || value.is_empty() || before.is_some_and(|b| b >= name) {
                return None;
            }
            before = Some(name);
        }
        Some(Self(bytes.into()))
    }
}

/// Labels that are being put together.
type Packed = SmallVec<[u8; 512]>;

/// A pair as it lies in memory.
struct RawPair<'a> {
    name: &'a [u8],
    value: &'a [u8],
    /// Both, with their lengths.
    whole: &'a [u8],
}

/// The pairs of labels, sorted, without looking at what the bytes say.
struct Raw<'a> {
    rest: &'a [u8],
}

impl<'a> Raw<'a> {
    fn texts(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.map(|pair| (pair.name, pair.value))
    }
}

impl<'a> Iterator for Raw<'a> {
    type Item = RawPair<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let all = self.rest;
        let name = raw_text(&mut self.rest)?;
        let value = raw_text(&mut self.rest)?;
        Some(RawPair { name, value, whole: &all[..all.len() - self.rest.len()] })
    }
}

#[inline]
fn raw_text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = length_of(rest)?;
    let (text, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(text)
}

fn push_text(packed: &mut Packed, text: &str) {
    let mut length = text.len();
    while length >= 0x80 {
        packed.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    packed.push(length as u8);
    packed.extend_from_slice(text.as_bytes());
}

#[inline]
fn length_of(rest: &mut &[u8]) -> Option<usize> {
    // Nearly all texts are short.
    if let Some((&byte, tail)) = rest.split_first()
        && byte < 0x80
    {
        *rest = tail;
        return Some(usize::from(byte));
    }
    let mut length = 0usize;
    for shift in (0..35).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(length);
        }
    }
    None
}

fn checked_text<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    std::str::from_utf8(raw_text(rest)?).ok()
}

/// The pairs of [`Labels`], sorted by name.
#[derive(Clone)]
pub struct Iter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        // The bytes were made by `pack` or checked by `from_bytes`, so this ends only at the end.
        Some((checked_text(&mut self.rest)?, checked_text(&mut self.rest)?))
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    /// Pair by pair, name before value, as Prometheus compares label sets.
    fn cmp(&self, other: &Self) -> Ordering {
        if Arc::ptr_eq(&self.0, &other.0) {
            return Ordering::Equal;
        }
        // Bytes of UTF-8 compare as the texts do.
        self.raw().texts().cmp(other.raw().texts())
    }
}

impl fmt::Display for Labels {
    /// `name{a="b"}`, as Prometheus prints a series; names that need it are quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metric = self.metric_name();
        let plain = is_legacy_metric_name(metric);
        if plain {
            f.write_str(metric)?;
            if self.len() == 1 {
                return Ok(());
            }
        }
        f.write_str("{")?;
        let mut first = true;
        if !plain && !metric.is_empty() {
            write!(f, "{metric:?}")?;
            first = false;
        }
        for (name, value) in self.iter().filter(|(name, _)| *name != METRIC_NAME) {
            if !std::mem::take(&mut first) {
                f.write_str(", ")?;
            }
            if is_legacy_label_name(name) {
                write!(f, "{name}=\"{}\"", EscapedValue(value))?;
            } else {
                write!(f, "\"{}\"=\"{}\"", EscapedValue(name), EscapedValue(value))?;
            }
        }
        f.write_str("}")
    }
}

/// A label value as it stands between double quotes: `\`, `"` and line feed escaped.
pub struct EscapedValue<'a>(pub &'a str);

impl fmt::Display for EscapedValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        while let Some(at) = rest.find(['\\', '"', '\n']) {
            f.write_str(&rest[..at])?;
            f.write_str(match rest.as_bytes()[at] {
                b'\\' => "\\\\",
                b'"' => "\\\"",
                _ => "\\n",
            })?;
            rest = &rest[at + 1..];
        }
        f.write_str(rest)
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`: a metric name that needs no quotes.
pub fn is_legacy_metric_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b':')
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`: a label name that needs no quotes.
pub fn is_legacy_label_name(name: &str) -> bool {
    is_legacy_metric_name(name) && !name.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Labels::from_pairs(pairs.iter().copied()).unwrap()
    }

    #[test]
    fn an_empty_value_is_an_absent_label() {
        assert_eq!(labels(&[("a", ""), ("b", "1")]), labels(&[("b", "1")]));
        assert_eq!(labels(&[("a", "1")]).with("a", ""), Labels::empty());
    }

    #[test]
    fn a_name_twice_is_refused() {
        let twice = Labels::from_pairs([("a", "1"), ("a", "2")]);
        assert_eq!(twice, Err(LabelsError::Twice("a".to_owned())));
        assert_eq!(Labels::from_pairs([("", "1")]), Err(LabelsError::EmptyName));
    }

    #[test]
    fn it_prints_as_prometheus_does() {
        let plain = labels(&[("__name__", "up"), ("job", "a\"b\\c\nd")]);
        assert_eq!(plain.to_string(), r#"up{job="a\"b\\c\nd"}"#);
        assert_eq!(labels(&[("__name__", "up")]).to_string(), "up");
        assert_eq!(labels(&[("a", "b")]).to_string(), r#"{a="b"}"#);
        let utf8 = labels(&[("__name__", "my.name"), ("my.label", "x")]);
        assert_eq!(utf8.to_string(), r#"{"my.name", "my.label"="x"}"#);
    }

    #[test]
    fn stronger_labels_win() {
        let weak = labels(&[("a", "1"), ("b", "2")]);
        let both = weak.overridden_by(&labels(&[("b", "3"), ("c", "4")]));
        assert_eq!(both, labels(&[("a", "1"), ("b", "3"), ("c", "4")]));
    }

    proptest! {
        /// What is done to the packed bytes is what a map would do.
        #[test]
        fn labels_are_a_map(
            one in proptest::collection::btree_map("[a-cé]{1,2}", "[xyß]{1,3}", 0..6),
            two in proptest::collection::btree_map("[a-cé]{1,2}", "[xyß]{1,200}", 0..6),
            name in "[a-cé]{1,2}", value in "[xyß]{0,2}",
        ) {
            let made = |map: &std::collections::BTreeMap<String, String>| {
                Labels::from_pairs(map.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap()
            };
            let (first, second) = (made(&one), made(&two));
            let mut with = one.clone();
            with.insert(name.clone(), value.clone());
            prop_assert_eq!(first.with(&name, &value), made(&with));
            let mut both = one.clone();
            both.extend(two.clone());
            prop_assert_eq!(first.overridden_by(&second), made(&both));
            let names: Vec<&str> = two.keys().map(String::as_str).collect();
            let (mut only, mut rest) = (one.clone(), one.clone());
            only.retain(|name, _| two.contains_key(name));
            rest.retain(|name, _| !two.contains_key(name));
            prop_assert_eq!(first.only(&names), made(&only));
            prop_assert_eq!(first.without(&names), made(&rest));
            prop_assert_eq!(first.get(&name), one.get(&name).map(String::as_str));
            let texts = first.iter().cmp(second.iter());
            prop_assert_eq!(first.cmp(&second), texts);
        }

        #[test]
        fn what_goes_in_comes_out(pairs in proptest::collection::btree_map("\\PC{1,200}", "\\PC{1,200}", 0..8)) {
            let made = Labels::from_pairs(pairs.iter().map(|(n, v)| (n.as_str(), v.as_str()))).unwrap();
            let read: Vec<_> = made.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
            prop_assert_eq!(&read, &pairs.clone().into_iter().collect::<Vec<_>>());
            prop_assert_eq!(Labels::from_bytes(made.as_bytes()), Some(made.clone()));
            for (name, value) in &pairs {
                prop_assert_eq!(made.get(name), Some(value.as_str()));
            }
        }

        #[test]
        fn damaged_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some(read) = Labels::from_bytes(&bytes) {
                prop_assert_eq!(read.as_bytes(), &bytes[..]);
                prop_assert!(read.len() <= bytes.len());
            }
        }
    }
}
