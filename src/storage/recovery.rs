//! From the tail on disk into the head, at the start.
//!
//! Nobody asks for most of what is in the tail soon, and decoding it costs more than reading it. So
//! batches of floats of one source, in the order of their times, are kept as they lie on the disk, an
//! era in one chunk that is decoded when somebody looks into it. They were passed over, so that it
//! is sure that they can be decoded. All others are decoded at once.

use hashbrown::HashMap;

use super::chunk::Chunk;
use super::head::Head;
use super::tail::{KnownShape, Packed};

/// Most rows that are kept undecoded in one piece: who wants one of them decodes all.
const ROWS: usize = 512;

/// Where the head has a shape's batches.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) frame: u32,
    /// The columns of the frame are the shape's in order and no other source gives them; holds as
    /// long as no further series got another source ([`Head::sharings`]).
    pub(super) seat: Option<u64>,
}

/// Batches of one shape and era that are kept as they lie on the disk.
struct Run {
    of: (u64, u64),
    rows: usize,
    first: i64,
    last: i64,
    width: usize,
    bytes: Vec<u8>,
}

impl Run {
    fn new(known: &KnownShape) -> Self {
        let (at, width) = (known.at(), known.labels.len());
        Self { of: known.run(), rows: 0, first: at, last: at, width, bytes: Vec::new() }
    }

    /// Takes a batch that is later than all before.
    fn take(&mut self, at: i64, code: &[u8]) -> bool {
        let fits = self.rows == 0 || (self.last < at && self.rows < ROWS);
        if fits {
            self.rows += 1;
            self.last = at;
            self.bytes.extend_from_slice(code);
        }
        fits
    }
}

/// Fills a head from the tail.
pub(super) struct Recovery<'h> {
    head: &'h mut Head,
    /// By frame.
    runs: HashMap<u32, Run>,
    /// Runs that ended within their era, by shape: what follows them there builds upon them.
    ended: HashMap<u64, (u64, Vec<u8>)>,
}

impl<'h> Recovery<'h> {
    pub(super) fn new(head: &'h mut Head) -> Self {
        head.recovering(true);
        Self { head, runs: HashMap::new(), ended: HashMap::new() }
    }

    /// Takes the batch of a shape that was read last.
    pub(super) fn take(&mut self, known: &mut KnownShape) {
        if known.labels.is_empty() {
            return;
        }
        let place = match known.place {
            Some(place) => place,
            None => *known.place.insert(self.head.place(known)),
        };
        if self.keep(known, place) {
            return;
        }
        if self.head.sharings() > 0 {
            // It may take values out of other frames.
            let frames: Vec<u32> = self.runs.keys().copied().collect();
            frames.into_iter().for_each(|frame| self.end(frame, known.run().1));
        }
        self.end(place.frame, known.run().1);
        let (shape, era) = known.run();
        let before = self.ended.remove(&shape).filter(|(of, _)| *of == era);
        known.unpack(&before.unwrap_or_default().1);
        self.head.recover(known);
    }

    /// Keeps a batch as it is, if it can be.
    fn keep(&mut self, known: &KnownShape, place: Place) -> bool {
        let Some(code) = known.packed() else { return false };
        if self.head.sharings() > 0 || place.seat.is_none() {
            return false;
        }
        if let Some(run) = self.runs.get_mut(&place.frame)
            && run.of == known.run()
        {
            return run.take(known.at(), code);
        }
        if !known.is_first() {
            return false;
        }
        self.end(place.frame, known.run().1);
        self.head.close(place.frame);
        let mut run = Run::new(known);
        let taken = run.take(known.at(), code);
        self.runs.insert(place.frame, run);
        taken
    }

    /// Gives the run of a frame to the head. `era` is the one that is read.
    fn end(&mut self, frame: u32, era: u64) {
        let Some(run) = self.runs.remove(&frame) else { return };
        if run.of.1 == era {
            self.ended.insert(run.of.0, (era, run.bytes.clone()));
        }
        let packed = Packed { width: run.width, bytes: run.bytes.into() };
        self.head.push(frame, Chunk::packed(packed, run.rows, (run.first, run.last)));
    }

    /// All was read.
    pub(super) fn finish(mut self) {
        self.ended = HashMap::new();
        for (frame, run) in std::mem::take(&mut self.runs) {
            let packed = Packed { width: run.width, bytes: run.bytes.into() };
            self.head.push(frame, Chunk::packed(packed, run.rows, (run.first, run.last)));
        }
        self.head.recovering(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Batch, Columns, Histogram, Labels, Point, STALE_BITS, Timestamp, Window};
    use crate::ports::Select;
    use crate::storage::commit::Pending;
    use crate::storage::past::Past;
    use crate::storage::snapshot::View;
    use crate::storage::tail::{self, Group, ShapeReader};
    use proptest::prelude::*;
    use std::sync::Arc;

    const ALL: Window = Window { after: Timestamp::MIN, through: Timestamp::MAX };

    /// All samples of all series, bit for bit.
    fn everything(head: &Head) -> Vec<String> {
        let past = Past { segments: Arc::new([]), memory_from: i64::MIN };
        let view = View::new(head.view(), past);
        let mut all = Vec::new();
        for series in view.find(&[], ALL).unwrap() {
            let mut columns = Columns::default();
            view.read(series.id, ALL, &mut columns).unwrap();
            let bits: Vec<u64> = columns.values.iter().map(|value| value.to_bits()).collect();
            let Columns { times, histograms, .. } = columns;
            all.push(format!("{} {times:?} {bits:?} {histograms:?}", series.labels));
        }
        all.sort();
        all
    }

    /// What the tail holds of these groups, read into a head.
    fn recovered(groups: &[Group], looked_at: bool) -> (Head, usize) {
        let mut head = Head::new(0);
        let mut recovery = Recovery::new(&mut head);
        let mut shapes: HashMap<u64, KnownShape> = HashMap::new();
        let mut reader = ShapeReader::default();
        for group in groups {
            for new in &group.shapes {
                let labels = reader.read(&new.labels).unwrap();
                let shape = KnownShape::new(new.number, Arc::clone(&new.source), labels);
                shapes.insert(new.number, shape);
            }
            let mut from = &group.bytes[4..];
            while !from.is_empty() {
                let known = tail::decode(&mut from, group.era, |n| shapes.get_mut(&n)).unwrap();
                recovery.take(known);
            }
        }
        recovery.finish();
        let packed = head.packed();
        if looked_at {
            head.next_generation();
        }
        (head, packed)
    }

    fn point(value: u8) -> Point {
        match value {
            0 => Point::Stale,
            1 => Point::Histogram(Arc::new(Histogram { count: 7.0, ..Histogram::default() })),
            2 => Point::Float(f64::from_bits(STALE_BITS + 1)),
            _ => Point::Float(f64::from(value) / 8.0),
        }
    }

    /// Which series a source gives: often the same, sometimes fewer, in another order, or another's.
    const SHAPES: [&[usize]; 6] = [&[0, 1, 2], &[0, 1, 2], &[0, 1], &[1, 0], &[2, 0, 1, 3], &[4]];

    proptest! {
        /// Kept undecoded or not: what is read is what was appended.
        #[test]
        fn what_is_kept_undecoded_is_what_was_appended(
            batches in proptest::collection::vec(
                (0usize..3, 0usize..40, 0i64..60, proptest::collection::vec(0u8..90, 4), 0u8..12),
                1..60,
            ),
            in_order in any::<bool>(),
        ) {
            let (mut head, mut tail) = (Head::new(0), Pending::new(0, 1));
            let mut groups = Vec::new();
            for (n, (source, shape, at, values, then)) in batches.into_iter().enumerate() {
                let at = if in_order { n as i64 } else { at };
                let mut batch = Batch::new(format!("s{source}").into(), Timestamp::from_millis(at));
                for (column, value) in SHAPES[shape.saturating_sub(34)].iter().zip(values) {
                    // One series is everybody's.
                    let whose = if *column == 4 { "all".to_owned() } else { source.to_string() };
                    let column = column.to_string();
                    let pairs = [("__name__", "m"), ("column", &*column), ("of", &*whose)];
                    batch.push(Labels::from_pairs(pairs).unwrap(), 0.0);
                    // Histograms and markers are rare in life.
                    let value = if value > 80 { value - 80 } else { value.max(3) };
                    batch.rows.last_mut().unwrap().point = point(value);
                }
                head.append(&batch, Some(&mut tail));
                match then {
                    0 => tail.begin(0),
                    1..4 => groups.extend(tail.take().0),
                    _ => {}
                }
            }
            groups.extend(tail.take().0);
            let wanted = everything(&head);
            prop_assert_eq!(&everything(&recovered(&groups, false).0), &wanted);
            prop_assert_eq!(&everything(&recovered(&groups, true).0), &wanted);
        }
    }

    #[test]
    fn nearly_all_is_kept_undecoded() {
        let (mut head, mut tail) = (Head::new(0), Pending::new(0, 1));
        for row in 0..30 {
            let mut batch = Batch::new("s".into(), Timestamp::from_millis(row));
            batch.push(Labels::from_pairs([("__name__", "m")]).unwrap(), row as f64);
            head.append(&batch, Some(&mut tail));
        }
        assert_eq!(recovered(&tail.take().0, false).1, 1);
    }
}
