//! The samples in memory: one frame for each source, persistent (in the functional sense), so that
//! a snapshot is a handful of counted pointers and nobody waits for a reader.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::HashMap;

use super::chunk::{Cell, Chunk, Part};
use super::commit::Pending;
use super::index::{Adding, Index, Number};
use super::recovery::Place;
use super::rows::Rows;
use super::tail::{Base, KnownShape};
use crate::model::{Batch, Labels, Point, Row, STALE_BITS};

/// Rows that stay open before they are compressed. More cost memory, fewer cost time.
const OPEN_ROWS: usize = 16;
/// Rows after which the first of a generation, or after the start, are compressed, at least: from there to [`OPEN_ROWS`],
/// by the number of the frame. Otherwise all frames would be at their largest at the same moment,
/// and the memory of that moment stays with the process.
const FIRST_ROWS: usize = 4;
/// So many neighbours of one size become one of the next.
const FAN_IN: usize = 4;
/// Rows that stay open while the tail is read, after the first: what is read goes into larger chunks
/// at once, and what is left is compressed when the next rows come.
const RECOVERED_ROWS: usize = OPEN_ROWS * FAN_IN;
/// The latest chunks that stay small: rules look back five minutes again and again, and would
/// unpack the rows of hours for it.
const FRESH: usize = 2;
/// Rows from which a chunk is large enough.
const CHUNK_ROWS: usize = 256;
/// Frames that are copied together when a snapshot still holds them.
const BLOCK: usize = 64;
/// A column without a series.
pub(super) const NONE: Number = Number::MAX;
/// Sets of series of one source that are remembered.
const SHAPES: usize = 4;

pub(super) type Block = Vec<Arc<Frame>>;

/// All rows of one source in memory.
#[derive(Clone)]
pub(super) struct Frame {
    pub(super) source: Arc<str>,
    /// Column → series.
    pub(super) columns: Arc<Vec<Number>>,
    /// Closed rows in the order of arrival, with the generation they belong to.
    pub(super) chunks: Vec<(u64, Arc<Chunk>)>,
    pub(super) open: Rows,
}

/// What only the writer knows about a source.
struct Source {
    frame: u32,
    holes: Vec<u32>,
    shapes: Vec<Shape>,
}

/// A set of series that a source yields again and again, in the same order.
struct Shape {
    labels: Arc<[Labels]>,
    /// Their columns; empty when these are 0, 1, 2 …
    slots: Vec<u32>,
    in_order: bool,
    /// Columns whose series other sources have given, too.
    shared: Vec<u32>,
    /// What the tail on disk knows about it.
    base: Option<Base>,
}

/// Sizes, for the own metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) series: usize,
    pub(super) sources: usize,
    pub(super) samples_bytes: usize,
    pub(super) chunks: usize,
}

/// The writer's side.
pub(super) struct Head {
    blocks: Vec<Arc<Block>>,
    /// Frames without a source. The first ones are used again first, so that the last can go.
    free: BTreeSet<u32>,
    sources: HashMap<Arc<str>, Source>,
    index: Arc<RwLock<Index>>,
    generation: u64,
    open_rows: usize,
    /// How often a series got another source.
    sharings: u64,
}

impl Frame {
    fn empty(source: Arc<str>) -> Self {
        Self { source, columns: Arc::new(Vec::new()), chunks: Vec::new(), open: Rows::default() }
    }

    /// All rows, in the order of arrival.
    pub(super) fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let closed = self.chunks.iter().map(|(_, chunk)| Part::Closed(chunk));
        closed.chain(std::iter::once(Part::Open(&self.open)))
    }

    /// First and last time in memory.
    pub(super) fn span(&self) -> Option<(i64, i64)> {
        let spans = self.parts().filter_map(|part| part.span());
        spans.reduce(|(a, b), (c, d)| (a.min(c), b.max(d)))
    }

    /// Compresses the open rows when there are enough.
    fn close_full(&mut self, number: u32, generation: u64, open_rows: usize) {
        let begins = |(of, last): &(u64, Arc<Chunk>)| *of != generation || last.is_packed();
        let first = self.chunks.last().is_none_or(begins);
        let spread = number as usize % (OPEN_ROWS - FIRST_ROWS + 1);
        if self.open.len() >= if first { FIRST_ROWS + spread } else { open_rows } {
            self.close(generation);
        }
    }

    /// Compresses the open rows.
    fn close(&mut self, generation: u64) {
        let width = self.open.width();
        let open = std::mem::take(&mut self.open);
        self.open.widen(width);
        let Some(chunk) = Chunk::join(&[Part::Open(&open)], |_| true) else { return };
        self.chunks.push((generation, Arc::new(chunk)));
        let (mut size, mut fresh, mut end) = (OPEN_ROWS * FAN_IN, FRESH, self.chunks.len());
        while size <= CHUNK_ROWS {
            let alike = |(g, chunk): &&(u64, Arc<Chunk>)| *g == generation && chunk.len() < size;
            let count = self.chunks[..end].iter().rev().take_while(alike).count();
            let from = end - count;
            if count >= FAN_IN + fresh {
                let small = &self.chunks[from..from + FAN_IN];
                let parts: Vec<_> = small.iter().map(|(_, chunk)| Part::Closed(chunk)).collect();
                let joined = Chunk::join(&parts, |_| true);
                let joined = joined.map(|chunk| (generation, Arc::new(chunk)));
                self.chunks.splice(from..from + FAN_IN, joined);
                end = from + 1;
            } else {
                end = from;
            }
            (size, fresh) = (size * FAN_IN, 0);
        }
    }

    /// Takes the value at an instant out of a column: another source has given a later one.
    fn take_out(&mut self, at: i64, slot: usize) {
        for (_, chunk) in &mut self.chunks {
            if Part::Closed(chunk).holds(at, slot)
                && let Some(left) = chunk.without(at, slot)
            {
                *chunk = Arc::new(left);
            }
        }
        self.open.take_out(at, slot);
    }

    fn has(&self, slot: usize) -> bool {
        let mut here = self.chunks.iter().any(|(_, chunk)| chunk.has(slot));
        if !here {
            Part::Open(&self.open).column(slot, &mut Vec::new(), |_, _| here = true);
        }
        here
    }
}

impl Shape {
    fn fits(&self, rows: &[Row]) -> bool {
        self.labels.len() == rows.len()
            && self.labels.iter().zip(rows).all(|(labels, row)| *labels == row.labels)
    }
}

fn cell(point: &Point) -> Cell {
    match point {
        Point::Float(value) => Cell::Bits(value.to_bits()),
        Point::Stale => Cell::Bits(STALE_BITS),
        Point::Histogram(histogram) => Cell::Histogram(Arc::clone(histogram)),
    }
}

impl Head {
    pub(super) fn new(generation: u64) -> Self {
        Self {
            blocks: Vec::new(),
            free: BTreeSet::new(),
            sources: HashMap::new(),
            index: Arc::default(),
            generation,
            open_rows: OPEN_ROWS,
            sharings: 0,
        }
    }

    /// Whether the batches that come are read from the tail, and many.
    pub(super) fn recovering(&mut self, yes: bool) {
        self.open_rows = if yes { RECOVERED_ROWS } else { OPEN_ROWS };
    }

    /// What was recovered, and what comes, belongs to this generation.
    pub(super) fn set_generation(&mut self, generation: u64) {
        self.generation = generation;
        for number in 0..self.frames() {
            for (of, _) in &mut frame_mut(&mut self.blocks, number).chunks {
                *of = generation;
            }
        }
    }

    /// What a snapshot keeps: the frames, the index, and the first series it must not see.
    pub(super) fn view(&self) -> (Vec<Arc<Block>>, Arc<RwLock<Index>>, Number) {
        let limit = self.index.read().unwrap_or_else(PoisonError::into_inner).next();
        (self.blocks.clone(), Arc::clone(&self.index), limit)
    }

    /// Adds all rows of a batch, here and to the tail.
    pub(super) fn append(&mut self, batch: &Batch, tail: Option<&mut Pending>) {
        if batch.rows.is_empty() {
            return;
        }
        let number = self.shape(batch);
        let generation = self.generation;
        let source = self.sources.get_mut(&batch.source);
        let Some(shape) = source.and_then(|source| source.shapes.first_mut()) else { return };
        if let Some(tail) = tail {
            tail.record(batch, &mut shape.base, &shape.labels);
        }
        let at = batch.at.millis();
        if !shape.shared.is_empty() {
            let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
            overrule(&mut self.blocks, &index, number, &shape.shared, at);
        }
        let frame = frame_mut(&mut self.blocks, number);
        frame.open.widen(frame.columns.len());
        let plain = |row: &Row| match row.point {
            Point::Float(value) => value.to_bits(),
            Point::Stale | Point::Histogram(_) => STALE_BITS,
        };
        let quick = shape.in_order
            && !batch.rows.iter().any(|row| matches!(row.point, Point::Histogram(_)))
            && frame.open.push_full(at, batch.rows.iter().map(plain));
        if !quick {
            let slot = |n: usize| shape.slots.get(n).map_or(n, |slot| *slot as usize);
            let cells = batch.rows.iter().enumerate();
            frame.open.put(at, cells.map(|(n, row)| (slot(n), cell(&row.point))));
        }
        frame.close_full(number, generation, self.open_rows);
    }

    /// Adds the batch that was read last of a shape of the tail, and was decoded.
    pub(super) fn recover(&mut self, known: &mut KnownShape) {
        if let Some(Place { frame: number, seat: Some(sharings) }) = known.place
            && sharings == self.sharings
            && let Some(floats) = known.floats()
        {
            let frame = frame_mut(&mut self.blocks, number);
            frame.open.widen(frame.columns.len());
            if frame.open.push_full(known.at(), floats.iter().copied()) {
                frame.close_full(number, self.generation, self.open_rows);
                return;
            }
        }
        self.append(&known.batch(), None);
        known.place = self.seat(&known.source);
    }

    /// Makes the series of a shape of the tail known; gives the place of its batches.
    pub(super) fn place(&mut self, known: &KnownShape) -> Place {
        let frame = self.shape(&known.batch());
        let source = self.sources.get_mut(&known.source);
        if let Some(shape) = source.and_then(|source| source.shapes.first_mut()) {
            // Once in memory is enough.
            shape.labels = Arc::clone(&known.labels);
        }
        self.seat(&known.source).unwrap_or(Place { frame, seat: None })
    }

    /// The place of the shape that a source gave last.
    fn seat(&self, source: &str) -> Option<Place> {
        let source = self.sources.get(source)?;
        let shape = source.shapes.first()?;
        let seated = shape.in_order && shape.shared.is_empty();
        Some(Place { frame: source.frame, seat: seated.then_some(self.sharings) })
    }

    /// How often a series got another source.
    pub(super) fn sharings(&self) -> u64 {
        self.sharings
    }

    /// Compresses the open rows of a frame, for others that follow.
    pub(super) fn close(&mut self, number: u32) {
        if frame(&self.blocks, number).open.len() > 0 {
            frame_mut(&mut self.blocks, number).close(self.generation);
        }
    }

    /// How many chunks are as the tail had them.
    #[cfg(test)]
    pub(super) fn packed(&self) -> usize {
        let frames = self.blocks.iter().flat_map(|block| block.iter());
        let chunks = frames.flat_map(|frame| &frame.chunks);
        chunks.filter(|(_, chunk)| chunk.is_packed()).count()
    }

    /// Adds rows to a frame that has no open ones.
    pub(super) fn push(&mut self, number: u32, chunk: Chunk) {
        let frame = frame_mut(&mut self.blocks, number);
        frame.chunks.push((self.generation, Arc::new(chunk)));
    }

    /// Brings the batch's set of series to the front of its source's shapes; gives the frame.
    fn shape(&mut self, batch: &Batch) -> u32 {
        if let Some(source) = self.sources.get_mut(&batch.source)
            && let Some(at) = source.shapes.iter().position(|shape| shape.fits(&batch.rows))
        {
            source.shapes.swap(0, at);
            return source.frame;
        }
        if !self.sources.contains_key(&batch.source) {
            let frame = self.new_frame(Arc::clone(&batch.source));
            // Nearly all sources have one.
            let source = Source { frame, holes: Vec::new(), shapes: Vec::with_capacity(1) };
            self.sources.insert(Arc::clone(&batch.source), source);
        }
        let Some(source) = self.sources.get_mut(&batch.source) else { return 0 };
        let own = frame_mut(&mut self.blocks, source.frame);
        if own.columns.is_empty() {
            Arc::make_mut(&mut own.columns).reserve_exact(batch.rows.len());
        }
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let mut slots = Vec::with_capacity(batch.rows.len());
        let (mut shared, mut strangers) = (Vec::new(), Vec::new());
        let mut adding = Adding::default();
        for row in &batch.rows {
            let series = index.add(&row.labels, &mut adding);
            let places = index.places(series);
            let known = places.iter().find(|(f, _)| *f == source.frame);
            let others = places.iter().map(|(f, _)| *f).filter(|f| *f != source.frame);
            let before = strangers.len();
            strangers.extend(others);
            let is_shared = strangers.len() > before;
            if known.is_some() {
                // They know of us already.
                strangers.truncate(before);
            }
            let slot = match known {
                Some((_, slot)) => *slot,
                None => {
                    let columns = Arc::make_mut(&mut own.columns);
                    let slot = source.holes.pop().unwrap_or_else(|| {
                        columns.push(NONE);
                        columns.len() as u32 - 1
                    });
                    columns[slot as usize] = series;
                    index.add_place(series, (source.frame, slot));
                    slot
                }
            };
            slots.push(slot);
            if is_shared {
                shared.push(slot);
            }
        }
        index.finish(adding);
        drop(index);
        let in_order = slots.iter().zip(0..).all(|(slot, n)| *slot == n);
        if in_order {
            slots = Vec::new();
        }
        let labels = batch.rows.iter().map(|row| row.labels.clone()).collect();
        source.shapes.truncate(SHAPES - 1);
        source.shapes.insert(0, Shape { labels, slots, in_order, shared, base: None });
        let number = source.frame;
        self.sharings += u64::from(!strangers.is_empty());
        // The other sources of a series have to look again who else gives it.
        for stranger in strangers {
            let name = &frame(&self.blocks, stranger).source;
            if let Some(other) = self.sources.get_mut(name) {
                other.shapes.clear();
            }
        }
        number
    }

    fn new_frame(&mut self, source: Arc<str>) -> u32 {
        if let Some(number) = self.free.pop_first() {
            *frame_mut(&mut self.blocks, number) = Frame::empty(source);
            return number;
        }
        if self.blocks.last().is_none_or(|block| block.len() == BLOCK) {
            self.blocks.push(Arc::default());
        }
        let last = self.blocks.len() - 1;
        let block = Arc::make_mut(&mut self.blocks[last]);
        block.push(Arc::new(Frame::empty(source)));
        (last * BLOCK + block.len() - 1) as u32
    }

    /// Closes all open rows; what comes from now on belongs to the next generation. Gives the one
    /// that is complete now.
    pub(super) fn next_generation(&mut self) -> u64 {
        let complete = self.generation;
        for number in 0..self.frames() {
            if frame(&self.blocks, number).open.len() > 0 {
                frame_mut(&mut self.blocks, number).close(complete);
            }
        }
        self.generation += 1;
        complete
    }

    fn frames(&self) -> u32 {
        self.blocks.iter().map(|block| block.len() as u32).sum()
    }

    /// Forgets chunks that ended before `cutoff` (milliseconds), of generations before `sealed` only;
    /// then columns, series and sources without samples. Gives the number of rows that are gone.
    pub(super) fn drop_before(&mut self, cutoff: i64, sealed: u64) -> usize {
        let mut rows = 0;
        let old =
            |(generation, chunk): &(u64, Arc<Chunk>)| chunk.last() < cutoff && *generation < sealed;
        for number in 0..self.frames() {
            let seen = frame(&self.blocks, number);
            let open_too =
                self.generation < sealed && seen.open.span().is_some_and(|(_, last)| last < cutoff);
            if !open_too && !seen.chunks.iter().any(old) {
                continue;
            }
            let frame = frame_mut(&mut self.blocks, number);
            rows += frame.chunks.iter().filter(|c| old(c)).map(|(_, c)| c.len()).sum::<usize>();
            frame.chunks.retain(|chunk| !old(chunk));
            if open_too {
                rows += frame.open.len();
                let width = frame.open.width();
                frame.open = Rows::default();
                frame.open.widen(width);
            }
            self.forget_empty(number);
        }
        self.shrink();
        rows
    }

    /// Gives up the room of sources that are gone.
    fn shrink(&mut self) {
        while let Some(block) = self.blocks.last() {
            let end = self.frames();
            let first = end - block.len() as u32;
            if self.free.range(first..).count() < block.len() {
                break;
            }
            self.free.split_off(&first);
            self.blocks.pop();
        }
        if self.sources.capacity() > 4 * self.sources.len().max(BLOCK) {
            self.sources.shrink_to(2 * self.sources.len());
            self.blocks.shrink_to_fit();
        }
    }

    fn forget_empty(&mut self, number: u32) {
        let frame = frame_mut(&mut self.blocks, number);
        let gone: Vec<usize> = (0..frame.columns.len())
            .filter(|slot| frame.columns[*slot] != NONE && !frame.has(*slot))
            .collect();
        let empty = frame.span().is_none();
        if gone.is_empty() && !empty {
            return;
        }
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let columns = Arc::make_mut(&mut frame.columns);
        for &slot in &gone {
            index.remove_place(columns[slot], (number, slot as u32));
            columns[slot] = NONE;
        }
        if empty {
            self.sources.remove(&frame.source);
            *frame = Frame::empty("".into());
            self.free.insert(number);
        } else if let Some(source) = self.sources.get_mut(&frame.source) {
            source.shapes.clear();
            source.holes.extend(gone.iter().map(|slot| *slot as u32));
        }
    }

    pub(super) fn sizes(&self) -> Sizes {
        let mut sizes = Sizes {
            series: self.index.read().unwrap_or_else(PoisonError::into_inner).len(),
            sources: self.sources.len(),
            ..Sizes::default()
        };
        for frame in self.blocks.iter().flat_map(|block| block.iter()) {
            sizes.chunks += frame.chunks.len();
            let closed: usize = frame.chunks.iter().map(|(_, chunk)| chunk.heap()).sum();
            sizes.samples_bytes += closed + frame.open.heap();
        }
        sizes
    }
}

/// A source is about to give values at an instant: what other sources gave for the same series and
/// instant goes, so that the last written wins.
fn overrule(blocks: &mut [Arc<Block>], index: &Index, number: u32, shared: &[u32], at: i64) {
    for slot in shared {
        let series = frame(blocks, number).columns.get(*slot as usize).copied().unwrap_or(NONE);
        for (other, slot) in index.places(series).iter().filter(|(other, _)| *other != number) {
            let slot = *slot as usize;
            if frame(blocks, *other).parts().any(|part| part.holds(at, slot)) {
                frame_mut(blocks, *other).take_out(at, slot);
            }
        }
    }
}

/// The frame with a number. Numbers come from [`Head::new_frame`] and never leave the range.
fn frame(blocks: &[Arc<Block>], number: u32) -> &Frame {
    &blocks[number as usize / BLOCK][number as usize % BLOCK]
}

/// The same if there is one.
pub(super) fn frame_of(blocks: &[Arc<Block>], number: u32) -> Option<&Frame> {
    Some(blocks.get(number as usize / BLOCK)?.get(number as usize % BLOCK)?)
}

fn frame_mut(blocks: &mut [Arc<Block>], number: u32) -> &mut Frame {
    let block = Arc::make_mut(&mut blocks[number as usize / BLOCK]);
    Arc::make_mut(&mut block[number as usize % BLOCK])
}
