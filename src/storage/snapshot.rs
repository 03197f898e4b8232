//! What a query sees.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use hashbrown::HashMap;
use roaring::RoaringBitmap;
use smallvec::SmallVec;

use super::chunk::Part;
use super::head::{Block, Frame, frame_of};
use super::index::{Index, Number, Places};
use super::past::{Past, load_column, load_series, unreadable};
use super::piece::Loaded;
use super::reading::{Common, Reading, meets};
use super::segment::Directory;
use crate::model::{Columns, Labels, Matcher, Window};
use crate::ports::{Found, Select, SelectError, SeriesId, TakeSeries};

/// Series that are on the disk only get numbers from here on, valid in one snapshot.
const DISK_ONLY: u64 = 1 << 32;

/// Series whose places are looked up together.
const TOGETHER: usize = 256;

/// A consistent view of all samples.
pub(super) struct View {
    blocks: Vec<Arc<Block>>,
    index: Arc<RwLock<Index>>,
    limit: Number,
    past: Past,
    seen: Mutex<Seen>,
    last_directory: Mutex<Option<(u32, Arc<Directory>)>>,
    /// What it remembers lives as long as `blocks`.
    reading: Mutex<Reading>,
}

/// Series whose samples are (also) on the disk, as this snapshot handed them out: the index may
/// forget them meanwhile.
#[derive(Default)]
struct Seen {
    in_memory: HashMap<Number, Labels>,
    on_disk: Vec<Labels>,
    ids: HashMap<Labels, u64>,
    places: HashMap<Window, StoredPlaces>,
    remembered: usize,
}

/// Where the series that a selector found in a window lie on the disk: (segment of the snapshot,
/// place of the column). Whoever finds series reads them next.
type StoredPlaces = Arc<HashMap<u64, SmallVec<[(u32, u32); 2]>>>;
/// Places that a snapshot remembers; beyond that they are looked up again.
const PLACES: usize = 250_000;

impl View {
    pub(super) fn new(
        (blocks, index, limit): (Vec<Arc<Block>>, Arc<RwLock<Index>>, Number),
        past: Past,
    ) -> Self {
        Self {
            blocks,
            index,
            limit,
            past,
            seen: Mutex::default(),
            last_directory: Mutex::default(),
            reading: Mutex::default(),
        }
    }

    fn index(&self) -> RwLockReadGuard<'_, Index> {
        self.index.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The frame and column of a place, if the series was there when the snapshot was taken.
    fn column(&self, series: Number, (frame, slot): (u32, u32)) -> Option<(&Frame, usize)> {
        let frame = frame_of(&self.blocks, frame)?;
        let slot = slot as usize;
        (frame.columns.get(slot) == Some(&series)).then_some((frame, slot))
    }

    /// Gives `take` the series with samples in memory in the window, or a few more.
    fn each_in_memory<'i>(
        &self,
        index: &'i Index,
        matchers: &[Matcher],
        window: Window,
        mut take: impl FnMut(Number, &'i Labels),
    ) {
        let mut found = index.find(matchers);
        found.remove_range(self.limit..);
        // Neighbours mostly come from one source.
        let mut last = None;
        for series in &found {
            let Some((labels, places)) = index.series(series) else { continue };
            let here = places.iter().any(|place| {
                if let Some((_, meets)) = last.filter(|(same, _)| *same == place.0) {
                    return meets;
                }
                let Some((frame, _)) = self.column(series, *place) else { return false };
                let meets = frame.span().is_some_and(|span| meets(span, window));
                last = Some((place.0, meets));
                meets
            });
            if here {
                take(series, labels);
            }
        }
    }

    /// The samples of series in memory, those of one frame with what they have in common.
    fn read_recent(
        &self,
        (found, places): (&[Found], &[Places]),
        window: Window,
        into: &mut Columns,
        take: &mut TakeSeries<'_>,
    ) -> Result<bool, SelectError> {
        let mut bits = Vec::new();
        let mut common = Common::default();
        // The frame that `common` is about, and whether it has anything in common.
        let mut beside: Option<(u32, bool)> = None;
        // Whether `into` has the times of the frame that is `beside`.
        let mut laid = false;
        for (series, places) in found.iter().zip(places) {
            let number = Number::try_from(series.id.0).unwrap_or(Number::MAX);
            let place = match places[..] {
                [place] => self.column(number, place).map(|(frame, slot)| (place.0, frame, slot)),
                _ => None,
            };
            let mut read = false;
            if let Some((of, frame, slot)) = place {
                let usable = match beside {
                    Some((known, usable)) if known == of => usable,
                    _ => {
                        laid = false;
                        self.take_common(frame, window, &mut common)
                    }
                };
                beside = Some((of, usable));
                if usable {
                    if !laid {
                        into.clear();
                        into.times.extend_from_slice(common.times());
                    }
                    read = common.values(slot, &mut bits, &mut into.values);
                    laid = read;
                }
            }
            if !read {
                self.read(series.id, window, into)?;
                laid = false;
            }
            if !take(series, into) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn take_common<'a>(
        &'a self,
        frame: &'a Frame,
        window: Window,
        common: &mut Common<'a>,
    ) -> bool {
        match self.reading.try_lock() {
            Ok(mut reading) => common.take(frame.parts(), window, &mut reading),
            Err(_) => common.take(frame.parts(), window, &mut Reading::default()),
        }
    }

    fn is_recent(&self, window: Window) -> bool {
        self.past.wanted(window).next().is_none()
    }

    fn among(&self, index: &Index, sets: &[Vec<Matcher>], window: Window) -> RoaringBitmap {
        let everything = [Vec::new()];
        let sets = if sets.is_empty() { &everything } else { sets };
        let mut all = RoaringBitmap::new();
        for set in sets {
            let mut here = Vec::new();
            self.each_in_memory(index, set, window, |series, _| here.push(series));
            all.extend(here);
        }
        all
    }

    /// Adds the series that segments have in the window.
    fn find_stored(
        &self,
        matchers: &[Matcher],
        window: Window,
        found: &mut Vec<Found>,
    ) -> Result<(), SelectError> {
        let mut known: HashMap<Labels, u64> = HashMap::new();
        for found in found.iter() {
            known.insert(found.labels.clone(), found.id.0);
        }
        let mut places: HashMap<u64, SmallVec<[(u32, u32); 2]>> = HashMap::new();
        let mut count = 0;
        for (number, segment) in self.past.wanted(window) {
            let Some(directory) = segment.directory().map_err(|e| unreadable(&e))? else {
                continue;
            };
            for place in directory.find(matchers) {
                let column = &directory.columns[place as usize];
                let frame = &directory.frames[column.frame as usize];
                if !meets((frame.first, frame.last), window) {
                    continue;
                }
                let labels = directory.labels(column);
                let id = match known.get(&labels) {
                    Some(id) => *id,
                    None => {
                        let id = self.id_of(&labels);
                        known.insert(labels.clone(), id.0);
                        found.push(Found { id, labels });
                        id.0
                    }
                };
                count += 1;
                if count <= PLACES {
                    places.entry(id).or_default().push((number, place));
                }
            }
        }
        let mut seen = self.seen();
        for found in found.iter() {
            if let Ok(number) = Number::try_from(found.id.0) {
                seen.in_memory.insert(number, found.labels.clone());
            }
        }
        self.remember(&mut seen, window, places, count);
        Ok(())
    }

    /// Keeps where the series of a window lie, as long as that is not too much.
    fn remember(
        &self,
        seen: &mut Seen,
        window: Window,
        places: HashMap<u64, SmallVec<[(u32, u32); 2]>>,
        count: usize,
    ) {
        if seen.remembered + count > PLACES {
            return;
        }
        seen.remembered += count;
        match seen.places.get_mut(&window) {
            // Another selector of the same window: a series has the same places for both.
            Some(known) => Arc::make_mut(known).extend(places),
            None => {
                seen.places.insert(window, Arc::new(places));
            }
        }
    }

    /// The samples of a series on the disk.
    fn load_stored(
        &self,
        series: SeriesId,
        window: Window,
        into: &mut Vec<Arc<Loaded>>,
    ) -> Result<(), SelectError> {
        let places = self.seen().places.get(&window).map(Arc::clone);
        if let Some(places) = places.as_ref().and_then(|places| places.get(&series.0)) {
            for (number, place) in places {
                let segment = &self.past.segments[*number as usize];
                let directory = self.directory(*number).map_err(|e| unreadable(&e))?;
                let Some(directory) = directory else { continue };
                let column = &directory.columns[*place as usize];
                load_column(segment, &directory, column, window, into)
                    .map_err(|e| unreadable(&e))?;
            }
            return Ok(());
        }
        let Some(labels) = self.labels_of(series) else { return Ok(()) };
        for (_, segment) in self.past.wanted(window) {
            load_series(segment, &labels, window, into).map_err(|e| unreadable(&e))?;
        }
        Ok(())
    }

    /// The directory of a segment; the one asked for last is at hand.
    fn directory(&self, number: u32) -> Result<Option<Arc<Directory>>, std::io::Error> {
        let mut last = self.last_directory.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, directory)) = &*last
            && *known == number
        {
            return Ok(Some(Arc::clone(directory)));
        }
        let found = self.past.segments[number as usize].directory()?;
        *last = found.clone().map(|directory| (number, directory));
        Ok(found)
    }

    /// The handle of a series found on the disk; it may be in memory too, at another time.
    fn id_of(&self, labels: &Labels) -> SeriesId {
        if let Some(number) = self.index().get(labels).filter(|number| *number < self.limit) {
            return SeriesId(u64::from(number));
        }
        let mut seen = self.seen();
        if let Some(id) = seen.ids.get(labels) {
            return SeriesId(*id);
        }
        let id = DISK_ONLY + seen.on_disk.len() as u64;
        seen.on_disk.push(labels.clone());
        seen.ids.insert(labels.clone(), id);
        SeriesId(id)
    }

    fn labels_of(&self, series: SeriesId) -> Option<Labels> {
        match Number::try_from(series.0) {
            Ok(number) => {
                let seen = self.seen().in_memory.get(&number).cloned();
                seen.or_else(|| self.index().labels(number).cloned())
            }
            Err(_) => {
                let at = usize::try_from(series.0 - DISK_ONLY).ok()?;
                self.seen().on_disk.get(at).cloned()
            }
        }
    }
}

impl Select for View {
    fn find(&self, matchers: &[Matcher], window: Window) -> Result<Vec<Found>, SelectError> {
        let mut found = Vec::new();
        let index = self.index();
        self.each_in_memory(&index, matchers, window, |series, labels| {
            found.push(Found { id: SeriesId(u64::from(series)), labels: labels.clone() });
        });
        drop(index);
        if !self.is_recent(window) {
            self.find_stored(matchers, window, &mut found)?;
        }
        Ok(found)
    }

    fn read(
        &self,
        series: SeriesId,
        window: Window,
        into: &mut Columns,
    ) -> Result<(), SelectError> {
        into.clear();
        let mut loaded = Vec::new();
        if !self.is_recent(window) {
            self.load_stored(series, window, &mut loaded)?;
        }
        let mut parts: Vec<(Part<'_>, usize)> =
            loaded.iter().map(|loaded| (Part::Loaded(loaded), 0)).collect();
        if let Ok(number) = Number::try_from(series.0) {
            let places: Places = self.index().places(number).into();
            for place in places {
                let Some((frame, slot)) = self.column(number, place) else { continue };
                let wanted = frame.parts().filter(|p| p.span().is_some_and(|s| meets(s, window)));
                parts.extend(wanted.map(|part| (part, slot)));
            }
        }
        match self.reading.try_lock() {
            Ok(mut reading) => reading.read(&parts, window, into),
            Err(_) => Reading::default().read(&parts, window, into),
        }
        Ok(())
    }

    fn read_each(
        &self,
        found: &[Found],
        window: Window,
        into: &mut Columns,
        take: &mut TakeSeries<'_>,
    ) -> Result<(), SelectError> {
        if !self.is_recent(window) {
            return self.read_one_by_one(found, window, into, take);
        }
        into.clear();
        // The index is not held while `take` works.
        let mut places: Vec<Places> = Vec::with_capacity(found.len().min(TOGETHER));
        for found in found.chunks(TOGETHER) {
            places.clear();
            let index = self.index();
            places.extend(found.iter().map(|series| {
                let number = Number::try_from(series.id.0).unwrap_or(Number::MAX);
                Places::from(index.places(number))
            }));
            drop(index);
            if !self.read_recent((found, &places), window, into, take)? {
                break;
            }
        }
        Ok(())
    }

    fn label_names(
        &self,
        sets: &[Vec<Matcher>],
        window: Window,
        limit: usize,
    ) -> Result<Vec<String>, SelectError> {
        if self.is_recent(window) {
            let index = self.index();
            let among = self.among(&index, sets, window);
            return Ok(index.names(Some(&among)).take(limit).map(str::to_owned).collect());
        }
        let mut names = BTreeSet::new();
        for found in self.find_any(sets, window)? {
            names.extend(found.labels.iter().map(|(name, _)| name.to_owned()));
        }
        Ok(names.into_iter().take(limit).collect())
    }

    fn label_values(
        &self,
        name: &str,
        sets: &[Vec<Matcher>],
        window: Window,
        limit: usize,
    ) -> Result<Vec<String>, SelectError> {
        if self.is_recent(window) {
            let index = self.index();
            let among = self.among(&index, sets, window);
            return Ok(index.values(name, Some(&among)).take(limit).map(str::to_owned).collect());
        }
        let mut values = BTreeSet::new();
        for found in self.find_any(sets, window)? {
            values.extend(found.labels.get(name).map(str::to_owned));
        }
        Ok(values.into_iter().take(limit).collect())
    }
}
