//! A data folder as OpenMetrics text, and back, bit for bit.
//!
//! What the text cannot say by itself (native histograms, NaN with other bits than the usual one, the
//! staleness marker among them) stands in a line before the sample ([`super::exact_text`]) that
//! other readers take for a help text. Instants beyond 2^52 ms from 1970 are not exact.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64;

use super::catalogue::{Catalogue, Sync};
use super::chunk::Cell;
use super::disk::{Disk, Folder};
use super::durable::name_of;
use super::exact_text;
use super::offline::{self, OfflineError, Progress};
use super::open::{self, CATALOGUE, OpenError, SEGMENTS};
use super::segment::SegmentWriter;
use crate::exposition::{Limits, Syntax, float_text, parse};
use crate::model::{
    Columns, EscapedValue, Labels, METRIC_NAME, Matcher, Timestamp, Window, is_legacy_label_name,
    is_legacy_metric_name,
};
use crate::ports::{Select, SelectError};

/// How much an import does at once.
#[derive(Clone, Copy)]
pub(super) struct Portions {
    /// Bytes of text that are read.
    pub(super) bytes: usize,
    /// Samples of a segment.
    pub(super) samples: usize,
}

/// About 100 MiB of memory.
const PORTIONS: Portions = Portions { bytes: 4 << 20, samples: 1_000_000 };

/// What an export wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Series with at least one sample.
    pub series: u64,
    /// Floats and histograms.
    pub samples: u64,
    /// Series without a metric name: OpenMetrics cannot name them, so they are left out.
    pub nameless: u64,
}

/// What an import took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Samples stored.
    pub samples: u64,
    /// Samples older than the retention, left out.
    pub too_old: u64,
    /// Bytes skipped because an earlier, interrupted import of the same file stored them.
    pub resumed_at: u64,
}

/// Why an export or import ended.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The data folder.
    #[error(transparent)]
    Folder(#[from] OfflineError),
    /// Samples cannot be read.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// The text file.
    #[error("{}: {}", .0.display(), .1)]
    File(PathBuf, #[source] std::io::Error),
    /// A line of the text file.
    #[error("{}:{line}:{column}: {reason}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// In bytes, counted from 1.
        column: usize,
        /// What is wrong.
        reason: String,
    },
}

impl TransferError {
    /// Whoever read our output went away.
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::File(_, error) if error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

/// Writes all samples of the series that match any of `sets` (of all series when it is empty), in the
/// window, as OpenMetrics 1.0: series by series, in the order of their names and labels. Memory: one
/// series at a time.
///
/// # Errors
/// The folder cannot be read or `into` not be written.
pub fn export(
    data: &Path,
    sets: &[Vec<Matcher>],
    window: Window,
    into: &mut dyn Write,
    progress: Progress<'_>,
) -> Result<Exported, TransferError> {
    let view = offline::view(data)?;
    let mut found = view.find_any(sets, window)?;
    found.sort_by(|a, b| {
        let metric = a.labels.metric_name().cmp(b.labels.metric_name());
        metric.then_with(|| a.labels.cmp(&b.labels))
    });
    let mut exported = Exported::default();
    let mut columns = Columns::default();
    let mut text = String::new();
    let wrote = |error| TransferError::File(PathBuf::from("output"), error);
    for (series, done) in found.iter().zip(1..) {
        view.read(series.id, window, &mut columns)?;
        if columns.is_empty() {
            continue;
        }
        if series.labels.metric_name().is_empty() {
            exported.nameless += 1;
            continue;
        }
        exported.series += 1;
        exported.samples += columns.len() as u64;
        text.clear();
        write_series(&series.labels, &columns, &mut text);
        into.write_all(text.as_bytes()).map_err(wrote)?;
        progress(done, found.len() as u64);
    }
    into.write_all(b"# EOF\n").and_then(|()| into.flush()).map_err(wrote)?;
    Ok(exported)
}

fn write_series(labels: &Labels, columns: &Columns, text: &mut String) {
    let name = series_text(labels);
    let metric = labels.metric_name();
    let plain = is_legacy_metric_name(metric);
    let help = match plain {
        true => format!("# HELP {metric}{}", exact_text::MARK),
        false => format!("# HELP \"{}\"{}", EscapedValue(metric), exact_text::MARK),
    };
    let mut line = |exact: Option<String>, value: &str, at: Timestamp| {
        if let Some(exact) = exact {
            text.push_str(&help);
            text.push_str(&exact);
            text.push('\n');
        }
        text.push_str(&name);
        text.push(' ');
        text.push_str(value);
        text.push(' ');
        push_seconds(text, at);
        text.push('\n');
    };
    let mut histograms = columns.histograms.iter().peekable();
    for (time, value) in columns.times.iter().zip(&columns.values) {
        while let Some((at, histogram)) = histograms.next_if(|(at, _)| at < time) {
            line(Some(exact_text::histogram(histogram)), "NaN", *at);
        }
        line(exact_text::exact(*value), &float_text(*value), *time);
    }
    for (at, histogram) in histograms {
        line(Some(exact_text::histogram(histogram)), "NaN", *at);
    }
}

fn series_text(labels: &Labels) -> String {
    let metric = labels.metric_name();
    let plain = is_legacy_metric_name(metric);
    let mut text = if plain { metric.to_owned() } else { String::new() };
    let mut parts = Vec::new();
    if !plain && !metric.is_empty() {
        parts.push(format!("\"{}\"", EscapedValue(metric)));
    }
    for (name, value) in labels.iter().filter(|(name, _)| *name != METRIC_NAME) {
        let value = EscapedValue(value);
        parts.push(if is_legacy_label_name(name) {
            format!("{name}=\"{value}\"")
        } else {
            format!("\"{}\"=\"{value}\"", EscapedValue(name))
        });
    }
    if !parts.is_empty() {
        text.push_str(&format!("{{{}}}", parts.join(",")));
    }
    text
}

/// Milliseconds as seconds, exactly.
fn push_seconds(text: &mut String, at: Timestamp) {
    let millis = at.millis();
    let sign = if millis < 0 { "-" } else { "" };
    let (seconds, rest) = (millis.unsigned_abs() / 1000, millis.unsigned_abs() % 1000);
    text.push_str(&format!("{sign}{seconds}.{rest:03}"));
}

/// Stores the samples of an OpenMetrics file (each line must have a timestamp) in a data folder that
/// no server uses. Samples before `oldest` are left out. Interrupted and begun again with the same
/// file, it goes on where it was; and to import twice changes nothing.
///
/// # Errors
/// The folder is in use or cannot be written, or a line is no OpenMetrics.
pub fn import(
    data: &Path,
    file: &Path,
    oldest: Timestamp,
    progress: Progress<'_>,
) -> Result<Imported, TransferError> {
    import_in(PORTIONS, data, file, oldest, progress)
}

/// In other portions; they must be the same when it goes on.
pub(super) fn import_in(
    portions: Portions,
    data: &Path,
    file: &Path,
    oldest: Timestamp,
    progress: Progress<'_>,
) -> Result<Imported, TransferError> {
    let offline = |error: OpenError| TransferError::Folder(error.into());
    let unreadable = |error| TransferError::File(file.to_owned(), error);
    let mut source = File::open(file).map_err(unreadable)?;
    let size = source.metadata().map_err(unreadable)?.len();
    let key = key_of(&mut source, size).map_err(unreadable)?;
    let segments = data.join(SEGMENTS);
    std::fs::create_dir_all(&segments)
        .map_err(|e| offline(OpenError::Folder(segments.clone(), e)))?;
    let _lock = open::lock(data).map_err(offline)?;
    let path = data.join(CATALOGUE);
    let catalogue = Catalogue::open(&path, Sync::Full)
        .map_err(|e| offline(OpenError::Catalogue(path.clone(), e.to_string())))?;
    let mut import = Import {
        catalogue,
        path,
        disk: Folder(segments),
        key,
        portions,
        series: HashMap::new(),
        waiting: 0,
        imported: Imported::default(),
    };
    import.imported.resumed_at = import.sql(|catalogue, key| catalogue.import_at(key))?;
    import.read(file, source, size, oldest, progress)?;
    Ok(import.imported)
}

/// Names a file by its beginning and size.
fn key_of(file: &mut File, size: u64) -> std::io::Result<String> {
    let mut start = Vec::new();
    file.take(1 << 16).read_to_end(&mut start)?;
    Ok(format!("{:016x}-{size}", xxh3_64(&start)))
}

/// What a HELP line says about the sample behind it ([`exact_text`]).
fn exact_of(line: &[u8]) -> Option<&str> {
    let line = line.strip_prefix(b"# HELP ")?;
    let at = memchr::memmem::find(line, exact_text::MARK.as_bytes())?;
    std::str::from_utf8(&line[at + exact_text::MARK.len()..]).ok().map(str::trim_end)
}

/// Sorted by time; of several for one instant the last stays.
fn in_order(mut samples: Vec<(i64, Cell)>) -> Vec<(i64, Cell)> {
    samples.sort_by_key(|(at, _)| *at);
    let mut kept: Vec<(i64, Cell)> = Vec::with_capacity(samples.len());
    for sample in samples {
        match kept.last_mut() {
            Some(last) if last.0 == sample.0 => *last = sample,
            _ => kept.push(sample),
        }
    }
    kept
}

/// A series of an import.
type Column = (Labels, Vec<Option<Cell>>);

struct Import {
    catalogue: Catalogue,
    path: PathBuf,
    disk: Folder,
    key: String,
    portions: Portions,
    series: HashMap<Labels, Vec<(i64, Cell)>>,
    waiting: usize,
    imported: Imported,
}

impl Import {
    fn sql<T>(
        &self,
        work: impl FnOnce(&Catalogue, &str) -> rusqlite::Result<T>,
    ) -> Result<T, TransferError> {
        work(&self.catalogue, &self.key)
            .map_err(|e| OfflineError::Catalogue(self.path.clone(), e).into())
    }

    fn read(
        &mut self,
        name: &Path,
        mut file: File,
        size: u64,
        oldest: Timestamp,
        progress: Progress<'_>,
    ) -> Result<(), TransferError> {
        let unreadable = |error| TransferError::File(name.to_owned(), error);
        // Lines are counted from the start, also when going on in the middle.
        file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let (mut at, mut lines) = (0u64, 0usize);
        let mut kind = Vec::new();
        let mut portion = Vec::new();
        loop {
            portion.clear();
            portion.extend_from_slice(&kind);
            let ahead = usize::from(!kind.is_empty());
            let (mut own_lines, mut ended, mut open) = (0, false, false);
            while portion.len() < self.portions.bytes || open {
                let start = portion.len();
                if reader.read_until(b'\n', &mut portion).map_err(unreadable)? == 0 {
                    ended = true;
                    break;
                }
                at += (portion.len() - start) as u64;
                own_lines += 1;
                let line = &portion[start..];
                if line.starts_with(b"# TYPE ") {
                    kind = line.to_vec();
                }
                // It belongs to the sample behind it.
                open = exact_of(line).is_some();
                if line == b"# EOF\n" || line == b"# EOF" {
                    break;
                }
            }
            let done = at <= self.imported.resumed_at;
            if !done {
                self.take(name, &mut portion, lines as isize - ahead as isize, ended, oldest)?;
            }
            lines += own_lines;
            progress(at, size);
            if ended || portion.ends_with(b"# EOF\n") && at >= size {
                break;
            }
            if self.waiting >= self.portions.samples {
                self.flush(at)?;
            }
        }
        self.flush(size)?;
        self.sql(|catalogue, key| catalogue.import_done(key))
    }

    /// Parses a portion; its first line is number `before` + 1 of the file.
    fn take(
        &mut self,
        file: &Path,
        portion: &mut Vec<u8>,
        before: isize,
        ended: bool,
        oldest: Timestamp,
    ) -> Result<(), TransferError> {
        if !portion.ends_with(b"# EOF\n") && !portion.ends_with(b"# EOF") && !ended {
            portion.extend_from_slice(b"# EOF\n");
        }
        let limits = Limits { bytes: usize::MAX, samples: usize::MAX, ..Limits::default() };
        let line_error = |line: usize, column, reason| TransferError::Line {
            file: file.to_owned(),
            line: line.saturating_add_signed(before),
            column,
            reason,
        };
        let page = parse(portion, Syntax::OpenMetrics, limits)
            .map_err(|e| line_error(e.line, e.column, e.reason))?;
        let mut samples = page.samples.into_iter();
        let mut exact = None;
        for (line, number) in portion.split(|byte| *byte == b'\n').zip(1..) {
            if line.is_empty() || line[0] == b'#' {
                if let Some(text) = exact_of(line) {
                    exact = Some(exact_text::read(text).map_err(|e| line_error(number, 1, e))?);
                }
                continue;
            }
            let Some(sample) = samples.next() else { break };
            let Some(at) = sample.at else {
                return Err(line_error(number, 1, "the sample has no timestamp".to_owned()));
            };
            let cell = exact.take().unwrap_or(Cell::Bits(sample.value.to_bits()));
            if at < oldest {
                self.imported.too_old += 1;
                continue;
            }
            self.series.entry(sample.labels).or_default().push((at.millis(), cell));
            self.waiting += 1;
            self.imported.samples += 1;
        }
        Ok(())
    }

    /// Makes a segment of what waits and notes how far the file is read.
    fn flush(&mut self, at: u64) -> Result<(), TransferError> {
        if self.series.is_empty() {
            return Ok(());
        }
        let generation = self.sql(|catalogue, _| catalogue.next_generation())?;
        let name = name_of(generation, generation);
        // Series with the same times share a frame.
        let mut frames: BTreeMap<Vec<i64>, Vec<Column>> = BTreeMap::new();
        for (labels, samples) in self.series.drain() {
            let samples = in_order(samples);
            let times: Vec<i64> = samples.iter().map(|(at, _)| *at).collect();
            let cells = samples.into_iter().map(|(_, cell)| Some(cell)).collect();
            frames.entry(times).or_default().push((labels, cells));
        }
        self.waiting = 0;
        let disk: &dyn Disk = &self.disk;
        let written = (|| {
            let mut writer = SegmentWriter::create(disk, name.clone(), (generation, generation))?;
            for (times, mut columns) in frames {
                columns.sort_by(|a, b| a.0.cmp(&b.0));
                writer.begin_frame("import", &times)?;
                for (labels, cells) in &columns {
                    writer.column(labels, cells)?;
                }
                writer.end_frame();
            }
            writer.finish()
        })();
        let meta = written
            .map_err(|e| OfflineError::Io(self.path.with_file_name(SEGMENTS).join(name), e))?;
        self.sql(|catalogue, key| catalogue.enter_import(&meta, key, at))
    }
}
