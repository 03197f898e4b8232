//! Segment files: sealed frames, immutable.
//!
//! Byte for byte (numbers little endian, *varint* = LEB128, *zigzag* = signed varint, *check* = the
//! lower 32 bits of XXH3-64 of the piece):
//!
//! ```text
//! 0          8   magic "augmSEG\n"
//! 8          …   pieces, back to back, in the order of the directory
//! d          l   directory, compressed (raw deflate)
//! d+l        8   d
//! d+l+8      8   l
//! d+l+16     8   size of the directory before compression
//! d+l+24     8   XXH3-64 of the compressed directory
//! d+l+32     4   format version, 1
//! d+l+36     8   magic "augmSEG\n"
//! ```
//! The directory:
//! ```text
//! varint first generation, varint last generation
//! varint count of texts; each: varint length, UTF-8
//! varint count of frames; each:
//!   varint text of the source; varint rows; zigzag first time; varint last − first time (ms)
//!   varint length and check (4 bytes) of the piece with the times
//!   varint count of columns; each:
//!     varint count of labels; each: varint text of the name, varint text of the value
//!     varint length and check of the column's piece
//! ```
//! What a piece holds is told in [`super::piece`]. A segment holds all samples that arrived in its
//! generations; where two segments hold a sample for the same series and instant, the one of the
//! later generation counts.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64;

use super::bits::{put_varint, take_bytes, take_varint, unzigzag, zigzag};
use super::chunk::Cell;
use super::disk::{Disk, Draft, Stored};
use super::piece::{self, Loaded};
use crate::model::{Labels, METRIC_NAME, Matcher, Test};

const MAGIC: &[u8; 8] = b"augmSEG\n";
const VERSION: u32 = 1;
const FOOTER: usize = 44;
/// Largest directory before compression: 4 million series of a day.
const DIRECTORY_LIMIT: u64 = 1 << 30;
/// Directories kept in memory, in bytes. Whoever reads many series goes from file to file for each of
/// them, so all files of a window should fit: one of 100,000 series takes about 10 MiB.
const CACHE_BYTES: usize = 64 << 20;

/// What the catalogue knows about a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) name: String,
    pub(super) first_generation: u64,
    pub(super) last_generation: u64,
    /// Time of the first sample, milliseconds.
    pub(super) first: i64,
    /// Time of the last sample, milliseconds.
    pub(super) last: i64,
    pub(super) samples: u64,
    pub(super) series: u64,
    pub(super) bytes: u64,
}

fn check_of(piece: &[u8]) -> u32 {
    xxh3_64(piece) as u32
}

/// Writes a segment, frame by frame.
pub(super) struct SegmentWriter<'a> {
    disk: &'a dyn Disk,
    draft: Box<dyn Draft>,
    draft_name: String,
    meta: Meta,
    texts: HashMap<Box<str>, u64>,
    text_bytes: Vec<u8>,
    frames: u64,
    body: Vec<u8>,
    /// Of the frame being written.
    columns: u64,
    column_bytes: Vec<u8>,
    piece: Vec<u8>,
}

impl<'a> SegmentWriter<'a> {
    pub(super) fn create(
        disk: &'a dyn Disk,
        name: String,
        generations: (u64, u64),
    ) -> io::Result<Self> {
        let draft_name = format!("{name}.draft");
        let mut draft = disk.create(&draft_name)?;
        draft.write_all(MAGIC)?;
        Ok(Self {
            disk,
            draft,
            draft_name,
            meta: Meta {
                name,
                first_generation: generations.0,
                last_generation: generations.1,
                first: i64::MAX,
                last: i64::MIN,
                samples: 0,
                series: 0,
                bytes: MAGIC.len() as u64,
            },
            texts: HashMap::new(),
            text_bytes: Vec::new(),
            frames: 0,
            body: Vec::new(),
            columns: 0,
            column_bytes: Vec::new(),
            piece: Vec::new(),
        })
    }

    fn text(&mut self, text: &str) -> u64 {
        if let Some(number) = self.texts.get(text) {
            return *number;
        }
        let number = self.texts.len() as u64;
        self.texts.insert(text.into(), number);
        put_varint(&mut self.text_bytes, text.len() as u64);
        self.text_bytes.extend_from_slice(text.as_bytes());
        number
    }

    /// Writes `self.piece`; gives its entry in the directory.
    fn put_piece(&mut self) -> io::Result<Vec<u8>> {
        self.draft.write_all(&self.piece)?;
        self.meta.bytes += self.piece.len() as u64;
        let mut entry = Vec::new();
        put_varint(&mut entry, self.piece.len() as u64);
        entry.extend_from_slice(&check_of(&self.piece).to_le_bytes());
        Ok(entry)
    }

    /// Begins a frame with the times of its rows, ascending and at least one. `columns` follow.
    pub(super) fn begin_frame(&mut self, source: &str, times: &[i64]) -> io::Result<()> {
        let (Some(&first), Some(&last)) = (times.first(), times.last()) else { return Ok(()) };
        let source = self.text(source);
        put_varint(&mut self.body, source);
        put_varint(&mut self.body, times.len() as u64);
        put_varint(&mut self.body, zigzag(first));
        put_varint(&mut self.body, last.wrapping_sub(first) as u64);
        self.piece.clear();
        piece::encode_times(times, &mut self.piece);
        let entry = self.put_piece()?;
        self.body.extend_from_slice(&entry);
        self.frames += 1;
        self.meta.first = self.meta.first.min(first);
        self.meta.last = self.meta.last.max(last);
        Ok(())
    }

    /// Writes a column of the frame begun last; an empty one is left out.
    pub(super) fn column(&mut self, labels: &Labels, cells: &[Option<Cell>]) -> io::Result<()> {
        self.piece.clear();
        piece::encode_column(cells, &mut self.piece);
        if self.piece.is_empty() {
            return Ok(());
        }
        let mut entry = Vec::new();
        put_varint(&mut entry, labels.len() as u64);
        for (name, value) in labels {
            let (name, value) = (self.text(name), self.text(value));
            put_varint(&mut entry, name);
            put_varint(&mut entry, value);
        }
        self.column_bytes.extend_from_slice(&entry);
        let entry = self.put_piece()?;
        self.column_bytes.extend_from_slice(&entry);
        self.columns += 1;
        self.meta.series += 1;
        self.meta.samples += cells.iter().flatten().count() as u64;
        Ok(())
    }

    /// Ends the frame.
    pub(super) fn end_frame(&mut self) {
        put_varint(&mut self.body, std::mem::take(&mut self.columns));
        self.body.append(&mut self.column_bytes);
    }

    /// Writes the directory and gives the file its name; after this it is there for good.
    pub(super) fn finish(mut self) -> io::Result<Meta> {
        let mut directory = Vec::new();
        put_varint(&mut directory, self.meta.first_generation);
        put_varint(&mut directory, self.meta.last_generation);
        put_varint(&mut directory, self.texts.len() as u64);
        directory.append(&mut self.text_bytes);
        put_varint(&mut directory, self.frames);
        directory.append(&mut self.body);
        let mut packed =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        packed.write_all(&directory)?;
        let packed = packed.finish()?;
        self.draft.write_all(&packed)?;
        for word in [self.meta.bytes, packed.len() as u64, directory.len() as u64, xxh3_64(&packed)]
        {
            self.draft.write_all(&word.to_le_bytes())?;
        }
        self.draft.write_all(&VERSION.to_le_bytes())?;
        self.draft.write_all(MAGIC)?;
        self.meta.bytes += (packed.len() + FOOTER) as u64;
        self.draft.sync()?;
        self.disk.publish(&self.draft_name, &self.meta.name)?;
        Ok(self.meta)
    }
}

/// Why a segment cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SegmentError {
    #[error("segment {0}: {1}")]
    Io(String, io::Error),
    #[error("segment {0} is damaged: {1}")]
    Damaged(String, &'static str),
    #[error(
        "segment {0} has format {1}, this version knows formats up to {VERSION}; use a newer augenmass"
    )]
    Newer(String, u32),
}

/// The contents of a segment.
pub(super) struct Directory {
    file: Arc<dyn Stored>,
    texts: Vec<Box<str>>,
    pub(super) frames: Vec<FrameEntry>,
    /// Sorted by fingerprint.
    pub(super) columns: Vec<ColumnEntry>,
    pairs: Vec<(u32, u32)>,
    /// Metric name (as a text) and place of each column, sorted: nearly all selectors name one.
    by_metric: Vec<(u32, u32)>,
}

/// Where a piece lies, and what its bytes add up to.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) length: u32,
    check: u32,
}

/// A frame in a segment.
pub(super) struct FrameEntry {
    source: u32,
    pub(super) rows: u32,
    pub(super) first: i64,
    pub(super) last: i64,
    pub(super) times: Place,
}

/// A column in a segment.
pub(super) struct ColumnEntry {
    fingerprint: u64,
    pub(super) frame: u32,
    labels: (u32, u16),
    pub(super) piece: Place,
}

impl ColumnEntry {
    /// That of its labels.
    pub(super) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

/// Reads and checks only the end of a file: enough to know that it was written to the end.
pub(super) fn check_footer(disk: &dyn Disk, name: &str) -> Result<(), SegmentError> {
    let file = disk.open(name).map_err(|e| SegmentError::Io(name.to_owned(), e))?;
    read_footer(&*file, name).map(drop)
}

fn read_footer(file: &dyn Stored, name: &str) -> Result<[u64; 4], SegmentError> {
    let io = |e| SegmentError::Io(name.to_owned(), e);
    let damaged = |what| SegmentError::Damaged(name.to_owned(), what);
    let size = file.size().map_err(io)?;
    if size < (MAGIC.len() + FOOTER) as u64 {
        return Err(damaged("it is too short"));
    }
    let mut footer = [0; FOOTER];
    file.read_at(size - FOOTER as u64, &mut footer).map_err(io)?;
    if footer[36..] != *MAGIC {
        return Err(damaged("its end is missing"));
    }
    let version = u32::from_le_bytes([footer[32], footer[33], footer[34], footer[35]]);
    if version > VERSION {
        return Err(SegmentError::Newer(name.to_owned(), version));
    }
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(footer.chunks_exact(8)) {
        *word = bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    }
    let [offset, length, plain, _] = words;
    let end = offset.checked_add(length).and_then(|end| end.checked_add(FOOTER as u64));
    if end != Some(size) || plain > DIRECTORY_LIMIT {
        return Err(damaged("its end does not add up"));
    }
    Ok(words)
}

impl Directory {
    /// Reads and checks the directory of a file.
    pub(super) fn open(disk: &dyn Disk, name: &str) -> Result<Self, SegmentError> {
        let io = |e| SegmentError::Io(name.to_owned(), e);
        let damaged = |what| SegmentError::Damaged(name.to_owned(), what);
        let file = disk.open(name).map_err(io)?;
        let [offset, length, plain, check] = read_footer(&*file, name)?;
        let mut packed = vec![0; length as usize];
        file.read_at(offset, &mut packed).map_err(io)?;
        if xxh3_64(&packed) != check {
            return Err(damaged("its directory has changed"));
        }
        let mut bytes = Vec::new();
        let inflated =
            flate2::read::DeflateDecoder::new(&packed[..]).take(plain + 1).read_to_end(&mut bytes);
        if inflated.is_err() || bytes.len() as u64 != plain {
            return Err(damaged("its directory cannot be unpacked"));
        }
        Self::parse(&bytes, file, offset).ok_or_else(|| damaged("its directory makes no sense"))
    }

    fn parse(mut from: &[u8], file: Arc<dyn Stored>, end: u64) -> Option<Self> {
        let from = &mut from;
        let mut directory = Self {
            file,
            texts: Vec::new(),
            frames: Vec::new(),
            columns: Vec::new(),
            pairs: Vec::new(),
            by_metric: Vec::new(),
        };
        let _generations = (take_varint(from)?, take_varint(from)?);
        for _ in 0..take_varint(from)? {
            let length = usize::try_from(take_varint(from)?).ok()?;
            directory.texts.push(std::str::from_utf8(take_bytes(from, length)?).ok()?.into());
        }
        let mut offset = MAGIC.len() as u64;
        for frame in 0..take_varint(from)? {
            let source = directory.take_text(from)?;
            let rows = u32::try_from(take_varint(from)?).ok()?;
            if rows as usize > piece::ROW_LIMIT {
                return None;
            }
            let first = unzigzag(take_varint(from)?);
            let last = first.wrapping_add(take_varint(from)? as i64);
            let times = take_place(from, &mut offset)?;
            directory.frames.push(FrameEntry { source, rows, first, last, times });
            for _ in 0..take_varint(from)? {
                let start = u32::try_from(directory.pairs.len()).ok()?;
                let count = u16::try_from(take_varint(from)?).ok()?;
                for _ in 0..count {
                    let pair = (directory.take_text(from)?, directory.take_text(from)?);
                    directory.pairs.push(pair);
                }
                let piece = take_place(from, &mut offset)?;
                let labels = (start, count);
                let fingerprint = directory.labels_at(labels)?.fingerprint().0;
                let frame = frame as u32;
                directory.columns.push(ColumnEntry { fingerprint, frame, labels, piece });
            }
        }
        directory.columns.sort_by_key(|column| column.fingerprint);
        if let Some(name) = directory.text(METRIC_NAME) {
            let places = directory.columns.iter().zip(0..).filter_map(|(column, place)| {
                let pairs = directory.pairs_of(column).iter();
                pairs.clone().find(|(n, _)| *n == name).map(|(_, value)| (*value, place))
            });
            directory.by_metric = places.collect();
            directory.by_metric.sort_unstable();
        }
        (offset <= end && from.is_empty()).then_some(directory)
    }

    fn take_text(&self, from: &mut &[u8]) -> Option<u32> {
        let number = u32::try_from(take_varint(from)?).ok()?;
        ((number as usize) < self.texts.len()).then_some(number)
    }

    fn labels_at(&self, (start, count): (u32, u16)) -> Option<Labels> {
        let pairs = self.pairs.get(start as usize..start as usize + count as usize)?;
        let texts = pairs
            .iter()
            .map(|(name, value)| (&*self.texts[*name as usize], &*self.texts[*value as usize]));
        Labels::from_pairs(texts).ok()
    }

    /// The labels of a column.
    pub(super) fn labels(&self, column: &ColumnEntry) -> Labels {
        // Checked when the directory was read.
        self.labels_at(column.labels).unwrap_or_default()
    }

    /// The source of a frame.
    pub(super) fn source(&self, frame: u32) -> &str {
        self.frames.get(frame as usize).map_or("", |frame| &self.texts[frame.source as usize])
    }

    /// The columns of one series.
    pub(super) fn of_series(&self, labels: &Labels) -> impl Iterator<Item = &ColumnEntry> {
        let fingerprint = labels.fingerprint().0;
        let start = self.columns.partition_point(|column| column.fingerprint < fingerprint);
        self.columns[start..]
            .iter()
            .take_while(move |column| column.fingerprint == fingerprint)
            .filter(move |column| self.labels(column) == *labels)
    }

    /// The number of a text.
    fn text(&self, wanted: &str) -> Option<u32> {
        self.texts.iter().position(|text| **text == *wanted).map(|at| at as u32)
    }

    fn pairs_of(&self, column: &ColumnEntry) -> &[(u32, u32)] {
        let (start, count) = column.labels;
        &self.pairs[start as usize..start as usize + count as usize]
    }

    /// The places of the columns that all matchers accept. Each text is asked at most once for each
    /// matcher.
    pub(super) fn find(&self, matchers: &[Matcher]) -> Vec<u32> {
        let (mut metric, mut others) = (None, Vec::new());
        for matcher in matchers {
            match matcher.test() {
                Test::Equal(name) if matcher.name() == METRIC_NAME && metric.is_none() => {
                    metric = Some(&**name).filter(|name| !name.is_empty());
                    if metric.is_none() {
                        others.push(matcher);
                    }
                }
                _ => others.push(matcher),
            }
        }
        let mut tests: Vec<_> = others
            .iter()
            .map(|matcher| (*matcher, self.text(matcher.name()), HashMap::new()))
            .collect();
        let mut accepts = |place: u32| {
            let pairs = self.pairs_of(&self.columns[place as usize]);
            tests.iter_mut().all(|(matcher, name, known)| {
                match pairs.iter().find(|(n, _)| Some(*n) == *name) {
                    None => matcher.accepts(""),
                    Some((_, value)) => *known
                        .entry(*value)
                        .or_insert_with(|| matcher.accepts(&self.texts[*value as usize])),
                }
            })
        };
        let Some(metric) = metric else {
            return (0..self.columns.len() as u32).filter(|place| accepts(*place)).collect();
        };
        let Some(text) = self.text(metric) else { return Vec::new() };
        let first = self.by_metric.partition_point(|(name, _)| *name < text);
        let named = self.by_metric[first..].iter().take_while(|(name, _)| *name == text);
        named.map(|(_, place)| *place).filter(|place| accepts(*place)).collect()
    }

    fn read(&self, place: Place) -> Result<Vec<u8>, io::Error> {
        let mut bytes = vec![0; place.length as usize];
        self.file.read_at(place.offset, &mut bytes)?;
        if check_of(&bytes) != place.check {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "its bytes have changed"));
        }
        Ok(bytes)
    }

    /// The times of a frame.
    pub(super) fn times(&self, frame: u32) -> Result<Arc<Vec<i64>>, io::Error> {
        let entry = &self.frames[frame as usize];
        let bytes = self.read(entry.times)?;
        piece::decode_times(&bytes, entry.rows as usize).map(Arc::new).ok_or_else(nonsense)
    }

    /// The samples of a column.
    pub(super) fn load(
        &self,
        column: &ColumnEntry,
        times: Arc<Vec<i64>>,
    ) -> Result<Loaded, io::Error> {
        piece::decode_column(&self.read(column.piece)?, times).ok_or_else(nonsense)
    }

    /// Bytes in memory, about.
    fn heap(&self) -> usize {
        let texts: usize = self.texts.iter().map(|text| text.len() + 16).sum();
        texts
            + self.frames.len() * size_of::<FrameEntry>()
            + self.columns.len() * size_of::<ColumnEntry>()
            + (self.pairs.len() + self.by_metric.len()) * 8
    }
}

fn nonsense() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "its bytes make no sense")
}

fn take_place(from: &mut &[u8], offset: &mut u64) -> Option<Place> {
    let length = u32::try_from(take_varint(from)?).ok()?;
    let check = take_bytes(from, 4)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))?;
    let place = Place { offset: *offset, length, check };
    *offset += u64::from(length);
    Some(place)
}

/// The directories used last.
#[derive(Default)]
pub(super) struct Shelf(Mutex<VecDeque<(String, Arc<Directory>)>>);

impl Shelf {
    /// The directory of a segment, from memory or from the disk.
    pub(super) fn get(&self, disk: &dyn Disk, name: &str) -> Result<Arc<Directory>, SegmentError> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = kept.iter().position(|(other, _)| other == name)
            && let Some(found) = kept.remove(at)
        {
            let directory = Arc::clone(&found.1);
            kept.push_front(found);
            return Ok(directory);
        }
        drop(kept);
        let directory = Arc::new(Directory::open(disk, name)?);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_front((name.to_owned(), Arc::clone(&directory)));
        let mut bytes = 0;
        let full = kept.iter().position(|(_, directory)| {
            bytes += directory.heap();
            bytes > CACHE_BYTES
        });
        // The one just read stays, however large.
        kept.truncate(full.map_or(usize::MAX, |at| at.max(1)));
        Ok(directory)
    }

    /// Forgets a segment.
    pub(super) fn forget(&self, name: &str) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(other, _)| other != name);
    }
}
