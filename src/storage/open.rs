//! Opening: what is on the disk, is it ours, is it whole.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::Settings;
use super::catalogue::{Catalogue, CatalogueError, Sync};
use super::commit::Pending;
use super::disk::{Disk, Folder};
use super::durable::Durable;
use super::head::Head;
use super::past::{Archive, Segment};
use super::recovery::Recovery;
use super::segment::{self, SegmentError};
use super::store::{Core, State};
use crate::ports::Clock;
use crate::telemetry::Telemetry;

/// Name of the catalogue in the data folder.
pub(super) const CATALOGUE: &str = "samples.db";
/// Name of the folder of segments in the data folder.
pub(super) const SEGMENTS: &str = "segments";
const LOCK: &str = "samples.lock";
/// How segment files end.
pub(super) const SUFFIX: &str = ".seg";

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be made, written or read.
    #[error("cannot keep samples in {}: {} ({})", .0.display(), remedy(.1), .1)]
    Folder(PathBuf, #[source] io::Error),
    /// Another process has it.
    #[error("another augenmass keeps its samples in {}", .0.display())]
    InUse(PathBuf),
    /// The catalogue is of a newer version, of another program, or cannot be read.
    #[error("cannot use {}: {}", .0.display(), .1)]
    Catalogue(PathBuf, String),
    /// A segment is of a newer version.
    #[error("cannot use {}: {}", .0.display(), .1)]
    Segment(PathBuf, String),
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "the user this runs as may not write there",
        io::ErrorKind::ReadOnlyFilesystem => "the file system is mounted read-only",
        io::ErrorKind::StorageFull => "there is no room left",
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => "it is not a folder",
        _ => "the disk says no",
    }
}

impl Core {
    pub(super) fn open(
        settings: Settings,
        clock: Arc<dyn Clock>,
        telemetry: Arc<Telemetry>,
    ) -> Result<Self, OpenError> {
        let Some(path) = settings.data.clone() else {
            let state = State::new(Head::new(0), clock.wall());
            return Ok(Self::new(settings, clock, telemetry, state, None));
        };
        let refused = |error| OpenError::Folder(path.clone(), error);
        let segments = path.join(SEGMENTS);
        make(&segments).map_err(refused)?;
        let lock = lock(&path)?;
        let disk = Arc::new(Folder(segments));
        Self::assemble(settings, clock, telemetry, disk, Sync::Full, Some(lock))
    }

    /// With the segments on any disk.
    pub(super) fn assemble(
        settings: Settings,
        clock: Arc<dyn Clock>,
        telemetry: Arc<Telemetry>,
        disk: Arc<dyn Disk>,
        sync: Sync,
        lock: Option<File>,
    ) -> Result<Self, OpenError> {
        let path = settings.data.clone().unwrap_or_default();
        let file = path.join(CATALOGUE);
        let unusable =
            |error: CatalogueError| OpenError::Catalogue(file.clone(), error.to_string());
        let sql = |error: rusqlite::Error| unusable(error.into());
        let catalogue = Catalogue::open(&file, sync).map_err(unusable)?;
        let archive = Archive::new(disk, Arc::clone(&telemetry));
        let found = present_segments(&path, &catalogue, &archive)?;
        let sealed = found.iter().map(|segment| segment.meta.last_generation + 1).max();

        let mut head = Head::new(0);
        let mut recovery = Recovery::new(&mut head);
        let (mut newest, mut oldest) = (i64::MIN, i64::MAX);
        let recovered = catalogue
            .recover(|shape| {
                recovery.take(shape);
                newest = newest.max(shape.at());
                oldest = oldest.min(shape.at());
            })
            .map_err(sql)?;
        recovery.finish();
        if recovered.damaged > 0 {
            archive.report(CATALOGUE, recovered.damaged, "groups of the newest samples", "check");
        }
        let unsealed = sealed.unwrap_or(0);
        let generation = recovered.generation.unwrap_or(0).max(unsealed);
        head.set_generation(generation);
        let now = clock.wall();
        let began = now.min(crate::model::Timestamp::from_millis(oldest));
        let mut state = State::new(head, began);
        let stored = found.iter().map(|segment| segment.meta.last).max();
        state.memory_from = stored.unwrap_or(i64::MIN);
        state.newest = crate::model::Timestamp::from_millis(newest.max(state.memory_from)).min(now);
        state.unsealed = unsealed;
        state.pending = Some(Pending::new(generation, recovered.next));
        state.segments = found.into();
        tracing::info!(
            batches = recovered.batches,
            samples = recovered.samples,
            segments = state.segments.len(),
            "samples found on disk"
        );
        let durable = Durable { path, catalogue, archive, busy: Mutex::new(()), _lock: lock };
        Ok(Self::new(settings, clock, telemetry, state, Some(durable)))
    }
}

/// Makes a folder and what is above it. Their names are on the disk when it returns, for a file that
/// is synced in a folder without a name is lost all the same.
fn make(path: &Path) -> io::Result<()> {
    let new = path.ancestors().take_while(|folder| !folder.exists()).count();
    std::fs::create_dir_all(path)?;
    // The data folder and what is in it may have been made by a process that ended before this.
    for (number, folder) in path.ancestors().take(new.max(2)).enumerate() {
        let Some(above) = folder.parent() else { break };
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        let synced = File::open(above).and_then(|above| above.sync_all());
        // Above a folder that somebody made for us we may have no business.
        if number < new {
            synced?;
        }
    }
    Ok(())
}

/// Makes sure that nobody else writes there; the lock goes with the process, however it ends.
pub(super) fn lock(path: &Path) -> Result<File, OpenError> {
    let refused = |error| OpenError::Folder(path.to_owned(), error);
    let options = || OpenOptions::new().write(true).create(true).truncate(false).clone();
    let file = options().open(path.join(LOCK)).map_err(refused)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(refused(error)),
    }
}

/// The segments of the catalogue that are there and were written to their end. Others are set
/// aside; files that no catalogue knows are what a crash left over, and go.
fn present_segments(
    path: &Path,
    catalogue: &Catalogue,
    archive: &Arc<Archive>,
) -> Result<Vec<Arc<Segment>>, OpenError> {
    let folder = path.join(SEGMENTS);
    let sql =
        |error: rusqlite::Error| OpenError::Catalogue(path.join(CATALOGUE), error.to_string());
    let metas = catalogue.segments().map_err(sql)?;
    let aside = catalogue.damaged().map_err(sql)?;
    let refused = |error| OpenError::Folder(folder.clone(), error);
    for name in archive.disk.list().map_err(refused)? {
        let known = metas.iter().chain(&aside).any(|meta| meta.name == name);
        let ours = name.ends_with(SUFFIX) || name.ends_with(".draft");
        if ours && !known {
            archive.disk.remove(&name).map_err(refused)?;
        }
    }
    let mut present = Vec::new();
    for meta in metas {
        match segment::check_footer(&*archive.disk, &meta.name) {
            Ok(()) => present.push(Segment::new(meta, Arc::clone(archive))),
            Err(error @ SegmentError::Newer(..)) => {
                return Err(OpenError::Segment(folder.join(&meta.name), error.to_string()));
            }
            Err(error) => {
                archive.report(&meta.name, u64::MAX, "all series", &error.to_string());
                catalogue.set_aside(&meta.name).map_err(sql)?;
            }
        }
    }
    Ok(present)
}
