//! From the bytes of a request to batches for the store.

use std::sync::Arc;

use hashbrown::HashMap;

use super::directory::{Directory, Place, Refusal};
use crate::model::{Batch, Histogram, Labels, Point, Row, Timestamp, is_stale};
use crate::ports::{PushedExemplar, PushedMeta};
use crate::remote::proto::wire::{Malformed, Reader, Value};
use crate::remote::proto::{Protocol, histogram, metric_type};

/// Marks a cell whose value is a histogram.
const LATE: u32 = 1 << 31;
/// Metrics of which we remember what they mean.
const METADATA: usize = 20_000;
/// Bytes of a help text that are kept.
const HELP: usize = 1024;

/// One sample on its way.
#[derive(Clone, Copy)]
struct Cell {
    group: u32,
    column: u32,
    at: i64,
    /// The float, or which histogram.
    bits: u64,
}

impl Cell {
    fn place(&self) -> (u32, i64, u32) {
        (self.group, self.at, self.column & !LATE)
    }
}

/// What a request holds.
#[derive(Default)]
pub(super) struct Taken {
    cells: Vec<Cell>,
    histograms: Vec<Arc<Histogram>>,
    /// Floats and histograms that can be kept.
    pub(super) samples: [u64; 2],
    exemplars: Vec<(Place, PushedExemplar)>,
    /// Exemplars whose labels are no labels.
    pub(super) refused_exemplars: u64,
    /// Samples that cannot be kept, and the first reason.
    pub(super) refused: u64,
    pub(super) reason: Option<Refusal>,
    /// Samples later than this come from a clock that is wrong.
    latest: i64,
}

/// What metrics mean, by the name of the family.
#[derive(Default)]
pub(super) struct Meanings(HashMap<Arc<str>, PushedMeta>);

impl Meanings {
    fn set(&mut self, name: &str, kind: u64, help: &[u8], unit: &[u8]) {
        let text = |bytes: &[u8]| -> Arc<str> {
            String::from_utf8_lossy(&bytes[..bytes.len().min(HELP)]).into()
        };
        if name.is_empty() || (!self.0.contains_key(name) && self.0.len() >= METADATA) {
            return;
        }
        let name: Arc<str> = name.into();
        let (kind, help, unit) = (metric_type(kind), text(help), text(unit));
        self.0.insert(name.clone(), PushedMeta { name, kind, help, unit });
    }

    /// One of them.
    pub(super) fn get(&self, name: &str) -> Option<PushedMeta> {
        self.0.get(name).cloned()
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<PushedMeta> {
        self.0.values().cloned().collect()
    }
}

impl Taken {
    /// Nothing yet; samples later than `latest` are refused.
    pub(super) fn new(latest: Timestamp) -> Self {
        Self { latest: latest.millis(), ..Self::default() }
    }

    fn refuse(&mut self, samples: u64, reason: Refusal) {
        self.refused += samples;
        self.reason.get_or_insert(reason);
    }

    /// Reads the message of a request.
    ///
    /// # Errors
    /// It is no such message; nothing of it is to be kept.
    pub(super) fn read(
        &mut self,
        protocol: Protocol,
        message: &[u8],
        directory: &mut Directory,
        meanings: &mut Meanings,
    ) -> Result<(), Malformed> {
        match protocol {
            Protocol::One => self.read_one(message, directory, meanings),
            Protocol::Two => self.read_two(message, directory, meanings),
        }
    }

    fn read_one(
        &mut self,
        message: &[u8],
        directory: &mut Directory,
        meanings: &mut Meanings,
    ) -> Result<(), Malformed> {
        let mut reader = Reader::new(message);
        while let Some((field, value)) = reader.field()? {
            match field {
                1 => self.series_one(value.bytes()?, directory)?,
                3 => meaning_one(value.bytes()?, meanings)?,
                4 | 5 => return Err(Malformed("it is of protocol 2.0, and says 1.0")),
                _ => {}
            }
        }
        Ok(())
    }

    fn series_one(&mut self, message: &[u8], directory: &mut Directory) -> Result<(), Malformed> {
        let end = labels_end(message)?;
        let (labels, rest) = message.split_at(end);
        let begin = self.cells.len();
        let mut place = None;
        let mut reader = Reader::new(rest);
        while let Some((field, value)) = reader.field()? {
            match field {
                1 => {
                    // Nobody writes labels behind samples, but it is allowed.
                    self.cells.truncate(begin);
                    return self.series_one(&labels_first(message)?, directory);
                }
                2 | 4 => {
                    let place = place.get_or_insert_with(|| {
                        directory.place(directory.key(labels), || pairs_one(labels))
                    });
                    self.sample(field == 4, value.bytes()?, *place)?;
                }
                3 => {
                    let place = *place.get_or_insert_with(|| {
                        directory.place(directory.key(labels), || pairs_one(labels))
                    });
                    self.exemplar(value.bytes()?, place, |labels| {
                        pairs_one(labels).map_err(|_| Malformed("an exemplar has no labels"))
                    })?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn read_two(
        &mut self,
        message: &[u8],
        directory: &mut Directory,
        meanings: &mut Meanings,
    ) -> Result<(), Malformed> {
        let (mut symbols, mut keys): (Vec<&[u8]>, Vec<u64>) = (Vec::new(), Vec::new());
        let mut series = Vec::new();
        let mut reader = Reader::new(message);
        while let Some((field, value)) = reader.field()? {
            match field {
                4 => {
                    let symbol = value.bytes()?;
                    symbols.push(symbol);
                    keys.push(directory.text_key(symbol));
                }
                5 => series.push(value.bytes()?),
                1..=3 => return Err(Malformed("it is of protocol 1.0, and says 2.0")),
                _ => {}
            }
        }
        if symbols.first().is_some_and(|first| !first.is_empty()) {
            return Err(Malformed("the first symbol is not empty"));
        }
        let symbols = Symbols { texts: &symbols, keys: &keys };
        let mut scratch = Scratch::default();
        for message in series {
            self.series_two(message, &symbols, &mut scratch, directory, meanings)?;
        }
        Ok(())
    }

    fn series_two(
        &mut self,
        message: &[u8],
        symbols: &Symbols<'_>,
        scratch: &mut Scratch,
        directory: &mut Directory,
        meanings: &mut Meanings,
    ) -> Result<(), Malformed> {
        scratch.refs.clear();
        scratch.samples = 0;
        let mut meaning = None;
        let mut reader = Reader::new(message);
        while let Some((field, value)) = reader.field()? {
            match field {
                1 => numbers(value, &mut scratch.refs)?,
                2 | 3 => scratch.samples += 1,
                5 => meaning = Some(value.bytes()?),
                _ => {}
            }
        }
        let place = symbols.place(scratch, directory);
        if let (Ok(place), Some(meaning)) = (place, meaning) {
            let (kind, help, unit) = meaning_two(meaning, symbols)?;
            let hash = help.1 ^ unit.1.rotate_left(21) ^ (kind + 1).wrapping_mul(0x9e37_79b9);
            if let Some(name) = directory.new_meta(place.series, hash as u32 | 1) {
                let name = name.to_owned();
                meanings.set(&name, kind, help.0, unit.0);
            }
        }
        let mut reader = Reader::new(message);
        while let Some((field, value)) = reader.field()? {
            match field {
                2 | 3 => self.sample(field == 3, value.bytes()?, place)?,
                4 => self.exemplar(value.bytes()?, place, |refs| symbols.labels(refs))?,
                _ => {}
            }
        }
        Ok(())
    }

    /// One exemplar; `read` makes labels of its fields of number 1.
    fn exemplar(
        &mut self,
        message: &[u8],
        place: Result<Place, Refusal>,
        read: impl FnOnce(&[u8]) -> Result<Labels, Malformed>,
    ) -> Result<(), Malformed> {
        let (mut pairs, mut value, mut at) = (Vec::new(), 0, 0);
        let mut reader = Reader::new(message);
        loop {
            let before = reader.rest;
            let Some((field, found)) = reader.field()? else { break };
            match (field, found) {
                (1, _) => pairs.extend_from_slice(&before[..before.len() - reader.rest.len()]),
                (2, Value::Word(word)) => value = word,
                (3, Value::Varint(time)) => at = time.cast_signed(),
                _ => {}
            }
        }
        let at = Timestamp::from_millis(at);
        match (place, read(&pairs)) {
            (Ok(place), Ok(labels)) if at.millis() <= self.latest => {
                let exemplar = PushedExemplar { labels, value: f64::from_bits(value), at };
                self.exemplars.push((place, exemplar));
            }
            _ => self.refused_exemplars += 1,
        }
        Ok(())
    }

    /// The exemplars with the labels of their series.
    pub(super) fn exemplars(
        &mut self,
        directory: &Directory,
    ) -> impl Iterator<Item = (Labels, PushedExemplar)> {
        self.exemplars.drain(..).filter_map(|(place, exemplar)| {
            let (_, labels) = directory.group(place.group)?;
            Some((labels(place.column)?, exemplar))
        })
    }

    /// One float or histogram.
    #[inline]
    fn sample(
        &mut self,
        late: bool,
        message: &[u8],
        place: Result<Place, Refusal>,
    ) -> Result<(), Malformed> {
        let (at, bits) = if late {
            let (at, histogram) = histogram::decode(message)?;
            let wrong = if histogram.is_stale() { None } else { histogram::complaint(&histogram) };
            if let Some(reason) = wrong {
                self.refuse(1, reason);
                return Ok(());
            }
            self.histograms.push(Arc::new(histogram));
            (at.millis(), self.histograms.len() as u64 - 1)
        } else {
            float(message)?
        };
        match place {
            Ok(_) if at > self.latest => self.refuse(1, "samples are from the future"),
            Ok(Place { group, column, .. }) => {
                self.samples[usize::from(late)] += 1;
                let column = if late { column | LATE } else { column };
                self.cells.push(Cell { group, column, at, bits });
            }
            Err(reason) => self.refuse(1, reason),
        }
        Ok(())
    }

    /// The samples as batches, each of one group and one instant.
    pub(super) fn batches(&mut self, directory: &Directory) -> Vec<Batch> {
        let cells = &mut self.cells;
        if !cells.is_sorted_by_key(Cell::place) {
            // Stable, so that of two values for one instant the later one stays the later one.
            cells.sort_by_key(Cell::place);
        }
        let mut batches = Vec::new();
        for run in cells.chunk_by(|a, b| (a.group, a.at) == (b.group, b.at)) {
            let Some((source, labels)) = directory.group(run[0].group) else { continue };
            let mut batch = Batch::new(Arc::clone(source), Timestamp::from_millis(run[0].at));
            batch.rows.reserve_exact(run.len());
            for (n, cell) in run.iter().enumerate() {
                if run.get(n + 1).is_some_and(|next| next.place() == cell.place()) {
                    continue;
                }
                let Some(labels) = labels(cell.column & !LATE) else { continue };
                let point = if cell.column & LATE == 0 {
                    let value = f64::from_bits(cell.bits);
                    if is_stale(value) { Point::Stale } else { Point::Float(value) }
                } else {
                    match self.histograms.get(cell.bits as usize) {
                        // The end of a histogram series is the end of a series.
                        Some(histogram) if histogram.is_stale() => Point::Stale,
                        Some(histogram) => Point::Histogram(Arc::clone(histogram)),
                        None => continue,
                    }
                };
                batch.rows.push(Row { labels, point });
            }
            batches.push(batch);
        }
        batches
    }
}

/// Where the labels at the front of a series end.
#[inline]
fn labels_end(message: &[u8]) -> Result<usize, Malformed> {
    let mut reader = Reader::new(message);
    let mut end = 0;
    while reader.rest.first() == Some(&0x0a) {
        reader.field()?;
        end = message.len() - reader.rest.len();
    }
    Ok(end)
}

/// The same series with its labels before everything else.
fn labels_first(message: &[u8]) -> Result<Vec<u8>, Malformed> {
    let (mut labels, mut others) = (Vec::new(), Vec::new());
    let mut reader = Reader::new(message);
    loop {
        let before = reader.rest;
        let Some((field, value)) = reader.field()? else { break };
        let raw = &before[..before.len() - reader.rest.len()];
        if field == 1 {
            // Written anew: only so it begins with the byte that is looked for.
            let mut writer = crate::remote::proto::wire::Writer(std::mem::take(&mut labels));
            writer.bytes(1, value.bytes()?);
            labels = writer.0;
        } else {
            others.extend_from_slice(raw);
        }
    }
    labels.extend(others);
    Ok(labels)
}

/// Time and bits of a float.
#[inline]
fn float(message: &[u8]) -> Result<(i64, u64), Malformed> {
    // As nearly everybody writes it: the value, then the time.
    if let [0x09, b0, b1, b2, b3, b4, b5, b6, b7, 0x10, time @ ..] = message {
        let mut reader = Reader::new(time);
        let at = reader.varint()?.cast_signed();
        if reader.rest.is_empty() {
            return Ok((at, u64::from_le_bytes([*b0, *b1, *b2, *b3, *b4, *b5, *b6, *b7])));
        }
    }
    let (mut at, mut bits) = (0, 0);
    let mut reader = Reader::new(message);
    while let Some((field, value)) = reader.field()? {
        match (field, value) {
            (1, Value::Word(word)) => bits = word,
            (2, Value::Varint(time)) => at = time.cast_signed(),
            _ => {}
        }
    }
    Ok((at, bits))
}

const NOT_TEXT: Refusal = "a label is not text in UTF-8";

/// The labels of protocol 1.0.
fn pairs_one(labels: &[u8]) -> Result<Labels, Refusal> {
    let broken = |_| "the labels of a series cannot be read";
    let mut pairs = Vec::new();
    let mut reader = Reader::new(labels);
    while let Some((_, label)) = reader.field().map_err(broken)? {
        let (mut name, mut text): (&[u8], &[u8]) = (&[], &[]);
        let mut inner = Reader::new(label.bytes().map_err(broken)?);
        while let Some((field, value)) = inner.field().map_err(broken)? {
            match (field, value) {
                (1, Value::Bytes(bytes)) => name = bytes,
                (2, Value::Bytes(bytes)) => text = bytes,
                _ => {}
            }
        }
        let name = std::str::from_utf8(name).map_err(|_| NOT_TEXT)?;
        pairs.push((name, std::str::from_utf8(text).map_err(|_| NOT_TEXT)?));
    }
    Labels::from_pairs(pairs).map_err(|_| "a series has a label twice or without a name")
}

/// Metadata of protocol 1.0.
fn meaning_one(message: &[u8], meanings: &mut Meanings) -> Result<(), Malformed> {
    let (mut kind, mut name, mut help, mut unit): (u64, &[u8], &[u8], &[u8]) = (0, &[], &[], &[]);
    let mut reader = Reader::new(message);
    while let Some((field, value)) = reader.field()? {
        match (field, value) {
            (1, value) => kind = value.number()?,
            (2, value) => name = value.bytes()?,
            (4, value) => help = value.bytes()?,
            (5, value) => unit = value.bytes()?,
            _ => {}
        }
    }
    if let Ok(name) = std::str::from_utf8(name) {
        meanings.set(name, kind, help, unit);
    }
    Ok(())
}

/// The symbol table of a request of protocol 2.0.
struct Symbols<'a> {
    texts: &'a [&'a [u8]],
    keys: &'a [u64],
}

#[derive(Default)]
struct Scratch {
    refs: Vec<u32>,
    key: Vec<u8>,
    samples: u64,
}

impl<'a> Symbols<'a> {
    fn place(&self, scratch: &mut Scratch, directory: &mut Directory) -> Result<Place, Refusal> {
        scratch.key.clear();
        if scratch.refs.is_empty() || !scratch.refs.len().is_multiple_of(2) {
            return Err("the labels of a series are no pairs");
        }
        for number in &scratch.refs {
            let key = self.keys.get(*number as usize).ok_or("a series names an unknown symbol")?;
            scratch.key.extend_from_slice(&key.to_le_bytes());
        }
        let key = directory.key(&scratch.key);
        directory.place(key, || {
            let text = |number: u32| std::str::from_utf8(self.texts[number as usize]);
            let pairs: Result<Vec<_>, _> = scratch
                .refs
                .chunks_exact(2)
                .map(|pair| Ok((text(pair[0])?, text(pair[1])?)))
                .collect();
            let pairs = pairs.map_err(|_: std::str::Utf8Error| NOT_TEXT)?;
            Labels::from_pairs(pairs).map_err(|_| "a series has a label twice or without a name")
        })
    }

    /// The labels that an exemplar's references (its fields of number 1) name.
    fn labels(&self, fields: &[u8]) -> Result<Labels, Malformed> {
        let mut refs = Vec::new();
        let mut reader = Reader::new(fields);
        while let Some((_, value)) = reader.field()? {
            numbers(value, &mut refs)?;
        }
        let wrong = Malformed("an exemplar has no labels");
        if !refs.len().is_multiple_of(2) {
            return Err(wrong);
        }
        let text = |number: u32| {
            let text = self.texts.get(number as usize)?;
            std::str::from_utf8(text).ok()
        };
        let pairs = refs.chunks_exact(2).map(|pair| Some((text(pair[0])?, text(pair[1])?)));
        let Some(pairs) = pairs.collect::<Option<Vec<_>>>() else { return Err(wrong) };
        Labels::from_pairs(pairs).map_err(|_| wrong)
    }

    fn text(&self, number: u64) -> (&'a [u8], u64) {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        (self.texts.get(at).copied().unwrap_or(&[]), self.keys.get(at).copied().unwrap_or(0))
    }
}

type Text<'a> = (&'a [u8], u64);

/// Metadata of protocol 2.0: kind, help, unit.
fn meaning_two<'a>(
    message: &[u8],
    symbols: &Symbols<'a>,
) -> Result<(u64, Text<'a>, Text<'a>), Malformed> {
    let (mut kind, mut help, mut unit) = (0, 0, 0);
    let mut reader = Reader::new(message);
    while let Some((field, value)) = reader.field()? {
        match field {
            1 => kind = value.number()?,
            3 => help = value.number()?,
            4 => unit = value.number()?,
            _ => {}
        }
    }
    Ok((kind, symbols.text(help), symbols.text(unit)))
}

/// A list of numbers, packed or not.
fn numbers(value: Value<'_>, into: &mut Vec<u32>) -> Result<(), Malformed> {
    let small = |number: u64| {
        u32::try_from(number).map_err(|_| Malformed("a reference to a symbol is too large"))
    };
    match value {
        Value::Bytes(packed) => {
            let mut reader = Reader::new(packed);
            while !reader.rest.is_empty() {
                into.push(small(reader.varint()?)?);
            }
        }
        one => into.push(small(one.number()?)?),
    }
    Ok(())
}
