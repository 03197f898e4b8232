//! What lies on the disk, as a snapshot sees it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashSet;

use super::disk::Disk;
use super::piece::Loaded;
use super::segment::{ColumnEntry, Directory, Meta, SegmentError, Shelf};
use super::warm::{Piece, Warm};
use crate::model::{Labels, Timestamp, Window};
use crate::ports::SelectError;
use crate::telemetry::Telemetry;

/// A segment file. When it is doomed, the file goes with the last snapshot that knows it.
pub(super) struct Segment {
    pub(super) meta: Meta,
    /// Tells it apart from all others that this process has seen.
    number: u64,
    folder: Arc<Archive>,
    doomed: AtomicBool,
}

/// The folder of the segments, with what is remembered about it.
pub(super) struct Archive {
    pub(super) disk: Arc<dyn Disk>,
    shelf: Shelf,
    warm: Warm,
    segments: AtomicU64,
    telemetry: Arc<Telemetry>,
    reported: Mutex<HashSet<(String, u64)>>,
}

impl Archive {
    pub(super) fn new(disk: Arc<dyn Disk>, telemetry: Arc<Telemetry>) -> Arc<Self> {
        Arc::new(Self {
            disk,
            shelf: Shelf::default(),
            warm: Warm::default(),
            segments: AtomicU64::new(0),
            telemetry,
            reported: Mutex::default(),
        })
    }

    /// Counts and logs damage, each piece once.
    pub(super) fn report(&self, segment: &str, place: u64, what: &str, why: &str) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.insert((segment.to_owned(), place)) {
            self.telemetry.storage.damaged();
            tracing::error!(segment, what, why, "stored samples are damaged and were set aside");
        }
    }
}

impl Segment {
    pub(super) fn new(meta: Meta, folder: Arc<Archive>) -> Arc<Self> {
        let number = folder.segments.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { meta, number, folder, doomed: AtomicBool::new(false) })
    }

    /// Its file goes when nobody looks any more.
    pub(super) fn doom(&self) {
        self.doomed.store(true, Ordering::Release);
    }

    /// Its directory. `None` when it is damaged, which is reported.
    pub(super) fn directory(&self) -> Result<Option<Arc<Directory>>, io::Error> {
        match self.folder.shelf.get(&*self.folder.disk, &self.meta.name) {
            Ok(directory) => Ok(Some(directory)),
            Err(SegmentError::Io(_, error)) => Err(error),
            Err(other) => {
                self.folder.report(&self.meta.name, u64::MAX, "all series", &other.to_string());
                Ok(None)
            }
        }
    }

    /// Whether it has samples in the window.
    pub(super) fn meets(&self, window: Window) -> bool {
        self.meta.last > window.after.millis() && self.meta.first <= window.through.millis()
    }

    /// The times of a frame. `None` when they are damaged, which is reported.
    pub(super) fn times(
        &self,
        directory: &Directory,
        frame: u32,
    ) -> Result<Option<Arc<Vec<i64>>>, io::Error> {
        let entry = &directory.frames[frame as usize];
        let source = directory.source(frame);
        self.sound(directory.times(frame), entry.times.offset, source, (entry.first, entry.last))
    }

    /// A column. `None` when it is damaged, which is reported.
    pub(super) fn load(
        &self,
        directory: &Directory,
        column: &ColumnEntry,
        times: Arc<Vec<i64>>,
    ) -> Result<Option<Loaded>, io::Error> {
        let entry = &directory.frames[column.frame as usize];
        let loaded = directory.load(column, times);
        let span = (entry.first, entry.last);
        if loaded.is_ok() {
            return loaded.map(Some);
        }
        let series = directory.labels(column).to_string();
        self.sound(loaded, column.piece.offset, &series, span)
    }

    /// A column, from memory or from the disk. `None` when it is damaged, which is reported.
    pub(super) fn column(
        &self,
        directory: &Directory,
        column: &ColumnEntry,
    ) -> Result<Option<Arc<Loaded>>, io::Error> {
        let key = (self.number, column.piece.offset);
        if let Some(Piece::Column(found)) = self.folder.warm.get(key) {
            return Ok(Some(found));
        }
        let entry = &directory.frames[column.frame as usize];
        let of_frame = (self.number, entry.times.offset);
        let times = match self.folder.warm.get(of_frame) {
            Some(Piece::Times(times)) => times,
            _ => {
                let Some(times) = self.times(directory, column.frame)? else { return Ok(None) };
                self.folder.warm.put(of_frame, Piece::Times(Arc::clone(&times)));
                times
            }
        };
        let Some(loaded) = self.load(directory, column, times)? else { return Ok(None) };
        let loaded = Arc::new(loaded);
        self.folder.warm.put(key, Piece::Column(Arc::clone(&loaded)));
        Ok(Some(loaded))
    }

    fn sound<T>(
        &self,
        read: Result<T, io::Error>,
        place: u64,
        what: &str,
        (first, last): (i64, i64),
    ) -> Result<Option<T>, io::Error> {
        match read {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let from = Timestamp::from_millis(first);
                let what = format!("{what} from {from} to {}", Timestamp::from_millis(last));
                self.folder.report(&self.meta.name, place, &what, &error.to_string());
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        self.folder.warm.forget(self.number);
        if self.doomed.load(Ordering::Acquire) {
            self.folder.shelf.forget(&self.meta.name);
            // What cannot be removed now is removed at the next start: it is in no catalogue.
            let _ = self.folder.disk.remove(&self.meta.name);
        }
    }
}

/// The segments of a snapshot.
#[derive(Clone)]
pub(super) struct Past {
    pub(super) segments: Arc<[Arc<Segment>]>,
    /// All samples later than this are in memory (milliseconds).
    pub(super) memory_from: i64,
}

impl Past {
    /// The segments that have to be asked for a window, with their place among all; earlier
    /// generations first.
    pub(super) fn wanted(&self, window: Window) -> impl Iterator<Item = (u32, &Arc<Segment>)> {
        let early = window.after.millis() < self.memory_from;
        let all = (0u32..).zip(self.segments.iter());
        all.filter(move |(_, segment)| early && segment.meets(window))
    }
}

/// An error of the disk as the door of reading knows it.
pub(super) fn unreadable(error: &io::Error) -> SelectError {
    SelectError::Io(error.to_string().into())
}

/// The samples of one series in a segment.
pub(super) fn load_series(
    segment: &Segment,
    labels: &Labels,
    window: Window,
    into: &mut Vec<Arc<Loaded>>,
) -> Result<(), io::Error> {
    let Some(directory) = segment.directory()? else { return Ok(()) };
    for column in directory.of_series(labels) {
        load_column(segment, &directory, column, window, into)?;
    }
    Ok(())
}

/// The samples of one column of a segment, unless they are all outside of the window.
pub(super) fn load_column(
    segment: &Segment,
    directory: &Directory,
    column: &ColumnEntry,
    window: Window,
    into: &mut Vec<Arc<Loaded>>,
) -> Result<(), io::Error> {
    let frame = &directory.frames[column.frame as usize];
    if frame.last > window.after.millis() && frame.first <= window.through.millis() {
        into.extend(segment.column(directory, column)?);
    }
    Ok(())
}
