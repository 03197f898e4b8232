//! The queue on disk: everything that is appended, in its order, until all destinations took it.
//!
//! A folder of segments `NUMBER.queue`, each complete in itself ([`record`]). A record that was torn
//! by a crash ends its segment; a new life of the process begins a new one. `positions` says how far
//! each destination came.

mod reader;
mod record;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use tokio::sync::{Notify, watch};

pub(super) use self::reader::Reader;
pub(super) use self::record::{Held, Sample, decode_anything};
use self::record::{MAGIC, append, count};
use crate::model::{Batch, Labels};

const SUFFIX: &str = "queue";

/// What became of a trip to the disk.
pub(super) type Outcome = Result<(), Arc<str>>;

/// How far a destination came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// Number of the segment.
    pub(super) segment: u64,
    /// Bytes of it that were taken.
    pub(super) offset: u64,
}

struct Destination {
    name: Arc<str>,
    /// Bytes of the queue after which its oldest segment is given up.
    bound: u64,
    at: Position,
    /// Samples it took of its segment.
    taken: u64,
    /// Samples that it will never get.
    dropped: u64,
}

struct State {
    /// The segment that is written.
    number: u64,
    series: HashMap<Labels, u32>,
    /// Bytes of the segment, those in memory included.
    length: u64,
    /// What is not on the disk yet.
    chunks: Vec<(u64, Vec<u8>)>,
    /// Bytes on the disk by segment.
    sizes: BTreeMap<u64, u64>,
    file: Option<(u64, File)>,
    done: watch::Sender<Option<Outcome>>,
    destinations: Vec<Destination>,
}

/// The queue.
pub(super) struct Spool {
    folder: PathBuf,
    segment_bytes: u64,
    state: Mutex<State>,
    /// What `positions` says.
    noted: Mutex<String>,
    /// Something waits for the disk.
    pub(super) wake: Notify,
    /// Counts trips to the disk.
    pub(super) flushed: watch::Sender<u64>,
}

impl Spool {
    /// Opens the queue in a folder; destinations (name, bound in bytes) go on where they were, new
    /// ones begin at the end.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub(super) fn open(
        folder: &Path,
        segment_bytes: u64,
        destinations: &[(Arc<str>, u64)],
    ) -> io::Result<Self> {
        make(folder)?;
        let mut sizes = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            let number = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse().ok());
            if let Some(number) = number
                && path.extension().is_some_and(|e| e == SUFFIX)
            {
                sizes.insert(number, entry.metadata()?.len());
            }
        }
        let number = sizes.last_key_value().map_or(1, |(last, _)| last + 1);
        let remembered = fs::read_to_string(folder.join("positions")).unwrap_or_default();
        let end = Position { segment: number, offset: MAGIC.len() as u64 };
        let destinations = destinations
            .iter()
            .map(|(name, bound)| Destination {
                name: name.clone(),
                bound: *bound,
                at: remembered_position(&remembered, name).unwrap_or(end).min(end),
                taken: 0,
                dropped: 0,
            })
            .collect();
        let state = State {
            number,
            series: HashMap::new(),
            length: 0,
            chunks: Vec::new(),
            sizes,
            file: None,
            done: watch::Sender::new(None),
            destinations,
        };
        let spool = Self {
            folder: folder.to_owned(),
            segment_bytes,
            state: Mutex::new(state),
            noted: Mutex::default(),
            wake: Notify::new(),
            flushed: watch::Sender::new(0),
        };
        spool.tidy();
        // Where new destinations begin must be known after a crash in the first second too.
        spool.remember()?;
        Ok(spool)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:010}.{SUFFIX}"))
    }

    /// Takes a batch; the receiver tells when it is on the disk.
    pub(super) fn push(&self, batch: &Batch) -> watch::Receiver<Option<Outcome>> {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.length >= self.segment_bytes {
            state.begin_segment();
        }
        if state.chunks.last().is_none_or(|(number, _)| *number != state.number) {
            let fresh = state.length == 0;
            let bytes = if fresh { MAGIC.to_vec() } else { Vec::new() };
            state.length += bytes.len() as u64;
            state.chunks.push((state.number, bytes));
        }
        let State { chunks, series, length, .. } = state;
        if let Some((_, bytes)) = chunks.last_mut() {
            *length += append(batch, series, bytes) as u64;
        }
        let waiter = state.done.subscribe();
        drop(guard);
        self.wake.notify_one();
        waiter
    }

    /// Brings what is in memory to the disk and tells who waits. May block.
    pub(super) fn flush(&self) {
        let (chunks, done, file) = {
            let mut state = self.lock();
            let done = std::mem::replace(&mut state.done, watch::Sender::new(None));
            (std::mem::take(&mut state.chunks), done, state.file.take())
        };
        if !chunks.is_empty() {
            let written = self.write(&chunks, file);
            let mut state = self.lock();
            let outcome = match written {
                Ok(file) => {
                    for (number, bytes) in &chunks {
                        *state.sizes.entry(*number).or_insert(0) += bytes.len() as u64;
                    }
                    state.file = file;
                    Ok(())
                }
                Err(error) => {
                    // What follows must not build upon what is not there.
                    state.begin_segment();
                    Err(error.to_string().into())
                }
            };
            drop(state);
            done.send_replace(Some(outcome));
            self.bound();
        }
        self.flushed.send_modify(|count| *count += 1);
    }

    fn write(
        &self,
        chunks: &[(u64, Vec<u8>)],
        mut file: Option<(u64, File)>,
    ) -> io::Result<Option<(u64, File)>> {
        for (number, bytes) in chunks {
            if file.as_ref().is_none_or(|(open, _)| open != number) {
                if let Some((_, before)) = &file {
                    before.sync_data()?;
                }
                let new = File::options().create(true).append(true).open(self.path(*number))?;
                // The name of a new file is durable only when its folder is.
                File::open(&self.folder)?.sync_all()?;
                file = Some((*number, new));
            }
            if let Some((_, file)) = &mut file {
                file.write_all(bytes)?;
            }
        }
        if let Some((_, file)) = &file {
            file.sync_data()?;
        }
        Ok(file)
    }

    /// Gives up the oldest segments of destinations that are too far behind.
    fn bound(&self) {
        let mut state = self.lock();
        for at in 0..state.destinations.len() {
            loop {
                let (segment, bound) = {
                    let destination = &state.destinations[at];
                    (destination.at.segment, destination.bound)
                };
                if state.pending(at) <= bound || segment >= state.number {
                    break;
                }
                let lost = count(&self.path(segment)).saturating_sub(state.destinations[at].taken);
                let next = state.sizes.range(segment + 1..).next().map(|(number, _)| *number);
                let next = next.unwrap_or(state.number);
                let destination = &mut state.destinations[at];
                destination.dropped += lost;
                destination.taken = 0;
                destination.at = Position { segment: next, offset: MAGIC.len() as u64 };
            }
        }
        drop(state);
        self.tidy();
    }

    /// Removes segments that no destination needs.
    fn tidy(&self) {
        let mut state = self.lock();
        let needed = state.destinations.iter().map(|d| d.at.segment).min().unwrap_or(state.number);
        let kept = state.sizes.split_off(&needed);
        let gone = std::mem::replace(&mut state.sizes, kept);
        drop(state);
        for number in gone.keys() {
            if let Err(error) = fs::remove_file(self.path(*number)) {
                tracing::warn!(%error, "cannot remove a segment of the remote-write queue");
            }
        }
    }

    /// Where a destination is, the bytes it has not taken, and samples it lost since last asked.
    pub(super) fn standing(&self, destination: usize) -> (Position, u64, u64) {
        let mut state = self.lock();
        let pending = state.pending(destination);
        let one = &mut state.destinations[destination];
        (one.at, pending, std::mem::take(&mut one.dropped))
    }

    /// A destination took everything before `to`; `samples` of its segment in this step.
    pub(super) fn advance(&self, destination: usize, to: Position, samples: u64) {
        let mut state = self.lock();
        let one = &mut state.destinations[destination];
        // Meanwhile it may have been given up and moved on.
        if to > one.at {
            one.taken = samples + if to.segment == one.at.segment { one.taken } else { 0 };
            let next = to.segment > one.at.segment;
            one.at = to;
            drop(state);
            if next {
                self.tidy();
            }
        }
    }

    /// Writes down how far the destinations came; it is on the disk when it returns. What is lost of
    /// it is sent twice, but a destination that is not in it at all would begin at the end.
    pub(super) fn remember(&self) -> io::Result<()> {
        let text: String = {
            let state = self.lock();
            let line = |d: &Destination| format!("{}\t{}\t{}\n", d.at.segment, d.at.offset, d.name);
            state.destinations.iter().map(line).collect()
        };
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        if *noted == text {
            return Ok(());
        }
        let (new, path) = (self.folder.join("positions.new"), self.folder.join("positions"));
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        fs::rename(new, path)?;
        File::open(&self.folder)?.sync_all()?;
        *noted = text;
        Ok(())
    }

    /// Bytes of a segment that are on the disk, and the segment after it.
    fn extent(&self, segment: u64) -> (u64, Option<u64>) {
        let state = self.lock();
        let size = state.sizes.get(&segment).copied().unwrap_or(0);
        let next = state.sizes.range(segment + 1..).next().map(|(number, _)| *number);
        (size, next)
    }
}

impl State {
    fn begin_segment(&mut self) {
        self.number += 1;
        self.series.clear();
        self.length = 0;
        self.file = None;
    }

    fn pending(&self, destination: usize) -> u64 {
        let at = self.destinations[destination].at;
        let bytes: u64 = self.sizes.range(at.segment..).map(|(_, bytes)| *bytes).sum();
        let own = self.sizes.get(&at.segment).copied().unwrap_or(0);
        bytes - own + own.saturating_sub(at.offset)
    }
}

/// Makes the folder, so that its name too is on the disk: also when a life before this one made it, and
/// ended too soon.
fn make(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    match folder.parent().filter(|above| !above.as_os_str().is_empty()) {
        Some(above) => File::open(above)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

fn remembered_position(text: &str, name: &str) -> Option<Position> {
    text.lines().find_map(|line| {
        let mut parts = line.splitn(3, '\t');
        let (segment, offset) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        (parts.next()? == name).then_some(Position { segment, offset })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    fn batch(at: i64, from: usize, count: usize) -> Batch {
        let mut batch = Batch::new("s".into(), Timestamp::from_millis(at));
        for n in from..from + count {
            let labels = Labels::empty().with("__name__", &format!("m{n}"));
            batch.push(labels, at as f64 + n as f64);
        }
        batch
    }

    fn open(folder: &Path, segment: u64, bound: u64) -> Spool {
        Spool::open(folder, segment, &[("a".into(), bound)]).unwrap()
    }

    fn read(reader: &mut Reader<Labels>, spool: &Spool) -> Vec<(String, i64, f64)> {
        let samples = reader.read(spool, usize::MAX, Labels::clone).unwrap();
        let one = |sample: &Sample| {
            let Held::Bits(bits) = sample.held else { panic!("a float") };
            let labels = reader.series[sample.series as usize].to_string();
            (labels, sample.at.millis(), f64::from_bits(bits))
        };
        samples.iter().map(one).collect()
    }

    #[test]
    fn what_was_pushed_is_read_in_order_also_after_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let spool = open(folder.path(), 200, u64::MAX);
        for at in 0..10 {
            spool.push(&batch(at, at as usize % 3, 2));
            spool.flush();
        }
        let (start, pending, _) = spool.standing(0);
        assert!(pending > 300);
        let mut reader = Reader::new(start);
        let first = read(&mut reader, &spool);
        assert_eq!(first[0], ("m0".to_owned(), 0, 0.0));
        spool.advance(0, reader.position(), first.len() as u64);
        spool.remember().unwrap();
        // As a crash leaves it: a record that is not whole.
        let torn = spool.path(spool.lock().number);
        let length = fs::metadata(&torn).unwrap().len();
        drop(spool);
        File::options().write(true).open(&torn).unwrap().set_len(length - 3).unwrap();
        let spool = open(folder.path(), 200, u64::MAX);
        spool.push(&batch(10, 0, 1));
        spool.flush();
        let mut reader = Reader::new(spool.standing(0).0);
        let mut rest = Vec::new();
        loop {
            let more = read(&mut reader, &spool);
            if more.is_empty() {
                break;
            }
            rest.extend(more);
        }
        let times: Vec<i64> = first.iter().chain(&rest).map(|sample| sample.1).collect();
        assert_eq!(times, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 10]);
        spool.advance(0, reader.position(), 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "positions, one segment");
    }

    #[test]
    fn the_queue_is_bounded_and_says_what_it_lost() {
        let folder = tempfile::tempdir().unwrap();
        let spool = open(folder.path(), 100, 1000);
        for at in 0..100 {
            spool.push(&batch(at, 0, 3));
            spool.flush();
        }
        let (at, pending, dropped) = spool.standing(0);
        assert!(pending <= 1000, "{pending}");
        let mut reader = Reader::new(at);
        let mut kept = 0;
        loop {
            let more = read(&mut reader, &spool).len() as u64;
            if more == 0 {
                break;
            }
            kept += more;
        }
        assert_eq!(kept + dropped, 300);
        let bytes: u64 = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert!(bytes <= 1300, "{bytes}");
    }

    #[test]
    fn a_disk_that_refuses_is_told_to_who_waits() {
        let folder = tempfile::tempdir().unwrap();
        let spool = open(&folder.path().join("queue"), 100, 1000);
        fs::remove_dir_all(folder.path().join("queue")).unwrap();
        let waiter = spool.push(&batch(0, 0, 1));
        spool.flush();
        assert!(matches!(&*waiter.borrow(), Some(Err(_))));
        fs::create_dir(folder.path().join("queue")).unwrap();
        let waiter = spool.push(&batch(1, 0, 1));
        spool.flush();
        assert_eq!(*waiter.borrow(), Some(Ok(())));
        let mut reader = Reader::new(spool.standing(0).0);
        assert_eq!(read(&mut reader, &spool), [("m0".to_owned(), 1, 1.0)]);
    }
}
