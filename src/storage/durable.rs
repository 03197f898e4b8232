//! The disk side of an open store: sealing, merging, retention.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::{HashMap, HashSet};

use super::catalogue::Catalogue;
use super::chunk::{Cell, Part, join_times};
use super::head::{Block, NONE};
use super::index::Index;
use super::open::SUFFIX;
use super::past::{Archive, Segment};
use super::piece::Loaded;
use super::segment::{ColumnEntry, Directory, SegmentWriter};
use super::store::Core;
use crate::model::{Labels, Timestamp};

/// So many neighbours are merged.
const FAN_IN: usize = 4;
/// Segments of so many generations are large enough: of 2 h each, more than a day.
const GENERATIONS: u64 = 16;

/// The disk side.
pub(super) struct Durable {
    /// The data folder.
    pub(super) path: PathBuf,
    pub(super) catalogue: Catalogue,
    pub(super) archive: Arc<Archive>,
    /// One sealing or merging at a time.
    pub(super) busy: Mutex<()>,
    /// Held as long as the store is open.
    pub(super) _lock: Option<File>,
}

/// Why a segment was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum SealError {
    #[error("cannot write a segment: {0}")]
    Io(#[from] io::Error),
    #[error("cannot enter a segment in the catalogue: {0}")]
    Sql(#[from] rusqlite::Error),
}

/// The file of a segment.
pub(super) fn name_of(first: u64, last: u64) -> String {
    format!("{first:010}-{last:010}{SUFFIX}")
}

impl Durable {
    /// What is due: sealing, then merging, then retention. Failures are logged and counted; the next
    /// time it is tried again.
    pub(super) fn upkeep(&self, core: &Core, now: Timestamp) {
        let due = now.since(core.lock().began).is_some_and(|age| age >= core.settings.seal_every);
        let mut worked = true;
        let mut check = |result: Result<(), SealError>| {
            if let Err(error) = result {
                worked = false;
                tracing::error!(%error, "the samples in memory stay there for now");
            }
        };
        // What the disk refused before goes to it as soon as there is room.
        if due || core.has_closable_gap() {
            check(self.seal(core));
        }
        loop {
            let segments = Arc::clone(&core.lock().segments);
            let Some(group) = mergeable(&segments) else { break };
            let merged = self.merge(core, &group);
            let failed = merged.is_err();
            check(merged);
            if failed {
                break;
            }
        }
        check(self.drop_old(core, now));
        let segments = Arc::clone(&core.lock().segments);
        let bytes = segments.iter().map(|segment| segment.meta.bytes).sum();
        core.telemetry.storage.segments(segments.len(), bytes, worked);
    }

    /// Writes all samples that are in no segment into one, and forgets their tail.
    pub(super) fn seal(&self, core: &Core) -> Result<(), SealError> {
        let gap = std::mem::take(&mut core.lock().gap);
        let sealed = self.seal_now(core);
        if sealed.is_err() {
            core.lock().gap |= gap;
        }
        sealed
    }

    fn seal_now(&self, core: &Core) -> Result<(), SealError> {
        let _one = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = core.lock();
        let complete = state.head.next_generation();
        if let Some(pending) = &mut state.pending {
            pending.begin(complete + 1);
        }
        let begin = core.clock.wall();
        let first = state.unsealed;
        let (blocks, index, _) = state.head.view();
        drop(state);

        let name = name_of(first, complete);
        let mut writer = SegmentWriter::create(&*self.archive.disk, name, (first, complete))?;
        write_blocks(&mut writer, &blocks, &index, first..=complete)?;
        let meta = writer.finish()?;
        // A generation without samples leaves an empty file; at the next start it goes.
        let meta = Some(meta).filter(|meta| meta.samples > 0);
        self.catalogue.enter(meta.as_ref(), Some(complete), &[])?;
        if let Err(error) = self.catalogue.give_back() {
            tracing::debug!(%error, "the room of the sealed tail stays in the catalogue");
        }
        let mut state = core.lock();
        if let Some(meta) = meta {
            let new = Segment::new(meta, Arc::clone(&self.archive));
            state.segments = state.segments.iter().cloned().chain([new]).collect();
        }
        state.unsealed = complete + 1;
        // Not before: what failed is tried again soon.
        state.began = begin;
        Ok(())
    }

    /// Makes one segment of several neighbours.
    fn merge(&self, core: &Core, group: &[Arc<Segment>]) -> Result<(), SealError> {
        let _one = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(first), Some(last)) = (group.first(), group.last()) else { return Ok(()) };
        for segment in group {
            if segment.directory()?.is_none() {
                // Reported already. The file stays for whoever wants to look into it.
                self.catalogue.set_aside(&segment.meta.name)?;
                let mut state = core.lock();
                let sound = state.segments.iter().filter(|s| s.meta.name != segment.meta.name);
                state.segments = sound.cloned().collect();
                return Ok(());
            }
        }
        let generations = (first.meta.first_generation, last.meta.last_generation);
        let name = name_of(generations.0, generations.1);
        let mut writer = SegmentWriter::create(&*self.archive.disk, name, generations)?;
        write_merged(&mut writer, group)?;
        let meta = writer.finish()?;
        let gone: Vec<String> = group.iter().map(|segment| segment.meta.name.clone()).collect();
        self.catalogue.enter(Some(&meta), None, &gone)?;
        let new = Segment::new(meta, Arc::clone(&self.archive));
        self.replace(core, &gone, Some(new));
        Ok(())
    }

    fn replace(&self, core: &Core, gone: &[String], mut new: Option<Arc<Segment>>) {
        let mut state = core.lock();
        let mut segments = Vec::new();
        for segment in state.segments.iter() {
            if gone.contains(&segment.meta.name) {
                segment.doom();
                segments.extend(new.take());
            } else {
                segments.push(Arc::clone(segment));
            }
        }
        state.segments = segments.into();
    }

    /// Drops segments that are older than the retention, then the oldest while all together are too
    /// large.
    fn drop_old(&self, core: &Core, now: Timestamp) -> Result<(), SealError> {
        let _one = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let mut segments: Vec<Arc<Segment>> = core.lock().segments.to_vec();
        let cutoff = (now - core.settings.retention).millis();
        let mut gone: Vec<String> = Vec::new();
        segments.retain(|segment| {
            let keep = segment.meta.last >= cutoff;
            if !keep {
                gone.push(segment.meta.name.clone());
            }
            keep
        });
        if let Some(limit) = core.settings.retention_bytes {
            segments.sort_by_key(|segment| segment.meta.last);
            let mut bytes: u64 = segments.iter().map(|segment| segment.meta.bytes).sum();
            for segment in &segments {
                if bytes <= limit {
                    break;
                }
                bytes -= segment.meta.bytes;
                gone.push(segment.meta.name.clone());
            }
        }
        if !gone.is_empty() {
            self.catalogue.enter(None, None, &gone)?;
            self.replace(core, &gone, None);
            tracing::info!(segments = gone.len(), "dropped old samples");
        }
        Ok(())
    }
}

/// The first neighbours that are worth merging: several of about the same length.
fn mergeable(segments: &[Arc<Segment>]) -> Option<Vec<Arc<Segment>>> {
    let tier = |segment: &Segment| {
        let length = segment.meta.last_generation - segment.meta.first_generation + 1;
        (length < GENERATIONS).then_some(length >= FAN_IN as u64)
    };
    segments.windows(FAN_IN).find_map(|group| {
        let first = tier(&group[0])?;
        group.iter().all(|segment| tier(segment) == Some(first)).then(|| group.to_vec())
    })
}

/// The columns of several parts of one source, one after another.
fn write_frame<'l>(
    writer: &mut SegmentWriter<'_>,
    source: &str,
    parts: &[Part<'_>],
    columns: impl Iterator<Item = (&'l Labels, usize)>,
) -> io::Result<()> {
    let (times, maps) = join_times(parts);
    if times.is_empty() {
        return Ok(());
    }
    writer.begin_frame(source, &times)?;
    let (mut cells, mut bits): (Vec<Option<Cell>>, Vec<u64>) = (Vec::new(), Vec::new());
    for (labels, slot) in columns {
        cells.clear();
        cells.resize(times.len(), None);
        for (part, map) in parts.iter().zip(&maps) {
            part.column(slot, &mut bits, |row, cell| cells[map[row] as usize] = Some(cell));
        }
        writer.column(labels, &cells)?;
    }
    writer.end_frame();
    Ok(())
}

fn write_blocks(
    writer: &mut SegmentWriter<'_>,
    blocks: &[Arc<Block>],
    index: &std::sync::RwLock<Index>,
    generations: std::ops::RangeInclusive<u64>,
) -> io::Result<()> {
    for frame in blocks.iter().flat_map(|block| block.iter()) {
        let chunks = frame.chunks.iter().filter(|(g, _)| generations.contains(g));
        let parts: Vec<Part<'_>> = chunks.map(|(_, chunk)| Part::Closed(chunk)).collect();
        if parts.is_empty() {
            continue;
        }
        let labels: Vec<(Labels, usize)> = {
            let index = index.read().unwrap_or_else(PoisonError::into_inner);
            let series = frame.columns.iter().enumerate().filter(|(_, series)| **series != NONE);
            series.filter_map(|(slot, s)| Some((index.labels(*s)?.clone(), slot))).collect()
        };
        let columns = labels.iter().map(|(labels, slot)| (labels, *slot));
        write_frame(writer, &frame.source, &parts, columns)?;
    }
    Ok(())
}

/// A frame of one of the segments to merge: (which segment, which frame).
type FrameOf = (usize, u32);

/// Series of which several sources have columns in the segments to merge, by fingerprint.
struct Shared(HashSet<u64>);

impl Shared {
    fn find(directories: &[Arc<Directory>]) -> Self {
        let mut sources: HashMap<u64, &str> = HashMap::new();
        let mut shared = HashSet::new();
        for directory in directories {
            for column in &directory.columns {
                let source = directory.source(column.frame);
                if *sources.entry(column.fingerprint()).or_insert(source) != source {
                    shared.insert(column.fingerprint());
                }
            }
        }
        Self(shared)
    }

    /// All columns of a series that is among them: (which segment, column).
    fn of<'a>(
        &self,
        directories: &'a [Arc<Directory>],
        labels: &'a Labels,
    ) -> impl Iterator<Item = (usize, &'a ColumnEntry)> {
        let is_shared = !self.0.is_empty() && self.0.contains(&labels.fingerprint().0);
        let wanted = directories.iter().enumerate().filter(move |_| is_shared);
        wanted.flat_map(|(at, d)| d.of_series(labels).map(move |column| (at, column)))
    }
}

fn write_merged(writer: &mut SegmentWriter<'_>, group: &[Arc<Segment>]) -> io::Result<()> {
    let mut directories: Vec<Arc<Directory>> = Vec::new();
    let mut segments: Vec<&Segment> = Vec::new();
    for segment in group {
        if let Some(directory) = segment.directory()? {
            directories.push(directory);
            segments.push(segment);
        }
    }
    let mut sources: BTreeMap<&str, Vec<FrameOf>> = BTreeMap::new();
    let mut columns: Vec<Vec<Vec<&ColumnEntry>>> = Vec::new();
    for (at, directory) in directories.iter().enumerate() {
        let mut of_frames = vec![Vec::new(); directory.frames.len()];
        for column in &directory.columns {
            of_frames[column.frame as usize].push(column);
        }
        for frame in 0..directory.frames.len() as u32 {
            sources.entry(directory.source(frame)).or_default().push((at, frame));
        }
        columns.push(of_frames);
    }
    let shared = Shared::find(&directories);
    for (source, frames) in sources {
        let mut all = Vec::new();
        let mut series: BTreeMap<Labels, Vec<(usize, &ColumnEntry)>> = BTreeMap::new();
        for (at, frame) in frames {
            let Some(times) = segments[at].times(&directories[at], frame)? else { continue };
            for column in &columns[at][frame as usize] {
                let labels = directories[at].labels(column);
                series.entry(labels).or_default().push((all.len(), column));
            }
            all.push((at, Loaded { times, ..Loaded::default() }));
        }
        let parts: Vec<Part<'_>> = all.iter().map(|(_, loaded)| Part::Loaded(loaded)).collect();
        let (times, maps) = join_times(&parts);
        if times.is_empty() {
            continue;
        }
        writer.begin_frame(source, &times)?;
        let (mut cells, mut origins): (Vec<Option<Cell>>, Vec<usize>) = (Vec::new(), Vec::new());
        for (labels, places) in series {
            cells.clear();
            cells.resize(times.len(), None);
            origins.clear();
            origins.resize(times.len(), 0);
            for (part, column) in places {
                let (at, frame) = &all[part];
                let times = Arc::clone(&frame.times);
                if let Some(loaded) = segments[*at].load(&directories[*at], column, times)? {
                    Part::Loaded(&loaded).column(0, &mut Vec::new(), |row, cell| {
                        cells[maps[part][row] as usize] = Some(cell);
                        origins[maps[part][row] as usize] = *at;
                    });
                }
            }
            for (at, column) in shared.of(&directories, &labels) {
                let directory = &directories[at];
                if directory.source(column.frame) == source {
                    continue;
                }
                let Some(theirs) = segments[at].times(directory, column.frame)? else { continue };
                let Some(loaded) = segments[at].load(directory, column, theirs)? else { continue };
                Part::Loaded(&loaded).column(0, &mut Vec::new(), |row, _| {
                    // What another source gave later for the same instant counts, and this does not.
                    if let Ok(row) = times.binary_search(&loaded.times[row])
                        && origins[row] < at
                    {
                        cells[row] = None;
                    }
                });
            }
            writer.column(&labels, &cells)?;
        }
        writer.end_frame();
    }
    Ok(())
}
