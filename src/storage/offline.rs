//! Looking at a data folder from outside, also while a server uses it: what is stored, is it whole,
//! a consistent copy.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashbrown::HashSet;

use super::catalogue::Catalogue;
use super::disk::Folder;
use super::head::Head;
use super::open::{CATALOGUE, OpenError, SEGMENTS};
use super::past::{Archive, Past, Segment};
use super::recovery::Recovery;
use super::segment::{Directory, Meta, SegmentError};
use super::snapshot::View;
use super::tail::KnownShape;
use crate::model::{Labels, Timestamp};
use crate::ports::Snapshot;
use crate::telemetry::Telemetry;

/// Told as work goes on: units done, units in all.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// Why a data folder could not be worked on.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// Nobody ever kept samples there.
    #[error("there are no samples in {}", .0.display())]
    Nothing(PathBuf),
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file cannot be read or written.
    #[error("{}: {}", .0.display(), .1)]
    Io(PathBuf, #[source] io::Error),
    /// The catalogue cannot be read or written.
    #[error("{}: {}", .0.display(), .1)]
    Catalogue(PathBuf, #[source] rusqlite::Error),
}

/// What is stored.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Sealed files, the oldest first.
    pub segments: Vec<SegmentStatus>,
    /// Names of files that were found damaged and set aside.
    pub damaged: Vec<String>,
    /// Samples that are not sealed yet.
    pub tail_samples: u64,
    /// Size of the catalogue, which holds these samples.
    pub catalogue_bytes: u64,
    /// Distinct series.
    pub series: u64,
    /// What each source has, the largest first.
    pub by_source: Vec<Share>,
    /// What each metric name has, the largest first.
    pub by_metric: Vec<Share>,
}

/// One sealed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentStatus {
    /// Its name in the folder `segments`.
    pub name: String,
    /// Time of the first sample.
    pub first: Timestamp,
    /// Time of the last sample.
    pub last: Timestamp,
    /// Samples in it.
    pub samples: u64,
    /// Columns in it: a series that several sources give counts several times.
    pub series: u64,
    /// Its size.
    pub bytes: u64,
}

/// What one source or one metric takes on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// The source or the metric.
    pub name: String,
    /// Distinct series.
    pub series: u64,
    /// Bytes of their columns in sealed files.
    pub bytes: u64,
}

/// What an examination found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Pieces (columns and time columns) that were read and decoded.
    pub pieces: u64,
    /// Samples decoded.
    pub samples: u64,
    /// What is damaged, a line each with series and time range.
    pub damage: Vec<String>,
}

/// A data folder, open to look.
pub(super) struct Look {
    pub(super) path: PathBuf,
    pub(super) catalogue: Catalogue,
    pub(super) disk: Arc<Folder>,
}

impl Look {
    pub(super) fn at(data: &Path) -> Result<Self, OfflineError> {
        let file = data.join(CATALOGUE);
        if matches!(file.try_exists(), Ok(false)) {
            return Err(OfflineError::Nothing(data.to_owned()));
        }
        let catalogue =
            Catalogue::look(&file).map_err(|e| OpenError::Catalogue(file, e.to_string()))?;
        let disk = Arc::new(Folder(data.join(SEGMENTS)));
        Ok(Self { path: data.to_owned(), catalogue, disk })
    }

    pub(super) fn sql(&self, error: rusqlite::Error) -> OfflineError {
        OfflineError::Catalogue(self.path.join(CATALOGUE), error)
    }

    fn io(&self, name: &str, error: io::Error) -> OfflineError {
        OfflineError::Io(self.path.join(SEGMENTS).join(name), error)
    }

    /// The segments and the tail of one moment.
    fn at_one_moment(data: &Path) -> Result<Self, OfflineError> {
        let look = Self::at(data)?;
        look.catalogue.stand_still().map_err(|e| look.sql(e))?;
        Ok(look)
    }

    /// The catalogue with its log.
    fn catalogue_bytes(&self) -> u64 {
        let size = |suffix: &str| {
            let file = self.path.join(format!("{CATALOGUE}{suffix}"));
            std::fs::metadata(file).map_or(0, |found| found.len())
        };
        size("") + size("-wal")
    }

    pub(super) fn metas(&self) -> Result<Vec<Meta>, OfflineError> {
        self.catalogue.segments().map_err(|e| self.sql(e))
    }

    /// All samples as they are now.
    pub(super) fn view(&self) -> Result<View, OfflineError> {
        let archive = Archive::new(self.disk.clone(), Telemetry::new());
        let metas = self.metas()?;
        let mut head = Head::new(0);
        let mut recovery = Recovery::new(&mut head);
        self.catalogue.recover(|shape| recovery.take(shape)).map_err(|e| self.sql(e))?;
        recovery.finish();
        let memory_from = metas.iter().map(|meta| meta.last).max().unwrap_or(i64::MIN);
        let segments = metas.into_iter().map(|meta| Segment::new(meta, Arc::clone(&archive)));
        Ok(View::new(head.view(), Past { segments: segments.collect(), memory_from }))
    }
}

/// All samples of a data folder as they are now, to query without a server.
///
/// # Errors
/// The folder cannot be read.
pub fn look(data: &Path) -> Result<Snapshot, OfflineError> {
    Ok(Arc::new(view(data)?))
}

/// The same with its inner face.
pub(super) fn view(data: &Path) -> Result<View, OfflineError> {
    Look::at_one_moment(data)?.view()
}

/// What is stored in a data folder.
///
/// # Errors
/// The folder cannot be read.
pub fn status(data: &Path, progress: Progress<'_>) -> Result<Status, OfflineError> {
    let look = Look::at_one_moment(data)?;
    let metas = look.metas()?;
    let mut status = Status::default();
    let aside = look.catalogue.damaged().map_err(|e| look.sql(e))?;
    status.damaged.extend(aside.into_iter().map(|meta| meta.name));
    let mut counted = Counted::default();
    for (meta, done) in metas.iter().zip(1..) {
        match Directory::open(&*look.disk, &meta.name) {
            Ok(directory) => {
                for column in &directory.columns {
                    let (source, labels) =
                        (directory.source(column.frame), directory.labels(column));
                    counted.add(source, &labels, u64::from(column.piece.length));
                }
            }
            // Merged away since the catalogue was read.
            Err(SegmentError::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(SegmentError::Io(name, error)) => return Err(look.io(&name, error)),
            Err(_) => {
                status.damaged.push(meta.name.clone());
                continue;
            }
        }
        status.segments.push(SegmentStatus {
            name: meta.name.clone(),
            first: Timestamp::from_millis(meta.first),
            last: Timestamp::from_millis(meta.last),
            samples: meta.samples,
            series: meta.series,
            bytes: meta.bytes,
        });
        progress(done, metas.len() as u64);
    }
    let tail = |shape: &mut KnownShape| {
        for labels in shape.labels.iter() {
            counted.add(&shape.source, labels, 0);
        }
    };
    status.tail_samples = look.catalogue.recover(tail).map_err(|e| look.sql(e))?.samples;
    status.catalogue_bytes = look.catalogue_bytes();
    status.series = counted.series.len() as u64;
    status.by_source = shares(counted.sources);
    status.by_metric = shares(counted.metrics);
    Ok(status)
}

/// Series by fingerprint, and bytes, of everything of one name.
type Sums = BTreeMap<String, (HashSet<u64>, u64)>;

#[derive(Default)]
struct Counted {
    series: HashSet<u64>,
    sources: Sums,
    metrics: Sums,
}

impl Counted {
    fn add(&mut self, source: &str, labels: &Labels, bytes: u64) {
        let series = labels.fingerprint().0;
        self.series.insert(series);
        for (sums, name) in [(&mut self.sources, source), (&mut self.metrics, labels.metric_name())]
        {
            if !sums.contains_key(name) {
                sums.insert(name.to_owned(), <_>::default());
            }
            if let Some(sum) = sums.get_mut(name) {
                sum.0.insert(series);
                sum.1 += bytes;
            }
        }
    }
}

fn shares(of: Sums) -> Vec<Share> {
    let share = |(name, (series, bytes)): (String, (HashSet<u64>, u64))| Share {
        name,
        series: series.len() as u64,
        bytes,
    };
    let mut all: Vec<Share> = of.into_iter().map(share).collect();
    all.sort_by_key(|share| std::cmp::Reverse((share.bytes, share.series)));
    all
}

/// Reads and decodes everything that is stored.
///
/// # Errors
/// The folder cannot be read; damage is no error but a finding.
pub fn verify(data: &Path, progress: Progress<'_>) -> Result<Verified, OfflineError> {
    let look = Look::at_one_moment(data)?;
    let metas = look.metas()?;
    let mut found = Verified::default();
    let complaints = look.catalogue.complaints().map_err(|e| look.sql(e))?;
    found.damage.extend(complaints.into_iter().map(|line| format!("{CATALOGUE}: {line}")));
    let tail = look.catalogue.recover(|_| {}).map_err(|e| look.sql(e))?;
    if tail.damaged > 0 {
        found.damage.push(format!("{CATALOGUE}: {} groups of the newest samples", tail.damaged));
    }
    found.samples += tail.samples;
    let total: u64 = metas.iter().map(|meta| meta.bytes).sum();
    let mut done = 0;
    for meta in &metas {
        match Directory::open(&*look.disk, &meta.name) {
            Ok(directory) => verify_segment(&meta.name, &directory, &mut found),
            Err(SegmentError::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => {
                // Merged away meanwhile, or lost: the catalogue knows by now.
                let known = Look::at(data)?.metas()?.iter().any(|other| other.name == meta.name);
                if known {
                    found.damage.push(format!("{}: the file is missing", meta.name));
                }
            }
            Err(SegmentError::Io(name, error)) => return Err(look.io(&name, error)),
            Err(error) => found.damage.push(error.to_string()),
        }
        done += meta.bytes;
        progress(done, total);
    }
    Ok(found)
}

fn verify_segment(name: &str, directory: &Directory, found: &mut Verified) {
    let mut times = Vec::new();
    for (entry, frame) in directory.frames.iter().zip(0..) {
        found.pieces += 1;
        let read = directory.times(frame);
        if let Err(error) = &read {
            let source = directory.source(frame);
            found.damage.push(finding(name, source, (entry.first, entry.last), error));
        }
        times.push(read.ok());
    }
    for column in &directory.columns {
        let Some(times) = &times[column.frame as usize] else { continue };
        found.pieces += 1;
        match directory.load(column, Arc::clone(times)) {
            Ok(loaded) => found.samples += (loaded.bits.len() + loaded.histograms.len()) as u64,
            Err(error) => {
                let entry = &directory.frames[column.frame as usize];
                let series = directory.labels(column).to_string();
                found.damage.push(finding(name, &series, (entry.first, entry.last), &error));
            }
        }
    }
}

fn finding(segment: &str, what: &str, (first, last): (i64, i64), error: &io::Error) -> String {
    let (first, last) = (Timestamp::from_millis(first), Timestamp::from_millis(last));
    format!("{segment}: {what} from {first} to {last}: {error}")
}

/// Makes a consistent copy of a data folder, also while a server uses it. Segments are linked where
/// the file system can, so that the copy takes next to no room.
///
/// # Errors
/// The folder cannot be read, or `to` cannot be written or is not empty.
pub fn snapshot(data: &Path, to: &Path, progress: Progress<'_>) -> Result<(), OfflineError> {
    let io = |path: &Path, error| OfflineError::Io(path.to_owned(), error);
    let segments = to.join(SEGMENTS);
    let copy = to.join(CATALOGUE);
    if copy.exists() {
        return Err(io(&copy, io::ErrorKind::AlreadyExists.into()));
    }
    std::fs::create_dir_all(&segments).map_err(|e| io(&segments, e))?;
    let look = Look::at(data)?;
    // A segment may be merged away between the copy of the catalogue and its own; then again.
    for attempt in 0..5 {
        look.catalogue.copy_to(&copy).map_err(|e| look.sql(e))?;
        let metas = Look::at(to)?.metas()?;
        let mut missing = false;
        for (meta, done) in metas.iter().zip(1..) {
            let (from, to) = (data.join(SEGMENTS).join(&meta.name), segments.join(&meta.name));
            if to.exists() {
                continue;
            }
            match std::fs::hard_link(&from, &to).or_else(|_| std::fs::copy(&from, &to).map(drop)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < 4 => {
                    missing = true;
                    break;
                }
                Err(error) => return Err(io(&from, error)),
            }
            progress(done, metas.len() as u64);
        }
        if !missing {
            break;
        }
        std::fs::remove_file(&copy).map_err(|e| io(&copy, e))?;
    }
    Ok(())
}
